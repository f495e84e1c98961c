//! The runs of a sweep one by one.

use holograd::Error;
use holograd::experiment::sweep::record::SweepRun;
use holograd::experiment::sweep::{Sweep, Task};
use holograd::experiment::{Experiment, Loaded, Memory, Options};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Serialize;

use crate::arrays::ARGUMENTS;
use crate::errors::Answer;
use crate::json;
use crate::run::Described;
use crate::work::{guarded, run as attended_run};

fn sweep_of(loaded: &Loaded) -> holograd::Result<&Sweep> {
    match &loaded.experiment {
        Experiment::Sweep(sweep) => Ok(sweep),
        other => {
            let found = format!("found an experiment of kind `{}`", other.name());
            Err(Error::input(loaded.origin.display(), "kind", found, "`sweep`"))
        }
    }
}

fn python<'py>(py: Python<'py>, value: &impl Serialize) -> Answer<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(json::python(py, &value)?)
}

/// All runs of a sweep, as dicts.
#[pyfunction]
pub fn tasks<'py>(py: Python<'py>, described: Described<'py>) -> Answer<Bound<'py, PyAny>> {
    guarded(|| {
        let (loaded, options) = described.load()?;
        loaded.afford(&options, std::path::Path::new("."))?;
        let tasks = attended_run(py, None, || sweep_of(&loaded)?.tasks(&loaded.origin))?;
        python(py, &tasks)
    })
}

/// Does one of them; its record as a dict.
#[pyfunction]
#[pyo3(signature = (task, folder))]
pub fn perform<'py>(
    py: Python<'py>,
    task: &Bound<'py, PyAny>,
    folder: Option<std::path::PathBuf>,
) -> Answer<Bound<'py, PyAny>> {
    guarded(|| {
        let task = json::value(task, "the point of a sweep")?;
        let task: Task = holograd::experiment::load::field("", task, "the point of a sweep")?;
        let options = Options { data: folder, ..Options::default() };
        let record = attended_run(py, None, || task.perform(&options))?;
        python(py, &record)
    })
}

/// Puts all records together: the files of the sweep's run, and the lines that sum it up.
#[pyfunction]
pub fn collect<'py>(
    py: Python<'py>,
    described: Described<'py>,
    records: &Bound<'py, PyAny>,
) -> Answer<(Bound<'py, PyDict>, Vec<String>)> {
    guarded(|| {
        let (loaded, _) = described.load()?;
        let records = json::value(records, ARGUMENTS)?;
        let records: Vec<SweepRun> = holograd::experiment::load::field("results", records, ARGUMENTS)?;
        let (files, lines) = attended_run(py, None, || {
            let mut memory = Memory::default();
            let lines = sweep_of(&loaded)?.collect(&loaded.origin, records, &mut memory)?;
            Ok((memory.files(&loaded)?, lines))
        })?;
        let dict = PyDict::new(py);
        for (name, contents) in files {
            dict.set_item(name, PyBytes::new(py, &contents))?;
        }
        Ok((dict, lines))
    })
}
