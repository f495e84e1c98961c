//! The figures of each kind of experiment, drawn from its run folder alone.

mod amplitude;
mod asymmetry;
mod continuous;
mod elapsed;
mod frequency;
mod frequency_optimum;
mod gradient;
mod history;
pub(crate) mod relaxation;
mod stability;
mod sweep;
mod trace;
mod training;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::experiment::place;
use crate::files;
use crate::published::Published;
use crate::report::{Mark, Panel, Series};

/// Draws, or redraws, the figures of a finished run.
///
/// # Errors
/// If the folder does not hold a run, or a figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let path = folder.join("experiment.json");
    if !path.exists() {
        let legal = "give the folder of a run: it holds experiment.json and metrics.jsonl";
        return Err(Error::input(folder.display().to_string(), "", "found no run there", legal));
    }
    place::refuse_links(folder)?;
    let experiment: Value = serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "an experiment written by holograd")
    })?;
    match experiment["kind"].as_str() {
        Some("train") => training::draw(folder),
        Some("gradient") => gradient::draw(folder),
        Some("trace") => trace::draw(folder),
        Some("amplitude") => amplitude::draw(folder),
        Some("frequency") => frequency::draw(folder),
        Some("relaxation") => relaxation::draw(folder),
        Some("stability") => stability::draw(folder),
        Some("continuous") => continuous::draw(folder),
        Some("elapsed") => elapsed::draw(folder),
        Some("sweep") => {
            sweep::draw(folder)?;
            if experiment["history"] == true { history::draw(folder) } else { Ok(()) }
        }
        Some("frequency_optimum") => frequency_optimum::draw(folder),
        other => {
            let found = format!("found {other:?}");
            Err(Error::input(path.display().to_string(), "kind", found, "a kind that this version knows"))
        }
    }
}

/// A panel with the published curves that have both columns, as open markers in the colour of what they stand beside, else black;
/// `y` is put on the panel's scale first.
fn beside(
    mut panel: Panel,
    published: Option<&Published>,
    (x, y): (&str, &str),
    colour: impl Fn(&str) -> Option<usize>,
    scale: impl Fn(f64) -> f64,
) -> Panel {
    let mut listed: Vec<&str> = Vec::new();
    for curve in published.iter().flat_map(|p| &p.curves) {
        let Some(points) = curve.points(x, y) else { continue };
        let label = if listed.contains(&curve.label.as_str()) { "" } else { &curve.label };
        listed.push(&curve.label);
        let points = points.into_iter().map(|(x, y)| (x, scale(y))).collect();
        let series = Series::new(label, Mark::Open, points);
        panel = panel.series(match curve.beside.as_deref().and_then(&colour) {
            Some(index) => series.colour(index),
            None => series.in_black(),
        });
    }
    panel
}

/// The points (x, y) of the rows that have both.
fn points<R>(rows: &[R], x: impl Fn(&R) -> Option<f64>, y: impl Fn(&R) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((x(row)?, y(row)?))).collect()
}
