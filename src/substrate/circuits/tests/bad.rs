//! Bad circuits, each refused or reported in one message that names node or element.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::Error;
use crate::experiment::{Instance, load};
use crate::gradient::estimate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::model::CircuitSpec;
use crate::substrate::circuits::programmed::Programmed;
use crate::substrate::samples::Samples;

fn good() -> Value {
    serde_json::from_str(super::DIODES).unwrap()
}

/// The message of a circuit in which something is put in another's place.
fn refused(pointer: &str, value: Value) -> String {
    let mut spec = good();
    match spec.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[key] = value;
        }
    }
    let parsed = serde_json::from_value::<CircuitSpec>(spec).unwrap();
    let invalid = Circuit::new(&parsed).unwrap_err();
    invalid.in_file("circuit.json").to_string()
}

#[test]
fn bad_circuits_are_refused_by_name() {
    let resistor = |a: &str, b: &str, g: f64| json!({ "resistors": { "between": [a, b], "conductance": g } });
    let node = |name: &str| json!({ "name": name, "size": 1, "capacitance": 0 });
    let elements = good()["elements"].as_array().unwrap().clone();
    let with = |more: &[Value]| Value::from([&elements[..], more].concat());
    let nodes = |more: &[Value]| Value::from([&good()["nodes"].as_array().unwrap()[..], more].concat());
    let source = |a: &str, b: &str| json!({ "between": [a, b], "voltage": 1.0 });
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("/nodes", nodes(&[node("lost")]), &["floating node lost[0]", "no element"]),
        (
            "/sources",
            json!([source("h[0]", "h[1]"), source("h[1]", "h[0]")]),
            &["loop of voltage sources", "sources[1]", "h[1]"],
        ),
        ("/sources", json!([source("input[2]", "ground")]), &["loop of voltage sources", "input[2]"]),
        (
            "/elements/0/resistors/conductance",
            json!(-1e-5),
            &["elements[0].resistors.conductance", "-1e-5", "greater than 0"],
        ),
        (
            "/elements/1/resistors/trainable/range",
            json!([0.0, 1e-3]),
            &["elements[1].resistors.trainable.range"],
        ),
        ("/elements/2/diodes/saturation_current", json!(0.0), &["elements[2].diodes.saturation_current"]),
        ("/elements/2/diodes/between", json!(["hh", "ground"]), &["\"hh\"", "h, o"]),
        ("/elements/1/resistors/between", json!(["h[7]", "o"]), &["\"h[7]\"", "h[0] to h[5]"]),
        ("/elements/1/resistors/between", json!(["h[1]", "h[1]"]), &["elements[1].resistors"]),
        ("/amplifiers", json!([{ "name": "a", "of": "h", "gain": 0 }]), &["amplifiers[0].gain", "found 0"]),
        ("/output/from", json!("input"), &["output.from", "sources or amplifiers"]),
        ("/output/differential", json!(true), &["output.differential", "3 nodes"]),
        ("/temperature", json!(-3.0), &["temperature", "found -3"]),
        ("/nodes/0/name", json!("o"), &["nodes[1].name", "second time"]),
        ("/nodes/1/size", json!(u64::MAX), &["nodes", "18446744073709551615 nodes", "at most 1048576"]),
        ("/input/size", json!(1_000_000), &["elements[0].resistors", "every pair", "at most 4194304"]),
    ];
    for (pointer, value, told) in cases {
        let message = refused(pointer, value);
        println!("{message}");
        assert!(told.iter().all(|part| message.contains(part)), "{pointer}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let pair = [node("u"), node("w")];
    let mut spec = good();
    spec["nodes"] = nodes(&pair);
    spec["elements"] = with(&[resistor("u", "w", 1e-5)]);
    let invalid = Circuit::new(&serde_json::from_value(spec.clone()).unwrap()).unwrap_err().to_string();
    assert!(invalid.contains("no path") && invalid.contains("u[0]"), "{invalid}");
    // A diode across 30 V of ideal sources.
    let mut spec = good();
    spec["nodes"] = nodes(&[node("rail")]);
    spec["sources"] = json!([source("rail[0]", "ground")]);
    spec["sources"][0]["voltage"] = json!(300.0);
    spec["elements"] =
        with(&[json!({ "diodes": { "between": ["rail", "ground"], "saturation_current": 1e-12 } })]);
    let invalid = Circuit::new(&serde_json::from_value(spec).unwrap()).unwrap_err().to_string();
    assert!(invalid.contains("rail-ground[0]") && invalid.contains("overflows"), "{invalid}");
}

#[test]
fn a_diode_that_overflows_in_a_run_is_reported_by_name() {
    let mut spec = good();
    spec["elements"][2]["diodes"]["between"] = json!(["input", "h"]);
    spec["elements"][2]["diodes"]["ideality"] = json!(1.0);
    // No resistor between ideal sources of thousands of volts.
    spec["elements"][0]["resistors"]["between"] = json!(["o", "ground"]);
    spec["elements"].as_array_mut().unwrap().push(
        json!({ "diodes": { "between": ["input", "ground"], "graph": "dense", "saturation_current": 1e-12 } }));
    let circuit = Arc::new(Circuit::new(&serde_json::from_value(spec).unwrap()).unwrap());
    let programmed = Programmed::new(&circuit, &circuit.initial::<f64>(0), 0).unwrap();
    let samples = Samples::of(1, &[f64::MAX, -f64::MAX, 1.0, 1.0], &[0.0; 3]);
    let error = estimate(&programmed, &samples, "adjoint").unwrap_err();
    println!("{error}");
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }));
    assert!(message.contains("diode ") || message.contains("node "), "{message}");
}

#[test]
fn no_capacitance_is_refused_for_what_is_followed_in_time() {
    let set = |text: &str| vec![text.to_owned()];
    let refused = load("circuits/trace", &set("model.nodes.1.capacitance=0")).unwrap_err().to_string();
    assert!(refused.contains("no capacitance at node o[0]"), "{refused}");
    let refused = load("circuits/gradient", &set("model.nodes.1.capacitance=0")).unwrap_err().to_string();
    assert!(refused.contains("no capacitance at node o[0]") && refused.contains("osc100"), "{refused}");
    let loaded = load("circuits/gradient", &[]).unwrap();
    assert!(matches!(loaded.instance, Instance::Circuit(_)));
    let stability = set("model=\"../../models/circuits/diodes.json\"");
    let refused = load("paper1/fig2b", &stability).unwrap_err().to_string();
    assert!(refused.contains("circuit"), "{refused}");
}
