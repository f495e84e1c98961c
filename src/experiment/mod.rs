//! Experiments: from the JSON that a user writes to a run folder.

pub mod amplitude;
pub mod folder;
pub mod frequency;
mod gradient;
pub mod library;
pub mod load;
mod problem;
pub mod spec;
mod trace;
mod train;

pub use folder::RunFolder;
pub use load::{Loaded, load};
pub use spec::{Experiment, Precision};

use std::path::PathBuf;

use crate::error::Result;

/// What the command line adds to an experiment.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where data sets are looked for first.
    pub data: Option<PathBuf>,
    /// Whether a training run continues from its checkpoint.
    pub resume: bool,
    /// Whether to show a progress bar.
    pub progress: bool,
}

/// Runs an experiment into a folder; returns the lines that sum it up for the user.
///
/// # Errors
/// Bad input, or a simulation that diverged. `summary.json` exists only if the run succeeded.
pub fn run(loaded: &Loaded, folder: &mut RunFolder, options: &Options) -> Result<Vec<String>> {
    match &loaded.experiment {
        Experiment::Train(spec) => match spec.precision {
            Precision::F32 => train::run::<f32>(spec, loaded, folder, options),
            Precision::F64 => train::run::<f64>(spec, loaded, folder, options),
        },
        Experiment::Gradient(spec) => match spec.precision {
            Precision::F32 => gradient::run::<f32>(spec, loaded, folder),
            Precision::F64 => gradient::run::<f64>(spec, loaded, folder),
        },
        Experiment::Trace(spec) => trace::run(spec, loaded, folder),
        Experiment::Amplitude(spec) => amplitude::run(spec, loaded, folder),
        Experiment::Frequency(spec) => frequency::run(spec, loaded, folder),
    }
}
