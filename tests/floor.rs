//! Networks that stay fast: the floor under the slowest relaxation rate.

use std::path::Path;

use crate::common::{Problem, random};
use crate::program::{metrics, run, succeed, text};
use holograd::learning::RateFloor;
use holograd::learning::floor::scale_recurrent;
use holograd::substrate::neurons::form::Form;
use serde_json::json;

/// Two tied layers at rest in a tanh network's origin, where ρ′ = 1 and J = −I + W: the slowest rate is (1 − σ)/τ, with σ
/// the largest singular value of the weights between the layers.
fn at_the_origin(tau: f64) -> Problem {
    let model = json!({ "name": "origin", "input": 3, "activation": "tanh",
        "layers": [{ "name": "a", "size": 16, "tau": tau }, { "name": "b", "size": 12, "tau": tau }],
        "connections": [{ "from": "input", "to": "a" },
            { "from": "a", "to": "b", "feedback": "tied", "initialisation": { "normal": { "scale": 0.4 } } }],
        "readout": { "from": "b", "classes": 4 } });
    let mut problem = random(model, 2, 4);
    for bias in ["a.bias", "b.bias"] {
        let place = problem.network.shapes().iter().position(|s| s.name == bias).unwrap();
        problem.parameters.at_mut(place).fill(0.0);
    }
    problem.samples.inputs.fill(0.0);
    problem
}

fn largest_singular_value(problem: &Problem) -> f64 {
    problem.parameters.get("a-b.weight").unwrap().svd(false, false).singular_values.max()
}

#[test]
fn one_factor_brings_the_slowest_rate_to_the_floor() {
    for tau in [1.0, 2.5] {
        let mut problem = at_the_origin(tau);
        let measured = |problem: &Problem| {
            problem.estimate(Form::Potential, json!("adjoint")).diagnostics.slowest_rate.unwrap()
        };
        let before = measured(&problem);
        let exact = (1.0 - largest_singular_value(&problem)) / tau;
        assert!((before - exact).abs() < 1e-9, "{before}, not {exact}");
        let floor = RateFloor { rate: 0.3, margin: 0.1, every: 1, samples: 2 };
        assert!(before > 0.0 && before < floor.target(), "the test needs a slow network: {before}");
        let factor = floor.factor(before, tau).unwrap();
        let before = problem.parameters.clone();
        scale_recurrent(&problem.network, &mut problem.parameters, factor);
        let there = (1.0 - largest_singular_value(&problem)) / tau;
        assert!((there - 0.33).abs() < 1e-9, "tau {tau}: {there}");
        assert!((measured(&problem) - 0.33).abs() < 1e-9);
        assert_eq!(floor.factor(there + 1e-6, tau), None, "a network that is fast enough is left alone");
        for (name, value) in problem.parameters.matrices().filter(|(name, _)| *name != "a-b.weight") {
            assert_eq!(value, before.get(name).unwrap(), "{name}");
        }
    }
}

/// Three epochs on 360 digits; the slowest rate of 100 test samples after each.
fn rates_of_a_training(folder: &Path, out: &str, floor: &str) -> Vec<f64> {
    let floor = format!("rate_floor={floor}");
    let mut command = vec!["run", "digits_fast", "--out", out, "--set", &floor];
    for field in ["data.digits.test_fraction=0.8", "epochs=3", "compare=0", "rate_samples=100"] {
        command.extend(["--set", field]);
    }
    succeed(folder, &command);
    metrics(&folder.join(out)).iter().map(|line| line["test_slowest_rate"].as_f64().unwrap()).collect()
}

#[test]
fn training_keeps_the_floor_that_it_would_break_without() {
    let folder = tempfile::tempdir().unwrap();
    let kept = rates_of_a_training(folder.path(), "kept", r#"{"rate": 0.5}"#);
    let lost = rates_of_a_training(folder.path(), "lost", "null");
    println!("with a floor of 0.5: {kept:?}, without: {lost:?}");
    assert!(kept.iter().all(|rate| *rate >= 0.5), "{kept:?}");
    assert!(lost.iter().any(|rate| *rate < 0.45), "{lost:?}");
    let again = rates_of_a_training(folder.path(), "again", r#"{"rate": 0.5}"#);
    assert_eq!(kept, again);
}

#[test]
fn floors_that_no_network_can_keep_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (set, named) in [
        ("rate_floor.rate=0.9", "rate_floor.rate"),
        ("rate_floor.rate=0", "rate_floor.rate"),
        ("rate_floor.every=0", "rate_floor.every"),
        ("rate_floor.samples=0", "rate_floor.samples"),
        ("rate_floor.margin=-1", "rate_floor.margin"),
        ("model.layers.0.tau=4", "rate_floor.rate"),
        // Some neuron of this device has more than twice the nominal time constant.
        (r#"imperfections={"fabrication": {"tau": {"std": 0.9}}}"#, "rate_floor.rate"),
    ] {
        // Explicit steps would not carry the fastest of its neurons.
        let steps = r#"estimator.oscillation.integrator={"exponential_euler": {"step": 1.0}}"#;
        let output = run(folder.path(), &["run", "digits_fast", "--set", set, "--set", steps]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(named), "{set}: {told}");
    }
}
