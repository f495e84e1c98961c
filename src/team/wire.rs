//! What ranks tell each other, as bytes. Numbers keep their bits.

use nalgebra::DMatrix;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;

/// Puts values one after the other.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn number(&mut self, number: usize) {
        self.0.extend((number as u64).to_le_bytes());
    }

    pub(crate) fn array<T: Scalar>(&mut self, values: &[T]) {
        self.number(values.len());
        self.0.extend_from_slice(bytemuck::cast_slice(values));
    }

    pub(crate) fn matrix<T: Scalar>(&mut self, matrix: &DMatrix<T>) {
        self.number(matrix.nrows());
        self.array(matrix.as_slice());
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<()> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).map_err(|e| Error::Internal(e.to_string()))?;
        self.blob(&bytes);
        Ok(())
    }
}

/// Takes them in the same order.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let cut = Error::Internal("a message of another rank is cut short".into());
        let (taken, rest) = self.0.split_at_checked(count).ok_or(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn number(&mut self) -> Result<usize> {
        let bytes = self.take(size_of::<u64>())?;
        Ok(bytemuck::pod_read_unaligned::<u64>(bytes).to_le() as usize)
    }

    pub(crate) fn array<T: Scalar>(&mut self) -> Result<Vec<T>> {
        let count = self.number()?;
        Ok(bytemuck::pod_collect_to_vec(self.take(count * size_of::<T>())?))
    }

    pub(crate) fn matrix<T: Scalar>(&mut self) -> Result<DMatrix<T>> {
        let rows = self.number()?;
        let values = self.array::<T>()?;
        Ok(DMatrix::from_vec(rows, values.len() / rows.max(1), values))
    }

    pub(crate) fn blob(&mut self) -> Result<&'a [u8]> {
        let count = self.number()?;
        self.take(count)
    }

    pub(crate) fn object<R: DeserializeOwned>(&mut self) -> Result<R> {
        ciborium::from_reader(self.blob()?).map_err(|e| Error::Internal(e.to_string()))
    }
}

/// The same error of another rank has the same message and the same exit code.
pub(crate) fn error_bytes(error: &Error) -> Vec<u8> {
    let owned = |texts: [&str; 4]| texts.map(str::to_owned);
    let (kind, texts) = match error {
        Error::Input { file, path, found, legal } => ('i', owned([file, path, found, legal])),
        Error::Memory { file, path, found, legal } => ('m', owned([file, path, found, legal])),
        Error::Io { file, action, source } => {
            let found = format!("cannot {action}: {source}");
            ('i', owned([&file.display().to_string(), "", &found, ""]))
        }
        Error::Diverged { moment, place, what, advice } => ('d', owned([moment, place, what, advice])),
        Error::Unfinished { moment, place, what, advice } => ('u', owned([moment, place, what, advice])),
        Error::Gpu(text) => ('g', owned([text, "", "", ""])),
        Error::Stopped => ('s', owned([""; 4])),
        Error::Internal(text) => ('x', owned([text, "", "", ""])),
    };
    let mut writer = Writer::default();
    match writer.object(&(kind, texts)) {
        Ok(()) => writer.bytes(),
        Err(_) => Vec::new(),
    }
}

/// What [`error_bytes`] has written. Of what concerns a machine or its files it says where it was found, if that is said.
pub(crate) fn error(bytes: &[u8], where_found: Option<&str>) -> Error {
    let (kind, [a, b, c, d]) = match Reader::new(bytes).object::<(char, [String; 4])>() {
        Ok(read) => read,
        Err(error) => return error,
    };
    let file = |file: String| where_found.map_or(file.clone(), |place| format!("{place}: {file}"));
    match kind {
        'i' => Error::input(file(a), b, c, d),
        'm' => Error::memory(file(a), b, c, d),
        'd' => Error::Diverged { moment: a, place: b, what: c, advice: d },
        'u' => Error::Unfinished { moment: a, place: b, what: c, advice: d },
        'g' => Error::Gpu(file(a)),
        's' => Error::Stopped,
        _ => Error::Internal(a),
    }
}
