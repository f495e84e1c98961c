//! Arrays as NumPy writes them: `.npy` and `.npz`, of real numbers of 32 or 64 bits or integers of any width, in either order.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use npyz::{NpyFile, NpyHeader, Order};
use zip::ZipArchive;

use super::tensors::{Array, Tensors, Values};
use crate::host::machine;
use crate::{Error, Result};

/// The name of the array of a `.npy` file.
pub const ONLY: &str = "array";

const NEEDED: &str = "a whole array of float32, float64 or integers is needed";

/// Bytes that one byte of a packed array can stand for at most.
const DEFLATE: u64 = 1032;
/// Bytes of the header of an array at most: NumPy itself refuses longer ones.
const LARGEST_HEADER: u64 = 10_000;
/// Bytes of a number and of a copy in another order or of another type.
const COPIES: u64 = 16;

/// The shape of an array and its values in C order.
pub type Shaped = (Vec<usize>, Vec<f64>);

/// The arrays of a `.npz` file by their names, or that of a `.npy` file as [`ONLY`]. No more of an array is unpacked than its header
/// announces.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Input`] if it is damaged, or holds anything else, or more than there is memory for.
pub fn read_numpy(path: impl AsRef<Path>) -> Result<Tensors> {
    let path = path.as_ref();
    if path.extension().is_some_and(|extension| extension == "npz") {
        return archive(path);
    }
    let (file, opened, metadata) = open(path)?;
    let array = parse(opened, metadata.len(), machine::memory());
    let (shape, values) = array.map_err(|found| Error::input(&file, "", found, NEEDED))?;
    let mut tensors = Tensors::new().called(&file);
    tensors.insert(ONLY, &shape, values);
    Ok(tensors)
}

/// All arrays of a `.npz` file by name, as numbers of double precision. No more of an array is unpacked than its header announces.
///
/// # Errors
/// As [`read_numpy`].
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Shaped>> {
    let tensors = archive(path.as_ref())?;
    let shaped = |name: &str| {
        let Array { shape, values } = tensors.get(name)?;
        let numbers = match values {
            Values::F32(values) => values.iter().map(|x| f64::from(*x)).collect(),
            Values::F64(values) => values.clone(),
            Values::Integer(values) => values.iter().map(|x| *x as f64).collect(),
        };
        Some((name.to_owned(), (shape.clone(), numbers)))
    };
    Ok(tensors.names().filter_map(shaped).collect())
}

/// The name of a file for messages, the file and what the system knows of it.
fn open(path: &Path) -> Result<(String, BufReader<File>, Metadata)> {
    let file = path.display().to_string();
    let refused = |source| Error::io(path, "read", source);
    let opened = File::open(path).map_err(refused)?;
    let metadata = opened.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(Error::input(file, "", "it is no ordinary file", NEEDED));
    }
    Ok((file, BufReader::new(opened), metadata))
}

/// The arrays of a `.npz` file.
fn archive(path: &Path) -> Result<Tensors> {
    let (file, opened, metadata) = open(path)?;
    let damaged = |found: String| Error::input(&file, "", found, "a whole .npz file is needed");
    let mut archive =
        ZipArchive::new(opened).map_err(|error| damaged(format!("it is no zip archive: {error}")))?;
    let memory = machine::memory();
    let (mut tensors, mut total) = (Tensors::new().called(&file), 0_u64);
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
        let name = member.name().map_err(|error| damaged(error.to_string()))?;
        let Some(name) = npyz::npz::array_name_from_file_name(&name).map(str::to_owned) else {
            continue; // as NumPy does
        };
        let most = member.compressed_size().min(metadata.len()).saturating_mul(DEFLATE);
        let array = parse(member, most, memory.saturating_sub(total));
        let (shape, values) = array.map_err(|found| Error::input(&file, &name, found, NEEDED))?;
        total += COPIES * values.len() as u64;
        tensors.insert(name, &shape, values);
    }
    Ok(tensors)
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

type Parsed = std::result::Result<(Vec<usize>, Values), String>;

/// Reads an array of at most so many bytes on disk, and in memory.
fn parse(mut stream: impl Read, on_disk: u64, in_memory: u64) -> Parsed {
    let (npy, rest) = header(&mut stream)?;
    let (shape, fortran) = (npy.shape().to_vec(), is_fortran(&npy));
    let mut npy = NpyFile::with_header(npy, rest.chain(stream));
    // An empty array may have any other sizes; what is counted is never beyond what a file can hold.
    let count = shape.iter().try_fold(1_u64, |count, &size| count.checked_mul(size));
    let count = if shape.contains(&0) { Some(0) } else { count };
    let Some(count) = count.filter(|count| *count <= on_disk) else {
        return Err(format!("the shape {shape:?} is larger than the data"));
    };
    let needed = count.saturating_mul(COPIES);
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::npz::npy;
    use super::super::npz::tests::example;
    use super::*;

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.npz");
        let whole = example().bytes().unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let error = read_npz(&path).unwrap_err().to_string();
            assert!(error.contains("trace.npz: it is no zip archive: "), "{end}: {error}");
        }
        let refusal = |bytes: &[u8]| parse(bytes, bytes.len() as u64, 1 << 20).unwrap_err();
        assert_eq!(refusal(&npy(&[2], [true, false].into_iter())), "found the type '|b1'");
        let mut short = npy(&[2], [1.0, 2.0].into_iter());
        short.pop();
        assert!(refusal(&short).starts_with("the data are truncated: "));
    }

    /// What an array's header says is not believed before the file can hold it, and not taken beyond the memory.
    #[test]
    fn headers_that_promise_too_much_are_refused() {
        let mut vast = npy(&[2], [1.0, 2.0].into_iter());
        let place = vast.windows(2).position(|text| text == b"(2").unwrap();
        vast[place..place + 2].copy_from_slice(b"(9");
        let error = parse(&vast[..], 8, 1 << 20).unwrap_err();
        assert_eq!(error, "the shape [9] is larger than the data");
        let error = parse(&vast[..], 1 << 20, 143).unwrap_err();
        assert_eq!(error, "the shape [9] takes 144 bytes of memory, where 143 bytes are left");
        let mut long = vast.clone();
        long[8..10].copy_from_slice(&[255, 255]);
        assert_eq!(parse(&long[..], 1 << 20, 1 << 20).unwrap_err(), "found a header of 65535 bytes");
        long[6] = 2;
        let length = u32::from_le_bytes(long[8..12].try_into().unwrap());
        let told = format!("found a header of {length} bytes");
        assert_eq!(parse(&long[..], 1 << 20, 1 << 20).unwrap_err(), told);
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
