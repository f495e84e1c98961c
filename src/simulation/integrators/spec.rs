//! The `integrator` field of an experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adaptive::{Adaptive, Order};
use super::{FixedStep, Implicit, Integrator, Leak, Method, Rk4};
use crate::error::{Invalid, positive};
use crate::json::choice::{allow_names, choice};
use crate::numerics::scalar::Scalar;

/// How a trajectory is integrated. Steps are in units of the nominal τ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[schemars(transform = allow_names)]
pub enum IntegratorSpec {
    /// The papers' discrete map, s ← G(s), one step for each τ; every `tau` must be 1 and free of mismatch, and there is no
    /// white noise.
    Map,
    /// Euler; with white noise Euler–Maruyama.
    Euler {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// Heun; with white noise the stochastic Heun method.
    Heun {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// The classical Runge–Kutta method; no `white` noise on the state.
    Rk4 {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// Euler with the leak solved exactly.
    ExponentialEuler {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// Implicit Euler, each step solved for by Newton's method: of first order, and stable at any step. For circuits.
    ImplicitEuler {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// An L-stable implicit method of order 4 (Hairer & Wanner's SDIRK), each of its five stages solved for by Newton's method. For circuits.
    Sdirk4 {
        /// Step, in nominal τ.
        #[serde(default = "half")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
    },
    /// Adaptive Dormand–Prince 5(4); no noise.
    Dopri5 {
        /// Relative tolerance.
        #[serde(default = "rtol")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        rtol: f64,
        /// Absolute tolerance.
        #[serde(default = "atol")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        atol: f64,
        /// Lock-in samples in a period, or in each hold of a `staircase`.
        #[serde(default = "samples")]
        #[schemars(range(min = 4, max = 1_000_000))]
        samples: u64,
    },
    /// Adaptive Dormand–Prince 8(5,3); no noise.
    Dop853 {
        /// Relative tolerance.
        #[serde(default = "rtol")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        rtol: f64,
        /// Absolute tolerance.
        #[serde(default = "atol")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        atol: f64,
        /// Lock-in samples in a period, or in each hold of a `staircase`.
        #[serde(default = "samples")]
        #[schemars(range(min = 4, max = 1_000_000))]
        samples: u64,
    },
}

choice!(IntegratorSpec);

fn half() -> f64 {
    0.5
}
fn rtol() -> f64 {
    1e-10
}
fn atol() -> f64 {
    1e-12
}
fn samples() -> u64 {
    64
}

impl Default for IntegratorSpec {
    fn default() -> Self {
        Self::Rk4 { step: 0.5 }
    }
}

/// A period cut into clock steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// Steps in a period.
    pub ticks: u64,
    /// Length of a step, in nominal τ.
    pub step: f64,
}

impl IntegratorSpec {
    /// Name and step, in nominal τ, of a fixed-step method.
    pub(crate) fn fixed_step(self) -> Option<(&'static str, f64)> {
        match self {
            Self::Map => Some(("map", 1.0)),
            Self::Euler { step } => Some(("euler", step)),
            Self::Heun { step } => Some(("heun", step)),
            Self::Rk4 { step } => Some(("rk4", step)),
            Self::ExponentialEuler { step } => Some(("exponential_euler", step)),
            Self::ImplicitEuler { step } => Some(("implicit_euler", step)),
            Self::Sdirk4 { step } => Some(("sdirk4", step)),
            Self::Dopri5 { .. } | Self::Dop853 { .. } => None,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path inside the integrator.
    pub fn validate(self) -> Result<(), Invalid> {
        if let Some((name, step)) = self.fixed_step() {
            return positive(&format!("{name}.step"), step);
        }
        let (Self::Dopri5 { rtol, atol, samples } | Self::Dop853 { rtol, atol, samples }) = self else {
            return Ok(());
        };
        let name = if matches!(self, Self::Dopri5 { .. }) { "dopri5" } else { "dop853" };
        positive(&format!("{name}.rtol"), rtol)?;
        positive(&format!("{name}.atol"), atol)?;
        if !(4..=1_000_000).contains(&samples) {
            let (path, found) = (format!("{name}.samples"), format!("found {samples}"));
            return Err(Invalid::new(path, found, "4 to 1000000 lock-in samples in a period"));
        }
        Ok(())
    }

    /// The step, if it is an explicit one of at least `limit`, where the leak itself turns unstable.
    #[must_use]
    pub fn unstable_beyond(self, limit: f64) -> Option<f64> {
        let (_, step) = self.fixed_step()?;
        (step >= limit && !matches!(self, Self::ExponentialEuler { .. }) && !self.is_implicit())
            .then_some(step)
    }

    /// Whether each step is solved for: the field has to have a way to.
    #[must_use]
    pub fn is_implicit(self) -> bool {
        matches!(self, Self::ImplicitEuler { .. } | Self::Sdirk4 { .. })
    }

    /// Whether the step adapts to a tolerance.
    #[must_use]
    pub fn is_adaptive(self) -> bool {
        self.fixed_step().is_none()
    }

    /// Evaluations of the right-hand side in a step, where they are always as many.
    #[must_use]
    pub fn evaluations(self) -> Option<u64> {
        match self {
            Self::Map | Self::Euler { .. } | Self::ExponentialEuler { .. } => Some(1),
            Self::Heun { .. } => Some(2),
            Self::Rk4 { .. } => Some(4),
            Self::ImplicitEuler { .. } | Self::Sdirk4 { .. } | Self::Dopri5 { .. } | Self::Dop853 { .. } => {
                None
            }
        }
    }

    /// The method that white noise on the state may kick in each step.
    ///
    /// # Errors
    /// Why it may not, for the others; the path is the caller's.
    pub fn stochastic(self) -> Result<Method, Invalid> {
        let (found, legal) = match self {
            Self::Euler { .. } => return Ok(Method::Euler),
            Self::Heun { .. } => return Ok(Method::Heun),
            Self::ExponentialEuler { .. } => return Ok(Method::ExponentialEuler),
            Self::Map => (
                "found white noise with the discrete map",
                "the map has no step that could shrink: use `held` noise, or euler",
            ),
            Self::Rk4 { .. } => (
                "found white noise with rk4",
                "its order is lost with noise: use heun (weak order 2), euler or exponential_euler",
            ),
            Self::ImplicitEuler { .. } | Self::Sdirk4 { .. } => (
                "found white noise with an implicit integrator",
                "it is for circuits, whose Johnson noise is held through each step: use euler, heun or exponential_euler",
            ),
            Self::Dopri5 { .. } | Self::Dop853 { .. } => (
                "found white noise with an adaptive integrator",
                "error control assumes a smooth path: use euler, heun or exponential_euler",
            ),
        };
        Err(Invalid::new("", found, legal))
    }

    /// Cuts a duration (a period, or the hold of a staircase) into whole steps.
    ///
    /// # Errors
    /// If the duration is not a whole number of steps; the message names the nearest that are.
    pub fn clock(self, path: &str, duration: f64) -> Result<Clock, Invalid> {
        const MOST_TICKS: f64 = 1e9;
        const LONGEST: f64 = 1e9;
        positive(path, duration)?;
        let (Self::Dopri5 { samples, .. } | Self::Dop853 { samples, .. }) = self else {
            let (_, step) = self.fixed_step().expect("every other integrator has a fixed step");
            let ticks = (duration / step).round();
            if ticks > MOST_TICKS {
                let found = format!("found {duration:e}, {ticks:e} steps of {step:e}");
                return Err(Invalid::new(path, found, "at most 1e9 steps fit in a period"));
            }
            if ticks < 1.0 || (duration / step - ticks).abs() > 1e-9 * ticks {
                let below = (duration / step).floor().max(1.0);
                let found = format!("found {duration}, which is not a whole number of steps of {step}");
                let legal = format!("the nearest that are: {} and {}", below * step, (below + 1.0) * step);
                return Err(Invalid::new(path, found, legal));
            }
            return Ok(Clock { ticks: ticks as u64, step: duration / ticks });
        };
        if duration > LONGEST {
            return Err(Invalid::new(path, format!("found {duration:e}"), "at most 1e9 tau"));
        }
        Ok(Clock { ticks: samples, step: duration / samples as f64 })
    }

    /// The integrator, with buffers for a state of `len` numbers.
    #[must_use]
    pub fn build<T: Scalar>(self, step: f64, leak: &Leak<T>, len: usize) -> Box<dyn Integrator<T>> {
        let fixed = |method| Box::new(FixedStep::new(method, step, leak, len));
        match self {
            Self::Map => fixed(Method::Map),
            Self::Euler { .. } => fixed(Method::Euler),
            Self::Heun { .. } => fixed(Method::Heun),
            Self::ExponentialEuler { .. } => fixed(Method::ExponentialEuler),
            Self::Rk4 { .. } => Box::new(Rk4::new(step, leak, len)),
            Self::ImplicitEuler { .. } => Box::new(Implicit::euler(step, len)),
            Self::Sdirk4 { .. } => Box::new(Implicit::sdirk4(step, len)),
            Self::Dopri5 { rtol, atol, .. } => Box::new(Adaptive { order: Order::Five, step, rtol, atol }),
            Self::Dop853 { rtol, atol, .. } => Box::new(Adaptive { order: Order::Eight, step, rtol, atol }),
        }
    }
}
