//! What can be seen of a substrate from outside.

use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;

/// What an observer sees of the substrate at one tick.
pub struct View<'a, T: Scalar> {
    /// Layout of `state` and `rates`.
    pub shape: &'a StateShape,
    /// The integrated variable.
    pub state: &'a [T],
    /// The rates ρ(u).
    pub rates: &'a [T],
    /// p − y, or a − y: [outputs × rails·batch].
    pub output_error: &'a [T],
}
