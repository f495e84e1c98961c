//! What measures and axes of a sweep are called for readers.

use super::record::SweepSummary;
use crate::names::{measured, number, shown};

/// What a measure of a sweep is called, with its unit.
pub(crate) fn quantity(summary: &SweepSummary, measure: &str) -> String {
    summary.labels.get(measure).map_or_else(|| measured(measure), |label| shown(label))
}

/// What an axis of a sweep is called: as the experiment says, or by the last part of its path, with the one before where another
/// axis ends alike.
pub(crate) fn axis(summary: &SweepSummary, path: &str) -> String {
    if let Some(label) = summary.labels.get(path) {
        return label.clone();
    }
    let parts: Vec<&str> = path.split('.').filter(|part| !part.starts_with('{')).collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = summary.axes.iter().filter(|axis| last(&axis.path) == last(path)).count();
    match parts[..] {
        [.., before, end] if alike > 1 => format!("{} of {}", shown(end), shown(before)),
        [.., end] => shown(end),
        [] => path.to_owned(),
    }
}

/// What the share of runs that reach an accuracy is called.
pub(crate) fn reached(accuracy: f64) -> String {
    format!("yield: runs of at least {} % (%)", number(100.0 * accuracy))
}
