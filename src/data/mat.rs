//! MATLAB's files of version 5, as far as data sets need them: named arrays of numbers, each packed or not.
//!
//! (The crate `matfile` prints, unpacks without bound and holds all of a file in memory.)

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;

/// Codes of what an element holds.
const INT8: u32 = 1;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// Bytes before the first element.
const HEADER: u64 = 128;
/// Variables of a file at most, sizes of one, and bytes of a name.
const VARIABLES: usize = 100;
const SIZES: usize = 8;
const NAME: usize = 64;

/// An array of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// Its sizes, the first is the fastest.
    pub(super) sizes: Vec<u64>,
    /// How its numbers are stored, see [`width`].
    pub(super) kind: u32,
    /// Bytes of its numbers.
    pub(super) length: u64,
    /// Where its element lies, and whether that is packed.
    at: u64,
    bytes: u64,
    packed: bool,
}

/// Bytes of a number.
pub(super) fn width(kind: u32) -> Option<usize> {
    match kind {
        1 | 2 => Some(1),
        3 | 4 => Some(2),
        5..=7 => Some(4),
        9 | 12 | 13 => Some(8),
        _ => None,
    }
}

/// A number from its bytes.
pub(super) fn number(kind: u32, bytes: &[u8]) -> f64 {
    let low = |signed: bool| {
        let sign = if signed && bytes[bytes.len() - 1] >= 0x80 { 0xff } else { 0 };
        let word = std::array::from_fn(|place| bytes.get(place).copied().unwrap_or(sign));
        i64::from_le_bytes(word)
    };
    match kind {
        7 => f64::from(f32::from_bits(low(false) as u32)),
        9 => f64::from_bits(low(false) as u64),
        1 | 3 | 5 | 12 => low(true) as f64,
        _ => low(false) as u64 as f64,
    }
}

/// The arrays of a file of so many bytes, or why it is none.
pub(super) fn variables(file: &mut File, length: u64) -> Result<Vec<Variable>, String> {
    let failed = |error: std::io::Error| format!("it is truncated or damaged ({error})");
    let mut header = [0; HEADER as usize];
    file.read_exact(&mut header).map_err(failed)?;
    if header.starts_with(b"MATLAB 7.3") {
        return Err("it is of version 7.3, which is another form".to_owned());
    }
    if header[124..] != [0, 1, b'I', b'M'] {
        return Err("it is no MATLAB file of version 5".to_owned());
    }
    let (mut found, mut at) = (Vec::new(), HEADER);
    while at < length {
        if found.len() == VARIABLES {
            return Err(format!("it has more than {VARIABLES} variables"));
        }
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        let tag = Tag::read(file).map_err(failed)?;
        let (start, end) = (at + 8, at + 8 + tag.length);
        if end > length {
            return Err(format!("it is truncated: {length} bytes"));
        }
        let packed = tag.kind == COMPRESSED;
        if packed || tag.kind == MATRIX {
            let mut stream = element(file, start, tag.length, packed).map_err(failed)?;
            let (name, sizes, data) = head(&mut stream)?;
            let Tag { kind, length, .. } = data;
            found.push(Variable { name, sizes, kind, length, at: start, bytes: tag.length, packed });
        }
        // What is not packed ends at a multiple of eight bytes.
        at = if packed { end } else { end.next_multiple_of(8) };
    }
    Ok(found)
}

impl Variable {
    /// Its numbers.
    pub(super) fn stream<'a>(&self, file: &'a mut File) -> std::io::Result<impl Read + use<'a>> {
        let mut stream = element(file, self.at, self.bytes, self.packed)?;
        head(&mut stream).map_err(std::io::Error::other)?;
        Ok(stream)
    }
}

/// The inside of an array, unpacked.
fn element(file: &mut File, at: u64, bytes: u64, packed: bool) -> std::io::Result<Box<dyn Read + '_>> {
    file.seek(SeekFrom::Start(at))?;
    let raw = BufReader::with_capacity(1 << 16, file.take(bytes));
    if !packed {
        return Ok(Box::new(raw));
    }
    let mut stream = Box::new(ZlibDecoder::new(raw));
    let tag = Tag::read(&mut stream)?;
    if tag.kind == MATRIX { Ok(stream) } else { Err(std::io::Error::other("what is packed is no array")) }
}

/// The name of an array, its sizes, and the tag before its numbers, which come next.
fn head(stream: &mut dyn Read) -> Result<(String, Vec<u64>, Tag), String> {
    let failed = |error: std::io::Error| format!("it is truncated or damaged ({error})");
    let flags = part(stream, UINT32, 8).map_err(failed)?;
    // Class 6 to 15 are numbers; bit 3 of the next byte says that they are complex.
    if flags.len() != 8 || !(6..=15).contains(&flags[0]) || flags[1] & 8 != 0 {
        return Err("it holds something else than arrays of real numbers".to_owned());
    }
    let sizes = part(stream, INT32, 4 * SIZES).map_err(failed)?;
    let sizes = sizes.as_chunks::<4>().0.iter().map(|size| u64::from(u32::from_le_bytes(*size))).collect();
    let name = part(stream, INT8, NAME).map_err(failed)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok((name, sizes, Tag::read(stream).map_err(failed)?))
}

/// What stands before every element.
struct Tag {
    kind: u32,
    length: u64,
    /// Whether it has at most four bytes, in the place of its length.
    small: bool,
}

impl Tag {
    /// Reads a tag; of a small element its four bytes are left.
    fn read(stream: &mut (impl Read + ?Sized)) -> std::io::Result<Self> {
        let mut word = [0; 4];
        stream.read_exact(&mut word)?;
        let first = u32::from_le_bytes(word);
        if first >> 16 != 0 {
            return Ok(Self { kind: first & 0xffff, length: u64::from(first >> 16), small: true });
        }
        stream.read_exact(&mut word)?;
        Ok(Self { kind: first, length: u64::from(u32::from_le_bytes(word)), small: false })
    }
}

/// The content of an element of a kind, with at most so many bytes.
fn part(stream: &mut dyn Read, kind: u32, most: usize) -> std::io::Result<Vec<u8>> {
    let tag = Tag::read(stream)?;
    let most = if tag.small { 4 } else { most as u64 };
    if tag.kind != kind || tag.length > most {
        return Err(std::io::Error::other(format!(
            "an element of kind {} with {} bytes",
            tag.kind, tag.length
        )));
    }
    let padded = if tag.small { 4 } else { tag.length.next_multiple_of(8) };
    let mut bytes = vec![0; padded as usize];
    stream.read_exact(&mut bytes)?;
    bytes.truncate(tag.length as usize);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_kind_are_read() {
        assert_eq!(number(1, &[0xff]), -1.0);
        assert_eq!(number(2, &[0xff]), 255.0);
        assert_eq!(number(3, &[0xfe, 0xff]), -2.0);
        assert_eq!(number(4, &[0xfe, 0xff]), 65534.0);
        assert_eq!(number(5, &[0, 0, 0, 0x80]), -2_147_483_648.0);
        assert_eq!(number(6, &[0, 0, 0, 0x80]), 2_147_483_648.0);
        assert_eq!(number(7, &2.5_f32.to_le_bytes()), 2.5);
        assert_eq!(number(9, &(-0.1_f64).to_le_bytes()), -0.1);
        assert_eq!(number(12, &(-3_i64).to_le_bytes()), -3.0);
        assert_eq!(number(13, &u64::MAX.to_le_bytes()), u64::MAX as f64);
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 8, 14].map(|kind| width(kind).unwrap_or(0)),
            [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 0, 0]
        );
    }
}
