//! What an `elapsed` run leaves behind: a line of `metrics.jsonl`, and the modes of its summary.

use serde::{Deserialize, Serialize};

/// One line of the metrics of an `elapsed` experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElapsedPoint {
    /// Label of the estimator.
    pub estimator: String,
    /// Its name.
    pub method: String,
    /// Periods T, 2T, 4T … that are extrapolated; 1 for none.
    pub richardson: u64,
    /// The shortest period, in τ.
    pub base_period: f64,
    /// How many times the longest period has passed.
    pub period: u64,
    /// Time since the drive began, in τ; of all periods one after the other.
    pub elapsed: f64,
    /// Evaluations of the right-hand side since then.
    pub rhs_evaluations: u64,
    /// Cosine to the adjoint over the weights between layers.
    pub cosine: Option<f64>,
    /// Cosine to the adjoint over all parameters.
    pub total_cosine: Option<f64>,
    /// |estimate − truth| over all parameters, for the mean cost of the samples.
    pub distance: f64,
    /// Relative error over the weights between layers.
    pub relative_error: f64,
}

/// Relaxation rates of a network, as a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Modes {
    /// The middle of each bin, in 1/τ; the outer bins take in what lies beyond.
    pub rates: Vec<f64>,
    /// Share of the squared response to slow teaching.
    pub share: Vec<f64>,
    /// Share of all modes.
    pub count: Vec<f64>,
}
