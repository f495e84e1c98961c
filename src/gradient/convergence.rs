//! How far the response is a power series in β: the radius of convergence, from the decay of its terms.

use crate::scalar::Scalar;

/// Largest magnitude of a real number in a slice.
pub fn largest<T: Scalar>(values: &[T]) -> f64 {
    values.iter().map(|x| x.abs().double()).fold(0.0, f64::max)
}

/// Radius of convergence of Σ c_k z^k from the sizes |c₁|, |c₂|, … at |z| = amplitude: a straight line through
/// ln |c_k| against k, over the terms above the rounding floor; none where fewer than three are.
#[must_use]
pub fn radius(amplitude: f64, sizes: &[f64], epsilon: f64) -> Option<f64> {
    let floor = 1e3 * epsilon * sizes.first()?;
    let logs: Vec<f64> = sizes.iter().take_while(|s| **s > floor).map(|s| s.ln()).collect();
    let n = logs.len() as f64;
    if n < 3.0 {
        return None;
    }
    let (mean_k, mean) = (0.5 * (n - 1.0), logs.iter().sum::<f64>() / n);
    let covariance: f64 = logs.iter().enumerate().map(|(k, y)| (k as f64 - mean_k) * (y - mean)).sum();
    let variance: f64 = (0..logs.len()).map(|k| (k as f64 - mean_k).powi(2)).sum();
    Some(amplitude * (-covariance / variance).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_is_the_distance_to_the_nearest_singularity() {
        // 1/(1 − z/0.7) has |c_k| = 0.7⁻ᵏ; ln(1 − z/0.7) has |c_k| = 0.7⁻ᵏ/k, which a line over few terms makes a little wider.
        for amplitude in [0.05, 0.3, 0.6] {
            let pole: Vec<f64> = (1..=12).map(|k| (amplitude / 0.7_f64).powi(k)).collect();
            let branch: Vec<f64> = (1..=12).map(|k| (amplitude / 0.7_f64).powi(k) / f64::from(k)).collect();
            assert!((radius(amplitude, &pole, f64::EPSILON).unwrap() - 0.7).abs() < 1e-12);
            let found = radius(amplitude, &branch, f64::EPSILON).unwrap();
            assert!((1.0..1.3).contains(&(found / 0.7)), "{found}");
        }
        assert_eq!(radius(0.1, &[1.0, 1e-20, 1e-40], f64::EPSILON), None);
        assert_eq!(radius(0.1, &[], f64::EPSILON), None);
    }
}
