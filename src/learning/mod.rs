//! Learning: optimisers, schedules, the trainer and its checkpoints.

pub mod checkpoint;
pub mod floor;
pub mod optimiser;
pub mod trainer;

pub use floor::RateFloor;
pub use optimiser::{Optimiser, OptimiserSpec, Schedule};
pub use trainer::{Plan, Score, Trainer};
