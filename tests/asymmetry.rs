//! Substrates without weight symmetry: the exact correction beside the adjoint, homeostasis beside its dense form.

use crate::common::{Problem, order, random};
use holograd::gradient::compare::compare;
use holograd::learning::homeostasis::{Homeostasis, Probes};
use holograd::learning::kolen_pollack;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use nalgebra::DMatrix;
use serde_json::{Value, json};

/// A ring of three layers with a layer that is connected to itself, no two weights tied.
fn looped() -> Value {
    json!({ "name": "looped", "input": 3, "activation": "tanh",
        "initialisation": { "normal": { "scale": 0.8 } },
        "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 5 }, { "name": "c", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }, { "from": "b", "to": "c" },
            { "from": "c", "to": "a" }, { "from": "b", "to": "b" }],
        "cost": "squared_error" })
}

/// Independent and rotated feedback, a short cut without partner, time constants of their own, a read-out.
fn untied() -> Value {
    json!({ "name": "untied", "input": 3, "activation": "dsilu",
        "initialisation": { "uniform": { "scale": 0.9 } },
        "layers": [{ "name": "a", "size": 4, "tau": [0.7, 1.0, 1.6, 1.0] }, { "name": "b", "size": 4 }, { "name": "c", "size": 3 }],
        "connections": [{ "from": "input", "to": "a" },
            { "from": "a", "to": "b", "feedback": { "rotated": { "angle": 70.0 } } },
            { "from": "b", "to": "c", "feedback": "independent" }, { "from": "c", "to": "a" }],
        "readout": { "from": "c", "classes": 3 } })
}

fn problems() -> [Problem; 4] {
    [random(looped(), 3, 1), random(looped(), 12, 2), random(untied(), 3, 3), random(untied(), 12, 4)]
}

/// Relative error and cosine to the adjoint, over the weights between layers.
fn off(problem: &Problem, form: Form, estimator: &Value) -> (f64, f64) {
    let truth = problem.estimate(form, json!("adjoint")).gradient;
    let found = compare(&problem.estimate(form, estimator.clone()).gradient, &truth).synapses;
    (found.relative_error.unwrap(), found.cosine.unwrap())
}

#[test]
fn a_response_at_any_frequency_takes_as_many_products_as_at_none() {
    for problem in problems() {
        for form in [Form::Potential, Form::Rate] {
            let evaluations = |period: Value| {
                let estimator = json!({ "harmonic_balance": { "period": period } });
                problem.estimate(form, estimator).diagnostics.rhs_evaluations
            };
            // Real directions do for a complex response, whatever the time constants; each chunk checks the result once.
            let (frozen, driven) = (evaluations(Value::Null), evaluations(json!(40.0)));
            assert!(
                driven.abs_diff(frozen) <= 4,
                "{}, {form:?}: {driven} and {frozen}",
                problem.network.name
            );
        }
    }
}

#[test]
fn corrected_equilibria_respond_as_the_adjoint() {
    for problem in problems() {
        for form in [Form::Potential, Form::Rate] {
            let cauchy = |corrected: bool| json!({ "cauchy": { "amplitude": 0.05, "points": 24, "correct_asymmetry": corrected } });
            let (naive, cosine) = off(&problem, form, &cauchy(false));
            let (exact, _) = off(&problem, form, &cauchy(true));
            println!(
                "{}, {form:?}: {exact:.1e}, naive {naive:.2} with cosine {cosine:.3}",
                problem.network.name
            );
            assert!(naive > 0.1, "this network is no test: {naive:e}");
            assert!(exact < 1e-10, "{}, {form:?}: {exact:e}", problem.network.name);
            let solved = json!({ "harmonic_balance": { "correct_asymmetry": true } });
            let (exact, _) = off(&problem, form, &solved);
            assert!(exact < 1e-10, "solved, {}, {form:?}: {exact:e}", problem.network.name);
            let centred =
                json!({ "classic": { "amplitude": 1e-3, "centred": true, "correct_asymmetry": true } });
            let (exact, _) = off(&problem, form, &centred);
            assert!(exact < 1e-4, "classic, {}, {form:?}: {exact:e}", problem.network.name);
        }
    }
}

#[test]
fn the_error_of_a_corrected_drive_falls_with_the_square_of_its_frequency() {
    for problem in problems() {
        let solved =
            |period: f64| json!({ "harmonic_balance": { "period": period, "correct_asymmetry": true } });
        let errors = [400.0, 800.0, 1600.0, 3200.0]
            .map(|period| (1.0 / period, off(&problem, Form::Potential, &solved(period)).0));
        let found = order(errors);
        println!("{}: {errors:?}, order {found:.3}", problem.network.name);
        assert!((found - 2.0).abs() < 0.1, "{}: order {found}", problem.network.name);
    }
}

#[test]
fn an_always_on_drive_measures_the_free_rates_and_is_corrected() {
    for problem in problems() {
        for form in [Form::Potential, Form::Rate] {
            // The steady state that is solved for is the referee: it takes a* from the free equilibrium, not from a mean.
            let period = 24.0;
            let solved = json!({ "harmonic_balance": { "period": period, "correct_asymmetry": true } });
            let solved = problem.estimate(form, solved).gradient;
            let driven = json!({ "oscillation": { "amplitude": 0.05, "period": period, "settle_periods": 16,
                "integrator": { "rk4": { "step": 0.125 } }, "correct_asymmetry": true } });
            let driven = problem.estimate(form, driven);
            let off_solved = compare(&driven.gradient, &solved).total.relative_error.unwrap();
            println!("{}, {form:?}: {off_solved:.1e}", problem.network.name);
            assert!(off_solved < 1e-5, "{}, {form:?}: {off_solved:e}", problem.network.name);
        }
        // Held points have no frequency bias: with long holds the staircase is the Cauchy estimate.
        if problem.network.layers.iter().flat_map(|l| &l.tau).all(|tau| *tau == 1.0) {
            let staircase = json!({ "staircase": { "amplitude": 0.05, "points": 16, "hold": 400.0, "settle_periods": 1,
                "periods": 1, "integrator": { "euler": { "step": 0.5 } }, "correct_asymmetry": true } });
            let (exact, _) = off(&problem, Form::Rate, &staircase);
            assert!(exact < 1e-6, "staircase: {exact:e}");
        }
    }
}

#[test]
fn tied_weights_need_no_correction() {
    let mut model = untied();
    model["connections"] = json!([{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" },
        { "from": "b", "to": "c", "feedback": "tied" }]);
    let problem = random(model, 3, 5);
    let cauchy = |corrected: bool| json!({ "cauchy": { "amplitude": 0.1, "points": 6, "correct_asymmetry": corrected } });
    let [plain, corrected] = [false, true].map(|c| problem.estimate(Form::Potential, cauchy(c)).gradient);
    assert!(compare(&corrected, &plain).total.relative_error.unwrap() < 1e-12);
}

/// The coupling between layers as a matrix, from the parameter file's names alone.
fn coupling(problem: &Problem) -> DMatrix<f64> {
    let neurons = problem.network.neurons();
    let mut whole = DMatrix::zeros(neurons, neurons);
    for (name, weights) in problem.parameters.matrices() {
        let Some((from, to)) = name.strip_suffix(".weight").and_then(|stem| stem.split_once('-')) else {
            continue;
        };
        let layer = |name: &str| problem.network.layers.iter().find(|l| l.name == name);
        let (Some(from), Some(to)) = (layer(from), layer(to)) else { continue };
        whole.view_mut((to.offset, from.offset), (to.size, from.size)).copy_from(&weights);
    }
    whole
}

#[test]
fn the_homeostatic_loss_of_probes_has_the_mean_of_its_dense_form() {
    const COUNT: usize = 20_000;
    for problem in problems() {
        let j = coupling(&problem);
        let expected = (&j - j.transpose()).norm_squared() / (2.0 * j.nrows() as f64);
        let losses =
            Probes::<f64>::draw(&problem.network, COUNT, (7, 1)).losses(&problem.effective(Form::Potential));
        let mean = losses.iter().sum::<f64>() / COUNT as f64;
        let variance = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (COUNT - 1) as f64;
        let error = (variance / COUNT as f64).sqrt();
        println!("{}: {mean:.4} ± {error:.4}, dense {expected:.4}", problem.network.name);
        assert!(error < 0.02 * expected && (mean - expected).abs() < 3.0 * error);
    }
}

#[test]
fn the_homeostatic_gradient_is_the_derivative_of_its_loss_and_has_the_dense_mean() {
    for problem in problems() {
        let probes = Probes::<f64>::draw(&problem.network, 5, (3, 4));
        let loss = |parameters: &Parameters<f64>| {
            let losses = probes.losses(&Effective::new(&problem.network, Form::Potential, parameters));
            losses.iter().sum::<f64>() / losses.len() as f64
        };
        let effective = problem.effective(Form::Potential);
        let mut gradient = Parameters::zeros(problem.network.shapes());
        Homeostasis { coefficient: 1.0, probes: 5 }.add_gradient(&effective, &[], (3, 4), &mut gradient);
        let mut parameters = problem.parameters.clone();
        let mut worst = 0.0_f64;
        for index in 0..parameters.len() {
            for element in 0..parameters.at(index).len() {
                let nominal = parameters.at(index)[element];
                let mut at = |shift: f64| {
                    parameters.at_mut(index)[element] = nominal + shift;
                    loss(&parameters)
                };
                let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
                parameters.at_mut(index)[element] = nominal;
                worst = worst.max((difference - gradient.at(index)[element]).abs());
            }
        }
        println!("{}: off finite differences by {worst:.1e}", problem.network.name);
        assert!(worst < 1e-6, "{worst:e}");

        // The mean over many probes: 2 (W − partnerᵀ)/n, the partner zero where there is none.
        const COUNT: usize = 100_000;
        let mut mean = Parameters::zeros(problem.network.shapes());
        Probes::<f64>::draw(&problem.network, COUNT, (5, 0)).add_gradient(&effective, 1.0, &mut mean);
        let j = coupling(&problem);
        let dense = (&j - j.transpose()) * (2.0 / j.nrows() as f64);
        for (_, edge) in problem.network.recurrent() {
            let name = &problem.network.shapes()[edge.weight].name;
            let (from, to) = name.strip_suffix(".weight").and_then(|stem| stem.split_once('-')).unwrap();
            let layer = |name: &str| problem.network.layers.iter().find(|l| l.name == name).unwrap();
            let (from, to) = (layer(from), layer(to));
            let block = dense.view((to.offset, from.offset), (to.size, from.size));
            let off = (mean.matrix(edge.weight) - block).norm() / dense.norm();
            assert!(off < 0.02, "{name}: {off}");
        }
    }
}

#[test]
fn tied_weights_feel_no_homeostasis() {
    let mut model = looped();
    model["connections"] = json!([{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" },
        { "from": "b", "to": "c", "feedback": "tied" }]);
    let problem = random(model, 1, 6);
    let mut gradient = Parameters::zeros(problem.network.shapes());
    let homeostasis = Homeostasis { coefficient: 1.0, probes: 5 };
    homeostasis.add_gradient(&problem.effective(Form::Potential), &[], (1, 1), &mut gradient);
    assert!(gradient.matrices().all(|(_, g)| g.amax() < 1e-14));
}

#[test]
fn kolen_pollack_pairs_take_one_update() {
    let problem = random(untied(), 3, 8);
    let mut gradient = problem.estimate(Form::Potential, json!({ "harmonic_balance": {} })).gradient;
    let before = gradient.clone();
    kolen_pollack::share(&problem.network, &mut gradient);
    let get = |g: &Parameters<f64>, name: &str| g.get(name).unwrap().clone();
    for (forward, backward) in [("a-b.weight", "b-a.weight"), ("b-c.weight", "c-b.weight")] {
        let sum = get(&before, forward) + get(&before, backward).transpose();
        assert_eq!(get(&gradient, forward), sum);
        assert_eq!(get(&gradient, backward), sum.transpose());
    }
    for alone in ["input-a.weight", "c-a.weight", "readout.weight", "b.bias"] {
        assert_eq!(get(&gradient, alone), get(&before, alone));
    }
}
