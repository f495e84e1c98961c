//! Krylov methods over a whole batch: every sample has its own operator, one product serves them all.

use nalgebra::{DMatrix, Schur};
use num_complex::Complex;
use num_traits::Zero;

use crate::numerics::kernels::widest;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// How a batched solve ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// Products with the operator.
    pub products: u64,
    /// Largest relative residual over the samples.
    pub residual: f64,
}

/// Directions of one cycle.
const RESTART: usize = 60;

/// Solves A x = b for every sample by restarted GMRES (Saad & Schultz 1986), real or complex by the layout's rails.
///
/// `apply(v, out)` multiplies all samples at once. `x` holds the start and receives the solution. Stops when every
/// sample's residual is below `tolerance · |b|`, or after `most` products.
pub fn gmres<T: Scalar>(
    shape: &StateShape,
    mut apply: impl FnMut(&[T], &mut [T]),
    b: &[T],
    x: &mut [T],
    tolerance: f64,
    most: u64,
) -> Solved {
    let scale: Vec<f64> = norms(shape, b).into_iter().map(|n| if n > 0.0 { n } else { 1.0 }).collect();
    let enough: Vec<f64> = scale.iter().map(|s| tolerance * s).collect();
    let mut products = 0;
    let mut residual = vec![T::zero(); b.len()];
    loop {
        if products == 0 && x.iter().all(Zero::is_zero) {
            residual.copy_from_slice(b);
        } else {
            apply(x, &mut residual);
            products += 1;
            for (r, b) in residual.iter_mut().zip(b) {
                *r = *b - *r;
            }
        }
        let sizes = norms(shape, &residual);
        let worst = sizes.iter().zip(&scale).map(|(r, s)| r / s).fold(0.0, f64::max);
        if small(&sizes, &enough) || products >= most || !worst.is_finite() {
            return Solved { products, residual: worst };
        }
        let steps = RESTART.min((most - products) as usize).max(1);
        let (cycles, basis) = directions(shape, &mut apply, residual.clone(), &sizes, 0.0, &enough, steps);
        products += basis.len() as u64 - 1;
        for (sample, cycle) in cycles.iter().enumerate() {
            widest(
                #[inline(always)]
                || {
                    for (weight, vector) in cycle.solution().into_iter().zip(&basis) {
                        subtract(shape, sample, -weight, vector, x);
                    }
                },
            );
        }
    }
}

/// One cycle of GMRES for (A + i·shift) x = b from x = 0, with A and b real and x complex. Returns x and the number of products.
///
/// A + i·shift and A have the same Krylov space (Frommer & Glässner 1998), so directions and products stay real, at half the cost of
/// complex ones. A shift changes the residual's direction, so there is no second cycle: [`gmres`] goes on from x.
pub fn gmres_shifted<T: Scalar>(
    shape: &StateShape,
    mut apply: impl FnMut(&[T], &mut [T]),
    shift: f64,
    b: &[T],
    tolerance: f64,
) -> (Vec<T>, u64) {
    let complex = shape.with_rails(2);
    let sizes = norms(shape, b);
    let enough: Vec<f64> = sizes.iter().map(|s| tolerance * s).collect();
    let (cycles, basis) = directions(shape, &mut apply, b.to_vec(), &sizes, shift, &enough, RESTART);
    let mut x = vec![T::zero(); complex.len()];
    for (sample, cycle) in cycles.iter().enumerate() {
        let solution = cycle.solution();
        widest(
            #[inline(always)]
            || {
                for (weight, vector) in solution.iter().zip(&basis) {
                    for layer in 0..shape.layers() {
                        let v = &vector[shape.column(layer, 0, sample)];
                        for (rail, weight) in [weight.re, weight.im].into_iter().enumerate() {
                            let weight = T::of(weight);
                            let x = &mut x[complex.column(layer, rail, sample)];
                            for (x, v) in x.iter_mut().zip(v) {
                                *x += weight * *v;
                            }
                        }
                    }
                }
            },
        );
    }
    (x, basis.len() as u64 - 1)
}

/// Orthonormal directions of the Krylov spaces of `start`, whose samples have the given `sizes`, and each sample's least-squares
/// problem for A + i·shift, until its residual is `enough` for every sample, or `steps` products.
fn directions<T: Scalar>(
    shape: &StateShape,
    apply: &mut impl FnMut(&[T], &mut [T]),
    mut start: Vec<T>,
    sizes: &[f64],
    shift: f64,
    enough: &[f64],
    steps: usize,
) -> (Vec<Cycle>, Vec<Vec<T>>) {
    // A tenth costs one digit of orthogonality, which the solution can spare.
    const CANCELLED: f64 = 0.1;
    let mut cycles: Vec<Cycle> = sizes.iter().map(|&norm| Cycle::new(norm, steps)).collect();
    (0..shape.batch).for_each(|sample| normalise(shape, sample, sizes[sample], &mut start));
    let mut basis = vec![start];
    while basis.len() <= steps && !small(&cycles.iter().map(Cycle::residual).collect::<Vec<_>>(), enough) {
        let mut next = vec![T::zero(); basis[0].len()];
        apply(&basis[basis.len() - 1], &mut next);
        for (sample, cycle) in cycles.iter_mut().enumerate() {
            if cycle.residual() <= enough[sample] {
                // Its own directions suffice: the others of its batch do not change its solution.
                normalise(shape, sample, 0.0, &mut next);
                continue;
            }
            let mut column = orthonormalise(shape, sample, &basis, CANCELLED, &mut next);
            column[basis.len() - 1].im += shift;
            cycle.push(column);
        }
        basis.push(next);
    }
    (cycles, basis)
}

/// Whether every sample's residual is as small as asked.
fn small(residuals: &[f64], enough: &[f64]) -> bool {
    residuals.iter().zip(enough).all(|(residual, enough)| residual <= enough)
}

/// Makes one sample of `next` orthogonal to that of every vector of the basis, and of length 1, by Gram–Schmidt; twice, unless
/// more than the part `cancelled` of it is left by the first time. Returns what was taken off along each, and the length of
/// what was left.
fn orthonormalise<T: Scalar>(
    shape: &StateShape,
    sample: usize,
    basis: &[Vec<T>],
    cancelled: f64,
    next: &mut [T],
) -> Vec<Complex<f64>> {
    let mut column = vec![Complex::new(0.0, 0.0); basis.len() + 1];
    let mut length = 0.0;
    widest(
        #[inline(always)]
        || {
            length = norm(shape, sample, next);
            for _ in 0..2 {
                for (entry, vector) in column.iter_mut().zip(basis) {
                    let overlap = inner(shape, sample, vector, next);
                    subtract(shape, sample, overlap, vector, next);
                    *entry += overlap;
                }
                let all = length;
                length = norm(shape, sample, next);
                if length > cancelled * all {
                    break;
                }
            }
        },
    );
    column[basis.len()] = Complex::new(length, 0.0);
    normalise(shape, sample, length, next);
    column
}

/// The least-squares problem of one sample's cycle, kept triangular by Givens rotations.
struct Cycle {
    columns: Vec<Vec<Complex<f64>>>,
    rotations: Vec<(Complex<f64>, Complex<f64>)>,
    right: Vec<Complex<f64>>,
}

impl Cycle {
    fn new(norm: f64, steps: usize) -> Self {
        let mut right = Vec::with_capacity(steps + 1);
        right.push(Complex::new(norm, 0.0));
        Self { columns: Vec::with_capacity(steps), rotations: Vec::with_capacity(steps), right }
    }

    fn push(&mut self, mut column: Vec<Complex<f64>>) {
        let k = self.columns.len();
        for (i, (c, s)) in self.rotations.iter().enumerate() {
            let (a, b) = (column[i], column[i + 1]);
            column[i] = c.conj() * a + s.conj() * b;
            column[i + 1] = c * b - s * a;
        }
        let (a, b) = (column[k], column[k + 1]);
        let length = (a.norm_sqr() + b.norm_sqr()).sqrt();
        let one = Complex::new(1.0, 0.0);
        let (c, s) = if length > 0.0 { (a / length, b / length) } else { (one, Complex::new(0.0, 0.0)) };
        column[k] = Complex::new(length, 0.0);
        let top = self.right[k];
        self.right[k] = c.conj() * top;
        self.right.push(-s * top);
        self.rotations.push((c, s));
        self.columns.push(column);
    }

    fn residual(&self) -> f64 {
        self.right.last().map_or(0.0, |r| r.norm())
    }

    fn solution(&self) -> Vec<Complex<f64>> {
        let n = self.columns.len();
        let mut y = vec![Complex::new(0.0, 0.0); n];
        for i in (0..n).rev() {
            let known: Complex<f64> = (i + 1..n).map(|j| self.columns[j][i] * y[j]).sum();
            let pivot = self.columns[i][i];
            // A sample that has converged to zero residual has a zero pivot and needs no further direction.
            y[i] = if pivot.norm() > 0.0 { (self.right[i] - known) / pivot } else { Complex::new(0.0, 0.0) };
        }
        y
    }
}

/// The `steps` leading Ritz values of each sample's operator (Arnoldi), started from a fixed vector, which no symmetry keeps from any mode.
/// None where the operator has an element that is not a number.
pub fn ritz_values<T: Scalar>(
    shape: &StateShape,
    apply: impl FnMut(&[T], &mut [T]),
    steps: usize,
) -> Vec<Vec<Complex<f64>>> {
    // What is lost of orthogonality multiplies from step to step, and eigenvalues appear that are none.
    let projected = projections(shape, apply, &vec![T::zero(); shape.len()], steps, f64::INFINITY);
    projected.iter().map(|matrix| eigenvalues(matrix).unwrap_or_default()).collect()
}

/// Each sample's operator, projected onto its Krylov space by `steps` of Arnoldi's method; smaller where the space is invariant. It begins
/// with `direction` and, as a tenth of it, a fixed vector. Directions are made orthogonal twice where no more than the part `cancelled` is left
/// by the first time.
pub fn projections<T: Scalar>(
    shape: &StateShape,
    mut apply: impl FnMut(&[T], &mut [T]),
    direction: &[T],
    steps: usize,
    cancelled: f64,
) -> Vec<DMatrix<f64>> {
    // A fixed start without symmetry: the golden ratio's multiples are equidistributed.
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    let mut start = vec![T::zero(); shape.len()];
    for layer in 0..shape.layers() {
        for sample in 0..shape.batch {
            for (i, v) in start[shape.column(layer, 0, sample)].iter_mut().enumerate() {
                *v = T::of(0.1 + ((layer * 7 + i + 1) as f64 * golden).fract());
            }
        }
    }
    for sample in 0..shape.batch {
        let length = norm(shape, sample, &start);
        normalise(shape, sample, length, &mut start);
        let ahead = norm(shape, sample, direction);
        if ahead > 0.0 {
            subtract(shape, sample, Complex::new(-10.0 / ahead, 0.0), direction, &mut start);
            let length = norm(shape, sample, &start);
            normalise(shape, sample, length, &mut start);
        }
    }
    let mut basis = vec![start];
    let steps = steps.min(shape.neurons());
    let mut hessenberg = vec![DMatrix::<f64>::zeros(steps, steps); shape.batch];
    let mut reached = vec![steps; shape.batch];
    for k in 0..steps {
        let mut next = vec![T::zero(); shape.len()];
        apply(&basis[k], &mut next);
        for (sample, h) in hessenberg.iter_mut().enumerate() {
            let column = orthonormalise(shape, sample, &basis, cancelled, &mut next);
            for (i, entry) in column.iter().enumerate().take(steps) {
                h[(i, k)] = entry.re;
            }
            if column[k + 1].re <= 1e3 * T::epsilon().double() && reached[sample] == steps {
                reached[sample] = k + 1;
            }
        }
        basis.push(next);
    }
    hessenberg.iter().zip(reached).map(|(h, n)| h.view((0, 0), (n, n)).into_owned()).collect()
}

/// Every eigenvalue of a matrix, unless the QR iteration does not converge, as on a matrix with an element that is not a number.
#[must_use]
pub fn eigenvalues(matrix: &DMatrix<f64>) -> Option<Vec<Complex<f64>>> {
    if matrix.is_empty() {
        return Some(Vec::new());
    }
    // What counts as zero below the diagonal. Where eigenvalues are almost equal, rounding may keep the iteration from ever getting
    // below the first.
    const NEGLIGIBLE: [f64; 4] = [f64::EPSILON, 1e-13, 1e-10, 1e-7];
    let most = 30 * matrix.nrows().max(10);
    let schur = NEGLIGIBLE.iter().find_map(|least| Schur::try_new(matrix.clone(), *least, most))?;
    Some(schur.complex_eigenvalues().iter().map(|z| Complex::new(z.re, z.im)).collect())
}

/// Σ x y. The partial sums have a fixed order and fill the widest vector units; after at most 16 terms they go on in double
/// precision, so that many terms lose no more than few.
#[inline(always)]
pub(crate) fn dot<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    const SUMS: usize = 32;
    const BLOCK: usize = 16 * SUMS;
    let mut total = 0.0;
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let mut sums = [T::zero(); SUMS];
        let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<SUMS>(), y.as_chunks::<SUMS>());
        for (x, y) in xs.iter().zip(ys) {
            for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                *sum += *x * *y;
            }
        }
        let mut wide = sums.map(T::double);
        for half in [16, 8, 4, 2, 1] {
            for i in 0..half {
                wide[i] += wide[i + half];
            }
        }
        let rest = x_rest.iter().zip(y_rest).map(|(x, y)| x.double() * y.double());
        total += wide[0] + rest.sum::<f64>();
    }
    total
}

/// ⟨a, b⟩ = Σ conj(a) b of one sample.
#[inline(always)]
fn inner<T: Scalar>(shape: &StateShape, sample: usize, a: &[T], b: &[T]) -> Complex<f64> {
    let mut sum = Complex::new(0.0, 0.0);
    for layer in 0..shape.layers() {
        let re = shape.column(layer, 0, sample);
        sum.re += dot(&a[re.clone()], &b[re.clone()]);
        if shape.rails == 2 {
            let im = shape.column(layer, 1, sample);
            sum.re += dot(&a[im.clone()], &b[im.clone()]);
            sum.im += dot(&a[re.clone()], &b[im.clone()]) - dot(&a[im], &b[re]);
        }
    }
    sum
}

/// 2-norm of one sample.
#[inline(always)]
fn norm<T: Scalar>(shape: &StateShape, sample: usize, v: &[T]) -> f64 {
    shape.sample(sample).map(|column| dot(&v[column.clone()], &v[column])).sum::<f64>().sqrt()
}

/// 2-norm of each sample.
fn norms<T: Scalar>(shape: &StateShape, v: &[T]) -> Vec<f64> {
    widest(
        #[inline(always)]
        || (0..shape.batch).map(|sample| norm(shape, sample, v)).collect(),
    )
}

/// out −= factor · v, for one sample.
#[inline(always)]
fn subtract<T: Scalar>(shape: &StateShape, sample: usize, factor: Complex<f64>, v: &[T], out: &mut [T]) {
    let (f_re, f_im) = (T::of(factor.re), T::of(factor.im));
    for layer in 0..shape.layers() {
        let re = shape.column(layer, 0, sample);
        if shape.rails == 1 {
            for (o, x) in out[re.clone()].iter_mut().zip(&v[re]) {
                *o -= f_re * *x;
            }
            continue;
        }
        let im = shape.column(layer, 1, sample);
        let (before, after) = out.split_at_mut(im.start);
        let (out_re, out_im) = (&mut before[re.clone()], &mut after[..im.len()]);
        for (((o_re, o_im), x), y) in out_re.iter_mut().zip(out_im).zip(&v[re]).zip(&v[im]) {
            *o_re -= f_re * *x - f_im * *y;
            *o_im -= f_re * *y + f_im * *x;
        }
    }
}

/// Divides one sample by its length; a sample of length zero becomes zero.
fn normalise<T: Scalar>(shape: &StateShape, sample: usize, length: f64, v: &mut [T]) {
    let factor = T::of(if length > 0.0 { 1.0 / length } else { 0.0 });
    for column in shape.sample(sample) {
        v[column].iter_mut().for_each(|x| *x = if length > 0.0 { factor * *x } else { T::zero() });
    }
}

#[cfg(test)]
mod tests;
