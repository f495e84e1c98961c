//! Expressions: text that becomes a function, its derivatives, and a program that evaluates both on whole batches.
//!
//! An [`Arena`] holds what was parsed, each part once; derivatives are further parts of it, so that they share what they have in common. A
//! [`Tape`] evaluates some of them, real or complex, in blocks that stay in the cache, with the kernels of the built-in activations.

mod operation;
mod parse;
mod tape;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use parse::Malformed;
pub(crate) use parse::is_taken;
pub use tape::{Input, Tape};

/// Parts of an arena at most: derivatives of what fits into one text stay far below.
pub const MOST_NODES: usize = 20_000;

/// A part of an arena.
pub type Id = usize;

/// A function of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    Exp,
    Ln,
    Sqrt,
    Sin,
    Cos,
    Sinh,
    Cosh,
    Tanh,
    Atan,
    Logistic,
    Softplus,
    Abs,
    Sign,
    Step,
    Conj,
}

impl Function {
    /// Whether it continues analytically off the real axis.
    pub(crate) fn is_holomorphic(self) -> bool {
        !matches!(self, Self::Abs | Self::Sign | Self::Step | Self::Conj)
    }
}

/// A part: a number, a variable, or what is done to earlier parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// A number, by its bits.
    Number(u64),
    /// The variable of that place.
    Variable(usize),
    Add(Id, Id),
    Subtract(Id, Id),
    Multiply(Id, Id),
    Divide(Id, Id),
    Negate(Id),
    Power(Id, i32),
    Call(Function, Id),
    Maximum(Id, Id),
}

impl Node {
    /// The parts that it is made of.
    pub(crate) fn arguments(self) -> [Option<Id>; 2] {
        match self {
            Self::Number(_) | Self::Variable(_) => [None, None],
            Self::Negate(a) | Self::Power(a, _) | Self::Call(_, a) => [Some(a), None],
            Self::Add(a, b)
            | Self::Subtract(a, b)
            | Self::Multiply(a, b)
            | Self::Divide(a, b)
            | Self::Maximum(a, b) => [Some(a), Some(b)],
        }
    }
}

/// Expressions over some variables, each part once.
#[derive(Debug, Clone, Default)]
pub struct Arena {
    nodes: Vec<Node>,
    places: HashMap<Node, Id>,
}

impl Arena {
    /// Parses a text. `names` gives each name that may occur its meaning: a variable's place, or a number.
    ///
    /// # Errors
    /// Where the text is no expression, with the place in it.
    pub fn parse(&mut self, text: &str, names: &[(&str, Meaning)]) -> Result<Id, Malformed> {
        parse::parse(self, text, names)
    }

    pub(crate) fn node(&self, id: Id) -> Node {
        self.nodes[id]
    }

    /// Number of parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no parts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn put(&mut self, node: Node) -> Id {
        *self.places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// A number.
    pub fn number(&mut self, x: f64) -> Id {
        self.put(Node::Number(x.to_bits()))
    }

    /// The variable of a place.
    pub fn variable(&mut self, place: usize) -> Id {
        self.put(Node::Variable(place))
    }

    fn value(&self, id: Id) -> Option<f64> {
        match self.nodes[id] {
            Node::Number(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// a + b.
    pub fn add(&mut self, a: Id, b: Id) -> Id {
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => self.number(x + y),
            (Some(0.0), _) => b,
            (_, Some(0.0)) => a,
            _ => self.put(Node::Add(a, b)),
        }
    }

    /// a − b.
    pub fn subtract(&mut self, a: Id, b: Id) -> Id {
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => self.number(x - y),
            (_, Some(0.0)) => a,
            (Some(0.0), _) => self.negate(b),
            _ => self.put(Node::Subtract(a, b)),
        }
    }

    /// a b.
    pub fn multiply(&mut self, a: Id, b: Id) -> Id {
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => self.number(x * y),
            (Some(0.0), _) | (_, Some(1.0)) => a,
            (Some(1.0), _) | (_, Some(0.0)) => b,
            (Some(-1.0), _) => self.negate(b),
            (_, Some(-1.0)) => self.negate(a),
            _ if a == b => self.put(Node::Power(a, 2)),
            _ => self.put(Node::Multiply(a, b)),
        }
    }

    /// a/b.
    pub fn divide(&mut self, a: Id, b: Id) -> Id {
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) if y != 0.0 => self.number(x / y),
            (_, Some(1.0)) => a,
            _ => self.put(Node::Divide(a, b)),
        }
    }

    /// −a.
    pub fn negate(&mut self, a: Id) -> Id {
        match self.nodes[a] {
            Node::Number(bits) => self.number(-f64::from_bits(bits)),
            Node::Negate(inner) => inner,
            _ => self.put(Node::Negate(a)),
        }
    }

    /// aⁿ.
    pub fn power(&mut self, a: Id, n: i32) -> Id {
        match (self.value(a), n) {
            (_, 0) => self.number(1.0),
            (_, 1) => a,
            (Some(x), n) => self.number(x.powi(n)),
            _ => self.put(Node::Power(a, n)),
        }
    }

    pub(crate) fn call(&mut self, function: Function, a: Id) -> Id {
        self.put(Node::Call(function, a))
    }

    pub(crate) fn maximum(&mut self, a: Id, b: Id) -> Id {
        self.put(Node::Maximum(a, b))
    }

    /// The derivative by the variable of a place; of what is not holomorphic, that along the real axis.
    pub fn derivative(&mut self, of: Id, by: usize) -> Id {
        let needed = self.needed(&[of]);
        let mut known: HashMap<Id, Id> = HashMap::new();
        // Arguments come before what is made of them.
        for id in needed {
            let made = self.derived(id, by, &known);
            known.insert(id, made);
        }
        known[&of]
    }

    fn derived(&mut self, id: Id, by: usize, known: &HashMap<Id, Id>) -> Id {
        let zero = self.number(0.0);
        match self.nodes[id] {
            Node::Number(_) => zero,
            Node::Variable(place) => self.number(if place == by { 1.0 } else { 0.0 }),
            Node::Add(a, b) => self.add(known[&a], known[&b]),
            Node::Subtract(a, b) => self.subtract(known[&a], known[&b]),
            Node::Multiply(a, b) => {
                let (left, right) = (self.multiply(known[&a], b), self.multiply(a, known[&b]));
                self.add(left, right)
            }
            Node::Divide(a, b) => {
                // (a′ − (a/b) b′)/b
                let back = self.multiply(id, known[&b]);
                let top = self.subtract(known[&a], back);
                if self.value(top) == Some(0.0) { zero } else { self.divide(top, b) }
            }
            Node::Negate(a) => self.negate(known[&a]),
            Node::Power(a, n) => {
                let (factor, lower) = (self.number(f64::from(n)), self.power(a, n - 1));
                let slope = self.multiply(factor, lower);
                self.multiply(slope, known[&a])
            }
            Node::Call(function, a) => {
                if self.value(known[&a]) == Some(0.0) {
                    return zero;
                }
                let slope = self.slope(function, a, id);
                self.multiply(slope, known[&a])
            }
            Node::Maximum(a, b) => {
                let ahead = self.subtract(a, b);
                let first = self.call(Function::Step, ahead);
                let left = self.multiply(first, known[&a]);
                let one = self.number(1.0);
                let second = self.subtract(one, first);
                let right = self.multiply(second, known[&b]);
                self.add(left, right)
            }
        }
    }

    /// f′(a), where `value` is f(a).
    fn slope(&mut self, function: Function, a: Id, value: Id) -> Id {
        let one = self.number(1.0);
        match function {
            Function::Exp => value,
            Function::Ln => self.divide(one, a),
            Function::Sqrt => {
                let half = self.number(0.5);
                self.divide(half, value)
            }
            Function::Sin => self.call(Function::Cos, a),
            Function::Cos => {
                let sin = self.call(Function::Sin, a);
                self.negate(sin)
            }
            Function::Sinh => self.call(Function::Cosh, a),
            Function::Cosh => self.call(Function::Sinh, a),
            Function::Tanh => {
                let square = self.power(value, 2);
                self.subtract(one, square)
            }
            Function::Atan => {
                let square = self.power(a, 2);
                let below = self.add(one, square);
                self.divide(one, below)
            }
            Function::Logistic => {
                // σ(a) σ(−a) keeps its digits in both tails.
                let minus = self.negate(a);
                let other = self.call(Function::Logistic, minus);
                self.multiply(value, other)
            }
            Function::Softplus => self.call(Function::Logistic, a),
            Function::Abs => self.call(Function::Sign, a),
            Function::Sign | Function::Step => self.number(0.0),
            Function::Conj => one,
        }
    }

    /// The parts that some are made of, themselves included, in an order in which arguments come first.
    pub(crate) fn needed(&self, outputs: &[Id]) -> Vec<Id> {
        let mut wanted = vec![false; self.nodes.len()];
        outputs.iter().for_each(|id| wanted[*id] = true);
        for id in (0..self.nodes.len()).rev().filter(|id| self.nodes.len() > *id) {
            if wanted[id] {
                self.nodes[id].arguments().into_iter().flatten().for_each(|a| wanted[a] = true);
            }
        }
        (0..wanted.len()).filter(|id| wanted[*id]).collect()
    }

    /// Whether it continues analytically off the real axis.
    #[must_use]
    pub fn is_holomorphic(&self, id: Id) -> bool {
        self.needed(&[id]).into_iter().all(|id| match self.nodes[id] {
            Node::Call(function, _) => function.is_holomorphic(),
            Node::Maximum(..) => false,
            _ => true,
        })
    }

    /// Whether it depends on the variable of a place.
    #[must_use]
    pub fn depends(&self, id: Id, on: usize) -> bool {
        self.needed(&[id]).into_iter().any(|id| self.nodes[id] == Node::Variable(on))
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning {
    /// The variable of that place.
    Variable(usize),
    /// A number.
    Number(f64),
}
