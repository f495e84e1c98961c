//! Figures of a `trace` run: drive, orbits, spectrum, and the running lock-in estimate.

use std::path::Path;

use serde::Deserialize;

use super::circuit_figure;
use crate::error::{Error, Result};
use crate::files::{self, read_npz};
use crate::names;
use crate::plot::{Figure, Mark, Panel, Print, Series};

/// What the figure needs of `neurons.json`.
#[derive(Deserialize)]
struct Neurons {
    neurons: Vec<String>,
    period: f64,
    /// Whether they were asked for by name, so that all are drawn.
    #[serde(default)]
    chosen: bool,
}

/// Neurons and inputs shown as time traces, unless they were asked for.
const SHOWN: usize = 4;

/// Draws `trace` from `trace.npz`.
///
/// # Errors
/// If the trace is missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    if circuit_figure::is_of_circuit(folder) {
        return circuit_figure::draw(folder, print);
    }
    let path = folder.join("neurons.json");
    let Neurons { neurons, period, chosen } =
        serde_json::from_str(&files::read_text(&path)?).map_err(|e| {
            Error::input(path.display().to_string(), "", e.to_string(), "a trace written by holograd")
        })?;
    let file = folder.join("trace.npz");
    let arrays = read_npz(&file)?;
    let array = |name: &str| -> Result<&Vec<f64>> {
        arrays.get(name).map(|(_, values)| values).ok_or_else(|| {
            Error::input(
                file.display().to_string(),
                name,
                "found no such array",
                "a trace written by holograd",
            )
        })
    };
    let (time, running) = (array("time")?, array("running_time")?);
    let (re, im) = (array("potential_re")?, array("potential_im")?);
    let (spectrum_re, spectrum_im) = (array("spectrum_re")?, array("spectrum_im")?);
    let n = neurons.len();
    let ticks = spectrum_re.len() / n;
    if re.len() != time.len() * n
        || im.len() != re.len()
        || spectrum_im.len() != ticks * n
        || ticks > time.len()
    {
        let legal = "a trace written by holograd";
        return Err(Error::input(file.display().to_string(), "", "arrays that do not fit together", legal));
    }
    let zip =
        |x: &[f64], y: &[f64]| -> Vec<(f64, f64)> { x.iter().copied().zip(y.iter().copied()).collect() };
    let neuron =
        |values: &[f64], k: usize| -> Vec<f64> { values.iter().skip(k).step_by(n).copied().collect() };

    let drive = Panel::new("time (τ)", "teaching signal β")
        .line("Re β", zip(time, array("beta_re")?))
        .series(Series::new("Im β", Mark::Dashed, zip(time, array("beta_im")?)).colour(1));
    // Runs of earlier versions have kept no rates.
    let rates = arrays.get("rate_re").zip(arrays.get("rate_im")).map(|((_, re), (_, im))| (re, im));
    let rates = rates.filter(|(x, y)| x.len() == re.len() && y.len() == re.len());
    let panel = |label: &str| Panel::new("time (τ)", label);
    let (mut real, mut imaginary) = (panel("Re u, potentials"), panel("Im u, potentials"));
    let mut real_rates = panel("Re a, rates");
    // The teaching acts on the last layer: its neurons move most.
    let first = if chosen { 0 } else { n.saturating_sub(SHOWN) };
    for (k, name) in neurons.iter().enumerate().skip(first) {
        real = real.line(names::neuron(name), zip(time, &neuron(re, k)));
        imaginary = imaginary.line(names::neuron(name), zip(time, &neuron(im, k)));
        if let Some((re, _)) = rates {
            real_rates = real_rates.line(names::neuron(name), zip(time, &neuron(re, k)));
        }
    }
    let mut orbits = Panel::new("Re (u − u*)", "Im (u − u*)").equal_aspect();
    let mut bins = Panel::new("harmonic k", "|cₖ| of the potentials").log_y();
    let steady = time.len() - ticks..time.len();
    for (k, name) in neurons.iter().enumerate() {
        let (x, y) = (&neuron(re, k)[steady.clone()], &neuron(im, k)[steady.clone()]);
        let (cx, cy) = (x.iter().sum::<f64>() / ticks as f64, y.iter().sum::<f64>() / ticks as f64);
        let mut orbit: Vec<(f64, f64)> = x.iter().zip(y).map(|(x, y)| (x - cx, y - cy)).collect();
        orbit.extend(orbit.first().copied());
        // Those shown as time traces in their colours, the others as one.
        orbits = orbits.series(match k.checked_sub(first) {
            Some(shown) => Series::new(names::neuron(name), Mark::Line, orbit).colour(shown),
            None => Series::new("others", Mark::Dotted, orbit).in_black(),
        });
    }
    let size = |bin: usize| {
        let one = |k: usize| spectrum_re[k * ticks + bin].hypot(spectrum_im[k * ticks + bin]);
        (0..n).map(one).fold(1e-18, f64::max)
    };
    let harmonic = |bin: usize| if 2 * bin > ticks { bin as f64 - ticks as f64 } else { bin as f64 };
    let shown = |k: f64| k.abs() <= 12.0;
    let stems = (0..ticks).filter(|&b| shown(harmonic(b))).map(|b| (harmonic(b), size(b))).collect();
    bins = bins.stems("largest over neurons", stems);
    let error = Panel::new(format!("end of the record (τ); T = {period} τ"), "relative gradient error")
        .log_y()
        .line("running lock-in", zip(running, array("running_relative_error")?));
    // They stand still in most runs, which keep none.
    let input = arrays.get("input").filter(|(_, x)| x.len() % time.len().max(1) == 0 && !x.is_empty());
    let input = input.map(|(_, values)| {
        let count = values.len() / time.len();
        (0..count.min(SHOWN)).fold(panel("inputs x"), |inputs, k| {
            let course: Vec<f64> = values.iter().skip(k).step_by(count).copied().collect();
            inputs.line(format!("input {}", k + 1), zip(time, &course))
        })
    });
    let (potentials, rates) = ([real, imaginary], rates.map(|_| real_rates));
    let panels =
        std::iter::once(drive).chain(input).chain(potentials).chain(rates).chain([orbits, bins, error]);
    panels.fold(Figure::new().columns(3), Figure::panel).write(folder, "trace", print).map(drop)
}
