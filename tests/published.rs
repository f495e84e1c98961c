//! The published toy network of paper 1 (Fig. 2): equilibria at 24 roots of unity, and the gradient by BPTT.
//!
//! Conventions found in the published numbers (single precision, see tests/data/paper1/ORIGIN.md):
//! * point k of an equilibrium is β = |β| e^{2πik/24}, with β > 0 pulling towards the label, as here;
//! * the published gradient is +∂C/∂θ of the one sample, neither scaled nor negated;
//! * weights are stored [from, to], the transpose of ours, and the tied weight counts both of its directions.

mod common;

use common::{Problem, json, toy};
use holograd::gradient::Estimate;
use holograd::substrate::effective::Form;
use holograd::substrate::parameters::Parameters;
use serde_json::{Value, json as value};

/// What single precision leaves of a state between 0 and 1, or of a gradient below 1.
const TOLERANCE: f64 = 2e-6;
const AMPLITUDES: [&str; 4] = ["0.001", "0.01", "0.1", "0.5"];

fn published() -> Value {
    json("tests/data/paper1/fig2ac_toy_states.json")
}

/// Every number of a nested list, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn distance(ours: impl IntoIterator<Item = f64>, theirs: &[f64]) -> f64 {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn cauchy(problem: &Problem, form: Form, amplitude: &str) -> Estimate<f64> {
    let amplitude: f64 = amplitude.parse().unwrap();
    problem.estimate(form, value!({ "cauchy": { "amplitude": amplitude, "points": 24 } }))
}

#[test]
fn the_free_equilibrium_is_the_published_one() {
    let (problem, published) = (toy(), published());
    for form in [Form::Rate, Form::Potential] {
        let free = problem.estimate(form, value!("adjoint")).free;
        for amplitude in AMPLITUDES {
            for (layer, rates) in free.iter().enumerate() {
                let theirs = numbers(&published[amplitude]["free_equilibrium"][layer]);
                let off = distance(rates.iter().copied(), &theirs);
                assert!(off < TOLERANCE, "{form:?}, |beta| = {amplitude}, layer {layer}: {off:e}");
            }
        }
    }
}

#[test]
fn all_nudged_equilibria_are_the_published_ones() {
    let (problem, published) = (toy(), published());
    for form in [Form::Rate, Form::Potential] {
        for amplitude in AMPLITUDES {
            let estimate = cauchy(&problem, form, amplitude);
            assert_eq!(estimate.nudged.len(), 24);
            let mut worst = 0.0_f64;
            for (point, layers) in estimate.nudged.iter().enumerate() {
                for (layer, rates) in layers.iter().enumerate() {
                    let theirs = &published[amplitude]["equilibria"][point.to_string()][layer];
                    worst = worst.max(distance(rates.column(0).iter().copied(), &numbers(&theirs["re"])));
                    worst = worst.max(distance(rates.column(1).iter().copied(), &numbers(&theirs["im"])));
                }
            }
            println!("{form:?}, |beta| = {amplitude}: equilibria off by {worst:.1e}");
            assert!(worst < TOLERANCE, "{form:?}, |beta| = {amplitude}: {worst:e}");
        }
    }
}

/// Largest difference between a gradient and the published one.
fn off_published(gradient: &Parameters<f64>, published: &Value) -> f64 {
    let names = [
        ("fc_1", "input-h1.weight", "h1.bias"),
        ("fc_2", "h1-h2.weight", "h2.bias"),
        ("fc_3", "readout.weight", "readout.bias"),
    ];
    let mut worst = 0.0_f64;
    for (theirs, weight, bias) in names {
        // [from, to] row by row is [to, from] column by column.
        let weights = gradient.get(weight).unwrap().iter().copied();
        worst = worst.max(distance(weights, &numbers(&published[theirs]["w"])));
        let biases = gradient.get(bias).unwrap().iter().copied();
        worst = worst.max(distance(biases, &numbers(&published[theirs]["b"])));
    }
    worst
}

#[test]
fn the_gradient_is_the_published_one() {
    let (problem, published) = (toy(), published());
    let truths = [value!("adjoint"), value!({ "adjoint": { "solver": { "bptt": { "steps": 100 } } } })];
    for form in [Form::Rate, Form::Potential] {
        for truth in &truths {
            let gradient = problem.estimate(form, truth.clone()).gradient;
            for amplitude in AMPLITUDES {
                let off = off_published(&gradient, &published[amplitude]["bptt_gradient"]);
                println!("{form:?}, {truth}, |beta| = {amplitude}: {off:.1e}");
                assert!(off < TOLERANCE, "{form:?}, {truth}: {off:e}");
            }
        }
        // Cauchy's integral through the equilibria of the paper gives the same gradient.
        for amplitude in AMPLITUDES {
            let gradient = cauchy(&problem, form, amplitude).gradient;
            let off = off_published(&gradient, &published[amplitude]["bptt_gradient"]);
            println!("{form:?}, cauchy, |beta| = {amplitude}: {off:.1e}");
            // At 0.5, over half the radius of convergence, 24 points let harmonic 25 through.
            let tolerance = if amplitude == "0.5" { 3e-5 } else { TOLERANCE };
            assert!(off < tolerance, "{form:?}, cauchy, |beta| = {amplitude}: {off:e}");
        }
    }
}
