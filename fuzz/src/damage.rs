//! Ways to damage a file.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// One to four changes to the bytes.
pub fn bytes(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..random.random_range(1..5) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random.random_range(0..bytes.len());
        let end = at + random.random_range(0..=(bytes.len() - at).min(64));
        match random.random_range(0..8) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => bytes[at..end].fill(if random.random() { 0xff } else { 0 }),
            6 => {
                let place = random.random_range(0..bytes.len());
                bytes.swap(at, place);
            }
            _ => {
                // The first bytes are where lengths and magic numbers stand.
                let at = at % 64.min(bytes.len());
                bytes[at] = random.random();
            }
        }
    }
    bytes
}

/// One to four changes to a JSON document, or else to its text.
pub fn document(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(sound) else { return bytes(sound, random) };
    if random.random_range(0..4) == 0 {
        return bytes(sound, random);
    }
    for _ in 0..random.random_range(1..5) {
        change(&mut value, random);
    }
    value.to_string().into_bytes()
}

/// Goes down to a random place and changes it.
fn change(value: &mut Value, random: &mut ChaCha8Rng) {
    let deeper = random.random_range(0..6) > 0;
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = random.random_range(0..fields.len());
            let key = fields.keys().nth(at).cloned().unwrap_or_default();
            match random.random_range(0..12) {
                0 => drop(fields.shift_remove(&key)),
                1 => {
                    let taken = fields.shift_remove(&key).unwrap_or_default();
                    fields.insert(format!("{key}s"), taken);
                }
                2 => drop(fields.insert(format!("{key}x"), any(random))),
                _ => change(&mut fields[&key], random),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.random_range(0..items.len());
            match random.random_range(0..8) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], random),
            }
        }
        place => *place = any(random),
    }
}

/// A value of any kind, as likely as not at the edge of its range.
fn any(random: &mut ChaCha8Rng) -> Value {
    const NAMES: [&str; 16] = [
        "",
        "tanh",
        "relu",
        "tied",
        "input",
        "h1",
        "adjoint",
        "oscillation",
        "harmonic_balance",
        "cauchy",
        "auto",
        "digits",
        "cmos",
        "dopri5",
        "map",
        "../models/toy.json",
    ];
    const NUMBERS: [f64; 14] =
        [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 1e-300, 1e300, 1e9, 1e12, 4294967296.0, 1e-9, f64::MAX];
    match random.random_range(0..10) {
        0 => Value::Null,
        1 => json!({}),
        2 => json!([]),
        3 => json!(random.random::<bool>()),
        4 => json!(NAMES[random.random_range(0..NAMES.len())]),
        5 => json!(NUMBERS[random.random_range(0..NUMBERS.len())]),
        6 => json!(
            [0, 1, 2, 3, 10, 100, 1000, 100_000, u64::MAX, 1 << 32, 1 << 53][random.random_range(0..11)]
        ),
        7 => json!({ NAMES[random.random_range(0..NAMES.len())]: { "amplitude": 0.1, "period": 20.0 } }),
        8 => json!([1.0, 1e308, -3]),
        _ => json!(random.random::<i64>()),
    }
}
