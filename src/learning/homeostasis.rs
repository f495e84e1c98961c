//! Jacobian homeostasis: a loss on random probes that pulls the coupling towards symmetry (paper 2, section 4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Invalid, non_negative};
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
/// The expectation is |J − Jᵀ|²/(2n), Frobenius norm.
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

    /// Adds the gradient of this term, by the probes of a weight update, to a gradient.
    pub fn add_gradient<T: Scalar>(
        &self,
        effective: &Effective<T>,
        (seed, update): (u64, u64),
        gradient: &mut Parameters<T>,
    ) {
        let probes = Probes::draw(effective.network(), self.probes, (seed, update));
        probes.add_gradient(effective, self.coefficient, gradient);
    }
}

/// A number of probes ε, laid out as so many samples of a real state.
#[derive(Debug, Clone, PartialEq)]
pub struct Probes<T> {
    shape: StateShape,
    values: Vec<T>,
}

impl<T: Scalar> Probes<T> {
    /// Standard normal probes, fresh for every seed and weight update.
    #[must_use]
    pub fn draw(network: &Network, count: usize, (seed, update): (u64, u64)) -> Self {
        let shape = StateShape::new(network, count, 1);
        let key = NoiseKey::new(seed, Purpose::Homeostasis, update);
        let mut values = vec![T::zero(); shape.len()];
        for layer in 0..shape.layers() {
            key.normals(layer as u64, 0, &mut values[shape.layer(layer)]);
        }
        Self { shape, values }
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
            for (receiver, sender) in [(&post, &self.values), (&minus, &once)] {
                let (receiver, sender) = (&receiver[to.clone()], &sender[from.clone()]);
                match edge.direction {
                    Direction::Forward => synapses.contract_along(&[], receiver, sender, out),
                    Direction::Backward => synapses.contract_along(&[], sender, receiver, out),
                }
            }
        }
    }

    fn multiply(&self, effective: &Effective<T>, layout: Layout, v: &[T]) -> Vec<T> {
        let mut out = vec![T::zero(); v.len()];
        effective.multiply(&self.shape, layout, &[], v, &mut out);
        out
    }
}
