//! Reading and writing files: whole and durable, or with an error that names the file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::host::{interrupt, machine};
use crate::{Error, Result};

mod csv;
mod json;
pub(crate) mod npz;
pub(crate) mod numpy;
mod table;
mod tensors;

pub use self::csv::parse_csv;
pub use json::parse_json;
pub use npz::Npz;
pub use numpy::{ONLY, Shaped, read_npz, read_numpy};
pub use table::Table;
pub use tensors::{Array, Tensors, Values, parse_tensors, read_tensors, write_tensors};

/// How the names of files begin and end while they are being written.
const PREFIX: &str = ".holograd-";
const SUFFIX: &str = ".partial";

/// Whether a file is one that a killed process has left half-written.
#[must_use]
pub fn is_partial(path: impl AsRef<Path>) -> bool {
    let name = path.as_ref().file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Replaces `path` by `bytes`, all or nothing: a reader, and a machine that loses power, sees the old file or the new one.
///
/// # Errors
/// [`Error::Io`] if the folder is missing or not writable; nothing is left behind then.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    replace(path, bytes).map_err(|source| Error::io(path, "write", source))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A rename is atomic only within one file system, hence the same folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As an ordinary new file: everything that the user's umask leaves.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let _whole = interrupt::hold();
    // Dropped on any failure below, which removes the file.
    let mut temporary = builder.tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes durable which files a folder holds, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // Some file systems refuse it; then the names are as durable as they make them.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Every file below a folder, sorted. Links are not followed, and they, devices and the like are left out.
///
/// # Errors
/// [`Error::Io`] with the system's reason.
pub fn below(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let refuse = |e| Error::io(folder, "read", e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let kind = entry.file_type().map_err(refuse)?;
        if kind.is_dir() {
            found.extend(below(entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Writes `value` as indented JSON with a final newline, [atomically](write_atomically).
///
/// # Errors
/// [`Error::Io`] as [`write_atomically`]; [`Error::Internal`] if the value has no form in JSON.
pub fn write_json(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::Internal(format!("{} has no form in JSON: {error}", path.display())))?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

/// Bytes that a document written by hand has at most, and anything that does not tell its length.
const LARGEST_DOCUMENT: u64 = 16 << 20;

/// The whole file, unless it is larger than the memory.
///
/// # Errors
/// [`Error::Io`] with the system's reason; [`Error::Input`] if it is too large.
pub fn read_bytes(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_at_most(path.as_ref(), machine::memory())
}

/// The whole file, which is written by hand: an experiment, a model, published results.
///
/// # Errors
/// [`Error::Io`] with the system's reason; [`Error::Input`] if it is larger than any such document.
pub fn read_document(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_at_most(path.as_ref(), LARGEST_DOCUMENT)
}

fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>> {
    let refused = |source| Error::io(path, "read", source);
    let too_large = |found: String, most: u64| {
        let legal = format!("at most {} are read of it", machine::bytes(most as f64));
        Error::input(path.display().to_string(), "", found, legal)
    };
    let file = File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    // A device or a pipe has no length, and perhaps no end.
    let most = if metadata.is_file() { most } else { most.min(LARGEST_DOCUMENT) };
    if metadata.len() > most {
        return Err(too_large(format!("it has {}", machine::bytes(metadata.len() as f64)), most));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > most { Err(too_large("it does not end".to_owned(), most)) } else { Ok(bytes) }
}

/// The whole file as text.
///
/// # Errors
/// [`Error::Io`] with the system's reason; [`Error::Input`] if it is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    String::from_utf8(read_bytes(path)?).map_err(|error| {
        Error::input(
            path.display().to_string(),
            "",
            format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to()),
            "save the file as UTF-8",
        )
    })
}

/// The SHA-256 of a file, as 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`Error::Io`] with the system's reason.
pub fn sha256(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let refused = |source| Error::io(path, "read", source);
    let mut file = File::open(path).map_err(refused)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut block).map_err(refused)?;
        if count == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&block[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(read_text(&path).unwrap(), "second");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("occupied");
        std::fs::create_dir(&target).unwrap();
        let error = write_atomically(&target, b"text").unwrap_err();
        assert!(error.to_string().contains("occupied: cannot write: "), "{error}");
        assert_eq!(names(folder.path()), ["occupied"]);

        let error = write_atomically(folder.path().join("absent/a.txt"), b"text").unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn files_below_are_found_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["a", "b/c/d"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        for (target, name) in [(".", "loop"), ("a", "b/link"), ("nowhere", "dangling")] {
            std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        }
        assert_eq!(below(folder.path()).unwrap(), ["a", "b/c/d"].map(|name| folder.path().join(name)));
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_has_the_permissions_of_an_ordinary_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode();
        std::fs::write(folder.path().join("ordinary"), b"").unwrap();
        write_atomically(folder.path().join("written"), b"").unwrap();
        assert_eq!(mode("written"), mode("ordinary"));
    }

    #[test]
    fn json_is_indented_and_ends_in_a_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_json(&path, &serde_json::json!({"a": [1]})).unwrap();
        assert_eq!(read_text(&path).unwrap(), "{\n  \"a\": [\n    1\n  ]\n}\n");
    }

    #[test]
    fn unreadable_text_is_refused_by_name_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin1.json");
        std::fs::write(&path, b"caf\xe9").unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert!(error.ends_with("latin1.json: byte 3 is not UTF-8 text; save the file as UTF-8"), "{error}");
        let error = read_text(folder.path().join("absent.json")).unwrap_err().to_string();
        assert!(error.contains("absent.json: cannot read: No such file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_refused() {
        let endless = "/dev/zero: it does not end; at most 16 MiB are read of it";
        assert_eq!(read_bytes("/dev/zero").unwrap_err().to_string(), endless);
        assert_eq!(read_document("/dev/zero").unwrap_err().to_string(), endless);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vast.json");
        // A file with a hole: it takes no disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read_document(&path).unwrap_err().to_string();
        assert!(error.ends_with("vast.json: it has 1.0 TiB; at most 16 MiB are read of it"), "{error}");
        let error = read_bytes(&path).unwrap_err().to_string();
        assert!(error.contains("vast.json: it has 1.0 TiB; at most "), "{error}");
    }

    #[test]
    fn sha256_has_its_published_values() {
        // FIPS 180-4 examples, as NIST's CSRC publishes them: "abc", and a million times "a".
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        std::fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }
}
