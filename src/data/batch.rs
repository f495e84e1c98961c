//! Files of named arrays, as Python leaves them: a pickle, or NumPy's `.npz`. `data` [images, channels · height · width] holds
//! the images plane by plane, a list or an array the labels.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use zip::ZipArchive;

use super::pickle::{Pickle, Span};
use super::sets::{Content, ImageSet, Opened, Part, Records, append_planes};
use super::unpacked::{open as open_file, refused};
use crate::files::numpy;
use crate::{Error, Result};

/// Images that are read at once.
const TOGETHER: usize = 256;
/// Bytes of labels that are read at most.
const LABELS: u64 = 1 << 28;

/// An array of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Array {
    /// NumPy's code of its elements, as `u1` or `<i8`.
    pub(super) element: String,
    pub(super) shape: Vec<u64>,
    /// Whether the first index is the fastest.
    pub(super) fortran: bool,
    /// Bytes that there are of it.
    pub(super) length: u64,
}

/// Where a set keeps its labels, and how it counts them.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) labels: &'static str,
    pub(super) first_label: i64,
}

/// Opens each of the files of a part.
pub(super) fn open(set: &'static ImageSet, part: Part, files: &[PathBuf], keys: Keys) -> Result<Opened> {
    let places = files.iter().enumerate();
    let open = |(place, path): (usize, &PathBuf)| {
        Ok(Box::new(Batch::open(set, (part, place), path, keys)?) as Box<dyn Records>)
    };
    places.map(open).collect()
}

/// One file of images and their labels.
struct Batch {
    path: PathBuf,
    container: Container,
    image: [usize; 3],
    labels: Vec<u32>,
    /// The MD5 sum that it must have.
    md5: Option<&'static str>,
}

impl Batch {
    fn open(set: &ImageSet, (part, place): (Part, usize), path: &Path, keys: Keys) -> Result<Self> {
        let mut container = Container::open(path)?;
        let told = container.short("batch_label");
        if let Some(told) = &told {
            check_name(path, told, part, place)?;
        }
        let data = container.array("data").ok_or_else(|| container.lacks(path, "an array `data`"))?;
        let size = set.shape.iter().product::<usize>() as u64;
        let count = check_images(path, &data, size)?;
        if let Some(mean) = container.array("mean").filter(|mean| mean.shape != [size]) {
            let found = format!("its mean image has the shape {:?}", mean.shape);
            return Err(refused(path, found, format!("[{size}] is needed, as of {}", set.title)));
        }
        let numbers = container.labels(path, keys.labels)?;
        if numbers.len() as u64 != count {
            let found = format!("it holds {} labels", numbers.len());
            return Err(refused(path, found, format!("it holds {count} images; the two must agree")));
        }
        let last = keys.first_label + set.classes as i64 - 1;
        let label = |(at, number): (usize, i64)| match u32::try_from(number - keys.first_label) {
            Ok(label) if number <= last => Ok(label),
            _ => {
                let legal = format!("labels must lie between {} and {last}", keys.first_label);
                Err(refused(path, format!("label {at} is {number}"), legal))
            }
        };
        // No label is near the end of the range, or it would be refused.
        let numbers = numbers.into_iter().map(|number| number.max(i64::MIN + 1)).enumerate();
        let labels = numbers.map(label).collect::<Result<Vec<_>>>()?;
        // Python 3 writes protocol 2 in a way that is not read here: what is whole and says its name is the publishers' own.
        let part = usize::from(part == Part::Test);
        let own = told.is_some() && matches!(&container, Container::Pickle(pickle) if pickle.protocol == 2);
        let published =
            set.published.as_ref().filter(|published| own && labels.len() == published.images[part]);
        let md5 = published.and_then(|published| published.md5[part].get(place).copied());
        Ok(Self { path: path.to_owned(), container, image: set.shape, labels, md5 })
    }
}

/// Checks what CIFAR's own files say of themselves, as `training batch 2 of 5`.
fn check_name(path: &Path, told: &str, part: Part, place: usize) -> Result<()> {
    let kind = if part == Part::Train { "training" } else { "testing" };
    let needed = format!("{kind} batch {}", place + 1);
    if told.starts_with("train") || told.starts_with("test") {
        let matches =
            told.strip_prefix(&needed).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        if !matches {
            let found = format!("it says that it is `{told}`");
            return Err(refused(path, found, format!("`{needed}` is needed; are two files swapped?")));
        }
    }
    Ok(())
}

/// Checks an array of images; returns how many there are.
fn check_images(path: &Path, data: &Array, size: u64) -> Result<u64> {
    let needed = format!("[images, {size}] bytes (u1) in C order are needed");
    if !["u1", "|u1"].contains(&data.element.as_str()) || data.fortran {
        let order = if data.fortran { " in Fortran order" } else { "" };
        return Err(refused(path, format!("`data` holds elements of type {}{order}", data.element), needed));
    }
    let count = match data.shape[..] {
        [count, found] if found == size => count,
        _ => return Err(refused(path, format!("`data` has the shape {:?}", data.shape), needed)),
    };
    match count.checked_mul(size).filter(|bytes| *bytes == data.length) {
        Some(_) => Ok(count),
        None => {
            let found = format!("`data` has the shape {:?} and {} bytes", data.shape, data.length);
            Err(refused(path, found, needed))
        }
    }
}

impl Records for Batch {
    fn file(&self) -> &Path {
        &self.path
    }

    fn count(&self) -> usize {
        self.labels.len()
    }

    fn read(&mut self, count: usize, into: &mut Content) -> Result<()> {
        self.md5.map_or(Ok(()), |md5| check_sum(&self.path, md5))?;
        into.labels.extend_from_slice(&self.labels[..count]);
        let size: usize = self.image.iter().product();
        let whole = count == self.labels.len();
        let Self { path, container, image, .. } = self;
        container.stream(path, "data", |stream| {
            let mut buffer = vec![0; TOGETHER * size];
            let mut left = count;
            while left > 0 {
                let planes = &mut buffer[..left.min(TOGETHER) * size];
                stream.read_exact(planes)?;
                append_planes(planes, *image, &mut into.pixels);
                left -= planes.len() / size;
            }
            // A checksum stands after the last byte.
            let rest = if whole { stream.read(&mut buffer)? } else { 0 };
            if rest == 0 { Ok(()) } else { Err(std::io::Error::other("it goes on after its end")) }
        })
    }
}

/// Checks the MD5 sum of a file.
pub(super) fn check_sum(path: &Path, expected: &str) -> Result<()> {
    let failed = |error| Error::io(path, "read", error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut sum, mut buffer) = (Md5::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => sum.update(&buffer[..count]),
        }
    }
    let found: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected {
        return Ok(());
    }
    let legal = format!("that of the publishers' file is {expected}: fetch it again");
    Err(refused(path, format!("its MD5 sum is {found}"), legal))
}

/// The form of a file.
enum Container {
    Pickle(Pickle),
    Npz { archive: ZipArchive<BufReader<File>>, arrays: Vec<Member> },
}

/// An array of an archive.
struct Member {
    name: String,
    place: usize,
    array: Array,
    /// Bytes before its numbers.
    header: u64,
}

impl Container {
    fn open(path: &Path) -> Result<Self> {
        const NEEDED: &str = "a whole pickle, or a .npz archive,";
        let (file, length) = open_file(path, NEEDED)?;
        if length == 0 {
            return Err(refused(path, "the file is empty", "fetch it again"));
        }
        let is_archive = path.extension().is_some_and(|extension| extension == "npz");
        let (opened, needed) = if is_archive {
            (members(file, length), "a whole .npz archive is needed")
        } else {
            (Pickle::read(file, length).map(Self::Pickle), "a whole pickle of protocol 2 to 5 is needed")
        };
        opened.map_err(|found| refused(path, found, format!("{needed}: fetch it again")))
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Pickle(pickle) => pickle.names(),
            Self::Npz { arrays, .. } => arrays.iter().map(|member| member.name.clone()).collect(),
        }
    }

    fn lacks(&self, path: &Path, what: &str) -> Error {
        let names = self.names();
        let held = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        refused(path, format!("it holds {held}"), format!("{what} is needed"))
    }

    fn array(&self, name: &str) -> Option<Array> {
        match self {
            Self::Pickle(pickle) => pickle.array(name).map(|(array, _)| array.clone()),
            Self::Npz { arrays, .. } => {
                arrays.iter().find(|member| member.name == name).map(|member| member.array.clone())
            }
        }
    }

    fn short(&self, name: &str) -> Option<String> {
        match self {
            Self::Pickle(pickle) => pickle.short(name),
            Self::Npz { .. } => None,
        }
    }

    /// Whole numbers, of a list or of an array.
    fn labels(&mut self, path: &Path, name: &str) -> Result<Vec<i64>> {
        if let Self::Pickle(pickle) = self
            && let Some(numbers) = pickle.numbers(name)
        {
            return Ok(numbers);
        }
        let Some(array) = self.array(name) else {
            return Err(self.lacks(path, &format!("a list `{name}` of whole numbers")));
        };
        let integer = integer(&array.element).filter(|(width, _)| {
            let count = array.shape.iter().try_fold(*width as u64, |all, size| all.checked_mul(*size));
            count == Some(array.length) && array.length <= LABELS
        });
        let Some((width, signed)) = integer else {
            let found = format!(
                "`{name}` has the shape {:?}, {} bytes and elements of type {}",
                array.shape, array.length, array.element
            );
            return Err(refused(path, found, "whole numbers in little-endian order are needed"));
        };
        let mut bytes = Vec::new();
        self.stream(path, name, |stream| {
            stream.take(array.length).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == array.length {
                Ok(())
            } else {
                Err(std::io::ErrorKind::UnexpectedEof.into())
            }
        })?;
        let number = |digits: &[u8]| {
            let sign = if signed && digits[width - 1] >= 0x80 { 0xff } else { 0 };
            i64::from_le_bytes(std::array::from_fn(|place| digits.get(place).copied().unwrap_or(sign)))
        };
        Ok(bytes.chunks_exact(width).map(number).collect())
    }

    /// Reads the numbers of an array.
    fn stream(
        &mut self,
        path: &Path,
        name: &str,
        mut read: impl FnMut(&mut dyn Read) -> std::io::Result<()>,
    ) -> Result<()> {
        let outcome = match self {
            Self::Pickle(pickle) => {
                let span = pickle.array(name).map_or(Span { at: 0, length: 0 }, |(_, span)| *span);
                pickle.seek(span).and_then(|mut stream| read(&mut stream))
            }
            Self::Npz { archive, arrays } => {
                let member = arrays.iter().find(|member| member.name == name);
                let (place, before) = member.map_or((0, 0), |member| (member.place, member.header));
                archive.by_index(place).map_err(std::io::Error::other).and_then(|mut stream| {
                    std::io::copy(&mut stream.by_ref().take(before), &mut std::io::sink())?;
                    read(&mut stream)
                })
            }
        };
        outcome.map_err(|error| {
            refused(path, format!("`{name}` cannot be read: {error}"), "fetch the file again")
        })
    }
}

/// Width and sign of whole numbers that are read.
fn integer(element: &str) -> Option<(usize, bool)> {
    match element.trim_start_matches(['<', '|', '=']) {
        "u1" => Some((1, false)),
        "i1" => Some((1, true)),
        "u2" => Some((2, false)),
        "i2" => Some((2, true)),
        "u4" => Some((4, false)),
        "i4" => Some((4, true)),
        "u8" | "i8" => Some((8, true)),
        _ => None,
    }
}

/// The arrays of a `.npz` file, from their headers.
fn members(file: File, length: u64) -> std::result::Result<Container, String> {
    let mut archive = ZipArchive::new(BufReader::with_capacity(1 << 16, file))
        .map_err(|error| format!("it is no zip archive: {error}"))?;
    let mut arrays = Vec::new();
    for place in 0..archive.len() {
        let mut stream = archive.by_index(place).map_err(|error| error.to_string())?;
        let name = stream.name().map_err(|error| error.to_string())?;
        let Some(name) = npyz::npz::array_name_from_file_name(&name).map(str::to_owned) else {
            continue; // as NumPy does
        };
        let (unpacked, packed) = (stream.size(), stream.compressed_size().min(length));
        let (npy, rest) = numpy::header(&mut stream).map_err(|found| format!("`{name}`: {found}"))?;
        let header = rest.position();
        let Some(rest) = unpacked.checked_sub(header).filter(|_| unpacked / 1032 <= packed) else {
            return Err(format!("`{name}` is said to hold {unpacked} bytes, in {packed}"));
        };
        let element = npy.dtype().descr().trim_matches('\'').to_owned();
        let fortran = numpy::is_fortran(&npy);
        arrays.push(Member {
            name,
            place,
            header,
            array: Array { element, shape: npy.shape().to_vec(), fortran, length: rest },
        });
    }
    Ok(Container::Npz { archive, arrays })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_rfc_1321() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        check_sum(file.path(), "900150983cd24fb0d6963f7d28e17f72").unwrap();
        std::fs::write(file.path(), "abd").unwrap();
        assert!(check_sum(file.path(), "900150983cd24fb0d6963f7d28e17f72").is_err());
    }
}
