//! JSON documents: reading them strictly, setting fields by their path, writing out what they refer to.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::measured;
use super::origin::Origin;
use super::setup::Instance;
use super::spec::ModelRef;
use crate::error::{Error, Invalid, Result};
use crate::files::{self, parse_csv};
use crate::host::machine;
use crate::json::wording;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::model::CircuitSpec;
use crate::substrate::neurons::interactions::sparse::SparseSpec;
use crate::substrate::neurons::model::{ConnectionSpec, ModelSpec};
use crate::substrate::neurons::network::Network;

/// The JSON of a file, less the place of its schema.
pub(crate) fn parse_json(origin: &Origin) -> Result<Value> {
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
pub(crate) fn deserialise<T: DeserializeOwned>(value: Value, file: &str) -> Result<T> {
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

/// The instance of a model, if the memory holds its weights.
pub(super) fn network(model: &ModelSpec) -> std::result::Result<Network, Invalid> {
    model.validate()?;
    let weights = model.weights() as f64;
    // In single precision, as they are and laid out for products, a tied pair in both directions: no experiment takes less.
    let needed = 6.0 * (weights + model.layers.iter().map(|layer| layer.size() as f64).sum::<f64>());
    let memory = machine::memory() as f64;
    if needed > memory {
        let found = format!("found {weights:.1e} weights, for which {} are needed", machine::bytes(needed));
        let legal = format!("this process may take {}: lower `size` or `input`", machine::bytes(memory));
        return Err(Invalid { too_large: true, ..Invalid::new("layers", found, legal) });
    }
    Network::new(model)
}

/// Takes the kind out of an experiment.
///
/// # Errors
/// If there is none; `legal` says what it may be.
pub(crate) fn take_kind(value: &mut Value, file: &str, legal: &str) -> Result<String> {
    let Some(object) = value.as_object_mut() else {
        return Err(Error::input(file, "", "found no object", "an experiment is a JSON object"));
    };
    match object.remove("kind") {
        Some(Value::String(kind)) => Ok(kind),
        _ => Err(Error::input(file, "kind", "found no kind", legal)),
    }
}

/// Replaces a model's path by the model, and builds its instance.
pub(crate) fn resolve_model(model: &mut ModelRef, origin: &Origin) -> Result<Instance> {
    if let ModelRef::Circuit(spec) = model {
        let circuit =
            Circuit::new(spec).map_err(|invalid| invalid.under("model").in_file(origin.display()))?;
        return Ok(Instance::Circuit(Arc::new(circuit)));
    }
    resolve_network(model, origin).map(|network| Instance::Neurons(Arc::new(network)))
}

/// Takes a circuit out of an experiment, written out or in the file that is named there: what is left names a model that is no network.
/// None where there is no circuit.
///
/// # Errors
/// If the file is missing, or the circuit not legal.
pub(crate) fn take_circuit(experiment: &mut Value, origin: &Origin, at: &str) -> Result<Option<CircuitSpec>> {
    let Some(model) = experiment.get_mut("model") else { return Ok(None) };
    let (value, file, prefix) = match model {
        Value::String(path) => {
            let file = origin.beside(path);
            // What is wrong with the file is said where it is read as a network.
            let Ok(value) = parse_json(&file) else { return Ok(None) };
            (value, file.display(), String::new())
        }
        Value::Object(_) => (model.clone(), origin.display(), format!("{at}model.")),
        _ => return Ok(None),
    };
    if !is_circuit(&value) {
        return Ok(None);
    }
    let spec: CircuitSpec = deserialise(value, &file).map_err(|e| e.below(&prefix))?;
    if prefix.is_empty() {
        // Its own file is named for what it says.
        Circuit::new(&spec).map_err(|invalid| invalid.in_file(&file))?;
    }
    *model = Value::String(String::new());
    Ok(Some(spec))
}

/// Whether a model is that of a circuit.
pub(crate) fn is_circuit(model: &Value) -> bool {
    model.get("nodes").is_some() && model.get("layers").is_none()
}

fn resolve_network(model: &mut ModelRef, origin: &Origin) -> Result<Network> {
    if let ModelRef::Path(path) = model {
        let file = origin.beside(path);
        let value = parse_json(&file).map_err(|e| e.referred_to_by(&origin.display(), "model"))?;
        let mut spec: ModelSpec = deserialise(value, &file.display())?;
        read_masks(&mut spec, &file, "")?;
        let network = network(&spec).map_err(|invalid| invalid.in_file(file.display()))?;
        *model = ModelRef::Whole(Box::new(spec));
        return Ok(network);
    }
    let ModelRef::Whole(spec) = model else { unreachable!("a path was replaced above, a circuit before") };
    read_masks(spec, origin, "model.")?;
    network(spec).map_err(|invalid| invalid.under("model").in_file(origin.display()))
}

/// Writes out the patterns of sparse connections that a model, written below `prefix` in `origin`, names by the files of their masks.
///
/// # Errors
/// If a file is missing or damaged, or does not fit the layers.
pub(crate) fn read_masks(model: &mut ModelSpec, origin: &Origin, prefix: &str) -> Result<()> {
    for i in 0..model.connections.len() {
        let ConnectionSpec { from, to, sparse: Some(sparse), .. } = &model.connections[i] else { continue };
        let SparseSpec { fan_in: None, pattern: None, mask: Some(path), .. } = sparse else { continue };
        // What is wrong with the layers is told by the model.
        let (Some(receivers), Some(senders)) = (model.layer_size(to), model.layer_size(from)) else {
            continue;
        };
        let file = origin.beside(path);
        let field = format!("{prefix}connections[{i}].sparse.mask");
        let mask = file.read().and_then(|bytes| parse_csv(&file.display(), &bytes));
        let mask = mask.map_err(|e| e.referred_to_by(&origin.display(), &field))?;
        let pattern = SparseSpec::pattern_of(&mask, receivers, senders)
            .map_err(|invalid| invalid.in_file(file.display()).referred_to_by(&origin.display(), &field))?;
        if let Some(sparse) = &mut model.connections[i].sparse {
            (sparse.pattern, sparse.mask) = (Some(pattern), None);
        }
    }
    Ok(())
}

/// Changes the paths of masks in the value of a model.
pub(crate) fn mask_paths(model: &mut Value, mut change: impl FnMut(&mut String) -> Result<()>) -> Result<()> {
    let connections = model.get_mut("connections").and_then(Value::as_array_mut);
    for connection in connections.into_iter().flatten() {
        if let Some(Value::String(path)) = connection.pointer_mut("/sparse/mask") {
            change(path)?;
        }
    }
    Ok(())
}

/// The experiment at `reference`, its own references rewritten to start where `origin` lies; what is published of it is left out,
/// as it does not stand beside a sweep.
pub(crate) fn inline(origin: &Origin, reference: &str) -> Result<Value> {
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
    if let Some(model) = value.get_mut("model") {
        mask_paths(model, |path| {
            if Path::new(path.as_str()).is_relative() {
                path.insert_str(0, folder);
            }
            Ok(())
        })?;
    }
    measured::paths(&mut value, |path| {
        if Path::new(path.as_str()).is_relative() {
            path.insert_str(0, folder);
        }
    })?;
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
pub(crate) fn data_folders(
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
pub(super) fn apply_override(root: &mut Value, text: &str, origin: &Origin) -> Result<()> {
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
pub(crate) fn set_field(
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
}
