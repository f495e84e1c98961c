//! From names of nodes to what holds or integrates their voltage.

use std::collections::HashMap;

use super::circuit::{At, FreeNode, Terminal};
use super::model::{CircuitSpec, GROUND};
use crate::error::Invalid;
use crate::json::wording;
use crate::substrate::Population;
use crate::substrate::neurons::model::INPUT;

/// A node before sources have joined some of them: V = V_parent + offset.
struct Raw {
    name: String,
    group: usize,
    parent: usize,
    offset: f64,
    fixed: Option<Terminal>,
    capacitance: f64,
}

/// The nodes of a circuit by name.
pub(super) struct Names {
    groups: Vec<(String, Vec<Terminal>)>,
    /// The groups of free nodes.
    pub populations: Vec<Population>,
    /// The free nodes, in the order of the state.
    pub free: Vec<FreeNode>,
}

impl Names {
    /// Names all nodes, joins those between which there is a source, and adds the amplifiers' outputs.
    ///
    /// # Errors
    /// A name that is there twice or not at all, or a loop of voltage sources.
    pub fn new(spec: &CircuitSpec) -> Result<Self, Invalid> {
        check_names(spec)?;
        let (mut raw, groups) = raw_nodes(spec);
        for (i, source) in spec.sources.iter().enumerate() {
            join(&mut raw, &groups, i, source.voltage, &source.between)?;
        }
        let mut names = Self { groups: Vec::new(), populations: Vec::new(), free: Vec::new() };
        let mut place = HashMap::new();
        for (group, (name, range)) in groups.iter().enumerate() {
            let own = range.clone().filter(|i| raw[*i].parent == *i && raw[*i].fixed.is_none());
            let own: Vec<usize> = own.collect();
            for i in &own {
                place.insert(*i, names.free.len());
                names.free.push(FreeNode { name: raw[*i].name.clone(), capacitance: 0.0 });
            }
            if !own.is_empty() {
                debug_assert!(own.iter().all(|i| raw[*i].group == group));
                names.populations.push(Population { name: name.clone(), size: own.len(), bounded: false });
            }
        }
        let terminals: Vec<Terminal> = (0..raw.len()).map(|i| terminal(&raw, &place, i)).collect();
        for (node, terminal) in raw.iter().zip(&terminals) {
            if let At::Free(i) = terminal.at {
                names.free[i].capacitance += node.capacitance;
            }
        }
        names.groups = groups.into_iter().map(|(name, range)| (name, terminals[range].to_vec())).collect();
        for (i, amplifier) in spec.amplifiers.iter().enumerate() {
            let path = format!("amplifiers[{i}].of");
            let of = names.group(&path, &amplifier.of)?;
            let amplified = of.iter().map(|t| t.amplified(amplifier.gain)).collect();
            names.groups.push((amplifier.name.clone(), amplified));
        }
        Ok(names)
    }

    /// The terminals of a group (`h`) or of one node (`h[3]`).
    ///
    /// # Errors
    /// If there is no such node.
    pub fn group(&self, path: &str, reference: &str) -> Result<Vec<Terminal>, Invalid> {
        let (name, index) = split(reference);
        let Some((_, terminals)) = self.groups.iter().find(|(group, _)| group == name) else {
            let all: Vec<&str> = self.groups.iter().map(|(name, _)| name.as_str()).collect();
            let legal = format!("a group of nodes ({}), or one node of it as `h[0]`", all.join(", "));
            let legal = wording::suggest(name, all, &legal);
            return Err(Invalid::new(path, format!("found {reference:?}"), legal));
        };
        match index {
            None => Ok(terminals.clone()),
            Some(index) => index.and_then(|i| terminals.get(i).copied()).map(|t| vec![t]).ok_or_else(|| {
                let legal = format!("{name}[0] to {name}[{}]", terminals.len() - 1);
                Invalid::new(path, format!("found {reference:?}"), legal)
            }),
        }
    }
}

/// Name of a group and place in it, if one is named: none of that if it is no number.
fn split(reference: &str) -> (&str, Option<Option<usize>>) {
    match reference.split_once('[') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(']').and_then(|i| i.parse().ok()))),
        None => (reference, None),
    }
}

fn check_names(spec: &CircuitSpec) -> Result<(), Invalid> {
    let nodes = spec.nodes.iter().enumerate().map(|(i, g)| (format!("nodes[{i}].name"), &g.name));
    let amplifiers =
        spec.amplifiers.iter().enumerate().map(|(i, a)| (format!("amplifiers[{i}].name"), &a.name));
    let mut seen = vec![GROUND.to_owned(), INPUT.to_owned()];
    for (path, name) in nodes.chain(amplifiers) {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            let found = format!("found {name:?}");
            return Err(Invalid::new(path, found, "a name of letters, digits and `_`"));
        }
        if seen.contains(name) {
            let found = format!("found {name:?} a second time");
            return Err(Invalid::new(
                path,
                found,
                "each group of nodes, `ground` and `input` have a name of their own",
            ));
        }
        seen.push(name.clone());
    }
    Ok(())
}

type Groups = Vec<(String, std::ops::Range<usize>)>;

/// Ground, inputs and groups of nodes, one after the other.
fn raw_nodes(spec: &CircuitSpec) -> (Vec<Raw>, Groups) {
    let (mut raw, mut groups): (Vec<Raw>, Groups) = (Vec::new(), Vec::new());
    let input = &spec.input;
    let mut add = |name: &str, size: usize, capacitance: f64, fixed: &dyn Fn(usize) -> Option<Terminal>| {
        let (start, group) = (raw.len(), groups.len());
        for i in 0..size {
            let name = if name == GROUND { name.to_owned() } else { format!("{name}[{i}]") };
            let parent = start + i;
            raw.push(Raw { name, group, parent, offset: 0.0, fixed: fixed(i), capacitance });
        }
        groups.push((name.to_owned(), start..raw.len()));
    };
    add(GROUND, 1, 0.0, &|_| Some(Terminal { at: At::Ground, gain: 1.0, offset: 0.0 }));
    let held = |i: usize| Some(input_terminal(spec, i));
    let count = input.size * if input.doubled { 2 } else { 1 };
    match input.resistance {
        None => add(INPUT, count, 0.0, &held),
        Some(_) => add(INPUT, count, input.capacitance, &|_| None),
    }
    for group in &spec.nodes {
        add(&group.name, group.size, group.capacitance, &|_| None);
    }
    (raw, groups)
}

/// The ideal source of an input node.
pub(super) fn input_terminal(spec: &CircuitSpec, i: usize) -> Terminal {
    let sign = if i < spec.input.size { 1.0 } else { -1.0 };
    let at = At::Input(i % spec.input.size);
    Terminal { at, gain: sign * spec.input.volts, offset: sign * spec.input.offset }
}

/// The node at the root, and how far above it a node is.
fn root(raw: &[Raw], mut i: usize) -> (usize, f64) {
    let mut above = 0.0;
    while raw[i].parent != i {
        above += raw[i].offset;
        i = raw[i].parent;
    }
    (i, above)
}

fn join(
    raw: &mut [Raw],
    groups: &Groups,
    place: usize,
    volts: f64,
    between: &[String; 2],
) -> Result<(), Invalid> {
    let mut ends = [(0, 0.0); 2];
    for (k, name) in between.iter().enumerate() {
        let (group, index) = split(name);
        let range = groups.iter().find(|(known, _)| known == group).map(|(_, range)| range.clone());
        let index = if group == GROUND && index.is_none() { Some(Some(0)) } else { index };
        let node = range.zip(index.flatten()).filter(|(range, i)| *i < range.len());
        let Some((range, i)) = node else {
            let path = format!("sources[{place}].between[{k}]");
            return Err(Invalid::new(path, format!("found {name:?}"), "one node, as `h[0]` or `ground`"));
        };
        ends[k] = root(raw, range.start + i);
    }
    let [(plus, above_plus), (minus, above_minus)] = ends;
    let fixed = |i: usize| raw[i].fixed.is_some();
    if plus == minus || fixed(plus) && fixed(minus) {
        let found =
            format!("found a source between {} and {}, which others hold already", between[0], between[1]);
        return Err(Invalid::new(
            format!("sources[{place}]"),
            found,
            "no loop of voltage sources: take one of them out",
        ));
    }
    // V_plus + above_plus = V_minus + above_minus + volts.
    let gap = volts + above_minus - above_plus;
    if fixed(plus) {
        (raw[minus].parent, raw[minus].offset) = (plus, -gap);
    } else {
        (raw[plus].parent, raw[plus].offset) = (minus, gap);
    }
    Ok(())
}

fn terminal(raw: &[Raw], place: &HashMap<usize, usize>, i: usize) -> Terminal {
    let (root, above) = root(raw, i);
    let at =
        raw[root].fixed.unwrap_or_else(|| Terminal { at: At::Free(place[&root]), gain: 1.0, offset: 0.0 });
    Terminal { offset: at.offset + above, ..at }
}
