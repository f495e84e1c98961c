//! Parameters and samples of an experiment, from its files or its data.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use super::origin::Origin;
use super::setup::{Options, Setup};
use crate::data::{DataSpec, Lookup, Split};
use crate::error::{Error, Result};
use crate::learning;
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Reads the parameters at `path`, relative to the experiment.
///
/// # Errors
/// If the file is missing or damaged, or does not fit the network.
pub fn parameters<T: Scalar>(setup: &Setup, path: &str) -> Result<Parameters<T>> {
    let tensors = setup.origin.beside(path).tensors();
    let mut tensors = tensors.map_err(|e| e.referred_to_by(&setup.origin.display(), "parameters"))?;
    Parameters::from_tensors(setup.network.shapes(), &mut tensors)
}

/// Reads the parameters at `path`, or draws them from the seed where there is none.
///
/// # Errors
/// As [`parameters`].
pub fn initial<T: Scalar>(setup: &Setup, path: Option<&String>, seed: u64) -> Result<Parameters<T>> {
    let drawn = || Ok(Parameters::initial(setup.network.shapes(), seed));
    path.map_or_else(drawn, |path| parameters(setup, path))
}

/// Loads data, and checks it against the model.
///
/// # Errors
/// If the samples are missing or do not fit.
pub fn data(setup: &Setup, data: &DataSpec, seed: u64, options: &Options) -> Result<Split> {
    check_data(setup, data)?;
    data.load(seed, &lookup(&setup.origin, options))
}

/// Where the files of data are looked for.
pub fn lookup(origin: &Origin, options: &Options) -> Lookup {
    Lookup {
        folder_of_experiment: origin.folder(),
        data_dir: options.data.clone(),
        given: options.given.clone(),
    }
}

/// Checks data against the model, without loading them; the shape of one's own images is that of the first.
///
/// # Errors
/// If the samples do not fit.
pub fn check_data(setup: &Setup, data: &DataSpec) -> Result<()> {
    let network = &setup.network;
    let shape = data.shape(&lookup(&setup.origin, &Options::default()))?;
    let refuse = |found, legal| Err(Error::input(setup.origin.display(), "data", found, legal));
    if shape.inputs != network.inputs || shape.classes != network.output.size() {
        let found = format!("found samples of {} inputs and {} classes", shape.inputs, shape.classes);
        let (inputs, outputs) = (network.inputs, network.output.size());
        return refuse(found, format!("the model has {inputs} inputs and {outputs} outputs"));
    }
    match (shape.image, network.input_shape) {
        (Some(image), Some(input)) if image != input => refuse(
            format!("found images of the shape {image:?}"),
            format!("the model's input has the shape {input:?} (height, width, channels)"),
        ),
        _ => Ok(()),
    }
}

/// Checks that the learning rates are those of parameters that the network has.
///
/// # Errors
/// The first that is not, or whose factor is not legal.
pub fn check_learning_rates(setup: &Setup, rates: &BTreeMap<String, f64>) -> Result<()> {
    learning::check_factors(rates, &setup.network)
        .map_err(|invalid| invalid.under("learning_rates").in_file(setup.origin.display()))
}

/// How many samples the batch at `path` holds; 0 where what it holds is not legal.
///
/// # Errors
/// If the file is missing or damaged.
pub fn count(setup: &Setup, path: &str) -> Result<usize> {
    let tensors = setup.origin.beside(path).tensors();
    let tensors = tensors.map_err(|e| e.referred_to_by(&setup.origin.display(), "batch"))?;
    Ok(tensors.get("x").and_then(|x| x.shape.first().copied()).unwrap_or(0))
}

/// Reads the samples at `path`: `x` [samples, inputs], or [samples, height, width, channels] for a shaped input; `y` labels [samples], or targets [samples, outputs].
///
/// # Errors
/// If the file is missing or damaged, or does not fit the network.
pub fn samples<T: Scalar>(setup: &Setup, path: &str) -> Result<Samples<T>> {
    let network: &Network = &setup.network;
    let tensors = setup.origin.beside(path).tensors();
    let mut tensors = tensors.map_err(|e| e.referred_to_by(&setup.origin.display(), "batch"))?;
    let file = tensors.file().to_owned();
    let count = tensors.get("x").and_then(|x| x.shape.first().copied()).unwrap_or(0);
    let is_image = tensors.get("x").is_some_and(|x| x.shape.len() == 4);
    let shape = match network.input_shape {
        Some([height, width, channels]) if is_image => vec![count, height, width, channels],
        _ => vec![count, network.inputs],
    };
    let inputs = DMatrix::from_vec(network.inputs, count, tensors.reals::<T>("x", &shape)?);
    if count == 0 {
        return Err(Error::input(file, "x", "found no samples", "at least one"));
    }
    let outputs = network.output.size();
    let has_labels = tensors.get("y").is_some_and(|y| y.shape.len() == 1);
    let samples = if has_labels {
        Samples::labelled(&inputs, &tensors.labels("y", count, outputs)?, outputs)
    } else {
        let targets = tensors.matrix::<T>("y", [count, outputs])?;
        let targets = targets.transpose();
        if let Some(sample) = network.output.unnormalised(targets.as_slice()) {
            let found = format!("the targets of sample {sample} do not sum to 1");
            return Err(Error::input(file, "y", found, "cross_entropy takes labels, or probabilities"));
        }
        Samples::valued(&inputs, &targets)
    };
    tensors.refuse_unused()?;
    Ok(samples)
}

/// One of the samples, by its place in the batch.
///
/// # Errors
/// If there are not that many.
pub fn only<T: Scalar>(origin: &Origin, samples: &Samples<T>, sample: usize) -> Result<Samples<T>> {
    if sample >= samples.count {
        let found = format!("found {sample} in a batch of {}", samples.count);
        return Err(Error::input(origin.display(), "sample", found, "samples are counted from 0"));
    }
    // Its noise is that of a batch of its own.
    Ok(Samples { first: 0, ..samples.select(&[sample]) })
}
