//! Samples that the program hands over which begins a run.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Lookup, Shape, Split};
use crate::error::Invalid;
use crate::{Error, Result};

/// What is noted of samples that a program hands over. They are not kept: whoever continues the run hands them over again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenSamples {
    /// Numbers of a sample.
    #[schemars(range(min = 1))]
    pub inputs: usize,
    /// Height, width and channels, where a sample is an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 3]>,
    /// How many classes there are.
    #[schemars(range(min = 2))]
    pub classes: usize,
    /// How many samples are learnt from.
    #[schemars(range(min = 1))]
    pub train: usize,
    /// How many samples are held back for the test.
    #[schemars(range(min = 1))]
    pub test: usize,
    /// SHA-256 of all inputs, in single precision, and labels.
    pub sha256: String,
}

impl GivenSamples {
    pub(super) fn of(split: &Split, image: Option<[usize; 3]>) -> Self {
        let Split { train, test, .. } = split;
        Self {
            inputs: train.features(),
            image,
            classes: train.classes,
            train: train.samples(),
            test: test.samples(),
            sha256: sum(split),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        Shape { inputs: self.inputs, image: self.image, classes: self.classes }
    }

    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        for (path, count) in [("inputs", self.inputs), ("train", self.train), ("test", self.test)] {
            if count == 0 {
                return Err(Invalid::new(path, "found 0", "at least 1"));
            }
        }
        match self.classes {
            0 | 1 => Err(Invalid::new("classes", format!("found {}", self.classes), "at least 2")),
            _ => Ok(()),
        }
    }

    pub(super) fn load(&self, lookup: &Lookup) -> Result<Split> {
        let refuse = |found: &str, legal: &str| Err(Error::input("experiment", "data.given", found, legal));
        let Some(split) = &lookup.given else {
            let legal = "they are not kept with the run: begin or continue it from there, as by hg.run(…, data=…) in Python";
            return refuse("found samples that another program has handed over", legal);
        };
        if Self::of(split, self.image) != *self {
            return refuse("found other samples than the run began with", "the same ones");
        }
        Ok(Split::clone(split))
    }
}

fn sum(Split { train, test, .. }: &Split) -> String {
    let mut digest = Sha256::new();
    for dataset in [train, test] {
        dataset.inputs().iter().for_each(|x| digest.update(x.to_le_bytes()));
        dataset.labels.iter().for_each(|label| digest.update(label.to_le_bytes()));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nalgebra::DMatrix;

    use super::*;
    use crate::data::{DataSpec, Dataset};

    #[test]
    fn the_same_samples_are_needed_again() {
        let dataset = |x: f32| Dataset::new(DMatrix::from_element(2, 3, x), vec![0, 1, 0], 2, "given");
        let split = |x: f32| Split { train: dataset(x), test: dataset(0.0), folder: None };
        let spec = DataSpec::given(&split(1.0), None);
        let load =
            |given: Option<Split>| spec.load(0, &Lookup { given: given.map(Arc::new), ..Lookup::default() });
        assert_eq!(load(Some(split(1.0))).unwrap(), split(1.0));
        let told = |given| load(given).unwrap_err().to_string();
        assert!(told(Some(split(2.0))).contains("at `data.given`: found other samples"));
        assert!(told(None).contains("found samples that another program has handed over"));
        assert_eq!(spec.counts(&Lookup::default()).unwrap(), (3, 3));
    }
}
