//! A trainer for loops of one's own.

use std::sync::{Mutex, MutexGuard, TryLockError};

use holograd::data::Dataset;
use holograd::experiment::setup::Site;
use holograd::experiment::train::{self, Batch as Told};
use holograd::experiment::{Experiment, Loaded, Precision};
use holograd::files::{Tensors, parse_tensors};
use holograd::learning::{Learner, Score, Snapshot};
use holograd::{Error, Result};
use nalgebra::DMatrix;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::arrays::{self, ARGUMENTS, Batch, Given, Real, check_finite, dict, labels, parameters};
use crate::errors::Answer;
use crate::network::Network;
use crate::run::Described;
use crate::work::{attended, guarded};

/// A network on its device, with an optimiser.
#[pyclass(frozen, module = "holograd._holograd")]
pub struct Trainer {
    network: Py<Network>,
    inner: Mutex<Inner>,
}

enum Inner {
    F32(train::Trainer<'static, f32>),
    F64(train::Trainer<'static, f64>),
}

/// Does the same in either precision.
macro_rules! either {
    ($inner:expr, $trainer:ident => $does:expr) => {
        match $inner {
            Inner::F32($trainer) => $does,
            Inner::F64($trainer) => $does,
        }
    };
}

fn built(loaded: Loaded) -> Result<Inner> {
    let Site::Neurons(setup) = loaded.site() else {
        let found = "found a circuit".to_owned();
        return Err(Error::input(
            "the arguments",
            "network",
            found,
            "layers of neurons: train circuits with `run`",
        ));
    };
    match loaded.experiment {
        Experiment::Train(train) => Ok(match train.precision {
            Precision::F32 => Inner::F32(train.into_trainer(&setup)?),
            Precision::F64 => Inner::F64(train.into_trainer(&setup)?),
        }),
        other => Err(Error::Internal(format!("a trainer of kind {}", other.name()))),
    }
}

fn step<'py, T: Real>(
    py: Python<'py>,
    trainer: &mut train::Trainer<'static, T>,
    network: &Network,
    (x, y): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
    rate: f64,
) -> Answer<Told> {
    let batch = Batch::<T>::new(&network.network, x, y)?;
    let view = batch.view()?;
    attended(py, move || trainer.step(view.part(0, view.count), rate))
}

#[pymethods]
impl Trainer {
    #[new]
    fn new(network: Py<Network>, described: Described<'_>) -> Answer<Self> {
        guarded(|| {
            let (loaded, _) = described.load()?;
            Ok(Self { network, inner: Mutex::new(built(loaded)?) })
        })
    }

    /// Whether numbers are of single precision.
    #[getter]
    fn single(&self) -> Answer<bool> {
        Ok(matches!(&*self.hold()?, Inner::F32(_)))
    }

    /// Updates so far, and evaluations of the right-hand side.
    #[getter]
    fn counters(&self) -> Answer<(u64, u64)> {
        Ok(either!(&*self.hold()?, trainer => (trainer.optimiser.updates, trainer.rhs_evaluations)))
    }

    /// Learns from one batch; returns its mean cost, its accuracy and how many samples were learnt from.
    fn step<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        rate: f64,
    ) -> Answer<(f64, f64, usize)> {
        guarded(|| {
            let network = self.network.get();
            let mut inner = self.hold()?;
            let Told { loss, correct, samples } =
                either!(&mut *inner, trainer => step(py, trainer, network, (x, y), rate))?;
            Ok((loss / samples as f64, correct as f64 / samples as f64, samples))
        })
    }

    /// Mean cost and accuracy at the free equilibrium.
    fn score<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
    ) -> Answer<(f64, f64)> {
        guarded(|| {
            let inputs = Given::<f32>::new("x", x)?;
            check_finite("x", inputs.shape(), inputs.numbers()?)?;
            let classes = self.network.get().network.output.size();
            let labels = labels("y", Given::<i64>::new("y", y)?.numbers()?, classes)?;
            let (count, features) = (inputs.shape()[0], inputs.shape()[1]);
            let inputs = DMatrix::from_column_slice(features, count, inputs.numbers()?);
            let data = Dataset::new(inputs, labels, classes, "given");
            let held = self.hold()?;
            let inner = &*held;
            let Score { loss, accuracy } = attended(py, || either!(inner, trainer => trainer.score(&data)))?;
            Ok((loss, accuracy))
        })
    }

    /// The nominal parameters.
    fn parameters<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        Ok(either!(&*self.hold()?, trainer => dict(py, &trainer.parameters))?)
    }

    /// Writes other parameters to the device.
    fn set_parameters(&self, params: &Bound<'_, PyDict>) -> Answer<()> {
        guarded(|| {
            let network = &self.network.get().network;
            match &mut *self.hold()? {
                Inner::F32(trainer) => trainer.set_parameters(parameters(network, params)?),
                Inner::F64(trainer) => trainer.set_parameters(parameters(network, params)?),
            }
            Ok(())
        })
    }

    /// All that evolves, as the bytes of a checkpoint.
    fn snapshot<'py>(&self, py: Python<'py>, note: &str) -> Answer<Bound<'py, PyBytes>> {
        let mut arrays: Tensors = either!(&*self.hold()?, trainer => trainer.snapshot().arrays);
        arrays.metadata.insert("trainer".into(), note.into());
        Ok(PyBytes::new(py, &arrays.to_bytes()))
    }

    /// Goes on from such bytes.
    fn restore(&self, file: &str, bytes: &[u8]) -> Answer<()> {
        guarded(|| {
            let mut snapshot = Snapshot { arrays: parse_tensors(file, bytes)? };
            let mut inner = self.hold()?;
            Ok(either!(&mut *inner, trainer => trainer.restore(&mut snapshot))?)
        })
    }
}

impl Trainer {
    /// Nobody waits for a trainer that is at work: whoever does holds the interpreter's lock.
    fn hold(&self) -> Answer<MutexGuard<'_, Inner>> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(inner)) => Ok(inner.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let found = "found it at work in another thread";
                Err(Error::input("the trainer", "", found, "a trainer takes one step at a time").into())
            }
        }
    }
}

/// The note that stands in a checkpoint of a trainer.
#[pyfunction]
pub fn note(file: &str, bytes: &[u8]) -> Answer<String> {
    guarded(|| {
        let tensors = parse_tensors(file, bytes)?;
        tensors.metadata.get("trainer").cloned().ok_or_else(|| {
            Error::input(file, "", "found no trainer in it", "a file that Trainer.save wrote").into()
        })
    })
}

/// The bytes of a file, with the system's own exception where they cannot be read.
#[pyfunction]
pub fn write_bytes(path: std::path::PathBuf, bytes: &[u8]) -> Answer<()> {
    guarded(|| Ok(holograd::files::write_atomically(path, bytes)?))
}

/// What stands in the place of a file in messages about arguments.
#[pyfunction]
pub fn arguments() -> &'static str {
    ARGUMENTS
}

/// The numbers of a parameter file, as those of a network.
#[pyfunction]
pub fn read_parameters<'py>(
    py: Python<'py>,
    network: &Network,
    file: &str,
    bytes: &[u8],
    single: bool,
) -> Answer<Bound<'py, PyDict>> {
    guarded(|| {
        let (shapes, mut tensors) = (network.network.shapes(), parse_tensors(file, bytes)?);
        use holograd::substrate::parameters::Parameters;
        Ok(match single {
            true => arrays::dict(py, &Parameters::<f32>::from_tensors(shapes, &mut tensors)?)?,
            false => arrays::dict(py, &Parameters::<f64>::from_tensors(shapes, &mut tensors)?)?,
        })
    })
}
