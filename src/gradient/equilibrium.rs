//! Equilibria under frozen teaching.

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acceleration::{Inspection, accelerate};
use super::{Setting, Stop};
use crate::error::{Invalid, Result, non_negative, positive};
use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{FixedStep, Leak, Method};
use crate::simulation::lockin::{Observer, Sums};
use crate::simulation::teaching::Teaching;
use crate::simulation::view::View;
use crate::simulation::{Simulation, Trajectory};
use crate::substrate::samples::Samples;
use crate::substrate::{Field, Substrate};

/// How an equilibrium is waited for. The defaults are those of an estimator's phases; where a place has defaults of its own, an object
/// that is written there in part keeps them for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settle {
    /// Euler step, in units of each neuron's own τ (an equilibrium does not depend on them); 1 is the papers' map.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 2))]
    pub step: f64,
    /// Largest |G − s| of a settled state; null for 1e-13 (f64) or 2e-6 (f32), 0 to run to `max_time`.
    #[schemars(range(min = 0.0))]
    pub tolerance: Option<f64>,
    /// Longest time to wait, in τ, and at most 1e12 steps.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_time: f64,
    /// Whether Anderson acceleration may find the equilibrium where there is no noise: far fewer evaluations. What is found
    /// has to be stable and to lie where relaxation is seen to lead, or the sample is relaxed.
    pub accelerate: bool,
    /// Whether noise acts from the beginning of the phase. With false it relaxes undisturbed, and noise begins with the
    /// averaging (never, with `average` 0).
    pub noise: bool,
    /// Time, in τ, over which the read-out integrates what it sees of a noisy substrate: the end of the phase, which needs
    /// `tolerance` 0 and is no longer than `max_time`, or, with `noise` false, as long after it. 0 takes the last instant.
    /// With `per_synapse` products are averaged, otherwise rates.
    #[schemars(range(min = 0.0))]
    pub average: f64,
}

impl Default for Settle {
    fn default() -> Self {
        Self { step: 0.5, tolerance: None, max_time: 5000.0, accelerate: false, noise: true, average: 0.0 }
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
        for (name, time) in [("max_time", self.max_time), ("average", self.average)] {
            if time / self.step > MOST_STEPS {
                let found = format!("found {time:e} with a `step` of {}", self.step);
                return Err(Invalid::new(name, found, format!("at most {MOST_STEPS:e} steps")));
            }
        }
        let legal = if !self.noise {
            return Ok(());
        } else if self.average > self.max_time {
            "at most `max_time`"
        } else if self.average > 0.0 && self.tolerance != Some(0.0) {
            "0, or `tolerance` 0, or `noise` false: a phase that ends when it has settled has nothing to average"
        } else {
            return Ok(());
        };
        Err(Invalid::new("average", format!("found {}", self.average), legal))
    }

    pub(super) fn tolerance<T: Scalar>(&self) -> f64 {
        self.tolerance.unwrap_or(if T::NAME == "f64" { 1e-13 } else { 2e-6 })
    }
}

/// What a read-out sees of a substrate at one tick.
#[derive(Debug, Clone)]
pub struct Observation<T> {
    /// Rates, laid out as the state.
    pub rates: Vec<T>,
    /// p − y (or a − y), [outputs × rails·batch].
    pub output_error: Vec<T>,
}

/// An equilibrium, or the state that was reached in its place.
pub struct Equilibrium<T: Scalar> {
    /// The integrated variable, laid out as [`crate::numerics::state::StateShape`] with the rails asked for.
    pub state: Vec<T>,
    /// Rates, laid out as the state: the mean of `instants`.
    pub rates: Vec<T>,
    /// p − y (or a − y), [outputs × rails·batch]: the mean of `instants`.
    pub output_error: Vec<T>,
    /// What the read-out sees: the last tick, or those that [`Settle::average`] asks for.
    pub instants: Vec<Observation<T>>,
    /// W_in x + b, laid out as the state.
    pub drive: Vec<T>,
    /// Largest |G − s|.
    pub residual: f64,
    /// Evaluations of the right-hand side.
    pub evaluations: u64,
    /// The tick that was reached: the next phase of an estimate goes on from here.
    pub tick: u64,
    /// [`Stop::Settled`] or [`Stop::TimeLimit`].
    pub stop: Stop,
}

/// What acts on the substrate while an equilibrium is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Phase<'a, T> {
    /// The frozen teaching signal.
    pub teaching: Teaching,
    /// 1 for a real state, 2 for a complex one.
    pub rails: usize,
    /// The free rates a*, laid out as a real state, where the coupling is corrected for its asymmetry; see
    /// [`Field::correct_asymmetry`].
    pub correction: Option<&'a [T]>,
    /// W_in x + b where an earlier phase has computed it, laid out as a real state.
    pub drive: Option<&'a [T]>,
}

impl<T: Scalar> Phase<'_, T> {
    /// A real state without teaching.
    #[must_use]
    pub fn free() -> Self {
        Self { teaching: Teaching::none(), rails: 1, correction: None, drive: None }
    }

    fn is_free(&self) -> bool {
        self.rails == 1 && self.correction.is_none() && self.teaching == Teaching::none()
    }

    /// The field of this phase.
    fn bind<'a>(&self, substrate: &'a dyn Substrate<T>, samples: &Samples<T>) -> Box<dyn Field<'a, T> + 'a> {
        let mut field = substrate.bind(samples, self.rails, self.drive);
        field.teach(self.teaching);
        if let Some(free) = self.correction {
            field.correct_asymmetry(free);
        }
        field
    }
}

/// Most steps of one phase: beyond what any run can take, and below what the clock can count.
const MOST_STEPS: f64 = 1e12;

/// Steps between two looks at the residual.
pub(super) const LOOK: u64 = 8;

/// Every tick from a first one; or their mean, where somebody else sums.
struct Recent<T> {
    first: u64,
    /// Of a tick in the mean.
    share: f64,
    instants: Vec<Observation<T>>,
    mean: Option<Observation<T>>,
}

impl<T: Scalar> Recent<T> {
    fn into_instants(self) -> Vec<Observation<T>> {
        self.mean.map_or(self.instants, |mean| vec![mean])
    }
}

impl<T: Scalar> Observer<T> for Recent<T> {
    fn wants(&self, tick: u64) -> bool {
        tick >= self.first
    }

    fn observe(&mut self, _tick: u64, view: &View<'_, T>) {
        if let Some(Observation { rates, output_error }) = &mut self.mean {
            let share = T::of(self.share);
            // The mean is laid out as it was summed: with both rails.
            let shape = view.shape.with_rails(1);
            let widened = |values: &[T], shape: &StateShape| {
                if view.shape.rails == 1 { shape.complexified(values) } else { values.to_vec() }
            };
            let outputs = StateShape::block(view.output_error.len() / view.shape.columns(), shape.batch, 1);
            let add = |sum: &mut [T], more: Vec<T>| {
                sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += share * x);
            };
            add(rates, widened(view.rates, &shape));
            add(output_error, widened(view.output_error, &outputs));
            if view.shape.rails == 1 {
                *rates = real_part(&shape, rates);
                *output_error = real_part(&outputs, output_error);
            }
            return;
        }
        let (rates, output_error) = (view.rates.to_vec(), view.output_error.to_vec());
        self.instants.push(Observation { rates, output_error });
    }

    fn sums(&mut self) -> Option<&mut dyn Sums<T>> {
        Some(self)
    }
}

/// All but the last tick, which is shown after the run.
impl<T: Scalar> Sums<T> for Recent<T> {
    fn count(&self) -> usize {
        1
    }

    fn weigh(&self, _tick: u64, weights: &mut [Complex<f64>]) {
        weights[0] = Complex::new(self.share, 0.0);
    }

    fn add(&mut self, sums: &[(Vec<T>, Vec<T>)]) {
        let (rates, output_error) = sums[0].clone();
        self.mean = Some(Observation { rates, output_error });
    }
}

/// Waits for the equilibrium of frozen teaching, from a state at a tick or from rest at tick 0.
///
/// A substrate that solves for its equilibria, as a circuit does, is not waited for. A free one without noise and fixed waiting time is
/// found in one pass from layer to layer where no connection leads back. Elsewhere, where `settle.accelerate` allows it (no noise, no fixed
/// waiting time), it is found by plain sweeps, or by Anderson acceleration after a short
/// relaxation; `settle.max_time` bounds the evaluations to those of the relaxation. Samples for which that fails, or ends where
/// relaxation is not seen to lead, are relaxed; so are those whose free equilibrium is unstable.
///
/// # Errors
/// [`crate::Error::Diverged`], [`crate::Error::Gpu`].
pub fn equilibrium<T: Scalar>(
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    phase: Phase<'_, T>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
) -> Result<Equilibrium<T>> {
    or_fault(setting, arrive(setting, samples, phase, settle, start))
}

/// The phase in its parts: without noise, and with it.
fn arrive<T: Scalar>(
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    phase: Phase<'_, T>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
) -> Result<Equilibrium<T>> {
    // Nudged states have the free one, which is stable, at the beginning of their way.
    let inspection = if phase.is_free() { Inspection::Full } else { Inspection::Way };
    if settle.noise {
        return wait(setting, samples, phase, settle, start, inspection);
    }
    let quiet = Setting { noise: None, ..*setting };
    let arrived = wait(&quiet, samples, phase, &Settle { average: 0.0, ..*settle }, start, inspection)?;
    let ticks = arrived.tick - start.map_or(0, |(_, tick)| tick);
    setting.pass_noise(ticks as f64 * settle.step);
    if settle.average == 0.0 || setting.noise.is_none() {
        return Ok(arrived);
    }
    let listen =
        Settle { tolerance: Some(0.0), max_time: settle.average, accelerate: false, noise: true, ..*settle };
    let start = Some((&arrived.state[..], arrived.tick));
    let seen = wait(setting, samples, phase, &listen, start, inspection)?;
    Ok(Equilibrium {
        evaluations: arrived.evaluations + seen.evaluations,
        residual: arrived.residual,
        stop: arrived.stop,
        ..seen
    })
}

/// A result, unless there is none because something has gone wrong where the substrate is computed.
pub(super) fn or_fault<T: Scalar, R>(setting: &Setting<'_, T>, result: Result<R>) -> Result<R> {
    setting.substrate.fault().map_or(result, Err)
}

/// The free equilibrium: a real state without teaching, from rest.
///
/// # Errors
/// [`crate::Error::Diverged`].
pub fn free<T: Scalar>(
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    settle: &Settle,
) -> Result<Equilibrium<T>> {
    equilibrium(setting, samples, Phase::free(), settle, None)
}

fn wait<T: Scalar>(
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    phase: Phase<'_, T>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
    inspection: Inspection,
) -> Result<Equilibrium<T>> {
    let fixed_time = settle.tolerance::<T>() == 0.0 || settle.max_time / settle.step <= LOOK as f64;
    let mut field = phase.bind(setting.substrate, samples);
    if phase.is_free()
        && setting.noise.is_none()
        && !fixed_time
        && let Some(state) = field.pass()
        && state.iter().all(|s| s.is_finite())
    {
        return Ok(conclude(field, state, Vec::new()));
    }
    if setting.noise.is_none()
        && let Some((state, residual)) = field.equilibrium(start.map(|(state, _)| state))?
    {
        field.observe(&state);
        let tick = start.map_or(0, |(_, tick)| tick);
        return Ok(Equilibrium { residual, tick, ..conclude(field, state, Vec::new()) });
    }
    if settle.accelerate && setting.noise.is_none() && !fixed_time {
        return accelerate(field, settle, start, inspection);
    }
    setting.hold_noise(&mut *field, samples)?;
    let (equilibrium, noise) = relax(field, settle, start)?;
    setting.keep_noise(noise);
    Ok(equilibrium)
}

/// Relaxation as the substrate does it; with its noise, to go on.
pub(super) fn relax<'a, T: Scalar>(
    field: Box<dyn Field<'a, T> + 'a>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
) -> Result<(Equilibrium<T>, Disturbances<T>)> {
    let len = field.shape().len();
    let state = start.map_or_else(|| vec![T::zero(); len], |(state, _)| state.to_vec());
    let method = if settle.step == 1.0 { Method::Map } else { Method::Euler };
    let integrator = Box::new(FixedStep::new(method, settle.step, &Leak::Uniform(T::one()), len));
    let mut simulation = Simulation::new(field, integrator, settle.step, state);
    simulation.tick = start.map_or(0, |(_, tick)| tick);
    let most = simulation.tick + (settle.max_time / settle.step).ceil() as u64;
    let tolerance = settle.tolerance::<T>();
    let averaged = ((settle.average / settle.step).round() as u64).max(1);
    let mut recent =
        Recent { first: most + 1 - averaged, share: 1.0 / averaged as f64, instants: Vec::new(), mean: None };
    let elsewhere =
        simulation.settle_elsewhere(most - simulation.tick, (LOOK, tolerance), &mut [&mut recent])?;
    let mut residual = f64::INFINITY;
    while elsewhere.is_none() && simulation.tick < most && (residual > tolerance || tolerance == 0.0) {
        simulation.run(LOOK.min(most - simulation.tick), &mut [&mut recent])?;
        if tolerance > 0.0 {
            residual = simulation.residual();
        }
    }
    let residual = elsewhere.unwrap_or_else(|| simulation.residual());
    if averaged > 1 {
        simulation.observe(&mut [&mut recent])?;
    }
    let stop = if residual <= tolerance || tolerance == 0.0 { Stop::Settled } else { Stop::TimeLimit };
    let Simulation { mut field, trajectory: Trajectory { state, tick, .. } } = simulation;
    field.observe(&state);
    let noise = field.release_noise();
    Ok((Equilibrium { residual, tick, stop, ..conclude(field, state, recent.into_instants()) }, noise))
}

/// The state that a field has last observed, at rest at tick 0; or the mean of some instants.
pub(super) fn conclude<T: Scalar>(
    field: Box<dyn Field<'_, T> + '_>,
    state: Vec<T>,
    instants: Vec<Observation<T>>,
) -> Equilibrium<T> {
    let (rates, output_error) = (field.rates().to_vec(), field.output_error().to_vec());
    let last = Observation { rates, output_error };
    let instants = if instants.is_empty() { vec![last] } else { instants };
    let mean = |part: fn(&Observation<T>) -> &[T]| {
        let weight = T::of(1.0 / instants.len() as f64);
        let mut sum = vec![T::zero(); part(&instants[0]).len()];
        for instant in &instants {
            sum.iter_mut().zip(part(instant)).for_each(|(sum, now)| *sum += weight * *now);
        }
        sum
    };
    Equilibrium {
        rates: mean(|instant| &instant.rates),
        output_error: mean(|instant| &instant.output_error),
        instants,
        residual: 0.0,
        evaluations: field.evaluations(),
        tick: 0,
        stop: Stop::Settled,
        state,
        drive: field.drive().to_vec(),
    }
}

/// A real state as a complex one with zero imaginary part.
#[must_use]
pub fn complexified<T: Scalar>(shape: &StateShape, real: &[T]) -> Vec<T> {
    shape.with_rails(1).complexified(real)
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
