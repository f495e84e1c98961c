//! A network on a device: its field, its time loop with accumulators, and the products of its derivative.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::{Call, Device};
use crate::error::Result;
use crate::kernels::{self, BEAT, Method, NoisyRails, TAME};
use crate::plan::Plan;
use crate::workspace::{Derivative, Programmed, TICKS, Task, Workspace, largest};

/// A network that is programmed on a device. States are laid out as [`Plan`] says.
pub struct Engine {
    device: Arc<Device>,
    plan: Plan,
    programmed: Programmed,
    workspace: Mutex<Option<Workspace>>,
}

/// Samples that are simulated together, and what acts on them all the time.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// A number of its own, of this drive, these targets and this correction, not 0: what has been loaded is not loaded again.
    pub id: u64,
    /// Number of samples.
    pub batch: usize,
    /// 1 for a real state, 2 for a complex one.
    pub rails: usize,
    /// What each neuron receives from outside, laid out as the state.
    pub drive: &'a [f32],
    /// [outputs × samples].
    pub targets: &'a [f32],
    /// β of each sample beside the common one: real parts, then imaginary parts; or none.
    pub betas: &'a [f32],
    /// Where the transposed coupling takes the place of the coupling, which is linear: what is added to the drive.
    pub correction: Option<&'a [f32]>,
}

/// White noise that is added after each step.
#[derive(Debug, Clone, Copy)]
pub struct Kicks<'a> {
    /// Key of its random numbers.
    pub key: [u32; 2],
    /// Place of the first sample in its batch.
    pub first: u32,
    /// Which rails carry it.
    pub rails: NoisyRails,
    /// Its standard deviation, for each neuron.
    pub size: &'a [f32],
}

/// A stretch of the time loop.
pub struct Course<'a> {
    /// Tick at which it begins.
    pub begin: u64,
    /// Steps, at most.
    pub ticks: u64,
    /// How a step is made.
    pub method: Method,
    /// Its factor, for each neuron.
    pub factor: &'a [f32],
    /// White noise.
    pub kicks: Option<Kicks<'a>>,
    /// β at a tick; none where nothing is ever taught, and samples have no β of their own.
    pub beta: Option<&'a dyn Fn(u64) -> [f32; 2]>,
    /// Number of accumulators.
    pub accumulators: usize,
    /// Fills in the weight, a complex number, with which each accumulator takes in a tick, before its step; whether any does.
    pub weights: &'a dyn Fn(u64, &mut [[f32; 2]]) -> bool,
    /// After how many steps each |G − s| is looked at, and at which it is small enough in every sample.
    pub until: Option<(u64, f32)>,
    /// Whether somebody wants an end: asked every few steps.
    pub stopped: &'a dyn Fn() -> bool,
}

/// What has become of a stretch.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Where the state is.
    pub state: Vec<f32>,
    /// Steps that were made.
    pub ticks: u64,
    /// Largest |G − s| of each sample at the end, where it was asked for.
    pub residuals: Vec<f32>,
    /// Rates and output error of each accumulator: a complex state, and [outputs × 2·samples].
    pub sums: Vec<(Vec<f32>, Vec<f32>)>,
    /// The place in the state and the tick of a rate that was seen beyond a pole.
    pub wild: Option<(usize, u64)>,
    /// Evaluations of the field.
    pub evaluations: u64,
}

/// A moment of a schedule.
#[derive(Clone, Copy)]
struct Beat {
    words: [u32; BEAT],
    observed: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("device", &self.device)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes room for the weights of a network.
    ///
    /// # Errors
    /// [`crate::Error::Size`], and what [`Device::check`] finds.
    pub fn new(device: Arc<Device>, plan: Plan) -> Result<Self> {
        let own = |(index, edge): (usize, &crate::plan::Edge)| {
            (edge.weights == index).then_some(edge.interaction.weights())
        };
        let sizes: Vec<Option<usize>> = plan.edges.iter().enumerate().map(own).collect();
        sizes.iter().flatten().try_for_each(|size| device.admit("weights", *size))?;
        let output = plan.layers[plan.output_layer()].size;
        let classes = match plan.output {
            crate::plan::Output::Readout { classes, .. } => Some(classes),
            crate::plan::Output::SquaredError { .. } => None,
        };
        let programmed = Programmed {
            weights: sizes.into_iter().map(|size| size.map(|size| device.buffer(size))).collect(),
            readout: classes.map(|classes| (device.buffer(classes * output), device.buffer(classes))),
            gain: device.buffer(output),
        };
        device.write(&programmed.gain, &vec![1.0_f32; output]);
        device.check()?;
        Ok(Self { device, plan, programmed, workspace: Mutex::default() })
    }

    /// The network.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// How many columns fit into the buffers of the device, which may be none.
    #[must_use]
    pub fn most_columns(&self) -> usize {
        // An accumulator has both rails whatever the state.
        let numbers = largest(&self.plan, 1).max(2 * self.plan.neurons()).max(1);
        usize::try_from(self.device.description().largest / 4).unwrap_or(usize::MAX) / numbers
    }

    /// Drive and coupling at real rates, laid out as a real state.
    ///
    /// # Errors
    /// What [`Device::check`] finds, and [`crate::Error::Size`].
    pub fn potentials(&self, batch: usize, drive: &[f32], rates: &[f32]) -> Result<Vec<f32>> {
        let mut held = self.workspace(batch)?;
        let on = held.as_mut().expect("made above");
        on.loaded[0] = 0;
        let samples = batch as u32;
        self.device.write(&on.dims, &[samples, samples, 0, 0, 0, 0, 0, 0]);
        self.device.write(&on.drive, drive);
        self.device.write(&on.v, rates);
        let calls = self.task(on, Task::Potentials);
        self.device.submit((batch, batch), calls.iter());
        Ok(self.device.read(&[(&on.goal, rates.len())])?.swap_remove(0))
    }

    /// Writes the weights of an edge that does not use another's.
    pub fn set_weights(&self, edge: usize, weights: &[f32]) {
        if let Some(buffer) = &self.programmed.weights[edge] {
            self.device.write(buffer, weights);
        }
    }

    /// Writes R, [classes × neurons] column-major, and r.
    pub fn set_readout(&self, weights: &[f32], bias: &[f32]) {
        if let Some((matrix, vector)) = &self.programmed.readout {
            self.device.write(matrix, weights);
            self.device.write(vector, bias);
        }
    }

    /// Writes the gain with which each output neuron receives the teaching current.
    pub fn set_gain(&self, gain: &[f32]) {
        self.device.write(&self.programmed.gain, gain);
    }

    pub(crate) fn workspace(&self, columns: usize) -> Result<MutexGuard<'_, Option<Workspace>>> {
        let mut held = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|workspace| workspace.columns < columns) {
            // The old one goes first.
            *held = None;
            *held = Some(Workspace::new(&self.device, &self.plan, columns)?);
            self.device.check()?;
        }
        Ok(held)
    }

    pub(crate) fn task(&self, on: &mut Workspace, task: Task) -> Arc<[Call]> {
        on.task((&self.device, &self.plan, &self.programmed), task)
    }

    pub(crate) fn load(&self, on: &mut Workspace, load: &Load<'_>, kicks: Option<&Kicks<'_>>) {
        let (batch, columns) = (load.batch as u32, (load.batch * load.rails) as u32);
        let (first, key) = kicks.map_or((0, [0; 2]), |kicks| (kicks.first, kicks.key));
        self.device.write(&on.dims, &[batch, columns, first, key[0], key[1], 0, 0, 0]);
        self.device.write(&on.real_dims, &[batch, batch, first, key[0], key[1], 0, 0, 0]);
        if load.betas.is_empty() {
            self.device.write(&on.own_beta, &vec![0.0_f32; 2 * load.batch]);
        } else {
            self.device.write(&on.own_beta, load.betas);
        }
        if on.loaded[0] == load.id {
            return;
        }
        on.loaded[0] = load.id;
        self.device.write(&on.drive, load.drive);
        self.device.write(&on.targets, load.targets);
        if let Some(correction) = load.correction {
            self.device.write(&on.correction, correction);
        }
    }

    /// The calls of one evaluation of the field: what has to be known of the output error is known then, if it is taught or asked for.
    pub(crate) fn evaluation(
        &self,
        on: &mut Workspace,
        load: &Load<'_>,
        taught: bool,
        error: bool,
    ) -> Vec<Arc<[Call]>> {
        let rails = load.rails;
        let mut calls = vec![self.task(on, Task::Couple { rails, corrected: load.correction.is_some() })];
        if taught || error {
            calls.push(self.task(on, Task::Error { rails }));
        }
        if taught {
            calls.push(self.task(on, Task::Teach { rails }));
        }
        if self.plan.rates {
            calls.push(self.task(on, Task::Finish { rails }));
        }
        calls
    }

    /// G(s) under a frozen β, laid out as the state.
    ///
    /// # Errors
    /// What [`Device::check`] finds, and [`crate::Error::Size`].
    pub fn target(&self, load: &Load<'_>, beta: Option<[f32; 2]>, state: &[f32]) -> Result<Vec<f32>> {
        let mut held = self.workspace(load.batch * load.rails)?;
        let on = held.as_mut().expect("made above");
        self.load(on, load, None);
        self.device.write(&on.state, state);
        let mut words = [0; BEAT];
        (words[0], words[1]) = beta.map_or((0, 0), |[re, im]| (re.to_bits(), im.to_bits()));
        self.device.write(&on.schedule, &words);
        self.device.write(&on.clock, &[0_u32]);
        let calls = self.evaluation(on, load, beta.is_some(), false);
        self.device
            .submit((load.batch, load.batch * load.rails), calls.iter().flat_map(|calls| calls.iter()));
        let mut read = self.device.read(&[(&on.goal, state.len())])?;
        Ok(read.swap_remove(0))
    }

    /// Runs a stretch of the time loop from a state.
    ///
    /// # Errors
    /// What [`Device::check`] finds, and [`crate::Error::Size`].
    pub fn run(&self, load: &Load<'_>, state: &[f32], course: &Course<'_>) -> Result<Ran> {
        let (rails, columns) = (load.rails, load.batch * load.rails);
        let mut held = self.workspace(columns)?;
        let on = held.as_mut().expect("made above");
        on.accumulate(&self.device, &self.plan, course.accumulators);
        self.load(on, load, course.kicks.as_ref());
        self.device.write(&on.state, state);
        self.device.write(&on.factor, course.factor);
        if let Some(kicks) = &course.kicks {
            self.device.write(&on.size, kicks.size);
        }
        self.device.write(&on.seen, &[TAME, 0, 0, 0]);
        let sums = on.accumulators[..course.accumulators].iter();
        self.device.clear(sums.flat_map(|(rates, error)| [rates, error]));

        let taught = course.beta.is_some();
        let silent = self.evaluation(on, load, taught, false);
        let seen = self.evaluation(on, load, taught, true);
        let shown: Vec<Arc<[Call]>> = (0..course.accumulators)
            .map(|accumulator| Task::Record { rails, accumulator })
            .chain([Task::Watch { rails }])
            .map(|task| self.task(on, task))
            .collect();
        let mut step = vec![self.task(on, Task::Step { rails, method: course.method as u8 })];
        if let Some(kicks) = &course.kicks {
            step.push(self.task(on, Task::Kick { rails, noisy: kicks.rails as u8 }));
        }
        let count = self.task(on, Task::Count);
        step.push(Arc::clone(&count));
        let look = self.task(on, Task::Residual { rails });

        let (mut done, mut evaluations) = (0, 0);
        let mut residuals = Vec::new();
        let submit = |beats: &[Beat], steps: bool, on: &Workspace| {
            let words: Vec<u32> = beats.iter().flat_map(|beat| beat.words).collect();
            self.device.write(&on.schedule, &words);
            self.device.write(&on.clock, &[0_u32]);
            let calls = beats.iter().flat_map(|beat| {
                let (evaluated, shown) = if beat.observed { (&seen, &shown[..]) } else { (&silent, &[][..]) };
                let after = if steps { &step[..] } else { &[][..] };
                evaluated.iter().chain(shown).chain(after)
            });
            self.device.submit((load.batch, columns), calls.flat_map(|calls| calls.iter()));
        };
        loop {
            let stretch = course.until.map_or(course.ticks, |(every, _)| every).min(course.ticks - done);
            let end = done + stretch;
            while done < end && !(course.stopped)() {
                let ticks = (end - done).min(TICKS as u64);
                let beats: Vec<Beat> = (done..done + ticks).map(|tick| self.beat(course, tick)).collect();
                submit(&beats, true, on);
                evaluations += ticks;
                done += ticks;
                // No queue of hours.
                if done % (4 * TICKS as u64) == 0 {
                    self.device.read::<u32>(&[(&on.clock, 1)])?;
                }
            }
            let Some((_, enough)) = course.until else { break };
            submit(&[Beat { observed: false, ..self.beat(course, done) }], false, on);
            evaluations += 1;
            self.device.submit((load.batch, columns), look.iter());
            residuals = self.device.read(&[(&on.largest, load.batch)])?.swap_remove(0);
            let settled = residuals.iter().all(|residual| *residual <= enough);
            if settled || done >= course.ticks || (course.stopped)() {
                break;
            }
        }
        self.gather(on, load, course, (done, evaluations, residuals))
    }

    fn gather(
        &self,
        on: &Workspace,
        load: &Load<'_>,
        course: &Course<'_>,
        (ticks, evaluations, residuals): (u64, u64, Vec<f32>),
    ) -> Result<Ran> {
        let (neurons, outputs) = (self.plan.neurons(), self.plan.outputs());
        let mut wanted = vec![(&on.state, neurons * load.batch * load.rails)];
        for (rates, error) in &on.accumulators[..course.accumulators] {
            wanted.extend([(rates, 2 * neurons * load.batch), (error, 2 * outputs * load.batch)]);
        }
        let mut read = self.device.read::<f32>(&wanted)?.into_iter();
        let state = read.next().unwrap_or_default();
        let mut sums = Vec::with_capacity(course.accumulators);
        while let (Some(rates), Some(error)) = (read.next(), read.next()) {
            sums.push((rates, error));
        }
        let seen = self.device.read::<u32>(&[(&on.seen, 3)])?.swap_remove(0);
        let wild =
            (seen[0] != TAME).then(|| (seen[0] as usize, u64::from(seen[1]) | u64::from(seen[2]) << 32));
        Ok(Ran { state, ticks, residuals, sums, wild, evaluations })
    }

    /// The moment of a tick, counted from the beginning of a course.
    fn beat(&self, course: &Course<'_>, since: u64) -> Beat {
        let tick = course.begin + since;
        let mut words = [0; BEAT];
        if let Some(beta) = course.beta {
            let [re, im] = beta(tick);
            (words[0], words[1]) = (re.to_bits(), im.to_bits());
        }
        (words[2], words[3]) = (tick as u32, (tick >> 32) as u32);
        let mut weights = vec![[0.0_f32; 2]; course.accumulators];
        let observed = course.accumulators > 0 && (course.weights)(tick, &mut weights);
        for (place, weight) in words[4..].chunks_exact_mut(2).zip(&weights) {
            place.copy_from_slice(&weight.map(f32::to_bits));
        }
        Beat { words, observed }
    }

    /// A product with a derivative of the coupling at real rates, whose slopes ρ′ are given, both of a real state; `id` is a number of these
    /// rates and slopes, not 0. v has one rail or two.
    ///
    /// # Errors
    /// What [`Device::check`] finds, and [`crate::Error::Size`].
    pub fn product(
        &self,
        (id, batch): (u64, usize),
        (rates, slope): (&[f32], &[f32]),
        derivative: Derivative,
        v: &[f32],
    ) -> Result<Vec<f32>> {
        let columns = v.len() / self.plan.neurons();
        let rails = columns / batch;
        let mut held = self.workspace(columns)?;
        let on = held.as_mut().expect("made above");
        self.load_derivative(on, (id, batch), (rates, slope), columns);
        // Another evaluation may have used the place of what is unpooled.
        let at = self.task(on, Task::At);
        let product = self.task(on, Task::Product { rails, derivative });
        self.device.write(&on.v, v);
        self.device.submit((batch, batch), at.iter());
        self.device.submit((batch, columns), product.iter());
        Ok(self.device.read(&[(&on.out, v.len())])?.swap_remove(0))
    }

    /// Takes in at what is differentiated.
    pub(crate) fn load_derivative(
        &self,
        on: &mut Workspace,
        (id, batch): (u64, usize),
        (rates, slope): (&[f32], &[f32]),
        columns: usize,
    ) {
        let (samples, columns) = (batch as u32, columns as u32);
        self.device.write(&on.dims, &[samples, columns, 0, 0, 0, 0, 0, 0]);
        self.device.write(&on.real_dims, &[samples, samples, 0, 0, 0, 0, 0, 0]);
        if on.loaded[1] != id {
            on.loaded[1] = id;
            self.device.write(&on.at, rates);
            self.device.write(&on.slope, slope);
        }
    }

    /// Random words of a lane, and numbers uniform on (0, 1] made of them.
    ///
    /// # Errors
    /// What [`Device::check`] finds.
    pub fn draws(
        device: &Device,
        key: [u32; 2],
        tick: u64,
        lane: u32,
        count: usize,
    ) -> Result<(Vec<u32>, Vec<f32>)> {
        let whole = count.next_multiple_of(64);
        let (words, numbers) = (device.buffer(whole), device.buffer(whole));
        let dims = device.uniform(&[0, 0, 0, key[0], key[1], 0, 0, 0]);
        let text = kernels::draw(tick, lane);
        let call =
            device.call(text, &[&dims, &words, &numbers], crate::device::Grid::Groups(whole.div_ceil(1024)));
        device.submit((1, 1), std::iter::once(&call));
        let words = device.read(&[(&words, count)])?.swap_remove(0);
        Ok((words, device.read(&[(&numbers, count)])?.swap_remove(0)))
    }
}
