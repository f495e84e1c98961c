//! The commands of a sweep that several processes do together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Run, announce, command, conclude, remark};
use crate::error::{Error, Result};
use crate::experiment::cost::duration;
use crate::experiment::shards::{AtWork, Gathered, count_done, gather};
use crate::experiment::sweep::Shard;
use crate::experiment::{self, place};
use crate::host::interrupt;
use crate::text::quoted;

/// Attempts to put all shards together while others look whether they can.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Does a shard of a sweep; the last one puts all together.
pub(super) fn run(run: &Run, quiet: bool) -> Result<()> {
    let text = run.shard.as_deref().unwrap_or_default();
    let shard = Shard::parse(text, |name| std::env::var(name).ok())?;
    let loaded = experiment::load(&run.experiment, &run.set)?;
    let folder = run.out.clone().unwrap_or_else(|| PathBuf::from(place::RUNS).join(&loaded.name));
    announce(&loaded, run, &folder)?;
    let options = run.options(quiet);
    let Some(at_work) = AtWork::begin(&loaded, &folder, shard, &options)? else {
        return already(&folder, quiet);
    };
    let shown = folder.display();
    let (share, left, seconds) = at_work.left();
    let time = duration(seconds / options.side_by_side(rayon::current_num_threads()) as f64);
    remark(
        quiet,
        &format!(
            "{} -> {shown}: shard {shard}, {left} of {share} runs to do, {time}",
            loaded.origin.display()
        ),
    )?;
    interrupt::advise(format!(
        "{shown} keeps what is done; to go on:\n  holograd run {} --shard {shard} --out {}",
        quoted(&run.experiment),
        quoted(&shown.to_string())
    ));
    at_work.work(&options)?;
    let done = count_done(&folder, shard.of);
    if done < shard.of {
        return remark(quiet, &format!("{shown}: shard {shard} is done; {done} of {} are", shard.of));
    }
    for _ in 0..ATTEMPTS {
        match gather(&folder, command())? {
            Gathered::Whole(folder, lines) => return conclude(&folder, &lines, quiet),
            Gathered::Already => {
                return remark(quiet, &format!("{shown}: all shards are done and put together"));
            }
            Gathered::Missing(done, of) => {
                return remark(
                    quiet,
                    &format!("{shown}: shard {shard} is done, and {done} of {of} runs in all"),
                );
            }
            Gathered::Busy(_) => std::thread::sleep(PAUSE),
        }
    }
    remark(quiet, &format!("{shown}: shard {shard} is done; others are at work"))
}

/// Puts the shards of a sweep together.
pub(super) fn merge(folder: &Path, quiet: bool) -> Result<()> {
    match gather(folder, command())? {
        Gathered::Whole(folder, lines) => conclude(&folder, &lines, quiet),
        Gathered::Already => already(folder, quiet),
        Gathered::Missing(done, of) => {
            let found = format!("found the results of {done} of {of} runs");
            let legal =
                format!("`holograd status {}` says whose command is to be given again", folder.display());
            Err(Error::input(folder.display().to_string(), "", found, legal))
        }
        Gathered::Busy(error) => Err(error),
    }
}

fn already(folder: &Path, quiet: bool) -> Result<()> {
    remark(quiet, &format!("{}: nothing is left to do: all runs are done and put together", folder.display()))
}
