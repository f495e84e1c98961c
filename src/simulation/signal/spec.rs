//! The `waveform` field of an experiment: how its inputs change in time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative, positive};
use crate::imperfections::noise::{Noise, Rails};
use crate::simulation::integrators::{Clock, IntegratorSpec};
use crate::substrate::neurons::network::{Edge, Network, Source};

/// Steps of a fixed step that a period of a sinusoid has at least.
const FEWEST_STEPS: f64 = 3.0;

/// Numbers that a table has at most: a run keeps them in its `experiment.json`, which must stay readable.
const MOST_NUMBERS: usize = 250_000;

/// What is added to the inputs of the sample that is shown, in the course of time; t is 0 where the run begins.
///
/// Stages of an integrator see it at their own moments, but for `noise` and a table that is held, which stand still through each step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InputSignal {
    /// a sin(2πt/T + φ).
    Sinusoid {
        /// a: of all inputs, or of each.
        amplitude: PerInput,
        /// T, in τ: at least 3 steps of an integrator that has a fixed one.
        #[schemars(extend("exclusiveMinimum" = 0))]
        period: f64,
        /// φ, in radians: of all inputs, or of each.
        #[serde(default)]
        phase: PerInput,
    },
    /// Rows of numbers, one for each input, at equal distances in time from t = 0; from `file` or in `values`.
    Table {
        /// Path of a `.csv` file without headings, or of a safetensors file with one array `x` [rows, inputs]. A run keeps the numbers
        /// as `values`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// The rows themselves, at most 250000 numbers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        values: Option<Vec<Vec<f64>>>,
        /// Time from row to row, in τ: no shorter than a fixed step, and a whole number of steps of the clock where rows are held.
        #[schemars(extend("exclusiveMinimum" = 0))]
        step: f64,
        /// What lies between two rows.
        #[serde(default)]
        interpolation: Interpolation,
        /// Whether the first row follows the last; if not, the last one stays.
        #[serde(default)]
        repeat: bool,
    },
    /// Ornstein–Uhlenbeck noise, independent for each input: autocorrelation σ² e^{−|t|/T}. It starts from its stationary
    /// distribution, and each step sees its mean over the step; the step is fixed.
    Noise {
        /// Stationary standard deviation σ.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Correlation time T, in τ.
        #[schemars(extend("exclusiveMinimum" = 0))]
        correlation_time: f64,
        /// Seed of its random numbers, which are those of no other noise.
        #[serde(default)]
        seed: u64,
    },
}

/// A number for each input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a list with one number per input")]
pub enum PerInput {
    /// The same for every input.
    All(f64),
    /// One for each input.
    Each(Vec<f64>),
}

impl Default for PerInput {
    fn default() -> Self {
        Self::All(0.0)
    }
}

impl PerInput {
    /// The number of each input.
    #[must_use]
    pub fn of(&self, inputs: usize) -> Vec<f64> {
        match self {
            Self::All(number) => vec![*number; inputs],
            Self::Each(numbers) => numbers.clone(),
        }
    }

    fn validate(&self, path: &str, inputs: usize) -> Result<(), Invalid> {
        let finite = |path: String, number: f64| {
            let found = || format!("found {number}");
            if number.is_finite() { Ok(()) } else { Err(Invalid::new(path, found(), "a finite number")) }
        };
        match self {
            Self::All(number) => finite(path.to_owned(), *number),
            Self::Each(numbers) if numbers.len() != inputs => {
                let found = format!("found a list of {} for {inputs} inputs", numbers.len());
                Err(Invalid::new(path, found, "give one number, or one for each input"))
            }
            Self::Each(numbers) => {
                let numbers = numbers.iter().enumerate();
                numbers.into_iter().try_for_each(|(i, number)| finite(format!("{path}[{i}]"), *number))
            }
        }
    }
}

/// What lies between two rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// A straight line.
    #[default]
    Linear,
    /// The earlier one.
    Hold,
}

impl InputSignal {
    /// Checks it against a network, and the clock of the integrator that follows it.
    ///
    /// # Errors
    /// The first finding, with its path inside the signal.
    pub fn validate(
        &self,
        network: &Network,
        integrator: IntegratorSpec,
        clock: Clock,
    ) -> Result<(), Invalid> {
        let pooled = |edge: &&Edge| edge.from == Source::Input && !edge.interaction.is_linear();
        if let Some(edge) = network.edges.iter().find(pooled) {
            let found = format!("found it with the pooling of `{}`", network.shapes()[edge.weight].name);
            return Err(Invalid::new("", found, "it is added to a linear drive: use average pooling"));
        }
        match self {
            Self::Sinusoid { amplitude, period, phase } => {
                amplitude.validate("sinusoid.amplitude", network.inputs)?;
                positive("sinusoid.period", *period)?;
                phase.validate("sinusoid.phase", network.inputs)?;
                let least = FEWEST_STEPS * clock.step;
                if !integrator.is_adaptive() && *period < least {
                    let found = format!("found {period} with steps of {}", clock.step);
                    let legal = format!("at least 3 steps, {least}, or an adaptive integrator");
                    return Err(Invalid::new("sinusoid.period", found, legal));
                }
                Ok(())
            }
            Self::Table { file, values, step, interpolation, .. } => {
                let legal = "exactly one of `file` and `values`";
                let rows = match (file, values) {
                    (Some(_), Some(_)) => return Err(Invalid::new("table", "found both", legal)),
                    (_, None) => return Err(Invalid::new("table", "found no numbers", legal)),
                    (None, Some(rows)) => rows,
                };
                check_rows(rows, network.inputs)?;
                positive("table.step", *step)?;
                check_distance(*step, *interpolation, integrator, clock)
            }
            Self::Noise { std, correlation_time, .. } => {
                non_negative("noise.std", *std)?;
                positive("noise.correlation_time", *correlation_time)?;
                let process = Self::process(*std, *correlation_time);
                process.check_held(integrator).map_err(|e| Invalid { path: "noise".into(), ..e })
            }
        }
    }

    /// The process behind `noise`. Inputs are real.
    pub(super) fn process(std: f64, correlation_time: f64) -> Noise {
        Noise::OrnsteinUhlenbeck { std, correlation_time, continuous: true, rails: Rails::Real }
    }

    /// What no input is moved by more than.
    #[must_use]
    pub fn peak(&self) -> f64 {
        /// Standard deviations beyond which no random number lies.
        const FARTHEST: f64 = 9.0;
        let largest = |numbers: &[f64]| numbers.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        match self {
            Self::Sinusoid { amplitude: PerInput::All(a), .. } => a.abs(),
            Self::Sinusoid { amplitude: PerInput::Each(each), .. } => largest(each),
            Self::Table { values, .. } => values.iter().flatten().map(|row| largest(row)).fold(0.0, f64::max),
            Self::Noise { std, .. } => FARTHEST * std,
        }
    }
}

fn check_rows(rows: &[Vec<f64>], inputs: usize) -> Result<(), Invalid> {
    if rows.is_empty() {
        return Err(Invalid::new("table", "found no rows", "at least one"));
    }
    let numbers = rows.iter().map(Vec::len).sum::<usize>();
    if numbers > MOST_NUMBERS {
        let found = format!("found {numbers} numbers");
        return Err(Invalid::new("table", found, format!("at most {MOST_NUMBERS}")));
    }
    for (i, row) in rows.iter().enumerate() {
        if row.len() != inputs {
            let found = format!("found a row of {} at place {i}, counted from 0", row.len());
            return Err(Invalid::new("table", found, format!("a number for each of the {inputs} inputs")));
        }
        if let Some(j) = row.iter().position(|x| !x.is_finite()) {
            let path = format!("table.values[{i}][{j}]");
            return Err(Invalid::new(path, format!("found {}", row[j]), "a finite number"));
        }
    }
    Ok(())
}

/// Checks the time from row to row.
fn check_distance(
    distance: f64,
    interpolation: Interpolation,
    integrator: IntegratorSpec,
    Clock { step, .. }: Clock,
) -> Result<(), Invalid> {
    const ROUNDING: f64 = 1e-9;
    let path = "table.step";
    let steps = distance / step;
    let whole = steps.round() >= 1.0 && (steps - steps.round()).abs() < ROUNDING * steps;
    if interpolation == Interpolation::Hold && !whole {
        let below = steps.floor().max(1.0);
        let found = format!("found {distance}, which is not a whole number of steps of {step}");
        let legal = format!("the nearest that are: {} and {}", below * step, (below + 1.0) * step);
        return Err(Invalid::new(path, found, legal));
    }
    if !integrator.is_adaptive() && steps < 1.0 - ROUNDING {
        let found = format!("found {distance} with steps of {step}, which pass over rows");
        return Err(Invalid::new(path, found, format!("at least {step}, or an adaptive integrator")));
    }
    Ok(())
}
