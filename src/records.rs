//! Records as they lie in a run folder: the reader of `metrics.jsonl`, whatever its lines are.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;
use crate::json::wording;

/// The metrics of a run, line by line; of a last line that is torn nothing.
///
/// # Errors
/// If the file is missing, or a line is not of the expected kind.
pub fn read_metrics<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let path = folder.join("metrics.jsonl");
    parse_metrics(&files::read_text(&path)?, &path.display().to_string())
}

/// The same of their text; messages call its place `file`.
pub(crate) fn parse_metrics<T: DeserializeOwned>(text: &str, file: &str) -> Result<Vec<T>> {
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let place = format!("line {}", number + 1);
            let (found, wanted) = wording::plain(&e.to_string());
            let legal = if wanted.is_empty() { "a line written by holograd".to_owned() } else { wanted };
            Error::input(file, place, found, legal)
        })
    };
    // A line without an end is being written, or was when a process was killed.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let torn = serde_json::from_str::<Value>(&text[whole..]).is_err();
    text[..if torn { whole } else { text.len() }].lines().enumerate().map(parse).collect()
}
