//! Each imperfection alone has the law that its definition says; together they are the same device, noise and bits every time.

mod fabrication;
mod programming;
mod running;

use std::sync::Arc;

use crate::common::{Problem, random, toy};
use approx::assert_relative_eq;
use holograd::gradient::compare::compare;
use holograd::gradient::{Estimate, EstimatorSpec, Setting, Surroundings, estimate_batch};
use holograd::imperfections::drift::{Drift, DriftLaw, pcm_exponent, pcm_read_noise};
use holograd::imperfections::instant::Disturbances;
use holograd::imperfections::programming::WriteNoise;
use holograd::imperfections::{Device, Imperfections, Preset};
use holograd::simulation::integrators::VectorField;
use holograd::simulation::teaching::{Teaching, Time};
use holograd::substrate::Field;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::interactions::Direction;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
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
    effective.recurrent().find(|(_, e, _)| e.direction == Direction::Forward).unwrap().2.weights().to_vec()
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

fn driven(problem: &Problem, spec: &Imperfections, samples: &Samples<f64>) -> Estimate<f64> {
    let oscillation = json!({ "oscillation": { "amplitude": 0.3, "period": 20.0, "integrator": { "heun": { "step": 0.25 } } } });
    let estimator: EstimatorSpec = serde_json::from_value(oscillation).unwrap();
    estimator.validate(&problem.network, Form::Potential, Some(spec)).unwrap();
    let device = Device::fabricate(&problem.network, spec);
    let effective = device.effective(Form::Potential, &problem.parameters, 2);
    let noise = spec.instant().map(|instant| Surroundings::new(instant, 11));
    let setting = Setting { substrate: &effective, noise, update: 4, diagnose: true };
    estimate_batch(&*estimator.build(), &setting, samples, &mut Vec::new()).unwrap()
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
            imperfections(serde_json::to_value(&table).unwrap()),
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
