//! Convolution of images, its transpose, and the gradient of its kernel; and convolution with a pooling after it, A(a) = P(K∗a),
//! with everything that a network needs of it.
//!
//! A batch is one column per sample, \[height, width, channel\] with the channel fastest. A kernel is a column-major matrix
//! \[out × patch\] and a patch \[kernel height, kernel width, in\] with the channel fastest: as a flat array \[kernel height,
//! kernel width, in, out\], the order of Flax and Haiku. Like theirs the operation is a correlation: the kernel is not turned.

pub mod geometry;
mod patches;
mod pooled;
mod unrolled;
mod winograd;

use geometry::Geometry;
use patches::Direct;
pub use pooled::{At, PooledConvolution, Scratch};
use unrolled::Unrolled;
use winograd::Winograd;

use crate::numerics::scalar::Scalar;

/// How the products of a convolution are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a matrix of patches.
    Direct,
    /// By Winograd's F(2,3): 2.25 times fewer multiply–adds. Rounds like [`Method::Direct`].
    Winograd2,
    /// By Winograd's F(4,3): 4 times fewer multiply–adds. At the published sizes it rounds like [`Method::Direct`] too, because its
    /// sums are shorter; with few channels up to ten times as much.
    Winograd4,
    /// Position by position, each with a kernel of its own.
    Unrolled,
}

impl Method {
    /// Whether it can do that convolution: the two of Winograd need a kernel of 3 × 3 and a stride of 1.
    #[must_use]
    pub fn suits(self, geometry: &Geometry) -> bool {
        let any = matches!(self, Self::Direct | Self::Unrolled);
        any || (geometry.kernel == [3, 3] && geometry.stride == 1)
    }
}

/// A convolution with its kernel laid out for products.
#[derive(Debug, Clone)]
pub struct Convolution<T: Scalar> {
    geometry: Geometry,
    kernel: Kernel<T>,
}

#[derive(Debug, Clone)]
enum Kernel<T: Scalar> {
    Direct(Direct<T>),
    Winograd(Winograd<T>),
    Unrolled(Unrolled<T>),
}

/// Buffers of a convolution, made at first use.
#[derive(Debug, Clone, Default)]
pub struct Buffers<T> {
    /// Patches, or transformed tiles below and above.
    tiles: [Vec<T>; 2],
    product: Vec<T>,
}

impl<T: Scalar> Convolution<T> {
    /// A convolution whose kernel is yet to be set.
    ///
    /// # Panics
    /// If the method does not suit the geometry.
    #[must_use]
    pub fn new(geometry: Geometry, method: Method) -> Self {
        assert!(method.suits(&geometry), "{method:?} for {geometry:?}");
        let kernel = match method {
            Method::Direct => Kernel::Direct(Direct::default()),
            Method::Winograd2 => Kernel::Winograd(Winograd::new(2)),
            Method::Winograd4 => Kernel::Winograd(Winograd::new(4)),
            Method::Unrolled => Kernel::Unrolled(Unrolled::default()),
        };
        Self { geometry, kernel }
    }

    /// The shapes.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Lays out a kernel [out × patch], of [`Method::Unrolled`] one for each position.
    ///
    /// # Panics
    /// If it has another size.
    pub fn set_kernel(&mut self, weights: &[T]) {
        let unrolled = matches!(self.kernel, Kernel::Unrolled(_));
        let kernels = if unrolled { self.geometry.output.positions() } else { 1 };
        assert_eq!(weights.len(), kernels * self.geometry.weights(), "a kernel of {:?}", self.geometry);
        match &mut self.kernel {
            Kernel::Direct(direct) => direct.set(&self.geometry, weights),
            Kernel::Winograd(winograd) => winograd.set(&self.geometry, weights),
            Kernel::Unrolled(unrolled) => unrolled.set(&self.geometry, weights),
        }
    }

    /// z = K∗a for the images of a.
    ///
    /// # Panics
    /// If z does not have as many images.
    pub fn convolve(&self, a: &[T], z: &mut [T], buffers: &mut Buffers<T>) {
        self.check(a, z);
        match &self.kernel {
            Kernel::Direct(direct) => direct.convolve(&self.geometry, a, z, &mut buffers.tiles[0]),
            Kernel::Winograd(winograd) => winograd.convolve(&self.geometry, a, z, &mut buffers.tiles),
            Kernel::Unrolled(unrolled) => unrolled.convolve(&self.geometry, a, z, &mut buffers.tiles),
        }
    }

    /// a += K ⋆ᵀ w, the transpose of [`Convolution::convolve()`].
    ///
    /// # Panics
    /// If a does not have as many images.
    pub fn transpose_add(&self, w: &[T], a: &mut [T], buffers: &mut Buffers<T>) {
        self.check(a, w);
        match &self.kernel {
            Kernel::Direct(direct) => direct.transpose_add(&self.geometry, w, a, &mut buffers.tiles[0]),
            Kernel::Winograd(winograd) => winograd.transpose_add(&self.geometry, w, a, &mut buffers.tiles),
            Kernel::Unrolled(unrolled) => unrolled.transpose_add(&self.geometry, w, a, &mut buffers.tiles),
        }
    }

    /// gradient += ∂⟨K∗a, w⟩/∂K, summed over the images, and over positions also where each has its own.
    ///
    /// # Panics
    /// If the slices do not have as many images, or the gradient is not of the kernel's size.
    pub fn gradient_add(&self, a: &[T], w: &[T], gradient: &mut [T], buffers: &mut Buffers<T>) {
        self.check(a, w);
        assert_eq!(gradient.len(), self.geometry.weights(), "a gradient of {:?}", self.geometry);
        let Buffers { tiles, product } = buffers;
        match &self.kernel {
            Kernel::Direct(_) | Kernel::Unrolled(_) => {
                patches::outer_add(&self.geometry, a, w, gradient, &mut tiles[0])
            }
            Kernel::Winograd(winograd) => winograd.outer_add(&self.geometry, a, w, gradient, tiles, product),
        }
    }

    /// squares += Σ a² over the patch of each output position [positions × images].
    ///
    /// # Panics
    /// If the slices do not have as many images.
    pub fn squares_add(&self, a: &[T], squares: &mut [T]) {
        let Geometry { input, output, .. } = self.geometry;
        assert_eq!(
            a.len() * output.positions(),
            squares.len() * input.size(),
            "images of {:?}",
            self.geometry
        );
        patches::squares_add(&self.geometry, a, squares);
    }

    fn check(&self, a: &[T], z: &[T]) {
        let Geometry { input, output, .. } = self.geometry;
        let whole = a.len().is_multiple_of(input.size()) && a.len() / input.size() * output.size() == z.len();
        assert!(whole, "{} and {} numbers are no images of {:?}", a.len(), z.len(), self.geometry);
    }
}

#[cfg(test)]
mod tests;
