//! Ranks come to what one process comes to: the same bits, the same errors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::local::together;
use super::{Team, check_same, current, gather, share};
use crate::error::{Error, Result};
use crate::experiment::load::load_given;
use crate::experiment::sink::{LEARNT, SUMMARY};
use crate::experiment::train::Trainer;
use crate::experiment::{Content, Experiment, Loaded, Memory, Options, Sink, Site, problem};
use crate::files::Tensors;
use crate::learning::{Learner, Part};

/// Ranks and threads of each.
const TEAMS: [(usize, usize); 5] = [(1, 2), (2, 1), (2, 2), (3, 1), (4, 2)];

fn experiment(name: &str, fields: &[(&str, Value)]) -> Loaded {
    let fields: Vec<(String, Value)> =
        fields.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
    load_given(name, None, &fields, BTreeMap::new()).unwrap()
}

/// Samples as the shipped networks for digits take them: so many to learn from, and half as many to test with.
fn clouds(train: usize) -> Value {
    json!({ "toy_gaussian": { "inputs": 64, "classes": 10, "samples": train * 3 / 2, "test_fraction": 1.0 / 3.0 } })
}

fn without_seconds(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !name.contains("seconds"));
    }
    value
}

/// Records, summary and parameters of a run, or why there are none.
type Outcome = std::result::Result<(Vec<Value>, Value, Vec<u8>), String>;

/// The outcome of a run.
fn outcome(loaded: &Loaded) -> Outcome {
    outcome_in(Memory::default(), loaded, &Options::default())
}

/// The same in a memory that may hold a checkpoint.
fn outcome_in(mut memory: Memory, loaded: &Loaded, options: &Options) -> Outcome {
    loaded.run(&mut memory, options).map_err(|e| e.to_string())?;
    let records = memory.records().unwrap().into_iter().map(without_seconds).collect();
    let summary = match memory.content(SUMMARY) {
        Some(Content::Json(summary)) => without_seconds(summary),
        _ => Value::Null,
    };
    let learnt = match memory.content(LEARNT) {
        Some(Content::Tensors(tensors)) => tensors.to_bytes(),
        _ => Vec::new(),
    };
    Ok((records, summary, learnt))
}

/// Checks that every rank of every team comes to what one process comes to, which is returned.
fn the_same(loaded: &Loaded) -> (Vec<Value>, Value) {
    let alone = outcome(loaded).unwrap();
    assert!(!alone.2.is_empty());
    for (ranks, threads) in TEAMS {
        for (rank, found) in together(ranks, threads, || outcome(loaded)).into_iter().enumerate() {
            let found = found.unwrap();
            assert_eq!(found.0, alone.0, "rank {rank} of {ranks}");
            assert_eq!(found.1, alone.1, "rank {rank} of {ranks}");
            assert!(found.2 == alone.2, "rank {rank} of {ranks} has learnt other parameters");
        }
    }
    (alone.0, alone.1)
}

/// Batches of five chunks and of three: a chunk changes its rank, and with it its state and its noise.
#[test]
fn carried_states_and_noise_that_goes_on_are_those_of_one_process() {
    let noise = json!({ "state_noise": { "one_over_f": { "std": 0.05, "shortest": 1, "longest": 1000, "continuous": true } },
        "input_noise": { "ornstein_uhlenbeck": { "std": 0.1, "correlation_time": 100 } } });
    let (records, _) = the_same(&experiment(
        "digits",
        &[
            ("data", clouds(130)),
            ("imperfections", noise),
            ("epochs", json!(2)),
            ("batch_size", json!(50)),
            ("compare", json!(25)),
        ],
    ));
    assert!(records[0]["signal_to_noise"].is_number());
}

#[test]
fn samples_that_do_not_settle_and_the_rate_floor_are_those_of_one_process() {
    let cauchy = json!({ "cauchy": { "amplitude": 0.5, "points": 4, "settle": { "step": 1.0, "tolerance": 0.0, "max_time": 5.0 } } });
    let (records, summary) = the_same(&experiment(
        "digits",
        &[
            ("data", clouds(90)),
            ("carry_state", json!(false)),
            ("estimator", cauchy),
            ("unsettled", json!({ "residual": 0.001, "two_points": true })),
            ("rate_floor", json!({ "rate": 0.55 })),
            ("rate_samples", json!(30)),
            ("epochs", json!(2)),
            ("batch_size", json!(45)),
        ],
    ));
    assert!(summary["dropped"].as_u64().unwrap() > 0, "{summary}");
    assert!(records[0]["test_slowest_rate"].is_number(), "{}", records[0]);
}

#[test]
fn convolutions_and_circuits_are_those_of_one_process() {
    the_same(&experiment(
        "conv_digits",
        &[("data", clouds(70)), ("epochs", json!(1)), ("batch_size", json!(35)), ("compare", json!(10))],
    ));
    the_same(&experiment(
        "circuits/iris",
        &[("epochs", json!(1)), ("batch_size", json!(40)), ("schedule", json!("constant"))],
    ));
}

/// What one process has begun of an epoch any number of them brings to its end.
#[test]
fn a_team_goes_on_from_within_an_epoch() {
    let noise = json!({ "state_noise": { "one_over_f": { "std": 0.05, "shortest": 1, "longest": 1000, "continuous": true } } });
    let fields =
        [("data", clouds(130)), ("imperfections", noise), ("epochs", json!(1)), ("batch_size", json!(50))];
    let loaded = experiment("digits", &fields);
    let (Experiment::Train(train), Site::Neurons(setup)) = (&loaded.experiment, loaded.site()) else {
        panic!("not a training of neurons")
    };
    let data = problem::data(&setup, &train.data, train.seed, &Options::default()).unwrap();
    let mut trainer = train.clone().into_trainer::<f32>(&setup).unwrap();
    let stop = |trainer: &Trainer<'_, f32>| trainer.part.batches == 2;
    let stopped = trainer.epoch(&data.train, &data.test, |trainer, _| match stop(trainer) {
        true => Err(Error::Stopped),
        false => Ok(()),
    });
    assert!(stopped.is_err() && stop(&trainer));
    let checkpoint = trainer.snapshot().arrays;
    let go_on = |checkpoint: &Tensors| {
        let mut memory = Memory::default();
        memory.write("checkpoint.safetensors", Content::Tensors(checkpoint.clone())).unwrap();
        outcome_in(memory, &loaded, &Options { resume: true, ..Options::default() })
    };
    let whole = outcome(&loaded).unwrap();
    for (ranks, threads) in TEAMS {
        for found in together(ranks, threads, || go_on(&checkpoint)) {
            assert!(found.unwrap() == whole, "{ranks} ranks");
        }
    }
    // The epoch is gone on with, not done again.
    let part = Part { loss: 2.0 * trainer.part.loss, ..trainer.part };
    let mut other = checkpoint.clone();
    other.metadata.insert("part".into(), json!(part).to_string());
    assert!(go_on(&other).unwrap().0 != whole.0);
}

/// An error of one chunk is that of all, and the first one; so are the halvings that avoid it.
#[test]
fn divergences_are_those_of_one_process() {
    let fields = |halvings: u32| {
        [
            ("data", clouds(60)),
            ("estimator.oscillation.amplitude", json!(40.0)),
            ("epochs", json!(1)),
            ("batch_size", json!(60)),
            ("halvings", json!(halvings)),
        ]
    };
    let loaded = experiment("digits", &fields(0));
    let alone = outcome(&loaded).unwrap_err();
    assert!(alone.contains("the simulation diverged in epoch 1, batch 1"), "{alone}");
    for found in TEAMS.iter().flat_map(|(ranks, threads)| together(*ranks, *threads, || outcome(&loaded))) {
        assert_eq!(found.unwrap_err(), alone);
    }
    let (records, _) = the_same(&experiment("digits", &fields(20)));
    assert!(records[0]["halvings"].as_u64().unwrap() > 0, "{}", records[0]);
}

#[test]
fn the_runs_of_a_sweep_go_to_whoever_is_free() {
    let base = json!({ "kind": "train", "model": "../models/toy.json", "estimator": "adjoint", "epochs": 1, "batch_size": 20,
        "data": { "toy_gaussian": { "inputs": 6, "classes": 4, "samples": 40 } }, "compare": 0,
        "optimiser": { "sgd": { "learning_rate": 0.1 } } });
    let set = |rates: Value| {
        let model = serde_json::from_str::<Value>(include_str!("../../models/toy.json")).unwrap();
        let mut base = base.clone();
        base["model"] = model;
        let sweep = json!({ "kind": "sweep", "experiment": base, "seeds": 5,
            "vary": { "optimiser.sgd.learning_rate": rates }, "measure": ["test_accuracy", "test_loss"] });
        load_given("a sweep", Some(sweep), &[], BTreeMap::new()).unwrap()
    };
    let sweep = set(json!([0.01, 0.1, 1.0]));
    let alone = outcome(&sweep).unwrap();
    assert_eq!(alone.0.len(), 15);
    for (ranks, threads) in TEAMS {
        let found = together(ranks, threads, || outcome(&sweep));
        assert_eq!(found[0].as_ref().unwrap(), &alone, "{ranks}");
        assert!(found[1..].iter().all(|other| other.as_ref().unwrap().0.is_empty()));
    }
}

#[test]
fn what_falls_to_ranks_is_all_and_in_order() {
    for ranks in 1..5 {
        for count in 0..9 {
            let shares = together(ranks, 1, || share(count));
            assert!(count == 0 || !shares[0].is_empty());
            assert_eq!(shares.into_iter().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            let gathered = together(ranks, 1, || gather(share(count).map(Ok).collect()).unwrap());
            assert!(gathered.iter().all(|all| *all == (0..count).collect::<Vec<_>>()));
        }
    }
}

/// Numbers of which every other order of adding has another rounding.
#[test]
fn sums_round_as_in_one_process() {
    let part = |chunk: usize| -> Vec<f32> {
        (0..70_000).map(|i| ((i * 7 + chunk * 13) as f32).sin() * 10_f32.powi((chunk % 5) as i32)).collect()
    };
    let parts: Vec<Vec<f32>> = (0..11).map(part).collect();
    let mut alone = parts[0].clone();
    parts[1..].iter().for_each(|part| alone.iter_mut().zip(part).for_each(|(a, b)| *a += *b));
    for ranks in 1..5 {
        let sums = together(ranks, 1, || {
            let team = current().unwrap();
            let own: Vec<&[f32]> = parts[team.share(parts.len())].iter().map(Vec::as_slice).collect();
            let mut sum = vec![0.0_f32; 70_000];
            team.fold(&own, &mut sum);
            team.spread_last(&mut sum);
            sum
        });
        assert!(sums.iter().all(|sum| *sum == alone), "{ranks}");
    }
}

/// Whoever leaves with an error takes all with it, whatever they are at; those that leave in peace wait for each other.
#[test]
fn an_error_of_one_is_an_error_of_all() {
    let work = |team: &Team| -> Result<usize> {
        if team.rank() == 2 {
            return Err(Error::input("data", "", "found nothing", "a file"));
        }
        for _ in 0..3 {
            team.exchange(Ok(Vec::new()))?;
        }
        Ok(team.rank())
    };
    let left = together(4, 1, || {
        let team = current().unwrap();
        team.leave(work(&team)).map_err(|e| (e.to_string(), e.exit_code()))
    });
    let told = "rank 2 of 4: data: found nothing; a file".to_owned();
    assert_eq!(left, vec![Err((told, 2)); 4]);
    let peace = together(3, 1, || current().unwrap().leave(Ok(5)).map_err(|e| e.to_string()));
    assert_eq!(peace, vec![Ok(5); 3]);
    let drifted = together(3, 1, || {
        let rank = current().unwrap().rank() as u8;
        check_same(|| vec![rank / 2], || "after epoch 1".into()).map_err(|e| e.to_string())
    });
    assert!(
        drifted[0].as_ref().unwrap_err().contains("rank 2 has other parameters than rank 0 after epoch 1")
    );
    assert!(drifted.iter().all(|found| found == &drifted[0]));
}
