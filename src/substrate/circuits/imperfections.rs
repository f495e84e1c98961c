//! What is imperfect in a circuit, by its physics.

use rand_distr::{Distribution, Normal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::numerics::rng::{Purpose, stream};

/// What is imperfect in a circuit. Everything is drawn once, by `device_seed`, but for the noise.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitImperfections {
    /// Which device it is.
    pub device_seed: u64,
    /// Standard deviation of ln G of every resistor around what was written: its tolerance.
    #[schemars(range(min = 0.0))]
    pub resistor_tolerance: f64,
    /// Standard deviation of ln I_s of the diodes.
    #[schemars(range(min = 0.0))]
    pub saturation_current: f64,
    /// Standard deviation of ln n of the diodes.
    #[schemars(range(min = 0.0))]
    pub ideality: f64,
    /// Standard deviation, in V², of the offset between what the meters of ½ΔV² of each trainable resistor show in the nudged and in
    /// the free state: the learning bias (Dillavou et al. 2025, arXiv 2505.22887). It is at rest, so a lock-in does not see it.
    #[schemars(range(min = 0.0))]
    pub sense_offset: f64,
    /// The same of the lock-in's own output, behind the demodulation, where nothing rejects it.
    #[schemars(range(min = 0.0))]
    pub lock_in_offset: f64,
    /// Whether every resistor makes Johnson noise of 4kTG (A²/Hz, one-sided), drawn by the seed of the experiment and held through each
    /// step.
    pub johnson_noise: bool,
}

/// What the streams of a device are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drawn {
    Resistors = 0,
    SaturationCurrents = 1,
    Idealities = 2,
    SenseOffsets = 3,
    LockInOffsets = 4,
}

impl CircuitImperfections {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        let all = [
            ("resistor_tolerance", self.resistor_tolerance),
            ("saturation_current", self.saturation_current),
            ("ideality", self.ideality),
            ("sense_offset", self.sense_offset),
            ("lock_in_offset", self.lock_in_offset),
        ];
        all.into_iter().try_for_each(|(name, value)| non_negative(name, value))
    }

    /// So many normal numbers of a standard deviation.
    pub(super) fn draw(&self, what: Drawn, deviation: f64, count: usize) -> Vec<f64> {
        if deviation == 0.0 {
            return vec![0.0; count];
        }
        let mut stream = stream(self.device_seed, Purpose::Device, CIRCUITS + what as u64);
        let normal = Normal::new(0.0, deviation).expect("a validated deviation");
        (0..count).map(|_| normal.sample(&mut stream)).collect()
    }
}

/// Streams of circuits begin behind those of networks of neurons.
const CIRCUITS: u64 = 1 << 32;
