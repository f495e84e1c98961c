//! The page of results: Markdown from run folders, every number with the command, seed, commit and time that made it.

mod headlines;
mod markdown;
mod row;
mod sweep;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::experiment::{library, lock, place};
use crate::files;
use crate::published::Published;
use crate::text::quoted;
use markdown::{anchor, cell, code, destination, inline, plain};
use row::Row;

/// Writes the page `out` about finished runs, in their order, and copies their figures into the folder of its name beside it.
///
/// # Errors
/// If a folder holds no finished run, two have one name, the page would go into a run folder, or a file cannot be written.
pub fn write(folders: &[PathBuf], out: &Path) -> Result<()> {
    if out.extension().is_none() {
        let legal = "the figures go into a folder of that name: give the page one like results.md";
        return Err(Error::input("--out", "", format!("found {}", out.display()), legal));
    }
    let stem = out.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let images = out.with_file_name(&stem);
    refuse_run_folder(out, &images)?;
    let (mut overview, mut sections) = (String::new(), String::new());
    let mut names: Vec<String> = Vec::new();
    let mut copies: Vec<(PathBuf, PathBuf)> = Vec::new();
    for folder in folders {
        let name = folder.canonicalize().map_err(|e| Error::io(folder, "open", e))?;
        let name = name.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if names.contains(&name) {
            let found = format!("found two folders called {name}");
            return Err(Error::input(
                folder.display().to_string(),
                "",
                found,
                "figures are told apart by it",
            ));
        }
        place::refuse_links(folder)?;
        if let Some(note) = lock::holder(folder) {
            let found = format!("the folder is in use by {}", note.holder());
            let legal = "a page is about finished runs";
            return Err(Error::input(folder.display().to_string(), "", found, legal));
        }
        let figures = figures(folder)?;
        let named = |figure: &str| format!("{name}-{figure}");
        let links: Vec<(String, String)> =
            figures.iter().map(|f| (f.clone(), format!("{stem}/{}", named(f)))).collect();
        let (kind, summary) = (kind(folder)?, json(folder, "summary.json")?);
        let rows = headlines::of_run(&kind, folder, &summary)?;
        for row in &rows {
            if let Some(published) = &row.published {
                let [quantity, ours, published] =
                    [&row.quantity, &row.ours, published].map(|text| cell(text));
                let (shown, anchor) = (cell(&name), anchor(&name));
                let _ = writeln!(overview, "| [{shown}](#{anchor}) | {quantity} | {ours} | {published} |");
            }
        }
        sections += &section(folder, &name, &links, rows)?;
        copies.extend(figures.iter().map(|f| (folder.join(f), images.join(named(f)))));
        names.push(name);
    }
    std::fs::create_dir_all(&images).map_err(|e| Error::io(&images, "create", e))?;
    for (from, to) in copies {
        files::write_atomically(to, &files::read_bytes(from)?)?;
    }
    let mut page = String::from("# Results\n\nWritten by `holograd report` from run folders.\n");
    if !overview.is_empty() {
        page += "\n## Beside the published results\n\n| run | | ours | published |\n|---|---|---|---|\n";
        page += &overview;
    }
    page += &sections;
    files::write_atomically(out, page.as_bytes())
}

/// Refuses a page or a folder of figures in the folder of a run, which stays as the run has left it.
fn refuse_run_folder(page: &Path, images: &Path) -> Result<()> {
    let refuse = |what: &str, run: &Path| {
        let found = format!("{what} would go into {}, which is the folder of a run", run.display());
        Err(Error::input("--out", "", found, "choose another place or name for the page"))
    };
    if let Some(run) = place::run_around(page) {
        return refuse("the page", &run);
    }
    let whole = images.canonicalize().unwrap_or_else(|_| images.to_owned());
    match place::run_around(&whole.join("figure")) {
        Some(run) => refuse("its figures", &run),
        None => Ok(()),
    }
}

/// The names of the bitmaps in a run folder, sorted; what is a link is none.
fn figures(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?;
    let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<String> = files.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|e| e == "png"));
    names.sort();
    Ok(names)
}

fn json(folder: &Path, name: &str) -> Result<Value> {
    let path = folder.join(name);
    if !path.exists() {
        let legal =
            "give folders of finished runs: they hold experiment.json, summary.json and manifest.json";
        return Err(Error::input(folder.display().to_string(), "", format!("found no {name} there"), legal));
    }
    serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
        Error::input(path.display().to_string(), "", e.to_string(), "a file written by holograd")
    })
}

/// The kind of the experiment of a run.
fn kind(folder: &Path) -> Result<String> {
    Ok(json(folder, "experiment.json")?["kind"].as_str().unwrap_or_default().to_owned())
}

/// What one run has to say.
fn section(folder: &Path, name: &str, figures: &[(String, String)], rows: Vec<Row>) -> Result<String> {
    let (experiment, manifest) = (json(folder, "experiment.json")?, json(folder, "manifest.json")?);
    let published = Published::of_run(folder)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!("\n## {}\n", inline(name));
    let description = text(&experiment["description"]);
    if !description.is_empty() {
        let _ = write!(out, "\n{}.\n", plain(description.trim_end_matches('.')));
    }
    for (figure, link) in figures {
        let shown = inline(&format!("{name}, {}", figure.trim_end_matches(".png")));
        let _ = write!(out, "\n![{shown}]({})\n", destination(link));
    }
    let theirs = rows.iter().any(|row| row.published.is_some());
    let (head, rule) = if theirs { (" published |", "---|") } else { ("", "") };
    let _ = write!(out, "\n| | ours |{head}\n|---|---|{rule}\n");
    for row in rows {
        let published = row.published.unwrap_or_else(|| "–".into());
        let published = if theirs { format!(" {} |", cell(&published)) } else { String::new() };
        let _ = writeln!(out, "| {} | {} |{published}", cell(&row.quantity), cell(&row.ours));
    }
    let notes = text(&experiment["notes"]);
    if !notes.is_empty() {
        let _ = write!(out, "\n**What differs, and why.** {}\n", inline(&notes));
    }
    if let Some(published) = published {
        let _ = write!(out, "\nPublished: {}.\n", inline(&published.source));
    }
    let _ = write!(out, "\n{}\n", provenance(&manifest, sweep::together(folder).as_ref()));
    Ok(out)
}

/// An argument for whoever repeats the run elsewhere: of an absolute path the name of the shipped experiment that lies there, or the file's.
fn portable(argument: &str) -> String {
    let path = Path::new(argument);
    if !path.is_absolute() {
        let set = argument.split_once('=').map(|(field, value)| format!("{field}={}", portable(value)));
        return set.unwrap_or_else(|| argument.to_owned());
    }
    let lies = |name: &String| {
        let place = format!("experiments/{name}.json");
        path.ends_with(&place) && std::fs::read(path).is_ok_and(|own| library::file(&place) == Some(&own))
    };
    let shipped = library::experiments().into_iter().find(lies);
    let file =
        || path.file_name().map_or_else(|| argument.into(), |name| name.to_string_lossy().into_owned());
    shipped.unwrap_or_else(file)
}

/// How the numbers came about; `runs` are those of a sweep.
fn provenance(manifest: &Value, runs: Option<&sweep::Together>) -> String {
    let mut arguments: Vec<&str> =
        manifest["command"].as_array().into_iter().flatten().skip(1).filter_map(Value::as_str).collect();
    // Where folders lay is nobody's concern, and whoever repeats the run has nothing to resume.
    for flag in ["--out", "--data"] {
        if let Some(place) = arguments.iter().position(|a| *a == flag) {
            arguments.drain(place..arguments.len().min(place + 2));
        }
    }
    let resumed = arguments.contains(&"--resume");
    arguments.retain(|a| *a != "--resume" && !a.starts_with("--out=") && !a.starts_with("--data="));
    let seeds = runs
        .map_or_else(|| format!("seed {}", inline(&manifest["seed"].to_string())), |runs| runs.seeds.clone());
    let whole = runs.map_or_else(String::new, |runs| {
        format!("; its runs took {} s together", headlines::number(runs.seconds))
    });
    let time = if resumed { format!(" for the last of its parts{whole}") } else { String::new() };
    let command: Vec<String> = arguments.into_iter().map(|a| quoted(&portable(a))).collect();
    let machine = &manifest["machine"];
    format!(
        "Made by {}; {seeds}, commit {}, version {}, {} s on {} threads ({}){time}.",
        code(&format!("holograd {}", command.join(" "))),
        code(manifest["commit"].as_str().unwrap_or("unknown")),
        inline(manifest["version"].as_str().unwrap_or("unknown")),
        manifest["wall_seconds"].as_f64().map_or_else(|| "?".into(), headlines::number),
        inline(&machine["threads"].to_string()),
        inline(machine["processor"].as_str().unwrap_or("unknown processor")),
    )
}
