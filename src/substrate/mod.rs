//! The substrate.
pub mod activation;
pub mod kernels;
