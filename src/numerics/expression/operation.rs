//! What a program of expressions does to blocks of a batch.

use num_complex::Complex;

use super::tape::{BLOCK, Input};
use super::{Function, Node};
use crate::numerics::kernels::{self, decay, softplus, softplus_real, tanh, tanh_real};
use crate::numerics::scalar::Scalar;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// As the expression says.
    Node(Node),
    /// scale·z + shift, of real numbers: no complex arithmetic.
    Affine(f64, f64),
    /// z divided by a real number.
    Quotient(f64),
}

impl What {
    /// Whether its argument may be a variable that is in no register.
    pub fn reads_variables(&self) -> bool {
        matches!(
            self,
            Self::Affine(..)
                | Self::Quotient(_)
                | Self::Node(Node::Negate(_) | Node::Power(..) | Node::Call(..))
        )
    }
}

/// Where an argument is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    /// There is none.
    None,
    Register(usize),
    Variable(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub what: What,
    pub from: [Source; 2],
    /// Register of the result.
    pub to: usize,
}

impl Operation {
    /// Runs on `n` elements from `start` on. A register is a block of real parts and one of imaginary parts.
    pub fn run<'a, T: Scalar, const COMPLEX: bool>(
        &self,
        (room, block): (&mut [T], usize),
        input: impl Fn(usize) -> Input<'a, T>,
        (start, n): (usize, usize),
    ) {
        let Self { what, from, to } = *self;
        let range = |register: usize| 2 * register * block..2 * (register + 1) * block;
        const OWN: &str = "results have their own registers";
        match (what, from) {
            (What::Node(Node::Variable(place)), _) => {
                let (re, im) = room[range(to)].split_at_mut(block);
                load::<T, COMPLEX>(input(place), start, (&mut re[..n], &mut im[..n]));
            }
            (_, [Source::Variable(place), _]) => {
                let (re, im) = room[range(to)].split_at_mut(block);
                let out = (&mut re[..n], &mut im[..n]);
                match input(place) {
                    Input::Each(x, y) => {
                        let y = if COMPLEX { &y[start..start + n] } else { y };
                        unary::<T, COMPLEX>(what, (&x[start..start + n], y), out);
                    }
                    column => {
                        let [mut x, mut y] = [[T::zero(); BLOCK]; 2];
                        load::<T, COMPLEX>(column, start, (&mut x[..n], &mut y[..n]));
                        unary::<T, COMPLEX>(what, (&x[..n], &y[..n]), out);
                    }
                }
            }
            (_, [Source::Register(a), Source::None]) => {
                let [out, a] = room.get_disjoint_mut([range(to), range(a)]).expect(OWN);
                let ((x, y), (re, im)) = (a.split_at(block), out.split_at_mut(block));
                unary::<T, COMPLEX>(what, (&x[..n], &y[..n]), (&mut re[..n], &mut im[..n]));
            }
            (What::Node(node), [Source::Register(a), Source::Register(b)]) if a == b => {
                let [out, a] = room.get_disjoint_mut([range(to), range(a)]).expect(OWN);
                binary::<T, COMPLEX>(node, a, a, out, n);
            }
            (What::Node(node), [Source::Register(a), Source::Register(b)]) => {
                let [out, a, b] = room.get_disjoint_mut([range(to), range(a), range(b)]).expect(OWN);
                binary::<T, COMPLEX>(node, a, b, out, n);
            }
            _ => unreachable!("numbers are no operations, and what has two arguments takes registers"),
        }
    }
}

/// The values of a variable from `start` on.
fn load<T: Scalar, const COMPLEX: bool>(input: Input<'_, T>, start: usize, (re, im): (&mut [T], &mut [T])) {
    let n = re.len();
    match input {
        Input::Each(real, imaginary) => {
            re.copy_from_slice(&real[start..start + n]);
            if COMPLEX {
                im.copy_from_slice(&imaginary[start..start + n]);
            }
        }
        Input::Column(column) => {
            let values = column.iter().cycle().skip(start % column.len());
            re.iter_mut().zip(values).for_each(|(r, x)| *r = T::of(*x));
            im.fill(T::zero());
        }
    }
}

/// `a`, `b` and `out` are registers.
fn binary<T: Scalar, const COMPLEX: bool>(what: Node, a: &[T], b: &[T], out: &mut [T], n: usize) {
    let half = a.len() / 2;
    let ((x, y), (u, v), (re, im)) = (a.split_at(half), b.split_at(half), out.split_at_mut(half));
    let (x, y, u, v) = (&x[..n], &y[..n], &u[..n], &v[..n]);
    let (re, im) = (&mut re[..n], &mut im[..n]);
    match what {
        Node::Multiply(..) if COMPLEX => kernels::for_each(
            x.iter().zip(y).zip(u.iter().zip(v)).zip(re.iter_mut().zip(im)),
            #[inline(always)]
            |(((x, y), (u, v)), (re, im))| (*re, *im) = (*x * *u - *y * *v, *x * *v + *y * *u),
        ),
        Node::Divide(..) if COMPLEX => kernels::for_each(
            x.iter().zip(y).zip(u.iter().zip(v)).zip(re.iter_mut().zip(im)),
            #[inline(always)]
            |(((x, y), (u, v)), (re, im))| {
                let size = *u * *u + *v * *v;
                (*re, *im) = ((*x * *u + *y * *v) / size, (*y * *u - *x * *v) / size);
            },
        ),
        // Of the others each part is taken by itself. Complex states of what is not holomorphic are refused before.
        _ => {
            parts(what, x, u, re);
            if COMPLEX {
                parts(what, y, v, im);
            }
        }
    }
}

/// One part of each argument, and of the result.
fn parts<T: Scalar>(what: Node, x: &[T], u: &[T], out: &mut [T]) {
    let all = x.iter().zip(u).zip(out);
    match what {
        Node::Add(..) => kernels::for_each(
            all,
            #[inline(always)]
            |((x, u), out)| *out = *x + *u,
        ),
        Node::Subtract(..) => kernels::for_each(
            all,
            #[inline(always)]
            |((x, u), out)| *out = *x - *u,
        ),
        Node::Multiply(..) => kernels::for_each(
            all,
            #[inline(always)]
            |((x, u), out)| *out = *x * *u,
        ),
        Node::Divide(..) => kernels::for_each(
            all,
            #[inline(always)]
            |((x, u), out)| *out = *x / *u,
        ),
        _ => all.for_each(|((x, u), out)| *out = larger(*x, *u)),
    }
}

/// The larger of two; what is not a number stays so.
fn larger<T: Scalar>(a: T, b: T) -> T {
    if a.is_nan() || a > b { a } else { b }
}

fn unary<T: Scalar, const COMPLEX: bool>(what: What, (x, y): (&[T], &[T]), (re, im): (&mut [T], &mut [T])) {
    let n = x.len();
    match what {
        What::Affine(scale, shift) => {
            let (scale, shift) = (T::of(scale), T::of(shift));
            kernels::map_real(
                x,
                re,
                #[inline(always)]
                |x| x * scale + shift,
            );
            if COMPLEX {
                kernels::map_real(
                    y,
                    im,
                    #[inline(always)]
                    |y| y * scale,
                );
            }
        }
        What::Quotient(by) => {
            let by = T::of(by);
            let divide = |x: &[T], out: &mut [T]| {
                kernels::map_real(
                    x,
                    out,
                    #[inline(always)]
                    |x| x / by,
                );
            };
            divide(x, re);
            if COMPLEX {
                divide(y, im);
            }
        }
        What::Node(Node::Negate(_)) => {
            (0..n).for_each(|i| re[i] = -x[i]);
            if COMPLEX {
                (0..n).for_each(|i| im[i] = -y[i]);
            }
        }
        What::Node(Node::Power(_, 2)) if COMPLEX => {
            for i in 0..n {
                (re[i], im[i]) = (x[i] * x[i] - y[i] * y[i], (x[i] + x[i]) * y[i]);
            }
        }
        What::Node(Node::Power(_, 2)) => (0..n).for_each(|i| re[i] = x[i] * x[i]),
        What::Node(Node::Power(_, power)) if COMPLEX => each(x, y, re, im, |z| z.powi(power)),
        What::Node(Node::Power(_, power)) => (0..n).for_each(|i| re[i] = x[i].powi(power)),
        What::Node(Node::Call(function, _)) if COMPLEX => complex_call(function, (x, y), (re, im)),
        What::Node(Node::Call(function, _)) => real_call(function, x, re),
        What::Node(_) => unreachable!("a part with one argument"),
    }
}

/// e^x of any real number, from the kernel of those that are not positive.
#[inline(always)]
fn growth<T: Scalar>(x: T) -> T {
    let part = decay(x.abs());
    if x > T::zero() { part.recip() } else { part }
}

/// e^{x+iy}.
#[inline(always)]
fn exponential<T: Scalar>(x: T, y: T) -> (T, T) {
    let (modulus, (cos, sin)) = (growth(x), kernels::exp(T::zero(), y));
    (modulus * cos, modulus * sin)
}

fn each<T: Scalar>(x: &[T], y: &[T], re: &mut [T], im: &mut [T], f: impl Fn(Complex<T>) -> Complex<T>) {
    for i in 0..x.len() {
        let z = f(Complex::new(x[i], y[i]));
        (re[i], im[i]) = (z.re, z.im);
    }
}

fn complex_call<T: Scalar>(function: Function, (x, y): (&[T], &[T]), (re, im): (&mut [T], &mut [T])) {
    match function {
        Function::Exp => kernels::map(
            x,
            y,
            re,
            im,
            #[inline(always)]
            |x, y| exponential(x, y),
        ),
        Function::Tanh => kernels::map(
            x,
            y,
            re,
            im,
            #[inline(always)]
            |x, y| tanh(x, y),
        ),
        Function::Logistic => kernels::map(
            x,
            y,
            re,
            im,
            #[inline(always)]
            |x, y| kernels::logistic(x, y),
        ),
        Function::Softplus => kernels::map(
            x,
            y,
            re,
            im,
            #[inline(always)]
            |x, y| softplus(x, y),
        ),
        Function::Ln => each(x, y, re, im, |z| z.ln()),
        Function::Sqrt => each(x, y, re, im, |z| z.sqrt()),
        Function::Sin => each(x, y, re, im, |z| z.sin()),
        Function::Cos => each(x, y, re, im, |z| z.cos()),
        Function::Sinh => each(x, y, re, im, |z| z.sinh()),
        Function::Cosh => each(x, y, re, im, |z| z.cosh()),
        Function::Atan => each(x, y, re, im, |z| z.atan()),
        Function::Conj => each(x, y, re, im, |z| z.conj()),
        Function::Abs | Function::Sign | Function::Step => {
            real_call(function, x, re);
            real_call(function, y, im);
        }
    }
}

fn real_call<T: Scalar>(function: Function, x: &[T], out: &mut [T]) {
    let each = |out: &mut [T], f: fn(T) -> T| out.iter_mut().zip(x).for_each(|(o, x)| *o = f(*x));
    match function {
        Function::Exp => kernels::map_real(
            x,
            out,
            #[inline(always)]
            |x| growth(x),
        ),
        Function::Tanh => kernels::map_real(
            x,
            out,
            #[inline(always)]
            |x| tanh_real(x),
        ),
        Function::Logistic => kernels::map_real(
            x,
            out,
            #[inline(always)]
            |x| kernels::logistic_real(x),
        ),
        Function::Softplus => kernels::map_real(
            x,
            out,
            #[inline(always)]
            |x| softplus_real(x),
        ),
        Function::Ln => each(out, T::ln),
        Function::Sqrt => each(out, T::sqrt),
        Function::Sin => each(out, T::sin),
        Function::Cos => each(out, T::cos),
        Function::Sinh => each(out, T::sinh),
        Function::Cosh => each(out, T::cosh),
        Function::Atan => each(out, T::atan),
        Function::Abs => each(out, T::abs),
        Function::Conj => out.copy_from_slice(x),
        Function::Sign => each(out, |x| {
            if x > T::zero() {
                T::one()
            } else if x < T::zero() {
                -T::one()
            } else {
                x
            }
        }),
        Function::Step => {
            each(out, |x| {
                if x > T::zero() {
                    T::one()
                } else if x.is_nan() {
                    x
                } else {
                    T::zero()
                }
            });
        }
    }
}
