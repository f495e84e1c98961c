//! What a program hands over in the place of files, and runs that it watches and ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use holograd::Error;
use holograd::data::{DataSpec, Lookup};
use holograd::experiment::load::{load_given, load_model};
use holograd::experiment::resume::Resumed;
use holograd::experiment::sweep::Task;
use holograd::experiment::{self, Content, Experiment, Memory, Options, RunFolder};
use holograd::files::read_tensors;
use holograd::host::watcher::{Watcher, within};
use serde_json::{Value, json};

use crate::common;

fn none() -> BTreeMap<String, holograd::files::Tensors> {
    BTreeMap::new()
}

fn learnt(memory: &Memory) -> Vec<u8> {
    match memory.content("parameters.safetensors") {
        Some(Content::Tensors(tensors)) => tensors.to_bytes(),
        other => panic!("{other:?}"),
    }
}

fn quick() -> Vec<(String, Value)> {
    let fields = json!({ "epochs": 2, "compare": 0, "data": { "digits": { "test_fraction": 0.9 } } });
    fields.as_object().unwrap().clone().into_iter().collect()
}

#[test]
fn fields_and_documents_say_what_the_command_line_says() {
    let overrides = ["epochs=2", "compare=0", "data.digits.test_fraction=0.9"].map(str::to_owned);
    let shipped = experiment::load("digits", &overrides).unwrap();
    let given = load_given("digits", None, &quick(), none()).unwrap();
    assert_eq!((&given.experiment, &given.name), (&shipped.experiment, &shipped.name));
    let document = serde_json::to_value(&shipped.experiment).unwrap();
    let again = load_given("the experiment", Some(document), &[], none()).unwrap();
    assert_eq!((&again.experiment, again.name.as_str()), (&shipped.experiment, "train"));
    let refused =
        |fields: &[(String, Value)]| load_given("digits", None, fields, none()).unwrap_err().to_string();
    assert!(refused(&[("epochs".into(), json!(0))]).contains("at `epochs`: found 0; 1 to 1000000"));
    assert!(refused(&[("a..b".into(), json!(0))]).starts_with("the override `a..b`: found an empty part"));
    let told = load_model("tow", None).unwrap_err().to_string();
    assert!(told.contains("did you mean `toy`?"), "{told}");
    let (model, network) = load_model("toy", None).unwrap();
    let (_, same) = load_model("mine", Some(serde_json::to_value(&model).unwrap())).unwrap();
    assert_eq!(network.shapes(), same.shapes());
}

#[test]
fn arrays_stand_for_files_in_memory_and_in_folders() {
    let file = |name: &str| common::path(&format!("experiments/{name}"));
    let arrays = ["toy.safetensors", "toy_batch.safetensors"]
        .map(|name| (format!("my-{name}"), read_tensors(file(name)).unwrap()));
    let fields = [("parameters", "my-toy.safetensors"), ("batch", "my-toy_batch.safetensors")];
    let fields: Vec<(String, Value)> = fields.map(|(name, path)| (name.to_owned(), json!(path))).into();
    let loaded = load_given("gradient", None, &fields, arrays.into()).unwrap();
    let shipped = experiment::load("gradient", &[]).unwrap();
    let [ours, theirs] = [&loaded, &shipped].map(|loaded| {
        let mut memory = Memory::default();
        loaded.run(&mut memory, &Options::default()).unwrap();
        memory
    });
    let gradients = |memory: &Memory| match memory.content("gradients.safetensors") {
        Some(Content::Tensors(tensors)) => tensors.to_bytes(),
        other => panic!("{other:?}"),
    };
    assert!(gradients(&ours) == gradients(&theirs));
    // The folder stands for itself, and holds what memory holds.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut kept = RunFolder::create(&path, vec!["test".into()], &loaded).unwrap();
    loaded.run(&mut kept, &Options::default()).unwrap();
    kept.finish().unwrap();
    for (name, contents) in ours.files(&loaded).unwrap() {
        let there = std::fs::read(path.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !["summary.json", "comparison.json"].contains(&name.as_str()) {
            assert!(there == contents, "{name}");
        }
    }
    let mut again = Memory::default();
    let from_folder = experiment::load(path.join("experiment.json").to_str().unwrap(), &[]).unwrap();
    from_folder.run(&mut again, &Options::default()).unwrap();
    assert!(gradients(&again) == gradients(&ours));
}

#[test]
fn a_run_that_is_ended_goes_on_to_the_same_bits() {
    let fields = [quick(), vec![("epochs".to_owned(), json!(12))]].concat();
    let loaded = load_given("digits", None, &fields, none()).unwrap();
    let mut whole = Memory::default();
    loaded.run(&mut whole, &Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let watcher = Arc::new(Watcher::default());
    let begun = std::thread::scope(|scope| {
        let work = || {
            let mut kept = RunFolder::create(&path, vec!["test".into()], &loaded).unwrap();
            within(Some(Arc::clone(&watcher)), || loaded.run(&mut kept, &Options::default())).map(drop)
        };
        let begun = scope.spawn(work);
        // A thousand steps an epoch.
        while watcher.standing().position < 3000 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        watcher.stop();
        begun.join().unwrap()
    });
    assert!(matches!(begun, Err(Error::Stopped)), "{begun:?}");
    assert_eq!(watcher.standing().total, 12_000);
    assert!(watcher.standing().message.starts_with("epoch "));
    let resumed = Resumed::new(&path, |_| Ok(loaded.clone())).unwrap();
    let mut kept = resumed.folder(&path, vec!["test".into()]).unwrap();
    loaded.run(&mut kept, &Options { resume: true, ..Options::default() }).unwrap();
    kept.finish().unwrap();
    assert!(std::fs::read(path.join("parameters.safetensors")).unwrap() == learnt(&whole));
    assert!(Resumed::new(&path, |_| Ok(loaded)).unwrap().is_complete());
}

#[test]
fn samples_that_are_handed_over_are_learnt_from() {
    let spec: DataSpec = serde_json::from_value(json!({ "digits": { "test_fraction": 0.9 } })).unwrap();
    let split = Arc::new(spec.load(0, &Lookup::default()).unwrap());
    let given = serde_json::to_value(DataSpec::given(&split, Some([8, 8, 1]))).unwrap();
    let fields = [quick(), vec![("data".to_owned(), given)]].concat();
    let [own, shipped] = [(fields, Some(split)), (quick(), None)].map(|(fields, given)| {
        let mut memory = Memory::default();
        let loaded = load_given("digits", None, &fields, none()).unwrap();
        loaded.run(&mut memory, &Options { given, ..Options::default() }).unwrap();
        memory
    });
    assert!(learnt(&own) == learnt(&shipped));
}

#[test]
fn a_sweep_is_put_together_from_its_points() {
    let base = load_given("digits", None, &[quick(), vec![("epochs".to_owned(), json!(1))]].concat(), none())
        .unwrap();
    let document = json!({ "kind": "sweep", "experiment": base.experiment, "vary": { "batch_size": [20, 40] }, "seeds": 2 });
    let loaded = load_given("the sweep", Some(document), &[], none()).unwrap();
    let Experiment::Sweep(sweep) = &loaded.experiment else { panic!("{:?}", loaded.experiment.name()) };
    let mut whole = Memory::default();
    loaded.run(&mut whole, &Options::default()).unwrap();
    let tasks = sweep.tasks(&loaded.origin).unwrap();
    // As text, as it goes from machine to machine.
    let there = |task: Task| serde_json::from_str::<Task>(&serde_json::to_string(&task).unwrap()).unwrap();
    let results: Vec<_> =
        tasks.into_iter().rev().map(|task| there(task).perform(&Options::default()).unwrap()).collect();
    let mut together = Memory::default();
    sweep.collect(&loaded.origin, results.clone(), &mut together).unwrap();
    let points = |memory: &Memory| match memory.content("summary.json") {
        Some(Content::Json(summary)) => summary["points"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(points(&together), points(&whole));
    let refused = sweep.collect(&loaded.origin, results[1..].to_vec(), &mut Memory::default()).unwrap_err();
    assert!(refused.to_string().contains("found no result of task 3"), "{refused}");
}
