//! How far a substrate is from symmetric: measures of its Jacobian at unit gain, J = W − 1 (paper 2, Fig. 4).

use nalgebra::DMatrix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::homeostasis::Probes;
use crate::numerics::krylov::{eigenvalues, ritz_values};
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::network::Edge;

/// Neurons up to which J is held as a matrix.
const MOST_DENSE: usize = 2000;
/// Probes of the norm of a commutator that is not held as a matrix, and the weight update that they are drawn for.
const PROBES: (usize, u64) = (100, u64::MAX);
/// Products with J from which the outer eigenvalues of a large network are estimated.
const PRODUCTS: usize = 100;

/// What each epoch measures of J = W − 1, the coupling minus the leak: the Jacobian of the potentials where every neuron has unit gain,
/// ρ′ = 1. It is a property of the weights, the same for every sample; with convolutions it is that of the compared samples, by probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JacobianMeasures {
    /// Nothing.
    #[default]
    None,
    /// `feedback_angle`, `jacobian_symmetry` and `non_normality`.
    Norms,
    /// These and its `eigenvalues`; not with convolutions.
    Eigenvalues,
}

/// Measures of J = W − 1, W the effective coupling between all layers: the Jacobian at unit gain, not the one at an equilibrium,
/// −1 + W diag ρ′.
#[derive(Debug, Clone, PartialEq)]
pub struct Asymmetry {
    /// Angle between forward weights and transposed backward weights, all pairs together, in degrees; none without a pair.
    pub feedback_angle: Option<f64>,
    /// |S|/(|S| + |A|), S and A the symmetric and antisymmetric parts of J, Frobenius norms.
    pub symmetry: f64,
    /// |JJᵀ − JᵀJ|/|J|², Frobenius norms: zero for a normal J. Above 2000 neurons an estimate from 100 probes.
    pub non_normality: f64,
    /// Eigenvalues of J, real and imaginary part; above 2000 neurons, or where the QR iteration does not converge, 100 Ritz values, of
    /// which the outer ones approach eigenvalues.
    pub eigenvalues: Option<Vec<[f64; 2]>>,
}

impl Asymmetry {
    /// Measures a programmed network; none if nothing is asked for. `rates` are those of free equilibria, [n × samples] of each layer:
    /// with convolutions the Jacobian is taken there.
    #[must_use]
    pub fn measure<T: Scalar>(
        effective: &Effective<T>,
        measures: JacobianMeasures,
        rates: &[DMatrix<T>],
    ) -> Option<Self> {
        if measures == JacobianMeasures::None {
            return None;
        }
        if effective.network().shared().is_some() {
            return Some(Self::probed(effective, rates));
        }
        let overlaps = Overlaps::new(effective);
        let neurons = effective.network().neurons() as f64;
        let square = overlaps.norm - 2.0 * overlaps.trace + neurons;
        let trace_of_square = overlaps.trace_of_square - 2.0 * overlaps.trace + neurons;
        let [symmetric, antisymmetric] =
            [square + trace_of_square, square - trace_of_square].map(|twice| (0.5 * twice).max(0.0).sqrt());
        let dense = (effective.network().neurons() <= MOST_DENSE).then(|| jacobian(effective));
        let commutator = match &dense {
            Some(j) => (j * j.transpose() - j.tr_mul(j)).norm(),
            None => probed_commutator(effective),
        };
        let eigenvalues =
            || dense.and_then(all_eigenvalues).unwrap_or_else(|| outer_eigenvalues(effective, PRODUCTS));
        Some(Self {
            feedback_angle: overlaps.angle(),
            symmetry: symmetric / (symmetric + antisymmetric),
            non_normality: commutator / square,
            eigenvalues: (measures == JacobianMeasures::Eigenvalues).then(eigenvalues),
        })
    }
}

impl Asymmetry {
    /// The measures at free equilibria, from products with probes: [`PROBES`] of them or more, as many at each sample.
    fn probed<T: Scalar>(effective: &Effective<T>, rates: &[DMatrix<T>]) -> Self {
        let network = effective.network();
        let samples = rates[0].ncols();
        let at: Vec<T> = rates.iter().flat_map(|r| r.iter().copied()).collect();
        let shape = StateShape::new(network, samples, 1);
        let apply = |layout: Layout, v: &[T]| {
            let mut out: Vec<T> = v.iter().map(|x| -*x).collect();
            effective.multiply(&shape, layout, &at, v, &mut out);
            out
        };
        let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.double() * b.double()).sum::<f64>();
        let rounds = PROBES.0.div_ceil(samples);
        // |J|², tr J² and |JJᵀ − JᵀJ|², the means of |Jε|², (Jᵀε)ᵀ(Jε) and |(JJᵀ − JᵀJ)ε|².
        let mut sums = [0.0; 3];
        for round in 0..rounds {
            let probes = Probes::draw_at(network, (samples, &at), (0, PROBES.1), round as u64);
            let there = apply(Layout::Plain, probes.values());
            let back = apply(Layout::Transposed, probes.values());
            let commuted = apply(Layout::Plain, &back);
            let normal = apply(Layout::Transposed, &there);
            let difference: Vec<T> = commuted.iter().zip(&normal).map(|(a, b)| *a - *b).collect();
            sums[0] += dot(&there, &there);
            sums[1] += dot(&back, &there);
            sums[2] += dot(&difference, &difference);
        }
        let [square, trace_of_square, commutator] = sums.map(|sum| sum / (rounds * samples) as f64);
        let [symmetric, antisymmetric] =
            [square + trace_of_square, square - trace_of_square].map(|twice| (0.5 * twice).max(0.0).sqrt());
        Self {
            feedback_angle: angle_of_pairs(effective),
            symmetry: symmetric / (symmetric + antisymmetric),
            non_normality: commutator.sqrt() / square,
            eigenvalues: None,
        }
    }
}

/// Angle between the weights of all untied pairs, in degrees; none without a pair.
fn angle_of_pairs<T: Scalar>(effective: &Effective<T>) -> Option<f64> {
    let of = |wanted: &Edge| {
        let mut found = effective.recurrent().filter(|(_, edge, _)| edge.weight == wanted.weight);
        found.next().map_or(&[][..], |(_, _, synapses)| synapses.weights())
    };
    let [mut forward, mut backward, mut between] = [0.0; 3];
    for (there, back) in effective.network().untied_pairs() {
        let turned = back.interaction.as_feedback(of(back));
        for (w, b) in of(there).iter().zip(turned) {
            let (w, b) = (w.double(), b.double());
            forward += w * w;
            backward += b * b;
            between += w * b;
        }
    }
    let norms = (forward * backward).sqrt();
    (norms > 0.0).then(|| (between / norms).clamp(-1.0, 1.0).acos().to_degrees())
}

/// Inner products of the blocks of W.
#[derive(Debug, Default)]
struct Overlaps {
    /// |W|².
    norm: f64,
    /// tr W.
    trace: f64,
    /// tr W².
    trace_of_square: f64,
    /// |W_forward|² and |W_backward|² of the pairs.
    pairs: [f64; 2],
    /// Sum of W_forward ∘ W_backwardᵀ over the pairs.
    between: f64,
}

impl Overlaps {
    fn new<T: Scalar>(effective: &Effective<T>) -> Self {
        let mut sums = Self::default();
        for (from, edge, synapses) in effective.recurrent() {
            let norm: f64 = synapses.weights().iter().map(|w| w.double().powi(2)).sum();
            sums.norm += norm;
            if from == edge.to {
                synapses.entries(&mut |i, j, w| sums.trace += if i == j { w.double() } else { 0.0 });
            }
            let partner = effective.recurrent().find(|(f, e, _)| *f == edge.to && e.to == from);
            let Some((_, other, back)) = partner else { continue };
            let (rows, columns) =
                (effective.network().layers[edge.to].size, effective.network().layers[from].size);
            let mut block = DMatrix::<f64>::zeros(rows, columns);
            synapses.entries(&mut |receiver, sender, w| {
                block[edge.direction.orient(receiver, sender)] = w.double();
            });
            let mut overlap = 0.0;
            back.entries(&mut |receiver, sender, w| {
                let (i, j) = other.direction.orient(receiver, sender);
                overlap += block[(j, i)] * w.double();
            });
            // Every pair is met twice, once in either direction.
            sums.trace_of_square += overlap;
            if from < edge.to {
                sums.between += overlap;
                sums.pairs[0] += norm;
            } else if from > edge.to {
                sums.pairs[1] += norm;
            }
        }
        sums
    }

    fn angle(&self) -> Option<f64> {
        let norms = (self.pairs[0] * self.pairs[1]).sqrt();
        (norms > 0.0).then(|| (self.between / norms).clamp(-1.0, 1.0).acos().to_degrees())
    }
}

/// J = W − 1 as a matrix, [neurons × neurons], rows receiving.
#[must_use]
pub fn jacobian<T: Scalar>(effective: &Effective<T>) -> DMatrix<f64> {
    let layers = &effective.network().layers;
    let neurons = effective.network().neurons();
    let mut jacobian = -DMatrix::identity(neurons, neurons);
    for (from, edge, synapses) in effective.recurrent() {
        let (to, from) = (layers[edge.to].offset, layers[from].offset);
        synapses.entries(&mut |receiver, sender, w| {
            let (i, j) = edge.direction.orient(receiver, sender);
            jacobian[(to + i, from + j)] += w.double();
        });
    }
    jacobian
}

/// |JJᵀ − JᵀJ| from random probes, whose mean |(JJᵀ − JᵀJ)ε|² it is.
fn probed_commutator<T: Scalar>(effective: &Effective<T>) -> f64 {
    let (count, update) = PROBES;
    let shape = StateShape::new(effective.network(), count, 1);
    let probes = Probes::<T>::draw(effective.network(), count, (0, update));
    let apply = |layout: Layout, v: &[T]| {
        let mut out: Vec<T> = v.iter().map(|x| -*x).collect();
        effective.multiply(&shape, layout, &[], v, &mut out);
        out
    };
    let there = apply(Layout::Plain, &apply(Layout::Transposed, probes.values()));
    let back = apply(Layout::Transposed, &apply(Layout::Plain, probes.values()));
    let square: f64 = there.iter().zip(&back).map(|(a, b)| (*a - *b).double().powi(2)).sum();
    (square / count as f64).sqrt()
}

fn all_eigenvalues(j: DMatrix<f64>) -> Option<Vec<[f64; 2]>> {
    Some(eigenvalues(&j)?.iter().map(|z| [z.re, z.im]).collect())
}

fn outer_eigenvalues<T: Scalar>(effective: &Effective<T>, products: usize) -> Vec<[f64; 2]> {
    let shape = StateShape::new(effective.network(), 1, 1);
    let apply = |v: &[T], out: &mut [T]| {
        out.iter_mut().zip(v).for_each(|(o, x)| *o = -*x);
        effective.multiply(&shape, Layout::Plain, &[], v, out);
    };
    ritz_values(&shape, apply, products).iter().flatten().map(|z| [z.re, z.im]).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::substrate::neurons::form::Form;
    use crate::substrate::neurons::network::Network;
    use crate::substrate::parameters::Parameters;

    fn effective(sizes: [usize; 3], feedback: serde_json::Value) -> Effective<f64> {
        let model = json!({ "name": "any", "input": 2, "activation": "tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": sizes[0] }, { "name": "b", "size": sizes[1] }, { "name": "c", "size": sizes[2] }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": feedback },
                { "from": "b", "to": "c", "feedback": feedback }, { "from": "b", "to": "b" }] });
        let network = Arc::new(Network::new(&serde_json::from_value(model).unwrap()).unwrap());
        Effective::new(&network, Form::Potential, &Parameters::initial(network.shapes(), 3))
    }

    #[test]
    fn block_sums_are_those_of_the_whole_matrix() {
        let effective = effective([4, 5, 3], json!("independent"));
        let found = Asymmetry::measure(&effective, JacobianMeasures::Eigenvalues, &[]).unwrap();
        let j = jacobian(&effective);
        let (s, a) = ((&j + j.transpose()) * 0.5, (&j - j.transpose()) * 0.5);
        assert!((found.symmetry - s.norm() / (s.norm() + a.norm())).abs() < 1e-12);
        let square: f64 = found.eigenvalues.unwrap().iter().map(|[re, im]| re * re - im * im).sum();
        assert!((square - (&j * &j).trace()).abs() < 1e-10, "the eigenvalues of J² add up to its trace");
    }

    #[test]
    fn rotated_feedback_has_its_angle_and_tied_weights_have_a_normal_jacobian() {
        for angle in [0.0, 30.0, 60.0, 90.0] {
            let effective = effective([90, 80, 70], json!({ "rotated": { "angle": angle } }));
            let found = Asymmetry::measure(&effective, JacobianMeasures::Norms, &[]).unwrap();
            assert!((found.feedback_angle.unwrap() - angle).abs() < 2.0, "{angle}: {found:?}");
            assert_eq!(found.eigenvalues, None);
        }
        let model = json!({ "name": "tied", "input": 2, "activation": "tanh", "cost": "squared_error",
            "layers": [{ "name": "a", "size": 4 }, { "name": "b", "size": 3 }],
            "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b", "feedback": "tied" }] });
        let network = Arc::new(Network::new(&serde_json::from_value(model).unwrap()).unwrap());
        let tied =
            Effective::new(&network, Form::Potential, &Parameters::<f64>::initial(network.shapes(), 1));
        let found = Asymmetry::measure(&tied, JacobianMeasures::Norms, &[]).unwrap();
        assert!(found.feedback_angle.unwrap() < 1e-5 && found.symmetry > 1.0 - 1e-7, "{found:?}");
        assert!(found.non_normality < 1e-12, "{found:?}");
    }

    #[test]
    fn probes_find_the_norm_of_the_commutator_and_ritz_values_the_outer_eigenvalues() {
        let effective = effective([20, 15, 12], json!("independent"));
        let j = jacobian(&effective);
        let exact = (&j * j.transpose() - j.tr_mul(&j)).norm();
        let probed = probed_commutator(&effective);
        assert!((probed / exact - 1.0).abs() < 0.05, "{probed}, not {exact}");
        let farthest = |z: &mut dyn Iterator<Item = [f64; 2]>| {
            z.map(|[re, im]| (re + 1.0).hypot(im)).fold(0.0_f64, f64::max)
        };
        let exact = farthest(&mut all_eigenvalues(j).unwrap().into_iter());
        let found = farthest(&mut outer_eigenvalues(&effective, 30).into_iter());
        assert!((found / exact - 1.0).abs() < 0.02, "{found}, not {exact}");
    }
}
