//! The buffers of a batch on a device, and the calls that work on them.

use std::collections::HashMap;
use std::sync::Arc;

use wgpu::Buffer;

use crate::anderson::Memory;
use crate::device::{Call, Device, Grid};
use crate::error::Result;
use crate::kernels::{self, ACCUMULATORS, BEAT, Method, NoisyRails, Pass};
use crate::krylov::Basis;
use crate::plan::{Edge, Interaction, Output, Plan};

/// Ticks of one submission.
pub(crate) const TICKS: usize = 64;

/// What stays on the device as long as a network does.
pub(crate) struct Programmed {
    /// Of every edge that does not use another's.
    pub weights: Vec<Option<Buffer>>,
    /// R and r.
    pub readout: Option<(Buffer, Buffer)>,
    /// With which each output neuron receives the teaching current.
    pub gain: Buffer,
}

/// A derivative of the field at real rates, D = diag ρ′ and K that of the coupling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Derivative {
    /// K D.
    Potentials,
    /// D Kᵀ: the transpose of that of potentials.
    Transposed,
    /// Kᵀ D.
    Corrected,
    /// D K.
    Rates,
}

/// What is to be done with the buffers; each is put together once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// Rates and drive plus coupling of the state, without teaching: `goal`, or `potentials` in the rate form.
    Couple { rails: usize, corrected: bool },
    /// `goal` from drive and coupling at real rates in `v`.
    Potentials,
    /// The output error at the rates.
    Error { rails: usize },
    /// The teaching current.
    Teach { rails: usize },
    /// `goal` of the potentials, in the rate form.
    Finish { rails: usize },
    /// A step from the state to the goal.
    Step { rails: usize, method: u8 },
    /// White noise.
    Kick { rails: usize, noisy: u8 },
    /// The clock.
    Count,
    /// Rates and error to an accumulator.
    Record { rails: usize, accumulator: usize },
    /// Whether rates have passed a pole.
    Watch { rails: usize },
    /// |G − s|.
    Residual { rails: usize },
    /// What poolings need of the rates at which is differentiated.
    At,
    /// A derivative's product.
    Product { rails: usize, derivative: Derivative },
}

/// Buffers for so many columns.
pub(crate) struct Workspace {
    pub columns: usize,
    pub dims: Buffer,
    /// The same with one rail.
    pub real_dims: Buffer,
    pub schedule: Buffer,
    pub clock: Buffer,
    pub state: Buffer,
    rates: Buffer,
    pub goal: Buffer,
    potentials: Buffer,
    pub drive: Buffer,
    pub correction: Buffer,
    error: Buffer,
    nudge: Buffer,
    pub targets: Buffer,
    pub own_beta: Buffer,
    pub factor: Buffer,
    pub size: Buffer,
    pub largest: Buffer,
    pub seen: Buffer,
    z: Vec<Option<Buffer>>,
    w: Buffer,
    dz: Buffer,
    pub accumulators: Vec<(Buffer, Buffer)>,
    pub slope: Buffer,
    pub at: Buffer,
    pub v: Buffer,
    s: Buffer,
    pub out: Buffer,
    zeros: Buffer,
    tasks: HashMap<Task, Arc<[Call]>>,
    /// Of what has been loaded last: samples, and the rates at which is differentiated.
    pub loaded: [u64; 2],
    /// Directions of a solution.
    pub basis: Option<Basis>,
    /// Differences of an accelerated relaxation.
    pub memory: Option<Memory>,
}

/// Numbers of the largest buffer for so many columns.
pub(crate) fn largest(plan: &Plan, columns: usize) -> usize {
    let unpooled = |edge: &Edge| edge.interaction.window().map_or(0, |_| edge.interaction.unpooled());
    plan.edges.iter().map(unpooled).fold(plan.neurons(), usize::max) * columns
}

impl Workspace {
    pub(crate) fn new(device: &Device, plan: &Plan, columns: usize) -> Result<Self> {
        let state = plan.neurons() * columns;
        device.admit("a state", largest(plan, columns))?;
        let unpooled = |edge: &Edge| edge.interaction.window().map_or(0, |_| edge.interaction.unpooled());
        let most = plan.edges.iter().map(unpooled).max().unwrap_or(0) * columns;
        let of = |numbers: usize| device.buffer(numbers);
        let z = plan.edges.iter().enumerate().map(|(index, edge)| {
            let own = edge.weights == index && edge.interaction.window().is_some();
            own.then(|| of(unpooled(edge) * columns))
        });
        let outputs = plan.outputs() * columns;
        Ok(Self {
            dims: device.uniform(&[0; 8]),
            real_dims: device.uniform(&[0; 8]),
            schedule: of(BEAT * TICKS),
            clock: of(1),
            state: of(state),
            rates: of(state),
            goal: of(state),
            potentials: of(if plan.rates { state } else { 1 }),
            drive: of(state),
            correction: of(state),
            error: of(outputs),
            nudge: of(plan.layers[plan.output_layer()].size * columns),
            targets: of(outputs),
            own_beta: of(2 * columns),
            factor: of(plan.neurons()),
            size: of(plan.neurons()),
            largest: of(columns),
            seen: of(4),
            z: z.collect(),
            w: of(most),
            dz: of(most),
            accumulators: Vec::new(),
            slope: of(state),
            at: of(state),
            v: of(state),
            s: of(state),
            out: of(state),
            zeros: of(state),
            tasks: HashMap::new(),
            loaded: [0; 2],
            basis: None,
            memory: None,
            columns,
        })
    }

    /// Makes room for accumulators of complex states.
    pub(crate) fn accumulate(&mut self, device: &Device, plan: &Plan, count: usize) {
        assert!(count <= ACCUMULATORS, "{count} accumulators");
        while self.accumulators.len() < count {
            let numbers = 2 * self.columns;
            let rates = device.buffer(plan.neurons() * numbers);
            self.accumulators.push((rates, device.buffer(plan.outputs() * numbers)));
        }
    }

    /// A kernel with the dimensions and these buffers.
    pub(crate) fn call(&self, device: &Device, source: String, buffers: &[&Buffer], grid: Grid) -> Call {
        let all: Vec<&Buffer> = std::iter::once(&self.dims).chain(buffers.iter().copied()).collect();
        device.call(source, &all, grid)
    }

    /// The calls of a task.
    pub(crate) fn task(
        &mut self,
        (device, plan, programmed): (&Device, &Plan, &Programmed),
        task: Task,
    ) -> Arc<[Call]> {
        if let Some(calls) = self.tasks.get(&task) {
            return Arc::clone(calls);
        }
        let calls: Arc<[Call]> = Composer { device, plan, programmed, on: self }.compose(task).into();
        self.tasks.insert(task, Arc::clone(&calls));
        calls
    }
}

/// Puts calls together.
struct Composer<'a> {
    device: &'a Device,
    plan: &'a Plan,
    programmed: &'a Programmed,
    on: &'a Workspace,
}

impl Composer<'_> {
    fn compose(&self, task: Task) -> Vec<Call> {
        let (plan, on) = (self.plan, self.on);
        let neurons = plan.neurons();
        let call = |source: String, buffers: &[&Buffer], grid: Grid| self.call(source, buffers, grid);
        match task {
            Task::Couple { rails, corrected } => self.coupling(rails, corrected),
            Task::Potentials => {
                let source = kernels::copy(plan);
                let mut calls = vec![call(source, &[&on.drive, &on.goal], Grid::PerColumn(neurons))];
                let mut known = vec![false; plan.edges.len()];
                for edge in &plan.edges {
                    self.send(edge, !edge.backward, 1, (&on.v, &on.goal), &mut known, &mut calls);
                }
                calls
            }
            Task::Error { rails } => self.error(rails),
            Task::Teach { rails } => self.teaching(rails),
            Task::Finish { rails } => {
                let source = kernels::activate(plan, rails);
                vec![call(source, &[&on.potentials, &on.goal], Grid::PerSample(neurons))]
            }
            Task::Step { rails, method } => {
                let method = [Method::Map, Method::Euler, Method::Exponential][usize::from(method)];
                let source = kernels::step(plan, method, rails);
                let grid = Grid::PerSample(neurons);
                if method == Method::Map {
                    vec![call(source, &[&on.goal, &on.state], grid)]
                } else {
                    vec![call(source, &[&on.goal, &on.factor, &on.state], grid)]
                }
            }
            Task::Kick { rails, noisy } => {
                let noisy =
                    [NoisyRails::Independent, NoisyRails::Equal, NoisyRails::Real][usize::from(noisy)];
                let source = kernels::kick(plan, rails, noisy);
                let buffers = [&on.schedule, &on.clock, &on.size, &on.state];
                vec![call(source, &buffers, Grid::PerColumn(kernels::kicks(plan)))]
            }
            Task::Count => vec![call(kernels::count(), &[&on.clock], Grid::Groups(1))],
            Task::Record { rails, accumulator } => {
                let (rates, error) = &on.accumulators[accumulator];
                let source = kernels::record(plan, rails, accumulator);
                let of_error = kernels::record_error(plan.outputs(), rails, accumulator);
                vec![
                    call(source, &[&on.schedule, &on.clock, self.rates(), rates], Grid::PerSample(neurons)),
                    call(
                        of_error,
                        &[&on.schedule, &on.clock, &on.error, error],
                        Grid::PerSample(plan.outputs()),
                    ),
                ]
            }
            Task::Watch { rails } => {
                let buffers = [&on.schedule, &on.clock, self.rates(), &on.seen];
                vec![call(kernels::watch(plan, rails), &buffers, Grid::PerSample(neurons))]
            }
            Task::Residual { rails } => {
                vec![call(kernels::residual(plan, rails), &[&on.goal, &on.state, &on.largest], Grid::Samples)]
            }
            Task::At => self.unpooled_at(),
            Task::Product { rails, derivative } => self.derivative(rails, derivative),
        }
    }

    fn call(&self, source: String, buffers: &[&Buffer], grid: Grid) -> Call {
        self.on.call(self.device, source, buffers, grid)
    }

    /// Where rates are: in the rate form they are the state.
    fn rates(&self) -> &Buffer {
        if self.plan.rates { &self.on.state } else { &self.on.rates }
    }

    fn weights(&self, edge: &Edge) -> &Buffer {
        self.programmed.weights[edge.weights].as_ref().expect("an edge with weights of its own")
    }

    fn z(&self, edge: &Edge) -> &Buffer {
        self.on.z[edge.weights].as_ref().expect("a pooled connection")
    }

    /// K∗a or its transpose, from a place in a buffer to one in another.
    fn product(
        &self,
        edge: &Edge,
        forward: bool,
        (source, from): (&Buffer, usize),
        (result, to): (&Buffer, usize),
        adds: bool,
    ) -> Call {
        let Interaction { input, output, .. } = edge.interaction;
        let [y, x, width] = if forward { output } else { input };
        let text = kernels::product(&edge.interaction, forward, (from, to), adds);
        self.call(text, &[source, self.weights(edge), result], Grid::Tiles(y * x, width))
    }

    /// A pass of the pooling of an edge. `complex` where z is.
    fn pool(
        &self,
        edge: &Edge,
        pass: Pass,
        (complex, single): (bool, bool),
        above: usize,
        buffers: &[&Buffer],
    ) -> Call {
        let of = &edge.interaction;
        let text = kernels::pool(of, pass, complex, single, above);
        let [height, width] = of.pooled();
        let numbers = match pass {
            Pass::Up | Pass::UpAlong => height * width * of.output[2],
            Pass::Down | Pass::DownAlong => of.unpooled(),
        };
        self.call(text, buffers, if complex { Grid::PerSample(numbers) } else { Grid::PerColumn(numbers) })
    }

    fn coupling(&self, rails: usize, corrected: bool) -> Vec<Call> {
        let (plan, on) = (self.plan, self.on);
        let neurons = plan.neurons();
        let mut calls = Vec::new();
        if !plan.rates {
            let source = kernels::activate(plan, rails);
            calls.push(self.call(source, &[&on.state, &on.rates], Grid::PerSample(neurons)));
        }
        let out = if plan.rates { &on.potentials } else { &on.goal };
        calls.push(self.call(kernels::copy(plan), &[&on.drive, out], Grid::PerColumn(neurons)));
        if corrected {
            calls.push(self.call(kernels::add(plan), &[&on.correction, out], Grid::PerColumn(neurons)));
        }
        let mut known = vec![false; plan.edges.len()];
        for edge in &plan.edges {
            // Kᵀ in the place of K: every connection the other way round.
            let forward = edge.backward == corrected;
            self.send(edge, forward, rails, (self.rates(), out), &mut known, &mut calls);
        }
        calls
    }

    /// What one direction of a connection sends: A(a), or (∂A/∂a)ᵀ v.
    fn send(
        &self,
        edge: &Edge,
        forward: bool,
        rails: usize,
        (rates, out): (&Buffer, &Buffer),
        known: &mut [bool],
        calls: &mut Vec<Call>,
    ) {
        let offsets = self.plan.offsets();
        let (below, above) = edge.ends();
        let (below, above) = (offsets[below], offsets[above]);
        let linear = edge.interaction.is_linear();
        let complex = rails == 2 && !linear;
        let pooled = edge.interaction.window().is_some();
        if pooled && (forward || !linear) && !std::mem::replace(&mut known[edge.weights], true) {
            calls.push(self.product(edge, true, (rates, below), (self.z(edge), 0), false));
        }
        match (forward, pooled) {
            (true, false) => calls.push(self.product(edge, true, (rates, below), (out, above), true)),
            (true, true) => {
                calls.push(self.pool(edge, Pass::Up, (complex, false), above, &[self.z(edge), out]));
            }
            (false, false) => calls.push(self.product(edge, false, (rates, above), (out, below), true)),
            (false, true) => {
                let w = &self.on.w;
                let buffers: &[&Buffer] = if linear { &[rates, w] } else { &[self.z(edge), rates, w] };
                calls.push(self.pool(edge, Pass::Down, (complex, false), above, buffers));
                calls.push(self.product(edge, false, (w, 0), (out, below), true));
            }
        }
    }

    fn readout(&self) -> (Interaction, &Buffer, &Buffer) {
        let size = self.plan.layers[self.plan.output_layer()].size;
        let (weights, bias) = self.programmed.readout.as_ref().expect("a read-out");
        (Interaction::dense(size, self.plan.outputs()), weights, bias)
    }

    fn error(&self, rails: usize) -> Vec<Call> {
        let (plan, on) = (self.plan, self.on);
        let (layer, outputs) = (plan.output_layer(), plan.outputs());
        let offset = plan.offsets()[layer];
        if let Output::SquaredError { .. } = plan.output {
            let source = kernels::difference(outputs, offset);
            return vec![self.call(
                source,
                &[self.rates(), &on.targets, &on.error],
                Grid::PerColumn(outputs),
            )];
        }
        let (dense, weights, bias) = self.readout();
        let product = kernels::product(&dense, true, (offset, 0), true);
        let softmax = kernels::softmax_error(outputs, rails);
        vec![
            self.call(kernels::bias(outputs), &[bias, &on.error], Grid::PerColumn(outputs)),
            self.call(product, &[self.rates(), weights, &on.error], Grid::Tiles(1, outputs)),
            self.call(softmax, &[&on.targets, &on.error], Grid::PerSample(1)),
        ]
    }

    fn teaching(&self, rails: usize) -> Vec<Call> {
        let (plan, on) = (self.plan, self.on);
        let layer = plan.output_layer();
        let (size, offset) = (plan.layers[layer].size, plan.offsets()[layer]);
        let mut calls = Vec::new();
        let slope = if let Output::Readout { .. } = plan.output {
            let (dense, weights, _) = self.readout();
            let product = kernels::product(&dense, false, (0, 0), false);
            calls.push(self.call(product, &[&on.error, weights, &on.nudge], Grid::Tiles(1, size)));
            &on.nudge
        } else {
            &on.error
        };
        let out = if plan.rates { &on.potentials } else { &on.goal };
        let buffers = [&on.schedule, &on.clock, &on.own_beta, &self.programmed.gain, slope, out];
        calls.push(self.call(kernels::teach(size, offset, rails), &buffers, Grid::PerSample(size)));
        calls
    }

    /// z at the rates at which is differentiated, real.
    fn unpooled_at(&self) -> Vec<Call> {
        let offsets = self.plan.offsets();
        let mut known = vec![false; self.plan.edges.len()];
        let mut calls = Vec::new();
        for edge in self.plan.edges.iter().filter(|edge| !edge.interaction.is_linear()) {
            if std::mem::replace(&mut known[edge.weights], true) {
                continue;
            }
            let text = kernels::product(&edge.interaction, true, (offsets[edge.ends().0], 0), false);
            let [y, x, width] = edge.interaction.output;
            let buffers = [&self.on.real_dims, &self.on.at, self.weights(edge), self.z(edge)];
            calls.push(self.device.call(text, &buffers, Grid::Tiles(y * x, width)));
        }
        calls
    }

    fn derivative(&self, rails: usize, derivative: Derivative) -> Vec<Call> {
        let (plan, on) = (self.plan, self.on);
        let neurons = plan.neurons();
        let zero = |of: &Buffer| self.call(kernels::zero(plan), &[of], Grid::PerColumn(neurons));
        let scale = |from: &Buffer, to: &Buffer| {
            self.call(kernels::scale(plan, rails), &[&on.slope, from, to], Grid::PerSample(neurons))
        };
        let transposed = matches!(derivative, Derivative::Transposed | Derivative::Corrected);
        let mut calls = Vec::new();
        if matches!(derivative, Derivative::Potentials | Derivative::Corrected) {
            calls.extend([scale(&on.v, &on.s), zero(&on.out)]);
            self.multiply(transposed, (&on.s, &on.out), &mut calls);
        } else {
            calls.push(zero(&on.s));
            self.multiply(transposed, (&on.v, &on.s), &mut calls);
            calls.push(scale(&on.s, &on.out));
        }
        calls
    }

    /// out += K v, or Kᵀ v, with K the derivative of the coupling at the real rates.
    fn multiply(&self, transposed: bool, (v, out): (&Buffer, &Buffer), calls: &mut Vec<Call>) {
        let (plan, on) = (self.plan, self.on);
        let offsets = plan.offsets();
        let transposed = transposed && !plan.symmetric;
        for edge in &plan.edges {
            let (below, above) = edge.ends();
            let (below, above) = (offsets[below], offsets[above]);
            // Whether v comes from above.
            let back = transposed != edge.backward;
            if edge.interaction.is_linear() {
                let mut unknown = vec![false; plan.edges.len()];
                self.send(edge, !back, 1, (v, out), &mut unknown, calls);
                continue;
            }
            let z = self.z(edge);
            let (w, dz) = (&on.w, &on.dz);
            if !back || edge.backward {
                calls.push(self.product(edge, true, (v, below), (dz, 0), false));
            }
            if !back {
                calls.push(self.pool(edge, Pass::UpAlong, (false, true), above, &[z, dz, out]));
            }
            if edge.backward {
                let dv = if back { v } else { &on.zeros };
                calls.push(self.pool(edge, Pass::DownAlong, (false, true), above, &[z, dz, &on.at, dv, w]));
                calls.push(self.product(edge, false, (w, 0), (out, below), true));
            } else if back {
                calls.push(self.pool(edge, Pass::Down, (false, true), above, &[z, v, w]));
                calls.push(self.product(edge, false, (w, 0), (out, below), true));
            }
        }
    }
}
