//! What a field that works sample by sample is bound to.

use std::borrow::Cow;

use num_complex::Complex;

use super::samples::Samples;
use crate::numerics::scalar::Scalar;
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time};

/// Samples one by one, and how they are taught.
#[derive(Clone)]
pub(super) struct Shown<T: Scalar> {
    /// Inputs of each sample.
    pub inputs: Vec<Vec<f64>>,
    /// Targets of each sample.
    pub targets: Vec<Vec<f64>>,
    /// Place of each sample in its batch.
    pub places: Vec<usize>,
    /// The common teaching signal.
    pub teaching: Teaching,
    /// A frozen β of each sample; empty where all samples are taught alike.
    pub own_betas: Vec<Complex<f64>>,
    /// What is added to the inputs in the course of time.
    pub signal: Option<Signal<T>>,
}

impl<T: Scalar> Shown<T> {
    /// These samples, without teaching.
    pub fn of(samples: &Samples<T>, inputs: usize, outputs: usize) -> Self {
        let columns = |values: &[T], size: usize| -> Vec<Vec<f64>> {
            let column = |i: usize| values[i * size..(i + 1) * size].iter().map(|x| x.double()).collect();
            (0..samples.count).map(column).collect()
        };
        Self {
            inputs: columns(&samples.inputs, inputs),
            targets: columns(&samples.targets, outputs),
            places: (samples.first..).take(samples.count).collect(),
            teaching: Teaching::none(),
            own_betas: Vec::new(),
            signal: None,
        }
    }

    /// Some of them, taught alike.
    pub fn select(&self, which: &[usize]) -> Self {
        let some = |columns: &[Vec<f64>]| which.iter().map(|i| columns[*i].clone()).collect();
        Self {
            inputs: some(&self.inputs),
            targets: some(&self.targets),
            places: which.iter().map(|i| self.places[*i]).collect(),
            own_betas: which.iter().filter_map(|i| self.own_betas.get(*i).copied()).collect(),
            ..self.clone()
        }
    }

    /// β of a sample, the common one given.
    pub fn beta(&self, common: Complex<f64>, sample: usize) -> Complex<f64> {
        common + self.own_betas.get(sample).copied().unwrap_or_default()
    }

    /// Moves the signal to a moment.
    pub fn advance(&mut self, time: Time) {
        if let Some(signal) = &mut self.signal {
            signal.advance(time);
        }
    }

    /// Inputs of a sample as they are now.
    pub fn moved(&self, sample: usize) -> Cow<'_, [f64]> {
        let still = &self.inputs[sample];
        match &self.signal {
            None => Cow::Borrowed(still),
            Some(signal) => {
                Cow::Owned(still.iter().zip(signal.values()).map(|(x, shift)| x + shift.double()).collect())
            }
        }
    }
}
