//! The vector field of the network, bound to a batch and its teaching signal.

use num_complex::Complex;

use crate::error::Result;
use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Leak, VectorField};
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time, Waveform};
pub use crate::substrate::neurons::bound::Bound;
use crate::substrate::neurons::bound::{Correction, Moving, drive, fill_drive, fresh};
use crate::substrate::neurons::delay::Line;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::linear::Linearised;
use crate::substrate::samples::Samples;
use crate::substrate::stretch::{Accelerated, Acceleration, Ended, Stretch};
use crate::substrate::{Field, Linear, Substrate, Sweep};

/// The neurons' dynamics: τ ds/dt = G(t, s) − s, with s the potentials or the rates.
pub struct Dynamics<'a, T: Scalar> {
    pub(super) effective: &'a Effective<T>,
    pub(super) bound: Bound<T>,
}

impl<'a, T: Scalar> Dynamics<'a, T> {
    /// Binds the network to a batch. `rails` is 1 for a real state, 2 for a complex one.
    #[must_use]
    pub fn new(effective: &'a Effective<T>, samples: &Samples<T>, rails: usize) -> Self {
        let shape = StateShape::new(effective.network(), samples.count, rails);
        let drive = drive(effective, &shape, &samples.inputs);
        Self::with_drive(effective, samples, rails, drive)
    }

    /// As [`Self::new`], with W_in x + b as another field of these samples has computed it, laid out as the state.
    ///
    /// # Panics
    /// If the drive is not laid out as the state.
    #[must_use]
    pub fn with_drive(
        effective: &'a Effective<T>,
        samples: &Samples<T>,
        rails: usize,
        drive: Vec<T>,
    ) -> Self {
        let shape = StateShape::new(effective.network(), samples.count, rails);
        assert_eq!(drive.len(), shape.len(), "drive and state have one layout");
        let places = (samples.first..).take(samples.count).collect();
        Self::on(effective, Bound::new(effective, shape, (drive, samples.targets.clone(), places)))
    }

    /// The field that has been released, of the same network, with parameters that may have changed: [`Self::reprogrammed`] has to follow
    /// if they have.
    #[must_use]
    pub fn on(effective: &'a Effective<T>, bound: Bound<T>) -> Self {
        Self { effective, bound }
    }

    /// Lets go of the substrate.
    #[must_use]
    pub fn release(self) -> Bound<T> {
        self.bound
    }

    /// Takes in parameters that have changed, with the inputs of the bound samples, [inputs × samples].
    pub fn reprogrammed(&mut self, inputs: &[T]) {
        fill_drive(self.effective, &self.bound.shape, inputs, &mut self.bound.drive);
        self.bound.refresh_drive();
    }

    /// What the signal adds to the inputs at a moment, where there is one.
    pub fn signal_at(&mut self, time: Time) -> Option<&[T]> {
        let Moving { signal, fresh, .. } = self.bound.moving.as_mut()?;
        *fresh &= !signal.advance(time);
        Some(signal.values())
    }

    /// The potentials W a + W_in x + b at rates, both real.
    pub(super) fn potentials(&self, rates: &[T]) -> Vec<T> {
        let real = self.bound.shape.with_rails(1);
        if let Some(potentials) = self.effective.accelerated().potentials(self.effective, &self.bound, rates)
        {
            return potentials;
        }
        let mut potentials = Vec::with_capacity(real.len());
        (0..real.layers())
            .for_each(|layer| potentials.extend_from_slice(&self.bound.drive[self.bound.shape.real(layer)]));
        self.effective.couple(&real, rates, &mut potentials);
        potentials
    }

    /// The free state that has these rates, both real.
    pub(super) fn state_of(&self, rates: &[T]) -> Vec<T> {
        self.rest(rates, self.potentials(rates))
    }

    /// The state from what each neuron receives: itself, or the rest of neurons with equations that has these rates. Where there is no such
    /// rest the state is not a number, as of a network that has diverged.
    fn rest(&self, rates: &[T], currents: Vec<T>) -> Vec<T> {
        let real = self.bound.shape.with_rails(1);
        let mut state = currents;
        for (index, layer) in self.effective.network().layers.iter().enumerate() {
            let Some(neuron) = &layer.equations else { continue };
            for element in 0..real.layer(index).len() {
                let others: Vec<f64> =
                    layer.companions.iter().map(|c| rates[real.layer(*c).start + element].double()).collect();
                let own = real.layer(index).start + element;
                let (current, rate) = (state[own].double(), rates[own].double());
                let found = neuron.state_of(element % layer.size, current, rate, &others);
                let found = found.unwrap_or_else(|| vec![f64::NAN; neuron.taus.len()]);
                let places = std::iter::once(own)
                    .chain(layer.companions.iter().map(|c| real.layer(*c).start + element));
                places.zip(found).for_each(|(place, value)| state[place] = T::of(value));
            }
        }
        state
    }

    /// Turns what neurons with equations receive into their G.
    fn apply_equations(&mut self, state: &[T], out: &mut [T]) {
        let (shape, currents) = (&self.bound.shape, &mut self.bound.currents);
        for (index, layer) in self.effective.network().layers.iter().enumerate() {
            let Some(neuron) = &layer.equations else { continue };
            let range = shape.layer(index);
            let current = &mut currents[..range.len()];
            current.copy_from_slice(&out[range]);
            let place = |variable| shape.layer(layer.holding(index, variable));
            let start = |variable| place(variable).start;
            neuron.targets(|variable| &state[place(variable)], current, shape.rails, (&mut *out, start));
        }
    }

    /// Moves the inputs, if they move, to a moment.
    fn move_inputs(&mut self, time: Time) {
        let Bound { moving: Some(moving), noise, noisy_drive, drive: still, shape, .. } = &mut self.bound
        else {
            return;
        };
        let Moving { signal, shift, drive, fresh } = moving;
        if !signal.advance(time) && *fresh {
            return;
        }
        *fresh = true;
        shift.chunks_exact_mut(signal.values().len()).for_each(|x| x.copy_from_slice(signal.values()));
        drive.copy_from_slice(if noise.input.is_some() { noisy_drive } else { still });
        for (edge, synapses) in self.effective.from_input() {
            synapses.drive(shift, &mut drive[shape.real(edge.to)]);
        }
        if let Some(synapse) = &mut noise.synapse {
            synapse.move_inputs(shift);
        }
    }

    /// Drive plus Σ W a, with a the given rates or else those of the state under evaluation.
    fn couple(&mut self, rates: Option<&[T]>, out: &mut [T]) {
        let rates = rates.unwrap_or(&self.bound.rates);
        let drive = match &self.bound.moving {
            Some(moving) => &moving.drive,
            None if self.bound.noise.input.is_some() => &self.bound.noisy_drive,
            None => &self.bound.drive,
        };
        out.copy_from_slice(drive);
        let (effective, shape) = (self.effective, &self.bound.shape);
        self.bound.products += if let Some(Correction { current, free, negated }) = &mut self.bound.correction
        {
            add(out, current);
            let mut products = effective.multiply(shape, Layout::Transposed, free, rates, out);
            if !negated.is_empty() {
                negated.iter_mut().zip(rates).for_each(|(n, a)| *n = -*a);
                products += effective.multiply(shape, Layout::Plain, free, negated, out);
                products += effective.couple(shape, rates, out);
            }
            products
        } else if let Some(line) = &self.bound.line {
            effective.couple_late(
                (|_| true, |edge| line.heard(edge.delay).unwrap_or(rates)),
                shape,
                rates,
                out,
            )
        } else {
            effective.couple(shape, rates, out)
        };
        if let Some(synapse) = &mut self.bound.noise.synapse {
            let (effective, shape) = (self.effective, &self.bound.shape);
            synapse.add(shape, out, |to, sample, inputs, powers| {
                effective.add_power((to, sample), (inputs, rates), shape, powers);
            });
        }
    }
}

impl<'a, T: Scalar> Field<'a, T> for Dynamics<'a, T> {
    fn linearise(&self, rates: &[T]) -> Box<dyn Linear<T> + 'a> {
        let currents = self.potentials(rates);
        let state = self.rest(rates, currents.clone());
        Box::new(Linearised::new(self.effective, &self.bound.shape.with_rails(1), &state, &currents))
    }

    fn substrate(&self) -> &'a dyn Substrate<T> {
        self.effective
    }

    fn drive(&self) -> &[T] {
        &self.bound.drive
    }

    fn products(&self) -> u64 {
        self.bound.products
    }

    fn reach(&self) -> f64 {
        let drive = self.bound.drive.iter().map(|x| x.abs().double()).fold(1.0, f64::max);
        let moved = self.bound.moving.as_ref().map_or(1.0, |moving| moving.signal.peak().max(1.0));
        drive * moved * self.effective.amplification()
    }

    fn release_noise(&mut self) -> Disturbances<T> {
        self.bound.release_noise()
    }

    fn select(&self, which: &[usize]) -> Box<dyn Field<'a, T> + 'a> {
        let shape = self.bound.shape.with_batch(which.len());
        let network = self.effective.network();
        let targets = StateShape::block(network.output.size(), self.bound.shape.batch, 1);
        let betas = StateShape::block(1, self.bound.shape.batch, self.bound.shape.rails);
        let own = if self.bound.own_betas.is_empty() {
            Vec::new()
        } else {
            betas.select(which, &self.bound.own_betas)
        };
        let drive = self.bound.shape.select(which, &self.bound.drive);
        let places = which.iter().map(|sample| self.bound.places[*sample]).collect();
        let moving = self
            .bound
            .moving
            .as_ref()
            .map(|moving| Moving::new(moving.signal.clone(), network.inputs, &shape));
        let targets = targets.select(which, &self.bound.targets);
        let bound = Bound {
            moving,
            teaching: self.bound.teaching,
            teaching_is_on: self.bound.teaching_is_on,
            own_betas: own,
            correction: self.bound.correction.as_ref().map(|c| c.select(&self.bound.shape, which)),
            ..Bound::new(self.effective, shape, (drive, targets, places))
        };
        Box::new(Self::on(self.effective, bound))
    }

    fn sweep(&self) -> Option<Sweep> {
        let Disturbances { input, synapse, state, .. } = &self.bound.noise;
        let quiet = input.is_none() && synapse.is_none() && state.is_none();
        let free = !self.bound.teaching_is_on && self.bound.own_betas.is_empty();
        let still = self.bound.correction.is_none() && self.bound.moving.is_none();
        // A GPU evaluates all layers at once.
        let here = self.effective.network().gpu.is_none();
        let sweep = self.effective.network().sweep().filter(|_| quiet && free && still && here)?;
        Some(Sweep { reciprocal: sweep.reciprocal && self.effective.is_symmetric(), ..sweep })
    }

    fn target_of(&mut self, layers: &[usize], state: &[T], out: &mut [T]) {
        let (effective, bound) = (self.effective, &mut self.bound);
        let shape = &bound.shape;
        let rate_form = effective.form() == Form::Rate;
        if !rate_form {
            let sends = |layer: usize| !effective.network().is_linear() || !layers.contains(&layer);
            activate_some(effective, shape, sends, state, &mut bound.rates);
        }
        let (rates, currents) =
            if rate_form { (state, &mut bound.potentials[..]) } else { (&bound.rates[..], &mut *out) };
        for layer in layers {
            currents[shape.layer(*layer)].copy_from_slice(&bound.drive[shape.layer(*layer)]);
        }
        bound.products += effective.couple_to(|layer| layers.contains(&layer), shape, rates, currents);
        if rate_form {
            activate_some(effective, shape, |layer| layers.contains(&layer), &bound.potentials, out);
        }
        bound.error_is_current = false;
    }

    fn pass(&mut self) -> Option<Vec<T>> {
        let (effective, bound) = (self.effective, &mut self.bound);
        let network = effective.network();
        let order = network.order()?;
        let mut potentials = bound.drive.clone();
        for layer in order {
            let range = bound.shape.layer(layer);
            bound.products +=
                effective.couple_to(|to| to == layer, &bound.shape, &bound.rates, &mut potentials);
            let activation = &network.layers[layer].activation;
            activation.apply_real(&potentials[range.clone()], &mut bound.rates[range]);
        }
        bound.evaluations += 1;
        let state = if effective.form() == Form::Rate { bound.rates.clone() } else { potentials };
        bound.error_is_current = false;
        self.observe_evaluated(&state);
        Some(state)
    }

    fn runs(&self) -> bool {
        self.effective.accelerated().takes(self.effective, &self.bound)
    }

    fn run(&mut self, stretch: &Stretch<'_, T>, state: &mut Vec<T>) -> Result<Ended<T>> {
        self.bound.error_is_current = false;
        self.effective.accelerated().run(self.effective, &mut self.bound, stretch, state)
    }

    fn accelerate(&mut self, how: Acceleration, state: &mut [T]) -> Result<Accelerated> {
        self.bound.error_is_current = false;
        self.effective.accelerated().accelerate(self.effective, &mut self.bound, how, state)
    }

    fn teach(&mut self, teaching: Teaching) {
        self.bound.teaching = teaching;
        let silent = teaching.waveform == Waveform::Constant(Complex::new(0.0, 0.0));
        self.bound.teaching_is_on = teaching.amplitude != 0.0 && !silent;
    }

    fn teach_each(&mut self, betas: &[Complex<f64>]) {
        assert_eq!(
            (betas.len(), 2),
            (self.bound.shape.batch, self.bound.shape.rails),
            "a complex β for each sample"
        );
        self.bound.own_betas =
            betas.iter().map(|b| T::of(b.re)).chain(betas.iter().map(|b| T::of(b.im))).collect();
    }

    fn teaching(&self) -> &Teaching {
        &self.bound.teaching
    }

    fn correct_asymmetry(&mut self, free: &[T]) {
        let real = self.bound.shape.with_rails(1);
        let mut forward = vec![T::zero(); real.len()];
        let mut backward = forward.clone();
        self.effective.multiply(&real, Layout::Plain, free, free, &mut forward);
        self.effective.multiply(&real, Layout::Transposed, free, free, &mut backward);
        let mut correction = vec![T::zero(); self.bound.shape.len()];
        for layer in 0..real.layers() {
            let range = real.layer(layer);
            let difference = forward[range.clone()].iter().zip(&backward[range]).map(|(f, b)| *f - *b);
            correction[self.bound.shape.real(layer)].iter_mut().zip(difference).for_each(|(c, d)| *c = d);
        }
        let negated = if self.effective.network().is_linear() { Vec::new() } else { correction.clone() };
        self.bound.version = fresh();
        self.bound.correction = Some(Correction { current: correction, free: free.to_vec(), negated });
    }

    fn hold_noise(&mut self, noise: Disturbances<T>, inputs: &[T]) -> Result<()> {
        if noise.input.is_some() {
            self.bound.noisy_drive.clone_from(&self.bound.drive);
        }
        self.bound.noise = noise;
        self.bound.listen_to_inputs(inputs);
        self.bound.refresh_drive();
        Ok(())
    }

    fn vary_inputs(&mut self, signal: Signal<T>) {
        self.bound.moving = Some(Moving::new(signal, self.effective.network().inputs, &self.bound.shape));
    }

    fn release_signal(&mut self) -> Option<Signal<T>> {
        self.bound.release_signal()
    }

    fn set_step(&mut self, step: f64, lost: f64) {
        self.bound.noise.set_step(step, lost);
    }

    fn delay(&mut self, step: f64, carried: &mut Vec<T>) {
        let delays = self.effective.network().delays();
        let len = self.bound.shape.len();
        self.bound.line = (!delays.is_empty()).then(|| Line::kept(&delays, step, len, carried));
    }

    fn keep_delayed(&self, state: &mut Vec<T>) {
        self.bound.keep_delayed(state);
    }

    fn hear(&mut self, states: &[Vec<T>]) {
        let (effective, shape) = (self.effective, &self.bound.shape);
        let line =
            self.bound.line.get_or_insert_with(|| Line::told(&effective.network().delays(), shape.len()));
        for (which, state) in states.iter().enumerate() {
            match self.bound.form {
                Form::Potential => activate(effective, shape, state, line.hear(which)),
                Form::Rate => line.hear(which).copy_from_slice(state),
            }
        }
    }

    fn begin_step(&mut self, tick: u64) {
        self.bound.line.iter_mut().for_each(Line::begin_step);
        self.bound.noise.begin_step(tick);
        let Some(input) = &self.bound.noise.input else { return };
        self.bound.noisy_drive.copy_from_slice(&self.bound.drive);
        for (edge, synapses) in self.effective.from_input() {
            synapses.drive(input.values(), &mut self.bound.noisy_drive[self.bound.shape.real(edge.to)]);
        }
        self.bound.refresh_drive();
    }

    fn shape(&self) -> &StateShape {
        &self.bound.shape
    }

    fn place(&self, sample: usize) -> usize {
        self.bound.places[sample]
    }

    fn evaluations(&self) -> u64 {
        self.bound.evaluations
    }

    fn rates(&self) -> &[T] {
        &self.bound.rates
    }

    fn output_error(&self) -> &[T] {
        &self.bound.output_error
    }

    fn observe(&mut self, state: &[T]) {
        if self.bound.form == Form::Potential {
            activate(self.effective, &self.bound.shape, state, &mut self.bound.rates);
        }
        self.bound.error_is_current = false;
        self.observe_evaluated(state);
    }

    fn observe_evaluated(&mut self, state: &[T]) {
        // A GPU keeps the rates of what it evaluates to itself.
        if self.bound.form == Form::Potential && self.effective.network().gpu.is_some() {
            activate(self.effective, &self.bound.shape, state, &mut self.bound.rates);
        }
        if self.bound.form == Form::Rate {
            self.bound.rates.copy_from_slice(state);
        }
        if !self.bound.error_is_current {
            self.update_output_error(state);
        }
    }
}

impl<T: Scalar> VectorField<T> for Dynamics<'_, T> {
    fn target(&mut self, time: Time, state: &[T], out: &mut [T]) {
        self.bound.evaluations += 1;
        self.bound.error_is_current = false;
        self.move_inputs(time);
        let beta = self.bound.teaching.beta(time);
        if self.effective.accelerated().target(self.effective, &mut self.bound, beta, state, out) {
            return;
        }
        match self.bound.form {
            Form::Potential => {
                activate(self.effective, &self.bound.shape, state, &mut self.bound.rates);
                self.bound.line.iter_mut().for_each(|line| line.keep(time, &self.bound.rates));
                self.couple(None, out);
                self.teach_and_hold(beta, state, out);
                if !self.bound.currents.is_empty() {
                    self.apply_equations(state, out);
                }
            }
            Form::Rate => {
                let mut potentials = std::mem::take(&mut self.bound.potentials);
                self.bound.line.iter_mut().for_each(|line| line.keep(time, state));
                self.couple(Some(state), &mut potentials);
                self.teach_and_hold(beta, state, &mut potentials);
                activate(self.effective, &self.bound.shape, &potentials, out);
                self.bound.potentials = potentials;
            }
        }
    }

    fn leak(&self) -> &Leak<T> {
        &self.bound.leak
    }
}

/// ρ of a whole state, layer by layer.
pub fn activate<T: Scalar>(effective: &Effective<T>, shape: &StateShape, potentials: &[T], rates: &mut [T]) {
    activate_some(effective, shape, |_| true, potentials, rates);
}

/// ρ of some layers of a state.
fn activate_some<T: Scalar>(
    effective: &Effective<T>,
    shape: &StateShape,
    wanted: impl Fn(usize) -> bool,
    potentials: &[T],
    rates: &mut [T],
) {
    let layers = effective.network().layers.iter().enumerate();
    for (index, layer) in layers.filter(|(index, _)| wanted(*index)) {
        let range = shape.layer(index);
        if let Some(neuron) = &layer.equations {
            let variable = |place| &potentials[shape.layer(layer.holding(index, place))];
            neuron.rates(variable, shape.rails, &mut rates[range]);
            continue;
        }
        let (u, a) = (&potentials[range.clone()], &mut rates[range]);
        if shape.rails == 1 {
            layer.activation.apply_real(u, a);
        } else {
            let half = u.len() / 2;
            let (a_re, a_im) = a.split_at_mut(half);
            layer.activation.apply(&u[..half], &u[half..], a_re, a_im);
        }
    }
}

/// Adds numbers to as many others.
pub(super) fn add<T: Scalar>(out: &mut [T], term: &[T]) {
    for (o, t) in out.iter_mut().zip(term) {
        *o += *t;
    }
}
