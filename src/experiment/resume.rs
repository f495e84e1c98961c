//! What `--resume` takes: a run goes on as it was begun, for as many epochs or more.

use std::path::Path;

use serde_json::Value;

use super::kinds::{self, Experiment};
use super::load::{Loaded, load_from};
use super::origin::Origin;
use super::shards::SHARDS;
use super::sink::EXPERIMENT;
use super::{RunFolder, manifest, place};
use crate::error::{Error, Invalid, Result};
use crate::files;
use crate::learning::Schedule;

/// A run that is to go on in its folder.
pub struct Resumed {
    /// What it goes on with.
    pub loaded: Loaded,
    /// `experiment.json` as it was when that was decided; none where nothing is left to do.
    before: Option<Vec<u8>>,
}

impl Resumed {
    /// What may go on in the folder `path`: `load` makes of its experiment what is asked for now. What a killed process has left in
    /// the folder of a complete run is cleared away.
    ///
    /// # Errors
    /// If there is no run, or it may not go on like that.
    pub fn new(path: &Path, load: impl FnOnce(Origin) -> Result<Loaded>) -> Result<Self> {
        place::refuse_without_run(path)?;
        if path.join(SHARDS).exists() {
            let legal =
                "give the commands of its shards again; then, or where all are done, `holograd merge`";
            let found = "found a sweep that is done in shards";
            return Err(Error::input(path.display().to_string(), "", found, legal));
        }
        let file = path.join(EXPERIMENT);
        let origin = Origin::Disk(file.clone());
        let before = files::read_bytes(&file)?;
        let begun = load_from(origin.clone(), &[])?;
        let loaded = load(origin)?;
        check(&begun.experiment, &loaded.experiment, &file.display().to_string())?;
        let same = begun.experiment == loaded.experiment;
        if same && manifest::verify(path).is_ok_and(|findings| findings.is_sound()) {
            place::tidy(path)?;
            return Ok(Self { loaded, before: None });
        }
        Ok(Self { loaded, before: Some(before) })
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.before.is_none()
    }

    /// Takes the folder.
    ///
    /// # Errors
    /// If another process has it, or has worked there in the meantime.
    pub fn folder(&self, path: &Path, command: Vec<String>) -> Result<RunFolder> {
        let folder = RunFolder::reopen(path, command, &self.loaded)?;
        let file = path.join(EXPERIMENT);
        if Some(files::read_bytes(&file)?) != self.before {
            let legal = "another process has just worked there: give the command again";
            return Err(Error::input(file.display().to_string(), "", "the experiment has changed", legal));
        }
        Ok(folder)
    }
}

/// Checks that `experiment` may go on in a folder where `begun` ran.
///
/// # Errors
/// [`Error::Input`] of the file `file`, the experiment of that folder, for a kind that is not resumed, for another value than the
/// run began with, and for epochs that its learning rate does not foresee.
pub fn check(begun: &Experiment, experiment: &Experiment, file: &str) -> Result<()> {
    if begun.name() != experiment.name() || !kinds::is_resumed(experiment.name()) {
        let found = format!("found an experiment of kind `{}`", experiment.name());
        let legal = "only `train`, `continuous` and `sweep` are resumed";
        return Err(Error::input("--resume", "", found, legal));
    }
    // The runs of a sweep are known one by one, by their keys.
    let (Some((before, schedule)), Some((now, _))) = (begun.kind().epochs(), experiment.kind().epochs())
    else {
        return Ok(());
    };
    let value = |experiment| serde_json::to_value(experiment).map_err(|e| Error::Internal(e.to_string()));
    let (mut old, new) = (value(begun)?, value(experiment)?);
    old["epochs"] = Value::from(now);
    if let Some(path) = difference(&old, &new) {
        let found = "found another value than the run began with";
        let legal = "--resume changes only `epochs`: start another run in a new folder";
        return Err(Invalid::new(path, found, legal).in_file(file));
    }
    let refuse = |legal: &str| {
        let found = format!("found {now} for a run that was begun for {before}");
        Err(Invalid::new("epochs", found, legal).in_file(file))
    };
    match now {
        _ if now < before => refuse("as many or more"),
        _ if now > before && schedule != Schedule::Constant => {
            refuse("as many: its learning rate falls to an end that it has passed")
        }
        _ => Ok(()),
    }
}

/// The path of the first value that differs.
pub(super) fn difference(a: &Value, b: &Value) -> Option<String> {
    let below = |key: &str, a: &Value, b: &Value| {
        let rest = difference(a, b)?;
        Some(if rest.is_empty() { key.to_owned() } else { format!("{key}.{rest}") })
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let of = |map: &serde_json::Map<String, Value>, key: &str| {
                map.get(key).cloned().unwrap_or(Value::Null)
            };
            a.keys().chain(b.keys()).find_map(|key| below(key, &of(a, key), &of(b, key)))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(index, (a, b))| below(&index.to_string(), a, b))
        }
        _ => (a != b).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let a = json!({ "x": 1, "y": { "z": [1, { "w": 2 }] } });
        let mut b = a.clone();
        assert_eq!(difference(&a, &b), None);
        b["y"]["z"][1]["w"] = json!(3);
        assert_eq!(difference(&a, &b).as_deref(), Some("y.z.1.w"));
        b["y"] = json!({ "z": [1] });
        assert_eq!(difference(&a, &b).as_deref(), Some("y.z"));
        b["v"] = json!(0);
        b["y"] = a["y"].clone();
        assert_eq!(difference(&a, &b).as_deref(), Some("v"));
        assert_eq!(difference(&b, &a).as_deref(), Some("v"));
    }
}
