//! Noise, energy, and what a lattice takes.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{circuit, samples, told};
use crate::experiment::{Instance, library, load};
use crate::gradient::Setting;
use crate::gradient::equilibrium::{Settle, free};
use crate::simulation::Simulation;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::energy::metered;
use crate::substrate::circuits::model::{BOLTZMANN, CircuitSpec};
use crate::substrate::circuits::programmed::{NoiseSeed, Programmed};
use crate::substrate::samples::Samples;

/// An RC node, G to ground in two resistors.
fn rc() -> Arc<Circuit> {
    circuit(
        &json!({
            "name": "rc", "tau": 1e-6, "temperature": 300, "input": { "size": 1 },
            "nodes": [{ "name": "n", "size": 1, "capacitance": 1e-12 }],
            "elements": [
                { "resistors": { "between": ["n", "ground"], "conductance": 4e-7 } },
                { "resistors": { "between": ["input", "n"], "conductance": 6e-7 } },
            ],
            "output": { "from": "n", "cost": "squared_error", "nudging": 1e-6 },
            "imperfections": { "johnson_noise": true }
        })
        .to_string(),
    )
}

#[test]
fn the_voltage_noise_of_an_rc_node_is_kt_over_c() {
    let circuit = rc();
    let mut programmed = Programmed::new(&circuit, &circuit.initial::<f64>(0), 0).unwrap();
    programmed.set_noise(Some(NoiseSeed { seed: 3, update: 0 }));
    // C/G is one unit of time.
    let copies = 400;
    let samples = Samples::of(copies, &vec![0.0; copies], &vec![0.0; copies]);
    let expected = BOLTZMANN * 300.0 / 1e-12;
    for step in [0.05, 0.1, 0.2] {
        let field = Substrate::<f64>::bind(&programmed, &samples, 1, None);
        let integrator = IntegratorSpec::Rk4 { step }.build(step, field.leak(), copies);
        let mut simulation = Simulation::new(field, integrator, step, vec![0.0; copies]);
        let apart = (3.0 / step) as u64;
        simulation.run(4 * apart, &mut []).unwrap();
        let (mut squares, mut count) = (0.0, 0);
        for _ in 0..25 {
            simulation.run(apart, &mut []).unwrap();
            squares += simulation.state.iter().map(|v| v * v).sum::<f64>();
            count += copies;
        }
        let measured = squares / f64::from(count as u32);
        // Noise that is held through a step has tanh(x)/x of white noise's variance, x = h/2τ.
        let x: f64 = step / 2.0;
        let held = expected * x.tanh() / x;
        let interval = 3.0 * (2.0 / f64::from(count as u32)).sqrt() * 1.06;
        println!(
            "h = {step} RC: {:.4} kT/C, held noise {:.4}, interval {interval:.4}",
            measured / expected,
            held / expected
        );
        assert!(
            (measured / expected - 1.0).abs() < interval + (1.0 - held / expected),
            "{step}: {measured:e}"
        );
        assert!((measured / held - 1.0).abs() < interval, "{step}: {measured:e} {held:e}");
    }
}

#[test]
fn the_energy_balance_of_every_shipped_circuit_closes() {
    let shipped = library::experiments();
    let mut seen = Vec::new();
    for name in shipped.iter().filter(|name| name.starts_with("circuits/")) {
        let Instance::Circuit(circuit) = load(name, &[]).unwrap().instance else { continue };
        if seen.contains(&circuit.spec.name) {
            continue;
        }
        seen.push(circuit.spec.name.clone());
        let programmed = Programmed::new(&circuit, &circuit.initial::<f64>(0), 0).unwrap();
        let mut samples = samples(&circuit, 1, 5);
        let outputs = circuit.outputs();
        samples.targets.iter_mut().enumerate().for_each(|(i, y)| *y = f64::from(i % outputs == 0));
        // The fastest of the time constants, so that the transient is resolved.
        let rest = free(&Setting::quiet(&programmed), &samples, &Settle::default()).unwrap();
        let rate = crate::substrate::Substrate::<f64>::linearise(&programmed, &samples, None, &rest.rates);
        let fastest = (0..circuit.free.len())
            .map(|i| -rate.jacobian(0)[(i, i)] / programmed.tau()[i])
            .fold(0.0, f64::max);
        let step = 0.02 / fastest;
        let ticks = if circuit.free.len() > 100 { 40 } else { 2000 };
        let teaching = Teaching { waveform: Waveform::Cosine { ticks }, amplitude: 0.5, onset: 0 };
        let how = (IntegratorSpec::Sdirk4 { step }, step);
        let budget = metered(&programmed, &samples, teaching, how, ticks, None).unwrap();
        println!(
            "{}: {:.3e} J supplied, {:.3e} J dissipated, {:.3e} J stored, open {:.1e}",
            circuit.spec.name,
            budget.supplied + budget.nudge,
            budget.dissipated(),
            budget.stored,
            budget.imbalance()
        );
        assert!(budget.stored > 0.0 && budget.imbalance() < 1e-6, "{name}: {budget:?}");
    }
    assert!(seen.len() >= 2, "{seen:?}");
}

#[test]
fn impedance_changes_power_and_nothing_else() {
    let mut spec: CircuitSpec = serde_json::from_str(super::DIODES).unwrap();
    let solved = |spec: &CircuitSpec| {
        let circuit = Arc::new(Circuit::new(spec).unwrap());
        let programmed = Programmed::new(&circuit, &circuit.initial::<f64>(2), 0).unwrap();
        let samples = samples(&circuit, 1, 5);
        let rest = free(&Setting::quiet(&programmed), &samples, &Settle::default()).unwrap();
        let power = programmed.power(&rest.state, &samples.inputs, &samples.targets, 0.0);
        let gradient = told(&programmed, &samples, &json!("adjoint")).gradient;
        (rest.state, programmed.tau().to_vec(), power.dissipated(), gradient.norm())
    };
    let (state, tau, power, gradient) = solved(&spec);
    spec.impedance = 1000.0;
    let (high, high_tau, high_power, high_gradient) = solved(&spec);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b.abs().max(1e-9), "{a:e} {b:e}");
    state.iter().zip(&high).for_each(|(a, b)| close(*a, *b));
    tau.iter().zip(&high_tau).for_each(|(a, b)| close(*a, *b));
    close(power, 1000.0 * high_power);
    // Of the same cost by conductances that are a thousandth.
    close(1000.0 * gradient, high_gradient);
}

fn lattice(side: usize) -> Arc<Circuit> {
    let last = side * side - 1;
    let spec: CircuitSpec = serde_json::from_value(json!({
        "name": "lattice", "tau": 1e-6, "input": { "size": 2 },
        "nodes": [{ "name": "n", "size": side * side, "capacitance": 1e-10 }],
        "elements": [
            { "resistors": { "between": ["n", "n"], "graph": { "lattice": { "width": side } },
                "conductance": { "least": 5e-5, "most": 1.5e-4 }, "trainable": { "range": [1e-6, 1e-3] } } },
            { "resistors": { "between": ["input", "n"], "graph": { "edges": [[0, 0], [1, last]] }, "conductance": 1e-3 } },
            { "resistors": { "between": ["n", "ground"], "graph": { "edges": [[side / 2, 0]] }, "conductance": 1e-3 } },
            { "diodes": { "between": ["n", "ground"], "graph": "dense", "saturation_current": 1e-8, "ideality": 2, "antiparallel": true } },
        ],
        "output": { "from": format!("n[{}]", last / 2), "cost": "squared_error", "nudging": 1e-4 }
    }))
    .unwrap();
    Arc::new(Circuit::new(&spec).unwrap())
}

#[test]
fn a_lattice_of_a_thousand_nodes_is_solved_by_sparse_factors() {
    let mut points = Vec::new();
    for side in [10, 16, 23, 32] {
        let circuit = lattice(side);
        let programmed = Programmed::new(&circuit, &circuit.initial::<f64>(0), 0).unwrap();
        let samples = Samples::of(1, &[0.8, -0.5], &[0.1]);
        let start = Instant::now();
        let setting = Setting { diagnose: false, ..Setting::quiet(&programmed) };
        let estimator = "adjoint".parse::<crate::gradient::EstimatorSpec>().unwrap().build();
        let estimate =
            crate::gradient::estimate_batch(&*estimator, &setting, &samples, &mut Vec::new()).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{} nodes: {seconds:.4} s for a gradient, {} Newton iterations",
            side * side,
            estimate.diagnostics.rhs_evaluations
        );
        points.push((f64::from(side as u32).powi(2).ln(), seconds.ln()));
        assert!(estimate.diagnostics.settling_residual < 1e-9);
        assert!(estimate.gradient.norm() > 0.0);
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    println!("exponent of the cost against nodes {:.2}", (last.1 - first.1) / (last.0 - first.0));
    // A gradient of the largest is that of finite differences, in some of its resistors.
    let circuit = lattice(32);
    let parameters = circuit.initial::<f64>(0);
    let samples = Samples::of(1, &[0.8, -0.5], &[0.1]);
    let truth =
        told(&Programmed::new(&circuit, &parameters, 0).unwrap(), &samples, &json!("adjoint")).gradient;
    for element in [0, 700, 1500] {
        let at = |step: f64| {
            let mut moved = parameters.clone();
            moved.at_mut(0)[element] += step;
            super::cost(&circuit, &moved, &samples).unwrap()
        };
        let numeric = (at(1e-7) - at(-1e-7)) / 2e-7;
        let exact = truth.at(0)[element];
        println!("resistor {element}: {numeric:.6e} {exact:.6e}");
        assert!(
            (numeric - exact).abs() < 1e-4 * exact.abs() + 1e-7 * truth.norm(),
            "{element}: {numeric:e} {exact:e}"
        );
    }
}
