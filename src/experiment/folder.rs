//! The run folder: what a run leaves behind.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::epochs::CHECKPOINT;
use super::kinds::{self, Experiment, sweep::record::HISTORY};
use super::load::Loaded;
use super::lock::{Lock, Note};
use super::origin::{Origin, read_published};
use super::sink::{Content, EXPERIMENT, METRICS, Sink};
use super::{manifest, place};
use crate::error::{Error, Result};
use crate::files::{self, Tensors};
use crate::host::interrupt;
use crate::numerics::kernels::instruction_set;
use crate::published;

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
    /// What is run here; none in a folder inside another.
    loaded: Option<Loaded>,
}

/// The lock of a folder, and what is noted in it.
struct Held {
    lock: Lock,
    note: Note,
    /// Whether the lock's file stays if the run comes to no end.
    begun: bool,
}

/// An experiment as it stands in its run folder, and the files that are copied beside it, by their names there.
fn copies(loaded: &Loaded) -> (Experiment, Vec<(String, Origin)>) {
    let mut experiment = loaded.experiment.clone();
    let mut copies: Vec<(String, Origin)> = Vec::new();
    for reference in experiment.kind_mut().files_mut() {
        let source = loaded.origin.beside(reference);
        let mut name = reference.rsplit(['/', '\\']).next().unwrap_or(reference).to_owned();
        // A run may begin with what another has learnt, or with any other file that has the name of one that it writes.
        let own = |name: &str| match name.ends_with(".safetensors") {
            true => name == CHECKPOINT || kinds::written().any(|written| written == name),
            false => !name.starts_with(GIVEN),
        };
        while copies.iter().any(|(taken, _)| *taken == name) || own(&name) {
            name.insert_str(0, GIVEN);
        }
        name.clone_into(reference);
        copies.push((name, source));
    }
    (experiment, copies)
}

/// Names and contents of files.
pub(super) type Contents = Vec<(String, Vec<u8>)>;

/// The same with the contents of the files, published results among them.
pub(super) fn with_copies(loaded: &Loaded) -> Result<(Experiment, Contents)> {
    let (mut experiment, copies) = copies(loaded);
    let copy = |(name, source): (String, Origin)| Ok::<_, Error>((name, source.whole()?));
    let mut files: Contents = copies.into_iter().map(copy).collect::<Result<_>>()?;
    if let Some(reference) = experiment.kind_mut().published_mut() {
        files.push((published::FILE.to_owned(), read_published(&loaded.origin, reference)?));
        published::FILE.clone_into(reference);
    }
    Ok((experiment, files))
}

/// An experiment as it stands in its run folder.
pub(super) fn described(loaded: &Loaded) -> Experiment {
    let (mut experiment, _) = copies(loaded);
    if let Some(reference) = experiment.kind_mut().published_mut() {
        published::FILE.clone_into(reference);
    }
    experiment
}

/// Writes an experiment, and before it the files that it names.
pub(super) fn describe(folder: &Path, loaded: &Loaded) -> Result<()> {
    for (name, source) in copies(loaded).1 {
        files::write_atomically(folder.join(&name), &source.whole()?)?;
    }
    if let Some(reference) = loaded.experiment.clone().kind_mut().published_mut() {
        let bytes = read_published(&loaded.origin, reference)?;
        files::write_atomically(folder.join(published::FILE), &bytes)?;
    }
    files::write_json(folder.join(EXPERIMENT), &described(loaded))
}

impl RunFolder {
    /// Takes a folder for a new run: creates it, or accepts an empty one, or one that a run of a kind that is not resumed has left
    /// before its end.
    ///
    /// # Errors
    /// If it holds anything else, is in use, lies in another run's folder, or cannot be created.
    pub fn create(path: &Path, command: Vec<String>, loaded: &Loaded) -> Result<Self> {
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
        Self::begin((path, created), command, loaded, lock)
    }

    /// Takes the next of `runs/name`, `runs/name-2`, … for a new run, `name` that of its file: no two runs get the same.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn numbered(command: Vec<String>, loaded: &Loaded) -> Result<Self> {
        let (runs, name) = (Path::new(place::RUNS), &*loaded.name);
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
                    return Self::begin((&path, created), command, loaded, lock);
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
    fn begin(
        (path, created): (&Path, Option<PathBuf>),
        command: Vec<String>,
        loaded: &Loaded,
        mut lock: Lock,
    ) -> Result<Self> {
        if let Err(error) = place::clear(path, lock.left()) {
            if lock.left().is_none() {
                lock.release();
            }
            return Err(error);
        }
        let note = Note::own(vec![instruction_set()]);
        lock.sign(&note)?;
        let held = Held { lock, note, begun: false };
        Ok(Self::holding((path, created, true), command, loaded, held))
    }

    fn holding(
        (path, created, fresh): (&Path, Option<PathBuf>, bool),
        command: Vec<String>,
        loaded: &Loaded,
        held: Held,
    ) -> Self {
        let (held, loaded) = (Mutex::new(Some(held)), Some(loaded.clone()));
        Self { path: path.to_owned(), command, created, fresh, started: Instant::now(), held, loaded }
    }

    /// Takes the folder of an earlier run.
    ///
    /// # Errors
    /// If there is none, or another process has it.
    pub fn reopen(path: &Path, command: Vec<String>, loaded: &Loaded) -> Result<Self> {
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
        Ok(Self::holding((path, None, false), command, loaded, Held { lock, note, begun }))
    }

    /// The folder of a run whose lock is taken, to which others have contributed on processors with these instruction sets.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn gathering(
        path: &Path,
        mut lock: Lock,
        command: Vec<String>,
        loaded: &Loaded,
        instructions: Vec<String>,
    ) -> Result<Self> {
        let note = Note::own(instructions);
        lock.sign(&note)?;
        Ok(Self::holding((path, None, false), command, loaded, Held { lock, note, begun: true }))
    }

    /// A folder inside another, or one that others write into as well: it has no lock.
    pub(super) fn part(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            command: Vec::new(),
            created: None,
            fresh: false,
            started: Instant::now(),
            held: Mutex::new(None),
            loaded: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `experiment.json`, every default written out, and copies the parameter and batch files beside it,
    /// and the published results as [`published::FILE`]. From here on the folder holds no complete run until its end.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write_experiment(&self, loaded: &Loaded) -> Result<()> {
        let (_, copies) = copies(loaded);
        self.note_beginning(copies.iter().map(|(name, _)| name.clone()).collect())?;
        // Without it the folder is known to be incomplete, whatever happens now.
        let complete = self.path.join(manifest::FILE);
        if complete.exists() {
            fs::remove_file(&complete).map_err(|e| Error::io(&complete, "remove", e))?;
        }
        describe(&self.path, loaded)
    }

    /// Notes in the lock that there is a run now, and which files come before its experiment.
    fn note_beginning(&self, copies: Vec<String>) -> Result<()> {
        let mut held = self.held.lock().map_err(|_| Error::Internal("a run panicked".into()))?;
        let Some(held) = held.as_mut() else { return Ok(()) };
        held.begun = true;
        held.note.copies = copies;
        held.lock.sign(&held.note)
    }

    /// Writes `manifest.json` and gives the folder up: the run is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(&self) -> Result<()> {
        let seed = self.loaded.as_ref().map_or(0, |loaded| loaded.experiment.kind().seed());
        let mut held = self.held.lock().map_err(|_| Error::Internal("a run panicked".into()))?;
        let instructions = held.as_ref().map_or(Vec::new(), |held| held.note.instructions.clone());
        let told = manifest::Told { command: &self.command, seed, instructions: &instructions };
        manifest::write(&self.path, self.seconds(), &told)?;
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
        let begun = |folder: &Path| fs::read(folder.join(METRICS)).is_ok_and(|bytes| bytes.contains(&b'\n'));
        let mut histories = fs::read_dir(self.path.join(HISTORY)).into_iter().flatten().flatten();
        begun(&self.path) || histories.any(|entry| begun(&entry.path()))
    }
}

impl Sink for RunFolder {
    fn begin(&mut self) -> Result<()> {
        self.loaded.as_ref().map_or(Ok(()), |loaded| self.write_experiment(loaded))
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Appends a line to `metrics.jsonl`; durable when this returns: a checkpoint may count on it.
    fn append(&mut self, record: Value) -> Result<()> {
        let path = self.path.join(METRICS);
        let text = record.to_string() + "\n";
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

    fn lines(&self) -> Result<Option<String>> {
        let path = self.path.join(METRICS);
        if path.exists() { files::read_text(&path).map(Some) } else { Ok(None) }
    }

    fn replace_lines(&mut self, lines: &str) -> Result<()> {
        files::write_atomically(self.path.join(METRICS), lines.as_bytes())
    }

    fn write(&mut self, name: &str, content: Content) -> Result<()> {
        let path = self.path.join(name);
        match content {
            Content::Json(value) => files::write_json(path, &value),
            Content::Tensors(tensors) => files::write_tensors(path, &tensors),
            Content::Arrays(arrays) => arrays.write(path),
        }
    }

    fn tensors(&self, name: &str) -> Result<Option<Tensors>> {
        let path = self.path.join(name);
        if path.exists() { files::read_tensors(path).map(Some) } else { Ok(None) }
    }

    fn outlives(&self) -> bool {
        true
    }

    fn place(&self, name: &str) -> String {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        path.display().to_string()
    }

    fn inside(&self, name: &str) -> Result<Box<dyn Sink>> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|e| Error::io(&path, "create", e))?;
        Ok(Box::new(Self::part(&path)))
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
