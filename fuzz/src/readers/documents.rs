//! JSON: experiments, models, imperfections, and what is given on the command line.

use std::path::Path;

use holograd::Result;
use holograd::experiment::load;
use holograd::published::Published;
use serde_json::{Value, json};

use super::{file, json_of, place};

/// Shipped experiments of every kind.
pub const KINDS: [&str; 11] = [
    "digits",
    "gradient",
    "trace",
    "amplitude",
    "frequency",
    "frequency_optimum",
    "continuous_plasticity",
    "digits_substrates",
    "paper1/fig2a",
    "paper1/fig2b",
    "paper1/fig3ab",
];

/// An experiment of every kind, its model and its own experiment written out, with small grids.
pub(super) fn experiments() -> Vec<Vec<u8>> {
    KINDS
        .iter()
        .map(|name| written_out(&format!("experiments/{name}.json")).to_string().into_bytes())
        .collect()
}

fn written_out(path: &str) -> Value {
    let mut value = json_of(path);
    let folder = Path::new(path).parent().expect("a folder").to_owned();
    for field in ["experiment", "model"] {
        if let Some(other) = value[field].as_str() {
            value[field] = written_out(folder.join(other).to_str().expect("a path"));
        }
    }
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("published");
        fields.shift_remove("experiment_path");
    }
    for (field, file) in [("parameters", "toy.safetensors"), ("batch", "toy_batch.safetensors")] {
        if value[field].is_string() {
            value[field] = json!(file);
        }
    }
    let mut clean = value;
    if let Some(fields) = clean.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    clean
}

pub(super) fn read_experiment(input: &[u8], folder: &Path) -> Result<()> {
    load(&place("experiment.json", input, folder), &[]).map(drop)
}

pub(super) fn models() -> Vec<Vec<u8>> {
    ["toy", "digits", "mnist", "conv_digits", "neurons/adaptation"]
        .map(|name| file(format!("models/{name}.json")))
        .to_vec()
}

pub(super) fn read_model(input: &[u8], folder: &Path) -> Result<()> {
    read_model_in("f32", input, folder)
}

fn read_model_in(precision: &str, input: &[u8], folder: &Path) -> Result<()> {
    place("model.json", input, folder);
    let experiment = json!({ "kind": "train", "model": "model.json", "precision": precision, "estimator": "harmonic_balance",
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 10 });
    load(&place("experiment.json", experiment.to_string().as_bytes(), folder), &[]).map(drop)
}

pub(super) fn overrides() -> Vec<Vec<u8>> {
    [
        "estimator.oscillation.period=60",
        "model.layers.0.size=3",
        "model.layers.*.size=3",
        r#"imperfections={"state_noise": {"held": {"std": 0.1}}}"#,
        "imperfections.device_seed=2",
        r#"data={"toy_gaussian": {"inputs": 64, "classes": 10}}"#,
        "optimiser.adam_w.learning_rate=1e-3",
        "estimator=harmonic_balance",
        r#"model.connections.1.feedback={"rotated": {"angle": 30}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn read_override(input: &[u8], _: &Path) -> Result<()> {
    load("digits", &[String::from_utf8_lossy(input).into_owned()]).map(drop)
}

pub(super) fn devices() -> Vec<Vec<u8>> {
    let presets = ["cmos", "pcm", "ideal"].map(|name| json!(name));
    let whole = json!({ "device_seed": 1, "fabrication": { "tau": { "std": 0.1 } }, "state_noise": { "held": { "std": 0.1 } },
        "synapse_noise": { "ornstein_uhlenbeck": { "std": 0.1, "correlation_time": 5.0 } },
        "readout": { "adc": { "bits": 8, "range": [-1.0, 1.0] }, "offset_std": 0.01, "phase_error": 0.1 } });
    presets.into_iter().chain([whole]).map(|value| value.to_string().into_bytes()).collect()
}

pub(super) fn read_device(input: &[u8], _: &Path) -> Result<()> {
    load("digits", &[format!("imperfections={}", String::from_utf8_lossy(input))]).map(drop)
}

pub(super) fn circuits() -> Vec<Vec<u8>> {
    ["diodes", "iris", "lattice"].map(|name| file(format!("models/circuits/{name}.json"))).to_vec()
}

pub(super) fn read_circuit(input: &[u8], folder: &Path) -> Result<()> {
    read_model_in("f64", input, folder)
}

pub(super) fn expressions() -> Vec<Vec<u8>> {
    [
        "(-u + I - k*w)/tau_u",
        "I/(1 + exp(-4*u + 2)) - u",
        "-u + I + sqrt(1 + u^2)*sin(0.3*w) - 2.5e-1*logistic(u*w)",
        "max(0, I) - u - abs(w) + tanh(-k^3/(1 + w*w))",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// As an equation of a neuron's, and as its rate.
pub(super) fn read_expression(input: &[u8], folder: &Path) -> Result<()> {
    let text = String::from_utf8_lossy(input);
    let mut model = json_of("models/neurons/adaptation.json");
    let neuron = &mut model["layers"][0]["neuron"];
    neuron["equations"]["u"] = json!(text);
    neuron["rate"] = json!(text.replace('I', "u"));
    read_model(model.to_string().as_bytes(), folder)
}

pub(super) fn published() -> Vec<Vec<u8>> {
    let curve = |label| json!({ "label": label, "columns": { "x": [1, 2, 3.5], "y": [null, -1e-3, 4] } });
    let whole = json!({ "source": "a paper", "curves": [curve("a"), curve("b")] });
    vec![whole.to_string().into_bytes()]
}

pub(super) fn read_published(input: &[u8], _: &Path) -> Result<()> {
    Published::parse("published.json", input).map(drop)
}
