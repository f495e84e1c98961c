//! A training that is killed within an epoch.

use super::record::Epoch;
use crate::error::{Error, Result};
use crate::experiment::circuits;
use crate::experiment::epochs::{self, Course};
use crate::experiment::folder::RunFolder;
use crate::experiment::kinds::Experiment;
use crate::experiment::load::load;
use crate::experiment::setup::{Options, Site};
use crate::experiment::sink::Sink;
use crate::learning::Learner;

const EPOCHS: u64 = 3;

/// Ends an epoch before the batch it hears of is kept.
type After<'a, L> = &'a mut dyn FnMut(&L) -> Result<()>;

/// Where a run is killed: after so many updates, before or after the checkpoint that follows.
type Kill = (u64, bool);

/// Learns in a folder, a checkpoint after each batch, until it is killed; returns all that evolves, as bytes.
fn learn<L: Learner>(
    (mut learner, folder): (L, &std::path::Path),
    (kill, kept): Kill,
    epoch: impl Fn(&mut L, After<'_, L>) -> Result<Epoch>,
) -> Result<Vec<u8>> {
    let mut sink = RunFolder::part(folder);
    let mut course: Course<'_> = epochs::go_on(&mut learner, &mut sink)?.at_every_batch();
    course.learn(&mut learner, EPOCHS, |learner, course, _| {
        epoch(learner, &mut |learner: &L| match learner.snapshot().counter("updates")? == kill {
            true if kept => course.keep(learner).and(Err(Error::Stopped)),
            true => Err(Error::Stopped),
            false => course.keep(learner),
        })
    })?;
    Ok(learner.snapshot().arrays.to_bytes())
}

/// The records of a folder, less their seconds.
fn timeless(folder: &std::path::Path) -> Vec<Epoch> {
    let sink = RunFolder::part(folder);
    let epochs: Vec<Epoch> = (&sink as &dyn Sink).records().unwrap();
    assert!(epochs.iter().all(|epoch| epoch.seconds > 0.0));
    epochs.into_iter().map(|epoch| Epoch { seconds: 0.0, ..epoch }).collect()
}

/// A run that is killed after each of its batches in turn must come to what an undisturbed one comes to.
fn survive<L: Learner>(
    batches: u64,
    fresh: impl Fn() -> L,
    epoch: impl Fn(&mut L, After<'_, L>) -> Result<Epoch>,
) -> Vec<Epoch> {
    let (calm, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = (u64::MAX, false);
    let whole = learn((fresh(), calm.path()), never, &epoch).unwrap();
    for (kill, kept) in (1..=batches * EPOCHS).flat_map(|kill| [(kill, false), (kill, true)]) {
        // The checkpoint is that of all updates, or of all but the last one.
        let at = if kept { kill } else { kill - 1 };
        assert!(matches!(learn((fresh(), killed.path()), (kill, kept), &epoch), Err(Error::Stopped)));
        let mut learner = fresh();
        epochs::go_on(&mut learner, &mut RunFolder::part(killed.path())).map(drop).unwrap();
        let snapshot = learner.snapshot();
        assert_eq!(snapshot.counter("updates").unwrap(), at);
        // An epoch all of whose batches are done has yet to be measured.
        let epochs = if kept { (kill - 1) / batches } else { at / batches };
        assert_eq!(learner.epochs(), epochs);
        assert_eq!(snapshot.part().unwrap().batches as u64, at - epochs * batches);
    }
    assert!(learn((fresh(), killed.path()), never, &epoch).unwrap() == whole);
    let records = timeless(calm.path());
    assert_eq!(timeless(killed.path()), records);
    records
}

fn survive_of(experiment: &str, overrides: &[&str], batches: u64) -> Vec<Epoch> {
    let epochs = format!("epochs={EPOCHS}");
    let overrides: Vec<String> = overrides.iter().chain([&&*epochs]).map(|&set| set.to_owned()).collect();
    let loaded = load(experiment, &overrides).unwrap();
    let Experiment::Train(train) = &loaded.experiment else { panic!("not a training") };
    match loaded.site() {
        Site::Neurons(setup) => {
            let data = train.data(&setup, &Options::default()).unwrap();
            let fresh = || train.trainer::<f32>(&setup).unwrap();
            survive(batches, fresh, |trainer, after| {
                trainer.epoch(&data.train, &data.test, |trainer, of| {
                    assert_eq!(of as u64, batches);
                    after(trainer)
                })
            })
        }
        Site::Circuit(setup) => {
            let data = circuits::data(&setup, &train.data, train.seed, &Options::default()).unwrap();
            let fresh = || train.circuit_trainer(&setup).unwrap();
            survive(batches, fresh, |trainer, after| trainer.learn(&data, |trainer| after(trainer)))
        }
    }
}

#[test]
fn dense_networks_with_noise_that_goes_on_survive_a_kill_within_an_epoch() {
    let noise = r#"imperfections.state_noise={"one_over_f":{"std":0.05,"shortest":1,"longest":1000,"continuous":true}}"#;
    let short = ["data.digits.test_fraction=0.95", "batch_size=25", "compare=5"];
    survive_of("digits", &[&short[..], &["estimator.oscillation.period=30", noise]].concat(), 4);
}

#[test]
fn convolutions_that_are_kept_fast_survive_a_kill_within_an_epoch() {
    let momentum = r#"optimiser={"sgd":{"learning_rate":0.02,"momentum":0.9}}"#;
    let dropped = r#"unsettled={"residual":1e-3}"#;
    survive_of(
        "conv_digits",
        &["data.digits.test_fraction=0.95", momentum, dropped, "batch_size=40", "compare=5"],
        3,
    );
}

#[test]
fn circuits_survive_a_kill_within_an_epoch() {
    survive_of("circuits/iris", &["batch_size=50", "compare=2"], 3);
}

/// A checkpoint that no run has written is refused.
#[test]
fn a_part_of_an_epoch_that_cannot_be_is_refused() {
    let loaded = load("digits", &["data.digits.test_fraction=0.95".into(), "compare=0".into()]).unwrap();
    let Experiment::Train(train) = &loaded.experiment else { panic!("not a training") };
    let Site::Neurons(setup) = loaded.site() else { panic!("not of neurons") };
    let data = train.data(&setup, &Options::default()).unwrap();
    let sound = |batches: u64| {
        format!(
            r#"{{"batches":{batches},"loss":1.5,"correct":3,"samples":20,"halvings":0,"dropped":0,"two_points":0,"seconds":0.5}}"#
        )
    };
    let with = |part: &str| {
        let mut trainer = train.trainer::<f32>(&setup)?;
        let mut snapshot = trainer.snapshot();
        snapshot.arrays.metadata.insert("part".into(), part.to_owned());
        trainer.restore(&mut snapshot)?;
        trainer.epoch(&data.train, &data.test, |_, _| Err(Error::Stopped)).map(drop)
    };
    let told = |part: &str| with(part).unwrap_err().to_string();
    assert!(matches!(with(&sound(2)), Err(Error::Stopped)));
    assert!(told(&sound(6)).contains("found 6 batches; at most 5"), "{}", told(&sound(6)));
    for part in [
        &sound(0),
        "{}",
        "2",
        &sound(2).replace("1.5", "-1.5"),
        &sound(2).replace("1.5", "1e999"),
        &sound(2).replace(":3", ":21"),
        &sound(2).replace("20", "1").replace(":3", ":0"),
        &sound(2).replace("20", "18446744073709551615"),
        &sound(2).replace("\"dropped\":0", "\"dropped\":18446744073709551615"),
        &sound(2).replace("\"loss\"", "\"cost\""),
    ] {
        assert!(told(part).contains("a checkpoint written by holograd"), "{part}: {}", told(part));
    }
}
