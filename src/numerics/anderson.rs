//! Anderson acceleration of a fixed-point map, sample by sample over a whole batch (Anderson 1965; Walker & Ni 2011).

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use crate::numerics::kernels::widest;
use crate::numerics::krylov::dot;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// Differences that are remembered.
pub(crate) const MEMORY: usize = 8;

/// How an accelerated iteration ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accelerated {
    /// Evaluations of the map.
    pub evaluations: u64,
    /// Largest |g(x) − x| of each sample.
    pub residuals: Vec<f64>,
}

impl Accelerated {
    /// Largest |g(x) − x|, not a number if that of any sample is not.
    pub fn residual(&self) -> f64 {
        self.residuals
            .iter()
            .copied()
            .fold(0.0, |a: f64, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })
    }
}

/// How an iteration is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Part of a step that is taken where nothing is remembered yet: the damping of the plain iteration.
    pub mixing: f64,
    /// Largest |g(x) − x| of a sample that has arrived.
    pub tolerance: f64,
    /// Most evaluations of the map.
    pub most: u64,
    /// Whether the map can be evaluated for some of the samples only.
    pub narrows: bool,
}

/// Iterates x ← g(x) until every sample has arrived, or `most` evaluations, or a value that is not finite. A sample that has
/// arrived is frozen, so that its result does not depend on the others.
///
/// `x` holds any number of states laid out as `shape`, one after the other (harmonics, say). The map is told which samples it
/// is given: all of them, or, if it `narrows`, without those that have arrived once they are a quarter.
pub(crate) fn fixed_point<T: Scalar>(
    shape: &StateShape,
    mut map: impl FnMut(&[usize], &[T], &mut [T]),
    x: &mut [T],
    Options { mixing, tolerance, most, narrows }: Options,
) -> Accelerated {
    let mut iterates = Iterates::new(shape.clone(), x.to_vec());
    let all = iterates.columns.clone();
    let mut active: Vec<usize> = (0..shape.batch).collect();
    let mut samples: Vec<History> = active.iter().map(|_| History::default()).collect();
    let mut end = Accelerated { evaluations: 0, residuals: vec![f64::INFINITY; shape.batch] };
    loop {
        map(&active, &iterates.x, &mut iterates.f);
        let iteration = end.evaluations as usize;
        end.evaluations += 1;
        for (f, x) in iterates.f.iter_mut().zip(&iterates.x) {
            *f -= *x;
        }
        for (sample, columns) in active.iter().zip(&iterates.columns) {
            end.residuals[*sample] = largest(columns, &iterates.f);
        }
        let residual = end.residual();
        let finished = residual <= tolerance || end.evaluations >= most || !residual.is_finite();
        let late: Vec<usize> =
            (0..active.len()).filter(|place| end.residuals[active[*place]] > tolerance).collect();
        let narrower = narrows && 4 * late.len() <= 3 * active.len();
        if finished || narrower {
            for (sample, columns) in active.iter().zip(&iterates.columns) {
                copy(columns, &iterates.x, &all[*sample], x);
            }
        }
        if finished {
            return end;
        }
        if narrower {
            iterates = iterates.select(&late);
            samples = late.iter().map(|place| std::mem::take(&mut samples[*place])).collect();
            active = late.iter().map(|place| active[*place]).collect();
        }
        let slot = iterates.make_room(iteration);
        for (place, (sample, history)) in active.iter().zip(&mut samples).enumerate() {
            let size = end.residuals[*sample];
            if size > tolerance {
                let weights = slot.map_or_else(Vec::new, |slot| {
                    let (products, overlaps) = iterates.remember(slot, place, mixing);
                    history.learn(slot, &products);
                    history.weights(iteration, size, &overlaps)
                });
                iterates.advance(place, &weights, mixing);
            }
        }
    }
}

/// Where an iteration stands: vectors of the samples that are still iterated.
struct Iterates<T> {
    shape: StateShape,
    /// Where each sample lies.
    columns: Vec<Vec<Range<usize>>>,
    x: Vec<T>,
    /// g(x) − x.
    f: Vec<T>,
    last_x: Vec<T>,
    last_f: Vec<T>,
    memory: Vec<Difference<T>>,
}

/// What an iteration has changed.
struct Difference<T> {
    /// Δx + m Δf, with m the mixing.
    step: Vec<T>,
    /// Δf.
    f: Vec<T>,
}

impl<T: Scalar> Iterates<T> {
    fn new(shape: StateShape, x: Vec<T>) -> Self {
        let columns = (0..shape.batch).map(|sample| columns(&shape, x.len(), sample)).collect();
        let zeros = || vec![T::zero(); x.len()];
        Self {
            shape,
            columns,
            f: zeros(),
            last_x: zeros(),
            last_f: zeros(),
            x,
            memory: Vec::with_capacity(MEMORY),
        }
    }

    /// The same with some of the samples only.
    fn select(&self, places: &[usize]) -> Self {
        let len = self.x.len() / self.shape.batch * places.len();
        let mut narrow = Self::new(self.shape.with_batch(places.len()), vec![T::zero(); len]);
        let gather = |from: &[T]| {
            let mut to = vec![T::zero(); len];
            for (place, columns) in places.iter().zip(&narrow.columns) {
                copy(&self.columns[*place], from, columns, &mut to);
            }
            to
        };
        let vectors = [&self.x, &self.f, &self.last_x, &self.last_f].map(|v| gather(v));
        let memory =
            self.memory.iter().map(|d| Difference { step: gather(&d.step), f: gather(&d.f) }).collect();
        [narrow.x, narrow.f, narrow.last_x, narrow.last_f] = vectors;
        Self { memory, ..narrow }
    }

    /// Where the difference that an iteration makes is remembered; none for the first.
    fn make_room(&mut self, iteration: usize) -> Option<usize> {
        let slot = iteration.checked_sub(1)? % MEMORY;
        if slot == self.memory.len() {
            let zeros = || vec![T::zero(); self.x.len()];
            self.memory.push(Difference { step: zeros(), f: zeros() });
        }
        Some(slot)
    }

    /// Remembers what has changed in one sample since the last iteration. Returns ⟨Δf_i, Δf_slot⟩ and ⟨Δf_i, f⟩ for every i.
    fn remember(&mut self, slot: usize, place: usize, mixing: f64) -> (Vec<f64>, Vec<f64>) {
        let mixing = T::of(mixing);
        let Self { columns, x, f, last_x, last_f, memory, .. } = self;
        let difference = &mut memory[slot];
        for column in &columns[place] {
            let (x, last_x) = (&x[column.clone()], &last_x[column.clone()]);
            let (f, last_f) = (&f[column.clone()], &last_f[column.clone()]);
            let (step, df) = (&mut difference.step[column.clone()], &mut difference.f[column.clone()]);
            for ((df, f), last) in df.iter_mut().zip(f).zip(last_f) {
                *df = *f - *last;
            }
            for (((step, df), x), last) in step.iter_mut().zip(df).zip(x).zip(last_x) {
                *step = *x - *last + mixing * *df;
            }
        }
        products(memory, slot, &columns[place], f)
    }

    /// x ← x + m f − Σ γ_i (Δx_i + m Δf_i) for one sample.
    fn advance(&mut self, place: usize, weights: &[f64], mixing: f64) {
        let Self { columns, x, f, last_x, last_f, memory, .. } = self;
        let mixing = T::of(mixing);
        widest(
            #[inline(always)]
            || {
                for column in &columns[place] {
                    let (x, f) = (&mut x[column.clone()], &f[column.clone()]);
                    last_x[column.clone()].copy_from_slice(x);
                    last_f[column.clone()].copy_from_slice(f);
                    for (x, f) in x.iter_mut().zip(f) {
                        *x += mixing * *f;
                    }
                    for (weight, difference) in weights.iter().zip(memory.iter()) {
                        let weight = T::of(*weight);
                        for (x, step) in x.iter_mut().zip(&difference.step[column.clone()]) {
                            *x -= weight * *step;
                        }
                    }
                }
            },
        );
    }
}

/// Copies one sample from where it lies to where it shall lie.
fn copy<T: Copy>(columns: &[Range<usize>], from: &[T], to_columns: &[Range<usize>], to: &mut [T]) {
    for (from_column, to_column) in columns.iter().zip(to_columns) {
        to[to_column.clone()].copy_from_slice(&from[from_column.clone()]);
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

/// What one sample remembers.
pub(crate) struct History {
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
    pub(crate) fn learn(&mut self, slot: usize, products: &[f64]) {
        for (i, product) in products.iter().enumerate() {
            self.gram[(i, slot)] = *product;
            self.gram[(slot, i)] = *product;
        }
    }

    /// γ = argmin |f − ΔF γ|, zero for what has been forgotten.
    pub(crate) fn weights(&mut self, iteration: usize, size: f64, overlaps: &[f64]) -> Vec<f64> {
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
