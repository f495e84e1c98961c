//! IDX files, plain or gzip: the form in which MNIST and its kin are distributed.
//!
//! A magic number (2051 for images, 2049 for labels) and the sizes, each a big-endian 32-bit integer, then one byte a
//! pixel, row by row, or a label.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::host::machine;
use crate::{Error, Result};

const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;
/// Bytes that one byte of a gzip file can stand for at most.
const DEFLATE: u128 = 1032;
/// Bytes of memory that a byte of pixels takes as a sample, itself included.
const SAMPLE: u128 = 5;

/// How many images of `rows × columns` a file announces, from its header alone.
pub(super) fn count_images(path: &Path, size: [usize; 2]) -> Result<usize> {
    let mut content = Content::open(path)?;
    images(&mut content, size)
}

/// The pixels of `count` images of `rows × columns`, image by image, row by row.
pub(super) fn read_images(path: &Path, size: [usize; 2]) -> Result<Vec<u8>> {
    let mut content = Content::open(path)?;
    images(&mut content, size)?;
    content.rest()
}

fn images(content: &mut Content<'_>, [rows, columns]: [usize; 2]) -> Result<usize> {
    let [count, found_rows, found_columns] = content.header::<3>(IMAGES)?;
    if [found_rows, found_columns] != [rows, columns] {
        let found = format!("it holds images of {found_rows} × {found_columns} pixels");
        return Err(content.refuse(found, format!("images of {rows} × {columns} are needed")));
    }
    Ok(count)
}

/// The labels, each below `classes`.
pub(super) fn read_labels(path: &Path, classes: usize) -> Result<Vec<u8>> {
    let mut content = Content::open(path)?;
    content.header::<1>(LABELS)?;
    let labels = content.rest()?;
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(labels),
        Some(at) => {
            let found = format!("label {at} is {}", labels[at]);
            Err(content.refuse(found, format!("labels must lie between 0 and {}", classes - 1)))
        }
    }
}

/// A file on its way in, unpacked when it is gzip, whatever its name. No more of it is read than its header announces.
struct Content<'a> {
    path: &'a Path,
    /// Bytes of the file.
    length: u64,
    packed: bool,
    stream: Box<dyn Read>,
    /// Bytes that the header announces, itself included; and what it calls them.
    announced: u128,
    told: String,
    header: u128,
}

impl<'a> Content<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let refused = |source| Error::io(path, "read", source);
        let file = File::open(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let empty = Box::new(std::io::empty());
        let content = Self {
            path,
            length: metadata.len(),
            packed: false,
            stream: empty,
            announced: 0,
            told: String::new(),
            header: 0,
        };
        if !metadata.is_file() {
            return Err(content.refuse("it is no ordinary file", "an IDX file, plain or gzip, is needed"));
        }
        let begin = reader.fill_buf().map_err(refused)?;
        if begin.is_empty() {
            return Err(content.refuse("the file is empty", "fetch it again"));
        }
        let packed = begin.starts_with(&[0x1f, 0x8b]);
        if !packed && path.extension().is_some_and(|extension| extension == "gz") {
            let legal = "fetch it again, or drop the `.gz`";
            return Err(content.refuse("it is no gzip file in spite of its name", legal));
        }
        let stream: Box<dyn Read> =
            if packed { Box::new(Members(Some(GzDecoder::new(reader)))) } else { Box::new(reader) };
        Ok(Self { packed, stream, ..content })
    }

    fn refuse(&self, found: impl Into<String>, legal: impl Into<String>) -> Error {
        Error::input(self.path.display().to_string(), "", found, legal)
    }

    /// Reads at most so many bytes, fewer where the content ends.
    fn take(&mut self, most: u64, into: &mut Vec<u8>) -> Result<()> {
        match self.stream.by_ref().take(most).read_to_end(into) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.refuse("the gzip file is truncated", "fetch it again"))
            }
            Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(self.too_large()),
            Err(error) if self.packed => {
                Err(self.refuse(format!("the gzip file is damaged ({error})"), "fetch it again"))
            }
            Err(error) => Err(Error::io(self.path, "read", error)),
        }
    }

    /// Checks the magic number and that the file can hold what the sizes announce; returns the sizes.
    fn header<const SIZES: usize>(&mut self, magic: u32) -> Result<[usize; SIZES]> {
        let length = 4 + 4 * SIZES;
        let mut bytes = Vec::with_capacity(length);
        self.take(length as u64, &mut bytes)?;
        let mut words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
        let kind = if magic == IMAGES { "images" } else { "labels" };
        let legal = format!("an IDX file of {kind} starts with the magic number {magic}");
        match words.next() {
            Some(found) if found == magic => {}
            Some(IMAGES) => {
                return Err(self.refuse("it holds images, not labels; are two files swapped?", legal));
            }
            Some(LABELS) => {
                return Err(self.refuse("it holds labels, not images; are two files swapped?", legal));
            }
            Some(other) => return Err(self.refuse(format!("its magic number is {other}"), legal)),
            None => return Err(self.refuse(format!("it is truncated, to {} bytes", bytes.len()), legal)),
        }
        let mut sizes = [0; SIZES];
        for size in &mut sizes {
            let truncated =
                || self.refuse(format!("it is truncated, to {} bytes", bytes.len()), "fetch it again");
            *size = words.next().ok_or_else(truncated)? as usize;
        }
        // Three sizes of 32 bits: the product stays below 2^96.
        self.header = length as u128;
        self.announced = self.header + sizes.iter().map(|&size| size as u128).product::<u128>();
        self.told = format!("its header announces {} {kind}, {} bytes", sizes[0], self.announced);
        if self.packed && self.announced > DEFLATE * u128::from(self.length) {
            let found = format!("it is truncated: {} bytes of gzip hold less", self.length);
            return Err(self.refuse(found, self.told.clone()));
        }
        if !self.packed && self.announced != u128::from(self.length) {
            let what = if self.announced > u128::from(self.length) { "is truncated" } else { "goes on" };
            return Err(self.refuse(format!("it {what}: {} bytes", self.length), self.told.clone()));
        }
        if SAMPLE * self.announced > u128::from(machine::memory()) {
            return Err(self.too_large());
        }
        Ok(sizes)
    }

    /// What follows the header: as much as it announces, and nothing after it.
    fn rest(&mut self) -> Result<Vec<u8>> {
        let expected = self.announced - self.header;
        let mut bytes = Vec::new();
        let reserved = usize::try_from(expected).ok().and_then(|count| bytes.try_reserve_exact(count).ok());
        if reserved.is_none() {
            return Err(self.too_large());
        }
        // Below 2^64, or it would not have been reserved.
        self.take(expected as u64, &mut bytes)?;
        if (bytes.len() as u128) < expected {
            let found = format!("it is truncated: {} bytes", self.header + bytes.len() as u128);
            return Err(self.refuse(found, self.told.clone()));
        }
        // The checksum of a gzip file stands after its last byte.
        let mut more = Vec::new();
        self.take(1, &mut more)?;
        if more.is_empty() { Ok(bytes) } else { Err(self.refuse("it goes on after them", self.told.clone())) }
    }

    fn too_large(&self) -> Error {
        let needed = machine::bytes((SAMPLE * self.announced) as f64);
        let found = format!("{}; as samples they take {needed} of memory", self.told);
        self.refuse(found, format!("this process may take {}", machine::bytes(machine::memory() as f64)))
    }
}

/// The members of a gzip file, one after the other. Zeros after the last one are padding, as they are for `gzip` itself.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                self.0 = Some(member);
                return Ok(count);
            }
            let mut rest = member.into_inner();
            let mut padded = false;
            loop {
                let bytes = rest.fill_buf()?;
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                let (length, next) = (bytes.len(), bytes.get(zeros).copied());
                padded |= zeros > 0;
                rest.consume(zeros);
                match next {
                    None if length == 0 => return Ok(0),
                    None => {}
                    Some(0x1f) if !padded => break,
                    Some(_) => {
                        return Err(std::io::Error::other(
                            "what follows the packed data is neither gzip nor zeros",
                        ));
                    }
                }
            }
            self.0 = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}
