//! Runs a `sweep` experiment: trains once for every point of a grid, seed and device.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use indicatif::{ProgressBar, ProgressStyle};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::folder::RunFolder;
use super::load::{self, Loaded, Origin};
use super::spec::{Experiment, Kind, ModelRef, Precision};
use super::{Options, Train};
use crate::bootstrap;
use crate::error::{Error, Invalid, Result};
use crate::files;
use crate::imperfections::Imperfections;
use crate::records::{Axis, Drawing, HISTORY, SweepPoint, SweepRun, SweepSummary, read_metrics};
use crate::scalar::Scalar;
use crate::substrate::network::Network;

/// The axis that `cases` makes.
const CASE: &str = "case";

/// What a run can be asked for.
const MEASURES: [&str; 16] = [
    "test_accuracy",
    "test_loss",
    "digital_test_accuracy",
    "train_accuracy",
    "train_loss",
    "cosine",
    "synapse_cosine",
    "relative_error",
    "error_cosine",
    "feedback_angle",
    "jacobian_symmetry",
    "non_normality",
    "slowest_rate",
    "drive_rate",
    "signal_to_noise",
    "rhs_evaluations",
];

/// A grid of training runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// One line for lists.
    #[serde(default)]
    pub description: String,
    /// What differs from the published results, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Path of a file of published results that stand beside these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The `train` experiment that every point starts from: the path of its file, or the experiment itself.
    pub experiment: Base,
    /// Fields that every point sets, by their path.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub set: IndexMap<String, Value>,
    /// Named sets of fields (path: value): an axis called `case`, before the others.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub cases: IndexMap<String, IndexMap<String, Value>>,
    /// The values of each field, by its path in the experiment. `{name}` in a path stands for the value of the entry `name`, which
    /// then is no field itself.
    #[serde(default)]
    pub vary: IndexMap<String, Values>,
    /// Seeds of every point; the experiment's own by default.
    #[serde(default)]
    pub seeds: Option<Seeds>,
    /// Device seeds of every point; the experiment's own by default. A point without imperfections takes the first one only.
    #[serde(default)]
    pub device_seeds: Option<Seeds>,
    /// Whether each run keeps the metrics of its epochs and a checkpoint, in `runs/KEY`: they are drawn, and `--resume` continues
    /// a run within.
    #[serde(default)]
    pub history: bool,
    /// What is measured: fields of a run's summary, or of its last epoch.
    #[serde(default = "accuracy")]
    pub measure: Vec<String>,
    /// The entry of `vary` along the horizontal axis; the last by default.
    #[serde(default)]
    pub x: Option<String>,
    /// The entry that makes one curve of each value; by default the first that is not `x`, if `x` is numbers. Others make one
    /// panel of each value.
    #[serde(default)]
    pub lines: Option<String>,
    /// Curves, or a map over `x` and `lines`.
    #[serde(default)]
    pub draw: Drawing,
}

fn accuracy() -> Vec<String> {
    vec!["test_accuracy".into()]
}

/// The values along an axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a list of values, or {\"from\", \"to\", \"points\", \"scale\"}")]
pub enum Values {
    /// Any JSON, in this order.
    List(Vec<Value>),
    /// Numbers at equal distances.
    Range(Range),
}

/// Numbers at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub from: f64,
    /// The last.
    pub to: f64,
    /// How many, at least 2.
    pub points: usize,
    /// Whether differences or ratios are equal.
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
#[serde(untagged, expecting = "a number of seeds, or a list of them")]
pub enum Seeds {
    /// 0, 1, … below this.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

/// The experiment that a sweep varies: the path of its file, or itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The path of its file, relative to the sweep's.
    Path(String),
    /// Itself.
    Whole(Box<Train>),
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => serializer.serialize_str(path),
            Self::Whole(train) => Experiment::Train(train.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(path) => Ok(Self::Path(path)),
            mut value @ Value::Object(_) => {
                let kind = value.as_object_mut().and_then(|o| o.remove("kind"));
                if kind != Some(Value::from("train")) {
                    return Err(D::Error::custom("found an experiment of another kind than `train`"));
                }
                let train = serde_path_to_error::deserialize(value);
                train
                    .map(Self::Whole)
                    .map_err(|e| D::Error::custom(format!("at `{}`: {}", e.path(), e.inner())))
            }
            _ => {
                Err(D::Error::custom("expected the path of an experiment of kind `train`, or the experiment"))
            }
        }
    }
}

impl JsonSchema for Base {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SweptExperiment".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let train = generator.subschema_for::<Train>();
        schemars::json_schema!({ "anyOf": [
            { "type": "string", "description": "The path of an experiment of kind `train`, relative to the sweep's." },
            { "type": "object", "description": "The experiment.", "properties": { "kind": { "const": "train" } },
              "required": ["kind"] },
            train
        ] })
    }
}

impl Values {
    fn list(&self) -> Vec<Value> {
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

    fn validate(&self) -> std::result::Result<(), Invalid> {
        match self {
            Self::List(values) => {
                if values.is_empty() {
                    return Err(Invalid::new("", "found none", "at least one value"));
                }
                match (1..values.len()).find(|i| values[..*i].contains(&values[*i])) {
                    Some(i) => Err(Invalid::new("", format!("found {} twice", values[i]), "each value once")),
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
    fn list(&self) -> Vec<u64> {
        match self {
            Self::Count(count) => (0..*count).collect(),
            Self::List(seeds) => seeds.clone(),
        }
    }

    fn validate(&self, path: &str) -> std::result::Result<(), Invalid> {
        let legal = "a number from 1 to 10000, or a list of different seeds";
        let list = match self {
            Self::Count(count) if *count == 0 || *count > 10_000 => {
                return Err(Invalid::new(path, format!("found {count}"), legal));
            }
            seeds => seeds.list(),
        };
        let repeated = (1..list.len()).any(|i| list[..i].contains(&list[i]));
        if list.is_empty() || repeated {
            return Err(Invalid::new(path, format!("found {list:?}"), legal));
        }
        Ok(())
    }
}

/// One run: a point of the grid with its seeds.
#[derive(Debug, Clone)]
struct Job {
    point: usize,
    values: IndexMap<String, Value>,
    seed: u64,
    device_seed: u64,
}

impl Sweep {
    fn base(&self) -> Result<&Train> {
        match &self.experiment {
            Base::Whole(train) => Ok(train),
            Base::Path(path) => Err(Error::Internal(format!("the experiment {path} has not been loaded"))),
        }
    }

    fn axes(&self) -> Vec<Axis> {
        let cases = self.cases.keys().map(|label| Value::from(label.as_str())).collect::<Vec<_>>();
        let cases = (!cases.is_empty()).then(|| Axis { path: CASE.into(), values: cases });
        let vary = self.vary.iter().map(|(path, values)| Axis { path: path.clone(), values: values.list() });
        cases.into_iter().chain(vary).collect()
    }

    /// Checks what concerns the grid alone.
    fn check(&self) -> std::result::Result<(), Invalid> {
        for (path, values) in &self.vary {
            let reserved = [
                (CASE, "the axis of `cases` has this name"),
                ("seed", "use `seeds`"),
                ("imperfections.device_seed", "use `device_seeds`"),
                ("parameters", "the initial parameters are the same for all points"),
            ];
            if let Some((name, legal)) = reserved.iter().find(|(name, _)| path == name) {
                return Err(Invalid::new(format!("vary.{path}"), format!("found `{name}`"), *legal));
            }
            values.validate().map_err(|e| e.under(&format!("vary.{path}")))?;
        }
        if let Some(seeds) = &self.seeds {
            seeds.validate("seeds")?;
        }
        if let Some(seeds) = &self.device_seeds {
            seeds.validate("device_seeds")?;
        }
        let axes = self.axes();
        if axes.is_empty() && self.seeds.is_none() && self.device_seeds.is_none() {
            let legal = "at least one path with its values, or `cases`, or seeds";
            return Err(Invalid::new("vary", "found none", legal));
        }
        let seeds = |s: &Option<Seeds>| s.as_ref().map_or(1, |s| s.list().len() as u64);
        let runs = axes
            .iter()
            .map(|axis| axis.values.len() as u64)
            .chain([seeds(&self.seeds), seeds(&self.device_seeds)])
            .fold(1, u64::saturating_mul);
        if runs > 1_000_000 {
            return Err(Invalid::new("vary", format!("found {runs} runs"), "at most 1000000"));
        }
        if self.measure.is_empty() {
            return Err(Invalid::new("measure", "found none", "at least one measure"));
        }
        for (i, name) in self.measure.iter().enumerate() {
            if !MEASURES.contains(&name.as_str()) || self.measure[..i].contains(name) {
                let legal = format!("each once, of {}", MEASURES.join(", "));
                return Err(Invalid::new(format!("measure[{i}]"), format!("found {name:?}"), legal));
            }
        }
        let paths: Vec<&str> = axes.iter().map(|a| a.path.as_str()).collect();
        for (field, path) in [("x", &self.x), ("lines", &self.lines)] {
            if let Some(path) = path
                && !paths.contains(&path.as_str())
            {
                let legal = format!("it must be one of {}", paths.join(", "));
                return Err(Invalid::new(field, format!("found {path:?}"), legal));
            }
        }
        let (x, lines) = self.drawn(&axes);
        let numeric = axes.iter().any(|a| a.path == x && a.numbers().is_some());
        if let Some(lines) = lines.as_ref().filter(|lines| **lines == x || !numeric) {
            let legal = "another axis than `x`, which is then an axis of numbers";
            return Err(Invalid::new("lines", format!("found {lines:?} over `x` {x:?}"), legal));
        }
        if self.draw == Drawing::HeatMap {
            let even = |path: &str| axes.iter().any(|a| a.path == path && a.spacing().is_some());
            if !even(&x) || !lines.as_deref().is_some_and(even) {
                let legal =
                    "a heat map needs `x` and `lines` with rising numbers at equal differences or ratios";
                return Err(Invalid::new("draw", "found heat_map over other values", legal));
            }
        }
        Ok(())
    }

    /// The axes of the figure: across, and of curves.
    fn drawn(&self, axes: &[Axis]) -> (String, Option<String>) {
        let x = self.x.clone().or_else(|| axes.last().map(|a| a.path.clone())).unwrap_or_default();
        let numeric = axes.iter().any(|a| a.path == x && a.numbers().is_some());
        let other = axes.iter().map(|a| &a.path).find(|path| numeric && **path != x);
        (x, self.lines.clone().or_else(|| other.cloned()))
    }

    /// Every run, in the order of the grid: the last axis is the fastest, then the seed, then the device.
    fn jobs(&self, origin: &Origin) -> Result<Vec<Job>> {
        let base = self.base()?;
        let own = |seeds: &Option<Seeds>, own: u64| seeds.as_ref().map_or(vec![own], Seeds::list);
        let seeds = own(&self.seeds, base.seed);
        let devices = own(&self.device_seeds, base.imperfections.device_seed);
        let mut grid: Vec<IndexMap<String, Value>> = vec![IndexMap::new()];
        for axis in self.axes() {
            let extend = |values: &IndexMap<String, Value>| {
                let extended = |value: &Value| {
                    let mut values = values.clone();
                    values.insert(axis.path.clone(), value.clone());
                    values
                };
                axis.values.iter().map(extended).collect::<Vec<_>>()
            };
            grid = grid.iter().flat_map(extend).collect();
        }
        let mut jobs = Vec::new();
        for (point, values) in grid.iter().enumerate() {
            let job = |seed, device_seed| Job { point, values: values.clone(), seed, device_seed };
            let first = job(seeds[0], devices[0]);
            let loaded = self.load(&first, origin)?;
            let Experiment::Train(train) = &loaded.experiment else {
                return Err(Error::Internal("a point is no training run".into()));
            };
            let imperfections = Imperfections { device_seed: 0, preset: None, ..train.imperfections };
            let several = imperfections != Imperfections::default();
            let devices = if several { &devices[..] } else { &devices[..1] };
            jobs.extend(seeds.iter().flat_map(|s| devices.iter().map(|d| job(*s, *d)).collect::<Vec<_>>()));
        }
        Ok(jobs)
    }

    /// The experiment of a run, validated.
    fn load(&self, job: &Job, origin: &Origin) -> Result<Loaded> {
        let told: Vec<String> = job.values.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let who = format!("{} (point {}: {})", origin.display(), job.point + 1, told.join(", "));
        let mut value = serde_json::to_value(&self.experiment).map_err(|e| Error::Internal(e.to_string()))?;
        let used = |name: &str| self.vary.keys().any(|path| path.contains(&format!("{{{name}}}")));
        let mut set = |path: &str, to: &Value| load::set_field(&mut value, path, to.clone(), &who, origin);
        self.set.iter().try_for_each(|(path, to)| set(path, to))?;
        for (path, to) in &job.values {
            if path == CASE {
                let case = to.as_str().and_then(|label| self.cases.get(label));
                case.into_iter().flatten().try_for_each(|(path, to)| set(path, to))?;
            } else if !used(path) {
                let mut path = path.clone();
                for (name, value) in &job.values {
                    let written = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                    path = path.replace(&format!("{{{name}}}"), &written);
                }
                set(&path, to)?;
            }
        }
        set("seed", &json!(job.seed))?;
        set("imperfections.device_seed", &json!(job.device_seed))?;
        let mut experiment = load::parse_experiment(value, &who)?;
        if !matches!(experiment, Experiment::Train(_)) {
            return Err(Error::input(
                who,
                "kind",
                "found another kind",
                "a sweep varies experiments of kind `train`",
            ));
        }
        let network = load::resolve_model(experiment.kind_mut().model_mut(), origin)?;
        experiment.kind().validate(&network).map_err(|invalid| invalid.in_file(&who))?;
        Ok(Loaded { origin: origin.clone(), name: String::new(), experiment, network: network.into() })
    }
}

impl Kind for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn published_mut(&mut self) -> Option<&mut String> {
        self.published.as_mut()
    }

    fn resolve(&mut self, origin: &Origin) -> Result<()> {
        self.check().map_err(|invalid| invalid.in_file(origin.display()))?;
        if let Base::Path(path) = &self.experiment {
            let file = origin.beside(path).display();
            match load::parse_experiment(load::inline(origin, path)?, &file)? {
                Experiment::Train(train) => self.experiment = Base::Whole(train),
                other => {
                    let found = format!("found an experiment of kind `{}`", other.kind().name());
                    return Err(Error::input(
                        file,
                        "kind",
                        found,
                        "a sweep varies experiments of kind `train`",
                    ));
                }
            }
        }
        load::resolve_model(self.model_mut(), origin)?;
        // The models that are compared are written out too: the run folder stands for itself.
        if let Some(Values::List(models)) = self.vary.get_mut("model") {
            for model in models {
                if let Value::String(path) = model {
                    *model = load::parse_json(&origin.beside(path))?;
                }
            }
        }
        self.jobs(origin).map(drop)
    }

    fn is_resumable(&self) -> bool {
        true
    }

    fn model_mut(&mut self) -> &mut ModelRef {
        match &mut self.experiment {
            Base::Whole(train) => &mut train.model,
            Base::Path(_) => unreachable!("`resolve` has replaced the path"),
        }
    }

    fn files_mut(&mut self) -> Vec<&mut String> {
        match &mut self.experiment {
            Base::Whole(train) => train.files_mut(),
            Base::Path(_) => Vec::new(),
        }
    }

    fn seed(&self) -> u64 {
        self.base().map_or(0, |train| train.seed)
    }

    fn validate(&self, _network: &Network) -> std::result::Result<(), Invalid> {
        // `resolve` has validated every point with its own network.
        Ok(())
    }

    fn run(&self, loaded: &Loaded, folder: &RunFolder, options: &Options) -> Result<Vec<String>> {
        let runs = self.runs(loaded)?;
        prepare(&runs, options)?;
        let mut lines = BTreeMap::new();
        if options.resume {
            lines = finished(folder, &runs)?;
            folder.rewrite_metrics(lines.values().map(String::as_str))?;
        } else {
            folder.write_experiment(loaded)?;
        }
        let open: Vec<&Run> = runs.iter().filter(|run| !lines.contains_key(&run.index)).collect();
        lines.extend(self.work(&open, folder, options)?);
        folder.rewrite_metrics(lines.values().map(String::as_str))?;
        self.finish(folder)
    }
}

/// A run of the sweep, ready to go.
struct Run {
    index: usize,
    /// Identifies the run: a hash of all that decides its result.
    key: String,
    job: Job,
    loaded: Loaded,
}

impl Run {
    fn train(&self) -> Result<&Train> {
        match &self.loaded.experiment {
            Experiment::Train(train) => Ok(train),
            _ => Err(Error::Internal("a point is no training run".into())),
        }
    }
}

/// Finds out before any work what would stop a run: its data, parameters and learning rates.
fn prepare(runs: &[Run], options: &Options) -> Result<()> {
    let mut seen = Vec::new();
    for run in runs {
        let train = run.train()?;
        match train.precision {
            Precision::F32 => drop(train.trainer::<f32>(&run.loaded)?),
            Precision::F64 => drop(train.trainer::<f64>(&run.loaded)?),
        }
        let shape = (run.loaded.network.inputs, run.loaded.network.output.size());
        if !seen.contains(&(&train.data, shape)) {
            train.data(&run.loaded, options)?;
            seen.push((&train.data, shape));
        }
    }
    Ok(())
}

/// The complete lines of an earlier attempt, by place in the grid.
fn finished(folder: &RunFolder, runs: &[Run]) -> Result<BTreeMap<usize, String>> {
    let path = folder.path().join("metrics.jsonl");
    let text = if path.exists() { files::read_text(&path)? } else { String::new() };
    let mut lines = BTreeMap::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let known = serde_json::from_str::<SweepRun>(line).ok();
        let Some(run) = known.and_then(|known| runs.iter().find(|run| run.key == known.key)) else {
            let found = format!("found a run that this sweep does not have: {}", line.trim_end());
            let legal = "--resume takes the sweep as it was begun: start another in a new folder";
            return Err(Error::input(path.display().to_string(), "", found, legal));
        };
        lines.insert(run.index, line.to_owned());
    }
    Ok(lines)
}

impl Sweep {
    fn runs(&self, loaded: &Loaded) -> Result<Vec<Run>> {
        let ready = |(index, job): (usize, Job)| {
            let loaded = self.load(&job, &loaded.origin)?;
            let identity = (&job.values, &loaded.experiment, &self.measure);
            let identity = serde_json::to_vec(&identity).map_err(|e| Error::Internal(e.to_string()))?;
            let hash = Sha256::digest(identity);
            let key = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Run { index, key, job, loaded })
        };
        self.jobs(&loaded.origin)?.into_iter().enumerate().map(ready).collect()
    }

    /// Does the runs on all threads of the current pool, one run a thread; each line is on disk as soon as its run is done.
    fn work(&self, open: &[&Run], folder: &RunFolder, options: &Options) -> Result<BTreeMap<usize, String>> {
        let bar = progress_bar(options.progress, open.len());
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        let worker = || -> Result<()> {
            // Runs are the parallelism: what is parallel within one stays on its thread.
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            let alone = alone.map_err(|e| Error::Internal(format!("no thread to work on: {e}")))?;
            while let Some(run) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = alone.install(|| self.measure(run, folder, options));
                // An error that ends the sweep ends it for all.
                let record = outcome.inspect_err(|_| next.store(open.len(), Ordering::Relaxed))?;
                let line = serde_json::to_string(&record).map_err(|e| Error::Internal(e.to_string()))? + "\n";
                let mut done = done.lock().map_err(|_| Error::Internal("another run panicked".into()))?;
                folder.append_metrics(&record)?;
                done.insert(run.index, line);
                bar.inc(1);
                bar.set_message(told(&record));
            }
            Ok(())
        };
        let threads = rayon::current_num_threads().min(open.len());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            let panicked = |_| Err(Error::Internal("a run panicked".into()));
            workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(panicked))
        })?;
        bar.finish_and_clear();
        done.into_inner().map_err(|_| Error::Internal("a run panicked".into()))
    }

    /// One run. A divergence is a result.
    fn measure(&self, run: &Run, folder: &RunFolder, options: &Options) -> Result<SweepRun> {
        let start = Instant::now();
        let train = run.train()?;
        let kept = self.history.then(|| folder.inside(&format!("{HISTORY}/{}", run.key))).transpose()?;
        let measures = match train.precision {
            Precision::F32 => measures::<f32>(train, &run.loaded, options, kept.as_ref()),
            Precision::F64 => measures::<f64>(train, &run.loaded, options, kept.as_ref()),
        };
        let (mut measures, failure) = match measures {
            Ok(measures) => (measures, None),
            Err(error @ Error::Diverged { .. }) => (json!({}), Some(error.to_string())),
            Err(other) => return Err(other),
        };
        let value = |name: &String| (name.clone(), measures[name.as_str()].take().as_f64());
        Ok(SweepRun {
            key: run.key.clone(),
            point: run.job.point,
            values: run.job.values.clone(),
            seed: run.job.seed,
            device_seed: run.job.device_seed,
            measures: self.measure.iter().map(value).collect(),
            failure,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn finish(&self, folder: &RunFolder) -> Result<Vec<String>> {
        let runs: Vec<SweepRun> = read_metrics(folder.path())?;
        let axes = self.axes();
        let mut points = Vec::new();
        for group in runs.chunk_by(|a, b| a.point == b.point) {
            let interval = |name: &String| {
                let value = |run: &SweepRun| run.measures.get(name).copied().flatten();
                let rows = group.chunk_by(|a, b| a.seed == b.seed);
                let table: Vec<Vec<Option<f64>>> = rows.map(|row| row.iter().map(value).collect()).collect();
                (name.clone(), bootstrap::interval(&table, group[0].point as u64))
            };
            points.push(SweepPoint {
                values: group[0].values.clone(),
                runs: group.len(),
                failures: group.iter().filter(|run| run.failure.is_some()).count(),
                measures: self.measure.iter().map(interval).collect(),
            });
        }
        let (x, lines) = self.drawn(&axes);
        let (failures, count) = (points.iter().map(|p| p.failures).sum::<usize>(), runs.len());
        let training_seconds = runs.iter().map(|run| run.seconds).sum();
        let told = points.iter().map(|point| point_line(point, &self.measure[0])).collect();
        folder.write_json(
            "summary.json",
            &SweepSummary {
                axes,
                x,
                lines,
                draw: self.draw,
                runs: count,
                failures,
                wall_seconds: folder.seconds(),
                training_seconds,
                points,
            },
        )?;
        Ok(told)
    }
}

/// Everything that a run can be asked for; null where it does not apply.
fn measures<T: Scalar>(
    train: &Train,
    loaded: &Loaded,
    options: &Options,
    kept: Option<&RunFolder>,
) -> Result<Value> {
    let (last, test) = train.outcome::<T>(loaded, options, kept)?;
    let mut measures = serde_json::to_value(&last).map_err(|e| Error::Internal(e.to_string()))?;
    measures["digital_test_accuracy"] = json!(train.transfer.then_some(last.test_accuracy));
    measures["test_accuracy"] = json!(test.accuracy);
    measures["test_loss"] = json!(test.loss);
    Ok(measures)
}

fn progress_bar(visible: bool, runs: usize) -> ProgressBar {
    if !visible {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(runs as u64);
    let template = "{bar:24} {pos}/{len} runs  {msg}  {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn values_line(values: &IndexMap<String, Value>) -> String {
    let value = |(path, value): (&String, &Value)| format!("{path} = {}", crate::records::value_label(value));
    values.iter().map(value).collect::<Vec<_>>().join(", ")
}

fn told(run: &SweepRun) -> String {
    let measured = run.measures.first().and_then(|(name, value)| Some(format!("{name} {:.4}", (*value)?)));
    format!("{}: {}", values_line(&run.values), measured.unwrap_or_else(|| "diverged".into()))
}

fn point_line(point: &SweepPoint, measure: &str) -> String {
    let failed = if point.failures > 0 { format!(", {} diverged", point.failures) } else { String::new() };
    let measured = point
        .measures
        .get(measure)
        .copied()
        .flatten()
        .map_or("nothing".into(), |i| format!("{measure} {:.4} [{:.4}, {:.4}]", i.mean, i.low, i.high));
    format!("{}: {measured} over {} runs{failed}", values_line(&point.values), point.runs)
}
