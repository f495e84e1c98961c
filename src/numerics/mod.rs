//! Numerical methods that know nothing of networks: convolutions and pooling on batches of real or complex images.

pub mod convolution;
pub mod pooling;
pub mod rails;
