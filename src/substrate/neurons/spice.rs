//! A network of neurons with its drive as a SPICE netlist: leaky integrators, transconductors, behavioural sources.

use std::fmt::Write as _;

use super::activation::{Activation, Transfer};
use super::effective::Effective;
use super::form::Form;
use super::interactions::Synapses;
use super::network::{Edge, Layer, Output, Source};
use super::units::Units;
use crate::error::Invalid;
use crate::numerics::scalar::Scalar;
use crate::substrate::spice::Run;

/// The rate at a potential, as an expression of SPICE: both in volts.
fn rate(activation: &Activation, node: &str, volts: f64) -> String {
    let x = format!("(V({node})/{volts:.17e})");
    let rate = match *activation {
        Activation::Logistic { slope, offset } => {
            format!("1/(1+exp(-({slope:.17e}*{x}+({offset:.17e}))))")
        }
        Activation::Tanh => format!("tanh({x})"),
        Activation::Dsilu => format!("0.5*{x}/(1+exp(-{x}))+(1-0.5*{x})/(1+exp(2-{x}))"),
        Activation::Softplus => format!("ln(1+exp({x}))"),
        Activation::Identity => x,
        Activation::HardTanh => format!("max(-1,min(1,{x}))"),
        Activation::HardDsilu => format!("max(0,min(1,0.5*{x}))"),
        Activation::Relu => format!("max(0,{x})"),
    };
    format!("{volts:.17e}*({rate})")
}

/// The node of a neuron's potential, of its rate, or of an input.
fn potential(layer: &Layer, i: usize) -> String {
    format!("u_{}_{i}", layer.name)
}

fn activity(layer: &Layer, i: usize) -> String {
    format!("a_{}_{i}", layer.name)
}

impl<T: Scalar> Effective<T> {
    /// The netlist of one sample under a real drive, with `.tran`: for ngspice; LTspice and Xyce read it too. `run.start` are the
    /// potentials at its beginning, in units of the model. Without [`Units`], those are 1 s, 1 V and 1 S.
    ///
    /// # Errors
    /// What a netlist cannot say: rates that are integrated, convolutions, and activations of one's own.
    pub fn netlist(&self, inputs: &[f64], targets: &[f64], run: &Run) -> Result<String, Invalid> {
        let network = self.network();
        let refuse = |path: String, found: &str, legal: &str| Err(Invalid::new(path, found, legal));
        if self.form() == Form::Rate {
            return refuse("form".into(), "found rate", "potential: a capacitor holds a neuron's potential");
        }
        if network.shared().is_some() {
            let legal = "dense or sparse connections: a netlist has an element for each synapse";
            return refuse("model.connections".into(), "found a convolution", legal);
        }
        let names: Vec<String> = network.layers.iter().map(|layer| layer.name.to_lowercase()).collect();
        if let Some(place) = (0..names.len()).find(|place| names[..*place].contains(&names[*place])) {
            let found = format!("found {:?}", network.layers[place].name);
            let legal = "names that differ in more than capitals: SPICE does not tell those apart";
            return Err(Invalid::new(format!("model.layers[{place}].name"), found, legal));
        }
        if !network.delays().is_empty() {
            let legal = "a netlist is of connections without a delay";
            return refuse("model.connections".to_owned(), "found a `delay`", legal);
        }
        let one =
            Units { tau: 1.0, volts: 1.0, siemens: 1.0, supply: 0.0, bias_current: 0.0, conversion: 0.0 };
        let units = network.units.unwrap_or(one);
        let (volts, siemens) = (units.volts, units.siemens);
        let mut text = run.beginning(&network.name);
        for (k, x) in inputs.iter().enumerate() {
            let _ = writeln!(text, "Vx_{k} x_{k} 0 DC {:.17e}", volts * x);
        }
        for (place, layer) in network.layers.iter().enumerate() {
            if layer.equations.is_some() {
                let legal = "a netlist is of neurons of one variable, -u + I";
                return refuse(format!("model.layers[{place}]"), "found neurons by equation", legal);
            }
            let Transfer::Shipped(activation) = &layer.activation else {
                let legal = "an activation that a model file can name";
                return refuse(
                    format!("model.layers[{place}].activation"),
                    "found an expression, or one of the program's own",
                    legal,
                );
            };
            let _ = writeln!(text, "* layer {}", layer.name);
            for (i, (tau, bias)) in self.tau(place).iter().zip(self.bias(place)).enumerate() {
                let (u, a) = (potential(layer, i), activity(layer, i));
                let capacitance = tau * units.tau * siemens;
                let start = volts * run.start[layer.offset + i];
                let _ = writeln!(text, "C{u} {u} 0 {capacitance:.17e} IC={start:.17e}");
                let _ = writeln!(text, "R{u} {u} 0 {:.17e}", 1.0 / siemens);
                let _ = writeln!(text, "B{a} {a} 0 V={}", rate(activation, &u, volts));
                if *bias != T::zero() {
                    let _ = writeln!(text, "I{u} 0 {u} DC {:.17e}", siemens * volts * bias.double());
                }
            }
        }
        for (place, (edge, synapses)) in self.edges().enumerate() {
            self.write_edge(&mut text, place, edge, synapses, siemens);
        }
        text.push_str(&run.drive());
        self.write_teaching(&mut text, targets, &units);
        Ok(text + &run.ending())
    }

    /// A transconductor for each synapse.
    fn write_edge(&self, text: &mut String, place: usize, edge: &Edge, synapses: &Synapses<T>, siemens: f64) {
        let layers = &self.network().layers;
        let sender = |j: usize| match edge.from {
            Source::Input => format!("x_{j}"),
            Source::Layer(from) => activity(&layers[from], j),
        };
        let _ = writeln!(text, "* synapses {place}, to {}", layers[edge.to].name);
        synapses.entries(&mut |receiver, sending, w| {
            let (i, j) = edge.direction.orient(receiver, sending);
            let (to, from) = (potential(&layers[edge.to], i), sender(j));
            let _ = writeln!(text, "G{place}_{i}_{j} 0 {to} {from} 0 {:.17e}", siemens * w.double());
        });
    }

    /// The teaching currents −β ∂C/∂a as behavioural sources.
    fn write_teaching(&self, text: &mut String, targets: &[f64], units: &Units) {
        let network = self.network();
        let layer = &network.layers[network.output.layer()];
        let (volts, siemens) = (units.volts, units.siemens);
        let slopes: Vec<String> = match (network.output, self.readout()) {
            (Output::Readout { classes, .. }, Some((synapses, bias))) => {
                // Sums of currents through 1 Ω, so that every line is short.
                for k in 0..classes {
                    let bias = volts * bias[k].double();
                    let _ = writeln!(text, "Rz_{k} z_{k} 0 1\nIz_{k} 0 z_{k} DC {bias:.17e}");
                }
                let mut back = String::new();
                synapses.entries(&mut |k, i, w| {
                    let (w, a) = (w.double(), activity(layer, i));
                    let _ = writeln!(text, "Gz_{k}_{i} 0 z_{k} {a} 0 {w:.17e}");
                    let _ = writeln!(back, "Gt_{i}_{k} 0 t_{i} e_{k} 0 {w:.17e}");
                });
                // The share of a class is one over a sum, 1 at least: no voltage that may be 0 at first is divided by.
                for (k, y) in targets.iter().enumerate() {
                    let beyond: Vec<String> =
                        (0..classes).map(|j| format!("exp((V(z_{j})-V(z_{k}))/{volts:.17e})")).collect();
                    let _ =
                        writeln!(text, "Be_{k} e_{k} 0 V={volts:.17e}*(1/({})-({y:.17e}))", beyond.join("+"));
                }
                text.push_str(&back);
                (0..layer.size)
                    .map(|i| {
                        let _ = writeln!(text, "Rt_{i} t_{i} 0 1");
                        format!("V(t_{i})")
                    })
                    .collect()
            }
            _ => {
                let slope =
                    |(i, y): (usize, &f64)| format!("(V({})-({:.17e}))", activity(layer, i), volts * y);
                targets.iter().enumerate().map(slope).collect()
            }
        };
        for (i, slope) in slopes.iter().enumerate() {
            let gain = self.teaching_gain().map_or(1.0, |gains| gains[i].double());
            let u = potential(layer, i);
            let _ = writeln!(text, "Bn_{i} {u} 0 I={:.17e}*V(beta)*{slope}", siemens * gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use num_complex::Complex;
    use serde_json::{Value, json};

    use crate::gradient::Setting;
    use crate::gradient::compare::compare;
    use crate::gradient::equilibrium::{Phase, Settle, equilibrium, free};
    use crate::gradient::estimate;
    use crate::simulation::Simulation;
    use crate::simulation::integrators::IntegratorSpec;
    use crate::simulation::teaching::{Teaching, Waveform};
    use crate::substrate::Substrate;
    use crate::substrate::local::Local;
    use crate::substrate::neurons::effective::Effective;
    use crate::substrate::neurons::form::Form;
    use crate::substrate::neurons::model::ModelSpec;
    use crate::substrate::neurons::network::Network;
    use crate::substrate::parameters::Parameters;
    use crate::substrate::samples::Samples;
    use crate::substrate::spice::{Run, simulated};

    fn programmed(model: Value) -> Effective<f64> {
        let spec: ModelSpec = serde_json::from_value(model).unwrap();
        let network = Arc::new(Network::new(&spec).unwrap());
        let mut parameters: Parameters<f64> = Parameters::initial(network.shapes(), 3);
        // Biases start at zero: none of them would be in the netlist.
        for index in 0..network.shapes().len() {
            let bias = network.shapes()[index].name.ends_with(".bias");
            let values = parameters.at_mut(index).iter_mut().enumerate();
            values.filter(|_| bias).for_each(|(i, b)| *b = 0.1 - 0.03 * i as f64);
        }
        Effective::new(&network, Form::Potential, &parameters)
    }

    /// The gradient by the harmonics up to 5 of rates over a period of b cos ωt.
    fn by_harmonics(
        effective: &Effective<f64>,
        samples: &Samples<f64>,
        period: &[Vec<f64>],
        b: f64,
    ) -> Parameters<f64> {
        let network = effective.network();
        let n = period.len() as f64;
        let (mut delta, mut rest) = (vec![0.0; network.neurons()], vec![0.0; network.neurons()]);
        for (tick, u) in period.iter().enumerate() {
            let angle = std::f64::consts::TAU * tick as f64 / n;
            let weight: f64 =
                [1.0, -3.0, 5.0].iter().map(|k: &f64| k * (k * angle).cos() * 2.0 / (n * b)).sum();
            let still: f64 = [0.0, -2.0, 4.0]
                .iter()
                .map(|k: &f64| if *k == 0.0 { 1.0 } else { 2.0 * k.signum() * (k * angle).cos() } / n)
                .sum();
            for layer in &network.layers {
                let mut a = vec![0.0; layer.size];
                layer.activation.apply_real(&u[layer.offset..][..layer.size], &mut a);
                for (i, a) in a.iter().enumerate() {
                    delta[layer.offset + i] += weight * a;
                    rest[layer.offset + i] += still * a;
                }
            }
        }
        let shape = Substrate::<f64>::shape(effective, 1, 1);
        let mut field = Substrate::<f64>::bind(effective, samples, 1, None);
        let quiet = Setting::quiet(effective);
        field.observe(&free(&quiet, samples, &Settle::default()).unwrap().state);
        let local = Local { error_vector: &delta, free: &rest, output_error: field.output_error() };
        effective.gradient(&shape, samples, &local)
    }

    fn compared(name: &str, effective: &Effective<f64>, samples: &Samples<f64>) {
        const TICKS: u64 = 2000;
        let (amplitude, period, periods) = (0.05, 400.0, 2);
        let network = effective.network();
        let setting = Setting::quiet(effective);
        let phase = Phase { teaching: Teaching::constant(Complex::new(amplitude, 0.0)), ..Phase::free() };
        let start = equilibrium(&setting, samples, phase, &Settle::default(), None).unwrap().state;
        let (tau, volts) = network.units.map_or((1.0, 1.0), |units| (units.tau, units.volts));
        let step = period / TICKS as f64;
        let run = Run { amplitude, period: period * tau, periods, step: step * tau, start: start.clone() };
        let netlist = effective.netlist(&samples.inputs, &samples.targets, &run).unwrap();
        let Some(traces) = simulated(&netlist, name) else { return };
        let mut field = Substrate::<f64>::bind(effective, samples, 1, None);
        field.teach(Teaching { waveform: Waveform::Cosine { ticks: TICKS }, amplitude, onset: 0 });
        let integrator = IntegratorSpec::Rk4 { step }.build(step, field.leak(), start.len());
        let mut simulation = Simulation::new(field, integrator, step, start);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for tick in 0..TICKS * periods {
            ours.push(simulation.state.clone());
            let time = tick as f64 * step * tau;
            let neurons = network.layers.iter().flat_map(|layer| {
                (0..layer.size).map(|i| traces.at(&super::potential(layer, i), time).unwrap() / volts)
            });
            theirs.push(neurons.collect::<Vec<f64>>());
            simulation.run(1, &mut []).unwrap();
        }
        let (mut worst, mut swing) = (0.0_f64, 0.0_f64);
        for i in 0..network.neurons() {
            let course = || ours.iter().map(|u| u[i]);
            swing = swing.max(course().fold(f64::MIN, f64::max) - course().fold(f64::MAX, f64::min));
            worst = ours.iter().zip(&theirs).map(|(a, b)| (a[i] - b[i]).abs()).fold(worst, f64::max);
        }
        let last = TICKS as usize..;
        let [own, spice] =
            [&ours[last.clone()], &theirs[last]].map(|p| by_harmonics(effective, samples, p, amplitude));
        let truth = estimate(effective, samples, "adjoint").unwrap().gradient;
        let of = |gradient: &Parameters<f64>, truth| compare(gradient, truth).total.relative_error.unwrap();
        let (off, exact) = (of(&spice, &own), of(&spice, &truth));
        println!(
            "{name}: traces within {:.1e} of a swing of {swing:.3}, gradient within {off:.1e} of ours, {exact:.1e} of the adjoint's",
            worst / swing
        );
        assert!(worst < 2e-4 * swing, "{name}: {worst:e} of {swing}");
        assert!(off < 1e-3, "{name}: {off:e}");
        assert!(exact < 1e-2, "{name}: {exact:e}");
    }

    #[test]
    fn ngspice_shows_the_same_potentials_and_the_same_gradient() {
        let layered = json!({
            "name": "layered", "input": 5,
            "layers": [{ "name": "h", "size": 6 }, { "name": "o", "size": 4, "tau": [1.0, 1.5, 0.7, 1.0] }],
            "activation": "logistic",
            "connections": [{ "from": "input", "to": "h" }, { "from": "h", "to": "o", "feedback": "tied" }],
            "readout": { "from": "o", "classes": 3 }
        });
        let sparse = json!({
            "name": "sparse", "input": 5,
            "layers": [{ "name": "h", "size": 6, "activation": "softplus" }, { "name": "o", "size": 3 }],
            "activation": "tanh",
            "connections": [
                { "from": "input", "to": "h", "sparse": { "fan_in": 3 } },
                { "from": "h", "to": "o", "feedback": { "rotated": { "angle": 0 } } }],
            "cost": "squared_error",
            "units": { "tau": 1e-6, "volts": 0.1, "siemens": 1e-6, "supply": 1.0, "bias_current": 1e-6, "conversion": 1e-12 }
        });
        let inputs = [0.8, -0.3, 0.5, 0.1, -0.9];
        compared("layered", &programmed(layered), &Samples::of(1, &inputs, &[0.0, 1.0, 0.0]));
        compared("sparse", &programmed(sparse), &Samples::of(1, &inputs, &[0.2, -0.4, 0.6]));
    }
}
