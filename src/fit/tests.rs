//! Known laws come back out of tables that were made of them, as often as their intervals say.

use std::fmt::Write;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, LogNormal, Normal, StandardNormal, StudentT};
use serde_json::json;

use super::*;
use crate::imperfections::Imperfections;
use crate::imperfections::update::{Bounds, StepLaw, UpdateRule};

/// Tables that are drawn of each law.
const DRAWS: u64 = 200;

/// How often each true value lies within its interval, over the draws of a law.
fn coverage(
    law: &str,
    truth: &[(&str, f64)],
    asked: &Asked,
    draws: u64,
    draw: impl Fn(u64) -> String,
) -> Vec<f64> {
    let mut within = vec![0.0; truth.len()];
    for seed in 0..draws {
        let table = Table::parse("made.csv", draw(seed).as_bytes()).unwrap();
        let fit = fit(&table, asked).unwrap();
        let found = fit.laws.iter().find(|found| found.name == law).unwrap();
        for (within, (name, value)) in within.iter_mut().zip(truth) {
            let p = found.parameters.iter().find(|p| p.name == *name).unwrap();
            assert!(p.low <= p.value && p.value <= p.high, "{p:?}");
            *within += f64::from((p.low..=p.high).contains(value)) / draws as f64;
        }
    }
    within
}

/// 95 %, with what 200 draws leave open.
fn covers(law: &str, truth: &[(&str, f64)], asked: &Asked, draw: impl Fn(u64) -> String) {
    let told = coverage(law, truth, asked, DRAWS, draw);
    println!(
        "{law}: {:?}",
        truth.iter().zip(&told).map(|((name, _), c)| format!("{name} {c:.3}")).collect::<Vec<_>>()
    );
    for ((name, _), share) in truth.iter().zip(told) {
        assert!((0.9..=0.99).contains(&share), "{law}, {name}: {share}");
    }
}

/// A train of pulses of one device, 20 to 80 µS, in one of three layouts.
fn train(rule: &UpdateRule, seed: u64, pulses: usize, layout: usize) -> String {
    let directions: Vec<f64> = (0..pulses).map(|k| if k / 50 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let conductance = |x: f64| 50.0 + 30.0 * x;
    let start = -0.6;
    let x = rule.response(start, &directions, seed, 0);
    let mut text = match layout {
        0 => "device,pulse,polarity,before (uS),after (uS)\n".to_owned(),
        1 => format!("cycle,pulse,polarity,conductance\n1,0,up,{}\n", conductance(start)),
        _ => format!("pulse,polarity,cell 1\n0,1,{}\n", conductance(start)),
    };
    let mut before = start;
    for (k, (after, direction)) in x.iter().zip(&directions).enumerate() {
        let (g, h) = (conductance(before), conductance(*after));
        let line = match layout {
            0 => writeln!(text, "a,{k},{direction},{g},{h}"),
            1 => writeln!(text, "1,{},{},{h}", k + 1, if *direction > 0.0 { "up" } else { "down" }),
            _ => writeln!(text, "{},{direction},{h}", k + 1),
        };
        line.unwrap();
        before = *after;
    }
    text
}

#[test]
fn laws_of_pulses_are_recovered_in_every_layout() {
    let asked = Asked { range: Some([20.0, 80.0]), ..Asked::default() };
    let rule = |law| UpdateRule { asymmetry: 0.1, cycle_spread: 0.3, ..UpdateRule::of(0.01, law) };
    let basic = [("step", 0.01), ("asymmetry", 0.1), ("cycle_spread", 0.3)];
    covers("constant", &basic, &asked, |seed| train(&rule(StepLaw::Constant), seed, 300, 0));
    let gamma = StepLaw::Exponential { gamma: 1.5 };
    let truth = [&basic[..], &[("gamma", 1.5)]].concat();
    covers("exponential", &truth, &asked, |seed| train(&rule(gamma.clone()), seed, 300, 1));
    let rule = UpdateRule { step: 0.03, ..rule(StepLaw::SoftBound) };
    let truth = [("step", 0.03), ("asymmetry", 0.1), ("cycle_spread", 0.3), ("g_min", 20.0), ("g_max", 80.0)];
    covers("soft_bound", &truth, &Asked::default(), |seed| train(&rule, seed, 400, 2));
}

#[test]
fn the_law_of_a_table_has_the_lowest_aic_and_its_json_is_legal() {
    let asked = Asked { range: Some([20.0, 80.0]), ..Asked::default() };
    for (name, law, step) in [
        ("constant", StepLaw::Constant, 0.01),
        ("soft_bound", StepLaw::SoftBound, 0.03),
        ("exponential", StepLaw::Exponential { gamma: 1.5 }, 0.01),
    ] {
        let rule = UpdateRule { cycle_spread: 0.3, ..UpdateRule::of(step, law) };
        let table = Table::parse("made.csv", train(&rule, 1, 400, 0).as_bytes()).unwrap();
        let fit = fit(&table, &asked).unwrap();
        assert_eq!(fit.laws[0].name, name);
        let spec: Imperfections = serde_json::from_value(fit.laws[0].json.clone()).unwrap();
        spec.validate().unwrap();
    }
}

#[test]
fn the_spread_from_device_to_device_is_told_apart_from_that_of_cycles() {
    let rule =
        UpdateRule { device_spread: 0.2, cycle_spread: 0.3, ..UpdateRule::of(0.01, StepLaw::Constant) };
    let directions: Vec<f64> = (0..200).map(|k| if k / 50 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let asked = Asked { range: Some([20.0, 80.0]), ..Asked::default() };
    // Twelve fits each: fewer draws, and a wider band.
    let truth = [("step", 0.01), ("device_spread", 0.2), ("cycle_spread", 0.3)];
    let told = coverage("constant", &truth, &asked, 40, |seed| {
        let mut text = "device,polarity,before,after\n".to_owned();
        for device in 0..12 {
            let mut before = -0.5;
            let after = rule.response(before, &directions, seed, device);
            for (after, direction) in after.iter().zip(&directions) {
                let (g, h) = (50.0 + 30.0 * before, 50.0 + 30.0 * after);
                writeln!(text, "{device},{direction},{g},{h}").unwrap();
                before = *after;
            }
        }
        text
    });
    assert!(told.iter().all(|share| *share >= 0.84), "{told:?}");
}

#[test]
fn pulses_at_hard_bounds_do_not_make_a_constant_law_a_soft_one() {
    let bounds = Bounds { low: -0.5, high: 0.7, spread: [0.05, 0.05] };
    let rule = UpdateRule {
        asymmetry: 0.1,
        cycle_spread: 0.3,
        bounds: Some(bounds),
        ..UpdateRule::of(0.01, StepLaw::Constant)
    };
    let directions: Vec<f64> = (0..800).map(|k| if k / 200 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let made = |seed: u64| {
        let mut text = "device,polarity,before,after\n".to_owned();
        for device in 0..4 {
            let mut before = -0.3;
            let after = rule.response(before, &directions, seed, device);
            for (after, direction) in after.iter().zip(&directions) {
                writeln!(text, "{device},{direction},{},{}", 50.0 + 30.0 * before, 50.0 + 30.0 * after)
                    .unwrap();
                before = *after;
            }
        }
        text
    };
    let asked = Asked { range: Some([20.0, 80.0]), ..Asked::default() };
    for asked in [&asked, &Asked::default()] {
        let table = Table::parse("made.csv", made(1).as_bytes()).unwrap();
        let fit = fit(&table, asked).unwrap();
        println!("{}; {:?}", fit.what, fit.laws.iter().map(|law| (law.name, law.aic)).collect::<Vec<_>>());
        assert_eq!(fit.laws[0].name, "constant");
        // 120 steps from end to end: most pulses of each train of 200 push against a bound.
        let told = fit.what.split("at hard bounds, ").nth(1).unwrap();
        let left_out: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert!((800..1600).contains(&left_out), "{told}");
    }
    let truth = [("step", 0.01), ("asymmetry", 0.1), ("cycle_spread", 0.3)];
    let told = coverage("constant", &truth, &asked, 40, made);
    assert!(told.iter().all(|share| *share >= 0.84), "{told:?}");
}

fn column(name: &str, values: impl Iterator<Item = f64>) -> String {
    values.fold(format!("{name}\n"), |text, x| format!("{text}{x}\n"))
}

#[test]
fn distributions_of_mismatch_are_recovered() {
    let asked = Asked::default();
    let stream = |seed: u64| ChaCha8Rng::seed_from_u64(seed);
    let normal = Normal::new(0.02, 0.1).unwrap();
    covers("normal", &[("mean", 0.02), ("std", 0.1)], &asked, |seed| {
        column("dvth", normal.sample_iter(stream(seed)).take(150))
    });
    let log_normal = LogNormal::new(0.0, 0.4).unwrap();
    covers("log_normal", &[("median", 0.0), ("std", 0.4)], &asked, |seed| {
        column("gain", log_normal.sample_iter(stream(seed)).take(150).map(|x: f64| x - 1.0))
    });
    let student = StudentT::new(5.0).unwrap();
    let std = 0.1 / (3.0_f64 / 5.0).sqrt();
    covers("student_t", &[("mean", 0.0), ("std", std), ("dof_above_2", 3.0)], &asked, |seed| {
        column("dvth", student.sample_iter(stream(seed)).take(600).map(|t: f64| 0.1 * t))
    });
}

#[test]
fn drift_and_the_corner_of_flicker_noise_are_recovered() {
    covers("power", &[("nu", 0.05), ("nu_spread", 0.01)], &Asked::default(), |seed| {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        let mut z = || -> f64 { StandardNormal.sample(&mut stream) };
        let mut text = "device,time (s),conductance (uS)\n".to_owned();
        for device in 0..15 {
            let nu = 0.05 + 0.01 * z();
            for k in 0..12 {
                let t = 20.0 * 2_f64.powi(k);
                let g = 10.0 * (t / 20.0).powf(-nu) * (0.02 * z()).exp();
                writeln!(text, "{device},{t},{g}").unwrap();
            }
        }
        text
    });
    let asked = Asked { tau: Some(1e-3), ..Asked::default() };
    let (a, white) = (2e-6, 1e-8);
    covers("one_over_f", &[("a", a), ("white", white), ("averages", 4.0)], &asked, |seed| {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        let mut text = "frequency (Hz),power\n".to_owned();
        for k in 0..200 {
            let f = 10_f64.powf(f64::from(k) / 40.0);
            let averaged: f64 = (0..4)
                .map(|_| {
                    let e: f64 = Exp1.sample(&mut stream);
                    e / 4.0
                })
                .sum();
            writeln!(text, "{f},{}", averaged * (a / f + white)).unwrap();
        }
        text
    });
}

#[test]
fn the_noise_to_paste_has_the_fitted_density() {
    let text = (1..200).fold("frequency,power\n".to_owned(), |text, k| {
        let f = f64::from(k);
        format!("{text}{f},{}\n", 1e-4 / f * if k % 2 == 0 { 1.1 } else { 0.9 })
    });
    let table = Table::parse("made.csv", text.as_bytes()).unwrap();
    let fit = fit(&table, &Asked { tau: Some(0.01), ..Asked::default() }).unwrap();
    let law = fit.laws.iter().find(|law| law.name == "one_over_f_alone").unwrap();
    let noise = &law.json["state_noise"]["one_over_f"];
    let std = noise["std"].as_f64().unwrap();
    assert!((std.powi(2) / (1e-4 * 199_f64.ln()) - 1.0).abs() < 0.02, "{std}");
    assert!((noise["longest"].as_f64().unwrap() - 100.0 / std::f64::consts::TAU).abs() < 1e-9);
    let spec: Imperfections = serde_json::from_value(law.json.clone()).unwrap();
    spec.validate().unwrap();
    assert_eq!(json!(law.name), json!("one_over_f_alone"));
}

#[test]
fn files_of_no_known_kind_are_refused() {
    for (text, told) in [
        ("frequency,power\n1,1\n", "found 1 densities"),
        ("frequency,volts\n1,1\n", "found the columns frequency, volts"),
        ("time,conductance\n0,1\n", "line 2, column `time`: found \"0\""),
        ("time,conductance\n1,1\n", "found no device with four readings"),
        ("a,b\n1,1\n", "found several columns"),
        ("polarity,before,after\nup,1,2\n", "found no device with 20 pulses"),
    ] {
        let table = Table::parse("made.csv", text.as_bytes()).unwrap();
        let error = fit(&table, &Asked::default()).err().unwrap();
        assert!(error.to_string().replace('`', "").contains(&told.replace('`', "")), "{error}");
    }
}
