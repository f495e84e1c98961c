//! The headline numbers of a run, of each kind of experiment, from its folder alone.

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::figures::relaxation;
use crate::published::{Curve, Published};
use crate::records::{
    AmplitudePoint, Axis, ElapsedPoint, Epoch, FrequencyPoint, HISTORY, RelaxationPhase, SweepPoint,
    SweepRun, SweepSummary, read_metrics, value_label,
};

/// A line of the table of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, with its unit.
    pub quantity: String,
    /// What came out.
    pub ours: String,
    /// What was published, if anything.
    pub published: Option<String>,
}

impl Row {
    fn new(quantity: impl Into<String>, ours: impl Into<String>, published: Option<String>) -> Self {
        Self { quantity: quantity.into(), ours: ours.into(), published }
    }
}

/// The table of a run; kinds without one of their own show the numbers of their summary.
///
/// # Errors
/// If a file of the folder is missing or damaged.
pub fn of_run(kind: &str, folder: &Path, summary: &Value) -> Result<Vec<Row>> {
    let published = Published::of_run(folder)?;
    let published = published.as_ref();
    match kind {
        "amplitude" => amplitude(folder, published),
        "relaxation" => relaxation_rows(folder, published.is_some()),
        "elapsed" => elapsed(folder, published),
        "frequency" => frequency(folder),
        "gradient" => Ok(gradient(summary)),
        "train" => train(folder, published),
        "sweep" => Ok(serde_json::from_value(summary.clone())
            .map_or_else(|_| all(summary), |s| sweep(folder, &s, published))),
        _ => Ok(all(summary)),
    }
}

/// A number for readers: four digits, with a power of ten where it needs one.
#[must_use]
pub fn number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 || (1e-3..1e5).contains(&size) {
        let digits = (3.0 - size.max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{x:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{x:.2e}")
    }
}

/// The mean, with the range where there are several.
fn spread(values: &[f64], scale: f64) -> Option<String> {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mean = number(scale * values.iter().sum::<f64>() / values.len() as f64);
    match values.len() {
        0 => None,
        1 => Some(mean),
        n => Some(format!("{mean} ({} to {}, {n} runs)", number(scale * low), number(scale * high))),
    }
}

/// The cosine below which an estimate has turned over.
const TURNED: f64 = 0.999;

/// The first amplitude at which a cosine has turned over.
fn turning_point(points: &[(f64, f64)]) -> Option<f64> {
    points.iter().find(|(_, cosine)| *cosine < TURNED).map(|p| p.0)
}

fn amplitude(folder: &Path, published: Option<&Published>) -> Result<Vec<Row>> {
    let all: Vec<AmplitudePoint> = read_metrics(folder)?;
    let mut labels: Vec<&str> = all.iter().map(|p| p.estimator.as_str()).collect();
    labels.dedup();
    let mut rows = Vec::new();
    let shown = |x: Option<f64>| x.map_or_else(|| "nowhere".into(), number);
    for label in labels {
        let own: Vec<&AmplitudePoint> = all.iter().filter(|p| p.estimator == label).collect();
        let of = |y: fn(&AmplitudePoint) -> Option<f64>| -> Vec<(f64, f64)> {
            own.iter().filter_map(|p| Some((p.amplitude, y(p)?))).collect()
        };
        let (cosines, distances) = (of(|p| p.total_cosine), of(|p| p.distance));
        let theirs =
            |y: &str| published.and_then(|p| p.beside(label).next()).and_then(|c| c.points("amplitude", y));
        let turned = turning_point(&cosines);
        rows.push(Row::new(
            format!("{label}: amplitude at which the cosine (all parameters) first lies below {TURNED}"),
            shown(turned),
            theirs("total_cosine").map(|t| shown(turning_point(&t))),
        ));
        let radii: Vec<f64> = own
            .iter()
            .filter(|p| turned.is_none_or(|t| p.amplitude < t))
            .filter_map(|p| p.radius_of_convergence)
            .collect();
        if !radii.is_empty() {
            let mut sorted = radii;
            sorted.sort_by(f64::total_cmp);
            let text = format!(
                "{} ({} to {})",
                number(sorted[sorted.len() / 2]),
                number(sorted[0]),
                number(sorted[sorted.len() - 1])
            );
            rows.push(Row::new(
                format!("{label}: radius of convergence estimated below it, median (range)"),
                text,
                None,
            ));
        }
        let pairs =
            [("cosine", &cosines, theirs("total_cosine")), ("distance", &distances, theirs("distance"))];
        for (what, ours, theirs) in pairs {
            let Some(theirs) = theirs else { continue };
            for (limit, told) in [(0.5, " for |β| ≤ 0.5"), (f64::INFINITY, "")] {
                // Amplitudes are told apart to what single precision leaves of them.
                let difference = |(x, y): &(f64, f64)| {
                    let near = theirs.iter().find(|t| (t.0 / x - 1.0).abs() < 1e-5)?;
                    (*x <= limit).then_some((y - near.1).abs())
                };
                let largest = ours.iter().filter_map(difference).reduce(f64::max);
                let text = largest.map_or_else(|| "no common amplitude".into(), number);
                rows.push(Row::new(
                    format!("{label}: largest difference of the {what} from the published one{told}"),
                    text,
                    None,
                ));
            }
        }
    }
    Ok(rows)
}

fn relaxation_rows(folder: &Path, has_published: bool) -> Result<Vec<Row>> {
    let phases: Vec<RelaxationPhase> = read_metrics(folder)?;
    let mut rows = Vec::new();
    for (amplitude, distance) in relaxation::distances(folder)? {
        let own: Vec<&RelaxationPhase> =
            phases.iter().filter(|p| p.point.is_some() && p.amplitude == amplitude).collect();
        if has_published && let Some(distance) = distance {
            let quantity = format!(
                "|β| = {amplitude}: largest distance of an equilibrium from the published one (Re or Im of a rate)"
            );
            rows.push(Row::new(quantity, number(distance), None));
        }
        // Steps after which the state moves by less than 10⁻⁶, at the slowest point.
        let steps = |p: &&RelaxationPhase| p.residuals.iter().position(|r| *r < 1e-6).map(|s| s + 1);
        let slowest = own.iter().map(steps).try_fold(0, |most, s| s.map(|s| s.max(most)));
        let text = slowest.map_or_else(|| "not reached".into(), |s| s.to_string());
        rows.push(Row::new(
            format!("|β| = {amplitude}: steps until the state moves by less than 1e-6, at the slowest point"),
            text,
            None,
        ));
    }
    Ok(rows)
}

fn frequency(folder: &Path) -> Result<Vec<Row>> {
    let points: Vec<FrequencyPoint> = read_metrics(folder)?;
    let row = |p: &FrequencyPoint| {
        let quantity =
            format!("period {} τ, {} extrapolated: relative error (theory)", p.period, p.richardson);
        Row::new(quantity, format!("{} ({})", number(p.relative_error), number(p.theory)), None)
    };
    Ok(points.iter().map(row).collect())
}

/// The cosine of each estimator at its end, and the published one after as many periods.
fn elapsed(folder: &Path, published: Option<&Published>) -> Result<Vec<Row>> {
    let points: Vec<ElapsedPoint> = read_metrics(folder)?;
    // Close to 1, the distance from 1 is what counts.
    let shown = |cosine: f64| format!("{} (1 − {})", (cosine * 1e6).round() / 1e6, number(1.0 - cosine));
    let row = |last: &ElapsedPoint| {
        let curves = published.iter().flat_map(|p| p.beside(&last.estimator));
        let mut theirs = curves.filter_map(|curve| curve.points("period", "total_cosine"));
        let theirs = theirs.find_map(|points| points.into_iter().find(|p| p.0 == last.period as f64));
        Row::new(
            format!(
                "{}: cosine to the adjoint (all parameters) after {} τ, {} evaluations",
                last.estimator,
                number(last.elapsed),
                last.rhs_evaluations
            ),
            last.total_cosine.map_or_else(|| "–".into(), shown),
            theirs.map(|(_, cosine)| shown(cosine)),
        )
    };
    let ends = points.chunk_by(|a, b| a.estimator == b.estimator);
    Ok(ends.filter_map(|own| own.last()).map(row).collect())
}

fn gradient(summary: &Value) -> Vec<Row> {
    let errors = summary["relative_error"].as_object().into_iter().flatten();
    let row = |(label, error): (&String, &Value)| {
        let text = error.as_f64().map_or_else(|| "–".into(), number);
        Row::new(format!("{label}: relative error of the whole gradient"), text, None)
    };
    errors.map(row).collect()
}

/// The measures of a published curve at an epoch, over all curves given.
fn at_epoch<'a>(curves: impl Iterator<Item = &'a Curve>, epoch: f64, measure: &str) -> Vec<f64> {
    let of_curve = |curve: &Curve| curve.points("epoch", measure)?.iter().find(|p| p.0 == epoch).map(|p| p.1);
    curves.filter_map(of_curve).collect()
}

fn train(folder: &Path, published: Option<&Published>) -> Result<Vec<Row>> {
    let epochs: Vec<Epoch> = read_metrics(folder)?;
    let Some(last) = epochs.last() else { return Ok(Vec::new()) };
    let row = |quantity: &str, measure: &str, ours: f64, scale: f64| {
        let theirs = at_epoch(published.iter().flat_map(|p| &p.curves), last.epoch as f64, measure);
        let quantity = format!("{quantity} after epoch {}", last.epoch);
        Row::new(quantity, number(scale * ours), spread(&theirs, scale))
    };
    let mut rows = vec![
        row("test accuracy (%)", "test_accuracy", last.test_accuracy, 100.0),
        row("training accuracy (%)", "train_accuracy", last.train_accuracy, 100.0),
        row("test loss (nats)", "test_loss", last.test_loss, 1.0),
    ];
    if let Some(cosine) = last.cosine {
        rows.push(Row::new("cosine of the gradient to the adjoint", number(cosine), None));
    }
    rows.push(Row::new("evaluations of the right-hand side", number(last.rhs_evaluations as f64), None));
    Ok(rows)
}

fn sweep(folder: &Path, summary: &SweepSummary, published: Option<&Published>) -> Vec<Row> {
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
        let own: Vec<&(SweepRun, Vec<Epoch>)> =
            histories.iter().filter(|(run, _)| run.values == point.values).collect();
        rows.extend(warned(own.iter().flat_map(|(_, epochs)| epochs)).map(|text| {
            let quantity = format!("{label}: epochs of these runs that warn, and how the last one does");
            Row::new(quantity, text, None)
        }));
        let accuracy = |epoch: &Epoch| (epoch.epoch as f64, epoch.test_accuracy);
        let own: Vec<Vec<(f64, f64)>> =
            own.iter().map(|(_, epochs)| epochs.iter().map(accuracy).collect()).collect();
        let theirs: Vec<&Curve> = published.iter().flat_map(|p| p.beside(&label)).collect();
        rows.extend(by_epoch(&own, &theirs).map(|text| {
            let quantity =
                format!("{label}: epochs after which the mean test accuracy is not below all published runs");
            Row::new(quantity, text, None)
        }));
    }
    rows
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

/// After how many epochs the mean accuracy of our runs, (epoch, accuracy) each, is not below all of theirs, and by how much it is
/// after the others. Of theirs, those that have failed, at less than half the best, are no measure.
fn by_epoch(ours: &[Vec<(f64, f64)>], theirs: &[&Curve]) -> Option<String> {
    // More epochs than this are summed up.
    const MOST: usize = 3;
    let common = ours.iter().map(Vec::len).min()?;
    let (mut compared, mut short, mut failed) = (0, Vec::new(), 0);
    for i in 0..common {
        let epoch = ours[0][i].0;
        let published = at_epoch(theirs.iter().copied(), epoch, "test_accuracy");
        let best = published.iter().copied().fold(0.0, f64::max);
        let learnt = || published.iter().copied().filter(|accuracy| 2.0 * accuracy >= best);
        let Some(lowest) = learnt().reduce(f64::min) else { continue };
        failed = failed.max(published.len() - learnt().count());
        let mean = ours.iter().map(|run| run[i].1).sum::<f64>() / ours.len() as f64;
        compared += 1;
        if mean < lowest {
            short.push((epoch, 100.0 * (lowest - mean)));
        }
    }
    if compared == 0 {
        return None;
    }
    let mut text = format!("{} of {compared}", compared - short.len());
    if failed > 0 {
        text += &format!(", without {failed} published of {} that failed", theirs.len());
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

/// What a measure is multiplied by, and how that is said.
fn unit(measure: &str) -> (f64, &'static str) {
    if measure.ends_with("accuracy") { (100.0, " (%)") } else { (1.0, "") }
}

/// Seconds that the runs of a sweep took together, with the parts before they were resumed if they kept their history; none of
/// another kind of run.
#[must_use]
pub fn seconds_of_runs(folder: &Path) -> Option<f64> {
    let runs: Vec<SweepRun> = read_metrics(folder).ok()?;
    let histories = histories(folder);
    let epochs = |run: &SweepRun| {
        let (_, epochs) = histories.iter().find(|(with, _)| with.key == run.key)?;
        Some(epochs.iter().map(|epoch| epoch.seconds).sum())
    };
    Some(runs.iter().map(|run| epochs(run).unwrap_or(run.seconds)).sum())
}

/// The runs of a sweep that kept their history, with it.
fn histories(folder: &Path) -> Vec<(SweepRun, Vec<Epoch>)> {
    let runs: Vec<SweepRun> = read_metrics(folder).unwrap_or_default();
    let history = |run: &SweepRun| read_metrics(&folder.join(HISTORY).join(&run.key)).ok();
    runs.into_iter().filter_map(|run| history(&run).map(|epochs| (run, epochs))).collect()
}

/// The largest value of each measure on each line, and where it lies.
fn best_points(summary: &SweepSummary, lines: &Axis, published: Option<&Published>) -> Vec<Row> {
    let name = summary.x.rsplit('.').next().unwrap_or(&summary.x);
    let measures: Vec<&String> = summary.points.first().map_or(Vec::new(), |p| p.measures.keys().collect());
    let mut rows = Vec::new();
    for line in lines.values.iter().map(value_label) {
        let own: Vec<&SweepPoint> =
            summary.points.iter().filter(|p| value_label(&p.values[&lines.path]) == line).collect();
        for measure in &measures {
            let (scale, percent) = unit(measure);
            let shown = |points: Vec<(f64, f64)>| {
                let best = points.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
                Some(format!("{} at {}", number(scale * best.1), number(best.0)))
            };
            let value = |p: &&SweepPoint| Some((p.values[&summary.x].as_f64()?, p.measures[*measure]?.mean));
            let ours = shown(own.iter().filter_map(value).collect()).unwrap_or_else(|| "–".into());
            let column = if *measure == "cosine" { "total_cosine" } else { measure };
            let theirs = published.iter().flat_map(|p| p.beside(&line)).find_map(|c| c.points(name, column));
            let what = measure.replace('_', " ");
            rows.push(Row::new(
                format!("{line}: largest mean {what}{percent}, and the {name} where"),
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

/// Every number of a summary.
fn all(summary: &Value) -> Vec<Row> {
    let fields = summary.as_object().into_iter().flatten();
    let shown = fields.filter(|(name, _)| *name != "wall_seconds");
    let row = |(name, value): (&String, &Value)| {
        let text = value.as_f64().map(number).or_else(|| value.as_str().map(ToOwned::to_owned))?;
        Some(Row::new(name.replace('_', " "), text, None))
    };
    shown.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(by_epoch(&ours, &theirs).unwrap(), "1 of 2; 2 points below after epoch 2");
        // One that fails is no measure; where all are at chance, chance is.
        let failed = [curve([0.75, 0.1]), curve([0.9, 0.91])];
        let failed: Vec<&Curve> = failed.iter().collect();
        assert_eq!(by_epoch(&ours, &failed).unwrap(), "2 of 2, without 1 published of 2 that failed");
        assert_eq!(
            by_epoch(&[vec![(1.0, 0.1)]], &[&curve([0.11, 0.0])]).unwrap(),
            "0 of 1; 1 points below after epoch 1"
        );
        // Many are summed up.
        let long = |accuracy: f64| (1..=5).map(|epoch| (f64::from(epoch), accuracy)).collect::<Vec<_>>();
        let better = |by: f64| long(0.9).into_iter().map(|p| p.1 + by * p.0).map(Some).collect();
        let columns =
            [("epoch", long(0.0).iter().map(|p| Some(p.0)).collect()), ("test_accuracy", better(0.01))];
        let columns = columns.map(|(name, values): (&str, Vec<_>)| (name.to_owned(), values)).into();
        let better = Curve { label: "published".into(), beside: None, columns };
        let told = "1 of 5; below after epochs 2, 3, 4, 5, by 4 points at most (epoch 5)";
        assert_eq!(by_epoch(&[long(0.91)], &[&better]).unwrap(), told);
        assert_eq!(by_epoch(&ours, &[]), None);
        assert_eq!(by_epoch(&[], &theirs), None);
    }

    #[test]
    fn numbers_are_short_and_true() {
        let shown = [0.0, 1.0, 0.97654321, 12345.6, 0.001234, 2.5e-7, 1e9, 100.0].map(number);
        assert_eq!(shown, ["0", "1", "0.9765", "12346", "0.001234", "2.50e-7", "1.00e9", "100"]);
        assert_eq!(spread(&[0.5, 0.7], 100.0).unwrap(), "60 (50 to 70, 2 runs)");
        assert_eq!(spread(&[], 1.0), None);
    }
}
