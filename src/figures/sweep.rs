//! Figure of a `sweep` run: each measure against the fields that were varied.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use super::beside;
use crate::bootstrap::Interval;
use crate::error::{Error, Result};
use crate::files;
use crate::published::Published;
use crate::records::{Axis, COST, Drawing, SweepPoint, SweepSummary, value_label};
use crate::report::{Figure, HeatMap, Mark, Panel, Series};

/// Draws `sweep` from the summary of a run. One point alone makes no figure.
///
/// # Errors
/// If the summary is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let summary = summary(folder)?;
    let mut figure = Figure::new();
    let Some(x) = summary.axes.iter().find(|axis| axis.path == summary.x) else { return Ok(()) };
    if summary.points.len() == 1 {
        return Ok(());
    }
    let lines = summary.axes.iter().find(|axis| Some(&axis.path) == summary.lines.as_ref());
    let mut measures: Vec<&String> =
        summary.points.first().map_or(Vec::new(), |p| p.measures.keys().collect());
    measures.retain(|measure| summary.draw != Drawing::Cost || *measure != COST);
    let published = Published::of_run(folder)?;
    for (title, points) in panels(&summary) {
        for measure in &measures {
            let panel = match (summary.draw, lines) {
                (Drawing::HeatMap, Some(y)) => map(&summary, &points, measure, x, y),
                (Drawing::Cost, _) => cost(&summary, &points, measure),
                _ => {
                    // A sweep's cosine is that of the whole gradient.
                    let column = if *measure == "cosine" { "total_cosine" } else { measure };
                    let curves = curves(&summary, &points, measure, x, lines);
                    let axes = (x.path.rsplit('.').next().unwrap_or(&x.path), column);
                    let line = |beside: &str| {
                        lines.and_then(|lines| lines.values.iter().position(|v| value_label(v) == beside))
                    };
                    beside(curves, published.as_ref(), axes, line, |y| y * factor(measure))
                }
            };
            figure = figure.panel(Panel { title: title.clone(), ..panel });
        }
    }
    figure.write(folder, "sweep").map(drop)
}

/// The summary of a run.
///
/// # Errors
/// If it is missing or damaged.
pub(super) fn summary(folder: &Path) -> Result<SweepSummary> {
    let path = folder.join("summary.json");
    serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "a summary written by holograd")
    })
}

/// The points of each panel: one panel for each combination of the values that neither axis of the figure shows.
fn panels(summary: &SweepSummary) -> Vec<(Option<String>, Vec<&SweepPoint>)> {
    let mut panels: Vec<(Option<String>, Vec<&SweepPoint>)> = Vec::new();
    for point in &summary.points {
        let hidden =
            point.values.iter().filter(|(p, _)| **p != summary.x && Some(*p) != summary.lines.as_ref());
        let title: Vec<String> = hidden.map(|(path, value)| titled(name(summary, path), value)).collect();
        let title = (!title.is_empty()).then(|| title.join(", "));
        match panels.iter_mut().find(|(other, _)| *other == title) {
            Some((_, points)) => points.push(point),
            None => panels.push((title, vec![point])),
        }
    }
    panels
}

/// A value with what it is a value of; a label that ends in "of" says so itself.
pub(super) fn titled(name: String, value: &Value) -> String {
    let between = if name.ends_with(" of") { " " } else { " = " };
    format!("{name}{between}{}", value_label(value))
}

fn curves(
    summary: &SweepSummary,
    points: &[&SweepPoint],
    measure: &str,
    x: &Axis,
    lines: Option<&Axis>,
) -> Panel {
    let scaled = |i: Interval| [i.mean, i.low, i.high].map(|v| v * factor(measure));
    let numbers = x.numbers();
    let mut panel = Panel::new(name(summary, &x.path), quantity(summary, measure));
    // Bars of several curves stand side by side, by this part of the axis.
    let mut apart = 0.0;
    if let Some(numbers) = &numbers {
        let last = numbers.iter().fold(0.0_f64, |most, n| most.max(*n));
        if is_wide(numbers) {
            panel = panel.log_x();
        } else if last > 0.0 && numbers.iter().all(|n| *n >= 0.0) && numbers.contains(&0.0) {
            // Room for the markers at zero.
            panel = panel.x_range(-0.04 * last, 1.04 * last);
            apart = 0.008 * last;
        }
    }
    if numbers.is_none() {
        panel = panel.x_range(0.5, x.values.len() as f64 + 0.5);
        panel.x.label = format!("{}, in the order of the legend", name(summary, &x.path));
    }
    // Values that are no numbers stand side by side, each a series of its own.
    let one = [Value::Null];
    let by_value = numbers.is_none();
    let series = if by_value { &x.values } else { lines.map_or(&one[..], |l| &l.values) };
    // Where runs diverged: at the mean of the others; or, without a mean, by their series.
    let (mut diverged, mut all_diverged) = (Vec::new(), Vec::new());
    for (index, value) in series.iter().enumerate() {
        let aside = apart * (index as f64 - (series.len() - 1) as f64 / 2.0);
        let of_series = |p: &&&SweepPoint| match lines {
            _ if by_value => p.values.get(&x.path) == Some(value),
            Some(lines) => p.values.get(&lines.path) == Some(value),
            None => true,
        };
        let (mut means, mut bars) = (Vec::new(), Vec::new());
        for point in points.iter().filter(of_series) {
            let place = x.values.iter().position(|v| Some(v) == point.values.get(&x.path)).unwrap_or(0);
            let across = numbers.as_ref().map_or((place + 1) as f64, |n| n[place] + aside);
            let Some([mean, low, high]) = point.measures.get(measure).copied().flatten().map(scaled) else {
                means.push((across, f64::NAN));
                bars.push((f64::NAN, f64::NAN));
                if point.failures > 0 {
                    all_diverged.push((index, across));
                }
                continue;
            };
            if point.failures > 0 {
                diverged.push((across, mean));
            }
            means.push((across, mean));
            bars.push((low, high));
        }
        let label = match lines {
            _ if by_value => value_label(value),
            Some(lines) if value.is_number() || value.is_boolean() => {
                format!("{} {}", short(summary, &lines.path), value_label(value))
            }
            Some(_) => value_label(value),
            None => String::new(),
        };
        let mark = if numbers.is_some() { Mark::LinePoints } else { Mark::Points };
        panel = panel.series(Series::new(label, mark, means).error_bars(bars).colour(index));
    }
    if !diverged.is_empty() {
        let label = "some runs diverged";
        panel = panel.series(Series::new(label, Mark::Open, diverged).in_round_black());
    }
    if let Some(foot) = panel.foot().filter(|_| !all_diverged.is_empty()) {
        panel = panel.series(Series::new("all runs diverged", Mark::Points, Vec::new()).in_black());
        for (index, across) in all_diverged {
            panel = panel.series(Series::new("", Mark::Points, vec![(across, foot)]).crossed(index));
        }
    }
    panel
}

/// A measure against what it cost, both on logarithmic axes: one curve for all points whose labels begin alike. Of a cosine the
/// distance from 1 is shown, no less than rounding leaves of it.
fn cost(summary: &SweepSummary, points: &[&SweepPoint], measure: &str) -> Panel {
    let is_cosine = measure.ends_with("cosine");
    let shown = |x: f64| if is_cosine { (1.0 - x).max(1e-9) } else { factor(measure) * x };
    // Cost, and mean and interval of the measure.
    let mut families: IndexMap<String, Vec<(f64, [f64; 3])>> = IndexMap::new();
    for point in points {
        let label = point.values.values().map(value_label).collect::<Vec<_>>().join(", ");
        let family = label.split(',').next().unwrap_or_default();
        let of = |measure: &str| point.measures.get(measure).copied().flatten();
        let (Some(cost), Some(value)) = (of(COST), of(measure)) else { continue };
        let interval = [value.mean, value.low, value.high].map(shown);
        families.entry(family.to_owned()).or_default().push((cost.mean, interval));
    }
    let label =
        if is_cosine { format!("1 − {}", quantity(summary, measure)) } else { quantity(summary, measure) };
    let mut panel = Panel::new(quantity(summary, COST), label).log_x().log_y();
    for (index, (family, points)) in families.into_iter().enumerate() {
        let means = points.iter().map(|(cost, [mean, ..])| (*cost, *mean)).collect();
        let bars = points.iter().map(|(_, [_, low, high])| (low.min(*high), low.max(*high))).collect();
        panel = panel.series(Series::new(family, Mark::LinePoints, means).error_bars(bars).colour(index));
    }
    panel
}

fn map(summary: &SweepSummary, points: &[&SweepPoint], measure: &str, x: &Axis, y: &Axis) -> Panel {
    let mut values = Vec::new();
    for row in &y.values {
        for column in &x.values {
            let cell = points
                .iter()
                .find(|p| p.values.get(&x.path) == Some(column) && p.values.get(&y.path) == Some(row));
            let mean = cell.and_then(|p| p.measures.get(measure).copied().flatten()).map(|i| i.mean);
            values.push(mean.map_or(f64::NAN, |m| m * factor(measure)));
        }
    }
    let size = (y.values.len(), x.values.len());
    let heat = HeatMap::new(size, values, edges(x), edges(y), quantity(summary, measure));
    let mut panel = Panel::new(name(summary, &x.path), name(summary, &y.path)).heat_map(heat);
    if x.spacing() == Some(true) {
        panel = panel.log_x();
    }
    if y.spacing() == Some(true) {
        panel = panel.log_y();
    }
    panel
}

/// The outer edges of cells around the values, half a step beyond the first and the last.
fn edges(axis: &Axis) -> (f64, f64) {
    let numbers = axis.numbers().unwrap_or_default();
    let (first, last) = (numbers.first().copied().unwrap_or(0.0), numbers.last().copied().unwrap_or(1.0));
    let steps = (numbers.len().max(2) - 1) as f64;
    if axis.spacing() == Some(true) {
        let half = (last / first).powf(0.5 / steps);
        (first / half, last * half)
    } else {
        let half = 0.5 * (last - first) / steps;
        (first - half, last + half)
    }
}

/// Whether numbers are better told apart on a logarithmic axis.
fn is_wide(numbers: &[f64]) -> bool {
    let (low, high) = numbers.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(*x), b.max(*x)));
    low > 0.0 && high / low >= 12.0
}

/// What a measure is multiplied by to be shown.
pub(super) fn factor(measure: &str) -> f64 {
    if measure.ends_with("accuracy") { 100.0 } else { 1.0 }
}

fn unit(measure: &str) -> &'static str {
    match measure {
        _ if measure.ends_with("accuracy") => " (%)",
        _ if measure.ends_with("loss") => " (nats)",
        _ if measure.ends_with("rate") => " (1/τ)",
        _ if measure.ends_with("angle") => " (°)",
        _ => "",
    }
}

/// What a measure is called, with its unit.
pub(super) fn quantity(summary: &SweepSummary, measure: &str) -> String {
    let own = || format!("{}{}", measure.replace('_', " "), unit(measure));
    summary.labels.get(measure).cloned().unwrap_or_else(own)
}

/// What an axis is called: as the experiment says, or its path without its section of the experiment and without the parts that
/// another axis names.
pub(super) fn name(summary: &SweepSummary, path: &str) -> String {
    if let Some(label) = summary.labels.get(path) {
        return label.clone();
    }
    let sections = ["imperfections.", "estimator.", "model."];
    let path = sections.iter().find_map(|s| path.strip_prefix(s)).unwrap_or(path);
    path.split('.').filter(|part| !part.starts_with('{')).collect::<Vec<_>>().join(".")
}

fn short<'a>(summary: &'a SweepSummary, path: &'a str) -> &'a str {
    summary.labels.get(path).map_or_else(|| path.rsplit('.').next().unwrap_or(path), String::as_str)
}
