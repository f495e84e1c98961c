//! What follows from which nodes are connected: paths to a source, and the weights that make the coupling symmetric.

use super::circuit::{Diode, FreeNode, Output, Resistors, Terminal};
use crate::error::Invalid;

/// Ends of all elements through which a current flows at rest.
fn conducting<'a>(
    resistors: &'a [Resistors],
    diodes: &'a [Diode],
) -> impl Iterator<Item = [Terminal; 2]> + 'a {
    let linear = resistors.iter().flat_map(|group| group.ends.iter().copied());
    linear.chain(diodes.iter().map(|diode| diode.ends))
}

/// For each free node its neighbours, with the gains at both ends.
fn neighbours(nodes: usize, elements: impl Iterator<Item = [Terminal; 2]>) -> Vec<Vec<(usize, f64, f64)>> {
    let mut all = vec![Vec::new(); nodes];
    for [a, b] in elements {
        if let (Some(i), Some(j)) = (a.free(), b.free()) {
            all[i].push((j, a.gain, b.gain));
            all[j].push((i, b.gain, a.gain));
        }
    }
    all
}

/// Refuses nodes from which no current can flow to a source or to ground.
pub(super) fn check_paths(
    free: &[FreeNode],
    resistors: &[Resistors],
    diodes: &[Diode],
) -> Result<(), Invalid> {
    let mut reached = vec![false; free.len()];
    let mut touched = reached.clone();
    let mut open = Vec::new();
    for [a, b] in conducting(resistors, diodes) {
        for (one, other) in [(a, b), (b, a)] {
            let Some(i) = one.free() else { continue };
            touched[i] = true;
            if other.free().is_none() && !reached[i] {
                reached[i] = true;
                open.push(i);
            }
        }
    }
    let all = neighbours(free.len(), conducting(resistors, diodes));
    while let Some(i) = open.pop() {
        for (j, _, _) in &all[i] {
            if !reached[*j] {
                reached[*j] = true;
                open.push(*j);
            }
        }
    }
    let Some(lost) = reached.iter().position(|reached| !reached) else { return Ok(()) };
    let name = &free[lost].name;
    let (found, legal) = if touched[lost] {
        let found =
            format!("found no path of resistors and diodes from node {name} to ground, an input or a source");
        (found, "every node has one, or its voltage is not defined")
    } else {
        (
            format!("found the floating node {name}: no element is connected to it"),
            "take it out, or connect it",
        )
    };
    Err(Invalid::new("elements", found, legal))
}

/// Weights of the nodes' equations, 1 at the outputs, with which ∂(current into i)/∂V_j is symmetric, and whether there are any:
/// an element between gains a and b draws 1/a and 1/b of its current, so that w_j/w_i = (b/a)².
pub(super) fn weights(
    nodes: usize,
    resistors: &[Resistors],
    diodes: &[Diode],
    output: &Output,
) -> (Vec<f64>, bool) {
    let all = neighbours(nodes, conducting(resistors, diodes));
    let mut weight: Vec<Option<f64>> = vec![None; nodes];
    let outputs = output.nodes.iter().flat_map(|(a, b)| [Some(*a), *b]).flatten();
    let mut symmetric = true;
    let outputs = outputs.map(|output| (output, true));
    for (start, is_output) in outputs.chain((0..nodes).map(|node| (node, false))) {
        if weight[start].is_some() {
            symmetric &= !is_output || weight[start] == Some(1.0);
            continue;
        }
        weight[start] = Some(1.0);
        let mut open = vec![start];
        while let Some(i) = open.pop() {
            let own = weight[i].unwrap_or(1.0);
            for (j, a, b) in &all[i] {
                let due = own * (b / a).powi(2);
                match weight[*j] {
                    None => {
                        weight[*j] = Some(due);
                        open.push(*j);
                    }
                    Some(known) => symmetric &= (known / due - 1.0).abs() < 1e-9,
                }
            }
        }
    }
    let weight = weight.into_iter().map(|w| if symmetric { w.unwrap_or(1.0) } else { 1.0 }).collect();
    (weight, symmetric)
}
