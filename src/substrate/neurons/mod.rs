//! Layers of analog neurons and what connects them: the substrate of both papers.

mod accelerated;
pub mod activation;
mod bound;
mod delay;
pub mod effective;
pub mod energy;
pub mod field;
pub mod form;
pub mod interactions;
pub mod linear;
pub mod model;
pub mod network;
pub mod neuron;
mod nudge;
pub mod parasitics;
pub mod readout;
pub mod spice;
pub mod units;
