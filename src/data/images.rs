//! Images as bytes: 3.7 GB of them would take four times as much as numbers, so that they become numbers batch by batch.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::numerics::rng::{NoiseKey, Purpose};

/// How pixels, which lie between 0 and 1, become inputs: (pixel − mean) / std, channel by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// What is subtracted, for each channel.
    pub mean: Vec<f64>,
    /// What is divided by, for each channel.
    pub std: Vec<f64>,
}

impl Normalise {
    pub(super) fn of(mean: &[f64], std: &[f64]) -> Self {
        Self { mean: mean.to_vec(), std: std.to_vec() }
    }

    /// `channels` is none where only the files tell.
    pub(super) fn check(&self, channels: Option<usize>) -> Result<(), Invalid> {
        let channels = channels.unwrap_or(self.mean.len());
        for (path, numbers) in [("mean", &self.mean), ("std", &self.std)] {
            if numbers.len() != channels {
                let legal = format!("one for each of {channels} channels");
                return Err(Invalid::new(path, format!("found {} numbers", numbers.len()), legal));
            }
        }
        if let Some(std) = self.std.iter().find(|std| **std <= 0.0) {
            return Err(Invalid::new("std", format!("found {std}"), "a number above 0"));
        }
        let is_finite = |(mean, std): &(&f64, &f64)| {
            [0.0, 1.0].into_iter().all(|pixel| (((pixel - *mean) / *std) as f32).is_finite())
        };
        match self.mean.iter().zip(&self.std).find(|channel| !is_finite(channel)) {
            None => Ok(()),
            Some((mean, std)) => {
                let legal = "inputs must be finite in single precision";
                Err(Invalid::new("std", format!("found {std:e} beside a mean of {mean:e}"), legal))
            }
        }
    }

    /// What each of 256 bytes becomes.
    fn table(&self, channel: usize) -> [f32; 256] {
        let (mean, std) = (self.mean[channel], self.std[channel]);
        std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / std) as f32)
    }
}

/// Changes to training images, drawn anew for each sample in each epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Whether every second image, by chance, is seen in a mirror: left becomes right.
    pub flip: bool,
    /// Pixels of black that are added on each side, before as much is cut off by chance; 0 for none.
    pub crop: usize,
}

impl Augment {
    pub(super) fn check(&self, shape: [usize; 3]) -> Result<(), Invalid> {
        let most = shape[0].min(shape[1]);
        if self.crop > most {
            let legal = format!("at most the image's own {most} pixels");
            return Err(Invalid::new("crop", format!("found {}", self.crop), legal));
        }
        Ok(())
    }
}

/// Images of one shape, one byte a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Images {
    /// [height, width, channels] of each image, channels fastest, image by image.
    pub(super) pixels: Vec<u8>,
    pub(super) shape: [usize; 3],
    pub(super) normalise: Normalise,
    pub(super) augment: Option<Augment>,
}

impl Images {
    pub(super) fn size(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn image(&self, sample: u32) -> &[u8] {
        let size = self.size();
        &self.pixels[sample as usize * size..][..size]
    }

    /// The images of these indices, in this order, as they are.
    pub(super) fn select(&self, which: &[u32]) -> Self {
        let mut pixels = Vec::with_capacity(which.len() * self.size());
        which.iter().for_each(|&sample| pixels.extend_from_slice(self.image(sample)));
        self.with(pixels)
    }

    /// The same, each changed in a way that depends on the seed, the epoch and its index alone.
    pub(super) fn augmented(&self, which: &[u32], seed: u64, epoch: u64) -> Self {
        let Some(augment) = self.augment else { return self.select(which) };
        let key = NoiseKey::new(seed, Purpose::Augmentation, epoch);
        let mut pixels = vec![0; which.len() * self.size()];
        for (&sample, into) in which.iter().zip(pixels.chunks_exact_mut(self.size())) {
            let mut chance = [0.0_f64; 3];
            key.uniforms(u64::from(sample), 0, &mut chance);
            let [mirror, down, right] = chance;
            let places = (2 * augment.crop + 1) as f64;
            let shift = |chance: f64| (chance * places) as usize;
            let flip = augment.flip && mirror < 0.5;
            self.cut(self.image(sample), [shift(down), shift(right)], augment.crop, flip, into);
        }
        self.with(pixels)
    }

    /// What is seen through a window of the image's own size that begins at a place of the padded image.
    fn cut(&self, image: &[u8], [down, right]: [usize; 2], pad: usize, flip: bool, into: &mut [u8]) {
        let [height, width, channels] = self.shape;
        for (row, line) in into.chunks_exact_mut(width * channels).enumerate() {
            let Some(from) = (row + down).checked_sub(pad).filter(|from| *from < height) else { continue };
            let source = &image[from * width * channels..][..width * channels];
            for (column, pixel) in line.chunks_exact_mut(channels).enumerate() {
                let column = if flip { width - 1 - column } else { column };
                if let Some(from) = (column + right).checked_sub(pad).filter(|from| *from < width) {
                    pixel.copy_from_slice(&source[from * channels..][..channels]);
                }
            }
        }
    }

    fn with(&self, pixels: Vec<u8>) -> Self {
        Self { pixels, shape: self.shape, normalise: self.normalise.clone(), augment: self.augment }
    }

    /// As inputs of a network: a column is an image.
    pub(super) fn inputs(&self) -> DMatrix<f32> {
        let tables: Vec<[f32; 256]> =
            (0..self.shape[2]).map(|channel| self.normalise.table(channel)).collect();
        let mut numbers = Vec::with_capacity(self.pixels.len());
        for pixel in self.pixels.chunks_exact(tables.len()) {
            numbers.extend(pixel.iter().zip(&tables).map(|(&byte, table)| table[usize::from(byte)]));
        }
        DMatrix::from_vec(self.size(), self.pixels.len() / self.size(), numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images whose every byte is another.
    fn images(augment: Augment) -> Images {
        Images {
            pixels: (1..=120).collect(),
            shape: [4, 5, 2],
            normalise: Normalise::of(&[0.0; 2], &[1.0; 2]),
            augment: Some(augment),
        }
    }

    /// Pixels of grey images stay, to the bit, what division in single precision makes of them.
    #[test]
    fn a_pixel_is_its_byte_by_255() {
        let table = Normalise::of(&[0.0], &[1.0]).table(0);
        (0..=255_u8).for_each(|byte| {
            assert_eq!(table[usize::from(byte)].to_bits(), (f32::from(byte) / 255.0).to_bits());
        });
    }

    #[test]
    fn every_channel_is_normalised_by_its_own_numbers() {
        let mut images = images(Augment::default());
        images.normalise = Normalise::of(&[0.5, 0.0], &[0.25, 2.0]);
        let inputs = images.inputs();
        assert_eq!(inputs.shape(), (40, 3));
        for (place, &input) in inputs.as_slice().iter().enumerate() {
            let pixel = (place + 1) as f64 / 255.0;
            let expected = if place % 2 == 0 { (pixel - 0.5) / 0.25 } else { pixel / 2.0 };
            assert_eq!(input, expected as f32);
        }
    }

    #[test]
    fn a_window_shows_the_padded_image() {
        let images = images(Augment { flip: false, crop: 2 });
        let at = |image: &[u8], row: usize, column: usize| {
            [image[10 * row + 2 * column], image[10 * row + 2 * column + 1]]
        };
        for (down, right, flip) in
            [(0, 0, false), (4, 1, false), (2, 2, false), (2, 2, true), (3, 0, true), (1, 4, true)]
        {
            let mut seen = vec![0; 40];
            images.cut(images.image(1), [down, right], 2, flip, &mut seen);
            for row in 0..4_usize {
                for column in 0..5_usize {
                    let source = if flip { 4 - column } else { column };
                    let (from_row, from_column) = (row + down, source + right);
                    let inside = (2..6).contains(&from_row) && (2..7).contains(&from_column);
                    let expected =
                        if inside { at(images.image(1), from_row - 2, from_column - 2) } else { [0, 0] };
                    assert_eq!(at(&seen, row, column), expected, "{down} {right} {flip} at {row} {column}");
                }
            }
        }
    }

    #[test]
    fn what_changes_depends_on_seed_epoch_and_sample_alone() {
        let images = images(Augment { flip: true, crop: 1 });
        let all = images.augmented(&[0, 1, 2], 3, 5);
        assert_eq!(images.augmented(&[2, 0], 3, 5), all.select(&[2, 0]));
        let mut seeds = 4..20;
        assert!(seeds.any(|seed| images.augmented(&[0, 1, 2], seed, 5) != all));
        assert!((6..20).any(|epoch| images.augmented(&[0, 1, 2], 3, epoch) != all));
        // Without a choice they stay as they are.
        assert_eq!(
            Images { augment: None, ..images.clone() }.augmented(&[1], 3, 5).pixels,
            images.select(&[1]).pixels
        );
    }

    /// Every window and either side are equally likely: χ² with 17 degrees of freedom stays below 40.8 in 99.9 % of cases.
    #[test]
    fn every_change_is_equally_likely() {
        let images = images(Augment { flip: true, crop: 1 });
        let mut counts = std::collections::BTreeMap::<Vec<u8>, f64>::new();
        for epoch in 0..3600 {
            *counts.entry(images.augmented(&[1], 7, epoch).pixels).or_default() += 1.0;
        }
        assert_eq!(counts.len(), 18);
        let chi2: f64 = counts.values().map(|count| (count - 200.0).powi(2) / 200.0).sum();
        assert!(chi2 < 40.8, "{chi2}");
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let said = |normalise: Normalise| normalise.check(Some(3)).unwrap_err().to_string();
        assert_eq!(
            said(Normalise::of(&[0.0], &[1.0; 3])),
            "at `mean`: found 1 numbers; one for each of 3 channels"
        );
        assert_eq!(said(Normalise::of(&[0.0; 3], &[1.0, 0.0, 1.0])), "at `std`: found 0; a number above 0");
        let legal = "inputs must be finite in single precision";
        let told = format!("at `std`: found 1e0 beside a mean of 1e300; {legal}");
        assert_eq!(said(Normalise::of(&[0.0, 1e300, 0.0], &[1.0; 3])), told);
        let told = format!("at `std`: found 1e-300 beside a mean of 0e0; {legal}");
        assert_eq!(said(Normalise::of(&[0.0; 3], &[1.0, 1.0, 1e-300])), told);
        Normalise::of(&[-1.0; 3], &[1e-3; 3]).check(Some(3)).unwrap();
        let invalid = Augment { flip: false, crop: 5 }.check([4, 5, 1]).unwrap_err();
        assert_eq!(invalid.to_string(), "at `crop`: found 5; at most the image's own 4 pixels");
    }
}
