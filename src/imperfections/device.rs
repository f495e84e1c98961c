//! The device: from the nominal parameters that learning knows to the effective ones that the physics uses.

use std::sync::Arc;

use super::Imperfections;
use super::fabrication::{Fabrication, Mismatch};
use super::programming::Programming;
use super::update::UpdateRule;
use crate::numerics::rng::{self, NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::effective::{Analog, Effective};
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::interactions::Direction;
use crate::substrate::neurons::network::{Edge, Layer, Network, Output, Source};
use crate::substrate::parameters::{ParameterShape, Parameters};

/// One device of a network: everything that fabrication has drawn. The same seed gives the same device in either precision.
///
/// Gain and offset of a = ρ(g u + o) are folded into what drives the neuron: v = g u + o obeys τ dv/dt = −v + o + g(Σ W a + b
/// − β ∂C/∂a), exactly. The potential of a mismatched neuron is therefore v, and noise is referred to it.
#[derive(Debug, Clone)]
pub struct Device<T: Scalar> {
    network: Arc<Network>,
    imperfections: Imperfections,
    /// Factor of every edge's weights, in their order.
    edges: Vec<Option<Vec<T>>>,
    /// Factor of the read-out's weights.
    readout: Option<Vec<T>>,
    gains: Option<Vec<Vec<f64>>>,
    offsets: Option<Vec<Vec<f64>>>,
    taus: Option<Vec<Vec<f64>>>,
    /// For each parameter, the elements that keep a weight whatever is written.
    stuck: Vec<Vec<(usize, f64)>>,
}

/// What a fabrication stream is for.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Part {
    Gain = 1,
    Offset = 2,
    Tau = 3,
    Input = 4,
    Weight = 5,
    Feedback = 6,
    Fault = 7,
    Step = 8,
    Parameter = 9,
}

impl Part {
    /// Random numbers of one item of a device.
    fn stream(self, device_seed: u64, item: usize) -> rand_chacha::ChaCha8Rng {
        rng::stream(device_seed, Purpose::Device, (self as u64) << 32 | item as u64)
    }
}

/// The time constant of every neuron of a device, layer by layer; none where they are the nominal ones.
#[must_use]
pub fn taus(network: &Network, imperfections: &Imperfections) -> Option<Vec<Vec<f64>>> {
    let fabrication = imperfections.fabrication.as_ref()?;
    let drawn = drawn(network, imperfections);
    let network = drawn.as_ref().unwrap_or(network);
    let Some(spread) = &fabrication.tau else {
        return drawn.is_some().then(|| network.layers.iter().map(|layer| layer.tau.clone()).collect());
    };
    let layer = |(index, layer): (usize, &Layer)| {
        let factors =
            spread.positive_factors(layer.size, &mut Part::Tau.stream(imperfections.device_seed, index));
        layer.tau.iter().zip(factors).map(|(nominal, factor)| nominal * factor).collect()
    };
    Some(network.layers.iter().enumerate().map(layer).collect())
}

/// The network with the parameters of its neurons by equation as they have been drawn; none where all are the nominal ones.
fn drawn(network: &Network, imperfections: &Imperfections) -> Option<Network> {
    // Each layer has room for more parameters than an equation can name.
    const MOST: usize = 1 << 12;
    let spreads = &imperfections.fabrication.as_ref()?.parameters;
    let draw = |index: usize, name: &str, place: usize, size: usize| {
        let spread = spreads.get(&network.layers[index].name)?.get(name)?;
        let mut stream = Part::Parameter.stream(imperfections.device_seed, index * MOST + place);
        Some(spread.positive_factors(size, &mut stream))
    };
    (!spreads.is_empty()).then(|| network.with_factors(draw))
}

/// Lanes of a write's random numbers, per parameter.
const LANES: u64 = 8;

impl<T: Scalar> Device<T> {
    /// Draws a device.
    #[must_use]
    pub fn fabricate(network: &Arc<Network>, imperfections: &Imperfections) -> Self {
        let none = Fabrication::default();
        let spec = imperfections.fabrication.as_ref().unwrap_or(&none);
        let network = &drawn(network, imperfections).map_or_else(|| Arc::clone(network), Arc::new);
        let seed = imperfections.device_seed;
        let stream = |part: Part, item: usize| part.stream(seed, item);
        let per_layer = |part, draw: &dyn Fn(usize, &mut rand_chacha::ChaCha8Rng) -> Vec<f64>| {
            (0..network.layers.len()).map(|l| draw(l, &mut stream(part, l))).collect::<Vec<_>>()
        };
        let size = |layer: usize| network.layers[layer].size;
        let gains = spec.gain.as_ref().map(|g| per_layer(Part::Gain, &|l, s| g.positive_factors(size(l), s)));
        let offsets = spec.offset.as_ref().map(|o| per_layer(Part::Offset, &|l, s| o.offsets(size(l), s)));
        let stuck: Vec<Vec<(usize, f64)>> = network
            .shapes()
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                if shape.role.is_weight() {
                    faults(spec, shape.form.devices(), &mut stream(Part::Fault, index))
                } else {
                    Vec::new()
                }
            })
            .collect();
        // The factor of the weight that a device holds, unless it is stuck.
        let factors = |index: usize, mismatch: &Mismatch| {
            let count = network.shapes()[index].form.devices();
            let mut drawn = mismatch.factors(count, &mut stream(Part::Weight, index));
            stuck[index].iter().for_each(|(i, _)| drawn[*i] = 1.0);
            drawn
        };
        let edge = |(place, edge): (usize, &Edge)| -> Option<Vec<T>> {
            let count = edge.interaction.copies() * edge.interaction.weights();
            let mut total: Option<Vec<f64>> = None;
            let mut multiply = |factors: &mut dyn Iterator<Item = f64>| {
                let total = total.get_or_insert_with(|| vec![1.0; count]);
                total.iter_mut().zip(factors).for_each(|(total, factor)| *total *= factor);
            };
            // Receiving and sending neuron of the edge itself.
            let ends = || edge.interaction.ends().map(|(r, s)| edge.direction.orient(r, s));
            if let Some(mismatch) = &spec.weight {
                multiply(&mut factors(edge.weight, mismatch).into_iter());
            }
            if let Some(mismatch) = spec.feedback.as_ref().filter(|_| is_feedback(network, place)) {
                let drawn = mismatch.factors(count, &mut stream(Part::Feedback, place));
                match edge.direction {
                    Direction::Forward => multiply(&mut drawn.into_iter()),
                    // The circuits that run back lie in an order of their own.
                    Direction::Backward => {
                        let order = edge.interaction.feedback_order();
                        let copies = drawn.chunks_exact(order.len());
                        multiply(&mut copies.flat_map(|drawn| order.iter().map(|place| drawn[*place])));
                    }
                }
            }
            if let Some(mismatch) = spec.input.as_ref().filter(|_| edge.from == Source::Input) {
                let drawn = mismatch.factors(network.inputs, &mut stream(Part::Input, 0));
                multiply(&mut ends().map(|(_, sender)| drawn[sender]));
            }
            if let Some(gains) = &gains {
                multiply(&mut ends().map(|(receiver, _)| gains[edge.to][receiver]));
            }
            total.map(|total| total.into_iter().map(T::of).collect())
        };
        let readout = match network.output {
            Output::Readout { weight, .. } => {
                spec.weight.as_ref().map(|m| factors(weight, m).into_iter().map(T::of).collect())
            }
            Output::SquaredError { .. } => None,
        };
        Self {
            edges: network.edges.iter().enumerate().map(edge).collect(),
            network: Arc::clone(network),
            imperfections: imperfections.clone(),
            readout,
            gains,
            offsets,
            taus: taus(network, imperfections),
            stuck,
        }
    }

    /// The effective network of newly written parameters. `write` is the number of the write: each draws its own errors.
    #[must_use]
    pub fn effective(&self, form: Form, parameters: &Parameters<T>, write: u64) -> Effective<T> {
        let mut effective = Effective::new(&self.network, form, parameters);
        self.program(parameters, write, &mut effective);
        effective
    }

    /// Writes parameters, and lets the time of the drift's specification pass.
    pub fn program(&self, parameters: &Parameters<T>, write: u64, effective: &mut Effective<T>) {
        let seconds = self.imperfections.drift.map_or(0.0, |drift| drift.seconds);
        self.program_at(parameters, write, seconds, effective);
    }

    /// As [`Self::program`], as the device is `seconds` after the write. The same write has the same errors at all times.
    pub fn program_at(
        &self,
        parameters: &Parameters<T>,
        write: u64,
        seconds: f64,
        effective: &mut Effective<T>,
    ) {
        let changed = self.imperfections.programming.is_some()
            || self.imperfections.drift.is_some()
            || self.stuck.iter().any(|s| !s.is_empty());
        let written: Vec<Vec<T>> = if changed {
            let write = |(index, shape): (usize, &ParameterShape)| {
                if !shape.role.is_weight() {
                    return Vec::new();
                }
                let mut devices = parameters.at(index).repeat(shape.form.copies());
                self.write(index, &mut devices, write, seconds);
                devices
            };
            self.network.shapes().iter().enumerate().map(write).collect()
        } else {
            Vec::new()
        };
        effective.program(parameters);
        let holds = |index: usize, devices: &mut [T]| {
            written.get(index).into_iter().for_each(|written| devices.copy_from_slice(written));
        };
        effective.alter(|Analog { weights, biases, readout }| {
            for ((edge, weights), factors) in self.network.edges.iter().zip(weights).zip(&self.edges) {
                holds(edge.weight, weights);
                multiply(weights, factors.as_deref());
            }
            if let (Some(readout), Output::Readout { weight, .. }) = (readout, self.network.output) {
                holds(weight, readout);
                multiply(readout, self.readout.as_deref());
            }
            for (layer, bias) in biases.iter_mut().enumerate() {
                if let Some(gains) = &self.gains {
                    bias.iter_mut().zip(&gains[layer]).for_each(|(b, g)| *b *= T::of(*g));
                }
                if let Some(offsets) = &self.offsets {
                    bias.iter_mut().zip(&offsets[layer]).for_each(|(b, o)| *b += T::of(*o));
                }
            }
        });
        let output = self.network.output.layer();
        let teaching_gain =
            self.gains.as_ref().map(|gains| gains[output].iter().map(|g| T::of(*g)).collect());
        effective.set_neurons(self.taus.clone(), teaching_gain);
    }

    /// Brings weights that pulses are to move into the range of the devices.
    pub fn confine(&self, parameters: &mut Parameters<T>) {
        let Some((_, weight_max)) = self.update_rule() else { return };
        let most = T::of(weight_max);
        for index in (0..parameters.len()).filter(|index| self.network.shapes()[*index].role.is_weight()) {
            // What is not a number is left: learning has diverged, and that must show.
            let beyond = parameters.at_mut(index).iter_mut().filter(|w| w.is_finite() && w.abs() > most);
            beyond.for_each(|w| *w = most.copysign(*w));
        }
    }

    /// How devices answer to updates, and the |w| at their largest conductance.
    fn update_rule(&self) -> Option<(&UpdateRule, f64)> {
        let programming = self.imperfections.programming.as_ref()?;
        Some((programming.update.as_ref()?, programming.weight_max?))
    }

    /// Changes parameters by `change` as far as the device's update rule realises it; without one, exactly. The parameters are
    /// what is stored on the device: nothing else remembers the past. `write` is the number of the update.
    pub fn update(&self, parameters: &mut Parameters<T>, change: &Parameters<T>, write: u64) {
        let Some((rule, weight_max)) = self.update_rule() else {
            parameters.add_scaled(T::one(), change);
            return;
        };
        self.confine(parameters);
        let seed = self.imperfections.device_seed;
        let key = NoiseKey::new(seed, Purpose::Programming, write);
        let devices = NoiseKey::new(seed, Purpose::Device, (Part::Step as u64) << 32);
        for index in 0..parameters.len() {
            let values = parameters.at_mut(index);
            if !self.network.shapes()[index].role.is_weight() {
                values.iter_mut().zip(change.at(index)).for_each(|(w, d)| *w += *d);
                continue;
            }
            let mut x: Vec<f64> = values.iter().map(|w| w.double() / weight_max).collect();
            let wanted: Vec<f64> = change.at(index).iter().map(|d| d.double() / weight_max).collect();
            let cells = rule.cells(&devices, index as u64, x.len());
            rule.pulse(&mut x, &wanted, &cells, &key, LANES * index as u64);
            for ((w, x), wanted) in values.iter_mut().zip(x).zip(wanted) {
                if !wanted.is_finite() {
                    // Pulses must not hide that learning has diverged.
                    *w = T::of(wanted);
                } else if wanted != 0.0 {
                    *w = T::of(x * weight_max);
                }
            }
        }
    }

    /// Replaces nominal weights by what the devices hold `seconds` after writing them.
    fn write(&self, index: usize, weights: &mut [T], write: u64, seconds: f64) {
        let Imperfections { programming, drift, device_seed, .. } = &self.imperfections;
        if programming.is_some() || drift.is_some() {
            let whole = Programming::default();
            let programming = programming.as_ref().unwrap_or(&whole);
            let nominal: Vec<f64> = weights.iter().map(|w| w.double()).collect();
            let scale = programming.scale(&nominal);
            let key = NoiseKey::new(*device_seed, Purpose::Programming, write);
            let devices = NoiseKey::new(*device_seed, Purpose::Drift, 0);
            let draw = |key: &NoiseKey, lane: u64, wanted: bool| {
                let mut z = vec![0.0; nominal.len()];
                if wanted {
                    key.normals(0, lane, &mut z);
                }
                z
            };
            let lane = LANES * index as u64;
            let draws = [0, 1].map(|side| {
                let written = draw(&key, lane + 1 + side, programming.noise.is_some());
                let read = draw(&key, lane + 3 + side, drift.is_some());
                (written, draw(&devices, 2 * index as u64 + side, drift.is_some()), read)
            });
            for (i, (w, nominal)) in weights.iter_mut().zip(&nominal).enumerate() {
                let targets = programming.targets(*nominal, scale);
                let mut held = targets;
                for (g, (target, (written, device, read))) in held.iter_mut().zip(targets.iter().zip(&draws))
                {
                    if let Some(noise) = programming.noise {
                        *g = (target + noise.sigma(*target) * written[i]).max(0.0);
                    }
                    if let Some(drift) = drift {
                        *g = drift.conductance(seconds, *target, *g, device[i], read[i]);
                    }
                }
                *w = T::of(programming.weight(held, scale));
            }
        }
        for (element, value) in &self.stuck[index] {
            weights[*element] = T::of(*value);
        }
    }
}

fn multiply<T: Scalar>(weights: &mut [T], factors: Option<&[T]>) {
    for (w, f) in weights.iter_mut().zip(factors.into_iter().flatten()) {
        *w *= *f;
    }
}

/// Whether an edge runs against an earlier one: the feedback of a pair.
fn is_feedback(network: &Network, place: usize) -> bool {
    let edge = &network.edges[place];
    network.edges[..place]
        .iter()
        .any(|e| e.from == Source::Layer(edge.to) && edge.from == Source::Layer(e.to))
}

/// Dead and stuck elements of a matrix, each drawn on its own.
fn faults(spec: &Fabrication, count: usize, stream: &mut impl rand::Rng) -> Vec<(usize, f64)> {
    let stuck = spec.stuck.map_or(0.0, |s| s.fraction);
    if stuck + spec.dead == 0.0 {
        return Vec::new();
    }
    let value = spec.stuck.map_or(0.0, |s| s.value);
    let uniform = rand_distr::Uniform::new(0.0, 1.0).expect("the unit interval is legal");
    (0..count)
        .filter_map(|element| {
            let u: f64 = rand_distr::Distribution::sample(&uniform, stream);
            if u < spec.dead {
                Some((element, 0.0))
            } else {
                (u < spec.dead + stuck).then_some((element, value))
            }
        })
        .collect()
}
