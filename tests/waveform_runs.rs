//! Inputs that change in time, as experiments take them.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use crate::common::toy;
use crate::program::{json, metrics, run, succeed, text};
use holograd::experiment;
use holograd::files::{Shaped, Tensors, Values, read_npz, write_tensors};
use holograd::simulation::integrators::IntegratorSpec;
use holograd::simulation::signal::InputSignal;
use serde_json::{Value, json};

/// Arrays of a short trace with more settings.
fn trace(folder: &Path, name: &str, more: &[&str]) -> BTreeMap<String, Shaped> {
    let short = ["run", "trace", "--set", "periods=2", "--set", "integrator.rk4.step=0.1", "--out", name];
    let sets: Vec<&str> = more.iter().flat_map(|set| ["--set", set]).collect();
    succeed(folder, &[&short[..], &sets].concat());
    read_npz(folder.join(name).join("trace.npz")).unwrap()
}

#[test]
fn a_trace_records_and_draws_the_inputs_that_change() {
    let folder = tempfile::tempdir().unwrap();
    let still = trace(folder.path(), "still", &[]);
    assert!(!still.contains_key("input"));
    let sinusoid = r#"waveform={"sinusoid":{"amplitude":[0.1,0,0,0,0,0.2],"period":7,"phase":0.5}}"#;
    let moving = trace(folder.path(), "moving", &[sinusoid]);
    let (shape, input) = &moving["input"];
    assert_eq!(shape[..], [800, 6]);
    let sample = toy().samples.inputs;
    for (tick, row) in input.chunks(6).enumerate() {
        let wave = (TAU * tick as f64 * 0.1 / 7.0 + 0.5).sin();
        for (k, (x, still)) in row.iter().zip(&sample).enumerate() {
            let amplitude = [0.1, 0.0, 0.0, 0.0, 0.0, 0.2][k];
            assert!((x - still - amplitude * wave).abs() < 1e-12, "tick {tick}, input {k}: {x}");
        }
    }
    assert!(moving["potential_re"] != still["potential_re"] && moving["beta_re"] == still["beta_re"]);
    let drawn = |name: &str| fs::read_to_string(folder.path().join(name).join("trace.svg")).unwrap();
    assert!(drawn("moving").contains("inputs x") && !drawn("still").contains("inputs x"));
    let units = json(folder.path().join("moving/trace.units.json"));
    assert_eq!(units["input"]["axes"], json!(["tick", "input"]));
}

/// The same numbers, whatever file they come from; the run folder needs none of them.
#[test]
fn tables_come_from_files_of_two_kinds_or_stand_in_the_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Numbers of 17 digits, which must survive every file.
    let rows: Vec<Vec<f64>> =
        (0..40).map(|i| (0..6).map(|j| (1.7 * f64::from(i * 6 + j)).sin() / 3.0).collect()).collect();
    let line = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    fs::write(path.join("rows.csv"), rows.iter().map(|row| line(row) + "\n").collect::<String>()).unwrap();
    let mut tensors = Tensors::new();
    tensors.insert("x", &[40, 6], Values::F64(rows.concat()));
    write_tensors(path.join("rows.safetensors"), &tensors).unwrap();
    let more = |source: String| format!(r#"waveform={{"table":{{{source},"step":2,"repeat":true}}}}"#);
    let values = more(format!(r#""values":{}"#, json!(rows)));
    let inline = trace(path, "inline", &[&values]);
    for file in ["rows.csv", "rows.safetensors"] {
        let table = more(format!(r#""file":"{file}""#));
        let out = format!("from-{file}");
        let read = trace(path, &out, &[&table]);
        assert!(read == inline, "{file}");
        let kept = &json(path.join(&out).join("experiment.json"))["waveform"]["table"];
        assert_eq!((&kept["values"], kept.get("file")), (&json!(rows), None));
        fs::remove_file(path.join(file)).unwrap();
        let again = format!("{out}/experiment.json");
        let name = format!("{out}-again");
        succeed(path, &["run", &again, "--out", &name]);
        assert!(read_npz(path.join(&name).join("trace.npz")).unwrap() == inline, "{file}");
    }
}

#[test]
fn signals_that_cannot_be_followed_are_refused_where_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("names.csv"), "time,x\n0,1\n").unwrap();
    fs::write(path.join("narrow.csv"), "0,1\n2,3\n").unwrap();
    fs::write(path.join("rows.txt"), "0\n").unwrap();
    let mut flat = Tensors::new();
    flat.insert("x", &[6], Values::F64(vec![0.0; 6]));
    write_tensors(path.join("flat.safetensors"), &flat).unwrap();
    let rk4 = r#"integrator={"rk4":{"step":0.5}}"#;
    let row = "[0,0,0,0,0,0]";
    let table = |rest: &str| format!(r#"{{"table":{{{rest}}}}}"#);
    for (kind, waveform, told) in [
        (
            "",
            r#"{"sinusoid":{"amplitude":[1,2],"period":5}}"#.into(),
            "`waveform.sinusoid.amplitude`: found a list of 2 for 6 inputs",
        ),
        (
            "",
            r#"{"sinusoid":{"amplitude":1,"period":5,"phase":[1]}}"#.into(),
            "`waveform.sinusoid.phase`: found a list of 1 for 6 inputs",
        ),
        (
            "",
            r#"{"sinusoid":{"amplitude":"large","period":5}}"#.into(),
            "a number, or a list with one number per input",
        ),
        ("", r#"{"sinusoid":{"amplitude":1,"period":0}}"#.into(), "`waveform.sinusoid.period`: found 0"),
        (
            rk4,
            r#"{"sinusoid":{"amplitude":1,"period":1.2}}"#.into(),
            "`waveform.sinusoid.period`: found 1.2 with steps of 0.5; at least 3 steps, 1.5",
        ),
        ("", table(r#""step":1"#), "`waveform.table`: found no numbers; exactly one of `file` and `values`"),
        ("", table(&format!(r#""values":[{row}],"file":"x.csv","step":1"#)), "`waveform.table`: found both"),
        ("", table(r#""values":[],"step":1"#), "`waveform.table`: found no rows"),
        ("", table(r#""values":[[1,2]],"step":1"#), "`waveform.table`: found a row of 2 at place 0"),
        ("", table(r#""file":"narrow.csv","step":1"#), "`waveform.table`: found a row of 2 at place 0"),
        ("", table(&format!(r#""values":[{row}],"step":-1"#)), "`waveform.table.step`: found -1"),
        (
            rk4,
            table(&format!(r#""values":[{row}],"step":0.7,"interpolation":"hold""#)),
            "the nearest that are: 0.5 and 1",
        ),
        (
            rk4,
            table(&format!(r#""values":[{row}],"step":0.2"#)),
            "`waveform.table.step`: found 0.2 with steps of 0.5, which pass over rows",
        ),
        (
            "",
            table(r#""file":"names.csv","step":1"#),
            "names.csv (from built-in experiments/trace.json, `waveform.table.file`): at `line 1, column 1`: found \"time\"",
        ),
        ("", table(r#""file":"absent.csv","step":1"#), "`waveform.table.file`: cannot read absent.csv"),
        ("", table(r#""file":"absent.safetensors","step":1"#), "absent.safetensors"),
        (
            "",
            table(r#""file":"rows.txt","step":1"#),
            "`waveform.table.file`: found \"rows.txt\"; a file that ends in .csv or .safetensors",
        ),
        ("", table(r#""file":"flat.safetensors","step":1"#), "at `x`: found no such array of two dimensions"),
        (rk4, r#"{"noise":{"std":-1,"correlation_time":5}}"#.into(), "`waveform.noise.std`: found -1"),
        (
            rk4,
            r#"{"noise":{"std":1,"correlation_time":0}}"#.into(),
            "`waveform.noise.correlation_time`: found 0",
        ),
        (
            "",
            r#"{"noise":{"std":1,"correlation_time":5}}"#.into(),
            "`waveform.noise`: found noise that is held through a step with an adaptive integrator",
        ),
        ("", r#"{"sawtooth":{}}"#.into(), "unknown name `sawtooth`"),
    ] {
        let waveform = format!("waveform={waveform}");
        let mut command = vec!["check", "trace", "--set", &waveform];
        if !kind.is_empty() {
            command.extend(["--set", kind]);
        }
        let output = run(path, &command);
        let complaint = text(&output.stderr);
        assert!(output.status.code() == Some(2) && complaint.contains(told), "{waveform}: {complaint}");
    }
    // Of kinds that know no time of their own.
    for name in ["digits", "gradient", "amplitude", "frequency", "frequency_optimum", "paper1/fig2b"] {
        let sets = [r#"waveform={"sinusoid":{"amplitude":1,"period":5}}"#.to_owned()];
        let error = experiment::load(name, &sets).unwrap_err().to_string();
        assert!(error.contains("unknown field `waveform`"), "{name}: {error}");
    }
}

/// A signal is added to a drive that is linear in the inputs.
#[test]
fn a_signal_is_refused_below_a_pooling_that_is_not_linear_and_beyond_its_length() {
    let model = json!({ "name": "pooled", "input": { "shape": [4, 4, 1] }, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "c", "shape": [2, 2, 2] }],
        "connections": [{ "from": "input", "to": "c", "conv": { "kernel": 3, "padding": "same",
            "pool": { "softmax": { "size": 2, "temperature": 1.0 } } } }] });
    let experiment = json!({ "kind": "trace", "model": model, "parameters": "none", "batch": "none", "amplitude": 0.1,
        "period": 10.0, "periods": 2, "waveform": { "sinusoid": { "amplitude": 1.0, "period": 5.0 } } });
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    fs::write(file.path(), experiment.to_string()).unwrap();
    let refused = experiment::load(file.path().to_str().unwrap(), &[]).unwrap_err().to_string();
    assert!(refused.contains("at `waveform`: found it with the pooling of `input-c.weight`"), "{refused}");
    // Nor is one that its run could not keep.
    let table = json!({ "table": { "values": vec![[0.0; 2]; 125_001], "step": 1.0 } });
    let signal: InputSignal = serde_json::from_value(table).unwrap();
    let integrator = IntegratorSpec::Rk4 { step: 0.5 };
    let refused = signal.validate(2, integrator, integrator.clock("", 10.0).unwrap()).unwrap_err();
    assert_eq!((&*refused.path, &*refused.found), ("table", "found 250002 numbers"));
}

/// A short run of the shipped experiment whose inputs change.
fn continuous<'a>(out: &'a str, waveform: &'a str, epochs: &'a str) -> Vec<&'a str> {
    let data = r#"data={"toy_gaussian":{"inputs":64,"classes":10,"samples":40}}"#;
    let mut command = vec!["run", "continuous_plasticity", "--out", out];
    for set in [data, "presentation=40", "compare=3", "schedule=constant", "trace=2", waveform, epochs] {
        command.extend(["--set", set]);
    }
    command
}

#[test]
fn a_continuous_run_with_a_waveform_is_resumed_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Numbers of 17 digits, which a resumed run reads from the folder of the first.
    let row = |i: i32| {
        (0..64).map(|j| (f64::from(i + 7 * j).sin() / 3.0).to_string()).collect::<Vec<_>>().join(",")
    };
    fs::write(path.join("rows.csv"), (0..30).map(|i| row(i) + "\n").collect::<String>()).unwrap();
    let timeless = |name: &str| -> Vec<Value> {
        let mut lines = metrics(&path.join(name));
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().shift_remove("seconds")));
        lines
    };
    let mut accuracies = Vec::new();
    for (name, waveform) in [
        ("noise", r#"waveform={"noise":{"std":0.3,"correlation_time":30}}"#),
        ("sinusoid", r#"waveform={"sinusoid":{"amplitude":0.3,"period":33.3}}"#),
        ("table", r#"waveform={"table":{"file":"rows.csv","step":7,"repeat":true}}"#),
    ] {
        let (whole, cut) = (format!("{name}-whole"), format!("{name}-cut"));
        succeed(path, &continuous(&whole, waveform, "epochs=2"));
        succeed(path, &continuous(&cut, waveform, "epochs=1"));
        succeed(path, &["run", "continuous_plasticity", "--resume", "--set", "epochs=2", "--out", &cut]);
        assert_eq!(timeless(&whole), timeless(&cut), "{name}");
        for file in ["parameters.safetensors", "checkpoint.safetensors", "trace.npz"] {
            let read = |folder: &str| fs::read(path.join(folder).join(file)).unwrap();
            assert!(read(&whole) == read(&cut), "{name}: {file} differs");
        }
        let arrays = read_npz(path.join(&whole).join("trace.npz")).unwrap();
        let (shape, input) = &arrays["input"];
        assert_eq!(shape[..], [80, 3]);
        assert!(input[0] != input[3], "{name}: the first input stands still");
        let drawn = fs::read_to_string(path.join(&whole).join("trace.svg")).unwrap();
        assert!(drawn.contains("inputs x"));
        accuracies.push(timeless(&whole));
    }
    succeed(path, &continuous("still", "compare=3", "epochs=1"));
    accuracies.push(timeless("still"));
    // Each of them is felt.
    for (i, a) in accuracies.iter().enumerate() {
        assert!(accuracies[..i].iter().all(|b| a[0]["cosine"] != b[0]["cosine"]));
    }
}
