//! What a sweep varies.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::experiment::kinds::train::Train;
use crate::json::wording;

/// The experiment that a sweep varies: the path of its file, or itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The path of its file, relative to the sweep's.
    Path(String),
    /// Itself.
    Whole(Box<Train>),
}

/// A training run with its kind, as in its own file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Swept<'a> {
    /// The training run.
    Train(&'a Train),
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => serializer.serialize_str(path),
            Self::Whole(train) => Swept::Train(train).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(path) => Ok(Self::Path(path)),
            mut value @ Value::Object(_) => {
                let kind = value.as_object_mut().and_then(|o| o.remove("kind"));
                if kind != Some(Value::from("train")) {
                    return Err(D::Error::custom("at `kind`: found another kind than `train`"));
                }
                let train = serde_path_to_error::deserialize(value);
                train.map(Self::Whole).map_err(|e| {
                    D::Error::custom(format!("at `{}`: {}", wording::place(e.path()), e.inner()))
                })
            }
            _ => {
                Err(D::Error::custom("expected the path of an experiment of kind `train`, or the experiment"))
            }
        }
    }
}

impl JsonSchema for Base {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SweptExperiment".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let train = generator.subschema_for::<Train>();
        schemars::json_schema!({ "anyOf": [
            { "type": "string", "description": "The path of an experiment of kind `train`, relative to the sweep's." },
            { "type": "object", "description": "The experiment.", "properties": { "kind": { "const": "train" } },
              "required": ["kind"] },
            train
        ] })
    }
}
