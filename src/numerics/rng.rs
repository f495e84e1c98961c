//! Randomness keyed by what it is for, never by the order of calls.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::numerics::kernels;
use crate::numerics::scalar::Scalar;

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
    /// Resampling for confidence intervals.
    Bootstrap = 14,
    /// Probes of the Jacobian, drawn at every update.
    Homeostasis = 15,
    /// Which synapses a sparse connection has: part of the model.
    Pattern = 16,
    /// How training images are changed, drawn in every epoch.
    Augmentation = 17,
    /// Inputs that change at random, drawn at every tick.
    InputSignal = 18,
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

    /// The two halves of the key.
    #[must_use]
    pub fn halves(&self) -> [u32; 2] {
        self.0
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
                for (numbers, words) in tile.chunks_exact_mut(BLOCKS).zip(words.chunks_exact(T::WORDS)) {
                    for ((number, &low), &high) in numbers.iter_mut().zip(&words[0]).zip(&words[T::WORDS - 1])
                    {
                        *number = T::unit([low, high]);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::Rng;

    use super::*;

    fn key(seed: u64) -> NoiseKey {
        NoiseKey::new(seed, Purpose::StateNoise, 0)
    }

    fn normals<T: Scalar>(key: NoiseKey, tick: u64, lane: u64, n: usize) -> Vec<f64> {
        let mut out = vec![T::zero(); n];
        key.normals(tick, lane, &mut out);
        out.into_iter().map(T::double).collect()
    }

    /// P(N(0, 1) < x), by the series φ(x)·Σ x^(2k+1)/(2k+1)!!.
    fn cumulative(x: f64) -> f64 {
        let (mut term, mut sum, mut k) = (x, 0.0, 1.0);
        while sum + term != sum {
            sum += term;
            k += 2.0;
            term *= x * x / k;
        }
        0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
    }

    /// The largest distance between the empirical distribution of `sample` and `cumulative`, times √n.
    fn kolmogorov(mut sample: Vec<f64>, cumulative: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        let distance = sample.iter().enumerate().fold(0f64, |worst, (i, &x)| {
            let p = cumulative(x);
            worst.max(p - i as f64 / n).max((i + 1) as f64 / n - p)
        });
        distance * n.sqrt()
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len().min(b.len()) as f64
    }

    /// The known answers that Random123 publishes for Philox4x32-10.
    #[test]
    fn philox_gives_the_published_answers() {
        let cases: [([u64; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ([0xFFFF_FFFF; 4], [0xFFFF_FFFF; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ];
        for (counter, key, answer) in cases {
            assert_eq!(philox(counter, key), answer);
            // What stands in the upper halves must not matter.
            assert_eq!(philox(counter.map(|c| c | 0xABCD_EF01 << 32), key), answer);
        }
    }

    /// Keys are part of every seeded result.
    #[test]
    fn keys_stay_what_they_are() {
        assert_eq!(combine(0, Purpose::Initialisation, 0), 0xA6D0_431C_A405_0410);
        assert_eq!(combine(42, Purpose::StateNoise, 7), 0x4A62_3090_F650_C7C8);
        assert_eq!(stream(1, Purpose::BatchOrder, 2).next_u64(), 0xDB1E_B455_6798_5918);
    }

    #[test]
    fn streams_differ_by_every_part_of_their_identity() {
        let first = |seed, purpose, index| stream(seed, purpose, index).next_u64();
        let base = first(1, Purpose::Data, 2);
        assert_eq!(base, first(1, Purpose::Data, 2));
        for other in [first(2, Purpose::Data, 2), first(1, Purpose::Split, 2), first(1, Purpose::Data, 3)] {
            assert_ne!(base, other);
        }
    }

    /// Box and Muller from the definition, element by element, in double precision.
    #[test]
    fn normals_follow_the_definition() {
        use std::f64::consts::PI;
        let (key, tick, lane) = (key(5), (3 << 32) + 9, 11u64);
        let words = |block: usize| philox([block as u64, lane, tick, tick >> 32], key.0);
        let single = normals::<f32>(key, tick, lane, 300);
        let double = normals::<f64>(key, tick, lane, 300);
        for element in 0..300 {
            let (tile, row, column) = (element / 64, element % 64 / 16, element % 16);
            let w = words(16 * tile + column);
            let (radius, turn) = (w[row / 2 * 2], w[row / 2 * 2 + 1]);
            let u = (f64::from(radius >> 1) + 0.5) / 2f64.powi(31);
            let angle = f64::from(turn as i32) / 2f64.powi(32) * PI + if turn & 1 == 1 { PI } else { 0.0 };
            let expected = (-2.0 * u.ln()).sqrt() * if row % 2 == 0 { angle.cos() } else { angle.sin() };
            // 24 digits of u next to 1 leave an uncertainty of 2⁻²⁵/r in the radius r.
            assert!((single[element] - expected).abs() < 4e-4, "{element}: {} {expected}", single[element]);

            let (tile, row) = (element / 32, element % 32 / 16);
            let w = words(16 * tile + column).map(u64::from);
            let fraction = |low: u64, high: u64| ((high << 32 | low) >> 12) as f64 / 2f64.powi(52);
            let angle = (fraction(w[2], w[3]) - 0.5) * PI + if w[2] & 1 == 1 { PI } else { 0.0 };
            let radius = (-2.0 * (1.0 - fraction(w[0], w[1])).ln()).sqrt();
            let expected = radius * if row == 0 { angle.cos() } else { angle.sin() };
            assert!((double[element] - expected).abs() < 1e-14, "{element}: {} {expected}", double[element]);
        }
    }

    /// Each bound is four standard errors of the estimate: two-sided significance 6·10⁻⁵.
    fn moments_are_normal<T: Scalar>() {
        let n = 1_000_000;
        let x = normals::<T>(key(1), 0, 0, n);
        let moment = |power: i32| x.iter().map(|x| x.powi(power)).sum::<f64>() / n as f64;
        for (power, expected, variance) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10_170.0)]
        {
            let bound = 4.0 * (variance / n as f64).sqrt();
            let found = moment(power);
            assert!((found - expected).abs() < bound, "moment {power}: {found} ± {bound}");
        }
    }

    #[test]
    fn moments() {
        moments_are_normal::<f32>();
        moments_are_normal::<f64>();
    }

    /// At significance 10⁻³ (critical value 1.95), over a long slice and over the first elements of many lanes.
    fn distribution_is_normal<T: Scalar>() {
        assert!(kolmogorov(normals::<T>(key(2), 5, 1, 200_000), cumulative) < 1.95);
        let short = (0..20_000).flat_map(|lane| normals::<T>(key(3), 5, lane, 3)).collect();
        assert!(kolmogorov(short, cumulative) < 1.95);
        let over_time = (0..20_000).flat_map(|tick| normals::<T>(key(4), tick, 0, 3)).collect();
        assert!(kolmogorov(over_time, cumulative) < 1.95);
    }

    #[test]
    fn distributions() {
        distribution_is_normal::<f32>();
        distribution_is_normal::<f64>();
    }

    #[test]
    fn uniforms_are_uniform_and_below_one() {
        fn check<T: Scalar>() {
            let mut x = vec![T::zero(); 200_000];
            key(6).uniforms(1, 2, &mut x);
            assert!(x.iter().all(|&x| x >= T::zero() && x < T::one()));
            let x: Vec<f64> = x.into_iter().map(T::double).collect();
            assert!(kolmogorov(x.clone(), |x| x) < 1.95);
            let centred: Vec<f64> = x.iter().map(|x| (x - 0.5) * 12f64.sqrt()).collect();
            assert!(correlation(&centred, &centred[1..]).abs() < 4.0 / 447.0);
        }
        check::<f32>();
        check::<f64>();
    }

    /// Counts beyond 1 to 4 standard deviations, within four standard errors of the binomial.
    #[test]
    fn tails() {
        let n = 4_000_000;
        let x = normals::<f32>(key(7), 0, 0, n);
        for (sigmas, p) in [
            (1.0, 0.317_310_507_863),
            (2.0, 0.045_500_263_896),
            (3.0, 0.002_699_796_063),
            (4.0, 6.334_248_4e-5),
        ] {
            for (count, p) in [
                (x.iter().filter(|x| x.abs() > sigmas).count(), p),
                (x.iter().filter(|&&x| x > sigmas).count(), 0.5 * p),
            ] {
                let (expected, bound) = (n as f64 * p, 4.0 * (n as f64 * p * (1.0 - p)).sqrt());
                assert!((count as f64 - expected).abs() < bound, "{sigmas}: {count}, {expected} ± {bound}");
            }
        }
    }

    /// Between neighbours of every kind, of the numbers and of their squares: within four standard errors.
    #[test]
    fn nothing_is_correlated() {
        let n = 200_000;
        let x = normals::<f32>(key(8), 0, 0, n);
        let square = |x: &[f64]| x.iter().map(|x| (x * x - 1.0) / 2f64.sqrt()).collect::<Vec<_>>();
        let others = [
            x[1..].to_vec(),
            x[16..].to_vec(),
            x[32..].to_vec(),
            x[48..].to_vec(),
            x[64..].to_vec(),
            normals::<f32>(key(8), 1, 0, n),
            normals::<f32>(key(8), 1 << 32, 0, n),
            normals::<f32>(key(8), 0, 1, n),
            normals::<f32>(key(8), 0, 1 << 32, n),
            normals::<f32>(key(9), 0, 0, n),
            normals::<f32>(NoiseKey::new(8, Purpose::ReadOut, 0), 0, 0, n),
            normals::<f32>(NoiseKey::new(8, Purpose::StateNoise, 1), 0, 0, n),
        ];
        let bound = 4.0 / ((n - 64) as f64).sqrt();
        for (i, other) in others.iter().enumerate() {
            for c in [correlation(&x, other), correlation(&square(&x), &square(other))] {
                assert!(c.abs() < bound, "{i}: {c} ± {bound}");
            }
        }
        let cosine_and_sine = correlation(&square(&x), &square(&x[16..]));
        assert!(cosine_and_sine.abs() < bound, "{cosine_and_sine}");
    }

    proptest! {
        #[test]
        fn a_short_slice_is_the_start_of_a_long_one(
            seed: u64, tick: u64, lane: u64, short in 0usize..200, more in 0usize..200,
        ) {
            let key = key(seed);
            let long = normals::<f32>(key, tick, lane, short + more);
            prop_assert_eq!(&normals::<f32>(key, tick, lane, short), &long[..short]);
            let long = normals::<f64>(key, tick, lane, short + more);
            prop_assert_eq!(&normals::<f64>(key, tick, lane, short), &long[..short]);
            prop_assert!(long.iter().all(|x| x.is_finite()));
            let (mut a, mut b) = (vec![0f32; short], vec![0f32; short + more]);
            key.uniforms(tick, lane, &mut a);
            key.uniforms(tick, lane, &mut b);
            prop_assert_eq!(&a, &b[..short]);
        }
    }
}
