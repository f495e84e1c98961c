//! What every kind of experiment offers.

use super::cost::Cost;
use super::head::Head;
use super::origin::Origin;
use super::setup::{Options, Setup};
use super::sink::Sink;
use crate::error::{Invalid, Result};
use crate::learning::Schedule;
use crate::substrate::neurons::network::Network;

/// A kind of experiment: what is checked of it, what it takes and what it does.
pub trait Kind: Head {
    /// Replaces what stands in other files, apart from the model; `origin` is the file of this one.
    ///
    /// # Errors
    /// If such a file is missing or not legal.
    fn resolve(&mut self, _origin: &Origin) -> Result<()> {
        Ok(())
    }

    /// Checks everything that the types do not, with the model at hand.
    ///
    /// # Errors
    /// The first finding, with its path.
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid>;

    /// Whether a gradient is taken of what has this name: a connection (`h1-h2`), a layer (its bias) or `readout`.
    fn trains(&self, _name: &str) -> bool {
        true
    }

    /// Finds out what would stop a run before it begins, less its files and what a sweep's points say.
    ///
    /// # Errors
    /// If the data do not fit the model, or a learning rate names no connection.
    fn check(&self, _setup: &Setup) -> Result<()> {
        Ok(())
    }

    /// Epochs in all, and how its learning rate goes with them, where it learns in epochs and can go on after each.
    fn epochs(&self) -> Option<(u64, Schedule)> {
        None
    }

    /// What it takes.
    ///
    /// # Errors
    /// If files that it reads are not there.
    fn cost(&self, setup: &Setup, options: &Options) -> Result<Cost>;

    /// Runs it, its results into `sink`; returns the lines that sum it up for the user.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    fn run(&self, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>>;
}

/// How the folder of a run is told from others, and what may become of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    /// Whether `--resume` continues a run of the kind.
    pub resumed: bool,
    /// The files that a run of the kind writes, besides those of every kind, figures, and copies of what it was given.
    pub files: &'static [&'static str],
}
