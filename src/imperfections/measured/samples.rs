//! Mismatch as it was measured: resampled, or smoothed by a kernel.

use rand::RngExt;
use rand_distr::{Distribution as _, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Invalid, Result};
use crate::files::Table;

/// A mismatch by measurement: each device is one of the samples, drawn with replacement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasuredSamples {
    /// A CSV file, beside the experiment. It is read with the experiment, which then has its samples instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The column of the file that holds the samples: an offset itself, a relative deviation of anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What each sample is multiplied by: it brings the file's unit to that of the potential, or per cent to parts.
    pub scale: f64,
    /// Whether the samples are all there is.
    pub smoothing: Smoothing,
    /// What the samples come from, and how much of the file they use.
    pub source: String,
    /// The samples, in the file's unit.
    pub samples: Vec<f64>,
}

impl Default for MeasuredSamples {
    fn default() -> Self {
        let (file, column) = (None, None);
        Self {
            file,
            column,
            scale: 1.0,
            smoothing: Smoothing::None,
            source: String::new(),
            samples: Vec::new(),
        }
    }
}

/// How samples become a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Smoothing {
    /// Only what was measured is drawn.
    #[default]
    None,
    /// A normal kernel is around each sample, 0.9 min(σ, IQR/1.34) n^−1/5 wide (Silverman 1986, equation 3.31).
    Kernel,
}

/// Samples of which a distribution may be made.
const FEWEST: usize = 5;

impl MeasuredSamples {
    /// Reads the samples that its `file` has been found to hold.
    ///
    /// # Errors
    /// If the column is missing, or has too few numbers.
    pub fn read(&self, table: &Table) -> Result<Self> {
        let columns = || format!("one of {}", table.names.join(", "));
        let column = match &self.column {
            Some(name) => table.find(&[name.to_lowercase().as_str()]).ok_or_else(|| {
                Error::input(&table.file, "", format!("found no column {name:?}"), columns())
            })?,
            None if table.names.len() == 1 => 0,
            None => {
                return Err(Error::input(
                    &table.file,
                    "",
                    "found several columns",
                    format!("`column`: {}", columns()),
                ));
            }
        };
        let samples: Vec<f64> = table.numbers(column)?.into_iter().flatten().collect();
        if samples.len() < FEWEST {
            let found = format!("found {} samples", samples.len());
            return Err(Error::input(&table.file, "", found, format!("at least {FEWEST}")));
        }
        let source = format!(
            "{}, column {}: {} of {} rows",
            table.file,
            table.names[column],
            samples.len(),
            table.len()
        );
        Ok(Self { file: None, column: None, source, samples, ..self.clone() })
    }

    pub(crate) fn validate(&self) -> std::result::Result<(), Invalid> {
        if !self.scale.is_finite() {
            return Err(Invalid::new("scale", format!("found {}", self.scale), "a finite number"));
        }
        if self.samples.len() < FEWEST || self.samples.iter().any(|x| !x.is_finite()) {
            let found = match (&self.file, self.samples.len()) {
                (Some(_), 0) => "found a file that was not read".into(),
                (_, count) => format!("found {count} samples"),
            };
            let legal = format!("a `file` with its `column`, or at least {FEWEST} finite `samples`");
            return Err(Invalid::new("samples", found, legal));
        }
        Ok(())
    }

    /// Standard deviation, in the unit of what it is a mismatch of.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let n = self.samples.len() as f64;
        let mean = self.samples.iter().sum::<f64>() / n;
        let variance = self.samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        self.scale.abs() * variance.sqrt()
    }

    /// Draws one.
    pub(crate) fn draw(&self, stream: &mut impl rand::Rng) -> f64 {
        let sample = self.samples[stream.random_range(0..self.samples.len())];
        let around = match self.smoothing {
            Smoothing::None => 0.0,
            Smoothing::Kernel => {
                let z: f64 = StandardNormal.sample(stream);
                self.bandwidth() * z
            }
        };
        self.scale * (sample + around)
    }

    /// Width of the kernel, in the file's unit.
    #[must_use]
    pub fn bandwidth(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let quantile = |p: f64| {
            let at = p * (n - 1) as f64;
            let below = at as usize;
            sorted[below] + (at - below as f64) * (sorted[(below + 1).min(n - 1)] - sorted[below])
        };
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let std = (sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        let quartiles = (quantile(0.75) - quantile(0.25)) / 1.34;
        let width = if quartiles > 0.0 { std.min(quartiles) } else { std };
        0.9 * width * (n as f64).powf(-0.2)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn measured(smoothing: Smoothing) -> MeasuredSamples {
        let table =
            Table::parse("vth.csv", b"die,dvth (mV)\n1,-4\n2,1\n3,2\n4,\n5,0.5\n6,-1.5\n7,8\n").unwrap();
        let asked = MeasuredSamples {
            column: Some("dVth".into()),
            scale: 1e-3,
            smoothing,
            ..MeasuredSamples::default()
        };
        asked.read(&table).unwrap()
    }

    #[test]
    fn what_is_drawn_was_measured_or_lies_around_it() {
        let plain = measured(Smoothing::None);
        assert_eq!(plain.source, "vth.csv, column dvth: 6 of 7 rows");
        let mut stream = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<f64> = (0..6000).map(|_| plain.draw(&mut stream)).collect();
        for sample in &plain.samples {
            let count = drawn.iter().filter(|x| (*x - 1e-3 * sample).abs() < 1e-12).count() as f64;
            assert!((count - 1000.0).abs() < 5.0 * (6000.0_f64 * 5.0 / 36.0).sqrt(), "{sample}: {count}");
        }
        let smooth = measured(Smoothing::Kernel);
        let drawn: Vec<f64> = (0..40_000).map(|_| smooth.draw(&mut stream)).collect();
        let mean = drawn.iter().sum::<f64>() / 40_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40_000.0;
        let population = (smooth.spread() / 1e-3).powi(2) * 5.0 / 6.0;
        let expected = 1e-6 * (population + smooth.bandwidth().powi(2));
        assert!((mean - 1e-3).abs() < 5.0 * (expected / 40_000.0).sqrt(), "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.05, "{variance} {expected}");
    }

    #[test]
    fn a_missing_column_is_named() {
        let table = Table::parse("vth.csv", b"a,b\n1,2\n").unwrap();
        let asked = |column: Option<&str>| MeasuredSamples {
            column: column.map(Into::into),
            ..MeasuredSamples::default()
        };
        assert!(
            asked(Some("c"))
                .read(&table)
                .unwrap_err()
                .to_string()
                .contains("found no column \"c\"; one of a, b")
        );
        assert!(asked(None).read(&table).unwrap_err().to_string().contains("found several columns"));
        assert!(
            asked(Some("a")).read(&table).unwrap_err().to_string().contains("found 1 samples; at least 5")
        );
    }
}
