//! Files of measurements that an experiment names: their place is taken by what they say.

use serde_json::Value;

use super::origin::Origin;
use crate::error::{Error, Result};
use crate::files::Table;
use crate::imperfections::measured::{MeasuredLaw, MeasuredSamples, Pulses, Spectrum};
use crate::json::wording;

/// The field that holds what was measured.
const MEASURED: &str = "measured";

/// What a field holds by measurement.
#[derive(Clone, Copy)]
enum Kind {
    /// A law of updates.
    Law,
    Mismatch,
    Noise,
}

impl Kind {
    /// By the name of the field that the measurement stands in.
    fn of(name: &str, path: &str) -> Option<Self> {
        match name.rsplit('.').next()? {
            "law" => Some(Self::Law),
            "gain" | "offset" | "tau" | "input" | "weight" | "feedback" => Some(Self::Mismatch),
            name if name.ends_with("_noise") => Some(Self::Noise),
            // Of a parameter of neurons, which may have any name.
            _ if path.contains("fabrication.parameters.") => Some(Self::Mismatch),
            _ => None,
        }
    }
}

/// Reads every file of measurements that a document in `origin` names; returns what is to be said of those whose place keeps no word of it.
///
/// # Errors
/// If a file is missing, or not what its field needs.
pub(crate) fn read(value: &mut Value, origin: &Origin) -> Result<Vec<String>> {
    let mut said = Vec::new();
    visit(value, "", "", &mut |kind, path, object| {
        said.extend(replace(kind, path, object, origin)?);
        Ok(())
    })?;
    Ok(said)
}

/// Changes the paths of files of measurements in the value of an experiment.
pub(crate) fn paths(value: &mut Value, mut change: impl FnMut(&mut String)) -> Result<()> {
    visit(value, "", "", &mut |kind, _, object| {
        let pointer = match kind {
            Kind::Law => "/law/measured/file",
            Kind::Mismatch | Kind::Noise => "/measured/file",
        };
        if let Some(Value::String(file)) = object.pointer_mut(pointer) {
            change(file);
        }
        Ok(())
    })
}

/// Shows every object that holds a measurement: a mismatch itself, of a law the object that it is a field of, or the value of an axis that
/// stands for the law alone.
fn visit(
    value: &mut Value,
    name: &str,
    path: &str,
    look: &mut impl FnMut(Kind, &str, &mut Value) -> Result<()>,
) -> Result<()> {
    let is_measured = |value: &Value| value.get(MEASURED).is_some_and(|m| m.get("file").is_some());
    match value {
        Value::Object(_) => {
            if value.get("law").is_some_and(is_measured) {
                look(Kind::Law, path, value)?;
            } else if is_measured(value) {
                match Kind::of(name, path) {
                    Some(kind @ (Kind::Mismatch | Kind::Noise)) => look(kind, path, value)?,
                    Some(Kind::Law) => {
                        let mut rule = serde_json::json!({ "law": value.take() });
                        look(Kind::Law, path.rsplit_once('.').map_or("", |(above, _)| above), &mut rule)?;
                        *value = rule["law"].take();
                    }
                    None => {}
                }
            }
            let fields = value.as_object_mut().into_iter().flatten();
            for (key, field) in fields.filter(|(key, _)| *key != "model" && *key != "data") {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                visit(field, key, &below, look)?;
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                visit(item, name, &format!("{path}[{i}]"), look)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Puts what a file says in the place of its name.
fn replace(kind: Kind, path: &str, object: &mut Value, origin: &Origin) -> Result<Option<String>> {
    let holder = match kind {
        Kind::Law => &mut object["law"],
        Kind::Mismatch | Kind::Noise => &mut *object,
    };
    let place = match (kind, path) {
        (Kind::Mismatch | Kind::Noise, path) => format!("{path}.{MEASURED}"),
        (Kind::Law, "") => format!("law.{MEASURED}"),
        (Kind::Law, path) => format!("{path}.law.{MEASURED}"),
    };
    let Value::String(file) = &holder[MEASURED]["file"] else {
        let found = format!("found {}", holder[MEASURED]["file"]);
        return Err(Error::input(origin.display(), format!("{place}.file"), found, "the path of a CSV file"));
    };
    let source = origin.beside(file);
    let table = source.read().and_then(|bytes| Table::parse(&source.display(), &bytes));
    let field = format!("{place}.file");
    let referred = |e: Error| e.referred_to_by(&origin.display(), &field);
    let table = table.map_err(referred)?.called(file);
    let step = match kind {
        Kind::Noise => {
            let mut fields = holder[MEASURED].as_object_mut().map(std::mem::take).unwrap_or_default();
            let own = ["file", "seconds", "scale"].map(|name| Some((name.to_owned(), fields.remove(name)?)));
            let asked: Value = own.into_iter().flatten().collect::<serde_json::Map<_, _>>().into();
            let asked: Spectrum = of_field(&asked, origin, &place)?;
            let (components, source) = asked.read(&table).map_err(referred)?;
            fields.insert("components".into(), written(&components)?);
            holder[MEASURED] = fields.into();
            return Ok(Some(source));
        }
        Kind::Mismatch => {
            let asked: MeasuredSamples = of_field(&holder[MEASURED], origin, &place)?;
            holder[MEASURED] = written(&asked.read(&table).map_err(referred)?)?;
            None
        }
        Kind::Law => {
            let asked: MeasuredLaw = of_field(&holder[MEASURED], origin, &place)?;
            let pulses = Pulses::read(&table).map_err(referred)?;
            let law = MeasuredLaw::of(&pulses, asked.range, &table.file).map_err(referred)?;
            holder[MEASURED] = written(&law)?;
            Some(law.typical_step())
        }
    };
    if let (Some(step), Some(rule)) = (step, object.as_object_mut())
        && !rule.contains_key("step")
    {
        rule.insert("step".into(), step.into());
    }
    Ok(None)
}

fn of_field<T: serde::de::DeserializeOwned>(value: &Value, origin: &Origin, place: &str) -> Result<T> {
    serde_path_to_error::deserialize(value.clone()).map_err(|e| {
        let below = wording::place(e.path());
        let path = if below.is_empty() { place.to_owned() } else { format!("{place}.{below}") };
        let (found, legal) = wording::plain(&e.into_inner().to_string());
        Error::input(origin.display(), path, found, legal)
    })
}

fn written(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::Internal(e.to_string()))
}

/// What the measurements of an experiment come from, and how much of each file they use.
pub(crate) fn sources(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get(MEASURED).and_then(|m| m["source"].as_str()).filter(|text| !text.is_empty());
            let below = fields.values().flat_map(sources);
            own.map(ToOwned::to_owned).into_iter().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(sources).collect(),
        _ => Vec::new(),
    }
}
