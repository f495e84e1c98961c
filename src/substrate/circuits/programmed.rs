//! A circuit with all its conductances: the substrate that estimators work on.

use std::sync::Arc;

use num_complex::Complex;

use super::circuit::{At, Circuit, Terminal};
use super::diode::Law;
use super::field::Bound;
use super::imperfections::Drawn;
use super::matrix::{Number, Pattern};
use super::model::{BOLTZMANN, CircuitCost};
use crate::error::Result;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::local::Local;
use crate::substrate::parameters::{ParameterShape, Parameters};
use crate::substrate::samples::Samples;
use crate::substrate::{Field, Population, Substrate};

/// A row of the weighted node equations and a factor on a current that leaves an end.
type Row = Option<(usize, f64)>;

/// A diode in place.
#[derive(Debug, Clone)]
pub(super) struct Junction {
    pub ends: [Terminal; 2],
    pub law: Law,
    pub bias: f64,
    /// What a current from the first end to the second does to the equations.
    pub rows: [Row; 2],
    /// For each row and each end, where ∂row/∂V_end lies in the matrix, and the gain of that end with its sign.
    pub places: [[Option<(usize, f64)>; 2]; 2],
}

/// What Johnson noise is drawn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseSeed {
    /// Seed of the experiment.
    pub seed: u64,
    /// Number of the update.
    pub update: u64,
}

/// A circuit programmed with parameters.
///
/// Its equations are F_i(V) = w_i I_i(V)/g in V, with I_i the current into node i, w_i the weight of [`Circuit::weight`] and g the
/// conductance of the nudge: τ_i dV_i/dt = F_i − β ∂C/∂V_i with τ_i = w_i C_i/g in units of the model's `tau`. Of a reciprocal circuit
/// ∂F/∂V is symmetric.
pub struct Programmed {
    circuit: Arc<Circuit>,
    pattern: Arc<Pattern>,
    /// Conductance of every resistor, group by group, in S.
    conductances: Vec<Vec<f64>>,
    /// Drawn with the device: factors on the conductances.
    tolerance: Vec<Vec<f64>>,
    /// ∂F/∂V of everything but the diodes.
    pub(super) linear: Vec<f64>,
    /// ∂F/∂x, [nodes × inputs] row by row.
    input: Vec<f64>,
    /// What sources add to F.
    constant: Vec<f64>,
    pub(super) junctions: Vec<Junction>,
    tau: Vec<f64>,
    /// What Johnson noise is drawn by; none where there is no such noise.
    noise: Option<NoiseSeed>,
}

impl Programmed {
    /// Programs the parameters; conductances that are fixed but drawn come from the `seed`.
    ///
    /// # Errors
    /// An internal error if the matrix cannot be analysed.
    pub fn new<T: Scalar>(circuit: &Arc<Circuit>, parameters: &Parameters<T>, seed: u64) -> Result<Self> {
        let n = circuit.free.len();
        let imperfect = circuit.spec.imperfections;
        let pattern = Arc::new(Pattern::new(n, entries(circuit).into_iter())?);
        let total = circuit.resistors.iter().map(|group| group.ends.len()).sum();
        let draws = imperfect.draw(Drawn::Resistors, imperfect.resistor_tolerance, total);
        let mut draws = draws.into_iter().map(f64::exp);
        let tolerance =
            circuit.resistors.iter().map(|group| draws.by_ref().take(group.ends.len()).collect()).collect();
        let fixed =
            circuit.resistors.iter().enumerate().map(|(place, group)| group.conductances(place, seed));
        let conductances = fixed.collect();
        let scale = circuit.output.nudging * circuit.spec.tau;
        let tau = circuit.free.iter().zip(&circuit.weight).map(|(node, w)| w * node.capacitance / scale);
        let mut programmed = Self {
            junctions: junctions(circuit, &pattern),
            tau: tau.collect(),
            circuit: Arc::clone(circuit),
            pattern,
            conductances,
            tolerance,
            linear: Vec::new(),
            input: Vec::new(),
            constant: Vec::new(),
            noise: None,
        };
        let fixed: Vec<usize> =
            (0..circuit.resistors.len()).filter(|g| circuit.resistors[*g].trainable.is_none()).collect();
        for group in fixed {
            let factors = programmed.tolerance[group].clone();
            programmed.conductances[group].iter_mut().zip(factors).for_each(|(g, f)| *g *= f);
        }
        programmed.program(parameters);
        Ok(programmed)
    }

    /// Programs other parameters.
    pub fn program<T: Scalar>(&mut self, parameters: &Parameters<T>) {
        let circuit = Arc::clone(&self.circuit);
        for (place, group) in circuit.resistors.iter().enumerate() {
            let Some((index, trainable)) = group.trainable else { continue };
            let written = parameters.at(index).iter().zip(&self.tolerance[place]);
            let made = written.map(|(w, factor)| trainable.conductance(w.double()) * factor);
            self.conductances[place] = made.collect();
        }
        let inputs = circuit.inputs();
        self.linear = vec![0.0; self.pattern.entries()];
        self.input = vec![0.0; circuit.free.len() * inputs];
        self.constant = vec![0.0; circuit.free.len()];
        for (place, group) in circuit.resistors.iter().enumerate() {
            for (i, ends) in group.ends.iter().enumerate() {
                let (rows, g) = (rows(&circuit, ends), self.conductances[place][i]);
                self.stamp(rows, ends[0], g, inputs);
                self.stamp(rows, ends[1], -g, inputs);
            }
        }
        for t in &circuit.transconductors {
            let receiver = rows(&circuit, &[t.ends[1], t.ends[1]]);
            self.stamp([None, receiver[1]], t.ends[0], t.transconductance, inputs);
        }
    }

    /// Adds a current of `conductance` times the voltage of an end to equations.
    fn stamp(&mut self, rows: [Row; 2], end: Terminal, conductance: f64, inputs: usize) {
        for (i, factor) in rows.into_iter().flatten() {
            let weight = factor * conductance;
            match end.at {
                At::Free(j) => self.linear[self.pattern.place(i, j)] += weight * end.gain,
                At::Input(k) => self.input[i * inputs + k] += weight * end.gain,
                At::Ground => {}
            }
            self.constant[i] += weight * end.offset;
        }
    }

    /// The circuit.
    #[must_use]
    pub fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Conductances in S, by group of resistors.
    #[must_use]
    pub fn conductances(&self) -> &[Vec<f64>] {
        &self.conductances
    }

    /// Time constants w C/g, in units of the model's `tau`.
    #[must_use]
    pub fn tau(&self) -> &[f64] {
        &self.tau
    }

    /// Has Johnson noise drawn by a seed from now on, or switches it off.
    pub fn set_noise(&mut self, noise: Option<NoiseSeed>) {
        self.noise = noise;
    }

    pub(super) fn noise(&self) -> Option<NoiseSeed> {
        self.noise
    }

    /// What inputs and sources add to F.
    pub(super) fn drive(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.input.chunks_exact(x.len());
        let product = rows.map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>());
        product.zip(&self.constant).map(|(a, c)| a + c).collect()
    }

    /// √(2kTG/h) of every resistor, in A, with what its current does to the equations.
    pub(super) fn johnson(&self, seconds: f64) -> Vec<(f64, [Row; 2])> {
        let power = 2.0 * BOLTZMANN * self.circuit.spec.temperature / seconds;
        let groups = self.circuit.resistors.iter().zip(&self.conductances);
        let all = groups.flat_map(|(group, g)| group.ends.iter().zip(g));
        all.map(|(ends, g)| ((power * g).sqrt(), rows(&self.circuit, ends))).collect()
    }

    /// Voltages of the outputs' errors, and what they are computed with: p of a softmax.
    pub(super) fn output_error<N: Number>(&self, v: &[N], targets: &[f64], error: &mut [N], share: &mut [N]) {
        let output = &self.circuit.output;
        let read = |(a, b): &(usize, Option<usize>)| v[*a] - b.map_or(N::real(0.0), |b| v[b]);
        for (e, nodes) in error.iter_mut().zip(&output.nodes) {
            *e = read(nodes);
        }
        match output.cost {
            CircuitCost::SquaredError => {
                let targets = targets.iter().map(|y| N::real(output.volts * y));
                error.iter_mut().zip(targets).for_each(|(e, y)| *e -= y);
            }
            CircuitCost::CrossEntropy => {
                let most = error.iter().map(|e| e.parts().0).fold(f64::NEG_INFINITY, f64::max);
                let mut sum = N::real(0.0);
                for (p, e) in share.iter_mut().zip(error.iter()) {
                    *p = ((*e - N::real(most)) * N::real(1.0 / output.volts)).exponential();
                    sum += *p;
                }
                for ((p, e), y) in share.iter_mut().zip(error.iter_mut()).zip(targets) {
                    let part = *p / sum;
                    *p = part;
                    *e = (part - N::real(*y)) * N::real(output.volts);
                }
            }
        }
    }

    /// Cost in V² and whether the largest output is the target's, of one sample.
    #[must_use]
    pub fn judged(&self, v: &[f64], targets: &[f64]) -> (f64, bool) {
        let output = &self.circuit.output;
        let read: Vec<f64> = output.nodes.iter().map(|(a, b)| v[*a] - b.map_or(0.0, |b| v[b])).collect();
        let largest = |x: &[f64]| (0..x.len()).max_by(|i, j| x[*i].total_cmp(&x[*j])).unwrap_or(0);
        let right = largest(&read) == largest(targets);
        let cost = match output.cost {
            CircuitCost::SquaredError => {
                let squares = read.iter().zip(targets).map(|(u, y)| (u - output.volts * y).powi(2));
                0.5 * squares.sum::<f64>()
            }
            CircuitCost::CrossEntropy => {
                let most = read.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let all = read.iter().map(|u| ((u - most) / output.volts).exp()).sum::<f64>().ln();
                let taught: f64 = read.iter().zip(targets).map(|(u, y)| y * (u - most) / output.volts).sum();
                output.volts.powi(2) * (all - taught)
            }
        };
        (cost, right)
    }
}

/// What a current from the first end to the second does to the equations of their nodes.
pub(super) fn rows(circuit: &Circuit, ends: &[Terminal; 2]) -> [Row; 2] {
    let row = |end: Terminal, sign: f64| {
        end.free().map(|i| (i, sign * circuit.weight[i] / (circuit.output.nudging * end.gain)))
    };
    [row(ends[0], -1.0), row(ends[1], 1.0)]
}

/// The voltage of an end.
pub(super) fn voltage<N: Number>(end: Terminal, v: &[N], x: &[f64]) -> N {
    match end.at {
        At::Free(i) => v[i] * N::real(end.gain) + N::real(end.offset),
        At::Input(k) => N::real(end.gain * x[k] + end.offset),
        At::Ground => N::real(end.offset),
    }
}

/// Pairs of nodes of which one's equation depends on the other.
fn entries(circuit: &Circuit) -> Vec<(usize, usize)> {
    let linear = circuit.resistors.iter().flat_map(|group| group.ends.iter().copied());
    let diodes = circuit.diodes.iter().map(|d| d.ends);
    let all = linear.chain(diodes).chain(circuit.transconductors.iter().map(|t| t.ends));
    let mut entries: Vec<(usize, usize)> = all.filter_map(|[a, b]| a.free().zip(b.free())).collect();
    let outputs = &circuit.output.nodes;
    let of = |(a, b): &(usize, Option<usize>)| std::iter::once(*a).chain(*b).collect::<Vec<_>>();
    match circuit.output.cost {
        CircuitCost::SquaredError => entries.extend(outputs.iter().filter_map(|(a, b)| Some((*a, (*b)?)))),
        CircuitCost::CrossEntropy => {
            let nodes: Vec<usize> = outputs.iter().flat_map(of).collect();
            entries.extend(nodes.iter().flat_map(|i| nodes.iter().map(move |j| (*i, *j))));
        }
    }
    entries
}

fn junctions(circuit: &Circuit, pattern: &Pattern) -> Vec<Junction> {
    let imperfect = circuit.spec.imperfections;
    let count = circuit.diodes.len();
    let currents = imperfect.draw(Drawn::SaturationCurrents, imperfect.saturation_current, count);
    let idealities = imperfect.draw(Drawn::Idealities, imperfect.ideality, count);
    let one = |((diode, current), ideality): ((&super::circuit::Diode, f64), f64)| {
        let rows = rows(circuit, &diode.ends);
        let mut places = [[None; 2]; 2];
        for (row, places) in rows.iter().zip(&mut places) {
            for (k, sign) in [(0, 1.0), (1, -1.0)] {
                let end = diode.ends[k];
                let both = row.as_ref().zip(end.free());
                places[k] = both.map(|((i, _), j)| (pattern.place(*i, j), sign * end.gain));
            }
        }
        let law = Law {
            saturation_current: diode.saturation_current * current.exp(),
            thermal: diode.thermal * ideality.exp(),
        };
        Junction { ends: diode.ends, law, bias: diode.bias, rows, places }
    };
    circuit.diodes.iter().zip(currents).zip(idealities).map(one).collect()
}

impl<T: Scalar> Substrate<T> for Programmed {
    fn populations(&self) -> Vec<Population> {
        self.circuit.populations.clone()
    }

    fn parameters(&self) -> &Arc<[ParameterShape]> {
        self.circuit.shapes()
    }

    fn inputs(&self) -> usize {
        self.circuit.inputs()
    }

    fn outputs(&self) -> usize {
        self.circuit.outputs()
    }

    fn bind<'a>(&'a self, samples: &Samples<T>, rails: usize, _: Option<&[T]>) -> Box<dyn Field<'a, T> + 'a> {
        Box::new(Bound::new(self, Substrate::<T>::shape(self, samples.count, rails), samples))
    }

    fn is_tied(&self) -> bool {
        self.circuit.reciprocal
    }

    fn free_state(&self, _: &Samples<T>, rates: &[T]) -> Vec<T> {
        rates.to_vec()
    }

    fn gradient(&self, shape: &StateShape, samples: &Samples<T>, local: &Local<'_, T>) -> Parameters<T> {
        let inputs = self.circuit.inputs();
        let mut sums: Vec<Vec<f64>> = self.conductances.iter().map(|g| vec![0.0; g.len()]).collect();
        let n = self.circuit.free.len();
        let (mut v, mut delta) = (vec![0.0; n], vec![0.0; n]);
        for sample in 0..samples.count {
            super::field::gather(shape, sample, local.free, &mut v);
            super::field::gather(shape, sample, local.error_vector, &mut delta);
            let x: Vec<f64> =
                samples.inputs[sample * inputs..][..inputs].iter().map(|x| x.double()).collect();
            for (group, sum) in self.circuit.resistors.iter().zip(&mut sums) {
                if group.trainable.is_none() {
                    continue;
                }
                for (ends, sum) in group.ends.iter().zip(sum) {
                    let across = voltage(ends[0], &v, &x) - voltage(ends[1], &v, &x);
                    let seen: f64 =
                        rows(&self.circuit, ends).iter().flatten().map(|(i, r)| r * delta[*i]).sum();
                    *sum -= across * seen;
                }
            }
        }
        self.collected(&sums)
    }

    fn measured(&self) -> Vec<usize> {
        self.circuit.resistors.iter().filter_map(|group| Some(group.trainable?.0)).collect()
    }

    fn add_products(&self, _: &StateShape, _: &[T], _: Complex<f64>, _: &mut Parameters<T>, _: &mut Vec<T>) {
        unreachable!("`per_synapse` is refused for circuits")
    }

    fn add_readout(&self, _: &StateShape, _: (&[T], &[T]), _: f64, _: &mut Parameters<T>, _: &mut Vec<T>) {}
}

impl Programmed {
    /// Adds to a gradient what the offsets of the meters make of it: o/(β g) of an offset o of ½ΔV², of the lock-ins' outputs where it is
    /// `driven`, else of the difference between two states at rest.
    pub fn add_offsets<T: Scalar>(&self, driven: bool, amplitude: f64, gradient: &mut Parameters<T>) {
        let imperfect = self.circuit.spec.imperfections;
        let (what, deviation) = match driven {
            true => (Drawn::LockInOffsets, imperfect.lock_in_offset),
            false => (Drawn::SenseOffsets, imperfect.sense_offset),
        };
        if deviation == 0.0 {
            return;
        }
        let count = self.conductances.iter().map(Vec::len).sum();
        let mut offsets = imperfect.draw(what, deviation, count).into_iter();
        let mut sums = Vec::with_capacity(self.conductances.len());
        for group in &self.circuit.resistors {
            let sum = |(ends, offset): (&[Terminal; 2], f64)| {
                // A resistor behind an amplifier counts with the weight that its co-content has.
                let weight =
                    ends.iter().find_map(|end| end.free().map(|i| self.circuit.weight[i] / end.gain.powi(2)));
                offset * weight.unwrap_or(0.0) / (amplitude * self.circuit.output.nudging)
            };
            sums.push(group.ends.iter().zip(offsets.by_ref()).map(sum).collect::<Vec<f64>>());
        }
        gradient.add_scaled(T::one(), &self.collected(&sums));
    }

    /// Sums of ∂C/∂G of all resistors as a gradient with respect to what is learnt.
    fn collected<T: Scalar>(&self, sums: &[Vec<f64>]) -> Parameters<T> {
        let mut gradient = Parameters::zeros(self.circuit.shapes());
        for (place, group) in self.circuit.resistors.iter().enumerate() {
            let Some((index, trainable)) = group.trainable else { continue };
            let factors = sums[place].iter().zip(&self.conductances[place]).zip(&self.tolerance[place]);
            let inner = |((sum, g), tolerance): ((&f64, &f64), &f64)| match trainable.by {
                super::model::Learnt::Conductance => sum * tolerance,
                super::model::Learnt::Logarithm => sum * g,
            };
            let values = factors.map(inner).map(T::of);
            gradient.at_mut(index).iter_mut().zip(values).for_each(|(g, v)| *g = v);
        }
        gradient
    }
}
