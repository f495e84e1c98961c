//! Externally tagged choices that may be written by name alone: `"rk4"` for `{"rk4": {}}`.

use schemars::Schema;
use serde_json::{Value, json};

/// Gives a type whose serde implementation is derived with `#[serde(remote = "Self")]` one that also takes a bare name.
macro_rules! choice {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$type>::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Choice;

                impl<'de> serde::de::Visitor<'de> for Choice {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a name, or an object with one name as its key")
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$type, E> {
                        // A unit variant wants the bare name, a variant with fields an object.
                        let bare = <$type>::deserialize(serde_json::Value::from(name));
                        let whole = serde_json::json!({ name: {} });
                        bare.or_else(|_| <$type>::deserialize(whole)).map_err(E::custom)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        <$type>::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_any(Choice)
            }
        }
    };
}
pub(crate) use choice;

/// Lets a choice's schema also accept each variant's bare name.
pub fn allow_names(schema: &mut Schema) {
    let Some(variants) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let name =
        |variant: &Value| variant.get("properties")?.as_object()?.keys().next().map(|name| json!(name));
    let names: Vec<Value> = variants.iter().filter_map(name).collect();
    let mut any = variants.clone();
    any.push(json!({ "enum": names, "description": "The name alone: every field at its default." }));
    schema.remove("oneOf");
    schema.insert("anyOf".into(), Value::Array(any));
}
