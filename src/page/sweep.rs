//! The headline numbers of a sweep.

use std::collections::BTreeSet;
use std::path::Path;

use super::row::{Row, at_epoch, spread};
use crate::experiment::sweep::record::{HISTORY, SweepAxis, SweepPoint, SweepRun, SweepSummary};
use crate::experiment::train::record::Epoch;
use crate::names::{number, value_label};
use crate::published::{Curve, Published};
use crate::records::read_metrics;

/// The measures of each point beside the published ones, and its runs epoch by epoch; of a long sweep the best points of each line.
pub fn rows(folder: &Path, summary: &SweepSummary, published: Option<&Published>) -> Vec<Row> {
    // More numbers than this are for the figure.
    const MOST: usize = 20;
    if summary.points.len() > MOST
        && let Some(lines) = summary.axes.iter().find(|axis| Some(&axis.path) == summary.lines.as_ref())
    {
        return best_points(summary, lines, published);
    }
    let histories = histories(folder);
    let epochs =
        histories.iter().filter_map(|(_, epochs)| Some(epochs.last()?.epoch as f64)).reduce(f64::max);
    let mut rows = Vec::new();
    for point in &summary.points {
        let label = point.values.values().map(value_label).collect::<Vec<_>>().join(", ");
        for (measure, interval) in &point.measures {
            let (scale, percent) = unit(measure);
            let ours = interval.map_or_else(
                || "–".into(),
                |i| {
                    let [mean, low, high] = [i.mean, i.low, i.high].map(|v| number(scale * v));
                    if point.runs == 1 { mean } else { format!("{mean} ({low} to {high})") }
                },
            );
            let diverged = match point.failures {
                0 => String::new(),
                n => format!(", {n} diverged"),
            };
            let runs = match point.runs {
                1 => format!("one run{diverged}"),
                n => format!("mean and {} of {n} runs{diverged}", point.spread_name()),
            };
            // Theirs may have gone on for longer.
            let alike = |curve: &Curve| {
                let until = |p: &(f64, f64)| epochs.is_none_or(|last| p.0 <= last);
                curve.points("epoch", measure)?.into_iter().rfind(until).map(|p| p.1)
            };
            let theirs: Vec<f64> =
                published.iter().flat_map(|p| p.beside(&label)).filter_map(alike).collect();
            let when = epochs
                .filter(|_| !theirs.is_empty())
                .map_or_else(String::new, |n| format!(" after epoch {n}"));
            let quantity = format!("{label}: {}{percent}{when}, {runs}", measure.replace('_', " "));
            rows.push(Row::new(quantity, ours, spread(&theirs, scale)));
        }
        let own: Vec<&[Epoch]> = histories
            .iter()
            .filter(|(run, _)| run.values == point.values)
            .map(|(_, epochs)| &epochs[..])
            .collect();
        let theirs: Vec<&Curve> = published.iter().flat_map(|p| p.beside(&label)).collect();
        let told = history(&own, &theirs).into_iter();
        rows.extend(told.map(|(what, text)| Row::new(format!("{label}: {what}"), text, None)));
    }
    rows
}

/// What the runs of a point say of their epochs: a quantity, and what was seen.
fn history(own: &[&[Epoch]], theirs: &[&Curve]) -> Vec<(String, String)> {
    let mut told = Vec::new();
    if let Some(text) = warned(own.iter().copied().flatten()) {
        told.push(("epochs of these runs that warn, and how the last one does".to_owned(), text));
    }
    let accuracy = |epoch: &Epoch| (epoch.epoch as f64, epoch.test_accuracy);
    let accuracies: Vec<Vec<(f64, f64)>> =
        own.iter().map(|epochs| epochs.iter().map(accuracy).collect()).collect();
    let epochs = beside(&accuracies, theirs);
    if let Some(text) = by_epoch(&epochs) {
        let what = "epochs after which the mean test accuracy is not below all published runs";
        told.push((what.to_owned(), text));
    }
    if let Some(points) = above(&epochs) {
        let what = format!(
            "mean test accuracy less that of the published runs that learnt, average over {} epochs (points)",
            epochs.len()
        );
        told.push((what, number(points)));
    }
    told
}

/// How many epochs warn, and the last warning; none if none does.
fn warned<'a>(epochs: impl Iterator<Item = &'a Epoch>) -> Option<String> {
    let (mut count, mut warn, mut last) = (0, 0, None);
    for epoch in epochs {
        count += 1;
        if let Some(text) = epoch.warnings.last() {
            warn += 1;
            last = Some(text);
        }
    }
    last.map(|text| format!("{warn} of {count}: {text}"))
}

/// Test accuracies after one epoch: ours beside the published ones.
struct Beside {
    epoch: f64,
    /// The mean of our runs.
    ours: f64,
    /// Of the published runs those that learnt.
    theirs: Vec<f64>,
    /// How many have failed, at less than half the best: they are no measure.
    failed: usize,
}

/// The epochs that all of our runs, (epoch, accuracy) each, and some published ones have come to.
fn beside(ours: &[Vec<(f64, f64)>], theirs: &[&Curve]) -> Vec<Beside> {
    let common = ours.iter().map(Vec::len).min().unwrap_or(0);
    let after = |i: usize| {
        let epoch = ours[0][i].0;
        let published = at_epoch(theirs.iter().copied(), epoch, "test_accuracy");
        let best = published.iter().copied().reduce(f64::max)?;
        let (theirs, failed): (Vec<f64>, Vec<f64>) = published.into_iter().partition(|a| 2.0 * a >= best);
        let mean = ours.iter().map(|run| run[i].1).sum::<f64>() / ours.len() as f64;
        Some(Beside { epoch, ours: mean, theirs, failed: failed.len() })
    };
    (0..common).filter_map(after).collect()
}

/// After how many epochs ours is not below all of theirs, and by how much it is after the others.
fn by_epoch(epochs: &[Beside]) -> Option<String> {
    // More epochs than this are summed up.
    const MOST: usize = 3;
    let short: Vec<(f64, f64)> = epochs
        .iter()
        .map(|e| (e.epoch, 100.0 * (e.theirs.iter().copied().fold(f64::INFINITY, f64::min) - e.ours)))
        .filter(|(_, below)| *below > 0.0)
        .collect();
    let most_failed = epochs.iter().max_by_key(|e| e.failed)?;
    let mut text = format!("{} of {}", epochs.len() - short.len(), epochs.len());
    if most_failed.failed > 0 {
        let all = most_failed.failed + most_failed.theirs.len();
        text += &format!(", without {} published of {all} that failed", most_failed.failed);
    }
    if short.len() > MOST {
        let (worst, most) = short.iter().copied().fold((0.0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        let epochs: Vec<String> = short.iter().map(|(epoch, _)| epoch.to_string()).collect();
        let most = number(most);
        text +=
            &format!("; below after epochs {}, by {most} points at most (epoch {worst})", epochs.join(", "));
    } else if !short.is_empty() {
        let told = |(epoch, by): &(f64, f64)| format!("{} points below after epoch {epoch}", number(*by));
        text += &format!("; {}", short.iter().map(told).collect::<Vec<_>>().join(", "));
    }
    Some(text)
}

/// By how many points ours lies above the mean of theirs, on average over the epochs.
fn above(epochs: &[Beside]) -> Option<f64> {
    let difference = |e: &Beside| e.ours - e.theirs.iter().sum::<f64>() / e.theirs.len() as f64;
    (!epochs.is_empty()).then(|| 100.0 * epochs.iter().map(difference).sum::<f64>() / epochs.len() as f64)
}

/// What a measure is multiplied by, and how that is said.
fn unit(measure: &str) -> (f64, &'static str) {
    if measure.ends_with("accuracy") { (100.0, " (%)") } else { (1.0, "") }
}

/// What the runs of a sweep have in common.
pub struct Together {
    /// Their seeds, in words.
    pub seeds: String,
    /// Seconds that they took together, with the parts before they were resumed if they kept their history.
    pub seconds: f64,
}

/// The runs of a sweep, taken together; none of another kind of run.
#[must_use]
pub fn together(folder: &Path) -> Option<Together> {
    let runs: Vec<SweepRun> = read_metrics(folder).ok()?;
    let histories = histories(folder);
    let epochs = |run: &SweepRun| {
        let (_, epochs) = histories.iter().find(|(with, _)| with.key == run.key)?;
        Some(epochs.iter().map(|epoch| epoch.seconds).sum())
    };
    Some(Together {
        seeds: seeds(&runs.iter().map(|run| run.seed).collect()),
        seconds: runs.iter().map(|run| epochs(run).unwrap_or(run.seconds)).sum(),
    })
}

fn seeds(seeds: &BTreeSet<u64>) -> String {
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) if first != last && last - first == seeds.len() as u64 - 1 => {
            format!("seeds {first} to {last}")
        }
        _ => {
            let listed: Vec<String> = seeds.iter().map(u64::to_string).collect();
            format!("seed{} {}", if listed.len() == 1 { "" } else { "s" }, listed.join(", "))
        }
    }
}

/// The runs of a sweep that kept their history, with it.
fn histories(folder: &Path) -> Vec<(SweepRun, Vec<Epoch>)> {
    let runs: Vec<SweepRun> = read_metrics(folder).unwrap_or_default();
    let history = |run: &SweepRun| read_metrics(&folder.join(HISTORY).join(&run.key)).ok();
    runs.into_iter().filter_map(|run| history(&run).map(|epochs| (run, epochs))).collect()
}

/// The best value of each measure on each line, the least of errors and losses and the largest of others, and where it lies.
fn best_points(summary: &SweepSummary, lines: &SweepAxis, published: Option<&Published>) -> Vec<Row> {
    let name = summary.x.rsplit('.').next().unwrap_or(&summary.x);
    let measures: Vec<&String> = summary.points.first().map_or(Vec::new(), |p| p.measures.keys().collect());
    let mut rows = Vec::new();
    for line in lines.values.iter().map(value_label) {
        let own: Vec<&SweepPoint> =
            summary.points.iter().filter(|p| value_label(&p.values[&lines.path]) == line).collect();
        for measure in &measures {
            let (scale, percent) = unit(measure);
            let lower = measure.ends_with("error") || measure.ends_with("loss");
            let (best, sign) = if lower { ("least", -1.0) } else { ("largest", 1.0) };
            let shown = |points: Vec<(f64, f64)>| {
                let best = points.into_iter().max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)))?;
                Some(format!("{} at {}", number(scale * best.1), number(best.0)))
            };
            let value = |p: &&SweepPoint| Some((p.values[&summary.x].as_f64()?, p.measures[*measure]?.mean));
            let ours = shown(own.iter().filter_map(value).collect()).unwrap_or_else(|| "–".into());
            let column = if *measure == "cosine" { "total_cosine" } else { measure };
            let theirs = published.iter().flat_map(|p| p.beside(&line)).find_map(|c| c.points(name, column));
            let what = measure.replace('_', " ");
            rows.push(Row::new(
                format!("{line}: {best} mean {what}{percent}, and the {name} where"),
                ours,
                theirs.and_then(shown),
            ));
        }
        let diverged = own.iter().filter(|p| p.failures > 0);
        let diverged: Vec<String> = diverged
            .map(|p| {
                let at = p.values[&summary.x].as_f64().map_or_else(|| "–".into(), number);
                format!("{} of {} at {at}", p.failures, p.runs)
            })
            .collect();
        if !diverged.is_empty() {
            let quantity = format!("{line}: runs that diverged, and the {name} where");
            rows.push(Row::new(quantity, diverged.join(", "), None));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use serde_json::json;

    use super::*;
    use crate::bootstrap::Interval;
    use crate::experiment::sweep::record::Drawing;

    #[test]
    fn of_errors_the_least_is_the_best() {
        let point = |x: f64, error: f64, cosine: f64| {
            let measured =
                |(name, mean): (&str, f64)| (name.to_owned(), Some(Interval { mean, low: mean, high: mean }));
            SweepPoint {
                values: [("points".to_owned(), json!(x)), ("case".to_owned(), json!("a"))].into(),
                runs: 1,
                failures: 0,
                measures: [("relative_error", error), ("cosine", cosine)].map(measured).into(),
                reached: None,
            }
        };
        let lines = SweepAxis { path: "case".into(), values: vec![json!("a")] };
        let summary = SweepSummary {
            axes: vec![lines.clone()],
            x: "points".into(),
            lines: Some("case".into()),
            draw: Drawing::Curves,
            labels: [].into(),
            runs: 2,
            failures: 0,
            wall_seconds: 0.0,
            training_seconds: 0.0,
            yield_accuracy: None,
            points: vec![point(1.0, 0.2, 0.9), point(2.0, 0.01, 0.99)],
        };
        let best = |what: &str, ours: &str| Row::new(format!("a: {what}, and the points where"), ours, None);
        let expected =
            [best("least mean relative error", "0.01 at 2"), best("largest mean cosine", "0.99 at 2")];
        assert_eq!(best_points(&summary, &lines, None), expected);
    }

    #[test]
    fn seeds_are_named_shortly() {
        let told =
            [vec![3], vec![0, 1], vec![4, 2, 3], vec![1, 7]].map(|list| seeds(&list.into_iter().collect()));
        assert_eq!(told, ["seed 3", "seeds 0 to 1", "seeds 2 to 4", "seeds 1, 7"]);
    }

    #[test]
    fn epochs_that_fall_short_of_every_published_run_are_told() {
        let curve = |accuracies: [f64; 2]| Curve {
            label: "published".into(),
            beside: None,
            columns: [("epoch", vec![1.0, 2.0]), ("test_accuracy", accuracies.to_vec())]
                .map(|(name, values)| (name.to_owned(), values.into_iter().map(Some).collect()))
                .into(),
        };
        let ours = [vec![(1.0, 0.8), (2.0, 0.9), (3.0, 0.1)], vec![(1.0, 0.7), (2.0, 0.92)]];
        let theirs = [curve([0.75, 0.93]), curve([0.9, 0.94])];
        let theirs: Vec<&Curve> = theirs.iter().collect();
        assert_eq!(by_epoch(&beside(&ours, &theirs)).unwrap(), "1 of 2; 2 points below after epoch 2");
        // One that fails is no measure; where all are at chance, chance is.
        let failed = [curve([0.75, 0.1]), curve([0.9, 0.91])];
        let failed: Vec<&Curve> = failed.iter().collect();
        assert_eq!(
            by_epoch(&beside(&ours, &failed)).unwrap(),
            "2 of 2, without 1 published of 2 that failed"
        );
        assert_eq!(
            by_epoch(&beside(&[vec![(1.0, 0.1)]], &[&curve([0.11, 0.0])])).unwrap(),
            "0 of 1; 1 points below after epoch 1"
        );
        // Ours 0.75 and 0.91, theirs 0.825 and 0.935, or without the failed one 0.91.
        assert_relative_eq!(above(&beside(&ours, &theirs)).unwrap(), -5.0, epsilon = 1e-10);
        assert_relative_eq!(above(&beside(&ours, &failed)).unwrap(), -3.75, epsilon = 1e-10);
        assert_eq!(above(&[]), None);
        // Many are summed up.
        let long = |accuracy: f64| (1..=5).map(|epoch| (f64::from(epoch), accuracy)).collect::<Vec<_>>();
        let better = |by: f64| long(0.9).into_iter().map(|p| p.1 + by * p.0).map(Some).collect();
        let columns =
            [("epoch", long(0.0).iter().map(|p| Some(p.0)).collect()), ("test_accuracy", better(0.01))];
        let columns = columns.map(|(name, values): (&str, Vec<_>)| (name.to_owned(), values)).into();
        let better = Curve { label: "published".into(), beside: None, columns };
        let told = "1 of 5; below after epochs 2, 3, 4, 5, by 4 points at most (epoch 5)";
        assert_eq!(by_epoch(&beside(&[long(0.91)], &[&better])).unwrap(), told);
        assert_eq!(by_epoch(&beside(&ours, &[])), None);
        assert_eq!(by_epoch(&beside(&[], &theirs)), None);
    }
}
