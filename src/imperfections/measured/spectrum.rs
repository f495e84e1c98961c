//! Noise by its measured power spectral density: a sum of processes that has it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::files::Table;

/// Processes of a sum at most: two a decade over twelve decades, and three beyond its ends.
const MOST: usize = 28;
/// Densities that a spectrum needs.
const FEWEST: usize = 5;

/// An Ornstein–Uhlenbeck process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Component {
    /// Correlation time, in τ.
    pub time: f64,
    /// Standard deviation.
    pub std: f64,
}

/// Some processes; in files a list of [correlation time, standard deviation].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Components {
    list: [Component; MOST],
    count: usize,
}

impl Components {
    /// The processes.
    #[must_use]
    pub fn list(&self) -> &[Component] {
        &self.list[..self.count]
    }

    /// Standard deviation of their sum.
    #[must_use]
    pub fn std(&self) -> f64 {
        self.list().iter().map(|c| c.std * c.std).sum::<f64>().sqrt()
    }

    fn of(components: &[Component]) -> Option<Self> {
        let mut list = [Component::default(); MOST];
        list.get_mut(..components.len())?.copy_from_slice(components);
        Some(Self { list, count: components.len() })
    }
}

impl Serialize for Components {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list().iter().map(|c| [c.time, c.std]))
    }
}

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let pairs: Vec<[f64; 2]> = Vec::deserialize(deserializer)?;
        let components: Vec<Component> =
            pairs.iter().map(|[time, std]| Component { time: *time, std: *std }).collect();
        let legal = "expected at most 28 pairs of correlation time and standard deviation";
        Self::of(&components).ok_or_else(|| serde::de::Error::custom(legal))
    }
}

impl JsonSchema for Components {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Components".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "array", "minItems": 1, "maxItems": MOST,
            "items": { "type": "array", "items": { "type": "number", "minimum": 0 }, "minItems": 2, "maxItems": 2 } })
    }
}

/// A measured density, and what its units are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spectrum {
    /// A CSV file with `frequency` in Hz and `power`, a one-sided density per Hz.
    pub file: String,
    /// Seconds of the nominal τ.
    pub seconds: f64,
    /// What the measured quantity is multiplied by to have the unit of the noise.
    #[serde(default = "one")]
    pub scale: f64,
}

fn one() -> f64 {
    1.0
}

impl Spectrum {
    /// The processes whose sum has the density that a table tells, between its lowest and its highest frequency; and what is to be said of
    /// them.
    ///
    /// # Errors
    /// If the table is of other columns, has too few rows, or spans more than twelve decades.
    pub fn read(&self, table: &Table) -> Result<(Components, String)> {
        let refuse = |found: String, legal: &str| Err(Error::input(&table.file, "", found, legal));
        let legal = "`frequency` in Hz and `power`, a one-sided density per Hz";
        let frequency = table.find(&["frequency", "freq", "f"]).ok_or_else(|| table.lacking(legal))?;
        let power = table.find(&["power", "psd", "s"]).ok_or_else(|| table.lacking(legal))?;
        let pairs = table.numbers(frequency)?.into_iter().zip(table.numbers(power)?);
        // The mean of the signal, at frequency 0, is no noise.
        let points: Vec<(f64, f64)> =
            pairs.filter_map(|(f, s)| Some((f?, s?))).filter(|(f, _)| *f > 0.0).collect();
        if points.len() < FEWEST || points.iter().any(|(_, s)| *s <= 0.0) {
            let found = format!("found {} densities", points.len());
            return refuse(found, "at least 5 at positive frequencies, all of them positive");
        }
        if !(self.seconds > 0.0 && self.seconds.is_finite() && self.scale > 0.0 && self.scale.is_finite()) {
            let found = format!("found `seconds` {} and `scale` {}", self.seconds, self.scale);
            return refuse(found, "two positive numbers");
        }
        let low = points.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.0).fold(0.0, f64::max);
        let intervals = (2.0 * (high / low).log10()).round().max(1.0);
        if intervals + 4.0 > MOST as f64 {
            return refuse(format!("found {low} to {high} Hz"), "at most twelve decades");
        }
        let ratio = (high / low).powf(1.0 / intervals);
        // What lies beyond the ends of the band shapes it there.
        let times: Vec<f64> = (-2..=intervals as i32 + 1)
            .map(|k| 1.0 / (std::f64::consts::TAU * high) * ratio.powi(k))
            .collect();
        // Density of each process of unit variance, relative to what was measured.
        let relative: Vec<Vec<f64>> =
            times.iter().map(|time| points.iter().map(|(f, s)| density(*time, *f) / s).collect()).collect();
        let variances = non_negative(&relative);
        let left = |i: usize| relative.iter().zip(&variances).map(|(r, v)| r[i] * v).sum::<f64>() - 1.0;
        let rms = ((0..points.len()).map(|i| left(i).powi(2)).sum::<f64>() / points.len() as f64).sqrt();
        let components: Vec<Component> = times
            .iter()
            .zip(&variances)
            .filter(|(_, variance)| **variance > 0.0)
            .map(|(time, variance)| Component {
                time: time / self.seconds,
                std: self.scale * variance.sqrt(),
            })
            .collect();
        let source = format!(
            "{}, a density from {low} to {high} Hz: {} of {} rows, by {} processes, within {:.1} % (rms)",
            table.file,
            points.len(),
            table.len(),
            components.len(),
            100.0 * rms
        );
        let components =
            Components::of(&components).ok_or_else(|| Error::Internal("too many processes".into()))?;
        Ok((components, source))
    }
}

/// One-sided density at f of an Ornstein–Uhlenbeck process of unit variance.
fn density(time: f64, f: f64) -> f64 {
    4.0 * time / (1.0 + (std::f64::consts::TAU * f * time).powi(2))
}

/// The non-negative x that brings Σ columns·x next to 1 everywhere, by coordinate descent: the problem is convex.
fn non_negative(columns: &[Vec<f64>]) -> Vec<f64> {
    const ROUNDS: usize = 5000;
    let mut x = vec![0.0; columns.len()];
    let mut left = vec![1.0; columns[0].len()];
    for _ in 0..ROUNDS {
        let mut largest = 0.0_f64;
        for (x, column) in x.iter_mut().zip(columns) {
            let square: f64 = column.iter().map(|c| c * c).sum();
            let along: f64 = column.iter().zip(&left).map(|(c, l)| c * l).sum();
            let step = (along / square).max(-*x);
            *x += step;
            left.iter_mut().zip(column).for_each(|(l, c)| *l -= step * c);
            largest = largest.max(step.abs() * square.sqrt());
        }
        if largest < 1e-12 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(power: impl Fn(f64) -> f64) -> Table {
        let rows = (0..=60).map(|k| 10_f64.powf(f64::from(k) / 15.0));
        let text =
            rows.fold("frequency (Hz),power (V2/Hz)\n".to_owned(), |t, f| format!("{t}{f},{}\n", power(f)));
        Table::parse("psd.csv", text.as_bytes()).unwrap()
    }

    #[test]
    fn the_sum_has_the_measured_density() {
        let spectrum = Spectrum { file: "psd.csv".into(), seconds: 1e-3, scale: 2.0 };
        for power in
            [|f: f64| 1e-6 / f, |f: f64| 1e-6 / f + 1e-9, |f: f64| 1e-8 / (1.0 + (f / 300.0).powi(2))]
        {
            let (components, source) = spectrum.read(&table(power)).unwrap();
            assert!(source.contains("61 of 61 rows"), "{source}");
            for k in 1..60 {
                let f = 10_f64.powf(f64::from(k) / 15.0);
                let sum: f64 =
                    components.list().iter().map(|c| (c.std / 2.0).powi(2) * density(c.time * 1e-3, f)).sum();
                assert!((sum / power(f) - 1.0).abs() < 0.15, "{f}: {sum} {}", power(f));
            }
        }
    }

    #[test]
    fn other_tables_are_refused() {
        let spectrum = Spectrum { file: "psd.csv".into(), seconds: 1.0, scale: 1.0 };
        for (text, told) in [
            ("f,volts\n1,1\n", "found the columns f, volts"),
            ("f,s\n1,1\n", "found 1 densities"),
            ("f,s\n1,1\n2,1\n3,1\n4,1\n1e14,1\n", "at most twelve decades"),
        ] {
            let error = spectrum.read(&Table::parse("psd.csv", text.as_bytes()).unwrap()).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
