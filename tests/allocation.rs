//! The time loop allocates nothing of its own, and evaluates each connection with one real product.
//!
//! The product of crate `gemm` takes scratch for packing its factors from the allocator, unless one of its three dimensions
//! is small. That is measured product by product, and nothing may come on top of it.

use std::alloc::{GlobalAlloc, System};
use std::cell::Cell;

use crate::common::{Problem, random, toy};
use holograd::imperfections::Imperfections;
use holograd::imperfections::instant::{Disturbances, Instant};
use holograd::imperfections::noise::{Rails, WhiteNoise};
use holograd::imperfections::readout::Converter;
use holograd::numerics::rng::{NoiseKey, Purpose};
use holograd::numerics::scalar::{Layout, gemm_outer};
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{FixedStep, Integrator, Method, Rk4, VectorField};
use holograd::simulation::lockin::{LockIn, Observer, Record, SynapseLockIn, Window};
use holograd::simulation::teaching::{Teaching, Time, Waveform};
use holograd::substrate::Field;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::network::Output;
use serde_json::json;

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has nothing to count.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: std::alloc::Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

const TICKS: u64 = 16;

/// 784-like sizes in miniature, with a loop; large enough for the product to pack its factors.
fn wide() -> Problem {
    let model = json!({ "name": "wide", "input": 30, "activation": "tanh",
        "layers": [{ "name": "a", "size": 130, "tau": 1.5 }, { "name": "b", "size": 70 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }],
        "readout": { "from": "b", "classes": 10 } });
    random(model, 10, 3)
}

/// Neurons of two variables whose parameters differ, further poles, and connections with a delay of two and of three steps.
fn own() -> Problem {
    let pace: Vec<f64> = (0..130).map(|k| 4.0 + 0.01 * f64::from(k)).collect();
    let neuron = json!({ "variables": ["u", "w"], "rate": "logistic(4*u - 2)",
        "equations": { "u": "(-u + I - k*w)/tau_u", "w": "(tanh(u) - w)/tau_w + 0*cos(u)*sin(w)*exp(-u^2)" },
        "parameters": { "k": 0.2, "tau_u": 1.0, "tau_w": pace } });
    let model = json!({ "name": "own", "input": 30, "activation": "tanh",
        "layers": [{ "name": "a", "size": 130, "neuron": neuron },
            { "name": "b", "size": 70, "parasitics": { "synapse": 0.5, "amplifier": 0.7 } },
            { "name": "c", "size": 20, "activation": "z*logistic(z)" }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied", "delay": 1.0 },
            { "from": "b", "to": "c", "feedback": "tied" }, { "from": "c", "to": "c", "delay": 1.5 }],
        "readout": { "from": "c", "classes": 10 } });
    random(model, 10, 3)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    None,
    White,
    Held,
    /// Held on the state alone.
    State,
}

/// Allocations inside one product of the lock-in, [m × k] · [n × k]ᵀ.
fn of_a_product((m, k, n): (usize, usize, usize)) -> u64 {
    let (a, b, mut out) = (vec![1.0_f64; m * k], vec![1.0; k * n], vec![0.0; m * n]);
    let mut multiply = || gemm_outer((m, k, n), &a, &b, 1.0, &mut out);
    multiply();
    allocations(multiply)
}

/// Allocations that the lock-in's products of one period make. The field's products are holograd's own and allocate nothing.
fn of_the_products(problem: &Problem, rails: usize) -> u64 {
    let (network, columns) = (&problem.network, rails * problem.samples.count);
    let size = |layer: usize| network.layers[layer].size;
    let pairs: u64 =
        network.between_layers().map(|(from, edge)| of_a_product((size(edge.to), columns, size(from)))).sum();
    let Output::Readout { layer, classes, .. } = network.output else {
        panic!("the problems have a read-out")
    };
    TICKS * (pairs + of_a_product((classes, columns, size(layer))))
}

/// Allocations of one period, after one period of warming up, beyond those inside the products.
fn of_one_period(problem: &Problem, form: Form, method: Option<Method>, noise: Noise, rails: usize) -> i64 {
    let effective = problem.effective(form);
    let mut field = Dynamics::new(&effective, &problem.samples, rails);
    let waveform =
        if rails == 2 { Waveform::Circular { ticks: TICKS } } else { Waveform::Cosine { ticks: TICKS } };
    field.teach(Teaching { waveform, amplitude: 0.1, onset: 0 });
    let key = NoiseKey::new(1, Purpose::StateNoise, 0);
    // Noisy inputs cost a product a step, which the products' own count does not know.
    let imperfections: Imperfections = serde_json::from_value(json!({
        "state_noise": { "one_over_f": { "std": 0.01, "shortest": 1.0, "longest": 100.0 } },
        "synapse_noise": { "ornstein_uhlenbeck": { "std": 0.01, "correlation_time": 2.0, "rails": "equal" } },
        "teaching_noise": { "telegraph": { "std": 0.01, "dwell_time": 2.0 } },
        "readout": { "adc": { "bits": 8, "range": [-1.0, 1.0] }, "offset_std": 0.01 } }))
    .unwrap();
    let instant = imperfections.instant().unwrap();
    if noise == Noise::State {
        let instant = Instant { synapse: None, teaching: None, readout: None, ..instant };
        let noise = Disturbances::new(&instant, 1, 0, field.shape(), problem.network.inputs, 0);
        field.hold_noise(noise, &problem.samples.inputs).unwrap();
    }
    if noise == Noise::Held {
        let noise = Disturbances::new(&instant, 1, 0, field.shape(), problem.network.inputs, 0);
        field.hold_noise(noise, &problem.samples.inputs).unwrap();
    }
    let shape = field.shape().clone();
    field.delay(0.5, &mut vec![0.0; shape.len()]);
    let record = Record {
        start: 0,
        stride: 1,
        samples_per_period: TICKS,
        weights: Window::Boxcar.weights(2 * TICKS as usize, 0.5),
    };
    let mut lockin = LockIn::new(record.clone(), &[0, 1, -1], problem.network.output.size(), &shape);
    let mut synapses = SynapseLockIn::new(record, 0.1, &effective);
    let integrator: Box<dyn Integrator<f64>> = match method {
        None => Box::new(Rk4::new(0.5, field.leak(), shape.len())),
        Some(method) => {
            let fixed = FixedStep::new(method, 0.5, field.leak(), shape.len());
            let rails = Rails::Equal;
            let white = WhiteNoise::new(key, (0.1, rails), 0, (method, 0.5), field.leak(), shape.clone());
            Box::new(if noise == Noise::White { fixed.kicked(white) } else { fixed })
        }
    };
    let mut simulation = Simulation::new(Box::new(field), integrator, 0.5, vec![0.0; shape.len()]);
    if noise == Noise::Held {
        let outputs = problem.network.output.size();
        simulation.converter = Converter::new(&instant.readout.unwrap(), 0, &shape, outputs);
    }
    let mut observers: [&mut dyn Observer<f64>; 2] = [&mut lockin, &mut synapses];
    simulation.run(TICKS, &mut observers).unwrap();
    let found = allocations(|| {
        simulation.run(TICKS, &mut observers).unwrap();
        simulation.observe(&mut observers).unwrap();
    });
    found as i64 - of_the_products(problem, rails) as i64
}

#[test]
fn the_time_loop_allocates_nothing() {
    // None for rk4, which white noise does not kick.
    let methods = [Method::Map, Method::Euler, Method::Heun, Method::ExponentialEuler].map(Some);
    for problem in [toy(), wide()] {
        for form in [Form::Potential, Form::Rate] {
            for method in methods.into_iter().chain([None]) {
                for noise in [Noise::None, Noise::White, Noise::Held] {
                    for rails in [1, 2] {
                        let found = of_one_period(&problem, form, method, noise, rails);
                        assert_eq!(
                            found, 0,
                            "{}, {form:?}, {method:?}, {noise:?}, {rails}",
                            problem.network.name
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn neurons_by_equation_parasitics_and_delays_allocate_nothing() {
    let problem = own();
    for method in [Some(Method::Euler), Some(Method::Heun), Some(Method::ExponentialEuler), None] {
        for rails in [1, 2] {
            let noise = if rails == 1 { Noise::None } else { Noise::State };
            let found = of_one_period(&problem, Form::Potential, method, noise, rails);
            assert_eq!(found, 0, "{method:?}, {rails}");
        }
    }
    // What is linearised neither, once it is warm.
    let effective = problem.effective(Form::Potential);
    let field = Dynamics::new(&effective, &problem.samples, 1);
    let rates = vec![0.3; field.shape().len()];
    let linear = field.linearise(&rates);
    let (v, mut out, mut scratch) = (rates.clone(), rates.clone(), rates.clone());
    for layout in [Layout::Plain, Layout::Transposed] {
        linear.target(layout, &v, &mut out, &mut scratch);
        let found = allocations(|| linear.target(layout, &v, &mut out, &mut scratch));
        assert_eq!(found, 0, "{layout:?}");
    }
}

#[test]
fn an_evaluation_is_one_real_product_a_direction() {
    let ring = json!({ "name": "ring", "input": 2, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": 2 }, { "name": "b", "size": 3 }, { "name": "c", "size": 2 }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "independent" },
            { "from": "b", "to": "c", "feedback": "tied" }, { "from": "c", "to": "a" }, { "from": "a", "to": "a" }] });
    // Directions between layers: the input's drive is computed once per batch, not once per step.
    for (problem, directions) in [(toy(), 2), (random(ring, 3, 1), 6)] {
        for form in [Form::Potential, Form::Rate] {
            for rails in [1, 2] {
                let effective = problem.effective(form);
                let field = Dynamics::new(&effective, &problem.samples, rails);
                let len = field.shape().len();
                let integrator = Box::new(Rk4::new(0.5, field.leak(), len));
                let mut simulation = Simulation::new(Box::new(field), integrator, 0.5, vec![0.0; len]);
                simulation.run(5, &mut []).unwrap();
                assert_eq!(simulation.field.evaluations(), 20);
                assert_eq!(simulation.field.products(), 20 * directions, "{form:?}, {rails} rails");
            }
        }
    }
}

#[test]
fn evaluations_of_convolutions_allocate_nothing_once_they_are_warm() {
    let pool = json!({ "softmax": { "size": 2, "temperature": 0.5 } });
    let model = json!({ "name": "images", "input": { "shape": [8, 8, 2] }, "activation": "tanh",
        "layers": [{ "name": "a", "shape": [4, 4, 12] }, { "name": "b", "shape": [2, 2, 16] }],
        "connections": [{ "from": "input", "to": "a", "conv": { "kernel": 3, "pool": pool } },
            { "from": "a", "to": "b", "feedback": "tied", "conv": { "kernel": 3, "pool": pool } }],
        "readout": { "from": "b", "classes": 10 } });
    let problem = random(model, 10, 3);
    let effective = problem.effective(Form::Potential);
    for rails in [1, 2] {
        let mut field = Dynamics::new(&effective, &problem.samples, rails);
        let state = vec![0.1; field.shape().len()];
        let mut out = state.clone();
        field.target(Time::at(0), &state, &mut out);
        let found = allocations(|| field.target(Time::at(1), &state, &mut out));
        assert_eq!(found, 0, "{rails} rails");
    }
}
