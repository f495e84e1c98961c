//! The embedded digits: UCI "Optical Recognition of Handwritten Digits" (see `assets/ORIGIN.md`).

use std::io::Read;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::{Dataset, Shape, Split};
use crate::error::Invalid;
use crate::{Error, Result};

const CSV: &[u8] = include_bytes!("assets/digits.csv.gz");
const PIXELS: usize = 64;
/// Samples in all.
pub(super) const SAMPLES: usize = 1797;
/// What a sample is.
pub(super) const SHAPE: Shape = Shape { inputs: PIXELS, image: Some([8, 8, 1]), classes: 10 };

/// Settings of the embedded digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Digits {
    /// Part of the samples that is held back for the test; which ones is drawn from the seed.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub test_fraction: f64,
}

impl Default for Digits {
    fn default() -> Self {
        Self { test_fraction: 0.2 }
    }
}

impl Digits {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        check_fraction(self.test_fraction)
    }

    pub(super) fn load(&self, seed: u64) -> Result<Split> {
        let broken =
            |error: std::io::Error| Error::Internal(format!("the embedded digits are damaged: {error}"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(CSV).read_to_string(&mut text).map_err(broken)?;
        let numbers: Vec<u8> = text
            .split(['\n', ','])
            .filter(|number| !number.is_empty())
            .map(|number| number.parse().map_err(|error| broken(std::io::Error::other(error))))
            .collect::<Result<_>>()?;
        let rows = numbers.chunks_exact(PIXELS + 1);
        let pixels: Vec<f32> =
            rows.clone().flat_map(|row| &row[..PIXELS]).map(|&pixel| f32::from(pixel) / 16.0).collect();
        let labels: Vec<u32> = rows.map(|row| u32::from(row[PIXELS])).collect();
        let inputs = DMatrix::from_vec(PIXELS, labels.len(), pixels);
        let all = Dataset::new(inputs, labels, SHAPE.classes, "digits");
        Ok(Split::shuffled(&all, self.test_fraction, seed))
    }
}

pub(super) fn check_fraction(fraction: f64) -> std::result::Result<(), Invalid> {
    if fraction > 0.0 && fraction < 1.0 {
        Ok(())
    } else {
        Err(Invalid::new(
            "test_fraction",
            format!("found {fraction}"),
            "it must lie between 0 and 1, both excluded",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_those_of_the_source() {
        let split = Digits::default().load(0).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (1438, 359));
        assert_eq!(split.train.samples() + split.test.samples(), SAMPLES);
        let mut counts = [0; 10];
        let mut sum = 0.0;
        for part in [&split.train, &split.test] {
            part.labels.iter().for_each(|&label| counts[label as usize] += 1);
            sum += part.inputs().iter().map(|&x| f64::from(x)).sum::<f64>();
            assert!(part.inputs().iter().all(|&x| (0.0..=1.0).contains(&x) && (x * 16.0).fract() == 0.0));
        }
        // The class counts that the source publishes for its test part, and the sum of all pixels.
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(sum * 16.0, 561_718.0);
    }

    #[test]
    fn the_seed_draws_what_is_held_back() {
        let digits = Digits::default();
        let split = digits.load(1).unwrap();
        assert_eq!(split, digits.load(1).unwrap());
        assert_ne!(split.test.labels, digits.load(2).unwrap().test.labels);
        let half = Digits { test_fraction: 0.5 }.load(1).unwrap();
        assert_eq!(half.test.samples(), 899);
        // A larger test part extends the smaller one.
        assert_eq!(half.test.labels[..359], split.test.labels);
    }
}
