//! The runs of a sweep on several processes: whoever is free asks for the next one.
//!
//! The first rank gives runs out and keeps the records, and it works as well: a question comes once a run, and its main thread has nothing
//! else to do while others work.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Sweep;
use super::record::SweepRun;
use super::runs::{Run, line_of, measure, told};
use crate::error::{Error, Result};
use crate::experiment::setup::Options;
use crate::experiment::sink::{Memory, Sink};
use crate::host::crew::{self, Place};
use crate::host::progress::Progress;
use crate::host::watcher::{self, Watcher};
use crate::team::Team;

/// How long a main thread sleeps before it looks for messages again: its threads are at work.
const PAUSE: Duration = Duration::from_millis(1);

/// What ranks write to the first one: `n` for another run, `r` with a record, `f` if a run has failed, `b` when they are done.
const NEXT: u8 = b'n';
const RECORD: u8 = b'r';
const FAILED: u8 = b'f';
const BYE: u8 = b'b';

/// What a worker says to the main thread of its rank.
enum Ask {
    Next(Sender<Option<usize>>),
    Done(usize, Box<SweepRun>),
    Failed,
}

/// The desk of the first rank.
struct Desk<'a> {
    open: std::vec::IntoIter<usize>,
    done: BTreeMap<usize, String>,
    record: &'a dyn Fn(&SweepRun) -> Result<()>,
    bar: Progress,
    count: usize,
}

impl Desk<'_> {
    fn keep(&mut self, run: usize, record: &SweepRun) -> Result<()> {
        (self.record)(record)?;
        self.done.insert(run, line_of(record)?);
        self.bar.set_message(format!("run {} of {}, {}", self.done.len(), self.count, told(record)));
        self.bar.inc();
        Ok(())
    }

    /// After an error nothing more is given out; the first one is kept.
    fn end(&mut self, outcome: &mut Result<()>, error: Error) {
        self.open = Vec::new().into_iter();
        if outcome.is_ok() {
            *outcome = Err(error);
        }
    }

    /// Gives out runs and keeps records until all ranks are done.
    fn serve(&mut self, team: &Team, asked: &Receiver<Ask>) -> Result<()> {
        let mut outcome = Ok(());
        let (mut here, mut away) = (true, team.size() - 1);
        while here || away > 0 {
            match asked.recv_timeout(PAUSE) {
                Ok(Ask::Next(reply)) => drop(reply.send(self.open.next())),
                Ok(Ask::Done(run, record)) => {
                    self.keep(run, &record).unwrap_or_else(|error| self.end(&mut outcome, error));
                }
                Ok(Ask::Failed) => self.open = Vec::new().into_iter(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    here = false;
                    std::thread::sleep(PAUSE);
                }
            }
            while let Some((from, message)) = team.poll() {
                match message.split_first() {
                    Some((&NEXT, _)) => {
                        let run = self.open.next().map_or(u64::MAX, |run| run as u64);
                        team.post(from, &run.to_le_bytes());
                    }
                    Some((&RECORD, record)) => {
                        let record = serde_json::from_slice::<(usize, SweepRun)>(record);
                        let record = record.map_err(|e| Error::Internal(e.to_string()));
                        let kept = record.and_then(|(run, record)| self.keep(run, &record));
                        kept.unwrap_or_else(|error| self.end(&mut outcome, error));
                    }
                    Some((&FAILED, _)) => self.open = Vec::new().into_iter(),
                    _ => away -= 1,
                }
            }
        }
        outcome
    }
}

/// Carries the questions of this rank's threads to the first rank.
fn relay(team: &Team, asked: &Receiver<Ask>) -> Result<()> {
    let mut outcome = Ok(());
    for ask in asked {
        match ask {
            Ask::Next(reply) => {
                team.post(0, &[NEXT]);
                let answer = loop {
                    match team.poll() {
                        Some((_, answer)) => break answer,
                        None => std::thread::sleep(PAUSE),
                    }
                };
                let run = answer.try_into().map_or(u64::MAX, u64::from_le_bytes);
                let _ = reply.send((run != u64::MAX).then_some(run as usize));
            }
            Ask::Done(run, record) => match serde_json::to_vec(&(run, record)) {
                Ok(record) => team.post(0, &[&[RECORD], &record[..]].concat()),
                Err(error) => outcome = Err(Error::Internal(error.to_string())),
            },
            Ask::Failed => team.post(0, &[FAILED]),
        }
    }
    team.post(0, &[BYE]);
    outcome
}

fn locked<'a, T: ?Sized>(shared: &'a Mutex<T>) -> Result<std::sync::MutexGuard<'a, T>> {
    shared.lock().map_err(|_| Error::Internal("another run panicked".into()))
}

/// What the threads of a rank share that do runs.
struct Workshop<'a, 's> {
    sweep: &'a Sweep,
    runs: &'a [Run],
    sink: Mutex<&'s mut dyn Sink>,
    options: &'a Options,
    watcher: Option<Arc<Watcher>>,
}

impl Workshop<'_, '_> {
    /// Asks for runs and does them, one after the other, until there is none.
    fn work(&self, ask: &Sender<Ask>, place: &Arc<Place>) -> Result<()> {
        loop {
            let (reply, answer) = channel();
            let _ = ask.send(Ask::Next(reply));
            let Some(run) = answer.recv().ok().flatten().and_then(|index| self.runs.get(index)) else {
                return Ok(());
            };
            let record = self.perform(run, place).inspect_err(|_| drop(ask.send(Ask::Failed)))?;
            let said = ask.send(Ask::Done(run.index, Box::new(record)));
            said.map_err(|_| Error::Internal("nobody hears of a run".into()))?;
        }
    }

    fn perform(&self, run: &Run, place: &Arc<Place>) -> Result<SweepRun> {
        let own: Box<dyn Sink> = match self.sweep.history {
            true => locked(&self.sink)?.inside(&run.history())?,
            false => Box::new(Memory::default()),
        };
        let measure = || measure(run, &self.sweep.measure, own, self.options);
        watcher::within(self.watcher.clone(), || place.work(measure))?
    }
}

impl Sweep {
    /// As [`Sweep::work`], on all ranks of a team; `open` are the runs that are left, on the first rank, and `runs` all.
    pub(super) fn work_together(
        &self,
        team: &Team,
        (runs, open): (&[Run], &[&Run]),
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<BTreeMap<usize, String>> {
        // All have found their input sound: from here on nobody leaves without a word.
        team.exchange(Ok(Vec::new()))?;
        let threads = rayon::current_num_threads();
        let workers = options.side_by_side(threads);
        let (watcher, sink) = (watcher::current(), Mutex::new(sink));
        let workshop = Workshop { sweep: self, runs, sink, options, watcher };
        let record = |run: &SweepRun| locked(&workshop.sink)?.record(run);
        let mut desk = (team.rank() == 0).then(|| Desk {
            open: open.iter().map(|run| run.index).collect::<Vec<_>>().into_iter(),
            done: BTreeMap::new(),
            record: &record,
            bar: Progress::new(options.progress, open.len() as u64, 0),
            count: open.len(),
        });
        let (ask, asked) = channel();
        let outcome = std::thread::scope(|scope| {
            let workshop = &workshop;
            let worker = |ask: Sender<Ask>, place| scope.spawn(move || workshop.work(&ask, &place));
            let places = crew::places(threads, workers).into_iter();
            let workers: Vec<_> = places.map(|place| worker(ask.clone(), place)).collect();
            drop(ask);
            let served = match &mut desk {
                Some(desk) => desk.serve(team, &asked),
                None => relay(team, &asked),
            };
            let panicked = |_| Err(Error::Internal("a run panicked".into()));
            workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(panicked)).and(served)
        });
        team.exchange(outcome.map(|()| Vec::new()))?;
        Ok(desk.map_or_else(BTreeMap::new, |desk| {
            desk.bar.finish_and_clear();
            desk.done
        }))
    }
}
