//! Convolution with 3 × 3 kernels by the minimal filtering of Winograd: F(2,3) makes 2 × 2 outputs of 16 products instead of
//! 36, F(4,3) 4 × 4 of 36 instead of 144 (A. Lavin and S. Gray, arXiv:1509.09308, section 4.1: the matrices Bᵀ, G and Aᵀ).
//!
//! With a tile d of the input, z = Aᵀ [(G K Gᵀ) ⊙ (Bᵀ d B)] A: transforms of tiles, channel by channel, and one product
//! \[out × in\] for every place of the transformed tile, over many tiles. The pull-back and the kernel's gradient are the
//! transposes of this very computation, so they belong to the operator that ran.
#![expect(clippy::needless_range_loop, reason = "tiles are transposed: both indices of a matrix run")]

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::geometry::{Geometry, Shape};
use super::patches::sized;
use crate::numerics::panels::Panels;
use crate::numerics::scalar::{Scalar, gemm_outer};

/// Bytes of transformed tiles at a time: beyond the second-level cache, because each place's weights come from farther away than its
/// tiles and should meet many of them.
const CACHE: usize = 8 * 1024 * 1024;

/// k·a + b in every lane.
trait Arithmetic<V>: Fn(f64, V, V) -> V + Copy {}
impl<V, F: Fn(f64, V, V) -> V + Copy> Arithmetic<V> for F {}

/// The one-dimensional transforms of F(`M`, 3) with tiles of `N` = `M` + 2.
trait Transform<const M: usize, const N: usize> {
    /// G.
    const KERNEL: [[f64; 3]; N];
    /// Bᵀ d.
    fn input<V: Copy>(d: [V; N], zero: V, f: impl Arithmetic<V>) -> [V; N];
    /// B t.
    fn input_transposed<V: Copy>(t: [V; N], zero: V, f: impl Arithmetic<V>) -> [V; N];
    /// Aᵀ x.
    fn output<V: Copy>(x: [V; N], f: impl Arithmetic<V>) -> [V; M];
    /// A y.
    fn output_transposed<V: Copy>(y: [V; M], zero: V, f: impl Arithmetic<V>) -> [V; N];
}

/// F(2, 3).
struct Two;

impl Transform<2, 4> for Two {
    const KERNEL: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn input<V: Copy>(d: [V; 4], _: V, f: impl Arithmetic<V>) -> [V; 4] {
        [f(-1.0, d[2], d[0]), f(1.0, d[1], d[2]), f(-1.0, d[1], d[2]), f(-1.0, d[3], d[1])]
    }

    #[inline(always)]
    fn input_transposed<V: Copy>(t: [V; 4], zero: V, f: impl Arithmetic<V>) -> [V; 4] {
        let middle = f(1.0, t[1], t[2]);
        [t[0], f(1.0, t[3], f(-1.0, t[2], t[1])), f(-1.0, t[0], middle), f(-1.0, t[3], zero)]
    }

    #[inline(always)]
    fn output<V: Copy>(x: [V; 4], f: impl Arithmetic<V>) -> [V; 2] {
        [f(1.0, x[0], f(1.0, x[1], x[2])), f(-1.0, x[3], f(-1.0, x[2], x[1]))]
    }

    #[inline(always)]
    fn output_transposed<V: Copy>(y: [V; 2], zero: V, f: impl Arithmetic<V>) -> [V; 4] {
        [y[0], f(1.0, y[1], y[0]), f(-1.0, y[1], y[0]), f(-1.0, y[1], zero)]
    }
}

/// F(4, 3).
struct Four;

impl Transform<4, 6> for Four {
    const KERNEL: [[f64; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<V: Copy>(d: [V; 6], _: V, f: impl Arithmetic<V>) -> [V; 6] {
        let (even, odd) = (f(-4.0, d[2], d[4]), f(-4.0, d[1], d[3]));
        let (even2, odd2) = (f(-1.0, d[2], d[4]), f(-1.0, d[1], d[3]));
        [
            f(4.0, d[0], f(-5.0, d[2], d[4])),
            f(1.0, odd, even),
            f(-1.0, odd, even),
            f(2.0, odd2, even2),
            f(-2.0, odd2, even2),
            f(4.0, d[1], f(-5.0, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn input_transposed<V: Copy>(t: [V; 6], zero: V, f: impl Arithmetic<V>) -> [V; 6] {
        let (sum, gap) = (f(1.0, t[1], t[2]), f(-1.0, t[2], t[1]));
        let (sum2, gap2) = (f(1.0, t[3], t[4]), f(-1.0, t[4], t[3]));
        [
            f(4.0, t[0], zero),
            f(4.0, f(-1.0, gap, t[5]), f(-2.0, gap2, zero)),
            f(-5.0, t[0], f(-4.0, sum, f(-1.0, sum2, zero))),
            f(-5.0, t[5], f(2.0, gap2, gap)),
            f(1.0, t[0], f(1.0, sum, sum2)),
            t[5],
        ]
    }

    #[inline(always)]
    fn output<V: Copy>(x: [V; 6], f: impl Arithmetic<V>) -> [V; 4] {
        let (sum, gap) = (f(1.0, x[1], x[2]), f(-1.0, x[2], x[1]));
        let (sum2, gap2) = (f(1.0, x[3], x[4]), f(-1.0, x[4], x[3]));
        [
            f(1.0, x[0], f(1.0, sum, sum2)),
            f(2.0, gap2, gap),
            f(4.0, sum2, sum),
            f(8.0, gap2, f(1.0, gap, x[5])),
        ]
    }

    #[inline(always)]
    fn output_transposed<V: Copy>(y: [V; 4], zero: V, f: impl Arithmetic<V>) -> [V; 6] {
        let (even, odd) = (f(1.0, y[2], y[0]), f(1.0, y[3], y[1]));
        let (even2, odd2) = (f(4.0, y[2], y[0]), f(8.0, y[3], f(2.0, y[1], zero)));
        [y[0], f(1.0, odd, even), f(-1.0, odd, even), f(1.0, odd2, even2), f(-1.0, odd2, even2), y[3]]
    }
}

/// A transformed kernel and its transpose, laid out for products.
#[derive(Debug, Clone, Default)]
pub(super) struct Winograd<T: Scalar> {
    /// Rows of outputs that a tile makes: 2 or 4.
    tile: usize,
    /// For each place of a tile: [out × in].
    forward: Panels<T>,
    /// [in × out].
    backward: Panels<T>,
}

/// Where the tiles of a batch stand.
#[derive(Debug, Clone, Copy)]
struct Tiling {
    geometry: Geometry,
    /// Rows of outputs in a tile.
    made: usize,
    /// Tiles beside one another.
    across: usize,
    /// Tiles of an image.
    each: usize,
}

impl Tiling {
    fn new(geometry: &Geometry, made: usize) -> Self {
        let across = geometry.output.width.div_ceil(made);
        Self { geometry: *geometry, made, across, each: across * geometry.output.height.div_ceil(made) }
    }

    /// Places of a transformed tile.
    fn places(&self) -> usize {
        (self.made + 2) * (self.made + 2)
    }

    /// Images at a time.
    fn block<T>(&self) -> usize {
        let numbers = self.geometry.input.channels + self.geometry.output.channels;
        (CACHE / (numbers * self.places() * self.each * size_of::<T>())).max(1)
    }

    /// Length of the part of a buffer that belongs to one place, for tiles of so many channels. The odd line of the cache
    /// keeps places from falling on one another there.
    fn pitch<T>(tiles: usize, channels: usize) -> usize {
        tiles * channels + 64 / size_of::<T>()
    }
}

impl<T: Scalar> Winograd<T> {
    pub fn new(tile: usize) -> Self {
        Self { tile, forward: Panels::default(), backward: Panels::default() }
    }

    /// Transforms and lays out a kernel [out × patch].
    pub fn set(&mut self, geometry: &Geometry, weights: &[T]) {
        let (out, channels) = (geometry.output.channels, geometry.input.channels);
        let rows: &[[f64; 3]] = if self.tile == 2 { &Two::KERNEL } else { &Four::KERNEL };
        let places = rows.len() * rows.len();
        self.forward.resize(places, out, channels);
        self.backward.resize(places, channels, out);
        let mut transformed = vec![T::zero(); out * channels];
        let mut transposed = vec![T::zero(); out * channels];
        for place in 0..places {
            let (down, across) = (rows[place / rows.len()], rows[place % rows.len()]);
            transformed.fill(T::zero());
            for tap in 0..9 {
                let factor = T::of(down[tap / 3] * across[tap % 3]);
                if !factor.is_zero() {
                    let taps = &weights[tap * out * channels..][..out * channels];
                    transformed.iter_mut().zip(taps).for_each(|(u, w)| *u += factor * *w);
                }
            }
            for (i, column) in transformed.chunks_exact(out).enumerate() {
                for (o, u) in column.iter().enumerate() {
                    transposed[o * channels + i] = *u;
                }
            }
            self.forward.pack_at(place, &transformed);
            self.backward.pack_at(place, &transposed);
        }
    }

    /// z = K∗a for whole images.
    pub fn convolve(&self, geometry: &Geometry, a: &[T], z: &mut [T], buffers: &mut [Vec<T>; 2]) {
        let tiling = Tiling::new(geometry, self.tile);
        let (input, output) = (geometry.input, geometry.output);
        let block = tiling.block::<T>();
        for (a, z) in a.chunks(block * input.size()).zip(z.chunks_mut(block * output.size())) {
            let tiles = a.len() / input.size() * tiling.each;
            let (below, above) =
                (Tiling::pitch::<T>(tiles, input.channels), Tiling::pitch::<T>(tiles, output.channels));
            let [from, to] = buffers;
            let (from, to) = (sized(from, tiling.places() * below), sized(to, tiling.places() * above));
            run(Step::Input { a, transformed: from, pitch: below }, tiling);
            for (place, (from, to)) in from.chunks(below).zip(to.chunks_mut(above)).enumerate() {
                let (from, to) = (&from[..tiles * input.channels], &mut to[..tiles * output.channels]);
                self.forward.multiply_by(place, from, to);
            }
            run(Step::Output { transformed: to, pitch: above, z }, tiling);
        }
    }

    /// a += K ⋆ᵀ w for whole images.
    pub fn transpose_add(&self, geometry: &Geometry, w: &[T], a: &mut [T], buffers: &mut [Vec<T>; 2]) {
        let tiling = Tiling::new(geometry, self.tile);
        let (input, output) = (geometry.input, geometry.output);
        let block = tiling.block::<T>();
        for (a, w) in a.chunks_mut(block * input.size()).zip(w.chunks(block * output.size())) {
            let tiles = a.len() / input.size() * tiling.each;
            let (below, above) =
                (Tiling::pitch::<T>(tiles, input.channels), Tiling::pitch::<T>(tiles, output.channels));
            let [to, from] = buffers;
            let (from, to) = (sized(from, tiling.places() * above), sized(to, tiling.places() * below));
            run(Step::OutputTransposed { w, transformed: from, pitch: above }, tiling);
            for (place, (from, to)) in from.chunks(above).zip(to.chunks_mut(below)).enumerate() {
                let (from, to) = (&from[..tiles * output.channels], &mut to[..tiles * input.channels]);
                self.backward.multiply_by(place, from, to);
            }
            run(Step::InputTransposed { transformed: to, pitch: below, a }, tiling);
        }
    }

    /// gradient [out × patch] += the kernel's gradient of Σ ⟨K∗a, w⟩ over whole images.
    pub fn outer_add(
        &self,
        geometry: &Geometry,
        a: &[T],
        w: &[T],
        gradient: &mut [T],
        buffers: &mut [Vec<T>; 2],
        product: &mut Vec<T>,
    ) {
        let tiling = Tiling::new(geometry, self.tile);
        let (input, output) = (geometry.input, geometry.output);
        let rows: &[[f64; 3]] = if self.tile == 2 { &Two::KERNEL } else { &Four::KERNEL };
        let size = input.channels * output.channels;
        // Larger blocks, because each passes several times through the whole gradient.
        let block = 4 * tiling.block::<T>();
        for (a, w) in a.chunks(block * input.size()).zip(w.chunks(block * output.size())) {
            let tiles = a.len() / input.size() * tiling.each;
            let (below, above) =
                (Tiling::pitch::<T>(tiles, input.channels), Tiling::pitch::<T>(tiles, output.channels));
            let [from, to] = buffers;
            let (from, to) = (sized(from, tiling.places() * below), sized(to, tiling.places() * above));
            run(Step::Input { a, transformed: from, pitch: below }, tiling);
            run(Step::OutputTransposed { w, transformed: to, pitch: above }, tiling);
            let product = sized(product, size);
            for (place, (from, to)) in from.chunks(below).zip(to.chunks(above)).enumerate() {
                let (from, to) = (&from[..tiles * input.channels], &to[..tiles * output.channels]);
                gemm_outer((output.channels, tiles, input.channels), to, from, T::zero(), product);
                let (down, across) = (rows[place / rows.len()], rows[place % rows.len()]);
                for tap in 0..9 {
                    let factor = T::of(down[tap / 3] * across[tap % 3]);
                    if !factor.is_zero() {
                        let taps = &mut gradient[tap * size..][..size];
                        taps.iter_mut().zip(&*product).for_each(|(g, p)| *g += factor * *p);
                    }
                }
            }
        }
    }
}

/// A transform of all tiles of some images.
enum Step<'a, T> {
    /// transformed = Bᵀ d B.
    Input { a: &'a [T], transformed: &'a mut [T], pitch: usize },
    /// z = Aᵀ x A.
    Output { transformed: &'a [T], pitch: usize, z: &'a mut [T] },
    /// transformed = A w Aᵀ.
    OutputTransposed { w: &'a [T], transformed: &'a mut [T], pitch: usize },
    /// a += B t Bᵀ.
    InputTransposed { transformed: &'a [T], pitch: usize, a: &'a mut [T] },
}

fn run<T: Scalar>(step: Step<'_, T>, tiling: Tiling) {
    if tiling.made == 2 {
        Arch::new().dispatch(Task::<T, Two, 2, 4> { step, tiling, transform: PhantomData });
    } else {
        Arch::new().dispatch(Task::<T, Four, 4, 6> { step, tiling, transform: PhantomData });
    }
}

struct Task<'a, T, F: Transform<M, N>, const M: usize, const N: usize> {
    step: Step<'a, T>,
    tiling: Tiling,
    transform: PhantomData<F>,
}

impl<T: Scalar, F: Transform<M, N>, const M: usize, const N: usize> WithSimd for Task<'_, T, F, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Geometry { input, output, .. } = self.tiling.geometry;
        let images = match &self.step {
            Step::Input { a, .. } => a.len() / input.size(),
            Step::InputTransposed { a, .. } => a.len() / input.size(),
            Step::Output { z, .. } => z.len() / output.size(),
            Step::OutputTransposed { w, .. } => w.len() / output.size(),
        };
        let channels = match &self.step {
            Step::Input { .. } | Step::InputTransposed { .. } => input.channels,
            Step::Output { .. } | Step::OutputTransposed { .. } => output.channels,
        };
        for tile in 0..images * self.tiling.each {
            let rest = self.tile(Vectors(simd), tile, 0..channels);
            self.tile(Single, tile, rest..channels);
        }
    }
}

/// Where the places of a square stand in a batch, for channel 0; none outside the image.
type Places<const N: usize> = [[Option<usize>; N]; N];

/// The places of a square with that corner in an image, which begins at `start`.
#[inline(always)]
fn places<const N: usize>(corner: [usize; 2], before: [usize; 2], shape: Shape, start: usize) -> Places<N> {
    let inside = |at: usize, axis: usize, extent: usize| {
        (corner[axis] + at).checked_sub(before[axis]).filter(|position| *position < extent)
    };
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let (row, column) = (inside(i, 0, shape.height)?, inside(j, 1, shape.width)?);
            Some(start + (row * shape.width + column) * shape.channels)
        })
    })
}

impl<T: Scalar, F: Transform<M, N>, const M: usize, const N: usize> Task<'_, T, F, M, N> {
    /// Does as many of the tile's channels as make whole vectors; returns the first that is left.
    #[inline(always)]
    fn tile<E: Engine<T>>(&mut self, engine: E, tile: usize, channels: Range<usize>) -> usize {
        let Geometry { input, output, before, .. } = self.tiling.geometry;
        let Tiling { across, each, .. } = self.tiling;
        let image = tile / each;
        let corner = [tile % each / across * M, tile % each % across * M];
        let zero = engine.splat(0.0);
        let f = |k, a, b| engine.fused(k, a, b);
        let mut channel = channels.start;
        match &mut self.step {
            Step::Input { a, transformed, pitch } => {
                let places = places::<N>(corner, before, input, image * input.size());
                while channel + E::WIDTH <= channels.end {
                    let mut half = [[zero; N]; N];
                    for j in 0..N {
                        let column = std::array::from_fn(|i| engine.load_or(a, places[i][j], channel, zero));
                        half[j] = F::input(column, zero, f);
                    }
                    for i in 0..N {
                        let row = F::input(std::array::from_fn(|j| half[j][i]), zero, f);
                        for j in 0..N {
                            let at = (i * N + j) * *pitch + tile * input.channels + channel;
                            engine.store(row[j], transformed, at);
                        }
                    }
                    channel += E::WIDTH;
                }
            }
            Step::Output { transformed, pitch, z } => {
                let places = places::<M>(corner, [0, 0], output, image * output.size());
                while channel + E::WIDTH <= channels.end {
                    let mut half = [[zero; M]; N];
                    for j in 0..N {
                        let column = std::array::from_fn(|i| {
                            engine.load(transformed, (i * N + j) * *pitch + tile * output.channels + channel)
                        });
                        half[j] = F::output(column, f);
                    }
                    for i in 0..M {
                        let row = F::output(std::array::from_fn(|j| half[j][i]), f);
                        for j in 0..M {
                            if let Some(place) = places[i][j] {
                                engine.store(row[j], z, place + channel);
                            }
                        }
                    }
                    channel += E::WIDTH;
                }
            }
            Step::OutputTransposed { w, transformed, pitch } => {
                let places = places::<M>(corner, [0, 0], output, image * output.size());
                while channel + E::WIDTH <= channels.end {
                    let mut half = [[zero; N]; M];
                    for j in 0..M {
                        let column = std::array::from_fn(|i| engine.load_or(w, places[i][j], channel, zero));
                        half[j] = F::output_transposed(column, zero, f);
                    }
                    for i in 0..N {
                        let row = F::output_transposed(std::array::from_fn(|j| half[j][i]), zero, f);
                        for j in 0..N {
                            let at = (i * N + j) * *pitch + tile * output.channels + channel;
                            engine.store(row[j], transformed, at);
                        }
                    }
                    channel += E::WIDTH;
                }
            }
            Step::InputTransposed { transformed, pitch, a } => {
                let places = places::<N>(corner, before, input, image * input.size());
                while channel + E::WIDTH <= channels.end {
                    let mut half = [[zero; N]; N];
                    for j in 0..N {
                        let column = std::array::from_fn(|i| {
                            engine.load(transformed, (i * N + j) * *pitch + tile * input.channels + channel)
                        });
                        half[j] = F::input_transposed(column, zero, f);
                    }
                    for i in 0..N {
                        let row = F::input_transposed(std::array::from_fn(|j| half[j][i]), zero, f);
                        for j in 0..N {
                            if let Some(place) = places[i][j] {
                                let sum = f(1.0, row[j], engine.load(a, place + channel));
                                engine.store(sum, a, place + channel);
                            }
                        }
                    }
                    channel += E::WIDTH;
                }
            }
        }
        channel
    }
}

/// Some channels at a time.
trait Engine<T>: Copy {
    /// Their numbers.
    type Numbers: Copy;
    /// How many.
    const WIDTH: usize;
    fn splat(self, x: f64) -> Self::Numbers;
    /// k·a + b.
    fn fused(self, k: f64, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers;
    fn load(self, from: &[T], at: usize) -> Self::Numbers;
    fn store(self, numbers: Self::Numbers, to: &mut [T], at: usize);

    #[inline(always)]
    fn load_or(self, from: &[T], place: Option<usize>, channel: usize, zero: Self::Numbers) -> Self::Numbers {
        place.map_or(zero, |place| self.load(from, place + channel))
    }
}

/// A vector of them.
#[derive(Clone, Copy)]
struct Vectors<S>(S);

impl<T: Scalar, S: Simd> Engine<T> for Vectors<S> {
    type Numbers = T::Vector<S>;
    const WIDTH: usize = size_of::<T::Vector<S>>() / size_of::<T>();

    #[inline(always)]
    fn splat(self, x: f64) -> T::Vector<S> {
        T::splat(self.0, T::constant(x))
    }

    #[inline(always)]
    fn fused(self, k: f64, a: T::Vector<S>, b: T::Vector<S>) -> T::Vector<S> {
        T::fused(self.0, T::splat(self.0, T::constant(k)), a, b)
    }

    #[inline(always)]
    fn load(self, from: &[T], at: usize) -> T::Vector<S> {
        T::vectors::<S>(&from[at..at + <Self as Engine<T>>::WIDTH])[0]
    }

    #[inline(always)]
    fn store(self, numbers: T::Vector<S>, to: &mut [T], at: usize) {
        to[at..at + <Self as Engine<T>>::WIDTH].copy_from_slice(T::scalars::<S>(&[numbers]));
    }
}

/// One.
#[derive(Clone, Copy)]
struct Single;

impl<T: Scalar> Engine<T> for Single {
    type Numbers = T;
    const WIDTH: usize = 1;

    #[inline(always)]
    fn splat(self, x: f64) -> T {
        T::constant(x)
    }

    #[inline(always)]
    fn fused(self, k: f64, a: T, b: T) -> T {
        T::constant(k).mul_add(a, b)
    }

    #[inline(always)]
    fn load(self, from: &[T], at: usize) -> T {
        from[at]
    }

    #[inline(always)]
    fn store(self, number: T, to: &mut [T], at: usize) {
        to[at] = number;
    }
}
