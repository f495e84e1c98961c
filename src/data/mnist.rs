//! MNIST and Fashion-MNIST from the four files in which they are distributed.

use std::path::{Path, PathBuf};

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::idx::{read_images, read_labels};
use super::{Dataset, Split};
use crate::error::Invalid;
use crate::{Error, Result};

const SIDE: usize = 28;
const CLASSES: usize = 10;

/// Settings of data that come as IDX files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFiles {
    /// The folder of the four files, relative to the experiment file; without it, the usual places are searched.
    pub folder: Option<PathBuf>,
    /// Use only the first so many training images.
    pub train: Option<usize>,
    /// Use only the first so many test images.
    pub test: Option<usize>,
}

impl ImageFiles {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        for (path, limit) in [("train", self.train), ("test", self.test)] {
            if limit == Some(0) {
                return Err(Invalid::new(path, "found 0", "it must be at least 1, or null for all images"));
            }
        }
        Ok(())
    }
}

/// Where to look for data files.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// The folder of the experiment file, which the `folder` setting is relative to.
    pub folder_of_experiment: PathBuf,
    /// The folder that the command line names.
    pub data_dir: Option<PathBuf>,
}

/// A data set of 28 × 28 images in ten classes.
pub(super) struct Source {
    name: &'static str,
    title: &'static str,
    /// Folders that hold it, below a folder of data sets.
    folders: [&'static str; 7],
    url: &'static str,
    /// The labels that its training and its test file start with.
    heads: [[u8; 10]; 2],
}

pub(super) const MNIST: Source = Source {
    name: "mnist",
    title: "MNIST",
    folders: ["mnist", "MNIST/raw", "MNIST", "mnist/raw", "mnist/MNIST/raw", "raw", ""],
    url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
    heads: [[5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]],
};

pub(super) const FASHION_MNIST: Source = Source {
    name: "fashion_mnist",
    title: "Fashion-MNIST",
    folders: [
        "fashion-mnist",
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion_mnist",
        "fashion-mnist/FashionMNIST/raw",
        "raw",
        "",
    ],
    url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    heads: [[9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]],
};

/// Training images, training labels, test images, test labels.
const FILES: [[&str; 2]; 4] = [
    ["train-images", "idx3-ubyte"],
    ["train-labels", "idx1-ubyte"],
    ["t10k-images", "idx3-ubyte"],
    ["t10k-labels", "idx1-ubyte"],
];

pub(super) fn load(source: &Source, settings: &ImageFiles, lookup: &Lookup) -> Result<Split> {
    let environment =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let roots = named_roots(settings, lookup)?;
    let roots = [roots, usual_roots(environment("HOLOGRAD_DATA"), environment("HOME"))].concat();
    let (folder, files) = find(source, &roots)?;
    let mut split = read(source, &files, settings)?;
    split.folder = Some(folder);
    Ok(split)
}

/// The folders that the user names. One that does not exist is a mistake, not a reason to look elsewhere.
fn named_roots(settings: &ImageFiles, lookup: &Lookup) -> Result<Vec<PathBuf>> {
    let setting = settings.folder.as_ref().map(|folder| lookup.folder_of_experiment.join(folder));
    let named: Vec<PathBuf> = setting.into_iter().chain(lookup.data_dir.clone()).collect();
    match named.iter().find(|folder| !folder.is_dir()) {
        None => Ok(named),
        Some(folder) => {
            let legal = "`folder` of the data and `--data` must name existing folders";
            Err(Error::input(folder.display().to_string(), "", "there is no such folder", legal))
        }
    }
}

/// The folders where people keep data sets.
fn usual_roots(data: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    let in_home =
        |home: PathBuf| ["data", "datasets", ".cache", ".julia/datadeps"].map(|place| home.join(place));
    data.into_iter()
        .chain([PathBuf::from("data"), PathBuf::from("/usr/share/datasets")])
        .chain(home.into_iter().flat_map(in_home))
        .collect()
}

/// The first folder that holds all four files, and the files.
fn find(source: &Source, roots: &[PathBuf]) -> Result<(PathBuf, [PathBuf; 4])> {
    let mut looked = Vec::new();
    for root in roots {
        for place in source.folders {
            let folder = if place.is_empty() { root.clone() } else { root.join(place) };
            let found = FILES.map(|[stem, kind]| file_in(&folder, stem, kind));
            if let [Some(a), Some(b), Some(c), Some(d)] = found {
                return Ok((folder, [a, b, c, d]));
            }
            let absent: Vec<String> = FILES
                .iter()
                .zip(&found)
                .filter(|(_, file)| file.is_none())
                .map(|([stem, kind], _)| format!("{stem}-{kind}"))
                .collect();
            looked.push(match absent.len() {
                4 => format!("    {}", folder.display()),
                _ => format!("    {}  (only {} missing)", folder.display(), absent.join(", ")),
            });
        }
    }
    let Source { title, url, .. } = source;
    let [a, b, c, d] = FILES.map(|[stem, kind]| format!("{stem}-{kind}"));
    let legal = format!(
        "looked for {a}, {b}, {c} and {d}, plain or .gz, in\n{}\n  to fetch them:\n    \
         mkdir -p data/{name} && cd data/{name} && for f in {a} {b} {c} {d}; do curl -fLO {url}$f.gz; done\n  \
         or name the folder that holds them: `--data DIR`, HOLOGRAD_DATA=DIR, or `folder` of the data in the experiment",
        looked.join("\n"),
        name = source.folders[0],
    );
    Err(Error::input(*title, "", "the data files were not found", legal))
}

/// The file in any of the spellings in which it is passed on.
fn file_in(folder: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
    [
        format!("{stem}-{kind}"),
        format!("{stem}-{kind}.gz"),
        format!("{stem}.{kind}"),
        format!("{stem}.{kind}.gz"),
    ]
    .into_iter()
    .map(|name| folder.join(name))
    .find(|path| path.is_file())
}

fn read(source: &Source, files: &[PathBuf; 4], settings: &ImageFiles) -> Result<Split> {
    let [train_images, train_labels, test_images, test_labels] = files;
    let (train, test) =
        rayon::join(|| read_part(train_images, train_labels), || read_part(test_images, test_labels));
    let (train, test) = (train?, test?);
    check_identity(source, train_labels, &train.labels, 0)?;
    check_identity(source, test_labels, &test.labels, 1)?;
    if train.labels.len() < test.labels.len() {
        let found = format!(
            "it holds {} images, fewer than the {} of the test",
            train.labels.len(),
            test.labels.len()
        );
        let legal = "are the training and the test files swapped?";
        return Err(Error::input(train_images.display().to_string(), "", found, legal));
    }
    Ok(Split {
        train: train.dataset(source, train_images, settings.train, "train")?,
        test: test.dataset(source, test_images, settings.test, "test")?,
        folder: None,
    })
}

/// One part as the files hold it.
struct Part {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

fn read_part(images: &Path, labels: &Path) -> Result<Part> {
    let part = Part { pixels: read_images(images, [SIDE, SIDE])?, labels: read_labels(labels, CLASSES)? };
    let count = part.pixels.len() / (SIDE * SIDE);
    if count != part.labels.len() {
        let found = format!("it holds {} labels", part.labels.len());
        let legal = format!("{} holds {count} images; the two must agree", images.display());
        return Err(Error::input(labels.display().to_string(), "", found, legal));
    }
    if count == 0 {
        return Err(Error::input(images.display().to_string(), "", "it holds no image", "fetch it again"));
    }
    Ok(part)
}

/// Refuses labels that are known to be another part's or another data set's; `part` is 0 for training, 1 for test.
fn check_identity(source: &Source, path: &Path, labels: &[u8], part: usize) -> Result<()> {
    const PARTS: [&str; 2] = ["training", "test"];
    for other in [&MNIST, &FASHION_MNIST] {
        for (other_part, head) in other.heads.iter().enumerate() {
            if labels.starts_with(head) && (other.name, other_part) != (source.name, part) {
                let found = format!("it starts like the {} labels of {}", PARTS[other_part], other.title);
                let legal = format!(
                    "the {} labels of {} are needed; are two files swapped?",
                    PARTS[part], source.title
                );
                return Err(Error::input(path.display().to_string(), "", found, legal));
            }
        }
    }
    Ok(())
}

impl Part {
    fn dataset(self, source: &Source, images: &Path, limit: Option<usize>, setting: &str) -> Result<Dataset> {
        let samples = limit.unwrap_or(self.labels.len());
        if samples > self.labels.len() {
            let found = format!("it holds {} images", self.labels.len());
            let legal = format!("`{setting}` of the data asks for {samples}");
            return Err(Error::input(images.display().to_string(), "", found, legal));
        }
        let pixels = &self.pixels[..samples * SIDE * SIDE];
        let scaled: [f32; 256] = std::array::from_fn(|value| value as f32 / 255.0);
        Ok(Dataset {
            inputs: DMatrix::from_vec(
                SIDE * SIDE,
                samples,
                pixels.iter().map(|&pixel| scaled[usize::from(pixel)]).collect(),
            ),
            labels: self.labels[..samples].iter().map(|&label| u32::from(label)).collect(),
            classes: CLASSES,
            name: source.name.to_owned(),
        })
    }
}
