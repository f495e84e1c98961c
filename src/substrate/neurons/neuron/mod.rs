//! Neurons by equation: what a model file says of them, and what the field and its linearisation need.
//!
//! A layer of such neurons has one group of state variables for each of theirs: the layer itself holds the first, and a companion of the
//! same size, named `layer.variable`, each other one. Integrators know τ ds/dt = G − s, so each variable v has a G = v + τ f_v, with τ the
//! shortest time in which one forgets itself around its rest: any positive τ describes the same neuron.

use indexmap::IndexMap;
use nalgebra::{DMatrix, DVector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::json::wording;
use crate::numerics::expression::{Arena, Id, Input, Meaning, Tape, is_taken};
use crate::numerics::scalar::Scalar;

/// The name of what connections, bias and teaching bring to a neuron.
pub const CURRENT: &str = "I";
/// Variables of a neuron at most.
const MOST: usize = 8;

/// A neuron by its equations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeuronSpec {
    /// Names of the state variables, at most 8.
    #[schemars(length(min = 1, max = 8))]
    pub variables: Vec<String>,
    /// The time derivative of each variable, per nominal τ: an expression of the variables, the parameters and `I`, the current that
    /// connections, bias and teaching bring.
    pub equations: IndexMap<String, String>,
    /// What the neuron sends: an expression of the variables and the parameters.
    pub rate: String,
    /// Parameters by name: one number, or one for each neuron.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub parameters: IndexMap<String, NeuronParameter>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or a list with one number per neuron")]
pub enum NeuronParameter {
    /// The same for every neuron.
    Uniform(f64),
    /// One for each neuron.
    PerNeuron(Vec<f64>),
}

/// Neurons by equation, sized: what a layer and its companions compute.
#[derive(Debug, Clone)]
pub struct Neuron {
    spec: NeuronSpec,
    /// τ of each variable.
    pub taus: Vec<f64>,
    /// f of each variable, of (variables, I, parameters of each neuron).
    flow: Tape,
    /// The rate.
    rate: Tape,
    /// ∂r/∂v, ∂f_v/∂I, and ∂f_v/∂w row by row.
    slopes: Tape,
    /// Values of the parameters that differ from neuron to neuron.
    columns: Vec<Vec<f64>>,
    is_holomorphic: bool,
    is_bounded: bool,
}

impl PartialEq for Neuron {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl NeuronSpec {
    /// Sizes the description for a layer of `size` neurons.
    ///
    /// # Errors
    /// The first finding, with its path and, within a text, its place.
    pub fn build(&self, size: usize) -> Result<Neuron, Invalid> {
        let names = self.names(size)?;
        let count = self.variables.len();
        for name in self.equations.keys() {
            if !self.variables.contains(name) {
                let legal = wording::suggest(
                    name,
                    self.variables.iter().map(String::as_str),
                    "one for each variable",
                );
                return Err(Invalid::new(
                    format!("equations.{name}"),
                    format!("found an equation of {name:?}"),
                    legal,
                ));
            }
        }
        let named: Vec<(&str, Meaning)> =
            names.iter().map(|(name, meaning)| (name.as_str(), *meaning)).collect();
        let mut arena = Arena::default();
        let mut flow = Vec::new();
        for name in &self.variables {
            let path = format!("equations.{name}");
            let Some(text) = self.equations.get(name) else {
                return Err(Invalid::new(
                    "equations",
                    format!("found none of `{name}`"),
                    "one for each variable",
                ));
            };
            flow.push(arena.parse(text, &named).map_err(|e| e.at(path))?);
        }
        // The rate is what the neuron sends at an instant: the current acts through its variables.
        let sent: Vec<(&str, Meaning)> = named.iter().copied().filter(|(name, _)| *name != CURRENT).collect();
        let rate = arena.parse(&self.rate, &sent).map_err(|e| e.at("rate"))?;
        if !flow.iter().any(|f| arena.depends(*f, count)) {
            let legal =
                format!("`{CURRENT}` in one of them: else nothing that the network sends has an effect");
            return Err(Invalid::new("equations", "found no current", legal));
        }
        if !(0..count).any(|v| arena.depends(rate, v)) {
            return Err(Invalid::new("rate", "found a constant", "an expression of the variables"));
        }
        let by_variable =
            |arena: &mut Arena, f: Id| (0..count).map(|v| arena.derivative(f, v)).collect::<Vec<_>>();
        let mut slopes = by_variable(&mut arena, rate);
        slopes.extend(flow.iter().map(|f| arena.derivative(*f, count)).collect::<Vec<_>>());
        for f in &flow {
            let row = by_variable(&mut arena, *f);
            slopes.extend(row);
        }
        let all = flow.iter().chain([&rate]);
        let mut neuron = Neuron {
            taus: vec![1.0; count],
            is_holomorphic: all.into_iter().all(|id| arena.is_holomorphic(*id)),
            is_bounded: false,
            flow: Tape::new(&arena, &flow),
            rate: Tape::new(&arena, &[rate]),
            slopes: Tape::new(&arena, &slopes),
            columns: self.columns(),
            spec: self.clone(),
        };
        neuron.is_bounded = neuron.rate_is_bounded();
        neuron.find_taus();
        Ok(neuron)
    }

    /// All names and their meaning: variables first, then the current, then the parameters.
    fn names(&self, size: usize) -> Result<Vec<(String, Meaning)>, Invalid> {
        if self.variables.is_empty() || self.variables.len() > MOST {
            let found = format!("found {}", self.variables.len());
            return Err(Invalid::new("variables", found, format!("1 to {MOST} of them")));
        }
        let mut names: Vec<(String, Meaning)> = Vec::new();
        let add = |path: String, name: &str, meaning: Meaning, names: &mut Vec<(String, Meaning)>| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first || !name.chars().all(word) {
                let legal = "a name is made of letters, digits and `_`, and does not begin with a digit";
                return Err(Invalid::new(path, format!("found {name:?}"), legal));
            }
            if is_taken(name) || name == CURRENT {
                let legal = "another name: it is that of a function, a constant or the current";
                return Err(Invalid::new(path, format!("found {name:?}"), legal));
            }
            if names.iter().any(|(other, _)| other == name) {
                return Err(Invalid::new(path, format!("found {name:?} twice"), "each name once"));
            }
            names.push((name.to_owned(), meaning));
            Ok(())
        };
        for (place, name) in self.variables.iter().enumerate() {
            add(format!("variables[{place}]"), name, Meaning::Variable(place), &mut names)?;
        }
        let mut place = self.variables.len();
        for (name, value) in &self.parameters {
            let path = format!("parameters.{name}");
            let values = match value {
                NeuronParameter::Uniform(x) => std::slice::from_ref(x),
                NeuronParameter::PerNeuron(list) => list,
            };
            if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
                return Err(Invalid::new(path, format!("found {bad}"), "a finite number"));
            }
            let meaning = match value {
                NeuronParameter::Uniform(x) => Meaning::Number(*x),
                NeuronParameter::PerNeuron(list) if list.len() != size => {
                    let found = format!("found {} values for {size} neurons", list.len());
                    return Err(Invalid::new(path, found, "one number, or one for each neuron"));
                }
                NeuronParameter::PerNeuron(_) => {
                    place += 1;
                    Meaning::Variable(place)
                }
            };
            add(path, name, meaning, &mut names)?;
        }
        names.insert(self.variables.len(), (CURRENT.to_owned(), Meaning::Variable(self.variables.len())));
        Ok(names)
    }

    fn columns(&self) -> Vec<Vec<f64>> {
        let column = |value: &NeuronParameter| match value {
            NeuronParameter::Uniform(_) => None,
            NeuronParameter::PerNeuron(list) => Some(list.clone()),
        };
        self.parameters.values().filter_map(column).collect()
    }
}

/// The derivatives of a layer's neurons at a state, one slice an element: f scaled by τ.
#[derive(Debug, Clone)]
pub struct Slopes<T> {
    /// ∂r/∂v of each variable.
    pub rate: Vec<Vec<T>>,
    /// τ_v ∂f_v/∂I of each variable.
    pub current: Vec<Vec<T>>,
    /// ∂G_v/∂w = δ_vw + τ_v ∂f_v/∂w, row by row.
    pub own: Vec<Vec<Vec<T>>>,
}

impl Neuron {
    /// Names of the variables.
    #[must_use]
    pub fn variables(&self) -> &[String] {
        &self.spec.variables
    }

    /// Its parameters by name.
    #[must_use]
    pub fn parameters(&self) -> &IndexMap<String, NeuronParameter> {
        &self.spec.parameters
    }

    /// The neurons of a layer of `size` with factors on some of their parameters, by name and place.
    ///
    /// # Errors
    /// Where the equations are none that can be built once those parameters are a number for each neuron.
    pub fn with_factors(
        &self,
        size: usize,
        factors: impl Fn(&str, usize) -> Option<Vec<f64>>,
    ) -> Result<Self, Invalid> {
        let mut spec = self.spec.clone();
        for (place, (name, value)) in spec.parameters.iter_mut().enumerate() {
            let Some(factors) = factors(name, place) else { continue };
            let nominal = match value {
                NeuronParameter::Uniform(x) => vec![*x; size],
                NeuronParameter::PerNeuron(list) => std::mem::take(list),
            };
            let times = |(x, f): (&f64, f64)| (x * f).clamp(f64::MIN, f64::MAX);
            *value = NeuronParameter::PerNeuron(nominal.iter().zip(factors).map(times).collect());
        }
        spec.build(size)
    }

    /// Whether equations and rate continue analytically off the real axis.
    #[must_use]
    pub fn is_holomorphic(&self) -> bool {
        self.is_holomorphic
    }

    /// Whether the rate is bounded on the real axis.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// The input of that place of the tapes: `variables` and `current` are laid out alike, real parts before imaginary parts.
    fn input<'a, T: Scalar>(
        &'a self,
        place: usize,
        variables: impl Fn(usize) -> &'a [T],
        current: &'a [T],
        rails: usize,
    ) -> Input<'a, T> {
        let count = self.taus.len();
        if place > count {
            return Input::Column(&self.columns[place - count - 1]);
        }
        let values = if place == count { current } else { variables(place) };
        let (re, im) = values.split_at(values.len() / rails);
        Input::Each(re, im)
    }

    /// The rate of each element; `variables` of a layer and its companions by place, laid out as the state.
    pub fn rates<'a, T: Scalar>(
        &'a self,
        variables: impl Fn(usize) -> &'a [T],
        rails: usize,
        rates: &mut [T],
    ) {
        // The rate does not depend on the current.
        let input = |place| self.input(place, &variables, variables(0), rails);
        let half = rates.len() / rails;
        let (re, im) = rates.split_at_mut(half);
        if rails == 1 {
            let write = |_, start: usize, x: &[T], _: &[T]| re[start..start + x.len()].copy_from_slice(x);
            self.rate.run::<T, false>(half, input, write);
        } else {
            let write = |_, start: usize, x: &[T], y: &[T]| {
                re[start..start + x.len()].copy_from_slice(x);
                im[start..start + y.len()].copy_from_slice(y);
            };
            self.rate.run::<T, true>(half, input, write);
        }
    }

    /// G of each variable, in place of what `out` holds where `place` says.
    pub fn targets<'a, T: Scalar>(
        &'a self,
        variables: impl Fn(usize) -> &'a [T],
        current: &'a [T],
        rails: usize,
        (out, place): (&mut [T], impl Fn(usize) -> usize),
    ) {
        let input = |place| self.input(place, &variables, current, rails);
        let half = current.len() / rails;
        let write = |variable: usize, start: usize, re: &[T], im: &[T]| {
            let (tau, state) = (T::of(self.taus[variable]), variables(variable));
            for (rail, values) in [re, im].into_iter().enumerate().take(rails) {
                let begin = rail * half + start;
                let out = &mut out[place(variable) + begin..];
                let elements = out.iter_mut().zip(values).zip(&state[begin..]);
                elements.for_each(|((o, f), s)| *o = tau.mul_add(*f, *s));
            }
        };
        if rails == 1 {
            self.flow.run::<T, false>(half, input, write);
        } else {
            self.flow.run::<T, true>(half, input, write);
        }
    }

    /// The derivatives at a real state.
    #[must_use]
    pub fn slopes<T: Scalar>(&self, variables: &[&[T]], current: &[T]) -> Slopes<T> {
        let count = self.taus.len();
        let mut all = vec![vec![T::zero(); current.len()]; count * (2 + count)];
        let mut outputs: Vec<&mut [T]> = all.iter_mut().map(Vec::as_mut_slice).collect();
        let write = |k: usize, start: usize, x: &[T], _: &[T]| {
            outputs[k][start..start + x.len()].copy_from_slice(x);
        };
        let input = |place| self.input(place, |v| variables[v], current, 1);
        self.slopes.run::<T, false>(current.len(), input, write);
        let mut rest = all.split_off(count);
        let own = rest.split_off(count);
        let scaled = |mut values: Vec<T>, tau: f64, plus: f64| {
            values.iter_mut().for_each(|x| *x = T::of(tau).mul_add(*x, T::of(plus)));
            values
        };
        let current =
            rest.into_iter().zip(&self.taus).map(|(values, tau)| scaled(values, *tau, 0.0)).collect();
        let entry = |(k, values): (usize, Vec<T>)| {
            let (row, column) = (k / count, k % count);
            scaled(values, self.taus[row], if row == column { 1.0 } else { 0.0 })
        };
        let entries: Vec<Vec<T>> = own.into_iter().enumerate().map(entry).collect();
        Slopes { rate: all, current, own: entries.chunks(count).map(<[Vec<T>]>::to_vec).collect() }
    }

    /// f and its derivatives by the variables, and the rate, of one neuron.
    fn look(&self, neuron: usize, state: &[f64], current: f64) -> (DVector<f64>, DMatrix<f64>, f64) {
        let count = self.taus.len();
        let own: Vec<[f64; 1]> = self.columns.iter().map(|column| [column[neuron]]).collect();
        let inputs: Vec<Input<'_, f64>> = state
            .iter()
            .chain([&current])
            .map(|x| Input::Each(std::slice::from_ref(x), &[]))
            .chain(own.iter().map(|x| Input::Column(x)))
            .collect();
        let evaluate = |tape: &Tape, outputs: usize| {
            let mut values = vec![[0.0]; outputs];
            let mut slices: Vec<&mut [f64]> = values.iter_mut().map(|v| &mut v[..]).collect();
            tape.real(&inputs, &mut slices);
            values.into_iter().map(|[x]| x).collect::<Vec<f64>>()
        };
        let slopes = evaluate(&self.slopes, count * (2 + count));
        let jacobian = DMatrix::from_row_slice(count, count, &slopes[2 * count..]);
        (DVector::from_vec(evaluate(&self.flow, count)), jacobian, evaluate(&self.rate, 1)[0])
    }

    /// The rest of one neuron under a constant current, from a state: Newton's method with halved steps; none where it finds none.
    #[must_use]
    pub fn rest(&self, neuron: usize, current: f64, start: &[f64]) -> Option<Vec<f64>> {
        const ROUNDS: usize = 100;
        let mut state = start.to_vec();
        let (mut flow, mut jacobian, _) = self.look(neuron, &state, current);
        for _ in 0..ROUNDS {
            let size = flow.norm();
            if !size.is_finite() {
                return None;
            }
            let step = jacobian.clone().lu().solve(&flow)?;
            let scale = 1.0 + state.iter().map(|x| x.abs()).fold(0.0, f64::max);
            let moved = |part: f64| -> Vec<f64> {
                state.iter().zip(step.iter()).map(|(s, d)| s - part * d).collect()
            };
            let mut part = 1.0;
            let mut next = moved(part);
            let mut looked = self.look(neuron, &next, current);
            while looked.0.norm() > size && part > 1e-6 {
                part *= 0.5;
                next = moved(part);
                looked = self.look(neuron, &next, current);
            }
            let still = step.norm() * part <= 1e-14 * scale || looked.0.norm() == 0.0;
            (state, flow, jacobian) = (next, looked.0, looked.1);
            if still {
                return Some(state);
            }
        }
        (flow.norm() < 1e-9).then_some(state)
    }

    /// The state at rest under a current that is nearest to what is known of it: the rate, and the variables beyond the first.
    #[must_use]
    pub fn state_of(&self, neuron: usize, current: f64, rate: f64, others: &[f64]) -> Option<Vec<f64>> {
        let starts = [current, 0.0, rate, 1.0, -1.0, 2.0, -2.0];
        let away = |state: &Vec<f64>| {
            let (.., sent) = self.look(neuron, state, current);
            let far = state[1..].iter().zip(others).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            far.max((sent - rate).abs())
        };
        let mut best: Option<(f64, Vec<f64>)> = None;
        for first in starts {
            let start: Vec<f64> = std::iter::once(first).chain(others.iter().copied()).collect();
            let Some(found) = self.rest(neuron, current, &start) else { continue };
            let distance = away(&found);
            if best.as_ref().is_none_or(|(least, _)| distance < *least) {
                best = Some((distance, found));
            }
            if distance < 1e-6 {
                break;
            }
        }
        best.map(|(_, state)| state)
    }

    /// Sets τ to the shortest 1/|∂f_v/∂v| of any neuron at its rest without a current and one unit to either side of it in each
    /// variable, or to 1 where there is none. It is the same for all variables, so that steps in units of τ are steps of the neuron itself.
    fn find_taus(&mut self) {
        // Neurons of equal parameters are one.
        let mut seen: Vec<usize> = Vec::new();
        let same = |a: usize, b: usize| self.columns.iter().all(|column| column[a] == column[b]);
        for neuron in 0..self.columns.first().map_or(1, Vec::len) {
            if !seen.iter().any(|other| same(*other, neuron)) {
                seen.push(neuron);
            }
        }
        let fastest = seen.into_iter().map(|neuron| self.fastest(neuron)).fold(0.0, f64::max);
        self.taus.fill(if fastest > 1e-6 { 1.0 / fastest } else { 1.0 });
    }

    /// The fastest rate at which a variable of one neuron forgets itself around its rest; zero where there is none.
    fn fastest(&self, neuron: usize) -> f64 {
        let zero = vec![0.0; self.taus.len()];
        let rest = self.rest(neuron, 0.0, &zero).unwrap_or(zero);
        let mut fastest = 0.0_f64;
        for v in 0..self.taus.len() {
            for away in [-1.0, 0.0, 1.0] {
                let mut state = rest.clone();
                state[v] += away;
                let (_, jacobian, _) = self.look(neuron, &state, 0.0);
                let rates = jacobian.diagonal().iter().map(|rate| rate.abs()).fold(0.0, f64::max);
                fastest = fastest.max(if rates.is_finite() { rates } else { 0.0 });
            }
        }
        fastest
    }

    /// Whether the rate stays below a thousand however far the variables go.
    fn rate_is_bounded(&self) -> bool {
        let count = self.taus.len();
        let values = [-1e8, -1e4, 1e4, 1e8];
        (0..values.len().pow(count.min(3) as u32)).all(|k| {
            let state: Vec<f64> = (0..count).map(|v| values[k / 4_usize.pow(v.min(2) as u32) % 4]).collect();
            let (.., rate) = self.look(0, &state, 0.0);
            rate.abs() < 1e3
        })
    }
}

#[cfg(test)]
mod tests;
