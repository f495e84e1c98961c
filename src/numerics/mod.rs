//! Numerical methods that know nothing of networks: scalars and kernels, products, Krylov methods, acceleration, random numbers,
//! convolutions and pooling, on batches of real or complex states.

pub(crate) mod anderson;
pub mod convolution;
pub mod expression;
pub mod interpolation;
pub mod kernels;
pub(crate) mod krylov;
pub mod pages;
pub mod panels;
pub mod pooling;
pub mod rails;
pub mod rng;
pub mod scalar;
pub mod state;
