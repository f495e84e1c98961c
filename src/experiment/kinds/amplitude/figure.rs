//! Figure of an `amplitude` run: gradient error against |β|.

use std::path::Path;

use super::record::AmplitudePoint;
use crate::error::Result;
use crate::figures::{beside, points};
use crate::names;
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::published::Published;
use crate::records::read_metrics;

/// Draws `amplitude` from the metrics of a run.
///
/// # Errors
/// If the metrics are missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let all: Vec<AmplitudePoint> = read_metrics(folder)?;
    let mut labels: Vec<&str> = all.iter().map(|p| p.estimator.as_str()).collect();
    labels.dedup();
    let mut error = Panel::new("amplitude |β|", "relative error, weights between layers").log_x().log_y();
    let mut cosine = Panel::new("amplitude |β|", "1 − cosine, weights between layers").log_x().log_y();
    for &label in &labels {
        let own: Vec<&AmplitudePoint> = all.iter().filter(|p| p.estimator == label).collect();
        let against =
            |y: &dyn Fn(&AmplitudePoint) -> Option<f64>| points(&own, |p| Some(p.amplitude), |p| y(p));
        error =
            error.series(Series::new(names::shown(label), Mark::LinePoints, against(&|p| p.relative_error)));
        // Below rounding a cosine of one has no distance to one.
        let distance = |p: &AmplitudePoint| p.cosine.map(|c| (1.0 - c).max(1e-16));
        cosine = cosine.series(Series::new(names::shown(label), Mark::LinePoints, against(&distance)));
    }
    Figure::new().panel(error).panel(cosine).write(folder, "amplitude", print)?;
    match Published::of_run(folder)? {
        Some(published) => {
            beside_published(&all, &labels, &published).write(folder, "published", print).map(drop)
        }
        None => Ok(()),
    }
}

/// Cosine and distance over all parameters, lines for ours and markers for theirs.
fn beside_published(all: &[AmplitudePoint], labels: &[&str], published: &Published) -> Figure {
    let mut cosine = Panel::new("amplitude |β|", "cosine to the adjoint, all parameters");
    let mut distance = Panel::new("amplitude |β|", "distance to the adjoint, all parameters").log_y();
    for (index, label) in labels.iter().enumerate() {
        let own: Vec<&AmplitudePoint> = all.iter().filter(|p| p.estimator == *label).collect();
        let line = |y: &dyn Fn(&AmplitudePoint) -> Option<f64>| {
            let points = points(&own, |p| Some(p.amplitude), |p| y(p));
            Series::new(names::shown(label), Mark::Line, points).colour(index)
        };
        cosine = cosine.series(line(&|p| p.total_cosine));
        distance = distance.series(line(&|p| p.distance));
    }
    let colour = |label: &str| labels.iter().position(|l| *l == label);
    cosine = beside(cosine, Some(published), ("amplitude", "total_cosine"), colour, |c| c);
    distance = beside(distance, Some(published), ("amplitude", "distance"), colour, |d| d);
    Figure::new().panel(cosine).panel(distance)
}
