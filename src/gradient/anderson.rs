//! Anderson acceleration of a fixed-point map, sample by sample over a whole batch (Anderson 1965; Walker & Ni 2011).

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use crate::krylov::dot;
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
    let len = x.len();
    let zeros = || vec![T::zero(); len];
    let (mut f, mut last_x, mut last_f) = (zeros(), zeros(), zeros());
    let mut memory: Vec<Difference<T>> = Vec::with_capacity(MEMORY);
    let mut samples: Vec<History> = (0..shape.batch).map(|_| History::default()).collect();
    let columns: Vec<Vec<Range<usize>>> = (0..shape.batch).map(|s| columns(shape, len, s)).collect();
    let mut evaluations = 0;
    loop {
        map(x, &mut f);
        let iteration = evaluations as usize;
        evaluations += 1;
        for (f, x) in f.iter_mut().zip(x.iter()) {
            *f -= *x;
        }
        let sizes: Vec<f64> = columns.iter().map(|columns| largest(columns, &f)).collect();
        let residual = sizes.iter().copied().fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
        if residual <= tolerance || evaluations >= most || !residual.is_finite() {
            return Accelerated { evaluations, residual };
        }
        let slot = iteration.checked_sub(1).map(|last| last % MEMORY);
        if slot == Some(memory.len()) {
            memory.push(Difference { step: zeros(), f: zeros() });
        }
        let moving = samples.iter_mut().zip(&columns).zip(&sizes).filter(|(_, size)| **size > tolerance);
        for ((sample, columns), size) in moving {
            let weights = slot.map_or_else(Vec::new, |slot| {
                memory[slot].set(columns, mixing, (x, &last_x), (&f, &last_f));
                let (products, overlaps) = products(&memory, slot, columns, &f);
                sample.learn(slot, &products);
                sample.weights(iteration, *size, &overlaps)
            });
            for column in columns {
                last_x[column.clone()].copy_from_slice(&x[column.clone()]);
                last_f[column.clone()].copy_from_slice(&f[column.clone()]);
            }
            advance(&memory, &weights, columns, mixing, &f, x);
        }
    }
}

/// What an iteration has changed, all samples together.
struct Difference<T> {
    /// Δx + m Δf, with m the mixing.
    step: Vec<T>,
    /// Δf.
    f: Vec<T>,
}

impl<T: Scalar> Difference<T> {
    /// Sets one sample to the difference between now and the last iteration.
    fn set(
        &mut self,
        columns: &[Range<usize>],
        mixing: f64,
        (x, last_x): (&[T], &[T]),
        (f, last_f): (&[T], &[T]),
    ) {
        let mixing = T::of(mixing);
        for column in columns {
            let (x, last_x) = (&x[column.clone()], &last_x[column.clone()]);
            let (f, last_f) = (&f[column.clone()], &last_f[column.clone()]);
            let (step, df) = (&mut self.step[column.clone()], &mut self.f[column.clone()]);
            for ((df, f), last) in df.iter_mut().zip(f).zip(last_f) {
                *df = *f - *last;
            }
            for (((step, df), x), last) in step.iter_mut().zip(df).zip(x).zip(last_x) {
                *step = *x - *last + mixing * *df;
            }
        }
    }
}

/// Where one sample lies in any number of states, one after the other.
fn columns(shape: &StateShape, len: usize, sample: usize) -> Vec<Range<usize>> {
    let states = (0..len).step_by(shape.len().max(1));
    states.flat_map(|from| shape.sample(sample).map(move |c| from + c.start..from + c.end)).collect()
}

/// ⟨Δf_i, Δf_slot⟩ and ⟨Δf_i, f⟩ of one sample, for every i: each Δf is read once.
fn products<T: Scalar>(
    memory: &[Difference<T>],
    slot: usize,
    columns: &[Range<usize>],
    f: &[T],
) -> (Vec<f64>, Vec<f64>) {
    let (mut products, mut overlaps) = (vec![0.0; memory.len()], vec![0.0; memory.len()]);
    widest(
        #[inline(always)]
        || {
            for column in columns {
                let (new, f) = (&memory[slot].f[column.clone()], &f[column.clone()]);
                for ((product, overlap), other) in products.iter_mut().zip(&mut overlaps).zip(memory) {
                    let other = &other.f[column.clone()];
                    *product += dot(other, new);
                    *overlap += dot(other, f);
                }
            }
        },
    );
    (products, overlaps)
}

/// x + m f − Σ γ_i (Δx_i + m Δf_i) of one sample.
fn advance<T: Scalar>(
    memory: &[Difference<T>],
    weights: &[f64],
    columns: &[Range<usize>],
    mixing: f64,
    f: &[T],
    x: &mut [T],
) {
    let mixing = T::of(mixing);
    widest(
        #[inline(always)]
        || {
            for column in columns {
                let x = &mut x[column.clone()];
                x.iter_mut().zip(&f[column.clone()]).for_each(|(x, f)| *x += mixing * *f);
                for (weight, difference) in weights.iter().zip(memory) {
                    let weight = T::of(*weight);
                    x.iter_mut().zip(&difference.step[column.clone()]).for_each(|(x, d)| *x -= weight * *d);
                }
            }
        },
    );
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
    /// Takes note of ⟨Δf_i, Δf_slot⟩ for every i.
    fn learn(&mut self, slot: usize, products: &[f64]) {
        for (i, product) in products.iter().enumerate() {
            self.gram[(i, slot)] = *product;
            self.gram[(slot, i)] = *product;
        }
    }

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

/// Largest magnitude of one sample; not a number if any element is.
fn largest<T: Scalar>(columns: &[Range<usize>], v: &[T]) -> f64 {
    widest(
        #[inline(always)]
        || {
            let found = columns.iter().map(|column| largest_magnitude(&v[column.clone()]));
            found.fold(0.0, |a: f64, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })
        },
    )
}
