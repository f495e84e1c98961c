//! Runs a `relaxation` experiment: from rest to the free equilibrium, and on to the equilibria at the roots of unity.

#[cfg(feature = "program")]
pub(crate) mod figure;
pub mod record;

use indexmap::IndexMap;
use serde_json::json;

use self::record::RelaxationPhase;
use crate::error::{Invalid, Result, all_positive, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::problem;
use crate::experiment::setup::{Options, Setup};
use crate::experiment::sink::{SUMMARY, Sink};
use crate::experiment::spec::{Precision, refuse_delays, refuse_equations, validate_holomorphic};
use crate::gradient::equilibrium::complexified;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::VectorField;
use crate::simulation::teaching::{Teaching, Time, root_of_unity};
use crate::substrate::Field;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::field::Dynamics;
use crate::substrate::neurons::network::Network;

/// How its run folders are kept.
pub(super) const KEEPING: Keeping = Keeping { resumed: false, files: &[] };

spec! {
    /// Watches one sample relax under frozen teaching, step by step.
    pub struct Relaxation {
        description, notes, published, model, parameters, batch,
        /// Which sample of the batch is taught, counted from 0.
        sample, form,
        /// The amplitudes |β|.
        #[schemars(length(min = 1), extend("items" = { "type": "number", "exclusiveMinimum": 0 }))]
        pub amplitudes: Vec<f64>,
        /// N, the number of roots of unity that are visited in turn.
        #[schemars(range(min = 1, max = 4096))]
        pub points: u64,
        /// Steps of the free network, β = 0, and at each point.
        #[serde(default = "hundred")]
        #[schemars(range(min = 1, max = 1_000_000))]
        pub steps: u64,
        /// Length of an Euler step, in units of each neuron's own τ; 1 is the papers' map.
        #[serde(default = "whole")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 2))]
        pub step: f64,
    }
}

fn hundred() -> u64 {
    100
}

fn whole() -> f64 {
    1.0
}

impl Kind for Relaxation {
    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        refuse_equations(network)?;
        refuse_delays(network)?;
        all_positive("amplitudes", &self.amplitudes)?;
        if !(1..=4096).contains(&self.points) {
            return Err(Invalid::new("points", format!("found {}", self.points), "1 to 4096 points"));
        }
        if !(1..=1_000_000).contains(&self.steps) {
            return Err(Invalid::new("steps", format!("found {}", self.steps), "1 to 1000000 steps"));
        }
        positive("step", self.step)?;
        if self.step >= 2.0 {
            let legal = "below 2: the leak is unstable beyond";
            return Err(Invalid::new("step", format!("found {}", self.step), legal));
        }
        validate_holomorphic(network)
    }

    fn trains(&self, _name: &str) -> bool {
        false
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let phases = 1.0 + self.amplitudes.len() as f64 * self.points as f64;
        let (steps, line) = (self.steps as f64, self.steps as f64 * 22.0 + substrate.neurons * 70.0);
        let evaluations = phases * steps;
        let work = Cost {
            evaluations,
            thread_seconds: substrate.seconds(evaluations, 1.0, 2.0) + phases * line * 10e-9,
            threads: 1.0,
            // One phase at a time while it runs, all of them when they are drawn.
            memory: 2.0 * phases * (8.0 * steps + 200.0 * substrate.neurons) + phases * line,
            disk: phases * line,
            ..Cost::default()
        };
        Ok(cost::with_study(&substrate, 1.0, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

fn run(spec: &Relaxation, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let network = &setup.network;
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let samples = problem::samples::<f64>(setup, &spec.batch)?;
    let sample = problem::only(&setup.origin, &samples, spec.sample)?;
    sink.begin()?;
    let effective = Effective::new(network, spec.form, &parameters);
    let names: Vec<String> =
        network.layers.iter().flat_map(|l| (1..=l.size).map(|n| format!("{}.{n}", l.name))).collect();
    let real = StateShape::new(network, 1, 1);

    let mut free = Dynamics::new(&effective, &sample, 1);
    let mut rest = vec![0.0; real.len()];
    let residuals = relax(spec, &mut free, &mut rest);
    free.observe(&rest);
    let rates = |values: &[f64]| -> IndexMap<String, [f64; 2]> {
        // A complex state of one sample holds, layer by layer, all real parts before all imaginary ones.
        let complex = if values.len() == names.len() { complexified(&real, values) } else { values.to_vec() };
        let shape = real.with_rails(2);
        let parts = (0..shape.layers()).flat_map(|layer| {
            let (re, im) = (shape.column(layer, 0, 0), shape.column(layer, 1, 0));
            re.zip(im).map(|(re, im)| [complex[re], complex[im]]).collect::<Vec<_>>()
        });
        let finite = |part: &[f64; 2]| part.iter().all(|x| x.is_finite());
        names.iter().cloned().zip(parts).filter(|(_, part)| finite(part)).collect()
    };
    sink.record(&RelaxationPhase { amplitude: 0.0, point: None, residuals, rates: rates(free.rates()) })?;
    let mut lines = Vec::new();
    let mut last = IndexMap::new();
    for &amplitude in &spec.amplitudes {
        let mut field = Dynamics::new(&effective, &sample, 2);
        // Each point is reached from the one before, as an always-on drive would.
        let mut state = complexified(&real, &rest);
        let mut slowest = 0.0_f64;
        for point in 0..spec.points {
            field.teach(Teaching::constant(root_of_unity(point, spec.points) * amplitude));
            let residuals = relax(spec, &mut field, &mut state);
            field.observe(&state);
            slowest = slowest.max(residuals.last().copied().unwrap_or(f64::INFINITY));
            let rates = rates(field.rates());
            sink.record(&RelaxationPhase { amplitude, point: Some(point), residuals, rates })?;
        }
        lines.push(format!(
            "|beta| = {amplitude}: after {} steps the state moves by {slowest:.1e} at most",
            spec.steps
        ));
        last.insert(amplitude.to_string(), slowest);
    }
    sink.write_json(SUMMARY, &json!({ "last_residual": last, "wall_seconds": sink.seconds() }))?;
    Ok(lines)
}

/// Takes the steps of one phase; returns the Euclidean length of the change of the state in each, up to the first that is not
/// finite.
fn relax(spec: &Relaxation, field: &mut Dynamics<'_, f64>, state: &mut [f64]) -> Vec<f64> {
    let mut target = vec![0.0; state.len()];
    let mut residuals = Vec::new();
    for step in 0..spec.steps {
        field.target(Time::at(step), state, &mut target);
        let change =
            state.iter().zip(&target).map(|(s, t)| (spec.step * (t - s)).powi(2)).sum::<f64>().sqrt();
        if !change.is_finite() {
            break;
        }
        residuals.push(change);
        state.iter_mut().zip(&target).for_each(|(s, t)| *s += spec.step * (*t - *s));
    }
    residuals
}
