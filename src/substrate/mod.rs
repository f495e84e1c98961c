//! The substrate: a differential equation with local read-out.
//!
//! [`Substrate`] says what estimators need of one: τ ds/dt = G(s, x, β; θ) − s, holomorphic in s and β, observed through rates a(s).
//! Layers of neurons ([`neurons::effective::Effective`]) implement it, and [`custom::Custom`] makes one of anyone's equations.

pub mod circuits;
pub mod custom;
pub mod local;
pub mod neurons;
pub mod parameters;
pub mod samples;
mod shown;
pub mod slow_modes;
pub mod spice;
pub mod stretch;

use std::sync::Arc;

use nalgebra::DMatrix;
use num_complex::Complex;

use crate::error::{Error, Result};
use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::simulation::integrators::VectorField;
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time};
use local::Local;
use parameters::{ParameterShape, Parameters};
use samples::Samples;
use stretch::{Accelerated, Acceleration, Ended, Stretch};

/// Samples that are simulated together where nothing is known of the work.
pub const CHUNK: usize = 10;

/// A group of variables of one kind: a layer, or the nodes of a circuit.
#[derive(Debug, Clone, PartialEq)]
pub struct Population {
    /// Its name in files and messages.
    pub name: String,
    /// Number of variables.
    pub size: usize,
    /// Whether its rates are bounded on the real axis: far beyond, a complex state has passed a pole.
    pub bounded: bool,
}

/// A programmed substrate: an equation with all its parameters and imperfections, without samples or state.
pub trait Substrate<T: Scalar>: Send + Sync {
    /// The groups of variables, in the order in which states are stored.
    fn populations(&self) -> Vec<Population>;

    /// Names and forms of the parameters.
    fn parameters(&self) -> &Arc<[ParameterShape]>;

    /// Number of clamped inputs.
    fn inputs(&self) -> usize;

    /// Number of outputs: entries of the output error.
    fn outputs(&self) -> usize;

    /// The layout of so many samples: 1 rail for a real state, 2 for a complex one.
    fn shape(&self, batch: usize, rails: usize) -> StateShape {
        StateShape::of(self.populations().iter().map(|p| p.size).collect(), batch, rails)
    }

    /// How many of the samples of a batch are simulated together, by one thread: whatever the number of threads.
    fn chunk(&self, _samples: usize) -> usize {
        CHUNK
    }

    /// What has gone wrong where it is computed, if that is not this processor; what it has told since is nothing.
    fn fault(&self) -> Option<Error> {
        None
    }

    /// The field of a batch. `drive` is what an earlier field of the same samples has returned as its [`Field::drive`].
    fn bind<'a>(
        &'a self,
        samples: &Samples<T>,
        rails: usize,
        drive: Option<&[T]>,
    ) -> Box<dyn Field<'a, T> + 'a>;

    /// The substrate linearised at the free equilibrium of these samples that has these rates, a real state; `drive` as in
    /// [`Self::bind`].
    fn linearise<'a>(
        &'a self,
        samples: &Samples<T>,
        drive: Option<&[T]>,
        rates: &[T],
    ) -> Box<dyn Linear<T> + 'a> {
        self.bind(samples, 1, drive).linearise(rates)
    }

    /// Whether every connection is symmetric, so that without a teaching signal the substrate follows an energy.
    fn is_tied(&self) -> bool;

    /// The free equilibrium that has these rates, a real state.
    fn free_state(&self, samples: &Samples<T>, rates: &[T]) -> Vec<T>;

    /// The gradient from what each parameter sees locally, *summed* over the samples of a real `shape`.
    fn gradient(&self, shape: &StateShape, samples: &Samples<T>, local: &Local<'_, T>) -> Parameters<T>;

    /// Index of every parameter whose gradient a multiplier at it can measure, as c₁ or c₀ of a product that it sees: those that
    /// [`Self::add_products`] and [`Self::add_readout`] fill.
    fn measured(&self) -> Vec<usize>;

    /// Adds −Re(w · product) of every such parameter between variables, *summed* over the samples, to a gradient. `rates` are laid out as
    /// `shape`; `scratch` is overwritten.
    fn add_products(
        &self,
        shape: &StateShape,
        rates: &[T],
        weight: Complex<f64>,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    );

    /// Adds w · Re of what the parameters of the read-out see, *summed* over the samples, to a gradient. `seen` are rates and output
    /// error.
    fn add_readout(
        &self,
        shape: &StateShape,
        seen: (&[T], &[T]),
        weight: f64,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    );
}

/// The layers of a substrate in two sets, no layer connected to another of its own set, nor to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Those that are evaluated first.
    pub first: Vec<usize>,
    /// Those that are evaluated at the new values of the others.
    pub then: Vec<usize>,
    /// Whether what a layer receives also depends on its own state, as from a pooling above it.
    pub own: bool,
    /// Whether it does, and the coupling is its own transpose.
    pub reciprocal: bool,
}

/// The field of a substrate bound to samples and teaching: G(t, s), and what a read-out sees of the state.
pub trait Field<'a, T: Scalar>: VectorField<T> {
    /// The layout of the state.
    fn shape(&self) -> &StateShape;
    /// The substrate that is bound.
    fn substrate(&self) -> &'a dyn Substrate<T>;
    /// The substrate linearised at the free equilibrium of the bound samples that has these rates, a real state.
    fn linearise(&self, rates: &[T]) -> Box<dyn Linear<T> + 'a>;
    /// The field of some of the samples, taught alike, without noise.
    fn select(&self, which: &[usize]) -> Box<dyn Field<'a, T> + 'a>;
    /// Place of a sample in its batch, for messages.
    fn place(&self, sample: usize) -> usize;
    /// The layers in the order of a sweep, where it takes as much work as an evaluation and leads further: as the substrate is bound now.
    fn sweep(&self) -> Option<Sweep> {
        None
    }
    /// As [`VectorField::target`] of some layers: what `out` holds of the others is not defined.
    fn target_of(&mut self, layers: &[usize], state: &[T], out: &mut [T]) {
        let _ = layers;
        self.target(Time::at(0), state, out);
    }
    /// The free equilibrium, in one pass from layer to layer, where no connection leads back: the state, whose rates and output error
    /// are then observed. None elsewhere.
    fn pass(&mut self) -> Option<Vec<T>> {
        None
    }
    /// The equilibrium of the teaching signal at tick 0, and the largest |G − s| there, of a substrate with a way of its own to find it;
    /// from a state, or from rest.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`] where it has found none.
    fn equilibrium(&mut self, _start: Option<&[T]>) -> Result<Option<(Vec<T>, f64)>> {
        Ok(None)
    }
    /// Whether it runs stretches of the time loop by itself, as it is bound now.
    fn runs(&self) -> bool {
        false
    }
    /// Runs a stretch of the time loop by itself, of a field that [`Self::runs`].
    ///
    /// # Errors
    /// [`Error::Gpu`].
    fn run(&mut self, _stretch: &Stretch<'_, T>, _state: &mut Vec<T>) -> Result<Ended<T>> {
        Err(Error::Internal("a field that does not run by itself".into()))
    }
    /// Iterates a state to rest under frozen teaching by Anderson acceleration, of a field that [`Self::runs`].
    ///
    /// # Errors
    /// [`Error::Gpu`].
    fn accelerate(&mut self, _how: Acceleration, _state: &mut [T]) -> Result<Accelerated> {
        Err(Error::Internal("a field that does not run by itself".into()))
    }
    /// Sets the teaching signal.
    fn teach(&mut self, teaching: Teaching);
    /// The teaching signal.
    fn teaching(&self) -> &Teaching;
    /// Teaches each sample with a frozen β of its own, instead of a common signal; the state must be complex.
    fn teach_each(&mut self, betas: &[Complex<f64>]);
    /// Adds (Kᵀ − K)(a − a*) to the field from now on, with K the coupling's derivative at the free rates a*, a real state (asymmetric EP,
    /// arXiv 2602.03670): it vanishes at the free equilibrium and turns the response to teaching into the adjoint's.
    fn correct_asymmetry(&mut self, free: &[T]);
    /// Adds noise that is redrawn at every step and held through it. `inputs` are those of the bound samples.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for noise that the substrate has no place for.
    fn hold_noise(&mut self, noise: Disturbances<T>, inputs: &[T]) -> Result<()>;
    /// Adds a signal to the inputs of every sample from now on. Equilibria and linearisations are those of the inputs without it.
    fn vary_inputs(&mut self, signal: Signal<T>);
    /// Takes the signal out, to go on in another field of the same run.
    fn release_signal(&mut self) -> Option<Signal<T>>;
    /// Sets the length of a step, in nominal τ, and the part of an isolated variable of τ = 1 that the integrator's step takes away:
    /// noise needs them.
    fn set_step(&mut self, step: f64, lost: f64);
    /// From now on what connections with a delay bring was sent that long ago, on the clock of a run of steps of `step` τ; until then it arrives
    /// at once, as at an equilibrium. What [`Self::keep_delayed`] has left behind a state that is `carried` on is taken off, and is on its
    /// way; else the network has been for all time where it begins.
    fn delay(&mut self, step: f64, carried: &mut Vec<T>) {
        let _ = (step, carried);
    }
    /// Leaves what is on its way behind a state.
    fn keep_delayed(&self, state: &mut Vec<T>) {
        let _ = state;
    }
    /// From now on what connections with a delay bring was sent in these states, one for each of [`Linear::delays`].
    fn hear(&mut self, states: &[Vec<T>]) {
        let _ = states;
    }
    /// Draws what is held through the step that begins at `tick`.
    fn begin_step(&mut self, tick: u64);
    /// Makes [`Self::rates`] and [`Self::output_error`] those of `state`, without evaluating the field.
    fn observe(&mut self, state: &[T]);
    /// As [`Self::observe`] for the state that was the last to be evaluated: only what is still missing is computed.
    fn observe_evaluated(&mut self, state: &[T]);
    /// Rates of the state last evaluated or observed, laid out as the state.
    fn rates(&self) -> &[T];
    /// p − y (or a − y) of the state last observed, [outputs × rails·batch].
    fn output_error(&self) -> &[T];
    /// What is computed once a batch; empty where nothing is.
    fn drive(&self) -> &[T];
    /// How far a current from outside may carry any variable without a loop that amplifies it, at least 1: a state far beyond it has
    /// diverged.
    fn reach(&self) -> f64 {
        1.0
    }
    /// Evaluations of the right-hand side so far.
    fn evaluations(&self) -> u64;
    /// Real matrix products between variables so far, both rails in each.
    fn products(&self) -> u64 {
        0
    }
    /// Takes the noise out, to go on in another phase, or beside other weights or samples.
    fn release_noise(&mut self) -> Disturbances<T>;
}

/// A product of a linearised substrate: [`Linear::target`] as it stands or transposed, [`Linear::corrected`] or [`Linear::integrated`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// ∂G/∂s v.
    Target,
    /// Its transpose.
    Transposed,
    /// That of the corrected field.
    Corrected,
    /// That of the variable that is integrated.
    Integrated {
        /// With the corrected field.
        corrected: bool,
    },
}

/// A substrate linearised at a free equilibrium, one Jacobian for each sample. v is real or complex, and `scratch` as long as v.
pub trait Linear<T: Scalar> {
    /// Layout of a real state.
    fn shape(&self) -> &StateShape;
    /// Time constant of every element of a real state, in nominal τ.
    fn tau(&self) -> &[T];
    /// out = ∂G/∂s v, or its transpose (without conjugation), so that J v = out − v.
    fn target(&self, layout: Layout, v: &[T], out: &mut [T], scratch: &mut [T]);
    /// As [`Self::target`], not transposed, of some layers: what `out` holds of the others is not defined.
    fn target_of(&self, layers: &[usize], v: &[T], out: &mut [T], scratch: &mut [T]) {
        let _ = layers;
        self.target(Layout::Plain, v, out, scratch);
    }
    /// Solves λ − (∂G/∂s)ᵀ λ = right in one pass from layer to layer, where no connection leads back; whether it has.
    fn pass_back(&self, _right: &[T], _solution: &mut [T]) -> bool {
        false
    }
    /// Solves (i·rate·τ − J) x = right directly, of a substrate that has a way of its own: right real, or complex. `corrected` as in
    /// [`Self::integrated`]; whether it has.
    fn solve(&self, _corrected: bool, _rate: f64, _right: &[T], _solution: &mut [T]) -> bool {
        false
    }
    /// Solves (i·rate·τ − J) x = right by GMRES where its products are computed elsewhere, of the J that `product` tells: right is real, or
    /// complex, and x begins with a guess. The tolerance is of each sample's residual, relative to its right side; so many products at most.
    /// The products that it took, and the largest relative residual that it left; none where it does not.
    fn solve_elsewhere(
        &self,
        _product: Product,
        _rate: f64,
        _right: &[T],
        _x: &mut [T],
        _asked: (f64, u64),
    ) -> Option<(u64, f64)> {
        None
    }
    /// The same as [`Self::target`] for the variable that is integrated, where that is another one; `corrected` for the field of
    /// [`Field::correct_asymmetry`].
    fn integrated(&self, corrected: bool, v: &[T], out: &mut [T], scratch: &mut [T]);
    /// The same as [`Self::target`] of the corrected field.
    fn corrected(&self, v: &[T], out: &mut [T], scratch: &mut [T]);
    /// Delays of connections, each once, in nominal τ.
    fn delays(&self) -> Vec<f64> {
        Vec::new()
    }
    /// Adds to out = ∂G/∂s v what delays make of it under e^{iωt}: Σ (e^{−iωd} − 1) ∂G/∂s v over the connections of each delay d. v is complex,
    /// `rate` is ωτ.
    fn add_delays(&self, rate: f64, v: &[T], out: &mut [T], scratch: &mut [T]) {
        let _ = (rate, v, out, scratch);
    }
    /// out = ∂a/∂s v: what the rates make of a displacement of the state.
    fn observe(&self, v: &[T], out: &mut [T]);
    /// out = (∂a/∂s)ᵀ v.
    fn observe_transposed(&self, v: &[T], out: &mut [T]) {
        self.observe(v, out);
    }
    /// Turns λ, laid out as the state, into what a current of each variable is worth: the transpose of how currents enter G. A variable of
    /// τ ds/dt = −s + I + … has its own.
    fn currents(&self, _v: &mut [T]) {}
    /// The diagonal of ∂a/∂s, as a real state: all there is of it where each variable has a rate of its own.
    fn slope(&self) -> Vec<T> {
        let mut slope = vec![T::zero(); self.shape().len()];
        self.observe(&vec![T::one(); slope.len()], &mut slope);
        slope
    }
    /// ∂C/∂a at the output error of the equilibrium, as a real state.
    fn cost_slope(&self, output_error: &[T]) -> Vec<T>;
    /// F_β: what teaching adds to G per unit of β.
    fn teaching(&self, output_error: &[T]) -> Vec<T>;
    /// J of one sample as a matrix, in double precision.
    fn jacobian(&self, sample: usize) -> DMatrix<f64>;
}
