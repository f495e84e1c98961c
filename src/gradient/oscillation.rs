//! The real thing: a sinusoidal complex teaching signal that never stops, and a lock-in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description, Repeated};
use super::driven::{self, Drive};
use super::extrapolation::Extrapolation;
use super::work::{self, Foreseen, Work};
use super::{Estimate, Estimator, EstimatorSpec, Setting};
use crate::error::{Invalid, Result, non_negative, positive};
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::{Clock, IntegratorSpec};
use crate::simulation::lockin::{Record, Window, check_length};
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::samples::Samples;

/// β(t) = |β| e^{iωt}; the gradient is the first Fourier coefficient of local activity (paper 1, eq. 9).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oscillation {
    /// Amplitude |β|.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// Period of the drive, in τ: a whole number of steps, at least 3.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub period: f64,
    /// Periods that pass before the record begins.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub settle_periods: u64,
    /// Periods of the record; a record holds at most 2e7 samples.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub periods: u64,
    /// Periods over which the amplitude rises smoothly, when the substrate starts from rest; no more than `settle_periods`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub onset_periods: f64,
    /// How many periods T, 2T, 4T … are measured and extrapolated to zero frequency; 1 measures the base period alone.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 6))]
    pub richardson: u64,
    /// How they are extrapolated.
    #[serde(default)]
    pub extrapolation: Extrapolation,
    /// How the trajectory is integrated.
    #[serde(default)]
    pub integrator: IntegratorSpec,
    /// How the record is weighted.
    #[serde(default)]
    pub window: Window,
    /// Whether each synapse of a tied pair has its own lock-in; the same without noise, at O(n²) instead of O(n) cost.
    #[serde(default)]
    pub per_synapse: bool,
    /// Whether the field is corrected for connections that are not reciprocal: it gains (Wᵀ − W)(a − a*), with a* the mean of
    /// the rates over the last settling period; the substrate then settles again before the record.
    #[serde(default)]
    pub correct_asymmetry: bool,
}

fn one() -> u64 {
    1
}

fn two() -> u64 {
    2
}

impl Oscillation {
    /// The steps of a period that is `factor` times the base period.
    fn drive_clock(&self, factor: u64) -> Clock {
        let clock = self.integrator.clock("period", self.period).expect("validated");
        // An adaptive clock keeps its samples per period, a fixed step its length.
        if self.integrator.is_adaptive() {
            Clock { step: clock.step * factor as f64, ..clock }
        } else {
            Clock { ticks: clock.ticks * factor, ..clock }
        }
    }

    /// The drive at `period`, a whole number of times the base period.
    pub(super) fn drive(&self, factor: u64, from_rest: bool) -> Drive {
        let Clock { ticks, step } = self.drive_clock(factor);
        let length = self.periods * ticks;
        let onset = if from_rest { (self.onset_periods * ticks as f64).round() as u64 } else { 0 };
        let drive = Drive {
            teaching: Teaching { waveform: Waveform::Circular { ticks }, amplitude: self.amplitude, onset },
            integrator: self.integrator,
            step,
            begin: 0,
            settle: self.settle_periods * ticks,
            length,
            record: Record {
                start: self.settle_periods * ticks,
                stride: 1,
                samples_per_period: ticks,
                weights: self.window.weights(length as usize, step),
            },
            drive_rate: std::f64::consts::TAU / (self.period * factor as f64),
            free: None,
        };
        if self.correct_asymmetry { drive.corrected() } else { drive }
    }
}

impl Description for Oscillation {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("period", self.period)?;
        non_negative("onset_periods", self.onset_periods)?;
        if self.onset_periods > self.settle_periods as f64 {
            let found = format!("found {} of {} settling periods", self.onset_periods, self.settle_periods);
            return Err(Invalid::new("onset_periods", found, "the rise must end before the record begins"));
        }
        if self.correct_asymmetry && self.settle_periods as f64 - self.onset_periods < 1.0 {
            let found = format!("found {} with `correct_asymmetry`", self.settle_periods);
            let legal = "the free rates are the mean over a period before the record, at full amplitude";
            return Err(Invalid::new("settle_periods", found, legal));
        }
        if !(1..=1_000_000).contains(&self.periods) {
            return Err(Invalid::new("periods", format!("found {}", self.periods), "1 to 1000000 periods"));
        }
        if self.settle_periods > 1_000_000 {
            let found = format!("found {}", self.settle_periods);
            return Err(Invalid::new("settle_periods", found, "at most 1000000 periods"));
        }
        if !(1..=6).contains(&self.richardson) {
            return Err(Invalid::new("richardson", format!("found {}", self.richardson), "1 to 6 periods"));
        }
        if self.per_synapse && self.extrapolation != Extrapolation::Polynomial {
            let legal = "weights that follow the measured response are the neurons': use polynomial, or `per_synapse` false";
            return Err(Invalid::new(
                "extrapolation",
                "found another than polynomial with `per_synapse`",
                legal,
            ));
        }
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        let clock = self.integrator.clock("period", self.period)?;
        if clock.ticks < 3 {
            let found = format!("found {}, {} steps", self.period, clock.ticks);
            return Err(Invalid::new("period", found, "a lock-in needs at least 3 samples in a period"));
        }
        // The longest of the periods: of an adaptive clock its samples are farther apart, of a fixed step there are more.
        let longest = self.drive_clock(1 << (self.richardson - 1));
        check_length("periods", self.periods as f64, longest.ticks as f64)?;
        let count = self.periods * longest.ticks;
        self.window.validate(count, longest.step).map_err(|e| e.under("window"))
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            complex: true,
            tied: self.per_synapse,
            integrator: Some(self.integrator),
            corrected: self.correct_asymmetry,
            ..Demands::default()
        }
    }

    fn work(&self, _of: Foreseen) -> Work {
        let periods = (self.settle_periods + self.periods) as f64;
        let ticks = periods * work::ticks(self.integrator, self.period);
        Work {
            evaluations: work::driven(self.integrator, ticks, self.richardson),
            rails: 2.0,
            parameters: work::lock_ins(self.per_synapse),
            ..Work::default()
        }
    }

    fn repeated(&self, doublings: u32, per_synapse: bool) -> Option<Repeated> {
        let period = self.period * f64::from(1_u32 << doublings);
        let once = Self {
            period,
            settle_periods: 0,
            periods: 1,
            onset_periods: 0.0,
            richardson: 1,
            per_synapse,
            ..*self
        };
        Some(Repeated {
            estimator: EstimatorSpec::Oscillation(once),
            period,
            ticks: work::ticks(self.integrator, period),
            integrator: self.integrator,
            // At most 6, or it is refused.
            richardson: self.richardson.min(6) as u32,
            corrected: self.correct_asymmetry,
        })
    }
}

impl<T: Scalar> Estimator<T> for Oscillation {
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
        let from_rest = state.is_empty();
        let mut responses = Vec::with_capacity(self.richardson as usize);
        let mut elapsed = 0;
        for k in 0..self.richardson {
            let drive = self.drive(1 << k, from_rest && k == 0).after(elapsed);
            elapsed = drive.end();
            responses.push(driven::respond(&drive, self.per_synapse, setting, samples, state)?);
        }
        Ok(driven::conclude(&responses, self.extrapolation, setting, samples))
    }
}
