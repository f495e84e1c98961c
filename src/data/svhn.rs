//! SVHN, photographs of house numbers cut to single digits, in its MATLAB files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::batch::check_sum;
use super::mat::{Variable, number, variables, width};
use super::sets::{Content, Distribution, ImageSet, Part, Publication, Records};
use super::unpacked::{open, refused};
use crate::{Error, Result};

const SIDE: usize = 32;
const SIZE: usize = SIDE * SIDE * 3;
/// Images that are read at once.
const TOGETHER: usize = 256;

pub(super) static SVHN: ImageSet = ImageSet {
    name: "svhn",
    title: "SVHN",
    shape: [SIDE, SIDE, 3],
    classes: 10,
    normalise: Some(([0.4377, 0.4438, 0.4728], [0.1980, 0.2010, 0.1970])),
    folders: &["svhn", "SVHN", "svhn_cropped", ""],
    forms: &[MATLAB],
    looked_for: "train_32x32.mat and test_32x32.mat",
    fetch: "mkdir -p data/svhn && cd data/svhn && for f in train_32x32.mat test_32x32.mat; do \
            curl -fLO http://ufldl.stanford.edu/housenumbers/$f; done",
    heads: None,
    published: Some(Publication {
        images: [73_257, 26_032],
        md5: [&["e26dedcc434d2e4c54c9b2d4a06d8373"], &["eb5a983be6a315427106f1b164d9cef3"]],
    }),
};

const MATLAB: Distribution = Distribution {
    train: &[&["train_32x32.mat"]],
    test: &[&["test_32x32.mat"]],
    series: false,
    open: |set, part, files| {
        let open = |path: &PathBuf| Ok(Box::new(Digits::open(set, part, path)?) as Box<dyn Records>);
        files.iter().map(open).collect()
    },
};

/// A file of images X [row, column, channel, image], rows fastest, and labels y, in which the digit 0 is 10.
struct Digits {
    path: PathBuf,
    file: File,
    images: Variable,
    labels: Variable,
    count: usize,
    md5: Option<&'static str>,
}

impl Digits {
    fn open(set: &ImageSet, part: Part, path: &Path) -> Result<Self> {
        let refuse = |found: String, legal: String| Err(refused(path, found, legal));
        let (mut file, length) = open(path, "a MATLAB file")?;
        if length == 0 {
            return Err(refused(path, "the file is empty", "fetch it again"));
        }
        let variables = variables(&mut file, length).map_err(|found| {
            refused(path, found, "a whole MATLAB file of version 5 is needed: fetch it again")
        })?;
        let named = |name: &str| variables.iter().find(|variable| variable.name == name).cloned();
        let (Some(images), Some(labels)) = (named("X"), named("y")) else {
            let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
            let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return refuse(format!("it holds {found}"), "images X and labels y are needed".to_owned());
        };
        let side = SIDE as u64;
        let count = match images.sizes[..] {
            [height, width, 3, count] if [height, width] == [side; 2] => count,
            // MATLAB drops the last size where it is 1.
            [height, width, 3] if [height, width] == [side; 2] => 1,
            _ => {
                return refuse(
                    format!("X has the sizes {:?}", images.sizes),
                    "32, 32, 3 and the number of images are needed".to_owned(),
                );
            }
        };
        if images.kind != 2 || count.checked_mul(SIZE as u64) != Some(images.length) {
            let found = format!(
                "X has the sizes {:?} and {} bytes of kind {}",
                images.sizes, images.length, images.kind
            );
            return refuse(found, "a byte for each (kind 2) is needed".to_owned());
        }
        let numbers = width(labels.kind).map(|width| labels.length / width as u64);
        if numbers != Some(count)
            || labels.sizes.iter().try_fold(1_u64, |all, size| all.checked_mul(*size)) != numbers
        {
            let found = format!(
                "y has the sizes {:?} and {} bytes of kind {}",
                labels.sizes, labels.length, labels.kind
            );
            return refuse(found, format!("a number for each of {count} images is needed"));
        }
        let (own, other) = (usize::from(part == Part::Test), usize::from(part == Part::Train));
        let published = set.published.as_ref();
        if published.is_some_and(|published| count == published.images[other] as u64) {
            let found = format!("it holds {count} images, as the publishers' other file does");
            return refuse(found, format!("the {} images are needed; are two files swapped?", part.told()));
        }
        let md5 = published.filter(|published| count == published.images[own] as u64);
        let md5 = md5.and_then(|published| published.md5[own].first().copied());
        Ok(Self { path: path.to_owned(), file, images, labels, count: count as usize, md5 })
    }

    fn read_images(&mut self, count: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
        let mut stream = self.images.stream(&mut self.file)?;
        let mut buffer = vec![0; TOGETHER * SIZE];
        let mut left = count;
        while left > 0 {
            let images = &mut buffer[..left.min(TOGETHER) * SIZE];
            stream.read_exact(images)?;
            for image in images.chunks_exact(SIZE) {
                // Column by column, channel by channel.
                let at =
                    |row: usize, column: usize, channel: usize| image[(channel * SIDE + column) * SIDE + row];
                for row in 0..SIDE {
                    for column in 0..SIDE {
                        into.extend((0..3).map(|channel| at(row, column, channel)));
                    }
                }
            }
            left -= images.len() / SIZE;
        }
        // A checksum stands after the last byte.
        if count == self.count {
            std::io::copy(&mut stream.take(64), &mut std::io::sink())?;
        }
        Ok(())
    }

    fn read_labels(&mut self, count: usize) -> std::io::Result<Vec<f64>> {
        let width = width(self.labels.kind).unwrap_or(1);
        let mut bytes = vec![0; count * width];
        self.labels.stream(&mut self.file)?.read_exact(&mut bytes)?;
        Ok(bytes.chunks_exact(width).map(|bytes| number(self.labels.kind, bytes)).collect())
    }
}

impl Records for Digits {
    fn file(&self) -> &Path {
        &self.path
    }

    fn count(&self) -> usize {
        self.count
    }

    fn read(&mut self, count: usize, into: &mut Content) -> Result<()> {
        self.md5.map_or(Ok(()), |md5| check_sum(&self.path, md5))?;
        let path = self.path.clone();
        let damaged = |name: &'static str| {
            let path = path.clone();
            move |error: std::io::Error| -> Error {
                refused(&path, format!("{name} cannot be read: {error}"), "fetch the file again")
            }
        };
        self.read_images(count, &mut into.pixels).map_err(damaged("X"))?;
        for (at, label) in self.read_labels(count).map_err(damaged("y"))?.into_iter().enumerate() {
            if label.fract() != 0.0 || !(1.0..=10.0).contains(&label) {
                let legal = "labels must lie between 1 and 10, which is the digit 0";
                return Err(refused(&path, format!("label {at} is {label}"), legal));
            }
            into.labels.push(label as u32 % 10);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::fixtures::{assert_images, load_from, pixel, said};
    use crate::data::{DataSpec, ImageFiles, Lookup, Split};

    /// An element, padded to a multiple of eight bytes.
    fn element(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// A variable, packed or not, with numbers of a kind and class.
    fn variable(
        packed: bool,
        name: &str,
        sizes: &[u32],
        (kind, class): (u32, u8),
        numbers: &[u8],
    ) -> Vec<u8> {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        // Short names stand in the place of their length.
        let short = [&[1, 0, name.len() as u8, 0][..], name.as_bytes(), &[0; 4][name.len()..]].concat();
        let flags = [class, 0, 0, 0, 0, 0, 0, 0];
        let inside = [element(6, &flags), element(5, &sizes), short, element(kind, numbers)].concat();
        let whole = element(14, &inside);
        if !packed {
            return whole;
        }
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&whole).unwrap();
        let packed = encoder.finish().unwrap();
        [&15_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &packed].concat()
    }

    fn file(variables: &[Vec<u8>]) -> Vec<u8> {
        let mut header = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec();
        header.resize(124, b' ');
        header.extend([0, 1, b'I', b'M']);
        [&header[..], &variables.concat()].concat()
    }

    fn images(packed: bool, images: std::ops::Range<usize>) -> Vec<u8> {
        let count = images.len() as u32;
        let mut bytes = Vec::new();
        for image in images {
            for channel in 0..3 {
                for column in 0..SIDE {
                    bytes.extend((0..SIDE).map(|row| pixel(image, [row, column, channel])));
                }
            }
        }
        variable(packed, "X", &[32, 32, 3, count], (2, 9), &bytes)
    }

    fn labels(packed: bool, labels: &[u8]) -> Vec<u8> {
        variable(packed, "y", &[labels.len() as u32, 1], (2, 6), labels)
    }

    fn load(train: &[u8], test: &[u8]) -> (tempfile::TempDir, Result<Split>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train_32x32.mat"), train).unwrap();
        std::fs::write(folder.path().join("test_32x32.mat"), test).unwrap();
        let split = load_from(&SVHN, folder.path());
        (folder, split)
    }

    #[test]
    fn digits_lie_in_columns_and_zero_is_ten() {
        let test = file(&[labels(true, &[7]), images(true, 3..4)]);
        let train = file(&[images(true, 0..3), labels(true, &[1, 10, 9])]);
        let (folder, split) = load(&train, &test);
        let split = split.unwrap();
        assert_eq!((&split.train.labels[..], &split.test.labels[..]), (&[1, 0, 9][..], &[7][..]));
        let normal = [(0.4377, 0.1980), (0.4438, 0.2010), (0.4728, 0.1970)];
        assert_images(&split.train, 0, [SIDE, SIDE, 3], normal);
        assert_images(&split.test, 3, [SIDE, SIDE, 3], normal);
        // Not packed, in another order, the labels as double-precision numbers.
        let doubles: Vec<u8> = [1.0_f64, 10.0, 9.0].iter().flat_map(|label| label.to_le_bytes()).collect();
        let train = file(&[variable(false, "y", &[3, 1], (9, 6), &doubles), images(false, 0..3)]);
        assert_eq!(load(&train, &test).1.unwrap(), split);
        let files =
            ImageFiles { folder: Some(folder.path().to_owned()), train: Some(2), ..ImageFiles::default() };
        let spec = DataSpec::Svhn(files);
        assert_eq!(spec.counts(&Lookup::default()).unwrap(), (2, 1));
        assert_eq!(spec.load(0, &Lookup::default()).unwrap().train, split.train.select(&[0, 1]));
    }

    #[test]
    fn ten_kinds_of_bad_files_are_refused_with_their_reason() {
        let test = file(&[images(true, 3..4), labels(true, &[7])]);
        let with = |train: &[u8]| {
            let (folder, split) = load(train, &test);
            said(&split.unwrap_err(), folder.path())
        };
        let of = |variables: &[Vec<u8>]| with(&file(variables));
        let (x, y) = (|| images(true, 0..2), || labels(true, &[1, 2]));
        let needed = "a whole MATLAB file of version 5 is needed: fetch it again";
        let name = "train_32x32.mat";
        // 1. Empty. 2. Of another form, or version.
        assert_eq!(with(b""), format!("{name}: the file is empty; fetch it again"));
        assert_eq!(with(&[b'<'; 200]), format!("{name}: it is no MATLAB file of version 5; {needed}"));
        let mut newer = b"MATLAB 7.3 MAT-file".to_vec();
        newer.resize(600, 0);
        assert_eq!(with(&newer), format!("{name}: it is of version 7.3, which is another form; {needed}"));
        // 3. Truncated, wherever.
        let good = file(&[x(), y()]);
        for length in [1, 127, 130, 150, good.len() / 2, good.len() - 1] {
            let told = with(&good[..length]);
            assert!(
                told.starts_with(&format!("{name}: it is truncated")) && told.ends_with(needed),
                "{told}"
            );
        }
        // 4. What is not there.
        assert_eq!(with(&good[..128]), format!("{name}: it holds nothing; images X and labels y are needed"));
        assert_eq!(of(&[x()]), format!("{name}: it holds X; images X and labels y are needed"));
        // 5. Images of another size, or more of them than there are. 6. Other numbers.
        assert_eq!(
            of(&[variable(true, "X", &[28, 28, 3, 2], (2, 9), &[0; 4704]), y()]),
            format!("{name}: X has the sizes [28, 28, 3, 2]; 32, 32, 3 and the number of images are needed")
        );
        for (sizes, kind, length) in
            [([32, 32, 3, 3], 2, 6144), ([32, 32, 3, 2], 9, 49152), ([32, 32, 3, u32::MAX], 2, 6144)]
        {
            let told = of(&[variable(true, "X", &sizes, (kind, 9), &vec![0; length]), y()]);
            assert_eq!(
                told,
                format!(
                    "{name}: X has the sizes {sizes:?} and {length} bytes of kind {kind}; a byte for each (kind 2) is needed"
                )
            );
        }
        // 7. Another number of labels. 8. Labels that are none.
        assert_eq!(
            of(&[x(), labels(true, &[1, 2, 3])]),
            format!(
                "{name}: y has the sizes [3, 1] and 3 bytes of kind 2; a number for each of 2 images is needed"
            )
        );
        for bad in [0, 11] {
            let told = of(&[x(), labels(true, &[1, bad])]);
            assert_eq!(
                told,
                format!("{name}: label 1 is {bad}; labels must lie between 1 and 10, which is the digit 0")
            );
        }
        let halves: Vec<u8> = [1.0_f64, 2.5].iter().flat_map(|label| label.to_le_bytes()).collect();
        assert!(of(&[x(), variable(true, "y", &[2, 1], (9, 6), &halves)]).contains("label 1 is 2.5; "));
        // 9. Damaged where it is packed: its checksum tells.
        let mut bad = file(&[y(), x()]);
        let last = bad.len() - 1;
        bad[last] ^= 1;
        assert!(with(&bad).starts_with(&format!("{name}: X cannot be read: ")));
        // 10. The same file twice; the publishers' files swapped.
        assert!(load(&test, &test).1.unwrap_err().to_string().contains("it holds the same images as "));
        let as_test = file(&[
            variable(true, "X", &[32, 32, 3, 26032], (2, 9), &vec![0; 26032 * SIZE]),
            labels(true, &[1; 26032]),
        ]);
        assert_eq!(
            with(&as_test),
            format!(
                "{name}: it holds 26032 images, as the publishers' other file does; the training images are needed; are two files swapped?"
            )
        );
        // Something else than real numbers.
        let told = of(&[variable(true, "c", &[1, 1], (2, 1), &[0]), x(), y()]);
        assert_eq!(told, format!("{name}: it holds something else than arrays of real numbers; {needed}"));
    }
}
