//! What a run starts from besides its own description.

use std::path::PathBuf;
use std::sync::Arc;

use super::origin::Origin;
use crate::data::Split;
use crate::substrate::neurons::network::Network;

/// Where an experiment comes from, and the instance of its model.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The file of the experiment, beside which its other files lie.
    pub origin: Origin,
    /// The model's instance.
    pub network: Arc<Network>,
}

/// What the command line, or a calling program, adds to an experiment.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where data sets are looked for first.
    pub data: Option<PathBuf>,
    /// The samples of the experiment's data, where the caller hands them over.
    pub given: Option<Arc<Split>>,
    /// Whether a run continues where it was stopped.
    pub resume: bool,
    /// Whether to show a progress bar.
    pub progress: bool,
}
