//! The classical Runge–Kutta method.

use super::fixed_step::each;
use super::{Integrator, Leak, VectorField};
use crate::error::Result;
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// The classical Runge–Kutta method of order 4, with its buffers: a step allocates nothing. It has no place for random increments, with
/// which its order would be lost.
pub struct Rk4<T: Scalar> {
    /// h/τ.
    factor: Leak<T>,
    stage: Vec<T>,
    target: Vec<T>,
    sum: Vec<T>,
}

impl<T: Scalar> Rk4<T> {
    /// Buffers for a state of `len` numbers, with steps of `step` nominal τ.
    #[must_use]
    pub fn new(step: f64, leak: &Leak<T>, len: usize) -> Self {
        let (h, zeros) = (T::of(step), vec![T::zero(); len]);
        Self { factor: leak.map(|rate| h * rate), stage: zeros.clone(), target: zeros.clone(), sum: zeros }
    }
}

impl<T: Scalar> Integrator<T> for Rk4<T> {
    fn lost(&self, h: f64) -> f64 {
        h * (1.0 - h / 2.0 * (1.0 - h / 3.0 * (1.0 - h / 4.0)))
    }

    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        s: &mut Vec<T>,
        g: &mut Vec<T>,
    ) -> Result<()> {
        let Self { factor, stage, target, sum } = self;
        let (half, sixth) = (T::of(0.5), T::of(1.0 / 6.0));
        let weights = [T::one(), T::of(2.0), T::of(2.0), T::one()];
        let advance = [half, half, T::one()];
        stage.copy_from_slice(s);
        sum.fill(T::zero());
        target.copy_from_slice(g);
        for i in 0..4 {
            // h k_i = (h/τ)(G_i − s_i); `target` becomes it in place.
            each(factor, target, stage, |f, g, s| *g = f * (*g - s));
            for (total, slope) in sum.iter_mut().zip(target.iter()) {
                *total += weights[i] * *slope;
            }
            if i < 3 {
                for ((p, s), slope) in stage.iter_mut().zip(s.iter()).zip(target.iter()) {
                    *p = *s + advance[i] * *slope;
                }
                field.target(Time { tick, fraction: if i < 2 { 0.5 } else { 1.0 } }, stage, target);
            }
        }
        for (s, total) in s.iter_mut().zip(sum.iter()) {
            *s += sixth * *total;
        }
        Ok(())
    }
}
