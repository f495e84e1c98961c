//! What an experiment takes, told before anything is taken: work, time, memory and disk, all from its description.
//!
//! Counts of evaluations are those of the description (`gradient/work.rs`). Times are multiply–adds and activations at the rates measured for `docs/performance.md`, so
//! that they hold within a factor of a few. Memory counts copies of parameters, states and records.

use std::fmt;
use std::ops::{Add, AddAssign, Mul};
use std::path::Path;

use super::problem;
use super::setup::{Options, Setup};
use super::spec::Precision;
use crate::data::DataSpec;
use crate::error::{Error, Result};
use crate::gradient::EstimatorSpec;
use crate::gradient::equilibrium::Settle;
use crate::gradient::work::Foreseen;
pub(super) use crate::gradient::work::{ACCELERATED, settling, stages, steps, ticks};
use crate::host::machine;
use crate::substrate::neurons::interactions::Direction;
use crate::substrate::neurons::network::{Edge, MOST_ON_GPU, Network, Output, Source, chunk};
use crate::team;

/// Multiply–adds of a thread in a second, in single precision.
const PRODUCTS: f64 = 2e10;
/// The same in convolutions.
const CONVOLVED: f64 = 4e10;
/// Seconds that an element of a pooling by softmax or maximum takes on each rail, in single precision.
const POOLED: f64 = 3e-9;
/// Seconds that each convolution takes beside its samples.
const CONVOLUTION: f64 = 1e-5;
/// Seconds that a neuron's activation takes on each rail, in single precision.
const ACTIVATION: f64 = 3e-9;
/// Seconds that an evaluation takes beside its neurons.
pub(super) const EVALUATION: f64 = 1e-6;
/// Copies of the parameters that a training run holds at its peak, beside one for each chunk of a batch: values, optimiser, device,
/// both layouts of both directions, and a checkpoint on its way to disk.
pub(super) const COPIES: f64 = 16.0;
/// Copies of the states of a chunk that an evaluation and its integrator need.
pub(super) const STATES: f64 = 16.0;
/// Bytes of the program itself.
const PROGRAM: f64 = 2e7;
/// Seconds beyond which nobody waits for the end: a century.
const LONGEST: f64 = 100.0 * 365.25 * 86400.0;
/// Seconds from which a run says beforehand how long it takes.
const LONG: f64 = 600.0;

/// What an experiment takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Training runs of a sweep; 0 for any other kind.
    pub runs: u64,
    /// Updates of the parameters.
    pub updates: f64,
    /// Evaluations of the right-hand side by estimators, each for a chunk of samples, or of the states of a trajectory.
    pub evaluations: f64,
    /// Seconds of one thread.
    pub thread_seconds: f64,
    /// Threads that share the work.
    pub threads: f64,
    /// Bytes of memory at the peak.
    pub memory: f64,
    /// Bytes on a GPU at the peak; 0 where states are computed here.
    pub gpu: f64,
    /// Bytes on disk at the end.
    pub disk: f64,
}

impl Add for Cost {
    type Output = Self;

    /// One after the other.
    fn add(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            updates: self.updates + other.updates,
            evaluations: self.evaluations + other.evaluations,
            thread_seconds: self.thread_seconds + other.thread_seconds,
            threads: self.threads.max(other.threads),
            memory: self.memory.max(other.memory),
            gpu: self.gpu.max(other.gpu),
            disk: self.disk + other.disk,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    /// The same so many times, one after the other; the disk is that of the last.
    fn mul(self, times: f64) -> Self {
        Self {
            updates: self.updates * times,
            evaluations: self.evaluations * times,
            thread_seconds: self.thread_seconds * times,
            ..self
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs > 0 {
            write!(f, "{}, ", counted(self.runs as f64, "run"))?;
        }
        if self.updates > 0.0 {
            write!(f, "{}, ", counted(self.updates, "update"))?;
        }
        write!(f, "{}, {}", counted(self.evaluations, "evaluation"), duration(self.seconds()))?;
        let threads = self.threads.max(1.0);
        write!(f, " on {}", counted(threads, "thread"))?;
        if self.gpu > 0.0 {
            write!(f, " of this processor (a GPU's time is not foreseen)")?;
        }
        write!(f, "; about {} of memory", machine::bytes(self.memory))?;
        if self.gpu > 0.0 {
            write!(f, ", {} on the GPU", machine::bytes(self.gpu))?;
        }
        write!(f, " and {} of disk", machine::bytes(self.disk))
    }
}

fn counted(number: f64, what: &str) -> String {
    let plural = if number == 1.0 { "" } else { "s" };
    if number < 1e6 { format!("{number:.0} {what}{plural}") } else { format!("{number:.1e} {what}{plural}") }
}

pub(crate) fn duration(seconds: f64) -> String {
    let units = [
        ("s", 1.0, 120.0),
        ("min", 60.0, 7200.0),
        ("h", 3600.0, 48.0 * 3600.0),
        ("days", 86400.0, 730.0 * 86400.0),
    ];
    if seconds < 1.0 {
        return "less than 1 s".to_owned();
    }
    let year = ("years", 365.25 * 86400.0, f64::INFINITY);
    let (unit, length, _) = units.into_iter().find(|(_, _, end)| seconds < *end).unwrap_or(year);
    let number = seconds / length;
    if number < 1e4 { format!("about {number:.0} {unit}") } else { format!("about {number:.0e} {unit}") }
}

impl Cost {
    /// About how long it takes, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.thread_seconds / self.threads.max(1.0)
    }

    /// With the program itself.
    pub(super) fn with_program(self) -> Self {
        Self { memory: self.memory + PROGRAM, ..self }
    }

    /// What is to be said before a run that takes long; none of one that does not.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (self.seconds() > LONG).then(|| format!("this takes long: {self}"))
    }

    /// Refuses what cannot be: more memory or disk than there is, or more than a century.
    ///
    /// # Errors
    /// [`Error::Input`] with the estimate, [`Error::Memory`] where that is the reason.
    pub fn refuse(&self, file: &str, out: &Path) -> Result<()> {
        let disk = machine::disk(out).map(|free| free as f64);
        self.refuse_memory(file)?;
        let (found, legal) = if disk.is_some_and(|free| self.disk > free) {
            (
                format!("found an experiment whose results take about {} of disk", machine::bytes(self.disk)),
                format!("{} are free", machine::bytes(disk.unwrap_or_default())),
            )
        } else if self.seconds() > LONGEST {
            (
                format!("found an experiment that takes {}", duration(self.seconds())),
                "at most a century".to_owned(),
            )
        } else {
            return Ok(());
        };
        Err(Error::input(file, "", found, format!("{legal}: what it would take is {self}")))
    }

    /// Refuses more memory than this process may take.
    ///
    /// # Errors
    /// [`Error::Memory`] with the estimate.
    pub fn refuse_memory(&self, file: &str) -> Result<()> {
        let memory = machine::memory() as f64;
        if self.memory <= memory {
            return Ok(());
        }
        let found = format!("found an experiment that needs about {} of memory", machine::bytes(self.memory));
        let most = machine::bytes(memory);
        Err(Error::memory(
            file,
            "",
            found,
            format!("this process may take {most}: what it would take is {self}"),
        ))
    }
}

/// What one estimate takes over a batch of so many samples, the parameters and all that it returns included.
#[must_use]
pub fn of_estimate(network: &Network, precision: Precision, spec: &EstimatorSpec, samples: usize) -> Cost {
    let (substrate, samples) = (Size::new(network, precision), samples as f64);
    let cost = estimator(spec, &substrate, samples);
    let points = spec.work(substrate.foreseen()).states.min(4096.0);
    let returned = substrate.states(samples) * (2.0 + points) + substrate.inputs * samples * substrate.bytes;
    Cost { memory: cost.memory + COPIES * substrate.parameter_bytes + returned, ..cost }
}

/// Samples to learn from and for the test.
pub(super) fn counts(setup: &Setup, data: &DataSpec, options: &Options) -> Result<(f64, f64)> {
    let (train, test) = data.counts(&problem::lookup(&setup.origin, options))?;
    Ok((train as f64, test as f64))
}

/// Samples of a batch file.
pub(super) fn samples(setup: &Setup, path: &str) -> Result<f64> {
    problem::count(setup, path).map(|count| count as f64)
}

/// A network's numbers.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) inputs: f64,
    pub(super) neurons: f64,
    pub(super) outputs: f64,
    /// Seconds of an evaluation, per sample and rail, in single precision.
    evaluation: f64,
    /// The same of a product with the Jacobian.
    linear: f64,
    /// The same of what is done once for each sample: the drive of its inputs, and the gradient.
    once: f64,
    /// Seconds of an evaluation beside its samples.
    overhead: f64,
    pub(super) parameters: f64,
    /// Bytes of a number.
    pub(super) bytes: f64,
    /// Bytes of all parameters.
    pub(super) parameter_bytes: f64,
    /// Bytes of kernels as they are laid out for products, beyond those of other weights.
    layouts: f64,
    /// Numbers that products work on besides states, per sample and rail.
    buffers: f64,
    /// Whether no connection leads back: free equilibria take one pass.
    feed_forward: bool,
    /// Whether kernels are shared by positions.
    shared: bool,
    /// Whether states are computed on a GPU.
    gpu: bool,
}

/// Seconds of products with an interaction, of so many with its weights and so many over its pooling, per sample and rail.
fn work(edge: &Edge, products: f64, poolings: f64) -> f64 {
    let rate = if edge.interaction.is_shared() { CONVOLVED } else { PRODUCTS };
    products * edge.interaction.products() as f64 / rate
        + poolings * edge.interaction.pooled() as f64 * POOLED
}

impl Size {
    pub(super) fn new(network: &Network, precision: Precision) -> Self {
        let bytes = if precision == Precision::F32 { 4.0 } else { 8.0 };
        let mut own = Self {
            inputs: network.inputs as f64,
            neurons: network.neurons() as f64,
            outputs: network.output.size() as f64,
            evaluation: network.neurons() as f64 * ACTIVATION,
            linear: network.neurons() as f64 * ACTIVATION,
            once: 0.0,
            overhead: EVALUATION,
            parameters: network.shapes().iter().map(|s| s.form.len() as f64).sum::<f64>(),
            bytes,
            parameter_bytes: 0.0,
            layouts: 0.0,
            buffers: 0.0,
            feed_forward: network.order().is_some(),
            shared: network.shared().is_some(),
            gpu: network.gpu.is_some(),
        };
        own.parameter_bytes = own.parameters * bytes;
        for edge in &network.edges {
            own.add(edge, network.edges.iter().filter(|other| other.weight == edge.weight).count() > 1);
        }
        if let Output::Readout { weight, .. } = network.output {
            let readout = 2.0 * network.shapes()[weight].form.len() as f64 / PRODUCTS;
            own.evaluation += readout;
            own.linear += readout;
        }
        own
    }

    /// Adds a connection, `tied` where the same weights serve both directions.
    fn add(&mut self, edge: &Edge, tied: bool) {
        let single = self.bytes < 8.0;
        self.buffers += edge.interaction.buffers(single) as f64;
        if edge.interaction.is_shared() {
            let devices = edge.interaction.copies() * edge.interaction.weights();
            self.layouts += 4.0 * devices as f64 * self.bytes;
        }
        if edge.from == Source::Input {
            self.once += work(edge, 3.0, 2.0);
            return;
        }
        if edge.interaction.is_shared() {
            self.overhead += CONVOLUTION;
        }
        // Where a pooling is not linear K∗a is made once for both directions of a tied pair.
        let (evaluation, linear, gradient) = match (edge.interaction.is_linear(), edge.direction) {
            (true, _) => (1.0, 1.0, 1.0),
            (false, Direction::Forward) => (1.0, 1.0, 2.0),
            (false, Direction::Backward) if tied => (1.0, 1.0, 1.0),
            (false, Direction::Backward) => (2.0, 2.0, 3.0),
        };
        self.evaluation += work(edge, evaluation, 1.0);
        self.linear += work(edge, linear, if edge.direction == Direction::Forward { 1.0 } else { 2.0 });
        self.once += work(edge, gradient, 1.0);
    }

    /// Seconds of a thread for evaluations of a chunk of so many samples.
    pub(super) fn seconds(&self, evaluations: f64, samples: f64, rails: f64) -> f64 {
        evaluations * (self.overhead + self.slower() * samples * rails * self.evaluation)
    }

    /// Samples that are simulated together, of so many.
    fn chunk(&self, samples: f64) -> f64 {
        if self.gpu {
            return samples.min(MOST_ON_GPU as f64);
        }
        chunk(self.shared, samples as usize) as f64
    }

    /// How much longer than in single precision it takes.
    fn slower(&self) -> f64 {
        self.bytes / 4.0
    }

    /// What is known of it beforehand.
    pub(super) fn foreseen(&self) -> Foreseen {
        Foreseen { bytes: self.bytes, feed_forward: self.feed_forward }
    }

    /// Seconds that evaluations take for one sample's inputs, where those change: at most a product with every parameter.
    pub(super) fn moving(&self, evaluations: f64) -> f64 {
        evaluations * self.bytes / 4.0 * self.parameters / PRODUCTS
    }

    /// Bytes that products with a chunk work on, besides states.
    fn buffers(&self, samples: f64) -> f64 {
        2.0 * self.buffers * samples * self.bytes
    }

    /// Bytes of the complex states of a chunk.
    pub(super) fn states(&self, samples: f64) -> f64 {
        2.0 * (self.neurons + self.outputs) * samples * self.bytes
    }
}

/// What an estimator takes over so many samples.
pub(super) fn estimator(spec: &EstimatorSpec, substrate: &Size, samples: f64) -> Cost {
    let chunk = spec.work(substrate.foreseen());
    let most = substrate.chunk(samples);
    let chunks = (samples / most).ceil();
    let together = samples.min(most);
    let ranks = team::current().map_or(1, |team| team.size()) as f64;
    let own = (chunks / ranks).ceil().min(rayon::current_num_threads() as f64).max(1.0);
    let evaluations = chunks * chunk.evaluations;
    // A chunk that is not full costs no more than its samples.
    let rails = chunk.rails.max(1.0);
    let solving = chunk.linear * rails * (substrate.linear - substrate.evaluation);
    let work = substrate.seconds(evaluations, samples / chunks.max(1.0), rails)
        + substrate.slower() * samples * (solving + substrate.once);
    let synapses = chunk.parameters * substrate.parameter_bytes;
    let held = substrate.states(together) * (STATES + chunk.states) + substrate.buffers(together);
    Cost {
        evaluations,
        thread_seconds: work,
        threads: chunks.min(own * ranks).max(1.0),
        memory: own * (held + synapses) + substrate.layouts + chunks * substrate.parameter_bytes,
        gpu: if substrate.gpu { held + substrate.parameter_bytes } else { 0.0 },
        ..Cost::default()
    }
}

/// Inference of so many samples.
pub(super) fn inference(settle: &Settle, substrate: &Size, samples: f64) -> Cost {
    let most = substrate.chunk(samples);
    let evaluations = (samples / most).ceil() * substrate.foreseen().free(settle);
    Cost { thread_seconds: substrate.seconds(evaluations, most, 1.0), ..Cost::default() }
}

/// The truth that estimates are compared with.
pub(super) fn truth(substrate: &Size, samples: f64) -> Cost {
    estimator(&EstimatorSpec::Adjoint(crate::gradient::Adjoint::default()), substrate, samples)
}

/// A study of given parameters and samples, beside its estimates.
pub(super) fn study(substrate: &Size, samples: f64) -> Cost {
    Cost {
        memory: 8.0 * substrate.parameter_bytes
            + samples * (3.0 * substrate.inputs + substrate.outputs) * substrate.bytes,
        disk: 2.0 * substrate.parameter_bytes,
        ..truth(substrate, samples)
    }
}

pub(super) fn with_study(substrate: &Size, samples: f64, work: Cost) -> Cost {
    let study = study(substrate, samples);
    Cost { memory: study.memory + work.memory, ..study + work }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substrate(model: &str) -> Size {
        let path = format!("{}/models/{model}.json", env!("CARGO_MANIFEST_DIR"));
        let model = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Size::new(&Network::new(&model).unwrap(), Precision::F32)
    }

    /// Three convolutions of 75.5, 75.5 and 9.4 million multiply–adds, once up and once down, and their poolings.
    #[test]
    fn an_evaluation_of_kernels_counts_what_goes_up_and_what_comes_down() {
        let products = 2.0 * (2.0 * 16.0 * 16.0 * 128.0 * 256.0 * 9.0 + 2.0 * 2.0 * 512.0 * 512.0 * 9.0);
        let pooled = 2.0 * (16.0 * 16.0 * 256.0 + 8.0 * 8.0 * 512.0 + 2.0 * 2.0 * 512.0);
        let neurons = (16.0 * 16.0 * 128.0) + (8.0 * 8.0 * 256.0) + (4.0 * 4.0 * 512.0) + 512.0;
        let expected =
            products / CONVOLVED + pooled * POOLED + neurons * ACTIVATION + 2.0 * 5120.0 / PRODUCTS;
        let vgg4 = substrate("vgg4");
        assert!((vgg4.evaluation / expected - 1.0).abs() < 1e-9, "{}, not {expected}", vgg4.evaluation);
        assert!((0.003..0.012).contains(&vgg4.evaluation), "{}", vgg4.evaluation);
        assert!(vgg4.linear > vgg4.evaluation && vgg4.once > 0.0);
        // K∗a, K∗δ and the slope current alone.
        assert!(vgg4.buffers(1.0) > 3.0 * pooled * 4.0);
    }

    /// Two phases at N = 2 have one rail each; three at N = 4, of which one has two and stands for its conjugate.
    #[test]
    fn real_points_are_cheaper_than_complex_ones() {
        let substrate = substrate("toy");
        let chunk = |points: u64| {
            let spec = serde_json::json!({ "cauchy": { "amplitude": 0.1, "points": points,
                "settle": { "step": 1.0, "tolerance": 0.0, "max_time": 100.0 } } });
            let spec: EstimatorSpec = serde_json::from_value(spec).unwrap();
            let chunk = spec.work(substrate.foreseen());
            (chunk.evaluations, chunk.rails)
        };
        assert_eq!(chunk(1), (200.0, 1.0));
        assert_eq!(chunk(2), (300.0, 1.0));
        assert_eq!(chunk(3), (300.0, 4.0 / 3.0));
        assert_eq!(chunk(4), (400.0, 1.25));
    }
}
