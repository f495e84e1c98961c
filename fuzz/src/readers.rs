//! What is read, from sound files of the project.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use holograd::Result;
use holograd::data::{DataSpec, ImageFiles, ImageFolder, Lookup};
use holograd::experiment::load;
use holograd::experiment::sweep::record::SweepRun;
use holograd::experiment::train::record::Epoch;
use holograd::files::{Npz, read_npz};
use holograd::records::read_metrics;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::damage;

/// A reader, with what it reads and how that is damaged.
pub struct Reader {
    /// Its name on the command line.
    pub name: &'static str,
    /// Sound files.
    pub sound: fn() -> Vec<Vec<u8>>,
    /// A damaged file.
    pub damage: fn(&[u8], &mut ChaCha8Rng) -> Vec<u8>,
    /// Reads the bytes, with a folder at hand.
    pub read: fn(&[u8], &Path) -> Result<()>,
}

/// All of them.
pub const READERS: [Reader; 15] = [
    Reader { name: "experiment", sound: experiments, damage: damage::document, read: read_experiment },
    Reader { name: "model", sound: models, damage: damage::document, read: read_model },
    Reader { name: "set", sound: overrides, damage: damage::bytes, read: read_override },
    Reader {
        name: "parameters",
        sound: || tensors("toy.safetensors"),
        damage: damage::bytes,
        read: read_parameters,
    },
    Reader {
        name: "batch",
        sound: || tensors("toy_batch.safetensors"),
        damage: damage::bytes,
        read: read_batch,
    },
    Reader { name: "npz", sound: archives, damage: damage::bytes, read: read_archive },
    Reader { name: "idx", sound: images, damage: packed, read: read_images },
    Reader { name: "cifar", sound: records, damage: packed, read: read_records },
    Reader { name: "pickle", sound: pickles, damage: damage::bytes, read: read_pickle },
    Reader { name: "imagenet", sound: batches, damage: damage::bytes, read: read_batches },
    Reader { name: "matlab", sound: digits, damage: damage::bytes, read: read_digits },
    Reader { name: "png", sound: pictures, damage: damage::bytes, read: read_picture },
    Reader { name: "metrics", sound: metrics, damage: damage::bytes, read: read_lines },
    Reader { name: "device", sound: devices, damage: damage::document, read: read_device },
    Reader { name: "table", sound: tables, damage: damage::bytes, read: read_table },
];

/// The project, whose tests read these files too.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|folder| folder.join("experiments").is_dir());
    root.expect("the project's folder").to_owned()
}

fn file(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(root().join(path)).expect("a file of the project")
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&file(path)).expect("JSON")
}

/// Writes the input, and beside it what it refers to; returns its path.
fn place(name: &str, input: &[u8], folder: &Path) -> String {
    for other in ["toy.safetensors", "toy_batch.safetensors"] {
        let path = folder.join(other);
        if !path.exists() {
            std::fs::copy(root().join("experiments").join(other), path).expect("a copy");
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, input).expect("an input");
    path.to_string_lossy().into_owned()
}

const KINDS: [&str; 11] = [
    "digits",
    "gradient",
    "trace",
    "amplitude",
    "frequency",
    "frequency_optimum",
    "continuous_plasticity",
    "digits_substrates",
    "paper1/fig2a",
    "paper1/fig2b",
    "paper1/fig3ab",
];

/// An experiment of every kind, its model and its own experiment written out, with small grids.
fn experiments() -> Vec<Vec<u8>> {
    KINDS
        .iter()
        .map(|name| written_out(&format!("experiments/{name}.json")).to_string().into_bytes())
        .collect()
}

fn written_out(path: &str) -> Value {
    let mut value = json_of(path);
    let folder = Path::new(path).parent().expect("a folder").to_owned();
    for field in ["experiment", "model"] {
        if let Some(other) = value[field].as_str() {
            value[field] = written_out(folder.join(other).to_str().expect("a path"));
        }
    }
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("published");
        fields.shift_remove("experiment_path");
    }
    for (field, file) in [("parameters", "toy.safetensors"), ("batch", "toy_batch.safetensors")] {
        if value[field].is_string() {
            value[field] = json!(file);
        }
    }
    let mut clean = value;
    if let Some(fields) = clean.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    clean
}

fn read_experiment(input: &[u8], folder: &Path) -> Result<()> {
    load(&place("experiment.json", input, folder), &[]).map(drop)
}

fn models() -> Vec<Vec<u8>> {
    ["toy", "digits", "mnist"].map(|name| file(format!("models/{name}.json"))).to_vec()
}

fn read_model(input: &[u8], folder: &Path) -> Result<()> {
    place("model.json", input, folder);
    let experiment = json!({ "kind": "train", "model": "model.json", "estimator": "harmonic_balance",
        "optimiser": { "sgd": { "learning_rate": 0.1 } }, "epochs": 1, "batch_size": 10 });
    load(&place("experiment.json", experiment.to_string().as_bytes(), folder), &[]).map(drop)
}

fn overrides() -> Vec<Vec<u8>> {
    [
        "estimator.oscillation.period=60",
        "model.layers.0.size=3",
        "model.layers.*.size=3",
        r#"imperfections={"state_noise": {"held": {"std": 0.1}}}"#,
        "imperfections.device_seed=2",
        r#"data={"toy_gaussian": {"inputs": 64, "classes": 10}}"#,
        "optimiser.adam_w.learning_rate=1e-3",
        "estimator=harmonic_balance",
        r#"model.connections.1.feedback={"rotated": {"angle": 30}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read_override(input: &[u8], _: &Path) -> Result<()> {
    load("digits", &[String::from_utf8_lossy(input).into_owned()]).map(drop)
}

fn tensors(name: &str) -> Vec<Vec<u8>> {
    vec![file(Path::new("experiments").join(name))]
}

fn read_parameters(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("parameters.safetensors", input, folder);
    let loaded = load("gradient", &[])?;
    let mut tensors = holograd::files::read_tensors(path)?;
    let shapes = loaded.network().expect("a network of neurons").shapes();
    holograd::substrate::parameters::Parameters::<f32>::from_tensors(shapes, &mut tensors).map(drop)
}

fn read_batch(input: &[u8], folder: &Path) -> Result<()> {
    let mut tensors = holograd::files::read_tensors(place("batch.safetensors", input, folder))?;
    let count = tensors.get("x").and_then(|x| x.shape.first().copied()).unwrap_or(0);
    tensors.matrix::<f64>("x", [count, 6])?;
    tensors.labels("y", count, 4)?;
    tensors.refuse_unused()
}

fn archives() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trace.npz");
    let mut npz = Npz::new();
    npz.insert("time", &[3], &[0.0, 0.5, 1.0], "tau", &["tick"]);
    npz.insert("potential", &[3, 2], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], "1", &["tick", "neuron"]);
    npz.write(&path).expect("an archive");
    vec![std::fs::read(path).expect("an archive")]
}

fn read_archive(input: &[u8], folder: &Path) -> Result<()> {
    read_npz(place("trace.npz", input, folder)).map(drop)
}

const IMAGES: &str = "train-images-idx3-ubyte";

/// The first 3 images, unpacked.
fn images() -> Vec<Vec<u8>> {
    let mut content = Vec::new();
    let packed = file(format!("tests/data/mnist/{IMAGES}.gz"));
    GzDecoder::new(&packed[..]).read_to_end(&mut content).expect("gzip");
    content.truncate(16 + 3 * 784);
    content[7] = 3;
    vec![content]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip in memory")
}

/// Damaged before it is packed, or after, or cut into members, or not packed at all.
fn packed(sound: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    match random.random_range(0..4) {
        0 => gzip(&damage::bytes(sound, random)),
        1 => damage::bytes(&gzip(sound), random),
        2 => {
            let (a, b) = sound.split_at(random.random_range(0..sound.len()));
            let zeros = vec![0; random.random_range(0..100)];
            damage::bytes(&[gzip(a), gzip(b), zeros].concat(), random)
        }
        _ => damage::bytes(sound, random),
    }
}

fn read_images(input: &[u8], folder: &Path) -> Result<()> {
    let labels = |labels: [u8; 3]| [&[0, 0, 8, 1, 0, 0, 0, 3][..], &labels].concat();
    beside("train-labels-idx1-ubyte", || labels([1, 2, 3]), folder);
    beside("t10k-labels-idx1-ubyte", || labels([3, 2, 1]), folder);
    beside("t10k-images-idx3-ubyte", || images().remove(0), folder);
    std::fs::write(folder.join(IMAGES), input).expect("an input");
    let files = ImageFiles { folder: Some(folder.to_owned()), ..ImageFiles::default() };
    DataSpec::Mnist(files).load(0, &Lookup::default()).map(drop)
}

/// Writes a sound file beside the input, unless it is there.
fn beside(name: &str, content: impl FnOnce() -> Vec<u8>, folder: &Path) {
    let path = folder.join(name);
    if !path.exists() {
        std::fs::write(path, content()).expect("a file beside it");
    }
}

/// Pixels of as many images of 32 × 32 × 3, which differ.
fn planes(images: std::ops::Range<usize>) -> Vec<u8> {
    images.flat_map(|image| (0..3072).map(move |place| (image * 41 + place * 7) as u8)).collect()
}

fn records() -> Vec<Vec<u8>> {
    vec![(0..3).flat_map(|image| [vec![image as u8], planes(image..image + 1)].concat()).collect()]
}

fn read_records(input: &[u8], folder: &Path) -> Result<()> {
    let test = || [vec![7], planes(7..8)].concat();
    read_set(DataSpec::Cifar10, folder, ("data_batch_1.bin", input), ("test_batch.bin", test))
}

/// Loads a set of which a folder of its own holds a training file and a test file.
fn read_set(
    set: fn(ImageFiles) -> DataSpec,
    folder: &Path,
    train: (&str, &[u8]),
    test: (&str, impl FnOnce() -> Vec<u8>),
) -> Result<()> {
    let folder = folder.join(train.0.replace('.', "_"));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(train.0), train.1).expect("an input");
    beside(test.0, test.1, &folder);
    let spec = set(ImageFiles { folder: Some(folder), ..ImageFiles::default() });
    spec.counts(&Lookup::default())?;
    spec.load(0, &Lookup::default()).map(drop)
}

/// As Python 2 and NumPy write a dictionary of labels and an array.
fn pickle(images: std::ops::Range<usize>) -> Vec<u8> {
    let data = planes(images.clone());
    let labels: Vec<u8> = images.clone().flat_map(|image| [b'K', image as u8 % 10]).collect();
    [
        b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(",
        &labels[..],
        b"eU\x04dataq\x03cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06U\x01b\x87q\x07Rq\x08",
        b"(K\x01K",
        &[images.len() as u8],
        b"M\x00\x0c\x86q\x09cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff",
        b"K\x00tb\x89T",
        &(data.len() as u32).to_le_bytes(),
        &data,
        b"tbu.",
    ]
    .concat()
}

fn pickles() -> Vec<Vec<u8>> {
    vec![pickle(0..2)]
}

fn read_pickle(input: &[u8], folder: &Path) -> Result<()> {
    read_set(DataSpec::Cifar10, folder, ("data_batch_1", input), ("test_batch", || pickle(7..8)))
}

/// A `.npz` archive of images and labels, packed or not.
fn archive(images: std::ops::Range<usize>, method: CompressionMethod) -> Vec<u8> {
    let count = images.len();
    let labels: Vec<u8> = images.clone().flat_map(|image| (image as i64 + 1).to_le_bytes()).collect();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, element, shape, data) in [
        ("data", "|u1", format!("({count}, 3072)"), planes(images)),
        ("labels", "<i8", format!("({count},)"), labels),
        ("mean", "<f8", "(3072,)".to_owned(), vec![0; 8 * 3072]),
    ] {
        let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        let npy = [b"\x93NUMPY\x01\x00", &118_u16.to_le_bytes()[..], header.as_bytes(), &data].concat();
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).expect("an archive in memory");
        archive.write_all(&npy).expect("an archive in memory");
    }
    archive.finish().expect("an archive in memory").into_inner()
}

fn batches() -> Vec<Vec<u8>> {
    vec![archive(0..2, CompressionMethod::Stored), archive(0..2, CompressionMethod::Deflated)]
}

fn read_batches(input: &[u8], folder: &Path) -> Result<()> {
    let test = || archive(7..8, CompressionMethod::Stored);
    read_set(DataSpec::Imagenet32, folder, ("train_data_batch_1.npz", input), ("val_data.npz", test))
}

/// A MATLAB file of images and labels, packed or not.
fn matlab(images: std::ops::Range<usize>, packed: bool) -> Vec<u8> {
    let count = images.len() as u32;
    let labels: Vec<u8> = images.clone().map(|image| image as u8 % 10 + 1).collect();
    let mut file = vec![b' '; 124];
    file.extend([0, 1, b'I', b'M']);
    let element = |kind: u32, content: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    for (name, sizes, numbers) in
        [(b'X', vec![32, 32, 3, count], planes(images)), (b'y', vec![count, 1], labels)]
    {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let name = [1, 0, 1, 0, name, 0, 0, 0];
        let flags = [9, 0, 0, 0, 0, 0, 0, 0];
        let inside = [element(6, &flags), element(5, &sizes), name.to_vec(), element(2, &numbers)].concat();
        let whole = element(14, &inside);
        if packed {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            let packed = encoder.write_all(&whole).and_then(|()| encoder.finish()).expect("zlib in memory");
            file.extend([15_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
            file.extend(packed);
        } else {
            file.extend(whole);
        }
    }
    file
}

fn digits() -> Vec<Vec<u8>> {
    [true, false].map(|packed| matlab(0..2, packed)).to_vec()
}

fn read_digits(input: &[u8], folder: &Path) -> Result<()> {
    read_set(DataSpec::Svhn, folder, ("train_32x32.mat", input), ("test_32x32.mat", || matlab(7..8, true)))
}

fn pictures() -> Vec<Vec<u8>> {
    let draw = |color, pixels: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(color);
        let mut writer = encoder.write_header().expect("a PNG in memory");
        writer.write_image_data(pixels).expect("a PNG in memory");
        writer.finish().expect("a PNG in memory");
        bytes
    };
    vec![draw(png::ColorType::Rgb, &planes(0..1)[..18]), draw(png::ColorType::Grayscale, &planes(0..1)[..6])]
}

fn read_picture(input: &[u8], folder: &Path) -> Result<()> {
    let folder = folder.join("images");
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, input).expect("an input");
    }
    let images = ImageFolder { folder, train: None, test: None, normalise: None, augment: None };
    DataSpec::Images(images).load(0, &Lookup::default()).map(drop)
}

fn metrics() -> Vec<Vec<u8>> {
    let run = r#"{"key":"0011","point":0,"values":{"seed":1},"seed":0,"device_seed":0,"measures":{"test_accuracy":0.9},"seconds":1.0}"#;
    vec![format!("{run}\n{run}\n").into_bytes()]
}

fn read_lines(input: &[u8], folder: &Path) -> Result<()> {
    std::fs::write(folder.join("metrics.jsonl"), input).expect("an input");
    let (epochs, runs) = (read_metrics::<Epoch>(folder), read_metrics::<SweepRun>(folder));
    read_metrics::<Value>(folder)?;
    epochs.map(drop).or(runs.map(drop))
}

fn devices() -> Vec<Vec<u8>> {
    let presets = ["cmos", "pcm", "ideal"].map(|name| json!(name));
    let whole = json!({ "device_seed": 1, "fabrication": { "tau": { "std": 0.1 } }, "state_noise": { "held": { "std": 0.1 } },
        "synapse_noise": { "ornstein_uhlenbeck": { "std": 0.1, "correlation_time": 5.0 } },
        "readout": { "adc": { "bits": 8, "range": [-1.0, 1.0] }, "offset_std": 0.01, "phase_error": 0.1 } });
    presets.into_iter().chain([whole]).map(|value| value.to_string().into_bytes()).collect()
}

fn read_device(input: &[u8], _: &Path) -> Result<()> {
    load("digits", &[format!("imperfections={}", String::from_utf8_lossy(input))]).map(drop)
}

fn tables() -> Vec<Vec<u8>> {
    vec![b"# volts\n0, 0.5, -1, 0, 0, 0\n1e-3,\"2\",3,4,5,6\n".to_vec()]
}

fn read_table(input: &[u8], folder: &Path) -> Result<()> {
    let path = place("table.csv", input, folder);
    load("trace", &[format!(r#"waveform={{"table":{{"file":{path:?},"step":1}}}}"#)]).map(drop)
}
