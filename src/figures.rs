//! What figures of several kinds of run are made with.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files;
use crate::plot::{Mark, Panel, Series};
use crate::published::Published;

/// Reads JSON that a run has written.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, legal: &str) -> Result<T> {
    let refuse = |e: serde_json::Error| Error::input(path.display().to_string(), "", e.to_string(), legal);
    serde_json::from_str(&files::read_text(path)?).map_err(refuse)
}

/// A panel with the published curves that have both columns, as open markers in the colour of what they stand beside, else black,
/// in a shape of their own; `y` is put on the panel's scale first.
pub(crate) fn beside(
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
pub(crate) fn points<R>(
    rows: &[R],
    x: impl Fn(&R) -> Option<f64>,
    y: impl Fn(&R) -> Option<f64>,
) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((x(row)?, y(row)?))).collect()
}
