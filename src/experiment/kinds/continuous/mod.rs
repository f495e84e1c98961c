//! Runs a `continuous` experiment: weights that evolve in the same differential equation as the neurons.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::record::ContinuousEpoch;
use super::train::{compared, inference, over_inference};
use crate::data::Dataset;
use crate::error::{Error, Invalid, Result, non_negative, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::epochs;
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::origin::Origin;
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{Content, LEARNT, SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_equations, validate_holomorphic};
use crate::experiment::waveform;
use crate::files::{Npz, Tensors};
use crate::gradient::equilibrium::Settle;
use crate::gradient::{CHUNK, check_time_constants};
use crate::imperfections::Imperfections;
use crate::learning::{Optimiser, OptimiserSpec, Plasticity, Protocol};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::signal::{InputSignal, Signal};
use crate::simulation::teaching::{Teaching, Time, Waveform};
use crate::substrate::neurons::network::{Network, Source};

/// How its run folders are kept.
pub(super) const KEEPING: Keeping =
    Keeping { resumed: true, files: &["parameters.safetensors", "trace.npz", "trace.units.json"] };

spec! {
    /// Learns without batches, phases or resets.
    pub struct Continuous {
        description,
        /// The network; its connections between layers are tied.
        model, parameters?, precision = single,
        /// Seed of initial weights, split, order of samples and noise.
        seed, data,
        /// Part of the training samples that is held out of learning and measured after each epoch; the test set is measured once,
        /// at the end.
        #[serde(default = "fifth")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        pub validation_fraction: f64,
        form,
        /// How the neurons are integrated, with a fixed step; low passes and weights advance by the same steps.
        #[serde(default)]
        pub integrator: IntegratorSpec,
        /// Amplitude |β| of the drive.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub amplitude: f64,
        /// Period of the drive, in τ: a whole number of steps, at least 3.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub period: f64,
        /// How long each sample is shown, in τ: a whole number of steps, best of periods.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub presentation: f64,
        /// How the inputs of whatever sample is shown change in time while the weights learn; they stand still when left out.
        /// Accuracies and the adjoint are those of the samples as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub waveform: Option<InputSignal>,
        /// The filter behind each synapse's multiplier.
        pub low_pass: LowPass,
        /// τ_w, in τ: a coefficient of one changes a weight by one in this time.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub weight_time: f64,
        /// λ of τ_w dW/dt = −s − λW.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        pub leak: f64,
        /// How 1/τ_w goes with time.
        schedule,
        /// Factors on 1/τ_w by connection (`h1-h2`), layer (its bias) or `readout`.
        learning_rates,
        /// What is imperfect: a table, or the name of a preset; without `programming` and `drift`, as the weights are never
        /// written.
        #[serde(default)]
        pub imperfections: Imperfections,
        /// How often every training sample is shown.
        epochs,
        /// How free equilibria are waited for in tests.
        #[serde(default = "inference", deserialize_with = "over_inference")]
        pub inference: Settle,
        /// Training samples, shown in a row while the weights stand still, on which each epoch compares the weights' drive with
        /// the adjoint; 0 for none.
        #[serde(default = "compared")]
        pub compare: usize,
        /// Samples at the start of the run of which `trace.npz` records drive, inputs that change and activity (rates) at `time`, and
        /// coefficient and weight at the end of the step that begins there; 0 for none.
        #[serde(default = "shown")]
        #[schemars(range(min = 0, max = 1000))]
        pub trace: usize,
    }
}

/// RC low passes in a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LowPass {
    /// RC low passes in a row behind each multiplier.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 8))]
    pub poles: u32,
    /// T, the time constant of each, in τ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub time_constant: f64,
}

fn one() -> u32 {
    1
}

fn fifth() -> f64 {
    0.2
}

fn shown() -> usize {
    8
}

impl Kind for Continuous {
    fn resolve(&mut self, origin: &Origin) -> Result<()> {
        waveform::read(self.waveform.as_mut(), origin)
    }

    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        refuse_equations(network)?;
        self.data.check().map_err(|e| e.under("data"))?;
        validate_holomorphic(network)?;
        if network.shared().is_some() {
            let legal = "weights that move at every instant are those of dense and sparse connections here";
            return Err(Invalid::new("model", "found a convolution", legal));
        }
        if !network.is_tied() {
            let legal = "every connection between layers must be tied: a product of two rates does not tell two directions apart";
            return Err(Invalid::new("model", "found connections that are not tied", legal));
        }
        if !(0.0 < self.validation_fraction && self.validation_fraction < 1.0) {
            let found = format!("found {}", self.validation_fraction);
            return Err(Invalid::new("validation_fraction", found, "between 0 and 1, both excluded"));
        }
        positive("amplitude", self.amplitude)?;
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        if self.integrator.is_adaptive() {
            let legal = "one with a fixed step: weights advance by the steps of the neurons";
            return Err(Invalid::new("integrator", "found an adaptive integrator", legal));
        }
        let clock = self.integrator.clock("period", self.period)?;
        waveform::validate(self.waveform.as_ref(), network, self.integrator, clock)?;
        let ticks = clock.ticks;
        if ticks < 3 {
            let found = format!("found {}, {ticks} steps", self.period);
            return Err(Invalid::new("period", found, "at least 3 steps"));
        }
        check_time_constants(self.integrator, network, Some(&self.imperfections))?;
        self.integrator.clock("presentation", self.presentation)?;
        if !(1..=8).contains(&self.low_pass.poles) {
            let found = format!("found {}", self.low_pass.poles);
            return Err(Invalid::new("low_pass.poles", found, "1 to 8 poles"));
        }
        positive("low_pass.time_constant", self.low_pass.time_constant)?;
        positive("weight_time", self.weight_time)?;
        non_negative("leak", self.leak)?;
        self.schedule.validate().map_err(|e| e.under("schedule"))?;
        self.validate_imperfections().map_err(|e| e.under("imperfections"))?;
        self.imperfections.suit(network).map_err(|e| e.under("imperfections"))?;
        self.inference.validate().map_err(|e| e.under("inference"))?;
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return Err(Invalid::new("epochs", format!("found {}", self.epochs), "1 to 1000000"));
        }
        if self.trace > 1000 {
            return Err(Invalid::new("trace", format!("found {}", self.trace), "at most 1000 samples"));
        }
        Ok(())
    }

    fn cost(&self, setup: &Setup, options: &Options) -> Result<Cost> {
        let (train, test) = cost::counts(setup, &self.data, options)?;
        if train < 2.0 {
            return Err(alone(setup));
        }
        let substrate = cost::Size::new(&setup.network, self.precision);
        let learnt = train * (1.0 - self.validation_fraction);
        let presentation = cost::ticks(self.integrator, self.presentation);
        let steps = self.epochs as f64 * learnt * presentation;
        let stages = cost::stages(self.integrator);
        // Each step moves the filters and the weight of every synapse.
        let poles = f64::from(self.low_pass.poles);
        let moved = if self.waveform.is_some() { substrate.moving(stages) } else { 0.0 };
        let synapses = substrate.parameters * (2.0 + 2.0 * poles) * 1e-9;
        let step = substrate.seconds(stages, 1.0, 2.0) + moved + synapses;
        let measured = cost::inference(&self.inference, &substrate, train + test);
        let (p, b) = (substrate.parameter_bytes, substrate.bytes);
        let traced = (self.trace as f64).min(learnt) * presentation * 300.0;
        Ok(Cost {
            updates: steps,
            evaluations: steps * stages,
            thread_seconds: steps * step + self.epochs as f64 * measured.thread_seconds,
            threads: 1.0,
            memory: (cost::COPIES + 2.0 * poles) * p
                // As often as for training, or once more for what is held out.
                + (train + test) * (substrate.inputs * self.data.bytes_of_an_input().max(2.0) + 8.0)
                + substrate.states(CHUNK as f64) * (cost::STATES + cost::ACCELERATED)
                + traced * b / 4.0,
            disk: (2.0 + 2.0 * poles) * p + self.epochs as f64 * 1000.0 + traced,
            ..Cost::default()
        })
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, options: &Options) -> Result<Vec<String>> {
        match self.precision {
            Precision::F32 => run::<f32>(self, setup, sink, options),
            Precision::F64 => run::<f64>(self, setup, sink, options),
        }
    }
}

impl Continuous {
    fn validate_imperfections(&self) -> std::result::Result<(), Invalid> {
        self.imperfections.validate()?;
        for (name, present) in [
            ("programming", self.imperfections.programming.is_some()),
            ("drift", self.imperfections.drift.is_some()),
        ] {
            if present {
                let legal = "weights that move all the time are never written: leave it out";
                return Err(Invalid::new(name, "found a model of writing weights", legal));
            }
        }
        match self.imperfections.instant() {
            Some(instant) => instant.check(self.integrator, self.form),
            None => Ok(()),
        }
    }

    fn protocol(&self) -> Protocol {
        let clock = self.integrator.clock("period", self.period).expect("validated");
        Protocol {
            seed: self.seed,
            imperfections: self.imperfections.clone(),
            form: self.form,
            integrator: self.integrator,
            step: clock.step,
            amplitude: self.amplitude,
            period: clock.ticks,
            presentation: self.integrator.clock("presentation", self.presentation).expect("validated").ticks,
            poles: self.low_pass.poles,
            time_constant: self.low_pass.time_constant,
            schedule: self.schedule,
            epochs: self.epochs,
        }
    }

    /// The run at its start.
    fn plasticity<T: Scalar>(&self, setup: &Setup) -> Result<Plasticity<T>> {
        let network = &setup.network;
        let parameters = problem::initial::<T>(setup, self.parameters.as_ref(), self.seed)?;
        let protocol = self.protocol();
        // Euler's step of the weights' equation is a step of gradient descent.
        let euler = OptimiserSpec::Sgd {
            learning_rate: protocol.step / self.weight_time,
            momentum: 0.0,
            weight_decay: self.leak,
        };
        let optimiser = Optimiser::new(euler, &self.learning_rates, network)
            .map_err(|invalid| invalid.under("learning_rates").in_file(setup.origin.display()))?;
        let mut plasticity = Plasticity::new(protocol, network, parameters, optimiser);
        if let Some(waveform) = &self.waveform {
            let signal = Signal::new(waveform, network.inputs, plasticity.protocol.step);
            plasticity = plasticity.with_signal(signal);
        }
        Ok(plasticity)
    }
}

fn run<T: Scalar>(
    spec: &Continuous,
    setup: &Setup,
    sink: &mut dyn Sink,
    options: &Options,
) -> Result<Vec<String>> {
    let data = problem::data(setup, &spec.data, spec.seed, options)?;
    if data.train.samples() < 2 {
        return Err(alone(setup));
    }
    let held_out = data.train.hold_out(spec.validation_fraction, spec.seed);
    let (train, validation) = (&held_out.train, &held_out.test);
    let mut plasticity = spec.plasticity::<T>(setup)?;
    let mut course = epochs::begin(&mut plasticity, sink, options.resume)?;
    let bar = epochs::progress_bar(options.progress, spec.epochs, plasticity.epoch);
    course.learn(&mut plasticity, spec.epochs, |plasticity, course, _| {
        let start = std::time::Instant::now();
        let before = plasticity.epoch;
        let mut trace = SynapseTrace::new(
            &setup.network,
            if before == 0 { spec.trace } else { 0 },
            spec.waveform.is_some(),
        );
        plasticity.epoch(train, |shown, now, rates| {
            bar.set_position(before * 1000 + (shown * 1000 / train.samples()) as u64);
            trace.record(shown, now, rates);
        })?;
        if before == 0 && spec.trace > 0 {
            trace.write(spec, course.sink())?;
        }
        let line = measure(spec, plasticity, (train, validation), start)?;
        bar.set_message(format!(
            "epoch {}/{}: validation {:.1} %",
            line.epoch,
            spec.epochs,
            100.0 * line.validation_accuracy
        ));
        Ok(line)
    })?;
    bar.finish_and_clear();
    finish(spec, sink, &plasticity, (train, &data.test))
}

/// What is said of a training set that is a single sample.
pub(super) fn alone(setup: &Setup) -> Error {
    let legal = "at least 2: a part of them is held out of learning";
    Error::input(setup.origin.display(), "data", "found 1 sample to learn from", legal)
}

fn measure<T: Scalar>(
    spec: &Continuous,
    plasticity: &Plasticity<T>,
    (train, validation): (&Dataset, &Dataset),
    start: std::time::Instant,
) -> Result<ContinuousEpoch> {
    let agreement = plasticity.agreement(train, spec.compare)?;
    let (learnt, held_out) =
        (plasticity.score(train, &spec.inference)?, plasticity.score(validation, &spec.inference)?);
    Ok(ContinuousEpoch {
        epoch: plasticity.epoch,
        time: plasticity.tick as f64 * plasticity.protocol.step,
        train_loss: learnt.loss,
        train_accuracy: learnt.accuracy,
        validation_loss: held_out.loss,
        validation_accuracy: held_out.accuracy,
        cosine: agreement.as_ref().and_then(|a| a.0.total.cosine),
        synapse_cosine: agreement.as_ref().and_then(|a| a.0.synapses.cosine),
        slowest_rate: agreement.as_ref().and_then(|a| a.1.slowest_rate),
        drive_rate: std::f64::consts::TAU / spec.period,
        rhs_evaluations: plasticity.rhs_evaluations,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn finish<T: Scalar>(
    spec: &Continuous,
    sink: &mut dyn Sink,
    plasticity: &Plasticity<T>,
    (train, test): (&Dataset, &Dataset),
) -> Result<Vec<String>> {
    let mut tensors = Tensors::new();
    plasticity.parameters.insert_into(&mut tensors, "");
    sink.write(LEARNT, Content::Tensors(tensors))?;
    let (train, test) = (plasticity.score(train, &spec.inference)?, plasticity.score(test, &spec.inference)?);
    let lines: Vec<ContinuousEpoch> = sink.records()?;
    let last = lines.last().ok_or_else(|| Error::Internal("a run without epochs".into()))?;
    let learning: f64 = lines.iter().map(|e| e.seconds).sum();
    let lowest = lines.iter().map(|e| e.validation_accuracy).fold(1.0, f64::min);
    let least_cosine = lines.iter().filter_map(|e| e.cosine).reduce(f64::min);
    let least_rate = lines.iter().filter_map(|e| e.slowest_rate).reduce(f64::min);
    sink.write_json(
        SUMMARY,
        &json!({
            "test_accuracy": test.accuracy,
            "train_accuracy": train.accuracy,
            "validation_accuracy": last.validation_accuracy,
            "lowest_validation_accuracy": lowest,
            "test_loss": test.loss,
            "train_loss": train.loss,
            "epochs": plasticity.epoch,
            "time": last.time,
            "wall_seconds": sink.seconds(),
            "training_seconds": learning,
            "rhs_evaluations": plasticity.rhs_evaluations,
            "cosine": last.cosine,
            "least_cosine": least_cosine,
            "slowest_rate": last.slowest_rate,
            "least_slowest_rate": least_rate,
            "seed": spec.seed,
        }),
    )?;
    let percent = |x: f64| 100.0 * x;
    let mut told = vec![format!(
        "test accuracy {:.2}%, validation {:.2}%, training {:.2}% after {} epochs, {:.3e} tau, in {learning:.1} s",
        percent(test.accuracy),
        percent(last.validation_accuracy),
        percent(train.accuracy),
        plasticity.epoch,
        last.time,
    )];
    if let (Some(cosine), Some(least), Some(rate)) = (last.cosine, least_cosine, least_rate) {
        told.push(format!(
            "cosine of the weights' drive to the adjoint gradient {cosine:.4}, the least {least:.4}; slowest relaxation rate \
             {rate:.3}/tau, drive {:.3}/tau",
            last.drive_rate
        ));
    }
    Ok(told)
}

/// Synapses that a trace shows.
const SHOWN: usize = 3;

/// Records a few synapses of one connection with the neurons that they feed, at every step.
struct SynapseTrace {
    samples: usize,
    weight: usize,
    layer: usize,
    /// Places of the weights from each neuron to the one of the same number.
    shown: Vec<usize>,
    time: Vec<f64>,
    beta: Vec<Complex<f64>>,
    activity: Vec<f64>,
    coefficient: Vec<f64>,
    weights: Vec<f64>,
    /// How many inputs are recorded: none where they stand still.
    moving: usize,
    inputs: Vec<f64>,
}

impl SynapseTrace {
    /// A recorder of the first `samples` samples: of the first connection between layers, or else from the input.
    fn new(network: &Network, samples: usize, moving: bool) -> Self {
        let edge = network.edges.iter().find(|e| e.from != Source::Input).unwrap_or(&network.edges[0]);
        let ends = || edge.interaction.ends();
        Self {
            samples,
            weight: edge.weight,
            layer: edge.to,
            shown: (0..).map_while(|k| ends().position(|ends| ends == (k, k))).take(SHOWN).collect(),
            time: Vec::new(),
            beta: Vec::new(),
            activity: Vec::new(),
            coefficient: Vec::new(),
            weights: Vec::new(),
            moving: if moving { network.inputs.min(SHOWN) } else { 0 },
            inputs: Vec::new(),
        }
    }

    /// The state of the run after a step; synapse k leads from neuron k to neuron k.
    fn record<T: Scalar>(&mut self, shown: usize, now: &Plasticity<T>, rates: &[T]) {
        if shown >= self.samples {
            return;
        }
        let Protocol { amplitude, period, step, .. } = now.protocol;
        let teaching = Teaching { waveform: Waveform::Circular { ticks: period }, amplitude, onset: 0 };
        let shape = StateShape::new(now.network(), 1, 2);
        let tick = now.tick - 1;
        self.time.push(tick as f64 * step);
        self.beta.push(teaching.beta(Time::at(tick)));
        self.inputs.extend(now.inputs()[..self.moving].iter().map(|x| x.double()));
        let neurons = &rates[shape.column(self.layer, 0, 0)];
        let (coefficient, weights) =
            (now.synapses.coefficient().at(self.weight), now.parameters.at(self.weight));
        for (rate, element) in neurons.iter().zip(self.shown.clone()) {
            self.activity.push(rate.double());
            self.coefficient.push(-coefficient[element].double());
            self.weights.push(weights[element].double());
        }
    }

    fn write(&self, spec: &Continuous, sink: &mut dyn Sink) -> Result<()> {
        let (ticks, shape) = (self.time.len(), [self.time.len(), self.shown.len()]);
        let axes = ["tick", "synapse"];
        let mut arrays = Npz::new();
        arrays.insert("time", &[ticks], &self.time, "tau", &["tick"]);
        let (re, im): (Vec<f64>, Vec<f64>) = self.beta.iter().map(|z| (z.re, z.im)).unzip();
        arrays.insert("beta_re", &[ticks], &re, "1", &["tick"]);
        arrays.insert("beta_im", &[ticks], &im, "1", &["tick"]);
        arrays.insert("activity", &shape, &self.activity, "1", &["tick", "receiving neuron"]);
        arrays.insert("coefficient", &shape, &self.coefficient, "1", &axes);
        arrays.insert("weight", &shape, &self.weights, "1", &axes);
        if self.moving > 0 {
            arrays.insert("input", &[ticks, self.moving], &self.inputs, "1", &["tick", "input"]);
        }
        arrays.insert("presentation", &[1], &[spec.presentation], "tau", &["scalar"]);
        sink.write("trace.npz", Content::Arrays(arrays))
    }
}
