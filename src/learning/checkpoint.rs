//! Checkpoints: everything that a training run needs to continue to the same bits.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::Trainer;
use crate::error::{Error, Result};
use crate::files::{Tensors, read_tensors, write_tensors};
use crate::imperfections::NoiseMemory;
use crate::numerics::scalar::Scalar;
use crate::substrate::parameters::Parameters;

/// The file of a checkpoint inside a run folder.
pub const FILE: &str = "checkpoint.safetensors";

/// What the metadata call the last line of the metrics.
const LINE: &str = "metrics";

/// Notes the last line of the metrics in a checkpoint, less its seconds, which would make every checkpoint another: should a disk
/// lose the line and keep the checkpoint, it is not lost.
pub(super) fn note_line(tensors: &mut Tensors, line: Option<&impl Serialize>) -> Result<()> {
    let Some(line) = line else { return Ok(()) };
    let mut line = serde_json::to_value(line).map_err(|e| Error::Internal(e.to_string()))?;
    line["seconds"] = 0.0.into();
    tensors.metadata.insert(LINE.into(), line.to_string());
    Ok(())
}

/// The line that [`note_line`] has noted.
pub(super) fn noted_line(tensors: &Tensors) -> Option<String> {
    tensors.metadata.get(LINE).cloned()
}

/// Writes the trainer's state, atomically, with the line of its last epoch.
///
/// # Errors
/// [`Error::Io`].
pub fn save<T: Scalar>(trainer: &Trainer<T>, folder: &Path, line: Option<&impl Serialize>) -> Result<()> {
    let mut tensors = Tensors::new();
    trainer.parameters.insert_into(&mut tensors, "parameter/");
    trainer.optimiser.first.insert_into(&mut tensors, "first/");
    trainer.optimiser.second.insert_into(&mut tensors, "second/");
    for (index, state) in trainer.states.iter().enumerate() {
        tensors.insert_reals(format!("state/{index}"), &[state.len()], state);
    }
    trainer.noise.iter().enumerate().for_each(|(slot, noise)| noise.save(slot, &mut tensors));
    let counters = [
        ("epoch", trainer.epoch),
        ("updates", trainer.optimiser.updates),
        ("rhs_evaluations", trainer.rhs_evaluations),
        ("states", trainer.states.len() as u64),
    ];
    for (name, value) in counters {
        tensors.metadata.insert(name.into(), value.to_string());
    }
    note_line(&mut tensors, line)?;
    write_tensors(folder.join(FILE), &tensors)
}

/// Puts a saved state into a trainer of the same experiment; returns the line of its last epoch, if there is one.
///
/// # Errors
/// [`Error::Input`] for a checkpoint that is missing, damaged or of another network.
pub fn load<T: Scalar>(trainer: &mut Trainer<T>, folder: &Path) -> Result<Option<String>> {
    let mut tensors = read_tensors(folder.join(FILE))?;
    let shapes = trainer.parameters.shapes().clone();
    trainer.parameters = Parameters::read(&shapes, &mut tensors, "parameter/")?;
    trainer.optimiser.first = Parameters::read(&shapes, &mut tensors, "first/")?;
    trainer.optimiser.second = Parameters::read(&shapes, &mut tensors, "second/")?;
    let states = counter(&tensors, "states")?;
    trainer.states = (0..states)
        .map(|index| {
            let name = format!("state/{index}");
            let length = tensors.get(&name).map_or(0, |array| array.shape.iter().product());
            tensors.reals(&name, &[length])
        })
        .collect::<Result<_>>()?;
    if let Some(instant) = trainer.plan.imperfections.instant() {
        let network = Arc::clone(&trainer.network);
        let load = |slot| NoiseMemory::load(slot, &instant, &network, &mut tensors).transpose();
        trainer.noise = (0..).map_while(load).collect::<Result<_>>()?;
    }
    tensors.refuse_unused()?;
    trainer.epoch = counter(&tensors, "epoch")?;
    trainer.optimiser.updates = counter(&tensors, "updates")?;
    trainer.rhs_evaluations = counter(&tensors, "rhs_evaluations")?;
    // There may be nothing left to learn: what is measured is measured on the device as it was written.
    trainer.program();
    Ok(noted_line(&tensors))
}

/// A whole number among the metadata of a checkpoint.
///
/// # Errors
/// [`Error::Input`] if there is none of that name.
pub(super) fn counter(tensors: &Tensors, name: &str) -> Result<u64> {
    let text = tensors.metadata.get(name).map(String::as_str).unwrap_or_default();
    text.parse().map_err(|_| {
        let found = format!("found {text:?} for `{name}`");
        Error::input(tensors.file(), "metadata", found, "a checkpoint written by holograd")
    })
}
