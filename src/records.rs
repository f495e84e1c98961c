//! Results as they lie in a run folder: one type for each kind's line of `metrics.jsonl`, and the reader.

use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bootstrap::Interval;
use crate::error::{Error, Result};
use crate::files;
use crate::json::wording;

/// Folder in a sweep's, with one of each run that keeps its history: `metrics.jsonl`, a line an epoch, and a checkpoint.
pub const HISTORY: &str = "runs";

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
    /// Slowest relaxation rate of the first four in every ten of the compared samples, in 1/τ.
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

/// One line of the metrics of a `relaxation` experiment: the steps at one frozen β.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelaxationPhase {
    /// |β|; 0 for the free network.
    pub amplitude: f64,
    /// Which root of unity, from 0; null for the free network.
    pub point: Option<u64>,
    /// Euclidean length of the change of the state, step by step; it ends where the state is no longer finite.
    pub residuals: Vec<f64>,
    /// Real and imaginary part of each rate at the end, by layer and neuron; without those that are not finite.
    pub rates: IndexMap<String, [f64; 2]>,
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

/// One line of the metrics of a `sweep`: one training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRun {
    /// Identifies the run: a hash of all that decides its result.
    pub key: String,
    /// Place of its point in the grid, from 0.
    pub point: usize,
    /// The value along each axis.
    pub values: IndexMap<String, Value>,
    /// Seed of training.
    pub seed: u64,
    /// Seed of the device.
    pub device_seed: u64,
    /// What was measured; null where it does not apply, or the simulation diverged.
    pub measures: IndexMap<String, Option<f64>>,
    /// How the simulation diverged, if it did.
    pub failure: Option<String>,
    /// What a careful reader would object to in the estimate of the last epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Seconds of the run.
    pub seconds: f64,
}

/// An axis of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Path of the field in the experiment.
    pub path: String,
    /// The values, in order.
    pub values: Vec<Value>,
}

impl Axis {
    /// The values as numbers, if all of them are.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(Value::as_f64).collect()
    }

    /// Whether the values are rising numbers at equal differences (false) or ratios (true).
    #[must_use]
    pub fn spacing(&self) -> Option<bool> {
        let numbers = self.numbers().filter(|n| n.len() > 1 && n.windows(2).all(|w| w[0] < w[1]))?;
        let even = |f: &dyn Fn(f64) -> f64| {
            let steps: Vec<f64> = numbers.windows(2).map(|w| f(w[1]) - f(w[0])).collect();
            steps.iter().all(|step| (step / steps[0] - 1.0).abs() < 0.02)
        };
        if even(&|x| x) { Some(false) } else { (numbers[0] > 0.0 && even(&f64::ln)).then_some(true) }
    }
}

/// The measure of what a run has cost: evaluations of the right-hand side.
pub const COST: &str = "rhs_evaluations";

/// How a sweep is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drawing {
    /// Curves with error bars.
    #[default]
    Curves,
    /// A map of the means over `x` and `lines`.
    HeatMap,
    /// Every other measure against `rhs_evaluations`, one curve for what the labels say before their first comma.
    Cost,
}

/// A point of a sweep, summed up over its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The value along each axis.
    pub values: IndexMap<String, Value>,
    /// Runs, over seeds and devices.
    pub runs: usize,
    /// How many of them diverged; they are missing from the means.
    pub failures: usize,
    /// Mean and 95 % interval of each measure, which up to three runs is their [range](Self::spread_name); null if no run has
    /// it.
    pub measures: IndexMap<String, Option<Interval>>,
}

impl SweepPoint {
    /// What to call the spread that stands beside a mean. All of n resampled runs are the lowest one with probability n⁻ⁿ: up to
    /// three runs that is over 2.5 %, and the percentiles of the bootstrap are the lowest and the highest run, which cover the
    /// true mean far less often than 95 % of the time.
    #[must_use]
    pub fn spread_name(&self) -> &'static str {
        if self.runs.saturating_sub(self.failures) <= 3 { "range" } else { "95 % interval" }
    }
}

/// The summary of a `sweep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepSummary {
    /// The axes of the grid.
    pub axes: Vec<Axis>,
    /// Path of the axis that is drawn across.
    pub x: String,
    /// Path of the axis that makes curves.
    pub lines: Option<String>,
    /// Curves or map.
    pub draw: Drawing,
    /// How the figure calls axes and measures.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Runs in all.
    pub runs: usize,
    /// How many of them diverged.
    pub failures: usize,
    /// Seconds of the sweep, since it was last started.
    pub wall_seconds: f64,
    /// Seconds of all runs, one after the other.
    pub training_seconds: f64,
    /// Every point, in the order of the grid.
    pub points: Vec<SweepPoint>,
}

/// A short name of a value: a text itself, a choice by its name, anything else as JSON.
#[must_use]
pub fn value_label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => match (object.get("name"), object.len()) {
            (Some(Value::String(name)), _) => name.clone(),
            (_, 1) => object.keys().cloned().collect(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// The metrics of a run, line by line; of a last line that is torn nothing.
///
/// # Errors
/// If the file is missing, or a line is not of the expected kind.
pub fn read_metrics<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let path = folder.join("metrics.jsonl");
    let text = files::read_text(&path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let place = format!("line {}", number + 1);
            let (found, wanted) = wording::plain(&e.to_string());
            let legal = if wanted.is_empty() { "a line written by holograd".to_owned() } else { wanted };
            Error::input(path.display().to_string(), place, found, legal)
        })
    };
    // A line without an end is being written, or was when a process was killed.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let torn = serde_json::from_str::<Value>(&text[whole..]).is_err();
    text[..if torn { whole } else { text.len() }].lines().enumerate().map(parse).collect()
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
