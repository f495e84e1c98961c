//! A circuit: the validated, sized description, with names resolved to places.

use std::sync::Arc;

use super::connected::{self, check_paths};
use super::model::{
    BOLTZMANN, CHARGE, CircuitCost, CircuitSpec, DiodesSpec, ElementSpec, Learnt, ResistorsSpec, Trainable,
};
use super::names::{Names, input_terminal};
use crate::error::Invalid;
use crate::numerics::rng::{Purpose, stream};
use crate::numerics::scalar::Scalar;
use crate::substrate::Population;
use crate::substrate::parameters::{Arrangement, ParameterShape, Parameters, Role, Start};
use rand::RngExt as _;

/// What a voltage is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// That of a free node, by its place in the state.
    Free(usize),
    /// That of an input.
    Input(usize),
    /// The reference.
    Ground,
}

/// One end of an element: V = gain · (voltage at) + offset. What flows out of an end with a gain is drawn from its node as 1/gain of it,
/// as bidirectional amplifiers do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terminal {
    /// What it follows.
    pub at: At,
    /// Volts a volt, or volts a unit of input.
    pub gain: f64,
    /// In V.
    pub offset: f64,
}

impl Terminal {
    /// Behind an amplifier.
    pub(super) fn amplified(self, gain: f64) -> Self {
        Self { gain: self.gain * gain, offset: self.offset * gain, ..self }
    }

    /// The free node, if it follows one.
    #[must_use]
    pub fn free(self) -> Option<usize> {
        match self.at {
            At::Free(i) => Some(i),
            _ => None,
        }
    }
}

/// A node whose voltage is integrated.
#[derive(Debug, Clone, PartialEq)]
pub struct FreeNode {
    /// As in files: `h[3]`.
    pub name: String,
    /// Capacitance to ground, in F.
    pub capacitance: f64,
}

/// Resistors that were described together.
#[derive(Debug, Clone, PartialEq)]
pub struct Resistors {
    /// Name in parameter files and messages.
    pub name: String,
    /// Both ends of each.
    pub ends: Vec<[Terminal; 2]>,
    /// Conductances at the start: the least and the most, in S.
    pub start: [f64; 2],
    /// Which parameter holds them, and how they learn, if they do.
    pub trainable: Option<(usize, Trainable)>,
}

/// One diode.
#[derive(Debug, Clone, PartialEq)]
pub struct Diode {
    /// For messages: `h-ground[3]`.
    pub name: String,
    /// Anode and cathode.
    pub ends: [Terminal; 2],
    /// I_s, in A.
    pub saturation_current: f64,
    /// n V_t, in V.
    pub thermal: f64,
    /// V_b, in V.
    pub bias: f64,
}

/// One transconductor: a current of g_m times the voltage of the first end into the second.
#[derive(Debug, Clone, PartialEq)]
pub struct Transconductor {
    /// What controls, and what receives.
    pub ends: [Terminal; 2],
    /// g_m, in S.
    pub transconductance: f64,
}

/// What is read and taught.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Free nodes of each output: what is read is the first less the second.
    pub nodes: Vec<(usize, Option<usize>)>,
    /// What is minimised.
    pub cost: CircuitCost,
    /// Volts of a target of 1, or V_s of the softmax.
    pub volts: f64,
    /// g of the teaching current, in S.
    pub nudging: f64,
}

/// A circuit.
#[derive(Debug, Clone, PartialEq)]
pub struct Circuit {
    /// Its description.
    pub spec: CircuitSpec,
    /// Groups of free nodes, in the order of the state.
    pub populations: Vec<Population>,
    /// The free nodes, in the order of the state.
    pub free: Vec<FreeNode>,
    /// All resistors, those of the sources' impedance included.
    pub resistors: Vec<Resistors>,
    /// All diodes.
    pub diodes: Vec<Diode>,
    /// All transconductors.
    pub transconductors: Vec<Transconductor>,
    /// What is read and taught.
    pub output: Output,
    /// Weight of each node's equation that makes the coupling symmetric, 1 at the outputs; A² at the inputs of amplifiers of gain A.
    pub weight: Vec<f64>,
    /// Whether there are such weights: without transconductors, and with amplifiers that agree around every loop.
    pub reciprocal: bool,
    shapes: Arc<[ParameterShape]>,
}

impl Circuit {
    /// The circuit of a description.
    ///
    /// # Errors
    /// What is not legal, with its path.
    pub fn new(spec: &CircuitSpec) -> Result<Self, Invalid> {
        spec.validate()?;
        let spec = &spec.levelled();
        let names = Names::new(spec)?;
        let (mut resistors, mut diodes, mut transconductors) = (Vec::new(), Vec::new(), Vec::new());
        let mut shapes: Vec<ParameterShape> = Vec::new();
        for (i, element) in spec.elements.iter().enumerate() {
            let path = format!("elements[{i}].{}", element.kind());
            let ends = ends(&names, element).map_err(|e| e.under(&path))?;
            match element {
                ElementSpec::Resistors(r) => {
                    let group = resistor_group(r, ends, &mut shapes).map_err(|e| e.under(&path))?;
                    resistors.push(group);
                }
                ElementSpec::Diodes(d) => diodes.extend(diode_group(d, &ends, spec.temperature)),
                ElementSpec::Transconductors(t) => {
                    let transconductance = t.transconductance;
                    transconductors
                        .extend(ends.into_iter().map(|ends| Transconductor { ends, transconductance }));
                }
            }
        }
        if let Some(resistance) = spec.input.resistance {
            let behind = names.group("input", "input")?;
            let ends = behind.iter().enumerate().map(|(i, end)| [input_terminal(spec, i), *end]).collect();
            let start = [1.0 / resistance; 2];
            resistors.push(Resistors { name: "input.resistance".into(), ends, start, trainable: None });
        }
        let output = output(spec, &names)?;
        let Names { populations, free, .. } = names;
        check_paths(&free, &resistors, &diodes)?;
        refuse_overflow(&diodes)?;
        let (weight, reciprocal) = connected::weights(free.len(), &resistors, &diodes, &output);
        let reciprocal = reciprocal && transconductors.is_empty();
        Ok(Self {
            spec: spec.clone(),
            populations,
            free,
            resistors,
            diodes,
            transconductors,
            output,
            weight,
            reciprocal,
            shapes: shapes.into(),
        })
    }

    /// Names and forms of the parameters.
    #[must_use]
    pub fn shapes(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    /// Names of all resistors, then of all diodes.
    #[must_use]
    pub fn elements(&self) -> Vec<String> {
        let group = |group: &Resistors| -> Vec<String> {
            (0..group.ends.len()).map(|i| format!("{}[{i}]", group.name)).collect()
        };
        let resistors = self.resistors.iter().flat_map(group);
        resistors.chain(self.diodes.iter().map(|diode| diode.name.clone())).collect()
    }

    /// Number of inputs of a sample.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.spec.input.size
    }

    /// Number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.output.nodes.len()
    }

    /// Initial parameters from the seed.
    #[must_use]
    pub fn initial<T: Scalar>(&self, seed: u64) -> Parameters<T> {
        let mut parameters = Parameters::zeros(&self.shapes);
        for (place, group) in self.resistors.iter().enumerate() {
            let Some((index, trainable)) = group.trainable else { continue };
            let values = group.conductances(place, seed);
            let written = values.iter().map(|g| T::of(trainable.written(*g)));
            parameters.at_mut(index).iter_mut().zip(written).for_each(|(p, w)| *p = w);
        }
        parameters
    }

    /// Moves parameters that have left the range of their device to its end.
    pub fn confine(&self, parameters: &mut Parameters<f64>) {
        for group in &self.resistors {
            let Some((index, trainable)) = group.trainable else { continue };
            let [least, most] = trainable.range.map(|g| trainable.written(g));
            parameters.at_mut(index).iter_mut().for_each(|p| *p = p.clamp(least, most));
        }
    }

    /// The node without capacitance that a trajectory cannot be integrated with, if there is one.
    #[must_use]
    pub fn without_capacitance(&self) -> Option<&str> {
        self.free.iter().find(|node| node.capacitance == 0.0).map(|node| node.name.as_str())
    }
}

impl Resistors {
    /// Conductances at the start, in S: of a group at this place, by the seed.
    #[must_use]
    pub fn conductances(&self, place: usize, seed: u64) -> Vec<f64> {
        let [least, most] = self.start;
        let mut stream = stream(seed, Purpose::Initialisation, place as u64);
        let draw = |_| if least == most { least } else { stream.random_range(least..=most) };
        self.ends.iter().map(draw).collect()
    }
}

impl Trainable {
    /// What a parameter file says of a conductance in S.
    #[must_use]
    pub fn written(self, conductance: f64) -> f64 {
        match self.by {
            Learnt::Conductance => conductance,
            Learnt::Logarithm => conductance.ln(),
        }
    }

    /// The conductance, in S, that a number of a parameter file makes: within the range of the device.
    #[must_use]
    pub fn conductance(self, written: f64) -> f64 {
        let wanted = match self.by {
            Learnt::Conductance => written,
            Learnt::Logarithm => written.exp(),
        };
        wanted.clamp(self.range[0], self.range[1])
    }
}

fn ends(names: &Names, element: &ElementSpec) -> Result<Vec<[Terminal; 2]>, Invalid> {
    let (between, graph) = element.between();
    let [a, b] = between;
    let (from, to) = (names.group("between[0]", a)?, names.group("between[1]", b)?);
    let pairs = graph.pairs([from.len(), to.len()], a == b)?;
    let ends: Vec<[Terminal; 2]> = pairs.iter().map(|[i, j]| [from[*i], to[*j]]).collect();
    if let Some(place) = ends.iter().position(|[p, q]| p == q) {
        let [i, j] = pairs[place];
        let found = format!("found an element between {a}[{i}] and {b}[{j}], which are one node");
        return Err(Invalid::new("between", found, "two different nodes"));
    }
    if ends.is_empty() {
        return Err(Invalid::new("graph", "found no pair of nodes", "at least one"));
    }
    Ok(ends)
}

fn joined(name: Option<&String>, between: &[String; 2]) -> String {
    name.cloned().unwrap_or_else(|| between.join("-"))
}

fn resistor_group(
    spec: &ResistorsSpec,
    ends: Vec<[Terminal; 2]>,
    shapes: &mut Vec<ParameterShape>,
) -> Result<Resistors, Invalid> {
    let name = joined(spec.name.as_ref(), &spec.between);
    let trainable = spec.trainable.map(|trainable| (shapes.len(), trainable));
    if let Some((_, trainable)) = trainable {
        let what = match trainable.by {
            Learnt::Conductance => "conductance",
            Learnt::Logarithm => "log_conductance",
        };
        let parameter = format!("{name}.{what}");
        if name.contains(['.', '/']) || shapes.iter().any(|shape| shape.name == parameter) {
            let found = format!("found {name:?}");
            return Err(Invalid::new(
                "name",
                found,
                "trainable resistors have a name of their own, without `.` and `/`",
            ));
        }
        let form = Arrangement::Vector(ends.len());
        shapes.push(ParameterShape { name: parameter, role: Role::Synapses, form, start: Start::Zero });
    }
    Ok(Resistors { name, ends, start: spec.conductance.range(), trainable })
}

fn diode_group(spec: &DiodesSpec, ends: &[[Terminal; 2]], temperature: f64) -> Vec<Diode> {
    let name = joined(spec.name.as_ref(), &spec.between);
    let thermal = spec.ideality * BOLTZMANN * temperature / CHARGE;
    let one = |i: usize, ends: [Terminal; 2], back: &str| Diode {
        name: format!("{name}[{i}]{back}"),
        ends,
        saturation_current: spec.saturation_current,
        thermal,
        bias: spec.bias,
    };
    let mut diodes = Vec::new();
    for (i, [anode, cathode]) in ends.iter().enumerate() {
        diodes.push(one(i, [*anode, *cathode], ""));
        if spec.antiparallel {
            diodes.push(one(i, [*cathode, *anode], "'"));
        }
    }
    diodes
}

fn output(spec: &CircuitSpec, names: &Names) -> Result<Output, Invalid> {
    let nodes = names.group("output.from", &spec.output.from)?;
    let free = |t: &Terminal| t.free().filter(|_| t.gain == 1.0 && t.offset == 0.0);
    let Some(nodes) = nodes.iter().map(free).collect::<Option<Vec<usize>>>() else {
        let found = format!("found {:?}, which sources or amplifiers hold", spec.output.from);
        return Err(Invalid::new("output.from", found, "free nodes: a teaching current has to move them"));
    };
    let pairs = match spec.output.differential {
        false => nodes.iter().map(|i| (*i, None)).collect(),
        true if nodes.len() % 2 == 1 => {
            let found = format!("found true with {} nodes", nodes.len());
            return Err(Invalid::new("output.differential", found, "an even number of nodes"));
        }
        true => nodes.chunks_exact(2).map(|pair| (pair[0], Some(pair[1]))).collect(),
    };
    let CircuitSpec { output, .. } = spec;
    Ok(Output { nodes: pairs, cost: output.cost, volts: output.volts, nudging: output.nudging })
}

/// Refuses a diode across sources whose current is no number.
fn refuse_overflow(diodes: &[Diode]) -> Result<(), Invalid> {
    for diode in diodes {
        let [a, b] = diode.ends;
        if a.at != At::Ground || b.at != At::Ground {
            continue;
        }
        let volts = a.offset - b.offset - diode.bias;
        if !(diode.saturation_current * (volts / diode.thermal).exp()).is_finite() {
            let found = format!("found {volts} V across the diode {}: its current overflows", diode.name);
            return Err(Invalid::new("elements", found, "a resistor in series, or a lower voltage"));
        }
    }
    Ok(())
}
