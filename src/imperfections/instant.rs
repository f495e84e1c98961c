//! What changes at every instant: which noise acts where, bound to a batch.

use super::fluctuation::Fluctuation;
use super::noise::{Noise, Rails};
use super::readout::ReadOut;
use crate::error::{Invalid, Result};
use crate::files::Tensors;
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::IntegratorSpec;
use crate::substrate::neurons::form::Form;

/// The imperfections that act while a trajectory runs: noise and read-out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Instant {
    /// Noise on the neurons' state.
    pub state: Option<Noise>,
    /// Noise on the clamped inputs.
    pub input: Option<Noise>,
    /// Noise of reading the synapses.
    pub synapse: Option<Noise>,
    /// Noise on β.
    pub teaching: Option<Noise>,
    /// What the lock-in sees.
    pub readout: Option<ReadOut>,
    /// Seed of what is drawn once per device.
    pub device_seed: u64,
}

impl Instant {
    /// Noise on the state alone.
    #[must_use]
    pub fn on_state(noise: Noise) -> Self {
        Self { state: Some(noise), ..Self::default() }
    }

    /// The same without noise: what is left is the read-out.
    #[must_use]
    pub fn without_noise(self) -> Self {
        Self { readout: self.readout, device_seed: self.device_seed, ..Self::default() }
    }

    /// Whether any noise acts while the trajectory runs.
    #[must_use]
    pub fn is_noisy(&self) -> bool {
        self.sources().any(|(_, noise)| !noise.is_silent())
    }

    /// Whether any noise acts on the imaginary rail of a complex state under real teaching. That of the clamped inputs, which
    /// are real, does not.
    #[must_use]
    pub fn disturbs_imaginary_rail(&self) -> bool {
        self.sources().any(|(name, noise)| name != "input_noise" && noise.rails() != Rails::Real)
    }

    fn sources(&self) -> impl Iterator<Item = (&'static str, Noise)> {
        [
            ("state_noise", self.state),
            ("input_noise", self.input),
            ("synapse_noise", self.synapse),
            ("teaching_noise", self.teaching),
        ]
        .into_iter()
        .filter_map(|(name, noise)| Some((name, noise?)))
    }

    /// Whether any noise goes on through all of training.
    #[must_use]
    pub fn is_continuous(&self) -> bool {
        self.sources().any(|(_, noise)| noise.is_continuous())
    }

    /// Checks that steps of a length can follow the noise.
    ///
    /// # Errors
    /// The finding; the path is the caller's.
    pub fn check_step(&self, step: f64) -> std::result::Result<(), Invalid> {
        for (name, noise) in self.sources() {
            noise.check_step(step).map_err(|e| Invalid { found: format!("{} (`{name}`)", e.found), ..e })?;
        }
        Ok(())
    }

    /// Checks that an integrator can carry the noise.
    ///
    /// # Errors
    /// The reason why it cannot; the path is the caller's.
    pub fn check(&self, integrator: IntegratorSpec, form: Form) -> std::result::Result<(), Invalid> {
        for (name, noise) in self.sources() {
            let checked = if name == "state_noise" {
                noise.check(integrator, form)
            } else {
                noise.check_held(integrator)
            };
            checked.map_err(|e| Invalid { found: format!("{} (`{name}`)", e.found), ..e })?;
        }
        Ok(())
    }

    /// Whether any source is white: it has no meaning where a step stands for an equilibrium.
    #[must_use]
    pub fn is_white(&self) -> bool {
        self.sources().any(|(_, noise)| noise.is_white())
    }
}

/// Noise that is held through each step, bound to a batch and its random streams.
#[derive(Debug, Clone)]
pub struct Disturbances<T: Scalar> {
    /// On the pre-activations, laid out as the state.
    pub state: Option<Fluctuation<T>>,
    /// On the inputs, [inputs × samples].
    pub input: Option<Fluctuation<T>>,
    /// Of reading the synapses, lumped at the receiving neurons.
    pub synapse: Option<SynapseNoise<T>>,
    /// On β, one complex number for each sample: [1 × rails·samples].
    pub teaching: Option<Fluctuation<T>>,
}

impl<T: Scalar> Disturbances<T> {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self { state: None, input: None, synapse: None, teaching: None }
    }

    /// Binds the noise to a batch whose first sample has place `first`; white noise on the state is the integrator's affair.
    #[must_use]
    pub fn new(
        instant: &Instant,
        seed: u64,
        update: u64,
        shape: &StateShape,
        inputs: usize,
        first: usize,
    ) -> Self {
        let source = |noise: Option<Noise>, purpose, shape: &StateShape| {
            noise.map(|noise| Fluctuation::new(noise, NoiseKey::new(seed, purpose, update), first, shape))
        };
        let state = instant.state.filter(|noise| !matches!(noise, Noise::White { .. }));
        let clamped = StateShape::block(inputs, shape.batch, 1);
        let signal = StateShape::block(1, shape.batch, shape.rails);
        Self {
            state: source(state, Purpose::StateNoise, shape),
            input: source(instant.input, Purpose::InputNoise, &clamped),
            synapse: source(instant.synapse, Purpose::SynapseNoise, shape).map(SynapseNoise::new),
            teaching: source(instant.teaching, Purpose::TeachingNoise, &signal),
        }
    }

    /// The sources that there are, with their names.
    fn sources_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Fluctuation<T>)> {
        let Self { state, input, synapse, teaching } = self;
        let synapse = synapse.as_mut().map(|s| &mut s.unit);
        let sources = [state.as_mut(), input.as_mut(), synapse, teaching.as_mut()];
        ["state", "input", "synapse", "teaching"]
            .into_iter()
            .zip(sources)
            .filter_map(|(name, s)| Some((name, s?)))
    }

    /// Sets the length of a tick, in nominal τ, and the part of an isolated neuron that the integrator's step takes away.
    pub fn set_step(&mut self, step: f64, lost: f64) {
        self.sources_mut().for_each(|(_, source)| source.set_step(step, lost));
    }

    /// Draws the values of the step that begins at `tick`.
    pub fn begin_step(&mut self, tick: u64) {
        for (_, source) in self.sources_mut() {
            source.advance(tick);
        }
    }

    /// Lets time pass, in nominal τ, of which nothing is seen.
    pub(super) fn pass(&mut self, time: f64) {
        self.sources_mut().for_each(|(_, source)| source.pass(time));
    }

    /// Goes on where the same noise of an earlier phase has come to; `all` of it, or what is continuous.
    pub(super) fn resume(&mut self, before: Self, all: bool) {
        let Self { state, input, synapse, teaching } = before;
        let before = [state, input, synapse.map(|s| s.unit), teaching];
        for ((_, source), before) in self.sources_mut().zip(before.into_iter().flatten()) {
            if all || source.is_continuous() {
                source.resume(before);
            }
        }
    }

    /// All processes, or those that go on from update to update.
    fn lasting_mut(&mut self, all: bool) -> impl Iterator<Item = (&'static str, &mut Fluctuation<T>)> {
        self.sources_mut().filter(move |(_, source)| all || source.is_continuous())
    }

    /// Samples and rails that these processes have met.
    pub(super) fn extent(&mut self, all: bool) -> (usize, usize) {
        let larger = |a: (usize, usize), b: (usize, usize)| (a.0.max(b.0), a.1.max(b.1));
        self.lasting_mut(all).map(|(_, source)| source.extent()).fold((0, 1), larger)
    }

    /// Adds what these processes remember to a checkpoint.
    pub(super) fn save(&mut self, prefix: &str, all: bool, tensors: &mut Tensors) {
        self.lasting_mut(all).for_each(|(name, source)| source.save(&format!("{prefix}/{name}"), tensors));
    }

    /// Takes up what [`Self::save`] has written of the same noise and layout.
    pub(super) fn load(&mut self, prefix: &str, all: bool, tensors: &mut Tensors) -> Result<()> {
        self.lasting_mut(all).try_for_each(|(name, source)| source.load(&format!("{prefix}/{name}"), tensors))
    }
}

/// Noise of reading the synapses. Every synapse's weight fluctuates by ε, independently of all others, so that neuron i
/// receives Σ_j ε_ij a_j: a Gaussian of variance σ² Σ_j |a_j|², drawn once per neuron instead of once per synapse. At each
/// instant the law is that of the synapses; in time it is as long as the rates change little within a correlation time.
#[derive(Debug, Clone)]
pub struct SynapseNoise<T: Scalar> {
    /// σ times a unit process for each neuron, sample and rail.
    unit: Fluctuation<T>,
    rails: Rails,
    /// The clamped inputs, [inputs × samples].
    clamped: Vec<T>,
    /// The inputs at present.
    inputs: Vec<T>,
    /// Σ_j Re a_j², Σ_j Im a_j² and Σ_j Re a_j Im a_j over the synapses of each neuron of a layer.
    powers: Vec<[T; 3]>,
}

impl<T: Scalar> SynapseNoise<T> {
    fn new(unit: Fluctuation<T>) -> Self {
        // Rails that share their synapses still need two draws: their currents are correlated, not equal.
        let rails = unit.rails();
        let unit = if rails == Rails::Equal { unit.on(Rails::Independent) } else { unit };
        Self { unit, rails, clamped: Vec::new(), inputs: Vec::new(), powers: Vec::new() }
    }

    /// Takes in the clamped inputs, [inputs × samples], and makes room for the neurons of the largest layer.
    pub fn bind(&mut self, inputs: &[T], largest: usize) {
        self.clamped = inputs.to_vec();
        self.inputs = inputs.to_vec();
        self.powers.reserve_exact(largest);
    }

    /// Puts the inputs as far from the clamped ones as is said, [inputs × samples].
    pub fn move_inputs(&mut self, by: &[T]) {
        for ((x, clamped), by) in self.inputs.iter_mut().zip(&self.clamped).zip(by) {
            *x = *clamped + *by;
        }
    }

    /// Adds the noise of every connection into each layer: `powers` adds what a sample's synapses into a layer sum, given its inputs.
    pub fn add(
        &mut self,
        shape: &StateShape,
        out: &mut [T],
        powers: impl Fn(usize, usize, &[T], &mut [[T; 3]]),
    ) {
        let (unit, inputs) = (self.unit.values(), self.inputs.len() / shape.batch);
        for (to, sample) in (0..shape.layers()).flat_map(|to| (0..shape.batch).map(move |s| (to, s))) {
            self.powers.clear();
            self.powers.resize(shape.size(to), [T::zero(); 3]);
            powers(to, sample, &self.inputs[sample * inputs..][..inputs], &mut self.powers);
            let real = shape.column(to, 0, sample);
            let first = &unit[real.clone()];
            for ((o, z), [re, ..]) in out[real].iter_mut().zip(first).zip(&self.powers) {
                *o += re.sqrt() * *z;
            }
            if shape.rails == 1 || self.rails == Rails::Real {
                continue;
            }
            let imaginary = shape.column(to, 1, sample);
            let second = &unit[imaginary.clone()];
            for (((o, a), b), [re, im, cross]) in
                out[imaginary].iter_mut().zip(first).zip(second).zip(&self.powers)
            {
                // Cholesky factor of the two rails' covariance; they share it only if they share their synapses.
                let size = re.sqrt();
                let shared =
                    if self.rails == Rails::Equal && size > T::zero() { *cross / size } else { T::zero() };
                let own = (*im - shared * shared).max(T::zero()).sqrt();
                *o += shared * *a + own * *b;
            }
        }
    }
}
