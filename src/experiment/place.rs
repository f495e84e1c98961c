//! Where runs go: names of folders, what a folder holds before a run begins there, and what is cleared away.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::epochs::CHECKPOINT;
use super::kinds::{self, sweep::record::HISTORY};
use super::lock::{self, Note};
use super::manifest;
use super::shards::SHARDS;
use super::sink::{EXPERIMENT, METRICS, SUMMARY};
use crate::error::{Error, Result};
use crate::files;
use crate::published;

/// The folder of runs that were given none.
pub(crate) const RUNS: &str = "runs";

/// What runs of every kind write into their folder, besides figures and copies of what they were given.
const WRITTEN: [&str; 6] = [EXPERIMENT, manifest::FILE, CHECKPOINT, published::FILE, METRICS, SUMMARY];

/// All that runs write, of whatever kind.
fn written() -> impl Iterator<Item = &'static str> {
    WRITTEN.into_iter().chain(kinds::written())
}

fn refusal(path: &Path, found: impl Into<String>, legal: impl Into<String>) -> Error {
    Error::input(path.display().to_string(), "", found, legal)
}

/// Refuses a place where no run can go: a file, a link that leads nowhere, the folder of another run.
pub(super) fn refuse(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(refusal(path, "found a file", "a run writes into a folder: choose another --out"));
    }
    if let Some(link) = path.ancestors().find(|part| part.is_symlink() && !part.exists()) {
        let target = fs::read_link(link).unwrap_or_default();
        let found = format!("found a link to {}, which does not exist", target.display());
        return Err(refusal(link, found, "create what it points to, or choose another --out"));
    }
    match run_around(path) {
        None => Ok(()),
        Some(run) => {
            let found = format!("it lies in {}, which is the folder of a run", run.display());
            Err(refusal(path, found, "choose another --out"))
        }
    }
}

/// The folder of a run in which a path lies, if any; the path itself does not count.
pub(crate) fn run_around(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    let there = whole.ancestors().skip(1).find(|folder| folder.exists())?.canonicalize().ok()?;
    there.ancestors().find(|folder| holds_run(folder)).map(Path::to_owned)
}

/// Whether a folder is that of a run.
pub(crate) fn holds_run(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let begun = || has(manifest::FILE) || has(METRICS) || folder.join(SHARDS).is_dir();
    has(lock::FILE) || (has(EXPERIMENT) && begun())
}

/// The outermost folder on the way to `path`, itself included, that is not there.
pub(super) fn outermost_absent(path: &Path) -> Option<PathBuf> {
    let absent = |folder: &&Path| !folder.as_os_str().is_empty() && fs::symlink_metadata(folder).is_err();
    path.ancestors().take_while(absent).last().map(Path::to_owned)
}

/// Removes the empty folders from `path` up to `outermost`.
pub(super) fn remove_created(path: &Path, outermost: Option<&Path>) {
    let Some(outermost) = outermost else { return };
    // Only empty ones: another run may have begun beside this one.
    let created = path.ancestors().take_while(|folder| folder.starts_with(outermost));
    created.for_each(|folder| drop(fs::remove_dir(folder)));
}

/// Removes what a folder holds.
pub(super) fn remove_all(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = remove(&entry.path());
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    // A link is removed, not what it points to.
    if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// The number of `name-7` among the runs called `name`; of `name` itself 1.
fn number(entry: &str, name: &str) -> Option<u64> {
    if entry == name {
        return Some(1);
    }
    let digits = entry.strip_prefix(name)?.strip_prefix('-')?;
    // As they are written: no sign, no zero in front.
    digits.parse().ok().filter(|n: &u64| *n > 1 && n.to_string() == digits)
}

/// The entries of `runs` that have the name, with their numbers.
fn entries(name: &str) -> Result<Vec<(u64, PathBuf)>> {
    let runs = Path::new(RUNS);
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(runs).map_err(|e| Error::io(runs, "read", e))?;
    let numbered = |entry: fs::DirEntry| Some((number(entry.file_name().to_str()?, name)?, entry.path()));
    Ok(entries.flatten().filter_map(numbered).collect())
}

/// The place after the last of `runs/name`, `runs/name-2`, …, so that their numbers are the order in which they began.
pub(super) fn next(name: &str) -> Result<PathBuf> {
    let last = entries(name)?.into_iter().map(|(number, _)| number).max();
    let last = last.map_or(name.to_owned(), |last| format!("{name}-{}", last + 1));
    Ok(Path::new(RUNS).join(last))
}

/// The last of `runs/name`, `runs/name-2`, … in which a run has begun, or was about to, whatever numbers are missing.
///
/// # Errors
/// If there is none.
#[cfg(feature = "program")]
pub(crate) fn latest(name: &str) -> Result<PathBuf> {
    let holds = |folder: &Path| folder.join(EXPERIMENT).exists() || folder.join(lock::FILE).exists();
    let runs = entries(name)?.into_iter().filter(|(_, path)| holds(path));
    runs.max().map(|(_, path)| path).ok_or_else(|| {
        let legal = "name its folder with --out, or leave --resume out to start one";
        refusal(&Path::new(RUNS).join(name), "found no run to continue, nor one with a number", legal)
    })
}

/// Refuses a folder that holds no run.
pub(crate) fn refuse_without_run(folder: &Path) -> Result<()> {
    let experiment = folder.join(EXPERIMENT);
    if !experiment.exists() && !experiment.is_symlink() {
        let legal = if folder.join(lock::FILE).exists() {
            "its run was stopped before it had begun: leave --resume out to start it"
        } else {
            "--resume continues a run that has begun; leave it out to start one"
        };
        return Err(refusal(folder, "found no run to continue", legal));
    }
    refuse_links(folder)
}

/// Refuses a run folder in which a link stands for a file or folder of the run: they are not followed.
///
/// # Errors
/// [`Error::Input`], which names the first one.
pub(crate) fn refuse_links(folder: &Path) -> Result<()> {
    let inside =
        |name: &str| fs::read_dir(folder.join(name)).into_iter().flatten().flatten().map(|e| e.path());
    let named = written().chain([HISTORY, SHARDS]).map(|name| folder.join(name));
    let below = inside(HISTORY).chain(inside(SHARDS));
    let below = below.flat_map(|run| [run.join(METRICS), run.join(CHECKPOINT), run]);
    match named.chain(below).find(|path| path.is_symlink()) {
        None => Ok(()),
        Some(link) => {
            let legal = "a run folder holds the files themselves: put what it points to in its place";
            Err(refusal(&link, "found a link", legal))
        }
    }
}

/// Removes what a killed process has left in the folder of a complete run: half-written files, and its lock.
///
/// # Errors
/// [`Error::Io`], or [`Error::Input`] if another process works there.
pub(crate) fn tidy(folder: &Path) -> Result<()> {
    remove_partial(folder)?;
    if folder.join(lock::FILE).exists() { lock::Lock::take(folder).map(lock::Lock::release) } else { Ok(()) }
}

/// Removes what killed processes have left half-written in a run folder and in the runs of its sweep.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn remove_partial(folder: &Path) -> Result<()> {
    let partial = files::below(folder)?.into_iter().filter(|path| files::is_partial(path));
    partial.into_iter().try_for_each(|path| fs::remove_file(&path).map_err(|e| Error::io(&path, "remove", e)))
}

/// Whether a folder holds nothing but its lock.
pub(super) fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut all| all.all(|e| e.is_ok_and(|e| e.file_name() == lock::FILE)))
}

/// Makes a locked folder ready for a new run: removes what a run that came to no end has left, as `left` says, if it is of no use.
///
/// # Errors
/// If the folder holds anything else, with a way on for each case.
pub(super) fn clear(folder: &Path, left: Option<&Note>) -> Result<()> {
    if folder.join(SHARDS).exists() {
        let legal = "go on with --shard, or choose another --out";
        return Err(refusal(folder, "the folder holds a sweep that is done in shards", legal));
    }
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?;
    let entries = entries.map(|e| e.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>();
    let mut entries = entries.map_err(|e| Error::io(folder, "read", e))?;
    entries.retain(|path| path.file_name().is_none_or(|name| name != lock::FILE));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copied = |path: &Path| left.is_some_and(|left| left.copies.contains(&name(path)));
    let of_no_use = |path: &Path| files::is_partial(path) || copied(path) || name(path) == published::FILE;
    if !entries.iter().all(|path| of_no_use(path)) {
        let own = |path: &Path| {
            let figure = path.extension().is_some_and(|e| e == "svg" || e == "png" || e == "pdf");
            of_no_use(path) || figure || written().any(|written| written == name(path))
        };
        let kind = fs::read(folder.join(EXPERIMENT)).ok();
        let kind = kind.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let kind = kind.as_ref().map(|value| value["kind"].as_str().unwrap_or_default());
        let foreign = entries.iter().find(|path| !own(path));
        match kind {
            Some(_) if left.is_none() || folder.join(manifest::FILE).exists() => {
                let legal = "choose another --out; to learn on there, add --resume with more epochs";
                return Err(refusal(folder, "the folder is not empty: it holds a run", legal));
            }
            Some(kind) if kinds::is_resumed(kind) => {
                let legal = "add --resume to continue it, or choose another --out";
                return Err(refusal(folder, "the folder holds a run that was stopped before its end", legal));
            }
            Some(_) if foreign.is_none() => {
                let text = format!(
                    "note: {}: the run that was stopped there before its end begins again",
                    folder.display()
                );
                let _ = writeln!(std::io::stderr(), "{}", crate::text::printable(&text));
            }
            Some(_) => {
                let foreign = foreign.map(|path| name(path)).unwrap_or_default();
                let found =
                    format!("the folder holds a run that was stopped before its end, and `{foreign}`");
                return Err(refusal(
                    folder,
                    found,
                    "move that away to begin again there, or choose another --out",
                ));
            }
            None => {
                let legal = "choose another --out; --resume is for a folder that holds a run";
                return Err(refusal(folder, "the folder is not empty", legal));
            }
        }
    } else if left.is_none() && entries.iter().any(|path| !files::is_partial(path)) {
        let legal = "choose another --out; --resume is for a folder that holds a run";
        return Err(refusal(folder, "the folder is not empty", legal));
    }
    // The experiment last: what stays, if this is interrupted, still says what it is.
    entries.sort_by_key(|path| name(path) == EXPERIMENT);
    entries.iter().try_for_each(|path| remove(path).map_err(|e| Error::io(path, "remove", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let read =
            ["a", "a-2", "a-10", "a-1", "a-02", "a-+3", "a-b", "b", "a-2-3", "ab"].map(|n| number(n, "a"));
        let expected = [Some(1), Some(2), Some(10), None, None, None, None, None, None, None];
        assert_eq!(read, expected);
    }
}
