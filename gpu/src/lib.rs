//! Layered networks of real or complex states on a GPU: their field, their time loop with a lock-in, and the products of their derivative.
//! It knows networks as plain numbers ([`Plan`]), and nothing of where they come from.
//!
//! Kernels are WGSL, compiled for the network that they serve; wgpu runs them on Vulkan, Metal and DX12.

#![deny(missing_docs)]

mod anderson;
mod device;
mod engine;
mod error;
mod kernels;
mod krylov;
mod plan;
mod workspace;

pub use anderson::{Decision, Iterate};
pub use device::{Description, Device, devices};
pub use engine::{Course, Engine, Kicks, Load, Ran};
pub use error::{Error, Result};
pub use kernels::{ACCUMULATORS, Method, NoisyRails};
pub use krylov::{Equation, Solved};
pub use plan::{Activation, Edge, Interaction, Layer, Output, Plan, Pooling, Window};
pub use workspace::Derivative;
