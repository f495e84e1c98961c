//! Sweeps: the order of the grid, divergence as a result, and what is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{holograd, json, metrics, run, succeed, text};
use holograd::bootstrap::interval;
use holograd::experiment::sweep::record::SweepPoint;
use indexmap::IndexMap;
use serde_json::{Value, json};

/// A folder with a small training experiment in a subfolder, and a sweep of it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new(sweep: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("base");
        std::fs::create_dir(&inner).unwrap();
        let model = json!({ "name": "tiny", "input": 4, "layers": [{ "name": "h", "size": 5 }],
            "activation": "tanh", "connections": [{ "from": "input", "to": "h" }],
            "readout": { "from": "h", "classes": 3 } });
        let train = json!({ "kind": "train", "model": "tiny.json",
            "data": { "toy_gaussian": { "inputs": 4, "classes": 3, "samples": 60 } },
            "estimator": { "oscillation": { "amplitude": 0.1, "period": 40, "integrator": { "euler": { "step": 0.5 } } } },
            "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 20, "compare": 10 });
        std::fs::write(inner.join("tiny.json"), model.to_string()).unwrap();
        std::fs::write(inner.join("train.json"), train.to_string()).unwrap();
        let place = Self(folder);
        std::fs::write(place.sweep(), sweep.to_string()).unwrap();
        place
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    fn sweep(&self) -> PathBuf {
        self.0.path().join("sweep.json")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, out: &str) -> Command {
        let mut command = holograd(self.0.path(), &["run", "sweep.json", "--out", out, "--threads", "2"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs the sweep to its end and returns its lines.
    pub fn run(&self, out: &str) -> Vec<Value> {
        assert!(self.command(out).status().unwrap().success());
        metrics(&self.out(out))
    }

    /// What `check` says of the sweep, which must be refused.
    fn refusal(&self) -> String {
        let output = run(self.0.path(), &["check", "sweep.json"]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    }
}

/// Lines without what the clock says.
pub fn timeless(mut runs: Vec<Value>) -> Vec<Value> {
    runs.iter_mut().for_each(|run| drop(run.as_object_mut().unwrap().remove("seconds")));
    runs
}

pub fn sweep() -> Value {
    json!({ "kind": "sweep", "experiment": "base/train.json",
        "vary": { "optimiser.sgd.learning_rate": [0.05, 0.2] } })
}

/// An entry that is named as a value is no field: one level sets several fields at once.
#[test]
fn an_entry_stands_in_for_values_and_for_parts_of_paths() {
    let mut sweep = sweep();
    sweep["vary"] = json!({ "level": [0.1, 0.2] });
    sweep["set"] = json!({ "optimiser": { "sgd": { "learning_rate": "{level}" } },
        "imperfections.fabrication": { "gain": { "std": "{level}" }, "weight": { "std": "{level}" } } });
    let mut apart = sweep.clone();
    apart["set"] = json!({ "optimiser.sgd.learning_rate": 0.2,
        "imperfections.fabrication": { "gain": { "std": 0.2 }, "weight": { "std": 0.2 } } });
    apart["vary"] = json!({ "batch_size": [20] });
    let together = Place::new(&sweep).run("a");
    assert_eq!(together.len(), 2);
    assert_eq!(together[1]["values"], json!({ "level": 0.2 }));
    assert_eq!(together[1]["measures"], Place::new(&apart).run("a")[0]["measures"]);
    assert_ne!(together[0]["measures"], together[1]["measures"]);

    sweep["vary"] = json!({ "level": [0.1, -0.2] });
    let refusal = Place::new(&sweep).refusal();
    assert!(refusal.contains("level = -0.2"), "{refusal}");
}

/// More threads than runs are shared among them, and change no number.
#[test]
fn threads_change_no_number() {
    let place = Place::new(&sweep());
    let run = |threads: &str| {
        succeed(place.0.path(), &["run", "sweep.json", "--out", threads, "--threads", threads]);
        let mut runs = timeless(metrics(&place.out(threads)));
        // Lines come as runs are done.
        runs.sort_by_key(|run| run["point"].as_u64());
        runs
    };
    let alone = run("1");
    assert_eq!(alone.len(), 2);
    assert_eq!(alone, run("2"));
    assert_eq!(alone, run("5"));
}

/// The last axis is the fastest, then the seed, then the device; a point without imperfections needs one device only.
#[test]
fn runs_are_in_the_order_of_the_grid() {
    let mut sweep = sweep();
    sweep["vary"] = json!({ "kind": ["gain", "weight"], "imperfections.fabrication.{kind}.std": [0.1, 0.2] });
    sweep["cases"] = json!({ "device": {}, "ideal": { "imperfections": "ideal" } });
    sweep["cases"]["ideal"]["batch_size"] = json!(30);
    sweep["seeds"] = json!([4, 2]);
    sweep["device_seeds"] = json!(2);
    sweep["measure"] = json!(["test_accuracy", "cosine"]);
    let runs = Place::new(&sweep).run("a");
    let told: Vec<String> = runs
        .iter()
        .map(|run| {
            let v = &run["values"];
            format!(
                "{} {} {} {} {}",
                v["case"].as_str().unwrap(),
                v["kind"].as_str().unwrap(),
                v["imperfections.fabrication.{kind}.std"],
                run["seed"],
                run["device_seed"]
            )
        })
        .collect();
    let mut expected = Vec::new();
    for case in ["device", "ideal"] {
        for kind in ["gain", "weight"] {
            for std in [0.1, 0.2] {
                for seed in [4, 2] {
                    for device in [0, 1] {
                        expected.push(format!("{case} {kind} {std} {seed} {device}"));
                    }
                }
            }
        }
    }
    assert_eq!(told, expected);
    // The field is set: more mismatch, another gradient.
    assert_ne!(runs[0]["measures"]["cosine"], runs[4]["measures"]["cosine"]);
    // And a device is another one.
    assert_ne!(runs[0]["measures"]["cosine"], runs[1]["measures"]["cosine"]);
}

#[test]
fn a_substrate_without_imperfections_takes_one_device() {
    let mut sweep = sweep();
    sweep["device_seeds"] = json!(5);
    let place = Place::new(&sweep);
    assert_eq!(place.run("a").len(), 2);
    let summary = json(place.out("a").join("summary.json"));
    assert_eq!(summary["points"][1]["values"]["optimiser.sgd.learning_rate"], 0.2);
    let run = metrics(&place.out("a"))[1]["measures"]["test_accuracy"].clone();
    let interval = &summary["points"][1]["measures"]["test_accuracy"];
    assert_eq!([&interval["mean"], &interval["low"], &interval["high"]], [&run; 3]);
    for file in ["sweep.svg", "sweep.png", "manifest.json", "experiment.json"] {
        assert!(place.out("a").join(file).exists(), "{file}");
    }
}

/// Models that points set are written out: the run folder stands for itself.
#[test]
fn models_of_cases_are_carried_along() {
    let mut sweep = sweep();
    sweep["cases"] = json!({ "tiny": {}, "wide": { "model": "wide.json" } });
    sweep["vary"] = json!({ "model_of_all": ["base/tiny.json"] });
    sweep["set"] = json!({ "model": "{model_of_all}" });
    let place = Place::new(&sweep);
    let mut wide = json(place.out("base/tiny.json"));
    wide["name"] = json!("wide");
    wide["layers"][0]["size"] = json!(9);
    std::fs::write(place.out("wide.json"), wide.to_string()).unwrap();
    let runs = place.run("a");
    assert_ne!(runs[0]["measures"], runs[1]["measures"]);
    std::fs::remove_file(place.out("wide.json")).unwrap();
    std::fs::remove_dir_all(place.out("base")).unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    std::fs::copy(place.out("a").join("experiment.json"), place.sweep()).unwrap();
    assert_eq!(timeless(place.run("again")), timeless(runs));
}

/// A data folder is found from wherever the experiment is run again.
#[test]
fn data_folders_are_relative_to_the_file_that_names_them() {
    let mut sweep = sweep();
    sweep["vary"] = json!({ "batch_size": [20] });
    sweep["cases"] = json!({ "base": {}, "own": { "data": { "mnist": { "folder": "base/slice" } } } });
    let place = Place::new(&sweep);
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mnist");
    std::fs::create_dir(place.out("base/slice")).unwrap();
    for entry in std::fs::read_dir(slice).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, place.out("base/slice").join(path.file_name().unwrap())).unwrap();
    }
    let (model, train) = (place.out("base/tiny.json"), place.out("base/train.json"));
    let (mut tiny, mut spec) = (json(&model), json(&train));
    tiny["input"] = json!(784);
    tiny["readout"]["classes"] = json!(10);
    spec["data"] = json!({ "mnist": { "folder": "slice" } });
    std::fs::write(model, tiny.to_string()).unwrap();
    std::fs::write(&train, spec.to_string()).unwrap();

    let runs = place.run("a");
    assert_eq!((runs.len(), &runs[0]["measures"]), (2, &runs[1]["measures"]));
    let begun = std::fs::read_to_string(place.out("a/metrics.jsonl")).unwrap();
    std::fs::write(place.out("a/metrics.jsonl"), begun.split_inclusive('\n').next().unwrap()).unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    assert_eq!(timeless(metrics(&place.out("a"))), timeless(runs));

    let runs_with = |arguments: &[&str]| succeed(place.0.path(), &[&["run"], arguments].concat());
    runs_with(&["base/train.json", "--out", "deep/er/one"]);
    runs_with(&["base/train.json", "--out", "deep/er/one", "--resume", "--set", "epochs=2"]);
    runs_with(&["deep/er/one/experiment.json", "--out", "again"]);
    assert_eq!(timeless(metrics(&place.out("deep/er/one"))), timeless(metrics(&place.out("again"))));
}

/// What a careful reader would object to is told once for each point, and how wide the spread is is not overstated.
#[test]
fn a_sweep_tells_warnings_and_calls_a_few_runs_a_range() {
    let mut sweep = sweep();
    sweep["cases"] = json!({ "quiet": {}, "loud": { "imperfections.state_noise.white.std": 0.8 } });
    sweep["vary"] = json!({ "batch_size": [20] });
    let told = |sweep: &Value| {
        let place = Place::new(sweep);
        let output = place.command("a").stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        let told = text(&output.stdout);
        (told, metrics(&place.out("a")))
    };
    sweep["seeds"] = json!(3);
    let (three, runs) = told(&sweep);
    let warning = runs[3]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("more noise than signal"), "{warning}");
    let line = format!("warning: case = loud, batch_size = 20: 3 of 3 runs warn: {warning}\n");
    assert!(three.contains(&line), "{line} is missing from {three}");
    assert_eq!(three.matches("more noise than signal").count(), 1, "{three}");
    // A table: a heading, and under it a line a point, with what it is called and what it is in per cent.
    let lines: Vec<&str> = three.lines().collect();
    let heading =
        lines.iter().position(|line| line.starts_with("case   batch size  test accuracy (%)")).unwrap();
    assert!(
        lines[heading + 1].starts_with("quiet  20 ") && lines[heading + 2].starts_with("loud   20 "),
        "{three}"
    );
    assert!(lines[heading + 1].contains(" to ") && lines[heading + 1].ends_with("  3"), "{three}");
    assert!(three.contains("lowest to highest") && !three.contains("interval"), "{three}");
    sweep["seeds"] = json!(4);
    let (four, _) = told(&sweep);
    assert!(four.contains("(95 % interval of the mean)") && !four.contains("lowest"), "{four}");
    sweep["seeds"] = json!(1);
    let (one, runs) = told(&sweep);
    let accuracy = 100.0 * runs[0]["measures"]["test_accuracy"].as_f64().unwrap();
    let line = one.lines().find(|line| line.starts_with("quiet  20 ")).unwrap();
    let told: f64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((told - accuracy).abs() < 0.006 && !one.contains("mean over"), "{accuracy}: {one}");
}

/// With three runs or fewer the percentiles of the bootstrap are the lowest and the highest run; with four they are not.
#[test]
fn the_spread_of_three_runs_is_their_range() {
    let values = [0.3, 0.1, 0.9, 0.4];
    for count in 1..=4 {
        let spread = interval(&[values[..count].iter().copied().map(Some).collect()], 1).unwrap();
        let range = values[..count].iter().fold((1.0_f64, 0.0_f64), |r, v| (r.0.min(*v), r.1.max(*v)));
        let point = |runs, failures| SweepPoint {
            values: IndexMap::new(),
            runs,
            failures,
            reached: None,
            measures: IndexMap::new(),
        };
        let same = (spread.low - range.0).abs() < 1e-12 && (spread.high - range.1).abs() < 1e-12;
        assert_eq!(point(count, 0).spread_name(), if same { "range" } else { "95 % interval" }, "{spread:?}");
        assert_eq!(point(count + 2, 2).spread_name(), point(count, 0).spread_name());
    }
}

/// Overrides reach below the experiment of a sweep, and one that could not count is refused.
#[test]
fn fields_below_the_experiment_are_overridden_or_refused() {
    let mut sweep = sweep();
    sweep["set"] = json!({ "epochs": 1 });
    sweep["cases"] = json!({ "a": { "compare": 5, "halvings": 1 }, "b": { "compare": 6 } });
    sweep["seeds"] = json!(2);
    let place = Place::new(&sweep);
    let run = |out: &str, sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        place.command(out).args(sets).stderr(Stdio::piped()).output().unwrap()
    };
    let sets = [
        "experiment.model.layers.0.size=6",
        "experiment.imperfections=cmos",
        "experiment.imperfections.device_seed=3",
        // The second case leaves it alone.
        "experiment.halvings=2",
    ];
    let output = run("a", &sets);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let experiment = &json(place.out("a").join("experiment.json"))["experiment"];
    assert_eq!(experiment["model"]["layers"][0]["size"], 6);
    assert_eq!(
        (&experiment["imperfections"]["preset"], &metrics(&place.out("a"))[0]["device_seed"]),
        (&json!("cmos"), &json!(3))
    );
    for (set, field) in [
        ("experiment.epochs=3", "set.epochs"),
        ("experiment.compare=3", "cases.a.compare"),
        ("experiment.optimiser.sgd.learning_rate=3", "vary.optimiser.sgd.learning_rate"),
        ("experiment.seed=3", "seeds"),
    ] {
        let output = run("b", &[set]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{set}: {message}");
        let told = format!("--set {set}: `{field}` decides; use --set {field}=");
        assert!(message.contains(&told), "{told}: {message}");
    }
}

#[test]
fn a_run_that_diverges_is_a_result() {
    let mut sweep = sweep();
    sweep["set"] = json!({ "model.layers.0.activation": "identity" });
    sweep["vary"] = json!({ "optimiser.sgd.learning_rate": [0.1, 1e300] });
    let runs = Place::new(&sweep).run("a");
    assert_eq!(runs[0]["failure"], Value::Null);
    assert!(runs[0]["measures"]["test_accuracy"].is_f64());
    assert!(runs[1]["failure"].as_str().unwrap().contains("diverged"), "{}", runs[1]);
    assert_eq!(runs[1]["measures"]["test_accuracy"], Value::Null);
}

/// Learning on an ideal substrate does not know the device; what is measured on it does.
#[test]
fn transfer_learns_without_the_device() {
    let mut sweep = sweep();
    sweep["set"] = json!({ "imperfections.fabrication.weight.std": 0.8 });
    sweep["vary"] = json!({ "transfer": [false, true] });
    sweep["device_seeds"] = json!(3);
    sweep["measure"] = json!(["test_loss", "train_loss", "digital_test_accuracy"]);
    let runs = Place::new(&sweep).run("a");
    let of = |name: &str| runs.iter().map(|run| run["measures"][name].clone()).collect::<Vec<_>>();
    let (device, learning, digital) = (of("test_loss"), of("train_loss"), of("digital_test_accuracy"));
    assert!(digital[..3].iter().all(Value::is_null));
    assert!(digital[3].is_f64() && digital[4..].iter().all(|d| *d == digital[3]));
    assert!(learning[4..].iter().all(|l| *l == learning[3]) && learning[0] != learning[1]);
    assert!(device[3] != device[4] && device[4] != device[5]);
}

#[test]
fn what_is_not_legal_is_refused_before_any_work() {
    let cases = [
        (
            "/vary",
            json!({ "optimiser.sgd.learning_rate": [0.1, -1] }),
            vec!["point 2", "learning_rate", "-1"],
        ),
        ("/vary", json!({ "optimiser.sgd.lerning_rate": [0.1] }), vec!["point 1", "lerning_rate"]),
        ("/vary", json!({ "optimiser.sgd.learning_rate": [] }), vec!["vary.optimiser", "at least one"]),
        ("/vary", json!({ "optimiser.sgd.learning_rate": [1, 1] }), vec!["twice"]),
        (
            "/vary",
            json!({ "epochs": { "from": 0, "to": 1, "points": 3, "scale": "log" } }),
            vec!["vary.epochs", "positive"],
        ),
        ("/vary", json!({ "seed": [1, 2] }), vec!["vary.seed", "use `seeds`"]),
        ("/set", json!({ "seed": 1 }), vec!["`set.seed`", "use `seeds`"]),
        ("/cases", json!({ "a": { "seed": 1 } }), vec!["`cases.a.seed`", "use `seeds`"]),
        (
            "/cases",
            json!({ "a": { "imperfections.device_seed": 1 } }),
            vec!["`cases.a.imperfections.device_seed`", "use `device_seeds`"],
        ),
        ("/set", json!({ "imperfections": { "device_seed": 1 } }), vec!["use `device_seeds`"]),
        ("/set", json!({ "parameters": "a" }), vec!["`set.parameters`", "use `experiment.parameters`"]),
        ("/set", json!({ "learning_rates": { "nope": 1 } }), vec!["learning_rates.nope"]),
        ("/set", json!({ "data": "digits" }), vec!["`data`", "64 inputs", "4 inputs"]),
        ("/cases", json!({ "a": { "model": "absent.json" } }), vec!["absent.json", "`model`"]),
        ("/vary", json!({}), vec!["vary", "found none"]),
        ("/measure", json!(["test_acuracy"]), vec!["measure[0]", "test_accuracy, test_loss"]),
        ("/x", json!("epochs"), vec!["`x`", "epochs", "optimiser.sgd.learning_rate"]),
        ("/draw", json!("heat_map"), vec!["heat map needs"]),
        ("/draw", json!("cost"), vec!["found cost over", "one is rhs_evaluations"]),
        ("/seeds", json!([1, 1]), vec!["seeds", "different"]),
        ("/experiment", json!("base/none.json"), vec!["none.json"]),
        ("/experiment", json!({ "kind": "trace" }), vec!["experiment", "train"]),
        ("/experiment", json!({ "kind": "train", "epoch": 1 }), vec!["experiment", "epoch"]),
    ];
    for (field, value, parts) in cases {
        let mut sweep = sweep();
        sweep[&field[1..]] = value;
        let refusal = Place::new(&sweep).refusal();
        assert!(refusal.contains("sweep.json"), "{field}: {refusal}");
        for part in parts {
            assert!(refusal.contains(part), "{field}: {part} is missing from {refusal}");
        }
    }
}
