//! What cannot be computed is refused or told, and numbers at the edge of what can are right.

use std::fs;

use crate::common::{Problem, random, toy};
use crate::program::{self, json, metrics, run, succeed, text};
use holograd::data::Dataset;
use holograd::error::Error;
use holograd::experiment::load;
use holograd::files::{Tensors, write_tensors};
use holograd::gradient::equilibrium::{self, Settle};
use holograd::gradient::{EstimatorSpec, Setting, Stop, estimate_batch};
use holograd::learning::free_score;
use holograd::numerics::scalar::Scalar;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use nalgebra::DMatrix;
use serde_json::{Value, json};

/// What is said of an experiment that is not legal.
fn refused(reference: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let error =
        load(reference, &overrides).err().unwrap_or_else(|| panic!("{reference} {overrides:?} is legal"));
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

fn estimator(value: Value) -> EstimatorSpec {
    serde_json::from_value(value).unwrap()
}

#[test]
fn experiments_beyond_what_can_be_computed_are_refused() {
    let elapsed = "experiments/paper1/fig3ab.json";
    let sine = |fields: &str| {
        format!(r#"estimators={{"sine": {{"oscillation": {{"amplitude": 0.1, "period": 20.0{fields}}}}}}}"#)
    };
    let map = r#"integrator="map""#;
    let slow = r#"model={"name": "slow", "input": 6, "activation": "tanh",
        "layers": [{"name": "h1", "size": 5, "tau": 2.0}, {"name": "h2", "size": 4}],
        "connections": [{"from": "input", "to": "h1"}, {"from": "h1", "to": "h2", "feedback": "tied"}],
        "readout": {"from": "h2", "classes": 4}}"#;
    let spread = r#"imperfections={"fabrication": {"tau": {"std": 0.1}}}"#;
    for (reference, overrides, path, told) in [
        (elapsed, vec![sine(r#", "richardson": 3"#), "periods=11".into()], "periods", "at least 12"),
        (
            elapsed,
            vec![sine(r#", "correct_asymmetry": true"#)],
            "estimators.sine.oscillation.correct_asymmetry",
            "found true",
        ),
        ("trace", vec!["period=1".into(), map.into()], "period", "at least 3 steps"),
        ("trace", vec!["period=0.5".into(), r#"integrator="euler""#.into()], "period", "at least 3 steps"),
        (
            "frequency",
            vec!["periods=[20, 1]".into(), r#"integrator="rk4""#.into()],
            "periods[1]",
            "at least 3",
        ),
        ("trace", vec![slow.into(), map.into()], "integrator", "one time constant"),
        ("frequency", vec![slow.into(), map.into()], "integrator", "one time constant"),
        ("frequency_optimum", vec![slow.into(), map.into()], "integrator", "one time constant"),
        ("continuous_plasticity", vec!["model.layers.0.tau=2".into(), map.into()], "integrator", "one time"),
        ("continuous_plasticity", vec![spread.into(), map.into()], "integrator", "one time constant"),
        ("trace", vec![slow.replace("2.0", "0.2"), r#"integrator="rk4""#.into()], "integrator", "twice"),
        ("frequency_optimum", vec!["record=1e7".into(), "integrator.heun.step=0.1".into()], "record", "2e7"),
        ("digits", vec!["inference.max_time=1e300".into()], "inference.max_time", "1e12 steps"),
    ] {
        let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
        let message = refused(reference, &overrides);
        assert!(message.contains(&format!("`{path}`")) && message.contains(told), "{overrides:?}: {message}");
    }
}

#[test]
fn estimators_beyond_what_can_be_computed_are_refused() {
    let problem = toy();
    let low_pass = |time_constant: f64| json!({ "low_pass": { "poles": 8, "time_constant": time_constant } });
    let sine = |fields: Value| {
        let mut sine = json!({ "amplitude": 0.1, "period": 20.0, "integrator": "euler" });
        sine.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        sine
    };
    for (spec, path) in [
        (
            json!({ "oscillation": sine(json!({ "period": 1e6, "periods": 1_000_000 })) }),
            "oscillation.periods",
        ),
        (json!({ "chebyshev": sine(json!({ "period": 1e6, "periods": 1_000_000 })) }), "chebyshev.periods"),
        (
            json!({ "oscillation": sine(json!({ "period": 1e6, "periods": 5, "richardson": 6 })) }),
            "oscillation.periods",
        ),
        (
            json!({ "staircase": { "amplitude": 0.1, "hold": 10.0, "points": 4096, "periods": 1_000_000 } }),
            "staircase.periods",
        ),
        (json!({ "chebyshev": sine(json!({ "period": 1.5 })) }), "chebyshev.period"),
        (json!({ "chebyshev": sine(json!({ "period": 2.0 })) }), "chebyshev.period"),
        (
            json!({ "oscillation": sine(json!({ "window": low_pass(1e-4) })) }),
            "oscillation.window.low_pass.time_constant",
        ),
        (
            json!({ "oscillation": sine(json!({ "window": low_pass(1e60) })) }),
            "oscillation.window.low_pass.time_constant",
        ),
        (
            json!({ "cauchy": { "amplitude": 0.1, "points": 4, "settle": { "max_time": 1e300 } } }),
            "cauchy.settle.max_time",
        ),
        (
            json!({ "cauchy": { "amplitude": 0.1, "points": 4, "settle": { "noise": false, "average": 1e30 } } }),
            "cauchy.settle.average",
        ),
    ] {
        let invalid = estimator(spec.clone()).validate(&problem.network, Form::Potential, None).unwrap_err();
        assert_eq!(invalid.path, path, "{spec}: {}; {}", invalid.found, invalid.legal);
    }
    // Just inside.
    for fields in
        [json!({ "period": 2.5 }), json!({ "window": low_pass(0.006) }), json!({ "window": low_pass(1e13) })]
    {
        let spec = json!({ "chebyshev": sine(fields) });
        let gradient = problem.estimate(Form::Potential, spec.clone()).gradient;
        assert!(gradient.is_finite(), "{spec}");
    }
}

/// Without noise there is nothing to average: the phase ends where it has settled.
#[test]
fn a_phase_without_noise_does_not_average_its_transient() {
    let problem = toy();
    let effective = problem.effective(Form::Rate);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let free = |average: f64| {
        let settle = Settle { noise: false, average, max_time: 400.0, ..Settle::default() };
        equilibrium::free(&setting, &problem.samples, &settle).unwrap()
    };
    let settled = free(0.0);
    for average in [5.0, 1000.0] {
        let found = free(average);
        assert_eq!((found.rates, found.output_error), (settled.rates.clone(), settled.output_error.clone()));
        assert_eq!(found.instants.len(), 1);
    }
}

/// J is singular, and its equation has no solution.
#[test]
fn the_adjoint_tells_of_an_equation_that_it_could_not_solve() {
    let model = json!({ "name": "critical", "input": 1, "activation": "identity",
        "layers": [{ "name": "a", "size": 2 }, { "name": "b", "size": 2 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 2 } });
    let mut problem = random(model, 1, 3);
    let place =
        |problem: &Problem, name: &str| problem.network.shapes().iter().position(|s| s.name == name).unwrap();
    for (name, value) in [("a-b.weight", vec![1.0, 0.0, 0.0, 1.0]), ("readout.bias", vec![0.3, 0.0])] {
        let index = place(&problem, name);
        problem.parameters.at_mut(index).copy_from_slice(&value);
    }
    for name in ["input-a.weight", "a.bias", "b.bias"] {
        let index = place(&problem, name);
        problem.parameters.at_mut(index).fill(0.0);
    }
    let estimate = problem.estimate(Form::Potential, json!("adjoint"));
    assert_eq!(estimate.diagnostics.stop, Stop::Unsolved);
    assert!(estimate.diagnostics.settling_residual > 1e-3, "{:?}", estimate.diagnostics);
    let warnings = estimate.diagnostics.warnings(0.0).join("\n");
    assert!(warnings.contains("was not solved") && !warnings.contains("max_time"), "{warnings}");
    let solved = toy().estimate(Form::Potential, json!("adjoint"));
    assert_eq!(solved.diagnostics.stop, Stop::Settled);
}

/// `auto` on a network that is stable but so slow that its equilibrium is not reached, on an unstable one, and with little budget.
#[test]
fn auto_tells_a_slow_network_from_an_unstable_one_and_both_as_divergence() {
    for (weight, budget, told) in [
        (1.0 - 1e-5, 20_000, "not reached within 5000 tau"),
        (1.2, 20_000, "is not stable"),
        (0.9, 300, "raise `budget` to about"),
    ] {
        let model = json!({ "name": "pair", "input": 1, "activation": "tanh",
            "layers": [{ "name": "a", "size": 1 }, { "name": "b", "size": 1 }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
            "readout": { "from": "b", "classes": 2 } });
        let mut problem = random(model, 1, 1);
        for index in 0..problem.parameters.len() {
            let name = problem.network.shapes()[index].name.clone();
            match name.as_str() {
                "a-b.weight" => problem.parameters.at_mut(index).fill(weight),
                "input-a.weight" => problem.parameters.at_mut(index).fill(1e-6),
                "readout.weight" => {}
                _ => problem.parameters.at_mut(index).fill(0.0),
            }
        }
        // At rest an unstable network stays where it is.
        problem.samples.inputs.fill(if weight > 1.0 { 0.0 } else { 1.0 });
        let effective = problem.effective(Form::Potential);
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
        let spec = estimator(json!({ "auto": { "relative_error": 1e-4, "budget": budget } }));
        let error = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Unfinished { .. }), "{message}");
        assert!(message.contains("`auto`") && message.contains(told), "{weight}: {message}");
    }
}

/// The cost of one network in one precision on labels that it is sure to be wrong about.
fn cost<T: Scalar>(scale: f64, labels: &[u32]) -> holograd::Result<f64> {
    let problem = toy();
    let mut parameters = Parameters::<T>::zeros(problem.network.shapes());
    for (index, (_, value)) in problem.parameters.iter().enumerate() {
        parameters.at_mut(index).iter_mut().zip(value).for_each(|(to, from)| *to = T::of(*from));
    }
    let readout = problem.network.shapes().iter().position(|s| s.name == "readout.weight").unwrap();
    parameters.at_mut(readout).iter_mut().for_each(|w| *w *= T::of(scale));
    let inputs = DMatrix::from_fn(6, labels.len(), |i, _| problem.samples.inputs[i] as f32);
    let data = Dataset::new(inputs, labels.to_vec(), 4, "sure");
    let effective = Effective::new(&problem.network, Form::Rate, &parameters);
    let settle = Settle { tolerance: Some(1e-6), ..Settle::default() };
    free_score(&effective, &data, &settle, None).map(|score| score.loss)
}

#[test]
fn the_cost_of_a_wrong_answer_is_the_same_in_either_precision() {
    for scale in [1.0, 30.0, 300.0] {
        for label in 0..4 {
            let (single, double) =
                (cost::<f32>(scale, &[label]).unwrap(), cost::<f64>(scale, &[label]).unwrap());
            println!("scale {scale}, label {label}: {single:.6} in f32, {double:.6} in f64");
            assert!(
                (single - double).abs() < 2e-5 * (1.0 + double),
                "{scale}, {label}: {single}, not {double}"
            );
        }
    }
    // −ln p over all labels at once: the probabilities add up to one.
    let total: f64 = (0..4).map(|label| (-cost::<f64>(1.0, &[label]).unwrap()).exp()).sum();
    assert!((total - 1.0).abs() < 1e-12, "{total}");
    let largest = (0..4).map(|label| cost::<f64>(300.0, &[label]).unwrap()).fold(0.0, f64::max);
    assert!(largest > 30.0, "{largest}: nothing here is below what single precision keeps of 1 + p");
}

#[test]
fn a_cost_that_is_no_number_is_a_divergence() {
    let error = cost::<f32>(f64::NAN, &[0, 1]).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }) && message.contains("cost is not finite"), "{message}");
    assert!(message.contains("sample 0"), "{message}");
}

const RING: &str = r#"{"name": "plain", "input": 2, "activation": "dsilu",
    "layers": [{"name": "h1", "size": 3}, {"name": "h2", "size": 3}],
    "connections": [{"from": "input", "to": "h1"}, {"from": "h1", "to": "h2", "feedback": "tied"}],
    "readout": {"from": "h2", "classes": 2}}"#;

fn model(activation: &str) -> Value {
    let mut model: Value = serde_json::from_str(RING).unwrap();
    model["activation"] = json!(activation);
    model
}

#[test]
fn modes_need_activations_that_rise() {
    let folder = tempfile::tempdir().unwrap();
    for (activation, scale, known) in [("tanh", 1.0, true), ("dsilu", 8.0, false)] {
        let mut model = model(activation);
        model["connections"][0]["initialisation"] = json!({ "normal": { "scale": scale } });
        let sine = json!({ "oscillation": { "amplitude": 1e-3, "period": 20.0, "integrator": "rk4" } });
        let data = json!({ "toy_gaussian": { "inputs": 2, "classes": 2, "samples": 20 } });
        let experiment = json!({ "kind": "elapsed", "model": model, "data": data, "periods": 1, "estimators": { "sine": sine } });
        fs::write(folder.path().join("elapsed.json"), experiment.to_string()).unwrap();
        succeed(folder.path(), &["run", "elapsed.json", "--out", activation]);
        let summary = json(folder.path().join(activation).join("summary.json"));
        assert_eq!(summary["modes"].is_object(), known, "{activation}");
        let shares = summary["modes"]["share"].as_array();
        assert!(shares.is_none_or(|shares| shares.iter().all(Value::is_number)), "{summary}");
    }
}

#[test]
fn parameters_without_a_gradient_are_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let (model, write) = (model("tanh"), |name: &str, value: &Value| {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    });
    let problem = random(model.clone(), 2, 1);
    let mut tensors = Tensors::new();
    Parameters::<f64>::zeros(problem.network.shapes()).insert_into(&mut tensors, "");
    write_tensors(folder.path().join("zero.safetensors"), &tensors).unwrap();
    let mut batch = Tensors::new();
    batch.insert_reals("x", &[1, 2], &[1.0, -0.5]);
    batch.insert_reals("y", &[1, 2], &[1.0, 0.0]);
    write_tensors(folder.path().join("batch.safetensors"), &batch).unwrap();
    let data = json!({ "toy_gaussian": { "inputs": 2, "classes": 2, "samples": 10 } });
    let sine = json!({ "oscillation": { "amplitude": 0.1, "period": 20.0 } });
    let given = json!({ "model": model, "parameters": "zero.safetensors", "batch": "batch.safetensors", "amplitude": 0.1 });
    let with = |fields: Value| {
        let mut all = given.clone();
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    write("frequency.json", &with(json!({ "kind": "frequency", "periods": [20.0] })));
    write(
        "frequency_optimum.json",
        &with(json!({ "kind": "frequency_optimum", "periods": [20.0], "record": 40.0,
        "repeats": 2, "noise": { "white_std": 0.01, "corners": [0.03] } })),
    );
    write(
        "elapsed.json",
        &json!({ "kind": "elapsed", "model": model, "parameters": "zero.safetensors", "data": data,
        "periods": 1, "estimators": { "sine": sine } }),
    );
    for name in ["frequency", "frequency_optimum", "elapsed"] {
        let output = run(folder.path(), &["run", &format!("{name}.json"), "--out", name]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("gradient of zero"), "{name}: {told}");
    }
}

/// The run ends all the same, and is drawn.
#[test]
fn relaxation_that_diverges_is_recorded_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = model("identity");
    model["connections"][1]["initialisation"] = json!({ "normal": { "scale": 30.0 } });
    let problem = random(model.clone(), 1, 1);
    let mut tensors = Tensors::new();
    problem.parameters.insert_into(&mut tensors, "");
    write_tensors(folder.path().join("fast.safetensors"), &tensors).unwrap();
    let mut batch = Tensors::new();
    batch.insert_reals("x", &[1, 2], &[1.0, -0.5]);
    batch.insert_reals("y", &[1, 2], &[1.0, 0.0]);
    write_tensors(folder.path().join("batch.safetensors"), &batch).unwrap();
    for (form, activation) in [("rate", "identity"), ("potential", "dsilu"), ("rate", "softplus")] {
        let mut model = model.clone();
        model["activation"] = json!(activation);
        let experiment = json!({ "kind": "relaxation", "model": model, "parameters": "fast.safetensors", "form": form,
            "batch": "batch.safetensors", "amplitudes": [0.1, 1e3], "points": 4, "steps": 2000 });
        fs::write(folder.path().join("relaxation.json"), experiment.to_string()).unwrap();
        succeed(folder.path(), &["run", "relaxation.json", "--out", activation]);
        let out = folder.path().join(activation);
        for phase in metrics(&out) {
            let rates = phase["rates"].as_object().unwrap();
            assert!(rates.values().flat_map(|r| r.as_array().unwrap()).all(Value::is_number), "{phase}");
        }
        assert!(out.join("relaxation.png").exists() || out.join("relaxation.svg").exists(), "{activation}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_a_divergence() {
    let shipped = program::shipped_files();
    let folder = shipped.path().join("experiments");
    let tensors = folder.join("toy.safetensors");
    let mut problem = toy();
    let readout = problem.network.shapes().iter().position(|s| s.name == "readout.weight").unwrap();
    // Finite weights whose products with the rates add up to more than a number holds.
    problem.parameters.at_mut(readout).fill(1.7e308);
    let mut huge = Tensors::new();
    problem.parameters.insert_into(&mut huge, "");
    write_tensors(&tensors, &huge).unwrap();
    let output = run(
        &folder,
        &["run", "gradient.json", "--out", "out", "--set", r#"estimators={"truth": "adjoint"}"#],
    );
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("read-out of `truth`"), "{told}");
}

/// `--set` of one field of an object keeps the others as they are where the object stands.
#[test]
fn a_field_that_is_set_alone_keeps_the_others_of_its_place() {
    let settle = |reference: &str, overrides: &[&str], path: &str| -> Settle {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let experiment = serde_json::to_value(load(reference, &overrides).unwrap().experiment).unwrap();
        serde_json::from_value(experiment.pointer(path).unwrap().clone()).unwrap()
    };
    let harmonic = r#"estimator={"harmonic_balance": {"settle": {"max_time": 150}}}"#;
    let stability = "experiments/paper1/fig2b.json";
    for (reference, set, whole, path) in [
        ("digits", "inference.max_time=150", None, "/inference"),
        ("continuous_plasticity", "inference.max_time=150", None, "/inference"),
        (stability, "settle.max_time=150", None, "/settle"),
        ("digits", harmonic, Some(r#"estimator="harmonic_balance""#), "/estimator/harmonic_balance/settle"),
    ] {
        let default = settle(reference, whole.as_slice(), path);
        assert_ne!(
            Settle { max_time: 0.0, ..default },
            Settle { max_time: 0.0, ..Settle::default() },
            "{path}"
        );
        assert_eq!(
            settle(reference, &[set], path),
            Settle { max_time: 150.0, ..default },
            "{reference}: {set}"
        );
    }
    let told = refused("digits", &[r#"inference={"tolerance": "small"}"#]);
    assert!(told.contains("`inference.tolerance`"), "{told}");
    let told = refused("digits", &["inference.patience=3"]);
    assert!(told.contains("`inference.patience`") && told.contains("max_time"), "{told}");
}

#[test]
fn one_sample_cannot_be_both_learnt_and_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = json!({ "kind": "continuous", "model": model("tanh"), "amplitude": 0.1, "period": 10.0,
        "data": { "toy_gaussian": { "inputs": 2, "classes": 2, "samples": 2 } }, "presentation": 20.0,
        "low_pass": { "time_constant": 10.0 }, "weight_time": 100.0, "epochs": 1 });
    fs::write(folder.path().join("continuous.json"), experiment.to_string()).unwrap();
    for arguments in [&["run", "continuous.json", "--out", "out"][..], &["check", "continuous.json"]] {
        let output = run(folder.path(), arguments);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("found 1 sample to learn from"), "{told}");
    }
}

/// The program where a process may take at most so many KiB of memory.
#[cfg(target_os = "linux")]
fn with_memory(folder: &std::path::Path, most: u64, arguments: &[&str]) -> std::process::Output {
    let script = format!("ulimit -v {most}; exec \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.current_dir(folder).args(["-c", &script, "sh", env!("CARGO_BIN_EXE_holograd"), "--threads", "1"]);
    command.args(arguments).output().unwrap()
}

/// What needs more than there is, or more than a century, is refused beforehand with the estimate: by `check`, which takes next
/// to nothing for it, and by `run`, which leaves nothing behind.
#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_is_refused_with_the_estimate() {
    let files = program::shipped_files();
    let folder = files.path();
    let large = |n: u64| {
        let mut train = json(folder.join("experiments/digits.json"));
        train["model"] = json(folder.join("models/digits.json"));
        for layer in [0, 1] {
            train["model"]["layers"][layer]["size"] = json!(n);
        }
        train
    };
    let edited = |name: &str, fields: Value| {
        let mut experiment = json(folder.join(format!("experiments/{name}.json")));
        experiment.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        experiment
    };
    let rk4 = json!({ "rk4": { "step": 0.5 } });
    let learning_rate = json!({ "from": 1e-7, "to": 1e-3, "points": 100_000 });
    for (name, experiment, words) in [
        // 1.6e9 weights are 6 GiB; 2.5e7 fit, but not with gradients, optimiser and checkpoint.
        ("weights", large(40_000), ["at `model.layers`", "this process may take", "lower `size`"]),
        ("copies", large(12_000), ["about ", "GiB of memory", "this process may take"]),
        (
            "ticks",
            edited("trace", json!({ "period": 50_000.0, "periods": 10_000, "integrator": rk4 })),
            ["TiB of memory", "4.0e9 evaluations", "this process may take"],
        ),
        (
            "lines",
            edited(
                "paper1/fig2a",
                json!({ "points": 4096, "steps": 1_000_000, "amplitudes": [0.01, 0.5], "model": "../models/toy.json", "parameters": "toy.safetensors", "batch": "toy_batch.safetensors", "published": null }),
            ),
            ["GiB of memory", "8.2e9 evaluations", "this process may take"],
        ),
        (
            "century",
            edited(
                "digits",
                json!({ "epochs": 1_000_000, "inference": { "tolerance": 0.0, "max_time": 1e8 } }),
            ),
            ["years", "at most a century", "7.2e7 updates"],
        ),
        (
            "points",
            json!({ "kind": "sweep", "experiment": "digits.json", "seeds": 10,
                "vary": { "optimiser.adam_w.learning_rate": learning_rate } }),
            ["at `vary`: found 100000 points", "at most 10000", "divide it"],
        ),
    ] {
        let file = format!("experiments/{name}.json");
        fs::write(folder.join(&file), experiment.to_string()).unwrap();
        for arguments in [&["check", &file][..], &["run", &file, "--out", "out"]] {
            let output = with_memory(folder, 4 << 20, arguments);
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {told}");
            assert!(words.iter().all(|word| told.contains(word)), "{name}: {told}");
        }
        // The check itself takes little: here a fortieth of what was allowed above.
        let output = with_memory(folder, 100 << 10, &["check", &file]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output.stderr));
        assert!(!folder.join("out").exists(), "{name}");
    }
}

/// What a check says is what a run does.
#[test]
fn a_check_tells_what_a_run_takes() {
    let folder = tempfile::tempdir().unwrap();
    let toy = r#"data={"toy_gaussian":{"inputs":64,"classes":10,"samples":40}}"#;
    let set = ["--set", toy, "--set", "epochs=1"];
    let told = succeed(folder.path(), &[&["check", "digits"][..], &set].concat());
    assert!(told.contains("a legal experiment of kind `train`\n  2 updates, 800 evaluations, "), "{told}");
    assert!(told.contains("of memory and ") && told.contains(" of disk"), "{told}");
    succeed(folder.path(), &[&["run", "digits", "--out", "out"][..], &set].concat());
    assert_eq!(json(folder.path().join("out/summary.json"))["rhs_evaluations"], 800);
    // A model may be changed too.
    assert!(succeed(folder.path(), &["check", "toy", "--set", "input=7"]).contains("7 inputs"));
    let many = succeed(folder.path(), &["check", "digits", "--set", "epochs=100000"]);
    assert!(
        many.contains("7.2e6 updates") && (many.contains(" h on ") || many.contains(" days on ")),
        "{many}"
    );
}

/// Refused memory ends the program by SIGABRT, which is an exit code like any other.
#[test]
#[cfg(target_os = "linux")]
fn an_abort_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program::holograd(folder.path(), &["run", "digits", "--out", "out"]);
    let quiet = std::process::Stdio::null;
    let mut child = command.stdout(quiet()).stderr(quiet()).spawn().unwrap();
    while !folder.path().join("out").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed =
        std::process::Command::new("sh").args(["-c", &format!("kill -ABRT {}", child.id())]).status();
    assert!(killed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
