//! Kolen–Pollack learning: both directions of a pair take the same update and decay, and so become each other's transpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;

/// Reciprocal connections W and B take the sum of their two updates, and decay: W − Bᵀ falls by `decay` for each unit of learning
/// rate (Kolen & Pollack 1994).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KolenPollack {
    /// λ of the pairs' weights, on top of the optimiser's own weight decay.
    #[schemars(range(min = 0.0))]
    pub decay: f64,
}

impl KolenPollack {
    /// Checks the number.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        non_negative("decay", self.decay)
    }
}

/// Gives both directions of every pair the sum of their gradients: −c₁[a_i a_j], what one multiplier in the pair would measure.
pub fn share<T: Scalar>(network: &Network, gradient: &mut Parameters<T>) {
    for (forward, backward) in network.untied_pairs() {
        let mut sum = backward.interaction.as_feedback(gradient.at(backward.weight));
        sum.iter_mut().zip(gradient.at(forward.weight)).for_each(|(sum, g)| *sum = *g + *sum);
        gradient.at_mut(backward.weight).copy_from_slice(&forward.interaction.as_feedback(&sum));
        gradient.at_mut(forward.weight).copy_from_slice(&sum);
    }
}
