//! Samples that do not settle: estimated again from two real points, or left out of a batch.

use std::slice;

use nalgebra::DMatrix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diagnostics, Estimate, Estimator, EstimatorSpec, Setting, Stop, Surroundings};
use crate::error::{Error, Invalid, Result, positive};
use crate::imperfections::NoiseMemory;
use crate::numerics::scalar::Scalar;
use crate::substrate::Substrate;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// What becomes of samples that do not settle: they are dropped from their batch, whose gradient is the mean over the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsettled {
    /// Largest residual of a sample that counts: the largest |G − s| of its equilibria, or of an always-on drive the largest change of
    /// its state over the last period. A sample whose simulation diverges has none.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub residual: f64,
    /// Whether such a sample is first estimated again from the two real ones of the points of `cauchy`, N = 2.
    #[serde(default)]
    pub two_points: bool,
}

impl Unsettled {
    /// Checks the numbers, and that the estimator has what is asked for.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self, estimator: &EstimatorSpec) -> std::result::Result<(), Invalid> {
        positive("residual", self.residual)?;
        if self.two_points && two_points(estimator).is_none() {
            let found = format!("found true with `{}`", estimator.name());
            let legal = "false, or the estimator `cauchy` with more than 2 points";
            return Err(Invalid::new("two_points", found, legal));
        }
        Ok(())
    }
}

/// The same with two points, where that is another one.
fn two_points(estimator: &EstimatorSpec) -> Option<EstimatorSpec> {
    match *estimator {
        EstimatorSpec::Cauchy(e) if e.points > 2 => {
            Some(EstimatorSpec::Cauchy(super::Cauchy { points: 2, ..e }))
        }
        _ => None,
    }
}

/// An estimator that leaves out what does not settle, and counts it.
pub struct Sifted<T: Scalar> {
    unsettled: Unsettled,
    estimator: Box<dyn Estimator<T>>,
    /// What a sample that does not settle is tried with once more.
    second: Option<Box<dyn Estimator<T>>>,
}

impl<T: Scalar> Sifted<T> {
    /// Of an estimator.
    #[must_use]
    pub fn new(spec: EstimatorSpec, unsettled: Unsettled) -> Self {
        let second = two_points(&spec).filter(|_| unsettled.two_points);
        Self { unsettled, estimator: spec.build(), second: second.map(|second| second.build()) }
    }

    /// An estimate of settled samples; none if one of them is not.
    fn settled(
        &self,
        estimator: &dyn Estimator<T>,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        evaluations: &mut u64,
    ) -> Result<Option<Estimate<T>>> {
        match estimator.estimate(setting, samples, &mut Vec::new()) {
            Ok(estimate) if estimate.diagnostics.settling_residual <= self.unsettled.residual => {
                Ok(Some(estimate))
            }
            Ok(estimate) => {
                *evaluations += estimate.diagnostics.rhs_evaluations;
                Ok(None)
            }
            Err(error) if error.is_failed_simulation() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<T: Scalar> Estimator<T> for Sifted<T> {
    fn amplitude(&self) -> f64 {
        self.estimator.amplitude()
    }

    fn with_amplitude(&self, amplitude: f64) -> Option<Box<dyn Estimator<T>>> {
        let estimator = self.estimator.with_amplitude(amplitude)?;
        let second = self.second.as_ref().and_then(|second| second.with_amplitude(amplitude));
        Some(Box::new(Self { unsettled: self.unsettled, estimator, second }))
    }

    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        _state: &mut Vec<T>,
    ) -> Result<Estimate<T>> {
        let mut evaluations = 0;
        if let Some(all) = self.settled(&*self.estimator, setting, samples, &mut evaluations)? {
            return Ok(all);
        }
        // Which of them it was does not show: each once more, alone.
        let mut sum = nothing(setting.substrate);
        for place in 0..samples.count {
            let sample = samples.select(&[place]);
            let memory = NoiseMemory::default();
            let memories = slice::from_ref(&memory);
            let alone = Setting { noise: setting.noise.map(|n| Surroundings { memories, ..n }), ..*setting };
            let mut found = self.settled(&*self.estimator, &alone, &sample, &mut evaluations)?;
            if let (None, Some(second)) = (&found, &self.second) {
                found = self.settled(&**second, &alone, &sample, &mut evaluations)?;
                sum.diagnostics.two_points += u64::from(found.is_some());
            }
            match found {
                Some(estimate) => sum.join(&estimate),
                None => sum.diagnostics.dropped.push(sample.first),
            }
        }
        sum.diagnostics.rhs_evaluations += evaluations;
        Ok(sum)
    }
}

/// The estimate of no samples.
fn nothing<T: Scalar>(substrate: &dyn Substrate<T>) -> Estimate<T> {
    let empty = |size: usize| DMatrix::zeros(size, 0);
    let layers: Vec<DMatrix<T>> = substrate.populations().iter().map(|p| empty(p.size)).collect();
    Estimate {
        gradient: Parameters::zeros(substrate.parameters()),
        quadrature: None,
        free: layers.clone(),
        error_vector: layers,
        output_error: empty(substrate.outputs()),
        nudged: Vec::new(),
        diagnostics: Diagnostics::frozen(0, 0.0, Stop::Settled),
    }
}

/// The places of the samples of a batch that count.
///
/// # Errors
/// [`Error::Diverged`] if none does.
pub fn counted(samples: usize, dropped: &[usize]) -> Result<Vec<usize>> {
    let counted: Vec<usize> = (0..samples).filter(|place| !dropped.contains(place)).collect();
    if counted.is_empty() {
        return Err(Error::Diverged {
            moment: "while it settled".into(),
            place: format!("every one of {samples} samples"),
            what: "the residual is above `unsettled.residual`".into(),
            advice: "settle for longer, or lower the learning rate or the weights".into(),
        });
    }
    Ok(counted)
}
