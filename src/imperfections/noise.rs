//! Noise on the neurons' state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::integrators::{IntegratorSpec, Leak, Method};
use crate::rng::NoiseKey;
use crate::scalar::Scalar;
use crate::substrate::effective::Form;
use crate::substrate::state::StateShape;

/// Noise on the neurons' state. Draws are keyed by seed, update, sample, neuron, rail and step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StateNoise {
    /// White noise on the potential, √(2/τ)·σ dW.
    White {
        /// σ: the standard deviation that an isolated neuron's potential has in its stationary state, on each noisy rail.
        std: f64,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
    /// Noise on the pre-activation, drawn at every step and held through it (paper 1's, with the discrete map).
    Held {
        /// Standard deviation of a draw.
        std: f64,
        /// Whether all samples of a batch see the same draw, as in the papers' code.
        #[serde(default)]
        shared: bool,
        /// Which rails carry it.
        #[serde(default = "Rails::real")]
        rails: Rails,
    },
}

/// Which rails of a complex state carry noise. A real state has the real rail only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rails {
    /// Both, with independent draws.
    #[default]
    Independent,
    /// Both, with the same draw.
    Equal,
    /// The real rail alone.
    Real,
}

impl Rails {
    fn real() -> Self {
        Self::Real
    }
}

impl StateNoise {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        match self {
            Self::White { std, .. } => non_negative("white.std", std),
            Self::Held { std, .. } => non_negative("held.std", std),
        }
    }

    /// Checks that an integrator can carry this noise.
    ///
    /// # Errors
    /// The reason why it cannot; the path is the caller's.
    pub fn check(self, integrator: IntegratorSpec, form: Form) -> Result<(), Invalid> {
        let refuse = |found: &str, legal: &str| Err(Invalid::new("", found, legal));
        match (self, integrator.method()) {
            (Self::White { .. }, _) if form == Form::Rate => refuse(
                "found white noise with the rate form",
                "white noise inside an activation has no continuous-time limit: use the potential form, or `held` noise",
            ),
            (Self::White { .. }, None) => refuse(
                "found white noise with an adaptive integrator",
                "error control assumes a smooth path: use euler, heun or exponential_euler",
            ),
            (Self::White { .. }, Some(Method::Rk4)) => refuse(
                "found white noise with rk4",
                "its order is lost with noise: use heun (weak order 2), euler or exponential_euler",
            ),
            (Self::White { .. }, Some(Method::Map)) => refuse(
                "found white noise with the discrete map",
                "the map has no step that could shrink: use `held` noise, or euler",
            ),
            (Self::Held { .. }, None) => refuse(
                "found held noise with an adaptive integrator",
                "its steps are the lock-in's samples, not the noise's: use a fixed-step integrator",
            ),
            _ => Ok(()),
        }
    }
}

/// Held noise, bound to its random stream.
#[derive(Debug, Clone, Copy)]
pub struct HeldNoise {
    /// The stream.
    pub key: NoiseKey,
    /// Standard deviation.
    pub std: f64,
    /// Whether all samples share the draw.
    pub shared: bool,
    /// Which rails.
    pub rails: Rails,
    /// Place of the first sample in its batch.
    pub first: usize,
}

impl HeldNoise {
    /// Fills `out`, laid out as the state, for the step at `tick`.
    pub fn draw<T: Scalar>(&self, tick: u64, shape: &StateShape, out: &mut [T]) {
        let place = |sample: usize| if self.shared { 0 } else { self.first + sample };
        fill(&self.key, self.rails, tick, shape, place, out);
        let std = T::of(self.std);
        for value in out {
            *value *= std;
        }
    }
}

/// White noise as the additive increment of each step.
pub struct WhiteNoise<T: Scalar> {
    key: NoiseKey,
    rails: Rails,
    first: usize,
    /// Standard deviation of an element's increment.
    std: Leak<T>,
    increment: Vec<T>,
}

impl<T: Scalar> WhiteNoise<T> {
    /// Increments for a method and step: σ√(2h/τ), or σ√(1 − e^{−2h/τ}) where the leak is solved exactly.
    #[must_use]
    pub fn new(
        key: NoiseKey,
        (std, rails): (f64, Rails),
        first: usize,
        (method, step): (Method, f64),
        leak: &Leak<T>,
        len: usize,
    ) -> Self {
        let scale = |rate: T| {
            let twice = 2.0 * step * rate.double();
            let variance = if method == Method::ExponentialEuler { -(-twice).exp_m1() } else { twice };
            T::of(std * variance.sqrt())
        };
        Self { key, rails, first, std: leak.map(scale), increment: vec![T::zero(); len] }
    }

    /// The increment of the step at `tick`, laid out as the state.
    pub fn draw(&mut self, tick: u64, shape: &StateShape) -> &[T] {
        fill(&self.key, self.rails, tick, shape, |sample| self.first + sample, &mut self.increment);
        match &self.std {
            Leak::Uniform(std) => self.increment.iter_mut().for_each(|x| *x *= *std),
            Leak::PerElement(stds) => self.increment.iter_mut().zip(stds).for_each(|(x, std)| *x *= *std),
        }
        &self.increment
    }
}

/// Unit normals for every element. A draw's lane names layer, rail and sample, so it does not depend on how a batch was cut.
fn fill<T: Scalar>(
    key: &NoiseKey,
    rails: Rails,
    tick: u64,
    shape: &StateShape,
    place: impl Fn(usize) -> usize,
    out: &mut [T],
) {
    const SAMPLES: u64 = 1 << 20;
    for layer in 0..shape.layers() {
        for sample in 0..shape.batch {
            let lane = |rail: u64| (2 * layer as u64 + rail) * SAMPLES + place(sample) as u64;
            let real = shape.column(layer, 0, sample);
            key.normals(tick, lane(0), &mut out[real.clone()]);
            if shape.rails == 1 {
                continue;
            }
            let imaginary = shape.column(layer, 1, sample);
            match rails {
                Rails::Independent => key.normals(tick, lane(1), &mut out[imaginary]),
                Rails::Equal => out.copy_within(real, imaginary.start),
                Rails::Real => out[imaginary].fill(T::zero()),
            }
        }
    }
}
