//! The papers' "continuous" estimate: the teaching signal steps through N points and never stops.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description, Repeated};
use super::driven::{self, Drive};
use super::equilibrium::{self, Settle, complexified};
use super::extrapolation::Extrapolation;
use super::work::{self, Foreseen, Work};
use super::{Estimate, Estimator, EstimatorSpec, Setting};
use crate::error::{Invalid, Result, positive};
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::{Record, Window, check_length};
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::samples::Samples;

/// β holds each of N roots of unity for `hold` τ; the state is sampled at the end of each hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Staircase {
    /// Amplitude |β|.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// N, the points in a period.
    #[serde(default = "ten")]
    #[schemars(range(min = 3, max = 4096))]
    pub points: u64,
    /// T_dyn, the time at each point, in τ: a whole number of steps.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hold: f64,
    /// How a substrate at rest is let relax before the teaching signal begins; null: it begins at once.
    #[serde(default)]
    pub free: Option<Settle>,
    /// Periods that pass before the record begins.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub settle_periods: u64,
    /// Periods of the record; a record holds at most 2e7 samples.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub periods: u64,
    /// How the trajectory is integrated.
    #[serde(default = "map")]
    pub integrator: IntegratorSpec,
    /// Whether each synapse of a tied pair multiplies its two rates, as in the papers' code.
    #[serde(default)]
    pub per_synapse: bool,
    /// Whether the field is corrected for connections that are not reciprocal: it gains (Wᵀ − W)(a − a*), with a* the mean of
    /// the rates over the last settling period; the substrate then settles again before the record.
    #[serde(default)]
    pub correct_asymmetry: bool,
}

fn ten() -> u64 {
    10
}

fn three() -> u64 {
    3
}

fn map() -> IntegratorSpec {
    IntegratorSpec::Map
}

impl Description for Staircase {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("hold", self.hold)?;
        if !(3..=4096).contains(&self.points) {
            return Err(Invalid::new("points", format!("found {}", self.points), "3 to 4096 points"));
        }
        if !(1..=1_000_000).contains(&self.periods) {
            return Err(Invalid::new("periods", format!("found {}", self.periods), "1 to 1000000 periods"));
        }
        if self.settle_periods > 1_000_000 {
            let found = format!("found {}", self.settle_periods);
            return Err(Invalid::new("settle_periods", found, "at most 1000000 periods"));
        }
        if self.correct_asymmetry && self.settle_periods == 0 {
            let legal = "the free rates are the mean over a period before the record: at least 1";
            return Err(Invalid::new("settle_periods", "found 0 with `correct_asymmetry`", legal));
        }
        check_length("periods", self.periods as f64, self.points as f64)?;
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        self.free.map_or(Ok(()), |free| free.validate().map_err(|e| e.under("free")))?;
        self.integrator.clock("hold", self.hold).map(|_| ())
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            complex: true,
            tied: self.per_synapse,
            integrator: Some(self.integrator),
            phases: [self.free.map(|free| ("free", free)), None],
            corrected: self.correct_asymmetry,
            ..Demands::default()
        }
    }

    fn work(&self, of: Foreseen) -> Work {
        let period = self.points as f64 * work::ticks(self.integrator, self.hold);
        let ticks = (self.settle_periods + self.periods) as f64 * period;
        let free = self.free.as_ref().map_or(0.0, |free| of.free(free));
        Work {
            evaluations: free + work::driven(self.integrator, ticks, 1),
            rails: 2.0,
            parameters: work::lock_ins(self.per_synapse),
            ..Work::default()
        }
    }

    fn repeated(&self, _doublings: u32, per_synapse: bool) -> Option<Repeated> {
        let once = Self { settle_periods: 0, periods: 1, free: None, per_synapse, ..*self };
        Some(Repeated {
            estimator: EstimatorSpec::Staircase(once),
            period: self.hold * self.points as f64,
            ticks: self.points as f64 * work::ticks(self.integrator, self.hold),
            integrator: self.integrator,
            richardson: 1,
            corrected: self.correct_asymmetry,
        })
    }
}

impl<T: Scalar> Estimator<T> for Staircase {
    fn amplitude(&self) -> f64 {
        self.amplitude
    }

    fn with_amplitude(&self, amplitude: f64) -> Option<Box<dyn Estimator<T>>> {
        Some(Box::new(Self { amplitude, ..*self }))
    }

    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        state: &mut Vec<T>,
    ) -> Result<Estimate<T>> {
        let clock = self.integrator.clock("hold", self.hold).expect("validated");
        let (hold, points) = (clock.ticks, self.points);
        let period = hold * points;
        let mut before = None;
        if let Some(free) = self.free.as_ref().filter(|_| state.is_empty()) {
            let relaxed = equilibrium::free(setting, samples, free)?;
            let real = setting.substrate.shape(samples.count, 1);
            *state = complexified(&real, &relaxed.state);
            before = Some(relaxed);
        }
        // The drive begins with a period of the clock, after all ticks that the relaxation has seen the noise of.
        let begin = before.as_ref().map_or(0, |relaxed| relaxed.tick.next_multiple_of(period));
        let drive = Drive {
            begin,
            teaching: Teaching {
                waveform: Waveform::Staircase { points, hold },
                amplitude: self.amplitude,
                onset: 0,
            },
            integrator: self.integrator,
            step: clock.step,
            settle: self.settle_periods * period,
            length: self.periods * period,
            record: Record {
                // The state after the last step at a point, when the next tick has come.
                start: begin + self.settle_periods * period + hold,
                stride: hold,
                samples_per_period: points,
                weights: Window::Boxcar.weights((self.periods * points) as usize, self.hold),
            },
            drive_rate: std::f64::consts::TAU / (self.hold * points as f64),
            free: None,
        };
        let drive = if self.correct_asymmetry { drive.corrected() } else { drive };
        let mut response = driven::respond(&drive, self.per_synapse, setting, samples, state)?;
        response.diagnostics.rhs_evaluations += before.map_or(0, |relaxed| relaxed.evaluations);
        let mut estimate = driven::conclude(&[response], Extrapolation::Polynomial, setting, samples);
        // Its quadrature is that of steps, not of a sine.
        estimate.diagnostics.bias_estimate = None;
        Ok(estimate)
    }
}
