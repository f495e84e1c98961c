use npyz::{AutoSerialize, Order, WriteOptions, WriterBuilder};
use serde_json::json;

use super::*;
use crate::data::DataSpec;
use crate::files::write_tensors;

fn npy<N: AutoSerialize>(shape: &[u64], order: Order, numbers: impl IntoIterator<Item = N>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = WriteOptions::new().default_dtype().shape(shape).order(order);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend(numbers).unwrap();
    writer.finish().unwrap();
    bytes
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, bytes).unwrap();
    }
    archive.finish().unwrap();
}

/// Five samples of three inputs; sample s has inputs 10 s, 10 s + 1, 10 s + 2, and the label s mod 3.
fn inputs() -> Vec<f64> {
    (0..15).map(|i| f64::from(10 * (i / 3) + i % 3)).collect()
}

fn labels() -> Vec<i64> {
    (0..5).map(|s| s % 3).collect()
}

fn load(folder: &Path, mut settings: serde_json::Value) -> Result<Split> {
    settings["folder"] = json!(folder);
    let spec: DataSpec = serde_json::from_value(json!({ "files": settings })).unwrap();
    spec.check().map_err(|e| e.in_file("experiment"))?;
    let lookup = Lookup::default();
    let split = spec.load(0, &lookup)?;
    // What is known beforehand is what comes.
    assert_eq!(spec.counts(&lookup)?, (split.train.samples(), split.test.samples()));
    let shape = spec.shape(&lookup)?;
    assert_eq!((shape.inputs, shape.classes), (split.train.features(), split.train.classes));
    Ok(split)
}

#[test]
fn every_form_of_file_holds_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows: Vec<u64> = vec![5, 3];
    npz(&at("a.npz"), &[("x", npy(&rows, Order::C, inputs())), ("y", npy(&[5], Order::C, labels()))]);
    // In Fortran order the samples are the fastest; one-hot labels of bytes; single precision.
    let turned = (0..15).map(|i| inputs()[i % 5 * 3 + i / 5] as f32);
    let hot = labels().into_iter().flat_map(|l| (0..3).map(move |c| u8::from(c == l)));
    npz(&at("b.npz"), &[("x", npy(&rows, Order::Fortran, turned)), ("y", npy(&rows, Order::C, hot))]);
    std::fs::write(at("x.npy"), npy(&rows, Order::C, inputs())).unwrap();
    std::fs::write(at("y.npy"), npy(&[5], Order::C, labels().into_iter().map(|l| l as u8))).unwrap();
    let mut tensors = Tensors::new();
    tensors.insert("x", &[5, 3], Values::F64(inputs()));
    tensors.insert("y", &[5], Values::Integer(labels()));
    write_tensors(at("c.safetensors"), &tensors).unwrap();
    let line = |s: usize| format!("{},{},{},{}\n", 10 * s, 10 * s + 1, 10 * s + 2, s % 3);
    std::fs::write(at("d.csv"), (0..5).map(line).collect::<String>()).unwrap();

    for source in [
        json!("a.npz"),
        json!("b.npz"),
        json!({ "x": "x.npy", "y": "y.npy" }),
        json!("c.safetensors"),
        json!("d.csv"),
    ] {
        let split = load(folder.path(), json!({ "train": source, "test": source })).unwrap();
        for part in [&split.train, &split.test] {
            assert_eq!(
                part.inputs().as_slice(),
                inputs().iter().map(|x| *x as f32).collect::<Vec<_>>(),
                "{source}"
            );
            assert_eq!(part.labels, [0, 1, 2, 0, 1], "{source}");
            assert_eq!(part.classes, 3);
        }
    }
    // Without a test set one fifth is held back, by the seed.
    let split = load(folder.path(), json!({ "train": "a.npz" })).unwrap();
    assert_eq!((split.train.samples(), split.test.samples()), (4, 1));
    let split = load(folder.path(), json!({ "train": "a.npz", "test_fraction": 0.5, "classes": 7 })).unwrap();
    assert_eq!((split.train.samples(), split.test.samples(), split.train.classes), (2, 3, 7));
}

#[test]
fn images_keep_their_shape() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = (0..24).map(|i| f64::from(i) / 24.0);
    let arrays = [("x", npy(&[2, 2, 3, 2], Order::C, pixels)), ("y", npy(&[2], Order::C, [1_i64, 0]))];
    npz(&folder.path().join("a.npz"), &arrays);
    let files: ArrayFiles =
        serde_json::from_value(json!({ "folder": folder.path(), "train": "a.npz" })).unwrap();
    let shape = files.shape(&Lookup::default()).unwrap();
    assert_eq!((shape.inputs, shape.image, shape.classes), (12, Some([2, 3, 2]), 2));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let told = |arrays: &[(&str, Vec<u8>)], more: serde_json::Value| {
        npz(&path, arrays);
        let mut settings = json!({ "train": "a.npz", "test": "a.npz" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = load(folder.path(), settings).unwrap_err().to_string();
        told.split_once("a.npz: ").map_or(told.clone(), |(_, rest)| rest.to_owned())
    };
    let x = || ("x", npy(&[5, 3], Order::C, inputs()));
    let y = || ("y", npy(&[5], Order::C, labels()));
    let none = || json!({});
    let cases = [
        (
            told(&[x()], none()),
            "there is no array `y`; the file holds `x`; inputs are called `x`, labels `y`",
        ),
        (told(&[x(), y(), ("z", npy(&[1], Order::C, [1.0]))], none()), "at `z`: found an array `z`"),
        (
            told(&[("x", npy(&[15], Order::C, inputs())), y()], none()),
            "at `x`: found inputs of the shape [15]",
        ),
        (
            told(&[("x", npy(&[5, 3], Order::C, 0..15_u8)), y()], none()),
            "at `x`: found inputs that are integers",
        ),
        (
            told(
                &[("x", npy(&[5, 3], Order::C, (0..15).map(|i| if i == 7 { f64::NAN } else { 1.0 }))), y()],
                none(),
            ),
            "at `x`: input 1 of sample 2 is NaN; every input must be finite",
        ),
        (
            told(&[("x", npy(&[5, 3], Order::C, (0..15).map(|_| 1e300))), y()], none()),
            "at `x`: input 0 of sample 0 is inf; every input must be finite in single precision",
        ),
        (
            told(&[x(), ("y", npy(&[4], Order::C, [0_i64, 1, 0, 1]))], none()),
            "at `y`: found 4 labels; there are 5 samples",
        ),
        (
            told(&[x(), ("y", npy(&[5], Order::C, [0.0, 1.0, 0.0, 1.0, 0.0]))], none()),
            "at `y`: found labels that are no integers",
        ),
        (
            told(&[x(), ("y", npy(&[5], Order::C, [0_i64, 1, -1, 1, 0]))], none()),
            "at `y`: the label of sample 2 is -1",
        ),
        (
            told(&[x(), y()], json!({ "classes": 2 })),
            "at `y`: the label of sample 2 is 2; a label must lie between 0 and 1",
        ),
        (
            told(&[x(), ("y", npy(&[5, 2], Order::C, [1_i64, 0, 0, 1, 1, 1, 0, 1, 1, 0]))], none()),
            "at `y`: the row of sample 2 is not one-hot",
        ),
        (
            told(&[x(), ("y", npy(&[5, 1], Order::C, labels()))], none()),
            "at `y`: found labels of the shape [5, 1]",
        ),
        (
            told(&[x(), y()], json!({ "test_fraction": 0.5 })),
            "experiment: at `files.test_fraction`: found 0.5 beside `test`",
        ),
        (
            told(&[x(), y()], json!({ "train": "a.mat" })),
            "a.mat: found a file that ends in `.mat`; a file that ends in .npz",
        ),
        (
            told(&[x(), y()], json!({ "train": { "x": "a.npz", "y": "a.npz" } })),
            "found a file that ends in `.npz`; a file that ends in .npy in a pair",
        ),
    ];
    for (told, expected) in cases {
        assert!(told.contains(expected), "{told}\nis not: {expected}");
    }
    std::fs::write(folder.path().join("a.csv"), "1,2,0\n3,4,0.5\n").unwrap();
    let told = load(folder.path(), json!({ "train": "a.csv" })).unwrap_err().to_string();
    assert!(told.contains("a.csv: at `row 2`: the last number is 0.5"), "{told}");
    let told = load(&folder.path().join("absent"), json!({ "train": "a.csv" })).unwrap_err().to_string();
    assert!(told.contains("absent: there is no such folder"), "{told}");
    let whole = std::fs::read(&path).unwrap();
    for end in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        let told = load(folder.path(), json!({ "train": "a.npz" })).unwrap_err().to_string();
        assert!(told.contains("a.npz: it is no zip archive: "), "{told}");
    }
}
