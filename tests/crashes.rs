//! Whatever a crash, or a power cut, leaves of a run, it is gone on with to the same bytes.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::folders::timeless as timeless_folder;
use crate::program::{self, run, succeed, text};

/// Epochs of the runs.
const EPOCHS: usize = 3;

/// A run folder after each of its epochs, finished there.
struct Course {
    folder: tempfile::TempDir,
    /// The arguments but for folder and epochs.
    arguments: Vec<String>,
    /// The field with the epochs.
    epochs: &'static str,
}

impl Course {
    fn new(arguments: &[&str], epochs: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let course = Self { folder, arguments, epochs };
        (1..=EPOCHS).for_each(|count| drop(course.run(&count.to_string(), count, &[])));
        course
    }

    fn run(&self, out: &str, epochs: usize, more: &[&str]) -> String {
        let epochs = format!("{}={epochs}", self.epochs);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        succeed(self.folder.path(), &[&arguments[..], &["--set", &epochs, "--out", out], more].concat())
    }

    /// The folder after `epochs` epochs.
    fn after(&self, epochs: usize) -> std::path::PathBuf {
        self.folder.path().join(epochs.to_string())
    }

    fn resume(&self, out: &Path, more: &[&str]) {
        let resume = ["run", "digits", "--resume", "--out", out.to_str().unwrap()];
        succeed(self.folder.path(), &[&resume[..], more].concat());
    }
}

/// What a crash, or a power cut, may leave of a run of [`EPOCHS`] epochs.
#[derive(Debug, Clone)]
struct Crash {
    /// Epochs of the last durable checkpoint.
    checkpoint: usize,
    /// Whether the line of one more has been written.
    ahead: bool,
    /// How much of the last line is lost, of 1.
    torn: f64,
    /// How many of the files that are written at the end are there.
    finals: usize,
    /// Whether the run had come to its end after the checkpoint's epochs, and is to learn for more now.
    raised: bool,
    /// Whether a file is left half-written, and the lock.
    left: bool,
}

fn crashes() -> impl Strategy<Value = Crash> {
    (
        1..=EPOCHS,
        any::<bool>(),
        prop_oneof![Just(0.0), Just(1.0), 0.0..1.0],
        0..=9_usize,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(checkpoint, ahead, torn, finals, raised, left)| Crash {
            checkpoint,
            ahead: ahead && checkpoint < EPOCHS,
            torn,
            finals,
            raised: raised && checkpoint < EPOCHS,
            left,
        })
}

/// The text without a part of its last line.
fn torn(text: &str, share: f64) -> &str {
    let last = text.trim_end().rfind('\n').map_or(0, |end| end + 1);
    let mut end = text.len() - (share * (text.len() - last) as f64).ceil() as usize;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Writes what a crash leaves of the metrics and the checkpoint of a run; `course` tells the folder of the run after some epochs.
fn crash(crash: &Crash, course: &dyn Fn(usize) -> std::path::PathBuf, out: &Path) {
    fs::create_dir_all(out).unwrap();
    let whole = fs::read_to_string(course(EPOCHS).join("metrics.jsonl")).unwrap();
    let lines = crash.checkpoint + usize::from(crash.ahead);
    let text: String = whole.split_inclusive('\n').take(lines).collect();
    fs::write(out.join("metrics.jsonl"), torn(&text, crash.torn)).unwrap();
    let checkpoint = "checkpoint.safetensors";
    fs::copy(course(crash.checkpoint).join(checkpoint), out.join(checkpoint)).unwrap();
    if crash.left {
        fs::write(out.join(".holograd-left.partial"), "half").unwrap();
    }
}

/// Resumes a run of one folder after a crash; it must end as if there had been none.
fn survive_crash(course: &Course, state: &Crash) {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    crash(state, &|epochs| course.after(epochs), &out);
    if state.left {
        fs::write(out.join(".holograd-lock"), "{}").unwrap();
    }
    // What is written at the end comes in this order; the manifest last.
    let finished = course.after(state.checkpoint);
    let mut finals = vec![
        "trace.npz".into(),
        "trace.units.json".into(),
        "parameters.safetensors".into(),
        "summary.json".into(),
    ];
    let files =
        fs::read_dir(&finished).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    finals.extend(files.filter(|name| name.ends_with(".svg") || name.ends_with(".png")));
    finals.push("manifest.json".into());
    let begun = if state.raised { &finished } else { &course.after(EPOCHS) };
    let complete = if state.raised || state.checkpoint == EPOCHS { state.finals } else { 0 };
    // The trace is written in the first epoch.
    let written = 2 + if complete > 8 { finals.len() - 2 } else { complete.min(finals.len() - 3) };
    for name in &finals[..written] {
        if finished.join(name).exists() {
            fs::copy(finished.join(name), out.join(name)).unwrap();
        }
    }
    fs::copy(begun.join("experiment.json"), out.join("experiment.json")).unwrap();
    let epochs = format!("epochs={EPOCHS}");
    let more: &[&str] = if state.raised { &["--set", &epochs] } else { &[] };
    course.resume(&out, more);
    let (after, calm) = (timeless_folder(&out), timeless_folder(&course.after(EPOCHS)));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&calm), "{state:?}");
    for (a, b) in after.iter().zip(&calm) {
        assert!(a.1 == b.1, "{} differs: {state:?}", a.0);
    }
    course.resume(&out, &[]);
    assert!(succeed(out.parent().unwrap(), &["verify", "out"]).contains("out: "));
}

fn few(cases: u32, test: impl Fn(Crash)) {
    let config =
        ProptestConfig { cases, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&crashes(), |state| {
        test(state);
        Ok(())
    });
    result.unwrap();
}

/// The toy run, compared with the truth after each epoch.
fn tiny<'a>(more: &[&'a str]) -> Vec<&'a str> {
    program::toy(&[&["--set", "compare=4"], more].concat())
}

#[test]
fn after_any_crash_a_training_ends_in_the_same_bytes() {
    let course = Course::new(&tiny(&[]), "epochs");
    few(12, |state| survive_crash(&course, &state));
}

/// Noise, a device whose writing errs, carried states, and learning apart from the device: all of it is resumed.
#[test]
fn after_any_crash_a_noisy_training_ends_in_the_same_bytes() {
    let imperfect = r#"imperfections={"device_seed":3,"state_noise":{"white":{"std":0.05}},"fabrication":{"weight":{"std":0.1}}}"#;
    let more = ["--set", imperfect, "--set", "carry_state=true"];
    let course = Course::new(&tiny(&more), "epochs");
    few(6, |state| survive_crash(&course, &state));
    let device = r#"imperfections={"preset":"pcm","device_seed":3}"#;
    let course = Course::new(&tiny(&["--set", device, "--set", "transfer=true"]), "epochs");
    few(6, |state| survive_crash(&course, &state));
}

#[test]
fn after_any_crash_a_continuous_run_ends_in_the_same_bytes() {
    let small = [
        r#"data={"digits":{"test_fraction":0.97}}"#,
        "presentation=60",
        "compare=0",
        "trace=1",
        "schedule=constant",
    ];
    let sets = small.iter().flat_map(|set| ["--set", set]);
    let course =
        Course::new(&["run", "continuous_plasticity"].into_iter().chain(sets).collect::<Vec<_>>(), "epochs");
    few(6, |state| survive_crash(&course, &state));
}

/// Of the runs of a sweep some are done, some are in the middle and some have not begun.
#[test]
fn after_any_crash_a_sweep_ends_in_the_same_bytes() {
    let train = json!({
        "kind": "train", "model": format!("{}/models/toy.json", env!("CARGO_MANIFEST_DIR")), "data": "toy_gaussian",
        "estimator": "adjoint", "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 20,
    });
    for history in [true, false] {
        let sweep = json!({
            "kind": "sweep", "experiment": train, "vary": { "optimiser.sgd.learning_rate": [0.1, 0.2] },
            "seeds": 2, "history": history, "measure": ["test_accuracy", "cosine"],
        });
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        fs::write(file.path(), sweep.to_string()).unwrap();
        let course = Course::new(&["run", file.path().to_str().unwrap()], "experiment.epochs");
        few(6, |state| survive_crash_of_sweep(&course, &state, history));
    }
}

fn survive_crash_of_sweep(course: &Course, state: &Crash, history: bool) {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let calm = course.after(EPOCHS);
    fs::copy(calm.join("experiment.json"), out.join("experiment.json")).unwrap();
    let table = fs::read_to_string(calm.join("metrics.jsonl")).unwrap();
    let runs: Vec<&str> = table.split_inclusive('\n').collect();
    // They end in any order.
    let done: Vec<usize> = [2, 0, 3, 1].into_iter().take(state.finals % 5).collect();
    let text: String = done.iter().map(|&run| runs[run]).collect();
    let text = torn(&text, state.torn);
    fs::write(out.join("metrics.jsonl"), text).unwrap();
    for (run, line) in runs.iter().enumerate().filter(|_| history) {
        let key = serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned();
        let (from, to) = (calm.join("runs").join(&key), out.join("runs").join(&key));
        if done.contains(&run) {
            program::copy_folder(&from, &to);
        } else if run % 2 == 0 || state.raised {
            crash(state, &|epochs| course.after(epochs).join("runs").join(&key), &to);
        }
    }
    course.resume(&out, &[]);
    let (after, calm) = (timeless_folder(&out), timeless_folder(&calm));
    for (a, b) in after.iter().zip(&calm) {
        assert!(a == b, "{} and {} differ: {state:?}", a.0, b.0);
    }
    assert_eq!(after.len(), calm.len());
    assert!(succeed(&out, &["run", "digits", "--resume", "--out", "."]).contains("nothing is left to do"));
}

/// More lines than one are lost by no crash: the message says so, and nothing is lost by the attempt.
#[test]
fn a_checkpoint_far_ahead_of_its_metrics_is_refused() {
    let course = Course::new(&tiny(&[]), "epochs");
    let out = course.after(EPOCHS);
    fs::write(out.join("metrics.jsonl"), "").unwrap();
    let before = fs::read(out.join("checkpoint.safetensors")).unwrap();
    let output = run(course.folder.path(), &["run", "digits", "--resume", "--out", &EPOCHS.to_string()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("metrics.jsonl: found 0 complete lines; the checkpoint has seen 3 epochs"),
        "{message}"
    );
    fs::remove_file(out.join("checkpoint.safetensors")).unwrap();
    fs::write(out.join("metrics.jsonl"), "{}\n").unwrap();
    let output = run(course.folder.path(), &["run", "digits", "--resume", "--out", &EPOCHS.to_string()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("found metrics, but no checkpoint.safetensors"), "{message}");
    assert!(before.len() > 100);
}
