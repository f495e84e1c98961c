//! Devices by measurement: what tables of pulses, samples and spectra make of them.

mod law;
mod pulses;
mod samples;
mod spectrum;

pub use law::{Curve, MeasuredLaw, StepTable};
pub use pulses::{Pulse, Pulses};
pub use samples::{MeasuredSamples, Smoothing};
pub use spectrum::{Component, Components, Spectrum};
