//! The headline numbers of a run, of each kind of experiment, from its folder alone.

use std::path::Path;

use serde_json::Value;

use super::row::{Row, at_epoch, spread};
use super::sweep;
use crate::error::Result;
use crate::experiment::amplitude::record::AmplitudePoint;
use crate::experiment::elapsed::record::ElapsedPoint;
use crate::experiment::frequency::record::FrequencyPoint;
use crate::experiment::relaxation::figure::distances;
use crate::experiment::relaxation::record::RelaxationPhase;
use crate::experiment::train::record::Epoch;
pub(crate) use crate::names::number;
use crate::published::Published;
use crate::records::read_metrics;

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
            .map_or_else(|_| all(summary), |s| sweep::rows(folder, &s, published))),
        _ => Ok(all(summary)),
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
    for (amplitude, distance) in distances(folder)? {
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
    fn numbers_are_short_and_true() {
        let shown = [0.0, 1.0, 0.97654321, 12345.6, 0.001234, 2.5e-7, 1e9, 100.0].map(number);
        assert_eq!(shown, ["0", "1", "0.9765", "12346", "0.001234", "2.50e-7", "1.00e9", "100"]);
        assert_eq!(spread(&[0.5, 0.7], 100.0).unwrap(), "60 (50 to 70, 2 runs)");
        assert_eq!(spread(&[], 1.0), None);
    }
}
