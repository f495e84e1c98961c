//! The network as a substrate, and from error vectors to gradients: the one place where signs and transposes live.

use std::sync::Arc;

use num_complex::Complex;
use rayon::prelude::*;

use crate::error::Error;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::view::View;
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::field::Dynamics;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::interactions::{Direction, modulate};
use crate::substrate::neurons::network::{Layer, Output, Source, chunk};
use crate::substrate::parameters::{ParameterShape, Parameters};
use crate::substrate::samples::Samples;
use crate::substrate::{CHUNK, Field, Population, Substrate};

impl<T: Scalar> Substrate<T> for Effective<T> {
    fn populations(&self) -> Vec<Population> {
        let population = |layer: &Layer| Population {
            name: layer.name.clone(),
            size: layer.size,
            bounded: layer.is_bounded(),
        };
        self.network().layers.iter().map(population).collect()
    }

    fn parameters(&self) -> &Arc<[ParameterShape]> {
        self.network().shapes()
    }

    fn inputs(&self) -> usize {
        self.network().inputs
    }

    fn outputs(&self) -> usize {
        self.network().output.size()
    }

    fn shape(&self, batch: usize, rails: usize) -> StateShape {
        StateShape::new(self.network(), batch, rails)
    }

    fn bind<'a>(
        &'a self,
        samples: &Samples<T>,
        rails: usize,
        drive: Option<&[T]>,
    ) -> Box<dyn Field<'a, T> + 'a> {
        let real = Substrate::<T>::shape(self, samples.count, 1);
        Box::new(match drive {
            None => Dynamics::new(self, samples, rails),
            Some(drive) if rails == 1 => Dynamics::with_drive(self, samples, 1, drive[..real.len()].to_vec()),
            Some(drive) => Dynamics::with_drive(self, samples, 2, real.complexified(drive)),
        })
    }

    fn is_tied(&self) -> bool {
        self.network().is_tied()
    }

    fn fault(&self) -> Option<Error> {
        self.accelerated().fault()
    }

    fn chunk(&self, samples: usize) -> usize {
        if let Some(most) = self.accelerated().samples(self) {
            return samples.div_ceil(samples.div_ceil(most).max(1)).max(1);
        }
        chunk(self.network().shared().is_some(), samples)
    }

    fn free_state(&self, samples: &Samples<T>, rates: &[T]) -> Vec<T> {
        match self.form() {
            Form::Rate => rates.to_vec(),
            Form::Potential => Dynamics::new(self, samples, 1).state_of(rates),
        }
    }

    /// For every directed edge minus the derivative of ∂φ/∂W along its receiver's δ: ∂C/∂W = −δ_to a*_fromᵀ where the interaction is linear
    /// (a tied pair's two directions add up); ∂C/∂b = −δ, ∂C/∂R = (p − y) a*ᵀ.
    fn gradient(&self, shape: &StateShape, samples: &Samples<T>, local: &Local<'_, T>) -> Parameters<T> {
        let network = self.network();
        // A GPU takes all samples at once; here each thread takes some.
        if network.gpu.is_some() && shape.batch > CHUNK {
            let outputs = StateShape::block(network.output.size(), shape.batch, 1);
            let part = |which: &[usize]| {
                let part = Local {
                    error_vector: &shape.select(which, local.error_vector),
                    free: &shape.select(which, local.free),
                    output_error: &outputs.select(which, local.output_error),
                };
                self.gradient(&shape.with_batch(which.len()), &samples.select(which), &part)
            };
            let mut gradient = Parameters::zeros(network.shapes());
            in_parts(shape.batch, &mut gradient, part);
            return gradient;
        }
        let mut gradient = Parameters::zeros(network.shapes());
        let minus: Vec<T> = local.error_vector.iter().map(|d| -*d).collect();
        for (edge, synapses) in self.edges() {
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
            (network.output, self.readout())
        {
            let rates = &local.free[shape.layer(layer)];
            synapses.contract(rates, local.output_error, gradient.at_mut(weight));
            sum_columns(local.output_error, gradient.at_mut(bias));
        }
        gradient
    }

    /// The weights between layers and the read-out's.
    fn measured(&self) -> Vec<usize> {
        let between = self.network().between_layers().map(|(_, edge)| edge.weight);
        match self.network().output {
            Output::Readout { weight, bias, .. } => between.chain([weight, bias]).collect(),
            Output::SquaredError { .. } => between.collect(),
        }
    }

    /// −Re(w a_to a_fromᵀ) of a tied pair where it is linear.
    fn add_products(
        &self,
        shape: &StateShape,
        rates: &[T],
        weight: Complex<f64>,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    ) {
        if self.network().gpu.is_some() && shape.batch > CHUNK {
            let part = |which: &[usize]| {
                let (shape, rates) = (shape.with_batch(which.len()), shape.select(which, rates));
                let mut part = Parameters::zeros(self.network().shapes());
                self.add_products(&shape, &rates, weight, &mut part, &mut Vec::new());
                part
            };
            return in_parts(shape.batch, gradient, part);
        }
        for (from, edge, synapses) in self.recurrent().filter(|(_, e, _)| e.direction == Direction::Forward) {
            let (from, to) = (&rates[shape.layer(from)], &rates[shape.layer(edge.to)]);
            synapses.correlate(-weight, from, to, shape.rails, gradient.at_mut(edge.weight), scratch);
        }
    }

    /// Re((p − y) aᵀ) and Re(p − y).
    fn add_readout(
        &self,
        shape: &StateShape,
        (rates, output_error): (&[T], &[T]),
        weight: f64,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    ) {
        let Output::Readout { layer, classes, weight: matrix, bias } = self.network().output else { return };
        let Some((synapses, _)) = self.readout() else { return };
        let rates = &rates[shape.layer(layer)];
        synapses.correlate(weight.into(), rates, output_error, shape.rails, gradient.at_mut(matrix), scratch);
        modulate(weight.into(), output_error, shape.rails, scratch);
        sum_columns(&scratch[..classes * shape.batch], gradient.at_mut(bias));
    }
}

impl<T: Scalar> Effective<T> {
    /// Adds what every synapse sees at this instant: −Re(w a_to a_from) for a tied pair, −Re(w a_to) x for an input, −Re(w a) for a
    /// bias, κ Re(e a) for the read-out. With w = κ e^{−iωt}/|β| its average over a period is κ times the gradient, *summed* over
    /// the samples. `inputs` is [inputs × samples]; every connection between layers is tied.
    pub fn add_instantaneous(
        &self,
        view: &View<'_, T>,
        inputs: &[T],
        weight: Complex<f64>,
        gain: f64,
        gradient: &mut Parameters<T>,
    ) {
        let (network, shape) = (self.network(), view.shape);
        let mut modulated = Vec::new();
        self.add_products(shape, view.rates, weight, gradient, &mut modulated);
        for (index, layer) in network.layers.iter().enumerate() {
            modulate(-weight, &view.rates[shape.layer(index)], shape.rails, &mut modulated);
            let received = &modulated[..layer.size * shape.batch];
            for (edge, synapses) in self.from_input().filter(|(edge, _)| edge.to == index) {
                synapses.contract(inputs, received, gradient.at_mut(edge.weight));
            }
            if let Some(bias) = layer.bias {
                sum_columns(received, gradient.at_mut(bias));
            }
        }
        self.add_readout(shape, (view.rates, view.output_error), gain, gradient, &mut modulated);
    }
}

/// Adds to a gradient that of each chunk of the samples, on all threads, in the order of the chunks.
fn in_parts<T: Scalar>(
    samples: usize,
    gradient: &mut Parameters<T>,
    part: impl Fn(&[usize]) -> Parameters<T> + Send + Sync,
) {
    let places: Vec<usize> = (0..samples).collect();
    let parts: Vec<Parameters<T>> = places.par_chunks(CHUNK).map(part).collect();
    parts.iter().for_each(|part| gradient.add_scaled(T::one(), part));
}

/// out += Σ over the columns.
fn sum_columns<T: Scalar>(matrix: &[T], out: &mut [T]) {
    for column in matrix.chunks_exact(out.len()) {
        for (o, x) in out.iter_mut().zip(column) {
            *o += *x;
        }
    }
}
