//! The figures of each kind of experiment, drawn from its run folder alone.

mod amplitude;
mod frequency;
mod gradient;
mod history;
mod sweep;
mod trace;
mod training;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;

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
    let experiment: Value = serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "an experiment written by holograd")
    })?;
    match experiment["kind"].as_str() {
        Some("train") => training::draw(folder),
        Some("gradient") => gradient::draw(folder),
        Some("trace") => trace::draw(folder),
        Some("amplitude") => amplitude::draw(folder),
        Some("frequency") => frequency::draw(folder),
        Some("sweep") => {
            sweep::draw(folder)?;
            if experiment["history"] == true { history::draw(folder) } else { Ok(()) }
        }
        other => {
            let found = format!("found {other:?}");
            Err(Error::input(path.display().to_string(), "kind", found, "a kind that this version knows"))
        }
    }
}

/// The points (x, y) of the rows that have both.
fn points<R>(rows: &[R], x: impl Fn(&R) -> Option<f64>, y: impl Fn(&R) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((x(row)?, y(row)?))).collect()
}
