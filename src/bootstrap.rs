//! Bootstrap confidence intervals of a mean over crossed factors.

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::{self, Purpose};

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
            mean(&mut drawn_rows.iter().flat_map(|&r| drawn.iter().map(move |&c| table[r][c])))
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let quantile = |p: f64| means.get((p * (means.len().max(1) - 1) as f64).round() as usize).copied();
    let (low, high) = (quantile(0.025).unwrap_or(centre), quantile(0.975).unwrap_or(centre));
    Some(Interval { mean: centre, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(count: usize, key: u64) -> Vec<f64> {
        let mut out = vec![0.0; count];
        rng::NoiseKey::new(key, Purpose::Data, 0).normals(0, 0, &mut out);
        out
    }

    /// Against mean ± 1.96 s/√n, the limit for many draws.
    #[test]
    fn one_row_gives_the_normal_interval() {
        let draws = normals(400, 1);
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let error = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n / n).sqrt();
        let found = interval(&[draws.into_iter().map(Some).collect()], 7).unwrap();
        assert!((found.mean - mean).abs() < 1e-12);
        assert!((found.low - (mean - 1.96 * error)).abs() < 0.15 * error, "{found:?} {mean} {error}");
        assert!((found.high - (mean + 1.96 * error)).abs() < 0.15 * error, "{found:?} {mean} {error}");
    }

    /// 300 tables of 40 draws: a percentile interval covers the true mean in about 94 % of them; four standard errors are 5 %.
    #[test]
    fn the_interval_covers_the_true_mean_as_often_as_it_says() {
        let covers = |key: &u64| {
            let found = interval(&[normals(40, *key).into_iter().map(Some).collect()], *key).unwrap();
            found.low <= 0.0 && 0.0 <= found.high
        };
        let share = (0..300).filter(covers).count() as f64 / 300.0;
        assert!((0.885..=0.985).contains(&share), "{share}");
    }

    /// Cells that repeat their row's value say nothing new: the interval is that of the rows.
    #[test]
    fn repeated_columns_do_not_narrow_the_interval() {
        let draws = normals(30, 3);
        let once = interval(&draws.iter().map(|x| vec![Some(*x)]).collect::<Vec<_>>(), 5).unwrap();
        let often = interval(&draws.iter().map(|x| vec![Some(*x); 9]).collect::<Vec<_>>(), 5).unwrap();
        let width = |i: Interval| i.high - i.low;
        assert!((width(often) / width(once) - 1.0).abs() < 0.15, "{once:?} {often:?}");
    }

    #[test]
    fn missing_cells_are_left_out_and_equal_ones_give_no_width() {
        assert_eq!(interval(&[vec![None, None]], 0), None);
        assert_eq!(interval(&[], 0), None);
        let found = interval(&[vec![Some(2.0), None], vec![Some(2.0), Some(2.0)]], 0).unwrap();
        assert_eq!((found.mean, found.low, found.high), (2.0, 2.0, 2.0));
    }
}
