//! Learning: optimisers, schedules, what keeps a substrate symmetric, what can be put away and taken up again; continuous plasticity.

pub mod asymmetry;
pub mod floor;
pub mod homeostasis;
pub mod kolen_pollack;
pub mod optimiser;
pub mod plasticity;
pub mod score;
pub mod snapshot;

pub use asymmetry::JacobianMeasures;
pub use floor::RateFloor;
pub use homeostasis::Homeostasis;
pub use kolen_pollack::KolenPollack;
pub use optimiser::{Fall, Optimiser, OptimiserSpec, Schedule, check_factors, check_factors_of};
pub use plasticity::{Plasticity, Protocol};
pub use score::{Score, free_score};
pub use snapshot::{Learner, Part, Snapshot};
