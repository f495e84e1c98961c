//! From a name or path, with overrides, to a validated experiment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::spec::{Experiment, KINDS, ModelRef, Precision};
use super::{Options, cost, library, problem, sweep};
use crate::data::DataSpec;
use crate::error::{Error, Invalid, Result};
use crate::files::{self, Tensors, parse_tensors, read_tensors};
use crate::host::machine;
use crate::json::wording;
use crate::numerics::scalar::Scalar;
use crate::published::Published;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::{Edge, Network};

/// A file on disk, or one that ships inside the binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On disk.
    Disk(PathBuf),
    /// In the binary, by its path in the project.
    BuiltIn(String),
}

impl Origin {
    /// How messages name it.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Disk(path) => path.display().to_string(),
            Self::BuiltIn(path) => format!("built-in {path}"),
        }
    }

    /// The file that `path`, written in this one, means: one beside it. What does not ship with an experiment in the binary is
    /// looked for from the current directory.
    #[must_use]
    pub fn beside(&self, path: &str) -> Self {
        match self {
            Self::Disk(file) => Self::Disk(file.parent().unwrap_or(Path::new("")).join(path)),
            Self::BuiltIn(file) => {
                let mut parts: Vec<&str> = file.split('/').collect();
                parts.pop();
                for part in path.split('/') {
                    match part {
                        ".." => drop(parts.pop()),
                        "." => {}
                        part => parts.push(part),
                    }
                }
                let beside = parts.join("/");
                if library::file(&beside).is_some() { Self::BuiltIn(beside) } else { Self::Disk(path.into()) }
            }
        }
    }

    /// The folder that relative paths in it start from.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Disk(file) => file.parent().unwrap_or(Path::new("")).to_owned(),
            Self::BuiltIn(_) => PathBuf::from("."),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Disk(path) => files::read_document(path),
            Self::BuiltIn(path) => library::file(path).map(<[u8]>::to_vec).ok_or_else(|| {
                Error::input(self.display(), "", "no such file in the binary", "see `holograd list`")
            }),
        }
    }

    /// The arrays of a safetensors file.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn tensors(&self) -> Result<Tensors> {
        match self {
            Self::Disk(path) => read_tensors(path),
            Self::BuiltIn(_) => parse_tensors(&self.display(), &self.read()?),
        }
    }
}

/// A validated experiment with its network.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where it came from.
    pub origin: Origin,
    /// A short name: the file's, without folder and extension.
    pub name: String,
    /// The experiment, its model written out.
    pub experiment: Experiment,
    /// The model's instance.
    pub network: Arc<Network>,
}

/// Loads an experiment by path or by the name of a shipped one, applies `--set` overrides and validates it.
///
/// # Errors
/// [`Error::Input`] or [`Error::Io`], which name file, path and what is legal.
pub fn load(reference: &str, overrides: &[String]) -> Result<Loaded> {
    load_from(find(reference)?, overrides)
}

/// As [`load`], from where the experiment is known to be.
///
/// # Errors
/// As [`load`].
pub fn load_from(origin: Origin, overrides: &[String]) -> Result<Loaded> {
    let mut value = parse_json(&origin)?;
    for text in overrides {
        apply_override(&mut value, text, &origin)?;
    }
    overrides.iter().try_for_each(|text| sweep::refuse_idle_override(&value, text))?;
    let file = origin.display();
    let mut experiment = parse_experiment(value, &file)?;
    experiment.kind_mut().resolve(&origin)?;
    // The run folder, where this is written, lies elsewhere.
    if let Some(folder) = experiment.data_mut().and_then(DataSpec::folder_mut) {
        *folder = absolute(&origin, folder)?;
    }
    let network = resolve_model(experiment.kind_mut().model_mut(), &origin)?;
    experiment.kind().validate(&network).map_err(|invalid| invalid.in_file(&file))?;
    if let Some(path) = experiment.kind_mut().published_mut() {
        read_published(&origin, path)?;
    }
    let stem = match &origin {
        Origin::Disk(path) => path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
        Origin::BuiltIn(path) => path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json").to_owned(),
    };
    Ok(Loaded { origin, name: stem, experiment, network: Arc::new(network) })
}

/// The place of a file or folder that is named in `origin`, whatever the current directory.
pub(super) fn absolute(origin: &Origin, path: &Path) -> Result<PathBuf> {
    let path = origin.folder().join(path);
    let whole = std::path::absolute(&path).map_err(|e| Error::io(&path, "find", e))?;
    if whole.to_str().is_none() {
        let legal = "experiments are kept as JSON, which is UTF-8: rename the folder, or name the data by --data alone";
        return Err(Error::input(whole.display().to_string(), "", "found a path that is not UTF-8", legal));
    }
    Ok(whole)
}

impl Loaded {
    /// What is legal, and yet will hardly be meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let rates = match &self.experiment {
            Experiment::Train(spec) => Some(&spec.learning_rates),
            Experiment::Continuous(spec) => Some(&spec.learning_rates),
            // No gradient is taken there.
            Experiment::Trace(_) | Experiment::Relaxation(_) | Experiment::Stability(_) => return Vec::new(),
            _ => None,
        };
        untaught(&self.network, |name| {
            rates.and_then(|rates| rates.get(name)).is_none_or(|rate| *rate != 0.0)
        })
    }
}

/// Warnings of layers that something trains, by the names that learning rates have, but that nothing teaches.
fn untaught(network: &Network, trains: impl Fn(&str) -> bool) -> Vec<String> {
    let output = &network.layers[network.output.layer()].name;
    let warn = |index: usize| {
        let layer = &network.layers[index];
        let learns = |edge: &&Edge| {
            trains(network.shapes()[edge.weight].name.trim_end_matches(".weight")) && edge.to == index
        };
        let trained =
            network.edges.iter().any(|edge| learns(&edge)) || layer.bias.is_some() && trains(&layer.name);
        trained.then(|| {
            format!(
                "layer `{}` receives no teaching signal: no connection leads back to it from the output, `{output}`, and what \
                 feeds it learns nothing; give the connections between them a `feedback`, or a learning rate of 0 to what \
                 is not meant to learn",
                layer.name
            )
        })
    };
    network.untaught().into_iter().filter_map(warn).collect()
}

/// Finds in a file of either kind, with its overrides, all that would stop a run; returns what it is, and what it takes. Nothing
/// large is built for it.
///
/// # Errors
/// As [`load`]; and as a run in the current directory.
pub fn check(reference: &str, overrides: &[String], options: &Options) -> Result<String> {
    let origin = find(reference)?;
    let mut value = parse_json(&origin)?;
    if value.get("kind").is_some() || !value.get("layers").is_some_and(Value::is_array) {
        let loaded = load(reference, overrides)?;
        let mut spec = loaded.experiment.clone();
        let files: Vec<String> = spec.kind_mut().files_mut().into_iter().map(|path| path.clone()).collect();
        // Refused before its parameters are read, which may be large.
        let cost = cost::afford(&loaded, options, Path::new("."))?;
        match loaded.experiment.precision() {
            Precision::F32 => check_files::<f32>(&loaded, &files)?,
            Precision::F64 => check_files::<f64>(&loaded, &files)?,
        }
        if let Some(data) = spec.data_mut() {
            data.check_files(&problem::lookup(&loaded, options))?;
        }
        let legal = format!("a legal experiment of kind `{}`\n  {cost}", loaded.experiment.kind().name());
        return Ok(with_warnings(legal, &loaded.warnings()));
    }
    for text in overrides {
        apply_override(&mut value, text, &origin)?;
    }
    let model: ModelSpec = deserialise(value, &origin.display())?;
    let network = network(&model).map_err(|invalid| invalid.in_file(origin.display()))?;
    let legal = format!("a legal model: {} inputs, {} neurons", network.inputs, network.neurons());
    Ok(with_warnings(legal, &untaught(&network, |_| true)))
}

fn with_warnings(legal: String, warnings: &[String]) -> String {
    warnings.iter().fold(legal, |text, warning| format!("{text}\nwarning: {warning}"))
}

/// Checks parameters and samples, in files of these paths.
fn check_files<T: Scalar>(loaded: &Loaded, files: &[String]) -> Result<()> {
    if let Some(path) = files.first() {
        problem::parameters::<T>(loaded, path)?;
    }
    if let Some(path) = files.get(1) {
        let samples = problem::samples::<T>(loaded, path)?;
        if let Some(sample) = loaded.experiment.sample() {
            problem::only(loaded, &samples, sample)?;
        }
    }
    Ok(())
}

/// The instance of a model, if the memory holds its weights.
fn network(model: &ModelSpec) -> std::result::Result<Network, Invalid> {
    model.validate()?;
    let weights = model.weights() as f64;
    // In single precision, as they are and laid out for products, a tied pair in both directions: no experiment takes less.
    let needed = 6.0 * (weights + model.layers.iter().map(|layer| layer.size() as f64).sum::<f64>());
    let memory = machine::memory() as f64;
    if needed > memory {
        let found = format!("found {weights:.1e} weights, for which {} are needed", machine::bytes(needed));
        let legal = format!("this process may take {}: lower `size` or `input`", machine::bytes(memory));
        return Err(Invalid::new("layers", found, legal));
    }
    Network::new(model)
}

/// A path if there is such a file, else the name of a shipped experiment or model.
fn find(reference: &str) -> Result<Origin> {
    let path = Path::new(reference);
    if path.exists() && !path.is_dir() {
        return Ok(Origin::Disk(path.to_owned()));
    }
    let name = reference.trim_end_matches(".json");
    for candidate in
        [format!("experiments/{name}.json"), format!("models/{name}.json"), format!("{name}.json")]
    {
        if library::file(&candidate).is_some() {
            return Ok(Origin::BuiltIn(candidate));
        }
    }
    let inside = path.join("experiment.json");
    if inside.exists() {
        let legal = format!("its experiment is {}", inside.display());
        return Err(Error::input(reference, "", "found a run folder", legal));
    }
    if path.is_dir() {
        return Err(Error::input(
            reference,
            "",
            "found a folder",
            "give the file of an experiment or a model",
        ));
    }
    let shipped = library::experiments();
    let legal = match wording::nearest(name, shipped.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? `holograd list` names all that are shipped"),
        None => format!("give a path, or one of {}", shipped.join(", ")),
    };
    Err(Error::input(reference, "", "no such file, and no shipped experiment of that name", legal))
}

/// The bytes of the published results at `path`, written in `origin`, once they are known to be of the right form.
pub(super) fn read_published(origin: &Origin, path: &str) -> Result<Vec<u8>> {
    let file = origin.beside(path);
    let bytes = file.read().map_err(|e| e.referred_to_by(&origin.display(), "published"))?;
    Published::parse(&file.display(), &bytes)?;
    Ok(bytes)
}

pub(super) fn parse_json(origin: &Origin) -> Result<Value> {
    let bytes = origin.read()?;
    let mut value = files::parse_json(&bytes).map_err(|e| {
        Error::input(origin.display(), "", format!("not JSON: {e}"), "see docs/configuration.md")
    })?;
    // Editors find the schema by it; it says nothing of the experiment.
    if let Some(object) = value.as_object_mut()
        && object.get("$schema").is_some_and(Value::is_string)
    {
        object.shift_remove("$schema");
    }
    Ok(value)
}

/// Reads a strict type out of JSON; errors carry the path inside the file.
pub(super) fn deserialise<T: DeserializeOwned>(value: Value, file: &str) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let mut path = wording::place(e.path());
        let mut message = e.into_inner().to_string();
        // An experiment inside another one tells the rest of the path itself.
        if let Some((inner, rest)) = message.strip_prefix("at `").and_then(|rest| rest.split_once("`: ")) {
            path = if inner.is_empty() { path } else { format!("{path}.{inner}") };
            message = rest.to_owned();
        }
        // How serde puts it when an object that makes a choice has a second key, as after --set estimator.other.field=1.
        if message.ends_with("expected fewer elements in map") {
            let legal = "one is chosen: replace the whole, as by --set estimator='{\"cauchy\": {\"amplitude\": 0.1}}'";
            return Error::input(file, path, "found more than one name", legal);
        }
        let (found, legal) = wording::plain(&message);
        Error::input(file, path, found, legal)
    })
}

pub(super) fn parse_experiment(mut value: Value, file: &str) -> Result<Experiment> {
    let legal = || format!("it must be one of {}", KINDS.join(", "));
    let Some(object) = value.as_object_mut() else {
        return Err(Error::input(file, "", "found no object", "an experiment is a JSON object"));
    };
    let kind = object.remove("kind");
    let Some(kind) = kind.as_ref().and_then(Value::as_str) else {
        return Err(Error::input(file, "kind", "found no kind", legal()));
    };
    Ok(match kind {
        "train" => Experiment::Train(deserialise(value, file)?),
        "gradient" => Experiment::Gradient(deserialise(value, file)?),
        "trace" => Experiment::Trace(deserialise(value, file)?),
        "amplitude" => Experiment::Amplitude(deserialise(value, file)?),
        "frequency" => Experiment::Frequency(deserialise(value, file)?),
        "relaxation" => Experiment::Relaxation(deserialise(value, file)?),
        "stability" => Experiment::Stability(deserialise(value, file)?),
        "continuous" => Experiment::Continuous(deserialise(value, file)?),
        "frequency_optimum" => Experiment::FrequencyOptimum(deserialise(value, file)?),
        "elapsed" => Experiment::Elapsed(deserialise(value, file)?),
        "sweep" => Experiment::Sweep(deserialise(value, file)?),
        other => {
            let legal = wording::suggest(other, KINDS, &legal());
            return Err(Error::input(file, "kind", format!("found {other:?}"), legal));
        }
    })
}

/// Replaces a model's path by the model, and builds its instance.
pub(super) fn resolve_model(model: &mut ModelRef, origin: &Origin) -> Result<Network> {
    if let ModelRef::Path(path) = model {
        let file = origin.beside(path);
        let value = parse_json(&file).map_err(|e| e.referred_to_by(&origin.display(), "model"))?;
        let spec: ModelSpec = deserialise(value, &file.display())?;
        let network = network(&spec).map_err(|invalid| invalid.in_file(file.display()))?;
        *model = ModelRef::Whole(Box::new(spec));
        return Ok(network);
    }
    let ModelRef::Whole(spec) = model else { unreachable!("a path was replaced above") };
    network(spec).map_err(|invalid| invalid.under("model").in_file(origin.display()))
}

/// The experiment at `reference`, its own references rewritten to start where `origin` lies; what is published of it is left out,
/// as it does not stand beside a sweep.
pub(super) fn inline(origin: &Origin, reference: &str) -> Result<Value> {
    let mut value = parse_json(&origin.beside(reference))
        .map_err(|e| e.referred_to_by(&origin.display(), "experiment"))?;
    let folder = reference.rfind('/').map_or("", |end| &reference[..=end]);
    for name in ["model", "parameters"] {
        if let Some(Value::String(path)) = value.get_mut(name)
            && Path::new(path.as_str()).is_relative()
        {
            *path = format!("{folder}{path}");
        }
    }
    if let Some(data) = value.get_mut("data") {
        data_folders("data", data, &mut |_, path| {
            let relative = Path::new(path.as_str()).is_relative();
            *path = if relative { format!("{folder}{path}") } else { std::mem::take(path) };
            Ok(())
        })?;
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("published");
    }
    Ok(value)
}

/// Changes the folders of data files in the value of the field at `path`; `change` takes the path of each, and the folder.
pub(super) fn data_folders(
    path: &str,
    value: &mut Value,
    change: &mut impl FnMut(&str, &mut String) -> Result<()>,
) -> Result<()> {
    let parts: Vec<&str> = path.split('.').collect();
    match (&parts[..], value) {
        (["data"] | ["data", _], Value::Object(fields)) => fields
            .iter_mut()
            .try_for_each(|(name, value)| data_folders(&format!("{path}.{name}"), value, change)),
        (["data", _, "folder"], Value::String(folder)) => change(path, folder),
        _ => Ok(()),
    }
}

/// Applies `a.b.c=value`. The value is JSON if it parses as such, else a string.
fn apply_override(root: &mut Value, text: &str, origin: &Origin) -> Result<()> {
    let who = format!("--set {text}");
    let Some((path, value)) = text.split_once('=') else {
        return Err(Error::input(who, "", "found no `=`", "write --set path.to.key=value"));
    };
    let value = match files::parse_json(value.as_bytes()) {
        Ok(value) => value,
        // It is JSON, but for a key that stands twice.
        Err(error) if error.is_data() => {
            return Err(Error::input(who, "", error.to_string(), "each key once"));
        }
        Err(_) => Value::String(value.to_owned()),
    };
    set_field(root, path, value, &who, origin)
}

/// Sets the field at `path`, parts divided by dots; `who` asks for it. A name that stands for a choice becomes an object when a
/// field below it is set, and so do a preset, null, and the path of a model or an experiment. `*` in the place of a list's index
/// stands for every item that already has the rest of the path.
pub(super) fn set_field(
    root: &mut Value,
    path: &str,
    value: Value,
    who: &str,
    origin: &Origin,
) -> Result<()> {
    let refuse = |found: &str, legal: &str| Error::input(who, "", found, legal);
    if path.split('.').any(str::is_empty) {
        return Err(refuse("found an empty part in the path", "a path is path.to.key"));
    }
    let mut place = root;
    let keys: Vec<&str> = path.split('.').collect();
    for (depth, key) in keys.iter().copied().enumerate() {
        match place {
            Value::String(name) => {
                // A string at the top of an experiment may be a path or a preset; every other one on the way is the name of a choice.
                *place = match keys[..depth] {
                    ["experiment"] => inline(origin, name)?,
                    ["model"] | ["experiment", "model"] => parse_json(&origin.beside(name))?,
                    ["imperfections"] | ["experiment", "imperfections"] => {
                        serde_json::json!({ "preset": name })
                    }
                    _ => serde_json::json!({ name.as_str(): {} }),
                };
            }
            Value::Null => *place = serde_json::json!({}),
            _ => {}
        }
        place = match place {
            Value::Object(object) => object.entry(key).or_insert(Value::Null),
            Value::Array(items) if key == "*" => {
                let rest = keys[depth + 1..].join(".");
                let having: Vec<&mut Value> = items.iter_mut().filter(|item| has(item, &rest)).collect();
                if having.is_empty() {
                    return Err(refuse(
                        &format!("found no item with `{rest}`"),
                        "`*` takes those that have it",
                    ));
                }
                for item in having {
                    if rest.is_empty() {
                        *item = value.clone();
                    } else {
                        set_field(item, &rest, value.clone(), who, origin)?;
                    }
                }
                return Ok(());
            }
            Value::Array(items) => {
                let count = items.len();
                let index = key.parse::<usize>().ok().filter(|i| *i < count);
                let Some(index) = index else {
                    return Err(refuse(
                        &format!("found `{key}` where a list of {count} stands"),
                        "a list takes an index from 0",
                    ));
                };
                &mut items[index]
            }
            other => {
                return Err(refuse(
                    &format!("found {other} above `{key}`"),
                    "a path leads through objects and lists",
                ));
            }
        };
    }
    *place = value;
    Ok(())
}

/// Whether a path leads to a field that is there.
fn has(value: &Value, path: &str) -> bool {
    let mut keys = path.split('.').filter(|key| !key.is_empty());
    keys.try_fold(value, |place, key| match place {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    })
    .is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(mut value: Value, text: &str) -> Result<Value> {
        apply_override(&mut value, text, &Origin::BuiltIn("experiments/x.json".into()))?;
        Ok(value)
    }

    #[test]
    fn overrides_reach_objects_lists_choices_and_the_model() {
        assert_eq!(set(json!({ "a": { "b": 1 } }), "a.b=2.5").unwrap(), json!({ "a": { "b": 2.5 } }));
        assert_eq!(set(json!({ "a": [1, 2] }), "a.1=3").unwrap(), json!({ "a": [1, 3] }));
        let list = json!({ "a": [{ "b": { "c": 1 } }, { "b": "name" }, { "b": { "c": 2 } }] });
        let expected = json!({ "a": [{ "b": { "c": 3 } }, { "b": "name" }, { "b": { "c": 3 } }] });
        assert_eq!(set(list.clone(), "a.*.b.c=3").unwrap(), expected);
        assert!(set(list, "a.*.d=3").is_err());
        assert_eq!(set(json!({}), "a.b=name").unwrap(), json!({ "a": { "b": "name" } }));
        assert_eq!(
            set(json!({ "integrator": "rk4" }), "integrator.rk4.step=0.1").unwrap(),
            json!({ "integrator": { "rk4": { "step": 0.1 } } })
        );
        assert_eq!(set(json!({ "a": null }), "a.b=1").unwrap(), json!({ "a": { "b": 1 } }));
        assert_eq!(
            set(json!({ "imperfections": "cmos" }), "imperfections.device_seed=2").unwrap(),
            json!({ "imperfections": { "preset": "cmos", "device_seed": 2 } })
        );
        let model = set(json!({ "model": "../models/toy.json" }), "model.input=7").unwrap();
        assert_eq!(model["model"]["input"], 7);
        assert_eq!(model["model"]["name"], "toy");
        // The same below the experiment of a sweep.
        for experiment in [json!({ "model": "../models/toy.json" }), json!("gradient.json")] {
            let sweep = set(json!({ "experiment": experiment }), "experiment.model.input=7").unwrap();
            assert_eq!(sweep["experiment"]["model"]["input"], 7);
            assert_eq!(sweep["experiment"]["model"]["name"], "toy");
        }
        let sweep = json!({ "experiment": { "imperfections": "cmos" } });
        assert_eq!(
            set(sweep, "experiment.imperfections.device_seed=2").unwrap(),
            json!({ "experiment": { "imperfections": { "preset": "cmos", "device_seed": 2 } } })
        );
    }

    #[test]
    fn bad_overrides_are_refused() {
        for text in ["a", "a..b=1", "=1", "list.7=1", "number.b=1"] {
            let error = set(json!({ "list": [1], "number": 1 }), text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn built_in_paths_are_relative_to_their_file() {
        let origin = Origin::BuiltIn("experiments/paper1/fig.json".into());
        assert_eq!(origin.beside("../../models/toy.json"), Origin::BuiltIn("models/toy.json".into()));
        let shipped = Origin::BuiltIn("experiments/paper1/published/fig2a.json".into());
        assert_eq!(origin.beside("./published/fig2a.json"), shipped);
        assert_eq!(origin.beside("own/a.safetensors"), Origin::Disk("own/a.safetensors".into()));
    }
}
