//! The run folder: what a run leaves behind.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::load::{self, Loaded};
use super::lock::{Lock, Note};
use super::{manifest, place};
use crate::error::{Error, Result};
use crate::files;
use crate::host::interrupt;
use crate::learning::checkpoint;
use crate::numerics::kernels::instruction_set;
use crate::published;
use crate::records::HISTORY;

/// The file of the parameters that a run has learnt.
pub const LEARNT: &str = "parameters.safetensors";

/// The file of the experiment, as it is run.
pub const EXPERIMENT: &str = "experiment.json";

/// The safetensors files that runs write. What they write besides has other extensions.
const WRITTEN: [&str; 4] = [LEARNT, checkpoint::FILE, "gradients.safetensors", "states.safetensors"];

/// How the copy of a file begins that has the name of one that the run writes.
const GIVEN: &str = "given-";

/// Times that a folder may vanish while it is being taken: other runs clear up what they have created.
const ATTEMPTS: usize = 100;

/// A folder that a run writes into, locked until the run ends. What it created disappears again if the input turns out to be bad.
pub struct RunFolder {
    path: PathBuf,
    command: Vec<String>,
    /// The outermost folder that this run created; none if its own was there before.
    created: Option<PathBuf>,
    /// Whether everything in the folder is this run's.
    fresh: bool,
    started: Instant,
    /// None in a folder inside another.
    held: Mutex<Option<Held>>,
}

/// The lock of a folder, and what is noted in it.
struct Held {
    lock: Lock,
    note: Note,
    /// Whether the lock's file stays if the run comes to no end.
    begun: bool,
}

impl RunFolder {
    /// Takes a folder for a new run: creates it, or accepts an empty one, or one that a run of a kind that is not resumed has left
    /// before its end.
    ///
    /// # Errors
    /// If it holds anything else, is in use, lies in another run's folder, or cannot be created.
    pub fn create(path: &Path, command: Vec<String>) -> Result<Self> {
        place::refuse(path)?;
        let created = place::outermost_absent(path);
        let taken = (0..ATTEMPTS).find_map(|_| {
            if let Err(error) = fs::create_dir_all(path) {
                return Some(Err(Error::io(path, "create", error)));
            }
            match Lock::take(path) {
                Err(Error::Io { .. }) if !path.exists() => None,
                lock => Some(lock),
            }
        });
        let taken = taken.unwrap_or_else(|| {
            Err(Error::input(
                path.display().to_string(),
                "",
                "the folder vanishes again and again",
                "choose another --out",
            ))
        });
        let lock = taken.inspect_err(|error| {
            if matches!(error, Error::Io { .. }) {
                place::remove_created(path, created.as_deref());
            }
        })?;
        Self::begin(path, command, created, lock)
    }

    /// Takes the next of `runs/name`, `runs/name-2`, … for a new run: no two runs get the same.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn numbered(name: &str, command: Vec<String>) -> Result<Self> {
        let runs = Path::new(place::RUNS);
        place::refuse(&runs.join(name))?;
        let above = place::outermost_absent(runs);
        for _ in 0..ATTEMPTS {
            fs::create_dir_all(runs).map_err(|e| Error::io(runs, "create", e))?;
            let path = place::next(name)?;
            match fs::create_dir(&path) {
                Ok(()) => {}
                // Another run was faster.
                Err(error) if path.is_symlink() || path.exists() || !runs.exists() => drop(error),
                Err(error) => return Err(Error::io(&path, "create", error)),
            }
            match Lock::take(&path) {
                Ok(lock) if lock.left().is_none() && place::is_empty(&path) => {
                    let created = above.clone().or_else(|| Some(path.clone()));
                    return Self::begin(&path, command, created, lock);
                }
                // It is not the folder that was created above, or no longer.
                Ok(lock) if lock.left().is_none() => lock.release(),
                Ok(_) | Err(Error::Input { .. }) => {}
                Err(error) if path.exists() => return Err(error),
                Err(_) => {}
            }
        }
        let found = format!("found no free name for a run of {name}");
        Err(Error::input(runs.display().to_string(), "", found, "choose one with --out"))
    }

    /// A new run in a folder whose lock is taken.
    fn begin(path: &Path, command: Vec<String>, created: Option<PathBuf>, mut lock: Lock) -> Result<Self> {
        if let Err(error) = place::clear(path, lock.left()) {
            if lock.left().is_none() {
                lock.release();
            }
            return Err(error);
        }
        let note = Note::own(vec![instruction_set()]);
        lock.sign(&note)?;
        Ok(Self::holding(path, command, created, true, Held { lock, note, begun: false }))
    }

    fn holding(path: &Path, command: Vec<String>, created: Option<PathBuf>, fresh: bool, held: Held) -> Self {
        let held = Mutex::new(Some(held));
        Self { path: path.to_owned(), command, created, fresh, started: Instant::now(), held }
    }

    /// Takes the folder of an earlier run.
    ///
    /// # Errors
    /// If there is none, or another process has it.
    pub fn reopen(path: &Path, command: Vec<String>) -> Result<Self> {
        place::refuse_without_run(path)?;
        let mut lock = Lock::take(path)?;
        place::remove_partial(path)?;
        let mut instructions = manifest::instructions(path);
        let begun = lock.left().is_some();
        if let Some(left) = lock.left().filter(|_| instructions.is_empty()) {
            instructions.clone_from(&left.instructions);
        }
        let now = instruction_set();
        if let Some(before) = instructions.last().filter(|before| **before != now) {
            let text = format!(
                "warning: {}: begun with {before} instructions, this processor has {now}: the last digits may differ from those of \
                 a run on one machine",
                path.display()
            );
            let _ = writeln!(std::io::stderr(), "{}", crate::text::printable(&text));
        }
        instructions.push(now);
        instructions.dedup();
        let note = Note::own(instructions);
        lock.sign(&note)?;
        Ok(Self::holding(path, command, None, false, Held { lock, note, begun }))
    }

    /// The folder `name` inside, created if need be, of one run among several.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn inside(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|e| Error::io(&path, "create", e))?;
        Ok(Self {
            path,
            command: self.command.clone(),
            created: None,
            fresh: false,
            started: Instant::now(),
            held: Mutex::new(None),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Seconds since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Writes `experiment.json`, every default written out, and copies the parameter and batch files beside it,
    /// and the published results as [`published::FILE`]. From here on the folder holds no complete run until its end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_experiment(&self, loaded: &Loaded) -> Result<()> {
        let mut experiment = loaded.experiment.clone();
        let mut copies: Vec<(String, load::Origin)> = Vec::new();
        for reference in experiment.kind_mut().files_mut() {
            let source = loaded.origin.beside(reference);
            let mut name = reference.rsplit(['/', '\\']).next().unwrap_or(reference).to_owned();
            // A run may begin with what another has learnt, or with any other file that has the name of one that it writes.
            let own = |name: &str| match name.ends_with(".safetensors") {
                true => WRITTEN.contains(&name),
                false => !name.starts_with(GIVEN),
            };
            while copies.iter().any(|(taken, _)| *taken == name) || own(&name) {
                name.insert_str(0, GIVEN);
            }
            name.clone_into(reference);
            copies.push((name, source));
        }
        self.note_beginning(copies.iter().map(|(name, _)| name.clone()).collect())?;
        // Without it the folder is known to be incomplete, whatever happens now.
        let complete = self.path.join(manifest::FILE);
        if complete.exists() {
            fs::remove_file(&complete).map_err(|e| Error::io(&complete, "remove", e))?;
        }
        for (name, source) in copies {
            files::write_atomically(self.path.join(&name), &source.read()?)?;
        }
        if let Some(reference) = experiment.kind_mut().published_mut() {
            let bytes = load::read_published(&loaded.origin, reference)?;
            files::write_atomically(self.path.join(published::FILE), &bytes)?;
            published::FILE.clone_into(reference);
        }
        self.write_json(EXPERIMENT, &experiment)
    }

    /// Notes in the lock that there is a run now, and which files come before its experiment.
    fn note_beginning(&self, copies: Vec<String>) -> Result<()> {
        let mut held = self.held.lock().map_err(|_| Error::Internal("a run panicked".into()))?;
        let Some(held) = held.as_mut() else { return Ok(()) };
        held.begun = true;
        held.note.copies = copies;
        held.lock.sign(&held.note)
    }

    /// Writes a JSON file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        files::write_json(self.path.join(name), value)
    }

    /// Whether there is a checkpoint to go on from; without one nothing has been learnt yet.
    ///
    /// # Errors
    /// [`Error::Input`] if something has been learnt and the checkpoint is missing.
    pub fn has_checkpoint(&self) -> Result<bool> {
        let there = self.path.join(checkpoint::FILE).exists();
        if !there && self.has_results() {
            let found = format!("found metrics, but no {}", checkpoint::FILE);
            let legal = "without it the run cannot go on: start another in a new folder";
            return Err(Error::input(self.path.display().to_string(), "", found, legal));
        }
        Ok(there)
    }

    /// Appends a line to `metrics.jsonl`, whole or not at all, and durable when this returns: a checkpoint may count on it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append_metrics(&self, line: &impl Serialize) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let text = serde_json::to_string(line).map_err(|e| Error::Internal(e.to_string()))? + "\n";
        let _whole = interrupt::hold();
        let append = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            let before = file.metadata()?.len();
            // On a full disk the first half of the line may have gone through.
            file.write_all(text.as_bytes()).inspect_err(|_| drop(file.set_len(before)))?;
            file.sync_data()?;
            if before == 0 { files::sync_folder(&self.path) } else { Ok(()) }
        };
        append().map_err(|e| Error::io(&path, "write", e))
    }

    /// Replaces `metrics.jsonl` by these lines, each with its end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rewrite_metrics<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Result<()> {
        files::write_atomically(self.path.join("metrics.jsonl"), lines.collect::<String>().as_bytes())
    }

    /// Cuts `metrics.jsonl` to its first `lines` lines: a run that was stopped may have written one too many. If the last one is
    /// missing, or torn, it is `last`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Input`] if there are fewer.
    pub fn keep_metrics(&self, lines: usize, last: Option<&str>) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let text = if path.exists() { files::read_text(&path)? } else { String::new() };
        let whole = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
        let mut kept: Vec<&str> = text.lines().take_while(whole).take(lines).collect();
        if let Some(last) = last.filter(|_| kept.len() + 1 == lines) {
            kept.push(last);
        }
        if kept.len() < lines {
            let found = format!("found {} complete lines", kept.len());
            let legal = format!("the checkpoint has seen {lines} epochs: start the run anew");
            return Err(Error::input(path.display().to_string(), "", found, legal));
        }
        let kept: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
        if kept == text && path.exists() { Ok(()) } else { files::write_atomically(&path, kept.as_bytes()) }
    }

    /// Writes `manifest.json` and gives the folder up: the run is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(&self, seed: u64) -> Result<()> {
        let mut held = self.held.lock().map_err(|_| Error::Internal("a run panicked".into()))?;
        let instructions = held.as_ref().map_or(Vec::new(), |held| held.note.instructions.clone());
        manifest::write(self, &self.command, seed, &instructions)?;
        if let Some(held) = held.take() {
            held.lock.release();
        }
        Ok(())
    }

    /// Removes what a run with bad input has created. What has a result stays, be it an epoch of a training run, or a run of a
    /// sweep: `--resume` takes it up once there is room on the disk again.
    pub fn discard(self) {
        if !self.fresh || self.has_results() {
            return;
        }
        // The error that led here is the one to report.
        if self.created.is_some() {
            let _ = fs::remove_dir_all(&self.path);
            place::remove_created(&self.path, self.created.as_deref());
        } else {
            place::remove_all(&self.path);
        }
        // Its file is gone: there may be another run's by now.
        if let Ok(mut held) = self.held.lock() {
            *held = None;
        }
    }

    /// Whether there is a complete line of metrics here, or of a run of a sweep that keeps its history.
    fn has_results(&self) -> bool {
        let begun =
            |folder: &Path| fs::read(folder.join("metrics.jsonl")).is_ok_and(|bytes| bytes.contains(&b'\n'));
        let mut histories = fs::read_dir(self.path.join(HISTORY)).into_iter().flatten().flatten();
        begun(&self.path) || histories.any(|entry| begun(&entry.path()))
    }
}

impl Drop for RunFolder {
    /// The lock's file stays where a run has begun and come to no end.
    fn drop(&mut self) {
        let held = self.held.get_mut().ok().and_then(Option::take);
        if let Some(held) = held.filter(|held| !held.begun) {
            held.lock.release();
        }
    }
}
