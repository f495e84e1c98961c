//! Where the energy of a network of neurons goes, along the trajectories that an estimator simulates.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Mul};
use std::sync::{Arc, Mutex, PoisonError};

use num_complex::Complex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::effective::Effective;
use super::form::Form;
use super::interactions::{Direction, Synapses, Wanted};
use super::network::Source;
use super::units::Units;
use crate::error::Result;
use crate::imperfections::instant::Disturbances;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{Leak, VectorField};
use crate::simulation::signal::Signal;
use crate::simulation::teaching::{Teaching, Time};
use crate::substrate::local::Local;
use crate::substrate::parameters::{ParameterShape, Parameters};
use crate::substrate::samples::Samples;
use crate::substrate::{Field, Linear, Population, Substrate};

/// Time and energy of samples that one device sees one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Energy {
    /// Time, in s.
    pub seconds: f64,
    /// What the conductances of weights and biases dissipate, in J.
    pub synapses: f64,
    /// What the neurons draw from their supply, and their leaks dissipate, in J.
    pub neurons: f64,
    /// What the converters of the read-out take, in J.
    pub converters: f64,
}

impl Energy {
    /// All of it, in J.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.synapses + self.neurons + self.converters
    }

    /// As summaries tell it, of one sample.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "seconds_per_sample": self.seconds,
            "joules_per_sample": self.joules(),
            "watts_in_synapses": self.synapses / self.seconds,
            "watts_in_neurons": self.neurons / self.seconds,
            "watts_in_converters": self.converters / self.seconds,
        })
    }

    /// The line that tells of it.
    #[must_use]
    pub fn told(&self, what: &str) -> String {
        let Self { seconds, synapses, neurons, converters } = self;
        format!(
            "{what} takes {seconds:.2e} s and {:.2e} J: synapses {synapses:.2e} J, neurons {neurons:.2e} J, converters {converters:.2e} J",
            self.joules()
        )
    }
}

impl AddAssign for Energy {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.synapses += other.synapses;
        self.neurons += other.neurons;
        self.converters += other.converters;
    }
}

impl Mul<f64> for Energy {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self {
            seconds: self.seconds * factor,
            synapses: self.synapses * factor,
            neurons: self.neurons * factor,
            converters: self.converters * factor,
        }
    }
}

/// A network under a meter: the same substrate to every estimator. Each step of each trajectory counts with the power at its beginning, each
/// look of a read-out with its conversions. No free phase is passed over: what has no loop is waited for as well.
pub struct Metered<'e, T: Scalar> {
    effective: &'e Effective<T>,
    units: Units,
    /// Σ |W| of all that a neuron or an input drives, and Σ |b|, in units of the weights.
    loads: Vec<f64>,
    input_loads: Vec<f64>,
    biases: f64,
    /// By the first sample of a chunk, so that sums do not depend on which thread is done first.
    taken: Mutex<BTreeMap<usize, Energy>>,
}

/// Σ |W| over the synapses that each sender of a direction drives.
fn load<T: Scalar>(
    synapses: &Synapses<T>,
    direction: Direction,
    senders: usize,
    receivers: usize,
) -> Vec<f64> {
    let mut sizes = synapses.clone();
    sizes.weights_mut().iter_mut().for_each(|w| *w = w.abs());
    sizes.prepare(Wanted { forward: true, backward: true });
    let (ones, mut sums) = (vec![T::one(); receivers], vec![T::zero(); senders]);
    match direction {
        Direction::Forward => sizes.pull_back(&[], &ones, 1, &mut sums),
        Direction::Backward => sizes.forward(&ones, 1, &mut sums),
    }
    sums.iter().map(|sum| sum.double()).collect()
}

impl<'e, T: Scalar> Metered<'e, T> {
    /// A programmed network under a meter; none without units.
    #[must_use]
    pub fn new(effective: &'e Effective<T>) -> Option<Self> {
        let network = effective.network();
        let units = network.units?;
        let size = |layer: usize| network.layers[layer].size;
        let (mut loads, mut input_loads) = (vec![0.0; network.neurons()], vec![0.0; network.inputs]);
        let add = |to: &mut [f64], more: Vec<f64>| to.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        for (edge, synapses) in effective.edges() {
            let receivers = size(edge.to);
            match edge.from {
                Source::Input => {
                    let more = load(synapses, edge.direction, network.inputs, receivers);
                    add(&mut input_loads, more);
                }
                Source::Layer(from) => {
                    let more = load(synapses, edge.direction, size(from), receivers);
                    add(&mut loads[network.layers[from].offset..], more);
                }
            }
        }
        if let Some((synapses, bias)) = effective.readout() {
            let layer = &network.layers[network.output.layer()];
            let more = load(synapses, Direction::Forward, layer.size, bias.len());
            add(&mut loads[layer.offset..], more);
        }
        let layers = (0..network.layers.len()).flat_map(|layer| effective.bias(layer));
        let read = effective.readout().map_or(&[][..], |(_, bias)| bias);
        let biases = layers.chain(read).map(|b| b.abs().double()).sum();
        Some(Self { effective, units, loads, input_loads, biases, taken: Mutex::default() })
    }

    /// What has been taken so far, by all samples together.
    #[must_use]
    pub fn taken(&self) -> Energy {
        let mut total = Energy::default();
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.values().for_each(|energy| total += *energy);
        total
    }
}

impl<T: Scalar> Substrate<T> for Metered<'_, T> {
    fn populations(&self) -> Vec<Population> {
        self.effective.populations()
    }

    fn parameters(&self) -> &Arc<[ParameterShape]> {
        self.effective.parameters()
    }

    fn inputs(&self) -> usize {
        self.effective.inputs()
    }

    fn outputs(&self) -> usize {
        self.effective.outputs()
    }

    fn shape(&self, batch: usize, rails: usize) -> StateShape {
        Substrate::<T>::shape(self.effective, batch, rails)
    }

    fn chunk(&self, samples: usize) -> usize {
        Substrate::<T>::chunk(self.effective, samples)
    }

    fn bind<'a>(
        &'a self,
        samples: &Samples<T>,
        rails: usize,
        drive: Option<&[T]>,
    ) -> Box<dyn Field<'a, T> + 'a> {
        let columns = samples.inputs.chunks_exact(self.input_loads.len());
        let squares = |x: &[T]| -> f64 {
            x.iter().zip(&self.input_loads).map(|(x, load)| load * x.double().powi(2)).sum()
        };
        let held = columns.map(squares).sum::<f64>() + self.biases * samples.count as f64;
        Box::new(MeteredField {
            inner: self.effective.bind(samples, rails, drive),
            meter: self,
            first: samples.first,
            held,
            step: 0.0,
            begun: false,
            energy: Energy::default(),
        })
    }

    fn is_tied(&self) -> bool {
        Substrate::<T>::is_tied(self.effective)
    }

    fn free_state(&self, samples: &Samples<T>, rates: &[T]) -> Vec<T> {
        self.effective.free_state(samples, rates)
    }

    fn gradient(&self, shape: &StateShape, samples: &Samples<T>, local: &Local<'_, T>) -> Parameters<T> {
        self.effective.gradient(shape, samples, local)
    }

    fn measured(&self) -> Vec<usize> {
        self.effective.measured()
    }

    fn add_products(
        &self,
        shape: &StateShape,
        rates: &[T],
        weight: Complex<f64>,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    ) {
        self.effective.add_products(shape, rates, weight, gradient, scratch);
    }

    fn add_readout(
        &self,
        shape: &StateShape,
        seen: (&[T], &[T]),
        weight: f64,
        gradient: &mut Parameters<T>,
        scratch: &mut Vec<T>,
    ) {
        self.effective.add_readout(shape, seen, weight, gradient, scratch);
    }
}

/// A field under the meter; what it has taken is counted when it is dropped.
struct MeteredField<'a, T: Scalar> {
    inner: Box<dyn Field<'a, T> + 'a>,
    meter: &'a Metered<'a, T>,
    first: usize,
    /// Σ |W| x² of the clamped inputs of all samples, and Σ |b|.
    held: f64,
    step: f64,
    begun: bool,
    energy: Energy,
}

impl<T: Scalar> MeteredField<'_, T> {
    /// Counts a step from a state that has been evaluated.
    fn count_step(&mut self, state: &[T]) {
        let Metered { effective, units, loads, .. } = self.meter;
        let shape = self.inner.shape();
        let rates = if effective.form() == Form::Rate { state } else { self.inner.rates() };
        let mut driven = self.held;
        for layer in 0..shape.layers() {
            let offset = effective.network().layers[layer].offset;
            let loads = &loads[offset..][..shape.size(layer)];
            let columns = rates[shape.layer(layer)].chunks_exact(loads.len());
            driven += columns
                .map(|a| a.iter().zip(loads).map(|(a, load)| load * a.double().powi(2)).sum::<f64>())
                .sum::<f64>();
        }
        let leaked: f64 = state.iter().map(|s| s.double().powi(2)).sum();
        let seconds = self.step * units.tau;
        let watts = units.siemens * units.volts.powi(2);
        self.energy.seconds += seconds * shape.batch as f64;
        self.energy.synapses += seconds * watts * driven;
        self.energy.neurons +=
            seconds * (watts * leaked + units.supply * units.bias_current * state.len() as f64);
    }

    /// Counts a look of the read-out.
    fn count_look(&mut self) {
        let numbers = self.inner.rates().len() + self.inner.output_error().len();
        self.energy.converters += self.meter.units.conversion * numbers as f64;
    }
}

impl<T: Scalar> Drop for MeteredField<'_, T> {
    fn drop(&mut self) {
        let mut taken = self.meter.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken.entry(self.first).or_default() += self.energy;
    }
}

impl<T: Scalar> VectorField<T> for MeteredField<'_, T> {
    fn target(&mut self, time: Time, state: &[T], out: &mut [T]) {
        self.inner.target(time, state, out);
        if std::mem::take(&mut self.begun) {
            self.count_step(state);
        }
    }

    fn leak(&self) -> &Leak<T> {
        self.inner.leak()
    }

    fn solve_stage(&mut self, time: Time, span: f64, known: &[T], state: &mut [T]) -> Result<bool> {
        self.inner.solve_stage(time, span, known, state)
    }
}

impl<'a, T: Scalar> Field<'a, T> for MeteredField<'a, T> {
    fn shape(&self) -> &StateShape {
        self.inner.shape()
    }

    fn substrate(&self) -> &'a dyn Substrate<T> {
        self.meter
    }

    fn linearise(&self, rates: &[T]) -> Box<dyn Linear<T> + 'a> {
        self.inner.linearise(rates)
    }

    fn select(&self, which: &[usize]) -> Box<dyn Field<'a, T> + 'a> {
        self.inner.select(which)
    }

    fn place(&self, sample: usize) -> usize {
        self.inner.place(sample)
    }

    fn teach(&mut self, teaching: Teaching) {
        self.inner.teach(teaching);
    }

    fn teaching(&self) -> &Teaching {
        self.inner.teaching()
    }

    fn teach_each(&mut self, betas: &[Complex<f64>]) {
        self.inner.teach_each(betas);
    }

    fn correct_asymmetry(&mut self, free: &[T]) {
        self.inner.correct_asymmetry(free);
    }

    fn hold_noise(&mut self, noise: Disturbances<T>, inputs: &[T]) -> Result<()> {
        self.inner.hold_noise(noise, inputs)
    }

    fn vary_inputs(&mut self, signal: Signal<T>) {
        self.inner.vary_inputs(signal);
    }

    fn release_signal(&mut self) -> Option<Signal<T>> {
        self.inner.release_signal()
    }

    fn set_step(&mut self, step: f64, lost: f64) {
        self.step = step;
        self.inner.set_step(step, lost);
    }

    fn begin_step(&mut self, tick: u64) {
        self.begun = true;
        self.inner.begin_step(tick);
    }

    fn observe(&mut self, state: &[T]) {
        self.inner.observe(state);
        self.count_look();
    }

    fn observe_evaluated(&mut self, state: &[T]) {
        self.inner.observe_evaluated(state);
        self.count_look();
    }

    fn rates(&self) -> &[T] {
        self.inner.rates()
    }

    fn output_error(&self) -> &[T] {
        self.inner.output_error()
    }

    fn drive(&self) -> &[T] {
        self.inner.drive()
    }

    fn reach(&self) -> f64 {
        self.inner.reach()
    }

    fn evaluations(&self) -> u64 {
        self.inner.evaluations()
    }

    fn products(&self) -> u64 {
        self.inner.products()
    }

    fn release_noise(&mut self) -> Disturbances<T> {
        self.inner.release_noise()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gradient::{EstimatorSpec, Setting, estimate_batch};
    use crate::substrate::neurons::model::ModelSpec;
    use crate::substrate::neurons::network::Network;

    const UNITS: Units =
        Units { tau: 2e-6, volts: 0.5, siemens: 1e-5, supply: 1.2, bias_current: 3e-6, conversion: 4e-12 };

    fn network(layers: &serde_json::Value, connections: &serde_json::Value) -> Arc<Network> {
        let model = json!({ "name": "metered", "input": 2, "layers": layers, "activation": "identity",
            "connections": connections, "cost": "squared_error", "units": UNITS });
        Arc::new(Network::new(&serde_json::from_value::<ModelSpec>(model).unwrap()).unwrap())
    }

    fn taken(effective: &Effective<f64>, samples: &Samples<f64>, estimator: &serde_json::Value) -> Energy {
        let estimator = serde_json::from_value::<EstimatorSpec>(estimator.clone()).unwrap();
        assert!(estimator.is_followed());
        let metered = Metered::new(effective).unwrap();
        let (built, mut states) = (estimator.build::<f64>(), Vec::new());
        let setting = Setting { diagnose: false, ..Setting::quiet(effective) };
        let plain = estimate_batch(&*built, &setting, samples, &mut states).unwrap();
        let setting = Setting { substrate: &metered, ..setting };
        let under = estimate_batch(&*built, &setting, samples, &mut Vec::new()).unwrap();
        assert_eq!(plain.gradient, under.gradient, "a meter changes nothing");
        metered.taken()
    }

    fn close(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-12, "{a:e} {b:e}");
    }

    #[test]
    fn one_neuron_takes_what_its_steps_say() {
        let network = network(&json!([{ "name": "o", "size": 1 }]), &json!([{ "from": "input", "to": "o" }]));
        let mut parameters: Parameters<f64> = Parameters::zeros(network.shapes());
        parameters.at_mut(0).copy_from_slice(&[0.6, -0.8]);
        parameters.at_mut(1).copy_from_slice(&[-0.1]);
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let (x, y, beta, steps) = ([1.0, 0.5], 0.7, 0.2, 10);
        let classic = json!({ "classic": { "amplitude": beta, "settle": { "step": 1.0, "tolerance": 0.0, "max_time": 10.0 } } });
        let energy = taken(&effective, &Samples::of(1, &x, &[y]), &classic);
        // The map u ← W x + b − β (u − y), from rest, then from the free equilibrium on.
        let (drive, held) = (0.6 - 0.4 - 0.1, 0.6 + 0.8 * 0.25 + 0.1);
        let (mut u, mut leaked) = (0.0_f64, 0.0);
        for beta in [0.0, beta] {
            for _ in 0..steps {
                leaked += u * u;
                u = drive - beta * (u - y);
            }
        }
        let (count, watts) = (2.0 * f64::from(steps), UNITS.siemens * UNITS.volts.powi(2));
        close(energy.seconds, count * UNITS.tau);
        close(energy.synapses, watts * held * energy.seconds);
        close(
            energy.neurons,
            watts * leaked * UNITS.tau + UNITS.supply * UNITS.bias_current * energy.seconds,
        );
        // A rate and an output, at the end of each phase.
        close(energy.converters, 4.0 * UNITS.conversion);
    }

    #[test]
    fn a_neuron_loads_all_that_it_drives() {
        let layers =
            json!([{ "name": "h", "size": 1, "bias": false }, { "name": "o", "size": 2, "bias": false }]);
        let connections =
            json!([{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }]);
        let network = network(&layers, &connections);
        let mut parameters: Parameters<f64> = Parameters::zeros(network.shapes());
        parameters.at_mut(0).copy_from_slice(&[0.5, 0.25]);
        parameters.at_mut(1).copy_from_slice(&[0.3, -0.4]);
        let effective = Effective::new(&network, Form::Potential, &parameters);
        let metered = Metered::new(&effective).unwrap();
        assert_eq!((&metered.loads[..], &metered.input_loads[..]), (&[0.7, 0.3, 0.4][..], &[0.5, 0.25][..]));
        let samples = Samples::of(12, &[0.3; 24], &[0.1; 24]);
        let drive = json!({ "oscillation": { "amplitude": 0.1, "period": 20.0, "settle_periods": 2, "periods": 1,
            "integrator": { "rk4": { "step": 0.5 } } } });
        let energy = taken(&effective, &samples, &drive);
        close(energy.seconds, 12.0 * 60.0 * UNITS.tau);
        // Three rates and two outputs, on both rails, in every step of the last period.
        close(energy.converters, 12.0 * 10.0 * 40.0 * UNITS.conversion);
        assert!(
            energy.synapses > 0.0
                && energy.neurons > 2.0 * 3.0 * UNITS.supply * UNITS.bias_current * energy.seconds
        );
    }
}
