//! Randomness keyed by what it is for, never by the order of calls.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::scalar::Scalar;
use crate::substrate::kernels;

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
    /// Noise on the clamped inputs, drawn at every tick.
    InputNoise = 11,
    /// Noise of reading the synapses, drawn at every tick.
    SynapseNoise = 12,
    /// Noise on the teaching signal, drawn at every tick.
    TeachingNoise = 13,
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

/// The key of one source of noise: every number is a pure function of the key, the tick, the lane (a sample of the
/// batch, say) and the position within the slice. Neither the length of the slice nor the order of calls nor the
/// thread matters; the numbers of a short slice are the first of a longer one.
///
/// The generator is counter-based: Philox4x32-10 of Salmon, Moraes, Dror and Shaw (SC11, 2011). The two precisions
/// draw different numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey([u32; 2]);

/// Counter blocks that are computed together. It fixes which word belongs to which element: never change it.
const BLOCKS: usize = 16;

/// The most elements that one tile yields: 4 words a block.
const TILE: usize = 4 * BLOCKS;

impl NoiseKey {
    /// The key of source `index` of `purpose`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let key = combine(seed, purpose, index);
        Self([key as u32, (key >> 32) as u32])
    }

    /// N(0, 1) for the elements 0..`out.len()`, up to 6.6 (`f32`) or 8.5 (`f64`) standard deviations.
    ///
    /// The work is done in tiles of 64 (`f32`) or 32 (`f64`) elements, so a slice much shorter costs as much as one.
    pub fn normals<T: Scalar>(&self, tick: u64, lane: u64, out: &mut [T]) {
        self.fill(
            tick,
            lane,
            out,
            #[inline(always)]
            |[a, b, c, d], tile| {
                for j in 0..BLOCKS {
                    if T::WORDS == 1 {
                        (tile[j], tile[BLOCKS + j]) = kernels::normal_pair([a[j], 0], [b[j], 0]);
                        (tile[2 * BLOCKS + j], tile[3 * BLOCKS + j]) =
                            kernels::normal_pair([c[j], 0], [d[j], 0]);
                    } else {
                        (tile[j], tile[BLOCKS + j]) = kernels::normal_pair([a[j], b[j]], [c[j], d[j]]);
                    }
                }
            },
        );
    }

    /// Uniform on [0, 1) for the elements 0..`out.len()`: multiples of 2⁻²⁴ (`f32`) or 2⁻⁵² (`f64`).
    pub fn uniforms<T: Scalar>(&self, tick: u64, lane: u64, out: &mut [T]) {
        self.fill(
            tick,
            lane,
            out,
            #[inline(always)]
            |words, tile| {
                for i in 0..4 / T::WORDS {
                    for j in 0..BLOCKS {
                        let last = words[T::WORDS * i + T::WORDS - 1][j];
                        tile[BLOCKS * i + j] = T::unit([words[T::WORDS * i][j], last]);
                    }
                }
            },
        );
    }

    /// Fills `out` tile by tile with what `convert` makes of the random words.
    #[inline(always)]
    fn fill<T: Scalar>(
        &self,
        tick: u64,
        lane: u64,
        out: &mut [T],
        convert: impl Fn(&[[u32; BLOCKS]; 4], &mut [T; TILE]),
    ) {
        // The upper half of the lane does not fit the counter: it joins the key, and is 0 in practice.
        let key = [self.0[0], self.0[1] ^ (lane >> 32) as u32];
        kernels::for_each(
            out.chunks_mut(TILE / T::WORDS).enumerate(),
            #[inline(always)]
            move |(i, out)| {
                let mut words = [[0; BLOCKS]; 4];
                let [a, b, c, d] = &mut words;
                for j in 0..BLOCKS {
                    let block = (BLOCKS * i + j) as u64;
                    (a[j], b[j], c[j], d[j]) = philox([block, lane, tick, tick >> 32], key).into();
                }
                let mut tile = [T::zero(); TILE];
                convert(&words, &mut tile);
                out.copy_from_slice(&tile[..out.len()]);
            },
        );
    }
}

/// Philox4x32-10. Each word of the counter is the lower half of a 64-bit lane, whose upper half is ignored: vector
/// units multiply such lanes directly.
#[inline(always)]
fn philox(counter: [u64; 4], key: [u32; 2]) -> [u32; 4] {
    const LOWER: u64 = 0xFFFF_FFFF;
    let [mut a, mut b, mut c, mut d] = counter;
    for round in 0..10 {
        let even = u64::from(key[0].wrapping_add(0x9E37_79B9u32.wrapping_mul(round)));
        let odd = u64::from(key[1].wrapping_add(0xBB67_AE85u32.wrapping_mul(round)));
        let p = (a & LOWER) * 0xD251_1F53;
        let q = (c & LOWER) * 0xCD9E_8D57;
        (a, b, c, d) = ((q >> 32) ^ b ^ even, q, (p >> 32) ^ d ^ odd, p);
    }
    [a as u32, b as u32, c as u32, d as u32]
}
