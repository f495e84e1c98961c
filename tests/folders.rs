//! Run folders belong to one run each, and survive what processes and users do to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::{self, contents, copy_folder, holograd, json, metrics, run, succeed, text};
use serde_json::{Value, json};

/// The toy run, of some 20 ms.
fn toy<'a>(more: &[&'a str]) -> Vec<&'a str> {
    program::toy(&[&["--set", "compare=0", "--set", "epochs=2"], more].concat())
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// The message of a refusal.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    message
}

/// Starts a run that lasts until it is stopped, and waits until it has learnt for an epoch.
fn endless(folder: &Path, out: &str, more: &[&str]) -> std::process::Child {
    let long = ["--set", "epochs=1000000", "--out", out];
    let mut command = holograd(folder, &[&toy(&long)[..], more].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !fs::read(folder.join(out).join("metrics.jsonl")).is_ok_and(|bytes| bytes.contains(&b'\n')) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it was to learn");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_folder_is_in_use_by_one_run_which_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut child = endless(path, "out", &[]);
    let by = format!("in use by process {} on ", child.id());
    for arguments in [
        toy(&["--out", "out"]),
        vec!["run", "digits", "--resume", "--out", "out"],
        vec!["verify", "out"],
        vec!["report", "out", "--out", "page.md"],
    ] {
        let message = refused(path, &arguments);
        assert!(
            message.contains("out: ") && message.contains(&by) && message.contains(" since 20"),
            "{message}"
        );
    }
    // Its figures so far may be looked at.
    let told = succeed(path, &["plot", "out"]);
    assert!(told.contains("so far") && told.contains(&by), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock has died with it, and says what to do.
    let message = refused(path, &toy(&["--out", "out"]));
    assert!(message.contains("stopped before its end; add --resume"), "{message}");
    let done = metrics(&path.join("out")).len();
    // What was killed there goes on to its end, if that is near.
    let mut experiment = json(path.join("out/experiment.json"));
    experiment["epochs"] = json!(done + 2);
    fs::write(path.join("out/experiment.json"), experiment.to_string()).unwrap();
    succeed(path, &["run", "digits", "--resume", "--out", "out"]);
    assert_eq!(metrics(&path.join("out")).len(), done + 2);
    assert!(!names(&path.join("out")).contains(".holograd-lock"));
    succeed(path, &["verify", "out"]);
}

#[test]
fn of_two_simultaneous_starts_in_one_folder_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let out = format!("out{round}");
        let start = |seed: &str| {
            let mut command = holograd(folder.path(), &toy(&["--set", seed, "--out", &out]));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children = ["seed=1", "seed=2"].map(start);
        let outputs = children.map(|child| child.wait_with_output().unwrap());
        let mut codes = outputs.each_ref().map(|output| output.status.code().unwrap());
        codes.sort_unstable();
        assert_eq!(codes, [0, 2]);
        assert_eq!(metrics(&folder.path().join(&out)).len(), 2);
        succeed(folder.path(), &["verify", &out]);
    }
}

#[test]
fn simultaneous_starts_without_a_folder_get_one_each() {
    let folder = tempfile::tempdir().unwrap();
    let start = |seed: u32| {
        let mut command =
            holograd(folder.path(), &toy(&["--threads", "1", "--set", &format!("seed={seed}")]));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..8).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let runs = names(&folder.path().join("runs"));
    let expected = ["", "-2", "-3", "-4", "-5", "-6", "-7", "-8"].map(|n| format!("digits{n}"));
    assert_eq!(runs, BTreeSet::from(expected));
    let seed =
        |name: &String| json(folder.path().join("runs").join(name).join("experiment.json"))["seed"].as_u64();
    assert_eq!(runs.iter().filter_map(seed).collect::<BTreeSet<_>>().len(), 8);
}

#[test]
fn the_latest_run_is_resumed_whatever_numbers_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let message = refused(path, &["run", "digits", "--resume"]);
    assert!(message.contains("runs/digits: found no run to continue"), "{message}");
    for _ in 0..3 {
        succeed(path, &toy(&[]));
    }
    fs::remove_dir_all(path.join("runs/digits")).unwrap();
    // Not a run of this name.
    fs::create_dir(path.join("runs/digits-7")).unwrap();
    copy_folder(&path.join("runs/digits-2"), &path.join("runs/digits-4-b"));
    let told = succeed(path, &["run", "digits", "--resume", "--set", "epochs=3"]);
    assert!(told.contains("resuming runs/digits-3\n"), "{told}");
    assert_eq!(metrics(&path.join("runs/digits-3")).len(), 3);
    // A new one comes after all of them: the order of the numbers is that of the runs.
    let told = succeed(path, &toy(&[]));
    assert!(told.contains("figures and data: runs/digits-8"), "{told}");
    let told = succeed(path, &["run", "digits", "--resume"]);
    assert!(told.contains("runs/digits-8: nothing is left to do"), "{told}");
    // The latest was stopped before it began: that is said, and no earlier one is taken instead.
    fs::create_dir(path.join("runs/digits-9")).unwrap();
    fs::write(path.join("runs/digits-9/.holograd-lock"), "").unwrap();
    let message = refused(path, &["run", "digits", "--resume"]);
    assert!(
        message.contains("runs/digits-9: found no run") && message.contains("leave --resume out"),
        "{message}"
    );
}

/// What a kill in the first milliseconds may leave: the same command begins there.
#[test]
fn what_was_stopped_before_it_began_begins_with_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &["run", "gradient", "--out", "calm"]);
    let calm = names(&path.join("calm"));
    let copies = r#"{"pid":1,"copies":["toy.safetensors","toy_batch.safetensors"]}"#;
    let states: [(&str, &[(&str, &str)]); 5] = [
        ("nothing", &[]),
        ("lock", &[(".holograd-lock", "")]),
        ("partial", &[(".holograd-abcdef.partial", "half")]),
        ("copies", &[(".holograd-lock", copies), ("toy.safetensors", "half"), (".holograd-a.partial", "")]),
        // A kind that is not resumed begins again.
        (
            "begun",
            &[
                (".holograd-lock", copies),
                ("toy.safetensors", "x"),
                ("experiment.json", ""),
                ("metrics.jsonl", "{\n"),
            ],
        ),
    ];
    for (name, files) in states {
        let out = path.join(name);
        fs::create_dir(&out).unwrap();
        for (file, contents) in files {
            fs::write(out.join(file), contents).unwrap();
        }
        if name == "begun" {
            fs::copy(path.join("calm/experiment.json"), out.join("experiment.json")).unwrap();
        } else {
            let message = refused(path, &["run", "gradient", "--out", name, "--resume"]);
            assert!(message.contains("found no run to continue") && message.contains("leave"), "{message}");
        }
        succeed(path, &["run", "gradient", "--out", name]);
        assert_eq!(names(&out), calm, "{name}");
        succeed(path, &["verify", name]);
    }
    // What the user has put there stays, and so does a complete run.
    let files: [(&str, &[&str], &str); 4] = [
        ("mine", &["notes.txt"], "not empty"),
        ("between", &[".holograd-lock", "notes.txt"], "not empty"),
        ("beside", &[".holograd-lock", "experiment.json", "notes.txt"], "`notes.txt`"),
        ("input", &["experiment.json"], "not empty"),
    ];
    for (name, files, expected) in files {
        let out = path.join(name);
        fs::create_dir(&out).unwrap();
        files.iter().for_each(|file| fs::write(out.join(file), r#"{"kind":"gradient"}"#).unwrap());
        let before = contents(&out);
        let message = refused(path, &["run", "gradient", "--out", name]);
        assert!(message.contains(expected), "{name}: {message}");
        assert!(contents(&out) == before, "{name}");
    }
    let message = refused(path, &["run", "gradient", "--out", "calm"]);
    assert!(message.contains("it holds a run"), "{message}");
    succeed(path, &["verify", "calm"]);
}

/// Whatever moment a run is killed at, the message says how to go on, and that is true.
#[test]
fn a_run_killed_in_its_first_moments_goes_on_or_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &toy(&["--out", "calm"]));
    for moment in 0..10 {
        let out = format!("out{moment}");
        let mut command = holograd(path, &toy(&["--out", &out]));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4 * moment));
        child.kill().unwrap();
        child.wait().unwrap();
        let again = run(path, &toy(&["--out", &out]));
        let message = text(&again.stderr);
        if !again.status.success() {
            assert!(message.contains("--resume"), "{moment}: {message}");
            succeed(path, &["run", "digits", "--resume", "--out", &out]);
        }
        assert!(timeless(&path.join(&out)) == timeless(&path.join("calm")), "{moment}: {message}");
    }
}

#[test]
fn a_place_where_no_run_can_go_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("file"), "mine").unwrap();
    succeed(path, &toy(&["--out", "out"]));
    let before = contents(path);
    let message = refused(path, &toy(&["--out", "file"]));
    assert!(message.contains("file: found a file"), "{message}");
    for inside in ["out/inner", "out/a/b"] {
        let message = refused(path, &toy(&["--out", inside]));
        assert!(message.contains("the folder of a run") && message.contains("/out,"), "{message}");
    }
    let message = refused(&path.join("out"), &toy(&[]));
    assert!(message.contains("runs/digits: it lies in"), "{message}");
    assert!(contents(path) == before);
}

#[cfg(unix)]
#[test]
fn links_are_neither_removed_nor_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    symlink("not/mounted", path.join("dangling")).unwrap();
    for out in ["dangling", "dangling/below"] {
        let message = refused(path, &toy(&["--out", out]));
        assert!(message.contains("dangling: found a link to not/mounted, which does not exist"), "{message}");
    }
    assert!(path.join("dangling").is_symlink() && !path.join("not").exists());
    // A link to a folder is one.
    fs::create_dir(path.join("real")).unwrap();
    symlink("real", path.join("link")).unwrap();
    succeed(path, &toy(&["--out", "link"]));
    assert!(path.join("real/manifest.json").exists() && path.join("link").is_symlink());
    // A user's links in a run folder are not the run's.
    symlink(".", path.join("real/loop")).unwrap();
    symlink("../elsewhere", path.join("real/elsewhere.png")).unwrap();
    fs::write(path.join("elsewhere"), "secret").unwrap();
    succeed(path, &["run", "digits", "--resume", "--set", "epochs=3", "--out", "real"]);
    let manifest = json(path.join("real/manifest.json"));
    assert!(
        manifest["sha256"]
            .as_object()
            .unwrap()
            .keys()
            .all(|name| !name.contains("loop") && !name.contains("else"))
    );
    succeed(path, &["report", "real", "--out", "page.md"]);
    assert!(!fs::read_to_string(path.join("page.md")).unwrap().contains("elsewhere"));
    // One that stands for a file of the run is refused: what it points to is not touched.
    fs::rename(path.join("real/metrics.jsonl"), path.join("metrics")).unwrap();
    symlink("../metrics", path.join("real/metrics.jsonl")).unwrap();
    let before = fs::read(path.join("metrics")).unwrap();
    for arguments in [
        &["run", "digits", "--resume", "--set", "epochs=4", "--out", "real"][..],
        &["plot", "real"],
        &["report", "real", "--out", "page.md"],
    ] {
        let message = refused(path, arguments);
        assert!(message.contains("real/metrics.jsonl: found a link"), "{message}");
    }
    assert_eq!(fs::read(path.join("metrics")).unwrap(), before);
    let output = run(path, &["verify", "real"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("missing: metrics.jsonl\n"), "{}", text(&output.stdout));
}

#[test]
fn verify_tells_what_differs_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &toy(&["--out", "out"]));
    let told = succeed(path, &["verify", "out"]);
    let manifest = json(path.join("out/manifest.json"));
    let count = manifest["sha256"].as_object().unwrap().len();
    assert_eq!(told, format!("out: {count} of {count} files are as the run wrote them\n"));
    fs::write(path.join("out/summary.json"), "{}").unwrap();
    fs::remove_file(path.join("out/checkpoint.safetensors")).unwrap();
    fs::write(path.join("out/notes.txt"), "mine").unwrap();
    let before = contents(path);
    let output = run(path, &["verify", "out"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    let expected = [
        "changed: summary.json".to_owned(),
        "missing: checkpoint.safetensors".to_owned(),
        "not in the manifest: notes.txt".to_owned(),
        format!("out: {} of {count} files are as the run wrote them", count - 2),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    assert!(contents(path) == before);
    // Redrawn figures are the run's.
    let figure = names(&path.join("out")).into_iter().find(|name| name.ends_with(".svg")).unwrap();
    fs::write(path.join("out").join(&figure), "<svg/>").unwrap();
    succeed(path, &["plot", "out"]);
    let told = text(&run(path, &["verify", "out"]).stdout);
    assert!(told.contains("changed: summary.json") && !told.contains(&figure), "{told}");
    // A path out of the folder names no file of it.
    let mut manifest = json(path.join("out/manifest.json"));
    manifest["sha256"] = json!({ "../page.md": "", "/etc/passwd": "" });
    fs::write(path.join("out/manifest.json"), manifest.to_string()).unwrap();
    let told = text(&run(path, &["verify", "out"]).stdout);
    assert!(told.contains("missing: ../page.md\nmissing: /etc/passwd\n"), "{told}");
    for (name, expected) in [("absent", "absent"), ("empty", "found no manifest.json")] {
        if name == "empty" {
            fs::create_dir(path.join(name)).unwrap();
        }
        assert!(refused(path, &["verify", name]).contains(expected));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_what_is_done_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (signal, code, out) in [("INT", 130, "it's out"), ("TERM", 143, "out")] {
        let child = endless(path, out, &[]);
        let id = child.id().to_string();
        assert!(
            std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success()
        );
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let message = text(&output.stderr);
        assert!(
            message.contains("holograd: interrupted; ") && message.contains("keeps what is done"),
            "{message}"
        );
        // What it says works in a shell as it stands, but for the end of a run without end.
        let table = path.join(out).join("metrics.jsonl");
        assert!(fs::read_to_string(&table).unwrap().ends_with('\n'), "the line is whole");
        assert!(names(&path.join(out)).iter().all(|name| !name.ends_with(".partial")));
        let done = metrics(&path.join(out)).len();
        let mut experiment = json(path.join(out).join("experiment.json"));
        experiment["epochs"] = json!(done + 1);
        fs::write(path.join(out).join("experiment.json"), experiment.to_string()).unwrap();
        let advised = message.lines().last().unwrap().trim().strip_prefix("holograd ").unwrap().to_owned();
        let script = format!("{} {advised}", env!("CARGO_BIN_EXE_holograd"));
        let shell =
            std::process::Command::new("sh").current_dir(path).args(["-c", &script]).output().unwrap();
        assert!(shell.status.success(), "{script}: {}", text(&shell.stderr));
        assert_eq!(metrics(&path.join(out)).len(), done + 1);
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_used_or_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"\xff_out");
    let path = folder.path();
    let with = |arguments: &[&str], last: &OsStr, place: &Path| {
        let output = holograd(place, arguments).arg(last).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // As a run folder, then resumed, drawn, verified and reported about.
    assert_eq!(with(&toy(&["--out"]), odd, path).0, Some(0));
    assert_eq!(with(&["run", "digits", "--resume", "--set", "epochs=3", "--out"], odd, path).0, Some(0));
    assert_eq!(metrics(&path.join(odd)).len(), 3);
    for command in [&["plot"][..], &["verify"], &["report", "--out", "page.md"]] {
        assert_eq!(with(command, odd, path).0, Some(0), "{command:?}");
    }
    // As the current directory.
    fs::create_dir(path.join(OsStr::from_bytes(b"here\xfe"))).unwrap();
    let here = path.join(OsStr::from_bytes(b"here\xfe"));
    succeed(&here, &toy(&["--out", "out"]));
    succeed(&here, &["verify", "out"]);
    succeed(&here, &["run", "gradient"]);
    let message = refused(&here, &["run", "mnist", "--set", "data.mnist.folder=data"]);
    assert!(message.contains("not UTF-8"), "{message}");
    // Elsewhere: a sentence, never a panic.
    for arguments in [&toy(&["--data"])[..], &["run"], &["check"], &["run", "digits", "--set"], &["fly"]] {
        let (code, message) = with(arguments, odd, path);
        let expected = if arguments.contains(&"--data") { 0 } else { 2 };
        assert_eq!(code, Some(expected), "{arguments:?}: {message}");
        assert!(!message.contains("panicked") && !message.contains("internal error"), "{message}");
    }
}

#[test]
fn nothing_that_a_terminal_obeys_is_written_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let escape = "\u{1b}[2J\u{9b}31m\rx";
    let output = run(path, &toy(&["--out", escape]));
    assert!(output.status.success());
    let outputs = [
        output,
        run(path, &["verify", escape]),
        run(path, &["plot", escape]),
        run(path, &["run", "digits", "--resume", "--out", escape]),
        run(path, &toy(&["--out", escape])),
        run(path, &["run", escape]),
        run(path, &["check", escape]),
        run(path, &["run", "digits", "--set", escape]),
        run(path, &["run", "digits", "--threads", escape]),
        run(path, &[escape]),
    ];
    for output in outputs {
        for told in [text(&output.stdout), text(&output.stderr)] {
            assert!(!told.contains(['\u{1b}', '\u{9b}', '\r']), "{told:?}");
        }
    }
}

#[test]
fn threads_from_the_environment_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let with = |threads: &str, arguments: &[&str]| {
        holograd(folder.path(), arguments).env("RAYON_NUM_THREADS", threads).output().unwrap()
    };
    for threads in ["5000", "100000000"] {
        let output = with(threads, &["list"]);
        assert_eq!(output.status.code(), Some(2));
        let message = text(&output.stderr);
        assert!(
            message.contains(&format!("RAYON_NUM_THREADS: found {threads}; it must be at most")),
            "{message}"
        );
        // The flag decides, if it is there.
        assert!(with(threads, &["list", "--threads", "1"]).status.success());
    }
    assert!(with("2", &["list"]).status.success());
}

#[test]
fn the_instruction_set_is_recorded_and_another_one_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &toy(&["--out", "out"]));
    let mut manifest = json(path.join("out/manifest.json"));
    let own = manifest["machine"]["instructions"].clone();
    assert!(own.as_str().is_some_and(|name| !name.is_empty()), "{manifest}");
    assert_eq!(manifest["instructions"], json!([own]));
    manifest["instructions"] = json!(["another"]);
    fs::write(path.join("out/manifest.json"), manifest.to_string()).unwrap();
    let output = run(path, &["run", "digits", "--resume", "--set", "epochs=3", "--out", "out"]);
    let message = text(&output.stderr);
    assert!(message.contains("warning: out: begun with another instructions"), "{message}");
    assert_eq!(json(path.join("out/manifest.json"))["instructions"], json!(["another", own]));
    // What goes on where it was last is not warned about.
    let output = run(path, &["run", "digits", "--resume", "--set", "epochs=4", "--out", "out"]);
    assert!(output.status.success() && !text(&output.stderr).contains("instructions"));
}

/// A page holds the text of files as text, and goes into no run folder.
#[test]
fn a_report_escapes_text_and_spares_run_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let name = "my run (1) [x]";
    let labels = r#"estimators={"t":"adjoint","<img src=x onerror=alert(1)>":"harmonic_balance"}"#;
    let description = "description=<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://z/y.png)";
    let notes = "notes=first\n\n# not a heading <b>";
    succeed(path, &["run", "gradient", "--set", labels, "--set", description, "--set", notes, "--out", name]);
    succeed(path, &["report", name, "--out", "p q.md"]);
    let page = fs::read_to_string(path.join("p q.md")).unwrap();
    assert!(!page.contains(['<', '>']), "{page}");
    assert!(
        page.contains(
            r"&lt;script&gt;alert(1)&lt;/script&gt; \[x\](javascript:alert(1)) !\[y\](http://z/y.png)"
        ),
        "{page}"
    );
    assert!(
        page.contains("first # not a heading &lt;b&gt;")
            && page.contains("&lt;img src=x onerror=alert(1)&gt;"),
        "{page}"
    );
    assert!(page.contains("\n## my run (1) \\[x\\]\n"), "{page}");
    let images: Vec<&str> = page.lines().filter(|line| line.starts_with("![")).collect();
    assert!(!images.is_empty());
    for image in images {
        let link = image.rsplit_once("](").unwrap().1.strip_suffix(')').unwrap();
        let file = link
            .replace("%20", " ")
            .replace("%28", "(")
            .replace("%29", ")")
            .replace("%5B", "[")
            .replace("%5D", "]");
        assert!(!link.contains([' ', '(', ')', '[']) && path.join(file).exists(), "{link}");
    }
    let before = contents(&path.join(name));
    for out in [format!("{name}/page.md"), format!("{name}/below/page.md"), format!("{name}.md")] {
        let message = refused(path, &["report", name, "--out", &out]);
        assert!(message.contains("the folder of a run"), "{message}");
    }
    assert!(contents(&path.join(name)) == before);
}

/// Finished and kept where nothing can be written, a run is verified, reported about and not changed by `--resume`.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    succeed(path, &toy(&["--out", "out"]));
    let allow = |mode| fs::set_permissions(path.join("out"), fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    succeed(path, &["verify", "out"]);
    succeed(path, &["report", "out", "--out", "page.md"]);
    let told = succeed(path, &["run", "digits", "--resume", "--out", "out"]);
    assert!(told.contains("nothing is left to do"), "{told}");
    // The superuser may write anywhere.
    if fs::write(path.join("out/probe"), "").is_err() {
        let message = refused(path, &["run", "digits", "--resume", "--set", "epochs=3", "--out", "out"]);
        assert!(message.contains("cannot write"), "{message}");
    }
    allow(0o755);
}

/// Values of a summary or a manifest that the clock decides are left out.
fn without_times(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !key.contains("seconds") && key != "command");
        // They hold seconds, and are compared for themselves.
        object.shift_remove("sha256");
        object.values_mut().for_each(without_times);
    }
}

/// What a run folder holds, but for times.
pub fn timeless(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (path, bytes) in contents(folder) {
        let Some(bytes) = bytes else { continue };
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        let shown = if name.ends_with(".jsonl") || name == "summary.json" || name == "manifest.json" {
            let mut values: Vec<Value> =
                serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect();
            values.iter_mut().for_each(without_times);
            serde_json::to_vec(&values).unwrap()
        } else {
            bytes
        };
        found.push((name, shown));
    }
    found
}
