//! Experiments: from the JSON that a user writes to a run folder.

mod circuits;
pub mod cost;
mod document;
#[cfg(feature = "program")]
pub mod drawing;
mod epochs;
mod equations;
pub mod folder;
mod head;
mod kind;
pub mod kinds;
pub mod library;
pub mod load;
pub mod lock;
pub mod manifest;
mod measured;
pub mod origin;
pub(crate) mod place;
pub mod problem;
pub mod ranks;
pub mod resume;
pub mod setup;
pub mod shards;
pub mod sink;
pub mod spec;
pub mod status;
mod waveform;

pub use cost::Cost;
pub use folder::RunFolder;
pub use head::Head;
pub use kind::Kind;
pub use kinds::*;
pub use load::{Loaded, load};
pub use setup::{CircuitSetup, Instance, Options, Setup, Site};
pub use sink::{Content, Memory, Sink};
pub use spec::{ModelRef, Precision};
