//! Jacobian homeostasis: a loss on random probes that pulls the coupling towards symmetry (paper 2, section 4).

use std::ops::Range;

use nalgebra::DMatrix;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
use crate::gradient::CHUNK;
use crate::host::crew::spread;
use crate::numerics::rng::{NoiseKey, Purpose};
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::interactions::Direction;
use crate::substrate::neurons::network::Network;
use crate::substrate::parameters::Parameters;

/// The homeostatic term of the cost: `coefficient` times L = E[|Jε|² − εᵀJ²ε]/n, ε standard normal.
///
/// J is the coupling between the neurons of all layers, with respect to their rates; the leak cancels. n is their number.
/// The expectation is |J − Jᵀ|²/(2n), Frobenius norm. Where a pooling makes J depend on the rates it is that of the free equilibria, which
/// are held fixed, and the mean is over the samples too; the pooling's curvature, a symmetric part of J, is left out: it cancels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Homeostasis {
    /// Factor on the homeostatic loss L beside the cost.
    #[schemars(range(min = 0.0))]
    pub coefficient: f64,
    /// Random probes ε of an update.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 10_000))]
    pub probes: usize,
}

fn five() -> usize {
    5
}

impl Homeostasis {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        non_negative("coefficient", self.coefficient)?;
        if !(1..=10_000).contains(&self.probes) {
            return Err(Invalid::new("probes", format!("found {}", self.probes), "1 to 10000 probes"));
        }
        Ok(())
    }

    /// Adds the gradient of this term, by the probes of a weight update, to a gradient. `rates` are those of the samples' free
    /// equilibria, [n × samples] of each layer: where the coupling depends on them, every sample has probes of its own.
    pub fn add_gradient<T: Scalar>(
        &self,
        effective: &Effective<T>,
        rates: &[DMatrix<T>],
        key: (u64, u64),
        gradient: &mut Parameters<T>,
    ) {
        let network = effective.network();
        if network.is_linear() {
            return Probes::draw(network, self.probes, key).add_gradient(
                effective,
                self.coefficient,
                gradient,
            );
        }
        let samples = rates[0].ncols();
        let starts: Vec<usize> = (0..samples).step_by(CHUNK).collect();
        let part = |start: &usize| {
            let count = CHUNK.min(samples - start);
            let at: Vec<T> = rates
                .iter()
                .flat_map(|r| &r.as_slice()[start * r.nrows()..][..count * r.nrows()])
                .copied()
                .collect();
            let share = self.coefficient * count as f64 / (samples * self.probes) as f64;
            let mut sum = Parameters::zeros(network.shapes());
            for probe in 0..self.probes {
                let lane = (start * self.probes + probe) as u64;
                Probes::draw_at(network, (count, &at), key, lane).add_gradient(effective, share, &mut sum);
            }
            sum
        };
        let parts: Vec<Parameters<T>> = spread(|| starts.par_iter().map(part).collect());
        parts.iter().for_each(|part| gradient.add_scaled(T::one(), part));
    }
}

/// A number of probes ε, laid out as so many samples of a real state.
#[derive(Debug, Clone, PartialEq)]
pub struct Probes<T> {
    shape: StateShape,
    values: Vec<T>,
    /// The free rates of each sample, where the coupling depends on them.
    at: Vec<T>,
}

impl<T: Scalar> Probes<T> {
    /// Standard normal probes of a linear coupling, fresh for every seed and weight update.
    #[must_use]
    pub fn draw(network: &Network, count: usize, key: (u64, u64)) -> Self {
        Self::draw_at(network, (count, &[]), key, 0)
    }

    /// The same at free rates, one probe for each sample; other lanes are other probes.
    #[must_use]
    pub fn draw_at(
        network: &Network,
        (count, at): (usize, &[T]),
        (seed, update): (u64, u64),
        lane: u64,
    ) -> Self {
        let shape = StateShape::new(network, count, 1);
        let key = NoiseKey::new(seed, Purpose::Homeostasis, update);
        let mut values = vec![T::zero(); shape.len()];
        for layer in 0..shape.layers() {
            key.normals(layer as u64, lane, &mut values[shape.layer(layer)]);
        }
        Self { shape, values, at: at.to_vec() }
    }

    /// The probes, laid out as a real state of so many samples.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// L at each probe: (|Jε|² − εᵀJ²ε)/n.
    #[must_use]
    pub fn losses(&self, effective: &Effective<T>) -> Vec<f64> {
        let once = self.multiply(effective, Layout::Plain, &self.values);
        let twice = self.multiply(effective, Layout::Plain, &once);
        let mut losses = vec![0.0; self.shape.batch];
        for (probe, loss) in losses.iter_mut().enumerate() {
            for place in (0..self.shape.layers()).flat_map(|layer| self.shape.column(layer, 0, probe)) {
                *loss += (once[place] * once[place] - self.values[place] * twice[place]).double();
            }
            *loss /= self.shape.neurons() as f64;
        }
        losses
    }

    /// Adds `factor` times the gradient of the mean of [`Self::losses`].
    ///
    /// ∂L/∂J = [2 (Jε) εᵀ − (Jᵀε) εᵀ − ε (Jε)ᵀ]/n, of which each connection takes its block: a connection without partner needs none.
    pub fn add_gradient(&self, effective: &Effective<T>, factor: f64, gradient: &mut Parameters<T>) {
        let shape = &self.shape;
        let once = self.multiply(effective, Layout::Plain, &self.values);
        let back = self.multiply(effective, Layout::Transposed, &self.values);
        let scale = T::of(factor / (shape.neurons() * shape.batch) as f64);
        let post: Vec<T> = once.iter().zip(&back).map(|(y, z)| scale * (*y + *y - *z)).collect();
        let minus: Vec<T> = self.values.iter().map(|e| -scale * *e).collect();
        for (from, edge, synapses) in effective.recurrent() {
            let (to, from) = (shape.layer(edge.to), shape.layer(from));
            let out = gradient.at_mut(edge.weight);
            let at = |layer: &Range<usize>| self.at.get(layer.clone()).unwrap_or_default();
            for (receiver, sender) in [(&post, &self.values), (&minus, &once)] {
                let (receiver, sender) = (&receiver[to.clone()], &sender[from.clone()]);
                match edge.direction {
                    Direction::Forward => synapses.contract_along(at(&from), receiver, sender, out),
                    Direction::Backward => synapses.contract_along(at(&to), sender, receiver, out),
                }
            }
        }
    }

    fn multiply(&self, effective: &Effective<T>, layout: Layout, v: &[T]) -> Vec<T> {
        let mut out = vec![T::zero(); v.len()];
        effective.exchange(&self.shape, layout, &self.at, v, &mut out);
        out
    }
}
