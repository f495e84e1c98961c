//! What a run folder holds so far: what is done, who is at work, and how long the rest will take.

use std::collections::BTreeMap;
use std::path::Path;

use super::cost::duration;
use super::kinds::sweep::record::SweepRun;
use super::kinds::sweep::{Plan, Shard, Sweep};
use super::load::{Loaded, load_from};
use super::origin::Origin;
use super::setup::Options;
use super::shards::{self, SHARDS, place_of};
use super::sink::{EXPERIMENT, METRICS};
use super::{RunFolder, lock, manifest, place};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::files;

/// The lines of a status, for the user.
///
/// # Errors
/// If the folder holds no run, or a file is damaged.
pub fn status(folder: &Path, options: &Options) -> Result<Vec<String>> {
    let file = folder.join(EXPERIMENT);
    if !file.exists() {
        let legal = "give the folder of a run: it holds experiment.json";
        return Err(Error::input(folder.display().to_string(), "", "found no run there", legal));
    }
    place::refuse_links(folder)?;
    let loaded = load_from(Origin::Disk(file), &[])?;
    if let Experiment::Sweep(sweep) = &loaded.experiment {
        return of_sweep(sweep, &loaded, folder, options);
    }
    let lines = whole_lines(folder)?;
    let done = match loaded.experiment.kind().epochs() {
        Some((epochs, _)) => format!("{} of {epochs} epochs done", lines.len()),
        None => format!("a run of kind `{}`", loaded.experiment.name()),
    };
    Ok(vec![format!("{}: {done}; {}", folder.display(), standing(folder))])
}

/// The records of a folder that are written to their end.
fn whole_lines(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(METRICS);
    let text = if path.exists() { files::read_text(&path)? } else { String::new() };
    Ok(text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect())
}

/// Whether a run is complete, being done, or stopped.
fn standing(folder: &Path) -> String {
    match lock::holder(folder) {
        Some(note) => format!("being done by {}", note.holder()),
        None if folder.join(manifest::FILE).exists() => "complete".to_owned(),
        None => "stopped: `--resume` goes on".to_owned(),
    }
}

/// What is done of a sweep.
struct Done {
    /// The records, by the place of their runs in the grid.
    runs: BTreeMap<usize, SweepRun>,
    /// Seconds that a run takes for each that it was expected to.
    pace: f64,
}

fn of_sweep(sweep: &Sweep, loaded: &Loaded, folder: &Path, options: &Options) -> Result<Vec<String>> {
    let plan = sweep.plan(&loaded.origin, options)?;
    let lines = plan.lines(sweep, &RunFolder::part(folder), &shards::texts(folder, |_| true)?)?;
    let read = |(place, line): (usize, String)| {
        let run = serde_json::from_str(&line).map_err(|e| Error::Internal(e.to_string()))?;
        Ok((place, run))
    };
    let runs: BTreeMap<usize, SweepRun> = lines.into_iter().map(read).collect::<Result<_>>()?;
    let expected: f64 = runs.keys().map(|place| plan.seconds()[*place]).sum();
    let taken: f64 = runs.values().map(|run| run.seconds).sum();
    let pace = if expected > 0.0 { taken / expected } else { 1.0 };
    let done = Done { runs, pace };
    let diverged = done.runs.values().filter(|run| run.failure.is_some()).count();
    let mut told = vec![format!(
        "{}: {} of {} runs done, {diverged} of them diverged",
        folder.display(),
        done.runs.len(),
        plan.len()
    )];
    if folder.join(SHARDS).exists() {
        told.extend(of_shards(&plan, &done, folder));
        return Ok(told);
    }
    let left = done.left(&plan, |_| true);
    let time = match (left > 0.0, lock::holder(folder)) {
        (true, Some(_)) => format!("; {} left", duration(left / rayon::current_num_threads() as f64)),
        _ => String::new(),
    };
    told.push(standing(folder) + &time);
    Ok(told)
}

impl Done {
    /// About how many seconds of a thread the runs take that are not done, of those at the places that count.
    fn left(&self, plan: &Plan, counts: impl Fn(usize) -> bool) -> f64 {
        let open = (0..plan.len()).filter(|place| counts(*place) && !self.runs.contains_key(place));
        self.pace * open.map(|place| plan.seconds()[place]).sum::<f64>()
    }
}

/// A line for each shard that is not complete, and one for all that are.
fn of_shards(plan: &Plan, done: &Done, folder: &Path) -> Vec<String> {
    let begun = shards::begun(folder);
    let holder = |shard: Shard| lock::holder(&place_of(folder, shard));
    // Of several numbers of shards that which is at work, else the largest.
    let at_work = begun.iter().find(|shard| holder(**shard).is_some());
    let Some(of) = at_work.map(|shard| shard.of).or_else(|| begun.iter().map(|shard| shard.of).max()) else {
        return vec!["no shard has begun".to_owned()];
    };
    let falls_to = plan.shards(of);
    let (mut told, mut complete, mut longest) = (Vec::new(), 0, None);
    for shard in (1..=of).map(|number| Shard { number, of }) {
        let own: Vec<usize> = (0..plan.len()).filter(|place| falls_to[*place] == shard.number).collect();
        let count = own.iter().filter(|place| done.runs.contains_key(place)).count();
        let side_by_side = shards::note(folder, shard).side_by_side.max(1) as f64;
        let left = done.left(plan, |place| falls_to[place] == shard.number) / side_by_side;
        let standing = match holder(shard) {
            Some(note) => {
                longest = Some(left.max(longest.unwrap_or(0.0)));
                format!("being done by {}, {} left", note.holder(), duration(left))
            }
            None if count == own.len() => {
                complete += 1;
                continue;
            }
            None if begun.contains(&shard) => {
                format!("stopped, {} left: give its command again", duration(left))
            }
            None => format!("not begun, {}", duration(left)),
        };
        told.push(format!("shard {shard}: {count} of {} runs done; {standing}", own.len()));
    }
    if complete > 0 {
        told.insert(0, format!("{complete} of {of} shards are complete"));
    }
    if let Some(longest) = longest {
        told.push(format!("{} until the shards that are being done are complete", duration(longest)));
    }
    if done.runs.len() == plan.len() {
        told.push(format!("nothing is left to do but `holograd merge {}`", folder.display()));
    }
    told
}
