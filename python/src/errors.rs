//! Errors of holograd as Python's exceptions, which `holograd/_errors.py` defines.

use holograd::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Either what holograd finds, or what Python raises.
pub enum Failure {
    Own(Error),
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<pyo3::CastError<'_, '_>> for Failure {
    fn from(error: pyo3::CastError<'_, '_>) -> Self {
        Self::Python(error.into())
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Python(error) => error,
            Failure::Own(error) => Python::attach(|py| raised(py, error)),
        }
    }
}

/// What a function for Python returns.
pub type Answer<T> = Result<T, Failure>;

fn raised(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    let exception = match error {
        Error::Memory { .. } => return PyMemoryError::new_err(message),
        Error::Stopped => return PyKeyboardInterrupt::new_err(()),
        Error::Gpu(_) => return PyOSError::new_err(message),
        Error::Io { file, action, source } => {
            // With the system's number Python chooses the exception itself, as FileNotFoundError.
            let Some(number) = source.raw_os_error() else { return PyOSError::new_err(message) };
            let reason = format!("cannot {action}: {source}");
            return PyOSError::new_err((number, reason, file.display().to_string()));
        }
        Error::Input { file, path, found, legal } => {
            own(py, "ConfigError", [message, file, path, found, legal])
        }
        Error::Diverged { moment, place, what, advice } => {
            own(py, "Diverged", [message, moment, place, what, advice])
        }
        Error::Unfinished { moment, place, what, advice } => {
            own(py, "Unfinished", [message, moment, place, what, advice])
        }
        Error::Internal(_) => own(py, "InternalError", [message]),
    };
    exception.unwrap_or_else(|error| error)
}

/// An exception of the module's own, by its name.
fn own<const N: usize>(py: Python<'_>, name: &str, arguments: [String; N]) -> PyResult<PyErr> {
    let class = py.import("holograd._errors")?.getattr(name)?;
    Ok(PyErr::from_value(class.call1(PyTuple::new(py, arguments)?)?))
}
