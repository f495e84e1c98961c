//! What every always-on estimator does: drive, settle, record, demodulate.

use super::cauchy::largest;
use super::equilibrium::{imaginary_part, real_part};
use super::readout::{self, Local};
use super::{Diagnostics, Estimate, Setting, Stop, columns, matrices};
use crate::error::Result;
use crate::integrators::{IntegratorSpec, VectorField};
use crate::lockin::{LockIn, Observer, Record, SynapseLockIn};
use crate::scalar::Scalar;
use crate::simulate::{Simulation, largest_difference};
use crate::substrate::field::Dynamics;
use crate::substrate::network::Output;
use crate::substrate::samples::Samples;
use crate::teaching::Teaching;

/// An always-on drive and its lock-in.
pub(super) struct Drive {
    pub teaching: Teaching,
    pub integrator: IntegratorSpec,
    /// Length of a step, in nominal τ.
    pub step: f64,
    /// Steps before the record begins.
    pub settle: u64,
    /// Steps of the record.
    pub length: u64,
    pub record: Record,
    pub per_synapse: bool,
    /// ωτ.
    pub drive_rate: f64,
}

/// Harmonics that diagnostics look at, beside 0 and 1.
const DIAGNOSTIC: [i64; 10] = [0, 1, -1, 2, 3, 4, 5, 6, 7, 8];

/// Runs the drive and reads the gradient off its first harmonic.
pub(super) fn estimate<T: Scalar>(
    drive: &Drive,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    state: &mut Vec<T>,
) -> Result<Estimate<T>> {
    let network = setting.effective.network();
    let mut field = Dynamics::new(setting.effective, samples, 2);
    field.teach(drive.teaching);
    setting.hold_noise(&mut field, samples);
    let complex = field.shape().clone();
    let real = complex.with_rails(1);
    if state.len() != complex.len() {
        *state = vec![T::zero(); complex.len()];
    }
    let len = complex.len();
    let white = setting.white_noise(samples, drive.integrator, drive.step, field.leak(), len);
    let integrator = drive.integrator.build(drive.step, field.leak(), len);
    let mut simulation = Simulation::new(field, integrator, drive.step, std::mem::take(state));
    simulation.white = white;

    let harmonics = if setting.diagnose { &DIAGNOSTIC[..] } else { &DIAGNOSTIC[..2] };
    let mut lockin = LockIn::new(drive.record.clone(), harmonics, network, &complex);
    let mut synapses = drive.per_synapse.then(|| SynapseLockIn::new(drive.record.clone(), network, &complex));
    let mut observers: Vec<&mut dyn Observer<T>> = vec![&mut lockin];
    observers.extend(synapses.as_mut().map(|s| s as &mut dyn Observer<T>));

    let last_period = drive.teaching.ticks_per_period().min(drive.length);
    simulation.run(drive.settle, &mut observers)?;
    simulation.run(drive.length - last_period, &mut observers)?;
    let before = simulation.state.clone();
    simulation.run(last_period, &mut observers)?;
    simulation.observe(&mut observers)?;

    let amplitude = drive.teaching.amplitude;
    let rest = lockin.coefficient(0).expect("harmonic 0 is always recorded");
    let first = lockin.coefficient(1).expect("harmonic 1 is always recorded");
    let response: Vec<T> = first.rates.iter().map(|c| *c * T::of(1.0 / amplitude)).collect();
    let (error_vector, imaginary) = (real_part(&real, &response), imaginary_part(&real, &response));
    let free = real_part(&real, &rest.rates);
    let output_error = rest.output_error[..rest.output_error.len() / 2].to_vec();
    let local = Local { error_vector: &error_vector, free: &free, output_error: &output_error };
    let mut gradient = readout::gradient(network, &real, samples, &local);
    if let Some(synapses) = &synapses {
        for (weight, sums) in synapses.correlations() {
            let scale = T::of(-1.0 / amplitude);
            gradient.at_mut(weight).iter_mut().zip(sums).for_each(|(g, c)| *g = scale * *c);
        }
        if let (Some(sums), Output::Readout { weight, .. }) = (synapses.readout(), network.output) {
            gradient.at_mut(weight).copy_from_slice(sums);
        }
    }
    let silent = vec![T::zero(); output_error.len()];
    let quadrature = Local { error_vector: &imaginary, free: &free, output_error: &silent };
    let diagnostics = Diagnostics {
        rhs_evaluations: simulation.field.evaluations(),
        settling_residual: largest_difference(&simulation.state, &before),
        negative_harmonics: lockin.coefficient(-1).map(|c| largest(&c.rates)),
        radius_of_convergence: radius_from(&lockin, amplitude),
        slowest_rate: setting.probe_rate(samples, &free),
        drive_rate: drive.drive_rate,
        stop: Stop::RecordComplete,
    };
    *state = simulation.state;
    Ok(Estimate {
        quadrature: setting.diagnose.then(|| readout::gradient(network, &real, samples, &quadrature)),
        gradient,
        free: matrices(&real, &free),
        error_vector: matrices(&real, &error_vector),
        output_error: columns(samples.count, &output_error),
        nudged: Vec::new(),
        diagnostics,
    })
}

fn radius_from<T: Scalar>(lockin: &LockIn<T>, amplitude: f64) -> Option<f64> {
    let size = |k| lockin.coefficient(k).map(|c| largest(&c.rates));
    let sizes: Vec<f64> = (1..=8).map_while(size).collect();
    radius(amplitude, &sizes, T::epsilon().double())
}

/// Radius of convergence of Σ c_k z^k from the sizes |c₁|, |c₂|, … at |z| = amplitude: a straight line through
/// ln |c_k| against k, over the harmonics above the rounding floor.
pub(super) fn radius(amplitude: f64, sizes: &[f64], epsilon: f64) -> Option<f64> {
    let floor = 1e3 * epsilon * sizes.first()?;
    let logs: Vec<f64> = sizes.iter().take_while(|s| **s > floor).map(|s| s.ln()).collect();
    let n = logs.len() as f64;
    if n < 3.0 {
        return None;
    }
    let (mean_k, mean) = (0.5 * (n - 1.0), logs.iter().sum::<f64>() / n);
    let covariance: f64 = logs.iter().enumerate().map(|(k, y)| (k as f64 - mean_k) * (y - mean)).sum();
    let variance: f64 = (0..logs.len()).map(|k| (k as f64 - mean_k).powi(2)).sum();
    Some(amplitude * (-covariance / variance).exp())
}
