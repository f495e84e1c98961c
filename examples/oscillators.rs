//! A substrate that holograd does not know: phase oscillators with an energy (an XY model), trained by the same oscillating signal.
//!
//!     τ dθ_i/dt = −∂E/∂θ_i − β ∂C/∂θ_i,   E = −Σ_{i<j} K_ij cos(θ_i − θ_j) − Σ_ik B_ik cos(θ_i − x_k) − Σ_i h_i cos θ_i
//!
//! Sine and cosine are entire, so the flow is holomorphic; what a coupling sees locally is ∂E/∂K_ij = −cos(θ_i − θ_j).
//! `cargo run --release --example oscillators` prints how far three ways to its gradient agree.

use holograd::gradient::{compare::finite_differences, estimate};
use holograd::substrate::custom::{C, Custom, Equations, shapes};
use holograd::substrate::{parameters::Parameters, samples::Samples};

const OSCILLATORS: usize = 7;
const INPUTS: usize = 3;
/// The last ones are compared with the targets, by C = ½ Σ (θ − y)² as long as nothing else is said.
const OUTPUTS: usize = 2;

struct Oscillators;

/// Every pair (i, j), i < j, with its place among the couplings.
fn pairs() -> impl Iterator<Item = (usize, usize, usize)> {
    let all = (0..OSCILLATORS).flat_map(|i| (i + 1..OSCILLATORS).map(move |j| (i, j)));
    all.enumerate().map(|(place, (i, j))| (place, i, j))
}

impl Equations for Oscillators {
    fn variables(&self) -> Vec<(String, usize)> {
        vec![("phase".into(), OSCILLATORS)]
    }

    fn parameters(&self) -> Vec<(String, usize)> {
        let coupling = OSCILLATORS * (OSCILLATORS - 1) / 2;
        vec![
            ("coupling".into(), coupling),
            ("input".into(), OSCILLATORS * INPUTS),
            ("field".into(), OSCILLATORS),
        ]
    }

    fn inputs(&self) -> usize {
        INPUTS
    }

    fn outputs(&self) -> usize {
        OUTPUTS
    }

    fn flow(&self, parameters: &[&[f64]], x: &[f64], s: &[C], out: &mut [C]) {
        let [coupling, input, field] = parameters else { return };
        for (i, o) in out.iter_mut().enumerate() {
            let clamped = (0..INPUTS).map(|k| (s[i] - x[k]).sin() * input[i * INPUTS + k]).sum::<C>();
            *o = -clamped - s[i].sin() * field[i];
        }
        for (place, i, j) in pairs() {
            let torque = (s[i] - s[j]).sin() * coupling[place];
            out[i] -= torque;
            out[j] += torque;
        }
    }

    fn local_gradient(&self, _: &[&[f64]], x: &[f64], s: &[f64], delta: &[f64], gradient: &mut [&mut [f64]]) {
        let [coupling, input, field] = gradient else { return };
        for (place, i, j) in pairs() {
            coupling[place] += (s[i] - s[j]).sin() * (delta[i] - delta[j]);
        }
        for i in 0..OSCILLATORS {
            (0..INPUTS).for_each(|k| input[i * INPUTS + k] += (s[i] - x[k]).sin() * delta[i]);
            field[i] += s[i].sin() * delta[i];
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut parameters = Parameters::<f64>::zeros(&shapes(&Oscillators));
    for index in 0..parameters.len() {
        let wave = |k: usize| 0.1 + 0.08 * (1.7 * (k + 13 * index) as f64).sin();
        parameters.at_mut(index).iter_mut().enumerate().for_each(|(k, p)| *p = wave(k));
    }
    let samples = Samples::of(2, &[0.3, -0.8, 0.5, -0.4, 0.9, 0.1], &[0.4, -0.3, 0.2, 0.6]);
    let told = |parameters: &Parameters<f64>, estimator: &str| {
        estimate(&Custom::new(Oscillators, parameters), &samples, estimator)
    };
    let adjoint = told(&parameters, "adjoint")?.gradient;
    let drive = r#"{ "oscillation": { "amplitude": 0.3, "period": 80.0, "settle_periods": 2, "richardson": 3,
        "integrator": { "rk4": { "step": 0.1 } } } }"#;
    let waited = told(&parameters, drive)?.gradient;
    let numeric = finite_differences(&parameters, 1e-3, |parameters| {
        told(parameters, "adjoint").map(|e| 0.5 * e.output_error.norm_squared() / samples.count as f64)
    })?;
    let largest = |off: &Parameters<f64>| off.iter().flat_map(|(_, v)| v).fold(0.0, |a, b| b.abs().max(a));
    let [numeric, off] = [numeric, waited].map(|mut gradient| {
        gradient.add_scaled(-1.0, &adjoint);
        largest(&gradient)
    });
    println!("adjoint against finite differences {numeric:.1e}, oscillation against the adjoint {off:.1e}");
    assert!(numeric < 1e-9 && off < 1e-5);
    Ok(())
}

#[test]
fn the_estimates_agree() {
    main().unwrap();
}
