//! The effective network: the weights, biases and time constants that the physics uses.

use std::sync::{Arc, OnceLock};

use nalgebra::DMatrixView;

use super::network::{Edge, Network, Output, Source};
use super::panels::Panels;
use super::parameters::Parameters;
use super::state::StateShape;
use crate::scalar::{Layout, Scalar};

/// Which variable the neurons integrate (same fixed points, different transients and noise).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// τ du/dt = −u + Σ W ρ(u) + b − β ∂C/∂a.
    #[default]
    Potential,
    /// τ da/dt = −a + ρ(Σ W a + b − β ∂C/∂a): the papers' code iterates it as a map.
    Rate,
}

/// A network programmed with parameters, every directed edge with weights of its own.
///
/// A tied pair holds its transpose a second time, and every edge between layers its weights in [`Panels`]: the copies cost a
/// pass each per weight update and let both directions run the fast product in every evaluation.
#[derive(Debug, Clone)]
pub struct Effective<T: Scalar> {
    network: Arc<Network>,
    form: Form,
    weights: Vec<Vec<T>>,
    /// Of the edges between layers.
    panels: Vec<Panels<T>>,
    /// Of their transposes, once the adjoint or a corrected estimate has asked for them.
    transposed: OnceLock<Vec<Panels<T>>>,
    biases: Vec<Vec<T>>,
    readout: Option<Readout<T>>,
    taus: Option<Vec<Vec<f64>>>,
    teaching_gain: Option<Vec<T>>,
}

/// The read-out of an effective network.
#[derive(Debug, Clone)]
struct Readout<T> {
    weight: Vec<T>,
    bias: Vec<T>,
    /// R and Rᵀ.
    panels: [Panels<T>; 2],
}

/// The programmed quantities of an effective network, to be changed in place.
pub(crate) struct Analog<'a, T> {
    /// Weights of every edge, in the order of the network's edges.
    pub weights: &'a mut [Vec<T>],
    /// Biases of every layer.
    pub biases: &'a mut [Vec<T>],
    /// The read-out's weights.
    pub readout: Option<&'a mut [T]>,
}

impl<T: Scalar> Effective<T> {
    /// Programs the parameters.
    #[must_use]
    pub fn new(network: &Arc<Network>, form: Form, parameters: &Parameters<T>) -> Self {
        let mut effective = Self {
            network: Arc::clone(network),
            form,
            weights: vec![Vec::new(); network.edges.len()],
            panels: Vec::new(),
            transposed: OnceLock::new(),
            biases: network.layers.iter().map(|l| vec![T::zero(); l.size]).collect(),
            readout: None,
            taus: None,
            teaching_gain: None,
        };
        effective.program(parameters);
        effective
    }

    /// Writes new parameters.
    pub fn program(&mut self, parameters: &Parameters<T>) {
        for (edge, weights) in self.network.edges.iter().zip(&mut self.weights) {
            let matrix = parameters.at(edge.weight);
            weights.resize(matrix.len(), T::zero());
            if edge.transposed {
                for (j, column) in matrix.as_slice().chunks_exact(matrix.nrows()).enumerate() {
                    let row = weights[j..].iter_mut().step_by(matrix.ncols());
                    row.zip(column).for_each(|(sink, w)| *sink = *w);
                }
            } else {
                weights.copy_from_slice(matrix.as_slice());
            }
        }
        for (layer, bias) in self.network.layers.iter().zip(&mut self.biases) {
            match layer.bias {
                Some(index) => bias.copy_from_slice(parameters.at(index).as_slice()),
                // A device may have given it an offset.
                None => bias.fill(T::zero()),
            }
        }
        if let Output::Readout { weight, bias, .. } = self.network.output {
            let copy = |index: usize| parameters.at(index).as_slice().to_vec();
            let (weight, bias) = (copy(weight), copy(bias));
            self.readout = Some(Readout { weight, bias, panels: Default::default() });
        }
        self.pack();
    }

    fn pack(&mut self) {
        let mut panels = std::mem::take(&mut self.panels);
        panels.resize(self.recurrent().count(), Panels::default());
        for ((_, edge, weights), panels) in self.recurrent().zip(&mut panels) {
            panels.pack(self.network.layers[edge.to].size, weights);
        }
        self.panels = panels;
        self.transposed = OnceLock::new();
        if let Some(Readout { weight, bias, panels: [forward, backward] }) = &mut self.readout {
            let classes = bias.len();
            forward.pack(classes, weight);
            *backward = packed_transpose(classes, weight);
        }
    }

    fn transposed(&self) -> &[Panels<T>] {
        self.transposed.get_or_init(|| {
            let pack = |(_, edge, weights): (usize, &Edge, &[T])| {
                packed_transpose(self.network.layers[edge.to].size, weights)
            };
            self.recurrent().map(pack).collect()
        })
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

    /// Every edge between layers: sending layer, edge, weights [to × from], column-major.
    pub fn recurrent(&self) -> impl Iterator<Item = (usize, &Edge, &[T])> {
        self.network.edges.iter().zip(&self.weights).filter_map(|(edge, weights)| match edge.from {
            Source::Input => None,
            Source::Layer(layer) => Some((layer, edge, weights.as_slice())),
        })
    }

    /// out += W v, or Wᵀ v where the layout says so, with W the coupling between all layers; v is laid out as `shape`. Returns the
    /// number of matrix products.
    pub fn multiply(&self, shape: &StateShape, layout: Layout, v: &[T], out: &mut [T]) -> u64 {
        let panels = match layout {
            Layout::Plain => &self.panels,
            Layout::Transposed => self.transposed(),
        };
        let mut products = 0;
        for ((from, edge, _), panels) in self.recurrent().zip(panels) {
            let (source, sink) = match layout {
                Layout::Plain => (from, edge.to),
                Layout::Transposed => (edge.to, from),
            };
            panels.multiply_add(&v[shape.layer(source)], &mut out[shape.layer(sink)]);
            products += 1;
        }
        products
    }

    /// Every edge from the input, with its weights [to × inputs], column-major.
    pub fn from_input(&self) -> impl Iterator<Item = (&Edge, &[T])> {
        let edges = self.network.edges.iter().zip(&self.weights);
        edges.filter(|(edge, _)| edge.from == Source::Input).map(|(edge, weights)| (edge, weights.as_slice()))
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
        let readout = self.readout.as_mut().map(|readout| readout.weight.as_mut_slice());
        change(Analog { weights: &mut self.weights, biases: &mut self.biases, readout });
        self.pack();
    }

    /// Gives the neurons time constants and teaching gains of their own.
    pub(crate) fn set_neurons(&mut self, taus: Option<Vec<Vec<f64>>>, teaching_gain: Option<Vec<T>>) {
        self.taus = taus;
        self.teaching_gain = teaching_gain;
    }

    /// R [classes × n], column-major, and r, where there is a read-out.
    #[must_use]
    pub fn readout(&self) -> Option<(&[T], &[T])> {
        self.readout.as_ref().map(|readout| (readout.weight.as_slice(), readout.bias.as_slice()))
    }

    /// out += R v, or Rᵀ v where the layout says so, with v one column after the other.
    ///
    /// # Panics
    /// If there is no read-out.
    pub fn multiply_readout(&self, layout: Layout, v: &[T], out: &mut [T]) {
        let [forward, backward] = &self.readout.as_ref().expect("a read-out has weights").panels;
        match layout {
            Layout::Plain => forward.multiply_add(v, out),
            Layout::Transposed => backward.multiply_add(v, out),
        }
    }
}

/// The transpose of a matrix of so many rows, laid out.
fn packed_transpose<T: Scalar>(rows: usize, matrix: &[T]) -> Panels<T> {
    let columns = matrix.len() / rows;
    let mut panels = Panels::default();
    panels.pack(columns, DMatrixView::from_slice(matrix, rows, columns).transpose().as_slice());
    panels
}
