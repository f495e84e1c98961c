//! holograd
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bootstrap;
mod choice;
pub mod cli;
pub mod data;
pub mod error;
pub mod experiment;
pub mod figures;
pub mod files;
pub mod gradient;
pub mod imperfections;
pub mod integrators;
mod krylov;
pub mod learning;
pub mod lockin;
pub mod records;
pub mod relaxation;
pub mod report;
pub mod rng;
pub mod scalar;
pub mod simulate;
pub mod substrate;
pub mod teaching;

pub use error::{Error, Result};
