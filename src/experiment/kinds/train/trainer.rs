//! The trainer: estimate, update, reprogram; one epoch after the other.

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexMap;
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::Train;
use super::record::Epoch;
use crate::data::{Dataset, batches};
use crate::error::{Error, Result};
use crate::files::{Npz, Tensors, parse_tensors};
use crate::gradient::compare::{Comparison, ErrorCosines, compare, compare_error_vectors};
use crate::gradient::equilibrium;
use crate::gradient::{
    CHUNK, Diagnostics, Estimate, Estimator, EstimatorSpec, Setting, Sifted, Surroundings, counted,
    estimate_batch,
};
use crate::host::crew::spread;
use crate::host::watcher;
use crate::imperfections::{Device, Imperfections, NoiseMemory};
use crate::learning::asymmetry::Asymmetry;
use crate::learning::floor::{RateFloor, largest, scale_recurrent};
use crate::learning::score::{labelled, not_finite, tally};
use crate::learning::{Learner, Optimiser, Part, Score, Snapshot, free_score, kolen_pollack};
use crate::numerics::scalar::Scalar;
use crate::substrate::Substrate;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::energy::{Energy, Metered};
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::slow_modes::{PRODUCTS, slowest_rate_by};
use crate::team;

/// Products with J per sample of a measurement for the floor: it happens after every update.
const FLOOR_PRODUCTS: usize = 20;
/// Times that a floor may scale the weights after one update.
const MOST_SCALINGS: usize = 5;

/// The name of the energy taken so far in snapshots.
const JOULES: &str = "joules";

/// What evolves in a training run.
pub struct Trainer<'a, T: Scalar> {
    spec: Cow<'a, Train>,
    /// What is imperfect: while the network learns, or of the device that it was transferred to.
    imperfections: Imperfections,
    network: Arc<Network>,
    /// Nominal parameters.
    pub parameters: Parameters<T>,
    /// The optimiser with its memory.
    pub optimiser: Optimiser<T>,
    /// Carried states, one per chunk of a batch, each complex and laid out as
    /// [`StateShape`](crate::numerics::state::StateShape); empty before the first batch.
    pub states: Vec<Vec<T>>,
    /// What noise that goes on through all of training remembers, one for each chunk of a batch.
    pub noise: Vec<NoiseMemory<T>>,
    /// Epochs completed.
    pub epoch: u64,
    /// Evaluations of the right-hand side by the estimator so far.
    pub rhs_evaluations: u64,
    /// J that the samples shown so far have taken, where the model has units.
    pub joules: f64,
    /// What the present epoch has come to.
    pub part: Part,
    estimator: Box<dyn Estimator<T>>,
    /// The substrate that was made: it turns nominal parameters into effective ones.
    device: Device<T>,
    effective: Effective<T>,
}

/// What a batch has shown before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// Summed cost of its samples.
    pub loss: f64,
    /// How many were answered correctly.
    pub correct: usize,
    /// How many were learnt from.
    pub samples: usize,
}

/// The estimate beside the adjoint.
struct AgainstTruth<T: Scalar> {
    /// Rates of the free equilibria, of each layer.
    free: Vec<DMatrix<T>>,
    gradient: Comparison,
    error_vectors: ErrorCosines,
    diagnostics: Diagnostics,
}

impl<'a, T: Scalar> Trainer<'a, T> {
    /// A run at its start.
    #[must_use]
    pub fn new(
        spec: Cow<'a, Train>,
        network: &Arc<Network>,
        mut parameters: Parameters<T>,
        optimiser: Optimiser<T>,
    ) -> Self {
        let imperfections = spec.imperfections_of_learning();
        let device = Device::fabricate(network, &imperfections);
        device.confine(&mut parameters);
        Self {
            estimator: built(&spec, &spec.estimator),
            effective: device.effective(spec.form, &parameters, optimiser.updates),
            device,
            network: Arc::clone(network),
            spec,
            imperfections,
            parameters,
            optimiser,
            states: Vec::new(),
            noise: Vec::new(),
            epoch: 0,
            rhs_evaluations: 0,
            joules: 0.0,
            part: Part::default(),
        }
    }

    /// Trains one epoch, or what is left of it, and measures it. `after` hears of each batch, and how many an epoch has; what it finds
    /// ends the epoch.
    ///
    /// # Errors
    /// [`Error::Diverged`], which names epoch and batch; what `after` finds.
    pub fn epoch(
        &mut self,
        train: &Dataset,
        test: &Dataset,
        mut after: impl FnMut(&Self, usize) -> Result<()>,
    ) -> Result<Epoch> {
        let (start, before) = (std::time::Instant::now(), self.part.seconds);
        // The parameters may have been changed since the substrate was built.
        self.program();
        let order = batches(train.samples(), self.spec.batch_size, self.spec.seed, self.epoch);
        self.part.check(order.len())?;
        if self.part.batches == 0 {
            // What steps apart from an epoch have counted is none of its own.
            self.part = Part::default();
        }
        let updates = order.len() as u64 * self.spec.epochs;
        for (index, batch) in order.iter().enumerate().skip(self.part.batches) {
            let shown = train.select_augmented(batch, self.spec.seed, self.epoch);
            let rate = self.spec.schedule.factor(self.optimiser.updates, updates, self.spec.epochs);
            let samples = self.samples(&shown);
            let told = self.update(samples, rate).map_err(|e| self.locate(e, index))?;
            let network = Arc::clone(&self.network);
            let pick = |places: &[u32]| labelled(&network, &shown.select(places));
            self.keep_fast(shown.samples(), pick).map_err(|e| self.locate(e, index))?;
            self.part.add((told.loss, told.correct, told.samples));
            self.part.seconds = before + start.elapsed().as_secs_f64();
            after(self, order.len())?;
        }
        self.epoch += 1;
        let part = std::mem::take(&mut self.part);
        let last = self.optimiser.updates.saturating_sub(1);
        let rate = self.spec.schedule.factor(last, updates, self.spec.epochs);
        let train_score = part.score();
        let test_score = self.score(test).map_err(|e| e.during(&format!("after epoch {}", self.epoch)))?;
        let agreement = self.agreement(train)?;
        let energy = self.energy(train)?;
        self.joules += energy.map_or(0.0, |each| each.joules() * part.samples as f64);
        let probed = self.spec.rate_samples.min(test.samples());
        let tested = |places: &[u32]| self.samples(&test.select(places));
        let test_slowest_rate =
            if probed > 0 { Some(self.slowest_rate(&tested, probed, PRODUCTS)?) } else { None };
        let free = agreement.as_ref().map_or(&[][..], |a| &a.free);
        let asymmetry = Asymmetry::measure(&self.effective, self.spec.jacobian, free);
        Ok(Epoch {
            epoch: self.epoch,
            learning_rate: rate * self.optimiser.learning_rate(),
            train_loss: train_score.loss,
            train_accuracy: train_score.accuracy,
            test_loss: test_score.loss,
            test_accuracy: test_score.accuracy,
            cosine: agreement.as_ref().and_then(|a| a.gradient.total.cosine),
            synapse_cosine: agreement.as_ref().and_then(|a| a.gradient.synapses.cosine),
            relative_error: agreement.as_ref().and_then(|a| a.gradient.synapses.relative_error),
            error_cosine: agreement.as_ref().and_then(|a| a.error_vectors.total),
            layer_cosines: agreement
                .as_ref()
                .map_or(IndexMap::new(), |a| self.by_layer(&a.error_vectors.layers)),
            feedback_angle: asymmetry.as_ref().and_then(|a| a.feedback_angle),
            jacobian_symmetry: asymmetry.as_ref().map(|a| a.symmetry),
            non_normality: asymmetry.as_ref().map(|a| a.non_normality),
            eigenvalues: asymmetry.and_then(|a| a.eigenvalues),
            slowest_rate: agreement.as_ref().and_then(|a| a.diagnostics.slowest_rate),
            test_slowest_rate,
            drive_rate: agreement.as_ref().map(|a| a.diagnostics.drive_rate),
            signal_to_noise: agreement.as_ref().and_then(|a| a.diagnostics.signal_to_noise),
            warnings: agreement
                .map_or(Vec::new(), |a| a.diagnostics.warnings(self.spec.estimator.amplitude())),
            halvings: part.halvings,
            dropped: part.dropped,
            two_points: part.two_points,
            joules: energy.map(|_| self.joules),
            rhs_evaluations: self.rhs_evaluations,
            seconds: before + start.elapsed().as_secs_f64(),
        })
    }

    /// Learns from one batch: what an epoch does with each of its batches, the rate floor included. `rate` is a factor on the
    /// learning rate.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn step(&mut self, samples: Samples<T>, rate: f64) -> Result<Batch> {
        let whole = Samples { first: 0, ..samples.clone() };
        let told = self.update(samples, rate)?;
        self.keep_fast(whole.count, |places| {
            whole.select(&places.iter().map(|place| *place as usize).collect::<Vec<_>>())
        })?;
        Ok(told)
    }

    /// Estimates the gradient of a batch, and takes the update to the device.
    fn update(&mut self, mut samples: Samples<T>, rate: f64) -> Result<Batch> {
        let mut estimate = self.estimate(&samples)?;
        let dropped = &estimate.diagnostics.dropped;
        if !dropped.is_empty() {
            samples = samples.select(&counted(samples.count, dropped)?);
        }
        self.part.dropped += dropped.len() as u64;
        self.part.two_points += estimate.diagnostics.two_points;
        self.symmetrise(&mut estimate);
        if !estimate.gradient.is_finite() {
            return Err(not_finite("the gradient estimate", "the read-out".to_owned()));
        }
        // What the substrate has shown is judged by the weights it was shown with.
        let rates = estimate.free[self.network.output.layer()].as_slice();
        let (loss, correct) = tally(&self.effective, &samples, rates, estimate.output_error.as_slice())?;
        let write = self.optimiser.updates + 1;
        let change = self.optimiser.change(&self.parameters, &estimate.gradient, rate);
        self.device.update(&mut self.parameters, change, write);
        self.program();
        self.rhs_evaluations += estimate.diagnostics.rhs_evaluations;
        Ok(Batch { loss, correct, samples: samples.count })
    }

    /// Writes other parameters to the device; the optimiser keeps its memory.
    pub fn set_parameters(&mut self, mut parameters: Parameters<T>) {
        self.device.confine(&mut parameters);
        self.parameters = parameters;
        self.program();
    }

    /// Adds to a gradient what makes the substrate more symmetric.
    fn symmetrise(&self, Estimate { gradient, free, .. }: &mut Estimate<T>) {
        if self.spec.kolen_pollack.is_some() {
            kolen_pollack::share(&self.network, gradient);
        }
        if let Some(homeostasis) = &self.spec.homeostasis {
            let key = (self.spec.seed, self.optimiser.updates);
            homeostasis.add_gradient(&self.effective, free, key, gradient);
        }
    }

    fn by_layer(&self, values: &[Option<f64>]) -> IndexMap<String, f64> {
        let named = self.network.layers.iter().zip(values);
        named.filter_map(|(layer, value)| Some((layer.name.clone(), (*value)?))).collect()
    }

    /// Writes the nominal parameters to the device.
    fn program(&mut self) {
        self.device.program(&self.parameters, self.optimiser.updates, &mut self.effective);
    }

    /// Writes the parameters to another device, which takes the place of the one they were learnt on.
    pub fn transfer(&mut self, imperfections: Imperfections) {
        self.noise.clear();
        self.device = Device::fabricate(&self.network, &imperfections);
        self.imperfections = imperfections;
        self.effective = self.device.effective(self.spec.form, &self.parameters, self.optimiser.updates);
    }

    /// Scales the weights between layers down until the slowest rate of a batch is back above the floor.
    fn keep_fast(&mut self, batch: usize, pick: impl Fn(&[u32]) -> Samples<T> + Sync) -> Result<()> {
        let due = |floor: &RateFloor| self.optimiser.updates.is_multiple_of(floor.every);
        let Some(floor) = self.spec.rate_floor.filter(due) else { return Ok(()) };
        let layers = 0..self.network.layers.len();
        let tau = largest(layers.map(|layer| self.effective.tau(layer)));
        // Weaker coupling leaves the neurons less saturated, their ρ′ larger: the factor falls short a little each time.
        for _ in 0..MOST_SCALINGS {
            let slowest = self.slowest_rate(&pick, floor.samples.min(batch), FLOOR_PRODUCTS)?;
            let Some(factor) = floor.factor(slowest, tau) else { break };
            scale_recurrent(&self.network, &mut self.parameters, factor);
            self.program();
        }
        Ok(())
    }

    /// Slowest relaxation rate around the free equilibria of the first samples, without noise, in 1/τ.
    fn slowest_rate(
        &self,
        pick: &(impl Fn(&[u32]) -> Samples<T> + Sync),
        count: usize,
        products: usize,
    ) -> Result<f64> {
        let setting = Setting { substrate: &self.effective, noise: None, update: 0, diagnose: false };
        let places: Vec<u32> = (0..count as u32).collect();
        let chunks: Vec<&[u32]> = places.chunks(CHUNK).collect();
        let watcher = watcher::current();
        let (own, inference) = (&chunks[team::share(chunks.len())], &self.spec.inference);
        let rate = |chunk: &&[u32]| {
            let samples = pick(chunk);
            let free = || equilibrium::free(&setting, &samples, inference);
            let free = watcher::within(watcher.clone(), free)?;
            let linear = setting.substrate.linearise(&samples, Some(&free.drive), &free.rates);
            Ok(slowest_rate_by(&*linear, products))
        };
        let rates: Vec<Result<f64>> = spread(|| own.par_iter().map(rate).collect());
        Ok(team::gather(rates)?.into_iter().fold(f64::INFINITY, f64::min))
    }

    fn estimate(&mut self, samples: &Samples<T>) -> Result<Estimate<T>> {
        if !self.spec.carry_state {
            self.states.clear();
        }
        let instant = self.imperfections.instant();
        let chunks = samples.count.div_ceil(self.effective.chunk(samples.count)).max(self.noise.len());
        if instant.is_some_and(|instant| instant.is_continuous()) {
            self.noise.resize_with(chunks, NoiseMemory::default);
        }
        let (seed, memories) = (self.spec.seed, &self.noise[..]);
        let setting = Setting {
            substrate: &self.effective,
            noise: instant.map(|instant| Surroundings { instant, seed, memories }),
            update: self.optimiser.updates,
            diagnose: false,
        };
        let (estimator, spec) = (&*self.estimator, &*self.spec);
        let (estimate, halvings) = estimate_or_halve(estimator, spec, &setting, samples, &mut self.states)?;
        self.part.halvings += halvings;
        self.exchange_noise(samples.count)?;
        Ok(estimate)
    }

    /// Takes over what the noise of chunks remembers that other processes have done.
    fn exchange_noise(&mut self, samples: usize) -> Result<()> {
        let chunks = samples.div_ceil(self.effective.chunk(samples));
        let (Some(team), Some(instant)) = (team::current(), self.imperfections.instant()) else {
            return Ok(());
        };
        if self.noise.is_empty() {
            return Ok(());
        }
        let mut own = Tensors::new();
        team.share(chunks).for_each(|slot| self.noise[slot].save(slot, &mut own));
        for (rank, bytes) in team.exchange(Ok(own.to_bytes()))?.iter().enumerate() {
            let mut arrays = parse_tensors("the noise of another rank", bytes)?;
            for slot in team.share_of(rank, chunks).filter(|_| rank != team.rank()) {
                let other = NoiseMemory::load(slot, &instant, &self.network, &mut arrays)?;
                self.noise[slot] = other.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Mean cost and accuracy at the free equilibrium, with noise where the experiment says so.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn score(&self, data: &Dataset) -> Result<Score> {
        let noise = self.imperfections.instant().filter(|_| self.spec.noisy_inference);
        free_score(
            &self.effective,
            data,
            &self.spec.inference,
            noise.map(|instant| Surroundings::new(instant, self.spec.seed)),
        )
    }

    /// The rates of the layers that are images, [height × width × channels], at the free equilibrium of the first sample; none without
    /// convolutions.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn feature_maps(&self, data: &Dataset) -> Result<Option<Npz>> {
        if self.network.shared().is_none() || data.samples() == 0 {
            return Ok(None);
        }
        let setting = Setting { substrate: &self.effective, noise: None, update: 0, diagnose: false };
        let free = equilibrium::free(&setting, &self.samples(&data.select(&[0])), &self.spec.inference)?;
        let mut maps = Npz::new();
        for layer in &self.network.layers {
            if let Some(shape) = layer.shape {
                let rates = &free.rates[layer.offset..][..layer.size];
                maps.insert(&layer.name, &shape, rates, "1", &["row", "column", "channel"]);
            }
        }
        Ok(Some(maps))
    }

    /// The estimate beside the adjoint on the first samples of the training set, and how it came about.
    fn agreement(&self, train: &Dataset) -> Result<Option<AgainstTruth<T>>> {
        let count = self.spec.compare.min(train.samples());
        if count == 0 {
            return Ok(None);
        }
        let first: Vec<u32> = (0..count as u32).collect();
        let samples = self.samples(&train.select(&first));
        let quiet = Setting::quiet(&self.effective);
        // As in training: with its noise and, if the state is carried, on a substrate that comes from other samples.
        let instant = self.imperfections.instant();
        let noise = instant.map(|instant| Surroundings::new(instant, self.spec.seed));
        let setting = Setting { noise, update: self.optimiser.updates, ..quiet };
        let mut states = Vec::new();
        if self.spec.carry_state {
            let last: Vec<u32> = (0..train.samples() as u32).rev().take(count).collect();
            let before = self.samples(&train.select(&last));
            estimate_or_halve(&*self.estimator, &self.spec, &setting, &before, &mut states)?;
        }
        let (estimate, _) = estimate_or_halve(&*self.estimator, &self.spec, &setting, &samples, &mut states)?;
        let counted = samples.select(&counted(count, &estimate.diagnostics.dropped)?);
        let truth = estimate_batch(&self.spec.truth(), &quiet, &counted, &mut Vec::new())?;
        Ok(Some(AgainstTruth {
            free: truth.free,
            gradient: compare(&estimate.gradient, &truth.gradient),
            error_vectors: compare_error_vectors(&estimate.error_vector, &truth.error_vector),
            diagnostics: estimate.diagnostics,
        }))
    }

    /// What one sample takes of time and energy, on average over those that are compared, at least one: the estimate's own trajectories
    /// under a meter. None without units, or where an estimate is not all of trajectories.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn energy(&self, train: &Dataset) -> Result<Option<Energy>> {
        let metered = Metered::new(&self.effective).filter(|_| self.spec.estimator.is_followed());
        let Some(metered) = metered else { return Ok(None) };
        let count = self.spec.compare.clamp(1, 20).min(train.samples());
        let first: Vec<u32> = (0..count as u32).collect();
        let samples = self.samples(&train.select(&first));
        let noise = self.imperfections.instant().map(|instant| Surroundings::new(instant, self.spec.seed));
        let setting = Setting { substrate: &metered, noise, update: self.optimiser.updates, diagnose: false };
        let mut states = Vec::new();
        if self.spec.carry_state {
            // It comes from a sample before, which is not counted.
            let before = Setting { substrate: &self.effective, ..setting };
            estimate_or_halve(&*self.estimator, &self.spec, &before, &samples, &mut states)?;
        }
        // The meter is in this process.
        team::within(None, || {
            estimate_or_halve(&*self.estimator, &self.spec, &setting, &samples, &mut states)
        })?;
        Ok(Some(metered.taken() * (1.0 / count as f64)))
    }

    fn samples(&self, data: &Dataset) -> Samples<T> {
        labelled(&self.network, data)
    }

    fn locate(&self, error: Error, batch: usize) -> Error {
        error.during(&format!("in epoch {}, batch {}", self.epoch + 1, batch + 1))
    }
}

impl<T: Scalar> Learner for Trainer<'_, T> {
    fn epochs(&self) -> u64 {
        self.epoch
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.put(&self.parameters, &self.optimiser, &self.states);
        let arrays = &mut snapshot.arrays;
        self.noise.iter().enumerate().for_each(|(slot, noise)| noise.save(slot, arrays));
        if self.network.units.is_some() {
            arrays.insert_reals(JOULES.to_owned(), &[1], &[self.joules]);
        }
        snapshot.count("epoch", self.epoch);
        snapshot.count("rhs_evaluations", self.rhs_evaluations);
        snapshot.put_part(&self.part);
        snapshot
    }

    fn restore(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.take(&mut self.parameters, &mut self.optimiser, &mut self.states)?;
        let arrays = &mut snapshot.arrays;
        if let Some(instant) = self.imperfections.instant() {
            let load = |slot| NoiseMemory::load(slot, &instant, &self.network, arrays).transpose();
            self.noise = (0..).map_while(load).collect::<Result<_>>()?;
        }
        if self.network.units.is_some() {
            self.joules = arrays.reals::<f64>(JOULES, &[1])?[0];
        }
        arrays.refuse_unused()?;
        self.epoch = snapshot.counter("epoch")?;
        self.rhs_evaluations = snapshot.counter("rhs_evaluations")?;
        self.part = snapshot.part()?;
        // There may be nothing left to learn: what is measured is measured on the device as it was written.
        self.program();
        Ok(())
    }
}

/// An estimator as the experiment wants it: with what does not settle left out, if it says so.
fn built<T: Scalar>(spec: &Train, estimator: &EstimatorSpec) -> Box<dyn Estimator<T>> {
    match spec.unsettled {
        Some(unsettled) => Box::new(Sifted::new(*estimator, unsettled)),
        None => estimator.build(),
    }
}

/// Estimates a batch, at half the amplitude where the simulation diverges, and so on as often as the experiment allows; returns how
/// often it was halved.
fn estimate_or_halve<T: Scalar>(
    estimator: &dyn Estimator<T>,
    spec: &Train,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    states: &mut Vec<Vec<T>>,
) -> Result<(Estimate<T>, u64)> {
    let before = if spec.halvings > 0 { states.clone() } else { Vec::new() };
    let memories = setting.noise.map_or(&[][..], |noise| noise.memories);
    let remembered = if spec.halvings > 0 { memories.to_vec() } else { Vec::new() };
    let mut outcome = estimate_batch(estimator, setting, samples, states);
    let mut halvings = 0;
    while halvings < spec.halvings && outcome.as_ref().is_err_and(Error::is_failed_simulation) {
        halvings += 1;
        let amplitude = spec.estimator.amplitude() * 0.5_f64.powi(halvings as i32);
        states.clone_from(&before);
        memories.iter().zip(&remembered).for_each(|(memory, before)| memory.restore(before));
        let halved = estimator.with_amplitude(amplitude);
        outcome = estimate_batch(halved.as_deref().unwrap_or(estimator), setting, samples, states);
    }
    Ok((outcome?, u64::from(halvings)))
}
