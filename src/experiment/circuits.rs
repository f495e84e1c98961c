//! What experiments on circuits share: parameters and samples from files or data, checks, and what a run takes.

use rayon::prelude::*;
use serde_json::{Value, json};

use super::cost::Cost;
use super::problem::lookup;
use super::setup::{CircuitSetup, Options};
use super::spec::Precision;
use crate::data::{DataSpec, Split};
use crate::error::{Error, Invalid, Result};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::work::{self, Foreseen};
use crate::gradient::{CHUNK, Chebyshev, EstimatorSpec, Setting};
use crate::host::crew::spread;
use crate::imperfections::Imperfections;
use crate::learning::Score;
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::teaching::{Teaching, Waveform};
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::energy::{Budget, metered};
use crate::substrate::circuits::field::gather;
use crate::substrate::circuits::programmed::{NoiseSeed, Programmed};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::team;
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
    integrator: IntegratorSpec,
    circuit: &Circuit,
) -> std::result::Result<(), Invalid> {
    if let Some(node) = circuit.without_capacitance() {
        let found = format!("found no capacitance at node {node}, and an experiment that follows it in time");
        let legal = "a `capacitance` above 0, or an estimator that solves for equilibria";
        return Err(Invalid::new("", found, legal));
    }
    if integrator == IntegratorSpec::Map {
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
    let chunks: Vec<&[usize]> = places.chunks(CHUNK).collect();
    let own = &chunks[team::share(chunks.len())];
    let told = |chunk: &&[usize]| {
        let some = samples.select(chunk);
        let rest = equilibrium::free(&setting, &some, &Settle::default())?;
        Ok(tally(programmed, &some, &rest.state))
    };
    let tallies: Vec<Result<(f64, usize)>> = spread(|| own.par_iter().map(told).collect());
    let (mut loss, mut correct) = (0.0, 0);
    for (l, c) in team::gather(tallies)? {
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

/// The real drive of an estimator with the ticks that it takes of a sample, if it has one.
fn drive(estimator: &EstimatorSpec) -> Option<(Chebyshev, u64)> {
    let EstimatorSpec::Chebyshev(drive) = *estimator else { return None };
    let period = drive.integrator.clock("period", drive.period).ok()?.ticks;
    Some((drive, period * (drive.settle_periods + drive.periods)))
}

/// Iterations of Newton's method that find an equilibrium, about.
pub(super) const EQUILIBRIUM: f64 = 10.0;

/// Evaluations of a circuit that an estimate of one sample takes: an equilibrium some ten iterations, a complex one twice as much.
pub(super) fn evaluations(estimator: &EstimatorSpec) -> f64 {
    let work = estimator.work(Foreseen { bytes: 8.0, feed_forward: true });
    match estimator {
        EstimatorSpec::Adjoint(_) => EQUILIBRIUM,
        EstimatorSpec::Classic(_) => 3.0 * EQUILIBRIUM,
        EstimatorSpec::Cauchy(cauchy) => (1.0 + cauchy.points as f64) * EQUILIBRIUM,
        EstimatorSpec::HarmonicBalance(_) => work.states * EQUILIBRIUM,
        driven => {
            let integrator = driven.check_alone().ok().and_then(|asked| asked.integrator);
            let steps = work.evaluations * work.rails / integrator.map_or(1.0, work::stages);
            // Newton's method takes some three iterations for a stage.
            steps
                * match integrator {
                    Some(IntegratorSpec::ImplicitEuler { .. }) => 3.0,
                    Some(IntegratorSpec::Sdirk4 { .. }) => 15.0,
                    other => other.map_or(1.0, work::stages),
                }
        }
    }
}

/// What one of these samples takes of energy, on average, and of time, in s: from a trajectory like the estimator's, where it follows a real
/// drive in time.
///
/// # Errors
/// [`Error::Diverged`].
pub(super) fn budget(
    programmed: &Programmed,
    estimator: &EstimatorSpec,
    samples: &Samples<f64>,
) -> Result<Option<(Budget, f64)>> {
    let Some((drive, ticks)) = drive(estimator) else { return Ok(None) };
    let clock = drive.integrator.clock("period", drive.period).expect("validated");
    let setting = Setting { substrate: programmed, noise: None, update: 0, diagnose: false };
    let rest = equilibrium::free(&setting, samples, &Settle::default())?;
    let waveform = Waveform::Cosine { ticks: clock.ticks };
    let teaching = Teaching { waveform, amplitude: drive.amplitude, onset: 0 };
    let ticks = ticks.next_multiple_of(2);
    let how = (drive.integrator, clock.step);
    let budget = metered(programmed, samples, teaching, how, ticks, Some(rest.state))?;
    let seconds = ticks as f64 * clock.step * programmed.circuit().spec.tau;
    Ok(Some((budget * (1.0 / samples.count as f64), seconds)))
}

/// Time and energy of a sample, as summaries tell them.
pub(super) fn energy(each: &Budget, seconds: f64) -> Value {
    json!({
        "seconds_per_sample": seconds,
        "joules_per_sample": each.supplied + each.nudge,
        "watts_in_trainable_resistors": each.trainable_resistors / seconds,
        "watts_in_fixed_resistors": each.fixed_resistors / seconds,
        "watts_in_diodes": each.diodes / seconds,
        "imbalance": each.imbalance(),
    })
}

/// What it takes to evaluate a circuit so often, each evaluation of one sample: counted in elements, and nodes with their sparse factors. A
/// guess within a factor of two for circuits of 40 to 1000 nodes.
pub(super) fn cost(circuit: &Circuit, evaluations: f64, threads: f64) -> Cost {
    let resistors: usize = circuit.resistors.iter().map(|group| group.ends.len()).sum();
    let (diodes, nodes) = (circuit.diodes.len(), circuit.free.len());
    Cost {
        evaluations,
        thread_seconds: evaluations * (resistors + 20 * diodes + 250 * nodes) as f64 * 5e-9,
        threads,
        memory: (resistors + 20 * diodes + 40 * nodes) as f64 * 300.0,
        ..Cost::default()
    }
}
