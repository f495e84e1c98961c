//! Gradients of circuits against finite differences, closed forms and each other.

mod against_spice;
mod bad;
mod learning_bias;
mod physics;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::gradient::compare::{compare, finite_differences};
use crate::gradient::equilibrium::{Phase, Settle, equilibrium, free};
use crate::gradient::{Estimate, EstimatorSpec, HarmonicBalance, Setting, estimate, estimate_batch};
use crate::numerics::rng::{Purpose, stream};
use crate::simulation::Simulation;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::model::{CircuitSpec, Learnt};
use crate::substrate::circuits::programmed::{Programmed, voltage};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use num_complex::Complex;
use rand::RngExt as _;

const DIODES: &str = include_str!("../../../../models/circuits/diodes.json");

fn circuit(text: &str) -> Arc<Circuit> {
    let spec: CircuitSpec = serde_json::from_str(text).unwrap();
    Arc::new(Circuit::new(&spec).unwrap())
}

fn samples(circuit: &Circuit, count: usize, seed: u64) -> Samples<f64> {
    let mut stream = stream(seed, Purpose::Data, 0);
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| stream.random_range(-1.0..1.0)).collect() };
    let (inputs, targets) = (draw(circuit.inputs() * count), draw(circuit.outputs() * count));
    Samples::of(count, &inputs, &targets)
}

fn cost(circuit: &Arc<Circuit>, parameters: &Parameters<f64>, samples: &Samples<f64>) -> crate::Result<f64> {
    let programmed = Programmed::new(circuit, parameters, 0)?;
    let rest = free(&Setting::quiet(&programmed), samples, &Settle::default())?;
    let shape = Substrate::<f64>::shape(&programmed, samples.count, 1);
    let mut v = vec![0.0; circuit.free.len()];
    let one = |sample: usize| {
        crate::substrate::circuits::field::gather(&shape, sample, &rest.state, &mut v);
        programmed.judged(&v, &samples.targets[sample * circuit.outputs()..][..circuit.outputs()]).0
    };
    Ok((0..samples.count).map(one).sum::<f64>() / samples.count as f64)
}

fn told(programmed: &Programmed, samples: &Samples<f64>, estimator: &Value) -> Estimate<f64> {
    let text = estimator.as_str().map_or_else(|| estimator.to_string(), str::to_owned);
    estimate(programmed, samples, &text).unwrap()
}

fn error(estimate: &Parameters<f64>, truth: &Parameters<f64>) -> f64 {
    compare(estimate, truth).total.relative_error.unwrap()
}

fn list(errors: &[f64]) -> String {
    errors.iter().map(|e| format!("{e:.1e}")).collect::<Vec<_>>().join("  ")
}

fn numeric(circuit: &Arc<Circuit>, parameters: &Parameters<f64>, samples: &Samples<f64>) -> Parameters<f64> {
    // In units of what a conductance is, so that one step suits all.
    finite_differences(parameters, 1e-7, |p| cost(circuit, p, samples)).unwrap()
}

/// The gradient from the odd harmonics up to K of ½ ΔV² of each resistor under a quasi-static real drive, every reading with an offset.
fn by_power(
    programmed: &Programmed,
    samples: &Samples<f64>,
    amplitude: f64,
    order: usize,
    offset: f64,
) -> Parameters<f64> {
    const POINTS: usize = 64;
    let circuit = programmed.circuit();
    let mut gradient = Parameters::zeros(circuit.shapes());
    let rest = free(&Setting::quiet(programmed), samples, &Settle::default()).unwrap();
    for point in 0..POINTS {
        let angle = std::f64::consts::TAU * point as f64 / POINTS as f64;
        let teaching = Teaching::constant(Complex::new(amplitude * angle.cos(), 0.0));
        let phase = Phase { teaching, ..Phase::free() };
        let start = Some((&rest.state[..], 0));
        let now =
            equilibrium(&Setting::quiet(programmed), samples, phase, &Settle::default(), start).unwrap();
        // du/dβ(0) = Σ (−1)^((k−1)/2) k c_k / b, with c_k = 2/N Σ u cos kθ.
        let weight: f64 = (1..=order)
            .step_by(2)
            .map(|k| {
                let sign = if k % 4 == 1 { 1.0 } else { -1.0 };
                sign * k as f64 * (k as f64 * angle).cos() * 2.0 / (POINTS as f64 * amplitude)
            })
            .sum();
        for (group, conductances) in circuit.resistors.iter().zip(programmed.conductances()) {
            let (index, trainable) = group.trainable.unwrap();
            for ((g, ends), conductance) in
                gradient.at_mut(index).iter_mut().zip(&group.ends).zip(conductances)
            {
                let across: f64 = voltage(ends[0], &now.state, &samples.inputs)
                    - voltage(ends[1], &now.state, &samples.inputs);
                let learnt = if trainable.by == Learnt::Logarithm { *conductance } else { 1.0 };
                *g += weight * (0.5 * across.powi(2) + offset) * learnt / circuit.output.nudging;
            }
        }
    }
    gradient
}

/// A random circuit: two stages of random size behind doubled or single inputs, every second with bidirectional amplifiers between them.
fn random_circuit(seed: u64) -> (Value, usize) {
    let mut stream = stream(seed, Purpose::Pattern, 77);
    let (h, g, o) = (stream.random_range(3..7), stream.random_range(2..6), stream.random_range(2..5));
    let amplified = seed % 2 == 1;
    let gain = stream.random_range(1.5..4.0);
    let resistors = |a: &str, b: &str| {
        json!({ "resistors": { "between": [a, b], "conductance": { "least": 2e-5, "most": 1e-4 },
            "trainable": { "range": [1e-6, 1e-3], "by": if seed.is_multiple_of(3) { "logarithm" } else { "conductance" } } } })
    };
    let diodes = |a: &str, bias: f64| {
        json!({ "diodes": { "between": [a, "ground"], "graph": "dense", "saturation_current": 1e-6, "ideality": 6,
            "bias": bias, "antiparallel": true } })
    };
    let before = if amplified { "a" } else { "h" };
    let spec = json!({
        "name": "random", "tau": 1e-6,
        "input": { "size": 3, "doubled": seed % 4 < 2 },
        "nodes": [ { "name": "h", "size": h, "capacitance": 1e-10 }, { "name": "g", "size": g, "capacitance": 2e-10 },
            { "name": "o", "size": o, "capacitance": 1e-10 } ],
        "amplifiers": if amplified { json!([{ "name": "a", "of": "h", "gain": gain }]) } else { json!([]) },
        "elements": [ resistors("input", "h"), resistors(before, "g"), resistors("g", "o"), diodes("h", 0.05), diodes("g", 0.0) ],
        "output": { "from": "o", "cost": if seed % 5 == 4 { "cross_entropy" } else { "squared_error" }, "volts": 0.3, "nudging": 1e-4 }
    });
    (spec, o)
}

fn random(seed: u64) -> (Arc<Circuit>, Programmed, Parameters<f64>, Samples<f64>) {
    let circuit = circuit(&random_circuit(seed).0.to_string());
    let parameters = circuit.initial::<f64>(seed);
    let programmed = Programmed::new(&circuit, &parameters, 0).unwrap();
    let mut samples = samples(&circuit, 2, seed);
    if circuit.output.cost == crate::substrate::circuits::model::CircuitCost::CrossEntropy {
        let outputs = circuit.outputs();
        samples.targets.iter_mut().enumerate().for_each(|(i, y)| *y = f64::from(i % outputs == 0));
    }
    (circuit, programmed, parameters, samples)
}

#[test]
fn twenty_random_circuits_have_the_gradient_of_finite_differences_and_harmonics_converge_to_it() {
    for seed in 0..20 {
        let (circuit, programmed, parameters, samples) = random(seed);
        let truth = told(&programmed, &samples, &json!("adjoint")).gradient;
        let unit = if seed.is_multiple_of(3) { 1e-3 } else { 1e-7 };
        let numeric = finite_differences(&parameters, unit, |p| cost(&circuit, p, &samples)).unwrap();
        let off = error(&numeric, &truth);
        println!("{seed:2}: adjoint against finite differences {off:.1e}");
        assert!(off < 1e-7, "{seed}: {off:e}");
        // N points leave |β|^N, harmonics up to K leave b^(K + 1): each halving of β tells the order.
        let cauchy = |amplitude: f64| {
            let cauchy = json!({ "cauchy": { "amplitude": amplitude, "points": 8 } });
            error(&told(&programmed, &samples, &cauchy).gradient, &truth)
        };
        order(&format!("{seed:2}: cauchy"), 8.0, cauchy(0.1), cauchy(0.05));
        for harmonics in [1, 3, 5] {
            let chebyshev = |amplitude: f64| {
                let drive = json!({ "drive": "cosine", "amplitude": amplitude, "harmonics": harmonics });
                error(&told(&programmed, &samples, &json!({ "harmonic_balance": drive })).gradient, &truth)
            };
            let (large, small) = (chebyshev(0.1), chebyshev(0.05));
            order(&format!("{seed:2}: real drive, K = {harmonics}"), harmonics as f64 + 1.0, large, small);
        }
    }
}

/// Checks the order of an error that one halving shows; where the smaller one is lost in the solver's tolerance, that it has fallen so far.
fn order(what: &str, expected: f64, large: f64, small: f64) {
    const TOLERANCE: f64 = 1e-9;
    let found = (large / small).log2();
    println!("{what}: {large:.1e} {small:.1e}, order {found:.2}");
    assert!(large < 1.0, "{what}: {large:e}");
    if small > TOLERANCE {
        assert!((found - expected).abs() < 0.35, "{what}: {found} for {expected}");
    } else {
        assert!(large < 1e3 * TOLERANCE, "{what}: {large:e} {small:e}");
    }
}

/// A slow drive that is integrated, at periods T, 2T and 4T, so that the error of a finite frequency is far below that of the harmonics.
#[test]
fn harmonics_of_integrated_drives_converge_to_the_gradient_in_their_order() {
    for seed in [0, 1, 4] {
        let (_, programmed, _, samples) = random(seed);
        let truth = told(&programmed, &samples, &json!("adjoint")).gradient;
        let setting = Setting { diagnose: false, ..Setting::quiet(&programmed) };
        for harmonics in [1, 3] {
            let chebyshev = |amplitude: f64| {
                let drive = json!({ "chebyshev": { "amplitude": amplitude, "harmonics": harmonics, "period": 400.0,
                    "settle_periods": 1, "periods": 1, "richardson": 3, "integrator": { "sdirk4": { "step": 4.0 } } } });
                let estimator = serde_json::from_value::<EstimatorSpec>(drive).unwrap().build();
                let estimate = estimate_batch(&*estimator, &setting, &samples, &mut Vec::new()).unwrap();
                error(&estimate.gradient, &truth)
            };
            let (large, small) = (chebyshev(0.2), chebyshev(0.1));
            order(&format!("{seed:2}: integrated, K = {harmonics}"), harmonics as f64 + 1.0, large, small);
        }
    }
}

#[test]
fn harmonic_balance_is_the_steady_state_of_the_integrated_trajectory() {
    for seed in [0, 1, 4] {
        let (circuit, programmed, _, samples) = random(seed);
        let balance = HarmonicBalance {
            period: Some(20.0),
            drive: serde_json::from_str("\"cosine\"").unwrap(),
            amplitude: 0.3,
            harmonics: 5,
            ..HarmonicBalance::default()
        };
        let steady = balance.steady_state(&Setting::quiet(&programmed), &samples).unwrap();
        let (ticks, periods) = (200, 3);
        let step = 20.0 / ticks as f64;
        let mut field = Substrate::<f64>::bind(&programmed, &samples, 1, None);
        field.teach(Teaching { waveform: Waveform::Cosine { ticks }, amplitude: 0.3, onset: 0 });
        let state = vec![0.0; field.shape().len()];
        let integrator = IntegratorSpec::Sdirk4 { step }.build(step, field.leak(), state.len());
        let mut simulation = Simulation::new(field, integrator, step, state);
        simulation.run(ticks * periods, &mut []).unwrap();
        let mut sums = vec![vec![Complex::new(0.0, 0.0); simulation.state.len()]; 4];
        for tick in 0..ticks {
            for (k, sum) in sums.iter_mut().enumerate() {
                let turn = Complex::cis(-std::f64::consts::TAU * (k as f64) * tick as f64 / ticks as f64);
                sum.iter_mut().zip(&simulation.state).for_each(|(s, v)| *s += turn * *v / ticks as f64);
            }
            simulation.run(1, &mut []).unwrap();
        }
        let complex = Substrate::<f64>::shape(&programmed, samples.count, 2);
        for (k, sum) in sums.iter().enumerate() {
            let balanced = &steady.coefficient(k as u64).unwrap().rates;
            let mut worst = 0.0_f64;
            for sample in 0..samples.count {
                let (mut a, mut b) =
                    (vec![Complex::new(0.0, 0.0); circuit.free.len()], vec![0.0; circuit.free.len()]);
                crate::substrate::circuits::field::gather(&complex, sample, balanced, &mut a);
                for part in [true, false] {
                    let rail: Vec<f64> = sum.iter().map(|z| if part { z.re } else { z.im }).collect();
                    crate::substrate::circuits::field::gather(&complex.with_rails(1), sample, &rail, &mut b);
                    let differ = a.iter().zip(&b).map(|(a, b)| (if part { a.re } else { a.im } - b).abs());
                    worst = differ.fold(worst, f64::max);
                }
            }
            println!("circuit {seed}, harmonic {k}: {worst:.1e} V");
            assert!(worst < 1e-8, "{seed}, {k}: {worst:e}");
        }
    }
}

#[test]
fn the_implicit_method_is_of_fourth_order() {
    let (_, programmed, _, samples) = random(1);
    let end = |steps: u64, integrator: fn(f64) -> IntegratorSpec| {
        let step = 2.0 / steps as f64;
        let mut field = Substrate::<f64>::bind(&programmed, &samples, 1, None);
        field.teach(Teaching { waveform: Waveform::Cosine { ticks: steps }, amplitude: 0.5, onset: 0 });
        let state = vec![0.0; field.shape().len()];
        let integrator = integrator(step).build(step, field.leak(), state.len());
        let mut simulation = Simulation::new(field, integrator, step, state);
        simulation.run(steps, &mut []).unwrap();
        simulation.state.clone()
    };
    let sdirk = |step| IntegratorSpec::Sdirk4 { step };
    let reference = end(64, |_| IntegratorSpec::Dop853 { rtol: 1e-13, atol: 1e-14, samples: 64 });
    let off = |steps| {
        let state = end(steps, sdirk);
        state.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let errors = [40, 80, 160].map(off);
    let orders = [(errors[0] / errors[1]).log2(), (errors[1] / errors[2]).log2()];
    println!("errors {}, orders {orders:.2?}", list(&errors));
    assert!((orders[1] - 4.0).abs() < 0.3, "{orders:?}");
}

#[test]
fn exact_gradients_are_read_off_finite_oscillations_of_real_voltages() {
    let circuit = circuit(DIODES);
    let parameters = circuit.initial::<f64>(1);
    let programmed = Programmed::new(&circuit, &parameters, 0).unwrap();
    let one = samples(&circuit, 1, 2);
    let truth = told(&programmed, &one, &json!("adjoint")).gradient;
    let off = error(&numeric(&circuit, &parameters, &one), &truth);
    println!("adjoint against finite differences {off:.1e}");
    assert!(off < 1e-7, "{off:e}");
    for (amplitude, most) in [(0.2, 1e-12), (0.5, 1e-8), (1.0, 1e-4)] {
        let cauchy = json!({ "cauchy": { "amplitude": amplitude, "points": 16 } });
        let off = error(&told(&programmed, &one, &cauchy).gradient, &truth);
        println!("cauchy, 16 points, |beta| = {amplitude}: {off:.1e}");
        assert!(off < most, "{amplitude}: {off:e}");
    }
    for amplitude in [0.2, 1.0] {
        let errors: Vec<f64> = [1, 3, 5, 9]
            .iter()
            .map(|k| error(&by_power(&programmed, &one, amplitude, *k, 0.0), &truth))
            .collect();
        println!("power, b = {amplitude}, K = 1, 3, 5, 9: {}", list(&errors));
        assert!(errors.windows(2).all(|pair| pair[1] < 0.3 * pair[0] || pair[1] < 1e-11), "{errors:?}");
    }
}
