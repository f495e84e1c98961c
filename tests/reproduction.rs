//! The figures of paper 1's toy network as the program makes them, and the page that it writes about them.

use std::fs;
use std::path::Path;

use crate::common;
use crate::program::{json, metrics, run, succeed, text};
use holograd::files::read_npz;
use num_complex::Complex;
use serde_json::Value;

/// The toy network written out in plain arithmetic, from the published file: it shares nothing with the simulator.
struct Toy {
    input: Vec<f64>,
    label: usize,
    weights: [Vec<Vec<f64>>; 3],
    biases: [Vec<f64>; 3],
}

type State = [Vec<Complex<f64>>; 2];

impl Toy {
    fn read() -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/paper1/published/toy_network.json");
        let toy = json(file);
        let list = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
        let layer = |n: usize| &toy["weights"][format!("fc_{n}")];
        Self {
            input: list(&toy["input"]),
            label: toy["label"].as_u64().unwrap() as usize,
            weights: [1, 2, 3].map(|n| layer(n)["w"].as_array().unwrap().iter().map(list).collect()),
            biases: [1, 2, 3].map(|n| list(&layer(n)["b"])),
        }
    }

    /// One step of the paper's map; weights are [from][to].
    fn step(&self, state: &State, beta: Complex<f64>) -> State {
        let [w1, w2, w3] = &self.weights;
        let logistic = |z: Complex<f64>| (-(z * 4.0 - 2.0)).exp().inv_or_nan();
        let first = (0..4).map(|i| {
            let drive: f64 = (0..6).map(|j| w1[j][i] * self.input[j]).sum();
            let back: Complex<f64> = (0..4).map(|j| state[1][j] * w2[i][j]).sum();
            logistic(back + drive + self.biases[0][i])
        });
        let logits =
            (0..4).map(|c| (0..4).map(|j| state[1][j] * w3[j][c]).sum::<Complex<f64>>() + self.biases[2][c]);
        let exponentials: Vec<Complex<f64>> = logits.map(Complex::exp).collect();
        let total: Complex<f64> = exponentials.iter().sum();
        let error: Vec<Complex<f64>> =
            (0..4).map(|c| exponentials[c] / total - if c == self.label { 1.0 } else { 0.0 }).collect();
        let second = (0..4).map(|i| {
            let forward: Complex<f64> = (0..4).map(|j| state[0][j] * w2[j][i]).sum();
            let nudge: Complex<f64> = (0..4).map(|c| error[c] * w3[i][c]).sum();
            logistic(forward + self.biases[1][i] - beta * nudge)
        });
        [first.collect(), second.collect()]
    }

    /// Whether the hundredth step from the free equilibrium moves nothing by more than 10⁻⁶, and how far the state has gone.
    fn settles(&self, beta: Complex<f64>) -> (bool, f64) {
        let zero = Complex::new(0.0, 0.0);
        let mut free: State = [vec![zero; 4], vec![zero; 4]];
        for _ in 0..2000 {
            free = self.step(&free, zero);
        }
        let mut state = free.clone();
        for _ in 0..99 {
            state = self.step(&state, beta);
        }
        let part = |a: &State, b: &State| {
            let each = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| a - b);
            each.flat_map(|d| [d.re.abs(), d.im.abs()]).fold(0.0, f64::max)
        };
        (part(&self.step(&state, beta), &state) <= 1e-6, part(&state, &free))
    }
}

trait InvOrNan {
    /// 1/(1 + self).
    fn inv_or_nan(self) -> Self;
}

impl InvOrNan for Complex<f64> {
    fn inv_or_nan(self) -> Self {
        Complex::new(1.0, 0.0) / (self + 1.0)
    }
}

/// Every number of the row that begins with `quantity`, in the page's table of `run`.
fn rows<'a>(page: &'a str, run: &str, quantity: &str) -> Vec<&'a str> {
    let section = page.split("\n## ").find(|s| s.starts_with(&format!("{run}\n"))).unwrap();
    section.lines().filter(|l| l.starts_with('|') && l.contains(quantity)).collect()
}

#[test]
fn a_page_tells_the_toy_figures_beside_the_published_ones() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fig2a", "fig2c", "fig2d"] {
        succeed(folder.path(), &["run", &format!("paper1/{name}"), "--out", &format!("runs/{name}")]);
        assert!(folder.path().join(format!("runs/{name}/published.json")).exists());
    }
    let told = succeed(
        folder.path(),
        &["report", "runs/fig2a", "runs/fig2c", "runs/fig2d", "--out", "docs/page.md"],
    );
    assert!(told.contains("docs/page.md"), "{told}");
    let page = fs::read_to_string(folder.path().join("docs/page.md")).unwrap();

    // Equilibria within what single precision leaves.
    let distances = rows(&page, "fig2a", "largest distance of an equilibrium");
    assert_eq!(distances.len(), 4, "{page}");
    for row in distances {
        let cells: Vec<&str> = row.trim_matches('|').rsplit('|').map(str::trim).collect();
        let distance: f64 = cells[0].parse().unwrap();
        assert!((1e-9..2e-6).contains(&distance), "{row}");
    }
    // The course of every phase, step by step.
    let published = json(folder.path().join("runs/fig2c/published.json"));
    let ours = metrics(&folder.path().join("runs/fig2c"));
    let mut compared = 0;
    for curve in published["curves"].as_array().unwrap() {
        let (amplitude, place) = curve["beside"].as_str().unwrap().rsplit_once('/').unwrap();
        let amplitude: f64 = amplitude.trim_start_matches("|β| = ").parse().unwrap();
        let phase = ours.iter().find(|p| match place.parse::<u64>() {
            Ok(point) => p["amplitude"] == amplitude && p["point"] == point,
            Err(_) => p["point"].is_null(),
        });
        let residuals = phase.unwrap()["residuals"].as_array().unwrap();
        for (ours, theirs) in residuals.iter().zip(curve["columns"]["residual"].as_array().unwrap()) {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            assert!(
                (ours - theirs).abs() < 2e-6 + 1e-4 * theirs,
                "{}: {ours}, not {theirs}",
                curve["beside"]
            );
            compared += 1;
        }
    }
    assert!(compared > 5000, "{compared}");

    let turned = rows(&page, "fig2d", "first lies below");
    assert_eq!(turned.len(), 2);
    for row in turned {
        let cells: Vec<&str> = row.trim_matches('|').rsplit('|').map(str::trim).collect();
        assert_eq!(cells[0], cells[1], "ours and theirs turn over together: {row}");
    }
    let overview = rows(&page, "Beside the published results", "first lies below");
    let linked = |row: &&str| row.starts_with("| [fig2d](#fig2d) | N = ");
    assert_eq!(overview.iter().filter(|row| linked(row)).count(), 2, "{page}");
    for part in ["fig2a-equilibria.png", "fig2c-relaxation.png", "fig2d-published.png"] {
        assert!(page.contains(&format!("](page/{part})")), "{part}");
        assert!(fs::read(folder.path().join("docs/page").join(part)).unwrap().starts_with(b"\x89PNG"));
    }
    for part in ["Made by `holograd run paper1/fig2a`; seed 0, commit `", "arXiv 2209.00530", "What differs"]
    {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn a_page_tells_a_sweep_epoch_by_epoch_beside_published_runs() {
    let folder = tempfile::tempdir().unwrap();
    let model = serde_json::json!({ "name": "tiny", "input": 4, "layers": [{ "name": "h", "size": 5 }],
        "activation": "tanh", "connections": [{ "from": "input", "to": "h" }],
        "readout": { "from": "h", "classes": 3 } });
    let sweep = serde_json::json!({ "kind": "sweep", "published": "published.json", "seeds": 2, "history": true,
        "cases": { "slow": { "optimiser": { "sgd": { "learning_rate": 0.01 } } },
            "fast": { "optimiser": { "sgd": { "learning_rate": 0.2 } } } },
        "experiment": { "kind": "train", "model": model, "estimator": "adjoint", "epochs": 3, "batch_size": 20,
            "data": { "toy_gaussian": { "inputs": 4, "classes": 3, "samples": 60 } },
            "optimiser": { "sgd": { "learning_rate": 0.1 } } } });
    // Nobody is below 0, everybody below 2; of the third epoch nothing is published.
    let curve = |accuracies: [f64; 2]| {
        serde_json::json!({ "label": "theirs", "beside": "fast",
            "columns": { "epoch": [1, 2], "test_accuracy": accuracies } })
    };
    let published =
        serde_json::json!({ "source": "a paper", "curves": [curve([0.0, 2.0]), curve([0.0, 3.0])] });
    fs::write(folder.path().join("sweep.json"), sweep.to_string()).unwrap();
    fs::write(folder.path().join("published.json"), published.to_string()).unwrap();
    succeed(folder.path(), &["run", "sweep.json", "--out", "out"]);
    succeed(folder.path(), &["report", "out", "--out", "page.md"]);
    let page = fs::read_to_string(folder.path().join("page.md")).unwrap();
    let told =
        rows(&page, "out", "epochs after which the mean test accuracy is not below all published runs");
    let out = folder.path().join("out");
    let fast = metrics(&out).into_iter().filter(|run| run["values"]["case"] == "fast");
    let second = fast.map(|run| metrics(&out.join("runs").join(run["key"].as_str().unwrap()))[1].clone());
    let accuracies: Vec<f64> = second.map(|epoch| epoch["test_accuracy"].as_f64().unwrap()).collect();
    let below = 100.0 * (2.0 - (accuracies[0] + accuracies[1]) / 2.0);
    let [row] = &told[..] else { panic!("{told:?}") };
    let found = row.split("1 of 2; ").nth(1).unwrap().split(" points below after epoch 2").next().unwrap();
    assert!((found.parse::<f64>().unwrap() - below).abs() < 0.06, "{row}: not {below}");
    assert!(row.starts_with("| fast: "), "{row}");
    assert!(page.contains("Made by `holograd run sweep.json`; seeds 0 to 1, commit `"), "{page}");
    let theirs = rows(&page, "Beside the published results", "fast: test accuracy (%) after epoch 3");
    assert!(theirs.len() == 1 && theirs[0].contains("250 (200 to 300, 2 runs)"), "{page}");

    succeed(folder.path(), &["run", "sweep.json", "--resume", "--set", "seeds=3", "--out", "out"]);
    succeed(folder.path(), &["report", "out", "--out", "page.md"]);
    let page = fs::read_to_string(folder.path().join("page.md")).unwrap();
    assert!(page.contains(" for the last of its parts; its runs took "), "{page}");

    // Paths of a machine stay there.
    let sweep = folder.path().join("sweep.json");
    let shipped = common::path("experiments/paper1/fig2b.json");
    for (file, out, told) in
        [(sweep.to_str().unwrap(), "third", "sweep.json"), (&shipped, "fourth", "paper1/fig2b")]
    {
        let set = if out == "fourth" { "cells=3" } else { "seeds=1" };
        succeed(folder.path(), &["run", file, "--data", "/nowhere", "--set", set, "--out", out]);
        succeed(folder.path(), &["report", out, "--out", "page.md"]);
        let page = fs::read_to_string(folder.path().join("page.md")).unwrap();
        assert!(page.contains(&format!("Made by `holograd run {told} --set {set}`; ")), "{page}");
    }
}

#[test]
fn a_page_of_no_finished_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (runs, told) in [(vec!["empty"], "found no experiment.json"), (vec!["absent"], "cannot open")] {
        let output = run(folder.path(), &[&["report"], &runs[..], &["--out", "page.md"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
    assert!(!folder.path().join("page.md").exists());
}

#[test]
fn a_stability_map_is_that_of_plain_arithmetic() {
    let folder = tempfile::tempdir().unwrap();
    // An odd number of cells has a row on the real axis.
    succeed(folder.path(), &["run", "paper1/fig2b", "--set", "cells=21", "--out", "out"]);
    let arrays = read_npz(folder.path().join("out/stability.npz")).unwrap();
    let (times, distances) = (&arrays["settling_time"].1, &arrays["displacement"].1);
    let toy = Toy::read();
    let coordinate = |i: usize| 2.0 * ((2 * i + 1) as f64 / 21.0 - 1.0);
    let (mut settled, mut unsettled) = (0, 0);
    for row in 0..21 {
        for column in 0..21 {
            let (settles, distance) = toy.settles(Complex::new(coordinate(column), coordinate(row)));
            let cell = row * 21 + column;
            assert_eq!(times[cell].is_finite(), settles, "row {row}, column {column}");
            if settles {
                let off = (distances[cell] - distance).abs();
                assert!(off < 1e-4, "row {row}, column {column}: {} not {distance}", distances[cell]);
                settled += 1;
            } else {
                unsettled += 1;
            }
        }
    }
    assert!(settled > 100 && unsettled > 20, "both kinds occur: {settled}, {unsettled}");
    assert!(folder.path().join("out/stability.png").exists());
}
