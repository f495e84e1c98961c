//! Where a convolution's kernel meets its input.

use std::ops::Range;

use thiserror::Error;

/// The shape of an image: its numbers are ordered by row, then column, then channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels of one position, which stand side by side.
    pub channels: usize,
}

impl Shape {
    /// [height, width, channels].
    #[must_use]
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Positions.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.height * self.width
    }

    /// Numbers of one image.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.positions() * self.channels
    }
}

/// What surrounds the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// As many zeros as make ⌈size / stride⌉ outputs, half of them before the input; an odd one stands after it.
    Same,
    /// None: the kernel stays inside the input.
    Valid,
}

/// Why a shape cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Misfit {
    /// Something has no extent.
    #[error("{0} is 0; it must be at least 1")]
    Zero(&'static str),
    /// A kernel without padding, or a pooling window, does not fit in.
    #[error("a {what} of {window:?} does not fit into {found:?} (height, width)")]
    Exceeds {
        /// What does not fit.
        what: &'static str,
        /// Its height and width.
        window: [usize; 2],
        /// The height and width that there are.
        found: [usize; 2],
    },
}

/// How many windows of `size` stand inside `extent`, `stride` apart.
pub(crate) fn windows(
    what: &'static str,
    extent: [usize; 2],
    size: [usize; 2],
    stride: usize,
) -> Result<[usize; 2], Misfit> {
    if size[0] > extent[0] || size[1] > extent[1] {
        return Err(Misfit::Exceeds { what, window: size, found: extent });
    }
    Ok([0, 1].map(|axis| (extent[axis] - size[axis]) / stride + 1))
}

/// The shapes of a convolution, and how the input is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// What is convolved.
    pub input: Shape,
    /// The result.
    pub output: Shape,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step of the kernel, in both directions.
    pub stride: usize,
    /// Rows of zeros above the input, and columns of zeros left of it.
    pub before: [usize; 2],
}

impl Geometry {
    /// The geometry of a kernel of that height and width that makes `channels` of each patch.
    ///
    /// # Errors
    /// If something is zero, or an unpadded kernel exceeds the input.
    pub fn new(
        input: Shape,
        channels: usize,
        kernel: [usize; 2],
        stride: usize,
        padding: Padding,
    ) -> Result<Self, Misfit> {
        let extents = [
            ("the input's height", input.height),
            ("the input's width", input.width),
            ("the input's number of channels", input.channels),
            ("the number of channels", channels),
            ("the kernel's height", kernel[0]),
            ("the kernel's width", kernel[1]),
            ("the stride", stride),
        ];
        if let Some((what, _)) = extents.into_iter().find(|(_, extent)| *extent == 0) {
            return Err(Misfit::Zero(what));
        }
        let extent = [input.height, input.width];
        let (output, before) = match padding {
            Padding::Valid => (windows("kernel", extent, kernel, stride)?, [0, 0]),
            Padding::Same => {
                let output = extent.map(|size| size.div_ceil(stride));
                let before = [0, 1].map(|axis| {
                    ((output[axis] - 1) * stride + kernel[axis]).saturating_sub(extent[axis]) / 2
                });
                (output, before)
            }
        };
        Ok(Self { input, output: Shape::new(output[0], output[1], channels), kernel, stride, before })
    }

    /// Numbers that one output is a weighted sum of.
    #[must_use]
    pub const fn fan_in(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.input.channels
    }

    /// Numbers of the kernel.
    #[must_use]
    pub const fn weights(&self) -> usize {
        self.fan_in() * self.output.channels
    }

    /// Multiply–adds of one image, those with padding counted.
    #[must_use]
    pub const fn products(&self) -> usize {
        self.output.positions() * self.weights()
    }

    /// Whether a patch is one position: then the input is its own matrix of patches.
    pub(crate) const fn is_pointwise(&self) -> bool {
        self.kernel[0] == 1 && self.kernel[1] == 1 && self.stride == 1
    }

    /// Where the kernel at an output position meets the input: of each kernel row the first weight and the first position
    /// that meet, and how many do.
    pub(crate) fn overlaps(&self, position: usize) -> impl Iterator<Item = Overlap> + use<> {
        let Self { input, output, kernel, stride, before } = *self;
        let (row, column) = (position / output.width * stride, position % output.width * stride);
        let meet = move |at: usize, axis: usize, extent: usize| -> Range<usize> {
            let first = before[axis].saturating_sub(at).min(kernel[axis]);
            first..(extent + before[axis]).saturating_sub(at).min(kernel[axis]).max(first)
        };
        let columns = meet(column, 1, input.width);
        meet(row, 0, input.height).map(move |kernel_row| Overlap {
            tap: kernel_row * kernel[1] + columns.start,
            position: (row + kernel_row - before[0]) * input.width
                + (column + columns.start).saturating_sub(before[1]),
            count: columns.len(),
        })
    }
}

/// A run of weights of one kernel row over a run of input positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlap {
    /// The first weight, counted by kernel row and column.
    pub tap: usize,
    /// The first input position.
    pub position: usize,
    /// Positions.
    pub count: usize,
}

#[cfg(test)]
mod tests {
    use super::{Geometry, Misfit, Padding, Shape};

    /// Sizes and padding of `lax.conv_general_dilated`.
    #[test]
    fn same_padding_is_that_of_tensorflow() {
        for (size, kernel, stride, outputs, before) in [
            (32, 3, 1, 32, 1),
            (5, 2, 1, 5, 0),
            (7, 3, 2, 4, 1),
            (8, 3, 2, 4, 0),
            (3, 1, 2, 2, 0),
            (2, 5, 1, 2, 2),
            (6, 5, 3, 2, 1),
        ] {
            let same = Geometry::new(Shape::new(size, 4, 2), 3, [kernel, 1], stride, Padding::Same).unwrap();
            assert_eq!((same.output.height, same.before[0]), (outputs, before), "{size} {kernel} {stride}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let of = |kernel, stride| Geometry::new(Shape::new(4, 3, 2), 3, kernel, stride, Padding::Valid);
        let exceeds = Misfit::Exceeds { what: "kernel", window: [4, 4], found: [4, 3] };
        assert_eq!(of([4, 4], 1), Err(exceeds));
        assert_eq!(exceeds.to_string(), "a kernel of [4, 4] does not fit into [4, 3] (height, width)");
        assert_eq!(of([3, 3], 0), Err(Misfit::Zero("the stride")));
        assert_eq!(of([4, 3], 1).unwrap().output, Shape::new(1, 1, 3));
    }
}
