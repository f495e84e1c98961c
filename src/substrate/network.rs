//! The instance of a model: validated, sized, with every name resolved to an index.

use std::sync::Arc;

use super::activation::Activation;
use super::model::{Feedback, Initialisation, ModelSpec, READOUT, Tau};
use super::parameters::{ParameterShape, Start};
use crate::error::Invalid;

/// A validated network. States of all layers are stored one after the other, in the order of `layers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// Number of clamped inputs.
    pub inputs: usize,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Every directed connection, the backward direction of a pair included.
    pub edges: Vec<Edge>,
    /// What the cost acts on.
    pub output: Output,
    shapes: Arc<[ParameterShape]>,
}

/// One layer of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name.
    pub name: String,
    /// Number of neurons.
    pub size: usize,
    /// Number of neurons in the layers before it.
    pub offset: usize,
    /// Activation.
    pub activation: Activation,
    /// Time constant of each neuron, in units of the nominal τ.
    pub tau: Vec<f64>,
    /// Index of the bias among the parameters.
    pub bias: Option<usize>,
}

/// Where an edge comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The clamped input.
    Input,
    /// The layer of that index.
    Layer(usize),
}

/// A directed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Sender.
    pub from: Source,
    /// Index of the receiving layer.
    pub to: usize,
    /// Index of the weights among the parameters.
    pub weight: usize,
    /// Whether the weights are used transposed: the backward direction of a tied pair.
    pub transposed: bool,
}

/// What the cost acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Cross-entropy of softmax(R a + r).
    Readout {
        /// Index of the layer that is read.
        layer: usize,
        /// Number of classes.
        classes: usize,
        /// Index of R among the parameters.
        weight: usize,
        /// Index of r among the parameters.
        bias: usize,
    },
    /// ½|a − y|² on a layer.
    SquaredError {
        /// Index of the layer.
        layer: usize,
        /// Its size.
        size: usize,
    },
}

impl Output {
    /// Index of the layer on which the cost acts.
    #[must_use]
    pub fn layer(&self) -> usize {
        match *self {
            Self::Readout { layer, .. } | Self::SquaredError { layer, .. } => layer,
        }
    }

    /// Number of outputs: classes, or neurons of the output layer.
    #[must_use]
    pub fn size(&self) -> usize {
        match *self {
            Self::Readout { classes, .. } => classes,
            Self::SquaredError { size, .. } => size,
        }
    }
}

impl Network {
    /// Builds the instance of a description.
    ///
    /// # Errors
    /// What [`ModelSpec::validate`] finds.
    pub fn new(model: &ModelSpec) -> Result<Self, Invalid> {
        model.validate()?;
        let mut shapes: Vec<ParameterShape> = Vec::new();
        let mut add = |name: String, rows: usize, columns: usize, start: Start| {
            shapes.push(ParameterShape { name, rows, columns, start });
            shapes.len() - 1
        };
        let index = |name: &str| model.layers.iter().position(|l| l.name == name);
        let mut edges = Vec::new();
        for connection in &model.connections {
            let initialisation = connection.initialisation.unwrap_or(model.initialisation);
            let (from, to) = (&connection.from, &connection.to);
            let receiver = index(to).expect("validated");
            let rows = model.layers[receiver].size;
            let sender = index(from);
            let columns = sender.map_or(model.input, |i| model.layers[i].size);
            let weight = add(format!("{from}-{to}.weight"), rows, columns, Start::Drawn(initialisation));
            let source = sender.map_or(Source::Input, Source::Layer);
            edges.push(Edge { from: source, to: receiver, weight, transposed: false });
            let Some(sender) = sender else { continue };
            let back =
                |weight, transposed| Edge { from: Source::Layer(receiver), to: sender, weight, transposed };
            let backward = |start| (format!("{to}-{from}.weight"), columns, rows, start);
            match connection.feedback {
                Feedback::None => {}
                Feedback::Tied => edges.push(back(weight, true)),
                Feedback::Independent => {
                    let (name, rows, columns, start) = backward(Start::Drawn(initialisation));
                    edges.push(back(add(name, rows, columns, start), false));
                }
                Feedback::Rotated { angle } => {
                    let start = Start::Rotated { forward: weight, angle: angle.to_radians(), initialisation };
                    let (name, rows, columns, start) = backward(start);
                    edges.push(back(add(name, rows, columns, start), false));
                }
            }
        }
        let mut layers = Vec::new();
        let mut offset = 0;
        for layer in &model.layers {
            let bias = layer.bias.then(|| add(format!("{}.bias", layer.name), layer.size, 1, Start::Zero));
            layers.push(Layer {
                name: layer.name.clone(),
                size: layer.size,
                offset,
                activation: layer.activation.unwrap_or(model.activation),
                tau: match &layer.tau {
                    Tau::Uniform(tau) => vec![*tau; layer.size],
                    Tau::PerNeuron(taus) => taus.clone(),
                },
                bias,
            });
            offset += layer.size;
        }
        let output = match &model.readout {
            Some(readout) => {
                let layer = index(&readout.from).expect("validated");
                let initialisation: Initialisation = readout.initialisation.unwrap_or(model.initialisation);
                let columns = model.layers[layer].size;
                let weight =
                    add(format!("{READOUT}.weight"), readout.classes, columns, Start::Drawn(initialisation));
                let bias = add(format!("{READOUT}.bias"), readout.classes, 1, Start::Zero);
                Output::Readout { layer, classes: readout.classes, weight, bias }
            }
            None => {
                let layer = model.layers.len() - 1;
                Output::SquaredError { layer, size: model.layers[layer].size }
            }
        };
        Ok(Self {
            name: model.name.clone(),
            inputs: model.input,
            layers,
            edges,
            output,
            shapes: shapes.into(),
        })
    }

    /// Number of neurons in all layers.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.layers.iter().map(|l| l.size).sum()
    }

    /// Names and shapes of the parameters.
    #[must_use]
    pub fn shapes(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    /// Whether every layer's activation is analytic near the real axis, as a complex state needs.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        self.layers.iter().all(|l| l.activation.is_holomorphic())
    }

    /// Whether every connection between layers is tied to its transpose.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.edges.iter().all(|edge| {
            let partner = |other: &&Edge| other.weight == edge.weight && other.transposed != edge.transposed;
            edge.from == Source::Input || self.edges.iter().any(|other| partner(&other))
        })
    }

    /// The edges between layers, with the index of the sending layer.
    pub fn recurrent(&self) -> impl Iterator<Item = (usize, &Edge)> {
        self.edges.iter().filter_map(|edge| match edge.from {
            Source::Input => None,
            Source::Layer(layer) => Some((layer, edge)),
        })
    }

    /// Layers that no path of connections leads to from the output: their rates never depend on the teaching signal.
    #[must_use]
    pub fn untaught(&self) -> Vec<usize> {
        let mut taught = vec![false; self.layers.len()];
        let mut open = vec![self.output.layer()];
        while let Some(layer) = open.pop() {
            if !std::mem::replace(&mut taught[layer], true) {
                open.extend(self.recurrent().filter(|(from, _)| *from == layer).map(|(_, edge)| edge.to));
            }
        }
        (0..taught.len()).filter(|layer| !taught[*layer]).collect()
    }

    /// The connections between two layers that run in both directions with weights of their own: indices of the two parameters.
    pub fn untied_pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.recurrent().filter(|(from, edge)| *from < edge.to && !edge.transposed).filter_map(
            |(from, edge)| {
                let back =
                    self.recurrent().find(|(f, e)| *f == edge.to && e.to == from && e.weight != edge.weight);
                back.map(|(_, back)| (edge.weight, back.weight))
            },
        )
    }
}
