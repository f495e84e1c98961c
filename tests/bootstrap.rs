//! The interval of a mean over a table of seeds and devices.

use holograd::bootstrap::{Interval, interval};
use holograd::numerics::rng::{NoiseKey, Purpose};

fn normals(count: usize, key: u64) -> Vec<f64> {
    let mut out = vec![0.0; count];
    NoiseKey::new(key, Purpose::Data, 0).normals(0, 0, &mut out);
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
