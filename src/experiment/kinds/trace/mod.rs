//! Runs a `trace` experiment: one sample, watched while it oscillates.

mod circuit;
#[cfg(feature = "program")]
mod circuit_figure;
#[cfg(feature = "program")]
pub(crate) mod figure;

use num_complex::Complex;
use rustfft::FftPlanner;
use serde_json::json;

use crate::error::{Error, Invalid, Result, positive};
use crate::experiment::cost::{self, Cost};
use crate::experiment::head::spec;
use crate::experiment::kind::{Keeping, Kind};
use crate::experiment::origin::Origin;
use crate::experiment::problem;
use crate::experiment::setup::{CircuitSetup, Options, Setup};
use crate::experiment::sink::{Content, SUMMARY, Sink};
use crate::experiment::spec::{Precision, referee, validate_holomorphic};
use crate::experiment::waveform;
use crate::files::Npz;
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{Phase, Settle, equilibrium, imaginary_part, real_part};
use crate::gradient::{Adjoint, Setting, Surroundings, TOLERATED, check_time_constants, estimate_batch};
use crate::host::watcher;
use crate::imperfections::{Device, Imperfections};
use crate::numerics::state::StateShape;
use crate::simulation::Simulation;
use crate::simulation::integrators::IntegratorSpec;
use crate::simulation::lockin::{LockIn, Observer, Record, Window};
use crate::simulation::signal::{InputSignal, Signal};
use crate::simulation::teaching::{Teaching, Time, Waveform};
use crate::simulation::view::View;
use crate::substrate::circuits::circuit::Circuit;
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::energy::Metered;
use crate::substrate::neurons::field::Dynamics;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::{Layer, Network};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;
use crate::substrate::spice::Run;
use crate::substrate::{Field, Substrate};

/// How its run folders are kept.
pub(super) const KEEPING: Keeping =
    Keeping { resumed: false, files: &["trace.npz", "trace.units.json", "neurons.json"] };

spec! {
    /// Watches one sample oscillate.
    pub struct Trace {
        description, notes, published, model,
        /// Seed of the noise.
        seed, parameters, batch,
        /// Which sample of the batch is shown, counted from 0.
        sample,
        /// Amplitude |β| of the drive.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub amplitude: f64,
        /// Period of the drive, in τ: a whole number of steps, at least 3.
        #[schemars(extend("exclusiveMinimum" = 0))]
        pub period: f64,
        /// Periods that are shown, from rest; the amplitude rises over the first.
        #[schemars(range(min = 2, max = 10_000))]
        pub periods: u64,
        /// How the inputs of the sample change in time; they stand still when left out. The truth is the gradient of the sample as it
        /// is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub waveform: Option<InputSignal>,
        /// How the trajectory is integrated; noise needs a fixed step.
        #[serde(default = "referee")]
        pub integrator: IntegratorSpec,
        /// What is imperfect: a table, or the name of a preset. The truth is the gradient of the same device without noise.
        #[serde(default)]
        pub imperfections: Imperfections,
        /// The neurons whose potentials and rates are written and drawn, each once: `h2[0]` is the first of layer h2, `c1[2,0,5]`
        /// row 2, column 0, channel 5 of an image, all counted from 0. All of them when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub neurons: Option<Vec<String>>,
    }
}

/// The names of all neurons, in the order of the state.
fn names(network: &Network) -> Vec<String> {
    let layer = |layer: &Layer| {
        let place = |i: usize| match layer.shape {
            Some([_, width, channels]) => {
                let position = i / channels;
                format!("{}[{},{},{}]", layer.name, position / width, position % width, i % channels)
            }
            None => format!("{}[{i}]", layer.name),
        };
        (0..layer.size).map(place).collect::<Vec<_>>()
    };
    network.layers.iter().flat_map(layer).collect()
}

impl Trace {
    /// The places of the neurons that are shown.
    fn shown(&self, network: &Network) -> std::result::Result<Vec<usize>, Invalid> {
        let all = names(network);
        let Some(chosen) = &self.neurons else { return Ok((0..all.len()).collect()) };
        if chosen.is_empty() {
            return Err(Invalid::new("neurons", "found none", "at least one; leave it out for all"));
        }
        let place = |(i, name): (usize, &String)| {
            let (path, found) = (format!("neurons[{i}]"), format!("found {name:?}"));
            if chosen[..i].contains(name) {
                return Err(Invalid::new(path, found, "each neuron once"));
            }
            let legal = || format!("{} … {}", all[0], all[all.len() - 1]);
            all.iter().position(|n| n == name).ok_or_else(|| Invalid::new(path, found, legal()))
        };
        chosen.iter().enumerate().map(place).collect()
    }
}

impl Kind for Trace {
    fn resolve(&mut self, origin: &Origin) -> Result<()> {
        waveform::read(self.waveform.as_mut(), origin)
    }

    fn validate(&self, network: &Network) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        positive("period", self.period)?;
        self.integrator.validate().map_err(|e| e.under("integrator"))?;
        self.imperfections.validate().map_err(|e| e.under("imperfections"))?;
        self.imperfections.suit(network).map_err(|e| e.under("imperfections"))?;
        check_time_constants(self.integrator, network, Some(&self.imperfections))?;
        if let Some(instant) = self.imperfections.instant() {
            instant.check(self.integrator, Form::Potential).map_err(|e| e.under("integrator"))?;
        }
        self.shown(network)?;
        let clock = self.integrator.clock("period", self.period)?;
        waveform::validate(self.waveform.as_ref(), network, self.integrator, clock)?;
        let ticks = clock.ticks;
        if ticks < 3 {
            let found = format!("found {}, {ticks} steps", self.period);
            return Err(Invalid::new("period", found, "at least 3 steps"));
        }
        if !(2..=10_000).contains(&self.periods) {
            let legal = "2 to 10000: the first is transient";
            return Err(Invalid::new("periods", format!("found {}", self.periods), legal));
        }
        validate_holomorphic(network)
    }

    fn validate_circuit(&self, circuit: &Circuit) -> std::result::Result<(), Invalid> {
        self.validate_for_circuit(circuit)
    }

    fn run_circuit(&self, setup: &CircuitSetup, sink: &mut dyn Sink, _: &Options) -> Result<Vec<String>> {
        self.run_on_circuit(setup, sink)
    }

    fn trains(&self, _name: &str) -> bool {
        false
    }

    fn cost(&self, setup: &Setup, _options: &Options) -> Result<Cost> {
        let substrate = cost::Size::new(&setup.network, Precision::F64);
        let period = cost::ticks(self.integrator, self.period);
        let total = period * self.periods as f64;
        let evaluations = total * cost::stages(self.integrator);
        // The estimate is taken anew at the end of every period that ends at a tick.
        let running = total * period * (substrate.neurons + substrate.outputs) * 6e-9;
        let (moved, inputs) = match self.waveform {
            Some(_) => (substrate.moving(evaluations), substrate.inputs),
            None => (0.0, 0.0),
        };
        let tick = substrate.neurons * 16.0 + inputs * 8.0 + 60.0;
        let work = Cost {
            evaluations,
            thread_seconds: substrate.seconds(evaluations, 1.0, 2.0) + moved + running,
            threads: 1.0,
            // Recorded, taken apart, and as an archive.
            memory: total * (5.0 * tick + 16.0 * substrate.outputs + 100.0)
                + substrate.states(1.0) * cost::STATES,
            disk: total * tick,
            ..Cost::default()
        };
        Ok(cost::with_study(&substrate, 1.0, work))
    }

    fn run(&self, setup: &Setup, sink: &mut dyn Sink, _options: &Options) -> Result<Vec<String>> {
        run(self, setup, sink)
    }
}

/// Records every tick of one sample.
#[derive(Default)]
struct Recorder {
    potentials: Vec<Vec<Complex<f64>>>,
    shown_rates: Vec<Vec<Complex<f64>>>,
    rates: Vec<Vec<f64>>,
    output_error: Vec<Vec<f64>>,
}

impl Observer<f64> for Recorder {
    fn wants(&self, _tick: u64) -> bool {
        true
    }

    fn observe(&mut self, _tick: u64, view: &View<'_, f64>) {
        self.potentials.push(planar(view.shape, view.state));
        self.shown_rates.push(planar(view.shape, view.rates));
        self.rates.push(view.rates.to_vec());
        self.output_error.push(view.output_error.to_vec());
    }
}

/// The neurons of one sample as complex numbers.
fn planar(shape: &StateShape, state: &[f64]) -> Vec<Complex<f64>> {
    let neuron = |layer: usize| {
        let (re, im) = (shape.column(layer, 0, 0), shape.column(layer, 1, 0));
        re.zip(im).map(|(i, j)| Complex::new(state[i], state[j])).collect::<Vec<_>>()
    };
    (0..shape.layers()).flat_map(neuron).collect()
}

impl Trace {
    /// The netlist of the network with its sample, under b cos ωt of the amplitude and the period of the trace, from the equilibrium of the
    /// first β on. Noise is not in it.
    ///
    /// # Errors
    /// If files do not fit, or SPICE has no element for what the network is made of.
    pub(crate) fn netlist_of_neurons(&self, setup: &Setup) -> Result<String> {
        let parameters = problem::parameters::<f64>(setup, &self.parameters)?;
        let all = problem::samples::<f64>(setup, &self.batch)?;
        let samples = problem::only(&setup.origin, &all, self.sample)?;
        let device = Device::fabricate(&setup.network, &self.imperfections);
        let effective = device.effective(Form::Potential, &parameters, 0);
        let teaching = Teaching::constant(Complex::new(self.amplitude, 0.0));
        let phase = Phase { teaching, ..Phase::free() };
        let start =
            equilibrium(&Setting::quiet(&effective), &samples, phase, &Settle::default(), None)?.state;
        let tau = setup.network.units.map_or(1.0, |units| units.tau);
        let clock = self.integrator.clock("period", self.period).expect("validated");
        let (period, step) = (self.period * tau, clock.step * tau);
        let run = Run { amplitude: self.amplitude, period, periods: self.periods, step, start };
        let netlist = effective.netlist(&samples.inputs, &samples.targets, &run);
        netlist.map_err(|invalid| invalid.in_file(setup.origin.display()))
    }
}

fn run(spec: &Trace, setup: &Setup, sink: &mut dyn Sink) -> Result<Vec<String>> {
    let network = &setup.network;
    let parameters = problem::parameters::<f64>(setup, &spec.parameters)?;
    let all = problem::samples::<f64>(setup, &spec.batch)?;
    let samples = problem::only(&setup.origin, &all, spec.sample)?;
    sink.begin()?;
    let device = Device::fabricate(network, &spec.imperfections);
    let effective = device.effective(Form::Potential, &parameters, 0);
    let quiet = Setting::quiet(&effective);
    let truth = estimate_batch(&Adjoint::default(), &quiet, &samples, &mut Vec::new())?;
    let setting =
        Setting { noise: spec.imperfections.instant().map(|i| Surroundings::new(i, spec.seed)), ..quiet };

    let clock = spec.integrator.clock("period", spec.period).expect("validated");
    let (ticks, total) = (clock.ticks, spec.periods * clock.ticks);
    let teaching =
        Teaching { waveform: Waveform::Circular { ticks }, amplitude: spec.amplitude, onset: ticks };
    let metered = Metered::new(&effective);
    let mut field: Box<dyn Field<'_, f64> + '_> = match &metered {
        Some(metered) => metered.bind(&samples, 2, None),
        None => Box::new(Dynamics::new(&effective, &samples, 2)),
    };
    field.teach(teaching);
    let signal = spec.waveform.as_ref().map(|waveform| Signal::new(waveform, network.inputs, clock.step));
    if let Some(signal) = &signal {
        field.vary_inputs(signal.clone());
    }
    setting.hold_noise(&mut *field, &samples)?;
    let len = field.shape().len();
    let integrator = setting.integrator(&samples, spec.integrator, clock.step, &*field)?;
    let mut state = vec![0.0; len];
    field.delay(clock.step, &mut state);
    let mut simulation = Simulation::new(field, integrator, clock.step, state);
    simulation.converter = setting.converter(simulation.field.shape());
    let mut recorder = Recorder::default();
    simulation.run(total, &mut [&mut recorder])?;
    // What it has taken is counted when it is let go.
    drop(simulation);
    let energy = metered.as_ref().map(Metered::taken);

    let running = |end: u64| {
        watcher::check()?;
        Ok(recorder.running(end, ticks, spec.amplitude, &samples, &effective, &truth.gradient))
    };
    let running = (ticks..=total).map(running).collect::<Result<Vec<Running>>>()?;
    let last = running.last().ok_or_else(|| Error::Internal("an empty trace".into()))?;
    let inputs = signal.map(|signal| inputs(signal, &samples.inputs, total));
    write(spec, network, sink, &recorder, &running, (teaching, clock.step), inputs)?;
    let spectrum = spectrum(&recorder.potentials[(total - ticks) as usize..]);
    let size = |k: usize| spectrum.iter().map(|c| c[k].norm()).fold(0.0, f64::max);
    let negative = (count_half(ticks)..ticks as usize).map(size).fold(0.0, f64::max);
    sink.write_json(
        SUMMARY,
        &json!({
            "relative_error": last.relative_error,
            "cosine": last.cosine,
            "largest_positive_harmonic": size(1),
            "largest_negative_harmonic": negative,
            "slowest_rate": truth.diagnostics.slowest_rate,
            "energy": energy,
            "wall_seconds": sink.seconds(),
        }),
    )?;
    let agreement = if last.relative_error.is_finite() {
        format!("cosine {:.6}, relative error {:.2e}", last.cosine, last.relative_error)
    } else {
        "the adjoint gradient of the weights between layers is zero: nothing to compare".to_owned()
    };
    let mut told = vec![
        format!("after {} periods: {agreement}", spec.periods),
        format!("spectrum: |c1| = {:.2e}, largest negative harmonic {negative:.1e}", size(1)),
    ];
    told.extend(energy.map(|energy| energy.told("the trace")));
    if spec.waveform.is_some() {
        told.push(
            "the harmonics of the changing inputs stand in the spectrum too, the negative ones among them"
                .to_owned(),
        );
    } else if negative > TOLERATED * size(1) {
        told.push(format!(
            "warning: a power series in beta has no negative harmonics: it has not settled after {} periods, or amplitude {} is \
             beyond the radius of convergence and this is not a gradient",
            spec.periods, spec.amplitude
        ));
    }
    Ok(told)
}

/// The inputs at every tick, one after the other.
fn inputs(mut signal: Signal<f64>, sample: &[f64], total: u64) -> Vec<f64> {
    let at = |tick: u64| {
        signal.advance(Time::at(tick));
        sample.iter().zip(signal.values()).map(|(x, shift)| x + shift).collect::<Vec<f64>>()
    };
    (0..total).flat_map(at).collect()
}

/// First index of the negative half of a spectrum.
fn count_half(ticks: u64) -> usize {
    ticks as usize / 2 + 1
}

/// The gradient estimate of the period that ends at a tick.
struct Running {
    cosine: f64,
    relative_error: f64,
}

impl Recorder {
    fn running(
        &self,
        end: u64,
        ticks: u64,
        amplitude: f64,
        samples: &Samples<f64>,
        effective: &Effective<f64>,
        truth: &Parameters<f64>,
    ) -> Running {
        let network = effective.network();
        let shape = StateShape::new(network, 1, 2);
        let real = shape.with_rails(1);
        let start = end - ticks;
        let weights = Window::Boxcar.weights(ticks as usize, 1.0);
        let record = Record { start, stride: 1, samples_per_period: ticks, weights };
        let mut lockin = LockIn::new(record, &[0, 1], network.output.size(), &shape);
        for tick in start..end {
            let (rates, output_error) = (&self.rates[tick as usize], &self.output_error[tick as usize]);
            lockin.observe(tick, &View { shape: &shape, state: rates, rates, output_error });
        }
        let rest = lockin.coefficient(0).expect("harmonic 0 was asked for");
        let first = lockin.coefficient(1).expect("harmonic 1 was asked for");
        // The record's phase is counted from its start, the teaching signal's from tick 0.
        let turn = Complex::cis(-std::f64::consts::TAU * (start % ticks) as f64 / ticks as f64) / amplitude;
        let (re, im) = (real_part(&real, &first.rates), imaginary_part(&real, &first.rates));
        let error_vector: Vec<f64> =
            re.iter().zip(&im).map(|(re, im)| (Complex::new(*re, *im) * turn).re).collect();
        let outputs = network.output.size();
        let local = Local {
            error_vector: &error_vector,
            free: &real_part(&real, &rest.rates),
            output_error: &rest.output_error[..outputs],
        };
        let agreement = compare(&effective.gradient(&real, samples, &local), truth).synapses;
        Running {
            cosine: agreement.cosine.unwrap_or(0.0),
            relative_error: agreement.relative_error.unwrap_or(f64::NAN),
        }
    }
}

/// Spectrum of each neuron over one period, [neuron][bin], bins 0, 1, … then the negative frequencies.
fn spectrum(period: &[Vec<Complex<f64>>]) -> Vec<Vec<Complex<f64>>> {
    let fft = FftPlanner::new().plan_fft_forward(period.len());
    (0..period[0].len())
        .map(|neuron| {
            let mut bins: Vec<Complex<f64>> =
                period.iter().map(|row| row[neuron] / period.len() as f64).collect();
            fft.process(&mut bins);
            bins
        })
        .collect()
}

fn write(
    spec: &Trace,
    network: &Network,
    sink: &mut dyn Sink,
    recorder: &Recorder,
    running: &[Running],
    (teaching, step): (Teaching, f64),
    inputs: Option<Vec<f64>>,
) -> Result<()> {
    let total = recorder.potentials.len();
    let shown = spec.shown(network).map_err(|e| Error::Internal(e.found))?;
    let neurons = shown.len();
    let ticks = teaching.ticks_per_period() as usize;
    let mut traces = Npz::new();
    let mut insert = |name: &str, shape: &[usize], values: Vec<Complex<f64>>, axes: &[&str]| {
        let (re, im): (Vec<f64>, Vec<f64>) = values.into_iter().map(|z| (z.re, z.im)).unzip();
        traces.insert(&format!("{name}_re"), shape, &re, "1", axes);
        traces.insert(&format!("{name}_im"), shape, &im, "1", axes);
    };
    insert(
        "beta",
        &[total],
        (0..total as u64).map(|tick| teaching.beta(Time::at(tick))).collect(),
        &["tick"],
    );
    let chosen = |rows: &[Vec<Complex<f64>>]| -> Vec<Complex<f64>> {
        rows.iter().flat_map(|row| shown.iter().map(|place| row[*place])).collect()
    };
    insert("potential", &[total, neurons], chosen(&recorder.potentials), &["tick", "neuron"]);
    insert("rate", &[total, neurons], chosen(&recorder.shown_rates), &["tick", "neuron"]);
    let spectrum = spectrum(&recorder.potentials[total - ticks..]);
    let spectrum = shown.iter().flat_map(|place| spectrum[*place].iter().copied()).collect();
    insert("spectrum", &[neurons, ticks], spectrum, &["neuron", "harmonic, the negative ones last"]);
    let time: Vec<f64> = (0..total).map(|tick| tick as f64 * step).collect();
    traces.insert("time", &[total], &time, "tau", &["tick"]);
    if let Some(inputs) = inputs {
        traces.insert("input", &[total, network.inputs], &inputs, "1", &["tick", "input"]);
    }
    let end: Vec<f64> = (ticks..=total).map(|tick| tick as f64 * step).collect();
    let cosine: Vec<f64> = running.iter().map(|r| r.cosine).collect();
    let error: Vec<f64> = running.iter().map(|r| r.relative_error).collect();
    traces.insert("running_time", &[end.len()], &end, "tau", &["end of the record"]);
    traces.insert("running_cosine", &[end.len()], &cosine, "1", &["end of the record"]);
    traces.insert("running_relative_error", &[end.len()], &error, "1", &["end of the record"]);
    sink.write("trace.npz", Content::Arrays(traces))?;
    let all = names(network);
    let neurons: Vec<&String> = shown.iter().map(|place| &all[*place]).collect();
    sink.write_json(
        "neurons.json",
        &json!({ "neurons": neurons, "period": spec.period, "chosen": spec.neurons.is_some() }),
    )
}
