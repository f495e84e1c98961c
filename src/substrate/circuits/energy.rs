//! Where the power of a circuit goes, integrated along simulated trajectories.

use std::ops::{AddAssign, Mul};

use serde::{Deserialize, Serialize};

use super::circuit::Terminal;
use super::field::gather;
use super::programmed::{Programmed, voltage};
use crate::error::Result;
use crate::numerics::state::StateShape;
use crate::simulation::Simulation;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::Observer;
use crate::simulation::teaching::{Teaching, Time};
use crate::simulation::view::View;
use crate::substrate::Substrate;
use crate::substrate::samples::Samples;

/// Power in W, or its integral in J.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// What voltage sources, amplifiers and transconductors deliver.
    pub supplied: f64,
    /// What the teaching currents deliver.
    pub nudge: f64,
    /// What resistors that learn dissipate: the synapses.
    pub trainable_resistors: f64,
    /// What the other resistors dissipate.
    pub fixed_resistors: f64,
    /// What diodes dissipate.
    pub diodes: f64,
    /// What capacitors store: at an instant in J; of an integral, what they have gained.
    pub stored: f64,
}

impl Budget {
    /// What resistors and diodes dissipate.
    #[must_use]
    pub fn dissipated(&self) -> f64 {
        self.trainable_resistors + self.fixed_resistors + self.diodes
    }

    /// What is delivered and neither dissipated nor stored, over what is delivered and dissipated: 0 but for the integrator's error. Of an
    /// integral.
    #[must_use]
    pub fn imbalance(&self) -> f64 {
        let open = self.supplied + self.nudge - self.dissipated() - self.stored;
        open.abs() / (self.supplied.abs() + self.nudge.abs()).max(self.dissipated())
    }
}

impl AddAssign for Budget {
    fn add_assign(&mut self, other: Self) {
        self.supplied += other.supplied;
        self.nudge += other.nudge;
        self.trainable_resistors += other.trainable_resistors;
        self.fixed_resistors += other.fixed_resistors;
        self.diodes += other.diodes;
        self.stored += other.stored;
    }
}

impl Mul<f64> for Budget {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self {
            supplied: self.supplied * factor,
            nudge: self.nudge * factor,
            trainable_resistors: self.trainable_resistors * factor,
            fixed_resistors: self.fixed_resistors * factor,
            diodes: self.diodes * factor,
            stored: self.stored * factor,
        }
    }
}

/// What is delivered at an end out of which a current flows, beyond what its node gives: by a source or an amplifier.
fn delivered(end: Terminal, current: f64, v: &[f64], x: &[f64]) -> f64 {
    let from_node = end.free().map_or(0.0, |i| current / end.gain * v[i]);
    current * voltage(end, v, x) - from_node
}

impl Programmed {
    /// Power of every kind at the voltages of one sample; `stored` is the energy in the capacitors.
    #[must_use]
    pub fn power(&self, v: &[f64], x: &[f64], targets: &[f64], beta: f64) -> Budget {
        let circuit = self.circuit();
        let mut budget = Budget::default();
        for (group, conductances) in circuit.resistors.iter().zip(self.conductances()) {
            let mut dissipated = 0.0;
            for ([a, b], g) in group.ends.iter().zip(conductances) {
                let across = voltage(*a, v, x) - voltage(*b, v, x);
                let current = g * across;
                dissipated += current * across;
                budget.supplied += delivered(*a, current, v, x) + delivered(*b, -current, v, x);
            }
            match group.trainable {
                Some(_) => budget.trainable_resistors += dissipated,
                None => budget.fixed_resistors += dissipated,
            }
        }
        for junction in &self.junctions {
            let [a, b] = junction.ends;
            let across: f64 = voltage(a, v, x) - voltage(b, v, x);
            let (current, _) = junction.law.at(across - junction.bias);
            budget.diodes += current * (across - junction.bias);
            // The source in series works against the current.
            budget.supplied +=
                delivered(a, current, v, x) + delivered(b, -current, v, x) - current * junction.bias;
        }
        for transconductor in &circuit.transconductors {
            let [from, to] = transconductor.ends;
            let current = transconductor.transconductance * voltage(from, v, x);
            budget.supplied += current * voltage(to, v, x) + delivered(to, -current, v, x);
        }
        if beta != 0.0 {
            let outputs = circuit.outputs();
            let (mut error, mut share) = (vec![0.0; outputs], vec![0.0; outputs]);
            self.output_error(v, targets, &mut error, &mut share);
            for ((a, b), e) in circuit.output.nodes.iter().zip(&error) {
                let read = v[*a] - b.map_or(0.0, |b| v[b]);
                budget.nudge -= beta * circuit.output.nudging * e * read;
            }
        }
        budget.stored = circuit.free.iter().zip(v).map(|(node, v)| 0.5 * node.capacitance * v * v).sum();
        budget
    }
}

impl Programmed {
    /// What every resistor, then every diode, dissipates at the voltages of one sample, in W, in the order of [`Circuit::elements`].
    ///
    /// [`Circuit::elements`]: super::circuit::Circuit::elements
    #[must_use]
    pub fn powers(&self, v: &[f64], x: &[f64]) -> Vec<f64> {
        let across = |[a, b]: [Terminal; 2]| voltage(a, v, x) - voltage(b, v, x);
        let groups = self.circuit().resistors.iter().zip(self.conductances());
        let resistors = groups.flat_map(|(group, g)| group.ends.iter().zip(g));
        let resistors = resistors.map(|(ends, g)| g * across(*ends).powi(2));
        let diodes = self.junctions.iter().map(|junction| {
            let volts = across(junction.ends) - junction.bias;
            junction.law.at(volts).0 * volts
        });
        resistors.chain(diodes).collect()
    }
}

/// Integrates power over an even number of ticks, by Simpson's rule, summed over the samples.
pub struct Meter<'a> {
    programmed: &'a Programmed,
    samples: &'a Samples<f64>,
    teaching: Teaching,
    first: u64,
    ticks: u64,
    seconds: f64,
    total: Budget,
    before: f64,
}

impl<'a> Meter<'a> {
    /// From a tick on, for so many; a tick has `step` units of the model's `tau`.
    #[must_use]
    pub fn new(
        programmed: &'a Programmed,
        samples: &'a Samples<f64>,
        teaching: Teaching,
        (first, ticks): (u64, u64),
        step: f64,
    ) -> Self {
        let seconds = step * programmed.circuit().spec.tau;
        Self { programmed, samples, teaching, first, ticks, seconds, total: Budget::default(), before: 0.0 }
    }

    /// J, of all samples together.
    #[must_use]
    pub fn total(&self) -> Budget {
        self.total
    }
}

impl Observer<f64> for Meter<'_> {
    fn wants(&self, tick: u64) -> bool {
        (self.first..=self.first + self.ticks).contains(&tick)
    }

    fn observe(&mut self, tick: u64, view: &View<'_, f64>) {
        let circuit = self.programmed.circuit();
        let (inputs, outputs) = (circuit.inputs(), circuit.outputs());
        let mut v = vec![0.0; circuit.free.len()];
        let beta = self.teaching.beta(Time::at(tick)).re;
        let mut now = Budget::default();
        for sample in 0..self.samples.count {
            gather(view.shape, sample, view.state, &mut v);
            let x = &self.samples.inputs[sample * inputs..][..inputs];
            let targets = &self.samples.targets[sample * outputs..][..outputs];
            now += self.programmed.power(&v, x, targets, beta);
        }
        let place = tick - self.first;
        let weight = match place {
            0 => 1.0,
            last if last == self.ticks => 1.0,
            odd if odd % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let stored = now.stored;
        self.total += Budget { stored: 0.0, ..now } * (weight * self.seconds / 3.0);
        if place == 0 {
            self.before = stored;
        } else {
            self.total.stored = stored - self.before;
        }
    }
}

/// What samples take together, in J, from a state on through an even number of ticks of a drive.
///
/// # Errors
/// [`crate::Error::Diverged`].
pub fn metered(
    programmed: &Programmed,
    samples: &Samples<f64>,
    teaching: Teaching,
    (integrator, step): (IntegratorSpec, f64),
    ticks: u64,
    start: Option<Vec<f64>>,
) -> Result<Budget> {
    let shape: StateShape = Substrate::<f64>::shape(programmed, samples.count, 1);
    let mut field = Substrate::<f64>::bind(programmed, samples, 1, None);
    field.teach(teaching);
    let state = start.unwrap_or_else(|| vec![0.0; shape.len()]);
    let integrator = integrator.build(step, field.leak(), state.len());
    let mut meter = Meter::new(programmed, samples, teaching, (0, ticks), step);
    let mut simulation = Simulation::new(field, integrator, step, state);
    simulation.run(ticks, &mut [&mut meter])?;
    simulation.observe(&mut [&mut meter])?;
    Ok(meter.total())
}
