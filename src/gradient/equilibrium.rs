//! Equilibria under frozen teaching.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::anderson::{Options, fixed_point};
use super::{Setting, Stop};
use crate::error::Result;
use crate::error::{Invalid, non_negative, positive};
use crate::integrators::{FixedStep, Leak, Method, VectorField};
use crate::lockin::{Observer, View};
use crate::scalar::{Layout, Scalar};
use crate::simulate::Simulation;
use crate::substrate::effective::Effective;
use crate::substrate::field::Dynamics;
use crate::substrate::samples::Samples;
use crate::substrate::state::StateShape;
use crate::teaching::{Teaching, Time};

/// How an equilibrium is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settle {
    /// Euler step, in units of each neuron's own τ (an equilibrium does not depend on them); 1 is the papers' map.
    pub step: f64,
    /// Largest |G − s| at which the state counts as settled; null for 1e-13 (f64) or 2e-6 (f32), 0 to run to `max_time`.
    pub tolerance: Option<f64>,
    /// Longest time to wait, in τ.
    pub max_time: f64,
    /// Whether a free equilibrium may be found by Anderson acceleration instead of relaxation: far fewer evaluations, but
    /// where there are several equilibria not always the one that relaxation from rest reaches.
    pub accelerate: bool,
    /// Time at the end of the phase, in τ, over which rates are averaged: what an integrating read-out sees of a noisy
    /// substrate. 0 takes the last instant; more needs `tolerance` 0, so that each phase lasts `max_time`.
    pub average: f64,
}

impl Default for Settle {
    fn default() -> Self {
        Self { step: 0.5, tolerance: None, max_time: 5000.0, accelerate: false, average: 0.0 }
    }
}

impl Settle {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("step", self.step)?;
        if self.step >= 2.0 {
            return Err(Invalid::new(
                "step",
                format!("found {}", self.step),
                "below 2: the leak is unstable beyond",
            ));
        }
        positive("max_time", self.max_time)?;
        self.tolerance.map_or(Ok(()), |t| non_negative("tolerance", t))?;
        non_negative("average", self.average)?;
        let legal = if self.average > self.max_time {
            "at most `max_time`"
        } else if self.average > 0.0 && self.tolerance != Some(0.0) {
            "0, or `tolerance` 0: a phase that ends when it has settled has nothing to average"
        } else {
            return Ok(());
        };
        Err(Invalid::new("average", format!("found {}", self.average), legal))
    }

    fn tolerance<T: Scalar>(&self) -> f64 {
        self.tolerance.unwrap_or(if T::NAME == "f64" { 1e-13 } else { 2e-6 })
    }
}

/// An equilibrium, or the state that was reached in its place.
pub struct Equilibrium<T: Scalar> {
    /// The integrated variable, laid out as [`crate::substrate::state::StateShape`] with the rails asked for.
    pub state: Vec<T>,
    /// Rates, laid out as the state.
    pub rates: Vec<T>,
    /// p − y (or a − y), [outputs × rails·batch].
    pub output_error: Vec<T>,
    /// W_in x + b, laid out as the state.
    drive: Vec<T>,
    /// Largest |G − s|.
    pub residual: f64,
    /// Evaluations of the right-hand side.
    pub evaluations: u64,
    /// The tick that was reached: the next phase of an estimate goes on from here, with noise of its own.
    pub tick: u64,
    /// [`Stop::Settled`] or [`Stop::TimeLimit`].
    pub stop: Stop,
}

impl<T: Scalar> Equilibrium<T> {
    /// The potentials W a + W_in x + b of a free equilibrium, in either form.
    #[must_use]
    pub fn potentials(&self, effective: &Effective<T>) -> Vec<T> {
        couple(effective, self.drive.clone(), &self.rates)
    }
}

/// What acts on the substrate while an equilibrium is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Phase<'a, T> {
    /// The frozen teaching signal.
    pub teaching: Teaching,
    /// 1 for a real state, 2 for a complex one.
    pub rails: usize,
    /// The free rates a*, laid out as a real state, where the coupling is corrected for its asymmetry; see
    /// [`Dynamics::correct_asymmetry`].
    pub correction: Option<&'a [T]>,
}

impl<T> Phase<'_, T> {
    /// A real state without teaching.
    #[must_use]
    pub fn free() -> Self {
        Self { teaching: Teaching::none(), rails: 1, correction: None }
    }
}

/// Steps between two looks at the residual.
const LOOK: u64 = 8;

/// The mean of rates and output errors over some ticks.
struct Mean<T> {
    first: u64,
    weight: f64,
    rates: Vec<T>,
    output_error: Vec<T>,
}

impl<T: Scalar> Mean<T> {
    /// Over `count` ticks from `first`.
    fn new(first: u64, count: u64) -> Self {
        Self { first, weight: 1.0 / count as f64, rates: Vec::new(), output_error: Vec::new() }
    }
}

impl<T: Scalar> Observer<T> for Mean<T> {
    fn wants(&self, tick: u64) -> bool {
        tick >= self.first
    }

    fn observe(&mut self, _tick: u64, view: &View<'_, T>) {
        let weight = T::of(self.weight);
        for (mean, now) in [(&mut self.rates, view.rates), (&mut self.output_error, view.output_error)] {
            mean.resize(now.len(), T::zero());
            mean.iter_mut().zip(now).for_each(|(m, v)| *m += weight * *v);
        }
    }
}

/// Relaxes to the equilibrium of frozen teaching from a state at a tick, or from rest at tick 0.
///
/// # Errors
/// [`crate::Error::Diverged`].
pub fn equilibrium<'a, T: Scalar>(
    setting: &Setting<'a, T>,
    samples: &Samples<T>,
    phase: Phase<'_, T>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
) -> Result<Equilibrium<T>> {
    let mut field = Dynamics::new(setting.effective, samples, phase.rails);
    field.teach(phase.teaching);
    if let Some(free) = phase.correction {
        field.correct_asymmetry(free);
    }
    setting.hold_noise(&mut field, samples);
    let len = field.shape().len();
    let state = start.map_or_else(|| vec![T::zero(); len], |(state, _)| state.to_vec());
    let method = if settle.step == 1.0 { Method::Map } else { Method::Euler };
    let integrator = Box::new(FixedStep::new(method, settle.step, &Leak::Uniform(T::one()), len));
    let mut simulation = Simulation::new(field, integrator, settle.step, state);
    simulation.tick = start.map_or(0, |(_, tick)| tick);
    let most = simulation.tick + (settle.max_time / settle.step).ceil() as u64;
    let tolerance = settle.tolerance::<T>();
    let averaged = ((settle.average / settle.step).round() as u64).max(1);
    let mut mean = Mean::new(most + 1 - averaged, averaged);
    let mut residual = f64::INFINITY;
    while simulation.tick < most && (residual > tolerance || tolerance == 0.0) {
        simulation.run(LOOK.min(most - simulation.tick), &mut [&mut mean])?;
        if tolerance > 0.0 {
            residual = simulation.residual();
        }
    }
    let residual = simulation.residual();
    let (rates, output_error) = if averaged > 1 {
        simulation.observe(&mut [&mut mean])?;
        (mean.rates, mean.output_error)
    } else {
        simulation.field.observe(&simulation.state);
        (simulation.field.rates().to_vec(), simulation.field.output_error().to_vec())
    };
    Ok(Equilibrium {
        rates,
        output_error,
        residual,
        evaluations: simulation.field.evaluations(),
        tick: simulation.tick,
        stop: if residual <= tolerance || tolerance == 0.0 { Stop::Settled } else { Stop::TimeLimit },
        state: simulation.state,
        drive: simulation.field.into_drive(),
    })
}

/// The free equilibrium: a real state without teaching.
///
/// Where `settle.accelerate` allows it (no noise, no fixed waiting time) it is found by Anderson acceleration after a
/// short relaxation from rest; `settle.max_time` bounds the evaluations to those of the relaxation. Samples for which that
/// fails are relaxed from rest.
///
/// # Errors
/// [`crate::Error::Diverged`].
pub fn free<T: Scalar>(
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    settle: &Settle,
) -> Result<Equilibrium<T>> {
    // Beyond this many evaluations something is wrong, and relaxation is the safer way.
    const MOST: u64 = 200;
    let relax = |samples: &Samples<T>| equilibrium(setting, samples, Phase::free(), settle, None);
    let tolerance = settle.tolerance::<T>();
    let steps = (settle.max_time / settle.step).ceil() as u64;
    if !settle.accelerate || setting.noise.is_some() || tolerance == 0.0 || steps <= LOOK {
        return relax(samples);
    }
    let mut field = Dynamics::new(setting.effective, samples, 1);
    let shape = field.shape().clone();
    let mut state = vec![T::zero(); shape.len()];
    let mut target = state.clone();
    let mixing = T::of(settle.step.min(1.0));
    for tick in 0..LOOK {
        field.target(Time::at(tick), &state, &mut target);
        state.iter_mut().zip(&target).for_each(|(s, g)| *s += mixing * (*g - *s));
    }
    let options = Options { mixing: mixing.double(), tolerance, most: MOST.min(steps - LOOK), narrows: true };
    let mut narrow: Option<Dynamics<'_, T>> = None;
    let map = |active: &[usize], s: &[T], g: &mut [T]| {
        let width = narrow.as_ref().map_or(samples.count, |field| field.shape().batch);
        if active.len() < width {
            narrow = Some(field.select(active));
        }
        narrow.as_mut().unwrap_or(&mut field).target(Time::at(0), s, g);
    };
    let end = fixed_point(&shape, map, &mut state, options);
    let late = end.late(tolerance);
    let mut evaluations = LOOK + end.evaluations;
    let (mut residual, mut stop) = (end.residual(), Stop::Settled);
    if !late.is_empty() {
        let relaxed = relax(&samples.select(&late))?;
        let part = StateShape::new(setting.effective.network(), late.len(), 1);
        for (from, to) in late.iter().enumerate() {
            for (from, to) in part.sample(from).zip(shape.sample(*to)) {
                state[to].copy_from_slice(&relaxed.state[from]);
            }
        }
        evaluations += relaxed.evaluations;
        let arrived = end.residuals.iter().copied().filter(|residual| *residual <= tolerance);
        residual = arrived.fold(relaxed.residual, f64::max);
        stop = relaxed.stop;
    }
    field.observe(&state);
    Ok(Equilibrium {
        tick: LOOK,
        rates: field.rates().to_vec(),
        output_error: field.output_error().to_vec(),
        residual,
        evaluations,
        stop,
        state,
        drive: field.into_drive(),
    })
}

/// The potentials W a + W_in x + b at given rates (real): u* of either form.
#[must_use]
pub fn potentials<T: Scalar>(effective: &Effective<T>, samples: &Samples<T>, rates: &[T]) -> Vec<T> {
    couple(effective, Dynamics::new(effective, samples, 1).into_drive(), rates)
}

/// Drive plus W a.
fn couple<T: Scalar>(effective: &Effective<T>, mut drive: Vec<T>, rates: &[T]) -> Vec<T> {
    let network = effective.network();
    let columns = rates.len() / network.layers.iter().map(|layer| layer.size).sum::<usize>();
    effective.multiply(&StateShape::new(network, columns, 1), Layout::Plain, rates, &mut drive);
    drive
}

/// A real state as a complex one with zero imaginary part.
#[must_use]
pub fn complexified<T: Scalar>(shape: &StateShape, real: &[T]) -> Vec<T> {
    let (one, two) = (shape.with_rails(1), shape.with_rails(2));
    let mut complex = vec![T::zero(); two.len()];
    for layer in 0..shape.layers() {
        complex[two.real(layer)].copy_from_slice(&real[one.layer(layer)]);
    }
    complex
}

/// The real rail of a complex state.
#[must_use]
pub fn real_part<T: Scalar>(shape: &StateShape, complex: &[T]) -> Vec<T> {
    let two = shape.with_rails(2);
    (0..shape.layers()).flat_map(|layer| complex[two.real(layer)].iter().copied()).collect()
}

/// The imaginary rail of a complex state.
#[must_use]
pub fn imaginary_part<T: Scalar>(shape: &StateShape, complex: &[T]) -> Vec<T> {
    let two = shape.with_rails(2);
    let rail = |layer: usize| two.real(layer).end..two.layer(layer).end;
    (0..shape.layers()).flat_map(|layer| complex[rail(layer)].iter().copied()).collect()
}
