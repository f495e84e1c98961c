//! Section "why one continuous phase suffices" of docs/equations.md, on the toy network of paper 1.

use std::f64::consts::TAU;

use crate::common::{Problem, toy};
use holograd::gradient::compare::{compare, complex_relative_error};
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{IntegratorSpec, VectorField};
use holograd::simulation::lockin::{LockIn, Observer, Record, Window};
use holograd::simulation::teaching::{Teaching, Waveform};
use holograd::simulation::view::View;
use holograd::substrate::Field;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use num_complex::Complex;
use serde_json::json;

/// Observes potentials where the estimators observe rates.
struct Potentials<'a>(&'a mut LockIn<f64>);

impl Observer<f64> for Potentials<'_> {
    fn wants(&self, tick: u64) -> bool {
        self.0.wants(tick)
    }

    fn observe(&mut self, tick: u64, view: &View<'_, f64>) {
        let View { shape, state, output_error, .. } = *view;
        self.0.observe(tick, &View { shape, state, rates: state, output_error });
    }
}

/// Harmonics −3…3 of the potentials, [harmonic + 3][neuron], in the periodic steady state.
fn harmonics(
    problem: &Problem,
    amplitude: f64,
    period: f64,
    integrator: IntegratorSpec,
) -> Vec<Vec<Complex<f64>>> {
    let effective = problem.effective(Form::Potential);
    let clock = integrator.clock("period", period).unwrap();
    let mut field = Dynamics::new(&effective, &problem.samples, 2);
    field.teach(Teaching { waveform: Waveform::Circular { ticks: clock.ticks }, amplitude, onset: 0 });
    let shape = field.shape().clone();
    let settle = (120.0 / period).ceil() as u64 * clock.ticks;
    let record = Record {
        start: settle,
        stride: 1,
        samples_per_period: clock.ticks,
        weights: Window::Boxcar.weights(clock.ticks as usize, clock.step),
    };
    let asked: Vec<i64> = (-3..=3).collect();
    let mut lockin = LockIn::new(record, &asked, problem.network.output.size(), &shape);
    let stepper = integrator.build(clock.step, field.leak(), shape.len());
    let mut simulation = Simulation::new(Box::new(field), stepper, clock.step, vec![0.0; shape.len()]);
    simulation.run(settle + clock.ticks, &mut [&mut Potentials(&mut lockin)]).unwrap();
    let planar = |k: i64| &lockin.coefficient(k).unwrap().rates;
    let neurons = |k: i64| -> Vec<Complex<f64>> {
        let layer = |l: usize| {
            let range = shape.layer(l);
            let (re, im) = planar(k)[range.clone()].split_at(range.len() / 2);
            re.iter().zip(im).map(|(re, im)| Complex::new(*re, *im)).collect::<Vec<_>>()
        };
        (0..shape.layers()).flat_map(layer).collect()
    };
    asked.iter().map(|&k| neurons(k)).collect()
}

fn largest(difference: impl Iterator<Item = Complex<f64>>) -> f64 {
    difference.map(|z| z.norm()).fold(0.0, f64::max)
}

/// Errors of c₁, c₀ and the negative harmonics against the closed forms.
fn errors(problem: &Problem, amplitude: f64, period: f64, integrator: IntegratorSpec) -> [f64; 3] {
    let free = problem.free();
    let c = harmonics(problem, amplitude, period, integrator);
    let response = free.response(TAU / period);
    let first = largest(c[4].iter().zip(&response).map(|(c, r)| c / amplitude - r));
    let zeroth = largest(c[3].iter().zip(&free.potentials).map(|(c, u)| c - u));
    let negative = largest(c[..3].iter().flatten().copied());
    [first, zeroth, negative]
}

#[test]
fn the_first_harmonic_is_exact_at_every_amplitude_and_frequency() {
    let problem = toy();
    let referee = IntegratorSpec::Dop853 { rtol: 1e-12, atol: 1e-14, samples: 64 };
    for amplitude in [0.05, 0.3, 0.5] {
        for period in [10.0, 20.0, 40.0, 80.0] {
            let errors = errors(&problem, amplitude, period, referee);
            println!("|beta| = {amplitude}, T = {period}: c1, c0, c-k off by {errors:?}");
            assert!(errors.iter().all(|e| *e <= 1e-10), "|beta| = {amplitude}, T = {period}: {errors:?}");
        }
    }
}

#[test]
fn with_rk4_the_theorem_holds_to_fourth_order() {
    let problem = toy();
    let error = |step| errors(&problem, 0.3, 20.0, IntegratorSpec::Rk4 { step })[0];
    let [coarse, fine] = [0.5, 0.25].map(error);
    let order = (coarse / fine).log2();
    println!("rk4: {coarse:.2e} -> {fine:.2e}, order {order:.2}");
    assert!((order - 4.0).abs() < 0.2, "order {order}");
    let [_, zeroth, negative] = errors(&problem, 0.3, 20.0, IntegratorSpec::Rk4 { step: 0.25 });
    assert!(zeroth < 1e-10 && negative < 1e-10, "no step biases the mean: {zeroth:e}, {negative:e}");
}

#[test]
fn euler_shifts_the_effective_frequency_and_nothing_else() {
    // iωτ becomes (e^{iωh} − 1)/h: the closed form is exact again with it.
    let problem = toy();
    let (period, step) = (20.0, 0.25);
    let free = problem.free();
    let c = harmonics(&problem, 0.3, period, IntegratorSpec::Euler { step });
    let n = free.jacobian.nrows();
    let shift = (Complex::cis(TAU / period * step) - 1.0) / step;
    let matrix = nalgebra::DMatrix::from_fn(n, n, |i, j| {
        let diagonal = if i == j { shift } else { Complex::new(0.0, 0.0) };
        diagonal - free.jacobian[(i, j)]
    });
    let response = matrix.lu().solve(&(-&free.cost_slope).map(|x| Complex::new(x, 0.0))).unwrap();
    let error = largest(c[4].iter().zip(&response).map(|(c, r)| c / 0.3 - r));
    assert!(error < 1e-9, "{error:e}");
}

/// Relative error of `oscillation` at |β| = 0.5 over the weights between layers, real part and complex, for a period and a number of Richardson periods.
fn oscillation_error(problem: &Problem, period: f64, richardson: u64) -> (f64, f64) {
    let integrator = json!({ "dop853": { "rtol": 1e-11, "atol": 1e-13 } });
    let estimator = json!({ "oscillation": {
        "amplitude": 0.5, "period": period, "settle_periods": (100.0 / period).ceil() as u64,
        "richardson": richardson, "integrator": integrator } });
    let estimate = problem.estimate(Form::Potential, estimator);
    let truth = problem.estimate(Form::Potential, json!("adjoint")).gradient;
    let real = compare(&estimate.gradient, &truth).synapses.relative_error.unwrap();
    (real, complex_relative_error(&estimate.gradient, estimate.quadrature.as_ref().unwrap(), &truth).unwrap())
}

#[test]
fn the_frequency_bias_is_that_of_the_table() {
    // The table of docs/equations.md, made by an independent program.
    let problem = toy();
    let rows = [
        (1, [(10.0, 3.9e-1), (20.0, 1.4e-1), (40.0, 4.1e-2), (80.0, 1.06e-2)]),
        (2, [(10.0, 6.2e-2), (20.0, 6.6e-3), (40.0, 4.9e-4), (80.0, 3.2e-5)]),
        (3, [(10.0, 2.9e-3), (20.0, 8.1e-5), (40.0, 1.5e-6), (80.0, 2.5e-8)]),
    ];
    for (richardson, row) in rows {
        for (period, published) in row {
            let (real, _) = oscillation_error(&problem, period, richardson);
            println!("T = {period}, {richardson} periods: {real:.3e} (table {published:.2e})");
            assert!((real / published - 1.0).abs() < 0.05, "T = {period}, {richardson}: {real:e}");
        }
    }
}

#[test]
fn the_real_part_converges_with_the_square_of_the_frequency_and_the_complex_estimate_linearly() {
    let problem = toy();
    let errors: Vec<(f64, f64)> =
        [160.0, 320.0].map(|period| oscillation_error(&problem, period, 1)).to_vec();
    let order = |a: f64, b: f64| (a / b).log2();
    assert!((order(errors[0].0, errors[1].0) - 2.0).abs() < 0.05);
    assert!((order(errors[0].1, errors[1].1) - 1.0).abs() < 0.05);
}
