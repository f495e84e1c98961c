//! Connections with a delay: what has been sent and has not arrived yet.

use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// What arrives over the connections with a delay: rates of a while ago, as they are told ([`Self::hear`]) or kept from step to step
/// ([`Self::keep`]).
pub(super) struct Line<T> {
    /// The delays, each once, in nominal τ.
    delays: Vec<f64>,
    /// The rates of so long ago, laid out as the state.
    heard: Vec<Vec<T>>,
    ring: Option<Ring<T>>,
}

/// The rates at the last ticks of a clock.
struct Ring<T> {
    /// The delays in steps.
    steps: Vec<u64>,
    /// Rates of one tick after the other, each as long as the state.
    slots: Vec<T>,
    /// Ticks that are held.
    count: u64,
    /// The tick of the present step, on a clock of its own that begins at `count`, before which the past lies.
    now: u64,
    /// Whether the rates at its start are still to come.
    due: bool,
    /// Whether there is a past; before that the network has been for all time where it begins.
    has_past: bool,
}

/// The number of steps that a delay takes.
fn steps(delay: f64, step: f64) -> u64 {
    (delay / step).round().max(1.0) as u64
}

/// Ticks that the longest of some delays needs: interpolation at half a step asks for three beside the two around it.
fn slots(steps: &[u64]) -> u64 {
    steps.iter().max().map_or(0, |longest| longest + 3)
}

impl<T: Scalar> Line<T> {
    /// What arrives is told, for a state of `len` numbers.
    pub(super) fn told(delays: &[f64], len: usize) -> Self {
        Self { delays: delays.to_vec(), heard: vec![vec![T::zero(); len]; delays.len()], ring: None }
    }

    /// What arrives was sent on a clock of steps of `step` τ. `carried` is a state of `len` numbers with or without what [`Self::append_to`] has
    /// left behind it, which is taken off.
    pub(super) fn kept(delays: &[f64], step: f64, len: usize, carried: &mut Vec<T>) -> Self {
        let steps: Vec<u64> = delays.iter().map(|delay| steps(*delay, step)).collect();
        let count = slots(&steps);
        let past = count as usize * len;
        let has_past = carried.len() == len + past;
        let slots = if has_past { carried.split_off(len) } else { vec![T::zero(); past] };
        let ring = Ring { steps, slots, count, now: count - 1, due: false, has_past };
        Self { ring: Some(ring), ..Self::told(delays, len) }
    }

    /// Begins a step of the clock.
    pub(super) fn begin_step(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        ring.now += 1;
        ring.due = true;
    }

    /// Takes in the rates of the state under evaluation, and makes what arrives that of the moment.
    pub(super) fn keep(&mut self, time: Time, rates: &[T]) {
        let Some(ring) = &mut self.ring else { return };
        if time.fraction == 0.0 && std::mem::take(&mut ring.due) {
            ring.take_in(rates);
        }
        for (steps, heard) in ring.steps.iter().zip(&mut self.heard) {
            ring.at(*steps, time.fraction, heard);
        }
    }

    /// What arrives after one of the delays, to be told: rates, laid out as the state.
    pub(super) fn hear(&mut self, which: usize) -> &mut [T] {
        &mut self.heard[which]
    }

    /// What arrives after a delay; none after one of zero.
    pub(super) fn heard(&self, delay: f64) -> Option<&[T]> {
        let place = self.delays.iter().position(|other| *other == delay)?;
        Some(&self.heard[place])
    }

    /// Leaves what is on its way behind a state: rates at the last ticks, the oldest first.
    pub(super) fn append_to(&self, state: &mut Vec<T>) {
        let Some(ring) = self.ring.as_ref().filter(|ring| ring.has_past) else { return };
        for ago in (0..ring.count).rev() {
            state.extend_from_slice(ring.slot(ring.now - ago));
        }
    }
}

impl<T: Scalar> Ring<T> {
    fn range(&self, tick: u64) -> std::ops::Range<usize> {
        let len = self.slots.len() / self.count as usize;
        let start = (tick % self.count) as usize * len;
        start..start + len
    }

    fn slot(&self, tick: u64) -> &[T] {
        &self.slots[self.range(tick)]
    }

    fn take_in(&mut self, rates: &[T]) {
        if std::mem::replace(&mut self.has_past, true) {
            let range = self.range(self.now);
            self.slots[range].copy_from_slice(rates);
        } else {
            self.slots.chunks_exact_mut(rates.len()).for_each(|slot| slot.copy_from_slice(rates));
        }
    }

    /// The rates of so many steps ago: at a tick, or half-way between two by the cubic through four, which keeps the order of `rk4`.
    fn at(&self, steps: u64, fraction: f64, out: &mut [T]) {
        let then = self.now - steps;
        if fraction == 0.0 || fraction == 1.0 {
            return out.copy_from_slice(self.slot(then + u64::from(fraction == 1.0)));
        }
        // The present tick is the last that is known.
        let (first, weights) =
            if steps > 1 { (then - 1, [-1.0, 9.0, 9.0, -1.0]) } else { (then - 2, [1.0, -5.0, 15.0, 5.0]) };
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| self.slot(first + k));
        let [p, q, r, s] = weights.map(|weight| T::of(weight / 16.0));
        for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *out = p * *a + q * *b + r * *c + s * *d;
        }
    }
}

#[cfg(test)]
mod tests;
