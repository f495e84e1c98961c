//! The simulator's own units of work on a 784-w-w-10 network: evaluation, period, training step.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holograd::gradient::{EstimatorSpec, Setting, Surroundings, estimate_batch};
use holograd::imperfections::Imperfections;
use holograd::numerics::scalar::Scalar;
use holograd::simulation::Simulation;
use holograd::simulation::integrators::{IntegratorSpec, VectorField};
use holograd::simulation::lockin::{LockIn, Observer, Record, SynapseLockIn, Window};
use holograd::simulation::teaching::{Teaching, Time, Waveform};
use holograd::simulation::view::View;
use holograd::substrate::Field;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::field::Dynamics;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::parameters::Parameters;
use serde_json::json;

mod common;

use common::{network, samples};

fn evaluation<T: Scalar>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("evaluation {}", T::NAME));
    for (width, batch) in [(256, 10), (256, 20), (1024, 10)] {
        let network = network(width);
        let effective = Effective::new(&network, Form::Rate, &Parameters::<T>::initial(network.shapes(), 0));
        let mut field = Dynamics::new(&effective, &samples(batch), 2);
        field.teach(Teaching { waveform: Waveform::Circular { ticks: 300 }, amplitude: 0.4, onset: 0 });
        let state = vec![T::of(0.3); field.shape().len()];
        let mut out = state.clone();
        let flops = 2 * 2 * batch * (2 * width * width + 2 * 10 * width);
        group.throughput(Throughput::Elements(flops as u64));
        group.bench_function(format!("{width} wide, {batch} samples"), |bencher| {
            bencher.iter(|| field.target(Time::at(black_box(5)), &state, &mut out));
        });
    }
    group.finish();
}

fn period(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("oscillation period, 100 steps");
    let network = network(256);
    let effective =
        Effective::new(&network, Form::Potential, &Parameters::<f32>::initial(network.shapes(), 0));
    let batch = samples::<f32>(10);
    for name in ["euler", "exponential_euler", "rk4"] {
        let integrator: IntegratorSpec = serde_json::from_value(json!(name)).expect("a legal integrator");
        let mut field = Dynamics::new(&effective, &batch, 2);
        field.teach(Teaching { waveform: Waveform::Circular { ticks: 100 }, amplitude: 0.4, onset: 0 });
        let len = field.shape().len();
        let stepper = integrator.build(0.5, field.leak(), len);
        let mut simulation = Simulation::new(Box::new(field), stepper, 0.5, vec![0.0; len]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| simulation.run(black_box(100), &mut []).expect("a stable network"));
        });
    }
    group.finish();
}

fn lock_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lock-in of one tick");
    let network = network(256);
    let effective = Effective::new(&network, Form::Rate, &Parameters::<f32>::initial(network.shapes(), 0));
    let batch = samples::<f32>(10);
    let field = Dynamics::new(&effective, &batch, 2);
    let shape = field.shape().clone();
    let state = vec![0.3_f32; shape.len()];
    let error = vec![0.1_f32; 10 * shape.columns()];
    let weights = Window::Boxcar.weights(100, 0.5);
    let record = Record { start: 0, stride: 1, samples_per_period: 100, weights };
    let view = View { shape: &shape, state: &state, rates: &state, output_error: &error };
    let mut neurons = LockIn::new(record.clone(), &[0, 1], network.output.size(), &shape);
    let mut synapses = SynapseLockIn::new(record, 0.1, &effective);
    group.bench_function("per neuron", |bencher| bencher.iter(|| neurons.observe(black_box(3), &view)));
    group.bench_function("per synapse", |bencher| bencher.iter(|| synapses.observe(black_box(3), &view)));
    group.finish();
}

/// One gradient of 900 map steps: 3 periods of 10 points, 30 steps at each; all threads of the machine.
fn training_step<T: Scalar>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("gradient of 900 steps {}", T::NAME));
    group.sample_size(10);
    let staircase = json!({ "staircase": { "amplitude": 0.4, "points": 10, "hold": 30.0, "periods": 3 } });
    let estimator: EstimatorSpec = serde_json::from_value(staircase).expect("a legal estimator");
    let held = json!({ "state_noise": { "held": { "std": 0.04 } } });
    let held: Imperfections = serde_json::from_value(held).expect("a legal noise");
    for (width, batch) in [(256, 20), (256, 200), (1024, 20)] {
        let network = network(width);
        let effective = Effective::new(&network, Form::Rate, &Parameters::<T>::initial(network.shapes(), 0));
        let samples = samples::<T>(batch);
        for (name, noise) in
            [("quiet", None), ("noise", held.instant().map(|instant| Surroundings::new(instant, 0)))]
        {
            let setting = Setting { substrate: &effective, noise, update: 0, diagnose: false };
            let estimator = estimator.build::<T>();
            group.bench_function(format!("{width} wide, {batch} samples, {name}"), |bencher| {
                bencher.iter(|| {
                    estimate_batch(&*estimator, &setting, &samples, &mut Vec::new()).expect("stable")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(
    benches,
    evaluation::<f32>,
    evaluation::<f64>,
    period,
    lock_in,
    training_step::<f32>,
    training_step::<f64>
);
criterion_main!(benches);
