//! What networks learn from: the embedded digits and irises, a toy task, sets of images and one's own; and the order of the samples.

use std::borrow::Cow;
use std::path::PathBuf;

use nalgebra::DMatrix;
use rand::seq::SliceRandom;

use crate::numerics::rng::{Purpose, stream};

mod arrays;
mod batch;
mod cifar;
mod digits;
mod files;
#[cfg(test)]
mod fixtures;
mod folder;
mod given;
mod idx;
mod imagenet;
mod images;
mod iris;
mod mat;
mod mnist;
mod pickle;
mod sets;
mod spec;
mod svhn;
mod toy;
mod unpacked;

pub use arrays::{ArrayFiles, SampleFiles, SamplePair};
pub use digits::Digits;
pub use files::{ImageFiles, Lookup};
pub use folder::ImageFolder;
pub use given::GivenSamples;
use images::Images;
pub use images::{Augment, Normalise};
pub use iris::Iris;
pub use spec::DataSpec;
pub use toy::ToyGaussian;

/// What samples are, before any is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Numbers of a sample.
    pub inputs: usize,
    /// Height, width and channels, where a sample is an image.
    pub image: Option<[usize; 3]>,
    /// How many classes there are.
    pub classes: usize,
}

/// Labelled samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    inputs: Inputs,
    /// The class of every sample, below [`Dataset::classes`].
    pub labels: Vec<u32>,
    /// How many classes there are.
    pub classes: usize,
    /// As `digits`; in files and messages.
    pub name: String,
}

/// How samples lie in memory.
#[derive(Debug, Clone, PartialEq)]
enum Inputs {
    /// `features × samples`: a column is a sample.
    Numbers(DMatrix<f32>),
    Images(Images),
}

impl Dataset {
    /// Samples of numbers, `features × samples`.
    #[must_use]
    pub fn new(inputs: DMatrix<f32>, labels: Vec<u32>, classes: usize, name: &str) -> Self {
        Self { inputs: Inputs::Numbers(inputs), labels, classes, name: name.to_owned() }
    }

    fn of_images(images: Images, labels: Vec<u32>, classes: usize, name: &str) -> Self {
        Self { inputs: Inputs::Images(images), labels, classes, name: name.to_owned() }
    }

    /// `features × samples`: a column is a sample, of images [height, width, channels], channels fastest. Images become
    /// numbers here: of a large set, [select](Self::select) some first.
    #[must_use]
    pub fn inputs(&self) -> Cow<'_, DMatrix<f32>> {
        match &self.inputs {
            Inputs::Numbers(inputs) => Cow::Borrowed(inputs),
            Inputs::Images(images) => Cow::Owned(images.inputs()),
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// Number of inputs of a sample.
    #[must_use]
    pub fn features(&self) -> usize {
        match &self.inputs {
            Inputs::Numbers(inputs) => inputs.nrows(),
            Inputs::Images(images) => images.size(),
        }
    }

    /// The samples of these indices, in this order.
    ///
    /// # Panics
    /// If an index is not below [`Dataset::samples`].
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let inputs = match &self.inputs {
            Inputs::Numbers(inputs) => {
                let columns: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
                Inputs::Numbers(inputs.select_columns(&columns))
            }
            Inputs::Images(images) => Inputs::Images(images.select(indices)),
        };
        self.with(inputs, indices)
    }

    /// The samples of these indices as they are learnt from in an epoch: images changed as their
    /// [augmentation](Augment) says, by chances that depend on the seed, the epoch and the index alone.
    ///
    /// # Panics
    /// If an index is not below [`Dataset::samples`].
    #[must_use]
    pub fn select_augmented(&self, indices: &[u32], seed: u64, epoch: u64) -> Self {
        match &self.inputs {
            Inputs::Numbers(_) => self.select(indices),
            Inputs::Images(images) => {
                self.with(Inputs::Images(images.augmented(indices, seed, epoch)), indices)
            }
        }
    }

    fn with(&self, inputs: Inputs, indices: &[u32]) -> Self {
        Self {
            inputs,
            labels: indices.iter().map(|&index| self.labels[index as usize]).collect(),
            classes: self.classes,
            name: self.name.clone(),
        }
    }

    /// Holds a part out of a training set, for choices that must not see the test set; which one is drawn from the seed.
    #[must_use]
    pub fn hold_out(&self, fraction: f64, seed: u64) -> Split {
        Split::drawn(self, fraction, seed, 1)
    }
}

/// Samples to learn from and samples to be tested on.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// What is learnt from.
    pub train: Dataset,
    /// What is held back.
    pub test: Dataset,
    /// The folder that the files were found in; none for embedded and synthetic data.
    pub folder: Option<PathBuf>,
}

impl Split {
    /// Holds back the nearest whole number of samples to `test_fraction`, but at least one for either part, in an order
    /// drawn from the seed.
    fn shuffled(all: &Dataset, test_fraction: f64, seed: u64) -> Self {
        Self::drawn(all, test_fraction, seed, 0)
    }

    /// The same for one of several independent splits.
    fn drawn(all: &Dataset, test_fraction: f64, seed: u64, index: u64) -> Self {
        let samples = all.samples();
        let test = held_back(samples, test_fraction);
        let order = shuffled(samples, seed, Purpose::Split, index);
        let (test, train) = order.split_at(test);
        Self { train: all.select(train), test: all.select(test), folder: None }
    }
}

/// How many of at least two samples are held back.
fn held_back(samples: usize, test_fraction: f64) -> usize {
    ((samples as f64 * test_fraction).round() as usize).clamp(1, samples - 1)
}

fn shuffled(samples: usize, seed: u64, purpose: Purpose, index: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..samples as u32).collect();
    order.shuffle(&mut stream(seed, purpose, index));
    order
}

/// The batches of an epoch as sample indices: every sample once, in an order that depends on `(seed, epoch)` alone; the
/// last batch is smaller when `batch_size` does not divide `samples`.
///
/// # Panics
/// If `batch_size` is zero.
#[must_use]
pub fn batches(samples: usize, batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<u32>> {
    shuffled(samples, seed, Purpose::BatchOrder, epoch).chunks(batch_size).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_epoch_holds_every_sample_once(samples in 0_usize..300, size in 1_usize..64, seed: u64, epoch: u64) {
            let batches = batches(samples, size, seed, epoch);
            prop_assert_eq!(batches.len(), samples.div_ceil(size));
            if let Some((last, others)) = batches.split_last() {
                prop_assert!(others.iter().all(|batch| batch.len() == size));
                prop_assert!(!last.is_empty());
            }
            let mut seen = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone() {
        assert_eq!(batches(50, 8, 1, 2), batches(50, 8, 1, 2));
        assert_ne!(batches(50, 8, 1, 2), batches(50, 8, 1, 3));
        assert_ne!(batches(50, 8, 1, 2), batches(50, 8, 2, 2));
        // The batch size cuts the same order differently.
        assert_eq!(batches(50, 8, 1, 2).concat(), batches(50, 7, 1, 2).concat());
    }

    #[test]
    fn every_place_in_the_order_is_equally_likely() {
        // The first of 8 samples over 4,000 epochs: χ² with 7 degrees of freedom stays below 24.3 in 99.9 % of cases.
        let mut counts = [0_f64; 8];
        for epoch in 0..4000 {
            counts[batches(8, 8, 3, epoch)[0][0] as usize] += 1.0;
        }
        let chi2: f64 = counts.iter().map(|count| (count - 500.0).powi(2) / 500.0).sum();
        assert!(chi2 < 24.3, "{counts:?}");
    }

    #[test]
    fn select_keeps_input_and_label_together() {
        let inputs = DMatrix::from_fn(2, 5, |row, column| (10 * row + column) as f32);
        let all = Dataset::new(inputs, vec![0, 1, 2, 3, 4], 5, "x");
        let two = all.select(&[3, 0]);
        assert_eq!(*two.inputs(), DMatrix::from_column_slice(2, 2, &[3.0, 13.0, 0.0, 10.0]));
        assert_eq!(two.labels, [3, 0]);
    }
}
