//! Equilibria by Anderson acceleration that are stable and lie where relaxation leads.
//!
//! Acceleration finds zeros of G − s, whether the substrate could stay there or not. What it proposes is therefore held against
//! the relaxation that it set out from: the field on the straight way from a relaxed state to the proposal has to point there and
//! to be nearly linear, and every mode of J has to decay there. Samples that fail are relaxed further, until they are near their
//! proposal or arrive by themselves.

use super::Stop;
use super::anderson::{Options, fixed_point};
use super::equilibrium::{Equilibrium, LOOK, Settle, conclude, relax};
use crate::error::Result;
use crate::krylov::dot;
use crate::relaxation::slowest_rates_from;
use crate::scalar::Scalar;
use crate::substrate::Field;
use crate::substrate::state::StateShape;
use crate::teaching::Time;

/// Beyond this many evaluations something is wrong, and relaxation is the safer way.
const MOST: u64 = 200;
/// Products with J that look for a mode that grows.
const PRODUCTS: usize = 20;
/// Part of the force on a relaxed state that may be left unexplained, half-way to the proposal, by a field linear on the way.
const BEND: f64 = 0.5;

/// What has to be known of a proposed equilibrium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspection {
    /// That relaxation leads there, and that every mode decays there.
    Full,
    /// That relaxation leads there.
    Way,
}

/// Anderson acceleration after a short relaxation; samples for which it fails are relaxed.
pub(super) fn accelerate<'a, T: Scalar>(
    field: Box<dyn Field<'a, T> + 'a>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
    inspection: Inspection,
) -> Result<Equilibrium<T>> {
    let (mut trial, arrived) = Trial::propose(field, settle, start, inspection);
    let accepted = trial.accepted(&arrived);
    let tick = start.map_or(0, |(_, tick)| tick);
    let stop = trial.relax_others(&accepted, settle, tick)?;
    let residual = trial.residuals.iter().copied().fold(0.0, f64::max);
    let Trial { mut field, proposal: state, evaluations, .. } = trial;
    field.observe(&state);
    Ok(Equilibrium { evaluations, residual, stop, tick: tick + LOOK, ..conclude(field, state, Vec::new()) })
}

/// Proposed equilibria, and the relaxation that has to lead there.
struct Trial<'a, T: Scalar> {
    field: Box<dyn Field<'a, T> + 'a>,
    /// Where relaxation is.
    relaxed: Vec<T>,
    /// G − s there.
    force: Vec<T>,
    proposal: Vec<T>,
    /// Largest |G − s| of each sample at its proposal; infinite for what turned out to be unstable.
    residuals: Vec<f64>,
    inspection: Inspection,
    evaluations: u64,
}

impl<'a, T: Scalar> Trial<'a, T> {
    /// Relaxes for a short time and accelerates from there. Returns the samples that have arrived as well.
    fn propose(
        mut field: Box<dyn Field<'a, T> + 'a>,
        settle: &Settle,
        start: Option<(&[T], u64)>,
        inspection: Inspection,
    ) -> (Self, Vec<usize>) {
        let shape = field.shape().clone();
        let mut relaxed = start.map_or_else(|| vec![T::zero(); shape.len()], |(state, _)| state.to_vec());
        let mut force = relaxed.clone();
        let step = T::of(settle.step);
        for tick in 0..LOOK {
            field.target(Time::at(tick), &relaxed, &mut force);
            relaxed.iter_mut().zip(&force).for_each(|(s, g)| *s += step * (*g - *s));
        }
        let (tolerance, most) = (settle.tolerance::<T>(), MOST.min(steps(settle) - LOOK));
        let options = Options { mixing: settle.step.min(1.0), tolerance, most, narrows: true };
        let mut proposal = relaxed.clone();
        let mut narrow: Option<Box<dyn Field<'a, T> + 'a>> = None;
        let mut begun = false;
        let map = |active: &[usize], s: &[T], g: &mut [T]| {
            let width = narrow.as_ref().map_or(shape.batch, |field| field.shape().batch);
            if active.len() < width {
                narrow = Some(field.select(active));
            }
            narrow.as_mut().unwrap_or(&mut field).target(Time::at(0), s, g);
            if !begun {
                // Acceleration begins at the relaxed state.
                force.copy_from_slice(g);
                begun = true;
            }
        };
        let end = fixed_point(&shape, map, &mut proposal, options);
        force.iter_mut().zip(&relaxed).for_each(|(force, s)| *force -= *s);
        let late = end.late(tolerance);
        let arrived = (0..shape.batch).filter(|sample| !late.contains(sample)).collect();
        let evaluations = LOOK + end.evaluations;
        let residuals = end.residuals;
        (Self { field, relaxed, force, proposal, residuals, inspection, evaluations }, arrived)
    }

    /// Those of some samples whose proposal stands up to inspection.
    fn accepted(&mut self, which: &[usize]) -> Vec<usize> {
        let led = self.led(which);
        if self.inspection == Inspection::Full { self.stable(&led) } else { led }
    }

    /// Those of some samples for which every mode decays at the proposal.
    fn stable(&mut self, which: &[usize]) -> Vec<usize> {
        if which.is_empty() {
            return Vec::new();
        }
        let all = self.field.shape();
        let state = all.select(which, &self.proposal);
        // Relaxation has turned the way towards the slow modes, and towards those that grow.
        let way = difference(&all.select(which, &self.relaxed), &state);
        let mut field = self.field.select(which);
        field.observe(&state);
        let linear = field.linearise(field.rates());
        let slowest = slowest_rates_from(&*linear, PRODUCTS, &way);
        self.evaluations += PRODUCTS.min(field.shape().neurons()) as u64;
        for (sample, _) in which.iter().zip(&slowest).filter(|(_, rate)| rate.is_nan() || **rate <= 0.0) {
            self.residuals[*sample] = f64::INFINITY;
        }
        which.iter().copied().filter(|sample| self.residuals[*sample].is_finite()).collect()
    }

    /// Those of some samples for which the field leads straight from the relaxed state to the proposal.
    fn led(&mut self, which: &[usize]) -> Vec<usize> {
        const HALF: f64 = 0.5;
        if which.is_empty() {
            return Vec::new();
        }
        let all = self.field.shape();
        let mut field = self.field.select(which);
        let shape = field.shape().clone();
        let (end, force) = (all.select(which, &self.proposal), all.select(which, &self.force));
        let way = difference(&all.select(which, &self.relaxed), &end);
        let half = T::of(HALF);
        let there: Vec<T> = end.iter().zip(&way).map(|(end, way)| *end + half * *way).collect();
        let mut pull = vec![T::zero(); end.len()];
        field.target(Time::at(0), &there, &mut pull);
        self.evaluations += 1;
        let pull = difference(&pull, &there);
        let bent: Vec<T> = pull.iter().zip(&force).map(|(pull, force)| *pull - half * *force).collect();
        let leads = |place: usize| {
            let product = |a: &[T], b: &[T]| inner(&shape, place, a, b);
            product(&force, &way) < 0.0
                && product(&pull, &way) < 0.0
                && product(&bent, &bent) <= BEND * BEND * product(&force, &force)
        };
        (0..which.len()).filter(|place| leads(*place)).map(|place| which[place]).collect()
    }

    /// Where some samples are after so many more steps of relaxation, or once all have arrived, and G − s there.
    fn relax_on(
        &mut self,
        which: &[usize],
        steps: u64,
        settle: &Settle,
        tick: u64,
    ) -> Result<(Vec<T>, Vec<T>)> {
        let all = self.field.shape();
        let (mut state, mut force) = (all.select(which, &self.relaxed), all.select(which, &self.force));
        let mut field = self.field.select(which);
        let (step, tolerance) = (T::of(settle.step), settle.tolerance::<T>());
        for _ in 0..steps {
            state.iter_mut().zip(&force).for_each(|(s, force)| *s += step * *force);
            field.target(Time::at(0), &state, &mut force);
            self.evaluations += 1;
            force.iter_mut().zip(&state).for_each(|(force, s)| *force -= *s);
            if force.iter().any(|force| !force.is_finite()) {
                // The simulation says what has diverged.
                relax(field, settle, Some((&state, tick)))?;
                break;
            }
            if force.iter().all(|force| force.abs().double() <= tolerance) {
                break;
            }
        }
        Ok((state, force))
    }

    /// Relaxes all but the samples that are `done`, looking from time to time whether they are near their proposals: with waits
    /// that double, no more than half of the relaxation is in vain.
    fn relax_others(&mut self, done: &[usize], settle: &Settle, tick: u64) -> Result<Stop> {
        let (shape, total, tolerance) = (self.field.shape().clone(), steps(settle), settle.tolerance::<T>());
        let mut rest: Vec<usize> = (0..shape.batch).filter(|sample| !done.contains(sample)).collect();
        let mut stop = Stop::Settled;
        let mut relaxed_for = LOOK;
        while !rest.is_empty() {
            let now = relaxed_for.min(total - relaxed_for);
            let part = shape.with_batch(rest.len());
            let (state, force) = self.relax_on(&rest, now, settle, tick + relaxed_for)?;
            relaxed_for += now;
            put(&part, &state, &shape, &rest, &mut self.relaxed);
            put(&part, &force, &shape, &rest, &mut self.force);
            let sizes: Vec<f64> = (0..rest.len()).map(|place| largest(&part, place, &force)).collect();
            let arrived = |place: usize| sizes[place] <= tolerance;
            for place in (0..rest.len()).filter(|place| arrived(*place) || relaxed_for >= total) {
                let sample = rest[place];
                put(
                    &part.with_batch(1),
                    &part.select(&[place], &state),
                    &shape,
                    &[sample],
                    &mut self.proposal,
                );
                self.residuals[sample] = sizes[place];
                if !arrived(place) {
                    stop = Stop::TimeLimit;
                }
            }
            if relaxed_for >= total {
                break;
            }
            let open = (0..rest.len()).filter(|place| !arrived(*place)).map(|place| rest[place]);
            let (hopeful, late): (Vec<usize>, Vec<usize>) =
                open.partition(|sample| self.residuals[*sample] <= tolerance);
            let accepted = self.accepted(&hopeful);
            rest = hopeful.into_iter().filter(|sample| !accepted.contains(sample)).chain(late).collect();
            rest.sort_unstable();
        }
        Ok(stop)
    }
}

/// Steps of a relaxation.
fn steps(settle: &Settle) -> u64 {
    (settle.max_time / settle.step).ceil() as u64
}

fn difference<T: Scalar>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(a, b)| *a - *b).collect()
}

/// ⟨a, b⟩ of one sample.
fn inner<T: Scalar>(shape: &StateShape, sample: usize, a: &[T], b: &[T]) -> f64 {
    shape.sample(sample).map(|column| dot(&a[column.clone()], &b[column])).sum()
}

/// Largest magnitude in one sample.
fn largest<T: Scalar>(shape: &StateShape, sample: usize, v: &[T]) -> f64 {
    shape.sample(sample).flat_map(|column| &v[column]).map(|x| x.abs().double()).fold(0.0, f64::max)
}

/// Writes samples that lie side by side to their places.
pub(super) fn put<T: Copy>(
    part: &StateShape,
    from: &[T],
    shape: &StateShape,
    places: &[usize],
    to: &mut [T],
) {
    for (place, sample) in places.iter().enumerate() {
        for (from_column, to_column) in part.sample(place).zip(shape.sample(*sample)) {
            to[to_column].copy_from_slice(&from[from_column]);
        }
    }
}
