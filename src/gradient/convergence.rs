//! How far the response is a power series in β: the radius of convergence, from the decay of its terms.

use crate::numerics::scalar::Scalar;

/// Largest magnitude of a real number in a slice.
pub fn largest<T: Scalar>(values: &[T]) -> f64 {
    values.iter().map(|x| x.abs().double()).fold(0.0, f64::max)
}

/// Radius of convergence of Σ c_k z^k from the sizes |c₁|, |c₂|, … at |z| = amplitude: a straight line through
/// ln |c_k| + 3/2 ln k against k, over the terms that stand out of rounding (`epsilon`) and of what was left when the state was
/// taken for settled, or what rounding of the rates makes (`residual`); none where fewer than three do, or where the series would not converge at the amplitude itself.
///
/// An equilibrium that is followed in β ends, as a rule, where it meets another one: u − u_c ∝ √(1 − z/R), whose terms fall as
/// R⁻ᵏ k^(−3/2) (Flajolet & Odlyzko, SIAM J. Discrete Math. 3, 216 (1990)).
#[must_use]
pub fn radius(amplitude: f64, sizes: &[f64], epsilon: f64, residual: f64) -> Option<f64> {
    let floor = (1e3 * epsilon * sizes.first()?).max(10.0 * residual);
    let above = (1..).map(f64::from).zip(sizes).take_while(|(_, size)| **size > floor);
    let terms: Vec<(f64, f64)> = above.map(|(k, size)| (k, size.ln() + 1.5 * k.ln())).collect();
    let n = terms.len() as f64;
    if n < 3.0 {
        return None;
    }
    let mean = |f: fn(&(f64, f64)) -> f64| terms.iter().map(f).sum::<f64>() / n;
    let (mean_k, mean_y) = (mean(|t| t.0), mean(|t| t.1));
    let covariance: f64 = terms.iter().map(|(k, y)| (k - mean_k) * (y - mean_y)).sum();
    let variance: f64 = terms.iter().map(|(k, _)| (k - mean_k).powi(2)).sum();
    // A series that is summed up at this amplitude converges there.
    Some(amplitude * (-covariance / variance).exp()).filter(|radius| *radius >= amplitude)
}

/// |c₋₁|/|c₁|. In N points c₋₁ is c_{N−1}: where it falls off as a tail of positive harmonics does, |c_{N−2}| being larger, the share of
/// negative ones is none.
#[must_use]
pub fn negative_share(first: f64, minus_one: f64, minus_two: f64) -> Option<f64> {
    let share = if minus_one < minus_two { 0.0 } else { minus_one / first };
    Some(share).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_is_the_distance_to_the_nearest_fold() {
        // √(1 − z/0.7) = 1 − Σ c_k z^k with c_{k+1}/c_k = (k − 1/2)/(k + 1)/0.7.
        for amplitude in [0.05, 0.3, 0.6] {
            let mut sizes = vec![0.5 * amplitude / 0.7];
            for k in 1..12 {
                let k = f64::from(k);
                sizes.push(sizes[sizes.len() - 1] * (k - 0.5) / (k + 1.0) * amplitude / 0.7);
            }
            for (count, within) in [(4, 0.17), (8, 0.08), (12, 0.05)] {
                let found = radius(amplitude, &sizes[..count], f64::EPSILON, 0.0).unwrap();
                assert!((found / 0.7 - 1.0).abs() < within, "{count} terms: {found}");
            }
        }
        assert_eq!(radius(0.1, &[1.0, 1e-20, 1e-40], f64::EPSILON, 0.0), None);
        assert_eq!(radius(0.1, &[0.1, 0.01, 1e-6, 1e-6, 1e-6], f64::EPSILON, 1e-6), None);
        assert_eq!(radius(0.1, &[], f64::EPSILON, 0.0), None);
    }
}
