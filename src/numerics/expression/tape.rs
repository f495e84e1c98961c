//! Expressions as a list of operations on blocks of a batch.

use super::operation::{Operation, Source, What};
use super::{Arena, Id, Node};
use crate::numerics::scalar::Scalar;

/// Elements of a block: its registers stay in the cache.
pub(super) const BLOCK: usize = 128;
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
        let (what, order) = lower(arena, outputs);
        let is_read_where_it_is =
            |id: Id, by: &What| by.reads_variables() && matches!(arena.node(id), Node::Variable(_));
        let mut uses = vec![0_usize; arena.len()];
        for id in &order {
            for a in what[*id].1.into_iter().flatten().filter(|a| !is_read_where_it_is(*a, &what[*id].0)) {
                uses[a] += 1;
            }
        }
        outputs.iter().for_each(|id| uses[*id] += 1);
        let mut place = vec![usize::MAX; arena.len()];
        let mut tape =
            Self { operations: Vec::new(), numbers: Vec::new(), outputs: Vec::new(), registers: 0 };
        // Numbers keep their registers; all others are used again once nobody needs them.
        for id in order.iter().filter(|id| uses[**id] > 0) {
            if let Node::Number(bits) = arena.node(*id) {
                place[*id] = tape.registers;
                tape.numbers.push((f64::from_bits(bits), tape.registers));
                tape.registers += 1;
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for id in order {
            if uses[id] == 0 || matches!(arena.node(id), Node::Number(_)) {
                continue;
            }
            let (what, arguments) = what[id];
            let to = free.pop().unwrap_or_else(|| {
                tape.registers += 1;
                tape.registers - 1
            });
            place[id] = to;
            let from = arguments.map(|a| match a.map(|a| (a, arena.node(a))) {
                Some((a, Node::Variable(variable))) if is_read_where_it_is(a, &what) => {
                    Source::Variable(variable)
                }
                Some((a, _)) => Source::Register(place[a]),
                None => Source::None,
            });
            tape.operations.push(Operation { what, from, to });
            for a in arguments.into_iter().flatten().filter(|a| !is_read_where_it_is(*a, &what)) {
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

/// What computes a part, and its arguments.
type Lowered = (What, [Option<Id>; 2]);

/// What computes each part, and the parts that are needed, arguments first.
fn lower(arena: &Arena, outputs: &[Id]) -> (Vec<Lowered>, Vec<Id>) {
    let mut what: Vec<Lowered> = Vec::with_capacity(arena.len());
    for id in 0..arena.len() {
        let node = arena.node(id);
        what.push(match (affine(arena, node), node) {
            (Some((scale, shift, a)), _) => match what[a] {
                // ±(k·z) + c in one go: the same roundings.
                (What::Affine(inner, none), from) if scale.abs() == 1.0 && is_nothing(none) => {
                    (What::Affine(scale * inner, shift), from)
                }
                _ => (What::Affine(scale, shift), [Some(a), None]),
            },
            (None, Node::Divide(a, b)) if number(arena, b).is_some() => {
                (What::Quotient(number(arena, b).expect("a number")), [Some(a), None])
            }
            _ => (What::Node(node), node.arguments()),
        });
    }
    let mut wanted = vec![false; what.len()];
    outputs.iter().for_each(|id| wanted[*id] = true);
    for id in (0..what.len()).rev() {
        if wanted[id] {
            what[id].1.into_iter().flatten().for_each(|a| wanted[a] = true);
        }
    }
    let order = (0..wanted.len()).filter(|id| wanted[*id]).collect();
    (what, order)
}

/// Scale, shift and z of what is scale·z + shift, with real numbers.
fn affine(arena: &Arena, node: Node) -> Option<(f64, f64, Id)> {
    // Adding −0 changes nothing, not even the sign of a zero.
    const NOTHING: f64 = -0.0;
    match node {
        Node::Multiply(a, b) => {
            number(arena, b).map(|k| (k, NOTHING, a)).or_else(|| number(arena, a).map(|k| (k, NOTHING, b)))
        }
        Node::Add(a, b) => {
            number(arena, b).map(|c| (1.0, c, a)).or_else(|| number(arena, a).map(|c| (1.0, c, b)))
        }
        Node::Subtract(a, b) => {
            number(arena, b).map(|c| (1.0, -c, a)).or_else(|| number(arena, a).map(|c| (-1.0, c, b)))
        }
        _ => None,
    }
}

fn is_nothing(shift: f64) -> bool {
    shift == 0.0 && shift.is_sign_negative()
}

fn number(arena: &Arena, id: Id) -> Option<f64> {
    match arena.node(id) {
        Node::Number(bits) => Some(f64::from_bits(bits)),
        _ => None,
    }
}
