//! The description of an experiment: what its JSON says, strictly typed.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::data::DataSpec;
use crate::error::{Invalid, positive};
use crate::gradient::EstimatorSpec;
use crate::gradient::equilibrium::Settle;
use crate::imperfections::Imperfections;
use crate::integrators::IntegratorSpec;
use crate::learning::{OptimiserSpec, Schedule};
use crate::substrate::effective::Form;
use crate::substrate::model::ModelSpec;
use crate::substrate::network::Network;

/// An experiment of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Experiment {
    /// Trains a network.
    Train(Box<Train>),
    /// Compares estimators on given parameters and samples: the interchange with anyone's own code.
    Gradient(Gradient),
    /// Watches one sample oscillate.
    Trace(Trace),
    /// Gradient error against |β|, for any estimators.
    Amplitude(Amplitude),
    /// Gradient error of `oscillation` against its period, beside theory.
    Frequency(Frequency),
}

/// The names of all kinds.
pub const KINDS: [&str; 5] = ["train", "gradient", "trace", "amplitude", "frequency"];

impl Experiment {
    /// One of [`KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Train(_) => "train",
            Self::Gradient(_) => "gradient",
            Self::Trace(_) => "trace",
            Self::Amplitude(_) => "amplitude",
            Self::Frequency(_) => "frequency",
        }
    }

    /// The seed; 0 where nothing is drawn.
    #[must_use]
    pub fn seed(&self) -> u64 {
        match self {
            Self::Train(spec) => spec.seed,
            Self::Gradient(spec) => spec.seed,
            Self::Trace(_) | Self::Amplitude(_) | Self::Frequency(_) => 0,
        }
    }

    /// The model, by path or written out.
    pub fn model_mut(&mut self) -> &mut ModelRef {
        match self {
            Self::Train(spec) => &mut spec.model,
            Self::Gradient(spec) => &mut spec.model,
            Self::Trace(spec) => &mut spec.model,
            Self::Amplitude(spec) => &mut spec.model,
            Self::Frequency(spec) => &mut spec.model,
        }
    }

    /// The parameter and batch files, by path, where the kind has them.
    pub fn files_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Train(spec) => spec.parameters.iter_mut().collect(),
            Self::Gradient(spec) => vec![&mut spec.parameters, &mut spec.batch],
            Self::Trace(spec) => vec![&mut spec.parameters, &mut spec.batch],
            Self::Amplitude(spec) => vec![&mut spec.parameters, &mut spec.batch],
            Self::Frequency(spec) => vec![&mut spec.parameters, &mut spec.batch],
        }
    }

    /// The path of the parameter file, if there is one.
    #[must_use]
    pub fn parameters(&self) -> Option<&str> {
        match self {
            Self::Train(spec) => spec.parameters.as_deref(),
            Self::Gradient(spec) => Some(&spec.parameters),
            Self::Trace(spec) => Some(&spec.parameters),
            Self::Amplitude(spec) => Some(&spec.parameters),
            Self::Frequency(spec) => Some(&spec.parameters),
        }
    }

    /// The path of the batch file, where the kind has one.
    #[must_use]
    pub fn batch(&self) -> Option<&str> {
        match self {
            Self::Train(_) => None,
            Self::Gradient(spec) => Some(&spec.batch),
            Self::Trace(spec) => Some(&spec.batch),
            Self::Amplitude(spec) => Some(&spec.batch),
            Self::Frequency(spec) => Some(&spec.batch),
        }
    }

    /// Checks everything that the types do not, with the model at hand.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self, network: &Network) -> Result<(), Invalid> {
        match self {
            Self::Train(spec) => spec.validate(network),
            Self::Gradient(spec) => spec.validate(network),
            Self::Trace(spec) => spec.validate(network),
            Self::Amplitude(spec) => spec.validate(network),
            Self::Frequency(spec) => spec.validate(network),
        }
    }
}

/// A model: the path of its file, relative to the experiment's, or the model itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelRef {
    /// The path of a model file.
    Path(String),
    /// The model.
    Whole(Box<ModelSpec>),
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrWhole;

        impl<'de> Visitor<'de> for PathOrWhole {
            type Value = ModelRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a model file, or a model")
            }

            fn visit_str<E>(self, path: &str) -> Result<ModelRef, E> {
                Ok(ModelRef::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelRef, A::Error> {
                ModelSpec::deserialize(MapAccessDeserializer::new(map)).map(|m| ModelRef::Whole(Box::new(m)))
            }
        }

        deserializer.deserialize_any(PathOrWhole)
    }
}

impl JsonSchema for ModelRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = generator.subschema_for::<ModelSpec>();
        json_schema!({ "anyOf": [
            { "type": "string", "description": "The path of a model file, relative to the experiment's." },
            whole
        ] })
    }
}

/// Floating-point precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single.
    F32,
    /// Double.
    F64,
}

fn single() -> Precision {
    Precision::F32
}

fn double() -> Precision {
    Precision::F64
}

/// Trains a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub model: ModelRef,
    /// Initial parameters from a file instead of the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Precision of the simulation.
    #[serde(default = "single")]
    pub precision: Precision,
    /// Seed of initial weights, split, batch order and noise.
    #[serde(default)]
    pub seed: u64,
    /// What is learnt.
    #[serde(default)]
    pub data: DataSpec,
    /// Which variable the neurons integrate.
    #[serde(default)]
    pub form: Form,
    /// How gradients are obtained.
    pub estimator: EstimatorSpec,
    /// What is imperfect.
    #[serde(default)]
    pub imperfections: Imperfections,
    /// How gradients become updates.
    pub optimiser: OptimiserSpec,
    /// How the learning rate goes with time.
    #[serde(default)]
    pub schedule: Schedule,
    /// Factors on the learning rate by connection (`h1-h2`), layer (its bias) or `readout`.
    #[serde(default)]
    pub learning_rates: BTreeMap<String, f64>,
    /// Passes over the training set.
    pub epochs: u64,
    /// Samples of an update.
    pub batch_size: usize,
    /// Whether the substrate's state is carried from one batch to the next, or starts from rest.
    #[serde(default)]
    pub carry_state: bool,
    /// How the equilibria of inference are waited for.
    #[serde(default = "inference")]
    pub inference: Settle,
    /// Training samples on which each epoch compares the estimate with the adjoint; 0 for none.
    #[serde(default = "compared")]
    pub compare: usize,
}

fn inference() -> Settle {
    Settle { step: 0.5, tolerance: Some(1e-3), max_time: 200.0 }
}

fn compared() -> usize {
    20
}

/// Compares estimators on given parameters and samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gradient {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub model: ModelRef,
    /// Precision of the simulation.
    #[serde(default = "double")]
    pub precision: Precision,
    /// Seed of the noise.
    #[serde(default)]
    pub seed: u64,
    /// Safetensors file of the parameters.
    pub parameters: String,
    /// Safetensors file of the samples: `x` and `y`.
    pub batch: String,
    /// Which variable the neurons integrate.
    #[serde(default)]
    pub form: Form,
    /// What is imperfect.
    #[serde(default)]
    pub imperfections: Imperfections,
    /// The estimators, by label. The first `adjoint` is the truth that the others are compared with.
    pub estimators: IndexMap<String, EstimatorSpec>,
}

/// Watches one sample oscillate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub model: ModelRef,
    /// Safetensors file of the parameters.
    pub parameters: String,
    /// Safetensors file of the samples.
    pub batch: String,
    /// Which sample of the batch is shown.
    #[serde(default)]
    pub sample: usize,
    /// |β|.
    pub amplitude: f64,
    /// Period of the drive, in τ.
    pub period: f64,
    /// Periods that are shown, from rest.
    pub periods: u64,
    /// How the trajectory is integrated.
    #[serde(default = "referee")]
    pub integrator: IntegratorSpec,
}

fn referee() -> IntegratorSpec {
    IntegratorSpec::Dopri5 { rtol: 1e-10, atol: 1e-12, samples: 64 }
}

/// Gradient error against |β|.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amplitude {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub model: ModelRef,
    /// Safetensors file of the parameters.
    pub parameters: String,
    /// Safetensors file of the samples.
    pub batch: String,
    /// Which variable the neurons integrate.
    #[serde(default)]
    pub form: Form,
    /// The amplitudes |β|.
    pub amplitudes: Vec<f64>,
    /// The estimators, by label; their own amplitude is replaced.
    pub estimators: IndexMap<String, EstimatorSpec>,
}

/// Gradient error against the period of the drive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frequency {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// The network.
    pub model: ModelRef,
    /// Safetensors file of the parameters.
    pub parameters: String,
    /// Safetensors file of the samples.
    pub batch: String,
    /// |β|.
    pub amplitude: f64,
    /// The periods, in τ; each is also the shortest of its Richardson sequence.
    pub periods: Vec<f64>,
    /// Time that passes before each record, in τ.
    #[serde(default = "long")]
    pub settle_time: f64,
    /// Most periods T, 2T, 4T … that are extrapolated.
    #[serde(default = "three")]
    pub richardson: u64,
    /// How the trajectory is integrated.
    #[serde(default = "referee")]
    pub integrator: IntegratorSpec,
}

fn long() -> f64 {
    100.0
}

fn three() -> u64 {
    3
}

fn estimators(
    estimators: &IndexMap<String, EstimatorSpec>,
    network: &Network,
    form: Form,
    imperfections: &Imperfections,
) -> Result<(), Invalid> {
    if estimators.is_empty() {
        return Err(Invalid::new("estimators", "found none", "at least one estimator, by label"));
    }
    for (label, estimator) in estimators {
        if label.is_empty() || label.contains(['/', '.']) {
            let legal = "a label is not empty and has neither `/` nor `.`";
            return Err(Invalid::new("estimators", format!("found the label {label:?}"), legal));
        }
        let path = format!("estimators.{label}");
        estimator.validate(network, form, imperfections.state_noise).map_err(|e| e.under(&path))?;
    }
    Ok(())
}

impl Train {
    fn validate(&self, network: &Network) -> Result<(), Invalid> {
        self.data.check().map_err(|e| e.under("data"))?;
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        let noise = self.imperfections.state_noise;
        self.estimator.validate(network, self.form, noise).map_err(|e| e.under("estimator"))?;
        self.optimiser.validate().map_err(|e| e.under("optimiser"))?;
        self.schedule.validate().map_err(|e| e.under("schedule"))?;
        self.inference.validate().map_err(|e| e.under("inference"))?;
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return Err(Invalid::new("epochs", format!("found {}", self.epochs), "1 to 1000000"));
        }
        if self.batch_size == 0 || self.batch_size > 1_000_000 {
            return Err(Invalid::new(
                "batch_size",
                format!("found {}", self.batch_size),
                "1 to 1000000 samples",
            ));
        }
        Ok(())
    }
}

impl Gradient {
    fn validate(&self, network: &Network) -> Result<(), Invalid> {
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        estimators(&self.estimators, network, self.form, &self.imperfections)
    }
}

impl Trace {
    fn validate(&self, network: &Network) -> Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("period", self.period)?;
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        self.integrator.clock("period", self.period)?;
        if !(2..=10_000).contains(&self.periods) {
            let legal = "2 to 10000: the first is transient";
            return Err(Invalid::new("periods", format!("found {}", self.periods), legal));
        }
        holomorphic(network)
    }
}

impl Amplitude {
    fn validate(&self, network: &Network) -> Result<(), Invalid> {
        if self.amplitudes.is_empty() {
            return Err(Invalid::new("amplitudes", "found none", "a list of numbers greater than 0"));
        }
        for (i, amplitude) in self.amplitudes.iter().enumerate() {
            positive(&format!("amplitudes[{i}]"), *amplitude)?;
        }
        estimators(&self.estimators, network, self.form, &Imperfections::default())
    }
}

impl Frequency {
    fn validate(&self, network: &Network) -> Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("settle_time", self.settle_time)?;
        if self.settle_time > 1e9 {
            let found = format!("found {:e}", self.settle_time);
            return Err(Invalid::new("settle_time", found, "at most 1e9 tau"));
        }
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        if self.periods.is_empty() {
            return Err(Invalid::new("periods", "found none", "a list of periods in tau"));
        }
        for (i, period) in self.periods.iter().enumerate() {
            self.integrator.clock(&format!("periods[{i}]"), *period)?;
        }
        if !(1..=6).contains(&self.richardson) {
            return Err(Invalid::new("richardson", format!("found {}", self.richardson), "1 to 6"));
        }
        holomorphic(network)
    }
}

fn holomorphic(network: &Network) -> Result<(), Invalid> {
    if network.is_holomorphic() {
        return Ok(());
    }
    let legal = "a complex drive needs logistic, tanh, dsilu, softplus or identity in every layer";
    Err(Invalid::new("model", "found an activation that is not holomorphic", legal))
}
