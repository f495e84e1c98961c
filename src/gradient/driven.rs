//! What every always-on estimator does: drive, settle, record, demodulate, extrapolate.

use num_complex::Complex;

use super::chebyshev::alternating;
use super::convergence::{largest, negative_share, radius};
use super::equilibrium::{imaginary_part, real_part};
use super::extrapolation::{Extrapolation, Measured, extrapolation_weights, relative_difference, weighted};
use super::{Diagnostics, Estimate, Setting, Stop, columns, matrices};
use crate::error::Result;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::{Coefficient, LockIn, Observer, Record, SynapseLockIn, Window};
use crate::simulation::teaching::Teaching;
use crate::simulation::{Simulation, largest_difference};
use crate::substrate::local::Local;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// An always-on drive and its record.
#[derive(Clone)]
pub(super) struct Drive {
    pub teaching: Teaching,
    pub integrator: IntegratorSpec,
    /// Length of a step, in nominal τ.
    pub step: f64,
    /// Tick at which it begins: a whole number of periods.
    pub begin: u64,
    /// Steps before the record begins.
    pub settle: u64,
    /// Steps of the record.
    pub length: u64,
    pub record: Record,
    /// ωτ.
    pub drive_rate: f64,
    /// When the free rates are measured, where the coupling is corrected for its asymmetry: after `settle`, before the
    /// substrate settles again.
    pub free: Option<Record>,
}

impl Drive {
    /// The same drive with a correction of the coupling's asymmetry.
    ///
    /// Without correction the mean of the rates over a period is a*, whatever the amplitude. It is taken at the end of a first
    /// stage of settling and held: a mean that followed the corrected substrate would feed back on itself.
    pub fn corrected(mut self) -> Self {
        let count = self.record.samples_per_period;
        let start = self.record.start - count * self.record.stride;
        let weights = Window::Boxcar.weights(count as usize, 1.0);
        self.free = Some(Record { start, weights, ..self.record.clone() });
        self.record.start += self.settle;
        self
    }

    /// The same from the first whole period after `elapsed` steps on: noise goes on where it was, instead of repeating itself.
    pub fn after(mut self, elapsed: u64) -> Self {
        let period = self.teaching.ticks_per_period();
        let begin = elapsed.div_ceil(period) * period;
        for record in std::iter::once(&mut self.record).chain(&mut self.free) {
            record.start += begin - self.begin;
        }
        self.begin = begin;
        self
    }

    /// Tick at which it ends.
    pub fn end(&self) -> u64 {
        let settling = if self.free.is_some() { 2 * self.settle } else { self.settle };
        self.begin + settling + self.length
    }

    /// sτ of the periodic steady state: iωτ, except that Euler's sees (e^{iωh} − 1)/h.
    pub fn rate(&self) -> Complex<f64> {
        match self.integrator {
            IntegratorSpec::Map | IntegratorSpec::Euler { .. } => {
                (Complex::cis(self.drive_rate * self.step) - 1.0) / self.step
            }
            _ => Complex::new(0.0, self.drive_rate),
        }
    }
}

/// What one drive has shown of the response, laid out as a real state.
pub(super) struct Response<T> {
    /// δ, per unit of β.
    pub in_phase: Vec<T>,
    /// Its imaginary part.
    pub quadrature: Vec<T>,
    /// The free rates.
    pub free: Vec<T>,
    /// p − y (or a − y) of the free equilibrium.
    pub output_error: Vec<T>,
    /// Gradients of the parameters that have a lock-in of their own, by index.
    pub synapses: Vec<(usize, Vec<T>)>,
    /// sτ.
    pub rate: Complex<f64>,
    /// Where it could be told from the signal, noise of the in-phase part and of the quadrature: one draw like theirs.
    pub scatter: Option<(Vec<T>, Vec<T>)>,
    /// Of this drive.
    pub diagnostics: Diagnostics,
}

/// Points of a period from which on negative harmonics are told from positive ones.
pub(super) const LEAST_POINTS: u64 = 8;

/// Harmonics that diagnostics look at, beside 0 and 1.
const DIAGNOSTIC: [i64; 11] = [0, 1, -1, -2, 2, 3, 4, 5, 6, 7, 8];

/// Runs a drive before observers, and returns its diagnostics.
pub(super) fn run<T: Scalar>(
    drive: &Drive,
    rails: usize,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    state: &mut Vec<T>,
    observers: &mut [&mut dyn Observer<T>],
) -> Result<Diagnostics> {
    let mut field = setting.substrate.bind(samples, rails, None);
    field.teach(drive.teaching);
    setting.hold_noise(&mut *field, samples)?;
    field.delay(drive.step, state);
    let len = field.shape().len();
    if state.len() != len {
        *state = vec![T::zero(); len];
    }
    let integrator = setting.integrator(samples, drive.integrator, drive.step, &*field)?;
    let mut simulation = Simulation::new(field, integrator, drive.step, std::mem::take(state));
    simulation.tick = drive.begin;
    simulation.converter = setting.converter(simulation.field.shape());

    let last_period = drive.teaching.ticks_per_period().min(drive.length);
    if let Some(record) = &drive.free {
        let mut mean =
            LockIn::new(record.clone(), &[0], setting.substrate.outputs(), simulation.field.shape());
        simulation.run(drive.settle, &mut [&mut mean])?;
        simulation.observe(&mut [&mut mean])?;
        let free = mean.coefficient(0).expect("harmonic 0 is recorded");
        let real = setting.substrate.shape(samples.count, 1);
        simulation.field.correct_asymmetry(&real_part(&real, &free.rates));
    }
    simulation.run(drive.settle, observers)?;
    simulation.run(drive.length - last_period, observers)?;
    let before = simulation.state.clone();
    simulation.run(last_period, observers)?;
    simulation.observe(observers)?;
    let residual = largest_difference(&simulation.state, &before);
    let evaluations = simulation.field.evaluations();
    setting.keep_noise(simulation.field.release_noise());
    let Simulation { field, trajectory } = simulation;
    *state = trajectory.state;
    field.keep_delayed(state);
    Ok(Diagnostics {
        drive_rate: drive.drive_rate,
        ..Diagnostics::frozen(evaluations, residual, Stop::RecordComplete)
    })
}

/// The response to a circular drive: the first harmonic, for every neuron or every synapse.
pub(super) fn respond<T: Scalar>(
    drive: &Drive,
    per_synapse: bool,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    state: &mut Vec<T>,
) -> Result<Response<T>> {
    let outputs = setting.substrate.outputs();
    let complex = setting.substrate.shape(samples.count, 2);
    let real = complex.with_rails(1);
    let harmonics = if setting.diagnose { &DIAGNOSTIC[..] } else { &DIAGNOSTIC[..2] };
    let lockin = LockIn::new(drive.record.clone(), harmonics, outputs, &complex);
    let mut lockin = lockin.with_phase_error(setting.phase_error());
    let correlations =
        || SynapseLockIn::new(drive.record.clone(), drive.teaching.amplitude, setting.substrate);
    let mut correlations = per_synapse.then(|| correlations().with_phase_error(setting.phase_error()));
    // What differs between even and odd periods is noise; a window that weights periods unequally cannot tell them apart.
    let uniform = drive.record.weights.windows(2).all(|pair| pair[0] == pair[1]);
    let twice = drive.record.weights.len() as u64 >= 2 * drive.record.samples_per_period;
    let scatter = || LockIn::new(alternating(&drive.record), &[1], outputs, &complex);
    let mut scatter = (setting.is_noisy() && uniform && twice).then(scatter);
    let mut observers: Vec<&mut dyn Observer<T>> = vec![&mut lockin];
    observers.extend(scatter.as_mut().map(|s| s as &mut dyn Observer<T>));
    observers.extend(correlations.as_mut().map(|s| s as &mut dyn Observer<T>));
    let mut diagnostics = run(drive, 2, setting, samples, state, &mut observers)?;

    let amplitude = drive.teaching.amplitude;
    let scale = T::of(1.0 / amplitude);
    let rest = lockin.coefficient(0).expect("harmonic 0 is always recorded");
    let first = lockin.coefficient(1).expect("harmonic 1 is always recorded");
    let per_unit = |first: &Coefficient<T>| first.rates.iter().map(|c| *c * scale).collect::<Vec<T>>();
    let response = per_unit(first);
    let scatter = scatter.as_ref().and_then(|s| s.coefficient(1)).map(per_unit);
    let scatter = scatter.map(|s| (real_part(&real, &s), imaginary_part(&real, &s)));
    let sums = correlations.as_ref().map(SynapseLockIn::sums);
    let measured = |sums: &Parameters<T>| {
        setting.substrate.measured().into_iter().map(|index| (index, sums.at(index).to_vec())).collect()
    };
    let synapses = sums.map_or_else(Vec::new, measured);
    diagnostics.negative_harmonics = lockin.coefficient(-1).map(|c| largest(&c.rates));
    let points = drive.record.samples_per_period;
    if setting.diagnose && points >= LEAST_POINTS {
        let size = |k| lockin.coefficient(k).map_or(0.0, |c| largest(&c.rates));
        diagnostics.negative_share = negative_share(size(1), size(-1), size(-2));
        // What the points cannot tell apart has no size of its own.
        let sizes: Vec<f64> = (1..=8.min(points as i64 - 3)).map(size).collect();
        let floor = diagnostics.settling_residual.max(T::epsilon().double() * size(0));
        diagnostics.radius_of_convergence = radius(amplitude, &sizes, T::epsilon().double(), floor);
    }
    Ok(Response {
        in_phase: real_part(&real, &response),
        quadrature: imaginary_part(&real, &response),
        free: real_part(&real, &rest.rates),
        output_error: rest.output_error[..rest.output_error.len() / 2].to_vec(),
        synapses,
        rate: drive.rate(),
        scatter,
        diagnostics,
    })
}

/// The response to an always-on drive of a number of periods, extrapolated.
pub(super) fn conclude<T: Scalar>(
    responses: &[Response<T>],
    extrapolation: Extrapolation,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
) -> Estimate<T> {
    let real = setting.substrate.shape(samples.count, 1);
    let measured: Vec<Measured<'_, T>> = responses
        .iter()
        .map(|r| Measured { in_phase: &r.in_phase, quadrature: &r.quadrature, rate: r.rate })
        .collect();
    let method = extrapolation.resolve(&measured);
    let weights = extrapolation_weights(responses.len());
    let slowest = responses.last().expect("at least one period is measured");
    let error_vector = method.at_zero(&real, &measured);
    let quadrature = weighted(&weights, responses.iter().map(|r| r.quadrature.as_slice()));
    // The free state is exact at every frequency under a circular drive; under a real one its bias is even in ω as well.
    let free = weighted(&weights, responses.iter().map(|r| r.free.as_slice()));
    let output_error = weighted(&weights, responses.iter().map(|r| r.output_error.as_slice()));

    let local = Local { error_vector: &error_vector, free: &free, output_error: &output_error };
    let mut gradient = setting.substrate.gradient(&real, samples, &local);
    for (i, (weight, _)) in slowest.synapses.iter().enumerate() {
        let sum = weighted(&weights, responses.iter().map(|r| r.synapses[i].1.as_slice()));
        gradient.at_mut(*weight).copy_from_slice(&sum);
    }
    let silent = vec![T::zero(); output_error.len()];
    let sideways = Local { error_vector: &quadrature, free: &free, output_error: &silent };

    let mut diagnostics = responses[0].diagnostics.clone();
    for response in &responses[1..] {
        diagnostics.merge(&response.diagnostics);
    }
    diagnostics.settling_residual = slowest.diagnostics.settling_residual;
    diagnostics.slowest_rate = setting.probe_rate(samples, &free);
    // With one period only the quadrature tells the bias.
    let unbiased = match (responses.len(), setting.diagnose) {
        (1, true) => Some(Extrapolation::Rational.at_zero(&real, &measured)),
        (1, false) => None,
        _ => Some(error_vector.clone()),
    };
    diagnostics.bias_estimate = unbiased.and_then(|x| relative_difference(&slowest.in_phase, &x));
    if responses.len() > 1 {
        diagnostics.extrapolation_error =
            relative_difference(&method.at_zero(&real, &measured[1..]), &error_vector);
    }
    diagnostics.noise_estimate = noise_estimate(responses, method, &real, &error_vector);
    Estimate {
        quadrature: setting.diagnose.then(|| setting.substrate.gradient(&real, samples, &sideways)),
        gradient,
        free: matrices(&real, &free),
        error_vector: matrices(&real, &error_vector),
        output_error: columns(samples.count, &output_error),
        nudged: Vec::new(),
        diagnostics,
    }
}

/// Relative change of the extrapolated response by another draw of the noise, as the scatter between periods shows it.
fn noise_estimate<T: Scalar>(
    responses: &[Response<T>],
    method: Extrapolation,
    shape: &StateShape,
    error_vector: &[T],
) -> Option<f64> {
    let add = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| *a + *b).collect::<Vec<T>>();
    let redrawn = |r: &Response<T>| {
        let (in_phase, quadrature) = r.scatter.as_ref()?;
        Some((add(&r.in_phase, in_phase), add(&r.quadrature, quadrature)))
    };
    let redrawn: Vec<(Vec<T>, Vec<T>)> = responses.iter().map(redrawn).collect::<Option<_>>()?;
    let measured: Vec<Measured<'_, T>> = responses
        .iter()
        .zip(&redrawn)
        .map(|(r, (in_phase, quadrature))| Measured { in_phase, quadrature, rate: r.rate })
        .collect();
    relative_difference(&method.at_zero(shape, &measured), error_vector)
}
