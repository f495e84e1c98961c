//! JSON, strictly: what serde_json lets pass in silence is refused.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Reads one JSON value. A key that an object has twice is an error of [category](serde_json::error::Category) `Data`. The mark with
/// which some editors begin a text in UTF-8 is passed over.
///
/// # Errors
/// If the text is not JSON in UTF-8, goes on after the value, or has a key twice.
pub fn parse_json(bytes: &[u8]) -> serde_json::Result<Value> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(serde_json::Error::custom("found UTF-16: save the file as UTF-8"));
    }
    let text = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    serde_json::from_slice::<Strict>(text).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("found the key `{key}` twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_serde_json_reads() {
        let text =
            r#"{ "a": [1, -2, 0.1, 1e300, 18446744073709551615, null, true, "\u00e9"], "b": { "c": {} } }"#;
        assert_eq!(parse_json(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_value() {
        assert_eq!(parse_json(b"\xef\xbb\xbf{ \"a\": 1 }").unwrap(), serde_json::json!({ "a": 1 }));
        for text in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
            let error = parse_json(text).unwrap_err().to_string();
            assert_eq!(error, "found UTF-16: save the file as UTF-8");
        }
        // Only one, and only at the start.
        assert!(parse_json(b"\xef\xbb\xbf\xef\xbb\xbf{}").is_err());
    }

    #[test]
    fn keys_stand_once_and_nothing_follows() {
        for (text, told) in [
            (r#"{ "a": 1, "a": 2 }"#, "found the key `a` twice at line 1"),
            (r#"{ "b": [{ "a": 1, "a": 1 }] }"#, "found the key `a` twice"),
            (r#"{ "a": 1 } 2"#, "trailing characters"),
            ("NaN", "expected value"),
        ] {
            let error = parse_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
