//! Arrays: safetensors and NumPy.

use std::path::Path;

use holograd::Result;
use holograd::data::{ArrayFiles, DataSpec, Lookup, SampleFiles, SamplePair};
use holograd::experiment::load;
use holograd::files::{Npz, read_npz, read_numpy as read_array};

use super::{beside, file, place};

pub(super) fn tensors(name: &str) -> Vec<Vec<u8>> {
    vec![file(Path::new("experiments").join(name))]
}

pub(super) fn read_parameters(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("parameters.safetensors", input, folder);
    let loaded = load("gradient", &[])?;
    let mut tensors = holograd::files::read_tensors(path)?;
    let shapes = loaded.network().expect("a network of neurons").shapes();
    holograd::substrate::parameters::Parameters::<f32>::from_tensors(shapes, &mut tensors).map(drop)
}

pub(super) fn read_batch(input: &[u8], folder: &Path) -> Result<()> {
    let mut tensors = holograd::files::read_tensors(place("batch.safetensors", input, folder))?;
    let count = tensors.get("x").and_then(|x| x.shape.first().copied()).unwrap_or(0);
    tensors.matrix::<f64>("x", [count, 6])?;
    tensors.labels("y", count, 4)?;
    tensors.refuse_unused()
}

pub(super) fn archives() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trace.npz");
    let mut npz = Npz::new();
    npz.insert("time", &[3], &[0.0, 0.5, 1.0], "tau", &["tick"]);
    npz.insert("potential", &[3, 2], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], "1", &["tick", "neuron"]);
    npz.write(&path).expect("an archive");
    vec![std::fs::read(path).expect("an archive")]
}

pub(super) fn read_archive(input: &[u8], folder: &Path) -> Result<()> {
    read_npz(place("trace.npz", input, folder)).map(drop)
}

/// Three samples of two inputs.
pub(super) fn numpy() -> Vec<Vec<u8>> {
    vec![array("<f8", "(3, 2)", &[0.0_f64, 1.0, 0.5, -1.0, 2.0, 1e-3].map(f64::to_le_bytes).concat())]
}

fn array(element: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    [b"\x93NUMPY\x01\x00", &118_u16.to_le_bytes()[..], header.as_bytes(), numbers].concat()
}

pub(super) fn read_numpy(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("x.npy", input, folder);
    beside("y.npy", || array("|u1", "(3,)", &[0, 1, 0]), folder);
    let pair = SampleFiles::Pair(SamplePair { x: "x.npy".into(), y: "y.npy".into() });
    load_samples(pair, folder)?;
    read_array(path).map(drop)
}

pub(super) fn samples() -> Vec<Vec<u8>> {
    let header = r#"{"x":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},"y":{"dtype":"U8","shape":[3],"data_offsets":[24,27]}} "#;
    let numbers = [0.0_f32, 1.0, 0.5, -1.0, 2.0, 1e-3].map(f32::to_le_bytes).concat();
    vec![[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers, &[0, 1, 0]].concat()]
}

pub(super) fn read_samples(input: &[u8], folder: &Path) -> Result<()> {
    place("samples.safetensors", input, folder);
    load_samples(SampleFiles::File("samples.safetensors".into()), folder)
}

/// Loads samples that a folder holds.
pub(super) fn load_samples(train: SampleFiles, folder: &Path) -> Result<()> {
    let files =
        ArrayFiles { folder: folder.to_owned(), train, test: None, test_fraction: None, classes: None };
    DataSpec::Files(files).load(0, &Lookup::default()).map(drop)
}
