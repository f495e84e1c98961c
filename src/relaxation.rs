//! The slowest relaxation rate: the clock that every finite-frequency estimate has to respect.

use crate::krylov::ritz_values;
use crate::scalar::Scalar;
use crate::substrate::linear::Linearised;
use crate::substrate::network::Network;

/// Products with J per sample: enough for two digits of the slowest rate on networks of hundreds of neurons.
const PRODUCTS: usize = 60;

/// The slowest relaxation rate −max Re λ(τ⁻¹J) over the samples, in 1/τ; negative where the equilibrium is unstable.
///
/// Arnoldi on the Jacobian, matrix-free; exact for networks of up to 60 neurons.
#[must_use]
pub fn slowest_rate<T: Scalar>(linearised: &Linearised<'_, T>, network: &Network) -> f64 {
    let shape = linearised.shape();
    let mut scratch = vec![T::zero(); shape.len()];
    let taus: Vec<&[f64]> =
        (0..network.layers.len()).map(|layer| linearised.effective().tau(layer)).collect();
    let apply = |v: &[T], out: &mut [T]| {
        linearised.couple(v, out, &mut scratch);
        for (layer, tau) in taus.iter().enumerate() {
            let range = shape.layer(layer);
            for (o, (v, tau)) in out[range.clone()].iter_mut().zip(v[range].iter().zip(tau.iter().cycle())) {
                *o = (*o - *v) / T::of(*tau);
            }
        }
    };
    let values = ritz_values(shape, apply, PRODUCTS);
    -values.iter().flatten().map(|z| z.re).fold(f64::NEG_INFINITY, f64::max)
}
