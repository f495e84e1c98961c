//! Networks with convolutions through the whole house: golden data, finite differences, closed forms.

use std::f64::consts::TAU;
use std::sync::Arc;

use holograd::files::{Tensors, read_tensors};
use holograd::gradient::Estimate;
use holograd::gradient::compare::compare;
use holograd::simulation::teaching::Time;
use holograd::substrate::Field;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use nalgebra::DMatrix;
use serde_json::{Value, json};

use crate::common::{Problem, order, path, random, slope};

/// The network of a golden file as a model file describes it.
fn golden_model(tensors: &Tensors) -> Value {
    let net: Value = serde_json::from_str(&tensors.metadata["net"]).unwrap();
    let (mut layers, mut connections) = (Vec::new(), Vec::new());
    for (k, layer) in (1..).zip(net["layers"].as_array().unwrap()) {
        layers.push(json!({ "name": format!("c{k}"), "shape": &tensors.get(&format!("free.h{k}")).unwrap().shape[1..] }));
        let pool = match layer["pool"].as_str().unwrap() {
            "none" => json!("none"),
            _ => json!({ "softmax": { "size": 2, "stride": 2, "temperature": layer["T"] } }),
        };
        let padding = layer["pad"].as_str().unwrap().to_lowercase();
        let feedback = match (k, net["feedback"].as_str().unwrap()) {
            (1, _) => "none",
            (_, "tied") => "tied",
            _ => "independent",
        };
        let from = if k == 1 { "input".to_owned() } else { format!("c{}", k - 1) };
        connections.push(json!({ "from": from, "to": format!("c{k}"), "feedback": feedback,
            "conv": { "kernel": layer["k"], "padding": padding, "pool": pool } }));
    }
    json!({ "name": "golden", "input": { "shape": net["input"] }, "activation": "dsilu",
        "layers": layers, "connections": connections,
        "readout": { "from": format!("c{}", layers.len()), "classes": net["classes"] } })
}

/// The array of a golden file that a parameter's values are, in its order; the read-out stands transposed there.
fn golden_values(tensors: &mut Tensors, prefix: &str, parameter: &str, dimensions: &[usize]) -> Vec<f64> {
    let digit = |name: &str| name.strip_prefix('c').map_or(0, |k| k.parse::<usize>().unwrap());
    let (name, kind) = parameter.split_once('.').unwrap();
    let key = match (name, kind) {
        ("readout", "weight") => {
            let shape = [dimensions[1], dimensions[0]];
            let matrix = tensors.matrix::<f64>(&format!("{prefix}.R"), shape).unwrap();
            // Column-major [classes × features], the order of a dense connection in memory.
            return matrix.transpose().as_slice().to_vec();
        }
        ("readout", _) => "r".to_owned(),
        (layer, "bias") => format!("b{}", digit(layer)),
        (ends, _) => {
            let (from, to) = ends.split_once('-').unwrap();
            let (from, to) = (digit(from), digit(to));
            if from < to { format!("W{to}") } else { format!("B{from}") }
        }
    };
    tensors.reals(&format!("{prefix}.{key}"), dimensions).unwrap()
}

pub fn golden(name: &str) -> (Problem, Tensors) {
    let mut tensors = read_tensors(path(&format!("tests/data/conv/{name}.safetensors"))).unwrap();
    let model: ModelSpec = serde_json::from_value(golden_model(&tensors)).unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let mut parameters = Parameters::zeros(network.shapes());
    for (index, shape) in network.shapes().iter().enumerate() {
        let values = golden_values(&mut tensors, "param", &shape.name, &shape.form.dimensions());
        parameters.at_mut(index).copy_from_slice(&values);
    }
    let shape = tensors.get("x").unwrap().shape.clone();
    let x = tensors.reals::<f64>("x", &shape).unwrap();
    let inputs = DMatrix::from_vec(network.inputs, shape[0], x);
    let targets = tensors.matrix::<f64>("y_onehot", [shape[0], network.output.size()]).unwrap();
    let samples = Samples::valued(&inputs, &targets.transpose());
    (Problem { network, parameters, samples }, tensors)
}

fn settle() -> Value {
    json!({ "tolerance": 1e-13, "max_time": 5000.0 })
}

pub fn adjoint(problem: &Problem) -> Estimate<f64> {
    problem.estimate(Form::Potential, json!({ "adjoint": { "settle": settle() } }))
}

/// Largest relative error of the parameters' gradients against those of a golden file.
fn off_golden(problem: &Problem, tensors: &mut Tensors, name: &str, gradient: &Parameters<f64>) -> f64 {
    let mut worst: f64 = 0.0;
    for (index, shape) in problem.network.shapes().iter().enumerate() {
        let prefix = format!("grad.{name}");
        let expected = golden_values(tensors, &prefix, &shape.name, &shape.form.dimensions());
        worst = worst.max(relative(gradient.at(index), &expected));
    }
    worst
}

fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(expected).map(|(f, e)| f - e)) / norm(&mut expected.iter().copied())
}

#[track_caller]
fn check_free(problem: &Problem, tensors: &mut Tensors, estimate: &Estimate<f64>) {
    for (k, found) in (1..).zip(&estimate.free) {
        let name = format!("free.h{k}");
        let shape = tensors.get(&name).unwrap().shape.clone();
        let expected = tensors.reals::<f64>(&name, &shape).unwrap();
        let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        assert!(off < 1e-9 && expected.len() == found.len(), "{name} of {}: {off:e}", problem.network.name);
    }
}

#[test]
fn golden_networks_rest_and_learn_as_the_authors_do() {
    for name in ["soft2", "soft3v", "nopool2"] {
        let (problem, mut tensors) = golden(name);
        assert!(problem.network.is_tied());
        let truth = adjoint(&problem);
        check_free(&problem, &mut tensors, &truth);
        let off = off_golden(&problem, &mut tensors, "bptt", &truth.gradient);
        println!("{name}: adjoint against bptt {off:e}");
        assert!(off < 1e-8, "{name}: {off:e}");
        // As the papers take it: every parameter from the nudged states, the read-out as well.
        for (label, amplitude, points) in
            [("hep_N2_beta1.0", 1.0, 2), ("hep_N2_beta0.3", 0.3, 2), ("hep_N10_beta0.3", 0.3, 10)]
        {
            let estimator = json!({ "cauchy": { "amplitude": amplitude, "points": points,
                "per_synapse": true, "settle": settle() } });
            let estimate = problem.estimate(Form::Rate, estimator);
            let off = off_golden(&problem, &mut tensors, label, &estimate.gradient);
            println!("{name}: {label} {off:e}");
            assert!(off < 1e-8, "{name}, {label}: {off:e}");
        }
    }
}

/// Kernels of a feedback of its own, with a pooling of its own: paper 2, whose estimate is biased.
#[test]
fn golden_separate_feedback_is_biased_as_the_authors_is_until_corrected() {
    let (problem, mut tensors) = golden("sep4_paper2");
    assert!(!problem.network.is_tied());
    assert_eq!(problem.network.untied_pairs().count(), 3);
    let truth = adjoint(&problem);
    check_free(&problem, &mut tensors, &truth);
    let cauchy = |amplitude: f64, points: u64, corrected: bool| {
        problem.estimate(
            Form::Potential,
            json!({ "cauchy": { "amplitude": amplitude, "points": points, "correct_asymmetry": corrected,
                "settle": settle() } }),
        )
    };
    let off = off_golden(&problem, &mut tensors, "hep_vf_N2_beta1.0", &cauchy(1.0, 2, false).gradient);
    println!("sep4: N = 2 {off:e}");
    assert!(off < 1e-8, "{off:e}");
    let off = off_golden(&problem, &mut tensors, "hep_vf_exact_response", &cauchy(0.05, 8, false).gradient);
    println!("sep4: response {off:e}");
    assert!(off < 1e-8, "{off:e}");
    let off = off_golden(&problem, &mut tensors, "bptt", &truth.gradient);
    println!("sep4: bptt {off:e}");
    assert!(off < 1e-8, "{off:e}");
    let off = off_golden(&problem, &mut tensors, "bptt", &cauchy(0.05, 8, true).gradient);
    println!("sep4: corrected {off:e}");
    assert!(off < 1e-7, "{off:e}");
}

/// A small network of two convolutions, a dense layer, a loop and whatever else is asked of it.
pub fn small(
    activation: &str,
    pools: [Value; 2],
    shapes: [Value; 3],
    paddings: [&str; 2],
    feedback: &Value,
) -> Value {
    json!({ "name": "small", "input": { "shape": shapes[0] }, "activation": activation,
        "initialisation": { "truncated_normal": { "scale": 0.8 } },
        "layers": [{ "name": "a", "shape": shapes[1] }, { "name": "b", "shape": shapes[2] },
            { "name": "h", "size": 3, "tau": 1.5 }],
        "connections": [
            { "from": "input", "to": "a", "conv": { "kernel": 3, "padding": paddings[0], "pool": pools[0] } },
            { "from": "a", "to": "b", "feedback": feedback,
              "conv": { "kernel": [2, 3], "padding": paddings[1], "pool": pools[1] } },
            { "from": "b", "to": "h", "feedback": feedback },
            { "from": "a", "to": "a", "conv": { "kernel": 3 } },
            { "from": "h", "to": "a" },
            { "from": "input", "to": "h", "sparse": { "fan_in": 3 } }],
        "readout": { "from": "h", "classes": 3 } })
}

pub fn soft(temperature: f64) -> Value {
    json!({ "softmax": { "size": 2, "stride": 1, "temperature": temperature } })
}

pub fn average() -> Value {
    json!({ "average": { "size": 2 } })
}

#[test]
fn tiles_are_a_setting_that_changes_rounding_alone() {
    let gradient = |products: &str| {
        let shapes = [json!([4, 5, 1]), json!([3, 4, 2]), json!([2, 3, 2])];
        let mut model = small("tanh", [soft(1.0), soft(0.5)], shapes, ["same", "same"], &json!("tied"));
        for connection in [0, 3] {
            model["connections"][connection]["conv"]["products"] = json!(products);
        }
        adjoint(&random(model, 2, 3)).gradient
    };
    let direct = gradient("direct");
    let error = compare(&gradient("fastest"), &direct).total.relative_error.unwrap();
    assert!(error == 0.0, "double precision: {error:e}");
    for products in ["winograd2", "winograd4"] {
        let error = compare(&gradient(products), &direct).total.relative_error.unwrap();
        assert!(error > 0.0 && error < 1e-11, "{products}: {error:e}");
    }
}

/// Softmax, average and no pooling; same and valid; tied, rotated and independent; not square, one channel.
pub fn zoo() -> Vec<Problem> {
    let (tied, own, turned) = (json!("tied"), json!("independent"), json!({ "rotated": { "angle": 40.0 } }));
    let none = json!("none");
    [
        small(
            "tanh",
            [average(), soft(0.5)],
            [json!([6, 8, 1]), json!([3, 4, 2]), json!([2, 3, 2])],
            ["same", "same"],
            &tied,
        ),
        small(
            "dsilu",
            [soft(1.0), soft(0.3)],
            [json!([5, 6, 2]), json!([2, 3, 3]), json!([1, 2, 2])],
            ["valid", "same"],
            &own,
        ),
        small(
            "tanh",
            [soft(0.7), average()],
            [json!([5, 5, 1]), json!([4, 4, 2]), json!([2, 2, 2])],
            ["same", "same"],
            &turned,
        ),
        small(
            "dsilu",
            [none.clone(), none.clone()],
            [json!([4, 5, 2]), json!([4, 5, 2]), json!([3, 3, 2])],
            ["same", "valid"],
            &own,
        ),
        small(
            "logistic",
            [none, soft(0.4)],
            [json!([4, 5, 1]), json!([4, 5, 2]), json!([3, 4, 1])],
            ["same", "same"],
            &tied,
        ),
    ]
    .into_iter()
    .zip(0..)
    .map(|(model, seed)| random(model, 2, seed))
    .collect()
}

/// Five more, with the poolings, paddings and feedbacks in other company.
pub fn more() -> Vec<Problem> {
    let (tied, own, turned) = (json!("tied"), json!("independent"), json!({ "rotated": { "angle": 75.0 } }));
    let valid = || [json!([6, 7, 2]), json!([3, 4, 3]), json!([1, 1, 2])];
    let same = || [json!([4, 5, 1]), json!([3, 4, 2]), json!([2, 3, 3])];
    [
        small("tanh", [soft(0.6), soft(1.5)], valid(), ["valid", "valid"], &own),
        small("dsilu", [soft(1.0), soft(1.0)], same(), ["same", "same"], &tied),
        small("softplus", [soft(0.8), soft(0.8)], same(), ["same", "same"], &turned),
        small(
            "tanh",
            [json!("none"), average()],
            [json!([5, 6, 2]), json!([3, 4, 2]), json!([1, 1, 2])],
            ["valid", "valid"],
            &own,
        ),
        small("logistic", [soft(0.4), soft(0.7)], valid(), ["valid", "valid"], &tied),
    ]
    .into_iter()
    .zip(10..)
    .map(|(model, seed)| random(model, 2, seed))
    .collect()
}

fn cost(problem: &Problem, parameters: Parameters<f64>) -> f64 {
    let problem = Problem { network: problem.network.clone(), parameters, samples: problem.samples.clone() };
    let free = adjoint(&problem);
    // −ln p of the label: p − y at the label is p − 1.
    let labels = problem.samples.targets.chunks(3).map(|y| y.iter().position(|y| *y == 1.0).unwrap());
    let costs = labels.enumerate().map(|(i, label)| -(1.0 + free.output_error[(label, i)]).ln());
    costs.sum::<f64>() / problem.samples.count as f64
}

/// Largest error of the adjoint's slope in a direction of each parameter against 4-point central differences.
fn off_differences(problem: &Problem, h: f64) -> f64 {
    let gradient = adjoint(problem).gradient;
    let mut worst: f64 = 0.0;
    for index in 0..problem.parameters.len() {
        let direction: Vec<f64> =
            (0..problem.parameters.at(index).len()).map(|i| (2.3 * (i + 3 * index) as f64).cos()).collect();
        let at = |shift: f64| {
            let mut parameters = problem.parameters.clone();
            parameters.at_mut(index).iter_mut().zip(&direction).for_each(|(p, d)| *p += shift * d);
            cost(problem, parameters)
        };
        let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let found: f64 = gradient.at(index).iter().zip(&direction).map(|(g, d)| g * d).sum();
        worst = worst.max((slope - found).abs());
    }
    worst
}

#[test]
fn the_adjoint_is_the_slope_of_the_cost_over_every_kernel() {
    let networks: Vec<Problem> = zoo().into_iter().chain(more()).collect();
    assert_eq!(networks.len(), 10);
    for (i, problem) in networks.iter().enumerate() {
        let off = off_differences(problem, 1e-3);
        println!("network {i}: {off:e}");
        assert!(off < 1e-7, "network {i}: {off:e}");
    }
}

/// The control that is not holomorphic: real states have a gradient, complex ones are refused. Tied feedback would jump where the
/// greatest changes, and its network need not come to rest.
#[test]
fn max_pooling_is_for_real_states() {
    let max = json!({ "max": { "size": 2, "stride": 1 } });
    let shapes = [json!([4, 5, 1]), json!([4, 5, 2]), json!([3, 4, 1])];
    let problem = random(small("tanh", [json!("none"), max], shapes, ["same", "same"], &json!("none")), 2, 3);
    let off = off_differences(&problem, 1e-4);
    assert!(off < 1e-7, "{off:e}");
    assert!(!problem.network.is_holomorphic());
    let cauchy: holograd::gradient::EstimatorSpec =
        serde_json::from_value(json!({ "cauchy": { "amplitude": 0.1, "points": 4 } })).unwrap();
    let refused = cauchy.validate(&problem.network, Form::Potential, None).unwrap_err();
    assert!(refused.found.contains("pooling that is not holomorphic"), "{refused}");
}

#[test]
fn the_oscillation_is_its_closed_form() {
    for (i, problem) in zoo().iter().enumerate() {
        let problem = problem.only(1..2);
        let period = 20.0;
        let exact = problem.free().rate_response(TAU / period);
        let form = [Form::Potential, Form::Rate][i % 2];
        let estimate = problem.estimate(
            form,
            json!({ "oscillation": { "amplitude": 0.05, "period": period, "settle_periods": 12,
                    "integrator": { "dop853": { "rtol": 1e-12, "atol": 1e-14 } } } }),
        );
        let found = estimate.error_vector.iter().flat_map(|layer| layer.iter());
        let off = found.zip(exact.iter()).map(|(f, e)| (f - e.re).abs()).fold(0.0, f64::max);
        println!("network {i}, {form:?}: {off:e}");
        assert!(off < 1e-9, "network {i}, {form:?}: {off:e}");
    }
}

#[test]
fn estimators_agree_with_the_adjoint() {
    for (i, problem) in zoo().iter().enumerate() {
        let truth = adjoint(problem).gradient;
        let off = |estimator: Value, form: Form| {
            let found = problem.estimate(form, estimator).gradient;
            (0..truth.len()).map(|k| relative(found.at(k), truth.at(k))).fold(0.0, f64::max)
        };
        for form in [Form::Potential, Form::Rate] {
            let cauchy = off(
                json!({ "cauchy": { "amplitude": 0.1, "points": 12, "correct_asymmetry": true, "settle": settle() } }),
                form,
            );
            println!("network {i}, {form:?}: corrected cauchy {cauchy:e}");
            assert!(cauchy < 1e-7, "network {i}, {form:?}: {cauchy:e}");
        }
        let balance = off(
            json!({ "harmonic_balance": { "amplitude": 0.1, "period": 1e6, "correct_asymmetry": true } }),
            Form::Potential,
        );
        println!("network {i}: corrected harmonic balance {balance:e}");
        assert!(balance < 1e-6, "network {i}: {balance:e}");
    }
}

/// The response is a power series in β: N points leave β^N/R^N of it, R the distance of the nearest pole.
#[test]
fn more_points_converge_geometrically_with_the_radius_of_the_pooling() {
    let (problem, _) = golden("soft2");
    let truth = adjoint(&problem).gradient;
    let estimate = |amplitude: f64, points: u64| {
        problem.estimate(
            Form::Rate,
            json!({ "cauchy": { "amplitude": amplitude, "points": points, "settle": settle() } }),
        )
    };
    let off = |amplitude: f64, points: u64| {
        compare(&estimate(amplitude, points).gradient, &truth).total.relative_error.unwrap()
    };
    // At a fixed N the error goes with the N-th power of the amplitude.
    for points in [2, 4, 6] {
        let found = order([0.1, 0.15, 0.2].map(|amplitude| (amplitude, off(amplitude, points))));
        println!("N = {points}: order {found:.3}");
        assert!((found - points as f64).abs() < 0.2, "N = {points}: order {found}");
    }
    // At a fixed amplitude it falls by the same factor from each N to the next: the one that the amplitude's share of R gives.
    let radius = |amplitude: f64| {
        let errors = [4, 6, 8, 10].map(|points| (points as f64, off(amplitude, points).ln()));
        amplitude / slope(errors).exp()
    };
    let [near, far] = [0.2, 0.35].map(radius);
    let told = estimate(0.35, 24).diagnostics.radius_of_convergence.unwrap();
    println!("R = {near:.3} at 0.2, {far:.3} at 0.35, told {told:.3}");
    assert!((near / far - 1.0).abs() < 0.1, "{near} and {far}");
    assert!((told / far - 1.0).abs() < 0.3, "told {told}, fitted {far}");
}

/// A kernel's own multipliers measure ∂φ/∂K, whose first harmonic is the gradient of a tied pair.
#[test]
fn multipliers_in_a_kernel_measure_the_same_gradient() {
    let (problem, _) = golden("soft3v");
    let gradient = |per_synapse: bool| {
        let estimator = json!({ "oscillation": { "amplitude": 0.1, "period": 40.0, "settle_periods": 4,
            "per_synapse": per_synapse, "integrator": { "dopri5": { "rtol": 1e-11, "atol": 1e-13 } } } });
        problem.estimate(Form::Potential, estimator).gradient
    };
    let [synapses, neurons] = [true, false].map(gradient);
    for (name, values) in synapses.iter() {
        let off = relative(values, neurons.at(neurons.index(name).unwrap()));
        println!("{name}: {off:e}");
        assert!(off < 1e-8, "{name}: {off:e}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shapes = [json!([8, 8, 1]), json!([4, 4, 3]), json!([3, 3, 2])];
    let model = small("tanh", [average(), soft(0.5)], shapes, ["same", "same"], &json!("tied"));
    let problem = random(model, 41, 2);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let estimator = json!({ "oscillation": { "amplitude": 0.1, "period": 12.0, "integrator": "euler" } });
        pool.install(|| problem.estimate(Form::Potential, estimator))
    };
    let one = with(1);
    for threads in [2, 4] {
        let other = with(threads);
        assert_eq!(one.gradient, other.gradient, "{threads} threads");
        assert_eq!(one.error_vector, other.error_vector, "{threads} threads");
    }
}

/// In single precision 3 × 3 kernels go by Winograd's products.
#[test]
fn single_precision_rounds_and_no_more() {
    let shapes = [json!([8, 10, 2]), json!([8, 10, 3]), json!([7, 8, 2])];
    let model = small("tanh", [json!("none"), json!("none")], shapes, ["same", "valid"], &json!("tied"));
    let double = random(model, 3, 4);
    let parameters = {
        let mut tensors = Tensors::new();
        double.parameters.insert_into(&mut tensors, "");
        Parameters::<f32>::from_tensors(double.network.shapes(), &mut tensors).unwrap()
    };
    let samples = Samples {
        inputs: double.samples.inputs.iter().map(|x| *x as f32).collect(),
        targets: double.samples.targets.iter().map(|x| *x as f32).collect(),
        count: 3,
        first: 0,
    };
    let single = Effective::new(&double.network, Form::Potential, &parameters);
    let exact = double.effective(Form::Potential);
    for rails in [1, 2] {
        let mut f32_field = Dynamics::new(&single, &samples, rails);
        let mut f64_field = Dynamics::new(&exact, &double.samples, rails);
        let state: Vec<f64> = (0..f64_field.shape().len()).map(|i| 0.5 * (i as f64).sin()).collect();
        let narrow: Vec<f32> = state.iter().map(|x| *x as f32).collect();
        let (mut wide_out, mut narrow_out) = (state.clone(), narrow.clone());
        holograd::simulation::integrators::VectorField::target(
            &mut f64_field,
            Time::at(0),
            &state,
            &mut wide_out,
        );
        holograd::simulation::integrators::VectorField::target(
            &mut f32_field,
            Time::at(0),
            &narrow,
            &mut narrow_out,
        );
        let off =
            narrow_out.iter().zip(&wide_out).map(|(n, w)| (f64::from(*n) - w).abs()).fold(0.0, f64::max);
        println!("{rails} rails: {off:e}");
        assert!(off > 0.0 && off < 2e-6, "{rails} rails: {off:e}");
    }
}
