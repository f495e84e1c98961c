//! A batch of samples, as the substrate sees them.

use nalgebra::DMatrix;

use crate::numerics::scalar::Scalar;

/// A batch of inputs and what the output should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples<T> {
    /// Inputs, [inputs × samples] column-major.
    pub inputs: Vec<T>,
    /// Targets, [outputs × samples] column-major: one-hot labels, or values.
    pub targets: Vec<T>,
    /// Number of samples.
    pub count: usize,
    /// Place of the first sample in its batch; noise is keyed by it.
    pub first: usize,
}

/// A batch in memory that belongs to somebody else, laid out as [`Samples`].
#[derive(Debug, Clone, Copy)]
pub struct SampleView<'a, T> {
    /// Inputs, [inputs × samples] column-major.
    pub inputs: &'a [T],
    /// Targets, [outputs × samples] column-major.
    pub targets: &'a [T],
    /// Number of samples.
    pub count: usize,
    /// Place of the first sample in its batch.
    pub first: usize,
}

impl<T: Scalar> SampleView<'_, T> {
    /// `count` samples from the one at `start` on, or as many as there are: the only copy that an estimate makes of them.
    #[must_use]
    pub fn part(&self, start: usize, count: usize) -> Samples<T> {
        let end = (start + count).min(self.count);
        let columns = |values: &[T]| {
            let size = values.len() / self.count;
            values[start * size..end * size].to_vec()
        };
        Samples {
            inputs: columns(self.inputs),
            targets: columns(self.targets),
            count: end - start,
            first: self.first + start,
        }
    }
}

impl<T: Scalar> Samples<T> {
    /// The same, where they lie.
    #[must_use]
    pub fn view(&self) -> SampleView<'_, T> {
        SampleView { inputs: &self.inputs, targets: &self.targets, count: self.count, first: self.first }
    }

    /// Labelled samples: `inputs` is [inputs × samples], the targets become one-hot.
    ///
    /// # Panics
    /// If there is not one label for each column, or a label is not below `classes`.
    #[must_use]
    pub fn labelled<U: Scalar>(inputs: &DMatrix<U>, labels: &[u32], classes: usize) -> Self {
        assert_eq!(inputs.ncols(), labels.len(), "one label for each sample");
        let mut targets = vec![T::zero(); classes * labels.len()];
        for (column, label) in targets.chunks_exact_mut(classes).zip(labels) {
            column[*label as usize] = T::one();
        }
        Self {
            inputs: inputs.iter().map(|x| T::of(x.double())).collect(),
            targets,
            count: labels.len(),
            first: 0,
        }
    }

    /// Samples with target values: `inputs` is [inputs × samples], `targets` [outputs × samples].
    ///
    /// # Panics
    /// If the two have different numbers of columns.
    #[must_use]
    pub fn valued(inputs: &DMatrix<T>, targets: &DMatrix<T>) -> Self {
        assert_eq!(inputs.ncols(), targets.ncols(), "one target for each sample");
        Self {
            inputs: inputs.as_slice().to_vec(),
            targets: targets.as_slice().to_vec(),
            count: inputs.ncols(),
            first: 0,
        }
    }

    /// So many samples after each other, with their targets.
    ///
    /// # Panics
    /// If inputs or targets cannot be shared out evenly.
    #[must_use]
    pub fn of(count: usize, inputs: &[T], targets: &[T]) -> Self {
        assert!(
            inputs.len().is_multiple_of(count) && targets.len().is_multiple_of(count),
            "as many of each for every sample"
        );
        Self { inputs: inputs.to_vec(), targets: targets.to_vec(), count, first: 0 }
    }

    /// Some of the samples, in the order given. Noise is keyed by the place of the first: it is that of the whole batch only for
    /// samples that follow each other.
    #[must_use]
    pub fn select(&self, which: &[usize]) -> Self {
        let columns = |values: &[T]| {
            let size = values.len() / self.count;
            which.iter().flat_map(|i| &values[i * size..(i + 1) * size]).copied().collect()
        };
        Self {
            inputs: columns(&self.inputs),
            targets: columns(&self.targets),
            count: which.len(),
            first: self.first + which.first().copied().unwrap_or(0),
        }
    }
}
