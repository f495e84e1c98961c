//! Limited fan-in: A_W(a) = W a with W zero outside a pattern, as in crossbars whose neurons have few synapses each.

use rand::seq::index;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Coupling, Direction, Geometry, Wanted};
use crate::error::Invalid;
use crate::numerics::rng::{self, Purpose};
use crate::numerics::scalar::Scalar;

/// Which synapses a sparse connection has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct SparseSpec {
    /// Synapses of each receiving neuron, drawn without repetition, at most as many as there are sending neurons; this, `pattern` or
    /// `mask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub fan_in: Option<usize>,
    /// Seed of the drawn pattern, which belongs to the model, not to the run.
    #[serde(default)]
    pub seed: u64,
    /// For each receiving neuron its sending neurons, counted from 0; this, `fan_in` or `mask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Vec<Vec<usize>>>,
    /// Path of the pattern as comma-separated values, relative to the file that this is written in: a row for each receiving neuron, a
    /// column for each sending one, 1 where there is a synapse and 0 elsewhere. A run writes it out as `pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

/// Synapses that a mask may have: a run writes the pattern into its experiment.
const MOST_OF_A_MASK: usize = 500_000;

impl SparseSpec {
    /// The pattern of a mask, [receivers × senders] row by row.
    ///
    /// # Errors
    /// The first finding, with its place in the mask.
    pub fn pattern_of(
        mask: &[Vec<f64>],
        receivers: usize,
        senders: usize,
    ) -> Result<Vec<Vec<usize>>, Invalid> {
        let columns = mask.first().map_or(0, Vec::len);
        if (mask.len(), columns) != (receivers, senders) {
            let found = format!("found {} rows of {columns}", mask.len());
            let legal = format!("{receivers} rows, the receiving neurons, of {senders}, the sending ones");
            return Err(Invalid::new("", found, legal));
        }
        for (row, entries) in mask.iter().enumerate() {
            if let Some(column) = entries.iter().position(|entry| *entry != 0.0 && *entry != 1.0) {
                let place = format!("row {}, column {}", row + 1, column + 1);
                let found = format!("found {}", entries[column]);
                return Err(Invalid::new(place, found, "1 where there is a synapse, otherwise 0"));
            }
        }
        let senders = |row: &Vec<f64>| (0..row.len()).filter(|sender| row[*sender] == 1.0).collect();
        let pattern: Vec<Vec<usize>> = mask.iter().map(senders).collect();
        match pattern.iter().map(Vec::len).sum() {
            0 => Err(Invalid::new("", "found no synapse", "at least one 1; a row may be of zeros")),
            synapses if synapses > MOST_OF_A_MASK => {
                let found = format!("found {synapses} synapses");
                Err(Invalid::new("", found, format!("at most {MOST_OF_A_MASK}: use a dense connection")))
            }
            _ => Ok(pattern),
        }
    }

    /// Checks the pattern against the sizes of the layers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(&self, receivers: usize, senders: usize) -> Result<(), Invalid> {
        let said = [
            ("fan_in", self.fan_in.is_some()),
            ("pattern", self.pattern.is_some()),
            ("mask", self.mask.is_some()),
        ];
        let said: Vec<&str> = said.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| *name).collect();
        if let [first, second, ..] = said[..] {
            let found = format!("found both `{first}` and `{second}`");
            return Err(Invalid::new("", found, "one of the three: `fan_in`, `pattern` or `mask`"));
        }
        let rows = match (self.fan_in, &self.pattern) {
            (Some(fan_in), _) if (1..=senders).contains(&fan_in) => return Ok(()),
            (Some(fan_in), _) => {
                let found = format!("found {fan_in}");
                return Err(Invalid::new("fan_in", found, format!("1 to {senders}, the sending neurons")));
            }
            (None, Some(rows)) => rows,
            (None, None) if self.mask.is_some() => {
                let legal = "load the model from a file, or give the `pattern` of a mask";
                return Err(Invalid::new("mask", "found a mask that has not been read", legal));
            }
            (None, None) => {
                return Err(Invalid::new(
                    "",
                    "found neither `fan_in`, `pattern` nor `mask`",
                    "one of the three",
                ));
            }
        };
        if rows.len() != receivers {
            let found = format!("found {} lists for {receivers} receiving neurons", rows.len());
            return Err(Invalid::new("pattern", found, "one list of senders for each"));
        }
        for (row, list) in rows.iter().enumerate() {
            let mut seen = std::collections::HashSet::new();
            for (k, sender) in list.iter().enumerate() {
                if *sender >= senders || !seen.insert(sender) {
                    let legal = format!("different senders, each below {senders}");
                    return Err(Invalid::new(
                        format!("pattern[{row}][{k}]"),
                        format!("found {sender}"),
                        legal,
                    ));
                }
            }
        }
        if rows.iter().all(Vec::is_empty) {
            return Err(Invalid::new("pattern", "found no synapse", "at least one"));
        }
        Ok(())
    }

    /// Number of synapses between so many receivers and whatever sends, of a validated description.
    #[must_use]
    pub fn synapses(&self, receivers: usize) -> usize {
        let listed = || self.pattern.iter().flatten().map(Vec::len).sum();
        self.fan_in.map_or_else(listed, |fan_in| fan_in.saturating_mul(receivers))
    }

    /// The sized interaction of a validated description. `place` tells the connections of a model apart.
    #[must_use]
    pub fn build(&self, receivers: usize, senders: usize, place: usize) -> Sparse {
        let drawn = |row: usize| {
            let item = ((place as u64) << 32) | row as u64;
            let mut stream = rng::stream(self.seed, Purpose::Pattern, item);
            let fan_in = self.fan_in.unwrap_or_default();
            let mut row = index::sample(&mut stream, senders, fan_in).into_vec();
            row.sort_unstable();
            row
        };
        let rows: Vec<Vec<usize>> = match &self.pattern {
            Some(rows) => {
                let sorted = |row: &Vec<usize>| {
                    let mut row = row.clone();
                    row.sort_unstable();
                    row
                };
                rows.iter().map(sorted).collect()
            }
            None => (0..receivers).map(drawn).collect(),
        };
        Sparse::new(senders, &rows)
    }
}

/// A sparse interaction in compressed rows; its weights follow receiver by receiver, senders ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    senders: usize,
    /// Where the synapses of each receiver begin, and where the last ones end.
    begins: Vec<usize>,
    /// Sender of each synapse.
    from: Vec<usize>,
}

impl Sparse {
    /// The interaction in which each receiver has the senders of one row.
    #[must_use]
    pub fn new(senders: usize, rows: &[Vec<usize>]) -> Self {
        let mut begins = vec![0];
        begins.extend(rows.iter().scan(0, |sum, row| {
            *sum += row.len();
            Some(*sum)
        }));
        Self { senders, begins, from: rows.concat() }
    }

    /// The same with sender and receiver exchanged.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut rows = vec![Vec::new(); self.senders];
        self.ends().for_each(|(receiver, sender)| rows[sender].push(receiver));
        Self::new(self.receivers(), &rows)
    }

    /// Each receiver with the range of its synapses.
    fn rows(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
        self.begins.windows(2).map(|pair| pair[0]..pair[1]).enumerate()
    }
}

impl Geometry for Sparse {
    fn receivers(&self) -> usize {
        self.begins.len() - 1
    }

    fn senders(&self) -> usize {
        self.senders
    }

    fn weights(&self) -> usize {
        self.from.len()
    }

    fn fan_in(&self) -> usize {
        self.from.len().div_ceil(self.receivers())
    }

    fn dimensions(&self) -> Vec<usize> {
        vec![self.receivers(), self.senders]
    }

    fn places(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        Box::new(self.ends().map(|(receiver, sender)| receiver * self.senders + sender))
    }

    fn ends(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_> {
        Box::new(
            self.rows().flat_map(|(receiver, range)| self.from[range].iter().map(move |s| (receiver, *s))),
        )
    }

    fn feedback_order(&self) -> Vec<usize> {
        let mut next = vec![0; self.senders + 1];
        self.from.iter().for_each(|sender| next[sender + 1] += 1);
        (0..self.senders).for_each(|sender| next[sender + 1] += next[sender]);
        let mut place = |sender: &usize| {
            next[*sender] += 1;
            next[*sender] - 1
        };
        self.from.iter().map(&mut place).collect()
    }
}

/// Weights of a sparse interaction.
#[derive(Debug, Clone)]
pub struct Weights<T> {
    pattern: Sparse,
    values: Vec<T>,
}

impl<T: Scalar> Weights<T> {
    /// All zero.
    #[must_use]
    pub fn new(pattern: Sparse) -> Self {
        let values = vec![T::zero(); pattern.weights()];
        Self { pattern, values }
    }
}

impl<T: Scalar> Coupling<T> for Weights<T> {
    fn weights(&self) -> &[T] {
        &self.values
    }

    fn weights_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    fn prepare(&mut self, _: Wanted) {}

    fn forward(&self, a: &[T], _: usize, out: &mut [T]) {
        let pattern = &self.pattern;
        let columns = a.chunks_exact(pattern.senders).zip(out.chunks_exact_mut(pattern.receivers()));
        for (a, out) in columns {
            for ((_, range), o) in pattern.rows().zip(out) {
                let synapses = self.values[range.clone()].iter().zip(&pattern.from[range]);
                *o = synapses.fold(*o, |sum, (w, sender)| w.mul_add(a[*sender], sum));
            }
        }
    }

    fn pull_back(&self, _: &[T], v: &[T], _: usize, out: &mut [T]) {
        let pattern = &self.pattern;
        let columns = v.chunks_exact(pattern.receivers()).zip(out.chunks_exact_mut(pattern.senders));
        for (v, out) in columns {
            for ((_, range), v) in pattern.rows().zip(v) {
                for (w, sender) in self.values[range.clone()].iter().zip(&pattern.from[range]) {
                    out[*sender] = w.mul_add(*v, out[*sender]);
                }
            }
        }
    }

    fn contract(&self, a: &[T], v: &[T], out: &mut [T]) {
        let pattern = &self.pattern;
        let columns = a.chunks_exact(pattern.senders).zip(v.chunks_exact(pattern.receivers()));
        for (a, v) in columns {
            for ((_, range), v) in pattern.rows().zip(v) {
                for (o, sender) in out[range.clone()].iter_mut().zip(&pattern.from[range]) {
                    *o += *v * a[*sender];
                }
            }
        }
    }

    fn add_power(&self, direction: Direction, re: &[T], im: &[T], power: &mut [[T; 3]]) {
        for (receiver, sender) in self.pattern.ends() {
            let (to, from) = direction.orient(receiver, sender);
            let x = re[from];
            power[to][0] += x * x;
            if let Some(y) = im.get(from) {
                power[to][1] += *y * *y;
                power[to][2] += x * *y;
            }
        }
    }

    fn entries(&self, entry: &mut dyn FnMut(usize, usize, T)) {
        for ((receiver, sender), w) in self.pattern.ends().zip(&self.values) {
            entry(receiver, sender, *w);
        }
    }
}
