//! What a convolution cannot be, or cannot hold, is refused with place and reason.

use holograd::imperfections::Imperfections;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use serde_json::{Value, json};

use crate::common::random;
use crate::conv_networks::{average, small, soft};

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let shapes = [json!([6, 8, 1]), json!([3, 4, 2]), json!([2, 3, 2])];
    let mut model = small("tanh", [average(), soft(0.5)], shapes, ["same", "same"], &json!("tied"));
    change(&mut model);
    let model: ModelSpec = serde_json::from_value(model).unwrap();
    let refused = Network::new(&model).unwrap_err();
    format!("{}: {}; {}", refused.path, refused.found, refused.legal)
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let conv = |model: &mut Value, field: &str, value: Value| model["connections"][1]["conv"][field] = value;
    let cases: [(String, &str); 10] = [
        (
            refusal(|m| m["layers"][1]["shape"] = json!([2, 2, 2])),
            "connections[1].conv: found a receiving layer of shape [2, 2, 2]; this convolution makes [2, 3, 2] of [3, 4, 2]",
        ),
        (
            refusal(|m| conv(m, "kernel", json!(0))),
            "connections[1].conv.kernel: found a side of 0; it must be at least 1",
        ),
        (
            refusal(|m| {
                conv(m, "kernel", json!([4, 3]));
                conv(m, "padding", json!("valid"));
            }),
            "connections[1].conv.kernel: found 4 x 3 for an image of 3 x 4; a kernel without padding must fit into the image",
        ),
        (
            refusal(|m| conv(m, "stride", json!(0))),
            "connections[1].conv.stride: found 0; it must be at least 1",
        ),
        (
            refusal(|m| conv(m, "pool", json!({ "max": { "size": 4 } }))),
            "connections[1].conv.pool.max.size: found 4 for a convolution that gives an image of 3 x 4; a window must fit into the image",
        ),
        (
            refusal(|m| conv(m, "pool", json!({ "average": { "size": 2, "stride": 0 } }))),
            "connections[1].conv.pool.average: found a size or stride of 0; at least 1",
        ),
        (
            refusal(|m| conv(m, "pool", json!({ "softmax": { "size": 2, "stride": 1, "temperature": 0 } }))),
            "connections[1].conv.pool.softmax.temperature: found 0; it must be a finite number greater than 0",
        ),
        (
            refusal(|m| {
                conv(m, "kernel", json!(2));
                conv(m, "products", json!("winograd2"));
            }),
            "connections[1].conv.products: found tiles for this kernel; a kernel of 3 x 3 with a stride of 1 and shared devices; otherwise `fastest` or `direct`",
        ),
        (
            refusal(|m| {
                conv(m, "kernel", json!(3));
                conv(m, "products", json!("winograd4"));
                conv(m, "devices", json!("unrolled"));
            }),
            "connections[1].conv.products: found tiles for unrolled devices; a kernel of 3 x 3 with a stride of 1 and shared devices; otherwise `fastest` or `direct`",
        ),
        (
            refusal(|m| m["connections"][1]["sparse"] = json!({ "fan_in": 2 })),
            "connections[1]: found both `sparse` and `conv`; give one of the two",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn what_a_kernel_cannot_hold_is_refused_with_its_reason() {
    let shapes = [json!([6, 8, 1]), json!([3, 4, 2]), json!([2, 3, 2])];
    let network = random(
        small(
            "tanh",
            [soft(1.0), soft(0.5)],
            [json!([4, 5, 1]), shapes[1].clone(), shapes[2].clone()],
            ["same", "same"],
            &json!("tied"),
        ),
        1,
        0,
    )
    .network;
    let refused = |imperfections: Value| {
        let imperfections: Imperfections = serde_json::from_value(imperfections).unwrap();
        imperfections.suit(&network).unwrap_err().path
    };
    assert_eq!(refused(json!({ "fabrication": { "gain": { "std": 0.1 } } })), "fabrication.gain");
    assert_eq!(refused(json!({ "fabrication": { "input": { "std": 0.1 } } })), "fabrication.input");
    let noise = json!({ "held": { "std": 0.1 } });
    assert_eq!(refused(json!({ "synapse_noise": noise })), "synapse_noise");
    assert_eq!(refused(json!({ "input_noise": noise })), "input_noise");
    let weights: Imperfections = serde_json::from_value(
        json!({ "fabrication": { "weight": { "std": 0.1 }, "offset": { "std": 0.1 } } }),
    )
    .unwrap();
    weights.suit(&network).unwrap();
}
