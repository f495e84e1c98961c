//! From a name or path, with overrides, to a validated experiment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{self, apply_override, network, parse_json, resolve_model};
use super::kinds::{Experiment, KINDS, sweep};
use super::origin::{Given, Origin, absolute, read_published};
use super::setup::{self, CircuitSetup, Instance, Options, Setup, Site};
use super::sink::Sink;
use super::spec::{ModelRef, Precision};
use super::{Cost, circuits, equations, library, measured, problem};
use crate::data::DataSpec;
use crate::error::{Error, Result};
use crate::files::Tensors;
use crate::json::wording;
use crate::numerics::scalar::Scalar;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::model::CircuitSpec;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::{Edge, Network};

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
    pub instance: Instance,
    /// What is to be said of measured densities that it has read.
    measured: Vec<String>,
}

/// Loads an experiment by path or by the name of a shipped one, applies `--set` overrides and validates it.
///
/// # Errors
/// [`Error::Input`] or [`Error::Io`], which name file, path and what is legal.
pub fn load(reference: &str, overrides: &[String]) -> Result<Loaded> {
    load_from(find(reference)?, overrides)
}

/// The override that puts an experiment, or the runs of a sweep, on a device.
///
/// # Errors
/// If there is no such experiment.
pub fn device_override(reference: &str, device: &str) -> Result<String> {
    let value = parse_json(&find(reference)?)?;
    let place = if value.get("kind").is_some_and(|kind| kind == "sweep") { "set.device" } else { "device" };
    Ok(format!("{place}={device}"))
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
    of_value(origin, value)
}

/// An experiment as a program hands it over: the document at `reference` if there is none, or the document itself, with the fields of
/// these paths set to these values; the arrays stand for files of these names.
///
/// # Errors
/// As [`load`].
pub fn load_given(
    reference: &str,
    document: Option<Value>,
    fields: &[(String, Value)],
    arrays: BTreeMap<String, Tensors>,
) -> Result<Loaded> {
    let (origin, mut value) = match document {
        Some(value) => (None, value),
        None => {
            let origin = find(reference)?;
            let value = parse_json(&origin)?;
            (Some(origin), value)
        }
    };
    let origin = match origin {
        Some(origin) if arrays.is_empty() => origin,
        of => Origin::Given(Given {
            name: of.as_ref().map_or_else(|| reference.to_owned(), Origin::display),
            copy_of: of.map(Box::new),
            arrays: arrays.into(),
        }),
    };
    for (path, to) in fields {
        document::set_field(&mut value, path, to.clone(), &format!("the override `{path}`"), &origin)?;
    }
    // As the command line says it: what is refused is the field, whatever its value.
    let idle = |(path, _): &(String, Value)| sweep::refuse_idle_override(&value, &format!("{path}=…"));
    fields.iter().try_for_each(idle)?;
    of_value(origin, value)
}

/// A model as a program hands it over: the path of its file, the name of one that is shipped, or the model itself.
///
/// # Errors
/// As [`load`].
pub fn load_model(reference: &str, document: Option<Value>) -> Result<(ModelSpec, Network)> {
    let given = || Given { name: reference.to_owned(), copy_of: None, arrays: Arc::default() };
    let (origin, value) = match document {
        Some(value) => (Origin::Given(given()), value),
        None => {
            let origin = find_model(reference)?;
            let value = parse_json(&origin)?;
            (origin, value)
        }
    };
    let mut model: ModelSpec = document::deserialise(value, &origin.display())?;
    document::read_masks(&mut model, &origin, "")?;
    let network = network(&model).map_err(|invalid| invalid.in_file(origin.display()))?;
    Ok((model, network))
}

/// What a program hands over for one field of an experiment, or with an empty name a whole document; messages call it `file`.
///
/// # Errors
/// [`Error::Input`] with the path from the field on.
pub fn field<T: DeserializeOwned>(name: &str, value: Value, file: &str) -> Result<T> {
    document::deserialise(value, file).map_err(|error| match error {
        Error::Input { file, path, found, legal } => {
            let below = |path: String| if path.starts_with('[') { path } else { format!(".{path}") };
            let path = match (name, path) {
                ("", path) => path,
                (name, path) if path.is_empty() => name.to_owned(),
                (name, path) => format!("{name}{}", below(path)),
            };
            Error::input(file, path, found, legal)
        }
        other => other,
    })
}

/// What the document of an experiment says, whatever its file.
fn of_value(origin: Origin, mut value: Value) -> Result<Loaded> {
    let file = origin.display();
    let measured = measured::read(&mut value, &origin)?;
    let mut circuit = document::take_circuit(&mut value, &origin, "")?;
    if let Some(swept) = value.get_mut("experiment").filter(|_| circuit.is_none()) {
        circuit = document::take_circuit(swept, &origin, "experiment.")?;
    }
    let mut experiment = parse_experiment(value, &file)?;
    if let Some(circuit) = circuit {
        *experiment.kind_mut().model_mut() = ModelRef::Circuit(Box::new(circuit));
    }
    experiment.kind_mut().resolve(&origin)?;
    // The run folder, where this is written, lies elsewhere.
    if let Some(folder) = experiment.kind_mut().data_mut().and_then(DataSpec::folder_mut) {
        *folder = absolute(&origin, folder)?;
    }
    let instance = resolve_model(experiment.kind_mut().model_mut(), &origin)?;
    let sound = match &instance {
        Instance::Neurons(network) => experiment.kind().validate(network),
        Instance::Circuit(circuit) => experiment.kind().validate_circuit(circuit),
    };
    sound.map_err(|invalid| invalid.in_file(&file))?;
    let instance = setup::on_device(instance, experiment.kind()).map_err(|e| e.in_file(&file))?;
    if let Some(path) = experiment.kind_mut().published_mut() {
        read_published(&origin, path)?;
    }
    let stem = match &origin {
        Origin::Disk(path) => path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
        Origin::BuiltIn(path) => path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json").to_owned(),
        Origin::Given(Given { name, copy_of, .. }) => match copy_of {
            Some(_) => name.rsplit('/').next().unwrap_or(name).trim_end_matches(".json").to_owned(),
            None => experiment.name().to_owned(),
        },
    };
    Ok(Loaded { origin, name: stem, experiment, instance, measured })
}

impl Loaded {
    /// What is legal, and yet will hardly be meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match &self.instance {
            Instance::Neurons(network) => untaught(network, |name| self.experiment.kind().trains(name)),
            Instance::Circuit(_) => Vec::new(),
        }
    }

    /// Which measurements it uses, and how much of each file.
    ///
    /// # Errors
    /// Never for an experiment that was read.
    pub fn remarks(&self) -> Result<Vec<String>> {
        let value = serde_json::to_value(&self.experiment).map_err(|e| Error::Internal(e.to_string()))?;
        let mut sources: Vec<String> =
            measured::sources(&value).into_iter().chain(self.measured.iter().cloned()).collect();
        sources.dedup();
        sources.iter_mut().for_each(|source| source.insert_str(0, "measured: "));
        Ok(sources)
    }

    /// Its network of neurons; none of a circuit.
    #[must_use]
    pub fn network(&self) -> Option<&Arc<Network>> {
        match &self.instance {
            Instance::Neurons(network) => Some(network),
            Instance::Circuit(_) => None,
        }
    }

    /// Where it comes from, and its network or its circuit.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::new(self.origin.clone(), &self.instance)
    }

    /// The circuit or network with its sources, a real drive and `.tran`, as a SPICE netlist.
    ///
    /// # Errors
    /// If it is not a `trace`, its files do not fit, or there is no netlist of it.
    pub fn netlist(&self) -> Result<String> {
        match (&self.experiment, self.site()) {
            (Experiment::Trace(trace), Site::Circuit(setup)) => {
                trace.netlist(&trace.shown_on_circuit(&setup)?)
            }
            (Experiment::Trace(trace), Site::Neurons(setup)) => trace.netlist_of_neurons(&setup),
            _ => {
                let found = format!("found an experiment of kind `{}`", self.experiment.name());
                let legal =
                    "a netlist is of a `trace`: one sample, and a real drive of its amplitude and period";
                Err(Error::input(self.origin.display(), "kind", found, legal))
            }
        }
    }

    /// Runs it, its results into `sink`; returns the lines that sum it up for the user.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    pub fn run(&self, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        match self.site() {
            Site::Neurons(setup) => self.experiment.kind().run(&setup, sink, options),
            Site::Circuit(setup) => self.experiment.kind().run_circuit(&setup, sink, options),
        }
    }

    /// What it takes, if it is sound and can be; `out` is where its results go.
    ///
    /// # Errors
    /// If it is not, see [`Kind::check`](super::Kind::check); if it cannot be, see [`Cost::refuse`]; or if files that it reads are
    /// not there.
    pub fn afford(&self, options: &Options, out: &Path) -> Result<Cost> {
        let kind = self.experiment.kind();
        let cost = match self.site() {
            Site::Neurons(setup) => {
                kind.check(&setup)?;
                kind.cost(&setup, options)?
            }
            Site::Circuit(setup) => kind.cost_circuit(&setup, options)?,
        };
        let cost = cost.with_program();
        cost.refuse(&self.origin.display(), out)?;
        Ok(cost)
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
    let is_model = value.get("layers").is_some_and(Value::is_array) || document::is_circuit(&value);
    if value.get("kind").is_some() || !is_model {
        let loaded = load(reference, overrides)?;
        let mut spec = loaded.experiment.clone();
        let files: Vec<String> = spec.kind_mut().files_mut().into_iter().map(|path| path.clone()).collect();
        // Refused before its parameters are read, which may be large.
        let cost = loaded.afford(options, Path::new("."))?;
        let sample = loaded.experiment.kind().sample();
        match (loaded.site(), loaded.experiment.kind().precision()) {
            (Site::Neurons(setup), Precision::F32) => check_files::<f32>((&setup, sample), &files)?,
            (Site::Neurons(setup), Precision::F64) => check_files::<f64>((&setup, sample), &files)?,
            (Site::Circuit(setup), _) => check_circuit_files((&setup, sample), &files)?,
        }
        if let Some(data) = spec.kind_mut().data_mut() {
            data.check_files(&problem::lookup(&loaded.origin, options))?;
        }
        let mut legal = format!("a legal experiment of kind `{}`\n  {cost}", loaded.experiment.name());
        let verdict = loaded.network().map_or(Ok(None), equations::verdict)?;
        verdict.into_iter().chain(loaded.remarks()?).for_each(|line| legal = format!("{legal}\n  {line}"));
        return Ok(with_warnings(legal, &loaded.warnings()));
    }
    for text in overrides {
        apply_override(&mut value, text, &origin)?;
    }
    if document::is_circuit(&value) {
        let spec: CircuitSpec = document::deserialise(value, &origin.display())?;
        let circuit = Circuit::new(&spec).map_err(|invalid| invalid.in_file(origin.display()))?;
        let resistors: usize = circuit.resistors.iter().map(|group| group.ends.len()).sum();
        return Ok(format!(
            "a legal circuit: {} inputs, {} nodes, {resistors} resistors, {} diodes",
            circuit.inputs(),
            circuit.free.len(),
            circuit.diodes.len()
        ));
    }
    let mut model: ModelSpec = document::deserialise(value, &origin.display())?;
    document::read_masks(&mut model, &origin, "")?;
    let network = network(&model).map_err(|invalid| invalid.in_file(origin.display()))?;
    let mut legal = format!("a legal model: {} inputs, {} neurons", network.inputs, network.neurons());
    let warnings = untaught(&network, |_| true);
    if let Some(verdict) = equations::verdict(&Arc::new(network))? {
        legal = format!("{legal}\n  {verdict}");
    }
    Ok(with_warnings(legal, &warnings))
}

fn with_warnings(legal: String, warnings: &[String]) -> String {
    warnings.iter().fold(legal, |text, warning| format!("{text}\nwarning: {warning}"))
}

/// Checks parameters and samples, in files of these paths.
fn check_files<T: Scalar>((setup, sample): (&Setup, Option<usize>), files: &[String]) -> Result<()> {
    if let Some(path) = files.first() {
        problem::parameters::<T>(setup, path)?;
    }
    if let Some(path) = files.get(1) {
        let samples = problem::samples::<T>(setup, path)?;
        if let Some(sample) = sample {
            problem::only(&setup.origin, &samples, sample)?;
        }
    }
    Ok(())
}

/// As [`check_files`], for a circuit.
fn check_circuit_files((setup, sample): (&CircuitSetup, Option<usize>), files: &[String]) -> Result<()> {
    if let Some(path) = files.first() {
        circuits::parameters::<f64>(setup, path)?;
    }
    if let Some(path) = files.get(1) {
        let samples = circuits::samples::<f64>(setup, path)?;
        if let Some(sample) = sample {
            problem::only(&setup.origin, &samples, sample)?;
        }
    }
    Ok(())
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

/// A path if there is such a file, else the name of a shipped model.
fn find_model(reference: &str) -> Result<Origin> {
    let path = Path::new(reference);
    if path.is_file() {
        return Ok(Origin::Disk(path.to_owned()));
    }
    let shipped = format!("models/{}.json", reference.trim_end_matches(".json"));
    if library::file(&shipped).is_some() {
        return Ok(Origin::BuiltIn(shipped));
    }
    let names = library::models();
    let legal = format!("give a path, or one of {}", names.join(", "));
    let legal = wording::suggest(reference, names.iter().map(String::as_str), &legal);
    Err(Error::input(reference, "", "no such file, and no shipped model of that name", legal))
}

/// Reads an experiment of any kind out of JSON.
fn parse_experiment(mut value: Value, file: &str) -> Result<Experiment> {
    let legal = format!("it must be one of {}", KINDS.join(", "));
    let kind = document::take_kind(&mut value, file, &legal)?;
    Experiment::of_kind(&kind, value, file).unwrap_or_else(|| {
        let legal = wording::suggest(&kind, KINDS, &legal);
        Err(Error::input(file, "kind", format!("found {kind:?}"), legal))
    })
}
