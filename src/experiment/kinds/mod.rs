//! The kinds of experiment, each in a folder of its own: description and run, what it leaves behind, its figures.

pub mod amplitude;
pub mod continuous;
pub mod elapsed;
pub mod frequency;
pub mod frequency_optimum;
pub mod gradient;
pub mod relaxation;
pub mod stability;
pub mod sweep;
pub mod trace;
pub mod train;

#[cfg(feature = "program")]
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::document::deserialise;
use super::kind::{Keeping, Kind};
use crate::error::Result;
#[cfg(feature = "program")]
use crate::plot::Print;

/// Makes what speaks of all kinds of their table: name, which is that of the module too, and description.
macro_rules! kinds {
    ($($(#[$text:meta])* $name:ident: $description:ident,)*) => {
        $(pub use $name::$description;)*

        /// An experiment of any kind.
        #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum Experiment {
            $($(#[$text])* $description(Box<$description>),)*
        }

        /// The names of all kinds.
        pub const KINDS: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

        impl Experiment {
            /// The name of its kind in files.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$description(_) => stringify!($name),)*
                }
            }

            /// What is common to all kinds.
            #[must_use]
            pub fn kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$description(spec) => &**spec,)*
                }
            }

            /// The same, to change.
            pub fn kind_mut(&mut self) -> &mut dyn Kind {
                match self {
                    $(Self::$description(spec) => &mut **spec,)*
                }
            }

            /// The experiment of a kind from the rest of its fields; none if there is no such kind.
            pub(super) fn of_kind(kind: &str, fields: Value, file: &str) -> Option<Result<Self>> {
                match kind {
                    $(stringify!($name) => Some(deserialise(fields, file).map(Self::$description)),)*
                    _ => None,
                }
            }
        }

        /// How run folders of each kind are kept.
        const KEEPING: [(&str, Keeping); KINDS.len()] = [$((stringify!($name), $name::KEEPING)),*];

        /// Draws the figures of a run of a kind from its folder; none if there is no such kind.
        #[cfg(feature = "program")]
        pub(super) fn draw(kind: &str, folder: &Path, print: &Print) -> Option<Result<()>> {
            match kind {
                $(stringify!($name) => Some($name::figure::draw(folder, print)),)*
                _ => None,
            }
        }
    };
}

kinds! {
    /// Trains a network.
    train: Train,
    /// Compares estimators on given parameters and samples: the interchange with anyone's own code.
    gradient: Gradient,
    /// Watches one sample oscillate.
    trace: Trace,
    /// Gradient error against |β|, for any estimators.
    amplitude: Amplitude,
    /// Gradient error of `oscillation` against its period, beside theory.
    frequency: Frequency,
    /// Learns without batches, phases or resets: the weights evolve in the same differential equation.
    continuous: Continuous,
    /// Bias and noise against the period, and where their sum is smallest.
    frequency_optimum: FrequencyOptimum,
    /// Gradient error of always-on estimators against time.
    elapsed: Elapsed,
    /// Steps from rest to the free equilibrium, and on to those at the roots of unity.
    relaxation: Relaxation,
    /// For a grid of complex β, does the dynamics settle, and how far.
    stability: Stability,
    /// Trains once for every point of a grid.
    sweep: Sweep,
}

/// Whether `--resume` continues runs of a kind.
pub(crate) fn is_resumed(kind: &str) -> bool {
    KEEPING.iter().any(|(name, keeping)| *name == kind && keeping.resumed)
}

/// The files that runs of some kind write, besides those of every kind.
pub(crate) fn written() -> impl Iterator<Item = &'static str> {
    KEEPING.iter().flat_map(|(_, keeping)| keeping.files).copied()
}
