//! A circuit with its sources and its drive as a SPICE netlist.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::circuit::{At, Terminal};
use super::model::CircuitCost;
use super::programmed::Programmed;
use crate::substrate::spice::{Run, spice_name};

/// A netlist in the making.
struct Netlist<'a> {
    programmed: &'a Programmed,
    inputs: &'a [f64],
    ends: HashMap<[u64; 4], String>,
    sources: String,
}

impl Netlist<'_> {
    /// The node of an end; what holds it is written where it is first named.
    fn node(&mut self, end: Terminal) -> String {
        let (kind, place) = match end.at {
            At::Free(i) if end.gain == 1.0 && end.offset == 0.0 => {
                return spice_name(&self.programmed.circuit().free[i].name);
            }
            At::Ground if end.offset == 0.0 => return "0".into(),
            At::Free(i) => (0, i),
            At::Input(k) => (1, k),
            At::Ground => (2, 0),
        };
        let key = [kind, place as u64, end.gain.to_bits(), end.offset.to_bits()];
        if let Some(name) = self.ends.get(&key) {
            return name.clone();
        }
        let name = format!("e{}", self.ends.len());
        self.ends.insert(key, name.clone());
        let (gain, offset) = (end.gain, end.offset);
        let line = match end.at {
            At::Input(k) => format!("V{name} {name} 0 DC {:.17e}\n", gain * self.inputs[k] + offset),
            At::Ground => format!("V{name} {name} 0 DC {offset:.17e}\n"),
            // Voltage gain A forwards, through an ammeter whose current, over A, is drawn from the node.
            At::Free(i) => {
                let node = spice_name(&self.programmed.circuit().free[i].name);
                format!(
                    "B{name} m{name} 0 V={gain:.17e}*V({node})+({offset:.17e})\nV{name} m{name} {name} DC 0\n\
                     F{name} {node} 0 V{name} {:.17e}\n",
                    1.0 / gain
                )
            }
        };
        self.sources.push_str(&line);
        name
    }
}

impl Programmed {
    /// The netlist of one sample, with its drive and `.tran`: for ngspice; LTspice and Xyce read it too.
    #[must_use]
    pub fn netlist(&self, inputs: &[f64], targets: &[f64], run: &Run) -> String {
        let circuit = self.circuit();
        let mut list = Netlist { programmed: self, inputs, ends: HashMap::new(), sources: String::new() };
        let mut text = run.beginning(&circuit.spec.name);
        let celsius = circuit.spec.temperature - 273.15;
        let _ = writeln!(text, ".options temp={celsius:.6} tnom={celsius:.6}");
        for (place, (group, conductances)) in circuit.resistors.iter().zip(self.conductances()).enumerate() {
            let _ = writeln!(text, "* resistors {}", group.name);
            for (i, ([a, b], g)) in group.ends.iter().zip(conductances).enumerate() {
                let (a, b) = (list.node(*a), list.node(*b));
                let _ = writeln!(text, "R{place}_{i} {a} {b} {:.17e}", 1.0 / g);
            }
        }
        for (i, (diode, junction)) in circuit.diodes.iter().zip(&self.junctions).enumerate() {
            let [mut a, b] = [list.node(junction.ends[0]), list.node(junction.ends[1])];
            if junction.bias != 0.0 {
                let _ = writeln!(text, "Vd{i} {a} d{i} DC {:.17e}", junction.bias);
                a = format!("d{i}");
            }
            // n from n V_t at the temperature of the circuit.
            let thermal = super::model::BOLTZMANN * circuit.spec.temperature / super::model::CHARGE;
            let (current, ideality) = (junction.law.saturation_current, junction.law.thermal / thermal);
            let _ =
                writeln!(text, "* diode {}\n.model md{i} D(IS={current:.17e} N={ideality:.17e})", diode.name);
            let _ = writeln!(text, "D{i} {a} {b} md{i}");
        }
        for (i, transconductor) in circuit.transconductors.iter().enumerate() {
            let [from, to] = transconductor.ends.map(|end| list.node(end));
            let _ = writeln!(text, "G{i} 0 {to} {from} 0 {:.17e}", transconductor.transconductance);
        }
        for (node, volts) in circuit.free.iter().zip(&run.start) {
            if node.capacitance > 0.0 {
                let name = spice_name(&node.name);
                let _ = writeln!(text, "C{name} {name} 0 {:.17e} IC={volts:.17e}", node.capacitance);
            }
        }
        text.push_str(&list.sources);
        text.push_str(&self.teaching_sources(targets, run));
        text + &run.ending()
    }

    /// The teaching currents −β g ∂C/∂V as behavioural sources.
    fn teaching_sources(&self, targets: &[f64], run: &Run) -> String {
        let circuit = self.circuit();
        let output = &circuit.output;
        let mut text = run.drive();
        let name = |i: usize| spice_name(&circuit.free[i].name);
        let read = |(a, b): &(usize, Option<usize>)| match b {
            Some(b) => format!("(V({})-V({}))", name(*a), name(*b)),
            None => format!("V({})", name(*a)),
        };
        if output.cost == CircuitCost::CrossEntropy {
            let all: Vec<String> = output
                .nodes
                .iter()
                .map(|nodes| format!("exp({}/{:.17e})", read(nodes), output.volts))
                .collect();
            let _ = writeln!(text, "Bsum softmax 0 V={}", all.join("+"));
        }
        for (k, (nodes, y)) in output.nodes.iter().zip(targets).enumerate() {
            let error = match output.cost {
                CircuitCost::SquaredError => format!("({}-({:.17e}))", read(nodes), output.volts * y),
                CircuitCost::CrossEntropy => format!(
                    "{:.17e}*(exp({}/{:.17e})/V(softmax)-({y:.17e}))",
                    output.volts,
                    read(nodes),
                    output.volts
                ),
            };
            let (a, b) = (name(nodes.0), nodes.1.map_or("0".into(), name));
            let _ = writeln!(text, "Bn{k} {a} {b} I={:.17e}*V(beta)*{error}", output.nudging);
        }
        text
    }
}
