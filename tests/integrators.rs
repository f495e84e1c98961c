//! Every integrator on problems with known solutions: orders, tolerances, the clock, and how much work is done.

use crate::common::{order, random, toy};
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{Integrator, IntegratorSpec, Leak, VectorField};
use holograd::simulation::teaching::{Teaching, Time, Waveform};
use holograd::substrate::Field;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use serde_json::json;

/// A leaky system with a known solution.
struct Known {
    name: &'static str,
    tau: &'static [f64],
    start: &'static [f64],
    /// τ ds/dt + s.
    target: fn(f64, &[f64], &mut [f64]),
    exact: fn(f64, &mut [f64]),
}

/// The end of every integration.
const END: f64 = 2.0;

fn library() -> [Known; 6] {
    [
        Known {
            name: "decay",
            tau: &[1.0, 0.5],
            start: &[1.0, -2.0],
            target: |_, _, g| g.fill(0.0),
            exact: |t, s| s.copy_from_slice(&[(-t).exp(), -2.0 * (-2.0 * t).exp()]),
        },
        Known {
            name: "constant target",
            tau: &[1.0, 2.0],
            start: &[0.0, 3.0],
            target: |_, _, g| g.copy_from_slice(&[0.7, -1.0]),
            exact: |t, s| s.copy_from_slice(&[0.7 * (1.0 - (-t).exp()), -1.0 + 4.0 * (-0.5 * t).exp()]),
        },
        Known {
            name: "driven",
            tau: &[1.0],
            start: &[0.0],
            // s = (cos ωt + ω sin ωt − e^{−t})/(1 + ω²) with ω = 2.
            target: |t, _, g| g[0] = (2.0 * t).cos(),
            exact: |t, s| s[0] = ((2.0 * t).cos() + 2.0 * (2.0 * t).sin() - (-t).exp()) / 5.0,
        },
        Known {
            name: "rotation",
            tau: &[1.0, 1.0],
            start: &[1.0, 0.0],
            target: |_, s, g| g.copy_from_slice(&[s[0] - 1.5 * s[1], s[1] + 1.5 * s[0]]),
            exact: |t, s| s.copy_from_slice(&[(1.5 * t).cos(), (1.5 * t).sin()]),
        },
        Known {
            name: "non-autonomous",
            tau: &[2.0],
            start: &[1.0],
            // ds/dt = −t s.
            target: |t, s, g| g[0] = s[0] - 2.0 * t * s[0],
            exact: |t, s| s[0] = (-0.5 * t * t).exp(),
        },
        Known {
            name: "logistic",
            tau: &[0.5],
            start: &[0.1],
            // ds/dt = 2 s (1 − s).
            target: |_, s, g| g[0] = s[0] + s[0] * (1.0 - s[0]),
            exact: |t, s| s[0] = 1.0 / (1.0 + 9.0 * (-2.0 * t).exp()),
        },
    ]
}

/// A known problem on a clock, counting its evaluations.
struct Clocked<'a> {
    known: &'a Known,
    step: f64,
    leak: Leak<f64>,
    evaluations: u64,
}

impl VectorField<f64> for Clocked<'_> {
    fn target(&mut self, time: Time, state: &[f64], out: &mut [f64]) {
        self.evaluations += 1;
        (self.known.target)((time.tick as f64 + time.fraction) * self.step, state, out);
    }

    fn leak(&self) -> &Leak<f64> {
        &self.leak
    }
}

/// Largest error at the end, and evaluations spent, over `ticks` steps.
fn integrate(known: &Known, spec: IntegratorSpec, ticks: u64) -> (f64, u64) {
    let step = END / ticks as f64;
    let rates: Vec<f64> = known.tau.iter().map(|tau| 1.0 / tau).collect();
    let uniform = rates.iter().all(|r| *r == rates[0]);
    let leak = if uniform { Leak::Uniform(rates[0]) } else { Leak::PerElement(rates) };
    let mut field = Clocked { known, step, leak, evaluations: 0 };
    let mut integrator: Box<dyn Integrator<f64>> = spec.build(step, &field.leak, known.start.len());
    let (mut state, mut target) = (known.start.to_vec(), vec![0.0; known.start.len()]);
    for tick in 0..ticks {
        field.target(Time::at(tick), &state, &mut target);
        integrator.step(&mut field, tick, &mut state, &mut target).unwrap();
    }
    let mut exact = vec![0.0; state.len()];
    (known.exact)(END, &mut exact);
    let error = state.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    (error, field.evaluations)
}

fn spec(value: serde_json::Value) -> IntegratorSpec {
    serde_json::from_value(value).unwrap()
}

#[test]
fn fixed_steps_converge_with_their_order() {
    let methods = [("euler", 1.0, 1), ("heun", 2.0, 2), ("rk4", 4.0, 4), ("exponential_euler", 1.0, 1)];
    for known in library() {
        for (method, expected, stages) in methods {
            let method_spec = spec(json!(method));
            let point = |ticks: u64| {
                let (error, evaluations) = integrate(&known, method_spec, ticks);
                assert_eq!(evaluations, stages * ticks, "{method} on {}", known.name);
                (END / ticks as f64, error)
            };
            if method == "exponential_euler" && ["decay", "constant target"].contains(&known.name) {
                let error = point(3).1;
                assert!(error < 1e-14, "{method} is exact on {}, up to {error:e}", known.name);
                continue;
            }
            let points = [64, 128, 256].map(point);
            let order = order(points);
            println!("{method} on {}: order {order:.2}, error {:.1e}", known.name, points[2].1);
            assert!((order - expected).abs() < 0.2, "{method} on {}: order {order}", known.name);
        }
    }
}

#[test]
fn adaptive_methods_meet_their_tolerance_with_little_work() {
    // Evaluations allowed at a tolerance of 1e-10, over eight clock steps: about twice what is needed.
    for (method, most) in [("dopri5", 1500), ("dop853", 600)] {
        for known in library() {
            for tolerance in [1e-6, 1e-8, 1e-10] {
                let method = spec(json!({ method: { "rtol": tolerance, "atol": tolerance } }));
                let (error, evaluations) = integrate(&known, method, 8);
                println!("{method:?} on {}: error {error:.1e}, {evaluations} evaluations", known.name);
                assert!(error < 20.0 * tolerance, "{method:?} on {}: {error:e}", known.name);
                assert!(evaluations < most, "{method:?} on {}: {evaluations} evaluations", known.name);
            }
        }
    }
}

#[test]
fn the_map_is_one_euler_step_of_tau() {
    for known in library().iter().filter(|k| k.tau.iter().all(|tau| *tau == 1.0)) {
        let ticks = END as u64;
        let [map, euler] = ["map", "euler"].map(|method| integrate(known, spec(json!(method)), ticks));
        assert!((map.0 - euler.0).abs() < 1e-14, "{}: {map:?}, {euler:?}", known.name);
        assert_eq!(map.1, euler.1);
    }
}

/// The state after two periods of 20 steps that begin at `tick`.
fn from_tick(tick: u64, integrator: IntegratorSpec) -> Vec<f64> {
    let problem = toy();
    let effective = problem.effective(Form::Potential);
    let mut field = Dynamics::new(&effective, &problem.samples, 2);
    field.teach(Teaching { waveform: Waveform::Circular { ticks: 20 }, amplitude: 0.3, onset: 0 });
    let len = field.shape().len();
    let stepper = integrator.build(0.5, field.leak(), len);
    let mut simulation = Simulation::new(Box::new(field), stepper, 0.5, vec![0.0; len]);
    simulation.tick = tick;
    simulation.run(40, &mut []).unwrap();
    assert_eq!(simulation.tick, tick + 40);
    simulation.trajectory.state
}

#[test]
fn time_is_an_integer_and_does_not_drift() {
    for method in ["map", "euler", "heun", "rk4", "exponential_euler", "dopri5", "dop853"] {
        let integrator = spec(json!(method));
        let early = from_tick(0, integrator);
        assert_eq!(early, from_tick(20_000_000_000_000, integrator), "{method}: 10¹² periods later");
        assert_ne!(early, from_tick(7, integrator), "{method}: another phase is another trajectory");
    }
}

#[test]
fn an_oscillation_costs_what_it_did() {
    // T = 20 τ, two periods to settle and one of record, at steps of 0.5 τ or 64 samples a period.
    let count = |method: &str| {
        let estimator = json!({ "oscillation": { "amplitude": 0.3, "period": 20.0, "integrator": method } });
        toy().estimate(Form::Potential, estimator).diagnostics.rhs_evaluations
    };
    for (method, evaluations) in
        [("euler", 120), ("exponential_euler", 120), ("heun", 240), ("rk4", 480), ("map", 60)]
    {
        assert_eq!(count(method), evaluations, "{method}");
    }
    // The last bits of a processor's arithmetic may tip a step of the error control.
    for (method, evaluations) in [("dopri5", 11_700_u64), ("dop853", 10_020)] {
        let found = count(method);
        println!("{method}: {found}");
        assert!(found.abs_diff(evaluations) * 50 <= evaluations, "{method}: {found}, not {evaluations}");
    }
}

#[test]
fn time_constants_only_rescale_the_clock() {
    // All τ twice as long, and time twice as slow: the same states at the same ticks.
    let model = |tau: f64| {
        json!({ "name": "slow", "input": 2, "activation": "tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": 3, "tau": tau }, { "name": "b", "size": 2, "tau": tau }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }] })
    };
    for method in ["euler", "heun", "rk4", "exponential_euler"] {
        let run = |tau: f64| {
            let problem = random(model(tau), 2, 7);
            let effective = problem.effective(Form::Potential);
            let field = Dynamics::new(&effective, &problem.samples, 1);
            let (len, step) = (field.shape().len(), 0.25 * tau);
            let stepper = spec(json!(method)).build(step, field.leak(), len);
            let mut simulation = Simulation::new(Box::new(field), stepper, step, vec![0.0; len]);
            simulation.run(9, &mut []).unwrap();
            simulation.trajectory.state
        };
        for (fast, slow) in run(1.0).iter().zip(run(2.0)) {
            assert!((fast - slow).abs() < 1e-14, "{method}");
        }
    }
}
