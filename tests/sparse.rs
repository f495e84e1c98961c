//! Connections of limited fan-in, against dense ones whose other weights are zero.

use std::fs;

use holograd::files::Tensors;
use holograd::gradient::Estimate;
use holograd::imperfections::{Device, Imperfections};
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::parameters::Parameters;
use serde_json::{Value, json};

use crate::common::{Problem, random};
use crate::program::succeed;

/// Three layers with a loop; sparse from the input, between layers with each kind of feedback, and from a layer to itself.
fn model(feedback: &Value, sparse: bool) -> Value {
    let mut model = json!({ "name": "sparse", "input": 9, "activation": "tanh",
        "layers": [{ "name": "a", "shape": [2, 2, 2] }, { "name": "b", "size": 7 }, { "name": "c", "size": 5 }],
        "connections": [
            { "from": "input", "to": "a", "sparse": { "fan_in": 4 } },
            { "from": "a", "to": "b", "feedback": feedback, "sparse": { "fan_in": 3, "seed": 2 } },
            { "from": "b", "to": "c", "feedback": feedback,
              "sparse": { "pattern": [[6, 0], [1], [], [2, 3, 5], [0, 4]] } },
            { "from": "c", "to": "c", "sparse": { "fan_in": 2 } },
            { "from": "c", "to": "a", "sparse": { "fan_in": 2 } }],
        "readout": { "from": "c", "classes": 3 } });
    if !sparse {
        for connection in model["connections"].as_array_mut().unwrap() {
            connection.as_object_mut().unwrap().remove("sparse");
        }
    }
    model
}

/// The sparse problem, and the dense one with the same weights and zeros elsewhere.
fn twins(feedback: &Value) -> [Problem; 2] {
    let sparse = random(model(feedback, true), 3, 5);
    let mut dense = random(model(feedback, false), 3, 5);
    let mut tensors = Tensors::new();
    sparse.parameters.insert_into(&mut tensors, "");
    dense.parameters = Parameters::from_tensors(dense.network.shapes(), &mut tensors).unwrap();
    [sparse, dense]
}

/// Largest difference between the gradients, over the synapses that there are.
fn off(sparse: &Estimate<f64>, dense: &Estimate<f64>, present: &Parameters<f64>) -> f64 {
    let pairs = sparse.gradient.matrices().zip(dense.gradient.matrices()).zip(present.matrices());
    pairs.fold(0.0, |worst, (((_, a), (_, b)), (_, present))| {
        let there = (a - b).zip_map(&present, |d: f64, w| if w == 0.0 { 0.0 } else { d.abs() });
        f64::max(worst, there.max())
    })
}

#[test]
fn every_estimator_sees_a_dense_network_with_zeros() {
    for feedback in [json!("tied"), json!("independent"), json!({ "rotated": { "angle": 40.0 } })] {
        let [sparse, dense] = twins(&feedback);
        let mut estimators = vec![
            json!("adjoint"),
            json!({ "adjoint": { "solver": { "bptt": { "steps": 60 } } } }),
            json!({ "classic": { "amplitude": 0.1, "centred": true } }),
            json!({ "cauchy": { "amplitude": 0.2, "points": 8 } }),
            json!({ "oscillation": { "amplitude": 0.2, "period": 20.0, "richardson": 2 } }),
            json!({ "oscillation": { "amplitude": 0.2, "period": 20.0, "correct_asymmetry": true } }),
            json!({ "chebyshev": { "amplitude": 0.2, "period": 40.0 } }),
            json!("harmonic_balance"),
        ];
        if feedback == json!("tied") {
            estimators.push(json!({ "cauchy": { "amplitude": 0.2, "points": 8 } }));
        }
        for estimator in estimators {
            for form in [Form::Potential, Form::Rate] {
                let [a, b] = [&sparse, &dense].map(|problem| problem.estimate(form, estimator.clone()));
                let worst = off(&a, &b, &sparse.parameters);
                assert!(worst < 1e-12, "{estimator}, {feedback}, {form:?}: {worst:e}");
            }
        }
    }
}

#[test]
fn the_adjoint_is_the_slope_of_the_cost_over_every_synapse() {
    let [sparse, _] = twins(&json!("tied"));
    let gradient = sparse.estimate(Form::Potential, json!("adjoint")).gradient;
    let cost = |parameters: &Parameters<f64>| {
        let problem = Problem {
            network: sparse.network.clone(),
            parameters: parameters.clone(),
            samples: sparse.samples.clone(),
        };
        let free = problem.estimate(Form::Potential, json!("adjoint"));
        // −ln p of the label: p − y at the label is p − 1.
        let labels = problem.samples.targets.chunks(3).map(|y| y.iter().position(|y| *y == 1.0).unwrap());
        let costs = labels.enumerate().map(|(i, label)| -(1.0 + free.output_error[(label, i)]).ln());
        costs.sum::<f64>() / problem.samples.count as f64
    };
    for index in 0..sparse.parameters.len() {
        for element in 0..sparse.parameters.at(index).len() {
            let at = |shift: f64| {
                let mut parameters = sparse.parameters.clone();
                parameters.at_mut(index)[element] += shift;
                cost(&parameters)
            };
            let slope = (8.0 * (at(1e-3) - at(-1e-3)) - (at(2e-3) - at(-2e-3))) / 12e-3;
            let found = gradient.at(index)[element];
            assert!((slope - found).abs() < 1e-9, "{index}, {element}: {found} and {slope}");
        }
    }
}

#[test]
fn multipliers_in_the_synapses_measure_the_same_gradient() {
    let mut spec = model(&json!("tied"), true);
    spec["connections"].as_array_mut().unwrap().truncate(3);
    let problem = random(spec, 3, 5);
    let estimate = |per_synapse: bool| {
        let cauchy = json!({ "cauchy": { "amplitude": 0.2, "points": 12, "per_synapse": per_synapse } });
        problem.estimate(Form::Potential, cauchy).gradient
    };
    for ((name, a), (_, b)) in estimate(false).matrices().zip(estimate(true).matrices()) {
        assert!((a - b).amax() < 1e-10, "{name}");
    }
}

#[test]
fn a_drawn_pattern_belongs_to_the_model() {
    let build = |seed: u64| {
        let mut spec = model(&json!("tied"), true);
        spec["connections"][1]["sparse"]["seed"] = json!(seed);
        random(spec, 1, 1).parameters.get("a-b.weight").unwrap()
    };
    let [one, same, other] = [2, 2, 3].map(build);
    assert_eq!(one, same);
    assert_ne!(one.map(|w| w != 0.0), other.map(|w| w != 0.0));
    for row in one.row_iter() {
        assert_eq!(row.iter().filter(|w| **w != 0.0).count(), 3, "each neuron has its fan-in");
    }
    // The initialisation scales with the fan-in, not with the sending layer.
    let spec = json!({ "name": "wide", "input": 2000, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 500 }],
        "connections": [{ "from": "input", "to": "a", "sparse": { "fan_in": 16 },
            "initialisation": { "normal": {} } }] });
    let wide = random(spec, 1, 1).parameters;
    let weights = wide.at(0);
    assert_eq!(weights.len(), 8000);
    let std = (weights.iter().map(|w| w * w).sum::<f64>() / 8000.0).sqrt();
    assert!((std - 0.25).abs() < 0.01, "{std}");
}

#[test]
fn a_weight_without_a_synapse_is_refused() {
    let problem = random(model(&json!("tied"), true), 1, 1);
    let mut tensors = Tensors::new();
    problem.parameters.insert_into(&mut tensors, "");
    let full = random(model(&json!("tied"), false), 1, 1).parameters.get("b-c.weight").unwrap();
    tensors.insert_matrix("b-c.weight", &full);
    let error = Parameters::<f64>::from_tensors(problem.network.shapes(), &mut tensors).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("b-c.weight") && message.contains("entry [0, 1] is not zero"), "{message}");
}

#[test]
fn each_synapse_is_a_device() {
    let problem = random(model(&json!("tied"), true), 1, 1);
    let mismatch = json!({ "fabrication": { "weight": { "std": 0.2 }, "feedback": { "std": 0.1 },
        "gain": { "std": 0.1 } }, "programming": { "bits": 4, "noise": { "absolute": { "std": 0.01 } } } });
    let spec: Imperfections = serde_json::from_value(mismatch).unwrap();
    let device = Device::fabricate(&problem.network, &spec);
    let effective = device.effective(Form::Potential, &problem.parameters, 1);
    for (edge, synapses) in effective.edges() {
        let nominal = problem.parameters.at(edge.weight);
        assert_eq!(nominal.len(), edge.interaction.weights());
        assert!(synapses.weights().iter().zip(nominal).any(|(a, b)| a != b));
        assert_eq!(synapses.weights().len(), nominal.len());
    }
}

#[test]
fn patterns_that_cannot_be_are_refused_with_their_place() {
    let refused = |sparse: Value, path: &str, found: &str| {
        let mut spec = model(&json!("tied"), true);
        spec["connections"][2]["sparse"] = sparse;
        let spec: ModelSpec = serde_json::from_value(spec).unwrap();
        let error = spec.validate().unwrap_err();
        assert_eq!(error.path, format!("connections[2].sparse{path}"));
        assert!(error.found.contains(found), "{}", error.found);
    };
    refused(json!({ "fan_in": 0 }), ".fan_in", "found 0");
    refused(json!({ "fan_in": 8 }), ".fan_in", "found 8");
    refused(json!({}), "", "neither");
    refused(json!({ "fan_in": 2, "pattern": [] }), "", "both");
    refused(json!({ "pattern": [[0]] }), ".pattern", "1 lists for 5");
    refused(json!({ "pattern": [[0], [1], [2], [7], [0]] }), ".pattern[3][0]", "found 7");
    refused(json!({ "pattern": [[0], [1], [2], [3, 3], [0]] }), ".pattern[3][1]", "found 3");
    refused(json!({ "pattern": [[], [], [], [], []] }), ".pattern", "no synapse");
    let layer = |layer: Value, found: &str| {
        let mut spec = model(&json!("tied"), true);
        spec["layers"][1] = layer;
        let spec: ModelSpec = serde_json::from_value(spec).unwrap();
        let error = spec.validate().unwrap_err();
        assert!(error.path.starts_with("layers[1]") && error.found.contains(found), "{error:?}");
    };
    layer(json!({ "name": "b" }), "neither `size` nor `shape`");
    layer(json!({ "name": "b", "size": 7, "shape": [1, 1, 7] }), "both `size` and `shape`");
    layer(json!({ "name": "b", "shape": [1, 0, 7] }), "found 0");
}

/// What the mask of the tests says.
const MASK: &str = "# from a to b\n1, 0, 1\n0, 1, 0\n0, 0, 0\n1, 1, 1\n";

/// A folder with an experiment, its model in a folder of its own and the model's mask beside it.
fn masked(mask: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::write(folder.path().join("models/mask.csv"), mask).unwrap();
    let model = json!({ "name": "masked", "input": 64, "activation": "tanh",
        "layers": [{ "name": "a", "size": 3 }, { "name": "b", "size": 4 }],
        "connections": [{ "from": "input", "to": "a" },
            { "from": "a", "to": "b", "feedback": "tied", "sparse": { "mask": "mask.csv" } }],
        "readout": { "from": "b", "classes": 10 } });
    write(&folder, "models/masked.json", &model);
    let train = json!({ "kind": "train", "model": "models/masked.json", "data": { "digits": { "test_fraction": 0.95 } },
        "estimator": "harmonic_balance", "optimiser": { "sgd": { "learning_rate": 0.1 } }, "batch_size": 32, "epochs": 1 });
    write(&folder, "train.json", &train);
    folder
}

fn write(folder: &tempfile::TempDir, name: &str, value: &Value) {
    fs::write(folder.path().join(name), value.to_string()).unwrap();
}

fn load(folder: &tempfile::TempDir, name: &str) -> holograd::Result<holograd::experiment::Loaded> {
    holograd::experiment::load(folder.path().join(name).to_str().unwrap(), &[])
}

#[test]
fn a_mask_is_a_pattern_in_a_file_and_runs_keep_it() {
    let folder = masked(MASK);
    let pattern = json!({ "seed": 0, "pattern": [[0, 2], [1], [], [0, 1, 2]] });
    let loaded = load(&folder, "train.json").unwrap();
    let resolved = serde_json::to_value(&loaded.experiment).unwrap();
    assert_eq!(resolved["model"]["connections"][1]["sparse"], pattern);
    let mut model: Value =
        serde_json::from_slice(&fs::read(folder.path().join("models/masked.json")).unwrap()).unwrap();
    model["connections"][1]["sparse"] = pattern;
    let listed: ModelSpec = serde_json::from_value(model.clone()).unwrap();
    let listed = holograd::substrate::neurons::network::Network::new(&listed).unwrap();
    assert_eq!(listed.edges[1].interaction, loaded.network().unwrap().edges[1].interaction);
    assert!(succeed(folder.path(), &["check", "models/masked.json"]).contains("a legal model"));

    // In a sweep, whose experiment lies elsewhere.
    model["connections"][1]["sparse"] = json!({ "mask": "../models/mask.csv" });
    let mut train: Value =
        serde_json::from_slice(&fs::read(folder.path().join("train.json")).unwrap()).unwrap();
    train["model"] = model;
    fs::create_dir(folder.path().join("base")).unwrap();
    write(&folder, "base/train.json", &train);
    write(
        &folder,
        "sweep.json",
        &json!({ "kind": "sweep", "experiment": "base/train.json", "vary": { "epochs": [1, 2] } }),
    );
    load(&folder, "sweep.json").unwrap();
    let by_path = json!({ "kind": "sweep", "experiment": "base/train.json", "vary": { "model": ["models/masked.json"] } });
    write(&folder, "sweep.json", &by_path);
    load(&folder, "sweep.json").unwrap();

    // A run goes on without the file.
    succeed(folder.path(), &["run", "train.json", "--out", "out"]);
    fs::remove_file(folder.path().join("models/mask.csv")).unwrap();
    succeed(folder.path(), &["verify", "out"]);
    succeed(folder.path(), &["run", "out/experiment.json", "--out", "out", "--set", "epochs=2", "--resume"]);
}

#[test]
fn masks_that_do_not_fit_are_refused_by_file_and_place() {
    let cases: [(&str, &[&str]); 5] = [
        ("1,0,1\n0,1,0\n", &["found 2 rows of 3", "4 rows, the receiving neurons, of 3, the sending ones"]),
        (
            "1,0,1\n0,2,0\n0,0,0\n1,1,1\n",
            &["row 2, column 2", "found 2", "1 where there is a synapse, otherwise 0"],
        ),
        ("0,0,0\n0,0,0\n0,0,0\n0,0,0\n", &["found no synapse", "at least one 1; a row may be of zeros"]),
        ("1,0,1\n0,x,0\n0,0,0\n1,1,1\n", &["line 2, column 2", "found \"x\"", "finite number"]),
        ("1,0,1\n0,1\n0,0,0\n1,1,1\n", &["line 2", "found a row of 2"]),
    ];
    for (mask, told) in cases {
        let folder = masked(mask);
        let message = load(&folder, "train.json").unwrap_err().to_string();
        for part in told.iter().chain(&["mask.csv (from ", "masked.json, `connections[1].sparse.mask`)"]) {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }
    let folder = masked(MASK);
    fs::remove_file(folder.path().join("models/mask.csv")).unwrap();
    let message = load(&folder, "train.json").unwrap_err().to_string();
    assert!(message.contains("`connections[1].sparse.mask`: cannot read"), "{message}");
    let model = |sparse: Value| {
        let mut model = model(&json!("none"), true);
        model["connections"][1]["sparse"] = sparse;
        let spec: ModelSpec = serde_json::from_value(model).unwrap();
        spec.validate().unwrap_err().to_string()
    };
    let both = model(json!({ "fan_in": 2, "mask": "mask.csv" }));
    assert!(both.contains("found both `fan_in` and `mask`"), "{both}");
    let unread = model(json!({ "mask": "mask.csv" }));
    assert!(
        unread.contains("connections[1].sparse.mask") && unread.contains("has not been read"),
        "{unread}"
    );
}
