//! Randomness keyed by what it is for, never by the order of calls.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::scalar::Scalar;

/// What a random number is for. The codes are part of every seeded result and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Initial parameters.
    Initialisation = 1,
    /// Which samples are held out.
    Split = 2,
    /// The order of samples within an epoch.
    BatchOrder = 3,
    /// Synthetic data.
    Data = 4,
    /// Noise on the states, drawn at every tick.
    StateNoise = 5,
    /// Fabrication mismatch, drawn once per device.
    Device = 6,
    /// Errors of writing a parameter.
    Programming = 7,
    /// Noise of reading an observable.
    ReadOut = 8,
    /// Drift and other slow changes of the device.
    Drift = 9,
    /// Directions of perturbation-based estimators and checks.
    Perturbation = 10,
}

/// A bijective mixer of 64 bits (the finaliser of SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// One 64-bit key from the three parts of an identity.
fn combine(seed: u64, purpose: Purpose, index: u64) -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    [purpose as u64, index].iter().fold(mix(seed.wrapping_add(STEP)), |key, part| {
        mix(key ^ mix(part.wrapping_add(STEP)).wrapping_mul(STEP)).wrapping_add(STEP)
    })
}

/// A sequential generator for what happens once: initialisation, shuffles, synthetic data.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(combine(seed, purpose, index))
}

/// The key of one source of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey([u32; 2]);

impl NoiseKey {
    /// The key of source `index` of `purpose`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let key = combine(seed, purpose, index);
        Self([key as u32, (key >> 32) as u32])
    }

    /// N(0, 1) for the elements 0..`out.len()`.
    pub fn normals<T: Scalar>(&self, tick: u64, lane: u64, out: &mut [T]) {
        for (element, out) in out.iter_mut().enumerate() {
            let w = self.words(tick, lane, element as u64);
            let u = (f64::from(w[0]) + 0.5) * 2f64.powi(-32);
            let v = f64::from(w[1]) * 2f64.powi(-32);
            *out = T::of((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos());
        }
    }

    /// Uniform on [0, 1) for the elements 0..`out.len()`.
    pub fn uniforms<T: Scalar>(&self, tick: u64, lane: u64, out: &mut [T]) {
        for (element, out) in out.iter_mut().enumerate() {
            *out = T::of(f64::from(self.words(tick, lane, element as u64)[0] >> 8) * 2f64.powi(-24));
        }
    }

    fn words(&self, tick: u64, lane: u64, element: u64) -> [u32; 4] {
        philox([element as u32, lane as u32, tick as u32, (tick >> 32) as u32], self.0)
    }
}

/// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC11).
fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p = u64::from(c[0]) * 0xD251_1F53;
        let q = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(q >> 32) as u32 ^ c[1] ^ k[0], q as u32, (p >> 32) as u32 ^ c[3] ^ k[1], p as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}
