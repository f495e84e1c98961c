//! Sparse matrices of one structure, real or complex, and their factors: faer's sparse LU.

use std::fmt::Debug;
use std::ops::Neg;

use faer::MatMut;
use faer::linalg::solvers::Solve as _;
use faer::sparse::linalg::solvers::{Lu, SymbolicLu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMat};
use faer::traits::ComplexField;
use num_complex::Complex;

use crate::error::{Error, Result};

/// A voltage: real, or complex where a complex β acts.
pub trait Number:
    ComplexField + Copy + Debug + num_traits::NumAssign + Neg<Output = Self> + Send + Sync
{
    /// From its parts; of a real one the imaginary part is left out.
    fn of(re: f64, im: f64) -> Self;
    /// Its parts.
    fn parts(self) -> (f64, f64);
    /// Its exponential.
    fn exponential(self) -> Self;

    /// A real one.
    fn real(re: f64) -> Self {
        Self::of(re, 0.0)
    }

    /// Its magnitude.
    fn size(self) -> f64 {
        let (re, im) = self.parts();
        re.hypot(im)
    }
}

impl Number for f64 {
    fn of(re: f64, _: f64) -> Self {
        re
    }

    fn parts(self) -> (f64, f64) {
        (self, 0.0)
    }

    fn exponential(self) -> Self {
        self.exp()
    }
}

impl Number for Complex<f64> {
    fn of(re: f64, im: f64) -> Self {
        Self::new(re, im)
    }

    fn parts(self) -> (f64, f64) {
        (self.re, self.im)
    }

    fn exponential(self) -> Self {
        self.exp()
    }
}

/// Where a square sparse matrix has entries, and the order in which its factors are made.
pub(super) struct Pattern {
    n: usize,
    starts: Vec<usize>,
    rows: Vec<usize>,
    diagonal: Vec<usize>,
    structure: SymbolicSparseColMat<usize>,
    symbolic: SymbolicLu<usize>,
}

impl Pattern {
    /// That of these entries, of their mirror images and of the diagonal.
    pub fn new(n: usize, entries: impl Iterator<Item = (usize, usize)>) -> Result<Self> {
        let mut columns: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
        for (i, j) in entries {
            columns[j].push(i);
            columns[i].push(j);
        }
        let (mut starts, mut rows) = (vec![0], Vec::new());
        for column in &mut columns {
            column.sort_unstable();
            column.dedup();
            rows.extend_from_slice(column);
            starts.push(rows.len());
        }
        let structure = SymbolicSparseColMat::new_checked(n, n, starts.clone(), None, rows.clone());
        let symbolic = SymbolicLu::try_new(structure.as_ref())
            .map_err(|e| Error::Internal(format!("a circuit's matrix cannot be analysed: {e:?}")))?;
        let mut pattern = Self { n, starts, rows, diagonal: Vec::new(), structure, symbolic };
        pattern.diagonal = (0..n).map(|i| pattern.place(i, i)).collect();
        Ok(pattern)
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.rows.len()
    }

    /// Number of rows.
    pub fn size(&self) -> usize {
        self.n
    }

    /// Where an entry lies among the values.
    pub fn place(&self, i: usize, j: usize) -> usize {
        let range = self.starts[j]..self.starts[j + 1];
        range.start + self.rows[range].binary_search(&i).expect("an entry of the pattern")
    }

    /// Where the entries of the diagonal lie.
    pub fn diagonal(&self) -> &[usize] {
        &self.diagonal
    }

    /// Row, column and place of every entry.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        (0..self.n).flat_map(move |j| (self.starts[j]..self.starts[j + 1]).map(move |k| (self.rows[k], j, k)))
    }

    /// out += A v.
    pub fn multiply<A: Copy + Into<f64>, N: Number>(&self, values: &[A], v: &[N], out: &mut [N]) {
        for (j, v) in v.iter().enumerate() {
            for k in self.starts[j]..self.starts[j + 1] {
                out[self.rows[k]] += *v * N::real(values[k].into());
            }
        }
    }

    /// out += Aᵀ v.
    pub fn multiply_transposed<N: Number>(&self, values: &[f64], v: &[N], out: &mut [N]) {
        for (j, out) in out.iter_mut().enumerate() {
            for k in self.starts[j]..self.starts[j + 1] {
                *out += v[self.rows[k]] * N::real(values[k]);
            }
        }
    }

    /// The factors of a matrix of this pattern; none if it is singular.
    pub fn factors<N: Number>(&self, values: &[N]) -> Option<Factors<N>> {
        let matrix = SparseColMatRef::new(self.structure.as_ref(), values);
        Lu::try_new_with_symbolic(self.symbolic.clone(), matrix).ok().map(Factors)
    }
}

/// Factors of a matrix.
pub(super) struct Factors<N>(Lu<usize, N>);

impl<N: Number> Factors<N> {
    /// x ← A⁻¹ x.
    pub fn solve(&self, x: &mut [N]) {
        let n = x.len();
        self.0.solve_in_place(MatMut::from_column_major_slice_mut(x, n, 1));
    }

    /// x ← A⁻ᵀ x.
    pub fn solve_transposed(&self, x: &mut [N]) {
        let n = x.len();
        self.0.solve_transpose_in_place(MatMut::from_column_major_slice_mut(x, n, 1));
    }
}
