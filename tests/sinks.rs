//! A run leaves the same results in the memory of its caller as in a folder.

use std::fs;
use std::path::Path;

use holograd::experiment::sweep::record::SweepRun;
use holograd::experiment::train::record::Epoch;
use holograd::experiment::{self, Content, Loaded, Memory, Options, RunFolder, Sink};
use serde_json::{Value, json};

use crate::common;
use crate::documentation::records::short_runs;
use crate::program::{copy_folder, json as read_json};

/// What tells of time is another in every run.
fn timeless(mut record: Value) -> Value {
    for name in ["seconds", "wall_seconds", "training_seconds"] {
        if let Some(fields) = record.as_object_mut() {
            fields.remove(name);
        }
    }
    record
}

/// The lines of a text of records, less what tells of time.
fn records(text: &str) -> Vec<String> {
    text.lines().map(|line| timeless(serde_json::from_str(line).unwrap()).to_string()).collect()
}

/// Runs into memory, and into the folder.
fn both(loaded: &Loaded, folder: &Path) -> Memory {
    let mut memory = Memory::default();
    let mut kept = RunFolder::create(folder, vec!["test".into()], loaded).unwrap();
    let options = Options::default();
    let told = loaded.run(&mut memory, &options).unwrap();
    let kept_told = loaded.run(&mut kept, &options).unwrap();
    // Some lines tell of seconds.
    let short =
        |lines: Vec<String>| lines.iter().filter(|line| !line.contains(" s")).cloned().collect::<Vec<_>>();
    assert_eq!(short(told), short(kept_told));
    kept.finish().unwrap();
    memory
}

fn assert_same(memory: &Memory, folder: &Path, kind: &str) {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    assert_eq!(records(&memory.lines().unwrap().unwrap_or_default()), records(&text), "records of {kind}");
    assert!(memory.names().contains(&"summary.json".to_owned()), "{kind}");
    for name in memory.names() {
        let file = folder.join(&name);
        match memory.content(&name).unwrap() {
            Content::Json(value) => {
                // Both as text: reading it may cost a last digit.
                let value = serde_json::from_str(&value.to_string()).unwrap();
                assert_eq!(timeless(value), timeless(read_json(&file)), "{name} of {kind}");
            }
            Content::Tensors(tensors) => {
                assert!(tensors.to_bytes() == fs::read(&file).unwrap(), "{name} of {kind}");
            }
            Content::Arrays(arrays) => {
                let other = tempfile::tempdir().unwrap();
                arrays.write(other.path().join(&name)).unwrap();
                assert!(
                    fs::read(other.path().join(&name)).unwrap() == fs::read(&file).unwrap(),
                    "{name} of {kind}"
                );
            }
        }
    }
}

/// A run that was killed just before its end begins again: all that it has written is known for what a run writes.
fn assert_begins_again(loaded: &Loaded, memory: &Memory, folder: &Path) {
    fs::remove_file(folder.join("manifest.json")).unwrap();
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let copies: Vec<String> =
        entries.filter(|name| name.ends_with(".safetensors") && !memory.names().contains(name)).collect();
    fs::write(folder.join(".holograd-lock"), json!({ "pid": 1, "copies": copies }).to_string()).unwrap();
    let again = RunFolder::create(folder, vec!["test".into()], loaded);
    assert!(again.is_ok(), "{}", again.err().unwrap());
}

#[test]
fn memory_holds_what_a_folder_holds() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(Path::new(&common::path("models")), &folder.path().join("models"));
    fs::create_dir(folder.path().join("experiments")).unwrap();
    let mut kinds = Vec::new();
    for (kind, experiment, sets) in short_runs() {
        let name = match &experiment {
            Value::Null => kind.to_owned(),
            Value::String(shipped) => shipped.clone(),
            written => {
                let path = folder.path().join(format!("experiments/{kind}.json"));
                fs::write(&path, written.to_string()).unwrap();
                path.display().to_string()
            }
        };
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let loaded = experiment::load(&name, &sets).unwrap();
        let out = folder.path().join(kind);
        let memory = both(&loaded, &out);
        assert_same(&memory, &out, kind);
        if kind == "train" {
            let epochs: Vec<Epoch> = memory.records().unwrap();
            assert_eq!(epochs.len(), 1);
            assert!(memory.records::<SweepRun>().is_err());
        }
        if !["train", "continuous", "sweep"].contains(&kind) {
            assert_begins_again(&loaded, &memory, &out);
        }
        kinds.push(kind);
    }
    assert_eq!(kinds.len(), experiment::KINDS.len());
}

/// The runs of a sweep that keep their history have a part each.
#[test]
fn memory_has_a_part_for_each_run_of_a_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let train = json!({ "kind": "train", "model": common::path("models/toy.json"),
        "data": { "toy_gaussian": { "samples": 20 } }, "estimator": "harmonic_balance",
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 2, "batch_size": 4 });
    let sweep = json!({ "kind": "sweep", "experiment": train, "seeds": 2, "history": true });
    let path = folder.path().join("sweep.json");
    fs::write(&path, sweep.to_string()).unwrap();
    let loaded = experiment::load(path.to_str().unwrap(), &[]).unwrap();
    let out = folder.path().join("out");
    let memory = both(&loaded, &out);
    assert_same(&memory, &out, "sweep");
    let runs: Vec<SweepRun> = memory.records().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let name = format!("runs/{}", run.key);
        let own = memory.inside(&name).unwrap().lines().unwrap().unwrap();
        let text = fs::read_to_string(out.join(&name).join("metrics.jsonl")).unwrap();
        assert_eq!(records(&own).len(), 2);
        assert_eq!(records(&own), records(&text));
    }
}
