//! The effective network: the weights, biases and time constants that the physics uses.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::accelerated::Slot;
use super::form::Form;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::neurons::interactions::{Direction, Synapses, Wanted};
use crate::substrate::neurons::network::{Edge, Network, Output, Source};
use crate::substrate::parameters::{Arrangement, Parameters};

/// A network programmed with parameters, every directed edge with weights of its own.
///
/// Both edges of a tied pair hold the pair's weights: fabrication may have made them differ, and each prepares them for its own product.
#[derive(Debug, Clone)]
pub struct Effective<T: Scalar> {
    network: Arc<Network>,
    form: Form,
    /// Of every edge, in the order of the network's.
    synapses: Vec<Synapses<T>>,
    /// Whose synapses compute for each edge: its own, or those of the other half of its pair where the weights are shared by positions and
    /// the same, so that one convolution serves both.
    computing: Vec<usize>,
    /// Whether every connection runs back through a half of the same weights.
    symmetric: bool,
    biases: Vec<Vec<T>>,
    readout: Option<Readout<T>>,
    taus: Option<Vec<Vec<f64>>>,
    teaching_gain: Option<Vec<T>>,
    /// Of [`Self::amplification`], once it has been asked for.
    amplification: OnceLock<f64>,
    /// The same network on a GPU, where it has one.
    accelerated: Slot,
}

/// The read-out of an effective network.
#[derive(Debug, Clone)]
struct Readout<T: Scalar> {
    synapses: Synapses<T>,
    bias: Vec<T>,
}

/// The programmed quantities of an effective network, to be changed in place.
pub(crate) struct Analog<'a, T> {
    /// Weights of every edge, in the order of the network's edges.
    pub weights: Vec<&'a mut [T]>,
    /// Biases of every layer.
    pub biases: &'a mut [Vec<T>],
    /// The read-out's weights.
    pub readout: Option<&'a mut [T]>,
}

/// The read-out is used in both directions: to read, and to teach.
const BOTH: Wanted = Wanted { forward: true, backward: true };

impl<T: Scalar> Effective<T> {
    /// Programs the parameters.
    #[must_use]
    pub fn new(network: &Arc<Network>, form: Form, parameters: &Parameters<T>) -> Self {
        let readout = match network.output {
            Output::Readout { weight, classes, .. } => match &network.shapes()[weight].form {
                Arrangement::Weights(dense) => {
                    Some(Readout { synapses: dense.couple(), bias: vec![T::zero(); classes] })
                }
                Arrangement::Vector(_) => None,
            },
            Output::SquaredError { .. } => None,
        };
        let mut effective = Self {
            network: Arc::clone(network),
            form,
            synapses: network.edges.iter().map(|edge| edge.interaction.couple()).collect(),
            computing: (0..network.edges.len()).collect(),
            symmetric: false,
            biases: network.layers.iter().map(|l| vec![T::zero(); l.size]).collect(),
            readout,
            taus: None,
            teaching_gain: None,
            amplification: OnceLock::new(),
            accelerated: Slot::default(),
        };
        effective.program(parameters);
        effective
    }

    /// Programs the initial parameters of a seed.
    #[must_use]
    pub fn initial(network: &Arc<Network>, form: Form, seed: u64) -> Self {
        Self::new(network, form, &Parameters::initial(network.shapes(), seed))
    }

    /// Writes new parameters.
    pub fn program(&mut self, parameters: &Parameters<T>) {
        for (edge, synapses) in self.network.edges.iter().zip(&mut self.synapses) {
            let weights = parameters.at(edge.weight);
            synapses.weights_mut().chunks_exact_mut(weights.len()).for_each(|d| d.copy_from_slice(weights));
        }
        for (layer, bias) in self.network.layers.iter().zip(&mut self.biases) {
            match layer.bias {
                Some(index) => {
                    // One for each channel stands for all positions.
                    let shared = parameters.at(index);
                    bias.chunks_exact_mut(shared.len()).for_each(|bias| bias.copy_from_slice(shared));
                }
                // A device may have given it an offset.
                None => bias.fill(T::zero()),
            }
        }
        if let (Output::Readout { weight, bias, .. }, Some(readout)) =
            (self.network.output, &mut self.readout)
        {
            readout.synapses.weights_mut().copy_from_slice(parameters.at(weight));
            readout.bias.copy_from_slice(parameters.at(bias));
        }
        self.prepare();
    }

    fn prepare(&mut self) {
        self.amplification = OnceLock::new();
        for (place, edge) in self.network.edges.iter().enumerate() {
            let same = |other: &usize| {
                edge.interaction.is_shared()
                    && self.network.edges[*other].weight == edge.weight
                    && self.synapses[*other].weights() == self.synapses[place].weights()
            };
            self.computing[place] = (0..place).find(same).unwrap_or(place);
            if self.computing[place] == place {
                self.synapses[place].prepare(edge.wanted());
            }
        }
        self.symmetric = self.network.is_tied() && self.halves_agree();
        if let Some(readout) = &mut self.readout {
            readout.synapses.prepare(BOTH);
        }
        let mut accelerated = std::mem::take(&mut self.accelerated);
        accelerated.program(self);
        self.accelerated = accelerated;
    }

    /// Whether both halves of every pair have the same weights.
    fn halves_agree(&self) -> bool {
        let edges = &self.network.edges;
        let same = |a: usize, b: usize| {
            self.computing[a] == self.computing[b] || self.synapses[a].weights() == self.synapses[b].weights()
        };
        let half_of = |edge: &Edge| {
            let forward = |other: &Edge| other.weight == edge.weight && other.direction == Direction::Forward;
            edges.iter().position(forward)
        };
        edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.direction == Direction::Backward)
            .all(|(place, edge)| half_of(edge).is_some_and(|half| same(half, place)))
    }

    /// Where its states are computed, if not here.
    pub(super) fn accelerated(&self) -> &Slot {
        &self.accelerated
    }

    /// The instance whose parameters these are.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Which variable is integrated.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Every edge with its programmed weights.
    pub fn edges(&self) -> impl Iterator<Item = (&Edge, &Synapses<T>)> {
        self.network.edges.iter().zip(self.computing.iter().map(|place| &self.synapses[*place]))
    }

    /// Adds Σ_j Re a_j², Σ_j Im a_j² and Σ_j Re a_j Im a_j over the synapses of each neuron of a layer, for one sample, whose inputs
    /// are given apart.
    pub(super) fn add_power(
        &self,
        (to, sample): (usize, usize),
        (inputs, rates): (&[T], &[T]),
        shape: &StateShape,
        powers: &mut [[T; 3]],
    ) {
        for (edge, synapses) in self.edges().filter(|(edge, _)| edge.to == to) {
            let (re, im): (&[T], &[T]) = match edge.from {
                Source::Input => (inputs, &[]),
                Source::Layer(from) if shape.rails == 1 => (&rates[shape.column(from, 0, sample)], &[]),
                Source::Layer(from) => {
                    (&rates[shape.column(from, 0, sample)], &rates[shape.column(from, 1, sample)])
                }
            };
            synapses.add_power(edge.direction, re, im, powers);
        }
    }

    /// Every edge between layers: sending layer, edge, programmed weights.
    pub fn recurrent(&self) -> impl Iterator<Item = (usize, &Edge, &Synapses<T>)> {
        self.edges().filter_map(|(edge, synapses)| match edge.from {
            Source::Input => None,
            Source::Layer(layer) => Some((layer, edge, synapses)),
        })
    }

    /// Every edge from the input, with its programmed weights.
    pub fn from_input(&self) -> impl Iterator<Item = (&Edge, &Synapses<T>)> {
        self.edges().filter(|(edge, _)| edge.from == Source::Input)
    }

    /// By how much the connections between layers can amplify a current in one pass: the product of their largest row sums of |W|, of
    /// those above 1.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        *self.amplification.get_or_init(|| {
            self.recurrent().fold(1.0, |product, (_, edge, synapses)| {
                product * synapses.amplification(edge.direction).max(1.0)
            })
        })
    }

    /// Adds what all layers send to each other at the given rates, laid out as `shape`. Returns the number of products.
    pub fn couple(&self, shape: &StateShape, rates: &[T], out: &mut [T]) -> u64 {
        self.couple_to(|_| true, shape, rates, out)
    }

    /// As [`Self::couple`] of some of the receiving layers.
    pub fn couple_to(
        &self,
        receives: impl Fn(usize) -> bool,
        shape: &StateShape,
        rates: &[T],
        out: &mut [T],
    ) -> u64 {
        self.couple_late((|edge| receives(edge.to), |_| rates), shape, rates, out)
    }

    /// As [`Self::couple`] of some of the edges, each with the rates that arrive by it, laid out as the state.
    pub(super) fn couple_late<'r>(
        &self,
        (wanted, arriving): (impl Fn(&Edge) -> bool, impl Fn(&Edge) -> &'r [T]),
        shape: &StateShape,
        rates: &'r [T],
        out: &mut [T],
    ) -> u64 {
        let mut products = 0;
        for (from, edge, synapses) in self.recurrent().filter(|(_, edge, _)| wanted(edge)) {
            let (sent, out) = (&arriving(edge)[shape.layer(from)], &mut out[shape.layer(edge.to)]);
            match edge.direction {
                Direction::Forward => synapses.forward(sent, shape.rails, out),
                Direction::Backward => {
                    synapses.pull_back(&rates[shape.layer(edge.to)], sent, shape.rails, out);
                }
            }
            products += 1;
        }
        products
    }

    /// out += K v, or Kᵀ v where the layout says so, with K the derivative of [`Self::couple`] at real rates: the coupling itself where
    /// it is linear. `at` and v are laid out as real states, or v as a complex one. Returns the number of products.
    pub fn multiply(&self, shape: &StateShape, layout: Layout, at: &[T], v: &[T], out: &mut [T]) -> u64 {
        self.products(shape, (layout, true), at, v, out)
    }

    /// As [`Self::multiply`], without the curvature of poolings: what is left is the coupling between different ends of connections.
    pub fn exchange(&self, shape: &StateShape, layout: Layout, at: &[T], v: &[T], out: &mut [T]) -> u64 {
        self.products(shape, (layout, false), at, v, out)
    }

    fn products(
        &self,
        shape: &StateShape,
        (layout, curved): (Layout, bool),
        at: &[T],
        v: &[T],
        out: &mut [T],
    ) -> u64 {
        // A pooling's derivatives are computed together.
        let layout = if curved && self.symmetric { Layout::Plain } else { layout };
        let mut products = 0;
        for (from, edge, synapses) in self.recurrent() {
            let (sender, receiver) = match edge.direction {
                Direction::Forward => (from, edge.to),
                Direction::Backward => (edge.to, from),
            };
            let at = |layer: usize| {
                let Range { start, end } = shape.layer(layer);
                if at.is_empty() { at } else { &at[start / shape.rails..end / shape.rails] }
            };
            let range = |layer: usize| shape.layer(layer);
            let back = (layout == Layout::Plain) != (edge.direction == Direction::Forward);
            if !back {
                synapses.push_forward(at(sender), &v[range(sender)], shape.rails, &mut out[range(receiver)]);
            }
            if curved && edge.direction == Direction::Backward {
                let along = (&v[range(sender)], back.then(|| &v[range(receiver)]));
                let at = (at(sender), at(receiver));
                synapses.pull_back_along(at, along, shape.rails, &mut out[range(sender)]);
            } else if back {
                synapses.pull_back(at(sender), &v[range(receiver)], shape.rails, &mut out[range(sender)]);
            }
            products += 1;
        }
        products
    }

    /// Whether the coupling is reciprocal as it is programmed now, so that its derivative is its own transpose.
    pub(super) const fn is_symmetric(&self) -> bool {
        self.symmetric
    }

    /// Bias of each neuron of a layer.
    #[must_use]
    pub fn bias(&self, layer: usize) -> &[T] {
        &self.biases[layer]
    }

    /// Time constant of each neuron of a layer, in units of the nominal τ.
    #[must_use]
    pub fn tau(&self, layer: usize) -> &[f64] {
        self.taus.as_ref().map_or(&self.network.layers[layer].tau, |taus| &taus[layer])
    }

    /// Gain with which each output neuron receives the teaching current, where it is not one.
    #[must_use]
    pub fn teaching_gain(&self) -> Option<&[T]> {
        self.teaching_gain.as_deref()
    }

    /// Lets a device change what has been written.
    pub(crate) fn alter(&mut self, change: impl FnOnce(Analog<'_, T>)) {
        let readout = self.readout.as_mut().map(|readout| readout.synapses.weights_mut());
        let weights = self.synapses.iter_mut().map(|synapses| synapses.weights_mut()).collect();
        change(Analog { weights, biases: &mut self.biases, readout });
        self.prepare();
    }

    /// Gives the neurons time constants and teaching gains of their own.
    pub(crate) fn set_neurons(&mut self, taus: Option<Vec<Vec<f64>>>, teaching_gain: Option<Vec<T>>) {
        self.taus = taus;
        self.teaching_gain = teaching_gain;
        self.accelerated = Slot::default();
    }

    /// The read-out's synapses and biases, where there is one.
    #[must_use]
    pub fn readout(&self) -> Option<(&Synapses<T>, &[T])> {
        self.readout.as_ref().map(|readout| (&readout.synapses, readout.bias.as_slice()))
    }

    /// out += R v, or Rᵀ v where the layout says so, with v one column after the other.
    ///
    /// # Panics
    /// If there is no read-out.
    pub fn multiply_readout(&self, layout: Layout, v: &[T], out: &mut [T]) {
        let synapses = &self.readout.as_ref().expect("a read-out has weights").synapses;
        match layout {
            Layout::Plain => synapses.forward(v, 1, out),
            Layout::Transposed => synapses.pull_back(&[], v, 1, out),
        }
    }
}
