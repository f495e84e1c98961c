//! One's own samples: arrays of inputs and labels in files of NumPy or safetensors, or tables.

use std::path::{Path, PathBuf};

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::digits::check_fraction;
use super::files::{Lookup, no_such_folder};
use super::{Dataset, Shape, Split, held_back};
use crate::error::Invalid;
use crate::files::{self, Array, Tensors, Values, parse_csv, read_numpy, read_tensors};
use crate::{Error, Result};

/// Part of the samples that is held back where there are none for the test.
const TEST_FRACTION: f64 = 0.2;

/// Settings of one's own samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrayFiles {
    /// The folder of the files, relative to the experiment file.
    pub folder: PathBuf,
    /// The samples to learn from: a `.npz` or `.safetensors` file with arrays `x` and `y`, a `.csv` file, or a pair of `.npy` files.
    pub train: SampleFiles,
    /// The samples for the test, in the same way; without them a part of the others is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<SampleFiles>,
    /// Part of the samples that is held back for the test where `test` names none; which ones is drawn from the seed. Null stands for
    /// 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub test_fraction: Option<f64>,
    /// How many classes there are; null for one more than the largest label to learn from, or as many as one-hot labels have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub classes: Option<usize>,
}

/// Where samples are: one file, or one of inputs and one of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "expected the name of a file, or {\"x\": FILE, \"y\": FILE}")]
pub enum SampleFiles {
    /// A file with both.
    File(String),
    /// A file of each.
    Pair(SamplePair),
}

/// A file of inputs and one of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplePair {
    /// The inputs, a `.npy` file.
    pub x: String,
    /// The labels, a `.npy` file.
    pub y: String,
}

/// Samples of a file.
struct Read {
    inputs: DMatrix<f32>,
    image: Option<[usize; 3]>,
    labels: Labels,
    /// What tells of the labels: a file, and its array.
    place: (String, String),
}

/// Labels as files have them.
enum Labels {
    Classes(Vec<i64>),
    /// Of so many classes.
    OneHot(Vec<i64>, usize),
}

impl ArrayFiles {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        if let (Some(fraction), Some(_)) = (self.test_fraction, &self.test) {
            let legal = "one of `test` and `test_fraction`";
            return Err(Invalid::new("test_fraction", format!("found {fraction} beside `test`"), legal));
        }
        if let Some(classes @ (0 | 1)) = self.classes {
            return Err(Invalid::new("classes", format!("found {classes}"), "at least 2"));
        }
        check_fraction(self.test_fraction.unwrap_or(TEST_FRACTION))
    }

    pub(super) fn shape(&self, lookup: &Lookup) -> Result<Shape> {
        let (train, _, classes) = self.read(lookup)?;
        Ok(Shape { inputs: train.inputs.nrows(), image: train.image, classes })
    }

    pub(super) fn counts(&self, lookup: &Lookup) -> Result<(usize, usize)> {
        let (train, test, _) = self.read(lookup)?;
        let count = train.inputs.ncols();
        Ok(match test {
            Some(test) => (count, test.inputs.ncols()),
            None => {
                let test = held_back(count, self.test_fraction.unwrap_or(TEST_FRACTION));
                (count - test, test)
            }
        })
    }

    pub(super) fn load(&self, seed: u64, lookup: &Lookup) -> Result<Split> {
        let (train, test, classes) = self.read(lookup)?;
        let folder = Some(lookup.folder_of_experiment.join(&self.folder));
        let train = train.dataset(classes)?;
        match test {
            Some(test) => Ok(Split { train, test: test.dataset(classes)?, folder }),
            None => {
                let fraction = self.test_fraction.unwrap_or(TEST_FRACTION);
                Ok(Split { folder, ..Split::shuffled(&train, fraction, seed) })
            }
        }
    }

    /// Both parts, and how many classes there are.
    fn read(&self, lookup: &Lookup) -> Result<(Read, Option<Read>, usize)> {
        let folder = lookup.folder_of_experiment.join(&self.folder);
        if !folder.is_dir() {
            return Err(no_such_folder(&folder));
        }
        let train = self.train.read(&folder)?;
        let test = self.test.as_ref().map(|test| test.read(&folder)).transpose()?;
        if self.test.is_none() && train.inputs.ncols() < 2 {
            let legal = "at least two, of which one is held back for the test";
            return Err(Error::input(&train.place.0, &train.place.1, "found one sample", legal));
        }
        if let Some(test) = test
            .as_ref()
            .filter(|test| test.inputs.nrows() != train.inputs.nrows() || test.image != train.image)
        {
            let told = |part: &Read| match part.image {
                Some(shape) => format!("images of the shape {shape:?}"),
                None => format!("samples of {} inputs", part.inputs.nrows()),
            };
            let legal = format!("{}, as to learn from", told(&train));
            return Err(Error::input(&test.place.0, "x", format!("found {}", told(test)), legal));
        }
        let classes = match (&train.labels, self.classes) {
            (Labels::OneHot(_, own), Some(classes)) if *own != classes => {
                let found = format!("found one-hot labels of {own} classes");
                let (file, array) = &train.place;
                return Err(Error::input(file, array, found, format!("`classes` says {classes}")));
            }
            (_, Some(classes)) => classes,
            (Labels::OneHot(_, own), None) => *own,
            (Labels::Classes(labels), None) => {
                let largest = labels.iter().max().copied().unwrap_or(0);
                usize::try_from(largest).map_or(2, |largest| largest.saturating_add(1).max(2))
            }
        };
        Ok((train, test, classes))
    }
}

impl Read {
    fn dataset(self, classes: usize) -> Result<Dataset> {
        let (file, array) = &self.place;
        let (labels, own) = match self.labels {
            Labels::Classes(labels) => (labels, classes),
            Labels::OneHot(labels, own) => (labels, own),
        };
        let label = |(sample, label): (usize, i64)| match u32::try_from(label) {
            Ok(label) if (label as usize) < classes => Ok(label),
            _ => {
                let found = format!("the label of sample {sample} is {label}");
                let legal = format!(
                    "a label must lie between 0 and {}; `classes` may say that there are more",
                    own.min(classes) - 1
                );
                Err(Error::input(file, array, found, legal))
            }
        };
        let labels = labels.into_iter().enumerate().map(label).collect::<Result<Vec<u32>>>()?;
        Ok(Dataset::new(self.inputs, labels, classes, "files"))
    }
}

impl SampleFiles {
    fn read(&self, folder: &Path) -> Result<Read> {
        match self {
            Self::File(name) => {
                let path = folder.join(name);
                match extension(&path) {
                    "npz" => samples(read_numpy(&path)?),
                    "safetensors" => samples(read_tensors(&path)?),
                    "csv" => table(&path),
                    "npy" => {
                        let legal = "a pair of them: {\"x\": FILE, \"y\": FILE}";
                        Err(Error::input(path.display().to_string(), "", "found one array alone", legal))
                    }
                    _ => Err(unknown(&path, ".npz, .safetensors or .csv, or a pair of .npy files")),
                }
            }
            Self::Pair(SamplePair { x, y }) => {
                let [x, y] = [x, y].map(|name| {
                    let path = folder.join(name);
                    if extension(&path) != "npy" {
                        return Err(unknown(&path, ".npy in a pair"));
                    }
                    Ok((path.display().to_string(), read_numpy(&path)?))
                });
                let ((file_x, x), (file_y, y)) = (x?, y?);
                let [x, y] = [(&file_x, &x), (&file_y, &y)].map(|(file, arrays)| {
                    let only = arrays.names().next().and_then(|name| arrays.get(name));
                    only.ok_or_else(|| Error::Internal(format!("{file}: no array")))
                });
                of_arrays((&file_x, "", x?), (&file_y, "", y?))
            }
        }
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn unknown(path: &Path, legal: &str) -> Error {
    let found = format!("found a file that ends in `.{}`", extension(path));
    Error::input(path.display().to_string(), "", found, format!("a file that ends in {legal}"))
}

/// The arrays `x` and `y` of a file.
fn samples(tensors: Tensors) -> Result<Read> {
    let named = |name: &str| {
        tensors.get(name).ok_or_else(|| {
            let names: Vec<String> = tensors.names().map(|name| format!("`{name}`")).collect();
            let found = format!("there is no array `{name}`; the file holds {}", names.join(", "));
            Error::input(tensors.file(), "", found, "inputs are called `x`, labels `y`")
        })
    };
    let (x, y) = (named("x")?, named("y")?);
    if let Some(other) = tensors.names().find(|name| !["x", "y"].contains(name)) {
        let found = format!("found an array `{other}`");
        return Err(Error::input(
            tensors.file(),
            other,
            found,
            "inputs `x` and labels `y`, and nothing else",
        ));
    }
    of_arrays((tensors.file(), "x", x), (tensors.file(), "y", y))
}

/// Samples of an array of inputs and one of labels, each with its file and name.
fn of_arrays(
    (file, name, x): (&str, &str, &Array),
    (file_y, name_y, y): (&str, &str, &Array),
) -> Result<Read> {
    let (samples, image) = match x.shape[..] {
        [samples, inputs] if samples > 0 && inputs > 0 => (samples, None),
        [samples, height, width, channels] if samples * height * width * channels > 0 => {
            (samples, Some([height, width, channels]))
        }
        _ => {
            let found = format!("found inputs of the shape {:?}", x.shape);
            return Err(Error::input(
                file,
                name,
                found,
                "[samples, inputs], or [samples, height, width, channels]",
            ));
        }
    };
    let features = x.values.len() / samples;
    let numbers: Vec<f32> = match &x.values {
        Values::F32(values) => values.clone(),
        Values::F64(values) => values.iter().map(|x| *x as f32).collect(),
        Values::Integer(_) => {
            let legal = "numbers of float32 or float64; pixels from 0 to 255 are divided by 255";
            return Err(Error::input(file, name, "found inputs that are integers", legal));
        }
    };
    if let Some(place) = numbers.iter().position(|x| !x.is_finite()) {
        let found =
            format!("input {} of sample {} is {}", place % features, place / features, numbers[place]);
        return Err(Error::input(file, name, found, "every input must be finite in single precision"));
    }
    let labels = labels((file_y, name_y, y), samples)?;
    let place = (file_y.to_owned(), name_y.to_owned());
    Ok(Read { inputs: DMatrix::from_vec(features, samples, numbers), image, labels, place })
}

/// Labels of so many samples: class indices, or rows of which one is one.
fn labels((file, name, y): (&str, &str, &Array), samples: usize) -> Result<Labels> {
    let refuse = |found: String, legal: &str| Err(Error::input(file, name, found, legal));
    match (&y.shape[..], &y.values) {
        ([count, ..], _) if *count != samples => {
            refuse(format!("found {count} labels"), &format!("there are {samples} samples"))
        }
        ([_], Values::Integer(classes)) => Ok(Labels::Classes(classes.clone())),
        ([_], Values::F32(_) | Values::F64(_)) => {
            refuse("found labels that are no integers".into(), "class indices from 0 on, as int64")
        }
        ([_, classes], values) if *classes > 1 => {
            let numbers: Vec<f64> = match values {
                Values::F32(values) => values.iter().map(|x| f64::from(*x)).collect(),
                Values::F64(values) => values.clone(),
                Values::Integer(values) => values.iter().map(|x| *x as f64).collect(),
            };
            let hot = |(sample, row): (usize, &[f64])| {
                let ones = row.iter().filter(|x| **x == 1.0).count();
                let zeros = row.iter().filter(|x| **x == 0.0).count();
                match row.iter().position(|x| *x == 1.0) {
                    Some(class) if ones == 1 && ones + zeros == row.len() => Ok(class as i64),
                    _ => {
                        let found = format!("the row of sample {sample} is not one-hot");
                        Err(Error::input(
                            file,
                            name,
                            found,
                            "a single 1 among zeros, or class indices [samples]",
                        ))
                    }
                }
            };
            let classes_of = numbers.chunks(*classes).enumerate().map(hot).collect::<Result<_>>()?;
            Ok(Labels::OneHot(classes_of, *classes))
        }
        (shape, _) => {
            refuse(format!("found labels of the shape {shape:?}"), "[samples], or one-hot [samples, classes]")
        }
    }
}

/// A table whose rows are samples: inputs, then the label.
fn table(path: &Path) -> Result<Read> {
    let file = path.display().to_string();
    let rows = parse_csv(&file, &files::read_bytes(path)?)?;
    let columns = rows.first().map_or(0, Vec::len);
    if columns < 2 {
        let found = if rows.is_empty() { "found no rows" } else { "found rows of one number" };
        return Err(Error::input(file, "", found, "a row is a sample: its inputs, then its label"));
    }
    let mut classes = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let label = row[columns - 1];
        if label.fract() != 0.0 || label.abs() > 1e9 {
            let found = format!("the last number is {label}");
            let legal = "the last number of a row is its label, a class index from 0 on";
            return Err(Error::input(file, format!("row {}", place + 1), found, legal));
        }
        classes.push(label as i64);
    }
    let numbers: Vec<f32> = rows.iter().flat_map(|row| &row[..columns - 1]).map(|x| *x as f32).collect();
    let inputs = Array { shape: vec![rows.len(), columns - 1], values: Values::F32(numbers) };
    let labels = Array { shape: vec![rows.len()], values: Values::Integer(classes) };
    of_arrays((&file, "", &inputs), (&file, "", &labels))
}

#[cfg(test)]
mod tests;
