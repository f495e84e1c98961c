//! Where an experiment comes from, and what stands beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::library;
use crate::error::{Error, Result};
use crate::files::{self, Tensors, parse_tensors, read_tensors};
use crate::published::Published;

/// A file on disk, one that ships inside the binary, or what a program hands over in the place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On disk.
    Disk(PathBuf),
    /// In the binary, by its path in the project.
    BuiltIn(String),
    /// In the memory of the caller.
    Given(Given),
}

/// A document or named arrays that a program hands over; and the arrays that the document names as if they were files beside it.
#[derive(Debug, Clone)]
pub struct Given {
    /// How messages name it.
    pub name: String,
    /// The file that it is a changed copy of, beside which other files lie; without one they lie in the current directory.
    pub copy_of: Option<Box<Origin>>,
    /// The arrays, by the names that the document has for them.
    pub arrays: Arc<BTreeMap<String, Tensors>>,
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.copy_of == other.copy_of && Arc::ptr_eq(&self.arrays, &other.arrays)
    }
}

impl Eq for Given {}

impl Origin {
    /// How messages name it.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Disk(path) => path.display().to_string(),
            Self::BuiltIn(path) => format!("built-in {path}"),
            Self::Given(given) => given.name.clone(),
        }
    }

    /// The file that `path`, written in this one, means: one beside it. What does not ship with an experiment in the binary is
    /// looked for from the current directory.
    #[must_use]
    pub fn beside(&self, path: &str) -> Self {
        match self {
            Self::Disk(file) => Self::Disk(file.parent().unwrap_or(Path::new("")).join(path)),
            Self::BuiltIn(file) => {
                let mut parts: Vec<&str> = file.split('/').collect();
                parts.pop();
                for part in path.split('/') {
                    match part {
                        ".." => drop(parts.pop()),
                        "." => {}
                        part => parts.push(part),
                    }
                }
                let beside = parts.join("/");
                if library::file(&beside).is_some() { Self::BuiltIn(beside) } else { Self::Disk(path.into()) }
            }
            Self::Given(given) if given.arrays.contains_key(path) => {
                Self::Given(Given { name: path.to_owned(), ..given.clone() })
            }
            Self::Given(Given { copy_of: Some(file), .. }) => file.beside(path),
            Self::Given(_) => Self::Disk(path.into()),
        }
    }

    /// The folder that relative paths in it start from.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Disk(file) => file.parent().unwrap_or(Path::new("")).to_owned(),
            Self::BuiltIn(_) => PathBuf::from("."),
            Self::Given(given) => given.copy_of.as_ref().map_or(PathBuf::from("."), |file| file.folder()),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Disk(path) => files::read_document(path),
            Self::BuiltIn(path) => library::file(path).map(<[u8]>::to_vec).ok_or_else(|| {
                Error::input(self.display(), "", "no such file in the binary", "see `holograd list`")
            }),
            Self::Given(given) => Ok(given.tensors()?.to_bytes()),
        }
    }

    /// What it holds, of any size that memory takes: parameters and samples are not written by hand.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn whole(&self) -> Result<Vec<u8>> {
        match self {
            Self::Disk(path) => files::read_bytes(path),
            Self::BuiltIn(_) | Self::Given(_) => self.read(),
        }
    }

    /// The arrays of a safetensors file.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn tensors(&self) -> Result<Tensors> {
        match self {
            Self::Disk(path) => read_tensors(path),
            Self::BuiltIn(_) => parse_tensors(&self.display(), &self.read()?),
            Self::Given(given) => Ok(given.tensors()?.clone().called(&given.name)),
        }
    }
}

impl Given {
    /// The arrays of this name.
    fn tensors(&self) -> Result<&Tensors> {
        self.arrays.get(&self.name).ok_or_else(|| {
            Error::input(
                &self.name,
                "",
                "found no arrays of this name",
                "what is handed over has to be named",
            )
        })
    }
}

/// The place of a file or folder that is named in `origin`, whatever the current directory.
pub(crate) fn absolute(origin: &Origin, path: &Path) -> Result<PathBuf> {
    let path = origin.folder().join(path);
    let whole = std::path::absolute(&path).map_err(|e| Error::io(&path, "find", e))?;
    if whole.to_str().is_none() {
        let legal = "experiments are kept as JSON, which is UTF-8: rename the folder, or name the data by --data alone";
        return Err(Error::input(whole.display().to_string(), "", "found a path that is not UTF-8", legal));
    }
    Ok(whole)
}

/// The bytes of the published results at `path`, written in `origin`, once they are known to be of the right form.
pub(crate) fn read_published(origin: &Origin, path: &str) -> Result<Vec<u8>> {
    let file = origin.beside(path);
    let bytes = file.read().map_err(|e| e.referred_to_by(&origin.display(), "published"))?;
    Published::parse(&file.display(), &bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_paths_are_relative_to_their_file() {
        let origin = Origin::BuiltIn("experiments/paper1/fig.json".into());
        assert_eq!(origin.beside("../../models/toy.json"), Origin::BuiltIn("models/toy.json".into()));
        let shipped = Origin::BuiltIn("experiments/paper1/published/fig2a.json".into());
        assert_eq!(origin.beside("./published/fig2a.json"), shipped);
        assert_eq!(origin.beside("own/a.safetensors"), Origin::Disk("own/a.safetensors".into()));
    }
}
