//! Feeds files to a reader, and keeps those that it fails on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use cpu_time::ProcessTime;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::readers::{Reader, root};

/// Seconds of the processor that a small file may take.
const PATIENCE: f64 = 20.0;

/// Feeds the kept inputs to a reader, then new ones; returns how many it failed on.
pub fn feed(reader: &Reader, count: u64, seed: u64) -> u64 {
    let kept = root().join("fuzz/seeds").join(reader.name);
    let sound = (reader.sound)();
    let place = tempfile::tempdir().expect("a temporary folder");
    let (mut read, mut refused, mut failed) = (0_u64, 0_u64, 0_u64);
    let mut unsound = 0;
    let mut take = |input: &[u8], new: bool| match trial(reader, input, place.path()) {
        Ok(true) => read += 1,
        Ok(false) => refused += 1,
        Err(reason) => {
            failed += 1;
            let path = if new { keep(&kept, input) } else { PathBuf::from("a kept input") };
            println!("{}: {}: {reason}", reader.name, path.display());
        }
    };
    let old = std::fs::read_dir(&kept).into_iter().flatten().flatten();
    let mut old: Vec<PathBuf> = old.map(|entry| entry.path()).collect();
    old.sort();
    for path in &old {
        take(&std::fs::read(path).expect("a kept input"), false);
    }
    for (number, base) in sound.iter().enumerate() {
        if let Err(error) = (reader.read)(base, place.path()) {
            println!("{}: sound file {number} is refused: {error}", reader.name);
            unsound += 1;
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = Instant::now();
    for number in 0..count {
        let base = &sound[(number % sound.len() as u64) as usize];
        take(&(reader.damage)(base, &mut random), true);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {count} inputs and {} kept ones in {seconds:.0} s: {read} read, {refused} refused, {failed} failed",
        reader.name,
        old.len()
    );
    failed + unsound
}

/// Whether it was read; an error says what must not happen.
fn trial(reader: &Reader, input: &[u8], place: &Path) -> Result<bool, String> {
    // A busy machine makes no file slow.
    let start = ProcessTime::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(input, place)));
    let outcome = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("with no message"))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    if seconds > PATIENCE {
        return Err(format!("took {seconds:.1} s"));
    }
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.exit_code() == 2 => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// Keeps an input that failed.
fn keep(folder: &Path, input: &[u8]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder for inputs");
    let free = (0..).map(|number| folder.join(number.to_string())).find(|path| !path.exists());
    let path = free.expect("a number that is free");
    std::fs::write(&path, input).expect("an input to keep");
    path
}
