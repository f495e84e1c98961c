//! The `estimator` field of an experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::harmonic_balance::Course;
use super::{Adjoint, Auto, Cauchy, Chebyshev, Classic, Estimator, HarmonicBalance, Oscillation, Staircase};
use crate::error::Invalid;
use crate::imperfections::{Imperfections, device};
use crate::json::choice::{allow_names, choice};
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::IntegratorSpec;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;

/// How the gradient is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[schemars(transform = allow_names)]
pub enum EstimatorSpec {
    /// The truth, by implicit differentiation.
    Adjoint(Adjoint),
    /// Finite differences of real equilibria.
    Classic(Classic),
    /// Separate phases at N roots of unity.
    Cauchy(Cauchy),
    /// Always on, N points per period.
    Staircase(Staircase),
    /// Always on, |β|e^{iωt}.
    Oscillation(Oscillation),
    /// Always on, b cos ωt, on a real substrate.
    Chebyshev(Chebyshev),
    /// The periodic steady state, solved in the Fourier domain.
    HarmonicBalance(HarmonicBalance),
    /// Always on, at periods that meet a requested error.
    Auto(Auto),
}

choice!(EstimatorSpec);

impl EstimatorSpec {
    /// The name in experiment files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adjoint(_) => "adjoint",
            Self::Classic(_) => "classic",
            Self::Cauchy(_) => "cauchy",
            Self::Staircase(_) => "staircase",
            Self::Oscillation(_) => "oscillation",
            Self::Chebyshev(_) => "chebyshev",
            Self::HarmonicBalance(_) => "harmonic_balance",
            Self::Auto(_) => "auto",
        }
    }

    /// The estimator in one precision.
    #[must_use]
    pub fn build<T: Scalar>(&self) -> Box<dyn Estimator<T>> {
        match *self {
            Self::Adjoint(e) => Box::new(e),
            Self::Classic(e) => Box::new(e),
            Self::Cauchy(e) => Box::new(e),
            Self::Staircase(e) => Box::new(e),
            Self::Oscillation(e) => Box::new(e),
            Self::Chebyshev(e) => Box::new(e),
            Self::HarmonicBalance(e) => Box::new(e),
            Self::Auto(e) => Box::new(e),
        }
    }

    /// |β|; zero for the adjoint.
    #[must_use]
    pub fn amplitude(&self) -> f64 {
        match self {
            Self::Adjoint(_) => 0.0,
            Self::Classic(e) => e.amplitude,
            Self::Cauchy(e) => e.amplitude,
            Self::Staircase(e) => e.amplitude,
            Self::Oscillation(e) => e.amplitude,
            Self::Chebyshev(e) => e.amplitude,
            Self::HarmonicBalance(e) => e.amplitude,
            Self::Auto(e) => e.amplitude,
        }
    }

    /// The same estimator at another amplitude.
    #[must_use]
    pub fn with_amplitude(mut self, amplitude: f64) -> Self {
        match &mut self {
            Self::Adjoint(_) => {}
            Self::Classic(e) => e.amplitude = amplitude,
            Self::Cauchy(e) => e.amplitude = amplitude,
            Self::Staircase(e) => e.amplitude = amplitude,
            Self::Oscillation(e) => e.amplitude = amplitude,
            Self::Chebyshev(e) => e.amplitude = amplitude,
            Self::HarmonicBalance(e) => e.amplitude = amplitude,
            Self::Auto(e) => e.amplitude = amplitude,
        }
        self
    }

    /// Checks the numbers, and that the network, its form and its imperfections can carry the estimator.
    ///
    /// # Errors
    /// The first finding, with its path below the estimator's field.
    pub fn validate(
        &self,
        network: &Network,
        form: Form,
        imperfections: Option<&Imperfections>,
    ) -> Result<(), Invalid> {
        let numbers = match self {
            Self::Adjoint(e) => e.validate(),
            Self::Classic(e) => e.validate(),
            Self::Cauchy(e) => e.validate(),
            Self::Staircase(e) => e.validate(),
            Self::Oscillation(e) => e.validate(),
            Self::Chebyshev(e) => e.validate(),
            Self::HarmonicBalance(e) => e.validate(),
            Self::Auto(e) => e.validate(),
        };
        self.check(numbers, network, form, imperfections).map_err(|e| e.under(self.name()))
    }

    fn check(
        &self,
        numbers: Result<(), Invalid>,
        network: &Network,
        form: Form,
        imperfections: Option<&Imperfections>,
    ) -> Result<(), Invalid> {
        numbers?;
        let complex = match self {
            Self::Cauchy(_) | Self::Staircase(_) | Self::Oscillation(_) | Self::Auto(_) => true,
            // The first harmonic alone is a linear response.
            Self::HarmonicBalance(e) => e.drive == Course::Circular && e.harmonics > 1,
            Self::Adjoint(_) | Self::Classic(_) | Self::Chebyshev(_) => false,
        };
        let order = match self {
            Self::Chebyshev(e) => Some(e.harmonics),
            Self::HarmonicBalance(e) if e.drive == Course::Cosine => Some(Some(e.harmonics)),
            _ => None,
        };
        if order.is_some_and(|order| order != Some(1)) && !network.is_holomorphic() {
            return Err(Invalid::new(
                "harmonics",
                "found more than the first with an activation or a pooling that is not holomorphic (hard_tanh, relu or max)",
                "its harmonics do not decay geometrically: use 1, the plain lock-in",
            ));
        }
        if complex && !network.is_holomorphic() {
            return Err(Invalid::new(
                "",
                "found an activation or a pooling that is not holomorphic (hard_tanh, relu or max)",
                "a complex state needs logistic, tanh, dsilu, softplus or identity, and no max pooling; `classic`, `adjoint`, and `chebyshev` and `harmonic_balance` of one harmonic stay real",
            ));
        }
        let per_synapse = match self {
            Self::Classic(e) => e.per_synapse,
            Self::Cauchy(e) => e.per_synapse,
            Self::Staircase(e) => e.per_synapse,
            Self::Oscillation(e) => e.per_synapse,
            Self::Adjoint(_) | Self::Chebyshev(_) | Self::HarmonicBalance(_) | Self::Auto(_) => false,
        };
        if per_synapse && !network.is_tied() {
            return Err(Invalid::new(
                "per_synapse",
                "found true for a network with untied connections",
                "the product of two rates does not tell the two directions apart: use false",
            ));
        }
        let instant = imperfections.and_then(Imperfections::instant);
        let integrator = match self {
            Self::Staircase(e) => Some(e.integrator),
            Self::Oscillation(e) => Some(e.integrator),
            Self::Chebyshev(e) => Some(e.integrator),
            Self::Auto(e) => Some(e.integrator),
            Self::Adjoint(_) | Self::Classic(_) | Self::Cauchy(_) | Self::HarmonicBalance(_) => None,
        };
        if let Some(integrator) = integrator {
            check_time_constants(integrator, network, imperfections)?;
            if let Some(instant) = instant {
                instant.check(integrator, form).map_err(|e| e.under("integrator"))?;
            }
        }
        if let (Self::HarmonicBalance(_), Some(_)) = (self, instant) {
            return Err(Invalid::new(
                "",
                "found noise, or an imperfect read-out, with an estimator that solves for the steady state",
                "nothing is sampled there: use `oscillation` or `chebyshev`, or switch it off",
            ));
        }
        let phases = match self {
            Self::Classic(e) => [Some(("settle", e.settle)), e.nudged.map(|nudged| ("nudged", nudged))],
            Self::Cauchy(e) => [Some(("settle", e.settle)), e.nudged.map(|nudged| ("nudged", nudged))],
            Self::Staircase(e) => [e.free.map(|free| ("free", free)), None],
            _ => [None, None],
        };
        for (name, settle) in phases.into_iter().flatten() {
            let checked = instant.map_or(Ok(()), |instant| instant.check_step(settle.step));
            checked.map_err(|e| e.under(&format!("{name}.step")))?;
        }
        let frozen = matches!(self, Self::Classic(_) | Self::Cauchy(_));
        if frozen && instant.is_some_and(|i| i.is_white()) {
            return Err(Invalid::new(
                "",
                "found white noise with an estimator that waits for equilibria",
                "use `held` noise with a fixed waiting time (`settle.tolerance` 0), or an always-on estimator",
            ));
        }
        Ok(())
    }
}

/// Refuses an integrator that cannot carry the network's time constants, those included that imperfections draw.
///
/// # Errors
/// The finding, at `integrator`.
pub(crate) fn check_time_constants(
    integrator: IntegratorSpec,
    network: &Network,
    imperfections: Option<&Imperfections>,
) -> Result<(), Invalid> {
    let spread = imperfections.filter(|imperfections| imperfections.spreads_tau());
    let taus = || network.layers.iter().flat_map(|l| l.tau.iter().copied());
    if integrator == IntegratorSpec::Map && (spread.is_some() || taus().any(|tau| tau != 1.0)) {
        let legal = "the discrete map knows one time constant: use euler, or set every `tau` to 1";
        return Err(Invalid::new("integrator", "found map with other time constants than 1", legal));
    }
    let fastest = taus().fold(f64::INFINITY, f64::min);
    if let Some(step) = integrator.unstable_beyond(2.0 * fastest) {
        let found = format!("found a step of {step} with a shortest time constant of {fastest}");
        let legal =
            "an explicit step must stay below twice the shortest `tau`: lower it, or use exponential_euler";
        return Err(Invalid::new("integrator", found, legal));
    }
    // No draw is shorter than 0: an integrator without a limit needs none.
    let Some(imperfections) = spread.filter(|_| integrator.unstable_beyond(0.0).is_some()) else {
        return Ok(());
    };
    let drawn = device::taus(network, imperfections).unwrap_or_default();
    let neurons =
        drawn.iter().enumerate().flat_map(|(layer, taus)| taus.iter().enumerate().map(move |t| (layer, t)));
    let Some((layer, (neuron, tau))) = neurons.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b)) else {
        return Ok(());
    };
    if let Some(step) = integrator.unstable_beyond(2.0 * tau) {
        let found = format!(
            "found a step of {step} with a time constant of {tau:.3} of neuron {neuron} of layer `{}`, which `fabrication.tau` \
             draws with `device_seed` {}",
            network.layers[layer].name, imperfections.device_seed
        );
        let legal = format!(
            "an explicit step must stay below twice the shortest time constant, {:.3}: lower it or `fabrication.tau`, or use \
             exponential_euler",
            2.0 * tau
        );
        return Err(Invalid::new("integrator", found, legal));
    }
    Ok(())
}
