//! Programming: what happens to a weight when it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update::UpdateRule;
use crate::error::{Invalid, non_negative, positive};

/// How weights are written. A weight is a differential pair, w = (G⁺ − G⁻)·`weight_max`/(g_max − g_min), of which one device
/// carries the weight and the other rests at `g_min`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Programming {
    /// Conductance of a device at rest, in µS.
    #[schemars(range(min = 0.0))]
    pub g_min: f64,
    /// Largest conductance of a device, in µS; above `g_min`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub g_max: f64,
    /// |w| at the largest conductance; beyond it weights are clipped. Null: the largest |w| of each matrix when it is written.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub weight_max: Option<f64>,
    /// Number of levels of a device, `g_min` and `g_max` included; a weight then has 2 · levels − 1. Null for a continuum.
    #[schemars(range(min = 2, max = 1 << 24))]
    pub levels: Option<u32>,
    /// The same as 2^bits levels; this or `levels`.
    #[schemars(range(min = 1, max = 24))]
    pub bits: Option<u32>,
    /// Standard deviation of each device's conductance after a write, cut at zero conductance.
    pub noise: Option<WriteNoise>,
    /// How a device answers to the pulses of a weight update, which need a `weight_max`; null: it is set to the new value.
    pub update: Option<UpdateRule>,
}

impl Default for Programming {
    fn default() -> Self {
        Self { g_min: 0.0, g_max: 1.0, weight_max: None, levels: None, bits: None, noise: None, update: None }
    }
}

/// Standard deviation σ of a device's conductance after a write.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WriteNoise {
    /// The same for every conductance.
    Absolute {
        /// σ in µS.
        #[schemars(range(min = 0.0))]
        std: f64,
    },
    /// In proportion to the conductance.
    Relative {
        /// σ/G.
        #[schemars(range(min = 0.0))]
        std: f64,
    },
    /// Phase-change memory: σ = 0.2635 + 1.965 g − 1.1731 g² µS, g = G/25 µS, to 25 µS (Nandakumar et al. 2019).
    Pcm,
    /// σ = 1.536e-4 G³ − 0.01167 G² + 0.2374 G + 1.053 µS, to 39 µS (Wan et al. 2022).
    #[serde(alias = "rram-wan")]
    RramWan,
    /// σ = 4.782321 − 0.009107 G µS, 50 to 225 µS (Milo et al. 2021).
    #[serde(alias = "rram-milo")]
    RramMilo,
    /// σ = 0.01121854 + 0.01129027 G µS, 9 to 88.2 µS (Falcone et al. 2025, 2 % acceptance).
    #[serde(alias = "cmo-hfox")]
    CmoHfox,
}

impl WriteNoise {
    /// σ(G) in µS.
    #[must_use]
    pub fn sigma(self, g: f64) -> f64 {
        let sigma = match self {
            Self::Absolute { std } => std,
            Self::Relative { std } => std * g,
            Self::Pcm => {
                let g = g / 25.0;
                0.2635 + g * (1.9650 - 1.1731 * g)
            }
            Self::RramWan => 1.053 + g * (2.374e-1 + g * (-1.167e-2 + g * 1.536e-4)),
            Self::RramMilo => 4.782_321 - 0.009_107 * g,
            Self::CmoHfox => 0.011_218_54 + 0.011_290_27 * g,
        };
        sigma.max(0.0)
    }

    /// Conductances in µS for which the law was published.
    #[must_use]
    pub fn range(self) -> Option<[f64; 2]> {
        match self {
            Self::Absolute { .. } | Self::Relative { .. } => None,
            Self::Pcm => Some([0.0, 25.0]),
            Self::RramWan => Some([0.0, 39.0]),
            Self::RramMilo => Some([50.0, 225.0]),
            Self::CmoHfox => Some([9.0, 88.2]),
        }
    }

    fn validate(self) -> Result<(), Invalid> {
        match self {
            Self::Absolute { std } => non_negative("absolute.std", std),
            Self::Relative { std } => non_negative("relative.std", std),
            _ => Ok(()),
        }
    }
}

impl Programming {
    /// Checks the numbers, and that the conductances lie where the noise law was published.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        non_negative("g_min", self.g_min)?;
        positive("g_max", self.g_max)?;
        if self.g_max <= self.g_min {
            let found = format!("found {} with a g_min of {}", self.g_max, self.g_min);
            return Err(Invalid::new("g_max", found, "it must be above `g_min`"));
        }
        if let Some(weight_max) = self.weight_max {
            positive("weight_max", weight_max)?;
        }
        match (self.levels, self.bits) {
            (Some(_), Some(_)) => {
                return Err(Invalid::new("bits", "found both `levels` and `bits`", "one of the two"));
            }
            (Some(levels), None) if !(2..=1 << 24).contains(&levels) => {
                return Err(Invalid::new("levels", format!("found {levels}"), "2 to 16777216 levels"));
            }
            (None, Some(bits)) if !(1..=24).contains(&bits) => {
                return Err(Invalid::new("bits", format!("found {bits}"), "1 to 24 bits"));
            }
            _ => {}
        }
        if let Some(noise) = self.noise {
            noise.validate().map_err(|e| e.under("noise"))?;
            if let Some([low, high]) = noise.range() {
                within(("g_min", self.g_min), ("g_max", self.g_max), [low, high])?;
            }
        }
        if let Some(update) = &self.update {
            update.validate().map_err(|e| e.under("update"))?;
            if self.weight_max.is_none() {
                let legal = "pulses move a device within a fixed range: give the |w| at `g_max`";
                return Err(Invalid::new("weight_max", "found null beside an update rule", legal));
            }
        }
        Ok(())
    }

    /// The level nearest to a conductance.
    #[must_use]
    pub fn quantised(&self, g: f64) -> f64 {
        let Some(levels) = self.levels.or(self.bits.map(|bits| 1 << bits)) else { return g };
        let step = (self.g_max - self.g_min) / f64::from(levels - 1);
        self.g_min + ((g - self.g_min) / step).round() * step
    }

    /// |w| at `g_max` for a matrix of weights.
    pub(super) fn scale(&self, weights: &[f64]) -> f64 {
        let largest = || weights.iter().map(|w| w.abs()).fold(0.0, f64::max);
        let scale = self.weight_max.unwrap_or_else(largest);
        if scale > 0.0 { scale } else { 1.0 }
    }

    /// The target conductances (G⁺, G⁻) of a weight.
    pub(super) fn targets(&self, weight: f64, scale: f64) -> [f64; 2] {
        let span = self.g_max - self.g_min;
        let device = |w: f64| self.quantised(self.g_min + (w.max(0.0) / scale).min(1.0) * span);
        [device(weight), device(-weight)]
    }

    /// The weight of a pair of conductances.
    pub(super) fn weight(&self, [plus, minus]: [f64; 2], scale: f64) -> f64 {
        (plus - minus) * scale / (self.g_max - self.g_min)
    }
}

/// Refuses conductances outside of a published range.
pub(super) fn within(lower: (&str, f64), upper: (&str, f64), [low, high]: [f64; 2]) -> Result<(), Invalid> {
    for (path, g) in [lower, upper] {
        // A tolerance for µS given in round numbers.
        if g < low - 1e-9 || g > high + 1e-9 {
            let found = format!("found {g} uS");
            return Err(Invalid::new(path, found, format!("the law was published for {low} to {high} uS")));
        }
    }
    Ok(())
}
