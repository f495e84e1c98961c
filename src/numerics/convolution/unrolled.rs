//! A convolution every position of which has a kernel of its own: a locally connected layer.

use super::geometry::Geometry;
use super::patches::{Direct, add_patch, copy_patch, sized};
use crate::numerics::scalar::Scalar;

/// The kernel of each position.
#[derive(Debug, Clone, Default)]
pub(super) struct Unrolled<T: Scalar> {
    kernels: Vec<Direct<T>>,
}

impl<T: Scalar> Unrolled<T> {
    /// Lays out the kernels [out × patch], one position after the other.
    pub fn set(&mut self, geometry: &Geometry, weights: &[T]) {
        self.kernels.resize_with(geometry.output.positions(), Direct::default);
        let each = self.kernels.iter_mut().zip(weights.chunks_exact(geometry.weights()));
        each.for_each(|(kernel, weights)| kernel.set(geometry, weights));
    }

    /// z = K∗a for whole images, position by position.
    pub fn convolve(&self, geometry: &Geometry, a: &[T], z: &mut [T], [patches, results]: &mut [Vec<T>; 2]) {
        let (out, patch) = (geometry.output.channels, geometry.fan_in());
        let images = a.len() / geometry.input.size();
        for (position, kernel) in self.kernels.iter().enumerate() {
            let patches = sized(patches, images * patch);
            for (patch, image) in patches.chunks_exact_mut(patch).zip(a.chunks_exact(geometry.input.size())) {
                copy_patch(geometry, image, position, patch);
            }
            let results = sized(results, images * out);
            kernel.forward.multiply(patches, results);
            for (z, result) in z.chunks_exact_mut(geometry.output.size()).zip(results.chunks_exact(out)) {
                z[position * out..][..out].copy_from_slice(result);
            }
        }
    }

    /// a += K ⋆ᵀ w for whole images.
    pub fn transpose_add(
        &self,
        geometry: &Geometry,
        w: &[T],
        a: &mut [T],
        [patches, columns]: &mut [Vec<T>; 2],
    ) {
        let (out, patch) = (geometry.output.channels, geometry.fan_in());
        let images = a.len() / geometry.input.size();
        for (position, kernel) in self.kernels.iter().enumerate() {
            let columns = sized(columns, images * out);
            for (column, w) in columns.chunks_exact_mut(out).zip(w.chunks_exact(geometry.output.size())) {
                column.copy_from_slice(&w[position * out..][..out]);
            }
            let patches = sized(patches, images * patch);
            kernel.backward.multiply(columns, patches);
            for (patch, image) in patches.chunks_exact(patch).zip(a.chunks_exact_mut(geometry.input.size())) {
                add_patch(geometry, patch, position, image);
            }
        }
    }
}
