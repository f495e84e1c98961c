//! Updates by pulses: how far one pulse moves a device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::measured::MeasuredLaw;
use crate::error::{Invalid, non_negative};
use crate::numerics::rng::NoiseKey;

/// Weight updates by pulses. On x = w/`weight_max`, between −1 and 1, one pulse moves x by its step times what the law, the
/// direction, the device and the cycle make of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRule {
    /// Step of x at x = 0. A measured law is asked for as many pulses as take this step; it may be left out beside its file.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub step: f64,
    /// Relative difference of the directions: a pulse up is (1 + asymmetry) steps, a pulse down (1 − asymmetry).
    #[serde(default)]
    #[schemars(range(min = -1.0, max = 1.0))]
    pub asymmetry: f64,
    /// Standard deviation of the asymmetry from device to device, drawn once.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub asymmetry_spread: f64,
    /// How the step depends on x.
    #[serde(default)]
    pub law: StepLaw,
    /// Where x ends; −1 and 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Relative standard deviation of the step from device to device, drawn once, never below zero.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub device_spread: f64,
    /// Relative standard deviation of the step from pulse to pulse, which may so go backwards.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub cycle_spread: f64,
    /// What `cycle_spread` is relative to.
    #[serde(default, skip_serializing_if = "CycleNoise::is_relative")]
    pub cycle_noise: CycleNoise,
    /// What becomes of the part of an update that is no whole step.
    #[serde(default)]
    pub remainder: Remainder,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// The ends of x. Beyond −1 and 1 no device goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Mean of the lower end, below 0.
    #[schemars(range(min = -1.0), extend("exclusiveMaximum" = 0))]
    pub low: f64,
    /// Mean of the upper end, above 0.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub high: f64,
    /// Relative standard deviation of each end from device to device; its sign stays.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub spread: [f64; 2],
}

impl Default for Bounds {
    fn default() -> Self {
        Self { low: -1.0, high: 1.0, spread: [0.0, 0.0] }
    }
}

/// What the spread from pulse to pulse is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CycleNoise {
    /// The step where x is.
    #[default]
    Local,
    /// The step at x = 0: it is as large where the law has no step left.
    AtZero,
}

impl CycleNoise {
    fn is_relative(&self) -> bool {
        *self == Self::Local
    }
}

/// How the step of a pulse depends on x = w/`weight_max`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StepLaw {
    /// Not at all, up to the bounds.
    #[default]
    Constant,
    /// 1 − x/high upwards, 1 − x/low downwards, with the device's own bounds: they are approached, never passed.
    SoftBound,
    /// 1 − up·x/high upwards, 1 − down·x/low downwards, with the mean bounds.
    Linear {
        /// Which part of the step is lost on the way from 0 to the upper bound.
        #[schemars(range(min = 0.0, max = 2.0))]
        up: f64,
        /// The same to the lower bound.
        #[schemars(range(min = 0.0, max = 2.0))]
        down: f64,
        /// Standard deviation of both from device to device; they stay positive.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        spread: f64,
    },
    /// e^{−γx} upwards, e^{γx} downwards, up to the bounds.
    Exponential {
        /// The exponent γ.
        #[schemars(range(min = 0.0, max = 20.0))]
        gamma: f64,
    },
    /// max(1 − A e^{γz}, 0) upwards, max(1 − A′ e^{−γ′z}, 0) downwards, z = 2a·x/(high − low) + b with the device's own bounds.
    ExponentialStep {
        /// a and b.
        scale: [f64; 2],
        /// A and γ.
        up: [f64; 2],
        /// A′ and γ′.
        down: [f64; 2],
    },
    /// What a file of pulses says: mean and spread of each pulse, which step, asymmetry and spreads do not change.
    Measured(MeasuredLaw),
}

/// What becomes of the part of an update that is no whole step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remainder {
    /// A whole step, with the probability that makes it right on average.
    #[default]
    Stochastic,
    /// It is lost.
    Lost,
}

impl StepLaw {
    /// Size of a step at x relative to that at 0, in the direction +1 or −1, of a device with these bounds.
    #[must_use]
    pub fn factor(&self, x: f64, direction: f64, [low, high]: [f64; 2]) -> f64 {
        let end = if direction > 0.0 { high } else { low };
        match self {
            Self::Constant | Self::Measured(_) => 1.0,
            Self::SoftBound => 1.0 - x / end,
            Self::Linear { up, down, .. } => 1.0 - if direction > 0.0 { up } else { down } * x / end,
            Self::Exponential { gamma } => (-gamma * direction * x).exp(),
            Self::ExponentialStep { scale: [a, b], up, down } => {
                let z = 2.0 * a * x / (high - low) + b;
                let [factor, gamma] = if direction > 0.0 { up } else { down };
                (1.0 - factor * (gamma * direction * z).exp()).max(0.0)
            }
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Constant | Self::SoftBound => Ok(()),
            Self::Linear { up, down, spread } => {
                for (name, slope) in [("up", up), ("down", down)] {
                    if !(0.0..=2.0).contains(slope) {
                        let found = format!("found {slope}");
                        return Err(Invalid::new(format!("linear.{name}"), found, "between 0 and 2"));
                    }
                }
                non_negative("linear.spread", *spread)
            }
            Self::Exponential { gamma } if !(0.0..=20.0).contains(gamma) => {
                Err(Invalid::new("exponential.gamma", format!("found {gamma}"), "between 0 and 20"))
            }
            Self::Exponential { .. } => Ok(()),
            Self::ExponentialStep { scale, up, down } => {
                for (name, pair) in [("scale", scale), ("up", up), ("down", down)] {
                    if pair.iter().any(|x| !(x.abs() <= 20.0)) {
                        let found = format!("found {pair:?}");
                        let legal = "two numbers between -20 and 20";
                        return Err(Invalid::new(format!("exponential_step.{name}"), found, legal));
                    }
                }
                Ok(())
            }
            Self::Measured(law) => law.validate().map_err(|e| e.under("measured")),
        }
    }
}

/// What fabrication has made of each device of a matrix; empty where all of them are alike.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Factor of the step.
    steps: Vec<f64>,
    /// Added to the asymmetry.
    skews: Vec<f64>,
    /// The ends of x.
    bounds: Vec<[f64; 2]>,
    /// What a linear law loses on the way up and down.
    slopes: Vec<[f64; 2]>,
    /// Which of the measured devices it is like.
    tables: Vec<usize>,
}

/// What the random numbers of a device are for.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Draw {
    Step = 0,
    Table = 1,
    Skew = 2,
    Low = 3,
    High = 4,
    SlopeUp = 5,
    SlopeDown = 6,
}

impl UpdateRule {
    /// A rule without asymmetry and spreads.
    #[must_use]
    pub fn of(step: f64, law: StepLaw) -> Self {
        Self {
            step,
            asymmetry: 0.0,
            asymmetry_spread: 0.0,
            law,
            bounds: None,
            device_spread: 0.0,
            cycle_spread: 0.0,
            cycle_noise: CycleNoise::Local,
            remainder: Remainder::Stochastic,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        // A finer device would need millions of pulses for one update.
        if !(1e-6..=1.0).contains(&self.step) {
            return Err(Invalid::new("step", format!("found {}", self.step), "between 1e-6 and 1"));
        }
        if !(self.asymmetry.is_finite() && self.asymmetry.abs() <= 1.0) {
            let found = format!("found {}", self.asymmetry);
            return Err(Invalid::new("asymmetry", found, "between -1 and 1"));
        }
        self.law.validate().map_err(|e| e.under("law"))?;
        non_negative("asymmetry_spread", self.asymmetry_spread)?;
        non_negative("device_spread", self.device_spread)?;
        non_negative("cycle_spread", self.cycle_spread)?;
        if let Some(Bounds { low, high, spread }) = self.bounds {
            for (name, end) in [("low", -low), ("high", high)] {
                if !(end > 0.0 && end <= 1.0) {
                    let found = format!("found {}", if name == "low" { low } else { high });
                    let legal = "`low` is between -1 and 0, `high` between 0 and 1, neither of them 0";
                    return Err(Invalid::new(format!("bounds.{name}"), found, legal));
                }
            }
            spread.iter().try_for_each(|spread| non_negative("bounds.spread", *spread))?;
        }
        let spreads = [
            ("asymmetry", self.asymmetry),
            ("asymmetry_spread", self.asymmetry_spread),
            ("device_spread", self.device_spread),
            ("cycle_spread", self.cycle_spread),
            ("bounds", if self.bounds.is_some() { 1.0 } else { 0.0 }),
        ];
        match (&self.law, spreads.iter().find(|(_, value)| *value != 0.0)) {
            (StepLaw::Measured(_), Some((name, _))) => {
                let legal = "leave it out: mean, spread and range of each pulse are those of the file";
                Err(Invalid::new(*name, "found it beside a measured law", legal))
            }
            _ => Ok(()),
        }
    }

    /// Draws the devices of a matrix of `count`; `item` is the number of the matrix.
    pub(super) fn cells(&self, key: &NoiseKey, item: u64, count: usize) -> Cells {
        let normals = |draw: Draw, wanted: bool| {
            let mut z = vec![0.0; if wanted { count } else { 0 }];
            key.normals(draw as u64, item, &mut z);
            z
        };
        let mut steps = normals(Draw::Step, self.device_spread > 0.0);
        steps.iter_mut().for_each(|z| *z = (1.0 + self.device_spread * *z).max(0.0));
        let mut skews = normals(Draw::Skew, self.asymmetry_spread > 0.0);
        skews.iter_mut().for_each(|z| *z *= self.asymmetry_spread);
        let pairs = |draws: [Draw; 2], means: [f64; 2], spreads: [f64; 2]| -> Vec<[f64; 2]> {
            let [first, second] = draws.map(|draw| normals(draw, spreads != [0.0, 0.0]));
            let pair = |(a, b): (f64, f64)| [means[0] + spreads[0] * a, means[1] + spreads[1] * b];
            first.into_iter().zip(second).map(pair).collect()
        };
        let Bounds { low, high, spread } = self.bounds.unwrap_or_default();
        let mut bounds =
            pairs([Draw::Low, Draw::High], [low, high], [low.abs() * spread[0], high * spread[1]]);
        // A bound keeps its side; one at zero would leave no room for a law that divides by it.
        let side = |end: f64| end.abs().clamp(1e-3, 1.0);
        bounds.iter_mut().for_each(|[low, high]| (*low, *high) = (-side(*low), side(*high)));
        let mut slopes = match self.law {
            StepLaw::Linear { up, down, spread } => {
                pairs([Draw::SlopeUp, Draw::SlopeDown], [up, down], [spread; 2])
            }
            _ => Vec::new(),
        };
        slopes.iter_mut().flatten().for_each(|slope| *slope = slope.abs());
        let tables = match &self.law {
            StepLaw::Measured(law) => {
                let mut u = vec![0.0; count];
                key.uniforms(Draw::Table as u64, item, &mut u);
                let devices = law.devices.len();
                u.iter().map(|u: &f64| ((u * devices as f64) as usize).min(devices - 1)).collect()
            }
            _ => Vec::new(),
        };
        Cells { steps, skews, bounds, slopes, tables }
    }

    /// Where one pulse leads from x: `z` is what the cycle draws, of unit variance.
    fn after(&self, x: f64, direction: f64, (cells, i): (&Cells, usize), z: f64) -> f64 {
        if let StepLaw::Measured(law) = &self.law {
            return (x + law.devices[cells.tables[i]].step(x, direction, z)).clamp(-1.0, 1.0);
        }
        let mean = self.bounds.map_or([-1.0, 1.0], |bounds| [bounds.low, bounds.high]);
        let own = cells.bounds.get(i).copied().unwrap_or(mean);
        let asymmetry = self.asymmetry + cells.skews.get(i).copied().unwrap_or(0.0);
        let step = self.step * (1.0 + direction * asymmetry) * cells.steps.get(i).copied().unwrap_or(1.0);
        let factor = match (&self.law, cells.slopes.get(i)) {
            (StepLaw::Linear { spread, .. }, Some(&[up, down])) => {
                StepLaw::Linear { up, down, spread: *spread }.factor(x, direction, mean)
            }
            (law @ StepLaw::Linear { .. }, None) => law.factor(x, direction, mean),
            (law, _) => law.factor(x, direction, own),
        };
        let moved = match self.cycle_noise {
            CycleNoise::Local => {
                let cycle = if self.cycle_spread > 0.0 { 1.0 + self.cycle_spread * z } else { 1.0 };
                direction * (step * cycle) * factor
            }
            CycleNoise::AtZero => direction * step * (factor + self.cycle_spread * z),
        };
        (x + moved).clamp(own[0], own[1])
    }

    /// Whether pulses differ from cycle to cycle.
    fn is_noisy(&self) -> bool {
        self.cycle_spread > 0.0 || matches!(self.law, StepLaw::Measured(_))
    }

    /// Moves every x by the pulses that are nearest to `wanted`. The random numbers of the write come from lane `lane` of `key`.
    pub(super) fn pulse(&self, x: &mut [f64], wanted: &[f64], cells: &Cells, key: &NoiseKey, lane: u64) {
        let mut draws = vec![0.0; x.len()];
        if self.remainder == Remainder::Stochastic {
            key.uniforms(0, lane, &mut draws);
        }
        // No train is longer than from bound to bound and back.
        let most = (4.0 / self.step).ceil();
        let pulses: Vec<u32> = wanted
            .iter()
            .zip(&draws)
            .map(|(wanted, u)| {
                let steps = (wanted.abs() / self.step).min(most);
                let lucky = self.remainder == Remainder::Stochastic && *u < steps.fract();
                steps as u32 + u32::from(lucky)
            })
            .collect();
        let longest = pulses.iter().copied().max().unwrap_or(0);
        for pulse in 0..longest {
            if self.is_noisy() {
                key.normals(1 + u64::from(pulse), lane, &mut draws);
            }
            for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| pulses[*i] > pulse) {
                *x = self.after(*x, wanted[i].signum(), (cells, i), draws[i]);
            }
        }
    }

    /// What one device, as the device seed's first, does under a train of pulses: x after each of them, from `start`.
    #[must_use]
    pub fn response(&self, start: f64, directions: &[f64], seed: u64, device: usize) -> Vec<f64> {
        use crate::numerics::rng::Purpose;
        let cells = self.cells(&NoiseKey::new(seed, Purpose::Device, 0), 0, device + 1);
        let key = NoiseKey::new(seed, Purpose::Programming, device as u64);
        let mut z = vec![0.0; directions.len()];
        key.normals(0, 0, &mut z);
        let mut x = start;
        let step = |(direction, z): (&f64, f64)| {
            x = self.after(x, *direction, (&cells, device), z);
            x
        };
        directions.iter().zip(z).map(step).collect()
    }
}
