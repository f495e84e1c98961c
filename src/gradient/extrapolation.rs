//! From responses at several frequencies to the response at zero frequency.
//!
//! The response to a drive of frequency ω solves (sτ − J) f = B with s = iω. Two extrapolations to s = 0:
//!
//! * *polynomial* (Richardson): Re f is a power series in ω²; for periods T, 2T, 4T … fixed weights cancel its first terms.
//!   It converges where ωτ is below the slowest relaxation rate.
//! * *rational*: the combination x = Σ yⱼ fⱼ over all measured fⱼ and their conjugates, Σ yⱼ = 1, leaves −J x − B =
//!   −Σ yⱼ sⱼ τ fⱼ. Everything on the right is measured, so the weights that make it smallest need no model of the
//!   network. x is the value at 0 of a rational interpolant in s whose poles all neurons of a sample share; it is exact for a
//!   network of 2n − 1 modes and n periods, at any frequency. Even one period has its bias corrected, by the quadrature.

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// How responses at several periods are extrapolated to zero frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extrapolation {
    /// Fixed weights that cancel the leading powers of ω²: for drives slower than the slowest mode.
    #[default]
    Polynomial,
    /// Weights that leave the smallest measured residual: for drives that are faster as well, and little noise.
    Rational,
    /// Polynomial where several periods are measured and even the shortest one's quadrature is below a tenth of its in-phase
    /// part: there the fixed weights suffice and amplify noise least. Rational elsewhere.
    Auto,
}

/// The response at one frequency, laid out as a real state.
pub(super) struct Measured<'a, T> {
    pub in_phase: &'a [T],
    pub quadrature: &'a [T],
    /// sτ: iωτ, or what the integrator makes of it.
    pub rate: Complex<f64>,
}

impl Extrapolation {
    /// The method that is meant, given the measurements.
    pub(super) fn resolve<T: Scalar>(self, measured: &[Measured<'_, T>]) -> Self {
        const LAG: f64 = 0.1;
        let slow = || norm(measured[0].quadrature) < LAG * norm(measured[0].in_phase);
        match self {
            Self::Auto if measured.len() > 1 && slow() => Self::Polynomial,
            Self::Auto => Self::Rational,
            chosen => chosen,
        }
    }

    /// The response at zero frequency, from measurements at T, 2T, 4T ….
    pub(super) fn at_zero<T: Scalar>(self, shape: &StateShape, measured: &[Measured<'_, T>]) -> Vec<T> {
        match self.resolve(measured) {
            Self::Rational => rational(shape, measured),
            _ => weighted(&extrapolation_weights(measured.len()), measured.iter().map(|m| m.in_phase)),
        }
    }
}

/// Σ weight · part.
pub(super) fn weighted<'a, T: Scalar>(weights: &[f64], parts: impl Iterator<Item = &'a [T]>) -> Vec<T> {
    let mut sum = Vec::new();
    for (weight, part) in weights.iter().map(|w| T::of(*w)).zip(parts) {
        sum.resize(part.len(), T::zero());
        sum.iter_mut().zip(part).for_each(|(s, x)| *s += weight * *x);
    }
    sum
}

/// Σ αₖ pₖ + γₖ qₖ of each sample, with Σ αₖ = 1 and the residual Σ αₖ Re(sₖfₖ) + γₖ Im(sₖfₖ) smallest.
fn rational<T: Scalar>(shape: &StateShape, measured: &[Measured<'_, T>]) -> Vec<T> {
    let real = shape.with_rails(1);
    let n = measured.len();
    let mut out = vec![T::zero(); real.len()];
    for sample in 0..real.batch {
        let columns: Vec<_> = (0..real.layers()).map(|layer| real.column(layer, 0, sample)).collect();
        let gather = |v: &[T]| -> DVector<f64> {
            let values: Vec<f64> =
                columns.iter().flat_map(|c| v[c.clone()].iter().map(|x| x.double())).collect();
            DVector::from_vec(values)
        };
        let p: Vec<DVector<f64>> = measured.iter().map(|m| gather(m.in_phase)).collect();
        let q: Vec<DVector<f64>> = measured.iter().map(|m| gather(m.quadrature)).collect();
        let residual = |k: usize| {
            let s = measured[k].rate;
            (&p[k] * s.re - &q[k] * s.im, &p[k] * s.im + &q[k] * s.re)
        };
        // The constraint is solved for the last α: directions pₖ − pₙ and qₖ around pₙ.
        let last = residual(n - 1);
        let mut directions = Vec::with_capacity(2 * n - 1);
        for k in 0..n {
            let (r, i) = residual(k);
            if k + 1 < n {
                directions.push((&p[k] - &p[n - 1], r - &last.0));
            }
            directions.push((q[k].clone(), i));
        }
        let mut answer = p[n - 1].clone();
        let scales: Vec<f64> = directions.iter().map(|(_, r)| r.norm()).collect();
        let used: Vec<usize> = (0..directions.len()).filter(|&i| scales[i] > 0.0).collect();
        if !used.is_empty() {
            let matrix = DMatrix::from_columns(
                &used.iter().map(|&i| &directions[i].1 / scales[i]).collect::<Vec<_>>(),
            );
            // Directions that rounding has made up are left out.
            let cut = 1e3 * T::epsilon().double();
            let svd = matrix.svd(true, true);
            let threshold = cut * svd.singular_values.max();
            if let Ok(y) = svd.solve(&-&last.0, threshold) {
                for (y, &i) in y.iter().zip(&used) {
                    answer += &directions[i].0 * (y / scales[i]);
                }
            }
        }
        let mut values = answer.iter();
        for column in columns {
            for (o, x) in out[column].iter_mut().zip(values.by_ref()) {
                *o = T::of(*x);
            }
        }
    }
    out
}

/// Weights of the estimates at T, 2T, 4T … whose sum has no error up to ω^{2n−2}: (4 G(2T) − G(T))/3 for two periods.
#[must_use]
pub fn extrapolation_weights(periods: usize) -> Vec<f64> {
    // Lagrange polynomial in ω² ∝ 4^{−k}, evaluated at ω = 0.
    let node = |k: usize| 4.0_f64.powi(-(k as i32));
    let weight =
        |j: usize| (0..periods).filter(|&i| i != j).map(|i| node(i) / (node(i) - node(j))).product::<f64>();
    (0..periods).map(weight).collect()
}

pub(super) fn norm<T: Scalar>(v: &[T]) -> f64 {
    v.iter().map(|x| x.double().powi(2)).sum::<f64>().sqrt()
}

/// |a − b| / |b|, none where b is zero.
pub(super) fn relative_difference<T: Scalar>(a: &[T], b: &[T]) -> Option<f64> {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a.double() - b.double()).powi(2)).sum();
    Some(difference.sqrt() / norm(b)).filter(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::neurons::network::Network;

    #[test]
    fn extrapolation_removes_even_powers_of_the_frequency() {
        assert_eq!(extrapolation_weights(2), vec![-1.0 / 3.0, 4.0 / 3.0]);
        let three = extrapolation_weights(3);
        for (w, exact) in three.iter().zip([1.0 / 45.0, -20.0 / 45.0, 64.0 / 45.0]) {
            assert!((w - exact).abs() < 1e-15);
        }
        let bias = |k: usize| 1.0 + 0.3 * 4f64.powi(-(k as i32)) + 0.7 * 16f64.powi(-(k as i32));
        let value: f64 = three.iter().enumerate().map(|(k, w)| w * bias(k)).sum();
        assert!((value - 1.0).abs() < 1e-14);
    }

    /// A layer of n neurons, two samples.
    fn shape(n: usize) -> StateShape {
        let model = serde_json::json!({ "name": "x", "input": 1, "activation": "tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": n }], "connections": [{ "from": "input", "to": "a" }] });
        StateShape::new(&Network::new(&serde_json::from_value(model).unwrap()).unwrap(), 2, 1)
    }

    #[test]
    fn rational_extrapolation_is_exact_for_as_many_modes_as_it_has_parameters() {
        // f(s) = Σ_j v_j/(s + λ_j): n periods resolve 2n − 1 modes, at frequencies far above the slowest.
        let shape = shape(7);
        for periods in 1..=3 {
            let modes = 2 * periods - 1;
            let rate = |j: usize, sample: usize| 0.05 * 3.0_f64.powi(j as i32) * (1.0 + sample as f64);
            let part = |i: usize, j: usize| ((i + 1) as f64 * (j as f64 + 0.7) * 1.3).sin();
            let response = |s: Complex<f64>| -> Vec<Complex<f64>> {
                (0..14).map(|e| (0..modes).map(|j| part(e % 7, j) / (s + rate(j, e / 7))).sum()).collect()
            };
            let rates: Vec<Complex<f64>> =
                (0..periods).map(|k| Complex::new(-0.01, 1.0) * 0.4 / f64::from(1 << k)).collect();
            let values: Vec<(Vec<f64>, Vec<f64>)> =
                rates.iter().map(|s| response(*s).iter().map(|z| (z.re, z.im)).unzip()).collect();
            let measured: Vec<Measured<'_, f64>> = (rates.iter().zip(&values))
                .map(|(rate, (p, q))| Measured { in_phase: p, quadrature: q, rate: *rate })
                .collect();
            let exact: Vec<f64> = response(Complex::new(0.0, 0.0)).iter().map(|z| z.re).collect();
            let error =
                |e: Extrapolation| relative_difference(&e.at_zero(&shape, &measured), &exact).unwrap();
            assert!(error(Extrapolation::Rational) < 1e-9, "{periods}: {}", error(Extrapolation::Rational));
            assert!(
                error(Extrapolation::Polynomial) > 1e-2,
                "{periods}: the drive is too fast for powers of it"
            );
            assert_eq!(Extrapolation::Auto.resolve(&measured), Extrapolation::Rational);
        }
    }
}
