//! Two tasks in turn with meters that have an offset: what is left of the error, and the cycle that the conductances are driven around, as
//! Dillavou, Guzman, Liu & Durian (arXiv 2505.22887) see them in a network of self-adjusting resistors.

use std::sync::Arc;

use serde_json::json;

use super::{by_power, circuit, cost};
use crate::gradient::{EstimatorSpec, Setting, estimate_batch};
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::programmed::Programmed;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Conductances that learn by their logarithm, behind three inputs of which the last is held at 1 V.
fn resistors(offset: f64) -> Arc<Circuit> {
    let group = |a: &str, b: &str| {
        json!({ "resistors": { "between": [a, b], "conductance": { "least": 2e-5, "most": 1e-4 },
            "trainable": { "range": [1e-6, 1e-3], "by": "logarithm" } } })
    };
    circuit(
        &json!({
            "name": "two tasks", "tau": 1e-6, "input": { "size": 3 },
            "nodes": [{ "name": "h", "size": 4, "capacitance": 1e-10 }, { "name": "o", "size": 1, "capacitance": 1e-10 }],
            "elements": [group("input", "h"), group("h", "o"), group("h", "ground")],
            "output": { "from": "o", "cost": "squared_error", "nudging": 1e-4 },
            "imperfections": { "sense_offset": offset, "device_seed": 1 }
        })
        .to_string(),
    )
}

fn tasks() -> [Samples<f64>; 2] {
    [Samples::of(1, &[1.0, 0.2, 1.0], &[0.55]), Samples::of(1, &[-0.3, 0.8, 1.0], &[0.25])]
}

/// What is left after learning.
struct Left {
    /// Mean cost of both tasks over the last cycle, in V².
    error: f64,
    /// How far ln G goes from the middle of its cycle, what it drifts by in a cycle taken out.
    cycle: f64,
    /// How far it drifts in a cycle.
    drift: f64,
    /// How far the last cycle is from the one before, drift apart.
    change: f64,
}

/// Shows each task for so many updates, then the other, and so on.
fn learn(
    offset: f64,
    turn: usize,
    cycles: usize,
    gradient: &dyn Fn(&Programmed, &Samples<f64>) -> Parameters<f64>,
) -> Left {
    const RATE: f64 = 3.0;
    let circuit = resistors(offset);
    let tasks = tasks();
    let mut parameters = circuit.initial::<f64>(1);
    let mut programmed = Programmed::new(&circuit, &parameters, 0).unwrap();
    let all = |p: &Parameters<f64>| -> Vec<f64> { (0..3).flat_map(|group| p.at(group).to_vec()).collect() };
    let (mut course, mut errors) = (Vec::new(), Vec::new());
    for update in 0..2 * turn * cycles {
        let change = gradient(&programmed, &tasks[(update / turn) % 2]);
        if update >= 2 * turn * (cycles - 2) {
            course.push(all(&parameters));
        }
        if update >= 2 * turn * (cycles - 1) {
            errors.push(tasks.iter().map(|task| cost(&circuit, &parameters, task).unwrap()).sum::<f64>());
        }
        parameters.add_scaled(-RATE, &change);
        circuit.confine(&mut parameters);
        programmed.program(&parameters);
    }
    course.push(all(&parameters));
    let norm = |v: Vec<f64>| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
    // Each of the last two cycles about its middle, without its drift.
    let about = |start: usize| -> Vec<Vec<f64>> {
        let points = 2 * turn;
        let drift = less(&course[start + points], &course[start]);
        let still: Vec<Vec<f64>> = (0..points)
            .map(|k| {
                course[start + k].iter().zip(&drift).map(|(x, d)| x - d * k as f64 / points as f64).collect()
            })
            .collect();
        let middle: Vec<f64> =
            (0..drift.len()).map(|i| still.iter().map(|v| v[i]).sum::<f64>() / points as f64).collect();
        still.iter().map(|v| less(v, &middle)).collect()
    };
    let (before, last) = (about(0), about(2 * turn));
    let largest = |rows: &[Vec<f64>]| rows.iter().map(|v| norm(v.clone())).fold(0.0, f64::max);
    let between: Vec<Vec<f64>> = before.iter().zip(&last).map(|(a, b)| less(a, b)).collect();
    Left {
        error: errors.iter().sum::<f64>() / errors.len() as f64,
        cycle: largest(&last),
        drift: norm(less(&course[4 * turn], &course[2 * turn])),
        change: largest(&between),
    }
}

/// Centred differences of states at rest, read by meters with their offsets.
fn at_rest(amplitude: f64) -> impl Fn(&Programmed, &Samples<f64>) -> Parameters<f64> {
    let classic = json!({ "classic": { "amplitude": amplitude, "centred": true } });
    let estimator = serde_json::from_value::<EstimatorSpec>(classic).unwrap().build::<f64>();
    move |programmed, samples| {
        let setting = Setting { diagnose: false, ..Setting::quiet(programmed) };
        let mut gradient = estimate_batch(&*estimator, &setting, samples, &mut Vec::new()).unwrap().gradient;
        programmed.add_offsets(false, amplitude, &mut gradient);
        gradient
    }
}

#[test]
fn an_offset_drives_two_tasks_around_a_cycle_and_a_lock_in_does_not_see_it() {
    let told = |what: &str, left: &Left| {
        println!(
            "{what}: error {:.1e} V², ln G: cycle {:.1e}, drift {:.1e} a cycle, change of the cycle {:.1e}",
            left.error, left.cycle, left.drift, left.change
        );
    };
    let rest = at_rest(0.5);
    let none = learn(0.0, 10, 60, &rest);
    told("no offset, 10 updates a task", &none);
    assert!(none.error < 1e-20 && none.cycle < 1e-9, "perfect meters learn both tasks");
    let small = learn(1e-7, 10, 60, &rest);
    told("1e-7 V², 10 updates a task", &small);
    let large = learn(1e-6, 10, 60, &rest);
    told("1e-6 V², 10 updates a task", &large);
    let long = learn(1e-6, 40, 15, &rest);
    told("1e-6 V², 40 updates a task", &long);
    let strong = learn(1e-6, 10, 60, &at_rest(1.0));
    told("1e-6 V², 10 updates a task, twice the nudge", &strong);
    let near = |ratio: f64, expected: f64| (ratio / expected).ln().abs() < 0.3;
    assert!(near(large.cycle / small.cycle, 10.0), "the cycle is as large as the offset");
    assert!(near(large.error / small.error, 100.0), "the error goes with its square");
    assert!(near(long.cycle / large.cycle, 4.0), "and the cycle with the time that each task is shown");
    assert!(large.change < 0.05 * large.cycle, "it is a cycle");
    assert!(near(large.cycle / strong.cycle, 2.0), "a stronger nudge makes less of an offset");
    // The same offset on every reading of ½ΔV², under a real drive and read out by its harmonics.
    let lock_in = learn(0.0, 10, 60, &|programmed, samples| by_power(programmed, samples, 0.5, 3, 1e-6));
    told("1e-6 V² at a lock-in, 10 updates a task", &lock_in);
    assert!(lock_in.error < 1e-20, "what is at rest is not at ω");
}
