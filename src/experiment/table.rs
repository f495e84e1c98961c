//! The numbers of a table in a file of its own.

use std::path::Path;

use super::origin::Origin;
use crate::error::{Error, Result};
use crate::files::{Tensors, parse_csv};
use crate::simulation::signal::InputSignal;

/// The field that names the file.
const FIELD: &str = "waveform.table.file";

/// Puts the numbers of the file that a signal names in its place.
///
/// # Errors
/// If the file is missing or damaged.
pub fn read(signal: Option<&mut InputSignal>, origin: &Origin) -> Result<()> {
    let Some(InputSignal::Table { file, values: values @ None, .. }) = signal else { return Ok(()) };
    let Some(path) = file.take() else { return Ok(()) };
    let source = origin.beside(&path);
    let rows = match Path::new(&path).extension().and_then(|extension| extension.to_str()) {
        Some("csv") => source.read().and_then(|bytes| parse_csv(&source.display(), &bytes)),
        Some("safetensors") => source.tensors().and_then(rows),
        _ => {
            let legal = "a file that ends in .csv or .safetensors";
            return Err(Error::input(origin.display(), FIELD, format!("found {path:?}"), legal));
        }
    };
    *values = Some(rows.map_err(|e| e.referred_to_by(&origin.display(), FIELD))?);
    Ok(())
}

/// The rows of the one array `x`.
fn rows(mut tensors: Tensors) -> Result<Vec<Vec<f64>>> {
    let shape = tensors.get("x").map(|x| x.shape.clone()).unwrap_or_default();
    let [_, columns] = shape[..] else {
        let file = tensors.file().to_owned();
        let found = "found no such array of two dimensions";
        return Err(Error::input(file, "x", found, "`x` is [rows, inputs]"));
    };
    let numbers: Vec<f64> = tensors.reals("x", &shape)?;
    tensors.refuse_unused()?;
    Ok(numbers.chunks(columns.max(1)).map(<[f64]>::to_vec).collect())
}
