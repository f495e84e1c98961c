//! What the dimensionless quantities of a network of neurons are in hardware.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative, positive};

/// What one of each dimensionless quantity is in SI units, with what neurons and converters draw. A weight is a conductance between a line
/// at the rate's voltage, of either sign, and the neuron's input, where currents are summed. All numbers are those of one's own hardware:
/// none has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// One τ, in s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tau: f64,
    /// A potential or a rate of 1, in V.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub volts: f64,
    /// A weight of 1, in S; also the leak of a neuron, whose capacitance is then τ times it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub siemens: f64,
    /// Supply voltage of the neurons, in V.
    #[schemars(range(min = 0.0))]
    pub supply: f64,
    /// Current that a neuron draws from the supply, in A, for each rail of its state.
    #[schemars(range(min = 0.0))]
    pub bias_current: f64,
    /// Energy of a converter for each number that it takes of a neuron or an output, in J.
    #[schemars(range(min = 0.0))]
    pub conversion: f64,
}

impl Units {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, value) in [("tau", self.tau), ("volts", self.volts), ("siemens", self.siemens)] {
            positive(name, value)?;
        }
        for (name, value) in
            [("supply", self.supply), ("bias_current", self.bias_current), ("conversion", self.conversion)]
        {
            non_negative(name, value)?;
        }
        Ok(())
    }
}
