//! Figure of a `gradient` run: relative error of each estimator, parameter by parameter.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files;
use crate::gradient::compare::Agreement;
use crate::names;
use crate::plot::{Figure, Mark, Panel, Print, Series};

/// What the figure needs of an entry of `comparison.json`.
#[derive(Deserialize)]
struct Entry {
    parameters: Option<IndexMap<String, Agreement>>,
}

/// Draws `gradient` from `comparison.json`.
///
/// # Errors
/// If the comparison is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let path = folder.join("comparison.json");
    let text = files::read_text(&path)?;
    let entries: IndexMap<String, Entry> = serde_json::from_str(&text).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "a comparison written by holograd")
    })?;
    let names: Vec<&String> =
        entries.values().find_map(|e| e.parameters.as_ref()).map_or(Vec::new(), |p| p.keys().collect());
    let shown = names.iter().map(|name| names::parameter(name)).collect();
    let mut panel = Panel::new("parameters", "relative gradient error").log_y().x_names(shown);
    let compared = entries.values().filter(|entry| entry.parameters.is_some()).count() as f64;
    for (index, (label, entry)) in entries.iter().filter(|(_, entry)| entry.parameters.is_some()).enumerate()
    {
        // Side by side in the place of the parameter.
        let aside = 0.5 * (index as f64 - (compared - 1.0) / 2.0) / compared;
        let error = |(i, a): (usize, &Agreement)| {
            Some((i as f64 + 1.0 + aside, a.relative_error.filter(|e| *e > 0.0)?))
        };
        let parameters = entry.parameters.iter().flat_map(IndexMap::values).enumerate();
        let points: Vec<(f64, f64)> = parameters.filter_map(error).collect();
        if !points.is_empty() {
            panel = panel.series(Series::new(names::shown(label), Mark::Points, points));
        }
    }
    Figure::new().panel_size(620, 360).panel(panel).write(folder, "gradient", print)?;
    Ok(())
}
