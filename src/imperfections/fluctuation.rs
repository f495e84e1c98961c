//! Noise that is held through each step of the integrator, with or without memory.

use super::noise::{Noise, Rails, fill};
use crate::rng::NoiseKey;
use crate::scalar::Scalar;
use crate::substrate::state::StateShape;

/// Components of 1/f noise per decade of correlation time: the ripple of the spectrum stays below 0.3 dB.
const PER_DECADE: f64 = 2.0;

/// A slow component of 1/f noise is drawn anew this many times in its correlation time, and held in between.
const UPDATES: f64 = 8.0;

/// A random process for every element of a layout, advanced tick by tick.
#[derive(Debug, Clone)]
pub struct Fluctuation<T: Scalar> {
    key: NoiseKey,
    noise: Noise,
    rails: Rails,
    /// Place of the first sample in its batch.
    first: usize,
    shape: StateShape,
    /// Standard deviation of what is held through a step.
    std: T,
    components: Vec<Component<T>>,
    /// Uniform or normal draws on their way into a component.
    scratch: Vec<T>,
    values: Vec<T>,
}

/// One process with memory, of unit variance.
#[derive(Debug, Clone)]
struct Component<T> {
    /// Correlation or dwell time, in nominal τ.
    time: f64,
    /// Ticks between updates.
    stride: u64,
    /// What is kept of the state, and how much is new: e^{−h/T} and √(1 − e^{−2h/T}); for a telegraph signal the probability
    /// of another level and 0.
    weights: (T, T),
    /// Whether the stationary state has been drawn.
    started: bool,
    state: Vec<T>,
}

impl<T: Scalar> Fluctuation<T> {
    /// The process for `shape`, whose first sample has place `first` in its batch.
    #[must_use]
    pub fn new(noise: Noise, key: NoiseKey, first: usize, shape: &StateShape) -> Self {
        let len = shape.len();
        let times: Vec<f64> = match noise {
            Noise::White { .. } | Noise::Held { .. } => Vec::new(),
            Noise::OrnsteinUhlenbeck { correlation_time, .. } => vec![correlation_time],
            Noise::Telegraph { dwell_time, .. } => vec![dwell_time],
            Noise::OneOverF { shortest, longest, .. } => correlation_times(shortest, longest),
        };
        let component = |time: &f64| Component {
            time: *time,
            stride: 1,
            weights: (T::zero(), T::zero()),
            started: false,
            state: vec![T::zero(); len],
        };
        let components: Vec<Component<T>> = times.iter().map(component).collect();
        let scratch = vec![T::zero(); if components.is_empty() { 0 } else { len }];
        let mut made = Self {
            key,
            noise,
            rails: noise.rails(),
            first,
            shape: shape.clone(),
            std: T::zero(),
            components,
            scratch,
            values: vec![T::zero(); len],
        };
        made.set_step(1.0);
        made
    }

    /// Which rails it acts on.
    #[must_use]
    pub fn rails(&self) -> Rails {
        self.rails
    }

    /// The same process on other rails.
    #[must_use]
    pub fn on(mut self, rails: Rails) -> Self {
        self.rails = rails;
        self
    }

    /// Sets the length of a tick, in nominal τ.
    pub fn set_step(&mut self, step: f64) {
        let std = match self.noise {
            // Held through a step, it kicks a leaky neuron by (h/τ)·σ√(2/h): the increment of Euler–Maruyama.
            Noise::White { std, .. } => std * (2.0 / step).sqrt(),
            Noise::OneOverF { std, .. } => std / (self.components.len() as f64).sqrt(),
            _ => self.noise.std(),
        };
        self.std = T::of(std);
        for component in &mut self.components {
            if let Noise::OneOverF { .. } = self.noise {
                component.stride = ((component.time / (UPDATES * step)) as u64).max(1);
            }
            let elapsed = component.stride as f64 * step / component.time;
            let (keep, fresh) = match self.noise {
                // Two levels, left at rate 1/T each: an odd number of jumps has probability ½(1 − e^{−2h/T}).
                Noise::Telegraph { .. } => (-0.5 * (-2.0 * elapsed).exp_m1(), 0.0),
                _ => ((-elapsed).exp(), (-(-2.0 * elapsed).exp_m1()).sqrt()),
            };
            component.weights = (T::of(keep), T::of(fresh));
        }
    }

    /// Values for the step that begins at `tick`, laid out as the shape. Ticks are visited in order.
    pub fn advance(&mut self, tick: u64) -> &[T] {
        let Self { key, noise, rails, first, shape, std, components, scratch, values } = self;
        let shared = matches!(noise, Noise::Held { shared: true, .. });
        let place = |sample: usize| if shared { 0 } else { *first + sample };
        let normals = |lane: u64, column: &mut [T]| key.normals(tick, lane, column);
        if components.is_empty() {
            fill(*rails, 0, shape, place, normals, values);
            values.iter_mut().for_each(|x| *x *= *std);
            return values;
        }
        let telegraph = matches!(noise, Noise::Telegraph { .. });
        for (index, component) in components.iter_mut().enumerate() {
            if component.started && tick % component.stride != 0 {
                continue;
            }
            if telegraph {
                let uniforms = |lane: u64, column: &mut [T]| key.uniforms(tick, lane, column);
                fill(*rails, index, shape, place, uniforms, scratch);
                component.jump(scratch);
                if !component.started && *rails == Rails::Real {
                    silence_imaginary(shape, &mut component.state);
                }
            } else {
                fill(*rails, index, shape, place, normals, scratch);
                component.relax(scratch);
            }
            component.started = true;
        }
        if let [component] = components.as_slice() {
            values.iter_mut().zip(&component.state).for_each(|(x, state)| *x = *std * *state);
        } else {
            values.fill(T::zero());
            for component in components {
                values.iter_mut().zip(&component.state).for_each(|(x, state)| *x += *std * *state);
            }
        }
        values
    }

    /// The values of the tick that was last advanced to.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: Scalar> Component<T> {
    fn relax(&mut self, normals: &[T]) {
        if !self.started {
            self.state.copy_from_slice(normals);
            return;
        }
        let (keep, fresh) = self.weights;
        for (x, z) in self.state.iter_mut().zip(normals) {
            *x = keep * *x + fresh * *z;
        }
    }

    fn jump(&mut self, uniforms: &[T]) {
        let (half, one, chance) = (T::of(0.5), T::one(), self.weights.0);
        for (x, u) in self.state.iter_mut().zip(uniforms) {
            if self.started {
                *x = if *u < chance { -*x } else { *x };
            } else {
                *x = if *u < half { one } else { -one };
            }
        }
    }
}

fn silence_imaginary<T: Scalar>(shape: &StateShape, state: &mut [T]) {
    for layer in 0..shape.layers() {
        state[shape.real(layer).end..shape.layer(layer).end].fill(T::zero());
    }
}

/// Correlation times of 1/f noise, evenly spaced in their logarithm.
fn correlation_times(shortest: f64, longest: f64) -> Vec<f64> {
    let intervals = ((longest / shortest).log10() * PER_DECADE).round().max(1.0);
    let ratio = (longest / shortest).powf(1.0 / intervals);
    (0..=intervals as i32).map(|i| shortest * ratio.powi(i)).collect()
}
