//! Neurons with parasitics and connections with a delay: beside their theory, and from run to run.

use std::fs;

use holograd::experiment::frequency::record::FrequencyPoint;
use holograd::experiment::{self, Memory, Options};
use holograd::imperfections::Imperfections;
use holograd::learning::{Learner, Optimiser, OptimiserSpec, Plasticity, Protocol, Schedule};
use holograd::simulation::integrators::IntegratorSpec;
use holograd::substrate::neurons::form::Form;
use serde_json::{Value, json};

use crate::common::{self, random};
use crate::program::{metrics, succeed};

fn points(name: &str, overrides: &[&str]) -> Vec<FrequencyPoint> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let mut memory = Memory::default();
    experiment::load(name, &overrides).unwrap().run(&mut memory, &Options::default()).unwrap();
    memory.records().unwrap()
}

#[test]
fn parasitics_are_on_their_theory_and_extrapolation_removes_their_bias() {
    for name in ["neurons/synapse", "neurons/amplifier", "neurons/delay"] {
        let points = points(name, &["periods=[28.0,80.0]"]);
        for point in &points {
            let off = (point.relative_error / point.theory - 1.0).abs();
            assert!(off < 0.01, "{name}, T = {}, {}: off by {off}", point.period, point.richardson);
        }
        for three in points.iter().filter(|point| point.richardson == 3) {
            let one = points.iter().find(|p| p.period == three.period && p.richardson == 1).unwrap();
            assert!(std::f64::consts::TAU / one.period < 0.5 * one.slowest_rate, "{name}");
            let gained = one.relative_error / three.relative_error;
            println!(
                "{name}, T = {}: {:.2e} with one period, {gained:.0} times less with three",
                one.period, one.relative_error
            );
            assert!(gained > 100.0, "{name}: {gained}");
        }
    }
}

#[test]
fn theory_is_of_the_neurons_that_were_drawn() {
    let of = |imperfections: Value| {
        let imperfections = format!("imperfections={imperfections}");
        points("neurons/synapse", &["periods=[28.0]", &imperfections])
    };
    let nominal = of(json!({ "device_seed": 3 }));
    let spread = json!({ "h1": { "tau_s": { "std": 0.4 } }, "h2": { "tau_s": { "std": 0.4 } } });
    let drawn = of(json!({ "device_seed": 3, "fabrication": { "parameters": spread } }));
    for (drawn, nominal) in drawn.iter().zip(&nominal) {
        assert!((drawn.relative_error / drawn.theory - 1.0).abs() < 0.01, "{drawn:?}");
        assert!((drawn.theory / nominal.theory - 1.0).abs() > 0.005, "{drawn:?} {nominal:?}");
    }
    let refused = format!("imperfections={}", json!({ "state_noise": { "held": { "std": 0.1 } } }));
    let error = experiment::load("neurons/synapse", &[refused]).unwrap_err().to_string();
    assert!(error.contains("at `imperfections`: found noise"), "{error}");
}

fn late() -> Value {
    json!({ "name": "late", "input": 3, "activation": "tanh",
        "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied", "delay": 1.5 }],
        "readout": { "from": "b", "classes": 3 } })
}

#[test]
fn a_checkpoint_of_continuous_learning_holds_what_is_on_its_way() {
    let problem = random(late(), 4, 3);
    let inputs = nalgebra::DMatrix::from_fn(3, 4, |i, j| problem.samples.inputs[3 * j + i] as f32);
    let data = holograd::data::Dataset::new(inputs, vec![0, 1, 2, 0], 3, "test");
    let begun = || {
        let protocol = Protocol {
            seed: 0,
            imperfections: Imperfections::default(),
            form: Form::Potential,
            integrator: IntegratorSpec::Rk4 { step: 0.25 },
            step: 0.25,
            amplitude: 0.1,
            period: 40,
            presentation: 60,
            poles: 1,
            time_constant: 20.0,
            schedule: Schedule::Constant,
            epochs: 2,
        };
        let euler = OptimiserSpec::Sgd { learning_rate: 0.25 * 0.01, momentum: 0.0, weight_decay: 0.0 };
        let optimiser = Optimiser::new(euler, &std::collections::BTreeMap::new(), &problem.network).unwrap();
        Plasticity::<f64>::new(protocol, &problem.network, problem.parameters.clone(), optimiser)
    };
    let mut whole = begun();
    (0..2).for_each(|_| whole.epoch(&data, |_, _, _| ()).unwrap());
    let mut first = begun();
    first.epoch(&data, |_, _, _| ()).unwrap();
    let mut second = begun();
    second.restore(&mut first.snapshot()).unwrap();
    second.epoch(&data, |_, _, _| ()).unwrap();
    assert_eq!(second.state, whole.state);
    assert_eq!(second.parameters, whole.parameters);
    // The longest delay is 6 steps: 9 ticks of 7 neurons on two rails.
    assert_eq!(first.snapshot().arrays.get("delayed").unwrap().shape, [9 * 7 * 2]);
}

#[test]
fn a_training_with_carried_states_and_delays_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut model: Value =
        serde_json::from_slice(&fs::read(common::path("models/digits.json")).unwrap()).unwrap();
    model["connections"][1]["delay"] = json!(1.0);
    let model = format!("model={model}");
    let run = |out: &str, epochs: &str, threads: &str, resume: &[&str]| {
        let head = ["run", "digits", "--out", out, "--threads", threads, "--set", &model, "--set", epochs];
        let rest = ["data.digits.test_fraction=0.9", "batch_size=32", "compare=10", "schedule=constant"];
        let rest = rest.iter().flat_map(|text| ["--set", text]);
        succeed(path, &head.into_iter().chain(rest).chain(resume.iter().copied()).collect::<Vec<_>>());
    };
    run("whole", "epochs=3", "2", &[]);
    run("cut", "epochs=1", "1", &[]);
    run("cut", "epochs=3", "1", &["--resume"]);
    let learnt = |out: &str| fs::read(path.join(out).join("parameters.safetensors")).unwrap();
    assert!(learnt("whole") == learnt("cut"));
    assert_eq!(metrics(&path.join("whole")).len(), 3);
}
