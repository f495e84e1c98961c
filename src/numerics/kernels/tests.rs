//! Tests of the kernels, against the definitions and against themselves.

use super::*;
use crate::numerics::scalar::Scalar;

/// The largest |f(x) − exact(x)| / |exact(x)| in units of ε over `points`.
fn worst<T: Scalar>(points: &[f64], f: impl Fn(T) -> T, exact: impl Fn(f64) -> f64) -> f64 {
    points.iter().fold(0.0, |worst, &x| {
        let x = T::of(x);
        let (found, expected) = (f(x).double(), exact(x.double()));
        let scale = if expected == 0.0 { 1.0 } else { expected.abs() };
        let error = (found - expected).abs() / scale / T::epsilon().double();
        assert!(!error.is_nan(), "at {x}: {found}, not {expected}");
        worst.max(error)
    })
}

/// 10⁵ points from `from` to `to`, and as many in geometric progression from 10⁻³⁰·`to`, none of them 0.
fn points(from: f64, to: f64) -> Vec<f64> {
    (1..=100_000)
        .map(|i| f64::from(i) / 1e5)
        .flat_map(|i| [from + (to - from) * i, to * 10f64.powf(30.0 * (i - 1.0))])
        .filter(|&x| x != 0.0)
        .collect()
}

fn agrees_with_the_standard_library<T: Scalar>() {
    use std::f64::consts::FRAC_PI_2;
    let decay_error = worst::<T>(&points(0.0, T::DECAY_LIMIT.double()), decay, |a| (-a).exp());
    let complement = |a| decay_and_complement(a).1;
    let complement_error = worst::<T>(&points(0.0, 100.0), complement, |a| -(-a).exp_m1());
    let sin_error = worst::<T>(&points(-FRAC_PI_2, FRAC_PI_2), sin_half_turn, f64::sin);
    let cos_error = worst::<T>(&points(-1.0, 1.0), cos_half_turn, f64::cos);
    let ln_error = worst::<T>(&points(0.0, 1e6), ln, f64::ln);
    let ln_1p_error = worst::<T>(&points(-0.9, 3.0), ln_1p, f64::ln_1p);
    let angle_error = worst::<T>(&points(-9.0, 9.0), |y| angle(y, T::of(2.0)), |y| y.atan2(2.0));
    let errors = [
        ("exp", decay_error),
        ("expm1", complement_error),
        ("sin", sin_error),
        ("cos", cos_error),
        ("ln", ln_error),
        ("ln1p", ln_1p_error),
        ("atan2", angle_error),
    ];
    for (name, error) in errors {
        assert!(error < 3.0, "{name} of {}: {error} ε", T::NAME);
    }
}

#[test]
fn elementary_functions_agree_with_the_standard_library() {
    agrees_with_the_standard_library::<f32>();
    agrees_with_the_standard_library::<f64>();
}

/// The phase is reduced as accurately as double precision can tell, far from the origin too.
#[test]
fn large_phases_are_reduced() {
    for y in [3.0, -40.0, 1e3 + 0.25, -99_999.5, 1_048_575.0] {
        let (c, s) = polar(1.0, y as f32);
        assert!((f64::from(c) - y.cos()).abs() < 2e-7 && (f64::from(s) - y.sin()).abs() < 2e-7, "{y}");
        let (c, s) = polar(1.0, y);
        assert!((c - y.cos()).abs() < 5e-16 && (s - y.sin()).abs() < 5e-16, "{y}");
    }
    assert!(polar(1.0, 1.1e6f32).0.is_nan() && polar(1.0, -3e14f64).1.is_nan());
}

/// What the vectorised loop makes of an element is what the kernel makes of it alone, whatever the length of
/// the slice and the place in it.
fn position_does_not_matter<T: Scalar>(kernel: fn(T, T) -> (T, T), mapped: Mapped<T>) {
    let wave = |i: usize, step: f64| T::of((i as f64 * step).sin() * 5.0);
    for n in 0..70 {
        let re: Vec<T> = (0..n).map(|i| wave(i + n, 0.7)).collect();
        let im: Vec<T> = (0..n).map(|i| wave(i + n, 1.3)).collect();
        let (mut u, mut v) = (vec![T::nan(); n], vec![T::nan(); n]);
        mapped(&re, &im, &mut u, &mut v);
        for i in 0..n {
            assert_eq!((u[i], v[i]), kernel(re[i], im[i]), "element {i} of {n}");
        }
    }
}

type Mapped<T> = fn(&[T], &[T], &mut [T], &mut [T]);

macro_rules! check_positions {
    ($($kernel:ident)*) => {
        $(
            position_does_not_matter::<f32>($kernel, |a, b, c, d| map(a, b, c, d, #[inline(always)] |x, y| $kernel(x, y)));
            position_does_not_matter::<f64>($kernel, |a, b, c, d| map(a, b, c, d, #[inline(always)] |x, y| $kernel(x, y)));
        )*
    };
}

#[test]
fn an_element_does_not_depend_on_its_position() {
    check_positions!(logistic logistic_slope tanh softplus dsilu dsilu_slope);
}
