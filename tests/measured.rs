//! Devices by measurement and neurons by equation, through the program: files that experiments name, fits, verdicts and yields.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{json, run, succeed, text};

/// Pulses of a soft-bound device between 10 and 50 µS, up and down, without noise.
fn pulses() -> String {
    let mut text = "pulse,polarity,conductance (uS)\n".to_owned();
    let mut x = -0.95_f64;
    for k in 0..800 {
        let direction = if k < 400 { 1.0 } else { -1.0 };
        writeln!(text, "{k},{direction},{}", 30.0 + 20.0 * x).unwrap();
        x += direction * 0.01 * (1.0 - direction * x);
    }
    text
}

fn experiment(imperfections: &Value) -> Value {
    let model = json!({ "name": "tiny", "input": 4, "layers": [{ "name": "h", "size": 5 }],
        "activation": "tanh(z)", "connections": [{ "from": "input", "to": "h" }],
        "readout": { "from": "h", "classes": 3 } });
    json!({ "kind": "train", "model": model, "data": { "toy_gaussian": { "inputs": 4, "classes": 3, "samples": 60 } },
        "estimator": "adjoint", "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 2, "batch_size": 20,
        "compare": 0, "imperfections": imperfections })
}

fn write(folder: &Path, name: &str, value: &Value) {
    std::fs::write(folder.join(name), value.to_string()).unwrap();
}

#[test]
fn a_run_holds_what_its_files_of_measurements_said() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::create_dir(place.join("lab")).unwrap();
    std::fs::write(place.join("lab/pulses.csv"), pulses()).unwrap();
    std::fs::write(place.join("lab/vth.csv"), "die,dvth (mV)\n1,-4\n2,1\n3,2\n4,\n5,0.5\n6,-1.5\n").unwrap();
    let measured = json!({
        "programming": { "weight_max": 1.0, "update": { "law": { "measured": { "file": "lab/pulses.csv" } } } },
        "fabrication": { "offset": { "measured": { "file": "lab/vth.csv", "column": "dvth", "scale": 0.02 } } } });
    write(place, "train.json", &experiment(&measured));
    let told = succeed(place, &["check", "train.json"]);
    assert!(
        told.contains("measured: lab/pulses.csv, one series of conductances:")
            && told.contains("of 799 pulses in 800 rows"),
        "{told}"
    );
    assert!(told.contains("measured: lab/vth.csv, column dvth: 5 of 6 rows"), "{told}");
    succeed(place, &["run", "train.json", "--out", "first"]);
    let kept = json(place.join("first/experiment.json"));
    let update = &kept["imperfections"]["programming"]["update"];
    // The mean step at the middle of the range is a hundredth of the whole in both directions.
    assert!((update["step"].as_f64().unwrap() - 0.01).abs() < 5e-4, "{}", update["step"]);
    assert!(update["law"]["measured"].get("file").is_none());
    assert_eq!(
        kept["imperfections"]["fabrication"]["offset"]["measured"]["samples"].as_array().unwrap().len(),
        5
    );
    // Without its files it is the same run.
    std::fs::remove_dir_all(place.join("lab")).unwrap();
    succeed(place, &["run", "first/experiment.json", "--out", "second"]);
    let accuracy = |name: &str| json(place.join(name).join("summary.json"))["test_accuracy"].clone();
    assert_eq!(accuracy("first"), accuracy("second"));
}

#[test]
fn files_of_measurements_are_refused_where_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("pulses.csv"), pulses()).unwrap();
    let law = |measured: Value| json!({ "programming": { "weight_max": 1.0, "update": { "law": { "measured": measured } } } });
    for (imperfections, told) in [
        (law(json!({ "file": "none.csv" })), "imperfections.programming.update.law.measured.file"),
        (law(json!({ "file": 3 })), "found 3"),
        (law(json!({ "file": "pulses.csv", "range": [0.0, 40.0] })), "nothing is extrapolated"),
        (
            law(json!({ "file": "pulses.csv", "rnage": [20.0, 40.0] })),
            "imperfections.programming.update.law.measured.rnage",
        ),
        (
            json!({ "fabrication": { "gain": { "measured": { "file": "pulses.csv", "column": "gain" } } } }),
            "one of pulse, polarity, conductance",
        ),
        (
            json!({ "fabrication": { "gain": { "std": 0.1, "measured": { "samples": [0.1, 0.1, 0.1, 0.1, 0.2] } } } }),
            "one of `std`, `area` and `measured`",
        ),
    ] {
        write(place, "train.json", &experiment(&imperfections));
        let output = run(place, &["check", "train.json"]);
        let complained = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complained}");
        assert!(complained.contains(told), "{told}: {complained}");
    }
    let mut beside = law(json!({ "file": "pulses.csv" }));
    beside["programming"]["update"]["cycle_spread"] = json!(0.3);
    write(place, "train.json", &experiment(&beside));
    let complained = text(&run(place, &["check", "train.json"]).stderr);
    assert!(
        complained.contains("update.cycle_spread") && complained.contains("those of the file"),
        "{complained}"
    );
}

#[test]
fn a_sweep_reports_the_share_of_its_devices_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("pulses.csv"), pulses()).unwrap();
    let sweep = json!({ "kind": "sweep", "experiment": experiment(&json!({})),
        "set": { "imperfections.programming": { "weight_max": 1.0, "update": { "law": { "measured": { "file": "pulses.csv" } } } } },
        "vary": { "imperfections.fabrication.dead": [0.0, 0.9] }, "device_seeds": 4, "yield": { "accuracy": 0.7 } });
    write(place, "sweep.json", &sweep);
    let told = succeed(place, &["run", "sweep.json", "--out", "out"]);
    assert!(told.contains("yield: runs of at least 70 %") && told.contains("interval of Wilson"), "{told}");
    let summary = json(place.join("out/summary.json"));
    let lines = std::fs::read_to_string(place.join("out/metrics.jsonl")).unwrap();
    let runs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (point, told) in summary["points"].as_array().unwrap().iter().enumerate() {
        let own = runs.iter().filter(|run| run["point"] == point);
        let reached = own.filter(|run| run["measures"]["test_accuracy"].as_f64().unwrap() >= 0.7).count();
        assert_eq!(told["yield"]["reached"], reached);
        assert_eq!(told["yield"]["runs"], 4);
    }
    assert!(place.join("out/sweep.png").exists());
    let mut bad = sweep;
    bad["measure"] = json!(["test_loss"]);
    write(place, "sweep.json", &bad);
    assert!(
        text(&run(place, &["check", "sweep.json"]).stderr).contains("`test_accuracy` among the measures")
    );
}

#[test]
fn a_fit_tells_its_law_and_writes_what_is_to_be_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let noisy = pulses().replace("conductance (uS)", "conductance");
    std::fs::write(place.join("pulses.csv"), noisy).unwrap();
    let told = succeed(place, &["fit", "pulses.csv", "--out", "fitted"]);
    let first = told.lines().nth(1).unwrap();
    assert!(first.starts_with("soft_bound"), "{told}");
    for name in ["fit.json", "imperfections.json", "fit.png", "fit.svg"] {
        assert!(place.join("fitted").join(name).exists(), "{name}");
    }
    let pasted = json(place.join("fitted/imperfections.json"));
    assert!((pasted["programming"]["update"]["step"].as_f64().unwrap() - 0.01).abs() < 1e-4, "{pasted}");
    write(place, "train.json", &experiment(&pasted));
    succeed(place, &["check", "train.json"]);
    std::fs::write(place.join("words.csv"), "a,b\n1,x\n").unwrap();
    let output = run(place, &["fit", "words.csv"]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(place, &["fit", "absent.csv"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn check_says_in_words_whether_equilibrium_propagation_holds() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let model = |neuron: Value, feedback: Value| {
        let layer = |name: &str| json!({ "name": name, "size": 4, "neuron": neuron });
        json!({ "name": "own", "input": 3, "layers": [layer("h1"), layer("h2")], "activation": "tanh",
            "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": feedback }],
            "readout": { "from": "h2", "classes": 3 } })
    };
    let adapting = json!({ "variables": ["u", "w"], "equations": { "u": "-u + I - 0.2*w", "w": "(tanh(u) - w)/5" }, "rate": "tanh(u)" });
    // Far above threshold: the rest has lost its stability.
    let spiking = json!({ "variables": ["u", "w"], "equations": { "u": "u - u^3/3 - w + 0.01*I + 0.6", "w": "(u + 0.7 - 0.8*w)/12.5" }, "rate": "tanh(u)" });
    let rectified = json!({ "variables": ["u"], "equations": { "u": "I - u" }, "rate": "max(u, 0)" });
    for (neuron, feedback, told) in [
        (&adapting, json!("tied"), "is exact for frozen teaching"),
        (
            &adapting,
            json!({ "rotated": { "angle": 60 } }),
            "is biased at any period: connections are not tied",
        ),
        (&spiking, json!("tied"), "equilibrium propagation fails"),
        (&rectified, json!("tied"), "an equation is not holomorphic"),
    ] {
        write(place, "model.json", &model(neuron.clone(), feedback));
        let said = succeed(place, &["check", "model.json"]);
        assert!(said.contains(told), "{told}: {said}");
    }
    let mut bad = model(adapting, json!("tied"));
    bad["layers"][1]["neuron"]["rate"] = json!("tanh(u");
    write(place, "model.json", &bad);
    let complained = text(&run(place, &["check", "model.json"]).stderr);
    assert!(
        complained.contains("layers[1].neuron.rate") && complained.contains("character 7: found the end"),
        "{complained}"
    );
}
