//! Convolution, with a pooling inside the connection or without: A_K(a) = P(K∗a), with one device for each weight of the kernel, or one
//! for each of its positions.

mod spec;

use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use num_complex::Complex;
pub use spec::{ConvSpec, Devices, Kernel, Padding, PoolSpec, Products, Windows};

use super::{Coupling, Direction, Geometry, Wanted, modulate};
use crate::numerics::convolution::geometry::{self, Shape};
use crate::numerics::convolution::{At, Convolution, Method, PooledConvolution, Scratch};
use crate::numerics::pooling::{Pool, Pooling};
use crate::numerics::rails::{Rails, RailsMut};
use crate::numerics::scalar::Scalar;

/// A convolution with its pooling between two sized layers; its weights are [kernel height × kernel width × from × to], the last
/// fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv {
    geometry: geometry::Geometry,
    pool: Pool,
    products: Products,
    devices: Devices,
}

impl Conv {
    /// Whether its pooling is holomorphic, so that states may be complex.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        self.pool.is_holomorphic()
    }

    /// Its geometry, what follows it, and whether each weight has but one device.
    pub(in crate::substrate::neurons) fn parts(&self) -> (geometry::Geometry, Pooling, bool) {
        (self.geometry, self.pool.pooling(), self.devices.is_shared())
    }

    /// What is asked for, or what is fastest.
    fn method<T: Scalar>(&self) -> Method {
        if self.devices == Devices::Unrolled {
            return Method::Unrolled;
        }
        if let Some(method) = self.products.method() {
            return method;
        }
        let Shape { height, width, .. } = self.geometry.output;
        let tiled = |method: Method, side| height >= side && width >= side && method.suits(&self.geometry);
        match T::NAME == f32::NAME {
            true if tiled(Method::Winograd4, 4) => Method::Winograd4,
            true if tiled(Method::Winograd2, 2) => Method::Winograd2,
            _ => Method::Direct,
        }
    }
}

impl Geometry for Conv {
    fn receivers(&self) -> usize {
        self.pool.output().size()
    }

    fn senders(&self) -> usize {
        self.geometry.input.size()
    }

    fn weights(&self) -> usize {
        self.geometry.weights()
    }

    fn copies(&self) -> usize {
        if self.devices.is_shared() { 1 } else { self.geometry.output.positions() }
    }

    fn products(&self) -> usize {
        self.geometry.products()
    }

    fn pooled(&self) -> usize {
        if self.is_linear() { 0 } else { self.geometry.output.size() }
    }

    fn buffers(&self, single: bool) -> usize {
        let (input, output) = (self.geometry.input.size(), self.geometry.output.size());
        let method = if single { self.method::<f32>() } else { self.method::<f64>() };
        let tiles = match method {
            Method::Direct | Method::Unrolled => self.geometry.output.positions() * self.geometry.fan_in(),
            // Overlapping tiles of 6 × 6 for 4 × 4 results, below and above.
            Method::Winograd2 | Method::Winograd4 => 9 * (input + output) / 4,
        };
        // K∗a, K∗δ and the slope current; a and δ.
        tiles + 3 * output + 2 * input
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_linear(&self) -> bool {
        matches!(self.pool.pooling(), Pooling::None | Pooling::Average(_))
    }

    fn fan_in(&self) -> usize {
        self.geometry.fan_in()
    }

    fn dimensions(&self) -> Vec<usize> {
        let [height, width] = self.geometry.kernel;
        vec![height, width, self.geometry.input.channels, self.geometry.output.channels]
    }

    fn places(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        Box::new(0..self.geometry.weights())
    }

    fn ends(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_> {
        Box::new(std::iter::empty())
    }

    fn feedback_order(&self) -> Vec<usize> {
        (0..self.geometry.weights()).collect()
    }
}

/// z = K∗a, and the a that it was made of: what a layer sends and what it is sent back need the same.
#[derive(Debug)]
struct Memory<T> {
    a: Vec<T>,
    rails: usize,
    z: Vec<T>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { a: Vec::new(), rails: 0, z: Vec::new() }
    }
}

impl<T: Scalar> Memory<T> {
    /// z, which is computed unless it is that of the a before.
    fn convolve(&mut self, weights: &Weights<T>, a: Rails<'_, T>, scratch: &mut Scratch<T>) -> Rails<'_, T> {
        let (rails, connection) = (a.count(), &weights.connection);
        if self.rails != rails || !a.each().eq(Rails::of(&self.a, rails).each()) {
            let samples = a.re.len() / connection.input().size();
            self.a.clear();
            a.each().for_each(|rail| self.a.extend_from_slice(rail));
            self.rails = rails;
            self.z.resize(samples * rails * connection.intermediate().size(), T::zero());
            if is_zero(&self.a) {
                self.z.fill(T::zero());
            } else {
                connection.convolve(a, RailsMut::of(&mut self.z, rails), scratch);
            }
        }
        Rails::of(&self.z, rails)
    }

    /// Anything in its place for so many samples: where the pooling's derivative does not depend on it.
    fn blank(&mut self, weights: &Weights<T>, samples: usize) -> Rails<'_, T> {
        self.rails = 0;
        self.z.resize(samples * weights.connection.intermediate().size(), T::zero());
        Rails::real(&self.z)
    }

    /// As [`Self::convolve`], or [`Self::blank`] where that does.
    fn of(
        &mut self,
        weights: &Weights<T>,
        a: Rails<'_, T>,
        samples: usize,
        scratch: &mut Scratch<T>,
    ) -> Rails<'_, T> {
        if weights.shape.is_linear() {
            self.blank(weights, samples)
        } else {
            self.convolve(weights, a, scratch)
        }
    }
}

/// What a product needs besides its operands; made at first use, then kept.
#[derive(Debug)]
struct Workspace<T> {
    owner: ThreadId,
    scratch: Scratch<T>,
    /// Of the last state.
    at: Memory<T>,
    /// Of the last direction.
    along: Memory<T>,
}

/// Weights of a convolution.
#[derive(Debug)]
pub struct Weights<T: Scalar> {
    shape: Conv,
    values: Vec<T>,
    connection: PooledConvolution<T>,
    /// One for each thread that has ever worked with the weights.
    workspaces: Mutex<Vec<Workspace<T>>>,
}

impl<T: Scalar> Clone for Weights<T> {
    fn clone(&self) -> Self {
        Self {
            shape: self.shape,
            values: self.values.clone(),
            connection: self.connection.clone(),
            workspaces: Mutex::default(),
        }
    }
}

impl<T: Scalar> Weights<T> {
    /// All zero.
    #[must_use]
    pub fn new(shape: Conv) -> Self {
        let convolution = Convolution::new(shape.geometry, shape.method::<T>());
        let connection = PooledConvolution::new(convolution, shape.pool.pooling()).expect("a sized pooling");
        let values = vec![T::zero(); shape.copies() * shape.geometry.weights()];
        Self { shape, values, connection, workspaces: Mutex::default() }
    }

    /// Lends the workspace of this thread.
    fn work(&self, with: impl FnOnce(&mut Workspace<T>)) {
        let owner = thread::current().id();
        let kept = || self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = {
            let mut kept = kept();
            kept.iter().position(|workspace| workspace.owner == owner).map(|place| kept.swap_remove(place))
        };
        let mut workspace = lent.unwrap_or_else(|| Workspace {
            owner,
            scratch: Scratch::default(),
            at: Memory::default(),
            along: Memory::default(),
        });
        with(&mut workspace);
        kept().push(workspace);
    }

    /// Columns of the receiving layer.
    fn columns(&self, v: &[T]) -> usize {
        v.len() / self.shape.receivers()
    }

    /// Largest row sum of |∂A/∂a| in that direction, or a bound of it.
    fn bound(&self, direction: Direction) -> f64 {
        let [inner, outer] = [self.shape.geometry.input.channels, self.shape.geometry.output.channels];
        let weights = self.shape.geometry.weights();
        let sum = |kernel: &[T]| {
            let mut sums = vec![0.0; if direction == Direction::Forward { outer } else { inner }];
            for (place, w) in kernel.iter().enumerate() {
                let channel = match direction {
                    Direction::Forward => place % outer,
                    Direction::Backward => place / outer % inner,
                };
                sums[channel] += w.abs().double();
            }
            sums.into_iter().fold(0.0, f64::max)
        };
        // Where kernels differ, a position below may meet the largest weights of several.
        let taps = self.shape.geometry.kernel.iter().product::<usize>() as f64;
        let differing =
            if self.shape.devices.is_shared() || direction == Direction::Forward { 1.0 } else { taps };
        let largest = differing * self.values.chunks_exact(weights).map(sum).fold(0.0, f64::max);
        let (window, sharpest) = match self.shape.pool.pooling() {
            Pooling::None => return largest,
            Pooling::Average(window) | Pooling::Max(window) => (window, 1.0),
            // ∂y/∂z_j = p_j (1 + ln p_j + H) with an entropy H of ln n at most.
            Pooling::Softmax { window, .. } => {
                (window, 1.0 + 2.0 * ((window.size * window.size) as f64).ln())
            }
        };
        let met = match direction {
            Direction::Forward => 1,
            Direction::Backward => window.size.div_ceil(window.stride).pow(2),
        };
        sharpest * met as f64 * largest
    }
}

/// Whether there is nothing to convolve: a state at rest, and a response that has not come so far yet.
fn is_zero<T: Scalar>(v: &[T]) -> bool {
    v.iter().all(|x| *x == T::zero())
}

impl<T: Scalar> Coupling<T> for Weights<T> {
    fn weights(&self) -> &[T] {
        &self.values
    }

    fn weights_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    fn prepare(&mut self, _: Wanted) {
        self.connection.set_kernel(&self.values);
        self.workspaces.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn forward(&self, a: &[T], rails: usize, out: &mut [T]) {
        if is_zero(a) {
            return;
        }
        let linear = self.shape.is_linear();
        self.work(|Workspace { scratch, at, .. }| {
            if linear {
                self.connection.currents(Rails::real(a), Some(RailsMut::real(out)), None, scratch);
            } else {
                let z = at.convolve(self, Rails::of(a, rails), scratch);
                self.connection.currents_at(z, Some(RailsMut::of(out, rails)), None, scratch);
            }
        });
    }

    fn pull_back(&self, a: &[T], v: &[T], rails: usize, out: &mut [T]) {
        if is_zero(v) {
            return;
        }
        let columns = self.columns(v);
        self.work(|Workspace { scratch, at, .. }| {
            if self.shape.is_linear() {
                let z = at.blank(self, columns);
                let down = Some((Rails::real(v), RailsMut::real(out)));
                return self.connection.currents_at(z, None, down, scratch);
            }
            let above = a.len() / self.shape.senders() * rails / columns;
            let z = at.convolve(self, Rails::of(a, above), scratch);
            if above == rails {
                let down = Some((Rails::of(v, rails), RailsMut::of(out, rails)));
                return self.connection.currents_at(z, None, down, scratch);
            }
            // The derivative at a real state is real: each rail goes its own way.
            let mut out = RailsMut::of(out, rails);
            for rail in 0..rails {
                let down = Some((Rails::of(v, rails).rail(rail), out.rail(rail)));
                self.connection.currents_at(z, None, down, scratch);
            }
        });
    }

    fn push_forward(&self, a: &[T], delta: &[T], rails: usize, out: &mut [T]) {
        if self.shape.is_linear() || is_zero(delta) {
            return self.forward(delta, 1, out);
        }
        self.work(|Workspace { scratch, at, along, .. }| {
            let z = at.convolve(self, Rails::real(a), scratch);
            let dz = along.convolve(self, Rails::of(delta, rails), scratch);
            let at = At { z, dz, v: None, dv: None };
            self.connection.derivatives_at(&at, Some(RailsMut::of(out, rails)), None, scratch);
        });
    }

    fn pull_back_along(
        &self,
        (a, v): (&[T], &[T]),
        (delta, dv): (&[T], Option<&[T]>),
        rails: usize,
        out: &mut [T],
    ) {
        if self.shape.is_linear() || is_zero(delta) {
            return dv.into_iter().for_each(|dv| self.pull_back(a, dv, rails, out));
        }
        self.work(|Workspace { scratch, at, along, .. }| {
            let z = at.convolve(self, Rails::real(a), scratch);
            let dz = along.convolve(self, Rails::of(delta, rails), scratch);
            let at = At { z, dz, v: Some(Rails::real(v)), dv: dv.map(|dv| Rails::of(dv, rails)) };
            self.connection.derivatives_at(&at, None, Some(RailsMut::of(out, rails)), scratch);
        });
    }

    fn contract(&self, a: &[T], v: &[T], out: &mut [T]) {
        self.work(|Workspace { scratch, at, .. }| {
            let z = at.of(self, Rails::real(a), self.columns(v), scratch);
            self.connection.gradient_at(Rails::real(a), z, Rails::real(v), out, scratch);
        });
    }

    fn contract_along(&self, a: &[T], v: &[T], delta: &[T], out: &mut [T]) {
        if self.shape.is_linear() {
            return self.contract(delta, v, out);
        }
        self.work(|Workspace { scratch, at, along, .. }| {
            let z = at.convolve(self, Rails::real(a), scratch);
            let dz = along.convolve(self, Rails::real(delta), scratch);
            let at = At { z, dz, v: Some(Rails::real(v)), dv: None };
            let (a, delta) = (Rails::real(a), Rails::real(delta));
            self.connection.gradient_derivative_at(a, delta, &at, out, scratch);
        });
    }

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
        if self.shape.is_linear() || rails == 1 {
            return self.contract(a, scratch, out);
        }
        // The product itself, not what a real product makes its real part of.
        let half = scratch.len() / 2;
        scratch[half..].iter_mut().for_each(|im| *im = -*im);
        let (a, v) = (Rails::of(a, rails), Rails::of(scratch, rails));
        self.work(|Workspace { scratch, at, .. }| {
            let z = at.convolve(self, a, scratch);
            self.connection.gradient_at(a, z, v, out, scratch);
        });
    }

    fn add_power(&self, _: Direction, _: &[T], _: &[T], _: &mut [[T; 3]]) {
        unreachable!("noise of the synapses of a kernel is refused with its network")
    }

    fn entries(&self, _: &mut dyn FnMut(usize, usize, T)) {}

    fn amplification(&self, direction: Direction) -> f64 {
        self.bound(direction)
    }
}
