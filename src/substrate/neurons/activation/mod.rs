//! Activation functions: their values, their derivatives, and where they stop being analytic.

mod expression;
mod own;

pub use expression::{ActivationSpec, Expression};
pub use own::{Holomorphic, Transfer};

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::json::choice::{allow_names, choice};
use crate::numerics::kernels::{
    self, dsilu, dsilu_real, dsilu_slope, dsilu_slope_real, poisoned, softplus, softplus_real, tanh,
    tanh_real,
};
use crate::numerics::scalar::Scalar;

/// The loop over planar slices with a kernel that is named, so that it is inlined into the vectorised loop.
macro_rules! map {
    ($re:ident, $im:ident, $out_re:ident, $out_im:ident, $kernel:ident) => {
        kernels::map(
            $re,
            $im,
            $out_re,
            $out_im,
            #[inline(always)]
            |x, y| $kernel(x, y),
        )
    };
}

/// The same over one real slice.
macro_rules! map_real {
    ($x:ident, $out:ident, $kernel:ident) => {
        kernels::map_real(
            $x,
            $out,
            #[inline(always)]
            |x| $kernel(x),
        )
    };
}

/// The transfer function of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[schemars(transform = allow_names)]
pub enum Activation {
    /// 1/(1+exp(−(slope·z + offset))).
    Logistic {
        /// Factor on the potential; not 0.
        #[serde(default = "default_slope")]
        slope: f64,
        /// Added after the factor.
        #[serde(default = "default_offset")]
        offset: f64,
    },
    /// tanh z.
    Tanh,
    /// ½zσ(z) + (1−½z)σ(z−2), with σ the standard logistic function.
    Dsilu,
    /// ln(1+exp z).
    Softplus,
    /// z.
    Identity,
    /// Clipped to [−1, 1]; real states only.
    HardTanh,
    /// ½z clipped to [0, 1], `dsilu` with corners; real states only.
    HardDsilu,
    /// max(x, 0); real states only.
    Relu,
}

choice!(Activation);

fn default_slope() -> f64 {
    4.0
}

fn default_offset() -> f64 {
    -2.0
}

impl Activation {
    /// f of every element of `re` + i·`im`.
    ///
    /// The two functions that are not holomorphic act on each part by itself; a validated network never asks for
    /// that, because it refuses them with complex states.
    ///
    /// # Panics
    /// If the four lengths differ.
    pub fn apply<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        match *self {
            Self::Logistic { slope, offset } => {
                let (slope, offset) = (T::of(slope), T::of(offset));
                kernels::map(
                    re,
                    im,
                    out_re,
                    out_im,
                    #[inline(always)]
                    move |x, y| kernels::logistic(slope.mul_add(x, offset), slope * poisoned(x, y)),
                );
            }
            Self::Tanh => map!(re, im, out_re, out_im, tanh),
            Self::Dsilu => map!(re, im, out_re, out_im, dsilu),
            Self::Softplus => map!(re, im, out_re, out_im, softplus),
            Self::Identity => {
                out_re.copy_from_slice(re);
                out_im.copy_from_slice(im);
            }
            Self::HardTanh | Self::HardDsilu | Self::Relu => {
                self.apply_real(re, out_re);
                self.apply_real(im, out_im);
            }
        }
    }

    /// f of every element, for real states.
    ///
    /// # Panics
    /// If the two lengths differ.
    pub fn apply_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        match *self {
            Self::Logistic { slope, offset } => {
                let (slope, offset) = (T::of(slope), T::of(offset));
                kernels::map_real(
                    x,
                    out,
                    #[inline(always)]
                    move |x| poisoned(x, kernels::logistic_real(slope.mul_add(x, offset))),
                );
            }
            Self::Tanh => map_real!(x, out, tanh_real),
            Self::Dsilu => map_real!(x, out, dsilu_real),
            Self::Softplus => map_real!(x, out, softplus_real),
            Self::Identity => out.copy_from_slice(x),
            Self::HardTanh => map_real!(x, out, hard_tanh),
            Self::HardDsilu => map_real!(x, out, hard_dsilu),
            Self::Relu => map_real!(x, out, relu),
        }
    }

    /// f′ of every element of `re` + i·`im`; for the functions that are not holomorphic, the derivative along the
    /// real axis at `re`.
    ///
    /// # Panics
    /// If the four lengths differ.
    pub fn derivative<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        match *self {
            Self::Logistic { slope, offset } => {
                let (slope, offset) = (T::of(slope), T::of(offset));
                kernels::map(
                    re,
                    im,
                    out_re,
                    out_im,
                    #[inline(always)]
                    move |x, y| {
                        let (u, v) =
                            kernels::logistic_slope(slope.mul_add(x, offset), slope * poisoned(x, y));
                        (slope * u, slope * v)
                    },
                );
            }
            Self::Tanh => map!(re, im, out_re, out_im, tanh_slope),
            Self::Dsilu => map!(re, im, out_re, out_im, dsilu_slope),
            Self::Softplus => map!(re, im, out_re, out_im, softplus_slope),
            Self::Identity => {
                let one = T::one();
                kernels::map(re, im, out_re, out_im, |x, y| (poisoned(y, poisoned(x, one)), y * T::zero()));
            }
            Self::HardTanh | Self::HardDsilu | Self::Relu => {
                self.derivative_real(re, out_re);
                kernels::map_real(im, out_im, |y| y * T::zero());
            }
        }
    }

    /// f′ of every element, for real states. At a kink of a clipped function the derivative is 0.
    ///
    /// # Panics
    /// If the two lengths differ.
    pub fn derivative_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        match *self {
            Self::Logistic { slope, offset } => {
                let (slope, offset) = (T::of(slope), T::of(offset));
                kernels::map_real(
                    x,
                    out,
                    #[inline(always)]
                    move |x| poisoned(x, slope * kernels::logistic_slope_real(slope.mul_add(x, offset))),
                );
            }
            Self::Tanh => map_real!(x, out, tanh_slope_real),
            Self::Dsilu => map_real!(x, out, dsilu_slope_real),
            Self::Softplus => map_real!(x, out, softplus_slope_real),
            Self::Identity => map_real!(x, out, identity_slope),
            Self::HardTanh => map_real!(x, out, hard_tanh_slope),
            Self::HardDsilu => map_real!(x, out, hard_dsilu_slope),
            Self::Relu => map_real!(x, out, relu_slope),
        }
    }

    /// f(z) in double precision, by the textbook formula; it shares no code with the vectorised kernels.
    #[must_use]
    pub fn at(&self, z: Complex<f64>) -> Complex<f64> {
        match *self {
            Self::Logistic { slope, offset } => logistic(z * slope + offset),
            Self::Tanh => {
                if z.re.abs() < 20.0 {
                    z.tanh()
                } else {
                    logistic(z * 2.0) * 2.0 - 1.0
                }
            }
            Self::Dsilu => z * 0.5 * dsilu_gap(z) + logistic(z - 2.0),
            Self::Softplus if z.re > 0.0 => z + ln_1p((-z).exp()),
            Self::Softplus => ln_1p(z.exp()),
            Self::Identity => z,
            Self::HardTanh => Complex::new(z.re.clamp(-1.0, 1.0), z.im.clamp(-1.0, 1.0)),
            Self::HardDsilu => Complex::new((0.5 * z.re).clamp(0.0, 1.0), (0.5 * z.im).clamp(0.0, 1.0)),
            Self::Relu => Complex::new(z.re.max(0.0), z.im.max(0.0)),
        }
    }

    /// f′(z) in double precision, by the textbook formula; it shares no code with the vectorised kernels.
    #[must_use]
    pub fn derivative_at(&self, z: Complex<f64>) -> Complex<f64> {
        let slope_of_logistic = |w: Complex<f64>| logistic(w) * logistic(-w);
        let step = |inside: bool| if inside { 1.0 } else { 0.0 };
        match *self {
            Self::Logistic { slope, offset } => slope_of_logistic(z * slope + offset) * slope,
            Self::Tanh => slope_of_logistic(z * 2.0) * 4.0,
            Self::Dsilu => {
                dsilu_gap(z) * 0.5
                    + z * 0.5 * (slope_of_logistic(z) - slope_of_logistic(z - 2.0))
                    + slope_of_logistic(z - 2.0)
            }
            Self::Softplus => logistic(z),
            Self::Identity => Complex::ONE,
            Self::HardTanh => Complex::new(step(z.re.abs() < 1.0), 0.0),
            Self::HardDsilu => Complex::new(0.5 * step(z.re > 0.0 && z.re < 2.0), 0.0),
            Self::Relu => Complex::new(step(z.re > 0.0), 0.0),
        }
    }

    /// Whether the function continues analytically off the real axis.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        !matches!(self, Self::HardTanh | Self::HardDsilu | Self::Relu)
    }

    /// Whether the function is bounded on the real axis.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        !matches!(self, Self::Softplus | Self::Identity | Self::Relu)
    }

    /// The singularity nearest to the real axis, in the upper half plane; `None` if there is none.
    #[must_use]
    pub fn singularity(&self) -> Option<Complex<f64>> {
        use std::f64::consts::{FRAC_PI_2, PI};
        match *self {
            Self::Logistic { slope, offset } => Some(Complex::new(-offset / slope, PI / slope.abs())),
            Self::Tanh => Some(Complex::new(0.0, FRAC_PI_2)),
            Self::Dsilu | Self::Softplus => Some(Complex::new(0.0, PI)),
            Self::Identity | Self::HardTanh | Self::HardDsilu | Self::Relu => None,
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Invalid`] if `slope` is 0 or not finite, or `offset` is not finite.
    pub fn validate(&self) -> Result<(), Invalid> {
        let Self::Logistic { slope, offset } = *self else { return Ok(()) };
        if !slope.is_finite() || slope == 0.0 {
            let legal = "it must be a finite number other than 0";
            return Err(Invalid::new("logistic.slope", format!("found {slope}"), legal));
        }
        if !offset.is_finite() {
            let legal = "it must be a finite number";
            return Err(Invalid::new("logistic.offset", format!("found {offset}"), legal));
        }
        Ok(())
    }
}

/// ln(1+e), accurate for small e too.
fn ln_1p(e: Complex<f64>) -> Complex<f64> {
    Complex::new(0.5 * (2.0 * e.re + e.norm_sqr()).ln_1p(), e.im.atan2(1.0 + e.re))
}

/// σ(z) − σ(z−2), taken on the side where neither term is near 1.
fn dsilu_gap(z: Complex<f64>) -> Complex<f64> {
    if z.re > 0.0 { logistic(-z + 2.0) - logistic(-z) } else { logistic(z) - logistic(z - 2.0) }
}

/// 1/(1+exp(−z)) without overflow.
fn logistic(z: Complex<f64>) -> Complex<f64> {
    if z.re < 0.0 {
        let e = z.exp();
        e / (e + 1.0)
    } else {
        ((-z).exp() + 1.0).inv()
    }
}

/// In place, `classes × samples` column-major: exp(zᵢ)/Σⱼ exp(zⱼ) in each column, without conjugation, so that it is
/// the analytic continuation of the real softmax.
///
/// # Panics
/// If the two lengths differ or are no multiple of `classes`.
pub fn softmax<T: Scalar>(classes: usize, re: &mut [T], im: &mut [T]) {
    if re.is_empty() && im.is_empty() {
        return;
    }
    assert_eq!(re.len() % classes, 0, "whole columns");
    re.chunks_exact_mut(classes).for_each(subtract_maximum);
    kernels::map_in_place(
        re,
        im,
        #[inline(always)]
        |x, y| kernels::exp(x, y),
    );
    for (re, im) in re.chunks_exact_mut(classes).zip(im.chunks_exact_mut(classes)) {
        let sum = Complex::new(re.iter().copied().sum::<T>(), im.iter().copied().sum::<T>());
        let factor = sum.inv();
        for (x, y) in re.iter_mut().zip(im.iter_mut()) {
            let e = Complex::new(*x, *y) * factor;
            (*x, *y) = (e.re, e.im);
        }
    }
}

/// In place, `classes × samples` column-major: exp(xᵢ)/Σⱼ exp(xⱼ) in each column.
///
/// # Panics
/// If the length is no multiple of `classes`.
pub fn softmax_real<T: Scalar>(classes: usize, x: &mut [T]) {
    if x.is_empty() {
        return;
    }
    assert_eq!(x.len() % classes, 0, "whole columns");
    x.chunks_exact_mut(classes).for_each(subtract_maximum);
    kernels::map_real_in_place(
        x,
        #[inline(always)]
        |x| kernels::exp_real(x),
    );
    for x in x.chunks_exact_mut(classes) {
        let factor = x.iter().copied().sum::<T>().recip();
        x.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Makes the largest element 0: it keeps exp in range and cancels in the quotient.
fn subtract_maximum<T: Scalar>(column: &mut [T]) {
    let top = column.iter().copied().fold(T::neg_infinity(), |top, x| if x > top { x } else { top });
    column.iter_mut().for_each(|x| *x -= top);
}

#[inline(always)]
fn tanh_slope<T: Scalar>(x: T, y: T) -> (T, T) {
    let y = poisoned(x, y);
    let (u, v) = kernels::logistic_slope(x + x, y + y);
    let four = T::of(4.0);
    (four * u, four * v)
}

#[inline(always)]
fn tanh_slope_real<T: Scalar>(x: T) -> T {
    poisoned(x, T::of(4.0) * kernels::logistic_slope_real(x + x))
}

#[inline(always)]
fn softplus_slope<T: Scalar>(x: T, y: T) -> (T, T) {
    kernels::logistic(x, poisoned(x, y))
}

#[inline(always)]
fn softplus_slope_real<T: Scalar>(x: T) -> T {
    poisoned(x, kernels::logistic_real(x))
}

#[inline(always)]
fn identity_slope<T: Scalar>(x: T) -> T {
    poisoned(x, T::one())
}

// The comparisons below are written so that NaN stays NaN.

#[inline(always)]
fn hard_tanh<T: Scalar>(x: T) -> T {
    let above = if x < -T::one() { -T::one() } else { x };
    poisoned(x, if above > T::one() { T::one() } else { above })
}

#[inline(always)]
fn hard_tanh_slope<T: Scalar>(x: T) -> T {
    poisoned(x, if x.abs() < T::one() { T::one() } else { T::zero() })
}

#[inline(always)]
fn hard_dsilu<T: Scalar>(x: T) -> T {
    let half = T::of(0.5) * x;
    let above = if half < T::zero() { T::zero() } else { half };
    poisoned(x, if above > T::one() { T::one() } else { above })
}

#[inline(always)]
fn hard_dsilu_slope<T: Scalar>(x: T) -> T {
    let inside = x > T::zero() && x < T::of(2.0);
    poisoned(x, if inside { T::of(0.5) } else { T::zero() })
}

#[inline(always)]
fn relu<T: Scalar>(x: T) -> T {
    poisoned(x, if x < T::zero() { T::zero() } else { x })
}

#[inline(always)]
fn relu_slope<T: Scalar>(x: T) -> T {
    poisoned(x, if x > T::zero() { T::one() } else { T::zero() })
}

#[cfg(test)]
mod tests;
