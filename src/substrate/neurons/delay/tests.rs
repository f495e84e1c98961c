//! Delays against the closed form, whose Jacobian is put together here from the weights; what is carried on; and what is refused.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::{Value, json};

use super::*;
use crate::error::Invalid;
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{Estimate, EstimatorSpec, Setting, estimate_batch};
use crate::imperfections::Imperfections;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Rates t³ − t of a network of one neuron, known at the ticks of a step of 1.
fn line(delays: &[f64], ticks: u64) -> Line<f64> {
    let mut line = Line::kept(delays, 1.0, 1, &mut vec![0.0]);
    for tick in 0..ticks {
        line.begin_step();
        line.keep(Time::at(tick), &[course(tick as f64)]);
    }
    line
}

fn course(t: f64) -> f64 {
    t.powi(3) - t
}

#[test]
fn what_was_sent_arrives_that_much_later() {
    let delays = [1.0, 2.0, 5.0];
    let mut line = line(&delays, 20);
    for fraction in [0.0, 0.5, 1.0] {
        line.keep(Time { tick: 19, fraction }, &[f64::NAN]);
        for delay in delays {
            let (found, sent) = (line.heard(delay).unwrap()[0], course(19.0 + fraction - delay));
            assert!((found / sent - 1.0).abs() < 1e-14, "{delay} {fraction}: {found} {sent}");
        }
    }
    assert_eq!(line.heard(0.0), None);
}

#[test]
fn a_network_has_been_for_all_time_where_it_begins() {
    let mut line = Line::kept(&[3.0], 0.5, 2, &mut vec![0.0, 0.0]);
    line.begin_step();
    line.keep(Time::at(0), &[0.25, 0.5]);
    assert_eq!(line.heard(3.0).unwrap(), [0.25, 0.5]);
}

#[test]
fn what_is_on_its_way_goes_on_behind_the_state() {
    let mut whole = line(&[4.0], 30);
    let begun = line(&[4.0], 12);
    let mut state = vec![7.0];
    begun.append_to(&mut state);
    assert_eq!(state.len(), 1 + 7);
    let mut resumed = Line::kept(&[4.0], 1.0, 1, &mut state);
    assert_eq!(state, [7.0]);
    for tick in 12..30 {
        resumed.begin_step();
        resumed.keep(Time::at(tick), &[course(tick as f64)]);
    }
    for line in [&mut whole, &mut resumed] {
        line.keep(Time { tick: 29, fraction: 0.5 }, &[f64::NAN]);
    }
    assert_eq!(whole.heard(4.0), resumed.heard(4.0));
    // Of another length it is none of this network's.
    let mut other = vec![0.0; 5];
    assert!(!Line::kept(&[4.0], 1.0, 1, &mut other).ring.unwrap().has_past);
    assert_eq!(other.len(), 5);
}

/// h1 of four neurons, h2 of three with a loop of its own, over connections that are late by 0.5 and 1.25 τ.
fn model() -> Value {
    json!({ "name": "late", "input": 3, "activation": "tanh",
        "layers": [{ "name": "h1", "size": 4, "tau": 1.5 }, { "name": "h2", "size": 3 }],
        "connections": [{ "from": "input", "to": "h1" },
            { "from": "h1", "to": "h2", "feedback": "independent", "delay": 0.5 },
            { "from": "h2", "to": "h2", "delay": 1.25 }],
        "readout": { "from": "h2", "classes": 3 } })
}

fn built(model: &Value) -> Result<Arc<Network>, Invalid> {
    let spec: ModelSpec = serde_json::from_value(model.clone()).unwrap();
    Network::new(&spec).map(Arc::new)
}

fn samples(count: usize) -> Samples<f64> {
    let inputs = DMatrix::from_fn(3, count, |i, j| (1.3 * (i as f64 + 1.0) * (j as f64 + 0.5)).sin());
    let labels: Vec<u32> = (0..count as u32).map(|k| k % 3).collect();
    Samples::labelled(&inputs, &labels, 3)
}

fn estimator(spec: &Value) -> EstimatorSpec {
    serde_json::from_value(spec.clone()).unwrap()
}

fn estimate(
    effective: &Effective<f64>,
    samples: &Samples<f64>,
    spec: &Value,
    states: &mut Vec<Vec<f64>>,
) -> Estimate<f64> {
    let spec = estimator(spec);
    spec.validate(effective.network(), effective.form(), None).unwrap();
    estimate_batch(&*spec.build(), &Setting::quiet(effective), samples, states).unwrap()
}

/// Re c₁[a]/|β| of one sample, from the weights: (sM − J(ω))⁻¹F_β with e^{−iωd} on each connection, and s what the integrator makes of iω.
fn response(
    parameters: &Parameters<f64>,
    effective: &Effective<f64>,
    (omega, s): (f64, Complex<f64>),
) -> Vec<f64> {
    let rest = equilibrium::free(&Setting::quiet(effective), &samples(1), &Settle::default()).unwrap();
    let slope: Vec<f64> = rest.rates.iter().map(|a| 1.0 - a * a).collect();
    let weights = |name: &str, rows, columns| {
        let index = parameters.shapes().iter().position(|shape| shape.name == name).unwrap();
        DMatrix::from_column_slice(rows, columns, parameters.at(index))
    };
    let late = |delay: f64| Complex::cis(-omega * delay);
    let (up, down) = (weights("h1-h2.weight", 3, 4), weights("h2-h1.weight", 4, 3));
    let (own, readout) = (weights("h2-h2.weight", 3, 3), weights("readout.weight", 3, 3));
    let matrix = DMatrix::from_fn(7, 7, |i, j| {
        let weight = match (i < 4, j < 4) {
            (true, true) => Complex::from(0.0),
            (true, false) => late(0.5) * down[(i, j - 4)],
            (false, true) => late(0.5) * up[(i - 4, j)],
            (false, false) => late(1.25) * own[(i - 4, j - 4)],
        };
        let tau = if i < 4 { 1.5 } else { 1.0 };
        let leak = if i == j { s * tau + 1.0 } else { Complex::from(0.0) };
        leak - weight * slope[j]
    });
    let drive = -(readout.transpose() * DVector::from_column_slice(&rest.output_error));
    let right = DVector::from_fn(7, |i, _| Complex::from(if i < 4 { 0.0 } else { drive[i - 4] }));
    let solved = matrix.lu().solve(&right).unwrap();
    solved.iter().zip(&slope).map(|(c, slope)| (c * slope).re).collect()
}

fn flat(estimate: &Estimate<f64>) -> Vec<f64> {
    estimate.error_vector.iter().flat_map(|layer| layer.iter().copied()).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().map(|x| x * x).sum::<f64>();
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / size).sqrt()
}

#[test]
fn an_oscillation_is_what_the_closed_form_says_of_a_delay() {
    let network = built(&model()).unwrap();
    let parameters = Parameters::initial(network.shapes(), 5);
    let omega = std::f64::consts::TAU / 20.0;
    for form in [Form::Potential, Form::Rate] {
        let effective = Effective::new(&network, form, &parameters);
        let oscillation = |integrator: Value| json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "settle_periods": 30, "integrator": integrator } });
        let at_once = response(&parameters, &effective, (0.0, Complex::new(0.0, omega)));
        // Euler's s is known, and its delays are whole steps: this is exact.
        let h = 0.25;
        let s = (Complex::cis(omega * h) - 1.0) / h;
        let exact = response(&parameters, &effective, (omega, s));
        let seen = estimate(
            &effective,
            &samples(1),
            &oscillation(json!({ "euler": { "step": h } })),
            &mut Vec::new(),
        );
        let error = distance(&flat(&seen), &exact);
        println!("{form:?}: euler {error:.1e}; without delays {:.1e}", distance(&at_once, &exact));
        assert!(error < 1e-11 && distance(&at_once, &exact) > 0.02, "{error}");
        // Of the others the error falls with the order of the method.
        let exact = response(&parameters, &effective, (omega, Complex::new(0.0, omega)));
        for (method, order) in [("rk4", 4.0), ("heun", 2.0)] {
            let errors = [0.25, 0.125].map(|h| {
                let spec = oscillation(json!({ method: { "step": h } }));
                distance(&flat(&estimate(&effective, &samples(1), &spec, &mut Vec::new())), &exact)
            });
            let seen = (errors[0] / errors[1]).log2();
            println!("{form:?}: {method} {:.1e} and {:.1e}, order {seen:.2}", errors[0], errors[1]);
            assert!((seen - order).abs() < 0.2, "{method}: {errors:?}");
        }
        // The balance knows the frequency.
        for harmonics in [1, 4] {
            let spec =
                json!({ "harmonic_balance": { "amplitude": 0.1, "period": 20.0, "harmonics": harmonics } });
            let error = distance(&flat(&estimate(&effective, &samples(1), &spec, &mut Vec::new())), &exact);
            assert!(error < 1e-10, "{form:?}, {harmonics}: {error}");
        }
    }
}

#[test]
fn a_balance_of_many_harmonics_is_the_steady_state_of_a_real_drive() {
    let network = built(&model()).unwrap();
    let effective = Effective::new(&network, Form::Potential, &Parameters::initial(network.shapes(), 5));
    let balance = json!({ "harmonic_balance": { "amplitude": 0.4, "period": 16.0, "drive": "cosine", "harmonics": 5 } });
    let chebyshev = json!({ "chebyshev": { "amplitude": 0.4, "period": 16.0, "harmonics": 5, "settle_periods": 30,
        "integrator": { "rk4": { "step": 0.03125 } } } });
    let [a, b] =
        [balance, chebyshev].map(|spec| flat(&estimate(&effective, &samples(2), &spec, &mut Vec::new())));
    let error = distance(&a, &b);
    println!("{error:.1e}");
    assert!(error < 1e-6, "{error}");
}

#[test]
fn neurons_by_equation_receive_late_as_others_do() {
    let mut model = model();
    model["layers"][0]["parasitics"] = json!({ "synapse": 0.75 });
    let network = built(&model).unwrap();
    let effective = Effective::new(&network, Form::Potential, &Parameters::initial(network.shapes(), 5));
    let balance = json!({ "harmonic_balance": { "amplitude": 0.1, "period": 20.0 } });
    let oscillation = json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "settle_periods": 30,
        "integrator": { "rk4": { "step": 0.03125 } } } });
    let [a, b] =
        [balance, oscillation].map(|spec| flat(&estimate(&effective, &samples(2), &spec, &mut Vec::new())));
    let error = distance(&a, &b);
    println!("{error:.1e}");
    assert!(error < 1e-7, "{error}");
}

#[test]
fn what_is_on_its_way_is_carried_from_one_estimate_to_the_next() {
    let network = built(&model()).unwrap();
    let effective = Effective::new(&network, Form::Potential, &Parameters::initial(network.shapes(), 5));
    let run = |settle: u64, states: &mut Vec<Vec<f64>>| {
        let spec = json!({ "oscillation": { "amplitude": 0.1, "period": 5.0, "settle_periods": settle,
            "integrator": { "rk4": { "step": 0.25 } } } });
        estimate(&effective, &samples(25), &spec, states)
    };
    let whole = run(3, &mut Vec::new());
    let mut states = Vec::new();
    (0..3).for_each(|_| drop(run(0, &mut states)));
    // The longest delay is 5 steps of 0.25 τ: 8 ticks of 7 neurons on two rails are behind each sample's state.
    assert_eq!(states.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5].map(|count| 7 * 2 * count * 9));
    let begun = states.clone();
    assert_eq!(flat(&run(0, &mut states)), flat(&whole));
    // What has been on its way matters, and is dropped where a batch is another.
    let mut forgetful: Vec<Vec<f64>> =
        begun.iter().zip([10, 10, 5]).map(|(state, count)| state[..7 * 2 * count].to_vec()).collect();
    assert_ne!(flat(&run(0, &mut forgetful)), flat(&whole));
    // Threads do not change a bit.
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let [one, three] = [1, 3].map(|threads| pool(threads).install(|| flat(&run(3, &mut Vec::new()))));
    assert_eq!(one, three);
}

#[test]
fn delays_that_nothing_can_carry_are_refused() {
    let network = built(&model()).unwrap();
    let found = |spec: Value, imperfections: Value| {
        let imperfections: Imperfections = serde_json::from_value(imperfections).unwrap();
        let suited = imperfections.suit(&network);
        let checked =
            suited.and_then(|()| estimator(&spec).validate(&network, Form::Potential, Some(&imperfections)));
        checked.map_err(|e| (e.path, e.found, e.legal))
    };
    let oscillation = |integrator: Value| json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "integrator": integrator } });
    assert_eq!(found(oscillation(json!({ "rk4": { "step": 0.25 } })), json!({})), Ok(()));
    let (path, text, legal) = found(oscillation(json!({ "rk4": { "step": 0.2 } })), json!({})).unwrap_err();
    assert_eq!(path, "oscillation.integrator");
    assert!(text.contains("step of 0.2 of rk4 with the delay of 0.5 of `h1-h2.weight`"), "{text}");
    assert_eq!(legal, "the nearest delays are 0.4 and 0.6000000000000001");
    let (.., legal) = found(oscillation(json!({ "euler": { "step": 1.0 } })), json!({})).unwrap_err();
    assert_eq!(legal, "the nearest delays are 1 and 2");
    let (_, text, legal) = found(oscillation(json!("dop853")), json!({})).unwrap_err();
    assert!(text.contains("adaptive") && legal.contains("fixed step"), "{text} {legal}");
    let mut corrected = oscillation(json!({ "rk4": { "step": 0.25 } }));
    corrected["oscillation"]["correct_asymmetry"] = json!(true);
    let (path, ..) = found(corrected, json!({})).unwrap_err();
    assert_eq!(path, "oscillation.correct_asymmetry");
    let noise = json!({ "synapse_noise": { "held": { "std": 0.1 } } });
    let (path, ..) = found(oscillation(json!({ "rk4": { "step": 0.25 } })), noise).unwrap_err();
    assert_eq!(path, "synapse_noise");
    type Case<'c> = (&'c dyn Fn(&mut Value), &'c str, &'c str);
    let units = json!({ "tau": 1e-6, "volts": 0.1, "siemens": 1e-6, "supply": 1.0, "bias_current": 0.0, "conversion": 0.0 });
    let pooled = json!({ "kernel": 1, "pool": { "max": { "size": 2 } } });
    let cases: [Case; 4] = [
        (
            &|m| m["connections"][0]["delay"] = json!(0.5),
            "connections[0].delay",
            "found a delay of the inputs",
        ),
        (&|m| m["connections"][1]["delay"] = json!(-1.0), "connections[1].delay", "found -1"),
        (&|m| m["units"] = units.clone(), "units", "found them with a delay of a connection"),
        (
            &|m| {
                m["layers"][0] = json!({ "name": "h1", "shape": [4, 4, 1] });
                m["layers"][1] = json!({ "name": "h2", "shape": [2, 2, 1] });
                m["connections"][1]["conv"] = pooled.clone();
            },
            "connections[1].delay",
            "found a delay of a pooling",
        ),
    ];
    for (change, path, found) in cases {
        let mut model = model();
        change(&mut model);
        let error = built(&model).unwrap_err();
        assert_eq!((error.path.as_str(), error.found.as_str()), (path, found));
    }
}
