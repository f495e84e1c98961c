//! What binds a network to samples: drives, targets, teaching, noise, and the buffers of its field.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::Leak;
use crate::simulation::signal::Signal;
use crate::simulation::teaching::Teaching;
use crate::substrate::neurons::delay::Line;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::samples::Samples;

/// What a field holds beside the substrate: samples, teaching, noise and buffers. It outlives the field ([`super::field::Dynamics::release`]), to go on
/// ([`super::field::Dynamics::on`]) when the parameters have changed.
pub struct Bound<T: Scalar> {
    pub(super) form: Form,
    pub(super) shape: StateShape,
    pub(super) leak: Leak<T>,
    /// W_in x + b on the real rail, zero on the imaginary rail: computed once per batch.
    pub(super) drive: Vec<T>,
    pub(super) targets: Vec<T>,
    /// Place of each sample in its batch.
    pub(super) places: Vec<usize>,
    pub(super) teaching: Teaching,
    pub(super) teaching_is_on: bool,
    /// A frozen β of each sample, real rail before imaginary rail; empty where all samples are taught alike.
    pub(super) own_betas: Vec<T>,
    pub(super) noise: Disturbances<T>,
    /// Where the coupling is corrected for its asymmetry.
    pub(super) correction: Option<Correction<T>>,
    /// The drive with the noise of the present step, where the inputs are noisy.
    pub(super) noisy_drive: Vec<T>,
    /// Where the inputs change in time.
    pub(super) moving: Option<Moving<T>>,
    pub(super) rates: Vec<T>,
    /// Pre-activations, in the rate form only.
    pub(super) potentials: Vec<T>,
    pub(super) output_error: Vec<T>,
    pub(super) error_is_current: bool,
    pub(super) nudge: Vec<T>,
    /// What arrives over connections with a delay, where it is not what is sent at the same moment.
    pub(super) line: Option<Line<T>>,
    /// The currents of one layer whose neurons have equations.
    pub(super) currents: Vec<T>,
    pub(super) evaluations: u64,
    pub(super) products: u64,
    /// A number of what is bound now: drive, targets and correction.
    pub(super) version: u64,
}

/// A number that no other has.
pub(super) fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// What corrects a coupling F for its asymmetry: (Kᵀ − K)(a − a*), with K its derivative at the free rates a*.
pub(super) struct Correction<T> {
    /// (K − Kᵀ) a*, laid out as the state.
    pub(super) current: Vec<T>,
    /// a*, a real state.
    pub(super) free: Vec<T>,
    /// −a of the state under evaluation, unless F is linear: then F + Kᵀ − K is Kᵀ.
    pub(super) negated: Vec<T>,
}

impl<T: Scalar> Correction<T> {
    pub(super) fn select(&self, shape: &StateShape, which: &[usize]) -> Self {
        let current = shape.select(which, &self.current);
        let negated = if self.negated.is_empty() { Vec::new() } else { current.clone() };
        Self { current, free: shape.with_rails(1).select(which, &self.free), negated }
    }
}

/// Inputs that change in time.
pub(super) struct Moving<T: Scalar> {
    pub(super) signal: Signal<T>,
    /// What the signal adds to the inputs, [inputs × samples].
    pub(super) shift: Vec<T>,
    /// The drive with it and with noise, if `fresh`.
    pub(super) drive: Vec<T>,
    pub(super) fresh: bool,
}

impl<T: Scalar> Moving<T> {
    pub(super) fn new(signal: Signal<T>, inputs: usize, shape: &StateShape) -> Self {
        let (shift, drive) = (vec![T::zero(); inputs * shape.batch], vec![T::zero(); shape.len()]);
        Self { signal, shift, drive, fresh: false }
    }
}

impl<T: Scalar> Bound<T> {
    /// Samples with drives, targets and places, without teaching and noise.
    pub(super) fn new(
        effective: &Effective<T>,
        shape: StateShape,
        (drive, targets, places): (Vec<T>, Vec<T>, Vec<usize>),
    ) -> Self {
        let (network, form) = (effective.network(), effective.form());
        let outputs = network.output.size() * shape.columns();
        let output_layer = shape.layer(network.output.layer()).len();
        let with_equations = network.layers.iter().enumerate().filter(|(_, layer)| layer.equations.is_some());
        let equations = with_equations.map(|(index, _)| shape.layer(index).len()).max().unwrap_or(0);
        Self {
            leak: leak(effective, &shape),
            drive,
            targets,
            places,
            teaching: Teaching::none(),
            teaching_is_on: false,
            own_betas: Vec::new(),
            noise: Disturbances::none(),
            correction: None,
            noisy_drive: Vec::new(),
            moving: None,
            line: None,
            rates: vec![T::zero(); shape.len()],
            potentials: vec![T::zero(); if form == Form::Rate { shape.len() } else { 0 }],
            output_error: vec![T::zero(); outputs],
            error_is_current: false,
            nudge: vec![T::zero(); output_layer],
            currents: vec![T::zero(); equations],
            evaluations: 0,
            products: 0,
            version: fresh(),
            form,
            shape,
        }
    }

    /// Shows samples instead of as many others; [`super::field::Dynamics::reprogrammed`] has to follow.
    pub fn show(&mut self, samples: &Samples<T>) {
        self.version = fresh();
        self.targets.clone_from(&samples.targets);
        self.places.clear();
        self.places.extend((samples.first..).take(samples.count));
        self.listen_to_inputs(&samples.inputs);
    }

    /// Tells noise of synapses what the inputs are.
    pub(super) fn listen_to_inputs(&mut self, inputs: &[T]) {
        let largest = (0..self.shape.layers()).map(|layer| self.shape.size(layer)).max().unwrap_or(0);
        self.noise.synapse.iter_mut().for_each(|synapse| synapse.bind(inputs, largest));
    }

    /// Takes the noise out, to go on in another phase, or beside other weights or samples.
    pub fn release_noise(&mut self) -> Disturbances<T> {
        std::mem::replace(&mut self.noise, Disturbances::none())
    }

    /// Takes the signal out, to go on in another field of the same run.
    pub fn release_signal(&mut self) -> Option<Signal<T>> {
        self.moving.take().map(|moving| moving.signal)
    }

    /// Leaves what is on its way over connections with a delay behind a state.
    pub fn keep_delayed(&self, state: &mut Vec<T>) {
        self.line.iter().for_each(|line| line.append_to(state));
    }

    /// Marks the drive as that of other noise, samples or parameters than at present.
    pub(super) fn refresh_drive(&mut self) {
        self.moving.iter_mut().for_each(|moving| moving.fresh = false);
        self.version = fresh();
    }
}

/// W_in x + b on the real rail.
pub(super) fn drive<T: Scalar>(effective: &Effective<T>, shape: &StateShape, inputs: &[T]) -> Vec<T> {
    let mut drive = vec![T::zero(); shape.len()];
    fill_drive(effective, shape, inputs, &mut drive);
    drive
}

/// The same in place; the imaginary rail is zero already.
pub(super) fn fill_drive<T: Scalar>(
    effective: &Effective<T>,
    shape: &StateShape,
    inputs: &[T],
    drive: &mut [T],
) {
    for layer in 0..shape.layers() {
        for column in drive[shape.real(layer)].chunks_exact_mut(shape.size(layer)) {
            column.copy_from_slice(effective.bias(layer));
        }
    }
    for (edge, synapses) in effective.from_input() {
        synapses.drive(inputs, &mut drive[shape.real(edge.to)]);
    }
}

fn leak<T: Scalar>(effective: &Effective<T>, shape: &StateShape) -> Leak<T> {
    let taus = || (0..shape.layers()).map(|layer| effective.tau(layer));
    let first = effective.tau(0)[0];
    if taus().flatten().all(|tau| *tau == first) {
        return Leak::Uniform(T::of(1.0 / first));
    }
    let inverse = |taus: &[f64]| taus.iter().map(|tau| T::of(1.0 / tau)).collect::<Vec<_>>();
    Leak::PerElement(taus().flat_map(|taus| inverse(taus).repeat(shape.columns())).collect())
}
