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
mod diagnostics;
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
pub use diagnostics::{Diagnostics, Stop};
pub use extrapolation::{Extrapolation, extrapolation_weights};
pub use harmonic_balance::{HarmonicBalance, SteadyState};
pub use oscillation::Oscillation;
pub(crate) use series::TOLERATED;
pub use sifted::{Sifted, Unsettled, counted};
pub use spec::EstimatorSpec;
pub use staircase::Staircase;

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::host::crew::spread;
use crate::host::watcher;
use crate::imperfections::NoiseMemory;
use crate::imperfections::instant::{Disturbances, Instant};
use crate::imperfections::readout::Converter;
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
    let part = |(state, index): (&mut Vec<T>, usize)| {
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
    };
    let mine = &mut states[own.clone()];
    let parts: Vec<Result<Estimate<T>>> = spread(|| mine.par_iter_mut().zip(own).map(part).collect());
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
