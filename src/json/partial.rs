//! Objects that are written in part: what is left out keeps the default of the place they stand in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Reads an object in which every field that is absent has its value from `default`, not from its type's own default.
///
/// # Errors
/// As the type's own; they keep the path inside the object.
pub fn over<'de, T, D>(deserializer: D, default: &T) -> Result<T, D::Error>
where
    T: Serialize + DeserializeOwned,
    D: Deserializer<'de>,
{
    let defaults = serde_json::to_value(default).map_err(D::Error::custom)?;
    let Value::Object(left) = defaults else { return T::deserialize(deserializer) };
    deserializer.deserialize_map(Written { left, of: PhantomData })
}

/// Takes the object that was written.
struct Written<T> {
    left: Map<String, Value>,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, written: A) -> Result<T, A::Error> {
        let entries = Entries { written, left: self.left, value: None };
        T::deserialize(MapAccessDeserializer::new(entries))
    }
}

/// The entries that were written, then the defaults that are left.
struct Entries<A> {
    written: A,
    left: Map<String, Value>,
    /// The default whose key was read last; none while there are written entries.
    value: Option<Value>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        // The key is taken out of the defaults and handed on at once, so that an unknown one is refused where it stands.
        let mut seed = Some(seed);
        if let Some(key) = self.written.next_key_seed(Key { seed: &mut seed, left: &mut self.left })? {
            return Ok(Some(key));
        }
        let (Some(name), Some(seed)) = (self.left.keys().next().cloned(), seed) else { return Ok(None) };
        self.value = self.left.remove(&name);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(default) => seed.deserialize(default).map_err(A::Error::custom),
            None => self.written.next_value_seed(seed),
        }
    }
}

/// Reads a written key.
struct Key<'a, K> {
    seed: &'a mut Option<K>,
    left: &'a mut Map<String, Value>,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        let name = String::deserialize(deserializer)?;
        self.left.remove(&name);
        let seed = self.seed.take().ok_or_else(|| D::Error::custom("a key that was read twice"))?;
        seed.deserialize(name.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        a: f64,
        b: Option<f64>,
        c: bool,
    }

    impl Default for Inner {
        fn default() -> Self {
            Self { a: 1.0, b: None, c: false }
        }
    }

    fn place() -> Inner {
        Inner { a: 0.1, b: Some(1e-3), c: true }
    }

    fn here<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Inner, D::Error> {
        over(deserializer, &place())
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default = "place", deserialize_with = "here")]
        inner: Inner,
    }

    fn read(value: Value) -> Result<Inner, (String, String)> {
        let outer: Result<Outer, _> = serde_path_to_error::deserialize(value);
        outer.map(|outer| outer.inner).map_err(|e| (e.path().to_string(), e.inner().to_string()))
    }

    #[test]
    fn what_is_left_out_keeps_the_default_of_its_place() {
        assert_eq!(read(json!({})), Ok(place()));
        assert_eq!(read(json!({ "inner": {} })), Ok(place()));
        assert_eq!(read(json!({ "inner": { "a": 2.0 } })), Ok(Inner { a: 2.0, ..place() }));
        assert_eq!(
            read(json!({ "inner": { "c": false, "b": null } })),
            Ok(Inner { a: 0.1, b: None, c: false })
        );
        let whole = json!({ "inner": { "a": 1.0, "b": null, "c": false } });
        assert_eq!(read(whole), Ok(Inner::default()));
    }

    #[test]
    fn errors_keep_the_path_inside_the_object() {
        for (written, path, told) in [
            (json!({ "inner": { "a": "much" } }), "inner.a", "invalid type"),
            (json!({ "inner": { "d": 1 } }), "inner.d", "unknown field `d`, expected one of `a`, `b`, `c`"),
            (json!({ "inner": 3 }), "inner", "an object"),
        ] {
            let (found, message) = read(written).unwrap_err();
            assert_eq!(found, path, "{message}");
            assert!(message.contains(told), "{message}");
        }
    }
}
