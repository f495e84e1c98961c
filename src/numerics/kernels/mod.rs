//! Vectorised elementary functions on planar complex data: one slice of real parts, one of imaginary parts.
//!
//! Every function here is a short branch-free expression of one element; the `map` functions run it over slices
//! in the widest vectors that the processor has (AVX-512, AVX2, or none), chosen at run time. Only basic arithmetic
//! and fused multiply-add occur, each correctly rounded, so a result depends neither on the vector width nor on
//! where in a slice the element stands. Without fused multiply-add in hardware the results are the same, but slow.
//!
//! # Accuracy
//! The error is norm-wise: |computed − exact| / |exact| as complex numbers, in units of the precision's ε (2⁻²³ or
//! 2⁻⁵²). For |Re z| ≤ 30 and up to 0.7 of the way to the nearest pole it stays below 8 ε for every function and
//! derivative in both precisions (3 ε is typical; the tests measure it). Nearer to a pole it grows in proportion to
//! the inverse of the distance; near a zero of `dsilu` it is relative to the moduli of the terms. Where a logistic
//! function has a slope and an offset, rounding w = slope·z + offset adds |w|·ε/2 in the tail. `tanh` keeps its
//! relative accuracy at the origin.
//!
//! # Out of range
//! A non-finite argument gives a non-finite result, so that a diverged state is never repaired: an infinite real
//! part gives NaN even where the function has a limit. Large finite real parts saturate. An imaginary part beyond
//! 2²⁰ (`f32`) or 2⁴⁸ (`f64`), where hardly a digit of the phase is left, gives NaN.

use num_complex::Complex;
use num_traits::Float;

mod vectorised;

pub use vectorised::instruction_set;
pub(crate) use vectorised::{for_each, map, map_in_place, map_real, map_real_in_place, widest};

/// What the kernels need to know about a precision: reduction constants, minimax polynomials and bit patterns.
///
/// The polynomials were fitted by the Remez exchange at 60 digits; their relative errors are below an eighth of ε.
pub trait Elementary: Float {
    /// 1.5 · 2^(significand bits − 1): adding it rounds to an integer, left in the low bits.
    const ROUNDER: Self;
    /// 1/ln 2.
    const LOG2_E: Self;
    /// ln 2, and what rounding it left.
    const LN_2: [Self; 2];
    /// 1/π.
    const FRAC_1_PI: Self;
    /// π, and what rounding it left.
    const PI: [Self; 2];
    /// π/4.
    const FRAC_PI_4: Self;
    /// tan(π/8).
    const TAN_PI_8: Self;
    /// Beyond it exp(−a) is below the smallest normal number.
    const DECAY_LIMIT: Self;
    /// Beyond it a phase is refused.
    const PHASE_LIMIT: Self;
    /// e².
    const E_2: Self;
    /// How many 32-bit words make one uniform number.
    const WORDS: usize;

    /// The nearest value to `x`.
    fn constant(x: f64) -> Self;
    /// (exp(r) − 1 − r)/r² for |r| ≤ ½ ln 2.
    fn exp_polynomial(r: Self) -> Self;
    /// (sin(r) − r)/r³ as a function of r², for |r| ≤ π/2.
    fn sin_polynomial(r2: Self) -> Self;
    /// (cos(r) − 1 + ½r²)/r⁴ as a function of r², for |r| ≤ π/2.
    fn cos_polynomial(r2: Self) -> Self;
    /// (2 artanh(s) − 2s)/s³ as a function of s², for |s| ≤ 0.1716.
    fn ln_polynomial(s2: Self) -> Self;
    /// (arctan(v) − v)/v³ as a function of v², for |v| ≤ tan(π/8).
    fn atan_polynomial(v2: Self) -> Self;
    /// 2^k, where `rounded` is k + [`Elementary::ROUNDER`] and 2^k is normal.
    fn power_of_two(rounded: Self) -> Self;
    /// (−1)^k · self, where `rounded` is k + [`Elementary::ROUNDER`].
    fn negate_if_odd(self, rounded: Self) -> Self;
    /// (m, k) with self = m · 2^k and m in [√½, √2), for a positive normal number.
    fn significand_exponent(self) -> (Self, Self);
    /// Uniform on [0, 1) from random words; a multiple of 2⁻²⁴ (`f32`) or 2⁻⁵² (`f64`).
    fn unit(words: [u32; 2]) -> Self;
    /// Uniform on (0, 1] from random words, as fine as the words allow.
    fn unit_above_zero(words: [u32; 2]) -> Self;
    /// An angle uniform on [−π/2, π/2] and an independent random sign, +1 or −1.
    fn half_turn_and_sign(words: [u32; 2]) -> (Self, Self);
}

/// c₀ + c₁x + c₂x² + …
#[inline(always)]
fn horner<T: Float, const N: usize>(x: T, coefficients: [T; N]) -> T {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, coefficients[i]);
    }
    sum
}

macro_rules! polynomials {
    ($($name:ident: $coefficients:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(x: Self) -> Self {
                horner(x, $coefficients)
            }
        )*
    };
}

macro_rules! bit_patterns {
    ($bits:ty, $signed:ty, $significand:literal) => {
        #[inline(always)]
        fn constant(x: f64) -> Self {
            x as Self
        }

        #[inline(always)]
        fn power_of_two(rounded: Self) -> Self {
            const ONE: $bits = (1.0 as <$bits as Bits>::Float).to_bits();
            Self::from_bits((rounded.to_bits() << $significand).wrapping_add(ONE))
        }

        #[inline(always)]
        fn negate_if_odd(self, rounded: Self) -> Self {
            Self::from_bits(self.to_bits() ^ (rounded.to_bits() << (<$bits>::BITS - 1)))
        }

        #[inline(always)]
        fn significand_exponent(self) -> (Self, Self) {
            const SQRT_HALF: $bits = (std::f64::consts::FRAC_1_SQRT_2 as <$bits as Bits>::Float).to_bits();
            let bits = self.to_bits();
            let k = (bits.wrapping_sub(SQRT_HALF) as $signed) >> $significand;
            let m = Self::from_bits(bits.wrapping_sub((k << $significand) as $bits));
            // The integer goes through the low bits of ROUNDER: not every vector unit converts 64-bit integers.
            let rounded = Self::from_bits(Self::ROUNDER.to_bits().wrapping_add(k as $bits));
            (m, rounded - Self::ROUNDER)
        }
    };
}

/// The floating-point number of the same width.
trait Bits {
    type Float;
}
impl Bits for u32 {
    type Float = f32;
}
impl Bits for u64 {
    type Float = f64;
}

#[allow(clippy::excessive_precision)] // as fitted; the nearest f32 is what counts
impl Elementary for f32 {
    const ROUNDER: Self = 12_582_912.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2: [Self; 2] = [std::f32::consts::LN_2, -1.904_654_2e-9];
    const FRAC_1_PI: Self = std::f32::consts::FRAC_1_PI;
    const PI: [Self; 2] = [std::f32::consts::PI, -8.742_278e-8];
    const FRAC_PI_4: Self = std::f32::consts::FRAC_PI_4;
    const TAN_PI_8: Self = 0.414_213_57;
    const DECAY_LIMIT: Self = 87.0;
    const PHASE_LIMIT: Self = 1_048_576.0;
    const E_2: Self = 7.389_056;
    const WORDS: usize = 1;

    polynomials! {
        exp_polynomial: [0.499_999_98, 0.166_665_44, 0.041_667_194, 0.008_366_517, 0.001_388_296_1];
        sin_polynomial: [-0.166_666_6, 0.008_333_066, -0.000_198_096, 2.605_771_5e-6];
        cos_polynomial: [0.041_666_656, -0.001_388_857, 2.476_929_9e-5, -2.619_369_6e-7];
        ln_polynomial: [0.666_667_76, 0.399_775_3, 0.298_722_9];
        atan_polynomial: [-0.333_333_15, 0.199_984_67, -0.142_434_37, 0.105_930_23, -0.060_760_464];
    }

    bit_patterns!(u32, i32, 23);

    #[inline(always)]
    fn unit([word, _]: [u32; 2]) -> Self {
        (word >> 8) as i32 as Self * (1.0 / 16_777_216.0)
    }

    #[inline(always)]
    fn unit_above_zero([word, _]: [u32; 2]) -> Self {
        const STEP: f32 = 1.0 / 2_147_483_648.0;
        ((word >> 1) as i32 as Self).mul_add(STEP, 0.5 * STEP)
    }

    #[inline(always)]
    fn half_turn_and_sign([word, _]: [u32; 2]) -> (Self, Self) {
        const STEP: f32 = std::f32::consts::PI / 4_294_967_296.0;
        // The lowest bit is far below what survives the conversion, so it is free to be the sign.
        ((word as i32) as Self * STEP, Self::from_bits(1f32.to_bits() | word << 31))
    }
}

impl Elementary for f64 {
    const ROUNDER: Self = 6_755_399_441_055_744.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const LN_2: [Self; 2] = [std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17];
    const FRAC_1_PI: Self = std::f64::consts::FRAC_1_PI;
    const PI: [Self; 2] = [std::f64::consts::PI, 1.224_646_799_147_353_2e-16];
    const FRAC_PI_4: Self = std::f64::consts::FRAC_PI_4;
    const TAN_PI_8: Self = 0.414_213_562_373_095_1;
    const DECAY_LIMIT: Self = 708.0;
    const PHASE_LIMIT: Self = 281_474_976_710_656.0;
    const E_2: Self = 7.389_056_098_930_65;
    const WORDS: usize = 2;

    polynomials! {
        exp_polynomial: [
            0.500_000_000_000_000_6, 0.166_666_666_666_665_88, 0.041_666_666_666_576_75, 0.008_333_333_333_389_634,
            0.001_388_888_893_156_531_6, 0.000_198_412_697_187_774_04, 2.480_150_527_354_060_3e-5,
            2.755_740_778_223_69e-6, 2.762_603_796_115_089_4e-7, 2.505_369_161_242_551_5e-8,
        ];
        sin_polynomial: [
            -0.166_666_666_666_666_66, 0.008_333_333_333_333_194, -0.000_198_412_698_412_091_86,
            2.755_731_921_113_130_4e-6, -2.505_210_687_224_145_4e-8, 1.605_893_967_692_993_5e-10,
            -7.642_990_714_763_988e-13, 2.721_166_590_179_425e-15,
        ];
        cos_polynomial: [
            0.041_666_666_666_666_664, -0.001_388_888_888_888_871_4, 2.480_158_730_152_754e-5,
            -2.755_731_921_345_579_7e-7, 2.087_675_591_299_059_4e-9, -1.147_067_956_613_543e-11,
            4.777_067_117_942_972_6e-14, -1.513_675_875_791_277_3e-16,
        ];
        ln_polynomial: [
            0.666_666_666_666_673_5, 0.399_999_999_994_127_44, 0.285_714_287_428_965_9, 0.222_221_985_131_594_88,
            0.181_835_678_342_213_12, 0.153_139_512_546_438_32, 0.147_970_351_134_873_55,
        ];
        atan_polynomial: [
            -0.333_333_333_333_331_9, 0.199_999_999_999_528_17, -0.142_857_142_801_211_6,
            0.111_111_107_797_999_17, -0.090_908_976_552_897_94, 0.076_920_584_361_222_27,
            -0.066_630_842_491_547_76, 0.058_477_478_005_361_97, -0.050_386_768_609_614, 0.038_048_820_566_137_73,
            -0.017_890_171_620_785_118,
        ];
    }

    bit_patterns!(u64, i64, 52);

    #[inline(always)]
    fn unit([low, high]: [u32; 2]) -> Self {
        one_to_two(low, high) - 1.0
    }

    #[inline(always)]
    fn unit_above_zero([low, high]: [u32; 2]) -> Self {
        2.0 - one_to_two(low, high)
    }

    #[inline(always)]
    fn half_turn_and_sign([low, high]: [u32; 2]) -> (Self, Self) {
        let angle = (one_to_two(low, high) - 1.5) * std::f64::consts::PI;
        (angle, Self::from_bits(1f64.to_bits() | u64::from(low) << 63))
    }
}

/// Uniform on [1, 2) from the upper 52 of 64 bits.
#[inline(always)]
fn one_to_two(low: u32, high: u32) -> f64 {
    let bits = u64::from(high) << 32 | u64::from(low);
    f64::from_bits(1f64.to_bits() | bits >> 12)
}

/// exp(x) = scale·(1 + rest) for x in [−[`Elementary::DECAY_LIMIT`], 0], with `rest` of full relative accuracy.
#[inline(always)]
fn exp_parts<T: Elementary>(x: T) -> (T, T) {
    let rounded = x.mul_add(T::LOG2_E, T::ROUNDER);
    let k = rounded - T::ROUNDER;
    let r = (-k).mul_add(T::LN_2[1], (-k).mul_add(T::LN_2[0], x));
    (T::power_of_two(rounded), (r * r).mul_add(T::exp_polynomial(r), r))
}

/// exp(−a) for a ≥ 0; 0 where it would be subnormal.
#[inline(always)]
pub(crate) fn decay<T: Elementary>(a: T) -> T {
    let (scale, rest) = exp_parts(-a);
    let t = scale.mul_add(rest, scale);
    if a > T::DECAY_LIMIT { T::zero() } else { t }
}

/// exp(−a) and 1 − exp(−a), both of full relative accuracy, for a ≥ 0.
#[inline(always)]
fn decay_and_complement<T: Elementary>(a: T) -> (T, T) {
    let (scale, rest) = exp_parts(-a);
    let t = scale.mul_add(rest, scale);
    let complement = (-scale).mul_add(rest, T::one() - scale);
    let gone = a > T::DECAY_LIMIT;
    (if gone { T::zero() } else { t }, if gone { T::one() } else { complement })
}

/// sin r for |r| ≤ π/2.
#[inline(always)]
fn sin_half_turn<T: Elementary>(r: T) -> T {
    let r2 = r * r;
    (r * r2).mul_add(T::sin_polynomial(r2), r)
}

/// cos r for |r| ≤ π/2.
#[inline(always)]
fn cos_half_turn<T: Elementary>(r: T) -> T {
    let r2 = r * r;
    r2.mul_add(r2.mul_add(T::cos_polynomial(r2), -T::constant(0.5)), T::one())
}

/// modulus·exp(iy) as (real, imaginary).
#[inline(always)]
fn polar<T: Elementary>(modulus: T, y: T) -> (T, T) {
    let y = if y.abs() > T::PHASE_LIMIT { T::nan() } else { y };
    let rounded = y.mul_add(T::FRAC_1_PI, T::ROUNDER);
    let k = rounded - T::ROUNDER;
    let r = (-k).mul_add(T::PI[1], (-k).mul_add(T::PI[0], y));
    let signed = modulus.negate_if_odd(rounded);
    (signed * cos_half_turn(r), signed * sin_half_turn(r))
}

/// `y`, but NaN if `x` is not finite.
#[inline(always)]
pub(crate) fn poisoned<T: Elementary>(x: T, y: T) -> T {
    x.mul_add(T::zero(), y)
}

/// ln y for a positive normal number; anything else gives NaN.
#[inline(always)]
fn ln<T: Elementary>(y: T) -> T {
    let (m, k) = y.significand_exponent();
    let f = m - T::one();
    let s = f / (T::constant(2.0) + f);
    let s2 = s * s;
    let near_one = s.mul_add(s2 * T::ln_polynomial(s2) - f, f);
    let sum = k.mul_add(T::LN_2[0], k.mul_add(T::LN_2[1], near_one));
    if y > T::zero() { poisoned(y, sum) } else { T::nan() }
}

/// ln(1 + u) for u ≥ −1, with full relative accuracy near 0.
#[inline(always)]
fn ln_1p<T: Elementary>(u: T) -> T {
    let y = T::one() + u;
    let lost = u - (y - T::one());
    ln(y) + lost / y
}

/// The angle of (x, y) for x ≥ 0, in [−π/2, π/2].
#[inline(always)]
fn angle<T: Elementary>(y: T, x: T) -> T {
    let a = y.abs();
    let steep = a > x;
    let (low, high) = if steep { (x, a) } else { (a, x) };
    // tan(π/8) < low/high: measure from π/4 instead.
    let far = low > high * T::TAN_PI_8;
    let (top, bottom) = if far { (low - high, low + high) } else { (low, high) };
    let v = top / bottom;
    let v2 = v * v;
    let near = (v * v2).mul_add(T::atan_polynomial(v2), v);
    let octant = if far { near + T::FRAC_PI_4 } else { near };
    let half_pi = T::FRAC_PI_4 + T::FRAC_PI_4;
    (if steep { half_pi - octant } else { octant }).copysign(y)
}

/// 1/(1 + exp(−w)), w = x + iy.
#[inline(always)]
pub(crate) fn logistic<T: Elementary>(x: T, y: T) -> (T, T) {
    // With t = exp(−|x|): multiply through by the conjugate of 1 + t·exp(±iy), which is harmless in both tails.
    let t = decay(x.abs());
    let (tc, ts) = polar(t, y);
    let p = T::one() + tc;
    let d = p.mul_add(p, ts * ts).recip();
    let numerator = if x < T::zero() { t.mul_add(t, tc) } else { p };
    (numerator * d, ts * d)
}

/// The derivative of [`logistic`].
#[inline(always)]
pub(crate) fn logistic_slope<T: Elementary>(x: T, y: T) -> (T, T) {
    let t = decay(x.abs());
    let (tc, ts) = polar(t, y);
    let p = T::one() + tc;
    let d = p.mul_add(p, ts * ts).recip();
    let d2 = d * d;
    let t2 = t * t;
    (tc.mul_add(t2, tc + (t2 + t2)) * d2, (ts.mul_add(t2, -ts) * d2) * T::one().copysign(x))
}

/// 1/(1 + exp(−x)).
#[inline(always)]
pub(crate) fn logistic_real<T: Elementary>(x: T) -> T {
    let t = decay(x.abs());
    (if x < T::zero() { t } else { T::one() }) / (T::one() + t)
}

/// The derivative of [`logistic_real`].
#[inline(always)]
pub(crate) fn logistic_slope_real<T: Elementary>(x: T) -> T {
    let t = decay(x.abs());
    let d = (T::one() + t).recip();
    t * d * d
}

/// tanh z.
#[inline(always)]
pub(crate) fn tanh<T: Elementary>(x: T, y: T) -> (T, T) {
    let (t, complement) = decay_and_complement((x + x).abs());
    let y = poisoned(x, y);
    let (tc, ts) = polar(t, y + y);
    let p = T::one() + tc;
    let d = p.mul_add(p, ts * ts).recip();
    (((complement * (T::one() + t)) * d).copysign(x), (ts + ts) * d)
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh_real<T: Elementary>(x: T) -> T {
    let (t, complement) = decay_and_complement((x + x).abs());
    poisoned(x, (complement / (T::one() + t)).copysign(x))
}

/// ln(1 + exp z), with its cuts on the imaginary axis from ±iπ outwards.
#[inline(always)]
pub(crate) fn softplus<T: Elementary>(x: T, y: T) -> (T, T) {
    let y = poisoned(x, y);
    let t = decay(x.abs());
    let (tc, ts) = polar(t, y);
    let modulus = ln_1p(t.mul_add(t, tc + tc)) * T::constant(0.5);
    let phase = angle(ts, T::one() + tc);
    if x > T::zero() { (x + modulus, y - phase) } else { (modulus, phase) }
}

/// ln(1 + exp x).
#[inline(always)]
pub(crate) fn softplus_real<T: Elementary>(x: T) -> T {
    let above = if x > T::zero() { x } else { T::zero() };
    poisoned(x, above + ln_1p(decay(x.abs())))
}

/// The parts of [`dsilu`] and its derivative.
///
/// With ρ = exp(∓z) (|ρ| ≤ 1) and m = e^(±2), upper signs for Re z ≥ 0: σ(z) and σ(z−2) have the denominators
/// B = 1 + ρ and A = 1 + mρ, and their difference is |m−1|·ρ/(AB), free of cancellation in both tails.
/// Returns ρ, A, B and m.
#[inline(always)]
fn dsilu_parts<T: Elementary>(x: T, y: T) -> (Complex<T>, Complex<T>, Complex<T>, T) {
    let (tc, ts) = polar(decay(x.abs()), poisoned(x, y));
    let negative = x < T::zero();
    let rho = Complex::new(tc, if negative { ts } else { -ts });
    let m = if negative { T::E_2.recip() } else { T::E_2 };
    (rho, rho * m + T::one(), rho + T::one(), m)
}

/// numerator / denominator.
#[inline(always)]
fn quotient<T: Elementary>(numerator: Complex<T>, denominator: Complex<T>) -> (T, T) {
    let (a, b) = (denominator.re, denominator.im);
    let d = a.mul_add(a, b * b).recip();
    (numerator.re.mul_add(a, numerator.im * b) * d, numerator.im.mul_add(a, -(numerator.re * b)) * d)
}

/// ½zσ(z) + (1 − ½z)σ(z−2).
#[inline(always)]
pub(crate) fn dsilu<T: Elementary>(x: T, y: T) -> (T, T) {
    let (rho, a, b, m) = dsilu_parts(x, y);
    let half_gap = T::constant(0.5) * (m - T::one()).abs();
    let shifted = if x < T::zero() { rho * b * m } else { b };
    quotient(Complex::new(x, y) * rho * half_gap + shifted, a * b)
}

/// [`dsilu`] on the real axis.
#[inline(always)]
pub(crate) fn dsilu_real<T: Elementary>(x: T) -> T {
    let rho = decay(x.abs());
    let m = if x < T::zero() { T::E_2.recip() } else { T::E_2 };
    let (a, b) = (rho.mul_add(m, T::one()), rho + T::one());
    let half_gap = T::constant(0.5) * (m - T::one()).abs();
    let shifted = if x < T::zero() { rho * b * m } else { b };
    poisoned(x, (x * rho).mul_add(half_gap, shifted) / (a * b))
}

/// The derivative of [`dsilu`]: ½(σ(z)−σ(z−2)) + ½z(σ′(z)−σ′(z−2)) + σ′(z−2).
#[inline(always)]
pub(crate) fn dsilu_slope<T: Elementary>(x: T, y: T) -> (T, T) {
    let (rho, a, b, m) = dsilu_parts(x, y);
    let half = T::constant(0.5);
    let gap = T::one() - m;
    let ab = a * b;
    let curvature = Complex::new(T::one(), T::zero()) - rho * rho * m;
    let bend = Complex::new(x, y) * rho * curvature * (half * gap);
    quotient(rho * (ab * (half * gap.abs()) + b * b * m) + bend, ab * ab)
}

/// [`dsilu_slope`] on the real axis.
#[inline(always)]
pub(crate) fn dsilu_slope_real<T: Elementary>(x: T) -> T {
    let rho = decay(x.abs());
    let m = if x < T::zero() { T::E_2.recip() } else { T::E_2 };
    let (a, b) = (rho.mul_add(m, T::one()), rho + T::one());
    let half_gap = T::constant(0.5) * (T::one() - m);
    let ab = a * b;
    let curvature = (-rho * m).mul_add(rho, T::one());
    let sum = ab.mul_add(half_gap.abs(), b * b * m);
    poisoned(x, rho.mul_add(sum, x * rho * half_gap * curvature) / (ab * ab))
}

/// exp(x + iy) for x ≤ 0.
#[inline(always)]
pub(crate) fn exp<T: Elementary>(x: T, y: T) -> (T, T) {
    polar(decay(-x), poisoned(x, y))
}

/// exp(x) for x ≤ 0; NaN for −∞.
#[inline(always)]
pub(crate) fn exp_real<T: Elementary>(x: T) -> T {
    poisoned(x, decay(-x))
}

/// Two independent normal numbers from four random words (Box and Muller).
#[inline(always)]
pub(crate) fn normal_pair<T: Elementary>(radius: [u32; 2], direction: [u32; 2]) -> (T, T) {
    let r = (ln(T::unit_above_zero(radius)) * T::constant(-2.0)).sqrt();
    let (turn, sign) = T::half_turn_and_sign(direction);
    let r = r * sign;
    (r * cos_half_turn(turn), r * sin_half_turn(turn))
}

#[cfg(test)]
mod tests;
