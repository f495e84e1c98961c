//! A line of the table of a run, and what stands in it.

use crate::names::number;
use crate::published::Curve;

/// A line of the table of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, with its unit.
    pub quantity: String,
    /// What came out.
    pub ours: String,
    /// What was published, if anything.
    pub published: Option<String>,
}

impl Row {
    /// A line.
    pub fn new(quantity: impl Into<String>, ours: impl Into<String>, published: Option<String>) -> Self {
        Self { quantity: quantity.into(), ours: ours.into(), published }
    }
}

/// The mean, with the range where there are several.
pub fn spread(values: &[f64], scale: f64) -> Option<String> {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mean = number(scale * values.iter().sum::<f64>() / values.len() as f64);
    match values.len() {
        0 => None,
        1 => Some(mean),
        n => Some(format!("{mean} ({} to {}, {n} runs)", number(scale * low), number(scale * high))),
    }
}

/// The measures of a published curve at an epoch, over all curves given.
pub fn at_epoch<'a>(curves: impl Iterator<Item = &'a Curve>, epoch: f64, measure: &str) -> Vec<f64> {
    let of_curve = |curve: &Curve| curve.points("epoch", measure)?.iter().find(|p| p.0 == epoch).map(|p| p.1);
    curves.filter_map(of_curve).collect()
}
