//! A circuit linearised at free equilibria.

use nalgebra::DMatrix;
use num_complex::Complex;

use super::field::{gather, scatter};
use super::matrix::Number;
use super::programmed::Programmed;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::Linear;

/// ∂F/∂V of every sample.
pub(super) struct Tangent<'a, T> {
    substrate: &'a Programmed,
    shape: StateShape,
    tau: Vec<T>,
    matrices: Vec<Vec<f64>>,
}

impl<'a, T: Scalar> Tangent<'a, T> {
    pub fn new(substrate: &'a Programmed, shape: StateShape, matrices: Vec<Vec<f64>>) -> Self {
        let mut tau = vec![T::zero(); shape.len()];
        (0..shape.batch).for_each(|sample| scatter(&shape, sample, substrate.tau(), &mut tau));
        Self { substrate, shape, tau, matrices }
    }

    fn apply<N: Number>(&self, layout: Layout, v: &[T], out: &mut [T]) {
        let shape = self.shape.with_rails(v.len() / self.shape.len());
        let pattern = self.substrate.pattern();
        let mut column = vec![N::real(0.0); pattern.size()];
        for (sample, matrix) in self.matrices.iter().enumerate() {
            gather(&shape, sample, v, &mut column);
            let mut product = column.clone();
            match layout {
                Layout::Plain => pattern.multiply(matrix, &column, &mut product),
                Layout::Transposed => pattern.multiply_transposed(matrix, &column, &mut product),
            }
            scatter(&shape, sample, &product, out);
        }
    }

    /// Solves (i·rate·τ − F′) x = right, or with its transpose; whether all of them are regular.
    fn invert<N: Number>(&self, layout: Layout, rate: f64, right: &[T], solution: &mut [T]) -> bool {
        let shape = self.shape.with_rails(right.len() / self.shape.len());
        let pattern = self.substrate.pattern();
        let mut column = vec![N::real(0.0); pattern.size()];
        for (sample, matrix) in self.matrices.iter().enumerate() {
            let mut values: Vec<N> = matrix.iter().map(|m| N::real(-m)).collect();
            for (place, tau) in pattern.diagonal().iter().zip(self.substrate.tau()) {
                values[*place] += N::of(0.0, rate * tau);
            }
            let Some(factors) = pattern.factors(&values) else { return false };
            gather(&shape, sample, right, &mut column);
            match layout {
                Layout::Plain => factors.solve(&mut column),
                Layout::Transposed => factors.solve_transposed(&mut column),
            }
            scatter(&shape, sample, &column, solution);
        }
        true
    }
}

impl<T: Scalar> Linear<T> for Tangent<'_, T> {
    fn shape(&self) -> &StateShape {
        &self.shape
    }

    fn tau(&self) -> &[T] {
        &self.tau
    }

    fn target(&self, layout: Layout, v: &[T], out: &mut [T], _: &mut [T]) {
        if v.len() == self.shape.len() {
            self.apply::<f64>(layout, v, out);
        } else {
            self.apply::<Complex<f64>>(layout, v, out);
        }
    }

    fn pass_back(&self, right: &[T], solution: &mut [T]) -> bool {
        self.invert::<f64>(Layout::Transposed, 0.0, right, solution)
    }

    fn solve(&self, corrected: bool, rate: f64, right: &[T], solution: &mut [T]) -> bool {
        let layout = if corrected { Layout::Transposed } else { Layout::Plain };
        if right.len() == self.shape.len() {
            self.invert::<f64>(layout, 0.0, right, solution)
        } else {
            self.invert::<Complex<f64>>(layout, rate, right, solution)
        }
    }

    fn integrated(&self, corrected: bool, v: &[T], out: &mut [T], scratch: &mut [T]) {
        let layout = if corrected { Layout::Transposed } else { Layout::Plain };
        self.target(layout, v, out, scratch);
    }

    fn corrected(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        self.target(Layout::Transposed, v, out, scratch);
    }

    fn observe(&self, v: &[T], out: &mut [T]) {
        out.copy_from_slice(v);
    }

    fn cost_slope(&self, output_error: &[T]) -> Vec<T> {
        let output = &self.substrate.circuit().output;
        let block = StateShape::block(output.nodes.len(), self.shape.batch, 1);
        let mut errors = vec![0.0; output.nodes.len()];
        let mut all = vec![T::zero(); self.shape.len()];
        for sample in 0..self.shape.batch {
            gather(&block, sample, output_error, &mut errors);
            let mut slope = vec![0.0; self.substrate.pattern().size()];
            for ((a, b), e) in output.nodes.iter().zip(&errors) {
                slope[*a] += e;
                if let Some(b) = b {
                    slope[*b] -= e;
                }
            }
            scatter(&self.shape, sample, &slope, &mut all);
        }
        all
    }

    fn teaching(&self, output_error: &[T]) -> Vec<T> {
        self.cost_slope(output_error).into_iter().map(|c| -c).collect()
    }

    fn jacobian(&self, sample: usize) -> DMatrix<f64> {
        let pattern = self.substrate.pattern();
        let mut jacobian = DMatrix::zeros(pattern.size(), pattern.size());
        for (i, j, place) in pattern.iter() {
            jacobian[(i, j)] = self.matrices[sample][place];
        }
        jacobian
    }
}
