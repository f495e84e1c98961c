//! Runs a `frequency` experiment: gradient error of `oscillation` against its period, beside theory.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::json;

use self::record::{FrequencyPoint, FrequencyTheory, THEORY};
use crate::error::{Error, Invalid, Result, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{SUMMARY, Sink};
use crate::experiment::spec::{Precision, referee, validate_holomorphic};
use crate::gradient::compare::{compare, complex_relative_error};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{
    Adjoint, CHUNK, Estimator, Extrapolation, Oscillation, Setting, check_time_constants, estimate_batch,
    extrapolation_weights,
};
use crate::imperfections::{Device, Imperfections};
use crate::numerics::state::StateShape;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::Window;
use crate::substrate::Linear;
use crate::substrate::local::Local;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::slow_modes::slowest_rate;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: false, files: &[THEORY] };

spec! {
    /// Gradient error against the period of the drive.
    pub struct Frequency {
        description, notes, published, model, parameters, batch,
        /// Amplitude |β| of the drive.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub amplitude: f64,
        /// The periods, in τ, each of a whole number of steps, at least 3; each is also the shortest of its Richardson
        /// sequence.
        #[schemars(length(min = 1), extend("items" = { "type": "number", "exclusiveMinimum": 0 }))]
        pub periods: Vec<f64>,
        /// Time that passes before each record, in τ, rounded up to whole periods.
        #[serde(default = "long")]
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1e9))]
        pub settle_time: f64,
        /// Most periods T, 2T, 4T … that are extrapolated.
        #[serde(default = "three")]
        #[schemars(range(min = 1, max = 6))]
        pub richardson: u64,
        /// How the trajectory is integrated.
        #[serde(default = "referee")]
        pub integrator: IntegratorSpec,
        /// What fabrication makes of the network, of simulation and theory alike: `fabrication` and `device_seed` alone, as nothing else has a
        /// closed form.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub imperfections: Option<Imperfections>,
    }
}

fn long() -> f64 {
    100.0
}

fn three() -> u64 {
    3
}

impl Kind for Frequency {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("settle_time", self.settle_time)?;
        if self.settle_time > 1e9 {
            let found = format!("found {:e}", self.settle_time);
            return Err(Invalid::new("settle_time", found, "at most 1e9 tau"));
        }
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        if self.periods.is_empty() {
            return Err(Invalid::new("periods", "found none", "a list of periods in tau"));
        }
        for (i, period) in self.periods.iter().enumerate() {
            let path = format!("periods[{i}]");
            let ticks = self.integrator.clock(&path, *period)?.ticks;
            if ticks < 3 {
                let found = format!("found {period}, {ticks} steps");
                return Err(Invalid::new(path, found, "at least 3 steps"));
            }
        }
        check_time_constants(self.integrator, network, self.imperfections.as_ref())?;
        if let Some(imperfections) = &self.imperfections {
            refuse_all_but_fabrication(imperfections)
                .and_then(|()| imperfections.validate())
                .and_then(|()| imperfections.suit(network))
                .map_err(|e| e.under("imperfections"))?;
        }
        if !(1..=6).contains(&self.richardson) {
            return Err(Invalid::new("richardson", format!("found {}", self.richardson), "1 to 6"));
        }
        validate_holomorphic(network)
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let samples = cost::samples(setup, &self.batch)?;
        let stages = cost::stages(self.integrator);
        let mut evaluations = 0.0;
        for period in &self.periods {
            let settle = (self.settle_time / period).ceil();
            // Each is measured anew with every longer sequence.
            let sequences: f64 = (1..=self.richardson).map(|count| 2_f64.powi(count as i32) - 1.0).sum();
            evaluations += (settle + 1.0) * cost::ticks(self.integrator, *period) * stages * sequences;
        }
        let chunks = (samples / CHUNK as f64).ceil();
        let solves = samples * (1.0 + self.periods.len() as f64 * self.richardson as f64);
        let square = substrate.neurons * substrate.neurons;
        let theory = solves * square * substrate.neurons * 4.0 / 1e9;
        let work = Cost {
            evaluations: evaluations * chunks,
            thread_seconds: substrate.seconds(evaluations * chunks, samples.min(CHUNK as f64), 2.0) + theory,
            threads: chunks.min(rayon::current_num_threads() as f64),
            memory: samples * square * 8.0 + 4.0 * square * 16.0 + substrate.states(samples) * cost::STATES,
            disk: self.periods.len() as f64 * self.richardson as f64 * 400.0,
            ..Cost::default()
        };
        Ok(cost::with_study(&substrate, samples, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

/// Refuses parameters at which the weights between layers have no gradient, so that there is no relative error of one.
pub(super) fn refuse_vanishing(setup: &Setup, truth: &Parameters<f64>) -> Result<()> {
    if compare(truth, truth).synapses.relative_error.is_some() {
        return Ok(());
    }
    let found = "found a network whose weights between layers have a gradient of zero";
    let legal = "parameters and samples with a gradient, which errors are relative to: weights that are all zero have none";
    Err(Error::input(setup.origin.display(), "parameters", found, legal))
}

/// Refuses what theory knows nothing of.
fn refuse_all_but_fabrication(imperfections: &Imperfections) -> std::result::Result<(), Invalid> {
    let Imperfections { programming, drift, .. } = imperfections;
    let noise = imperfections.instant().is_some();
    for (name, present) in [("programming", programming.is_some()), ("drift", drift.is_some()), ("", noise)] {
        if present {
            let found = if name.is_empty() { "found noise, or an imperfect read-out" } else { "found it" };
            return Err(Invalid::new(
                name,
                found,
                "`fabrication` and `device_seed`: theory knows nothing else",
            ));
        }
    }
    Ok(())
}

fn missing() -> Error {
    Error::Internal("an estimate without quadrature or truth".into())
}

/// Periods between the shortest and the longest simulated one, in equal ratios: theory is a curve.
fn between(periods: &[f64]) -> Vec<f64> {
    const FINE: i32 = 60;
    let (short, long) =
        periods.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), p| (low.min(*p), high.max(*p)));
    (0..=FINE).map(|k| short * (long / short).powf(f64::from(k) / f64::from(FINE))).collect()
}

fn run(spec: &Frequency, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let samples = problem::samples::<f64>(setup, &spec.batch)?;
    sink.begin()?;
    let imperfections = spec.imperfections.clone().unwrap_or_default();
    let device = Device::fabricate(&setup.network, &imperfections);
    let effective = device.effective(Form::Potential, &parameters, 0);
    let setting = Setting::quiet(&effective);
    let truth = estimate_batch(&Adjoint::default(), &setting, &samples, &mut Vec::new())?.gradient;
    refuse_vanishing(setup, &truth)?;
    let theory = ClosedForm::new(&setting, &samples)?;
    let mut lines = vec![format!("slowest relaxation rate {:.4}/tau", theory.slowest_rate)];
    for &period in &spec.periods {
        let predicted = theory.errors(period, spec.richardson, &truth)?;
        for richardson in 1..=spec.richardson {
            let oscillation = Oscillation {
                amplitude: spec.amplitude,
                period,
                settle_periods: (spec.settle_time / period).ceil() as u64,
                periods: 1,
                onset_periods: 0.0,
                richardson,
                extrapolation: Extrapolation::Polynomial,
                integrator: spec.integrator,
                window: Window::Boxcar,
                per_synapse: false,
                correct_asymmetry: false,
            };
            let estimator: &dyn Estimator<f64> = &oscillation;
            let estimate = estimate_batch(estimator, &setting, &samples, &mut Vec::new())?;
            let agreement = compare(&estimate.gradient, &truth).synapses;
            let quadrature = estimate.quadrature.as_ref().ok_or_else(missing)?;
            let point = FrequencyPoint {
                period,
                richardson,
                relative_error: agreement.relative_error.ok_or_else(missing)?,
                complex_error: complex_relative_error(&estimate.gradient, quadrature, &truth)
                    .ok_or_else(missing)?,
                theory: predicted[richardson as usize - 1].real,
                complex_theory: predicted[richardson as usize - 1].complex,
                cosine: agreement.cosine,
                rhs_evaluations: estimate.diagnostics.rhs_evaluations,
                slowest_rate: theory.slowest_rate,
            };
            sink.record(&point)?;
            if richardson == 1 {
                lines.push(format!(
                    "T = {period:6} tau: relative error {:.3e} (theory {:.3e}), complex {:.3e}",
                    point.relative_error, point.theory, point.complex_error
                ));
            }
        }
    }
    let curves = between(&spec.periods).into_iter().map(|p| theory.errors(p, spec.richardson, &truth));
    let curves: Vec<Vec<FrequencyTheory>> = curves.collect::<Result<_>>()?;
    sink.write_json(THEORY, &curves.concat())?;
    let points: Vec<FrequencyPoint> = sink.records()?;
    let off = points.iter().map(|p| (p.relative_error / p.theory - 1.0).abs()).fold(0.0, f64::max);
    sink.write_json(
        SUMMARY,
        &json!({
            "slowest_rate": theory.slowest_rate,
            "largest_relative_difference_to_theory": off,
            "wall_seconds": sink.seconds(),
        }),
    )?;
    Ok(lines)
}

/// The closed form c₁[a]/|β| = ∂a/∂s (iωτ − J)⁻¹ F_β of every sample, by dense elimination.
struct ClosedForm<'a> {
    samples: &'a Samples<f64>,
    setting: &'a Setting<'a, f64>,
    shape: StateShape,
    jacobians: Vec<DMatrix<f64>>,
    linear: Box<dyn Linear<f64> + 'a>,
    /// F_β.
    teaching: Vec<f64>,
    rates: Vec<f64>,
    slowest_rate: f64,
}

impl<'a> ClosedForm<'a> {
    fn new(setting: &'a Setting<'a, f64>, samples: &'a Samples<f64>) -> Result<Self> {
        let shape = setting.substrate.shape(samples.count, 1);
        let free = equilibrium::free(setting, samples, &Settle::default())?;
        let linear = setting.substrate.linearise(samples, Some(&free.drive), &free.rates);
        Ok(Self {
            samples,
            setting,
            jacobians: (0..samples.count).map(|sample| linear.jacobian(sample)).collect(),
            teaching: linear.teaching(&free.output_error),
            rates: free.rates,
            slowest_rate: slowest_rate(&*linear),
            linear,
            shape,
        })
    }

    /// Relative errors of one, two … `most` extrapolated periods, the shortest of which is `period`.
    fn errors(&self, period: f64, most: u64, truth: &Parameters<f64>) -> Result<Vec<FrequencyTheory>> {
        let predicted: Vec<(Parameters<f64>, Parameters<f64>)> =
            (0..most).map(|k| self.gradient(period * f64::from(1 << k))).collect::<Result<_>>()?;
        let error = |richardson: u64| {
            let mut real = Parameters::zeros(truth.shapes());
            let mut imaginary = real.clone();
            for (weight, (re, im)) in extrapolation_weights(richardson as usize).iter().zip(&predicted) {
                real.add_scaled(*weight, re);
                imaginary.add_scaled(*weight, im);
            }
            let complex = complex_relative_error(&real, &imaginary, truth).ok_or_else(missing)?;
            let real = compare(&real, truth).synapses.relative_error.ok_or_else(missing)?;
            Ok(FrequencyTheory { period, richardson, real, complex })
        };
        (1..=most).map(error).collect()
    }

    /// What delays of connections add to J of one sample under e^{iωt}, column by column.
    fn delayed(&self, sample: usize, omega: f64) -> DMatrix<Complex<f64>> {
        let complex = self.shape.with_rails(2);
        let rail = |rail: usize| -> Vec<usize> {
            (0..complex.layers()).flat_map(|layer| complex.column(layer, rail, sample)).collect()
        };
        let (re, im) = (rail(0), rail(1));
        let (mut unit, mut scratch) = (vec![0.0; complex.len()], vec![0.0; complex.len()]);
        let mut added = DMatrix::zeros(re.len(), re.len());
        for (j, place) in re.iter().enumerate() {
            let mut column = vec![0.0; complex.len()];
            unit[*place] = 1.0;
            self.linear.add_delays(omega, &unit, &mut column, &mut scratch);
            unit[*place] = 0.0;
            for (i, (re, im)) in re.iter().zip(&im).enumerate() {
                added[(i, j)] = Complex::new(column[*re], column[*im]);
            }
        }
        added
    }

    /// Real and imaginary part of the gradient read-out at a period.
    fn gradient(&self, period: f64) -> Result<(Parameters<f64>, Parameters<f64>)> {
        let omega = std::f64::consts::TAU / period;
        let (mut real, mut imaginary) = (vec![0.0; self.shape.len()], vec![0.0; self.shape.len()]);
        for (sample, jacobian) in self.jacobians.iter().enumerate() {
            let places = || (0..self.shape.layers()).flat_map(|layer| self.shape.column(layer, 0, sample));
            let taus: Vec<f64> = places().map(|place| self.linear.tau()[place]).collect();
            let right =
                DVector::from_iterator(taus.len(), places().map(|i| Complex::new(self.teaching[i], 0.0)));
            let mut matrix = DMatrix::from_fn(taus.len(), taus.len(), |i, j| {
                Complex::new(-jacobian[(i, j)], if i == j { omega * taus[i] } else { 0.0 })
            });
            if !self.linear.delays().is_empty() {
                matrix -= self.delayed(sample, omega);
            }
            let solved = matrix.lu().solve(&right);
            let response = solved.ok_or_else(|| Error::Internal("a singular response".into()))?;
            for (place, u) in places().zip(response.iter()) {
                real[place] = u.re;
                imaginary[place] = u.im;
            }
        }
        let observed = |state: &[f64]| {
            let mut rates = vec![0.0; state.len()];
            self.linear.observe(state, &mut rates);
            rates
        };
        let (real, imaginary) = (observed(&real), observed(&imaginary));
        let silent = vec![0.0; self.setting.substrate.outputs() * self.samples.count];
        let read = |error_vector: &[f64]| {
            let local = Local { error_vector, free: &self.rates, output_error: &silent };
            let mut gradient = self.setting.substrate.gradient(&self.shape, self.samples, &local);
            gradient.scale(1.0 / self.samples.count as f64);
            gradient
        };
        Ok((read(&real), read(&imaginary)))
    }
}
