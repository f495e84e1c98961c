//! Figure of a `frequency` run: gradient error against the period, theory through the points.

use std::path::Path;

use super::record::{FrequencyPoint, FrequencyTheory, THEORY};
use crate::error::Result;
use crate::figures::{points, read_json};
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::records::read_metrics;

/// Colours of one, two, three … extrapolated periods.
const COLOURS: [usize; 6] = [0, 1, 2, 4, 5, 6];

/// Draws `frequency` from the metrics of a run.
///
/// # Errors
/// If the metrics are missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let all: Vec<FrequencyPoint> = read_metrics(folder)?;
    let most = all.iter().map(|p| p.richardson).max().unwrap_or(1);
    let theory: Vec<FrequencyTheory> = match folder.join(THEORY) {
        path if path.exists() => read_json(&path, "theory written by holograd")?,
        // Runs of earlier versions know it at the simulated periods alone.
        _ => all.iter().map(FrequencyTheory::from).collect(),
    };
    let mut panel = Panel::new("shortest period T (τ)", "relative gradient error").log_x().log_y();
    for (richardson, is_complex, label) in (1..=most).flat_map(|n| match n {
        1 => vec![(1, true, "complex".to_owned()), (1, false, "real part".to_owned())],
        n => vec![(n, false, format!("Richardson, {n} periods"))],
    }) {
        let colour = if is_complex { 3 } else { COLOURS[(richardson as usize - 1).min(5)] };
        let own: Vec<&FrequencyTheory> = theory.iter().filter(|t| t.richardson == richardson).collect();
        let curve = points(&own, |t| Some(t.period), |t| Some(if is_complex { t.complex } else { t.real }));
        panel = panel.series(Series::new("theory", Mark::Dashed, curve).colour(colour));
        let own: Vec<&FrequencyPoint> = all.iter().filter(|p| p.richardson == richardson).collect();
        let error = |p: &&FrequencyPoint| Some(if is_complex { p.complex_error } else { p.relative_error });
        let measured = points(&own, |p| Some(p.period), error);
        panel = panel.series(Series::new(label, Mark::Points, measured).colour(colour));
    }
    if let Some(clock) = all.first().map(|p| std::f64::consts::TAU / p.slowest_rate) {
        // As high as everything else.
        let errors = panel.series.iter().flat_map(|s| &s.points).map(|p| p.1).filter(|e| *e > 0.0);
        let (low, high) = errors.fold((f64::INFINITY, 0.0_f64), |(low, high), e| (low.min(e), high.max(e)));
        let rule = vec![(clock, low), (clock, high)];
        panel = panel.series(Series::new("ω = slowest relaxation rate", Mark::Dotted, rule).in_black());
    }
    Figure::new().panel_size(520, 380).panel(panel).write(folder, "frequency", print)?;
    Ok(())
}
