//! Equilibria by Anderson acceleration that are stable and lie where relaxation leads.
//!
//! Acceleration finds zeros of G − s, whether the substrate could stay there or not. What it proposes is therefore held against
//! the relaxation that it set out from: the field on the straight way from a relaxed state to the proposal has to point there and
//! to be nearly linear, and every mode of J has to decay there. Samples that fail are relaxed further, until they are near their
//! proposal or arrive by themselves.

use super::Stop;
use super::equilibrium::{Equilibrium, LOOK, Settle, conclude, relax};
use super::sweeps::{Narrowing, Swept, sweep_plainly, sweep_to_rest};
use crate::error::Result;
use crate::host::watcher;
use crate::numerics::anderson::{Options, fixed_point};
use crate::numerics::krylov::dot;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::teaching::Time;
use crate::substrate::slow_modes::modes_decay;
use crate::substrate::stretch::Acceleration;
use crate::substrate::{Field, Sweep};

/// Evaluations of the first acceleration for each digit that is asked for, at most: beyond, relaxing further is the shorter way, and as
/// long a relaxation has to go before another acceleration, of half as many.
const FOR_A_DIGIT: f64 = 16.0;
/// Steps of relaxation before the first acceleration: the field is evaluated once more, where they have led.
const BEGUN: u64 = LOOK - 1;
/// Products with J that look for a mode that grows.
const PRODUCTS: usize = 20;
/// Part of the force on a relaxed state that may be left unexplained, half-way to the proposal, by a field linear on the way.
const BEND: f64 = 1.0;

/// What has to be known of a proposed equilibrium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspection {
    /// That relaxation leads there, and that every mode decays there.
    Full,
    /// That relaxation leads there.
    Way,
}

/// Plain sweeps where they come to rest quickly; for other samples Anderson acceleration after a short relaxation, and again after longer
/// ones where that fails.
pub(super) fn accelerate<'a, T: Scalar>(
    mut field: Box<dyn Field<'a, T> + 'a>,
    settle: &Settle,
    start: Option<(&[T], u64)>,
    inspection: Inspection,
) -> Result<Equilibrium<T>> {
    let tick = start.map_or(0, |(_, tick)| tick);
    let shape = field.shape().clone();
    let tolerance = settle.tolerance::<T>();
    let from = start.map(|(state, _)| state);
    let swept = match field.sweep() {
        Some(sweep) if inspection == Inspection::Full => {
            sweep_plainly(&mut field, &sweep, tolerance, from, steps(settle))
        }
        _ => Swept::nothing(&shape, from),
    };
    let Swept { mut state, mut residuals, quick, mut evaluations } = swept;
    let arrived = |sample: usize| residuals[sample] <= tolerance;
    let rest: Vec<usize> = (0..shape.batch).filter(|sample| !(arrived(*sample) && quick[*sample])).collect();
    let mut stop = Stop::Settled;
    if !rest.is_empty() {
        let part = shape.with_batch(rest.len());
        let begin = start.map(|(state, tick)| (shape.select(&rest, state), tick));
        let begin = begin.as_ref().map(|(state, tick)| (&state[..], *tick));
        let mut trial = Trial::begin(field.select(&rest), settle, begin, inspection);
        trial.swept_to(&shape.select(&rest, &state), rest.iter().map(|sample| residuals[*sample]).collect());
        stop = trial.settle_all(settle, tick)?;
        put(&part, &trial.proposal, &shape, &rest, &mut state);
        rest.iter().zip(&trial.residuals).for_each(|(sample, residual)| residuals[*sample] = *residual);
        evaluations += trial.evaluations;
    }
    let residual = residuals.into_iter().fold(0.0, f64::max);
    field.observe(&state);
    Ok(Equilibrium { evaluations, residual, stop, tick: tick + LOOK, ..conclude(field, state, Vec::new()) })
}

/// Proposed equilibria, and the relaxation that has to lead there.
struct Trial<'a, T: Scalar> {
    field: Box<dyn Field<'a, T> + 'a>,
    sweep: Option<Sweep>,
    /// Where relaxation is.
    relaxed: Vec<T>,
    /// G − s there.
    force: Vec<T>,
    proposal: Vec<T>,
    /// Largest |G − s| of each sample at its proposal; infinite where there is none, and for what turned out to be unstable.
    residuals: Vec<f64>,
    /// Whether plain sweeps have come to rest at the proposal of a sample.
    rested: Vec<bool>,
    inspection: Inspection,
    evaluations: u64,
}

impl<'a, T: Scalar> Trial<'a, T> {
    /// Relaxes for a short time.
    fn begin(
        mut field: Box<dyn Field<'a, T> + 'a>,
        settle: &Settle,
        start: Option<(&[T], u64)>,
        inspection: Inspection,
    ) -> Self {
        let (len, batch) = (field.shape().len(), field.shape().batch);
        let mut relaxed = start.map_or_else(|| vec![T::zero(); len], |(state, _)| state.to_vec());
        let mut force = relaxed.clone();
        let step = T::of(settle.step);
        for tick in 0..=BEGUN {
            if tick > 0 {
                relaxed.iter_mut().zip(&force).for_each(|(s, force)| *s += step * *force);
            }
            field.target(Time::at(tick), &relaxed, &mut force);
            force.iter_mut().zip(&relaxed).for_each(|(force, s)| *force -= *s);
        }
        let (proposal, residuals) = (relaxed.clone(), vec![f64::INFINITY; batch]);
        let sweep = field.sweep();
        let rested = vec![false; batch];
        Self { field, sweep, relaxed, force, proposal, residuals, rested, inspection, evaluations: BEGUN + 1 }
    }

    /// Takes where plain sweeps have arrived for proposals.
    fn swept_to(&mut self, state: &[T], residuals: Vec<f64>) {
        self.rested = residuals.iter().map(|residual| residual.is_finite()).collect();
        self.proposal = state.to_vec();
        self.residuals = residuals;
    }

    /// Accelerates some samples from where relaxation is, at most so many evaluations.
    fn propose(&mut self, which: &[usize], settle: &Settle, most: u64) {
        // Relaxation, which follows, tells that it was stopped.
        if which.is_empty() || most == 0 || watcher::is_stopped() {
            return;
        }
        let shape = self.field.shape().with_batch(which.len());
        let mut proposal = self.field.shape().select(which, &self.relaxed);
        let options =
            Options { mixing: settle.step.min(1.0), tolerance: settle.tolerance::<T>(), most, narrows: true };
        if self.field.runs() {
            let how =
                Acceleration { mixing: options.mixing, tolerance: options.tolerance, most: options.most };
            // What fails there is told by the substrate, and nothing is proposed.
            let Ok(end) = self.field.select(which).accelerate(how, &mut proposal) else { return };
            self.evaluations += end.evaluations;
            put(&shape, &proposal, self.field.shape(), which, &mut self.proposal);
            which.iter().zip(&end.residuals).for_each(|(s, residual)| self.residuals[*s] = *residual);
            return;
        }
        let mut fields = Narrowing::new(&mut self.field, which);
        let end = match &self.sweep {
            None => {
                let map =
                    |active: &[usize], s: &[T], g: &mut [T]| fields.of(active).target(Time::at(0), s, g);
                fixed_point(&shape, map, &mut proposal, options)
            }
            Some(sweep) => sweep_to_rest(&mut fields, sweep, &shape, &mut proposal, options),
        };
        self.evaluations += end.evaluations;
        put(&shape, &proposal, self.field.shape(), which, &mut self.proposal);
        which.iter().zip(&end.residuals).for_each(|(sample, residual)| self.residuals[*sample] = *residual);
    }

    /// Those of some samples whose proposal stands up to inspection.
    fn accepted(&mut self, which: &[usize]) -> Vec<usize> {
        let led = self.led(which);
        if self.inspection == Inspection::Way {
            return led;
        }
        // Plain sweeps come to rest only where every mode decays, unless below a pooling some other coupling leads back.
        let sure = self.sweep.as_ref().is_some_and(|sweep| sweep.reciprocal || !sweep.own);
        let (mut accepted, open): (Vec<_>, Vec<_>) =
            led.into_iter().partition(|sample| sure && self.rested[*sample]);
        accepted.extend(self.stable(&open));
        accepted
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
        let (decay, products) = modes_decay(&*linear, self.sweep.as_ref(), PRODUCTS, &way);
        self.evaluations += products;
        for (sample, _) in which.iter().zip(&decay).filter(|(_, decays)| !**decays) {
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

    /// Proposes and inspects, and relaxes what fails, with waits that double, so that no more than half of the relaxation is in vain.
    fn settle_all(&mut self, settle: &Settle, tick: u64) -> Result<Stop> {
        let (shape, total, tolerance) = (self.field.shape().clone(), steps(settle), settle.tolerance::<T>());
        let first = (FOR_A_DIGIT * -tolerance.log10()).max(FOR_A_DIGIT) as u64;
        let mut rest: Vec<usize> = (0..shape.batch).collect();
        let mut stop = Stop::Settled;
        let mut relaxed_for = BEGUN;
        loop {
            let known = |trial: &Self, sample: usize| trial.residuals[sample] <= tolerance;
            let unknown: Vec<usize> = rest.iter().copied().filter(|sample| !known(self, *sample)).collect();
            let most = match relaxed_for {
                BEGUN => first,
                later if later >= first => first / 2,
                _ => 0,
            };
            self.propose(&unknown, settle, most.min(total - relaxed_for));
            let proposed: Vec<usize> = rest.iter().copied().filter(|sample| known(self, *sample)).collect();
            let accepted = self.accepted(&proposed);
            rest.retain(|sample| !accepted.contains(sample));
            if rest.is_empty() {
                return Ok(stop);
            }
            let now = relaxed_for.min(total - relaxed_for);
            let part = shape.with_batch(rest.len());
            let (state, force) = self.relax_on(&rest, now, settle, tick + relaxed_for)?;
            relaxed_for += now;
            put(&part, &state, &shape, &rest, &mut self.relaxed);
            put(&part, &force, &shape, &rest, &mut self.force);
            let sizes: Vec<f64> = (0..rest.len()).map(|place| largest(&part, place, &force)).collect();
            let arrived = |place: usize| sizes[place] <= tolerance;
            let over = relaxed_for >= total;
            for place in (0..rest.len()).filter(|place| arrived(*place) || over) {
                let (one, sample) = (part.with_batch(1), rest[place]);
                put(&one, &part.select(&[place], &state), &shape, &[sample], &mut self.proposal);
                self.residuals[sample] = sizes[place];
                if !arrived(place) {
                    stop = Stop::TimeLimit;
                }
            }
            if over {
                return Ok(stop);
            }
            rest = (0..rest.len()).filter(|place| !arrived(*place)).map(|place| rest[place]).collect();
            if rest.is_empty() {
                return Ok(stop);
            }
        }
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
fn put<T: Copy>(part: &StateShape, from: &[T], shape: &StateShape, places: &[usize], to: &mut [T]) {
    for (place, sample) in places.iter().enumerate() {
        for (from_column, to_column) in part.sample(place).zip(shape.sample(*sample)) {
            to[to_column].copy_from_slice(&from[from_column]);
        }
    }
}
