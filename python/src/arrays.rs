//! Arrays of NumPy as parameters and samples, and back.

use holograd::files::{Array, Tensors, Values};
use holograd::numerics::scalar::Scalar;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::SampleView;
use holograd::{Error, Result};
use nalgebra::DMatrix;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::Answer;

/// What stands in the place of a file in messages about arguments.
pub const ARGUMENTS: &str = "the arguments";

/// A number that both sides know.
pub trait Real: Scalar + Element {}

impl Real for f32 {}
impl Real for f64 {}

/// An array in C order, as `holograd/_arrays.py` hands it over: its shape and its numbers, where they lie.
pub struct Given<'py, T: Element> {
    array: PyReadonlyArrayDyn<'py, T>,
    name: String,
}

impl<'py, T: Element> Given<'py, T> {
    pub fn new(name: &str, any: &Bound<'py, PyAny>) -> Answer<Self> {
        let refused = || {
            let found = format!("found an array of another type than {}", std::any::type_name::<T>());
            Error::input(ARGUMENTS, name, found, "an array in C order")
        };
        let array: PyReadonlyArrayDyn<'py, T> = any.extract().map_err(|_| refused())?;
        if array.as_slice().is_err() {
            return Err(refused().into());
        }
        Ok(Self { array, name: name.to_owned() })
    }

    pub fn numbers(&self) -> Result<&[T]> {
        self.array.as_slice().map_err(|e| Error::Internal(format!("{}: {e}", self.name)))
    }

    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }
}

/// Refuses the first number that is not finite.
pub fn check_finite<T: Scalar>(name: &str, shape: &[usize], numbers: &[T]) -> Result<()> {
    // Without an early exit the search is one pass of vector instructions.
    if numbers.iter().fold(true, |all, x| all & x.is_finite()) {
        return Ok(());
    }
    let place = numbers.iter().position(|x| !x.is_finite()).unwrap_or(0);
    let mut index = vec![0; shape.len()];
    let mut rest = place;
    for (at, size) in index.iter_mut().zip(shape).rev() {
        *at = rest % size.max(&1);
        rest /= size.max(&1);
    }
    let found = format!("entry {index:?} is {}", numbers[place].double());
    Err(Error::input(ARGUMENTS, name, found, "every entry must be finite"))
}

/// The parameters of a network from a dict of arrays.
pub fn parameters<T: Real>(network: &Network, dict: &Bound<'_, PyDict>) -> Answer<Parameters<T>> {
    let mut parameters = Parameters::zeros(network.shapes());
    for (index, shape) in network.shapes().iter().enumerate() {
        let path = format!("params[{:?}]", shape.name);
        let Some(array) = dict.get_item(&shape.name)? else {
            let names: Vec<&str> = network.shapes().iter().map(|s| s.name.as_str()).collect();
            let legal = format!("the parameters of this network are {}", names.join(", "));
            return Err(Error::input(ARGUMENTS, path, "found no such array", legal).into());
        };
        let array = Given::<T>::new(&path, &array)?;
        let dimensions = shape.form.dimensions();
        if array.shape() != dimensions {
            let found = format!("found the shape {:?}", array.shape());
            return Err(Error::input(
                ARGUMENTS,
                path,
                found,
                format!("the expected shape is {dimensions:?}"),
            )
            .into());
        }
        check_finite(&path, array.shape(), array.numbers()?)?;
        parameters.set_array(index, array.numbers()?).map_err(|place| {
            let found = format!("entry {place} of the array is not zero");
            Error::input(ARGUMENTS, path, found, "entries are zero where the connection has no synapse")
        })?;
    }
    if dict.len() > network.shapes().len() {
        let known = |name: &String| network.shapes().iter().any(|shape| shape.name == *name);
        let names: Vec<String> = dict.keys().iter().filter_map(|key| key.extract().ok()).collect();
        let unknown = names.into_iter().find(|name| !known(name)).unwrap_or_default();
        let path = format!("params[{unknown:?}]");
        return Err(
            Error::input(ARGUMENTS, path, "found a parameter that this network does not have", "").into()
        );
    }
    Ok(parameters)
}

/// An array of these numbers, which are not copied.
pub fn array<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
    numbers: Vec<T>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyArray1::from_vec(py, numbers).reshape(shape.to_vec())?.into_any())
}

/// An array [samples, n] of a matrix [n × samples], whose numbers are not copied.
pub fn transposed<'py, T: Real>(py: Python<'py>, matrix: DMatrix<T>) -> PyResult<Bound<'py, PyAny>> {
    let shape = [matrix.ncols(), matrix.nrows()];
    array(py, &shape, matrix.data.into())
}

/// Parameters or a gradient as a dict of arrays, in the order and shape of parameter files.
pub fn dict<'py, T: Real>(py: Python<'py>, parameters: &Parameters<T>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (index, shape) in parameters.shapes().iter().enumerate() {
        dict.set_item(&shape.name, array(py, &shape.form.dimensions(), parameters.array(index))?)?;
    }
    Ok(dict)
}

/// Samples as `holograd/_arrays.py` hands them over: inputs [samples, inputs] and targets [samples, outputs], or labels [samples].
pub struct Batch<'py, T: Element> {
    inputs: Given<'py, T>,
    targets: Targets<'py, T>,
}

enum Targets<'py, T: Element> {
    Values(Given<'py, T>),
    OneHot(Vec<T>),
}

impl<'py, T: Real> Batch<'py, T> {
    pub fn new(network: &Network, x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> Answer<Self> {
        let inputs = Given::<T>::new("x", x)?;
        let (count, outputs) = (inputs.shape()[0], network.output.size());
        if count == 0 {
            return Err(Error::input(ARGUMENTS, "x", "found no samples", "at least one").into());
        }
        check_finite("x", inputs.shape(), inputs.numbers()?)?;
        let targets = match Given::<i64>::new("y", y) {
            Ok(labels) => {
                let labels = self::labels("y", labels.numbers()?, outputs)?;
                let mut hot = vec![T::zero(); count * outputs];
                hot.chunks_exact_mut(outputs)
                    .zip(labels)
                    .for_each(|(row, label)| row[label as usize] = T::one());
                Targets::OneHot(hot)
            }
            Err(_) => {
                let values = Given::<T>::new("y", y)?;
                check_finite("y", values.shape(), values.numbers()?)?;
                if let Some(sample) = network.output.unnormalised(values.numbers()?) {
                    let found = format!("the targets of sample {sample} do not sum to 1");
                    let legal = "cross_entropy takes labels, or probabilities";
                    return Err(Error::input(ARGUMENTS, "y", found, legal).into());
                }
                Targets::Values(values)
            }
        };
        Ok(Self { inputs, targets })
    }

    /// The samples, where they lie.
    pub fn view(&self) -> Result<SampleView<'_, T>> {
        let targets = match &self.targets {
            Targets::Values(values) => values.numbers()?,
            Targets::OneHot(hot) => hot,
        };
        Ok(SampleView { inputs: self.inputs.numbers()?, targets, count: self.inputs.shape()[0], first: 0 })
    }
}

/// Class indices.
pub fn labels(name: &str, numbers: &[i64], classes: usize) -> Result<Vec<u32>> {
    let label = |(at, number): (usize, &i64)| match u32::try_from(*number) {
        Ok(label) if (label as usize) < classes => Ok(label),
        _ => {
            let legal = format!("a label must lie between 0 and {}", classes.saturating_sub(1));
            Err(Error::input(ARGUMENTS, name, format!("entry [{at}] is {number}"), legal))
        }
    };
    numbers.iter().enumerate().map(label).collect()
}

/// Named arrays, float32, float64 or int64 in C order, as those of a file.
pub fn tensors(dict: &Bound<'_, PyDict>) -> Answer<Tensors> {
    let mut tensors = Tensors::new();
    for (name, any) in dict {
        let name: String = name.extract()?;
        if let Ok(array) = Given::<f32>::new(&name, &any) {
            tensors.insert(&name, array.shape(), Values::F32(array.numbers()?.to_vec()));
        } else if let Ok(array) = Given::<i64>::new(&name, &any) {
            tensors.insert(&name, array.shape(), Values::Integer(array.numbers()?.to_vec()));
        } else {
            let array = Given::<f64>::new(&name, &any)?;
            tensors.insert(&name, array.shape(), Values::F64(array.numbers()?.to_vec()));
        }
    }
    Ok(tensors)
}

/// The arrays of a file as a dict.
pub fn named<'py>(py: Python<'py>, tensors: &Tensors) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for name in tensors.names() {
        let Some(Array { shape, values }) = tensors.get(name) else { continue };
        let array = match values.clone() {
            Values::F32(values) => array(py, shape, values),
            Values::F64(values) => array(py, shape, values),
            Values::Integer(values) => array(py, shape, values),
        };
        dict.set_item(name, array?)?;
    }
    Ok(dict)
}
