//! The two floating-point precisions, and the matrix products of whole batches.

use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;

/// `f32` (training) or `f64` (studies).
pub trait Scalar:
    num_traits::Float
    + num_traits::FloatConst
    + num_traits::NumAssign
    + nalgebra::Scalar
    + Default
    + Sum
    + Display
    + Debug
    + LowerExp
    + Send
    + Sync
    + bytemuck::Pod
    + crate::numerics::kernels::Elementary
    + crate::numerics::panels::Lanes
{
    /// The name in files and experiments: `f32` or `f64`.
    const NAME: &'static str;

    /// The nearest value to `x`.
    fn of(x: f64) -> Self;

    /// The same value in double precision.
    fn double(self) -> f64;
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";

    fn of(x: f64) -> Self {
        x as f32
    }

    fn double(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";

    fn of(x: f64) -> Self {
        x
    }

    fn double(self) -> f64 {
        self
    }
}

/// How the left factor of [`gemm()`] is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As it stands: `rows × inner`, column-major.
    Plain,
    /// Its transpose is stored: `inner × rows`, column-major.
    Transposed,
}

/// `out (rows × columns) = a (rows × inner) · b (inner × columns) + keep · out`, all column-major and dense.
///
/// The sum over `inner` runs in a fixed order, so a column's result depends on that column alone.
///
/// # Panics
/// If a slice does not have the size that the three dimensions say.
pub fn gemm<T: Scalar>(
    (rows, inner, columns): (usize, usize, usize),
    a: &[T],
    layout: Layout,
    b: &[T],
    keep: T,
    out: &mut [T],
) {
    let (row_stride, column_stride) = match layout {
        Layout::Plain => (1, rows),
        Layout::Transposed => (inner, 1),
    };
    product((rows, inner, columns), a, (row_stride, column_stride), b, (1, inner), keep, out);
}

/// `out (rows × columns) = a (rows × inner) · bᵀ + keep · out` with `b` stored `columns × inner`, all column-major:
/// the sum over a batch of outer products.
///
/// # Panics
/// If a slice does not have the size that the three dimensions say.
pub fn gemm_outer<T: Scalar>(
    (rows, inner, columns): (usize, usize, usize),
    a: &[T],
    b: &[T],
    keep: T,
    out: &mut [T],
) {
    product((rows, inner, columns), a, (1, rows), b, (columns, 1), keep, out);
}

#[allow(unsafe_code)] // benches/kernels.rs, group `gemm`: the safe product of nalgebra is slower at these shapes
fn product<T: Scalar>(
    (rows, inner, columns): (usize, usize, usize),
    a: &[T],
    (a_row, a_column): (usize, usize),
    b: &[T],
    (b_row, b_column): (usize, usize),
    keep: T,
    out: &mut [T],
) {
    assert_eq!(a.len(), rows * inner, "left factor");
    assert_eq!(b.len(), inner * columns, "right factor");
    assert_eq!(out.len(), rows * columns, "product");
    // SAFETY: the three assertions above bound every element that these strides can reach; `out` is borrowed
    // mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            rows as isize,
            1,
            !keep.is_zero(),
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            keep,
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
