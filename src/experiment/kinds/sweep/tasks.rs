//! The runs of a sweep one by one, each anywhere: what decides its result, doing it, and putting the results together.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Sweep;
use super::base::Swept;
use super::grid::Job;
use super::record::SweepRun;
use super::runs::{Run, measure};
use crate::error::{Error, Result};
use crate::experiment::kinds::Experiment;
use crate::experiment::kinds::train::Train;
use crate::experiment::load::load_given;
use crate::experiment::origin::{Origin, absolute};
use crate::experiment::setup::Options;
use crate::experiment::sink::{Memory, Sink};

/// One run of a sweep, to be done in any process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Identifies the run: a hash of all that decides its result.
    pub key: String,
    /// Place of its point in the grid, from 0.
    pub point: usize,
    /// The value along each axis.
    pub values: IndexMap<String, Value>,
    /// Seed of training.
    pub seed: u64,
    /// Seed of the device.
    pub device_seed: u64,
    /// What is measured.
    pub measure: Vec<String>,
    /// The `train` experiment, every default written out.
    pub experiment: Value,
}

impl Task {
    pub(super) fn of(
        key: String,
        job: Job,
        mut train: Train,
        measure: &[String],
        origin: &Origin,
    ) -> Result<Self> {
        // Whoever does it has another current directory.
        if let (Some(path), Origin::Disk(_)) = (&mut train.parameters, origin) {
            *path = absolute(origin, path.as_ref())?.to_string_lossy().into_owned();
        }
        let experiment =
            serde_json::to_value(Swept::Train(&train)).map_err(|e| Error::Internal(e.to_string()))?;
        let Job { point, values, seed, device_seed } = job;
        Ok(Self { key, point, values, seed, device_seed, measure: measure.to_vec(), experiment })
    }

    /// Does the run. A divergence is a result.
    ///
    /// # Errors
    /// If the experiment is none of kind `train`, or not legal.
    pub fn perform(self, options: &Options) -> Result<SweepRun> {
        let loaded = load_given("the point of a sweep", Some(self.experiment), &[], BTreeMap::new())?;
        let site = loaded.site();
        let name = loaded.experiment.name();
        let Experiment::Train(train) = loaded.experiment else {
            let found = format!("found an experiment of kind `{name}`");
            return Err(Error::input("the point of a sweep", "experiment.kind", found, "`train`"));
        };
        let Self { key, point, values, seed, device_seed, measure: names, .. } = self;
        let run = Run::alone(key, Job { point, values, seed, device_seed }, *train, site);
        run.check()?;
        measure(&run, &names, Box::new(Memory::default()), options)
    }
}

impl Sweep {
    /// Puts the results of all tasks, in any order, together in `sink`; returns the lines that sum them up for the user.
    ///
    /// # Errors
    /// If one is missing, or is of another sweep.
    pub fn collect(
        &self,
        origin: &Origin,
        results: Vec<SweepRun>,
        sink: &mut dyn Sink,
    ) -> Result<Vec<String>> {
        let file = origin.display();
        let mut known: HashMap<String, SweepRun> =
            results.into_iter().map(|run| (run.key.clone(), run)).collect();
        sink.begin()?;
        let tasks = self.tasks(origin)?;
        let count = tasks.len();
        for (place, task) in tasks.into_iter().enumerate() {
            let Some(result) = known.remove(&task.key) else {
                let found = format!("found no result of task {place}, with the key {}", task.key);
                return Err(Error::input(
                    file,
                    "",
                    found,
                    format!("the results of all {count} tasks are needed"),
                ));
            };
            let same = result.refuse_others(&task.values, (task.seed, task.device_seed));
            same.map_err(|other| other.under(&format!("the result of task {place}")).in_file(&file))?;
            sink.record(&SweepRun { point: task.point, ..result })?;
        }
        if let Some(key) = known.keys().next() {
            let found =
                format!("found the result of a task that this sweep does not have, with the key {key}");
            return Err(Error::input(file, "", found, "the results of its own tasks"));
        }
        self.finish(sink)
    }
}
