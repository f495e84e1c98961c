//! What runs of every kind leave behind is on the page about run folders.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common;
use crate::program::{self, copy_folder, metrics, succeed};

/// A short run of every kind: the shipped experiment, or one that is written here, and what makes it short.
pub(crate) fn short_runs() -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let model = "../models/toy.json";
    let data = json!({ "toy_gaussian": { "samples": 20 } });
    let train = json!({ "kind": "train", "model": model, "data": data, "estimator": "harmonic_balance",
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 4 });
    let sweep = json!({ "kind": "sweep", "experiment": train, "seeds": 1 });
    let elapsed = json!({ "kind": "elapsed", "model": model, "data": data, "periods": 1,
        "estimators": { "sinusoid": { "oscillation": { "amplitude": 0.1, "period": 20.0 } } } });
    let continuous = json!({ "kind": "continuous", "model": model, "data": data, "amplitude": 0.1, "period": 10.0,
        "presentation": 10.0, "low_pass": { "time_constant": 10.0 }, "weight_time": 1e3, "epochs": 1 });
    vec![
        ("train", train, vec![]),
        ("sweep", sweep, vec![]),
        ("elapsed", elapsed, vec![]),
        ("continuous", continuous, vec![]),
        ("gradient", Value::Null, vec!["estimators={\"truth\": \"adjoint\"}"]),
        ("trace", Value::Null, vec!["periods=2", "integrator=rk4"]),
        ("amplitude", Value::Null, vec!["amplitudes=[0.1]"]),
        ("frequency", Value::Null, vec!["periods=[10]", "integrator=rk4"]),
        ("frequency_optimum", Value::Null, vec!["periods=[40]", "record=80", "repeats=2", "poles=[1]"]),
        ("relaxation", json!("paper1/fig2c"), vec!["amplitudes=[0.1]", "points=2", "steps=2"]),
        ("stability", json!("paper1/fig2b"), vec!["cells=2"]),
    ]
}

/// The row of a kind in the table below a heading.
fn row<'a>(page: &'a str, heading: &str, kind: &str) -> &'a str {
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let section = below.split("\n## ").next().unwrap();
    let row = section.lines().find(|line| line.starts_with(&format!("| `{kind}`")));
    row.unwrap_or_else(|| panic!("no row of {kind} under {heading}"))
}

#[test]
fn columns_and_fields_of_every_kind_are_told() {
    let page = fs::read_to_string(common::path("docs/configuration/run-folders.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy_folder(Path::new(&common::path("models")), &folder.path().join("models"));
    fs::create_dir(folder.path().join("experiments")).unwrap();
    for (kind, experiment, sets) in short_runs() {
        let name = match &experiment {
            Value::Null => kind.to_owned(),
            Value::String(shipped) => shipped.clone(),
            written => {
                let name = format!("experiments/{kind}.json");
                fs::write(folder.path().join(&name), written.to_string()).unwrap();
                name
            }
        };
        let set = sets.iter().flat_map(|set| ["--set", set]);
        let arguments: Vec<&str> = ["run", &name, "--out", kind].into_iter().chain(set).collect();
        succeed(folder.path(), &arguments);
        let run = folder.path().join(kind);
        let told = |record: &Value, row: &str, file: &str| {
            for field in record.as_object().unwrap().keys().filter(|field| *field != "wall_seconds") {
                assert!(row.contains(&format!("`{field}`")), "{file} of `{kind}` has `{field}`: {row}");
            }
        };
        let fields = row(&page, "## Fields of `summary.json`", kind);
        told(&program::json(run.join("summary.json")), fields, "summary.json");
        if kind != "trace" {
            let columns = row(&page, "## Columns of `metrics.jsonl`", kind);
            let columns = if kind == "stability" { fields } else { columns };
            metrics(&run).iter().for_each(|line| told(line, columns, "metrics.jsonl"));
        }
    }
}

/// Every measure that a sweep may take is in the table of its page.
#[test]
fn measures_are_told() {
    let page = fs::read_to_string(common::path("docs/configuration/sweep.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = program::run(folder.path(), &["check", "digits_substrates", "--set", "measure=[\"luck\"]"]);
    let refusal = program::text(&output.stderr);
    let (_, measures) = refusal.trim().split_once("each once, of ").unwrap();
    let measures: Vec<&str> = measures.split(", ").collect();
    assert!(measures.len() > 10, "{refusal}");
    for measure in measures {
        assert!(page.contains(&format!("`{measure}`")), "{measure} is not in docs/configuration/sweep.md");
    }
}
