//! holograd
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod data;
pub mod error;
pub mod files;
pub mod rng;
pub mod scalar;
pub mod substrate;

pub use error::{Error, Result};
