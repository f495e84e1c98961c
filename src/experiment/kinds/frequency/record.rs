//! What a `frequency` run leaves behind: a line of `metrics.jsonl`, and theory.

use serde::{Deserialize, Serialize};

/// One line of the metrics of a `frequency` experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrequencyPoint {
    /// Shortest period, in τ.
    pub period: f64,
    /// Periods T, 2T, 4T … that were extrapolated; 1 for none.
    pub richardson: u64,
    /// Relative error of the real part over the weights between layers.
    pub relative_error: f64,
    /// The same with the quadrature counted in.
    pub complex_error: f64,
    /// What theory says for the real part.
    pub theory: f64,
    /// What theory says with the quadrature counted in.
    pub complex_theory: f64,
    /// Cosine to the adjoint.
    pub cosine: Option<f64>,
    /// Evaluations of the right-hand side.
    pub rhs_evaluations: u64,
    /// Slowest relaxation rate of the samples, in 1/τ.
    pub slowest_rate: f64,
}

/// The file of theory's curves in the folder of a `frequency` run: an array of [`FrequencyTheory`].
pub const THEORY: &str = "theory.json";

/// What theory says of a period, simulated or not. Errors are relative, over the weights between layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrequencyTheory {
    /// Shortest period, in τ.
    pub period: f64,
    /// Periods T, 2T, 4T … that are extrapolated; 1 for none.
    pub richardson: u64,
    /// Error of the real part.
    pub real: f64,
    /// The same with the quadrature counted in.
    pub complex: f64,
}

impl From<&FrequencyPoint> for FrequencyTheory {
    fn from(point: &FrequencyPoint) -> Self {
        let &FrequencyPoint { period, richardson, theory: real, complex_theory: complex, .. } = point;
        Self { period, richardson, real, complex }
    }
}
