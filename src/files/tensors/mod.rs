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

    /// The same arrays, as errors are to name them.
    #[must_use]
    pub fn called(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
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
        return Err(Error::memory(&file, "", found, legal));
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
mod tests;
