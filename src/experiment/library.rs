//! The models and experiments that ship inside the binary.

use include_dir::{Dir, include_dir};

static EXPERIMENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/experiments");
static MODELS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/models");

/// The experiment that runs when none is named.
pub const DEFAULT: &str = "digits";

/// The bytes of a shipped file, by its path in the project: `experiments/digits.json`, `models/toy.json`.
#[must_use]
pub fn file(path: &str) -> Option<&'static [u8]> {
    let (folder, rest) = path.split_once('/')?;
    let folder = match folder {
        "experiments" => &EXPERIMENTS,
        "models" => &MODELS,
        _ => return None,
    };
    folder.get_file(rest).map(include_dir::File::contents)
}

/// The names of all shipped models, sorted.
#[must_use]
pub fn models() -> Vec<String> {
    let name = |file: &include_dir::File<'_>| Some(file.path().to_str()?.strip_suffix(".json")?.to_owned());
    let mut names: Vec<String> = MODELS.files().filter_map(name).collect();
    names.sort();
    names
}

/// The names of all shipped experiments, sorted: the path below `experiments`, without `.json`. Folders called `published`
/// hold data.
#[must_use]
pub fn experiments() -> Vec<String> {
    fn collect(folder: &Dir<'_>, names: &mut Vec<String>) {
        for file in folder.files() {
            let name = file.path().to_string_lossy().replace('\\', "/");
            names.extend(name.strip_suffix(".json").map(str::to_owned));
        }
        let holds_experiments = |folder: &&Dir<'_>| !folder.path().ends_with("published");
        folder.dirs().filter(holds_experiments).for_each(|folder| collect(folder, names));
    }
    let mut names = Vec::new();
    collect(&EXPERIMENTS, &mut names);
    names.sort();
    names
}
