//! What experiments on circuits share: parameters and samples from files or data, checks, and what a run takes.

use rayon::prelude::*;

use super::cost::Cost;
use super::problem::lookup;
use super::setup::{CircuitSetup, Options};
use super::spec::Precision;
use crate::data::{DataSpec, Split};
use crate::error::{Error, Invalid, Result};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{CHUNK, EstimatorSpec, Setting};
use crate::imperfections::Imperfections;
use crate::learning::Score;
use crate::numerics::scalar::Scalar;
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::field::gather;
use crate::substrate::circuits::programmed::{NoiseSeed, Programmed};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use nalgebra::DMatrix;

/// Reads the parameters at `path`, relative to the experiment.
///
/// # Errors
/// If the file is missing or damaged, or does not fit the circuit.
pub(super) fn parameters<T: Scalar>(setup: &CircuitSetup, path: &str) -> Result<Parameters<T>> {
    let tensors = setup.origin.beside(path).tensors();
    let mut tensors = tensors.map_err(|e| e.referred_to_by(&setup.origin.display(), "parameters"))?;
    Parameters::from_tensors(setup.circuit.shapes(), &mut tensors)
}

/// Reads the samples at `path`: `x` [samples, inputs], `y` labels [samples] or targets [samples, outputs].
///
/// # Errors
/// If the file is missing or damaged, or does not fit the circuit.
pub(super) fn samples<T: Scalar>(setup: &CircuitSetup, path: &str) -> Result<Samples<T>> {
    let circuit = &setup.circuit;
    let tensors = setup.origin.beside(path).tensors();
    let mut tensors = tensors.map_err(|e| e.referred_to_by(&setup.origin.display(), "batch"))?;
    let count = tensors.get("x").and_then(|x| x.shape.first().copied()).unwrap_or(0);
    if count == 0 {
        return Err(Error::input(tensors.file().to_owned(), "x", "found no samples", "at least one"));
    }
    let inputs =
        DMatrix::from_vec(circuit.inputs(), count, tensors.reals::<T>("x", &[count, circuit.inputs()])?);
    let outputs = circuit.outputs();
    let samples = if tensors.get("y").is_some_and(|y| y.shape.len() == 1) {
        Samples::labelled(&inputs, &tensors.labels("y", count, outputs)?, outputs)
    } else {
        Samples::valued(&inputs, &tensors.matrix::<T>("y", [count, outputs])?.transpose())
    };
    tensors.refuse_unused()?;
    Ok(samples)
}

/// Loads data, and checks it against the circuit.
///
/// # Errors
/// If the samples are missing or do not fit.
pub(super) fn data(setup: &CircuitSetup, data: &DataSpec, seed: u64, options: &Options) -> Result<Split> {
    let shape = data.shape(&lookup(&setup.origin, options))?;
    let (inputs, outputs) = (setup.circuit.inputs(), setup.circuit.outputs());
    if shape.inputs != inputs || shape.classes != outputs {
        let found = format!("found samples of {} inputs and {} classes", shape.inputs, shape.classes);
        let legal = format!("the circuit has {inputs} inputs and {outputs} outputs");
        return Err(Error::input(setup.origin.display(), "data", found, legal));
    }
    data.load(seed, &lookup(&setup.origin, options))
}

/// Refuses what an experiment says of networks of neurons only.
pub(super) fn refuse_of_neurons(
    precision: Precision,
    imperfections: &Imperfections,
) -> std::result::Result<(), Invalid> {
    if precision == Precision::F32 {
        return Err(Invalid::new("precision", "found f32 with a circuit", "f64: diodes are steep"));
    }
    if *imperfections != Imperfections::default() {
        let legal = "a circuit's imperfections stand in its model: `model.imperfections`";
        return Err(Invalid::new("imperfections", "found those of a network of neurons", legal));
    }
    Ok(())
}

/// Refuses an estimator that the circuit cannot carry.
pub(super) fn check_estimator(
    estimator: &EstimatorSpec,
    circuit: &Circuit,
) -> std::result::Result<(), Invalid> {
    let asked = estimator.check_alone()?;
    if asked.tied {
        let legal =
            "false: a multiplier at each resistor would have to see its inputs too; the estimate is the same";
        return Err(Invalid::new("per_synapse", "found true with a circuit", legal));
    }
    if let Some(integrator) = asked.integrator {
        check_integrator(integrator, circuit)?;
    }
    if circuit.spec.imperfections.johnson_noise {
        let legal = "`chebyshev` with a fixed step: noise is of real voltages that are followed in time";
        if asked.complex || asked.frozen || asked.solved || asked.integrator.is_some_and(|i| i.is_adaptive())
        {
            return Err(Invalid::new("", "found Johnson noise with this estimator", legal));
        }
    }
    Ok(())
}

/// Refuses what a trajectory of the circuit cannot be integrated with.
pub(super) fn check_integrator(
    integrator: crate::simulation::integrators::IntegratorSpec,
    circuit: &Circuit,
) -> std::result::Result<(), Invalid> {
    if let Some(node) = circuit.without_capacitance() {
        let found = format!("found no capacitance at node {node}, and an experiment that follows it in time");
        let legal = "a `capacitance` above 0, or an estimator that solves for equilibria";
        return Err(Invalid::new("", found, legal));
    }
    if integrator == crate::simulation::integrators::IntegratorSpec::Map {
        return Err(Invalid::new("integrator", "found map with a circuit", "sdirk4, implicit_euler, rk4, …"));
    }
    Ok(())
}

/// A circuit with its parameters, as an experiment of this seed has it.
///
/// # Errors
/// An internal error if its matrix cannot be analysed.
pub(super) fn programmed<T: Scalar>(
    setup: &CircuitSetup,
    parameters: &Parameters<T>,
    seed: u64,
) -> Result<Programmed> {
    let mut programmed = Programmed::new(&setup.circuit, parameters, seed)?;
    if setup.circuit.spec.imperfections.johnson_noise {
        programmed.set_noise(Some(NoiseSeed { seed, update: 0 }));
    }
    Ok(programmed)
}

/// Mean cost in V² and accuracy at the free equilibria.
///
/// # Errors
/// [`Error::Diverged`].
pub(super) fn score(programmed: &Programmed, samples: &Samples<f64>) -> Result<Score> {
    let circuit = programmed.circuit();
    let setting = Setting { substrate: programmed, noise: None, update: 0, diagnose: false };
    let places: Vec<usize> = (0..samples.count).collect();
    let tallies: Vec<Result<(f64, usize)>> = places
        .par_chunks(CHUNK)
        .map(|chunk| {
            let some = samples.select(chunk);
            let rest = equilibrium::free(&setting, &some, &Settle::default())?;
            Ok(tally(programmed, &some, &rest.state))
        })
        .collect();
    let (mut loss, mut correct) = (0.0, 0);
    for tally in tallies {
        let (l, c) = tally?;
        (loss, correct) = (loss + l, correct + c);
    }
    debug_assert_eq!(samples.targets.len(), samples.count * circuit.outputs());
    Ok(Score { loss: loss / samples.count as f64, accuracy: correct as f64 / samples.count as f64 })
}

/// Summed cost and number of correct answers of states.
pub(super) fn tally(programmed: &Programmed, samples: &Samples<f64>, state: &[f64]) -> (f64, usize) {
    let circuit = programmed.circuit();
    let shape = Substrate::<f64>::shape(programmed, samples.count, 1);
    let mut v = vec![0.0; circuit.free.len()];
    let (mut loss, mut correct) = (0.0, 0);
    for sample in 0..samples.count {
        gather(&shape, sample, state, &mut v);
        let targets = &samples.targets[sample * circuit.outputs()..][..circuit.outputs()];
        let (cost, right) = programmed.judged(&v, targets);
        loss += cost;
        correct += usize::from(right);
    }
    (loss, correct)
}

/// What it takes to evaluate a circuit so often, each evaluation of one sample: counted in elements and nodes, a guess within an order of
/// magnitude.
pub(super) fn cost(circuit: &Circuit, evaluations: f64, threads: f64) -> Cost {
    let resistors: usize = circuit.resistors.iter().map(|group| group.ends.len()).sum();
    let elements = (resistors + 20 * circuit.diodes.len() + 40 * circuit.free.len()) as f64;
    Cost {
        evaluations,
        thread_seconds: evaluations * elements * 5e-9,
        threads,
        memory: elements * 1e3,
        ..Cost::default()
    }
}
