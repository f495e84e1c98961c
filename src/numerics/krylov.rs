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

/// For each sample whether every mode of operator − shift decays, as far as so many steps of Arnoldi's method see that start from
/// `direction` and, as a tenth of it, the fixed vector.
pub fn decays<T: Scalar>(
    shape: &StateShape,
    apply: impl FnMut(&[T], &mut [T]),
    shift: f64,
    direction: &[T],
    steps: usize,
) -> Vec<bool> {
    // Half a digit of orthogonality for each step that takes off no more; the shift would make it more at each.
    const CANCELLED: f64 = 0.5;
    let stable = |mut matrix: DMatrix<f64>| {
        (0..matrix.nrows()).for_each(|i| matrix[(i, i)] -= shift);
        // Where no vector grows at first, none grows later (Bendixson 1902): far cheaper than eigenvalues, and rarely in doubt.
        let shrinks = -(&matrix + matrix.transpose());
        shrinks.cholesky().is_some() || eigenvalues(&matrix).is_some_and(|all| all.iter().all(|z| z.re < 0.0))
    };
    projections(shape, apply, direction, steps, CANCELLED).into_iter().map(stable).collect()
}

/// Each sample's operator, projected onto its Krylov space by Arnoldi's method; smaller where the space is invariant. Directions are made
/// orthogonal twice where no more than the part `cancelled` is left by the first time.
fn projections<T: Scalar>(
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
mod tests {
    use nalgebra::DVector;
    use rand::RngExt;

    use super::*;
    use crate::numerics::rng::{Purpose, stream};
    use crate::substrate::neurons::model::ModelSpec;
    use crate::substrate::neurons::network::Network;

    fn shape(sizes: [usize; 2], batch: usize, rails: usize) -> StateShape {
        let model: ModelSpec = serde_json::from_value(serde_json::json!({
            "name": "two", "input": 1, "activation": "tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": sizes[0] }, { "name": "b", "size": sizes[1] }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }] }))
        .unwrap();
        StateShape::new(&Network::new(&model).unwrap(), batch, rails)
    }

    /// 1 + 0.5 · random: well conditioned, not normal; complex if the layout is.
    fn matrices(shape: &StateShape, seed: u64) -> Vec<DMatrix<Complex<f64>>> {
        let n = shape.neurons();
        let mut random = stream(seed, Purpose::Data, 0);
        let mut number = || 2.0 * random.random::<f64>() - 1.0;
        let mut entry = |i: usize, j: usize| {
            let im = if shape.rails == 2 { number() } else { 0.0 };
            Complex::new(number(), im) * (0.5 / (n as f64).sqrt()) + if i == j { 1.0 } else { 0.0 }
        };
        (0..shape.batch).map(|_| DMatrix::from_fn(n, n, &mut entry)).collect()
    }

    fn gather<T: Scalar>(shape: &StateShape, v: &[T], sample: usize) -> DVector<Complex<f64>> {
        let rail = |rail: usize| -> Vec<f64> {
            if rail == shape.rails {
                return vec![0.0; shape.neurons()];
            }
            (0..2).flat_map(|layer| v[shape.column(layer, rail, sample)].iter().map(|x| x.double())).collect()
        };
        let (re, im) = (rail(0), rail(1));
        DVector::from_fn(shape.neurons(), |i, _| Complex::new(re[i], im[i]))
    }

    fn scatter<T: Scalar>(shape: &StateShape, vector: &DVector<Complex<f64>>, sample: usize, v: &mut [T]) {
        for layer in 0..2 {
            let offset = if layer == 0 { 0 } else { shape.size(0) };
            for rail in 0..shape.rails {
                for (i, x) in v[shape.column(layer, rail, sample)].iter_mut().enumerate() {
                    let z = vector[offset + i];
                    *x = T::of(if rail == 0 { z.re } else { z.im });
                }
            }
        }
    }

    fn multiply<T: Scalar>(shape: &StateShape, matrices: &[DMatrix<Complex<f64>>], v: &[T], out: &mut [T]) {
        for (sample, matrix) in matrices.iter().enumerate() {
            scatter(shape, &(matrix * gather(shape, v, sample)), sample, out);
        }
    }

    fn solve<T: Scalar>(sizes: [usize; 2], rails: usize, tolerance: f64) -> (Solved, f64) {
        let shape = shape(sizes, 3, rails);
        let matrices = matrices(&shape, 7 + rails as u64);
        let mut b = vec![T::zero(); shape.len()];
        let mut random = stream(3, Purpose::Data, 1);
        b.iter_mut().for_each(|x| *x = T::of(random.random::<f64>() - 0.5));
        // One sample has nothing to solve: it must neither spoil the others nor become not-a-number.
        scatter(&shape, &DVector::zeros(shape.neurons()), 1, &mut b);
        let mut x = vec![T::of(0.3); shape.len()];
        let solved = gmres(&shape, |v, out| multiply(&shape, &matrices, v, out), &b, &mut x, tolerance, 3000);
        let mut worst = 0.0_f64;
        for (sample, matrix) in matrices.iter().enumerate() {
            let exact = matrix.clone().lu().solve(&gather(&shape, &b, sample)).unwrap();
            worst = worst.max((gather(&shape, &x, sample) - exact).norm());
        }
        (solved, worst)
    }

    #[test]
    fn gmres_solves_what_lu_solves() {
        for rails in [1, 2] {
            for sizes in [[3, 2], [20, 17]] {
                let (solved, off) = solve::<f64>(sizes, rails, 1e-14);
                assert!(
                    solved.residual <= 1e-14 && off < 1e-12,
                    "{rails} rails, {sizes:?}: {solved:?}, {off:e}"
                );
                let neurons = (sizes[0] + sizes[1]) as u64;
                assert!(solved.products <= 2 * (neurons + 2), "{solved:?}");
                let (solved, off) = solve::<f32>(sizes, rails, 2e-6);
                assert!(
                    solved.residual <= 2e-6 && off < 1e-4,
                    "f32, {rails} rails, {sizes:?}: {solved:?}, {off:e}"
                );
            }
        }
    }

    #[test]
    fn real_directions_solve_a_shifted_system() {
        for (sizes, shift) in [([3, 2], 0.4), ([20, 17], 0.02), ([20, 17], 3.0)] {
            let shape = shape(sizes, 3, 1);
            let complex = shape.with_rails(2);
            let matrices = matrices(&shape, 23);
            let mut b = vec![0.0; shape.len()];
            let mut random = stream(4, Purpose::Data, 1);
            b.iter_mut().for_each(|x| *x = random.random::<f64>() - 0.5);
            scatter(&shape, &DVector::zeros(shape.neurons()), 1, &mut b);
            let apply = |v: &[f64], out: &mut [f64]| multiply(&shape, &matrices, v, out);
            let (x, products) = gmres_shifted(&shape, apply, shift, &b, 1e-13);
            assert!(products <= shape.neurons() as u64, "{products}");
            for (sample, matrix) in matrices.iter().enumerate() {
                let turn = DMatrix::identity(shape.neurons(), shape.neurons()) * Complex::new(0.0, shift);
                let exact = (matrix + turn).lu().solve(&gather(&shape, &b, sample)).unwrap();
                let off = (gather(&complex, &x, sample) - exact).norm();
                assert!(off < 1e-11, "{sizes:?}, shift {shift}, sample {sample}: {off:e}");
            }
        }
    }

    #[test]
    fn gmres_restarts_and_gives_up_when_told() {
        let shape = shape([50, 40], 2, 1);
        let n = shape.neurons();
        // Eigenvalues 1…n need more directions than a cycle has.
        let matrices: Vec<_> = (0..2)
            .map(|sample| {
                DMatrix::from_fn(n, n, |i, j| {
                    let entry = if i == j {
                        1.0 + i as f64
                    } else if j == i + 1 {
                        0.3 + sample as f64
                    } else {
                        0.0
                    };
                    Complex::new(entry, 0.0)
                })
            })
            .collect();
        let b = vec![1.0; shape.len()];
        let run = |most: u64| {
            let mut x = vec![0.0; shape.len()];
            let solved = gmres(&shape, |v, out| multiply(&shape, &matrices, v, out), &b, &mut x, 1e-12, most);
            (solved, x)
        };
        let (solved, x) = run(3000);
        assert!(solved.products > 62 && solved.products < 3000 && solved.residual <= 1e-12, "{solved:?}");
        for (sample, matrix) in matrices.iter().enumerate() {
            let exact = matrix.clone().lu().solve(&gather(&shape, &b, sample)).unwrap();
            assert!((gather(&shape, &x, sample) - exact).norm() < 1e-10);
        }
        let (cut, _) = run(20);
        assert!(cut.residual > 1e-12 && cut.products <= 22, "{cut:?}");
    }

    /// Largest distance from one of `a` to the nearest of `b`.
    fn farthest(a: &[Complex<f64>], b: &[Complex<f64>]) -> f64 {
        let nearest = |z: &Complex<f64>| b.iter().map(|w| (z - w).norm()).fold(f64::INFINITY, f64::min);
        a.iter().map(nearest).fold(0.0, f64::max)
    }

    #[test]
    fn ritz_values_are_the_eigenvalues_of_small_operators() {
        let shape = shape([9, 6], 3, 1);
        let matrices = matrices(&shape, 11);
        let values = ritz_values::<f64>(&shape, |v, out| multiply(&shape, &matrices, v, out), 60);
        for (matrix, ritz) in matrices.iter().zip(&values) {
            let exact: Vec<_> = matrix.map(|z| z.re).complex_eigenvalues().iter().copied().collect();
            assert_eq!(ritz.len(), exact.len());
            let off = farthest(ritz, &exact).max(farthest(&exact, ritz));
            assert!(off < 1e-10, "{off:e}");
        }
    }

    #[test]
    fn almost_equal_eigenvalues_do_not_keep_the_iteration_going() {
        let n = 30;
        let mut random = stream(5, Purpose::Data, 2);
        let mut endless = 0;
        for scale in [1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 3e-17] {
            let matrix = DMatrix::from_fn(n, n, |i, j| {
                let noise = scale * (2.0 * random.random::<f64>() - 1.0);
                if i == j { noise - 1.0 } else { noise }
            });
            endless += u32::from(Schur::try_new(matrix.clone(), f64::EPSILON, 100 * n).is_none());
            let found = eigenvalues(&matrix).unwrap();
            assert_eq!(found.len(), n);
            assert!(found.iter().all(|z| (z + 1.0).norm() < 1e-10), "{scale:e}: {found:?}");
        }
        assert!(endless > 0, "none of them is hard");
        assert!(eigenvalues(&DMatrix::from_element(4, 4, f64::NAN)).is_none());
    }

    #[test]
    fn modes_decay_where_no_eigenvalue_grows() {
        let shape = shape([9, 6], 40, 1);
        let mut random = stream(3, Purpose::Data, 4);
        // From almost symmetric to far from normal, some of them stable though vectors grow at first.
        let matrices: Vec<DMatrix<f64>> = (0..40)
            .map(|sample| {
                let skew = 0.1 * f64::from(sample);
                DMatrix::from_fn(15, 15, |i, j| {
                    let entry = 0.4 * (2.0 * random.random::<f64>() - 1.0);
                    if i < j {
                        (1.0 + skew) * entry
                    } else if i > j {
                        entry
                    } else {
                        entry - 1.0
                    }
                })
            })
            .collect();
        let complex: Vec<_> = matrices.iter().map(|m| m.map(|x| Complex::new(x, 0.0))).collect();
        let shifted = |v: &[f64], out: &mut [f64]| {
            multiply(&shape, &complex, v, out);
            out.iter_mut().zip(v).for_each(|(o, v)| *o += 0.7 * v);
        };
        let found = decays(&shape, shifted, 0.7, &vec![0.0; shape.len()], 15);
        let growth = |m: &DMatrix<f64>| m.complex_eigenvalues().iter().map(|z| z.re).fold(f64::MIN, f64::max);
        let grows_at_first = |m: &DMatrix<f64>| (m + m.transpose()).symmetric_eigenvalues().max() > 0.0;
        let transient = matrices.iter().filter(|m| growth(m) < 0.0 && grows_at_first(m)).count();
        let unstable = matrices.iter().filter(|m| growth(m) > 0.0).count();
        assert!(transient > 3 && unstable > 3 && transient + unstable < 38, "{transient}, {unstable}");
        for (sample, (matrix, decays)) in matrices.iter().zip(&found).enumerate() {
            assert_eq!(*decays, growth(matrix) < 0.0, "sample {sample}: {}", growth(matrix));
        }
        let nothing = |_: &[f64], out: &mut [f64]| out.fill(f64::NAN);
        assert_eq!(decays(&shape, nothing, 0.0, &vec![0.0; shape.len()], 15), vec![false; 40]);
    }

    #[test]
    fn ritz_values_stop_where_the_subspace_is_invariant() {
        // Two eigenvalues only: no vector spans more than two directions.
        let shape = shape([4, 3], 2, 1);
        let matrix = DMatrix::from_fn(7, 7, |i, j| {
            let value = if i % 2 == 0 { 2.0 } else { -0.5 };
            Complex::new(if i == j { value } else { 0.0 }, 0.0)
        });
        let matrices = [matrix.clone(), matrix];
        for ritz in ritz_values::<f64>(&shape, |v, out| multiply(&shape, &matrices, v, out), 7) {
            assert_eq!(ritz.len(), 2);
            let expected = [Complex::new(2.0, 0.0), Complex::new(-0.5, 0.0)];
            assert!(farthest(&expected, &ritz) < 1e-12);
        }
    }

    #[test]
    fn a_few_ritz_values_find_the_end_of_the_spectrum() {
        let shape = shape([70, 50], 1, 1);
        // Rates between 1 and 3, and one slow mode at 0.1.
        let matrix = DMatrix::from_fn(120, 120, |i, j| {
            let rate = if i == 0 { 0.1 } else { 1.0 + i as f64 / 60.0 };
            Complex::new(if i == j { -rate } else { 0.0 }, 0.0)
        });
        let values =
            ritz_values::<f64>(&shape, |v, out| multiply(&shape, std::slice::from_ref(&matrix), v, out), 30);
        let slowest = values[0].iter().map(|z| z.re).fold(f64::NEG_INFINITY, f64::max);
        assert!((slowest + 0.1).abs() < 1e-6, "{slowest}");
    }
}
