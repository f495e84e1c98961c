//! Learning epoch by epoch: records, checkpoints, and how a run goes on where it was stopped.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::sink::{Content, METRICS, Sink};
use crate::error::{Error, Result};
use crate::host::progress::Progress;
use crate::learning::{Learner, Snapshot};
use crate::team;

/// The file of a checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// What the metadata of a checkpoint call the last record.
const LINE: &str = "metrics";

/// How old a checkpoint becomes before one is kept within an epoch: where a run is killed, this and a batch are lost, or this and the
/// measurements after the last batch.
const OLD: Duration = Duration::from_secs(300);

/// Learning that goes on: where it is kept.
pub(super) struct Course<'a> {
    sink: &'a mut dyn Sink,
    /// The record of the last epoch, as a checkpoint holds it.
    line: Option<String>,
    /// When the last checkpoint was kept.
    kept: Instant,
    old: Duration,
}

/// Starts a run, or goes on from its checkpoint if it is to be resumed and has one. From here on there are results.
///
/// # Errors
/// If the checkpoint or the records are damaged, or cannot be written.
pub(super) fn begin<'a>(
    learner: &mut impl Learner,
    sink: &'a mut dyn Sink,
    resume: bool,
) -> Result<Course<'a>> {
    // A run may have been stopped before its first checkpoint: then it starts from the start.
    let line = if resume { restore(learner, sink)? } else { None };
    if resume && line.is_none() && sink.lines()?.is_some_and(|lines| lines.contains('\n')) {
        let found = format!("found metrics, but no {CHECKPOINT}");
        let legal = "without it the run cannot go on: start another in a new folder";
        return Err(Error::input(sink.place(""), "", found, legal));
    }
    sink.begin()?;
    let fresh = line.is_none();
    let mut course = Course::new(sink, line.flatten());
    match fresh {
        true => course.save(learner)?,
        false => keep(course.sink, learner.epochs() as usize, course.line.as_deref())?,
    }
    Ok(course)
}

/// Goes on from a checkpoint if there is one; without it all begins anew, and so do the records.
///
/// # Errors
/// As [`begin`].
pub(super) fn go_on<'a>(learner: &mut impl Learner, sink: &'a mut dyn Sink) -> Result<Course<'a>> {
    let line = restore(learner, sink)?.flatten();
    keep(sink, learner.epochs() as usize, line.as_deref())?;
    Ok(Course::new(sink, line))
}

impl<'a> Course<'a> {
    fn new(sink: &'a mut dyn Sink, line: Option<String>) -> Self {
        Self { sink, line, kept: Instant::now(), old: OLD }
    }

    /// Keeps a checkpoint after every batch.
    #[cfg(test)]
    pub(super) fn at_every_batch(self) -> Self {
        Self { old: Duration::ZERO, ..self }
    }

    /// Where results go.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        self.sink
    }

    /// Does the epochs that are left, each by `epoch`, which is told the record of the one before if this run has done it; returns
    /// the last record.
    ///
    /// # Errors
    /// What `epoch` finds, or if a record or a checkpoint cannot be kept.
    pub(super) fn learn<L: Learner, R: Serialize>(
        &mut self,
        learner: &mut L,
        epochs: u64,
        mut epoch: impl FnMut(&mut L, &mut Self, Option<&R>) -> Result<R>,
    ) -> Result<Option<R>> {
        let mut last = None;
        while learner.epochs() < epochs {
            let record = epoch(learner, self, last.as_ref())?;
            let when = || format!("after epoch {}", learner.epochs());
            team::check_same(|| learner.snapshot().arrays.to_bytes(), when)?;
            // The record first: a checkpoint must never be ahead of it.
            self.sink.record(&record)?;
            // Without its seconds, which would make every checkpoint another.
            let mut line = serde_json::to_value(&record).map_err(|e| Error::Internal(e.to_string()))?;
            line["seconds"] = 0.0.into();
            self.line = Some(line.to_string());
            self.save(learner)?;
            last = Some(record);
        }
        Ok(last)
    }

    /// Keeps a checkpoint within an epoch, where the last one has become old.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub(super) fn keep(&mut self, learner: &impl Learner) -> Result<()> {
        if self.kept.elapsed() < self.old { Ok(()) } else { self.save(learner) }
    }

    /// Writes a checkpoint where it outlives the program. With it goes the last record: should a disk lose the record and keep the
    /// checkpoint, it is not lost.
    fn save(&mut self, learner: &impl Learner) -> Result<()> {
        if self.sink.outlives() {
            let mut tensors = learner.snapshot().arrays;
            if let Some(line) = &self.line {
                tensors.metadata.insert(LINE.into(), line.clone());
            }
            self.sink.write(CHECKPOINT, Content::Tensors(tensors))?;
        }
        self.kept = Instant::now();
        Ok(())
    }
}

/// A bar of a thousand steps an epoch.
pub(super) fn progress_bar(visible: bool, epochs: u64, done: u64) -> Progress {
    Progress::new(visible, epochs * 1000, done * 1000)
}

/// Puts a checkpoint into what has been learning, if there is one; returns the record that it holds, if it holds one.
fn restore(learner: &mut impl Learner, sink: &dyn Sink) -> Result<Option<Option<String>>> {
    let Some(arrays) = sink.tensors(CHECKPOINT)? else { return Ok(None) };
    let line = arrays.metadata.get(LINE).cloned();
    learner.restore(&mut Snapshot { arrays })?;
    Ok(Some(line))
}

/// Cuts the records to the first `count`: a run that was stopped may have written one too many. If the last one is missing, or
/// torn, it is `last`.
fn keep(sink: &mut dyn Sink, count: usize, last: Option<&str>) -> Result<()> {
    let text = sink.lines()?;
    let lines = text.as_deref().unwrap_or_default().lines();
    let whole = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    let mut kept: Vec<&str> = lines.take_while(whole).take(count).collect();
    if let Some(last) = last.filter(|_| kept.len() + 1 == count) {
        kept.push(last);
    }
    if kept.len() < count {
        let found = format!("found {} complete lines", kept.len());
        let legal = format!("the checkpoint has seen {count} epochs: start the run anew");
        return Err(Error::input(sink.place(METRICS), "", found, legal));
    }
    let kept: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
    if text.as_deref() == Some(&*kept) { Ok(()) } else { sink.replace_lines(&kept) }
}
