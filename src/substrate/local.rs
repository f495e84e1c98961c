//! What a gradient is read from.

/// What the local read-out of one chunk of samples has measured. All real, laid out as a real state.
pub struct Local<'a, T> {
    /// δ: the response of the rates to the teaching signal, per unit of β.
    pub error_vector: &'a [T],
    /// a*: the rates of the free equilibrium.
    pub free: &'a [T],
    /// p − y (or a − y) of the free equilibrium, [outputs × samples].
    pub output_error: &'a [T],
}
