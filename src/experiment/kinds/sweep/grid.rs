//! The points of a sweep: values along axes, seeds, and the experiment at each.

use std::collections::HashSet;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CASE, Sweep};
use crate::error::{Error, Invalid, Result};
use crate::experiment::document;
use crate::experiment::kind::Kind;
use crate::experiment::kinds::train::Train;
use crate::experiment::origin::Origin;
use crate::experiment::setup::{self, Instance, Site};
use crate::experiment::spec::ModelRef;
use crate::imperfections::Imperfections;

/// The values along an axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of values, or {\"from\", \"to\", \"points\", \"scale\"}")]
pub enum Values {
    /// Any JSON, each value once, in this order.
    List(#[schemars(length(min = 1))] Vec<Value>),
    /// Numbers at equal distances.
    Range(Range),
}

/// Numbers at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first value.
    pub from: f64,
    /// The last value, another than the first.
    pub to: f64,
    /// How many values.
    #[schemars(range(min = 2, max = 100_000))]
    pub points: usize,
    /// Whether differences or ratios are equal; for ratios both ends are positive.
    #[serde(default)]
    pub scale: Spacing,
}

/// How numbers are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios.
    Log,
}

/// A number of seeds, from 0, or the seeds themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of seeds, or a list of them")]
pub enum Seeds {
    /// So many, from 0.
    Count(#[schemars(range(min = 1, max = 10_000))] u64),
    /// Different ones.
    List(#[schemars(length(min = 1))] Vec<u64>),
}

impl Values {
    pub(super) fn list(&self) -> Vec<Value> {
        match self {
            Self::List(values) => values.clone(),
            Self::Range(Range { from, to, points, scale }) => {
                let value = |i: usize| {
                    let part = i as f64 / (points - 1) as f64;
                    match (i, scale) {
                        (0, _) => *from,
                        (i, _) if i + 1 == *points => *to,
                        (_, Spacing::Linear) => from + (to - from) * part,
                        (_, Spacing::Log) => from * (to / from).powf(part),
                    }
                };
                (0..*points).map(|i| json!(value(i))).collect()
            }
        }
    }

    pub(super) fn validate(&self) -> std::result::Result<(), Invalid> {
        match self {
            Self::List(values) => {
                if values.is_empty() {
                    return Err(Invalid::new("", "found none", "at least one value"));
                }
                let mut seen = HashSet::new();
                match values.iter().find(|value| !seen.insert(value.to_string())) {
                    Some(value) => Err(Invalid::new("", format!("found {value} twice"), "each value once")),
                    None => Ok(()),
                }
            }
            Self::Range(Range { from, to, points, scale }) => {
                if !(2..=100_000).contains(points) {
                    return Err(Invalid::new("points", format!("found {points}"), "2 to 100000"));
                }
                let bad = |x: f64| !x.is_finite() || (*scale == Spacing::Log && x <= 0.0);
                if bad(*from) || bad(*to) || from == to {
                    let found = format!("found {from} to {to}");
                    return Err(Invalid::new("", found, "two different numbers, both positive for `log`"));
                }
                Ok(())
            }
        }
    }
}

impl Seeds {
    pub(super) fn list(&self) -> Vec<u64> {
        match self {
            Self::Count(count) => (0..*count).collect(),
            Self::List(seeds) => seeds.clone(),
        }
    }

    pub(super) fn validate(&self, path: &str) -> std::result::Result<(), Invalid> {
        let legal = "a number from 1 to 10000, or a list of different seeds";
        let list = match self {
            Self::Count(count) if *count == 0 || *count > 10_000 => {
                return Err(Invalid::new(path, format!("found {count}"), legal));
            }
            seeds => seeds.list(),
        };
        let mut seen = HashSet::new();
        match list.iter().find(|seed| !seen.insert(**seed)) {
            Some(seed) => Err(Invalid::new(path, format!("found {seed} twice"), legal)),
            None if list.is_empty() => Err(Invalid::new(path, "found none", legal)),
            None => Ok(()),
        }
    }
}

/// One run: a point of the grid with its seeds.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) point: usize,
    pub(super) values: IndexMap<String, Value>,
    pub(super) seed: u64,
    pub(super) device_seed: u64,
}

impl Job {
    /// A path with the values of the entries it names.
    fn path(&self, path: &str) -> String {
        self.values.iter().fold(path.to_owned(), |path, (name, value)| {
            let written = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            path.replace(&placeholder(name), &written)
        })
    }

    /// A value, or that of the entry it names.
    fn fill(&self, to: &Value) -> Value {
        match to {
            Value::String(text) => {
                let named = self.values.iter().find(|(name, _)| *text == placeholder(name));
                named.map_or_else(|| to.clone(), |(_, value)| value.clone())
            }
            Value::Array(list) => list.iter().map(|to| self.fill(to)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, to)| (key.clone(), self.fill(to)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }
}

/// The training run of a point, validated.
pub(super) struct Point {
    pub(super) train: Box<Train>,
    pub(super) site: Site,
}

/// How an entry of `vary` is named where it stands in.
pub(super) fn placeholder(name: &str) -> String {
    format!("{{{name}}}")
}

/// Whether a value, or one within it, is this text.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(list) => list.iter().any(|value| holds(value, text)),
        Value::Object(map) => map.values().any(|value| holds(value, text)),
        _ => false,
    }
}

/// Whether it makes a difference which device a run is on.
pub(super) fn has_devices(train: &Train) -> bool {
    let imperfections = Imperfections { device_seed: 0, preset: None, ..train.imperfections.clone() };
    imperfections != Imperfections::default()
}

impl Sweep {
    /// Whether an entry of `vary` stands in for a part of a path or for a value, and is no field itself.
    fn stands_in(&self, name: &str) -> bool {
        let name = placeholder(name);
        let mut set = self.set.iter().chain(self.cases.values().flatten());
        self.vary.keys().any(|path| path.contains(&name))
            || set.any(|(path, value)| path.contains(&name) || holds(value, &name))
    }

    /// The values of every point, in the order of the grid: the last axis is the fastest.
    fn grid(&self) -> impl Iterator<Item = IndexMap<String, Value>> {
        let axes = self.axes();
        let count: usize = axes.iter().map(|axis| axis.values.len()).product();
        (0..count).map(move |point| {
            let mut rest = point;
            let mut values: IndexMap<String, Value> = IndexMap::new();
            for axis in axes.iter().rev() {
                values.insert(axis.path.clone(), axis.values[rest % axis.values.len()].clone());
                rest /= axis.values.len();
            }
            values.reverse();
            values
        })
    }

    /// The seeds of every point, of training and of devices.
    fn seeds(&self) -> Result<[Vec<u64>; 2]> {
        let base = self.base()?;
        let own = |seeds: &Option<Seeds>, own: u64| seeds.as_ref().map_or(vec![own], Seeds::list);
        Ok([own(&self.seeds, base.seed), own(&self.device_seeds, base.imperfections.device_seed)])
    }

    /// Hands the experiment of every point, with the first of its seeds, to `look`; only one is in memory at a time.
    ///
    /// # Errors
    /// If a point is not legal, or what `look` finds.
    pub(super) fn each_point(
        &self,
        origin: &Origin,
        mut look: impl FnMut(Point) -> Result<()>,
    ) -> Result<()> {
        let [seeds, devices] = self.seeds()?;
        self.grid().enumerate().try_for_each(|(point, values)| {
            let job = Job { point, values, seed: seeds[0], device_seed: devices[0] };
            look(self.load(&job, origin)?)
        })
    }

    /// Every run, in the order of the grid; then by seed, then by device.
    pub(super) fn jobs(&self, origin: &Origin) -> Result<Vec<Job>> {
        let [seeds, devices] = self.seeds()?;
        let mut jobs = Vec::new();
        for (point, values) in self.grid().enumerate() {
            let job = |seed, device_seed| Job { point, values: values.clone(), seed, device_seed };
            let point = self.load(&job(seeds[0], devices[0]), origin)?;
            let devices = if has_devices(&point.train) { &devices[..] } else { &devices[..1] };
            jobs.extend(seeds.iter().flat_map(|s| devices.iter().map(|d| job(*s, *d)).collect::<Vec<_>>()));
        }
        Ok(jobs)
    }

    /// The experiment of a run, validated.
    pub(super) fn load(&self, job: &Job, origin: &Origin) -> Result<Point> {
        let told: Vec<String> = job.values.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let who = format!("{} (point {}: {})", origin.display(), job.point + 1, told.join(", "));
        let mut value = serde_json::to_value(&self.experiment).map_err(|e| Error::Internal(e.to_string()))?;
        let mut set = |path: &str, to: &Value| {
            document::set_field(&mut value, &job.path(path), job.fill(to), &who, origin)
        };
        self.set.iter().try_for_each(|(path, to)| set(path, to))?;
        for (path, to) in &job.values {
            if path == CASE {
                let case = to.as_str().and_then(|label| self.cases.get(label));
                case.into_iter().flatten().try_for_each(|(path, to)| set(path, to))?;
            } else if !self.stands_in(path) {
                set(path, to)?;
            }
        }
        set("seed", &json!(job.seed))?;
        set("imperfections.device_seed", &json!(job.device_seed))?;
        let mut train = read_train(value, (&who, origin), |_| "found another kind".into())?;
        let instance = document::resolve_model(&mut train.model, origin)?;
        let sound = match &instance {
            Instance::Neurons(network) => train.validate(network),
            Instance::Circuit(circuit) => train.validate_circuit(circuit),
        };
        sound.map_err(|invalid| invalid.in_file(&who))?;
        let instance = setup::on_device(instance, &*train).map_err(|invalid| invalid.in_file(&who))?;
        Ok(Point { train, site: Site::new(origin.clone(), &instance) })
    }
}

/// Reads an experiment of kind `train`; `found` says what is found of another kind.
pub(super) fn read_train(
    mut value: Value,
    (file, origin): (&str, &Origin),
    found: impl Fn(&str) -> String,
) -> Result<Box<Train>> {
    let legal = "a sweep varies experiments of kind `train`";
    let circuit = document::take_circuit(&mut value, origin, "experiment.")?;
    match &*document::take_kind(&mut value, file, legal)? {
        "train" => {
            let mut train: Box<Train> = document::deserialise(value, file)?;
            if let Some(circuit) = circuit {
                train.model = ModelRef::Circuit(Box::new(circuit));
            }
            Ok(train)
        }
        other => Err(Error::input(file, "kind", found(other), legal)),
    }
}
