//! Runs a `train` experiment.

#[cfg(feature = "program")]
mod asymmetry;
mod circuit;
#[cfg(feature = "program")]
pub(crate) mod figure;
#[cfg(feature = "program")]
mod images;
pub mod record;
#[cfg(test)]
mod tests;
mod trainer;

pub use trainer::{Batch, Trainer};

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserializer;
use serde_json::json;

use self::record::{Epoch, Recurring, least};
use crate::data::Split;
use crate::error::{Error, Invalid, Result};
use crate::experiment::cost::{self, Cost};
use crate::experiment::epochs;
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{CircuitSetup, Options, Setup};
use crate::experiment::sink::{Content, LEARNT, SUMMARY, Sink};
use crate::experiment::spec::Precision;
use crate::files::Tensors;
use crate::gradient::equilibrium::Settle;
use crate::gradient::{Adjoint, EstimatorSpec, Unsettled};
use crate::imperfections::Imperfections;
use crate::json::partial;
use crate::learning::{
    Homeostasis, JacobianMeasures, KolenPollack, Optimiser, OptimiserSpec, RateFloor, Score, check_factors,
};
use crate::numerics::scalar::Scalar;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::neurons::network::Network;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping =
    Keeping { resumed: true, files: &["parameters.safetensors", FEATURE_MAPS, "feature-maps.units.json"] };

/// The rates of the layers that are images, at the free equilibrium of the first test sample.
const FEATURE_MAPS: &str = "feature-maps.npz";

spec! {
    /// Trains a network.
    pub struct Train {
        description, notes, published, model, parameters?, precision = single, device,
        /// Seed of initial weights, split, batch order and noise.
        seed, data, form,
        /// How gradients are obtained.
        pub estimator: EstimatorSpec,
        /// What is imperfect: a table, or the name of a preset.
        #[serde(default)]
        pub imperfections: Imperfections,
        /// Whether an ideal substrate learns and the parameters are then written to the imperfect device, once: `metrics.jsonl`
        /// tells of the first, losses and accuracies of `summary.json` of the second. With false the device itself learns.
        #[serde(default)]
        pub transfer: bool,
        /// How gradients become updates.
        pub optimiser: OptimiserSpec,
        /// How the learning rate goes with time.
        schedule,
        /// Factors on the learning rate by connection (`h1-h2`), layer (its bias) or `readout`.
        learning_rates,
        /// Factors on the optimiser's weight decay, by the same names.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[schemars(extend("additionalProperties" = { "type": "number", "minimum": 0 }))]
        pub weight_decays: BTreeMap<String, f64>,
        /// Passes over the training set.
        epochs,
        /// Samples of an update.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub batch_size: usize,
        /// Whether the substrate's state goes on from one batch to the next instead of starting from rest.
        #[serde(default)]
        pub carry_state: bool,
        /// How often the amplitude of a batch on which the simulation diverges is halved before the run ends. A smaller
        /// amplitude brings no bias, only more noise; `metrics.jsonl` counts the halvings.
        #[serde(default)]
        #[schemars(range(min = 0, max = 20))]
        pub halvings: u32,
        /// Drops samples that do not settle from their updates, and counts them; null takes every sample, and ends the run where one
        /// diverges.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub unsettled: Option<Unsettled>,
        /// How free equilibria are waited for in tests.
        #[serde(default = "inference", deserialize_with = "over_inference")]
        pub inference: Settle,
        /// Whether noise acts in tests too: accuracies are then those of the last instant of `inference.max_time`, or of its
        /// `average`. Not with white noise, which has no instant.
        #[serde(default)]
        pub noisy_inference: bool,
        /// Training samples on which each epoch compares the estimate with the adjoint, whose equilibrium is accelerated where that of
        /// `inference` is; 0 for none.
        #[serde(default = "compared")]
        pub compare: usize,
        /// Keeps the slowest relaxation rate above a floor; null for none.
        #[serde(default)]
        pub rate_floor: Option<RateFloor>,
        /// Test samples on which each epoch measures the slowest relaxation rate (`test_slowest_rate` in `metrics.jsonl`); 0
        /// for none.
        #[serde(default)]
        pub rate_samples: usize,
        /// A term of the cost that pulls the coupling between layers towards symmetry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub homeostasis: Option<Homeostasis>,
        /// Makes both directions of each rotated or independent pair take the sum of their updates and decay, which makes them
        /// each other's transpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub kolen_pollack: Option<KolenPollack>,
        /// What each epoch measures of the Jacobian.
        #[serde(default)]
        pub jacobian: JacobianMeasures,
    }
}

pub(super) fn inference() -> Settle {
    Settle { tolerance: Some(1e-3), max_time: 200.0, ..Settle::default() }
}

pub(super) fn over_inference<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Settle, D::Error> {
    partial::over(deserializer, &inference())
}

pub(super) fn compared() -> usize {
    20
}

impl Kind for Train {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        self.data.check().map_err(|e| e.under("data"))?;
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        self.imperfections.suit(network).map_err(|e| e.under("imperfections"))?;
        let imperfections = self.imperfections_of_learning();
        self.estimator
            .validate(network, self.form, Some(&imperfections))
            .map_err(|e| e.under("estimator"))?;
        if !self.device.is_cpu() {
            self.imperfections.suit_gpu().map_err(|e| e.under("imperfections"))?;
            self.estimator.suit_gpu(network).map_err(|e| e.under("estimator"))?;
        }
        self.optimiser.validate().map_err(|e| e.under("optimiser"))?;
        self.schedule.validate().map_err(|e| e.under("schedule"))?;
        check_factors(&self.weight_decays, network).map_err(|e| e.under("weight_decays"))?;
        if self.halvings > 20 {
            return Err(Invalid::new("halvings", format!("found {}", self.halvings), "0 to 20"));
        }
        self.validate_unsettled(&imperfections).map_err(|e| e.under("unsettled"))?;
        let noisy = Settle { tolerance: Some(0.0), ..self.inference };
        let inference = if self.noisy_inference { &noisy } else { &self.inference };
        inference.validate().map_err(|e| e.under("inference"))?;
        if self.noisy_inference && self.imperfections.instant().is_some_and(|i| i.is_white()) {
            let found = "found true with white noise, which has no instant";
            let legal =
                "false, or noise with a correlation time: held, ornstein_uhlenbeck, one_over_f, telegraph";
            return Err(Invalid::new("noisy_inference", found, legal));
        }
        if let Some(instant) = self.imperfections.instant().filter(|_| self.noisy_inference) {
            instant.check_step(self.inference.step).map_err(|e| e.under("inference.step"))?;
        }
        if let Some(floor) = &self.rate_floor {
            floor.validate(network, &imperfections).map_err(|e| e.under("rate_floor"))?;
        }
        self.homeostasis.map_or(Ok(()), |h| h.validate().map_err(|e| e.under("homeostasis")))?;
        if network.shared().is_some() {
            match self.jacobian {
                JacobianMeasures::Norms if self.compare == 0 => {
                    let legal = "at least 1: the Jacobian of convolutions is taken at the compared samples";
                    return Err(Invalid::new("compare", "found 0", legal));
                }
                JacobianMeasures::Eigenvalues => {
                    let found = "found eigenvalues for a network with convolutions";
                    let legal = "each sample has a Jacobian of its own: use \"norms\"";
                    return Err(Invalid::new("jacobian", found, legal));
                }
                JacobianMeasures::None | JacobianMeasures::Norms => {}
            }
        }
        if let Some(kolen_pollack) = self.kolen_pollack {
            kolen_pollack.validate().map_err(|e| e.under("kolen_pollack"))?;
            if network.untied_pairs().next().is_none() {
                return Err(Invalid::new(
                    "kolen_pollack",
                    "found it for a network without a pair of rotated or independent connections",
                    "it pairs the two directions between two layers: leave it out",
                ));
            }
        }
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return Err(Invalid::new("epochs", format!("found {}", self.epochs), "1 to 1000000"));
        }
        if self.batch_size == 0 || self.batch_size > 1_000_000 {
            return Err(Invalid::new(
                "batch_size",
                format!("found {}", self.batch_size),
                "1 to 1000000 samples",
            ));
        }
        Ok(())
    }

    fn validate_circuit(&self, circuit: &Circuit) -> std::result::Result<(), Invalid> {
        self.validate_for_circuit(circuit)
    }

    fn cost_circuit(&self, setup: &CircuitSetup, options: &Options) -> Result<Cost> {
        self.cost_of_circuit(setup, options)
    }

    fn run_circuit(
        &self,
        setup: &CircuitSetup,
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<Vec<String>> {
        self.run_on_circuit(setup, sink, options)
    }

    fn trains(&self, name: &str) -> bool {
        let learns = self.learning_rates.get(name).is_none_or(|rate| *rate != 0.0);
        learns && !matches!(self.estimator, EstimatorSpec::Adjoint(_))
    }

    fn cost(&self, setup: &Setup, options: &Options) -> Result<Cost> {
        let counts = cost::counts(setup, &self.data, options)?;
        Ok(cost_of(self, &setup.network, counts))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        match self.precision {
            Precision::F32 => run::<f32>(self, setup, sink, options),
            Precision::F64 => run::<f64>(self, setup, sink, options),
        }
    }
}

/// What a training run takes that learns from so many samples and is tested on so many.
pub(super) fn cost_of(spec: &Train, network: &Network, (train, test): (f64, f64)) -> Cost {
    let substrate = cost::Size::new(network, spec.precision);
    let (epochs, batch) = (spec.epochs as f64, (spec.batch_size as f64).min(train));
    let (whole, rest) = ((train / batch).floor(), train % batch);
    let update = cost::estimator(&spec.estimator, &substrate, batch);
    let mut epoch = update * whole;
    if rest > 0.0 {
        epoch += cost::estimator(&spec.estimator, &substrate, rest);
    }
    let updates = whole + f64::from(rest > 0.0);
    // The optimiser, the device and both layouts of the weights: some twenty passes over the parameters.
    epoch.thread_seconds += updates * substrate.parameters * 20e-9;
    let measured = cost::inference(&spec.inference, &substrate, test);
    epoch.thread_seconds += measured.thread_seconds;
    let mut compared = Cost::default();
    if spec.compare > 0 {
        let adjoint = EstimatorSpec::Adjoint(spec.truth());
        let samples = (spec.compare as f64).min(train);
        for other in [&spec.estimator, &adjoint] {
            compared += cost::estimator(other, &substrate, samples);
        }
        epoch.thread_seconds += compared.thread_seconds;
    }
    if let Some(floor) = &spec.rate_floor {
        let products = cost::settling(&spec.inference, substrate.bytes) + cost::ACCELERATED;
        let samples = (floor.samples as f64).min(batch);
        epoch.thread_seconds +=
            updates / floor.every.max(1) as f64 * substrate.seconds(products, samples, 1.0);
    }
    let last = cost::inference(&spec.inference, &substrate, train + test);
    let (p, b) = (substrate.parameter_bytes, substrate.bytes);
    let data = (train + test) * (substrate.inputs * spec.data.bytes_of_an_input() + 8.0);
    Cost {
        updates: epochs * updates,
        evaluations: epochs * epoch.evaluations,
        thread_seconds: epochs * epoch.thread_seconds + last.thread_seconds,
        memory: cost::COPIES * p + update.memory.max(compared.memory) + data + batch * substrate.inputs * b,
        gpu: update.gpu.max(compared.gpu),
        disk: 4.0 * p + epochs * 1000.0 + substrate.states(batch),
        ..epoch
    }
}

impl Train {
    /// What estimates are compared with.
    fn truth(&self) -> Adjoint {
        let settle = Settle { accelerate: self.inference.accelerate, ..Settle::default() };
        Adjoint { settle, ..Adjoint::default() }
    }

    /// What is imperfect while the network learns.
    fn imperfections_of_learning(&self) -> Imperfections {
        if self.transfer { Imperfections::default() } else { self.imperfections.clone() }
    }

    /// Checks that what does not settle can be dropped.
    fn validate_unsettled(&self, imperfections: &Imperfections) -> std::result::Result<(), Invalid> {
        let Some(unsettled) = &self.unsettled else { return Ok(()) };
        unsettled.validate(&self.estimator)?;
        let found = if self.carry_state {
            "found it with `carry_state`"
        } else if imperfections.instant().is_some_and(|instant| instant.is_continuous()) {
            "found it with `continuous` noise"
        } else {
            return Ok(());
        };
        Err(Invalid::new(
            "",
            found,
            "a sample cannot be dropped from a substrate that goes on: use one of the two",
        ))
    }

    /// The trainer at its start.
    ///
    /// # Errors
    /// If the parameter file does not fit, or a learning rate names no connection.
    pub(super) fn trainer<T: Scalar>(&self, setup: &Setup) -> Result<Trainer<'_, T>> {
        trainer(Cow::Borrowed(self), setup)
    }

    /// The same, to be kept for as long as one likes.
    ///
    /// # Errors
    /// If the parameter file does not fit, or a learning rate names no connection.
    pub fn into_trainer<T: Scalar>(self, setup: &Setup) -> Result<Trainer<'static, T>> {
        trainer(Cow::Owned(self), setup)
    }

    /// Trains; returns the last epoch and the test score of what was learnt, on the device. It goes on from the checkpoint in the
    /// sink, if there is one.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    pub(super) fn outcome<T: Scalar>(
        &self,
        setup: &Setup,
        options: &Options,
        sink: &mut dyn Sink,
    ) -> Result<(Epoch, Score)> {
        let data = self.data(setup, options)?;
        let mut trainer = self.trainer::<T>(setup)?;
        let mut course = epochs::go_on(&mut trainer, sink)?;
        let learnt = course.learn(&mut trainer, self.epochs, |trainer, course, _| {
            trainer.epoch(&data.train, &data.test, |trainer, _| course.keep(trainer))
        })?;
        let last = match learnt {
            Some(last) => last,
            None => sink.records()?.pop().ok_or_else(|| Error::Internal("a run without epochs".into()))?,
        };
        let mut score = Score { loss: last.test_loss, accuracy: last.test_accuracy };
        if self.transfer {
            trainer.transfer(self.imperfections.clone());
            score = trainer.score(&data.test)?;
        }
        Ok((last, score))
    }

    /// The samples, checked against the model.
    ///
    /// # Errors
    /// If they are missing or do not fit.
    pub(super) fn data(&self, setup: &Setup, options: &Options) -> Result<Split> {
        problem::data(setup, &self.data, self.seed, options)
    }
}

fn trainer<'a, T: Scalar>(spec: Cow<'a, Train>, setup: &Setup) -> Result<Trainer<'a, T>> {
    let network = &setup.network;
    let parameters = problem::initial::<T>(setup, spec.parameters.as_ref(), spec.seed)?;
    let mut optimiser = Optimiser::new(spec.optimiser, &spec.learning_rates, network)
        .map_err(|invalid| invalid.under("learning_rates").in_file(setup.origin.display()))?
        .with_decay_factors(&spec.weight_decays, network)
        .map_err(|invalid| invalid.under("weight_decays").in_file(setup.origin.display()))?;
    if let Some(KolenPollack { decay }) = spec.kolen_pollack {
        optimiser =
            optimiser.with_decay(network.untied_pairs().flat_map(|(f, b)| [f.weight, b.weight]), decay);
    }
    Ok(Trainer::new(spec, network, parameters, optimiser))
}

fn run<T: Scalar>(
    spec: &Train,
    setup: &Setup,
    sink: &mut dyn Sink,
    options: &Options,
) -> Result<Vec<String>> {
    let data = spec.data(setup, options)?;
    let mut trainer = spec.trainer::<T>(setup)?;
    let mut course = epochs::begin(&mut trainer, sink, options.resume)?;
    let bar = epochs::progress_bar(options.progress, spec.epochs, trainer.epoch);
    course.learn(&mut trainer, spec.epochs, |trainer, course, last: Option<&Epoch>| {
        let current = trainer.epoch + 1;
        trainer.epoch(&data.train, &data.test, |trainer, batches| {
            bar.set_position((current - 1) * 1000 + (trainer.part.batches * 1000 / batches) as u64);
            bar.set_message(message(current, spec.epochs, trainer.part.score(), last));
            course.keep(trainer)
        })
    })?;
    bar.finish_and_clear();
    if spec.transfer {
        trainer.transfer(spec.imperfections.clone());
    }
    finish(spec, sink, &trainer, &data)
}

fn message(epoch: u64, epochs: u64, score: Score, last: Option<&Epoch>) -> String {
    let test = last.map_or(String::new(), |e| format!(", test {:.1} %", 100.0 * e.test_accuracy));
    format!("epoch {epoch}/{epochs}: loss {:.3}, train {:.1} %{test}", score.loss, 100.0 * score.accuracy)
}

fn finish<T: Scalar>(
    spec: &Train,
    sink: &mut dyn Sink,
    trainer: &Trainer<'_, T>,
    data: &Split,
) -> Result<Vec<String>> {
    let mut tensors = Tensors::new();
    trainer.parameters.insert_into(&mut tensors, "");
    sink.write(LEARNT, Content::Tensors(tensors))?;
    if let Some(maps) = trainer.feature_maps(&data.test)? {
        sink.write(FEATURE_MAPS, Content::Arrays(maps))?;
    }
    let (train, test) = (trainer.score(&data.train)?, trainer.score(&data.test)?);
    let lines: Vec<Epoch> = sink.records()?;
    let last = lines.last().ok_or_else(|| Error::Internal("a run without epochs".into()))?;
    let learning: f64 = lines.iter().map(|e| e.seconds).sum();
    let (least_cosine, least_rate) = (least(&lines, |e| e.cosine), least(&lines, |e| e.slowest_rate));
    let warnings = Recurring::count(&lines);
    let dropped: u64 = lines.iter().map(|e| e.dropped).sum();
    let two_points: u64 = lines.iter().map(|e| e.two_points).sum();
    let batch = spec.batch_size.min(data.train.samples()) as f64;
    let energy = trainer.energy(&data.train)?.map(|each| {
        let mut told = each.summary();
        told["seconds_per_update"] = json!(each.seconds * batch);
        told["joules_per_update"] = json!(each.joules() * batch);
        told["joules_of_training"] = json!(trainer.joules);
        told
    });
    sink.write_json(
        SUMMARY,
        &json!({
            "test_accuracy": test.accuracy,
            "train_accuracy": train.accuracy,
            "digital_test_accuracy": spec.transfer.then_some(last.test_accuracy),
            "test_loss": test.loss,
            "train_loss": train.loss,
            "epochs": trainer.epoch,
            "updates": trainer.optimiser.updates,
            "wall_seconds": sink.seconds(),
            "training_seconds": learning,
            "rhs_evaluations": trainer.rhs_evaluations,
            "cosine": last.cosine,
            "least_cosine": least_cosine.map(|(_, cosine)| cosine),
            "least_cosine_epoch": least_cosine.map(|(epoch, _)| epoch),
            "slowest_rate": last.slowest_rate,
            "least_slowest_rate": least_rate.map(|(_, rate)| rate),
            "warned_epochs": lines.iter().filter(|e| !e.warnings.is_empty()).count(),
            "warnings": warnings,
            "test_slowest_rate": lines.iter().filter_map(|e| e.test_slowest_rate).reduce(f64::min),
            "estimator": spec.estimator.name(),
            "dropped": spec.unsettled.map(|_| dropped),
            "two_points": spec.unsettled.map(|_| two_points),
            "energy": &energy,
            "seed": spec.seed,
        }),
    )?;
    let mut told = vec![format!(
        "test accuracy {:.2}%, train accuracy {:.2}% after {} epochs in {:.1} s",
        100.0 * test.accuracy,
        100.0 * train.accuracy,
        trainer.epoch,
        learning
    )];
    if let (Some(cosine), Some((epoch, least))) = (last.cosine, least_cosine) {
        told.push(format!(
            "cosine to the adjoint gradient {cosine:.4}, the least {least:.4} (epoch {epoch})"
        ));
    }
    if let (Some((epoch, rate)), Some(drive)) = (least_rate, last.drive_rate) {
        told.push(format!("slowest relaxation rate {rate:.3}/tau (epoch {epoch}), drive {drive:.3}/tau"));
    }
    if let Some(energy) = &energy {
        told.push(format!(
            "a sample takes {:.2e} s and {:.2e} J; training took {:.2e} J",
            energy["seconds_per_sample"].as_f64().unwrap_or(f64::NAN),
            energy["joules_per_sample"].as_f64().unwrap_or(f64::NAN),
            trainer.joules
        ));
    }
    if dropped + two_points > 0 {
        let shown = data.train.samples() as u64 * trainer.epoch;
        told.push(format!(
            "of {shown} samples shown, {dropped} did not settle and were dropped, {two_points} were estimated from two points"
        ));
    }
    told.extend(warnings.iter().map(|warning| warning.told(lines.len())));
    Ok(told)
}
