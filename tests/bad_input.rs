//! Bad input never starts a run, never panics, leaves nothing behind, and is answered by one message that says what to change.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{self, contents, holograd, run, text};
use holograd::files::{Tensors, Values, read_tensors, write_tensors};
use holograd::substrate::neurons::model::ModelSpec;
use serde_json::{Value, json};

/// A training run of a fraction of a second.
const SHORT: &str =
    r#"run digits --set data={"toy_gaussian":{"inputs":64,"classes":10,"samples":40}} --set epochs=1"#;

/// Runs the program, which must refuse, and checks how.
fn refused(folder: &Path, mut command: Command, words: &[&str]) {
    let before = contents(folder);
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{command:?} should mention {word:?}: {message}");
    }
    let lines = message.lines().filter(|line| line.starts_with("holograd: ") || line.starts_with("error: "));
    assert_eq!(lines.count(), 1, "{command:?} should complain once: {message}");
    for word in ["panicked", "internal error", "RUST_BACKTRACE"] {
        assert!(!message.contains(word), "{command:?}: {message}");
    }
    assert!(contents(folder) == before, "{command:?} left something behind");
}

fn refuse_all(folder: &Path, cases: &[(&str, &[&str])]) {
    for (line, words) in cases {
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        if arguments.first() == Some(&"run") && !line.contains("--out") {
            arguments.extend(["--out", "new/out"]);
        }
        refused(folder, holograd(folder, &arguments), words);
    }
}

#[test]
fn malformed_experiments_are_refused() {
    let files = program::shipped_files();
    let folder = files.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("broken.json", "{\n  \"kind\": \"train\",\n");
    write("nan.json", r#"{ "kind": "train", "epochs": NaN }"#);
    write("overflow.json", r#"{ "kind": "trace", "amplitude": 1e999 }"#);
    write("list.json", "[]");
    write("kindless.json", r#"{ "epochs": 3 }"#);
    write("latin1.json", "");
    fs::write(folder.join("latin1.json"), b"{ \"kind\": \"caf\xe9\" }").unwrap();
    write("twice.json", r#"{ "kind": "train", "epochs": 1, "epochs": 2 }"#);
    write("model.json", r#"{ "name": "m", "layers": [], "layers": [] }"#);
    fs::create_dir(folder.join("run")).unwrap();
    write("run/experiment.json", "{}");
    let digits = "built-in experiments/digits.json";
    refuse_all(
        folder,
        &[
            ("run absent.json", &["absent.json: no such file", "digits_fast, digits_substrates, frequency"]),
            ("check absent.json", &["absent.json: no such file"]),
            ("run models", &["models: found a folder", "file of an experiment"]),
            ("check run", &["run: found a run folder", "run/experiment.json"]),
            ("check twice.json", &["twice.json: not JSON: found the key `epochs` twice", "line 1"]),
            ("check model.json", &["model.json: not JSON: found the key `layers` twice"]),
            (
                "run digits --set model={\"name\":\"a\",\"name\":\"b\"}",
                &["--set model=", "found the key `name` twice"],
            ),
            ("run broken.json", &["broken.json: not JSON", "line 3"]),
            ("check broken.json", &["broken.json: not JSON", "line 3"]),
            ("run nan.json", &["nan.json: not JSON", "line 1 column"]),
            ("run overflow.json", &["overflow.json: not JSON", "out of range"]),
            ("run latin1.json", &["latin1.json: not JSON"]),
            ("run list.json", &["list.json: found no object"]),
            ("run kindless.json", &["kindless.json: at `kind`: found no kind", "train, gradient, trace"]),
            (
                "run digits --set kind=lunch",
                &[digits, "at `kind`: found \"lunch\"", "train, gradient, trace"],
            ),
            ("run digits --set epoch=3", &[digits, "at `epoch`: unknown field", "`epochs`"]),
            (
                "run digits --set estimator.oscillation.periode=3",
                &[digits, "at `estimator.oscillation.periode`: unknown field", "`period`"],
            ),
            ("run digits --set estimator=magic", &[digits, "at `estimator`", "`magic`", "`oscillation`"]),
            (
                "run digits --set estimator.oscillation.integrator.euler.stp=1",
                &[digits, "at `estimator.oscillation.integrator.euler.stp`", "`step`"],
            ),
            ("run digits --set model.layer=3", &[digits, "at `model.layer`: unknown field", "`layers`"]),
            ("run digits --set model.layers.1.siez=3", &[digits, "at `model.layers[1].siez`", "`size`"]),
            ("run digits --set epochs=many", &[digits, "at `epochs`", "\"many\""]),
            ("run digits --set seed=-1", &[digits, "at `seed`", "-1"]),
            (
                "run digits --set model=7",
                &[digits, "at `model`", "7", "the path of a model file, or a model"],
            ),
            ("run digits --set epochs=0", &[digits, "at `epochs`: found 0", "1 to"]),
            ("run digits --set batch_size=0", &[digits, "at `batch_size`: found 0", "1 to"]),
            ("run digits --set learning_rates.h1-h3=2", &[digits, "at `learning_rates.h1-h3`", "h1-h2"]),
            ("run digits --set learning_rates.h1-h2=-2", &[digits, "at `learning_rates.h1-h2`", "-2"]),
            (
                "run digits --set optimiser.adam_w.learning_rate=-1",
                &[digits, "at `optimiser.adam_w.learning_rate`: found -1"],
            ),
            (
                "run digits --set data.digits.test_fraction=1",
                &[digits, "at `data.digits.test_fraction`: found 1"],
            ),
            ("run digits --set data=cifar", &[digits, "at `data`", "`cifar`", "did you mean `cifar10`?"]),
            ("run digits --set data=flowers", &[digits, "at `data`", "`flowers`", "`fashion_mnist`"]),
            (
                "run digits --set data=toy_gaussian",
                &[digits, "at `data`: found samples of 6 inputs", "64 inputs"],
            ),
            (
                r#"run digits --set data={"toy_gaussian":{"inputs":64,"classes":10,"samples":1000000000000}}"#,
                &[digits, "at `data.toy_gaussian"],
            ),
            (
                "run digits --set data.mnist.folder=absent",
                &[digits, "at `data`: found more than one name", "replace the whole"],
            ),
            (
                r#"run digits --set model=../models/mnist.json --set data={"mnist":{"folder":"absent"}}"#,
                &["absent: there is no such folder"],
            ),
            (
                r#"run digits --set data={"mnist":{"folder":"absent"}}"#,
                &[digits, "at `data`: found samples of 784 inputs", "64 inputs"],
            ),
            (r#"run digits --set data={"images":{"folder":"absent"}}"#, &["absent: there is no such folder"]),
            ("run digits --set data=images", &[digits, "at `data`", "images need their folder"]),
            (
                r#"run digits --set model.input={"shape":[4,16,1]}"#,
                &[
                    digits,
                    "at `data`: found images of the shape [8, 8, 1]",
                    "[4, 16, 1] (height, width, channels)",
                ],
            ),
            (
                "run digits --set estimator.cauchy.points=6",
                &[digits, "at `estimator`: found more than one name"],
            ),
            (
                "run trace --set sample=1",
                &["built-in experiments/trace.json", "at `sample`: found 1 in a batch of 1"],
            ),
            ("run trace --set periods=0", &["at `periods`: found 0", "2 to"]),
            ("run amplitude --set amplitudes=[]", &["at `amplitudes`: found none"]),
            ("run amplitude --set amplitudes=[0.1,-1]", &["at `amplitudes[1]`: found -1"]),
            ("run frequency --set periods=[]", &["at `periods`: found none"]),
            ("run frequency --set periods=[10,0]", &["at `periods[1]`: found 0"]),
            ("run frequency --set richardson=9", &["at `richardson`: found 9", "1 to 6"]),
            ("run gradient --set estimators={}", &["at `estimators`: found none"]),
            (r#"run gradient --set estimators={"a/b":"adjoint"}"#, &["at `estimators`", "a/b"]),
        ],
    );
}

#[test]
fn physics_that_cannot_be_is_refused() {
    let files = program::shipped_files();
    let period = "run digits --set estimator.oscillation.period";
    let at_period = "at `estimator.oscillation.period`: found ";
    let noise = "run digits --set imperfections.state_noise";
    let cases: Vec<(String, Vec<&str>)> = vec![
        (format!("{period}=0"), vec![at_period, "greater than 0"]),
        (format!("{period}=-60"), vec![at_period, "-60"]),
        (format!("{period}=1e300"), vec![at_period, "1e9 steps"]),
        (format!("{period}=60.5"), vec![at_period, "60.5", "60 and 61"]),
        (format!("{period}=2"), vec![at_period, "at least 3"]),
        (format!("{period}=1e300 --set estimator.oscillation.integrator=dopri5"), vec![at_period]),
        ("run frequency --set periods=[1e300]".into(), vec!["at `periods[0]`: found "]),
        ("run frequency --set settle_time=1e300".into(), vec!["at `settle_time`: found "]),
        (format!("{noise}.white.std=-0.1"), vec!["at `imperfections.state_noise.white.std`: found -0.1"]),
        (format!("{noise}.held.std=loud"), vec!["at `imperfections.state_noise", "\"loud\""]),
        (
            format!("{noise}.white.std=0.1 --set estimator.oscillation.integrator=dopri5"),
            vec!["at `estimator.oscillation.integrator`: found white noise with an adaptive", "euler"],
        ),
        (
            format!("{noise}.held.std=0.1 --set estimator.oscillation.integrator=dop853"),
            vec![
                "at `estimator.oscillation.integrator`: found noise that is held through a step with an adaptive",
            ],
        ),
        (
            format!("{noise}.white.std=0.1 --set form=rate"),
            vec!["at `estimator.oscillation.integrator`: found white noise with the rate form", "`held`"],
        ),
        ("run digits --set model.activation=relu".into(), vec!["at `estimator.oscillation`", "relu", "tanh"]),
        ("run trace --set model.activation=hard_tanh".into(), vec!["at `model`", "not holomorphic", "tanh"]),
        (
            "run digits --set estimator.oscillation.amplitude=0".into(),
            vec!["at `estimator.oscillation.amplitude`: found 0"],
        ),
        (
            "run digits --set estimator.oscillation.integrator.euler.step=0".into(),
            vec!["at `estimator.oscillation.integrator.euler.step`: found 0"],
        ),
        ("run digits --set inference.step=-1".into(), vec!["at `inference.step`: found -1"]),
    ];
    for (line, words) in &cases {
        refuse_all(files.path(), &[(line, words)]);
    }
}

#[test]
fn malformed_models_are_refused() {
    let files = program::shipped_files();
    let folder = files.path();
    let variants: [(&str, &str, Value, &[&str]); 14] = [
        ("activation", "/activation", json!("sine"), &["at `activation`", "`sine`", "`tanh`"]),
        (
            "slope",
            "/activation",
            json!({ "logistic": { "slope": 0.0 } }),
            &["at `activation.logistic", "found 0"],
        ),
        (
            "unknown",
            "/connections/1/from",
            json!("h7"),
            &["at `connections[1].from`: found \"h7\"", "`h1`, `h2`"],
        ),
        ("to_input", "/connections/1/to", json!("input"), &["at `connections[1].to`: found \"input\""]),
        ("twice", "/layers/1/name", json!("h1"), &["at `layers[1].name`: found `h1` twice"]),
        ("reserved", "/layers/1/name", json!("readout"), &["at `layers[1].name`: found \"readout\""]),
        ("fed_back", "/connections/0/feedback", json!("tied"), &["at `connections[0].feedback`", "clamped"]),
        ("taus", "/layers/0/tau", json!([1.0, 2.0]), &["at `layers[0].tau`: found 2 time constants for 4"]),
        ("tau", "/layers/0/tau", json!(0.0), &["at `layers[0].tau`: found 0"]),
        ("empty", "/layers/0/size", json!(0), &["at `layers[0].size`: found 0"]),
        ("vast", "/layers/0/size", json!(1_000_000_000_000_u64), &["at `layers`", "GiB", "lower `size`"]),
        ("beyond", "/input", json!(u64::MAX), &["at `layers`", "GiB"]),
        ("classes", "/readout/classes", json!(1), &["at `readout.classes`: found 1"]),
        ("layers", "/layers", json!([]), &["at `layers`: found no layer"]),
    ];
    let toy = program::json(folder.join("models/toy.json"));
    for (name, pointer, value, words) in variants {
        let mut model = toy.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        model.pointer_mut(parent).unwrap()[key] = value;
        let file = format!("models/{name}.json");
        fs::write(folder.join(&file), model.to_string()).unwrap();
        let named = format!("{name}.json: ");
        let words = [words, &[named.as_str()]].concat();
        refuse_all(
            folder,
            &[
                (&format!("check {file}"), &words),
                (&format!("run experiments/gradient.json --set model=../{file}"), &words),
            ],
        );
    }
    let mut twice = toy.clone();
    twice["connections"][1] = json!({ "from": "input", "to": "h1" });
    fs::write(folder.join("models/duplicate.json"), twice.to_string()).unwrap();
    refuse_all(
        folder,
        &[
            (
                "check models/duplicate.json",
                &["duplicate.json: at `connections[1]`: found a second connection"],
            ),
            (
                "run experiments/gradient.json --set model=../models/absent.json",
                &["experiments/gradient.json", "`model`", "cannot read experiments/../models/absent.json"],
            ),
            (
                "run experiments/gradient.json --set model=toy.safetensors",
                &["toy.safetensors (from experiments/gradient.json, `model`)", "not JSON"],
            ),
            ("run gradient --set model=absent.json", &["absent.json", "`model`", "cannot read absent.json"]),
        ],
    );
}

#[test]
fn malformed_tensors_are_refused() {
    let files = program::shipped_files();
    let folder = &files.path().join("experiments");
    let toy = read_tensors(folder.join("toy.safetensors")).unwrap();
    let with = |base: &Tensors, name: &str, shape: &[usize], values: Values, file: &str| {
        let mut tensors = base.clone();
        tensors.insert(name, shape, values);
        write_tensors(folder.join(file), &tensors).unwrap();
    };
    let ones = |count: usize| Values::F64(vec![1.0; count]);
    with(&toy, "h1.bias", &[5], ones(5), "long.safetensors");
    with(&toy, "h1.bias", &[4], Values::F64(vec![0.0, 0.0, f64::NAN, 0.0]), "nan.safetensors");
    with(&toy, "h1.bias", &[4], Values::Integer(vec![0; 4]), "integers.safetensors");
    with(&toy, "h9.bias", &[4], ones(4), "extra.safetensors");
    let bytes = fs::read(folder.join("toy.safetensors")).unwrap();
    fs::write(folder.join("cut.safetensors"), &bytes[..bytes.len() - 7]).unwrap();
    fs::write(folder.join("header.safetensors"), &bytes[..5]).unwrap();
    fs::write(folder.join("void.safetensors"), b"").unwrap();
    let mut liar = bytes.clone();
    liar[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(folder.join("liar.safetensors"), liar).unwrap();

    let batch = read_tensors(folder.join("toy_batch.safetensors")).unwrap();
    with(&batch, "y", &[1], Values::Integer(vec![4]), "label.safetensors");
    with(&batch, "y", &[1], Values::Integer(vec![-1]), "negative.safetensors");
    with(&batch, "y", &[2], Values::Integer(vec![0, 1]), "labels.safetensors");
    with(&batch, "y", &[1, 4], ones(4), "improbable.safetensors");
    with(&batch, "x", &[1, 7], ones(7), "wide.safetensors");
    with(&batch, "x", &[0, 6], ones(0), "none.safetensors");
    with(&batch, "x", &[6], ones(6), "flat.safetensors");

    let cases: [(&str, &str, &[&str]); 17] = [
        ("parameters", "absent", &["gradient.json", "`parameters`", "cannot be read"]),
        ("parameters", "long", &["at `h1.bias`: found the shape [5]", "[4]"]),
        ("parameters", "nan", &["at `h1.bias`: entry [2] is NaN", "finite"]),
        ("parameters", "integers", &["at `h1.bias`: found integers"]),
        ("parameters", "extra", &["unknown array `h9.bias`", "`h2.bias`"]),
        ("parameters", "cut", &[]),
        ("parameters", "header", &[]),
        ("parameters", "void", &[]),
        ("parameters", "liar", &[]),
        ("parameters", "toy_batch", &["there is no array `", "`x`"]),
        ("batch", "label", &["at `y`: entry [0] is 4", "between 0 and 3"]),
        ("batch", "negative", &["at `y`: entry [0] is -1", "between 0 and 3"]),
        ("batch", "labels", &["at `y`: found the shape [2]", "[1]"]),
        ("batch", "improbable", &["at `y`", "sample 0 do not sum to 1"]),
        ("batch", "wide", &["at `x`: found the shape [1, 7]", "[1, 6]"]),
        ("batch", "none", &["at `x`: found no samples"]),
        ("batch", "flat", &["at `x`: found the shape [6]"]),
    ];
    for (field, name, words) in cases {
        let file = format!("{name}.safetensors");
        let words = [words, &[file.as_str()]].concat();
        let line = format!("run experiments/gradient.json --set {field}={file}");
        refuse_all(files.path(), &[(&line, &words)]);
        // The check finds what the run would.
        let mut experiment = program::json(folder.join("gradient.json"));
        experiment[field] = json!(file);
        fs::write(folder.join("checked.json"), experiment.to_string()).unwrap();
        refuse_all(files.path(), &[("check experiments/checked.json", &words[words.len() - 1..])]);
    }
}

#[test]
fn bad_flags_and_folders_are_refused() {
    let files = program::shipped_files();
    let folder = files.path();
    fs::write(folder.join("file"), "").unwrap();
    let short: Vec<&str> = SHORT.split(' ').chain(["--out", "finished"]).collect();
    program::succeed(folder, &short);
    for name in ["damaged", "foreign"] {
        program::copy_folder(&folder.join("finished"), &folder.join(name));
    }
    program::copy_folder(&folder.join("experiments"), &folder.join("gradient"));
    fs::rename(folder.join("gradient/gradient.json"), folder.join("gradient/experiment.json")).unwrap();
    let checkpoint = fs::read(folder.join("finished/checkpoint.safetensors")).unwrap();
    fs::write(folder.join("damaged/checkpoint.safetensors"), &checkpoint[..checkpoint.len() / 2]).unwrap();
    fs::copy(folder.join("experiments/toy.safetensors"), folder.join("foreign/checkpoint.safetensors"))
        .unwrap();
    refuse_all(
        folder,
        &[
            ("fly", &["fly"]),
            ("run", &["EXPERIMENT"]),
            ("run digits --fast", &["--fast"]),
            ("run digits --threads many", &["--threads", "many"]),
            ("run digits --threads -1", &["-1"]),
            ("run digits --threads 100000000", &["--threads", "100000000"]),
            ("run digits --set epochs", &["--set epochs", "no `=`", "path.to.key=value"]),
            ("run digits --set =3", &["--set =3", "empty part"]),
            ("run digits --set epochs.x=3", &["--set epochs.x=3", "above `x`"]),
            ("run digits --set model.layers.9.size=3", &["--set model.layers.9.size=3", "a list of 2"]),
            ("run digits --out experiments", &["experiments: the folder is not empty", "--resume"]),
            ("run digits --out file", &["file: "]),
            ("run digits --out file/below", &["file/below: "]),
            ("run digits --out /proc/x", &["/proc/x: cannot create"]),
            ("run digits --resume --out absent", &["absent: found no run to continue"]),
            ("run digits --resume --out experiments", &["experiments: found no run to continue"]),
            (
                "run digits --resume --out finished --set batch_size=3",
                &["finished/experiment.json: at `batch_size`", "only `epochs`"],
            ),
            ("run digits --resume --out finished --set epochs=9", &["at `epochs`", "begun for 1", "falls"]),
            ("run digits --resume --out gradient", &["kind `gradient`", "`continuous`"]),
            ("run digits --resume --out damaged", &["damaged/checkpoint.safetensors"]),
            ("run digits --resume --out foreign", &["foreign/checkpoint.safetensors"]),
            ("plot absent", &["absent"]),
            ("plot models", &["models: found no run"]),
        ],
    );
}

/// What `run` refuses before it begins, `check` refuses too.
#[test]
fn a_check_builds_what_the_run_would() {
    let files = program::shipped_files();
    let folder = files.path();
    let toy_inputs = &["at `data`: found samples of 64 inputs", "the model has 6 inputs"];
    let cases: [(&str, &str, Value, &[&str]); 5] = [
        ("digits.json", "learning_rates", json!({ "nope": 1 }), &["at `learning_rates.nope`"]),
        ("digits.json", "model", json!("../models/toy.json"), toy_inputs),
        (
            "digits.json",
            "data",
            json!("toy_gaussian"),
            &["at `data`: found samples of 6 inputs", "64 inputs"],
        ),
        ("continuous_plasticity.json", "learning_rates", json!({ "nope": 1 }), &["at `learning_rates.nope`"]),
        ("continuous_plasticity.json", "data", json!("mnist"), &["at `data`: found samples of 784 inputs"]),
    ];
    for (file, field, value, words) in cases {
        let mut experiment = program::json(folder.join("experiments").join(file));
        experiment[field] = value;
        fs::write(folder.join("experiments/checked.json"), experiment.to_string()).unwrap();
        refuse_all(
            folder,
            &[("check experiments/checked.json", words), ("run experiments/checked.json", words)],
        );
    }
}

/// The other members of the kind: samples, files of data, and files that have no end.
#[test]
fn a_check_refuses_what_the_run_would() {
    let files = program::shipped_files();
    let folder = files.path();
    let mut absent = program::json(folder.join("experiments/digits.json"));
    absent["model"] = json!("../models/mnist.json");
    absent["data"] = json!({ "mnist": { "folder": "absent" } });
    fs::write(folder.join("experiments/images.json"), absent.to_string()).unwrap();
    let sweep = json!({ "kind": "sweep", "experiment": "images.json", "seeds": 2 });
    fs::write(folder.join("experiments/images_sweep.json"), sweep.to_string()).unwrap();
    let mut cases: Vec<(&str, &str, &[&str])> = vec![
        ("trace", "sample=1", &["at `sample`: found 1 in a batch of 1"]),
        ("experiments/paper1/fig2a.json", "sample=9", &["at `sample`: found 9 in a batch of 1"]),
        ("frequency_optimum", "sample=1", &["at `sample`: found 1 in a batch of 1"]),
        ("experiments/images.json", "epochs=3", &["absent: there is no such folder"]),
        ("experiments/images_sweep.json", "seeds=3", &["absent: there is no such folder"]),
    ];
    if cfg!(unix) {
        cases.push(("gradient", "parameters=/dev/zero", &["/dev/zero (from ", "the header is bad"]));
        cases.push(("gradient", "batch=/dev/zero", &["/dev/zero (from ", "the header is bad"]));
        cases.push(("gradient", "model=/dev/zero", &["/dev/zero", "does not end"]));
    }
    for (file, set, words) in cases {
        refuse_all(
            folder,
            &[(&format!("check {file} --set {set}"), words), (&format!("run {file} --set {set}"), words)],
        );
    }
}

/// A slip is answered by what was meant, in words of the field, and not by all that could stand there.
#[test]
fn a_slip_is_answered_by_what_was_meant() {
    let files = program::shipped_files();
    let folder = files.path();
    let cases: [(&str, &[&str]); 12] = [
        ("check digits --set epoch=3", &["at `epoch`: unknown field `epoch`; did you mean `epochs`?"]),
        (
            "check digits --set estimator=osillation",
            &["unknown name `osillation`; did you mean `oscillation`?"],
        ),
        ("check digits --set kind=trian", &["found \"trian\"; did you mean `train`?"]),
        ("check digitss", &["did you mean `digits`?"]),
        ("check digits --set learning_rates.h1-h3=2", &["did you mean `h1-h2`?"]),
        ("check models/digits.json --set connections.1.to=h22", &["did you mean `h2`?"]),
        (
            "check digits --set epochs=many",
            &["at `epochs`: found the text \"many\"; it must be a whole number"],
        ),
        (
            "check digits --set compare=0.5",
            &["at `compare`: found 0.5; it must be a whole number, at least 0"],
        ),
        ("check digits --set imperfections.readout.adc=5", &["found 5; it must be an object"]),
        ("check digits --set model.layers.0.size=[]", &["found a list; it must be a whole number"]),
        (
            "check digits --set estimator.oscillation={}",
            &["at `estimator.oscillation`: the field `amplitude` is missing"],
        ),
        ("check digits_substrates --set experiment.epoch=3", &["epoch`", "did you mean `epochs`?"]),
    ];
    for (line, words) in cases {
        refuse_all(folder, &[(line, words)]);
        let output = run(folder, &line.split_whitespace().collect::<Vec<_>>());
        let told = text(&output.stderr);
        assert!(told.len() < 500, "{told}");
        for word in ["struct ", "usize", "u64", "f64", "variant", "enum"] {
            assert!(!told.contains(word), "{told}");
        }
    }
}

/// Marks that editors leave in files, and the key by which they find the schema.
#[test]
fn what_editors_write_is_read() {
    let files = program::shipped_files();
    let folder = files.path();
    for name in ["experiments/gradient.json", "models/toy.json"] {
        let mut document = program::json(folder.join(name));
        document["$schema"] = json!("../schema.json");
        fs::write(folder.join(name), format!("\u{feff}{document}")).unwrap();
    }
    program::succeed(folder, &["check", "models/toy.json"]);
    program::succeed(folder, &["check", "experiments/gradient.json"]);
    program::succeed(folder, &["check", "experiments/gradient.json", "--set", "model.name=other"]);
    let mut wrong = program::json(folder.join("experiments/trace.json"));
    wrong["$schema"] = json!(1);
    fs::write(folder.join("wrong.json"), wrong.to_string()).unwrap();
    refuse_all(folder, &[("check wrong.json", &["unknown field `$schema`"])]);
}

/// A folder called as a shipped experiment is no reason not to find it.
#[test]
fn a_folder_does_not_hide_a_shipped_experiment() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("digits")).unwrap();
    let told = program::succeed(folder.path(), &["check", "digits"]);
    assert!(told.contains("a legal experiment of kind `train`"), "{told}");
}

/// A reader that leaves, as `head` does, is no failure.
#[test]
#[cfg(unix)]
fn a_reader_may_leave() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["schema"][..], &["list"], &["check", "digits"]] {
        let mut command = holograd(folder.path(), arguments);
        let pipe = std::process::Stdio::piped;
        let mut child = command.stdout(pipe()).stderr(pipe()).spawn().unwrap();
        // Nobody reads.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported_and_leaves_nothing() {
    let files = program::shipped_files();
    let folder = files.path();
    fs::create_dir(folder.join("empty")).unwrap();
    // In blocks of 512 bytes: fails at experiment.json, then at the checkpoint.
    for (blocks, file) in [(1, "experiment.json"), (16, "checkpoint.safetensors")] {
        for out in ["out", "empty"] {
            let arguments: Vec<&str> = SHORT.split(' ').chain(["--out", out]).collect();
            let command = program::on_a_full_disk(folder, blocks, &arguments);
            refused(folder, command, &[&format!("{out}/{file}: cannot write")]);
        }
    }
}

#[test]
#[cfg(unix)]
fn an_unwritable_folder_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let files = program::shipped_files();
    let locked = files.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // Nothing stops the superuser; then an unwritable file system stands in.
    let obeyed = fs::write(locked.join("probe"), "").is_err();
    let out = if obeyed { "locked/out" } else { "/sys/out" };
    refuse_all(files.path(), &[(&format!("{SHORT} --out {out}"), &[out, "cannot create"])]);
}

/// With a read-out the cost is the read-out's; without one it stands at the top of the model. Nothing wins over the other.
#[test]
fn a_cost_stands_in_one_place() {
    let told = |readout: Option<&str>, cost: Option<&str>| {
        let mut model = json!({ "name": "small", "input": 2, "layers": [{ "name": "h1", "size": 3 }], "activation": "tanh",
            "connections": [{ "from": "input", "to": "h1" }] });
        if let Some(cost) = readout {
            model["readout"] = json!({ "from": "h1", "classes": 2, "cost": cost });
        }
        if let Some(cost) = cost {
            model["cost"] = json!(cost);
        }
        let spec: ModelSpec = serde_json::from_value(model).unwrap();
        spec.validate().err().map(|invalid| invalid.to_string())
    };
    let (cross_entropy, squared_error) = (Some("cross_entropy"), Some("squared_error"));
    assert_eq!((told(cross_entropy, None), told(None, squared_error)), (None, None));
    for (readout, cost, words) in [
        (cross_entropy, cross_entropy, "at `cost`: found a cost beside a read-out; put it in `readout.cost`"),
        (cross_entropy, squared_error, "at `cost`: found a cost beside a read-out; put it in `readout.cost`"),
        (squared_error, None, "at `readout.cost`: found squared_error; a read-out has `cross_entropy`"),
        (None, cross_entropy, "at `cost`: found cross_entropy without a read-out"),
        (None, None, "found neither `readout` nor `cost`"),
    ] {
        let message = told(readout, cost).unwrap_or_default();
        assert!(message.contains(words), "{message}");
    }
}
