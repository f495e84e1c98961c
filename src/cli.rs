//! The command line.

mod ranks;
mod shards;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::experiment::resume::Resumed;
use crate::experiment::status::status;
use crate::experiment::{
    self, Experiment, KINDS, Loaded, Options, RunFolder, drawing, kinds, library, lock, manifest, place,
};
use crate::fit;
use crate::host::{device, interrupt};
use crate::learning::Schedule;
use crate::page;
use crate::plot::{self, Print};
use crate::substrate::circuits::model::CircuitSpec;
use crate::substrate::neurons::model::ModelSpec;
use crate::text::{printable, quoted};

/// Threads beyond which a number is a slip: systems take minutes to start more, or refuse.
const MOST_THREADS: usize = 4096;

/// Where rayon looks for a number of threads if none is given.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Analog networks that learn by holomorphic equilibrium propagation.
#[derive(Debug, Parser)]
#[command(name = "holograd", version, about, subcommand_negates_reqs = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads; 0 for one per core.
    #[arg(long, global = true, default_value_t = 0)]
    threads: usize,
    /// Shows no progress and tells nothing but warnings; errors stay.
    #[arg(long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs an experiment: the path of its file, or the name of a shipped one.
    Run(Run),
    /// Validates an experiment or a model, and says what it takes.
    Check {
        /// Path, or name of a shipped experiment.
        file: String,
        /// Overrides a field, as --set estimator.oscillation.period=60.
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Where states are to be computed, as --set device=gpu.
        #[arg(long, value_name = "DEVICE")]
        device: Option<String>,
        /// Where data sets are looked for first.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Puts the shards of a sweep together: the folder that one process would have made.
    Merge {
        /// The run folder.
        folder: PathBuf,
    },
    /// Says what of a run is done, who is at work, and how long the rest of a sweep takes.
    Status {
        /// The run folder.
        folder: PathBuf,
        /// Where data sets are looked for first.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Lists what states can be computed on: this processor, and the GPUs that there are.
    Devices,
    /// Lists the shipped experiments.
    List,
    /// Redraws the figures of a finished run.
    Plot {
        /// The run folder.
        folder: PathBuf,
        /// Printed width, as 89mm (one column) or 183mm (two); by default what suits each figure. No letter is smaller than 6 points.
        #[arg(long, value_name = "WIDTH", value_parser = plot::width)]
        width: Option<f64>,
        /// The files to write.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Print::default().formats)]
        format: Vec<plot::Format>,
    },
    /// Writes a page about finished runs, with their figures: ours beside what is published.
    Report {
        /// The run folders, in the order of the page.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// The page, a Markdown file; figures go into the folder of its name beside it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Checks that a finished run's files are those that it wrote: their SHA-256 are in its manifest.
    Verify {
        /// The run folder.
        folder: PathBuf,
    },
    /// Fits laws of devices to a CSV file of pulses, drift, mismatch or noise; prints parameters, and writes the JSON to paste.
    Fit {
        /// The file: its first line names the columns.
        file: PathBuf,
        /// The column of samples of a mismatch.
        #[arg(long, value_name = "NAME")]
        column: Option<String>,
        /// The conductances of the ends of x; by default those of the data, or fitted.
        #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', num_args = 2)]
        range: Option<Vec<f64>>,
        /// Seconds of the nominal time constant, in which noise is told.
        #[arg(long, value_name = "SECONDS")]
        tau: Option<f64>,
        /// Where fit.json, imperfections.json and the figure go; fits/NAME by default.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Writes the circuit or the network of a `trace` as a SPICE netlist with a real drive, for ngspice -b.
    Netlist {
        /// Path, or name of a shipped experiment.
        experiment: String,
        /// The netlist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Overrides a field, as --set amplitude=0.5.
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
    },
    /// Prints a JSON Schema of experiments and models, for editors.
    Schema,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Path, or name of a shipped experiment.
    experiment: String,
    /// Where the results go; runs/NAME by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overrides a field, as --set estimator.oscillation.period=60.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Where states are computed, as --set device=gpu: cpu, gpu, or gpu:N for one of those that `holograd devices` lists.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Continues a training run or sweep; --set epochs=50 for longer.
    #[arg(long)]
    resume: bool,
    /// Where data sets are looked for first.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Does a share of a sweep's runs: i/n, or slurm, slurm/n or pbs/n for the task of a job array.
    #[arg(long, value_name = "i/n", conflicts_with = "resume")]
    shard: Option<String>,
    /// Runs of a sweep side by side, each on its share of the threads; one a thread by default.
    #[arg(long, value_name = "K")]
    pack: Option<usize>,
}

impl Run {
    fn options(&self, quiet: bool) -> Options {
        let (data, pack) = (self.data.clone(), self.pack);
        Options { data, pack, resume: self.resume, progress: !quiet, ..Options::default() }
    }
}

/// Runs the program on its arguments; returns the exit code.
pub fn main() -> u8 {
    // Memory that the system refuses ends the program by this signal, after a message of the runtime: what is asked for is more
    // than there is, as with any other bad input. Where the signal cannot be caught all stays as it is.
    let always = Arc::new(AtomicBool::new(true));
    let _ = signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, 2, always);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure; everything else is bad input.
            if error.use_stderr() {
                complain(&error.render().to_string());
                return 2;
            }
            let _ = error.print();
            return 0;
        }
    };
    match interrupt::watch().and_then(|()| dispatch(arguments)) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("holograd: {error}\n"));
            error.exit_code()
        }
    }
}

/// Writes to standard error.
fn complain(text: &str) {
    // Where nobody listens the exit code has to do.
    let _ = write!(std::io::stderr(), "{}", printable(text));
}

/// The threads that the environment asks for.
fn threads_asked() -> Option<usize> {
    std::env::var(THREADS).ok().and_then(|text| text.parse().ok())
}

fn start_threads(threads: usize) -> Result<()> {
    let (who, threads) = match threads_asked().filter(|_| threads == 0) {
        Some(asked) => (THREADS, asked),
        None => ("--threads", threads),
    };
    let refuse = |found| Error::input(who, "", found, format!("it must be at most {MOST_THREADS}"));
    if threads > MOST_THREADS {
        return Err(refuse(format!("found {threads}")));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|e| refuse(format!("found {threads}: {e}")))
}

/// Does what is asked; returns the exit code.
fn dispatch(arguments: Arguments) -> Result<u8> {
    let quiet = arguments.quiet;
    let default = || {
        let experiment = library::DEFAULT.to_owned();
        let [out, data] = [None, None];
        let (set, device) = (Vec::new(), None);
        Command::Run(Run { experiment, out, set, device, resume: false, data, shard: None, pack: None })
    };
    let mut command = arguments.command.unwrap_or_else(default);
    if let Command::Run(Run { experiment: file, set, device, .. }) | Command::Check { file, set, device, .. } =
        &mut command
        && let Some(device) = device.take()
    {
        set.push(experiment::load::device_override(file, &device)?);
    }
    if let Command::Run(run) = &command
        && let Some(team) = ranks::join(run)?
    {
        return ranks::perform(team, run, arguments.threads, quiet).map(|()| 0);
    }
    start_threads(arguments.threads)?;
    let done = match command {
        Command::Run(run) if run.shard.is_some() => shards::run(&run, quiet),
        Command::Run(run) => run_here(&run, quiet),
        Command::Check { file, set, data, device: _ } => {
            let options = Options { data, ..Options::default() };
            tell(&format!("{file}: {}", experiment::load::check(&file, &set, &options)?))
        }
        Command::Merge { folder } => shards::merge(&folder, quiet),
        Command::Status { folder, data } => {
            let options = Options { data, ..Options::default() };
            status(&folder, &options)?.iter().try_for_each(|line| tell(line))
        }
        Command::Devices => device::list().iter().try_for_each(|line| tell(line)),
        Command::List => list(),
        Command::Plot { folder, width, format: formats } => {
            drawing::draw_as(&folder, &Print { width, formats })?;
            manifest::update_figures(&folder)?;
            let going_on = lock::holder(&folder)
                .map_or(String::new(), |note| format!(", so far: the folder is in use by {}", note.holder()));
            remark(quiet, &format!("redrawn: the figures of {}{going_on}", folder.display()))
        }
        Command::Report { folders, out } => {
            page::write(&folders, &out)?;
            let runs = if folders.len() == 1 { "run" } else { "runs" };
            tell(&format!("written: {}, of {} {runs}", out.display(), folders.len()))
        }
        Command::Fit { file, column, range, tau, out } => {
            let range = range.map(|ends| [ends[0], ends[1]]);
            let asked = fit::Asked { column, range, tau };
            let name = file.file_stem().unwrap_or_default();
            let out = out.unwrap_or_else(|| Path::new("fits").join(name));
            fit::run(&file, &asked, &out)?.iter().try_for_each(|line| tell(line))
        }
        Command::Netlist { experiment, out, set } => {
            let text = experiment::load(&experiment, &set)?.netlist()?;
            crate::files::write_atomically(&out, text.as_bytes())?;
            remark(quiet, &format!("written: {}", out.display()))
        }
        Command::Schema => {
            let text = serde_json::to_string_pretty(&schema()).map_err(|e| Error::Internal(e.to_string()))?;
            tell(&text)
        }
        Command::Verify { folder } => return verify(&folder),
    };
    done.map(|()| 0)
}

/// Compares a run folder with its manifest; returns the exit code.
fn verify(folder: &Path) -> Result<u8> {
    let findings = manifest::verify(folder)?;
    let told = [
        ("changed", &findings.changed),
        ("missing", &findings.missing),
        ("not in the manifest", &findings.added),
    ];
    for (what, names) in told {
        names.iter().try_for_each(|name| tell(&format!("{what}: {name}")))?;
    }
    let all = findings.sound + findings.changed.len() + findings.missing.len();
    tell(&format!("{}: {} of {all} files are as the run wrote them", folder.display(), findings.sound))?;
    Ok(u8::from(!findings.is_sound()))
}

/// Writes a line to standard output. A reader that has left, as `head` does, is no failure.
fn tell(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", printable(line)) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write", error))
        }
        _ => Ok(()),
    }
}

/// As [`tell`], of what a quiet program does not say.
fn remark(quiet: bool, line: &str) -> Result<()> {
    if quiet { Ok(()) } else { tell(line) }
}

/// The command as it was given; what is not UTF-8 in it is replaced.
fn command() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn run_here(run: &Run, quiet: bool) -> Result<()> {
    if run.resume { resume(run, quiet) } else { run_anew(run, quiet) }
}

fn run_anew(run: &Run, quiet: bool) -> Result<()> {
    let loaded = experiment::load(&run.experiment, &run.set)?;
    announce(&loaded, run, run.out.as_deref().unwrap_or(Path::new(".")))?;
    let folder = match &run.out {
        Some(path) => RunFolder::create(path, command(), &loaded)?,
        None => RunFolder::numbered(command(), &loaded)?,
    };
    carry_out(&loaded, folder, run, quiet)
}

fn resume(run: &Run, quiet: bool) -> Result<()> {
    let name = Path::new(&run.experiment).file_stem().map(|s| s.to_string_lossy().into_owned());
    let path = run.out.clone().map_or_else(|| place::latest(&name.unwrap_or_default()), Ok)?;
    let resumed = Resumed::new(&path, |origin| experiment::load::load_from(origin, &run.set))?;
    let loaded = &resumed.loaded;
    if resumed.is_complete() {
        ranks::start(None)?;
        return remark(quiet, &format!("{}: {}", path.display(), nothing_left(&loaded.experiment)));
    }
    announce(loaded, run, &path)?;
    let folder = resumed.folder(&path, command())?;
    remark(quiet, &format!("resuming {}", path.display()))?;
    carry_out(loaded, folder, run, quiet)
}

/// What is said of a finished run that is to be resumed.
fn nothing_left(experiment: &Experiment) -> String {
    let Some((epochs, schedule)) = experiment.kind().epochs() else {
        return "nothing is left to do: all of its runs are complete, and nothing was changed. It is kept as it was begun, \
                whatever its file says now; for more runs, add --set seeds=…"
            .into();
    };
    let more = if schedule == Schedule::Constant { "; for more, add --set epochs=…" } else { "" };
    format!("nothing is left to do: it has learnt for all of its {epochs} epochs; nothing was changed{more}")
}

fn carry_out(loaded: &Loaded, mut folder: RunFolder, run: &Run, quiet: bool) -> Result<()> {
    interrupt::advise(advice(loaded, &folder, run));
    let lines = match work(loaded, &mut folder, run, quiet) {
        Ok(lines) => lines,
        Err(error) => {
            if error.exit_code() == 2 {
                folder.discard();
            }
            return Err(error);
        }
    };
    conclude(&folder, &lines, quiet)
}

/// Tells of a run that is complete, draws its figures and writes its manifest. It stays, whatever becomes of its figures.
fn conclude(folder: &RunFolder, lines: &[String], quiet: bool) -> Result<()> {
    lines.iter().filter(|line| !quiet || line.starts_with("warning:")).try_for_each(|line| tell(line))?;
    drawing::draw(folder.path())?;
    folder.finish()?;
    ranks::conclude(quiet)?;
    remark(quiet, &format!("figures and data: {}", folder.path().display()))
}

/// How to go on after an interruption.
fn advice(loaded: &Loaded, folder: &RunFolder, run: &Run) -> String {
    let out = folder.path().display().to_string();
    if kinds::is_resumed(loaded.experiment.name()) {
        let [experiment, place] = [&run.experiment, &out].map(|argument| quoted(argument));
        format!("{out} keeps what is done; to go on:\n  holograd run {experiment} --resume --out {place}")
    } else {
        format!(
            "this kind of run is not resumed: the same command begins it again; {out} keeps what is done until then"
        )
    }
}

/// Refuses what cannot be done, and says beforehand what takes long.
fn announce(loaded: &Loaded, run: &Run, out: &Path) -> Result<()> {
    if let Some(pack) = run.pack {
        let threads = rayon::current_num_threads();
        if pack == 0 || pack > threads {
            let legal = format!("1 to {threads}, as many as there are threads");
            return Err(Error::input("--pack", "", format!("found {pack}"), legal));
        }
        if !matches!(loaded.experiment, Experiment::Sweep(_)) {
            let found = format!("found it for an experiment of kind `{}`", loaded.experiment.name());
            return Err(Error::input("--pack", "", found, "the runs of a `sweep` are done side by side"));
        }
    }
    ranks::refuse(loaded)?;
    let options = run.options(true);
    let cost = loaded.afford(&options, out)?;
    cost.warning().map_or(Ok(()), |warning| tell(&warning))
}

fn work(loaded: &Loaded, folder: &mut RunFolder, run: &Run, quiet: bool) -> Result<Vec<String>> {
    remark(quiet, &format!("{} -> {}", loaded.origin.display(), folder.path().display()))?;
    loaded.warnings().iter().try_for_each(|warning| tell(&format!("warning: {warning}")))?;
    loaded.remarks()?.iter().try_for_each(|line| remark(quiet, line))?;
    ranks::start(Some((folder, run)))?;
    loaded.run(folder, &run.options(quiet))
}

fn list() -> Result<()> {
    let names = library::experiments();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for name in &names {
        let text = library::file(&format!("experiments/{name}.json")).unwrap_or_default();
        let value: Value = serde_json::from_slice(text)
            .map_err(|e| Error::Internal(format!("the shipped experiment {name} is not JSON: {e}")))?;
        tell(&format!("{name:width$}  {}", value["description"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// One schema for both kinds of file: an experiment, whose `kind` says of which fields, or a model.
fn schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let (experiment, model) =
        (generator.subschema_for::<Experiment>(), generator.subschema_for::<ModelSpec>());
    let circuit = generator.subschema_for::<CircuitSpec>().to_value();
    let (experiment, model) = (experiment.to_value(), model.to_value());
    let mut definitions = Value::Object(generator.take_definitions(true));
    let mut defined = |reference: &Value| -> Value {
        let pointer = reference["$ref"].as_str().and_then(|pointer| pointer.strip_prefix("#/$defs"));
        pointer.and_then(|pointer| definitions.pointer_mut(pointer)).map(Value::take).unwrap_or_default()
    };
    let (mut kinds, mut whole) = (defined(&experiment)["oneOf"].take(), defined(&model));
    let mut electric = defined(&circuit);
    let named = json!({ "type": "string", "description": "Where an editor finds this schema." });
    let kinds = kinds.as_array_mut().map(std::mem::take).unwrap_or_default();
    // A slip in one kind is told of that kind alone.
    let branches: Vec<Value> = kinds
        .into_iter()
        .map(|mut kind| {
            kind["properties"]["$schema"] = named.clone();
            let name = json!({ "properties": { "kind": kind["properties"]["kind"] }, "required": ["kind"] });
            json!({ "if": name, "then": kind })
        })
        .collect();
    whole["properties"]["$schema"] = named.clone();
    electric["properties"]["$schema"] = named;
    for (reference, schema) in [(&model, whole), (&circuit, electric)] {
        if let Some(pointer) = reference["$ref"].as_str().and_then(|pointer| pointer.strip_prefix("#/$defs/"))
        {
            definitions[pointer] = schema;
        }
    }
    if let (Some(pointer), Some(all)) =
        (experiment["$ref"].as_str().and_then(|p| p.strip_prefix("#/$defs/")), definitions.as_object_mut())
    {
        all.shift_remove(pointer);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holograd experiment or model",
        "type": "object",
        "if": { "required": ["kind"] },
        "then": { "properties": { "kind": { "enum": KINDS } }, "allOf": branches },
        "else": { "if": { "required": ["nodes"] }, "then": circuit, "else": model },
        "$defs": definitions,
    })
}
