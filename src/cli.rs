//! The command line.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::experiment::{self, Experiment, Loaded, Options, RunFolder, library};
use crate::figures;
use crate::page;
use crate::report::{self, Print};
use crate::substrate::model::ModelSpec;

/// Threads beyond which a number is a slip: systems take minutes to start more, or refuse.
const MOST_THREADS: usize = 4096;

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
    /// Validates an experiment or a model.
    Check {
        /// Path, or name of a shipped experiment.
        file: String,
    },
    /// Lists the shipped experiments.
    List,
    /// Redraws the figures of a finished run.
    Plot {
        /// The run folder.
        folder: PathBuf,
        /// Printed width, as 89mm (one column) or 183mm (two); by default what suits each figure. No letter is smaller than 6 points.
        #[arg(long, value_name = "WIDTH", value_parser = report::width)]
        width: Option<f64>,
        /// The files to write.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Print::default().formats)]
        format: Vec<report::Format>,
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
    /// Continues a training run or sweep; --set epochs=50 for longer.
    #[arg(long)]
    resume: bool,
    /// Where data sets are looked for first.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the program on its arguments; returns the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no failure; everything else is bad input.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match dispatch(arguments) {
        Ok(()) => 0,
        Err(error) => {
            // Where nobody listens the exit code has to do.
            let _ = writeln!(std::io::stderr(), "holograd: {error}");
            error.exit_code()
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<()> {
    let (threads, quiet) = (arguments.threads, arguments.quiet);
    let refuse = |found| Error::input("--threads", "", found, format!("it must be at most {MOST_THREADS}"));
    if threads > MOST_THREADS {
        return Err(refuse(format!("found {threads}")));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|e| refuse(format!("found {threads}: {e}")))?;
    let default = || {
        let experiment = library::DEFAULT.to_owned();
        Command::Run(Run { experiment, out: None, set: Vec::new(), resume: false, data: None })
    };
    match arguments.command.unwrap_or_else(default) {
        Command::Run(run) => run_experiment(&run, quiet),
        Command::Check { file } => tell(&format!("{file}: {}", experiment::load::check(&file)?)),
        Command::List => list(),
        Command::Plot { folder, width, format: formats } => {
            figures::draw_as(&folder, &Print { width, formats })?;
            if quiet { Ok(()) } else { tell(&format!("redrawn: the figures of {}", folder.display())) }
        }
        Command::Report { folders, out } => {
            page::write(&folders, &out)?;
            tell(&format!("written: {}, of {} runs", out.display(), folders.len()))
        }
        Command::Schema => {
            let text = serde_json::to_string_pretty(&schema()).map_err(|e| Error::Internal(e.to_string()))?;
            tell(&text)
        }
    }
}

/// Writes a line to standard output. A reader that has left, as `head` does, is no failure.
fn tell(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write", error))
        }
        _ => Ok(()),
    }
}

fn run_experiment(run: &Run, quiet: bool) -> Result<()> {
    let command: Vec<String> = std::env::args().collect();
    let (loaded, folder) = if run.resume {
        let name = Path::new(&run.experiment).file_stem().map(|s| s.to_string_lossy().into_owned());
        let path = run.out.clone().unwrap_or_else(|| RunFolder::latest(&name.unwrap_or_default()));
        let folder = RunFolder::reopen(&path, command)?;
        let file = path.join("experiment.json").display().to_string();
        let loaded = experiment::load(&file, &run.set)?;
        experiment::resume::check(&experiment::load(&file, &[])?.experiment, &loaded.experiment, &file)?;
        (loaded, folder)
    } else {
        let loaded = experiment::load(&run.experiment, &run.set)?;
        let path = run.out.clone().unwrap_or_else(|| RunFolder::fresh(&loaded.name));
        (loaded, RunFolder::create(&path, command)?)
    };
    let lines = match work(&loaded, &folder, run, quiet) {
        Ok(lines) => lines,
        Err(error) => {
            if error.exit_code() == 2 {
                folder.discard();
            }
            return Err(error);
        }
    };
    // From here on the run is complete: it stays, whatever becomes of its figures.
    lines.iter().filter(|line| !quiet || line.starts_with("warning:")).try_for_each(|line| tell(line))?;
    figures::draw(folder.path())?;
    folder.write_manifest(loaded.experiment.kind().seed())?;
    if quiet { Ok(()) } else { tell(&format!("figures and data: {}", folder.path().display())) }
}

fn work(loaded: &Loaded, folder: &RunFolder, run: &Run, quiet: bool) -> Result<Vec<String>> {
    if !quiet {
        tell(&format!("{} -> {}", loaded.origin.display(), folder.path().display()))?;
    }
    let options = Options { data: run.data.clone(), resume: run.resume, progress: !quiet };
    loaded.experiment.kind().run(loaded, folder, &options)
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

/// One schema for both kinds of file: an experiment of any kind, or a model.
fn schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let (experiment, model) =
        (generator.subschema_for::<Experiment>(), generator.subschema_for::<ModelSpec>());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holograd experiment or model",
        "anyOf": [experiment, model],
        "$defs": generator.take_definitions(true),
    })
}
