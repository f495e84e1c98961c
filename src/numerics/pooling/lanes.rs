//! The arithmetic of one window, for as many channels at a time as fill a vector.

use std::ops::{Add, Mul, Sub};

use num_complex::Complex;

use crate::numerics::kernels::{exp, exp_real};
use crate::numerics::rails::{Rails, RailsMut};
use crate::numerics::scalar::Scalar;

/// Channels at a time.
pub(super) const WIDTH: usize = 32;

/// One number of each channel.
type Block<T> = [T; WIDTH];

/// Real and imaginary parts; the latter are unused where numbers are real.
type Pair<T> = [Block<T>; 2];

/// How a window is pooled.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule<T> {
    Average,
    Max,
    /// With a temperature.
    Softmax(T),
}

/// A real or complex number in lanes.
pub(super) trait Number<T: Scalar>:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// A number in each lane of a batch's rails.
    fn load(rails: &Rails<'_, T>, at: usize, count: usize) -> Pair<T>;
    /// Adds the lanes to a batch's rails.
    fn store_add(pair: &Pair<T>, rails: &mut RailsMut<'_, T>, at: usize, count: usize);
    /// The number in a lane.
    fn get(pair: &Pair<T>, lane: usize) -> Self;
    /// Writes the number in a lane.
    fn set(self, pair: &mut Pair<T>, lane: usize);
    /// A real number.
    fn from_real(x: T) -> Self;
    /// Times a real number.
    fn scaled(self, factor: T) -> Self;
    /// exp(self) where the real part is not positive.
    fn exp_decaying(self) -> Self;
    /// 1/self.
    fn inverse(self) -> Self;
    /// |self|².
    fn power(self) -> T;
}

impl<T: Scalar> Number<T> for T {
    #[inline(always)]
    fn load(rails: &Rails<'_, Self>, at: usize, count: usize) -> Pair<Self> {
        [load(rails.re, at, count), [T::zero(); WIDTH]]
    }

    #[inline(always)]
    fn store_add(pair: &Pair<Self>, rails: &mut RailsMut<'_, Self>, at: usize, count: usize) {
        store_add(&pair[0], rails.re, at, count);
    }

    #[inline(always)]
    fn get(pair: &Pair<Self>, lane: usize) -> Self {
        pair[0][lane]
    }

    #[inline(always)]
    fn set(self, pair: &mut Pair<Self>, lane: usize) {
        pair[0][lane] = self;
    }

    #[inline(always)]
    fn from_real(x: Self) -> Self {
        x
    }

    #[inline(always)]
    fn scaled(self, factor: Self) -> Self {
        self * factor
    }

    #[inline(always)]
    fn exp_decaying(self) -> Self {
        exp_real(self)
    }

    #[inline(always)]
    fn inverse(self) -> Self {
        self.recip()
    }

    #[inline(always)]
    fn power(self) -> Self {
        self * self
    }
}

impl<T: Scalar> Number<T> for Complex<T> {
    #[inline(always)]
    fn load(rails: &Rails<'_, T>, at: usize, count: usize) -> Pair<T> {
        [load(rails.re, at, count), load(rails.im, at, count)]
    }

    #[inline(always)]
    fn store_add(pair: &Pair<T>, rails: &mut RailsMut<'_, T>, at: usize, count: usize) {
        store_add(&pair[0], rails.re, at, count);
        store_add(&pair[1], rails.im, at, count);
    }

    #[inline(always)]
    fn get(pair: &Pair<T>, lane: usize) -> Self {
        Self::new(pair[0][lane], pair[1][lane])
    }

    #[inline(always)]
    fn set(self, pair: &mut Pair<T>, lane: usize) {
        pair[0][lane] = self.re;
        pair[1][lane] = self.im;
    }

    #[inline(always)]
    fn from_real(x: T) -> Self {
        Self::new(x, T::zero())
    }

    #[inline(always)]
    fn scaled(self, factor: T) -> Self {
        self * factor
    }

    #[inline(always)]
    fn exp_decaying(self) -> Self {
        let (re, im) = exp(self.re, self.im);
        Self::new(re, im)
    }

    #[inline(always)]
    fn inverse(self) -> Self {
        let scale = self.power().recip();
        Self::new(self.re * scale, -(self.im * scale))
    }

    #[inline(always)]
    fn power(self) -> T {
        self.re.mul_add(self.re, self.im * self.im)
    }
}

/// `count` numbers, and zeros.
#[inline(always)]
pub(super) fn load<T: Scalar>(values: &[T], at: usize, count: usize) -> Block<T> {
    let mut block = [T::zero(); WIDTH];
    match values[at..at + count].as_array::<WIDTH>() {
        Some(whole) => block = *whole,
        None => block[..count].copy_from_slice(&values[at..at + count]),
    }
    block
}

/// Adds the first `count` lanes.
#[inline(always)]
pub(super) fn store_add<T: Scalar>(block: &Block<T>, values: &mut [T], at: usize, count: usize) {
    let values = &mut values[at..at + count];
    match values.as_mut_array::<WIDTH>() {
        Some(whole) => *whole = std::array::from_fn(|l| whole[l] + block[l]),
        None => values.iter_mut().zip(block).for_each(|(x, b)| *x += *b),
    }
}

/// A window's numbers while they are worked on: the buffer that a pooling needs.
#[derive(Debug, Clone, Default)]
pub struct Lanes<T> {
    /// What is pooled; then (z − y)/T.
    pub(super) z: Vec<Pair<T>>,
    /// Its direction, or the powers of disturbances.
    pub(super) d: Vec<Pair<T>>,
    /// The weights p.
    p: Vec<Pair<T>>,
    /// What the positions receive.
    pub(super) w: Vec<Pair<T>>,
    pub(super) v: Pair<T>,
    pub(super) dv: Pair<T>,
    /// What the unit above receives.
    pub(super) y: Pair<T>,
}

impl<T: Scalar> Lanes<T> {
    /// Makes room for a window of that many positions.
    pub(super) fn reserve(&mut self, positions: usize) {
        for blocks in [&mut self.z, &mut self.d, &mut self.p, &mut self.w] {
            blocks.resize(positions, Pair::default());
        }
    }

    /// y = P(z), and w = g v where it is wanted.
    #[inline(always)]
    pub(super) fn currents<N: Number<T>>(&mut self, rule: &Rule<T>, slopes: bool) {
        match rule {
            Rule::Average => {
                self.mean::<N>(false);
                self.share::<N>(false);
            }
            Rule::Max => {
                self.choose();
                self.chosen::<N>(false);
            }
            Rule::Softmax(temperature) => {
                self.weigh::<N>(*temperature);
                if slopes {
                    self.slopes::<N>();
                }
            }
        }
    }

    /// y = g·d, and w = (∂g·d) v + g dv where it is wanted.
    #[inline(always)]
    pub(super) fn derivatives<N: Number<T>>(&mut self, rule: &Rule<T>, slopes: bool) {
        match rule {
            Rule::Average => {
                self.mean::<N>(true);
                self.share::<N>(true);
            }
            Rule::Max => {
                self.choose();
                self.chosen::<N>(true);
            }
            Rule::Softmax(temperature) => {
                self.weigh::<N>(*temperature);
                self.slope_derivatives::<N>(temperature.recip(), slopes);
            }
        }
    }

    /// y = Σ |g|² d, all real.
    #[inline(always)]
    pub(super) fn powers<N: Number<T>>(&mut self, rule: &Rule<T>) {
        match rule {
            Rule::Average => {
                self.mean::<N>(true);
                let count = T::of(self.z.len() as f64);
                self.y[0].iter_mut().for_each(|y| *y /= count);
            }
            Rule::Max => {
                self.choose();
                self.chosen::<N>(true);
            }
            Rule::Softmax(temperature) => {
                self.weigh::<N>(*temperature);
                let mut sum = [T::zero(); WIDTH];
                for ((p, z), d) in self.p.iter().zip(&self.z).zip(&self.d) {
                    for l in 0..WIDTH {
                        let g = N::get(p, l) * (N::get(z, l) + N::from_real(T::one()));
                        sum[l] = g.power().mul_add(d[0][l], sum[l]);
                    }
                }
                self.y[0] = sum;
            }
        }
    }

    /// y becomes the mean of z or of d.
    #[inline(always)]
    fn mean<N: Number<T>>(&mut self, direction: bool) {
        let members = if direction { &self.d } else { &self.z };
        let share = T::of(members.len() as f64).recip();
        let mut mean = Pair::default();
        for member in members {
            mean = lanes(|l| N::get(&mean, l) + N::get(member, l).scaled(share));
        }
        self.y = mean;
    }

    /// Every position receives an equal share of v or dv.
    #[inline(always)]
    fn share<N: Number<T>>(&mut self, direction: bool) {
        let share = T::of(self.z.len() as f64).recip();
        let v = if direction { self.dv } else { self.v };
        self.w.fill(lanes(|l| N::get(&v, l).scaled(share)));
    }

    /// p becomes 1 at the first greatest position and 0 elsewhere; y its value. What is not a number wins.
    #[inline(always)]
    fn choose(&mut self) {
        let (mut winner, mut greatest) = ([T::zero(); WIDTH], self.z[0]);
        for (j, z) in self.z.iter().enumerate().skip(1) {
            for l in 0..WIDTH {
                if z[0][l] > greatest[0][l] || z[0][l].is_nan() {
                    (greatest[0][l], winner[l]) = (z[0][l], T::of(j as f64));
                }
            }
        }
        self.y = greatest;
        for (j, p) in self.p.iter_mut().enumerate() {
            *p = lanes(|l| if winner[l] == T::of(j as f64) { T::one() } else { T::zero() });
        }
    }

    /// The chosen position receives v or dv; y becomes its direction if derivatives are meant.
    #[inline(always)]
    fn chosen<N: Number<T>>(&mut self, direction: bool) {
        let v = if direction { self.dv } else { self.v };
        for (w, p) in self.w.iter_mut().zip(&self.p) {
            *w = lanes(|l| p[0][l] * v[0][l]);
        }
        if direction {
            let mut sum = Pair::default();
            for (d, p) in self.d.iter().zip(&self.p) {
                sum = lanes(|l| p[0][l].mul_add(d[0][l], sum[0][l]));
            }
            self.y = sum;
        }
    }

    /// p becomes softmax(z/T), y the pooled value, and z becomes (z − y)/T.
    #[inline(always)]
    fn weigh<N: Number<T>>(&mut self, temperature: T) {
        let mut greatest = self.z[0][0];
        for z in &self.z[1..] {
            for l in 0..WIDTH {
                greatest[l] = if z[0][l] > greatest[l] { z[0][l] } else { greatest[l] };
            }
        }
        let cold = temperature.recip();
        let (mut sum, mut mean) = (Pair::<T>::default(), Pair::<T>::default());
        for (z, p) in self.z.iter_mut().zip(&mut self.p) {
            let x: Pair<T> = lanes(|l| (N::get(z, l) - N::from_real(greatest[l])).scaled(cold));
            let e: Pair<T> = lanes(|l| N::get(&x, l).exp_decaying());
            sum = lanes(|l| N::get(&sum, l) + N::get(&e, l));
            mean = lanes(|l| N::get(&mean, l) + N::get(&e, l) * N::get(&x, l));
            (*z, *p) = (x, e);
        }
        let inverse: Pair<T> = lanes(|l| N::get(&sum, l).inverse());
        let middle: Pair<T> = lanes(|l| N::get(&mean, l) * N::get(&inverse, l));
        self.y = lanes(|l| N::get(&middle, l).scaled(temperature) + N::from_real(greatest[l]));
        for (z, p) in self.z.iter_mut().zip(&mut self.p) {
            *p = lanes(|l| N::get(p, l) * N::get(&inverse, l));
            *z = lanes(|l| N::get(z, l) - N::get(&middle, l));
        }
    }

    /// w = g v with g = p + p (z − y)/T, after [`Lanes::weigh()`].
    #[inline(always)]
    fn slopes<N: Number<T>>(&mut self) {
        let v = self.v;
        for ((w, p), z) in self.w.iter_mut().zip(&self.p).zip(&self.z) {
            *w = lanes(|l| (N::get(p, l) + N::get(p, l) * N::get(z, l)) * N::get(&v, l));
        }
    }

    /// y = Σ g d = A + B with A = Σ p d, B = Σ p (z − y)/T d; w = p {[(2 + (z − y)/T)(d − A) − B] v/T + [1 + (z − y)/T] dv}.
    #[inline(always)]
    fn slope_derivatives<N: Number<T>>(&mut self, cold: T, slopes: bool) {
        let (mut first, mut second) = (Pair::<T>::default(), Pair::<T>::default());
        for ((p, z), d) in self.p.iter().zip(&self.z).zip(&self.d) {
            let weighted: Pair<T> = lanes(|l| N::get(p, l) * N::get(d, l));
            first = lanes(|l| N::get(&first, l) + N::get(&weighted, l));
            second = lanes(|l| N::get(&second, l) + N::get(&weighted, l) * N::get(z, l));
        }
        self.y = lanes(|l| N::get(&first, l) + N::get(&second, l));
        if !slopes {
            return;
        }
        let one = N::from_real(T::one());
        let (v, dv): (Pair<T>, Pair<T>) = (lanes(|l| N::get(&self.v, l).scaled(cold)), self.dv);
        for (((w, p), z), d) in self.w.iter_mut().zip(&self.p).zip(&self.z).zip(&self.d) {
            *w = lanes(|l| {
                let slope = N::get(z, l) + one;
                let bend = (slope + one) * (N::get(d, l) - N::get(&first, l)) - N::get(&second, l);
                N::get(p, l) * (bend * N::get(&v, l) + slope * N::get(&dv, l))
            });
        }
    }
}

/// A number in each lane. Nothing that is read can change while they are made, so that all lanes go together.
#[inline(always)]
fn lanes<T: Scalar, N: Number<T>>(number: impl Fn(usize) -> N) -> Pair<T> {
    let mut pair = Pair::default();
    for l in 0..WIDTH {
        number(l).set(&mut pair, l);
    }
    pair
}
