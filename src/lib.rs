//! Analog networks that learn by holomorphic equilibrium propagation.
//!
//! Neurons are leaky differential equations. A teaching signal β(t) = |β| e^{iωt} acts on the output layer and never stops.
//! The first Fourier coefficient of each neuron's activity, c₁ = |β| δ, is its error: −Re δ_to a_fromᵀ is the gradient of
//! the cost with respect to a weight, up to O((ωτ)²) and at any amplitude inside the radius of convergence.
//! `docs/equations.md` derives this, `docs/architecture.md` says where to find what.
//!
//! Build a network, drive it, read the gradient off the oscillation, and compare with the adjoint:
//!
//! ```
//! use holograd::gradient::{Adjoint, EstimatorSpec, Setting, compare::compare, estimate_batch};
//! use holograd::substrate::neurons::effective::Effective;
//! use holograd::substrate::neurons::form::Form;
//! use holograd::substrate::neurons::{model::ModelSpec, network::Network};
//! use holograd::substrate::{parameters::Parameters, samples::Samples};
//!
//! let model: ModelSpec = serde_json::from_str(
//!     r#"{ "name": "small", "input": 3, "activation": "tanh",
//!          "layers": [{ "name": "h1", "size": 5 }, { "name": "h2", "size": 4 }],
//!          "initialisation": { "truncated_normal": { "scale": 0.5 } },
//!          "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
//!          "readout": { "from": "h2", "classes": 2 } }"#,
//! )?;
//! let network = std::sync::Arc::new(Network::new(&model).map_err(|invalid| invalid.in_file("small"))?);
//! let parameters = Parameters::<f64>::initial(network.shapes(), 0);
//! let effective = Effective::new(&network, Form::Potential, &parameters);
//! let inputs = nalgebra::DMatrix::<f64>::from_column_slice(3, 2, &[0.5, -1.0, 0.2, 1.0, 0.3, -0.7]);
//! let samples = Samples::labelled(&inputs, &[0, 1], 2);
//! let setting = Setting::quiet(&effective);
//!
//! let drive = r#"{ "oscillation": { "amplitude": 0.3, "period": 100.0, "richardson": 2 } }"#;
//! let oscillation = serde_json::from_str::<EstimatorSpec>(drive)?.build();
//! let estimate = estimate_batch(&*oscillation, &setting, &samples, &mut Vec::new())?;
//! let truth = estimate_batch(&Adjoint::default(), &setting, &samples, &mut Vec::new())?;
//! let agreement = compare(&estimate.gradient, &truth.gradient);
//! println!("relative error {:.1e}", agreement.synapses.relative_error.unwrap());
//! # assert!(agreement.synapses.relative_error.unwrap() < 1e-3, "{agreement:?}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same from a file: [`experiment::load()`] and [`experiment::Loaded::run()`], into a run folder or into
//! [memory](experiment::Memory). Times and time constants are in units of the nominal
//! τ throughout; matrices are column-major, a weight is \[to × from\] and a batch \[features × samples\].
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bootstrap;
#[cfg(feature = "program")]
pub mod cli;
pub mod data;
pub mod error;
pub mod experiment;
#[cfg(feature = "program")]
mod figures;
pub mod files;
#[cfg(feature = "program")]
pub mod fit;
pub mod gradient;
pub mod host;
pub mod imperfections;
mod json;
pub mod learning;
#[cfg_attr(not(feature = "program"), expect(dead_code, reason = "figures and pages use the rest"))]
mod names;
pub mod numerics;
#[cfg(feature = "program")]
pub mod page;
#[cfg(feature = "program")]
pub mod plot;
pub mod published;
pub mod records;
pub mod simulation;
pub mod substrate;
pub mod team;
pub mod text;

pub use error::{Error, Result};
