//! The instance of a model: validated, sized, with every name resolved to an index.

use std::sync::Arc;

use crate::error::Invalid;
use crate::host::device::Gpu;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::neurons::accelerated;
use crate::substrate::neurons::activation::{Activation, Holomorphic, Transfer};
use crate::substrate::neurons::interactions::{Dense, Direction, Interaction, Wanted};
use crate::substrate::neurons::model::{Feedback, Initialisation, InputSpec, ModelSpec, READOUT, Tau};
use crate::substrate::neurons::neuron::Neuron;
use crate::substrate::neurons::units::Units;
use crate::substrate::parameters::{Arrangement, ParameterShape, Role, Start};
use crate::substrate::{CHUNK, Sweep};

/// A validated network. States of all layers are stored one after the other, in the order of `layers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// Number of clamped inputs.
    pub inputs: usize,
    /// Their [height, width, channels], where they have an order.
    pub input_shape: Option<[usize; 3]>,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Every directed connection, the backward direction of a pair included.
    pub edges: Vec<Edge>,
    /// What the cost acts on.
    pub output: Output,
    /// What its quantities are in hardware, where the model says so.
    pub units: Option<Units>,
    /// The GPU on which its states are computed; none for the processor.
    pub gpu: Option<Gpu>,
    shapes: Arc<[ParameterShape]>,
}

/// One layer of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name.
    pub name: String,
    /// Number of neurons.
    pub size: usize,
    /// [height, width, channels], where they have the order of an image.
    pub shape: Option<[usize; 3]>,
    /// Number of neurons in the layers before it.
    pub offset: usize,
    /// Activation; of neurons by equation, and of their further variables, the identity.
    pub activation: Transfer,
    /// The equations of its neurons, where they are not −u + I.
    pub equations: Option<Arc<Neuron>>,
    /// Indices of the layers that hold the further variables of its neurons.
    pub companions: Vec<usize>,
    /// Time constant of each neuron, in units of the nominal τ.
    pub tau: Vec<f64>,
    /// Index of the bias among the parameters: one for each neuron, or one for each channel of a layer that a convolution leads to.
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

/// Samples that a GPU takes together, at most: more would gain nothing.
pub const MOST_ON_GPU: usize = 1024;

/// Samples that are simulated together. Shared kernels are read once for all of them: then up to 16, in an even number of chunks.
#[must_use]
pub fn chunk(is_shared: bool, samples: usize) -> usize {
    const MOST: usize = 16;
    if is_shared { samples.div_ceil(2 * samples.div_ceil(2 * MOST).max(1)).max(1) } else { CHUNK }
}

/// A directed connection: one half of an interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Sender.
    pub from: Source,
    /// Index of the receiving layer.
    pub to: usize,
    /// Index of the weights among the parameters.
    pub weight: usize,
    /// What its weights do.
    pub interaction: Arc<Interaction>,
    /// Which half of the interaction it is: backward, the edge's receiver is the interaction's sender.
    pub direction: Direction,
    /// How long what it sends is on its way, in nominal τ.
    pub delay: f64,
}

impl Edge {
    /// Whether the weights of the other correspond to its own, one for one, in the opposite direction.
    fn is_partner(&self, other: &Self) -> bool {
        let (feedback, direction) = self.interaction.feedback();
        (direction == Direction::Forward || self.direction != other.direction)
            && feedback == *other.interaction
    }

    /// The products that each evaluation of the field takes with the edge's weights.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let between_layers = self.from != Source::Input;
        Wanted {
            forward: between_layers && self.direction == Direction::Forward,
            backward: between_layers && self.direction == Direction::Backward,
        }
    }
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

impl Network {
    /// The layers in two sets, the first layer in the first, so that no connection leads from a layer to one of its own set; none where that
    /// cannot be, or where one set has them all. Reciprocal as the connections are described, whatever becomes of them.
    #[must_use]
    pub fn sweep(&self) -> Option<Sweep> {
        if self.has_equations() {
            return None;
        }
        let mut set: Vec<Option<bool>> = vec![None; self.layers.len()];
        let pairs = || self.recurrent().map(|(from, edge)| (from, edge.to));
        while let Some(root) = set.iter().position(Option::is_none) {
            set[root] = Some(false);
            // Each round reaches the next neighbours.
            for _ in 0..self.layers.len() {
                for (a, b) in pairs().flat_map(|(from, to)| [(from, to), (to, from)]) {
                    set[b] = set[b].or(set[a].map(|other| !other));
                }
            }
        }
        let of = |which: bool| (0..set.len()).filter(|layer| set[*layer] == Some(which)).collect();
        let own = !self.is_linear();
        let sweep = Sweep { first: of(false), then: of(true), own, reciprocal: own && self.is_tied() };
        let apart = pairs().all(|(from, to)| set[from] != set[to]);
        (apart && !sweep.then.is_empty()).then_some(sweep)
    }
}

impl Output {
    /// Index of the layer on which the cost acts.
    #[must_use]
    pub fn layer(&self) -> usize {
        match *self {
            Self::Readout { layer, .. } | Self::SquaredError { layer, .. } => layer,
        }
    }

    /// The first of the samples whose targets, [outputs × samples], are no probabilities where the cost needs some.
    #[must_use]
    pub fn unnormalised<T: Scalar>(&self, targets: &[T]) -> Option<usize> {
        let Self::Readout { classes, .. } = *self else { return None };
        let off = |row: &[T]| (row.iter().map(|y| y.double()).sum::<f64>() - 1.0).abs() >= 1e-3;
        targets.chunks(classes).position(off)
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
        let mut add = |name: String, role: Role, form: Arrangement, start: Start| {
            shapes.push(ParameterShape { name, role, form, start });
            shapes.len() - 1
        };
        let index = |name: &str| model.layers.iter().position(|l| l.name == name);
        let mut edges = Vec::new();
        for (place, connection) in model.connections.iter().enumerate() {
            let initialisation = connection.initialisation.unwrap_or(model.initialisation);
            let (from, to) = (&connection.from, &connection.to);
            let receiver = index(to).expect("validated");
            let sender = index(from);
            let sending = sender.map_or(model.input.shape(), |i| model.layers[i].shape());
            let interaction = connection.interaction(model.layers[receiver].shape(), sending, place);
            let forward = Arc::new(interaction);
            let weights = Arrangement::Weights(Arc::clone(&forward));
            let weight =
                add(format!("{from}-{to}.weight"), Role::Synapses, weights, Start::Drawn(initialisation));
            let source = sender.map_or(Source::Input, Source::Layer);
            edges.push(Edge {
                from: source,
                to: receiver,
                weight,
                interaction: Arc::clone(&forward),
                direction: Direction::Forward,
                delay: connection.delay.unwrap_or(0.0),
            });
            let Some(sender) = sender else { continue };
            let (own, direction) = forward.feedback();
            let own = Arc::new(own);
            let mut own_weights = |start| {
                let form = Arrangement::Weights(Arc::clone(&own));
                (add(format!("{to}-{from}.weight"), Role::Synapses, form, start), Arc::clone(&own), direction)
            };
            let (weight, interaction, direction) = match connection.feedback {
                Feedback::None => continue,
                Feedback::Tied => (weight, forward, Direction::Backward),
                Feedback::Independent => own_weights(Start::Drawn(initialisation)),
                Feedback::Rotated { angle } => {
                    own_weights(Start::Rotated { forward: weight, angle: angle.to_radians(), initialisation })
                }
            };
            let delay = connection.delay.unwrap_or(0.0);
            edges.push(Edge {
                from: Source::Layer(receiver),
                to: sender,
                weight,
                interaction,
                direction,
                delay,
            });
        }
        let mut layers = Vec::new();
        let mut offset = 0;
        for layer in &model.layers {
            let size = layer.size();
            let [.., channels] = layer.shape();
            let is_convolved = model.connections.iter().any(|c| c.to == layer.name && c.conv.is_some());
            let biases = if is_convolved { channels } else { size };
            let bias = layer.bias.then(|| {
                add(format!("{}.bias", layer.name), Role::Bias, Arrangement::Vector(biases), Start::Zero)
            });
            let slowed = layer.parasitics.map(|parasitics| parasitics.neuron(layer, &model.activation));
            let neuron = layer.neuron.clone().or(slowed);
            layers.push(Layer {
                name: layer.name.clone(),
                size,
                shape: layer.shape,
                offset,
                activation: match &neuron {
                    Some(_) => Transfer::Shipped(Activation::Identity),
                    None => layer.activation.as_ref().unwrap_or(&model.activation).build(),
                },
                equations: neuron.map(|spec| spec.build(size).map(Arc::new)).transpose()?,
                companions: Vec::new(),
                tau: match &layer.tau {
                    Tau::Uniform(tau) => vec![*tau; size],
                    Tau::PerNeuron(taus) => taus.clone(),
                },
                bias,
            });
            offset += size;
        }
        add_companions(&mut layers);
        let output = match &model.readout {
            Some(readout) => {
                let layer = index(&readout.from).expect("validated");
                let initialisation: Initialisation = readout.initialisation.unwrap_or(model.initialisation);
                let classes = readout.classes;
                let dense =
                    Interaction::Dense(Dense { receivers: classes, senders: model.layers[layer].size() });
                let (role, start) = (Role::ReadOut, Start::Drawn(initialisation));
                let weight =
                    add(format!("{READOUT}.weight"), role, Arrangement::Weights(Arc::new(dense)), start);
                let bias =
                    add(format!("{READOUT}.bias"), Role::Bias, Arrangement::Vector(classes), Start::Zero);
                Output::Readout { layer, classes, weight, bias }
            }
            None => {
                let layer = model.layers.len() - 1;
                Output::SquaredError { layer, size: model.layers[layer].size() }
            }
        };
        Ok(Self {
            name: model.name.clone(),
            inputs: model.input.size(),
            input_shape: match model.input {
                InputSpec::Size(_) => None,
                InputSpec::Shaped { shape } => Some(shape),
            },
            layers,
            edges,
            output,
            units: model.units,
            gpu: None,
            shapes: shapes.into(),
        })
    }

    /// The same network with an activation of the caller's own in one layer.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn with_activation(mut self, layer: &str, own: Arc<dyn Holomorphic>) -> Result<Self, Invalid> {
        let Some(found) = self.layers.iter_mut().find(|l| l.name == layer) else {
            let names = self.layers.iter().map(|l| format!("`{}`", l.name)).collect::<Vec<_>>().join(", ");
            return Err(Invalid::new(
                "layers",
                format!("found no layer {layer:?}"),
                format!("one of {names}"),
            ));
        };
        found.activation = Transfer::Own(own);
        Ok(self)
    }

    /// The same network with factors on the parameters of its neurons by equation: of a layer by its index, the parameter by its name and place, and
    /// so many neurons.
    ///
    /// # Panics
    /// If such neurons cannot be built, which the validation of imperfections beside a network finds out.
    #[must_use]
    pub fn with_factors(&self, draw: impl Fn(usize, &str, usize, usize) -> Option<Vec<f64>>) -> Self {
        let mut changed = self.clone();
        for index in 0..changed.layers.len() {
            let Layer { equations: Some(neuron), size, companions, .. } = &self.layers[index] else {
                continue;
            };
            let drawn = neuron.with_factors(*size, |name, place| draw(index, name, place, *size));
            let neuron = drawn.expect("validated: whether it can be built does not depend on the factors");
            for layer in std::iter::once(&index).chain(companions) {
                changed.layers[*layer].tau = vec![neuron.taus[0]; *size];
            }
            changed.layers[index].equations = Some(Arc::new(neuron));
        }
        changed
    }

    /// The same network, its states computed on a GPU.
    #[must_use]
    pub fn on_gpu(&self, gpu: Gpu) -> Self {
        Self { gpu: Some(gpu), ..self.clone() }
    }

    /// Refuses what is not computed on GPUs.
    ///
    /// # Errors
    /// The first finding, at `device`.
    pub fn refuse_on_gpu(&self) -> Result<(), Invalid> {
        accelerated::refuse(self)
    }

    /// Whether some of its neurons have equations of their own.
    #[must_use]
    pub fn has_equations(&self) -> bool {
        self.layers.iter().any(|layer| layer.equations.is_some())
    }

    /// The delays of its connections, each once, in nominal τ; none of zero.
    #[must_use]
    pub fn delays(&self) -> Vec<f64> {
        let mut delays: Vec<f64> = Vec::new();
        for edge in self.edges.iter().filter(|edge| edge.delay > 0.0) {
            if !delays.contains(&edge.delay) {
                delays.push(edge.delay);
            }
        }
        delays
    }

    /// Number of neurons in all layers, or of their variables where they have several.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.layers.iter().map(|l| l.size).sum()
    }

    /// Names and shapes of the parameters.
    #[must_use]
    pub fn shapes(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    /// Whether every layer's activation and every connection's pooling is analytic near the real axis, as a complex state needs.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        let holomorphic = |l: &Layer| l.equations.as_ref().is_none_or(|neuron| neuron.is_holomorphic());
        self.layers.iter().all(|l| l.activation.is_holomorphic() && holomorphic(l))
            && self.edges.iter().all(|edge| edge.interaction.is_holomorphic())
    }

    /// Whether what every connection between layers sends is linear in the rates.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        self.recurrent().all(|(_, edge)| edge.interaction.is_linear())
    }

    /// The first edge whose weights serve several synapses each, as a kernel's do.
    #[must_use]
    pub fn shared(&self) -> Option<&Edge> {
        self.edges.iter().find(|edge| edge.interaction.is_shared())
    }

    /// Whether every connection between layers is tied to its transpose.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.edges.iter().all(|edge| {
            let partner = |other: &&Edge| other.weight == edge.weight && other.direction != edge.direction;
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

    /// The layers in an order in which every connection between two leads to a later one; none where connections lead back, or where neurons
    /// have to find their rest.
    #[must_use]
    pub fn order(&self) -> Option<Vec<usize>> {
        if self.has_equations() {
            return None;
        }
        let mut order: Vec<usize> = Vec::with_capacity(self.layers.len());
        while order.len() < self.layers.len() {
            let open = (0..self.layers.len()).filter(|layer| !order.contains(layer));
            let fed = |layer: &usize| {
                self.recurrent().filter(|(_, edge)| edge.to == *layer).all(|(from, _)| order.contains(&from))
            };
            let next = open.into_iter().find(fed)?;
            order.push(next);
        }
        Some(order)
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

    /// The connections between layers that are tied to their partner or have none, each once: those with weights of their own.
    pub fn between_layers(&self) -> impl Iterator<Item = (usize, &Edge)> {
        self.recurrent().filter(|(_, edge)| !self.is_tied_back(edge))
    }

    /// Whether an edge is the backward half of a tied pair.
    fn is_tied_back(&self, edge: &Edge) -> bool {
        let forward = |other: &Edge| other.weight == edge.weight && other.direction == Direction::Forward;
        edge.direction == Direction::Backward && self.edges.iter().any(forward)
    }

    /// The pairs of edges that run between two layers in both directions with weights of their own, one for one.
    pub fn untied_pairs(&self) -> impl Iterator<Item = (&Edge, &Edge)> {
        self.recurrent().filter(|(from, edge)| *from < edge.to).filter_map(|(from, edge)| {
            let runs_back = |f: usize, e: &Edge| f == edge.to && e.to == from && e.weight != edge.weight;
            let back = self.recurrent().find(|(f, e)| runs_back(*f, e) && edge.is_partner(e));
            back.map(|(_, back)| (edge, back))
        })
    }
}

impl Layer {
    /// The layer that holds a variable of its neurons, where it is the `index`-th itself.
    #[must_use]
    pub fn holding(&self, index: usize, variable: usize) -> usize {
        if variable == 0 { index } else { self.companions[variable - 1] }
    }

    /// Whether its rates are bounded on the real axis.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.equations.as_ref().map_or_else(|| self.activation.is_bounded(), |neuron| neuron.is_bounded())
    }
}

/// Adds the layers of the variables that neurons have beyond their first, behind all others, and gives the first ones their τ.
fn add_companions(layers: &mut Vec<Layer>) {
    for place in 0..layers.len() {
        let Some(neuron) = layers[place].equations.clone() else { continue };
        layers[place].tau = vec![neuron.taus[0]; layers[place].size];
        for (variable, tau) in neuron.variables().iter().zip(&neuron.taus).skip(1) {
            let last = layers.last().map_or(0, |last| last.offset + last.size);
            let Layer { name, size, shape, .. } = &layers[place];
            let companion = Layer {
                name: format!("{name}.{variable}"),
                size: *size,
                shape: *shape,
                offset: last,
                activation: Transfer::Shipped(Activation::Identity),
                equations: None,
                companions: Vec::new(),
                tau: vec![*tau; *size],
                bias: None,
            };
            layers.push(companion);
            let index = layers.len() - 1;
            layers[place].companions.push(index);
        }
    }
}

impl StateShape {
    /// The layout of `batch` samples of a network.
    #[must_use]
    pub fn new(network: &Network, batch: usize, rails: usize) -> Self {
        Self::of(network.layers.iter().map(|l| l.size).collect(), batch, rails)
    }
}
