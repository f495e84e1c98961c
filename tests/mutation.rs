//! Experiments that were changed at random load, or are refused with the name of their file.

use std::fs;
use std::path::Path;

// The readers of files and the ways to damage them, which `fuzz/` takes much further.
#[path = "../fuzz/src/damage.rs"]
mod damage;
#[path = "../fuzz/src/feed.rs"]
mod feed;
#[path = "../fuzz/src/readers/mod.rs"]
mod readers;

use self::feed::feed;
use self::readers::READERS;
use self::readers::documents::KINDS;
use crate::program;
use proptest::prelude::*;
use serde_json::{Value, json};

/// One random change to a JSON document.
#[derive(Debug, Clone)]
struct Mutation {
    place: prop::sample::Index,
    kind: u8,
    value: Value,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!("tanh")),
        Just(json!("../models/toy.json")),
        Just(json!(true)),
        any::<i64>().prop_map(|x| json!(x)),
        any::<f64>().prop_map(|x| json!(x)),
        Just(json!(0)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!(1e-300)),
        Just(json!(-0.0)),
        Just(json!({ "rk4": {} })),
        Just(json!({ "dopri5": { "samples": u64::MAX } })),
        Just(json!([1.0, 1e308])),
    ];
    (any::<prop::sample::Index>(), 0..3_u8, value).prop_map(|(place, kind, value)| Mutation {
        place,
        kind,
        value,
    })
}

fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let path = format!("{here}/{key}");
        pointers(child, &path, found);
        found.push(path);
    }
}

fn mutate(document: &mut Value, mutation: &Mutation) {
    let mut places = Vec::new();
    pointers(document, "", &mut places);
    if places.is_empty() {
        return;
    }
    let place = mutation.place.get(&places);
    let (parent, key) = place.rsplit_once('/').unwrap();
    match (mutation.kind, document.pointer_mut(parent).unwrap()) {
        (0, Value::Object(fields)) => drop(fields.shift_remove(key)),
        (0, Value::Array(items)) => drop(items.remove(key.parse().unwrap())),
        (1, Value::Object(fields)) => drop(fields.insert(format!("{key}x"), mutation.value.clone())),
        _ => *document.pointer_mut(place).unwrap() = mutation.value.clone(),
    }
}

#[test]
fn an_experiment_of_every_kind_is_mutated() {
    let kind = |name: &&str| holograd::experiment::load(name, &[]).unwrap().experiment.name();
    let kinds: std::collections::BTreeSet<&str> = KINDS.iter().map(kind).collect();
    assert_eq!(kinds, holograd::experiment::KINDS.into());
}

/// Puts the model and the experiment of a sweep in place of their paths.
fn write_out(document: &mut Value, folder: &Path) {
    for field in ["experiment", "model"] {
        let Some(path) = document.get(field).and_then(Value::as_str) else { continue };
        let file = folder.join(path);
        document[field] = program::json(&file);
        write_out(&mut document[field], file.parent().unwrap());
    }
    document.as_object_mut().unwrap().shift_remove("published");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the experiment says: it loads, or an error names the file.
    #[test]
    fn mutated_experiments_load_or_are_refused(
        name in prop::sample::select(&KINDS[..]),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join(format!("experiments/{name}.json"));
        let mut document = program::json(&file);
        // Written out, so that what stands in other files is mutated too.
        write_out(&mut document, file.parent().unwrap());
        mutations.iter().for_each(|m| mutate(&mut document, m));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mutated.json");
        fs::write(&file, document.to_string()).unwrap();
        if let Err(error) = holograd::experiment::load(file.to_str().unwrap(), &[]) {
            prop_assert_eq!(error.exit_code(), 2);
            let told = error.to_string();
            // A mutated model path names the file that it leads to.
            prop_assert!(told.contains("mutated.json") || told.contains("toy.json"), "{}", told);
        }
    }
}

/// Every reader on a few hundred damaged files, and on all that it once failed on.
#[test]
fn damaged_files_are_read_or_refused() {
    let failures: u64 = READERS.iter().map(|reader| feed(reader, 200, 1)).sum();
    assert_eq!(failures, 0);
}

/// A million for each reader: `HOLOGRAD_FUZZ=100000` for fewer.
#[test]
#[ignore = "takes an hour"]
fn a_million_damaged_files_are_read_or_refused() {
    let count = std::env::var("HOLOGRAD_FUZZ").map_or(1_000_000, |count| count.parse().unwrap());
    let failures: u64 = READERS.iter().map(|reader| feed(reader, count, 2)).sum();
    assert_eq!(failures, 0);
}
