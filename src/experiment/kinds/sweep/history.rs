//! Figure of a `sweep` whose runs keep their history: accuracy, and what else is measured, after each epoch, one line a run or,
//! where there are many points, one line a point.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{once, repeat};
use std::path::Path;

use serde_json::Value;

use super::labels;
use super::record::{COST, HISTORY, SweepRun, SweepSummary};
use crate::error::Result;
use crate::figures::beside;
use crate::names;
use crate::plot::{Aside, AsideRow, Figure, Mark, Panel, Print, Series};
use crate::published::Published;
use crate::records::read_metrics;

/// Most points with a line for each run; beyond, a point has one line, the mean of its runs with their range.
const CROWD: usize = 7;

/// Draws `epochs` from the metrics of each run.
///
/// # Errors
/// If a file is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, summary: &SweepSummary, print: &Print) -> Result<()> {
    let runs: Vec<SweepRun> = read_metrics(folder)?;
    let mut measures = vec!["test_accuracy", "train_accuracy"];
    let more = runs.first().into_iter().flat_map(|run| run.measures.keys()).map(String::as_str);
    measures.extend(more.filter(|name| !["test_accuracy", "train_accuracy", COST].contains(name)));
    let mut points: BTreeMap<usize, (&SweepRun, Vec<Vec<Value>>)> = BTreeMap::new();
    for run in &runs {
        let own = folder.join(HISTORY).join(&run.key);
        // A run that diverged in its first epoch has none.
        if own.join("metrics.jsonl").exists() {
            points.entry(run.point).or_insert((run, Vec::new())).1.push(read_metrics(&own)?);
        }
    }
    let crowded = points.len() > CROWD;
    let published = Published::of_run(folder)?;
    let alone = points.len() == 1 && published.is_some();
    // Too many for one panel: one for each value of what the sweep is drawn across.
    let x = summary.axes.iter().find(|axis| crowded && summary.axes.len() > 1 && axis.path == summary.x);
    let facets: Vec<Option<&Value>> = x.map_or(vec![None], |x| x.values.iter().map(Some).collect());
    let mut panels: Vec<(&str, Panel)> = Vec::new();
    for (place, name) in measures.into_iter().enumerate() {
        for facet in &facets {
            // Accuracies are compared with each other, everything else with itself.
            let group = if name.ends_with("accuracy") { 0 } else { place + 1 };
            let mut panel = Panel::new("epoch", labels::quantity(summary, name)).y_group(group);
            panel.title = facet.map(|value| names::titled(&labels::axis(summary, &summary.x), value));
            let here =
                points.values().filter(|(run, _)| facet.is_none() || run.values.get(&summary.x) == *facet);
            for (index, (run, histories)) in here.enumerate() {
                let value = |epoch: &Value| {
                    Some((epoch["epoch"].as_f64()?, names::factor(name) * epoch[name].as_f64()?))
                };
                let lines: Vec<Vec<(f64, f64)>> =
                    histories.iter().map(|epochs| epochs.iter().filter_map(value).collect()).collect();
                let told = run.values.iter().filter(|(path, _)| facet.is_none() || **path != summary.x);
                let told: Vec<String> = told.map(|(_, value)| names::value(value)).collect();
                let label = if alone { "ours, a line a run".to_owned() } else { told.join(", ") };
                if crowded {
                    panel.series.push(mean(&label, &lines).colour(index));
                    continue;
                }
                for (line, label) in lines.into_iter().zip(once(label.as_str()).chain(repeat(""))) {
                    panel.series.push(Series::new(label, Mark::LinePoints, line).colour(index));
                }
            }
            panels.push((name, panel));
        }
    }
    if let Some(mut published) = published {
        // Of a whole table, the rows that stand here, as far as ours go.
        let here = |label: &str| runs.iter().any(|run| run.values.values().any(|v| v == label));
        published.curves.retain(|curve| curve.beside.as_deref().is_some_and(here));
        let ours = |panel: &Panel| {
            panel.series.iter().flat_map(|s| &s.points).fold(0.0_f64, |most, p| most.max(p.0))
        };
        let last = ours(&panels[0].1);
        for curve in &mut published.curves {
            "published".clone_into(&mut curve.label);
            let epochs = curve.columns.get("epoch").cloned().unwrap_or_default();
            let kept = epochs.iter().take_while(|e| e.is_some_and(|e| e <= last)).count();
            curve.columns.values_mut().for_each(|column| column.truncate(kept));
        }
        for (name, panel) in &mut panels {
            let columns = ("epoch", *name);
            let ours = std::mem::take(panel);
            let theirs = beside(ours, Some(&published), columns, |_| None, |y| y * names::factor(name));
            *panel = apart(theirs);
        }
    }
    // What is measured once, at the end, has no history.
    panels.retain(|(_, panel)| panel.series.iter().any(|series| !series.points.is_empty()));
    let mut figure = panels.into_iter().map(|(_, panel)| panel).fold(Figure::new(), Figure::panel);
    let counts: BTreeSet<usize> = points.values().map(|(_, histories)| histories.len()).collect();
    if let (Some(least), Some(most)) = (counts.first(), counts.last()) {
        let n = if least == most { least.to_string() } else { format!("{least} to {most}") };
        figure = match (crowded, *most) {
            (_, 1) => figure,
            (true, _) => {
                figure.note(format!("Markers: mean of n = {n} runs. Bars: from the lowest to the highest."))
            }
            (false, _) => figure.note(format!("Lines: single runs, n = {n} of each colour.")),
        };
    }
    figure.write(folder, "epochs", print).map(drop)
}

/// What was published and lies below ours by more than ours reach apart, as runs that failed do, stands under the frame: to scale
/// it would leave no room for the rest.
fn apart(mut panel: Panel) -> Panel {
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)))
    };
    let of = |panel: &Panel, theirs: bool| {
        let series = panel.series.iter().filter(|s| (s.mark == Mark::Open) == theirs);
        series.flat_map(|s| s.points.clone()).filter(|p| p.1.is_finite()).collect::<Vec<_>>()
    };
    let (low, high) = range(&mut of(&panel, false).iter().map(|p| p.1));
    if low > high {
        // Nothing of ours to measure by.
        return panel;
    }
    let least = low - (high - low);
    let below: Vec<(f64, f64)> = of(&panel, true).into_iter().filter(|p| p.1 < least).collect();
    if below.is_empty() {
        return panel;
    }
    let mut rows: Vec<AsideRow> = Vec::new();
    for series in panel.series.iter_mut().filter(|s| s.mark == Mark::Open) {
        let here =
            series.points.iter().filter(|p| p.1 < least).map(|p| (p.0, String::new())).collect::<Vec<_>>();
        series.points.retain(|p| p.1.is_nan() || p.1 >= least);
        let colour = series.colour.unwrap_or_default();
        match rows.iter_mut().find(|row| row.colour == colour) {
            _ if here.is_empty() => {}
            Some(row) => row.items.extend(here),
            None => rows.push(AsideRow { colour, mark: Mark::Open, items: here }),
        }
    }
    let (lowest, highest) = range(&mut below.iter().map(|p| p.1));
    let label =
        if lowest == highest { format!("{lowest:.1}") } else { format!("{lowest:.1}–{highest:.1}") };
    panel.aside = Some(Aside { label, rows });
    panel
}

/// The mean of lines that begin alike, as far as all of them go, with their range.
fn mean(label: &str, lines: &[Vec<(f64, f64)>]) -> Series {
    let common = lines.iter().map(Vec::len).min().unwrap_or(0);
    let at = |i: usize| lines.iter().map(move |line| line[i].1);
    let points = (0..common).map(|i| (lines[0][i].0, at(i).sum::<f64>() / lines.len() as f64)).collect();
    let range = |i| (at(i).fold(f64::INFINITY, f64::min), at(i).fold(f64::NEG_INFINITY, f64::max));
    Series::new(label, Mark::LinePoints, points).error_bars((0..common).map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_runs_that_failed_leave_room_for_the_others() {
        let ours = vec![(1.0, 94.0), (2.0, 97.0), (3.0, 98.0)];
        let theirs = vec![(1.0, 93.0), (2.0, 91.0), (2.0, 11.0), (3.0, 9.7)];
        let panel = |theirs: Vec<(f64, f64)>| {
            let panel = Panel::new("epoch", "%").series(Series::new("ours", Mark::LinePoints, ours.clone()));
            apart(panel.series(Series::new("published", Mark::Open, theirs).in_black_shaped(0)))
        };
        let drawn = panel(theirs.clone());
        assert_eq!((drawn.series.len(), &drawn.series[0].points), (2, &ours));
        assert_eq!(drawn.series[1].points, theirs[..2]);
        // They stand where no value is read off, in the marker of the published runs, and the band says where they lie.
        let aside = drawn.aside.unwrap();
        assert_eq!(aside.label, "9.7–11.0");
        let row = &aside.rows[0];
        assert_eq!((aside.rows.len(), row.mark, Some(row.colour)), (1, Mark::Open, drawn.series[1].colour));
        assert_eq!(row.items, [(2.0, String::new()), (3.0, String::new())]);
        // Where nothing failed nothing is moved.
        let drawn = panel(theirs[..2].to_vec());
        assert_eq!((drawn.series.len(), drawn.aside), (2, None));
        assert_eq!(drawn.series[1].points, theirs[..2]);
        // Beside nothing of ours all of it stays.
        let drawn = apart(Panel::new("epoch", "%").series(Series::new("", Mark::Open, theirs.clone())));
        assert_eq!((drawn.series.len(), &drawn.series[0].points), (1, &theirs));
    }

    #[test]
    fn many_runs_become_their_mean_and_range_as_far_as_all_of_them_go() {
        let lines = [vec![(1.0, 80.0), (2.0, 90.0), (3.0, 95.0)], vec![(1.0, 70.0), (2.0, 86.0)]];
        let series = mean("two", &lines);
        assert_eq!(series.points, [(1.0, 75.0), (2.0, 88.0)]);
        assert_eq!(series.error_bars, Some(vec![(70.0, 80.0), (86.0, 90.0)]));
    }
}
