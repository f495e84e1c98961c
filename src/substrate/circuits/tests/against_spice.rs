//! The same circuits in ngspice: traces, and the gradient from its voltages. Skipped where there is no ngspice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{circuit, random_circuit, samples, told};
use crate::gradient::Setting;
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{Phase, Settle, equilibrium, free};
use crate::simulation::Simulation;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::model::Learnt;
use crate::substrate::circuits::programmed::{Programmed, voltage};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::spice::{Run, simulated};
use num_complex::Complex;

/// The gradient from the odd harmonics, up to 5, of ½ ΔV² of each resistor over a period.
fn by_power(
    programmed: &Programmed,
    samples: &Samples<f64>,
    period: &[Vec<f64>],
    amplitude: f64,
) -> Parameters<f64> {
    let circuit = programmed.circuit();
    let mut gradient = Parameters::zeros(circuit.shapes());
    for (tick, v) in period.iter().enumerate() {
        let angle = std::f64::consts::TAU * tick as f64 / period.len() as f64;
        let weight: f64 = [1.0, -3.0, 5.0]
            .iter()
            .map(|k: &f64| k * (k * angle).cos() * 2.0 / (period.len() as f64 * amplitude))
            .sum();
        for (group, conductances) in circuit.resistors.iter().zip(programmed.conductances()) {
            let Some((index, trainable)) = group.trainable else { continue };
            for ((g, ends), conductance) in
                gradient.at_mut(index).iter_mut().zip(&group.ends).zip(conductances)
            {
                let across: f64 = voltage(ends[0], v, &samples.inputs) - voltage(ends[1], v, &samples.inputs);
                let scale =
                    ends.iter().find_map(|e| e.free().map(|i| circuit.weight[i] / e.gain.powi(2))).unwrap();
                let learnt = if trainable.by == Learnt::Logarithm { *conductance } else { 1.0 };
                *g += weight * 0.5 * across.powi(2) * scale * learnt / circuit.output.nudging;
            }
        }
    }
    gradient
}

fn compared(name: &str, circuit: &Arc<Circuit>, samples: &Samples<f64>) {
    const TICKS: u64 = 2000;
    let (amplitude, period, periods) = (0.3, 200.0, 2);
    let programmed = Programmed::new(circuit, &circuit.initial::<f64>(4), 0).unwrap();
    let setting = Setting::quiet(&programmed);
    let rest = free(&setting, samples, &Settle::default()).unwrap();
    let phase = Phase { teaching: Teaching::constant(Complex::new(amplitude, 0.0)), ..Phase::free() };
    let start =
        equilibrium(&setting, samples, phase, &Settle::default(), Some((&rest.state, 0))).unwrap().state;
    let tau = circuit.spec.tau;
    let step = period / TICKS as f64;
    let run = Run { amplitude, period: period * tau, periods, step: step * tau, start: start.clone() };
    let Some(traces) = simulated(&programmed.netlist(&samples.inputs, &samples.targets, &run), name) else {
        return;
    };
    let mut field = Substrate::<f64>::bind(&programmed, samples, 1, None);
    field.teach(Teaching { waveform: Waveform::Cosine { ticks: TICKS }, amplitude, onset: 0 });
    let integrator = IntegratorSpec::Sdirk4 { step }.build(step, field.leak(), start.len());
    let mut simulation = Simulation::new(field, integrator, step, start);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for tick in 0..TICKS * periods {
        ours.push(simulation.state.clone());
        let time = tick as f64 * step * tau;
        theirs.push(circuit.free.iter().map(|n| traces.at(&n.name, time).unwrap()).collect::<Vec<f64>>());
        simulation.run(1, &mut []).unwrap();
    }
    let (mut worst, mut swing) = (0.0_f64, 0.0_f64);
    for i in 0..circuit.free.len() {
        let course = || ours.iter().map(|v| v[i]);
        swing = swing.max(course().fold(f64::MIN, f64::max) - course().fold(f64::MAX, f64::min));
        worst = ours.iter().zip(&theirs).map(|(a, b)| (a[i] - b[i]).abs()).fold(worst, f64::max);
    }
    let last = TICKS as usize..;
    let [own, spice] =
        [&ours[last.clone()], &theirs[last]].map(|p| by_power(&programmed, samples, p, amplitude));
    let off = compare(&spice, &own).total.relative_error.unwrap();
    let truth = told(&programmed, samples, &json!("adjoint")).gradient;
    let exact = compare(&spice, &truth).total.relative_error.unwrap();
    println!(
        "{name}: traces within {:.1e} of a swing of {swing:.3} V, gradient within {off:.1e} of ours, {exact:.1e} of the adjoint's",
        worst / swing
    );
    assert!(worst < 2e-4 * swing, "{name}: {worst:e} of {swing}");
    assert!(off < 1e-3, "{name}: {off:e}");
}

fn small_lattice() -> Value {
    json!({
        "name": "lattice", "tau": 1e-6, "input": { "size": 2 },
        "nodes": [{ "name": "n", "size": 16, "capacitance": 1e-10 }],
        "elements": [
            { "resistors": { "between": ["n", "n"], "graph": { "lattice": { "width": 4 } },
                "conductance": { "least": 5e-5, "most": 1.5e-4 }, "trainable": { "range": [1e-6, 1e-3] } } },
            { "resistors": { "between": ["input", "n"], "graph": { "edges": [[0, 0], [1, 15]] }, "conductance": 1e-3 } },
            { "resistors": { "between": ["n", "ground"], "graph": { "edges": [[2, 0]] }, "conductance": 1e-3 } },
            { "diodes": { "between": ["n", "ground"], "graph": "dense", "saturation_current": 1e-6, "ideality": 4, "antiparallel": true } },
        ],
        "output": { "from": "n[7]", "cost": "squared_error", "nudging": 1e-4 }
    })
}

#[test]
fn ngspice_shows_the_same_voltages_and_the_same_gradient() {
    // Number 0 has doubled inputs, 1 amplifiers as well, 2 single inputs, 4 a cost of cross-entropy.
    let random = |seed: u64| circuit(&random_circuit(seed).0.to_string());
    let all = [
        ("diodes", circuit(super::DIODES)),
        ("doubled inputs", random(0)),
        ("amplifiers", random(1)),
        ("lattice", circuit(&small_lattice().to_string())),
        ("cross-entropy", random(4)),
    ];
    for (name, circuit) in all {
        let mut one = samples(&circuit, 1, 9);
        if name == "cross-entropy" {
            let outputs = circuit.outputs();
            one.targets = (0..outputs).map(|k| f64::from(k == 0)).collect();
        }
        compared(name, &circuit, &one);
    }
}
