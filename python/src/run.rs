//! Experiments: what they are, checking them and running them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holograd::data::{DataSpec, Dataset, Split};
use holograd::experiment::load::load_given;
use holograd::experiment::resume::Resumed;
use holograd::experiment::{self, Loaded, Memory, Options, RunFolder, drawing, library, manifest};
use holograd::files::{Tensors, parse_tensors, write_tensors};
use holograd::{Error, Result};
use nalgebra::DMatrix;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde_json::Value;

use crate::arrays::{self, ARGUMENTS, Given, check_finite, labels};
use crate::errors::Answer;
use crate::json;
use crate::work::{guarded, run as attended_run};

/// An experiment as Python gives it.
#[derive(FromPyObject)]
pub struct Described<'py> {
    /// Its name or path, or how messages call the document.
    #[pyo3(attribute("reference"))]
    reference: String,
    /// The experiment itself.
    #[pyo3(attribute("document"))]
    document: Option<Bound<'py, PyAny>>,
    /// Fields by their path.
    #[pyo3(attribute("fields"))]
    fields: Bound<'py, PyDict>,
    /// Arrays by the name that the document has for their file.
    #[pyo3(attribute("arrays"))]
    arrays: Bound<'py, PyDict>,
    /// Samples of one's own: inputs and labels to learn from and for the test, and the number of classes.
    #[pyo3(attribute("data"))]
    data: Option<Samples<'py>>,
    /// Where data sets are looked for first.
    #[pyo3(attribute("folder"))]
    folder: Option<PathBuf>,
}

/// x and y to learn from, x and y for the test, number of classes, shape of an image.
type Samples<'py> = (Part<'py>, Part<'py>, usize, Option<[usize; 3]>);
type Part<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

fn dataset(part: &str, (x, y): &Part<'_>, classes: usize) -> Answer<Dataset> {
    let (name, of_labels) = (format!("x_{part}"), format!("y_{part}"));
    let inputs = Given::<f32>::new(&name, x)?;
    check_finite(&name, inputs.shape(), inputs.numbers()?)?;
    let labels = labels(&of_labels, Given::<i64>::new(&of_labels, y)?.numbers()?, classes)?;
    let (samples, features) = (inputs.shape()[0], inputs.shape()[1]);
    let inputs = DMatrix::from_column_slice(features, samples, inputs.numbers()?);
    Ok(Dataset::new(inputs, labels, classes, "given"))
}

/// The same, without a tie to Python.
pub struct Request {
    reference: String,
    document: Option<Value>,
    fields: Vec<(String, Value)>,
    arrays: BTreeMap<String, Tensors>,
    given: Option<Arc<Split>>,
    folder: Option<PathBuf>,
}

impl Request {
    fn load(&self) -> Result<Loaded> {
        load_given(&self.reference, self.document.clone(), &self.fields, self.arrays.clone())
    }

    fn options(&self) -> Options {
        Options { data: self.folder.clone(), given: self.given.clone(), ..Options::default() }
    }
}

impl Described<'_> {
    pub fn load(&self) -> Answer<(Loaded, Options)> {
        let request = self.read()?;
        Ok((request.load()?, request.options()))
    }

    fn read(&self) -> Answer<Request> {
        let reference = self.reference.clone();
        let document = self.document.as_ref().map(|any| json::value(any, &reference)).transpose()?;
        let mut fields = Vec::new();
        for (path, any) in &self.fields {
            let path: String = path.extract()?;
            let value = json::value(&any, &format!("the override `{path}`"))?;
            fields.push((path, value));
        }
        let mut given = None;
        if let Some((train, test, classes, image)) = &self.data {
            let (train, test) = (dataset("train", train, *classes)?, dataset("test", test, *classes)?);
            let split = Split { train, test, folder: None };
            let spec = DataSpec::given(&split, *image);
            let spec = serde_json::to_value(&spec).map_err(|e| Error::Internal(e.to_string()))?;
            fields.push(("data".to_owned(), spec));
            given = Some(Arc::new(split));
        }
        let mut arrays = BTreeMap::new();
        for (name, dict) in &self.arrays {
            arrays.insert(name.extract::<String>()?, arrays::tensors(dict.cast::<PyDict>()?)?);
        }
        Ok(Request { reference, document, fields, arrays, given, folder: self.folder.clone() })
    }
}

/// The experiment as a dict, every default written out.
#[pyfunction]
pub fn resolved<'py>(py: Python<'py>, described: Described<'py>) -> Answer<Bound<'py, PyAny>> {
    guarded(|| {
        let (loaded, _) = described.load()?;
        let value = serde_json::to_value(&loaded.experiment).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(json::python(py, &value)?)
    })
}

/// What an experiment takes, if it is legal, and what is to be said against it.
#[pyfunction]
pub fn check(described: Described<'_>) -> Answer<(String, Vec<String>)> {
    guarded(|| {
        let (loaded, options) = described.load()?;
        let cost = loaded.afford(&options, Path::new("."))?;
        Ok((cost.to_string(), loaded.warnings()))
    })
}

/// Runs an experiment into a folder, whose path is returned, or into memory: then its files are, with the lines that sum it up.
#[pyfunction]
#[pyo3(signature = (described, out, numbered, progress))]
pub fn run<'py>(
    py: Python<'py>,
    described: Described<'py>,
    out: Option<PathBuf>,
    numbered: bool,
    progress: Option<Py<PyAny>>,
) -> Answer<(Option<PathBuf>, Bound<'py, PyDict>, Vec<String>)> {
    guarded(|| {
        let (loaded, options) = described.load()?;
        loaded.afford(&options, out.as_deref().unwrap_or(Path::new(".")))?;
        let (path, files, lines) = attended_run(py, progress, || match (&out, numbered) {
            (None, false) => in_memory(&loaded, &options),
            (Some(path), _) => {
                in_folder(&loaded, RunFolder::create(path, command(&loaded), &loaded)?, &options)
            }
            (None, true) => in_folder(&loaded, RunFolder::numbered(command(&loaded), &loaded)?, &options),
        })?;
        Ok((path, bytes(py, files)?, lines))
    })
}

/// Continues a run in its folder; `fields` may ask for more epochs. Without anything left to do nothing is done.
#[pyfunction]
#[pyo3(signature = (path, described, progress))]
pub fn resume(
    py: Python<'_>,
    path: PathBuf,
    described: Described<'_>,
    progress: Option<Py<PyAny>>,
) -> Answer<Vec<String>> {
    guarded(|| {
        let request = described.read()?;
        attended_run(py, progress, || {
            let resumed = Resumed::new(&path, |_| request.load())?;
            if resumed.is_complete() {
                return Ok(Vec::new());
            }
            let options = Options { resume: true, ..request.options() };
            resumed.loaded.afford(&options, &path)?;
            let folder = resumed.folder(&path, command(&resumed.loaded))?;
            in_folder(&resumed.loaded, folder, &options).map(|(_, _, lines)| lines)
        })
    })
}

type Outcome = (Option<PathBuf>, Vec<(String, Vec<u8>)>, Vec<String>);

fn in_memory(loaded: &Loaded, options: &Options) -> Result<Outcome> {
    let mut memory = Memory::default();
    let lines = loaded.run(&mut memory, options)?;
    Ok((None, memory.files(loaded)?, lines))
}

fn in_folder(loaded: &Loaded, mut folder: RunFolder, options: &Options) -> Result<Outcome> {
    let lines = match loaded.run(&mut folder, options) {
        Ok(lines) => lines,
        Err(error) => {
            if error.exit_code() == 2 {
                folder.discard();
            }
            return Err(error);
        }
    };
    drawing::draw(folder.path())?;
    folder.finish()?;
    Ok((Some(folder.path().to_owned()), Vec::new(), lines))
}

/// What a manifest says of how the run began.
fn command(loaded: &Loaded) -> Vec<String> {
    vec!["holograd.run".to_owned(), loaded.origin.display()]
}

fn bytes(py: Python<'_>, files: Vec<(String, Vec<u8>)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, contents) in files {
        dict.set_item(name, PyBytes::new(py, &contents))?;
    }
    Ok(dict)
}

/// Draws the figures of the run in a folder.
#[pyfunction]
pub fn draw(py: Python<'_>, folder: PathBuf) -> Answer<()> {
    guarded(|| attended_run(py, None, || drawing::draw(&folder)))
}

/// Writes the manifest of a folder that holds the files of a complete run.
#[pyfunction]
pub fn complete(folder: PathBuf, seconds: f64, seed: u64) -> Answer<()> {
    guarded(|| Ok(manifest::complete(&folder, seconds, &["holograd.run".to_owned()], seed)?))
}

/// Compares a folder with its manifest: how many files are sound, and the names of those that are changed, missing, added.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a tuple for Python")]
pub fn verify(folder: PathBuf) -> Answer<(usize, Vec<String>, Vec<String>, Vec<String>)> {
    guarded(|| {
        let manifest::Findings { sound, changed, missing, added } = manifest::verify(&folder)?;
        Ok((sound, changed, missing, added))
    })
}

/// The arrays and the metadata of a safetensors file.
#[pyfunction]
pub fn read_tensors<'py>(
    py: Python<'py>,
    file: &str,
    bytes: &[u8],
) -> Answer<(Bound<'py, PyDict>, BTreeMap<String, String>)> {
    guarded(|| {
        let tensors = parse_tensors(file, bytes)?;
        Ok((arrays::named(py, &tensors)?, tensors.metadata.clone()))
    })
}

/// Writes a safetensors file.
#[pyfunction]
pub fn save_tensors(path: PathBuf, dict: &Bound<'_, PyDict>) -> Answer<()> {
    guarded(|| Ok(write_tensors(path, &arrays::tensors(dict)?)?))
}

/// The names of all shipped experiments, with their descriptions.
#[pyfunction]
pub fn experiments() -> Answer<Vec<(String, String)>> {
    let described = |name: String| {
        let text = library::file(&format!("experiments/{name}.json")).unwrap_or_default();
        let value: Value = serde_json::from_slice(text).map_err(|e| Error::Internal(e.to_string()))?;
        let description = value["description"].as_str().unwrap_or_default().to_owned();
        Ok::<_, Error>((name, description))
    };
    Ok(library::experiments().into_iter().map(described).collect::<Result<_>>()?)
}

/// The names of all shipped models.
#[pyfunction]
pub fn models() -> Vec<String> {
    library::models()
}

/// The samples of a data set: x and y to learn from, x and y for the test.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a tuple for Python")]
pub fn data<'py>(
    py: Python<'py>,
    described: Described<'py>,
) -> Answer<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    guarded(|| {
        let (loaded, options) = described.load()?;
        let Some(spec) = loaded.experiment.kind().data() else {
            let found = format!("found an experiment of kind `{}`", loaded.experiment.name());
            return Err(Error::input(ARGUMENTS, "data", found, "one that learns from data").into());
        };
        let lookup = experiment::problem::lookup(&loaded.origin, &options);
        let seed = loaded.experiment.kind().seed();
        let split = attended_run(py, None, || spec.load(seed, &lookup))?;
        let of = |dataset: &Dataset| -> PyResult<_> {
            let x = arrays::transposed(py, dataset.inputs().into_owned())?;
            let y: Vec<i64> = dataset.labels.iter().map(|label| i64::from(*label)).collect();
            let count = y.len();
            Ok((x, arrays::array(py, &[count], y)?))
        };
        let ((x, y), (x_test, y_test)) = (of(&split.train)?, of(&split.test)?);
        Ok((x, y, x_test, y_test))
    })
}
