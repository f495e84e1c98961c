//! From error vectors to gradients: the one place where signs and transposes live.

use num_complex::Complex;

use crate::lockin::{View, modulate};
use crate::scalar::{Scalar, gemm_outer};
use crate::substrate::network::{Network, Output, Source};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::state::StateShape;

/// What the local read-out of one chunk of samples has measured. All real, laid out as a real state.
pub struct Local<'a, T> {
    /// δ: the response of the rates to the teaching signal, per unit of β.
    pub error_vector: &'a [T],
    /// a*: the rates of the free equilibrium.
    pub free: &'a [T],
    /// p − y (or a − y) of the free equilibrium, [outputs × samples].
    pub output_error: &'a [T],
}

/// ∂C/∂W = −δ_to a*_fromᵀ for every directed edge (a tied pair's two directions add up), ∂C/∂b = −δ,
/// ∂C/∂R = (p − y) a*ᵀ; *summed* over the samples.
#[must_use]
pub fn gradient<T: Scalar>(
    network: &Network,
    shape: &StateShape,
    samples: &Samples<T>,
    local: &Local<'_, T>,
) -> Parameters<T> {
    let batch = samples.count;
    let mut gradient = Parameters::zeros(network.shapes());
    let minus: Vec<T> = local.error_vector.iter().map(|d| -*d).collect();
    for edge in &network.edges {
        let receiver = &minus[shape.layer(edge.to)];
        let (source, columns) = match edge.from {
            Source::Input => (samples.inputs.as_slice(), network.inputs),
            Source::Layer(layer) => (&local.free[shape.layer(layer)], shape.size(layer)),
        };
        let rows = shape.size(edge.to);
        let out = gradient.at_mut(edge.weight).as_mut_slice();
        if edge.transposed {
            gemm_outer((columns, batch, rows), source, receiver, T::one(), out);
        } else {
            gemm_outer((rows, batch, columns), receiver, source, T::one(), out);
        }
    }
    for (index, layer) in network.layers.iter().enumerate() {
        if let Some(bias) = layer.bias {
            sum_columns(&minus[shape.layer(index)], gradient.at_mut(bias).as_mut_slice());
        }
    }
    if let Output::Readout { layer, classes, weight, bias } = network.output {
        let rates = &local.free[shape.layer(layer)];
        let out = gradient.at_mut(weight).as_mut_slice();
        gemm_outer((classes, batch, shape.size(layer)), local.output_error, rates, T::one(), out);
        sum_columns(local.output_error, gradient.at_mut(bias).as_mut_slice());
    }
    gradient
}

/// out += Σ over the columns.
fn sum_columns<T: Scalar>(matrix: &[T], out: &mut [T]) {
    for column in matrix.chunks_exact(out.len()) {
        for (o, x) in out.iter_mut().zip(column) {
            *o += *x;
        }
    }
}

/// Sets the gradient of every tied pair and of the read-out to zero, for [`add_products`] and [`add_readout`] to fill.
pub fn clear_products<T: Scalar>(network: &Network, gradient: &mut Parameters<T>) {
    for (_, edge) in network.recurrent() {
        gradient.at_mut(edge.weight).fill(T::zero());
    }
    if let Output::Readout { weight, bias, .. } = network.output {
        gradient.at_mut(weight).fill(T::zero());
        gradient.at_mut(bias).fill(T::zero());
    }
}

/// Adds −Re(w a_to a_fromᵀ), summed over the samples, to the gradient of every tied pair: the read-out of a multiplier in
/// each synapse. `rates` are laid out as `shape`, real or complex.
pub fn add_products<T: Scalar>(
    network: &Network,
    shape: &StateShape,
    rates: &[T],
    weight: Complex<f64>,
    gradient: &mut Parameters<T>,
) {
    let mut modulated = Vec::new();
    for (from, edge) in network.recurrent().filter(|(_, edge)| !edge.transposed) {
        modulate((-weight.re, -weight.im), &rates[shape.layer(edge.to)], shape.rails, &mut modulated);
        let source = &rates[shape.layer(from)];
        let dimensions = (shape.size(edge.to), shape.columns(), shape.size(from));
        gemm_outer(dimensions, &modulated, source, T::one(), gradient.at_mut(edge.weight).as_mut_slice());
    }
}

/// Adds weight · Re((p − y) aᵀ) and weight · Re(p − y), summed over the samples, to the gradient of the read-out: its own
/// multipliers at one phase. `rates` are laid out as `shape`, `output_error` is [outputs × rails·samples].
pub fn add_readout<T: Scalar>(
    network: &Network,
    shape: &StateShape,
    (rates, output_error): (&[T], &[T]),
    weight: f64,
    gradient: &mut Parameters<T>,
) {
    let Output::Readout { layer, classes, weight: matrix, bias } = network.output else { return };
    let mut modulated = Vec::new();
    modulate((weight, 0.0), output_error, shape.rails, &mut modulated);
    let dimensions = (classes, shape.columns(), shape.size(layer));
    let sink = gradient.at_mut(matrix).as_mut_slice();
    gemm_outer(dimensions, &modulated, &rates[shape.layer(layer)], T::one(), sink);
    sum_columns(&modulated[..classes * shape.batch], gradient.at_mut(bias).as_mut_slice());
}

/// Adds what every synapse sees at this instant: −Re(w a_to a_from) for a tied pair, −Re(w a_to) x for an input, −Re(w a) for a
/// bias, κ Re(e a) for the read-out. With w = κ e^{−iωt}/|β| its average over a period is κ times the gradient, *summed* over
/// the samples. `inputs` is [inputs × samples]; every connection between layers is tied.
pub fn add_instantaneous<T: Scalar>(
    network: &Network,
    view: &View<'_, T>,
    inputs: &[T],
    weight: Complex<f64>,
    gain: f64,
    gradient: &mut Parameters<T>,
) {
    let shape = view.shape;
    add_products(network, shape, view.rates, weight, gradient);
    let mut modulated = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        modulate((-weight.re, -weight.im), &view.rates[shape.layer(index)], shape.rails, &mut modulated);
        let received = &modulated[..layer.size * shape.batch];
        for edge in network.edges.iter().filter(|e| e.to == index && e.from == Source::Input) {
            let dimensions = (layer.size, shape.batch, network.inputs);
            gemm_outer(dimensions, received, inputs, T::one(), gradient.at_mut(edge.weight).as_mut_slice());
        }
        if let Some(bias) = layer.bias {
            sum_columns(received, gradient.at_mut(bias).as_mut_slice());
        }
    }
    add_readout(network, shape, (view.rates, view.output_error), gain, gradient);
}
