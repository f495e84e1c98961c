//! A network, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use holograd::Error;
use holograd::experiment::load::load_model;
use holograd::experiment::{Precision, cost};
use holograd::gradient::compare::compare;
use holograd::gradient::{CHUNK, Estimate, EstimatorSpec, Setting, Surroundings, estimate_view};
use holograd::imperfections::{Device, Imperfections};
use holograd::numerics::scalar::Scalar;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::{self, Output};
use holograd::substrate::parameters::Parameters;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arrays::{ARGUMENTS, Batch, Real, array, dict, parameters, transposed};
use crate::errors::Answer;
use crate::json;
use crate::work::{at_once, attended, guarded};

/// Seconds up to which nobody wants an end.
const AT_ONCE: f64 = 0.02;

/// Bytes that there are always.
const SMALL: f64 = 3e7;

/// A validated, sized model.
#[pyclass(frozen, module = "holograd._holograd")]
pub struct Network {
    pub network: Arc<network::Network>,
    /// The model, every default written out.
    model: Value,
}

/// What an estimate is asked for besides samples.
struct Asked {
    estimator: EstimatorSpec,
    imperfections: Imperfections,
    form: Form,
    seed: u64,
    update: u64,
    diagnose: bool,
}

/// Reads a field that stands alone as it is read in an experiment; messages begin at its name.
fn field<T: DeserializeOwned>(name: &str, any: &Bound<'_, PyAny>) -> Answer<T> {
    let value = json::value_at(name, any, ARGUMENTS)?;
    Ok(holograd::experiment::load::field(name, value, ARGUMENTS)?)
}

#[pymethods]
impl Network {
    #[new]
    fn new(reference: &str, document: Option<&Bound<'_, PyAny>>) -> Answer<Self> {
        guarded(|| {
            let document = document.map(|any| json::value(any, reference)).transpose()?;
            let (model, network) = load_model(reference, document)?;
            let model = serde_json::to_value(&model).map_err(|e| Error::Internal(e.to_string()))?;
            Ok(Self { network: Arc::new(network), model })
        })
    }

    /// The model as a dict, every default written out.
    fn model<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::python(py, &self.model)
    }

    /// Names and sizes of the layers.
    #[getter]
    fn layers(&self) -> Vec<(String, usize)> {
        self.network.layers.iter().map(|layer| (layer.name.clone(), layer.size)).collect()
    }

    /// Names and dimensions of the parameters, in order.
    #[getter]
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.network.shapes().iter().map(|shape| (shape.name.clone(), shape.form.dimensions())).collect()
    }

    /// Number of inputs, the shape of an image where they have one, and number of outputs.
    #[getter]
    fn sizes(&self) -> (usize, Option<[usize; 3]>, usize) {
        (self.network.inputs, self.network.input_shape, self.network.output.size())
    }

    /// Whether the cost is that of classes.
    #[getter]
    fn classifies(&self) -> bool {
        matches!(self.network.output, Output::Readout { .. })
    }

    /// Initial parameters of a seed.
    fn initial<'py>(&self, py: Python<'py>, seed: u64, single: bool) -> Answer<Bound<'py, PyDict>> {
        guarded(|| {
            // Drawn, as parameters, and as arrays.
            let numbers: usize = self.network.shapes().iter().map(|shape| shape.form.len()).sum();
            cost::Cost { memory: 24.0 * numbers as f64, ..Default::default() }
                .refuse_memory("the parameters")?;
            Ok(match single {
                true => dict(py, &Parameters::<f32>::initial(self.network.shapes(), seed))?,
                false => dict(py, &Parameters::<f64>::initial(self.network.shapes(), seed))?,
            })
        })
    }

    /// The estimate of a batch, as a dict of its parts.
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        params: &Bound<'py, PyDict>,
        x: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        single: bool,
        estimator: &Bound<'py, PyAny>,
        imperfections: Option<&Bound<'py, PyAny>>,
        form: &Bound<'py, PyAny>,
        seed: u64,
        update: u64,
        diagnose: bool,
    ) -> Answer<Bound<'py, PyDict>> {
        guarded(|| {
            let imperfections = match imperfections {
                Some(any) => field("imperfections", any)?,
                None => Imperfections::default(),
            };
            let (estimator, form) = (field("estimator", estimator)?, field("form", form)?);
            let asked = Asked { estimator, imperfections, form, seed, update, diagnose };
            match single {
                true => self.estimate::<f32>(py, (params, x, y), &asked),
                false => self.estimate::<f64>(py, (params, x, y), &asked),
            }
        })
    }

    /// Agreement of two gradients of the network: total, of the weights between layers, and of each parameter.
    fn compare<'py>(
        &self,
        py: Python<'py>,
        estimate: &Bound<'py, PyDict>,
        truth: &Bound<'py, PyDict>,
    ) -> Answer<Bound<'py, PyAny>> {
        guarded(|| {
            let [estimate, truth] = [estimate, truth].map(|dict| parameters::<f64>(&self.network, dict));
            let comparison = compare(&estimate?, &truth?);
            let value = serde_json::to_value(comparison).map_err(|e| Error::Internal(e.to_string()))?;
            Ok(json::python(py, &value)?)
        })
    }
}

impl Network {
    /// Refuses what cannot be; returns about how many seconds the rest takes.
    fn check(&self, asked: &Asked, precision: Precision, samples: usize) -> holograd::Result<f64> {
        let Asked { estimator, imperfections, form, .. } = asked;
        let refuse = |path: &str| {
            let path = path.to_owned();
            move |invalid: holograd::error::Invalid| invalid.under(&path).in_file(ARGUMENTS)
        };
        imperfections.validate().map_err(refuse("imperfections"))?;
        imperfections.suit(&self.network).map_err(refuse("imperfections"))?;
        estimator.validate(&self.network, *form, Some(imperfections)).map_err(refuse("estimator"))?;
        let cost = cost::of_estimate(&self.network, precision, estimator, samples);
        // To ask the system takes longer than a small gradient.
        if cost.memory > SMALL {
            cost.refuse_memory(ARGUMENTS)?;
        }
        Ok(cost.seconds())
    }

    fn estimate<'py, T: Real>(
        &self,
        py: Python<'py>,
        (params, x, y): (&Bound<'py, PyDict>, &Bound<'py, PyAny>, &Bound<'py, PyAny>),
        asked: &Asked,
    ) -> Answer<Bound<'py, PyDict>> {
        let parameters = parameters::<T>(&self.network, params)?;
        let batch = Batch::<T>::new(&self.network, x, y)?;
        let samples = batch.view()?;
        let precision = if T::NAME == f32::NAME { Precision::F32 } else { Precision::F64 };
        let seconds = self.check(asked, precision, samples.count)?;
        let network = &self.network;
        let work = move || {
            let Asked { estimator, imperfections, form, seed, update, diagnose } = asked;
            let effective = Device::fabricate(network, imperfections).effective(*form, &parameters, *update);
            let noise = imperfections.instant().map(|instant| Surroundings::new(instant, *seed));
            let setting = Setting { substrate: &effective, noise, update: *update, diagnose: *diagnose };
            let estimate = estimate_view(&*estimator.build(), &setting, samples, &mut Vec::new())?;
            estimate.refuse_infinite(estimator.name())?;
            Ok(estimate)
        };
        let short = samples.count <= CHUNK && seconds < AT_ONCE;
        let estimate = if short { at_once(py, work) } else { attended(py, work) }?;
        self.parts(py, estimate, &asked.estimator)
    }

    /// An estimate as a dict.
    fn parts<'py, T: Real>(
        &self,
        py: Python<'py>,
        estimate: Estimate<T>,
        estimator: &EstimatorSpec,
    ) -> Answer<Bound<'py, PyDict>> {
        let parts = PyDict::new(py);
        parts.set_item("gradient", dict(py, &estimate.gradient)?)?;
        let quadrature = estimate.quadrature.map(|parameters| dict(py, &parameters)).transpose()?;
        parts.set_item("quadrature", quadrature)?;
        let layers = || self.network.layers.iter().map(|layer| layer.name.as_str());
        for (name, matrices) in [("free", estimate.free), ("error_vector", estimate.error_vector)] {
            let of_layers = PyDict::new(py);
            for (layer, matrix) in layers().zip(matrices) {
                of_layers.set_item(layer, transposed(py, matrix)?)?;
            }
            parts.set_item(name, of_layers)?;
        }
        let count = estimate.output_error.ncols();
        parts.set_item("output_error", transposed(py, estimate.output_error)?)?;
        let mut nudged: BTreeMap<&str, Vec<T>> = BTreeMap::new();
        let points = estimate.nudged.len();
        for point in &estimate.nudged {
            for (layer, matrix) in layers().zip(point) {
                nudged.entry(layer).or_default().extend_from_slice(matrix.as_slice());
            }
        }
        let of_layers = PyDict::new(py);
        for (layer, numbers) in nudged {
            let rails = numbers.len() / (points * count * self.size(layer)).max(1);
            of_layers.set_item(layer, array(py, &[points, rails, count, self.size(layer)], numbers)?)?;
        }
        parts.set_item("nudged", of_layers)?;
        let warnings = estimate.diagnostics.warnings(estimator.amplitude());
        parts.set_item("warnings", PyList::new(py, warnings)?)?;
        let value =
            serde_json::to_value(&estimate.diagnostics).map_err(|e| Error::Internal(e.to_string()))?;
        parts.set_item("diagnostics", json::python(py, &value)?)?;
        let value = serde_json::to_value(estimator).map_err(|e| Error::Internal(e.to_string()))?;
        parts.set_item("estimator", json::python(py, &value)?)?;
        Ok(parts)
    }

    fn size(&self, layer: &str) -> usize {
        self.network.layers.iter().find(|l| l.name == layer).map_or(1, |l| l.size)
    }
}
