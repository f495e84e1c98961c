//! Traces: named real arrays in NumPy's `.npz`, with their units in a JSON file beside it.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use npyz::{WriteOptions, WriterBuilder};
use serde::Serialize;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{write_atomically, write_json};
use crate::numerics::scalar::Scalar;
use crate::{Error, Result};

/// Named real arrays on their way to a `.npz` file, each with its unit and the meaning of its axes.
#[derive(Debug, Clone, Default)]
pub struct Npz {
    arrays: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// The array as a `.npy` file.
    npy: Vec<u8>,
    description: ArrayDescription,
}

#[derive(Debug, Clone, Serialize)]
struct ArrayDescription {
    unit: String,
    shape: Vec<usize>,
    axes: Vec<String>,
}

impl Npz {
    /// Without arrays.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an array in the precision of `T`: `values` in C order (last axis fastest), `unit` as `tau` or `1`, and for
    /// every axis what it counts, as `neuron of h1`. A name that is there already is replaced.
    ///
    /// # Panics
    /// If the number of values or of axes is not what `shape` says.
    pub fn insert<T: Scalar>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[T],
        unit: &str,
        axes: &[&str],
    ) {
        assert_eq!(
            values.len(),
            shape.iter().product::<usize>(),
            "values of `{name}` against shape {shape:?}"
        );
        assert_eq!(axes.len(), shape.len(), "axes of `{name}` against shape {shape:?}");
        let numbers = values.iter().map(|x| x.double());
        let npy =
            if T::NAME == f32::NAME { npy(shape, numbers.map(|x| x as f32)) } else { npy(shape, numbers) };
        let description = ArrayDescription {
            unit: unit.to_owned(),
            shape: shape.to_vec(),
            axes: axes.iter().map(|&axis| axis.to_owned()).collect(),
        };
        self.arrays.insert(name.to_owned(), Entry { npy, description });
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Internal`] if an array is too large for the format.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.to_bytes().map_err(|error| Error::Internal(error.to_string()))
    }

    /// What stands in the file beside it: `unit`, `shape` and `axes` of every array.
    ///
    /// # Errors
    /// [`Error::Internal`] if they have no form in JSON.
    pub fn units(&self) -> Result<serde_json::Value> {
        let units: BTreeMap<&String, &ArrayDescription> =
            self.arrays.iter().map(|(name, entry)| (name, &entry.description)).collect();
        serde_json::to_value(units).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Writes `path` and, beside it, `<stem>.units.json` with `unit`, `shape` and `axes` of every array; each atomically,
    /// and the same arrays always as the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes =
            self.to_bytes().map_err(|error| Error::Internal(format!("{}: {error}", path.display())))?;
        write_atomically(path, &bytes)?;
        write_json(sidecar(path), &self.units()?)
    }

    fn to_bytes(&self) -> zip::result::ZipResult<Vec<u8>> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, Entry { npy, .. }) in &self.arrays {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                // A fixed date: equal arrays make equal files.
                .last_modified_time(DateTime::default())
                .large_file(u32::try_from(npy.len()).is_err());
            archive.start_file(npyz::npz::file_name_from_array_name(name), options)?;
            archive.write_all(npy)?;
        }
        Ok(archive.finish()?.into_inner())
    }
}

/// Where the units of the arrays in `path` are written: `trace.npz` has `trace.units.json`.
pub(crate) fn sidecar(path: &Path) -> PathBuf {
    path.with_extension("units.json")
}

pub(super) fn npy<N: npyz::AutoSerialize>(shape: &[usize], numbers: impl Iterator<Item = N>) -> Vec<u8> {
    let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    let mut bytes = Vec::new();
    let written = WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd().and_then(
        |mut writer| {
            writer.extend(numbers)?;
            writer.finish()
        },
    );
    written.expect("a vector takes every write, and the number of values was checked");
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::read_npz;
    use super::*;

    pub(crate) fn example() -> Npz {
        let mut npz = Npz::new();
        npz.insert("t", &[3], &[0.0, 0.5, 1.0], "tau", &["time"]);
        npz.insert("u/h1", &[3, 2], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], "1", &["time", "neuron of h1"]);
        npz.insert("beta", &[], &[0.1], "1", &[]);
        npz.insert("none", &[0, 4], &[0.0; 0], "1", &["sample", "class"]);
        npz
    }

    #[test]
    fn arrays_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.npz");
        example().write(&path).unwrap();
        let arrays = read_npz(&path).unwrap();
        assert_eq!(arrays.len(), 4);
        assert_eq!(arrays["t"], (vec![3], vec![0.0, 0.5, 1.0]));
        assert_eq!(arrays["u/h1"], (vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(arrays["beta"], (vec![], vec![0.1]));
        assert_eq!(arrays["none"], (vec![0, 4], vec![]));

        let units: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("trace.units.json")).unwrap()).unwrap();
        assert_eq!(
            units["u/h1"],
            serde_json::json!({"unit": "1", "shape": [3, 2], "axes": ["time", "neuron of h1"]})
        );
    }

    #[test]
    fn an_array_has_the_bytes_that_numpy_specifies() {
        // NEP 1: magic, version 1.0, little-endian header length, a Python dictionary padded to 64, C-order data.
        let bytes = npy(&[2], [1.0_f64, -2.0].into_iter());
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + header) % 16, 0);
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert!(text.starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (2,"), "{text}");
        assert_eq!(bytes[10 + header..], [1.0_f64.to_le_bytes(), (-2.0_f64).to_le_bytes()].concat());
    }

    #[test]
    fn equal_arrays_make_equal_files() {
        assert_eq!(example().to_bytes().unwrap(), example().to_bytes().unwrap());
    }
}
