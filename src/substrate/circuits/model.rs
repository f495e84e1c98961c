//! The description of a circuit: what its model file says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::imperfections::CircuitImperfections;
use crate::error::{Invalid, non_negative, positive};

/// More nodes than anyone can solve for.
const MOST_NODES: usize = 1 << 20;

/// The name of the reference node.
pub const GROUND: &str = "ground";
/// Boltzmann's constant, in J/K (exact in the SI since 2019).
pub const BOLTZMANN: f64 = 1.380_649e-23;
/// The elementary charge, in C (exact in the SI since 2019).
pub const CHARGE: f64 = 1.602_176_634e-19;

/// A circuit of nodes, elements and sources: the contents of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitSpec {
    /// Name shown in reports.
    pub name: String,
    /// The unit of all times in experiments (the nominal τ), in s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tau: f64,
    /// Temperature of diodes and resistors, in K.
    #[serde(default = "room")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: f64,
    /// Level of impedance: conductances, their ranges, saturation currents, transconductances, capacitances and `nudging` are divided by
    /// it, and the sources' resistances multiplied. Voltages and times stay as they are; power falls, and noise rises.
    #[serde(default = "unit", skip_serializing_if = "is_unit")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub impedance: f64,
    /// The clamped inputs.
    pub input: CircuitInput,
    /// Groups of nodes; `ground` is there without being named.
    #[schemars(length(min = 1))]
    pub nodes: Vec<NodesSpec>,
    /// Ideal voltage sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceSpec>,
    /// Bidirectional amplifiers: each makes another group of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amplifiers: Vec<AmplifierSpec>,
    /// The elements.
    pub elements: Vec<ElementSpec>,
    /// What is read and taught.
    pub output: CircuitOutput,
    /// What is imperfect.
    #[serde(default)]
    pub imperfections: CircuitImperfections,
}

/// Ideal voltage sources that hold the inputs, the group of nodes `input`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitInput {
    /// Number of inputs.
    #[schemars(range(min = 1))]
    pub size: usize,
    /// Volts of an input of 1.
    #[serde(default = "unit")]
    pub volts: f64,
    /// Volts of an input of 0.
    #[serde(default)]
    pub offset: f64,
    /// Whether there is a node of opposite sign for each: `input` then has twice as many, those of opposite sign last. A positive
    /// conductance can only pull towards a voltage; doubled inputs stand for both signs of a weight.
    #[serde(default)]
    pub doubled: bool,
    /// Resistance of each source, in Ω; null for ideal ones. With it the nodes `input` are free, and have a `capacitance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resistance: Option<f64>,
    /// Capacitance of each node behind a resistance, in F.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub capacitance: f64,
}

/// A group of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesSpec {
    /// Its name: node 0 of `h` is `h[0]`.
    pub name: String,
    /// Number of nodes.
    #[schemars(range(min = 1))]
    pub size: usize,
    /// Capacitance of each node to ground, in F; 0 is legal for what is only solved for equilibria.
    #[schemars(range(min = 0.0))]
    pub capacitance: f64,
}

/// An ideal voltage source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Its positive and its negative node, as `rail[0]` and `ground`.
    pub between: [String; 2],
    /// Its voltage, in V.
    pub voltage: f64,
}

/// Bidirectional amplifiers (Kendall et al. 2020, arXiv 2006.01981): the voltage of a node times A forwards, the current that is drawn
/// there over A backwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmplifierSpec {
    /// Name of the group of nodes at the amplifiers' outputs.
    pub name: String,
    /// The group of nodes at their inputs.
    pub of: String,
    /// Voltage gain A, positive or negative.
    pub gain: f64,
}

/// Elements of one kind between two groups of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ElementSpec {
    /// Linear resistors.
    Resistors(ResistorsSpec),
    /// Diodes.
    Diodes(DiodesSpec),
    /// Voltage-controlled current sources: ideal transconductors, which are not reciprocal.
    Transconductors(TransconductorsSpec),
}

/// Linear resistors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResistorsSpec {
    /// Name in parameter files and messages; left out, both groups: `input-h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The groups of nodes, or single nodes, that they connect.
    pub between: [String; 2],
    /// Which pairs of nodes have one.
    #[serde(default)]
    pub graph: Graph,
    /// Their conductance, in S; of trainable ones at the start.
    pub conductance: Conductance,
    /// How they learn; null for fixed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainable: Option<Trainable>,
}

/// Conductances, in S.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a conductance in S, or an object with the `least` and the `most`")]
pub enum Conductance {
    /// The same for all.
    Same(f64),
    /// Drawn from a uniform distribution, by the seed of the experiment.
    Uniform {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
}

/// How trainable resistors learn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trainable {
    /// The least and the largest conductance that the device can have, in S.
    pub range: [f64; 2],
    /// What the optimiser moves.
    #[serde(default)]
    pub by: Learnt,
}

/// The number that an optimiser moves and a parameter file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Learnt {
    /// G, in S: `input-h.conductance`.
    #[default]
    Conductance,
    /// ln(G / 1 S): `input-h.log_conductance`.
    Logarithm,
}

/// Shockley diodes: I = I_s (exp((V − V_b)/(n V_t)) − 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiodesSpec {
    /// Name in messages; left out, both groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Anodes and cathodes: the groups of nodes, or single nodes, that they connect.
    pub between: [String; 2],
    /// Which pairs of nodes have one.
    #[serde(default)]
    pub graph: Graph,
    /// Saturation current I_s, in A.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub saturation_current: f64,
    /// Ideality n.
    #[serde(default = "unit")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub ideality: f64,
    /// Voltage V_b of a source in series that works against the forward direction, in V.
    #[serde(default)]
    pub bias: f64,
    /// Whether each has a partner in the opposite direction, with a source of its own.
    #[serde(default)]
    pub antiparallel: bool,
}

/// Ideal transconductors: a current g_m V_from into each node of `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransconductorsSpec {
    /// The nodes whose voltage controls, and those that receive.
    pub between: [String; 2],
    /// Which pairs of nodes have one.
    #[serde(default)]
    pub graph: Graph,
    /// g_m, in S; of either sign.
    pub transconductance: f64,
}

/// What is read and taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitOutput {
    /// The group of nodes.
    pub from: String,
    /// Whether output k is the difference of the nodes 2k and 2k + 1, taught by opposite currents.
    #[serde(default)]
    pub differential: bool,
    /// What is minimised.
    pub cost: CircuitCost,
    /// Volts of a target of 1; with `cross_entropy` the V_s of softmax(V/V_s). The cost is in V².
    #[serde(default = "unit")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub volts: f64,
    /// g of the teaching current −β g ∂C/∂V, in S: β has no unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub nudging: f64,
}

/// The cost on the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitCost {
    /// ½ Σ (V − V_target)².
    SquaredError,
    /// −V_s² Σ y ln softmax(V/V_s).
    CrossEntropy,
}

fn room() -> f64 {
    300.0
}

fn unit() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_unit(factor: &f64) -> bool {
    *factor == 1.0
}

impl CircuitSpec {
    /// Checks the numbers; names and connections are [`super::circuit::Circuit::new`]'s.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        positive("tau", self.tau)?;
        positive("temperature", self.temperature)?;
        positive("impedance", self.impedance)?;
        self.input.validate().map_err(|e| e.under("input"))?;
        if self.nodes.is_empty() {
            return Err(Invalid::new("nodes", "found none", "at least one group of nodes"));
        }
        for (i, group) in self.nodes.iter().enumerate() {
            if group.size == 0 {
                return Err(Invalid::new(format!("nodes[{i}].size"), "found 0", "at least 1 node"));
            }
            non_negative(&format!("nodes[{i}].capacitance"), group.capacitance)?;
        }
        let nodes = self.nodes.iter().fold(self.input.size, |sum, group| sum.saturating_add(group.size));
        if nodes > MOST_NODES {
            let legal = format!("a circuit has at most {MOST_NODES}, inputs included: lower `size`");
            return Err(Invalid::new("nodes", format!("found {nodes} nodes"), legal));
        }
        for (i, source) in self.sources.iter().enumerate() {
            finite(&format!("sources[{i}].voltage"), source.voltage)?;
        }
        for (i, amplifier) in self.amplifiers.iter().enumerate() {
            let path = format!("amplifiers[{i}].gain");
            finite(&path, amplifier.gain)?;
            if amplifier.gain == 0.0 {
                return Err(Invalid::new(path, "found 0", "a gain that is not 0: its current gain is 1/A"));
            }
        }
        for (i, element) in self.elements.iter().enumerate() {
            let path = format!("elements[{i}].{}", element.kind());
            element.validate().map_err(|e| e.under(&path))?;
        }
        positive("output.volts", self.output.volts)?;
        positive("output.nudging", self.output.nudging)?;
        self.imperfections.validate().map_err(|e| e.under("imperfections"))
    }
}

impl CircuitSpec {
    /// The same circuit with its level of impedance worked in.
    #[must_use]
    pub fn levelled(&self) -> Self {
        let level = self.impedance;
        let mut spec = Self { impedance: 1.0, ..self.clone() };
        spec.input.resistance = spec.input.resistance.map(|r| r * level);
        spec.input.capacitance /= level;
        spec.nodes.iter_mut().for_each(|group| group.capacitance /= level);
        spec.output.nudging /= level;
        for element in &mut spec.elements {
            match element {
                ElementSpec::Resistors(r) => {
                    r.conductance = match r.conductance {
                        Conductance::Same(g) => Conductance::Same(g / level),
                        Conductance::Uniform { least, most } => {
                            Conductance::Uniform { least: least / level, most: most / level }
                        }
                    };
                    if let Some(trainable) = &mut r.trainable {
                        trainable.range = trainable.range.map(|g| g / level);
                    }
                }
                ElementSpec::Diodes(d) => d.saturation_current /= level,
                ElementSpec::Transconductors(t) => t.transconductance /= level,
            }
        }
        spec
    }
}

impl CircuitInput {
    fn validate(&self) -> Result<(), Invalid> {
        if self.size == 0 {
            return Err(Invalid::new("size", "found 0", "at least 1 input"));
        }
        finite("volts", self.volts)?;
        finite("offset", self.offset)?;
        non_negative("capacitance", self.capacitance)?;
        self.resistance.map_or(Ok(()), |r| positive("resistance", r))
    }
}

impl ElementSpec {
    /// The name of the kind in files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resistors(_) => "resistors",
            Self::Diodes(_) => "diodes",
            Self::Transconductors(_) => "transconductors",
        }
    }

    /// The groups that it connects, and which pairs.
    #[must_use]
    pub fn between(&self) -> (&[String; 2], &Graph) {
        match self {
            Self::Resistors(r) => (&r.between, &r.graph),
            Self::Diodes(d) => (&d.between, &d.graph),
            Self::Transconductors(t) => (&t.between, &t.graph),
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Resistors(r) => {
                r.conductance.validate()?;
                r.trainable.map_or(Ok(()), |t| t.validate(r.conductance))
            }
            Self::Diodes(d) => {
                positive("saturation_current", d.saturation_current)?;
                positive("ideality", d.ideality)?;
                finite("bias", d.bias)
            }
            Self::Transconductors(t) => finite("transconductance", t.transconductance),
        }
    }
}

impl Conductance {
    /// The least and the most, in S.
    #[must_use]
    pub fn range(self) -> [f64; 2] {
        match self {
            Self::Same(g) => [g, g],
            Self::Uniform { least, most } => [least, most],
        }
    }

    fn validate(self) -> Result<(), Invalid> {
        let [least, most] = self.range();
        if !(least > 0.0 && most.is_finite()) {
            let legal = "a conductance is a finite number of siemens greater than 0: no resistor is negative";
            return Err(Invalid::new("conductance", format!("found {least:e}"), legal));
        }
        if most < least {
            let found = format!("found {least:e} to {most:e}");
            return Err(Invalid::new("conductance", found, "`most` is not below `least`"));
        }
        Ok(())
    }
}

impl Trainable {
    fn validate(self, start: Conductance) -> Result<(), Invalid> {
        let [least, most] = self.range;
        if !(least > 0.0 && most.is_finite() && least < most) {
            let found = format!("found {least:e} to {most:e}");
            let legal = "two conductances in S, the first greater than 0 and below the second";
            return Err(Invalid::new("trainable.range", found, legal));
        }
        let [from, to] = start.range();
        if from < least || to > most {
            let found = format!("found {from:e} to {to:e}");
            return Err(Invalid::new("conductance", found, format!("within `range`, {least:e} to {most:e}")));
        }
        Ok(())
    }
}

/// Checks that a number is finite.
fn finite(path: &str, value: f64) -> Result<(), Invalid> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Invalid::new(path, format!("found {value}"), "it must be a finite number"))
    }
}
