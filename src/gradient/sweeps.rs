//! Free equilibria by sweeps: the layers in two sets, one evaluated at the new values of the other.
//!
//! The map of a sweep is contracting at an equilibrium only where relaxation comes to rest there: of two sets with one time constant
//! its eigenvalues are the squares of those of the coupling, and of a symmetric coupling it goes down the energy as relaxation does. Where
//! layers also depend on their own state, it is the Gauss–Seidel iteration, which of a symmetric J converges just where J is negative
//! definite (Reich 1949; Ostrowski 1954), unless a layer's dependence on itself has a slope below −1. What plain sweeps reach is
//! therefore as stable as what is waited for, and no mode of it needs to be looked at. Of a J that is not symmetric, below a pooling, this
//! is not proved, and they are no longer than is needed to see that they are quick.
//!
//! Momentum keeps this. A sweep from s + m (s − s′), with s′ the state before s, multiplies a mode of eigenvalue λ by the roots μ of
//! μ² − λ (1 + m) μ + λ m; on |μ| = 1 it is |λ| = 1 / |1 + m − m μ̄| ≤ 1, so that no mode decays with a momentum that grows without. Of real
//! λ between 0 and 1 − ε, sweeps with the best m go as far in √(1/ε) steps as plain ones in 1/ε (Nesterov 1983); m = k/(k + 3), begun anew
//! where the last step led uphill, needs no ε to be known (O'Donoghue & Candès 2015). It is 0.6 at most: modes of λ above
//! 4 m / (1 + m)² = 0.94, the slowest ones, do not overshoot.

use crate::numerics::anderson::{Accelerated, Options, fixed_point};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::{Field, Sweep};

/// Sweeps, at most: where layers do not depend on their own state an inspection takes half as many products.
const BRIEF: u64 = 16;
/// Sweeps with momentum, at most.
const LONG: u64 = 96;
/// What sweeps lead to that contract by so much every time needs no comparison with relaxation.
const QUICK: f64 = 0.3;
/// Sweeps after which a sample is left to acceleration that would not arrive in time.
const SEEN: u64 = 3;

/// Where plain sweeps have led.
pub(super) struct Swept<T> {
    /// The state, laid out as the field's.
    pub state: Vec<T>,
    /// The last change of each sample that has arrived; infinite for others.
    pub residuals: Vec<f64>,
    /// Whether every sweep of a sample has contracted so quickly that there is no question where relaxation leads.
    pub quick: Vec<bool>,
    /// Evaluations of the right-hand side.
    pub evaluations: u64,
}

impl<T: Scalar> Swept<T> {
    /// No sweep at all.
    pub fn nothing(shape: &StateShape, start: Option<&[T]>) -> Self {
        let state = start.map_or_else(|| vec![T::zero(); shape.len()], <[T]>::to_vec);
        let batch = shape.batch;
        Self { state, residuals: vec![f64::INFINITY; batch], quick: vec![true; batch], evaluations: 0 }
    }
}

/// How far sweeps go.
struct Rule {
    /// Whether they gain momentum.
    gains: bool,
    tolerance: f64,
    /// Sweeps, at most.
    most: u64,
}

/// How a sample has fared.
#[derive(Clone, Copy)]
struct Course {
    /// Change by the last sweep, and the least so far.
    change: f64,
    least: f64,
    /// As it was when last looked at, and what part of it was left then of the one before.
    seen: f64,
    left: f64,
    quick: bool,
    /// Steps with momentum since it was begun.
    gained: Option<u64>,
}

impl Course {
    const BEGUN: Self = Self {
        change: f64::INFINITY,
        least: f64::INFINITY,
        seen: f64::INFINITY,
        left: 0.0,
        quick: true,
        gained: None,
    };
    /// Sweeps with momentum between two looks at what is left: changes rise and fall a little from one to the next.
    const LOOK: u64 = 16;
    /// A change so many times the least before is more than that: the state leaves one place for another, and which one, sweeps and
    /// relaxation may see differently.
    const GROWN: f64 = 1.25;

    /// Part of the last step by which the next sweep's start is ahead.
    fn momentum(self) -> f64 {
        const PLAIN: f64 = 3.0;
        const MOST: f64 = 0.6;
        self.gained.map_or(0.0, |k| (k as f64 / (k as f64 + PLAIN)).min(MOST))
    }

    /// Notes what the sweep of number `done` has changed, and whether it led back `uphill`; tells whether others are to follow.
    fn goes_on(&mut self, rule: &Rule, done: u64, change: f64, uphill: impl FnOnce() -> bool) -> bool {
        let more = (rule.most - done) as f64;
        let ratio = change / self.change;
        let grown = change > Self::GROWN * self.least;
        (self.change, self.least) = (change, self.least.min(change));
        self.quick &= done < SEEN || ratio <= QUICK;
        if rule.gains && !self.quick {
            self.gained = Some(self.gained.filter(|_| !uphill()).map_or(0, |k| k + 1));
        }
        if done.is_multiple_of(Self::LOOK) {
            (self.left, self.seen) = (change / self.seen, change);
        }
        // As many sweeps more, each with the effect of those that were last seen.
        let at_end = match rule.gains {
            true if self.seen.is_infinite() => 0.0,
            true => self.seen * self.left.powf(more / Self::LOOK as f64),
            false => change * ratio.powf(more),
        };
        let steady = if rule.gains { !grown } else { ratio <= QUICK };
        change.is_finite() && (done < SEEN || (steady && at_end <= rule.tolerance))
    }
}

/// Sweeps without acceleration, of each sample as long as it will arrive: of a reciprocal coupling below a pooling with momentum once they
/// are not quick, of others as long as they are.
pub(super) fn sweep_plainly<'a, T: Scalar>(
    field: &mut Box<dyn Field<'a, T> + 'a>,
    sweep: &Sweep,
    tolerance: f64,
    start: Option<&[T]>,
    most: u64,
) -> Swept<T> {
    let all = field.shape().clone();
    let mut swept = Swept::nothing(&all, start);
    let which: Vec<usize> = (0..all.batch).collect();
    let mut fields = Narrowing::new(field, &which);
    let gains = sweep.own && sweep.reciprocal;
    let rule = Rule { gains, tolerance, most: most.min(if gains { LONG } else { BRIEF }) };
    let (mut active, mut courses) = (which.clone(), vec![Course::BEGUN; all.batch]);
    let mut state = swept.state.clone();
    let [mut before, mut begun, mut out] = [(); 3].map(|()| state.clone());
    for done in 1..=rule.most {
        let shape = all.with_batch(active.len());
        if gains {
            for (place, sample) in active.iter().enumerate() {
                go_ahead(&shape, place, courses[*sample].momentum(), &mut before, &mut state);
            }
        }
        begun.clone_from(&state);
        run(&mut fields, &active, sweep, &shape, (&mut state, &mut out));
        swept.evaluations += 1;
        let mut left = Vec::new();
        for (place, sample) in active.iter().enumerate() {
            let change = largest_change(&shape, place, &begun, &state);
            let uphill = || leads_uphill(&shape, place, [&before, &begun, &state]);
            let goes_on = courses[*sample].goes_on(&rule, done, change, uphill);
            if change <= tolerance && done > 1 {
                swept.residuals[*sample] = change;
                copy(&shape, place, &state, &all, *sample, &mut swept.state);
            } else if goes_on {
                left.push(place);
            }
        }
        if left.is_empty() {
            break;
        }
        if left.len() < active.len() {
            [state, before] = [state, before].map(|vector| shape.select(&left, &vector));
            out.truncate(state.len());
            active = left.into_iter().map(|place| active[place]).collect();
        }
    }
    swept.quick = courses.iter().map(|course| course.quick).collect();
    swept
}

/// Moves one sample ahead from its state by a part of the step that led there; what it was is before now.
fn go_ahead<T: Scalar>(shape: &StateShape, sample: usize, part: f64, before: &mut [T], state: &mut [T]) {
    let part = T::of(part);
    for column in shape.sample(sample) {
        for (state, before) in state[column.clone()].iter_mut().zip(&mut before[column]) {
            let step = *state - *before;
            *before = *state;
            *state += part * step;
        }
    }
}

/// Whether a sweep of one sample turns back from where its last step led: from the state before, the one from which the sweep set out,
/// and where it has led.
fn leads_uphill<T: Scalar>(shape: &StateShape, sample: usize, [before, begun, state]: [&[T]; 3]) -> bool {
    let product = |column: std::ops::Range<usize>| {
        let moved = before[column.clone()].iter().zip(&begun[column.clone()]).zip(&state[column]);
        moved
            .map(|((before, begun), state)| (*state - *begun) * (*state - *before))
            .fold(T::zero(), |a, b| a + b)
    };
    shape.sample(sample).map(|column| product(column).double()).sum::<f64>() < 0.0
}

/// One sweep of a state, in place.
fn run<T: Scalar>(
    fields: &mut Narrowing<'_, '_, T>,
    active: &[usize],
    sweep: &Sweep,
    shape: &StateShape,
    (state, out): (&mut [T], &mut [T]),
) {
    for layers in [&sweep.first, &sweep.then] {
        fields.of(active).target_of(layers, state, out);
        layers.iter().for_each(|layer| state[shape.layer(*layer)].copy_from_slice(&out[shape.layer(*layer)]));
    }
}

/// Largest |a − b| of one sample; infinite where one is not a number.
fn largest_change<T: Scalar>(shape: &StateShape, sample: usize, a: &[T], b: &[T]) -> f64 {
    let changes = shape.sample(sample).flat_map(|column| a[column.clone()].iter().zip(&b[column]));
    let largest = changes.map(|(a, b)| (*a - *b).abs()).fold(T::zero(), |m, x| if x <= m { m } else { x });
    if largest.is_nan() { f64::INFINITY } else { largest.double() }
}

/// Copies one sample from where it lies to where it shall lie.
fn copy<T: Copy>(
    shape: &StateShape,
    place: usize,
    from: &[T],
    to_shape: &StateShape,
    sample: usize,
    to: &mut [T],
) {
    for (from_column, to_column) in shape.sample(place).zip(to_shape.sample(sample)) {
        to[to_column].copy_from_slice(&from[from_column]);
    }
}

/// The field of some samples, and of fewer and fewer of them.
pub(super) struct Narrowing<'f, 'a, T: Scalar> {
    field: &'f mut Box<dyn Field<'a, T> + 'a>,
    narrow: Option<Box<dyn Field<'a, T> + 'a>>,
    which: &'f [usize],
}

impl<'f, 'a, T: Scalar> Narrowing<'f, 'a, T> {
    /// The field of these samples of a field.
    pub fn new(field: &'f mut Box<dyn Field<'a, T> + 'a>, which: &'f [usize]) -> Self {
        Self { field, narrow: None, which }
    }

    /// The field of those at some places of `which`: once of fewer, never again of more.
    pub fn of(&mut self, active: &[usize]) -> &mut (dyn Field<'a, T> + 'a) {
        let width = self.narrow.as_ref().unwrap_or(self.field).shape().batch;
        if active.len() < width {
            let places: Vec<usize> = active.iter().map(|place| self.which[*place]).collect();
            self.narrow = Some(self.field.select(&places));
        }
        &mut **self.narrow.as_mut().unwrap_or(self.field)
    }
}

/// Accelerates sweeps, from a state of some samples that receives where they end. One set of layers alone is iterated where the state of
/// the other is a function of it.
pub(super) fn sweep_to_rest<T: Scalar>(
    fields: &mut Narrowing<'_, '_, T>,
    sweep: &Sweep,
    shape: &StateShape,
    end: &mut [T],
    options: Options,
) -> Accelerated {
    let iterated: Vec<usize> =
        (0..shape.layers()).filter(|layer| sweep.own || sweep.then.contains(layer)).collect();
    let part = shape.with_layers(&iterated);
    let mut x = vec![T::zero(); part.len()];
    shape.gather(&iterated, end, &mut x);
    let (mut state, mut out) = (end.to_vec(), end.to_vec());
    let map = |active: &[usize], s: &[T], g: &mut [T]| {
        let now = shape.with_batch(active.len());
        let (state, out) = (&mut state[..now.len()], &mut out[..now.len()]);
        now.spread(&iterated, s, state);
        run(fields, active, sweep, &now, (&mut *state, out));
        now.gather(&iterated, state, g);
        // A sample's last sweep is that of the state at which it has arrived.
        for (layer, (place, sample)) in
            sweep.first.iter().flat_map(|layer| active.iter().enumerate().map(move |sample| (*layer, sample)))
        {
            for rail in 0..shape.rails {
                end[shape.column(layer, rail, *sample)]
                    .copy_from_slice(&state[now.column(layer, rail, place)]);
            }
        }
    };
    let ended = fixed_point(&part, map, &mut x, options);
    for layer in &sweep.then {
        let place = iterated.iter().take_while(|other| *other != layer).count();
        end[shape.layer(*layer)].copy_from_slice(&x[part.layer(place)]);
    }
    ended
}

#[cfg(test)]
mod tests {
    use num_complex::Complex;
    use proptest::prelude::*;

    use super::{Course, Rule, go_ahead, largest_change, leads_uphill};
    use crate::numerics::state::StateShape;

    /// Sweeps of the linear map s ← λ s + 1 − λ for each of some λ, from rest, until they change nothing any more; none if they are given up.
    fn sweeps(modes: &[f64], gains: bool) -> Option<u64> {
        let shape = StateShape::block(modes.len(), 1, 1);
        let rule = Rule { gains, tolerance: 1e-4, most: 400 };
        let mut course = Course::BEGUN;
        let [mut state, mut before] = [(); 2].map(|()| vec![0.0; modes.len()]);
        for done in 1..=rule.most {
            go_ahead(&shape, 0, course.momentum(), &mut before, &mut state);
            let begun = state.clone();
            state.iter_mut().zip(modes).for_each(|(s, mode)| *s = mode * *s + 1.0 - mode);
            let change = largest_change(&shape, 0, &begun, &state);
            let goes_on =
                course.goes_on(&rule, done, change, || leads_uphill(&shape, 0, [&before, &begun, &state]));
            if change <= rule.tolerance {
                return Some(done);
            }
            if gains && !goes_on {
                return None;
            }
        }
        None
    }

    #[test]
    fn slow_modes_take_fewer_sweeps_with_momentum_and_growing_ones_never_arrive() {
        for slowest in [0.9, 0.95, 0.97] {
            let modes = [0.1, 0.3, 0.6, slowest];
            let (plain, gained) = (sweeps(&modes, false).unwrap(), sweeps(&modes, true).unwrap());
            assert!(2 * gained < plain, "{slowest}: {gained} sweeps, {plain} without momentum");
        }
        assert_eq!(sweeps(&[0.1, 0.6, 1.02], true), None);
    }

    proptest! {
        /// What a mode is multiplied by in a step with momentum, by the quadratic formula: a mode that plain sweeps let grow grows.
        #[test]
        fn momentum_hides_no_mode_that_grows(size in 1.0..3.0, angle in 0.0..std::f64::consts::TAU, gained in 0_u64..200) {
            let course = Course { gained: Some(gained), ..Course::BEGUN };
            let (m, lambda) = (course.momentum(), Complex::from_polar(size, angle));
            let (half, root) = (lambda * (1.0 + m) / 2.0, (lambda * lambda * (1.0 + m).powi(2) / 4.0 - lambda * m).sqrt());
            prop_assert!((half + root).norm().max((half - root).norm()) >= 1.0 - 1e-12);
        }
    }
}
