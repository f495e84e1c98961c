//! Any estimate beside the truth: cosine and relative error, per parameter and in total.

use indexmap::IndexMap;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::numerics::scalar::Scalar;
use crate::substrate::parameters::{Parameters, Role};

/// The gradient of a cost by its values alone: a four-point central difference with a step for every parameter in turn.
///
/// # Errors
/// The first of `cost`.
pub fn finite_differences<E>(
    parameters: &Parameters<f64>,
    step: f64,
    mut cost: impl FnMut(&Parameters<f64>) -> Result<f64, E>,
) -> Result<Parameters<f64>, E> {
    let (mut gradient, mut moved) = (Parameters::zeros(parameters.shapes()), parameters.clone());
    for index in 0..parameters.len() {
        for (element, nominal) in parameters.at(index).iter().enumerate() {
            let mut at = |steps: f64| {
                moved.at_mut(index)[element] = nominal + steps * step;
                cost(&moved)
            };
            let slope = (8.0 * (at(1.0)? - at(-1.0)?) - (at(2.0)? - at(-2.0)?)) / (12.0 * step);
            moved.at_mut(index)[element] = *nominal;
            gradient.at_mut(index)[element] = slope;
        }
    }
    Ok(gradient)
}

/// How close one gradient is to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Cosine of the angle between the two; null if either is zero.
    pub cosine: Option<f64>,
    /// |estimate − truth| / |truth|; null if the truth is zero.
    pub relative_error: Option<f64>,
}

/// Agreement of every parameter and of the whole gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Of the whole gradient.
    pub total: Agreement,
    /// Of the weights between layers: what the oscillation teaches. The read-out's gradient is exact at any frequency and
    /// would hide their error.
    pub synapses: Agreement,
    /// Of each parameter, by name.
    pub parameters: IndexMap<String, Agreement>,
}

/// Inner products from which an agreement follows.
#[derive(Debug, Clone, Copy, Default)]
struct Products {
    both: f64,
    estimate: f64,
    truth: f64,
    difference: f64,
}

impl Products {
    fn add(&mut self, estimate: f64, truth: f64) {
        self.both += estimate * truth;
        self.estimate += estimate * estimate;
        self.truth += truth * truth;
        self.difference += (estimate - truth).powi(2);
    }

    fn join(&mut self, other: Self) {
        self.both += other.both;
        self.estimate += other.estimate;
        self.truth += other.truth;
        self.difference += other.difference;
    }

    fn agreement(self) -> Agreement {
        let norms = (self.estimate * self.truth).sqrt();
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        Agreement {
            cosine: finite(self.both / norms),
            relative_error: finite((self.difference / self.truth).sqrt()),
        }
    }
}

/// Compares an estimate with the truth, in double precision.
#[must_use]
pub fn compare<T: Scalar>(estimate: &Parameters<T>, truth: &Parameters<T>) -> Comparison {
    let (mut total, mut synapses) = (Products::default(), Products::default());
    let mut parameters = IndexMap::new();
    for (shape, ((_, a), (_, b))) in estimate.shapes().iter().zip(estimate.iter().zip(truth.iter())) {
        let products = products(a, b);
        total.join(products);
        if shape.role == Role::Synapses {
            synapses.join(products);
        }
        parameters.insert(shape.name.clone(), products.agreement());
    }
    Comparison { total: total.agreement(), synapses: synapses.agreement(), parameters }
}

/// Cosines between the error vectors of an estimate and of the truth, each the mean over the samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorCosines {
    /// Of each layer; none if either is zero for every sample.
    pub layers: Vec<Option<f64>>,
    /// Of all neurons together.
    pub total: Option<f64>,
}

/// Compares error vectors: for each layer a matrix [n × samples].
#[must_use]
pub fn compare_error_vectors<T: Scalar>(estimate: &[DMatrix<T>], truth: &[DMatrix<T>]) -> ErrorCosines {
    let samples = truth.first().map_or(0, DMatrix::ncols);
    let mut whole = vec![Products::default(); samples];
    let mut layers = Vec::new();
    for (ours, theirs) in estimate.iter().zip(truth) {
        let of_sample = |(a, b): (&[T], &[T])| products(a, b);
        let rows = theirs.nrows();
        let pairs = ours.as_slice().chunks(rows).zip(theirs.as_slice().chunks(rows));
        let by_sample: Vec<Products> = pairs.map(of_sample).collect();
        whole.iter_mut().zip(&by_sample).for_each(|(whole, part)| whole.join(*part));
        layers.push(mean_cosine(&by_sample));
    }
    ErrorCosines { layers, total: mean_cosine(&whole) }
}

fn mean_cosine(samples: &[Products]) -> Option<f64> {
    let cosines: Vec<f64> = samples.iter().filter_map(|p| p.agreement().cosine).collect();
    (!cosines.is_empty()).then(|| cosines.iter().sum::<f64>() / cosines.len() as f64)
}

/// Agreement of two vectors of numbers.
#[must_use]
pub fn agreement<T: Scalar>(estimate: &[T], truth: &[T]) -> Agreement {
    products(estimate, truth).agreement()
}

fn products<T: Scalar>(estimate: &[T], truth: &[T]) -> Products {
    let mut products = Products::default();
    for (a, b) in estimate.iter().zip(truth) {
        products.add(a.double(), b.double());
    }
    products
}

/// The relative error over the weights between layers with the quadrature counted in: that of the full complex estimate.
#[must_use]
pub fn complex_relative_error<T: Scalar>(
    estimate: &Parameters<T>,
    quadrature: &Parameters<T>,
    truth: &Parameters<T>,
) -> Option<f64> {
    // Truth + quadrature is off the truth by the quadrature.
    let real = compare(estimate, truth).synapses.relative_error?;
    let imaginary = {
        let mut shifted = truth.clone();
        shifted.add_scaled(T::one(), quadrature);
        compare(&shifted, truth).synapses.relative_error?
    };
    Some(real.hypot(imaginary))
}
