//! Writing and keeping weights: quantisation, write noise, pulses, drift.

use super::*;

#[test]
fn quantised_weights_lie_on_the_levels_of_the_pair() {
    let (network, mut parameters) = uniform(0.0);
    let index = network.recurrent().next().unwrap().1.weight;
    parameters.at_mut(index).iter_mut().enumerate().for_each(|(i, w)| *w = -1.5 + 3.0 * i as f64 / 9999.0);
    let made = |levels: Value| {
        let mut programming = json!({ "g_min": 2.0, "g_max": 10.0, "weight_max": 1.2 });
        programming.as_object_mut().unwrap().extend(levels.as_object().unwrap().clone());
        let spec = imperfections(json!({ "programming": programming }));
        forward(&Device::fabricate(&network, &spec).effective(Form::Potential, &parameters, 0))
    };
    let mut levels: Vec<i64> = Vec::new();
    for (w, nominal) in made(json!({ "levels": 5 })).iter().zip(parameters.at(index)) {
        assert!((w / 0.3 - (w / 0.3).round()).abs() < 1e-12, "{w} is a multiple of weight_max/4");
        assert!((w - nominal.clamp(-1.2, 1.2)).abs() < 0.15 + 1e-12, "{w} is the nearest to {nominal}");
        levels.push((w / 0.3).round() as i64);
    }
    levels.dedup();
    assert_eq!(levels, (-4..=4).collect::<Vec<_>>());
    assert_eq!(made(json!({ "bits": 3 })), made(json!({ "levels": 8 })));
}

#[test]
fn write_noise_has_the_published_spread_at_every_conductance() {
    type Sigma = fn(f64) -> f64;
    let published: [(WriteNoise, &str, [f64; 2], Sigma); 4] = [
        (WriteNoise::Pcm, "pcm", [0.0, 25.0], |g| 0.263 + 1.965 * (g / 25.0) - 1.173 * (g / 25.0).powi(2)),
        (WriteNoise::RramWan, "rram_wan", [0.0, 39.0], |g| {
            1.536e-4 * g.powi(3) - 0.01167 * g * g + 0.2374 * g + 1.053
        }),
        (WriteNoise::RramMilo, "rram_milo", [50.0, 225.0], |g| 4.782 - 0.00911 * g),
        (WriteNoise::CmoHfox, "cmo_hfox", [9.0, 88.2], |g| 0.0112 + 0.0113 * g),
    ];
    for (noise, name, [low, high], sigma) in published {
        assert_eq!(noise.range(), Some([low, high]));
        for part in [0.4, 0.7, 1.0] {
            let spec = imperfections(json!({ "programming": {
                "g_min": low, "g_max": high, "weight_max": 1.0, "noise": name } }));
            let values = forward(&flat(part, &spec, 1));
            let g = low + part * (high - low);
            let (mean, std) = moments(&values);
            // The resting device of the pair errs as well; at zero its error is cut at zero conductance.
            let rest =
                if low == 0.0 { sigma(0.0) * (0.5 - 0.5 / std::f64::consts::PI).sqrt() } else { sigma(low) };
            let expected = (sigma(g).powi(2) + rest * rest).sqrt() / (high - low);
            assert!(
                (std / expected - 1.0).abs() < 4.0 / 20_000_f64.sqrt() + 2e-3,
                "{name} at {g}: {std} {expected}"
            );
            let shift =
                if low == 0.0 { sigma(0.0) / std::f64::consts::TAU.sqrt() / (high - low) } else { 0.0 };
            assert!((mean - part + shift).abs() < 4.0 * expected / 100.0 + 1e-4, "{name} at {g}: {mean}");
        }
    }
    let spec = imperfections(
        json!({ "programming": { "weight_max": 1.0, "g_min": 0.2, "noise": { "relative": { "std": 0.1 } } } }),
    );
    let [one, same, other] = [4, 4, 5].map(|write| forward(&flat(0.5, &spec, write)));
    assert_eq!(one, same);
    assert!(one.iter().zip(&other).all(|(a, b)| a != b), "each write errs anew");
}

fn pulsed(start: f64, change: f64, rule: Value, write: u64) -> Vec<f64> {
    let spec = imperfections(json!({ "programming": { "weight_max": 2.0, "update": rule } }));
    let (network, mut parameters) = uniform(start);
    let (_, wanted) = uniform(change);
    let device = Device::fabricate(&network, &spec);
    device.update(&mut parameters, &wanted, write);
    let bias = network.layers[0].bias.unwrap();
    assert_eq!(parameters.at(bias)[0], start + change, "biases are not pulsed");
    parameters.at(network.recurrent().next().unwrap().1.weight).to_vec()
}

#[test]
fn pulses_follow_the_step_laws() {
    let all = |values: Vec<f64>, expected: f64| {
        values.iter().for_each(|w| assert_relative_eq!(*w, expected, epsilon = 1e-12));
    };
    // x = w/2, steps of 0.01: a change of 0.2 is 10 pulses, one of 0.035 is lost beyond the first.
    let rule = |law: Value| json!({ "step": 0.01, "law": law, "remainder": "lost" });
    all(pulsed(0.5, 0.2001, rule(json!("constant")), 0), 0.7);
    all(pulsed(0.5, -0.035, rule(json!("constant")), 0), 0.48);
    all(pulsed(0.5, 0.015, rule(json!("constant")), 0), 0.5);
    all(pulsed(1.9, 0.4001, rule(json!("constant")), 0), 2.0);
    all(pulsed(0.5, 0.2001, rule(json!("soft_bound")), 0), 2.0 * (1.0 - 0.75 * 0.99_f64.powi(10)));
    all(pulsed(0.5, -0.2001, rule(json!("soft_bound")), 0), 2.0 * (1.25 * 0.99_f64.powi(10) - 1.0));
    let gamma = 3.0;
    let exponential = |direction: f64| {
        2.0 * (0..10).fold(0.25, |x: f64, _| x + direction * 0.01 * (-direction * gamma * x).exp())
    };
    let law = json!({ "exponential": { "gamma": gamma } });
    all(pulsed(0.5, 0.2001, rule(law.clone()), 0), exponential(1.0));
    all(pulsed(0.5, -0.2001, rule(law), 0), exponential(-1.0));
    let uneven = json!({ "step": 0.01, "asymmetry": 0.3, "remainder": "lost" });
    all(pulsed(0.0, 0.2001, uneven.clone(), 0), 0.26);
    all(pulsed(0.0, -0.2001, uneven, 0), -0.14);
    assert!(pulsed(0.0, f64::INFINITY, rule(json!("constant")), 0).iter().all(|w| w.is_infinite()));
}

#[test]
fn steps_are_right_on_average_and_spread_over_devices_and_cycles() {
    // 0.0074/2 in steps of 0.01: a pulse with probability 0.37.
    let (mean, std) = moments(&pulsed(0.0, 0.0074, json!({ "step": 0.01 }), 2));
    assert!((mean - 0.0074).abs() < 4.0 * std / 100.0);
    assert_relative_eq!(std, 0.02 * (0.37_f64 * 0.63).sqrt(), max_relative = 0.03);
    let z = |values: Vec<f64>, std: f64| values.into_iter().map(|w| (w - 0.2) / std).collect::<Vec<_>>();
    let cycles = json!({ "step": 0.01, "cycle_spread": 0.3, "remainder": "lost" });
    let spread = 0.02 * 0.3 * 10_f64.sqrt();
    assert!(follows(z(pulsed(0.0, 0.2001, cycles, 0), spread), normal));
    let devices = json!({ "step": 0.01, "device_spread": 0.1, "remainder": "lost" });
    let [one, other] = [0, 1].map(|write| pulsed(0.0, 0.2001, devices.clone(), write));
    assert_eq!(one, other, "a device keeps its step");
    assert!(follows(z(one, 0.02), normal));
}

#[test]
fn conductances_drift_and_leak() {
    let (network, parameters) = uniform(0.8);
    let at = |drift: Value, seconds: f64| {
        let spec = imperfections(json!({ "drift": drift }));
        let device = Device::fabricate(&network, &spec);
        let mut effective = Effective::new(&network, Form::Potential, &parameters);
        device.program_at(&parameters, 0, seconds, &mut effective);
        forward(&effective)
    };
    let power = json!({ "seconds": 0.0, "law": { "power": { "nu": 0.1, "t0": 2.0 } } });
    assert_relative_eq!(at(power.clone(), 2000.0)[0], 0.8 * 1000_f64.powf(-0.1), max_relative = 1e-12);
    assert_relative_eq!(at(power, 1.0)[0], 0.8, max_relative = 1e-12);
    assert_relative_eq!(
        at(json!({ "seconds": 0.0, "leak": 50.0 }), 25.0)[0],
        0.8 * (-0.5_f64).exp(),
        max_relative = 1e-12
    );
    let spread = json!({ "seconds": 0.0, "law": { "power": { "nu": 0.1, "nu_spread": 0.02 } } });
    let exponents = |seconds: f64| -> Vec<f64> {
        at(spread.clone(), seconds).iter().map(|w| -(w / 0.8).ln() / seconds.ln()).collect()
    };
    assert!(follows(exponents(1e4).iter().map(|nu| (nu - 0.1) / 0.02).collect(), normal));
    exponents(1e4).iter().zip(exponents(1e2)).for_each(|(a, b)| assert_relative_eq!(*a, b, epsilon = 1e-9));
}

#[test]
fn phase_change_memory_has_the_published_drift_and_read_noise() {
    assert_relative_eq!(pcm_exponent(1.0).0, 0.049);
    assert_relative_eq!(pcm_exponent(0.05).0, -0.0155 * 0.05_f64.ln() + 0.0244);
    assert_relative_eq!(pcm_exponent(1e-6).0, 0.1);
    assert_relative_eq!(
        pcm_read_noise(0.5, 1.0),
        0.0088 * 0.5_f64.powf(-0.65) * (2e6_f64 + 0.5).ln().sqrt(),
        max_relative = 1e-9
    );
    assert_relative_eq!(pcm_read_noise(1e-4, 250e-9), 0.0);
    let drift = Drift { seconds: 0.0, law: Some(DriftLaw::Pcm), leak: None };
    assert_relative_eq!(
        drift.conductance(2e4, 25.0, 24.0, 0.0, 0.0),
        24.0 * 1000_f64.powf(-0.049),
        max_relative = 1e-12
    );
    // The preset as a whole, on weights at half the range: mean decay and spread.
    let (network, parameters) = uniform(0.5);
    let spec = imperfections(
        json!({ "preset": "pcm", "programming": { "g_max": 25.0, "weight_max": 1.0, "noise": null } }),
    );
    let device = Device::fabricate(&network, &spec);
    let mut effective = Effective::new(&network, Form::Potential, &parameters);
    let seconds = 86_400.0;
    device.program_at(&parameters, 0, seconds, &mut effective);
    let (nu, nu_spread) = pcm_exponent(0.5);
    let decades = (seconds / 20.0).ln();
    let drifted = 0.5 * (-nu * decades + 0.5 * (nu_spread * decades).powi(2)).exp();
    let (mean, std) = moments(&forward(&effective));
    let expected =
        drifted * ((nu_spread * decades).powi(2).exp_m1() + pcm_read_noise(0.5, seconds).powi(2)).sqrt();
    assert!((mean - drifted).abs() < 4.0 * expected / 100.0, "{mean} {drifted}");
    assert_relative_eq!(std, expected, max_relative = 0.03);
}

/// Read noise of σ/G = 1.13 a year after the write: what would be below zero conducts nothing.
#[test]
fn read_noise_leaves_no_conductance_below_zero() {
    let drift = Drift { seconds: 3e7, law: Some(DriftLaw::Pcm), leak: None };
    assert!(pcm_read_noise(0.0, 3e7) > 0.8);
    assert_eq!(drift.conductance(3e7, 0.0, 0.2, 0.0, -2.0), 0.0);
    let spec = imperfections(json!({ "preset": "pcm", "drift": { "seconds": 3e7, "law": "pcm" },
        "programming": { "g_max": 25.0, "weight_max": 1.0, "noise": "pcm" } }));
    let values = forward(&flat(0.0, &spec, 0));
    // A device written to 0 conducts where the write and the read are above zero: ½ Φ(1/s), s the read noise. Both devices of a
    // pair are at zero in (1 − ½ Φ(1/s))² of the cases.
    let conducts = 0.5 * normal(1.0 / pcm_read_noise(0.0, 3e7));
    let zero = values.iter().filter(|w| **w == 0.0).count() as f64 / 1e4;
    let expected = (1.0 - conducts).powi(2);
    assert!((expected - 0.352).abs() < 5e-3, "{expected}");
    assert!(
        (zero - expected).abs() < 4.0 * (expected * (1.0 - expected) / 1e4).sqrt(),
        "{zero}, not {expected}"
    );
    let (_, std) = moments(&values);
    assert_relative_eq!(std * 25.0, 0.1258, max_relative = 0.03);
}

/// Weights that were made without knowing the device begin within its range, and stay where pulses can reach.
#[test]
fn pulsed_weights_begin_within_the_range_of_their_devices() {
    let rule = json!({ "step": 0.01, "remainder": "lost" });
    for (start, change, expected) in
        [(3.0, 0.0, 2.0), (-3.0, 0.0, -2.0), (3.0, -0.2001, 1.8), (-3.0, 0.2001, -1.8)]
    {
        pulsed(start, change, rule.clone(), 0)
            .iter()
            .for_each(|w| assert_relative_eq!(*w, expected, epsilon = 1e-12));
    }
    let soft = json!({ "step": 0.01, "law": "soft_bound", "remainder": "lost" });
    pulsed(3.0, 0.2001, soft, 0).iter().for_each(|w| assert_eq!(*w, 2.0));
    assert!(pulsed(f64::INFINITY, 0.0, rule.clone(), 0).iter().all(|w| w.is_infinite()), "divergence shows");
    let spec = imperfections(json!({ "programming": { "weight_max": 2.0, "update": rule } }));
    let (network, mut parameters) = uniform(3.0);
    Device::fabricate(&network, &spec).confine(&mut parameters);
    assert_eq!(parameters.at(network.recurrent().next().unwrap().1.weight)[0], 2.0);
    assert_eq!(parameters.at(network.layers[0].bias.unwrap())[0], 3.0, "a bias is no device");
    let (network, mut parameters) = uniform(3.0);
    let set = imperfections(json!({ "programming": { "weight_max": 2.0 } }));
    Device::fabricate(&network, &set).confine(&mut parameters);
    assert_eq!(parameters.at(0)[0], 3.0, "devices that are set keep the nominal weight outside");
}
