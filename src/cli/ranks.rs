//! Processes that a launcher has started to do one run together: `mpirun -n 4 holograd run …`.

use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use super::{Run, remark, run_here, start_threads, threads_asked};
use crate::error::{Error, Result};
use crate::experiment::ranks::{self, Start};
use crate::experiment::sink::EXPERIMENT;
use crate::experiment::{self, Loaded, RunFolder, load, origin::Origin};
use crate::host::{interrupt, machine};
use crate::team::{self, Team};

/// Where launchers say how many processes they have started: Open MPI, and MPICH and its relatives.
const LAUNCHED: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// Where Slurm says how many tasks a step has.
const STEP: &str = "SLURM_STEP_NUM_TASKS";

/// The variable that tells of several processes, and how many there are.
fn launched(environment: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    let told = LAUNCHED.into_iter().chain([STEP]);
    let (variable, text) = told.filter_map(|variable| Some((variable, environment(variable)?))).next()?;
    let count = text.trim().parse().ok()?;
    (count > 1).then_some((variable, count))
}

/// The processes that do this run together; none where this one does it alone, or a shard of it.
///
/// # Errors
/// If there are several that would each do the whole of it.
pub(super) fn join(run: &Run) -> Result<Option<Rc<Team>>> {
    let environment = |name: &str| std::env::var(name).ok();
    let Some((variable, count)) = launched(environment).filter(|_| run.shard.is_none()) else {
        return Ok(None);
    };
    if let Some(team) = reach().filter(|team| team.size() > 1) {
        return Ok(Some(Rc::new(team)));
    }
    let advice = if cfg!(feature = "mpi") {
        "by another launcher than that of the MPI library it was built with (mpirun of the same, or srun --mpi=pmix)"
    } else {
        "and this one was built without the feature `mpi` (cargo build --release --features mpi)"
    };
    let found = format!("found {variable}={count}: {count} processes were started, {advice}");
    let legal = "each of them would do the whole run: start one, or give each a part of a sweep by --shard";
    if variable != STEP {
        return Err(Error::input("holograd run", "", found, legal));
    }
    // The tasks of a step may well be runs of their own.
    if environment("SLURM_PROCID").is_none_or(|task| task == "0") {
        let _ = writeln!(std::io::stderr(), "warning: {found}; {legal}");
    }
    Ok(None)
}

#[cfg(feature = "mpi")]
fn reach() -> Option<Team> {
    team::mpi::join()
}

#[cfg(not(feature = "mpi"))]
fn reach() -> Option<Team> {
    None
}

/// Does the run as one of a team. The first rank does it as ever; the others take part, and say nothing.
///
/// # Errors
/// Of the first rank: the first error of all.
pub(super) fn perform(team: Rc<Team>, run: &Run, threads: usize, quiet: bool) -> Result<()> {
    let first = team.rank() == 0;
    if !first {
        interrupt::silence();
    }
    let work = || {
        let (threads, hosts) = share_threads(&team, threads)?;
        start_threads(threads)?;
        if !first {
            return follow(&team, run);
        }
        let (ranks, threads) = (team.size(), rayon::current_num_threads());
        let on = if hosts == 1 { String::new() } else { format!(" on {hosts} machines") };
        let plural = if threads == 1 { "" } else { "s" };
        remark(quiet, &format!("{ranks} processes{on}, of {threads} thread{plural} each"))?;
        run_here(run, quiet)
    };
    let done = team::within(Some(Rc::clone(&team)), || team.leave(work()));
    if first { done } else { Ok(()) }
}

/// Takes part in what the first rank begins.
fn follow(team: &Team, run: &Run) -> Result<()> {
    let Some(start) = team.spread_first::<Option<Start>>(None)? else { return Ok(()) };
    let loaded = if run.resume {
        load::load_from(Origin::Disk(start.folder.join(EXPERIMENT)), &run.set)?
    } else {
        experiment::load(&run.experiment, &run.set)?
    };
    start.follow(&loaded, &run.options(true))
}

/// Tells the others where a run begins, or that nothing is left to do.
pub(super) fn start(begun: Option<(&RunFolder, &Run)>) -> Result<()> {
    let Some(team) = team::current() else { return Ok(()) };
    let start = begun.map(|(folder, run)| Start::of(folder, run.resume)).transpose()?;
    team.spread_first(Some(&start)).map(drop)
}

/// Refuses a run that several processes do not do together.
pub(super) fn refuse(loaded: &Loaded) -> Result<()> {
    let file = PathBuf::from(loaded.origin.display());
    team::current().map_or(Ok(()), |team| ranks::refuse(loaded, &team, &file))
}

/// Tells what the processes did beside work.
pub(super) fn conclude(quiet: bool) -> Result<()> {
    let Some(told) = team::current().map(|team| team.told()) else { return Ok(()) };
    let [communication, waiting] = [told.communication, told.waiting].map(|share| 100.0 * share);
    let text = format!("of the time of {} processes", told.ranks);
    remark(quiet, &format!("{text}: {communication:.1} % communication, {waiting:.1} % waiting for others"))
}

/// The threads of this rank, as asked or its share of the processors, and on how many machines there are ranks.
fn share_threads(team: &Team, asked: usize) -> Result<(usize, usize)> {
    let mine = (machine::name(), machine::processors());
    let all = team.all(&mine)?;
    let mut hosts: Vec<&String> = all.iter().map(|(host, _)| host).collect();
    hosts.sort();
    hosts.dedup();
    if asked > 0 || threads_asked().is_some() {
        return Ok((asked, hosts.len()));
    }
    Ok((share_of(&mine, &all), hosts.len()))
}

/// A rank's share of the processors that it may use: each is divided among the ranks of its machine that may use it.
fn share_of(mine: &(String, Vec<usize>), all: &[(String, Vec<usize>)]) -> usize {
    let beside: Vec<&Vec<usize>> =
        all.iter().filter(|(host, _)| *host == mine.0).map(|(_, own)| own).collect();
    let part = |processor: &usize| 1.0 / beside.iter().filter(|own| own.contains(processor)).count() as f64;
    let share: f64 = mine.1.iter().map(part).sum();
    // A sum of thirds may lack a last digit.
    (share + 1e-9).max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::{launched, share_of};

    #[test]
    fn processors_are_divided_among_the_ranks_that_may_use_them() {
        let ranks = |hosts: &[(&str, std::ops::Range<usize>)]| -> Vec<(String, Vec<usize>)> {
            hosts.iter().map(|(host, own)| ((*host).to_owned(), own.clone().collect())).collect()
        };
        let shares =
            |all: &[(String, Vec<usize>)]| all.iter().map(|mine| share_of(mine, all)).collect::<Vec<_>>();
        // Not bound; bound to sockets; bound to cores; more ranks than cores; two machines.
        assert_eq!(shares(&ranks(&[("a", 0..9), ("a", 0..9), ("a", 0..9)])), [3, 3, 3]);
        assert_eq!(shares(&ranks(&[("a", 0..8), ("a", 8..16), ("a", 0..8), ("a", 8..16)])), [4; 4]);
        assert_eq!(shares(&ranks(&[("a", 0..1), ("a", 1..2)])), [1, 1]);
        assert_eq!(shares(&ranks(&[("a", 0..2), ("a", 0..2), ("a", 0..2)])), [1; 3]);
        assert_eq!(shares(&ranks(&[("a", 0..8), ("b", 0..8), ("b", 0..8)])), [8, 4, 4]);
    }

    #[test]
    fn a_launcher_is_known_by_its_environment() {
        let told = |variables: &[(&str, &str)]| {
            launched(|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(("OMPI_COMM_WORLD_SIZE", 4)));
        assert_eq!(told(&[("PMI_SIZE", "2"), ("SLURM_STEP_NUM_TASKS", "2")]), Some(("PMI_SIZE", 2)));
        assert_eq!(told(&[("SLURM_STEP_NUM_TASKS", "3")]), Some(("SLURM_STEP_NUM_TASKS", 3)));
        // A launcher's own word counts, also within a step: mpirun -n 1.
        assert_eq!(told(&[("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "3")]), None);
    }
}
