//! Noise with a memory: one process through the phases of an estimate and, if it is asked for, through training.

use std::path::Path;

use crate::common::{Problem, random};
use crate::program::{metrics, succeed};
use holograd::gradient::{Estimate, EstimatorSpec, Setting, Surroundings, estimate_batch};
use holograd::imperfections::fluctuation::Fluctuation;
use holograd::imperfections::noise::{Noise, Rails};
use holograd::imperfections::{Imperfections, NoiseMemory};
use holograd::numerics::rng::{NoiseKey, Purpose};
use holograd::numerics::state::StateShape;
use holograd::substrate::neurons::form::Form;
use serde_json::{Value, json};

const SIGMA: f64 = 0.7;
const T: f64 = 2.0;

/// Two tied layers with a squared error, as many samples as two chunks hold.
fn problem() -> Problem {
    let model = json!({ "name": "two", "input": 3, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "h", "size": 8 }, { "name": "o", "size": 4 }],
        "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }] });
    let mut problem = random(model, 13, 4);
    // Far from a bifurcation: a small current moves it little.
    problem.parameters.scale(0.5);
    problem
}

fn imperfections(noise: &Value) -> Imperfections {
    let imperfections: Imperfections = serde_json::from_value(noise.clone()).unwrap();
    imperfections.validate().unwrap();
    imperfections
}

/// The estimate of an update, with what the noise of each chunk remembers.
fn estimate(
    problem: &Problem,
    estimator: &Value,
    noise: &Value,
    (update, memories): (u64, &[NoiseMemory<f64>]),
) -> Estimate<f64> {
    let imperfections = imperfections(noise);
    let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
    spec.validate(&problem.network, Form::Potential, Some(&imperfections)).unwrap();
    let effective = problem.effective(Form::Potential);
    let noise =
        imperfections.instant().map(|instant| Surroundings { memories, ..Surroundings::new(instant, 3) });
    let setting = Setting { substrate: &effective, noise, update, diagnose: false };
    estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap()
}

/// Noise so slow that it stands still for as long as an estimate takes, on every place where noise may act.
fn frozen_noise(process: &str) -> [Value; 4] {
    ["state_noise", "input_noise", "synapse_noise", "teaching_noise"].map(|place| {
        let noise = match process {
            "one_over_f" => json!({ "one_over_f": { "std": 1e-3, "shortest": 1e9, "longest": 1e10 } }),
            "telegraph" if place != "synapse_noise" => {
                json!({ "telegraph": { "std": 1e-3, "dwell_time": 1e9 } })
            }
            _ => json!({ "ornstein_uhlenbeck": { "std": 1e-3, "correlation_time": 1e9 } }),
        };
        json!({ place: noise })
    })
}

/// A constant current moves an estimate as it moves the gradient, by about its own size; drawn anew for each phase it
/// would be divided by β.
#[test]
fn noise_that_stands_still_cancels_in_differences() {
    let problem = problem();
    let settle = json!({ "step": 0.5, "tolerance": 0.0, "max_time": 60.0 });
    let coarse = json!({ "step": 1.0, "tolerance": 0.0, "max_time": 70.0 });
    let quiet = json!({ "noise": false, "average": 5.0, "max_time": 80.0 });
    for estimator in [
        json!({ "oscillation": { "amplitude": 0.1, "period": 60.0 } }),
        json!({ "oscillation": { "amplitude": 0.1, "period": 40.0, "richardson": 2 } }),
        json!({ "chebyshev": { "amplitude": 0.1, "period": 40.0, "harmonics": 1, "richardson": 2 } }),
        json!({ "classic": { "amplitude": 0.01, "settle": settle } }),
        json!({ "classic": { "amplitude": 0.01, "centred": true, "settle": settle, "nudged": coarse } }),
        json!({ "classic": { "amplitude": 0.01, "settle": quiet } }),
        json!({ "cauchy": { "amplitude": 0.01, "points": 4, "settle": settle } }),
        json!({ "staircase": { "amplitude": 0.01, "points": 4, "hold": 40.0, "free": settle, "integrator": "euler" } }),
        json!({ "auto": { "relative_error": 1e-3 } }),
    ] {
        let silent = estimate(&problem, &estimator, &json!({}), (0, &[])).gradient;
        for noise in ["ornstein_uhlenbeck", "one_over_f", "telegraph"].iter().flat_map(|n| frozen_noise(n)) {
            // An error of β is one of what a one-sided difference divides by.
            if noise.get("teaching_noise").is_some()
                && estimator.pointer("/classic/centred").is_none()
                && estimator.get("classic").is_some()
            {
                continue;
            }
            let moved = estimate(&problem, &estimator, &noise, (0, &[])).gradient;
            let weights = problem.network.recurrent().next().unwrap().1.weight;
            let change =
                (moved.matrix(weights) - silent.matrix(weights)).norm() / silent.matrix(weights).norm();
            assert!(change > 1e-7, "{estimator} does not hear {noise}");
            assert!(change < 1e-2, "{estimator} is moved by {change:.1e} by {noise}");
        }
    }
}

/// Cov of the means over [0, a] and [b, b + c] of an Ornstein–Uhlenbeck process, in correlation times, b ≥ a.
fn covariance(a: f64, b: f64, c: f64) -> f64 {
    (-b).exp() * a.exp_m1() / a * -(-c).exp_m1() / c
}

/// Var of its mean over r correlation times.
fn variance(r: f64) -> f64 {
    2.0 * (r + (-r).exp_m1()) / (r * r)
}

fn source(noise: Noise, shape: &StateShape, step: f64) -> Fluctuation<f64> {
    let mut source = Fluctuation::new(noise, NoiseKey::new(3, Purpose::StateNoise, 0), 0, shape);
    source.set_step(step, 0.5);
    source
}

/// Whether the mean of the products is the expected one, within four of its standard errors.
fn agrees(a: &[f64], b: &[f64], expected: f64, what: &str) {
    let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * b).collect();
    let n = products.len() as f64;
    let mean = products.iter().sum::<f64>() / n;
    let error = (products.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
    assert!((mean - expected).abs() < 4.0 * error, "{what}: {mean} not {expected} +- {error}");
}

fn processes() -> [(Noise, f64); 2] {
    let rails = Rails::Independent;
    [
        (Noise::OrnsteinUhlenbeck { std: SIGMA, correlation_time: T, continuous: false, rails }, T),
        // A telegraph signal has the correlations of an Ornstein–Uhlenbeck process of half its dwell time.
        (Noise::Telegraph { std: SIGMA, dwell_time: 2.0 * T, continuous: false, rails }, T),
    ]
}

#[test]
fn a_phase_goes_on_where_the_one_before_has_ended() {
    let count = 60_000;
    let real = StateShape::block(count, 1, 1);
    for (noise, time) in processes() {
        let mut first = source(noise, &real, 0.5);
        (0..3).for_each(|tick| drop(first.advance(tick).to_vec()));
        let before = first.values().to_vec();
        // Complex, with shorter steps, at once or after time that nothing is seen of.
        for wait in [0.0, 0.8] {
            let mut ended = first.clone();
            ended.pass(wait);
            let mut second = source(noise, &real.with_rails(2), 0.2);
            second.resume(ended);
            second.set_step(0.2, 0.5);
            for after in 0..3 {
                let values = second.advance(3 + after).to_vec();
                let begin = 0.5 + wait + 0.2 * after as f64;
                let expected = SIGMA.powi(2) * covariance(0.5 / time, begin / time, 0.2 / time);
                agrees(&before, &values[..count], expected, &format!("{noise:?} after {begin}"));
                agrees(&values[..count], &values[..count], SIGMA.powi(2) * variance(0.2 / time), "real rail");
                agrees(
                    &values[count..],
                    &values[count..],
                    SIGMA.powi(2) * variance(0.2 / time),
                    "imaginary rail",
                );
                agrees(&values[..count], &values[count..], 0.0, "rails");
            }
        }
    }
}

#[test]
fn noise_faster_than_the_step_is_averaged_over_it() {
    let count = 60_000;
    let shape = StateShape::block(count, 1, 1);
    for (noise, time) in processes() {
        for step in [1e-3, 0.1, 1.0, 4.0, 20.0] {
            let mut source = source(noise, &shape, step);
            let steps: Vec<Vec<f64>> = (0..4).map(|tick| source.advance(tick).to_vec()).collect();
            let r = step / time;
            agrees(&steps[0], &steps[0], SIGMA.powi(2) * variance(r), &format!("{noise:?}, step {step}"));
            for lag in 1..4 {
                let expected = SIGMA.powi(2) * covariance(r, lag as f64 * r, r);
                agrees(&steps[0], &steps[lag], expected, &format!("{noise:?}, step {step}, lag {lag}"));
            }
        }
    }
    // 1/f noise whose fast half is faster than the step: what is left of each component's variance.
    let (shortest, longest, step) = (0.01, 100.0, 1.0);
    let noise = Noise::OneOverF {
        std: SIGMA,
        shortest,
        longest,
        white_std: 0.0,
        continuous: false,
        rails: Rails::Independent,
    };
    let mut source = source(noise, &shape, step);
    source.advance(0);
    let values = source.advance(1).to_vec();
    let times = holograd::imperfections::fluctuation::correlation_times(shortest, longest);
    // From 16 steps on a component is held, an eighth of its correlation time.
    let left = |time: &f64| if *time >= 16.0 * step { 1.0 } else { variance(step / time) };
    let expected = SIGMA.powi(2) * times.iter().map(left).sum::<f64>() / times.len() as f64;
    agrees(&values, &values, expected, "1/f");
}

#[test]
fn continuous_noise_goes_on_from_update_to_update() {
    let problem = problem();
    let settle = json!({ "step": 0.5, "tolerance": 0.0, "max_time": 40.0 });
    let staircase = json!({ "staircase": { "amplitude": 0.01, "points": 4, "hold": 40.0, "free": settle, "integrator": "euler" } });
    for estimator in [json!({ "classic": { "amplitude": 0.01, "settle": settle } }), staircase] {
        for continuous in [false, true] {
            let law = json!({ "std": 0.1, "correlation_time": 1e12, "continuous": continuous });
            let noise = json!({ "state_noise": { "ornstein_uhlenbeck": law } });
            let memories = vec![NoiseMemory::default(), NoiseMemory::default()];
            let free = |update: u64, problem: &Problem| {
                let free = estimate(problem, &estimator, &noise, (update, &memories)).free;
                free.iter()
                    .flat_map(|layer| layer.columns(0, 11).iter().copied().collect::<Vec<_>>())
                    .collect::<Vec<f64>>()
            };
            let first = free(0, &problem);
            // A smaller batch between two whole ones.
            let (small, third) = (free(1, &problem.only(0..11)), free(2, &problem));
            for other in [small, third] {
                let off = first.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert_eq!(off < 1e-3, continuous, "{estimator}: moved by {off}");
            }
        }
    }
}

/// A training run whose noise goes on through all of it; the last batch of an epoch is a smaller one.
fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let noise = r#"imperfections={"state_noise":{"one_over_f":{"std":0.05,"shortest":1,"longest":1000,"continuous":true}},"teaching_noise":{"telegraph":{"std":0.01,"dwell_time":30,"continuous":true}},"input_noise":{"ornstein_uhlenbeck":{"std":0.1,"correlation_time":100}}}"#;
    let data = r#"data={"toy_gaussian":{"inputs":64,"classes":10,"samples":40}}"#;
    let fixed = [
        "run",
        "digits",
        "--set",
        data,
        "--set",
        noise,
        "--set",
        "batch_size=12",
        "--set",
        "compare=3",
        "--set",
        "estimator.oscillation.period=10",
        "--set",
        "schedule=constant",
    ];
    [&fixed[..], more, &["--out", out]].concat()
}

fn timeless(folder: &Path) -> Vec<Value> {
    let mut lines = metrics(folder);
    for line in &mut lines {
        line.as_object_mut().unwrap().shift_remove("seconds").expect("every line has its seconds");
    }
    lines
}

#[test]
fn a_run_with_continuous_noise_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &train("whole", &["--set", "epochs=3", "--threads", "2"]));
    succeed(path, &train("cut", &["--set", "epochs=1", "--threads", "1"]));
    succeed(path, &["run", "digits", "--resume", "--set", "epochs=3", "--threads", "1", "--out", "cut"]);
    let (whole, cut) = (path.join("whole"), path.join("cut"));
    assert_eq!(timeless(&whole), timeless(&cut));
    let read = |folder: &Path| std::fs::read(folder.join("parameters.safetensors")).unwrap();
    assert!(read(&whole) == read(&cut), "parameters differ");
}

#[test]
fn a_telegraph_signal_far_faster_than_the_step_is_refused() {
    let network = &problem().network;
    let found = |estimator: Value, dwell_time: f64| {
        let noise = imperfections(
            &json!({ "teaching_noise": { "telegraph": { "std": 0.1, "dwell_time": dwell_time } } }),
        );
        let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        spec.validate(network, Form::Potential, Some(&noise))
            .map_err(|e| format!("{}: {}; {}", e.path, e.found, e.legal))
    };
    let settle = json!({ "step": 1.0, "tolerance": 0.0, "max_time": 60.0 });
    for (estimator, path) in [
        (
            json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "integrator": { "rk4": { "step": 1.0 } } } }),
            "oscillation.integrator",
        ),
        (json!({ "classic": { "amplitude": 0.1, "settle": settle } }), "classic.settle.step"),
        (
            json!({ "cauchy": { "amplitude": 0.1, "points": 4, "settle": { "step": 0.1 }, "nudged": settle } }),
            "cauchy.nudged.step",
        ),
    ] {
        let told = found(estimator.clone(), 0.05).unwrap_err();
        assert!(
            told.starts_with(path) && told.contains("dwell time 0.05") && told.contains("teaching_noise"),
            "{told}"
        );
        found(estimator, 0.2).unwrap();
    }
}
