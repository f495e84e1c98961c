//! The Jacobian of networks with convolutions: its homeostasis, and its measures by probes.

use holograd::learning::asymmetry::Asymmetry;
use holograd::learning::homeostasis::Probes;
use holograd::learning::{Homeostasis, JacobianMeasures};
use holograd::numerics::scalar::Layout;
use holograd::numerics::state::StateShape;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use nalgebra::DMatrix;

use crate::conv_networks::{adjoint, golden, more, zoo};

/// The loss of the probes at fixed rates, and its gradient, with poolings that act differently at each.
#[test]
fn the_homeostatic_gradient_of_kernels_is_the_derivative_of_its_loss() {
    for (i, problem) in zoo().iter().chain(&more()).enumerate() {
        let free = adjoint(problem).free;
        let at: Vec<f64> = free.iter().flat_map(|layer| layer.iter().copied()).collect();
        let probes = Probes::draw_at(&problem.network, (2, &at), (3, 4), 0);
        let loss = |parameters: &Parameters<f64>| {
            let losses = probes.losses(&Effective::new(&problem.network, Form::Potential, parameters));
            losses.iter().sum::<f64>() / losses.len() as f64
        };
        let mut gradient = Parameters::zeros(problem.network.shapes());
        probes.add_gradient(&problem.effective(Form::Potential), 1.0, &mut gradient);
        let mut worst: f64 = 0.0;
        for index in 0..problem.parameters.len() {
            let length = problem.parameters.at(index).len();
            let direction: Vec<f64> = (0..length).map(|k| (2.1 * (k + 5 * index) as f64).cos()).collect();
            let at = |shift: f64| {
                let mut parameters = problem.parameters.clone();
                parameters.at_mut(index).iter_mut().zip(&direction).for_each(|(p, d)| *p += shift * d);
                loss(&parameters)
            };
            let h = 1e-3;
            let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let found: f64 = gradient.at(index).iter().zip(&direction).map(|(g, d)| g * d).sum();
            worst = worst.max((slope - found).abs());
        }
        println!("network {i}: {worst:e}");
        assert!(worst < 1e-8, "network {i}: {worst:e}");
    }
}

/// What an update adds is the mean over samples and probes, whatever the chunks; its loss is that of the whole Jacobian.
#[test]
fn homeostasis_of_kernels_pulls_the_whole_jacobian_towards_symmetry() {
    let (problem, _) = golden("sep4_paper2");
    let free = adjoint(&problem).free;
    let effective = problem.effective(Form::Potential);
    let mut gradient = Parameters::zeros(problem.network.shapes());
    Homeostasis { coefficient: 15.0, probes: 3 }.add_gradient(&effective, &free, (1, 2), &mut gradient);
    let loss = |parameters: &Parameters<f64>| {
        let effective = Effective::new(&problem.network, Form::Potential, parameters);
        Asymmetry::measure(&effective, JacobianMeasures::Norms, &free).unwrap()
    };
    let before = loss(&problem.parameters);
    let mut parameters = problem.parameters.clone();
    let step = 0.2 * problem.parameters.norm() / gradient.norm();
    parameters.add_scaled(-step, &gradient);
    let after = loss(&parameters);
    println!("{before:?} to {after:?}");
    assert!(after.symmetry > before.symmetry + 0.005, "{before:?} to {after:?}");
    for name in ["input-c1.weight", "readout.weight", "c1.bias"] {
        let values = gradient.at(gradient.index(name).unwrap());
        assert!(values.iter().all(|g| *g == 0.0), "{name} is not part of the coupling");
    }
}

/// Measures of the Jacobian by probes, beside the Jacobian as a matrix.
#[test]
fn probes_measure_the_jacobian_of_kernels() {
    for (i, problem) in zoo().iter().enumerate() {
        let free = adjoint(problem).free;
        let effective = problem.effective(Form::Potential);
        let found = Asymmetry::measure(&effective, JacobianMeasures::Norms, &free).unwrap();
        let shape = StateShape::new(&problem.network, 1, 1);
        let n = shape.len();
        let [mut square, mut asymmetric, mut commutator] = [0.0; 3];
        for sample in 0..2 {
            let at: Vec<f64> = free
                .iter()
                .flat_map(|layer| layer.column(sample).iter().copied().collect::<Vec<_>>())
                .collect();
            let mut j = -DMatrix::<f64>::identity(n, n);
            for k in 0..n {
                let mut unit = vec![0.0; n];
                unit[k] = 1.0;
                let mut column = vec![0.0; n];
                effective.multiply(&shape, Layout::Plain, &at, &unit, &mut column);
                column.iter().enumerate().for_each(|(row, x)| j[(row, k)] += x);
            }
            square += j.norm_squared();
            asymmetric += (0.5 * (&j - j.transpose())).norm_squared();
            commutator += (&j * j.transpose() - j.transpose() * &j).norm_squared();
        }
        let (s, a) = ((square - asymmetric).sqrt(), asymmetric.sqrt());
        let (symmetry, non_normality) = (s / (s + a), (2.0 * commutator).sqrt() / square);
        println!("network {i}: {found:?}, {symmetry:.3}, {non_normality:.3}");
        assert!((found.symmetry - symmetry).abs() < 0.05, "network {i}: {found:?}, not {symmetry}");
        let ratio = found.non_normality / non_normality;
        assert!((ratio - 1.0).abs() < 0.3, "network {i}: {found:?}, not {non_normality}");
        let turned = i == 2;
        let angle = found.feedback_angle;
        assert!(!turned || (angle.unwrap() - 40.0).abs() < 15.0, "network {i}: {angle:?}");
    }
}
