//! Arrays as NumPy writes them: `.npy` and `.npz`, of real numbers of 32 or 64 bits or integers of any width, in either order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use npyz::NpyFile;
use zip::ZipArchive;

use super::npz::{DEFLATE, header, is_fortran};
use super::tensors::{Tensors, Values};
use crate::host::machine;
use crate::{Error, Result};

/// The name of the array of a `.npy` file.
pub const ONLY: &str = "array";

const NEEDED: &str = "a whole array of float32, float64 or integers is needed";

/// The arrays of a `.npz` file by their names, or that of a `.npy` file as [`ONLY`]. No more of an array is unpacked than its header
/// announces.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`] if it is damaged, or holds anything else, or more than there is memory for.
pub fn read_numpy(path: impl AsRef<Path>) -> Result<Tensors> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let refused = |source| Error::io(path, "read", source);
    let opened = File::open(path).map_err(refused)?;
    let metadata = opened.metadata().map_err(refused)?;
    let mut tensors = Tensors::new().called(&file);
    if !metadata.is_file() {
        return Err(Error::input(file, "", "it is no ordinary file", NEEDED));
    }
    let memory = machine::memory();
    if path.extension().is_none_or(|extension| extension != "npz") {
        let array = parse(BufReader::new(opened), metadata.len(), memory);
        let (shape, values) = array.map_err(|found| Error::input(&file, "", found, NEEDED))?;
        tensors.insert(ONLY, &shape, values);
        return Ok(tensors);
    }
    let damaged = |found: String| Error::input(&file, "", found, "a whole .npz file is needed");
    let mut archive = ZipArchive::new(BufReader::new(opened))
        .map_err(|error| damaged(format!("it is no zip archive: {error}")))?;
    let mut total = 0_u64;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
        let name = member.name().map_err(|error| damaged(error.to_string()))?;
        let Some(name) = npyz::npz::array_name_from_file_name(&name).map(str::to_owned) else {
            continue; // as NumPy does
        };
        let most = member.compressed_size().min(metadata.len()).saturating_mul(DEFLATE);
        let array = parse(member, most, memory.saturating_sub(total));
        let (shape, values) = array.map_err(|found| Error::input(&file, &name, found, NEEDED))?;
        total += 8 * values.len() as u64;
        tensors.insert(name, &shape, values);
    }
    Ok(tensors)
}

type Parsed = std::result::Result<(Vec<usize>, Values), String>;

/// Reads an array of at most so many bytes on disk, and in memory.
fn parse(mut stream: impl Read, on_disk: u64, in_memory: u64) -> Parsed {
    let (npy, rest) = header(&mut stream)?;
    let mut npy = NpyFile::with_header(npy, rest.chain(stream));
    let (shape, fortran) = (npy.shape().to_vec(), is_fortran(&npy));
    let count = shape.iter().try_fold(1_u64, |count, &size| count.checked_mul(size));
    let count = if shape.contains(&0) { Some(0) } else { count };
    let Some(count) = count.filter(|count| *count <= on_disk) else {
        return Err(format!("the shape {shape:?} is larger than the data"));
    };
    let needed = count.saturating_mul(16);
    if needed > in_memory {
        let (needed, most) = (machine::bytes(needed as f64), machine::bytes(in_memory as f64));
        return Err(format!("the shape {shape:?} takes {needed} of memory, where {most} are left"));
    }
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    macro_rules! attempt {
        ($($type:ty => $variant:ident($to:ty)),*) => {
            $(npy = match npy.try_data::<$type>() {
                Ok(values) => {
                    let mut numbers: Vec<$to> = Vec::new();
                    numbers.try_reserve_exact(count as usize).map_err(|_| "there is no memory left for it".to_owned())?;
                    for value in values {
                        let value = value.map_err(|error| format!("the data are truncated: {error}"))?;
                        numbers.push(<$to>::try_from(value).map_err(|_| format!("found {value}, beyond 64 signed bits"))?);
                    }
                    let numbers = if fortran { in_c_order(&shape, &numbers) } else { numbers };
                    return Ok((shape, Values::$variant(numbers)));
                }
                Err(other) => other,
            };)*
        };
    }
    attempt!(
        f64 => F64(f64), f32 => F32(f32), i64 => Integer(i64), i32 => Integer(i64), i16 => Integer(i64), i8 => Integer(i64),
        u8 => Integer(i64), u16 => Integer(i64), u32 => Integer(i64), u64 => Integer(i64)
    );
    Err(format!("found the type {}", npy.dtype().descr()))
}

/// The numbers of an array whose first index is the fastest, with the last index fastest.
fn in_c_order<N: Copy>(shape: &[usize], numbers: &[N]) -> Vec<N> {
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(numbers.len());
    for _ in 0..numbers.len() {
        let place = index.iter().zip(shape).rev().fold(0, |place, (i, size)| place * size + i);
        ordered.push(numbers[place]);
        for (i, size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    ordered
}
