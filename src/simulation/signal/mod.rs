//! Inputs that change in time: what is added to each of them at a moment of the integer clock.

mod spec;

pub use spec::{InputSignal, Interpolation, PerInput};

use crate::error::Result;
use crate::files::Tensors;
use crate::imperfections::fluctuation::Fluctuation;
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::teaching::Time;

/// How a checkpoint calls it.
const NAME: &str = "waveform";

/// A signal on a clock. All samples of a batch see the same.
#[derive(Debug, Clone)]
pub struct Signal<T: Scalar> {
    course: Continuation<T>,
    peak: f64,
    /// The moment of `values`, or the first one of which they are true.
    moment: Option<Time>,
    /// What is added to each input.
    values: Vec<T>,
}

/// How it goes on.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a run has one signal")]
enum Continuation<T: Scalar> {
    /// a sin(2π · pace · (tick + fraction) + φ).
    Sinusoid { amplitudes: Vec<f64>, phases: Vec<f64>, pace: f64 },
    /// Row k from tick k · stride on.
    Held { rows: Vec<Vec<f64>>, stride: u64, repeat: bool },
    /// Row k at (tick + fraction) · pace = k, and straight lines between them.
    Lines { rows: Vec<Vec<f64>>, pace: f64, repeat: bool },
    /// A random process, whose value belongs to the step.
    Noise(Fluctuation<T>),
}

impl<T: Scalar> Signal<T> {
    /// A signal for so many inputs on a clock with steps of `step` nominal τ.
    ///
    /// # Panics
    /// If the signal is none that [`InputSignal::validate`] accepts.
    #[must_use]
    pub fn new(signal: &InputSignal, inputs: usize, step: f64) -> Self {
        let course = match signal {
            InputSignal::Sinusoid { amplitude, period, phase } => Continuation::Sinusoid {
                amplitudes: amplitude.of(inputs),
                phases: phase.of(inputs),
                pace: step / period,
            },
            InputSignal::Table { values, step: distance, interpolation, repeat, .. } => {
                let (rows, repeat) = (values.clone().expect("a table has its numbers"), *repeat);
                match interpolation {
                    Interpolation::Hold => {
                        Continuation::Held { rows, stride: (distance / step).round() as u64, repeat }
                    }
                    Interpolation::Linear => Continuation::Lines { rows, pace: step / distance, repeat },
                }
            }
            InputSignal::Noise { std, correlation_time, seed } => {
                let process = InputSignal::process(*std, *correlation_time);
                let key = NoiseKey::new(*seed, Purpose::InputSignal, 0);
                let mut noise = Fluctuation::new(process, key, 0, &StateShape::block(inputs, 1, 1));
                // What the integrator takes away in a step matters to white noise only.
                noise.set_step(step, step);
                Continuation::Noise(noise)
            }
        };
        Self { course, peak: signal.peak(), moment: None, values: vec![T::zero(); inputs] }
    }

    /// Goes to a moment; returns whether that has changed [`Self::values`]. Noise is taken step by step, each a tick later than the one
    /// before.
    pub fn advance(&mut self, time: Time) -> bool {
        let moment = match &self.course {
            Continuation::Sinusoid { .. } | Continuation::Lines { .. } => time,
            // The value belongs to the step: a stage at its end still sees it.
            Continuation::Held { stride, .. } => Time::at(time.tick - time.tick % stride),
            Continuation::Noise(_) => Time::at(time.tick),
        };
        if self.moment == Some(moment) {
            return false;
        }
        self.moment = Some(moment);
        let values = self.values.iter_mut();
        match &mut self.course {
            Continuation::Sinusoid { amplitudes, phases, pace } => {
                let turns = (time.tick as f64 * *pace).fract() + time.fraction * *pace;
                for ((value, a), phase) in values.zip(amplitudes).zip(phases) {
                    *value = T::of(*a * (std::f64::consts::TAU * turns + *phase).sin());
                }
            }
            Continuation::Held { rows, stride, repeat } => {
                let row = &rows[place(time.tick / *stride, rows.len(), *repeat)];
                values.zip(row).for_each(|(value, x)| *value = T::of(*x));
            }
            Continuation::Lines { rows, pace, repeat } => {
                let position = (time.tick as f64 + time.fraction) * *pace;
                let (before, part) = (position.floor(), position.fract());
                let row = |k: f64| &rows[place(k as u64, rows.len(), *repeat)];
                for ((value, x), y) in values.zip(row(before)).zip(row(before + 1.0)) {
                    *value = T::of(x + part * (y - x));
                }
            }
            Continuation::Noise(noise) => self.values.copy_from_slice(noise.advance(time.tick)),
        }
        true
    }

    /// What is added to each input.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// What no input is moved by more than.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.peak
    }

    /// Adds what it remembers to a checkpoint: of noise that has begun, where it stands.
    pub fn save(&self, tensors: &mut Tensors) {
        if let (Continuation::Noise(noise), Some(_)) = (&self.course, self.moment) {
            noise.save(NAME, tensors);
        }
    }

    /// Takes up what [`Self::save`] has written of the same signal.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for a checkpoint of another one.
    pub fn load(&mut self, tensors: &mut Tensors) -> Result<()> {
        match &mut self.course {
            Continuation::Noise(noise) if tensors.get(&format!("{NAME}/0")).is_some() => {
                noise.load(NAME, tensors)
            }
            _ => Ok(()),
        }
    }
}

/// The place of a row among `count`.
fn place(row: u64, count: usize, repeat: bool) -> usize {
    let last = count as u64 - 1;
    (if repeat { row % (last + 1) } else { row.min(last) }) as usize
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn signal(value: Value, inputs: usize, step: f64) -> Signal<f64> {
        Signal::new(&serde_json::from_value(value).unwrap(), inputs, step)
    }

    fn at(signal: &mut Signal<f64>, tick: u64, fraction: f64) -> Vec<f64> {
        signal.advance(Time { tick, fraction });
        signal.values().to_vec()
    }

    #[test]
    fn a_sinusoid_has_amplitudes_and_phases_of_its_own_for_each_input() {
        let value = json!({ "sinusoid": { "amplitude": [1.0, -2.0], "period": 5.0, "phase": [0.0, 1.0] } });
        let mut signal = signal(value, 2, 0.25);
        for (tick, fraction) in [(0, 0.0), (3, 0.5), (7, 1.0), (1_000_000, 0.25)] {
            let t = (tick as f64 + fraction) * 0.25;
            let angle = std::f64::consts::TAU * t / 5.0;
            for (found, expected) in
                at(&mut signal, tick, fraction).iter().zip([angle.sin(), -2.0 * (angle + 1.0).sin()])
            {
                assert!((found - expected).abs() < 1e-9, "{tick} + {fraction}: {found}, not {expected}");
            }
        }
        assert_eq!(signal.peak(), 2.0);
    }

    #[test]
    fn a_table_is_held_or_joined_by_lines_and_ends_or_repeats() {
        let rows = json!([[1.0], [3.0], [-1.0]]);
        let table = |interpolation: &str, repeat: bool| {
            let table =
                json!({ "values": rows, "step": 1.0, "interpolation": interpolation, "repeat": repeat });
            signal(json!({ "table": table }), 1, 0.5)
        };
        // At t = 0, ¼, ½, 1, 1½, 2, 2½, 3, 3½, 100.
        let times =
            [(0, 0.0), (0, 0.5), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (5, 0.0), (6, 0.0), (7, 0.0)];
        let course = |mut signal: Signal<f64>| -> Vec<f64> {
            times.iter().map(|(tick, fraction)| at(&mut signal, *tick, *fraction)[0]).collect()
        };
        assert_eq!(course(table("hold", false)), [1.0, 1.0, 1.0, 3.0, 3.0, -1.0, -1.0, -1.0, -1.0]);
        assert_eq!(course(table("hold", true)), [1.0, 1.0, 1.0, 3.0, 3.0, -1.0, -1.0, 1.0, 1.0]);
        assert_eq!(course(table("linear", false)), [1.0, 1.5, 2.0, 3.0, 1.0, -1.0, -1.0, -1.0, -1.0]);
        assert_eq!(course(table("linear", true)), [1.0, 1.5, 2.0, 3.0, 1.0, -1.0, 0.0, 1.0, 2.0]);
        // A stage at the end of a step sees the row of that step.
        assert_eq!(at(&mut table("hold", false), 1, 1.0), [1.0]);
        assert_eq!(at(&mut table("linear", false), 1, 1.0), [3.0]);
    }

    #[test]
    fn noise_stands_still_through_a_step_and_depends_on_its_seed() {
        let noise = |seed: u64| json!({ "noise": { "std": 0.5, "correlation_time": 2.0, "seed": seed } });
        let (mut a, mut b, mut other) =
            (signal(noise(1), 3, 0.5), signal(noise(1), 3, 0.5), signal(noise(2), 3, 0.5));
        for tick in 0..20 {
            assert!(a.advance(Time::at(tick)));
            assert!(!a.advance(Time { tick, fraction: 0.5 }) && !a.advance(Time { tick, fraction: 1.0 }));
            b.advance(Time { tick, fraction: 1.0 });
            other.advance(Time::at(tick));
            assert_eq!(a.values(), b.values());
            assert!(a.values() != other.values() && a.values()[0] != a.values()[1]);
        }
    }

    #[test]
    fn noise_goes_on_from_a_checkpoint() {
        let value = json!({ "noise": { "std": 0.5, "correlation_time": 2.0 } });
        let mut whole = signal(value.clone(), 3, 0.5);
        // Nothing is kept of what has not begun.
        let mut tensors = Tensors::new();
        whole.save(&mut tensors);
        assert_eq!(tensors.names().count(), 0);
        (0..7).for_each(|tick| assert!(whole.advance(Time::at(tick))));
        whole.save(&mut tensors);
        let mut resumed = signal(value, 3, 0.5);
        resumed.load(&mut tensors).unwrap();
        tensors.refuse_unused().unwrap();
        for tick in 7..12 {
            assert_eq!(at(&mut whole, tick, 0.0), at(&mut resumed, tick, 0.0));
        }
    }
}
