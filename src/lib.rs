//! holograd
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod error;
pub mod report;
pub mod rng;
pub mod scalar;
pub mod substrate;

pub use error::{Error, Result};
