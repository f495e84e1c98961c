//! A sweep that several processes do together in one run folder: the place of each, and putting all together.
//!
//! The shard 3/16 writes its lines into `shards/3-of-16`, which it locks; histories lie where those of one process would. Whoever puts all
//! together holds the folder's own lock and then looks at those of the shards; a shard holds its own and then looks at the folder's: one
//! of the two sees the other.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{RunFolder, describe, described};
use super::kinds::Experiment;
use super::kinds::sweep::{Plan, Shard, Sweep};
use super::load::{Loaded, load_from};
use super::lock::{self, Lock};
use super::origin::Origin;
use super::resume::difference;
use super::setup::Options;
use super::sink::{Content, EXPERIMENT, METRICS, Sink};
use super::{manifest, place};
use crate::error::{Error, Invalid, Result};
use crate::files::{self, Tensors};
use crate::numerics::kernels::instruction_set;

/// Folder in a sweep's, with one of each shard.
pub(super) const SHARDS: &str = "shards";

/// What stands in the folder of a shard beside its lines.
const NOTE: &str = "shard.json";

/// How a shard is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ShardNote {
    /// Runs side by side.
    pub(super) side_by_side: usize,
    /// Instruction sets of the processors that it was done on.
    pub(super) instructions: Vec<String>,
}

/// The sweep in an experiment.
///
/// # Errors
/// If it is of another kind.
pub(super) fn sweep_of(loaded: &Loaded) -> Result<&Sweep> {
    match &loaded.experiment {
        Experiment::Sweep(sweep) => Ok(sweep),
        other => {
            let found = format!("found an experiment of kind `{}`", other.name());
            Err(Error::input(loaded.origin.display(), "kind", found, "only a `sweep` is done in shards"))
        }
    }
}

/// Where a shard writes.
pub(super) fn place_of(folder: &Path, shard: Shard) -> PathBuf {
    folder.join(SHARDS).join(format!("{}-of-{}", shard.number, shard.of))
}

/// The shards that have begun in a folder, in order.
pub(super) fn begun(folder: &Path) -> Vec<Shard> {
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let (number, of) = name.to_str()?.split_once("-of-")?;
        let shard = Shard { number: number.parse().ok()?, of: of.parse().ok()? };
        (place_of(folder, shard) == entry.path()).then_some(shard)
    };
    let entries = fs::read_dir(folder.join(SHARDS)).into_iter().flatten().flatten();
    let mut shards: Vec<Shard> = entries.filter_map(named).collect();
    shards.sort();
    shards
}

/// The file that says that a shard is done: one look at the folder of all shards tells which are.
fn mark_of(folder: &Path, shard: Shard) -> PathBuf {
    place_of(folder, shard).with_extension("done")
}

/// How many shards of so many are done; all, where they have been put together.
#[must_use]
pub fn count_done(folder: &Path, of: usize) -> usize {
    if !folder.join(SHARDS).exists() {
        return of;
    }
    let end = format!("-of-{of}.done");
    let entries = fs::read_dir(folder.join(SHARDS)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(&end)).count()
}

/// The records in a folder, those of the shards that count after those of all, with the names of their files.
pub(super) fn texts(folder: &Path, counts: impl Fn(Shard) -> bool) -> Result<Vec<(String, String)>> {
    let shards = begun(folder).into_iter().filter(|shard| counts(*shard));
    let places = shards.map(|shard| place_of(folder, shard));
    let files = std::iter::once(folder.to_owned()).chain(places).map(|folder| folder.join(METRICS));
    files
        .filter(|file| file.exists())
        .map(|file| Ok((file.display().to_string(), files::read_text(&file)?)))
        .collect()
}

/// The note of a shard.
pub(super) fn note(folder: &Path, shard: Shard) -> ShardNote {
    let text = files::read_text(place_of(folder, shard).join(NOTE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn refusal<T>(folder: &Path, found: impl Into<String>, legal: &str) -> Result<T> {
    Err(Error::input(folder.display().to_string(), "", found, legal))
}

/// A shard that is being done.
pub struct AtWork<'a> {
    sweep: &'a Sweep,
    plan: Plan,
    shard: Shard,
    folder: PathBuf,
    own: PathBuf,
    lock: Lock,
    /// The runs that are left to it, by their place in the grid.
    open: Vec<usize>,
    /// How many fall to it, and about how many seconds of a thread those take that are left.
    told: (usize, f64),
}

impl<'a> AtWork<'a> {
    /// Takes a shard of a sweep in a run folder, which the first of all begins; none where all shards have been put together there.
    ///
    /// # Errors
    /// If it is no sweep, or what would stop its runs; if another process does the shard, or others do the sweep in another number of
    /// shards; or if the folder holds anything else.
    pub fn begin(loaded: &'a Loaded, folder: &Path, shard: Shard, options: &Options) -> Result<Option<Self>> {
        let sweep = sweep_of(loaded)?;
        place::refuse(folder)?;
        place::refuse_links(folder)?;
        if !refuse_other(folder, loaded)? {
            return Ok(None);
        }
        let plan = sweep.plan(&loaded.origin, options)?;
        plan.prepare(options)?;
        let own = place_of(folder, shard);
        if let Some(note) = lock::holder(&own) {
            let found = format!("the shard {shard} is being done by {}", note.holder());
            return refusal(folder, found, "one process does it: wait for its end, or take another");
        }
        let created = place::outermost_absent(&own);
        fs::create_dir_all(&own).map_err(|e| Error::io(&own, "create", e))?;
        let mut lock = Lock::take(&own)?;
        let ready = enter(loaded, folder, shard, &mut lock, options).and_then(|()| {
            let whole = RunFolder::part(folder);
            // Other shards of the same number have nothing to do with its runs.
            plan.lines(sweep, &whole, &texts(folder, |other| other == shard || other.of != shard.of)?)
        });
        let done = match ready {
            Ok(done) => done,
            Err(error) => {
                if lock.left().is_none() {
                    lock.release();
                }
                place::remove_created(&own, created.as_deref());
                return Err(error);
            }
        };
        let shards = plan.shards(shard.of);
        let share: Vec<usize> = (0..plan.len()).filter(|run| shards[*run] == shard.number).collect();
        let (count, mut open) = (share.len(), share);
        open.retain(|run| !done.contains_key(run));
        let seconds = open.iter().map(|run| plan.seconds()[*run]).sum();
        Ok(Some(Self {
            sweep,
            plan,
            shard,
            folder: folder.to_owned(),
            own,
            lock,
            open,
            told: (count, seconds),
        }))
    }

    /// How many runs fall to it, how many of them are left, and about how many seconds of a thread those take.
    #[must_use]
    pub fn left(&self) -> (usize, usize, f64) {
        (self.told.0, self.open.len(), self.told.1)
    }

    /// Does the runs that are left, and gives the shard up.
    ///
    /// # Errors
    /// What stops one of them. What is done is kept.
    pub fn work(self, options: &Options) -> Result<()> {
        let mut sink = ShardSink { lines: RunFolder::part(&self.own), whole: RunFolder::part(&self.folder) };
        self.plan.work(self.sweep, &self.open, &mut sink, options)?;
        files::write_atomically(mark_of(&self.folder, self.shard), b"")?;
        self.lock.release();
        Ok(())
    }
}

/// Refuses a folder that does not hold this sweep in shards, or nothing; returns whether anything is left to do there.
fn refuse_other(folder: &Path, loaded: &Loaded) -> Result<bool> {
    let holds = |name: &str| folder.join(name).exists();
    if holds(SHARDS) || !folder.exists() || place::is_empty(folder) {
        return Ok(true);
    }
    if let Some(note) = lock::holder(folder) {
        return Err(lock::in_use(folder, &note));
    }
    if !holds(EXPERIMENT) {
        return refusal(folder, "the folder is not empty", "choose another --out");
    }
    refuse_another(folder, loaded)?;
    if holds(manifest::FILE) {
        return Ok(false);
    }
    refusal(
        folder,
        "found a sweep that was stopped, not in shards",
        "`--resume` instead of --shard, or `holograd merge`, completes it",
    )
}

/// Refuses a folder that holds another experiment.
fn refuse_another(folder: &Path, loaded: &Loaded) -> Result<()> {
    let file = folder.join(EXPERIMENT);
    let there = files::parse_json(&files::read_bytes(&file)?).map_err(|e| {
        Error::input(file.display().to_string(), "", e.to_string(), "an experiment written by holograd")
    })?;
    let ours = serde_json::to_value(described(loaded)).map_err(|e| Error::Internal(e.to_string()))?;
    match difference(&there, &ours) {
        None => Ok(()),
        Some(path) => {
            let legal = "all shards are of one sweep: choose another --out for another";
            Err(Invalid::new(path, "found another value than this shard has", legal)
                .in_file(file.display().to_string()))
        }
    }
}

/// Enters the folder with the lock of the shard at hand: signs it, looks who else is there, and describes the sweep or compares what
/// others have described.
fn enter(loaded: &Loaded, folder: &Path, shard: Shard, lock: &mut Lock, options: &Options) -> Result<()> {
    lock.sign(&lock::Note::own(vec![instruction_set()]))?;
    if let Some(note) = lock::holder(folder) {
        let found = format!("the shards are being put together by {}", note.holder());
        return refusal(folder, found, "nothing is left to do if it succeeds");
    }
    for other in begun(folder).into_iter().filter(|other| other.of != shard.of) {
        if let Some(note) = lock::holder(&place_of(folder, other)) {
            let found = format!("the shard {other} is being done by {}", note.holder());
            return refusal(folder, found, "shards that are done at the same time are of one number");
        }
    }
    if folder.join(EXPERIMENT).exists() {
        refuse_another(folder, loaded)?;
    } else {
        describe(folder, loaded)?;
        // Of two that have just found none the last one has written it.
        refuse_another(folder, loaded)?;
    }
    let own = place_of(folder, shard);
    place::remove_partial(&own)?;
    let mut lines = RunFolder::part(&own);
    let text = lines.lines()?.unwrap_or_default();
    // A kill may have torn the last line.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        lines.replace_lines(&text[..whole])?;
    }
    let mut note = note(folder, shard);
    note.side_by_side = options.side_by_side(rayon::current_num_threads());
    note.instructions.push(instruction_set());
    note.instructions.dedup();
    files::write_json(own.join(NOTE), &note)
}

/// The place of a shard's results: its lines are its own, histories and the like those of the whole.
struct ShardSink {
    lines: RunFolder,
    whole: RunFolder,
}

impl Sink for ShardSink {
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.lines.seconds()
    }

    fn append(&mut self, record: Value) -> Result<()> {
        self.lines.append(record)
    }

    fn lines(&self) -> Result<Option<String>> {
        self.lines.lines()
    }

    fn replace_lines(&mut self, lines: &str) -> Result<()> {
        self.lines.replace_lines(lines)
    }

    fn write(&mut self, name: &str, content: Content) -> Result<()> {
        self.whole.write(name, content)
    }

    fn tensors(&self, name: &str) -> Result<Option<Tensors>> {
        self.whole.tensors(name)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn place(&self, name: &str) -> String {
        self.whole.place(name)
    }

    fn inside(&self, name: &str) -> Result<Box<dyn Sink>> {
        self.whole.inside(name)
    }
}

/// What became of putting the shards of a sweep together.
pub enum Gathered {
    /// The folder that one process would have made, but for its figures and its manifest; and the lines for the user.
    Whole(Box<RunFolder>, Vec<String>),
    /// It was complete.
    Already,
    /// So many runs are done, of so many.
    Missing(usize, usize),
    /// A shard is being done, or another process puts them together.
    Busy(Error),
}

/// Puts the lines of all shards together, if none is missing and nobody is at work. Of a run that was done twice the first line counts.
///
/// # Errors
/// If there is no sweep in the folder, or a file is damaged or cannot be written.
pub fn gather(folder: &Path, command: Vec<String>) -> Result<Gathered> {
    let file = folder.join(EXPERIMENT);
    if !file.exists() {
        return refusal(folder, "found no run there", "give the folder of a sweep that was run with --shard");
    }
    place::refuse_links(folder)?;
    let loaded = load_from(Origin::Disk(file), &[])?;
    let sweep = sweep_of(&loaded)?;
    if !folder.join(SHARDS).exists() && folder.join(manifest::FILE).exists() {
        return Ok(Gathered::Already);
    }
    let mut locks = Vec::new();
    let ready = match hold(folder, &mut locks) {
        Ok(()) => sweep.gathered(&loaded.origin, &RunFolder::part(folder), &texts(folder, |_| true)?),
        Err(error @ Error::Input { .. }) => return Ok(give_up(locks, Gathered::Busy(error))),
        Err(error) => Err(error),
    };
    let lines = match ready {
        Ok((lines, count)) if lines.len() == count => lines,
        Ok((lines, count)) => return Ok(give_up(locks, Gathered::Missing(lines.len(), count))),
        Err(error) => return Err(give_up(locks, error)),
    };
    let mut instructions: Vec<String> = Vec::new();
    for shard in begun(folder) {
        let new = note(folder, shard).instructions.into_iter().filter(|set| !instructions.contains(set));
        instructions.extend(new.collect::<Vec<_>>());
    }
    let own = locks.swap_remove(0);
    if instructions.is_empty() {
        instructions = own.left().map_or(Vec::new(), |left| left.instructions.clone());
    }
    if instructions.is_empty() {
        instructions.push(instruction_set());
    }
    let mut whole = RunFolder::gathering(folder, own, command, &loaded, instructions)?;
    whole.replace_lines(&lines.into_values().collect::<String>())?;
    drop(locks);
    let shards = folder.join(SHARDS);
    if shards.exists() {
        fs::remove_dir_all(&shards).map_err(|e| Error::io(&shards, "remove", e))?;
    }
    place::remove_partial(folder)?;
    let told = sweep.finish(&mut whole)?;
    Ok(Gathered::Whole(Box::new(whole), told))
}

/// Takes the locks of a folder and of all its shards, in this order.
fn hold(folder: &Path, locks: &mut Vec<Lock>) -> Result<()> {
    locks.push(Lock::take(folder)?);
    for shard in begun(folder) {
        locks.push(Lock::take(&place_of(folder, shard))?);
    }
    Ok(())
}

/// Gives locks up; the files of those whose holders came to no end stay.
fn give_up<R>(locks: Vec<Lock>, outcome: R) -> R {
    locks.into_iter().filter(|lock| lock.left().is_none()).for_each(Lock::release);
    outcome
}
