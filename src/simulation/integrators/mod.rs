//! Integration of the substrate over whole batches, on an integer clock.

pub mod adaptive;
mod fixed_step;
mod implicit;
mod rk4;
pub mod spec;

pub use adaptive::Adaptive;
pub use fixed_step::{Explicit, FixedStep, Kicks, Method, White};
pub use implicit::Implicit;
pub use rk4::Rk4;
pub use spec::{Clock, IntegratorSpec};

use crate::error::Result;
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// A leaky system τ ds/dt = G(t, s) − s. Every system that holograd integrates has this form, so that the leak can be
/// solved exactly where an integrator wishes to.
pub trait VectorField<T: Scalar> {
    /// G(t, s), towards which the leak pulls. `out` is as long as `state`.
    fn target(&mut self, time: Time, state: &[T], out: &mut [T]);

    /// 1/τ of every element.
    fn leak(&self) -> &Leak<T>;

    /// Solves s = known + span · (G(t, s) − s)/τ, a stage of an implicit method, from a guess in `state`; false of a field that has no
    /// way to.
    ///
    /// # Errors
    /// Where no solution is found.
    fn solve_stage(&mut self, _time: Time, _span: f64, _known: &[T], _state: &mut [T]) -> Result<bool> {
        Ok(false)
    }
}

/// 1/τ of every element of a state.
#[derive(Debug, Clone, PartialEq)]
pub enum Leak<T> {
    /// The same everywhere.
    Uniform(T),
    /// One for each element.
    PerElement(Vec<T>),
}

impl<T: Scalar> Leak<T> {
    /// 1/τ of one element.
    #[must_use]
    pub fn at(&self, index: usize) -> T {
        match self {
            Self::Uniform(rate) => *rate,
            Self::PerElement(rates) => rates[index],
        }
    }

    /// f(1/τ) for every element.
    #[must_use]
    pub fn map(&self, f: impl Fn(T) -> T) -> Self {
        match self {
            Self::Uniform(rate) => Self::Uniform(f(*rate)),
            Self::PerElement(rates) => Self::PerElement(rates.iter().map(|r| f(*r)).collect()),
        }
    }
}

/// Advances a state by one step of the clock.
pub trait Integrator<T: Scalar> {
    /// The part of an isolated leaky unit that a step of h = step/τ takes away.
    fn lost(&self, h: f64) -> f64;

    /// Moves `state` from `tick` to `tick + 1`.
    ///
    /// `target` holds G at the start of the step, which the caller has evaluated (and observed), and anything after it.
    ///
    /// # Errors
    /// When the step cannot be taken (an adaptive integrator that fails to meet its tolerance).
    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        state: &mut Vec<T>,
        target: &mut Vec<T>,
    ) -> Result<()>;

    /// The method and its factors, where it takes a state and its target to the next state, element by element, and kicks of a kind that can
    /// be told.
    fn explicit(&self) -> Option<Explicit<'_, T>> {
        None
    }

    /// Whether a step of the clock is one step of the method, so that a shorter one is more stable.
    fn steps_with_the_clock(&self) -> bool {
        true
    }
}
