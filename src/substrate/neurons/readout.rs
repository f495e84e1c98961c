//! From error vectors to gradients: the one place where signs and transposes live.

use num_complex::Complex;

use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::view::View;
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::interactions::{Direction, modulate};
use crate::substrate::neurons::network::{Output, Source};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// For every directed edge minus the derivative of ∂φ/∂W along its receiver's δ: ∂C/∂W = −δ_to a*_fromᵀ where the interaction is linear
/// (a tied pair's two directions add up); ∂C/∂b = −δ, ∂C/∂R = (p − y) a*ᵀ; *summed* over the samples.
#[must_use]
pub fn gradient<T: Scalar>(
    effective: &Effective<T>,
    shape: &StateShape,
    samples: &Samples<T>,
    local: &Local<'_, T>,
) -> Parameters<T> {
    let network = effective.network();
    let mut gradient = Parameters::zeros(network.shapes());
    let minus: Vec<T> = local.error_vector.iter().map(|d| -*d).collect();
    for (edge, synapses) in effective.edges() {
        let receiver = shape.layer(edge.to);
        let source = match edge.from {
            Source::Input => samples.inputs.as_slice(),
            Source::Layer(layer) => &local.free[shape.layer(layer)],
        };
        let out = gradient.at_mut(edge.weight);
        match edge.direction {
            Direction::Forward => synapses.contract(source, &minus[receiver], out),
            Direction::Backward => {
                synapses.contract_along(&local.free[receiver.clone()], source, &minus[receiver], out);
            }
        }
    }
    for (index, layer) in network.layers.iter().enumerate() {
        if let Some(bias) = layer.bias {
            sum_columns(&minus[shape.layer(index)], gradient.at_mut(bias));
        }
    }
    if let (Output::Readout { layer, weight, bias, .. }, Some((synapses, _))) =
        (network.output, effective.readout())
    {
        let rates = &local.free[shape.layer(layer)];
        synapses.contract(rates, local.output_error, gradient.at_mut(weight));
        sum_columns(local.output_error, gradient.at_mut(bias));
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

/// Index of every parameter that a multiplier of its own can measure: the weights between layers and the read-out's.
#[must_use]
pub fn measured<T: Scalar>(effective: &Effective<T>) -> Vec<usize> {
    let between = effective.network().between_layers().map(|(_, edge)| edge.weight);
    match effective.network().output {
        Output::Readout { weight, bias, .. } => between.chain([weight, bias]).collect(),
        Output::SquaredError { .. } => between.collect(),
    }
}

/// Adds −Re(w ∂φ/∂W), summed over the samples, to the gradient of every tied pair: −Re(w a_to a_fromᵀ) where it is linear, the
/// read-out of a multiplier in each synapse. `rates` are laid out as `shape`, real or complex.
pub fn add_products<T: Scalar>(
    effective: &Effective<T>,
    shape: &StateShape,
    rates: &[T],
    weight: Complex<f64>,
    gradient: &mut Parameters<T>,
    scratch: &mut Vec<T>,
) {
    for (from, edge, synapses) in effective.recurrent().filter(|(_, e, _)| e.direction == Direction::Forward)
    {
        let (from, to) = (&rates[shape.layer(from)], &rates[shape.layer(edge.to)]);
        synapses.correlate(-weight, from, to, shape.rails, gradient.at_mut(edge.weight), scratch);
    }
}

/// Adds weight · Re((p − y) aᵀ) and weight · Re(p − y), summed over the samples, to the gradient of the read-out: its own
/// multipliers at one phase. `rates` are laid out as `shape`, `output_error` is [outputs × rails·samples].
pub fn add_readout<T: Scalar>(
    effective: &Effective<T>,
    shape: &StateShape,
    (rates, output_error): (&[T], &[T]),
    weight: f64,
    gradient: &mut Parameters<T>,
    scratch: &mut Vec<T>,
) {
    let Output::Readout { layer, classes, weight: matrix, bias } = effective.network().output else { return };
    let Some((synapses, _)) = effective.readout() else { return };
    let rates = &rates[shape.layer(layer)];
    synapses.correlate(weight.into(), rates, output_error, shape.rails, gradient.at_mut(matrix), scratch);
    modulate(weight.into(), output_error, shape.rails, scratch);
    sum_columns(&scratch[..classes * shape.batch], gradient.at_mut(bias));
}

/// Adds what every synapse sees at this instant: −Re(w a_to a_from) for a tied pair, −Re(w a_to) x for an input, −Re(w a) for a
/// bias, κ Re(e a) for the read-out. With w = κ e^{−iωt}/|β| its average over a period is κ times the gradient, *summed* over
/// the samples. `inputs` is [inputs × samples]; every connection between layers is tied.
pub fn add_instantaneous<T: Scalar>(
    effective: &Effective<T>,
    view: &View<'_, T>,
    inputs: &[T],
    weight: Complex<f64>,
    gain: f64,
    gradient: &mut Parameters<T>,
) {
    let (network, shape) = (effective.network(), view.shape);
    let mut modulated = Vec::new();
    add_products(effective, shape, view.rates, weight, gradient, &mut modulated);
    for (index, layer) in network.layers.iter().enumerate() {
        modulate(-weight, &view.rates[shape.layer(index)], shape.rails, &mut modulated);
        let received = &modulated[..layer.size * shape.batch];
        for (edge, synapses) in effective.from_input().filter(|(edge, _)| edge.to == index) {
            synapses.contract(inputs, received, gradient.at_mut(edge.weight));
        }
        if let Some(bias) = layer.bias {
            sum_columns(received, gradient.at_mut(bias));
        }
    }
    add_readout(effective, shape, (view.rates, view.output_error), gain, gradient, &mut modulated);
}
