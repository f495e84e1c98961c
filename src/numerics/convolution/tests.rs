//! Every operation against plain loops, which know nothing of blocks, panels or tiles.

use num_complex::Complex;
use proptest::prelude::*;

use super::geometry::{Geometry, Padding, Shape};
use super::{At, Buffers, Convolution, Method, PooledConvolution, Scratch};
use crate::numerics::pooling::{Pooling, Window};
use crate::numerics::rails::{Rails, RailsMut};
use crate::numerics::scalar::Scalar;

/// Numbers between −1 and 1 that do not repeat.
fn numbers<T: Scalar>(count: usize, seed: usize) -> Vec<T> {
    (0..count)
        .map(|i| T::of(2.0 * ((i * 37 + seed * 101 + 5) as f64 * 0.618_033_988_749).fract() - 1.0))
        .collect()
}

/// Calls `f` with the indices of input, weight and output of every product of an image.
fn each_product(geometry: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let Geometry { input, output, kernel, stride, before } = *geometry;
    for (y, x) in (0..output.height).flat_map(|y| (0..output.width).map(move |x| (y, x))) {
        for (i, j) in (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j))) {
            let (row, column) = (y * stride + i, x * stride + j);
            let inside = (before[0]..before[0] + input.height).contains(&row)
                && (before[1]..before[1] + input.width).contains(&column);
            if !inside {
                continue;
            }
            let from = ((row - before[0]) * input.width + column - before[1]) * input.channels;
            let to = (y * output.width + x) * output.channels;
            for (c, o) in (0..input.channels).flat_map(|c| (0..output.channels).map(move |o| (c, o))) {
                f(from + c, ((i * kernel[1] + j) * input.channels + c) * output.channels + o, to + o);
            }
        }
    }
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let sizes = (1..9_usize, 1..9_usize, 1..20_usize, 1..20_usize);
    (sizes, 1..5_usize, 1..4_usize, 1..4_usize, any::<bool>()).prop_filter_map(
        "a kernel that fits",
        |((height, width, channels, out), kernel_height, kernel_width, stride, same)| {
            let padding = if same { Padding::Same } else { Padding::Valid };
            let input = Shape::new(height, width, channels);
            Geometry::new(input, out, [kernel_height, kernel_width], stride, padding).ok()
        },
    )
}

fn three_by_three() -> impl Strategy<Value = Geometry> {
    (3..11_usize, 3..11_usize, 1..40_usize, 1..40_usize, any::<bool>()).prop_map(
        |(height, width, channels, out, same)| {
            let padding = if same { Padding::Same } else { Padding::Valid };
            Geometry::new(Shape::new(height, width, channels), out, [3, 3], 1, padding).expect("a legal one")
        },
    )
}

/// The greatest difference, relative to the greatest number.
fn distance<T: Scalar>(found: &[T], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(1e-300_f64, |most, x| most.max(x.abs()));
    found.iter().zip(expected).map(|(f, e)| (f.double() - e).abs()).fold(0.0, f64::max) / scale
}

/// The relative errors of z = K∗a, of its transpose and of the kernel's gradient.
fn errors<T: Scalar>(geometry: &Geometry, method: Method, images: usize) -> [f64; 3] {
    let (below, above) = (geometry.input.size(), geometry.output.size());
    let (a, w) = (numbers::<T>(images * below, 1), numbers::<T>(images * above, 2));
    let unrolled = method == Method::Unrolled;
    let kernels = if unrolled { geometry.output.positions() } else { 1 };
    let (kernel, start) = (numbers::<T>(kernels * geometry.weights(), 3), numbers::<T>(images * below, 4));
    let shared = &kernel[..geometry.weights()];
    let double = |values: &[T]| values.iter().map(|x| x.double()).collect::<Vec<f64>>();
    let mut expected = [vec![0.0; images * above], double(&start), double(shared)];
    for image in 0..images {
        each_product(geometry, |i, k, o| {
            let own = if unrolled { o / geometry.output.channels * geometry.weights() } else { 0 };
            let (i, o) = (image * below + i, image * above + o);
            expected[0][o] += kernel[own + k].double() * a[i].double();
            expected[1][i] += kernel[own + k].double() * w[o].double();
            expected[2][k] += a[i].double() * w[o].double();
        });
    }
    let mut convolution = Convolution::<T>::new(*geometry, method);
    convolution.set_kernel(&kernel);
    // Another batch first, so that the buffers are dirty.
    let mut buffers = Buffers::default();
    let mut other = vec![T::zero(); 3 * above];
    convolution.convolve(&numbers(3 * below, 9), &mut other, &mut buffers);
    let (mut z, mut back, mut gradient) = (numbers::<T>(images * above, 5), start, shared.to_vec());
    convolution.convolve(&a, &mut z, &mut buffers);
    convolution.transpose_add(&w, &mut back, &mut buffers);
    convolution.gradient_add(&a, &w, &mut gradient, &mut buffers);
    [distance(&z, &expected[0]), distance(&back, &expected[1]), distance(&gradient, &expected[2])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn patches_convolve_as_plain_loops_do(geometry in geometries(), images in 1..4_usize) {
        for method in [Method::Direct, Method::Unrolled] {
            let double = errors::<f64>(&geometry, method, images);
            prop_assert!(double.iter().all(|e| *e < 1e-13), "{method:?} {double:?}");
            let single = errors::<f32>(&geometry, method, images);
            prop_assert!(single.iter().all(|e| *e < 1e-5), "{method:?} {single:?}");
        }
    }

    #[test]
    fn tiles_convolve_as_plain_loops_do(geometry in three_by_three(), images in 1..6_usize) {
        for (method, single) in [(Method::Winograd2, 1e-5), (Method::Winograd4, 1e-4)] {
            let double = errors::<f64>(&geometry, method, images);
            prop_assert!(double.iter().all(|e| *e < 1e-12), "{method:?} {double:?}");
            let found = errors::<f32>(&geometry, method, images);
            prop_assert!(found.iter().all(|e| *e < single), "{method:?} {found:?}");
        }
    }

    /// Also where a pointwise kernel needs no patches.
    #[test]
    fn squares_are_those_of_the_patches(geometry in geometries()) {
        let a = numbers::<f64>(geometry.input.size(), 1);
        let mut expected = vec![0.0; geometry.output.size()];
        each_product(&geometry, |i, _, o| expected[o] += a[i] * a[i]);
        let expected: Vec<f64> = expected.into_iter().step_by(geometry.output.channels).collect();
        let mut squares = vec![0.0; geometry.output.positions()];
        Convolution::<f64>::new(geometry, Method::Direct).squares_add(&a, &mut squares);
        prop_assert!(distance(&squares, &expected) < 1e-14);
    }
}

/// More images than are worked on at a time.
#[test]
fn many_images_are_cut_into_blocks() {
    let geometry = Geometry::new(Shape::new(11, 11, 40), 40, [3, 3], 1, Padding::Same).unwrap();
    for method in [Method::Direct, Method::Winograd2, Method::Winograd4] {
        let found = errors::<f64>(&geometry, method, 60);
        assert!(found.iter().all(|e| *e < 1e-12), "{method:?} {found:?}");
    }
}

/// Rounding errors of the three methods in single precision, relative to the root mean square of the exact result, for a kernel of
/// the published size with inputs between 0 and 1.
#[test]
fn rounding_errors_of_tiles_are_small() {
    let geometry = Geometry::new(Shape::new(8, 8, 128), 128, [3, 3], 1, Padding::Same).unwrap();
    let a: Vec<f32> = numbers::<f32>(geometry.input.size(), 1).iter().map(|x| 0.5 * (x + 1.0)).collect();
    let kernel: Vec<f32> = numbers::<f32>(geometry.weights(), 3).iter().map(|x| x * 0.05).collect();
    let mut exact = vec![0.0_f64; geometry.output.size()];
    each_product(&geometry, |i, k, o| exact[o] += f64::from(kernel[k]) * f64::from(a[i]));
    let size = (exact.iter().map(|z| z * z).sum::<f64>() / exact.len() as f64).sqrt();
    let error = |method| {
        let mut convolution = Convolution::<f32>::new(geometry, method);
        convolution.set_kernel(&kernel);
        let mut z = vec![0.0; exact.len()];
        convolution.convolve(&a, &mut z, &mut Buffers::default());
        let squares: f64 = z.iter().zip(&exact).map(|(z, e)| (f64::from(*z) - e).powi(2)).sum();
        (squares / exact.len() as f64).sqrt() / size
    };
    let found = [Method::Direct, Method::Winograd2, Method::Winograd4].map(error);
    println!("relative errors: direct {:.1e}, F(2,3) {:.1e}, F(4,3) {:.1e}", found[0], found[1], found[2]);
    for (found, limit) in found.iter().zip([1.5e-6, 1.5e-6, 3e-6]) {
        assert!(*found < limit, "{found:e} {limit:e}");
    }
}

// ---- with pooling

/// A connection, a state and directions, all complex or all real, and plain loops over them.
#[derive(Debug)]
struct Case {
    connection: PooledConvolution<f64>,
    kernel: Vec<f64>,
    samples: usize,
    rails: usize,
}

fn poolings() -> impl Strategy<Value = Pooling> {
    let window = (1..4_usize, 1..4_usize).prop_map(|(size, stride)| Window { size, stride });
    prop_oneof![
        Just(Pooling::None),
        window.clone().prop_map(Pooling::Average),
        (window, 0.4..2.0).prop_map(|(window, temperature)| Pooling::Softmax { window, temperature }),
    ]
}

fn case((geometry, pooling, samples, rails): (Geometry, Pooling, usize, usize)) -> Option<Case> {
    let method = if Method::Winograd4.suits(&geometry) { Method::Winograd4 } else { Method::Direct };
    let mut connection = PooledConvolution::new(Convolution::new(geometry, method), pooling).ok()?;
    let scale = 0.7 / (geometry.fan_in() as f64).sqrt();
    let kernel: Vec<f64> = numbers::<f64>(geometry.weights(), 3).iter().map(|x| x * scale).collect();
    connection.set_kernel(&kernel);
    Some(Case { connection, kernel, samples, rails })
}

fn cases() -> impl Strategy<Value = Case> {
    let geometry = prop_oneof![geometries(), three_by_three()];
    (geometry, poolings(), 1..4_usize, 1..3_usize).prop_filter_map("a pooling that fits", case)
}

type C = Complex<f64>;

/// The complex numbers of planar values.
fn complex(values: &[f64], rails: usize) -> Vec<C> {
    let half = values.len() / rails;
    (0..half).map(|i| C::new(values[i], if rails == 2 { values[half + i] } else { 0.0 })).collect()
}

impl Case {
    fn lower(&self, seed: usize) -> Vec<f64> {
        numbers(self.rails * self.samples * self.connection.input().size(), seed)
    }

    fn upper(&self, seed: usize) -> Vec<f64> {
        numbers(self.rails * self.samples * self.connection.output().size(), seed)
    }

    fn z(&self, a: &[f64]) -> Vec<f64> {
        let mut z = vec![f64::NAN; self.rails * self.samples * self.connection.intermediate().size()];
        let rails = self.rails;
        self.connection.convolve(Rails::of(a, rails), RailsMut::of(&mut z, rails), &mut Scratch::default());
        z
    }

    /// What each output pools of one sample's K∗a, by plain loops.
    fn members(&self, z: &[C], window: Window) -> Vec<Vec<C>> {
        let (from, to) = (self.connection.intermediate(), self.connection.output());
        let of = |index: usize| {
            let (position, channel) = (index / to.channels, index % to.channels);
            let corner = [position / to.width * window.stride, position % to.width * window.stride];
            (0..window.size * window.size)
                .map(|j| (corner[0] + j / window.size) * from.width + corner[1] + j % window.size)
                .map(|place| z[place * from.channels + channel])
                .collect()
        };
        (0..to.size()).map(of).collect()
    }

    /// A(a) by plain loops, for one sample.
    fn plain(&self, a: &[C], kernel: &[C]) -> Vec<C> {
        let geometry = self.connection.convolution().geometry();
        let mut z = vec![C::default(); geometry.output.size()];
        each_product(geometry, |i, k, o| z[o] += kernel[k] * a[i]);
        let pooling = self.connection.pool().pooling();
        let (Pooling::Average(window) | Pooling::Max(window) | Pooling::Softmax { window, .. }) = pooling
        else {
            return z;
        };
        let pooled = |members: Vec<C>| match pooling {
            Pooling::Softmax { temperature, .. } => {
                let sum: C = members.iter().map(|z| (z / temperature).exp()).sum();
                members.iter().map(|z| z * (z / temperature).exp()).sum::<C>() / sum
            }
            Pooling::Max(_) => {
                members.iter().fold(C::new(f64::MIN, 0.0), |m, z| if z.re > m.re { *z } else { m })
            }
            _ => members.iter().sum::<C>() / members.len() as f64,
        };
        self.members(&z, window).into_iter().map(pooled).collect()
    }

    /// How far a state is from the poles of a softmax, at worst: |Σ exp(z/T)| of what is pooled, of Σ |exp(z/T)|.
    fn clearance(&self, z: &[C]) -> f64 {
        let Pooling::Softmax { window, temperature } = self.connection.pool().pooling() else { return 1.0 };
        let clear = |members: Vec<C>| {
            let each = || members.iter().map(|z| (z / temperature).exp());
            each().sum::<C>().norm() / each().map(C::norm).sum::<f64>()
        };
        let samples = z.chunks(self.connection.intermediate().size());
        samples.flat_map(|z| self.members(z, window)).map(clear).fold(1.0, f64::min)
    }

    /// Σ ⟨A(a), v⟩ by plain loops over all samples.
    fn energy(&self, a: &[C], v: &[C], kernel: &[C]) -> C {
        let (below, above) = (self.connection.input().size(), self.connection.output().size());
        let each = a.chunks(below).zip(v.chunks(above));
        each.flat_map(|(a, v)| self.plain(a, kernel).into_iter().zip(v.to_vec())).map(|(y, v)| y * v).sum()
    }

    fn real_kernel(&self) -> Vec<C> {
        self.kernel.iter().map(|k| C::from(*k)).collect()
    }
}

/// a + step · d.
fn moved(a: &[C], d: &[C], step: f64) -> Vec<C> {
    a.iter().zip(d).map(|(a, d)| a + d * step).collect()
}

/// f′(0) by central differences of fourth order.
fn slope(f: impl Fn(f64) -> C) -> C {
    // Pooling at a low temperature bends within a few hundredths.
    let h = 2e-4;
    ((f(h) - f(-h)) * 8.0 - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

fn dot(a: &[C], b: &[C]) -> C {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn close(found: C, expected: C, size: f64) -> Result<(), TestCaseError> {
    prop_assert!((found - expected).norm() < 1e-8 * (1.0 + size), "{found} {expected} of {size}");
    Ok(())
}

/// As [`close`], of what rounds a hundred times less.
fn sharply(found: C, expected: C, size: f64) -> Result<(), TestCaseError> {
    close(found, expected, 1e-2 * size + 0.1 * expected.norm())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Real and complex: the pooled convolution, all its derivatives up to the second of the energy, and the kernel's
    /// gradient with its derivative, against differences of plain loops.
    #[test]
    fn currents_and_gradients_are_derivatives_of_the_energy(case in cases()) {
        let Case { connection, rails, .. } = &case;
        let (rails, mut scratch) = (*rails, Scratch::default());
        let (a, v, da, dv) = (case.lower(1), case.upper(2), case.lower(3), case.upper(4));
        let (z, dz) = (case.z(&a), case.z(&da));
        let of = |values: &'_ [f64]| complex(values, rails);
        // Close to a pole of a complex softmax differences are of no use.
        prop_assume!(case.clearance(&of(&z)) > 0.2);
        let (ca, cv, cda, cdv) = (of(&a), of(&v), of(&da), of(&dv));
        let kernel = case.real_kernel();
        let size = a.len() as f64;

        // Both ways in one, and each alone, at z and without it.
        let (mut up, mut down) = (case.upper(5), case.lower(6));
        let (start_up, start_down) = (of(&up), of(&down));
        let (v_rails, z_rails) = (Rails::of(&v, rails), Rails::of(&z, rails));
        connection.currents(Rails::of(&a, rails), Some(RailsMut::of(&mut up, rails)),
            Some((v_rails, RailsMut::of(&mut down, rails))), &mut scratch);
        let (mut up_at, mut down_at) = (case.upper(5), case.lower(6));
        connection.currents_at(z_rails, Some(RailsMut::of(&mut up_at, rails)), None, &mut scratch);
        connection.currents_at(z_rails, None, Some((v_rails, RailsMut::of(&mut down_at, rails))), &mut scratch);
        prop_assert_eq!(&up, &up_at);
        prop_assert_eq!(&down, &down_at);
        let each = ca.chunks(connection.input().size()).flat_map(|a| case.plain(a, &kernel));
        for ((y, start), expected) in of(&up).iter().zip(&start_up).zip(each) {
            close(*y - start, expected, 0.0)?;
        }
        let down = moved(&of(&down), &start_down, -1.0);
        close(dot(&down, &cda), slope(|h| case.energy(&moved(&ca, &cda, h), &cv, &kernel)), size)?;

        // Derivatives along (da, dv): of A against the energy of dv, of the pull-back through the mixed second derivative.
        let at = At { z: z_rails, dz: Rails::of(&dz, rails), v: Some(v_rails), dv: Some(Rails::of(&dv, rails)) };
        let (mut up, mut down) = (vec![0.0; v.len()], vec![0.0; a.len()]);
        connection.derivatives_at(&at, Some(RailsMut::of(&mut up, rails)), Some(RailsMut::of(&mut down, rails)), &mut scratch);
        close(dot(&of(&up), &cdv), slope(|h| case.energy(&moved(&ca, &cda, h), &cdv, &kernel)), size)?;
        let probe = of(&case.lower(7));
        // Of the pull-back, which is right: differences of differences of the energy would show how it rounds.
        let ahead = |x: &[f64], d: &[f64], h: f64| -> Vec<f64> { x.iter().zip(d).map(|(x, d)| x + h * d).collect() };
        let pulled = |h| {
            let (a, v) = (ahead(&a, &da, h), ahead(&v, &dv, h));
            let mut down = vec![0.0; a.len()];
            let back = Some((Rails::of(&v, rails), RailsMut::of(&mut down, rails)));
            connection.currents(Rails::of(&a, rails), None, back, &mut Scratch::default());
            dot(&of(&down), &probe)
        };
        sharply(dot(&of(&down), &probe), slope(pulled), size)?;

        // The kernel's gradient, along a direction of the kernel.
        let turn: Vec<C> = numbers::<f64>(kernel.len(), 8).iter().map(|k| C::from(k * 0.2)).collect();
        let by_kernel = slope(|h| case.energy(&ca, &cv, &moved(&kernel, &turn, h)));
        let along = |gradient: &[f64]| C::from(gradient.iter().zip(&turn).map(|(g, t)| g * t.re).sum::<f64>());
        let mut gradient = vec![0.0; kernel.len()];
        connection.gradient_at(Rails::of(&a, rails), z_rails, v_rails, &mut gradient, &mut scratch);
        close(along(&gradient), C::from(by_kernel.re), size)?;
        gradient.fill(0.0);
        connection.gradient_derivative_at(Rails::of(&a, rails), Rails::of(&da, rails), &at, &mut gradient, &mut scratch);
        let turned = |h| {
            let (a, v, z) = (ahead(&a, &da, h), ahead(&v, &dv, h), ahead(&z, &dz, h));
            let mut gradient = vec![0.0; kernel.len()];
            let (a, z, v) = (Rails::of(&a, rails), Rails::of(&z, rails), Rails::of(&v, rails));
            connection.gradient_at(a, z, v, &mut gradient, &mut Scratch::default());
            along(&gradient)
        };
        sharply(along(&gradient), slope(turned), size)?;
    }

    /// The derivatives of a real state along a complex direction are those along its two parts.
    #[test]
    fn a_real_state_takes_complex_directions(case in cases()) {
        let case = Case { rails: 1, ..case };
        let (connection, mut scratch) = (&case.connection, Scratch::default());
        let (a, v) = (case.lower(1), case.upper(2));
        let parts = [3, 4].map(|seed| (case.lower(seed), case.upper(seed + 10)));
        let z = case.z(&a);
        type Part = (Vec<f64>, Vec<f64>);
        let both = |f: &dyn Fn(&Part) -> Vec<f64>| [f(&parts[0]), f(&parts[1])].concat();
        let (da, dv, dz) = (both(&|p| p.0.clone()), both(&|p| p.1.clone()), both(&|p| case.z(&p.0)));
        let (z, v) = (Rails::real(&z[..]), Rails::real(&v[..]));
        let (mut up, mut down) = (vec![0.0; dv.len()], vec![0.0; da.len()]);
        let complex = At { z, dz: Rails::of(&dz, 2), v: Some(v), dv: Some(Rails::of(&dv, 2)) };
        connection.derivatives_at(&complex, Some(RailsMut::of(&mut up, 2)), Some(RailsMut::of(&mut down, 2)), &mut scratch);
        let mut gradient = vec![0.0; case.kernel.len()];
        connection.gradient_derivative_at(Rails::real(&a), Rails::of(&da, 2), &complex, &mut gradient, &mut scratch);
        for (index, (da, dv)) in parts.iter().enumerate() {
            let dz = case.z(da);
            let real = At { z, dz: Rails::real(&dz), v: Some(v), dv: Some(Rails::real(dv)) };
            let (mut u, mut d) = (vec![0.0; dv.len()], vec![0.0; da.len()]);
            connection.derivatives_at(&real, Some(RailsMut::real(&mut u)), Some(RailsMut::real(&mut d)), &mut scratch);
            prop_assert_eq!(&u[..], &up[index * u.len()..][..u.len()]);
            prop_assert_eq!(&d[..], &down[index * d.len()..][..d.len()]);
            if index == 0 {
                let mut g = vec![0.0; case.kernel.len()];
                connection.gradient_derivative_at(Rails::real(&a), Rails::real(da), &real, &mut g, &mut scratch);
                prop_assert_eq!(&g, &gradient);
            }
        }
    }

    /// Powers of disturbances pass through the squared slopes.
    #[test]
    fn powers_pass_through_squared_slopes(case in cases()) {
        let Case { connection, samples, rails, .. } = &case;
        let (samples, rails) = (*samples, *rails);
        let a = case.lower(1);
        let (z, ca) = (case.z(&a), complex(&a, rails));
        let (upper, middle) = (connection.output(), connection.intermediate());
        let mut powers = vec![0.0; samples * upper.size()];
        connection.powers_at(Rails::of(&a, rails), Rails::of(&z, rails), &mut powers, &mut Scratch::default());
        let geometry = connection.convolution().geometry();
        for sample in 0..samples {
            let mut squares = vec![0.0; middle.size()];
            let a = &ca[sample * geometry.input.size()..];
            each_product(geometry, |i, _, o| squares[o] += a[i].norm_sqr());
            // One unit disturbed at a time: its slope is what a pooled one receives.
            let z = complex(&z, rails)[sample * middle.size()..][..middle.size()].to_vec();
            let mut expected = vec![0.0; upper.size()];
            for j in 0..middle.size() {
                let mut unit = vec![C::default(); middle.size()];
                unit[j] = C::from(1.0);
                let (re, im): (Vec<f64>, Vec<f64>) = z.iter().map(|z| (z.re, z.im)).unzip();
                let zs = [re, im].concat();
                let unit: Vec<f64> = (0..2 * middle.size()).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
                let mut y = vec![0.0; 2 * upper.size()];
                let at = At { z: Rails::of(&zs, 2), dz: Rails::of(&unit, 2), v: None, dv: None };
                connection.derivatives_at(&at, Some(RailsMut::of(&mut y, 2)), None, &mut Scratch::default());
                for (e, y) in expected.iter_mut().zip(complex(&y, 2)) {
                    *e += y.norm_sqr() * squares[j];
                }
            }
            let found = &powers[sample * upper.size()..][..upper.size()];
            prop_assert!(distance(found, &expected) < 1e-12);
        }
    }
}

/// The control: the greatest of a window takes part and nothing else does.
#[test]
fn max_pooling_follows_the_greatest() {
    let geometry = Geometry::new(Shape::new(6, 5, 3), 18, [3, 3], 1, Padding::Same).unwrap();
    let pooling = Pooling::Max(Window { size: 2, stride: 2 });
    let case = case((geometry, pooling, 2, 1)).unwrap();
    let (connection, mut scratch) = (&case.connection, Scratch::default());
    let (a, v, da, dv) = (case.lower(1), case.upper(2), case.lower(3), case.upper(4));
    let (z, dz, kernel) = (case.z(&a), case.z(&da), case.real_kernel());
    let (ca, cv, cda, cdv) = (complex(&a, 1), complex(&v, 1), complex(&da, 1), complex(&dv, 1));
    let (mut up, mut down) = (vec![0.0; v.len()], vec![0.0; a.len()]);
    let arrows = Some((Rails::real(&v[..]), RailsMut::real(&mut down[..])));
    connection.currents(Rails::real(&a), Some(RailsMut::real(&mut up)), arrows, &mut scratch);
    assert!((dot(&complex(&up, 1), &cv) - case.energy(&ca, &cv, &kernel)).norm() < 1e-12);
    let h = 1e-6;
    let energy = |a: &[C], v: &[C]| case.energy(a, v, &kernel);
    let by = |d: f64| energy(&moved(&ca, &cda, d), &cv);
    assert!((dot(&complex(&down, 1), &cda) - (by(h) - by(-h)) / (2.0 * h)).norm() < 1e-7);
    let at =
        At { z: Rails::real(&z), dz: Rails::real(&dz), v: Some(Rails::real(&v)), dv: Some(Rails::real(&dv)) };
    let (mut up, mut down) = (vec![0.0; v.len()], vec![0.0; a.len()]);
    connection.derivatives_at(
        &at,
        Some(RailsMut::real(&mut up)),
        Some(RailsMut::real(&mut down)),
        &mut scratch,
    );
    let by = |d: f64| energy(&moved(&ca, &cda, d), &cdv);
    let expected = (by(h) - by(-h)) / (2.0 * h);
    assert!((dot(&complex(&up, 1), &cdv) - expected).norm() < 1e-7);
    // The slopes do not change, so only dv pulls.
    assert!((dot(&complex(&down, 1), &cda) - expected).norm() < 1e-7);
}

/// A batch cut at any place gives the same bits, so threads may share one.
#[test]
fn a_sample_does_not_depend_on_its_neighbours() {
    let geometry = Geometry::new(Shape::new(8, 8, 7), 9, [3, 3], 1, Padding::Same).unwrap();
    for method in [Method::Direct, Method::Winograd2, Method::Winograd4] {
        let mut convolution = Convolution::<f32>::new(geometry, method);
        convolution.set_kernel(&numbers(geometry.weights(), 1));
        let mut buffers = Buffers::default();
        let (a, w) =
            (numbers::<f32>(5 * geometry.input.size(), 2), numbers::<f32>(5 * geometry.output.size(), 3));
        let (mut z, mut back) = (vec![0.0; w.len()], vec![0.0; a.len()]);
        convolution.convolve(&a, &mut z, &mut buffers);
        convolution.transpose_add(&w, &mut back, &mut buffers);
        for image in 0..5 {
            let (a, w) = (
                &a[image * geometry.input.size()..][..geometry.input.size()],
                &w[image * geometry.output.size()..][..geometry.output.size()],
            );
            let (mut z_alone, mut back_alone) = (vec![0.0; w.len()], vec![0.0; a.len()]);
            convolution.convolve(a, &mut z_alone, &mut buffers);
            convolution.transpose_add(w, &mut back_alone, &mut buffers);
            assert_eq!(z_alone, &z[image * w.len()..][..w.len()], "{method:?}");
            assert_eq!(back_alone, &back[image * a.len()..][..a.len()], "{method:?}");
        }
    }
}
