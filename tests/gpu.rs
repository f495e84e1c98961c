//! Networks on a GPU against the same on the processor, in single precision; where there is no GPU, software Vulkan included, the tests
//! say so and pass.

use std::sync::Arc;

use holograd::gradient::equilibrium::{self, Phase, Settle};
use holograd::gradient::{Estimate, EstimatorSpec, Setting, Surroundings, estimate_batch};
use holograd::host::device::Gpu;
use holograd::imperfections::instant::Instant;
use holograd::imperfections::noise::{Noise, Rails};
use holograd::numerics::rng::{NoiseKey, Purpose};
use holograd::simulation::teaching::Teaching;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use nalgebra::DMatrix;
use num_complex::Complex;
use serde_json::{Value, json};

/// The first GPU; none where there is none.
fn gpu() -> Option<Gpu> {
    match Gpu::open(0) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A network on the processor and on a GPU, with parameters and samples.
struct Problem {
    here: Arc<Network>,
    there: Arc<Network>,
    parameters: Parameters<f32>,
    samples: Samples<f32>,
    form: Form,
}

impl Problem {
    fn new(model: Value, form: Form, samples: usize, seed: u64, gpu: Gpu) -> Self {
        let model: ModelSpec = serde_json::from_value(model).unwrap();
        let network = Network::new(&model).unwrap();
        network.refuse_on_gpu().unwrap();
        let mut parameters = Parameters::initial(network.shapes(), seed);
        let wave = |i: usize| (1.7 * (i as f64 + 1.0) * (seed as f64 + 1.0).sqrt()).sin();
        for index in 0..parameters.len() {
            if network.shapes()[index].name.ends_with(".bias") {
                let bias = parameters.at_mut(index).iter_mut();
                bias.enumerate().for_each(|(i, b)| *b = 0.2 * wave(i + 57 * index) as f32);
            }
        }
        let inputs = DMatrix::from_fn(network.inputs, samples, |i, j| wave(i + 31 * j));
        let outputs = network.output.size();
        let labels: Vec<u32> = (0..samples).map(|j| ((j * 7 + seed as usize) % outputs) as u32).collect();
        let samples = Samples::labelled(&inputs, &labels, outputs);
        let there = Arc::new(network.on_gpu(gpu));
        Self { here: Arc::new(network), there, parameters, samples, form }
    }

    fn substrates(&self) -> [Effective<f32>; 2] {
        [&self.here, &self.there].map(|network| Effective::new(network, self.form, &self.parameters))
    }

    /// Estimates here and there, of one chunk, since `auto` chooses its periods for each; none where the estimator does not suit the
    /// network.
    fn estimates(&self, estimator: &Value, noise: Option<Instant>) -> Option<[Estimate<f32>; 2]> {
        let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).unwrap();
        if spec.validate(&self.here, self.form, None).is_err() || spec.suit_gpu(&self.there).is_err() {
            return None;
        }
        let estimator = spec.build();
        Some(self.substrates().map(|effective| {
            let noise = noise.map(|instant| Surroundings::new(instant, 3));
            let setting = Setting { noise, diagnose: false, ..Setting::quiet(&effective) };
            estimator.estimate(&setting, &self.samples, &mut Vec::new()).unwrap()
        }))
    }
}

/// A small network without convolutions.
fn dense(random: &mut Random) -> Value {
    let sizes = [3 + random.below(40), 2 + random.below(12), 2 + random.below(9)];
    let kinds = ["tanh", "logistic", "dsilu", "softplus"];
    let feedback = random.one(&["tied", "tied", "independent"]);
    let scale = json!({ "truncated_normal": { "scale": 0.3 } });
    let mut model = json!({
        "name": "dense", "input": 6, "activation": random.one(&kinds),
        "layers": [
            { "name": "a", "size": sizes[0] },
            { "name": "b", "size": sizes[1], "activation": random.one(&kinds) },
            { "name": "c", "size": sizes[2], "activation": random.one(&kinds[..3]), "bias": random.below(2) == 0 },
        ],
        "initialisation": scale,
        "connections": [
            { "from": "input", "to": "a", "initialisation": { "truncated_normal": { "scale": 1.0 } } },
            { "from": "a", "to": "b", "feedback": feedback },
            { "from": "b", "to": "c", "feedback": "tied" },
        ],
    });
    if random.below(3) > 0 {
        model["readout"] = json!({ "from": "c", "classes": 2 + random.below(6) });
    } else {
        model["cost"] = json!("squared_error");
    }
    model
}

/// A small one with.
fn convolved(random: &mut Random) -> Value {
    let pools = [
        Value::Null,
        json!({ "average": { "size": 2, "stride": 2 } }),
        json!({ "softmax": { "size": 2, "stride": 2, "temperature": 0.7 } }),
        json!({ "softmax": { "size": 3, "stride": 2, "temperature": 1.0 } }),
    ];
    let pool = random.below(4);
    let side = [4, 2, 2, 1][pool];
    let (first, second) = (1 + random.below(4), 1 + random.below(5));
    let mut conv = json!({ "kernel": 3, "padding": "same" });
    if pool > 0 {
        conv["pool"] = pools[pool].clone();
    }
    json!({
        "name": "conv", "input": { "shape": [4, 4, 2] },
        "activation": random.one(&["tanh", "dsilu"]),
        "layers": [
            { "name": "c1", "shape": [4, 4, first] },
            { "name": "c2", "shape": [side, side, second] },
            { "name": "d", "size": 5 },
        ],
        "initialisation": { "truncated_normal": { "scale": 0.3 } },
        "connections": [
            { "from": "input", "to": "c1", "conv": { "kernel": 3, "padding": "same" } },
            { "from": "c1", "to": "c2", "feedback": random.one(&["tied", "independent"]), "conv": conv },
            { "from": "c2", "to": "d", "feedback": "tied" },
        ],
        "readout": { "from": "d", "classes": 4 },
    })
}

fn estimators() -> Vec<Value> {
    let still = json!({ "tolerance": 1e-6, "max_time": 400.0 });
    let fixed = json!({ "step": 1.0, "tolerance": 0.0, "max_time": 60.0 });
    let quick = json!({ "tolerance": 1e-6, "max_time": 400.0, "accelerate": true });
    vec![
        json!({ "adjoint": { "settle": still } }),
        json!({ "adjoint": { "settle": quick } }),
        json!({ "adjoint": { "solver": { "bptt": { "steps": 30 } } } }),
        json!({ "classic": { "amplitude": 0.5, "centred": true, "settle": fixed } }),
        json!({ "classic": { "amplitude": 0.5, "centred": true, "per_synapse": true, "settle": fixed } }),
        json!({ "classic": { "amplitude": 0.5, "centred": true, "correct_asymmetry": true, "settle": fixed } }),
        json!({ "cauchy": { "amplitude": 0.5, "points": 5, "settle": fixed } }),
        json!({ "cauchy": { "amplitude": 0.5, "points": 4, "per_synapse": true, "settle": fixed } }),
        json!({ "staircase": { "amplitude": 0.5, "points": 6, "hold": 10.0, "periods": 2 } }),
        json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 2 } }),
        json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 2, "richardson": 2,
            "integrator": { "exponential_euler": { "step": 1.0 } } } }),
        json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 2, "per_synapse": true,
            "integrator": { "euler": { "step": 1.0 } } } }),
        json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 2, "correct_asymmetry": true,
            "integrator": "map" } }),
        json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "integrator": { "rk4": { "step": 1.0 } } } }),
        json!({ "chebyshev": { "amplitude": 0.5, "period": 24.0, "harmonics": 3 } }),
        json!({ "harmonic_balance": { "period": 50.0, "settle": quick } }),
        json!({ "harmonic_balance": { "harmonics": 3, "amplitude": 0.3, "period": 50.0, "settle": quick } }),
        json!({ "harmonic_balance": { "drive": "cosine", "harmonics": 3, "amplitude": 0.3, "period": 50.0, "settle": quick } }),
        json!({ "auto": { "relative_error": 0.05 } }),
    ]
}

fn flat(gradient: &Parameters<f32>) -> Vec<f64> {
    (0..gradient.len())
        .flat_map(|i| gradient.at(i).iter().map(|x| f64::from(*x)).collect::<Vec<_>>())
        .collect()
}

/// Relative difference of gradients, and 1 minus their cosine.
fn apart(here: &Parameters<f32>, there: &Parameters<f32>) -> (f64, f64) {
    let (a, b) = (flat(here), flat(there));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let size = dot(&a, &a).sqrt();
    (dot(&difference, &difference).sqrt() / size, 1.0 - dot(&a, &b) / (size * dot(&b, &b).sqrt()))
}

/// Largest difference of matrices.
fn largest(a: &[DMatrix<f32>], b: &[DMatrix<f32>]) -> f32 {
    let of = |(a, b): (&DMatrix<f32>, &DMatrix<f32>)| (a - b).amax();
    a.iter().zip(b).map(of).fold(0.0, f32::max)
}

/// Compares all estimators on a problem; returns how many there were, the largest difference of gradients, and what is too far apart.
fn agree(problem: &Problem, told: &str, failures: &mut Vec<String>) -> (usize, f64) {
    let (mut count, mut worst) = (0, 0.0_f64);
    for estimator in estimators() {
        let Some([here, there]) = problem.estimates(&estimator, None) else { continue };
        let (relative, cosine) = apart(&here.gradient, &there.gradient);
        let free = largest(&here.free, &there.free);
        let nudged = here.nudged.iter().zip(&there.nudged).map(|(a, b)| largest(a, b)).fold(0.0, f32::max);
        println!(
            "{estimator}: gradient {relative:.1e}, 1 - cosine {cosine:.1e}, free {free:.1e}, nudged {nudged:.1e}"
        );
        if !(relative < 1e-4 && cosine < 1e-5 && free < 1e-5 && nudged < 1e-5) {
            failures.push(format!("{told}, {estimator}: {relative:e} {cosine:e} {free:e} {nudged:e}"));
        }
        count += 1;
        worst = worst.max(relative);
    }
    (count, worst)
}

#[test]
fn every_estimator_is_that_of_the_processor() {
    let Some(gpu) = gpu() else { return };
    let (mut count, mut worst, mut failures) = (0, 0.0_f64, Vec::new());
    for seed in 0..2 {
        let mut random = Random(seed + 1);
        for (model, form) in [
            (dense(&mut random), Form::Potential),
            (dense(&mut random), Form::Rate),
            (convolved(&mut random), Form::Potential),
            (convolved(&mut random), Form::Rate),
        ] {
            let told = format!("seed {seed}, {form:?}, {model}");
            let problem = Problem::new(model, form, 3, seed, gpu.clone());
            let (more, error) = agree(&problem, &told, &mut failures);
            (count, worst) = (count + more, worst.max(error));
        }
    }
    println!("{count} gradients, relative differences up to {worst:.1e}");
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(count > 80, "{count}");
}

#[test]
fn so_it_is_with_white_noise() {
    let Some(gpu) = gpu() else { return };
    let (mut count, mut worst) = (0, 0.0_f64);
    for (seed, rails) in (10..).zip([Rails::Independent, Rails::Equal, Rails::Real]) {
        let mut random = Random(seed);
        for model in [dense(&mut random), convolved(&mut random)] {
            let told = format!("seed {seed}, {model}");
            let problem = Problem::new(model, Form::Potential, 3, seed, gpu.clone());
            let noise = Instant::on_state(Noise::White { std: 0.02, rails });
            for estimator in [
                json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 1, "periods": 2,
                    "integrator": { "euler": { "step": 0.5 } } } }),
                json!({ "oscillation": { "amplitude": 0.5, "period": 24.0, "settle_periods": 1, "richardson": 2,
                    "integrator": { "exponential_euler": { "step": 0.5 } } } }),
                json!({ "chebyshev": { "amplitude": 0.5, "period": 24.0, "harmonics": 3,
                    "integrator": { "euler": { "step": 0.5 } } } }),
            ] {
                let [here, there] = problem.estimates(&estimator, Some(noise)).unwrap();
                let (relative, cosine) = apart(&here.gradient, &there.gradient);
                assert!(
                    relative < 1e-4 && cosine < 1e-5,
                    "{told}, {estimator}: {relative:e}, 1 − {cosine:e}"
                );
                // It is noisy indeed.
                let [quiet, _] = problem.estimates(&estimator, None).unwrap();
                assert!(apart(&quiet.gradient, &here.gradient).0 > 1e-3);
                (count, worst) = (count + 1, worst.max(relative));
            }
        }
    }
    println!("{count} noisy gradients, relative differences up to {worst:.1e}");
}

#[test]
fn equilibria_of_random_networks_are_the_same() {
    let Some(gpu) = gpu() else { return };
    let mut worst = 0.0_f32;
    for seed in 0..50 {
        let mut random = Random(seed + 1000);
        let model = if seed % 2 == 0 { dense(&mut random) } else { convolved(&mut random) };
        let form = if seed % 4 < 2 { Form::Potential } else { Form::Rate };
        let problem = Problem::new(model.clone(), form, 4, seed, gpu.clone());
        // As many steps here as there.
        let settle = Settle { tolerance: Some(0.0), max_time: 150.0, ..Settle::default() };
        let phases = [
            Phase::free(),
            Phase {
                teaching: Teaching::constant(Complex::new(0.3, 0.4)),
                rails: 2,
                correction: None,
                drive: None,
            },
        ];
        for phase in phases {
            let [here, there] = problem.substrates().map(|effective| {
                let setting = Setting::quiet(&effective);
                equilibrium::equilibrium(&setting, &problem.samples, phase, &settle, None).unwrap()
            });
            let pairs =
                here.rates.iter().zip(&there.rates).chain(here.output_error.iter().zip(&there.output_error));
            let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-5, "seed {seed}, {form:?}, {model}: {far:e}");
            worst = worst.max(far);
        }
    }
    println!("equilibria of 50 networks, free and nudged: rates differ by {worst:.1e} at most");
}

/// Random numbers before they are made normal.
#[test]
fn uniform_numbers_are_the_same_to_the_bit() {
    if gpu().is_none() {
        return;
    }
    let device = holograd_gpu::Device::open(0).unwrap();
    let key = NoiseKey::new(5, Purpose::StateNoise, 3);
    for (tick, lane) in [(0, 0), ((7 << 32) + 11, (3 << 20) + 5)] {
        let (words, _) = holograd_gpu::Engine::draws(&device, key.halves(), tick, lane, 10_000).unwrap();
        let mut expected = vec![0.0_f32; 10_000];
        key.uniforms(tick, u64::from(lane), &mut expected);
        let uniform = |word: &u32| (word >> 8) as f32 / 16_777_216.0;
        assert_eq!(words.iter().map(uniform).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_a_gpu_does_not_know_is_refused() {
    let refused = |change: fn(&mut Value)| {
        let mut model = dense(&mut Random(1));
        change(&mut model);
        let model: ModelSpec = serde_json::from_value(model).unwrap();
        Network::new(&model).unwrap().refuse_on_gpu().unwrap_err().to_string()
    };
    let delayed = refused(|model| model["connections"][1]["delay"] = json!(2.0));
    assert!(delayed.contains("the delay of connection `a-b`"), "{delayed}");
    let sparse = refused(|model| model["connections"][1]["sparse"] = json!({ "fan_in": 2 }));
    assert!(sparse.contains("the sparse connection `a-b`"), "{sparse}");
    let written = refused(|model| model["layers"][0]["activation"] = json!("tanh(z)"));
    assert!(written.contains("an activation by expression in layer `a`"), "{written}");
}

/// A few hundred updates of a small network: losses follow those of the processor until rounding parts them.
#[test]
fn learning_goes_the_same_way() {
    let Some(gpu) = gpu() else { return };
    let estimator = json!({ "oscillation": { "amplitude": 0.2, "period": 12.0, "settle_periods": 1, "integrator": { "euler": { "step": 1.0 } } } });
    let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
    let estimator = spec.build();
    for (seed, model) in [(2, convolved(&mut Random(4))), (1, dense(&mut Random(1)))] {
        let problem = Problem::new(model, Form::Potential, 8, seed, gpu.clone());
        let learn = |network: &Arc<Network>| {
            let mut parameters = problem.parameters.clone();
            let mut effective = Effective::new(network, problem.form, &parameters);
            (0..200)
                .map(|update| {
                    let setting = Setting { update, diagnose: false, ..Setting::quiet(&effective) };
                    let estimate =
                        estimate_batch(&*estimator, &setting, &problem.samples, &mut Vec::new()).unwrap();
                    let loss = estimate.output_error.norm_squared();
                    parameters.add_scaled(-0.3, &estimate.gradient);
                    effective.program(&parameters);
                    loss
                })
                .collect::<Vec<f32>>()
        };
        let (here, there) = (learn(&problem.here), learn(&problem.there));
        println!("from {} to {}, there from {} to {}", here[0], here[199], there[0], there[199]);
        assert!(here[199] < here[0] - 0.03, "{} {}", here[0], here[199]);
        for (update, (a, b)) in here.iter().zip(&there).enumerate() {
            assert!((a - b).abs() < 1e-3 * a.max(0.01), "update {update}: {a} {b}");
        }
    }
}
