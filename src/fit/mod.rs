//! `holograd fit`: the laws of the simulator, fitted to what a laboratory has measured.

mod drift;
mod figure;
mod mismatch;
mod optimise;
mod pulses;
mod spectrum;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::files::{self, Table};
use crate::names::number;

/// What the command line adds to a file.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The column of samples.
    pub column: Option<String>,
    /// The conductances that x = −1 and 1 stand for.
    pub range: Option<[f64; 2]>,
    /// Seconds of the nominal τ.
    pub tau: Option<f64>,
}

/// A parameter with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name, as in experiments.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// A law, fitted.
#[derive(Debug, Clone, Serialize)]
pub struct Law {
    /// Its name, as in experiments.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Akaike's information criterion: 2·parameters − 2 ln likelihood.
    pub aic: f64,
    /// What an experiment's `imperfections` say for it.
    pub json: Value,
    /// What is drawn of it.
    #[serde(skip)]
    curves: Vec<Vec<(f64, f64)>>,
    /// What is left of the data: (x, residual).
    #[serde(skip)]
    residuals: Vec<(f64, f64)>,
}

/// What a file holds, and its laws, the best first.
pub struct Fit {
    /// What was measured, in words.
    pub what: String,
    /// The laws, by rising AIC.
    pub laws: Vec<Law>,
    /// The data as they are drawn: for pulses up and down, else one set.
    data: Vec<(String, Vec<(f64, f64)>)>,
    axes: Axes,
}

/// How the panels are labelled.
struct Axes {
    x: &'static str,
    y: &'static str,
    residual: &'static str,
    log: (bool, bool),
}

/// Fits every law that a table may have come from.
///
/// # Errors
/// If the table is of no known kind, or has too few rows.
pub fn fit(table: &Table, asked: &Asked) -> Result<Fit> {
    let has = |names: &[&str]| table.find(names).is_some();
    let mut fit = if has(&["polarity", "direction", "sign"]) {
        pulses::fit(table, asked)?
    } else if has(spectrum::FREQUENCY) {
        spectrum::fit(table, asked)?
    } else if has(drift::TIME) {
        drift::fit(table)?
    } else {
        mismatch::fit(table, asked)?
    };
    fit.laws.sort_by(|a, b| a.aic.total_cmp(&b.aic));
    Ok(fit)
}

/// Reads a file, fits it, writes `fit.json`, `imperfections.json` and the figure into a folder; returns what is to be told.
///
/// # Errors
/// As [`fit`]; or if a file cannot be read or written.
pub fn run(path: &Path, asked: &Asked, out: &Path) -> Result<Vec<String>> {
    let file = path.display().to_string();
    let table = Table::parse(&file, &files::read_document(path)?)?;
    let fit = fit(&table, asked)?;
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "create", e))?;
    let best = &fit.laws[0];
    let all = json!({ "file": file, "what": fit.what, "laws": fit.laws });
    for (name, value) in [("fit.json", &all), ("imperfections.json", &best.json)] {
        let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal(e.to_string()))?;
        files::write_atomically(out.join(name), (text + "\n").as_bytes())?;
    }
    figure::draw(&fit, out)?;
    let mut lines = vec![format!("{file}: {}", fit.what)];
    for law in &fit.laws {
        lines.push(format!("{}  (AIC {:.1}, {:+.1})", law.name, law.aic, law.aic - best.aic));
        let width = law.parameters.iter().map(|p| p.name.len()).max().unwrap_or(0);
        let line = |p: &Parameter| {
            let [value, low, high] = [p.value, p.low, p.high].map(number);
            format!("  {:width$}  {value}  (95 % interval {low} to {high})", p.name)
        };
        lines.extend(law.parameters.iter().map(line));
    }
    lines.push(format!("imperfections of the best law: {}", best.json));
    lines.push(format!("written: fit.json, imperfections.json and fit.png in {}", out.display()));
    Ok(lines)
}
