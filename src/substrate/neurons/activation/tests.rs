//! Tests of the activation, against the definitions and against themselves.

use proptest::prelude::*;

use super::*;

const PAPER: Activation = Activation::Logistic { slope: 4.0, offset: -2.0 };
const PLAIN: Activation = Activation::Logistic { slope: 1.0, offset: 0.0 };
const FALLING: Activation = Activation::Logistic { slope: -1.5, offset: 0.5 };
const HOLOMORPHIC: [Activation; 7] =
    [PAPER, PLAIN, FALLING, Activation::Tanh, Activation::Dsilu, Activation::Softplus, Activation::Identity];
const ALL: [Activation; 10] = [
    PAPER,
    PLAIN,
    FALLING,
    Activation::Tanh,
    Activation::Dsilu,
    Activation::Softplus,
    Activation::Identity,
    Activation::HardTanh,
    Activation::HardDsilu,
    Activation::Relu,
];

fn value<T: Scalar>(f: Activation, z: Complex<f64>) -> Complex<f64> {
    one::<T>(z, |re, im, u, v| f.apply(re, im, u, v))
}

fn slope<T: Scalar>(f: Activation, z: Complex<f64>) -> Complex<f64> {
    one::<T>(z, |re, im, u, v| f.derivative(re, im, u, v))
}

fn one<T: Scalar>(z: Complex<f64>, f: impl Fn(&[T], &[T], &mut [T], &mut [T])) -> Complex<f64> {
    let (mut u, mut v) = ([T::nan()], [T::nan()]);
    f(&[T::of(z.re)], &[T::of(z.im)], &mut u, &mut v);
    Complex::new(u[0].double(), v[0].double())
}

fn real<T: Scalar>(x: f64, f: impl Fn(&[T], &mut [T])) -> f64 {
    let mut out = [T::nan()];
    f(&[T::of(x)], &mut out);
    out[0].double()
}

/// `z` as the precision stores it.
fn stored<T: Scalar>(z: Complex<f64>) -> Complex<f64> {
    Complex::new(T::of(z.re).double(), T::of(z.im).double())
}

/// What an error of f and of f′ is measured against: |f| and |f′|, but for `Dsilu`, which has zeros, the sum of
/// the moduli of its terms.
fn scales(f: Activation, z: Complex<f64>) -> (f64, f64) {
    if f != Activation::Dsilu {
        return (f.at(z).norm(), f.derivative_at(z).norm());
    }
    let (a, b) = (PLAIN.derivative_at(z), PLAIN.derivative_at(z - 2.0));
    let gap = 0.5 * dsilu_gap(z).norm();
    let bend = 0.5 * z.norm() * (a - b).norm();
    (z.norm() * gap + PLAIN.at(z - 2.0).norm(), gap + bend + b.norm())
}

/// Bounds in ε: 8 for every function. The rounding of slope·z + offset comes on top, |slope·z + offset|·ε/2 in
/// the tail of a logistic function: 8 more over this range.
fn errors_are_bounded<T: Scalar>() {
    let unit = T::epsilon().double();
    for f in HOLOMORPHIC {
        // Up to 0.7 of the way to the nearest pole.
        let height = f.singularity().map_or(3.0, |s| 0.7 * s.im);
        let width = if let Activation::Logistic { slope, .. } = f { 30.0 / slope.abs() } else { 30.0 };
        let bound = if f == PAPER || f == FALLING { 16.0 } else { 8.0 };
        let mut worst = (0f64, 0f64);
        for i in 0..400 {
            for j in 0..=50 {
                let z = Complex::new(
                    width * (f64::from(i) / 200.0 - 1.0 + 1e-3),
                    height * (f64::from(j) / 25.0 - 1.0),
                );
                for z in [z, z * 0.05] {
                    let z = stored::<T>(z);
                    let (a, b) = scales(f, z);
                    worst.0 = worst.0.max((value::<T>(f, z) - f.at(z)).norm() / a / unit);
                    worst.1 = worst.1.max((slope::<T>(f, z) - f.derivative_at(z)).norm() / b / unit);
                }
            }
        }
        assert!(worst.0 < bound && worst.1 < bound, "{f:?} in {}: {worst:?}", T::NAME);
    }
}

#[test]
fn errors_stay_below_the_stated_bounds() {
    errors_are_bounded::<f32>();
    errors_are_bounded::<f64>();
}

/// The relative error near the origin.
#[test]
fn tanh_keeps_its_relative_accuracy_at_the_origin() {
    for exponent in 1..30 {
        let z = Complex::from_polar(10f64.powi(-exponent), 0.3 * f64::from(exponent));
        // The series of tanh; the next term is below 10⁻¹⁸ for the z used in double precision.
        let series = |z: Complex<f64>| {
            let w = z * z;
            z * (1.0 + w * (-1.0 / 3.0 + w * (2.0 / 15.0 + w * (-17.0 / 315.0 + w * (62.0 / 2835.0)))))
        };
        let (single, double) = (stored::<f32>(z), z);
        let error = (value::<f32>(Activation::Tanh, single) - series(single)).norm() / single.norm();
        assert!(error < 4.0 * f64::from(f32::EPSILON), "{z}: {error}");
        if exponent > 1 {
            let error = (value::<f64>(Activation::Tanh, double) - series(double)).norm() / double.norm();
            assert!(error < 4.0 * f64::EPSILON, "{z}: {error}");
        }
    }
}

#[test]
fn the_kernels_agree_on_the_real_axis() {
    fn check<T: Scalar>() {
        let unit = T::epsilon().double();
        for f in ALL {
            let width = if let Activation::Logistic { slope, .. } = f { 30.0 / slope.abs() } else { 30.0 };
            for i in -400..=400 {
                let x = T::of(f64::from(i) / 400.0 * width).double();
                let (z, d) = (value::<T>(f, x.into()), slope::<T>(f, x.into()));
                let (a, b) = scales(f, x.into());
                assert_eq!((z.im, d.im), (0.0, 0.0), "{f:?} at {x}");
                let (f_x, d_x) = (
                    real::<T>(x, |x, out| f.apply_real(x, out)),
                    real::<T>(x, |x, out| f.derivative_real(x, out)),
                );
                assert!((z.re - f_x).abs() <= 8.0 * unit * a, "{f:?} at {x}: {z} {f_x}");
                assert!((d.re - d_x).abs() <= 8.0 * unit * b, "{f:?} at {x}: {d} {d_x}");
                assert!((f_x - f.at(x.into()).re).abs() <= 16.0 * unit * a, "{f:?} at {x}");
                assert!((d_x - f.derivative_at(x.into()).re).abs() <= 16.0 * unit * b, "{f:?} at {x}");
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn what_is_not_finite_stays_not_finite() {
    fn check<T: Scalar>() {
        let huge = T::max_value().double();
        for f in ALL {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for x in [bad, 0.3, -huge, huge] {
                    for y in [bad, 0.2] {
                        if x.is_finite() && y.is_finite() {
                            continue;
                        }
                        let z = Complex::new(x, y);
                        assert!(!value::<T>(f, z).is_finite(), "{f:?} at {z}");
                        assert!(!slope::<T>(f, z).is_finite(), "derivative of {f:?} at {z}");
                    }
                }
                assert!(!real::<T>(bad, |x, out| f.apply_real(x, out)).is_finite(), "{f:?} at {bad}");
                assert!(!real::<T>(bad, |x, out| f.derivative_real(x, out)).is_finite(), "{f:?} at {bad}");
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn tails_saturate_up_to_the_largest_number() {
    fn check<T: Scalar>() {
        for x in [1e3, 1e9, T::max_value().double()] {
            for y in [0.0, 0.4] {
                let at = |f: Activation, sign: f64| value::<T>(f, Complex::new(sign * x, y));
                let slope = |f: Activation, sign: f64| slope::<T>(f, Complex::new(sign * x, y));
                for f in [PAPER, PLAIN, Activation::Dsilu] {
                    assert_eq!((at(f, 1.0), at(f, -1.0)), (Complex::ONE, Complex::ZERO), "{f:?} at {x}");
                }
                assert_eq!((at(FALLING, 1.0), at(FALLING, -1.0)), (Complex::ZERO, Complex::ONE));
                assert_eq!(
                    (at(Activation::Tanh, 1.0), at(Activation::Tanh, -1.0)),
                    (Complex::ONE, -Complex::ONE)
                );
                assert_eq!(at(Activation::Softplus, 1.0), stored::<T>(Complex::new(x, y)));
                assert_eq!(at(Activation::Softplus, -1.0), Complex::ZERO);
                for f in [PAPER, PLAIN, FALLING, Activation::Tanh, Activation::Dsilu] {
                    assert_eq!(
                        (slope(f, 1.0), slope(f, -1.0)),
                        (Complex::ZERO, Complex::ZERO),
                        "{f:?} at {x}"
                    );
                }
            }
            for (f, sign, limit) in
                [(PAPER, 1.0, 1.0), (Activation::Dsilu, -1.0, 0.0), (Activation::Relu, -1.0, 0.0)]
            {
                assert_eq!(real::<T>(sign * x, |x, out| f.apply_real(x, out)), limit, "{f:?} at {x}");
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Where f is singular its derivative grows without bound; nothing nearer to the axis does that.
#[test]
fn singularities_are_where_they_are_said_to_be() {
    for f in HOLOMORPHIC {
        let Some(s) = f.singularity() else { continue };
        assert!(f.derivative_at(s + Complex::new(1e-5, -1e-5)).norm() > 1e3, "{f:?}");
        for i in -1000..1000 {
            let x = f64::from(i) / 100.0;
            assert!(f.derivative_at(Complex::new(x, 0.8 * s.im)).norm() < 100.0, "{f:?} at {x}");
        }
    }
    let real = [Activation::HardTanh, Activation::HardDsilu, Activation::Relu];
    assert!(ALL.iter().filter(|f| !f.is_holomorphic()).eq(&real));
}

#[test]
fn descriptions_read_and_write() {
    let read = |text: &str| serde_json::from_str::<Activation>(text);
    assert_eq!(read("\"tanh\"").unwrap(), Activation::Tanh);
    assert_eq!(read("\"hard_tanh\"").unwrap(), Activation::HardTanh);
    assert_eq!(read("{\"logistic\": {}}").unwrap(), PAPER);
    assert_eq!(read("{\"logistic\": {\"slope\": 1.0, \"offset\": 0}}").unwrap(), PLAIN);
    assert!(read("{\"logistic\": {\"gain\": 1.0}}").is_err());
    assert!(read("\"sigmoid\"").is_err());
    for f in ALL {
        assert_eq!(read(&serde_json::to_string(&f).unwrap()).unwrap(), f);
        assert_eq!(f.validate(), Ok(()));
    }
    for (slope, offset, path) in [
        (0.0, 1.0, "logistic.slope"),
        (f64::NAN, 1.0, "logistic.slope"),
        (1.0, f64::INFINITY, "logistic.offset"),
    ] {
        assert_eq!(Activation::Logistic { slope, offset }.validate().unwrap_err().path, path);
    }
}

#[test]
fn softmax_follows_the_definition() {
    let (classes, samples) = (7, 5);
    let re: Vec<f64> = (0..classes * samples).map(|i| 9.0 * (i as f64 * 1.7).sin()).collect();
    let im: Vec<f64> = (0..classes * samples).map(|i| (i as f64 * 0.9).cos()).collect();
    let (mut u, mut v) = (re.clone(), im.clone());
    softmax(classes, &mut u, &mut v);
    let mut single: (Vec<f32>, Vec<f32>) =
        (re.iter().map(|&x| x as f32).collect(), im.iter().map(|&x| x as f32).collect());
    softmax(classes, &mut single.0, &mut single.1);
    let mut real = re.clone();
    softmax_real(classes, &mut real);
    for sample in 0..samples {
        let column = sample * classes..(sample + 1) * classes;
        let z: Vec<_> = column.clone().map(|i| Complex::new(re[i], im[i]).exp()).collect();
        let sum: Complex<f64> = z.iter().sum();
        let real_sum: f64 = column.clone().map(|i| re[i].exp()).sum();
        for (i, z) in column.zip(z) {
            let exact = z / sum;
            assert!((Complex::new(u[i], v[i]) - exact).norm() < 1e-14 * exact.norm());
            let found = Complex::new(f64::from(single.0[i]), f64::from(single.1[i]));
            assert!((found - exact).norm() < 1e-5 * exact.norm());
            let exact = re[i].exp() / real_sum;
            assert!((real[i] - exact).abs() < 1e-14 * exact);
        }
    }
}

#[test]
fn softmax_keeps_far_and_broken_columns_apart() {
    let mut x = vec![1e30f32, 1e30, f32::NAN, 0.0, f32::INFINITY, 0.0, f32::NEG_INFINITY, 0.0];
    let mut y = vec![0f32; 8];
    let mut real = x.clone();
    softmax(2, &mut x, &mut y);
    softmax_real(2, &mut real);
    assert_eq!((&x[..2], &y[..2], &real[..2]), (&[0.5f32; 2][..], &[0f32; 2][..], &[0.5f32; 2][..]));
    assert!(x[2..].iter().chain(&real[2..]).all(|x| x.is_nan()), "{x:?} {real:?}");
    softmax::<f64>(0, &mut [], &mut []);
}

fn any_holomorphic() -> impl Strategy<Value = Activation> {
    prop::sample::select(&HOLOMORPHIC[..])
}

proptest! {
    /// ∂f/∂x = −i ∂f/∂y = f′, by central differences of the kernel.
    #[test]
    fn kernels_are_holomorphic(f in any_holomorphic(), x in -6.0..6.0, part in -0.7..0.7) {
        let z = Complex::new(x, part * f.singularity().map_or(1.0, |s| s.im));
        let h = 1e-4;
        let along = |step: Complex<f64>| (value::<f64>(f, z + step) - value::<f64>(f, z - step)) / (2.0 * step);
        let (by_x, by_y) = (along(Complex::new(h, 0.0)), along(Complex::new(0.0, h)));
        let derivative = slope::<f64>(f, z);
        // The third derivative at this distance from the pole bounds the truncation error.
        prop_assert!((by_x - by_y).norm() < 1e-4, "{} {}", by_x, by_y);
        prop_assert!((by_x - derivative).norm() < 1e-4, "{} {}", by_x, derivative);
    }

    #[test]
    fn kernels_commute_with_conjugation(f in any_holomorphic(), x in -40.0..40.0, y in -3.0..3.0) {
        let z = Complex::new(x, y);
        prop_assert_eq!(value::<f32>(f, z.conj()), value::<f32>(f, z).conj());
        prop_assert_eq!(slope::<f64>(f, z.conj()), slope::<f64>(f, z).conj());
    }

    #[test]
    fn softmax_sums_to_one_and_ignores_a_common_shift(
        z in prop::collection::vec((-20.0..20.0, -0.5..0.5), 1..12), shift in -50.0..50.0,
    ) {
        let (mut re, mut im): (Vec<f64>, Vec<f64>) = z.into_iter().unzip();
        let mut shifted = (re.iter().map(|x| x + shift).collect::<Vec<_>>(), im.clone());
        softmax(re.len(), &mut re, &mut im);
        softmax(re.len(), &mut shifted.0, &mut shifted.1);
        prop_assert!((re.iter().sum::<f64>() - 1.0).abs() < 1e-13);
        prop_assert!(im.iter().sum::<f64>().abs() < 1e-13);
        for i in 0..re.len() {
            prop_assert!((re[i] - shifted.0[i]).abs() + (im[i] - shifted.1[i]).abs() < 1e-12);
        }
    }
}
