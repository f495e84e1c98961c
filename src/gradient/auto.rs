//! A requested gradient error, and the fewest evaluations that meet it.

use std::f64::consts::TAU;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description};
use super::driven::{self, Response};
use super::equilibrium::{self, Settle};
use super::extrapolation::{Extrapolation, Measured, norm, relative_difference};
use super::harmonic_balance::HarmonicBalance;
use super::oscillation::Oscillation;
use super::work::{self, Foreseen, Work};
use super::{Estimate, Estimator, Setting, Stop};
use crate::error::{Error, Invalid, Result, positive};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::Window;
use crate::substrate::samples::Samples;

/// ωτ of the first period, in slowest relaxation rates.
const FIRST: f64 = 4.0;
/// Lock-in samples that a period has at least.
const LEAST_TICKS: u64 = 16;
/// Periods that are measured at most; each is twice as long as the one before.
const MOST_PERIODS: u64 = 8;
/// Part of the requested error that transients may make.
const TRANSIENT: f64 = 0.1;

/// |β|e^{iωt} at periods that are chosen from the slowest relaxation rate, one after the other, each until transients are
/// gone, until the rational extrapolation to zero frequency has settled to the requested error.
///
/// The error is that of the frequency and of transients. Noise is averaged no longer than transients last, and does not stop it:
/// `noise_estimate` tells what noise makes, from above, as the change between the last two records holds what transients leave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auto {
    /// Requested relative error of the response, and with it of the gradient, by frequency and transients.
    #[serde(default = "percent")]
    #[schemars(range(min = 1e-9, max = 0.5))]
    pub relative_error: f64,
    /// Evaluations of the right-hand side that a chunk of ten samples may cost; where it cannot do, the estimate ends
    /// beforehand, as a divergence does.
    #[serde(default = "budget")]
    #[schemars(range(min = 1))]
    pub budget: u64,
    /// Amplitude |β|.
    #[serde(default = "amplitude")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// How the trajectory is integrated: with a fixed step.
    #[serde(default = "euler")]
    pub integrator: IntegratorSpec,
    /// Whether `harmonic_balance` may take its place where there is no noise.
    #[serde(default)]
    pub solve: bool,
}

fn percent() -> f64 {
    1e-2
}

fn budget() -> u64 {
    20_000
}

fn amplitude() -> f64 {
    0.1
}

fn euler() -> IntegratorSpec {
    IntegratorSpec::Euler { step: 0.5 }
}

impl Auto {
    /// The drive whose period is `factor` times the base period of `ticks` steps.
    fn drive(&self, ticks: u64, step: f64, factor: u64) -> driven::Drive {
        Oscillation {
            amplitude: self.amplitude,
            period: ticks as f64 * step,
            settle_periods: 0,
            periods: 1,
            onset_periods: 0.0,
            richardson: 1,
            extrapolation: Extrapolation::Rational,
            integrator: self.integrator,
            window: Window::Boxcar,
            per_synapse: false,
            correct_asymmetry: false,
        }
        .drive(factor, false)
    }

    /// Periods after which a transient of the slowest mode is below what is allowed.
    fn patience(&self, decay: f64) -> u64 {
        1 + ((TRANSIENT * self.relative_error).ln() / decay.ln()).ceil() as u64
    }

    /// Measures period after period until the next would show no transient above what is allowed.
    fn measure<T: Scalar>(
        &self,
        drive: &mut driven::Drive,
        decay: f64,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        state: &mut Vec<T>,
    ) -> Result<Response<T>> {
        let mut evaluations = 0;
        let mut last: Option<Response<T>> = None;
        let mut scatter = None;
        for _ in 0..=self.patience(decay) {
            let response = driven::respond(drive, false, setting, samples, state)?;
            *drive = drive.clone().after(drive.end());
            evaluations += response.diagnostics.rhs_evaluations;
            let differ = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| *a - *b).collect::<Vec<T>>();
            let changes = last.as_ref().map(|l| {
                (differ(&l.in_phase, &response.in_phase), differ(&l.quadrature, &response.quadrature))
            });
            let size = |(p, q): &(Vec<T>, Vec<T>)| norm(p).hypot(norm(q)) / norm(&response.in_phase);
            let change = changes.as_ref().map(size).filter(|x| x.is_finite());
            // Of two periods' difference, noise makes √2 times what it makes of one.
            let halved = |v: Vec<T>| v.into_iter().map(|x| x * T::of(0.5_f64.sqrt())).collect();
            scatter = changes.filter(|_| setting.is_noisy()).map(|(p, q)| (halved(p), halved(q)));
            // A mode that decays to a part d each period has d/(1 − d) of the last change still to go.
            let settled = change.is_some_and(|c| c * decay / (1.0 - decay) < TRANSIENT * self.relative_error);
            last = Some(response);
            if settled {
                break;
            }
        }
        let mut response = last.expect("at least one period is measured");
        response.scatter = scatter;
        response.diagnostics.rhs_evaluations = evaluations;
        Ok(response)
    }
}

impl Description for Auto {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        if !(1e-9..=0.5).contains(&self.relative_error) {
            let found = format!("found {}", self.relative_error);
            return Err(Invalid::new("relative_error", found, "1e-9 to 0.5"));
        }
        if self.budget == 0 {
            return Err(Invalid::new("budget", "found 0", "at least 1 evaluation"));
        }
        if self.integrator.is_adaptive() {
            let legal = "the cost of an adaptive integrator cannot be planned: use a fixed-step one";
            return Err(Invalid::new("integrator", "found an adaptive integrator", legal));
        }
        self.integrator.validate().map_err(|e| e.under("integrator"))
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            complex: true,
            integrator: Some(self.integrator),
            ..Demands::default()
        }
    }

    fn work(&self, _of: Foreseen) -> Work {
        Work { evaluations: self.budget as f64, rails: 2.0, states: work::ACCELERATED, ..Work::default() }
    }
}

impl<T: Scalar> Estimator<T> for Auto {
    fn amplitude(&self) -> f64 {
        // What is solved for does not depend on it.
        if self.solve { 0.0 } else { self.amplitude }
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
        let quiet = Setting { noise: None, diagnose: false, ..*setting };
        if self.solve && setting.noise.is_none() {
            let solved = HarmonicBalance {
                tolerance: Some((0.1 * self.relative_error).max(20.0 * T::epsilon().double())),
                ..HarmonicBalance::default()
            };
            let mut estimate = solved.estimate(setting, samples, state)?;
            if estimate.diagnostics.rhs_evaluations > self.budget {
                estimate.diagnostics.stop = Stop::BeyondBudget;
            }
            return Ok(estimate);
        }
        let free = equilibrium::free(&quiet, samples, &Settle::default())?;
        let slowest = setting.slowest_rate(samples, &free.rates);
        let refused = |what: String, advice: String| Error::Unfinished {
            moment: "before the drive was chosen".into(),
            place: "the estimator `auto`".into(),
            what,
            advice,
        };
        if slowest <= 0.0 {
            let what = format!("the free equilibrium is not stable: its slowest rate is {slowest:.1e}/tau");
            return Err(refused(what, "lower the weights (learning rate, initial scale)".into()));
        }
        if free.stop == Stop::TimeLimit {
            let what = format!(
                "the free equilibrium was not reached within {} tau (residual {:.1e}, slowest rate {slowest:.1e}/tau)",
                Settle::default().max_time,
                free.residual
            );
            return Err(refused(what, "keep the network faster (smaller weights, `rate_floor`)".into()));
        }
        let (_, step) = self.integrator.fixed_step().expect("validated");
        let per_step = self.integrator.evaluations().expect("validated: a fixed step");
        let ticks = ((TAU / (FIRST * slowest) / step).ceil() as u64).max(LEAST_TICKS);
        let decay = |factor: u64| (-slowest * (ticks * factor) as f64 * step).exp();
        let cost = |factor: u64| self.patience(decay(factor)) * ticks * factor * per_step;
        let least = cost(1) + cost(2);
        if least > self.budget {
            let what = format!(
                "a `budget` of {} evaluations is too small for a relative error of {:.1e} with a slowest rate of {slowest:.3}/tau",
                self.budget, self.relative_error
            );
            let advice = format!(
                "raise `budget` to about {least} or more, or `relative_error`; or keep the network faster (smaller weights, `rate_floor`)"
            );
            return Err(refused(what, advice));
        }
        let real = setting.substrate.shape(samples.count, 1);
        let measuring = Setting { diagnose: false, ..*setting };
        let mut responses: Vec<Response<T>> = Vec::new();
        let (mut spent, mut elapsed) = (free.evaluations, 0);
        let mut stop = Stop::BeyondBudget;
        for factor in (0..MOST_PERIODS).map(|k| 1 << k) {
            if responses.len() >= 2 && spent + cost(factor) > self.budget {
                break;
            }
            let mut drive = self.drive(ticks, step, factor).after(elapsed);
            let response = self.measure(&mut drive, decay(factor), &measuring, samples, state)?;
            elapsed = drive.end();
            spent += response.diagnostics.rhs_evaluations;
            responses.push(response);
            if self.converged(&real, &responses) {
                stop = Stop::RecordComplete;
                break;
            }
        }
        let mut estimate = driven::conclude(&responses, Extrapolation::Rational, setting, samples);
        estimate.diagnostics.rhs_evaluations = spent;
        estimate.diagnostics.slowest_rate = Some(slowest);
        estimate.diagnostics.stop = stop;
        Ok(estimate)
    }
}

impl Auto {
    /// Whether leaving the shortest period out changes the response by no more than the requested error.
    fn converged<T: Scalar>(&self, shape: &StateShape, responses: &[Response<T>]) -> bool {
        if responses.len() < 2 {
            return false;
        }
        let measured: Vec<Measured<'_, T>> = responses
            .iter()
            .map(|r| Measured { in_phase: &r.in_phase, quadrature: &r.quadrature, rate: r.rate })
            .collect();
        let at_zero = |m: &[Measured<'_, T>]| Extrapolation::Rational.at_zero(shape, m);
        let change = relative_difference(&at_zero(&measured[1..]), &at_zero(&measured));
        // A response of zero has no error.
        change.is_none_or(|c| c <= self.relative_error)
    }
}
