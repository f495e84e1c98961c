//! What stands in run folders.

use std::path::Path;
use std::sync::OnceLock;

use holograd::experiment::resume::Resumed;
use holograd::experiment::shards::{AtWork, gather};
use holograd::experiment::sweep::Shard;
use holograd::experiment::sweep::record::SweepRun;
use holograd::experiment::train::record::Epoch;
use holograd::experiment::{Loaded, Options, RunFolder, load, load::load_from, manifest};
use holograd::files::{below, parse_tensors};
use holograd::learning::Part;
use holograd::records::read_metrics;
use holograd::{Error, Result};
use serde_json::{Value, json};

pub(super) fn metrics() -> Vec<Vec<u8>> {
    let run = r#"{"key":"0011","point":0,"values":{"seed":1},"seed":0,"device_seed":0,"measures":{"test_accuracy":0.9},"seconds":1.0}"#;
    vec![format!("{run}\n{run}\n").into_bytes()]
}

pub(super) fn read_lines(input: &[u8], folder: &Path) -> Result<()> {
    std::fs::write(folder.join("metrics.jsonl"), input).expect("an input");
    let (epochs, runs) = (read_metrics::<Epoch>(folder), read_metrics::<SweepRun>(folder));
    read_metrics::<Value>(folder)?;
    epochs.map(drop).or(runs.map(drop))
}

/// The files of a folder, by their paths in it.
type Files = Vec<(String, Vec<u8>)>;

fn files(folder: &Path) -> Files {
    let paths = below(folder).expect("the files of a folder").into_iter();
    let name = |path: &Path| path.strip_prefix(folder).expect("a file there").to_string_lossy().into_owned();
    paths
        .filter(|path| path.extension().is_none_or(|kind| kind != "png" && kind != "svg"))
        .map(|path| (name(&path), std::fs::read(&path).expect("a file")))
        .collect()
}

/// Writes a folder anew, with another content of one file.
fn write(files: &Files, name: &str, content: &[u8], folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    for (file, sound) in files {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, if file == name { content } else { sound }).expect("a file");
    }
}

fn sound(files: &Files, name: &str) -> Vec<Vec<u8>> {
    files.iter().filter(|(file, _)| file == name).map(|(_, content)| content.clone()).collect()
}

/// A training of a few samples that takes no time.
fn small() -> Value {
    json!({ "kind": "train", "data": { "toy_gaussian": { "inputs": 2, "classes": 2, "samples": 10 } },
        "model": { "name": "small", "input": 2, "layers": [{ "name": "h", "size": 2 }], "activation": "tanh",
            "connections": [{ "from": "input", "to": "h" }], "readout": { "from": "h", "classes": 2 } },
        "estimator": "harmonic_balance", "optimiser": { "adam_w": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 4,
        "compare": 0 })
}

const CHECKPOINT: &str = "checkpoint.safetensors";

/// The files that an experiment leaves behind.
fn made(experiment: &Value, work: impl FnOnce(&Loaded, &Path)) -> Files {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (file, out) = (place.path().join("experiment.json"), place.path().join("run"));
    std::fs::write(&file, experiment.to_string()).expect("an experiment");
    work(&load(&file.to_string_lossy(), &[]).expect("an experiment"), &out);
    files(&out)
}

/// A run of one epoch.
fn run() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        made(&small(), |loaded, out| {
            let mut folder = RunFolder::create(out, Vec::new(), loaded).expect("a folder");
            loaded.run(&mut folder, &Options::default()).expect("a run");
            folder.finish().expect("a manifest");
        })
    })
}

/// That of a whole epoch, and of one that has begun.
pub(super) fn checkpoints() -> Vec<Vec<u8>> {
    let mut checkpoints = sound(run(), CHECKPOINT);
    let mut tensors = parse_tensors(CHECKPOINT, &checkpoints[0]).expect("a checkpoint");
    let part = Part { batches: 1, loss: 2.5, correct: 1, samples: 4, seconds: 0.1, ..Part::default() };
    tensors.metadata.insert("part".into(), json!(part).to_string());
    checkpoints.push(tensors.to_bytes());
    checkpoints
}

/// Goes on for another epoch.
pub(super) fn read_checkpoint(input: &[u8], folder: &Path) -> Result<()> {
    let folder = folder.join("run");
    write(run(), CHECKPOINT, input, &folder);
    let resumed = Resumed::new(&folder, |origin| load_from(origin, &["epochs=2".into()]))?;
    let mut taken = resumed.folder(&folder, Vec::new())?;
    let options = Options { resume: true, ..Options::default() };
    match resumed.loaded.run(&mut taken, &options) {
        // A weight of 10³⁸ is a number, and said to be too large.
        Err(Error::Diverged { .. }) => Ok(()),
        outcome => outcome.map(drop),
    }
}

pub(super) fn manifests() -> Vec<Vec<u8>> {
    sound(run(), manifest::FILE)
}

pub(super) fn read_manifest(input: &[u8], folder: &Path) -> Result<()> {
    let folder = folder.join("run");
    write(run(), manifest::FILE, input, &folder);
    manifest::verify(&folder).map(drop)
}

const LINES: &str = "shards/1-of-1/metrics.jsonl";

/// A sweep whose only shard is done.
fn shard() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    let sweep = json!({ "kind": "sweep", "experiment": small(), "seeds": 3, "measure": ["test_accuracy"] });
    FILES.get_or_init(|| {
        made(&sweep, |loaded, out| {
            let shard = Shard { number: 1, of: 1 };
            let work = AtWork::begin(loaded, out, shard, &Options::default()).expect("a shard");
            work.expect("work").work(&Options::default()).expect("results");
        })
    })
}

pub(super) fn shards() -> Vec<Vec<u8>> {
    sound(shard(), LINES)
}

pub(super) fn read_shard(input: &[u8], folder: &Path) -> Result<()> {
    let folder = folder.join("run");
    write(shard(), LINES, input, &folder);
    gather(&folder, Vec::new()).map(drop)
}
