//! What a `sweep` leaves behind: a line of `metrics.jsonl`, and the summary.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::share::Share;
use crate::bootstrap::Interval;
use crate::error::Invalid;

/// Folder in a sweep's, with one of each run that keeps its history: `metrics.jsonl`, a line an epoch, and a checkpoint.
pub const HISTORY: &str = "runs";

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

impl SweepRun {
    /// Refuses a record of other values or seeds than those of the run that its key stands for.
    ///
    /// # Errors
    /// The first finding.
    pub(super) fn refuse_others(
        &self,
        values: &IndexMap<String, Value>,
        (seed, device_seed): (u64, u64),
    ) -> Result<(), Invalid> {
        let Self { key, .. } = self;
        let refuse = |field: &str, found: String, legal: String| {
            let legal = format!("{legal}, for which the key {key} stands");
            Err(Invalid::new(field, format!("found {found}"), legal))
        };
        if self.seed != seed {
            return refuse("seed", self.seed.to_string(), seed.to_string());
        }
        if self.device_seed != device_seed {
            return refuse("device_seed", self.device_seed.to_string(), device_seed.to_string());
        }
        if self.values != *values {
            let written = |values: &IndexMap<String, Value>| json!(values).to_string();
            return refuse("values", written(&self.values), written(values));
        }
        Ok(())
    }
}

/// An axis of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepAxis {
    /// Path of the field in the experiment.
    pub path: String,
    /// The values, in order.
    pub values: Vec<Value>,
}

impl SweepAxis {
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
/// The measure of the energy that a run has taken.
pub const JOULES: &str = "joules";

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
    /// The same against `joules`, the energy of training.
    Energy,
}

impl Drawing {
    /// The measure that the others are drawn against, if it is one.
    #[must_use]
    pub fn cost(self) -> Option<&'static str> {
        match self {
            Self::Curves | Self::HeatMap => None,
            Self::Cost => Some(COST),
            Self::Energy => Some(JOULES),
        }
    }
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
    /// The share of the runs that reach the accuracy of `yield`.
    #[serde(default, rename = "yield", skip_serializing_if = "Option::is_none")]
    pub reached: Option<Share>,
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
    pub axes: Vec<SweepAxis>,
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
    /// The accuracy whose share is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yield_accuracy: Option<f64>,
    /// Every point, in the order of the grid.
    pub points: Vec<SweepPoint>,
}
