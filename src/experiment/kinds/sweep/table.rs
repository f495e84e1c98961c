//! What a sweep found, as a table for a terminal.

use super::labels;
use super::record::{SweepPoint, SweepSummary};
use crate::bootstrap::Interval;
use crate::names::{self, number};

/// Between columns.
const GAP: &str = "  ";

/// A line a point: its values, its measures with their spread, its runs; under a line of headings.
pub(super) fn lines(summary: &SweepSummary) -> Vec<String> {
    let measures: Vec<&String> = summary.points.first().map_or(Vec::new(), |p| p.measures.keys().collect());
    let axes = summary.axes.iter().map(|axis| labels::axis(summary, &axis.path));
    let measured = measures.iter().map(|measure| labels::quantity(summary, measure));
    let reached = summary.yield_accuracy.map(labels::reached);
    let heading: Vec<String> = axes.chain(measured).chain(reached).chain(["runs".to_owned()]).collect();
    let row = |point: &SweepPoint| -> Vec<String> {
        let values = summary
            .axes
            .iter()
            .map(|axis| point.values.get(&axis.path).map_or_else(String::new, names::value));
        let measured = measures.iter().map(|measure| {
            let interval = point.measures.get(*measure).copied().flatten();
            interval.map_or_else(|| "–".into(), |i| cell(i, names::factor(measure), point))
        });
        let runs = match point.failures {
            0 => point.runs.to_string(),
            failures => format!("{}, {failures} diverged", point.runs),
        };
        let reached = point.reached.map(|share| {
            let percent = |x: f64| format!("{:.1}", 100.0 * x);
            format!("{} ({} to {})", percent(share.share), percent(share.low), percent(share.high))
        });
        values.chain(measured).chain(reached).chain([runs]).collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(summary.points.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.extend(legend(summary));
    if summary.yield_accuracy.is_some() {
        lines.push("share of the runs that reach it (95 % interval of Wilson)".into());
    }
    lines
}

/// What stands in brackets.
fn legend(summary: &SweepSummary) -> Option<String> {
    let several = |p: &&SweepPoint| p.runs - p.failures > 1;
    let spreads = summary.points.iter().filter(several).map(SweepPoint::spread_name);
    let (few, many): (Vec<&str>, Vec<&str>) = spreads.partition(|name| *name == "range");
    match (few.is_empty(), many.is_empty()) {
        (true, true) => None,
        (false, true) => Some("mean over the runs (lowest to highest)".into()),
        (true, false) => Some("mean over the runs (95 % interval of the mean)".into()),
        (false, false) => Some(
            "mean over the runs (95 % interval of the mean; of up to three runs lowest to highest)".into(),
        ),
    }
}

/// A mean with its spread, both to what the spread leaves of the digits.
fn cell(interval: Interval, factor: f64, point: &SweepPoint) -> String {
    let [mean, low, high] = [interval.mean, interval.low, interval.high].map(|x| factor * x);
    if point.runs - point.failures < 2 {
        return number(mean);
    }
    let largest = low.abs().max(high.abs());
    let wide = high - low;
    if !(1e-3..1e5).contains(&largest) || wide <= 0.0 {
        return format!("{} ({} to {})", number(mean), number(low), number(high));
    }
    let digits = (1.0 - wide.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{mean:.digits$} ({low:.digits$} to {high:.digits$})")
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_sweep_is_told_as_an_aligned_table() {
        let point = |preset: &str, runs: usize, failures: usize, interval: Option<[f64; 3]>| {
            let interval =
                interval.map(|[mean, low, high]| json!({ "mean": mean, "low": low, "high": high }));
            json!({ "values": { "imperfections": preset }, "runs": runs, "failures": failures,
                    "measures": { "test_accuracy": interval } })
        };
        let summary = json!({
            "axes": [{ "path": "imperfections", "values": ["ideal", "rram_wan", "cmos"] }],
            "x": "imperfections", "lines": null, "draw": "curves", "labels": { "imperfections": "preset" },
            "runs": 11, "failures": 6, "wall_seconds": 1.0, "training_seconds": 1.0,
            "points": [
                point("ideal", 1, 0, Some([0.963_788_3, 0.963_788_3, 0.963_788_3])),
                point("rram_wan", 5, 1, Some([0.958_217_2, 0.952_312_1, 0.963_231])),
                point("cmos", 5, 5, None),
            ],
        });
        let summary: SweepSummary = from_value(summary).unwrap();
        let told = [
            "preset      test accuracy (%)    runs",
            "ideal       96.38                1",
            "RRAM (Wan)  95.8 (95.2 to 96.3)  5, 1 diverged",
            "CMOS        –                    5, 5 diverged",
            "mean over the runs (95 % interval of the mean)",
        ];
        assert_eq!(lines(&summary), told);
    }
}
