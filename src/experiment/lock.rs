//! The lock of a run folder: one process at a time writes there, and the lock ends with it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file that is locked. It goes when the run is complete: one that nobody has locked marks a run that came to no end.
pub const FILE: &str = ".holograd-lock";

/// A note is a few hundred bytes.
const LONGEST: u64 = 1 << 16;

/// Attempts to take a lock that somebody else holds: whoever only looks whether it is held has it for an instant.
const ATTEMPTS: u32 = 4;

/// What stands in the file: whose run it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Process.
    pub pid: u32,
    /// Machine.
    pub host: String,
    /// When the process took the folder.
    pub since: String,
    /// Instruction sets that the numbers in the folder were calculated with, in their order.
    pub instructions: Vec<String>,
    /// Copies of given files, which are written before there is an experiment.
    pub copies: Vec<String>,
}

impl Note {
    /// That of this process, now.
    #[must_use]
    pub fn own(instructions: Vec<String>) -> Self {
        Self {
            pid: std::process::id(),
            host: sysinfo::System::host_name().unwrap_or_else(|_| "unknown".into()),
            since: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            instructions,
            copies: Vec::new(),
        }
    }

    /// Who that is, in words.
    #[must_use]
    pub fn holder(&self) -> String {
        match self.pid {
            0 => "another process".into(),
            pid => format!("process {pid} on {} since {}", self.host, self.since),
        }
    }
}

/// A lock that is held. Dropped, it is given up and its file stays; see [`Lock::release`].
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// What a process has left that came to no end.
    left: Option<Note>,
}

impl Lock {
    /// Takes the lock of a folder, or tells who holds it.
    ///
    /// # Errors
    /// [`Error::Input`] if another process holds it, [`Error::Io`] if the folder is missing or not writable.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let refused = |e| Error::io(&path, "write", e);
        let mut attempts = 0;
        loop {
            if path.is_symlink() {
                let legal = "remove it: holograd writes through no link";
                return Err(Error::input(path.display().to_string(), "", "found a link", legal));
            }
            let existed = path.exists();
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(refused)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if attempts < ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(in_use(folder, &read(&mut file))),
                Err(TryLockError::Error(reason)) => warn_without(folder, &reason),
            }
            // Its last holder may have removed it between the two calls: what is locked is then no longer what others find there.
            if is_at(&file, &path) {
                let left = existed.then(|| read(&mut file));
                return Ok(Self { file, path, left });
            }
        }
    }

    /// What a process has left there that came to no end.
    #[must_use]
    pub fn left(&self) -> Option<&Note> {
        self.left.as_ref()
    }

    /// Says who holds it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sign(&mut self, note: &Note) -> Result<()> {
        let text = serde_json::to_string(note).map_err(|e| Error::Internal(e.to_string()))? + "\n";
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(|e| Error::io(&self.path, "write", e))
    }

    /// Gives it up and removes its file.
    pub fn release(self) {
        // Removed while it is held: whoever takes it next sees that. Where it cannot be removed it says less than nothing wrong.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who writes in a folder at the moment, if anybody does. This leaves no trace.
#[must_use]
pub fn holder(folder: &Path) -> Option<Note> {
    let path = folder.join(FILE);
    if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
        return None;
    }
    let mut file = File::open(path).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| read(&mut file))
}

/// The refusal of a folder that another process writes in.
#[must_use]
pub fn in_use(folder: &Path, note: &Note) -> Error {
    let found = format!("the folder is in use by {}", note.holder());
    Error::input(
        folder.display().to_string(),
        "",
        found,
        "a folder belongs to one run: wait for its end, or choose another --out",
    )
}

/// Network file systems may have no locks.
fn warn_without(folder: &Path, reason: &std::io::Error) {
    let folder = folder.display().to_string();
    let text =
        format!("warning: {folder} cannot be locked ({reason}): see to it that no other run writes there");
    let _ = writeln!(std::io::stderr(), "{}", crate::text::printable(&text));
}

fn read(file: &mut File) -> Note {
    let mut bytes = Vec::new();
    let whole = file.rewind().and_then(|()| file.take(LONGEST).read_to_end(&mut bytes));
    // Its owner may be about to write it.
    whole.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |m: fs::Metadata| (m.dev(), m.ino());
    match (file.metadata().map(place), fs::symlink_metadata(path).map(place)) {
        (Ok(held), Ok(there)) => held == there,
        (_, Err(e)) if e.kind() == ErrorKind::NotFound => false,
        _ => true,
    }
}

/// Elsewhere a file that is open is not removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_says_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()), None);
        let mut lock = Lock::take(folder.path()).unwrap();
        assert_eq!(lock.left(), None);
        let note = Note::own(vec!["AVX2".into()]);
        lock.sign(&Note { since: "a time before the last one, and longer".into(), ..note.clone() }).unwrap();
        lock.sign(&note).unwrap();
        assert_eq!(holder(folder.path()), Some(note.clone()));
        let refusal = Lock::take(folder.path()).unwrap_err();
        let expected = format!("in use by process {} on {} since {}", note.pid, note.host, note.since);
        assert!(refusal.to_string().contains(&expected), "{refusal}");
        assert_eq!(refusal.exit_code(), 2);
        // Dropped, as by the death of its process, it is free, and its file tells of it.
        drop(lock);
        assert_eq!(holder(folder.path()), None);
        let lock = Lock::take(folder.path()).unwrap();
        assert_eq!(lock.left(), Some(&note));
        lock.release();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn of_many_at_once_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let Ok(lock) = Lock::take(folder.path()) else { continue };
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0, "two hold it");
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        lock.release();
                    }
                });
            }
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "text").unwrap();
        std::os::unix::fs::symlink("mine", folder.path().join(FILE)).unwrap();
        assert!(Lock::take(folder.path()).unwrap_err().to_string().contains("found a link"));
        assert_eq!(fs::read(folder.path().join("mine")).unwrap(), b"text");
    }
}
