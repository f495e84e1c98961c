//! One line of `metrics.jsonl` of an `amplitude` run.

use serde::{Deserialize, Serialize};

/// One line of the metrics of an `amplitude` experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AmplitudePoint {
    /// Label of the estimator.
    pub estimator: String,
    /// |β|.
    pub amplitude: f64,
    /// Cosine to the adjoint over the weights between layers; null where the simulation diverged.
    pub cosine: Option<f64>,
    /// Relative error over the weights between layers.
    pub relative_error: Option<f64>,
    /// Cosine to the adjoint over all parameters.
    #[serde(default)]
    pub total_cosine: Option<f64>,
    /// |estimate − adjoint| over all parameters, not divided by the gradient's length.
    #[serde(default)]
    pub distance: Option<f64>,
    /// Estimated radius of convergence, a |β|.
    pub radius_of_convergence: Option<f64>,
    /// Evaluations of the right-hand side.
    pub rhs_evaluations: Option<u64>,
    /// What a careful reader would object to in the estimate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why there is no number, if there is none.
    pub failure: Option<String>,
}
