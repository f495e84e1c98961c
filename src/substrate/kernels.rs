//! Elementwise kernels.
/// stub
pub trait Elementary {}
impl Elementary for f32 {}
impl Elementary for f64 {}
