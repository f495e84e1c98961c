//! Explicit fixed-step integrators that take random increments.

use super::{Integrator, Leak, VectorField};
use crate::error::Result;
use crate::imperfections::noise::Rails;
use crate::numerics::rng::NoiseKey;
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// The fixed-step methods that additive white noise does not rob of their order, with their order for smooth systems and, with noise,
/// their strong and weak order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// s ← G(s): the papers' discrete map, one Euler step of h = τ.
    Map,
    /// Order 1; with noise Euler–Maruyama, strong order 1 and weak order 1.
    Euler,
    /// Order 2; with noise the stochastic Heun method, strong order 1 and weak order 2.
    Heun,
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
    end: Vec<T>,
    kicks: Option<Box<dyn Kicks<T>>>,
}

/// Where additive random increments of the state come from.
pub trait Kicks<T: Scalar> {
    /// The increment of the step at `tick`, laid out as the state.
    fn draw(&mut self, tick: u64) -> &[T];

    /// What is drawn, where it is white noise.
    fn white(&self) -> Option<White<'_, T>> {
        None
    }
}

/// White noise that is added after each step.
#[derive(Debug, Clone, Copy)]
pub struct White<'a, T> {
    /// Key of the draws, whose lane names layer, rail and sample.
    pub key: NoiseKey,
    /// Which rails carry it: both with draws of their own, both with the same, or the real one.
    pub rails: Rails,
    /// Place of the first sample.
    pub first: usize,
    /// Standard deviation of each element.
    pub std: &'a Leak<T>,
}

/// What an explicit method of one evaluation does.
#[derive(Debug, Clone, Copy)]
pub struct Explicit<'a, T> {
    /// Map, Euler or exponential Euler.
    pub method: Method,
    /// h/τ, or e^{−h/τ} for the exponential method.
    pub factor: &'a Leak<T>,
    /// What is added after each step.
    pub white: Option<White<'a, T>>,
}

impl<T: Scalar> FixedStep<T> {
    /// Buffers for a state of `len` numbers, with steps of `step` nominal τ.
    #[must_use]
    pub fn new(method: Method, step: f64, leak: &Leak<T>, len: usize) -> Self {
        let stage = vec![T::zero(); if method == Method::Heun { len } else { 0 }];
        let h = T::of(step);
        let factor = match method {
            Method::ExponentialEuler => leak.map(|rate| (-(h * rate)).exp()),
            _ => leak.map(|rate| h * rate),
        };
        Self { method, factor, end: stage.clone(), stage, kicks: None }
    }

    /// The same with a random increment in each step.
    #[must_use]
    pub fn kicked(self, kicks: impl Kicks<T> + 'static) -> Self {
        Self { kicks: Some(Box::new(kicks)), ..self }
    }

    fn heun(&mut self, field: &mut dyn VectorField<T>, tick: u64, s: &mut [T], g: &[T]) {
        let Self { factor, stage, end, kicks, .. } = self;
        let kick = kicks.as_mut().map(|kicks| kicks.draw(tick));
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
}

impl<T: Scalar> Integrator<T> for FixedStep<T> {
    fn lost(&self, h: f64) -> f64 {
        self.method.lost(h)
    }

    fn explicit(&self) -> Option<Explicit<'_, T>> {
        if self.method == Method::Heun {
            return None;
        }
        let white = match &self.kicks {
            None => None,
            Some(kicks) => Some(kicks.white()?),
        };
        Some(Explicit { method: self.method, factor: &self.factor, white })
    }

    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        state: &mut Vec<T>,
        target: &mut Vec<T>,
    ) -> Result<()> {
        match self.method {
            Method::Map => std::mem::swap(state, target),
            Method::Euler => each(&self.factor, state, target, |f, s, g| *s += f * (g - *s)),
            Method::ExponentialEuler => {
                each(&self.factor, state, target, |decay, s, g| *s = g + decay * (*s - g));
            }
            Method::Heun => {
                self.heun(field, tick, state, target);
                return Ok(());
            }
        }
        add(state, self.kicks.as_mut().map(|kicks| kicks.draw(tick)));
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
pub(super) fn each<T: Scalar>(factor: &Leak<T>, a: &mut [T], b: &[T], f: impl Fn(T, &mut T, T)) {
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
