//! IDX files, plain or gzip: the form in which MNIST and its kin are distributed.
//!
//! A magic number (2051 for images, 2049 for labels) and the sizes, each a big-endian 32-bit integer, then one byte a
//! pixel, row by row, or a label.

use std::io::{ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::files::read_bytes;
use crate::{Error, Result};

const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

/// The pixels of `count` images of `rows × columns`, image by image, row by row.
pub(super) fn read_images(path: &Path, [rows, columns]: [usize; 2]) -> Result<Vec<u8>> {
    let mut bytes = decompressed(path)?;
    let [_, found_rows, found_columns] = header::<3>(path, &bytes, IMAGES)?;
    if [found_rows, found_columns] != [rows, columns] {
        let found = format!("it holds images of {found_rows} × {found_columns} pixels");
        return Err(refuse(path, found, format!("images of {rows} × {columns} are needed")));
    }
    bytes.drain(..16);
    Ok(bytes)
}

/// The labels, each below `classes`.
pub(super) fn read_labels(path: &Path, classes: usize) -> Result<Vec<u8>> {
    let mut bytes = decompressed(path)?;
    header::<1>(path, &bytes, LABELS)?;
    bytes.drain(..8);
    match bytes.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(bytes),
        Some(at) => {
            let found = format!("label {at} is {}", bytes[at]);
            Err(refuse(path, found, format!("labels must lie between 0 and {}", classes - 1)))
        }
    }
}

fn refuse(path: &Path, found: impl Into<String>, legal: impl Into<String>) -> Error {
    Error::input(path.display().to_string(), "", found, legal)
}

/// Checks the magic number and that the sizes account for every byte; returns the sizes.
fn header<const SIZES: usize>(path: &Path, bytes: &[u8], magic: u32) -> Result<[usize; SIZES]> {
    let length = 4 + 4 * SIZES;
    let mut words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
    let kind = if magic == IMAGES { "images" } else { "labels" };
    let legal = format!("an IDX file of {kind} starts with the magic number {magic}");
    match words.next() {
        Some(found) if found == magic => {}
        Some(IMAGES) => {
            return Err(refuse(path, "it holds images, not labels; are two files swapped?", legal));
        }
        Some(LABELS) => {
            return Err(refuse(path, "it holds labels, not images; are two files swapped?", legal));
        }
        Some(other) => return Err(refuse(path, format!("its magic number is {other}"), legal)),
        None => return Err(refuse(path, format!("it is truncated, to {} bytes", bytes.len()), legal)),
    }
    let mut sizes = [0; SIZES];
    for size in &mut sizes {
        let word = words.next();
        let truncated =
            || refuse(path, format!("it is truncated, to {} bytes", bytes.len()), "fetch it again");
        *size = word.ok_or_else(truncated)? as usize;
    }
    // Three sizes of 32 bits: the product stays below 2^96.
    let needed = length as u128 + sizes.iter().map(|&size| size as u128).product::<u128>();
    let present = bytes.len() as u128;
    if present == needed {
        return Ok(sizes);
    }
    let what = if present < needed {
        format!("it is truncated: {present} bytes")
    } else {
        format!("it has {} trailing bytes: {present} bytes", present - needed)
    };
    Err(refuse(path, what, format!("its header announces {} {kind}, {needed} bytes", sizes[0])))
}

/// The content of a file, unpacked when it is gzip, whatever its name.
fn decompressed(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bytes(path)?;
    if bytes.is_empty() {
        return Err(refuse(path, "the file is empty", "fetch it again"));
    }
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        if path.extension().is_some_and(|extension| extension == "gz") {
            return Err(refuse(
                path,
                "it is no gzip file in spite of its name",
                "fetch it again, or drop the `.gz`",
            ));
        }
        return Ok(bytes);
    }
    // The last four bytes hold the size of the content; a hint that saves growing, not a promise.
    let hint = bytes.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let mut content = Vec::with_capacity(hint.min(1 << 26));
    match MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(refuse(path, "the gzip file is truncated", "fetch it again"))
        }
        Err(error) => Err(refuse(path, format!("the gzip file is damaged ({error})"), "fetch it again")),
    }
}
