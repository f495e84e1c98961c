//! Figure of a `frequency_optimum` run: total error against the period for each filter, a panel for each corner of the noise.

use std::path::Path;

use super::record::{FrequencyOptimumPoint, FrequencyOptimumSummary, Optimum};
use crate::error::Result;
use crate::figures::{points, read_json};
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::records::read_metrics;

/// Places in the palette, one for each filter.
const COLOURS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn label(poles: u32) -> String {
    if poles == 1 { "1 pole".to_owned() } else { format!("{poles} poles") }
}

/// Draws `frequency_optimum` from the metrics and the summary of a run.
///
/// # Errors
/// If they are missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let all: Vec<FrequencyOptimumPoint> = read_metrics(folder)?;
    let path = folder.join("summary.json");
    let summary: FrequencyOptimumSummary = read_json(&path, "a summary written by holograd")?;
    let mut corners: Vec<f64> = all.iter().map(|p| p.corner).collect();
    corners.dedup();
    let mut poles: Vec<u32> = all.iter().map(|p| p.poles).collect();
    poles.sort_unstable();
    poles.dedup();
    let mut figure = Figure::new().columns(3).panel_size(400, 380);
    for corner in corners {
        let mut panel = Panel::new("period T (τ)", "relative gradient error")
            .title(format!("corner of the 1/f noise at {corner}/τ"))
            .log_x()
            .log_y()
            .y_group(0);
        for (place, poles) in poles.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let own: Vec<&FrequencyOptimumPoint> =
                all.iter().filter(|p| p.corner == corner && p.poles == *poles).collect();
            let found = summary.optima.iter().find(|o| o.corner == corner && o.poles == *poles);
            let theory = match found.map(|o| &o.theory_curve).filter(|curve| !curve.is_empty()) {
                Some(curve) => curve.iter().map(|[period, error]| (*period, *error)).collect(),
                // Runs of earlier versions know it at the simulated periods alone.
                None => points(&own, |p| Some(p.period), |p| Some(p.theory)),
            };
            let simulated = points(&own, |p| Some(p.period), |p| Some(p.error));
            panel = panel.series(Series::new("theory", Mark::Dashed, theory).colour(colour));
            panel = panel.series(Series::new(label(*poles), Mark::Points, simulated).colour(colour));
        }
        figure = figure.panel(panel);
    }
    let mut best =
        Panel::new("corner of the 1/f noise (1/τ)", "best period (τ)").title("best period").log_x().log_y();
    for (place, poles) in poles.iter().enumerate() {
        let own: Vec<&Optimum> = summary.optima.iter().filter(|o| o.poles == *poles).collect();
        let theory = points(&own, |o| Some(o.corner), |o| o.theory_period);
        let simulated = points(&own, |o| Some(o.corner), |o| o.period);
        best = best.series(Series::new("theory", Mark::Open, theory).colour(COLOURS[place % COLOURS.len()]));
        let series = Series::new(label(*poles), Mark::Points, simulated);
        best = best.series(series.colour(COLOURS[place % COLOURS.len()]));
    }
    figure.panel(best).write(folder, "frequency_optimum", print)?;
    Ok(())
}
