//! The law of a pulse as a file of pulses says it: conductance → mean and spread of its change, up and down, device by device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pulses::{Pulse, Pulses};
use crate::error::{Error, Invalid, Result};
use crate::numerics::interpolation::monotone;

/// Pulses of a direction that a device needs before its mean and spread mean anything.
const FEWEST: usize = 20;
/// Pulses of a bin, and bins, at most.
const BIN: usize = 25;
const MOST_BINS: usize = 32;

/// A law of pulses by measurement. A device's conductance between the two ends of `range` is x between −1 and 1: beside it stands a reference
/// in the middle of the range.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasuredLaw {
    /// A CSV file of pulses, beside the experiment. It is read with the experiment, which then has its tables instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The conductances that x = −1 and x = 1 stand for, in the file's unit; null for all on which every device has been measured in both
    /// directions.
    pub range: Option<[f64; 2]>,
    /// What the tables come from, and how much of the file they use.
    pub source: String,
    /// The tables, one for each measured device; each synapse is like one of them, drawn once.
    pub devices: Vec<StepTable>,
}

/// What pulses do to one measured device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepTable {
    /// Pulses up.
    pub up: Curve,
    /// Pulses down.
    pub down: Curve,
}

/// Mean and spread of a pulse's change of x, at some x from −1 to 1; between them both are interpolated monotonically.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Where it is known, rising from −1 to 1.
    #[schemars(length(min = 2))]
    pub x: Vec<f64>,
    /// Mean change of x.
    pub mean: Vec<f64>,
    /// Its standard deviation from pulse to pulse.
    pub std: Vec<f64>,
}

impl StepTable {
    /// The change of x by a pulse in the direction +1 or −1; `z` is a normal number.
    #[must_use]
    pub fn step(&self, x: f64, direction: f64, z: f64) -> f64 {
        let curve = if direction > 0.0 { &self.up } else { &self.down };
        monotone(&curve.x, &curve.mean, x) + z * monotone(&curve.x, &curve.std, x)
    }
}

impl MeasuredLaw {
    /// Makes the tables of measured pulses; `file` is how messages name the file.
    ///
    /// # Errors
    /// If a range beyond what was measured is asked for, or no device has enough pulses.
    pub fn of(pulses: &Pulses, range: Option<[f64; 2]>, file: &str) -> Result<Self> {
        let enough = |pulses: &[Pulse]| {
            let up = pulses.iter().filter(|p| p.direction > 0.0).count();
            up.min(pulses.len() - up) >= FEWEST
        };
        let usable: Vec<&[Pulse]> =
            pulses.devices.iter().map(|(_, own)| own.as_slice()).filter(|own| enough(own)).collect();
        if usable.is_empty() {
            let most = pulses.devices.iter().map(|(_, own)| own.len()).max().unwrap_or(0);
            let found = format!("found {most} pulses of a device at most");
            return Err(Error::input(
                file,
                "",
                found,
                format!("at least {FEWEST} up and {FEWEST} down of one"),
            ));
        }
        let mut measured = [f64::NEG_INFINITY, f64::INFINITY];
        for own in &usable {
            for direction in [1.0, -1.0] {
                let before = own.iter().filter(|p| p.direction == direction).map(|p| p.before);
                let (low, high) =
                    before.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), g| (l.min(g), h.max(g)));
                measured = [measured[0].max(low), measured[1].min(high)];
            }
        }
        let [low, high] = measured;
        if !(low < high) {
            let found =
                format!("found no conductance on which all {} devices were measured both ways", usable.len());
            return Err(Error::input(file, "", found, "pulses up and down over a common range"));
        }
        let [from, to] = range.unwrap_or(measured);
        if !(from < to) || from < low - 1e-9 * (high - low) || to > high + 1e-9 * (high - low) {
            let found = format!("found a `range` of {from} to {to}");
            let legal = format!(
                "pulses in both directions were measured from {low} to {high}: nothing is extrapolated"
            );
            return Err(Error::input(file, "", found, legal));
        }
        let scaled = |g: f64| (2.0 * g - from - to) / (to - from);
        let mut used = 0;
        let mut devices = Vec::new();
        for own in &usable {
            let mut curve = |direction: f64| {
                let points: Vec<(f64, f64)> = own
                    .iter()
                    .filter(|p| p.direction == direction)
                    .map(|p| (scaled(p.before), scaled(p.after) - scaled(p.before)))
                    .filter(|(x, _)| x.abs() <= 1.0 + 1e-9)
                    .collect();
                used += points.len();
                Curve::of(points)
            };
            match (curve(1.0), curve(-1.0)) {
                (Some(up), Some(down)) => devices.push(StepTable { up, down }),
                _ => {
                    let found =
                        format!("found fewer than {FEWEST} pulses of a direction between {from} and {to}");
                    return Err(Error::input(file, "", found, "a wider `range`"));
                }
            }
        }
        let [all, rows] = [pulses.count(), pulses.rows];
        let left = pulses.devices.len() - usable.len();
        let left = if left == 0 { String::new() } else { format!("; {left} devices had too few") };
        let source = format!(
            "{file}, {}: {used} of {all} pulses in {rows} rows, of {} devices{left}",
            pulses.layout,
            usable.len()
        );
        Ok(Self { file: None, range: Some([from, to]), source, devices })
    }

    /// The mean step at x = 0, of all devices and both directions.
    #[must_use]
    pub fn typical_step(&self) -> f64 {
        let steps = self.devices.iter().flat_map(|d| [d.step(0.0, 1.0, 0.0), -d.step(0.0, -1.0, 0.0)]);
        steps.sum::<f64>() / (2 * self.devices.len()) as f64
    }

    pub(crate) fn validate(&self) -> std::result::Result<(), Invalid> {
        if self.devices.is_empty() {
            let found = if self.file.is_some() { "found a file that was not read" } else { "found no table" };
            let legal = "give a `file` of pulses, or `devices`";
            return Err(Invalid::new("devices", found, legal));
        }
        for (k, device) in self.devices.iter().enumerate() {
            for (name, curve) in [("up", &device.up), ("down", &device.down)] {
                let Curve { x, mean, std } = curve;
                let rising = x.windows(2).all(|w| w[0] < w[1]) && x.len() > 1;
                let whole = x.first() == Some(&-1.0) && x.last() == Some(&1.0);
                let alike = mean.len() == x.len() && std.len() == x.len();
                let sound =
                    mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s >= 0.0);
                if !(rising && whole && alike && sound) {
                    let legal = "`x` rises from -1 to 1, with as many means and non-negative spreads";
                    return Err(Invalid::new(format!("devices[{k}].{name}"), "found another table", legal));
                }
            }
        }
        Ok(())
    }
}

impl Curve {
    /// Means and spreads in bins of as many pulses each. Within a bin the change is a straight line, whose slope is no spread.
    fn of(mut points: Vec<(f64, f64)>) -> Option<Self> {
        if points.len() < FEWEST {
            return None;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = (points.len() / BIN).clamp(2, MOST_BINS);
        let mut curve = Self { x: Vec::new(), mean: Vec::new(), std: Vec::new() };
        let mut add = |x: f64, mean: f64, std: f64| {
            // Pulses at the bounds share one conductance, and bins may so share their middle.
            if curve.x.last().is_none_or(|last| x > last + 1e-9) {
                curve.x.push(x);
                curve.mean.push(mean);
                curve.std.push(std);
            }
        };
        for bin in 0..bins {
            let own = &points[bin * points.len() / bins..(bin + 1) * points.len() / bins];
            let line = Line::through(own);
            if bin == 0 {
                add(-1.0, line.at(-1.0), line.std);
            }
            if line.x > -1.0 && line.x < 1.0 {
                add(line.x, line.y, line.std);
            }
            if bin + 1 == bins {
                add(1.0, line.at(1.0), line.std);
            }
        }
        curve.x.last().is_some_and(|x| *x == 1.0).then_some(curve)
    }
}

/// The straight line through some points.
struct Line {
    x: f64,
    y: f64,
    slope: f64,
    std: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Self {
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let (sxx, sxy, syy) = points.iter().fold((0.0, 0.0, 0.0), |(sxx, sxy, syy), p| {
            let (dx, dy) = (p.0 - x, p.1 - y);
            (sxx + dx * dx, sxy + dx * dy, syy + dy * dy)
        });
        let slope = if sxx > 1e-12 { sxy / sxx } else { 0.0 };
        let std = ((syy - slope * sxy).max(0.0) / (n - 2.0).max(1.0)).sqrt();
        Self { x, y, slope, std }
    }

    fn at(&self, x: f64) -> f64 {
        self.y + self.slope * (x - self.x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imperfections::update::{StepLaw, UpdateRule};

    /// Trains of 400 pulses up and down of soft-bound devices with conductances of 10 to 50 µS.
    pub(super) fn soft_bound(devices: usize) -> Pulses {
        let rule = UpdateRule { cycle_spread: 0.3, ..UpdateRule::of(0.02, StepLaw::SoftBound) };
        let directions: Vec<f64> = (0..20_000).map(|k| if k / 200 % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let conductance = |x: f64| 30.0 + 20.0 * x;
        let own = |device: usize| {
            let x = rule.response(-0.9, &directions, 3, device);
            let before = std::iter::once(-0.9).chain(x.iter().copied());
            let pulse = |((before, after), direction): ((f64, &f64), &f64)| Pulse {
                before: conductance(before),
                after: conductance(*after),
                direction: *direction,
            };
            (device.to_string(), before.zip(&x).zip(&directions).map(pulse).collect())
        };
        Pulses { devices: (0..devices).map(own).collect(), rows: 20_000 * devices, layout: "made" }
    }

    #[test]
    fn a_known_law_comes_back_out_of_its_pulses() {
        let law = MeasuredLaw::of(&soft_bound(1), Some([14.0, 46.0]), "made").unwrap();
        assert!(law.validate().is_ok());
        assert!(law.source.contains("of 20000 pulses"), "{}", law.source);
        for k in -8..=8 {
            // x of the table spans 14 to 46 µS, 0.8 of the device's range.
            let x = f64::from(k) / 8.0;
            for direction in [1.0, -1.0] {
                let mean = direction * 0.02 * (1.0 - direction * 0.8 * x) / 0.8;
                let told = law.devices[0].step(x, direction, 0.0);
                assert!((told - mean).abs() < 0.004, "{x} {direction}: {told} {mean}");
                let spread = law.devices[0].step(x, direction, 1.0) - told;
                assert!((spread - 0.3 * mean.abs()).abs() < 0.003, "{x} {direction}: {spread}");
            }
        }
        assert!((law.typical_step() - 0.025).abs() < 0.001);
    }

    #[test]
    fn nothing_is_extrapolated_and_little_is_not_enough() {
        let error = MeasuredLaw::of(&soft_bound(2), Some([5.0, 40.0]), "made.csv").unwrap_err();
        assert!(
            error.to_string().contains("found a `range` of 5 to 40; pulses in both directions were measured"),
            "{error}"
        );
        let mut few = soft_bound(2);
        few.devices[1].1.truncate(30);
        let law = MeasuredLaw::of(&few, None, "made.csv").unwrap();
        assert!(law.source.ends_with("of 1 devices; 1 devices had too few"), "{}", law.source);
        few.devices.remove(0);
        assert!(
            MeasuredLaw::of(&few, None, "made.csv")
                .unwrap_err()
                .to_string()
                .contains("at least 20 up and 20 down")
        );
    }
}
