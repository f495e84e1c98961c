//! Figure of a `sweep` whose runs keep their history: accuracy after each epoch, one line a run.

use std::path::Path;

use super::beside;
use crate::error::Result;
use crate::published::Published;
use crate::records::{Epoch, HISTORY, SweepRun, read_metrics, value_label};
use crate::report::{Figure, Mark, Panel, Series};

/// Draws `epochs` from the metrics of each run.
///
/// # Errors
/// If a file is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let runs: Vec<SweepRun> = read_metrics(folder)?;
    let mut test = Panel::new("epoch", "test accuracy (%)");
    let mut train = Panel::new("epoch", "training accuracy (%)");
    let mut drawn: Vec<usize> = Vec::new();
    for run in &runs {
        let own = folder.join(HISTORY).join(&run.key);
        // A run that diverged in its first epoch has none.
        if !own.join("metrics.jsonl").exists() {
            continue;
        }
        let epochs: Vec<Epoch> = read_metrics(&own)?;
        let values: Vec<String> = run.values.values().map(value_label).collect();
        let label = if drawn.contains(&run.point) { String::new() } else { values.join(", ") };
        drawn.push(run.point);
        let line = |accuracy: fn(&Epoch) -> f64| {
            let points = epochs.iter().map(|e| (e.epoch as f64, 100.0 * accuracy(e))).collect();
            Series::new(label.clone(), Mark::LinePoints, points).colour(run.point)
        };
        test = test.series(line(|e| e.test_accuracy));
        train = train.series(line(|e| e.train_accuracy));
    }
    if let Some(mut published) = Published::of_run(folder)? {
        // Of a whole table, the rows that stand here, as far as ours go.
        let here = |label: &str| runs.iter().any(|run| run.values.values().any(|v| v == label));
        published.curves.retain(|curve| curve.beside.as_deref().is_some_and(here));
        let ours = |panel: &Panel| {
            panel.series.iter().flat_map(|s| &s.points).fold(0.0_f64, |most, p| most.max(p.0))
        };
        let last = ours(&test);
        for curve in &mut published.curves {
            "published".clone_into(&mut curve.label);
            let epochs = curve.columns.get("epoch").cloned().unwrap_or_default();
            let kept = epochs.iter().take_while(|e| e.is_some_and(|e| e <= last)).count();
            curve.columns.values_mut().for_each(|column| column.truncate(kept));
        }
        let percent = |accuracy: f64| 100.0 * accuracy;
        test = beside(test, Some(&published), ("epoch", "test_accuracy"), |_| None, percent);
        train = beside(train, Some(&published), ("epoch", "train_accuracy"), |_| None, percent);
    }
    Figure::new().panel(test).panel(train).write(folder, "epochs").map(drop)
}
