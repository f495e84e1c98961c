//! Accelerated equilibria of random networks against long relaxation and dense eigenvalues.

use std::sync::Arc;

use holograd::gradient::Setting;
use holograd::gradient::compare::compare;
use holograd::gradient::equilibrium::{self, Settle};
use holograd::numerics::scalar::Scalar;
use holograd::numerics::state::StateShape;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use holograd::substrate::slow_modes::slowest_rate;
use nalgebra::{DMatrix, DVector};
use serde_json::{Value, json};

use crate::common::{Problem, random};

/// Longest relaxation, in τ.
const LONGEST: f64 = 800.0;

/// A sequence that fills the unit interval evenly, and looks random.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((x ^ (x >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn whole(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() * (high + 1 - low) as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// A substrate as one dense matrix: da/dt = ρ(W a + d) − a, or du/dt = W ρ(u) + d − u.
struct Dense {
    weights: DMatrix<f64>,
    tanh: bool,
    form: Form,
}

impl Dense {
    fn activate(&self, u: &DVector<f64>) -> DVector<f64> {
        u.map(|u| if self.tanh { u.tanh() } else { 1.0 / (1.0 + (-(4.0 * u - 2.0)).exp()) })
    }

    fn slope(&self, u: &DVector<f64>) -> DVector<f64> {
        self.activate(u).map(|a| if self.tanh { 1.0 - a * a } else { 4.0 * a * (1.0 - a) })
    }

    fn force(&self, drive: &DVector<f64>, s: &DVector<f64>) -> DVector<f64> {
        match self.form {
            Form::Potential => &self.weights * self.activate(s) + drive - s,
            Form::Rate => self.activate(&(&self.weights * s + drive)) - s,
        }
    }

    /// Where steps of `h` lead from a state, and the force that is left there.
    fn relax(&self, drive: &DVector<f64>, mut s: DVector<f64>, h: f64) -> (DVector<f64>, f64) {
        let mut force = self.force(drive, &s);
        for _ in 0..(LONGEST / h) as usize {
            if force.amax() < 1e-13 {
                break;
            }
            s += h * force;
            force = self.force(drive, &s);
        }
        (s, force.amax())
    }

    /// Largest real part of an eigenvalue of J.
    fn growth(&self, drive: &DVector<f64>, s: &DVector<f64>) -> f64 {
        let potentials = match self.form {
            Form::Potential => s.clone(),
            Form::Rate => &self.weights * s + drive,
        };
        let slope = self.slope(&potentials);
        let jacobian = &self.weights * DMatrix::from_diagonal(&slope) - DMatrix::identity(s.len(), s.len());
        // The growth of exp(J)^(2^k): no iteration that could fail, and rounding enters as it does in one product.
        const DOUBLINGS: i32 = 40;
        let (mut power, mut logarithm) = (jacobian.exp(), 0.0);
        for _ in 0..DOUBLINGS {
            let size = power.norm();
            power /= size;
            logarithm = 2.0 * (logarithm + size.ln());
            power = &power * &power;
        }
        (logarithm + power.norm().ln()) / 2.0_f64.powi(DOUBLINGS)
    }
}

/// What became of the samples of a survey.
#[derive(Debug, Default)]
struct Tally {
    samples: usize,
    /// The substrate has more than one stable equilibrium for the sample, as relaxation from elsewhere shows.
    multistable: usize,
    /// Returned as settled at an unstable equilibrium.
    unstable: usize,
    /// Settled at another equilibrium than the one that relaxation reaches.
    elsewhere: usize,
    /// Relaxation reaches none in its time.
    wandering: usize,
    /// Relaxation reaches one, but none is returned.
    missed: usize,
    evaluations: u64,
}

fn survey<T: Scalar>(draws: &mut Draws, count: usize, tally: &mut Tally) {
    let tied = draws.next() < 0.5;
    let (tanh, looped) = (draws.next() < 0.5, draws.next() < 0.5);
    let form = if draws.next() < 0.5 { Form::Rate } else { Form::Potential };
    let sizes: Vec<usize> = (0..draws.whole(1, 3)).map(|_| draws.whole(2, 9)).collect();
    let names = ["a", "b", "c"];
    let mut connections = vec![json!({ "from": "input", "to": "a" })];
    for layer in 1..sizes.len() {
        let feedback = if tied {
            "tied"
        } else if draws.next() < 0.7 {
            "independent"
        } else {
            "none"
        };
        connections.push(json!({ "from": names[layer - 1], "to": names[layer], "feedback": feedback }));
    }
    for name in names.iter().take(sizes.len()) {
        if looped || sizes.len() == 1 {
            connections.push(json!({ "from": name, "to": name }));
        }
    }
    if !tied && sizes.len() == 3 && draws.next() < 0.5 {
        connections.push(json!({ "from": "c", "to": "a" }));
    }
    let layers: Vec<Value> =
        sizes.iter().zip(names).map(|(n, name)| json!({ "name": name, "size": n })).collect();
    let activation =
        if tanh { json!("tanh") } else { json!({ "logistic": { "slope": 4.0, "offset": -2.0 } }) };
    let model: ModelSpec = serde_json::from_value(json!({ "name": "random", "input": 3, "layers": layers,
        "activation": activation, "connections": connections, "cost": "squared_error" }))
    .unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let scale = 1.0 + 5.0 * draws.next();
    let step = if draws.next() < 0.5 { 0.5 } else { 1.0 };
    let mut parameters = Parameters::<T>::zeros(network.shapes());
    for index in 0..parameters.len() {
        let columns = parameters.matrix(index).ncols() as f64;
        let name = network.shapes()[index].name.clone();
        let matrix = parameters.at_mut(index);
        for w in matrix.iter_mut() {
            *w = T::of(if name.ends_with("bias") { 0.3 } else { scale / columns.sqrt() } * draws.normal());
        }
        let (from, to) = name.trim_end_matches(".weight").split_once('-').unwrap_or_default();
        if tied && from == to && !name.ends_with("bias") {
            let full = parameters.matrix(index);
            let symmetric = (&full + full.transpose()) * T::of(0.5);
            parameters.at_mut(index).copy_from_slice(symmetric.as_slice());
        }
    }
    let at = |layer: usize| sizes[..layer].iter().sum::<usize>();
    let n = at(sizes.len());
    let mut dense = Dense { weights: DMatrix::zeros(n, n), tanh, form };
    let mut place = |to: usize, from: usize, w: &DMatrix<f64>| {
        let mut view = dense.weights.view_mut((at(to), at(from)), (sizes[to], sizes[from]));
        view += w;
    };
    let layer = |name: &str| names.iter().position(|n| *n == name);
    let mut bias = DVector::zeros(n);
    let mut inward = DMatrix::zeros(n, 3);
    for (name, values) in parameters.matrices() {
        let values = values.map(|w| w.double());
        if let Some(name) = name.strip_suffix(".bias") {
            let l = layer(name).unwrap();
            bias.rows_mut(at(l), sizes[l]).copy_from(&values.column(0));
            continue;
        }
        let (from, to) = name.strip_suffix(".weight").unwrap().split_once('-').unwrap();
        let to = layer(to).unwrap();
        let Some(from) = layer(from) else {
            inward.view_mut((at(to), 0), (sizes[to], 3)).copy_from(&values);
            continue;
        };
        place(to, from, &values);
        if tied && from != to {
            place(from, to, &values.transpose());
        }
    }
    let inputs = DMatrix::from_fn(3, count, |_, _| T::of(draws.normal()));
    let targets = DMatrix::zeros(network.output.size(), count);
    let samples = Samples::valued(&inputs, &targets);
    let effective = Effective::new(&network, form, &parameters);
    let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
    let settle = Settle { step, accelerate: true, max_time: LONGEST, ..Settle::default() };
    let all: Vec<usize> = (0..count).collect();
    let coarse = if T::NAME == "f64" { 1e-6 } else { 3e-3 };
    for chunk in all.chunks(10) {
        let found = equilibrium::free(&setting, &samples.select(chunk), &settle).unwrap();
        tally.evaluations += found.evaluations;
        let shape = StateShape::new(&network, chunk.len(), 1);
        for (place, sample) in chunk.iter().enumerate() {
            let s: Vec<f64> = shape.sample(place).flat_map(|c| &found.state[c]).map(|s| s.double()).collect();
            let s = DVector::from_vec(s);
            let drive = &inward * inputs.column(*sample).map(|x| x.double()) + &bias;
            let (relaxed, left) = dense.relax(&drive, DVector::zeros(n), step);
            tally.samples += 1;
            let settled = dense.force(&drive, &s).amax() < if T::NAME == "f64" { 1e-11 } else { 1e-4 };
            let unstable = settled && dense.growth(&drive, &s) > coarse;
            tally.unstable += usize::from(unstable);
            if left > 1e-12 {
                tally.wandering += 1;
            } else if !settled {
                tally.missed += 1;
            } else if (&relaxed - &s).amax() > 1e3 * coarse.min(1e-5) {
                tally.elsewhere += 1;
            }
            let kicked = DVector::from_fn(n, |_, _| 3.0 * draws.normal());
            let (other, left_there) = dense.relax(&drive, kicked, step);
            tally.multistable += usize::from(left.max(left_there) < 1e-9 && (&relaxed - other).amax() > 1e-3);
        }
    }
}

fn run(networks: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..networks {
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        if seed % 2 == 0 {
            survey::<f64>(&mut draws, 50, &mut tally);
        } else {
            survey::<f32>(&mut draws, 50, &mut tally);
        }
    }
    println!("{tally:?}");
    tally
}

fn holds(tally: &Tally) {
    assert_eq!(tally.unstable, 0, "{tally:?}");
    assert!(tally.missed * 1000 <= tally.samples, "{tally:?}");
    assert!(tally.elsewhere * 200 <= tally.samples, "{tally:?}");
}

#[test]
fn accelerated_equilibria_are_stable_and_those_that_relaxation_reaches() {
    holds(&run(20));
}

/// Too long for every run: `cargo test --test main equilibria::two_hundred -- --ignored --nocapture`.
#[test]
#[ignore = "a long survey"]
fn two_hundred_random_networks() {
    holds(&run(200));
}

/// Tied networks with several equilibria, where an accelerated one may be a saddle that nothing but its instability tells of.
#[test]
fn harmonic_balance_works_at_the_relaxed_equilibrium() {
    for seed in 0..12 {
        let model = json!({ "name": "two", "input": 3, "layers": [{ "name": "h", "size": 5 }, { "name": "o", "size": 4 }],
            "initialisation": { "normal": { "scale": 2.5 } }, "activation": "tanh",
            "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }],
            "readout": { "from": "o", "classes": 3 } });
        let problem = random(model, 20, seed);
        for form in [Form::Potential, Form::Rate] {
            let truth = problem.estimate(form, json!("adjoint"));
            for estimator in
                [json!("harmonic_balance"), json!({ "adjoint": { "settle": { "accelerate": true } } })]
            {
                let found = problem.estimate(form, estimator.clone());
                let off = compare(&found.gradient, &truth.gradient).total.relative_error.unwrap();
                assert!(off < 1e-6, "seed {seed}, {form:?}, {estimator}: {off:e}");
                assert!(found.diagnostics.slowest_rate.unwrap() > 0.0);
            }
        }
    }
}

#[test]
fn the_slowest_rate_is_that_of_all_samples() {
    let model = json!({ "name": "two", "input": 3, "layers": [{ "name": "h", "size": 5 }, { "name": "o", "size": 4 }],
        "activation": "tanh",
        "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }],
        "readout": { "from": "o", "classes": 3 } });
    let problem = random(model, 10, 4);
    let rate = |problem: &Problem| {
        problem.estimate(Form::Potential, json!("adjoint")).diagnostics.slowest_rate.unwrap()
    };
    let each: Vec<f64> = (0..10).map(|sample| rate(&problem.only(sample..sample + 1))).collect();
    let least = |rates: &[f64]| rates.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least(&each[4..]) < least(&each[..4]) - 1e-3, "the slowest is not among the last six: {each:?}");
    assert!((rate(&problem) - least(&each)).abs() < 1e-9);
}

/// Convolutions with softmax pooling, from fast networks to such as plain sweeps take dozens of evaluations for: all but few rest where
/// relaxation does, and no mode grows where they rest.
#[test]
fn accelerated_convolutions_rest_where_relaxation_does() {
    let pool = json!({ "softmax": { "size": 2, "stride": 2, "temperature": 0.7 } });
    let (mut counts, mut elsewhere) = (Vec::new(), Vec::new());
    for (seed, scale) in (0..).zip([1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.5, 2.5]) {
        let conv = json!({ "kernel": 3, "padding": "same", "pool": pool });
        let model = json!({ "name": "conv", "input": { "shape": [8, 8, 2] }, "activation": "dsilu",
            "initialisation": { "normal": { "scale": scale } },
            "layers": [{ "name": "c1", "shape": [4, 4, 4] }, { "name": "c2", "shape": [2, 2, 6] }, { "name": "h", "size": 5 }],
            "connections": [{ "from": "input", "to": "c1", "conv": conv }, { "from": "c1", "to": "c2", "feedback": "tied", "conv": conv },
                { "from": "c2", "to": "h", "feedback": "tied" }],
            "readout": { "from": "h", "classes": 3 } });
        let problem = random(model, 12, seed);
        for form in [Form::Potential, Form::Rate] {
            let effective = problem.effective(form);
            let setting = Setting::quiet(&effective);
            for sample in 0..12 {
                let samples = problem.samples.select(&[sample]);
                let rest = |accelerate, tolerance| {
                    let settle = Settle { accelerate, tolerance: Some(tolerance), ..Settle::default() };
                    equilibrium::free(&setting, &samples, &settle).unwrap()
                };
                let (slow, fast) = (rest(false, 1e-12), rest(true, 1e-6));
                let off = slow.state.iter().zip(&fast.state).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(slow.residual <= 1e-12, "{scale}, {form:?}, sample {sample}: {:e}", slow.residual);
                if off > 1e-3 {
                    elsewhere.push(format!(
                        "{scale}, {form:?}, sample {sample}: {off:e} after {}",
                        fast.evaluations
                    ));
                }
                let mut field = setting.substrate.bind(&samples, 1, None);
                field.observe(&fast.state);
                let slowest = slowest_rate(&*field.linearise(&fast.rates));
                assert!(slowest > 0.0, "{scale}, {form:?}, sample {sample}: {slowest}");
                counts.push(fast.evaluations);
            }
        }
    }
    assert!(elsewhere.len() * 50 <= counts.len(), "{elsewhere:#?}");
    // An inspection for growing modes brings a sample to 32 evaluations at least; that of the way alone adds 9 to its sweeps.
    let of = |range: std::ops::Range<u64>| counts.iter().filter(|count| range.contains(count)).count();
    let (plain, swept, accelerated) = (of(0..14), of(18..32), of(42..u64::MAX));
    assert!(plain > 10 && swept > 10 && accelerated > 10, "{plain}, {swept}, {accelerated}");
}

/// Two neurons excite each other, and a third, twenty times as slow, inhibits the first: steps of the map come to rest where the substrate,
/// whose inhibition comes too late, does not.
#[test]
fn time_constants_that_make_an_equilibrium_unstable_are_told_of() {
    let model = json!({ "name": "late", "input": 1, "layers": [{ "name": "h", "size": 1 }, { "name": "o", "size": 2, "tau": [1.0, 20.0] }],
        "activation": "tanh", "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "independent" }],
        "cost": "squared_error" });
    let mut problem = random(model, 3, 1);
    problem.samples.inputs.iter_mut().for_each(|x| *x *= 0.01);
    for index in 0..problem.parameters.len() {
        let values: &[f64] = match problem.network.shapes()[index].name.as_str() {
            "h-o.weight" => &[2.0, 2.0],
            "o-h.weight" => &[2.0, -1.95],
            name if name.ends_with("bias") => &[0.0, 0.0],
            _ => continue,
        };
        problem.parameters.at_mut(index).iter_mut().zip(values).for_each(|(p, value)| *p = *value);
    }
    for form in [Form::Potential, Form::Rate] {
        for accelerate in [false, true] {
            let settle = json!({ "accelerate": accelerate });
            let found = problem.estimate(form, json!({ "adjoint": { "settle": settle } }));
            let slowest = found.diagnostics.slowest_rate.unwrap();
            assert!((slowest + 0.94).abs() < 0.05, "{form:?}, {accelerate}: {slowest}");
            let told = found.diagnostics.warnings(0.0).join("\n");
            assert!(told.contains("the free equilibrium is unstable"), "{form:?}, {accelerate}: {told}");
        }
    }
}
