//! Downsampled ImageNet (Chrabaszcz, Loshchilov and Hutter, arXiv:1707.08819), in the pickle and the npz form of its publishers.

use super::batch::{self, Keys};
use super::sets::{Distribution, ImageSet};

const CLASSES: usize = 1000;
/// Mean and deviation of the full-size images, which everyone takes.
const NORMALISE: Option<([f64; 3], [f64; 3])> = Some(([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
const FETCH: &str = "sign in at https://image-net.org/download-images and fetch, of the downsampled images, the training and \
                     the validation archives of this size; unpack all of them into one folder below data/";
const LOOKED_FOR: &str = "train_data_batch_1 to train_data_batch_10 and val_data, or the same with .npz";

pub(super) static IMAGENET32: ImageSet = ImageSet {
    name: "imagenet32",
    title: "ImageNet 32 × 32",
    shape: [32, 32, 3],
    classes: CLASSES,
    normalise: NORMALISE,
    folders: &["imagenet32", "ImageNet32", "Imagenet32", "imagenet-32", "downsampled-imagenet-32", ""],
    forms: &[PICKLE, NPZ],
    looked_for: LOOKED_FOR,
    fetch: FETCH,
    heads: None,
    published: None,
};

pub(super) static IMAGENET64: ImageSet = ImageSet {
    name: "imagenet64",
    title: "ImageNet 64 × 64",
    shape: [64, 64, 3],
    classes: CLASSES,
    normalise: NORMALISE,
    folders: &["imagenet64", "ImageNet64", "Imagenet64", "imagenet-64", "downsampled-imagenet-64", ""],
    forms: &[PICKLE, NPZ],
    looked_for: LOOKED_FOR,
    fetch: FETCH,
    heads: None,
    published: None,
};

/// A file beside the others, or in the folder that its archive unpacks to.
macro_rules! batch {
    ($name:literal, $($folder:literal)*) => {
        &[$name, $(concat!($folder, "/", $name)),*]
    };
}

macro_rules! training {
    ($name:literal) => {
        batch!($name, "train" "Imagenet32_train" "Imagenet32_train_npz" "Imagenet64_train" "Imagenet64_train_npz"
            "Imagenet64_train_part1" "Imagenet64_train_part2" "Imagenet64_train_part1_npz" "Imagenet64_train_part2_npz")
    };
}

macro_rules! validation {
    ($name:literal) => {
        batch!($name, "val" "Imagenet32_val" "Imagenet32_val_npz" "Imagenet64_val" "Imagenet64_val_npz")
    };
}

const PICKLE: Distribution = Distribution {
    train: &[
        training!("train_data_batch_1"),
        training!("train_data_batch_2"),
        training!("train_data_batch_3"),
        training!("train_data_batch_4"),
        training!("train_data_batch_5"),
        training!("train_data_batch_6"),
        training!("train_data_batch_7"),
        training!("train_data_batch_8"),
        training!("train_data_batch_9"),
        training!("train_data_batch_10"),
    ],
    test: &[validation!("val_data")],
    series: true,
    open: |set, part, files| batch::open(set, part, files, KEYS),
};

const NPZ: Distribution = Distribution {
    train: &[
        training!("train_data_batch_1.npz"),
        training!("train_data_batch_2.npz"),
        training!("train_data_batch_3.npz"),
        training!("train_data_batch_4.npz"),
        training!("train_data_batch_5.npz"),
        training!("train_data_batch_6.npz"),
        training!("train_data_batch_7.npz"),
        training!("train_data_batch_8.npz"),
        training!("train_data_batch_9.npz"),
        training!("train_data_batch_10.npz"),
    ],
    test: &[validation!("val_data.npz")],
    series: true,
    open: |set, part, files| batch::open(set, part, files, KEYS),
};

const KEYS: Keys = Keys { labels: "labels", first_label: 1 };

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::Result;
    use crate::data::fixtures::{Item, assert_images, load_from, npz, pickle, planes, said};
    use crate::data::{DataSpec, ImageFiles, Lookup, Split};

    const SHAPE: [usize; 3] = [32, 32, 3];

    type Named<'a> = (&'a str, Item);

    fn items(images: std::ops::Range<usize>) -> [Named<'static>; 3] {
        let labels = images.clone().map(|image| (image * 111 % 1000) as i64 + 1).collect();
        let data = Item::Array("|u1", vec![images.len() as u64, 3072], false, planes(images, SHAPE));
        [("data", data), ("labels", Item::Numbers(labels)), ("mean", mean(3072))]
    }

    fn mean(size: u64) -> Item {
        Item::Array("<f8", vec![size], false, vec![0; 8 * size as usize])
    }

    fn load(files: &[(String, Vec<u8>)]) -> (tempfile::TempDir, Result<Split>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let split = load_from(&IMAGENET32, folder.path());
        (folder, split)
    }

    #[test]
    fn pickles_and_archives_of_ten_files_hold_the_same_images() {
        let file = |make: &dyn Fn(&[Named]) -> Vec<u8>, ending: &str| -> Vec<(String, Vec<u8>)> {
            let train = (0..10).map(|k| {
                (
                    format!("Imagenet32_train/train_data_batch_{}{ending}", k + 1),
                    make(&items(2 * k..2 * k + 2)),
                )
            });
            train.chain([(format!("val_data{ending}"), make(&items(20..23)))]).collect()
        };
        let split = load(&file(&|items| pickle(3, items), "")).1.unwrap();
        let normal = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
        assert_images(&split.train, 0, SHAPE, normal);
        assert_images(&split.test, 20, SHAPE, normal);
        assert_eq!(split.train.labels, (0..20).map(|image| image * 111 % 1000).collect::<Vec<u32>>());
        for packed in [true, false] {
            let archives = file(&|items| npz(packed, items), ".npz");
            let (folder, other) = load(&archives);
            assert_eq!(other.unwrap(), split);
            let files = ImageFiles {
                folder: Some(folder.path().to_owned()),
                train: Some(7),
                ..ImageFiles::default()
            };
            let spec = DataSpec::Imagenet32(files);
            assert_eq!(spec.counts(&Lookup::default()).unwrap(), (7, 3));
            assert_eq!(
                spec.load(0, &Lookup::default()).unwrap().train,
                split.train.select(&[0, 1, 2, 3, 4, 5, 6])
            );
        }
    }

    #[test]
    fn bad_files_of_either_form_are_refused_with_their_reason() {
        let refuse = |ending: &str, make: &dyn Fn(&[Named]) -> Vec<u8>| {
            let name = format!("train_data_batch_1{ending}");
            let with = |content: Vec<u8>| {
                let (folder, split) =
                    load(&[(name.clone(), content), (format!("val_data{ending}"), make(&items(5..7)))]);
                said(&split.unwrap_err(), folder.path())
            };
            let of = |change: &dyn Fn(&mut [Named; 3])| {
                let mut items = items(0..2);
                change(&mut items);
                with(make(&items))
            };
            // 1. Labels that count from 0, 2. or beyond the last.
            let labels = |labels: [i64; 2]| of(&|items| items[1].1 = Item::Numbers(labels.to_vec()));
            assert_eq!(labels([3, 0]), format!("{name}: label 1 is 0; labels must lie between 1 and 1000"));
            assert_eq!(
                labels([1001, 1]),
                format!("{name}: label 0 is 1001; labels must lie between 1 and 1000")
            );
            // 3. Another number of them.
            assert_eq!(
                of(&|items| items[1].1 = Item::Numbers(vec![1])),
                format!("{name}: it holds 1 labels; it holds 2 images; the two must agree")
            );
            // 4. Images of 64 × 64 pixels, 5. or of numbers.
            assert_eq!(
                of(&|items| items[0].1 = Item::Array("|u1", vec![2, 12288], false, vec![0; 24576])),
                format!(
                    "{name}: `data` has the shape [2, 12288]; [images, 3072] bytes (u1) in C order are needed"
                )
            );
            assert!(
                of(&|items| items[0].1 = Item::Array("<i4", vec![2, 3072], false, vec![0; 24576]))
                    .contains("elements of type ")
            );
            // 6. The mean of another size.
            assert_eq!(
                of(&|items| items[2].1 = mean(12288)),
                format!(
                    "{name}: its mean image has the shape [12288]; [3072] is needed, as of ImageNet 32 × 32"
                )
            );
            // 7. Less data than the shape says.
            assert!(
                of(&|items| items[0].1 = Item::Array("|u1", vec![2, 3072], false, vec![0; 6143]))
                    .contains("and 6143 bytes")
            );
            // 8. What is not there.
            assert_eq!(
                of(&|items| items[0].0 = "datum"),
                format!("{name}: it holds datum, labels, mean; an array `data` is needed")
            );
            assert!(of(&|items| items[1].0 = "label").contains("a list `labels` of whole numbers is needed"));
            // 9. Truncated, 10. empty, or of another form.
            let good = make(&items(0..2));
            assert!(with(good[..good.len() / 2].to_vec()).contains("is needed: fetch it again"));
            assert_eq!(with(vec![]), format!("{name}: the file is empty; fetch it again"));
            assert!(with(b"<html>404</html>".to_vec()).contains("is needed: fetch it again"));
            // The same file twice.
            assert!(with(make(&items(5..7))).ends_with("each file holds other images: fetch it again"));
        };
        refuse("", &|items| pickle(4, items));
        refuse(".npz", &|items| npz(false, items));
        refuse(".npz", &|items| npz(true, items));
    }

    /// As many images as the publishers' training set has, all black, in files that are holes.
    #[test]
    #[ignore = "takes a minute, and 4 GiB of memory"]
    fn an_epoch_of_the_whole_set_takes_no_more_than_6_gib() {
        let folder = tempfile::tempdir().unwrap();
        let counts = [&[128_116; 9][..], &[128_123]].concat();
        let whole = counts.iter().sum::<usize>();
        let names = (1..=10).map(|k| format!("train_data_batch_{k}"));
        for (k, (name, count)) in names.zip(counts).chain([("val_data".to_owned(), 50_000)]).enumerate() {
            let labels = (0..count).map(|image| ((image * 7 + k) % 1000) as i64 + 1).collect();
            const MARK: &[u8] = b"here are the images";
            let data = Item::Array("|u1", vec![count as u64, 3072], false, MARK.to_vec());
            let bytes = pickle(3, &[("data", data), ("labels", Item::Numbers(labels))]);
            let at = bytes.windows(MARK.len()).position(|window| window == MARK).unwrap();
            let length = 3072 * count as u32;
            let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.write_all(&bytes[..at - 4]).unwrap();
            file.write_all(&length.to_le_bytes()).unwrap();
            file.seek_relative(i64::from(length)).unwrap();
            file.write_all(&bytes[at + MARK.len()..]).unwrap();
        }
        let augment = Some(crate::data::Augment { flip: true, crop: 2 });
        let files = ImageFiles { folder: Some(folder.path().to_owned()), augment, ..ImageFiles::default() };
        let split = DataSpec::Imagenet32(files).load(0, &Lookup::default()).unwrap();
        assert_eq!((split.train.samples(), split.test.samples()), (1_281_167, 50_000));
        let mut seen = 0;
        for batch in crate::data::batches(whole, 256, 1, 0) {
            let shown = split.train.select_augmented(&batch, 1, 0);
            assert_eq!(shown.inputs().shape(), (3072, batch.len()));
            seen += batch.len();
        }
        assert_eq!(seen, whole);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{:.2} GiB at the peak", peak / f64::from(1 << 20));
        assert!(peak < 6.0 * f64::from(1 << 20));
    }

    /// A checksum of an archive stands after the last byte.
    #[test]
    fn a_changed_pixel_of_an_archive_is_noticed() {
        let good = npz(false, &items(0..2));
        let row = &planes(0..1, SHAPE)[..100];
        let at = good.windows(100).position(|window| window == row).unwrap();
        let mut bad = good;
        bad[at + 50] ^= 1;
        let (folder, split) =
            load(&[("train_data_batch_1.npz".into(), bad), ("val_data.npz".into(), npz(true, &items(5..7)))]);
        let told = said(&split.unwrap_err(), folder.path());
        assert!(told.starts_with("train_data_batch_1.npz: `data` cannot be read: "), "{told}");
    }
}
