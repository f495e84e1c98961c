//! Activation functions: their values, their derivatives, and where they stop being analytic.

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::scalar::Scalar;

/// The transfer function of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// 1/(1+exp(−(slope·z + offset))).
    Logistic {
        /// Factor on the potential; finite and not 0.
        #[serde(default = "default_slope")]
        slope: f64,
        /// Added after the factor; finite.
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
    /// x clipped to [−1, 1]: real states only.
    HardTanh,
    /// max(x, 0): real states only.
    Relu,
}

fn default_slope() -> f64 {
    4.0
}

fn default_offset() -> f64 {
    -2.0
}

impl Activation {
    /// f of every element.
    pub fn apply<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        for i in 0..re.len() {
            let f = self.at(Complex::new(re[i].double(), im[i].double()));
            (out_re[i], out_im[i]) = (T::of(f.re), T::of(f.im));
        }
    }

    /// f of every element, real states.
    pub fn apply_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        for (x, out) in x.iter().zip(out) {
            *out = T::of(self.at(x.double().into()).re);
        }
    }

    /// f′ of every element.
    pub fn derivative<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        for i in 0..re.len() {
            let f = self.derivative_at(Complex::new(re[i].double(), im[i].double()));
            (out_re[i], out_im[i]) = (T::of(f.re), T::of(f.im));
        }
    }

    /// f′ of every element, real states.
    pub fn derivative_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        for (x, out) in x.iter().zip(out) {
            *out = T::of(self.derivative_at(x.double().into()).re);
        }
    }

    /// f(z) in double precision.
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
            Self::Dsilu => z * 0.5 * (logistic(z) - logistic(z - 2.0)) + logistic(z - 2.0),
            Self::Softplus if z.re > 0.0 => z + ((-z).exp() + 1.0).ln(),
            Self::Softplus => (z.exp() + 1.0).ln(),
            Self::Identity => z,
            Self::HardTanh => Complex::new(z.re.clamp(-1.0, 1.0), z.im.clamp(-1.0, 1.0)),
            Self::Relu => Complex::new(z.re.max(0.0), z.im.max(0.0)),
        }
    }

    /// f′(z) in double precision.
    #[must_use]
    pub fn derivative_at(&self, z: Complex<f64>) -> Complex<f64> {
        let slope_of_logistic = |w: Complex<f64>| logistic(w) * logistic(-w);
        let step = |inside: bool| if inside { 1.0 } else { 0.0 };
        match *self {
            Self::Logistic { slope, offset } => slope_of_logistic(z * slope + offset) * slope,
            Self::Tanh => slope_of_logistic(z * 2.0) * 4.0,
            Self::Dsilu => {
                (logistic(z) - logistic(z - 2.0)) * 0.5
                    + z * 0.5 * (slope_of_logistic(z) - slope_of_logistic(z - 2.0))
                    + slope_of_logistic(z - 2.0)
            }
            Self::Softplus => logistic(z),
            Self::Identity => Complex::ONE,
            Self::HardTanh => Complex::new(step(z.re.abs() < 1.0), 0.0),
            Self::Relu => Complex::new(step(z.re > 0.0), 0.0),
        }
    }

    /// Whether the function continues analytically off the real axis.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        !matches!(self, Self::HardTanh | Self::Relu)
    }

    /// The singularity nearest to the real axis, in the upper half plane; `None` if there is none.
    #[must_use]
    pub fn singularity(&self) -> Option<Complex<f64>> {
        use std::f64::consts::{FRAC_PI_2, PI};
        match *self {
            Self::Logistic { slope, offset } => Some(Complex::new(-offset / slope, PI / slope.abs())),
            Self::Tanh => Some(Complex::new(0.0, FRAC_PI_2)),
            Self::Dsilu | Self::Softplus => Some(Complex::new(0.0, PI)),
            Self::Identity | Self::HardTanh | Self::Relu => None,
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

/// 1/(1+exp(−z)) without overflow.
fn logistic(z: Complex<f64>) -> Complex<f64> {
    if z.re < 0.0 {
        let e = z.exp();
        e / (e + 1.0)
    } else {
        ((-z).exp() + 1.0).inv()
    }
}

/// In place, `classes × samples` column-major: exp(zᵢ)/Σⱼ exp(zⱼ).
pub fn softmax<T: Scalar>(classes: usize, re: &mut [T], im: &mut [T]) {
    for (re, im) in re.chunks_exact_mut(classes).zip(im.chunks_exact_mut(classes)) {
        let top = re.iter().fold(T::neg_infinity(), |top, &x| if x > top { x } else { top });
        let mut sum = Complex::new(T::zero(), T::zero());
        for (x, y) in re.iter_mut().zip(im.iter_mut()) {
            let e = Complex::new(*x - top, *y).exp();
            sum += e;
            (*x, *y) = (e.re, e.im);
        }
        for (x, y) in re.iter_mut().zip(im.iter_mut()) {
            let e = Complex::new(*x, *y) / sum;
            (*x, *y) = (e.re, e.im);
        }
    }
}

/// In place, `classes × samples` column-major: exp(xᵢ)/Σⱼ exp(xⱼ).
pub fn softmax_real<T: Scalar>(classes: usize, x: &mut [T]) {
    for x in x.chunks_exact_mut(classes) {
        let top = x.iter().fold(T::neg_infinity(), |top, &x| if x > top { x } else { top });
        let sum: T = x
            .iter_mut()
            .map(|x| {
                *x = (*x - top).exp();
                *x
            })
            .sum();
        x.iter_mut().for_each(|x| *x /= sum);
    }
}
