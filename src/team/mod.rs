//! Several processes that do one run together.
//!
//! Each process, a rank, has the whole run: data, parameters and optimiser. Of every batch it estimates a share of the chunks; the
//! gradients are added up in the order of the chunks, and every rank takes the same update. So the result has the same bits for any number of
//! ranks, one included. The first rank alone writes and tells.
//!
//! What ranks tell each other goes through [`Team::exchange`], which all of them enter in the same order. An error of one comes out of it
//! as an error of all.

#[cfg(test)]
pub(crate) mod local;
#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use self::wire::{Reader, Writer};
use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;

/// Numbers that are handed on at once: while a rank adds up some, the one before it is at the next.
const TOGETHER: usize = 1 << 15;

/// What a rank says with each message of an exchange, its last byte.
const GOES_ON: u8 = 0;
/// It has failed, and all have at this place.
const FAILED: u8 = 1;
/// It has failed, and does nothing any more.
const ENDED: u8 = 2;
/// It has done everything.
const DONE: u8 = 3;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Team>>> = const { RefCell::new(None) };
}

/// How ranks reach each other. All of them call the first four alike and in the same order.
pub trait Transport {
    /// Which rank this process is, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// What each rank says, in the order of ranks.
    fn all_gather(&self, mine: &[u8]) -> Vec<Vec<u8>>;

    /// Puts the bytes of rank `root` into those of all.
    fn broadcast(&self, root: usize, bytes: &mut [u8]);

    /// Sends bytes to a rank.
    fn send(&self, to: usize, bytes: &[u8]);

    /// Waits for as many bytes from a rank.
    fn receive(&self, from: usize, bytes: &mut [u8]);

    /// A message that has come from any rank, if one has, and from which.
    fn poll(&self) -> Option<(usize, Vec<u8>)>;
}

/// The processes that do a run, as one of them sees them.
pub struct Team {
    link: Box<dyn Transport>,
    /// The error that has ended the run, and of which rank.
    ended: RefCell<Option<(usize, Vec<u8>)>>,
    started: Instant,
    waited: Cell<Duration>,
    moved: Cell<Duration>,
}

/// What a team has done beside work, as manifests tell it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Told {
    /// Number of processes.
    pub ranks: usize,
    /// Share of the time in which the first one waited for others.
    pub waiting: f64,
    /// Share of the time in which it sent and received.
    pub communication: f64,
}

impl Team {
    /// The processes that a transport joins.
    #[must_use]
    pub fn new(link: Box<dyn Transport>) -> Self {
        let (waited, moved) = (Cell::default(), Cell::default());
        Self { link, ended: RefCell::default(), started: Instant::now(), waited, moved }
    }

    /// Which rank this process is, from 0; the first one writes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.link.rank()
    }

    /// How many ranks there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.link.size()
    }

    /// What it has done beside work so far.
    #[must_use]
    pub fn told(&self) -> Told {
        let whole = self.started.elapsed().as_secs_f64();
        let share = |time: &Cell<Duration>| time.get().as_secs_f64() / whole;
        Told { ranks: self.size(), waiting: share(&self.waited), communication: share(&self.moved) }
    }

    /// What falls to this rank of so many things: neighbours, and to the first rank one at least.
    #[must_use]
    pub fn share(&self, count: usize) -> Range<usize> {
        self.share_of(self.rank(), count)
    }

    pub(crate) fn share_of(&self, rank: usize, count: usize) -> Range<usize> {
        let start = |rank: usize| (rank * count).div_ceil(self.size());
        start(rank)..start(rank + 1)
    }

    /// What each rank says, in the order of ranks.
    ///
    /// # Errors
    /// That of the first rank that has one, on all of them.
    pub fn exchange(&self, mine: Result<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        match mine {
            Ok(bytes) => self.say(GOES_ON, bytes),
            Err(error) => self.say(FAILED, wire::error_bytes(&error)),
        }
    }

    fn say(&self, kind: u8, mut bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if let Some((rank, error)) = &*self.ended.borrow() {
            return Err(self.error_of(*rank, error));
        }
        bytes.push(kind);
        // Whoever comes first waits here; what is moved is counted apart.
        let gather = |bytes: &[u8], time| {
            let _timed = Timed::new(time);
            self.link.all_gather(bytes)
        };
        gather(&[kind], &self.waited);
        let mut all = gather(&bytes, &self.moved);
        let kinds: Vec<u8> = all.iter_mut().map(|bytes| bytes.pop().unwrap_or(ENDED)).collect();
        let first = |kind| kinds.iter().position(|other| *other == kind);
        if let Some(rank) = first(ENDED) {
            *self.ended.borrow_mut() = Some((rank, all[rank].clone()));
        } else if kinds.contains(&DONE) && kinds.iter().any(|other| *other != DONE) {
            let error = Error::Internal("the ranks are not in step".into());
            *self.ended.borrow_mut() = Some((0, wire::error_bytes(&error)));
        }
        match (&*self.ended.borrow(), first(FAILED)) {
            (Some((rank, error)), _) => Err(self.error_of(*rank, error)),
            (None, Some(rank)) => Err(self.error_of(rank, &all[rank])),
            (None, None) => Ok(all),
        }
    }

    /// The error of a rank; what is wrong with the machine of another says so.
    fn error_of(&self, rank: usize, bytes: &[u8]) -> Error {
        let where_found = (rank > 0).then(|| format!("rank {rank} of {}", self.size()));
        wire::error(bytes, where_found.as_deref())
    }

    /// Leaves the team with what this rank has come to, once all others have; afterwards none of them waits for it.
    ///
    /// # Errors
    /// That of the first rank that has one, on all of them.
    pub fn leave<R>(&self, done: Result<R>) -> Result<R> {
        match done {
            Ok(value) => self.say(DONE, Vec::new()).map(|_| value),
            // It is that of all already, or becomes so.
            Err(error) => self.say(ENDED, wire::error_bytes(&error)).and(Err(error)),
        }
    }

    /// A value of each rank, in the order of ranks.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub fn all<R: Serialize + DeserializeOwned>(&self, mine: &R) -> Result<Vec<R>> {
        let mut writer = Writer::default();
        let bytes = writer.object(mine).map(|()| writer.bytes());
        self.exchange(bytes)?.iter().map(|bytes| Reader::new(bytes).object()).collect()
    }

    /// What the first rank says to all; the others say nothing.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub fn spread_first<R: Serialize + DeserializeOwned>(&self, mine: Option<&R>) -> Result<R> {
        let mut writer = Writer::default();
        let bytes = mine.map_or(Ok(()), |value| writer.object(value)).map(|()| writer.bytes());
        let all = self.exchange(bytes)?;
        Reader::new(&all[0]).object()
    }

    /// Adds up what the ranks have, in the order of ranks and each in order, without rounding otherwise than one process would that had all:
    /// into `total` of the last rank. The first rank has something.
    pub(crate) fn fold<T: Scalar>(&self, parts: &[&[T]], total: &mut [T]) {
        let _time = Timed::new(&self.moved);
        let (rank, last) = (self.rank(), self.size() - 1);
        for start in (0..total.len()).step_by(TOGETHER) {
            let end = total.len().min(start + TOGETHER);
            let sum = &mut total[start..end];
            let mut parts = parts.iter().map(|part| &part[start..end]);
            if rank > 0 {
                self.link.receive(rank - 1, bytemuck::cast_slice_mut(sum));
            } else if let Some(first) = parts.next() {
                sum.copy_from_slice(first);
            }
            for part in parts {
                sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += *x);
            }
            if rank < last {
                self.link.send(rank + 1, bytemuck::cast_slice(sum));
            }
        }
    }

    /// Hands what the last rank has to all.
    pub(crate) fn spread_last<T: Scalar>(&self, values: &mut [T]) {
        let _time = Timed::new(&self.moved);
        self.link.broadcast(self.size() - 1, bytemuck::cast_slice_mut(values));
    }

    /// Sends a message that its receiver asks for by [`Self::poll`].
    pub(crate) fn post(&self, to: usize, bytes: &[u8]) {
        self.link.send(to, bytes);
    }

    /// A message that has come, if one has, and from which rank.
    pub(crate) fn poll(&self) -> Option<(usize, Vec<u8>)> {
        self.link.poll()
    }
}

/// Adds its life to a time.
struct Timed<'a>(&'a Cell<Duration>, Instant);

impl<'a> Timed<'a> {
    fn new(time: &'a Cell<Duration>) -> Self {
        Self(time, Instant::now())
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + self.1.elapsed());
    }
}

/// The team of what this thread does; none where it does it alone.
#[must_use]
pub fn current() -> Option<Rc<Team>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Does `work` as one of a team, or with none alone.
pub fn within<R>(team: Option<Rc<Team>>, work: impl FnOnce() -> R) -> R {
    struct Before(Option<Rc<Team>>);

    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }

    let _before = Before(CURRENT.replace(team));
    work()
}

/// What falls to this process of so many things.
pub(crate) fn share(count: usize) -> Range<usize> {
    current().map_or(0..count, |team| team.share(count))
}

/// What all processes have made, each of its [`share`], in order.
///
/// # Errors
/// The first one.
pub(crate) fn gather<R: Serialize + DeserializeOwned>(mine: Vec<Result<R>>) -> Result<Vec<R>> {
    let mine: Result<Vec<R>> = mine.into_iter().collect();
    let Some(team) = current() else { return mine };
    let packed = mine.and_then(|made| {
        let mut writer = Writer::default();
        writer.object(&made)?;
        Ok(writer.bytes())
    });
    let mut gathered = Vec::new();
    for bytes in team.exchange(packed)? {
        gathered.extend(Reader::new(&bytes).object::<Vec<R>>()?);
    }
    Ok(gathered)
}

/// Makes sure that all ranks have come to the same bits: processors that round differently would drift apart.
///
/// # Errors
/// [`Error::Input`] if one has not; `when` says after what.
pub(crate) fn check_same(bytes: impl FnOnce() -> Vec<u8>, when: impl FnOnce() -> String) -> Result<()> {
    let Some(team) = current() else { return Ok(()) };
    let all = team.exchange(Ok(Sha256::digest(bytes()).to_vec()))?;
    match all.iter().position(|digest| *digest != all[0]) {
        None => Ok(()),
        Some(rank) => {
            let found = format!("rank {rank} has other parameters than rank 0 {}", when());
            let legal = "all ranks need processors with the same instructions";
            Err(Error::input("mpirun", "", found, legal))
        }
    }
}
