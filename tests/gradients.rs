//! Estimators against finite differences, closed forms and each other.

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};

use crate::common::{Problem, order, random, slope, toy};
use holograd::gradient::compare::{agreement, compare, finite_differences};
use holograd::gradient::equilibrium::{self, Settle};
use holograd::gradient::{
    Adjoint, CHUNK, Estimate, Estimator, EstimatorSpec, Setting, Stop, Surroundings, estimate_batch,
};
use holograd::host::crew;
use holograd::imperfections::Imperfections;
use holograd::imperfections::noise::{Noise, Rails};
use holograd::numerics::state::StateShape;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::Output;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use nalgebra::DMatrix;
use num_complex::Complex;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A chain of two tied layers with a read-out.
fn tied(activation: &Value) -> Value {
    json!({ "name": "tied", "input": 3, "activation": activation,
        "initialisation": { "normal": { "scale": 0.7 } },
        "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 3 } })
}

/// A ring of three layers with a short cut and a layer that is connected to itself: no symmetry anywhere.
fn looped(activation: &Value) -> Value {
    json!({ "name": "looped", "input": 3, "activation": activation,
        "initialisation": { "normal": { "scale": 0.6 } },
        "layers": [{ "name": "a", "size": 3 }, { "name": "b", "size": 4 }, { "name": "c", "size": 2 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }, { "from": "b", "to": "c" },
            { "from": "c", "to": "a" }, { "from": "b", "to": "b" }, { "from": "input", "to": "c" }],
        "cost": "squared_error" })
}

/// Independent and rotated feedback, a layer without bias, the read-out in the middle of the network.
fn untied(activation: &Value) -> Value {
    json!({ "name": "untied", "input": 2, "activation": activation,
        "initialisation": { "uniform": { "scale": 0.8 } },
        "layers": [{ "name": "a", "size": 3, "bias": false }, { "name": "b", "size": 3 }, { "name": "c", "size": 2 }],
        "connections": [{ "from": "input", "to": "a" },
            { "from": "a", "to": "b", "feedback": { "rotated": { "angle": 40.0 } } },
            { "from": "b", "to": "c", "feedback": "independent" }],
        "readout": { "from": "b", "classes": 2 } })
}

/// A layer with an activation of its own, time constants of neurons and of a layer.
fn mixed() -> Value {
    json!({ "name": "mixed", "input": 3, "activation": "tanh",
        "initialisation": { "normal": { "scale": 0.7 } },
        "layers": [{ "name": "a", "size": 3, "tau": [0.6, 1.0, 2.5] },
            { "name": "b", "size": 3, "activation": "softplus" },
            { "name": "c", "size": 2, "activation": { "logistic": { "slope": 3.0, "offset": -1.0 } }, "tau": 1.5 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" },
            { "from": "b", "to": "c", "feedback": "tied" }, { "from": "c", "to": "a" }],
        "cost": "squared_error" })
}

fn smooth() -> [Value; 5] {
    [
        json!({ "logistic": { "slope": 4.0, "offset": -2.0 } }),
        json!("tanh"),
        json!("dsilu"),
        json!("softplus"),
        json!("identity"),
    ]
}

/// The mean cost of the batch at its free equilibrium, from the rates alone.
fn cost(problem: &Problem, parameters: &Parameters<f64>) -> f64 {
    let effective = Effective::new(&problem.network, Form::Potential, parameters);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let free = equilibrium::free(&setting, &problem.samples, &Settle::default()).unwrap();
    assert_eq!(free.stop, Stop::Settled);
    let (output, count) = (problem.network.output, problem.samples.count);
    let layer = output.layer();
    let size = problem.network.layers[layer].size;
    let start = problem.network.layers[layer].offset * count;
    let rates = DMatrix::from_column_slice(size, count, &free.rates[start..start + size * count]);
    let targets = DMatrix::from_column_slice(output.size(), count, &problem.samples.targets);
    let total = match output {
        Output::SquaredError { .. } => 0.5 * (rates - targets).norm_squared(),
        Output::Readout { weight, bias, .. } => {
            let logits = parameters.matrix(weight) * rates;
            (0..count)
                .map(|sample| {
                    let z = logits.column(sample) + parameters.matrix(bias).column(0);
                    z.map(f64::exp).sum().ln() - z.dot(&targets.column(sample))
                })
                .sum()
        }
    };
    total / count as f64
}

/// Largest difference between the adjoint and a four-point central difference of the cost, over every parameter.
fn off_finite_differences(problem: &Problem) -> f64 {
    let gradient = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    let cost = |parameters: &Parameters<f64>| Ok::<_, std::convert::Infallible>(cost(problem, parameters));
    let Ok(numeric) = finite_differences(&problem.parameters, 1e-3, cost);
    let pairs = numeric.iter().zip(gradient.iter()).flat_map(|((_, a), (_, b))| a.iter().zip(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn the_adjoint_is_the_derivative_of_the_cost() {
    for (seed, activation) in (1..).zip(smooth()) {
        for model in [tied(&activation), looped(&activation), untied(&activation)] {
            let problem = random(model, 3, seed);
            let off = off_finite_differences(&problem);
            println!("{}, {activation}: {off:.1e}", problem.network.name);
            assert!(off < 2e-9, "{}, {activation}: {off:e}", problem.network.name);
        }
    }
    let off = off_finite_differences(&random(mixed(), 4, 9));
    assert!(off < 2e-9, "mixed: {off:e}");
}

#[test]
fn time_constants_and_the_form_do_not_touch_the_truth() {
    let problem = random(mixed(), 4, 3);
    let mut model = mixed();
    for layer in model["layers"].as_array_mut().unwrap() {
        layer.as_object_mut().unwrap().remove("tau");
    }
    let plain = random(model, 4, 3).estimate(Form::Potential, json!("adjoint")).gradient;
    let bptt = json!({ "adjoint": { "solver": { "bptt": { "steps": 400 } } } });
    for form in [Form::Potential, Form::Rate] {
        for truth in [json!("adjoint"), bptt.clone()] {
            let gradient = problem.estimate(form, truth.clone()).gradient;
            let off = compare(&gradient, &plain).total.relative_error.unwrap();
            assert!(off < 1e-11, "{form:?}, {truth}: {off:e}");
        }
    }
}

fn osc(amplitude: f64, period: f64, settle_periods: u64) -> Value {
    json!({ "oscillation": { "amplitude": amplitude, "period": period, "settle_periods": settle_periods,
        "integrator": { "dop853": { "rtol": 1e-12, "atol": 1e-14 } } } })
}

/// Largest distance of an estimate's complex δ (one sample) from c₁[a]/|β| by dense linear algebra.
fn off_closed_form(problem: &Problem, estimate: &Estimate<f64>, omega: f64) -> f64 {
    let exact = problem.free().rate_response(omega);
    let quadrature = estimate.quadrature.as_ref().unwrap();
    let layers = problem.network.layers.iter().zip(&estimate.error_vector);
    // The bias's gradient is −δ: its quadrature shows Im δ.
    let complex = layers.flat_map(|(layer, re)| {
        let im = quadrature.at(layer.bias.unwrap());
        re.iter().zip(im.iter()).map(|(re, im)| Complex::new(*re, -im)).collect::<Vec<_>>()
    });
    complex.zip(&exact).map(|(ours, exact)| (ours - exact).norm()).fold(0.0, f64::max)
}

#[test]
fn a_network_with_a_loop_and_no_symmetry_responds_as_its_closed_form() {
    let with_tau = |activation: &Value| {
        let mut model = looped(activation);
        model["layers"][0]["tau"] = json!([0.7, 1.0, 1.6]);
        model["layers"][2]["tau"] = json!(2.0);
        model
    };
    for activation in [json!("tanh"), json!("dsilu")] {
        for (seed, model) in [(11, looped(&activation)), (12, with_tau(&activation))] {
            let problem = random(model, 1, seed);
            for form in [Form::Potential, Form::Rate] {
                let cauchy = problem.estimate(form, json!({ "cauchy": { "amplitude": 0.05, "points": 24 } }));
                let off = off_closed_form(&problem, &cauchy, 0.0);
                assert!(off < 1e-9, "cauchy, {activation}, {form:?}: {off:e}");
                for period in [8.0, 30.0] {
                    let estimate = problem.estimate(form, osc(0.05, period, (240.0 / period) as u64));
                    let off = off_closed_form(&problem, &estimate, TAU / period);
                    println!("oscillation, {activation}, {form:?}, T = {period}: {off:.1e}");
                    assert!(off < 1e-9, "oscillation, {activation}, {form:?}, T = {period}: {off:e}");
                }
            }
        }
    }
}

#[test]
fn with_tied_weights_both_point_along_the_truth() {
    for (seed, activation) in (21..).zip([json!("tanh"), json!("dsilu")]) {
        let problem = random(tied(&activation), 1, seed);
        let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
        for estimator in [json!({ "cauchy": { "amplitude": 0.05, "points": 24 } }), osc(0.05, 160.0, 2)] {
            let gradient = problem.estimate(Form::Potential, estimator.clone()).gradient;
            let cosine = compare(&gradient, &truth).synapses.cosine.unwrap();
            assert!(cosine > 0.9999, "{activation}, {estimator}: {cosine}");
        }
    }
}

/// Relative error to the truth, over the weights between layers.
fn error(problem: &Problem, estimator: Value, truth: &Parameters<f64>) -> f64 {
    let estimate = problem.estimate(Form::Potential, estimator);
    compare(&estimate.gradient, truth).synapses.relative_error.unwrap()
}

#[test]
fn finite_differences_converge_with_their_order_and_cauchy_geometrically() {
    let problem = toy();
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    for (centred, expected) in [(false, 1.0), (true, 2.0)] {
        for per_synapse in [false, true] {
            let point = |amplitude: f64| {
                let classic = json!({ "classic": { "amplitude": amplitude, "centred": centred, "per_synapse": per_synapse } });
                (amplitude, error(&problem, classic, &truth))
            };
            let order = order([0.04, 0.02, 0.01, 0.005].map(point));
            assert!(
                (order - expected).abs() < 0.2,
                "centred {centred}, per synapse {per_synapse}: order {order}"
            );
        }
    }
    let point = |points: u64| {
        (
            points as f64,
            error(&problem, json!({ "cauchy": { "amplitude": 0.3, "points": points } }), &truth).ln(),
        )
    };
    let errors = [2, 4, 6, 8, 10, 12, 14, 16].map(point);
    println!("cauchy: {errors:?}");
    let rate = slope(errors);
    // What is left of N points is harmonic N + 1, which falls as R⁻ᴺ (N + 1)^(−3/2) towards a fold.
    let radius = 0.3 / slope(errors.map(|(n, y)| (n, y + 1.5 * (n + 1.0).ln()))).exp();
    let anywhere = problem.estimate(Form::Potential, json!({ "cauchy": { "amplitude": 0.3, "points": 24 } }));
    let diagnosed = anywhere.diagnostics.radius_of_convergence.unwrap();
    println!("radius of convergence: {radius:.3} from the errors, {diagnosed:.3} diagnosed");
    assert!((radius / diagnosed - 1.0).abs() < 0.2, "{radius} and {diagnosed}");
    // The nearest singularities are a complex pair, so the fall is steady over several points only.
    for run in errors.windows(4) {
        let local = (run[3].1 - run[0].1) / (run[3].0 - run[0].0);
        assert!((local / rate - 1.0).abs() < 0.4, "the error falls by {local} a point, {rate} on average");
    }
}

fn noisy(problem: &Problem, form: Form, estimator: &Value, noise: Option<(Noise, u64)>) -> Estimate<f64> {
    let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
    let state_noise = noise.map(|n| n.0);
    let imperfections = Imperfections { state_noise, ..Imperfections::default() };
    spec.validate(&problem.network, form, Some(&imperfections)).unwrap();
    let noise = noise.and_then(|(_, seed)| Some(Surroundings::new(imperfections.instant()?, seed)));
    let effective = problem.effective(form);
    let setting = Setting { substrate: &effective, noise, update: 5, diagnose: true };
    estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap()
}

#[test]
fn conjugate_points_may_be_left_out() {
    // Noise, even far below rounding, makes `cauchy` visit every point.
    let silence = |rails| Noise::Held { std: 1e-300, shared: false, rails };
    let problem = random(looped(&json!("tanh")), 3, 31);
    for points in [2, 3, 4, 7, 8] {
        let cauchy = json!({ "cauchy": { "amplitude": 0.2, "points": points } });
        let full = noisy(&problem, Form::Potential, &cauchy, Some((silence(Rails::Real), 1)));
        let short = noisy(&problem, Form::Potential, &cauchy, None);
        assert!(points == 2 || short.diagnostics.rhs_evaluations < full.diagnostics.rhs_evaluations);
        for (a, b) in short.nudged.iter().flatten().zip(full.nudged.iter().flatten()) {
            assert!((a - b).amax() < 1e-12, "{points} points");
        }
        let off = compare(&short.gradient, &full.gradient).total.relative_error.unwrap();
        assert!(off < 1e-11, "{points} points: {off:e}");
        // Without noise on the imaginary rail, real points are visited by a real substrate.
        let complex = noisy(&problem, Form::Potential, &cauchy, Some((silence(Rails::Independent), 1)));
        for (a, b) in full.nudged.iter().flatten().zip(complex.nudged.iter().flatten()) {
            assert!((a - b).amax() < 1e-12, "{points} points");
        }
    }
}

#[test]
fn nudged_equilibria_may_be_waited_for_otherwise() {
    let problem = random(looped(&json!("tanh")), 2, 37);
    let settle = |time: f64| json!({ "step": 1.0, "tolerance": 0.0, "max_time": time });
    let estimate = |settle: Value, nudged: Value| {
        let cauchy =
            json!({ "cauchy": { "amplitude": 0.2, "points": 6, "settle": settle, "nudged": nudged } });
        problem.estimate(Form::Rate, cauchy)
    };
    // 200 steps and one look at the end, then 4 phases of 50 that conjugation leaves of 6.
    let estimate_evaluations = estimate(settle(200.0), settle(50.0)).diagnostics.rhs_evaluations;
    assert_eq!(estimate_evaluations, 201 + 4 * 51);
    let alike = estimate(settle(60.0), settle(60.0));
    assert_eq!(alike.gradient, estimate(settle(60.0), Value::Null).gradient);
}

/// Nudged phases too: of all rails, with the correction of an asymmetric coupling, and where a sample has to be relaxed.
#[test]
fn accelerated_phases_give_the_gradient_of_relaxed_ones() {
    let logistic = json!({ "logistic": { "slope": 4.0, "offset": -2.0 } });
    for (model, corrected) in
        [(tied(&logistic), false), (untied(&logistic), true), (looped(&json!("tanh")), true)]
    {
        let problem = random(model, 3, 41);
        for form in [Form::Potential, Form::Rate] {
            let settle =
                |accelerate: bool| json!({ "step": 0.5, "tolerance": 1e-12, "accelerate": accelerate });
            let few = json!({ "step": 0.5, "tolerance": 1e-12, "max_time": 6.0, "accelerate": true });
            for (name, points) in [("classic", 0), ("cauchy", 7)] {
                let estimate = |settle: &Value, nudged: &Value| {
                    let mut fields = json!({ "amplitude": 0.1, "settle": settle, "nudged": nudged });
                    fields["correct_asymmetry"] = corrected.into();
                    if points > 0 {
                        fields["points"] = points.into();
                    }
                    problem.estimate(form, json!({ name: fields }))
                };
                let relaxed = estimate(&settle(false), &Value::Null);
                let accelerated = estimate(&settle(true), &Value::Null);
                let off = compare(&accelerated.gradient, &relaxed.gradient).total.relative_error.unwrap();
                assert!(off < 1e-9, "{name}, {form:?}: {off:e}");
                let counts = [&accelerated, &relaxed].map(|e| e.diagnostics.rhs_evaluations);
                assert!(2 * counts[0] < counts[1], "{name}, {form:?}: {counts:?} evaluations");
                // Too little time for acceleration: every sample is relaxed, as long as that takes.
                let late = estimate(&settle(true), &few);
                let also_late =
                    estimate(&settle(true), &json!({ "step": 0.5, "tolerance": 1e-12, "max_time": 6.0 }));
                let off = compare(&late.gradient, &also_late.gradient).total.relative_error.unwrap();
                assert!(off < 1e-9, "{name}, {form:?}, relaxed in the end: {off:e}");
                assert_eq!(late.diagnostics.stop, Stop::TimeLimit);
            }
        }
    }
}

#[test]
fn a_staircase_may_begin_at_the_free_equilibrium() {
    let problem = random(looped(&json!("tanh")), 2, 38);
    let settle = json!({ "step": 1.0, "tolerance": 1e-13 });
    let staircase = |free: Value| json!({ "staircase": { "amplitude": 0.1, "points": 8, "hold": 3.0, "periods": 2, "free": free } });
    let found = problem.estimate(Form::Rate, staircase(settle.clone()));
    // By hand: relaxed first, then driven from there.
    let effective = problem.effective(Form::Rate);
    let setting = Setting::quiet(&effective);
    let settle: Settle = serde_json::from_value(settle).unwrap();
    let free = equilibrium::free(&setting, &problem.samples, &settle).unwrap();
    let shape = StateShape::new(&problem.network, 2, 1);
    let spec: EstimatorSpec = serde_json::from_value(staircase(Value::Null)).unwrap();
    let from = |state: Vec<f64>| {
        estimate_batch(&*spec.build(), &setting, &problem.samples, &mut vec![state]).unwrap()
    };
    let expected = from(equilibrium::complexified(&shape, &free.state));
    assert_eq!(found.gradient, expected.gradient);
    assert_eq!(found.diagnostics.rhs_evaluations, expected.diagnostics.rhs_evaluations + free.evaluations);
    assert_ne!(found.gradient, from(Vec::new()).gradient);
}

#[test]
fn a_synapse_sees_what_its_neurons_see() {
    // c₁[a_i a_j] = c₁[a_i] c₀[a_j] + c₀[a_i] c₁[a_j] in the periodic steady state.
    let estimators = [
        json!({ "oscillation": { "amplitude": 0.1, "period": 24.0, "settle_periods": 12 } }),
        json!({ "oscillation": { "amplitude": 0.1, "period": 24.0, "settle_periods": 12, "periods": 2, "integrator": { "euler": { "step": 0.25 } } } }),
        json!({ "staircase": { "amplitude": 0.05, "points": 16, "hold": 4.0, "settle_periods": 6, "periods": 2 } }),
        json!({ "cauchy": { "amplitude": 0.05, "points": 16 } }),
    ];
    let problems = [toy(), random(tied(&json!("tanh")), 13, 41), random(tied(&json!("softplus")), 4, 42)];
    for problem in &problems {
        for estimator in &estimators {
            let mut synapses = estimator.clone();
            let inner = synapses.as_object_mut().unwrap().values_mut().next().unwrap();
            inner["per_synapse"] = json!(true);
            let neuron = problem.estimate(Form::Potential, estimator.clone()).gradient;
            let synapse = problem.estimate(Form::Potential, synapses).gradient;
            for ((name, a), (_, b)) in neuron.matrices().zip(synapse.matrices()) {
                let off = (a - b).amax();
                assert!(off < 1e-10, "{}, {estimator}, {name}: {off:e}", problem.network.name);
            }
        }
    }
}

#[test]
fn both_forms_have_one_response() {
    for problem in [toy(), random(looped(&json!("tanh")), 3, 51)] {
        for integrator in ["euler", "heun", "rk4"] {
            let estimator = json!({ "oscillation": { "amplitude": 0.2, "period": 16.0, "settle_periods": 20, "integrator": integrator } });
            let [potential, rate] =
                [Form::Potential, Form::Rate].map(|form| problem.estimate(form, estimator.clone()));
            let off = compare(&rate.gradient, &potential.gradient).total.relative_error.unwrap();
            assert!(off < 1e-10, "{integrator}: {off:e}");
            let quadrature = |e: Estimate<f64>| e.quadrature.unwrap();
            let off = compare(&quadrature(rate), &quadrature(potential)).total.relative_error.unwrap();
            assert!(off < 1e-10, "{integrator}, quadrature: {off:e}");
        }
    }
}

#[test]
fn single_precision_agrees_with_double() {
    let estimators = [
        json!("adjoint"),
        json!({ "cauchy": { "amplitude": 0.3, "points": 12 } }),
        json!({ "classic": { "amplitude": 0.3, "centred": true } }),
        json!({ "staircase": { "amplitude": 0.3, "hold": 10.0 } }),
        json!({ "oscillation": { "amplitude": 0.3, "period": 40.0 } }),
    ];
    for problem in [toy(), random(tied(&json!("dsilu")), 12, 61)] {
        let mut parameters = Parameters::<f32>::zeros(problem.network.shapes());
        for index in 0..parameters.len() {
            let values = problem.parameters.at(index).iter().map(|x| *x as f32).collect::<Vec<_>>();
            parameters.at_mut(index).copy_from_slice(&values);
        }
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect();
        let samples = Samples {
            inputs: single(&problem.samples.inputs),
            targets: single(&problem.samples.targets),
            count: problem.samples.count,
            first: 0,
        };
        for estimator in &estimators {
            let double = problem.estimate(Form::Potential, estimator.clone()).gradient;
            let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
            let effective = Effective::new(&Arc::clone(&problem.network), Form::Potential, &parameters);
            let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
            let single = estimate_batch(&*spec.build(), &setting, &samples, &mut Vec::new()).unwrap();
            let off = compare(&single.gradient.to_double(), &double).total.relative_error.unwrap();
            println!("{}, {estimator}: {off:.1e}", problem.network.name);
            assert!(off < 1e-4, "{}, {estimator}: {off:e}", problem.network.name);
        }
    }
}

fn white() -> Noise {
    Noise::White { std: 0.02, rails: Rails::Independent }
}

fn held() -> Noise {
    Noise::Held { std: 0.02, shared: false, rails: Rails::Independent }
}

#[test]
fn a_batch_is_the_mean_of_its_samples() {
    let problem = random(looped(&json!("tanh")), 23, 71);
    let oscillation = json!({ "oscillation": { "amplitude": 0.2, "period": 12.0, "integrator": "heun" } });
    let cases = [
        (json!("adjoint"), None),
        (json!({ "cauchy": { "amplitude": 0.2, "points": 8 } }), None),
        (json!({ "staircase": { "amplitude": 0.2, "hold": 6.0 } }), Some((held(), 4))),
        (oscillation.clone(), None),
        (oscillation.clone(), Some((white(), 4))),
        (oscillation, Some((held(), 4))),
    ];
    for (estimator, noise) in cases {
        let batch = noisy(&problem, Form::Potential, &estimator, noise);
        let mut mean = Parameters::zeros(problem.network.shapes());
        for sample in 0..23 {
            let one = noisy(&problem.only(sample..sample + 1), Form::Potential, &estimator, noise);
            mean.add_scaled(1.0 / 23.0, &one.gradient);
            for (all, own) in batch.error_vector.iter().zip(&one.error_vector) {
                assert!((all.column(sample) - own.column(0)).amax() < 1e-11, "{estimator}, sample {sample}");
            }
        }
        let off = compare(&batch.gradient, &mean).total.relative_error.unwrap();
        assert!(off < 1e-11, "{estimator}, {noise:?}: {off:e}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let problem = random(tied(&json!("tanh")), 47, 81);
    let estimator = json!({ "oscillation": { "amplitude": 0.2, "period": 12.0, "per_synapse": true, "integrator": "euler" } });
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| noisy(&problem, Form::Potential, &estimator, Some((white(), 3))))
    };
    let one = with(1);
    for threads in [2, 4] {
        let other = with(threads);
        assert_eq!(one.gradient, other.gradient, "{threads} threads");
        assert_eq!(one.free, other.free);
        assert_eq!(one.error_vector, other.error_vector);
        assert_eq!(one.diagnostics, other.diagnostics);
    }
    // Noise of another seed is another estimate: the equality above is not that of two silent runs.
    assert_ne!(one.gradient, noisy(&problem, Form::Potential, &estimator, Some((white(), 4))).gradient);
}

#[test]
fn agreement_is_that_of_plain_vectors() {
    let (a, b) = ([3.0, 4.0, 0.0], [0.0, 4.0, 3.0]);
    let found = agreement(&a, &b);
    assert!((found.cosine.unwrap() - 16.0 / 25.0).abs() < 1e-15);
    assert!((found.relative_error.unwrap() - 18.0_f64.sqrt() / 5.0).abs() < 1e-15);
    assert_eq!(agreement(&a, &[0.0; 3]).cosine, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_are_no_negative_harmonics(
        seed in 0_u64..1000,
        sizes in (1_usize..6, 1_usize..6, 2_usize..4),
        activation in 0_usize..5,
        feedback in prop::sample::select(vec!["none", "tied", "independent"]),
        readout in any::<bool>(),
        amplitude in 0.01_f64..0.15,
    ) {
        let mut model = json!({ "name": "any", "input": 2, "activation": smooth()[activation],
            "initialisation": { "uniform": { "scale": 0.5 } },
            "layers": [{ "name": "a", "size": sizes.0 }, { "name": "b", "size": sizes.1 }, { "name": "c", "size": sizes.2 }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": feedback },
                { "from": "b", "to": "c", "feedback": feedback }, { "from": "c", "to": "a" }] });
        if readout {
            model["readout"] = json!({ "from": "c", "classes": 3 });
        } else {
            model["cost"] = json!("squared_error");
        }
        let problem = random(model, 2, seed);
        let estimate = problem.estimate(Form::Potential, json!({ "oscillation": {
            "amplitude": amplitude, "period": 16.0, "settle_periods": 30 } }));
        let negative = estimate.diagnostics.negative_harmonics.unwrap();
        prop_assert!(negative < 1e-10, "c_-1 = {negative:e}, slowest rate {:?}", estimate.diagnostics.slowest_rate);
        // What the estimate itself shows is there, and is its first harmonic.
        prop_assert!(estimate.error_vector.iter().any(|d| d.amax() > 1e-6));
    }
}

/// The adjoint, which notes how many threads there are for the batch that each chunk is of.
struct Noting(Mutex<Vec<usize>>);

impl Estimator<f64> for Noting {
    fn estimate(
        &self,
        setting: &Setting<'_, f64>,
        samples: &Samples<f64>,
        state: &mut Vec<f64>,
    ) -> holograd::error::Result<Estimate<f64>> {
        self.0.lock().unwrap().push(rayon::current_num_threads());
        Adjoint::default().estimate(setting, samples, state)
    }
}

#[test]
fn a_batch_takes_the_threads_of_a_run_that_has_ended_and_keeps_its_bits() {
    let problem = random(tied(&json!("tanh")), 2 * CHUNK + 3, 5);
    let effective = problem.effective(Form::Rate);
    let noting = Noting(Mutex::default());
    let gradient = || {
        let setting = Setting::quiet(&effective);
        estimate_batch(&noting, &setting, &problem.samples, &mut Vec::new()).unwrap().gradient
    };
    let mut places = crew::places(3, 3);
    let place = places.pop().unwrap();
    let alone = place.work(gradient).unwrap();
    let grown = place
        .work(|| {
            places.clear();
            gradient()
        })
        .unwrap();
    assert_eq!(noting.0.lock().unwrap()[..], [1, 1, 1, 3, 3, 3]);
    assert_eq!(alone, grown);
}
