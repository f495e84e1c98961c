//! Krylov methods over a whole batch: every sample has its own operator, one product serves them all.

use nalgebra::DMatrix;
use num_complex::Complex;

use crate::scalar::Scalar;
use crate::substrate::state::StateShape;

/// How a batched solve ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solved {
    /// Products with the operator.
    pub products: u64,
    /// Largest relative residual over the samples.
    pub residual: f64,
}

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
    const RESTART: usize = 60;
    let scale: Vec<f64> = norms(shape, b).into_iter().map(|n| if n > 0.0 { n } else { 1.0 }).collect();
    let mut products = 0;
    let mut residual = vec![T::zero(); b.len()];
    loop {
        apply(x, &mut residual);
        products += 1;
        for (r, b) in residual.iter_mut().zip(b) {
            *r = *b - *r;
        }
        let start = norms(shape, &residual);
        let worst = start.iter().zip(&scale).map(|(r, s)| r / s).fold(0.0, f64::max);
        if worst <= tolerance || products >= most || !worst.is_finite() {
            return Solved { products, residual: worst };
        }
        let steps = RESTART.min((most - products) as usize).max(1);
        let mut cycles: Vec<Cycle> = start.iter().map(|&norm| Cycle::new(norm, steps)).collect();
        let mut basis = vec![divide(shape, &residual, &start)];
        for _ in 0..steps {
            let mut next = vec![T::zero(); b.len()];
            apply(&basis[basis.len() - 1], &mut next);
            products += 1;
            // Gram–Schmidt, twice: once is not enough near convergence.
            let mut column = vec![vec![Complex::new(0.0, 0.0); basis.len() + 1]; shape.batch];
            for _ in 0..2 {
                for (i, vector) in basis.iter().enumerate() {
                    let overlap = inner(shape, vector, &next);
                    subtract(shape, &overlap, vector, &mut next);
                    for (column, o) in column.iter_mut().zip(&overlap) {
                        column[i] += *o;
                    }
                }
            }
            let norm = norms(shape, &next);
            let mut done = true;
            for (sample, (cycle, mut column)) in cycles.iter_mut().zip(column).enumerate() {
                *column.last_mut().expect("a column has a subdiagonal") = Complex::new(norm[sample], 0.0);
                cycle.push(column);
                done &= cycle.residual() <= tolerance * scale[sample];
            }
            basis.push(divide(shape, &next, &norm));
            if done {
                break;
            }
        }
        let weights: Vec<Vec<Complex<f64>>> = cycles.iter().map(Cycle::solution).collect();
        for (i, vector) in basis.iter().enumerate().take(basis.len() - 1) {
            let factor: Vec<Complex<f64>> = weights.iter().map(|w| -w[i]).collect();
            subtract(shape, &factor, vector, x);
        }
    }
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

/// The `steps` leading Ritz values of each sample's operator (Arnoldi), started from a fixed vector.
pub fn ritz_values<T: Scalar>(
    shape: &StateShape,
    mut apply: impl FnMut(&[T], &mut [T]),
    steps: usize,
) -> Vec<Vec<Complex<f64>>> {
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
    let first = norms(shape, &start);
    let mut basis = vec![divide(shape, &start, &first)];
    let steps = steps.min(shape.neurons());
    let mut hessenberg = vec![DMatrix::<f64>::zeros(steps, steps); shape.batch];
    let mut reached = vec![steps; shape.batch];
    for k in 0..steps {
        let mut next = vec![T::zero(); shape.len()];
        apply(&basis[k], &mut next);
        for _ in 0..2 {
            for (i, vector) in basis.iter().enumerate() {
                let overlap = inner(shape, vector, &next);
                subtract(shape, &overlap, vector, &mut next);
                for (h, o) in hessenberg.iter_mut().zip(&overlap) {
                    h[(i, k)] += o.re;
                }
            }
        }
        let norm = norms(shape, &next);
        for (sample, n) in norm.iter().enumerate() {
            if *n <= 1e3 * T::epsilon().double() && reached[sample] == steps {
                reached[sample] = k + 1;
            }
            if k + 1 < steps {
                hessenberg[sample][(k + 1, k)] = *n;
            }
        }
        basis.push(divide(shape, &next, &norm));
    }
    let eigenvalues = |(h, n): (&DMatrix<f64>, &usize)| -> Vec<Complex<f64>> {
        let block = h.view((0, 0), (*n, *n)).into_owned();
        block.complex_eigenvalues().iter().map(|z| Complex::new(z.re, z.im)).collect()
    };
    hessenberg.iter().zip(&reached).map(eigenvalues).collect()
}

/// Σ x y in double precision. The eight partial sums have a fixed order and fill the vector units.
fn dot<T: Scalar>(x: &[T], y: &[T]) -> f64 {
    let mut sums = [0.0; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x.double() * y.double()).sum();
    for (x, y) in xs.zip(ys) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x.double() * y.double();
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// ⟨a, b⟩ = Σ conj(a) b of each sample.
pub fn inner<T: Scalar>(shape: &StateShape, a: &[T], b: &[T]) -> Vec<Complex<f64>> {
    let mut sums = vec![Complex::new(0.0, 0.0); shape.batch];
    for layer in 0..shape.layers() {
        for (sample, sum) in sums.iter_mut().enumerate() {
            let re = shape.column(layer, 0, sample);
            sum.re += dot(&a[re.clone()], &b[re.clone()]);
            if shape.rails == 2 {
                let im = shape.column(layer, 1, sample);
                sum.re += dot(&a[im.clone()], &b[im.clone()]);
                sum.im += dot(&a[re.clone()], &b[im.clone()]) - dot(&a[im], &b[re]);
            }
        }
    }
    sums
}

/// 2-norm of each sample.
pub fn norms<T: Scalar>(shape: &StateShape, v: &[T]) -> Vec<f64> {
    inner(shape, v, v).into_iter().map(|z| z.re.sqrt()).collect()
}

/// out −= factor · v, sample by sample.
pub fn subtract<T: Scalar>(shape: &StateShape, factor: &[Complex<f64>], v: &[T], out: &mut [T]) {
    for layer in 0..shape.layers() {
        for (sample, f) in factor.iter().enumerate() {
            let (f_re, f_im) = (T::of(f.re), T::of(f.im));
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
}

/// v / norm, sample by sample; zero where the norm is zero.
fn divide<T: Scalar>(shape: &StateShape, v: &[T], norms: &[f64]) -> Vec<T> {
    let mut out = vec![T::zero(); v.len()];
    let factor: Vec<Complex<f64>> =
        norms.iter().map(|&n| Complex::new(if n > 0.0 { -1.0 / n } else { 0.0 }, 0.0)).collect();
    subtract(shape, &factor, v, &mut out);
    out
}
