//! Drift: a power law or a leak, from conductances at times after programming.

use serde_json::json;

use super::optimise::{spread_of, student};
use super::{Axes, Fit, Law, Parameter, pulses::thinned};
use crate::error::{Error, Result};
use crate::files::Table;

/// Names of the column of times.
pub(super) const TIME: &[&str] = &["time", "seconds", "t"];

/// A straight line through (x, y) with the standard error of its slope, and the sum of squares that it leaves.
struct Line {
    at_zero: f64,
    slope: f64,
    error: f64,
    left: f64,
    count: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let x = points.iter().map(|p| p.0).sum::<f64>() / count;
        let y = points.iter().map(|p| p.1).sum::<f64>() / count;
        let sxx: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
        let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / sxx;
        let at_zero = y - slope * x;
        let left: f64 = points.iter().map(|p| (p.1 - at_zero - slope * p.0).powi(2)).sum();
        Self { at_zero, slope, error: (left / (count - 2.0) / sxx).sqrt(), left, count }
    }
}

/// Fits both laws by least squares of ln G.
pub(super) fn fit(table: &Table) -> Result<Fit> {
    let legal = "`time` in seconds and `conductance`, with `device` beside them where there are several";
    let time = table.find(TIME).ok_or_else(|| table.lacking(legal))?;
    let conductance = table.find(&["conductance", "g"]).ok_or_else(|| table.lacking(legal))?;
    let (times, values) = (table.numbers(time)?, table.numbers(conductance)?);
    let names: Vec<String> = match table.find(&["device", "device_id", "cell"]) {
        Some(column) => table.texts(column).map(ToOwned::to_owned).collect(),
        None => vec![String::new(); table.len()],
    };
    let mut devices: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (row, name) in names.into_iter().enumerate() {
        let (Some(t), Some(g)) = (times[row], values[row]) else { continue };
        for (column, x) in [(time, t), (conductance, g)] {
            if x <= 0.0 {
                return Err(table.refuse(table.line(row), column, &x.to_string(), "a positive number"));
            }
        }
        match devices.iter_mut().find(|(other, _)| *other == name) {
            Some((_, own)) => own.push((t, g)),
            None => devices.push((name, vec![(t, g)])),
        }
    }
    devices.retain(|(_, own)| own.len() >= 4);
    if devices.is_empty() {
        let found = "found no device with four readings";
        return Err(Error::input(&table.file, "", found, "a law needs more"));
    }
    let all = || devices.iter().flat_map(|(_, own)| own);
    let first = all().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let last = all().map(|p| p.0).fold(0.0, f64::max);
    let law = |name: &'static str, abscissa: &dyn Fn(f64) -> f64| {
        let points = |own: &[(f64, f64)]| -> Vec<(f64, f64)> {
            own.iter().map(|(t, g)| (abscissa(*t), g.ln())).collect()
        };
        let lines: Vec<Line> = devices.iter().map(|(_, own)| Line::through(&points(own))).collect();
        let count = lines.len() as f64;
        let slope = lines.iter().map(|line| -line.slope).sum::<f64>() / count;
        let variance = lines.iter().map(|l| (-l.slope - slope).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let half = match &lines[..] {
            [alone] => student(alone.count - 2.0) * alone.error,
            _ => student(count - 1.0) * (variance / count).sqrt(),
        };
        let rows: f64 = lines.iter().map(|line| line.count).sum();
        let left: f64 = lines.iter().map(|line| line.left).sum();
        let sigma = (left / rows).sqrt().max(1e-300);
        let ln_likelihood = -rows * (sigma.ln() + 0.5 * std::f64::consts::TAU.ln() + 0.5);
        let errors = lines.iter().map(|line| line.error.powi(2)).sum::<f64>() / count;
        let spread = (lines.len() > 1).then(|| spread_of("nu_spread", variance, errors, count - 1.0));
        let start = lines.iter().map(|l| l.at_zero + l.slope * abscissa(first)).sum::<f64>() / count;
        let curve = (0..=100).map(|k| {
            let t = first * (last / first).powf(f64::from(k) / 100.0);
            (t, (start - slope * (abscissa(t) - abscissa(first))).exp())
        });
        let residuals = devices.iter().zip(&lines).flat_map(|((_, own), line)| {
            own.iter().map(|(t, g)| (*t, g.ln() - line.at_zero - line.slope * abscissa(*t)))
        });
        let (parameters, json) = if name == "power" {
            let nu = Parameter { name: "nu", value: slope, low: slope - half, high: slope + half };
            let power = json!({ "nu": slope.max(0.0), "nu_spread": spread.as_ref().map_or(0.0, |s| s.value), "t0": first });
            let json = json!({ "drift": { "seconds": last, "law": { "power": power } } });
            (std::iter::once(nu).chain(spread).collect(), json)
        } else {
            let [value, low, high] = [slope, slope + half, slope - half].map(|rate| 1.0 / rate);
            // A rate that may be zero leaves the time constant without an end.
            let high = if high > 0.0 { high } else { f64::INFINITY };
            let leak = Parameter { name: "leak", value, low, high };
            let leaks = (value > 0.0).then_some(value);
            (vec![leak], json!({ "drift": { "seconds": last, "leak": leaks } }))
        };
        Law {
            name,
            parameters,
            aic: 2.0 * (2.0 * count + 1.0) - 2.0 * ln_likelihood,
            json,
            curves: vec![curve.collect()],
            residuals: thinned(residuals.collect()),
        }
    };
    let used: usize = devices.iter().map(|(_, own)| own.len()).sum();
    Ok(Fit {
        what: format!(
            "conductances after programming; {used} of {} rows, of {} devices",
            table.len(),
            devices.len()
        ),
        laws: vec![law("power", &|t| (t / first).ln()), law("leak", &|t| t)],
        data: vec![("readings".into(), thinned(all().copied().collect()))],
        axes: Axes {
            x: "time since programming (s)",
            y: "conductance",
            residual: "residual of ln G",
            log: (true, true),
        },
    })
}
