//! Samples that do not settle: dropped from their batch, or estimated from two real points.

use std::fs;

use crate::common::{Problem, random};
use crate::program::{self, metrics, succeed};
use holograd::gradient::{Estimate, EstimatorSpec, Setting, Sifted, Unsettled, estimate_batch};
use holograd::substrate::neurons::form::Form;
use serde_json::{Value, json};

fn problem(samples: usize) -> Problem {
    let model = json!({ "name": "any", "input": 3, "activation": "tanh", "initialisation": { "normal": { "scale": 1.1 } },
        "layers": [{ "name": "a", "size": 6 }, { "name": "b", "size": 5 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 3 } });
    random(model, samples, 4)
}

fn sifted(
    problem: &Problem,
    estimator: &Value,
    unsettled: Unsettled,
) -> holograd::error::Result<Estimate<f64>> {
    let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
    unsettled.validate(&spec).unwrap();
    let effective = problem.effective(Form::Rate);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    estimate_batch(&Sifted::<f64>::new(spec, unsettled), &setting, &problem.samples, &mut Vec::new())
}

fn cauchy(amplitude: f64, points: u64, steps: f64) -> Value {
    json!({ "cauchy": { "amplitude": amplitude, "points": points,
        "settle": { "step": 1.0, "tolerance": 0.0, "max_time": steps } } })
}

/// The mean of what estimates say of single samples.
fn mean(problem: &Problem, places: &[usize], estimator: &Value) -> Estimate<f64> {
    let alone = |place: &usize| problem.only(*place..place + 1).estimate(Form::Rate, estimator.clone());
    let estimates: Vec<Estimate<f64>> = places.iter().map(alone).collect();
    let mut mean = estimates[0].clone();
    estimates[1..].iter().for_each(|e| mean.gradient.add_scaled(1.0, &e.gradient));
    mean.gradient.scale(1.0 / places.len() as f64);
    mean
}

fn off(a: &Estimate<f64>, b: &Estimate<f64>) -> f64 {
    let values =
        |e: &Estimate<f64>| (0..e.gradient.len()).flat_map(|i| e.gradient.at(i).to_vec()).collect::<Vec<_>>();
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn what_has_not_settled_is_left_out_of_the_mean() {
    let problem = problem(23);
    let estimator = cauchy(0.1, 2, 9.0);
    let residual = |place: usize| {
        problem.only(place..place + 1).estimate(Form::Rate, estimator.clone()).diagnostics.settling_residual
    };
    let residuals: Vec<f64> = (0..23).map(residual).collect();
    let mut sorted = residuals.clone();
    sorted.sort_by(f64::total_cmp);
    let bound = 0.5 * (sorted[17] + sorted[18]);
    let (slow, settled): (Vec<usize>, Vec<usize>) = (0..23).partition(|place| residuals[*place] > bound);
    assert_eq!((slow.len(), settled.len()), (5, 18));
    let found = sifted(&problem, &estimator, Unsettled { residual: bound, two_points: false }).unwrap();
    assert_eq!(found.diagnostics.dropped, slow);
    assert_eq!((found.free[0].ncols(), found.output_error.ncols()), (18, 18));
    assert!(off(&found, &mean(&problem, &settled, &estimator)) < 1e-14);
    // With a generous bound nothing changes, to the bit.
    let all = sifted(&problem, &estimator, Unsettled { residual: 1e3, two_points: false }).unwrap();
    assert_eq!(all.gradient, problem.estimate(Form::Rate, estimator.clone()).gradient);
    let error = sifted(&problem, &estimator, Unsettled { residual: 1e-300, two_points: false }).unwrap_err();
    assert!(error.is_failed_simulation() && error.to_string().contains("every one of 23 samples"), "{error}");
}

/// A complex phase runs away where the two real ones settle.
#[test]
fn two_real_points_stand_in_for_complex_ones_that_run_away() {
    let problem = problem(4);
    let unsettled = Unsettled { residual: 1e-3, two_points: true };
    let places = [0, 1, 2, 3];
    let mut stood_in = 0;
    for amplitude in [0.5, 1.0, 2.0, 4.0, 8.0] {
        let many = cauchy(amplitude, 8, 120.0);
        let found = sifted(&problem, &many, unsettled).unwrap();
        stood_in += found.diagnostics.two_points;
        println!(
            "{amplitude}: {} from two points, dropped {:?}",
            found.diagnostics.two_points, found.diagnostics.dropped
        );
        if found.diagnostics.two_points == 4 {
            assert!(off(&found, &mean(&problem, &places, &cauchy(amplitude, 2, 120.0))) < 1e-14);
        }
    }
    assert!(stood_in > 0, "no amplitude was too large");
}

#[test]
fn a_run_counts_what_it_has_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = |estimator: Value, more: Value| {
        let mut experiment = json!({ "kind": "train", "epochs": 2, "batch_size": 10, "compare": 10,
            "data": { "toy_gaussian": { "inputs": 3, "classes": 3, "samples": 50 } },
            "model": { "name": "any", "input": 3, "activation": "tanh", "initialisation": { "normal": { "scale": 1.1 } },
                "layers": [{ "name": "a", "size": 6 }, { "name": "b", "size": 5 }],
                "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
                "readout": { "from": "b", "classes": 3 } },
            "estimator": estimator, "optimiser": { "sgd_w": { "learning_rate": 0.01, "weight_decay": 0.1 } } });
        let fields = experiment.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        fs::write(folder.path().join("e.json"), experiment.to_string()).unwrap();
    };
    // So short a wait leaves residuals of about this size.
    experiment(cauchy(0.1, 4, 12.0), json!({ "unsettled": { "residual": 0.08 } }));
    let told = succeed(folder.path(), &["run", "e.json", "--out", "out"]);
    let lines = metrics(&folder.path().join("out"));
    let dropped: u64 = lines.iter().map(|line| line["dropped"].as_u64().unwrap_or(0)).sum();
    assert!((1..80).contains(&dropped), "{dropped} of 80: {told}");
    assert!(
        told.contains(&format!("of 80 samples shown, {dropped} did not settle and were dropped")),
        "{told}"
    );
    assert_eq!(program::json(folder.path().join("out/summary.json"))["dropped"], json!(dropped));

    let refused = |estimator: Value, more: Value, needles: &[&str]| {
        experiment(estimator, more);
        let output = program::run(folder.path(), &["check", "e.json"]);
        let told = program::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        needles.iter().for_each(|needle| assert!(told.contains(needle), "{needle} is not in {told}"));
    };
    refused(
        cauchy(0.1, 2, 12.0),
        json!({ "unsettled": { "residual": 1.0, "two_points": true } }),
        &["`unsettled.two_points`", "more than 2 points"],
    );
    refused(cauchy(0.1, 2, 12.0), json!({ "unsettled": { "residual": 0.0 } }), &["`unsettled.residual`"]);
    refused(
        cauchy(0.1, 2, 12.0),
        json!({ "unsettled": { "residual": 1.0 }, "carry_state": true }),
        &["`unsettled`", "carry_state"],
    );
    refused(
        cauchy(0.1, 2, 12.0),
        json!({ "weight_decays": { "b-c": 1.0 } }),
        &["`weight_decays.b-c`", "a-b"],
    );
}
