//! The device against plain loops in double precision, on whatever device there is; without one the tests say so and pass.

mod loops;

use std::sync::{Arc, OnceLock};

use holograd_gpu::{
    Activation, Course, Derivative, Device, Edge, Engine, Equation, Interaction, Iterate, Kicks, Layer, Load,
    Method, NoisyRails, Output, Plan, Pooling, Window,
};
use loops::{Loops, Random, State};
use num_complex::Complex64;

/// Device 0; None where there is none.
fn device() -> Option<Arc<Device>> {
    static DEVICE: OnceLock<Option<Arc<Device>>> = OnceLock::new();
    let open = || match Device::open(0) {
        Ok(device) => {
            println!("on {:?}", device.description());
            Some(Arc::new(device))
        }
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    };
    DEVICE.get_or_init(open).clone()
}

fn layer(size: usize, activation: Activation) -> Layer {
    Layer {
        size,
        activation,
        bounded: !matches!(activation, Activation::Softplus | Activation::Identity | Activation::Relu),
    }
}

fn pair(edges: &mut Vec<Edge>, (from, to): (usize, usize), interaction: Interaction, tied: bool) {
    let first = edges.len();
    edges.push(Edge { from, to, backward: false, weights: first, interaction });
    if tied {
        edges.push(Edge { from: to, to: from, backward: true, weights: first, interaction });
    } else {
        edges.push(Edge { from: to, to: from, backward: true, weights: first + 1, interaction });
    }
}

const LOGISTIC: Activation = Activation::Logistic { slope: 4.0, offset: -2.0 };

/// Three dense layers, the first of more neurons than a tile is wide.
fn dense(random: &mut Random, tied: bool, rates: bool) -> Plan {
    let kinds = [LOGISTIC, Activation::Tanh, Activation::Dsilu, Activation::Softplus, Activation::Identity];
    let sizes = [70 + random.below(30), 1 + random.below(20), 2 + random.below(70)];
    let layers: Vec<Layer> = sizes.iter().map(|size| layer(*size, kinds[random.below(5)])).collect();
    let mut edges = Vec::new();
    pair(&mut edges, (0, 1), Interaction::dense(sizes[0], sizes[1]), tied);
    pair(&mut edges, (1, 2), Interaction::dense(sizes[1], sizes[2]), tied);
    let output = if random.below(2) == 0 {
        Output::Readout { layer: 2, classes: 2 + random.below(8) }
    } else {
        Output::SquaredError { layer: 2 }
    };
    Plan { layers, edges, output, rates, symmetric: tied }
}

/// Two convolutions, each with a pooling, and a dense layer.
fn convolved(random: &mut Random, pooling: Pooling, tied: bool, rates: bool) -> Plan {
    let channels = [1 + random.below(4), 1 + random.below(5), 3];
    let stride = 1 + random.below(2);
    let first = Interaction {
        input: [9, 8, channels[0]],
        output: [9usize.div_ceil(stride), 8usize.div_ceil(stride), channels[1]],
        kernel: [3, 3],
        stride,
        before: [1, usize::from(stride == 1)],
        pooling,
    };
    let [height, width] = first.pooled();
    let second = Interaction {
        input: [height, width, channels[1]],
        output: [height - 1, width - 1, channels[2]],
        kernel: [2, 2],
        stride: 1,
        before: [0, 0],
        pooling: Pooling::None,
    };
    let sizes = [72 * channels[0], height * width * channels[1], (height - 1) * (width - 1) * channels[2], 5];
    let layers = sizes.iter().map(|size| layer(*size, Activation::Tanh)).collect();
    let mut edges = Vec::new();
    pair(&mut edges, (0, 1), first, tied);
    pair(&mut edges, (1, 2), second, tied);
    pair(&mut edges, (2, 3), Interaction::dense(sizes[2], 5), tied);
    Plan { layers, edges, output: Output::Readout { layer: 3, classes: 4 }, rates, symmetric: tied }
}

/// Networks of every sort.
fn plans() -> Vec<Plan> {
    let mut random = Random::new(7);
    let mut plans = Vec::new();
    for tied in [true, false] {
        for rates in [false, true] {
            (0..3).for_each(|_| plans.push(dense(&mut random, tied, rates)));
            let window = Window { size: 2, stride: 2 };
            let overlapping = Window { size: 3, stride: 2 };
            for pooling in [
                Pooling::None,
                Pooling::Average(window),
                Pooling::Softmax { window, temperature: 0.5 },
                Pooling::Softmax { window: overlapping, temperature: 0.7 },
            ] {
                plans.push(convolved(&mut random, pooling, tied, rates));
            }
        }
    }
    plans
}

fn engine(device: &Arc<Device>, plan: &Plan, loops: &Loops) -> Engine {
    let engine = Engine::new(Arc::clone(device), plan.clone()).unwrap();
    for (index, weights) in loops.weights.iter().enumerate() {
        engine.set_weights(index, weights);
    }
    engine.set_readout(&loops.readout.0, &loops.readout.1);
    engine.set_gain(&loops.gain);
    engine
}

fn far(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst.is_finite());
    worst / size
}

#[test]
fn the_field_is_that_of_plain_loops() {
    let Some(device) = device() else { return };
    let mut id = 0;
    for (index, plan) in plans().iter().enumerate() {
        let mut random = Random::new(index as u64 + 100);
        let loops = Loops::new(plan, &mut random);
        let engine = engine(&device, plan, &loops);
        for (batch, rails) in [(3, 2), (5, 1), (1, 2)] {
            let state = State::random(plan, batch, rails, 0.4, &mut random);
            let (drive, targets) = loops.samples(batch, rails, &mut random);
            id += 1;
            let load =
                Load { id, batch, rails, drive: &drive, targets: &targets, betas: &[], correction: None };
            for beta in [None, Some(Complex64::new(0.3, if rails == 2 { -0.2 } else { 0.0 }))] {
                let found =
                    engine.target(&load, beta.map(|b| [b.re as f32, b.im as f32]), &state.single()).unwrap();
                let expected = loops.target(&state, &drive, &targets, beta.unwrap_or_default());
                let worst = far(&found, &expected.double());
                assert!(
                    worst < 3e-6,
                    "plan {index}, {batch} samples, {rails} rails, β {beta:?}: {worst:e}\n{plan:?}"
                );
            }
        }
    }
}

#[test]
fn derivatives_are_those_of_plain_loops() {
    let Some(device) = device() else { return };
    for (index, plan) in plans().iter().enumerate() {
        let mut random = Random::new(index as u64 + 200);
        let loops = Loops::new(plan, &mut random);
        let engine = engine(&device, plan, &loops);
        let batch = 3;
        let rates = State::random(plan, batch, 1, 0.4, &mut random);
        let slope = State::random(plan, batch, 1, 0.4, &mut random);
        for rails in [1, 2] {
            let (v, w) = (
                State::random(plan, batch, rails, 1.0, &mut random),
                State::random(plan, batch, rails, 1.0, &mut random),
            );
            let product = |derivative, v: &State| {
                engine
                    .product((1, batch), (&rates.single(), &slope.single()), derivative, &v.single())
                    .unwrap()
            };
            let scaled = v.scaled(&slope);
            let expected = loops.coupled_along(&rates, &scaled);
            let worst = far(&product(Derivative::Potentials, &v), &expected.double());
            assert!(worst < 5e-6, "plan {index}, {rails} rails: K D {worst:e}\n{plan:?}");
            let expected = loops.coupled_along(&rates, &v).scaled(&slope);
            let worst = far(&product(Derivative::Rates, &v), &expected.double());
            assert!(worst < 5e-6, "plan {index}, {rails} rails: D K {worst:e}\n{plan:?}");
            // ⟨w, K D v⟩ = ⟨D Kᵀ w, v⟩, and ⟨w, D K v⟩ = ⟨Kᵀ D w, v⟩.
            for (plain, transposed) in
                [(Derivative::Potentials, Derivative::Transposed), (Derivative::Rates, Derivative::Corrected)]
            {
                let there = loops::dot(&w.single(), &product(plain, &v));
                let back = loops::dot(&product(transposed, &w), &v.single());
                let size = loops::dot(&product(plain, &v), &product(plain, &v)).sqrt()
                    * loops::dot(&w.single(), &w.single()).sqrt();
                assert!(
                    (there - back).abs() < 1e-5 * size,
                    "plan {index}, {rails} rails: {there} {back} of {size}"
                );
            }
        }
    }
}

/// A x = b of each sample, with A applied by the device's own products, which another test holds against loops.
#[test]
fn solutions_solve() {
    let Some(device) = device() else { return };
    for (index, plan) in plans().iter().enumerate() {
        let mut random = Random::new(index as u64 + 400);
        let loops = Loops::new(plan, &mut random);
        let engine = engine(&device, plan, &loops);
        let batch = 3;
        let (rates, slope) = (
            State::random(plan, batch, 1, 0.4, &mut random).single(),
            State::random(plan, batch, 1, 0.4, &mut random).single(),
        );
        for (rails, derivative) in [
            (1, Derivative::Transposed),
            (2, Derivative::Potentials),
            (2, Derivative::Rates),
            (1, Derivative::Corrected),
        ] {
            let right = State::random(plan, batch, rails, 1.0, &mut random);
            let turn: Vec<f32> = (0..plan.neurons())
                .map(|n| if rails == 1 { 0.0 } else { 0.2 + 0.1 * (n % 3) as f32 })
                .collect();
            let equation = Equation {
                at: (9, batch),
                rates: (&rates, &slope),
                derivative,
                turn: &turn,
                right: &right.single(),
                tolerance: 1e-5,
                most: 500,
                stopped: &|| false,
            };
            let mut x = vec![0.0; right.single().len()];
            let solved = engine.solve(&equation, &mut x).unwrap();
            assert!(solved.residual < 1e-5 && solved.products < 100, "plan {index}: {solved:?}");
            let product = engine.product((9, batch), (&rates, &slope), derivative, &x).unwrap();
            // x − K x + i t x, as a complex state.
            let (mut at, mut offset, mut worst) = (0, 0, 0.0_f32);
            for layer in &plan.layers {
                let span = layer.size * batch;
                for e in 0..span {
                    let t = turn[offset + e % layer.size];
                    let left = |rail: usize| {
                        let place = at + rail * span + e;
                        let turned = if rails == 1 {
                            0.0
                        } else if rail == 0 {
                            -t * x[at + span + e]
                        } else {
                            t * x[at + e]
                        };
                        x[place] - product[place] + turned - right.single()[place]
                    };
                    worst = (0..rails).fold(worst, |worst, rail| worst.max(left(rail).abs()));
                }
                at += rails * span;
                offset += layer.size;
            }
            assert!(worst < 1e-4, "plan {index}, {rails} rails, {derivative:?}: {worst:e}");
            // From the solution nothing is left to do.
            let again = engine.solve(&Equation { tolerance: 1e-4, ..equation }, &mut x).unwrap();
            assert_eq!(again.products, 1);
        }
    }
}

/// Real parts of β are enough: the loop is the same for all.
fn driven(tick: u64) -> [f32; 2] {
    let angle = std::f64::consts::TAU * (tick % 12) as f64 / 12.0;
    [(0.2 * angle.cos()) as f32, (0.2 * angle.sin()) as f32]
}

#[test]
fn a_course_is_that_of_plain_loops() {
    let Some(device) = device() else { return };
    for (index, plan) in plans().iter().enumerate().filter(|(index, _)| index % 2 == 0) {
        let mut random = Random::new(index as u64 + 300);
        let loops = Loops::new(plan, &mut random);
        let engine = engine(&device, plan, &loops);
        for (rails, method) in [(2, Method::Euler), (1, Method::Map), (2, Method::Exponential)] {
            let (batch, ticks) = (2, 150);
            let begin = State::random(plan, batch, rails, 0.2, &mut random);
            let (drive, targets) = loops.samples(batch, rails, &mut random);
            let load = Load {
                id: 1 + rails as u64,
                batch,
                rails,
                drive: &drive,
                targets: &targets,
                betas: &[],
                correction: None,
            };
            let factor: Vec<f32> = (0..plan.neurons()).map(|n| 0.1 + 0.3 * (n % 3) as f32).collect();
            // Two accumulators of ticks from the hundredth on.
            let weigh = |tick: u64| {
                let angle = std::f64::consts::TAU * (tick % 12) as f64 / 12.0;
                [Complex64::new(0.02, 0.0), Complex64::cis(-angle) * 0.02]
            };
            let weights = |tick: u64, out: &mut [[f32; 2]]| {
                if tick < 105 {
                    return false;
                }
                out.iter_mut().zip(weigh(tick)).for_each(|(out, w)| *out = [w.re as f32, w.im as f32]);
                true
            };
            let course = Course {
                begin: 5,
                ticks,
                method,
                factor: &factor,
                kicks: None,
                beta: Some(&driven),
                accumulators: 2,
                weights: &weights,
                until: None,
                stopped: &|| false,
            };
            let ran = engine.run(&load, &begin.single(), &course).unwrap();
            assert_eq!((ran.ticks, ran.wild), (ticks, None));
            let (mut state, mut sums) = (begin, [State::zero(plan, batch), State::zero(plan, batch)]);
            let mut errors = [
                vec![Complex64::default(); plan.outputs() * batch],
                vec![Complex64::default(); plan.outputs() * batch],
            ];
            for tick in 5..5 + ticks {
                let [re, im] = driven(tick);
                let beta = Complex64::new(f64::from(re), if rails == 2 { f64::from(im) } else { 0.0 });
                if tick >= 105 {
                    let rates = loops.rates(&state);
                    let error = loops.error(&rates, &targets);
                    for ((sum, errors), w) in sums.iter_mut().zip(&mut errors).zip(weigh(tick)) {
                        sum.add(&rates, w);
                        errors.iter_mut().zip(&error).for_each(|(sum, e)| *sum += w * e);
                    }
                }
                let goal = loops.target(&state, &drive, &targets, beta);
                state.step(&goal, &factor, method);
            }
            let worst = far(&ran.state, &state.double());
            assert!(worst < 1e-5, "plan {index}, {rails} rails, {method:?}: {worst:e}");
            for (k, (rates, error)) in ran.sums.iter().enumerate() {
                let worst = far(rates, &sums[k].complex());
                assert!(worst < 1e-5, "plan {index}, {rails} rails, {method:?}, sum {k}: {worst:e}");
                let expected: Vec<f64> =
                    errors[k].iter().map(|e| e.re).chain(errors[k].iter().map(|e| e.im)).collect();
                let worst = far(error, &expected);
                assert!(worst < 1e-5, "plan {index}, {rails} rails, {method:?}, error {k}: {worst:e}");
            }
        }
    }
}

#[test]
fn relaxation_stops_when_every_sample_has_settled() {
    let Some(device) = device() else { return };
    let plan = dense(&mut Random::new(3), true, false);
    let loops = Loops::new(&plan, &mut Random::new(4));
    let engine = engine(&device, &plan, &loops);
    let mut random = Random::new(5);
    let (drive, targets) = loops.samples(4, 1, &mut random);
    let load =
        Load { id: 1, batch: 4, rails: 1, drive: &drive, targets: &targets, betas: &[], correction: None };
    let factor = vec![0.5; plan.neurons()];
    let course = Course {
        begin: 0,
        ticks: 100_000,
        method: Method::Euler,
        factor: &factor,
        kicks: None,
        beta: None,
        accumulators: 0,
        weights: &|_, _| false,
        until: Some((8, 2e-6)),
        stopped: &|| false,
    };
    let ran = engine.run(&load, &vec![0.0; plan.neurons() * 4], &course).unwrap();
    assert!(ran.ticks < 1000 && ran.residuals.len() == 4, "{} {:?}", ran.ticks, ran.residuals);
    let goal = engine.target(&load, None, &ran.state).unwrap();
    let worst = goal.iter().zip(&ran.state).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-6, "{worst:e}");
    let most = ran.residuals.iter().copied().fold(0.0, f32::max);
    assert_eq!(most, worst);
}

/// Anderson acceleration with one difference, whose γ = ⟨Δf, f⟩/⟨Δf, Δf⟩ needs no linear algebra.
#[test]
fn accelerated_relaxation_comes_to_rest() {
    let Some(device) = device() else { return };
    for (index, plan) in plans().iter().enumerate() {
        let mut random = Random::new(index as u64 + 500);
        let loops = Loops::new(plan, &mut random);
        let engine = engine(&device, plan, &loops);
        for (rails, beta) in [(1, None), (2, Some([0.2, 0.3]))] {
            let (drive, targets) = loops.samples(3, rails, &mut random);
            let load = Load {
                id: rails as u64,
                batch: 3,
                rails,
                drive: &drive,
                targets: &targets,
                betas: &[],
                correction: None,
            };
            let mut state = vec![0.0; drive.len()];
            let mut last = Vec::new();
            let mut decide = |iterate: &Iterate<'_>| {
                last = iterate.residuals.to_vec();
                let late = |r: &f32| *r > 2e-6;
                if !last.iter().any(late) || iterate.iteration > 60 {
                    return None;
                }
                let weight = |sample: usize| match iterate.slot {
                    None => Vec::new(),
                    Some(_) => vec![iterate.overlaps[sample][0] / iterate.products[sample][0]],
                };
                Some((0..3).map(|sample| late(&last[sample]).then(|| weight(sample))).collect())
            };
            let evaluations = engine.iterate(&load, beta, &mut state, (1.0, 1), &mut decide).unwrap();
            assert!(
                last.iter().all(|r| *r <= 2e-6),
                "plan {index}, {rails} rails: {last:?} after {evaluations}"
            );
            let goal = engine.target(&load, beta, &state).unwrap();
            let worst = goal.iter().zip(&state).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert_eq!(worst, last.iter().copied().fold(0.0, f32::max));
        }
    }
}

/// The known answers that Random123 publishes for Philox4x32-10.
#[test]
fn random_words_are_philox() {
    let Some(device) = device() else { return };
    let (words, numbers) = Engine::draws(&device, [0, 0], 0, 0, 10_000).unwrap();
    // Words of a block stand 16 apart.
    assert_eq!(
        [words[0], words[16], words[32], words[48]],
        [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]
    );
    assert!(numbers.iter().all(|x| *x > 0.0 && *x <= 1.0));
    let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e4;
    assert!((mean - 0.5).abs() < 4.0 / (12.0_f64 * 1e4).sqrt(), "{mean}");
}

/// White noise on neurons that leak at once: the state is the last kick.
#[test]
fn kicks_are_normal_and_go_where_they_are_wanted() {
    let Some(device) = device() else { return };
    let plan = Plan {
        layers: vec![layer(100, Activation::Identity), layer(2000, Activation::Identity)],
        edges: Vec::new(),
        output: Output::SquaredError { layer: 1 },
        rates: false,
        symmetric: true,
    };
    let engine = Engine::new(Arc::clone(&device), plan.clone()).unwrap();
    let (batch, rails) = (3, 2);
    let zeros = vec![0.0; plan.neurons() * batch * rails];
    let load =
        Load { id: 1, batch, rails, drive: &zeros, targets: &vec![0.0; 6000], betas: &[], correction: None };
    let size: Vec<f32> = (0..2100).map(|n| if n < 100 { 2.0 } else { 0.5 }).collect();
    let kicked = |noisy, first| {
        let course = Course {
            begin: (1 << 33) + 5,
            ticks: 3,
            method: Method::Map,
            factor: &[],
            kicks: Some(Kicks { key: [11, 12], first, rails: noisy, size: &size }),
            beta: None,
            accumulators: 0,
            weights: &|_, _| false,
            until: None,
            stopped: &|| false,
        };
        engine.run(&load, &zeros, &course).unwrap().state
    };
    let independent = kicked(NoisyRails::Independent, 7);
    let (equal, real) = (kicked(NoisyRails::Equal, 7), kicked(NoisyRails::Real, 7));
    let half = 6000;
    let of = |state: &[f32], rail: usize| state[600 + rail * half..][..half].to_vec();
    assert_eq!(of(&equal, 0), of(&independent, 0));
    assert_eq!(of(&equal, 1), of(&equal, 0));
    assert_eq!(of(&real, 0), of(&independent, 0));
    assert!(of(&real, 1).iter().all(|x| *x == 0.0));
    assert_ne!(of(&independent, 1), of(&independent, 0));
    // The second sample of a batch that begins at 7 is the first of one that begins at 8.
    assert_eq!(of(&kicked(NoisyRails::Real, 8), 0)[..4000], of(&real, 0)[2000..]);
    let moments = |x: &[f32]| {
        let n = x.len() as f64;
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        (mean, x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n)
    };
    let (mean, square) = moments(&[of(&independent, 0), of(&independent, 1)].concat());
    assert!(
        mean.abs() < 4.0 * 0.5 / 12_000_f64.sqrt()
            && (square / 0.25 - 1.0).abs() < 4.0 * (2.0 / 12_000_f64).sqrt(),
        "{mean} {square}"
    );
    let (_, square) = moments(&independent[..600]);
    assert!((square / 4.0 - 1.0).abs() < 4.0 * (2.0 / 600_f64).sqrt(), "{square}");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let error = Device::open(1000).unwrap_err().to_string();
    assert!(error.starts_with("found no GPU 1000: "), "{error}");
}
