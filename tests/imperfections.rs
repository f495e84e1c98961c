//! Each imperfection alone has the law that its definition says; together they are the same device, noise and bits every time.

mod common;

use std::sync::Arc;

use approx::assert_relative_eq;
use common::{Problem, random, toy};
use holograd::gradient::{Estimate, EstimatorSpec, Setting, estimate_batch};
use holograd::imperfections::drift::{Drift, DriftLaw, pcm_exponent, pcm_read_noise};
use holograd::imperfections::instant::Disturbances;
use holograd::imperfections::programming::WriteNoise;
use holograd::imperfections::{Device, Imperfections, Preset};
use holograd::integrators::VectorField;
use holograd::substrate::effective::{Effective, Form};
use holograd::substrate::field::Dynamics;
use holograd::substrate::model::ModelSpec;
use holograd::substrate::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use holograd::teaching::{Teaching, Time};
use num_complex::Complex;
use serde_json::{Value, json};

fn imperfections(value: Value) -> Imperfections {
    let spec: Imperfections = serde_json::from_value(value).unwrap();
    spec.validate().unwrap();
    spec
}

/// One tied connection between two layers of 100 neurons, every weight equal.
fn uniform(weight: f64) -> (Arc<Network>, Parameters<f64>) {
    let model: ModelSpec = serde_json::from_value(json!({
        "name": "flat", "input": 2, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 100 }, { "name": "b", "size": 100 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }] }))
    .unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let mut parameters = Parameters::zeros(network.shapes());
    for index in 0..parameters.len() {
        parameters.at_mut(index).fill(weight);
    }
    (network, parameters)
}

fn flat(weight: f64, spec: &Imperfections, write: u64) -> Effective<f64> {
    let (network, parameters) = uniform(weight);
    Device::fabricate(&network, spec).effective(Form::Potential, &parameters, write)
}

/// The 10 000 weights a → b.
fn forward(effective: &Effective<f64>) -> Vec<f64> {
    effective.recurrent().find(|(_, edge, _)| !edge.transposed).unwrap().2.to_vec()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Normal distribution function, from the series and continued fraction of erfc (Abramowitz & Stegun 26.2.17, |error| < 7.5e-8).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
    let tail = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * sum;
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// Kolmogorov–Smirnov at 1 % significance.
fn follows(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> bool {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let f = cdf(*x);
        (f - i as f64 / n).abs().max(((i + 1) as f64 / n - f).abs())
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt() < 1.63
}

#[test]
fn without_imperfections_the_device_is_the_ideal_network_bit_for_bit() {
    let problem = toy();
    for table in
        [json!({}), json!("ideal"), json!({ "preset": "ideal", "device_seed": 7, "fabrication": {} })]
    {
        let spec = imperfections(table);
        assert_eq!(spec.instant(), None);
        let device = Device::fabricate(&problem.network, &spec);
        let made = device.effective(Form::Potential, &problem.parameters, 3);
        let ideal = problem.effective(Form::Potential);
        assert!(made.recurrent().zip(ideal.recurrent()).all(|(a, b)| a.2 == b.2));
        let oscillation: EstimatorSpec =
            serde_json::from_value(json!({ "oscillation": { "amplitude": 0.3, "period": 20.0 } })).unwrap();
        let gradient = |effective: &Effective<f64>| {
            let setting = Setting { effective, noise: None, update: 0, diagnose: true };
            estimate_batch(&*oscillation.build(), &setting, &problem.samples, &mut Vec::new())
                .unwrap()
                .gradient
        };
        assert_eq!(gradient(&made), gradient(&ideal));
        let (mut updated, mut plain) = (problem.parameters.clone(), problem.parameters.clone());
        device.update(&mut updated, &problem.parameters, 0);
        plain.add_scaled(1.0, &problem.parameters);
        assert_eq!(updated, plain);
    }
}

#[test]
fn mismatch_follows_its_distribution() {
    let weights = |mismatch: Value| {
        forward(&flat(1.0, &imperfections(json!({ "fabrication": { "weight": mismatch } })), 0))
    };
    let z = |values: Vec<f64>, std: f64| values.into_iter().map(|w| (w - 1.0) / std).collect::<Vec<_>>();
    assert!(follows(z(weights(json!({ "std": 0.2 })), 0.2), normal));
    let area = json!({ "area": { "a": 0.03, "width": 0.5, "length": 0.18 } });
    assert!(follows(z(weights(area), 0.03 / (0.5_f64 * 0.18).sqrt()), normal));
    let log_normal = weights(json!({ "std": 0.3, "distribution": "log_normal" }));
    assert!(follows(log_normal.iter().map(|w| w.ln() / 0.3).collect(), normal));
    let heavy = weights(json!({ "std": 0.1, "distribution": { "student_t": { "dof": 4.0 } } }));
    // Student's t of 4 degrees of freedom in closed form; its variance is 2.
    let student = |z: f64| {
        let t = z * 2.0_f64.sqrt();
        let s = 1.0 + t * t / 4.0;
        0.5 + 0.375 * t / s.sqrt() * (1.0 - t * t / (12.0 * s))
    };
    assert!(follows(z(heavy.clone(), 0.1), student));
    assert!(!follows(z(heavy, 0.1), normal), "the test tells heavy tails apart");
}

#[test]
fn neurons_mismatch_in_gain_offset_and_time_constant() {
    let spec = imperfections(json!({ "fabrication": {
        "gain": { "std": 0.1 }, "offset": { "std": 0.05 }, "tau": { "std": 0.2 } } }));
    let effective = flat(1.0, &spec, 0);
    // tanh layers: biases 1 become g + o.
    let biases = [effective.bias(0), effective.bias(1)].concat();
    let gains: Vec<f64> = forward(&effective)[..100].to_vec();
    let (mean, std) = moments(&biases);
    let expected = (0.1_f64.powi(2) + 0.05_f64.powi(2)).sqrt();
    assert!((mean - 1.0).abs() < 4.0 * expected / 200_f64.sqrt());
    assert!((std / expected - 1.0).abs() < 4.0 / 400_f64.sqrt());
    assert!(follows(gains.iter().map(|g| (g - 1.0) / 0.1).collect(), normal));
    let taus = [effective.tau(0), effective.tau(1)].concat();
    assert!(follows(taus.iter().map(|t| (t - 1.0) / 0.2).collect(), normal));
    assert_eq!(effective.teaching_gain().unwrap(), gains);
    let samples = Samples { inputs: vec![0.0; 2], targets: vec![0.0; 100], count: 1, first: 0 };
    let field = Dynamics::new(&effective, &samples, 1);
    taus.iter().enumerate().for_each(|(i, tau)| assert_eq!(field.leak().at(i), 1.0 / tau));
}

#[test]
fn folding_gain_and_offset_is_exact() {
    // a = ρ(g u + o), u = W a + b + W_in x, iterated as it stands on one recurrent layer.
    let model: ModelSpec = serde_json::from_value(json!({
        "name": "loop", "input": 1, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 3 }], "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "a" }] }))
    .unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let parameters = Parameters::<f64>::initial(network.shapes(), 4);
    let table = |part: Value| {
        let spec = imperfections(json!({ "device_seed": 2, "fabrication": part }));
        Device::fabricate(&network, &spec).effective(Form::Potential, &parameters, 0)
    };
    let offset = table(json!({ "offset": { "std": 0.3 } })).bias(0).to_vec();
    let gain = table(json!({ "gain": { "std": 0.3 } })).teaching_gain().unwrap().to_vec();
    let both = table(json!({ "gain": { "std": 0.3 }, "offset": { "std": 0.3 } }));
    let samples = Samples { inputs: vec![0.7], targets: vec![0.0; 3], count: 1, first: 0 };
    let setting = Setting { effective: &both, noise: None, update: 0, diagnose: false };
    let found = holograd::gradient::equilibrium::free(&setting, &samples, &Default::default()).unwrap().rates;
    let (w, w_in) = (parameters.get("a-a.weight").unwrap(), parameters.get("input-a.weight").unwrap());
    let mut a = nalgebra::DVector::zeros(3);
    for _ in 0..2000 {
        let u = w * &a + w_in * 0.7;
        let next = nalgebra::DVector::from_fn(3, |i, _| (gain[i] * u[i] + offset[i]).tanh());
        a = 0.5 * (a + next);
    }
    a.iter().zip(found).for_each(|(a, found)| assert_relative_eq!(*a, found, epsilon = 1e-11));
}

#[test]
fn gain_and_offset_mismatch_is_harmless_to_learning() {
    // Symmetric weights keep an energy whatever the gains, so the estimate stays the gradient in the nominal parameters.
    let problem = toy();
    let spec = imperfections(json!({ "device_seed": 5,
        "fabrication": { "gain": { "std": 0.2 }, "offset": { "std": 0.2 } } }));
    let device = Device::fabricate(&problem.network, &spec);
    let estimate = |parameters: &Parameters<f64>| -> Estimate<f64> {
        let effective = device.effective(Form::Potential, parameters, 0);
        let setting = Setting { effective: &effective, noise: None, update: 0, diagnose: false };
        let spec: EstimatorSpec =
            serde_json::from_value(json!({ "cauchy": { "amplitude": 0.2, "points": 12 } })).unwrap();
        estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap()
    };
    let cost = |parameters: &Parameters<f64>| {
        let rates = estimate(parameters).free[1].clone();
        let logits =
            parameters.get("readout.weight").unwrap() * rates + parameters.get("readout.bias").unwrap();
        let largest = logits.max();
        let log_sum = largest + logits.map(|l| (l - largest).exp()).sum().ln();
        let label = problem.samples.targets.iter().position(|t| *t == 1.0).unwrap();
        log_sum - logits[label]
    };
    let gradient = estimate(&problem.parameters).gradient;
    for index in 0..problem.parameters.len() {
        for element in [0, 3] {
            let moved = |h: f64| {
                let mut parameters = problem.parameters.clone();
                parameters.at_mut(index).as_mut_slice()[element] += h;
                cost(&parameters)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert_relative_eq!(
                gradient.at(index).as_slice()[element],
                numeric,
                epsilon = 1e-8,
                max_relative = 1e-5
            );
        }
    }
}

#[test]
fn a_tied_pair_is_one_device_until_its_feedback_differs() {
    let backward = |effective: &Effective<f64>| -> Vec<f64> {
        let weights = effective.recurrent().find(|(_, edge, _)| edge.transposed).unwrap().2;
        (0..10_000).map(|k| weights[(k % 100) * 100 + k / 100]).collect()
    };
    let tied = flat(1.0, &imperfections(json!({ "fabrication": { "weight": { "std": 0.1 } } })), 0);
    assert_eq!(forward(&tied), backward(&tied));
    let both = json!({ "fabrication": { "weight": { "std": 0.1 }, "feedback": { "std": 0.05 } } });
    let split = flat(1.0, &imperfections(both), 0);
    assert_eq!(forward(&split), forward(&tied), "the forward device is the same");
    let ratio = |(b, f): (f64, f64)| (b / f - 1.0) / 0.05;
    assert!(follows(backward(&split).into_iter().zip(forward(&split)).map(ratio).collect(), normal));
}

#[test]
fn stuck_and_dead_synapses_keep_their_value() {
    let spec = imperfections(json!({ "fabrication": {
        "stuck": { "fraction": 0.1, "value": 0.25 }, "dead": 0.05, "weight": { "std": 0.1 } },
        "programming": { "noise": { "absolute": { "std": 0.01 } } } }));
    let [first, later] = [0, 9].map(|write| forward(&flat(1.0, &spec, write)));
    for (value, fraction) in [(0.25_f64, 0.1_f64), (0.0, 0.05)] {
        let at = |w: &[f64]| (0..w.len()).filter(|&i| w[i] == value).collect::<Vec<_>>();
        assert_eq!(at(&first), at(&later));
        let error = (1e4 * fraction * (1.0 - fraction)).sqrt();
        assert!((at(&first).len() as f64 - 1e4 * fraction).abs() < 4.0 * error);
    }
}

#[test]
fn quantised_weights_lie_on_the_levels_of_the_pair() {
    let (network, mut parameters) = uniform(0.0);
    let index = network.recurrent().next().unwrap().1.weight;
    parameters.at_mut(index).iter_mut().enumerate().for_each(|(i, w)| *w = -1.5 + 3.0 * i as f64 / 9999.0);
    let made = |levels: Value| {
        let mut programming = json!({ "g_min": 2.0, "g_max": 10.0, "weight_max": 1.2 });
        programming.as_object_mut().unwrap().extend(levels.as_object().unwrap().clone());
        let spec = imperfections(json!({ "programming": programming }));
        forward(&Device::fabricate(&network, &spec).effective(Form::Potential, &parameters, 0))
    };
    let mut levels: Vec<i64> = Vec::new();
    for (w, nominal) in made(json!({ "levels": 5 })).iter().zip(parameters.at(index)) {
        assert!((w / 0.3 - (w / 0.3).round()).abs() < 1e-12, "{w} is a multiple of weight_max/4");
        assert!((w - nominal.clamp(-1.2, 1.2)).abs() < 0.15 + 1e-12, "{w} is the nearest to {nominal}");
        levels.push((w / 0.3).round() as i64);
    }
    levels.dedup();
    assert_eq!(levels, (-4..=4).collect::<Vec<_>>());
    assert_eq!(made(json!({ "bits": 3 })), made(json!({ "levels": 8 })));
}

#[test]
fn write_noise_has_the_published_spread_at_every_conductance() {
    type Sigma = fn(f64) -> f64;
    let published: [(WriteNoise, &str, [f64; 2], Sigma); 4] = [
        (WriteNoise::Pcm, "pcm", [0.0, 25.0], |g| 0.263 + 1.965 * (g / 25.0) - 1.173 * (g / 25.0).powi(2)),
        (WriteNoise::RramWan, "rram_wan", [0.0, 39.0], |g| {
            1.536e-4 * g.powi(3) - 0.01167 * g * g + 0.2374 * g + 1.053
        }),
        (WriteNoise::RramMilo, "rram_milo", [50.0, 225.0], |g| 4.782 - 0.00911 * g),
        (WriteNoise::CmoHfox, "cmo_hfox", [9.0, 88.2], |g| 0.0112 + 0.0113 * g),
    ];
    for (noise, name, [low, high], sigma) in published {
        assert_eq!(noise.range(), Some([low, high]));
        for part in [0.4, 0.7, 1.0] {
            let spec = imperfections(json!({ "programming": {
                "g_min": low, "g_max": high, "weight_max": 1.0, "noise": name } }));
            let values = forward(&flat(part, &spec, 1));
            let g = low + part * (high - low);
            let (mean, std) = moments(&values);
            // The resting device of the pair errs as well; at zero its error is cut at zero conductance.
            let rest =
                if low == 0.0 { sigma(0.0) * (0.5 - 0.5 / std::f64::consts::PI).sqrt() } else { sigma(low) };
            let expected = (sigma(g).powi(2) + rest * rest).sqrt() / (high - low);
            assert!(
                (std / expected - 1.0).abs() < 4.0 / 20_000_f64.sqrt() + 2e-3,
                "{name} at {g}: {std} {expected}"
            );
            let shift =
                if low == 0.0 { sigma(0.0) / std::f64::consts::TAU.sqrt() / (high - low) } else { 0.0 };
            assert!((mean - part + shift).abs() < 4.0 * expected / 100.0 + 1e-4, "{name} at {g}: {mean}");
        }
    }
    let spec = imperfections(
        json!({ "programming": { "weight_max": 1.0, "g_min": 0.2, "noise": { "relative": { "std": 0.1 } } } }),
    );
    let [one, same, other] = [4, 4, 5].map(|write| forward(&flat(0.5, &spec, write)));
    assert_eq!(one, same);
    assert!(one.iter().zip(&other).all(|(a, b)| a != b), "each write errs anew");
}

fn pulsed(start: f64, change: f64, rule: Value, write: u64) -> Vec<f64> {
    let spec = imperfections(json!({ "programming": { "weight_max": 2.0, "update": rule } }));
    let (network, mut parameters) = uniform(start);
    let (_, wanted) = uniform(change);
    let device = Device::fabricate(&network, &spec);
    device.update(&mut parameters, &wanted, write);
    let bias = network.layers[0].bias.unwrap();
    assert_eq!(parameters.at(bias)[0], start + change, "biases are not pulsed");
    parameters.at(network.recurrent().next().unwrap().1.weight).as_slice().to_vec()
}

#[test]
fn pulses_follow_the_step_laws() {
    let all = |values: Vec<f64>, expected: f64| {
        values.iter().for_each(|w| assert_relative_eq!(*w, expected, epsilon = 1e-12));
    };
    // x = w/2, steps of 0.01: a change of 0.2 is 10 pulses, one of 0.035 is lost beyond the first.
    let rule = |law: Value| json!({ "step": 0.01, "law": law, "remainder": "lost" });
    all(pulsed(0.5, 0.2001, rule(json!("constant")), 0), 0.7);
    all(pulsed(0.5, -0.035, rule(json!("constant")), 0), 0.48);
    all(pulsed(0.5, 0.015, rule(json!("constant")), 0), 0.5);
    all(pulsed(1.9, 0.4001, rule(json!("constant")), 0), 2.0);
    all(pulsed(0.5, 0.2001, rule(json!("soft_bound")), 0), 2.0 * (1.0 - 0.75 * 0.99_f64.powi(10)));
    all(pulsed(0.5, -0.2001, rule(json!("soft_bound")), 0), 2.0 * (1.25 * 0.99_f64.powi(10) - 1.0));
    let gamma = 3.0;
    let exponential = |direction: f64| {
        2.0 * (0..10).fold(0.25, |x: f64, _| x + direction * 0.01 * (-direction * gamma * x).exp())
    };
    let law = json!({ "exponential": { "gamma": gamma } });
    all(pulsed(0.5, 0.2001, rule(law.clone()), 0), exponential(1.0));
    all(pulsed(0.5, -0.2001, rule(law), 0), exponential(-1.0));
    let uneven = json!({ "step": 0.01, "asymmetry": 0.3, "remainder": "lost" });
    all(pulsed(0.0, 0.2001, uneven.clone(), 0), 0.26);
    all(pulsed(0.0, -0.2001, uneven, 0), -0.14);
    assert!(pulsed(0.0, f64::INFINITY, rule(json!("constant")), 0).iter().all(|w| w.is_infinite()));
}

#[test]
fn steps_are_right_on_average_and_spread_over_devices_and_cycles() {
    // 0.0074/2 in steps of 0.01: a pulse with probability 0.37.
    let (mean, std) = moments(&pulsed(0.0, 0.0074, json!({ "step": 0.01 }), 2));
    assert!((mean - 0.0074).abs() < 4.0 * std / 100.0);
    assert_relative_eq!(std, 0.02 * (0.37_f64 * 0.63).sqrt(), max_relative = 0.03);
    let z = |values: Vec<f64>, std: f64| values.into_iter().map(|w| (w - 0.2) / std).collect::<Vec<_>>();
    let cycles = json!({ "step": 0.01, "cycle_spread": 0.3, "remainder": "lost" });
    let spread = 0.02 * 0.3 * 10_f64.sqrt();
    assert!(follows(z(pulsed(0.0, 0.2001, cycles, 0), spread), normal));
    let devices = json!({ "step": 0.01, "device_spread": 0.1, "remainder": "lost" });
    let [one, other] = [0, 1].map(|write| pulsed(0.0, 0.2001, devices.clone(), write));
    assert_eq!(one, other, "a device keeps its step");
    assert!(follows(z(one, 0.02), normal));
}

#[test]
fn conductances_drift_and_leak() {
    let (network, parameters) = uniform(0.8);
    let at = |drift: Value, seconds: f64| {
        let spec = imperfections(json!({ "drift": drift }));
        let device = Device::fabricate(&network, &spec);
        let mut effective = Effective::new(&network, Form::Potential, &parameters);
        device.program_at(&parameters, 0, seconds, &mut effective);
        forward(&effective)
    };
    let power = json!({ "seconds": 0.0, "law": { "power": { "nu": 0.1, "t0": 2.0 } } });
    assert_relative_eq!(at(power.clone(), 2000.0)[0], 0.8 * 1000_f64.powf(-0.1), max_relative = 1e-12);
    assert_relative_eq!(at(power, 1.0)[0], 0.8, max_relative = 1e-12);
    assert_relative_eq!(
        at(json!({ "seconds": 0.0, "leak": 50.0 }), 25.0)[0],
        0.8 * (-0.5_f64).exp(),
        max_relative = 1e-12
    );
    let spread = json!({ "seconds": 0.0, "law": { "power": { "nu": 0.1, "nu_spread": 0.02 } } });
    let exponents = |seconds: f64| -> Vec<f64> {
        at(spread.clone(), seconds).iter().map(|w| -(w / 0.8).ln() / seconds.ln()).collect()
    };
    assert!(follows(exponents(1e4).iter().map(|nu| (nu - 0.1) / 0.02).collect(), normal));
    exponents(1e4).iter().zip(exponents(1e2)).for_each(|(a, b)| assert_relative_eq!(*a, b, epsilon = 1e-9));
}

#[test]
fn phase_change_memory_has_the_published_drift_and_read_noise() {
    assert_relative_eq!(pcm_exponent(1.0).0, 0.049);
    assert_relative_eq!(pcm_exponent(0.05).0, -0.0155 * 0.05_f64.ln() + 0.0244);
    assert_relative_eq!(pcm_exponent(1e-6).0, 0.1);
    assert_relative_eq!(
        pcm_read_noise(0.5, 1.0),
        0.0088 * 0.5_f64.powf(-0.65) * (2e6_f64 + 0.5).ln().sqrt(),
        max_relative = 1e-9
    );
    assert_relative_eq!(pcm_read_noise(1e-4, 250e-9), 0.0);
    let drift = Drift { seconds: 0.0, law: Some(DriftLaw::Pcm), leak: None };
    assert_relative_eq!(
        drift.conductance(2e4, 25.0, 24.0, 0.0, 0.0),
        24.0 * 1000_f64.powf(-0.049),
        max_relative = 1e-12
    );
    // The preset as a whole, on weights at half the range: mean decay and spread.
    let (network, parameters) = uniform(0.5);
    let spec = imperfections(
        json!({ "preset": "pcm", "programming": { "g_max": 25.0, "weight_max": 1.0, "noise": null } }),
    );
    let device = Device::fabricate(&network, &spec);
    let mut effective = Effective::new(&network, Form::Potential, &parameters);
    let seconds = 86_400.0;
    device.program_at(&parameters, 0, seconds, &mut effective);
    let (nu, nu_spread) = pcm_exponent(0.5);
    let decades = (seconds / 20.0).ln();
    let drifted = 0.5 * (-nu * decades + 0.5 * (nu_spread * decades).powi(2)).exp();
    let (mean, std) = moments(&forward(&effective));
    let expected =
        drifted * ((nu_spread * decades).powi(2).exp_m1() + pcm_read_noise(0.5, seconds).powi(2)).sqrt();
    assert!((mean - drifted).abs() < 4.0 * expected / 100.0, "{mean} {drifted}");
    assert_relative_eq!(std, expected, max_relative = 0.03);
}

/// The pre-activation of layer b with and without noise, at one state of rates, over many samples.
fn kicks(spec: &Imperfections, rails: usize) -> (Vec<f64>, Vec<f64>, f64) {
    let (network, parameters) = uniform(0.1);
    let effective = Effective::new(&network, Form::Potential, &parameters);
    let count = 100;
    let targets = vec![0.3; 100 * count];
    let samples = Samples { inputs: vec![0.5; 2 * count], targets, count, first: 0 };
    let run = |noisy: bool| {
        let mut field = Dynamics::new(&effective, &samples, rails);
        field.teach(Teaching::constant(Complex::new(0.2, 0.1)));
        if noisy {
            let noise = Disturbances::new(&spec.instant().unwrap(), 1, 0, field.shape(), 2, 0);
            field.hold_noise(noise, &samples.inputs);
        }
        field.begin_step(0);
        let shape = field.shape().clone();
        let mut state = vec![0.4; shape.len()];
        for layer in 0..2 {
            let split = shape.real(layer).end;
            state[split..shape.layer(layer).end].fill(0.2);
        }
        let mut out = vec![0.0; shape.len()];
        field.target(Time::at(0), &state, &mut out);
        (out[shape.layer(1)].to_vec(), field.rates()[shape.layer(1)][0])
    };
    let ((noisy, rate), (quiet, _)) = (run(true), run(false));
    let mut kicks: Vec<f64> = noisy.iter().zip(quiet).map(|(a, b)| a - b).collect();
    let imaginary = kicks.split_off(100 * count);
    (kicks, imaginary, rate)
}

#[test]
fn lumped_synapse_noise_has_the_law_of_independent_synapses() {
    let u = Complex::new(0.4_f64, 0.2);
    let a = u.tanh();
    for (rails, correlation) in [("equal", a.re * a.im / (a.re.abs() * a.im.abs())), ("independent", 0.0)] {
        let spec = imperfections(json!({ "synapse_noise": { "held": { "std": 0.03, "rails": rails } } }));
        let (re, im, _) = kicks(&spec, 2);
        // Layer b hears the 100 rates of layer a.
        let (re_std, im_std) = (0.3 * a.re, 0.3 * a.im);
        assert!(follows(re.iter().map(|x| x / re_std).collect(), normal), "{rails}");
        assert!(follows(im.iter().map(|x| x / im_std).collect(), normal), "{rails}");
        let cross = re.iter().zip(&im).map(|(a, b)| a * b).sum::<f64>() / 1e4 / (re_std * im_std);
        assert!((cross - correlation).abs() < 0.05, "{rails}: {cross}");
    }
}

#[test]
fn teaching_noise_moves_beta_and_nothing_else() {
    let spec =
        imperfections(json!({ "teaching_noise": { "held": { "std": 0.05, "rails": "independent" } } }));
    let (re, im, _) = kicks(&spec, 2);
    // kick = −ξ (a − y), one ξ for each sample.
    let error = Complex::new(0.4, 0.2).tanh() - 0.3;
    let xi: Vec<Complex<f64>> =
        re.iter().zip(&im).step_by(100).map(|(re, im)| -Complex::new(*re, *im) / error).collect();
    assert!(follows(xi.iter().map(|x| x.re / 0.05).collect(), normal));
    assert!(follows(xi.iter().map(|x| x.im / 0.05).collect(), normal));
    for (sample, xi) in xi.iter().enumerate() {
        for k in [7, 99] {
            let kick = Complex::new(re[100 * sample + k], im[100 * sample + k]);
            assert!((kick + xi * error).norm() < 1e-12);
        }
    }
}

#[test]
fn input_noise_passes_through_the_input_weights() {
    // Layer a receives 0.1 (ξ₁ + ξ₂), equal for all of its neurons; layer b nothing.
    let spec = imperfections(json!({ "input_noise": { "held": { "std": 0.5 } } }));
    let (network, parameters) = uniform(0.1);
    let effective = Effective::new(&network, Form::Potential, &parameters);
    let count = 2000;
    let samples = Samples { inputs: vec![0.5; 2 * count], targets: vec![0.0; 100 * count], count, first: 0 };
    let mut field = Dynamics::new(&effective, &samples, 1);
    let noise = Disturbances::new(&spec.instant().unwrap(), 1, 0, field.shape(), 2, 0);
    field.hold_noise(noise, &samples.inputs);
    field.begin_step(0);
    let shape = field.shape().clone();
    let mut out = vec![0.0; shape.len()];
    field.target(Time::at(0), &vec![0.0; shape.len()], &mut out);
    let a: Vec<f64> = out[shape.layer(0)].iter().step_by(100).map(|x| x - 0.2).collect();
    assert!(follows(a.iter().map(|x| x / (0.05 * 2_f64.sqrt())).collect(), normal));
    assert!(out[shape.layer(1)].iter().all(|x| (*x - 0.1).abs() < 1e-15));
}

fn driven(problem: &Problem, spec: &Imperfections, samples: &Samples<f64>) -> Estimate<f64> {
    let oscillation = json!({ "oscillation": { "amplitude": 0.3, "period": 20.0, "integrator": { "heun": { "step": 0.25 } } } });
    let estimator: EstimatorSpec = serde_json::from_value(oscillation).unwrap();
    estimator.validate(&problem.network, Form::Potential, Some(spec)).unwrap();
    let device = Device::fabricate(&problem.network, spec);
    let effective = device.effective(Form::Potential, &problem.parameters, 2);
    let noise = spec.instant().map(|instant| (instant, 11));
    let setting = Setting { effective: &effective, noise, update: 4, diagnose: true };
    estimate_batch(&*estimator.build(), &setting, samples, &mut Vec::new()).unwrap()
}

#[test]
fn a_phase_error_mixes_the_quadrature_into_the_gradient() {
    let problem = toy();
    let plain = driven(&problem, &imperfections(json!({})), &problem.samples);
    let phase: f64 = 0.3;
    let turned =
        driven(&problem, &imperfections(json!({ "readout": { "phase_error": phase } })), &problem.samples);
    let quadrature = plain.quadrature.unwrap();
    for index in 0..2 {
        let expected = plain.gradient.at(index) * phase.cos() + quadrature.at(index) * phase.sin();
        assert!((turned.gradient.at(index) - expected).amax() < 1e-10);
    }
}

#[test]
fn a_converter_rounds_what_the_lock_in_sees() {
    let problem = toy();
    let plain = driven(&problem, &imperfections(json!({})), &problem.samples);
    let adc = |bits: u32| {
        let spec = imperfections(json!({ "readout": { "adc": { "bits": bits, "range": [0.0, 1.0] } } }));
        driven(&problem, &spec, &problem.samples)
    };
    let error = |bits| (adc(bits).gradient.at(1) - plain.gradient.at(1)).norm() / plain.gradient.at(1).norm();
    let (coarse, fine) = (error(6), error(16));
    println!("6 bits: {coarse:.2e}, 16 bits: {fine:.2e}");
    assert!(coarse > 1e-3 && fine < 1e-3 * coarse.max(0.1));
    // An offset shifts the believed rest by as much, and the response not at all.
    let offset = imperfections(json!({ "readout": { "offset_std": 0.1 } }));
    let shifted = driven(&problem, &offset, &problem.samples);
    let shifts: Vec<f64> = (&shifted.free[0] - &plain.free[0]).iter().copied().collect();
    assert!(shifts.iter().all(|s| *s != 0.0 && s.abs() < 0.5));
    assert!((&shifted.error_vector[0] - &plain.error_vector[0]).amax() < 1e-10);
}

#[test]
fn the_same_seeds_give_the_same_bits_for_any_threads_and_any_cut() {
    let model = json!({ "name": "m", "input": 6, "activation": "tanh",
        "layers": [{ "name": "h", "size": 9 }, { "name": "o", "size": 5 }],
        "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": { "rotated": { "angle": 30.0 } } }],
        "readout": { "from": "o", "classes": 3 } });
    let problem = random(model, 33, 3);
    let spec = imperfections(json!({
        "device_seed": 8,
        "fabrication": { "gain": { "std": 0.1 }, "offset": { "std": 0.1 }, "tau": { "std": 0.1 }, "input": { "std": 0.1 },
            "weight": { "std": 0.1 }, "feedback": { "std": 0.1 }, "dead": 0.05 },
        "programming": { "bits": 6, "noise": { "relative": { "std": 0.05 } } },
        "drift": { "seconds": 100.0, "law": { "power": { "nu": 0.05, "nu_spread": 0.01 } } },
        "state_noise": { "one_over_f": { "std": 0.02, "shortest": 1.0, "longest": 100.0 } },
        "input_noise": { "white": { "std": 0.02 } },
        "synapse_noise": { "ornstein_uhlenbeck": { "std": 0.01, "correlation_time": 3.0, "rails": "equal" } },
        "teaching_noise": { "telegraph": { "std": 0.01, "dwell_time": 4.0 } },
        "readout": { "adc": { "bits": 12, "range": [-1.0, 1.0] }, "phase_error": 0.02, "offset_std": 0.01 } }));
    let threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| driven(&problem, &spec, &problem.samples))
    };
    let (one, four) = (threads(1), threads(4));
    assert_eq!(one.gradient, four.gradient);
    assert_eq!(one.error_vector, four.error_vector);
    // The last 13 samples on their own: the same trajectories, cut elsewhere.
    let samples = &problem.samples;
    let tail = Samples {
        inputs: samples.inputs[20 * 6..].to_vec(),
        targets: samples.targets[20 * 3..].to_vec(),
        count: 13,
        first: 20,
    };
    let alone = driven(&problem, &spec, &tail);
    for (all, some) in one.error_vector.iter().zip(&alone.error_vector) {
        assert_eq!(all.columns(20, 13), some.columns(0, 13));
    }
    let other = driven(&problem, &Imperfections { device_seed: 9, ..spec }, samples);
    assert_ne!(one.gradient, other.gradient);
}

#[test]
fn presets_expand_cite_their_source_and_refuse_what_was_not_published() {
    for preset in Preset::ALL {
        let table = imperfections(json!(preset.name()));
        assert_eq!(table, imperfections(json!({ "preset": preset.name() })));
        assert_eq!(table, imperfections(json!(preset.name().replace('_', "-"))));
        assert_eq!(
            table,
            imperfections(serde_json::to_value(table).unwrap()),
            "a resolved table stays itself"
        );
        assert!(preset.citation().len() > 20);
        assert_eq!(
            (preset == Preset::Ideal),
            table == Imperfections { preset: Some(preset), ..Imperfections::default() }
        );
    }
    let finding = |value: Value| {
        let spec: Imperfections = serde_json::from_value(value).unwrap();
        spec.validate().unwrap_err()
    };
    let too_far = finding(json!({ "programming": { "g_max": 60.0, "noise": "rram-wan" } }));
    assert_eq!((too_far.path.as_str(), too_far.found.as_str()), ("programming.g_max", "found 60 uS"));
    assert!(too_far.legal.contains("0 to 39"));
    assert_eq!(finding(json!({ "preset": "rram-milo", "programming": { "g_min": 1.0, "g_max": 225.0, "noise": "rram_milo" } })).path, "programming.g_min");
    assert_eq!(
        finding(json!({ "preset": "pcm", "programming": { "g_max": 30.0 } })).path,
        "programming.g_max"
    );
    assert_eq!(finding(json!({ "fabrication": { "tau": {} } })).path, "fabrication.tau");
    assert_eq!(finding(json!({ "fabrication": { "dead": 1.5 } })).path, "fabrication.dead");
    assert_eq!(
        finding(json!({ "synapse_noise": { "telegraph": { "std": 1.0, "dwell_time": 1.0 } } })).path,
        "synapse_noise"
    );
    assert_eq!(
        finding(json!({ "readout": { "adc": { "bits": 8, "range": [1.0, 0.0] } } })).path,
        "readout.adc.range"
    );
    assert_eq!(
        finding(json!({ "programming": { "update": { "step": 0.01 } } })).path,
        "programming.weight_max"
    );
    let schema = serde_json::to_string(&schemars::schema_for!(Imperfections)).unwrap();
    assert!(schema.contains("cmo_hfox") && schema.contains("device_seed"));
    let unknown = serde_json::from_value::<Imperfections>(json!("magic")).unwrap_err().to_string();
    assert!(unknown.contains("magic") && unknown.contains("ecram"), "{unknown}");
    assert!(serde_json::from_value::<Imperfections>(json!({ "drifts": {} })).is_err());
}

#[test]
fn estimators_refuse_noise_that_their_integrator_cannot_carry() {
    let problem = toy();
    let check = |estimator: Value, spec: Value| {
        let estimator: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        estimator.validate(&problem.network, Form::Potential, Some(&imperfections(spec))).unwrap_err()
    };
    let adaptive = json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "integrator": "dopri5" } });
    for source in ["state_noise", "input_noise", "synapse_noise", "teaching_noise"] {
        let error = check(
            adaptive.clone(),
            json!({ source: { "ornstein_uhlenbeck": { "std": 0.1, "correlation_time": 1.0 } } }),
        );
        assert!(error.found.contains(source), "{error:?}");
    }
    let map = json!({ "staircase": { "amplitude": 0.1, "hold": 30.0 } });
    assert!(check(map.clone(), json!({ "input_noise": { "white": { "std": 0.1 } } })).found.contains("map"));
    assert!(check(map, json!("cmos")).found.contains("time constants"));
    let frozen = json!({ "cauchy": { "amplitude": 0.1, "points": 4 } });
    assert!(
        check(frozen, json!({ "input_noise": { "white": { "std": 0.1 } } })).found.contains("equilibria")
    );
}
