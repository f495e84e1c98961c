//! The `estimator` field of an experiment: the one table of estimators.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::description::{Demands, Described, Repeated};
use super::work::{Foreseen, Work};
use super::{Adjoint, Auto, Cauchy, Chebyshev, Classic, Estimator, HarmonicBalance, Oscillation, Staircase};
use crate::error::{Error, Invalid};
use crate::files::parse_json;
use crate::imperfections::Imperfections;
use crate::json::choice::{allow_names, choice};
use crate::json::wording::plain;
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

/// What an estimator asks of any substrate.
pub(crate) struct Asked {
    /// A state that is complex.
    pub complex: bool,
    /// Products of what both ends of a synapse have.
    pub tied: bool,
    /// What integrates a drive.
    pub integrator: Option<IntegratorSpec>,
    /// All of the estimate is made of equilibria.
    pub frozen: bool,
    /// The steady state is solved for.
    pub solved: bool,
}

impl FromStr for EstimatorSpec {
    type Err = Error;

    /// A name, or an object as in experiment files.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |error: serde_json::Error| {
            let (found, legal) = plain(&error.to_string());
            Error::input("the estimator", "", found, legal)
        };
        let is_object = text.trim_start().starts_with('{');
        let value =
            if is_object { parse_json(text.as_bytes()).map_err(refused)? } else { Value::from(text.trim()) };
        serde_json::from_value(value).map_err(refused)
    }
}

impl EstimatorSpec {
    /// The estimator by its name in experiment files, in a precision of the caller's: what it is told by is the same in both.
    fn entry<T: Scalar>(&self) -> (&'static str, &dyn Described<T>) {
        match self {
            Self::Adjoint(e) => ("adjoint", e),
            Self::Classic(e) => ("classic", e),
            Self::Cauchy(e) => ("cauchy", e),
            Self::Staircase(e) => ("staircase", e),
            Self::Oscillation(e) => ("oscillation", e),
            Self::Chebyshev(e) => ("chebyshev", e),
            Self::HarmonicBalance(e) => ("harmonic_balance", e),
            Self::Auto(e) => ("auto", e),
        }
    }

    /// The name in experiment files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.entry::<f64>().0
    }

    /// The estimator in one precision.
    #[must_use]
    pub fn build<T: Scalar>(&self) -> Box<dyn Estimator<T>> {
        self.entry().1.boxed()
    }

    /// What it asks of a network.
    fn demands(&self) -> Demands {
        self.entry::<f64>().1.demands()
    }

    /// |β|; zero for the adjoint.
    #[must_use]
    pub fn amplitude(&self) -> f64 {
        self.demands().amplitude
    }

    /// Whether all of it is trajectories of the substrate: nothing is solved for, and no equilibrium accelerated.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        let Demands { phases, solved, .. } = self.demands();
        let accelerated = phases.iter().flatten().any(|(_, settle)| settle.accelerate);
        !solved && !accelerated && !matches!(self, Self::Adjoint(_))
    }

    /// What a chunk of samples takes.
    pub(crate) fn work(&self, of: Foreseen) -> Work {
        self.entry::<f64>().1.work(of)
    }

    /// One period of an always-on drive, which goes on where the one before has ended; none where that is no estimate.
    pub(crate) fn repeated(&self, doublings: u32, per_synapse: bool) -> Option<Repeated> {
        self.entry::<f64>().1.repeated(doublings, per_synapse)
    }

    /// Checks the numbers alone; returns what it asks of any substrate.
    pub(crate) fn check_alone(&self) -> Result<Asked, Invalid> {
        let (name, estimator) = self.entry::<f64>();
        estimator.validate().map_err(|e| e.under(name))?;
        let Demands { complex, tied, integrator, frozen, solved, .. } = estimator.demands();
        Ok(Asked { complex, tied, integrator, frozen, solved })
    }

    /// Checks that a GPU knows all that it does.
    ///
    /// # Errors
    /// The first finding, with its path below the estimator's field.
    pub fn suit_gpu(&self, network: &Network) -> Result<(), Invalid> {
        let (name, estimator) = self.entry::<f64>();
        let Demands { tied, corrected, phases, .. } = estimator.demands();
        let corrected = match self {
            Self::Classic(classic) => classic.correct_asymmetry,
            Self::Cauchy(cauchy) => cauchy.correct_asymmetry,
            _ => corrected,
        };
        if corrected && !network.is_linear() {
            let legal = "false, or average pooling, or `\"device\": \"cpu\"`";
            let found = "found true with softmax pooling on a GPU";
            return Err(Invalid::new("correct_asymmetry", found, legal).under(name));
        }
        if tied && phases.iter().flatten().any(|(_, settle)| settle.average > 0.0) {
            let legal = "false, or an `average` of 0, or `\"device\": \"cpu\"`: a GPU averages rates, not their products";
            return Err(Invalid::new("per_synapse", "found true with an average on a GPU", legal).under(name));
        }
        Ok(())
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
        let (name, estimator) = self.entry::<f64>();
        let numbers = estimator.validate();
        let checked = numbers.and_then(|()| estimator.demands().check(network, form, imperfections));
        checked.map_err(|e| e.under(name))
    }
}
