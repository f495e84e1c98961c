//! Explicit fixed-step integrators.

use super::{Integrator, Leak, VectorField};
use crate::error::Result;
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// The fixed-step methods, with their order for smooth systems and, with additive white noise, their strong and weak order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// s ← G(s): the papers' discrete map, one Euler step of h = τ.
    Map,
    /// Order 1; with noise Euler–Maruyama, strong order 1 and weak order 1.
    Euler,
    /// Order 2; with noise the stochastic Heun method, strong order 1 and weak order 2.
    Heun,
    /// The classical Runge–Kutta method of order 4.
    Rk4,
    /// s ← G + e^{−h/τ}(s − G): order 1, exact for the leak and, with noise, for an isolated neuron.
    ExponentialEuler,
}

impl Method {
    /// The part of a leaky unit that a step of h = step/τ takes away: 1 − R(h), with R the stability function.
    #[must_use]
    pub fn lost(self, h: f64) -> f64 {
        match self {
            Self::Map => 1.0,
            Self::Euler => h,
            Self::Heun => h * (1.0 - h / 2.0),
            Self::Rk4 => h * (1.0 - h / 2.0 * (1.0 - h / 3.0 * (1.0 - h / 4.0))),
            Self::ExponentialEuler => -(-h).exp_m1(),
        }
    }

    /// What a step of h = step/τ makes of an additive increment: Heun's second stage sees it, too.
    #[must_use]
    pub fn gain(self, h: f64) -> f64 {
        if self == Self::Heun { 1.0 - h / 2.0 } else { 1.0 }
    }
}

/// A fixed-step method with its buffers: a step allocates nothing.
pub struct FixedStep<T: Scalar> {
    method: Method,
    /// h/τ, or e^{−h/τ} for the exponential method.
    factor: Leak<T>,
    stage: Vec<T>,
    slopes: [Vec<T>; 2],
}

impl<T: Scalar> FixedStep<T> {
    /// Buffers for a state of `len` numbers, with steps of `step` nominal τ.
    #[must_use]
    pub fn new(method: Method, step: f64, leak: &Leak<T>, len: usize) -> Self {
        let stages = match method {
            Method::Map | Method::Euler | Method::ExponentialEuler => [0, 0, 0],
            Method::Heun => [len, len, 0],
            Method::Rk4 => [len, len, len],
        };
        let h = T::of(step);
        let factor = match method {
            Method::ExponentialEuler => leak.map(|rate| (-(h * rate)).exp()),
            _ => leak.map(|rate| h * rate),
        };
        let zeros = |n: usize| vec![T::zero(); n];
        Self { method, factor, stage: zeros(stages[0]), slopes: [zeros(stages[1]), zeros(stages[2])] }
    }

    fn heun(&mut self, field: &mut dyn VectorField<T>, tick: u64, s: &mut [T], g: &[T], kick: Option<&[T]>) {
        let Self { factor, stage, slopes: [end, _], .. } = self;
        stage.copy_from_slice(s);
        each(factor, stage, g, |f, s, g| *s += f * (g - *s));
        add(stage, kick);
        field.target(Time { tick, fraction: 1.0 }, stage, end);
        let half = T::of(0.5);
        // s + h/2 (k₁ + k₂) + kick, with k₂ taken at the predicted state that `stage` holds.
        each(factor, stage, end, |f, p, g| *p = half * f * (g - *p));
        each(factor, s, g, |f, s, g| *s += half * f * (g - *s));
        for (s, d) in s.iter_mut().zip(stage.iter()) {
            *s += *d;
        }
        add(s, kick);
    }

    fn rk4(&mut self, field: &mut dyn VectorField<T>, tick: u64, s: &mut [T], g: &[T]) {
        let Self { factor, stage, slopes: [target, sum], .. } = self;
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
    }
}

impl<T: Scalar> Integrator<T> for FixedStep<T> {
    fn lost(&self, h: f64) -> f64 {
        self.method.lost(h)
    }

    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        state: &mut Vec<T>,
        target: &mut Vec<T>,
        kick: Option<&[T]>,
    ) -> Result<()> {
        match self.method {
            Method::Map => {
                std::mem::swap(state, target);
                add(state, kick);
            }
            Method::Euler => {
                each(&self.factor, state, target, |f, s, g| *s += f * (g - *s));
                add(state, kick);
            }
            Method::ExponentialEuler => {
                each(&self.factor, state, target, |decay, s, g| *s = g + decay * (*s - g));
                add(state, kick);
            }
            Method::Heun => self.heun(field, tick, state, target, kick),
            Method::Rk4 => self.rk4(field, tick, state, target),
        }
        Ok(())
    }
}

fn add<T: Scalar>(s: &mut [T], kick: Option<&[T]>) {
    for (s, k) in s.iter_mut().zip(kick.into_iter().flatten()) {
        *s += *k;
    }
}

/// f(factor, a, b) for every element, with a fast path where the factor is the same everywhere.
#[inline(always)]
fn each<T: Scalar>(factor: &Leak<T>, a: &mut [T], b: &[T], f: impl Fn(T, &mut T, T)) {
    match factor {
        Leak::Uniform(factor) => {
            for (a, b) in a.iter_mut().zip(b) {
                f(*factor, a, *b);
            }
        }
        Leak::PerElement(factors) => {
            for ((a, b), factor) in a.iter_mut().zip(b).zip(factors) {
                f(*factor, a, *b);
            }
        }
    }
}
