//! The `data` field of an experiment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::sets::ImageSet;
use super::{
    ArrayFiles, Digits, GivenSamples, ImageFiles, ImageFolder, Iris, Lookup, Shape, Split, ToyGaussian,
    cifar, digits, held_back, imagenet, iris, mnist, svhn,
};
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
    /// 150 irises of three species by four lengths, part of holograd.
    Iris(Iris),
    /// 70,000 handwritten digits of 28 × 28 pixels, from files.
    Mnist(ImageFiles),
    /// 70,000 pictures of clothes of 28 × 28 pixels, from files.
    FashionMnist(ImageFiles),
    /// 60,000 photographs of 32 × 32 pixels in ten classes, from files.
    Cifar10(ImageFiles),
    /// 60,000 photographs of 32 × 32 pixels in a hundred classes, from files.
    Cifar100(ImageFiles),
    /// 99,289 photographs of digits of house numbers of 32 × 32 pixels, from files.
    Svhn(ImageFiles),
    /// 1,331,167 photographs of 32 × 32 pixels in a thousand classes, from files.
    Imagenet32(ImageFiles),
    /// The same of 64 × 64 pixels.
    Imagenet64(ImageFiles),
    /// One's own images: PNG files in a folder for each class.
    Images(ImageFolder),
    /// One's own samples: arrays of inputs and labels in files.
    Files(ArrayFiles),
    /// Samples that the program hands over which begins the run, as Python's `data=`.
    Given(GivenSamples),
}

/// The choices whose every field has a default.
const NAMES: [&str; 10] = [
    "digits",
    "toy_gaussian",
    "iris",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "cifar100",
    "svhn",
    "imagenet32",
    "imagenet64",
];

/// Where samples come from.
enum Source<'a> {
    Digits(&'a Digits),
    Toy(&'a ToyGaussian),
    Iris(&'a Iris),
    Set(&'static ImageSet, &'a ImageFiles),
    Folder(&'a ImageFolder),
    Arrays(&'a ArrayFiles),
    Given(&'a GivenSamples),
}

impl Default for DataSpec {
    fn default() -> Self {
        Self::Digits(Digits::default())
    }
}

impl DataSpec {
    /// What is noted of samples that are handed over in memory, with the shape of an image where they are some.
    #[must_use]
    pub fn given(split: &Split, image: Option<[usize; 3]>) -> Self {
        Self::Given(GivenSamples::of(split, image))
    }

    fn source(&self) -> Source<'_> {
        match self {
            Self::Digits(digits) => Source::Digits(digits),
            Self::ToyGaussian(toy) => Source::Toy(toy),
            Self::Iris(iris) => Source::Iris(iris),
            Self::Mnist(files) => Source::Set(&mnist::MNIST, files),
            Self::FashionMnist(files) => Source::Set(&mnist::FASHION_MNIST, files),
            Self::Cifar10(files) => Source::Set(&cifar::CIFAR10, files),
            Self::Cifar100(files) => Source::Set(&cifar::CIFAR100, files),
            Self::Svhn(files) => Source::Set(&svhn::SVHN, files),
            Self::Imagenet32(files) => Source::Set(&imagenet::IMAGENET32, files),
            Self::Imagenet64(files) => Source::Set(&imagenet::IMAGENET64, files),
            Self::Images(folder) => Source::Folder(folder),
            Self::Files(files) => Source::Arrays(files),
            Self::Given(given) => Source::Given(given),
        }
    }

    /// Whether the settings are legal; paths start below `data`.
    ///
    /// # Errors
    /// [`Invalid`] with the path of the setting.
    pub fn check(&self) -> std::result::Result<(), Invalid> {
        match self.source() {
            Source::Digits(digits) => digits.check().map_err(|invalid| invalid.under("digits")),
            Source::Toy(toy) => toy.check().map_err(|invalid| invalid.under("toy_gaussian")),
            Source::Iris(iris) => iris.check().map_err(|invalid| invalid.under("iris")),
            Source::Set(set, files) => files.check(set.shape).map_err(|invalid| invalid.under(set.name)),
            Source::Folder(folder) => folder.check().map_err(|invalid| invalid.under("images")),
            Source::Arrays(files) => files.check().map_err(|invalid| invalid.under("files")),
            Source::Given(given) => given.check().map_err(|invalid| invalid.under("given")),
        }
    }

    /// What samples are, without loading them.
    ///
    /// # Errors
    /// If one's own images are not found, or the first is not sound.
    pub fn shape(&self, lookup: &Lookup) -> Result<Shape> {
        match self.source() {
            Source::Digits(_) => Ok(digits::SHAPE),
            Source::Iris(_) => Ok(iris::SHAPE),
            Source::Toy(toy) => Ok(Shape { inputs: toy.inputs, image: None, classes: toy.classes }),
            Source::Set(set, _) => Ok(set.shape()),
            Source::Folder(folder) => folder.shape(lookup),
            Source::Arrays(files) => files.shape(lookup),
            Source::Given(given) => Ok(given.shape()),
        }
    }

    /// The folder that holds the files, where the setting names one.
    pub fn folder_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Digits(_) | Self::ToyGaussian(_) | Self::Iris(_) | Self::Given(_) => None,
            Self::Mnist(files)
            | Self::FashionMnist(files)
            | Self::Cifar10(files)
            | Self::Cifar100(files)
            | Self::Svhn(files)
            | Self::Imagenet32(files)
            | Self::Imagenet64(files) => files.folder.as_mut(),
            Self::Images(images) => Some(&mut images.folder),
            Self::Files(files) => Some(&mut files.folder),
        }
    }

    /// The same data, wherever they lie. One's own images and arrays are what lies in their folder.
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        match &mut self {
            Self::Digits(_)
            | Self::ToyGaussian(_)
            | Self::Iris(_)
            | Self::Images(_)
            | Self::Files(_)
            | Self::Given(_) => {}
            Self::Mnist(files)
            | Self::FashionMnist(files)
            | Self::Cifar10(files)
            | Self::Cifar100(files)
            | Self::Svhn(files)
            | Self::Imagenet32(files)
            | Self::Imagenet64(files) => files.folder = None,
        }
        self
    }

    /// How many samples there are to learn from and for the test, without loading them.
    ///
    /// # Errors
    /// If files are not found, or their headers are not sound.
    pub fn counts(&self, lookup: &Lookup) -> Result<(usize, usize)> {
        match self.source() {
            Source::Digits(digits) => Ok(divided(digits::SAMPLES, digits.test_fraction)),
            Source::Toy(toy) => Ok(divided(toy.samples, toy.test_fraction)),
            Source::Iris(iris) => Ok(divided(iris::SAMPLES, iris.test_fraction)),
            Source::Set(set, files) => set.counts(files, lookup),
            Source::Folder(folder) => folder.counts(lookup),
            Source::Arrays(files) => files.counts(lookup),
            Source::Given(given) => Ok((given.train, given.test)),
        }
    }

    /// Bytes of memory that an input of a sample takes at the peak: of an image one, of a number eight, for both the
    /// whole and the part that is drawn from it.
    #[must_use]
    pub fn bytes_of_an_input(&self) -> f64 {
        match self.source() {
            Source::Digits(_) | Source::Toy(_) | Source::Iris(_) | Source::Arrays(_) | Source::Given(_) => {
                8.0
            }
            Source::Set(..) | Source::Folder(_) => 1.0,
        }
    }

    /// Checks files as [`DataSpec::load`] does.
    ///
    /// # Errors
    /// As [`DataSpec::load`].
    pub fn check_files(&self, lookup: &Lookup) -> Result<()> {
        match self.source() {
            Source::Digits(_) | Source::Toy(_) | Source::Iris(_) | Source::Given(_) => Ok(()),
            Source::Set(set, files) => set.load(files, lookup).map(drop),
            Source::Folder(folder) => folder.load(lookup).map(drop),
            // Labels are drawn from nothing: any seed will do.
            Source::Arrays(files) => files.load(0, lookup).map(drop),
        }
    }

    /// The samples. Pixels lie between 0 and 1, unless they are normalised. The seed draws what is held back of digits and
    /// irises, and the toy task; sets of images come with their own division.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if a setting is not legal, or files are not found or not sound.
    pub fn load(&self, seed: u64, lookup: &Lookup) -> Result<Split> {
        self.check().map_err(|invalid| invalid.under("data").in_file("experiment"))?;
        match self.source() {
            Source::Digits(digits) => digits.load(seed),
            Source::Toy(toy) => Ok(toy.draw(seed)),
            Source::Iris(iris) => iris.load(seed),
            Source::Set(set, files) => set.load(files, lookup),
            Source::Folder(folder) => folder.load(lookup),
            Source::Arrays(files) => files.load(seed, lookup),
            Source::Given(given) => given.load(lookup),
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
                if name == "files" {
                    let needed = "files need their folder and names: {\"files\": {\"folder\": \"...\", \"train\": \"...\"}}";
                    return Err(E::custom(needed));
                }
                if name == "images" {
                    return Err(E::custom("images need their folder: {\"images\": {\"folder\": \"...\"}}"));
                }
                let known = NAMES.iter().find(|known| **known == name);
                let known = known.ok_or_else(|| E::unknown_variant(name, &NAMES))?;
                let defaults = std::iter::once((*known, BTreeMap::<&str, ()>::new()));
                DataSpec::deserialize(MapAccessDeserializer::new(MapDeserializer::new(defaults)))
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
            json!({"iris": {"test_fraction": 0.2}}),
            json!({"mnist": {"folder": null, "train": null, "test": null}}),
            json!({"fashion_mnist": {"folder": null, "train": null, "test": null}}),
            json!({"cifar10": {"folder": null, "train": null, "test": null}}),
            json!({"cifar100": {"folder": null, "train": null, "test": null}}),
            json!({"svhn": {"folder": null, "train": null, "test": null}}),
            json!({"imagenet32": {"folder": null, "train": null, "test": null}}),
            json!({"imagenet64": {"folder": null, "train": null, "test": null}}),
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
            "mnist.trian: unknown field `trian`, expected one of `folder`, `train`, `test`, \
             `normalise`, `augment` at line 1 column 18"
        );
        assert_eq!(
            parse(r#""cifar""#).unwrap_err(),
            ".: unknown variant `cifar`, expected one of `digits`, `toy_gaussian`, `iris`, `mnist`, `fashion_mnist`, \
             `cifar10`, `cifar100`, `svhn`, `imagenet32`, `imagenet64` at line 1 column 7"
        );
        assert!(
            parse(r#"{"digits": {"test_fraction": "x"}}"#).unwrap_err().starts_with("digits.test_fraction: ")
        );
        assert!(parse("5").unwrap_err().contains("expected one of `digits`, `toy_gaussian`"));
        assert!(parse(r#"{"digits": {}, "mnist": {}}"#).is_err());
        assert!(
            parse(r#""images""#)
                .unwrap_err()
                .contains(r#"images need their folder: {"images": {"folder": "..."}}"#)
        );
        assert!(parse(r#"{"images": {}}"#).unwrap_err().contains("missing field `folder`"));

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
        let grey = r#"{"cifar10": {"normalise": {"mean": [0.5], "std": [0.2]}}}"#;
        assert_eq!(illegal(grey), "cifar10.normalise.mean: found 1 numbers");
        assert_eq!(
            illegal(r#"{"imagenet32": {"augment": {"crop": 33}}}"#),
            "imagenet32.augment.crop: found 33"
        );
        assert_eq!(illegal(r#"{"images": {"folder": "x", "train": 0}}"#), "images.train: found 0");
    }

    #[test]
    fn the_schema_knows_every_name_both_ways() {
        let schema = serde_json::to_value(schemars::schema_for!(DataSpec)).unwrap();
        let choices = schema["oneOf"].as_array().unwrap();
        assert_eq!(choices[0]["enum"], json!(NAMES));
        let tagged: Vec<&str> =
            choices[1..].iter().map(|choice| choice["required"][0].as_str().unwrap()).collect();
        assert_eq!(tagged, [&NAMES[..], &["images", "files", "given"]].concat());
    }
}
