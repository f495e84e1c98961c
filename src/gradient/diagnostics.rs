//! How an estimate came about, and what speaks against it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numerics::krylov::Solved;

/// How an estimate came about, and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Evaluations of the right-hand side, for one chunk after the other.
    pub rhs_evaluations: u64,
    /// Largest |G − s| of an equilibrium, or largest change of the state over the last period, or relative residual of a linear
    /// equation that was not solved.
    pub settling_residual: f64,
    /// Largest |c₋₁| of the rates (not divided by |β|): zero for a holomorphic substrate in its periodic steady state.
    pub negative_harmonics: Option<f64>,
    /// |c₋₁|/|c₁| of the rates without noise, where c₋₁ is no positive harmonic that the points of a period cannot tell from it.
    #[serde(default)]
    pub negative_share: Option<f64>,
    /// Relative change of the gradient, without noise, from a smaller amplitude to this one: a sixteenth of it, or as much more (up to
    /// a half) as precision asks for. Zero for a power series that is read out exactly.
    #[serde(default)]
    pub amplitude_error: Option<f64>,
    /// Part of the response to this amplitude that rounding, and the tolerance of frozen phases, may make.
    #[serde(default)]
    pub precision_error: Option<f64>,
    /// Share of the highest harmonic of a real drive in the response, from the third on: small where they decay.
    #[serde(default)]
    pub last_harmonic: Option<f64>,
    /// |β| up to which the response is estimated to be a convergent power series, from the decay of the harmonics; none where it
    /// is none at the present amplitude.
    pub radius_of_convergence: Option<f64>,
    /// Slowest relaxation rate seen, in 1/τ.
    pub slowest_rate: Option<f64>,
    /// ωτ of the drive, the fastest where there are several; zero for frozen teaching.
    pub drive_rate: f64,
    /// Relative frequency bias of the response at the longest period, as the extrapolation to zero frequency tells it; from
    /// the quadrature where only one period is measured.
    #[serde(default)]
    pub bias_estimate: Option<f64>,
    /// Relative change of the extrapolated response when the shortest period is left out: a guess from above at the frequency bias
    /// that is left; it knows nothing of transients.
    #[serde(default)]
    pub extrapolation_error: Option<f64>,
    /// Relative noise of the response, amplified as the extrapolation does, from the scatter between periods: where noise is on and two
    /// periods or more are recorded with equal weights.
    #[serde(default)]
    pub noise_estimate: Option<f64>,
    /// Highest harmonic that enters the estimate of a real drive.
    #[serde(default)]
    pub harmonics: Option<u64>,
    /// Noise of the estimate relative to that of a plain lock-in, √Σk² over the odd harmonics, for white noise at the read-out.
    #[serde(default)]
    pub noise_gain: Option<f64>,
    /// Root mean square of the error vectors without noise, over that of what the noise adds to them: how far the error vector of
    /// one neuron and one sample stands out of the noise. Where there is noise.
    #[serde(default)]
    pub signal_to_noise: Option<f64>,
    /// Places in the batch of samples that were dropped, because they did not settle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<usize>,
    /// Samples that were estimated from two real points, because they did not settle at all of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub two_points: u64,
    /// Why the estimator stopped.
    pub stop: Stop,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why an estimator stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Every equilibrium met its tolerance.
    Settled,
    /// The record of the drive is complete, or that of phases in noise, which come to no rest.
    RecordComplete,
    /// An equilibrium did not meet its tolerance within the time allowed.
    TimeLimit,
    /// A linear equation was not solved to its tolerance.
    Unsolved,
    /// The requested error was not reached within the budget.
    BeyondBudget,
}

impl Stop {
    /// Of phases of frozen teaching: whether one was cut short, and whether noise acted on them.
    pub(super) const fn of_phases(cut_short: bool, noisy: bool) -> Self {
        match (cut_short, noisy) {
            (true, _) => Self::TimeLimit,
            (false, true) => Self::RecordComplete,
            (false, false) => Self::Settled,
        }
    }
}

impl Diagnostics {
    /// Diagnostics of frozen teaching.
    #[must_use]
    pub fn frozen(rhs_evaluations: u64, settling_residual: f64, stop: Stop) -> Self {
        Self {
            rhs_evaluations,
            settling_residual,
            negative_harmonics: None,
            negative_share: None,
            amplitude_error: None,
            precision_error: None,
            last_harmonic: None,
            radius_of_convergence: None,
            slowest_rate: None,
            drive_rate: 0.0,
            bias_estimate: None,
            extrapolation_error: None,
            noise_estimate: None,
            harmonics: None,
            noise_gain: None,
            signal_to_noise: None,
            dropped: Vec::new(),
            two_points: 0,
            stop,
        }
    }

    /// Counts in what a linear solve with a requested `tolerance` took and left.
    pub(super) fn solved(&mut self, solved: Solved, tolerance: f64) {
        self.rhs_evaluations += solved.products;
        // Around a state that is no equilibrium there is nothing to solve for.
        let unsolved = solved.residual.is_nan() || solved.residual > 100.0 * tolerance;
        if unsolved && self.stop == Stop::Settled {
            self.stop = Stop::Unsolved;
            self.settling_residual = self.settling_residual.max(solved.residual);
        }
    }

    /// Takes in those of another chunk of the same estimate.
    pub(super) fn merge(&mut self, other: &Self) {
        let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        let smaller = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        self.rhs_evaluations += other.rhs_evaluations;
        self.settling_residual = self.settling_residual.max(other.settling_residual);
        self.negative_harmonics = larger(self.negative_harmonics, other.negative_harmonics);
        self.negative_share = larger(self.negative_share, other.negative_share);
        self.amplitude_error = larger(self.amplitude_error, other.amplitude_error);
        self.precision_error = larger(self.precision_error, other.precision_error);
        self.last_harmonic = larger(self.last_harmonic, other.last_harmonic);
        self.radius_of_convergence = smaller(self.radius_of_convergence, other.radius_of_convergence);
        self.slowest_rate = smaller(self.slowest_rate, other.slowest_rate);
        self.drive_rate = self.drive_rate.max(other.drive_rate);
        self.bias_estimate = larger(self.bias_estimate, other.bias_estimate);
        self.extrapolation_error = larger(self.extrapolation_error, other.extrapolation_error);
        self.noise_estimate = larger(self.noise_estimate, other.noise_estimate);
        self.harmonics = self.harmonics.max(other.harmonics);
        self.noise_gain = larger(self.noise_gain, other.noise_gain);
        self.dropped.extend_from_slice(&other.dropped);
        self.two_points += other.two_points;
        if matches!(other.stop, Stop::TimeLimit | Stop::Unsolved | Stop::BeyondBudget) {
            self.stop = other.stop;
        }
    }

    /// What a careful reader of these numbers would object to.
    #[must_use]
    pub fn warnings(&self, amplitude: f64) -> Vec<String> {
        // An extrapolation that has converged this far has removed the bias that a fast drive causes.
        const EXTRAPOLATED: f64 = 0.05;
        // Below this, what a synapse sees of a sample is mostly noise: of many samples too, if they share it.
        const AUDIBLE: f64 = 1.0;
        // |s − s*| ≈ |G − s| / slowest rate; trained convolutions lost the gradient between 0.03 and 0.04.
        const FAR: f64 = 0.03;
        let mut warnings = Vec::new();
        if let Some(rate) = self.slowest_rate {
            if rate <= 0.0 {
                warnings.push(format!("the free equilibrium is unstable (slowest rate {rate:.3}/tau)"));
            } else if self.drive_rate > rate && self.extrapolation_error.is_none_or(|e| e > EXTRAPOLATED) {
                let needed = std::f64::consts::TAU / rate;
                warnings.push(format!(
                    "the drive is faster than the slowest mode (omega tau = {:.3} > {rate:.3}): the estimate is biased; \
                     a period above {needed:.0} tau, or a faster network, would not be",
                    self.drive_rate
                ));
            } else if self.stop == Stop::Settled && self.settling_residual > FAR * rate {
                warnings.push(format!(
                    "an equilibrium is known to about {:.2} only (residual {:.1e}, slowest rate {rate:.3}/tau): lower \
                     `settle.tolerance`, or keep the network fast",
                    self.settling_residual / rate,
                    self.settling_residual
                ));
            }
        }
        warnings.extend(self.series_warning(amplitude));
        if let Some(ratio) = self.signal_to_noise.filter(|ratio| *ratio < AUDIBLE) {
            warnings.push(format!(
                "the error vectors hold more noise than signal (signal-to-noise ratio {ratio:.2}): updates follow the noise \
                 unless many samples average it out; increase the amplitude (now {amplitude}), or average for longer"
            ));
        }
        if self.stop == Stop::TimeLimit {
            warnings.push(format!(
                "an equilibrium was not reached (residual {:.1e}): raise `settle.max_time`",
                self.settling_residual
            ));
        }
        if self.stop == Stop::Unsolved {
            warnings.push(format!(
                "the linear equation of the response was not solved (relative residual {:.1e}): the network is too close to an \
                 instability; lower its weights, or the `tolerance` of the equilibrium it is solved at",
                self.settling_residual
            ));
        }
        if self.stop == Stop::BeyondBudget {
            let reached =
                self.extrapolation_error.map_or_else(String::new, |e| format!(" (about {e:.1e} is left)"));
            let advice = match self.noise_estimate {
                Some(noise) if self.extrapolation_error.is_none_or(|e| noise > 0.5 * e) => format!(
                    "noise alone makes about {noise:.1e}; raise `amplitude`, or average with the `periods` of `oscillation`"
                ),
                _ => "raise `budget`".to_owned(),
            };
            warnings.push(format!("the requested error was not reached{reached}: {advice}"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_residual_is_held_against_the_slowest_rate() {
        let warnings = |residual, rate, stop| {
            let known = Diagnostics { slowest_rate: Some(rate), ..Diagnostics::frozen(1, residual, stop) };
            known.warnings(0.1).join("\n")
        };
        assert_eq!(warnings(1e-3, 0.05, Stop::Settled), "");
        assert_eq!(warnings(1e-4, 0.02, Stop::Settled), "");
        let told = warnings(1e-3, 0.02, Stop::Settled);
        assert!(
            told.contains("known to about 0.05 only (residual 1.0e-3, slowest rate 0.020/tau)"),
            "{told}"
        );
        // Of a drive the residual is a change over a period, and of phases in noise it is noise.
        assert_eq!(warnings(1e-3, 0.02, Stop::RecordComplete), "");
    }
}
