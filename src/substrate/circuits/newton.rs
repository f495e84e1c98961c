//! Node voltages that solve the equations: Newton's method with limited junction voltages, as in SPICE.

use super::field::Taught;
use super::matrix::Number;
use super::model::CircuitCost;
use super::programmed::{Programmed, voltage};

/// Iterations before a solution is given up.
const MOST: usize = 200;
/// Largest step of a solution, in V and relative to the largest voltage: the next would be its square.
const SMALL: f64 = 1e-10;

/// F(V) − β ∂C/∂V + n = inertia (V − known), of one sample.
pub(super) struct Equation<'e, N> {
    pub substrate: &'e Programmed,
    /// Inputs of the sample, and what they add to F.
    pub inputs: &'e [f64],
    pub drive: &'e [f64],
    pub targets: &'e [f64],
    pub beta: N,
    /// What noise adds; empty where there is none.
    pub noise: &'e [f64],
    /// A matrix that is added to the linear part, with the voltages from which on it acts.
    pub correction: Option<(&'e [f64], &'e [f64])>,
    /// τ/(γh) of every node, and the voltages that a stage starts from; none for an equilibrium.
    pub inertia: Option<(&'e [f64], &'e [N])>,
}

/// Why there is no solution.
#[derive(Debug, Clone)]
pub(super) struct Unsolved {
    /// What the largest change was still made at, or what is at fault.
    pub place: String,
    pub what: String,
}

impl<N: Number> Equation<'_, N> {
    /// F and ∂F/∂V with every diode on the tangent at its junction voltage in `bent`; in the order of the pattern. What a field adds to F
    /// without inertia.
    fn tangent(&self, v: &[N], bent: &[N], force: &mut [N], matrix: &mut [N], taught: &mut Taught<N>) {
        let pattern = self.substrate.pattern();
        for (m, k) in matrix.iter_mut().zip(&self.substrate.linear) {
            *m = N::real(*k);
        }
        force.iter_mut().zip(self.drive).for_each(|(f, d)| *f = N::real(*d));
        force.iter_mut().zip(self.noise).for_each(|(f, n)| *f += N::real(*n));
        pattern.multiply(&self.substrate.linear, v, force);
        for (junction, bent) in self.substrate.junctions.iter().zip(bent) {
            let (current, slope) = junction.law.at(*bent);
            let current = current + slope * (self.junction(junction, v) - *bent);
            for (row, places) in junction.rows.iter().zip(&junction.places) {
                let Some((i, factor)) = row else { continue };
                force[*i] += current * N::real(*factor);
                for (place, gain) in places.iter().flatten() {
                    matrix[*place] += slope * N::real(factor * gain);
                }
            }
        }
        if let Some((values, from)) = self.correction {
            let moved: Vec<N> = v.iter().zip(from).map(|(v, f)| *v - N::real(*f)).collect();
            pattern.multiply(values, &moved, force);
            matrix.iter_mut().zip(values).for_each(|(m, c)| *m += N::real(*c));
        }
        self.teach(v, force, matrix, taught);
        if let Some((inertia, known)) = self.inertia {
            for (i, place) in pattern.diagonal().iter().enumerate() {
                force[i] -= (v[i] - known[i]) * N::real(inertia[i]);
                matrix[*place] -= N::real(inertia[i]);
            }
        }
    }

    fn teach(&self, v: &[N], force: &mut [N], matrix: &mut [N], taught: &mut Taught<N>) {
        if self.beta == N::real(0.0) {
            return;
        }
        let output = &self.substrate.circuit().output;
        let pattern = self.substrate.pattern();
        self.substrate.output_error(v, self.targets, &mut taught.error, &mut taught.share);
        let ends =
            |(a, b): (usize, Option<usize>)| [Some((a, 1.0)), b.map(|b| (b, -1.0))].into_iter().flatten();
        for (k, nodes) in output.nodes.iter().enumerate() {
            for (i, sign) in ends(*nodes) {
                force[i] -= self.beta * taught.error[k] * N::real(sign);
            }
            let others = match output.cost {
                CircuitCost::SquaredError => k..k + 1,
                CircuitCost::CrossEntropy => 0..output.nodes.len(),
            };
            for l in others {
                let curvature = match output.cost {
                    CircuitCost::SquaredError => N::real(1.0),
                    CircuitCost::CrossEntropy => {
                        let own = if k == l { taught.share[k] } else { N::real(0.0) };
                        own - taught.share[k] * taught.share[l]
                    }
                };
                for (i, sign) in ends(*nodes) {
                    for (j, other) in ends(output.nodes[l]) {
                        matrix[pattern.place(i, j)] -= self.beta * curvature * N::real(sign * other);
                    }
                }
            }
        }
    }

    fn junction(&self, junction: &super::programmed::Junction, v: &[N]) -> N {
        let [a, b] = junction.ends;
        voltage(a, v, self.inputs) - voltage(b, v, self.inputs) - N::real(junction.bias)
    }

    /// Moves `v` to a solution; returns the iterations.
    ///
    /// # Errors
    /// Where it has ended instead.
    pub fn solve(&self, v: &mut [N], scratch: &mut Scratch<N>) -> Result<u64, Unsolved> {
        let pattern = self.substrate.pattern();
        let junctions = &self.substrate.junctions;
        scratch.bent.clear();
        scratch.bent.extend(
            junctions.iter().map(|junction| junction.law.limited(self.junction(junction, v), N::real(0.0))),
        );
        let mut worst = 0;
        for iteration in 1..=MOST {
            let Scratch { bent, force, matrix, taught } = scratch;
            self.tangent(v, bent, force, matrix, taught);
            let Some(factors) = pattern.factors(matrix) else {
                return Err(Unsolved {
                    place: self.node(worst),
                    what: "the node equations are singular".into(),
                });
            };
            factors.solve(force);
            let (mut largest, mut size) = (0.0, 1.0_f64);
            for (i, (v, step)) in v.iter_mut().zip(force.iter()).enumerate() {
                *v -= *step;
                size = size.max(v.size());
                if step.size() > largest || !step.size().is_finite() {
                    (largest, worst) = (step.size(), i);
                }
            }
            if !largest.is_finite() {
                return Err(self.overflow(bent, worst));
            }
            let mut limited = false;
            for (junction, bent) in junctions.iter().zip(bent.iter_mut()) {
                let proposed = self.junction(junction, v);
                let next = junction.law.limited(proposed, *bent);
                limited |= next != proposed;
                *bent = next;
            }
            if !limited && largest <= SMALL * size {
                return Ok(iteration as u64);
            }
        }
        let what = format!("Newton's method has found no solution in {MOST} iterations");
        Err(Unsolved { place: self.node(worst), what })
    }

    fn node(&self, i: usize) -> String {
        format!("node {}", self.substrate.circuit().free[i].name)
    }

    fn overflow(&self, bent: &[N], node: usize) -> Unsolved {
        let junctions = self.substrate.junctions.iter().zip(bent);
        let over =
            junctions.enumerate().find(|(_, (junction, bent))| !junction.law.at(**bent).0.size().is_finite());
        match over {
            Some((i, (_, bent))) => Unsolved {
                place: format!("diode {}", self.substrate.circuit().diodes[i].name),
                what: format!("its current overflows at {:.3} V", bent.parts().0),
            },
            None => Unsolved { place: self.node(node), what: "its voltage is not finite".into() },
        }
    }

    /// F at voltages, into the scratch: what a field needs, without its matrix.
    pub fn force(&self, v: &[N], scratch: &mut Scratch<N>) {
        let Scratch { force, taught, .. } = scratch;
        force.iter_mut().zip(self.drive).for_each(|(f, d)| *f = N::real(*d));
        force.iter_mut().zip(self.noise).for_each(|(f, n)| *f += N::real(*n));
        self.substrate.pattern().multiply(&self.substrate.linear, v, force);
        for junction in &self.substrate.junctions {
            let (current, _) = junction.law.at(self.junction(junction, v));
            for (i, factor) in junction.rows.iter().flatten() {
                force[*i] += current * N::real(*factor);
            }
        }
        if let Some((values, from)) = self.correction {
            let moved: Vec<N> = v.iter().zip(from).map(|(v, f)| *v - N::real(*f)).collect();
            self.substrate.pattern().multiply(values, &moved, force);
        }
        if self.beta == N::real(0.0) {
            return;
        }
        self.substrate.output_error(v, self.targets, &mut taught.error, &mut taught.share);
        for ((a, b), error) in self.substrate.circuit().output.nodes.iter().zip(&taught.error) {
            force[*a] -= self.beta * *error;
            if let Some(b) = b {
                force[*b] += self.beta * *error;
            }
        }
    }

    /// F − … and its matrix at voltages, into the scratch.
    pub fn linearise(&self, v: &[N], scratch: &mut Scratch<N>) {
        scratch.bent.clear();
        scratch.bent.extend(self.substrate.junctions.iter().map(|junction| self.junction(junction, v)));
        let Scratch { bent, force, matrix, taught } = scratch;
        self.tangent(v, bent, force, matrix, taught);
    }
}

/// Buffers of Newton's method.
pub(super) struct Scratch<N> {
    bent: Vec<N>,
    pub force: Vec<N>,
    pub matrix: Vec<N>,
    taught: Taught<N>,
}

impl<N: Number> Scratch<N> {
    pub fn new(substrate: &Programmed) -> Self {
        let zeros = |n: usize| vec![N::real(0.0); n];
        Self {
            bent: Vec::new(),
            force: zeros(substrate.circuit().free.len()),
            matrix: zeros(substrate.pattern().entries()),
            taught: Taught::new(substrate.circuit().outputs()),
        }
    }
}
