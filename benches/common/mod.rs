//! The 784-w-w-10 networks and the inputs that the benches share.

use std::sync::Arc;

use holograd::numerics::scalar::Scalar;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::samples::Samples;
use serde_json::json;

/// A network of the published shape with two layers of that width.
pub fn network(width: usize) -> Arc<Network> {
    let model = json!({
        "name": "bench", "input": 784,
        "layers": [{ "name": "h1", "size": width }, { "name": "h2", "size": width }],
        "activation": { "logistic": {} },
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 10 }
    });
    let model: ModelSpec = serde_json::from_value(model).expect("a legal model");
    Arc::new(Network::new(&model).expect("a legal model"))
}

/// Sparse inputs like handwritten digits: a fifth of the pixels is on.
pub fn samples<T: Scalar>(count: usize) -> Samples<T> {
    let pixel = |i: usize| {
        let x = (i as f64 * 0.618_034).fract();
        T::of(if x < 0.19 { (i as f64 * 0.754_878).fract() } else { 0.0 })
    };
    let mut targets = vec![T::zero(); 10 * count];
    for sample in 0..count {
        targets[10 * sample + sample % 10] = T::one();
    }
    Samples { inputs: (0..784 * count).map(pixel).collect(), targets, count, first: 0 }
}
