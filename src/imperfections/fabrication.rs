//! Fabrication: what differs from device to device, drawn once per device seed.

use indexmap::IndexMap;
use rand_distr::{Distribution as _, StandardNormal, StudentT};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::measured::MeasuredSamples;
use crate::error::{Invalid, non_negative, positive};

/// Mismatch of neurons and synapses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fabrication {
    /// Gain g of each neuron, a = ρ(g u + o); relative, with σ at most 1. A gain below 0.05 is drawn again.
    pub gain: Option<Mismatch>,
    /// Offset o, minus the threshold, of each neuron, in units of its potential; not `log_normal`.
    pub offset: Option<Mismatch>,
    /// Time constant of each neuron; relative, with σ at most 1. A factor below 0.05 is drawn again.
    pub tau: Option<Mismatch>,
    /// Gain of each clamped input; relative. A factor below zero is zero.
    pub input: Option<Mismatch>,
    /// Weight of each synapse, the read-out's included; relative. A factor below zero is zero. A tied pair is one device:
    /// both directions share it.
    pub weight: Option<Mismatch>,
    /// Weight of each synapse that runs against an earlier connection, beside its `weight`; relative. A factor below zero
    /// is zero. A tied pair becomes two devices.
    pub feedback: Option<Mismatch>,
    /// Synapses that keep one weight, whatever is written.
    pub stuck: Option<Stuck>,
    /// Parameters of neurons by equation, by layer and by name, those that parasitics have (`tau`, `tau_s`, `tau_v`) included; relative, with σ at
    /// most 1. A factor below 0.05 is drawn again.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, IndexMap<String, Mismatch>>,
    /// Fraction of the synapses that conduct nothing.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dead: f64,
}

/// The distribution of a mismatch: a factor 1 + σz, or e^{σz} for `log_normal`; an offset is σz.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mismatch {
    /// What z is.
    #[serde(default)]
    pub distribution: Distribution,
    /// Standard deviation σ; this, `area` or `measured`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub std: Option<f64>,
    /// σ = a/√(width·length), from the size of the transistors; this, `std` or `measured`.
    #[serde(default)]
    pub area: Option<Area>,
    /// What was measured stands for the distribution and its σ: an offset is a sample, a factor 1 plus a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredSamples>,
}

/// σ = a/√(width·length): the area law of Pelgrom, Duinmaijer and Welbers (IEEE J. Solid-State Circuits 24, 1989).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Matching constant, in the mismatch's unit times µm.
    #[schemars(range(min = 0.0))]
    pub a: f64,
    /// Gate width in µm.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub width: f64,
    /// Gate length in µm.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub length: f64,
}

/// A distribution of zero mean (zero median for `log_normal`'s exponent) and unit variance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Normal: a factor is 1 + σz.
    #[default]
    Normal,
    /// The factor's logarithm is normal, e^{σz}: it stays positive, and its median is 1. Not for offsets.
    LogNormal,
    /// Student's t, scaled to standard deviation σ: heavy tails.
    StudentT {
        /// Degrees of freedom.
        #[schemars(extend("exclusiveMinimum" = 2))]
        dof: f64,
    },
}

/// Devices that are stuck.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// Fraction of the synapses; together with `dead` at most 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: f64,
    /// The weight that they keep.
    pub value: f64,
}

/// Factors below it are drawn again where a neuron could not exist with them.
const SMALLEST: f64 = 0.05;

impl Fabrication {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        let Self { gain, offset, tau, input, weight, feedback, .. } = self;
        let parts = [
            ("gain", gain),
            ("offset", offset),
            ("tau", tau),
            ("input", input),
            ("weight", weight),
            ("feedback", feedback),
        ];
        for (name, mismatch) in parts {
            let Some(mismatch) = mismatch else { continue };
            mismatch.validate().map_err(|e| e.under(name))?;
            if matches!(name, "gain" | "tau") && mismatch.spread() > 1.0 {
                let found = format!("found a standard deviation of {}", mismatch.spread());
                return Err(Invalid::new(
                    name,
                    found,
                    "at most 1: a gain or a time constant has to stay positive",
                ));
            }
        }
        for (layer, parameters) in &self.parameters {
            for (name, mismatch) in parameters {
                let path = format!("parameters.{layer}.{name}");
                mismatch.validate().map_err(|e| e.under(&path))?;
                if mismatch.spread() > 1.0 {
                    let found = format!("found a standard deviation of {}", mismatch.spread());
                    return Err(Invalid::new(path, found, "at most 1: a parameter keeps its sign"));
                }
            }
        }
        if offset.as_ref().is_some_and(|o| o.distribution == Distribution::LogNormal) {
            let legal = "an offset has two signs: use normal or student_t";
            return Err(Invalid::new("offset.distribution", "found log_normal", legal));
        }
        fraction("dead", self.dead)?;
        let Some(Stuck { fraction: part, value }) = self.stuck else { return Ok(()) };
        fraction("stuck.fraction", part)?;
        if !value.is_finite() {
            return Err(Invalid::new("stuck.value", format!("found {value}"), "a finite weight"));
        }
        if part + self.dead > 1.0 {
            let found = format!("found {part} stuck and {} dead", self.dead);
            return Err(Invalid::new("stuck.fraction", found, "together at most 1"));
        }
        Ok(())
    }
}

fn fraction(path: &str, value: f64) -> Result<(), Invalid> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(path, format!("found {value}"), "a fraction between 0 and 1"))
}

impl Mismatch {
    /// Normal mismatch of a standard deviation.
    #[must_use]
    pub fn normal(std: f64) -> Self {
        Self { distribution: Distribution::Normal, std: Some(std), area: None, measured: None }
    }

    /// σ.
    #[must_use]
    pub fn spread(&self) -> f64 {
        match (&self.measured, self.std, self.area) {
            (Some(measured), ..) => measured.spread(),
            (_, Some(std), _) => std,
            (_, None, Some(Area { a, width, length })) => a / (width * length).sqrt(),
            (_, None, None) => 0.0,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        if let Some(measured) = &self.measured {
            if self.std.is_some() || self.area.is_some() || self.distribution != Distribution::Normal {
                let found = "found a distribution beside `measured`";
                return Err(Invalid::new("", found, "one of `std`, `area` and `measured`"));
            }
            return measured.validate().map_err(|e| e.under("measured"));
        }
        match (self.std, self.area) {
            (Some(std), None) => non_negative("std", std)?,
            (None, Some(Area { a, width, length })) => {
                non_negative("area.a", a)?;
                positive("area.width", width)?;
                positive("area.length", length)?;
            }
            (Some(_), Some(_)) => {
                return Err(Invalid::new("", "found both `std` and `area`", "one of the two"));
            }
            (None, None) => {
                return Err(Invalid::new(
                    "",
                    "found neither `std` nor `area`",
                    "one of the two, or `measured`",
                ));
            }
        }
        if let Distribution::StudentT { dof } = self.distribution
            && !(dof.is_finite() && dof > 2.0)
        {
            let found = format!("found {dof}");
            return Err(Invalid::new(
                "distribution.student_t.dof",
                found,
                "above 2, where the variance is finite",
            ));
        }
        Ok(())
    }

    /// σz, or the whole of a log-normal factor less one.
    fn deviation(&self, stream: &mut impl rand::Rng) -> f64 {
        if let Some(measured) = &self.measured {
            return measured.draw(stream);
        }
        let spread = self.spread();
        match self.distribution {
            Distribution::Normal => spread * Distribution::normal(stream),
            Distribution::LogNormal => (spread * Distribution::normal(stream)).exp_m1(),
            Distribution::StudentT { dof } => {
                let t = StudentT::new(dof).expect("validated degrees of freedom");
                spread * ((dof - 2.0) / dof).sqrt() * t.sample(stream)
            }
        }
    }

    /// Additive mismatch of `count` devices.
    pub(super) fn offsets(&self, count: usize, stream: &mut impl rand::Rng) -> Vec<f64> {
        (0..count).map(|_| self.deviation(stream)).collect()
    }

    /// Factors of `count` devices; none conducts less than nothing.
    pub(super) fn factors(&self, count: usize, stream: &mut impl rand::Rng) -> Vec<f64> {
        (0..count).map(|_| (1.0 + self.deviation(stream)).max(0.0)).collect()
    }

    /// Factors of `count` neurons, positive.
    pub(super) fn positive_factors(&self, count: usize, stream: &mut impl rand::Rng) -> Vec<f64> {
        let mut draw = || loop {
            let factor = 1.0 + self.deviation(stream);
            if factor >= SMALLEST {
                return factor;
            }
        };
        (0..count).map(|_| draw()).collect()
    }
}

impl Distribution {
    fn normal(stream: &mut impl rand::Rng) -> f64 {
        StandardNormal.sample(stream)
    }
}
