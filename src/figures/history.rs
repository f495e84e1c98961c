//! Figure of a `sweep` whose runs keep their history: accuracy, and what else is measured, after each epoch, one line a run.

use std::path::Path;

use serde_json::Value;

use super::{beside, sweep};
use crate::error::Result;
use crate::published::Published;
use crate::records::{COST, HISTORY, SweepRun, read_metrics, value_label};
use crate::report::{Figure, Mark, Panel, Series};

/// Draws `epochs` from the metrics of each run.
///
/// # Errors
/// If a file is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let runs: Vec<SweepRun> = read_metrics(folder)?;
    let summary = sweep::summary(folder)?;
    let mut measures = vec!["test_accuracy", "train_accuracy"];
    let more = runs.first().into_iter().flat_map(|run| run.measures.keys()).map(String::as_str);
    measures.extend(more.filter(|name| !["test_accuracy", "train_accuracy", COST].contains(name)));
    let mut panels: Vec<Panel> =
        measures.iter().map(|name| Panel::new("epoch", sweep::quantity(&summary, name))).collect();
    let mut drawn: Vec<usize> = Vec::new();
    for run in &runs {
        let own = folder.join(HISTORY).join(&run.key);
        // A run that diverged in its first epoch has none.
        if !own.join("metrics.jsonl").exists() {
            continue;
        }
        let epochs: Vec<Value> = read_metrics(&own)?;
        let values: Vec<String> = run.values.values().map(value_label).collect();
        let label = if drawn.contains(&run.point) { String::new() } else { values.join(", ") };
        drawn.push(run.point);
        for (panel, name) in panels.iter_mut().zip(&measures) {
            let point = |epoch: &Value| {
                Some((epoch["epoch"].as_f64()?, sweep::factor(name) * epoch[*name].as_f64()?))
            };
            let line = epochs.iter().filter_map(point).collect();
            panel.series.push(Series::new(label.clone(), Mark::LinePoints, line).colour(run.point));
        }
    }
    if let Some(mut published) = Published::of_run(folder)? {
        // Of a whole table, the rows that stand here, as far as ours go.
        let here = |label: &str| runs.iter().any(|run| run.values.values().any(|v| v == label));
        published.curves.retain(|curve| curve.beside.as_deref().is_some_and(here));
        let ours = |panel: &Panel| {
            panel.series.iter().flat_map(|s| &s.points).fold(0.0_f64, |most, p| most.max(p.0))
        };
        let last = ours(&panels[0]);
        for curve in &mut published.curves {
            "published".clone_into(&mut curve.label);
            let epochs = curve.columns.get("epoch").cloned().unwrap_or_default();
            let kept = epochs.iter().take_while(|e| e.is_some_and(|e| e <= last)).count();
            curve.columns.values_mut().for_each(|column| column.truncate(kept));
        }
        let with = |panel: Panel, name: &str| {
            beside(panel, Some(&published), ("epoch", name), |_| None, |y| y * sweep::factor(name))
        };
        panels = panels.into_iter().zip(&measures).map(|(panel, name)| with(panel, name)).collect();
    }
    // What is measured once, at the end, has no history.
    panels.retain(|panel| panel.series.iter().any(|series| !series.points.is_empty()));
    panels.into_iter().fold(Figure::new(), Figure::panel).write(folder, "epochs").map(drop)
}
