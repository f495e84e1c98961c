//! The command line and the run folders keep their contract.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::program::{self, json, metrics, succeed};
use holograd::experiment::{self, library};
use holograd::files::{read_tensors, sha256};
use serde_json::{Value, json};

/// One epoch of the digits on a tenth of the samples.
const DIGITS: [&str; 6] = ["run", "digits", "--set", "epochs=1", "--set", "data.digits.test_fraction=0.9"];

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// Checks what every finished run folder holds; `written` are the files of its kind.
fn assert_complete(folder: &Path, command: &[&str], written: &[&str]) {
    let found = names(folder);
    let common = ["experiment.json", "manifest.json", "summary.json"];
    for name in common.iter().chain(written) {
        assert!(found.contains(*name), "no {name} among {found:?}");
    }
    assert!(!found.iter().any(|name| name.starts_with('.')), "{found:?}");
    let figures: Vec<&str> = found.iter().filter_map(|name| name.strip_suffix(".svg")).collect();
    assert!(!figures.is_empty());
    for figure in figures {
        assert!(fs::read_to_string(folder.join(format!("{figure}.svg"))).unwrap().contains("</svg>"));
        assert!(fs::read(folder.join(format!("{figure}.png"))).unwrap().starts_with(b"\x89PNG"));
    }
    let manifest = json(folder.join("manifest.json"));
    let hashed: BTreeSet<String> = manifest["sha256"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(hashed, found.iter().filter(|name| *name != "manifest.json").cloned().collect());
    for name in &hashed {
        assert_eq!(manifest["sha256"][name], json!(sha256(folder.join(name)).unwrap()), "{name}");
    }
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["seed"], 0);
    let told: Vec<&str> =
        manifest["command"].as_array().unwrap()[1..].iter().filter_map(Value::as_str).collect();
    assert_eq!(told, command);
    for field in ["machine", "wall_seconds", "finished_unix_seconds", "commit", "program"] {
        assert!(!manifest[field].is_null(), "{field}");
    }
}

#[test]
fn every_shipped_experiment_loads() {
    let names = library::experiments();
    assert!(names.len() >= 5);
    let data = blank_images();
    let options = experiment::Options { data: Some(data.path().to_owned()), ..Default::default() };
    for name in names {
        let loaded = experiment::load(&name, &[]).unwrap();
        let resolved = serde_json::to_value(&loaded.experiment).unwrap();
        // A sweep holds the experiment that it varies, with its model.
        let whole = if resolved["kind"] == "sweep" { &resolved["experiment"] } else { &resolved };
        assert!(whole["model"].is_object(), "{name} has its model written out");
        assert!(!resolved["description"].as_str().unwrap().is_empty(), "{name} has a line for the list");
        let told = experiment::load::check(&name, &[], &options).unwrap();
        assert!(told.contains("evaluation") && told.contains("of memory"), "{name}: {told}");
    }
    assert!(library::experiments().iter().any(|name| name == library::DEFAULT));
}

/// NumPy's form of an array of zeros, or ones of eight bytes.
fn npy(element: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': ({shape}), }}");
    let header = format!("{header:<117}\n");
    [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), bytes].concat()
}

/// A file of ImageNet 32 × 32 with so many images of the first class, all of one shade.
fn blank_imagenet(path: &Path, count: usize, shade: u8) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    let labels = 1_i64.to_le_bytes().repeat(count);
    for (name, content) in [
        ("data.npy", npy("|u1", &format!("{count}, 3072"), &vec![shade; 3072 * count])),
        ("labels.npy", npy("<i8", &format!("{count},"), &labels)),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(&content).unwrap();
    }
    zip.finish().unwrap();
}

/// As many blank images as shipped experiments ask for, most of them in files that are holes.
fn blank_images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // No two files may hold the same images: each has a shade of its own somewhere.
    let imagenet = (1..=10).map(|k| format!("train_data_batch_{k}.npz")).chain(["val_data.npz".to_owned()]);
    for (shade, file) in (1..).zip(imagenet) {
        blank_imagenet(&folder.path().join(file), 4, shade);
    }
    let cifar10 = (1..=5).map(|k| format!("data_batch_{k}.bin")).chain(["test_batch.bin".to_owned()]);
    let cifar100 = ["train.bin", "test.bin"].map(|name| (name.to_owned(), 3074));
    for (shade, (file, record)) in (1..).zip(cifar10.map(|name| (name, 3073)).chain(cifar100)) {
        let mut file = fs::File::create(folder.path().join(file)).unwrap();
        // Labels, which stay 0, and the first pixel.
        file.write_all(&[0, 0, shade]).unwrap();
        file.set_len(2000 * record).unwrap();
    }
    for (part, count) in [("train", 20_000_u32), ("t10k", 2_000)] {
        let images = [2051_u32, count, 28, 28].map(u32::to_be_bytes).concat();
        let labels = [2049_u32, count].map(u32::to_be_bytes).concat();
        for (kind, header, each) in [("images-idx3", images, 784), ("labels-idx1", labels, 1)] {
            let path = folder.path().join(format!("{part}-{kind}-ubyte"));
            std::fs::write(&path, &header).unwrap();
            let length = header.len() as u64 + u64::from(count) * each;
            std::fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        }
    }
    folder
}

#[test]
fn list_check_and_help_answer() {
    let files = program::shipped_files();
    let folder = files.path();
    let listed = succeed(folder, &["list"]);
    for name in library::experiments() {
        assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(&name)), "{listed}");
    }
    assert!(succeed(folder, &["check", "digits"]).contains("a legal experiment of kind `train`"));
    let checked = succeed(folder, &["check", "experiments/gradient.json"]);
    assert!(checked.contains("experiments/gradient.json: a legal experiment of kind `gradient`"));
    let checked = succeed(folder, &["check", "models/toy.json"]);
    assert!(checked.contains("models/toy.json: a legal model: 6 inputs, 8 neurons"), "{checked}");
    assert!(succeed(folder, &["check", "models/toy"]).contains("a legal model"));
    let help = succeed(folder, &["--help"]);
    for word in ["run", "check", "list", "plot", "schema", "--threads"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(succeed(folder, &["--version"]).contains(env!("CARGO_PKG_VERSION")));
    // Nothing of this writes.
    assert_eq!(names(folder), BTreeSet::from(["experiments".to_owned(), "models".to_owned()]));
}

#[test]
fn a_gradient_run_keeps_the_interchange() {
    let folder = tempfile::tempdir().unwrap();
    let command = ["run", "gradient", "--out", "out"];
    let told = succeed(folder.path(), &command);
    let out = folder.path().join("out");
    let tensors = ["toy.safetensors", "toy_batch.safetensors", "gradients.safetensors", "states.safetensors"];
    assert_complete(&out, &command, &[&tensors[..], &["comparison.json", "metrics.jsonl"]].concat());

    let labels = ["truth", "bptt", "classic", "centred", "c24", "stair30", "osc40", "osc40r3"];
    let shapes: [(&str, &[usize]); 6] = [
        ("input-h1.weight", &[4, 6]),
        ("h1-h2.weight", &[4, 4]),
        ("h1.bias", &[4]),
        ("h2.bias", &[4]),
        ("readout.weight", &[4, 4]),
        ("readout.bias", &[4]),
    ];
    let gradients = read_tensors(out.join("gradients.safetensors")).unwrap();
    let states = read_tensors(out.join("states.safetensors")).unwrap();
    let (mut expected_gradients, mut expected_states) = (BTreeSet::new(), BTreeSet::new());
    for label in labels {
        for (name, shape) in shapes {
            let name = format!("{label}/{name}");
            assert_eq!(gradients.get(&name).unwrap_or_else(|| panic!("no {name}")).shape, shape);
            expected_gradients.insert(name);
        }
        for layer in ["h1", "h2"] {
            let name = format!("{label}/{layer}/free");
            assert_eq!(states.get(&name).unwrap_or_else(|| panic!("no {name}")).shape, [1, 4]);
            expected_states.insert(name);
        }
    }
    for layer in ["h1", "h2"] {
        for rail in ["nudged_re", "nudged_im"] {
            let name = format!("c24/{layer}/{rail}");
            assert_eq!(states.get(&name).unwrap_or_else(|| panic!("no {name}")).shape, [24, 1, 4]);
            expected_states.insert(name);
        }
    }
    let held =
        |tensors: &holograd::files::Tensors| tensors.names().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(held(&gradients), expected_gradients);
    // Other estimators of frozen phases may tell their nudged states as well.
    assert!(held(&states).is_superset(&expected_states));

    let comparison = json(out.join("comparison.json"));
    for label in labels {
        assert!(told.contains(label));
        let entry = &comparison[label];
        let places = shapes.iter().map(|(name, _)| &entry["parameters"][*name]).chain([&entry["total"]]);
        for place in places {
            let (cosine, error) =
                (place["cosine"].as_f64().unwrap(), place["relative_error"].as_f64().unwrap());
            assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&cosine) && error >= 0.0, "{label}: {entry}");
        }
        assert!(entry["total"]["cosine"].as_f64().unwrap() > 0.99, "{label}: {entry}");
    }
    assert_eq!(comparison["truth"]["total"]["relative_error"], 0.0);
    // Aliasing: (amplitude/radius)^points, with a radius of 0.6 to 0.7.
    assert!(comparison["c24"]["total"]["relative_error"].as_f64().unwrap() < 1e-4);
    assert_eq!(json(out.join("summary.json"))["truth"], "truth");
    assert_eq!(metrics(&out).len(), labels.len());

    // What was written is itself an experiment, and gives the same numbers.
    succeed(folder.path(), &["run", "out/experiment.json", "--out", "again"]);
    for name in tensors {
        assert!(
            fs::read(out.join(name)).unwrap() == fs::read(folder.path().join("again").join(name)).unwrap()
        );
    }
    assert_eq!(json(out.join("experiment.json")), json(folder.path().join("again/experiment.json")));

    // Figures are redrawn from the folder alone, to the same bytes.
    let figures = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let drawn = |name: &String| name.ends_with(".svg") || name.ends_with(".png");
        let names = names(folder).into_iter().filter(drawn);
        names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
    };
    let before = figures(&out);
    for (name, _) in &before {
        fs::remove_file(out.join(name)).unwrap();
    }
    succeed(folder.path(), &["plot", "out"]);
    assert!(figures(&out) == before);

    // In another width, and in other files.
    succeed(folder.path(), &["plot", "out", "--width", "183mm", "--format", "svg,pdf"]);
    assert!(fs::read_to_string(out.join("gradient.svg")).unwrap().contains("width=\"183mm\""));
    assert!(fs::read(out.join("gradient.pdf")).unwrap().starts_with(b"%PDF-"));
    let png = |figures: &[(String, Vec<u8>)]| figures.iter().filter(|f| f.0.ends_with(".png")).count();
    assert_eq!(png(&figures(&out)), png(&before));
    let refused = program::run(folder.path(), &["plot", "out", "--width", "3in"]);
    assert_eq!(refused.status.code(), Some(2));
    let complaint = program::text(&refused.stderr);
    assert!(complaint.contains("60 to 400 millimetres"), "{complaint}");
}

/// Nothing but errors, and no progress where nothing can be redrawn and the run is short.
#[test]
fn a_quiet_run_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let told = succeed(folder.path(), &["run", "gradient", "--out", "out", "--quiet"]);
    assert_eq!(told, "");
    assert!(folder.path().join("out/manifest.json").exists());
}

#[test]
fn a_trace_run_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let command = ["run", "trace", "--set", "periods=3", "--out", "a/b/trace"];
    succeed(folder.path(), &command);
    let out = folder.path().join("a/b/trace");
    let experiment = json(out.join("experiment.json"));
    assert_eq!(experiment["periods"], 3);
    // The trace is its record, point by point.
    assert_complete(&out, &command, &["trace.npz", "trace.units.json", "neurons.json", "toy.safetensors"]);
    assert!(json(out.join("summary.json"))["cosine"].as_f64().unwrap() > 0.9);
    assert_eq!(json(out.join("neurons.json"))["neurons"].as_array().unwrap().len(), 8);
}

/// A trace shows the device that is asked for, with its noise, and the neurons that are asked for.
#[test]
fn a_trace_takes_imperfections_and_chosen_neurons() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, more: &[&str]| {
        let command =
            ["run", "trace", "--set", "periods=2", "--set", "integrator.rk4.step=0.1", "--out", name];
        succeed(folder.path(), &[&command[..], more].concat());
        let units = json(folder.path().join(name).join("trace.units.json"));
        (holograd::files::read_npz(folder.path().join(name).join("trace.npz")).unwrap(), units)
    };
    let (all, _) = trace("all", &[]);
    let chosen = ["--set", r#"neurons=["h2[3]","h1[0]"]"#];
    let (few, units) = trace("few", &chosen);
    assert_eq!(json(folder.path().join("few/neurons.json"))["neurons"], json!(["h2[3]", "h1[0]"]));
    assert!(units["rate_re"].is_object(), "{units}");
    for name in ["potential_re", "rate_re", "rate_im"] {
        let (shape, values) = &few[name];
        assert_eq!(shape[1], 2);
        let (_, whole) = &all[name];
        let expected: Vec<f64> = whole.chunks(8).flat_map(|row| [row[7], row[0]]).collect();
        assert!(*values == expected, "{name}");
    }
    // Rates are ρ of the potentials: 1/(1 + e^(2 − 4u)) on the real axis, where the trace begins.
    let (u, a) = (few["potential_re"].1[0], few["rate_re"].1[0]);
    assert!((a - 1.0 / (1.0 + (2.0 - 4.0 * u).exp())).abs() < 1e-12, "{a} at {u}");
    let noise = [&chosen[..], &["--set", "imperfections.state_noise.held.std=0.05"]].concat();
    let (noisy, _) = trace("noisy", &noise);
    let (other, _) = trace("other", &[&noise[..], &["--set", "seed=1"]].concat());
    assert!(noisy["potential_re"] != few["potential_re"] && noisy["potential_re"] != other["potential_re"]);
    // All that are asked for are drawn, however many.
    let many = r#"neurons=["h1[0]","h1[1]","h1[2]","h2[0]","h2[1]","h2[2]"]"#;
    trace("many", &["--set", many]);
    let figure = std::fs::read_to_string(folder.path().join("many/trace.svg")).unwrap();
    for name in ["h1, neuron 1", "h1, neuron 3", "h2, neuron 3"] {
        assert!(figure.contains(name), "{name} is not in the legend");
    }
    assert!(!figure.contains("others"));
    let mismatch = ["--set", "imperfections.fabrication.gain.std=0.1"];
    assert!(trace("device", &mismatch).0["potential_re"] != all["potential_re"]);

    let refused = program::run(folder.path(), &["run", "trace", "--set", r#"neurons=["h9[0]"]"#]);
    assert_eq!(refused.status.code(), Some(2));
    let complaint = program::text(&refused.stderr);
    assert!(complaint.contains("neurons[0]") && complaint.contains("h1[0] … h2[3]"), "{complaint}");
}

#[test]
fn a_training_run_is_complete_and_repeats_from_its_own_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let command = [&DIGITS[..], &["--set", "model.layers.0.size=16", "--out", "out"]].concat();
    let told = succeed(folder.path(), &command);
    let out = folder.path().join("out");
    assert!(told.contains("test accuracy") && told.contains("figures and data: out"), "{told}");
    assert_complete(&out, &command, &["parameters.safetensors", "checkpoint.safetensors", "metrics.jsonl"]);
    let summary = json(out.join("summary.json"));
    for key in ["test_accuracy", "train_accuracy", "epochs", "wall_seconds", "rhs_evaluations"] {
        assert!(summary[key].is_number(), "{key} in {summary}");
    }
    assert_eq!(summary["epochs"], 1);
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.1);
    assert_eq!(metrics(&out).len(), 1);
    let parameters = read_tensors(out.join("parameters.safetensors")).unwrap();
    assert_eq!(parameters.get("h1-h2.weight").unwrap().shape, [64, 16]);

    // Every default is written out, and --set has reached its field.
    let experiment = json(out.join("experiment.json"));
    assert_eq!(experiment["model"]["layers"][0]["size"], 16);
    assert_eq!(experiment["model"]["layers"][0]["bias"], true);
    assert_eq!(experiment["data"]["digits"]["test_fraction"], 0.9);
    for field in ["form", "imperfections", "learning_rates", "inference", "seed", "precision"] {
        assert!(!experiment[field].is_null(), "{field} in {experiment}");
    }
    assert_eq!(experiment["estimator"]["oscillation"]["richardson"], 1);
    succeed(folder.path(), &["run", "out/experiment.json", "--out", "again"]);
    let again = folder.path().join("again");
    assert_eq!(json(again.join("experiment.json")), experiment);
    let bytes = |folder: &Path| fs::read(folder.join("parameters.safetensors")).unwrap();
    assert!(bytes(&out) == bytes(&again));
}

#[test]
fn a_shipped_experiment_takes_files_from_here() {
    let folder = tempfile::tempdir().unwrap();
    let trained = [&DIGITS[..], &["--set", "model.layers.0.size=16", "--out", "trained"]].concat();
    succeed(folder.path(), &trained);
    let weights = folder.path().join("trained/parameters.safetensors");
    // As it is written where the command is given, and whole.
    for (name, path) in
        [("here", "trained/parameters.safetensors".to_owned()), ("whole", weights.display().to_string())]
    {
        let set = format!("parameters={path}");
        let still =
            ["--set", &set, "--set", "model.layers.0.size=16", "--set", "optimiser.adam_w.learning_rate=0"];
        succeed(folder.path(), &[&DIGITS[..], &still, &["--out", name]].concat());
        let kept = fs::read(folder.path().join(name).join("parameters.safetensors")).unwrap();
        assert!(kept == fs::read(&weights).unwrap(), "{path}");
    }
}

#[test]
fn runs_without_a_folder_are_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let quick = ["--set", "periods=2", "--set", "integrator.rk4.step=0.5"];
    for _ in 0..2 {
        succeed(folder.path(), &[&["run", "trace", "--set", "integrator=rk4"][..], &quick].concat());
    }
    assert_eq!(
        names(&folder.path().join("runs")),
        BTreeSet::from(["trace".to_owned(), "trace-2".to_owned()])
    );
}

#[test]
fn the_schema_accepts_what_ships_and_refuses_slips() {
    let folder = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_str(&succeed(folder.path(), &["schema"])).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    for kind in experiment::KINDS.iter().chain(&["oscillation", "dop853", "cross_entropy", "rotated"]) {
        assert!(text.contains(&format!("\"{kind}\"")), "no {kind}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let validate = |value: &Value| valid(&schema, &schema, value);
    let mut count = 0;
    for part in ["experiments", "models"] {
        for name in names(&root.join(part)).into_iter().filter(|name| name.ends_with(".json")) {
            let mut value = json(root.join(part).join(&name));
            assert!(validate(&value), "{part}/{name}");
            value["slip"] = json!(1);
            assert!(!validate(&value), "{part}/{name} with an unknown field");
            count += 1;
        }
    }
    assert!(count >= 7);
    for name in library::experiments() {
        let loaded = experiment::load(&name, &[]).unwrap();
        assert!(
            validate(&serde_json::to_value(&loaded.experiment).unwrap()),
            "{name} with its defaults written out"
        );
    }
    let mut digits = json(root.join("experiments/digits.json"));
    digits["epochs"] = json!("many");
    assert!(!validate(&digits));
    digits["epochs"] = json!(3);
    digits["estimator"] = json!({ "magic": {} });
    assert!(!validate(&digits));
    digits["kind"] = json!("train_and_rest");
    assert!(!validate(&digits));
    // The kind decides: one schema is left to be met, and to be told of.
    let branches = schema["then"]["allOf"].as_array().unwrap();
    assert_eq!(branches.len(), experiment::KINDS.len());
    let open = |value: &Value| branches.iter().filter(|b| valid(&schema, &b["if"], value)).count();
    assert_eq!(open(&json!({ "kind": "sweep" })), 1);
    assert_eq!(open(&json!({ "kind": "lunch" })), 0);
    for reference in text.match_indices("\"#/$defs/").map(|(at, _)| text[at + 1..].split('"').next().unwrap())
    {
        assert!(schema.pointer(&reference[1..]).is_some(), "{reference}");
    }
    // Editors find it by this key.
    for name in ["experiments/digits.json", "models/toy.json"] {
        let mut value = json(root.join(name));
        value["$schema"] = json!("schema.json");
        assert!(validate(&value), "{name}");
        value["$schema"] = json!(1);
        assert!(!validate(&value), "{name}");
    }
}

/// Whether a value meets a schema, for the part of JSON Schema that the program's schema uses.
pub fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(rules) = schema else {
        return schema.as_bool().expect("a schema is an object or a boolean");
    };
    let list = |rule: &Value| rule.as_array().unwrap().clone();
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$ref" => {
            let pointer = rule.as_str().unwrap().trim_start_matches('#');
            valid(root, root.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")), value)
        }
        "type" => match rule {
            Value::Array(types) => types.iter().any(|name| has_type(name, value)),
            name => has_type(name, value),
        },
        "enum" => list(rule).contains(value),
        "const" => rule == value,
        "anyOf" => list(rule).iter().any(|s| valid(root, s, value)),
        "allOf" => list(rule).iter().all(|s| valid(root, s, value)),
        "oneOf" => list(rule).iter().filter(|s| valid(root, s, value)).count() == 1,
        "required" => value
            .as_object()
            .is_none_or(|o| list(rule).iter().all(|key| o.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|fields| {
            fields.iter().all(|(key, field)| rule.get(key).is_none_or(|s| valid(root, s, field)))
        }),
        "additionalProperties" | "unevaluatedProperties" => value.as_object().is_none_or(|fields| {
            let known = |key: &str| knows(root, schema, key);
            fields.iter().all(|(key, field)| known(key) || valid(root, rule, field))
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(root, rule, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "minimum" => value.as_f64().is_none_or(|x| x >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|x| x <= rule.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|x| x > rule.as_f64().unwrap()),
        "exclusiveMaximum" => value.as_f64().is_none_or(|x| x < rule.as_f64().unwrap()),
        "if" => {
            let branch = if valid(root, rule, value) { "then" } else { "else" };
            rules.get(branch).is_none_or(|schema| valid(root, schema, value))
        }
        "then" | "else" => true,
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        other => panic!("the schema uses `{other}`, which this test does not know"),
    })
}

/// Whether a schema, or one that it refers to beside its own rules, names a property.
fn knows(root: &Value, schema: &Value, key: &str) -> bool {
    let referred =
        schema.get("$ref").and_then(Value::as_str).and_then(|r| root.pointer(r.trim_start_matches('#')));
    schema["properties"].get(key).is_some() || referred.is_some_and(|schema| knows(root, schema, key))
}

fn has_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("unknown type {other}"),
    }
}
