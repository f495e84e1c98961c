//! Published results that a run carries, to be drawn and compared beside its own.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::json::wording;

/// The name in a run folder, whatever the file was called.
pub const FILE: &str = "published.json";

/// Results of a publication, as curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Where the numbers come from: publication, figure or table, files and their licence.
    pub source: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A published curve, or a cloud of points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Its name in legends; several curves may share one, as the seeds of a row do.
    pub label: String,
    /// The label of what it stands beside in the run: an estimator, a value of an axis. It takes its colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// Numbers by the name that the same quantity has in `metrics.jsonl`; equally many each, null where one is missing.
    pub columns: IndexMap<String, Vec<Option<f64>>>,
}

impl Published {
    /// Reads the JSON of `file`.
    ///
    /// # Errors
    /// If it is not of this form, or the columns of a curve are not equally long.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let legal = "see `published` in docs/configuration.md";
        let refuse = |path: String, found: String| Error::input(file, path, found, legal);
        let value = files::parse_json(bytes).map_err(|e| refuse(String::new(), format!("not JSON: {e}")))?;
        let published: Self = serde_path_to_error::deserialize(value).map_err(|e| {
            let (found, wanted) = wording::plain(&e.inner().to_string());
            let found = if wanted.is_empty() { found } else { format!("{found}; {wanted}") };
            refuse(wording::place(e.path()), found)
        })?;
        for (i, curve) in published.curves.iter().enumerate() {
            let lengths: Vec<usize> = curve.columns.values().map(Vec::len).collect();
            if lengths.is_empty() || lengths.iter().any(|l| *l != lengths[0]) {
                let found = format!("found columns of {lengths:?} numbers");
                return Err(refuse(format!("curves[{i}].columns"), found));
            }
        }
        Ok(published)
    }

    /// What the run in `folder` carries; none if it carries nothing.
    ///
    /// # Errors
    /// As [`Self::parse`], or if the file cannot be read.
    pub fn of_run(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        Self::parse(&path.display().to_string(), &files::read_bytes(&path)?).map(Some)
    }

    /// The curves beside `label`.
    pub fn beside<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a Curve> {
        self.curves.iter().filter(move |c| c.beside.as_deref() == Some(label))
    }
}

impl Curve {
    /// The points (x, y) of two columns; none if it lacks either, and without those where a number is missing.
    #[must_use]
    pub fn points(&self, x: &str, y: &str) -> Option<Vec<(f64, f64)>> {
        let pairs = self.columns.get(x)?.iter().zip(self.columns.get(y)?);
        Some(pairs.filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_read_with_its_gaps() {
        let text = r#"{ "source": "a paper", "curves": [
            { "label": "theirs", "beside": "n1", "columns": { "x": [1, 2, 3], "y": [0.5, null, 0.25] } }] }"#;
        let published = Published::parse("file.json", text.as_bytes()).unwrap();
        let curve = published.beside("n1").next().unwrap();
        assert_eq!(curve.points("x", "y").unwrap(), [(1.0, 0.5), (3.0, 0.25)]);
        assert_eq!(curve.points("x", "z"), None);
        assert_eq!(published.beside("n2").count(), 0);
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let uneven =
            r#"{ "source": "", "curves": [{ "label": "a", "columns": { "x": [1, 2], "y": [1] } }] }"#;
        let unknown = r#"{ "source": "", "curves": [{ "label": "a", "x": [1] }] }"#;
        let trailing = r#"{ "source": "", "curves": [] } and more"#;
        let twice = r#"{ "source": "", "curves": [], "curves": [] }"#;
        for (text, place) in [
            (uneven, "curves[0].columns"),
            (unknown, "curves[0].x"),
            ("[1", "file.json"),
            (trailing, "trailing characters"),
            (twice, "`curves` twice"),
        ] {
            let error = Published::parse("file.json", text.as_bytes()).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(place), "{error}");
        }
    }
}
