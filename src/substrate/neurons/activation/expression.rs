//! Activations as expressions of z.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Activation, Transfer};
use crate::error::Invalid;
use crate::numerics::expression::{Arena, Input, Meaning, Tape};
use crate::numerics::scalar::Scalar;

/// What a model file says of an activation: one of the shipped ones, or an expression.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ActivationSpec {
    /// By its name, with its parameters.
    Shipped(Activation),
    /// An expression of z, as `"z*logistic(z)"`.
    Expression(String),
}

impl From<Activation> for ActivationSpec {
    fn from(activation: Activation) -> Self {
        Self::Shipped(activation)
    }
}

impl<'de> Deserialize<'de> for ActivationSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ActivationSpec;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name, an expression of z, or an object with one name as its key")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ActivationSpec, E> {
                match <Activation as Deserialize>::deserialize(Value::from(text)) {
                    Ok(activation) => Ok(ActivationSpec::Shipped(activation)),
                    // A word is a name that is misspelt; all else is meant as an expression.
                    Err(error)
                        if text != "z" && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') =>
                    {
                        Err(E::custom(error))
                    }
                    Err(_) => Ok(ActivationSpec::Expression(text.to_owned())),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ActivationSpec, A::Error> {
                <Activation as Deserialize>::deserialize(MapAccessDeserializer::new(map))
                    .map(ActivationSpec::Shipped)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ActivationSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ActivationOrExpression".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let shipped = generator.subschema_for::<Activation>();
        schemars::json_schema!({ "anyOf": [
            shipped,
            { "type": "string", "description": "An expression of `z`, as `z*logistic(z)`." }
        ] })
    }
}

impl ActivationSpec {
    /// Checks the parameters, or the text.
    ///
    /// # Errors
    /// The first finding.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Shipped(activation) => activation.validate(),
            Self::Expression(text) => Expression::new(text).map(drop),
        }
    }

    /// The transfer function of a validated description.
    #[must_use]
    pub fn build(&self) -> Transfer {
        match self {
            Self::Shipped(activation) => Transfer::Shipped(*activation),
            Self::Expression(text) => {
                Transfer::Expression(Arc::new(Expression::new(text).expect("validated text")))
            }
        }
    }
}

/// An activation by its expression.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    value: Tape,
    slope: Tape,
    is_holomorphic: bool,
    is_bounded: bool,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Expression {
    /// Parses an expression of z.
    ///
    /// # Errors
    /// Where it is none, or does not depend on z.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let mut arena = Arena::default();
        let value = arena.parse(text, &[("z", Meaning::Variable(0))]).map_err(|e| e.at(""))?;
        if !arena.depends(value, 0) {
            return Err(Invalid::new("", "found a constant", "an expression of `z`"));
        }
        let slope = arena.derivative(value, 0);
        let is_holomorphic = arena.is_holomorphic(value);
        let (value, slope) = (Tape::new(&arena, &[value]), Tape::new(&arena, &[slope]));
        let mut made = Self { text: text.to_owned(), value, slope, is_holomorphic, is_bounded: false };
        let far = [-1e8, -1e4, 1e4, 1e8];
        let mut values = [0.0; 4];
        made.apply_real(&far, &mut values);
        made.is_bounded = values.iter().all(|value: &f64| value.abs() < 1e3);
        Ok(made)
    }

    pub(super) fn apply<T: Scalar>(&self, re: &[T], im: &[T], out_re: &mut [T], out_im: &mut [T]) {
        self.value.complex(&[Input::Each(re, im)], &mut [out_re], &mut [out_im]);
    }

    pub(super) fn apply_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        self.value.real(&[Input::Each(x, &[])], &mut [out]);
    }

    pub(super) fn derivative_real<T: Scalar>(&self, x: &[T], out: &mut [T]) {
        self.slope.real(&[Input::Each(x, &[])], &mut [out]);
    }

    pub(super) fn is_holomorphic(&self) -> bool {
        self.is_holomorphic
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.is_bounded
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    fn of(json: &str) -> Transfer {
        let spec: ActivationSpec = serde_json::from_str(json).unwrap();
        spec.validate().unwrap();
        spec.build()
    }

    #[test]
    fn expressions_have_the_values_of_the_built_in_functions() {
        let x: Vec<f64> = (0..2000).map(|i| -9.0 + 18.0 * f64::from(i) / 1999.0).collect();
        let y: Vec<f64> = (0..2000).map(|i| 0.5 * (f64::from(i) * 0.7).sin()).collect();
        for (shipped, text) in [
            (r#""tanh""#, r#""tanh(z)""#),
            (r#""logistic""#, r#""logistic(4*z - 2)""#),
            (r#"{"logistic": {"slope": 1, "offset": 0}}"#, r#""1/(1 + exp(-z))""#),
            (r#""softplus""#, r#""softplus(z)""#),
            (r#""dsilu""#, r#""0.5*z*logistic(z) + (1 - 0.5*z)*logistic(z - 2)""#),
            (r#""relu""#, r#""max(z, 0)""#),
            (r#""identity""#, r#""z""#),
        ] {
            let (shipped, own) = (of(shipped), of(text));
            assert_eq!(shipped.is_holomorphic(), own.is_holomorphic(), "{text}");
            assert_eq!(shipped.is_bounded(), own.is_bounded(), "{text}");
            let evaluate = |f: &Transfer| {
                let mut out = vec![vec![0.0; x.len()]; 4];
                let [re, im, real, slope] = &mut out[..] else { unreachable!() };
                f.apply(&x, &y, re, im);
                f.apply_real(&x, real);
                f.derivative_real(&x, slope);
                out
            };
            let parts = if shipped.is_holomorphic() { 0 } else { 2 };
            for (a, b) in evaluate(&shipped)[parts..].iter().zip(&evaluate(&own)[parts..]) {
                for (a, b) in a.iter().zip(b) {
                    assert_relative_eq!(*a, *b, epsilon = 1e-14, max_relative = 1e-14);
                }
            }
        }
    }

    #[test]
    fn misspelt_names_are_names_and_bad_text_is_refused_at_its_place() {
        let error = serde_json::from_str::<ActivationSpec>(r#""tahn""#).unwrap_err().to_string();
        assert!(error.contains("tahn") && error.contains("tanh"), "{error}");
        for (text, found) in [
            ("tanh(z", "character 7: found the end"),
            ("tanh(x)", "character 6: found `x`"),
            ("1 + 1", "found a constant"),
        ] {
            let spec: ActivationSpec = serde_json::from_value(Value::from(text)).unwrap();
            assert_eq!(spec.validate().unwrap_err().found, found);
        }
        let kept = serde_json::to_string(&ActivationSpec::Expression("z^2 + z".into())).unwrap();
        assert_eq!(kept, r#""z^2 + z""#);
    }
}
