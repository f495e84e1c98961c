//! The adaptive referee: Dormand–Prince methods of crate `ode_solvers`, one clock step per call.
//!
//! Each call integrates one sample interval in local time 0…1 with sparse output, stiffness detection off and the result
//! checked: slowly driven contractive systems would otherwise be refused as stiff, and dense output is not reliable. Time
//! travels as one more component of the state, because `Dop853` 0.6.2 evaluates its stages at wrong times (x′ = t is then
//! integrated to first order only); an autonomous system does not meet that.

use std::cell::RefCell;

use nalgebra::DVector;
use ode_solvers::dop_shared::IntegrationError;
use ode_solvers::{Dop853, Dopri5, OutputType, System};

use super::{Integrator, VectorField};
use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// The order of an adaptive method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Dormand–Prince 5(4).
    Five,
    /// Dormand–Prince 8(5,3).
    Eight,
}

/// An adaptive integrator with its tolerances.
#[derive(Debug, Clone, Copy)]
pub struct Adaptive {
    /// Which method.
    pub order: Order,
    /// Length of a clock step, in nominal τ.
    pub step: f64,
    /// Relative tolerance of a step.
    pub rtol: f64,
    /// Absolute tolerance of a step.
    pub atol: f64,
}

/// The field over one clock step, in local time 0…1 and double precision.
struct Local<'f, T: Scalar> {
    scratch: RefCell<Scratch<'f, T>>,
    tick: u64,
    step: f64,
}

struct Scratch<'f, T: Scalar> {
    field: &'f mut dyn VectorField<T>,
    state: Vec<T>,
    target: Vec<T>,
}

impl<T: Scalar> System<f64, DVector<f64>> for Local<'_, T> {
    fn system(&self, _time: f64, y: &DVector<f64>, slope: &mut DVector<f64>) {
        let Scratch { field, state, target } = &mut *self.scratch.borrow_mut();
        let fraction = y[state.len()];
        slope[state.len()] = 1.0;
        for (s, y) in state.iter_mut().zip(y) {
            *s = T::of(*y);
        }
        field.target(Time { tick: self.tick, fraction }, state, target);
        let leak = field.leak();
        for (i, (slope, (g, y))) in slope.iter_mut().zip(target.iter().zip(y)).enumerate() {
            *slope = self.step * leak.at(i).double() * (g.double() - y);
        }
    }
}

impl<T: Scalar> Integrator<T> for Adaptive {
    fn lost(&self, h: f64) -> f64 {
        -(-h).exp_m1()
    }

    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        state: &mut Vec<T>,
        target: &mut Vec<T>,
    ) -> Result<()> {
        const MOST_STEPS: u32 = 100_000;
        let start = DVector::from_iterator(state.len() + 1, state.iter().map(|s| s.double()).chain([0.0]));
        let scratch = RefCell::new(Scratch { field, state: state.clone(), target: target.to_vec() });
        let local = Local { scratch, tick, step: self.step };
        let (rtol, atol, stiff, sparse) = (self.rtol, self.atol, u32::MAX, OutputType::Sparse);
        // The safety factors are the library's defaults (Hairer, Nørsett & Wanner).
        let outcome = match self.order {
            Order::Five => {
                let mut solver = Dopri5::from_param(
                    local, 0.0, 1.0, 1.0, start, rtol, atol, 0.9, 0.04, 0.2, 10.0, 1.0, 0.0, MOST_STEPS,
                    stiff, sparse,
                );
                solver.integrate().map(|_| solver.y_out().last().cloned())
            }
            Order::Eight => {
                let mut solver = Dop853::from_param(
                    local, 0.0, 1.0, 1.0, start, rtol, atol, 0.9, 0.0, 0.333, 6.0, 1.0, 0.0, MOST_STEPS,
                    stiff, sparse,
                );
                solver.integrate().map(|_| solver.y_out().last().cloned())
            }
        };
        match outcome {
            Ok(Some(end)) if end.iter().all(|y| y.is_finite()) => {
                for (s, y) in state.iter_mut().zip(&end) {
                    *s = T::of(*y);
                }
                Ok(())
            }
            other => {
                let moment = format!("at t = {:.3} tau", tick as f64 * self.step);
                let place = "the adaptive integrator".to_owned();
                let tolerances = format!("(now {rtol:e} relative, {atol:e} absolute)");
                Err(match other {
                    Err(IntegrationError::MaxNumStepReached { .. }) => Error::Unfinished {
                        moment,
                        place,
                        what: format!(
                            "{MOST_STEPS} steps did not reach the end of an interval of {:.3} tau",
                            self.step
                        ),
                        advice: format!(
                            "loosen the integrator's tolerances {tolerances}, or use one of a fixed step; time constants that are \
                             far shorter than the interval take as many steps"
                        ),
                    },
                    Err(IntegrationError::StepSizeUnderflow { .. }) => Error::Diverged {
                        moment,
                        place,
                        what: "no step is short enough for its tolerances: the state runs into a pole, or they ask for more \
                               than double precision has"
                            .into(),
                        advice: format!(
                            "lower the weights, the amplitude of the teaching signal, or loosen the tolerances {tolerances}"
                        ),
                    },
                    Err(reason) => {
                        Error::Internal(format!("the adaptive integrator: {}", reason.to_string().to_lowercase()))
                    }
                    Ok(_) => Error::Diverged {
                        moment,
                        place,
                        what: "the state is not finite".into(),
                        advice: "lower the weights, or the amplitude of the teaching signal".into(),
                    },
                })
            }
        }
    }

    fn steps_with_the_clock(&self) -> bool {
        false
    }
}
