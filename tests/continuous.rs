//! Weights that evolve in the same differential equation as the neurons, against an independent integration of that equation,
//! the lock-in of the estimators and the adjoint; and the kind of experiment that rests on them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::{Problem, random, slope, toy};
use crate::program::{json, metrics, run, succeed, text};
use holograd::data::{Dataset, batches};
use holograd::gradient::compare::compare;
use holograd::imperfections::Imperfections;
use holograd::learning::{Optimiser, OptimiserSpec, Plasticity, Protocol, Schedule};
use holograd::simulation::integrators::IntegratorSpec;
use holograd::simulation::signal::Signal;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use nalgebra::DMatrix;
use num_complex::Complex;
use serde_json::{Value, json};

/// A protocol with Runge–Kutta steps of 0.25 τ.
fn protocol(amplitude: f64, period: u64, presentation: u64, time_constant: f64) -> Protocol {
    Protocol {
        seed: 0,
        imperfections: Imperfections::default(),
        form: Form::Potential,
        integrator: IntegratorSpec::Rk4 { step: 0.25 },
        step: 0.25,
        amplitude,
        period,
        presentation,
        poles: 1,
        time_constant,
        schedule: Schedule::Constant,
        epochs: 1,
    }
}

/// A run whose weights move at 1/τ_w = `rate`.
fn plasticity(problem: &Problem, protocol: Protocol, rate: f64, leak: f64) -> Plasticity<f64> {
    let euler = OptimiserSpec::Sgd { learning_rate: protocol.step * rate, momentum: 0.0, weight_decay: leak };
    let optimiser = Optimiser::new(euler, &BTreeMap::new(), &problem.network).unwrap();
    Plasticity::new(protocol, &problem.network, problem.parameters.clone(), optimiser)
}

/// The samples of a problem as a data set; its inputs must fit single precision.
fn dataset(problem: &Problem, labels: &[u32]) -> Dataset {
    let inputs = DMatrix::from_fn(problem.network.inputs, labels.len(), |i, j| {
        problem.samples.inputs[j * problem.network.inputs + i] as f32
    });
    Dataset::new(inputs, labels.to_vec(), problem.network.output.size(), "test")
}

/// The problem with its inputs rounded to single precision, as a data set holds them.
fn rounded(mut problem: Problem) -> Problem {
    problem.samples.inputs.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    problem
}

fn label(problem: &Problem) -> u32 {
    problem.samples.targets.iter().position(|y| *y == 1.0).unwrap() as u32
}

#[test]
fn the_coefficient_of_weights_that_stand_still_is_the_lock_in_of_every_synapse() {
    let model = json!({ "name": "two", "input": 3, "activation": "tanh",
        "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 3 } });
    let problem = rounded(random(model, 1, 3));
    let (period, periods, time_constant) = (80_u64, 3_u64, 30.0);
    let protocol = protocol(0.2, period, period * periods, time_constant);
    let mut run = plasticity(&problem, protocol, 0.0, 0.0);
    run.epoch(&dataset(&problem, &[label(&problem)]), |_, _, _| {}).unwrap();
    assert_eq!(run.parameters, problem.parameters);

    let lockin = problem.estimate(
        Form::Potential,
        json!({ "oscillation": { "amplitude": 0.2, "period": 20.0, "settle_periods": 0, "periods": periods,
            "integrator": { "rk4": { "step": 0.25 } }, "per_synapse": true,
            "window": { "low_pass": { "poles": 1, "time_constant": time_constant } } } }),
    );
    // The lock-in divides by what its window has seen of a constant; a circuit that starts at rest does not.
    let seen = 1.0 - (-60.0 / time_constant).exp();
    for ((name, ours), (_, theirs)) in run.synapses.coefficient().matrices().zip(lockin.gradient.matrices()) {
        let off = (ours - &theirs * seen).amax();
        assert!(off < 1e-13 && theirs.amax() > 1e-4, "{name}: {off:e} of {:e}", theirs.amax());
    }
}

/// The variables of two neurons in a row with a squared error, its weights and their circuits.
#[derive(Clone, Copy)]
struct Joint {
    u: [Complex<f64>; 2],
    /// Weights from the input and between the neurons, then the two biases.
    w: [f64; 4],
    s: [[f64; 4]; 2],
}

const AMPLITUDE: f64 = 0.3;
const PERIOD: f64 = 16.0;
const LOW_PASS: f64 = 5.0;
const WEIGHT_TIME: f64 = 12.0;
const LEAK: f64 = 0.2;

fn derivative(t: f64, y: &Joint, x: f64) -> Joint {
    let phase = Complex::cis(std::f64::consts::TAU * t / PERIOD);
    let (a, b) = (y.u[0].tanh(), y.u[1].tanh());
    let [w_in, w, bias_a, bias_b] = y.w;
    let demodulated = |z: Complex<f64>| -(z * phase.conj()).re / AMPLITUDE;
    let product = [demodulated(a) * x, demodulated(a * b), demodulated(a), demodulated(b)];
    Joint {
        u: [-y.u[0] + w_in * x + w * b + bias_a, -y.u[1] + w * a + bias_b - phase * AMPLITUDE * (b - 1.0)],
        w: [0, 1, 2, 3].map(|k| (-y.s[1][k] - LEAK * y.w[k]) / WEIGHT_TIME),
        s: [
            [0, 1, 2, 3].map(|k| (product[k] - y.s[0][k]) / LOW_PASS),
            [0, 1, 2, 3].map(|k| (y.s[0][k] - y.s[1][k]) / LOW_PASS),
        ],
    }
}

fn moved(y: &Joint, by: f64, d: &Joint) -> Joint {
    Joint {
        u: [0, 1].map(|i| y.u[i] + d.u[i] * by),
        w: [0, 1, 2, 3].map(|k| y.w[k] + by * d.w[k]),
        s: [0, 1].map(|i| [0, 1, 2, 3].map(|k| y.s[i][k] + by * d.s[i][k])),
    }
}

/// Classical Runge–Kutta through samples shown for `shown` each, with a wave on top.
fn integrate(start: [f64; 4], inputs: &[f64], shown: f64, wave: impl Fn(f64) -> f64) -> [f64; 4] {
    let mut y = Joint { u: [Complex::new(0.0, 0.0); 2], w: start, s: [[0.0; 4]; 2] };
    let steps = 4000;
    let h = shown / f64::from(steps);
    for (place, x) in inputs.iter().enumerate() {
        for step in 0..steps {
            let t = place as f64 * shown + f64::from(step) * h;
            let slope = |t: f64, y: &Joint| derivative(t, y, x + wave(t));
            let k1 = slope(t, &y);
            let k2 = slope(t + 0.5 * h, &moved(&y, 0.5 * h, &k1));
            let k3 = slope(t + 0.5 * h, &moved(&y, 0.5 * h, &k2));
            let k4 = slope(t + h, &moved(&y, h, &k3));
            for (weight, k) in [(1.0, k1), (2.0, k2), (2.0, k3), (1.0, k4)] {
                y = moved(&y, weight * h / 6.0, &k);
            }
        }
    }
    y.w
}

#[test]
fn neurons_circuits_and_weights_obey_one_differential_equation() {
    let model: ModelSpec = serde_json::from_value(json!({ "name": "chain", "input": 1, "activation": "tanh",
        "layers": [{ "name": "a", "size": 1 }, { "name": "b", "size": 1 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "cost": "squared_error" }))
    .unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let start = [0.9, 0.6, 0.1, -0.2];
    let names = ["input-a.weight", "a-b.weight", "a.bias", "b.bias"];
    let mut parameters = Parameters::zeros(network.shapes());
    let place = |name: &str| network.shapes().iter().position(|s| s.name == name).unwrap();
    names.iter().zip(start).for_each(|(name, w)| parameters.at_mut(place(name)).fill(w));
    let inputs = [0.75_f32, -0.5, 0.25];
    let data = Dataset::new(DMatrix::from_row_slice(1, 3, &inputs), vec![0; 3], 1, "test");
    let order: Vec<f64> =
        batches(3, 1, 7, 0).concat().iter().map(|&i| f64::from(inputs[i as usize])).collect();
    // The inputs stand still, or swing with another period than the drive's.
    let swing = json!({ "sinusoid": { "amplitude": 0.8, "period": 9.0, "phase": 0.7 } });
    let wave = |t: f64| 0.8 * (std::f64::consts::TAU * t / 9.0 + 0.7).sin();
    let truths = [integrate(start, &order, 20.0, |_| 0.0), integrate(start, &order, 20.0, wave)];
    let off = |step: f64, truth: [f64; 4], signal: Option<&Value>| {
        let ticks = |time: f64| (time / step).round() as u64;
        let protocol = Protocol {
            seed: 7,
            integrator: IntegratorSpec::Euler { step },
            step,
            poles: 2,
            ..protocol(AMPLITUDE, ticks(PERIOD), ticks(20.0), LOW_PASS)
        };
        let euler =
            OptimiserSpec::Sgd { learning_rate: step / WEIGHT_TIME, momentum: 0.0, weight_decay: LEAK };
        let optimiser = Optimiser::new(euler, &BTreeMap::new(), &network).unwrap();
        let mut run = Plasticity::new(protocol, &network, parameters.clone(), optimiser);
        if let Some(signal) = signal {
            let signal = serde_json::from_value(signal.clone()).unwrap();
            run = run.with_signal(Signal::new(&signal, 1, step));
        }
        run.epoch(&data, |_, _, _| {}).unwrap();
        names
            .iter()
            .zip(truth)
            .map(|(n, w)| (run.parameters.get(n).unwrap()[0] - w).abs())
            .fold(0.0, f64::max)
    };
    for (truth, signal) in truths.into_iter().zip([None, Some(&swing)]) {
        let [coarse, fine] = [0.02, 0.01].map(|step| off(step, truth, signal));
        println!(
            "largest error of a weight: {coarse:.2e}, {fine:.2e} at half the step; from {start:?} to {truth:?}"
        );
        assert!(start.iter().zip(truth).all(|(a, b)| (a - b).abs() > 0.02), "all have moved: {truth:?}");
        assert!(fine < 5e-3 && (coarse / fine - 2.0).abs() < 0.2, "{coarse:e}, {fine:e}");
    }
    assert!((truths[0][0] - truths[1][0]).abs() > 0.02, "the swing is felt: {truths:?}");
}

#[test]
fn slow_weights_descend_the_gradient_up_to_the_frequency_bias() {
    // Largest relative errors of the real part that theory gives for the toy network, weights between layers.
    let theory = [(20.0, 1.4e-1), (40.0, 4.1e-2), (80.0, 1.06e-2)];
    let problem = rounded(toy());
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    let data = dataset(&problem, &[label(&problem)]);
    let rate = 1e-8;
    let measured = theory.map(|(time, expected)| {
        let period = (4.0 * time) as u64;
        let periods = 15;
        let mut run = plasticity(&problem, protocol(0.3, period, periods * period, time / 2.0), rate, 0.0);
        let mut before = None;
        run.epoch(&data, |_, now, _| {
            if now.tick == (periods - 1) * period {
                before = Some(now.parameters.clone());
            }
        })
        .unwrap();
        // The change over the last period, as the gradient that it descends.
        let mut descended = before.unwrap();
        descended.add_scaled(-1.0, &run.parameters);
        descended.scale(1.0 / (rate * time));
        let agreement = compare(&descended, &truth);
        let error = agreement.synapses.relative_error.unwrap();
        println!("T = {time}: relative error {error:.3e}, cosine {:.6}", agreement.synapses.cosine.unwrap());
        assert!((error / expected - 1.0).abs() < 0.06, "T = {time}: {error:e}, not {expected:e}");
        (f64::ln(1.0 / time), error.ln())
    });
    let order = slope(measured[1..].iter().copied());
    assert!((order - 2.0).abs() < 0.1, "order {order}");
}

/// A short run of the shipped experiment.
fn short<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let data = r#"data={"toy_gaussian":{"inputs":64,"classes":10,"samples":60}}"#;
    [
        &[
            "run",
            "continuous_plasticity",
            "--set",
            data,
            "--set",
            "presentation=40",
            "--set",
            "compare=5",
            "--set",
            "schedule=constant",
        ],
        more,
        &["--out", out],
    ]
    .concat()
}

fn timeless(folder: &Path) -> Vec<Value> {
    let mut lines = metrics(folder);
    for line in &mut lines {
        line.as_object_mut().unwrap().shift_remove("seconds").expect("every line has its seconds");
    }
    lines
}

/// A neuron with a bias of 1, at rest at t = 0, has the rate 1 − e^{−t}, to the order of its integrator.
#[test]
fn the_witness_sees_the_rates_at_the_start_of_each_step() {
    let model = json!({ "name": "iso", "input": 1, "activation": "identity", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 2 }], "connections": [{ "from": "input", "to": "a" }] });
    let mut problem = random(model, 1, 1);
    problem.parameters.at_mut(problem.network.edges[0].weight).fill(0.0);
    problem.parameters.at_mut(problem.network.layers[0].bias.unwrap()).fill(1.0);
    let h: f64 = 0.5;
    let adc = json!({ "readout": { "adc": { "bits": 2, "range": [-1.0, 1.0] } } });
    for imperfections in [Imperfections::default(), serde_json::from_value(adc).unwrap()] {
        for (integrator, left) in [
            (IntegratorSpec::Euler { step: h }, 1.0 - h),
            (IntegratorSpec::Heun { step: h }, 1.0 - h + h * h / 2.0),
            (IntegratorSpec::Rk4 { step: h }, 1.0 - h + h * h / 2.0 - h.powi(3) / 6.0 + h.powi(4) / 24.0),
            (IntegratorSpec::ExponentialEuler { step: h }, (-h).exp()),
        ] {
            let protocol = Protocol { integrator, step: h, imperfections: imperfections.clone(), ..protocol(1e-12, 10, 10, 1.0) };
            let mut run = plasticity(&problem, protocol, 0.0, 0.0);
            let mut seen = Vec::new();
            run.epoch(&dataset(&problem, &[0]), |_, _, rates| seen.push(rates[0])).unwrap();
            for (tick, rate) in seen.iter().enumerate() {
                let expected = 1.0 - left.powi(tick as i32);
                assert!(
                    (rate - expected).abs() < 1e-9,
                    "{integrator:?}, tick {tick}: {rate}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_run_leaves_its_folder_and_continues_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let noise = r#"imperfections.state_noise={"ornstein_uhlenbeck":{"std":0.05,"correlation_time":10}}"#;
    let told = succeed(path, &short("whole", &["--set", "epochs=2", "--set", noise]));
    assert!(told.contains("test accuracy"), "{told}");
    succeed(path, &short("cut", &["--set", "epochs=1", "--set", noise, "--threads", "1"]));
    let resume = ["run", "continuous_plasticity", "--resume", "--set", "epochs=2", "--out", "cut"];
    succeed(path, &resume);
    let (whole, cut) = (path.join("whole"), path.join("cut"));
    assert_eq!(timeless(&whole), timeless(&cut));
    assert_eq!(timeless(&whole).len(), 2);
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    for name in ["parameters.safetensors", "trace.npz"] {
        assert!(read(&whole, name) == read(&cut, name), "{name} differs");
    }
    let summary = json(whole.join("summary.json"));
    for field in ["test_accuracy", "validation_accuracy", "train_accuracy", "wall_seconds", "rhs_evaluations"]
    {
        assert!(summary[field].is_number(), "no {field} in {summary}");
    }
    for figure in ["training.svg", "training.png", "trace.svg", "trace.png"] {
        assert!(!read(&whole, figure).is_empty());
    }
    // Noise is felt.
    succeed(path, &short("quiet", &["--set", "epochs=1"]));
    assert_ne!(timeless(&path.join("quiet"))[0], timeless(&whole)[0]);
}

#[test]
fn a_toy_task_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let data = r#"data={"toy_gaussian":{"inputs":64,"classes":10,"samples":300}}"#;
    let command = [
        "run",
        "continuous_plasticity",
        "--set",
        data,
        "--set",
        "epochs=2",
        "--set",
        "compare=30",
        "--out",
        "out",
    ];
    succeed(folder.path(), &command);
    let lines = metrics(&folder.path().join("out"));
    let last = lines.last().unwrap();
    let number = |name: &str| last[name].as_f64().unwrap();
    assert!(number("validation_accuracy") > 0.8, "{last}");
    assert!(number("validation_loss") < 1.8, "{last}");
    assert!(number("synapse_cosine") > 0.8, "{last}");
}

#[test]
fn what_cannot_be_done_continuously_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("amplitude=0", "amplitude"),
        ("period=2.5", "whole number of steps"),
        ("presentation=0.3", "whole number of steps"),
        ("integrator=dopri5", "adaptive"),
        ("low_pass.poles=0", "1 to 8 poles"),
        ("low_pass.time_constant=-1", "low_pass.time_constant"),
        ("weight_time=0", "weight_time"),
        ("leak=-0.1", "leak"),
        ("validation_fraction=1", "validation_fraction"),
        ("model.activation=relu", "holomorphic"),
        (r#"model.connections.1.feedback={"rotated":{"angle":20}}"#, "not tied"),
        ("imperfections.programming.bits=4", "never written"),
        (r#"imperfections.drift={"seconds":10,"leak":100}"#, "never written"),
        ("epochs=0", "1 to 1000000"),
        ("batch_size=20", "unknown field"),
        ("learning_rates.h1-h3=2", "it must be one of"),
    ];
    for (set, words) in cases {
        let output = run(folder.path(), &["run", "continuous_plasticity", "--set", set, "--out", "out"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{set}: {message}");
        assert!(message.contains(words), "{set} should mention {words:?}: {message}");
        assert!(!folder.path().join("out").exists(), "{set} left something behind");
    }
}
