//! Free equilibria by sweeps: the layers in two sets, one evaluated at the new values of the other.
//!
//! The map of a sweep is contracting at an equilibrium only where relaxation comes to rest there: of two sets with one time constant
//! its eigenvalues are the squares of those of the coupling, and of a symmetric coupling it goes down the energy as relaxation does. Where
//! layers also depend on their own state, it is the Gauss–Seidel iteration, which of a symmetric J converges just where J is negative
//! definite (Reich 1949; Ostrowski 1954), unless a layer's dependence on itself has a slope below −1. What plain sweeps reach is
//! therefore as stable as what is waited for, and no mode of it needs to be looked at. Of a J that is not symmetric, below a pooling, this is not proved.

use crate::numerics::anderson::{Accelerated, Options, fixed_point};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::{Field, Sweep};

/// How long plain sweeps go on.
struct Patience {
    /// Sweeps, at most.
    most: u64,
    /// Largest part of a sweep's change that the next one may have.
    contraction: f64,
}

/// Where layers do not depend on their own state, so that an inspection takes half as many products.
const BRIEF: Patience = Patience { most: 16, contraction: QUICK };
/// Where they do, as below a pooling.
const LONG: Patience = Patience { most: 64, contraction: 0.95 };
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

/// Sweeps without acceleration, of each sample as long as every sweep changes it by so much less than the last one that it will arrive.
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
    let (mut active, mut changes) = (which.clone(), vec![f64::INFINITY; all.batch]);
    let mut state = swept.state.clone();
    let mut out = state.clone();
    let patience = if sweep.own { LONG } else { BRIEF };
    for done in 1..=patience.most.min(most) {
        let shape = all.with_batch(active.len());
        let before = state.clone();
        run(&mut fields, &active, sweep, &shape, (&mut state, &mut out));
        swept.evaluations += 1;
        let mut goes_on = Vec::new();
        for (place, sample) in active.iter().enumerate() {
            let change = largest_change(&shape, place, &before, &state);
            let ratio = change / changes[*sample];
            changes[*sample] = change;
            swept.quick[*sample] &= done < SEEN || ratio <= QUICK;
            if change <= tolerance && done > 1 {
                swept.residuals[*sample] = change;
                copy(&shape, place, &state, &all, *sample, &mut swept.state);
            } else if done < SEEN
                || (ratio <= patience.contraction
                    && change * ratio.powf((patience.most - done) as f64) <= tolerance)
            {
                goes_on.push(place);
            }
        }
        if goes_on.is_empty() {
            break;
        }
        if goes_on.len() < active.len() {
            state = shape.select(&goes_on, &state);
            out.truncate(state.len());
            active = goes_on.into_iter().map(|place| active[place]).collect();
        }
    }
    swept
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
