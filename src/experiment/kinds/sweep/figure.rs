//! Figure of a `sweep` run: each measure against the fields that were varied.

use std::collections::BTreeSet;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use super::history;
use super::labels;
use super::record::{COST, Drawing, SweepAxis, SweepPoint, SweepRun, SweepSummary};
use crate::error::Result;
use crate::experiment::sink::EXPERIMENT;
use crate::figures::{beside, read_json};
use crate::names::{self, value_label};
use crate::plot::{Aside, AsideRow, Figure, HeatMap, Mark, Panel, Print, Series};
use crate::published::Published;
use crate::records::read_metrics;

/// Draws `sweep` from the summary of a run, and `epochs` from its runs where they keep their history.
///
/// # Errors
/// If a file is missing or damaged, or a figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let experiment: Value = read_json(&folder.join(EXPERIMENT), "an experiment written by holograd")?;
    let summary = summary(folder)?;
    draw_points(folder, &summary, print)?;
    if experiment["history"] == true { history::draw(folder, &summary, print) } else { Ok(()) }
}

/// Draws `sweep`. One point alone makes no figure.
fn draw_points(folder: &Path, summary: &SweepSummary, print: &Print) -> Result<()> {
    let runs: Vec<SweepRun> = read_metrics(folder)?;
    let mut figure = Figure::new();
    let Some(x) = summary.axes.iter().find(|axis| axis.path == summary.x) else { return Ok(()) };
    if summary.points.len() == 1 {
        return Ok(());
    }
    let lines = summary.axes.iter().find(|axis| Some(&axis.path) == summary.lines.as_ref());
    let mut measures: Vec<&String> =
        summary.points.first().map_or(Vec::new(), |p| p.measures.keys().collect());
    measures.retain(|measure| Some(measure.as_str()) != summary.draw.cost());
    let published = Published::of_run(folder)?;
    for (title, points) in panels(summary) {
        for measure in &measures {
            let panel = match (summary.draw, lines) {
                (Drawing::HeatMap, Some(y)) => map(summary, &points, measure, x, y),
                (Drawing::Cost | Drawing::Energy, _) => cost(summary, &points, measure),
                _ => {
                    // A sweep's cosine is that of the whole gradient.
                    let column = if *measure == "cosine" { "total_cosine" } else { measure };
                    let curves = curves(summary, &points, &runs, measure, x, lines);
                    let axes = (x.path.rsplit('.').next().unwrap_or(&x.path), column);
                    let line = |beside: &str| {
                        lines.and_then(|lines| lines.values.iter().position(|v| value_label(v) == beside))
                    };
                    beside(curves, published.as_ref(), axes, line, |y| y * names::factor(measure))
                }
            };
            // Panels of one measure are compared with each other; so are the accuracies on several samples.
            let alike = |other: &&&String| other.ends_with("accuracy") && measure.ends_with("accuracy");
            let group = measures.iter().position(|other| other == measure || alike(&other)).unwrap_or(0);
            figure = figure.panel(Panel { title: title.clone(), ..panel }.y_group(group));
        }
    }
    if let (Some(accuracy), Drawing::Curves) = (summary.yield_accuracy, summary.draw) {
        for (title, points) in panels(summary) {
            let panel = yields(summary, &points, accuracy, x, lines);
            figure = figure.panel(Panel { title, ..panel }.y_group(measures.len()));
        }
    }
    if summary.draw != Drawing::HeatMap
        && let Some(mut note) = note(&summary.points, summary.draw == Drawing::Curves)
    {
        if summary.yield_accuracy.is_some() {
            note += " Bars of the yield: Wilson's 95 % interval.";
        }
        figure = figure.note(note);
    }
    figure.write(folder, "sweep", print).map(drop)
}

/// What bars mean, and of how many runs; nothing where there are none.
fn note(points: &[SweepPoint], has_dots: bool) -> Option<String> {
    let several = points.iter().filter(|p| p.runs - p.failures > 1);
    let counts: BTreeSet<usize> = several.clone().map(|p| p.runs - p.failures).collect();
    let n = match (counts.first()?, counts.last()?) {
        (low, high) if low == high => format!("n = {low} runs"),
        (low, high) => format!("n = {low} to {high} runs"),
    };
    let spreads: BTreeSet<&str> = several.map(SweepPoint::spread_name).collect();
    let bars = match (spreads.contains("range"), spreads.len()) {
        (true, 1) => format!("Markers: mean of {n}. Bars: from the lowest to the highest."),
        (_, 1) => format!("Markers: mean of {n}. Bars: 95 % interval of the mean (bootstrap)."),
        _ => format!(
            "Markers: mean of {n}. Bars: 95 % interval of the mean (bootstrap); of up to three runs, from the lowest to the highest."
        ),
    };
    let alone = points.iter().any(|p| p.runs - p.failures == 1);
    let alone = if alone { " A marker without a bar: one run." } else { "" };
    let dots = if has_dots { " Faint dots: single runs." } else { "" };
    let failed = points.iter().any(|p| p.failures > 0);
    let diverged = if failed && has_dots { " Under the frame: how many of the runs diverged." } else { "" };
    Some(bars + alone + dots + diverged)
}

/// The summary of a run.
///
/// # Errors
/// If it is missing or damaged.
pub(super) fn summary(folder: &Path) -> Result<SweepSummary> {
    read_json(&folder.join("summary.json"), "a summary written by holograd")
}

/// The points of each panel: one panel for each combination of the values that neither axis of the figure shows.
fn panels(summary: &SweepSummary) -> Vec<(Option<String>, Vec<&SweepPoint>)> {
    let mut panels: Vec<(Option<String>, Vec<&SweepPoint>)> = Vec::new();
    for point in &summary.points {
        let hidden =
            point.values.iter().filter(|(p, _)| **p != summary.x && Some(*p) != summary.lines.as_ref());
        let title: Vec<String> =
            hidden.map(|(path, value)| names::titled(&labels::axis(summary, path), value)).collect();
        let title = (!title.is_empty()).then(|| title.join(", "));
        match panels.iter_mut().find(|(other, _)| *other == title) {
            Some((_, points)) => points.push(point),
            None => panels.push((title, vec![point])),
        }
    }
    panels
}

/// An empty panel along an axis.
fn along(summary: &SweepSummary, x: &SweepAxis, y: String) -> Panel {
    let panel = Panel::new(labels::axis(summary, &x.path), y);
    let Some(numbers) = x.numbers() else {
        return panel.x_names(x.values.iter().map(names::value).collect());
    };
    if is_wide(&numbers) {
        return panel.log_x();
    }
    let last = numbers.iter().fold(0.0_f64, |most, n| most.max(*n));
    if last > 0.0 && numbers.iter().all(|n| *n >= 0.0) && numbers.contains(&0.0) {
        // Room for the markers at zero.
        return panel.x_range(-0.04 * last, 1.04 * last);
    }
    panel
}

fn curves(
    summary: &SweepSummary,
    points: &[&SweepPoint],
    runs: &[SweepRun],
    measure: &str,
    x: &SweepAxis,
    lines: Option<&SweepAxis>,
) -> Panel {
    let factor = names::factor(measure);
    let numbers = x.numbers();
    let mut panel = along(summary, x, labels::quantity(summary, measure));
    // One scale for all panels of a measure.
    let errors = summary.points.iter().filter(|_| measure == "relative_error");
    let errors: Vec<f64> =
        errors.filter_map(|p| p.measures.get(measure).copied().flatten()).map(|i| i.mean).collect();
    if is_wide(&errors) {
        panel = panel.log_y();
    }
    let one = [Value::Null];
    let series = lines.map_or(&one[..], |l| &l.values);
    let mut aside = Aside { label: "diverged".into(), rows: Vec::new() };
    for (index, value) in series.iter().enumerate() {
        let of_series = |p: &&&SweepPoint| lines.is_none_or(|l| p.values.get(&l.path) == Some(value));
        // Among names curves and runs stand side by side; along numbers nothing is moved.
        let slot = 0.7 / series.len() as f64;
        let middle = (index as f64 - (series.len() - 1) as f64 / 2.0) * slot;
        let (mut means, mut bars, mut dots, mut items) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for point in points.iter().filter(of_series) {
            let place = x.values.iter().position(|v| Some(v) == point.values.get(&x.path)).unwrap_or(0);
            let across = numbers.as_ref().map_or((place + 1) as f64 + middle, |n| n[place]);
            if point.failures > 0 {
                items.push((across, format!("{}/{}", point.failures, point.runs)));
            }
            let interval = point.measures.get(measure).copied().flatten();
            means.push((across, interval.map_or(f64::NAN, |i| factor * i.mean)));
            let own = runs.iter().filter(|run| run.values == point.values);
            let own: Vec<f64> =
                own.filter_map(|run| Some(factor * run.measures.get(measure).copied().flatten()?)).collect();
            let several = interval.filter(|_| own.len() > 1);
            bars.push(several.map_or((f64::NAN, f64::NAN), |i| (factor * i.low, factor * i.high)));
            if own.len() > 1 {
                let spread = if numbers.is_some() { 0.0 } else { 0.6 * slot / own.len() as f64 };
                let centre = (own.len() - 1) as f64 / 2.0;
                let beside = |(k, y): (usize, &f64)| (across + spread * (k as f64 - centre), *y);
                dots.extend(own.iter().enumerate().map(beside));
            }
        }
        let label =
            lines.map_or_else(String::new, |lines| names::titled(&labels::axis(summary, &lines.path), value));
        let mark = if numbers.is_some() { Mark::LinePoints } else { Mark::Points };
        if !dots.is_empty() {
            panel = panel.series(Series::new("", Mark::Dots, dots).colour(index));
        }
        panel = panel
            .series(Series { error_bars: some_bars(bars), ..Series::new(label, mark, means).colour(index) });
        if !items.is_empty() {
            aside.rows.push(AsideRow { colour: index, mark: Mark::Points, items });
        }
    }
    panel.aside = Some(aside).filter(|aside| !aside.rows.is_empty());
    panel
}

/// The share of the runs that reach an accuracy, with Wilson's interval.
fn yields(
    summary: &SweepSummary,
    points: &[&SweepPoint],
    accuracy: f64,
    x: &SweepAxis,
    lines: Option<&SweepAxis>,
) -> Panel {
    let numbers = x.numbers();
    let mut panel = along(summary, x, labels::reached(accuracy)).y_range(-4.0, 104.0);
    let one = [Value::Null];
    let series = lines.map_or(&one[..], |l| &l.values);
    for (index, value) in series.iter().enumerate() {
        let middle = (index as f64 - (series.len() - 1) as f64 / 2.0) * 0.7 / series.len() as f64;
        let own = points.iter().filter(|p| lines.is_none_or(|l| p.values.get(&l.path) == Some(value)));
        let (mut shares, mut bars) = (Vec::new(), Vec::new());
        for (point, share) in own.filter_map(|point| Some((point, point.reached?))) {
            let place = x.values.iter().position(|v| Some(v) == point.values.get(&x.path)).unwrap_or(0);
            let across = numbers.as_ref().map_or((place + 1) as f64 + middle, |n| n[place]);
            shares.push((across, 100.0 * share.share));
            bars.push((100.0 * share.low, 100.0 * share.high));
        }
        let label =
            lines.map_or_else(String::new, |lines| names::titled(&labels::axis(summary, &lines.path), value));
        let mark = if numbers.is_some() { Mark::LinePoints } else { Mark::Points };
        panel = panel
            .series(Series { error_bars: some_bars(bars), ..Series::new(label, mark, shares).colour(index) });
    }
    panel
}

/// Bars, if there are any.
fn some_bars(bars: Vec<(f64, f64)>) -> Option<Vec<(f64, f64)>> {
    bars.iter().any(|(low, _)| low.is_finite()).then_some(bars)
}

/// A measure against what it cost, on logarithmic axes: one curve for all points whose labels begin alike. Of a cosine the distance from 1 is
/// shown, no less than rounding leaves of it.
fn cost(summary: &SweepSummary, points: &[&SweepPoint], measure: &str) -> Panel {
    let is_cosine = measure.ends_with("cosine");
    let against = summary.draw.cost().unwrap_or(COST);
    let shown = |x: f64| if is_cosine { (1.0 - x).max(1e-9) } else { names::factor(measure) * x };
    // Cost, and mean and interval of the measure.
    let mut families: IndexMap<String, Vec<(f64, [f64; 3])>> = IndexMap::new();
    for point in points {
        let label = point.values.values().map(value_label).collect::<Vec<_>>().join(", ");
        let family = match point.values.first() {
            Some((path, value)) if value.is_number() => names::titled(&labels::axis(summary, path), value),
            _ => label.split(',').next().unwrap_or_default().to_owned(),
        };
        let of = |measure: &str| point.measures.get(measure).copied().flatten();
        let (Some(cost), Some(value)) = (of(against), of(measure)) else { continue };
        let several = point.runs - point.failures > 1;
        let [low, high] = [value.low, value.high].map(|end| if several { shown(end) } else { f64::NAN });
        let interval = [shown(value.mean), low, high];
        families.entry(family).or_default().push((cost.mean, interval));
    }
    let label = if is_cosine {
        format!("1 − {}", labels::quantity(summary, measure))
    } else {
        labels::quantity(summary, measure)
    };
    let mut panel = Panel::new(labels::quantity(summary, against), label).log_x();
    // An accuracy fills a small part of a decade.
    if summary.draw == Drawing::Cost || !measure.ends_with("accuracy") {
        panel = panel.log_y();
    }
    for (index, (family, points)) in families.into_iter().enumerate() {
        let means = points.iter().map(|(cost, [mean, ..])| (*cost, *mean)).collect();
        let bars = points.iter().map(|(_, [_, low, high])| (low.min(*high), low.max(*high))).collect();
        let series = Series::new(names::shown(&family), Mark::LinePoints, means).colour(index);
        panel = panel.series(Series { error_bars: some_bars(bars), ..series });
    }
    panel
}

fn map(summary: &SweepSummary, points: &[&SweepPoint], measure: &str, x: &SweepAxis, y: &SweepAxis) -> Panel {
    let mut values = Vec::new();
    for row in &y.values {
        for column in &x.values {
            let cell = points
                .iter()
                .find(|p| p.values.get(&x.path) == Some(column) && p.values.get(&y.path) == Some(row));
            let mean = cell.and_then(|p| p.measures.get(measure).copied().flatten()).map(|i| i.mean);
            values.push(mean.map_or(f64::NAN, |m| m * names::factor(measure)));
        }
    }
    let size = (y.values.len(), x.values.len());
    let mut heat = HeatMap::new(size, values, edges(x), edges(y), labels::quantity(summary, measure));
    // Maps of one measure are compared with each other: one scale for all.
    let all = summary.points.iter().filter_map(|p| p.measures.get(measure).copied().flatten());
    let all = all.map(|i| i.mean * names::factor(measure));
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    heat.colour.range = (low < high).then_some((low, high));
    let mut panel = Panel::new(labels::axis(summary, &x.path), labels::axis(summary, &y.path)).heat_map(heat);
    if x.spacing() == Some(true) {
        panel = panel.log_x();
    }
    if y.spacing() == Some(true) {
        panel = panel.log_y();
    }
    panel
}

/// The outer edges of cells around the values, half a step beyond the first and the last.
fn edges(axis: &SweepAxis) -> (f64, f64) {
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

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn summary(axis: &str, values: &[Value], failures: usize) -> (SweepSummary, Vec<SweepRun>) {
        let measured = json!({ "test_accuracy": { "mean": 0.9, "low": 0.85, "high": 0.95 } });
        let point = |(index, value): (usize, &Value)| {
            // Of the last point every run diverged.
            let all = index + 1 == values.len();
            let measures = if all { json!({ "test_accuracy": null }) } else { measured.clone() };
            let failures = if all { 5 } else { failures };
            json!({ "values": { axis: value }, "runs": 5, "failures": failures, "measures": measures })
        };
        let run = |(point, value): (usize, &Value), seed: usize| {
            let accuracy = (point + 1 < values.len()).then_some(0.85 + 0.02 * seed as f64);
            json!({ "key": "", "point": point, "values": { axis: value }, "seed": 0, "device_seed": seed,
                    "measures": { "test_accuracy": accuracy }, "failure": null, "seconds": 1.0 })
        };
        let points: Vec<Value> = values.iter().enumerate().map(point).collect();
        let runs = values.iter().enumerate().flat_map(|at| (0..5).map(move |seed| run(at, seed)));
        let summary = json!({ "axes": [{ "path": axis, "values": values }], "x": axis, "lines": null,
            "draw": "curves", "runs": 15, "failures": 5, "wall_seconds": 1.0, "training_seconds": 1.0,
            "points": points });
        (from_value(summary).unwrap(), from_value(runs.collect()).unwrap())
    }

    fn drawn(summary: &SweepSummary, runs: &[SweepRun]) -> Panel {
        let points: Vec<&SweepPoint> = summary.points.iter().collect();
        curves(summary, &points, runs, "test_accuracy", &summary.axes[0], None)
    }

    #[test]
    fn runs_that_diverged_are_never_drawn_as_values() {
        let (summary, runs) = summary("amplitude", &[json!(0.1), json!(1), json!(10)], 2);
        let panel = drawn(&summary, &runs);
        let finite = |s: &Series| s.points.iter().filter(|p| p.1.is_finite()).count();
        let curve = panel.series.iter().find(|s| s.mark == Mark::LinePoints).unwrap();
        assert_eq!(finite(curve), 2);
        assert!(panel.series.iter().all(|s| matches!(s.mark, Mark::LinePoints | Mark::Dots)));
        let told: Vec<(f64, &str)> =
            panel.aside.as_ref().unwrap().rows[0].items.iter().map(|(x, text)| (*x, text.as_str())).collect();
        assert_eq!(told, [(0.1, "2/5"), (1.0, "2/5"), (10.0, "5/5")]);
        // Along numbers nothing is moved: neither means nor single runs.
        let places = panel.series.iter().flat_map(|s| &s.points).map(|p| p.0);
        assert!(places.into_iter().all(|x| [0.1, 1.0, 10.0].contains(&x)));
    }

    #[test]
    fn devices_are_named_and_each_run_is_seen() {
        let (summary, runs) = summary("imperfections", &[json!("rram_wan"), json!("tau"), json!("ideal")], 0);
        let panel = drawn(&summary, &runs);
        assert_eq!(panel.x.names, ["RRAM (Wan)", "τ", "ideal"]);
        assert_eq!((panel.x.label.as_str(), panel.y.label.as_str()), ("device", "test accuracy (%)"));
        let dots = panel.series.iter().find(|s| s.mark == Mark::Dots).unwrap();
        assert_eq!(dots.points.len(), 10);
        let near = |place: f64| dots.points.iter().filter(|p| (p.0 - place).abs() < 0.4).count();
        assert_eq!((near(1.0), near(2.0), near(3.0)), (5, 5, 0));
    }

    #[test]
    fn the_legend_names_numbers_and_lets_words_speak_for_themselves() {
        let axes = json!([{ "path": "estimator.amplitude", "values": [0.5, 1.0] },
                          { "path": "batch_size", "values": [16, 64] },
                          { "path": "imperfections", "values": ["rram_wan", "ideal"] }]);
        let measures = json!({ "test_accuracy": { "mean": 0.9, "low": 0.9, "high": 0.9 } });
        let point = |(amplitude, batch, device): (f64, u64, &str)| {
            json!({ "values": { "estimator.amplitude": amplitude, "batch_size": batch, "imperfections": device },
                    "runs": 1, "failures": 0, "measures": measures })
        };
        let each = [0.5, 1.0].into_iter().flat_map(|a| {
            [16, 64].into_iter().flat_map(move |b| ["rram_wan", "ideal"].map(|device| (a, b, device)))
        });
        let summary: SweepSummary =
            from_value(json!({ "axes": axes, "x": "estimator.amplitude", "lines": null,
            "draw": "curves", "runs": 8, "failures": 0, "wall_seconds": 1.0, "training_seconds": 1.0,
            "points": each.map(point).collect::<Vec<Value>>() }))
            .unwrap();
        let points: Vec<&SweepPoint> = summary.points.iter().collect();
        let legend = |axis: usize| {
            let (x, lines) = (&summary.axes[0], Some(&summary.axes[axis]));
            let panel = curves(&summary, &points, &[], "test_accuracy", x, lines);
            panel
                .series
                .into_iter()
                .map(|s| s.label)
                .filter(|label| !label.is_empty())
                .collect::<Vec<String>>()
        };
        assert_eq!(legend(1), ["batch size = 16", "batch size = 64"]);
        assert_eq!(legend(2), ["RRAM (Wan)", "ideal"]);
    }

    #[test]
    fn the_figure_says_what_its_bars_are() {
        let (mut summary, _) = summary("amplitude", &[json!(0.1), json!(1), json!(10)], 0);
        let told = note(&summary.points, true).unwrap();
        assert!(told.starts_with("Markers: mean of n = 5 runs. Bars: 95 % interval of the mean"), "{told}");
        assert!(told.contains("diverged"));
        for point in &mut summary.points {
            (point.runs, point.failures) = (3, 0);
        }
        assert_eq!(
            note(&summary.points, false).unwrap(),
            "Markers: mean of n = 3 runs. Bars: from the lowest to the highest."
        );
        summary.points[0].runs = 1;
        assert!(note(&summary.points, false).unwrap().ends_with(" A marker without a bar: one run."));
        for point in &mut summary.points {
            point.runs = 1;
        }
        assert_eq!(note(&summary.points, true), None);
    }
}
