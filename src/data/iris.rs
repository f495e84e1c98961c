//! The embedded irises: Fisher's, as the UCI repository has them (see `assets/ORIGIN.md`).

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::digits::check_fraction;
use super::{Dataset, Shape, Split};
use crate::error::Invalid;
use crate::{Error, Result};

const CSV: &str = include_str!("assets/iris.csv");
/// Samples in all.
pub(super) const SAMPLES: usize = 150;
/// What a sample is.
pub(super) const SHAPE: Shape = Shape { inputs: 4, image: None, classes: 3 };

/// Settings of the embedded irises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Iris {
    /// Part of the samples that is held back for the test; which ones is drawn from the seed.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub test_fraction: f64,
}

impl Default for Iris {
    fn default() -> Self {
        Self { test_fraction: 0.2 }
    }
}

impl Iris {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        check_fraction(self.test_fraction)
    }

    pub(super) fn load(&self, seed: u64) -> Result<Split> {
        let broken = |error| Error::Internal(format!("the embedded irises are damaged: {error}"));
        let parse = |number: &str| number.parse::<f32>().map_err(broken);
        let numbers = CSV.split_terminator(['\n', ',']).map(parse).collect::<Result<Vec<f32>>>()?;
        let rows = numbers.chunks_exact(SHAPE.inputs + 1);
        let measured: Vec<f32> = rows.clone().flat_map(|row| &row[..SHAPE.inputs]).copied().collect();
        let labels: Vec<u32> = rows.map(|row| row[SHAPE.inputs] as u32).collect();
        let mut inputs = DMatrix::from_vec(SHAPE.inputs, labels.len(), measured);
        for mut feature in inputs.row_iter_mut() {
            let (low, high) = (feature.min(), feature.max());
            feature.iter_mut().for_each(|x| *x = (*x - low) / (high - low));
        }
        let all = Dataset::new(inputs, labels, SHAPE.classes, "iris");
        Ok(Split::shuffled(&all, self.test_fraction, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_irises_are_those_of_the_source() {
        let numbers = CSV.split_terminator(['\n', ',']).map(|x| x.parse::<f64>().unwrap());
        let numbers: Vec<f64> = numbers.collect();
        let sum = |column: usize| numbers.iter().skip(column).step_by(5).sum::<f64>();
        // The means that the source publishes, of 150.
        let means = [5.84, 3.05, 3.76, 1.20];
        assert!((0..4).all(|column| (sum(column) / 150.0 - means[column]).abs() < 0.006));
        let split = Iris::default().load(0).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (120, 30));
        let mut counts = [0; 3];
        for part in [&split.train, &split.test] {
            part.labels.iter().for_each(|&label| counts[label as usize] += 1);
            assert!(part.inputs().iter().all(|&x| (0.0..=1.0).contains(&x)));
        }
        assert_eq!(counts, [50; 3]);
        assert_ne!(split, Iris::default().load(1).unwrap());
    }
}
