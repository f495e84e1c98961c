//! One line of `metrics.jsonl` of a `relaxation` run.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One line of the metrics of a `relaxation` experiment: the steps at one frozen β.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelaxationPhase {
    /// |β|; 0 for the free network.
    pub amplitude: f64,
    /// Which root of unity, from 0; null for the free network.
    pub point: Option<u64>,
    /// Euclidean length of the change of the state, step by step; it ends where the state is no longer finite.
    pub residuals: Vec<f64>,
    /// Real and imaginary part of each rate at the end, by layer and neuron; without those that are not finite.
    pub rates: IndexMap<String, [f64; 2]>,
}
