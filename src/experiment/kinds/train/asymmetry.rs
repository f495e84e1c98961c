//! Figure of a `train` run that measured its Jacobian: how symmetric the substrate was, and what that did to the error vectors.

use std::path::Path;

use super::record::Epoch;
use crate::error::Result;
use crate::figures::points;
use crate::plot::{Figure, Mark, Panel, Print, Series};

/// Draws `asymmetry` if the Jacobian was measured.
///
/// # Errors
/// If the figure cannot be written.
pub fn draw(folder: &Path, epochs: &[Epoch], print: &Print) -> Result<()> {
    let Some(last) = epochs.iter().rev().find(|e| e.jacobian_symmetry.is_some()) else { return Ok(()) };
    let against =
        |value: &dyn Fn(&Epoch) -> Option<f64>| points(epochs, |e| Some(e.epoch as f64), |e| value(e));
    let mut figure = Figure::new();
    if epochs.iter().any(|e| e.feedback_angle.is_some()) {
        let angle = Panel::new("epoch", "angle of the feedback (°)");
        figure = figure.panel(angle.line("", against(&|e| e.feedback_angle)));
    }
    figure = figure
        .panel(Panel::new("epoch", "symmetry of J").line("", against(&|e| e.jacobian_symmetry)))
        .panel(Panel::new("epoch", "non-normality of J").line("", against(&|e| e.non_normality)));
    if !last.layer_cosines.is_empty() {
        let mut cosines = Panel::new("epoch", "cosine of error vectors");
        for layer in last.layer_cosines.keys() {
            cosines = cosines.line(layer.as_str(), against(&|e| e.layer_cosines.get(layer).copied()));
        }
        figure = figure.panel(cosines);
    }
    let spectra: Vec<&Epoch> = epochs.iter().filter(|e| e.eigenvalues.is_some()).collect();
    if let (Some(first), Some(last)) = (spectra.first(), spectra.last()) {
        let mut plane = Panel::new("Re λ of J", "Im λ of J").equal_aspect();
        let several = first.epoch != last.epoch;
        for (colour, epoch) in [first, last].into_iter().take(1 + usize::from(several)).enumerate() {
            let values = epoch.eigenvalues.iter().flatten().map(|[re, im]| (*re, *im)).collect();
            let label = format!("epoch {}", epoch.epoch);
            plane = plane.series(Series::new(label, Mark::Points, values).colour(colour));
        }
        figure = figure.panel(plane);
    }
    figure.write(folder, "asymmetry", print).map(drop)
}
