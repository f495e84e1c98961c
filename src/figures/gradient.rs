//! Figure of a `gradient` run: relative error of each estimator, parameter by parameter.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files;
use crate::gradient::compare::Agreement;
use crate::report::{Figure, Mark, Panel, Series};

/// What the figure needs of an entry of `comparison.json`.
#[derive(Deserialize)]
struct Entry {
    parameters: Option<IndexMap<String, Agreement>>,
}

/// Draws `gradient` from `comparison.json`.
///
/// # Errors
/// If the comparison is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let path = folder.join("comparison.json");
    let text = files::read_text(&path)?;
    let entries: IndexMap<String, Entry> = serde_json::from_str(&text).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "a comparison written by holograd")
    })?;
    let names: Vec<&String> =
        entries.values().find_map(|e| e.parameters.as_ref()).map_or(Vec::new(), |p| p.keys().collect());
    let legend: Vec<String> = names.iter().enumerate().map(|(i, n)| format!("{} {n}", i + 1)).collect();
    let mut panel = Panel::new(legend.join(",  "), "relative gradient error").log_y();
    for (label, entry) in &entries {
        let Some(parameters) = &entry.parameters else { continue };
        let error =
            |(i, a): (usize, &Agreement)| Some((i as f64 + 1.0, a.relative_error.filter(|e| *e > 0.0)?));
        let points: Vec<(f64, f64)> = parameters.values().enumerate().filter_map(error).collect();
        if !points.is_empty() {
            panel = panel.series(Series::new(label.as_str(), Mark::Points, points));
        }
    }
    Figure::new().panel_size(620, 360).panel(panel).write(folder, "gradient")?;
    Ok(())
}
