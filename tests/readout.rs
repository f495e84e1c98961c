//! Gradients without frequency bias and without a complex substrate: docs/read-out.md.

use crate::common::{Problem, random, toy};
use holograd::error::Error;
use holograd::gradient::compare::compare;
use holograd::gradient::equilibrium::{self, Settle};
use holograd::gradient::{EstimatorSpec, HarmonicBalance, Setting, Stop, Surroundings, estimate_batch};
use holograd::imperfections::Imperfections;
use holograd::imperfections::noise::{Noise, Rails};
use holograd::numerics::state::StateShape;
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{IntegratorSpec, VectorField};
use holograd::simulation::lockin::{LockIn, Record, Window};
use holograd::simulation::teaching::{Teaching, Waveform};
use holograd::substrate::Field;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::{Network, Source};
use holograd::substrate::parameters::Parameters;
use serde_json::{Value, json};

/// Relative error over the weights between layers against the adjoint.
fn error(problem: &Problem, estimator: Value) -> f64 {
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    let estimate = problem.estimate(Form::Potential, estimator).gradient;
    compare(&estimate, &truth).synapses.relative_error.unwrap()
}

fn tight() -> Value {
    json!({ "dop853": { "rtol": 1e-12, "atol": 1e-14, "samples": 64 } })
}

#[test]
fn the_odd_harmonics_of_a_real_drive_add_up_to_the_gradient() {
    // Made by an independent program: |b|, K, relative error.
    let table = [
        (0.1, 1, 5.4e-3),
        (0.1, 3, 2.9e-5),
        (0.1, 5, 1.7e-7),
        (0.5, 1, 1.3e-1),
        (0.5, 3, 1.3e-2),
        (0.5, 5, 9.2e-4),
        (0.5, 9, 1.9e-5),
        (0.5, 15, 7.8e-8),
    ];
    let problem = toy();
    let quasi_static = |b: f64, order: u64| {
        let estimator = json!({ "drive": "cosine", "amplitude": b, "harmonics": order });
        error(&problem, json!({ "harmonic_balance": estimator }))
    };
    for (b, order, published) in table {
        let found = quasi_static(b, order);
        println!("b = {b}, K = {order}: {found:.2e} (table {published:.1e})");
        assert!((found / published - 1.0).abs() < 0.06, "b = {b}, K = {order}: {found:e}");
    }
    let smallest = quasi_static(0.1, 9);
    println!("b = 0.1, K = 9: {smallest:.1e}");
    assert!(smallest < 1e-11, "{smallest:e}");
}

#[test]
fn the_bias_of_a_real_drive_is_even_in_the_frequency_and_is_extrapolated_away() {
    let problem = toy();
    let at = |period: f64, richardson: u64| {
        let settle = (120.0 / period).ceil() as u64;
        let estimator = json!({ "amplitude": 0.1, "period": period, "harmonics": 9, "settle_periods": settle,
            "richardson": richardson, "periods": 1, "integrator": tight() });
        error(&problem, json!({ "chebyshev": estimator }))
    };
    let errors = [80.0, 160.0, 320.0].map(|period| at(period, 1));
    let order = (errors[1] / errors[2]).log2();
    println!("T = 80, 160, 320: {errors:?}, order {order:.3}");
    assert!((order - 2.0).abs() < 0.05, "order {order}");
    let extrapolated = [at(80.0, 2), at(80.0, 3)];
    println!("Richardson from 80: {extrapolated:?}");
    assert!(extrapolated[0] < errors[1] / 50.0 && extrapolated[1] < extrapolated[0] / 50.0);
}

/// Harmonics 0…8 of the rates under a circular drive (two rails) or a cosine (one), by integration until transients are gone.
fn integrated(problem: &Problem, rails: usize, period: f64) -> Vec<Vec<f64>> {
    let effective = problem.effective(Form::Potential);
    let integrator = IntegratorSpec::Dop853 { rtol: 1e-12, atol: 1e-14, samples: 64 };
    let clock = integrator.clock("period", period).unwrap();
    let mut field = Dynamics::new(&effective, &problem.samples, rails);
    let ticks = clock.ticks;
    let waveform = if rails == 2 { Waveform::Circular { ticks } } else { Waveform::Cosine { ticks } };
    field.teach(Teaching { waveform, amplitude: 0.3, onset: 0 });
    let shape = field.shape().clone();
    let settle = (120.0 / period).ceil() as u64 * clock.ticks;
    let record = Record {
        start: settle,
        stride: 1,
        samples_per_period: clock.ticks,
        weights: Window::Boxcar.weights(clock.ticks as usize, clock.step),
    };
    let asked: Vec<i64> = (0..=8).collect();
    let mut lockin = LockIn::new(record, &asked, problem.network.output.size(), &shape);
    let stepper = integrator.build(clock.step, field.leak(), shape.len());
    let mut simulation = Simulation::new(Box::new(field), stepper, clock.step, vec![0.0; shape.len()]);
    simulation.run(settle + clock.ticks, &mut [&mut lockin]).unwrap();
    asked.iter().map(|&k| lockin.coefficient(k).unwrap().rates.clone()).collect()
}

#[test]
fn harmonic_balance_is_the_steady_state_that_integration_reaches() {
    let problem = toy();
    let effective = problem.effective(Form::Potential);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    for (name, rails) in [("circular", 2), ("cosine", 1)] {
        for period in [10.0, 40.0] {
            let spec = json!({ "drive": name, "amplitude": 0.3, "period": period, "harmonics": 9 });
            let balance: HarmonicBalance = serde_json::from_value(spec).unwrap();
            let steady = balance.steady_state(&setting, &problem.samples).unwrap();
            let referee = integrated(&problem, rails, period);
            for (k, expected) in referee.iter().enumerate() {
                let found = &steady.coefficient(k as u64).unwrap().rates;
                let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1e-9, "{name}, T = {period}, harmonic {k}: {off:e}");
            }
            println!("{name}, T = {period}: {} evaluations", steady.evaluations);
        }
    }
}

#[test]
fn harmonic_balance_is_exact_where_oscillation_and_the_adjoint_are() {
    let problem = toy();
    for form in [Form::Potential, Form::Rate] {
        let truth = problem.estimate(form, json!("adjoint")).gradient;
        let slow = problem.estimate(form, json!("harmonic_balance"));
        let off = compare(&slow.gradient, &truth).total.relative_error.unwrap();
        assert!(off < 1e-10, "{form:?}: an infinitely slow drive is the truth: {off:e}");
        for (drive, order) in [("circular", 5), ("cosine", 5)] {
            let spec = json!({ "drive": drive, "period": 25.0, "amplitude": 0.2, "harmonics": order });
            let solved = problem.estimate(form, json!({ "harmonic_balance": spec }));
            let waited = if drive == "circular" {
                json!({ "oscillation": { "amplitude": 0.2, "period": 25.0, "settle_periods": 6, "integrator": tight() } })
            } else {
                json!({ "chebyshev": { "amplitude": 0.2, "period": 25.0, "settle_periods": 6, "periods": 1,
                    "harmonics": order, "integrator": tight() } })
            };
            let waited = problem.estimate(form, waited);
            let off = compare(&solved.gradient, &waited.gradient).total.relative_error.unwrap();
            assert!(off < 1e-9, "{form:?}, {drive}: {off:e}");
            let (a, b) = (solved.quadrature.unwrap(), waited.quadrature.unwrap());
            let off = compare(&a, &b).synapses.relative_error.unwrap();
            assert!(off < 1e-8, "{form:?}, {drive}, quadrature: {off:e}");
        }
    }
}

#[test]
fn a_single_period_tells_its_own_bias() {
    let problem = toy();
    let estimate = |period: f64, extrapolation: &str| {
        problem.estimate(
            Form::Potential,
            json!({ "oscillation": { "amplitude": 0.3, "period": period, "settle_periods": 8,
                "extrapolation": extrapolation, "integrator": tight() } }),
        )
    };
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    for period in [20.0, 40.0, 80.0] {
        let [plain, corrected] = ["polynomial", "rational"].map(|e| estimate(period, e));
        let off = |e: &holograd::gradient::Estimate<f64>| {
            compare(&e.gradient, &truth).synapses.relative_error.unwrap()
        };
        let (bias, left) = (off(&plain), off(&corrected));
        let told = plain.diagnostics.bias_estimate.unwrap();
        println!("T = {period}: bias {bias:.2e}, told {told:.2e}, left after correction {left:.2e}");
        assert!(told > 0.4 * bias && told < 2.5 * bias, "T = {period}: {told:e} of {bias:e}");
        assert!(left < 0.7 * bias, "T = {period}: {left:e} of {bias:e}");
    }
}

/// A tied network of `sizes` with its weights between layers scaled so that its slowest relaxation rate is `rate`.
fn slow_network(sizes: &[usize], rate: f64, seed: u64) -> Problem {
    let layers: Vec<Value> =
        sizes.iter().enumerate().map(|(i, n)| json!({ "name": format!("h{i}"), "size": n })).collect();
    let mut connections = vec![json!({ "from": "input", "to": "h0" })];
    for i in 1..sizes.len() {
        let (from, to) = (format!("h{}", i - 1), format!("h{i}"));
        connections.push(json!({ "from": from, "to": to, "feedback": "tied" }));
    }
    let last = format!("h{}", sizes.len() - 1);
    let model = json!({ "name": "slow", "input": 12, "layers": layers, "activation": "tanh",
        "connections": connections, "readout": { "from": last, "classes": 4, "cost": "cross_entropy" } });
    // The rate is 1 − scale · μ(scale), μ falling as neurons saturate: the iteration climbs to the first crossing. Where it
    // jumps over into another attractor, the next seed is tried.
    for seed in (seed..).step_by(100) {
        let mut problem = random(model.clone(), 3, seed);
        let start = problem.parameters.clone();
        let mut scale = 0.05;
        for _ in 0..12 {
            problem.parameters = scaled(&problem.network, &start, scale);
            let diagnostics = problem.estimate(Form::Potential, json!("adjoint")).diagnostics;
            let there = diagnostics.slowest_rate.unwrap();
            if (there / rate - 1.0).abs() < 0.02 {
                return problem;
            }
            let step = (1.0 - rate) / (1.0 - there);
            if !(0.0..100.0).contains(&step) {
                break;
            }
            scale *= step;
        }
    }
    unreachable!("seeds do not end")
}

fn scaled(network: &Network, parameters: &Parameters<f64>, scale: f64) -> Parameters<f64> {
    let mut scaled = parameters.clone();
    // Weak inputs leave the neurons where they respond.
    for edge in network.edges.iter().filter(|edge| edge.from == Source::Input) {
        scaled.at_mut(edge.weight).iter_mut().for_each(|w| *w *= 0.3);
    }
    for (_, edge) in network.between_layers() {
        scaled.at_mut(edge.weight).iter_mut().for_each(|w| *w *= scale);
    }
    scaled
}

#[test]
fn auto_meets_the_requested_error_on_random_tied_networks() {
    let draws: [(&[usize], f64); 12] = [
        (&[4, 4], 0.6),
        (&[4, 4], 0.1),
        (&[8, 8], 0.03),
        (&[12, 12], 0.3),
        (&[16, 16, 8], 0.06),
        (&[30, 20], 0.1),
        (&[40, 30, 20], 0.05),
        (&[64, 64], 0.2),
        (&[80, 60, 40], 0.03),
        (&[128, 64], 0.1),
        (&[128, 128], 0.4),
        (&[256, 256], 0.05),
    ];
    for (seed, (sizes, rate)) in draws.into_iter().enumerate() {
        let problem = slow_network(sizes, rate, seed as u64);
        let truth = problem.estimate(Form::Potential, json!("adjoint"));
        for requested in [1e-2, 1e-3, 1e-4] {
            let estimator = json!({ "auto": { "relative_error": requested, "budget": 100_000 } });
            let estimate = problem.estimate(Form::Potential, estimator);
            let reached = compare(&estimate.gradient, &truth.gradient).synapses.relative_error.unwrap();
            println!(
                "{sizes:?}, rate {:.3}: asked {requested:.0e}, reached {reached:.1e} in {} evaluations, guess {:.1e}",
                truth.diagnostics.slowest_rate.unwrap(),
                estimate.diagnostics.rhs_evaluations,
                estimate.diagnostics.extrapolation_error.unwrap(),
            );
            assert_eq!(estimate.diagnostics.stop, Stop::RecordComplete, "{sizes:?} at {requested:e}");
            assert!(reached <= requested, "{sizes:?} at {requested:e}: {reached:e}");
        }
    }
}

#[test]
fn auto_says_beforehand_what_it_cannot_afford() {
    let problem = slow_network(&[8, 8], 0.05, 1);
    let effective = problem.effective(Form::Potential);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let estimate = |spec: Value| {
        let spec: EstimatorSpec = serde_json::from_value(json!({ "auto": spec })).unwrap();
        estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new())
    };
    let refused = estimate(json!({ "relative_error": 1e-4, "budget": 300 })).unwrap_err();
    assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
    let solved = estimate(json!({ "relative_error": 1e-4, "budget": 300, "solve": true })).unwrap();
    assert_eq!(solved.diagnostics.stop, Stop::Settled);
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    assert!(compare(&solved.gradient, &truth).synapses.relative_error.unwrap() < 1e-4);
}

#[test]
fn rational_extrapolation_reaches_frequencies_above_the_slowest_rate() {
    for (sizes, seed) in [([8, 8], 20), ([30, 20], 5)] {
        let problem = slow_network(&sizes, 0.1, seed);
        for faster in [1.0, 1.5, 2.0, 3.0] {
            let period = (std::f64::consts::TAU / (0.1 * faster) / 0.5).round() * 0.5;
            let at = |extrapolation: &str| {
                let estimator = json!({ "amplitude": 0.1, "period": period, "richardson": 2,
                    "settle_periods": (200.0 / period).ceil() as u64, "extrapolation": extrapolation });
                error(&problem, json!({ "oscillation": estimator }))
            };
            let (polynomial, rational, automatic) = (at("polynomial"), at("rational"), at("auto"));
            println!(
                "{sizes:?}, omega tau = {faster} rates: {polynomial:.1e}, {rational:.1e}, auto {automatic:.1e}"
            );
            assert!(rational < polynomial / 10.0, "{sizes:?}, {faster}: {rational:e} against {polynomial:e}");
            assert_eq!(automatic, rational, "{sizes:?}, {faster}: the better of the two is recognised");
        }
    }
}

#[test]
fn acceleration_reaches_the_relaxed_equilibrium_in_a_fraction_of_the_evaluations() {
    let model = json!({ "name": "mnist", "input": 784, "activation": { "logistic": { "slope": 4.0, "offset": -2.0 } },
        "layers": [{ "name": "h1", "size": 256 }, { "name": "h2", "size": 256 }],
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 10, "cost": "cross_entropy" } });
    let mut problem = random(model, 10, 3);
    // Sparse and positive, as images are: a fifth of the pixels is lit.
    problem.samples.inputs.iter_mut().for_each(|x| *x = if *x > 0.8 { *x } else { 0.0 });
    for form in [Form::Potential, Form::Rate] {
        let effective = problem.effective(form);
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
        let settle = Settle {
            step: 1.0,
            tolerance: Some(1e-8),
            max_time: 5000.0,
            accelerate: true,
            ..Settle::default()
        };
        let accelerated = equilibrium::free(&setting, &problem.samples, &settle).unwrap();
        let patient = Settle { accelerate: false, ..settle };
        let relaxed = equilibrium::free(&setting, &problem.samples, &patient).unwrap();
        let damped = Settle { step: 0.5, ..settle };
        let half = equilibrium::free(&setting, &problem.samples, &damped).unwrap();
        println!(
            "{form:?}: {} evaluations, {} with half steps; relaxed {}",
            accelerated.evaluations, half.evaluations, relaxed.evaluations
        );
        let off =
            accelerated.state.iter().zip(&relaxed.state).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-4, "{form:?}: another equilibrium, {off:e}");
        assert!(3 * accelerated.evaluations < relaxed.evaluations);
    }
}

#[test]
fn an_accelerated_equilibrium_does_not_depend_on_the_rest_of_its_batch() {
    let model = json!({ "name": "two", "input": 20, "activation": { "logistic": { "slope": 4.0, "offset": -2.0 } },
        "layers": [{ "name": "h1", "size": 40 }, { "name": "h2", "size": 30 }],
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 3, "cost": "cross_entropy" } });
    let problem = random(model, 10, 3);
    let effective = problem.effective(Form::Rate);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let settle =
        Settle { step: 1.0, tolerance: Some(1e-10), max_time: 5000.0, accelerate: true, ..Settle::default() };
    let alone = |settle: &Settle| -> Vec<_> {
        let samples = (0..10).map(|sample| problem.samples.select(&[sample]));
        samples.map(|sample| equilibrium::free(&setting, &sample, settle).unwrap()).collect()
    };
    let parts = alone(&settle);
    let slowest = parts.iter().map(|part| part.evaluations).max().unwrap();
    let fastest = parts.iter().map(|part| part.evaluations).min().unwrap();
    assert!(fastest < slowest, "every sample takes {fastest} evaluations: there is nothing to leave out");
    // One evaluation half-way and 10 products with J, which no time limit counts.
    const INSPECTION: u64 = 21;
    // All arrive; and with as much time as the fastest needs the others do not, and are relaxed.
    for max_time in [5000.0, (fastest + 1 - INSPECTION) as f64] {
        let settle = Settle { max_time, ..settle };
        let together = equilibrium::free(&setting, &problem.samples, &settle).unwrap();
        let parts = alone(&settle);
        let in_time = parts.iter().all(|part| part.stop == Stop::Settled);
        assert_eq!(in_time, max_time == 5000.0);
        assert_eq!(together.stop, if in_time { Stop::Settled } else { Stop::TimeLimit });
        let largest = parts.iter().map(|part| part.residual).fold(0.0, f64::max);
        assert!((together.residual - largest).abs() < 1e-13, "{:e}, not {largest:e}", together.residual);
        let shape = StateShape::new(effective.network(), 10, 1);
        for (sample, part) in parts.iter().enumerate() {
            // Products of another width round differently: a hundredth of what an iteration more would change.
            let state = shape.sample(sample).flat_map(|column| &together.state[column]);
            let off = state.zip(&part.state).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12, "sample {sample}, {max_time}: {off:e}");
        }
        if in_time {
            assert_eq!(together.evaluations, slowest, "one evaluation serves all that have not arrived");
        }
    }
}

#[test]
fn the_order_follows_the_noise() {
    let problem = toy();
    let effective = problem.effective(Form::Potential);
    let order = |std: f64| {
        let noise = Noise::White { std, rails: Rails::Real };
        let imperfections = Imperfections { state_noise: Some(noise), ..Imperfections::default() };
        let instant = imperfections.instant().map(|instant| Surroundings::new(instant, 5));
        let setting = Setting { substrate: &effective, noise: instant, update: 0, diagnose: false };
        let spec = json!({ "chebyshev": { "amplitude": 0.5, "period": 60.0, "periods": 16,
            "integrator": { "euler": { "step": 0.25 } } } });
        let spec: EstimatorSpec = serde_json::from_value(spec).unwrap();
        spec.validate(&problem.network, Form::Potential, Some(&imperfections)).unwrap();
        let estimate = estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap();
        let diagnostics = estimate.diagnostics;
        let order = diagnostics.harmonics.unwrap();
        let gain = (1..=order).step_by(2).map(|k| (k * k) as f64).sum::<f64>().sqrt();
        assert!((diagnostics.noise_gain.unwrap() - gain).abs() < 1e-12);
        order
    };
    let orders = [0.3, 1e-2, 1e-4, 1e-8].map(order);
    println!("sigma = 0.3, 1e-2, 1e-4, 1e-8: K = {orders:?}");
    assert!(orders.windows(2).all(|pair| pair[0] <= pair[1]), "{orders:?}");
    assert!(orders[0] <= 3 && orders[3] >= 9, "{orders:?}");
}

#[test]
fn what_the_theory_cannot_carry_is_refused() {
    let refused = |network: &Network, estimator: Value, noise: Option<&Imperfections>| -> String {
        let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        let finding = spec.validate(network, Form::Potential, noise).unwrap_err();
        format!("{}: {}; {}", finding.path, finding.found, finding.legal)
    };
    let network = &toy().network;
    let white = Some(Noise::White { std: 0.1, rails: Rails::Real });
    let noisy = Imperfections { state_noise: white, ..Imperfections::default() };
    let noise = Some(&noisy);
    let cases = [
        (json!({ "harmonic_balance": {} }), noise, "found noise"),
        (json!({ "harmonic_balance": { "drive": "cosine", "harmonics": 2 } }), None, "odd number"),
        (
            json!({ "chebyshev": { "amplitude": 0.1, "period": 8.0, "harmonics": 9 } }),
            None,
            "half the samples",
        ),
        (json!({ "chebyshev": { "amplitude": 0.1, "period": 40.0, "periods": 1 } }), None, "scatter"),
        (json!({ "auto": { "relative_error": 2.0 } }), None, "0.5"),
        (
            json!({ "oscillation": { "amplitude": 0.1, "period": 40.0, "per_synapse": true, "extrapolation": "rational" } }),
            None,
            "neurons'",
        ),
    ];
    for (estimator, noise, expected) in cases {
        let message = refused(network, estimator.clone(), noise);
        assert!(message.contains(expected), "{estimator}: {message}");
    }
    let clipped = random(
        json!({ "name": "clipped", "input": 2, "activation": "hard_tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": 3 }], "connections": [{ "from": "input", "to": "a" }] }),
        1,
        1,
    );
    let order = |harmonics: Value| json!({ "chebyshev": { "amplitude": 0.01, "period": 400.0, "harmonics": harmonics } });
    assert!(refused(&clipped.network, order(json!(3)), None).contains("holomorphic"));
    assert!(refused(&clipped.network, order(Value::Null), None).contains("holomorphic"));
    // The plain lock-in needs no analyticity: a piecewise linear substrate answers linearly between its kinks.
    let bias = error(&clipped, order(json!(1)));
    println!("hard_tanh, K = 1: {bias:.1e}");
    assert!(bias < 1e-3, "{bias:e}");
}

#[test]
fn noise_is_told_from_bias() {
    let problem = toy();
    let effective = problem.effective(Form::Potential);
    let estimate = |estimator: &Value, std: f64, seed: u64| {
        let noise = Noise::White { std, rails: Rails::Independent };
        let imperfections = Imperfections { state_noise: Some(noise), ..Imperfections::default() };
        let noise =
            imperfections.instant().filter(|_| std > 0.0).map(|instant| Surroundings::new(instant, seed));
        let setting = Setting { substrate: &effective, noise, update: 0, diagnose: true };
        let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
        estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()).unwrap()
    };
    let difference = |a: &holograd::gradient::Estimate<f64>, b: &holograd::gradient::Estimate<f64>| {
        let pairs = || a.error_vector.iter().zip(&b.error_vector);
        let off: f64 = pairs().map(|(a, b)| (a - b).norm_squared()).sum();
        (off / pairs().map(|(_, b)| b.norm_squared()).sum::<f64>()).sqrt()
    };
    let rms = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt();
    let std = 1e-3;
    for extrapolation in ["polynomial", "rational"] {
        for periods in [1, 2] {
            let spec = json!({ "oscillation": { "amplitude": 0.3, "period": 40.0, "periods": 8, "richardson": periods,
                "extrapolation": extrapolation, "integrator": { "euler": { "step": 0.5 } } } });
            let quiet = estimate(&spec, 0.0, 0);
            assert_eq!(quiet.diagnostics.noise_estimate, None);
            let noisy: Vec<_> = (0..40).map(|seed| estimate(&spec, std, seed)).collect();
            let actual = rms(&noisy.iter().map(|e| difference(e, &quiet)).collect::<Vec<_>>());
            let told = rms(&noisy.iter().map(|e| e.diagnostics.noise_estimate.unwrap()).collect::<Vec<_>>());
            println!("{extrapolation}, {periods} periods: noise {actual:.2e}, told {told:.2e}");
            assert!((told / actual).ln().abs() < 0.4, "{extrapolation}, {periods}: {told:e}, not {actual:e}");
        }
    }
    // `auto` tells noise from above: what it takes for noise holds what transients leave as well.
    let auto = json!({ "auto": { "relative_error": 1e-2, "amplitude": 0.3 } });
    let quiet = estimate(&json!({ "adjoint": {} }), 0.0, 0);
    for std in [1e-5, 1e-4, 1e-2] {
        let found: Vec<_> = (0..10).map(|seed| estimate(&auto, std, seed)).collect();
        let actual = rms(&found.iter().map(|e| difference(e, &quiet)).collect::<Vec<_>>());
        let told = rms(&found.iter().map(|e| e.diagnostics.noise_estimate.unwrap()).collect::<Vec<_>>());
        println!("auto, sigma = {std:e}: error {actual:.1e}, noise told {told:.1e}");
        assert!(told > 0.5 * actual && told < f64::max(2.0 * actual, 1e-2), "{told:e} of {actual:e}");
    }
}

#[test]
fn every_estimator_reports_the_slowest_rate() {
    let problem = toy();
    let free = problem.free();
    let exact = free.jacobian.complex_eigenvalues().iter().map(|z| -z.re).fold(f64::INFINITY, f64::min);
    let estimators = [
        json!("adjoint"),
        json!({ "classic": { "amplitude": 0.01 } }),
        json!({ "cauchy": { "amplitude": 0.1, "points": 6 } }),
        json!({ "staircase": { "amplitude": 0.1, "hold": 30.0 } }),
        json!({ "oscillation": { "amplitude": 0.1, "period": 40.0 } }),
        json!({ "chebyshev": { "amplitude": 0.1, "period": 40.0 } }),
        json!({ "harmonic_balance": { "period": 40.0 } }),
        json!({ "auto": {} }),
    ];
    for estimator in estimators {
        let found = problem.estimate(Form::Potential, estimator.clone()).diagnostics.slowest_rate.unwrap();
        assert!((found - exact).abs() < 1e-3, "{estimator}: {found}, not {exact}");
    }
}

/// Too long for every run: CONTRIBUTING.md has the command.
#[test]
#[ignore = "a long survey"]
fn auto_on_a_hundred_random_tied_networks() {
    let log_uniform = |low: f64, high: f64, place: f64| low * (high / low).powf(place);
    let (mut met, mut refused, mut refused_fast) = ([0; 3], [0; 3], 0);
    for draw in 0..100_u32 {
        // Two sequences that fill the square evenly: neurons by one, rate by the other.
        let place = |multiple: f64| (f64::from(draw + 1) * multiple).fract();
        let neurons = log_uniform(8.0, 512.0, place(0.754_877_666_246_692_7)).round() as usize;
        let rate = log_uniform(0.03, 0.6, place(0.569_840_290_998_053_2));
        let sizes: Vec<usize> = match draw % 3 {
            0 => vec![neurons / 2, neurons - neurons / 2],
            1 => vec![2 * neurons / 3, neurons - 2 * neurons / 3],
            _ => vec![neurons / 3, neurons / 3, neurons - 2 * (neurons / 3)],
        };
        let problem = slow_network(&sizes, rate, 1000 + u64::from(draw));
        let truth = problem.estimate(Form::Potential, json!("adjoint"));
        let effective = problem.effective(Form::Potential);
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
        let mut told = Vec::new();
        for (place, requested) in [1e-2, 1e-3, 1e-4].into_iter().enumerate() {
            let spec: EstimatorSpec =
                serde_json::from_value(json!({ "auto": { "relative_error": requested } })).unwrap();
            match estimate_batch(&*spec.build(), &setting, &problem.samples, &mut Vec::new()) {
                Ok(estimate) => {
                    let agreement = compare(&estimate.gradient, &truth.gradient).synapses;
                    let reached = agreement.relative_error.unwrap();
                    met[place] += u32::from(reached <= requested);
                    told.push(format!("{reached:.1e} ({})", estimate.diagnostics.rhs_evaluations));
                }
                Err(Error::Input { .. }) => {
                    refused[place] += 1;
                    refused_fast += u32::from(rate > 0.1);
                    told.push("refused".into());
                }
                Err(other) => panic!("{other}"),
            }
        }
        println!("{draw}: {sizes:?}, rate {rate:.3}: {}", told.join(", "));
    }
    println!(
        "asked for 1e-2, 1e-3, 1e-4: met {met:?}, refused beforehand {refused:?}, {refused_fast} of them above 0.1"
    );
    for (met, refused) in met.into_iter().zip(refused) {
        assert!(met + refused >= 95, "{met} met and {refused} refused of 100");
    }
    assert_eq!(refused_fast, 0);
}
