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

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::experiment::place;
use crate::files;
use crate::plot::{Mark, Panel, Print, Series};
use crate::published::Published;

/// Draws, or redraws, the figures of a finished run.
///
/// # Errors
/// If the folder does not hold a run, or a figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    draw_as(folder, &Print::default())
}

/// The same, as wide as asked for and in the formats asked for.
///
/// # Errors
/// As [`draw`].
pub fn draw_as(folder: &Path, print: &Print) -> Result<()> {
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
        Some("train") => training::draw(folder, print),
        Some("gradient") => gradient::draw(folder, print),
        Some("trace") => trace::draw(folder, print),
        Some("amplitude") => amplitude::draw(folder, print),
        Some("frequency") => frequency::draw(folder, print),
        Some("relaxation") => relaxation::draw(folder, print),
        Some("stability") => stability::draw(folder, print),
        Some("continuous") => continuous::draw(folder, print),
        Some("elapsed") => elapsed::draw(folder, print),
        Some("sweep") => {
            sweep::draw(folder, print)?;
            if experiment["history"] == true { history::draw(folder, print) } else { Ok(()) }
        }
        Some("frequency_optimum") => frequency_optimum::draw(folder, print),
        other => {
            let found = format!("found {other:?}");
            Err(Error::input(path.display().to_string(), "kind", found, "a kind that this version knows"))
        }
    }
}

/// Reads JSON that a run has written.
fn read_json<T: DeserializeOwned>(path: &Path, legal: &str) -> Result<T> {
    let refuse = |e: serde_json::Error| Error::input(path.display().to_string(), "", e.to_string(), legal);
    serde_json::from_str(&files::read_text(path)?).map_err(refuse)
}

/// A panel with the published curves that have both columns, as open markers in the colour of what they stand beside, else black,
/// in a shape of their own; `y` is put on the panel's scale first.
fn beside(
    mut panel: Panel,
    published: Option<&Published>,
    (x, y): (&str, &str),
    colour: impl Fn(&str) -> Option<usize>,
    scale: impl Fn(f64) -> f64,
) -> Panel {
    // Shapes of what stands in black; thin ones would hardly be hollow.
    const SHAPES: usize = 5;
    let mut black: Vec<&str> = Vec::new();
    for curve in published.iter().flat_map(|p| &p.curves) {
        let Some(points) = curve.points(x, y) else { continue };
        let points = points.into_iter().map(|(x, y)| (x, scale(y))).collect();
        let label = curve.label.as_str();
        let series = Series::new(label, Mark::Open, points);
        panel = panel.series(match curve.beside.as_deref().and_then(&colour) {
            Some(index) => series.colour(index),
            None => {
                let place = black.iter().position(|other| *other == label).unwrap_or_else(|| {
                    black.push(label);
                    black.len() - 1
                });
                series.in_black_shaped(place % SHAPES)
            }
        });
    }
    panel
}

/// The points (x, y) of the rows that have both.
fn points<R>(rows: &[R], x: impl Fn(&R) -> Option<f64>, y: impl Fn(&R) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((x(row)?, y(row)?))).collect()
}
