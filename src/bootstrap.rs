//! Bootstrap confidence intervals of a mean over crossed factors.

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numerics::rng::{self, Purpose};

/// Resamples of an interval.
pub const RESAMPLES: usize = 4000;

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// The mean of a table (rows × columns, any cell may be missing) and the 95 % percentile interval of its bootstrap; none if
/// every cell is missing.
///
/// Rows and columns are resampled independently of each other (the pigeonhole bootstrap of Owen, Annals of Applied Statistics
/// 1, 386 (2007)): cells of a row share what the row stands for, so they are no independent draws. With one row this is the
/// ordinary bootstrap over its cells. `key` identifies the random numbers.
#[must_use]
pub fn interval(table: &[Vec<Option<f64>>], key: u64) -> Option<Interval> {
    let rows = table.len();
    let columns = table.first().map_or(0, Vec::len);
    let mean = |cells: &mut dyn Iterator<Item = Option<f64>>| {
        let (mut sum, mut count) = (0.0, 0.0_f64);
        cells.flatten().for_each(|x| {
            sum += x;
            count += 1.0;
        });
        (count > 0.0).then(|| sum / count)
    };
    let centre = mean(&mut table.iter().flatten().copied())?;
    let mut random = rng::stream(key, Purpose::Bootstrap, 0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn_rows: Vec<usize> = (0..rows).map(|_| random.random_range(0..rows)).collect();
            let drawn: Vec<usize> = (0..columns).map(|_| random.random_range(0..columns)).collect();
            mean(
                &mut drawn_rows
                    .iter()
                    .flat_map(|&r| drawn.iter().map(move |&c| table[r].get(c).copied().flatten())),
            )
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let quantile = |p: f64| means.get((p * (means.len().max(1) - 1) as f64).round() as usize).copied();
    let (low, high) = (quantile(0.025).unwrap_or(centre), quantile(0.975).unwrap_or(centre));
    Some(Interval { mean: centre, low, high })
}
