//! The Python module of holograd: the part of it that is compiled. What users see is in `py_src/holograd/`.
#![deny(unsafe_code)]

mod arrays;
mod errors;
mod json;
mod network;
mod run;
mod sweep;
#[cfg(feature = "timing")]
mod timing;
mod trainer;
mod work;

#[pyo3::pymodule]
mod _holograd {
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::run::{
        check, complete, data, draw, experiments, models, read_tensors, resolved, resume, run, save_tensors,
        verify,
    };
    #[pymodule_export]
    use crate::sweep::{collect, perform, tasks};
    #[pymodule_export]
    use crate::trainer::{Trainer, arguments, note, read_parameters, write_bytes};

    #[cfg(feature = "timing")]
    #[pymodule_export]
    use crate::timing::rust_seconds;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
