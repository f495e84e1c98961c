//! A run that several processes do together: what the first one tells the others at its beginning, and what those do.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::epochs::CHECKPOINT;
use super::folder::RunFolder;
use super::kinds::Experiment;
use super::load::Loaded;
use super::setup::Options;
use super::sink::{Content, Memory, Sink};
use crate::error::{Error, Result};
use crate::files::parse_tensors;
use crate::team::Team;

/// Where a run begins.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// The run folder.
    pub folder: PathBuf,
    /// The checkpoint that it goes on from, as its file.
    checkpoint: Option<Vec<u8>>,
    /// The records so far.
    lines: Option<String>,
}

impl Start {
    /// Of a run in its folder, or of one that goes on there.
    ///
    /// # Errors
    /// If what is there cannot be read.
    pub fn of(folder: &RunFolder, resume: bool) -> Result<Self> {
        let checkpoint = if resume { folder.tensors(CHECKPOINT)? } else { None };
        let lines = if resume { folder.lines()? } else { None };
        let checkpoint = checkpoint.map(|arrays| arrays.to_bytes());
        Ok(Self { folder: folder.path().to_owned(), checkpoint, lines })
    }

    /// Takes part in the run, and keeps nothing but the histories of a sweep's runs.
    ///
    /// # Errors
    /// What stops it.
    pub fn follow(&self, loaded: &Loaded, options: &Options) -> Result<()> {
        let mut sink: Box<dyn Sink> = match &loaded.experiment {
            Experiment::Sweep(_) => Box::new(RunFolder::part(&self.folder)),
            _ => Box::new(self.remembered()?),
        };
        loaded.run(&mut *sink, options).map(drop)
    }

    fn remembered(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        if let Some(bytes) = &self.checkpoint {
            let file = self.folder.join(CHECKPOINT).display().to_string();
            memory.write(CHECKPOINT, Content::Tensors(parse_tensors(&file, bytes)?.called(&file)))?;
        }
        self.lines.as_ref().map_or(Ok(()), |lines| memory.replace_lines(lines))?;
        Ok(memory)
    }
}

/// Refuses what processes do not do together.
///
/// # Errors
/// [`Error::Input`] for an experiment that has no parts for several.
pub fn refuse(loaded: &Loaded, team: &Team, file: &Path) -> Result<()> {
    match &loaded.experiment {
        Experiment::Sweep(_) | Experiment::Train(_) => Ok(()),
        other => {
            let found = format!("found the kind `{}`, and {} processes", other.name(), team.size());
            let legal =
                "processes share the batches of a `train` and the runs of a `sweep`: start one of this";
            Err(Error::input(file.display().to_string(), "kind", found, legal))
        }
    }
}
