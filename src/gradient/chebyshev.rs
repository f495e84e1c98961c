//! A real substrate under a real drive: the harmonics of one continuous phase are a Chebyshev series in β.
//!
//! With β = b cos θ the quasi-static response is u(b cos θ) = Σ c_k cos kθ, so that
//! u(0) = Σ_{k even} (−1)^{k/2} c_k and du/dβ(0) = (1/b) Σ_{k odd} (−1)^{(k−1)/2} k c_k.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description};
use super::driven::{self, Drive, Response};
use super::equilibrium::{imaginary_part, real_part};
use super::extrapolation::{Extrapolation, norm};
use super::oscillation::Oscillation;
use super::work::{Foreseen, Work};
use super::{Estimate, Estimator, Setting};
use crate::error::{Invalid, Result};
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::{LockIn, Observer, Record, Window};
use crate::simulation::teaching::Waveform;
use crate::substrate::samples::Samples;

/// Highest order that is tried where the order is automatic.
const MOST_AUTOMATIC: u64 = 15;
/// Highest order that may be asked for.
const MOST: u64 = 99;

/// β(t) = b cos ωt on a real substrate; its odd harmonics are combined to the derivative at β = 0.
///
/// Order 1 is a plain lock-in, for any activation. Higher orders rest on the harmonics' decay, which needs activations that
/// are analytic near the real axis; no complex state is involved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chebyshev {
    /// Amplitude b.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// Period of the drive, in τ: a whole number of steps, at least 3.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub period: f64,
    /// K, the highest harmonic that is used: an odd number, with 2(K + 1) below the steps of a period. Null raises it while
    /// harmonics stand out of the noise between periods, of which it needs 2.
    #[serde(default)]
    #[schemars(range(min = 1, max = 99))]
    pub harmonics: Option<u64>,
    /// Periods that pass before the record begins.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub settle_periods: u64,
    /// Periods of the record; a record holds at most 2e7 samples.
    #[serde(default = "two")]
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
}

fn one() -> u64 {
    1
}

fn two() -> u64 {
    2
}

impl Chebyshev {
    /// The always-on drive with the same course in time.
    fn timing(&self) -> Oscillation {
        Oscillation {
            amplitude: self.amplitude,
            period: self.period,
            settle_periods: self.settle_periods,
            periods: self.periods,
            onset_periods: self.onset_periods,
            richardson: self.richardson,
            extrapolation: self.extrapolation,
            integrator: self.integrator,
            window: self.window,
            per_synapse: false,
            correct_asymmetry: false,
        }
    }

    /// Highest order that may enter.
    fn most(&self, samples: u64) -> u64 {
        let resolved = (samples - 1) / 2 - 1;
        let odd = resolved - u64::from(resolved.is_multiple_of(2));
        self.harmonics.unwrap_or(MOST_AUTOMATIC.min(odd))
    }

    fn respond<T: Scalar>(
        &self,
        drive: &Drive,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        state: &mut Vec<T>,
    ) -> Result<Response<T>> {
        let outputs = setting.substrate.outputs();
        let real = setting.substrate.shape(samples.count, 1);
        let most = self.most(drive.record.samples_per_period);
        let harmonics: Vec<i64> = (0..=most as i64 + 1).collect();
        let odd: Vec<i64> = harmonics.iter().copied().filter(|k| k % 2 == 1).collect();
        let lock_in = |record: Record, harmonics: &[i64]| {
            LockIn::new(record, harmonics, outputs, &real).with_phase_error(setting.phase_error())
        };
        let mut lockin = lock_in(drive.record.clone(), &harmonics);
        let mut scatter = lock_in(alternating(&drive.record), &odd);
        let mut observers: Vec<&mut dyn Observer<T>> = vec![&mut lockin];
        if self.harmonics.is_none() {
            observers.push(&mut scatter);
        }
        let mut diagnostics = driven::run(drive, 1, setting, samples, state, &mut observers)?;
        let order = self.harmonics.unwrap_or_else(|| order_above_noise(&lockin, &scatter, &odd));
        let reading = read(&lockin, order, self.amplitude);
        diagnostics.harmonics = Some(order);
        diagnostics.noise_gain = Some(noise_gain(order));
        diagnostics.last_harmonic = reading.last_harmonic;
        Ok(Response {
            in_phase: real_part(&real, &reading.response),
            quadrature: imaginary_part(&real, &reading.response),
            free: real_part(&real, &reading.free),
            output_error: reading.output_error,
            synapses: Vec::new(),
            rate: drive.rate(),
            scatter: None,
            diagnostics,
        })
    }
}

impl Description for Chebyshev {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        self.timing().validate()?;
        let samples = self.integrator.clock("period", self.period)?.ticks;
        if let Some(order) = self.harmonics {
            check_order(order)?;
            if 2 * (order + 1) >= samples {
                let found = format!("found {order} with {samples} samples in a period");
                let legal =
                    "fewer than half the samples: use a longer period, a smaller step or fewer harmonics";
                return Err(Invalid::new("harmonics", found, legal));
            }
        } else if samples < 5 {
            let found = format!("found {}, {samples} samples", self.period);
            return Err(Invalid::new("period", found, "at least 5 samples, which tell the second harmonic"));
        } else if self.periods < 2 {
            let legal = "at least 2 periods, whose scatter is the noise; or an explicit `harmonics`";
            return Err(Invalid::new("periods", format!("found {}", self.periods), legal));
        }
        Ok(())
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            harmonics: self.harmonics != Some(1),
            integrator: Some(self.integrator),
            ..Demands::default()
        }
    }

    fn work(&self, of: Foreseen) -> Work {
        Work { rails: 1.0, states: self.harmonics.unwrap_or(30) as f64, ..self.timing().work(of) }
    }
}

impl<T: Scalar> Estimator<T> for Chebyshev {
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
            let mut drive = self.timing().drive(1 << k, from_rest && k == 0).after(elapsed);
            elapsed = drive.end();
            drive.teaching.waveform = Waveform::Cosine { ticks: drive.teaching.ticks_per_period() };
            responses.push(self.respond(&drive, setting, samples, state)?);
        }
        Ok(driven::conclude(&responses, self.extrapolation, setting, samples))
    }
}

/// Checks K of a real drive.
pub(super) fn check_order(order: u64) -> std::result::Result<(), Invalid> {
    if order.is_multiple_of(2) || order > MOST {
        let found = format!("found {order}");
        return Err(Invalid::new(
            "harmonics",
            found,
            format!("an odd number, 1 to {MOST}: only odd harmonics carry the derivative"),
        ));
    }
    Ok(())
}

/// √Σ k² over the odd harmonics up to `order`: what equal noise on every harmonic does to the sum, relative to order 1.
pub(super) fn noise_gain(order: u64) -> f64 {
    (1..=order).step_by(2).map(|k| (k * k) as f64).sum::<f64>().sqrt()
}

/// What the harmonics of a real drive tell.
pub(super) struct Reading<T> {
    /// δ per unit of β, complex.
    pub response: Vec<T>,
    /// Rates at β = 0, complex; the imaginary part is what lags.
    pub free: Vec<T>,
    /// p − y (or a − y) at β = 0, real.
    pub output_error: Vec<T>,
    /// Share of the highest harmonic in the response, from the third on.
    pub last_harmonic: Option<f64>,
}

/// Combines the odd harmonics up to `order` and the even ones up to `order` + 1, which have been recorded.
pub(super) fn read<T: Scalar>(lockin: &LockIn<T>, order: u64, amplitude: f64) -> Reading<T> {
    let coefficient = |k: u64| lockin.coefficient(k as i64).expect("every harmonic that is read is recorded");
    let mut reading = Reading {
        response: vec![T::zero(); coefficient(0).rates.len()],
        free: vec![T::zero(); coefficient(0).rates.len()],
        output_error: vec![T::zero(); coefficient(0).output_error.len() / 2],
        last_harmonic: None,
    };
    let add = |factor: f64, values: &[T], sum: &mut [T]| {
        let factor = T::of(factor);
        sum.iter_mut().zip(values).for_each(|(s, x)| *s += factor * *x);
    };
    for k in 0..=order + 1 {
        let c = coefficient(k);
        let sign = if (k / 2).is_multiple_of(2) { 1.0 } else { -1.0 };
        // c_k cos kθ has the complex coefficient c_k/2, except at k = 0.
        let real = if k == 0 { 1.0 } else { 2.0 * sign };
        if k % 2 == 1 {
            add(real * k as f64 / amplitude, &c.rates, &mut reading.response);
        } else {
            add(real, &c.rates, &mut reading.free);
            add(real, &c.output_error, &mut reading.output_error);
        }
    }
    let last = 2.0 * order as f64 / amplitude * norm(&coefficient(order).rates);
    let share = last / norm(&reading.response);
    reading.last_harmonic = (order > 1 && share.is_finite()).then_some(share);
    reading
}

/// The record whose coefficients are the difference between even and odd periods, with the noise of the plain one.
pub(super) fn alternating(record: &Record) -> Record {
    let per_period = record.samples_per_period as usize;
    let periods = record.weights.len() / per_period;
    let used = periods - periods % 2;
    let balance = periods as f64 / used.max(1) as f64;
    let sign = |index: usize| match index / per_period {
        period if period >= used => 0.0,
        period if period.is_multiple_of(2) => balance,
        _ => -balance,
    };
    let weights = record.weights.iter().enumerate().map(|(i, w)| w * sign(i)).collect();
    Record { weights, ..record.clone() }
}

/// The largest order whose every harmonic holds more signal than noise: adding it lowers the mean square error.
fn order_above_noise<T: Scalar>(lockin: &LockIn<T>, scatter: &LockIn<T>, odd: &[i64]) -> u64 {
    let size = |lockin: &LockIn<T>, k: i64| lockin.coefficient(k).map_or(0.0, |c| norm(&c.rates));
    let rounding = T::epsilon().double() * size(lockin, 0);
    let stands_out =
        |k: &&i64| size(lockin, **k).powi(2) > 2.0 * size(scatter, **k).powi(2) + rounding.powi(2);
    odd.iter().take_while(stands_out).last().copied().unwrap_or(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_gain_is_that_of_a_sum_of_harmonics() {
        assert_eq!(noise_gain(1), 1.0);
        assert_eq!(noise_gain(5), 35.0_f64.sqrt());
    }

    #[test]
    fn alternating_weights_are_blind_to_what_repeats_and_keep_the_noise() {
        for periods in [2, 3, 5, 8] {
            let record = Record {
                start: 0,
                stride: 1,
                samples_per_period: 4,
                weights: Window::Boxcar.weights(4 * periods, 1.0),
            };
            let weights = alternating(&record).weights;
            for phase in 0..4 {
                let sum: f64 = weights.iter().skip(phase).step_by(4).sum();
                assert!(sum.abs() < 1e-15);
            }
            let power = |w: &[f64]| w.iter().map(|w| w * w).sum::<f64>();
            let ratio = power(&weights) / power(&record.weights);
            let even = (periods - periods % 2) as f64;
            assert!((ratio - periods as f64 / even).abs() < 1e-12, "{periods}: {ratio}");
        }
    }
}
