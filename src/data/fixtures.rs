//! What the tests of data share.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Split;
use super::files::{ImageFiles, Lookup};
use super::sets::ImageSet;
use crate::{Error, Result};

/// The files of the slice of MNIST.
pub const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

pub fn slice() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mnist")
}

/// The uncompressed content of a file of the slice.
pub fn plain(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(slice().join(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A set of which the folder holds the files.
pub fn load_from(set: &'static ImageSet, folder: &Path) -> Result<Split> {
    let settings = ImageFiles { folder: Some(folder.to_owned()), ..ImageFiles::default() };
    Ok(Split { folder: None, ..set.load(&settings, &Lookup::default())? })
}

/// A message without the folder.
pub fn said(error: &Error, folder: &Path) -> String {
    assert_eq!(error.exit_code(), 2);
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

/// What a Python file holds under a name.
pub enum Item {
    /// Elements as NumPy calls them, sizes, whether in Fortran order, bytes.
    Array(&'static str, Vec<u64>, bool, Vec<u8>),
    Numbers(Vec<i64>),
    Text(&'static str),
}

/// Bytes that all differ from their neighbours in any direction, plane by plane.
pub fn planes(images: std::ops::Range<usize>, [height, width, channels]: [usize; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for image in images {
        for channel in 0..channels {
            for row in 0..height {
                bytes.extend((0..width).map(|column| pixel(image, [row, column, channel])));
            }
        }
    }
    bytes
}

pub fn pixel(image: usize, [row, column, channel]: [usize; 3]) -> u8 {
    ((image * 41 + row * 3 + column * 7 + channel * 101) % 251) as u8
}

/// Checks that a data set holds [`planes`], from image `first` on, as they are.
pub fn assert_images(
    set: &super::Dataset,
    first: usize,
    [height, width, channels]: [usize; 3],
    scale: [(f64, f64); 3],
) {
    let inputs = set.inputs();
    assert_eq!(inputs.shape(), (height * width * channels, set.samples()));
    for sample in 0..set.samples() {
        for row in 0..height {
            for column in 0..width {
                for (channel, (mean, std)) in scale.into_iter().enumerate().take(channels) {
                    let byte = pixel(first + sample, [row, column, channel]);
                    let expected = ((f64::from(byte) / 255.0 - mean) / std) as f32;
                    let place = (row * width + column) * channels + channel;
                    assert_eq!(inputs[(place, sample)], expected, "{sample} {row} {column} {channel}");
                }
            }
        }
    }
}

/// A pickle as Python 2 (protocol 2), or Python 3 (protocol 3 to 5) with NumPy, writes it.
pub fn pickle(protocol: u8, items: &[(&str, Item)]) -> Vec<u8> {
    let mut writer = Pickler { protocol, bytes: vec![0x80, protocol], remembered: 0 };
    if protocol >= 4 {
        // A frame, whose length only helps to read ahead.
        writer.bytes.extend([0x95, 9, 0, 0, 0, 0, 0, 0, 0]);
    }
    writer.bytes.push(b'}');
    writer.remember();
    writer.bytes.push(b'(');
    for (name, item) in items {
        writer.text(name);
        writer.item(item);
    }
    writer.bytes.extend(b"u.");
    writer.bytes
}

struct Pickler {
    protocol: u8,
    bytes: Vec<u8>,
    remembered: u32,
}

impl Pickler {
    fn remember(&mut self) {
        match (self.protocol >= 4, u8::try_from(self.remembered)) {
            (true, _) => self.bytes.push(0x94),
            (false, Ok(index)) => self.bytes.extend([b'q', index]),
            (false, Err(_)) => {
                self.bytes.push(b'r');
                self.bytes.extend(self.remembered.to_le_bytes());
            }
        }
        self.remembered += 1;
    }

    fn text(&mut self, text: &str) {
        match self.protocol {
            2 => self.bytes.extend([b'U', text.len() as u8]),
            3 => {
                self.bytes.push(b'X');
                self.bytes.extend((text.len() as u32).to_le_bytes());
            }
            _ => self.bytes.extend([0x8c, text.len() as u8]),
        }
        self.bytes.extend(text.as_bytes());
        self.remember();
    }

    fn data(&mut self, data: &[u8]) {
        self.bytes.push([b'T', b'B', b'B', 0x96][usize::from(self.protocol) - 2]);
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend(&length[..if self.protocol == 5 { 8 } else { 4 }]);
        self.bytes.extend(data);
        self.remember();
    }

    fn global(&mut self, module: &str, name: &str) {
        if self.protocol >= 4 {
            self.text(module);
            self.text(name);
            self.bytes.push(0x93);
        } else {
            self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
        }
        self.remember();
    }

    fn number(&mut self, number: i64) {
        match (u8::try_from(number), u16::try_from(number), i32::try_from(number)) {
            (Ok(number), ..) => self.bytes.extend([b'K', number]),
            (_, Ok(number), _) => {
                self.bytes.push(b'M');
                self.bytes.extend(number.to_le_bytes());
            }
            (.., Ok(number)) => {
                self.bytes.push(b'J');
                self.bytes.extend(number.to_le_bytes());
            }
            _ => {
                self.bytes.extend([0x8a, 8]);
                self.bytes.extend(number.to_le_bytes());
            }
        }
    }

    fn shape(&mut self, shape: &[u64]) {
        self.bytes.push(b'(');
        shape.iter().for_each(|&size| self.number(size as i64));
        self.bytes.push(b't');
        self.remember();
    }

    fn element(&mut self, element: &str) {
        self.global("numpy", "dtype");
        self.text(element.trim_start_matches(['<', '>', '|']));
        self.bytes.extend([0x89, 0x88, 0x87]);
        self.remember();
        self.bytes.push(b'R');
        self.remember();
        self.bytes.extend(b"(K\x03");
        self.text(&element[..1]);
        self.bytes.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t");
        self.remember();
        self.bytes.push(b'b');
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Text(text) => self.text(text),
            Item::Numbers(numbers) => {
                self.bytes.push(b']');
                self.remember();
                self.bytes.push(b'(');
                numbers.iter().for_each(|&number| self.number(number));
                self.bytes.push(b'e');
            }
            Item::Array(element, shape, fortran, data) if self.protocol == 5 => {
                self.global("numpy._core.numeric", "_frombuffer");
                self.bytes.push(b'(');
                self.data(data);
                self.element(element);
                self.shape(shape);
                self.text(if *fortran { "F" } else { "C" });
                self.bytes.push(b't');
                self.remember();
                self.bytes.push(b'R');
                self.remember();
            }
            Item::Array(element, shape, fortran, data) => {
                self.global("numpy.core.multiarray", "_reconstruct");
                self.global("numpy", "ndarray");
                self.bytes.extend(b"K\x00\x85");
                self.remember();
                self.data(b"b");
                self.bytes.push(0x87);
                self.remember();
                self.bytes.push(b'R');
                self.remember();
                self.bytes.extend(b"(K\x01");
                self.shape(shape);
                self.element(element);
                self.bytes.push(if *fortran { 0x88 } else { 0x89 });
                self.data(data);
                self.bytes.push(b't');
                self.remember();
                self.bytes.push(b'b');
            }
        }
    }
}

/// A `.npz` archive as NumPy writes it, packed or not.
pub fn npz(packed: bool, items: &[(&str, Item)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    for (name, item) in items {
        let (element, shape, fortran, data) = match item {
            Item::Array(element, shape, fortran, data) => (*element, shape.clone(), *fortran, data.clone()),
            Item::Numbers(numbers) => {
                let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                ("<i8", vec![numbers.len() as u64], false, bytes)
            }
            Item::Text(_) => panic!("no array"),
        };
        let order = if fortran { "True" } else { "False" };
        let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
        let mut header = format!("{{'descr': '{element}', 'fortran_order': {order}, 'shape': ({sizes}), }}");
        header += &" ".repeat(63 - (header.len() + 10) % 64);
        header.push('\n');
        archive
            .start_file(
                format!("{name}.npy"),
                zip::write::SimpleFileOptions::default().compression_method(method),
            )
            .unwrap();
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(&data).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
