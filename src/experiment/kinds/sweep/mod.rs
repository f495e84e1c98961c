//! Runs a `sweep` experiment: trains once for every point of a grid, seed and device.

mod base;
mod demand;
#[cfg(feature = "program")]
pub(crate) mod figure;
mod grid;
#[cfg(feature = "program")]
mod history;
mod labels;
pub mod record;
mod runs;
mod shards;
mod share;
mod table;
mod tasks;

pub use base::Base;
pub use grid::{Seeds, Values};
pub(crate) use shards::Plan;
pub use shards::Shard;
pub use share::{Share, Yield};
pub use tasks::Task;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use self::grid::{Point, read_train};
use self::record::{COST, Drawing, JOULES, SweepAxis};
use self::runs::{Run, prepare};
use crate::data::DataSpec;
use crate::error::{Error, Invalid, Result};
use crate::experiment::cost::Cost;
use crate::experiment::document;
use crate::experiment::head::{Head, spec};
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::kinds::train::{self, Train};
use crate::experiment::measured;
use crate::experiment::origin::{self, Origin};
use crate::experiment::problem;
use crate::experiment::setup::{CircuitSetup, Options, Setup, Site};
use crate::experiment::sink::Sink;
use crate::experiment::spec::{ModelRef, Precision};
use crate::json::wording;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::neurons::network::Network;
use crate::team;

/// Points of a grid at most: each is an experiment that is checked before any work.
const MOST_POINTS: u64 = 10_000;
/// Runs of a sweep at most: all of them are in memory.
const MOST_RUNS: u64 = 100_000;

/// The axis that `cases` makes.
const CASE: &str = "case";

/// Fields that the points of a sweep do not set, and what does.
const RESERVED: [(&str, &str); 3] = [
    ("seed", "use `seeds`"),
    ("imperfections.device_seed", "use `device_seeds`"),
    ("parameters", "the initial parameters are the same for all points: use `experiment.parameters`"),
];

/// What a run can be asked for.
const MEASURES: [&str; 17] = [
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
    JOULES,
    COST,
];

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: true, files: &[] };

spec! {
    /// A grid of training runs.
    pub struct Sweep {
        description, notes, published,
        /// The `train` experiment that every point starts from: the path of its file, or the experiment itself.
        pub experiment: Base,
        /// Fields that every point sets, by their path. The value `"{name}"` stands for that of the entry `name` of `vary`.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        pub set: IndexMap<String, Value>,
        /// Named sets of fields (path → value): an axis called `case`, before the others.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        pub cases: IndexMap<String, IndexMap<String, Value>>,
        /// The axes: for each field, by its path in the experiment, its values; at most 10000 points in all, and 100000 runs.
        /// `{name}` in a path, or `"{name}"` as a value of `set` or `cases`, stands for the value of the entry `name`, which
        /// then is no field itself.
        #[serde(default)]
        pub vary: IndexMap<String, Values>,
        /// Seeds of every point, a training each: so many from 0, or these. The experiment's own by default; a sweep needs an
        /// axis, `cases` or seeds.
        #[serde(default)]
        pub seeds: Option<Seeds>,
        /// Device seeds of every point, a device each, in the same way. The experiment's own by default. A point without
        /// imperfections takes the first one only.
        #[serde(default)]
        pub device_seeds: Option<Seeds>,
        /// Whether each run keeps the metrics of its epochs, a line an epoch, and a checkpoint, in `runs/KEY`. They are drawn,
        /// and `--resume` continues within a run, or all of them for more epochs where the learning rate is constant.
        #[serde(default)]
        pub history: bool,
        /// What is taken from each run: fields of its summary, or of its last epoch. `summary.json` has the mean and a 95 %
        /// interval of each, which for up to three runs is their range.
        #[serde(default = "accuracy")]
        #[schemars(length(min = 1))]
        pub measure: Vec<String>,
        /// Reports and draws for each point the share of its runs, a device each, that reach an accuracy, with Wilson's 95 % interval.
        #[serde(default, rename = "yield", skip_serializing_if = "Option::is_none")]
        pub reaches: Option<Yield>,
        /// The axis that is drawn across, by its path; the last by default.
        #[serde(default)]
        pub x: Option<String>,
        /// The axis that makes one curve of each value; by default the first that is not `x`, if `x` is numbers. Others make
        /// one panel of each value.
        #[serde(default)]
        pub lines: Option<String>,
        /// What is drawn.
        #[serde(default)]
        pub draw: Drawing,
        /// How the figure calls axes and measures, by their name here (path or measure → text).
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        pub labels: IndexMap<String, String>,
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

    fn precision(&self) -> Precision {
        self.base().map_or(Precision::F64, |train| train.precision)
    }

    fn data_mut(&mut self) -> Option<&mut DataSpec> {
        match &mut self.experiment {
            Base::Whole(train) => train.data_mut(),
            Base::Path(_) => None,
        }
    }
}

/// Refuses a field that the points of a sweep do not set; `below` is where it was found.
fn refuse_reserved(below: &str, path: &str, value: &Value) -> std::result::Result<(), Invalid> {
    let whole = path == "imperfections" && value.get("device_seed").is_some();
    let path = if whole { "imperfections.device_seed" } else { path };
    match RESERVED.iter().find(|(name, _)| *name == path) {
        Some((name, legal)) => {
            Err(Invalid::new(format!("{below}.{path}"), format!("found `{name}`"), *legal))
        }
        None => Ok(()),
    }
}

/// Refuses `--set experiment.P=…` of a sweep in which every point sets P itself, so that it would change nothing; `root` is the
/// experiment with all overrides.
///
/// # Errors
/// If it is such an override; the message names what decides.
pub(crate) fn refuse_idle_override(root: &Value, text: &str) -> Result<()> {
    let path = text.split_once('=').and_then(|(path, _)| path.strip_prefix("experiment."));
    let Some(path) = path.filter(|_| root["kind"] == "sweep") else { return Ok(()) };
    let decides = |part: &Value| {
        let at_or_above = |field: &&String| {
            path.strip_prefix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        part.as_object().and_then(|fields| fields.keys().find(at_or_above)).cloned()
    };
    let seeds =
        |field: &str, seeds: &str| (path == field && !root[seeds].is_null()).then(|| seeds.to_owned());
    let in_cases = || {
        let cases: Vec<_> = root["cases"].as_object()?.iter().collect();
        // Where a case leaves it alone, the override counts.
        let fields: Option<Vec<String>> =
            cases.iter().map(|(label, case)| Some(format!("cases.{label}.{}", decides(case)?))).collect();
        fields?.into_iter().next()
    };
    let below = |part: &str| decides(&root[part]).map(|field| format!("{part}.{field}"));
    let decisive = below("set")
        .or_else(|| below("vary"))
        .or_else(in_cases)
        .or_else(|| seeds("seed", "seeds"))
        .or_else(|| seeds("imperfections.device_seed", "device_seeds"));
    match decisive {
        None => Ok(()),
        Some(field) => {
            let found = format!("`{field}` decides");
            Err(Error::input(format!("--set {text}"), "", found, format!("use --set {field}=…")))
        }
    }
}

/// Writes out a model that is set, and the folder of data wholly, unless the text stands for something else; `stands_in` says
/// so, of the text and the path at which it was found.
fn write_out(
    origin: &Origin,
    path: &str,
    value: &mut Value,
    stands_in: &mut impl FnMut(&str, &str) -> bool,
) -> Result<()> {
    if let (Value::String(file), "model") = (&*value, path)
        && !stands_in(file, path)
    {
        let file = origin.beside(file);
        *value = document::parse_json(&file).map_err(|e| e.referred_to_by(&origin.display(), "model"))?;
        document::mask_paths(value, |mask| {
            *mask = origin::absolute(&file, mask.as_ref())?.to_string_lossy().into_owned();
            Ok(())
        })?;
    }
    document::data_folders(path, value, &mut |path, folder| {
        if !stands_in(folder, path) {
            *folder = origin::absolute(origin, folder.as_ref())?.to_string_lossy().into_owned();
        }
        Ok(())
    })
}

fn accuracy() -> Vec<String> {
    vec!["test_accuracy".into()]
}

impl Sweep {
    fn base(&self) -> Result<&Train> {
        match &self.experiment {
            Base::Whole(train) => Ok(train),
            Base::Path(path) => Err(Error::Internal(format!("the experiment {path} has not been loaded"))),
        }
    }

    fn axes(&self) -> Vec<SweepAxis> {
        let cases = self.cases.keys().map(|label| Value::from(label.as_str())).collect::<Vec<_>>();
        let cases = (!cases.is_empty()).then(|| SweepAxis { path: CASE.into(), values: cases });
        let vary =
            self.vary.iter().map(|(path, values)| SweepAxis { path: path.clone(), values: values.list() });
        cases.into_iter().chain(vary).collect()
    }

    /// Checks what concerns the grid alone.
    fn check(&self) -> std::result::Result<(), Invalid> {
        for (path, values) in &self.vary {
            if path == CASE {
                let legal = "the axis of `cases` has this name";
                return Err(Invalid::new(format!("vary.{path}"), format!("found `{CASE}`"), legal));
            }
            values.validate().map_err(|e| e.under(&format!("vary.{path}")))?;
            values.list().iter().try_for_each(|value| refuse_reserved("vary", path, value))?;
        }
        self.set.iter().try_for_each(|(path, value)| refuse_reserved("set", path, value))?;
        for (label, case) in &self.cases {
            let below = format!("cases.{label}");
            case.iter().try_for_each(|(path, value)| refuse_reserved(&below, path, value))?;
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
        let points = axes.iter().map(|axis| axis.values.len() as u64).fold(1, u64::saturating_mul);
        let runs =
            [points, seeds(&self.seeds), seeds(&self.device_seeds)].into_iter().fold(1, u64::saturating_mul);
        for (count, most, what) in [(points, MOST_POINTS, "points"), (runs, MOST_RUNS, "runs")] {
            if count > most {
                let legal = format!("at most {most}: narrow the grid, or divide it among sweeps");
                return Err(Invalid::new("vary", format!("found {count} {what}"), legal));
            }
        }
        if self.measure.is_empty() {
            return Err(Invalid::new("measure", "found none", "at least one measure"));
        }
        for (i, name) in self.measure.iter().enumerate() {
            if !MEASURES.contains(&name.as_str()) || self.measure[..i].contains(name) {
                let legal = format!("each once, of {}", MEASURES.join(", "));
                let legal = wording::suggest(name, MEASURES, &legal);
                return Err(Invalid::new(format!("measure[{i}]"), format!("found {name:?}"), legal));
            }
        }
        self.reaches.map_or(Ok(()), |reaches| reaches.validate(&self.measure))?;
        let paths: Vec<&str> = axes.iter().map(|a| a.path.as_str()).collect();
        for (field, path) in [("x", &self.x), ("lines", &self.lines)] {
            if let Some(path) = path
                && !paths.contains(&path.as_str())
            {
                let legal = format!("it must be one of {}", paths.join(", "));
                let legal = wording::suggest(path, paths.iter().copied(), &legal);
                return Err(Invalid::new(field, format!("found {path:?}"), legal));
            }
        }
        if let Some(name) =
            self.labels.keys().find(|name| !paths.contains(&name.as_str()) && !self.measure.contains(*name))
        {
            let legal = format!("an axis or a measure: {}, {}", paths.join(", "), self.measure.join(", "));
            return Err(Invalid::new("labels", format!("found {name:?}"), legal));
        }
        let (x, lines) = self.drawn(&axes);
        let numeric = axes.iter().any(|a| a.path == x && a.numbers().is_some());
        if let Some(lines) = lines.as_ref().filter(|lines| **lines == x || !numeric) {
            let legal = "another axis than `x`, which is then an axis of numbers";
            return Err(Invalid::new("lines", format!("found {lines:?} over `x` {x:?}"), legal));
        }
        if let Some(cost) = self.draw.cost()
            && !(self.measure.len() > 1 && self.measure.iter().any(|name| name == cost))
        {
            let what = if self.draw == Drawing::Cost { "cost" } else { "energy" };
            let legal = format!("measures of which one is {cost}");
            return Err(Invalid::new(
                "draw",
                format!("found {what} over {}", self.measure.join(", ")),
                legal,
            ));
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

    /// Writes out the models that the points set, and the folders of their data wholly: the run folder stands for itself.
    fn write_out(&mut self, origin: &Origin) -> Result<()> {
        let named: Vec<String> = self.vary.keys().map(|name| grid::placeholder(name)).collect();
        // The entries of `vary` that stand in for a model or a folder, and what they stand in for.
        let mut standing_in: Vec<(usize, String)> = Vec::new();
        for (path, value) in self.set.iter_mut().chain(self.cases.values_mut().flatten()) {
            write_out(origin, path, value, &mut |text, path| {
                let entry = named.iter().position(|name| name == text);
                entry.map(|entry| standing_in.push((entry, path.to_owned()))).is_some()
            })?;
        }
        for (entry, (path, values)) in self.vary.iter_mut().enumerate() {
            let places = standing_in.iter().filter(|(index, _)| *index == entry);
            let places: Vec<&str> = places.map(|(_, path)| path.as_str()).chain([path.as_str()]).collect();
            if let Values::List(values) = values {
                for place in places {
                    values.iter_mut().try_for_each(|v| write_out(origin, place, v, &mut |_, _| false))?;
                }
            }
        }
        Ok(())
    }

    /// Finds out of each point what would stop its runs; returns what all of them take.
    ///
    /// # Errors
    /// The first finding.
    pub(super) fn survey(&self, origin: &Origin, options: &Options) -> Result<Cost> {
        let mut total = Cost::default();
        for (runs, cost) in self.costs(origin, options)? {
            let kept = if self.history { runs as f64 } else { 0.0 };
            // A run of a sweep has a share of the threads, and a line that sums it up.
            let disk = kept * cost.disk + runs as f64 * 1000.0;
            total += Cost { runs, disk, threads: 1.0, ..cost * runs as f64 };
        }
        let side_by_side = options.side_by_side(rayon::current_num_threads());
        let together = (total.runs as f64).min(side_by_side as f64);
        let described = 20_000.0 * total.runs as f64;
        let ranks = team::current().map_or(1, |team| team.size());
        let threads = (total.runs as f64).min((ranks * side_by_side) as f64);
        let memory = together * total.memory + described;
        Ok(Cost { threads, memory, gpu: together * total.gpu, ..total })
    }

    /// Finds out of each point what would stop its runs; returns how many they are, and what one of them takes.
    ///
    /// # Errors
    /// The first finding.
    fn costs(&self, origin: &Origin, options: &Options) -> Result<Vec<(u64, Cost)>> {
        let seeds = self.seeds.as_ref().map_or(1, |seeds| seeds.list().len());
        let devices = self.device_seeds.as_ref().map_or(1, |seeds| seeds.list().len());
        // Files are read once, whatever the number of points.
        let mut data: Vec<(DataSpec, (f64, f64))> = Vec::new();
        let mut files: Vec<(String, Precision, Arc<Network>)> = Vec::new();
        let mut costs = Vec::new();
        self.each_point(origin, |Point { train, site }| {
            if let Site::Neurons(setup) = &site {
                train.check(setup)?;
            }
            let known = data.iter().find(|(known, _)| *known == train.data).map(|(_, counts)| *counts);
            let counts = match known {
                Some(counts) => counts,
                None => {
                    let lookup = problem::lookup(origin, options);
                    train.data.check_files(&lookup)?;
                    let (learnt, tested) = train.data.counts(&lookup)?;
                    let counts = (learnt as f64, tested as f64);
                    data.push((train.data.clone(), counts));
                    counts
                }
            };
            let cost = match &site {
                Site::Neurons(setup) => train::cost_of(&train, &setup.network, counts),
                Site::Circuit(setup) => train.cost_circuit(setup, options)?,
            };
            if let (Some(path), Site::Neurons(setup)) = (&train.parameters, &site) {
                let file = (path.clone(), train.precision, Arc::clone(&setup.network));
                let known = |(path, precision, network): &(String, Precision, Arc<Network>)| {
                    (path, precision) == (&file.0, &file.1) && network.shapes() == file.2.shapes()
                };
                if !files.iter().any(known) {
                    match train.precision {
                        Precision::F32 => drop(problem::parameters::<f32>(setup, path)?),
                        Precision::F64 => drop(problem::parameters::<f64>(setup, path)?),
                    }
                    files.push(file);
                }
            }
            let runs = seeds * if grid::has_devices(&train) { devices } else { 1 };
            costs.push((runs as u64, cost));
            Ok(())
        })?;
        Ok(costs)
    }

    /// The axes of the figure: across, and of curves.
    fn drawn(&self, axes: &[SweepAxis]) -> (String, Option<String>) {
        let x = self.x.clone().or_else(|| axes.last().map(|a| a.path.clone())).unwrap_or_default();
        let numeric = axes.iter().any(|a| a.path == x && a.numbers().is_some());
        let other = axes.iter().map(|a| &a.path).find(|path| numeric && **path != x);
        (x, self.lines.clone().or_else(|| other.cloned()))
    }
}

impl Kind for Sweep {
    fn resolve(&mut self, origin: &Origin) -> Result<()> {
        self.check().map_err(|invalid| invalid.in_file(origin.display()))?;
        if let Base::Path(path) = &self.experiment {
            let file = origin.beside(path).display();
            let found = |kind: &str| format!("found an experiment of kind `{kind}`");
            let mut base = document::inline(origin, path)?;
            measured::read(&mut base, origin)?;
            self.experiment = Base::Whole(read_train(base, (&file, origin), found)?);
        }
        document::resolve_model(self.model_mut(), origin)?;
        self.write_out(origin)?;
        self.each_point(origin, |_| Ok(()))
    }

    fn validate(&self, _network: &Network) -> std::result::Result<(), Invalid> {
        // `resolve` has validated every point with its own network.
        Ok(())
    }

    fn validate_circuit(&self, _circuit: &Circuit) -> std::result::Result<(), Invalid> {
        Ok(())
    }

    fn cost_circuit(&self, setup: &CircuitSetup, options: &Options) -> Result<Cost> {
        self.survey(&setup.origin, options)
    }

    fn run_circuit(
        &self,
        setup: &CircuitSetup,
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<Vec<String>> {
        self.run_from(&setup.origin, sink, options)
    }

    fn cost(&self, setup: &Setup, options: &Options) -> Result<Cost> {
        self.survey(&setup.origin, options)
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        self.run_from(&setup.origin, sink, options)
    }
}

impl Sweep {
    fn run_from(&self, origin: &Origin, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        let runs = self.runs(origin)?;
        prepare(&runs, options)?;
        let team = team::current();
        if let Some(team) = team.as_ref().filter(|team| team.rank() > 0) {
            self.work_together(team, (&runs, &[]), sink, options)?;
            return Ok(Vec::new());
        }
        let mut lines = BTreeMap::new();
        if options.resume {
            lines = self.finished(sink, &runs)?;
        }
        sink.begin()?;
        if options.resume {
            sink.replace_lines(&lines.values().cloned().collect::<String>())?;
        }
        let open: Vec<&Run> = runs.iter().filter(|run| !lines.contains_key(&run.index)).collect();
        lines.extend(match team {
            Some(team) => self.work_together(&team, (&runs, &open), sink, options)?,
            None => self.work(&open, sink, options)?,
        });
        sink.replace_lines(&lines.values().cloned().collect::<String>())?;
        self.finish(sink)
    }
}
