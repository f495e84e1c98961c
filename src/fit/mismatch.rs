//! Mismatch: normal, log-normal or Student's, from samples.

use serde_json::json;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

use super::optimise::{Scale, Unknown, minimise, parameters};
use super::{Asked, Axes, Fit, Law};
use crate::error::Result;
use crate::files::Table;
use crate::imperfections::measured::MeasuredSamples;

/// Fits the distributions: of an offset, or of a factor less one.
pub(super) fn fit(table: &Table, asked: &Asked) -> Result<Fit> {
    let samples =
        MeasuredSamples { column: asked.column.clone(), ..MeasuredSamples::default() }.read(table)?;
    let mut x = samples.samples;
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let std = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-12);
    let ln_tau = std::f64::consts::TAU.ln();
    let normal = |x: f64, mean: f64, std: f64| 0.5 * ((x - mean) / std).powi(2) + std.ln() + 0.5 * ln_tau;
    let centre = |name, start, step| Unknown { name, start, step, scale: Scale::Linear };
    let positive = |name, start, step| Unknown { name, start, step, scale: Scale::Log };
    let law = |name: &'static str,
               unknowns: Vec<Unknown>,
               cost: &dyn Fn(&[f64]) -> f64,
               below: &dyn Fn(&[f64], f64) -> f64,
               json: &dyn Fn(&[f64]) -> serde_json::Value| {
        let optimum = minimise(&unknowns, cost);
        let values = optimum.values.clone();
        let curve = (0..=200).map(|k| {
            let at = x[0] + (x[x.len() - 1] - x[0]) * f64::from(k) / 200.0;
            (at, below(&values, at))
        });
        let residuals = empirical(&x).into_iter().map(|(at, share)| (at, share - below(&values, at)));
        Law {
            name,
            aic: 2.0 * unknowns.len() as f64 + 2.0 * optimum.cost,
            json: json(&values),
            curves: vec![curve.collect()],
            residuals: super::pulses::thinned(residuals.collect()),
            parameters: parameters(&unknowns, &[optimum]),
        }
    };
    let gauss = |z: f64| Normal::standard().cdf(z);
    let mut laws = vec![law(
        "normal",
        vec![centre("mean", mean, std), positive("std", std, 0.3)],
        &|v| x.iter().map(|x| normal(*x, v[0], v[1])).sum(),
        &|v, at| gauss((at - v[0]) / v[1]),
        &|v| json!({ "std": v[1] }),
    )];
    if x[0] > -1.0 {
        // The factor is 1 + x; its logarithm is normal.
        laws.push(law(
            "log_normal",
            vec![centre("median", 0.0, std), positive("std", std, 0.3)],
            &|v| x.iter().map(|x| normal(x.ln_1p(), v[0], v[1]) + x.ln_1p()).sum(),
            &|v, at| gauss((at.ln_1p() - v[0]) / v[1]),
            &|v| json!({ "std": v[1], "distribution": "log_normal" }),
        ));
    }
    // Degrees of freedom above 2, so that there is a standard deviation.
    let scale = |std: f64, dof: f64| std * ((dof - 2.0) / dof).sqrt();
    laws.push(law(
        "student_t",
        vec![centre("mean", mean, std), positive("std", std, 0.3), positive("dof_above_2", 4.0, 0.7)],
        &|v| {
            let dof = 2.0 + v[2];
            let s = scale(v[1], dof);
            let constant =
                ln_gamma(0.5 * (dof + 1.0)) - ln_gamma(0.5 * dof) - 0.5 * (dof * std::f64::consts::PI).ln();
            let one =
                |x: &f64| s.ln() - constant + 0.5 * (dof + 1.0) * (((x - v[0]) / s).powi(2) / dof).ln_1p();
            // Beyond a thousand degrees of freedom it is a normal distribution, and nothing more is told.
            if v[2] > 1e4 { f64::INFINITY } else { x.iter().map(one).sum() }
        },
        &|v, at| {
            let t = StudentsT::new(v[0], scale(v[1], 2.0 + v[2]), 2.0 + v[2]);
            t.map_or(f64::NAN, |t| t.cdf(at))
        },
        &|v| json!({ "std": v[1], "distribution": { "student_t": { "dof": 2.0 + v[2] } } }),
    ));
    Ok(Fit {
        what: format!("samples of a mismatch; {}", samples.source),
        laws,
        data: vec![("samples".into(), super::pulses::thinned(empirical(&x)))],
        axes: Axes {
            x: "sample",
            y: "share of the samples below",
            residual: "share less that of the law",
            log: (false, false),
        },
    })
}

/// The empirical distribution: half of each step.
fn empirical(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len() as f64;
    sorted.iter().enumerate().map(|(k, x)| (*x, (k as f64 + 0.5) / n)).collect()
}
