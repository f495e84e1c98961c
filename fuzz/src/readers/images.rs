//! Sets of images, in the forms of their publishers.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use holograd::Result;
use holograd::data::{DataSpec, ImageFiles, ImageFolder, Lookup};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::damage;
use super::{beside, file};

const IMAGES: &str = "train-images-idx3-ubyte";

/// The first 3 images, unpacked.
pub(super) fn images() -> Vec<Vec<u8>> {
    let mut content = Vec::new();
    let packed = file(format!("tests/data/mnist/{IMAGES}.gz"));
    GzDecoder::new(&packed[..]).read_to_end(&mut content).expect("gzip");
    content.truncate(16 + 3 * 784);
    content[7] = 3;
    vec![content]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip in memory")
}

/// Damaged before it is packed, or after, or cut into members, or not packed at all.
pub(super) fn packed(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    match random.random_range(0..4) {
        0 => gzip(&damage::bytes(sound, random)),
        1 => damage::bytes(&gzip(sound), random),
        2 => {
            let (a, b) = sound.split_at(random.random_range(0..sound.len()));
            let zeros = vec![0; random.random_range(0..100)];
            damage::bytes(&[gzip(a), gzip(b), zeros].concat(), random)
        }
        _ => damage::bytes(sound, random),
    }
}

pub(super) fn read_images(input: &[u8], folder: &Path) -> Result<()> {
    let labels = |labels: [u8; 3]| [&[0, 0, 8, 1, 0, 0, 0, 3][..], &labels].concat();
    beside("train-labels-idx1-ubyte", || labels([1, 2, 3]), folder);
    beside("t10k-labels-idx1-ubyte", || labels([3, 2, 1]), folder);
    beside("t10k-images-idx3-ubyte", || images().remove(0), folder);
    std::fs::write(folder.join(IMAGES), input).expect("an input");
    let files = ImageFiles { folder: Some(folder.to_owned()), ..ImageFiles::default() };
    DataSpec::Mnist(files).load(0, &Lookup::default()).map(drop)
}

/// Pixels of as many images of 32 × 32 × 3, which differ.
fn planes(images: std::ops::Range<usize>) -> Vec<u8> {
    images.flat_map(|image| (0..3072).map(move |place| (image * 41 + place * 7) as u8)).collect()
}

pub(super) fn records() -> Vec<Vec<u8>> {
    vec![(0..3).flat_map(|image| [vec![image as u8], planes(image..image + 1)].concat()).collect()]
}

pub(super) fn read_records(input: &[u8], folder: &Path) -> Result<()> {
    let test = || [vec![7], planes(7..8)].concat();
    read_set(DataSpec::Cifar10, folder, ("data_batch_1.bin", input), ("test_batch.bin", test))
}

/// Loads a set of which a folder of its own holds a training file and a test file.
fn read_set(
    set: fn(ImageFiles) -> DataSpec,
    folder: &Path,
    train: (&str, &[u8]),
    test: (&str, impl FnOnce() -> Vec<u8>),
) -> Result<()> {
    let folder = folder.join(train.0.replace('.', "_"));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(train.0), train.1).expect("an input");
    beside(test.0, test.1, &folder);
    let spec = set(ImageFiles { folder: Some(folder), ..ImageFiles::default() });
    spec.counts(&Lookup::default())?;
    spec.load(0, &Lookup::default()).map(drop)
}

/// As Python 2 and NumPy write a dictionary of labels and an array.
fn pickle(images: std::ops::Range<usize>) -> Vec<u8> {
    let data = planes(images.clone());
    let labels: Vec<u8> = images.clone().flat_map(|image| [b'K', image as u8 % 10]).collect();
    [
        b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(",
        &labels[..],
        b"eU\x04dataq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01b\x87q\x07Rq\x08",
        b"(K\x01K",
        &[images.len() as u8],
        b"M\x00\x0c\x86q\x09cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff",
        b"K\x00tb\x89T",
        &(data.len() as u32).to_le_bytes(),
        &data,
        b"tbu.",
    ]
    .concat()
}

pub(super) fn pickles() -> Vec<Vec<u8>> {
    vec![pickle(0..2)]
}

pub(super) fn read_pickle(input: &[u8], folder: &Path) -> Result<()> {
    read_set(DataSpec::Cifar10, folder, ("data_batch_1", input), ("test_batch", || pickle(7..8)))
}

/// A `.npz` archive of images and labels, packed or not.
fn archive(images: std::ops::Range<usize>, method: CompressionMethod) -> Vec<u8> {
    let count = images.len();
    let labels: Vec<u8> = images.clone().flat_map(|image| (image as i64 + 1).to_le_bytes()).collect();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, element, shape, data) in [
        ("data", "|u1", format!("({count}, 3072)"), planes(images)),
        ("labels", "<i8", format!("({count},)"), labels),
        ("mean", "<f8", "(3072,)".to_owned(), vec![0; 8 * 3072]),
    ] {
        let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        let npy = [b"\x93NUMPY\x01\x00", &118_u16.to_le_bytes()[..], header.as_bytes(), &data].concat();
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).expect("an archive in memory");
        archive.write_all(&npy).expect("an archive in memory");
    }
    archive.finish().expect("an archive in memory").into_inner()
}

pub(super) fn batches() -> Vec<Vec<u8>> {
    vec![archive(0..2, CompressionMethod::Stored), archive(0..2, CompressionMethod::Deflated)]
}

pub(super) fn read_batches(input: &[u8], folder: &Path) -> Result<()> {
    let test = || archive(7..8, CompressionMethod::Stored);
    read_set(DataSpec::Imagenet32, folder, ("train_data_batch_1.npz", input), ("val_data.npz", test))
}

/// A MATLAB file of images and labels, packed or not.
fn matlab(images: std::ops::Range<usize>, packed: bool) -> Vec<u8> {
    let count = images.len() as u32;
    let labels: Vec<u8> = images.clone().map(|image| image as u8 % 10 + 1).collect();
    let mut file = vec![b' '; 124];
    file.extend([0, 1, b'I', b'M']);
    let element = |kind: u32, content: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    for (name, sizes, numbers) in
        [(b'X', vec![32, 32, 3, count], planes(images)), (b'y', vec![count, 1], labels)]
    {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let name = [1, 0, 1, 0, name, 0, 0, 0];
        let flags = [9, 0, 0, 0, 0, 0, 0, 0];
        let inside = [element(6, &flags), element(5, &sizes), name.to_vec(), element(2, &numbers)].concat();
        let whole = element(14, &inside);
        if packed {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            let packed = encoder.write_all(&whole).and_then(|()| encoder.finish()).expect("zlib in memory");
            file.extend([15_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
            file.extend(packed);
        } else {
            file.extend(whole);
        }
    }
    file
}

pub(super) fn digits() -> Vec<Vec<u8>> {
    [true, false].map(|packed| matlab(0..2, packed)).to_vec()
}

pub(super) fn read_digits(input: &[u8], folder: &Path) -> Result<()> {
    read_set(DataSpec::Svhn, folder, ("train_32x32.mat", input), ("test_32x32.mat", || matlab(7..8, true)))
}

pub(super) fn pictures() -> Vec<Vec<u8>> {
    let draw = |color, pixels: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(color);
        let mut writer = encoder.write_header().expect("a PNG in memory");
        writer.write_image_data(pixels).expect("a PNG in memory");
        writer.finish().expect("a PNG in memory");
        bytes
    };
    vec![draw(png::ColorType::Rgb, &planes(0..1)[..18]), draw(png::ColorType::Grayscale, &planes(0..1)[..6])]
}

pub(super) fn read_picture(input: &[u8], folder: &Path) -> Result<()> {
    let folder = folder.join("images");
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, input).expect("an input");
    }
    let images = ImageFolder { folder, train: None, test: None, normalise: None, augment: None };
    DataSpec::Images(images).load(0, &Lookup::default()).map(drop)
}
