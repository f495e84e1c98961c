//! Nonlinear resistor networks: nodes, elements and sources, in volts, siemens, farads and seconds.
//!
//! C_i dV_i/dt = I_i(V) − β g ∂C/∂V_i, with I_i the current that all elements bring into node i. Shockley's law is entire, so the node
//! equations are holomorphic in V and β, and all estimators work on [`programmed::Programmed`] as on layers of neurons.

pub mod circuit;
mod connected;
pub mod diode;
pub mod energy;
pub mod field;
pub mod graph;
pub mod imperfections;
mod linear;
mod matrix;
pub mod model;
mod names;
mod newton;
pub mod programmed;
pub mod spice;
#[cfg(test)]
mod tests;
