//! What earlier versions have written is still read. `tests/data/version-0.1` is a run folder as version 0.1.0 (commit 03cb103) left it
//! after two epochs, `version-0.1-after.safetensors` the parameters that the same program reached in four epochs without a pause.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{metrics, succeed};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The numbers of a file of double precision, and its header.
fn numbers(file: &Path) -> (Vec<u8>, Vec<f64>) {
    let bytes = fs::read(file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let payload = bytes[header..].chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap()));
    (bytes[..header].to_vec(), payload.collect())
}

#[test]
fn a_run_folder_of_version_0_1_is_verified_drawn_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let old = path.join("old");
    fs::create_dir(&old).unwrap();
    for entry in fs::read_dir(data("version-0.1")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), old.join(entry.file_name())).unwrap();
    }
    let told = succeed(path, &["verify", "old"]);
    assert!(told.contains("9 of 9 files"), "{told}");
    succeed(path, &["plot", "old"]);
    assert_ne!(fs::read(old.join("training.svg")).unwrap(), b"");

    // The experiment as it was resolved then, run anew.
    succeed(path, &["run", "old/experiment.json", "--out", "anew"]);
    let same_processor = numbers(&path.join("anew/parameters.safetensors"))
        == numbers(&data("version-0.1/parameters.safetensors"));

    let before = metrics(&old);
    succeed(path, &["run", "old/experiment.json", "--out", "old", "--set", "epochs=4", "--resume"]);
    let after = metrics(&old);
    assert_eq!((before.len(), after.len()), (2, 4));
    assert_eq!(after[..2], before);
    let (header, found) = numbers(&old.join("parameters.safetensors"));
    let (old_header, undisturbed) = numbers(&data("version-0.1-after.safetensors"));
    assert_eq!(header, old_header);
    let off = found.iter().zip(&undisturbed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // To the bit on processors of one instruction set; elsewhere sums are rounded in another order.
    println!("same processor: {same_processor}, off by {off:e}");
    assert!(off < 1e-9, "off by {off:e}");
    assert!(!same_processor || found == undisturbed, "off by {off:e}");
}
