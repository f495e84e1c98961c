//! What a run starts from besides its own description.

use std::path::PathBuf;
use std::sync::Arc;

use super::kind::Kind;
use super::origin::Origin;
use super::spec::Precision;
use crate::data::Split;
use crate::error::Invalid;
use crate::host::device::{DeviceSpec, Gpu};
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::neurons::network::Network;

/// The instance of a model.
#[derive(Debug, Clone)]
pub enum Instance {
    /// Layers of neurons.
    Neurons(Arc<Network>),
    /// A circuit.
    Circuit(Arc<Circuit>),
}

/// Where an experiment on a circuit comes from, and its circuit.
#[derive(Debug, Clone)]
pub struct CircuitSetup {
    /// The file of the experiment, beside which its other files lie.
    pub origin: Origin,
    /// The model's instance.
    pub circuit: Arc<Circuit>,
}

/// What a run starts from, whatever its substrate.
#[derive(Debug, Clone)]
pub enum Site {
    /// With a network of neurons.
    Neurons(Setup),
    /// With a circuit.
    Circuit(CircuitSetup),
}

impl Site {
    /// Of an experiment from there, with this model.
    #[must_use]
    pub fn new(origin: Origin, instance: &Instance) -> Self {
        match instance {
            Instance::Neurons(network) => Self::Neurons(Setup { origin, network: Arc::clone(network) }),
            Instance::Circuit(circuit) => {
                Self::Circuit(CircuitSetup { origin, circuit: Arc::clone(circuit) })
            }
        }
    }

    /// Numbers of inputs and outputs.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Neurons(setup) => (setup.network.inputs, setup.network.output.size()),
            Self::Circuit(setup) => (setup.circuit.inputs(), setup.circuit.outputs()),
        }
    }
}

/// An instance where the experiment wants its states computed.
///
/// # Errors
/// A GPU that is not there, or for what is not computed on one.
pub(super) fn on_device(instance: Instance, head: &dyn Kind) -> std::result::Result<Instance, Invalid> {
    let DeviceSpec::Gpu(index) = head.device() else { return Ok(instance) };
    let refuse = |found: &str, legal: &str| Err(Invalid::new("device", found, legal));
    match instance {
        Instance::Circuit(_) => refuse("found a GPU, and a circuit", "`\"cpu\"`: circuits are solved there"),
        Instance::Neurons(_) if head.precision() == Precision::F64 => {
            refuse("found a GPU with `precision` f64", "`\"precision\": \"f32\"`, or `\"cpu\"`")
        }
        Instance::Neurons(network) => {
            network.refuse_on_gpu()?;
            Ok(Instance::Neurons(Arc::new(network.on_gpu(Gpu::open(index)?))))
        }
    }
}

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
    /// How many runs of a sweep are done side by side; none for one a thread.
    pub pack: Option<usize>,
}

impl Options {
    /// How many runs of a sweep are done side by side on so many threads.
    pub(crate) fn side_by_side(&self, threads: usize) -> usize {
        self.pack.unwrap_or(threads).clamp(1, threads.max(1))
    }
}
