//! One line of `metrics.jsonl` of a `train` run, and what sums up many.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One line of the metrics of a training run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// Cosine of the estimate's error vectors to the adjoint's over all neurons, mean over the compared samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_cosine: Option<f64>,
    /// The same for each layer.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub layer_cosines: IndexMap<String, f64>,
    /// Angle between forward and transposed backward weights, all pairs together, in degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_angle: Option<f64>,
    /// |S|/(|S| + |A|) of the symmetric and antisymmetric parts of W − 1, the Jacobian at unit gain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jacobian_symmetry: Option<f64>,
    /// |JJᵀ − JᵀJ|/|J|² of J = W − 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_normality: Option<f64>,
    /// Eigenvalues of W − 1, real and imaginary part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eigenvalues: Option<Vec<[f64; 2]>>,
    /// Slowest relaxation rate of the compared samples, in 1/τ.
    pub slowest_rate: Option<f64>,
    /// Slowest relaxation rate of test samples, where it was asked for, in 1/τ.
    #[serde(default)]
    pub test_slowest_rate: Option<f64>,
    /// ωτ of the drive.
    pub drive_rate: Option<f64>,
    /// Signal-to-noise ratio of the error vectors of the compared samples, where there is noise.
    #[serde(default)]
    pub signal_to_noise: Option<f64>,
    /// What a careful reader would object to in the compared estimate.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How often the amplitude of a batch was halved in the epoch because the simulation diverged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub halvings: u64,
    /// Samples of the epoch that were dropped from their updates, because they did not settle.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Samples of the epoch that were estimated from two real points, because they did not settle at all of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub two_points: u64,
    /// Energy that a circuit has taken for all samples that it was shown, in J, where its drive is followed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// Evaluations of the right-hand side by the estimator since the start.
    pub rhs_evaluations: u64,
    /// Seconds of the epoch.
    pub seconds: f64,
}

/// A warning and how often it stood in a run: warnings that differ only in their numbers are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurring {
    /// Epochs that carry it.
    pub epochs: usize,
    /// The last of them.
    pub last_epoch: u64,
    /// Its text in the last of them.
    pub warning: String,
}

impl Recurring {
    /// The warnings of all epochs, the most frequent first.
    #[must_use]
    pub fn count(lines: &[Epoch]) -> Vec<Self> {
        let mut found: IndexMap<String, Self> = IndexMap::new();
        for line in lines {
            for warning in &line.warnings {
                let entry = found.entry(without_numbers(warning)).or_insert_with(|| Self {
                    epochs: 0,
                    last_epoch: 0,
                    warning: String::new(),
                });
                entry.epochs += 1;
                entry.last_epoch = line.epoch;
                entry.warning.clone_from(warning);
            }
        }
        let mut all: Vec<Self> = found.into_values().collect();
        all.sort_by_key(|recurring| std::cmp::Reverse(recurring.epochs));
        all
    }

    /// The line that tells of it, in a run of so many epochs.
    #[must_use]
    pub fn told(&self, epochs: usize) -> String {
        let Self { epochs: own, last_epoch, warning } = self;
        format!("warning in {own} of {epochs} epochs, last in epoch {last_epoch}: {warning}")
    }
}

/// A text with every word that has a digit in it left out.
fn without_numbers(text: &str) -> String {
    text.split_whitespace()
        .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The epoch with the least of what `value` takes from each; not where none has it.
#[must_use]
pub fn least(lines: &[Epoch], value: impl Fn(&Epoch) -> Option<f64>) -> Option<(u64, f64)> {
    let found = lines.iter().filter_map(|line| Some((line.epoch, value(line)?)));
    found.min_by(|a, b| a.1.total_cmp(&b.1))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: u64, cosine: Option<f64>, warnings: &[&str]) -> Epoch {
        let line = serde_json::json!({ "epoch": epoch, "learning_rate": 0.1, "train_loss": 1.0, "train_accuracy": 0.5,
            "test_loss": 1.0, "test_accuracy": 0.5, "cosine": cosine, "warnings": warnings, "rhs_evaluations": 1,
            "seconds": 1.0 });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn a_run_is_summed_up_by_its_worst() {
        let lines = [
            epoch(1, None, &["amplitude 0.4 is large"]),
            epoch(2, Some(0.2), &["the drive is fast (0.3 > 0.1)", "amplitude 0.4 is large"]),
            epoch(3, Some(0.9), &["amplitude 0.2 is large"]),
            epoch(4, Some(0.8), &[]),
        ];
        assert_eq!(least(&lines, |e| e.cosine), Some((2, 0.2)));
        assert_eq!(least(&lines[..1], |e| e.cosine), None);
        let warnings = Recurring::count(&lines);
        let told: Vec<String> = warnings.iter().map(|w| w.told(lines.len())).collect();
        assert_eq!(
            told,
            [
                "warning in 3 of 4 epochs, last in epoch 3: amplitude 0.2 is large",
                "warning in 1 of 4 epochs, last in epoch 2: the drive is fast (0.3 > 0.1)"
            ]
        );
    }
}
