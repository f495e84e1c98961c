//! Files of data, plain or gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::{Error, Result};

/// Bytes that one byte of a packed file can stand for at most.
pub(super) const DEFLATE: u128 = 1032;

/// A file on its way in, unpacked when it is gzip, whatever its name.
pub(super) struct Unpacked<'a> {
    path: &'a Path,
    /// Bytes of the file.
    pub(super) length: u64,
    /// Whether it is gzip.
    pub(super) packed: bool,
    stream: Box<dyn Read>,
}

impl<'a> Unpacked<'a> {
    /// `needed` says what must lie there.
    pub(super) fn open(path: &'a Path, needed: &str) -> Result<Self> {
        let failed = |source| Error::io(path, "read", source);
        let (file, length) = open(path, needed)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let begin = reader.fill_buf().map_err(failed)?;
        if begin.is_empty() {
            return Err(refused(path, "the file is empty", "fetch it again"));
        }
        let packed = begin.starts_with(&[0x1f, 0x8b]);
        if !packed && path.extension().is_some_and(|extension| extension == "gz") {
            let legal = "fetch it again, or drop the `.gz`";
            return Err(refused(path, "it is no gzip file in spite of its name", legal));
        }
        let stream: Box<dyn Read> =
            if packed { Box::new(Members(Some(GzDecoder::new(reader)))) } else { Box::new(reader) };
        Ok(Self { path, length, packed, stream })
    }

    pub(super) fn refuse(&self, found: impl Into<String>, legal: impl Into<String>) -> Error {
        refused(self.path, found, legal)
    }

    /// Reads at most so many bytes, fewer where the content ends.
    pub(super) fn take(&mut self, most: u64, into: &mut Vec<u8>) -> Result<()> {
        match self.stream.by_ref().take(most).read_to_end(into) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.refuse("the gzip file is truncated", "fetch it again"))
            }
            Err(error) if self.packed && error.kind() != ErrorKind::OutOfMemory => {
                Err(self.refuse(format!("the gzip file is damaged ({error})"), "fetch it again"))
            }
            Err(error) => Err(Error::io(self.path, "read", error)),
        }
    }
}

/// An ordinary file, and its length.
pub(super) fn open(path: &Path, needed: &str) -> Result<(File, u64)> {
    let failed = |source| Error::io(path, "read", source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(refused(path, "it is no ordinary file", format!("{needed} is needed")))
    }
}

/// What is wrong with a file of data.
pub(super) fn refused(path: &Path, found: impl Into<String>, legal: impl Into<String>) -> Error {
    Error::input(path.display().to_string(), "", found, legal)
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
