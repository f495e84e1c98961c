//! A stretch of the time loop that a substrate runs by itself.

use num_complex::Complex;

use crate::simulation::integrators::Explicit;

/// Sums of one stretch, at most.
pub const MOST_SUMS: usize = 32;

/// What is to be run.
pub struct Stretch<'s, T> {
    /// Tick at which it begins.
    pub begin: u64,
    /// Steps, at most.
    pub ticks: u64,
    /// How a step is made.
    pub explicit: Explicit<'s, T>,
    /// How many sums of rates and output errors are wanted.
    pub sums: usize,
    /// Writes the weights of a tick, as it is before its step, in each sum; whether it is wanted in any.
    pub weigh: &'s dyn Fn(u64, &mut [Complex<f64>]) -> bool,
    /// After how many steps each |G − s| is looked at, and at which it is small enough.
    pub until: Option<(u64, f64)>,
}

/// What has become of it, beside the state.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended<T> {
    /// Steps that were made.
    pub ticks: u64,
    /// Largest |G − s| at the end, where it was looked at.
    pub residual: f64,
    /// Of each sum the rates, laid out as a complex state, and the output errors, [outputs × 2·batch].
    pub sums: Vec<(Vec<T>, Vec<T>)>,
    /// The place in the state and the tick of a rate that has passed a pole.
    pub wild: Option<(usize, u64)>,
}

/// How a substrate accelerates its relaxation by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Acceleration {
    /// Part of a step that is taken where nothing is remembered yet.
    pub mixing: f64,
    /// Largest |G − s| of a sample that has arrived.
    pub tolerance: f64,
    /// Most evaluations.
    pub most: u64,
}

/// How that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Accelerated {
    /// Evaluations of the field.
    pub evaluations: u64,
    /// Largest |G − s| of each sample.
    pub residuals: Vec<f64>,
}
