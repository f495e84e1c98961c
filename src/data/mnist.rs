//! MNIST and Fashion-MNIST from the four files in which they are distributed.

use std::path::{Path, PathBuf};

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::idx::{count_images, read_images, read_labels};
use super::{Dataset, Split};
use crate::error::Invalid;
use crate::{Error, Result};

const SIDE: usize = 28;
const CLASSES: usize = 10;
/// Inputs of a sample, and classes.
pub(super) const SHAPE: (usize, usize) = (SIDE * SIDE, CLASSES);

/// Settings of data that come as IDX files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFiles {
    /// Folder of the four IDX files, plain or `.gz`, relative to the experiment file; without it and `--data`, the usual
    /// places are searched.
    pub folder: Option<PathBuf>,
    /// Use only the first so many training images; null for all.
    #[schemars(range(min = 1))]
    pub train: Option<usize>,
    /// Use only the first so many test images; null for all.
    #[schemars(range(min = 1))]
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
    let (folder, files) = locate(source, settings, lookup)?;
    let mut split = read(source, &files, settings)?;
    split.folder = Some(folder);
    Ok(split)
}

/// How many samples there are to learn from and for the test, from the headers of the files alone.
pub(super) fn counts(source: &Source, settings: &ImageFiles, lookup: &Lookup) -> Result<(usize, usize)> {
    let (_, [train, _, test, _]) = locate(source, settings, lookup)?;
    let count = |path: &Path, limit: Option<usize>| {
        let all = count_images(path, [SIDE, SIDE])?;
        Ok(limit.map_or(all, |limit| limit.min(all)))
    };
    Ok((count(&train, settings.train)?, count(&test, settings.test)?))
}

/// Checks the files as [`load`] does, without making samples of them.
pub(super) fn check(source: &Source, settings: &ImageFiles, lookup: &Lookup) -> Result<()> {
    let (_, files) = locate(source, settings, lookup)?;
    let (train, test) = parts(source, &files)?;
    train.limited(&files[0], settings.train, "train")?;
    test.limited(&files[2], settings.test, "test").map(drop)
}

/// The folder that holds the files, and the files.
fn locate(source: &Source, settings: &ImageFiles, lookup: &Lookup) -> Result<(PathBuf, [PathBuf; 4])> {
    let environment =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut roots = named_roots(settings, lookup)?;
    // Who names a folder does not mean data that lie elsewhere.
    if roots.is_empty() {
        roots = usual_roots(environment("HOLOGRAD_DATA"), environment("HOME"));
    }
    find(source, &roots)
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
    let (train, test) = parts(source, files)?;
    Ok(Split {
        train: train.dataset(source, &files[0], settings.train, "train")?,
        test: test.dataset(source, &files[2], settings.test, "test")?,
        folder: None,
    })
}

/// The training and the test part, each of its own files.
fn parts(source: &Source, files: &[PathBuf; 4]) -> Result<(Part, Part)> {
    let [train_images, train_labels, test_images, test_labels] = files;
    let (train, test) =
        rayon::join(|| read_part(train_images, train_labels), || read_part(test_images, test_labels));
    let (train, test) = (train?, test?);
    check_identity(source, train_labels, &train.labels, 0)?;
    check_identity(source, test_labels, &test.labels, 1)?;
    Ok((train, test))
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
    /// How many samples are used of it.
    fn limited(&self, images: &Path, limit: Option<usize>, setting: &str) -> Result<usize> {
        let samples = limit.unwrap_or(self.labels.len());
        if samples > self.labels.len() {
            let found = format!("it holds {} images", self.labels.len());
            let legal = format!("`{setting}` of the data asks for {samples}");
            return Err(Error::input(images.display().to_string(), "", found, legal));
        }
        Ok(samples)
    }

    fn dataset(self, source: &Source, images: &Path, limit: Option<usize>, setting: &str) -> Result<Dataset> {
        let samples = self.limited(images, limit, setting)?;
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::data::DataSpec;

    const NAMES: [&str; 4] = [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ];

    fn slice() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mnist")
    }

    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            std::fs::copy(slice().join(name), folder.path().join(name)).unwrap();
        }
        folder
    }

    /// The uncompressed content of a file of the slice.
    fn plain(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(slice().join(name)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn load_from(source: &Source, folder: &Path) -> Result<Split> {
        let (_, files) = find(source, &[folder.to_owned()])?;
        read(source, &files, &ImageFiles::default())
    }

    /// What is said when `name` has other content, less the folder; all other files are sound.
    fn refused(name: &str, content: &[u8]) -> String {
        let folder = copy();
        std::fs::write(folder.path().join(name), content).unwrap();
        said(&load_from(&MNIST, folder.path()).unwrap_err(), folder.path())
    }

    fn said(error: &Error, folder: &Path) -> String {
        assert_eq!(error.exit_code(), 2);
        error.to_string().replace(&format!("{}/", folder.display()), "")
    }

    #[test]
    fn the_slice_is_read_as_its_bytes_say() {
        let split = load_from(&MNIST, &slice()).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (200, 100));
        assert_eq!((split.train.features(), split.train.classes), (784, 10));
        assert_eq!(split.train.labels[..5], [5, 0, 4, 1, 9]);
        assert_eq!(split.test.labels[..5], [7, 2, 1, 0, 4]);
        let bytes = plain(NAMES[0]);
        for (sample, pixel) in [(0, 0), (0, 156), (0, 406), (57, 300), (199, 783)] {
            let expected = f32::from(bytes[16 + 784 * sample + pixel]) / 255.0;
            assert_eq!(split.train.inputs[(pixel, sample)], expected);
        }
        assert_eq!(split.train.inputs.max(), 1.0);
    }

    #[test]
    fn plain_and_compressed_files_of_every_spelling_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("MNIST/raw");
        std::fs::create_dir_all(&raw).unwrap();
        std::fs::write(raw.join("train-images-idx3-ubyte"), plain(NAMES[0])).unwrap();
        std::fs::write(raw.join("train-labels.idx1-ubyte"), plain(NAMES[1])).unwrap();
        std::fs::write(raw.join("t10k-images.idx3-ubyte.gz"), gzip(&plain(NAMES[2]))).unwrap();
        // Compressed in spite of its name, as some downloads are.
        std::fs::write(raw.join("t10k-labels-idx1-ubyte"), gzip(&plain(NAMES[3]))).unwrap();
        assert_eq!(load_from(&MNIST, folder.path()).unwrap(), load_from(&MNIST, &slice()).unwrap());
    }

    #[test]
    fn ten_kinds_of_bad_files_are_refused_with_their_reason() {
        let [images, labels, test_images, test_labels] = NAMES;
        let good_images = plain(images);
        let good_labels = plain(labels);

        // 1. Empty.
        assert_eq!(refused(images, b""), format!("{images}: the file is empty; fetch it again"));
        // 2. A gzip file cut short, and damaged, and none at all.
        let packed = gzip(&good_labels);
        assert_eq!(
            refused(labels, &packed[..packed.len() / 2]),
            format!("{labels}: the gzip file is truncated; fetch it again")
        );
        let mut damaged = packed.clone();
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        let said_of_damage = refused(labels, &damaged);
        assert!(
            said_of_damage.starts_with(&format!("{labels}: the gzip file is damaged (")),
            "{said_of_damage}"
        );
        assert_eq!(
            refused(labels, b"<html>404</html>"),
            format!("{labels}: it is no gzip file in spite of its name; fetch it again, or drop the `.gz`")
        );
        // 3. Truncated content, down to within the header.
        assert_eq!(
            refused(images, &gzip(&good_images[..good_images.len() - 1])),
            format!("{images}: it is truncated: 156815 bytes; its header announces 200 images, 156816 bytes")
        );
        assert_eq!(
            refused(images, &gzip(&good_images[..10])),
            format!("{images}: it is truncated, to 10 bytes; fetch it again")
        );
        assert_eq!(
            refused(labels, &gzip(&good_labels[..2])),
            format!(
                "{labels}: it is truncated, to 2 bytes; \
                 an IDX file of labels starts with the magic number 2049"
            )
        );
        // 4. Trailing bytes.
        assert_eq!(
            refused(labels, &gzip(&[good_labels.as_slice(), b"abc"].concat())),
            format!("{labels}: it goes on after them; its header announces 200 labels, 208 bytes")
        );
        // 5. Another magic number.
        let mut other = good_images.clone();
        other[3] = 9;
        assert_eq!(
            refused(images, &gzip(&other)),
            format!(
                "{images}: its magic number is 2057; an IDX file of images starts with the magic number 2051"
            )
        );
        // 6. Images and labels swapped.
        assert_eq!(
            refused(images, &gzip(&good_labels)),
            format!(
                "{images}: it holds labels, not images; are two files swapped?; \
                 an IDX file of images starts with the magic number 2051"
            )
        );
        assert_eq!(
            refused(labels, &gzip(&good_images)),
            format!(
                "{labels}: it holds images, not labels; are two files swapped?; \
                 an IDX file of labels starts with the magic number 2049"
            )
        );
        // 7. A label that is none.
        let mut other = good_labels.clone();
        other[8 + 17] = 10;
        assert_eq!(
            refused(labels, &gzip(&other)),
            format!("{labels}: label 17 is 10; labels must lie between 0 and 9")
        );
        // 8. Another number of labels than images.
        let mut other = good_labels.clone();
        other.pop();
        other[7] -= 1;
        let said_of_counts = refused(labels, &gzip(&other));
        assert!(said_of_counts.starts_with(&format!("{labels}: it holds 199 labels; ")), "{said_of_counts}");
        assert!(said_of_counts.ends_with(&format!("{images} holds 200 images; the two must agree")));
        // 9. Images of another size.
        let mut other = good_images.clone();
        (other[11], other[15]) = (14, 56);
        assert_eq!(
            refused(images, &gzip(&other)),
            format!("{images}: it holds images of 14 × 56 pixels; images of 28 × 28 are needed")
        );
        // 10. Training and test swapped: recognised by the labels.
        let folder = copy();
        for (from, to) in [(images, test_images), (labels, test_labels)] {
            std::fs::copy(slice().join(from), folder.path().join(to)).unwrap();
            std::fs::copy(slice().join(to), folder.path().join(from)).unwrap();
        }
        assert_eq!(
            said(&load_from(&MNIST, folder.path()).unwrap_err(), folder.path()),
            format!(
                "{labels}: it starts like the test labels of MNIST; \
                 the training labels of MNIST are needed; are two files swapped?"
            )
        );
    }

    /// Few-shot data: more images to be tested on than to learn from.
    #[test]
    fn any_number_of_images_may_be_learnt_from() {
        let folder = copy();
        let [_, labels, _, test_labels] = NAMES;
        for (from, to) in [(0, 2), (2, 0)] {
            std::fs::copy(slice().join(NAMES[from]), folder.path().join(NAMES[to])).unwrap();
        }
        for (from, to) in [(labels, test_labels), (test_labels, labels)] {
            let mut unknown = plain(from);
            unknown[8..].reverse();
            std::fs::write(folder.path().join(to), gzip(&unknown)).unwrap();
        }
        let split = load_from(&MNIST, folder.path()).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (100, 200));
    }

    /// `gzip` passes over zeros at the end, which fill up the last block of a tape, and takes several members for one.
    #[test]
    fn padding_and_further_members_are_part_of_a_gzip_file() {
        let folder = copy();
        let labels = plain(NAMES[1]);
        let (first, second) = labels.split_at(100);
        let whole = load_from(&MNIST, &slice()).unwrap();
        for content in [
            [gzip(&labels), vec![0; 3]].concat(),
            [gzip(&labels), vec![0; 200_000]].concat(),
            [gzip(first), gzip(second)].concat(),
            [gzip(first), gzip(b""), gzip(second), vec![0]].concat(),
        ] {
            std::fs::write(folder.path().join(NAMES[1]), content).unwrap();
            assert_eq!(load_from(&MNIST, folder.path()).unwrap(), whole);
        }
        for (rest, told) in [
            (&b"abc"[..], "neither gzip nor zeros"),
            (b"\0\0\x1f", "neither gzip nor zeros"),
            (b"\x1f", "truncated"),
        ] {
            let message = refused(NAMES[1], &[gzip(&labels), rest.to_vec()].concat());
            assert!(message.starts_with(NAMES[1]) && message.contains(told), "{message}");
        }
    }

    /// What a header does not announce is not unpacked: here 64 MiB behind one image.
    #[test]
    fn no_more_is_read_than_the_header_announces() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        let header = [2051_u32, 1, 28, 28];
        header.iter().for_each(|word| encoder.write_all(&word.to_be_bytes()).unwrap());
        (0..64).for_each(|_| encoder.write_all(&zeros).unwrap());
        let mut bomb = encoder.finish().unwrap();
        // Whoever read on would come to a damaged place.
        let middle = bomb.len() / 2;
        bomb[middle..].fill(0xff);
        assert_eq!(
            refused(NAMES[0], &bomb),
            format!("{}: it goes on after them; its header announces 1 images, 800 bytes", NAMES[0])
        );
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_without_the_memory() {
        let header: Vec<u8> =
            [2051_u32, u32::MAX, 28, 28].iter().flat_map(|word| word.to_be_bytes()).collect();
        let told = "its header announces 4294967295 images, 3367254359296 bytes";
        let packed = gzip(&header);
        let found = format!("it is truncated: {} bytes of gzip hold less", packed.len());
        assert_eq!(refused(NAMES[0], &packed), format!("{}: {found}; {told}", NAMES[0]));
        let folder = copy();
        std::fs::remove_file(folder.path().join(NAMES[0])).unwrap();
        let name = NAMES[0].trim_end_matches(".gz");
        std::fs::write(folder.path().join(name), &header).unwrap();
        let error = load_from(&MNIST, folder.path()).unwrap_err();
        assert_eq!(said(&error, folder.path()), format!("{name}: it is truncated: 16 bytes; {told}"));
        let header: Vec<u8> = [u32::MAX; 4].iter().flat_map(|word| word.to_be_bytes()).collect();
        assert!(refused(NAMES[0], &gzip(&header)).contains("its magic number is 4294967295"));
    }

    #[test]
    fn mnist_is_not_taken_for_fashion_mnist() {
        let error = load_from(&FASHION_MNIST, &slice()).unwrap_err();
        assert_eq!(
            said(&error, &slice()),
            "train-labels-idx1-ubyte.gz: it starts like the training labels of MNIST; \
             the training labels of Fashion-MNIST are needed; are two files swapped?"
        );
    }

    #[test]
    fn what_is_absent_is_said_once_with_every_place_and_the_way_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir_all(a.join("FashionMNIST/raw")).unwrap();
        std::fs::copy(slice().join(NAMES[0]), a.join("FashionMNIST/raw").join(NAMES[0])).unwrap();
        let message = find(&FASHION_MNIST, &[a.clone(), b.clone()]).unwrap_err().to_string();
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

    #[test]
    fn places_are_searched_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ImageFiles { folder: Some("set".into()), ..ImageFiles::default() };
        let lookup = Lookup {
            folder_of_experiment: folder.path().to_owned(),
            data_dir: Some(folder.path().join("named")),
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
        assert_eq!(find(&MNIST, &roots).unwrap().0, slice());
    }

    /// A folder that is named and does not hold the data is refused, wherever else they may lie.
    #[test]
    fn data_that_lie_elsewhere_do_not_stand_in_for_a_named_folder() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("named");
        std::fs::create_dir(&named).unwrap();
        std::fs::copy(slice().join(NAMES[0]), named.join(NAMES[0])).unwrap();
        let lookup = |data_dir| Lookup { folder_of_experiment: folder.path().to_owned(), data_dir };
        let spec = |folder| DataSpec::Mnist(ImageFiles { folder, ..ImageFiles::default() });
        for (setting, data_dir) in [(Some("named".into()), None), (None, Some(named.clone()))] {
            let message = spec(setting).load(0, &lookup(data_dir)).unwrap_err().to_string();
            let places: Vec<&str> = message.lines().filter(|line| line.starts_with("    /")).collect();
            assert_eq!(places.len(), MNIST.folders.len(), "{message}");
            assert!(places.iter().all(|place| place.contains("/named")), "{message}");
        }
        // Of two that are named the first complete one counts.
        let split = spec(Some("named".into())).load(0, &lookup(Some(slice()))).unwrap();
        assert_eq!(split.folder.unwrap(), slice());
    }

    #[test]
    fn limits_take_the_first_images() {
        let lookup = Lookup { folder_of_experiment: slice().join(".."), data_dir: None };
        let spec = |train| {
            DataSpec::Mnist(ImageFiles { folder: Some("mnist".into()), train: Some(train), test: Some(7) })
        };
        let split = spec(12).load(0, &lookup).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (12, 7));
        assert_eq!(split.train.labels[..5], [5, 0, 4, 1, 9]);
        assert_eq!(split.folder.unwrap(), slice().join("..").join("mnist"));
        let error = spec(201).load(0, &lookup).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "train-images-idx3-ubyte.gz: it holds 200 images; `train` of the data asks for 201"
            ),
            "{error}"
        );
        let error = spec(0).load(0, &lookup).unwrap_err().to_string();
        assert_eq!(
            error,
            "experiment: at `data.mnist.train`: found 0; it must be at least 1, or null for all images"
        );
    }
}
