//! A network on a GPU of a program that has them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use holograd_gpu as gpu;
use num_complex::Complex;

use super::Derivative;
use crate::error::{Error, Result};
use crate::host::watcher;
use crate::imperfections::noise::Rails;
use crate::numerics::anderson::{History, MEMORY};
use crate::numerics::pooling::{Pooling, Window};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Leak, Method};
use crate::simulation::teaching::Time;
use crate::substrate::neurons::activation::{Activation, Transfer};
use crate::substrate::neurons::bound::Bound;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::interactions::{Direction, Interaction, Synapses};
use crate::substrate::neurons::network::{Edge, MOST_ON_GPU, Network, Output};
use crate::substrate::stretch::{Accelerated, Acceleration, Ended, Stretch};

/// A network with its weights on a GPU.
#[derive(Debug)]
struct Made {
    engine: gpu::Result<gpu::Engine>,
    /// Of the edges between layers, whose weights each uses.
    sharing: Vec<usize>,
    /// The first thing that has gone wrong.
    fault: Mutex<Option<gpu::Error>>,
}

/// A network on a GPU from when it is first asked for. A copy is another network, with weights of its own.
#[derive(Debug, Default)]
pub(in crate::substrate::neurons) struct Slot {
    made: OnceLock<Arc<Made>>,
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The same numbers in the one precision that there is.
fn single<T: Scalar>(values: &[T]) -> &[f32] {
    bytemuck::cast_slice(values)
}

fn from_single<T: Scalar>(values: Vec<f32>) -> Vec<T> {
    bytemuck::cast_vec(values)
}

impl Made {
    fn note(&self, error: gpu::Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The error of a run, which is noted.
    fn failed(&self, error: gpu::Error) -> Error {
        let told = Error::Gpu(error.to_string());
        self.note(error);
        told
    }

    /// What an engine makes; what it fails at is noted.
    fn ask<R>(&self, work: impl FnOnce(&gpu::Engine) -> gpu::Result<R>) -> Option<R> {
        let done = match &self.engine {
            Ok(engine) => work(engine),
            Err(error) => Err(error.clone()),
        };
        done.map_err(|error| self.note(error)).ok()
    }
}

impl Slot {
    /// The network on its GPU; none of one that is computed here.
    fn on<T: Scalar>(&self, effective: &Effective<T>) -> Option<&Made> {
        let device = effective.network().gpu.as_ref().filter(|_| T::NAME == f32::NAME)?;
        let make = || {
            let sharing = sharing(effective);
            let plan = plan(effective, &sharing);
            let engine = gpu::Engine::new(Arc::clone(device.device()), plan);
            let made = Made { engine, sharing, fault: Mutex::default() };
            made.write(effective);
            Arc::new(made)
        };
        Some(&**self.made.get_or_init(make))
    }

    /// Takes in weights that have changed.
    pub(in crate::substrate::neurons) fn program<T: Scalar>(&mut self, effective: &Effective<T>) {
        let Some(made) = self.made.get() else { return };
        if made.sharing == sharing(effective) {
            made.write(effective);
        } else {
            *self = Self::default();
        }
    }

    /// What has gone wrong.
    pub(in crate::substrate::neurons) fn fault(&self) -> Option<Error> {
        let fault = self.made.get()?.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Error::Gpu(fault.to_string()))
    }

    /// How many samples it takes together, at most.
    pub(in crate::substrate::neurons) fn samples<T: Scalar>(
        &self,
        effective: &Effective<T>,
    ) -> Option<usize> {
        let made = self.on(effective)?;
        let most = made.engine.as_ref().map_or(1, |engine| engine.most_columns() / 2);
        Some(most.clamp(1, MOST_ON_GPU))
    }

    /// Drive and coupling at real rates.
    pub(in crate::substrate::neurons) fn potentials<T: Scalar>(
        &self,
        effective: &Effective<T>,
        bound: &Bound<T>,
        rates: &[T],
    ) -> Option<Vec<T>> {
        let made = self.on(effective)?;
        let real = bound.shape.with_rails(1);
        let drive: Vec<T> = (0..real.layers())
            .flat_map(|layer| bound.drive[bound.shape.real(layer)].iter().copied())
            .collect();
        let potentials = made.ask(|engine| engine.potentials(real.batch, single(&drive), single(rates)));
        Some(potentials.map_or_else(|| vec![T::nan(); real.len()], from_single))
    }

    /// Whether the field as it is bound is computed there.
    pub(in crate::substrate::neurons) fn takes<T: Scalar>(
        &self,
        effective: &Effective<T>,
        bound: &Bound<T>,
    ) -> bool {
        let noise = &bound.noise;
        let quiet = noise.state.is_none()
            && noise.input.is_none()
            && noise.synapse.is_none()
            && noise.teaching.is_none();
        let linear = bound.correction.as_ref().is_none_or(|correction| correction.negated.is_empty());
        let plain = bound.moving.is_none() && bound.line.is_none() && bound.currents.is_empty();
        quiet && linear && plain && self.on(effective).is_some()
    }

    /// G(s); whether it is computed there.
    pub(in crate::substrate::neurons) fn target<T: Scalar>(
        &self,
        effective: &Effective<T>,
        bound: &mut Bound<T>,
        beta: Complex<f64>,
        state: &[T],
        out: &mut [T],
    ) -> bool {
        if effective.network().gpu.is_none() || !self.takes(effective, bound) {
            return false;
        }
        let Some(made) = self.on(effective) else { return false };
        let taught = beta != Complex::ZERO || !bound.own_betas.is_empty();
        let beta = taught.then_some([beta.re as f32, beta.im as f32]);
        match made.ask(|engine| engine.target(&load(bound), beta, single(state))) {
            Some(target) => out.copy_from_slice(&from_single::<T>(target)),
            None => out.fill(T::nan()),
        }
        bound.products += effective.recurrent().count() as u64;
        true
    }

    /// Runs a stretch of the time loop.
    pub(in crate::substrate::neurons) fn run<T: Scalar>(
        &self,
        effective: &Effective<T>,
        bound: &mut Bound<T>,
        stretch: &Stretch<'_, T>,
        state: &mut Vec<T>,
    ) -> Result<Ended<T>> {
        let made = self.on(effective).ok_or_else(|| Error::Internal("a network without a GPU".into()))?;
        let explicit = &stretch.explicit;
        let factor = per_neuron(&bound.shape, explicit.factor);
        let size = explicit.white.map(|white| per_neuron(&bound.shape, white.std));
        let kicks = explicit.white.zip(size.as_ref()).map(|(white, size)| gpu::Kicks {
            key: white.key.halves(),
            first: white.first as u32,
            rails: match white.rails {
                Rails::Independent => gpu::NoisyRails::Independent,
                Rails::Equal => gpu::NoisyRails::Equal,
                Rails::Real => gpu::NoisyRails::Real,
            },
            size,
        });
        let teaching = bound.teaching;
        let beta = |tick: u64| {
            let beta = teaching.beta(Time::at(tick));
            [beta.re as f32, beta.im as f32]
        };
        let taught = bound.teaching_is_on || !bound.own_betas.is_empty();
        let weights = |tick: u64, out: &mut [[f32; 2]]| {
            let mut exact = vec![Complex::ZERO; out.len()];
            let any = (stretch.weigh)(tick, &mut exact);
            out.iter_mut().zip(exact).for_each(|(out, w)| *out = [w.re as f32, w.im as f32]);
            any
        };
        let course = gpu::Course {
            begin: stretch.begin,
            ticks: stretch.ticks,
            method: match explicit.method {
                Method::Map => gpu::Method::Map,
                Method::ExponentialEuler => gpu::Method::Exponential,
                Method::Euler | Method::Heun => gpu::Method::Euler,
            },
            factor: &factor,
            kicks,
            beta: taught.then_some(&beta),
            accumulators: stretch.sums,
            weights: &weights,
            until: stretch.until.map(|(look, tolerance)| (look, tolerance as f32)),
            stopped: &watcher::is_stopped,
        };
        let ran = match &made.engine {
            Ok(engine) => engine.run(&load(bound), single(state), &course),
            Err(error) => Err(error.clone()),
        };
        let ran = ran.map_err(|error| made.failed(error))?;
        *state = from_single(ran.state);
        bound.evaluations += ran.evaluations;
        bound.products += ran.evaluations * effective.recurrent().count() as u64;
        let not_a_number = ran.residuals.iter().any(|residual| residual.is_nan());
        let largest = ran.residuals.iter().copied().fold(0.0, f32::max);
        Ok(Ended {
            ticks: ran.ticks,
            residual: if not_a_number { f64::NAN } else { f64::from(largest) },
            sums: ran.sums.into_iter().map(|(a, b)| (from_single(a), from_single(b))).collect(),
            wild: ran.wild,
        })
    }

    /// Iterates a state to rest by Anderson acceleration.
    pub(in crate::substrate::neurons) fn accelerate<T: Scalar>(
        &self,
        effective: &Effective<T>,
        bound: &mut Bound<T>,
        Acceleration { mixing, tolerance, most }: Acceleration,
        state: &mut [T],
    ) -> Result<Accelerated> {
        let made = self.on(effective).ok_or_else(|| Error::Internal("a network without a GPU".into()))?;
        let beta = bound.teaching.beta(Time::at(0));
        let taught = beta != Complex::ZERO || !bound.own_betas.is_empty();
        let beta = taught.then_some([beta.re as f32, beta.im as f32]);
        let mut histories: Vec<History> = (0..bound.shape.batch).map(|_| History::default()).collect();
        let mut residuals = vec![f64::INFINITY; bound.shape.batch];
        let mut decide = |iterate: &gpu::Iterate<'_>| {
            residuals = iterate.residuals.iter().map(|residual| f64::from(*residual)).collect();
            let late = |residual: &f64| residual.is_nan() || *residual > tolerance;
            let over = iterate.iteration as u64 + 1 >= most || watcher::is_stopped();
            if over || !residuals.iter().any(late) || residuals.iter().any(|r| !r.is_finite()) {
                return None;
            }
            let decision = |(sample, history): (usize, &mut History)| {
                // One that has arrived is frozen.
                if !late(&residuals[sample]) {
                    return None;
                }
                let Some(slot) = iterate.slot else { return Some(Vec::new()) };
                history.learn(slot, &iterate.products[sample]);
                Some(history.weights(iterate.iteration, residuals[sample], &iterate.overlaps[sample]))
            };
            Some(histories.iter_mut().enumerate().map(decision).collect())
        };
        let state = bytemuck::cast_slice_mut::<T, f32>(state);
        let evaluations = match &made.engine {
            Ok(engine) => engine.iterate(&load(bound), beta, state, (mixing as f32, MEMORY), &mut decide),
            Err(error) => Err(error.clone()),
        };
        let evaluations = evaluations.map_err(|error| made.failed(error))?;
        bound.evaluations += evaluations;
        bound.products += evaluations * effective.recurrent().count() as u64;
        Ok(Accelerated { evaluations, residuals })
    }

    /// A product with a derivative at real rates, with ρ′; whether it is computed there.
    pub(in crate::substrate::neurons) fn product<T: Scalar>(
        &self,
        effective: &Effective<T>,
        at: (u64, usize),
        (rates, slope): (&[T], &[T]),
        derivative: Derivative,
        v: &[T],
        out: &mut [T],
    ) -> bool {
        if effective.network().gpu.is_none() {
            return false;
        }
        let Some(made) = self.on(effective) else { return false };
        let product = |engine: &gpu::Engine| {
            engine.product(at, (single(rates), single(slope)), told(derivative), single(v))
        };
        match made.ask(product) {
            Some(product) => out.copy_from_slice(&from_single::<T>(product)),
            None => out.fill(T::nan()),
        }
        true
    }
}

impl Slot {
    /// Solves an equation of the derivative at a rate ωτ; None of one that is solved here.
    pub(in crate::substrate::neurons) fn solve<T: Scalar>(
        &self,
        effective: &Effective<T>,
        at: (u64, usize),
        (rates, slope): (&[T], &[T]),
        (derivative, rate): (Derivative, f64),
        (right, x): (&[T], &mut [T]),
        (tolerance, most): (f64, u64),
    ) -> Option<(u64, f64)> {
        effective.network().gpu.as_ref()?;
        let made = self.on(effective)?;
        let real = right.len() == slope.len();
        let layers = 0..effective.network().layers.len();
        let turn: Vec<f32> = layers
            .flat_map(|layer| effective.tau(layer))
            .map(|tau| if real { 0.0 } else { (rate * tau) as f32 })
            .collect();
        let equation = gpu::Equation {
            at,
            rates: (single(rates), single(slope)),
            derivative: told(derivative),
            turn: &turn,
            right: single(right),
            tolerance,
            most,
            stopped: &watcher::is_stopped,
        };
        let solved = made.ask(|engine| engine.solve(&equation, bytemuck::cast_slice_mut(x)));
        Some(solved.map_or((0, f64::NAN), |gpu::Solved { products, residual }| (products, residual)))
    }
}

fn told(derivative: Derivative) -> gpu::Derivative {
    match derivative {
        Derivative::Potentials => gpu::Derivative::Potentials,
        Derivative::Transposed => gpu::Derivative::Transposed,
        Derivative::Corrected => gpu::Derivative::Corrected,
        Derivative::Rates => gpu::Derivative::Rates,
    }
}

impl Made {
    /// Writes all weights.
    fn write<T: Scalar>(&self, effective: &Effective<T>) {
        let Ok(engine) = &self.engine else { return };
        for (place, (_, _, synapses)) in effective.recurrent().enumerate() {
            if self.sharing[place] == place {
                engine.set_weights(place, single(synapses.weights()));
            }
        }
        if let Some((synapses, bias)) = effective.readout() {
            engine.set_readout(single(synapses.weights()), single(bias));
        }
        if let Some(gain) = effective.teaching_gain() {
            engine.set_gain(single(gain));
        }
    }
}

/// Of every edge between layers, the first with the same weights and the same interaction.
fn sharing<T: Scalar>(effective: &Effective<T>) -> Vec<usize> {
    let edges: Vec<(&Edge, &Synapses<T>)> = effective.recurrent().map(|(_, edge, s)| (edge, s)).collect();
    let same = |a: usize, b: usize| {
        edges[a].0.weight == edges[b].0.weight && edges[a].1.weights() == edges[b].1.weights()
    };
    (0..edges.len()).map(|place| (0..place).find(|other| same(*other, place)).unwrap_or(place)).collect()
}

/// What is bound, as a GPU is told of it.
fn load<T: Scalar>(bound: &Bound<T>) -> gpu::Load<'_> {
    gpu::Load {
        id: bound.version,
        batch: bound.shape.batch,
        rails: bound.shape.rails,
        drive: single(&bound.drive),
        targets: single(&bound.targets),
        betas: single(&bound.own_betas),
        correction: bound.correction.as_ref().map(|correction| single(&correction.current)),
    }
}

/// A number of each element, which is that of its neuron, by neuron.
fn per_neuron<T: Scalar>(shape: &StateShape, values: &Leak<T>) -> Vec<f32> {
    let of = |x: T| x.double() as f32;
    match values {
        Leak::Uniform(value) => vec![of(*value); shape.neurons()],
        Leak::PerElement(values) => (0..shape.layers())
            .flat_map(|layer| values[shape.layer(layer)][..shape.size(layer)].iter().map(|x| of(*x)))
            .collect(),
    }
}

fn activation(transfer: &Transfer) -> gpu::Activation {
    let Transfer::Shipped(shipped) = transfer else { return gpu::Activation::Identity };
    match *shipped {
        Activation::Logistic { slope, offset } => {
            gpu::Activation::Logistic { slope: slope as f32, offset: offset as f32 }
        }
        Activation::Tanh => gpu::Activation::Tanh,
        Activation::Dsilu => gpu::Activation::Dsilu,
        Activation::Softplus => gpu::Activation::Softplus,
        Activation::Identity => gpu::Activation::Identity,
        Activation::HardTanh => gpu::Activation::HardTanh,
        Activation::HardDsilu => gpu::Activation::HardDsilu,
        Activation::Relu => gpu::Activation::Relu,
    }
}

fn interaction(of: &Interaction) -> gpu::Interaction {
    let Interaction::Conv(conv) = of else {
        return gpu::Interaction::dense(of.senders(), of.receivers());
    };
    let (geometry, pooling, _) = conv.parts();
    let shape =
        |shape: crate::numerics::convolution::geometry::Shape| [shape.height, shape.width, shape.channels];
    let window = |Window { size, stride }: Window| gpu::Window { size, stride };
    gpu::Interaction {
        input: shape(geometry.input),
        output: shape(geometry.output),
        kernel: geometry.kernel,
        stride: geometry.stride,
        before: geometry.before,
        pooling: match pooling {
            Pooling::None | Pooling::Max(_) => gpu::Pooling::None,
            Pooling::Average(of) => gpu::Pooling::Average(window(of)),
            Pooling::Softmax { window: of, temperature } => {
                gpu::Pooling::Softmax { window: window(of), temperature: temperature as f32 }
            }
        },
    }
}

/// The network as a GPU is told of it; what it does not know has been refused.
fn plan<T: Scalar>(effective: &Effective<T>, sharing: &[usize]) -> gpu::Plan {
    let network: &Network = effective.network();
    let layers = network.layers.iter().map(|layer| gpu::Layer {
        size: layer.size,
        activation: activation(&layer.activation),
        bounded: layer.is_bounded(),
    });
    let edges = effective.recurrent().zip(sharing).map(|((from, edge, _), weights)| gpu::Edge {
        from,
        to: edge.to,
        backward: edge.direction == Direction::Backward,
        weights: *weights,
        interaction: interaction(&edge.interaction),
    });
    gpu::Plan {
        layers: layers.collect(),
        edges: edges.collect(),
        output: match network.output {
            Output::Readout { layer, classes, .. } => gpu::Output::Readout { layer, classes },
            Output::SquaredError { layer, .. } => gpu::Output::SquaredError { layer },
        },
        rates: effective.form() == Form::Rate,
        symmetric: effective.is_symmetric(),
    }
}
