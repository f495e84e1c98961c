//! What stands here in a program without GPUs: nothing is computed elsewhere.

use num_complex::Complex;

use super::Derivative;
use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::bound::Bound;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::stretch::{Accelerated, Acceleration, Ended, Stretch};

/// No network on a GPU.
#[derive(Debug, Clone, Default)]
pub(in crate::substrate::neurons) struct Slot(());

#[expect(clippy::unused_self, reason = "as where there are GPUs")]
impl Slot {
    pub(in crate::substrate::neurons) fn program<T: Scalar>(&mut self, _: &Effective<T>) {}

    pub(in crate::substrate::neurons) fn fault(&self) -> Option<Error> {
        None
    }

    pub(in crate::substrate::neurons) fn samples<T: Scalar>(&self, _: &Effective<T>) -> Option<usize> {
        None
    }

    pub(in crate::substrate::neurons) fn potentials<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: &Bound<T>,
        _: &[T],
    ) -> Option<Vec<T>> {
        None
    }

    pub(in crate::substrate::neurons) fn target<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: &mut Bound<T>,
        _: Complex<f64>,
        _: &[T],
        _: &mut [T],
    ) -> bool {
        false
    }

    pub(in crate::substrate::neurons) fn takes<T: Scalar>(&self, _: &Effective<T>, _: &Bound<T>) -> bool {
        false
    }

    pub(in crate::substrate::neurons) fn run<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: &mut Bound<T>,
        _: &Stretch<'_, T>,
        _: &mut Vec<T>,
    ) -> Result<Ended<T>> {
        Err(Error::Internal("a program without GPUs".into()))
    }

    pub(in crate::substrate::neurons) fn accelerate<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: &mut Bound<T>,
        _: Acceleration,
        _: &mut [T],
    ) -> Result<Accelerated> {
        Err(Error::Internal("a program without GPUs".into()))
    }

    pub(in crate::substrate::neurons) fn product<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: (u64, usize),
        _: (&[T], &[T]),
        _: Derivative,
        _: &[T],
        _: &mut [T],
    ) -> bool {
        false
    }

    pub(in crate::substrate::neurons) fn solve<T: Scalar>(
        &self,
        _: &Effective<T>,
        _: (u64, usize),
        _: (&[T], &[T]),
        _: (Derivative, f64),
        _: (&[T], &mut [T]),
        _: (f64, u64),
    ) -> Option<(u64, f64)> {
        None
    }
}
