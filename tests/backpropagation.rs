//! Networks without feedback: the free equilibrium is the forward pass, the adjoint plain backpropagation.

use crate::common::{Problem, random};
use holograd::gradient::{Estimate, Stop};
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::chunk;
use holograd::substrate::parameters::Parameters;
use serde_json::{Value, json};

/// Three layers, with a connection that skips one.
fn dense(activation: &str) -> Value {
    json!({ "name": "dense", "input": 5, "activation": activation,
        "layers": [{ "name": "c", "size": 3 }, { "name": "a", "size": 6, "tau": 2.0 }, { "name": "b", "size": 4 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }, { "from": "b", "to": "c" },
            { "from": "a", "to": "c" }],
        "readout": { "from": "c", "classes": 3 } })
}

fn convolutional(pools: [Value; 2], activation: &str) -> Value {
    json!({ "name": "convolutional", "input": { "shape": [8, 7, 2] }, "activation": activation,
        "layers": [{ "name": "a", "shape": [4, 3, 3] }, { "name": "b", "shape": [2, 1, 4] }, { "name": "h", "size": 5 }],
        "connections": [{ "from": "input", "to": "a", "conv": { "kernel": 3, "pool": pools[0] } },
            { "from": "a", "to": "b", "conv": { "kernel": [1, 2], "padding": "valid", "pool": pools[1] } },
            { "from": "b", "to": "h" }, { "from": "a", "to": "h", "sparse": { "fan_in": 4 } }],
        "readout": { "from": "h", "classes": 4 } })
}

fn pools() -> [Value; 4] {
    let soft =
        |temperature: f64| json!({ "softmax": { "size": 2, "stride": 2, "temperature": temperature } });
    [soft(1.0), soft(0.4), json!({ "average": { "size": 2 } }), json!({ "max": { "size": 2 } })]
}

fn problems() -> Vec<Problem> {
    let [soft, sharp, average, max] = pools();
    [
        dense("tanh"),
        dense("dsilu"),
        convolutional([soft.clone(), sharp], "dsilu"),
        convolutional([average.clone(), soft], "tanh"),
        convolutional([max, average], "dsilu"),
    ]
    .into_iter()
    .zip(1..)
    .map(|(model, seed)| random(model, 3, seed))
    .collect()
}

fn estimate(problem: &Problem, form: Form) -> Estimate<f64> {
    problem.estimate(form, json!("adjoint"))
}

fn cost(problem: &Problem, parameters: Parameters<f64>) -> f64 {
    let problem = Problem { network: problem.network.clone(), parameters, samples: problem.samples.clone() };
    let free = estimate(&problem, Form::Potential);
    let outputs = problem.network.output.size();
    let label = |sample: usize| {
        let targets = &problem.samples.targets[sample * outputs..][..outputs];
        targets.iter().position(|y| *y == 1.0).unwrap()
    };
    let costs = (0..problem.samples.count).map(|i| -(1.0 + free.output_error[(label(i), i)]).ln());
    costs.sum::<f64>() / problem.samples.count as f64
}

#[test]
fn the_adjoint_is_the_slope_of_the_feed_forward_cost() {
    for (number, problem) in problems().iter().enumerate() {
        let gradient = estimate(problem, Form::Rate).gradient;
        let mut worst: f64 = 0.0;
        for index in 0..problem.parameters.len() {
            let length = problem.parameters.at(index).len();
            let direction: Vec<f64> = (0..length).map(|i| (1.9 * (i + 5 * index) as f64).cos()).collect();
            let at = |shift: f64| {
                let mut parameters = problem.parameters.clone();
                parameters.at_mut(index).iter_mut().zip(&direction).for_each(|(p, d)| *p += shift * d);
                cost(problem, parameters)
            };
            let h = 1e-4;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let found: f64 = gradient.at(index).iter().zip(&direction).map(|(g, d)| g * d).sum();
            worst = worst.max((slope - found).abs());
        }
        println!("network {number}: {worst:e}");
        assert!(worst < 1e-9, "network {number}: {worst:e}");
    }
}

/// Backpropagation as a textbook writes it, sample by sample, with no code of the library.
#[test]
fn a_dense_network_learns_as_a_textbook_says() {
    let problem = random(dense("tanh"), 3, 7);
    let value = |name: &str| {
        let index = problem.parameters.index(name).unwrap();
        problem.parameters.at(index).to_vec()
    };
    // Weights are column-major: [to + size of to · from].
    let times = |w: &[f64], x: &[f64]| -> Vec<f64> {
        let rows = w.len() / x.len();
        (0..rows).map(|i| x.iter().enumerate().map(|(j, x)| w[i + rows * j] * x).sum()).collect()
    };
    let back = |w: &[f64], y: &[f64]| -> Vec<f64> {
        w.chunks(y.len()).map(|column| column.iter().zip(y).map(|(w, y)| w * y).sum()).collect()
    };
    let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let tanh = |u: &[f64]| -> Vec<f64> { u.iter().map(|u| u.tanh()).collect() };
    let through =
        |a: &[f64], e: &[f64]| -> Vec<f64> { a.iter().zip(e).map(|(a, e)| (1.0 - a * a) * e).collect() };
    let outer =
        |e: &[f64], x: &[f64]| -> Vec<f64> { x.iter().flat_map(|x| e.iter().map(move |e| e * x)).collect() };
    let names = ["input-a.weight", "a-b.weight", "b-c.weight", "a-c.weight", "readout.weight"];
    let [w_a, w_ab, w_bc, w_ac, r] = names.map(value);
    let [b_a, b_b, b_c, b_r] = ["a.bias", "b.bias", "c.bias", "readout.bias"].map(value);
    let found = estimate(&problem, Form::Potential);
    let mut expected: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut add = |name: &'static str, values: Vec<f64>| match expected.iter_mut().find(|(n, _)| *n == name) {
        Some((_, total)) => *total = sum(total, &values),
        None => expected.push((name, values)),
    };
    for sample in 0..3 {
        let x = &problem.samples.inputs[5 * sample..][..5];
        let y = &problem.samples.targets[3 * sample..][..3];
        let a = tanh(&sum(&times(&w_a, x), &b_a));
        let b = tanh(&sum(&times(&w_ab, &a), &b_b));
        let c = tanh(&sum(&sum(&times(&w_bc, &b), &times(&w_ac, &a)), &b_c));
        for (layer, rates) in [&c, &a, &b].into_iter().enumerate() {
            let passed = found.free[layer].column(sample);
            let off = rates.iter().zip(passed.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-14, "layer {layer}: {off:e}");
        }
        let logits = sum(&times(&r, &c), &b_r);
        let total: f64 = logits.iter().map(|l| l.exp()).sum();
        let e: Vec<f64> = logits.iter().zip(y).map(|(l, y)| (l.exp() / total - y) / 3.0).collect();
        let e_c = through(&c, &back(&r, &e));
        let e_b = through(&b, &back(&w_bc, &e_c));
        let e_a = through(&a, &sum(&back(&w_ab, &e_b), &back(&w_ac, &e_c)));
        add("readout.weight", outer(&e, &c));
        add("readout.bias", e);
        add("b-c.weight", outer(&e_c, &b));
        add("a-c.weight", outer(&e_c, &a));
        add("a-b.weight", outer(&e_b, &a));
        add("input-a.weight", outer(&e_a, x));
        add("a.bias", e_a);
        add("b.bias", e_b);
        add("c.bias", e_c);
    }
    assert_eq!(expected.len(), problem.parameters.len());
    for (name, expected) in expected {
        let gradient = found.gradient.at(found.gradient.index(name).unwrap());
        let off = gradient.iter().zip(&expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
        assert!(off < 1e-15, "{name}: {off:e}");
    }
}

/// One pass there and one back, with the values that relaxation and the Krylov solver find, too.
#[test]
fn one_pass_each_way_finds_what_waiting_does() {
    for (number, problem) in problems().iter().enumerate() {
        for form in [Form::Potential, Form::Rate] {
            let once = estimate(problem, form);
            let count = problem.samples.count;
            let chunks = count.div_ceil(chunk(problem.network.shared().is_some(), count)) as u64;
            assert_eq!(
                (once.diagnostics.rhs_evaluations, once.diagnostics.stop),
                (2 * chunks, Stop::Settled)
            );
            // Long enough to settle, and through more steps than the network is deep.
            let waited = json!({ "adjoint": { "solver": { "bptt": { "steps": 6 } },
                "settle": { "step": 1.0, "tolerance": 0.0, "max_time": 12.0 } } });
            let waited = problem.estimate(form, waited);
            assert!(waited.diagnostics.rhs_evaluations > 12);
            for index in 0..problem.parameters.len() {
                let off = once.gradient.at(index).iter().zip(waited.gradient.at(index));
                let off = off.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1e-14, "network {number}, {form:?}, parameter {index}: {off:e}");
            }
        }
    }
}
