//! A map step of the published network VGG4: `cargo bench --bench convolution -- [samples] [threads]`.
//!
//! Without threads (0) it times the parts of the step on one, without samples (0) the products that they consist of. Prints
//! the least of many rounds, or the mean processor time of one thread, in single precision. A step is every current into the layers 1 to 4 but the constant one from the
//! input, and the activation.

use std::time::Instant;

use holograd::numerics::convolution::geometry::{Geometry, Padding, Shape};
use holograd::numerics::convolution::{Convolution, Method, PooledConvolution, Scratch};
use holograd::numerics::panels::Panels;
use holograd::numerics::pooling::{Pooling, Window};
use holograd::numerics::rails::{Rails, RailsMut};
use holograd::numerics::scalar::{Layout, gemm};
use holograd::substrate::neurons::activation::Activation;
use rayon::prelude::*;

const SOFTMAX: Pooling = Pooling::Softmax { window: Window { size: 2, stride: 2 }, temperature: 1.0 };
const ROUNDS: usize = 40;

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f64 * 0.618_034).fract() as f32 - 0.5).collect()
}

/// The least of several times, in milliseconds.
fn least(rounds: usize, mut f: impl FnMut()) -> f64 {
    let time = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..rounds).map(|_| time(&mut f)).fold(f64::INFINITY, f64::min)
}

/// The processor time of one thread that a call takes, in milliseconds, so that other programs count less: Linux only.
fn processor(mut f: impl FnMut()) -> f64 {
    let now = || -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        text.split(' ').next().expect("a first field").parse::<f64>().expect("nanoseconds") / 1e6
    };
    f();
    let (start, mut calls) = (now(), 0);
    while now() - start < 60.0 {
        f();
        calls += 1;
    }
    (now() - start) / f64::from(calls)
}

/// The connections above the first layer.
fn connections(methods: [Method; 3]) -> Vec<PooledConvolution<f32>> {
    let shapes = [(16, 128, 256, Padding::Same), (8, 256, 512, Padding::Same), (4, 512, 512, Padding::Valid)];
    let connection = |((side, below, above, padding), method)| {
        let geometry = Geometry::new(Shape::new(side, side, below), above, [3, 3], 1, padding).expect("fits");
        let mut connection =
            PooledConvolution::new(Convolution::new(geometry, method), SOFTMAX).expect("fits");
        let scale = (12.0 / geometry.fan_in() as f32).sqrt();
        let kernel: Vec<f32> = numbers(geometry.weights()).iter().map(|w| w * scale).collect();
        connection.set_kernel(&kernel);
        connection
    };
    shapes.into_iter().zip(methods).map(connection).collect()
}

/// A chunk of samples: its layers, the currents into them, the constant drive, and buffers.
struct Chunk {
    layers: Vec<Vec<f32>>,
    currents: Vec<Vec<f32>>,
    drive: Vec<f32>,
    scratch: Scratch<f32>,
}

impl Chunk {
    fn new(network: &[PooledConvolution<f32>], samples: usize) -> Self {
        let sizes = [network[0].input().size()].into_iter().chain(network.iter().map(|c| c.output().size()));
        let layers: Vec<Vec<f32>> = sizes.map(|size| numbers(samples * size)).collect();
        let drive = numbers(layers[0].len());
        Self { currents: layers.clone(), layers, drive, scratch: Scratch::default() }
    }

    fn step(&mut self, network: &[PooledConvolution<f32>]) {
        self.currents[0].copy_from_slice(&self.drive);
        self.currents[1..].iter_mut().for_each(|current| current.fill(0.0));
        for (index, connection) in network.iter().enumerate() {
            let (lower, upper) = self.currents.split_at_mut(index + 1);
            let up = Some(RailsMut::real(&mut upper[0][..]));
            let down =
                Some((Rails::real(&self.layers[index + 1][..]), RailsMut::real(&mut lower[index][..])));
            connection.currents(Rails::real(&self.layers[index]), up, down, &mut self.scratch);
        }
        for (layer, current) in self.layers.iter_mut().zip(&self.currents) {
            Activation::Dsilu.apply_real(current, layer);
        }
    }
}

/// Rates of a product of that many columns, GFLOP/s of one thread: the crate's, and that of panels.
fn products() {
    for (rows, inner, columns) in [
        (256, 1152, 48),
        (512, 2304, 28),
        (256, 128, 128),
        (128, 256, 128),
        (512, 256, 32),
        (512, 512, 16),
        (512, 256, 128),
    ] {
        let (a, b, mut out) = (numbers(rows * inner), numbers(inner * columns), vec![0.0; rows * columns]);
        let mut panels = Panels::default();
        panels.pack(rows, &a);
        let repeats = 1 + 30_000_000 / (rows * inner * columns);
        let rate = |ms: f64| (2 * repeats * rows * inner * columns) as f64 / ms / 1e6;
        let crates = processor(|| {
            (0..repeats).for_each(|_| gemm((rows, inner, columns), &a, Layout::Plain, &b, 0.0, &mut out))
        });
        let ours = processor(|| (0..repeats).for_each(|_| panels.multiply_add(&b, &mut out)));
        println!("{rows} x {inner} x {columns}: gemm {:.0}, panels {:.0} GFLOP/s", rate(crates), rate(ours));
    }
}

/// Each part of one connection on one thread.
fn parts(samples: usize) {
    use Method::{Direct, Winograd2, Winograd4};
    for methods in [[Direct; 3], [Winograd2; 3], [Winograd4, Winograd4, Winograd2]] {
        for connection in &connections(methods) {
            let (below, between, above) =
                (connection.input().size(), connection.intermediate().size(), connection.output().size());
            let (mut a, v) = (numbers(samples * below), numbers(samples * above));
            let (mut z, mut up) = (numbers(samples * between), numbers(samples * above));
            let mut scratch = Scratch::default();
            let mut buffers = holograd::numerics::convolution::Buffers::default();
            let flops = (2 * samples * connection.convolution().geometry().products()) as f64 / 1e6;
            let convolution = connection.convolution();
            let forward = processor(|| convolution.convolve(&a, &mut z, &mut buffers));
            let backward = processor(|| convolution.transpose_add(&z, &mut a, &mut buffers));
            let mut gradient = vec![0.0; convolution.geometry().weights()];
            let outer = processor(|| convolution.gradient_add(&a, &z, &mut gradient, &mut buffers));
            let both = processor(|| {
                let down = Some((Rails::real(&v[..]), RailsMut::real(&mut a[..])));
                connection.currents_at(Rails::real(&z), Some(RailsMut::real(&mut up)), down, &mut scratch);
            });
            println!(
                "{:?} {methods:?}: z {forward:.2} ms ({:.0} GFLOP/s), transpose {backward:.2} ({:.0}), pooling {:.2}, gradient {outer:.2} ({:.0})",
                connection.input(),
                flops / forward,
                flops / backward,
                both - backward,
                flops / outer,
            );
        }
    }
}

fn main() {
    let arguments: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let samples = arguments.first().copied().unwrap_or(16);
    let threads = arguments.get(1).copied().unwrap_or(2);
    if samples == 0 {
        return products();
    }
    if threads == 0 {
        return parts(samples);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    use Method::{Direct, Winograd2, Winograd4};
    for methods in
        [[Direct; 3], [Winograd2; 3], [Winograd4, Winograd4, Direct], [Winograd4, Winograd4, Winograd2]]
    {
        let network = connections(methods);
        let flops = 4.0
            * samples as f64
            * network.iter().map(|c| c.convolution().geometry().products() as f64).sum::<f64>();
        for chunk in [4, 8, 16, 32, 64].into_iter().filter(|chunk| chunk * threads <= samples) {
            let mut chunks: Vec<Chunk> = (0..samples / chunk).map(|_| Chunk::new(&network, chunk)).collect();
            let ms = if threads == 1 {
                processor(|| chunks.iter_mut().for_each(|chunk| chunk.step(&network)))
            } else {
                least(ROUNDS, || {
                    pool.install(|| chunks.par_iter_mut().for_each(|chunk| chunk.step(&network)))
                })
            };
            println!(
                "{methods:?}, {samples} samples in chunks of {chunk}, {threads} threads: {ms:.1} ms, {:.0} effective GFLOP/s",
                flops / ms / 1e6
            );
        }
    }
}
