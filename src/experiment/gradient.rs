//! Runs a `gradient` experiment: the interchange with anyone's own code.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::folder::RunFolder;
use super::load::Loaded;
use super::spec::{Kind, ModelRef, Precision, double, validate_estimators};
use super::{Options, problem};
use crate::error::{Error, Invalid, Result};
use crate::files::{Tensors, write_tensors};
use crate::gradient::compare::{Comparison, compare};
use crate::gradient::{Estimate, EstimatorSpec, Setting, Surroundings, estimate_batch};
use crate::imperfections::{Device, Imperfections};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;

/// Compares estimators on given parameters and samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gradient {
    /// One line, which `holograd list` shows.
    #[serde(default)]
    pub description: String,
    /// What differs from published results, and why; the page of results shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Path of a file of published results, which are drawn beside these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The network.
    pub model: ModelRef,
    /// Precision of the simulation.
    #[serde(default = "double")]
    pub precision: Precision,
    /// Seed of the noise.
    #[serde(default)]
    pub seed: u64,
    /// Path of the parameter file.
    pub parameters: String,
    /// Path of the batch file: samples `x` and labels or targets `y`.
    pub batch: String,
    /// Which variable the neurons integrate.
    #[serde(default)]
    pub form: Form,
    /// What is imperfect: a table, or the name of a preset.
    #[serde(default)]
    pub imperfections: Imperfections,
    /// The estimators, by label; a label has neither `/` nor `.`. The first `adjoint` is the truth that the others are
    /// compared with.
    pub estimators: IndexMap<String, EstimatorSpec>,
}

impl Kind for Gradient {
    fn name(&self) -> &'static str {
        "gradient"
    }

    fn published_mut(&mut self) -> Option<&mut String> {
        self.published.as_mut()
    }

    fn model_mut(&mut self) -> &mut ModelRef {
        &mut self.model
    }

    fn files_mut(&mut self) -> Vec<&mut String> {
        vec![&mut self.parameters, &mut self.batch]
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        self.imperfections.suit(network).map_err(|e| e.under("imperfections"))?;
        validate_estimators(&self.estimators, network, self.form, &self.imperfections)
    }

    fn run(&self, loaded: &Loaded, folder: &RunFolder, _options: &Options) -> Result<Vec<String>> {
        match self.precision {
            Precision::F32 => run::<f32>(self, loaded, folder),
            Precision::F64 => run::<f64>(self, loaded, folder),
        }
    }
}

fn run<T: Scalar>(spec: &Gradient, loaded: &Loaded, folder: &RunFolder) -> Result<Vec<String>> {
    let network = &loaded.network;
    let parameters = problem::parameters::<T>(loaded, &spec.parameters)?;
    let samples = problem::samples::<T>(loaded, &spec.batch)?;
    folder.write_experiment(loaded)?;
    let effective = Device::fabricate(network, &spec.imperfections).effective(spec.form, &parameters, 0);
    let noise = spec.imperfections.instant().map(|instant| Surroundings::new(instant, spec.seed));
    let setting = Setting { substrate: &effective, noise, update: 0, diagnose: true };
    let mut estimates: IndexMap<&str, Estimate<T>> = IndexMap::new();
    for (label, estimator) in &spec.estimators {
        let estimate = estimate_batch(&*estimator.build(), &setting, &samples, &mut Vec::new())?;
        if !estimate.gradient.is_finite() {
            return Err(Error::Diverged {
                moment: "when it was read out".into(),
                place: format!("the read-out of `{label}`"),
                what: "the gradient estimate is not finite".into(),
                advice: "lower its `amplitude`, or the weights".into(),
            });
        }
        estimates.insert(label, estimate);
    }
    let adjoint = spec.estimators.iter().find(|(_, e)| matches!(e, EstimatorSpec::Adjoint(_)));
    let truth = adjoint.map(|(label, _)| label.as_str());

    let (mut gradients, mut states) = (Tensors::new(), Tensors::new());
    let (mut comparisons, mut lines) = (serde_json::Map::new(), Vec::new());
    for (label, estimate) in &estimates {
        estimate.gradient.insert_into(&mut gradients, &format!("{label}/"));
        insert_states(&mut states, label, estimate, loaded);
        let agreement: Option<Comparison> =
            truth.map(|t| compare(&estimate.gradient, &estimates[t].gradient));
        let warnings = estimate.diagnostics.warnings(spec.estimators[*label].amplitude());
        let total = agreement.as_ref().map(|a| a.total);
        let number = |x: Option<f64>, digits: usize| x.map_or("-".into(), |x| format!("{x:.digits$}"));
        lines.push(format!(
            "{label:12} cosine {:>12}  relative error {:>9}  evaluations {}",
            number(total.and_then(|t| t.cosine), 9),
            total.and_then(|t| t.relative_error).map_or("-".into(), |x| format!("{x:.2e}")),
            estimate.diagnostics.rhs_evaluations
        ));
        lines.extend(warnings.iter().map(|w| format!("{:12} warning: {w}", "")));
        let entry = json!({
            "estimator": spec.estimators[*label].name(),
            "total": total,
            "synapses": agreement.as_ref().map(|a| a.synapses),
            "parameters": agreement.as_ref().map(|a| &a.parameters),
            "diagnostics": estimate.diagnostics,
            "warnings": warnings,
        });
        folder.append_metrics(
            &json!({ "label": label, "total": total, "diagnostics": estimate.diagnostics }),
        )?;
        comparisons.insert((*label).to_owned(), entry);
    }
    write_tensors(folder.path().join("gradients.safetensors"), &gradients)?;
    write_tensors(folder.path().join("states.safetensors"), &states)?;
    folder.write_json("comparison.json", &comparisons)?;
    folder.write_json(
        "summary.json",
        &json!({
            "truth": truth,
            "samples": samples.count,
            "wall_seconds": folder.seconds(),
            "rhs_evaluations": estimates.values().map(|e| e.diagnostics.rhs_evaluations).sum::<u64>(),
            "relative_error": comparisons.iter()
                .map(|(label, c)| (label.clone(), c["total"]["relative_error"].clone()))
                .collect::<serde_json::Map<_, _>>(),
        }),
    )?;
    Ok(lines)
}

fn insert_states<T: Scalar>(states: &mut Tensors, label: &str, estimate: &Estimate<T>, loaded: &Loaded) {
    for (index, layer) in loaded.network.layers.iter().enumerate() {
        let free = &estimate.free[index];
        let name = |what: &str| format!("{label}/{}/{what}", layer.name);
        // A column-major [n × samples] is a row-major [samples, n].
        states.insert_reals(name("free"), &[free.ncols(), free.nrows()], free.as_slice());
        if estimate.nudged.is_empty() {
            continue;
        }
        let shape = [estimate.nudged.len(), free.ncols(), free.nrows()];
        let rail = |imaginary: bool| -> Vec<T> {
            let half = free.len();
            let range = if imaginary { half..2 * half } else { 0..half };
            estimate.nudged.iter().flat_map(|point| point[index].as_slice()[range.clone()].to_vec()).collect()
        };
        states.insert_reals(name("nudged_re"), &shape, &rail(false));
        states.insert_reals(name("nudged_im"), &shape, &rail(true));
    }
}
