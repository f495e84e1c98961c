//! Which runs of a sweep a process does that is one of several, and which lines several have left.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use super::Sweep;
use super::runs::{Run, prepare};
use crate::error::{Error, Result};
use crate::experiment::origin::Origin;
use crate::experiment::setup::Options;
use crate::experiment::sink::Sink;

/// Shards at most.
const MOST: usize = 100_000;

/// The share of one process among several that do a sweep together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Which one, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// The shard that a text names: `3/16`; `slurm` or `pbs` for the task of a job array, as its environment says; `slurm/16` or
    /// `pbs/16` for that of an array numbered from 1 to 16, of which perhaps only some tasks are submitted again.
    ///
    /// # Errors
    /// [`Error::Input`] of `--shard`, or of the variable that is missing or no number.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let refuse = || {
            let found = format!("found {text:?}");
            Error::input("--shard", "", found, "i/n from 1/n to n/n, slurm, slurm/n or pbs/n")
        };
        let number = |name: &'static str| {
            let value = environment(name).ok_or_else(|| {
                let found = format!("found {text:?}, but no {name}");
                Error::input("--shard", "", found, "the environment of a task of a job array, or i/n")
            })?;
            let number = value.trim().parse::<usize>();
            number.map_err(|_| Error::input(name, "", format!("found {value:?}"), "a number of a task"))
        };
        let (which, of) = match text.split_once('/') {
            Some((which, of)) => (which, Some(of.parse::<usize>().map_err(|_| refuse())?)),
            None => (text, None),
        };
        let shard = match (which, of) {
            ("slurm", None) => {
                let id = number("SLURM_ARRAY_TASK_ID")?;
                let (first, step) = (number("SLURM_ARRAY_TASK_MIN")?, number("SLURM_ARRAY_TASK_STEP")?);
                let of = number("SLURM_ARRAY_TASK_COUNT")?;
                Self { number: 1 + id.saturating_sub(first) / step.max(1), of }
            }
            ("slurm", Some(of)) => Self { number: number("SLURM_ARRAY_TASK_ID")?, of },
            ("pbs", Some(of)) => {
                let torque = environment("PBS_ARRAY_INDEX").is_none() && environment("PBS_ARRAYID").is_some();
                Self { number: number(if torque { "PBS_ARRAYID" } else { "PBS_ARRAY_INDEX" })?, of }
            }
            ("pbs", None) => {
                let legal = "pbs/n with the number of tasks, which PBS does not tell: pbs/16 for -J 1-16";
                return Err(Error::input("--shard", "", "found \"pbs\" alone", legal));
            }
            (which, Some(of)) => Self { number: which.parse().map_err(|_| refuse())?, of },
            (_, None) => return Err(refuse()),
        };
        if shard.number == 0 || shard.number > shard.of || shard.of > MOST {
            let found = format!("found the shard {shard}");
            return Err(Error::input("--shard", "", found, format!("1/n to n/n, n at most {MOST}")));
        }
        Ok(shard)
    }
}

/// The runs of a sweep, and about how many seconds of a thread each takes.
pub(crate) struct Plan {
    runs: Vec<Run>,
    seconds: Vec<f64>,
}

impl Plan {
    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// About how many seconds of a thread each run takes.
    pub(crate) fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    /// The shard that each run falls to, of so many, from 1: whichever has least to do takes the longest run that is left. It depends
    /// on the description of the sweep alone, so that all processes agree.
    pub(crate) fn shards(&self, of: usize) -> Vec<usize> {
        shared(&self.seconds, of)
    }

    /// Finds out before any work what would stop the runs of a shard.
    ///
    /// # Errors
    /// The first finding.
    pub(crate) fn prepare(&self, options: &Options) -> Result<()> {
        prepare(&self.runs, options)
    }

    /// The records that several processes have left, each as a line of `metrics.jsonl`, by the place of their runs in the grid; `texts`
    /// are the contents of their files with the names of these. Of a run that was done twice the first one counts.
    ///
    /// # Errors
    /// If a line is of another sweep, or a file of a run's history cannot be read.
    pub(crate) fn lines(
        &self,
        sweep: &Sweep,
        sink: &dyn Sink,
        texts: &[(String, String)],
    ) -> Result<BTreeMap<usize, String>> {
        let mut lines = BTreeMap::new();
        for (file, text) in texts {
            for (run, line) in sweep.finished_of(text, file, sink, &self.runs)? {
                lines.entry(run).or_insert(line);
            }
        }
        Ok(lines)
    }

    /// Does the runs at these places of the grid.
    ///
    /// # Errors
    /// What stops one of them, or if a record cannot be kept.
    pub(crate) fn work(
        &self,
        sweep: &Sweep,
        places: &[usize],
        sink: &mut dyn Sink,
        options: &Options,
    ) -> Result<()> {
        let open: Vec<&Run> = places.iter().map(|place| &self.runs[*place]).collect();
        sweep.work(&open, sink, options).map(drop)
    }
}

/// The shard that each of these falls to, from 1.
fn shared(seconds: &[f64], of: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..seconds.len()).collect();
    // Sorting is stable: of equal ones the first in the grid comes first.
    order.sort_by(|a, b| seconds[*b].total_cmp(&seconds[*a]));
    // Loads are not negative, and then their bits are in the order of the numbers.
    let mut loads: BinaryHeap<Reverse<(u64, usize, usize)>> =
        (1..=of).map(|shard| Reverse((0.0_f64.to_bits(), 0, shard))).collect();
    let mut shards = vec![1; seconds.len()];
    for run in order {
        let Some(mut lightest) = loads.peek_mut() else { break };
        let Reverse((load, count, shard)) = &mut *lightest;
        shards[run] = *shard;
        *load = (f64::from_bits(*load) + seconds[run].max(0.0)).to_bits();
        *count += 1;
    }
    shards
}

impl Sweep {
    /// All runs, and about how long each takes.
    ///
    /// # Errors
    /// If a point is not legal, or its data are not there.
    pub(crate) fn plan(&self, origin: &Origin, options: &Options) -> Result<Plan> {
        let costs = self.costs(origin, options)?;
        let runs = self.runs(origin)?;
        let seconds = runs.iter().map(|run| costs[run.point()].1.thread_seconds).collect();
        Ok(Plan { runs, seconds })
    }

    /// The records that several processes have left, as [`Plan::lines`], and how many there have to be.
    ///
    /// # Errors
    /// As [`Plan::lines`].
    pub(crate) fn gathered(
        &self,
        origin: &Origin,
        sink: &dyn Sink,
        texts: &[(String, String)],
    ) -> Result<(BTreeMap<usize, String>, usize)> {
        let plan = Plan { runs: self.runs(origin)?, seconds: Vec::new() };
        Ok((plan.lines(self, sink, texts)?, plan.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> std::result::Result<(usize, usize), String> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Shard::parse(text, environment).map(|shard| (shard.number, shard.of)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_shard_is_named_by_numbers_or_by_the_environment_of_an_array() {
        assert_eq!(parse("3/16", &[]), Ok((3, 16)));
        // --array=0-30:10, its third task.
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "20"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_STEP", "10"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(parse("slurm", &slurm), Ok((3, 4)));
        assert_eq!(parse("slurm/16", &[("SLURM_ARRAY_TASK_ID", "16")]), Ok((16, 16)));
        assert_eq!(parse("pbs/16", &[("PBS_ARRAY_INDEX", "2")]), Ok((2, 16)));
        assert_eq!(parse("pbs/16", &[("PBS_ARRAYID", "2")]), Ok((2, 16)));
    }

    #[test]
    fn what_names_no_shard_is_refused() {
        for (text, told) in [
            ("0/4", "--shard: found the shard 0/4; 1/n to n/n"),
            ("5/4", "found the shard 5/4"),
            ("1/0", "found the shard 1/0"),
            ("1/100001", "n at most 100000"),
            ("4", "--shard: found \"4\"; i/n from 1/n to n/n"),
            ("a/4", "found \"a/4\""),
            ("-1/4", "found \"-1/4\""),
            ("pbs", "pbs/n with the number of tasks"),
            ("slurm", "no SLURM_ARRAY_TASK_ID"),
            ("pbs/4", "no PBS_ARRAY_INDEX"),
        ] {
            let refusal = parse(text, &[]).unwrap_err();
            assert!(refusal.contains(told), "{text}: {refusal}");
        }
        let refusal = parse("slurm/4", &[("SLURM_ARRAY_TASK_ID", "x")]).unwrap_err();
        assert!(refusal.contains("SLURM_ARRAY_TASK_ID: found \"x\""), "{refusal}");
    }

    /// The longest of what the shards take is at most 4/3 of the best there can be (Graham 1969); equal runs go round.
    #[test]
    fn shards_have_about_as_much_to_do() {
        let seconds: Vec<f64> = (0..200).map(|run| 1.0 + f64::from(run % 7) * f64::from(run % 11)).collect();
        for of in [1, 3, 16, 200, 300] {
            let shards = shared(&seconds, of);
            let mut loads = vec![0.0; of];
            shards.iter().zip(&seconds).for_each(|(shard, seconds)| loads[shard - 1] += seconds);
            let whole: f64 = seconds.iter().sum();
            let best = (whole / of as f64).max(seconds.iter().fold(0.0, |most, s| s.max(most)));
            let most = loads.iter().fold(0.0_f64, |most, load| load.max(most));
            assert!(most <= 4.0 / 3.0 * best, "{of}: {most}, not {best}");
        }
        assert_eq!(shared(&[2.0; 5], 2), [1, 2, 1, 2, 1]);
        assert_eq!(shared(&[0.0; 4], 2), [1, 2, 1, 2]);
        assert_eq!(shared(&[1.0, 5.0, 1.0, 1.0], 2), [2, 1, 2, 2]);
    }
}
