//! Results as they lie in a run folder: one type for each kind's line of `metrics.jsonl`, and the reader.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

/// One line of the metrics of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epochs completed.
    pub epoch: u64,
    /// Learning rate of the last update.
    pub learning_rate: f64,
    /// Mean cost over the epoch's training samples, as the substrate saw them while it learnt.
    pub train_loss: f64,
    /// Share of correct answers among them.
    pub train_accuracy: f64,
    /// Mean cost on the test set at the free equilibrium.
    pub test_loss: f64,
    /// Share of correct answers on the test set.
    pub test_accuracy: f64,
    /// Cosine of the estimate to the adjoint gradient, whole gradient.
    pub cosine: Option<f64>,
    /// The same over the weights between layers alone.
    pub synapse_cosine: Option<f64>,
    /// Relative error of the estimate over the weights between layers.
    pub relative_error: Option<f64>,
    /// Slowest relaxation rate of the compared samples, in 1/τ.
    pub slowest_rate: Option<f64>,
    /// ωτ of the drive.
    pub drive_rate: Option<f64>,
    /// What a careful reader would object to in the compared estimate.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Evaluations of the right-hand side by the estimator since the start.
    pub rhs_evaluations: u64,
    /// Seconds of the epoch.
    pub seconds: f64,
}

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
    /// Estimated radius of convergence, a |β|.
    pub radius_of_convergence: Option<f64>,
    /// Evaluations of the right-hand side.
    pub rhs_evaluations: Option<u64>,
    /// Why there is no number, if there is none.
    pub failure: Option<String>,
}

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

/// The metrics of a run, line by line.
///
/// # Errors
/// If the file is missing, or a line is not of the expected kind.
pub fn read_metrics<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let path = folder.join("metrics.jsonl");
    let text = files::read_text(&path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let place = format!("line {}", number + 1);
            Error::input(path.display().to_string(), place, e.to_string(), "a line written by holograd")
        })
    };
    text.lines().enumerate().map(parse).collect()
}
