//! Phases of frozen teaching: what a synapse sees of them, and what is said of one that does not end.

use crate::common::random;
use holograd::gradient::equilibrium::{self, Equilibrium, Phase, Settle};
use holograd::gradient::{EstimatorSpec, Setting, Stop, Surroundings, estimate_batch};
use holograd::imperfections::instant::Instant;
use holograd::imperfections::noise::{Noise, Rails};
use holograd::simulation::teaching::Teaching;
use holograd::substrate::neurons::form::Form;
use nalgebra::DMatrix;
use num_complex::Complex;
use serde_json::json;

/// The average of products is not the product of averages: what noise does to both neurons of a synapse remains.
#[test]
fn a_synapse_averages_its_products_over_the_end_of_a_phase() {
    let model = json!({ "name": "tied", "input": 3, "activation": "tanh",
        "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 3 } });
    let problem = random(model, 2, 5);
    let effective = problem.effective(Form::Rate);
    let noise = Some(Surroundings::new(
        Instant::on_state(Noise::Held { std: 0.2, shared: false, rails: Rails::Real }),
        4,
    ));
    let setting = Setting { substrate: &effective, noise, update: 0, diagnose: false };
    let quiet = json!({ "step": 1.0, "tolerance": 1e-13, "noise": false, "average": 3.0 });
    let noisy = json!({ "step": 1.0, "tolerance": 0.0, "max_time": 20.0, "average": 4.0 });
    let read = |settle: &serde_json::Value| serde_json::from_value::<Settle>(settle.clone()).unwrap();
    let beta = 0.3;
    let free = equilibrium::free(&setting, &problem.samples, &read(&quiet)).unwrap();
    let nudged = |beta: f64, tick: u64| {
        let teaching = Teaching::constant(Complex::new(beta, 0.0));
        let phase = Phase { teaching, rails: 1, correction: None, drive: None };
        equilibrium::equilibrium(&setting, &problem.samples, phase, &read(&noisy), Some((&free.state, tick)))
            .unwrap()
    };
    let plus = nudged(beta, free.tick);
    let minus = nudged(-beta, plus.tick);
    assert_eq!([free.instants.len(), plus.instants.len()], [3, 4]);
    // Layer a is [4 × 2], layer b [3 × 2] behind it.
    let layers = |rates: &[f64]| {
        (DMatrix::from_column_slice(4, 2, &rates[..8]), DMatrix::from_column_slice(3, 2, &rates[8..]))
    };
    let products = |phase: &Equilibrium<f64>| {
        let each = phase.instants.iter().map(|instant| layers(&instant.rates));
        each.map(|(a, b)| b * a.transpose()).sum::<DMatrix<f64>>() / phase.instants.len() as f64
    };
    let readout = |phase: &Equilibrium<f64>| {
        let errors = phase.instants.iter().map(|i| DMatrix::from_column_slice(3, 2, &i.output_error));
        let rates = phase.instants.iter().map(|i| layers(&i.rates).1);
        errors.zip(rates).map(|(e, b)| e * b.transpose()).sum::<DMatrix<f64>>() / phase.instants.len() as f64
    };
    let settings = |points: u64| json!({ "amplitude": beta, "per_synapse": true, "settle": quiet, "nudged": noisy, "points": points });
    let classic = |centred: bool| json!({ "classic": { "amplitude": beta, "per_synapse": true, "settle": quiet, "nudged": noisy, "centred": centred } });
    let one_sided = (products(&free) - products(&plus)) / beta;
    let centred = (products(&minus) - products(&plus)) / (2.0 * beta);
    let both = (readout(&plus) + readout(&minus)) / 2.0;
    for (estimator, coupling, output) in [
        (classic(false), &one_sided, readout(&plus)),
        (classic(true), &centred, both.clone()),
        (json!({ "cauchy": settings(1) }), &one_sided, readout(&plus)),
        (json!({ "cauchy": settings(2) }), &centred, both),
    ] {
        let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
        let estimate = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap();
        // What noise leaves of a residual is no distance from an equilibrium.
        assert_eq!(estimate.diagnostics.stop, Stop::RecordComplete, "{estimator}");
        let mean = |name: &str| {
            let index = problem.network.shapes().iter().position(|shape| shape.name == name).unwrap();
            estimate.gradient.matrix(index) * problem.samples.count as f64
        };
        let off = (mean("a-b.weight") - coupling).amax().max((mean("readout.weight") - output).amax());
        assert!(off < 1e-13, "{off:e}: {estimator}");
    }
    // Phases that noise does not act on come to rest, on a noisy substrate too.
    let still = json!({ "cauchy": { "amplitude": beta, "points": 2, "settle": quiet, "nudged": quiet } });
    for estimator in [still, json!({ "classic": { "amplitude": beta, "settle": quiet, "nudged": quiet } })] {
        let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        let estimate = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap();
        assert_eq!(estimate.diagnostics.stop, Stop::Settled);
    }
    let (a, b) = layers(&plus.rates);
    let apart = (products(&plus) - b * a.transpose()).amax();
    assert!(apart > 1e-3, "the two averages differ by {apart:e} only: this test sees nothing");
}

/// Twelve samples are simulated in two chunks; only one of them grows without bound.
#[test]
fn a_divergence_names_the_sample_by_its_place_in_the_batch() {
    let model = json!({ "name": "softplus", "input": 1, "activation": "softplus",
        "layers": [{ "name": "a", "size": 1 }, { "name": "b", "size": 1 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 2 } });
    let mut problem = random(model, 12, 1);
    for name in ["input-a.weight", "a-b.weight"] {
        let index = problem.network.shapes().iter().position(|shape| shape.name == name).unwrap();
        problem.parameters.at_mut(index).fill(2.0);
    }
    problem.samples.inputs.fill(-10.0);
    problem.samples.inputs[11] = 10.0;
    let effective = problem.effective(Form::Rate);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    for accelerate in [false, true] {
        let settle = json!({ "step": 1.0, "accelerate": accelerate });
        let estimator = json!({ "classic": { "amplitude": 0.1, "settle": settle } });
        let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        let end = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new());
        let told = end.err().unwrap().to_string();
        assert!(told.contains("sample 11"), "accelerate {accelerate}: {told}");
    }
}
