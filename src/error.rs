//! Errors: what went wrong, where, and what to change.

use std::path::{Path, PathBuf};

/// The result of anything in holograd that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, by who has to act on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something the user supplied cannot be used: a configuration, model, parameter or data file, or a flag.
    #[error("{}", format_input(.file, .path, .found, .legal))]
    Input {
        /// The file at fault, or what stands in its place (`--set`, `built-in digits`).
        file: String,
        /// The path inside the file, as `estimator.oscillation.period`; empty when the file as a whole is at fault.
        path: String,
        /// What was found there.
        found: String,
        /// What would have been legal, or what to do.
        legal: String,
    },
    /// The operating system refused to read or write.
    #[error("{file}: cannot {action}: {source}")]
    Io {
        /// The file or folder at fault.
        file: PathBuf,
        /// What was attempted, as `read` or `write`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A simulation left the region where the substrate is stable.
    #[error("the simulation diverged {moment}, at {place}: {what}\n  {advice}")]
    Diverged {
        /// When, as `in epoch 3, batch 12, at t = 41.5 tau`.
        moment: String,
        /// Where, as `layer h2, neuron 17, sample 4`.
        place: String,
        /// What was seen, as `the potential is not finite`.
        what: String,
        /// What to change.
        advice: String,
    },
    /// A simulation or a solution that was given up before it had a result, though nothing has diverged.
    #[error("no result {moment}, from {place}: {what}\n  {advice}")]
    Unfinished {
        /// When, as `in epoch 3, batch 12, at t = 41.5 tau`.
        moment: String,
        /// What gave up, as `the adaptive integrator`.
        place: String,
        /// What was seen, as `100000 steps did not reach the end`.
        what: String,
        /// What to change.
        advice: String,
    },
    /// What is asked for takes more memory than this process may have.
    #[error("{}", format_input(.file, .path, .found, .legal))]
    Memory {
        /// The file that asks for it, or what stands in its place.
        file: String,
        /// The path inside the file; empty for the whole.
        path: String,
        /// What it would take.
        found: String,
        /// What there is, or what to do.
        legal: String,
    },
    /// A GPU that has failed while a run was on it.
    #[error("{0}; what is written so far is whole")]
    Gpu(String),
    /// The program that began the run in its own process has ended it.
    #[error("stopped before its end")]
    Stopped,
    /// A broken promise of holograd itself.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

fn format_input(file: &str, path: &str, found: &str, legal: &str) -> String {
    let mut text = file.to_owned();
    if !path.is_empty() {
        text.push_str(": at `");
        text.push_str(path);
        text.push('`');
    }
    text.push_str(": ");
    text.push_str(found);
    if !legal.is_empty() {
        text.push_str("; ");
        text.push_str(legal);
    }
    text
}

impl Error {
    /// Bad input: which file, which path in it, what was found, what is legal.
    pub fn input(
        file: impl Into<String>,
        path: impl Into<String>,
        found: impl Into<String>,
        legal: impl Into<String>,
    ) -> Self {
        Self::Input { file: file.into(), path: path.into(), found: found.into(), legal: legal.into() }
    }

    /// Too little memory: which file, which path in it, what it takes, what there is.
    pub fn memory(
        file: impl Into<String>,
        path: impl Into<String>,
        found: impl Into<String>,
        legal: impl Into<String>,
    ) -> Self {
        Self::Memory { file: file.into(), path: path.into(), found: found.into(), legal: legal.into() }
    }

    /// A system error on `file` while trying to `action` it.
    pub fn io(file: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { file: file.as_ref().to_owned(), action, source }
    }

    /// The same error, saying which other file asked for this one.
    #[must_use]
    pub fn referred_to_by(self, by: &str, path: &str) -> Self {
        match self {
            Self::Input { file, path: inner, found, legal } => {
                Self::Input { file: format!("{file} (from {by}, `{path}`)"), path: inner, found, legal }
            }
            Self::Memory { file, path: inner, found, legal } => {
                Self::Memory { file: format!("{file} (from {by}, `{path}`)"), path: inner, found, legal }
            }
            Self::Io { file, action, source } => Self::Input {
                file: by.to_owned(),
                path: path.to_owned(),
                found: format!("cannot {action} {}: {source}", file.display()),
                legal: "paths are relative to the file that holds them, with a shipped experiment to the current directory".into(),
            },
            other => other,
        }
    }

    /// The same error of input, its path below another.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        match self {
            Self::Input { file, path, found, legal } => Self::Input {
                file,
                path: format!("{prefix}{path}").trim_end_matches('.').to_owned(),
                found,
                legal,
            },
            other => other,
        }
    }

    /// The same error, saying of a simulation that diverged what it was part of.
    #[must_use]
    pub fn during(self, part: &str) -> Self {
        match self {
            Self::Diverged { moment, place, what, advice } => {
                Self::Diverged { moment: format!("{part}, {moment}"), place, what, advice }
            }
            Self::Unfinished { moment, place, what, advice } => {
                Self::Unfinished { moment: format!("{part}, {moment}"), place, what, advice }
            }
            other => other,
        }
    }

    /// Whether it is a result, though not the one hoped for: a simulation that diverged or was given up.
    #[must_use]
    pub fn is_failed_simulation(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Unfinished { .. })
    }

    /// The process exit code: 2 for what the user must correct, 1 for a run that failed, 130 for one that was stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Io { .. } | Self::Memory { .. } => 2,
            Self::Stopped => 130,
            Self::Diverged { .. } | Self::Unfinished { .. } | Self::Gpu(_) | Self::Internal(_) => 1,
        }
    }
}

/// A legality check inside a description, before the file that holds it is known.
///
/// [`Invalid::in_file`] turns it into an [`Error`] that names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at `{path}`: {found}; {legal}")]
pub struct Invalid {
    /// Path inside the description.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What is legal.
    pub legal: String,
    /// Whether it is legal, but more than there is memory for.
    pub too_large: bool,
}

impl Invalid {
    /// A finding at `path`.
    pub fn new(path: impl Into<String>, found: impl Into<String>, legal: impl Into<String>) -> Self {
        Self { path: path.into(), found: found.into(), legal: legal.into(), too_large: false }
    }

    /// The same finding one level further out: `prefix.path`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.path = if self.path.is_empty() { prefix.to_owned() } else { format!("{prefix}.{}", self.path) };
        self
    }

    /// The error that names the file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Error {
        let error = if self.too_large { Error::memory } else { Error::input };
        error(file.into(), self.path, self.found, self.legal)
    }
}

/// Checks that a number is finite and greater than zero.
///
/// # Errors
/// [`Invalid`] at `path` otherwise.
pub fn positive(path: &str, value: f64) -> std::result::Result<(), Invalid> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Invalid::new(path, format!("found {value}"), "it must be a finite number greater than 0"))
    }
}

/// Checks that there are numbers, each finite and positive.
///
/// # Errors
/// [`Invalid`] at `path`, or at the number that is not.
pub fn all_positive(path: &str, values: &[f64]) -> std::result::Result<(), Invalid> {
    if values.is_empty() {
        return Err(Invalid::new(path, "found none", "a list of numbers greater than 0"));
    }
    values.iter().enumerate().try_for_each(|(i, value)| positive(&format!("{path}[{i}]"), *value))
}

/// Checks that a number is finite and at least zero.
///
/// # Errors
/// [`Invalid`] at `path` otherwise.
pub fn non_negative(path: &str, value: f64) -> std::result::Result<(), Invalid> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Invalid::new(path, format!("found {value}"), "it must be a finite number, at least 0"))
    }
}
