//! One line of `metrics.jsonl` of a `continuous` run.

use serde::{Deserialize, Serialize};

/// One line of the metrics of a `continuous` run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContinuousEpoch {
    /// Epochs completed.
    pub epoch: u64,
    /// Time since the start, in τ.
    pub time: f64,
    /// Mean cost on the training samples at the free equilibrium.
    pub train_loss: f64,
    /// Share of correct answers among them.
    pub train_accuracy: f64,
    /// Mean cost on the samples held out of the training set, at the free equilibrium.
    pub validation_loss: f64,
    /// Share of correct answers among them.
    pub validation_accuracy: f64,
    /// Cosine of what drives the weights, averaged over the compared samples, to the adjoint gradient, all parameters.
    pub cosine: Option<f64>,
    /// The same over the weights between layers alone.
    pub synapse_cosine: Option<f64>,
    /// Slowest relaxation rate of the compared samples, in 1/τ.
    pub slowest_rate: Option<f64>,
    /// ωτ of the drive.
    pub drive_rate: f64,
    /// Evaluations of the right-hand side since the start.
    pub rhs_evaluations: u64,
    /// Seconds of the epoch.
    pub seconds: f64,
}
