//! The time loop: evaluate, observe, step.

pub mod integrators;
pub mod lockin;
pub mod signal;
pub mod teaching;
pub mod view;

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use num_complex::Complex;

use crate::error::{Error, Result};
use crate::host::watcher;
use crate::imperfections::readout::Converter;
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::Integrator;
use crate::simulation::lockin::Observer;
use crate::simulation::teaching::{Teaching, Time, Waveform};
use crate::simulation::view::View;
use crate::substrate::stretch::{MOST_SUMS, Stretch};
use crate::substrate::{Field, Population};

/// Magnitude beyond which a state counts as diverged, in units of what weights and inputs carry it to without a loop that amplifies:
/// no stable equilibrium is near it.
const ESCAPED: f64 = 1e6;

/// Magnitude beyond which a rate that is bounded on the real axis counts as diverged: the state is within about a hundredth
/// of a pole, far outside of where the response is a power series of β.
const WILD: f64 = 100.0;

/// A trajectory in progress with its field.
pub struct Simulation<'a, T: Scalar> {
    /// The field.
    pub field: Box<dyn Field<'a, T> + 'a>,
    /// How it is integrated, and where it stands.
    pub trajectory: Trajectory<T>,
}

/// A trajectory in progress: how it is integrated, and where it stands. The field comes with each call, so that its substrate may be
/// programmed anew in between.
pub struct Trajectory<T: Scalar> {
    /// The integrator.
    pub integrator: Box<dyn Integrator<T>>,
    /// What the observers see through, if not the bare substrate.
    pub converter: Option<Converter<T>>,
    /// Length of a step, in nominal τ.
    pub step: f64,
    /// The state, laid out as `field.shape()`.
    pub state: Vec<T>,
    /// Steps since the start.
    pub tick: u64,
    target: Vec<T>,
    /// Magnitude beyond which the state has diverged.
    most: f64,
    /// Where the first wild rate was seen: index and tick.
    wild: Option<(usize, u64)>,
    populations: Vec<Population>,
}

impl<'a, T: Scalar> Simulation<'a, T> {
    /// As [`Trajectory::new`].
    ///
    /// # Panics
    /// If the state is not laid out as the field's.
    #[must_use]
    pub fn new(
        mut field: Box<dyn Field<'a, T> + 'a>,
        integrator: Box<dyn Integrator<T>>,
        step: f64,
        state: Vec<T>,
    ) -> Self {
        let trajectory = Trajectory::new(&mut *field, integrator, step, state);
        Self { field, trajectory }
    }

    /// As [`Trajectory::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run(&mut self, ticks: u64, observers: &mut [&mut dyn Observer<T>]) -> Result<()> {
        self.trajectory.run(&mut *self.field, ticks, observers)
    }

    /// As [`Trajectory::observe`].
    ///
    /// # Errors
    /// As there.
    pub fn observe(&mut self, observers: &mut [&mut dyn Observer<T>]) -> Result<()> {
        self.trajectory.observe(&mut *self.field, observers)
    }

    /// As [`Trajectory::settle_elsewhere`].
    ///
    /// # Errors
    /// As there.
    pub fn settle_elsewhere(
        &mut self,
        ticks: u64,
        looks: (u64, f64),
        observers: &mut [&mut dyn Observer<T>],
    ) -> Result<Option<f64>> {
        self.trajectory.settle_elsewhere(&mut *self.field, ticks, looks, observers)
    }

    /// As [`Trajectory::residual`].
    pub fn residual(&mut self) -> f64 {
        self.trajectory.residual(&mut *self.field)
    }
}

impl<T: Scalar> Deref for Simulation<'_, T> {
    type Target = Trajectory<T>;

    fn deref(&self) -> &Trajectory<T> {
        &self.trajectory
    }
}

impl<T: Scalar> DerefMut for Simulation<'_, T> {
    fn deref_mut(&mut self) -> &mut Trajectory<T> {
        &mut self.trajectory
    }
}

impl<T: Scalar> Trajectory<T> {
    /// A trajectory that starts from `state` at tick 0.
    ///
    /// # Panics
    /// If the state is not laid out as the field's.
    #[must_use]
    pub fn new(
        field: &mut dyn Field<'_, T>,
        integrator: Box<dyn Integrator<T>>,
        step: f64,
        state: Vec<T>,
    ) -> Self {
        assert_eq!(state.len(), field.shape().len(), "state and field have one layout");
        let target = vec![T::zero(); state.len()];
        field.set_step(step, integrator.lost(step));
        let most = ESCAPED * field.reach();
        Self {
            populations: field.substrate().populations(),
            integrator,
            converter: None,
            step,
            state,
            tick: 0,
            target,
            most,
            wild: None,
        }
    }

    /// Measures divergence by what a field carries its state to, if that has changed.
    pub fn bind(&mut self, field: &dyn Field<'_, T>) {
        self.most = ESCAPED * field.reach();
    }

    /// Runs `ticks` steps, showing each tick to the observers that want it *before* its step; allocates nothing with a
    /// fixed-step integrator.
    ///
    /// # Errors
    /// [`Error::Stopped`] if whoever watches wants an end; [`Error::Diverged`] when the state at the end is not finite or beyond any plausible size, or when observers were
    /// shown a rate of a bounded activation beyond any plausible size.
    pub fn run(
        &mut self,
        field: &mut dyn Field<'_, T>,
        ticks: u64,
        observers: &mut [&mut dyn Observer<T>],
    ) -> Result<()> {
        if self.run_elsewhere(field, ticks, None, observers)?.is_some() {
            return self.check(field);
        }
        for _ in 0..ticks {
            watcher::check()?;
            field.begin_step(self.tick);
            field.target(Time::at(self.tick), &self.state, &mut self.target);
            if observers.iter().any(|o| o.wants(self.tick)) {
                field.observe_evaluated(&self.state);
                self.show(field, observers);
            }
            self.integrator.step(field, self.tick, &mut self.state, &mut self.target)?;
            self.tick += 1;
        }
        self.check(field)
    }

    /// Runs until the largest |G − s|, looked at every so many ticks, is within `tolerance`, at most so many ticks: of a field that runs by
    /// itself. Returns that residual; nothing where nothing was done.
    ///
    /// # Errors
    /// As [`Trajectory::run`].
    pub fn settle_elsewhere(
        &mut self,
        field: &mut dyn Field<'_, T>,
        ticks: u64,
        (look, tolerance): (u64, f64),
        observers: &mut [&mut dyn Observer<T>],
    ) -> Result<Option<f64>> {
        // Without a tolerance there is one look, at the end.
        let look = if tolerance > 0.0 { look } else { ticks };
        let residual = self.run_elsewhere(field, ticks, Some((look, tolerance)), observers)?;
        if residual.is_some() {
            self.check(field)?;
        }
        Ok(residual)
    }

    /// A stretch that the field runs by itself, if it does and observers only sum; returns the residual at the end, where one was looked at.
    fn run_elsewhere(
        &mut self,
        field: &mut dyn Field<'_, T>,
        ticks: u64,
        until: Option<(u64, f64)>,
        observers: &mut [&mut dyn Observer<T>],
    ) -> Result<Option<f64>> {
        if ticks == 0 || !field.runs() || self.converter.is_some() {
            return Ok(None);
        }
        let Some(explicit) = self.integrator.explicit() else { return Ok(None) };
        let span = self.tick..self.tick + ticks;
        let mut wanting: Vec<&mut &mut dyn Observer<T>> =
            observers.iter_mut().filter(|o| span.clone().any(|tick| o.wants(tick))).collect();
        if wanting.iter_mut().any(|o| o.sums().is_none()) {
            return Ok(None);
        }
        let counts: Vec<usize> =
            wanting.iter_mut().map(|o| o.sums().map_or(0, |sums| sums.count())).collect();
        if counts.iter().sum::<usize>() > MOST_SUMS {
            return Ok(None);
        }
        let wanting = RefCell::new(wanting);
        let weigh = |tick: u64, mut weights: &mut [Complex<f64>]| {
            let mut any = false;
            for (observer, count) in wanting.borrow_mut().iter_mut().zip(&counts) {
                let (own, others) = weights.split_at_mut(*count);
                weights = others;
                if observer.wants(tick)
                    && let Some(sums) = observer.sums()
                {
                    sums.weigh(tick, own);
                    any = true;
                }
            }
            any
        };
        let (begin, sums) = (self.tick, counts.iter().sum());
        let stretch = Stretch { begin, ticks, explicit, sums, weigh: &weigh, until };
        let ended = field.run(&stretch, &mut self.state)?;
        watcher::check()?;
        let mut sums = &ended.sums[..];
        for (observer, count) in wanting.into_inner().into_iter().zip(&counts) {
            let (own, others) = sums.split_at(*count);
            sums = others;
            if let Some(observer) = observer.sums() {
                observer.add(own);
            }
        }
        self.wild = self.wild.or(ended.wild);
        self.tick += ended.ticks;
        Ok(Some(ended.residual))
    }

    /// Shows the present state, without a step, to the observers that want it.
    ///
    /// # Errors
    /// As [`Trajectory::run`].
    pub fn observe(
        &mut self,
        field: &mut dyn Field<'_, T>,
        observers: &mut [&mut dyn Observer<T>],
    ) -> Result<()> {
        if observers.iter().any(|o| o.wants(self.tick)) {
            field.observe(&self.state);
            self.show(field, observers);
        }
        self.check(field)
    }

    fn show(&mut self, field: &dyn Field<'_, T>, observers: &mut [&mut dyn Observer<T>]) {
        if self.wild.is_none() {
            self.wild = self.wild_rate(field).map(|index| (index, self.tick));
        }
        let Self { state, converter, tick, .. } = self;
        let (rates, output_error) = (field.rates(), field.output_error());
        let bare = View { shape: field.shape(), state, rates, output_error };
        let view = match converter {
            Some(converter) => converter.sample(&bare),
            None => bare,
        };
        for observer in observers.iter_mut().filter(|o| o.wants(*tick)) {
            observer.observe(*tick, &view);
        }
    }

    /// Largest |G − s| of the present state: zero at an equilibrium of frozen teaching.
    pub fn residual(&mut self, field: &mut dyn Field<'_, T>) -> f64 {
        field.target(Time::at(self.tick), &self.state, &mut self.target);
        largest_difference(&self.target, &self.state)
    }

    /// The first rate that is not a number, or beyond [`WILD`] where the activation is bounded.
    fn wild_rate(&self, field: &dyn Field<'_, T>) -> Option<usize> {
        let shape = field.shape();
        for (place, population) in self.populations.iter().enumerate() {
            if !population.bounded {
                continue;
            }
            let (range, most) = (shape.layer(place), T::of(WILD));
            let rates = &field.rates()[range.clone()];
            let wild = |a: &T| (a.abs() > most) | a.is_nan();
            // Without an early exit the search is one pass of vector instructions.
            if rates.iter().fold(false, |any, a| any | wild(a)) {
                return rates.iter().position(wild).map(|index| range.start + index);
            }
        }
        None
    }

    fn check(&self, field: &dyn Field<'_, T>) -> Result<()> {
        if let Some((index, tick)) = self.wild {
            let moment = format!("at t = {:.4} tau", tick as f64 * self.step);
            return Err(self.diverged(field, moment, index, "its rate has passed a pole of the activation"));
        }
        let bad = |s: &T| !s.is_finite() || s.abs().double() > self.most;
        let Some(index) = self.state.iter().position(bad) else { return Ok(()) };
        let moment = format!("before t = {:.4} tau", self.tick as f64 * self.step);
        let rail = if field.shape().locate(index).2 == 0 { "real" } else { "imaginary" };
        let value = self.state[index].double();
        let what = if value.is_finite() {
            format!(
                "the {rail} part of its state is {value:.3e}, and no stable one is beyond {:.0e}",
                self.most
            )
        } else {
            format!("the {rail} part of its state is not finite")
        };
        Err(self.diverged(field, moment, index, &what))
    }

    fn diverged(&self, field: &dyn Field<'_, T>, moment: String, index: usize, what: &str) -> Error {
        let shape = field.shape();
        let (layer, neuron, _, sample) = shape.locate(index);
        let (name, sample) = (&self.populations[layer].name, field.place(sample));
        Error::Diverged {
            moment,
            place: format!("layer `{name}`, neuron {neuron}, sample {sample}"),
            what: what.to_owned(),
            advice: self.advice(field),
        }
    }

    /// What may keep the state from diverging: of what acts here.
    fn advice(&self, field: &dyn Field<'_, T>) -> String {
        let Teaching { waveform, amplitude, .. } = field.teaching();
        // A frozen signal has its size in its waveform.
        let amplitude = match waveform {
            Waveform::Constant(beta) => amplitude * beta.norm(),
            _ => *amplitude,
        };
        let mut causes = Vec::new();
        if amplitude > 0.0 {
            causes.push(format!("`amplitude` (now {amplitude:?})"));
        }
        if self.integrator.steps_with_the_clock() {
            causes.push(format!("the time step (now {:?} tau)", self.step));
        }
        causes.push("the weights (learning rate, initial scale)".to_owned());
        let last = causes.pop().unwrap_or_default();
        if causes.is_empty() {
            format!("lower {last}")
        } else {
            format!("lower {}, or {last}", causes.join(", "))
        }
    }
}

/// max |a − b|, not a number if any element is.
pub fn largest_difference<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    let mut largest = 0.0_f64;
    for (a, b) in a.iter().zip(b) {
        let difference = (*a - *b).abs().double();
        if difference.is_nan() {
            return f64::NAN;
        }
        largest = largest.max(difference);
    }
    largest
}
