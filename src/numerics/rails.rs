//! Complex numbers as two slices, real ones as one: how a batch of states is cut into samples.

use std::ops::Range;

/// The values of a batch: all samples' real parts, and all samples' imaginary parts, or none where the values are real.
#[derive(Debug, Clone, Copy)]
pub struct Rails<'a, T> {
    /// Real parts, one sample after the other.
    pub re: &'a [T],
    /// Imaginary parts, or nothing.
    pub im: &'a [T],
}

impl<'a, T> Rails<'a, T> {
    /// Real values.
    #[must_use]
    pub fn real(re: &'a [T]) -> Self {
        Self { re, im: &[] }
    }

    /// `rails` (one or two) equal parts of a slice.
    #[must_use]
    pub fn of(values: &'a [T], rails: usize) -> Self {
        let (re, im) = values.split_at(values.len() / rails);
        Self { re, im }
    }

    /// One if the values are real, two if they are complex.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + usize::from(!self.im.is_empty())
    }

    /// Some samples of `size` numbers each.
    #[must_use]
    pub fn samples(&self, range: &Range<usize>, size: usize) -> Rails<'a, T> {
        let cut =
            |rail: &'a [T]| if rail.is_empty() { rail } else { &rail[size * range.start..size * range.end] };
        Rails { re: cut(self.re), im: cut(self.im) }
    }

    /// One rail, as real values.
    #[must_use]
    pub fn rail(&self, index: usize) -> Rails<'a, T> {
        Rails::real(if index == 0 { self.re } else { self.im })
    }

    /// The rails that there are.
    pub fn each(&self) -> impl Iterator<Item = &'a [T]> {
        [self.re, self.im].into_iter().take(self.count())
    }
}

/// [`Rails`] to be written.
#[derive(Debug)]
pub struct RailsMut<'a, T> {
    /// Real parts, one sample after the other.
    pub re: &'a mut [T],
    /// Imaginary parts, or nothing.
    pub im: &'a mut [T],
}

impl<'a, T> RailsMut<'a, T> {
    /// Real values.
    pub fn real(re: &'a mut [T]) -> Self {
        Self { re, im: &mut [] }
    }

    /// `rails` (one or two) equal parts of a slice.
    pub fn of(values: &'a mut [T], rails: usize) -> Self {
        let (re, im) = values.split_at_mut(values.len() / rails);
        Self { re, im }
    }

    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> RailsMut<'_, T> {
        RailsMut { re: self.re, im: self.im }
    }

    /// One rail, as real values.
    pub fn rail(&mut self, index: usize) -> RailsMut<'_, T> {
        RailsMut::real(if index == 0 { self.re } else { self.im })
    }

    /// To be read.
    #[must_use]
    pub fn shared(&self) -> Rails<'_, T> {
        Rails { re: self.re, im: self.im }
    }

    /// Some samples of `size` numbers each.
    pub fn samples(&mut self, range: &Range<usize>, size: usize) -> RailsMut<'_, T> {
        let range = size * range.start..size * range.end;
        let im = if self.im.is_empty() { &mut [] } else { &mut self.im[range.clone()] };
        RailsMut { re: &mut self.re[range], im }
    }

    /// The rails that there are.
    pub fn each(self) -> impl Iterator<Item = &'a mut [T]> {
        [self.re, self.im].into_iter().filter(|rail| !rail.is_empty())
    }
}
