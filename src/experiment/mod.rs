//! Experiments: from the JSON that a user writes to a run folder.

mod amplitude;
mod continuous;
pub mod cost;
mod elapsed;
pub mod folder;
mod frequency;
mod frequency_optimum;
mod gradient;
pub mod library;
pub mod load;
pub mod lock;
mod lockin_theory;
pub mod manifest;
pub(crate) mod place;
mod problem;
mod relaxation;
pub mod resume;
pub mod spec;
mod stability;
mod sweep;
mod table;
mod trace;
mod train;

pub use cost::Cost;
pub use folder::RunFolder;
pub use load::{Loaded, load};
pub use spec::{Experiment, Kind, ModelRef, Precision};
pub use {
    amplitude::Amplitude, continuous::Continuous, continuous::LowPass, elapsed::Elapsed,
    frequency::Frequency, frequency_optimum::FrequencyOptimum, gradient::Gradient, relaxation::Relaxation,
    stability::Stability, sweep::Sweep, trace::Trace, train::Train,
};

use std::path::PathBuf;

/// What the command line adds to an experiment.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where data sets are looked for first.
    pub data: Option<PathBuf>,
    /// Whether a run continues where it was stopped.
    pub resume: bool,
    /// Whether to show a progress bar.
    pub progress: bool,
}
