//! A network on a GPU: its field, the stretches of its time loop, and the products of its derivative.

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod present;

#[cfg(not(feature = "gpu"))]
pub(super) use absent::Slot;
#[cfg(feature = "gpu")]
pub(super) use present::Slot;

use crate::error::Invalid;
use crate::numerics::pooling::Pooling;
use crate::substrate::neurons::activation::Transfer;
use crate::substrate::neurons::interactions::Interaction;
use crate::substrate::neurons::network::Network;

/// A derivative of the field at real rates, with D = diag ρ′ and K that of the coupling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivative {
    /// K D.
    Potentials,
    /// D Kᵀ.
    Transposed,
    /// Kᵀ D.
    Corrected,
    /// D K.
    Rates,
}

/// Refuses what is not computed on GPUs.
///
/// # Errors
/// The first finding, at its place in the model.
pub(crate) fn refuse(network: &Network) -> Result<(), Invalid> {
    let refuse = |found: String, legal: &str| {
        Err(Invalid::new("device", format!("found a GPU, and {found}"), format!("{legal}, or `\"cpu\"`")))
    };
    for layer in &network.layers {
        if layer.equations.is_some() {
            let found = format!("neurons by equation or with parasitics in layer `{}`", layer.name);
            return refuse(found, "a GPU knows neurons of −u + I only");
        }
        if !matches!(layer.activation, Transfer::Shipped(_)) {
            let found = format!("an activation by expression in layer `{}`", layer.name);
            return refuse(found, "one of the built-in ones");
        }
    }
    for edge in &network.edges {
        let name = network.shapes()[edge.weight].name.trim_end_matches(".weight");
        if edge.delay > 0.0 {
            return refuse(format!("the delay of connection `{name}`"), "connections without delay");
        }
        match &*edge.interaction {
            Interaction::Dense(_) => {}
            Interaction::Sparse(_) => {
                return refuse(
                    format!("the sparse connection `{name}`"),
                    "a dense connection or a convolution",
                );
            }
            Interaction::Conv(conv) => {
                let (_, pooling, shared) = conv.parts();
                if matches!(pooling, Pooling::Max(_)) {
                    return refuse(format!("the max pooling of `{name}`"), "average or softmax pooling");
                }
                if !shared {
                    return refuse(format!("the unrolled devices of `{name}`"), "shared ones");
                }
            }
        }
    }
    Ok(())
}
