//! The description of an experiment: what its JSON says, strictly typed.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Options;
use super::folder::RunFolder;
use super::load::{Loaded, Origin};
use super::problem;
use super::{
    Amplitude, Continuous, Elapsed, Frequency, FrequencyOptimum, Gradient, Relaxation, Stability, Sweep,
    Trace, Train,
};
use crate::data::DataSpec;
use crate::error::Invalid;
use crate::gradient::EstimatorSpec;
use crate::imperfections::Imperfections;
use crate::simulation::integrators::IntegratorSpec;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::Network;

/// An experiment of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a program holds one experiment, or a few")]
pub enum Experiment {
    /// Trains a network.
    Train(Box<Train>),
    /// Compares estimators on given parameters and samples: the interchange with anyone's own code.
    Gradient(Box<Gradient>),
    /// Watches one sample oscillate.
    Trace(Trace),
    /// Gradient error against |β|, for any estimators.
    Amplitude(Amplitude),
    /// Gradient error of `oscillation` against its period, beside theory.
    Frequency(Frequency),
    /// Steps from rest to the free equilibrium, and on to those at the roots of unity.
    Relaxation(Relaxation),
    /// For a grid of complex β, does the dynamics settle, and how far.
    Stability(Stability),
    /// Learns without batches, phases or resets: the weights evolve in the same differential equation.
    Continuous(Box<Continuous>),
    /// Bias and noise against the period, and where their sum is smallest.
    FrequencyOptimum(Box<FrequencyOptimum>),
    /// Gradient error of always-on estimators against time.
    Elapsed(Elapsed),
    /// Trains once for every point of a grid.
    Sweep(Box<Sweep>),
}

/// The names of all kinds.
pub const KINDS: [&str; 11] = [
    "train",
    "gradient",
    "trace",
    "amplitude",
    "frequency",
    "continuous",
    "frequency_optimum",
    "elapsed",
    "relaxation",
    "stability",
    "sweep",
];

/// What every kind of experiment offers.
pub trait Kind {
    /// The name in files.
    fn name(&self) -> &'static str;

    /// Replaces what stands in other files, apart from the model; `origin` is the file of this one.
    ///
    /// # Errors
    /// If such a file is missing or not legal.
    fn resolve(&mut self, _origin: &Origin) -> crate::Result<()> {
        Ok(())
    }

    /// The model, by path or written out.
    fn model_mut(&mut self) -> &mut ModelRef;

    /// The parameter file, then the batch file, by path relative to the experiment.
    fn files_mut(&mut self) -> Vec<&mut String> {
        Vec::new()
    }

    /// The file of published results, by path relative to the experiment.
    fn published_mut(&mut self) -> Option<&mut String> {
        None
    }

    /// The seed; 0 where nothing is drawn.
    fn seed(&self) -> u64 {
        0
    }

    /// Checks everything that the types do not, with the model at hand.
    ///
    /// # Errors
    /// The first finding, with its path.
    fn validate(&self, network: &Network) -> Result<(), Invalid>;

    /// Runs it into a folder; returns the lines that sum it up for the user.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    fn run(&self, loaded: &Loaded, folder: &RunFolder, options: &Options) -> crate::Result<Vec<String>>;
}

impl Experiment {
    /// What is common to all kinds.
    #[must_use]
    pub fn kind(&self) -> &dyn Kind {
        match self {
            Self::Train(spec) => &**spec,
            Self::Gradient(spec) => &**spec,
            Self::Trace(spec) => spec,
            Self::Amplitude(spec) => spec,
            Self::Frequency(spec) => spec,
            Self::Relaxation(spec) => spec,
            Self::Stability(spec) => spec,
            Self::Continuous(spec) => &**spec,
            Self::FrequencyOptimum(spec) => &**spec,
            Self::Elapsed(spec) => spec,
            Self::Sweep(spec) => &**spec,
        }
    }

    /// What is learnt from, where it is data and no file of samples; of a sweep, what its points start from.
    pub fn data_mut(&mut self) -> Option<&mut DataSpec> {
        match self {
            Self::Train(spec) => Some(&mut spec.data),
            Self::Continuous(spec) => Some(&mut spec.data),
            Self::Elapsed(spec) => Some(&mut spec.data),
            Self::Sweep(spec) => spec.data_mut(),
            _ => None,
        }
    }

    /// The sample of the batch that it is about, if it is about one.
    #[must_use]
    pub fn sample(&self) -> Option<usize> {
        match self {
            Self::Trace(spec) => Some(spec.sample),
            Self::Relaxation(spec) => Some(spec.sample),
            Self::Stability(spec) => Some(spec.sample),
            Self::FrequencyOptimum(spec) => Some(spec.sample),
            _ => None,
        }
    }

    /// The precision in which its parameters and samples are read.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self {
            Self::Train(spec) => spec.precision,
            Self::Continuous(spec) => spec.precision,
            Self::Gradient(spec) => spec.precision,
            Self::Sweep(spec) => spec.precision(),
            _ => Precision::F64,
        }
    }

    /// Finds out what would stop a run before it begins, less its files and what a sweep's points say.
    ///
    /// # Errors
    /// If the data do not fit the model, or a learning rate names no connection.
    pub fn check(&self, loaded: &Loaded) -> crate::Result<()> {
        match self {
            Self::Train(spec) => problem::check_training(loaded, spec),
            Self::Continuous(spec) => {
                problem::check_learning_rates(loaded, &spec.learning_rates)?;
                problem::check_data(loaded, &spec.data)
            }
            Self::Elapsed(spec) => problem::check_data(loaded, &spec.data),
            _ => Ok(()),
        }
    }

    /// The same, to change.
    pub fn kind_mut(&mut self) -> &mut dyn Kind {
        match self {
            Self::Train(spec) => &mut **spec,
            Self::Gradient(spec) => &mut **spec,
            Self::Trace(spec) => spec,
            Self::Amplitude(spec) => spec,
            Self::Frequency(spec) => spec,
            Self::Relaxation(spec) => spec,
            Self::Stability(spec) => spec,
            Self::Continuous(spec) => &mut **spec,
            Self::FrequencyOptimum(spec) => &mut **spec,
            Self::Elapsed(spec) => spec,
            Self::Sweep(spec) => &mut **spec,
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

pub(super) fn single() -> Precision {
    Precision::F32
}

pub(super) fn double() -> Precision {
    Precision::F64
}

/// The adaptive integrator that studies use unless told otherwise.
pub(super) fn referee() -> IntegratorSpec {
    IntegratorSpec::Dopri5 { rtol: 1e-10, atol: 1e-12, samples: 64 }
}

/// Checks labelled estimators.
pub(super) fn validate_estimators(
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
        estimator.validate(network, form, Some(imperfections)).map_err(|e| e.under(&path))?;
    }
    Ok(())
}

/// Refuses networks that cannot carry a complex state.
pub(super) fn validate_holomorphic(network: &Network) -> Result<(), Invalid> {
    if network.is_holomorphic() {
        return Ok(());
    }
    let legal = "a complex drive needs logistic, tanh, dsilu, softplus or identity in every layer, and no max pooling";
    Err(Invalid::new("model", "found an activation or a pooling that is not holomorphic", legal))
}
