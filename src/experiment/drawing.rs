//! The figures of a run, of whatever kind, drawn from its folder alone.

use std::path::Path;

use serde_json::Value;

use super::sink::EXPERIMENT;
use super::{kinds, place};
use crate::error::{Error, Result};
use crate::files;
use crate::plot::Print;

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
    let path = folder.join(EXPERIMENT);
    if !path.exists() {
        let legal = "give the folder of a run: it holds experiment.json and metrics.jsonl";
        return Err(Error::input(folder.display().to_string(), "", "found no run there", legal));
    }
    place::refuse_links(folder)?;
    let experiment: Value = serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "an experiment written by holograd")
    })?;
    let kind = experiment["kind"].as_str();
    kind.and_then(|kind| kinds::draw(kind, folder, print)).unwrap_or_else(|| {
        let found = format!("found {kind:?}");
        Err(Error::input(path.display().to_string(), "kind", found, "a kind that this version knows"))
    })
}
