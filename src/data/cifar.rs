//! CIFAR-10 and CIFAR-100 in both forms in which they are distributed: binary records, and Python's pickles.

use std::path::{Path, PathBuf};

use super::batch::{self, Keys};
use super::sets::{Content, Distribution, ImageSet, Opened, Publication, Records, append_planes};
use super::unpacked::{Unpacked, refused};
use crate::Result;

const SHAPE: [usize; 3] = [32, 32, 3];
const PIXELS: usize = 3072;
/// Records that are read at once.
const TOGETHER: u64 = 256;

pub(super) static CIFAR10: ImageSet = ImageSet {
    name: "cifar10",
    title: "CIFAR-10",
    shape: SHAPE,
    classes: 10,
    normalise: Some(([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])),
    folders: &[
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar10/cifar-10-batches-bin",
        "cifar10/cifar-10-batches-py",
        "cifar10",
        "CIFAR10/cifar-10-batches-bin",
        "CIFAR10/cifar-10-batches-py",
        "CIFAR10",
        "cifar-10",
        "",
    ],
    forms: &[BINARY_10, PICKLE_10],
    looked_for: "data_batch_1.bin to data_batch_5.bin and test_batch.bin, plain or .gz, or data_batch_1 to data_batch_5 \
                 and test_batch of the Python version",
    fetch: "mkdir -p data && cd data && curl -fLO https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz && \
            tar xf cifar-10-binary.tar.gz",
    heads: Some([[6, 9, 9, 4, 1, 1, 2, 7, 8, 3], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]]),
    published: Some(Publication {
        images: [10_000, 10_000],
        md5: [
            &[
                "c99cafc152244af753f735de768cd75f",
                "d4bba439e000b95fd0a9bffe97cbabec",
                "54ebc095f3ab1f0389bbae665268c751",
                "634d18415352ddfa80567beed471001a",
                "482c414d41f54cd18b22e5b47cb7c3cb",
            ],
            &["40351d587109b95175f43aff81a1287e"],
        ],
    }),
};

pub(super) static CIFAR100: ImageSet = ImageSet {
    name: "cifar100",
    title: "CIFAR-100",
    shape: SHAPE,
    classes: 100,
    normalise: Some(([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762])),
    folders: &[
        "cifar-100-binary",
        "cifar-100-python",
        "cifar100/cifar-100-binary",
        "cifar100/cifar-100-python",
        "cifar100",
        "CIFAR100/cifar-100-binary",
        "CIFAR100/cifar-100-python",
        "CIFAR100",
        "cifar-100",
        "",
    ],
    forms: &[BINARY_100, PICKLE_100],
    looked_for: "train.bin and test.bin, plain or .gz, or train and test of the Python version",
    fetch: "mkdir -p data && cd data && curl -fLO https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz && \
            tar xf cifar-100-binary.tar.gz",
    heads: Some([[19, 29, 0, 11, 1, 86, 90, 28, 23, 31], [49, 33, 72, 51, 71, 92, 15, 14, 23, 0]]),
    published: Some(Publication {
        images: [50_000, 10_000],
        md5: [&["16019d7e3df5f24257cddd939b257f8d"], &["f0ef6b0ae62326f3e7ffdfab6717acfc"]],
    }),
};

const BINARY_10: Distribution = Distribution {
    train: &[
        &["data_batch_1.bin", "data_batch_1.bin.gz"],
        &["data_batch_2.bin", "data_batch_2.bin.gz"],
        &["data_batch_3.bin", "data_batch_3.bin.gz"],
        &["data_batch_4.bin", "data_batch_4.bin.gz"],
        &["data_batch_5.bin", "data_batch_5.bin.gz"],
    ],
    test: &[&["test_batch.bin", "test_batch.bin.gz"]],
    series: true,
    open: |_, _, files| open_binary(files, &TEN),
};

const BINARY_100: Distribution = Distribution {
    train: &[&["train.bin", "train.bin.gz"]],
    test: &[&["test.bin", "test.bin.gz"]],
    series: false,
    open: |_, _, files| open_binary(files, &HUNDRED),
};

const PICKLE_10: Distribution = Distribution {
    train: &[&["data_batch_1"], &["data_batch_2"], &["data_batch_3"], &["data_batch_4"], &["data_batch_5"]],
    test: &[&["test_batch"]],
    series: true,
    open: |set, part, files| batch::open(set, part, files, Keys { labels: "labels", first_label: 0 }),
};

const PICKLE_100: Distribution = Distribution {
    train: &[&["train"]],
    test: &[&["test"]],
    series: false,
    open: |set, part, files| batch::open(set, part, files, Keys { labels: "fine_labels", first_label: 0 }),
};

/// What a binary record begins with: each label is a byte, the last is that of the class.
struct Labels {
    title: &'static str,
    classes: &'static [(&'static str, u8)],
}

const TEN: Labels = Labels { title: "CIFAR-10", classes: &[("label", 10)] };
const HUNDRED: Labels = Labels { title: "CIFAR-100", classes: &[("coarse label", 20), ("fine label", 100)] };

impl Labels {
    /// Bytes of a record.
    fn record(&self) -> u64 {
        (self.classes.len() + PIXELS) as u64
    }
}

fn open_binary(files: &[PathBuf], labels: &'static Labels) -> Result<Opened> {
    let open = |path: &PathBuf| Ok(Box::new(Binary::open(path, labels)?) as Box<dyn Records>);
    files.iter().map(open).collect()
}

/// A file of records of labels and pixels, plain or gzip.
struct Binary {
    path: PathBuf,
    labels: &'static Labels,
    count: usize,
}

impl Binary {
    fn open(path: &Path, labels: &'static Labels) -> Result<Self> {
        let mut file = unpacked(path)?;
        let bytes = if file.packed { unpacked_length(&mut file)? } else { file.length };
        let record = labels.record();
        if !bytes.is_multiple_of(record) {
            let told = |labels: &Labels| {
                format!("whole records of {} ({} bytes each)", labels.title, labels.record())
            };
            let other = [&TEN, &HUNDRED].into_iter().find(|other| bytes.is_multiple_of(other.record()));
            let found = match other {
                Some(other) => format!("it holds {}", told(other)),
                None => format!("it is truncated, or of another form: {bytes} bytes"),
            };
            return Err(refused(path, found, format!("{} are needed", told(labels))));
        }
        Ok(Self { path: path.to_owned(), labels, count: (bytes / record) as usize })
    }
}

fn unpacked(path: &Path) -> Result<Unpacked<'_>> {
    Unpacked::open(path, "a file of binary records, plain or gzip,")
}

/// Bytes that are left of a packed file.
fn unpacked_length(file: &mut Unpacked<'_>) -> Result<u64> {
    let (mut buffer, mut bytes) = (Vec::new(), 0);
    loop {
        buffer.clear();
        file.take(1 << 20, &mut buffer)?;
        if buffer.is_empty() {
            return Ok(bytes);
        }
        bytes += buffer.len() as u64;
    }
}

impl Records for Binary {
    fn file(&self) -> &Path {
        &self.path
    }

    fn count(&self) -> usize {
        self.count
    }

    fn read(&mut self, count: usize, into: &mut Content) -> Result<()> {
        let record = self.labels.record();
        let mut file = unpacked(&self.path)?;
        let mut coarse = [None; 256];
        let (mut buffer, mut done) = (Vec::new(), 0);
        while done < count {
            let together = TOGETHER.min((count - done) as u64);
            buffer.clear();
            file.take(together * record, &mut buffer)?;
            if buffer.len() as u64 != together * record {
                return Err(file.refuse("it has become shorter while it was read", "fetch it again"));
            }
            for record in buffer.chunks_exact(record as usize) {
                let (labels, planes) = record.split_at(self.labels.classes.len());
                for (&label, &(name, classes)) in labels.iter().zip(self.labels.classes) {
                    if label >= classes {
                        let found = format!("{name} {done} is {label}");
                        return Err(
                            file.refuse(found, format!("labels must lie between 0 and {}", classes - 1))
                        );
                    }
                }
                let label = labels[labels.len() - 1];
                // Every class belongs to one coarse class.
                let before = *coarse[usize::from(label)].get_or_insert((done, labels[0]));
                if before.1 != labels[0] {
                    let found = format!(
                        "fine label {label} stands with coarse label {} in record {} and with {} in record {done}",
                        before.1, before.0, labels[0]
                    );
                    return Err(file.refuse(found, "each fine label has one coarse label: fetch it again"));
                }
                into.labels.push(u32::from(label));
                append_planes(planes, SHAPE, &mut into.pixels);
                done += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::{Item, assert_images, gzip, load_from, pickle, planes, said};
    use crate::data::{DataSpec, ImageFiles, Lookup, Split};

    const SCALE_10: [(f64, f64); 3] = [(0.4914, 0.2023), (0.4822, 0.1994), (0.4465, 0.2010)];

    /// Binary records of these images, which have these labels.
    fn binary(images: std::ops::Range<usize>, labels: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        images.flat_map(|image| [labels(image), planes(image..image + 1, SHAPE)].concat()).collect()
    }

    fn ten(image: usize) -> Vec<u8> {
        vec![(image % 10) as u8]
    }

    fn hundred(image: usize) -> Vec<u8> {
        let fine = (image * 7 % 100) as u8;
        vec![fine / 5, fine]
    }

    fn array(images: std::ops::Range<usize>) -> Item {
        Item::Array("|u1", vec![images.len() as u64, 3072], false, planes(images, SHAPE))
    }

    fn python(protocol: u8, images: std::ops::Range<usize>, told: &'static str) -> Vec<u8> {
        let labels = images.clone().map(|image| (image % 10) as i64).collect();
        let items = [
            ("batch_label", Item::Text(told)),
            ("labels", Item::Numbers(labels)),
            ("data", array(images)),
            ("filenames", Item::Numbers(vec![])),
        ];
        pickle(protocol, &items)
    }

    /// Writes files and loads them.
    fn load(set: &'static ImageSet, files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Result<Split>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let split = load_from(set, folder.path());
        (folder, split)
    }

    fn refused(set: &'static ImageSet, files: &[(&str, Vec<u8>)]) -> String {
        let (folder, split) = load(set, files);
        said(&split.unwrap_err(), folder.path())
    }

    #[test]
    fn every_form_of_cifar_10_holds_the_same_images() {
        let whole = |k: usize| 3 * k..3 * k + 3;
        let names =
            ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
        let told = [
            "training batch 1 of 5",
            "training batch 2 of 5",
            "training batch 3 of 5",
            "training batch 4 of 5",
            "training batch 5 of 5",
            "testing batch 1 of 1",
        ];
        let bins = names.map(|name| format!("{name}.bin"));
        let files: Vec<(&str, Vec<u8>)> = (0..6).map(|k| (bins[k].as_str(), binary(whole(k), ten))).collect();
        let split = load(&CIFAR10, &files).1.unwrap();
        assert_images(&split.train, 0, SHAPE, SCALE_10);
        assert_images(&split.test, 15, SHAPE, SCALE_10);
        assert_eq!(split.train.labels, (0..15).map(|image| image % 10).collect::<Vec<u32>>());
        assert_eq!((split.test.labels.as_slice(), split.train.classes), (&[5, 6, 7][..], 10));
        for protocol in 2..=5 {
            let files: Vec<(&str, Vec<u8>)> =
                (0..6).map(|k| (names[k], python(protocol, whole(k), told[k]))).collect();
            assert_eq!(load(&CIFAR10, &files).1.unwrap(), split, "protocol {protocol}");
        }
        // A part of the set, packed.
        let part = [("data_batch_1.bin.gz", gzip(&files[0].1)), ("test_batch.bin.gz", gzip(&files[5].1))];
        let part = load(&CIFAR10, &part).1.unwrap();
        assert_eq!((part.train, part.test), (split.train.select(&[0, 1, 2]), split.test));
    }

    #[test]
    fn either_form_of_cifar_100_holds_the_same_images_by_their_fine_labels() {
        let files = [("train.bin", binary(0..40, hundred)), ("test.bin", binary(40..45, hundred))];
        let split = load(&CIFAR100, &files).1.unwrap();
        assert_eq!(split.train.labels[..5], [0, 7, 14, 21, 28]);
        assert_images(&split.test, 40, SHAPE, [(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)]);
        let python = |images: std::ops::Range<usize>| {
            let labels =
                |which: usize| images.clone().map(|image| i64::from(hundred(image)[which])).collect();
            let items = [
                ("fine_labels", Item::Numbers(labels(1))),
                ("coarse_labels", Item::Numbers(labels(0))),
                ("data", array(images.clone())),
            ];
            pickle(2, &items)
        };
        assert_eq!(load(&CIFAR100, &[("train", python(0..40)), ("test", python(40..45))]).1.unwrap(), split);
    }

    #[test]
    fn folders_are_found_below_a_folder_of_data_sets() {
        let root = tempfile::tempdir().unwrap();
        for (set, folder, files) in [
            (&CIFAR10, "cifar-10-batches-bin", ["data_batch_1.bin", "test_batch.bin"]),
            (&CIFAR100, "cifar-100-binary", ["train.bin", "test.bin"]),
        ] {
            let labels = if set.classes == 10 { ten } else { hundred };
            std::fs::create_dir(root.path().join(folder)).unwrap();
            for (place, file) in files.iter().enumerate() {
                std::fs::write(root.path().join(folder).join(file), binary(place..place + 1, labels))
                    .unwrap();
            }
            let lookup = Lookup { data_dir: Some(root.path().to_owned()), ..Lookup::default() };
            let files = ImageFiles::default();
            let spec = if set.classes == 10 { DataSpec::Cifar10(files) } else { DataSpec::Cifar100(files) };
            assert_eq!(spec.load(0, &lookup).unwrap().folder.unwrap(), root.path().join(folder));
            assert_eq!(spec.counts(&lookup).unwrap(), (1, 1));
        }
    }

    #[test]
    fn limits_take_the_first_images_of_the_first_files() {
        let folder = tempfile::tempdir().unwrap();
        for k in 0..5 {
            let name = format!("data_batch_{}.bin", k + 1);
            std::fs::write(folder.path().join(name), binary(3 * k..3 * k + 3, ten)).unwrap();
        }
        std::fs::write(folder.path().join("test_batch.bin"), binary(15..18, ten)).unwrap();
        let spec = |train, test| {
            let folder = Some(folder.path().to_owned());
            DataSpec::Cifar10(ImageFiles { folder, train, test, ..ImageFiles::default() })
        };
        let lookup = Lookup::default();
        let split = spec(Some(4), Some(2)).load(0, &lookup).unwrap();
        assert_images(&split.train, 0, SHAPE, SCALE_10);
        assert_eq!((split.train.samples(), split.test.samples()), (4, 2));
        assert_eq!(spec(Some(4), None).counts(&lookup).unwrap(), (4, 3));
        let error = spec(Some(16), None).load(0, &lookup).unwrap_err().to_string();
        let told = ": it holds 15 images; `train` of the data asks for 16";
        assert_eq!(error, format!("{}{told}", folder.path().display()));
    }

    #[test]
    fn ten_kinds_of_bad_binary_files_are_refused_with_their_reason() {
        let (good, test) = (binary(0..3, ten), ("test_batch.bin", binary(3..5, ten)));
        let with = |content: Vec<u8>| refused(&CIFAR10, &[("data_batch_1.bin", content), test.clone()]);
        let name = "data_batch_1.bin";
        // 1. Empty. 2. Truncated, and too long.
        assert_eq!(with(vec![]), format!("{name}: the file is empty; fetch it again"));
        for length in [good.len() - 1, 1, good.len() + 1] {
            let mut bad = good.clone();
            bad.resize(length, 0);
            let told = format!(
                "{name}: it is truncated, or of another form: {length} bytes; whole records of CIFAR-10 (3073 bytes each) are needed"
            );
            assert_eq!(with(bad), told);
        }
        // 3. Those of the other set.
        assert_eq!(
            with(binary(0..3, hundred)),
            format!(
                "{name}: it holds whole records of CIFAR-100 (3074 bytes each); whole records of CIFAR-10 (3073 bytes each) are needed"
            )
        );
        // 4. A label that is none, here because a byte is lost in one place and doubled in another.
        let mut bad = good.clone();
        bad[2 * 3073] = 10;
        assert_eq!(with(bad), format!("{name}: label 2 is 10; labels must lie between 0 and 9"));
        let mut bad = good.clone();
        bad.remove(100);
        bad.push(0);
        assert!(with(bad).contains(&format!("{name}: label 1 is ")));
        // 5. The test images among those to learn from, and a file that is there twice.
        let twice = [(name, test.1.clone()), test.clone()];
        assert_eq!(
            refused(&CIFAR10, &twice),
            "test_batch.bin: it holds the same images as data_batch_1.bin; each file holds other images: fetch it again"
        );
        let mut files: Vec<(String, Vec<u8>)> =
            (0..5).map(|k| (format!("data_batch_{}.bin", k + 1), binary(3 * k..3 * k + 3, ten))).collect();
        files[3].1 = files[1].1.clone();
        let mut all: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, c)| (n.as_str(), c.clone())).collect();
        all.push(("test_batch.bin", binary(20..22, ten)));
        assert!(
            refused(&CIFAR10, &all)
                .starts_with("data_batch_4.bin: it holds the same images as data_batch_2.bin; ")
        );
        // 6. Training and test swapped, which their labels tell.
        let known =
            |labels: [u32; 10]| binary(0..12, |image| vec![labels.get(image).map_or(0, |l| *l as u8)]);
        let [train_head, test_head] = CIFAR10.heads.unwrap();
        let swapped = [(name, known(test_head)), ("test_batch.bin", known(train_head))];
        assert_eq!(
            refused(&CIFAR10, &swapped),
            format!(
                "{name}: it starts like the test labels of CIFAR-10; the training labels of CIFAR-10 are needed; are two files swapped?"
            )
        );
        // 7. A gzip file cut short, 8. damaged, 9. and none at all.
        let packed = gzip(&good);
        let gz = |content: Vec<u8>| refused(&CIFAR10, &[("data_batch_1.bin.gz", content), test.clone()]);
        assert_eq!(
            gz(packed[..packed.len() / 2].to_vec()),
            format!("{name}.gz: the gzip file is truncated; fetch it again")
        );
        let mut damaged = packed.clone();
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        assert!(gz(damaged).starts_with(&format!("{name}.gz: the gzip file is damaged (")));
        assert!(
            gz(good.clone()).starts_with(&format!("{name}.gz: it is no gzip file in spite of its name; "))
        );
        assert!(gz(gzip(&good[..3072])).contains("it is truncated, or of another form: 3072 bytes"));
        // 10. Labels of CIFAR-100 that are none, or that contradict each other.
        let of_hundred = |labels: fn(usize) -> Vec<u8>| {
            refused(&CIFAR100, &[("train.bin", binary(0..3, labels)), ("test.bin", binary(3..5, hundred))])
        };
        assert_eq!(
            of_hundred(|_| vec![20, 0]),
            "train.bin: coarse label 0 is 20; labels must lie between 0 and 19"
        );
        assert_eq!(
            of_hundred(|_| vec![0, 100]),
            "train.bin: fine label 0 is 100; labels must lie between 0 and 99"
        );
        assert_eq!(
            of_hundred(|image| vec![image as u8, 7]),
            "train.bin: fine label 7 stands with coarse label 0 in record 0 and with 1 in record 1; \
             each fine label has one coarse label: fetch it again"
        );
    }

    /// A file that says it is the publishers' is theirs to the bit.
    #[test]
    fn the_publishers_own_files_are_known_by_their_sums() {
        let labels = || ("labels", Item::Numbers(vec![1; 10_000]));
        let black = || ("data", Item::Array("|u1", vec![10_000, 3072], false, vec![0; 30_720_000]));
        let told = || ("batch_label", Item::Text("training batch 1 of 5"));
        let test = ("test_batch", python(2, 3..5, "testing batch 1 of 1"));
        let items = [told(), labels(), black()];
        let message = refused(&CIFAR10, &[("data_batch_1", pickle(2, &items)), test.clone()]);
        let sum = "that of the publishers' file is c99cafc152244af753f735de768cd75f: fetch it again";
        assert!(message.starts_with("data_batch_1: its MD5 sum is "), "{message}");
        assert!(message.ends_with(sum), "{message}");
        // What others have written anew, or what says nothing of the kind, is not compared.
        load(&CIFAR10, &[("data_batch_1", pickle(4, &items)), test.clone()]).1.unwrap();
        load(&CIFAR10, &[("data_batch_1", pickle(2, &items[1..])), test]).1.unwrap();
    }

    #[test]
    fn ten_kinds_of_bad_pickles_are_refused_with_their_reason() {
        let test = ("test_batch", python(2, 3..5, "testing batch 1 of 1"));
        let with = |content: Vec<u8>| refused(&CIFAR10, &[("data_batch_1", content), test.clone()]);
        let of = |items: &[(&str, Item)]| with(pickle(2, items));
        let good = python(2, 0..3, "training batch 1 of 5");
        let labels = || ("labels", Item::Numbers(vec![0, 1, 2]));
        let data = || ("data", array(0..3));
        let fetch = "a whole pickle of protocol 2 to 5 is needed: fetch it again";
        // 1. Empty. 2. Truncated, wherever. 3. Something after the end.
        assert_eq!(with(vec![]), "data_batch_1: the file is empty; fetch it again");
        for length in [1, 2, 100, good.len() / 2, good.len() - 1] {
            assert_eq!(
                with(good[..length].to_vec()),
                format!("data_batch_1: it is truncated: {length} bytes; {fetch}")
            );
        }
        let told = format!(
            "data_batch_1: it goes on after its end, at byte {} of {}; {fetch}",
            good.len(),
            good.len() + 1
        );
        assert_eq!(with([&good[..], b"x"].concat()), told);
        // 4. No pickle, or one that does what no data set needs.
        assert_eq!(
            with(b"<html>404</html>".to_vec()),
            format!("data_batch_1: it is no pickle of protocol 2 to 5; {fetch}")
        );
        assert_eq!(
            with(b"\x80\x02]q\x00.".to_vec()),
            format!("data_batch_1: it holds no dictionary; {fetch}")
        );
        assert!(
            with(b"\x80\x02(ios\nsystem\n.".to_vec())
                .contains("an instruction that data sets do not need, 0x69 at byte 3")
        );
        // 5. Another set, or a part of one.
        assert_eq!(
            of(&[("fine_labels", Item::Numbers(vec![0])), ("data", array(0..1))]),
            "data_batch_1: it holds fine_labels, data; a list `labels` of whole numbers is needed"
        );
        assert_eq!(of(&[labels()]), "data_batch_1: it holds labels; an array `data` is needed");
        // 6. Another part, by its own word.
        assert_eq!(
            with(test.1.clone()),
            "data_batch_1: it says that it is `testing batch 1 of 1`; `training batch 1` is needed; are two files swapped?"
        );
        assert!(
            with(python(2, 0..3, "training batch 10 of 10"))
                .contains("it says that it is `training batch 10 of 10`")
        );
        // 7. Images of another size, or other numbers.
        let needed = "[images, 3072] bytes (u1) in C order are needed";
        let array = |element, shape: &[u64], fortran, bytes: usize| {
            Item::Array(element, shape.to_vec(), fortran, vec![7; bytes])
        };
        for (bad, found) in [
            (array("|u1", &[3, 3073], false, 9219), "`data` has the shape [3, 3073]"),
            (array("|u1", &[9216], false, 9216), "`data` has the shape [9216]"),
            (array("<f4", &[3, 3072], false, 36864), "`data` holds elements of type f4"),
            (array("|u1", &[3, 3072], true, 9216), "`data` holds elements of type u1 in Fortran order"),
            (array("|u1", &[4, 3072], false, 9216), "`data` has the shape [4, 3072] and 9216 bytes"),
            (
                array("|u1", &[1 << 62, 3072], false, 9216),
                "`data` has the shape [4611686018427387904, 3072] and 9216 bytes",
            ),
        ] {
            assert_eq!(of(&[labels(), ("data", bad)]), format!("data_batch_1: {found}; {needed}"));
        }
        // 8. Another number of labels. 9. Labels that are none. 10. Labels that are no numbers.
        assert_eq!(
            of(&[data(), ("labels", Item::Numbers(vec![0, 1]))]),
            "data_batch_1: it holds 2 labels; it holds 3 images; the two must agree"
        );
        for bad in [10, -1, i64::MIN, i64::MAX] {
            let told = of(&[data(), ("labels", Item::Numbers(vec![0, 1, bad]))]);
            assert_eq!(
                told,
                format!(
                    "data_batch_1: label 2 is {}; labels must lie between 0 and 9",
                    bad.max(i64::MIN + 1)
                )
            );
        }
        assert!(
            of(&[data(), ("labels", Item::Text("012"))])
                .contains("a list `labels` of whole numbers is needed")
        );
    }
}
