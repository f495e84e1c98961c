//! Feeds damaged files to every reader; see `README.md`.

mod damage;
mod feed;
mod readers;

use std::process::ExitCode;

use feed::feed;
use readers::{READERS, Reader};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).and_then(|count| count.parse().ok());
    let seed = arguments.get(2).map_or(Some(0), |seed| seed.parse().ok());
    let chosen: Vec<&Reader> = READERS
        .iter()
        .filter(|r| arguments.first().is_some_and(|name| name == r.name || name == "all"))
        .collect();
    let (Some(count), Some(seed), false) = (count, seed, chosen.is_empty()) else {
        let names: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
        eprintln!("usage: holograd-fuzz READER COUNT [SEED]; READER is all, {}", names.join(", "));
        return ExitCode::from(2);
    };
    // A sound file that cannot be made ends all; the panics of readers are counted and told by `feed`.
    chosen.iter().for_each(|reader| drop((reader.sound)()));
    std::panic::set_hook(Box::new(|_| {}));
    let failures: u64 = chosen.iter().map(|reader| feed(reader, count, seed)).sum();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
