//! Figures of a `train` run with convolutions: what its kernels have become, and what they make of an image.

use std::path::Path;

use super::FEATURE_MAPS;
use crate::error::Result;
use crate::experiment::sink::LEARNT;
use crate::files::{read_npz, read_tensors};
use crate::names;
use crate::plot::{Figure, HeatMap, Panel, Print};

/// Kernels of a connection, or channels of a layer, that are drawn in each direction at most.
const MOST: usize = 8;

/// Draws `kernels` of the parameters and `feature-maps` of the states that the run has left, if it has convolutions.
///
/// # Errors
/// If a file is damaged, or a figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let maps = folder.join(FEATURE_MAPS);
    if !maps.exists() {
        return Ok(());
    }
    let mut tensors = read_tensors(folder.join(LEARNT))?;
    let shape_of = |name: &String| tensors.get(name).map(|array| array.shape.clone()).unwrap_or_default();
    let names: Vec<String> = tensors.names().map(str::to_owned).collect();
    let kernels: Vec<(String, Vec<usize>)> = names
        .into_iter()
        .map(|name| (name.clone(), shape_of(&name)))
        .filter(|(_, shape)| shape.len() == 4)
        .collect();
    let mut figure = Figure::new().panel_size(380, 380);
    for (name, shape) in kernels {
        let values: Vec<f64> = tensors.reals(&name, &shape)?;
        let [height, width, from, to] = shape[..] else { continue };
        // Kernels of one channel fill a square.
        let shown = if from == 1 { to.min(MOST * MOST) } else { to.min(MOST) };
        let columns = if from == 1 { square(shown) } else { shown };
        let rows = if from == 1 { shown.div_ceil(columns) } else { from.min(MOST) };
        let tile = |row: usize, column: usize, y: usize, x: usize| {
            let (source, target) = if from == 1 { (0, row * columns + column) } else { (row, column) };
            if target < shown { values[((y * width + x) * from + source) * to + target] } else { f64::NAN }
        };
        let map = mosaic([rows, columns], [height, width], tile, "weight");
        let receiving = format!("channel that receives, {shown} of {to}");
        let sending = if from == 1 { String::new() } else { format!("channel that sends, {rows} of {from}") };
        let panel = Panel::new(receiving, sending).title(names::parameter(&name)).equal_aspect();
        figure = figure.panel(panel.without_ticks().heat_map(map));
    }
    figure.write(folder, "kernels", print)?;
    let mut figure = Figure::new().panel_size(380, 380);
    for (name, (shape, values)) in read_npz(&maps)? {
        let [height, width, channels] = shape[..] else { continue };
        let shown = channels.min(MOST * MOST);
        let columns = square(shown);
        let tile = |row: usize, column: usize, y: usize, x: usize| {
            let channel = row * columns + column;
            if channel < shown { values[(y * width + x) * channels + channel] } else { f64::NAN }
        };
        let map = mosaic([shown.div_ceil(columns), columns], [height, width], tile, "rate a");
        let panel =
            Panel::new("", "").title(format!("{name}, {shown} of {channels} channels")).equal_aspect();
        figure = figure.panel(panel.without_ticks().heat_map(map));
    }
    figure.write(folder, "feature-maps", print).map(drop)
}

/// Columns of the smallest square grid that holds so many tiles.
fn square(tiles: usize) -> usize {
    (tiles as f64).sqrt().ceil() as usize
}

/// Tiles of [height, width] in a grid of [rows, columns], grey lines between them; `value` takes row and column of a tile, and of a place in
/// it, from the top.
fn mosaic(
    [rows, columns]: [usize; 2],
    [height, width]: [usize; 2],
    value: impl Fn(usize, usize, usize, usize) -> f64,
    label: &str,
) -> HeatMap {
    let (down, across) = (rows * (height + 1) - 1, columns * (width + 1) - 1);
    let mut values = Vec::with_capacity(down * across);
    // The first row of a heat map is the lowest.
    for y in (0..down).rev() {
        for x in 0..across {
            let (row, inner) = (y / (height + 1), y % (height + 1));
            let (column, within) = (x / (width + 1), x % (width + 1));
            let line = inner == height || within == width;
            values.push(if line { f64::NAN } else { value(row, column, inner, within) });
        }
    }
    HeatMap::new((down, across), values, (0.0, columns as f64), (0.0, rows as f64), label)
}
