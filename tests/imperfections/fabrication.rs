//! What fabrication leaves: mismatch, faults, feedback of its own.

use super::*;

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
        assert!(made.recurrent().zip(ideal.recurrent()).all(|(a, b)| a.2.weights() == b.2.weights()));
        let oscillation: EstimatorSpec =
            serde_json::from_value(json!({ "oscillation": { "amplitude": 0.3, "period": 20.0 } })).unwrap();
        let gradient = |effective: &Effective<f64>| {
            let setting = Setting { substrate: effective, noise: None, update: 0, diagnose: true };
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
    let setting = Setting { substrate: &both, noise: None, update: 0, diagnose: false };
    let found = holograd::gradient::equilibrium::free(&setting, &samples, &Default::default()).unwrap().rates;
    let (w, w_in) = (parameters.get("a-a.weight").unwrap(), parameters.get("input-a.weight").unwrap());
    let mut a = nalgebra::DVector::zeros(3);
    for _ in 0..2000 {
        let u = &w * &a + &w_in * 0.7;
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
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
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
                parameters.at_mut(index)[element] += h;
                cost(&parameters)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert_relative_eq!(gradient.at(index)[element], numeric, epsilon = 1e-8, max_relative = 1e-5);
        }
    }
}

#[test]
fn a_tied_pair_is_one_device_until_its_feedback_differs() {
    let backward = |effective: &Effective<f64>| -> Vec<f64> {
        effective
            .recurrent()
            .find(|(_, e, _)| e.direction == Direction::Backward)
            .unwrap()
            .2
            .weights()
            .to_vec()
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
fn no_synapse_conducts_less_than_nothing() {
    let spec = imperfections(json!({ "fabrication": { "weight": { "std": 0.5 } } }));
    let values = forward(&flat(1.0, &spec, 0));
    let zero = values.iter().filter(|w| **w == 0.0).count() as f64 / 1e4;
    assert!(values.iter().all(|w| *w >= 0.0));
    // Two standard deviations below the mean: Φ(−2) = 2.3 %.
    assert!((zero - 0.02275).abs() < 4.0 * (0.02275_f64 / 1e4).sqrt(), "{zero}");
}

#[test]
fn a_time_constant_too_short_for_the_step_is_named_before_the_run() {
    let model = json!({ "name": "wide", "input": 2, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "h", "size": 400 }, { "name": "o", "size": 2 }],
        "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }] });
    let problem = random(model, 1, 1);
    let spec = imperfections(json!({ "device_seed": 0, "fabrication": { "tau": { "std": 0.3 } } }));
    let check = |integrator: Value| {
        let oscillation =
            json!({ "oscillation": { "amplitude": 0.05, "period": 100.0, "integrator": integrator } });
        let estimator: EstimatorSpec = serde_json::from_value(oscillation).unwrap();
        estimator.validate(&problem.network, Form::Potential, Some(&spec))
    };
    let device = Device::fabricate(&problem.network, &spec);
    let effective = device.effective(Form::Potential, &problem.parameters, 0);
    let taus = effective.tau(0);
    let neuron = (0..400).min_by(|i, j| taus[*i].total_cmp(&taus[*j])).unwrap();
    assert!(taus[neuron] < 0.25, "the device holds a neuron that is too fast: {}", taus[neuron]);
    let refused = check(json!({ "euler": { "step": 0.5 } })).unwrap_err();
    assert_eq!(refused.path, "oscillation.integrator");
    for part in
        [format!("neuron {neuron} of layer `h`"), format!("{:.3}", taus[neuron]), "fabrication.tau".into()]
    {
        assert!(refused.found.contains(&part), "{part}: {refused:?}");
    }
    check(json!({ "exponential_euler": { "step": 0.5 } })).unwrap();
    check(json!("dopri5")).unwrap();
    check(json!({ "euler": { "step": 0.01 } })).unwrap();
}

/// Two convolutions of which each weight is one device, or one for each position.
fn convolved(devices: &str) -> Problem {
    let softmax = json!({ "softmax": { "size": 2 } });
    let model = json!({ "name": "unrolled", "input": { "shape": [6, 6, 1] }, "activation": "tanh",
        "layers": [{ "name": "c1", "shape": [3, 3, 4] }, { "name": "c2", "shape": [2, 2, 5] }],
        "connections": [
            { "from": "input", "to": "c1", "conv": { "kernel": 3, "pool": softmax, "devices": devices } },
            { "from": "c1", "to": "c2", "feedback": "tied", "conv": { "kernel": 2, "padding": "valid", "devices": devices } }],
        "readout": { "from": "c2", "classes": 3 } });
    random(model, 3, 1)
}

fn estimated(problem: &Problem, spec: &Imperfections, estimator: Value) -> Estimate<f64> {
    let estimator: EstimatorSpec = serde_json::from_value(estimator).unwrap();
    let device = Device::fabricate(&problem.network, spec);
    let effective = device.effective(Form::Potential, &problem.parameters, 0);
    estimate_batch(&*estimator.build(), &Setting::quiet(&effective), &problem.samples, &mut Vec::new())
        .unwrap()
}

#[test]
fn every_position_of_an_unrolled_kernel_is_a_device() {
    let problem = convolved("unrolled");
    let spec = imperfections(json!({ "fabrication": { "weight": { "std": 0.1 } } }));
    let made = Device::fabricate(&problem.network, &spec).effective(Form::Potential, &problem.parameters, 0);
    let mut factors = Vec::new();
    for (edge, synapses) in made.edges() {
        let nominal = problem.parameters.at(edge.weight);
        assert_eq!(synapses.weights().len(), edge.interaction.copies() * nominal.len());
        let z = synapses
            .weights()
            .iter()
            .zip(nominal.iter().cycle())
            .map(|(w, nominal)| (w / nominal - 1.0) / 0.1);
        factors.push(z.collect::<Vec<f64>>());
    }
    // 36 positions of 36 weights; 4 of 80, the same devices in both directions.
    assert_eq!(factors.iter().map(Vec::len).collect::<Vec<_>>(), [1296, 320, 320]);
    assert_eq!(factors[1], factors[2]);
    assert!(follows(factors[..2].concat(), normal));

    let adjoint = json!({ "adjoint": { "settle": { "tolerance": 1e-13 } } });
    let plain = imperfections(json!({}));
    let [shared, unrolled] = ["shared", "unrolled"]
        .map(|devices| estimated(&convolved(devices), &plain, adjoint.clone()).gradient);
    let error = compare(&unrolled, &shared).total.relative_error.unwrap();
    assert!(error < 1e-12, "without imperfections the hardware makes no difference: {error:e}");

    let truth = estimated(&problem, &spec, adjoint);
    let cauchy = json!({ "cauchy": { "amplitude": 0.2, "points": 12, "settle": { "tolerance": 1e-13 } } });
    let error =
        compare(&estimated(&problem, &spec, cauchy).gradient, &truth.gradient).total.relative_error.unwrap();
    assert!(error < 1e-9, "{error:e}");
    assert!(compare(&truth.gradient, &shared).total.relative_error.unwrap() > 1e-2, "the devices differ");

    // The biases hold no device's factor: their gradients are those of the costs of the whole device.
    let cost = |parameters: &Parameters<f64>| {
        let moved = Problem { parameters: parameters.clone(), ..convolved("unrolled") };
        let settle = json!({ "adjoint": { "settle": { "tolerance": 1e-13 } } });
        let errors = estimated(&moved, &spec, settle).output_error;
        let labels = problem.samples.targets.chunks(3);
        let costs = labels
            .zip(errors.as_slice().chunks(3))
            .map(|(targets, errors)| targets.iter().zip(errors).map(|(y, e)| -y * (y + e).ln()).sum::<f64>());
        costs.sum::<f64>() / 3.0
    };
    for (index, shape) in problem.network.shapes().iter().enumerate() {
        if shape.name.ends_with(".bias") {
            let nominal = problem.parameters.at(index)[1];
            let at = |step: f64| {
                let mut moved = problem.parameters.clone();
                moved.at_mut(index)[1] = nominal + step;
                cost(&moved)
            };
            let slope = (8.0 * (at(1e-3) - at(-1e-3)) - (at(2e-3) - at(-2e-3))) / 12e-3;
            let found = truth.gradient.at(index)[1];
            assert!((found - slope).abs() < 1e-9, "{}: {found}, not {slope}", shape.name);
        }
    }
}

#[test]
fn pulses_cannot_move_the_devices_of_an_unrolled_kernel() {
    let spec = imperfections(json!({ "programming": { "weight_max": 2.0, "update": { "step": 0.01 } } }));
    assert!(spec.suit(&convolved("shared").network).is_ok());
    let error = spec.suit(&convolved("unrolled").network).unwrap_err().to_string();
    assert!(error.contains("unrolled kernel") && error.contains("programming.update"), "{error}");
}
