//! What is said of a simulation that diverged, or did not; of layers that nothing teaches; and of a run at its end.

use std::fs;

use crate::common::{Problem, random, toy};
use crate::program::{json as read_json, run, shipped_files, succeed, text};
use holograd::Error;
use holograd::experiment::load::load;
use holograd::files::{Tensors, write_tensors};
use holograd::gradient::equilibrium::{self, Settle};
use holograd::gradient::{EstimatorSpec, Setting, estimate_batch};
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use serde_json::{Value, json};

/// A chain of layers of one neuron, each connection with a weight.
fn chain(activation: &str, weights: [f64; 3], loop_weight: f64) -> Problem {
    let model = json!({ "name": "chain", "input": 1, "activation": activation, "cost": "squared_error",
        "layers": [{ "name": "a", "size": 1, "bias": false }, { "name": "b", "size": 1, "bias": false },
            { "name": "c", "size": 1, "bias": false }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }, { "from": "b", "to": "c" },
            { "from": "a", "to": "a" }] });
    let mut problem = random(model, 1, 0);
    let names: Vec<String> = problem.network.shapes().iter().map(|shape| shape.name.clone()).collect();
    for (name, weight) in
        ["input-a", "a-b", "b-c", "a-a"].iter().zip(weights.into_iter().chain([loop_weight]))
    {
        let index = names.iter().position(|n| *n == format!("{name}.weight")).unwrap();
        problem.parameters.at_mut(index).fill(weight);
    }
    problem.samples.inputs.fill(1.0);
    problem
}

fn settled(problem: &Problem) -> holograd::Result<f64> {
    let effective = problem.effective(Form::Potential);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    equilibrium::free(&setting, &problem.samples, &Settle::default()).map(|free| free.rates[2])
}

#[test]
fn a_large_state_that_is_healthy_is_no_divergence() {
    for activation in ["relu", "identity"] {
        for (weights, expected) in [([1e8, 1.0, 1.0], 1e8), ([1e3, 1e4, 1e5], 1e12), ([3e6, 1.0, -1.0], -3e6)]
        {
            if activation == "relu" && expected < 0.0 {
                continue;
            }
            let found = settled(&chain(activation, weights, 0.0)).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-6, "{activation}, {weights:?}: {found}");
        }
        // A loop that amplifies has no equilibrium, and nothing that is not at work is blamed.
        let error = settled(&chain(activation, [1.0, 1.0, 1.0], 1.2)).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Diverged { .. }), "{message}");
        assert!(!message.contains("amplitude") && message.contains("lower the time step"), "{message}");
    }
}

#[test]
fn a_limit_of_steps_is_not_called_a_divergence() {
    let model = json!({ "name": "stiff", "input": 2, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 2, "tau": 1e-6 }], "connections": [{ "from": "input", "to": "a" }] });
    let problem = random(model, 1, 1);
    let spec: EstimatorSpec =
        serde_json::from_value(json!({ "chebyshev": { "amplitude": 0.1, "period": 40.0,
        "harmonics": 1, "integrator": { "dopri5": { "samples": 16 } } } }))
        .unwrap();
    let effective = problem.effective(Form::Potential);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let error = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Unfinished { .. }), "{message}");
    assert!(message.contains("100000 steps") && !message.contains("diverged"), "{message}");
}

#[test]
fn gradients_of_zero_are_called_that() {
    let files = shipped_files();
    let problem = toy();
    let mut tensors = Tensors::new();
    Parameters::<f64>::zeros(problem.network.shapes()).insert_into(&mut tensors, "");
    write_tensors(files.path().join("experiments/zero.safetensors"), &tensors).unwrap();
    let arguments = ["--set", "parameters=zero.safetensors", "--set", "amplitudes=[0.1, 0.2]"];
    let estimators = r#"estimators={"c": {"cauchy": {"amplitude": 0.1, "points": 6}}}"#;
    let told = succeed(
        files.path(),
        &[&["run", "experiments/amplitude.json", "--out", "out", "--set", estimators], &arguments[..]]
            .concat(),
    );
    assert!(told.contains("is zero") && !told.contains("inf") && !told.contains("NaN"), "{told}");
    let told = succeed(
        files.path(),
        &[
            "run",
            "experiments/trace.json",
            "--out",
            "trace",
            "--set",
            "parameters=zero.safetensors",
            "--set",
            "periods=2",
        ],
    );
    assert!(told.contains("is zero") && !told.contains("NaN"), "{told}");
}

/// Three layers, the lowest without a way back, unless it is given one.
fn one_way(feedback: &Value, learning_rates: &Value) -> Value {
    json!({ "kind": "train", "epochs": 2, "batch_size": 10, "compare": 4,
        "data": { "toy_gaussian": { "inputs": 4, "classes": 3, "samples": 40 } },
        "model": { "name": "one way", "input": 4, "activation": "tanh",
            "layers": [{ "name": "low", "size": 5 }, { "name": "high", "size": 4 }],
            "connections": [{ "from": "input", "to": "low" }, { "from": "low", "to": "high", "feedback": feedback }],
            "readout": { "from": "high", "classes": 3 } },
        "estimator": { "oscillation": { "amplitude": 0.1, "period": 20.0 } },
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "learning_rates": learning_rates })
}

#[test]
fn a_trained_layer_that_nothing_teaches_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let says = |experiment: &Value| {
        fs::write(folder.path().join("e.json"), experiment.to_string()).unwrap();
        let check = succeed(folder.path(), &["check", "e.json"]);
        fs::write(folder.path().join("m.json"), experiment["model"].to_string()).unwrap();
        (check, succeed(folder.path(), &["check", "m.json"]))
    };
    let warning = "layer `low` receives no teaching signal";
    let silent = one_way(&json!("none"), &json!({}));
    let (check, model) = says(&silent);
    assert!(check.contains(warning) && model.contains(warning), "{check}{model}");
    assert!(!check.contains("`high` receives"), "{check}");
    says(&silent);
    let told = succeed(folder.path(), &["run", "e.json", "--out", "out"]);
    assert!(told.contains(warning), "{told}");
    // A way back, if only from itself through another; or nothing to be trained.
    let (check, _) = says(&one_way(&json!("independent"), &json!({})));
    assert!(!check.contains("warning"), "{check}");
    let (check, _) = says(&one_way(&json!("none"), &json!({ "input-low": 0.0, "low": 0.0 })));
    assert!(!check.contains("warning"), "{check}");
    let (check, _) = says(&one_way(&json!("none"), &json!({ "input-low": 0.0 })));
    assert!(check.contains(warning), "its bias is trained: {check}");
    // Backpropagation needs no teaching signal.
    let mut experiment = silent;
    experiment["estimator"] = json!("adjoint");
    let (check, _) = says(&experiment);
    assert!(!check.contains("warning"), "{check}");
    // Nor does it where gradients are compared.
    let compared = |estimators: Value| {
        let experiment = json!({ "kind": "gradient", "model": experiment["model"], "parameters": "p.safetensors",
            "batch": "b.safetensors", "estimators": estimators });
        let path = folder.path().join("g.json");
        fs::write(&path, experiment.to_string()).unwrap();
        load(path.to_str().unwrap(), &[]).unwrap().warnings().concat()
    };
    assert_eq!(compared(json!({ "truth": "adjoint" })), "");
    let told = compared(
        json!({ "truth": "adjoint", "drive": { "oscillation": { "amplitude": 0.1, "period": 20.0 } } }),
    );
    assert!(told.contains(warning), "{told}");
}

#[test]
fn the_end_of_a_run_tells_its_worst() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = one_way(&json!("tied"), &json!({}));
    fs::write(folder.path().join("e.json"), experiment.to_string()).unwrap();
    let amplitude = "estimator.oscillation.amplitude=3.0";
    let output = run(folder.path(), &["run", "e.json", "--out", "out", "--set", amplitude]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    let lines = crate::program::metrics(&folder.path().join("out"));
    let summary = read_json(folder.path().join("out/summary.json"));
    let cosine = |line: &Value| line["cosine"].as_f64().unwrap();
    let least = lines.iter().map(cosine).fold(f64::INFINITY, f64::min);
    assert_eq!(summary["least_cosine"], json!(least));
    let warned = lines.iter().filter(|line| !line["warnings"].as_array().unwrap().is_empty()).count();
    assert!(warned > 0, "{lines:?}");
    assert_eq!(summary["warned_epochs"], json!(warned));
    assert!(told.contains(&format!("the least {least:.4}")), "{told}");
    assert!(told.contains(&format!("of {} epochs, last in epoch", lines.len())), "{told}");
}
