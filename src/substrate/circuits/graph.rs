//! Which pairs of nodes an element connects.

use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::numerics::rng::{Purpose, stream};

/// Pairs that are gone through: more would not fit into memory as elements.
const MOST_PAIRS: usize = 1 << 22;

/// Which pairs of nodes of two groups are connected, or of one group with itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Graph {
    /// Every pair; within a group each once.
    #[default]
    Dense,
    /// Node i with node i; two groups of one size.
    Paired,
    /// Node i with node i + 1 to the right and with the one below, in a group of width × height nodes, row by row.
    Lattice {
        /// Nodes of a row.
        width: usize,
    },
    /// So many of all pairs, drawn by a seed of the model.
    Random {
        /// Number of pairs.
        count: usize,
        /// Seed.
        #[serde(default)]
        seed: u64,
    },
    /// These pairs of places in the two groups.
    Edges(Vec<[usize; 2]>),
}

impl Graph {
    /// The pairs of places in groups of these sizes; `within` if they are one group.
    ///
    /// # Errors
    /// What does not fit the groups.
    pub(super) fn pairs(&self, sizes: [usize; 2], within: bool) -> Result<Vec<[usize; 2]>, Invalid> {
        let [a, b] = sizes;
        let refuse = |found: String, legal: String| Err(Invalid::new("graph", found, legal));
        if matches!(self, Self::Dense | Self::Random { .. }) && a.saturating_mul(b) > MOST_PAIRS {
            let legal = format!("an element has at most {MOST_PAIRS}: lower `size`, or name the `edges`");
            return refuse(format!("found {a} and {b} nodes, of which every pair counts"), legal);
        }
        match self {
            Self::Dense => Ok(all(sizes, within)),
            Self::Paired if within => {
                refuse("found paired within one group".into(), "two groups of one size".into())
            }
            Self::Paired if a != b => {
                refuse(format!("found paired between {a} and {b} nodes"), "two groups of one size".into())
            }
            Self::Paired => Ok((0..a).map(|i| [i, i]).collect()),
            Self::Lattice { width } => {
                if !within || *width == 0 || !a.is_multiple_of(*width) {
                    let found = format!("found a lattice of width {width} on {a} and {b} nodes");
                    return refuse(found, "one group of width × height nodes".into());
                }
                let right = (0..a).filter(|i| (i + 1) % width != 0).map(|i| [i, i + 1]);
                let below = (0..a - width).map(|i| [i, i + width]);
                Ok(right.chain(below).collect())
            }
            Self::Random { count, seed } => {
                let mut pairs = all(sizes, within);
                if *count > pairs.len() {
                    return refuse(format!("found {count} pairs"), format!("at most {}", pairs.len()));
                }
                pairs.shuffle(&mut stream(*seed, Purpose::Pattern, 0));
                pairs.truncate(*count);
                pairs.sort_unstable();
                Ok(pairs)
            }
            Self::Edges(edges) => {
                let outside = edges.iter().position(|[i, j]| *i >= a || *j >= b || within && i == j);
                if let Some(place) = outside {
                    let [i, j] = edges[place];
                    let found = format!("found [{i}, {j}] as edge {place}");
                    return refuse(found, format!("two different nodes, below {a} and below {b}"));
                }
                Ok(edges.clone())
            }
        }
    }
}

fn all([a, b]: [usize; 2], within: bool) -> Vec<[usize; 2]> {
    (0..a).flat_map(|i| (if within { i + 1 } else { 0 }..b).map(move |j| [i, j])).collect()
}
