//! Figures of a `continuous` run: activity, coefficient and weight on one time axis, and how learning went.

use std::path::Path;

use super::record::ContinuousEpoch;
use crate::error::{Error, Result};
use crate::figures::points;
use crate::files::read_npz;
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::records::read_metrics;

/// Draws `training` from the metrics of a run, and `trace` from `trace.npz` where there is one.
///
/// # Errors
/// If a file is missing or damaged, or a figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    training(folder, print)?;
    if folder.join("trace.npz").exists() { trace(folder, print) } else { Ok(()) }
}

fn training(folder: &Path, print: &Print) -> Result<()> {
    let epochs: Vec<ContinuousEpoch> = read_metrics(folder)?;
    let against = |value: &dyn Fn(&ContinuousEpoch) -> Option<f64>| {
        points(&epochs, |e| Some(e.epoch as f64), |e| value(e))
    };
    let accuracy = Panel::new("epoch", "accuracy (%)")
        .line("training", against(&|e| Some(100.0 * e.train_accuracy)))
        .line("validation", against(&|e| Some(100.0 * e.validation_accuracy)));
    let loss = Panel::new("epoch", "cross-entropy (nats)")
        .log_y()
        .line("training", against(&|e| Some(e.train_loss)))
        .line("validation", against(&|e| Some(e.validation_loss)));
    let mut figure = Figure::new().panel(accuracy).panel(loss);
    if epochs.iter().any(|e| e.cosine.is_some()) {
        let cosine = Panel::new("epoch", "cosine to the adjoint gradient")
            .line("all parameters", against(&|e| e.cosine))
            .line("between layers", against(&|e| e.synapse_cosine));
        let drive = Series::new("ω of the drive", Mark::Dashed, against(&|e| Some(e.drive_rate))).in_black();
        let rates = Panel::new("epoch", "rate, or ω of the drive (1/τ)")
            .line("slowest relaxation", against(&|e| e.slowest_rate))
            .series(drive);
        figure = figure.panel(cosine).panel(rates);
    }
    figure.write(folder, "training", print).map(drop)
}

fn trace(folder: &Path, print: &Print) -> Result<()> {
    let file = folder.join("trace.npz");
    let legal = "a trace written by holograd";
    let refuse = |name: &str, found: &str| Error::input(file.display().to_string(), name, found, legal);
    let arrays = read_npz(&file)?;
    let array = |name: &str| -> Result<&Vec<f64>> {
        arrays.get(name).map(|(_, values)| values).ok_or_else(|| refuse(name, "found no such array"))
    };
    let time = array("time")?;
    // They stand still in most runs, which keep none.
    let moving = arrays.get("input").map_or(0, |(_, inputs)| inputs.len() / time.len().max(1));
    if moving > 0 && array("input")?.len() != moving * time.len() {
        return Err(refuse("input", "an array that does not fit the others"));
    }
    let count = array("activity")?.len() / time.len().max(1);
    if ["activity", "coefficient", "weight"]
        .iter()
        .any(|n| array(n).is_ok_and(|a| a.len() != count * time.len()))
        || array("beta_re")?.len() != time.len()
    {
        return Err(refuse("", "arrays that do not fit together"));
    }
    let panel = |name: &str, label: &str, legend: &str, count: usize| -> Result<Panel> {
        let values = array(name)?;
        let mut panel = Panel::new("time (τ)", label);
        for k in 0..count {
            let course = time.iter().copied().zip(values.iter().skip(k).step_by(count).copied());
            panel = panel.line(format!("{legend} {k}"), course.collect());
        }
        Ok(panel)
    };
    let drive = time.iter().copied().zip(array("beta_re")?.iter().copied()).collect();
    // Changes of weights are small beside the weights: each is drawn from where it started.
    let start: Vec<f64> = array("weight")?.iter().take(count).copied().collect();
    let mut weights = Panel::new("time (τ)", "W − W(0)");
    for (k, start) in start.iter().enumerate() {
        let values = array("weight")?.iter().skip(k).step_by(count).map(|w| w - start);
        weights = weights.line(format!("synapse {k}"), time.iter().copied().zip(values).collect());
    }
    let mut figure =
        Figure::new().columns(1).panel_size(640, 190).panel(Panel::new("time (τ)", "Re β").line("", drive));
    if moving > 0 {
        figure = figure.panel(panel("input", "inputs x", "input", moving)?);
    }
    figure
        .panel(panel("activity", "Re a", "neuron", count)?)
        .panel(panel("coefficient", "coefficient −s", "synapse", count)?)
        .panel(weights)
        .write(folder, "trace", print)
        .map(drop)
}
