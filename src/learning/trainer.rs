//! The trainer: estimate, update, reprogram; one epoch after the other.

use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::asymmetry::{Asymmetry, JacobianMeasures};
use super::floor::{RateFloor, largest, scale_recurrent};
use super::homeostasis::Homeostasis;
use super::kolen_pollack;
use super::optimiser::{Optimiser, Schedule};
use crate::data::{Dataset, batches};
use crate::error::{Error, Result};
use crate::gradient::compare::{Comparison, ErrorCosines, compare, compare_error_vectors};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{
    Adjoint, CHUNK, Diagnostics, Estimate, Estimator, EstimatorSpec, Setting, Surroundings, estimate_batch,
};
use crate::imperfections::{Device, Imperfections, NoiseMemory};
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::records::Epoch;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::slow_modes::{PRODUCTS, slowest_rate_by};

/// What a training run holds fixed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of the batch order and of the noise.
    pub seed: u64,
    /// How gradients are obtained.
    pub estimator: EstimatorSpec,
    /// Noise and the like.
    pub imperfections: Imperfections,
    /// Which variable the neurons integrate.
    pub form: Form,
    /// Samples of an update.
    pub batch_size: usize,
    /// Epochs in all.
    pub epochs: u64,
    /// Learning-rate schedule.
    pub schedule: Schedule,
    /// Whether the substrate's state is carried from one batch to the next, or starts from rest.
    pub carry_state: bool,
    /// How often the amplitude of a batch on which the simulation diverges is halved.
    pub halvings: u32,
    /// How the equilibria of inference are waited for.
    pub inference: Settle,
    /// Whether noise acts during inference too.
    pub noisy_inference: bool,
    /// Samples on which each epoch compares the estimate with the adjoint; 0 for none.
    pub compare: usize,
    /// Keeps the slowest relaxation rate above a floor.
    pub rate_floor: Option<RateFloor>,
    /// Test samples on which each epoch measures the slowest relaxation rate; 0 for none.
    pub rate_samples: usize,
    /// A term of the cost that pulls the coupling towards symmetry.
    pub homeostasis: Option<Homeostasis>,
    /// Whether both directions of a pair take the sum of their updates.
    pub share_updates: bool,
    /// What each epoch measures of the Jacobian.
    pub jacobian: JacobianMeasures,
}

/// Products with J per sample of a measurement for the floor: it happens after every update.
const FLOOR_PRODUCTS: usize = 20;
/// Times that a floor may scale the weights after one update.
const MOST_SCALINGS: usize = 5;

/// What evolves in a training run.
pub struct Trainer<T: Scalar> {
    /// What the run holds fixed.
    pub plan: Plan,
    pub(super) network: Arc<Network>,
    /// Nominal parameters.
    pub parameters: Parameters<T>,
    /// The optimiser with its memory.
    pub optimiser: Optimiser<T>,
    /// Carried states, one per chunk of a batch, each complex and laid out as
    /// [`StateShape`]; empty before the first batch.
    pub states: Vec<Vec<T>>,
    /// What noise that goes on through all of training remembers, one for each chunk of a batch.
    pub noise: Vec<NoiseMemory<T>>,
    /// Epochs completed.
    pub epoch: u64,
    /// Evaluations of the right-hand side by the estimator so far.
    pub rhs_evaluations: u64,
    /// Times that an amplitude was halved in the present epoch.
    halvings: u64,
    estimator: Box<dyn Estimator<T>>,
    /// The substrate that was made: it turns nominal parameters into effective ones.
    device: Device<T>,
    effective: Effective<T>,
}

/// The estimate beside the adjoint.
struct Agreement {
    gradient: Comparison,
    error_vectors: ErrorCosines,
    diagnostics: Diagnostics,
}

/// Mean cost and share of correct answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cost.
    pub loss: f64,
    /// Share of samples whose largest output is the label's.
    pub accuracy: f64,
}

impl<T: Scalar> Trainer<T> {
    /// A run at its start.
    #[must_use]
    pub fn new(
        plan: Plan,
        network: &Arc<Network>,
        mut parameters: Parameters<T>,
        optimiser: Optimiser<T>,
    ) -> Self {
        let device = Device::fabricate(network, &plan.imperfections);
        device.confine(&mut parameters);
        Self {
            estimator: plan.estimator.build(),
            effective: device.effective(plan.form, &parameters, optimiser.updates),
            device,
            network: Arc::clone(network),
            plan,
            parameters,
            optimiser,
            states: Vec::new(),
            noise: Vec::new(),
            epoch: 0,
            rhs_evaluations: 0,
            halvings: 0,
        }
    }

    /// Trains one epoch and measures it. `progress` hears after each batch: batches done, batches in all, running score.
    ///
    /// # Errors
    /// [`Error::Diverged`], which names epoch and batch.
    pub fn epoch(
        &mut self,
        train: &Dataset,
        test: &Dataset,
        mut progress: impl FnMut(usize, usize, Score),
    ) -> Result<Epoch> {
        let start = std::time::Instant::now();
        // The parameters may have been changed since the substrate was built.
        self.program();
        let order = batches(train.samples(), self.plan.batch_size, self.plan.seed, self.epoch);
        let updates = order.len() as u64 * self.plan.epochs;
        let (mut loss, mut correct, mut seen, mut rate) = (0.0, 0, 0, 0.0);
        self.halvings = 0;
        for (index, batch) in order.iter().enumerate() {
            let shown = train.select_augmented(batch, self.plan.seed, self.epoch);
            let samples = self.samples(&shown);
            let mut estimate = self.estimate(&samples).map_err(|e| self.locate(e, index))?;
            self.symmetrise(&mut estimate.gradient);
            if !estimate.gradient.is_finite() {
                let place = "the read-out".to_owned();
                return Err(self.locate(not_finite("the gradient estimate", place), index));
            }
            // What the substrate has shown is judged by the weights it was shown with.
            let rates = estimate.free[self.network.output.layer()].as_slice();
            let (batch_loss, batch_correct) =
                tally(&self.effective, &samples, rates, estimate.output_error.as_slice())
                    .map_err(|e| self.locate(e, index))?;
            rate = self.plan.schedule.factor(self.optimiser.updates, updates);
            let write = self.optimiser.updates + 1;
            let change = self.optimiser.change(&self.parameters, &estimate.gradient, rate);
            self.device.update(&mut self.parameters, change, write);
            self.program();
            self.keep_fast(&shown).map_err(|e| self.locate(e, index))?;
            self.rhs_evaluations += estimate.diagnostics.rhs_evaluations;
            loss += batch_loss;
            correct += batch_correct;
            seen += samples.count;
            progress(index + 1, order.len(), score(loss, correct, seen));
        }
        self.epoch += 1;
        let train_score = score(loss, correct, seen);
        let test_score = self.score(test).map_err(|e| e.during(&format!("after epoch {}", self.epoch)))?;
        let agreement = self.agreement(train)?;
        let probed = self.plan.rate_samples.min(test.samples());
        let test_slowest_rate =
            if probed > 0 { Some(self.slowest_rate(test, probed, PRODUCTS)?) } else { None };
        let asymmetry = Asymmetry::measure(&self.effective, self.plan.jacobian);
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
                .map_or(Vec::new(), |a| a.diagnostics.warnings(self.plan.estimator.amplitude())),
            halvings: self.halvings,
            rhs_evaluations: self.rhs_evaluations,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Adds to a gradient what makes the substrate more symmetric.
    fn symmetrise(&self, gradient: &mut Parameters<T>) {
        if self.plan.share_updates {
            kolen_pollack::share(&self.network, gradient);
        }
        if let Some(homeostasis) = &self.plan.homeostasis {
            homeostasis.add_gradient(&self.effective, (self.plan.seed, self.optimiser.updates), gradient);
        }
    }

    fn by_layer(&self, values: &[Option<f64>]) -> IndexMap<String, f64> {
        let named = self.network.layers.iter().zip(values);
        named.filter_map(|(layer, value)| Some((layer.name.clone(), (*value)?))).collect()
    }

    /// Writes the nominal parameters to the device.
    pub(super) fn program(&mut self) {
        self.device.program(&self.parameters, self.optimiser.updates, &mut self.effective);
    }

    /// Writes the parameters to another device, which takes the place of the one they were learnt on.
    pub fn transfer(&mut self, imperfections: Imperfections) {
        self.plan.imperfections = imperfections;
        self.noise.clear();
        self.device = Device::fabricate(&self.network, &imperfections);
        self.effective = self.device.effective(self.plan.form, &self.parameters, self.optimiser.updates);
    }

    /// Scales the weights between layers down until the slowest rate of a batch is back above the floor.
    fn keep_fast(&mut self, batch: &Dataset) -> Result<()> {
        let due = |floor: &RateFloor| self.optimiser.updates.is_multiple_of(floor.every);
        let Some(floor) = self.plan.rate_floor.filter(due) else { return Ok(()) };
        let layers = 0..self.network.layers.len();
        let tau = largest(layers.map(|layer| self.effective.tau(layer)));
        // Weaker coupling leaves the neurons less saturated, their ρ′ larger: the factor falls short a little each time.
        for _ in 0..MOST_SCALINGS {
            let slowest = self.slowest_rate(batch, floor.samples.min(batch.samples()), FLOOR_PRODUCTS)?;
            let Some(factor) = floor.factor(slowest, tau) else { break };
            scale_recurrent(&self.network, &mut self.parameters, factor);
            self.program();
        }
        Ok(())
    }

    /// Slowest relaxation rate around the free equilibria of the first samples, without noise, in 1/τ.
    fn slowest_rate(&self, data: &Dataset, count: usize, products: usize) -> Result<f64> {
        let setting = Setting { substrate: &self.effective, noise: None, update: 0, diagnose: false };
        let places: Vec<u32> = (0..count as u32).collect();
        let rates: Vec<Result<f64>> = places
            .par_chunks(CHUNK)
            .map(|chunk| {
                let samples = self.samples(&data.select(chunk));
                let free = equilibrium::free(&setting, &samples, &self.plan.inference)?;
                let linear = setting.substrate.linearise(&samples, Some(&free.drive), &free.rates);
                Ok(slowest_rate_by(&*linear, products))
            })
            .collect();
        rates.into_iter().try_fold(f64::INFINITY, |slowest, rate| Ok(slowest.min(rate?)))
    }

    fn estimate(&mut self, samples: &Samples<T>) -> Result<Estimate<T>> {
        if !self.plan.carry_state {
            self.states.clear();
        }
        let instant = self.plan.imperfections.instant();
        let chunks = samples.count.div_ceil(CHUNK).max(self.noise.len());
        if instant.is_some_and(|instant| instant.is_continuous()) {
            self.noise.resize_with(chunks, NoiseMemory::default);
        }
        let (seed, memories) = (self.plan.seed, &self.noise[..]);
        let setting = Setting {
            substrate: &self.effective,
            noise: instant.map(|instant| Surroundings { instant, seed, memories }),
            update: self.optimiser.updates,
            diagnose: false,
        };
        let (estimator, plan) = (&*self.estimator, &self.plan);
        let (estimate, halvings) = estimate_or_halve(estimator, plan, &setting, samples, &mut self.states)?;
        self.halvings += halvings;
        Ok(estimate)
    }

    /// Mean cost and accuracy at the free equilibrium, with noise where the plan says so.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn score(&self, data: &Dataset) -> Result<Score> {
        let noise = self.plan.imperfections.instant().filter(|_| self.plan.noisy_inference);
        free_score(
            &self.effective,
            data,
            &self.plan.inference,
            noise.map(|instant| Surroundings::new(instant, self.plan.seed)),
        )
    }

    /// The estimate beside the adjoint on the first samples of the training set, and how it came about.
    fn agreement(&self, train: &Dataset) -> Result<Option<Agreement>> {
        let count = self.plan.compare.min(train.samples());
        if count == 0 {
            return Ok(None);
        }
        let first: Vec<u32> = (0..count as u32).collect();
        let samples = self.samples(&train.select(&first));
        let quiet = Setting { substrate: &self.effective, noise: None, update: 0, diagnose: true };
        let truth = estimate_batch(&Adjoint::default(), &quiet, &samples, &mut Vec::new())?;
        // As in training: with its noise and, if the state is carried, on a substrate that comes from other samples.
        let instant = self.plan.imperfections.instant();
        let noise = instant.map(|instant| Surroundings::new(instant, self.plan.seed));
        let setting = Setting { noise, update: self.optimiser.updates, ..quiet };
        let mut states = Vec::new();
        if self.plan.carry_state {
            let last: Vec<u32> = (0..train.samples() as u32).rev().take(count).collect();
            let before = self.samples(&train.select(&last));
            estimate_or_halve(&*self.estimator, &self.plan, &setting, &before, &mut states)?;
        }
        let (estimate, _) = estimate_or_halve(&*self.estimator, &self.plan, &setting, &samples, &mut states)?;
        Ok(Some(Agreement {
            gradient: compare(&estimate.gradient, &truth.gradient),
            error_vectors: compare_error_vectors(&estimate.error_vector, &truth.error_vector),
            diagnostics: estimate.diagnostics,
        }))
    }

    fn samples(&self, data: &Dataset) -> Samples<T> {
        labelled(&self.network, data)
    }

    fn locate(&self, error: Error, batch: usize) -> Error {
        error.during(&format!("in epoch {}, batch {}", self.epoch + 1, batch + 1))
    }
}

/// Estimates a batch, at half the amplitude where the simulation diverges, and so on as often as the plan allows; returns how
/// often it was halved.
fn estimate_or_halve<T: Scalar>(
    estimator: &dyn Estimator<T>,
    plan: &Plan,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    states: &mut Vec<Vec<T>>,
) -> Result<(Estimate<T>, u64)> {
    let before = if plan.halvings > 0 { states.clone() } else { Vec::new() };
    let memories = setting.noise.map_or(&[][..], |noise| noise.memories);
    let remembered = if plan.halvings > 0 { memories.to_vec() } else { Vec::new() };
    let mut outcome = estimate_batch(estimator, setting, samples, states);
    let mut halvings = 0;
    while halvings < plan.halvings && outcome.as_ref().is_err_and(Error::is_failed_simulation) {
        halvings += 1;
        let amplitude = plan.estimator.amplitude() * 0.5_f64.powi(halvings as i32);
        states.clone_from(&before);
        memories.iter().zip(&remembered).for_each(|(memory, before)| memory.restore(before));
        outcome =
            estimate_batch(&*plan.estimator.with_amplitude(amplitude).build(), setting, samples, states);
    }
    Ok((outcome?, u64::from(halvings)))
}

fn labelled<T: Scalar>(network: &Network, data: &Dataset) -> Samples<T> {
    Samples::labelled(&data.inputs(), &data.labels, network.output.size())
}

/// Mean cost and accuracy of a network at the free equilibrium.
///
/// With noise (and its seed) it is the state at the end of `inference.max_time`, or its mean over `inference.average`.
///
/// # Errors
/// [`Error::Diverged`].
pub fn free_score<T: Scalar>(
    effective: &Effective<T>,
    data: &Dataset,
    inference: &Settle,
    noise: Option<Surroundings<'_, T>>,
) -> Result<Score> {
    let network = effective.network();
    // No update of the weights has this number: the noise is none that learning has met.
    let setting = Setting { substrate: effective, noise, update: u64::MAX, diagnose: false };
    let tolerance = if noise.is_some() { Some(0.0) } else { inference.tolerance };
    let inference = &Settle { tolerance, ..*inference };
    // Inference has one rail: twice the samples of a chunk make as wide a product.
    let places: Vec<u32> = (0..data.samples() as u32).collect();
    let tallies: Vec<Result<(f64, usize)>> = places
        .par_chunks(2 * CHUNK)
        .map(|chunk| {
            let samples = Samples { first: chunk[0] as usize, ..labelled(network, &data.select(chunk)) };
            let free = equilibrium::free(&setting, &samples, inference)?;
            let shape = StateShape::new(network, samples.count, 1);
            let output = &free.rates[shape.layer(network.output.layer())];
            tally(effective, &samples, output, &free.output_error)
        })
        .collect();
    let (mut loss, mut correct) = (0.0, 0);
    for tally in tallies {
        let (l, c) = tally?;
        loss += l;
        correct += c;
    }
    Ok(score(loss, correct, data.samples()))
}

fn not_finite(what: &str, place: String) -> Error {
    Error::Diverged {
        moment: "when it was read out".into(),
        place,
        what: format!("{what} is not finite"),
        advice: "lower `amplitude` or the learning rate".into(),
    }
}

fn score(loss: f64, correct: usize, samples: usize) -> Score {
    Score { loss: loss / samples as f64, accuracy: correct as f64 / samples as f64 }
}

/// Summed cost and number of correct answers, from the rates of the output layer, [n × samples], and the output error.
///
/// # Errors
/// [`Error::Diverged`] for a cost that is not finite.
fn tally<T: Scalar>(
    effective: &Effective<T>,
    samples: &Samples<T>,
    rates: &[T],
    output_error: &[T],
) -> Result<(f64, usize)> {
    let output = effective.network().output;
    let outputs = output.size();
    let logits = effective.readout().map(|(_, bias)| {
        let mut logits = bias.repeat(samples.count);
        effective.multiply_readout(Layout::Plain, rates, &mut logits);
        logits
    });
    let (mut loss, mut correct) = (0.0, 0);
    let columns = output_error.chunks_exact(outputs).zip(samples.targets.chunks_exact(outputs));
    for (sample, (error, target)) in columns.enumerate() {
        let value = |i: usize| error[i].double() + target[i].double();
        let largest =
            |f: &dyn Fn(usize) -> f64| (0..outputs).max_by(|&i, &j| f(i).total_cmp(&f(j))).unwrap_or(0);
        let label = largest(&|i| target[i].double());
        correct += usize::from(largest(&value) == label);
        let cost = match &logits {
            Some(logits) => cross_entropy(&logits[sample * outputs..][..outputs], label),
            None => 0.5 * error.iter().map(|e| e.double().powi(2)).sum::<f64>(),
        };
        if !cost.is_finite() {
            let place = format!("the output, sample {}", samples.first + sample);
            return Err(not_finite("the cost", place));
        }
        loss += cost;
    }
    Ok((loss, correct))
}

/// −ln p of a label. The probability itself may be too small for a number, or too close to one.
fn cross_entropy<T: Scalar>(logits: &[T], label: usize) -> f64 {
    let logit = |i: usize| logits[i].double();
    let most = (0..logits.len()).max_by(|&i, &j| logit(i).total_cmp(&logit(j))).unwrap_or(label);
    let others = (0..logits.len()).filter(|i| *i != most);
    let rest: f64 = others.map(|i| (logit(i) - logit(most)).exp()).sum();
    logit(most) - logit(label) + rest.ln_1p()
}
