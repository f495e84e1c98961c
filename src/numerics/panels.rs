//! A matrix laid out for products with a few columns: the product that every evaluation consists of.
//!
//! A batch is cut into chunks of samples, so a weight matrix meets only a few tens of columns at a time and a general
//! product spends much of its time on a layout that it cannot choose. Here the layout is made once per weight update: panels
//! of as many rows as two vectors hold, each stored contiguously, column after column (see `benches/README.md` for what that
//! gains). Every element of the product is one chain of fused multiply-adds in the order of the sum, 512 terms at a
//! time: the result depends neither on the vector width nor on the other columns.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::numerics::pages::Pages;
use crate::numerics::scalar::Scalar;

/// How many terms are summed before they are added to the product: columns of that length stay in the first-level cache.
const BLOCK: usize = 512;

/// A matrix, or several of one size, in panels of [`Lanes::ROWS`] rows; the last of each is filled up with zeros.
#[derive(Debug, Clone, Default)]
pub struct Panels<T: Scalar> {
    rows: usize,
    inner: usize,
    /// [matrices × panels × inner × [`Lanes::ROWS`]].
    values: Pages<T>,
}

impl<T: Scalar> Panels<T> {
    /// Lays out a matrix [rows × inner], column-major.
    ///
    /// # Panics
    /// If the matrix is not made of whole columns.
    pub fn pack(&mut self, rows: usize, matrix: &[T]) {
        assert_eq!(matrix.len() % rows, 0, "a matrix of {rows} rows");
        self.resize(1, rows, matrix.len() / rows);
        self.pack_at(0, matrix);
    }

    /// Room for so many matrices [rows × inner], each to be laid out by [`Self::pack_at()`].
    pub fn resize(&mut self, matrices: usize, rows: usize, inner: usize) {
        (self.rows, self.inner) = (rows, inner);
        self.values.sized(matrices * self.each());
    }

    /// Numbers of a matrix.
    fn each(&self) -> usize {
        self.rows.div_ceil(T::ROWS) * T::ROWS * self.inner
    }

    /// Lays out one of the matrices [rows × inner], column-major.
    ///
    /// # Panics
    /// If there is none of that index, or the matrix has another size.
    pub fn pack_at(&mut self, index: usize, matrix: &[T]) {
        let (rows, inner, each) = (self.rows, self.inner, self.each());
        assert_eq!(matrix.len(), rows * inner, "a matrix of {rows} rows and {inner} columns");
        if inner == 0 {
            return;
        }
        let values = &mut self.values.all_mut()[index * each..][..each];
        for (index, panel) in values.chunks_exact_mut(T::ROWS * inner).enumerate() {
            let first = index * T::ROWS;
            let last = rows.min(first + T::ROWS);
            for (packed, column) in panel.chunks_exact_mut(T::ROWS).zip(matrix.chunks_exact(rows)) {
                packed[..last - first].copy_from_slice(&column[first..last]);
                packed[last - first..].fill(T::zero());
            }
        }
    }

    /// out += matrix · b, with b [inner × columns] and out [rows × columns], column-major.
    ///
    /// # Panics
    /// If `b` and `out` do not have the same number of whole columns.
    pub fn multiply_add(&self, b: &[T], out: &mut [T]) {
        self.product(0, true, b, out);
    }

    /// out = matrix · b, as [`Self::multiply_add()`] to zeros.
    ///
    /// # Panics
    /// If `b` and `out` do not have the same number of whole columns.
    pub fn multiply(&self, b: &[T], out: &mut [T]) {
        self.multiply_by(0, b, out);
    }

    /// As [`Self::multiply`], with the matrix of that index.
    ///
    /// # Panics
    /// If there is none, or `b` and `out` do not have the same number of whole columns.
    pub fn multiply_by(&self, index: usize, b: &[T], out: &mut [T]) {
        if self.inner == 0 {
            out.fill(T::zero());
        }
        self.product(index, false, b, out);
    }

    fn product(&self, index: usize, adds: bool, b: &[T], out: &mut [T]) {
        let (rows, inner) = (self.rows, self.inner);
        let columns = out.len() / rows;
        assert_eq!((b.len(), out.len()), (columns * inner, columns * rows), "whole columns");
        let values = &self.values[index * self.each()..][..self.each()];
        Arch::new().dispatch(Product { rows, inner, values, adds, b, out });
    }
}

struct Product<'a, T> {
    rows: usize,
    inner: usize,
    values: &'a [T],
    /// Whether the product is added to what `out` holds.
    adds: bool,
    b: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, inner, values, adds, b, out } = self;
        let columns = out.len() / rows.max(1);
        // As many columns as leave registers for the panel: 32 vectors of 512 bits, else 16.
        let wide = size_of::<T::Vector<S>>() == 64;
        for block in (0..inner).step_by(BLOCK) {
            let terms = block..inner.min(block + BLOCK);
            let adds = adds || block > 0;
            let mut product = Tiles { values, adds, b, out: &mut *out, rows, inner, terms, column: 0 };
            let few = columns % 5;
            // A panel stays in the first-level cache for all of them.
            for panel in 0..rows.div_ceil(T::ROWS) {
                product.column = 0;
                while wide && columns - product.column >= 10 {
                    product.tile::<S, 1, 2, 10>(simd, panel);
                    product.column += 10;
                }
                while columns - product.column >= 5 {
                    product.tile::<S, 1, 2, 5>(simd, panel);
                    product.column += 5;
                }
            }
            product.column = columns - few;
            // Few columns take more of the rows at a time, so that as many sums are under way.
            match (few, wide) {
                (4, _) => product.panels::<S, 1, 2, 4>(simd),
                (3, true) => product.panels::<S, 2, 2, 3>(simd),
                (3, false) => product.panels::<S, 1, 2, 3>(simd),
                (2, true) => product.panels::<S, 2, 2, 2>(simd),
                (2, false) => product.panels::<S, 1, 4, 2>(simd),
                (1, true) => product.panels::<S, 4, 2, 1>(simd),
                (1, false) => product.panels::<S, 2, 4, 1>(simd),
                _ => {}
            }
        }
    }
}

/// Some terms of the product, for some columns.
struct Tiles<'a, T> {
    values: &'a [T],
    adds: bool,
    b: &'a [T],
    out: &'a mut [T],
    rows: usize,
    inner: usize,
    terms: Range<usize>,
    /// The first of the columns.
    column: usize,
}

impl<T: Scalar> Tiles<'_, T> {
    /// All panels, `P` of them at a time, by `C` columns.
    #[inline(always)]
    fn panels<S: Simd, const P: usize, const W: usize, const C: usize>(&mut self, simd: S) {
        let panels = self.rows.div_ceil(T::ROWS);
        let mut panel = 0;
        while panel + P <= panels {
            self.tile::<S, P, W, C>(simd, panel);
            panel += P;
        }
        while panel < panels {
            self.tile::<S, 1, W, C>(simd, panel);
            panel += 1;
        }
    }

    /// `P` panels from one on, `W` vectors of each at a time, by `C` columns.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "sums that are borrowed, by an iterator too, leave the registers"
    )]
    fn tile<S: Simd, const P: usize, const W: usize, const C: usize>(&mut self, simd: S, first: usize) {
        let length = T::ROWS * self.inner;
        let Self { values, b, inner, rows, terms, .. } = self;
        let count = terms.len();
        let columns: [&[T]; C] =
            std::array::from_fn(|j| &b[(self.column + j) * *inner + terms.start..][..count]);
        let fours: [&[[T; 4]]; C] = columns.map(|column| column.as_chunks().0);
        // Narrower vectors take a panel in several passes.
        let vectors = size_of::<T>() * T::ROWS / size_of::<T::Vector<S>>();
        let panels: [&[T::Vector<S>]; P] = std::array::from_fn(|p| {
            let panel = &values[(first + p) * length..][..length];
            T::vectors::<S>(&panel[T::ROWS * terms.start..T::ROWS * terms.end])
        });
        let lanes = T::ROWS / vectors;
        for pass in (0..vectors).step_by(W) {
            let mut sums = [[[T::splat(simd, T::zero()); W]; P]; C];
            // Four terms at a time share their addresses.
            for (k, leading) in panels[0].chunks_exact(4 * vectors).enumerate() {
                let four: [&[T; 4]; C] = std::array::from_fn(|j| &fours[j][k]);
                let weights: [&[T::Vector<S>]; P] = std::array::from_fn(|p| match p {
                    0 => leading,
                    _ => &panels[p][4 * k * vectors..][..4 * vectors],
                });
                for term in 0..4 {
                    for j in 0..C {
                        let x = T::splat(simd, four[j][term]);
                        for p in 0..P {
                            let weights = &weights[p][term * vectors + pass..][..W];
                            for w in 0..W {
                                sums[j][p][w] = T::fused(simd, weights[w], x, sums[j][p][w]);
                            }
                        }
                    }
                }
            }
            for term in count / 4 * 4..count {
                for j in 0..C {
                    let x = T::splat(simd, columns[j][term]);
                    for p in 0..P {
                        let weights = &panels[p][term * vectors + pass..][..W];
                        for w in 0..W {
                            sums[j][p][w] = T::fused(simd, weights[w], x, sums[j][p][w]);
                        }
                    }
                }
            }
            for j in 0..C {
                for p in 0..P {
                    let sum = sums[j][p];
                    let first = (first + p) * T::ROWS + pass * lanes;
                    let last = (*rows).min(first + W * lanes);
                    let place = &mut self.out[(self.column + j) * *rows..][first.min(last)..last];
                    for (o, s) in place.iter_mut().zip(T::scalars::<S>(&sum)) {
                        *o = if self.adds { *o + *s } else { *s };
                    }
                }
            }
        }
    }
}

/// Vectors of a precision.
pub trait Lanes: Sized + Copy {
    /// Rows of a panel: two vectors of 512 bits.
    const ROWS: usize = 128 / size_of::<Self>();
    /// A vector of the instruction set `S`.
    type Vector<S: Simd>: Copy;
    /// The same value in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// a·b + c.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>)
    -> Self::Vector<S>;
    /// A slice as vectors.
    fn vectors<S: Simd>(slice: &[Self]) -> &[Self::Vector<S>];
    /// Vectors as a slice.
    fn scalars<S: Simd>(vectors: &[Self::Vector<S>]) -> &[Self];
}

macro_rules! lanes {
    ($scalar:ty, $vector:ident, $splat:ident, $mul_add:ident, $as_simd:ident) => {
        impl Lanes for $scalar {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }

            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn vectors<S: Simd>(slice: &[Self]) -> &[S::$vector] {
                S::$as_simd(slice).0
            }

            #[inline(always)]
            fn scalars<S: Simd>(vectors: &[S::$vector]) -> &[Self] {
                pulp::bytemuck::cast_slice(vectors)
            }
        }
    };
}

lanes!(f32, f32s, splat_f32s, mul_add_f32s, as_simd_f32s);
lanes!(f64, f64s, splat_f64s, mul_add_f64s, as_simd_f64s);

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use proptest::prelude::*;

    use super::Panels;
    use crate::numerics::scalar::Scalar;

    fn matrix(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * 31 + j * 17 + seed) as f64 * 0.618_034).fract() - 0.5)
    }

    fn of<T: Scalar>(matrix: &DMatrix<f64>) -> Vec<T> {
        matrix.iter().map(|x| T::of(*x)).collect()
    }

    fn product<T: Scalar>(weights: &DMatrix<f64>, b: &[T], out: &[T]) -> Vec<T> {
        let mut panels = Panels::default();
        panels.pack(weights.nrows(), &of::<T>(weights));
        let mut out = out.to_vec();
        panels.multiply_add(b, &mut out);
        out
    }

    proptest! {
        /// The product is that of nalgebra, and each column is the same to the bit whatever stands beside it.
        #[test]
        fn the_product_is_exact_and_columns_are_independent(
            rows in 1..90_usize, inner in prop_oneof![0..70_usize, 500..530_usize, 1020..1030_usize], columns in 1..25_usize,
        ) {
            let (weights, b, start) = (matrix(rows, inner, 1), matrix(inner, columns, 2), matrix(rows, columns, 3));
            let expected = &start + &weights * &b;
            let double = product::<f64>(&weights, &of(&b), &of(&start));
            let single = product::<f32>(&weights, &of(&b), &of(&start));
            for ((d, s), e) in double.iter().zip(&single).zip(expected.iter()) {
                prop_assert!((d - e).abs() <= 1e-15 * inner.max(4) as f64);
                prop_assert!((f64::from(*s) - e).abs() <= 1e-6 * (inner.max(4) as f64).sqrt());
            }
            let (mut panels, mut fresh) = (Panels::default(), vec![f64::NAN; rows * columns]);
            panels.pack(rows, weights.as_slice());
            panels.multiply(b.as_slice(), &mut fresh);
            prop_assert_eq!(&fresh, &product::<f64>(&weights, b.as_slice(), &vec![0.0; rows * columns]));
            // Several of one size, where a larger one has been.
            panels.pack(rows + 40, matrix(rows + 40, 3 * inner + 1, 4).as_slice());
            panels.resize(3, rows, inner);
            let several = [5, 1, 6].map(|seed| matrix(rows, inner, seed));
            several.iter().enumerate().for_each(|(index, weights)| panels.pack_at(index, weights.as_slice()));
            for (index, weights) in several.iter().enumerate() {
                panels.multiply_by(index, b.as_slice(), &mut fresh);
                prop_assert_eq!(&fresh, &product::<f64>(weights, b.as_slice(), &vec![0.0; rows * columns]));
            }
            for j in 0..columns {
                let (b, start) = (b.columns(j, 1).into_owned(), start.columns(j, 1).into_owned());
                prop_assert_eq!(product::<f64>(&weights, &of(&b), &of(&start)), &double[j * rows..(j + 1) * rows]);
                prop_assert_eq!(product::<f32>(&weights, &of(&b), &of(&start)), &single[j * rows..(j + 1) * rows]);
            }
        }
    }
}
