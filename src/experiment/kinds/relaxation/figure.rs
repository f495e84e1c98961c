//! Figures of a `relaxation` run: the equilibria in the complex plane, and the way to them.

use std::path::Path;

use super::record::RelaxationPhase;
use crate::error::Result;
use crate::figures::beside;
use crate::names;
use crate::plot::{Figure, Mark, Panel, Print, Series};
use crate::published::{Curve, Published};
use crate::records::read_metrics;

/// Neurons whose equilibria are shown: the teaching acts on the last layer.
const SHOWN: usize = 4;
/// Points whose relaxation is shown, spread over half the circle.
const COURSES: u64 = 4;

/// Draws `equilibria` and `relaxation` from the metrics of a run.
///
/// # Errors
/// If the metrics are missing or damaged, or a figure cannot be written.
pub fn draw(folder: &Path, print: &Print) -> Result<()> {
    let phases: Vec<RelaxationPhase> = read_metrics(folder)?;
    let published = Published::of_run(folder)?;
    let Some((free, nudged)) = phases.split_first() else { return Ok(()) };
    let (mut equilibria, mut courses) = (Figure::new(), Figure::new());
    for amplitude in amplitudes(nudged) {
        let own: Vec<&RelaxationPhase> = nudged.iter().filter(|p| p.amplitude == amplitude).collect();
        equilibria = equilibria.panel(plane(amplitude, free, &own, published.as_ref()));
        courses = courses.panel(course(amplitude, free, &own, published.as_ref()));
    }
    equilibria.panel_size(420, 360).write(folder, "equilibria", print)?;
    courses.write(folder, "relaxation", print).map(drop)
}

fn amplitudes(nudged: &[RelaxationPhase]) -> Vec<f64> {
    let mut amplitudes: Vec<f64> = nudged.iter().map(|p| p.amplitude).collect();
    amplitudes.dedup();
    amplitudes
}

/// (a − a*)/|β| of the last neurons: a circle as long as the response is linear.
fn plane(
    amplitude: f64,
    free: &RelaxationPhase,
    own: &[&RelaxationPhase],
    published: Option<&Published>,
) -> Panel {
    let title = format!("|β| = {amplitude}, {} of {} neurons", SHOWN.min(free.rates.len()), free.rates.len());
    let mut panel = Panel::new("Re (a − a*) / |β|", "Im (a − a*) / |β|")
        .title(title)
        .equal_aspect()
        .x_group(0)
        .y_group(0);
    let own_mark = if published.is_some() { Mark::Line } else { Mark::LinePoints };
    for (index, (name, rest)) in free.rates.iter().rev().take(SHOWN).rev().enumerate() {
        let place = |rate: [f64; 2]| ((rate[0] - rest[0]) / amplitude, (rate[1] - rest[1]) / amplitude);
        let mut orbit: Vec<(f64, f64)> =
            own.iter().filter_map(|p| p.rates.get(name)).map(|r| place(*r)).collect();
        orbit.extend(orbit.first().copied());
        panel = panel.series(Series::new(names::neuron(name), own_mark, orbit).colour(index));
        let beside = format!("|β| = {amplitude}/{name}");
        for theirs in published.iter().flat_map(|p| p.beside(&beside)) {
            // Their equilibria around our free one: a difference of free equilibria shows too.
            let points = theirs.points("re", "im").unwrap_or_default();
            let points = points.into_iter().map(|(re, im)| place([re, im])).collect();
            panel = panel.series(Series::new("published", Mark::Open, points).colour(index));
        }
    }
    panel
}

/// The change of the state in each step.
fn course(
    amplitude: f64,
    free: &RelaxationPhase,
    own: &[&RelaxationPhase],
    published: Option<&Published>,
) -> Panel {
    let steps = |phase: &RelaxationPhase| -> Vec<(f64, f64)> {
        phase.residuals.iter().enumerate().map(|(i, r)| (i as f64 + 1.0, *r)).collect()
    };
    let title = format!("|β| = {amplitude}");
    let mut panel = Panel::new("step", "change of the state").title(title).log_y().y_range(1e-7, 1.0);
    panel = panel.series(Series::new("from rest, β = 0", Mark::Dashed, steps(free)).in_black());
    let mut labels = vec![format!("|β| = {amplitude}/free")];
    let count = own.len() as u64;
    let shown: Vec<u64> = (0..COURSES).map(|i| i * count / (2 * COURSES)).collect();
    for phase in own.iter().filter(|p| p.point.is_some_and(|k| shown.contains(&k))) {
        let point = phase.point.unwrap_or(0);
        let label = format!("point {point} of {count}");
        labels.push(format!("|β| = {amplitude}/{point}"));
        panel = panel.series(Series::new(label, Mark::Line, steps(phase)).colour(labels.len() - 2));
    }
    let of_panel = published.map(|p| {
        let here = |c: &&Curve| c.beside.as_ref().is_some_and(|b| labels.contains(b));
        let curves = p.curves.iter().filter(here).map(until_constant).collect();
        Published { source: p.source.clone(), curves }
    });
    let colour = |label: &str| labels.iter().position(|l| l == label).and_then(|i| i.checked_sub(1));
    beside(panel, of_panel.as_ref(), ("step", "residual"), colour, |r| r)
}

/// A course up to where it no longer changes: what follows says nothing more.
fn until_constant(curve: &Curve) -> Curve {
    let mut curve = curve.clone();
    let residuals = curve.columns.get("residual").cloned().unwrap_or_default();
    let same = |w: &[Option<f64>]| matches!(w, [Some(a), Some(b)] if (a / b - 1.0).abs() < 1e-4);
    let kept = residuals.windows(2).position(same).map_or(residuals.len(), |last| last + 1);
    curve.columns.values_mut().for_each(|column| column.truncate(kept));
    curve
}

/// For each amplitude, the largest distance of an equilibrium from the published one (|Re| or |Im| of a rate); none where nothing
/// is published.
///
/// # Errors
/// If the metrics or the published results are damaged.
pub(crate) fn distances(folder: &Path) -> Result<Vec<(f64, Option<f64>)>> {
    let phases: Vec<RelaxationPhase> = read_metrics(folder)?;
    let published = Published::of_run(folder)?;
    let nudged = phases.get(1..).unwrap_or_default();
    let distance = |amplitude: f64| {
        let own = nudged.iter().filter(|p| p.amplitude == amplitude);
        let each = own.flat_map(|phase| {
            let point = phase.point.unwrap_or(0) as usize;
            phase.rates.iter().map(move |(name, rate)| (name, rate, point))
        });
        each.filter_map(|(name, rate, point)| {
            let beside = format!("|β| = {amplitude}/{name}");
            let (re, im) = *published.as_ref()?.beside(&beside).next()?.points("re", "im")?.get(point)?;
            Some((rate[0] - re).abs().max((rate[1] - im).abs()))
        })
        .reduce(f64::max)
    };
    Ok(amplitudes(nudged).into_iter().map(|amplitude| (amplitude, distance(amplitude))).collect())
}
