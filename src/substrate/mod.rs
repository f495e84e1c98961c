//! The substrate: description, instance, effective network, state and vector field.

pub mod activation;
pub mod effective;
pub mod field;
pub mod interactions;
pub mod kernels;
pub mod linear;
pub mod model;
pub mod network;
pub mod panels;
pub mod parameters;
pub mod samples;
pub mod state;
