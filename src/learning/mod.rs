//! Learning: optimisers, schedules, what keeps a substrate symmetric, the trainer and its checkpoints; continuous plasticity.

pub mod asymmetry;
pub mod checkpoint;
pub mod floor;
pub mod homeostasis;
pub mod kolen_pollack;
pub mod optimiser;
pub mod plasticity;
pub mod trainer;

pub use asymmetry::JacobianMeasures;
pub use floor::RateFloor;
pub use homeostasis::Homeostasis;
pub use kolen_pollack::KolenPollack;
pub use optimiser::{Optimiser, OptimiserSpec, Schedule, check_factors};
pub use plasticity::{Course, Plasticity};
pub use trainer::{Plan, Score, Trainer, free_score};
