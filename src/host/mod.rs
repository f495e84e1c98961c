//! What a run needs of the machine that it is on: signals, memory and processors, a terminal to tell its progress.

pub mod interrupt;
pub(crate) mod machine;
pub(crate) mod progress;
pub mod watcher;
