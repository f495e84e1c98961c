//! How fast a GPU is: the gradient of VGG4 for a batch of images of CIFAR-10's size, by the published procedure and by this program's own
//! solver, in seconds and in multiply–adds; and how far both are from the processor's, on some of the images.
//!
//! `cargo run --release --features gpu --example gpu_speed -- [samples] [device] [compared]`

use std::sync::Arc;
use std::time::Instant;

use holograd::experiment::cost;
use holograd::experiment::spec::Precision;
use holograd::gradient::{Estimate, EstimatorSpec, Setting, estimate_batch};
use holograd::host::device::{Gpu, list};
use holograd::numerics::rng::{NoiseKey, Purpose};
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use nalgebra::DMatrix;
use serde_json::{Value, json};

/// Two points at β = ±1 with the discrete map (paper 1, Table 2), and the response to an infinitely slow drive, solved for.
fn estimators() -> [(&'static str, Value); 2] {
    let settle = |time: f64| json!({ "step": 1.0, "tolerance": 0.0, "max_time": time });
    let quick = json!({ "step": 1.0, "tolerance": 1e-4, "max_time": 250.0, "accelerate": true });
    [
        (
            "published",
            json!({ "cauchy": { "amplitude": 1.0, "points": 2, "settle": settle(250.0), "nudged": settle(60.0) } }),
        ),
        ("solved", json!({ "harmonic_balance": { "period": null, "tolerance": 1e-3, "settle": quick } })),
    ]
}

/// An estimate, how long it took, and what of it is on the GPU, by itself and as foreseen.
fn estimate(
    network: &Arc<Network>,
    samples: &Samples<f32>,
    estimator: &Value,
) -> (Estimate<f32>, f64, [f64; 2]) {
    let spec: EstimatorSpec = serde_json::from_value(estimator.clone()).expect("a legal estimator");
    let effective = Effective::new(network, Form::Rate, &Parameters::initial(network.shapes(), 0));
    let setting = Setting { diagnose: false, ..Setting::quiet(&effective) };
    let start = Instant::now();
    let estimate = estimate_batch(&*spec.build(), &setting, samples, &mut Vec::new()).expect("an estimate");
    let seconds = start.elapsed().as_secs_f64();
    let held = network.gpu.as_ref().and_then(Gpu::held).map_or(f64::NAN, |bytes| bytes as f64);
    (estimate, seconds, [held, cost::of_estimate(network, Precision::F32, &spec, samples.count).gpu])
}

fn relative(a: &Parameters<f32>, b: &Parameters<f32>) -> f64 {
    let (mut difference, mut size) = (0.0, 0.0);
    for (a, b) in (0..a.len()).flat_map(|i| a.at(i).iter().zip(b.at(i))) {
        difference += f64::from(a - b).powi(2);
        size += f64::from(*b).powi(2);
    }
    (difference / size).sqrt()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let count = arguments.next().unwrap_or(128);
    let device = arguments.next().unwrap_or(0);
    let compared = arguments.next().unwrap_or(4);
    list().iter().for_each(|line| println!("{line}"));
    let model: ModelSpec = serde_json::from_str(include_str!("../models/vgg4.json")).expect("a model");
    let here = Arc::new(Network::new(&model).expect("a network"));
    let gpu = match Gpu::open(device) {
        Ok(gpu) => gpu,
        Err(error) => return println!("no speed was measured: {error}"),
    };
    let there = Arc::new(here.on_gpu(gpu));
    let mut pixels = vec![0.0_f32; here.inputs * count];
    NoiseKey::new(0, Purpose::Data, 0).normals(0, 0, &mut pixels);
    let inputs = DMatrix::from_vec(here.inputs, count, pixels);
    let labels: Vec<u32> = (0..count as u32).map(|sample| sample % 10).collect();
    let samples = Samples::labelled(&inputs, &labels, 10);
    // A kernel and its transpose, of one rail.
    let products: usize = here.recurrent().map(|(_, edge)| edge.interaction.products()).sum();
    for (name, estimator) in estimators() {
        // The first compiles.
        estimate(&there, &samples, &estimator);
        let (estimated, seconds, [held, foreseen]) = estimate(&there, &samples, &estimator);
        let evaluations = estimated.diagnostics.rhs_evaluations;
        let operations = 2.0 * products as f64 * count as f64 * evaluations as f64;
        println!(
            "{name}: {count} images in {seconds:.3} s, {evaluations} evaluations, {:.2} TFLOP/s with all that is no product",
            operations / seconds / 1e12
        );
        println!("{name}: {:.0} MB on the GPU, {:.0} MB foreseen", held / 1e6, foreseen / 1e6);
        let few = samples.select(&(0..compared.min(count)).collect::<Vec<_>>());
        if few.count > 0 {
            let (one, other) = (estimate(&there, &few, &estimator).0, estimate(&here, &few, &estimator).0);
            let apart = relative(&one.gradient, &other.gradient);
            println!("{name}: {apart:.1e} from the processor on {} images", few.count);
        }
    }
}
