//! What estimators take, foreseen from their descriptions.
//!
//! Where a phase ends when it has settled, evaluations are those of a network whose slowest mode relaxes at a tenth of 1/τ.

use super::equilibrium::Settle;
use crate::simulation::integrators::IntegratorSpec;

/// Rate of the slowest mode of a network, in 1/τ, where how long it settles is not known.
const SLOWEST: f64 = 0.1;
/// Directions that an accelerated phase, or the solution of a linear equation, holds at most.
pub(crate) const ACCELERATED: f64 = 60.0;
/// Evaluations of an accelerated phase, or products of a linear equation, for each digit: as on MNIST.
const FOR_A_DIGIT: f64 = 8.0;
/// Right-hand sides that an adaptive integrator evaluates for each sample of its lock-in.
const ADAPTIVE: f64 = 20.0;
/// Numbers of each parameter that a chunk holds where every synapse has its own lock-in.
const LOCK_IN: f64 = 4.0;

/// What is known of a substrate before it runs.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen {
    /// Bytes of a number.
    pub bytes: f64,
    /// Whether no connection leads back, so that one pass finds the free equilibrium, and another the adjoint.
    pub feed_forward: bool,
}

impl Foreseen {
    /// Evaluations until a free equilibrium is found.
    pub fn free(self, settle: &Settle) -> f64 {
        if self.feed_forward && settle.tolerance != Some(0.0) { 1.0 } else { self.settled(settle) }
    }

    /// Evaluations until a phase has settled.
    pub fn settled(self, settle: &Settle) -> f64 {
        settling(settle, self.bytes)
    }
}

/// What an estimator does with a chunk of samples.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    /// Evaluations of the right-hand side, and products with its derivative.
    pub evaluations: f64,
    /// Rails of the state, on average over the evaluations.
    pub rails: f64,
    /// Products with the derivative among the evaluations.
    pub linear: f64,
    /// Copies of the chunk's complex states beside those of any evaluation.
    pub states: f64,
    /// Numbers of each parameter, where every synapse has its own lock-in.
    pub parameters: f64,
}

/// Numbers of each parameter that a chunk holds.
pub(super) fn lock_ins(per_synapse: bool) -> f64 {
    if per_synapse { LOCK_IN } else { 0.0 }
}

/// Evaluations of a drive of so many ticks at T, 2T, 4T …: a fixed step takes so many more, an adaptive one about as many.
pub(super) fn driven(integrator: IntegratorSpec, ticks: f64, richardson: u64) -> f64 {
    ticks * (2_f64.powi(richardson as i32) - 1.0) * stages(integrator)
}

/// Evaluations of a step of an integrator.
pub(crate) fn stages(integrator: IntegratorSpec) -> f64 {
    integrator.evaluations().map_or(ADAPTIVE, |evaluations| evaluations as f64)
}

/// Steps of a stretch of time; of a validated duration.
pub(crate) fn ticks(integrator: IntegratorSpec, duration: f64) -> f64 {
    integrator.clock("", duration).map_or(0.0, |clock| clock.ticks as f64)
}

/// Steps of a stretch of any length, with an adaptive integrator at the step that its smallest period has.
pub(crate) fn steps(integrator: IntegratorSpec, duration: f64) -> f64 {
    duration / integrator.fixed_step().map_or(1.0, |(_, step)| step)
}

/// Evaluations of an accelerated phase, or products in which a linear equation is solved, to a tolerance.
pub(crate) fn accelerated(tolerance: f64) -> f64 {
    (FOR_A_DIGIT * -tolerance.log10()).max(FOR_A_DIGIT).ceil()
}

/// Evaluations until a phase has settled, with numbers of so many bytes.
pub(crate) fn settling(settle: &Settle, bytes: f64) -> f64 {
    let longest = (settle.max_time / settle.step).ceil();
    let tolerance = settle.tolerance.unwrap_or(if bytes < 8.0 { 2e-6 } else { 1e-13 });
    let averaged = settle.average / settle.step;
    let settled = if tolerance == 0.0 {
        longest
    } else if settle.accelerate {
        longest.min(accelerated(tolerance))
    } else {
        longest.min((-tolerance.min(0.5).ln() / SLOWEST / settle.step).ceil())
    };
    settled + averaged
}
