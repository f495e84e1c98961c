//! Figure of a `frequency` run: gradient error against the period, theory through the points.

use std::path::Path;

use super::points;
use crate::error::Result;
use crate::records::{FrequencyPoint, read_metrics};
use crate::report::{Figure, Mark, Panel, Series};

/// Draws `frequency` from the metrics of a run.
///
/// # Errors
/// If the metrics are missing or damaged, or the figure cannot be written.
pub fn draw(folder: &Path) -> Result<()> {
    let all: Vec<FrequencyPoint> = read_metrics(folder)?;
    let most = all.iter().map(|p| p.richardson).max().unwrap_or(1);
    let own = |richardson: u64| all.iter().filter(|p| p.richardson == richardson).collect::<Vec<_>>();
    let mut panel = Panel::new("shortest period T (τ)", "relative gradient error").log_x().log_y();
    let mut add = |label: String, colour: usize, measured: Vec<(f64, f64)>, theory: Vec<(f64, f64)>| {
        let mut next = std::mem::take(&mut panel);
        next = next.series(Series::new("", Mark::Line, theory).colour(colour));
        panel = next.series(Series::new(label, Mark::Points, measured).colour(colour));
    };
    let period = |p: &&FrequencyPoint| Some(p.period);
    let plain = own(1);
    add(
        "complex".into(),
        3,
        points(&plain, period, |p| Some(p.complex_error)),
        points(&plain, period, |p| Some(p.complex_theory)),
    );
    for richardson in 1..=most {
        let own = own(richardson);
        let label = match richardson {
            1 => "real part".to_owned(),
            n => format!("Richardson, {n} periods"),
        };
        let colour = [0, 1, 2, 4, 5, 6][(richardson as usize - 1).min(5)];
        let theory = points(&own, period, |p| Some(p.theory));
        add(label, colour, points(&own, period, |p| Some(p.relative_error)), theory);
    }
    let clock = all.first().map(|p| std::f64::consts::TAU / p.slowest_rate);
    if let Some(clock) = clock {
        let rule = vec![(clock, 1e-9), (clock, 1.0)];
        panel = panel.series(Series::new("ωτ = slowest rate", Mark::Dotted, rule).in_black());
    }
    Figure::new().panel_size(520, 380).panel(panel).write(folder, "frequency")?;
    Ok(())
}
