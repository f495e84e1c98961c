//! Trains a circuit: estimate, update, program the conductances; one epoch after the other.

use indexmap::IndexMap;
use serde_json::json;

use super::Train;
use super::record::{Epoch, Recurring, least};
use crate::data::{Dataset, Split, batches};
use crate::error::{Error, Invalid, Result};
use crate::experiment::circuits;
use crate::experiment::cost::Cost;
use crate::experiment::epochs;
use crate::experiment::setup::{CircuitSetup, Options};
use crate::experiment::sink::{Content, LEARNT, SUMMARY, Sink};
use crate::files::Tensors;
use crate::gradient::compare::{compare, compare_error_vectors};
use crate::gradient::{Adjoint, Estimate, Estimator, Setting, estimate_batch};
use crate::learning::{JacobianMeasures, Learner, Optimiser, Part, Score, Snapshot, check_factors_of};
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::energy::Budget;
use crate::substrate::circuits::programmed::{NoiseSeed, Programmed};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// What evolves while a circuit learns.
pub struct CircuitTrainer<'a> {
    spec: &'a Train,
    programmed: Programmed,
    parameters: Parameters<f64>,
    optimiser: Optimiser<f64>,
    states: Vec<Vec<f64>>,
    epoch: u64,
    rhs_evaluations: u64,
    /// J that the samples shown so far have taken, where that can be told.
    joules: f64,
    /// What the present epoch has come to.
    part: Part,
    estimator: Box<dyn Estimator<f64>>,
}

impl Train {
    /// Checks the experiment with a circuit.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub(super) fn validate_for_circuit(&self, circuit: &Circuit) -> std::result::Result<(), Invalid> {
        circuits::refuse_of_neurons(self.precision, &self.imperfections)?;
        self.data.check().map_err(|e| e.under("data"))?;
        circuits::check_estimator(&self.estimator, circuit).map_err(|e| e.under("estimator"))?;
        self.optimiser.validate().map_err(|e| e.under("optimiser"))?;
        self.schedule.validate().map_err(|e| e.under("schedule"))?;
        self.inference.validate().map_err(|e| e.under("inference"))?;
        check_factors_of(&self.learning_rates, circuit.shapes()).map_err(|e| e.under("learning_rates"))?;
        let of_neurons = [
            ("transfer", self.transfer),
            ("weight_decays", !self.weight_decays.is_empty()),
            ("halvings", self.halvings > 0),
            ("unsettled", self.unsettled.is_some()),
            ("noisy_inference", self.noisy_inference),
            ("rate_floor", self.rate_floor.is_some()),
            ("rate_samples", self.rate_samples > 0),
            ("homeostasis", self.homeostasis.is_some()),
            ("kolen_pollack", self.kolen_pollack.is_some()),
            ("jacobian", self.jacobian != JacobianMeasures::None),
        ];
        if let Some((name, _)) = of_neurons.into_iter().find(|(_, found)| *found) {
            return Err(Invalid::new(
                name,
                "found it with a circuit",
                "it is of networks of neurons: leave it out",
            ));
        }
        for (name, value) in [("epochs", self.epochs), ("batch_size", self.batch_size as u64)] {
            if !(1..=1_000_000).contains(&value) {
                return Err(Invalid::new(name, format!("found {value}"), "1 to 1000000"));
            }
        }
        if circuit.shapes().is_empty() {
            return Err(Invalid::new(
                "model",
                "found a circuit without trainable resistors",
                "at least one group",
            ));
        }
        Ok(())
    }

    /// What training a circuit takes.
    ///
    /// # Errors
    /// If its data are not there.
    pub(super) fn cost_of_circuit(&self, setup: &CircuitSetup, options: &Options) -> Result<Cost> {
        let lookup = crate::experiment::problem::lookup(&setup.origin, options);
        let (train, test) = self.data.counts(&lookup)?;
        let each = circuits::evaluations(&self.estimator);
        let epochs = self.epochs as f64;
        // Each test is an equilibrium, and at the end one of all samples.
        let tests = epochs * test as f64 + (train + test) as f64;
        let evaluations = epochs * train as f64 * each + circuits::EQUILIBRIUM * tests;
        let chunks = (self.batch_size as f64 / crate::gradient::CHUNK as f64).ceil();
        let threads = chunks.min(rayon::current_num_threads() as f64);
        let updates = epochs * (train as f64 / self.batch_size as f64).ceil();
        Ok(Cost { updates, disk: 1e6, ..circuits::cost(&setup.circuit, evaluations, threads) })
    }

    /// The trainer of a circuit at its start.
    ///
    /// # Errors
    /// If the parameter file does not fit, or a learning rate names no group of resistors.
    pub(super) fn circuit_trainer(&self, setup: &CircuitSetup) -> Result<CircuitTrainer<'_>> {
        let parameters = match &self.parameters {
            Some(path) => circuits::parameters::<f64>(setup, path)?,
            None => setup.circuit.initial(self.seed),
        };
        let optimiser = Optimiser::of_shapes(self.optimiser, &self.learning_rates, setup.circuit.shapes())
            .map_err(|invalid| invalid.under("learning_rates").in_file(setup.origin.display()))?;
        Ok(CircuitTrainer {
            spec: self,
            programmed: circuits::programmed(setup, &parameters, self.seed)?,
            parameters,
            optimiser,
            states: Vec::new(),
            epoch: 0,
            rhs_evaluations: 0,
            joules: 0.0,
            part: Part::default(),
            estimator: self.estimator.build(),
        })
    }

    /// Trains a circuit, as [`Self::outcome`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn circuit_outcome(
        &self,
        setup: &CircuitSetup,
        options: &Options,
        sink: &mut dyn Sink,
    ) -> Result<(Epoch, Score)> {
        let data = circuits::data(setup, &self.data, self.seed, options)?;
        let mut trainer = self.circuit_trainer(setup)?;
        let mut course = epochs::go_on(&mut trainer, sink)?;
        let learnt = course.learn(&mut trainer, self.epochs, |trainer, course, _| {
            trainer.learn(&data, |trainer| course.keep(trainer))
        })?;
        let last = match learnt {
            Some(last) => last,
            None => sink.records()?.pop().ok_or_else(|| Error::Internal("a run without epochs".into()))?,
        };
        let score = Score { loss: last.test_loss, accuracy: last.test_accuracy };
        Ok((last, score))
    }

    /// Runs the experiment on a circuit.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    pub(super) fn run_on_circuit(
        &self,
        setup: &CircuitSetup,
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<Vec<String>> {
        let data = circuits::data(setup, &self.data, self.seed, options)?;
        let mut trainer = self.circuit_trainer(setup)?;
        let mut course = epochs::begin(&mut trainer, sink, options.resume)?;
        let bar = epochs::progress_bar(options.progress, self.epochs, trainer.epoch);
        course.learn(&mut trainer, self.epochs, |trainer, course, last: Option<&Epoch>| {
            bar.set_position(trainer.epoch * 1000);
            if let Some(last) = last {
                let score = Score { loss: last.train_loss, accuracy: last.train_accuracy };
                bar.set_message(super::message(trainer.epoch + 1, self.epochs, score, Some(last)));
            }
            trainer.learn(&data, |trainer| course.keep(trainer))
        })?;
        bar.finish_and_clear();
        trainer.finish(sink, &data)
    }
}

impl CircuitTrainer<'_> {
    fn samples(&self, data: &Dataset) -> Samples<f64> {
        Samples::labelled(&data.inputs(), &data.labels, self.programmed.circuit().outputs())
    }

    /// Trains one epoch, or what is left of it, and measures it; `after` hears of each batch, and what it finds ends the epoch.
    pub(super) fn learn(
        &mut self,
        data: &Split,
        mut after: impl FnMut(&Self) -> Result<()>,
    ) -> Result<Epoch> {
        let (start, before) = (std::time::Instant::now(), self.part.seconds);
        let order = batches(data.train.samples(), self.spec.batch_size, self.spec.seed, self.epoch);
        self.part.check(order.len())?;
        let updates = order.len() as u64 * self.spec.epochs;
        for (index, batch) in order.iter().enumerate().skip(self.part.batches) {
            let samples = self.samples(&data.train.select_augmented(batch, self.spec.seed, self.epoch));
            let place = format!("in epoch {}, batch {}", self.epoch + 1, index + 1);
            let estimate = self.estimate(&samples, false).map_err(|e| e.during(&place))?;
            let (loss, correct) = self.tally(&samples, &estimate);
            let rate = self.spec.schedule.factor(self.optimiser.updates, updates, self.spec.epochs);
            let change = self.optimiser.change(&self.parameters, &estimate.gradient, rate);
            self.parameters.add_scaled(1.0, change);
            self.programmed.circuit().confine(&mut self.parameters);
            self.programmed.program(&self.parameters);
            self.rhs_evaluations += estimate.diagnostics.rhs_evaluations;
            self.part.add((loss, correct, samples.count));
            self.part.seconds = before + start.elapsed().as_secs_f64();
            after(self)?;
        }
        self.epoch += 1;
        let part = std::mem::take(&mut self.part);
        let last = self.optimiser.updates.saturating_sub(1);
        let rate = self.spec.schedule.factor(last, updates, self.spec.epochs);
        let shown = part.score();
        let during = format!("after epoch {}", self.epoch);
        let test =
            circuits::score(&self.programmed, &self.samples(&data.test)).map_err(|e| e.during(&during))?;
        let budget = self.budget(data)?;
        self.joules += budget.map_or(0.0, |(each, _)| (each.supplied + each.nudge) * part.samples as f64);
        let mut record = Epoch {
            epoch: self.epoch,
            learning_rate: rate * self.optimiser.learning_rate(),
            train_loss: shown.loss,
            train_accuracy: shown.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            joules: budget.map(|_| self.joules),
            rhs_evaluations: self.rhs_evaluations,
            ..Epoch::default()
        };
        self.agree(&data.train, &mut record)?;
        record.seconds = before + start.elapsed().as_secs_f64();
        Ok(record)
    }

    /// Estimates a batch, read out as the circuit's meters do.
    fn estimate(&mut self, samples: &Samples<f64>, diagnose: bool) -> Result<Estimate<f64>> {
        if !self.spec.carry_state {
            self.states.clear();
        }
        let mut states = std::mem::take(&mut self.states);
        let estimate = self.estimate_from(samples, diagnose, &mut states)?;
        self.states = states;
        Ok(estimate)
    }

    fn estimate_from(
        &mut self,
        samples: &Samples<f64>,
        diagnose: bool,
        states: &mut Vec<Vec<f64>>,
    ) -> Result<Estimate<f64>> {
        let update = self.optimiser.updates;
        if self.programmed.circuit().spec.imperfections.johnson_noise {
            self.programmed.set_noise(Some(NoiseSeed { seed: self.spec.seed, update }));
        }
        let setting = Setting { substrate: &self.programmed, noise: None, update, diagnose };
        let mut estimate = estimate_batch(&*self.estimator, &setting, samples, states)?;
        let driven = self.spec.estimator.check_alone().is_ok_and(|asked| !asked.frozen);
        let amplitude = self.spec.estimator.amplitude();
        if amplitude > 0.0 {
            self.programmed.add_offsets(driven, amplitude, &mut estimate.gradient);
        }
        Ok(estimate)
    }

    /// Cost and correct answers at the free states that the estimate has seen.
    fn tally(&self, samples: &Samples<f64>, estimate: &Estimate<f64>) -> (f64, usize) {
        let state: Vec<f64> = estimate.free.iter().flat_map(|m| m.iter().copied()).collect();
        circuits::tally(&self.programmed, samples, &state)
    }

    /// What one sample takes of energy, on average over the compared ones, and of time, in s: from a trajectory like the estimator's.
    fn budget(&self, data: &Split) -> Result<Option<(Budget, f64)>> {
        let count = self.spec.compare.clamp(1, 20).min(data.train.samples());
        let places: Vec<u32> = (0..count as u32).collect();
        let samples = self.samples(&data.train.select(&places));
        circuits::budget(&self.programmed, &self.spec.estimator, &samples)
    }

    /// The estimate beside the adjoint on the first training samples.
    fn agree(&mut self, train: &Dataset, record: &mut Epoch) -> Result<()> {
        let count = self.spec.compare.min(train.samples());
        if count == 0 {
            return Ok(());
        }
        let places: Vec<u32> = (0..count as u32).collect();
        let samples = self.samples(&train.select(&places));
        // Johnson noise is the circuit's own: diagnostics are those of the circuit without it.
        let noisy = self.programmed.circuit().spec.imperfections.johnson_noise;
        let estimate = self.estimate_from(&samples, !noisy, &mut Vec::new())?;
        let diagnostics = if noisy {
            self.programmed.set_noise(None);
            let quiet = Setting::quiet(&self.programmed);
            estimate_batch(&*self.estimator, &quiet, &samples, &mut Vec::new())?.diagnostics
        } else {
            estimate.diagnostics.clone()
        };
        let truth = estimate_batch(
            &Adjoint::default(),
            &Setting::quiet(&self.programmed),
            &samples,
            &mut Vec::new(),
        )?;
        let gradient = compare(&estimate.gradient, &truth.gradient);
        let errors = compare_error_vectors(&estimate.error_vector, &truth.error_vector);
        record.cosine = gradient.total.cosine;
        record.synapse_cosine = gradient.synapses.cosine;
        record.relative_error = gradient.synapses.relative_error;
        record.error_cosine = errors.total;
        let names = self.programmed.circuit().populations.iter().map(|p| p.name.clone());
        let named = names.zip(&errors.layers).filter_map(|(name, value)| Some((name, (*value)?)));
        record.layer_cosines = named.collect::<IndexMap<_, _>>();
        record.slowest_rate = diagnostics.slowest_rate;
        record.drive_rate = Some(diagnostics.drive_rate);
        record.warnings = diagnostics.warnings(self.spec.estimator.amplitude());
        Ok(())
    }

    fn finish(&self, sink: &mut dyn Sink, data: &Split) -> Result<Vec<String>> {
        let mut tensors = Tensors::new();
        self.parameters.insert_into(&mut tensors, "");
        sink.write(LEARNT, Content::Tensors(tensors))?;
        let [train, test] =
            [&data.train, &data.test].map(|d| circuits::score(&self.programmed, &self.samples(d)));
        let (train, test) = (train?, test?);
        let lines: Vec<Epoch> = sink.records()?;
        let last = lines.last().ok_or_else(|| Error::Internal("a run without epochs".into()))?;
        let learning: f64 = lines.iter().map(|e| e.seconds).sum();
        let least_cosine = least(&lines, |e| e.cosine);
        let warnings = Recurring::count(&lines);
        let budget = self.budget(data)?;
        let batch = self.spec.batch_size.min(data.train.samples()) as f64;
        let energy = budget.map(|(each, seconds)| {
            let mut told = circuits::energy(&each, seconds);
            told["seconds_per_update"] = json!(seconds * batch);
            told["joules_per_update"] = json!((each.supplied + each.nudge) * batch);
            told["joules_of_training"] = json!(self.joules);
            told
        });
        sink.write_json(
            SUMMARY,
            &json!({
                "test_accuracy": test.accuracy,
                "train_accuracy": train.accuracy,
                "test_loss": test.loss,
                "train_loss": train.loss,
                "epochs": self.epoch,
                "updates": self.optimiser.updates,
                "wall_seconds": sink.seconds(),
                "training_seconds": learning,
                "rhs_evaluations": self.rhs_evaluations,
                "cosine": last.cosine,
                "least_cosine": least_cosine.map(|(_, cosine)| cosine),
                "warned_epochs": lines.iter().filter(|e| !e.warnings.is_empty()).count(),
                "warnings": warnings,
                "estimator": self.spec.estimator.name(),
                "energy": energy,
                "seed": self.spec.seed,
            }),
        )?;
        let mut told = vec![format!(
            "test accuracy {:.2}%, train accuracy {:.2}% after {} epochs in {learning:.1} s",
            100.0 * test.accuracy,
            100.0 * train.accuracy,
            self.epoch,
        )];
        if let Some((each, seconds)) = budget {
            told.push(format!(
                "a sample takes {seconds:.2e} s and {:.2e} J; training took {:.2e} J",
                each.supplied + each.nudge,
                self.joules
            ));
        }
        told.extend(warnings.iter().map(|warning| warning.told(lines.len())));
        Ok(told)
    }
}

impl Learner for CircuitTrainer<'_> {
    fn epochs(&self) -> u64 {
        self.epoch
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.put(&self.parameters, &self.optimiser, &self.states);
        snapshot.arrays.insert_reals("joules".to_owned(), &[1], &[self.joules]);
        snapshot.count("epoch", self.epoch);
        snapshot.count("rhs_evaluations", self.rhs_evaluations);
        snapshot.put_part(&self.part);
        snapshot
    }

    fn restore(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.take(&mut self.parameters, &mut self.optimiser, &mut self.states)?;
        self.joules = snapshot.arrays.reals::<f64>("joules", &[1])?[0];
        snapshot.arrays.refuse_unused()?;
        self.epoch = snapshot.counter("epoch")?;
        self.rhs_evaluations = snapshot.counter("rhs_evaluations")?;
        self.part = snapshot.part()?;
        self.programmed.program(&self.parameters);
        Ok(())
    }
}
