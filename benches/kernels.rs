//! The kernels under the simulator: matrix product, activations, noise, lock-in.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holograd::numerics::rng::{NoiseKey, Purpose};
use holograd::numerics::scalar::{Layout, Scalar, gemm};
use holograd::substrate::neurons::activation::{Activation, ActivationSpec};
use nalgebra::DMatrix;

fn values<T: Scalar>(count: usize) -> Vec<T> {
    (0..count).map(|i| T::of((i as f64 * 0.618).fract() - 0.5)).collect()
}

/// The product of one connection direction, and nalgebra's safe one beside it. Throughput counts multiply–adds as two.
fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    for (n, columns) in [(256, 20), (256, 40), (1024, 20), (1024, 400)] {
        let (a, b) = (values::<f32>(n * n), values::<f32>(n * columns));
        let mut out = vec![0.0_f32; n * columns];
        group.throughput(Throughput::Elements((2 * n * n * columns) as u64));
        group.bench_function(format!("ours {n}x{n}x{columns}"), |bencher| {
            bencher
                .iter(|| gemm((n, n, columns), black_box(&a), Layout::Plain, black_box(&b), 0.0, &mut out));
        });
        let (a, b) = (DMatrix::from_vec(n, n, a.clone()), DMatrix::from_vec(n, columns, b.clone()));
        let mut out = DMatrix::<f32>::zeros(n, columns);
        group.bench_function(format!("nalgebra {n}x{n}x{columns}"), |bencher| {
            bencher.iter(|| out.gemm(1.0, black_box(&a), black_box(&b), 0.0));
        });
    }
    group.finish();
}

fn activations<T: Scalar>(criterion: &mut Criterion) {
    const COUNT: usize = 10_240;
    let mut group = criterion.benchmark_group(format!("complex activation {}", T::NAME));
    group.throughput(Throughput::Elements(COUNT as u64));
    let (re, im) = (values::<T>(COUNT), values::<T>(COUNT));
    let (mut out_re, mut out_im) = (vec![T::zero(); COUNT], vec![T::zero(); COUNT]);
    let logistic = Activation::Logistic { slope: 4.0, offset: -2.0 };
    for (name, activation) in
        [("logistic", logistic), ("tanh", Activation::Tanh), ("dsilu", Activation::Dsilu)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| activation.apply(black_box(&re), black_box(&im), &mut out_re, &mut out_im));
        });
    }
    for text in ["logistic(4*z - 2)", "tanh(z)", "0.5*z*logistic(z) + (1 - 0.5*z)*logistic(z - 2)"] {
        let own = ActivationSpec::Expression(text.into()).build();
        group.bench_function(text, |bencher| {
            bencher.iter(|| own.apply(black_box(&re), black_box(&im), &mut out_re, &mut out_im));
        });
    }
    group.finish();
}

fn noise(criterion: &mut Criterion) {
    const COUNT: usize = 256;
    let mut group = criterion.benchmark_group("normals");
    group.throughput(Throughput::Elements(COUNT as u64));
    let key = NoiseKey::new(1, Purpose::StateNoise, 0);
    let (mut single, mut double) = (vec![0.0_f32; COUNT], vec![0.0_f64; COUNT]);
    group.bench_function("f32", |bencher| bencher.iter(|| key.normals(black_box(7), 3, &mut single)));
    group.bench_function("f64", |bencher| bencher.iter(|| key.normals(black_box(7), 3, &mut double)));
    group.finish();
}

criterion_group!(benches, products, activations::<f32>, activations::<f64>, noise);
criterion_main!(benches);
