//! Anyone's equations as a substrate: a flow, a cost, and what each parameter sees locally, for one sample.
//!
//! Everything else follows. The flow is holomorphic, so its Jacobian is read off a step into the imaginary direction, exact to rounding
//! (Squire & Trapp, SIAM Review 40, 110 (1998)). The variables are their own rates.

use std::sync::Arc;

use nalgebra::DMatrix;
use num_complex::Complex;

use super::{Field, Linear, Population, Substrate};
use crate::error::{Error, Result};
use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Leak, VectorField};
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time};
use crate::substrate::local::Local;
use crate::substrate::parameters::{Arrangement, ParameterShape, Parameters, Role, Start};
use crate::substrate::samples::Samples;
use crate::substrate::shown::Shown;

/// A complex number in double precision.
pub type C = Complex<f64>;

/// The imaginary step of a derivative: its square vanishes beside any number.
const STEP: f64 = 1e-150;

/// The equations of one sample, τ ds/dt = F(s, x; θ) − β ∂C/∂s.
pub trait Equations: Send + Sync {
    /// Names and numbers of the variables, group by group.
    fn variables(&self) -> Vec<(String, usize)>;

    /// Names and numbers of the parameters, group by group.
    fn parameters(&self) -> Vec<(String, usize)>;

    /// Number of clamped inputs.
    fn inputs(&self) -> usize;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// Time constant of each variable, in nominal τ.
    fn tau(&self) -> Vec<f64> {
        vec![1.0; self.variables().iter().map(|(_, size)| size).sum()]
    }

    /// F at a complex state; holomorphic in s.
    fn flow(&self, parameters: &[&[f64]], x: &[f64], s: &[C], out: &mut [C]);

    /// What the outputs have and should not have; holomorphic in s. By default s − y of the last variables.
    fn output_error(&self, y: &[f64], s: &[C], out: &mut [C]) {
        let last = &s[s.len() - out.len()..];
        out.iter_mut().zip(last).zip(y).for_each(|((o, s), y)| *o = s - y);
    }

    /// ∂C/∂s from the output error; holomorphic in s. By default that of C = ½ Σ (s − y)² over the last variables.
    fn cost_slope(&self, _s: &[C], output_error: &[C], out: &mut [C]) {
        let (rest, last) = out.split_at_mut(out.len() - output_error.len());
        rest.fill(C::new(0.0, 0.0));
        last.copy_from_slice(output_error);
    }

    /// Adds ∂C/∂θ to `gradient`, from the free state and its response δ per unit of β. For a flow −∂E/∂s it is the derivative of ∂E/∂θ
    /// along δ; for any flow −δᵀ∂F/∂θ.
    fn local_gradient(
        &self,
        parameters: &[&[f64]],
        x: &[f64],
        s: &[f64],
        delta: &[f64],
        gradient: &mut [&mut [f64]],
    );
}

/// Names, forms and zeros of the parameters of some equations.
#[must_use]
pub fn shapes(equations: &dyn Equations) -> Arc<[ParameterShape]> {
    let shape = |(name, size): (String, usize)| ParameterShape {
        name,
        role: Role::Synapses,
        form: Arrangement::Vector(size),
        start: Start::Zero,
    };
    equations.parameters().into_iter().map(shape).collect()
}

/// Equations programmed with parameters.
pub struct Custom<E> {
    equations: E,
    shapes: Arc<[ParameterShape]>,
    values: Vec<Vec<f64>>,
}

impl<E: Equations> Custom<E> {
    /// Programs the parameters, whose shapes are [`shapes`].
    #[must_use]
    pub fn new<T: Scalar>(equations: E, parameters: &Parameters<T>) -> Self {
        let values = parameters.iter().map(|(_, v)| v.iter().map(|x| x.double()).collect()).collect();
        Self { shapes: Arc::clone(parameters.shapes()), values, equations }
    }

    fn values(&self) -> Vec<&[f64]> {
        self.values.iter().map(Vec::as_slice).collect()
    }

    fn size(&self) -> usize {
        self.equations.variables().iter().map(|(_, size)| size).sum()
    }

    /// ∂F/∂s at a real state, [variables × variables].
    fn jacobian(&self, x: &[f64], s: &[f64]) -> DMatrix<f64> {
        let (n, values) = (s.len(), self.values());
        let mut out = vec![C::new(0.0, 0.0); n];
        let mut jacobian = DMatrix::zeros(n, n);
        let mut state: Vec<C> = s.iter().map(|s| C::new(*s, 0.0)).collect();
        for j in 0..n {
            state[j].im = STEP;
            self.equations.flow(&values, x, &state, &mut out);
            state[j].im = 0.0;
            out.iter().enumerate().for_each(|(i, f)| jacobian[(i, j)] = f.im / STEP);
        }
        jacobian
    }
}

/// The column of one sample of a state with one rail or two.
fn gather<T: Scalar>(shape: &StateShape, sample: usize, state: &[T], out: &mut [C]) {
    let mut place = 0;
    for layer in 0..shape.layers() {
        for (rail, part) in [(0, true), (1, false)].into_iter().take(shape.rails) {
            let column = &state[shape.column(layer, rail, sample)];
            for (z, x) in out[place..place + column.len()].iter_mut().zip(column) {
                if part { *z = C::new(x.double(), 0.0) } else { z.im = x.double() }
            }
        }
        place += shape.size(layer);
    }
}

fn scatter<T: Scalar>(shape: &StateShape, sample: usize, values: &[C], state: &mut [T]) {
    let mut place = 0;
    for layer in 0..shape.layers() {
        let size = shape.size(layer);
        for rail in 0..shape.rails {
            let column = &mut state[shape.column(layer, rail, sample)];
            for (x, z) in column.iter_mut().zip(&values[place..place + size]) {
                *x = T::of(if rail == 0 { z.re } else { z.im });
            }
        }
        place += size;
    }
}

/// The entries of one sample in a block of columns, real parts of all samples before imaginary parts.
fn entry<T: Scalar>(block: &[T], rails: usize, batch: usize, sample: usize) -> Vec<C> {
    let size = block.len() / (rails * batch).max(1);
    let at = |i: usize, rail: usize| block[(rail * batch + sample) * size + i].double();
    (0..size).map(|i| C::new(at(i, 0), if rails == 2 { at(i, 1) } else { 0.0 })).collect()
}

impl<T: Scalar, E: Equations> Substrate<T> for Custom<E> {
    fn populations(&self) -> Vec<Population> {
        let group = |(name, size)| Population { name, size, bounded: false };
        self.equations.variables().into_iter().map(group).collect()
    }

    fn parameters(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    fn inputs(&self) -> usize {
        self.equations.inputs()
    }

    fn outputs(&self) -> usize {
        self.equations.outputs()
    }

    fn bind<'a>(&'a self, samples: &Samples<T>, rails: usize, _: Option<&[T]>) -> Box<dyn Field<'a, T> + 'a> {
        let shown = Shown::of(samples, self.equations.inputs(), self.equations.outputs());
        Box::new(Bound::new(self, Substrate::<T>::shape(self, samples.count, rails), shown))
    }

    fn is_tied(&self) -> bool {
        false
    }

    fn free_state(&self, _: &Samples<T>, rates: &[T]) -> Vec<T> {
        rates.to_vec()
    }

    fn gradient(&self, shape: &StateShape, samples: &Samples<T>, local: &Local<'_, T>) -> Parameters<T> {
        let inputs = self.equations.inputs();
        let mut sums: Vec<Vec<f64>> = self.values.iter().map(|v| vec![0.0; v.len()]).collect();
        let (mut free, mut delta) =
            (vec![C::new(0.0, 0.0); self.size()], vec![C::new(0.0, 0.0); self.size()]);
        for sample in 0..samples.count {
            gather(shape, sample, local.free, &mut free);
            gather(shape, sample, local.error_vector, &mut delta);
            let [s, delta] = [&free, &delta].map(|v| v.iter().map(|z| z.re).collect::<Vec<f64>>());
            let x: Vec<f64> =
                samples.inputs[sample * inputs..(sample + 1) * inputs].iter().map(|x| x.double()).collect();
            let mut sinks: Vec<&mut [f64]> = sums.iter_mut().map(Vec::as_mut_slice).collect();
            self.equations.local_gradient(&self.values(), &x, &s, &delta, &mut sinks);
        }
        let mut gradient = Parameters::zeros(&self.shapes);
        for (index, sum) in sums.iter().enumerate() {
            gradient.at_mut(index).iter_mut().zip(sum).for_each(|(g, s)| *g = T::of(*s));
        }
        gradient
    }

    fn measured(&self) -> Vec<usize> {
        Vec::new()
    }

    fn add_products(&self, _: &StateShape, _: &[T], _: Complex<f64>, _: &mut Parameters<T>, _: &mut Vec<T>) {}

    fn add_readout(&self, _: &StateShape, _: (&[T], &[T]), _: f64, _: &mut Parameters<T>, _: &mut Vec<T>) {}
}

/// Equations bound to samples and teaching.
struct Bound<'a, T: Scalar, E> {
    substrate: &'a Custom<E>,
    shape: StateShape,
    leak: Leak<T>,
    shown: Shown<T>,
    noise: Disturbances<T>,
    /// Jᵀ − J of each sample with its free state, where the coupling is corrected for its asymmetry.
    correction: Vec<(DMatrix<f64>, Vec<f64>)>,
    rates: Vec<T>,
    output_error: Vec<T>,
    evaluations: u64,
}

impl<'a, T: Scalar, E: Equations> Bound<'a, T, E> {
    fn new(substrate: &'a Custom<E>, shape: StateShape, shown: Shown<T>) -> Self {
        let taus: Vec<C> = substrate.equations.tau().iter().map(|tau| C::new(1.0 / tau, 1.0 / tau)).collect();
        let mut leak = vec![T::zero(); shape.len()];
        (0..shape.batch).for_each(|sample| scatter(&shape, sample, &taus, &mut leak));
        Self {
            leak: Leak::PerElement(leak),
            noise: Disturbances::none(),
            correction: Vec::new(),
            rates: vec![T::zero(); shape.len()],
            output_error: vec![T::zero(); substrate.equations.outputs() * shape.columns()],
            evaluations: 0,
            substrate,
            shape,
            shown,
        }
    }

    fn errors(&self, sample: usize, state: &[C]) -> Vec<C> {
        let mut errors = vec![C::new(0.0, 0.0); self.shown.targets[sample].len()];
        self.substrate.equations.output_error(&self.shown.targets[sample], state, &mut errors);
        errors
    }
}

impl<T: Scalar, E: Equations> VectorField<T> for Bound<'_, T, E> {
    fn target(&mut self, time: Time, state: &[T], out: &mut [T]) {
        self.evaluations += 1;
        self.rates.copy_from_slice(state);
        let (values, equations) = (self.substrate.values(), &self.substrate.equations);
        let zeros = || vec![C::new(0.0, 0.0); self.substrate.size()];
        let (mut s, mut flow, mut slope) = (zeros(), zeros(), zeros());
        let common = self.shown.teaching.beta(time);
        self.shown.advance(time);
        for sample in 0..self.shape.batch {
            gather(&self.shape, sample, state, &mut s);
            equations.flow(&values, &self.shown.moved(sample), &s, &mut flow);
            if let Some((difference, free)) = self.correction.get(sample) {
                for (i, f) in flow.iter_mut().enumerate() {
                    *f += (0..s.len()).map(|j| (s[j] - free[j]) * difference[(i, j)]).sum::<C>();
                }
            }
            let mut beta = self.shown.beta(common, sample);
            if let Some(noise) = &self.noise.teaching {
                beta += entry(noise.values(), self.shape.rails, self.shape.batch, sample)[0];
            }
            if beta != C::new(0.0, 0.0) {
                equations.cost_slope(&s, &self.errors(sample, &s), &mut slope);
                flow.iter_mut().zip(&slope).for_each(|(f, c)| *f -= beta * c);
            }
            flow.iter_mut().zip(&s).for_each(|(f, s)| *f += s);
            scatter(&self.shape, sample, &flow, out);
        }
        if let Some(noise) = &self.noise.state {
            out.iter_mut().zip(noise.values()).for_each(|(o, n)| *o += *n);
        }
    }

    fn leak(&self) -> &Leak<T> {
        &self.leak
    }
}

impl<'a, T: Scalar, E: Equations> Field<'a, T> for Bound<'a, T, E> {
    fn shape(&self) -> &StateShape {
        &self.shape
    }

    fn substrate(&self) -> &'a dyn Substrate<T> {
        self.substrate
    }

    fn linearise(&self, rates: &[T]) -> Box<dyn Linear<T> + 'a> {
        let shape = self.shape.with_rails(1);
        let mut column = vec![C::new(0.0, 0.0); self.substrate.size()];
        let mut state = |sample: usize| -> Vec<f64> {
            gather(&shape, sample, rates, &mut column);
            column.iter().map(|s| s.re).collect()
        };
        let states: Vec<Vec<f64>> = (0..shape.batch).map(&mut state).collect();
        let jacobian = |(x, s): (&Vec<f64>, &Vec<f64>)| self.substrate.jacobian(x, s);
        let jacobians = self.shown.inputs.iter().zip(&states).map(jacobian).collect();
        let mut tau = vec![T::zero(); shape.len()];
        let taus: Vec<C> = self.substrate.equations.tau().into_iter().map(C::from).collect();
        (0..shape.batch).for_each(|sample| scatter(&shape, sample, &taus, &mut tau));
        Box::new(Tangent { substrate: self.substrate, shape, tau, jacobians, states })
    }

    fn select(&self, which: &[usize]) -> Box<dyn Field<'a, T> + 'a> {
        let narrow = Self::new(self.substrate, self.shape.with_batch(which.len()), self.shown.select(which));
        let correction = which.iter().filter_map(|i| self.correction.get(*i).cloned()).collect();
        Box::new(Self { correction, ..narrow })
    }

    fn place(&self, sample: usize) -> usize {
        self.shown.places[sample]
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
        let mut state = vec![C::new(0.0, 0.0); self.substrate.size()];
        let mut correction = |sample: usize| {
            gather(&real, sample, free, &mut state);
            let free: Vec<f64> = state.iter().map(|s| s.re).collect();
            let jacobian = self.substrate.jacobian(&self.shown.inputs[sample], &free);
            (jacobian.transpose() - jacobian, free)
        };
        self.correction = (0..real.batch).map(&mut correction).collect();
    }

    fn hold_noise(&mut self, noise: Disturbances<T>, _: &[T]) -> Result<()> {
        for (name, asked) in [("input", noise.input.is_some()), ("synapse", noise.synapse.is_some())] {
            if asked {
                let path = format!("imperfections.{name}_noise");
                let legal = "noise of the variables and of the teaching signal: these equations are not holograd's own";
                return Err(Error::input("the substrate", path, format!("found noise of the {name}"), legal));
            }
        }
        self.noise = noise;
        Ok(())
    }

    fn vary_inputs(&mut self, signal: Signal<T>) {
        self.shown.signal = Some(signal);
    }

    fn release_signal(&mut self) -> Option<Signal<T>> {
        self.shown.signal.take()
    }

    fn set_step(&mut self, step: f64, lost: f64) {
        self.noise.set_step(step, lost);
    }

    fn begin_step(&mut self, tick: u64) {
        self.noise.begin_step(tick);
    }

    fn observe(&mut self, state: &[T]) {
        self.rates.copy_from_slice(state);
        self.observe_evaluated(state);
    }

    fn observe_evaluated(&mut self, state: &[T]) {
        let outputs = self.substrate.equations.outputs();
        let mut s = vec![C::new(0.0, 0.0); self.substrate.size()];
        for sample in 0..self.shape.batch {
            gather(&self.shape, sample, state, &mut s);
            let errors = self.errors(sample, &s);
            for rail in 0..self.shape.rails {
                let start = (rail * self.shape.batch + sample) * outputs;
                for (o, e) in self.output_error[start..start + outputs].iter_mut().zip(&errors) {
                    *o = T::of(if rail == 0 { e.re } else { e.im });
                }
            }
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
        self.shown.signal.as_ref().map_or(1.0, |signal| signal.peak().max(1.0))
    }

    fn evaluations(&self) -> u64 {
        self.evaluations
    }

    fn release_noise(&mut self) -> Disturbances<T> {
        std::mem::replace(&mut self.noise, Disturbances::none())
    }
}

/// Equations linearised at the free equilibria of a batch.
struct Tangent<'a, T, E> {
    substrate: &'a Custom<E>,
    shape: StateShape,
    tau: Vec<T>,
    /// ∂F/∂s of each sample.
    jacobians: Vec<DMatrix<f64>>,
    /// Free state of each sample.
    states: Vec<Vec<f64>>,
}

impl<T: Scalar, E: Equations> Linear<T> for Tangent<'_, T, E> {
    fn shape(&self) -> &StateShape {
        &self.shape
    }

    fn tau(&self) -> &[T] {
        &self.tau
    }

    fn target(&self, layout: Layout, v: &[T], out: &mut [T], _: &mut [T]) {
        let shape = self.shape.with_rails(v.len() / self.shape.len());
        let n = self.substrate.size();
        let (mut column, mut product) = (vec![C::new(0.0, 0.0); n], vec![C::new(0.0, 0.0); n]);
        for (sample, jacobian) in self.jacobians.iter().enumerate() {
            gather(&shape, sample, v, &mut column);
            for (i, p) in product.iter_mut().enumerate() {
                let entry = |j: usize| match layout {
                    Layout::Plain => jacobian[(i, j)],
                    Layout::Transposed => jacobian[(j, i)],
                };
                *p = column[i] + (0..n).map(|j| column[j] * entry(j)).sum::<C>();
            }
            scatter(&shape, sample, &product, out);
        }
    }

    fn integrated(&self, corrected: bool, v: &[T], out: &mut [T], scratch: &mut [T]) {
        let layout = if corrected { Layout::Transposed } else { Layout::Plain };
        self.target(layout, v, out, scratch);
    }

    fn corrected(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        self.target(Layout::Transposed, v, out, scratch);
    }

    fn observe(&self, v: &[T], out: &mut [T]) {
        out.copy_from_slice(v);
    }

    fn cost_slope(&self, output_error: &[T]) -> Vec<T> {
        let mut all = vec![T::zero(); self.shape.len()];
        let mut slope = vec![C::new(0.0, 0.0); self.substrate.size()];
        for (sample, state) in self.states.iter().enumerate() {
            let state: Vec<C> = state.iter().map(|s| C::from(*s)).collect();
            let errors = entry(output_error, 1, self.shape.batch, sample);
            self.substrate.equations.cost_slope(&state, &errors, &mut slope);
            scatter(&self.shape, sample, &slope, &mut all);
        }
        all
    }

    fn teaching(&self, output_error: &[T]) -> Vec<T> {
        self.cost_slope(output_error).into_iter().map(|c| -c).collect()
    }

    fn jacobian(&self, sample: usize) -> DMatrix<f64> {
        self.jacobians[sample].clone()
    }
}
