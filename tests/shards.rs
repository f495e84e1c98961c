//! Sweeps that several processes do together: killed, repeated, done twice at once, they end in the folder that one process makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::folders::timeless;
use crate::program::{holograd, run, succeed, text};

/// A folder with a sweep of the toy network in it, whose runs take a few milliseconds.
struct Place(tempfile::TempDir);

impl Place {
    fn new(sweep: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sweep.json"), sweep.to_string()).unwrap();
        Self(folder)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn shard(&self, out: &str, shard: &str) -> Child {
        let arguments = ["run", "sweep.json", "--out", out, "--shard", shard, "--threads", "1", "--quiet"];
        let mut command = holograd(self.0.path(), &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn succeed(&self, arguments: &str) -> String {
        succeed(self.0.path(), &arguments.split(' ').collect::<Vec<_>>())
    }

    fn refusal(&self, arguments: &str) -> String {
        let output = run(self.0.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

fn train() -> Value {
    json!({ "kind": "train", "model": format!("{}/models/toy.json", env!("CARGO_MANIFEST_DIR")),
        "data": { "toy_gaussian": { "inputs": 6, "classes": 4, "samples": 40 } }, "estimator": "adjoint",
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 20, "compare": 0 })
}

/// So many runs: points of two lengths, with four seeds each.
fn sweep(runs: usize) -> Value {
    let rates: Vec<f64> = (1..=runs / 8).map(|i| 0.01 * i as f64).collect();
    json!({ "kind": "sweep", "experiment": train(), "seeds": 4, "measure": ["test_accuracy", "test_loss"],
        "vary": { "epochs": [3, 1], "optimiser.sgd.learning_rate": rates } })
}

fn assert_same(merged: &Path, whole: &Path) {
    let (merged, whole) = (timeless(merged), timeless(whole));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&merged), names(&whole));
    for (a, b) in merged.iter().zip(&whole) {
        assert!(a == b, "{} differs:\n{}", a.0, String::from_utf8_lossy(&a.1));
    }
}

/// Every shard until all succeed, four at a time; `kills` of the processes end by SIGKILL after up to half a second.
fn work(place: &Place, out: &str, of: usize, kills: usize) {
    let mut chance = ChaCha8Rng::seed_from_u64(of as u64);
    let mut left: Vec<String> = (1..=of).map(|number| format!("{number}/{of}")).collect();
    let mut killed = 0;
    let deadline = Instant::now() + Duration::from_secs(600);
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "{left:?} are left");
        let at_once: Vec<String> = left.iter().take(4).cloned().collect();
        let mut children: Vec<(String, Child)> =
            at_once.iter().map(|shard| (shard.clone(), place.shard(out, shard))).collect();
        for (_, child) in &mut children {
            if killed < kills {
                killed += 1;
                std::thread::sleep(Duration::from_millis(chance.random_range(0..500)));
                child.kill().unwrap();
            }
        }
        for (shard, child) in children {
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                left.retain(|other| *other != shard);
            } else {
                assert_ne!(output.status.code(), Some(1), "{shard}: {}", text(&output.stderr));
                // What a kill has not reached goes to the end, so that others come between.
                left.retain(|other| *other != shard);
                left.push(shard);
            }
        }
    }
    assert_eq!(killed, kills);
}

#[test]
fn two_hundred_runs_in_any_shards_make_the_folder_of_one_process() {
    let place = Place::new(&sweep(200));
    place.succeed("run sweep.json --out whole --threads 1 --quiet");
    for (of, kills) in [(1, 2), (4, 5), (16, 3)] {
        let out = format!("in-{of}");
        work(&place, &out, of, kills);
        // The last shard has put all together.
        assert_same(&place.out(&out), &place.out("whole"));
        assert!(place.succeed(&format!("merge {out}")).contains("nothing is left to do"));
        assert!(
            place
                .succeed(&format!("run sweep.json --out {out} --shard 2/3"))
                .contains("nothing is left to do")
        );
        assert!(place.succeed(&format!("verify {out}")).contains("files are as the run wrote them"));
    }
}

/// Lines are to be found once, whatever the number of shards that has done their runs.
#[test]
fn another_number_of_shards_goes_on_with_what_is_left() {
    let mut sweep = sweep(16);
    sweep["history"] = json!(true);
    let place = Place::new(&sweep);
    place.succeed("run sweep.json --out whole --quiet");
    place.succeed("run sweep.json --out out --shard 2/2 --quiet");
    let told = place.succeed("status out");
    assert!(told.contains("out: 8 of 16 runs done, 0 of them diverged\n"), "{told}");
    assert!(told.contains("1 of 2 shards are complete\n"), "{told}");
    assert!(told.contains("shard 1/2: 0 of 8 runs done; not begun"), "{told}");
    let refusal = place.refusal("merge out");
    assert!(refusal.contains("found the results of 8 of 16 runs; `holograd status out` says"), "{refusal}");
    // A kill tears a line, and leaves the lock; a run that is done twice counts once.
    let (done, torn) = (place.out("out/shards/2-of-2/metrics.jsonl"), place.out("out/shards/1-of-2"));
    let lines = fs::read_to_string(&done).unwrap();
    fs::create_dir(&torn).unwrap();
    let first = lines.lines().next().unwrap();
    fs::write(torn.join("metrics.jsonl"), format!("{first}\n{}", &first[..20])).unwrap();
    fs::write(torn.join(".holograd-lock"), "{}").unwrap();
    let told = place.succeed("status out");
    assert!(told.contains("shard 1/2: 0 of 8 runs done; stopped"), "{told}");
    for number in 1..=3 {
        let told = place.succeed(&format!("run sweep.json --out out --shard {number}/3 --pack 1"));
        assert!(told.contains(&format!("shard {number}/3")), "{told}");
    }
    assert_same(&place.out("out"), &place.out("whole"));
    assert!(place.succeed("status out").contains("16 of 16 runs done"));
}

/// Whatever a kill leaves of putting the shards together, it is done again.
#[test]
fn a_merge_that_was_killed_is_done_again() {
    let place = Place::new(&sweep(16));
    place.succeed("run sweep.json --out whole --quiet");
    place.succeed("run sweep.json --out out --shard 1/1 --quiet");
    assert_same(&place.out("out"), &place.out("whole"));
    let lines = fs::read(place.out("out/metrics.jsonl")).unwrap();
    let begin = |shards: bool, summary: bool| {
        fs::remove_file(place.out("out/manifest.json")).unwrap();
        fs::write(place.out("out/.holograd-lock"), "{}").unwrap();
        if !summary {
            fs::remove_file(place.out("out/summary.json")).unwrap();
        }
        if shards {
            fs::create_dir_all(place.out("out/shards/1-of-1")).unwrap();
            fs::write(place.out("out/shards/1-of-1/metrics.jsonl"), &lines).unwrap();
        }
    };
    for (shards, summary) in [(true, false), (false, false), (false, true)] {
        begin(shards, summary);
        if !shards {
            let refusal = place.refusal("run sweep.json --out out --shard 1/1");
            assert!(
                refusal.contains("not in shards; `--resume` instead of --shard, or `holograd merge`"),
                "{refusal}"
            );
        }
        place.succeed("merge out --quiet");
        assert_same(&place.out("out"), &place.out("whole"));
    }
    begin(false, true);
    place.succeed("run sweep --resume --out out --quiet");
    assert_same(&place.out("out"), &place.out("whole"));
}

/// Of two processes on the same shard one goes on, and the other says so.
#[test]
fn a_shard_is_done_by_one_process() {
    let mut sweep = sweep(8);
    sweep["set"] = json!({ "estimator": { "oscillation": { "amplitude": 0.1, "period": 100_000 } } });
    let place = Place::new(&sweep);
    let mut child = place.shard("out", "1/2");
    let lock = place.out("out/shards/1-of-2/shard.json");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !lock.exists() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let by = format!("is being done by process {} on ", child.id());
    let refusal = place.refusal("run sweep.json --out out --shard 1/2");
    assert!(refusal.contains("out: the shard 1/2 ") && refusal.contains(&by), "{refusal}");
    let refusal = place.refusal("run sweep.json --out out --shard 1/3");
    assert!(refusal.contains(&by) && refusal.contains("of one number"), "{refusal}");
    assert!(!place.out("out/shards/1-of-3").exists());
    let refusal = place.refusal("merge out");
    assert!(refusal.contains("shards/1-of-2: the folder is in use by process"), "{refusal}");
    let told = place.succeed("status out");
    assert!(
        told.contains("shard 1/2: 0 of 4 runs done; being done by process") && told.contains(" left\n"),
        "{told}"
    );
    assert!(told.contains("shard 2/2: 0 of 4 runs done; not begun"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_no_shard_of_this_sweep_is_refused() {
    let place = Place::new(&sweep(16));
    fs::write(place.out("train.json"), train().to_string()).unwrap();
    for (arguments, told) in [
        ("run train.json --shard 1/2 --out a", "train.json: at `kind`: found an experiment of kind `train`"),
        ("run sweep.json --shard 3/2 --out a", "--shard: found the shard 3/2"),
        ("run sweep.json --shard pbs --out a", "--shard: found \"pbs\" alone"),
        ("run sweep.json --shard slurm --out a", "no SLURM_ARRAY_TASK_ID"),
        ("run sweep.json --shard 1/2 --resume --out a", "cannot be used with"),
        ("run sweep.json --pack 0 --out a", "--pack: found 0; 1 to "),
        ("run train.json --pack 1 --out a", "--pack: found it for an experiment of kind `train`"),
        ("run sweep.json --shard 1/2 --out a --set seeds=0", "seeds"),
        ("merge a", "a: found no run there"),
        ("status a", "a: found no run there"),
    ] {
        let refusal = place.refusal(arguments);
        assert!(refusal.contains(told), "{arguments}: {refusal}");
    }
    assert!(!place.out("a").exists());
    place.succeed("run sweep.json --out a --shard 1/2 --quiet");
    for (arguments, told) in [
        (
            "run sweep.json --out a --shard 2/2 --set seeds=2",
            "at `seeds`: found another value than this shard has",
        ),
        ("run sweep.json --out a", "the folder holds a sweep that is done in shards; go on with --shard"),
        ("run sweep.json --out a --resume", "done in shards; give the commands of its shards again"),
        ("run sweep.json --out a/b", "which is the folder of a run"),
        ("verify a", "found no manifest.json there"),
    ] {
        let refusal = place.refusal(arguments);
        assert!(refusal.contains(told), "{arguments}: {refusal}");
    }
    place.succeed("run train.json --out b --quiet");
    let refusal = place.refusal("merge b");
    assert!(refusal.contains("only a `sweep` is done in shards"), "{refusal}");
    assert!(place.succeed("status b").contains("b: 1 of 1 epochs done; complete"));
    let refusal = place.refusal("run sweep.json --out b --shard 1/2");
    assert!(
        refusal.contains("at `batch_size`: found another value") || refusal.contains("at `kind`"),
        "{refusal}"
    );
    fs::create_dir(place.out("c")).unwrap();
    fs::write(place.out("c/mine"), "text").unwrap();
    let refusal = place.refusal("run sweep.json --out c --shard 1/2");
    assert!(refusal.contains("c: the folder is not empty"), "{refusal}");
}
