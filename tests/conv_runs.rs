//! Runs with convolutions through the program: what they leave behind, and what they are asked for by name.

use std::fs;

use crate::program::{self, metrics, succeed};
use holograd::files::{Tensors, Values, read_npz, write_tensors};
use serde_json::{Value, json};

/// Two small convolutions with feedback kernels of their own, on few digits.
fn experiment() -> Value {
    let pool = json!({ "softmax": { "size": 2 } });
    json!({ "kind": "train", "epochs": 1, "batch_size": 10, "compare": 4, "data": { "digits": { "test_fraction": 0.98 } },
        "model": { "name": "small", "input": { "shape": [8, 8, 1] }, "activation": "dsilu",
            "layers": [{ "name": "c1", "shape": [4, 4, 3] }, { "name": "c2", "shape": [2, 2, 4] }],
            "connections": [{ "from": "input", "to": "c1", "conv": { "kernel": 3, "pool": pool } },
                { "from": "c1", "to": "c2", "feedback": "independent", "conv": { "kernel": 3, "pool": pool } }],
            "readout": { "from": "c2", "classes": 10 } },
        "estimator": { "harmonic_balance": { "period": null } }, "optimiser": { "sgd": { "learning_rate": 0.1 } },
        "homeostasis": { "coefficient": 1.0 }, "jacobian": "norms" })
}

#[test]
fn a_run_leaves_its_kernels_and_what_they_make_of_an_image() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("e.json"), experiment().to_string()).unwrap();
    succeed(folder.path(), &["run", "e.json", "--out", "out"]);
    let out = folder.path().join("out");
    for figure in ["kernels", "feature-maps", "training", "asymmetry"] {
        assert!(out.join(format!("{figure}.svg")).exists(), "{figure}");
    }
    let maps = read_npz(out.join("feature-maps.npz")).unwrap();
    let shapes: Vec<_> = maps.iter().map(|(name, (shape, _))| (name.as_str(), shape.clone())).collect();
    assert_eq!(shapes, [("c1", vec![4, 4, 3]), ("c2", vec![2, 2, 4])]);
    assert!(maps.values().all(|(_, values)| values.iter().any(|a| *a != 0.0)));
    let line = &metrics(&out)[0];
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"));
    assert!((60.0..120.0).contains(&number("feedback_angle")), "independent kernels: {line}");
    assert!((0.5..1.0).contains(&number("jacobian_symmetry")) && number("non_normality") > 0.0, "{line}");
    succeed(folder.path(), &["verify", "out"]);

    let refused = |field: &str, value: Value, needles: &[&str]| {
        let mut experiment = experiment();
        experiment[field] = value;
        fs::write(folder.path().join("r.json"), experiment.to_string()).unwrap();
        let output = program::run(folder.path(), &["check", "r.json"]);
        let told = program::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        needles.iter().for_each(|needle| assert!(told.contains(needle), "{needle} is not in {told}"));
    };
    refused("jacobian", json!("eigenvalues"), &["`jacobian`", "each sample has a Jacobian of its own"]);
    refused("compare", json!(0), &["`compare`", "found 0"]);
}

#[test]
fn a_neuron_of_an_image_is_named_by_row_column_and_channel() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("e.json"), experiment().to_string()).unwrap();
    succeed(folder.path(), &["run", "e.json", "--out", "out"]);
    let mut batch = Tensors::new();
    let pixels: Vec<f64> = (0..64).map(|i| 0.5 + 0.5 * (0.7 * f64::from(i)).sin()).collect();
    batch.insert_reals("x", &[1, 8, 8, 1], &pixels);
    batch.insert("y", &[1], Values::Integer(vec![3]));
    write_tensors(folder.path().join("batch.safetensors"), &batch).unwrap();
    let trace = |neurons: Value| {
        let trace = json!({ "kind": "trace", "model": experiment()["model"], "parameters": "out/parameters.safetensors",
            "batch": "batch.safetensors", "amplitude": 0.1, "period": 20.0, "periods": 2, "integrator": { "rk4": { "step": 0.5 } },
            "neurons": neurons });
        fs::write(folder.path().join("t.json"), trace.to_string()).unwrap();
    };
    trace(json!(["c1[3,0,2]", "c2[1,1,0]"]));
    succeed(folder.path(), &["run", "t.json", "--out", "trace"]);
    let traces = read_npz(folder.path().join("trace/trace.npz")).unwrap();
    assert_eq!(traces["rate_re"].0, [80, 2]);
    let named = program::json(folder.path().join("trace/neurons.json"));
    assert_eq!(named["neurons"], json!(["c1[3,0,2]", "c2[1,1,0]"]));
    let drawn = fs::read_to_string(folder.path().join("trace/trace.svg")).unwrap();
    assert!(drawn.contains("c1, row 4, column 1, channel 3"), "the legend says which");
    trace(json!(["c1[4,0,2]"]));
    let output = program::run(folder.path(), &["check", "t.json"]);
    let told = program::text(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("c1[0,0,0] … c2[1,1,3]"), "{told}");
}
