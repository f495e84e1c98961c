//! The truth: implicit differentiation at the free equilibrium, or backpropagation through time from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description};
use super::equilibrium::{self, Settle};
use super::work::{self, Foreseen, Work};
use super::{Diagnostics, Estimate, Estimator, Setting, columns, matrices};
use crate::error::{Invalid, Result};
use crate::numerics::krylov::{Solved, gmres};
use crate::numerics::scalar::{Layout, Scalar};
use crate::substrate::Product;
use crate::substrate::local::Local;
use crate::substrate::samples::Samples;

/// The adjoint gradient −λᵀ F_θ with Jᵀ λ = ρ′ ∂C/∂a (recurrent backpropagation: Almeida, Pineda 1987). Where no connection leads back
/// the free equilibrium is the forward pass of a feed-forward network, and this is plain backpropagation: one pass each way.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adjoint {
    /// How λ is found.
    pub solver: Solver,
    /// How the free equilibrium is waited for.
    pub settle: Settle,
}

/// How the adjoint equation is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// GMRES to machine precision, matrix-free; one pass back where no connection leads back.
    #[default]
    Gmres,
    /// Backpropagation through so many steps of the discrete map at its fixed point (the papers' ground truth).
    Bptt {
        /// How many steps.
        #[schemars(range(min = 1))]
        steps: u64,
    },
}

impl Description for Adjoint {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        if self.solver == (Solver::Bptt { steps: 0 }) {
            return Err(Invalid::new("solver.bptt.steps", "found 0", "at least 1 step"));
        }
        self.settle.validate().map_err(|e| e.under("settle"))
    }

    fn demands(&self) -> Demands {
        Demands::default()
    }

    fn work(&self, of: Foreseen) -> Work {
        let solved = match self.solver {
            Solver::Gmres if of.feed_forward => 1.0,
            Solver::Gmres => work::ACCELERATED,
            Solver::Bptt { steps } => steps as f64,
        };
        Work {
            evaluations: of.free(&self.settle) + solved,
            rails: 1.0,
            linear: solved,
            states: solved.min(work::ACCELERATED),
            ..Work::default()
        }
    }
}

impl<T: Scalar> Estimator<T> for Adjoint {
    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        _state: &mut Vec<T>,
    ) -> Result<Estimate<T>> {
        // The truth is a property of the weights: it is taken without noise.
        let quiet = Setting { noise: None, ..*setting };
        let shape = setting.substrate.shape(samples.count, 1);
        let free = equilibrium::free(&quiet, samples, &self.settle)?;
        let linear = setting.substrate.linearise(samples, Some(&free.drive), &free.rates);
        let cost_slope = linear.cost_slope(&free.output_error);
        let mut right = vec![T::zero(); shape.len()];
        linear.observe_transposed(&cost_slope, &mut right);
        right.iter_mut().for_each(|x| *x = -*x);
        let mut scratch = vec![T::zero(); shape.len()];
        let mut error_vector = right.clone();
        let mut diagnostics = Diagnostics::frozen(free.evaluations, free.residual, free.stop);
        match self.solver {
            // Without connections that lead back it is backpropagation.
            Solver::Gmres if linear.pass_back(&right, &mut error_vector) => diagnostics.rhs_evaluations += 1,
            Solver::Gmres => {
                const MOST: u64 = 3000;
                let tolerance = 20.0 * T::epsilon().double();
                let asked = (tolerance, MOST);
                let elsewhere =
                    linear.solve_elsewhere(Product::Transposed, 0.0, &right, &mut error_vector, asked);
                // (1 − D Wᵀ) λ = −D ∂C/∂a
                let apply = |v: &[T], out: &mut [T]| {
                    linear.target(Layout::Transposed, v, out, &mut scratch);
                    out.iter_mut().zip(v).for_each(|(o, v)| *o = *v - *o);
                };
                let solved = elsewhere.map(|(products, residual)| Solved { products, residual });
                let solved = solved
                    .unwrap_or_else(|| gmres(&shape, apply, &right, &mut error_vector, tolerance, MOST));
                diagnostics.solved(solved, tolerance);
            }
            Solver::Bptt { steps } => {
                let mut next = vec![T::zero(); shape.len()];
                for _ in 1..steps {
                    linear.target(Layout::Transposed, &error_vector, &mut next, &mut scratch);
                    error_vector.iter_mut().zip(next.iter().zip(&right)).for_each(|(e, (n, r))| *e = *n + *r);
                }
                diagnostics.rhs_evaluations += steps;
            }
        }
        linear.currents(&mut error_vector);
        let local =
            Local { error_vector: &error_vector, free: &free.rates, output_error: &free.output_error };
        diagnostics.slowest_rate = setting.probe_rate(samples, &free.rates);
        Ok(Estimate {
            gradient: setting.substrate.gradient(&shape, samples, &local),
            quadrature: None,
            free: matrices(&shape, &free.rates),
            error_vector: matrices(&shape, &error_vector),
            output_error: columns(samples.count, &free.output_error),
            nudged: Vec::new(),
            diagnostics,
        })
    }
}
