//! Networks that stay fast: a floor under the slowest relaxation rate while learning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::imperfections::{Imperfections, device};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;

/// Keeps the slowest relaxation rate above a floor: where an update has left it below, the weights between layers are scaled
/// down, all by the same factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateFloor {
    /// The floor, in 1/τ; rate · (1 + margin) lies below 1/τ of the slowest neuron.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// How far above the floor the measured rate is kept, relative to it, for the samples that are slower than the measured
    /// ones.
    #[serde(default = "third")]
    #[schemars(range(min = 0.0))]
    pub margin: f64,
    /// Updates from one measurement to the next.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub every: u64,
    /// Samples of the batch that are measured, at most.
    #[serde(default = "all")]
    #[schemars(range(min = 1))]
    pub samples: usize,
}

fn third() -> f64 {
    0.3
}

fn one() -> u64 {
    1
}

fn all() -> usize {
    1_000_000
}

impl RateFloor {
    /// Checks the numbers, and that the network can be as fast as the device's time constants let it.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self, network: &Network, imperfections: &Imperfections) -> Result<(), Invalid> {
        non_negative("margin", self.margin)?;
        let drawn = device::taus(network, imperfections);
        let nominal = |layer: usize| network.layers[layer].tau.as_slice();
        let tau = |layer: usize| drawn.as_ref().map_or_else(|| nominal(layer), |taus| &taus[layer]);
        let most = 1.0 / largest((0..network.layers.len()).map(tau));
        if !(self.rate > 0.0 && self.target() < most) {
            let found = format!("found {} with a margin of {}", self.rate, self.margin);
            let legal = format!(
                "above 0, and with its margin below {most}: no neuron relaxes faster than uncoupled ones do"
            );
            return Err(Invalid::new("rate", found, legal));
        }
        for (name, value) in [("every", self.every), ("samples", self.samples as u64)] {
            if value == 0 {
                return Err(Invalid::new(name, "found 0", "at least 1"));
            }
        }
        if imperfections.programming.as_ref().is_some_and(|p| p.update.is_some()) {
            return Err(Invalid::new(
                "",
                "found a floor with weights that are changed by pulses",
                "pulses cannot scale all weights by one factor: leave out `imperfections.programming.update`",
            ));
        }
        Ok(())
    }

    /// The measured rate that is kept: the floor with its margin, in 1/τ.
    #[must_use]
    pub fn target(&self) -> f64 {
        self.rate * (1.0 + self.margin)
    }

    /// The factor on the weights between layers that brings a slowest rate to the target; none where it is there already.
    ///
    /// With one time constant τ the slowest rate is (1 − μ)/τ, with μ the largest real part of an eigenvalue of W diag ρ′,
    /// and μ is proportional to W: the factor is (1 − τ·target)/(1 − τ·rate). It is exact as long as ρ′ stays. `tau` is the
    /// largest time constant, which is on the safe side where there are several.
    #[must_use]
    pub fn factor(&self, slowest: f64, tau: f64) -> Option<f64> {
        (slowest < self.target()).then(|| (1.0 - tau * self.target()) / (1.0 - tau * slowest))
    }
}

/// The largest of the layers' time constants.
pub(crate) fn largest<'a>(taus: impl Iterator<Item = &'a [f64]>) -> f64 {
    taus.flatten().copied().fold(0.0, f64::max)
}

/// Multiplies the weights between layers, not those from the input and of the read-out.
pub fn scale_recurrent<T: Scalar>(network: &Network, parameters: &mut Parameters<T>, factor: f64) {
    for (_, edge) in network.between_layers() {
        parameters.at_mut(edge.weight).iter_mut().for_each(|w| *w *= T::of(factor));
    }
}
