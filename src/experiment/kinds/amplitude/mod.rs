//! Runs an `amplitude` experiment: gradient error against |β|.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;

use indexmap::IndexMap;
use serde_json::json;

use self::record::AmplitudePoint;
use crate::error::{Invalid, Result, all_positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{SUMMARY, Sink};
use crate::experiment::spec::{Precision, validate_estimators};
use crate::gradient::compare::compare;
use crate::gradient::{Adjoint, EstimatorSpec, Setting, estimate_batch};
use crate::imperfections::Imperfections;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::network::Network;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: false, files: &[] };

spec! {
    /// Gradient error against |β|.
    pub struct Amplitude {
        description, notes, published, model, parameters, batch, form,
        /// The amplitudes |β|.
        #[schemars(length(min = 1), extend("items" = { "type": "number", "exclusiveMinimum": 0 }))]
        pub amplitudes: Vec<f64>,
        /// The estimators, by label; their own amplitude is replaced. A divergence is recorded and is no error.
        pub estimators: IndexMap<String, EstimatorSpec>,
    }
}

impl Kind for Amplitude {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        all_positive("amplitudes", &self.amplitudes)?;
        validate_estimators(&self.estimators, network, self.form, &Imperfections::default())
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let samples = cost::samples(setup, &self.batch)?;
        let points = self.amplitudes.len() as f64;
        let mut work = Cost::default();
        for e in self.estimators.values() {
            work += cost::estimator(e, &substrate, samples) * points;
            work.disk += points * 400.0;
        }
        Ok(cost::with_study(&substrate, samples, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

fn run(spec: &Amplitude, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let samples = problem::samples::<f64>(setup, &spec.batch)?;
    sink.begin()?;
    let effective = Effective::new(&setup.network, spec.form, &parameters);
    let setting = Setting::quiet(&effective);
    let truth = estimate_batch(&Adjoint::default(), &setting, &samples, &mut Vec::new())?;
    let length = truth.gradient.norm();
    let mut lines = Vec::new();
    for (label, estimator) in &spec.estimators {
        let (mut errors, mut failures, mut warned) = (Vec::new(), 0, Vec::new());
        for &amplitude in &spec.amplitudes {
            let estimator = estimator.build::<f64>();
            let estimator = estimator.with_amplitude(amplitude).unwrap_or(estimator);
            let mut point = AmplitudePoint {
                estimator: label.clone(),
                amplitude,
                cosine: None,
                relative_error: None,
                total_cosine: None,
                distance: None,
                radius_of_convergence: None,
                rhs_evaluations: None,
                warnings: Vec::new(),
                failure: None,
            };
            // Beyond the radius of convergence some estimators must fail: that is part of the picture.
            match estimate_batch(&*estimator, &setting, &samples, &mut Vec::new()) {
                Ok(estimate) => {
                    let comparison = compare(&estimate.gradient, &truth.gradient);
                    let agreement = comparison.synapses;
                    point.total_cosine = comparison.total.cosine;
                    point.distance = comparison.total.relative_error.map(|e| e * length);
                    point.cosine = agreement.cosine;
                    point.relative_error = agreement.relative_error;
                    point.radius_of_convergence = estimate.diagnostics.radius_of_convergence;
                    point.warnings = estimate.diagnostics.warnings(amplitude);
                    if !point.warnings.is_empty() {
                        warned.push(amplitude);
                    }
                    point.rhs_evaluations = Some(estimate.diagnostics.rhs_evaluations);
                    errors.extend(agreement.relative_error);
                }
                Err(error) if error.is_failed_simulation() => {
                    failures += 1;
                    point.failure = Some(error.to_string());
                }
                Err(other) => return Err(other),
            }
            sink.record(&point)?;
        }
        lines.push(format!("{label:14} {}", told(&errors, spec.amplitudes.len(), failures, &warned)));
    }
    let points: Vec<AmplitudePoint> = sink.records()?;
    let best = |label: &String| {
        let own = points.iter().filter(|p| p.estimator == *label);
        let best =
            own.filter_map(|p| p.relative_error.map(|e| (e, p.amplitude))).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(error, amplitude)| json!({ "amplitude": amplitude, "relative_error": error }))
    };
    let best: serde_json::Map<_, _> = spec.estimators.keys().map(|l| (l.clone(), json!(best(l)))).collect();
    sink.write_json(SUMMARY, &json!({ "best": best, "wall_seconds": sink.seconds() }))?;
    Ok(lines)
}

/// The line about one estimator: its errors, at how many of the amplitudes it has none, and from where on it warns.
fn told(errors: &[f64], amplitudes: usize, failures: usize, warned: &[f64]) -> String {
    let mut parts = Vec::new();
    if errors.is_empty() && failures < amplitudes {
        parts
            .push("no relative error: the adjoint gradient of the weights between layers is zero".to_owned());
    } else if !errors.is_empty() {
        let (least, most) = errors.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), e| (a.min(*e), b.max(*e)));
        parts.push(format!("relative error {least:.2e} to {most:.2e} over {} amplitudes", errors.len()));
    }
    if failures > 0 {
        parts.push(format!("no result at {failures} of {amplitudes}"));
    }
    if let Some(least) = warned.iter().copied().reduce(f64::min) {
        parts.push(format!(
            "warnings at {} of {amplitudes}, from {least} on (see metrics.jsonl)",
            warned.len()
        ));
    }
    parts.join("; ")
}
