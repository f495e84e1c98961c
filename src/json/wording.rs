//! What serde says of a value that does not fit, in the words of those who write the files.

/// Fields that are still listed beside a name that is probably meant.
const FEW: usize = 8;
/// Share of a name's letters that may differ from what was meant.
const DIFFERENT: f64 = 0.4;

/// Splits a message of serde into what was found and what is legal, both in plain words.
#[must_use]
pub fn plain(message: &str) -> (String, String) {
    // Values have no place in a text; where there was one, serde_json appends it.
    let message = message.split(" at line ").next().unwrap_or(message);
    for (prefix, noun, plural) in
        [("unknown field ", "field", "the fields here"), ("unknown variant ", "name", "the names here")]
    {
        let Some(rest) = message.strip_prefix(prefix) else { continue };
        let mut quoted = rest.split('`').skip(1).step_by(2);
        let name = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return (format!("unknown {noun} `{name}`"), choose(name, &known, plural));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (format!("the field {rest} is missing"), String::new());
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return (format!("found the field {rest} twice"), "each once".to_owned());
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        let Some(rest) = message.strip_prefix(prefix) else { continue };
        let (unexpected, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, ""));
        let unexpected = if prefix == "invalid length " {
            format!("found a list of {unexpected}")
        } else {
            format!("found {}", found(unexpected))
        };
        return (unexpected, needed(expected));
    }
    // What a choice without names says of itself.
    match message.strip_prefix("expected ") {
        Some(legal) => ("found something else".to_owned(), format!("it must be {legal}")),
        None => (message.to_owned(), String::new()),
    }
}

/// The place of an error inside a document; none at its top. Choices that are written by name alone leave no gap in it.
#[must_use]
pub fn place(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    path.split('.').filter(|part| !part.is_empty() && *part != "?").collect::<Vec<_>>().join(".")
}

/// Of the names that are known, the one that was probably meant, or all of them.
fn choose(name: &str, known: &[&str], plural: &str) -> String {
    let all = || format!("{plural} are {}", listed(known));
    match (nearest(name, known.iter().copied()), known.len()) {
        (_, 0) => "it takes none".to_owned(),
        (Some(near), 1..=FEW) => format!("did you mean `{near}`? {}", all()),
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, _) => all(),
    }
}

/// The known name that differs least from one that is not known, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| {
        let letters = name.chars().count().max(other.chars().count()).max(1);
        strsim::damerau_levenshtein(name, other) as f64 / letters as f64
    };
    // Longer texts than any name are not compared: the distance takes the product of the lengths.
    let near = known.into_iter().filter(|other| name.len() <= 100 && other.len() <= 100);
    let near = near.map(|other| (distance(other), other)).filter(|(d, _)| *d <= DIFFERENT);
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}

/// `legal`, after the name that was probably meant, if there is one.
#[must_use]
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, legal: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`? {legal}"),
        None => legal.to_owned(),
    }
}

/// Names in quotation marks, divided by commas.
fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A value as JSON calls it.
fn found(unexpected: &str) -> String {
    for kind in ["integer ", "floating point ", "boolean ", "character "] {
        if let Some(value) = unexpected.strip_prefix(kind) {
            return value.trim_matches('`').to_owned();
        }
    }
    if let Some(text) = unexpected.strip_prefix("string ") {
        return format!("the text {text}");
    }
    match unexpected {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" | "null" | "Option value" => "null",
        "unit variant" => "a name alone",
        "newtype variant" | "tuple variant" | "struct variant" => "a name with settings",
        other => other,
    }
    .to_owned()
}

/// A type as JSON calls it.
fn needed(expected: &str) -> String {
    let expected = expected.strip_prefix("expected ").unwrap_or(expected);
    for list in ["an array of length ", "a tuple of size "] {
        if let Some(length) = expected.strip_prefix(list) {
            return format!("it must be a list of {length}");
        }
    }
    let kind = match expected.split(' ').next().unwrap_or_default() {
        _ if expected.starts_with("struct variant ") || expected.starts_with("struct ") => "an object",
        _ if expected.starts_with("unit variant ") => "the name alone",
        "f32" | "f64" => "a number",
        "u64" | "usize" | "u128" => "a whole number, at least 0",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "bool" => "true or false",
        "enum" | "tuple" | "newtype" => "a name, or an object with one name as its key",
        _ => match expected {
            "a boolean" => "true or false",
            "a string" | "string" | "str" | "path string" => "a text",
            "a map" | "map" => "an object",
            "a sequence" | "sequence" => "a list",
            "string or map" => "a name, or an object with one name as its key",
            "map with a single key" => "an object with one name as its key",
            "variant identifier" | "field identifier" => "a name",
            other => other,
        },
    };
    if kind.is_empty() { String::new() } else { format!("it must be {kind}") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::gradient::EstimatorSpec;
    use crate::imperfections::Imperfections;

    fn told<T: DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
        let (found, legal) = plain(&serde_json::from_value::<T>(value).unwrap_err().to_string());
        format!("{found}; {legal}")
    }

    #[test]
    fn types_are_called_as_json_calls_them() {
        for (told, expected) in [
            (told::<f64>(json!("many")), "found the text \"many\"; it must be a number"),
            (told::<u64>(json!(-1)), "found -1; it must be a whole number, at least 0"),
            (told::<usize>(json!(0.5)), "found 0.5; it must be a whole number, at least 0"),
            (
                told::<u32>(json!(1_u64 << 40)),
                "found 1099511627776; it must be a whole number from 0 to 4294967295",
            ),
            (told::<bool>(json!(null)), "found null; it must be true or false"),
            (told::<String>(json!([])), "found a list; it must be a text"),
            (told::<Vec<f64>>(json!({})), "found an object; it must be a list"),
        ] {
            assert_eq!(told, expected);
        }
    }

    /// Whatever stands where an object, a choice or a number is needed.
    #[test]
    fn no_message_speaks_of_types_of_the_program() {
        let words =
            ["struct", "enum", "f64", "f32", "u64", "usize", "variant", "sequence", " map", "unit", "Adc"];
        for value in
            [json!(1), json!("x"), json!([]), json!([1]), json!(null), json!(true), json!({ "x": 1 })]
        {
            for place in
                ["readout", "state_noise", "fabrication", "programming", "drift", "device_seed", "preset"]
            {
                let imperfections = json!({ place: value });
                if serde_json::from_value::<Imperfections>(imperfections.clone()).is_err() {
                    let told = told::<Imperfections>(imperfections);
                    assert!(!words.iter().any(|word| told.contains(word)), "{place} = {value}: {told}");
                }
            }
            let adc = json!({ "readout": { "adc": value } });
            if serde_json::from_value::<Imperfections>(adc.clone()).is_err() {
                let told = told::<Imperfections>(adc);
                assert!(!words.iter().any(|word| told.contains(word)), "adc = {value}: {told}");
            }
            let told = told::<EstimatorSpec>(value.clone());
            assert!(!words.iter().any(|word| told.contains(word)), "{value}: {told}");
        }
    }

    #[test]
    fn a_slip_is_answered_by_what_was_meant() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its fields' names matter")]
        struct Few {
            epochs: u64,
            batch_size: u64,
        }
        let mistaken = |name: &str| told::<Few>(json!({ name: 1 }));
        assert_eq!(
            mistaken("epoch"),
            "unknown field `epoch`; did you mean `epochs`? the fields here are `epochs`, `batch_size`"
        );
        assert_eq!(mistaken("depth"), "unknown field `depth`; the fields here are `epochs`, `batch_size`");
        assert_eq!(
            told::<EstimatorSpec>(json!("osillation")).split('?').next().unwrap(),
            "unknown name `osillation`; did you mean `oscillation`"
        );
        assert_eq!(nearest("harmonic-balance", ["classic", "harmonic_balance"]), Some("harmonic_balance"));
        assert_eq!(nearest("zzz", ["classic", "harmonic_balance"]), None);
        assert_eq!(nearest(&"z".repeat(1 << 20), ["classic"]), None);
    }
}
