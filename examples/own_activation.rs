//! A layer with an activation that holograd does not ship. `cargo run --example own_activation` prints how far waiting is from the adjoint.
use holograd::gradient::{EstimatorSpec, Setting, compare::compare, estimate_batch};
use holograd::substrate::neurons::activation::Holomorphic;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::{parameters::Parameters, samples::Samples};
use std::sync::Arc;

/// z/√(1 + z²): branch points at ±i.
#[derive(Debug)]
struct Algebraic;

impl Holomorphic for Algebraic {
    fn at(&self, z: num_complex::Complex<f64>) -> num_complex::Complex<f64> {
        z / (z * z + 1.0).sqrt()
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Network::new(&serde_json::from_str(include_str!("../models/toy.json"))?)?;
    let network = Arc::new(network.with_activation("h1", Arc::new(Algebraic))?);
    let effective =
        Effective::new(&network, Form::Potential, &Parameters::<f64>::initial(network.shapes(), 1));
    let samples = Samples {
        inputs: vec![0.4, -0.9, 0.6, 0.1, 0.8, 0.3],
        targets: vec![0., 1., 0., 0.],
        count: 1,
        first: 0,
    };
    let gradient = |estimator: &str| -> Result<_, Box<dyn std::error::Error>> {
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
        let estimator = serde_json::from_str::<EstimatorSpec>(estimator)?.build();
        Ok(estimate_batch(&*estimator, &setting, &samples, &mut Vec::new())?.gradient)
    };
    let waited = gradient(r#"{ "oscillation": { "amplitude": 0.2, "period": 80.0, "richardson": 3 } }"#)?;
    let error = compare(&waited, &gradient("\"adjoint\"")?).total.relative_error.unwrap_or(f64::INFINITY);
    println!("relative error {error:.1e}");
    if error < 1e-4 { Ok(()) } else { Err("the estimates disagree".into()) }
}

#[test]
fn the_estimates_agree() {
    main().unwrap();
}
