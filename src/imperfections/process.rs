//! Random processes with a memory, of unit variance: what they are worth through a step of the clock, and where they stand after it.

use super::noise::{Rails, fill};
use crate::numerics::rng::NoiseKey;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// A slow component of 1/f noise is drawn anew this many times in its correlation time, and held in between.
const UPDATES: f64 = 8.0;

/// Below this h/T the conditional variance of a mean is told by its power series: the closed form cancels.
const SMALL: f64 = 1e-2;

/// The law of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Law {
    /// Ornstein–Uhlenbeck, the mean of each step.
    OrnsteinUhlenbeck,
    /// Ornstein–Uhlenbeck; where it is slower than the clock, its value at a tick is held until an eighth of the correlation time
    /// has passed.
    Component,
    /// Random telegraph signal, the mean of each step.
    Telegraph,
}

/// Random numbers of one tick for every element of a layout.
pub(super) struct Draws<'a> {
    pub key: NoiseKey,
    pub tick: u64,
    pub rails: Rails,
    pub shape: &'a StateShape,
    /// Place of the first sample in its batch.
    pub first: usize,
    /// Whether all samples see the draws of one.
    pub shared: bool,
}

impl Draws<'_> {
    /// Normal numbers; each row of a tick has its own.
    pub fn normals<T: Scalar>(&self, row: usize, out: &mut [T]) {
        self.fill(row, |lane, column| self.key.normals(self.tick, lane, column), out);
    }

    /// Uniform numbers; each row of a tick has its own.
    fn uniforms<T: Scalar>(&self, row: usize, out: &mut [T]) {
        self.fill(row, |lane, column| self.key.uniforms(self.tick, lane, column), out);
    }

    fn fill<T: Scalar>(&self, row: usize, draw: impl Fn(u64, &mut [T]), out: &mut [T]) {
        let place = |sample: usize| if self.shared { 0 } else { self.first + sample };
        fill(self.rails, row, self.shape, place, draw, out);
    }
}

/// One process for every element of a layout.
#[derive(Debug, Clone)]
pub(super) struct Process<T> {
    law: Law,
    /// Correlation or dwell time, in nominal τ.
    time: f64,
    /// Place among `count` processes, which names its random numbers.
    place: usize,
    count: usize,
    step: f64,
    /// What a step makes of it.
    weights: Weights<T>,
    /// What each element is worth; empty before it has begun.
    state: Vec<T>,
    /// Ticks for which `state` has been held.
    held: u64,
    /// Time beside them that has passed since `state`.
    gap: f64,
}

/// What a step makes of a process.
#[derive(Debug, Clone, Copy)]
enum Weights<T> {
    /// The state is held for `stride` ticks.
    Held { stride: u64 },
    /// The end is `keep` of the start and `fresh` of a normal number; the mean `centre` of both ends and `spread` of another.
    Mean { keep: T, fresh: T, centre: T, spread: T },
    /// Expected jumps in a step.
    Jumps { rate: T },
}

impl<T: Scalar> Process<T> {
    /// A process that has not begun, `place` of `count`.
    pub fn new(law: Law, time: f64, (place, count): (usize, usize)) -> Self {
        let weights = Weights::Held { stride: 1 };
        Self { law, time, place, count, step: 0.0, weights, state: Vec::new(), held: 0, gap: 0.0 }
    }

    /// Sets the length of a tick, in nominal τ.
    pub fn set_step(&mut self, step: f64) {
        self.pass(0.0);
        self.step = step;
        let ratio = step / self.time;
        let stride = (self.time / (UPDATES * step)) as u64;
        self.weights = match self.law {
            Law::Component if stride > 1 => Weights::Held { stride },
            Law::Telegraph => Weights::Jumps { rate: T::of(ratio) },
            _ => {
                let ((keep, fresh), (centre, spread)) = (end(ratio), mean(ratio));
                Weights::Mean {
                    keep: T::of(keep),
                    fresh: T::of(fresh),
                    centre: T::of(centre),
                    spread: T::of(spread),
                }
            }
        };
    }

    /// Lets time pass, of which nothing is seen.
    pub fn pass(&mut self, time: f64) {
        self.gap += self.held as f64 * self.step + time;
        self.held = 0;
    }

    /// The state, and the time that has passed since.
    pub fn memory(&self) -> (&[T], f64) {
        (&self.state, self.gap + self.held as f64 * self.step)
    }

    /// Goes on from a state, and the time that has passed since.
    pub fn remember(&mut self, state: Vec<T>, gap: f64) {
        (self.state, self.gap, self.held) = (state, gap, 0);
    }

    /// Makes room for elements that have not begun, which are drawn; `copy` brings those that have to their places.
    pub fn grow(&mut self, draws: &Draws<'_>, copy: impl Fn(&[T], &mut [T])) {
        if self.state.is_empty() {
            return;
        }
        let (before, held, gap) = (std::mem::take(&mut self.state), self.held, self.gap);
        self.begin(draws);
        copy(&before, &mut self.state);
        (self.held, self.gap) = (held, gap);
    }

    /// Adds `std` times what each element is worth through the step that begins now, and moves to its end.
    pub fn advance(&mut self, draws: &Draws<'_>, std: T, [one, other]: [&mut [T]; 2], sum: &mut [T]) {
        if self.state.is_empty() {
            self.begin(draws);
        } else if self.gap > 0.0 {
            self.pass(0.0);
            self.leap(self.gap, draws, self.row(2), one);
        }
        match self.weights {
            Weights::Held { stride } => {
                if self.held == stride {
                    self.leap(stride as f64 * self.step, draws, self.row(0), one);
                }
                self.held += 1;
                sum.iter_mut().zip(&self.state).for_each(|(sum, x)| *sum += std * *x);
            }
            Weights::Mean { keep, fresh, centre, spread } => {
                draws.normals(self.row(0), one);
                draws.normals(self.row(1), other);
                for ((sum, x), (z, y)) in sum.iter_mut().zip(&mut self.state).zip(one.iter().zip(other)) {
                    let end = keep * *x + fresh * *z;
                    *sum += std * (centre * (*x + end) + spread * *y);
                    *x = end;
                }
            }
            Weights::Jumps { rate } => self.jump(rate, draws, std, [one, other], sum),
        }
    }

    /// Which random numbers of a tick are its own for a purpose: 0 for the end of a step, 1 for its mean, 2 for what lies
    /// before it, 3 and more for the jumps within it.
    fn row(&self, purpose: usize) -> usize {
        purpose * (self.count + 1) + self.place
    }

    /// Draws the stationary state.
    fn begin(&mut self, draws: &Draws<'_>) {
        self.state = vec![T::zero(); draws.shape.len()];
        (self.held, self.gap) = (0, 0.0);
        if self.law != Law::Telegraph {
            draws.normals(self.row(2), &mut self.state);
            return;
        }
        draws.uniforms(self.row(2), &mut self.state);
        self.state.iter_mut().for_each(|x| *x = if *x < T::of(0.5) { T::one() } else { -T::one() });
        if draws.rails == Rails::Real {
            for layer in 0..draws.shape.layers() {
                let imaginary = draws.shape.real(layer).end..draws.shape.layer(layer).end;
                self.state[imaginary].fill(T::zero());
            }
        }
    }

    /// Moves the state by a time.
    fn leap(&mut self, time: f64, draws: &Draws<'_>, row: usize, scratch: &mut [T]) {
        (self.held, self.gap) = (0, 0.0);
        if self.law == Law::Telegraph {
            // Each level is left at rate 1/T: an odd number of jumps has probability ½(1 − e^{−2t/T}).
            let chance = T::of(-0.5 * (-2.0 * time / self.time).exp_m1());
            draws.uniforms(row, scratch);
            self.state.iter_mut().zip(scratch).filter(|(_, u)| **u < chance).for_each(|(x, _)| *x = -*x);
            return;
        }
        let (keep, fresh) = end(time / self.time);
        let (keep, fresh) = (T::of(keep), T::of(fresh));
        draws.normals(row, scratch);
        self.state.iter_mut().zip(scratch).for_each(|(x, z)| *x = keep * *x + fresh * *z);
    }

    /// Jump after jump of one step, until all elements have come to its end.
    fn jump(&mut self, rate: T, draws: &Draws<'_>, std: T, [left, uniforms]: [&mut [T]; 2], sum: &mut [T]) {
        for (left, x) in left.iter_mut().zip(&self.state) {
            *left = if *x == T::zero() { T::zero() } else { T::one() };
        }
        let mut round = 3;
        while left.iter().any(|left| *left > T::zero()) {
            draws.uniforms(self.row(round), uniforms);
            round += 1;
            let levels = self.state.iter_mut().zip(left.iter_mut()).zip(uniforms.iter().zip(sum.iter_mut()));
            for ((x, left), (u, sum)) in levels.filter(|((_, left), _)| **left > T::zero()) {
                let stay = -(T::one() - *u).ln() / rate;
                *sum += std * *x * stay.min(*left);
                if stay < *left {
                    *x = -*x;
                }
                *left -= stay;
            }
        }
    }
}

/// What an Ornstein–Uhlenbeck process keeps of itself after r correlation times, and how much is new.
fn end(r: f64) -> (f64, f64) {
    ((-r).exp(), (-(-2.0 * r).exp_m1()).sqrt())
}

/// The mean of an Ornstein–Uhlenbeck process over r correlation times, given both its ends: its weight of each, tanh(r/2)/r, and
/// its standard deviation around them, √(2(r − 2 tanh(r/2)))/r.
fn mean(r: f64) -> (f64, f64) {
    let tanh = (0.5 * r).tanh();
    let variance = if r < SMALL { r * (1.0 - 0.1 * r * r) / 6.0 } else { 2.0 * (r - 2.0 * tanh) / (r * r) };
    (if r > 0.0 { tanh / r } else { 0.5 }, variance.sqrt())
}
