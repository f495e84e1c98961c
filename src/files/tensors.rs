//! Named arrays in one file: safetensors, the form of parameter, gradient, state and batch files.
//!
//! On disk arrays are row-major; a weight is `[to, from]`. In memory a matrix is `nalgebra`'s, column-major.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use nalgebra::{DMatrix, DVector};
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::{Map, Value, json};

use crate::host::machine;
use crate::numerics::scalar::Scalar;
use crate::{Error, Result};

/// The numbers of an [`Array`], in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Integers of any width that fits.
    Integer(Vec<i64>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Integer(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
            Self::Integer(_) => Dtype::I64,
        }
    }
}

/// An array: its shape and its numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes, slowest axis first; empty for a single number.
    pub shape: Vec<usize>,
    /// As many numbers as the product of the shape.
    pub values: Values,
}

/// Named arrays, in the order of their names, from or for one file.
///
/// Every typed access notes the name as used, so that [`Tensors::refuse_unused`] can find what nobody asked for.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    file: String,
    arrays: BTreeMap<String, Array>,
    used: BTreeSet<String>,
    /// Free text that travels with the arrays.
    pub metadata: BTreeMap<String, String>,
}

impl Tensors {
    /// An empty collection, to be filled and written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file that the arrays come from, as errors name it; empty for a new collection.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// The array of that name, as stored.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The names that no typed access has asked for, sorted.
    #[must_use]
    pub fn unused(&self) -> Vec<&str> {
        self.names().filter(|name| !self.used.contains(*name)).collect()
    }

    /// Refuses a file that holds more than what was asked for; a misspelt name is not passed over in silence.
    ///
    /// # Errors
    /// [`Error::Input`] that names the unknown and the known arrays.
    pub fn refuse_unused(&self) -> Result<()> {
        let unused = self.unused();
        if unused.is_empty() {
            return Ok(());
        }
        let known: Vec<&str> = self.used.iter().map(String::as_str).collect();
        let found =
            format!("unknown {} {}", if unused.len() == 1 { "array" } else { "arrays" }, quoted(&unused));
        Err(Error::input(&self.file, "", found, format!("the known ones here are {}", quoted(&known))))
    }

    /// The array `[rows, columns]` of that name as a matrix.
    ///
    /// # Errors
    /// [`Error::Input`] if it is absent, has another shape, holds integers, or an entry is not finite in `T`.
    pub fn matrix<T: Scalar>(&mut self, name: &str, [rows, columns]: [usize; 2]) -> Result<DMatrix<T>> {
        let values = self.reals(name, &[rows, columns])?;
        Ok(DMatrix::from_row_slice(rows, columns, &values))
    }

    /// The array `[length]` of that name as a column.
    ///
    /// # Errors
    /// As [`Tensors::matrix`].
    pub fn vector<T: Scalar>(&mut self, name: &str, length: usize) -> Result<DVector<T>> {
        Ok(DVector::from_vec(self.reals(name, &[length])?))
    }

    /// The numbers of the array of that name, row-major, when it has exactly that shape.
    ///
    /// # Errors
    /// As [`Tensors::matrix`].
    pub fn reals<T: Scalar>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let array = self.shaped(name, shape)?;
        let converted: Vec<T> = match &array.values {
            Values::F32(values) => values.iter().map(|&x| T::of(f64::from(x))).collect(),
            Values::F64(values) => values.iter().map(|&x| T::of(x)).collect(),
            Values::Integer(_) => {
                return Err(self.refuse(name, "found integers", "it must hold F32 or F64 numbers"));
            }
        };
        match converted.iter().position(|x| !x.is_finite()) {
            None => Ok(converted),
            Some(at) => {
                let stored = match &array.values {
                    Values::F32(values) => f64::from(values[at]),
                    Values::F64(values) => values[at],
                    Values::Integer(values) => values[at] as f64,
                };
                let found = format!("entry {:?} is {stored:e}", index_of(at, shape));
                let legal = if stored.is_finite() {
                    let precision = if T::NAME == f32::NAME { "single" } else { "double" };
                    format!("it must lie within the range of {precision} precision")
                } else {
                    "every entry must be finite".to_owned()
                };
                Err(self.refuse(name, found, legal))
            }
        }
    }

    /// The integers of the array of that name, row-major, when it has exactly that shape.
    ///
    /// # Errors
    /// [`Error::Input`] if it is absent, has another shape or holds no integers.
    pub fn integers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        match &self.shaped(name, shape)?.values {
            Values::Integer(values) => Ok(values.clone()),
            other => {
                let found = format!("found {:?} numbers", other.dtype());
                Err(self.refuse(name, found, "it must hold integers, of 8 to 64 bits"))
            }
        }
    }

    /// The class of every sample: integers `[samples]`, each below `classes`.
    ///
    /// # Errors
    /// As [`Tensors::integers`]; and if a label is negative or too large.
    pub fn labels(&mut self, name: &str, samples: usize, classes: usize) -> Result<Vec<u32>> {
        let integers = self.integers(name, &[samples])?;
        let label = |(at, &value): (usize, &i64)| match u32::try_from(value) {
            Ok(label) if (label as usize) < classes => Ok(label),
            _ => {
                let legal = format!("a label must lie between 0 and {}", classes.saturating_sub(1));
                Err(self.refuse(name, format!("entry [{at}] is {value}"), legal))
            }
        };
        integers.iter().enumerate().map(label).collect()
    }

    /// Adds the row-major numbers of an array.
    ///
    /// # Panics
    /// If `values` has not as many entries as `shape` says.
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], values: Values) {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "entries against shape {shape:?}");
        self.arrays.insert(name.into(), Array { shape: shape.to_vec(), values });
    }

    /// Adds row-major numbers in the precision of `T`.
    ///
    /// # Panics
    /// If `values` has not as many entries as `shape` says.
    pub fn insert_reals<T: Scalar>(&mut self, name: impl Into<String>, shape: &[usize], values: &[T]) {
        let values = if T::NAME == f32::NAME {
            Values::F32(values.iter().map(|x| x.double() as f32).collect())
        } else {
            Values::F64(values.iter().map(|x| x.double()).collect())
        };
        self.insert(name, shape, values);
    }

    /// Adds a matrix as `[rows, columns]` in the precision of `T`.
    pub fn insert_matrix<T: Scalar>(&mut self, name: impl Into<String>, matrix: &DMatrix<T>) {
        let row_major = matrix.transpose();
        self.insert_reals(name, &[matrix.nrows(), matrix.ncols()], row_major.as_slice());
    }

    fn shaped(&mut self, name: &str, shape: &[usize]) -> Result<&Array> {
        self.used.insert(name.to_owned());
        let Some(array) = self.arrays.get(name) else {
            let present: Vec<&str> = self.names().collect();
            let found = format!("there is no array `{name}`");
            return Err(Error::input(&self.file, "", found, format!("the file holds {}", quoted(&present))));
        };
        if array.shape == shape {
            return Ok(array);
        }
        let found = format!("found the shape {:?}", array.shape);
        Err(self.refuse(name, found, format!("the expected shape is {shape:?}")))
    }

    /// The refusal of one entry of an array that has been read, counted row-major.
    #[must_use]
    pub fn refuse_entry(&self, name: &str, place: usize, legal: &str) -> Error {
        let shape = self.get(name).map_or(&[][..], |array| &array.shape);
        self.refuse(name, format!("entry {:?} is not zero", index_of(place, shape)), legal)
    }

    fn refuse(&self, name: &str, found: impl Into<String>, legal: impl Into<String>) -> Error {
        Error::input(&self.file, name, found, legal)
    }

    /// The bytes of the file: the same arrays and metadata always give the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Written here, not by the `safetensors` crate, whose metadata come in the random order of a hash map.
        // Wide types first, then by name: every array stays aligned to its own width.
        let mut order: Vec<(&String, &Array)> = self.arrays.iter().collect();
        order.sort_by_key(|(_, array)| array.values.dtype() == Dtype::F32);
        let mut header = Map::new();
        if !self.metadata.is_empty() {
            header.insert("__metadata__".to_owned(), json!(self.metadata));
        }
        let mut data = Vec::new();
        for (name, Array { shape, values }) in order {
            let start = data.len();
            match values {
                Values::F32(values) => values.iter().for_each(|x| data.extend(x.to_le_bytes())),
                Values::F64(values) => values.iter().for_each(|x| data.extend(x.to_le_bytes())),
                Values::Integer(values) => values.iter().for_each(|x| data.extend(x.to_le_bytes())),
            }
            let entry = json!({
                "dtype": format!("{:?}", values.dtype()),
                "shape": shape,
                "data_offsets": [start, data.len()],
            });
            header.insert(name.clone(), entry);
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut text);
        bytes.append(&mut data);
        bytes
    }
}

/// Reads a safetensors file with arrays of F32, F64 or integers. No more is read than its header announces.
///
/// # Errors
/// [`Error::Input`] that names the file and says why: missing, truncated, a bad header, a type that is not supported, or more than
/// there is memory for.
pub fn read_tensors(path: impl AsRef<Path>) -> Result<Tensors> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let refuse = |found: String| Error::input(&file, "", found, NEEDED);
    let refused = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
    let mut stream = File::open(path).map_err(refused)?;
    let metadata = stream.metadata().map_err(refused)?;
    let mut bytes = Vec::new();
    stream.by_ref().take(8).read_to_end(&mut bytes).map_err(refused)?;
    let Some(&length) = bytes.first_chunk::<8>() else { return parse_tensors(&file, &bytes) };
    let length = u64::from_le_bytes(length);
    if length > MOST_HEADER {
        return Err(refuse(reason(&bytes, &SafeTensorError::HeaderTooLarge)));
    }
    stream.by_ref().take(length).read_to_end(&mut bytes).map_err(refused)?;
    let Ok(header) = serde_json::from_slice::<Metadata>(&bytes[8..]) else {
        return Err(parse_tensors(&file, &bytes)
            .err()
            .unwrap_or_else(|| refuse("the header is bad".to_owned())));
    };
    let data = header.data_len() as u64;
    let whole = data.saturating_add(8 + length);
    if metadata.is_file() && metadata.len() != whole {
        return Err(refuse(unlike_header(metadata.len())));
    }
    // The bytes themselves, the numbers, and these in the precision that is asked for.
    let (needed, most) = (data.saturating_mul(3), machine::memory());
    let reserved = usize::try_from(data).ok().and_then(|data| bytes.try_reserve_exact(data).ok());
    if needed > most || reserved.is_none() {
        let found = format!("reading it takes {} of memory", machine::bytes(needed as f64));
        let legal = format!("this process may take {}", machine::bytes(most as f64));
        return Err(Error::input(&file, "", found, legal));
    }
    // One byte more shows whether a stream without a length goes on.
    stream.take(data.saturating_add(1)).read_to_end(&mut bytes).map_err(refused)?;
    parse_tensors(&file, &bytes)
}

/// Bytes of a header that this program reads; what it writes has a few thousand.
const MOST_HEADER: u64 = 16 << 20;
const NEEDED: &str = "a safetensors file with arrays of F32, F64 or integers is needed";

/// The same from bytes in memory; `file` is how errors name them.
///
/// # Errors
/// As [`read_tensors`].
pub fn parse_tensors(file: &str, bytes: &[u8]) -> Result<Tensors> {
    let refuse = |found: String| Error::input(file, "", found, NEEDED);
    if bytes.is_empty() {
        return Err(refuse("the file is empty".to_owned()));
    }
    let parsed = SafeTensors::deserialize(bytes).map_err(|error| refuse(reason(bytes, &error)))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| refuse(reason(bytes, &error)))?;
    let mut tensors = Tensors { file: file.to_owned(), ..Tensors::default() };
    tensors.metadata.extend(header.metadata().clone().unwrap_or_default());
    for (name, view) in parsed.iter() {
        let values =
            decode(view.dtype(), view.data()).map_err(|found| Error::input(file, name, found, NEEDED))?;
        tensors.arrays.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// Why the header was refused, with the sizes that the format's own message leaves out.
fn reason(bytes: &[u8], error: &SafeTensorError) -> String {
    use SafeTensorError::{HeaderTooLarge, HeaderTooSmall, InvalidHeaderLength, MetadataIncompleteBuffer};
    match error {
        HeaderTooSmall | InvalidHeaderLength => {
            format!("the file is truncated: its {} bytes end within the header", bytes.len())
        }
        HeaderTooLarge => {
            "this is no safetensors file: its first 8 bytes are not the length of a header".to_owned()
        }
        MetadataIncompleteBuffer => unlike_header(bytes.len() as u64),
        other => format!("the header is bad: {other}"),
    }
}

fn unlike_header(bytes: u64) -> String {
    format!("the file is truncated or has trailing bytes: its {bytes} bytes are not what its header says")
}

fn decode(dtype: Dtype, data: &[u8]) -> std::result::Result<Values, String> {
    macro_rules! numbers {
        ($type:ty) => {
            data.as_chunks::<{ size_of::<$type>() }>().0.iter().map(|bytes| <$type>::from_le_bytes(*bytes))
        };
    }
    Ok(match dtype {
        Dtype::F32 => Values::F32(numbers!(f32).collect()),
        Dtype::F64 => Values::F64(numbers!(f64).collect()),
        Dtype::I64 => Values::Integer(numbers!(i64).collect()),
        Dtype::I32 => Values::Integer(numbers!(i32).map(i64::from).collect()),
        Dtype::I16 => Values::Integer(numbers!(i16).map(i64::from).collect()),
        Dtype::I8 => Values::Integer(numbers!(i8).map(i64::from).collect()),
        Dtype::U8 => Values::Integer(numbers!(u8).map(i64::from).collect()),
        Dtype::U16 => Values::Integer(numbers!(u16).map(i64::from).collect()),
        Dtype::U32 => Values::Integer(numbers!(u32).map(i64::from).collect()),
        Dtype::U64 => {
            let signed = numbers!(u64)
                .map(|x| i64::try_from(x).map_err(|_| format!("found {x}, beyond 64 signed bits")));
            Values::Integer(signed.collect::<std::result::Result<_, _>>()?)
        }
        other => return Err(format!("found the type {other:?}")),
    })
}

/// Writes the arrays and metadata, atomically; the same content always gives the same bytes.
///
/// # Errors
/// [`Error::Io`] as [`write_atomically`](super::write_atomically).
pub fn write_tensors(path: impl AsRef<Path>, tensors: &Tensors) -> Result<()> {
    super::write_atomically(path, &tensors.to_bytes())
}

fn quoted(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The row-major position `at` as an index into `shape`.
fn index_of(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &size) in index.iter_mut().zip(shape).rev() {
        *place = at % size;
        at /= size;
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file in the making, written by the reference implementation of the format.
    fn reference(entries: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
        let views = entries.iter().map(|(name, dtype, shape, data)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, shape.to_vec(), data).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn le<const N: usize, T>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(bytes).collect()
    }

    fn f64s(values: &[f64]) -> Vec<u8> {
        le(values, |x| x.to_le_bytes())
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Input { .. }));
        error.to_string()
    }

    #[test]
    fn rows_on_disk_are_rows_in_memory() {
        let bytes = reference(&[
            ("a", Dtype::F64, &[2, 3], f64s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("b", Dtype::F32, &[2], le(&[0.5_f32, -1.5], |x| x.to_le_bytes())),
        ]);
        let mut tensors = parse_tensors("p", &bytes).unwrap();
        let a = tensors.matrix::<f32>("a", [2, 3]).unwrap();
        assert_eq!((a[(0, 1)], a[(1, 0)]), (2.0, 4.0));
        assert_eq!(tensors.unused(), ["b"]);
        assert_eq!(message(tensors.refuse_unused()), "p: unknown array `b`; the known ones here are `a`");
        assert_eq!(tensors.vector::<f64>("b", 2).unwrap().as_slice(), [0.5, -1.5]);
        tensors.refuse_unused().unwrap();
    }

    #[test]
    fn wrong_names_shapes_types_and_entries_are_refused() {
        let bytes = reference(&[
            ("w", Dtype::F64, &[2, 2], f64s(&[1.0, 2.0, f64::NAN, 1e300])),
            ("big", Dtype::F64, &[1], f64s(&[1e300])),
            ("y", Dtype::I32, &[3], le(&[0_i32, 4, -1], |x| x.to_le_bytes())),
        ]);
        let mut tensors = parse_tensors("p", &bytes).unwrap();
        assert_eq!(
            message(tensors.matrix::<f64>("w", [4, 1])),
            "p: at `w`: found the shape [2, 2]; the expected shape is [4, 1]"
        );
        assert_eq!(
            message(tensors.matrix::<f64>("w", [2, 2])),
            "p: at `w`: entry [1, 0] is NaN; every entry must be finite"
        );
        assert_eq!(
            message(tensors.vector::<f32>("big", 1)),
            "p: at `big`: entry [0] is 1e300; it must lie within the range of single precision"
        );
        assert_eq!(tensors.vector::<f64>("big", 1).unwrap()[0], 1e300);
        assert_eq!(
            message(tensors.vector::<f64>("v", 1)),
            "p: there is no array `v`; the file holds `big`, `w`, `y`"
        );
        assert_eq!(
            message(tensors.vector::<f64>("y", 3)),
            "p: at `y`: found integers; it must hold F32 or F64 numbers"
        );
        assert_eq!(
            message(tensors.integers("big", &[1])),
            "p: at `big`: found F64 numbers; it must hold integers, of 8 to 64 bits"
        );
        assert_eq!(
            message(tensors.labels("y", 3, 5)),
            "p: at `y`: entry [2] is -1; a label must lie between 0 and 4"
        );
        assert_eq!(
            message(tensors.labels("y", 3, 4)),
            "p: at `y`: entry [1] is 4; a label must lie between 0 and 3"
        );
    }

    #[test]
    fn integers_of_every_width_become_labels() {
        let entries: [(&str, Dtype, &[usize], Vec<u8>); 8] = [
            ("i64", Dtype::I64, &[2], le(&[3_i64, 200], |x| x.to_le_bytes())),
            ("i32", Dtype::I32, &[2], le(&[3_i32, 200], |x| x.to_le_bytes())),
            ("i16", Dtype::I16, &[2], le(&[3_i16, 200], |x| x.to_le_bytes())),
            ("i8", Dtype::I8, &[2], le(&[3_i8, 100], |x| x.to_le_bytes())),
            ("u64", Dtype::U64, &[2], le(&[3_u64, 200], |x| x.to_le_bytes())),
            ("u32", Dtype::U32, &[2], le(&[3_u32, 200], |x| x.to_le_bytes())),
            ("u16", Dtype::U16, &[2], le(&[3_u16, 200], |x| x.to_le_bytes())),
            ("u8", Dtype::U8, &[2], vec![3, 200]),
        ];
        let mut tensors = parse_tensors("p", &reference(&entries)).unwrap();
        for (name, ..) in &entries {
            let second = if *name == "i8" { 100 } else { 200 };
            assert_eq!(tensors.labels(name, 2, 256).unwrap(), [3, second], "{name}");
        }
    }

    #[test]
    fn bad_files_are_refused_with_their_reason() {
        let good = reference(&[("w", Dtype::F64, &[2], f64s(&[1.0, 2.0]))]);
        let needed = "; a safetensors file with arrays of F32, F64 or integers is needed";
        let check = |bytes: &[u8], found: &str| {
            assert_eq!(message(parse_tensors("p", bytes)), format!("p: {found}{needed}"));
        };
        check(b"", "the file is empty");
        check(&good[..5], "the file is truncated: its 5 bytes end within the header");
        check(&good[..20], "the file is truncated: its 20 bytes end within the header");
        let short = good.len() - 1;
        check(
            &good[..short],
            &format!(
                "the file is truncated or has trailing bytes: its {short} bytes are not what its header says"
            ),
        );
        check(
            b"PK\x03\x04 zip?",
            "this is no safetensors file: its first 8 bytes are not the length of a header",
        );
        check(
            b"\x02\0\0\0\0\0\0\0{]",
            "the header is bad: invalid JSON in header: key must be a string at line 1 column 2",
        );
        let half = reference(&[("h", Dtype::BF16, &[1], vec![0, 0])]);
        assert_eq!(message(parse_tensors("p", &half)), format!("p: at `h`: found the type BF16{needed}"));
        let huge = reference(&[("n", Dtype::U64, &[1], vec![255; 8])]);
        assert_eq!(
            message(parse_tensors("p", &huge)),
            format!("p: at `n`: found 18446744073709551615, beyond 64 signed bits{needed}")
        );
        let folder = tempfile::tempdir().unwrap();
        let absent = message(read_tensors(folder.path().join("absent.safetensors")));
        assert!(absent.contains("absent.safetensors: cannot be read: No such file"), "{absent}");
    }

    /// A file is read as far as its header says, and refused before that where it cannot be what it says.
    #[test]
    fn no_more_is_read_than_the_header_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.safetensors");
        let good = reference(&[("w", Dtype::F64, &[2], f64s(&[1.0, 2.0]))]);
        let write = |bytes: &[u8], length: u64| {
            std::fs::write(&path, bytes).unwrap();
            // A hole takes no disk.
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        };
        write(&good, good.len() as u64);
        assert_eq!(read_tensors(&path).unwrap().get("w"), parse_tensors("p", &good).unwrap().get("w"));
        write(&good, 1 << 40);
        let told = message(read_tensors(&path));
        assert!(told.contains("its 1099511627776 bytes are not what its header says"), "{told}");
        let vast = r#"{"w":{"dtype":"F64","shape":[137438953472],"data_offsets":[0,1099511627776]}}"#;
        let vast = [&(vast.len() as u64).to_le_bytes()[..], vast.as_bytes()].concat();
        write(&vast, vast.len() as u64 + (1 << 40));
        let told = message(read_tensors(&path));
        assert!(told.contains("reading it takes 3.0 TiB of memory; this process may take "), "{told}");
        #[cfg(unix)]
        assert!(message(read_tensors("/dev/zero")).contains("/dev/zero: the header is bad"));
        for length in [0, 5] {
            write(&good[..length], length as u64);
            let told = message(read_tensors(&path));
            assert!(
                told.contains(if length == 0 { "the file is empty" } else { "its 5 bytes end" }),
                "{told}"
            );
        }
    }

    #[test]
    fn bytes_depend_on_the_content_alone() {
        let build = |names: &[&str]| {
            let mut tensors = Tensors::new();
            for name in names {
                tensors.insert_reals(*name, &[1], &[1.0_f32]);
                tensors.metadata.insert((*name).to_owned(), "x".to_owned());
            }
            tensors.to_bytes()
        };
        assert_eq!(build(&["a", "b", "c", "d", "e"]), build(&["e", "c", "b", "d", "a"]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_reference_reads(
            (rows, columns, values) in (0_usize..5, 0_usize..5).prop_flat_map(|(rows, columns)| {
                (Just(rows), Just(columns), prop::collection::vec(-1e30..1e30_f64, rows * columns))
            }),
            text in ".{0,12}",
        ) {
            let wide = DMatrix::from_row_slice(rows, columns, &values);
            let narrow = wide.map(|x| x as f32);
            let mut tensors = Tensors::new();
            tensors.insert_matrix("wide", &wide);
            tensors.insert_matrix("narrow", &narrow);
            tensors.insert("label \"1\"", &[1], Values::Integer(vec![i64::MIN]));
            tensors.metadata.insert("note".to_owned(), text.clone());
            let bytes = tensors.to_bytes();

            let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
            prop_assert_eq!(&header.metadata().as_ref().unwrap()["note"], &text);
            let reference = SafeTensors::deserialize(&bytes).unwrap();
            prop_assert_eq!(reference.tensor("wide").unwrap().data(), f64s(&values));
            let expected: Vec<u8> = values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
            prop_assert_eq!(reference.tensor("narrow").unwrap().data(), expected);

            let mut read = parse_tensors("p", &bytes).unwrap();
            prop_assert_eq!(read.matrix::<f64>("wide", [rows, columns]).unwrap(), wide);
            prop_assert_eq!(read.matrix::<f32>("narrow", [rows, columns]).unwrap(), narrow);
            prop_assert_eq!(read.integers("label \"1\"", &[1]).unwrap(), vec![i64::MIN]);
            prop_assert_eq!(&read.metadata["note"], &text);
        }

        #[test]
        fn damaged_bytes_never_panic(at in 0_usize..200, value in any::<u8>(), keep in 0_usize..200) {
            let mut bytes = reference(&[
                ("w", Dtype::F64, &[2, 3], f64s(&[1.0; 6])),
                ("y", Dtype::U8, &[2], vec![1, 2]),
            ]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(keep.max(8));
            // Whatever comes out, it is a value or an error that names the file.
            if let Err(error) = parse_tensors("p", &bytes) {
                prop_assert!(error.to_string().starts_with("p: "));
            }
        }
    }
}
