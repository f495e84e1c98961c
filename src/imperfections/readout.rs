//! Read-out: what stands between the neurons and the lock-in's accumulators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::view::View;

/// The read-out of rates and output error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadOut {
    /// Converter on every sample that the lock-in takes.
    #[serde(default)]
    pub adc: Option<Adc>,
    /// Angle, in radians, by which the lock-in's reference is ahead of the drive: it mixes sin φ of the quadrature into the
    /// gradient.
    #[serde(default)]
    #[schemars(range(min = -std::f64::consts::PI, max = std::f64::consts::PI))]
    pub phase_error: f64,
    /// Standard deviation, over neurons and rails, of the offset in front of the converter; drawn once per device.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub offset_std: f64,
}

/// An analog-to-digital converter: 2^bits levels evenly over its range, ends included, saturating.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adc {
    /// Resolution in bits: every rate is rounded to one of 2^bits levels.
    #[schemars(range(min = 1, max = 24))]
    pub bits: u32,
    /// Lowest and highest rate on the real rail. The imaginary rail, which has no rest value, uses the same span around zero;
    /// the output error ± the span.
    pub range: [f64; 2],
}

impl ReadOut {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        non_negative("offset_std", self.offset_std)?;
        if !self.phase_error.is_finite() || self.phase_error.abs() > std::f64::consts::PI {
            let found = format!("found {}", self.phase_error);
            return Err(Invalid::new("phase_error", found, "radians between -pi and pi"));
        }
        let Some(Adc { bits, range: [low, high] }) = self.adc else { return Ok(()) };
        if !(1..=24).contains(&bits) {
            return Err(Invalid::new("adc.bits", format!("found {bits}"), "1 to 24 bits"));
        }
        if !(low.is_finite() && high.is_finite() && low < high) {
            let found = format!("found [{low}, {high}]");
            return Err(Invalid::new("adc.range", found, "two finite numbers, the lower first"));
        }
        Ok(())
    }
}

/// A read-out bound to a batch: samples and holds what the lock-in then sees.
#[derive(Debug, Clone)]
pub struct Converter<T: Scalar> {
    adc: Option<Adc>,
    rate_offsets: Vec<T>,
    error_offsets: Vec<T>,
    rates: Vec<T>,
    output_error: Vec<T>,
}

impl<T: Scalar> Converter<T> {
    /// Buffers for a batch; `outputs` is the number of outputs of the cost. A read-out that distorts nothing needs none.
    #[must_use]
    pub fn new(readout: &ReadOut, device_seed: u64, shape: &StateShape, outputs: usize) -> Option<Self> {
        if readout.adc.is_none() && readout.offset_std == 0.0 {
            return None;
        }
        let key = NoiseKey::new(device_seed, Purpose::ReadOut, 0);
        let errors = StateShape::block(outputs, shape.batch, shape.rails);
        let offsets = |shape: &StateShape, lane: u64| {
            let mut offsets = vec![T::zero(); shape.len()];
            for layer in 0..shape.layers() {
                let mut drawn = vec![0.0_f64; shape.size(layer)];
                for rail in 0..shape.rails {
                    key.normals(0, lane + 2 * layer as u64 + rail as u64, &mut drawn);
                    for sample in 0..shape.batch {
                        let column = &mut offsets[shape.column(layer, rail, sample)];
                        let pairs = column.iter_mut().zip(&drawn);
                        pairs.for_each(|(o, z)| *o = T::of(readout.offset_std * z));
                    }
                }
            }
            offsets
        };
        Some(Self {
            adc: readout.adc,
            rate_offsets: offsets(shape, 0),
            error_offsets: offsets(&errors, 2 * shape.layers() as u64),
            rates: vec![T::zero(); shape.len()],
            output_error: vec![T::zero(); errors.len()],
        })
    }

    /// What the lock-in sees of a view; the integrated variable is not read out.
    pub fn sample<'a>(&'a mut self, view: &View<'a, T>) -> View<'a, T> {
        add(view.rates, &self.rate_offsets, &mut self.rates);
        add(view.output_error, &self.error_offsets, &mut self.output_error);
        if let Some(Adc { bits, range: [low, high] }) = self.adc {
            let span = high - low;
            for layer in 0..view.shape.layers() {
                let split = view.shape.real(layer).end;
                quantise(bits, (low, high), &mut self.rates[view.shape.real(layer)]);
                quantise(
                    bits,
                    (-0.5 * span, 0.5 * span),
                    &mut self.rates[split..view.shape.layer(layer).end],
                );
            }
            quantise(bits, (-span, span), &mut self.output_error);
        }
        View { shape: view.shape, state: view.state, rates: &self.rates, output_error: &self.output_error }
    }
}

fn add<T: Scalar>(a: &[T], b: &[T], out: &mut [T]) {
    for (o, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *o = *a + *b;
    }
}

/// Rounds to the nearest of 2^bits levels from `low` to `high`; what is not a number stays so.
fn quantise<T: Scalar>(bits: u32, (low, high): (f64, f64), values: &mut [T]) {
    let steps = f64::from((1_u32 << bits) - 1);
    let (low, per_step, inverse) = (T::of(low), T::of((high - low) / steps), T::of(steps / (high - low)));
    let steps = T::of(steps);
    for x in values {
        let level = ((*x - low) * inverse).round();
        // Comparisons, not `min` and `max`: those would turn a missing number into a level.
        let level = if level < T::zero() {
            T::zero()
        } else if level > steps {
            steps
        } else {
            level
        };
        *x = low + level * per_step;
    }
}
