//! Solvers against dense algebra and closed forms.

use nalgebra::DVector;
use rand::RngExt;

use super::*;
use crate::numerics::rng::{Purpose, stream};
use crate::substrate::neurons::model::ModelSpec;
use crate::substrate::neurons::network::Network;

fn shape(sizes: [usize; 2], batch: usize, rails: usize) -> StateShape {
    let model: ModelSpec = serde_json::from_value(serde_json::json!({
        "name": "two", "input": 1, "activation": "tanh", "cost": "squared_error",
        "layers": [{ "name": "a", "size": sizes[0] }, { "name": "b", "size": sizes[1] }],
        "connections": [{ "from": "input", "to": "a" }, { "from": "a", "to": "b" }] }))
    .unwrap();
    StateShape::new(&Network::new(&model).unwrap(), batch, rails)
}

/// 1 + 0.5 · random: well conditioned, not normal; complex if the layout is.
fn matrices(shape: &StateShape, seed: u64) -> Vec<DMatrix<Complex<f64>>> {
    let n = shape.neurons();
    let mut random = stream(seed, Purpose::Data, 0);
    let mut number = || 2.0 * random.random::<f64>() - 1.0;
    let mut entry = |i: usize, j: usize| {
        let im = if shape.rails == 2 { number() } else { 0.0 };
        Complex::new(number(), im) * (0.5 / (n as f64).sqrt()) + if i == j { 1.0 } else { 0.0 }
    };
    (0..shape.batch).map(|_| DMatrix::from_fn(n, n, &mut entry)).collect()
}

fn gather<T: Scalar>(shape: &StateShape, v: &[T], sample: usize) -> DVector<Complex<f64>> {
    let rail = |rail: usize| -> Vec<f64> {
        if rail == shape.rails {
            return vec![0.0; shape.neurons()];
        }
        (0..2).flat_map(|layer| v[shape.column(layer, rail, sample)].iter().map(|x| x.double())).collect()
    };
    let (re, im) = (rail(0), rail(1));
    DVector::from_fn(shape.neurons(), |i, _| Complex::new(re[i], im[i]))
}

fn scatter<T: Scalar>(shape: &StateShape, vector: &DVector<Complex<f64>>, sample: usize, v: &mut [T]) {
    for layer in 0..2 {
        let offset = if layer == 0 { 0 } else { shape.size(0) };
        for rail in 0..shape.rails {
            for (i, x) in v[shape.column(layer, rail, sample)].iter_mut().enumerate() {
                let z = vector[offset + i];
                *x = T::of(if rail == 0 { z.re } else { z.im });
            }
        }
    }
}

fn multiply<T: Scalar>(shape: &StateShape, matrices: &[DMatrix<Complex<f64>>], v: &[T], out: &mut [T]) {
    for (sample, matrix) in matrices.iter().enumerate() {
        scatter(shape, &(matrix * gather(shape, v, sample)), sample, out);
    }
}

fn solve<T: Scalar>(sizes: [usize; 2], rails: usize, tolerance: f64) -> (Solved, f64) {
    let shape = shape(sizes, 3, rails);
    let matrices = matrices(&shape, 7 + rails as u64);
    let mut b = vec![T::zero(); shape.len()];
    let mut random = stream(3, Purpose::Data, 1);
    b.iter_mut().for_each(|x| *x = T::of(random.random::<f64>() - 0.5));
    // One sample has nothing to solve: it must neither spoil the others nor become not-a-number.
    scatter(&shape, &DVector::zeros(shape.neurons()), 1, &mut b);
    let mut x = vec![T::of(0.3); shape.len()];
    let solved = gmres(&shape, |v, out| multiply(&shape, &matrices, v, out), &b, &mut x, tolerance, 3000);
    let mut worst = 0.0_f64;
    for (sample, matrix) in matrices.iter().enumerate() {
        let exact = matrix.clone().lu().solve(&gather(&shape, &b, sample)).unwrap();
        worst = worst.max((gather(&shape, &x, sample) - exact).norm());
    }
    (solved, worst)
}

#[test]
fn gmres_solves_what_lu_solves() {
    for rails in [1, 2] {
        for sizes in [[3, 2], [20, 17]] {
            let (solved, off) = solve::<f64>(sizes, rails, 1e-14);
            assert!(solved.residual <= 1e-14 && off < 1e-12, "{rails} rails, {sizes:?}: {solved:?}, {off:e}");
            let neurons = (sizes[0] + sizes[1]) as u64;
            assert!(solved.products <= 2 * (neurons + 2), "{solved:?}");
            let (solved, off) = solve::<f32>(sizes, rails, 2e-6);
            assert!(
                solved.residual <= 2e-6 && off < 1e-4,
                "f32, {rails} rails, {sizes:?}: {solved:?}, {off:e}"
            );
        }
    }
}

#[test]
fn real_directions_solve_a_shifted_system() {
    for (sizes, shift) in [([3, 2], 0.4), ([20, 17], 0.02), ([20, 17], 3.0)] {
        let shape = shape(sizes, 3, 1);
        let complex = shape.with_rails(2);
        let matrices = matrices(&shape, 23);
        let mut b = vec![0.0; shape.len()];
        let mut random = stream(4, Purpose::Data, 1);
        b.iter_mut().for_each(|x| *x = random.random::<f64>() - 0.5);
        scatter(&shape, &DVector::zeros(shape.neurons()), 1, &mut b);
        let apply = |v: &[f64], out: &mut [f64]| multiply(&shape, &matrices, v, out);
        let (x, products) = gmres_shifted(&shape, apply, shift, &b, 1e-13);
        assert!(products <= shape.neurons() as u64, "{products}");
        for (sample, matrix) in matrices.iter().enumerate() {
            let turn = DMatrix::identity(shape.neurons(), shape.neurons()) * Complex::new(0.0, shift);
            let exact = (matrix + turn).lu().solve(&gather(&shape, &b, sample)).unwrap();
            let off = (gather(&complex, &x, sample) - exact).norm();
            assert!(off < 1e-11, "{sizes:?}, shift {shift}, sample {sample}: {off:e}");
        }
    }
}

#[test]
fn gmres_restarts_and_gives_up_when_told() {
    let shape = shape([50, 40], 2, 1);
    let n = shape.neurons();
    // Eigenvalues 1…n need more directions than a cycle has.
    let matrices: Vec<_> = (0..2)
        .map(|sample| {
            DMatrix::from_fn(n, n, |i, j| {
                let entry = if i == j {
                    1.0 + i as f64
                } else if j == i + 1 {
                    0.3 + sample as f64
                } else {
                    0.0
                };
                Complex::new(entry, 0.0)
            })
        })
        .collect();
    let b = vec![1.0; shape.len()];
    let run = |most: u64| {
        let mut x = vec![0.0; shape.len()];
        let solved = gmres(&shape, |v, out| multiply(&shape, &matrices, v, out), &b, &mut x, 1e-12, most);
        (solved, x)
    };
    let (solved, x) = run(3000);
    assert!(solved.products > 62 && solved.products < 3000 && solved.residual <= 1e-12, "{solved:?}");
    for (sample, matrix) in matrices.iter().enumerate() {
        let exact = matrix.clone().lu().solve(&gather(&shape, &b, sample)).unwrap();
        assert!((gather(&shape, &x, sample) - exact).norm() < 1e-10);
    }
    let (cut, _) = run(20);
    assert!(cut.residual > 1e-12 && cut.products <= 22, "{cut:?}");
}

/// Largest distance from one of `a` to the nearest of `b`.
fn farthest(a: &[Complex<f64>], b: &[Complex<f64>]) -> f64 {
    let nearest = |z: &Complex<f64>| b.iter().map(|w| (z - w).norm()).fold(f64::INFINITY, f64::min);
    a.iter().map(nearest).fold(0.0, f64::max)
}

#[test]
fn ritz_values_are_the_eigenvalues_of_small_operators() {
    let shape = shape([9, 6], 3, 1);
    let matrices = matrices(&shape, 11);
    let values = ritz_values::<f64>(&shape, |v, out| multiply(&shape, &matrices, v, out), 60);
    for (matrix, ritz) in matrices.iter().zip(&values) {
        let exact: Vec<_> = matrix.map(|z| z.re).complex_eigenvalues().iter().copied().collect();
        assert_eq!(ritz.len(), exact.len());
        let off = farthest(ritz, &exact).max(farthest(&exact, ritz));
        assert!(off < 1e-10, "{off:e}");
    }
}

#[test]
fn almost_equal_eigenvalues_do_not_keep_the_iteration_going() {
    let n = 30;
    let mut random = stream(5, Purpose::Data, 2);
    let mut endless = 0;
    for scale in [1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 3e-17] {
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            let noise = scale * (2.0 * random.random::<f64>() - 1.0);
            if i == j { noise - 1.0 } else { noise }
        });
        endless += u32::from(Schur::try_new(matrix.clone(), f64::EPSILON, 100 * n).is_none());
        let found = eigenvalues(&matrix).unwrap();
        assert_eq!(found.len(), n);
        assert!(found.iter().all(|z| (z + 1.0).norm() < 1e-10), "{scale:e}: {found:?}");
    }
    assert!(endless > 0, "none of them is hard");
    assert!(eigenvalues(&DMatrix::from_element(4, 4, f64::NAN)).is_none());
}

#[test]
fn ritz_values_stop_where_the_subspace_is_invariant() {
    // Two eigenvalues only: no vector spans more than two directions.
    let shape = shape([4, 3], 2, 1);
    let matrix = DMatrix::from_fn(7, 7, |i, j| {
        let value = if i % 2 == 0 { 2.0 } else { -0.5 };
        Complex::new(if i == j { value } else { 0.0 }, 0.0)
    });
    let matrices = [matrix.clone(), matrix];
    for ritz in ritz_values::<f64>(&shape, |v, out| multiply(&shape, &matrices, v, out), 7) {
        assert_eq!(ritz.len(), 2);
        let expected = [Complex::new(2.0, 0.0), Complex::new(-0.5, 0.0)];
        assert!(farthest(&expected, &ritz) < 1e-12);
    }
}

#[test]
fn a_few_ritz_values_find_the_end_of_the_spectrum() {
    let shape = shape([70, 50], 1, 1);
    // Rates between 1 and 3, and one slow mode at 0.1.
    let matrix = DMatrix::from_fn(120, 120, |i, j| {
        let rate = if i == 0 { 0.1 } else { 1.0 + i as f64 / 60.0 };
        Complex::new(if i == j { -rate } else { 0.0 }, 0.0)
    });
    let values =
        ritz_values::<f64>(&shape, |v, out| multiply(&shape, std::slice::from_ref(&matrix), v, out), 30);
    let slowest = values[0].iter().map(|z| z.re).fold(f64::NEG_INFINITY, f64::max);
    assert!((slowest + 0.1).abs() < 1e-6, "{slowest}");
}
