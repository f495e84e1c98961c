//! Learning without batches, phases or resets: the weights are variables of the same differential equation as the neurons.
//!
//! ```text
//! τ  du/dt = −u + …                           the substrate under β = |β|e^{iωt}, which never stops
//! p        = −Re(a_i a_j e^{−iωt})/|β|        at every synapse: multiplier and demodulator
//! T  ds/dt = −s + p                           n times in a row: the local coefficient
//! τ_w dW/dt = −s − λW
//! ```
//!
//! Averaged over a period, p is the gradient: Re c₁[a_i a_j] = −|β| ∂C/∂W_ij (paper 1, eq. 9). Samples follow one another
//! without pause. What a change of sample leaves in the coefficient telescopes: over many samples its mean is zero.

use std::sync::Arc;

use super::optimiser::{Optimiser, Schedule};
use super::score::{Score, free_score};
use super::snapshot::{Learner, Snapshot};
use crate::data::{Dataset, batches};
use crate::error::{Error, Result};
use crate::gradient::compare::{Comparison, compare};
use crate::gradient::equilibrium::Settle;
use crate::gradient::{Adjoint, Diagnostics, Setting, estimate_batch};
use crate::imperfections::instant::Disturbances;
use crate::imperfections::memory::WHOLE;
use crate::imperfections::readout::Converter;
use crate::imperfections::{Device, Imperfections, NoiseMemory};
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::Trajectory;
use crate::simulation::integrators::{IntegratorSpec, VectorField};
use crate::simulation::lockin::Observer;
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time, Waveform};
use crate::simulation::view::View;
use crate::substrate::Field;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::field::{Bound, Dynamics};
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// What a run of continuous plasticity holds fixed.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// Seed of the order of samples and of the noise.
    pub seed: u64,
    /// What is imperfect.
    pub imperfections: Imperfections,
    /// Which variable the neurons integrate.
    pub form: Form,
    /// How the neurons are integrated; its steps are fixed.
    pub integrator: IntegratorSpec,
    /// Length of a step, in nominal τ.
    pub step: f64,
    /// |β|.
    pub amplitude: f64,
    /// Steps in a period of the drive.
    pub period: u64,
    /// Steps for which each sample is shown.
    pub presentation: u64,
    /// Low passes in a row behind each multiplier.
    pub poles: u32,
    /// T, the time constant of each, in nominal τ.
    pub time_constant: f64,
    /// How 1/τ_w goes with time.
    pub schedule: Schedule,
    /// Epochs in all.
    pub epochs: u64,
}

/// The circuits at the synapses: multiplier, demodulator and low passes.
#[derive(Debug, Clone)]
pub struct LocalLockIn<T: Scalar> {
    amplitude: f64,
    period: u64,
    phase_error: f64,
    /// What a low pass keeps in a step, e^{−h/T}, and what it takes in.
    keep: f64,
    gain: f64,
    /// The inputs at present, [inputs].
    inputs: Vec<T>,
    /// The output of each low pass, shaped as the parameters; the last one is the coefficient.
    pub stages: Vec<Parameters<T>>,
}

impl<T: Scalar> LocalLockIn<T> {
    /// Circuits at rest.
    #[must_use]
    pub fn new(network: &Arc<Network>, protocol: &Protocol) -> Self {
        let keep = (-protocol.step / protocol.time_constant).exp();
        Self {
            amplitude: protocol.amplitude,
            period: protocol.period,
            phase_error: protocol.imperfections.readout.map_or(0.0, |readout| readout.phase_error),
            keep,
            gain: 1.0 - keep,
            inputs: Vec::new(),
            stages: vec![Parameters::zeros(network.shapes()); protocol.poles as usize],
        }
    }

    /// Circuits that average over `ticks` steps instead.
    fn averaging(network: &Arc<Network>, protocol: &Protocol, ticks: u64) -> Self {
        Self {
            keep: 1.0,
            gain: 1.0 / ticks as f64,
            ..Self::new(network, &Protocol { poles: 1, ..protocol.clone() })
        }
    }

    /// The low-passed product of every synapse, with the sign of the gradient.
    #[must_use]
    pub fn coefficient(&self) -> &Parameters<T> {
        self.stages.last().expect("at least one pole")
    }
}

/// The circuits beside the synapses that they belong to.
struct Listening<'a, T: Scalar> {
    circuits: &'a mut LocalLockIn<T>,
    effective: &'a Effective<T>,
}

impl<T: Scalar> Observer<T> for Listening<'_, T> {
    fn wants(&self, _tick: u64) -> bool {
        true
    }

    fn observe(&mut self, tick: u64, view: &View<'_, T>) {
        self.circuits.listen(self.effective, tick, view);
    }
}

impl<T: Scalar> LocalLockIn<T> {
    fn listen(&mut self, effective: &Effective<T>, tick: u64, view: &View<'_, T>) {
        let angle =
            std::f64::consts::TAU * (tick % self.period) as f64 / self.period as f64 + self.phase_error;
        let demodulator = num_complex::Complex::from_polar(self.gain / self.amplitude, -angle);
        let (keep, gain) = (T::of(self.keep), T::of(self.gain));
        let [first, rest @ ..] = self.stages.as_mut_slice() else { return };
        decay(first, keep);
        effective.add_instantaneous(view, &self.inputs, demodulator, self.gain, first);
        let mut before = &*first;
        for stage in rest {
            decay(stage, keep);
            stage.add_scaled(gain, before);
            before = stage;
        }
    }
}

/// Multiplies by `keep`. What has become too small to matter becomes zero: processors are slow with subnormal numbers.
fn decay<T: Scalar>(stage: &mut Parameters<T>, keep: T) {
    let least = T::min_positive_value() / T::epsilon();
    for index in 0..stage.len() {
        for x in stage.at_mut(index) {
            let kept = keep * *x;
            *x = if kept.abs() < least { T::zero() } else { kept };
        }
    }
}

/// Keeps the rates at the start of a step.
struct RatesAtStart<T> {
    rates: Vec<T>,
}

impl<T: Scalar> Observer<T> for RatesAtStart<T> {
    fn wants(&self, _tick: u64) -> bool {
        self.rates.is_empty()
    }

    fn observe(&mut self, _tick: u64, view: &View<'_, T>) {
        self.rates.extend_from_slice(view.rates);
    }
}

/// What goes on from step to step beside weights, coefficients and state: the field without its weights, and how it is integrated.
struct Carried<T: Scalar> {
    bound: Bound<T>,
    trajectory: Trajectory<T>,
    start: RatesAtStart<T>,
}

/// Substrate, synapses and time: everything that evolves.
pub struct Plasticity<T: Scalar> {
    /// What the run holds fixed.
    pub protocol: Protocol,
    network: Arc<Network>,
    /// Nominal parameters: the weights.
    pub parameters: Parameters<T>,
    /// Turns coefficients into changes of weights: 1/τ_w, its factors, λ.
    pub optimiser: Optimiser<T>,
    /// The synapses' circuits.
    pub synapses: LocalLockIn<T>,
    /// The neurons' state, complex, laid out as [`StateShape`].
    pub state: Vec<T>,
    /// What is on its way over connections with a delay, between epochs.
    delayed: Vec<T>,
    /// Steps since the start.
    pub tick: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Evaluations of the right-hand side so far.
    pub rhs_evaluations: u64,
    /// What the noise remembers from one epoch to the next.
    noise: NoiseMemory<T>,
    /// What the inputs are moved by, from the start of the run to its end.
    signal: Option<Signal<T>>,
    device: Device<T>,
    effective: Effective<T>,
}

impl<T: Scalar> Plasticity<T> {
    /// A run at its start, the substrate at rest.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        network: &Arc<Network>,
        parameters: Parameters<T>,
        optimiser: Optimiser<T>,
    ) -> Self {
        let device = Device::fabricate(network, &protocol.imperfections);
        Self {
            effective: device.effective(protocol.form, &parameters, 0),
            synapses: LocalLockIn::new(network, &protocol),
            state: vec![T::zero(); StateShape::new(network, 1, 2).len()],
            delayed: Vec::new(),
            device,
            network: Arc::clone(network),
            protocol,
            parameters,
            optimiser,
            tick: 0,
            epoch: 0,
            rhs_evaluations: 0,
            noise: NoiseMemory::default(),
            signal: None,
        }
    }

    /// The same with a signal that is added to the inputs of every sample, on the clock of the run.
    #[must_use]
    pub fn with_signal(mut self, signal: Signal<T>) -> Self {
        self.signal = Some(signal);
        self
    }

    /// The inputs at the start of the last step.
    #[must_use]
    pub fn inputs(&self) -> &[T] {
        &self.synapses.inputs
    }

    /// The network that learns.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Shows every sample once, in an order drawn from the seed. `witness` sees, after each step, the number of samples
    /// shown before, the run, and the rates at the start of the step, laid out as the state.
    ///
    /// # Errors
    /// [`Error::Diverged`], which names epoch and sample.
    pub fn epoch(&mut self, train: &Dataset, mut witness: impl FnMut(usize, &Self, &[T])) -> Result<()> {
        let order = batches(train.samples(), 1, self.protocol.seed, self.epoch);
        let mut carried = self.carried()?;
        let steps = order.len() as u64 * self.protocol.presentation * self.protocol.epochs;
        self.program();
        for (shown, place) in order.iter().enumerate() {
            let sample = self.sample(&train.select_augmented(place, self.protocol.seed, self.epoch));
            self.synapses.inputs.clone_from(&sample.inputs);
            carried = self.show(&sample, carried);
            for _ in 0..self.protocol.presentation {
                carried = self.step(&sample, carried, steps).map_err(|e| self.locate(e, shown))?;
                witness(shown, self, &carried.start.rates);
            }
        }
        self.delayed.clear();
        carried.bound.keep_delayed(&mut self.delayed);
        self.noise.keep(WHOLE, carried.bound.release_noise());
        self.signal = carried.bound.release_signal();
        self.epoch += 1;
        Ok(())
    }

    /// Shows a sample instead of another.
    fn show(&self, sample: &Samples<T>, carried: Carried<T>) -> Carried<T> {
        let Carried { mut bound, mut trajectory, start } = carried;
        bound.show(sample);
        let mut field = Dynamics::on(&self.effective, bound);
        field.reprogrammed(&sample.inputs);
        trajectory.bind(&field);
        Carried { bound: field.release(), trajectory, start }
    }

    /// One step of neurons, low passes and weights.
    fn step(&mut self, sample: &Samples<T>, carried: Carried<T>, steps: u64) -> Result<Carried<T>> {
        let carried = self.advance(sample, carried, None)?;
        let rate = self.protocol.schedule.factor(self.optimiser.updates, steps, self.protocol.epochs);
        let change = self.optimiser.change(&self.parameters, self.synapses.coefficient(), rate);
        self.parameters.add_scaled(T::one(), change);
        self.program();
        Ok(carried)
    }

    /// One step of the neurons, seen by the synapses or by another observer.
    fn advance(
        &mut self,
        sample: &Samples<T>,
        carried: Carried<T>,
        other: Option<&mut LocalLockIn<T>>,
    ) -> Result<Carried<T>> {
        let Carried { bound, mut trajectory, mut start } = carried;
        let mut field = Dynamics::on(&self.effective, bound);
        field.reprogrammed(&sample.inputs);
        let circuits = other.unwrap_or(&mut self.synapses);
        if let Some(shifts) = field.signal_at(Time::at(self.tick)) {
            circuits.inputs.clear();
            circuits.inputs.extend(sample.inputs.iter().zip(shifts).map(|(x, shift)| *x + *shift));
        }
        start.rates.clear();
        // A converter rounds what it shows to the synapses, not the neurons.
        if trajectory.converter.is_some() {
            field.observe(&self.state);
            start.rates.extend_from_slice(field.rates());
        }
        let evaluations = field.evaluations();
        std::mem::swap(&mut trajectory.state, &mut self.state);
        trajectory.tick = self.tick;
        let mut listening = Listening { circuits, effective: &self.effective };
        let outcome = trajectory.run(&mut field, 1, &mut [&mut listening, &mut start]);
        std::mem::swap(&mut trajectory.state, &mut self.state);
        self.tick = trajectory.tick;
        self.rhs_evaluations += field.evaluations() - evaluations;
        outcome.map(|()| Carried { bound: field.release(), trajectory, start })
    }

    /// A field and its integrator at the start of an epoch. Every epoch draws its own noise, so that a resumed run goes on alike;
    /// processes with a memory go on.
    fn carried(&mut self) -> Result<Carried<T>> {
        let Protocol { imperfections, seed, integrator, step, amplitude, period, .. } = &self.protocol;
        let (blank, epoch) = (self.blank(), self.epoch);
        let mut field = Dynamics::new(&self.effective, &blank, 2);
        let waveform = Waveform::Circular { ticks: *period };
        field.teach(Teaching { waveform, amplitude: *amplitude, onset: 0 });
        let (leak, shape) = (field.leak(), field.shape().clone());
        let instant = imperfections.instant().unwrap_or_default();
        let key = NoiseKey::new(*seed, Purpose::StateNoise, epoch);
        let integrator = match instant.state {
            Some(noise) => noise.integrator(key, 0, (*integrator, *step), leak, &shape)?,
            None => integrator.build(*step, leak, shape.len()),
        };
        let held = Disturbances::new(&instant, *seed, epoch, &shape, self.network.inputs, 0);
        field.hold_noise(self.noise.clone().resumed(WHOLE, held), &blank.inputs)?;
        if let Some(signal) = self.signal.take() {
            field.vary_inputs(signal);
        }
        let mut whole = [&self.state[..], &self.delayed].concat();
        field.delay(*step, &mut whole);
        let mut trajectory = Trajectory::new(&mut field, integrator, *step, vec![T::zero(); shape.len()]);
        let outputs = self.network.output.size();
        let converter = |readout| Converter::new(&readout, instant.device_seed, &shape, outputs);
        trajectory.converter = instant.readout.and_then(converter);
        Ok(Carried { bound: field.release(), trajectory, start: RatesAtStart { rates: Vec::new() } })
    }

    /// A sample of zeros.
    fn blank(&self) -> Samples<T> {
        let (inputs, outputs) = (self.network.inputs, self.network.output.size());
        Samples { inputs: vec![T::zero(); inputs], targets: vec![T::zero(); outputs], count: 1, first: 0 }
    }

    fn sample(&self, data: &Dataset) -> Samples<T> {
        Samples::labelled(&data.inputs(), &data.labels, self.network.output.size())
    }

    fn program(&mut self) {
        self.device.program(&self.parameters, 0, &mut self.effective);
    }

    /// Mean cost and accuracy at the free equilibrium, without noise.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn score(&self, data: &Dataset, inference: &Settle) -> Result<Score> {
        free_score(&self.effective, data, inference, None)
    }

    /// The product that drives the weights, averaged over the first `count` samples of a set shown in a row while the weights
    /// stand still, beside the adjoint gradient of the samples without a signal; another sample is shown before them. The run itself is
    /// not disturbed.
    ///
    /// # Errors
    /// [`Error::Diverged`].
    pub fn agreement(&self, data: &Dataset, count: usize) -> Result<Option<(Comparison, Diagnostics)>> {
        let count = count.min(data.samples());
        if count == 0 {
            return Ok(None);
        }
        let mut still = Self {
            protocol: self.protocol.clone(),
            network: Arc::clone(&self.network),
            parameters: self.parameters.clone(),
            optimiser: self.optimiser.clone(),
            synapses: self.synapses.clone(),
            state: self.state.clone(),
            delayed: self.delayed.clone(),
            tick: self.tick,
            epoch: self.epoch,
            rhs_evaluations: 0,
            noise: self.noise.clone(),
            signal: self.signal.clone(),
            device: self.device.clone(),
            effective: self.effective.clone(),
        };
        let mut carried = still.carried()?;
        let ticks = count as u64 * self.protocol.presentation;
        let mut average = LocalLockIn::averaging(&self.network, &self.protocol, ticks);
        for place in 0..count as u32 {
            let sample = self.sample(&data.select(&[place]));
            average.inputs.clone_from(&sample.inputs);
            carried = still.show(&sample, carried);
            for _ in 0..self.protocol.presentation {
                carried = still.advance(&sample, carried, Some(&mut average))?;
            }
        }
        let all = self.sample(&data.select(&(0..count as u32).collect::<Vec<_>>()));
        let setting = Setting::quiet(&self.effective);
        let truth = estimate_batch(&Adjoint::default(), &setting, &all, &mut Vec::new())?;
        Ok(Some((compare(average.coefficient(), &truth.gradient), truth.diagnostics)))
    }

    fn locate(&self, error: Error, shown: usize) -> Error {
        error.during(&format!("in epoch {}, sample {}", self.epoch + 1, shown + 1))
    }
}

impl<T: Scalar> Learner for Plasticity<T> {
    fn epochs(&self) -> u64 {
        self.epoch
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let arrays = &mut snapshot.arrays;
        self.parameters.insert_into(arrays, "parameter/");
        for (index, stage) in self.synapses.stages.iter().enumerate() {
            stage.insert_into(arrays, &format!("stage/{index}/"));
        }
        arrays.insert_reals("state", &[self.state.len()], &self.state);
        if !self.delayed.is_empty() {
            arrays.insert_reals("delayed", &[self.delayed.len()], &self.delayed);
        }
        self.noise.save(0, arrays);
        self.signal.iter().for_each(|signal| signal.save(arrays));
        snapshot.count("epoch", self.epoch);
        snapshot.count("tick", self.tick);
        snapshot.count("updates", self.optimiser.updates);
        snapshot.count("rhs_evaluations", self.rhs_evaluations);
        snapshot
    }

    fn restore(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let arrays = &mut snapshot.arrays;
        let shapes = self.parameters.shapes().clone();
        self.parameters = Parameters::read(&shapes, arrays, "parameter/")?;
        for (index, stage) in self.synapses.stages.iter_mut().enumerate() {
            *stage = Parameters::read(&shapes, arrays, &format!("stage/{index}/"))?;
        }
        self.state = arrays.reals("state", &[self.state.len()])?;
        if let Some(length) = arrays.get("delayed").map(|array| array.shape.iter().product()) {
            self.delayed = arrays.reals("delayed", &[length])?;
        }
        if let Some(instant) = self.protocol.imperfections.instant() {
            let noise = NoiseMemory::load(0, &instant, &self.network, arrays)?;
            self.noise = noise.unwrap_or_default();
        }
        if let Some(signal) = &mut self.signal {
            signal.load(arrays)?;
        }
        arrays.refuse_unused()?;
        self.epoch = snapshot.counter("epoch")?;
        self.tick = snapshot.counter("tick")?;
        self.optimiser.updates = snapshot.counter("updates")?;
        self.rhs_evaluations = snapshot.counter("rhs_evaluations")?;
        self.program();
        Ok(())
    }
}
