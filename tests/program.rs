//! What the tests of the built program share: running it, and looking at what it leaves behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A training run of the toy network of some milliseconds an epoch.
pub const TOY: &str =
    "run digits --set model=../models/toy.json --set data=toy_gaussian --set schedule=constant";

/// Arguments after those of [`TOY`].
pub fn toy<'a>(more: &[&'a str]) -> Vec<&'a str> {
    TOY.split(' ').chain(more.iter().copied()).collect()
}

/// The program with `arguments`, in `folder`.
pub fn holograd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holograd"));
    command.current_dir(folder).args(arguments);
    command
}

/// The program where no file may grow beyond `blocks` of 512 bytes: a disk that fills up.
#[cfg(target_os = "linux")]
pub fn on_a_full_disk(folder: &Path, blocks: u64, arguments: &[&str]) -> Command {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-c", &script, "sh", env!("CARGO_BIN_EXE_holograd")]).args(arguments);
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    holograd(folder, arguments).output().unwrap()
}

/// Runs it to its end, which must be a success; returns what it said.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let (told, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{told}{complained}");
    told
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The lines of a run's `metrics.jsonl`.
pub fn metrics(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file and folder below `folder`, with the bytes of the files.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// A copy of the project's `experiments` and `models`.
pub fn shipped_files() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["experiments", "models"] {
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &copy.path().join(folder));
    }
    copy
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}
