//! Feeds damaged files to every reader; see `README.md`.

mod damage;
mod readers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use readers::{READERS, Reader};

/// Seconds that a small file may take.
const PATIENCE: f64 = 2.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).and_then(|count| count.parse().ok());
    let seed = arguments.get(2).map_or(Some(0), |seed| seed.parse().ok());
    let chosen: Vec<&Reader> =
        READERS.iter().filter(|r| arguments.first().is_some_and(|name| name == r.name || name == "all")).collect();
    let (Some(count), Some(seed), false) = (count, seed, chosen.is_empty()) else {
        let names: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
        eprintln!("usage: holograd-fuzz READER COUNT [SEED]; READER is all, {}", names.join(", "));
        return ExitCode::from(2);
    };
    // Panics are counted and told below.
    std::panic::set_hook(Box::new(|_| {}));
    let failures: u64 = chosen.iter().map(|reader| feed(reader, count, seed)).sum();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Feeds the kept inputs to a reader, then new ones; returns how many it failed on.
fn feed(reader: &Reader, count: u64, seed: u64) -> u64 {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(reader.name);
    let place = tempfile::tempdir().expect("a temporary folder");
    let (mut read, mut refused, mut failed) = (0_u64, 0_u64, 0_u64);
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
    let sound = (reader.sound)();
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
    failed
}

/// Whether it was read; an error says what must not happen.
fn trial(reader: &Reader, input: &[u8], place: &Path) -> Result<bool, String> {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(input, place)));
    let outcome = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("with no message"))
    })?;
    if start.elapsed().as_secs_f64() > PATIENCE {
        return Err(format!("took {:.1} s", start.elapsed().as_secs_f64()));
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
