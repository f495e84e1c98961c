//! The linearised substrate: J = −I + W D at an equilibrium, D = diag ρ′, applied to whole batches or as a matrix.

use std::cell::RefCell;
use std::ops::Range;

use nalgebra::DMatrix;
use num_complex::Complex;

use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::simulation::lockin::add_product;
use crate::substrate::neurons::accelerated::Derivative;
use crate::substrate::neurons::bound::fresh;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::field::activate;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::{Edge, Output};
use crate::substrate::neurons::neuron::Slopes;
use crate::substrate::{Linear, Product};

/// The dynamics linearised at a real (free) equilibrium u*, one Jacobian for each sample of the batch.
///
/// J = ∂F/∂u of the potential form without its 1/τ; the rate form's Jacobian D J D⁻¹ has the same eigenvalues.
pub struct Linearised<'a, T: Scalar> {
    effective: &'a Effective<T>,
    shape: StateShape,
    /// The same of a complex state.
    complex: StateShape,
    slope: Vec<T>,
    /// τ of every element of a real state.
    tau: Vec<T>,
    /// a*, where the coupling depends on it.
    rates: Vec<T>,
    /// Layers of neurons with equations, and what they are linearised to.
    neurons: Vec<Local<T>>,
    /// As much as one layer of them receives.
    received: RefCell<Vec<T>>,
    /// What connections with a delay add, and what arrives late.
    late: RefCell<[Vec<T>; 2]>,
    /// A number of what it is linearised at.
    version: u64,
}

/// A linearised layer of neurons with equations.
struct Local<T> {
    /// The layer, then its companions.
    places: Vec<usize>,
    slopes: Slopes<T>,
}

impl<'a, T: Scalar> Linearised<'a, T> {
    /// Linearises at the potentials u*, which are the currents as well unless neurons have equations (both real, laid out as `shape` with one
    /// rail).
    #[must_use]
    pub fn new(effective: &'a Effective<T>, shape: &StateShape, potentials: &[T], currents: &[T]) -> Self {
        let mut slope = vec![T::zero(); potentials.len()];
        for (index, layer) in effective.network().layers.iter().enumerate() {
            let range = shape.layer(index);
            layer.activation.derivative_real(&potentials[range.clone()], &mut slope[range]);
        }
        let column = |l: usize| effective.tau(l).iter().map(|tau| T::of(*tau)).collect::<Vec<_>>();
        let tau = (0..shape.layers()).flat_map(|l| column(l).repeat(shape.batch)).collect();
        let shape = shape.with_rails(1);
        let mut rates = Vec::new();
        if !effective.network().is_linear() {
            rates.resize(potentials.len(), T::zero());
            activate(effective, &shape, potentials, &mut rates);
        }
        let mut neurons = Vec::new();
        for (index, layer) in effective.network().layers.iter().enumerate() {
            let Some(neuron) = &layer.equations else { continue };
            let places: Vec<usize> = std::iter::once(index).chain(layer.companions.iter().copied()).collect();
            let variables: Vec<&[T]> = places.iter().map(|place| &potentials[shape.layer(*place)]).collect();
            let slopes = neuron.slopes(&variables, &currents[shape.layer(index)]);
            slope[shape.layer(index)].copy_from_slice(&slopes.rate[0]);
            neurons.push(Local { places, slopes });
        }
        let complex = shape.with_rails(2);
        let longest = neurons.iter().map(|local| complex.layer(local.places[0]).len()).max().unwrap_or(0);
        let received = RefCell::new(Vec::with_capacity(longest));
        let late = RefCell::default();
        Self { effective, shape, complex, slope, tau, rates, neurons, received, late, version: fresh() }
    }

    /// The layout of a state of so many numbers, real or complex.
    fn shape_of(&self, len: usize) -> &StateShape {
        if len == self.slope.len() { &self.shape } else { &self.complex }
    }

    /// Where a layer lies in a state of so many numbers.
    fn range(&self, layer: usize, len: usize) -> Range<usize> {
        self.shape_of(len).layer(layer)
    }

    /// out += the share of `v` that neurons pass from one of their variables to another.
    fn pass_on(&self, (from, to): (usize, usize), factor: &[T], v: &[T], out: &mut [T]) {
        add_share(factor, &v[self.range(from, v.len())], &mut out[self.range(to, v.len())]);
    }

    /// Whether some neurons have equations.
    fn has_equations(&self) -> bool {
        !self.neurons.is_empty()
    }

    /// From what each neuron receives to the G of its variables: what is laid out as the currents in `out` is replaced.
    fn receive(&self, v: &[T], out: &mut [T]) {
        let mut currents = self.received.borrow_mut();
        for Local { places, slopes } in &self.neurons {
            currents.clear();
            currents.extend_from_slice(&out[self.range(places[0], v.len())]);
            for (row, to) in places.iter().enumerate() {
                let range = self.range(*to, v.len());
                out[range.clone()].fill(T::zero());
                add_share(&slopes.current[row], &currents, &mut out[range]);
                for (column, from) in places.iter().enumerate() {
                    self.pass_on((*from, *to), &slopes.own[row][column], v, out);
                }
            }
        }
    }

    /// The transpose of what [`Self::receive`] does with currents, in place: from what the variables are to what a current of each neuron is
    /// worth.
    fn to_worth(&self, v: &mut [T]) {
        let mut worth = self.received.borrow_mut();
        for Local { places, slopes } in &self.neurons {
            worth.clear();
            worth.resize(self.range(places[0], v.len()).len(), T::zero());
            for (row, place) in places.iter().enumerate() {
                add_share(&slopes.current[row], &v[self.range(*place, v.len())], &mut worth);
            }
            let len = v.len();
            places.iter().for_each(|place| v[self.range(*place, len)].fill(T::zero()));
            v[self.range(places[0], len)].copy_from_slice(&worth);
        }
    }

    /// out = Dᵀ v, where rates depend on several variables.
    fn scale_transposed(&self, v: &[T], out: &mut [T]) {
        self.scale(v, out);
        for Local { places, slopes } in &self.neurons {
            for (k, place) in places.iter().enumerate().skip(1) {
                self.pass_on((places[0], *place), &slopes.rate[k], v, out);
            }
        }
    }

    /// The network that was linearised.
    #[must_use]
    pub fn effective(&self) -> &'a Effective<T> {
        self.effective
    }

    /// ρ′(u*), laid out as a real state.
    #[must_use]
    pub fn slope(&self) -> &[T] {
        &self.slope
    }

    /// out = D v, for a real or complex v.
    pub fn scale_by_slope(&self, v: &[T], out: &mut [T]) {
        self.scale(v, out);
        for Local { places, slopes } in &self.neurons {
            for (k, place) in places.iter().enumerate().skip(1) {
                self.pass_on((*place, places[0]), &slopes.rate[k], v, out);
            }
        }
    }

    /// out = the diagonal of D times v.
    fn scale(&self, v: &[T], out: &mut [T]) {
        let shape = self.shape_of(v.len());
        for layer in 0..shape.layers() {
            let slope = &self.slope[self.shape.layer(layer)];
            let range = shape.layer(layer);
            let rails =
                out[range.clone()].chunks_exact_mut(slope.len()).zip(v[range].chunks_exact(slope.len()));
            for (out, v) in rails {
                for ((o, x), d) in out.iter_mut().zip(v).zip(slope) {
                    *o = *d * *x;
                }
            }
        }
    }

    /// out = W D v (so that J v = out − v), for a real or complex v; `scratch` is as long as v.
    pub fn couple(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        if self.is_elsewhere(Derivative::Potentials, v, out) {
            return;
        }
        self.scale_by_slope(v, scratch);
        self.multiply(Layout::Plain, scratch, out);
        if self.has_equations() {
            self.receive(v, out);
        }
    }

    /// out = D W v, the coupling of the rate form, for a real or complex v; `scratch` is as long as v.
    pub fn couple_rates(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        if self.is_elsewhere(Derivative::Rates, v, out) {
            return;
        }
        self.multiply(Layout::Plain, v, scratch);
        self.scale_by_slope(scratch, out);
    }

    /// out = D Wᵀ v (so that Jᵀ v = out − v), for a real or complex v; `scratch` is as long as v. It is also the coupling of the
    /// rate form with its asymmetry corrected.
    pub fn couple_transposed(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        if self.is_elsewhere(Derivative::Transposed, v, out) {
            return;
        }
        if self.has_equations() {
            out.copy_from_slice(v);
            self.to_worth(out);
            self.multiply(Layout::Transposed, out, scratch);
            // The companions' rates, themselves, go nowhere.
            for place in self.neurons.iter().flat_map(|neuron| &neuron.places[1..]) {
                scratch[self.range(*place, v.len())].fill(T::zero());
            }
            self.scale_transposed(scratch, out);
            for Local { places, slopes } in &self.neurons {
                for (row, from) in places.iter().enumerate() {
                    for (column, to) in places.iter().enumerate() {
                        self.pass_on((*from, *to), &slopes.own[row][column], v, out);
                    }
                }
            }
            return;
        }
        self.multiply(Layout::Transposed, v, scratch);
        self.scale_by_slope(scratch, out);
    }

    /// out = Wᵀ D v, the coupling of the potential form with its asymmetry corrected, for a real or complex v; `scratch` is as
    /// long as v.
    pub fn couple_corrected(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        if self.is_elsewhere(Derivative::Corrected, v, out) {
            return;
        }
        self.scale_by_slope(v, scratch);
        self.multiply(Layout::Transposed, scratch, out);
        if self.has_equations() {
            self.receive(v, out);
        }
    }

    /// J of one sample, column by column, where neurons have equations.
    fn jacobian_of_equations(&self, sample: usize) -> DMatrix<f64> {
        let (n, length) = (self.shape.neurons(), self.slope.len());
        let places: Vec<usize> =
            (0..self.shape.layers()).flat_map(|layer| self.shape.column(layer, 0, sample)).collect();
        let mut jacobian = -DMatrix::identity(n, n);
        let (mut unit, mut column, mut scratch) =
            (vec![T::zero(); length], vec![T::zero(); length], vec![T::zero(); length]);
        for (j, place) in places.iter().enumerate() {
            unit[*place] = T::one();
            self.couple(&unit, &mut column, &mut scratch);
            unit[*place] = T::zero();
            places.iter().enumerate().for_each(|(i, place)| jacobian[(i, j)] += column[*place].double());
        }
        jacobian
    }

    /// J of one sample, column by column, where the synapses are not listed.
    fn jacobian_of_products(&self, sample: usize) -> DMatrix<f64> {
        let shape = self.shape.with_batch(1);
        let only = |state: &[T]| {
            if state.is_empty() { Vec::new() } else { self.shape.select(&[sample], state) }
        };
        let (rates, slope) = (only(&self.rates), only(&self.slope));
        let mut jacobian = -DMatrix::identity(slope.len(), slope.len());
        let (mut unit, mut column) = (vec![T::zero(); slope.len()], vec![T::zero(); slope.len()]);
        for (j, slope) in slope.iter().enumerate() {
            unit[j] = *slope;
            column.fill(T::zero());
            self.effective.multiply(&shape, Layout::Plain, &rates, &unit, &mut column);
            unit[j] = T::zero();
            column.iter().enumerate().for_each(|(i, x)| jacobian[(i, j)] += x.double());
        }
        jacobian
    }

    /// Whether a GPU has computed it.
    fn is_elsewhere(&self, derivative: Derivative, v: &[T], out: &mut [T]) -> bool {
        let at = (self.version, self.shape.batch);
        self.effective.accelerated().product(
            self.effective,
            at,
            (&self.rates, &self.slope),
            derivative,
            v,
            out,
        )
    }

    /// out = W v or Wᵀ v.
    fn multiply(&self, layout: Layout, v: &[T], out: &mut [T]) {
        out.fill(T::zero());
        self.effective.multiply(self.shape_of(v.len()), layout, &self.rates, v, out);
    }
}

/// out += factor · v of each element, on each rail.
fn add_share<T: Scalar>(factor: &[T], v: &[T], out: &mut [T]) {
    for (v, out) in v.chunks_exact(factor.len()).zip(out.chunks_exact_mut(factor.len())) {
        for ((v, out), factor) in v.iter().zip(out).zip(factor) {
            *out += *factor * *v;
        }
    }
}

impl<T: Scalar> Linear<T> for Linearised<'_, T> {
    fn shape(&self) -> &StateShape {
        &self.shape
    }

    fn tau(&self) -> &[T] {
        &self.tau
    }

    fn target(&self, layout: Layout, v: &[T], out: &mut [T], scratch: &mut [T]) {
        match layout {
            Layout::Plain => self.couple(v, out, scratch),
            Layout::Transposed => self.couple_transposed(v, out, scratch),
        }
    }

    fn target_of(&self, layers: &[usize], v: &[T], out: &mut [T], scratch: &mut [T]) {
        if !self.effective.network().is_linear() {
            return self.couple(v, out, scratch);
        }
        self.scale_by_slope(v, scratch);
        let shape = self.shape_of(v.len());
        layers.iter().for_each(|layer| out[shape.layer(*layer)].fill(T::zero()));
        self.effective.couple_to(|layer| layers.contains(&layer), shape, scratch, out);
    }

    fn pass_back(&self, right: &[T], solution: &mut [T]) -> bool {
        let Some(order) = self.effective.network().order() else { return false };
        for layer in order.into_iter().rev() {
            let range = self.shape.layer(layer);
            let mut received = vec![T::zero(); range.len()];
            let at = if self.rates.is_empty() { &[] } else { &self.rates[range.clone()] };
            for (_, edge, synapses) in self.effective.recurrent().filter(|(from, ..)| *from == layer) {
                synapses.pull_back(at, &solution[self.shape.layer(edge.to)], 1, &mut received);
            }
            let own = right[range.clone()].iter().zip(&self.slope[range.clone()]).zip(&received);
            solution[range].iter_mut().zip(own).for_each(|(s, ((right, d), w))| *s = *right + *d * *w);
        }
        true
    }

    fn solve_elsewhere(
        &self,
        product: Product,
        rate: f64,
        right: &[T],
        x: &mut [T],
        asked: (f64, u64),
    ) -> Option<(u64, f64)> {
        let derivative = match (product, self.effective.form()) {
            (Product::Target, _) | (Product::Integrated { corrected: false }, Form::Potential) => {
                Derivative::Potentials
            }
            (Product::Transposed, _) | (Product::Integrated { corrected: true }, Form::Rate) => {
                Derivative::Transposed
            }
            (Product::Corrected, _) | (Product::Integrated { corrected: true }, Form::Potential) => {
                Derivative::Corrected
            }
            (Product::Integrated { corrected: false }, Form::Rate) => Derivative::Rates,
        };
        let at = (self.version, self.shape.batch);
        let linear = (&self.rates[..], &self.slope[..]);
        self.effective.accelerated().solve(self.effective, at, linear, (derivative, rate), (right, x), asked)
    }

    fn integrated(&self, corrected: bool, v: &[T], out: &mut [T], scratch: &mut [T]) {
        match (self.effective.form(), corrected) {
            (Form::Potential, false) => self.couple(v, out, scratch),
            (Form::Potential, true) => self.couple_corrected(v, out, scratch),
            (Form::Rate, false) => self.couple_rates(v, out, scratch),
            (Form::Rate, true) => self.couple_transposed(v, out, scratch),
        }
    }

    fn corrected(&self, v: &[T], out: &mut [T], scratch: &mut [T]) {
        self.couple_corrected(v, out, scratch);
    }

    fn delays(&self) -> Vec<f64> {
        self.effective.network().delays()
    }

    fn add_delays(&self, rate: f64, v: &[T], out: &mut [T], scratch: &mut [T]) {
        let complex = &self.complex;
        self.scale_by_slope(v, scratch);
        let mut kept = self.late.borrow_mut();
        let [currents, late] = &mut *kept;
        currents.clear();
        currents.resize(v.len(), T::zero());
        for delay in self.delays() {
            late.clear();
            late.resize(v.len(), T::zero());
            add_product(complex, Complex::cis(-rate * delay) - 1.0, scratch, late);
            let edges = |edge: &Edge| edge.delay == delay;
            self.effective.couple_late((edges, |_| &late[..]), complex, late, currents);
        }
        for (index, layer) in self.effective.network().layers.iter().enumerate() {
            if layer.equations.is_none() {
                let range = complex.layer(index);
                out[range.clone()].iter_mut().zip(&currents[range]).for_each(|(o, c)| *o += *c);
            }
        }
        for Local { places, slopes } in &self.neurons {
            for (row, to) in places.iter().enumerate() {
                self.pass_on((places[0], *to), &slopes.current[row], currents, out);
            }
        }
    }

    fn observe(&self, v: &[T], out: &mut [T]) {
        self.scale_by_slope(v, out);
    }

    fn observe_transposed(&self, v: &[T], out: &mut [T]) {
        self.scale_transposed(v, out);
    }

    fn currents(&self, v: &mut [T]) {
        self.to_worth(v);
    }

    fn teaching(&self, output_error: &[T]) -> Vec<T> {
        let mut drive = self.cost_slope(output_error);
        drive.iter_mut().for_each(|c| *c = -*c);
        if let Some(gain) = self.effective.teaching_gain() {
            let output = self.shape.layer(self.effective.network().output.layer());
            drive[output].iter_mut().zip(gain.iter().cycle()).for_each(|(c, g)| *c *= *g);
        }
        if self.has_equations() {
            let still = vec![T::zero(); drive.len()];
            self.receive(&still, &mut drive);
        }
        drive
    }

    fn jacobian(&self, sample: usize) -> DMatrix<f64> {
        if self.has_equations() {
            return self.jacobian_of_equations(sample);
        }
        if self.effective.network().shared().is_some() {
            return self.jacobian_of_products(sample);
        }
        let n = self.shape.neurons();
        let layers = &self.effective.network().layers;
        let mut jacobian = -DMatrix::identity(n, n);
        for (from, edge, synapses) in self.effective.recurrent() {
            let slope = &self.slope[self.shape.column(from, 0, sample)];
            let (to, from) = (layers[edge.to].offset, layers[from].offset);
            synapses.entries(&mut |receiver, sender, w| {
                let (i, j) = edge.direction.orient(receiver, sender);
                jacobian[(to + i, from + j)] += w.double() * slope[j].double();
            });
        }
        jacobian
    }

    fn cost_slope(&self, output_error: &[T]) -> Vec<T> {
        let mut slope = vec![T::zero(); self.shape.len()];
        let output = self.effective.network().output;
        let range = self.shape.layer(output.layer());
        match output {
            Output::SquaredError { .. } => slope[range].copy_from_slice(output_error),
            Output::Readout { .. } => {
                self.effective.multiply_readout(Layout::Transposed, output_error, &mut slope[range]);
            }
        }
        slope
    }
}
