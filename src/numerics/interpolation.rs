//! Interpolation between measured points.

/// The monotone cubic through points of rising x (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 300 (1984)): between two points it never
/// leaves the range of their values. Before the first point and behind the last one it is constant.
///
/// # Panics
/// If there is no point, or the lengths differ.
#[must_use]
pub fn monotone(x: &[f64], y: &[f64], at: f64) -> f64 {
    assert_eq!(x.len(), y.len(), "a value for each point");
    let last = x.len() - 1;
    if at <= x[0] || last == 0 {
        return y[0];
    }
    if at >= x[last] {
        return y[last];
    }
    let i = x.partition_point(|x| *x <= at) - 1;
    let h = x[i + 1] - x[i];
    let secant = |k: usize| (y[k + 1] - y[k]) / (x[k + 1] - x[k]);
    // At the ends the slope is the secant's; inside it is the harmonic mean, or 0 at an extremum.
    let slope = |k: usize| {
        if k == 0 {
            return secant(0);
        }
        if k == last {
            return secant(last - 1);
        }
        let (before, after) = (secant(k - 1), secant(k));
        if before * after <= 0.0 {
            return 0.0;
        }
        let (left, right) = (x[k] - x[k - 1], x[k + 1] - x[k]);
        let (w, v) = (2.0 * right + left, right + 2.0 * left);
        (w + v) / (w / before + v / after)
    };
    let t = (at - x[i]) / h;
    let (a, b) = (h * slope(i), h * slope(i + 1));
    let (one, two) = (t * t, t * t * t);
    y[i] * (2.0 * two - 3.0 * one + 1.0)
        + a * (two - 2.0 * one + t)
        + y[i + 1] * (3.0 * one - 2.0 * two)
        + b * (two - one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_meets_the_points_and_stays_between_them() {
        let x = [0.0, 0.3, 1.0, 1.5, 4.0];
        let y = [1.0, 1.1, 5.0, 5.0, -2.0];
        for (x0, y0) in x.iter().zip(y) {
            assert!((monotone(&x, &y, *x0) - y0).abs() < 1e-12);
        }
        for k in 0..400 {
            let at = 4.0 * f64::from(k) / 399.0;
            let i = (x.partition_point(|x| *x <= at) - 1).min(3);
            let value = monotone(&x, &y, at);
            let (low, high) = (y[i].min(y[i + 1]), y[i].max(y[i + 1]));
            assert!((low - 1e-12..=high + 1e-12).contains(&value), "{at}: {value}");
        }
        assert_eq!([monotone(&x, &y, -1.0), monotone(&x, &y, 9.0)], [1.0, -2.0]);
    }

    #[test]
    fn lines_are_kept_and_a_smooth_curve_is_approached_with_the_second_power_of_the_distance() {
        let x: Vec<f64> = (0..9).map(|k| f64::from(k * k)).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 0.5 * x).collect();
        assert!((monotone(&x, &y, 10.3) - (3.0 - 5.15)).abs() < 1e-12);
        let error = |points: i32| {
            let x: Vec<f64> = (0..=points).map(|k| f64::from(k) / f64::from(points)).collect();
            let y: Vec<f64> = x.iter().map(|x| x.exp()).collect();
            (0..997)
                .map(|k| f64::from(k) / 997.0)
                .map(|at| (monotone(&x, &y, at) - at.exp()).abs())
                .fold(0.0, f64::max)
        };
        assert!(error(40) < error(10) / 12.0);
    }
}
