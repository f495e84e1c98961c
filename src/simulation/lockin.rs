//! The lock-in: Fourier coefficients of what a neuron or a synapse sees, accumulated while time passes.

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::View;
use crate::error::{Invalid, positive};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::Substrate;
use crate::substrate::parameters::Parameters;

/// Looks at the substrate while it runs.
pub trait Observer<T: Scalar> {
    /// Whether this tick is of interest.
    fn wants(&self, tick: u64) -> bool;

    /// Takes in a tick that is.
    fn observe(&mut self, tick: u64, view: &View<'_, T>);

    /// The same as weighted sums, where that is all that it does.
    fn sums(&mut self) -> Option<&mut dyn Sums<T>> {
        None
    }
}

/// An observer that adds up rates and output errors, each tick with weights of its own.
pub trait Sums<T: Scalar> {
    /// Number of sums.
    fn count(&self) -> usize;

    /// Writes the weight of a tick that it wants in each sum.
    fn weigh(&self, tick: u64, weights: &mut [Complex<f64>]);

    /// Takes in what somebody else has summed: for each sum the rates, laid out as a complex state, and the output errors, [outputs ×
    /// 2·batch].
    fn add(&mut self, sums: &[(Vec<T>, Vec<T>)]);
}

/// How the record is weighted before its Fourier coefficients are taken.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// The plain mean over whole periods: blind to every other harmonic.
    #[default]
    Boxcar,
    /// What an RC low pass of several poles behind the demodulator shows at the end of the record.
    LowPass {
        /// Number of poles.
        #[schemars(range(min = 1, max = 8))]
        poles: u32,
        /// Time constant of each pole, in τ, from 0.01 sample intervals to 1e12 records.
        #[schemars(extend("exclusiveMinimum" = 0))]
        time_constant: f64,
    },
}

impl Window {
    /// Checks the numbers, for a record of `count` samples that are `interval` τ apart.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self, count: u64, interval: f64) -> Result<(), Invalid> {
        let Self::LowPass { poles, time_constant } = self else { return Ok(()) };
        if !(1..=8).contains(&poles) {
            return Err(Invalid::new("low_pass.poles", format!("found {poles}"), "1 to 8 poles"));
        }
        positive("low_pass.time_constant", time_constant)?;
        // Beyond, every weight may be too small for a number.
        let (least, most) = (0.01 * interval, 1e12 * count as f64 * interval);
        if !(least..=most).contains(&time_constant) {
            let found = format!("found {time_constant:e} with a sample each {interval} tau");
            return Err(Invalid::new("low_pass.time_constant", found, format!("{least:e} to {most:e} tau")));
        }
        Ok(())
    }

    /// The weight of each of `count` samples, `interval` τ apart, oldest first; they sum to one.
    #[must_use]
    pub fn weights(self, count: usize, interval: f64) -> Vec<f64> {
        let raw: Vec<f64> = match self {
            Self::Boxcar => vec![1.0; count],
            Self::LowPass { poles, time_constant } => {
                // Impulse response of n equal poles: t^{n−1} e^{−t/T}, t the age of the sample.
                let age = |i: usize| (count - i) as f64 * interval / time_constant;
                (0..count).map(|i| age(i).powi(poles as i32 - 1) * (-age(i)).exp()).collect()
            }
        };
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|w| w / sum).collect()
    }
}

/// Most samples that one record may have: the weight of each is held in memory.
const MOST_SAMPLES: f64 = 2e7;

/// Checks the length of a record of `periods`, each of `per_period` samples.
///
/// # Errors
/// The finding, at `path`.
pub fn check_length(path: &str, periods: f64, per_period: f64) -> Result<(), Invalid> {
    if periods * per_period <= MOST_SAMPLES {
        return Ok(());
    }
    let found = format!("found a record of {periods} periods of {per_period} samples");
    Err(Invalid::new(path, found, format!("at most {MOST_SAMPLES:e} samples in all")))
}

/// Which ticks are demodulated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// First tick.
    pub start: u64,
    /// Ticks between samples.
    pub stride: u64,
    /// Samples in a period.
    pub samples_per_period: u64,
    /// Weight of each sample; they sum to one.
    pub weights: Vec<f64>,
}

impl Record {
    fn index(&self, tick: u64) -> Option<usize> {
        let since = tick.checked_sub(self.start)?;
        let index = usize::try_from(since / self.stride).ok()?;
        (since % self.stride == 0 && index < self.weights.len()).then_some(index)
    }

    /// weight · e^{−ik(ωt + φ)} of a sample, phase exact modulo the period; φ is the error of the reference.
    fn demodulator(&self, index: usize, harmonic: i64, error: f64) -> (f64, f64) {
        let period = self.samples_per_period as i64;
        let phase = (index as i64 % period) * harmonic % period;
        let angle = std::f64::consts::TAU * phase as f64 / period as f64 + harmonic as f64 * error;
        (self.weights[index] * angle.cos(), -self.weights[index] * angle.sin())
    }
}

/// Fourier coefficients of every neuron's rate and of the output error.
pub struct LockIn<T: Scalar> {
    record: Record,
    phase_error: f64,
    complex: StateShape,
    coefficients: Vec<Coefficient<T>>,
}

/// One Fourier coefficient of the rates and of the output error; complex, planar.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficient<T> {
    /// Which harmonic.
    pub harmonic: i64,
    /// c_k of the rates, laid out as a complex state.
    pub rates: Vec<T>,
    /// c_k of the output error, [outputs × 2·batch].
    pub output_error: Vec<T>,
}

impl<T: Scalar> LockIn<T> {
    /// Accumulators for the given harmonics.
    #[must_use]
    pub fn new(record: Record, harmonics: &[i64], outputs: usize, shape: &StateShape) -> Self {
        let complex = shape.with_rails(2);
        let outputs = outputs * complex.columns();
        let coefficient = |&harmonic| Coefficient {
            harmonic,
            rates: vec![T::zero(); complex.len()],
            output_error: vec![T::zero(); outputs],
        };
        let coefficients = harmonics.iter().map(coefficient).collect();
        Self { record, phase_error: 0.0, coefficients, complex }
    }

    /// The same lock-in with a reference that is ahead of the drive by `radians`.
    #[must_use]
    pub fn with_phase_error(self, radians: f64) -> Self {
        Self { phase_error: radians, ..self }
    }

    /// The coefficient of a harmonic that was asked for.
    #[must_use]
    pub fn coefficient(&self, harmonic: i64) -> Option<&Coefficient<T>> {
        self.coefficients.iter().find(|c| c.harmonic == harmonic)
    }
}

impl<T: Scalar> Observer<T> for LockIn<T> {
    fn wants(&self, tick: u64) -> bool {
        self.record.index(tick).is_some()
    }

    fn observe(&mut self, tick: u64, view: &View<'_, T>) {
        let Some(index) = self.record.index(tick) else { return };
        let Self { complex, record, phase_error, coefficients } = self;
        debug_assert_eq!(view.shape.batch, complex.batch);
        for coefficient in coefficients {
            let w = record.demodulator(index, coefficient.harmonic, *phase_error);
            for layer in 0..complex.layers() {
                let sums = &mut coefficient.rates[complex.layer(layer)];
                accumulate(w, &view.rates[view.shape.layer(layer)], view.shape.rails, sums);
            }
            accumulate(w, view.output_error, view.shape.rails, &mut coefficient.output_error);
        }
    }

    fn sums(&mut self) -> Option<&mut dyn Sums<T>> {
        Some(self)
    }
}

impl<T: Scalar> Sums<T> for LockIn<T> {
    fn count(&self) -> usize {
        self.coefficients.len()
    }

    fn weigh(&self, tick: u64, weights: &mut [Complex<f64>]) {
        let Some(index) = self.record.index(tick) else { return };
        for (weight, coefficient) in weights.iter_mut().zip(&self.coefficients) {
            let (re, im) = self.record.demodulator(index, coefficient.harmonic, self.phase_error);
            *weight = Complex::new(re, im);
        }
    }

    fn add(&mut self, sums: &[(Vec<T>, Vec<T>)]) {
        for (coefficient, (rates, output_error)) in self.coefficients.iter_mut().zip(sums) {
            coefficient.rates.iter_mut().zip(rates).for_each(|(sum, part)| *sum += *part);
            coefficient.output_error.iter_mut().zip(output_error).for_each(|(sum, part)| *sum += *part);
        }
    }
}

/// sums += w · values, complex; values have one rail or two.
fn accumulate<T: Scalar>((w_re, w_im): (f64, f64), values: &[T], rails: usize, sums: &mut [T]) {
    let (w_re, w_im) = (T::of(w_re), T::of(w_im));
    let half = sums.len() / 2;
    let (sum_re, sum_im) = sums.split_at_mut(half);
    if rails == 1 {
        for ((re, im), a) in sum_re.iter_mut().zip(sum_im).zip(values) {
            *re += w_re * *a;
            *im += w_im * *a;
        }
        return;
    }
    let (a_re, a_im) = values.split_at(half);
    for (((re, im), a), b) in sum_re.iter_mut().zip(sum_im).zip(a_re).zip(a_im) {
        *re += w_re * *a - w_im * *b;
        *im += w_re * *b + w_im * *a;
    }
}

/// sum += w · values, both laid out as a complex `shape`.
pub(crate) fn add_product<T: Scalar>(shape: &StateShape, w: Complex<f64>, values: &[T], sum: &mut [T]) {
    for range in (0..shape.layers()).map(|layer| shape.layer(layer)) {
        accumulate((w.re, w.im), &values[range.clone()], 2, &mut sum[range]);
    }
}

/// What a multiplier at each parameter measures: −Re c₁ of the product that it sees and, of the read-out, Re c₀, summed over the batch.
/// O(n²) where the neuron's read-out costs O(n).
pub struct SynapseLockIn<'a, T: Scalar> {
    substrate: &'a dyn Substrate<T>,
    record: Record,
    amplitude: f64,
    phase_error: f64,
    sums: Parameters<T>,
    scratch: Vec<T>,
}

impl<'a, T: Scalar> SynapseLockIn<'a, T> {
    /// Accumulators for every parameter that has a multiplier, under a drive of that amplitude.
    #[must_use]
    pub fn new(record: Record, amplitude: f64, substrate: &'a dyn Substrate<T>) -> Self {
        let sums = Parameters::zeros(substrate.parameters());
        Self { substrate, record, amplitude, phase_error: 0.0, sums, scratch: Vec::new() }
    }

    /// The same lock-in with a reference that is ahead of the drive by `radians`.
    #[must_use]
    pub fn with_phase_error(self, radians: f64) -> Self {
        Self { phase_error: radians, ..self }
    }

    /// The gradient as measured, summed over the batch; zero where there is no multiplier.
    #[must_use]
    pub fn sums(&self) -> &Parameters<T> {
        &self.sums
    }
}

impl<T: Scalar> Observer<T> for SynapseLockIn<'_, T> {
    fn wants(&self, tick: u64) -> bool {
        self.record.index(tick).is_some()
    }

    fn observe(&mut self, tick: u64, view: &View<'_, T>) {
        let Some(index) = self.record.index(tick) else { return };
        let Self { substrate, record, amplitude, phase_error, sums, scratch } = self;
        let (re, im) = record.demodulator(index, 1, *phase_error);
        let first = Complex::new(re, im) / *amplitude;
        substrate.add_products(view.shape, view.rates, first, sums, scratch);
        let (weight, _) = record.demodulator(index, 0, 0.0);
        substrate.add_readout(view.shape, (view.rates, view.output_error), weight, sums, scratch);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use rustfft::FftPlanner;

    use super::*;
    use crate::numerics::rng::{NoiseKey, Purpose};
    use crate::substrate::neurons::model::ModelSpec;
    use crate::substrate::neurons::network::Network;

    fn network() -> Network {
        let model: ModelSpec = serde_json::from_value(serde_json::json!({
            "name": "two", "input": 1, "activation": "tanh",
            "layers": [{ "name": "a", "size": 3 }, { "name": "b", "size": 2 }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
            "readout": { "from": "b", "classes": 4 } }))
        .unwrap();
        Network::new(&model).unwrap()
    }

    /// A record of random rates and output errors, [tick][element].
    fn random_record(len: usize, ticks: u64, lane: u64) -> Vec<Vec<f64>> {
        let key = NoiseKey::new(5, Purpose::Data, 0);
        let draw = |tick| {
            let mut values = vec![0.0; len];
            key.normals(tick, lane, &mut values);
            values
        };
        (0..ticks).map(draw).collect()
    }

    /// (real, imaginary) places of every element of a block of `len` numbers that begins at `start`.
    fn places(start: usize, len: usize, rails: usize) -> Vec<(usize, Option<usize>)> {
        let half = len / rails;
        (start..start + half).map(|i| (i, (rails == 2).then_some(i + half))).collect()
    }

    #[test]
    fn the_coefficients_are_those_of_a_fast_fourier_transform() {
        let (network, batch, ticks) = (network(), 2, 12_usize);
        for rails in [1, 2] {
            let shape = StateShape::new(&network, batch, rails);
            let outputs = network.output.size() * shape.columns();
            // The record begins late, and takes every third tick of two periods.
            let (start, stride) = (5, 3);
            let record = Record {
                start,
                stride,
                samples_per_period: ticks as u64,
                weights: Window::Boxcar.weights(2 * ticks, 1.0),
            };
            let harmonics: Vec<i64> = (-6..=6).collect();
            let mut lockin = LockIn::<f64>::new(record, &harmonics, network.output.size(), &shape);
            let rates = random_record(shape.len(), ticks as u64, 0);
            let errors = random_record(outputs, ticks as u64, 1);
            for tick in 0..start + 3 * stride * ticks as u64 {
                // Two periods alike; what lies between and beyond the samples must not be seen.
                let since = tick.wrapping_sub(start);
                let on = tick >= start && since % stride == 0 && since / stride < 2 * ticks as u64;
                assert_eq!(lockin.wants(tick), on);
                let sample = (since / stride) as usize % ticks;
                let poison = (vec![f64::NAN; shape.len()], vec![f64::NAN; outputs]);
                let (rates, output_error) =
                    if on { (&rates[sample], &errors[sample]) } else { (&poison.0, &poison.1) };
                lockin.observe(tick, &View { shape: &shape, state: rates, rates, output_error });
            }
            let fft = FftPlanner::new().plan_fft_forward(ticks);
            let transform = |record: &[Vec<f64>], (re, im): (usize, Option<usize>)| {
                let mut course: Vec<Complex<f64>> =
                    record.iter().map(|v| Complex::new(v[re], im.map_or(0.0, |i| v[i]))).collect();
                fft.process(&mut course);
                course
            };
            let complex = shape.with_rails(2);
            for &k in &harmonics {
                let coefficient = lockin.coefficient(k).unwrap();
                let bin = k.rem_euclid(ticks as i64) as usize;
                let check = |record: &[Vec<f64>],
                             from: Vec<_>,
                             to: Vec<(usize, Option<usize>)>,
                             ours: &[f64]| {
                    for (source, (re, im)) in from.into_iter().zip(to) {
                        let expected = transform(record, source)[bin] / ticks as f64;
                        let found = Complex::new(ours[re], ours[im.unwrap()]);
                        assert!((found - expected).norm() < 1e-14, "harmonic {k}: {found}, not {expected}");
                    }
                };
                for layer in 0..2 {
                    let block = |shape: &StateShape| {
                        let range = shape.layer(layer);
                        places(range.start, range.len(), shape.rails)
                    };
                    check(&rates, block(&shape), block(&complex), &coefficient.rates);
                }
                let ours = &coefficient.output_error;
                check(&errors, places(0, outputs, rails), places(0, ours.len(), 2), ours);
            }
            assert!(lockin.coefficient(7).is_none());
        }
    }

    #[test]
    fn a_boxcar_over_whole_periods_is_blind_to_other_harmonics() {
        for (per_period, periods) in [(8_u64, 1_u64), (37, 3)] {
            let record = Record {
                start: 0,
                stride: 1,
                samples_per_period: per_period,
                weights: Window::Boxcar.weights((per_period * periods) as usize, 0.25),
            };
            for asked in [-1_i64, 0, 1, 2] {
                for present in -3_i64..=3 {
                    let sum: Complex<f64> = (0..record.weights.len())
                        .map(|i| {
                            let (re, im) = record.demodulator(i, asked, 0.0);
                            Complex::new(re, im)
                                * Complex::cis(TAU * present as f64 * i as f64 / per_period as f64)
                        })
                        .sum();
                    let expected = f64::from(u8::from(asked == present));
                    assert!((sum - expected).norm() < 1e-14, "{asked} sees {present}: {sum}");
                }
            }
        }
    }

    /// The output of `poles` equal RC stages in a row, T dy_k/dt = y_{k−1} − y_k from rest, driven by `input` for `span`.
    fn cascade(poles: usize, time_constant: f64, span: f64, steps: usize, input: impl Fn(f64) -> f64) -> f64 {
        let h = span / steps as f64;
        let slope = |y: &[f64], x: f64| -> Vec<f64> {
            (0..poles).map(|k| (if k == 0 { x } else { y[k - 1] } - y[k]) / time_constant).collect()
        };
        let moved =
            |y: &[f64], k: &[f64], by: f64| y.iter().zip(k).map(|(y, k)| y + by * k).collect::<Vec<_>>();
        let mut y = vec![0.0; poles];
        for step in 0..steps {
            let t = step as f64 * h;
            let k1 = slope(&y, input(t));
            let k2 = slope(&moved(&y, &k1, 0.5 * h), input(t + 0.5 * h));
            let k3 = slope(&moved(&y, &k2, 0.5 * h), input(t + 0.5 * h));
            let k4 = slope(&moved(&y, &k3, h), input(t + h));
            for (y, ((a, b), (c, d))) in y.iter_mut().zip(k1.iter().zip(&k2).zip(k3.iter().zip(&k4))) {
                *y += h / 6.0 * (a + 2.0 * b + 2.0 * c + d);
            }
        }
        y[poles - 1]
    }

    #[test]
    fn a_low_pass_weighs_as_a_cascade_of_rc_stages_does() {
        // The sum over samples is a rectangle rule: it meets the cascade up to the samples' interval over T.
        let (time_constant, count) = (7.0, 400_usize);
        let signal = |t: f64| 0.4 + (0.31 * t).sin() + 0.5 * (1.7 * t + 0.4).cos();
        for poles in [1_u32, 2, 4] {
            let off = |interval: f64| {
                let count = (count as f64 * 0.1 / interval).round() as usize;
                let span = count as f64 * interval;
                let weights = Window::LowPass { poles, time_constant }.weights(count, interval);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-13);
                let summed: f64 =
                    weights.iter().enumerate().map(|(i, w)| w * signal(i as f64 * interval)).sum();
                let stages =
                    |input: &dyn Fn(f64) -> f64| cascade(poles as usize, time_constant, span, 4000, input);
                // From rest the cascade has not yet seen all of a constant: the weights are relative to what it has.
                (summed - stages(&signal) / stages(&|_| 1.0)).abs()
            };
            let [coarse, fine] = [0.1, 0.05].map(off);
            assert!(coarse < 0.1 / time_constant, "{poles} poles: {coarse:e}");
            assert!(fine < 0.6 * coarse, "{poles} poles: {coarse:e}, then {fine:e} at half the interval");
        }
    }

    #[test]
    fn more_poles_are_blinder_to_other_harmonics() {
        let leak = |window: Window| {
            let weights = window.weights(400, 0.1);
            let sum: Complex<f64> =
                weights.iter().enumerate().map(|(i, w)| Complex::cis(TAU * i as f64 / 20.0) * w).sum();
            sum.norm()
        };
        let [one, two, four] = [1, 2, 4].map(|poles| leak(Window::LowPass { poles, time_constant: 2.0 }));
        assert!(one > 3.0 * two && two > 10.0 * four, "{one}, {two}, {four}");
        assert!(leak(Window::Boxcar) < 1e-14);
    }
}
