//! Neurons by equation: gradients against differences of costs, oscillations against the closed form, and descriptions that are none.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::{Value, json};

use super::*;
use crate::gradient::compare::{compare, finite_differences};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{Adjoint, EstimatorSpec, Setting, estimate_batch};
use crate::imperfections::{Device, Imperfections};
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Layers of four and three neurons with a further property.
fn network(layer: &Value) -> Arc<Network> {
    connected(layer, &json!("tied"))
}

fn connected(layer: &Value, feedback: &Value) -> Arc<Network> {
    let sized = |name: &str, size: usize| {
        let mut all = json!({ "name": name, "size": size });
        all.as_object_mut().unwrap().extend(layer.as_object().unwrap().clone());
        all
    };
    let model = json!({
        "name": "own", "input": 3, "layers": [sized("h1", 4), sized("h2", 3)], "activation": "tanh",
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": feedback }],
        "readout": { "from": "h2", "classes": 3 } });
    let model: ModelSpec = serde_json::from_value(model).unwrap();
    Arc::new(Network::new(&model).unwrap_or_else(|e| panic!("{e:?}")))
}

fn adaptation() -> Value {
    json!({ "neuron": { "variables": ["u", "w"],
        "equations": { "u": "(-u + I - k*w)/tau_u", "w": "(tanh(u) - w)/tau_w" },
        "rate": "1/(1 + exp(-4*u + 2))", "parameters": { "k": 0.2, "tau_u": 1.0, "tau_w": 5.0 } } })
}

/// Each kind of neuron that is shipped.
fn kinds() -> Vec<(&'static str, Value)> {
    vec![
        ("adaptation", adaptation()),
        (
            "fitzhugh_nagumo",
            json!({ "neuron": { "variables": ["u", "w"],
            "equations": { "u": "u - u^3/3 - w + g*I", "w": "(u + a - b*w)/tau_w" }, "rate": "logistic(4*(u + 1))",
            "parameters": { "g": 0.06, "a": 0.7, "b": 0.8, "tau_w": 12.5 } } }),
        ),
        (
            "resonator",
            json!({ "neuron": { "variables": ["x", "v"],
            "equations": { "x": "v", "v": "omega^2*(I - x) - gamma*v" }, "rate": "logistic(4*x - 2)",
            "parameters": { "omega": 1.0, "gamma": 1.0 } } }),
        ),
        // A rate of both variables, and a current that drives both.
        (
            "mixed",
            json!({ "neuron": { "variables": ["p", "q"],
            "equations": { "p": "-p + 0.5*q + I", "q": "-2*q + 0.3*I - 0.4*p^2" }, "rate": "tanh(p - 0.5*q)" } }),
        ),
        ("synapse", json!({ "parasitics": { "synapse": 2.0 } })),
        ("both poles", json!({ "parasitics": { "synapse": 0.7, "amplifier": 0.3 }, "tau": 1.5 })),
    ]
}

fn samples() -> Samples<f64> {
    let inputs = DMatrix::from_column_slice(3, 2, &[0.5, -1.0, 0.2, 1.0, 0.3, -0.7]);
    Samples::labelled(&inputs, &[0, 2], 3)
}

fn parameters(network: &Network) -> Parameters<f64> {
    let mut parameters = Parameters::initial(network.shapes(), 5);
    // Biases start at zero, where some derivatives vanish.
    for index in 0..parameters.len() {
        parameters
            .at_mut(index)
            .iter_mut()
            .enumerate()
            .for_each(|(i, w)| *w += 0.05 * (i as f64 + 1.0).sin());
    }
    parameters
}

fn free(network: &Arc<Network>, parameters: &Parameters<f64>) -> equilibrium::Equilibrium<f64> {
    let effective = Effective::new(network, Form::Potential, parameters);
    equilibrium::free(&Setting::quiet(&effective), &samples(), &Settle::default()).unwrap()
}

#[test]
fn the_adjoint_agrees_with_differences_of_the_cost() {
    for (name, layer) in kinds() {
        let network = network(&layer);
        let parameters = parameters(&network);
        let cost = |parameters: &Parameters<f64>| -> Result<f64, ()> {
            let rest = free(&network, parameters);
            // −ln p of the labels 0 and 2.
            Ok(-0.5 * ((1.0 + rest.output_error[0]).ln() + (1.0 + rest.output_error[5]).ln()))
        };
        let differences = finite_differences(&parameters, 3e-3, cost).unwrap();
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let setting = Setting::quiet(&effective);
        let truth = estimate_batch(&Adjoint::default(), &setting, &samples(), &mut Vec::new()).unwrap();
        let error = compare(&truth.gradient, &differences).total.relative_error.unwrap();
        println!("{name}: adjoint against differences {error:.1e}");
        assert!(error < 1e-7, "{name}: {error}");
        for spec in [
            json!({ "cauchy": { "amplitude": 0.1, "points": 16 } }),
            json!({ "harmonic_balance": { "amplitude": 0.1, "period": 1e5 } }),
        ] {
            let estimator = serde_json::from_value::<EstimatorSpec>(spec.clone()).unwrap();
            estimator.validate(&network, Form::Potential, None).unwrap();
            let own = estimate_batch(&*estimator.build(), &setting, &samples(), &mut Vec::new()).unwrap();
            let error = compare(&own.gradient, &truth.gradient).total.relative_error.unwrap();
            println!("{name}: {spec} against the adjoint {error:.1e}");
            assert!(error < 1e-5, "{name}, {spec}: {error}");
        }
    }
}

#[test]
fn the_correction_of_an_asymmetry_holds_for_equations_too() {
    for (name, layer) in kinds() {
        let network = connected(&layer, &json!({ "rotated": { "angle": 60 } }));
        let parameters = parameters(&network);
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let setting = Setting::quiet(&effective);
        let truth = estimate_batch(&Adjoint::default(), &setting, &samples(), &mut Vec::new()).unwrap();
        let error = |corrected: bool, estimator: &str| {
            let mut spec = json!({ estimator: { "amplitude": 0.1, "correct_asymmetry": corrected } });
            spec[estimator][if estimator == "cauchy" { "points" } else { "period" }] =
                json!(if estimator == "cauchy" { 16 } else { 100_000 });
            let estimator = serde_json::from_value::<EstimatorSpec>(spec).unwrap();
            let own = estimate_batch(&*estimator.build(), &setting, &samples(), &mut Vec::new()).unwrap();
            compare(&own.gradient, &truth.gradient).synapses.relative_error.unwrap()
        };
        for estimator in ["cauchy", "harmonic_balance"] {
            let (with, without) = (error(true, estimator), error(false, estimator));
            println!("{name}, {estimator}: {with:.1e} corrected, {without:.1e} not");
            assert!(with < 1e-5 && without > 1e-3, "{name}, {estimator}: {with} {without}");
        }
    }
}

#[test]
fn an_oscillation_is_what_the_closed_form_says() {
    let (period, amplitude) = (20.0, 0.1);
    for (name, layer) in kinds() {
        let network = network(&layer);
        let parameters = parameters(&network);
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let setting = Setting::quiet(&effective);
        let spec = json!({ "oscillation": { "amplitude": amplitude, "period": period, "settle_periods": 30, "periods": 1,
            "integrator": { "dop853": { "rtol": 1e-12, "atol": 1e-14 } } } });
        let estimator = serde_json::from_value::<EstimatorSpec>(spec).unwrap();
        estimator.validate(&network, Form::Potential, None).unwrap();
        let seen = estimate_batch(&*estimator.build(), &setting, &samples(), &mut Vec::new()).unwrap();
        // c₁ = |β| (iωM − J)⁻¹ F_β, sample by sample, through ∂a/∂s.
        let rest = free(&network, &parameters);
        let linear = setting.substrate.linearise(&samples(), Some(&rest.drive), &rest.rates);
        let (shape, teaching) = (linear.shape().clone(), linear.teaching(&rest.output_error));
        let mut response = vec![0.0; shape.len()];
        for sample in 0..2 {
            let places: Vec<usize> =
                (0..shape.layers()).flat_map(|layer| shape.column(layer, 0, sample)).collect();
            let jacobian = linear.jacobian(sample);
            let matrix = DMatrix::from_fn(places.len(), places.len(), |i, j| {
                let own = if i == j { linear.tau()[places[i]] * std::f64::consts::TAU / period } else { 0.0 };
                Complex::new(-jacobian[(i, j)], own)
            });
            let right =
                DVector::from_iterator(places.len(), places.iter().map(|p| Complex::from(teaching[*p])));
            let solved = matrix.lu().solve(&right).unwrap();
            places.iter().zip(solved.iter()).for_each(|(place, c)| response[*place] = c.re);
        }
        let mut observed = vec![0.0; shape.len()];
        linear.observe(&response, &mut observed);
        let local = Local { error_vector: &observed, free: &rest.rates, output_error: &rest.output_error };
        let mut theory = setting.substrate.gradient(&shape, &samples(), &local);
        theory.scale(0.5);
        let error = compare(&seen.gradient, &theory).synapses.relative_error.unwrap();
        println!("{name}: oscillation against theory {error:.1e}");
        assert!(error < 1e-10, "{name}: {error}");
    }
}

#[test]
fn the_transposed_linearisation_is_the_transpose() {
    for (name, layer) in kinds() {
        let network = network(&layer);
        let parameters = parameters(&network);
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let setting = Setting::quiet(&effective);
        let rest = free(&network, &parameters);
        let linear = setting.substrate.linearise(&samples(), Some(&rest.drive), &rest.rates);
        let n = linear.shape().len();
        let vector = |k: f64| (0..n).map(|i| (k * (i as f64 + 1.0)).sin()).collect::<Vec<f64>>();
        let (x, y) = (vector(0.7), vector(1.9));
        let (mut out, mut back, mut scratch) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        linear.target(crate::numerics::scalar::Layout::Plain, &x, &mut out, &mut scratch);
        linear.target(crate::numerics::scalar::Layout::Transposed, &y, &mut back, &mut scratch);
        assert!((dot(&out, &y) - dot(&back, &x)).abs() < 1e-12, "{name}");
        linear.observe(&x, &mut out);
        linear.observe_transposed(&y, &mut back);
        assert!((dot(&out, &y) - dot(&back, &x)).abs() < 1e-12, "{name}");
        // The Jacobian against differences of the field.
        let jacobian = linear.jacobian(0);
        let shape = linear.shape();
        let places: Vec<usize> = (0..shape.layers()).flat_map(|layer| shape.column(layer, 0, 0)).collect();
        let mut field = setting.substrate.bind(&samples(), 1, None);
        let state = setting.substrate.free_state(&samples(), &rest.rates);
        for (j, place) in places.iter().enumerate() {
            let mut at = |step: f64| {
                let (mut moved, mut target) = (state.clone(), vec![0.0; n]);
                moved[*place] += step;
                field.target(crate::simulation::teaching::Time::at(0), &moved, &mut target);
                target.iter().zip(&moved).map(|(g, s)| g - s).collect::<Vec<f64>>()
            };
            let (above, below) = (at(1e-6), at(-1e-6));
            for (i, place) in places.iter().enumerate() {
                let slope = (above[*place] - below[*place]) / 2e-6;
                assert!((jacobian[(i, j)] - slope).abs() < 1e-7, "{name}: {i} {j}");
            }
        }
    }
}

#[test]
fn parasitics_leave_the_rest_and_parameters_may_differ_from_neuron_to_neuron() {
    let plain = network(&json!({}));
    let slow = network(&json!({ "parasitics": { "synapse": 2.0, "amplifier": 0.4 } }));
    let parameters = parameters(&plain);
    let (plain_rest, slow_rest) = (free(&plain, &parameters), free(&slow, &parameters));
    // Both layers come first in both: 2 samples of 4 and 3 neurons.
    for (a, b) in plain_rest.rates.iter().zip(&slow_rest.rates[..14]) {
        assert!((a - b).abs() < 1e-11);
    }
    let spec: NeuronSpec =
        serde_json::from_value(json!({ "variables": ["u"], "equations": { "u": "-u + k*I" },
        "rate": "u", "parameters": { "k": [1.0, 2.0, -3.0] } }))
        .unwrap();
    let neuron = spec.build(3).unwrap();
    let (state, current) = ([0.5; 6], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    let mut out = [0.0; 6];
    neuron.targets(|_| &state[..], &current, 1, (&mut out, |_| 0));
    assert_eq!(out, [1.0, 2.0, -3.0, 2.0, 4.0, -6.0]);
    assert_eq!(neuron.rest(1, 0.5, &[0.0]), Some(vec![1.0]));
}

/// The device of a seed with mismatch of some parameters, and the values of all parameters of h1's neurons.
fn fabricated(network: &Arc<Network>, mismatch: &Value, seed: u64) -> (Effective<f64>, Vec<Vec<f64>>) {
    let imperfections = json!({ "device_seed": seed, "fabrication": { "parameters": mismatch } });
    let imperfections: Imperfections = serde_json::from_value(imperfections).unwrap();
    imperfections.validate().and_then(|()| imperfections.suit(network)).unwrap();
    let effective =
        Device::fabricate(network, &imperfections).effective(Form::Potential, &parameters(network), 0);
    let neuron = effective.network().layers[0].equations.clone().unwrap();
    let values = neuron.parameters().values().map(|value| match value {
        NeuronParameter::Uniform(x) => vec![*x; 4],
        NeuronParameter::PerNeuron(list) => list.clone(),
    });
    let values = values.collect();
    (effective, values)
}

#[test]
fn parameters_have_a_mismatch_as_all_that_is_fabricated() {
    let network = network(&adaptation());
    let mismatch =
        json!({ "h1": { "k": { "std": 0.2 }, "tau_w": { "std": 0.3, "distribution": "log_normal" } } });
    let (effective, drawn) = fabricated(&network, &mismatch, 1);
    // k, tau_u and tau_w: all neurons differ in the first and the last.
    let [k, tau_u, tau_w] = &drawn[..] else { unreachable!() };
    assert_eq!(tau_u, &[1.0; 4]);
    let differ = |list: &[f64]| list.windows(2).all(|pair| pair[0] != pair[1]);
    assert!(differ(k) && differ(tau_w) && tau_w.iter().all(|tau| *tau > 0.0), "{drawn:?}");
    // It is keyed by seed, layer and parameter, whatever else is drawn.
    assert_eq!(fabricated(&network, &mismatch, 1).1, drawn);
    assert_ne!(fabricated(&network, &mismatch, 2).1, drawn);
    assert_eq!(fabricated(&network, &json!({ "h1": { "k": { "std": 0.2 } } }), 1).1[0], *k);
    let both = json!({ "h1": mismatch["h1"], "h2": { "k": { "std": 0.2 } } });
    let (other, same) = fabricated(&network, &both, 1);
    assert_eq!(same, drawn);
    let of_h2 = other.network().layers[1].equations.clone().unwrap();
    assert_ne!(of_h2.parameters()["k"], NeuronParameter::PerNeuron(k[..3].to_vec()));
    // The same as a model with these numbers, to the bit, in the theory too.
    let mut written = adaptation();
    written["neuron"]["parameters"]["k"] = json!(k);
    written["neuron"]["parameters"]["tau_w"] = json!(tau_w);
    let mut model = json!({
        "name": "own", "input": 3, "activation": "tanh", "layers": [{ "name": "h1", "size": 4 }, { "name": "h2", "size": 3 }],
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 3 } });
    model["layers"][0]["neuron"] = written["neuron"].clone();
    model["layers"][1]["neuron"] = adaptation()["neuron"].clone();
    let model: ModelSpec = serde_json::from_value(model).unwrap();
    let written = Arc::new(Network::new(&model).unwrap());
    let written = Effective::new(&written, Form::Potential, &parameters(&written));
    for spec in [
        json!("adjoint"),
        json!({ "harmonic_balance": { "amplitude": 0.1, "period": 20.0 } }),
        json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "integrator": { "rk4": { "step": 0.25 } } } }),
    ] {
        let estimator = serde_json::from_value::<EstimatorSpec>(spec).unwrap().build();
        let [a, b] = [&effective, &written].map(|effective| {
            estimate_batch(&*estimator, &Setting::quiet(effective), &samples(), &mut Vec::new())
                .unwrap()
                .gradient
        });
        assert_eq!(a, b);
    }
}

#[test]
fn a_mismatch_of_what_is_no_parameter_is_refused() {
    let own = network(&adaptation());
    let finding = |network: &Network, mismatch: Value| {
        let imperfections = json!({ "fabrication": { "parameters": mismatch } });
        let imperfections: Imperfections = serde_json::from_value(imperfections).unwrap();
        let error = imperfections.validate().and_then(|()| imperfections.suit(network)).unwrap_err();
        (error.path, error.legal)
    };
    let (path, legal) = finding(&own, json!({ "h3": { "k": { "std": 0.1 } } }));
    assert_eq!(path, "fabrication.parameters.h3");
    assert!(legal.ends_with("h1, h2"), "{legal}");
    let (path, legal) = finding(&own, json!({ "h1": { "tau_v": { "std": 0.1 } } }));
    assert_eq!(path, "fabrication.parameters.h1.tau_v");
    assert!(legal.contains("tau_u") && legal.contains("tau_w"), "{legal}");
    let (path, _) = finding(&own, json!({ "h1": { "k": { "std": 1.5 } } }));
    assert_eq!(path, "fabrication.parameters.h1.k");
    let (path, legal) = finding(&network(&json!({})), json!({ "h1": { "k": { "std": 0.1 } } }));
    assert_eq!(path, "fabrication.parameters.h1");
    assert!(legal.contains("neurons by equation"), "{legal}");
}

#[test]
fn steps_are_those_of_the_fastest_neuron() {
    let spec: NeuronSpec =
        serde_json::from_value(json!({ "variables": ["u"], "equations": { "u": "(I - u)/tau" },
        "rate": "u", "parameters": { "tau": [2.0, 0.25, 1.0] } }))
        .unwrap();
    assert_eq!(spec.build(3).unwrap().taus, [0.25]);
}

#[test]
fn neurons_that_are_none_are_refused_at_their_place() {
    let finding = |change: &dyn Fn(&mut Value)| {
        let mut spec = adaptation()["neuron"].clone();
        change(&mut spec);
        let spec: NeuronSpec = serde_json::from_value(spec).unwrap();
        spec.build(4).unwrap_err()
    };
    type Case<'c> = (&'c dyn Fn(&mut Value), &'c str, &'c str);
    let cases: [Case; 14] = [
        (&|s| s["variables"] = json!([]), "variables", "found 0"),
        (&|s| s["variables"] = json!(["u", "u"]), "variables[1]", "found \"u\" twice"),
        (&|s| s["variables"] = json!(["u", "I"]), "variables[1]", "found \"I\""),
        (&|s| s["variables"] = json!(["tanh", "w"]), "variables[0]", "found \"tanh\""),
        (&|s| s["variables"] = json!(["2u", "w"]), "variables[0]", "found \"2u\""),
        (&|s| s["parameters"]["u"] = json!(1.0), "parameters.u", "found \"u\" twice"),
        (&|s| s["parameters"]["pi"] = json!(3.0), "parameters.pi", "found \"pi\""),
        (&|s| s["parameters"]["k"] = json!([1.0, 2.0]), "parameters.k", "found 2 values for 4 neurons"),
        (&|s| s["equations"] = json!({ "u": "I - u" }), "equations", "found none of `w`"),
        (&|s| s["equations"]["v"] = json!("u"), "equations.v", "found an equation of \"v\""),
        (&|s| s["equations"]["u"] = json!("(I - v)/tau_u"), "equations.u", "character 6: found `v`"),
        (&|s| s["equations"]["u"] = json!("-u"), "equations", "found no current"),
        (&|s| s["rate"] = json!("tanh(I)"), "rate", "character 6: found `I`"),
        (&|s| s["rate"] = json!("0.5"), "rate", "found a constant"),
    ];
    for (change, path, found) in cases {
        let error = finding(change);
        assert_eq!((error.path.as_str(), error.found.as_str()), (path, found));
    }
    // Nothing divides by zero until it is at rest: then it has diverged.
    let network = network(
        &json!({ "neuron": { "variables": ["u"], "equations": { "u": "-u + I" }, "rate": "tanh(1/(u - u))" } }),
    );
    let parameters = parameters(&network);
    let effective = Effective::new(&network, Form::Potential, &parameters);
    let error = equilibrium::free(&Setting::quiet(&effective), &samples(), &Settle::default()).err().unwrap();
    assert!(error.is_failed_simulation(), "{error}");
}
