//! The `data` field of an experiment.

use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{Digits, ImageFiles, Lookup, Split, ToyGaussian, digits, held_back, mnist};
use crate::Result;
use crate::error::Invalid;

/// Which data an experiment uses: a name, or a name with settings, as `"digits"` or
/// `{"digits": {"test_fraction": 0.2}}`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", remote = "Self")]
#[schemars(transform = names_alone)]
pub enum DataSpec {
    /// 1,797 handwritten digits of 8 × 8 pixels, part of holograd.
    Digits(Digits),
    /// Gaussian clouds, one a class, drawn from the seed.
    ToyGaussian(ToyGaussian),
    /// 70,000 handwritten digits of 28 × 28 pixels, from files.
    Mnist(ImageFiles),
    /// 70,000 pictures of clothes of 28 × 28 pixels, from files.
    FashionMnist(ImageFiles),
}

const NAMES: [&str; 4] = ["digits", "toy_gaussian", "mnist", "fashion_mnist"];

impl Default for DataSpec {
    fn default() -> Self {
        Self::Digits(Digits::default())
    }
}

impl DataSpec {
    /// Whether the settings are legal; paths start below `data`.
    ///
    /// # Errors
    /// [`Invalid`] with the path of the setting.
    pub fn check(&self) -> std::result::Result<(), Invalid> {
        match self {
            Self::Digits(digits) => digits.check().map_err(|invalid| invalid.under("digits")),
            Self::ToyGaussian(toy) => toy.check().map_err(|invalid| invalid.under("toy_gaussian")),
            Self::Mnist(files) => files.check().map_err(|invalid| invalid.under("mnist")),
            Self::FashionMnist(files) => files.check().map_err(|invalid| invalid.under("fashion_mnist")),
        }
    }

    /// Inputs of a sample, and classes.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Digits(_) => digits::SHAPE,
            Self::ToyGaussian(toy) => (toy.inputs, toy.classes),
            Self::Mnist(_) | Self::FashionMnist(_) => mnist::SHAPE,
        }
    }

    /// The folder that holds the files, where the setting names one.
    pub fn folder_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Mnist(files) | Self::FashionMnist(files) => files.folder.as_mut(),
            Self::Digits(_) | Self::ToyGaussian(_) => None,
        }
    }

    /// How many samples there are to learn from and for the test, without loading them.
    ///
    /// # Errors
    /// If files are not found, or their headers are not sound.
    pub fn counts(&self, lookup: &Lookup) -> Result<(usize, usize)> {
        match self {
            Self::Digits(digits) => Ok(divided(digits::SAMPLES, digits.test_fraction)),
            Self::ToyGaussian(toy) => Ok(divided(toy.samples, toy.test_fraction)),
            Self::Mnist(files) => mnist::counts(&mnist::MNIST, files, lookup),
            Self::FashionMnist(files) => mnist::counts(&mnist::FASHION_MNIST, files, lookup),
        }
    }

    /// Checks files as [`DataSpec::load`] does, without making samples of them.
    ///
    /// # Errors
    /// As [`DataSpec::load`].
    pub fn check_files(&self, lookup: &Lookup) -> Result<()> {
        match self {
            Self::Digits(_) | Self::ToyGaussian(_) => Ok(()),
            Self::Mnist(files) => mnist::check(&mnist::MNIST, files, lookup),
            Self::FashionMnist(files) => mnist::check(&mnist::FASHION_MNIST, files, lookup),
        }
    }

    /// The samples. Pixels lie between 0 and 1. The seed draws what is held back of the digits, and the toy task; MNIST
    /// and Fashion-MNIST come with their own division.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if a setting is not legal, or files are not found or not sound.
    pub fn load(&self, seed: u64, lookup: &Lookup) -> Result<Split> {
        self.check().map_err(|invalid| invalid.under("data").in_file("experiment"))?;
        match self {
            Self::Digits(digits) => digits.load(seed),
            Self::ToyGaussian(toy) => Ok(toy.draw(seed)),
            Self::Mnist(files) => mnist::load(&mnist::MNIST, files, lookup),
            Self::FashionMnist(files) => mnist::load(&mnist::FASHION_MNIST, files, lookup),
        }
    }
}

/// Samples to learn from and for the test, of so many.
fn divided(samples: usize, test_fraction: f64) -> (usize, usize) {
    let test = held_back(samples, test_fraction);
    (samples - test, test)
}

/// A name alone stands for its default settings.
fn names_alone(schema: &mut schemars::Schema) {
    if let Some(serde_json::Value::Array(choices)) = schema.get_mut("oneOf") {
        choices.insert(0, serde_json::json!({ "type": "string", "enum": NAMES }));
    }
}

impl Serialize for DataSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for DataSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct NameOrSettings;

        impl<'de> Visitor<'de> for NameOrSettings {
            type Value = DataSpec;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                write!(formatter, "one of `{}`, or an object with one of them as its key", NAMES.join("`, `"))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<DataSpec, E> {
                match name {
                    "digits" => Ok(DataSpec::Digits(Digits::default())),
                    "toy_gaussian" => Ok(DataSpec::ToyGaussian(ToyGaussian::default())),
                    "mnist" => Ok(DataSpec::Mnist(ImageFiles::default())),
                    "fashion_mnist" => Ok(DataSpec::FashionMnist(ImageFiles::default())),
                    other => Err(E::unknown_variant(other, &NAMES)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<DataSpec, A::Error> {
                DataSpec::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(NameOrSettings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> std::result::Result<DataSpec, String> {
        let deserializer = &mut serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(deserializer)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))
    }

    #[test]
    fn a_name_stands_for_its_defaults_which_are_written_out() {
        let written = [
            json!({"digits": {"test_fraction": 0.2}}),
            json!({"toy_gaussian": {"inputs": 6, "classes": 4, "samples": 500, "spread": 0.1, "test_fraction": 0.2}}),
            json!({"mnist": {"folder": null, "train": null, "test": null}}),
            json!({"fashion_mnist": {"folder": null, "train": null, "test": null}}),
        ];
        for (name, written) in NAMES.iter().zip(written) {
            let spec = parse(&format!("\"{name}\"")).unwrap();
            spec.check().unwrap();
            assert_eq!(parse(&format!("{{\"{name}\": {{}}}}")).unwrap(), spec);
            assert_eq!(serde_json::to_value(&spec).unwrap(), written);
            assert_eq!(parse(&written.to_string()).unwrap(), spec);
        }
    }

    #[test]
    fn errors_name_the_path_and_what_is_legal() {
        assert_eq!(
            parse(r#"{"mnist": {"trian": 5}}"#).unwrap_err(),
            "mnist.trian: unknown field `trian`, expected one of `folder`, `train`, `test` at line 1 column 18"
        );
        assert_eq!(
            parse(r#""cifar""#).unwrap_err(),
            ".: unknown variant `cifar`, expected one of `digits`, `toy_gaussian`, `mnist`, `fashion_mnist` \
             at line 1 column 7"
        );
        assert!(
            parse(r#"{"digits": {"test_fraction": "x"}}"#).unwrap_err().starts_with("digits.test_fraction: ")
        );
        assert!(parse("5").unwrap_err().contains("expected one of `digits`, `toy_gaussian`"));
        assert!(parse(r#"{"digits": {}, "mnist": {}}"#).is_err());

        let illegal = |text: &str| {
            let invalid = parse(text).unwrap().check().unwrap_err();
            format!("{}: {}", invalid.path, invalid.found)
        };
        assert_eq!(illegal(r#"{"digits": {"test_fraction": 1.0}}"#), "digits.test_fraction: found 1");
        assert_eq!(illegal(r#"{"toy_gaussian": {"spread": -1}}"#), "toy_gaussian.spread: found -1");
        assert_eq!(illegal(r#"{"toy_gaussian": {"classes": 1}}"#), "toy_gaussian.classes: found 1");
        assert_eq!(illegal(r#"{"toy_gaussian": {"inputs": 0}}"#), "toy_gaussian.inputs: found 0");
        assert_eq!(illegal(r#"{"toy_gaussian": {"samples": 3}}"#), "toy_gaussian.samples: found 3");
        assert_eq!(illegal(r#"{"mnist": {"train": 0}}"#), "mnist.train: found 0");
        assert_eq!(illegal(r#"{"fashion_mnist": {"test": 0}}"#), "fashion_mnist.test: found 0");
    }

    #[test]
    fn the_schema_knows_every_name_both_ways() {
        let schema = serde_json::to_value(schemars::schema_for!(DataSpec)).unwrap();
        let choices = schema["oneOf"].as_array().unwrap();
        assert_eq!(choices[0]["enum"], json!(NAMES));
        let tagged: Vec<&str> =
            choices[1..].iter().map(|choice| choice["required"][0].as_str().unwrap()).collect();
        assert_eq!(tagged, NAMES);
    }
}
