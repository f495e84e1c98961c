//! The run folder: what a run leaves behind.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::load::{self, Loaded};
use crate::error::{Error, Result};
use crate::files;
use crate::learning::checkpoint;
use crate::published;
use crate::records::HISTORY;

/// The file of the parameters that a run has learnt.
pub const LEARNT: &str = "parameters.safetensors";

/// The safetensors files that runs write. What they write besides has other extensions.
const WRITTEN: [&str; 4] = [LEARNT, checkpoint::FILE, "gradients.safetensors", "states.safetensors"];

/// How the copy of a file begins that has the name of one that the run writes.
const GIVEN: &str = "given-";

/// A folder that a run writes into. What it created disappears again if the input turns out to be bad.
pub struct RunFolder {
    path: PathBuf,
    command: Vec<String>,
    /// The outermost folder that this run created; none if its own was there before.
    created: Option<PathBuf>,
    /// Whether everything in the folder is this run's.
    fresh: bool,
    started: Instant,
}

impl RunFolder {
    /// Takes a folder for a new run: creates it, or accepts an empty one.
    ///
    /// # Errors
    /// If it holds anything, or cannot be created.
    pub fn create(path: &Path, command: Vec<String>) -> Result<Self> {
        let existed = path.exists();
        if existed && fs::read_dir(path).map_err(|e| Error::io(path, "read", e))?.next().is_some() {
            return Err(Error::input(
                path.display().to_string(),
                "",
                "the folder is not empty",
                "choose another --out, or add --resume to continue the run there",
            ));
        }
        let absent = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let created = path.ancestors().take_while(absent).last().map(Path::to_owned);
        let folder = Self { path: path.to_owned(), command, created, fresh: true, started: Instant::now() };
        match fs::create_dir_all(path) {
            Ok(()) => Ok(folder),
            Err(error) => {
                folder.discard();
                Err(Error::io(path, "create", error))
            }
        }
    }

    /// Takes the folder of an earlier run.
    ///
    /// # Errors
    /// If there is none.
    pub fn reopen(path: &Path, command: Vec<String>) -> Result<Self> {
        if !path.join("experiment.json").exists() {
            let legal = "--resume continues a run that has begun; leave it out to start one";
            return Err(Error::input(path.display().to_string(), "", "found no run to continue", legal));
        }
        // What the interrupted run was writing is of no use to anybody.
        for entry in fs::read_dir(path).map_err(|e| Error::io(path, "read", e))? {
            let entry = entry.map_err(|e| Error::io(path, "read", e))?.path();
            if files::is_partial(&entry) {
                fs::remove_file(&entry).map_err(|e| Error::io(&entry, "remove", e))?;
            }
        }
        Ok(Self { path: path.to_owned(), command, created: None, fresh: false, started: Instant::now() })
    }

    /// The folder `name` inside, created if need be, of one run among several.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn inside(&self, name: &str) -> Result<Self> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|e| Error::io(&path, "create", e))?;
        Ok(Self { path, command: self.command.clone(), created: None, fresh: false, started: Instant::now() })
    }

    /// The first of `runs/name`, `runs/name-2`, … that does not exist.
    #[must_use]
    pub fn fresh(name: &str) -> PathBuf {
        let numbered = |n: usize| {
            let suffix = if n == 1 { String::new() } else { format!("-{n}") };
            Path::new("runs").join(format!("{name}{suffix}"))
        };
        (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(1))
    }

    /// The last of `runs/name`, `runs/name-2`, … that exists.
    #[must_use]
    pub fn latest(name: &str) -> PathBuf {
        let numbered = |n: usize| if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
        let path = |n| Path::new("runs").join(numbered(n));
        (1..).take_while(|&n| path(n).exists()).last().map_or_else(|| path(1), path)
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
    /// and the published results as [`published::FILE`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_experiment(&self, loaded: &Loaded) -> Result<()> {
        let mut experiment = loaded.experiment.clone();
        let mut taken: Vec<String> = Vec::new();
        for reference in experiment.kind_mut().files_mut() {
            let source = loaded.origin.beside(reference);
            let mut name = reference.rsplit(['/', '\\']).next().unwrap_or(reference).to_owned();
            // A run may begin with what another has learnt, or with any other file that has the name of one that it writes.
            let own = |name: &str| match name.ends_with(".safetensors") {
                true => WRITTEN.contains(&name),
                false => !name.starts_with(GIVEN),
            };
            while taken.contains(&name) || own(&name) {
                name.insert_str(0, GIVEN);
            }
            files::write_atomically(self.path.join(&name), &source.read()?)?;
            taken.push(name.clone());
            *reference = name;
        }
        if let Some(reference) = experiment.kind_mut().published_mut() {
            let bytes = load::read_published(&loaded.origin, reference)?;
            files::write_atomically(self.path.join(published::FILE), &bytes)?;
            published::FILE.clone_into(reference);
        }
        self.write_json("experiment.json", &experiment)
    }

    /// Writes a JSON file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        files::write_json(self.path.join(name), value)
    }

    /// Appends a line to `metrics.jsonl`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append_metrics(&self, line: &impl Serialize) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let text = serde_json::to_string(line).map_err(|e| Error::Internal(e.to_string()))? + "\n";
        let append = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            let before = file.metadata()?.len();
            // On a full disk the first half of the line may have gone through.
            file.write_all(text.as_bytes()).inspect_err(|_| drop(file.set_len(before)))
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

    /// Cuts `metrics.jsonl` to its first `lines` lines: a run that was stopped may have written one too many.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Input`] if there are fewer.
    pub fn keep_metrics(&self, lines: usize) -> Result<()> {
        let path = self.path.join("metrics.jsonl");
        let text = if path.exists() { files::read_text(&path)? } else { String::new() };
        let kept: Vec<&str> = text.split_inclusive('\n').filter(|l| l.ends_with('\n')).take(lines).collect();
        if kept.len() < lines {
            let found = format!("found {} complete lines", kept.len());
            let legal = format!("the checkpoint has seen {lines} epochs: start the run anew");
            return Err(Error::input(path.display().to_string(), "", found, legal));
        }
        files::write_atomically(&path, kept.concat().as_bytes())
    }

    /// Writes `manifest.json`: version, command, seed, machine, wall time and the SHA-256 of each file, also
    /// of those in folders below, by their path with `/`. Call it last.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_manifest(&self, seed: u64) -> Result<()> {
        let mut hashes = serde_json::Map::new();
        for path in
            files_below(&self.path)?.into_iter().filter(|path| *path != self.path.join("manifest.json"))
        {
            let inside = path.strip_prefix(&self.path).unwrap_or(&path);
            let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
            hashes.insert(parts.join("/"), Value::String(files::sha256(&path)?));
        }
        let finished = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.write_json(
            "manifest.json",
            &json!({
                "program": "holograd",
                "version": env!("CARGO_PKG_VERSION"),
                "commit": env!("HOLOGRAD_COMMIT"),
                "command": self.command,
                "seed": seed,
                "machine": machine(),
                "finished_unix_seconds": finished,
                "wall_seconds": self.seconds(),
                "sha256": hashes,
            }),
        )
    }

    /// Removes what a run with bad input has created. What has a result stays, be it an epoch of a training run, or a run of a
    /// sweep: `--resume` takes it up once there is room on the disk again.
    pub fn discard(self) {
        if !self.fresh || self.has_results() {
            return;
        }
        // The error that led here is the one to report.
        if let Some(outermost) = &self.created {
            let _ = fs::remove_dir_all(&self.path);
            // Only empty ones: another run may have begun beside this one.
            let above = self.path.ancestors().skip(1).take_while(|folder| folder.starts_with(outermost));
            above.for_each(|folder| drop(fs::remove_dir(folder)));
            return;
        }
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
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

/// Every file below a folder, sorted.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |e| Error::io(folder, "read", e);
    let entries =
        fs::read_dir(folder).map_err(refuse)?.collect::<std::io::Result<Vec<_>>>().map_err(refuse)?;
    let mut found = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn machine() -> Value {
    use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
    let kind = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::everything());
    let system = System::new_with_specifics(kind).ok();
    json!({
        "processor": system.as_ref().and_then(|s| Some(s.cpus().first()?.brand().trim().to_owned())),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "threads": rayon::current_num_threads(),
        "memory_gib": system.as_ref().map(|s| (s.total_memory() as f64 / f64::from(1 << 30) * 10.0).round() / 10.0),
        "system": System::long_os_version().ok(),
        "architecture": std::env::consts::ARCH,
    })
}
