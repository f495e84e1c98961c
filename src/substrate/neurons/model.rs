//! The description of a network: what a model file says.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, positive};
use crate::json::wording;
use crate::substrate::neurons::activation::ActivationSpec;
use crate::substrate::neurons::interactions::conv::ConvSpec;
use crate::substrate::neurons::interactions::sparse::SparseSpec;
use crate::substrate::neurons::interactions::{Dense, Interaction};
use crate::substrate::neurons::neuron::NeuronSpec;
use crate::substrate::neurons::parasitics::Parasitics;
use crate::substrate::neurons::units::Units;

/// The name under which connections refer to the clamped input.
pub const INPUT: &str = "input";
/// The name of the read-out in parameter files.
pub const READOUT: &str = "readout";
/// Weights beyond which a network is refused rather than allocated (64 GiB in double precision).
const MOST_WEIGHTS: u128 = 1 << 33;

/// A network of connections between named layers: the contents of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name shown in reports.
    pub name: String,
    /// Number of clamped inputs, or the shape of an image.
    pub input: InputSpec,
    /// The layers, at least one, in the order in which states are stored.
    #[schemars(length(min = 1))]
    pub layers: Vec<LayerSpec>,
    /// Activation of every layer that does not name its own: a name, or an expression of `z`.
    pub activation: ActivationSpec,
    /// Initial weights of every connection that does not name its own.
    #[serde(default)]
    pub initialisation: Initialisation,
    /// The directed connections, with their feedback; every layer needs one into it.
    pub connections: Vec<ConnectionSpec>,
    /// A linear read-out with its cost; exactly one of `readout` and `cost` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout: Option<ReadoutSpec>,
    /// The cost on the last layer where there is no read-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["squared_error", null]))]
    pub cost: Option<Cost>,
    /// What its dimensionless quantities are in hardware; with it runs tell times and energies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
}

/// The clamped inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of inputs, or an object with their `shape`")]
pub enum InputSpec {
    /// A number of inputs without an order.
    Size(#[schemars(range(min = 1))] usize),
    /// An image.
    Shaped {
        /// [height, width, channels]; channels run fastest.
        shape: [usize; 3],
    },
}

impl InputSpec {
    /// Number of inputs.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Size(size) => size,
            Self::Shaped { shape } => volume(shape),
        }
    }

    /// [height, width, channels]; inputs without an order are one pixel of so many channels.
    #[must_use]
    pub fn shape(self) -> [usize; 3] {
        match self {
            Self::Size(size) => [1, 1, size],
            Self::Shaped { shape } => shape,
        }
    }
}

/// Number of elements, as large as it gets.
fn volume(shape: [usize; 3]) -> usize {
    shape.into_iter().fold(1, usize::saturating_mul)
}

/// One layer of neurons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// Name: letters, digits and `_`; unique, and neither `input` nor `readout`.
    pub name: String,
    /// Number of neurons; this or `shape`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<usize>,
    /// [height, width, channels] of the neurons in the order of an image, channels running fastest; this or `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Activation; the model's where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<ActivationSpec>,
    /// Equations of neurons that are not −u + I; they stand for `activation` and `tau`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neuron: Option<NeuronSpec>,
    /// What slows its neurons down beside τ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parasitics: Option<Parasitics>,
    /// Time constant in units of the nominal τ: one number, or one per neuron.
    #[serde(default)]
    pub tau: Tau,
    /// Whether the neurons have a bias: each its own or, in a layer that a convolution leads to, one for each channel.
    #[serde(default = "yes")]
    pub bias: bool,
}

impl LayerSpec {
    /// Number of neurons of a validated layer.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size.unwrap_or_else(|| self.shape.map_or(0, volume))
    }

    /// [height, width, channels]; neurons without an order are one pixel of so many channels.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape.unwrap_or([1, 1, self.size()])
    }

    fn validate_size(&self, place: usize) -> Result<(), Invalid> {
        let path = |field: &str| format!("layers[{place}]{field}");
        match (self.size, self.shape) {
            (Some(size), None) => at_least_one(&path(".size"), size),
            (None, Some(shape)) => shape
                .iter()
                .enumerate()
                .try_for_each(|(i, length)| at_least_one(&path(&format!(".shape[{i}]")), *length)),
            (Some(_), Some(_)) => {
                Err(Invalid::new(path(""), "found both `size` and `shape`", "give one of the two"))
            }
            (None, None) => {
                let legal = "give the number of neurons, `size`, or their [height, width, channels], `shape`";
                Err(Invalid::new(path(""), "found neither `size` nor `shape`", legal))
            }
        }
    }
}

/// Time constants of a layer, in units of the nominal τ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a list with one number per neuron")]
pub enum Tau {
    /// The same for every neuron.
    Uniform(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// One for each neuron.
    PerNeuron(#[schemars(extend("items" = { "type": "number", "exclusiveMinimum": 0 }))] Vec<f64>),
}

impl Default for Tau {
    fn default() -> Self {
        Self::Uniform(1.0)
    }
}

/// A directed connection, with what runs back beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSpec {
    /// Sending layer, or `input`.
    pub from: String,
    /// Receiving layer; it may be `from` itself.
    pub to: String,
    /// What runs in the opposite direction; `none` from the input and from a layer to itself.
    #[serde(default)]
    pub feedback: Feedback,
    /// Which synapses there are; all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SparseSpec>,
    /// The convolution that it is, of the sending image; `sparse` or `conv`, or neither for a dense connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conv: Option<ConvSpec>,
    /// Distribution of the initial weights; the model's where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialisation: Option<Initialisation>,
    /// How long what is sent is on its way, in nominal τ and in either direction: a whole number of an integrator's steps. It leaves every fixed
    /// point where it is. Null for no delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub delay: Option<f64>,
}

impl ConnectionSpec {
    /// The sized interaction of a validated connection, the `place`-th of its model.
    #[must_use]
    pub fn interaction(&self, receiver: [usize; 3], sender: [usize; 3], place: usize) -> Interaction {
        let (receivers, senders) = (volume(receiver), volume(sender));
        match (&self.sparse, &self.conv) {
            (_, Some(conv)) => Interaction::Conv(conv.build(receiver, sender)),
            (Some(sparse), None) => Interaction::Sparse(sparse.build(receivers, senders, place)),
            (None, None) => Interaction::Dense(Dense { receivers, senders }),
        }
    }

    fn validate_delay(&self, delay: f64, is_linear: bool) -> Result<(), Invalid> {
        positive("", delay)?;
        if self.from == INPUT {
            let legal = "between layers: the inputs are clamped, so what they send has always arrived";
            return Err(Invalid::new("", "found a delay of the inputs", legal));
        }
        if !is_linear {
            let legal = "a connection that is linear in what it sends: another pooling sends back what depends on both of its ends at once";
            return Err(Invalid::new("", "found a delay of a pooling", legal));
        }
        Ok(())
    }

    fn weights(&self, receiver: [usize; 3], sender: [usize; 3]) -> u128 {
        match (&self.sparse, &self.conv) {
            (_, Some(conv)) => conv.weights(receiver, sender),
            (Some(sparse), None) => sparse.synapses(volume(receiver)) as u128,
            (None, None) => (volume(receiver) as u128).saturating_mul(volume(sender) as u128),
        }
    }
}

/// How the opposite direction of a connection is made (paper 2, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Feedback {
    /// There is no connection.
    #[default]
    None,
    /// The transpose, at all times: one parameter.
    Tied,
    /// A parameter of its own that starts as cos α Wᵀ + sin α W_random.
    Rotated {
        /// Initial angle α to the transpose, in degrees.
        #[schemars(range(min = 0.0, max = 180.0))]
        angle: f64,
    },
    /// A parameter of its own, drawn independently.
    Independent,
}

/// A linear read-out R a + r of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadoutSpec {
    /// The layer that is read.
    pub from: String,
    /// Number of classes.
    #[schemars(range(min = 2))]
    pub classes: usize,
    /// The cost of the read-out.
    #[serde(default)]
    #[schemars(extend("enum" = ["cross_entropy"]))]
    pub cost: Cost,
    /// Distribution of the initial weights; the model's where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialisation: Option<Initialisation>,
}

/// The cost C of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// −log softmax(R a + r) at the label; needs a read-out.
    #[default]
    CrossEntropy,
    /// ½|a − y|² on the last layer; takes no read-out.
    SquaredError,
}

/// The distribution of initial weights; biases start at zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Initialisation {
    /// Normal of standard deviation scale/√fan-in before it is cut at two standard deviations (the papers').
    TruncatedNormal {
        /// Factor on 1/√fan-in.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        scale: f64,
    },
    /// Normal of standard deviation scale/√fan-in.
    Normal {
        /// Factor on 1/√fan-in.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        scale: f64,
    },
    /// Uniform between ±scale/√fan-in.
    Uniform {
        /// Factor on 1/√fan-in.
        #[serde(default = "one")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        scale: f64,
    },
}

impl Default for Initialisation {
    fn default() -> Self {
        Self::TruncatedNormal { scale: 1.0 }
    }
}

impl Initialisation {
    fn validate(self, path: &str) -> Result<(), Invalid> {
        let (name, scale) = match self {
            Self::TruncatedNormal { scale } => ("truncated_normal", scale),
            Self::Normal { scale } => ("normal", scale),
            Self::Uniform { scale } => ("uniform", scale),
        };
        positive(&format!("{path}.{name}.scale"), scale)
    }
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl ModelSpec {
    /// Checks everything that the types do not: names, sizes, references, the graph and the cost.
    ///
    /// # Errors
    /// The first finding, with its path in the model.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_input()?;
        self.activation.validate().map_err(|e| e.under("activation"))?;
        self.initialisation.validate("initialisation")?;
        self.validate_layers()?;
        self.validate_connections()?;
        self.validate_output()?;
        self.units.map_or(Ok(()), |units| units.validate().map_err(|e| e.under("units")))?;
        let by_equation = |l: &LayerSpec| l.neuron.is_some() || l.parasitics.is_some();
        if let Some(layer) = self.layers.iter().find(|l| self.units.is_some() && by_equation(l)) {
            let found = format!("found them with the neurons by equation of `{}`", layer.name);
            return Err(Invalid::new("units", found, "energy is known for neurons of one variable, -u + I"));
        }
        if self.units.is_some() && self.connections.iter().any(|c| c.delay.is_some()) {
            let legal = "energy is known for connections without a `delay`";
            return Err(Invalid::new("units", "found them with a delay of a connection", legal));
        }
        let weights = self.weights();
        if weights > MOST_WEIGHTS {
            return Err(Invalid::new(
                "layers",
                format!("found a network of {weights} weights, {} GiB in single precision", weights >> 28),
                format!("a dense network may have at most {MOST_WEIGHTS} weights: lower `size` or `input`"),
            ));
        }
        Ok(())
    }

    /// Number of weights that the connections and the read-out hold.
    pub(crate) fn weights(&self) -> u128 {
        let size = |name: &str| self.layer_size(name).unwrap_or(0);
        let shape = |name: &str| self.layer_shape(name).unwrap_or([0; 3]);
        let edges = self.connections.iter().map(|c| {
            let directions = if c.feedback == Feedback::None { 1 } else { 2 };
            c.weights(shape(&c.to), shape(&c.from)).saturating_mul(directions)
        });
        let readout = self.readout.iter().map(|r| (size(&r.from) as u128).saturating_mul(r.classes as u128));
        edges.chain(readout).fold(0, u128::saturating_add)
    }

    fn layer_shape(&self, name: &str) -> Option<[usize; 3]> {
        if name == INPUT {
            return Some(self.input.shape());
        }
        self.layers.iter().find(|l| l.name == name).map(LayerSpec::shape)
    }

    /// Neurons of a layer, or the inputs.
    pub(crate) fn layer_size(&self, name: &str) -> Option<usize> {
        self.layer_shape(name).map(volume)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|l| l.name.as_str())
    }

    fn layer_names(&self) -> String {
        self.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    fn validate_input(&self) -> Result<(), Invalid> {
        match self.input {
            InputSpec::Size(size) => at_least_one("input", size),
            InputSpec::Shaped { shape } => shape
                .iter()
                .enumerate()
                .try_for_each(|(i, length)| at_least_one(&format!("input.shape[{i}]"), *length)),
        }
    }

    fn validate_layers(&self) -> Result<(), Invalid> {
        if self.layers.is_empty() {
            return Err(Invalid::new("layers", "found no layer", "a network has at least one layer"));
        }
        let mut seen = HashSet::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let path = |field: &str| format!("layers[{i}].{field}");
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if layer.name.is_empty()
                || !layer.name.chars().all(word)
                || [INPUT, READOUT].contains(&layer.name.as_str())
            {
                return Err(Invalid::new(
                    path("name"),
                    format!("found {:?}", layer.name),
                    "a layer's name is made of letters, digits and `_`, and is neither `input` nor `readout`",
                ));
            }
            if !seen.insert(layer.name.as_str()) {
                return Err(Invalid::new(
                    path("name"),
                    format!("found `{}` twice", layer.name),
                    "names are unique",
                ));
            }
            layer.validate_size(i)?;
            if let Some(activation) = &layer.activation {
                activation.validate().map_err(|e| e.under(&path("activation")))?;
            }
            if let Some(parasitics) = &layer.parasitics {
                parasitics.validate(layer).map_err(|e| e.under(&path("parasitics")))?;
            }
            if let Some(neuron) = &layer.neuron {
                if layer.activation.is_some() || layer.tau != Tau::default() {
                    let found = "found `activation` or `tau` beside `neuron`";
                    let legal = "the equations say what both would: leave them out";
                    return Err(Invalid::new(format!("layers[{i}]"), found, legal));
                }
                neuron.build(layer.size()).map_err(|e| e.under(&path("neuron")))?;
            }
            match &layer.tau {
                Tau::Uniform(tau) => positive(&path("tau"), *tau)?,
                Tau::PerNeuron(taus) if taus.len() != layer.size() => {
                    let found = format!("found {} time constants for {} neurons", taus.len(), layer.size());
                    return Err(Invalid::new(path("tau"), found, "give one number, or one for each neuron"));
                }
                Tau::PerNeuron(taus) => {
                    for (k, tau) in taus.iter().enumerate() {
                        positive(&format!("layers[{i}].tau[{k}]"), *tau)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn validate_connections(&self) -> Result<(), Invalid> {
        let mut seen = HashSet::new();
        for (i, connection) in self.connections.iter().enumerate() {
            let path = |field: &str| format!("connections[{i}].{field}");
            let (from, to) = (connection.from.as_str(), connection.to.as_str());
            if self.layer_size(from).is_none() {
                let legal = format!("it must be `input` or one of {}", self.layer_names());
                let legal = wording::suggest(from, self.names().chain([INPUT]), &legal);
                return Err(Invalid::new(path("from"), format!("found {from:?}"), legal));
            }
            if to == INPUT || self.layer_size(to).is_none() {
                let legal = format!("it must be one of {}", self.layer_names());
                let legal = wording::suggest(to, self.names(), &legal);
                return Err(Invalid::new(path("to"), format!("found {to:?}"), legal));
            }
            let has_feedback = connection.feedback != Feedback::None;
            if has_feedback && (from == INPUT || from == to) {
                return Err(Invalid::new(
                    path("feedback"),
                    format!("found a feedback for {from} -> {to}"),
                    "the input is clamped and a layer's connection to itself is its own partner: use \"none\"",
                ));
            }
            if let Feedback::Rotated { angle } = connection.feedback
                && !(0.0..=180.0).contains(&angle)
            {
                let found = format!("found {angle}");
                return Err(Invalid::new(path("feedback.rotated.angle"), found, "degrees between 0 and 180"));
            }
            if let Some(initialisation) = connection.initialisation {
                initialisation.validate(&path("initialisation"))?;
            }
            if let Some(sparse) = &connection.sparse {
                let size = |name: &str| self.layer_size(name).unwrap_or(0);
                sparse.validate(size(to), size(from)).map_err(|e| e.under(&path("sparse")))?;
            }
            if let Some(conv) = &connection.conv {
                if connection.sparse.is_some() {
                    let found = "found both `sparse` and `conv`";
                    return Err(Invalid::new(format!("connections[{i}]"), found, "give one of the two"));
                }
                let shape = |name: &str| self.layer_shape(name).unwrap_or([0; 3]);
                conv.validate(shape(to), shape(from)).map_err(|e| e.under(&path("conv")))?;
            }
            if let Some(delay) = connection.delay {
                let shape = |name: &str| self.layer_shape(name).unwrap_or([0; 3]);
                let linear = connection.interaction(shape(to), shape(from), i).is_linear();
                connection.validate_delay(delay, linear).map_err(|e| e.under(&path("delay")))?;
            }
            if !seen.insert((from, to)) || (has_feedback && !seen.insert((to, from))) {
                return Err(Invalid::new(
                    format!("connections[{i}]"),
                    format!("found a second connection between `{from}` and `{to}` in the same direction"),
                    "each direction may be connected once, a feedback counted",
                ));
            }
        }
        for (i, layer) in self.layers.iter().enumerate() {
            if !seen.iter().any(|(_, to)| *to == layer.name) {
                return Err(Invalid::new(
                    format!("layers[{i}]"),
                    format!("found no connection into layer `{}`", layer.name),
                    "every layer receives from the input or from another layer",
                ));
            }
        }
        Ok(())
    }

    fn validate_output(&self) -> Result<(), Invalid> {
        match (&self.readout, self.cost) {
            (Some(_), Some(_)) => {
                Err(Invalid::new("cost", "found a cost beside a read-out", "put it in `readout.cost`"))
            }
            (None, None) => Err(Invalid::new(
                "",
                "found neither `readout` nor `cost`",
                "give a `readout`, or `\"cost\": \"squared_error\"` for the last layer",
            )),
            (None, Some(Cost::CrossEntropy)) => Err(Invalid::new(
                "cost",
                "found cross_entropy without a read-out",
                "add `readout`, or use squared_error",
            )),
            (None, Some(Cost::SquaredError)) => Ok(()),
            (Some(readout), None) => {
                if readout.from == INPUT || self.layer_size(&readout.from).is_none() {
                    let legal = format!("it must be one of {}", self.layer_names());
                    return Err(Invalid::new("readout.from", format!("found {:?}", readout.from), legal));
                }
                if readout.cost == Cost::SquaredError {
                    return Err(Invalid::new(
                        "readout.cost",
                        "found squared_error",
                        "a read-out has `cross_entropy`; for a squared error drop it and put `cost` at the top",
                    ));
                }
                if let Some(initialisation) = readout.initialisation {
                    initialisation.validate("readout.initialisation")?;
                }
                if readout.classes < 2 {
                    return Err(Invalid::new(
                        "readout.classes",
                        format!("found {}", readout.classes),
                        "at least 2",
                    ));
                }
                Ok(())
            }
        }
    }
}

fn at_least_one(path: &str, value: usize) -> Result<(), Invalid> {
    if value == 0 { Err(Invalid::new(path, "found 0", "it must be at least 1")) } else { Ok(()) }
}
