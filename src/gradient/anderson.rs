//! Anderson acceleration of a fixed-point map, sample by sample over a whole batch (Anderson 1965; Walker & Ni 2011).

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;

use crate::krylov::{inner, subtract};
use crate::scalar::Scalar;
use crate::substrate::kernels::widest;
use crate::substrate::state::StateShape;

/// Differences that are remembered.
const MEMORY: usize = 8;

/// How an accelerated iteration ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Accelerated {
    /// Evaluations of the map.
    pub evaluations: u64,
    /// Largest |g(x) − x| over the samples.
    pub residual: f64,
}

/// Iterates x ← g(x) until every sample has max |g(x) − x| ≤ `tolerance`, or `most` evaluations, or a value that is not
/// finite. A sample that has arrived is frozen, so that its result does not depend on the others.
///
/// `x` holds any number of states laid out as `shape`, one after the other (harmonics, say). `mixing` is the part of a
/// step that is taken where nothing is remembered yet: the damping of the plain iteration.
pub(super) fn fixed_point<T: Scalar>(
    shape: &StateShape,
    mut map: impl FnMut(&[T], &mut [T]),
    x: &mut [T],
    (mixing, tolerance): (f64, f64),
    most: u64,
) -> Accelerated {
    let zeros = || vec![T::zero(); x.len()];
    let (mut image, mut last_x, mut last_f) = (zeros(), zeros(), zeros());
    // Δx_i + m Δf_i, and Δf_i.
    let mut memory: Vec<(Vec<T>, Vec<T>)> = Vec::new();
    let damping = T::of(mixing);
    let mut samples: Vec<History> = (0..shape.batch).map(|_| History::default()).collect();
    let mut evaluations = 0;
    loop {
        map(x, &mut image);
        let iteration = evaluations as usize;
        evaluations += 1;
        for (f, x) in image.iter_mut().zip(x.iter()) {
            *f -= *x;
        }
        let f = &image;
        let sizes = largest(shape, f);
        let residual = sizes.iter().copied().fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
        if residual <= tolerance || evaluations >= most || !residual.is_finite() {
            return Accelerated { evaluations, residual };
        }
        if iteration > 0 {
            let slot = (iteration - 1) % MEMORY;
            let difference = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| *a - *b).collect::<Vec<T>>();
            let df = difference(f, &last_f);
            let mut step = difference(x, &last_x);
            step.iter_mut().zip(&df).for_each(|(s, d)| *s += damping * *d);
            let step = (step, df);
            if memory.len() == slot {
                memory.push(step)
            } else {
                memory[slot] = step
            }
            for (i, (_, other)) in memory.iter().enumerate() {
                let products = real_inner(shape, other, &memory[slot].1);
                for (sample, product) in samples.iter_mut().zip(products) {
                    sample.gram[(i, slot)] = product;
                    sample.gram[(slot, i)] = product;
                }
            }
        }
        let overlaps: Vec<Vec<f64>> = memory.iter().map(|(_, df)| real_inner(shape, df, f)).collect();
        let weights: Vec<Vec<f64>> = (samples.iter_mut().zip(&sizes).enumerate())
            .map(|(s, (sample, size))| {
                let overlaps: Vec<f64> = overlaps.iter().map(|o| o[s]).collect();
                sample.weights(iteration, *size, &overlaps)
            })
            .collect();
        last_x.copy_from_slice(x);
        last_f.copy_from_slice(f);
        // x + m f − Σ γ_i (Δx_i + m Δf_i), for the samples that are still on their way.
        let moving = |s: usize, factor: f64| if sizes[s] > tolerance { factor } else { 0.0 };
        let each = |factor: &dyn Fn(usize) -> f64| -> Vec<Complex<f64>> {
            (0..shape.batch).map(|s| Complex::new(moving(s, factor(s)), 0.0)).collect()
        };
        subtract_all(shape, &each(&|_| -mixing), f, x);
        for (i, (step, _)) in memory.iter().enumerate() {
            subtract_all(shape, &each(&|s| weights[s][i]), step, x);
        }
    }
}

/// What one sample remembers.
struct History {
    /// ⟨Δf_i, Δf_j⟩.
    gram: DMatrix<f64>,
    /// First iteration whose differences count.
    since: usize,
    best: f64,
}

impl Default for History {
    fn default() -> Self {
        Self { gram: DMatrix::zeros(MEMORY, MEMORY), since: 0, best: f64::INFINITY }
    }
}

impl History {
    /// γ = argmin |f − ΔF γ|, zero for what has been forgotten.
    fn weights(&mut self, iteration: usize, size: f64, overlaps: &[f64]) -> Vec<f64> {
        const SETBACK: f64 = 100.0;
        self.best = self.best.min(size);
        if size > SETBACK * self.best {
            // The secants no longer describe the map: begin again from here.
            (self.since, self.best) = (iteration, size);
        }
        // Slot i holds the difference between iterations j and j + 1, with j the latest below this one that is i modulo MEMORY.
        let made = |slot: usize| iteration - 1 - (iteration - 1 - slot) % MEMORY;
        let valid: Vec<usize> = (0..overlaps.len())
            .filter(|&slot| made(slot) >= self.since && self.gram[(slot, slot)] > 0.0)
            .collect();
        let mut weights = vec![0.0; overlaps.len()];
        if valid.is_empty() {
            return weights;
        }
        let scale = |i: usize| self.gram[(valid[i], valid[i])].sqrt();
        let n = valid.len();
        let scaled = DMatrix::from_fn(n, n, |i, j| {
            let ridge = if i == j { 1e-13 } else { 0.0 };
            self.gram[(valid[i], valid[j])] / (scale(i) * scale(j)) + ridge
        });
        let right = DVector::from_fn(n, |i, _| overlaps[valid[i]] / scale(i));
        if let Some(solution) = scaled.lu().solve(&right) {
            for (i, slot) in valid.iter().enumerate() {
                weights[*slot] = solution[i] / scale(i);
            }
        }
        weights
    }
}

fn real_inner<T: Scalar>(shape: &StateShape, a: &[T], b: &[T]) -> Vec<f64> {
    let mut sums = vec![0.0; shape.batch];
    for (a, b) in a.chunks_exact(shape.len()).zip(b.chunks_exact(shape.len())) {
        for (sum, product) in sums.iter_mut().zip(inner(shape, a, b)) {
            *sum += product.re;
        }
    }
    sums
}

fn subtract_all<T: Scalar>(shape: &StateShape, factor: &[Complex<f64>], v: &[T], out: &mut [T]) {
    for (v, out) in v.chunks_exact(shape.len()).zip(out.chunks_exact_mut(shape.len())) {
        subtract(shape, factor, v, out);
    }
}

#[inline(always)]
fn largest_magnitude<T: Scalar>(values: &[T]) -> f64 {
    let mut largest = [T::zero(); 16];
    let mut sane = true;
    for chunk in values.chunks(16) {
        for (most, x) in largest.iter_mut().zip(chunk) {
            let x = x.abs();
            sane &= !x.is_nan();
            *most = if x > *most { x } else { *most };
        }
    }
    if sane { largest.iter().map(|x| x.double()).fold(0.0, f64::max) } else { f64::NAN }
}

/// Largest magnitude of each sample; not a number if any element is.
fn largest<T: Scalar>(shape: &StateShape, v: &[T]) -> Vec<f64> {
    let mut sizes = vec![0.0_f64; shape.batch];
    for state in v.chunks_exact(shape.len()) {
        for layer in 0..shape.layers() {
            for rail in 0..shape.rails {
                for (sample, size) in sizes.iter_mut().enumerate() {
                    let column = &state[shape.column(layer, rail, sample)];
                    let found = widest(
                        #[inline(always)]
                        || largest_magnitude(column),
                    );
                    *size = if found.is_nan() || size.is_nan() { f64::NAN } else { size.max(found) };
                }
            }
        }
    }
    sizes
}
