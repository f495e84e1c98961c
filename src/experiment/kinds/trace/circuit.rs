//! Watches a circuit under a real drive: voltages, the power of its parts, and the gradient by harmonics.

use rustfft::FftPlanner;
use serde_json::json;

use super::Trace;
use crate::error::{Invalid, Result, positive};
use crate::experiment::circuits;
use crate::experiment::problem;
use crate::experiment::setup::CircuitSetup;
use crate::experiment::sink::{Content, SUMMARY, Sink};
use crate::experiment::spec::Precision;
use crate::files::Npz;
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{Phase, Settle, equilibrium, free};
use crate::gradient::{Adjoint, EstimatorSpec, Setting, estimate_batch};
use crate::simulation::Simulation;
use crate::simulation::lockin::Observer;
use crate::simulation::teaching::{Teaching, Time, Waveform};
use crate::simulation::view::View;
use crate::substrate::Substrate;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::circuits::energy::{Budget, Meter};
use crate::substrate::circuits::programmed::Programmed;
use crate::substrate::samples::Samples;
use crate::substrate::spice::Run;
use num_complex::Complex;

/// Orders K of the read-out that are compared, where a period has the samples for them.
const ORDERS: [u64; 4] = [1, 3, 5, 9];

/// Elements at most whose power is written, those that dissipate most.
const ELEMENTS: usize = 50;

/// A circuit and one sample, as the experiment shows them.
pub(crate) struct Shown {
    programmed: Programmed,
    samples: Samples<f64>,
    teaching: Teaching,
    step: f64,
}

/// Records every tick.
#[derive(Default)]
struct Recorder {
    volts: Vec<Vec<f64>>,
}

impl Observer<f64> for Recorder {
    fn wants(&self, _: u64) -> bool {
        true
    }

    fn observe(&mut self, _: u64, view: &View<'_, f64>) {
        self.volts.push(view.state.to_vec());
    }
}

impl Trace {
    /// Checks the experiment with a circuit.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub(super) fn validate_for_circuit(&self, circuit: &Circuit) -> std::result::Result<(), Invalid> {
        circuits::refuse_of_neurons(Precision::F64, &self.imperfections)?;
        positive("amplitude", self.amplitude)?;
        positive("period", self.period)?;
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        circuits::check_integrator(self.integrator, circuit)?;
        if self.waveform.is_some() {
            return Err(Invalid::new("waveform", "found it with a circuit", "inputs that stand still"));
        }
        let names: Vec<&str> = circuit.free.iter().map(|node| node.name.as_str()).collect();
        for (i, name) in self.neurons.iter().flatten().enumerate() {
            if !names.contains(&name.as_str()) {
                let legal = format!("{} … {}", names[0], names[names.len() - 1]);
                return Err(Invalid::new(format!("neurons[{i}]"), format!("found {name:?}"), legal));
            }
        }
        let ticks = self.integrator.clock("period", self.period)?.ticks;
        if ticks < 6 || ticks % 2 == 1 {
            let found = format!("found {}, {ticks} steps", self.period);
            return Err(Invalid::new("period", found, "an even number of steps, at least 6"));
        }
        if !(2..=10_000).contains(&self.periods) {
            return Err(Invalid::new("periods", format!("found {}", self.periods), "2 to 10000"));
        }
        Ok(())
    }

    /// The circuit with its sample and its drive.
    ///
    /// # Errors
    /// If parameters or samples are missing, or do not fit.
    pub(crate) fn shown_on_circuit(&self, setup: &CircuitSetup) -> Result<Shown> {
        let parameters = circuits::parameters::<f64>(setup, &self.parameters)?;
        let all = circuits::samples::<f64>(setup, &self.batch)?;
        let samples = problem::only(&setup.origin, &all, self.sample)?;
        let clock = self.integrator.clock("period", self.period).expect("validated");
        let waveform = Waveform::Cosine { ticks: clock.ticks };
        Ok(Shown {
            programmed: circuits::programmed(setup, &parameters, self.seed)?,
            samples,
            teaching: Teaching { waveform, amplitude: self.amplitude, onset: 0 },
            step: clock.step,
        })
    }

    /// Runs the experiment on a circuit.
    ///
    /// # Errors
    /// Bad input, or a simulation that diverged.
    pub(super) fn run_on_circuit(&self, setup: &CircuitSetup, sink: &mut dyn Sink) -> Result<Vec<String>> {
        let shown = self.shown_on_circuit(setup)?;
        sink.begin()?;
        let Shown { programmed, samples, teaching, step } = &shown;
        let ticks = teaching.ticks_per_period();
        let total = ticks * self.periods;
        let start = shown.start()?;
        let mut field = Substrate::<f64>::bind(programmed, samples, 1, None);
        field.teach(*teaching);
        let integrator = self.integrator.build(*step, field.leak(), start.len());
        let mut simulation = Simulation::new(field, integrator, *step, start);
        let mut recorder = Recorder::default();
        let mut meter = Meter::new(programmed, samples, *teaching, (0, total), *step);
        simulation.run(total, &mut [&mut recorder, &mut meter])?;
        simulation.observe(&mut [&mut meter])?;
        let [errors, still] = self.errors_by_order(&shown)?;
        self.write_circuit(sink, &shown, &recorder)?;
        let (budget, seconds) = (meter.total(), total as f64 * step * programmed.circuit().spec.tau);
        let by_key = |errors: &[(u64, f64)]| -> serde_json::Map<String, serde_json::Value> {
            errors.iter().map(|(k, e)| (k.to_string(), json!(e))).collect()
        };
        sink.write_json(
            SUMMARY,
            &json!({
                "relative_error": errors.last().map(|(_, e)| e),
                "relative_errors": by_key(&errors),
                "quasi_static_errors": by_key(&still),
                "joules": budget,
                "watts": budget * (1.0 / seconds),
                "imbalance": budget.imbalance(),
                "seconds": seconds,
                "wall_seconds": sink.seconds(),
            }),
        )?;
        let by_order: Vec<String> = errors.iter().map(|(k, e)| format!("K = {k}: {e:.1e}")).collect();
        Ok(vec![
            format!("relative error of the gradient by the harmonics up to K: {}", by_order.join(", ")),
            format!(
                "{:.2e} J in {seconds:.2e} s: resistors {:.2e} W, diodes {:.2e} W; the balance closes to {:.1e}",
                budget.supplied + budget.nudge,
                (budget.trainable_resistors + budget.fixed_resistors) / seconds,
                budget.diodes / seconds,
                budget.imbalance()
            ),
        ])
    }

    /// Errors of the gradient by the highest harmonic K: of the drive as it is, and of an infinitely slow one.
    fn errors_by_order(&self, shown: &Shown) -> Result<[Vec<(u64, f64)>; 2]> {
        let setting = Setting { diagnose: false, ..Setting::quiet(&shown.programmed) };
        let truth = estimate_batch(&Adjoint::default(), &setting, &shown.samples, &mut Vec::new())?.gradient;
        let ticks = shown.teaching.ticks_per_period();
        let error = |estimator: serde_json::Value| -> Result<f64> {
            let estimator = estimator.to_string().parse::<EstimatorSpec>()?.build();
            let estimate = estimate_batch(&*estimator, &setting, &shown.samples, &mut Vec::new())?;
            Ok(compare(&estimate.gradient, &truth).total.relative_error.unwrap_or(f64::NAN))
        };
        let (mut errors, mut still) = (Vec::new(), Vec::new());
        for order in ORDERS.into_iter().filter(|k| 2 * (k + 1) < ticks) {
            let drive = json!({ "chebyshev": {
                "amplitude": self.amplitude, "period": self.period, "harmonics": order,
                "settle_periods": self.periods - 1, "periods": 1, "integrator": self.integrator } });
            errors.push((order, error(drive)?));
            let slow = json!({ "harmonic_balance": {
                "drive": "cosine", "amplitude": self.amplitude, "harmonics": order } });
            still.push((order, error(slow)?));
        }
        Ok([errors, still])
    }

    fn write_circuit(&self, sink: &mut dyn Sink, shown: &Shown, recorder: &Recorder) -> Result<()> {
        let Shown { programmed, samples, teaching, step } = shown;
        let circuit = programmed.circuit();
        let all: Vec<&String> = circuit.free.iter().map(|node| &node.name).collect();
        let chosen: Vec<usize> = match &self.neurons {
            Some(names) => names.iter().filter_map(|n| all.iter().position(|a| *a == n)).collect(),
            None => (0..all.len()).collect(),
        };
        let total = recorder.volts.len();
        let ticks = teaching.ticks_per_period() as usize;
        let tau = circuit.spec.tau;
        let time: Vec<f64> = (0..total).map(|tick| tick as f64 * step * tau).collect();
        let beta: Vec<f64> = (0..total as u64).map(|tick| teaching.beta(Time::at(tick)).re).collect();
        let volts: Vec<f64> = recorder.volts.iter().flat_map(|row| chosen.iter().map(|i| row[*i])).collect();
        let powers: Vec<Budget> = recorder
            .volts
            .iter()
            .zip(&beta)
            .map(|(v, beta)| programmed.power(v, &samples.inputs, &samples.targets, *beta))
            .collect();
        let each: Vec<Vec<f64>> =
            recorder.volts.iter().map(|v| programmed.powers(v, &samples.inputs)).collect();
        let mean = |element: usize| each.iter().map(|row| row[element]).sum::<f64>();
        let names = circuit.elements();
        let mut largest: Vec<usize> = (0..names.len()).collect();
        largest.sort_by(|a, b| mean(*b).total_cmp(&mean(*a)));
        largest.truncate(ELEMENTS);
        let element_power: Vec<f64> = each.iter().flat_map(|row| largest.iter().map(|i| row[*i])).collect();
        let elements: Vec<&String> = largest.iter().map(|i| &names[*i]).collect();
        let of = |part: fn(&Budget) -> f64| powers.iter().map(part).collect::<Vec<f64>>();
        let mut traces = Npz::new();
        traces.insert("time", &[total], &time, "s", &["tick"]);
        traces.insert("beta", &[total], &beta, "1", &["tick"]);
        traces.insert("voltage", &[total, chosen.len()], &volts, "V", &["tick", "node"]);
        traces.insert("trainable_resistors", &[total], &of(|b| b.trainable_resistors), "W", &["tick"]);
        traces.insert("fixed_resistors", &[total], &of(|b| b.fixed_resistors), "W", &["tick"]);
        traces.insert("diodes", &[total], &of(|b| b.diodes), "W", &["tick"]);
        traces.insert("supplied", &[total], &of(|b| b.supplied + b.nudge), "W", &["tick"]);
        let shape = [total, largest.len()];
        traces.insert("element_power", &shape, &element_power, "W", &["tick", "element"]);
        let fft = FftPlanner::new().plan_fft_forward(ticks);
        let mut spectrum = Vec::new();
        for node in &chosen {
            let last = &recorder.volts[total - ticks..];
            let mut bins: Vec<Complex<f64>> =
                last.iter().map(|row| Complex::new(row[*node] / ticks as f64, 0.0)).collect();
            fft.process(&mut bins);
            spectrum.extend(bins[..ticks / 2].iter().map(|c| c.norm()));
        }
        traces.insert("spectrum", &[chosen.len(), ticks / 2], &spectrum, "V", &["node", "harmonic"]);
        sink.write("trace.npz", Content::Arrays(traces))?;
        let names: Vec<&String> = chosen.iter().map(|i| all[*i]).collect();
        sink.write_json(
            "neurons.json",
            &json!({ "nodes": names, "elements": elements, "period": self.period * tau }),
        )
    }

    /// The netlist of a run.
    ///
    /// # Errors
    /// If the voltages at its beginning cannot be solved for.
    pub(crate) fn netlist(&self, shown: &Shown) -> Result<String> {
        let tau = shown.programmed.circuit().spec.tau;
        let run = Run {
            amplitude: self.amplitude,
            period: self.period * tau,
            periods: self.periods,
            step: shown.step * tau,
            start: shown.start()?,
        };
        Ok(shown.programmed.netlist(&shown.samples.inputs, &shown.samples.targets, &run))
    }
}

impl Shown {
    /// The equilibrium at the first β of the drive.
    fn start(&self) -> Result<Vec<f64>> {
        let setting = Setting::quiet(&self.programmed);
        let rest = free(&setting, &self.samples, &Settle::default())?;
        let beta = Complex::new(self.teaching.amplitude, 0.0);
        let phase = Phase { teaching: Teaching::constant(beta), ..Phase::free() };
        let start = Some((&rest.state[..], 0));
        Ok(equilibrium(&setting, &self.samples, phase, &Settle::default(), start)?.state)
    }
}
