//! The corner of 1/f noise, from a power spectral density.

use serde_json::{Value, json};
use statrs::function::gamma::ln_gamma;

use super::optimise::{Scale, Unknown, minimise, parameters};
use super::{Asked, Axes, Fit, Law, Parameter};
use crate::error::{Error, Result};
use crate::files::Table;

/// Names of the column of frequencies.
pub(super) const FREQUENCY: &[&str] = &["frequency", "freq", "f"];
const POWER: &[&str] = &["power", "psd", "s"];

/// Fits A/f + B, A/f and B. What a spectrum estimator returns is the density times a χ² variable over its degrees of freedom, which are
/// fitted as well.
pub(super) fn fit(table: &Table, asked: &Asked) -> Result<Fit> {
    let legal = "`frequency` in Hz and `power`, a one-sided density per Hz";
    let frequency = table.find(FREQUENCY).ok_or_else(|| table.lacking(legal))?;
    let power = table.find(POWER).ok_or_else(|| table.lacking(legal))?;
    let pairs = table.numbers(frequency)?.into_iter().zip(table.numbers(power)?);
    // The mean of the signal, at frequency 0, is no noise.
    let points: Vec<(f64, f64)> =
        pairs.filter_map(|(f, s)| Some((f?, s?))).filter(|(f, _)| *f > 0.0).collect();
    if points.len() < 10 || points.iter().any(|(_, s)| *s <= 0.0) {
        let found = format!("found {} densities", points.len());
        return Err(Error::input(
            &table.file,
            "",
            found,
            "at least 10 at positive frequencies, all of them positive",
        ));
    }
    let low = points.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.0).fold(0.0, f64::max);
    let count = points.len() as f64;
    let level = (points.iter().map(|(f, s)| (f * s).ln()).sum::<f64>() / count).exp();
    let floor = (points.iter().map(|(_, s)| s.ln()).sum::<f64>() / count).exp();
    let unknown = |name, start, step| Unknown { name, start, step, scale: Scale::Log };
    let law = |name: &'static str, unknowns: Vec<Unknown>, density: &dyn Fn(&[f64], f64) -> f64| {
        let cost = |v: &[f64]| -> f64 {
            let k = v[v.len() - 1];
            let constant = ln_gamma(k) - k * k.ln();
            let one = |(f, s): &(f64, f64)| {
                let mean = density(v, *f);
                constant + k * mean.ln() - (k - 1.0) * s.ln() + k * s / mean
            };
            points.iter().map(one).sum()
        };
        let optimum = minimise(&unknowns, &cost);
        let values = optimum.values.clone();
        let curve = (0..=100).map(|k| low * (high / low).powf(f64::from(k) / 100.0));
        let mut found = parameters(&unknowns, &[optimum.clone()]);
        let json = noise(&found, [low, high], asked.tau);
        if let [a, b] = ["a", "white"].map(|name| found.iter().find(|p| p.name == name).cloned())
            && let (Some(a), Some(b)) = (a, b)
        {
            found.push(Parameter {
                name: "corner_hz",
                value: a.value / b.value,
                low: a.low / b.high,
                high: a.high / b.low,
            });
        }
        Law {
            name,
            parameters: found,
            aic: 2.0 * unknowns.len() as f64 + 2.0 * optimum.cost,
            json,
            curves: vec![curve.map(|f| (f, density(&values, f))).collect()],
            residuals: super::pulses::thinned(
                points.iter().map(|(f, s)| (*f, (s / density(&values, *f)).ln())).collect(),
            ),
        }
    };
    let half = |name| unknown(name, 2.0, 0.3);
    let laws = vec![
        law(
            "one_over_f",
            vec![unknown("a", 0.5 * level, 0.5), unknown("white", 0.5 * floor, 0.5), half("averages")],
            &|v, f| v[0] / f + v[1],
        ),
        law("one_over_f_alone", vec![unknown("a", level, 0.5), half("averages")], &|v, f| v[0] / f),
        law("white", vec![unknown("white", floor, 0.5), half("averages")], &|v, _| v[0]),
    ];
    Ok(Fit {
        what: format!(
            "a power spectral density; {} of {} rows, {low} to {high} Hz",
            points.len(),
            table.len()
        ),
        laws,
        data: vec![("densities".into(), super::pulses::thinned(points.clone()))],
        axes: Axes {
            x: "frequency (Hz)",
            y: "density (1/Hz)",
            residual: "ln of the ratio to the law",
            log: (true, true),
        },
    })
}

/// The noise that an experiment has of it, on the neurons' potentials: A/f over the measured band is a variance A ln(f₂/f₁); white noise of
/// one-sided density B is 4σ²τ.
fn noise(found: &[Parameter], [low, high]: [f64; 2], tau: Option<f64>) -> Value {
    let Some(tau) = tau else {
        return json!("give --tau, the seconds of the nominal time constant: noise is told in units of it");
    };
    let value = |name: &str| found.iter().find(|p| p.name == name).map_or(0.0, |p| p.value);
    let white = (value("white") / (4.0 * tau)).sqrt();
    let flicker = (value("a") * (high / low).ln()).sqrt();
    let time = |f: f64| 1.0 / (std::f64::consts::TAU * f * tau);
    if flicker == 0.0 {
        return json!({ "state_noise": { "white": { "std": white } } });
    }
    json!({ "state_noise": { "one_over_f": { "std": flicker, "shortest": time(high), "longest": time(low), "white_std": white } } })
}
