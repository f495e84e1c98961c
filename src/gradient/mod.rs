//! Gradient estimators behind one interface, and their comparison with the truth.

mod acceleration;
mod adjoint;
mod auto;
mod cauchy;
mod chebyshev;
mod classic;
pub mod compare;
mod convergence;
mod description;
mod driven;
pub mod equilibrium;
mod extrapolation;
mod harmonic_balance;
mod oscillation;
mod resolvent;
mod series;
mod sifted;
mod spec;
mod staircase;
mod sweeps;
mod together;
pub(crate) mod work;

pub use adjoint::{Adjoint, Solver};
pub use auto::Auto;
pub use cauchy::Cauchy;
pub use chebyshev::Chebyshev;
pub use classic::Classic;
pub(crate) use description::{Repeated, check_time_constants};
pub use extrapolation::{Extrapolation, extrapolation_weights};
pub use harmonic_balance::{HarmonicBalance, SteadyState};
pub use oscillation::Oscillation;
pub(crate) use series::TOLERATED;
pub use sifted::{Sifted, Unsettled, counted};
pub use spec::EstimatorSpec;
pub use staircase::Staircase;

use nalgebra::DMatrix;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::watcher;
use crate::imperfections::NoiseMemory;
use crate::imperfections::instant::{Disturbances, Instant};
use crate::imperfections::readout::Converter;
use crate::numerics::krylov::Solved;
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Integrator, IntegratorSpec};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::{SampleView, Samples};
use crate::substrate::slow_modes::slowest_rate;
use crate::substrate::{Field, Substrate};
use crate::team;

pub use crate::substrate::CHUNK;

/// What an estimator works on, beside the samples.
#[derive(Clone, Copy)]
pub struct Setting<'a, T: Scalar> {
    /// The programmed substrate.
    pub substrate: &'a dyn Substrate<T>,
    /// Noise and read-out.
    pub noise: Option<Surroundings<'a, T>>,
    /// Number of the weight update: every update draws fresh noise.
    pub update: u64,
    /// Whether to spend evaluations on diagnostics that the gradient does not need.
    pub diagnose: bool,
}

impl<'a, T: Scalar> Setting<'a, T> {
    /// A substrate without noise, observed with all diagnostics.
    #[must_use]
    pub fn quiet(substrate: &'a dyn Substrate<T>) -> Self {
        Self { substrate, noise: None, update: 0, diagnose: true }
    }
}

/// The estimate of a batch without noise, from rest. `estimator` is a name or an object as in experiment files, `"adjoint"` or
/// `{"oscillation": {"amplitude": 0.1, "period": 80.0}}`.
///
/// # Errors
/// An estimator that there is not, and [`Error::Diverged`].
pub fn estimate<T: Scalar>(
    substrate: &dyn Substrate<T>,
    samples: &Samples<T>,
    estimator: &str,
) -> Result<Estimate<T>> {
    let estimator = estimator.parse::<EstimatorSpec>()?.build();
    estimate_batch(&*estimator, &Setting::quiet(substrate), samples, &mut Vec::new())
}

/// What acts on the substrate at every instant.
#[derive(Clone, Copy)]
pub struct Surroundings<'a, T: Scalar> {
    /// Noise and read-out.
    pub instant: Instant,
    /// Seed of the noise.
    pub seed: u64,
    /// Where the noise of each chunk of samples is left for what follows: for the next phase of an estimate, and by `continuous`
    /// noise for the next update. Empty, an estimate has a memory of its own.
    pub memories: &'a [NoiseMemory<T>],
}

impl<T: Scalar> Surroundings<'_, T> {
    /// Noise and read-out with a seed, for one estimate.
    #[must_use]
    pub fn new(instant: Instant, seed: u64) -> Self {
        Self { instant, seed, memories: &[] }
    }
}

/// A way to obtain the gradient of the cost from the substrate's activity.
pub trait Estimator<T: Scalar>: Send + Sync {
    /// Estimates the gradient *summed* over one chunk of samples.
    ///
    /// `state` carries the substrate's state from one batch to the next: empty, it starts from rest; in either case it
    /// receives the state at the end.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        state: &mut Vec<T>,
    ) -> Result<Estimate<T>>;

    /// |β|; zero where there is none, or where the estimate does not depend on it.
    fn amplitude(&self) -> f64 {
        0.0
    }

    /// The same estimator at another amplitude, where the estimate may depend on it.
    fn with_amplitude(&self, _amplitude: f64) -> Option<Box<dyn Estimator<T>>> {
        None
    }
}

/// What every estimator returns.
#[derive(Debug, Clone)]
pub struct Estimate<T: Scalar> {
    /// The gradient of the cost; summed over a chunk, averaged over a batch.
    pub gradient: Parameters<T>,
    /// The imaginary part of the complex estimate, where there is one: zero for an unbiased estimate.
    pub quadrature: Option<Parameters<T>>,
    /// The free equilibrium the estimator believes in: rates of each layer, [n × samples].
    pub free: Vec<DMatrix<T>>,
    /// δ, the response of the rates per unit of β, of each layer, [n × samples].
    pub error_vector: Vec<DMatrix<T>>,
    /// p − y (or a − y) of the free equilibrium it believes in, [outputs × samples].
    pub output_error: DMatrix<T>,
    /// Nudged equilibria, where the estimator visits any: for each point, each layer's rates, [n × 2·samples].
    pub nudged: Vec<Vec<DMatrix<T>>>,
    /// How the estimate came about.
    pub diagnostics: Diagnostics,
}

/// How an estimate came about, and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Evaluations of the right-hand side, for one chunk after the other.
    pub rhs_evaluations: u64,
    /// Largest |G − s| of an equilibrium, or largest change of the state over the last period, or relative residual of a linear
    /// equation that was not solved.
    pub settling_residual: f64,
    /// Largest |c₋₁| of the rates (not divided by |β|): zero for a holomorphic substrate in its periodic steady state.
    pub negative_harmonics: Option<f64>,
    /// |c₋₁|/|c₁| of the rates without noise, where c₋₁ is no positive harmonic that the points of a period cannot tell from it.
    #[serde(default)]
    pub negative_share: Option<f64>,
    /// Relative change of the gradient, without noise, from a smaller amplitude to this one: a sixteenth of it, or as much more (up to
    /// a half) as precision asks for. Zero for a power series that is read out exactly.
    #[serde(default)]
    pub amplitude_error: Option<f64>,
    /// Part of the response to this amplitude that rounding, and the tolerance of frozen phases, may make.
    #[serde(default)]
    pub precision_error: Option<f64>,
    /// Share of the highest harmonic of a real drive in the response, from the third on: small where they decay.
    #[serde(default)]
    pub last_harmonic: Option<f64>,
    /// |β| up to which the response is estimated to be a convergent power series, from the decay of the harmonics; none where it
    /// is none at the present amplitude.
    pub radius_of_convergence: Option<f64>,
    /// Slowest relaxation rate seen, in 1/τ.
    pub slowest_rate: Option<f64>,
    /// ωτ of the drive, the fastest where there are several; zero for frozen teaching.
    pub drive_rate: f64,
    /// Relative frequency bias of the response at the longest period, as the extrapolation to zero frequency tells it; from
    /// the quadrature where only one period is measured.
    #[serde(default)]
    pub bias_estimate: Option<f64>,
    /// Relative change of the extrapolated response when the shortest period is left out: a guess from above at the frequency bias
    /// that is left; it knows nothing of transients.
    #[serde(default)]
    pub extrapolation_error: Option<f64>,
    /// Relative noise of the response, amplified as the extrapolation does, from the scatter between periods: where noise is on and two
    /// periods or more are recorded with equal weights.
    #[serde(default)]
    pub noise_estimate: Option<f64>,
    /// Highest harmonic that enters the estimate of a real drive.
    #[serde(default)]
    pub harmonics: Option<u64>,
    /// Noise of the estimate relative to that of a plain lock-in, √Σk² over the odd harmonics, for white noise at the read-out.
    #[serde(default)]
    pub noise_gain: Option<f64>,
    /// Root mean square of the error vectors without noise, over that of what the noise adds to them: how far the error vector of
    /// one neuron and one sample stands out of the noise. Where there is noise.
    #[serde(default)]
    pub signal_to_noise: Option<f64>,
    /// Places in the batch of samples that were dropped, because they did not settle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<usize>,
    /// Samples that were estimated from two real points, because they did not settle at all of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub two_points: u64,
    /// Why the estimator stopped.
    pub stop: Stop,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why an estimator stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Every equilibrium met its tolerance.
    Settled,
    /// The record of the drive is complete.
    RecordComplete,
    /// An equilibrium did not meet its tolerance within the time allowed.
    TimeLimit,
    /// A linear equation was not solved to its tolerance.
    Unsolved,
    /// The requested error was not reached within the budget.
    BeyondBudget,
}

impl Diagnostics {
    /// Diagnostics of frozen teaching.
    #[must_use]
    pub fn frozen(rhs_evaluations: u64, settling_residual: f64, stop: Stop) -> Self {
        Self {
            rhs_evaluations,
            settling_residual,
            negative_harmonics: None,
            negative_share: None,
            amplitude_error: None,
            precision_error: None,
            last_harmonic: None,
            radius_of_convergence: None,
            slowest_rate: None,
            drive_rate: 0.0,
            bias_estimate: None,
            extrapolation_error: None,
            noise_estimate: None,
            harmonics: None,
            noise_gain: None,
            signal_to_noise: None,
            dropped: Vec::new(),
            two_points: 0,
            stop,
        }
    }

    /// Counts in what a linear solve with a requested `tolerance` took and left.
    fn solved(&mut self, solved: Solved, tolerance: f64) {
        self.rhs_evaluations += solved.products;
        // Around a state that is no equilibrium there is nothing to solve for.
        let unsolved = solved.residual.is_nan() || solved.residual > 100.0 * tolerance;
        if unsolved && self.stop == Stop::Settled {
            self.stop = Stop::Unsolved;
            self.settling_residual = self.settling_residual.max(solved.residual);
        }
    }

    fn merge(&mut self, other: &Self) {
        let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        let smaller = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        self.rhs_evaluations += other.rhs_evaluations;
        self.settling_residual = self.settling_residual.max(other.settling_residual);
        self.negative_harmonics = larger(self.negative_harmonics, other.negative_harmonics);
        self.negative_share = larger(self.negative_share, other.negative_share);
        self.amplitude_error = larger(self.amplitude_error, other.amplitude_error);
        self.precision_error = larger(self.precision_error, other.precision_error);
        self.last_harmonic = larger(self.last_harmonic, other.last_harmonic);
        self.radius_of_convergence = smaller(self.radius_of_convergence, other.radius_of_convergence);
        self.slowest_rate = smaller(self.slowest_rate, other.slowest_rate);
        self.drive_rate = self.drive_rate.max(other.drive_rate);
        self.bias_estimate = larger(self.bias_estimate, other.bias_estimate);
        self.extrapolation_error = larger(self.extrapolation_error, other.extrapolation_error);
        self.noise_estimate = larger(self.noise_estimate, other.noise_estimate);
        self.harmonics = self.harmonics.max(other.harmonics);
        self.noise_gain = larger(self.noise_gain, other.noise_gain);
        self.dropped.extend_from_slice(&other.dropped);
        self.two_points += other.two_points;
        if matches!(other.stop, Stop::TimeLimit | Stop::Unsolved | Stop::BeyondBudget) {
            self.stop = other.stop;
        }
    }

    /// What a careful reader of these numbers would object to.
    #[must_use]
    pub fn warnings(&self, amplitude: f64) -> Vec<String> {
        // An extrapolation that has converged this far has removed the bias that a fast drive causes.
        const EXTRAPOLATED: f64 = 0.05;
        // Below this, what a synapse sees of a sample is mostly noise: of many samples too, if they share it.
        const AUDIBLE: f64 = 1.0;
        let mut warnings = Vec::new();
        if let Some(rate) = self.slowest_rate {
            if rate <= 0.0 {
                warnings.push(format!("the free equilibrium is unstable (slowest rate {rate:.3}/tau)"));
            } else if self.drive_rate > rate && self.extrapolation_error.is_none_or(|e| e > EXTRAPOLATED) {
                let needed = std::f64::consts::TAU / rate;
                warnings.push(format!(
                    "the drive is faster than the slowest mode (omega tau = {:.3} > {rate:.3}): the estimate is biased; \
                     a period above {needed:.0} tau, or a faster network, would not be",
                    self.drive_rate
                ));
            }
        }
        warnings.extend(self.series_warning(amplitude));
        if let Some(ratio) = self.signal_to_noise.filter(|ratio| *ratio < AUDIBLE) {
            warnings.push(format!(
                "the error vectors hold more noise than signal (signal-to-noise ratio {ratio:.2}): updates follow the noise \
                 unless many samples average it out; increase the amplitude (now {amplitude}), or average for longer"
            ));
        }
        if self.stop == Stop::TimeLimit {
            warnings.push(format!(
                "an equilibrium was not reached (residual {:.1e}): raise `settle.max_time`",
                self.settling_residual
            ));
        }
        if self.stop == Stop::Unsolved {
            warnings.push(format!(
                "the linear equation of the response was not solved (relative residual {:.1e}): the network is too close to an \
                 instability; lower its weights, or the `tolerance` of the equilibrium it is solved at",
                self.settling_residual
            ));
        }
        if self.stop == Stop::BeyondBudget {
            let reached =
                self.extrapolation_error.map_or_else(String::new, |e| format!(" (about {e:.1e} is left)"));
            let advice = match self.noise_estimate {
                Some(noise) if self.extrapolation_error.is_none_or(|e| noise > 0.5 * e) => format!(
                    "noise alone makes about {noise:.1e}; raise `amplitude`, or average with the `periods` of `oscillation`"
                ),
                _ => "raise `budget`".to_owned(),
            };
            warnings.push(format!("the requested error was not reached{reached}: {advice}"));
        }
        warnings
    }
}

/// Estimates the mean gradient of a batch, chunk by chunk on all threads of the current pool, and of all ranks of the current team.
///
/// `states` holds one state per chunk (see [`Estimator::estimate`]) and is resized as needed. The result is the same,
/// bit for bit, for any number of threads and ranks: chunks are cut alike and summed in order.
///
/// # Errors
/// The first chunk's error.
pub fn estimate_batch<T: Scalar>(
    estimator: &dyn Estimator<T>,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    states: &mut Vec<Vec<T>>,
) -> Result<Estimate<T>> {
    estimate_view(estimator, setting, samples.view(), states)
}

/// As [`estimate_batch`], of samples in memory that belongs to somebody else: each chunk is copied when its turn comes.
///
/// # Errors
/// As [`estimate_batch`].
pub fn estimate_view<T: Scalar>(
    estimator: &dyn Estimator<T>,
    setting: &Setting<'_, T>,
    samples: SampleView<'_, T>,
    states: &mut Vec<Vec<T>>,
) -> Result<Estimate<T>> {
    let chunk = setting.substrate.chunk(samples.count);
    states.resize_with(samples.count.div_ceil(chunk), Vec::new);
    let begun = setting.diagnose.then(|| states.clone());
    let mut total = estimate_chunks(estimator, setting, samples, states)?;
    // Noise may keep a substrate from a divergence that it would run into without: then there is no telling.
    if let (Some(begun), true) = (&begun, setting.is_noisy()) {
        let noise = setting.noise.map(|n| Surroundings::new(n.instant.without_noise(), n.seed));
        let quiet = Setting { diagnose: false, noise, ..*setting };
        if let Ok(quiet) = estimate_chunks(estimator, &quiet, samples, &mut begun.clone()) {
            total.diagnostics.signal_to_noise = signal_to_noise(&quiet.error_vector, &total.error_vector);
        }
    }
    if let Some(begun) = begun {
        series::examine(estimator, setting, (samples, begun, states), &mut total);
    }
    let dropped = &total.diagnostics.dropped;
    let counted = if dropped.is_empty() { samples.count } else { counted(samples.count, dropped)?.len() };
    let scale = T::of(1.0 / counted as f64);
    total.gradient.scale(scale);
    if let Some(quadrature) = &mut total.quadrature {
        quadrature.scale(scale);
    }
    Ok(total)
}

/// Estimates the gradient summed over the chunks.
fn estimate_chunks<T: Scalar>(
    estimator: &dyn Estimator<T>,
    setting: &Setting<'_, T>,
    samples: SampleView<'_, T>,
    states: &mut [Vec<T>],
) -> Result<Estimate<T>> {
    let watcher = watcher::current();
    let size = setting.substrate.chunk(samples.count);
    let own = team::share(states.len());
    let parts: Vec<Result<Estimate<T>>> = states[own.clone()]
        .par_iter_mut()
        .zip(own)
        .map(|(state, index)| {
            let chunk = samples.part(index * size, size);
            let own = NoiseMemory::default();
            let noise = setting.noise.map(|noise| {
                let memory = noise.memories.get(index).unwrap_or(&own);
                Surroundings { memories: std::slice::from_ref(memory), ..noise }
            });
            watcher::within(watcher.clone(), || {
                watcher::check()?;
                let estimate = estimator.estimate(&Setting { noise, ..*setting }, &chunk, state);
                equilibrium::or_fault(setting, estimate)
            })
        })
        .collect();
    if let Some(team) = team::current() {
        return together::assemble(&team, setting.substrate, parts, states);
    }
    let mut parts = parts.into_iter();
    let mut total = parts.next().ok_or_else(|| Error::Internal("an empty batch".into()))??;
    for part in parts {
        total.join(&part?);
    }
    Ok(total)
}

/// Root mean square of error vectors without noise over that of what noise adds to them; none if it adds nothing.
fn signal_to_noise<T: Scalar>(quiet: &[DMatrix<T>], noisy: &[DMatrix<T>]) -> Option<f64> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (quiet, noisy) in quiet.iter().zip(noisy).flat_map(|(q, n)| q.iter().zip(n.iter())) {
        signal += quiet.double().powi(2);
        noise += (*noisy - *quiet).double().powi(2);
    }
    Some((signal / noise).sqrt()).filter(|ratio| ratio.is_finite())
}

impl<T: Scalar> Estimate<T> {
    /// Refuses a gradient that is not finite; `label` says which estimate it is.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn refuse_infinite(&self, label: &str) -> Result<()> {
        if self.gradient.is_finite() {
            return Ok(());
        }
        Err(Error::Diverged {
            moment: "when it was read out".into(),
            place: format!("the read-out of `{label}`"),
            what: "the gradient estimate is not finite".into(),
            advice: "lower its `amplitude`, or the weights".into(),
        })
    }

    /// Appends the samples of another chunk.
    fn join(&mut self, other: &Self) {
        self.gradient.add_scaled(T::one(), &other.gradient);
        if let (Some(mine), Some(theirs)) = (&mut self.quadrature, &other.quadrature) {
            mine.add_scaled(T::one(), theirs);
        }
        for (mine, theirs) in self.free.iter_mut().zip(&other.free) {
            append_columns(mine, theirs);
        }
        for (mine, theirs) in self.error_vector.iter_mut().zip(&other.error_vector) {
            append_columns(mine, theirs);
        }
        append_columns(&mut self.output_error, &other.output_error);
        for (mine, theirs) in self.nudged.iter_mut().flatten().zip(other.nudged.iter().flatten()) {
            append_rails(mine, theirs);
        }
        self.diagnostics.merge(&other.diagnostics);
    }
}

fn append_columns<T: Scalar>(a: &mut DMatrix<T>, b: &DMatrix<T>) {
    let data: Vec<T> = a.iter().chain(b.iter()).copied().collect();
    *a = DMatrix::from_vec(a.nrows(), a.ncols() + b.ncols(), data);
}

/// Joins [re a | im a] and [re b | im b] to [re a, re b | im a, im b].
fn append_rails<T: Scalar>(a: &mut DMatrix<T>, b: &DMatrix<T>) {
    let (a_re, a_im) = a.as_slice().split_at(a.len() / 2);
    let (b_re, b_im) = b.as_slice().split_at(b.len() / 2);
    let data: Vec<T> = [a_re, b_re, a_im, b_im].concat();
    *a = DMatrix::from_vec(a.nrows(), a.ncols() + b.ncols(), data);
}

/// Numbers per sample as a matrix, [n × samples].
fn columns<T: Scalar>(samples: usize, values: &[T]) -> DMatrix<T> {
    DMatrix::from_column_slice(values.len() / samples, samples, values)
}

/// A state's layers as matrices, [n × columns].
fn matrices<T: Scalar>(shape: &StateShape, state: &[T]) -> Vec<DMatrix<T>> {
    let matrix =
        |layer| DMatrix::from_column_slice(shape.size(layer), shape.columns(), &state[shape.layer(layer)]);
    (0..shape.layers()).map(matrix).collect()
}

impl<'a, T: Scalar> Setting<'a, T> {
    /// Whether the trajectory carries noise.
    fn is_noisy(&self) -> bool {
        self.noise.is_some_and(|noise| noise.instant.is_noisy())
    }

    /// Whether noise drives the imaginary rail of a state that would otherwise stay real.
    fn disturbs_imaginary_rail(&self) -> bool {
        self.noise.is_some_and(|noise| noise.instant.disturbs_imaginary_rail())
    }

    /// Binds the noise that is held through each step to a field. It goes on where the phase before has left it.
    pub(crate) fn hold_noise(&self, field: &mut dyn Field<'a, T>, samples: &Samples<T>) -> Result<()> {
        let Some(Surroundings { instant, seed, memories }) = &self.noise else { return Ok(()) };
        let inputs = self.substrate.inputs();
        let noise = Disturbances::new(instant, *seed, self.update, field.shape(), inputs, samples.first);
        let noise = match memories.first() {
            Some(memory) => memory.resumed(self.update, noise),
            None => noise,
        };
        field.hold_noise(noise, &samples.inputs)
    }

    /// Leaves the noise of a phase that has ended to the next.
    fn keep_noise(&self, noise: Disturbances<T>) {
        if let Some(memory) = self.noise.and_then(|noise| noise.memories.first()) {
            memory.keep(self.update, noise);
        }
    }

    /// Lets time pass, in nominal τ, in which nothing is seen of the noise.
    fn pass_noise(&self, time: f64) {
        if let Some(memory) = self.noise.and_then(|noise| noise.memories.first()) {
            memory.pass(time);
        }
    }

    /// What the lock-in sees through, if not the bare substrate.
    pub(crate) fn converter(&self, shape: &StateShape) -> Option<Converter<T>> {
        let instant = self.noise?.instant;
        Converter::new(&instant.readout?, instant.device_seed, shape, self.substrate.outputs())
    }

    /// Radians by which the lock-in's reference is ahead of the drive.
    fn phase_error(&self) -> f64 {
        self.noise.and_then(|noise| noise.instant.readout).map_or(0.0, |readout| readout.phase_error)
    }

    /// The integrator of a field of the samples, with what kicks its state.
    ///
    /// # Errors
    /// White noise on the state with an integrator that has no place for it.
    pub(crate) fn integrator(
        &self,
        samples: &Samples<T>,
        integrator: IntegratorSpec,
        step: f64,
        field: &dyn Field<'_, T>,
    ) -> Result<Box<dyn Integrator<T>>> {
        let (leak, shape) = (field.leak(), field.shape());
        let Some(Surroundings { instant: Instant { state: Some(noise), .. }, seed, .. }) = self.noise else {
            return Ok(integrator.build(step, leak, shape.len()));
        };
        let key = NoiseKey::new(seed, Purpose::StateNoise, self.update);
        noise.integrator(key, samples.first, (integrator, step), leak, shape)
    }

    /// Slowest relaxation rate around rates a* over all samples, when diagnosing.
    fn probe_rate(&self, samples: &Samples<T>, free: &[T]) -> Option<f64> {
        self.diagnose.then(|| self.slowest_rate(samples, free))
    }

    /// Slowest relaxation rate around rates a* over all samples.
    fn slowest_rate(&self, samples: &Samples<T>, free: &[T]) -> f64 {
        slowest_rate(&*self.substrate.linearise(samples, None, free))
    }
}
