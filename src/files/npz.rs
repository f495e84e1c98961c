//! Traces: named real arrays in NumPy's `.npz`, with their units in a JSON file beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use npyz::{NpyFile, NpyHeader, Order, WriteOptions, WriterBuilder};
use serde::Serialize;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::{write_atomically, write_json};
use crate::host::machine;
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

fn npy<N: npyz::AutoSerialize>(shape: &[usize], numbers: impl Iterator<Item = N>) -> Vec<u8> {
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

/// The shape of an array and its values in C order.
pub type Shaped = (Vec<usize>, Vec<f64>);

/// Bytes that one byte of a packed array can stand for at most.
pub(super) const DEFLATE: u64 = 1032;
/// Bytes of the header of an array at most: NumPy itself refuses longer ones.
const LARGEST_HEADER: u64 = 10_000;

/// All arrays of a `.npz` file by name. No more of an array is unpacked than its header announces.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`] if it is damaged, holds anything but real arrays of 32 or 64 bits
/// in C order, or more than there is memory for.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Shaped>> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let refused = |source| Error::io(path, "read", source);
    let damaged = |found: String| Error::input(&file, "", found, "a whole .npz file is needed");
    let opened = File::open(path).map_err(refused)?;
    let metadata = opened.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(damaged("it is no ordinary file".to_owned()));
    }
    let mut archive = ZipArchive::new(BufReader::new(opened))
        .map_err(|error| damaged(format!("it is no zip archive: {error}")))?;
    let memory = machine::memory();
    let (mut arrays, mut total) = (BTreeMap::new(), 0_u64);
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
        let name = member.name().map_err(|error| damaged(error.to_string()))?;
        let Some(name) = npyz::npz::array_name_from_file_name(&name).map(str::to_owned) else {
            continue; // as NumPy does
        };
        let most = member.compressed_size().min(metadata.len()).saturating_mul(DEFLATE);
        let array = parse_npy(member, most, memory.saturating_sub(total)).map_err(|found| {
            Error::input(&file, &name, found, "a whole real array of 32 or 64 bits in C order is needed")
        })?;
        total += array.1.len() as u64 * size_of::<f64>() as u64;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// Reads the header of an array; what was read beyond it is left in the cursor.
pub(crate) fn header(stream: &mut impl Read) -> std::result::Result<(NpyHeader, Cursor<Vec<u8>>), String> {
    let bad = |error: std::io::Error| format!("the header is bad: {error}");
    // The header is read apart: its length is a number in the file, of two bytes or, in the later versions, of four.
    let mut header = Vec::new();
    stream.by_ref().take(12).read_to_end(&mut header).map_err(bad)?;
    let length = match header[..] {
        [_, _, _, _, _, _, 1, _, a, b, ..] => u64::from(u16::from_le_bytes([a, b])),
        [_, _, _, _, _, _, _, _, a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => 0,
    };
    if length > LARGEST_HEADER {
        return Err(format!("found a header of {length} bytes"));
    }
    stream.by_ref().take(length).read_to_end(&mut header).map_err(bad)?;
    let mut rest = Cursor::new(header);
    Ok((NpyHeader::from_reader(&mut rest).map_err(bad)?, rest))
}

/// Whether the first index of an array is the fastest.
pub(crate) fn is_fortran(npy: &NpyHeader) -> bool {
    npy.order() != Order::C && npy.shape().len() > 1
}

/// Reads an array of at most so many bytes on disk, and in memory.
fn parse_npy(mut stream: impl Read, on_disk: u64, in_memory: u64) -> std::result::Result<Shaped, String> {
    let (npy, rest) = header(&mut stream)?;
    let npy = NpyFile::with_header(npy, rest.chain(stream));
    if is_fortran(&npy) {
        return Err("found Fortran order".to_owned());
    }
    let shape = npy.shape().to_vec();
    // An empty array may have any other sizes; what is counted is never beyond what a file can hold.
    let count = shape.iter().try_fold(1_u64, |count, &size| count.checked_mul(size));
    let count = if shape.contains(&0) { Some(0) } else { count };
    let Some(count) = count.filter(|count| *count <= on_disk / 4) else {
        return Err(format!("the shape {shape:?} is larger than the data"));
    };
    let needed = count.saturating_mul(size_of::<f64>() as u64);
    if needed > in_memory {
        let (needed, most) = (machine::bytes(needed as f64), machine::bytes(in_memory as f64));
        return Err(format!("the shape {shape:?} takes {needed} of memory, where {most} are left"));
    }
    let shape = shape.iter().map(|&size| size as usize).collect();
    let npy = match npy.try_data::<f64>() {
        Ok(values) => return Ok((shape, collect(values, count)?)),
        Err(npy) => npy,
    };
    match npy.try_data::<f32>() {
        Ok(values) => Ok((shape, collect(values.map(|value| value.map(f64::from)), count)?)),
        Err(npy) => Err(format!("found the type {}", npy.dtype().descr())),
    }
}

/// So many numbers.
fn collect(
    values: impl Iterator<Item = std::io::Result<f64>>,
    count: u64,
) -> std::result::Result<Vec<f64>, String> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count as usize).map_err(|_| "there is no memory left for it".to_owned())?;
    for value in values {
        numbers.push(value.map_err(|error| format!("the data are truncated: {error}"))?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Npz {
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

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.npz");
        let whole = example().to_bytes().unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let error = read_npz(&path).unwrap_err().to_string();
            assert!(error.contains("trace.npz: it is no zip archive: "), "{end}: {error}");
        }
        let parse = |bytes: &[u8]| parse_npy(bytes, bytes.len() as u64, 1 << 20).unwrap_err();
        assert_eq!(parse(&npy(&[2], [1_i64, 2].into_iter())), "found the type '<i8'");
        let mut short = npy(&[2], [1.0, 2.0].into_iter());
        short.pop();
        assert!(parse(&short).starts_with("the data are truncated: "));
    }

    /// What an array's header says is not believed before the file can hold it, and not taken beyond the memory.
    #[test]
    fn headers_that_promise_too_much_are_refused() {
        let mut vast = npy(&[2], [1.0, 2.0].into_iter());
        let place = vast.windows(2).position(|text| text == b"(2").unwrap();
        vast[place..place + 2].copy_from_slice(b"(9");
        let error = parse_npy(&vast[..], 32, 1 << 20).unwrap_err();
        assert_eq!(error, "the shape [9] is larger than the data");
        let error = parse_npy(&vast[..], 1 << 20, 71).unwrap_err();
        assert_eq!(error, "the shape [9] takes 72 bytes of memory, where 71 bytes are left");
        let mut long = vast.clone();
        long[8..10].copy_from_slice(&[255, 255]);
        assert_eq!(parse_npy(&long[..], 1 << 20, 1 << 20).unwrap_err(), "found a header of 65535 bytes");
        long[6] = 2;
        let length = u32::from_le_bytes(long[8..12].try_into().unwrap());
        let told = format!("found a header of {length} bytes");
        assert_eq!(parse_npy(&long[..], 1 << 20, 1 << 20).unwrap_err(), told);
        // 64 MiB of zeros behind an array of two numbers are not unpacked.
        let mut bomb = npy(&[2], [1.0, 2.0].into_iter());
        bomb.resize(64 << 20, 0);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("a.npy", SimpleFileOptions::default()).unwrap();
        archive.write_all(&bomb).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.npz");
        let mut packed = archive.finish().unwrap().into_inner();
        // Whoever unpacked on would come to a damaged place.
        let middle = packed.len() / 2;
        packed[middle..middle + 8].fill(0xff);
        std::fs::write(&path, packed).unwrap();
        assert_eq!(read_npz(&path).unwrap()["a"], (vec![2], vec![1.0, 2.0]));
        assert!(read_npz("/dev/zero").is_err());
    }
}
