//! Expressions as a list of operations on blocks of a batch.

use num_complex::Complex;

use super::{Arena, Function, Id, Node};
use crate::numerics::kernels::{self, decay, softplus, softplus_real, tanh, tanh_real};
use crate::numerics::scalar::Scalar;

/// Elements of a block: its registers stay in the cache.
const BLOCK: usize = 128;
/// Numbers of all registers, which are on the stack: of few elements, and of many. Where there are more registers blocks are shorter.
const ROOM: [usize; 2] = [512, 24 * BLOCK];

/// The values of a variable.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a, T> {
    /// One for each element: the real parts, and the imaginary parts of a complex evaluation.
    Each(&'a [T], &'a [T]),
    /// The same real numbers for every column of a batch, one after the other.
    Column(&'a [f64]),
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    what: Node,
    /// Registers of the arguments, and of the result.
    from: [usize; 2],
    to: usize,
}

/// A program that evaluates some expressions.
#[derive(Debug, Clone)]
pub struct Tape {
    operations: Vec<Operation>,
    /// Numbers, and the registers that hold them throughout.
    numbers: Vec<(f64, usize)>,
    /// Registers of the outputs.
    outputs: Vec<usize>,
    registers: usize,
}

impl Tape {
    /// A program for these outputs.
    #[must_use]
    pub fn new(arena: &Arena, outputs: &[Id]) -> Self {
        let needed = arena.needed(outputs);
        let mut uses = vec![0_usize; arena.len()];
        for id in &needed {
            arena.node(*id).arguments().into_iter().flatten().for_each(|a| uses[a] += 1);
        }
        outputs.iter().for_each(|id| uses[*id] += 1);
        let mut place = vec![usize::MAX; arena.len()];
        let mut tape =
            Self { operations: Vec::new(), numbers: Vec::new(), outputs: Vec::new(), registers: 0 };
        // Numbers keep their registers; all others are used again once nobody needs them.
        for id in &needed {
            if let Node::Number(bits) = arena.node(*id) {
                place[*id] = tape.registers;
                tape.numbers.push((f64::from_bits(bits), tape.registers));
                tape.registers += 1;
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for id in needed {
            let what = arena.node(id);
            if matches!(what, Node::Number(_)) {
                continue;
            }
            let to = free.pop().unwrap_or_else(|| {
                tape.registers += 1;
                tape.registers - 1
            });
            place[id] = to;
            let from = what.arguments().map(|a| a.map_or(usize::MAX, |a| place[a]));
            tape.operations.push(Operation { what, from, to });
            for a in what.arguments().into_iter().flatten() {
                uses[a] -= 1;
                if uses[a] == 0 && !matches!(arena.node(a), Node::Number(_)) {
                    free.push(place[a]);
                }
            }
        }
        tape.outputs = outputs.iter().map(|id| place[*id]).collect();
        tape
    }

    /// Evaluates real arguments; `outputs` are as long as they are.
    ///
    /// # Panics
    /// If a variable has no input, or lengths differ.
    pub fn real<T: Scalar>(&self, inputs: &[Input<'_, T>], outputs: &mut [&mut [T]]) {
        let length = outputs.first().map_or(0, |out| out.len());
        self.run::<T, false>(
            length,
            |place| inputs[place],
            |k, start, re, _| {
                outputs[k][start..start + re.len()].copy_from_slice(re);
            },
        );
    }

    /// Evaluates complex arguments; real and imaginary parts of the outputs are as long as they are.
    ///
    /// # Panics
    /// If a variable has no input, or lengths differ.
    pub fn complex<T: Scalar>(&self, inputs: &[Input<'_, T>], re: &mut [&mut [T]], im: &mut [&mut [T]]) {
        let length = re.first().map_or(0, |out| out.len());
        self.run::<T, true>(
            length,
            |place| inputs[place],
            |k, start, x, y| {
                re[k][start..start + x.len()].copy_from_slice(x);
                im[k][start..start + x.len()].copy_from_slice(y);
            },
        );
    }

    /// Evaluates arguments of `length` elements, whose input is asked for by place, and hands over blocks of each output: its place, where the
    /// block begins, real and imaginary parts. It allocates nothing.
    pub fn run<'a, T: Scalar, const COMPLEX: bool>(
        &self,
        length: usize,
        input: impl Fn(usize) -> Input<'a, T>,
        write: impl FnMut(usize, usize, &[T], &[T]),
    ) {
        let wanted = 2 * self.registers * length.min(BLOCK);
        if wanted <= ROOM[0] {
            self.run_in::<T, COMPLEX>(&mut [T::zero(); ROOM[0]], length, input, write);
        } else if 2 * self.registers <= ROOM[1] {
            self.run_in::<T, COMPLEX>(&mut [T::zero(); ROOM[1]], length, input, write);
        } else {
            self.run_in::<T, COMPLEX>(&mut vec![T::zero(); wanted], length, input, write);
        }
    }

    fn run_in<'a, T: Scalar, const COMPLEX: bool>(
        &self,
        room: &mut [T],
        length: usize,
        input: impl Fn(usize) -> Input<'a, T>,
        mut write: impl FnMut(usize, usize, &[T], &[T]),
    ) {
        let block = (room.len() / (2 * self.registers)).min(BLOCK).min(length.max(1));
        for (number, register) in &self.numbers {
            room[2 * register * block..][..block].fill(T::of(*number));
        }
        let mut start = 0;
        while start < length {
            let n = block.min(length - start);
            for operation in &self.operations {
                operation.run::<T, COMPLEX>((room, block), &input, (start, n));
            }
            for (k, register) in self.outputs.iter().enumerate() {
                let (re, im) = room[2 * register * block..][..2 * block].split_at(block);
                write(k, start, &re[..n], &im[..n]);
            }
            start += n;
        }
    }
}

impl Operation {
    fn run<'a, T: Scalar, const COMPLEX: bool>(
        &self,
        (room, block): (&mut [T], usize),
        input: impl Fn(usize) -> Input<'a, T>,
        (start, n): (usize, usize),
    ) {
        let Self { what, from: [a, b], to } = *self;
        let range = |register: usize| 2 * register * block..2 * (register + 1) * block;
        match what {
            Node::Number(_) => {}
            Node::Variable(place) => {
                let (re, im) = room[range(to)].split_at_mut(block);
                match input(place) {
                    Input::Each(real, imaginary) => {
                        re[..n].copy_from_slice(&real[start..start + n]);
                        if COMPLEX {
                            im[..n].copy_from_slice(&imaginary[start..start + n]);
                        }
                    }
                    Input::Column(column) => {
                        let values = column.iter().cycle().skip(start % column.len());
                        re[..n].iter_mut().zip(values).for_each(|(r, x)| *r = T::of(*x));
                        im[..n].fill(T::zero());
                    }
                }
            }
            Node::Negate(_) | Node::Power(..) | Node::Call(..) => {
                let [out, a] =
                    room.get_disjoint_mut([range(to), range(a)]).expect("a result has its own register");
                let ((x, y), (re, im)) = (a.split_at(block), out.split_at_mut(block));
                unary::<T, COMPLEX>(what, (&x[..n], &y[..n]), (&mut re[..n], &mut im[..n]));
            }
            Node::Add(..)
            | Node::Subtract(..)
            | Node::Multiply(..)
            | Node::Divide(..)
            | Node::Maximum(..) => {
                if a == b {
                    // Both arguments are one part.
                    let [out, a] =
                        room.get_disjoint_mut([range(to), range(a)]).expect("a result has its own register");
                    return binary::<T, COMPLEX>(what, a, a, out, n);
                }
                let [out, a, b] = room
                    .get_disjoint_mut([range(to), range(a), range(b)])
                    .expect("results have their own registers");
                binary::<T, COMPLEX>(what, a, b, out, n);
            }
        }
    }
}

/// `a`, `b` and `out` are registers: a block of real parts, and one of imaginary parts.
fn binary<T: Scalar, const COMPLEX: bool>(what: Node, a: &[T], b: &[T], out: &mut [T], n: usize) {
    let half = a.len() / 2;
    let ((x, y), (u, v), (re, im)) = (a.split_at(half), b.split_at(half), out.split_at_mut(half));
    let (x, y, u, v) = (&x[..n], &y[..n], &u[..n], &v[..n]);
    let (re, im) = (&mut re[..n], &mut im[..n]);
    match what {
        Node::Add(..) => {
            (0..n).for_each(|i| re[i] = x[i] + u[i]);
            if COMPLEX {
                (0..n).for_each(|i| im[i] = y[i] + v[i]);
            }
        }
        Node::Subtract(..) => {
            (0..n).for_each(|i| re[i] = x[i] - u[i]);
            if COMPLEX {
                (0..n).for_each(|i| im[i] = y[i] - v[i]);
            }
        }
        Node::Multiply(..) if COMPLEX => {
            for i in 0..n {
                (re[i], im[i]) = (x[i] * u[i] - y[i] * v[i], x[i] * v[i] + y[i] * u[i]);
            }
        }
        Node::Multiply(..) => (0..n).for_each(|i| re[i] = x[i] * u[i]),
        Node::Divide(..) if COMPLEX => {
            for i in 0..n {
                let size = u[i] * u[i] + v[i] * v[i];
                (re[i], im[i]) = ((x[i] * u[i] + y[i] * v[i]) / size, (y[i] * u[i] - x[i] * v[i]) / size);
            }
        }
        Node::Divide(..) => (0..n).for_each(|i| re[i] = x[i] / u[i]),
        // Of what is not holomorphic each part is taken by itself; complex states are refused before.
        _ => {
            (0..n).for_each(|i| re[i] = larger(x[i], u[i]));
            if COMPLEX {
                (0..n).for_each(|i| im[i] = larger(y[i], v[i]));
            }
        }
    }
}

/// The larger of two; what is not a number stays so.
fn larger<T: Scalar>(a: T, b: T) -> T {
    if a.is_nan() || a > b { a } else { b }
}

fn unary<T: Scalar, const COMPLEX: bool>(what: Node, (x, y): (&[T], &[T]), (re, im): (&mut [T], &mut [T])) {
    let n = x.len();
    match what {
        Node::Negate(_) => {
            (0..n).for_each(|i| re[i] = -x[i]);
            if COMPLEX {
                (0..n).for_each(|i| im[i] = -y[i]);
            }
        }
        Node::Power(_, 2) if COMPLEX => {
            for i in 0..n {
                (re[i], im[i]) = (x[i] * x[i] - y[i] * y[i], (x[i] + x[i]) * y[i]);
            }
        }
        Node::Power(_, 2) => (0..n).for_each(|i| re[i] = x[i] * x[i]),
        Node::Power(_, power) if COMPLEX => each(x, y, re, im, |z| z.powi(power)),
        Node::Power(_, power) => (0..n).for_each(|i| re[i] = x[i].powi(power)),
        Node::Call(function, _) if COMPLEX => complex_call(function, (x, y), (re, im)),
        Node::Call(function, _) => real_call(function, x, re),
        _ => unreachable!("a part with one argument"),
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
