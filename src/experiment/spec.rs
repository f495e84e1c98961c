//! What descriptions of several kinds are made of: a model by path or written out, precision, checks.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Invalid;
use crate::gradient::EstimatorSpec;
use crate::imperfections::Imperfections;
use crate::simulation::integrators::IntegratorSpec;
use crate::substrate::circuits::model::CircuitSpec;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::Network;

/// A model: the path of its file, relative to the experiment's, or the model itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelRef {
    /// The path of a model file.
    Path(String),
    /// The model.
    Whole(Box<ModelSpec>),
    /// A circuit.
    Circuit(Box<CircuitSpec>),
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
        let circuit = generator.subschema_for::<CircuitSpec>();
        json_schema!({ "anyOf": [
            { "type": "string", "description": "The path of a model file, relative to the experiment's." },
            whole,
            circuit
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

pub(crate) fn single() -> Precision {
    Precision::F32
}

pub(crate) fn double() -> Precision {
    Precision::F64
}

/// The adaptive integrator that studies use unless told otherwise.
pub(crate) fn referee() -> IntegratorSpec {
    IntegratorSpec::Dopri5 { rtol: 1e-10, atol: 1e-12, samples: 64 }
}

/// Checks labelled estimators.
pub(crate) fn validate_estimators(
    estimators: &IndexMap<String, EstimatorSpec>,
    network: &Network,
    form: Form,
    imperfections: &Imperfections,
) -> Result<(), Invalid> {
    refuse_labels(estimators)?;
    for (label, estimator) in estimators {
        let path = format!("estimators.{label}");
        estimator.validate(network, form, Some(imperfections)).map_err(|e| e.under(&path))?;
    }
    Ok(())
}

/// Refuses no estimators, and labels that paths cannot hold.
pub(crate) fn refuse_labels(estimators: &IndexMap<String, EstimatorSpec>) -> Result<(), Invalid> {
    if estimators.is_empty() {
        return Err(Invalid::new("estimators", "found none", "at least one estimator, by label"));
    }
    let Some(label) = estimators.keys().find(|label| label.is_empty() || label.contains(['/', '.'])) else {
        return Ok(());
    };
    let legal = "a label is not empty and has neither `/` nor `.`";
    Err(Invalid::new("estimators", format!("found the label {label:?}"), legal))
}

/// Refuses networks that cannot carry a complex state.
pub(crate) fn validate_holomorphic(network: &Network) -> Result<(), Invalid> {
    if network.is_holomorphic() {
        return Ok(());
    }
    let legal = "a complex drive needs logistic, tanh, dsilu, softplus or identity in every layer, and no max pooling";
    Err(Invalid::new("model", "found an activation or a pooling that is not holomorphic", legal))
}

/// Refuses connections with a delay where a kind of experiment has no clock for them.
pub(crate) fn refuse_delays(network: &Network) -> Result<(), Invalid> {
    if network.delays().is_empty() {
        return Ok(());
    }
    let legal = "this kind of experiment knows what arrives at once: leave out every `delay`, or use gradient, frequency, amplitude, trace, \
                 train, continuous, elapsed or sweep";
    Err(Invalid::new("model", "found a connection with a delay", legal))
}

/// Refuses neurons by equation where a kind of experiment knows −u + I alone.
pub(crate) fn refuse_equations(network: &Network) -> Result<(), Invalid> {
    if !network.has_equations() {
        return Ok(());
    }
    let legal = "this kind of experiment knows neurons of one variable alone: use gradient, frequency, amplitude, trace, train or sweep";
    Err(Invalid::new("model", "found neurons by equation", legal))
}
