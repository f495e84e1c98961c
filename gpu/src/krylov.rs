//! GMRES for all samples of a batch: directions and products on the device, each sample's small least-squares problem here.

use std::sync::Arc;

use wgpu::Buffer;

use crate::device::{Call, Grid};
use crate::engine::Engine;
use crate::error::Result;
use crate::kernels;
use crate::workspace::{Derivative, Task, Workspace};

/// Directions of one cycle.
const RESTART: usize = 40;

/// A complex number: real and imaginary part.
type Number = [f64; 2];

fn times(a: Number, b: Number) -> Number {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn conjugate(a: Number) -> Number {
    [a[0], -a[1]]
}

fn minus(a: Number, b: Number) -> Number {
    [a[0] - b[0], a[1] - b[1]]
}

fn plus(a: Number, b: Number) -> Number {
    [a[0] + b[0], a[1] + b[1]]
}

fn size(a: Number) -> f64 {
    a[0].hypot(a[1])
}

/// The least-squares problem of one sample, kept triangular by Givens rotations.
struct Cycle {
    columns: Vec<Vec<Number>>,
    rotations: Vec<(Number, Number)>,
    right: Vec<Number>,
}

impl Cycle {
    fn new(norm: f64) -> Self {
        Self { columns: Vec::new(), rotations: Vec::new(), right: vec![[norm, 0.0]] }
    }

    fn push(&mut self, mut column: Vec<Number>) {
        let k = self.columns.len();
        for (i, (c, s)) in self.rotations.iter().enumerate() {
            let (a, b) = (column[i], column[i + 1]);
            column[i] = plus(times(conjugate(*c), a), times(conjugate(*s), b));
            column[i + 1] = minus(times(*c, b), times(*s, a));
        }
        let (a, b) = (column[k], column[k + 1]);
        let length = size(a).hypot(size(b));
        let over = |x: Number| [x[0] / length, x[1] / length];
        let (c, s) = if length > 0.0 { (over(a), over(b)) } else { ([1.0, 0.0], [0.0, 0.0]) };
        column[k] = [length, 0.0];
        let top = self.right[k];
        self.right[k] = times(conjugate(c), top);
        let rest = times(s, top);
        self.right.push([-rest[0], -rest[1]]);
        self.rotations.push((c, s));
        self.columns.push(column);
    }

    fn residual(&self) -> f64 {
        self.right.last().map_or(0.0, |right| size(*right))
    }

    fn solution(&self) -> Vec<Number> {
        let n = self.columns.len();
        let mut y = vec![[0.0; 2]; n];
        for i in (0..n).rev() {
            let known = (i + 1..n).fold([0.0; 2], |sum, j| plus(sum, times(self.columns[j][i], y[j])));
            let (pivot, rest) = (self.columns[i][i][0], minus(self.right[i], known));
            // A sample that has converged to zero residual needs no further direction.
            y[i] = if pivot > 0.0 { [rest[0] / pivot, rest[1] / pivot] } else { [0.0; 2] };
        }
        y
    }
}

/// An equation (1 − K + i·rate·τ) x = right for each sample, with K a derivative at real rates.
#[derive(Clone, Copy)]
pub struct Equation<'a> {
    /// A number of these rates and slopes, not 0, and how many samples there are.
    pub at: (u64, usize),
    /// The rates, and ρ′, both of a real state.
    pub rates: (&'a [f32], &'a [f32]),
    /// Which derivative.
    pub derivative: Derivative,
    /// rate·τ of each neuron; zero where x is real.
    pub turn: &'a [f32],
    /// With one rail or two.
    pub right: &'a [f32],
    /// Largest residual of a sample, relative to its right side.
    pub tolerance: f64,
    /// Products, at most.
    pub most: u64,
    /// Whether somebody wants an end.
    pub stopped: &'a dyn Fn() -> bool,
}

/// What a solution took, and the largest relative residual that it left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solved {
    /// Products with the matrix.
    pub products: u64,
    /// Largest residual of a sample, relative to its right side.
    pub residual: f64,
}

/// Buffers of a cycle.
pub(crate) struct Basis {
    vectors: Vec<Buffer>,
    columns: Vec<Buffer>,
    product: Buffer,
    right: Buffer,
    x: Buffer,
    turn: Buffer,
    /// In the places of products that nobody reads.
    unread: Buffer,
}

impl Engine {
    /// Solves the equation of each sample, from a guess in `x`.
    ///
    /// # Errors
    /// What [`crate::Device::check`] finds, and [`crate::Error::Size`].
    pub fn solve(&self, equation: &Equation<'_>, x: &mut [f32]) -> Result<Solved> {
        let columns = equation.right.len() / self.plan().neurons();
        let batch = equation.at.1;
        let mut held = self.workspace(columns)?;
        let on = held.as_mut().expect("made above");
        let capacity = on.columns * self.plan().neurons();
        let basis = on.basis.take().unwrap_or_else(|| Basis {
            vectors: Vec::new(),
            columns: Vec::new(),
            product: self.device().buffer(2 * on.columns),
            right: self.device().buffer(capacity),
            x: self.device().buffer(capacity),
            turn: self.device().buffer(self.plan().neurons()),
            unread: self.device().buffer(2 * on.columns),
        });
        self.load_derivative(on, equation.at, equation.rates, columns);
        let mut solver = Solver {
            engine: self,
            on,
            basis,
            rails: columns / batch,
            batch,
            capacity,
            derivative: equation.derivative,
        };
        let solved = solver.solve(equation, x);
        let Solver { basis, on, .. } = solver;
        on.basis = Some(basis);
        solved
    }
}

struct Solver<'a> {
    engine: &'a Engine,
    on: &'a mut Workspace,
    basis: Basis,
    rails: usize,
    batch: usize,
    capacity: usize,
    derivative: Derivative,
}

impl Solver<'_> {
    fn solve(&mut self, equation: &Equation<'_>, x: &mut [f32]) -> Result<Solved> {
        let device = Arc::clone(self.engine.device());
        device.write(&self.basis.right, equation.right);
        device.write(&self.basis.x, x);
        device.write(&self.basis.turn, equation.turn);
        self.room(0);
        let at = self.engine.task(self.on, Task::At);
        device.submit((self.batch, self.batch), at.iter());

        let scale = self.norms(&self.basis.right.clone())?;
        let scale: Vec<f64> = scale.into_iter().map(|n| if n > 0.0 { n } else { 1.0 }).collect();
        let enough: Vec<f64> = scale.iter().map(|s| equation.tolerance * s).collect();
        let (mut products, mut before) = (0, f64::INFINITY);
        loop {
            // The residual is the first direction.
            let first = self.basis.vectors[0].clone();
            if products == 0 && x.iter().all(|x| *x == 0.0) {
                self.submit(&[self.whole(kernels::copy(self.engine.plan()), &[&self.basis.right, &first])]);
            } else {
                let from = self.basis.x.clone();
                self.multiply(&from, &first);
                products += 1;
                self.submit(&[
                    self.whole(kernels::take_from(self.engine.plan()), &[&self.basis.right, &first])
                ]);
            }
            let sizes = self.norms(&first)?;
            let worst = sizes
                .iter()
                .zip(&scale)
                .map(|(r, s)| r / s)
                .fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
            let small = sizes.iter().zip(&enough).all(|(size, enough)| size <= enough);
            // Single precision has an end: a cycle that leads no further is the last.
            let stuck = worst > 0.5 * before;
            before = worst;
            if small || stuck || products >= equation.most || !worst.is_finite() || (equation.stopped)() {
                x.copy_from_slice(&device.read::<f32>(&[(&self.basis.x, x.len())])?[0]);
                return Ok(Solved { products, residual: worst });
            }
            self.submit(&[self.normalise(&first)]);
            let mut cycles: Vec<Cycle> = sizes.iter().map(|norm| Cycle::new(*norm)).collect();
            let steps = RESTART.min((equation.most - products) as usize).max(1);
            for k in 0..steps {
                self.direct(k, &mut cycles, &enough)?;
                products += 1;
                if cycles.iter().zip(&enough).all(|(cycle, enough)| cycle.residual() <= *enough) {
                    break;
                }
            }
            self.advance(&cycles);
        }
    }

    /// One more direction, and the columns that it brings to samples that need it.
    fn direct(&mut self, k: usize, cycles: &mut [Cycle], enough: &[f64]) -> Result<()> {
        let device = Arc::clone(self.engine.device());
        self.room(k + 1);
        let (last, next) = (self.basis.vectors[k].clone(), self.basis.vectors[k + 1].clone());
        self.multiply(&last, &next);
        device.clear(self.basis.columns[..=k + 1].iter());
        let mut calls = Vec::new();
        // Twice is enough.
        for _ in 0..2 {
            for j in 0..=k {
                let vector = &self.basis.vectors[j];
                calls.push(self.dot(vector, &next, &self.basis.columns[j]));
                let source = kernels::subtract(self.engine.plan(), self.rails);
                calls.push(self.call(source, &[&self.basis.product, vector, &next]));
            }
        }
        calls.push(self.dot(&next, &next, &self.basis.columns[k + 1]));
        calls.push(self.normalise(&next));
        self.submit(&calls);
        let wanted: Vec<(&Buffer, usize)> =
            self.basis.columns[..=k + 1].iter().map(|column| (column, 2 * self.batch)).collect();
        let read = device.read::<f32>(&wanted)?;
        for (sample, cycle) in cycles.iter_mut().enumerate() {
            // The directions of others do not change a solution.
            if cycle.residual() <= enough[sample] {
                continue;
            }
            let entry =
                |column: &Vec<f32>| [f64::from(column[2 * sample]), f64::from(column[2 * sample + 1])];
            let mut column: Vec<Number> = read.iter().map(entry).collect();
            column[k + 1] = [column[k + 1][0].max(0.0).sqrt(), 0.0];
            cycle.push(column);
        }
        Ok(())
    }

    /// x += Σ y v.
    fn advance(&mut self, cycles: &[Cycle]) {
        let solutions: Vec<Vec<Number>> = cycles.iter().map(Cycle::solution).collect();
        let most = solutions.iter().map(Vec::len).max().unwrap_or(0);
        for j in 0..most {
            let of = |y: &Vec<Number>| y.get(j).map_or([0.0; 2], |y| [-y[0] as f32, -y[1] as f32]);
            let weights: Vec<f32> = solutions.iter().flat_map(of).collect();
            self.engine.device().write(&self.basis.product, &weights);
            let source = kernels::subtract(self.engine.plan(), self.rails);
            let buffers = [&self.basis.product, &self.basis.vectors[j], &self.basis.x];
            self.submit(&[self.call(source, &buffers)]);
        }
    }

    /// to = (1 − K + i·rate·τ) from.
    fn multiply(&mut self, from: &Buffer, to: &Buffer) {
        let plan = self.engine.plan();
        let before = self.whole(kernels::copy(plan), &[from, &self.on.v]);
        let task = Task::Product { rails: self.rails, derivative: self.derivative };
        let product = self.engine.task(self.on, task);
        let resolve = kernels::resolve(plan, self.rails);
        let after = [
            self.call(resolve, &[&self.basis.turn, &self.on.v, &self.on.out]),
            self.whole(kernels::copy(plan), &[&self.on.out, to]),
        ];
        let columns = self.batch * self.rails;
        let all = std::iter::once(&before).chain(product.iter()).chain(&after);
        self.engine.device().submit((self.batch, columns), all);
    }

    fn norms(&self, of: &Buffer) -> Result<Vec<f64>> {
        self.submit(&[self.dot(of, of, &self.basis.unread)]);
        let read = self.engine.device().read::<f32>(&[(&self.basis.product, 2 * self.batch)])?;
        Ok(read[0].chunks_exact(2).map(|square| f64::from(square[0]).max(0.0).sqrt()).collect())
    }

    /// Makes room for a direction and its column.
    fn room(&mut self, k: usize) {
        while self.basis.vectors.len() <= k {
            self.basis.vectors.push(self.engine.device().buffer(self.capacity));
            self.basis.columns.push(self.engine.device().buffer(2 * self.on.columns));
        }
    }

    fn submit(&self, calls: &[Call]) {
        self.engine.device().submit((self.batch, self.batch * self.rails), calls.iter());
    }

    fn call(&self, source: String, buffers: &[&Buffer]) -> Call {
        self.on.call(self.engine.device(), source, buffers, Grid::PerSample(self.engine.plan().neurons()))
    }

    fn whole(&self, source: String, buffers: &[&Buffer]) -> Call {
        self.on.call(self.engine.device(), source, buffers, Grid::PerColumn(self.engine.plan().neurons()))
    }

    fn dot(&self, a: &Buffer, b: &Buffer, column: &Buffer) -> Call {
        let source = kernels::dot(self.engine.plan(), self.rails);
        self.on.call(self.engine.device(), source, &[a, b, &self.basis.product, column], Grid::Samples)
    }

    /// By the squared length that was last measured.
    fn normalise(&self, of: &Buffer) -> Call {
        self.call(kernels::normalise(self.engine.plan(), self.rails), &[&self.basis.product, of])
    }
}
