//! Optimisers and learning-rate schedules.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative, positive};
use crate::json::wording;
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::{ParameterShape, Parameters};

/// How a gradient becomes a weight update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimiserSpec {
    /// v ← μ v + g + λ w, w ← w − η v.
    Sgd {
        /// Learning rate η.
        #[schemars(range(min = 0.0))]
        learning_rate: f64,
        /// Momentum μ.
        #[serde(default)]
        #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
        momentum: f64,
        /// Weight decay λ.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
    /// The same with decoupled weight decay, as in paper 1's convolutional networks: v ← μ v + g, w ← (1 − η λ) w − η v.
    SgdW {
        /// Learning rate η.
        #[schemars(range(min = 0.0))]
        learning_rate: f64,
        /// Momentum μ.
        #[serde(default)]
        #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
        momentum: f64,
        /// Decoupled decay λ of the weights, per unit of η.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW {
        /// Learning rate η.
        #[schemars(range(min = 0.0))]
        learning_rate: f64,
        /// Decay of the mean gradient.
        #[serde(default = "beta1")]
        #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
        beta1: f64,
        /// Decay of the mean square gradient.
        #[serde(default = "beta2")]
        #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
        beta2: f64,
        /// Added to the root mean square.
        #[serde(default = "epsilon")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        epsilon: f64,
        /// Decoupled decay of the weights, per unit of η.
        #[serde(default = "decay")]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn decay() -> f64 {
    1e-4
}

/// How the learning rate goes with the updates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It falls along half a cosine, over all updates, to a fraction of its start.
    Cosine {
        /// The fraction that is left at the end.
        #[serde(default)]
        #[schemars(range(min = 0.0, max = 1.0))]
        final_fraction: f64,
        /// How often it falls.
        #[serde(default)]
        every: Fall,
    },
}

/// How often a learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fall {
    /// With every update.
    #[default]
    Update,
    /// At the end of every epoch, to where the curve then is.
    Epoch,
}

impl Schedule {
    /// Factor on the learning rate after `update` of `updates` in all, in so many epochs.
    #[must_use]
    pub fn factor(self, update: u64, updates: u64, epochs: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine { final_fraction, every } => {
                let part = match every {
                    Fall::Update => update as f64 / updates.max(1) as f64,
                    Fall::Epoch => (update / (updates / epochs.max(1)).max(1)) as f64 / epochs.max(1) as f64,
                };
                final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        match self {
            Self::Cosine { final_fraction, .. } if !(0.0..=1.0).contains(&final_fraction) => Err(
                Invalid::new("cosine.final_fraction", format!("found {final_fraction}"), "between 0 and 1"),
            ),
            _ => Ok(()),
        }
    }
}

impl OptimiserSpec {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        let fraction = |path: &str, x: f64| {
            if (0.0..1.0).contains(&x) {
                Ok(())
            } else {
                Err(Invalid::new(path, format!("found {x}"), "at least 0 and below 1"))
            }
        };
        let descent = |learning_rate: f64, momentum: f64, weight_decay: f64| {
            non_negative("learning_rate", learning_rate)?;
            fraction("momentum", momentum)?;
            non_negative("weight_decay", weight_decay)
        };
        match self {
            Self::Sgd { learning_rate, momentum, weight_decay } => {
                descent(learning_rate, momentum, weight_decay).map_err(|e| e.under("sgd"))
            }
            Self::SgdW { learning_rate, momentum, weight_decay } => {
                descent(learning_rate, momentum, weight_decay).map_err(|e| e.under("sgd_w"))
            }
            Self::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => {
                non_negative("adam_w.learning_rate", learning_rate)?;
                fraction("adam_w.beta1", beta1)?;
                fraction("adam_w.beta2", beta2)?;
                positive("adam_w.epsilon", epsilon)?;
                non_negative("adam_w.weight_decay", weight_decay)
            }
        }
    }

    /// η.
    #[must_use]
    pub fn learning_rate(self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. }
            | Self::SgdW { learning_rate, .. }
            | Self::AdamW { learning_rate, .. } => learning_rate,
        }
    }
}

/// What each parameter belongs to: a connection, a layer (its bias) or the read-out.
fn stems(shapes: &[ParameterShape]) -> impl Iterator<Item = &str> {
    shapes.iter().map(|s| s.name.split_once('.').map_or(s.name.as_str(), |(stem, _)| stem))
}

/// Checks factors on learning rates by connection (`h1-h2`), layer (its bias) or `readout`.
///
/// # Errors
/// A name that the network does not have, or a factor that is not a number ≥ 0; paths below `learning_rates`.
pub fn check_factors(factors: &BTreeMap<String, f64>, network: &Network) -> Result<(), Invalid> {
    check_factors_of(factors, network.shapes())
}

/// As [`check_factors`], of parameters of any substrate.
///
/// # Errors
/// As there.
pub fn check_factors_of(factors: &BTreeMap<String, f64>, shapes: &[ParameterShape]) -> Result<(), Invalid> {
    for (name, factor) in factors {
        non_negative(name, *factor)?;
        if !stems(shapes).any(|stem| stem == name) {
            let mut legal: Vec<&str> = stems(shapes).collect();
            legal.dedup();
            let legal = format!("it must be one of {}", legal.join(", "));
            let legal = wording::suggest(name, stems(shapes), &legal);
            return Err(Invalid::new(name, "found a name that the network does not have", legal));
        }
    }
    Ok(())
}

/// An optimiser with its memory.
#[derive(Debug, Clone)]
pub struct Optimiser<T: Scalar> {
    spec: OptimiserSpec,
    /// Factor on the learning rate of each parameter.
    factors: Vec<f64>,
    /// Factor on the optimiser's own weight decay of each parameter.
    decay_factors: Vec<f64>,
    /// Weight decay of each parameter, on top of it.
    decays: Vec<f64>,
    /// Velocity of SGD, or mean gradient of AdamW; shaped as the parameters.
    pub first: Parameters<T>,
    /// Mean square gradient of AdamW, shaped as the parameters; stays zero for SGD.
    pub second: Parameters<T>,
    /// Updates so far.
    pub updates: u64,
    /// The change of the last update; scratch.
    change: Parameters<T>,
}

impl<T: Scalar> Optimiser<T> {
    /// A fresh optimiser. `factors` scales the learning rate by connection (`h1-h2`), layer (its bias) or `readout`.
    ///
    /// # Errors
    /// A name that the network does not have, or a factor that is not a number ≥ 0; paths below `learning_rates`.
    pub fn new(
        spec: OptimiserSpec,
        factors: &BTreeMap<String, f64>,
        network: &Network,
    ) -> Result<Self, Invalid> {
        Self::of_shapes(spec, factors, network.shapes())
    }

    /// As [`Self::new`], of parameters of any substrate.
    ///
    /// # Errors
    /// As there.
    pub fn of_shapes(
        spec: OptimiserSpec,
        factors: &BTreeMap<String, f64>,
        shapes: &Arc<[ParameterShape]>,
    ) -> Result<Self, Invalid> {
        check_factors_of(factors, shapes)?;
        let factors: Vec<f64> = stems(shapes).map(|s| factors.get(s).copied().unwrap_or(1.0)).collect();
        let (decays, decay_factors) = (vec![0.0; factors.len()], vec![1.0; factors.len()]);
        let zeros = Parameters::zeros(shapes);
        Ok(Self {
            spec,
            factors,
            decay_factors,
            decays,
            first: zeros.clone(),
            second: zeros.clone(),
            updates: 0,
            change: zeros,
        })
    }

    /// The same with factors on the optimiser's weight decay by connection (`h1-h2`), layer (its bias) or `readout`.
    ///
    /// # Errors
    /// As [`Self::new`]; paths below `weight_decays`.
    pub fn with_decay_factors(
        mut self,
        factors: &BTreeMap<String, f64>,
        network: &Network,
    ) -> Result<Self, Invalid> {
        check_factors(factors, network)?;
        self.decay_factors =
            stems(network.shapes()).map(|s| factors.get(s).copied().unwrap_or(1.0)).collect();
        Ok(self)
    }

    /// The same with a weight decay for some of the parameters, by index, on top of the optimiser's own.
    #[must_use]
    pub fn with_decay(mut self, parameters: impl Iterator<Item = usize>, decay: f64) -> Self {
        for index in parameters {
            self.decays[index] = decay;
        }
        self
    }

    /// The learning rate before schedule and factors.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.spec.learning_rate()
    }

    /// The change against the gradient that the device is asked to make; `schedule` scales the learning rate.
    pub fn change(
        &mut self,
        parameters: &Parameters<T>,
        gradient: &Parameters<T>,
        schedule: f64,
    ) -> &Parameters<T> {
        self.updates += 1;
        let rate = self.spec.learning_rate() * schedule;
        for (index, factor) in self.factors.iter().enumerate() {
            let rate = rate * factor;
            let decay = |own: f64| own * self.decay_factors[index] + self.decays[index];
            let weights = parameters.at(index);
            let gradient = gradient.at(index);
            let change = self.change.at_mut(index);
            let first = self.first.at_mut(index);
            match self.spec {
                OptimiserSpec::Sgd { momentum, weight_decay, .. } => {
                    let (rate, momentum, decay) = (T::of(rate), T::of(momentum), T::of(decay(weight_decay)));
                    for (((w, v), g), change) in weights.iter().zip(first).zip(gradient).zip(change) {
                        *v = momentum * *v + *g + decay * *w;
                        *change = -(rate * *v);
                    }
                }
                OptimiserSpec::SgdW { momentum, weight_decay, .. } => {
                    let decay = T::of(rate * decay(weight_decay));
                    let (rate, momentum) = (T::of(rate), T::of(momentum));
                    for (((w, v), g), change) in weights.iter().zip(first).zip(gradient).zip(change) {
                        *v = momentum * *v + *g;
                        *change = -(decay * *w + rate * *v);
                    }
                }
                OptimiserSpec::AdamW { beta1, beta2, epsilon, weight_decay, .. } => {
                    let count = self.updates as f64;
                    // Both bias corrections, folded into the rate and the epsilon-free root.
                    let first_scale = T::of(1.0 / (1.0 - beta1.powf(count)));
                    let second_scale = T::of(1.0 / (1.0 - beta2.powf(count)));
                    let (b1, b2, epsilon) = (T::of(beta1), T::of(beta2), T::of(epsilon));
                    let (rate, decay) = (T::of(rate), T::of(rate * decay(weight_decay)));
                    let second = self.second.at_mut(index);
                    let memory = first.iter_mut().zip(second);
                    for (((w, (m, s)), g), change) in weights.iter().zip(memory).zip(gradient).zip(change) {
                        *m = b1 * *m + (T::one() - b1) * *g;
                        *s = b2 * *s + (T::one() - b2) * *g * *g;
                        let step = rate * (*m * first_scale) / ((*s * second_scale).sqrt() + epsilon);
                        *change = -(decay * *w + step);
                    }
                }
            }
        }
        &self.change
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn network() -> Network {
        let model = json!({ "name": "one", "input": 1, "layers": [{ "name": "h", "size": 1 }],
            "activation": "tanh", "connections": [{ "from": "input", "to": "h" }], "cost": "squared_error" });
        Network::new(&serde_json::from_value(model).unwrap()).unwrap()
    }

    /// Runs an optimiser on C = ½ (w − 3)², w₀ = 0, and returns w after each update.
    fn descend(spec: serde_json::Value, updates: usize) -> Vec<f64> {
        let network = network();
        let spec: OptimiserSpec = serde_json::from_value(spec).unwrap();
        spec.validate().unwrap();
        let mut optimiser = Optimiser::<f64>::new(spec, &BTreeMap::new(), &network).unwrap();
        let mut parameters = Parameters::zeros(network.shapes());
        (0..updates)
            .map(|_| {
                let mut gradient = Parameters::zeros(network.shapes());
                gradient.at_mut(0)[0] = parameters.at(0)[0] - 3.0;
                let change = optimiser.change(&parameters, &gradient, 1.0);
                parameters.add_scaled(1.0, change);
                parameters.at(0)[0]
            })
            .collect()
    }

    #[test]
    fn momentum_follows_its_recurrence() {
        // w₁ = 0.3, v₂ = 0.5·(−3) − 2.7 = −4.2, w₂ = 0.72
        let w = descend(json!({ "sgd": { "learning_rate": 0.1, "momentum": 0.5 } }), 2);
        assert!((w[0] - 0.3).abs() < 1e-15 && (w[1] - 0.72).abs() < 1e-15);
    }

    #[test]
    fn the_first_adam_step_has_the_size_of_the_learning_rate() {
        let w = descend(json!({ "adam_w": { "learning_rate": 0.01, "weight_decay": 0.0 } }), 2000);
        assert!((w[0] - 0.01).abs() < 1e-9);
        assert!((w[1999] - 3.0).abs() < 1e-2);
    }

    #[test]
    fn a_cosine_schedule_ends_at_its_fraction() {
        let schedule = Schedule::Cosine { final_fraction: 0.1, every: Fall::Update };
        assert!((schedule.factor(0, 100, 4) - 1.0).abs() < 1e-15);
        assert!((schedule.factor(50, 100, 4) - 0.55).abs() < 1e-12);
        assert!((schedule.factor(100, 100, 4) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_cosine_by_epochs_stands_still_within_each() {
        let schedule = Schedule::Cosine { final_fraction: 1e-7, every: Fall::Epoch };
        let factors: Vec<f64> = (0..12).map(|update| schedule.factor(update, 12, 4)).collect();
        for (update, factor) in factors.iter().enumerate() {
            let epoch = (update / 3) as f64;
            let expected = 1e-7 + (1.0 - 1e-7) * 0.5 * (1.0 + (std::f64::consts::PI * epoch / 4.0).cos());
            assert!((factor - expected).abs() < 1e-12, "update {update}: {factor}");
        }
    }

    /// Decoupled, the decay does not enter the velocity; a factor scales it for some parameters.
    #[test]
    fn decoupled_decay_shrinks_the_weights_beside_the_momentum() {
        // v₁ = −3, w₁ = 0.3; v₂ = 0.5·(−3) − 2.7 = −4.2, w₂ = (1 − 0.1·0.2)·0.3 + 0.42
        let w =
            descend(json!({ "sgd_w": { "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.2 } }), 2);
        assert!((w[0] - 0.3).abs() < 1e-15 && (w[1] - 0.714).abs() < 1e-15, "{w:?}");
        let network = network();
        let spec = OptimiserSpec::SgdW { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.2 };
        let factors = BTreeMap::from([("h".to_owned(), 0.0), ("input-h".to_owned(), 3.0)]);
        let optimiser = Optimiser::<f64>::new(spec, &BTreeMap::new(), &network).unwrap();
        let mut optimiser = optimiser.with_decay_factors(&factors, &network).unwrap();
        let mut parameters = Parameters::zeros(network.shapes());
        (0..2).for_each(|index| parameters.at_mut(index)[0] = 1.0);
        let change = optimiser.change(&parameters, &Parameters::zeros(network.shapes()), 1.0);
        assert!((change.at(0)[0] + 0.06).abs() < 1e-15 && change.at(1)[0] == 0.0, "{change:?}");
    }

    #[test]
    fn learning_rates_are_refused_for_unknown_connections() {
        let spec = OptimiserSpec::Sgd { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.0 };
        let factors = BTreeMap::from([("h-h2".to_owned(), 1.0)]);
        let invalid = Optimiser::<f32>::new(spec, &factors, &network()).unwrap_err();
        assert_eq!(invalid.path, "h-h2");
        assert!(invalid.legal.contains("input-h"), "{}", invalid.legal);
    }
}
