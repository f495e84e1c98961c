//! The published toy network of paper 1 (Fig. 2): equilibria at 24 roots of unity, the gradient by BPTT, and how far from it the
//! estimates are at each amplitude.
//!
//! Conventions found in the published numbers (single precision, see experiments/paper1/published/README.md):
//! * point k of an equilibrium is β = |β| e^{2πik/24}, with β > 0 pulling towards the label, as here;
//! * the published gradient is +∂C/∂θ of the one sample, neither scaled nor negated;
//! * weights are stored [from, to], the transpose of ours, and the tied weight counts both of its directions;
//! * estimates multiply the two signals of every synapse at every point, those of the read-out included.

use crate::common::{Problem, path, toy};
use holograd::gradient::Estimate;
use holograd::gradient::compare::compare;
use holograd::published::Published;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use serde_json::json as value;

/// What single precision leaves of a state between 0 and 1, or of a gradient below 1.
const TOLERANCE: f64 = 2e-6;
/// Amplitudes, and what stands beside them.
const AMPLITUDES: [(f64, &str); 4] =
    [(0.001, "|β| = 0.001"), (0.01, "|β| = 0.01"), (0.1, "|β| = 0.1"), (0.5, "|β| = 0.5")];
const LAYERS: [&str; 2] = ["h1", "h2"];

fn published(name: &str) -> Published {
    let file = path(&format!("experiments/paper1/published/{name}"));
    Published::parse(&file, &std::fs::read(&file).unwrap()).unwrap()
}

/// A column of the one curve beside `label`.
fn column(published: &Published, label: &str, name: &str) -> Vec<f64> {
    let curve = published.beside(label).next().unwrap_or_else(|| panic!("no {label}"));
    curve.columns[name].iter().map(|x| x.unwrap()).collect()
}

fn distance(ours: impl IntoIterator<Item = f64>, theirs: &[f64]) -> f64 {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn cauchy(problem: &Problem, form: Form, amplitude: f64) -> Estimate<f64> {
    problem.estimate(form, value!({ "cauchy": { "amplitude": amplitude, "points": 24 } }))
}

#[test]
fn the_free_equilibrium_is_the_published_one() {
    let (problem, published) = (toy(), published("fig2a.json"));
    for form in [Form::Rate, Form::Potential] {
        let free = problem.estimate(form, value!("adjoint")).free;
        for (amplitude, label) in AMPLITUDES {
            for (layer, rates) in LAYERS.iter().zip(&free) {
                let theirs: Vec<f64> =
                    (1..=4).map(|n| column(&published, &format!("{label}/{layer}.{n}"), "free")[0]).collect();
                let off = distance(rates.iter().copied(), &theirs);
                assert!(off < TOLERANCE, "{form:?}, |beta| = {amplitude}, layer {layer}: {off:e}");
            }
        }
    }
}

#[test]
fn all_nudged_equilibria_are_the_published_ones() {
    let (problem, published) = (toy(), published("fig2a.json"));
    for form in [Form::Rate, Form::Potential] {
        for (amplitude, label) in AMPLITUDES {
            let estimate = cauchy(&problem, form, amplitude);
            assert_eq!(estimate.nudged.len(), 24);
            let mut worst = 0.0_f64;
            for (layer, name) in LAYERS.iter().enumerate() {
                for neuron in 0..4 {
                    let curve = format!("{label}/{name}.{}", neuron + 1);
                    for (rail, part) in ["re", "im"].into_iter().enumerate() {
                        let ours = estimate.nudged.iter().map(|point| point[layer][(neuron, rail)]);
                        worst = worst.max(distance(ours, &column(&published, &curve, part)));
                    }
                }
            }
            println!("{form:?}, |beta| = {amplitude}: equilibria off by {worst:.1e}");
            assert!(worst < TOLERANCE, "{form:?}, |beta| = {amplitude}: {worst:e}");
        }
    }
}

/// Largest difference between a gradient and the published one beside `label`.
fn off_published(gradient: &Parameters<f64>, published: &Published, label: &str) -> f64 {
    // [from, to] row by row is [to, from] column by column.
    let off = |(name, ours): (&str, &[f64])| {
        distance(ours.iter().copied(), &column(published, &format!("{label}/{name}"), "gradient"))
    };
    assert_eq!(gradient.len(), 6);
    gradient.iter().map(off).fold(0.0, f64::max)
}

#[test]
fn the_gradient_is_the_published_one() {
    let (problem, published) = (toy(), published("fig2a.json"));
    let truths = [value!("adjoint"), value!({ "adjoint": { "solver": { "bptt": { "steps": 100 } } } })];
    for form in [Form::Rate, Form::Potential] {
        for truth in &truths {
            let gradient = problem.estimate(form, truth.clone()).gradient;
            for (amplitude, label) in AMPLITUDES {
                let off = off_published(&gradient, &published, label);
                println!("{form:?}, {truth}, |beta| = {amplitude}: {off:.1e}");
                assert!(off < TOLERANCE, "{form:?}, {truth}: {off:e}");
            }
        }
        // Cauchy's integral through the equilibria of the paper gives the same gradient.
        for (amplitude, label) in AMPLITUDES {
            let gradient = cauchy(&problem, form, amplitude).gradient;
            let off = off_published(&gradient, &published, label);
            println!("{form:?}, cauchy, |beta| = {amplitude}: {off:.1e}");
            // At 0.5, over half the radius of convergence, 24 points let harmonic 25 through.
            let tolerance = if amplitude == 0.5 { 3e-5 } else { TOLERANCE };
            assert!(off < tolerance, "{form:?}, cauchy, |beta| = {amplitude}: {off:e}");
        }
    }
}

/// Where a curve of cosines leaves 1 by more than 10⁻³: the amplitude at which it turns over.
fn turning_point(amplitudes: &[f64], cosines: &[f64]) -> Option<f64> {
    cosines.iter().position(|c| *c < 1.0 - 1e-3).map(|i| amplitudes[i])
}

#[test]
fn cosine_and_distance_follow_the_published_curves_over_all_amplitudes() {
    let (problem, published) = (toy(), published("fig2d.json"));
    let truth = problem.estimate(Form::Rate, value!("adjoint")).gradient;
    let length = truth.norm();
    for points in [1, 30] {
        let label = format!("N = {points}");
        let amplitudes = column(&published, &label, "amplitude");
        let theirs = ["total_cosine", "distance"].map(|name| column(&published, &label, name));
        // The papers' map, for as long as theirs: from the free equilibrium after 100 steps, 100 steps at each point.
        let settle = value!({ "step": 1.0, "tolerance": 1e-6, "max_time": 100.0 });
        let (mut cosines, mut worst, mut worst_beyond, mut apart) = (Vec::new(), 0.0_f64, 0.0_f64, 0.0_f64);
        for (i, amplitude) in amplitudes.iter().enumerate() {
            let cauchy =
                value!({ "amplitude": amplitude, "points": points, "per_synapse": true, "settle": settle });
            let estimate = problem.estimate(Form::Rate, value!({ "cauchy": cauchy }));
            let agreement = compare(&estimate.gradient, &truth).total;
            let (cosine, distance) = (agreement.cosine.unwrap(), agreement.relative_error.unwrap() * length);
            let off = (cosine - theirs[0][i]).abs();
            println!(
                "{label}, {amplitude:.3}: cosine {cosine:.6}, theirs {:.6}; distance {distance:.3e}, theirs {:.3e}",
                theirs[0][i], theirs[1][i]
            );
            let most = if *amplitude <= 0.5 { &mut worst } else { &mut worst_beyond };
            *most = most.max(off);
            // What single precision and the tolerance of settling leave of a state, over |β|; and of the distance itself.
            apart = apart.max((distance - theirs[1][i]).abs() / (1e-6 / amplitude + 1e-6 * theirs[1][i]));
            cosines.push(cosine);
        }
        println!(
            "{label}: cosines off by {worst:.1e}, beyond 0.5 by {worst_beyond:.1e}; distances by {apart:.2} of 1e-6"
        );
        assert!(apart < 1.0, "{label}: distances off by {apart}");
        assert!(worst < 1e-6 && worst_beyond < 1e-6, "{label}: {worst:e}, {worst_beyond:e}");
        assert_eq!(turning_point(&amplitudes, &cosines), turning_point(&amplitudes, &theirs[0]), "{label}");
    }
}

#[test]
fn the_radius_of_convergence_tells_where_the_published_curve_turns_over() {
    let (problem, published) = (toy(), published("fig2d.json"));
    let amplitudes = column(&published, "N = 30", "amplitude");
    let turned = turning_point(&amplitudes, &column(&published, "N = 30", "total_cosine")).unwrap();
    let within = |label: &str, amplitude: f64, radius: f64| {
        println!("{label}, |beta| = {amplitude}: radius {radius:.3}, turned over at {turned:.3}");
        assert!((radius / turned - 1.0).abs() < 0.2, "{label}, |beta| = {amplitude}: {radius}, not {turned}");
    };
    // An estimate well below it knows.
    for amplitude in [0.05, 0.1, 0.2, 0.3, 0.4, 0.5] {
        let cauchy = value!({ "cauchy": { "amplitude": amplitude, "points": 30 } });
        let diagnostics = problem.estimate(Form::Potential, cauchy).diagnostics;
        within("cauchy", amplitude, diagnostics.radius_of_convergence.unwrap());
        for period in [40.0, 160.0] {
            let drive = value!({ "oscillation": { "amplitude": amplitude, "period": period } });
            let diagnostics = problem.estimate(Form::Potential, drive).diagnostics;
            within(&format!("period {period}"), amplitude, diagnostics.radius_of_convergence.unwrap());
        }
    }
}

#[test]
fn oscillation_warns_from_the_radius_of_convergence_on() {
    let problem = toy();
    let diagnosed = |amplitude: f64| {
        let drive = value!({ "oscillation": { "amplitude": amplitude, "period": 160.0 } });
        problem.estimate(Form::Potential, drive).diagnostics
    };
    let warns = |amplitude: f64| {
        diagnosed(amplitude).warnings(amplitude).iter().any(|w| w.contains("no power series: not a gradient"))
    };
    let first = (2..60).map(|i| 0.025 * f64::from(i)).find(|amplitude| warns(*amplitude)).unwrap();
    println!("warned from {first} on");
    assert!((0.55..0.75).contains(&first), "warned from {first} on");
    // Beyond there is no radius, and nothing that follows the amplitude.
    for amplitude in [1.0, 5.0, 100.0] {
        assert!(warns(amplitude), "{amplitude}");
        assert_eq!(diagnosed(amplitude).radius_of_convergence, None, "{amplitude}");
    }
}

#[test]
fn a_real_drive_that_is_too_large_is_warned_about() {
    let problem = toy();
    let warnings = |amplitude: f64| {
        let drive = value!({ "chebyshev": { "amplitude": amplitude, "period": 160.0 } });
        problem.estimate(Form::Potential, drive).diagnostics.warnings(amplitude)
    };
    assert_eq!(warnings(0.1), Vec::<String>::new());
    let told = warnings(3.0);
    assert!(told.iter().any(|w| w.contains("lower the amplitude (now 3)")), "{told:?}");
}
