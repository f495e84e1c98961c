//! The slowest relaxation rate: the clock that every finite-frequency estimate has to respect.

use num_complex::Complex;

use crate::numerics::krylov::{decays, ritz_values};
use crate::numerics::scalar::{Layout, Scalar};
use crate::substrate::Linear;

/// Products with J per sample: enough for two digits of the slowest rate on networks of hundreds of neurons.
pub const PRODUCTS: usize = 60;

/// The slowest relaxation rate −max Re λ(τ⁻¹J) over the samples, in 1/τ; negative where the equilibrium is unstable.
///
/// Arnoldi on the Jacobian, matrix-free, with [`PRODUCTS`] products; exact for networks of up to so many neurons.
#[must_use]
pub fn slowest_rate<T: Scalar>(linear: &dyn Linear<T>) -> f64 {
    slowest_rate_by(linear, PRODUCTS)
}

/// As [`slowest_rate`], with fewer or more products. Of a symmetric J too few show too fast a rate, never too slow a one.
#[must_use]
pub fn slowest_rate_by<T: Scalar>(linear: &dyn Linear<T>, products: usize) -> f64 {
    slowest_rates(linear, products).into_iter().fold(f64::INFINITY, f64::min)
}

/// As [`slowest_rate_by`], of each sample; not a number where J has an element that is not.
#[must_use]
pub fn slowest_rates<T: Scalar>(linear: &dyn Linear<T>, products: usize) -> Vec<f64> {
    let mut scratch = vec![T::zero(); linear.shape().len()];
    let apply = |v: &[T], out: &mut [T]| {
        linear.target(Layout::Plain, v, out, &mut scratch);
        for ((o, v), tau) in out.iter_mut().zip(v).zip(linear.tau()) {
            *o = (*o - *v) / *tau;
        }
    };
    let values = ritz_values(linear.shape(), apply, products);
    let slowest = |values: &Vec<Complex<f64>>| values.iter().map(|z| -z.re).reduce(f64::min);
    values.iter().map(|values| slowest(values).unwrap_or(f64::NAN)).collect()
}

/// For each sample whether every mode of τ⁻¹J decays, as far as so many products see that begin from `start`, laid out as a real state:
/// it should hold more of the slow modes than of others. An element that is not a number does not decay.
#[must_use]
pub fn modes_decay<T: Scalar>(linear: &dyn Linear<T>, products: usize, start: &[T]) -> Vec<bool> {
    let mut scratch = vec![T::zero(); linear.shape().len()];
    // The same Krylov space, without what would have to be taken off each of its directions: the leak, where it is the same everywhere.
    let leak = linear.tau().first().map_or(T::one(), |tau| T::one() / *tau);
    let apply = |v: &[T], out: &mut [T]| {
        linear.target(Layout::Plain, v, out, &mut scratch);
        for ((o, v), tau) in out.iter_mut().zip(v).zip(linear.tau()) {
            let rate = T::one() / *tau;
            *o = rate * *o + (leak - rate) * *v;
        }
    };
    decays(linear.shape(), apply, leak.double(), start, products)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::numerics::state::StateShape;
    use crate::substrate::neurons::effective::Effective;
    use crate::substrate::neurons::form::Form;
    use crate::substrate::neurons::linear::Linearised;
    use crate::substrate::neurons::model::ModelSpec;
    use crate::substrate::neurons::network::Network;
    use crate::substrate::parameters::Parameters;

    #[test]
    fn the_slowest_rate_is_that_of_the_dense_jacobian() {
        for (taus, seed) in [(serde_json::json!([1.0, 1.0, 1.0]), 1), (serde_json::json!([0.5, 3.0, 0.8]), 2)]
        {
            let model: ModelSpec = serde_json::from_value(serde_json::json!({
                "name": "ring", "input": 2, "activation": "tanh", "cost": "squared_error",
                "layers": [{ "name": "a", "size": 3, "tau": taus }, { "name": "b", "size": 5 },
                    { "name": "c", "size": 2, "tau": 1.5 }],
                "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "independent" },
                    { "from": "b", "to": "c" }, { "from": "c", "to": "a" }] }))
            .unwrap();
            let network = Arc::new(Network::new(&model).unwrap());
            let parameters = Parameters::<f64>::initial(network.shapes(), seed);
            let effective = Effective::new(&network, Form::Potential, &parameters);
            let shape = StateShape::new(&network, 3, 1);
            let potentials: Vec<f64> = (0..shape.len()).map(|i| (1.3 * i as f64).sin()).collect();
            let linearised = Linearised::new(&effective, &shape, &potentials);
            let taus: Vec<f64> = network.layers.iter().flat_map(|l| l.tau.iter().copied()).collect();
            let slowest = |sample: usize| {
                let mut jacobian = linearised.jacobian(sample);
                for (mut row, tau) in jacobian.row_iter_mut().zip(&taus) {
                    row /= *tau;
                }
                jacobian.complex_eigenvalues().iter().map(|z| -z.re).fold(f64::INFINITY, f64::min)
            };
            let rates: Vec<f64> = (0..3).map(slowest).collect();
            let expected = rates.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(rates.iter().any(|r| (r - expected).abs() > 1e-3), "the samples differ: {rates:?}");
            let found = slowest_rate(&linearised);
            assert!((found - expected).abs() < 1e-10, "{found}, not {expected}");
        }
    }
    #[test]
    fn single_precision_finds_no_rates_that_are_none() {
        let model: ModelSpec = serde_json::from_value(serde_json::json!({
            "name": "wide", "input": 2, "activation": { "logistic": {} },
            "layers": [{ "name": "h1", "size": 256 }, { "name": "h2", "size": 256 }],
            "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
            "readout": { "from": "h2", "classes": 10 } }))
        .unwrap();
        let network = Arc::new(Network::new(&model).unwrap());
        let effective =
            Effective::new(&network, Form::Rate, &Parameters::<f32>::initial(network.shapes(), 0));
        let shape = StateShape::new(&network, 2, 1);
        let potentials: Vec<f32> = (0..shape.len()).map(|i| 0.3 + 0.6 * (1.3 * i as f32).sin()).collect();
        let linearised = Linearised::new(&effective, &shape, &potentials);
        let slowest = |sample: usize| {
            let eigenvalues = linearised.jacobian(sample).complex_eigenvalues();
            eigenvalues.iter().map(|z| -z.re).fold(f64::INFINITY, f64::min)
        };
        let expected = slowest(0).min(slowest(1));
        let found = slowest_rate(&linearised);
        assert!((found - expected).abs() < 0.01 * expected.abs(), "{found}, not {expected}");
    }
}
