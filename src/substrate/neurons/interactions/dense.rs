//! All to all: A_W(a) = W a.

use std::sync::OnceLock;

use nalgebra::DMatrixView;

use super::{Coupling, Direction, Geometry, Wanted, product};
use crate::numerics::panels::Panels;
use crate::numerics::scalar::{Layout, Scalar, gemm, gemm_outer};

/// A dense interaction; its weights are [receivers × senders], column-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// Neurons that receive.
    pub receivers: usize,
    /// Neurons that send.
    pub senders: usize,
}

impl Dense {
    /// The same with sender and receiver exchanged.
    #[must_use]
    pub fn transpose(self) -> Self {
        Self { receivers: self.senders, senders: self.receivers }
    }
}

impl Geometry for Dense {
    fn receivers(&self) -> usize {
        self.receivers
    }

    fn senders(&self) -> usize {
        self.senders
    }

    fn weights(&self) -> usize {
        self.receivers * self.senders
    }

    fn fan_in(&self) -> usize {
        self.senders
    }

    fn dimensions(&self) -> Vec<usize> {
        vec![self.receivers, self.senders]
    }

    fn places(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        Box::new(self.ends().map(|(receiver, sender)| receiver * self.senders + sender))
    }

    fn transposed(&self) -> Option<(usize, usize)> {
        Some((self.receivers, self.senders))
    }

    fn ends(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_> {
        Box::new((0..self.senders).flat_map(|sender| (0..self.receivers).map(move |r| (r, sender))))
    }

    fn feedback_order(&self) -> Vec<usize> {
        self.ends().map(|(receiver, sender)| receiver * self.senders + sender).collect()
    }
}

/// Weights of a dense interaction, with copies laid out for the fast products.
#[derive(Debug, Clone)]
pub struct Weights<T: Scalar> {
    shape: Dense,
    values: Vec<T>,
    /// W, once it is wanted.
    plain: OnceLock<Panels<T>>,
    /// Wᵀ, once it is wanted.
    transposed: OnceLock<Panels<T>>,
}

impl<T: Scalar> Weights<T> {
    /// All zero.
    #[must_use]
    pub fn new(shape: Dense) -> Self {
        let values = vec![T::zero(); shape.weights()];
        Self { shape, values, plain: OnceLock::new(), transposed: OnceLock::new() }
    }

    fn plain(&self) -> &Panels<T> {
        self.plain.get_or_init(|| self.packed(Panels::default()))
    }

    fn transposed(&self) -> &Panels<T> {
        self.transposed.get_or_init(|| self.packed_transpose(Panels::default()))
    }

    fn packed(&self, mut panels: Panels<T>) -> Panels<T> {
        panels.pack(self.shape.receivers, &self.values);
        panels
    }

    fn packed_transpose(&self, mut panels: Panels<T>) -> Panels<T> {
        let matrix = DMatrixView::from_slice(&self.values, self.shape.receivers, self.shape.senders);
        panels.pack(self.shape.senders, matrix.transpose().as_slice());
        panels
    }
}

impl<T: Scalar> Coupling<T> for Weights<T> {
    fn weights(&self) -> &[T] {
        &self.values
    }

    fn weights_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    fn prepare(&mut self, wanted: Wanted) {
        let [plain, transposed] = [self.plain.take(), self.transposed.take()].map(Option::unwrap_or_default);
        if wanted.forward {
            self.plain = OnceLock::from(self.packed(plain));
        }
        if wanted.backward {
            self.transposed = OnceLock::from(self.packed_transpose(transposed));
        }
    }

    fn drive(&self, inputs: &[T], out: &mut [T]) {
        let Dense { receivers, senders } = self.shape;
        let dimensions = (receivers, senders, out.len() / receivers);
        gemm(dimensions, &self.values, Layout::Plain, inputs, T::one(), out);
    }

    fn forward(&self, a: &[T], _: usize, out: &mut [T]) {
        self.plain().multiply_add(a, out);
    }

    fn pull_back(&self, _: &[T], v: &[T], _: usize, out: &mut [T]) {
        self.transposed().multiply_add(v, out);
    }

    fn contract(&self, a: &[T], v: &[T], out: &mut [T]) {
        let Dense { receivers, senders } = self.shape;
        gemm_outer((receivers, a.len() / senders, senders), v, a, T::one(), out);
    }

    fn add_power(&self, _: Direction, re: &[T], im: &[T], power: &mut [[T; 3]]) {
        let more = [product(re, re), product(im, im), product(re, im)];
        for power in power {
            power.iter_mut().zip(more).for_each(|(sum, p)| *sum += p);
        }
    }

    fn entries(&self, entry: &mut dyn FnMut(usize, usize, T)) {
        for ((receiver, sender), w) in self.shape.ends().zip(&self.values) {
            entry(receiver, sender, *w);
        }
    }
}
