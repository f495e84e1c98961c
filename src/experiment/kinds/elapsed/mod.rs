//! Runs an `elapsed` experiment: gradient error of always-on estimators against the time that has passed.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;

use indexmap::IndexMap;
use nalgebra::DMatrix;
use serde_json::json;

use self::record::{ElapsedPoint, Modes};
use super::frequency::refuse_vanishing;
use crate::error::{Error, Invalid, Result};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_equations, validate_estimators};
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{self, Settle, complexified};
use crate::gradient::{
    Adjoint, CHUNK, Estimator, EstimatorSpec, Repeated, Setting, estimate_batch, extrapolation_weights,
};
use crate::imperfections::Imperfections;
use crate::numerics::state::StateShape;
use crate::substrate::Linear;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::slow_modes::slowest_rate;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: false, files: &[] };

spec! {
    /// Gradient error of always-on estimators against the time that has passed since the drive began at the free equilibrium.
    ///
    /// Each estimate is the mean over all periods so far. With `richardson`, the periods T, 2T, 4T … are driven one after the other,
    /// each from the free equilibrium and for the same time.
    pub struct Elapsed {
        description, notes, published, model,
        /// Path of the parameter file; without it the parameters are the initial ones of the seed.
        parameters?,
        /// Seed of initial parameters.
        seed,
        /// The data, of which all training samples are used: limit them, as by `{"mnist": {"train": 10}}`.
        data, form,
        /// `staircase` and `oscillation`, by label. Their `settle_periods`, `periods`, `free`, `onset_periods` and
        /// `per_synapse` are replaced: the drive begins at full amplitude, and a tied network has a multiplier in each synapse.
        /// Several periods are combined with polynomial weights, whatever `extrapolation` says; `correct_asymmetry` is refused.
        pub estimators: IndexMap<String, EstimatorSpec>,
        /// Periods of each; where several are extrapolated, they take as long together: for `richardson` n at least n · 2ⁿ⁻¹.
        #[schemars(range(min = 1, max = 100_000))]
        pub periods: u64,
    }
}

impl Kind for Elapsed {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        refuse_equations(network)?;
        self.data.check().map_err(|e| e.under("data"))?;
        if !(1..=100_000).contains(&self.periods) {
            return Err(Invalid::new("periods", format!("found {}", self.periods), "1 to 100000 periods"));
        }
        for (label, estimator) in &self.estimators {
            let Some(once) = estimator.repeated(0, false) else {
                let found = format!("found {}", estimator.name());
                let legal = "staircase or oscillation: what is always on";
                return Err(Invalid::new(format!("estimators.{label}"), found, legal));
            };
            if once.corrected {
                let path = format!("estimators.{label}.{}.correct_asymmetry", estimator.name());
                let legal =
                    "false: the free rates are measured while the drive settles, and here it does not";
                return Err(Invalid::new(path, "found true", legal));
            }
            let round = round(once.richardson);
            if self.periods < round {
                let found = format!("found {}, of which `{label}` needs {round} at a time", self.periods);
                return Err(Invalid::new(
                    "periods",
                    found,
                    format!("at least {round}, or fewer in its `richardson`"),
                ));
            }
        }
        validate_estimators(&self.estimators, network, self.form, &Imperfections::default())
    }

    fn cost(&self, setup: &Setup, options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let (samples, _) = cost::counts(setup, &self.data, options)?;
        let chunks = (samples / CHUNK as f64).ceil();
        let mut work = Cost::default();
        for e in self.estimators.values() {
            let Some(once) = e.repeated(0, false) else { continue };
            let stages = cost::stages(once.integrator);
            let evaluations = self.periods as f64 * once.ticks * stages * chunks;
            work += Cost {
                evaluations,
                thread_seconds: substrate.seconds(evaluations, samples.min(CHUNK as f64), 2.0)
                    + self.periods as f64 * substrate.parameters * chunks * 10e-9,
                threads: chunks.min(rayon::current_num_threads() as f64),
                memory: f64::from(once.richardson) * (substrate.states(samples) + substrate.parameter_bytes)
                    + (chunks + 2.0) * substrate.parameter_bytes,
                disk: self.periods as f64 * 500.0,
                ..Cost::default()
            };
        }
        let square = substrate.neurons * substrate.neurons;
        work.memory += 4.0 * square * 8.0 + substrate.states(samples) * cost::ACCELERATED;
        work.thread_seconds += samples * square * substrate.neurons * 10.0 / 1e9;
        Ok(cost::with_study(&substrate, samples, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink, options)
    }
}

/// Base periods until each of several periods T, 2T, 4T … has been driven for the same time.
fn round(richardson: u32) -> u64 {
    u64::from(richardson) << richardson.saturating_sub(1)
}

/// One period T, 2T, 4T … of an estimator: what it has seen so far.
struct Sequence {
    estimator: Box<dyn Estimator<f64>>,
    states: Vec<Vec<f64>>,
    sum: Parameters<f64>,
    periods: u64,
}

impl Sequence {
    /// Drives for some more periods.
    fn drive(&mut self, periods: u64, setting: &Setting<'_, f64>, samples: &Samples<f64>) -> Result<u64> {
        let mut evaluations = 0;
        for _ in 0..periods {
            let estimate = estimate_batch(&*self.estimator, setting, samples, &mut self.states)?;
            self.sum.add_scaled(1.0, &estimate.gradient);
            evaluations += estimate.diagnostics.rhs_evaluations;
        }
        self.periods += periods;
        Ok(evaluations)
    }
}

fn run(spec: &Elapsed, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
    let network = &setup.network;
    let data = problem::data(setup, &spec.data, spec.seed, options)?.train;
    let samples = Samples::<f64>::labelled(&data.inputs(), &data.labels, network.output.size());
    let parameters = problem::initial(setup, spec.parameters.as_ref(), spec.seed)?;
    sink.begin()?;
    let effective = Effective::new(network, spec.form, &parameters);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let truth = estimate_batch(&Adjoint::default(), &setting, &samples, &mut Vec::new())?.gradient;
    refuse_vanishing(setup, &truth)?;
    let norm = truth.norm();
    let free = equilibrium::free(&setting, &samples, &Settle::default())?;
    let real = StateShape::new(network, samples.count, 1);
    let complex = complexified(&real, &free.state);
    let places: Vec<usize> = (0..samples.count).collect();
    let start: Vec<Vec<f64>> = places
        .chunks(setting.substrate.chunk(samples.count))
        .map(|chunk| real.with_rails(2).select(chunk, &complex))
        .collect();
    let linear = setting.substrate.linearise(&samples, Some(&free.drive), &free.rates);
    let slowest = slowest_rate(&*linear);
    let uniform = network.layers.iter().flat_map(|l| &l.tau).all(|tau| *tau == 1.0);
    let rising = linear.slope().iter().all(|slope| *slope >= 0.0);
    let modes = (network.is_tied() && uniform && rising)
        .then(|| modes(&*linear, &linear.cost_slope(&free.output_error), samples.count));

    let mut lines = vec![format!("slowest relaxation rate {slowest:.4}/tau")];
    let mut last = Vec::new();
    for (label, estimator) in &spec.estimators {
        let repeated = |doublings| estimator.repeated(doublings, network.is_tied());
        let Some(Repeated { period, richardson, .. }) = repeated(0) else { continue };
        let sequence = |doublings| {
            Some(Sequence {
                estimator: repeated(doublings)?.estimator.build(),
                states: start.clone(),
                sum: Parameters::zeros(network.shapes()),
                periods: 0,
            })
        };
        let mut sequences: Vec<Sequence> = (0..richardson).filter_map(sequence).collect();
        // All sequences together take as long as `periods` of one.
        let round = round(richardson);
        let rounds = spec.periods / round;
        let mut evaluations = 0;
        for count in 1..=rounds {
            for (k, sequence) in (0..richardson).zip(&mut sequences) {
                evaluations += sequence.drive(1 << (richardson - 1 - k), &setting, &samples)?;
            }
            let mut gradient = Parameters::zeros(network.shapes());
            for (weight, sequence) in extrapolation_weights(sequences.len()).iter().zip(&sequences) {
                gradient.add_scaled(*weight / sequence.periods as f64, &sequence.sum);
            }
            let agreement = compare(&gradient, &truth);
            let missing = || Error::Internal("a gradient of zero".into());
            let point = ElapsedPoint {
                estimator: label.clone(),
                method: estimator.name().to_owned(),
                richardson: u64::from(richardson),
                base_period: period,
                period: count,
                elapsed: (count * round) as f64 * period,
                rhs_evaluations: evaluations,
                cosine: agreement.synapses.cosine,
                total_cosine: agreement.total.cosine,
                distance: agreement.total.relative_error.ok_or_else(missing)? * norm,
                relative_error: agreement.synapses.relative_error.ok_or_else(missing)?,
            };
            sink.record(&point)?;
            if count == rounds {
                let shown =
                    |cosine: Option<f64>| cosine.map_or("none (it is zero)".into(), |c| format!("{c:.6}"));
                lines.push(format!(
                    "{label:28} after {:6.0} tau: cosine {}, between layers {}",
                    point.elapsed,
                    shown(point.total_cosine),
                    shown(point.cosine)
                ));
                last.push(point);
            }
        }
    }
    sink.write_json(
        SUMMARY,
        &json!({ "slowest_rate": slowest, "modes": modes, "last": last, "wall_seconds": sink.seconds() }),
    )?;
    Ok(lines)
}

/// Lowest and highest rate of the histogram, in 1/τ, and its bins.
const RATES: (f64, f64) = (0.005, 5.0);
const BINS: usize = 30;

/// How the response to slow teaching is shared out among the modes of relaxation, for a tied network of one time constant whose
/// activations rise everywhere.
///
/// D^{1/2} J D^{−1/2} = −1 + D^{1/2} W D^{1/2} is symmetric there, with eigenvectors v and rates λ. In the metric in which they are
/// orthogonal the response is Σ v (v·D^{1/2} F_β)/λ. Summed over the samples.
fn modes(linear: &dyn Linear<f64>, cost_slope: &[f64], samples: usize) -> Modes {
    let (shape, slope) = (linear.shape(), linear.slope());
    let n = shape.neurons();
    let edge = |i: usize| RATES.0 * (RATES.1 / RATES.0).powf(i as f64 / BINS as f64);
    let (mut share, mut count) = (vec![0.0; BINS], vec![0.0; BINS]);
    for sample in 0..samples {
        let places: Vec<usize> = (0..shape.layers()).flat_map(|l| shape.column(l, 0, sample)).collect();
        let root: Vec<f64> = places.iter().map(|&i| slope[i].sqrt()).collect();
        let jacobian = linear.jacobian(sample);
        let symmetric = DMatrix::from_fn(n, n, |i, j| {
            // A neuron that does not respond at all is alone with its leak.
            let scale = if root[j] > 0.0 { root[i] / root[j] } else { 0.0 };
            if i == j { jacobian[(i, j)] } else { jacobian[(i, j)] * scale }
        });
        let eigen = symmetric.symmetric_eigen();
        for (rate, vector) in eigen.eigenvalues.iter().map(|e| -e).zip(eigen.eigenvectors.column_iter()) {
            let push: f64 =
                vector.iter().zip(&root).zip(&places).map(|((v, d), &i)| v * d * cost_slope[i]).sum();
            let place = (rate / RATES.0).ln() / (RATES.1 / RATES.0).ln() * BINS as f64;
            let bin = (place.max(0.0) as usize).min(BINS - 1);
            share[bin] += (push / rate).powi(2);
            count[bin] += 1.0 / (samples * n) as f64;
        }
    }
    let total: f64 = share.iter().sum();
    share.iter_mut().for_each(|s| *s /= total);
    Modes { rates: (0..BINS).map(|i| (edge(i) * edge(i + 1)).sqrt()).collect(), share, count }
}
