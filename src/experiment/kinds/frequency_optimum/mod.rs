//! Runs a `frequency_optimum` experiment: with 1/f noise and a frequency bias there is a best frequency.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;
mod theory;

use std::f64::consts::TAU;

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::record::{FrequencyOptimumPoint, FrequencyOptimumSummary, Optimum};
use self::theory::{
    Filter, LinearSubstrate, NoiseResponse, Reference, Spectrum, gradient_variance, products, slow_variance,
};
use super::frequency::refuse_vanishing;
use crate::error::{Error, Invalid, Result, non_negative, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_delays, refuse_equations, validate_holomorphic};
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{
    Adjoint, Estimate, Estimator, Extrapolation, Oscillation, Setting, Surroundings, check_time_constants,
    estimate_batch,
};
use crate::imperfections::instant::Instant;
use crate::imperfections::noise::{Noise, Rails};
use crate::imperfections::readout::{Converter, ReadOut};
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{IntegratorSpec, Leak};
use crate::simulation::lockin::{Window, check_length};
use crate::simulation::view::View;
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Neurons that the closed form can carry: it inverts a matrix at each of many thousand frequencies.
const MOST_NEURONS: usize = 64;
/// Change of a bias from which derivatives with respect to it are taken.
const SHIFT: f64 = 1e-4;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: false, files: &[] };

spec! {
    /// Total gradient error, bias and noise, against the period, in a record of fixed length.
    pub struct FrequencyOptimum {
        description, model, parameters, batch,
        /// Which sample of the batch, counted from 0.
        sample,
        /// Seed of the noise.
        seed,
        /// Seed of the offsets.
        #[serde(default)]
        pub device_seed: u64,
        /// Amplitude |β| of the drive.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub amplitude: f64,
        /// The periods, in τ, each of a whole number of steps, at least 3, and no longer than `record`.
        #[schemars(length(min = 1), extend("items" = { "type": "number", "exclusiveMinimum": 0 }))]
        pub periods: Vec<f64>,
        /// Length of the record, in τ: the whole number of periods that comes closest.
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1e7))]
        pub record: f64,
        /// Time that passes before the record, in τ.
        #[serde(default = "long")]
        #[schemars(range(min = 0.0, max = 1e7))]
        pub settle_time: f64,
        /// Poles of the lock-in's low pass, whose step response has come to 99 % at the end of the record; each number is one
        /// filter.
        #[serde(default = "all_poles")]
        #[schemars(length(min = 1), inner(range(min = 1, max = 8)))]
        pub poles: Vec<u32>,
        /// Noise on every neuron's pre-activation.
        pub noise: StateNoise,
        /// Radians by which the lock-in's reference is ahead of the drive.
        #[serde(default)]
        #[schemars(range(min = -std::f64::consts::PI, max = std::f64::consts::PI))]
        pub phase_error: f64,
        /// Standard deviation, over neurons and rails, of the read-out's offset.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        pub offset_std: f64,
        /// Independent draws of the noise.
        #[serde(default = "hundred")]
        #[schemars(range(min = 2, max = 100_000))]
        pub repeats: usize,
        /// How the trajectory is integrated: with a fixed step.
        #[serde(default = "heun")]
        pub integrator: IntegratorSpec,
    }
}

/// White noise, and 1/f noise below a corner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateNoise {
    /// Standard deviation of white noise on every pre-activation, on both rails, as `white`'s at τ = 1: of an isolated
    /// neuron's potential.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub white_std: f64,
    /// Frequencies, in cycles per τ, below which 1/f noise exceeds the white one, each where the spectrum is 1/f: between
    /// 1/(2π · longest) and 1/(2π · shortest). The experiment is done for each.
    #[schemars(length(min = 1), extend("items" = { "type": "number", "exclusiveMinimum": 0 }))]
    pub corners: Vec<f64>,
    /// Shortest correlation time of the 1/f part, in τ.
    #[serde(default = "shortest")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub shortest: f64,
    /// Longest correlation time of the 1/f part, in τ: at most 12 decades above the shortest.
    #[serde(default = "longest")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub longest: f64,
}

fn long() -> f64 {
    100.0
}

fn all_poles() -> Vec<u32> {
    vec![1, 2, 4, 8]
}

fn hundred() -> usize {
    100
}

fn heun() -> IntegratorSpec {
    IntegratorSpec::Heun { step: 0.5 }
}

fn shortest() -> f64 {
    0.5
}

fn longest() -> f64 {
    1e4
}

impl Kind for FrequencyOptimum {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        refuse_equations(network)?;
        refuse_delays(network)?;
        positive("amplitude", self.amplitude)?;
        positive("record", self.record)?;
        non_negative("settle_time", self.settle_time)?;
        for (name, time) in [("record", self.record), ("settle_time", self.settle_time)] {
            if time > 1e7 {
                return Err(Invalid::new(name, format!("found {time:e}"), "at most 1e7 tau"));
            }
        }
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        self.noise.validate().map_err(|e| e.under("noise"))?;
        check_time_constants(self.integrator, network, None)?;
        for corner in &self.noise.corners {
            let instant = Instant::on_state(self.noise.at(*corner, self.integrator));
            instant.check(self.integrator, Form::Potential).map_err(|e| e.under("integrator"))?;
        }
        self.readout().validate()?;
        if self.periods.is_empty() {
            return Err(Invalid::new("periods", "found none", "a list of periods in tau"));
        }
        for (i, period) in self.periods.iter().enumerate() {
            let path = format!("periods[{i}]");
            let clock = self.integrator.clock(&path, *period)?;
            if clock.ticks < 3 || *period > self.record {
                let legal = "at least 3 steps, and no longer than `record`";
                return Err(Invalid::new(path, format!("found {period}"), legal));
            }
            check_length("record", self.count(*period) as f64, clock.ticks as f64)?;
        }
        if self.poles.is_empty() {
            return Err(Invalid::new("poles", "found none", "a list of numbers of poles, 1 to 8"));
        }
        for (i, poles) in self.poles.iter().enumerate() {
            if !(1..=8).contains(poles) {
                return Err(Invalid::new(format!("poles[{i}]"), format!("found {poles}"), "1 to 8 poles"));
            }
        }
        if !(2..=100_000).contains(&self.repeats) {
            return Err(Invalid::new("repeats", format!("found {}", self.repeats), "2 to 100000 draws"));
        }
        if let Some(layer) = network.layers.iter().position(|l| l.bias.is_none()) {
            let found = "found a layer without bias".to_owned();
            let legal = "the closed form moves biases in the place of slow noise: leave out `bias`";
            return Err(Invalid::new(format!("model.layers[{layer}].bias"), found, legal));
        }
        if network.shared().is_some() {
            let legal = "the closed form knows connections whose weights have one synapse each";
            return Err(Invalid::new("model", "found a convolution", legal));
        }
        if network.neurons() > MOST_NEURONS {
            let found = format!("found {} neurons", network.neurons());
            return Err(Invalid::new(
                "model",
                found,
                format!("the closed form carries {MOST_NEURONS} at most"),
            ));
        }
        validate_holomorphic(network)
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let stages = cost::stages(self.integrator);
        let record = cost::steps(self.integrator, self.record + self.settle_time);
        let runs = (self.periods.len() * self.noise.corners.len() * self.repeats) as f64;
        let evaluations = runs * record * stages;
        // Noise of some ten processes for each neuron and rail.
        let noise = runs * record * substrate.neurons * 2.0 * 50e-9;
        let points = (self.periods.len() * self.noise.corners.len() * self.poles.len()) as f64;
        let work = Cost {
            evaluations,
            thread_seconds: substrate.seconds(evaluations, 1.0, 2.0) + noise,
            threads: rayon::current_num_threads() as f64,
            memory: substrate.states(1.0) * cost::STATES
                + record * 8.0 * self.poles.len() as f64 * rayon::current_num_threads() as f64
                + (self.repeats * self.poles.len()) as f64 * substrate.parameter_bytes * 2.0,
            disk: points * 500.0,
            ..Cost::default()
        };
        Ok(cost::with_study(&substrate, 1.0, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

impl StateNoise {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("white_std", self.white_std)?;
        positive("shortest", self.shortest)?;
        positive("longest", self.longest)?;
        if self.longest < self.shortest || self.longest > 1e12 * self.shortest {
            let found = format!("found {} with a shortest time of {}", self.longest, self.shortest);
            return Err(Invalid::new(
                "longest",
                found,
                "no shorter than `shortest`, and at most 1e12 times it",
            ));
        }
        if self.corners.is_empty() {
            return Err(Invalid::new("corners", "found none", "a list of frequencies in cycles per tau"));
        }
        let band = (1.0 / (TAU * self.longest), 1.0 / (TAU * self.shortest));
        for (i, corner) in self.corners.iter().enumerate() {
            if !(*corner > band.0 && *corner < band.1) {
                let legal = format!("between {:.1e} and {:.1e}, where the spectrum is 1/f", band.0, band.1);
                return Err(Invalid::new(format!("corners[{i}]"), format!("found {corner}"), legal));
            }
        }
        Ok(())
    }

    /// Angular frequency below which the noise is constant.
    fn slowest(&self) -> f64 {
        1e-2 / self.longest
    }

    fn spectrum(&self, corner: f64) -> Spectrum {
        Spectrum::new(self.white_std, corner, (self.shortest, self.longest))
    }

    /// The noise whose white part has, on a step's discrete clock, the spectral density 2σ² of theory.
    fn at(&self, corner: f64, integrator: IntegratorSpec) -> Noise {
        let to_density = integrator.fixed_step().map_or(1.0, |(_, h)| {
            let lost = integrator.build::<f64>(h, &Leak::Uniform(1.0), 0).lost(h);
            (2.0 * lost / (h * (2.0 - lost))).sqrt()
        });
        Noise::OneOverF {
            std: self.spectrum(corner).std,
            shortest: self.shortest,
            longest: self.longest,
            white_std: self.white_std * to_density,
            continuous: false,
            rails: Rails::Independent,
        }
    }
}

impl FrequencyOptimum {
    fn readout(&self) -> ReadOut {
        ReadOut { adc: None, phase_error: self.phase_error, offset_std: self.offset_std }
    }

    /// Whole periods that come closest to the record.
    fn count(&self, period: f64) -> u64 {
        (self.record / period).round().max(1.0) as u64
    }

    fn filter(&self, poles: u32, period: f64) -> Filter {
        Filter::settled(poles, self.count(period) as f64 * period)
    }

    fn oscillation(&self, poles: u32, period: f64) -> Oscillation {
        let Filter { poles, time_constant } = self.filter(poles, period);
        Oscillation {
            amplitude: self.amplitude,
            period,
            settle_periods: (self.settle_time / period).ceil() as u64,
            periods: self.count(period),
            onset_periods: 0.0,
            richardson: 1,
            extrapolation: Extrapolation::Polynomial,
            integrator: self.integrator,
            window: Window::LowPass { poles, time_constant },
            per_synapse: false,
            correct_asymmetry: false,
        }
    }
}

/// A sample, its true gradient, and how far from it others are.
struct Problem<'a> {
    setting: Setting<'a, f64>,
    shape: StateShape,
    one: Samples<f64>,
    truth: Parameters<f64>,
    /// |truth| over the weights between layers.
    size: f64,
}

impl Problem<'_> {
    /// Relative error, over the weights between layers, of the gradient from δ and the free rates of the sample.
    fn relative_error(&self, error_vector: &[f64], free: &[f64]) -> Result<f64> {
        let silent = vec![0.0; self.setting.substrate.outputs()];
        let local = Local { error_vector, free, output_error: &silent };
        let gradient = self.setting.substrate.gradient(&self.shape, &self.one, &local);
        let missing = || Error::Internal("a truth of zero".into());
        compare(&gradient, &self.truth).synapses.relative_error.ok_or_else(missing)
    }

    /// The same of each sample of an estimate.
    fn relative_errors(&self, estimate: &Estimate<f64>) -> Result<Vec<f64>> {
        let column = |layers: &[DMatrix<f64>], sample: usize| -> Vec<f64> {
            layers.iter().flat_map(|layer| layer.column(sample).iter().copied().collect::<Vec<_>>()).collect()
        };
        (0..estimate.output_error.ncols())
            .map(|i| self.relative_error(&column(&estimate.error_vector, i), &column(&estimate.free, i)))
            .collect()
    }
}

fn run(spec: &FrequencyOptimum, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let network = &setup.network;
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let batch = problem::samples::<f64>(setup, &spec.batch)?;
    let one = problem::only(&setup.origin, &batch, spec.sample)?;
    sink.begin()?;
    let effective = Effective::new(network, Form::Potential, &parameters);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let truth = estimate_batch(&Adjoint::default(), &setting, &one, &mut Vec::new())?.gradient;
    refuse_vanishing(setup, &truth)?;
    let weights = network.between_layers().flat_map(|(_, edge)| truth.at(edge.weight));
    let size = weights.map(|g| g * g).sum::<f64>().sqrt();
    let shape = StateShape::new(network, 1, 1);
    let substrate = linearise(&setting, &one)?;
    let moved = |place: (usize, usize), by: f64| {
        let mut parameters = parameters.clone();
        parameters.at_mut(place.0)[place.1] += by;
        let effective = Effective::new(network, Form::Potential, &parameters);
        linearise(&Setting { substrate: &effective, ..setting }, &one)
    };
    let biases = network.layers.iter().flat_map(|l| (0..l.size).filter_map(|i| Some((l.bias?, i))));
    let theory = Theory {
        spec,
        network,
        moved: biases.map(|b| Ok([moved(b, SHIFT)?, moved(b, -SHIFT)?])).collect::<Result<_>>()?,
        noise: NoiseResponse::new(&substrate, spec.noise.slowest())?,
        substrate,
        reference: reference(spec, network)?,
    };
    let many = one.select(&vec![0; spec.repeats]);
    let problem = Problem { setting, shape, one, truth, size };

    let (mut lines, mut optima) = (Vec::new(), Vec::new());
    for (index, corner) in spec.noise.corners.iter().enumerate() {
        for poles in &spec.poles {
            let mut points = Vec::new();
            for period in &spec.periods {
                let point = measure(&problem, &theory, &many, (index, *corner), *poles, *period)?;
                sink.record(&point)?;
                points.push(point);
            }
            let optimum = theory.optimum(&problem, *corner, *poles, &points)?;
            let period =
                |p: Option<f64>| p.map_or("none within the periods".into(), |p| format!("{p:.1} tau"));
            lines.push(format!(
                "corner {corner} per tau, {poles} poles: best period {} (theory {})",
                period(optimum.period),
                period(optimum.theory_period)
            ));
            optima.push(optimum);
        }
    }
    sink.write_json(SUMMARY, &FrequencyOptimumSummary { optima, wall_seconds: sink.seconds() })?;
    Ok(lines)
}

/// The simulated errors of one point beside theory's.
fn measure(
    problem: &Problem<'_>,
    theory: &Theory<'_>,
    many: &Samples<f64>,
    (index, corner): (usize, f64),
    poles: u32,
    period: f64,
) -> Result<FrequencyOptimumPoint> {
    let spec = theory.spec;
    let instant = Instant {
        state: Some(spec.noise.at(corner, spec.integrator)),
        readout: Some(spec.readout()),
        device_seed: spec.device_seed,
        ..Instant::default()
    };
    let oscillation = spec.oscillation(poles, period);
    let estimator: &dyn Estimator<f64> = &oscillation;
    // Every point draws noise of its own.
    let update = (index * 10 + poles as usize) as u64 * 1_000_000 + (period * 100.0).round() as u64;
    let noisy = Setting { noise: Some(Surroundings::new(instant, spec.seed)), update, ..problem.setting };
    let errors = problem.relative_errors(&estimate_batch(estimator, &noisy, many, &mut Vec::new())?)?;
    let quiet = Surroundings::new(Instant { state: None, ..instant }, spec.seed);
    let quiet = Setting { noise: Some(quiet), ..noisy };
    let bias =
        problem.relative_errors(&estimate_batch(estimator, &quiet, &problem.one, &mut Vec::new())?)?[0];
    let n = errors.len() as f64;
    let squares: Vec<f64> = errors.iter().map(|e| e * e).collect();
    let mean = squares.iter().sum::<f64>() / n;
    let variance = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (theory_bias, theory_noise) = theory.errors(problem, corner, poles, period)?;
    Ok(FrequencyOptimumPoint {
        corner,
        poles,
        period,
        error: mean.sqrt(),
        standard_error: 0.5 * (variance / n).sqrt() / mean.sqrt(),
        bias,
        theory_bias,
        theory_noise,
        theory: theory_bias.hypot(theory_noise),
        noise_bandwidth: spec.filter(poles, period).noise_bandwidth(),
    })
}

/// The linearised substrate at the free equilibrium of a sample.
fn linearise(setting: &Setting<'_, f64>, one: &Samples<f64>) -> Result<LinearSubstrate> {
    let free = equilibrium::free(setting, one, &Settle::default())?;
    let linear = setting.substrate.linearise(one, Some(&free.drive), &free.rates);
    Ok(LinearSubstrate {
        jacobian: linear.jacobian(0),
        taus: linear.tau().to_vec(),
        slope: DVector::from_vec(linear.slope()),
        cost_slope: DVector::from_vec(linear.cost_slope(&free.output_error)),
        rates: DVector::from_vec(free.rates),
    })
}

/// The read-out's reference, with the offsets that this device has.
fn reference(spec: &FrequencyOptimum, network: &Network) -> Result<Reference> {
    let shape = StateShape::new(network, 1, 2);
    let (silent, outputs) = (vec![0.0; shape.len()], network.output.size());
    let converter = Converter::<f64>::new(&spec.readout(), spec.device_seed, &shape, outputs);
    let seen = converter.map_or_else(
        || silent.clone(),
        |mut converter| {
            let output_error = vec![0.0; 2 * outputs];
            let view = View { shape: &shape, state: &silent, rates: &silent, output_error: &output_error };
            converter.sample(&view).rates.to_vec()
        },
    );
    let (real, imaginary) =
        (equilibrium::real_part(&shape, &seen), equilibrium::imaginary_part(&shape, &seen));
    let offsets = real.iter().zip(imaginary).map(|(re, im)| Complex::new(*re, im));
    let offsets = DVector::from_iterator(network.neurons(), offsets);
    Ok(Reference { phase_error: spec.phase_error, offsets })
}

/// The closed form of the whole experiment.
struct Theory<'a> {
    spec: &'a FrequencyOptimum,
    network: &'a Network,
    substrate: LinearSubstrate,
    /// The substrate with each neuron's bias a little higher, and a little lower.
    moved: Vec<[LinearSubstrate; 2]>,
    noise: NoiseResponse,
    reference: Reference,
}

impl Theory<'_> {
    /// Relative bias and noise of the gradient.
    fn errors(&self, problem: &Problem<'_>, corner: f64, poles: u32, period: f64) -> Result<(f64, f64)> {
        let spec = self.spec;
        let filter = spec.filter(poles, period);
        let clock = spec.integrator.clock("period", period).map_err(|e| Error::Internal(e.found))?;
        let (clock, periods) = ((clock.ticks, clock.step), spec.count(period));
        let expect =
            |s: &LinearSubstrate| s.expected(spec.amplitude, clock, periods, filter, &self.reference);
        let expected = expect(&self.substrate)?;
        let (error_vector, free) = (expected.response.map(|z| z.re), expected.free.map(|z| z.re));
        let bias = problem.relative_error(error_vector.as_slice(), free.as_slice())?;
        let spectrum = spec.noise.spectrum(corner);
        let of_response = self.noise.covariance(&spectrum, filter, TAU / period) / spec.amplitude.powi(2);
        // A bias moved by iξ on the imaginary rail changes what is measured by i times the derivative.
        let mut slow = 0.0;
        for [up, down] in &self.moved {
            let (up, down) = (expect(up)?, expect(down)?);
            let response = (up.response - down.response) / Complex::from(2.0 * SHIFT);
            let rates = (up.free - down.free) / Complex::from(2.0 * SHIFT);
            for part in [|z: Complex<f64>| z.re, |z: Complex<f64>| -z.im] {
                let change = products(self.network, &response.map(part), &free)
                    + products(self.network, &error_vector, &rates.map(part));
                slow += change.norm_squared();
            }
        }
        slow *= slow_variance(&spectrum, filter, spec.noise.slowest());
        let variance = gradient_variance(self.network, &free, &of_response) + slow;
        Ok((bias, variance.sqrt() / problem.size))
    }

    /// The best period by theory, among all whole numbers of steps between the shortest and the longest period; and by a parabola
    /// through the simulated points around the lowest one. None where the error only falls or only rises.
    fn optimum(
        &self,
        problem: &Problem<'_>,
        corner: f64,
        poles: u32,
        points: &[FrequencyOptimumPoint],
    ) -> Result<Optimum> {
        const FINE: i32 = 60;
        let ends = |f: fn(f64, f64) -> f64, start: f64| self.spec.periods.iter().copied().fold(start, f);
        let (short, long) = (ends(f64::min, f64::INFINITY), ends(f64::max, 0.0));
        let (_, step) = self.spec.integrator.fixed_step().ok_or_else(|| Error::Internal("no step".into()))?;
        let mut periods: Vec<f64> = (0..=FINE)
            .map(|k| (short * (long / short).powf(f64::from(k) / f64::from(FINE)) / step).round() * step)
            .collect();
        periods.dedup();
        let mut curve = Vec::with_capacity(periods.len());
        for period in periods {
            let (bias, noise) = self.errors(problem, corner, poles, period)?;
            curve.push((period.ln(), bias.hypot(noise).ln()));
        }
        let simulated: Vec<(f64, f64)> = points.iter().map(|p| (p.period.ln(), p.error.ln())).collect();
        let (predicted, found) = (lowest(&curve), lowest(&simulated));
        Ok(Optimum {
            corner,
            poles,
            period: found.map(|p| p.0.exp()),
            error: found.map(|p| p.1.exp()),
            theory_period: predicted.map(|p| p.0.exp()),
            theory_error: predicted.map(|p| p.1.exp()),
            theory_curve: curve.iter().map(|(period, error)| [period.exp(), error.exp()]).collect(),
        })
    }
}

/// Least-squares parabola through the points within a factor of two of the lowest one's abscissa (both logarithmic): its vertex.
fn lowest(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let place = (0..sorted.len()).min_by(|&i, &j| sorted[i].1.total_cmp(&sorted[j].1))?;
    if place == 0 || place + 1 == sorted.len() {
        return None;
    }
    let centre = sorted[place].0;
    let near: Vec<(f64, f64)> = sorted
        .iter()
        .enumerate()
        .filter(|(i, p)| i.abs_diff(place) <= 1 || (p.0 - centre).abs() < std::f64::consts::LN_2)
        .map(|(_, p)| (p.0 - centre, p.1))
        .collect();
    let matrix = DMatrix::from_fn(near.len(), 3, |i, j| near[i].0.powi(j as i32));
    let right = DVector::from_iterator(near.len(), near.iter().map(|p| p.1));
    let fit = matrix.svd(true, true).solve(&right, 1e-12).ok()?;
    let vertex = -fit[1] / (2.0 * fit[2]);
    let inside = fit[2] > 0.0 && vertex.abs() < std::f64::consts::LN_2;
    inside.then(|| (centre + vertex, fit[0] + 0.5 * fit[1] * vertex))
}
