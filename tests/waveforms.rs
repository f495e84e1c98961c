//! Inputs that change in time: against closed forms of linear networks, the theory of noise, and as experiments take them.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use crate::common::{Problem, order, random, toy};
use holograd::imperfections::Imperfections;
use holograd::imperfections::instant::Disturbances;
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{IntegratorSpec, VectorField};
use holograd::simulation::signal::Signal;
use holograd::simulation::teaching::Time;
use holograd::substrate::custom::{C, Custom, Equations, shapes};
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use holograd::substrate::{Field, Substrate};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::{Value, json};

/// A signal, an integrator and the length of its step.
struct Course {
    waveform: Value,
    integrator: IntegratorSpec,
    step: f64,
}

fn course(waveform: Value, integrator: &str, step: f64) -> Course {
    Course { waveform, integrator: serde_json::from_value(json!(integrator)).unwrap(), step }
}

impl Course {
    fn signal(&self, inputs: usize) -> Signal<f64> {
        Signal::new(&serde_json::from_value(self.waveform.clone()).unwrap(), inputs, self.step)
    }

    /// The state at every tick of a run from rest.
    fn run<'a>(&self, mut field: Box<dyn Field<'a, f64> + 'a>, ticks: u64) -> Vec<Vec<f64>> {
        let inputs = field.substrate().inputs();
        field.vary_inputs(self.signal(inputs));
        let len = field.shape().len();
        let stepper = self.integrator.build(self.step, field.leak(), len);
        let mut simulation = Simulation::new(field, stepper, self.step, vec![0.0; len]);
        let mut states = vec![simulation.state.clone()];
        for _ in 0..ticks {
            simulation.run(1, &mut []).unwrap();
            states.push(simulation.state.clone());
        }
        states
    }

    fn of(&self, problem: &Problem, form: Form, ticks: u64) -> Vec<Vec<f64>> {
        let effective = problem.effective(form);
        self.run(Box::new(Dynamics::new(&effective, &problem.samples, 1)), ticks)
    }
}

/// A network of identity activations: two layers with a loop and two time constants.
fn linear() -> Problem {
    let model = json!({ "name": "linear", "input": 3, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 3 }, { "name": "b", "size": 2, "tau": 0.5 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }] });
    let mut problem = random(model, 1, 5);
    for index in 0..problem.parameters.len() {
        let wave = |k: usize| 0.35 * (1.3 * (k + 5 * index + 1) as f64).sin();
        problem.parameters.at_mut(index).iter_mut().enumerate().for_each(|(k, w)| *w = wave(k));
    }
    problem
}

/// Two neurons, each with an input and a time constant of its own, and no loop; two samples.
fn alone() -> Problem {
    let model = json!({ "name": "alone", "input": 2, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 2, "tau": [1.0, 0.4], "bias": false }],
        "connections": [{ "from": "input", "to": "a" }] });
    let mut problem = random(model, 2, 1);
    problem.parameters.at_mut(0).copy_from_slice(&[1.0, 0.0, 0.0, 1.0]);
    problem
}

#[test]
fn a_linear_network_answers_a_sinusoid_as_its_transfer_function_says() {
    let problem = linear();
    let matrices: BTreeMap<String, DMatrix<f64>> =
        problem.parameters.matrices().map(|(name, w)| (name.to_owned(), w.clone())).collect();
    let (into, between) = (&matrices["input-a.weight"], &matrices["a-b.weight"]);
    let (amplitudes, phases, period) = ([0.7, -1.2, 0.4], [0.3, 0.0, -1.1], 8.0);
    let omega = TAU / period;
    // iΩτ + 1 − K, with K symmetric.
    let taus = [1.0, 1.0, 1.0, 0.5, 0.5];
    let matrix = DMatrix::from_fn(5, 5, |i, j| match (i, j) {
        _ if i == j => Complex::new(1.0, omega * taus[i]),
        (0..3, 3..) => Complex::from(-between[(j - 3, i)]),
        (3.., 0..3) => Complex::from(-between[(i - 3, j)]),
        _ => Complex::from(0.0),
    });
    let current = DVector::from_fn(5, |i, _| {
        let one = |k: usize| Complex::from_polar(amplitudes[k], phases[k]) * into[(i, k)];
        if i < 3 { (0..3).map(one).sum() } else { Complex::from(0.0) }
    });
    let expected = matrix.lu().solve(&current).unwrap();
    let sinusoid = json!({ "sinusoid": { "amplitude": amplitudes, "period": period, "phase": phases } });
    for form in [Form::Potential, Form::Rate] {
        for (integrator, step) in [("rk4", 0.05), ("dopri5", 0.5)] {
            let per_period = (period / step).round() as usize;
            let states =
                course(sinusoid.clone(), integrator, step).of(&problem, form, 11 * per_period as u64);
            let last = &states[10 * per_period..11 * per_period];
            for i in 0..5 {
                // The amplitude of sin Ωt: its Fourier coefficient is −i/2.
                let part = |(k, state): (usize, &Vec<f64>)| {
                    Complex::cis(-TAU * k as f64 / per_period as f64) * state[i]
                };
                let found = last.iter().enumerate().map(part).sum::<Complex<f64>>() * Complex::new(0.0, 2.0)
                    / per_period as f64;
                let off = (found - expected[i]).norm() / expected[i].norm();
                println!("{form:?}, {integrator}, neuron {i}: {found:.6}, off by {off:.1e}");
                assert!(off < 1e-6, "{form:?}, {integrator}: {found}, not {}", expected[i]);
            }
        }
    }
}

/// u after a time of straight input x + slope · t.
fn relaxed(u: f64, (x, slope): (f64, f64), tau: f64, time: f64) -> f64 {
    let lag = |t: f64| x + slope * (t - tau);
    lag(time) + (u - lag(0.0)) * (-time / tau).exp()
}

#[test]
fn a_table_makes_a_piecewise_exact_course() {
    let problem = alone();
    let rows = [[0.5, -1.0], [-0.3, 0.8], [2.0, 0.1], [0.0, 0.4]];
    let (distance, taus) = (1.5_f64, [1.0, 0.4]);
    for (interpolation, repeat, integrator, step, bound) in [
        ("hold", false, "exponential_euler", 0.25, 1e-13),
        ("hold", true, "exponential_euler", 0.5, 1e-13),
        ("hold", true, "rk4", 0.025, 1e-6),
        ("hold", false, "dopri5", 0.25, 1e-8),
        ("linear", false, "rk4", 0.025, 1e-6),
        ("linear", true, "rk4", 0.025, 1e-6),
        ("linear", true, "dopri5", 0.3, 1e-8),
    ] {
        let table =
            json!({ "values": rows, "step": distance, "interpolation": interpolation, "repeat": repeat });
        let per_row = (distance / step).round() as usize;
        let states = course(json!({ "table": table }), integrator, step).of(
            &problem,
            Form::Potential,
            6 * per_row as u64,
        );
        let mut worst = 0.0_f64;
        for (sample, neuron) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let still = problem.samples.inputs[2 * sample + neuron];
            let mut u = 0.0;
            for k in 0..6 {
                let row = |k: usize| rows[if repeat { k % 4 } else { k.min(3) }][neuron];
                let slope = if interpolation == "linear" { (row(k + 1) - row(k)) / distance } else { 0.0 };
                u = relaxed(u, (still + row(k), slope), taus[neuron], distance);
                worst = worst.max((states[(k + 1) * per_row][2 * sample + neuron] - u).abs());
            }
        }
        println!("{interpolation}, repeated {repeat}, {integrator}: off by {worst:.1e}");
        assert!(worst < bound, "{interpolation}, {repeat}, {integrator}: {worst:e}");
    }
}

/// τ du/dt = −u + x with x of variance σ² and correlation time T: the variance of u is σ² T/(T + τ), with x it correlates alike.
#[test]
fn noise_leaves_a_leaky_neuron_with_the_variance_of_theory() {
    const NEURONS: usize = 250;
    let model = json!({ "name": "leaky", "input": NEURONS, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": NEURONS, "bias": false }], "connections": [{ "from": "input", "to": "a" }] });
    let mut problem = random(model, 1, 1);
    problem.samples.inputs.fill(0.0);
    let diagonal = |k: usize| if k.is_multiple_of(NEURONS + 1) { 1.0 } else { 0.0 };
    problem.parameters.at_mut(0).iter_mut().enumerate().for_each(|(k, w)| *w = diagonal(k));
    let (std, time) = (0.5, 2.0);
    let noise = json!({ "noise": { "std": std, "correlation_time": time, "seed": 3 } });
    let course = course(noise, "exponential_euler", 0.1);
    let (apart, count) = (150, 40);
    let states = course.of(&problem, Form::Potential, apart * count);
    let seen: Vec<f64> =
        states.iter().skip(apart as usize).step_by(apart as usize).flatten().copied().collect();
    let mean_square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let (found, expected) = (mean_square(&seen), std * std * time / (time + 1.0));
    // Values 15 τ apart are independent: 5 correlation times and more.
    let error = expected * (2.0 / seen.len() as f64).sqrt();
    println!("variance {found:.5} of {} values, theory {expected:.5} +- {error:.5}", seen.len());
    assert!((found - expected).abs() < 4.0 * error, "{found}, not {expected} +- {error}");
    // Nothing at the start, where the neurons are at rest.
    assert!(mean_square(&states[1]) < 0.02 * expected);
}

#[test]
fn integrators_keep_their_order_under_a_sinusoid() {
    let problem = toy();
    let end = 12.0;
    let last = |integrator: &str, ticks: u64| {
        let sinusoid = json!({ "sinusoid": { "amplitude": 0.8, "period": 5.0, "phase": 0.4 } });
        course(sinusoid, integrator, end / ticks as f64).of(&problem, Form::Potential, ticks).pop().unwrap()
    };
    let exact = last("rk4", 4000);
    for (integrator, expected) in [("euler", 1.0), ("heun", 2.0), ("rk4", 4.0), ("exponential_euler", 1.0)] {
        let points = [60, 120, 240].map(|ticks| {
            let off =
                last(integrator, ticks).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            (end / ticks as f64, off)
        });
        let found = order(points);
        println!("{integrator}: order {found:.2}, error {:.1e}", points[2].1);
        assert!((found - expected).abs() < 0.2, "{integrator}: order {found}");
    }
}

/// Noise of reading the synapses has the size of what they carry at the moment.
#[test]
fn noise_of_synapses_grows_with_the_inputs_of_the_moment() {
    const NEURONS: usize = 4000;
    let model = json!({ "name": "read", "input": 2, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": NEURONS, "bias": false }], "connections": [{ "from": "input", "to": "a" }] });
    let mut problem = random(model, 1, 1);
    problem.samples.inputs.copy_from_slice(&[1.0, 5.0]);
    problem.parameters.at_mut(0).fill(0.0);
    let noise = json!({ "synapse_noise": { "held": { "std": 0.1 } } });
    let instant = serde_json::from_value::<Imperfections>(noise).unwrap().instant().unwrap();
    let effective = problem.effective(Form::Potential);
    // (1, 5) + (2, −1) is 5 long.
    let course = course(json!({ "table": { "values": [[2.0, -1.0]], "step": 1.0 } }), "map", 1.0);
    for first in [true, false] {
        let mut field = Dynamics::new(&effective, &problem.samples, 1);
        let hold = |field: &mut Dynamics<'_, f64>| {
            let noise = Disturbances::new(&instant, 1, 0, &field.shape().clone(), 2, 0);
            field.hold_noise(noise, &problem.samples.inputs).unwrap();
        };
        if first {
            hold(&mut field);
            field.vary_inputs(course.signal(2));
        } else {
            field.vary_inputs(course.signal(2));
            hold(&mut field);
        }
        field.begin_step(0);
        let mut u = vec![0.0; NEURONS];
        field.target(Time::at(0), &vec![0.0; NEURONS], &mut u);
        let (found, expected) = (u.iter().map(|u| u * u).sum::<f64>() / NEURONS as f64, 0.25);
        assert!(
            (found / expected - 1.0).abs() < 4.0 * (2.0 / NEURONS as f64).sqrt(),
            "{found}, not {expected}"
        );
    }
}

/// Noise of the inputs is added to inputs that change.
#[test]
fn noise_of_inputs_comes_on_top() {
    let problem = alone();
    let noise = json!({ "input_noise": { "held": { "std": 0.3 } } });
    let instant = serde_json::from_value::<Imperfections>(noise).unwrap().instant().unwrap();
    let effective = problem.effective(Form::Potential);
    let target = |moving: bool, noisy: bool, tick: u64| {
        let mut field = Dynamics::new(&effective, &problem.samples, 1);
        if noisy {
            let noise = Disturbances::new(&instant, 1, 0, &field.shape().clone(), 2, 0);
            field.hold_noise(noise, &problem.samples.inputs).unwrap();
        }
        let course = course(json!({ "table": { "values": [[2.0, -1.0]], "step": 1.0 } }), "map", 1.0);
        if moving {
            field.vary_inputs(course.signal(2));
        }
        let mut u = vec![0.0; 4];
        for tick in 0..=tick {
            field.begin_step(tick);
            field.target(Time::at(tick), &[0.0; 4], &mut u);
        }
        u
    };
    for tick in [0, 3] {
        let [still, moved, noisy, both] =
            [(false, false), (true, false), (false, true), (true, true)].map(|(m, n)| target(m, n, tick));
        for i in 0..4 {
            assert!((moved[i] - still[i] - [2.0, -1.0][i % 2]).abs() < 1e-14);
            assert!((noisy[i] - still[i]).abs() > 1e-3);
            assert!((both[i] - moved[i] - (noisy[i] - still[i])).abs() < 1e-14);
        }
    }
}

/// A state that follows a large input has not diverged.
#[test]
fn large_signals_are_no_divergence() {
    let sinusoid = json!({ "sinusoid": { "amplitude": 3e7, "period": 20.0 } });
    let states = course(sinusoid, "rk4", 0.1).of(&alone(), Form::Potential, 100);
    assert!(states.iter().flatten().any(|u| *u > 1e7));
}

/// Two variables that follow their inputs through a nonlinearity of the program's user.
struct Followers;

impl Equations for Followers {
    fn variables(&self) -> Vec<(String, usize)> {
        vec![("u".into(), 2)]
    }

    fn parameters(&self) -> Vec<(String, usize)> {
        vec![("gain".into(), 2)]
    }

    fn inputs(&self) -> usize {
        2
    }

    fn outputs(&self) -> usize {
        1
    }

    fn flow(&self, parameters: &[&[f64]], x: &[f64], s: &[C], out: &mut [C]) {
        (0..2).for_each(|i| out[i] = -s[i] + parameters[0][i] * x[i]);
    }

    fn output_error(&self, y: &[f64], s: &[C], out: &mut [C]) {
        out[0] = s[0] - y[0];
    }

    fn cost_slope(&self, _: &[C], output_error: &[C], out: &mut [C]) {
        out.copy_from_slice(&[output_error[0], C::new(0.0, 0.0)]);
    }

    fn local_gradient(&self, _: &[&[f64]], x: &[f64], _: &[f64], delta: &[f64], gradient: &mut [&mut [f64]]) {
        (0..2).for_each(|i| gradient[0][i] -= delta[i] * x[i]);
    }
}

#[test]
fn equations_of_ones_own_see_the_same_inputs() {
    let model = json!({ "name": "same", "input": 2, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 2, "bias": false }], "connections": [{ "from": "input", "to": "a" }] });
    let mut problem = random(model, 2, 1);
    problem.parameters.at_mut(0).copy_from_slice(&[1.5, 0.0, 0.0, -0.5]);
    let mut parameters = Parameters::<f64>::zeros(&shapes(&Followers));
    parameters.at_mut(0).copy_from_slice(&[1.5, -0.5]);
    let substrate = Custom::new(Followers, &parameters);
    let samples = Samples { targets: vec![0.0; 2], ..problem.samples.clone() };
    for waveform in [
        json!({ "sinusoid": { "amplitude": [1.0, 0.5], "period": 4.0 } }),
        json!({ "table": { "values": [[1.0, 0.0], [0.0, 2.0]], "step": 0.5, "repeat": true } }),
        json!({ "noise": { "std": 1.0, "correlation_time": 1.0 } }),
    ] {
        let course = course(waveform, "rk4", 0.25);
        let states = course.of(&problem, Form::Potential, 40);
        let own = course.run(Substrate::<f64>::bind(&substrate, &samples, 1, None), 40);
        assert!(states.last().unwrap().iter().all(|u| u.abs() > 1e-3));
        for (a, b) in states.iter().flatten().zip(own.iter().flatten()) {
            assert!((a - b).abs() < 1e-13, "{a}, {b}");
        }
    }
}

#[test]
fn all_samples_of_a_batch_see_one_signal() {
    let problem = alone();
    let noise = course(json!({ "noise": { "std": 1.0, "correlation_time": 1.0 } }), "euler", 0.5);
    let both = noise.of(&problem, Form::Potential, 10);
    for sample in 0..2 {
        let one = noise.of(&problem.only(sample..sample + 1), Form::Potential, 10);
        for (whole, one) in both.iter().zip(&one) {
            assert_eq!(whole[2 * sample..2 * sample + 2], one[..]);
        }
    }
}
