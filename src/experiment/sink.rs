//! Where results go: a run folder is one place, the memory of a caller another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::folder;
use super::load::Loaded;
use crate::error::{Error, Result};
use crate::files::{Npz, Tensors, npz};
use crate::records::parse_metrics;

/// The experiment, as it is run.
pub const EXPERIMENT: &str = "experiment.json";

/// What sums up a run.
pub const SUMMARY: &str = "summary.json";

/// The parameters that a run has learnt.
pub const LEARNT: &str = "parameters.safetensors";

/// The records of a run, a line each.
pub const METRICS: &str = "metrics.jsonl";

/// A result that is written whole.
#[derive(Debug, Clone)]
pub enum Content {
    /// Fields and values.
    Json(Value),
    /// Named arrays, for programs.
    Tensors(Tensors),
    /// Named arrays with their units, for analysis.
    Arrays(Npz),
}

/// Takes the results of a run: its records, in their order, and what is written whole, by name.
pub trait Sink: Send + Sync {
    /// The input is sound: results follow.
    ///
    /// # Errors
    /// If there is no place for them.
    fn begin(&mut self) -> Result<()>;

    /// Seconds since the run began.
    fn seconds(&self) -> f64;

    /// Adds a record, whole or not at all; whatever can be lost, it is not once this returns.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn append(&mut self, record: Value) -> Result<()>;

    /// The records so far, each as a line of JSON; none where none was ever kept.
    ///
    /// # Errors
    /// If they cannot be read.
    fn lines(&self) -> Result<Option<String>>;

    /// Puts other lines in the place of all records.
    ///
    /// # Errors
    /// If they cannot be kept, or are no JSON.
    fn replace_lines(&mut self, lines: &str) -> Result<()>;

    /// Keeps a result of this name.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn write(&mut self, name: &str, content: Content) -> Result<()>;

    /// The arrays that were kept under this name; none where there are none.
    ///
    /// # Errors
    /// If they cannot be read.
    fn tensors(&self, name: &str) -> Result<Option<Tensors>>;

    /// Whether what is kept outlives the program, so that a run can go on from a checkpoint.
    fn outlives(&self) -> bool;

    /// How messages call what is kept under this name; without a name, the whole.
    fn place(&self, name: &str) -> String;

    /// The part of this name, for one run among several.
    ///
    /// # Errors
    /// If there is no place for it.
    fn inside(&self, name: &str) -> Result<Box<dyn Sink>>;
}

impl dyn Sink + '_ {
    /// Adds a record.
    ///
    /// # Errors
    /// As [`Sink::append`].
    pub fn record(&mut self, record: &impl Serialize) -> Result<()> {
        self.append(value(record)?)
    }

    /// The records so far.
    ///
    /// # Errors
    /// If one is of another type.
    pub fn records<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        parse_metrics(&self.lines()?.unwrap_or_default(), &self.place(METRICS))
    }

    /// Keeps fields and values under this name.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub fn write_json(&mut self, name: &str, json: &impl Serialize) -> Result<()> {
        let json = value(json)?;
        self.write(name, Content::Json(json))
    }
}

fn value(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::Internal(e.to_string()))
}

/// Keeps the results of a run for its caller. A copy is another view of the same results.
#[derive(Debug, Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    /// What the names begin with.
    prefix: String,
    started: Instant,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<String, Vec<Value>>,
    contents: BTreeMap<String, Content>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { kept: Arc::default(), prefix: String::new(), started: Instant::now() }
    }
}

impl Memory {
    /// The records of the run, in their order, as the type that the kind has for them, or as JSON.
    ///
    /// # Errors
    /// [`Error::Input`] if one is of another type.
    pub fn records<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let typed = |record: Value| {
            serde_json::from_value(record).map_err(|e| {
                Error::input(
                    self.place(METRICS),
                    "",
                    e.to_string(),
                    "the type that this kind has for its records",
                )
            })
        };
        self.values().into_iter().map(typed).collect()
    }

    /// What was written under this name, as in a run folder: `summary.json`.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Content> {
        self.look(|kept| kept.contents.get(&self.named(name)).cloned())
    }

    /// The names of all that was written.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.look(|kept| kept.contents.keys().cloned().collect())
    }

    /// All results as the files that a run folder has of them, by name, with the experiment and the files that it was given.
    ///
    /// # Errors
    /// If one cannot be written, or a file that was given not be read.
    pub fn files(&self, loaded: &Loaded) -> Result<Vec<(String, Vec<u8>)>> {
        let internal = |name: &str| {
            let name = name.to_owned();
            move |e: serde_json::Error| Error::Internal(format!("{name}: {e}"))
        };
        let pretty = |name: &str, value: &Value| {
            let mut bytes = serde_json::to_vec_pretty(value).map_err(internal(name))?;
            bytes.push(b'\n');
            Ok::<_, Error>((name.to_owned(), bytes))
        };
        let (experiment, given) = folder::with_copies(loaded)?;
        let mut files = given;
        files.push(pretty(EXPERIMENT, &value(&experiment)?)?);
        let (records, contents) = self.look(|kept| (kept.records.clone(), kept.contents.clone()));
        for (name, records) in records {
            files.push((name, records.iter().flat_map(|r| format!("{r}\n").into_bytes()).collect()));
        }
        for (name, content) in contents {
            match content {
                Content::Json(value) => files.push(pretty(&name, &value)?),
                Content::Tensors(tensors) => files.push((name, tensors.to_bytes())),
                Content::Arrays(arrays) => {
                    files.push(pretty(&npz::sidecar(name.as_ref()).to_string_lossy(), &arrays.units()?)?);
                    files.push((name, arrays.bytes()?));
                }
            }
        }
        Ok(files)
    }

    fn values(&self) -> Vec<Value> {
        self.look(|kept| kept.records.get(&self.named(METRICS)).cloned().unwrap_or_default())
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn look<R>(&self, at: impl FnOnce(&mut Kept) -> R) -> R {
        at(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Memory {
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn append(&mut self, record: Value) -> Result<()> {
        self.look(|kept| kept.records.entry(self.named(METRICS)).or_default().push(record));
        Ok(())
    }

    fn lines(&self) -> Result<Option<String>> {
        let line = |record: &Value| format!("{record}\n");
        Ok(self.look(|kept| Some(kept.records.get(&self.named(METRICS))?.iter().map(line).collect())))
    }

    fn replace_lines(&mut self, lines: &str) -> Result<()> {
        // A record that stays is the same number by number: as text it might lose a last digit.
        let mut before: BTreeMap<String, Value> =
            self.values().into_iter().map(|record| (record.to_string(), record)).collect();
        let record = |line: &str| match before.remove(line) {
            Some(record) => Ok(record),
            None => serde_json::from_str(line).map_err(|e| Error::Internal(e.to_string())),
        };
        let records = lines.lines().map(record).collect::<Result<_>>()?;
        self.look(|kept| kept.records.insert(self.named(METRICS), records));
        Ok(())
    }

    fn write(&mut self, name: &str, content: Content) -> Result<()> {
        self.look(|kept| kept.contents.insert(self.named(name), content));
        Ok(())
    }

    fn tensors(&self, name: &str) -> Result<Option<Tensors>> {
        Ok(match self.content(name) {
            Some(Content::Tensors(tensors)) => Some(tensors),
            _ => None,
        })
    }

    fn outlives(&self) -> bool {
        false
    }

    fn place(&self, name: &str) -> String {
        format!("{} in memory", self.named(name))
    }

    fn inside(&self, name: &str) -> Result<Box<dyn Sink>> {
        let prefix = self.named(name) + "/";
        Ok(Box::new(Self { kept: Arc::clone(&self.kept), prefix, started: Instant::now() }))
    }
}
