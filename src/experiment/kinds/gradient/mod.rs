//! Runs a `gradient` experiment: the interchange with anyone's own code.

#[cfg(feature = "program")]
pub(crate) mod figure;

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::error::{Invalid, Result};
use crate::experiment::circuits;
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{CircuitSetup, Options, Setup};
use crate::experiment::sink::{Content, SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_labels, validate_estimators};
use crate::files::Tensors;
use crate::gradient::compare::{Comparison, compare};
use crate::gradient::{CHUNK, Estimate, EstimatorSpec, Setting, Surroundings, estimate_batch};
use crate::imperfections::{Device, Imperfections};
use crate::numerics::scalar::Scalar;
use crate::substrate::Population;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::neurons::energy::Metered;
use crate::substrate::neurons::network::Network;
use crate::substrate::samples::Samples;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping =
    Keeping { resumed: false, files: &["gradients.safetensors", "states.safetensors", "comparison.json"] };

spec! {
    /// Compares estimators on given parameters and samples.
    pub struct Gradient {
        description, notes, published, model, precision = double, device,
        /// Seed of the noise.
        seed, parameters, batch, form,
        /// What is imperfect: a table, or the name of a preset.
        #[serde(default)]
        pub imperfections: Imperfections,
        /// The estimators, by label; a label has neither `/` nor `.`. The first `adjoint` is the truth that the others are
        /// compared with.
        pub estimators: IndexMap<String, EstimatorSpec>,
    }
}

impl Kind for Gradient {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        self.imperfections.suit(network).map_err(|e| e.under("imperfections"))?;
        validate_estimators(&self.estimators, network, self.form, &self.imperfections)?;
        if self.device.is_cpu() {
            return Ok(());
        }
        self.imperfections.suit_gpu().map_err(|e| e.under("imperfections"))?;
        self.estimators.iter().try_for_each(|(label, estimator)| {
            estimator.suit_gpu(network).map_err(|e| e.under(&format!("estimators.{label}")))
        })
    }

    fn validate_circuit(&self, circuit: &Circuit) -> std::result::Result<(), Invalid> {
        circuits::refuse_of_neurons(self.precision, &self.imperfections)?;
        refuse_labels(&self.estimators)?;
        self.estimators.iter().try_for_each(|(label, estimator)| {
            circuits::check_estimator(estimator, circuit).map_err(|e| e.under(&format!("estimators.{label}")))
        })
    }

    fn run_circuit(&self, setup: &CircuitSetup, sink: &mut dyn Sink, _: &Options) -> Result<Vec<String>> {
        let parameters = circuits::parameters::<f64>(setup, &self.parameters)?;
        let samples = circuits::samples::<f64>(setup, &self.batch)?;
        sink.begin()?;
        let programmed = circuits::programmed(setup, &parameters, self.seed)?;
        let energy = |estimator: &EstimatorSpec| {
            let budget = circuits::budget(&programmed, estimator, &samples)?;
            Ok(budget.map(|(each, seconds)| circuits::energy(&each, seconds)))
        };
        compared(self, &Setting::quiet(&programmed), &samples, &energy, sink)
    }

    fn cost_circuit(&self, setup: &CircuitSetup, _options: &Options) -> Result<Cost> {
        let samples = circuits::samples::<f64>(setup, &self.batch)?.count as f64;
        let each: f64 = self.estimators.values().map(circuits::evaluations).sum();
        // Diagnostics look at a smaller amplitude as well.
        let evaluations = 2.0 * each * samples;
        let threads = (samples / CHUNK as f64).ceil().min(rayon::current_num_threads() as f64);
        Ok(Cost { disk: 1e6, ..circuits::cost(&setup.circuit, evaluations, threads) })
    }

    fn trains(&self, _name: &str) -> bool {
        self.estimators.values().any(|estimator| !matches!(estimator, EstimatorSpec::Adjoint(_)))
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, self.precision);
        let samples = cost::samples(setup, &self.batch)?;
        let mut work = Cost::default();
        for (_, e) in &self.estimators {
            let kept = substrate.states(samples) * (1.0 + e.work(substrate.foreseen()).states.min(4096.0));
            let estimate = cost::estimator(e, &substrate, samples);
            let memory = work.memory + substrate.parameter_bytes + kept;
            work = Cost { memory: memory.max(estimate.memory), ..work + estimate };
            work.disk += substrate.parameter_bytes + kept;
        }
        Ok(cost::with_study(&substrate, samples, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        match self.precision {
            Precision::F32 => run::<f32>(self, setup, sink),
            Precision::F64 => run::<f64>(self, setup, sink),
        }
    }
}

fn run<T: Scalar>(spec: &Gradient, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let network = &setup.network;
    let parameters = problem::parameters::<T>(setup, &spec.parameters)?;
    let samples = problem::samples::<T>(setup, &spec.batch)?;
    sink.begin()?;
    let effective = Device::fabricate(network, &spec.imperfections).effective(spec.form, &parameters, 0);
    let noise = spec.imperfections.instant().map(|instant| Surroundings::new(instant, spec.seed));
    let setting = Setting { substrate: &effective, noise, update: 0, diagnose: true };
    let energy = |estimator: &EstimatorSpec| {
        let metered = Metered::new(&effective).filter(|_| estimator.is_followed());
        let Some(metered) = metered else { return Ok(None) };
        let setting = Setting { substrate: &metered, diagnose: false, ..setting };
        estimate_batch(&*estimator.build(), &setting, &samples, &mut Vec::new())?;
        Ok(Some((metered.taken() * (1.0 / samples.count as f64)).summary()))
    };
    compared(spec, &setting, &samples, &energy, sink)
}

/// Estimates on a substrate of any kind, each compared with the truth. `energy` tells what an estimate takes of a sample, where that can be
/// told.
fn compared<T: Scalar>(
    spec: &Gradient,
    setting: &Setting<'_, T>,
    samples: &Samples<T>,
    energy: &dyn Fn(&EstimatorSpec) -> Result<Option<Value>>,
    sink: &mut dyn Sink,
) -> Result<Vec<String>> {
    let mut estimates: IndexMap<&str, Estimate<T>> = IndexMap::new();
    for (label, estimator) in &spec.estimators {
        let estimate = estimate_batch(&*estimator.build(), setting, samples, &mut Vec::new())?;
        estimate.refuse_infinite(label)?;
        estimates.insert(label, estimate);
    }
    let adjoint = spec.estimators.iter().find(|(_, e)| matches!(e, EstimatorSpec::Adjoint(_)));
    let truth = adjoint.map(|(label, _)| label.as_str());

    let (mut gradients, mut states) = (Tensors::new(), Tensors::new());
    let (mut comparisons, mut lines) = (serde_json::Map::new(), Vec::new());
    for (label, estimate) in &estimates {
        estimate.gradient.insert_into(&mut gradients, &format!("{label}/"));
        insert_states(&mut states, label, estimate, &setting.substrate.populations());
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
            "energy": energy(&spec.estimators[*label])?,
        });
        sink.record(&json!({ "label": label, "total": total, "diagnostics": estimate.diagnostics }))?;
        comparisons.insert((*label).to_owned(), entry);
    }
    sink.write("gradients.safetensors", Content::Tensors(gradients))?;
    sink.write("states.safetensors", Content::Tensors(states))?;
    sink.write_json("comparison.json", &comparisons)?;
    sink.write_json(
        SUMMARY,
        &json!({
            "truth": truth,
            "samples": samples.count,
            "wall_seconds": sink.seconds(),
            "rhs_evaluations": estimates.values().map(|e| e.diagnostics.rhs_evaluations).sum::<u64>(),
            "relative_error": comparisons.iter()
                .map(|(label, c)| (label.clone(), c["total"]["relative_error"].clone()))
                .collect::<serde_json::Map<_, _>>(),
        }),
    )?;
    Ok(lines)
}

fn insert_states<T: Scalar>(
    states: &mut Tensors,
    label: &str,
    estimate: &Estimate<T>,
    populations: &[Population],
) {
    for (index, layer) in populations.iter().enumerate() {
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
