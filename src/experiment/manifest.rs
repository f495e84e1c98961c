//! The manifest: what a complete run folder holds, and the check that it still does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::lock::{self, Lock};
use crate::error::{Error, Result};
use crate::files;
use crate::numerics::kernels::instruction_set;
use crate::team;

/// Its file. A folder without one holds no complete run.
pub const FILE: &str = "manifest.json";

/// How the files of figures end.
const FIGURES: [&str; 3] = ["svg", "png", "pdf"];

/// What a manifest is told of a run.
pub(super) struct Told<'a> {
    /// The command that began it.
    pub command: &'a [String],
    /// Its seed.
    pub seed: u64,
    /// The instruction sets of the processors that it ran on.
    pub instructions: &'a [String],
}

/// Writes the manifest of a run: version, command, seed, machine, wall time and the SHA-256 of each file, also of those in
/// folders below, by their path with `/`.
pub(super) fn write(folder: &Path, seconds: f64, told: &Told<'_>) -> Result<()> {
    let Told { command, seed, instructions } = told;
    let mut hashes = serde_json::Map::new();
    for (name, path) in listed(folder)? {
        hashes.insert(name, Value::String(files::sha256(&path)?));
    }
    let finished = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut manifest = json!({
            "program": "holograd",
            "version": env!("CARGO_PKG_VERSION"),
            "commit": env!("HOLOGRAD_COMMIT"),
            "command": command,
            "seed": seed,
            "machine": machine(),
            "instructions": instructions,
            "finished_unix_seconds": finished,
            "wall_seconds": seconds,
            "sha256": hashes,
    });
    if let Some(team) = team::current() {
        manifest["together"] = json!(team.told());
    }
    files::write_json(folder.join(FILE), &manifest)
}

/// Writes the manifest of a run that was in memory, once its files are in a folder.
///
/// # Errors
/// [`Error::Io`].
pub fn complete(folder: &Path, seconds: f64, command: &[String], seed: u64) -> Result<()> {
    write(folder, seconds, &Told { command, seed, instructions: &[instruction_set()] })
}

/// Instruction sets that the manifest names.
pub(super) fn instructions(folder: &Path) -> Vec<String> {
    let manifest = read(folder).ok().flatten().unwrap_or_default();
    let named = manifest["instructions"].as_array().into_iter().flatten();
    named.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// What differs between a folder and its manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Files that are as they were.
    pub sound: usize,
    /// Files with other contents.
    pub changed: Vec<String>,
    /// Files that are not there, or no files.
    pub missing: Vec<String>,
    /// Files that the manifest does not name.
    pub added: Vec<String>,
}

impl Findings {
    /// Whether everything that the manifest names is there as it was.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty()
    }
}

/// Compares a folder with its manifest.
///
/// # Errors
/// If there is no manifest, a run is still writing there, or a file cannot be read.
pub fn verify(folder: &Path) -> Result<Findings> {
    if let Some(note) = lock::holder(folder) {
        let found = format!("the folder is in use by {}", note.holder());
        return Err(Error::input(folder.display().to_string(), "", found, "a run is verified after its end"));
    }
    let Some(manifest) = read(folder)? else {
        let legal = "only complete runs have one: a run that was stopped has to be resumed first";
        return Err(Error::input(folder.display().to_string(), "", format!("found no {FILE} there"), legal));
    };
    let Some(hashes) = manifest["sha256"].as_object() else {
        let file = folder.join(FILE).display().to_string();
        return Err(Error::input(file, "sha256", "found no table of files", "a file written by holograd"));
    };
    let mut there = listed(folder)?;
    let mut findings = Findings::default();
    for (name, hash) in hashes {
        // What is looked for among the files below needs no guard against `..`.
        match there.remove(name) {
            None => findings.missing.push(name.clone()),
            Some(path) if Some(files::sha256(&path)?.as_str()) == hash.as_str() => findings.sound += 1,
            Some(_) => findings.changed.push(name.clone()),
        }
    }
    findings.added = there.into_keys().collect();
    Ok(findings)
}

/// Takes up the figures as they are now in the manifest of a complete run, if they differ.
///
/// # Errors
/// [`Error::Io`].
pub fn update_figures(folder: &Path) -> Result<()> {
    if read(folder)?.is_none() || lock::holder(folder).is_some() {
        return Ok(());
    }
    let is_figure = |name: &str| {
        !name.contains('/') && Path::new(name).extension().is_some_and(|e| FIGURES.iter().any(|f| e == *f))
    };
    let lock = Lock::take(folder)?;
    let Some(mut manifest) = read(folder)? else { return Ok(()) };
    let before = manifest.clone();
    if let Some(hashes) = manifest["sha256"].as_object_mut() {
        let there = listed(folder)?;
        hashes.retain(|name, _| !is_figure(name) || there.contains_key(name));
        for (name, path) in there.iter().filter(|(name, _)| is_figure(name)) {
            hashes.insert(name.clone(), Value::String(files::sha256(path)?));
        }
    }
    if manifest != before {
        files::write_json(folder.join(FILE), &manifest)?;
    }
    lock.release();
    Ok(())
}

fn read(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join(FILE);
    match fs::symlink_metadata(&path) {
        Err(_) => Ok(None),
        Ok(m) if !m.is_file() => {
            let legal = "a run folder holds the files themselves";
            Err(Error::input(path.display().to_string(), "", "found a link or a folder", legal))
        }
        Ok(_) => files::parse_json(&files::read_bytes(&path)?).map(Some).map_err(|e| {
            Error::input(path.display().to_string(), "", e.to_string(), "a file written by holograd")
        }),
    }
}

/// The files that a manifest speaks of, by their path inside with `/`. Links are none of them, and are not followed.
fn listed(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for path in files::below(folder)? {
        let inside = path.strip_prefix(folder).unwrap_or(&path);
        let name = inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        if name != FILE && name != lock::FILE && !files::is_partial(&path) {
            found.insert(name, path);
        }
    }
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
        "instructions": instruction_set(),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "threads": rayon::current_num_threads(),
        "memory_gib": system.as_ref().map(|s| (s.total_memory() as f64 / f64::from(1 << 30) * 10.0).round() / 10.0),
        "system": System::long_os_version().ok(),
        "architecture": std::env::consts::ARCH,
    })
}
