//! Anderson acceleration of relaxation: states and differences on the device, each sample's small least-squares problem with the caller.

use wgpu::Buffer;

use crate::device::{Call, Grid};
use crate::engine::{Engine, Load};
use crate::error::Result;
use crate::kernels::{self, BEAT};
use crate::workspace::{Task, Workspace};

/// What is known of an iterate of all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Iterate<'a> {
    /// Its number, from 0 on.
    pub iteration: usize,
    /// Largest |G − s| of each sample.
    pub residuals: &'a [f32],
    /// Where the last difference is remembered; none at the first.
    pub slot: Option<usize>,
    /// ⟨Δf_i, Δf_slot⟩ of each sample, for every i that is remembered.
    pub products: &'a [Vec<f64>],
    /// ⟨Δf_i, f⟩ of each sample.
    pub overlaps: &'a [Vec<f64>],
}

/// What becomes of one sample: none where it has arrived, or γ of x + m f − Σ γ_i (Δx_i + m Δf_i).
pub type Decision = Option<Vec<f64>>;

/// Buffers of an iteration.
pub(crate) struct Memory {
    force: Buffer,
    last_force: Buffer,
    last_state: Buffer,
    weights: Buffer,
    steps: Vec<Buffer>,
    forces: Vec<Buffer>,
    products: Vec<Buffer>,
    overlaps: Vec<Buffer>,
}

impl Engine {
    /// Iterates x ← G(x) under a frozen β from a state, with so many remembered differences, until nobody decides to go on. Returns the
    /// number of evaluations; the state is that of the last of them.
    ///
    /// # Errors
    /// What [`crate::Device::check`] finds, and [`crate::Error::Size`].
    pub fn iterate(
        &self,
        load: &Load<'_>,
        beta: Option<[f32; 2]>,
        state: &mut [f32],
        (mixing, memory): (f32, usize),
        decide: &mut dyn FnMut(&Iterate<'_>) -> Option<Vec<Decision>>,
    ) -> Result<u64> {
        let columns = load.batch * load.rails;
        let mut held = self.workspace(columns)?;
        let on = held.as_mut().expect("made above");
        let numbers = on.columns * self.plan().neurons();
        let device = self.device();
        let kept = on.memory.take().unwrap_or_else(|| Memory {
            force: device.buffer(numbers),
            last_force: device.buffer(numbers),
            last_state: device.buffer(numbers),
            weights: device.buffer(2 * on.columns),
            steps: Vec::new(),
            forces: Vec::new(),
            products: Vec::new(),
            overlaps: Vec::new(),
        });
        self.load(on, load, None);
        device.write(&on.state, state);
        let mut words = [0; BEAT];
        (words[0], words[1]) = beta.map_or((0, 0), |[re, im]| (re.to_bits(), im.to_bits()));
        device.write(&on.schedule, &words);
        device.write(&on.clock, &[0_u32]);
        let mut run = Run { engine: self, load, on, memory: kept, mixing };
        let evaluations = run.until(beta.is_some(), memory, decide);
        let Run { memory, on, .. } = run;
        on.memory = Some(memory);
        let evaluations = evaluations?;
        state.copy_from_slice(&device.read::<f32>(&[(&on.state, state.len())])?[0]);
        Ok(evaluations)
    }
}

struct Run<'a, 'l> {
    engine: &'a Engine,
    load: &'a Load<'l>,
    on: &'a mut Workspace,
    memory: Memory,
    mixing: f32,
}

impl Run<'_, '_> {
    fn until(
        &mut self,
        taught: bool,
        most: usize,
        decide: &mut dyn FnMut(&Iterate<'_>) -> Option<Vec<Decision>>,
    ) -> Result<u64> {
        let (engine, batch) = (self.engine, self.load.batch);
        let evaluation = engine.evaluation(self.on, self.load, taught, false);
        let look = engine.task(self.on, Task::Residual { rails: self.load.rails });
        for iteration in 0_usize.. {
            let slot = iteration.checked_sub(1).map(|before| before % most);
            let mut calls: Vec<Call> = evaluation.iter().flat_map(|calls| calls.iter().cloned()).collect();
            calls.extend(look.iter().cloned());
            if let Some(slot) = slot {
                self.room(slot);
                calls.extend(self.remember(slot));
            }
            self.submit(&calls);
            let remembered = self.memory.forces.len().min(iteration);
            let mut wanted = vec![(&self.on.largest, batch)];
            for (product, overlap) in self.memory.products.iter().zip(&self.memory.overlaps).take(remembered)
            {
                wanted.extend([(product, 2 * batch), (overlap, 2 * batch)]);
            }
            let read = engine.device().read::<f32>(&wanted)?;
            // Sums of two numbers each.
            let of = |first: usize, sample: usize| {
                let whole = |pair: &Vec<f32>| f64::from(pair[2 * sample]) + f64::from(pair[2 * sample + 1]);
                read[1..].iter().skip(first).step_by(2).map(whole).collect::<Vec<f64>>()
            };
            let products: Vec<Vec<f64>> = (0..batch).map(|sample| of(0, sample)).collect();
            let overlaps: Vec<Vec<f64>> = (0..batch).map(|sample| of(1, sample)).collect();
            let iterate =
                Iterate { iteration, residuals: &read[0], slot, products: &products, overlaps: &overlaps };
            let Some(decisions) = decide(&iterate) else { return Ok(iteration as u64 + 1) };
            self.advance(&decisions, remembered);
        }
        unreachable!("the loop has no end of its own")
    }

    /// What the last iteration has changed, and its products with all that is remembered.
    fn remember(&self, slot: usize) -> Vec<Call> {
        let (plan, memory) = (self.engine.plan(), &self.memory);
        let source = kernels::change(plan, self.mixing);
        let (step, df) = (&memory.steps[slot], &memory.forces[slot]);
        let buffers = [&self.on.goal, &self.on.state, &memory.last_force, &memory.last_state, step, df];
        let mut calls = vec![
            self.call(source, &buffers, Grid::PerColumn(plan.neurons())),
            self.call(
                kernels::force(plan),
                &[&self.on.goal, &self.on.state, &memory.force],
                Grid::PerColumn(plan.neurons()),
            ),
        ];
        for (other, (product, overlap)) in
            memory.forces.iter().zip(memory.products.iter().zip(&memory.overlaps))
        {
            let source = || kernels::overlap(plan, self.load.rails);
            calls.push(self.call(source(), &[other, df, product], Grid::Samples));
            calls.push(self.call(source(), &[other, &memory.force, overlap], Grid::Samples));
        }
        calls
    }

    /// x + m f − Σ γ (Δx + m Δf) of those that go on.
    fn advance(&mut self, decisions: &[Decision], remembered: usize) {
        let (plan, memory) = (self.engine.plan(), &self.memory);
        let (rails, neurons) = (self.load.rails, plan.neurons());
        let device = self.engine.device();
        let going: Vec<f32> =
            decisions.iter().flat_map(|d| [if d.is_some() { self.mixing } else { 0.0 }, 0.0]).collect();
        device.write(&memory.weights, &going);
        let buffers =
            [&self.on.goal, &memory.weights, &memory.last_force, &memory.last_state, &self.on.state];
        self.submit(&[self.call(kernels::mix(plan, rails), &buffers, Grid::PerSample(neurons))]);
        for place in 0..remembered {
            let of = |decision: &Decision| {
                let weight = decision.as_ref().and_then(|weights| weights.get(place)).copied();
                [weight.unwrap_or(0.0) as f32, 0.0]
            };
            let weights: Vec<f32> = decisions.iter().flat_map(of).collect();
            device.write(&memory.weights, &weights);
            let buffers = [&memory.weights, &memory.steps[place], &self.on.state];
            self.submit(&[self.call(kernels::subtract(plan, rails), &buffers, Grid::PerSample(neurons))]);
        }
    }

    fn room(&mut self, slot: usize) {
        let device = self.engine.device();
        let numbers = self.on.columns * self.engine.plan().neurons();
        while self.memory.forces.len() <= slot {
            self.memory.steps.push(device.buffer(numbers));
            self.memory.forces.push(device.buffer(numbers));
            self.memory.products.push(device.buffer(2 * self.on.columns));
            self.memory.overlaps.push(device.buffer(2 * self.on.columns));
        }
    }

    fn call(&self, source: String, buffers: &[&Buffer], grid: Grid) -> Call {
        self.on.call(self.engine.device(), source, buffers, grid)
    }

    fn submit(&self, calls: &[Call]) {
        let batch = self.load.batch;
        self.engine.device().submit((batch, batch * self.load.rails), calls.iter());
    }
}
