//! How the state of a batch lies in memory.

use std::ops::Range;

/// The layout of a batch of states: layer after layer, each layer n × (rails · batch), column-major.
///
/// With two rails the first `batch` columns of a layer hold the real parts and the next `batch` columns the imaginary
/// parts, so that one product with the (real) weights moves both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateShape {
    sizes: Vec<usize>,
    /// Number of samples.
    pub batch: usize,
    /// 1 for a real state, 2 for a complex one.
    pub rails: usize,
}

impl StateShape {
    /// The layout of `batch` samples of layers of these sizes.
    #[must_use]
    pub fn of(sizes: Vec<usize>, batch: usize, rails: usize) -> Self {
        Self { sizes, batch, rails }
    }

    /// The layout of one block of `size` numbers for each sample and rail.
    #[must_use]
    pub fn block(size: usize, batch: usize, rails: usize) -> Self {
        Self { sizes: vec![size], batch, rails }
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.sizes.len()
    }

    /// Neurons of a layer.
    #[must_use]
    pub fn size(&self, layer: usize) -> usize {
        self.sizes[layer]
    }

    /// Columns of a layer's matrix: rails × batch.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.rails * self.batch
    }

    /// Number of real numbers in the state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.neurons() * self.columns()
    }

    /// Whether the state holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Neurons of all layers.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Where a layer's matrix lies, both rails.
    #[must_use]
    pub fn layer(&self, layer: usize) -> Range<usize> {
        let start = self.sizes[..layer].iter().sum::<usize>() * self.columns();
        start..start + self.sizes[layer] * self.columns()
    }

    /// Where the real rail of a layer lies.
    #[must_use]
    pub fn real(&self, layer: usize) -> Range<usize> {
        let start = self.layer(layer).start;
        start..start + self.sizes[layer] * self.batch
    }

    /// Where one sample's column of a layer lies on a rail.
    #[must_use]
    pub fn column(&self, layer: usize, rail: usize, sample: usize) -> Range<usize> {
        let size = self.sizes[layer];
        let start = self.layer(layer).start + (rail * self.batch + sample) * size;
        start..start + size
    }

    /// Where the columns of one sample lie: layer after layer, each rail.
    pub fn sample(&self, sample: usize) -> impl Iterator<Item = Range<usize>> {
        (0..self.layers())
            .flat_map(move |layer| (0..self.rails).map(move |rail| self.column(layer, rail, sample)))
    }

    /// Some of the samples of a state, laid out as [`Self::with_batch`] of their number.
    #[must_use]
    pub fn select<T: Copy>(&self, which: &[usize], state: &[T]) -> Vec<T> {
        let mut part = Vec::with_capacity(self.neurons() * self.rails * which.len());
        for (layer, rail) in
            (0..self.layers()).flat_map(|layer| (0..self.rails).map(move |rail| (layer, rail)))
        {
            for sample in which {
                part.extend_from_slice(&state[self.column(layer, rail, *sample)]);
            }
        }
        part
    }

    /// The layout of some of the layers.
    #[must_use]
    pub fn with_layers(&self, layers: &[usize]) -> Self {
        Self { sizes: layers.iter().map(|layer| self.sizes[*layer]).collect(), ..*self }
    }

    /// Copies some of the layers of a state to where they lie without the others.
    pub fn gather<T: Copy>(&self, layers: &[usize], state: &[T], part: &mut [T]) {
        let to = self.with_layers(layers);
        for (place, layer) in layers.iter().enumerate() {
            part[to.layer(place)].copy_from_slice(&state[self.layer(*layer)]);
        }
    }

    /// The reverse of [`Self::gather`].
    pub fn spread<T: Copy>(&self, layers: &[usize], part: &[T], state: &mut [T]) {
        let from = self.with_layers(layers);
        for (place, layer) in layers.iter().enumerate() {
            state[self.layer(*layer)].copy_from_slice(&part[from.layer(place)]);
        }
    }

    /// The same network and rails with another number of samples.
    #[must_use]
    pub fn with_batch(&self, batch: usize) -> Self {
        Self { batch, ..self.clone() }
    }

    /// The same network and batch with another number of rails.
    #[must_use]
    pub fn with_rails(&self, rails: usize) -> Self {
        Self { sizes: self.sizes.clone(), batch: self.batch, rails }
    }

    /// A real state as a complex one with zero imaginary part; self has one rail.
    #[must_use]
    pub fn complexified<T: Copy + num_traits::Zero>(&self, real: &[T]) -> Vec<T> {
        let two = self.with_rails(2);
        let mut complex = vec![T::zero(); two.len()];
        for layer in 0..self.layers() {
            complex[two.real(layer)].copy_from_slice(&real[self.layer(layer)]);
        }
        complex
    }

    /// (layer, neuron, rail, sample) of an element, for messages.
    #[must_use]
    pub fn locate(&self, index: usize) -> (usize, usize, usize, usize) {
        let layer = (0..self.layers()).find(|&l| self.layer(l).contains(&index)).unwrap_or(0);
        let within = index - self.layer(layer).start;
        let (column, neuron) = (within / self.sizes[layer], within % self.sizes[layer]);
        (layer, neuron, column / self.batch, column % self.batch)
    }
}
