//! Convolution as a product with a matrix of patches, made for some positions at a time so that it stays in the cache.

use super::geometry::Geometry;
use crate::numerics::panels::Panels;
use crate::numerics::scalar::{Scalar, gemm_outer};

/// Bytes of patches at a time: with the products beside them they should stay in the second-level cache.
const CACHE: usize = 256 * 1024;

/// A kernel and its transpose, laid out for products.
#[derive(Debug, Clone, Default)]
pub(super) struct Direct<T: Scalar> {
    /// [out × patch].
    pub(super) forward: Panels<T>,
    /// [patch × out].
    pub(super) backward: Panels<T>,
}

impl<T: Scalar> Direct<T> {
    /// Lays out a kernel [out × patch].
    pub fn set(&mut self, geometry: &Geometry, weights: &[T]) {
        let (out, patch) = (geometry.output.channels, geometry.fan_in());
        self.forward.pack(out, weights);
        let mut transposed = vec![T::zero(); weights.len()];
        for (k, column) in weights.chunks_exact(out).enumerate() {
            for (o, w) in column.iter().enumerate() {
                transposed[o * patch + k] = *w;
            }
        }
        self.backward.pack(patch, &transposed);
    }

    /// z = K∗a for whole images.
    pub fn convolve(&self, geometry: &Geometry, a: &[T], z: &mut [T], patches: &mut Vec<T>) {
        if geometry.is_pointwise() {
            return self.forward.multiply(a, z);
        }
        let (out, patch) = (geometry.output.channels, geometry.fan_in());
        let block = block::<T>(patch);
        for (index, z) in z.chunks_mut(out * block).enumerate() {
            let patches = sized(patches, z.len() / out * patch);
            gather(geometry, a, index * block, patches);
            self.forward.multiply(patches, z);
        }
    }

    /// a += K ⋆ᵀ w for whole images.
    pub fn transpose_add(&self, geometry: &Geometry, w: &[T], a: &mut [T], patches: &mut Vec<T>) {
        if geometry.is_pointwise() {
            return self.backward.multiply_add(w, a);
        }
        let (out, patch) = (geometry.output.channels, geometry.fan_in());
        let block = block::<T>(patch);
        for (index, w) in w.chunks(out * block).enumerate() {
            let patches = sized(patches, w.len() / out * patch);
            self.backward.multiply(w, patches);
            scatter(geometry, patches, index * block, a);
        }
    }
}

/// gradient [out × patch] += Σ w patchᵀ over all positions of whole images.
pub(super) fn outer_add<T: Scalar>(
    geometry: &Geometry,
    a: &[T],
    w: &[T],
    gradient: &mut [T],
    patches: &mut Vec<T>,
) {
    let (out, patch) = (geometry.output.channels, geometry.fan_in());
    if geometry.is_pointwise() {
        return gemm_outer((out, w.len() / out, patch), w, a, T::one(), gradient);
    }
    // Larger blocks, because each passes through the whole gradient.
    let block = 4 * block::<T>(patch);
    for (index, w) in w.chunks(out * block).enumerate() {
        let patches = sized(patches, w.len() / out * patch);
        gather(geometry, a, index * block, patches);
        gemm_outer((out, w.len() / out, patch), w, patches, T::one(), gradient);
    }
}

/// Positions at a time.
fn block<T>(patch: usize) -> usize {
    (CACHE / (patch * size_of::<T>())).clamp(20, 4096)
}

/// The first `length` places of a buffer that grows when it must.
pub(super) fn sized<T: Scalar>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::zero());
    }
    &mut buffer[..length]
}

/// Copies the patches of output positions from `first` on, counted through all images, into columns.
fn gather<T: Scalar>(geometry: &Geometry, a: &[T], first: usize, patches: &mut [T]) {
    let positions = geometry.output.positions();
    for (offset, patch) in patches.chunks_exact_mut(geometry.fan_in()).enumerate() {
        let (image, position) = ((first + offset) / positions, (first + offset) % positions);
        let image = &a[image * geometry.input.size()..][..geometry.input.size()];
        copy_patch(geometry, image, position, patch);
    }
}

/// Copies the patch of one output position of an image.
pub(super) fn copy_patch<T: Scalar>(geometry: &Geometry, image: &[T], position: usize, patch: &mut [T]) {
    let channels = geometry.input.channels;
    let mut filled = 0;
    for overlap in geometry.overlaps(position) {
        let (start, length) = (overlap.tap * channels, overlap.count * channels);
        patch[filled..start].fill(T::zero());
        patch[start..start + length].copy_from_slice(&image[overlap.position * channels..][..length]);
        filled = start + length;
    }
    patch[filled..].fill(T::zero());
}

/// Adds columns to the patches of output positions from `first` on: the transpose of [`gather`].
fn scatter<T: Scalar>(geometry: &Geometry, patches: &[T], first: usize, a: &mut [T]) {
    let positions = geometry.output.positions();
    for (offset, patch) in patches.chunks_exact(geometry.fan_in()).enumerate() {
        let (image, position) = ((first + offset) / positions, (first + offset) % positions);
        let image = &mut a[image * geometry.input.size()..][..geometry.input.size()];
        add_patch(geometry, patch, position, image);
    }
}

/// Adds a column to the patch of one output position of an image: the transpose of [`copy_patch`].
pub(super) fn add_patch<T: Scalar>(geometry: &Geometry, patch: &[T], position: usize, image: &mut [T]) {
    let channels = geometry.input.channels;
    for overlap in geometry.overlaps(position) {
        let length = overlap.count * channels;
        let places = &mut image[overlap.position * channels..][..length];
        for (place, x) in places.iter_mut().zip(&patch[overlap.tap * channels..][..length]) {
            *place += *x;
        }
    }
}

/// squares += the sum over each output position's patch of a², for whole images.
pub(super) fn squares_add<T: Scalar>(geometry: &Geometry, a: &[T], squares: &mut [T]) {
    let (channels, positions) = (geometry.input.channels, geometry.output.positions());
    for (image, squares) in a.chunks_exact(geometry.input.size()).zip(squares.chunks_exact_mut(positions)) {
        for (position, sum) in squares.iter_mut().enumerate() {
            for overlap in geometry.overlaps(position) {
                let met = &image[overlap.position * channels..][..overlap.count * channels];
                *sum += met.iter().map(|x| *x * *x).sum::<T>();
            }
        }
    }
}
