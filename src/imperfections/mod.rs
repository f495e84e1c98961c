//! What makes a substrate imperfect, by when it is drawn.

pub mod noise;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use noise::StateNoise;

/// The `imperfections` field of an experiment; all off by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Imperfections {
    /// Noise on the neurons' state, at every instant.
    #[serde(default)]
    pub state_noise: Option<StateNoise>,
}

impl Imperfections {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.state_noise.map_or(Ok(()), |noise| noise.validate().map_err(|e| e.under("state_noise")))
    }
}
