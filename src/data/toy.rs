//! A toy task of any size: Gaussian clouds, one a class.

use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::digits::check_fraction;
use super::{Dataset, Split};
use crate::error::{Invalid, positive};
use crate::numerics::rng::{Purpose, stream};

/// Gaussian clouds. The centre of a class is drawn uniformly from the unit cube `[0, 1]^inputs`. A sample of that class is
/// the centre plus independent normal deviations of standard deviation `spread` in every input, not clipped. Sample `i`
/// belongs to class `i mod classes`, so classes are as equal in number as they can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToyGaussian {
    /// Number of inputs.
    #[schemars(range(min = 1))]
    pub inputs: usize,
    /// Number of classes.
    #[schemars(range(min = 2))]
    pub classes: usize,
    /// Number of samples, training and test together; at least one a class.
    #[schemars(range(min = 1))]
    pub samples: usize,
    /// Standard deviation of every input around the centre of its class, which lies in the unit cube.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub spread: f64,
    /// Part of the samples that is held back for the test.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub test_fraction: f64,
}

impl Default for ToyGaussian {
    fn default() -> Self {
        Self { inputs: 6, classes: 4, samples: 500, spread: 0.1, test_fraction: 0.2 }
    }
}

impl ToyGaussian {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        let at_least = |path: &str, value: usize, least: usize| {
            // Samples are counted in 32 bits.
            if value >= least && u32::try_from(value).is_ok() {
                Ok(())
            } else {
                let legal = format!("it must be at least {least} and fit in 32 bits");
                Err(Invalid::new(path, format!("found {value}"), legal))
            }
        };
        at_least("inputs", self.inputs, 1)?;
        at_least("classes", self.classes, 2)?;
        at_least("samples", self.samples, self.classes)?;
        let most = 1_u64 << 32;
        if (self.inputs as u64).saturating_mul(self.samples as u64) > most {
            let found = format!("found {} samples of {} inputs", self.samples, self.inputs);
            return Err(Invalid::new("samples", found, format!("at most {most} numbers in all (16 GiB)")));
        }
        positive("spread", self.spread)?;
        check_fraction(self.test_fraction)
    }

    pub(super) fn draw(&self, seed: u64) -> Split {
        Split::shuffled(&self.all(seed), self.test_fraction, seed)
    }

    fn all(&self, seed: u64) -> Dataset {
        // One stream for the centres and one a sample: more samples leave the earlier ones as they are.
        let mut random = stream(seed, Purpose::Data, 0);
        let centres = DMatrix::from_fn(self.inputs, self.classes, |_, _| random.random::<f64>());
        let mut inputs = Vec::with_capacity(self.inputs * self.samples);
        for sample in 0..self.samples {
            let mut random = stream(seed, Purpose::Data, 1 + sample as u64);
            for &centre in centres.column(sample % self.classes).iter() {
                let deviation: f64 = StandardNormal.sample(&mut random);
                inputs.push((centre + self.spread * deviation) as f32);
            }
        }
        let labels = (0..self.samples).map(|sample| (sample % self.classes) as u32).collect();
        let inputs = DMatrix::from_vec(self.inputs, self.samples, inputs);
        Dataset::new(inputs, labels, self.classes, "toy_gaussian")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_scatter_around_their_centre_as_stated() {
        let toy = ToyGaussian { samples: 8000, spread: 0.3, ..ToyGaussian::default() };
        let all = toy.all(7);
        let inputs = all.inputs();
        let mut random = stream(7, Purpose::Data, 0);
        let centres = DMatrix::from_fn(6, 4, |_, _| random.random::<f64>());
        let deviations: Vec<f64> = (0..8000)
            .flat_map(|sample| {
                let class = all.labels[sample] as usize;
                (0..6)
                    .map(|input| f64::from(inputs[(input, sample)]) - centres[(input, class)])
                    .collect::<Vec<_>>()
            })
            .collect();
        // 48,000 normal numbers: mean within 4 standard errors, variance within 4 of its own.
        let n = deviations.len() as f64;
        let mean = deviations.iter().sum::<f64>() / n;
        let variance = deviations.iter().map(|x| x * x).sum::<f64>() / n;
        assert!(mean.abs() < 4.0 * 0.3 / n.sqrt(), "{mean}");
        assert!((variance / 0.09 - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn more_samples_leave_the_earlier_ones() {
        let few = ToyGaussian { samples: 8, ..ToyGaussian::default() }.all(1);
        let many = ToyGaussian { samples: 80, ..ToyGaussian::default() }.all(1);
        assert_eq!(many.inputs().columns(0, 8), *few.inputs());
        assert_ne!(many.inputs(), ToyGaussian { samples: 80, ..ToyGaussian::default() }.all(2).inputs());
    }

    #[test]
    fn nothing_is_lost_in_the_split() {
        let split = ToyGaussian { samples: 10, test_fraction: 0.01, ..ToyGaussian::default() }.draw(3);
        assert_eq!((split.train.samples(), split.test.samples()), (9, 1));
        let mut counts = [0; 4];
        split.train.labels.iter().chain(&split.test.labels).for_each(|&label| counts[label as usize] += 1);
        assert_eq!(counts, [3, 3, 2, 2]);
    }
}
