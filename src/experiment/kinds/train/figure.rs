//! Figures of a `train` run: accuracy and loss, and how good its gradients were.

use std::path::Path;

use serde_json::Value;

use super::record::Epoch;
use super::{asymmetry, images};
use crate::error::Result;
use crate::experiment::sink::EXPERIMENT;
use crate::figures::points;
use crate::files;
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::records::read_metrics;

/// Draws `training`, `alignment` and `asymmetry` from the metrics of a run; `kernels` and `feature-maps` where there are any.
///
/// # Errors
/// If the metrics are missing or damaged, or a figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let epochs: Vec<Epoch> = read_metrics(folder)?;
    let against =
        |value: &dyn Fn(&Epoch) -> Option<f64>| points(&epochs, |e| Some(e.epoch as f64), |e| value(e));
    let accuracy = Panel::new("epoch", "accuracy (%)")
        .line("training", against(&|e| Some(100.0 * e.train_accuracy)))
        .line("test", against(&|e| Some(100.0 * e.test_accuracy)));
    let loss = Panel::new("epoch", if is_of_circuit(folder) { "cost (V²)" } else { "cross-entropy (nats)" })
        .log_y()
        .line("training", against(&|e| Some(e.train_loss)))
        .line("test", against(&|e| Some(e.test_loss)));
    let mut training = Figure::new().panel(accuracy).panel(loss);
    let energy = points(&epochs, |e| e.joules, |e| Some(100.0 * e.test_accuracy));
    if !energy.is_empty() {
        // In the colour that the test has in the other panels.
        let test = Series::new("test", Mark::Line, energy).colour(1);
        training = training.panel(Panel::new("energy of training (J)", "test accuracy (%)").series(test));
    }
    training.write(folder, "training", print)?;
    asymmetry::draw(folder, &epochs, print)?;
    images::draw(folder, print)?;
    if epochs.iter().all(|e| e.cosine.is_none()) {
        return Ok(());
    }
    let cosine = Panel::new("epoch", "cosine to the adjoint gradient")
        .line("all parameters", against(&|e| e.cosine))
        .line("between layers", against(&|e| e.synapse_cosine));
    let drive = Series::new("ω of the drive", Mark::Dashed, against(&|e| e.drive_rate)).in_black();
    let rates = Panel::new("epoch", "rate, or ω of the drive (1/τ)")
        .line("slowest relaxation", against(&|e| e.slowest_rate));
    let tested = against(&|e| e.test_slowest_rate);
    let rates = if tested.is_empty() { rates } else { rates.line("slowest, test samples", tested) };
    let rates = rates.series(drive);
    Figure::new().panel(cosine).panel(rates).write(folder, "alignment", print)?;
    Ok(())
}

/// Whether a folder holds a training run of a circuit.
fn is_of_circuit(folder: &Path) -> bool {
    let text = files::read_text(folder.join(EXPERIMENT)).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|experiment| experiment["model"]["nodes"].is_array())
}
