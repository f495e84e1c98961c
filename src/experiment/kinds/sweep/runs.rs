//! Does the runs of a sweep in parallel, each once, and sums them up.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Sweep;
use super::base::Swept;
use super::grid::{Job, Point};
use super::record::{HISTORY, SweepPoint, SweepRun, SweepSummary};
use super::share::{REACHED, Share, Yield};
use super::table;
use super::tasks::Task;
use crate::bootstrap;
use crate::error::{Error, Result};
use crate::experiment::circuits;
use crate::experiment::kind::Kind;
use crate::experiment::kinds::train::Train;
use crate::experiment::origin::Origin;
use crate::experiment::setup::{Options, Site};
use crate::experiment::sink::{METRICS, Memory, SUMMARY, Sink};
use crate::experiment::spec::Precision;
use crate::host::crew::{self, Place};
use crate::host::progress::Progress;
use crate::host::watcher;
use crate::learning::Schedule;
use crate::names::{number, value_label};
use crate::numerics::scalar::Scalar;
use crate::text::printable;

/// A run of the sweep, ready to go.
pub(super) struct Run {
    pub(super) index: usize,
    /// Identifies the run: a hash of all that decides its result.
    key: String,
    job: Job,
    train: Box<Train>,
    site: Site,
}

impl Run {
    /// A run that is the only one.
    pub(super) fn alone(key: String, job: Job, train: Train, site: Site) -> Self {
        Self { index: 0, key, job, train: Box::new(train), site }
    }

    /// Finds out what would stop it, but for data in files.
    pub(super) fn check(&self) -> Result<()> {
        match &self.site {
            Site::Neurons(setup) => self.train.check(setup),
            Site::Circuit(_) => Ok(()),
        }
    }

    /// The place of its point in the grid.
    pub(super) fn point(&self) -> usize {
        self.job.point
    }

    /// Its line with the number that its point has now: another grid may have been begun.
    fn in_its_place(&self, line: &str, known: SweepRun) -> Result<String> {
        if known.point == self.job.point {
            return Ok(line.to_owned());
        }
        line_of(&SweepRun { point: self.job.point, ..known })
    }

    /// Where its history is kept.
    pub(super) fn history(&self) -> String {
        format!("{HISTORY}/{}", self.key)
    }

    /// How many epochs its history in the folder of the sweep lacks.
    fn epochs_left(&self, sink: &dyn Sink) -> Result<u64> {
        let text = sink.inside(&self.history())?.lines()?.unwrap_or_default();
        // A kill may have torn the last line.
        let done = text.matches('\n').count() as u64;
        let epochs = self.train.epochs;
        epochs.checked_sub(done).ok_or_else(|| {
            let found = format!("found {epochs} for a run that has learnt for {done}");
            Error::input(sink.place(""), "experiment.epochs", found, "as many or more")
        })
    }
}

/// Finds out before any work what would stop a run: its data, parameters and learning rates.
pub(super) fn prepare(runs: &[Run], options: &Options) -> Result<()> {
    let mut seen = Vec::new();
    for run in runs {
        run.check()?;
        let (train, shape) = (&run.train, run.site.shape());
        if !seen.contains(&(&train.data, shape)) {
            match &run.site {
                Site::Neurons(setup) => train.data(setup, options)?,
                Site::Circuit(setup) => circuits::data(setup, &train.data, train.seed, options)?,
            };
            seen.push((&train.data, shape));
        }
    }
    Ok(())
}

impl Sweep {
    /// All runs as tasks, in the order of the grid.
    ///
    /// # Errors
    /// If a point is not legal.
    pub fn tasks(&self, origin: &Origin) -> Result<Vec<Task>> {
        self.runs(origin)?
            .into_iter()
            .map(|run| Task::of(run.key, run.job, *run.train, &self.measure, origin))
            .collect()
    }

    pub(super) fn runs(&self, origin: &Origin) -> Result<Vec<Run>> {
        let ready = |(index, job): (usize, Job)| {
            let Point { train, site } = self.load(&job, origin)?;
            let mut course = train.clone();
            // What keeps a checkpoint may go on for more epochs, unless its learning rate knows the last one.
            if self.history && course.schedule == Schedule::Constant {
                course.epochs = 0;
            }
            // The data are the same wherever they lie.
            course.data = course.data.anywhere();
            let identity = (&job.values, Swept::Train(&course), &self.measure);
            let identity = serde_json::to_vec(&identity).map_err(|e| Error::Internal(e.to_string()))?;
            let hash = Sha256::digest(identity);
            let key = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Run { index, key, job, train, site })
        };
        self.jobs(origin)?.into_iter().enumerate().map(ready).collect()
    }

    /// The complete lines of an earlier attempt, by place in the grid. A run that was to learn for fewer epochs is not finished.
    pub(super) fn finished(&self, sink: &dyn Sink, runs: &[Run]) -> Result<BTreeMap<usize, String>> {
        let text = sink.lines()?.unwrap_or_default();
        self.finished_of(&text, &sink.place(METRICS), sink, runs)
    }

    /// The same of the lines in `text`, which is that of `file`; histories are in `sink`.
    pub(super) fn finished_of(
        &self,
        text: &str,
        file: &str,
        sink: &dyn Sink,
        runs: &[Run],
    ) -> Result<BTreeMap<usize, String>> {
        let by_key: HashMap<&str, &Run> = runs.iter().map(|run| (run.key.as_str(), run)).collect();
        let mut lines = BTreeMap::new();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for (number, line) in (1..).zip(whole) {
            let known = serde_json::from_str::<SweepRun>(line).ok();
            let known = known.and_then(|known| Some((*by_key.get(known.key.as_str())?, known)));
            let Some((run, known)) = known else {
                let found = format!("found a run that this sweep does not have: {}", line.trim_end());
                let legal = "--resume takes the sweep as it was begun: start another in a new folder";
                return Err(Error::input(file, "", found, legal));
            };
            let Job { values, seed, device_seed, .. } = &run.job;
            let same = known.refuse_others(values, (*seed, *device_seed));
            same.map_err(|other| other.under(&format!("line {number}")).in_file(file))?;
            if known.failure.is_some() || !self.history || run.epochs_left(sink)? == 0 {
                lines.insert(run.index, run.in_its_place(line, known)?);
            }
        }
        Ok(lines)
    }

    /// Does the runs on all threads of the current pool, as many at once as `options` say, or one run a thread, or several where there
    /// are fewer runs than threads; each line is on disk as soon as its run is done.
    pub(super) fn work(
        &self,
        open: &[&Run],
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<BTreeMap<usize, String>> {
        let bar = Progress::new(options.progress, open.len() as u64, 0);
        let next = AtomicUsize::new(0);
        let kept = Mutex::new((sink, BTreeMap::new()));
        let threads = rayon::current_num_threads();
        let workers = options.side_by_side(threads).min(open.len());
        let watcher = watcher::current();
        // Runs are the parallelism: what is parallel within one stays on its share of the threads, which grows where nothing is left to begin.
        let worker = |place: Arc<Place>| -> Result<()> {
            while let Some(run) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                // An error that ends the sweep ends it for all.
                let end = |_: &Error| next.store(open.len(), Ordering::Relaxed);
                let panicked = |_| Error::Internal("another run panicked".into());
                let own: Box<dyn Sink> = match self.history {
                    true => kept.lock().map_err(panicked)?.0.inside(&run.history()).inspect_err(end)?,
                    false => Box::new(Memory::default()),
                };
                let record = || measure(run, &self.measure, own, options);
                let record = || watcher::within(watcher.clone(), || place.work(record));
                let record = record().flatten().inspect_err(end)?;
                let line = line_of(&record)?;
                let mut kept = kept.lock().map_err(panicked)?;
                let (sink, done) = &mut *kept;
                sink.record(&record).inspect_err(end)?;
                done.insert(run.index, line);
                bar.set_message(format!("run {} of {}, {}", done.len(), open.len(), told(&record)));
                bar.inc();
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = crew::places(threads, workers)
                .into_iter()
                .map(|place| {
                    let worker = &worker;
                    scope.spawn(move || worker(place))
                })
                .collect();
            let panicked = |_| Err(Error::Internal("a run panicked".into()));
            workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(panicked))
        })?;
        bar.finish_and_clear();
        kept.into_inner().map(|(_, done)| done).map_err(|_| Error::Internal("a run panicked".into()))
    }

    /// Sums up the records in `sink`; returns the lines for the user.
    ///
    /// # Errors
    /// If they are of another kind, or the summary cannot be kept.
    pub(crate) fn finish(&self, sink: &mut dyn Sink) -> Result<Vec<String>> {
        let runs: Vec<SweepRun> = sink.records()?;
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
                reached: self.reaches.map(|Yield { accuracy }| {
                    let reaches = |run: &&SweepRun| {
                        let reached = run.measures.get(REACHED).copied().flatten();
                        reached.is_some_and(|reached| reached >= accuracy)
                    };
                    Share::of(group.iter().filter(reaches).count(), group.len())
                }),
            });
        }
        let (x, lines) = self.drawn(&axes);
        let (failures, count) = (points.iter().map(|p| p.failures).sum::<usize>(), runs.len());
        let training_seconds = runs.iter().map(|run| run.seconds).sum();
        let summary = SweepSummary {
            axes,
            x,
            lines,
            draw: self.draw,
            labels: self.labels.clone(),
            runs: count,
            failures,
            wall_seconds: sink.seconds(),
            training_seconds,
            yield_accuracy: self.reaches.map(|reaches| reaches.accuracy),
            points,
        };
        sink.write_json(SUMMARY, &summary)?;
        let mut told = table::lines(&summary);
        told.extend(runs.chunk_by(|a, b| a.point == b.point).filter_map(warning_line));
        Ok(told)
    }
}

/// One run. A divergence is a result.
pub(super) fn measure(
    run: &Run,
    names: &[String],
    mut own: Box<dyn Sink>,
    options: &Options,
) -> Result<SweepRun> {
    let start = Instant::now();
    let measures = match run.train.precision {
        Precision::F32 => measures::<f32>(run, options, &mut *own),
        Precision::F64 => measures::<f64>(run, options, &mut *own),
    };
    let (mut measures, failure) = match measures {
        Ok(measures) => (measures, None),
        Err(error) if error.is_failed_simulation() => (json!({}), Some(error.to_string())),
        Err(other) => return Err(other),
    };
    let warnings = measures["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    let value = |name: &String| (name.clone(), measures[name.as_str()].take().as_f64());
    Ok(SweepRun {
        key: run.key.clone(),
        point: run.job.point,
        values: run.job.values.clone(),
        seed: run.job.seed,
        device_seed: run.job.device_seed,
        measures: names.iter().map(value).collect(),
        failure,
        warnings,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// A line of `metrics.jsonl`, with its end.
pub(super) fn line_of(record: &SweepRun) -> Result<String> {
    serde_json::to_string(record).map(|line| line + "\n").map_err(|e| Error::Internal(e.to_string()))
}

/// Everything that a run can be asked for; null where it does not apply.
fn measures<T: Scalar>(run: &Run, options: &Options, sink: &mut dyn Sink) -> Result<Value> {
    let (last, test) = match &run.site {
        Site::Neurons(setup) => run.train.outcome::<T>(setup, options, sink)?,
        Site::Circuit(setup) => run.train.circuit_outcome(setup, options, sink)?,
    };
    let mut measures = serde_json::to_value(&last).map_err(|e| Error::Internal(e.to_string()))?;
    measures["digital_test_accuracy"] = json!(run.train.transfer.then_some(last.test_accuracy));
    measures["test_accuracy"] = json!(test.accuracy);
    measures["test_loss"] = json!(test.loss);
    Ok(measures)
}

fn values_line(values: &IndexMap<String, Value>) -> String {
    let value = |(path, value): (&String, &Value)| format!("{path} = {}", value_label(value));
    values.iter().map(value).collect::<Vec<_>>().join(", ")
}

pub(super) fn told(run: &SweepRun) -> String {
    let measured = run
        .measures
        .first()
        .and_then(|(name, value)| Some(format!("{} {}", name.replace('_', " "), number((*value)?))));
    let told = place(&run.values) + &measured.unwrap_or_else(|| "diverged".into());
    printable(&told).into_owned()
}

/// The beginning of a line about a point: nothing, if it is the only one.
fn place(values: &IndexMap<String, Value>) -> String {
    if values.is_empty() { String::new() } else { values_line(values) + ": " }
}

/// What is to be said against the runs of a point, if anything.
fn warning_line(runs: &[SweepRun]) -> Option<String> {
    let warning = runs.iter().find_map(|run| run.warnings.first())?;
    let count = runs.iter().filter(|run| !run.warnings.is_empty()).count();
    let verb = if count == 1 { "warns" } else { "warn" };
    Some(format!("warning: {}{count} of {} runs {verb}: {warning}", place(&runs[0].values), runs.len()))
}
