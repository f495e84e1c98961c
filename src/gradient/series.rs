//! Whether the response is what an estimator takes it for: a power series in β, whose first coefficient does not depend on the
//! amplitude at which it is measured.
//!
//! Three things tell. Negative harmonics, which a power series does not have; harmonics of a real drive that do not decay; and the same
//! estimate at another amplitude, as anyone would try it on hardware. All of them are looked at without noise and with an ideal
//! read-out: noise has diagnostics of its own.

use nalgebra::DMatrix;

use super::{CHUNK, Diagnostics, Estimate, Estimator, Setting, estimate_chunks};
use crate::gradient::compare::compare;
use crate::numerics::scalar::Scalar;
use crate::substrate::Substrate;
use crate::substrate::samples::{SampleView, Samples};

/// Change beyond which an estimate carries a warning: of an error of 5 % that grows with the amplitude, as a one-sided difference's, the
/// other amplitude shows 15/16.
pub(crate) const TOLERATED: f64 = 0.046;
/// The other amplitude, in units of the first: as far below as precision allows.
const RATIOS: std::ops::RangeInclusive<f64> = 1.0 / 16.0..=0.5;
/// Part of the response to the other amplitude that may be imprecise.
const IMPRECISE: f64 = 0.01;
/// Units of rounding, of the largest rate, that a first harmonic may be off by.
const ROUNDING: f64 = 4.0;

/// A batch, the states of its chunks before the estimate and after it.
type Passage<'a, T> = (SampleView<'a, T>, Vec<Vec<T>>, &'a [Vec<T>]);

/// Completes the diagnostics of an estimate by what concerns the series.
pub(super) fn examine<T: Scalar>(
    estimator: &dyn Estimator<T>,
    setting: &Setting<'_, T>,
    (samples, begun, ended): Passage<'_, T>,
    estimate: &mut Estimate<T>,
) {
    let ideal = Setting { noise: None, ..*setting };
    if setting.noise.is_none() {
        let quarter = compare_amplitudes(estimator, &ideal, samples, ended.to_vec(), estimate);
        estimate.diagnostics.adopt(quarter);
        return;
    }
    let mut states = begun;
    let diagnostics = &mut estimate.diagnostics;
    match estimate_chunks(estimator, &ideal, samples, &mut states) {
        Ok(ideal_estimate) => {
            let found = compare_amplitudes(estimator, &ideal, samples, states, &ideal_estimate);
            let ideal = ideal_estimate.diagnostics;
            diagnostics.negative_share = ideal.negative_share;
            diagnostics.last_harmonic = ideal.last_harmonic;
            diagnostics.radius_of_convergence = ideal.radius_of_convergence;
            diagnostics.adopt(found);
        }
        Err(_) => {
            diagnostics.negative_share = None;
            diagnostics.last_harmonic = None;
            diagnostics.radius_of_convergence = None;
        }
    }
}

/// What the comparison of two amplitudes tells: `precision_error` and `amplitude_error`.
fn compare_amplitudes<T: Scalar>(
    estimator: &dyn Estimator<T>,
    setting: &Setting<'_, T>,
    samples: SampleView<'_, T>,
    mut states: Vec<Vec<T>>,
    estimate: &Estimate<T>,
) -> (Option<f64>, Option<f64>) {
    let amplitude = estimator.amplitude();
    if amplitude == 0.0 {
        return (None, None);
    }
    let precision = precision_error(amplitude, estimate);
    let ratio = precision.map_or(0.0, |part| part / IMPRECISE).max(*RATIOS.start());
    if !RATIOS.contains(&ratio) {
        return (precision, None);
    }
    let Some(other) = estimator.with_amplitude(amplitude * ratio) else { return (precision, None) };
    let setting = Setting { diagnose: false, ..*setting };
    for (first, state) in (0..samples.count).step_by(CHUNK).zip(&mut states) {
        scale_orbit(setting.substrate, &samples.part(first, CHUNK), (estimate, first), ratio, state);
    }
    let Ok(other) = estimate_chunks(&*other, &setting, samples, &mut states) else {
        return (precision, None);
    };
    let comparison = compare(&estimate.gradient, &other.gradient);
    let errors = [comparison.total.relative_error, comparison.synapses.relative_error];
    (precision, errors.into_iter().flatten().reduce(f64::max))
}

/// Part of the largest response that rounding of the largest rate, or what frozen phases were left with, may make; none where there
/// is no response to any amplitude.
fn precision_error<T: Scalar>(amplitude: f64, estimate: &Estimate<T>) -> Option<f64> {
    let largest = |matrix: &DMatrix<T>| matrix.iter().map(|x| x.abs().double()).fold(0.0, f64::max);
    let of_layers = |layers: &[DMatrix<T>]| layers.iter().map(largest).fold(0.0, f64::max);
    let diagnostics = &estimate.diagnostics;
    let waited = if diagnostics.drive_rate == 0.0 { diagnostics.settling_residual } else { 0.0 };
    let floor = ROUNDING * T::epsilon().double() * of_layers(&estimate.free) + waited;
    let response = amplitude * of_layers(&estimate.error_vector);
    if response > 0.0 {
        return Some(floor / response);
    }
    // Nothing has moved: because the teaching signal was too weak to, or because nothing depends on it.
    let taught = amplitude * largest(&estimate.output_error);
    (taught > 0.0 && taught < 100.0 * floor).then_some(1.0)
}

/// Shrinks a carried state about the free one, so that the transients of a change of amplitude are those there were.
fn scale_orbit<T: Scalar>(
    substrate: &dyn Substrate<T>,
    samples: &Samples<T>,
    (estimate, first): (&Estimate<T>, usize),
    ratio: f64,
    state: &mut [T],
) {
    if state.is_empty() {
        return;
    }
    let columns =
        |layer: &nalgebra::DMatrix<T>| layer.columns(first, samples.count).iter().copied().collect();
    let rates: Vec<T> = estimate.free.iter().flat_map(|layer| -> Vec<T> { columns(layer) }).collect();
    let free = substrate.free_state(samples, &rates);
    let real = substrate.shape(samples.count, 1);
    let free = if state.len() == free.len() { free } else { real.complexified(&free) };
    state.iter_mut().zip(&free).for_each(|(s, u)| *s = *u + T::of(ratio) * (*s - *u));
}

impl Diagnostics {
    /// Takes in what the comparison of two amplitudes has told.
    fn adopt(&mut self, (precision_error, amplitude_error): (Option<f64>, Option<f64>)) {
        self.precision_error = precision_error;
        self.amplitude_error = amplitude_error;
        if self.series_warning(0.0).is_some() {
            self.radius_of_convergence = None;
        }
    }

    /// What is wrong with taking the response for a power series, and the estimate for a gradient.
    pub(super) fn series_warning(&self, amplitude: f64) -> Option<String> {
        let beyond = |x: Option<f64>| x.filter(|x| *x > TOLERATED);
        let percent = |x: f64| format!("{:.0} %", 100.0 * x);
        if let Some(part) = beyond(self.precision_error) {
            let part = if part < 1.0 {
                format!("{} of the response", percent(part))
            } else {
                "all of the response".to_owned()
            };
            return Some(format!(
                "amplitude {amplitude} is too small for this precision: rounding, and the tolerance of equilibria, may make {part}; \
                 raise it"
            ));
        }
        let negative = beyond(self.negative_share).map(percent);
        let last = beyond(self.last_harmonic).map(percent);
        let Some(change) = beyond(self.amplitude_error).map(percent) else {
            // A linear response that has not settled has them as well, at any amplitude.
            return negative.map(|share| {
                format!(
                    "negative harmonics are {share} of the first: the substrate had not settled before the record began; let it \
                     settle for longer"
                )
            });
        };
        let reason = match (negative, last) {
            (Some(share), _) => {
                format!(
                    "negative harmonics are {share} of the first: this is no power series: not a gradient"
                )
            }
            (None, Some(share)) => {
                format!(
                    "the highest harmonic still makes {share} of the response: this is no power series that has converged: not a gradient"
                )
            }
            (None, None) => "a gradient would not".to_owned(),
        };
        Some(format!(
            "the estimate changes by {change} with the amplitude, and {reason}; lower the amplitude (now {amplitude})"
        ))
    }
}
