//! Parasitics of a layer: further poles that leave every fixed point where it is and bend the phase of every response.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, positive};
use crate::substrate::neurons::activation::{Activation, ActivationSpec};
use crate::substrate::neurons::model::{LayerSpec, Tau};
use crate::substrate::neurons::neuron::{NeuronParameter, NeuronSpec};

/// What slows neurons down beside their time constant: first-order low-pass filters before and behind it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parasitics {
    /// Time constant of the synapses, in nominal τ: all that a neuron receives, bias and teaching included, arrives through it.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub synapse: Option<f64>,
    /// Time constant of the second pole of the neuron's amplifier, in nominal τ: gain over gain–bandwidth product.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplifier: Option<f64>,
}

impl Parasitics {
    pub(crate) fn validate(&self, layer: &LayerSpec) -> Result<(), Invalid> {
        for (name, tau) in [("synapse", self.synapse), ("amplifier", self.amplifier)] {
            tau.map_or(Ok(()), |tau| positive(name, tau))?;
        }
        if self.synapse.is_none() && self.amplifier.is_none() {
            return Err(Invalid::new("", "found neither", "`synapse`, `amplifier` or both"));
        }
        if layer.neuron.is_some() {
            let legal = "write the further poles as equations";
            return Err(Invalid::new("", "found them beside `neuron`", legal));
        }
        Ok(())
    }

    /// The equations of a layer's neurons with its activation: the potential u first, then the filters.
    pub(crate) fn neuron(self, layer: &LayerSpec, activation: &ActivationSpec) -> NeuronSpec {
        let mut variables = vec!["u".to_owned()];
        let mut equations = IndexMap::new();
        let mut parameters = IndexMap::new();
        parameters.insert(
            "tau".to_owned(),
            match &layer.tau {
                Tau::Uniform(tau) => NeuronParameter::Uniform(*tau),
                Tau::PerNeuron(taus) => NeuronParameter::PerNeuron(taus.clone()),
            },
        );
        let mut filter = |name: &str, equation: &str, tau: f64| {
            variables.push(name.to_owned());
            equations.insert(name.to_owned(), equation.to_owned());
            parameters.insert(format!("tau_{name}"), NeuronParameter::Uniform(tau));
        };
        let received = self.synapse.map_or("I", |tau| {
            filter("s", "(I - s)/tau_s", tau);
            "s"
        });
        let sent = self.amplifier.map_or("u", |tau| {
            filter("v", "(u - v)/tau_v", tau);
            "v"
        });
        equations.insert("u".to_owned(), format!("({received} - u)/tau"));
        let activation = layer.activation.as_ref().unwrap_or(activation);
        NeuronSpec { variables, equations, rate: formula(activation, sent), parameters }
    }
}

/// An activation as an expression of a variable.
fn formula(activation: &ActivationSpec, of: &str) -> String {
    let shipped = match activation {
        ActivationSpec::Shipped(shipped) => *shipped,
        // The name of its argument is a word by itself.
        ActivationSpec::Expression(text) => return replaced(text, of),
    };
    match shipped {
        Activation::Logistic { slope, offset } => format!("logistic({slope:?}*{of} + {offset:?})"),
        Activation::Tanh => format!("tanh({of})"),
        Activation::Dsilu => format!("0.5*{of}*logistic({of}) + (1 - 0.5*{of})*logistic({of} - 2)"),
        Activation::Softplus => format!("softplus({of})"),
        Activation::Identity => of.to_owned(),
        Activation::HardTanh => format!("max(min({of}, 1), -1)"),
        Activation::HardDsilu => format!("max(min(0.5*{of}, 1), 0)"),
        Activation::Relu => format!("max({of}, 0)"),
    }
}

/// A text with the word `z` replaced.
fn replaced(text: &str, of: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end =
            if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, after) = rest.split_at(end);
        out.push_str(if word == "z" { of } else { word });
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_argument_is_renamed() {
        assert_eq!(replaced("z*logistic(z) + z2^zz - 1e3", "u"), "u*logistic(u) + z2^zz - 1e3");
        assert_eq!(
            formula(&Activation::Logistic { slope: 4.0, offset: -2.0 }.into(), "v"),
            "logistic(4.0*v + -2.0)"
        );
    }
}
