//! The substrate.
pub mod kernels;
