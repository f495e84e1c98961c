//! Dicts, lists and numbers of Python as the JSON that a file would hold, and back.

use holograd::Error;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::errors::Answer;

/// Depth beyond which a value is nested by mistake, or in itself.
const DEEPEST: usize = 64;

/// The JSON of a value that messages call `file`.
pub fn value(any: &Bound<'_, PyAny>, file: &str) -> Answer<Value> {
    value_at("", any, file)
}

/// The same of a value at a path.
pub fn value_at(path: &str, any: &Bound<'_, PyAny>, file: &str) -> Answer<Value> {
    Reader { file }.read(any, path, 0)
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn refuse<T>(&self, path: &str, found: String, legal: &str) -> Answer<T> {
        Err(Error::input(self.file, path, found, legal).into())
    }

    fn read(&self, any: &Bound<'_, PyAny>, path: &str, depth: usize) -> Answer<Value> {
        if depth > DEEPEST {
            return self.refuse(path, format!("found more than {DEEPEST} levels"), "no value holds itself");
        }
        let inside = |key: String| if path.is_empty() { key } else { format!("{path}.{key}") };
        if any.is_none() {
            return Ok(Value::Null);
        }
        if let Ok(truth) = any.cast::<PyBool>() {
            return Ok(Value::Bool(truth.is_true()));
        }
        if let Ok(text) = any.cast::<PyString>() {
            return match text.to_str() {
                Ok(text) => Ok(Value::from(text)),
                Err(_) => self.refuse(path, "found a text with half a character".to_owned(), "text in UTF-8"),
            };
        }
        if let Ok(dict) = any.cast::<PyDict>() {
            let mut object = Map::new();
            for (key, item) in dict {
                let Ok(key) = key.extract::<String>() else {
                    return self.refuse(path, format!("found the key {}", shown(&key)), "a key is a text");
                };
                let item = self.read(&item, &inside(key.clone()), depth + 1)?;
                object.insert(key, item);
            }
            return Ok(Value::Object(object));
        }
        if any.is_instance_of::<PyList>() || any.is_instance_of::<PyTuple>() {
            let items = any.try_iter()?.enumerate();
            let item = |(place, item): (usize, PyResult<Bound<'_, PyAny>>)| {
                self.read(&item?, &format!("{path}[{place}]"), depth + 1)
            };
            return Ok(Value::Array(items.map(item).collect::<Answer<_>>()?));
        }
        self.number(any, path, depth)
    }

    fn number(&self, any: &Bound<'_, PyAny>, path: &str, depth: usize) -> Answer<Value> {
        if any.is_instance_of::<PyInt>() {
            if let Ok(integer) = any.extract::<i64>() {
                return Ok(Value::from(integer));
            }
            return match any.extract::<u64>() {
                Ok(integer) => Ok(Value::from(integer)),
                Err(_) => self.refuse(path, "found an integer beyond 64 bits".to_owned(), "a smaller one"),
            };
        }
        if let Ok(float) = any.cast::<PyFloat>() {
            return match Number::from_f64(float.value()) {
                Some(number) => Ok(Value::Number(number)),
                None => self.refuse(path, format!("found {}", shown(any)), "a number is finite"),
            };
        }
        if any.hasattr("__fspath__")? {
            return self.read(&any.call_method0("__fspath__")?, path, depth + 1);
        }
        // Scalars and arrays of NumPy.
        if any.hasattr("tolist")? {
            return self.read(&any.call_method0("tolist")?, path, depth + 1);
        }
        let found = format!("found an object of type {}", any.get_type().name()?);
        self.refuse(path, found, "dicts, lists, texts, numbers, True, False and None")
    }
}

/// A value as Python writes it, if that is short.
fn shown(any: &Bound<'_, PyAny>) -> String {
    any.repr()
        .map_or_else(|_| "something".to_owned(), |text| text.to_string_lossy().chars().take(80).collect())
}

/// The same in Python.
pub fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into_pyobject(py)?.into_any(),
            (None, Some(integer)) => integer.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| python(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (key, field) in fields {
                dict.set_item(key, python(py, field)?)?;
            }
            dict.into_any()
        }
    })
}
