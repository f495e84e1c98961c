//! What a gradient takes in Rust alone, to set the time of the same call from Python beside it.

use std::time::Instant;

use holograd::gradient::{EstimatorSpec, Setting, estimate_batch};
use holograd::imperfections::{Device, Imperfections};
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use pyo3::prelude::*;

use crate::arrays::Real;
use crate::errors::Answer;
use crate::network::Network;

fn seconds<T: Real>(
    network: &Network,
    estimator: &EstimatorSpec,
    (seed, samples): (u64, usize),
    diagnose: bool,
    repeats: usize,
) -> holograd::Result<Vec<f64>> {
    let network = &network.network;
    let parameters = Parameters::<T>::initial(network.shapes(), seed);
    let outputs = network.output.size();
    let inputs: Vec<T> = (0..samples * network.inputs).map(|i| T::of((i as f64 * 0.37).sin())).collect();
    let mut targets = vec![T::zero(); samples * outputs];
    (0..samples).for_each(|sample| targets[sample * outputs + sample % outputs] = T::one());
    let samples = Samples::of(samples, &inputs, &targets);
    let once = || {
        let begun = Instant::now();
        let device = Device::fabricate(network, &Imperfections::default());
        let effective = device.effective(Form::Potential, &parameters, 0);
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose };
        estimate_batch(&*estimator.build(), &setting, &samples, &mut Vec::new())?;
        Ok(begun.elapsed().as_secs_f64())
    };
    (0..repeats).map(|_| once()).collect()
}

/// Seconds of each of so many gradients of the samples that `benches/overhead.py` makes, in Rust.
#[pyfunction]
pub fn rust_seconds(
    py: Python<'_>,
    network: &Network,
    estimator: &str,
    single: bool,
    samples: usize,
    diagnose: bool,
    repeats: usize,
) -> Answer<Vec<f64>> {
    let estimator: EstimatorSpec = estimator.parse()?;
    Ok(py.detach(|| match single {
        true => seconds::<f32>(network, &estimator, (0, samples), diagnose, repeats),
        false => seconds::<f64>(network, &estimator, (0, samples), diagnose, repeats),
    })?)
}
