//! (ikωτ − J) of a substrate at rest, and its inverse.

use super::Setting;
use super::equilibrium::{Equilibrium, complexified};
use crate::numerics::krylov::{Solved, gmres, gmres_shifted};
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::samples::Samples;
use crate::substrate::{Linear, Product};

/// Products with J in one linear solve.
const MOST_PRODUCTS: u64 = 3000;

/// (ikωτ − J) and its inverse.
pub(super) struct Resolvent<'a, T: Scalar> {
    at_rest: Box<dyn Linear<T> + 'a>,
    /// Layout of a real state.
    pub shape: StateShape,
    pub drive_rate: f64,
    /// Whether the coupling's asymmetry is corrected: Kᵀ takes the place of K.
    pub corrected: bool,
    /// Delays of connections, each once, in nominal τ.
    pub delays: Vec<f64>,
}

/// The variable whose equation is solved: the one that the response is told in, or the one that is integrated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Variable {
    Resolvent,
    Integrated,
}

impl<'a, T: Scalar> Resolvent<'a, T> {
    pub fn new(
        setting: &Setting<'a, T>,
        samples: &Samples<T>,
        free: &Equilibrium<T>,
        drive_rate: f64,
    ) -> Self {
        let at_rest = setting.substrate.linearise(samples, Some(&free.drive), &free.rates);
        let (shape, delays) = (at_rest.shape().clone(), at_rest.delays());
        Self { shape, delays, at_rest, drive_rate, corrected: false }
    }

    /// out = (ikωτ) v, complex.
    pub fn turn(&self, harmonic: usize, v: &[T], out: &mut [T]) {
        let complex = self.shape.with_rails(2);
        let rate = T::of(self.drive_rate * harmonic as f64);
        for layer in 0..complex.layers() {
            let range = complex.layer(layer);
            let half = range.len() / 2;
            let (re, im) = v[range.clone()].split_at(half);
            let (out_re, out_im) = out[range].split_at_mut(half);
            let tau = &self.at_rest.tau()[self.shape.layer(layer)];
            for ((((o_re, o_im), x), y), tau) in out_re.iter_mut().zip(out_im).zip(re).zip(im).zip(tau) {
                *o_re = -(rate * *tau * *y);
                *o_im = rate * *tau * *x;
            }
        }
    }

    /// out = −J v, for a real or complex v; `scratch` is as long as v.
    fn decay(&self, variable: Variable, v: &[T], out: &mut [T], scratch: &mut [T]) {
        match (variable, self.corrected) {
            (Variable::Resolvent, false) => self.at_rest.target(Layout::Plain, v, out, scratch),
            (Variable::Resolvent, true) => self.at_rest.corrected(v, out, scratch),
            (Variable::Integrated, corrected) => self.at_rest.integrated(corrected, v, out, scratch),
        }
        out.iter_mut().zip(v).for_each(|(o, v)| *o = *v - *o);
    }

    /// As [`Self::solve`], of a substrate that has a way of its own, or whose products are computed elsewhere; x begins with the start.
    fn solve_apart(
        &self,
        variable: Variable,
        harmonic: usize,
        right: &[T],
        x: &mut [T],
        tolerance: f64,
    ) -> Option<Solved> {
        let rate = self.drive_rate * harmonic as f64;
        if self.at_rest.solve(self.corrected, rate, right, x) {
            return Some(Solved { products: 1, residual: 0.0 });
        }
        let product = match (variable, self.corrected) {
            (Variable::Resolvent, false) => Product::Target,
            (Variable::Resolvent, true) => Product::Corrected,
            (Variable::Integrated, corrected) => Product::Integrated { corrected },
        };
        let solved = self.at_rest.solve_elsewhere(product, rate, right, x, (tolerance, MOST_PRODUCTS))?;
        Some(Solved { products: solved.0, residual: solved.1 })
    }

    /// Solves (ikωτ − J) x = right from a start, complex, or real without a frequency.
    pub fn solve(
        &self,
        variable: Variable,
        harmonic: usize,
        right: &[T],
        mut x: Vec<T>,
        tolerance: f64,
    ) -> (Vec<T>, Solved) {
        if let Some(solved) = self.solve_apart(variable, harmonic, right, &mut x, tolerance) {
            return (x, solved);
        }
        let shape = self.shape.with_rails(right.len() / self.shape.len());
        let turns = shape.rails == 2 && self.drive_rate * harmonic as f64 != 0.0;
        let (mut scratch, mut turned) = (right.to_vec(), vec![T::zero(); right.len()]);
        let apply = |v: &[T], out: &mut [T]| {
            self.decay(variable, v, out, &mut scratch);
            if turns {
                self.turn(harmonic, v, &mut turned);
                out.iter_mut().zip(&turned).for_each(|(o, t)| *o += *t);
            }
            if turns && !self.delays.is_empty() {
                turned.fill(T::zero());
                self.at_rest.add_delays(self.drive_rate * harmonic as f64, v, &mut turned, &mut scratch);
                out.iter_mut().zip(&turned).for_each(|(o, t)| *o -= *t);
            }
        };
        let solved = gmres(&shape, apply, right, &mut x, tolerance, MOST_PRODUCTS);
        (x, solved)
    }

    /// Solves (iω − J/τ) x = right/τ, right real and x complex, as far as real directions go.
    fn solve_with_real_directions(&self, right: &[T], tolerance: f64) -> (Vec<T>, u64) {
        let per_tau = |v: &mut [T]| v.iter_mut().zip(self.at_rest.tau()).for_each(|(v, tau)| *v /= *tau);
        let mut scratch = right.to_vec();
        let mut right_per_tau = right.to_vec();
        per_tau(&mut right_per_tau);
        let apply = |v: &[T], out: &mut [T]| {
            self.decay(Variable::Resolvent, v, out, &mut scratch);
            per_tau(out);
        };
        gmres_shifted(&self.shape, apply, self.drive_rate, &right_per_tau, tolerance)
    }

    /// c₁[a]/|β| = ρ′ (iωτ − J)⁻¹ F_β, complex: the same in both forms.
    pub fn response(&self, output_error: &[T], tolerance: f64) -> (Vec<T>, Solved) {
        let mut drive = self.at_rest.teaching(output_error);
        // The response to a frozen drive is real.
        if self.drive_rate == 0.0 {
            let start = vec![T::zero(); drive.len()];
            let (potentials, solved) = self.solve(Variable::Resolvent, 1, &drive, start, tolerance);
            self.at_rest.observe(&potentials, &mut drive);
            return (complexified(&self.shape, &drive), solved);
        }
        let mut rates = complexified(&self.shape, &drive);
        let mut begun = vec![T::zero(); rates.len()];
        if let Some(solved) = self.solve_apart(Variable::Resolvent, 1, &rates, &mut begun, tolerance) {
            self.at_rest.observe(&begun, &mut rates);
            return (rates, solved);
        }
        let (start, products) = if self.delays.is_empty() {
            self.solve_with_real_directions(&drive, tolerance)
        } else {
            // What arrives late is turned: no real direction stays one.
            (vec![T::zero(); rates.len()], 0)
        };
        let (potentials, solved) = self.solve(Variable::Resolvent, 1, &rates, start, tolerance);
        self.at_rest.observe(&potentials, &mut rates);
        (rates, Solved { products: products + solved.products, ..solved })
    }
}
