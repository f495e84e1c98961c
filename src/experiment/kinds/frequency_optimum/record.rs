//! What a `frequency_optimum` run leaves behind: a line of `metrics.jsonl`, and the summary.

use serde::{Deserialize, Serialize};

/// One line of the metrics of a `frequency_optimum` experiment. Errors are relative, over the weights between layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrequencyOptimumPoint {
    /// Corner of the 1/f noise, in cycles per τ.
    pub corner: f64,
    /// Poles of the lock-in's filter.
    pub poles: u32,
    /// Period, in τ.
    pub period: f64,
    /// Root mean square error over the draws of the noise.
    pub error: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Error without noise.
    pub bias: f64,
    /// What theory says for the error without noise.
    pub theory_bias: f64,
    /// What theory says for the noise alone.
    pub theory_noise: f64,
    /// What theory says for both.
    pub theory: f64,
    /// One-sided equivalent noise bandwidth of the filter, in cycles per τ.
    pub noise_bandwidth: f64,
}

/// The best period of one filter and corner; null where the error only falls or only rises over the periods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optimum {
    /// Corner of the 1/f noise, in cycles per τ.
    pub corner: f64,
    /// Poles of the lock-in's filter.
    pub poles: u32,
    /// Simulated best period, in τ.
    pub period: Option<f64>,
    /// Simulated error there.
    pub error: Option<f64>,
    /// Best period by theory, in τ.
    pub theory_period: Option<f64>,
    /// Error there, by theory.
    pub theory_error: Option<f64>,
    /// Period, in τ, and theory's error, between the shortest and the longest simulated period.
    #[serde(default)]
    pub theory_curve: Vec<[f64; 2]>,
}

/// The summary of a `frequency_optimum` experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrequencyOptimumSummary {
    /// The optima, by corner and filter.
    pub optima: Vec<Optimum>,
    /// Seconds of the run.
    pub wall_seconds: f64,
}
