//! What is read, from sound files of the project.

mod arrays;
pub mod documents;
mod folders;
mod images;
mod tables;

use std::path::{Path, PathBuf};

use holograd::Result;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::damage;

/// A reader, with what it reads and how that is damaged.
pub struct Reader {
    /// Its name on the command line.
    pub name: &'static str,
    /// Sound files.
    pub sound: fn() -> Vec<Vec<u8>>,
    /// A damaged file.
    pub damage: fn(&[u8], &mut ChaCha8Rng) -> Vec<u8>,
    /// Reads the bytes, with a folder at hand.
    pub read: fn(&[u8], &Path) -> Result<()>,
}

/// All of them.
pub const READERS: [Reader; 27] = [
    document("experiment", documents::experiments, documents::read_experiment),
    document("model", documents::models, documents::read_model),
    document("circuit", documents::circuits, documents::read_circuit),
    bytes("expression", documents::expressions, documents::read_expression),
    bytes("set", documents::overrides, documents::read_override),
    document("device", documents::devices, documents::read_device),
    document("published", documents::published, documents::read_published),
    bytes("parameters", || arrays::tensors("toy.safetensors"), arrays::read_parameters),
    bytes("batch", || arrays::tensors("toy_batch.safetensors"), arrays::read_batch),
    bytes("npz", arrays::archives, arrays::read_archive),
    bytes("npy", arrays::numpy, arrays::read_numpy),
    bytes("samples", arrays::samples, arrays::read_samples),
    Reader { name: "idx", sound: images::images, damage: images::packed, read: images::read_images },
    Reader { name: "cifar", sound: images::records, damage: images::packed, read: images::read_records },
    bytes("pickle", images::pickles, images::read_pickle),
    bytes("imagenet", images::batches, images::read_batches),
    bytes("matlab", images::digits, images::read_digits),
    bytes("png", images::pictures, images::read_picture),
    bytes("table", tables::waveforms, tables::read_waveform),
    bytes("rows", tables::rows, tables::read_rows),
    bytes("pulses", tables::pulses, tables::read_pulses),
    bytes("spectrum", tables::spectra, tables::read_spectrum),
    bytes("mismatch", tables::mismatches, tables::read_mismatch),
    bytes("metrics", folders::metrics, folders::read_lines),
    bytes("checkpoint", folders::checkpoints, folders::read_checkpoint),
    bytes("shard", folders::shards, folders::read_shard),
    document("manifest", folders::manifests, folders::read_manifest),
];

/// A reader of JSON.
const fn document(
    name: &'static str,
    sound: fn() -> Vec<Vec<u8>>,
    read: fn(&[u8], &Path) -> Result<()>,
) -> Reader {
    Reader { name, sound, damage: damage::document, read }
}

/// A reader of anything else.
const fn bytes(
    name: &'static str,
    sound: fn() -> Vec<Vec<u8>>,
    read: fn(&[u8], &Path) -> Result<()>,
) -> Reader {
    Reader { name, sound, damage: damage::bytes, read }
}

/// The project, whose tests read these files too.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("experiments").is_dir());
    root.expect("the project's folder").to_owned()
}

fn file(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(root().join(path)).expect("a file of the project")
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&file(path)).expect("JSON")
}

/// Writes the input, and beside it what it refers to; returns its path.
fn place(name: &str, input: &[u8], folder: &Path) -> String {
    for other in ["toy.safetensors", "toy_batch.safetensors"] {
        let path = folder.join(other);
        if !path.exists() {
            std::fs::copy(root().join("experiments").join(other), path).expect("a copy");
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, input).expect("an input");
    path.to_string_lossy().into_owned()
}

/// Writes a sound file beside the input, unless it is there.
fn beside(name: &str, content: impl FnOnce() -> Vec<u8>, folder: &Path) {
    let path = folder.join(name);
    if !path.exists() {
        std::fs::write(path, content()).expect("a file beside it");
    }
}
