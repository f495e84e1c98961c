//! Interactions: what a connection between two layers computes.
//!
//! A connection from a layer s to a layer r has the energy φ(a_s, a_r; W) = ⟨A_W(a_s), a_r⟩, without conjugation. It sends A_W(a_s)
//! forward and (∂A_W/∂a_s)ᵀ a_r backward; a directed connection sends forward only. Whoever works with connections speaks to
//! [`Coupling`] and [`Interaction`] and knows nothing of how the weights lie in memory.

pub mod conv;
pub mod dense;
pub mod sparse;

use num_complex::Complex;

use crate::numerics::scalar::Scalar;

pub use conv::Conv;
pub use dense::Dense;
pub use sparse::Sparse;

/// An interaction between two sized layers, without its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Interaction {
    /// Every neuron of the one with every neuron of the other.
    Dense(Dense),
    /// Some neurons of the one with some of the other.
    Sparse(Sparse),
    /// Every position of an image with those around it, by the same kernel.
    Conv(Conv),
}

/// Which half of an interaction a directed edge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It sends A_W(a_s) to r.
    Forward,
    /// It sends (∂A_W/∂a_s)ᵀ a_r to s.
    Backward,
}

impl Direction {
    /// (receiving, sending) neuron of the edge, of a synapse with these neurons in the interaction.
    #[must_use]
    pub fn orient(self, receiver: usize, sender: usize) -> (usize, usize) {
        match self {
            Self::Forward => (receiver, sender),
            Self::Backward => (sender, receiver),
        }
    }
}

/// Which products of an interaction are wanted at every step: what they need is prepared when the weights are written, instead of when
/// it is first asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// A_W(a).
    pub forward: bool,
    /// (∂A_W/∂a)ᵀ v.
    pub backward: bool,
}

/// The numbers of an interaction and of its devices: what does not depend on the weights' values.
pub trait Geometry {
    /// Neurons that receive.
    fn receivers(&self) -> usize;
    /// Neurons that send.
    fn senders(&self) -> usize;
    /// Number of weights: what is learnt.
    fn weights(&self) -> usize;
    /// Times that each weight is programmed, into devices of its own: all weights, then all again.
    fn copies(&self) -> usize {
        1
    }
    /// Real multiplications of one product with one sample.
    fn products(&self) -> usize {
        self.weights()
    }
    /// Elements over which a pooling that is not linear runs in one product with one sample.
    fn pooled(&self) -> usize {
        0
    }
    /// Numbers that a product with one sample works on, besides states and weights, in single precision or in double.
    fn buffers(&self, _single: bool) -> usize {
        0
    }
    /// Whether a weight serves several synapses, as a kernel's does; then [`Self::ends`] and [`Coupling::entries`] list none.
    fn is_shared(&self) -> bool {
        false
    }
    /// Whether A_W is linear in a.
    fn is_linear(&self) -> bool {
        true
    }
    /// Weights that a receiving neuron sums over, as the initialisation scales with it.
    fn fan_in(&self) -> usize;
    /// Dimensions of the weights in parameter files, row-major.
    fn dimensions(&self) -> Vec<usize>;
    /// Place of each weight in the array of a parameter file; the other elements of that array are zero.
    fn places(&self) -> Box<dyn Iterator<Item = usize> + '_>;
    /// Numbers of receivers and senders where every pair of them has a weight of its own, receiver after receiver of each sender: the
    /// array of a parameter file is then its transpose, which is faster made as such.
    fn transposed(&self) -> Option<(usize, usize)> {
        None
    }
    /// Receiving and sending neuron of each weight that has one synapse.
    fn ends(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_>;
    /// For each weight, its place among the weights of the same interaction with sender and receiver exchanged.
    fn feedback_order(&self) -> Vec<usize>;
}

/// Programmed devices of an interaction: its weights in the order of [`Geometry::places`], as often as [`Geometry::copies`] says.
///
/// States are blocks of columns, [neurons × (rails · samples)] column-major, the real parts of all samples before their imaginary
/// parts. Every product *adds* to `out`. Where A is linear, no product reads the a at which it is differentiated. What a trait method does by
/// itself is right for a linear A.
pub trait Coupling<T: Scalar>: Send + Sync {
    /// What the devices hold.
    fn weights(&self) -> &[T];
    /// What the devices hold, to be written; [`Self::prepare`] has to follow.
    fn weights_mut(&mut self) -> &mut [T];
    /// Makes the written weights the ones that products use.
    fn prepare(&mut self, wanted: Wanted);
    /// A_W(x) of clamped inputs, [senders × samples]: once a batch.
    fn drive(&self, inputs: &[T], out: &mut [T]) {
        self.forward(inputs, 1, out);
    }
    /// A_W(a).
    fn forward(&self, a: &[T], rails: usize, out: &mut [T]);
    /// (∂A_W/∂a)ᵀ v at a, which may be real where v has two rails.
    fn pull_back(&self, a: &[T], v: &[T], rails: usize, out: &mut [T]);
    /// ∂A_W/∂a δ at a real a; δ has so many rails.
    fn push_forward(&self, _a: &[T], delta: &[T], rails: usize, out: &mut [T]) {
        self.forward(delta, rails, out);
    }
    /// Derivative of [`Self::pull_back`] along δ of a and, where it is given, δ_v of v, at real a and v; both have so many rails.
    fn pull_back_along(
        &self,
        (a, _v): (&[T], &[T]),
        (_delta, dv): (&[T], Option<&[T]>),
        rails: usize,
        out: &mut [T],
    ) {
        dv.into_iter().for_each(|dv| self.pull_back(a, dv, rails, out));
    }
    /// Σ ∂⟨A_W(a), v⟩/∂W over the columns; real states.
    fn contract(&self, a: &[T], v: &[T], out: &mut [T]);
    /// Derivative of [`Self::contract`] along δ of a.
    fn contract_along(&self, _a: &[T], v: &[T], delta: &[T], out: &mut [T]) {
        self.contract(delta, v, out);
    }
    /// Σ Re(w ∂⟨A_W(a), v⟩/∂W) over the samples of states with one rail or two: what a multiplier in each synapse
    /// measures. `scratch` is overwritten.
    fn correlate(
        &self,
        w: Complex<f64>,
        a: &[T],
        v: &[T],
        rails: usize,
        out: &mut [T],
        scratch: &mut Vec<T>,
    ) {
        modulate(w, v, rails, scratch);
        self.contract(a, scratch, out);
    }
    /// Adds Σ (Re a)², Σ (Im a)² and Σ Re a Im a over the synapses of each neuron that receives in that direction. `re` and `im` are
    /// one sample of the sending layer, `im` empty where there is no imaginary rail.
    fn add_power(&self, direction: Direction, re: &[T], im: &[T], power: &mut [[T; 3]]);
    /// Calls `entry` with receiving neuron, sending neuron and ∂A_r/∂a_s, for an interaction that is linear in a.
    fn entries(&self, entry: &mut dyn FnMut(usize, usize, T));
    /// The largest sum of |∂A_r/∂a_s| over what a neuron receives in that direction, or a bound of it.
    fn amplification(&self, direction: Direction) -> f64 {
        let mut sums = Vec::new();
        self.entries(&mut |receiver, sender, w| {
            let (to, _) = direction.orient(receiver, sender);
            if sums.len() <= to {
                sums.resize(to + 1, 0.0);
            }
            sums[to] += w.abs().double();
        });
        sums.into_iter().fold(0.0, f64::max)
    }
}

impl Interaction {
    fn geometry(&self) -> &(dyn Geometry + 'static) {
        match self {
            Self::Dense(dense) => dense,
            Self::Sparse(sparse) => sparse,
            Self::Conv(conv) => conv,
        }
    }

    /// The interaction of a feedback with weights of its own, and the direction in which it is used.
    #[must_use]
    pub fn feedback(&self) -> (Self, Direction) {
        match self {
            Self::Dense(dense) => (Self::Dense(dense.transpose()), Direction::Forward),
            Self::Sparse(sparse) => (Self::Sparse(sparse.transpose()), Direction::Forward),
            Self::Conv(_) => (self.clone(), Direction::Backward),
        }
    }

    /// Whether its derivative exists for complex states.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        match self {
            Self::Dense(_) | Self::Sparse(_) => true,
            Self::Conv(conv) => conv.is_holomorphic(),
        }
    }

    /// These weights as [`Self::feedback`] orders its own.
    #[must_use]
    pub fn as_feedback<U: Copy>(&self, weights: &[U]) -> Vec<U> {
        let mut reordered = weights.to_vec();
        self.geometry()
            .feedback_order()
            .into_iter()
            .zip(weights)
            .for_each(|(place, w)| reordered[place] = *w);
        reordered
    }

    /// The weights, programmed to zero.
    #[must_use]
    pub fn couple<T: Scalar>(&self) -> Synapses<T> {
        match self {
            Self::Dense(dense) => Synapses::Dense(dense::Weights::new(*dense)),
            Self::Sparse(sparse) => Synapses::Sparse(sparse::Weights::new(sparse.clone())),
            Self::Conv(conv) => Synapses::Conv(Box::new(conv::Weights::new(*conv))),
        }
    }
}

impl std::ops::Deref for Interaction {
    type Target = dyn Geometry + 'static;

    fn deref(&self) -> &Self::Target {
        self.geometry()
    }
}

/// Programmed weights of any interaction.
#[derive(Debug, Clone)]
pub enum Synapses<T: Scalar> {
    /// Of a dense one.
    Dense(dense::Weights<T>),
    /// Of a sparse one.
    Sparse(sparse::Weights<T>),
    /// Of a convolution.
    Conv(Box<conv::Weights<T>>),
}

impl<T: Scalar> std::ops::Deref for Synapses<T> {
    type Target = dyn Coupling<T> + 'static;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Dense(weights) => weights,
            Self::Sparse(weights) => weights,
            Self::Conv(weights) => &**weights,
        }
    }
}

impl<T: Scalar> std::ops::DerefMut for Synapses<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Dense(weights) => weights,
            Self::Sparse(weights) => weights,
            Self::Conv(weights) => &mut **weights,
        }
    }
}

/// Σ a_i b_i.
fn product<T: Scalar>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(a, b)| *a * *b).sum()
}

/// out = [Re wa, −Im wa], so that a real product with [Re b, Im b]ᵀ gives Re(w a b).
pub(crate) fn modulate<T: Scalar>(w: Complex<f64>, values: &[T], rails: usize, out: &mut Vec<T>) {
    let (w_re, w_im) = (T::of(w.re), T::of(w.im));
    out.clear();
    if rails == 1 {
        out.extend(values.iter().map(|a| w_re * *a));
        return;
    }
    let (re, im) = values.split_at(values.len() / 2);
    out.extend(re.iter().zip(im).map(|(a, b)| w_re * *a - w_im * *b));
    out.extend(re.iter().zip(im).map(|(a, b)| -(w_re * *b + w_im * *a)));
}
