//! Activations that are not among the shipped ones: anyone's holomorphic function.

use std::fmt::Debug;
use std::sync::Arc;

use num_complex::Complex;

use super::{Activation, Expression};
use crate::numerics::scalar::Scalar;

/// The imaginary step of a derivative: its square vanishes beside any number.
const STEP: f64 = 1e-150;

/// A function that is analytic near the real axis and real on it.
pub trait Holomorphic: Debug + Send + Sync {
    /// f(z).
    fn at(&self, z: Complex<f64>) -> Complex<f64>;

    /// f′(x) on the real axis. By default from a step into the imaginary direction, exact to rounding (Squire & Trapp, SIAM Review 40, 110
    /// (1998)).
    fn slope(&self, x: f64) -> f64 {
        self.at(Complex::new(x, STEP)).im / STEP
    }

    /// Whether the function is bounded on the real axis.
    fn is_bounded(&self) -> bool;
}

/// The transfer function of a layer in a sized network.
#[derive(Debug, Clone)]
pub enum Transfer {
    /// One of those that a model file can name.
    Shipped(Activation),
    /// One that a model file has written out.
    Expression(Arc<Expression>),
    /// One that a program has brought.
    Own(Arc<dyn Holomorphic>),
}

impl PartialEq for Transfer {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shipped(a), Self::Shipped(b)) => a == b,
            (Self::Expression(a), Self::Expression(b)) => a == b,
            (Self::Own(a), Self::Own(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Transfer {
    /// f of every element of `re` + i·`im`.
    ///
    /// # Panics
    /// If the four lengths differ.
    pub fn apply<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        match self {
            Self::Shipped(activation) => activation.apply(re, im, out_re, out_im),
            Self::Expression(own) => own.apply(re, im, out_re, out_im),
            Self::Own(own) => {
                let out = out_re.iter_mut().zip(out_im);
                for ((x, y), (out_re, out_im)) in re.iter().zip(im).zip(out) {
                    let a = own.at(Complex::new(x.double(), y.double()));
                    (*out_re, *out_im) = (T::of(a.re), T::of(a.im));
                }
            }
        }
    }

    /// f of every element, for real states.
    ///
    /// # Panics
    /// If the two lengths differ.
    pub fn apply_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        match self {
            Self::Shipped(activation) => activation.apply_real(x, out),
            Self::Expression(own) => own.apply_real(x, out),
            Self::Own(own) => {
                out.iter_mut().zip(x).for_each(|(o, x)| *o = T::of(own.at(Complex::from(x.double())).re));
            }
        }
    }

    /// f′ of every element, for real states.
    ///
    /// # Panics
    /// If the two lengths differ.
    pub fn derivative_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        match self {
            Self::Shipped(activation) => activation.derivative_real(x, out),
            Self::Expression(own) => own.derivative_real(x, out),
            Self::Own(own) => out.iter_mut().zip(x).for_each(|(o, x)| *o = T::of(own.slope(x.double()))),
        }
    }

    /// Whether the function continues analytically off the real axis.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        match self {
            Self::Shipped(activation) => activation.is_holomorphic(),
            Self::Expression(own) => own.is_holomorphic(),
            Self::Own(_) => true,
        }
    }

    /// Whether the function is bounded on the real axis.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Shipped(activation) => activation.is_bounded(),
            Self::Expression(own) => own.is_bounded(),
            Self::Own(own) => own.is_bounded(),
        }
    }
}
