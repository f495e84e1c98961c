//! Sweeps that were stopped, and go on: to the same file, with another grid, and not with what is damaged.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{json, metrics, on_a_full_disk, run, text};
use crate::sweep::{Place, sweep, timeless};

#[test]
fn a_killed_sweep_resumes_to_the_same_file_and_redoes_nothing() {
    let mut sweep = sweep();
    sweep["set"] = json!({ "epochs": 8 });
    sweep["vary"] =
        json!({ "optimiser.sgd.learning_rate": { "from": 0.01, "to": 1, "points": 12, "scale": "log" } });
    sweep["seeds"] = json!(4);
    let place = Place::new(&sweep);
    let mut child = place.command("killed").spawn().unwrap();
    let table = place.out("killed").join("metrics.jsonl");
    let deadline = Instant::now() + Duration::from_secs(120);
    while std::fs::read_to_string(&table).map_or(0, |text| text.lines().count()) < 5 {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "it was to be killed half way"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&table).unwrap();
    let before: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!((5..48).contains(&before.len()), "{}", before.len());
    // A kill may also tear a line.
    std::fs::write(&table, format!("{}{{\"key\":\"12", before.concat())).unwrap();

    assert!(place.command("killed").arg("--resume").status().unwrap().success());
    let after = std::fs::read_to_string(&table).unwrap();
    for line in before {
        assert!(after.contains(line), "what was finished stays, its seconds included");
    }
    let whole = timeless(place.run("whole"));
    assert_eq!(whole.len(), 48);
    assert_eq!(timeless(metrics(&place.out("killed"))), whole);
}

/// A run that keeps its history continues from its checkpoint; what it has done stays.
#[test]
fn a_run_with_history_resumes_within() {
    let mut sweep = sweep();
    sweep.as_object_mut().unwrap().remove("vary");
    sweep["set"] = json!({ "epochs": 3 });
    sweep["seeds"] = json!(2);
    sweep["history"] = json!(true);
    let place = Place::new(&sweep);
    let whole = place.run("a");
    assert_eq!(whole.len(), 2);
    let history = |run: &Value| place.out("a").join("runs").join(run["key"].as_str().unwrap());
    let epochs: Vec<Vec<Value>> = whole.iter().map(|run| metrics(&history(run))).collect();
    for (run, epochs) in whole.iter().zip(&epochs) {
        let numbers: Vec<u64> = epochs.iter().map(|e| e["epoch"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(epochs[2]["test_accuracy"], run["measures"]["test_accuracy"]);
    }
    assert!(place.out("a").join("epochs.png").exists());

    // As if it had been stopped after the last epoch of the second run, which had begun to write another line.
    let table = place.out("a").join("metrics.jsonl");
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, text.split_inclusive('\n').next().unwrap()).unwrap();
    let torn = history(&whole[1]).join("metrics.jsonl");
    std::fs::write(&torn, std::fs::read_to_string(&torn).unwrap() + "{\"epoch\":").unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    assert_eq!(metrics(&history(&whole[1])), epochs[1], "no epoch was done again");
    assert_eq!(metrics(&place.out("a"))[1]["measures"], whole[1]["measures"]);

    // As if it had been stopped between its first line and its first checkpoint: no line is doubled.
    std::fs::write(&table, text.split_inclusive('\n').next().unwrap()).unwrap();
    std::fs::write(&torn, format!("{}\n", epochs[1][0])).unwrap();
    std::fs::remove_file(history(&whole[1]).join("checkpoint.safetensors")).unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    assert_eq!(timeless(metrics(&history(&whole[1]))), timeless(epochs[1].clone()));

    // The manifest knows what lies below, too.
    let manifest = json(place.out("a").join("manifest.json"));
    for run in &whole {
        let name = format!("runs/{}/metrics.jsonl", run["key"].as_str().unwrap());
        let hash = holograd::files::sha256(place.out("a").join(&name)).unwrap();
        assert_eq!(manifest["sha256"][&name], json!(hash));
    }

    // As if it had been stopped before: the run is done from its start.
    std::fs::write(&table, text.split_inclusive('\n').next().unwrap()).unwrap();
    std::fs::remove_dir_all(history(&whole[1])).unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    assert_eq!(metrics(&place.out("a"))[1]["measures"], whole[1]["measures"]);
}

/// More epochs go on from the checkpoints; fewer are refused.
#[test]
fn a_finished_sweep_with_history_continues_for_more_epochs() {
    let mut sweep = sweep();
    sweep.as_object_mut().unwrap().remove("vary");
    sweep["set"] = json!({ "epochs": 2 });
    sweep["seeds"] = json!(2);
    sweep["history"] = json!(true);
    let place = Place::new(&sweep);
    let short = place.run("a");
    let kept = |run: &Value| metrics(&place.out("a").join("runs").join(run["key"].as_str().unwrap()));
    let before: Vec<Vec<Value>> = short.iter().map(kept).collect();
    let resume = |epochs: &str| {
        let set = format!("set.epochs={epochs}");
        let mut command = place.command("a");
        command.args(["--resume", "--set", &set]).stderr(Stdio::piped()).output().unwrap()
    };
    assert!(resume("4").status.success());
    let long = metrics(&place.out("a"));
    for (run, before) in long.iter().zip(&before) {
        let epochs = kept(run);
        assert_eq!((epochs.len(), &epochs[..2]), (4, &before[..]), "no epoch was done again");
        assert_eq!(epochs[3]["test_accuracy"], run["measures"]["test_accuracy"]);
    }
    // As if they had been meant to be so long from the start.
    sweep["set"] = json!({ "epochs": 4 });
    let straight = Place::new(&sweep).run("a");
    for (run, straight) in long.iter().zip(&straight) {
        assert_eq!(run["measures"], straight["measures"]);
    }
    let refused = resume("3");
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    assert!(message.contains("experiment.epochs") && message.contains("learnt for 4"), "{message}");
    assert_eq!(metrics(&place.out("a")), long, "nothing is lost");
}

/// A resumed sweep may have another grid: what is kept takes its place there.
#[test]
fn lines_that_are_kept_belong_to_the_points_of_the_present_grid() {
    let mut sweep = sweep();
    sweep["vary"] = json!({ "batch_size": [20, 30] });
    let place = Place::new(&sweep);
    let before = place.run("a");
    let mut resume = place.command("a");
    assert!(resume.args(["--resume", "--set", "vary.batch_size=[10,20,30]"]).status().unwrap().success());
    let after = metrics(&place.out("a"));
    let told: Vec<_> = after.iter().map(|run| (&run["point"], &run["values"]["batch_size"])).collect();
    assert_eq!(told, [(&json!(0), &json!(10)), (&json!(1), &json!(20)), (&json!(2), &json!(30))]);
    let seconds = |run: &Value| run["seconds"].as_f64().unwrap();
    assert!((seconds(&after[1]) / seconds(&before[0]) - 1.0).abs() < 1e-12, "it was not done again");
    let summary = json(place.out("a").join("summary.json"));
    let runs: Vec<_> = summary["points"].as_array().unwrap().iter().map(|point| &point["runs"]).collect();
    assert_eq!(runs, [1, 1, 1]);
    let again = place.command("a").arg("--resume").stdout(Stdio::piped()).output().unwrap();
    let told = text(&again.stdout);
    assert!(told.contains("all of its runs are complete") && told.contains("add --set seeds=…"), "{told}");
}

/// A key stands for the seeds and values of its run: a record that tells of others is damaged.
#[test]
fn a_record_of_another_run_than_its_key_stands_for_is_refused() {
    let mut sweep = sweep();
    sweep["seeds"] = json!(2);
    let place = Place::new(&sweep);
    place.run("a");
    let folder = place.out("a");
    for name in ["manifest.json", "summary.json"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    let table = folder.join("metrics.jsonl");
    let sound = std::fs::read_to_string(&table).unwrap();
    for (from, to, place_of_it, found) in [
        ("\"seed\":1", "\"seed\":0", "line 2.seed", "found 0"),
        ("\"device_seed\":0", "\"device_seed\":9", "line 1.device_seed", "found 9"),
        ("_rate\":0.2", "_rate\":0.3", "line 3.values", "found {\"optimiser.sgd.learning_rate\":0.3}"),
    ] {
        std::fs::write(&table, sound.replacen(from, to, 1)).unwrap();
        let output = run(place.folder(), &["run", "sweep.json", "--out", "a", "--resume"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(place_of_it) && told.contains(found), "{told}");
    }
    std::fs::write(&table, &sound).unwrap();
    assert!(place.command("a").arg("--resume").status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&table).unwrap(), sound);
}

/// A disk that fills up costs no run that is done.
#[test]
#[cfg(target_os = "linux")]
fn a_sweep_that_meets_a_full_disk_can_be_resumed() {
    let mut sweep = sweep();
    sweep["seeds"] = json!(40);
    let place = Place::new(&sweep);
    let whole = place.run("calm");
    // The limit is per file: room for the experiment, none for all lines.
    let size = |name: &str| std::fs::metadata(place.out("calm").join(name)).unwrap().len();
    let blocks = size("experiment.json").div_ceil(512) + 1;
    assert!(size("metrics.jsonl") > 2 * 512 * blocks);
    let mut command = on_a_full_disk(place.folder(), blocks, &["run", "sweep.json", "--out", "out"]);
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("out/metrics.jsonl: cannot write"), "{message}");
    let kept = metrics(&place.out("out"));
    assert!((1..whole.len()).contains(&kept.len()), "{}", kept.len());
    assert!(place.command("out").arg("--resume").status().unwrap().success());
    let after = metrics(&place.out("out"));
    assert!(kept.iter().all(|run| after.contains(run)), "what was done stays");
    assert_eq!(timeless(after), timeless(whole));
}
