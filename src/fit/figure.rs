//! The figure of a fit: data with the laws, and what the best one leaves.

use std::path::Path;

use super::{Axes, Fit};
use crate::error::Result;
use crate::names::shown;
use crate::plot::{Figure, Mark, Panel, Print, Series};

/// Draws `fit`.
pub(super) fn draw(fit: &Fit, folder: &Path) -> Result<()> {
    let Axes { x, y, residual, log } = &fit.axes;
    let scaled = |panel: Panel, log: (bool, bool)| {
        let panel = if log.0 { panel.log_x() } else { panel };
        if log.1 { panel.log_y() } else { panel }
    };
    let mut data = scaled(Panel::new(*x, *y), *log);
    for (k, (label, points)) in fit.data.iter().enumerate() {
        data = data.series(Series::new(label, Mark::Dots, points.clone()).colour(k));
    }
    for (k, law) in fit.laws.iter().enumerate() {
        for (curve, points) in law.curves.iter().enumerate() {
            // Both directions of a law are one entry of the legend.
            let label = if curve == 0 { shown(law.name) } else { String::new() };
            let mark = if k == 0 { Mark::Line } else { Mark::Dashed };
            data = data.series(Series::new(label, mark, points.clone()).colour(k + fit.data.len()));
        }
    }
    let best = &fit.laws[0];
    let left =
        scaled(Panel::new(*x, *residual), (log.0, false)).title(format!("left by {}", shown(best.name)));
    let left = left.series(Series::new("", Mark::Dots, best.residuals.clone()).colour(fit.data.len()));
    Figure::new().panel_size(460, 360).panel(data).panel(left).write(folder, "fit", &Print::default())?;
    Ok(())
}
