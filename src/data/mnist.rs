//! MNIST and Fashion-MNIST from the four files in which they are distributed.

use std::path::{Path, PathBuf};

use super::idx::{count_images, read_images, read_labels};
use super::sets::{Content, Distribution, ImageSet, Records};
use super::unpacked::refused;
use crate::Result;

const SIDE: usize = 28;

pub(super) static MNIST: ImageSet = ImageSet {
    name: "mnist",
    title: "MNIST",
    shape: [SIDE, SIDE, 1],
    classes: 10,
    normalise: None,
    folders: &["mnist", "MNIST/raw", "MNIST", "mnist/raw", "mnist/MNIST/raw", "raw", ""],
    forms: &[IDX],
    looked_for: LOOKED_FOR,
    fetch: "mkdir -p data/mnist && cd data/mnist && for f in train-images-idx3-ubyte train-labels-idx1-ubyte \
            t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do \
            curl -fLO https://ossci-datasets.s3.amazonaws.com/mnist/$f.gz; done",
    heads: Some([[5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]]),
    published: None,
};

pub(super) static FASHION_MNIST: ImageSet = ImageSet {
    name: "fashion_mnist",
    title: "Fashion-MNIST",
    folders: &[
        "fashion-mnist",
        "FashionMNIST/raw",
        "FashionMNIST",
        "fashion_mnist",
        "fashion-mnist/FashionMNIST/raw",
        "raw",
        "",
    ],
    shape: [SIDE, SIDE, 1],
    classes: 10,
    normalise: None,
    forms: &[IDX],
    looked_for: LOOKED_FOR,
    fetch: "mkdir -p data/fashion-mnist && cd data/fashion-mnist && for f in train-images-idx3-ubyte \
            train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do \
            curl -fLO http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/$f.gz; done",
    heads: Some([[9, 0, 0, 3, 0, 2, 7, 2, 5, 5], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]]),
    published: None,
};

const LOOKED_FOR: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                          t10k-labels-idx1-ubyte, plain or .gz";

/// A file in any of the spellings in which it is passed on.
macro_rules! spelt {
    ($stem:literal, $kind:literal) => {
        &[
            concat!($stem, "-", $kind),
            concat!($stem, "-", $kind, ".gz"),
            concat!($stem, ".", $kind),
            concat!($stem, ".", $kind, ".gz"),
        ]
    };
}

const IDX: Distribution = Distribution {
    train: &[spelt!("train-images", "idx3-ubyte"), spelt!("train-labels", "idx1-ubyte")],
    test: &[spelt!("t10k-images", "idx3-ubyte"), spelt!("t10k-labels", "idx1-ubyte")],
    series: false,
    open: |set, _, files| {
        let [images, labels] = files else { unreachable!("a part has a file of images and one of labels") };
        let count = count_images(images, [SIDE, SIDE])?;
        Ok(vec![Box::new(Pair {
            images: images.clone(),
            labels: labels.clone(),
            count,
            classes: set.classes,
        })])
    },
};

/// A file of images and the file of their labels.
struct Pair {
    images: PathBuf,
    labels: PathBuf,
    count: usize,
    classes: usize,
}

impl Records for Pair {
    fn file(&self) -> &Path {
        &self.images
    }

    fn labels_file(&self) -> &Path {
        &self.labels
    }

    fn count(&self) -> usize {
        self.count
    }

    fn read(&mut self, count: usize, into: &mut Content) -> Result<()> {
        let pixels = read_images(&self.images, [SIDE, SIDE])?;
        let labels = read_labels(&self.labels, self.classes)?;
        if self.count != labels.len() {
            let found = format!("it holds {} labels", labels.len());
            let legal = format!("{} holds {} images; the two must agree", self.images.display(), self.count);
            return Err(refused(&self.labels, found, legal));
        }
        into.pixels.extend_from_slice(&pixels[..count * SIDE * SIDE]);
        into.labels.extend(labels[..count].iter().map(|&label| u32::from(label)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::fixtures::{NAMES, gzip, load_from, plain, said, slice};
    use crate::data::{DataSpec, ImageFiles, Lookup};

    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            std::fs::copy(slice().join(name), folder.path().join(name)).unwrap();
        }
        folder
    }

    /// What is said when `name` has other content, less the folder; all other files are sound.
    fn refused(name: &str, content: &[u8]) -> String {
        let folder = copy();
        std::fs::write(folder.path().join(name), content).unwrap();
        said(&load_from(&MNIST, folder.path()).unwrap_err(), folder.path())
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
            assert_eq!(split.train.inputs()[(pixel, sample)], expected);
        }
        assert_eq!(split.train.inputs().max(), 1.0);
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

    /// A folder that is named and does not hold the data is refused, wherever else they may lie.
    #[test]
    fn data_that_lie_elsewhere_do_not_stand_in_for_a_named_folder() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("named");
        std::fs::create_dir(&named).unwrap();
        std::fs::copy(slice().join(NAMES[0]), named.join(NAMES[0])).unwrap();
        let lookup =
            |data_dir| Lookup { folder_of_experiment: folder.path().to_owned(), data_dir, given: None };
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
        let lookup = Lookup { folder_of_experiment: slice().join(".."), ..Lookup::default() };
        let spec = |train| {
            let folder = Some("mnist".into());
            DataSpec::Mnist(ImageFiles { folder, train: Some(train), test: Some(7), ..ImageFiles::default() })
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
