//! The slowest relaxation rate: the clock that every finite-frequency estimate has to respect.

use nalgebra::DMatrix;

use crate::numerics::krylov::{eigenvalues, projections};
use crate::numerics::scalar::{Layout, Scalar};
use crate::substrate::{Linear, Sweep};

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
    let slower = |slowest: f64, matrix: &DMatrix<f64>| {
        // No mode of a sample all of whose vectors shrink faster is slower: what a bound tells needs no eigenvalues.
        if slowest.is_finite() && shrinks_at(matrix, slowest) { slowest } else { slowest.min(rate(matrix)) }
    };
    projected(linear, products).iter().fold(f64::INFINITY, slower)
}

/// τ⁻¹J of each sample, projected onto its Krylov space.
fn projected<T: Scalar>(linear: &dyn Linear<T>, products: usize) -> Vec<DMatrix<f64>> {
    let shape = linear.shape();
    let mut scratch = vec![T::zero(); shape.len()];
    let apply = |v: &[T], out: &mut [T]| {
        linear.target(Layout::Plain, v, out, &mut scratch);
        for ((o, v), tau) in out.iter_mut().zip(v).zip(linear.tau()) {
            *o = (*o - *v) / *tau;
        }
    };
    // What is lost of orthogonality multiplies from step to step, and rates appear that are none.
    projections(shape, apply, &vec![T::zero(); shape.len()], products, f64::INFINITY)
}

/// −max Re λ of a matrix; not a number if it has an element that is not.
fn rate(matrix: &DMatrix<f64>) -> f64 {
    let values = eigenvalues(matrix).unwrap_or_default();
    values.iter().map(|z| -z.re).reduce(f64::min).unwrap_or(f64::NAN)
}

/// Whether every vector shrinks at more than a rate under the flow of a matrix; then no mode is slower (Bendixson 1902).
fn shrinks_at(matrix: &DMatrix<f64>, rate: f64) -> bool {
    let mut shrinking = (matrix + matrix.transpose()) * -0.5;
    (0..matrix.nrows()).for_each(|i| shrinking[(i, i)] -= rate);
    shrinking.cholesky().is_some()
}

/// For each sample whether every mode of τ⁻¹J decays, as far as so many products see that begin from `start`, laid out as a real state:
/// it should hold more of the slow modes than of others. An element that is not a number does not decay. And how many products it took.
///
/// Where the layers make a `sweep` and all have one τ, the modes of two passes are those of one set alone: half as many products see as much.
#[must_use]
pub fn modes_decay<T: Scalar>(
    linear: &dyn Linear<T>,
    sweep: Option<&Sweep>,
    products: usize,
    start: &[T],
) -> (Vec<bool>, u64) {
    let tau = linear.tau();
    match sweep.filter(|sweep| !sweep.own && tau.iter().all(|t| *t == tau[0])) {
        Some(sweep) => {
            let passes = products.div_ceil(2).min(linear.shape().with_layers(&sweep.then).neurons());
            (passes_decay(linear, sweep, passes, start), passes as u64)
        }
        None => {
            let products = products.min(linear.shape().neurons());
            (rates_decay(linear, products, start), products as u64)
        }
    }
}

/// Half a digit of orthogonality for each step that takes off no more.
const CANCELLED: f64 = 0.5;

fn rates_decay<T: Scalar>(linear: &dyn Linear<T>, products: usize, start: &[T]) -> Vec<bool> {
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
    let projected = projections(linear.shape(), apply, start, products, CANCELLED);
    projected.into_iter().map(|matrix| shrinks(matrix, leak.double())).collect()
}

/// Whether every mode of a matrix − shift decays: eigenvalues are far dearer than the bound, which rarely leaves a doubt.
fn shrinks(mut matrix: DMatrix<f64>, shift: f64) -> bool {
    (0..matrix.nrows()).for_each(|i| matrix[(i, i)] -= shift);
    shrinks_at(&matrix, 0.0) || rate(&matrix) > 0.0
}

/// As [`rates_decay`] by the eigenvalues ν of two passes, from one set of layers through the other and back: those of a pass are ±√ν.
fn passes_decay<T: Scalar>(linear: &dyn Linear<T>, sweep: &Sweep, passes: usize, start: &[T]) -> Vec<bool> {
    let shape = linear.shape();
    let [mut v, mut there, mut back, mut scratch] = [(); 4].map(|()| vec![T::zero(); shape.len()]);
    let apply = |part: &[T], out: &mut [T]| {
        shape.spread(&sweep.then, part, &mut v);
        linear.target_of(&sweep.first, &v, &mut there, &mut scratch);
        sweep.then.iter().for_each(|layer| there[shape.layer(*layer)].fill(T::zero()));
        linear.target_of(&sweep.then, &there, &mut back, &mut scratch);
        shape.gather(&sweep.then, &back, out);
    };
    let part = shape.with_layers(&sweep.then);
    let mut begin = vec![T::zero(); part.len()];
    shape.gather(&sweep.then, start, &mut begin);
    projections(&part, apply, &begin, passes, CANCELLED).iter().map(passes_shrink).collect()
}

/// Whether ±√ν has a real part below 1 for every eigenvalue ν of a matrix, which is |Im ν|² < 4 (1 − Re ν).
fn passes_shrink(matrix: &DMatrix<f64>) -> bool {
    let (even, odd) = ((matrix + matrix.transpose()) * 0.5, (matrix - matrix.transpose()) * 0.5);
    // Real parts lie within the even part's eigenvalues, imaginary parts within the odd one's (Bendixson 1902), which come in pairs.
    let room = 1.0 - 0.25 * odd.norm_squared();
    let sure = DMatrix::from_diagonal_element(matrix.nrows(), matrix.nrows(), room) - even;
    sure.cholesky().is_some()
        || eigenvalues(matrix).is_some_and(|all| all.iter().all(|square| square.sqrt().re.abs() < 1.0))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use rand::RngExt;

    use super::*;
    use crate::numerics::rng::{Purpose, stream};
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
            let linearised = Linearised::new(&effective, &shape, &potentials, &potentials);
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
    /// A network whose J is W − 1: two layers, connected with each other, and with themselves unless they are
    /// `apart`; the farther from symmetric the greater `skew`.
    fn linear_network(apart: bool, tau: f64, skew: f64, seed: u64) -> Effective<f64> {
        let connect = |from: &str, to: &str| serde_json::json!({ "from": from, "to": to });
        let mut connections = vec![connect("input", "a"), connect("a", "b"), connect("b", "a")];
        if !apart {
            connections.extend([connect("a", "a"), connect("b", "b")]);
        }
        let model: ModelSpec = serde_json::from_value(serde_json::json!({
            "name": "pair", "input": 1, "activation": "identity", "cost": "squared_error", "connections": connections,
            "layers": [{ "name": "a", "size": 9, "tau": 1.5 }, { "name": "b", "size": 6, "tau": tau }] }))
        .unwrap();
        let network = Arc::new(Network::new(&model).unwrap());
        let mut parameters = Parameters::initial(network.shapes(), seed);
        let mut random = stream(seed, Purpose::Data, 4);
        for (from, edge) in network.recurrent() {
            let scale = 0.35 * if from < edge.to { 1.0 + skew } else { 1.0 };
            let weights = parameters.at_mut(edge.weight).iter_mut();
            weights.for_each(|w| *w = scale * (2.0 * random.random::<f64>() - 1.0));
        }
        Effective::new(&network, Form::Potential, &parameters)
    }

    #[test]
    fn modes_decay_where_no_eigenvalue_grows() {
        for (apart, tau) in [(false, 1.5), (false, 2.5), (true, 1.5), (true, 2.5)] {
            let (mut transient, mut unstable) = (0, 0);
            for seed in 0..60 {
                let effective = linear_network(apart, tau, 0.1 * seed as f64, seed);
                let sweep = effective.network().sweep();
                assert_eq!(sweep.is_some(), apart);
                let shape = StateShape::new(effective.network(), 1, 1);
                let nothing = vec![0.0; shape.len()];
                let linear = Linearised::new(&effective, &shape, &nothing, &nothing);
                let mut j = linear.jacobian(0);
                let taus = linear.tau().to_vec();
                j.row_iter_mut().zip(taus).for_each(|(mut row, tau)| row /= tau);
                // Of exp(J)^(2^k): eigenvalues that come in pairs ± keep the QR iteration from converging.
                let (mut power, mut logarithm) = (j.exp(), 0.0);
                for _ in 0..30 {
                    let size = power.norm();
                    power /= size;
                    logarithm = 2.0 * (logarithm + size.ln());
                    power = &power * &power;
                }
                let growth = (logarithm + power.norm().ln()) / 2.0_f64.powi(30);
                let grows_at_first = (&j + j.transpose()).symmetric_eigenvalues().max() > 0.0;
                transient += usize::from(growth < 0.0 && grows_at_first);
                unstable += usize::from(growth > 0.0);
                let found = modes_decay(&linear, sweep.as_ref(), 15, &nothing);
                assert_eq!(found.0, [growth < 0.0], "{apart}, {tau}, {seed}: {growth}");
            }
            assert!(transient > 3 && unstable > 3 && unstable < 50, "{transient}, {unstable}");
        }
        let effective = linear_network(true, 1.5, f64::NAN, 1);
        let shape = StateShape::new(effective.network(), 1, 1);
        let linear = Linearised::new(&effective, &shape, &vec![0.0; shape.len()], &vec![0.0; shape.len()]);
        for sweep in [None, effective.network().sweep()] {
            assert_eq!(modes_decay(&linear, sweep.as_ref(), 15, &vec![0.0; shape.len()]).0, [false]);
        }
    }

    /// A linearised substrate that counts its products: one of some layers is half a product where there are two sets.
    struct Counting<'a> {
        linear: Linearised<'a, f64>,
        halves: Cell<u64>,
    }

    impl Linear<f64> for Counting<'_> {
        fn shape(&self) -> &StateShape {
            self.linear.shape()
        }
        fn tau(&self) -> &[f64] {
            self.linear.tau()
        }
        fn target(&self, layout: Layout, v: &[f64], out: &mut [f64], scratch: &mut [f64]) {
            self.halves.set(self.halves.get() + 2);
            self.linear.target(layout, v, out, scratch);
        }
        fn target_of(&self, layers: &[usize], v: &[f64], out: &mut [f64], scratch: &mut [f64]) {
            self.halves.set(self.halves.get() + 1);
            self.linear.target_of(layers, v, out, scratch);
        }
        fn integrated(&self, corrected: bool, v: &[f64], out: &mut [f64], scratch: &mut [f64]) {
            self.linear.integrated(corrected, v, out, scratch);
        }
        fn corrected(&self, v: &[f64], out: &mut [f64], scratch: &mut [f64]) {
            self.linear.corrected(v, out, scratch);
        }
        fn observe(&self, v: &[f64], out: &mut [f64]) {
            self.linear.observe(v, out);
        }
        fn cost_slope(&self, output_error: &[f64]) -> Vec<f64> {
            self.linear.cost_slope(output_error)
        }
        fn teaching(&self, output_error: &[f64]) -> Vec<f64> {
            self.linear.teaching(output_error)
        }
        fn jacobian(&self, sample: usize) -> DMatrix<f64> {
            self.linear.jacobian(sample)
        }
    }

    #[test]
    fn an_inspection_takes_the_products_that_it_tells() {
        for (apart, expected) in [(false, 15), (true, 6)] {
            let effective = linear_network(apart, 1.5, 0.1, 3);
            let shape = StateShape::new(effective.network(), 1, 1);
            let nothing = vec![0.0; shape.len()];
            let linear = Linearised::new(&effective, &shape, &nothing, &nothing);
            let counting = Counting { linear, halves: Cell::new(0) };
            let sweep = effective.network().sweep();
            let (_, told) = modes_decay(&counting, sweep.as_ref(), 18, &nothing);
            // As many as the network, or its second layer, has neurons.
            assert_eq!(told, expected);
            assert_eq!(counting.halves.get(), 2 * told);
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
        let linearised = Linearised::new(&effective, &shape, &potentials, &potentials);
        let slowest = |sample: usize| {
            let eigenvalues = linearised.jacobian(sample).complex_eigenvalues();
            eigenvalues.iter().map(|z| -z.re).fold(f64::INFINITY, f64::min)
        };
        let expected = slowest(0).min(slowest(1));
        let found = slowest_rate(&linearised);
        assert!((found - expected).abs() < 0.01 * expected.abs(), "{found}, not {expected}");
    }
}
