//! Figures of an `elapsed` run: gradient error against time and against cost, and the modes that cause it.

use std::path::Path;

use serde::Deserialize;

use super::record::{ElapsedPoint, Modes};
use crate::error::Result;
use crate::figures::{points, read_json};
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::published::Published;
use crate::records::read_metrics;

/// What the figure needs of `summary.json`.
#[derive(Deserialize)]
struct Summary {
    slowest_rate: f64,
    modes: Option<Modes>,
}

/// Draws `elapsed` from the metrics and the summary of a run.
///
/// # Errors
/// If a file is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let all: Vec<ElapsedPoint> = read_metrics(folder)?;
    let summary: Summary = read_json(&folder.join("summary.json"), "a summary written by holograd")?;
    let published = Published::of_run(folder)?;
    let mut figure = Figure::new().columns(2);
    let mut final_errors =
        Panel::new("evaluations of the right-hand side", "1 − cosine at the end").log_x().log_y();
    for (colour, (method, richardson, title)) in methods(&all).into_iter().enumerate() {
        let own: Vec<&ElapsedPoint> =
            all.iter().filter(|p| p.method == method && p.richardson == richardson).collect();
        let mut panel = Panel::new("elapsed time (τ)", "1 − cosine to the adjoint")
            .log_x()
            .log_y()
            .title(&title)
            .y_group(0);
        let mut ends = Vec::new();
        for (index, series) in own.chunk_by(|a, b| a.estimator == b.estimator).enumerate() {
            let line = points(series, |p| Some(p.elapsed), |p| distance(p));
            ends.extend(series.last().and_then(|p| Some((p.rhs_evaluations as f64, distance(p)?))));
            panel = panel.series(Series::new(&series[0].estimator, Mark::Line, line).colour(index));
            let theirs = published.iter().flat_map(|p| p.beside(&series[0].estimator));
            for points in theirs.filter_map(|curve| curve.points("period", "total_cosine")) {
                // Period 0 is before the first estimate; from five digits on, rounding hides the rest.
                let shown =
                    points.into_iter().filter(|(period, cosine)| *period > 0.0 && 1.0 - cosine > 1e-6);
                let points = shown.map(|(period, c)| (period * series[0].base_period, 1.0 - c)).collect();
                panel = panel.series(Series::new("published", Mark::Open, points).colour(index));
            }
        }
        figure = figure.panel(panel);
        final_errors = final_errors.series(Series::new(title, Mark::LinePoints, ends).colour(colour));
    }
    figure = figure.panel(final_errors);
    if let Some(modes) = &summary.modes {
        figure = figure.panel(spectrum(modes, summary.slowest_rate, &all));
    }
    figure.write(folder, "elapsed", print).map(drop)
}

/// 1 − cosine over all parameters, no lower than rounding.
fn distance(point: &ElapsedPoint) -> Option<f64> {
    point.total_cosine.map(|c| (1.0 - c).max(1e-16))
}

/// Method, extrapolated periods and a title of each kind of estimator, in order of appearance.
fn methods(all: &[ElapsedPoint]) -> Vec<(String, u64, String)> {
    let mut methods: Vec<(String, u64, String)> = Vec::new();
    for point in all {
        let title = match (point.method.as_str(), point.richardson) {
            ("staircase", _) => "staircase".to_owned(),
            (_, 1) => "sinusoid".to_owned(),
            (_, n) => format!("sinusoid, {n} periods extrapolated"),
        };
        if !methods.iter().any(|m| m.2 == title) {
            methods.push((point.method.clone(), point.richardson, title));
        }
    }
    methods
}

/// Where the response lies among the rates of relaxation, and how fast the drives turn.
fn spectrum(modes: &Modes, slowest: f64, all: &[ElapsedPoint]) -> Panel {
    let zip = |y: &[f64]| modes.rates.iter().copied().zip(y.iter().copied()).collect::<Vec<_>>();
    let most = modes.share.iter().chain(&modes.count).fold(0.0_f64, |a, b| a.max(*b));
    let mut periods: Vec<f64> = all.iter().map(|p| p.base_period).collect();
    periods.sort_by(f64::total_cmp);
    periods.dedup();
    let mut panel = Panel::new("relaxation rate λ, or ω of a drive (1/τ)", "share in each bin")
        .log_x()
        .line("modes", zip(&modes.count))
        .line("squared response", zip(&modes.share));
    for (index, period) in periods.iter().enumerate() {
        let omega = std::f64::consts::TAU / period;
        let label = if index == 0 { "ω of each drive" } else { "" };
        panel = panel.series(Series::new(label, Mark::Dotted, vec![(omega, 0.0), (omega, most)]).in_black());
    }
    let rule = vec![(slowest, 0.0), (slowest, most)];
    panel.series(Series::new("slowest relaxation rate", Mark::Dashed, rule).in_black())
}
