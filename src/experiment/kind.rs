//! What every kind of experiment offers.

use super::cost::Cost;
use super::head::Head;
use super::origin::Origin;
use super::problem;
use super::setup::{CircuitSetup, Options, Setup};
use super::sink::Sink;
use crate::error::{Error, Invalid, Result};
use crate::substrate::circuits::circuit::Circuit;
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

    /// Whether a gradient is taken, from what teaching does to the substrate, of what has this name: a connection (`h1-h2`), a layer (its bias) or `readout`.
    fn trains(&self, name: &str) -> bool {
        self.learning_rates().and_then(|rates| rates.get(name)).is_none_or(|rate| *rate != 0.0)
    }

    /// Finds out what would stop a run before it begins, less its files and what a sweep's points say.
    ///
    /// # Errors
    /// If the data do not fit the model, or a learning rate names no connection.
    fn check(&self, setup: &Setup) -> Result<()> {
        self.learning_rates().map_or(Ok(()), |rates| problem::check_learning_rates(setup, rates))?;
        self.data().map_or(Ok(()), |data| problem::check_data(setup, data))
    }

    /// Checks everything that the types do not, with the circuit at hand; refused by kinds that are of networks of neurons.
    ///
    /// # Errors
    /// The first finding, with its path.
    fn validate_circuit(&self, _circuit: &Circuit) -> std::result::Result<(), Invalid> {
        let legal =
            "a network of neurons; circuits are for `gradient`, `trace` and `train`, and sweeps of those";
        Err(Invalid::new("model", "found a circuit, whose equations this kind does not know", legal))
    }

    /// What it takes on a circuit.
    ///
    /// # Errors
    /// If files that it reads are not there.
    fn cost_circuit(&self, _setup: &CircuitSetup, _options: &Options) -> Result<Cost> {
        Ok(Cost::default())
    }

    /// Runs it on a circuit, as [`Self::run`].
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    fn run_circuit(&self, _: &CircuitSetup, _: &mut dyn Sink, _: &Options) -> Result<Vec<String>> {
        Err(Error::Internal("a circuit was not refused".into()))
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
