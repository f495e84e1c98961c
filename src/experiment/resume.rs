//! What `--resume` takes: a run goes on as it was begun, for as many epochs or more.

use serde_json::Value;

use super::kinds::{self, Experiment};
use crate::error::{Error, Invalid, Result};
use crate::learning::Schedule;

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
fn difference(a: &Value, b: &Value) -> Option<String> {
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
