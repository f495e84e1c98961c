//! A training run gives the same bits however often it is killed and however many threads it has.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::program::{self, TOY, holograd, metrics, run, succeed, text};
use holograd::numerics::rng::{NoiseKey, Purpose};
use serde_json::{Value, json};

/// A run of about a second: 360 digits, batches that their number does not divide, carried states.
const RUN: [&str; 13] = [
    "run",
    "digits",
    "--set",
    "data.digits.test_fraction=0.8",
    "--set",
    "epochs=5",
    "--set",
    "batch_size=32",
    "--set",
    "compare=10",
    "--set",
    "estimator.oscillation.period=30",
    "--out",
];

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], &[out], more].concat()
}

fn parameters(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("parameters.safetensors")).unwrap()
}

/// The lines of `metrics.jsonl` without what the clock says.
fn timeless(folder: &Path) -> Vec<Value> {
    let mut lines = metrics(folder);
    for line in &mut lines {
        line.as_object_mut().unwrap().shift_remove("seconds").expect("every line has its seconds");
    }
    lines
}

fn assert_same_run(a: &Path, b: &Path) {
    assert_eq!(timeless(a), timeless(b));
    assert!(parameters(a) == parameters(b), "{} and {} differ", a.display(), b.display());
}

/// Kills a run at fractions of the time that it takes, continuing in between; the result must be the undisturbed one's.
fn survive(more: &[&str], fractions: &[&[f64]]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let start = Instant::now();
    succeed(path, &arguments("calm", more));
    let whole = start.elapsed();
    assert_eq!(timeless(&path.join("calm")).len(), 5);
    for (place, kills) in fractions.iter().enumerate() {
        let out = format!("out{place}");
        for (nth, fraction) in kills.iter().enumerate() {
            let mut arguments = arguments(&out, more);
            if path.join(&out).join("experiment.json").exists() {
                arguments.push("--resume");
            } else {
                // Killed before it began.
                fs::remove_dir_all(path.join(&out)).ok();
            }
            let mut command = holograd(path, &arguments);
            let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * fraction));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            // A resumed run may have come to its end in time.
            assert!(status.code().is_none_or(|code| code == 0), "kill {nth} of {kills:?}: {status}");
        }
        let begun = path.join(&out).join("experiment.json").exists();
        fs::write(path.join(&out).join(".holograd-left.partial"), "half").ok();
        if !begun {
            fs::remove_dir_all(path.join(&out)).ok();
        }
        let resume: &[&str] = if begun { &["--resume"] } else { &[] };
        succeed(path, &[&arguments(&out, more)[..], resume].concat());
        assert_same_run(&path.join("calm"), &path.join(&out));
        let left = program::contents(&path.join(&out));
        assert!(left.keys().all(|file| !file.to_string_lossy().contains("partial")), "{left:?}");
    }
}

#[test]
fn a_killed_run_continues_to_the_same_bits() {
    survive(&[], &[&[0.35, 0.5], &[0.62], &[0.81, 0.1, 0.2]]);
}

#[test]
fn a_killed_run_with_held_noise_continues_to_the_same_bits() {
    let noise = r#"imperfections.state_noise={"held":{"std":0.1}}"#;
    survive(&["--set", noise], &[&[0.44, 0.3]]);
}

#[test]
fn a_killed_run_with_white_noise_continues_to_the_same_bits() {
    let noise = r#"imperfections.state_noise={"white":{"std":0.05}}"#;
    survive(&["--set", noise], &[&[0.57, 0.25]]);
}

/// Grey images of 8 × 8 pixels in ten classes, each of another pattern with noise on it.
fn images(folder: &Path) {
    let key = NoiseKey::new(1, Purpose::Data, 0);
    for (part, count) in [("train", 360), ("test", 40)] {
        for number in 0..count {
            let class = number % 10;
            let mut noise = [0.0_f64; 64];
            key.uniforms(number, u64::from(part == "test"), &mut noise);
            let pixels: Vec<u8> = (0..64)
                .map(|at| 100.0 * noise[at as usize] + if (at * (class + 3)) % 7 < 3 { 150.0 } else { 0.0 })
                .map(|value| value as u8)
                .collect();
            let path = folder.join(format!("{part}/{class}/{number}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 8, 8);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
    }
}

/// Changes to images are drawn by epoch and sample: neither a kill, nor the number of threads, draws others.
#[test]
fn a_killed_run_on_augmented_images_continues_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    images(folder.path());
    let data = |augment: Value| {
        format!("data={}", json!({ "images": { "folder": folder.path(), "augment": augment } }))
    };
    let augmented = data(json!({ "flip": true, "crop": 2 }));
    survive(&["--set", &augmented], &[&[0.35, 0.5], &[0.62]]);
    let path = folder.path();
    for (out, data, threads) in
        [("one", &augmented, "1"), ("two", &augmented, "2"), ("plain", &data(Value::Null), "1")]
    {
        let short = ["--set", "epochs=2", "--set", data, "--threads", threads];
        succeed(path, &arguments(out, &short));
    }
    assert_same_run(&path.join("one"), &path.join("two"));
    assert!(parameters(&path.join("one")) != parameters(&path.join("plain")));
}

#[test]
fn a_run_that_was_stopped_before_its_first_checkpoint_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--set", "epochs=1"];
    succeed(folder.path(), &arguments("calm", &short));
    let early = folder.path().join("early");
    fs::create_dir(&early).unwrap();
    fs::copy(folder.path().join("calm/experiment.json"), early.join("experiment.json")).unwrap();
    succeed(folder.path(), &["run", "digits", "--out", "early", "--resume"]);
    assert_same_run(&folder.path().join("calm"), &early);
}

#[test]
fn a_finished_run_continues_for_more_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let constant = ["--set", "schedule=constant"];
    succeed(folder.path(), &arguments("long", &constant));
    succeed(folder.path(), &arguments("short", &["--set", "schedule=constant", "--set", "epochs=3"]));
    succeed(folder.path(), &["run", "digits", "--resume", "--set", "epochs=5", "--out", "short"]);
    assert_same_run(&folder.path().join("long"), &folder.path().join("short"));
    let experiment = |name: &str| fs::read(folder.path().join(name).join("experiment.json")).unwrap();
    assert!(experiment("long") == experiment("short"), "the folder says how long it learnt");
}

/// What one run learnt is where another begins; the second folder keeps both.
#[test]
fn a_run_that_begins_with_learnt_parameters_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &arguments("first", &["--set", "epochs=1"]));
    let learnt = "parameters=first/parameters.safetensors";
    succeed(path, &arguments("second", &["--set", "epochs=1", "--set", learnt]));
    let bytes = |name: &str| fs::read(path.join(name)).unwrap();
    assert!(bytes("first/parameters.safetensors") == bytes("second/given-parameters.safetensors"));
    assert!(bytes("first/parameters.safetensors") != bytes("second/parameters.safetensors"));
    succeed(path, &["run", "second/experiment.json", "--out", "again"]);
    assert!(bytes("second/parameters.safetensors") == bytes("again/parameters.safetensors"));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let noise = r#"imperfections.state_noise={"white":{"std":0.05}}"#;
    for threads in ["1", "2", "4"] {
        succeed(
            folder.path(),
            &arguments(threads, &["--threads", threads, "--set", "epochs=2", "--set", noise]),
        );
        assert_same_run(&folder.path().join("1"), &folder.path().join(threads));
    }
}

/// A file that is given under the name of one that the run writes is kept beside it.
#[test]
fn given_files_do_not_collide_with_what_the_run_writes() {
    let files = program::shipped_files();
    let path = files.path();
    for (index, name) in
        ["gradients.safetensors", "states.safetensors", "checkpoint.safetensors", "summary.json"]
            .into_iter()
            .enumerate()
    {
        fs::copy(path.join("experiments/toy_batch.safetensors"), path.join("experiments").join(name))
            .unwrap();
        let (out, again) = (format!("out{index}"), format!("again{index}"));
        let batch = format!("batch={name}");
        succeed(path, &["run", "experiments/gradient.json", "--set", &batch, "--out", &out]);
        let given = path.join(&out).join(format!("given-{name}"));
        assert!(fs::read(path.join("experiments").join(name)).unwrap() == fs::read(given).unwrap());
        succeed(path, &["run", &format!("{out}/experiment.json"), "--out", &again]);
        let compared = |out: &str| fs::read(path.join(out).join("gradients.safetensors")).unwrap();
        assert!(compared(&out) == compared(&again), "{name}");
    }
}

/// A run of the toy network, with files of a few KiB, under a limit of the size of a file.
#[cfg(target_os = "linux")]
fn limited(folder: &Path, blocks: u64, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = program::on_a_full_disk(folder, blocks, &arguments).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

/// How many blocks the greatest of these files of a run has, and the size of a file that must not go in there.
#[cfg(target_os = "linux")]
fn blocks(folder: &Path, files: &[&str], beyond: &str) -> u64 {
    let size = |file: &str| fs::metadata(folder.join(file)).unwrap().len();
    let blocks = files.iter().map(|file| size(file).div_ceil(512)).max().unwrap();
    assert!(size(beyond) > 512 * blocks, "{beyond}: {} of {blocks} blocks", size(beyond));
    blocks
}

/// A disk that fills up in the middle of a new run costs no completed epoch either.
#[test]
#[cfg(target_os = "linux")]
fn a_new_run_that_meets_a_full_disk_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(
        path,
        &format!("{TOY} --set compare=4 --set epochs=30 --out calm").split(' ').collect::<Vec<_>>(),
    );
    let blocks = blocks(&path.join("calm"), &["experiment.json", "checkpoint.safetensors"], "metrics.jsonl");
    let message = limited(path, blocks, &format!("{TOY} --set compare=4 --set epochs=30 --out out"));
    assert!(message.contains("out/metrics.jsonl: cannot write"), "{message}");
    let done = metrics(&path.join("out")).len();
    assert!((1..30).contains(&done), "{done}");
    succeed(path, &["run", "digits", "--resume", "--out", "out"]);
    assert_same_run(&path.join("calm"), &path.join("out"));
}

/// A run that has come to its end stays when its figures cannot be written.
#[test]
#[cfg(target_os = "linux")]
fn a_complete_run_outlives_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &format!("{TOY} --set compare=4 --set epochs=1 --out calm").split(' ').collect::<Vec<_>>());
    let calm = path.join("calm");
    let results = [
        "experiment.json",
        "checkpoint.safetensors",
        "metrics.jsonl",
        "parameters.safetensors",
        "summary.json",
    ];
    let figures = fs::read_dir(&calm).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let figure = figures.filter(|name| name.ends_with(".png")).min().expect("it draws a figure");
    let message = limited(
        path,
        blocks(&calm, &results, &figure),
        &format!("{TOY} --set compare=4 --set epochs=1 --out out"),
    );
    assert!(message.contains("cannot write"), "{message}");
    assert_same_run(&calm, &path.join("out"));
    assert!(path.join("out/summary.json").exists());
    succeed(path, &["plot", "out"]);
    assert!(path.join("out").join(figure).exists());
}

/// A disk that fills up in the middle of a run costs no completed epoch.
#[test]
#[cfg(target_os = "linux")]
fn a_run_that_meets_a_full_disk_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &arguments("calm", &["--set", "schedule=constant"]));
    // The limit is per file: room for the checkpoint, none for a fourth line after a metrics file has been padded to it.
    let checkpoint = fs::metadata(path.join("calm/checkpoint.safetensors")).unwrap().len();
    let blocks = checkpoint.div_ceil(512);
    succeed(path, &arguments("out", &["--set", "schedule=constant", "--set", "epochs=3"]));
    let lines = fs::read_to_string(path.join("out/metrics.jsonl")).unwrap();
    let padding = blocks * 512 - lines.len() as u64 - 100;
    let padded = lines.replacen('{', &format!("{{{}", " ".repeat(padding as usize)), 1);
    fs::write(path.join("out/metrics.jsonl"), padded).unwrap();
    // The experiment that is in the folder is the one that is continued.
    let resume = "run digits --resume --out out --set epochs=5";
    let message = limited(path, blocks, resume);
    assert!(message.contains("out/metrics.jsonl: cannot write"), "{message}");
    let output = run(path, &resume.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_same_run(&path.join("calm"), &path.join("out"));
}

/// A folder in which a run has come to its end stays as it is, to the byte and the moment.
#[test]
fn resuming_a_finished_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &arguments("out", &["--set", "epochs=2"]));
    let state = |path: &Path| {
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let mut moments: Vec<_> = program::contents(path).into_keys().map(|p| (modified(&p), p)).collect();
        moments.push((modified(path), path.to_owned()));
        (program::contents(path), moments)
    };
    let before = state(&path.join("out"));
    for more in [&[][..], &["--set", "epochs=2"]] {
        let told = succeed(path, &[&["run", "digits", "--resume", "--out", "out"], more].concat());
        assert!(told.contains("nothing is left to do") && told.contains("all of its 2 epochs"), "{told}");
        assert!(state(&path.join("out")) == before);
    }
    // What a killed process has left half-written goes, and nothing else.
    fs::write(path.join("out/.holograd-left.partial"), "half").unwrap();
    succeed(path, &["run", "digits", "--resume", "--out", "out"]);
    assert!(state(&path.join("out")).0 == before.0);
}
