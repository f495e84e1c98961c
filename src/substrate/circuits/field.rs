//! A circuit bound to samples and teaching.

use num_complex::Complex;

use super::linear::Tangent;
use super::matrix::Number;
use super::newton::{Equation, Scratch, Unsolved};
use super::programmed::Programmed;
use crate::error::{Error, Result};
use crate::imperfections::instant::Disturbances;
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Leak, VectorField};
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time};
use crate::substrate::samples::Samples;
use crate::substrate::shown::Shown;
use crate::substrate::{Field, Linear, Substrate};

/// Output errors and shares of a softmax.
pub(super) struct Taught<N> {
    pub error: Vec<N>,
    pub share: Vec<N>,
}

impl<N: Number> Taught<N> {
    pub fn new(outputs: usize) -> Self {
        Self { error: vec![N::real(0.0); outputs], share: vec![N::real(0.0); outputs] }
    }
}

/// The voltages of one sample out of a state, node after node.
pub(crate) fn gather<T: Scalar, N: Number>(shape: &StateShape, sample: usize, state: &[T], out: &mut [N]) {
    let mut place = 0;
    for layer in 0..shape.layers() {
        let re = &state[shape.column(layer, 0, sample)];
        let im = (shape.rails == 2).then(|| &state[shape.column(layer, 1, sample)]);
        for (i, re) in re.iter().enumerate() {
            out[place + i] = N::of(re.double(), im.map_or(0.0, |im| im[i].double()));
        }
        place += re.len();
    }
}

/// The reverse of [`gather`].
pub(super) fn scatter<T: Scalar, N: Number>(
    shape: &StateShape,
    sample: usize,
    values: &[N],
    state: &mut [T],
) {
    let mut place = 0;
    for layer in 0..shape.layers() {
        let size = shape.size(layer);
        for rail in 0..shape.rails {
            let column = &mut state[shape.column(layer, rail, sample)];
            for (x, z) in column.iter_mut().zip(&values[place..place + size]) {
                let (re, im) = z.parts();
                *x = T::of(if rail == 0 { re } else { im });
            }
        }
        place += size;
    }
}

/// The two ends of a resistor that are free nodes: place, and what a current there counts.
type Ends = [Option<(usize, f64)>; 2];

/// Johnson noise that is held through a step.
struct Johnson {
    key: NoiseKey,
    /// Size of each resistor's current, and its ends.
    sources: Vec<(f64, Ends)>,
    /// What it adds to F, sample by sample.
    values: Vec<Vec<f64>>,
}

/// A circuit bound to samples and teaching.
pub(super) struct Bound<'a, T: Scalar> {
    substrate: &'a Programmed,
    shape: StateShape,
    leak: Leak<T>,
    shown: Shown<T>,
    /// What the inputs of each sample add to F, as they are without the signal.
    drives: Vec<Vec<f64>>,
    /// Fᵀ′ − F′ of each sample with its free voltages, where the coupling is corrected for its asymmetry.
    correction: Vec<(Vec<f64>, Vec<f64>)>,
    johnson: Option<Johnson>,
    rates: Vec<T>,
    output_error: Vec<T>,
    evaluations: u64,
}

impl<'a, T: Scalar> Bound<'a, T> {
    pub fn new(substrate: &'a Programmed, shape: StateShape, samples: &Samples<T>) -> Self {
        let circuit = substrate.circuit();
        Self::of(substrate, shape, Shown::of(samples, circuit.inputs(), circuit.outputs()))
    }

    fn of(substrate: &'a Programmed, shape: StateShape, shown: Shown<T>) -> Self {
        let rates: Vec<Complex<f64>> =
            substrate.tau().iter().map(|tau| Complex::new(1.0 / tau, 1.0 / tau)).collect();
        let mut leak = vec![T::zero(); shape.len()];
        (0..shape.batch).for_each(|sample| scatter(&shape, sample, &rates, &mut leak));
        Self {
            leak: Leak::PerElement(leak),
            drives: shown.inputs.iter().map(|x| substrate.drive(x)).collect(),
            correction: Vec::new(),
            johnson: None,
            rates: vec![T::zero(); shape.len()],
            output_error: vec![T::zero(); substrate.circuit().outputs() * shape.columns()],
            evaluations: 0,
            substrate,
            shape,
            shown,
        }
    }

    fn beta<N: Number>(&self, common: Complex<f64>, sample: usize) -> N {
        let beta = self.shown.beta(common, sample);
        N::of(beta.re, beta.im)
    }

    /// Inputs and drive of a sample, as they are now.
    fn moved(&self, sample: usize) -> (Vec<f64>, Vec<f64>) {
        let x = self.shown.moved(sample).into_owned();
        let drive = match &self.shown.signal {
            None => self.drives[sample].clone(),
            Some(_) => self.substrate.drive(&x),
        };
        (x, drive)
    }

    fn equation<'e, N: Number>(
        &'e self,
        sample: usize,
        (inputs, drive): &'e (Vec<f64>, Vec<f64>),
        common: Complex<f64>,
        inertia: Option<(&'e [f64], &'e [N])>,
    ) -> Equation<'e, N> {
        Equation {
            substrate: self.substrate,
            inputs,
            drive,
            targets: &self.shown.targets[sample],
            beta: self.beta(common, sample),
            noise: self.johnson.as_ref().map_or(&[][..], |johnson| &johnson.values[sample]),
            correction: self.correction.get(sample).map(|(c, free)| (&c[..], &free[..])),
            inertia,
        }
    }

    fn evaluate<N: Number>(&mut self, time: Time, state: &[T], out: &mut [T]) {
        self.shown.advance(time);
        let n = self.substrate.circuit().free.len();
        let mut scratch = Scratch::<N>::new(self.substrate);
        let mut v = vec![N::real(0.0); n];
        let common = self.shown.teaching.beta(time);
        for sample in 0..self.shape.batch {
            gather(&self.shape, sample, state, &mut v);
            let bound = self.moved(sample);
            self.equation(sample, &bound, common, None).force(&v, &mut scratch);
            scratch.force.iter_mut().zip(&v).for_each(|(f, v)| *f += *v);
            scatter(&self.shape, sample, &scratch.force, out);
        }
    }

    fn stages<N: Number>(&mut self, time: Time, span: f64, known: &[T], state: &mut [T]) -> Result<()> {
        self.shown.advance(time);
        let n = self.substrate.circuit().free.len();
        let mut scratch = Scratch::<N>::new(self.substrate);
        let (mut v, mut from) = (vec![N::real(0.0); n], vec![N::real(0.0); n]);
        let inertia: Vec<f64> = self.substrate.tau().iter().map(|tau| tau / span).collect();
        let common = self.shown.teaching.beta(time);
        let mut iterations = 0;
        for sample in 0..self.shape.batch {
            gather(&self.shape, sample, state, &mut v);
            gather(&self.shape, sample, known, &mut from);
            let bound = self.moved(sample);
            let equation = self.equation(sample, &bound, common, Some((&inertia, &from)));
            iterations += equation.solve(&mut v, &mut scratch).map_err(|e| self.unsolved(&e, sample))?;
            scatter(&self.shape, sample, &v, state);
        }
        self.evaluations += iterations;
        Ok(())
    }

    fn rest<N: Number>(&mut self, start: Option<&[T]>) -> Result<(Vec<T>, f64)> {
        // Steps of β, where all of it at once is too far.
        const STEPS: u32 = 16;
        let n = self.substrate.circuit().free.len();
        let mut scratch = Scratch::<N>::new(self.substrate);
        let mut state = vec![T::zero(); self.shape.len()];
        let (mut iterations, mut residual) = (0, 0.0_f64);
        for sample in 0..self.shape.batch {
            let mut v = vec![N::real(0.0); n];
            if let Some(start) = start {
                gather(&self.shape, sample, start, &mut v);
            }
            let from = v.clone();
            let bound = self.moved(sample);
            let mut equation = self.equation(sample, &bound, self.shown.teaching.beta(Time::at(0)), None);
            let beta = equation.beta;
            let mut solved = equation.solve(&mut v, &mut scratch);
            if solved.is_err() && beta != N::real(0.0) {
                v = from;
                for step in 0..=STEPS {
                    equation.beta = beta * N::real(f64::from(step) / f64::from(STEPS));
                    solved = equation.solve(&mut v, &mut scratch);
                }
            }
            iterations += solved.map_err(|e| self.unsolved(&e, sample))?;
            equation.beta = beta;
            equation.force(&v, &mut scratch);
            residual = scratch.force.iter().map(|f| f.size()).fold(residual, f64::max);
            scatter(&self.shape, sample, &v, &mut state);
        }
        self.evaluations += iterations;
        Ok((state, residual))
    }

    fn unsolved(&self, unsolved: &Unsolved, sample: usize) -> Error {
        let Unsolved { place, what } = unsolved;
        Error::Diverged {
            moment: "while node voltages were solved for".into(),
            place: format!("{place}, sample {}", self.shown.places[sample]),
            what: what.clone(),
            advice: "lower the amplitude of the nudge or the voltages of inputs and sources, or put resistors in series with diodes"
                .into(),
        }
    }

    fn observe_in<N: Number>(&mut self, state: &[T]) {
        let outputs = self.substrate.circuit().outputs();
        let block = StateShape::block(outputs, self.shape.batch, self.shape.rails);
        let mut taught = Taught::<N>::new(outputs);
        let mut v = vec![N::real(0.0); self.substrate.circuit().free.len()];
        for sample in 0..self.shape.batch {
            gather(&self.shape, sample, state, &mut v);
            self.substrate.output_error(
                &v,
                &self.shown.targets[sample],
                &mut taught.error,
                &mut taught.share,
            );
            scatter(&block, sample, &taught.error, &mut self.output_error);
        }
    }

    fn is_real(&self) -> bool {
        self.shape.rails == 1
    }
}

impl<T: Scalar> VectorField<T> for Bound<'_, T> {
    fn target(&mut self, time: Time, state: &[T], out: &mut [T]) {
        self.evaluations += 1;
        self.rates.copy_from_slice(state);
        if self.is_real() {
            self.evaluate::<f64>(time, state, out);
        } else {
            self.evaluate::<Complex<f64>>(time, state, out);
        }
    }

    fn leak(&self) -> &Leak<T> {
        &self.leak
    }

    fn solve_stage(&mut self, time: Time, span: f64, known: &[T], state: &mut [T]) -> Result<bool> {
        if self.is_real() {
            self.stages::<f64>(time, span, known, state)?;
        } else {
            self.stages::<Complex<f64>>(time, span, known, state)?;
        }
        Ok(true)
    }
}

impl<'a, T: Scalar> Field<'a, T> for Bound<'a, T> {
    fn shape(&self) -> &StateShape {
        &self.shape
    }

    fn substrate(&self) -> &'a dyn Substrate<T> {
        self.substrate
    }

    fn linearise(&self, rates: &[T]) -> Box<dyn Linear<T> + 'a> {
        let shape = self.shape.with_rails(1);
        let mut scratch = Scratch::<f64>::new(self.substrate);
        let mut v = vec![0.0; self.substrate.circuit().free.len()];
        let free = Complex::new(0.0, 0.0);
        let mut matrix = |sample: usize| {
            gather(&shape, sample, rates, &mut v);
            let bound = (self.shown.inputs[sample].clone(), self.drives[sample].clone());
            let mut equation = self.equation::<f64>(sample, &bound, free, None);
            (equation.beta, equation.correction, equation.noise) = (0.0, None, &[]);
            equation.linearise(&v, &mut scratch);
            scratch.matrix.clone()
        };
        let matrices = (0..shape.batch).map(&mut matrix).collect();
        Box::new(Tangent::new(self.substrate, shape, matrices))
    }

    fn select(&self, which: &[usize]) -> Box<dyn Field<'a, T> + 'a> {
        let narrow = Self::of(self.substrate, self.shape.with_batch(which.len()), self.shown.select(which));
        let correction = which.iter().filter_map(|i| self.correction.get(*i).cloned()).collect();
        Box::new(Self { correction, ..narrow })
    }

    fn place(&self, sample: usize) -> usize {
        self.shown.places[sample]
    }

    fn equilibrium(&mut self, start: Option<&[T]>) -> Result<Option<(Vec<T>, f64)>> {
        let found = if self.is_real() { self.rest::<f64>(start)? } else { self.rest::<Complex<f64>>(start)? };
        Ok(Some(found))
    }

    fn teach(&mut self, teaching: Teaching) {
        self.shown.teaching = teaching;
    }

    fn teaching(&self) -> &Teaching {
        &self.shown.teaching
    }

    fn teach_each(&mut self, betas: &[Complex<f64>]) {
        self.shown.own_betas = betas.to_vec();
    }

    fn correct_asymmetry(&mut self, free: &[T]) {
        let real = self.shape.with_rails(1);
        let pattern = self.substrate.pattern();
        let mut scratch = Scratch::<f64>::new(self.substrate);
        let mut v = vec![0.0; self.substrate.circuit().free.len()];
        self.correction.clear();
        for sample in 0..real.batch {
            gather(&real, sample, free, &mut v);
            let bound = (self.shown.inputs[sample].clone(), self.drives[sample].clone());
            let mut equation = self.equation::<f64>(sample, &bound, Complex::new(0.0, 0.0), None);
            (equation.beta, equation.correction, equation.noise) = (0.0, None, &[]);
            equation.linearise(&v, &mut scratch);
            let mut difference = vec![0.0; pattern.entries()];
            for (i, j, place) in pattern.iter() {
                difference[place] = scratch.matrix[pattern.place(j, i)] - scratch.matrix[place];
            }
            self.correction.push((difference, v.clone()));
        }
    }

    fn hold_noise(&mut self, _: Disturbances<T>, _: &[T]) -> Result<()> {
        let legal = "Johnson noise: `johnson_noise` of the circuit's own imperfections";
        Err(Error::input("the circuit", "imperfections", "found noise of a network of neurons", legal))
    }

    fn vary_inputs(&mut self, signal: Signal<T>) {
        self.shown.signal = Some(signal);
    }

    fn release_signal(&mut self) -> Option<Signal<T>> {
        self.shown.signal.take()
    }

    fn set_step(&mut self, step: f64, _: f64) {
        self.johnson = self.substrate.noise().filter(|_| self.is_real()).map(|noise| Johnson {
            key: NoiseKey::new(noise.seed, Purpose::StateNoise, noise.update),
            sources: self.substrate.johnson(step * self.substrate.circuit().spec.tau),
            values: vec![vec![0.0; self.substrate.circuit().free.len()]; self.shape.batch],
        });
    }

    fn begin_step(&mut self, tick: u64) {
        let Some(johnson) = &mut self.johnson else { return };
        let mut normals = vec![0.0; johnson.sources.len()];
        for (values, place) in johnson.values.iter_mut().zip(&self.shown.places) {
            johnson.key.normals(tick, *place as u64, &mut normals);
            values.fill(0.0);
            for ((size, rows), normal) in johnson.sources.iter().zip(&normals) {
                for (i, factor) in rows.iter().flatten() {
                    values[*i] += factor * size * normal;
                }
            }
        }
    }

    fn observe(&mut self, state: &[T]) {
        self.rates.copy_from_slice(state);
        self.observe_evaluated(state);
    }

    fn observe_evaluated(&mut self, state: &[T]) {
        if self.is_real() {
            self.observe_in::<f64>(state);
        } else {
            self.observe_in::<Complex<f64>>(state);
        }
    }

    fn rates(&self) -> &[T] {
        &self.rates
    }

    fn output_error(&self) -> &[T] {
        &self.output_error
    }

    fn drive(&self) -> &[T] {
        &[]
    }

    fn reach(&self) -> f64 {
        let circuit = self.substrate.circuit();
        let largest = self.drives.iter().flatten().fold(1.0, |a: f64, d| a.max(d.abs()));
        self.shown.signal.as_ref().map_or(largest, |s| largest.max(s.peak() * circuit.spec.input.volts.abs()))
    }

    fn evaluations(&self) -> u64 {
        self.evaluations
    }

    fn release_noise(&mut self) -> Disturbances<T> {
        Disturbances::none()
    }
}
