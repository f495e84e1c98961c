//! Figure of an `amplitude` run: gradient error against |β|.

use std::path::Path;

use super::points;
use crate::error::Result;
use crate::records::{AmplitudePoint, read_metrics};
use crate::report::{Figure, Mark, Panel, Series};

/// Draws `amplitude` from the metrics of a run.
///
/// # Errors
/// If the metrics are missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let all: Vec<AmplitudePoint> = read_metrics(folder)?;
    let mut labels: Vec<&str> = all.iter().map(|p| p.estimator.as_str()).collect();
    labels.dedup();
    let mut error = Panel::new("amplitude |β|", "relative gradient error").log_x().log_y();
    let mut cosine = Panel::new("amplitude |β|", "1 − cosine to the adjoint").log_x().log_y();
    for label in labels {
        let own: Vec<&AmplitudePoint> = all.iter().filter(|p| p.estimator == label).collect();
        let against =
            |y: &dyn Fn(&AmplitudePoint) -> Option<f64>| points(&own, |p| Some(p.amplitude), |p| y(p));
        error = error.series(Series::new(label, Mark::LinePoints, against(&|p| p.relative_error)));
        // Below rounding a cosine of one has no distance to one.
        let distance = |p: &AmplitudePoint| p.cosine.map(|c| (1.0 - c).max(1e-16));
        cosine = cosine.series(Series::new(label, Mark::LinePoints, against(&distance)));
    }
    Figure::new().panel(error).panel(cosine).write(folder, "amplitude")?;
    Ok(())
}
