//! Implicit one-step methods for stiff fields that solve for their stages.

use super::{Integrator, VectorField};
use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Time;

/// A diagonally implicit method whose last stage is the step: γ, then the row of each stage without it.
pub struct Implicit<T> {
    step: f64,
    gamma: f64,
    rows: &'static [&'static [f64]],
    nodes: &'static [f64],
    /// h · ds/dt of every stage.
    slopes: Vec<Vec<T>>,
    known: Vec<T>,
}

/// Rows and nodes of the L-stable SDIRK method of order 4 with five stages and γ = 1/4 (Hairer & Wanner, Solving Ordinary Differential
/// Equations II, 2nd ed. 1996, table IV.6.5).
const ROWS: [&[f64]; 5] = [
    &[],
    &[1.0 / 2.0],
    &[17.0 / 50.0, -1.0 / 25.0],
    &[371.0 / 1360.0, -137.0 / 2720.0, 15.0 / 544.0],
    &[25.0 / 24.0, -49.0 / 48.0, 125.0 / 16.0, -85.0 / 12.0],
];
const NODES: [f64; 5] = [1.0 / 4.0, 3.0 / 4.0, 11.0 / 20.0, 1.0 / 2.0, 1.0];

impl<T: Scalar> Implicit<T> {
    /// The method of order 4.
    #[must_use]
    pub fn sdirk4(step: f64, len: usize) -> Self {
        Self::new(step, 0.25, (&ROWS, &NODES), len)
    }

    /// Implicit Euler.
    #[must_use]
    pub fn euler(step: f64, len: usize) -> Self {
        Self::new(step, 1.0, (&[&[]], &[1.0]), len)
    }

    fn new(
        step: f64,
        gamma: f64,
        (rows, nodes): (&'static [&'static [f64]], &'static [f64]),
        len: usize,
    ) -> Self {
        let slopes = vec![vec![T::zero(); len]; rows.len()];
        Self { step, gamma, rows, nodes, slopes, known: vec![T::zero(); len] }
    }
}

impl<T: Scalar> Integrator<T> for Implicit<T> {
    fn lost(&self, h: f64) -> f64 {
        1.0 - (-h).exp()
    }

    fn step(
        &mut self,
        field: &mut dyn VectorField<T>,
        tick: u64,
        state: &mut Vec<T>,
        _: &mut Vec<T>,
    ) -> Result<()> {
        let span = self.gamma * self.step;
        let inverse = T::of(1.0 / self.gamma);
        let start = state.clone();
        for (stage, (row, fraction)) in self.rows.iter().zip(self.nodes).enumerate() {
            self.known.copy_from_slice(&start);
            for (weight, slope) in row.iter().zip(&self.slopes) {
                let weight = T::of(*weight);
                self.known.iter_mut().zip(slope).for_each(|(k, s)| *k += weight * *s);
            }
            let time = Time { tick, fraction: *fraction };
            if !field.solve_stage(time, span, &self.known, state)? {
                return Err(Error::Internal(
                    "an implicit method on a field that solves for no stages".into(),
                ));
            }
            let slope = &mut self.slopes[stage];
            for ((s, y), k) in slope.iter_mut().zip(state.iter()).zip(&self.known) {
                *s = inverse * (*y - *k);
            }
        }
        Ok(())
    }
}
