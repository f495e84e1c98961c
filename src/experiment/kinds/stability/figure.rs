//! Figure of a `stability` run: where in the plane of β the dynamics settles, how far from the free equilibrium, and how soon.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files::{self, read_npz};
use crate::plot::{Figure, HeatMap, Mark, Panel, Print, Series};
use crate::simulation::teaching::root_of_unity;

/// What the figure needs of `experiment.json`.
#[derive(Deserialize)]
struct Map {
    extent: f64,
    cells: usize,
    amplitude: f64,
    points: u64,
}

/// Draws `stability` from `stability.npz`.
///
/// # Errors
/// If the map is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let legal = "a map written by holograd";
    let path = folder.join("experiment.json");
    let Map { extent, cells, amplitude, points } = serde_json::from_str(&files::read_text(&path)?)
        .map_err(|e| Error::input(path.display().to_string(), "", e.to_string(), legal))?;
    let file = folder.join("stability.npz");
    let mut arrays = read_npz(&file)?;
    let mut array = |name: &str| {
        let found = arrays.remove(name).filter(|(shape, _)| *shape == [cells, cells]);
        let refuse = || Error::input(file.display().to_string(), name, "found no such map", legal);
        found.map(|(_, values)| values).ok_or_else(refuse)
    };
    let (times, mut distances) = (array("settling_time")?, array("displacement")?);
    // Where nothing settles there is no distance to show.
    distances.iter_mut().zip(&times).filter(|(_, t)| t.is_nan()).for_each(|(d, _)| *d = f64::NAN);
    let edges = (-extent, extent);
    let map = |values: Vec<f64>, label: &str| HeatMap::new((cells, cells), values, edges, edges, label);
    let roots: Vec<(f64, f64)> =
        (0..points).map(|k| root_of_unity(k, points) * amplitude).map(|z| (z.re, z.im)).collect();
    let panel = |map: HeatMap, title: &str| {
        let name = format!("|β| = {amplitude}");
        let circle = Series { mark: Mark::Dashed, ..Series::circle(name, (0.0, 0.0), amplitude) };
        Panel::new("Re β", "Im β")
            .title(title)
            .equal_aspect()
            .heat_map(map)
            .series(circle.colour(1))
            .series(Series::new(format!("{points} points on it"), Mark::Points, roots.clone()).colour(1))
    };
    let far = map(distances, "largest |Re|, |Im| of a − a*").colour_range(0.0, 1.0);
    Figure::new()
        .panel_size(460, 380)
        .panel(panel(far, "distance (grey: does not settle)"))
        .panel(panel(map(times, "settling time (τ)").log_colour(), "time to settle"))
        .write(folder, "stability", print)
        .map(drop)
}
