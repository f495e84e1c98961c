//! IDX files, plain or gzip: the form in which MNIST and its kin are distributed.
//!
//! A magic number (2051 for images, 2049 for labels) and the sizes, each a big-endian 32-bit integer, then one byte a
//! pixel, row by row, or a label.

use std::io::ErrorKind;
use std::path::Path;

use super::unpacked::{DEFLATE, Unpacked};
use crate::host::machine;
use crate::{Error, Result};

const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

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

/// A file on its way in. No more of it is read than its header announces.
struct Content<'a> {
    file: Unpacked<'a>,
    /// Bytes that the header announces, itself included; and what it calls them.
    announced: u128,
    told: String,
    header: u128,
}

impl<'a> Content<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = Unpacked::open(path, "an IDX file, plain or gzip,")?;
        Ok(Self { file, announced: 0, told: String::new(), header: 0 })
    }

    fn refuse(&self, found: impl Into<String>, legal: impl Into<String>) -> Error {
        self.file.refuse(found, legal)
    }

    /// Reads at most so many bytes, fewer where the content ends.
    fn take(&mut self, most: u64, into: &mut Vec<u8>) -> Result<()> {
        match self.file.take(most, into) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::OutOfMemory => Err(self.too_large()),
            other => other,
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
        if self.file.packed && self.announced > DEFLATE * u128::from(self.file.length) {
            let found = format!("it is truncated: {} bytes of gzip hold less", self.file.length);
            return Err(self.refuse(found, self.told.clone()));
        }
        if !self.file.packed && self.announced != u128::from(self.file.length) {
            let what = if self.announced > u128::from(self.file.length) { "is truncated" } else { "goes on" };
            return Err(self.refuse(format!("it {what}: {} bytes", self.file.length), self.told.clone()));
        }
        if self.announced > u128::from(machine::memory()) {
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
        let needed = machine::bytes(self.announced as f64);
        let found = format!("{}; as samples they take {needed} of memory", self.told);
        self.refuse(found, format!("this process may take {}", machine::bytes(machine::memory() as f64)))
    }
}
