//! Figure of a `trace` run on a circuit: drive, voltages, spectrum, power, and the gradient's error by order.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::experiment::sink::SUMMARY;
use crate::files::{self, read_npz};
use crate::plot::{Figure, Mark, Panel, Print, Series};

/// What the figure needs of `neurons.json`.
#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<String>,
    /// Those that dissipate most, the first most of all.
    #[serde(default)]
    elements: Vec<String>,
    period: f64,
}

/// What the figure needs of `summary.json`.
#[derive(Deserialize)]
struct Errors {
    relative_errors: indexmap::IndexMap<String, f64>,
    #[serde(default)]
    quasi_static_errors: indexmap::IndexMap<String, f64>,
}

/// Nodes that are shown as time traces.
const SHOWN: usize = 5;
/// Harmonics that are shown.
const HARMONICS: usize = 12;

/// Whether a folder holds a trace of a circuit.
pub fn is_of_circuit(folder: &Path) -> bool {
    files::read_text(folder.join("neurons.json"))
        .is_ok_and(|text| serde_json::from_str::<Nodes>(&text).is_ok())
}

/// Draws `trace`.
///
/// # Errors
/// If the trace is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let legal = "a trace of a circuit written by holograd";
    let read = |name: &str| files::read_text(folder.join(name));
    let broken = |name: &str, e: serde_json::Error| {
        Error::input(folder.join(name).display().to_string(), "", e.to_string(), legal)
    };
    let Nodes { nodes, elements, period } =
        serde_json::from_str(&read("neurons.json")?).map_err(|e| broken("neurons.json", e))?;
    let errors: Errors = serde_json::from_str(&read(SUMMARY)?).map_err(|e| broken(SUMMARY, e))?;
    let file = folder.join("trace.npz");
    let arrays = read_npz(&file)?;
    let array = |name: &str| -> Result<&Vec<f64>> {
        let missing = || Error::input(file.display().to_string(), name, "found no such array", legal);
        arrays.get(name).map(|(_, values)| values).ok_or_else(missing)
    };
    let time: Vec<f64> = array("time")?.iter().map(|t| t * 1e6).collect();
    let zip =
        |values: &[f64]| -> Vec<(f64, f64)> { time.iter().copied().zip(values.iter().copied()).collect() };
    let (volts, n) = (array("voltage")?, nodes.len());
    let drive = Panel::new("time (µs)", "teaching signal β").line("β", zip(array("beta")?));
    let mut voltages = Panel::new("time (µs)", "voltage (V)");
    // Taught nodes come last, and move most.
    for (k, name) in nodes.iter().enumerate().skip(n.saturating_sub(SHOWN)) {
        let course: Vec<f64> = volts.iter().skip(k).step_by(n).copied().collect();
        voltages = voltages.line(name.clone(), zip(&course));
    }
    let mut power = Panel::new("time (µs)", "power (µW)");
    for (label, name) in [
        ("supplied", "supplied"),
        ("trainable resistors", "trainable_resistors"),
        ("fixed resistors", "fixed_resistors"),
        ("diodes", "diodes"),
    ] {
        let values: Vec<f64> = array(name)?.iter().map(|p| p * 1e6).collect();
        if values.iter().any(|p| *p != 0.0) {
            power = power.line(label, zip(&values));
        }
    }
    let spectrum = array("spectrum")?;
    let bins = spectrum.len() / n.max(1);
    let size = |k: usize| (0..n).map(|node| spectrum[node * bins + k]).fold(1e-18, f64::max);
    let stems = (0..bins.min(HARMONICS + 1)).map(|k| (k as f64, size(k))).collect();
    let label = format!("harmonic k of 1/T, T = {} µs", (period * 1e9).round() / 1e3);
    let spectra = Panel::new(label, "|cₖ| (V), largest node").log_y().stems("nodes", stems);
    let points = |errors: &indexmap::IndexMap<String, f64>| -> Vec<(f64, f64)> {
        errors.iter().filter_map(|(k, e)| Some((k.parse().ok()?, *e))).collect()
    };
    let measured = Series::new("this drive", Mark::Points, points(&errors.relative_errors));
    let still = points(&errors.quasi_static_errors);
    let still = Series::new("infinitely slow drive", Mark::Dashed, still).in_black();
    let error =
        Panel::new("highest harmonic K", "relative gradient error").log_y().series(measured).series(still);
    let mut panels = vec![drive, voltages, power];
    if let Ok(each) = array("element_power") {
        let mut largest = Panel::new("time (µs)", "element power (µW)");
        for (k, name) in elements.iter().enumerate().take(SHOWN) {
            let course: Vec<f64> = each.iter().skip(k).step_by(elements.len()).map(|p| p * 1e6).collect();
            largest = largest.line(name.clone(), zip(&course));
        }
        panels.push(largest);
    }
    panels.extend([spectra, error]);
    panels.into_iter().fold(Figure::new().columns(3), Figure::panel).write(folder, "trace", print).map(drop)
}
