//! Which files hold a set of images, and where people keep them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Split;
use super::images::{Augment, Normalise};
use super::sets::{Distribution, ImageSet};
use crate::error::Invalid;
use crate::{Error, Result};

/// Settings of images that come as files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFiles {
    /// The folder of the files, relative to the experiment file; without it and `--data`, the usual places are searched.
    pub folder: Option<PathBuf>,
    /// Use only the first so many training images; null for all.
    #[schemars(range(min = 1))]
    pub train: Option<usize>,
    /// Use only the first so many test images; null for all.
    #[schemars(range(min = 1))]
    pub test: Option<usize>,
    /// How pixels become inputs; without it in the way that is usual for the data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// Changes to training images, drawn anew in each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

impl ImageFiles {
    pub(super) fn check(&self, [height, width, channels]: [usize; 3]) -> std::result::Result<(), Invalid> {
        check_limits(self.train, self.test)?;
        if let Some(normalise) = &self.normalise {
            normalise.check(Some(channels)).map_err(|e| e.under("normalise"))?;
        }
        self.augment.map_or(Ok(()), |a| a.check([height, width, channels]).map_err(|e| e.under("augment")))
    }
}

pub(super) fn check_limits(train: Option<usize>, test: Option<usize>) -> std::result::Result<(), Invalid> {
    for (path, limit) in [("train", train), ("test", test)] {
        if limit == Some(0) {
            return Err(Invalid::new(path, "found 0", "it must be at least 1, or null for all images"));
        }
    }
    Ok(())
}

/// Where to look for data files.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// The folder of the experiment file, which the `folder` setting is relative to.
    pub folder_of_experiment: PathBuf,
    /// The folder that the command line names.
    pub data_dir: Option<PathBuf>,
    /// The samples that the program hands over which begins the run.
    pub given: Option<Arc<Split>>,
}

/// The files of a set.
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) form: &'static Distribution,
    pub(super) train: Vec<PathBuf>,
    pub(super) test: Vec<PathBuf>,
}

/// The files, wherever they lie.
pub(super) fn locate(set: &'static ImageSet, settings: &ImageFiles, lookup: &Lookup) -> Result<Found> {
    let environment =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut roots = named_roots(settings, lookup)?;
    // Who names a folder does not mean data that lie elsewhere.
    if roots.is_empty() {
        roots = usual_roots(environment("HOLOGRAD_DATA"), environment("HOME"));
    }
    find(set, &roots)
}

/// The folders that the user names. One that does not exist is a mistake, not a reason to look elsewhere.
fn named_roots(settings: &ImageFiles, lookup: &Lookup) -> Result<Vec<PathBuf>> {
    let setting = settings.folder.as_ref().map(|folder| lookup.folder_of_experiment.join(folder));
    let named: Vec<PathBuf> = setting.into_iter().chain(lookup.data_dir.clone()).collect();
    match named.iter().find(|folder| !folder.is_dir()) {
        None => Ok(named),
        Some(folder) => Err(no_such_folder(folder)),
    }
}

pub(super) fn no_such_folder(folder: &Path) -> Error {
    let legal = "`folder` of the data and `--data` must name existing folders";
    Error::input(folder.display().to_string(), "", "there is no such folder", legal)
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

/// The first folder that holds all files of a form.
pub(super) fn find(set: &'static ImageSet, roots: &[PathBuf]) -> Result<Found> {
    let mut looked = Vec::new();
    for root in roots {
        for place in set.folders {
            let folder = if place.is_empty() { root.clone() } else { root.join(place) };
            let mut absent = String::new();
            let forms = if folder.is_dir() { set.forms } else { &[] };
            for form in forms {
                match form.files_in(&folder) {
                    Ok((train, test)) => return Ok(Found { folder, form, train, test }),
                    Err(missing)
                        if absent.is_empty() && missing.len() < form.train.len() + form.test.len() =>
                    {
                        absent = format!("  (only {} missing)", missing.join(", "));
                    }
                    Err(_) => {}
                }
            }
            looked.push(format!("    {}{absent}", folder.display()));
        }
    }
    let ImageSet { title, looked_for, fetch, .. } = set;
    let legal = format!(
        "looked for {looked_for}, in\n{}\n  to fetch them:\n    {fetch}\n  \
         or name the folder that holds them: `--data DIR`, HOLOGRAD_DATA=DIR, or `folder` of the data in the experiment",
        looked.join("\n"),
    );
    Err(Error::input(*title, "", "the data files were not found", legal))
}

type Files = (Vec<PathBuf>, Vec<PathBuf>);

impl Distribution {
    /// The training and the test files in a folder, or what is missing.
    fn files_in(&self, folder: &Path) -> std::result::Result<Files, Vec<&'static str>> {
        // In any of the spellings in which it is passed on.
        let file = |names: &&[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let train: Vec<Option<PathBuf>> = self.train.iter().map(file).collect();
        let test: Vec<Option<PathBuf>> = self.test.iter().map(file).collect();
        // The first of a series may stand alone, for a part of the set.
        let alone = self.series && train[0].is_some() && train[1..].iter().all(Option::is_none);
        let needed = if alone { 1 } else { train.len() };
        let missing = |names: &[&[&'static str]], files: &[Option<PathBuf>]| -> Vec<&'static str> {
            names.iter().zip(files).filter(|(_, file)| file.is_none()).map(|(names, _)| names[0]).collect()
        };
        let absent = [missing(self.train, &train[..needed]), missing(self.test, &test)].concat();
        if absent.is_empty() {
            Ok((train.into_iter().flatten().collect(), test.into_iter().flatten().collect()))
        } else {
            Err(absent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar::CIFAR10;
    use crate::data::fixtures::{NAMES, slice};
    use crate::data::mnist::FASHION_MNIST;

    #[test]
    fn what_is_absent_is_said_once_with_every_place_and_the_way_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir_all(a.join("FashionMNIST/raw")).unwrap();
        std::fs::copy(slice().join(NAMES[0]), a.join("FashionMNIST/raw").join(NAMES[0])).unwrap();
        let message = find(&FASHION_MNIST, &[a.clone(), b.clone()]).err().unwrap().to_string();
        assert!(
            message.starts_with(
                "Fashion-MNIST: the data files were not found; looked for train-images-idx3-ubyte"
            )
        );
        for root in [&a, &b] {
            for place in FASHION_MNIST.folders {
                let line = format!(
                    "\n    {}",
                    if place.is_empty() { root.clone() } else { root.join(place) }.display()
                );
                assert!(message.contains(&line), "{line} in {message}");
            }
        }
        assert!(message.contains(
            "a/FashionMNIST/raw  (only train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte missing)"
        ));
        assert!(message.contains("curl -fLO http://fashion-mnist.s3-website"), "{message}");
        assert!(message.contains("`--data DIR`, HOLOGRAD_DATA=DIR, or `folder`"), "{message}");
    }

    /// A part of CIFAR-10 is its first training file alone; a file that is lost makes no part.
    #[test]
    fn a_series_is_whole_or_its_first_file() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
        let found = || find(&CIFAR10, &[folder.path().to_owned()]);
        ["data_batch_1.bin.gz", "test_batch.bin"].into_iter().for_each(touch);
        let names = |found: Found| {
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            found.train.iter().chain(&found.test).map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(found().unwrap()), "data_batch_1.bin.gz test_batch.bin");
        ["data_batch_2.bin", "data_batch_3.bin", "data_batch_5.bin"].into_iter().for_each(touch);
        let message = found().err().unwrap().to_string();
        assert!(
            message.contains(&format!("{}  (only data_batch_4.bin missing)", folder.path().display())),
            "{message}"
        );
        touch("data_batch_4.bin");
        assert_eq!(found().unwrap().train.len(), 5);
    }

    #[test]
    fn places_are_searched_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ImageFiles { folder: Some("set".into()), ..ImageFiles::default() };
        let lookup = Lookup {
            folder_of_experiment: folder.path().to_owned(),
            data_dir: Some(folder.path().join("named")),
            given: None,
        };
        let error = named_roots(&settings, &lookup).unwrap_err().to_string();
        assert!(error.contains("set: there is no such folder; "), "{error}");
        std::fs::create_dir(folder.path().join("set")).unwrap();
        std::fs::create_dir(folder.path().join("named")).unwrap();
        assert_eq!(
            named_roots(&settings, &lookup).unwrap(),
            [folder.path().join("set"), folder.path().join("named")]
        );
        let usual = usual_roots(Some("/e".into()), Some("/h".into()));
        assert_eq!(
            usual,
            [
                "/e",
                "data",
                "/usr/share/datasets",
                "/h/data",
                "/h/datasets",
                "/h/.cache",
                "/h/.julia/datadeps"
            ]
            .map(PathBuf::from)
        );
        // The first complete folder wins; an empty one before it is passed over.
        let roots = [folder.path().join("set"), slice(), folder.path().join("named")];
        assert_eq!(find(&crate::data::mnist::MNIST, &roots).unwrap().folder, slice());
    }
}
