//! A layer with an activation that holograd does not ship. `cargo run --example own_activation` prints how far waiting is from the adjoint.
use holograd::gradient::{compare::compare, estimate};
use holograd::substrate::neurons::{
    activation::Holomorphic, effective::Effective, form::Form, network::Network,
};
use holograd::substrate::samples::Samples;
use num_complex::Complex;
use std::sync::Arc;

/// z/√(1 + z²): branch points at ±i.
#[derive(Debug)]
struct Algebraic;

impl Holomorphic for Algebraic {
    fn at(&self, z: Complex<f64>) -> Complex<f64> {
        z / (z * z + 1.0).sqrt()
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Network::new(&serde_json::from_str(include_str!("../models/toy.json"))?)?;
    let network = Arc::new(network.with_activation("h1", Arc::new(Algebraic))?);
    let effective = Effective::initial(&network, Form::Potential, 1);
    let samples = Samples::<f64>::of(1, &[0.4, -0.9, 0.6, 0.1, 0.8, 0.3], &[0., 1., 0., 0.]);
    let drive = r#"{ "oscillation": { "amplitude": 0.2, "period": 80.0, "richardson": 3 } }"#;
    let [waited, exact] = [drive, "adjoint"].map(|estimator| estimate(&effective, &samples, estimator));
    let error = compare(&waited?.gradient, &exact?.gradient).total.relative_error.unwrap_or(f64::INFINITY);
    println!("relative error {error:.1e}");
    if error < 1e-4 { Ok(()) } else { Err("the estimates disagree".into()) }
}

#[test]
fn the_estimates_agree() {
    main().unwrap();
}
