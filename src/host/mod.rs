//! What a run needs of the machine that it is on: threads, signals, memory and processors, GPUs, a terminal to tell its
//! progress.

pub mod crew;
pub mod device;
pub mod interrupt;
pub(crate) mod machine;
pub(crate) mod progress;
pub mod watcher;
