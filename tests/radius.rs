//! The radius of convergence, by a witness that knows nothing of power series: an equilibrium that is followed round a circle in β
//! returns to where it began as long as no branch point lies inside.

use crate::common::{Problem, random, toy};
use holograd::substrate::neurons::form::Form;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::json;

type C = Complex<f64>;

/// A network of the toy's shape in plain arithmetic: two layers, logistic (4, −2), softmax and cross entropy.
struct Plain {
    drive: [DVector<f64>; 2],
    coupling: DMatrix<f64>,
    readout: DMatrix<f64>,
    readout_bias: DVector<f64>,
    target: DVector<f64>,
}

/// Rates of the two layers.
type State = DVector<C>;

impl Plain {
    fn new(problem: &Problem) -> Self {
        let of = |name: &str| {
            let index = problem.network.shapes().iter().position(|shape| shape.name == name).unwrap();
            problem.parameters.matrix(index)
        };
        let vector = |name: &str| DVector::from_column_slice(of(name).as_slice());
        let input = DVector::from_column_slice(&problem.samples.inputs);
        Self {
            drive: [of("input-h1.weight") * input + vector("h1.bias"), vector("h2.bias")],
            coupling: of("h1-h2.weight"),
            readout: of("readout.weight"),
            readout_bias: vector("readout.bias"),
            target: DVector::from_column_slice(&problem.samples.targets),
        }
    }

    /// What the rates would become, and the derivative of that with respect to the rates.
    fn map(&self, state: &State, beta: C) -> (State, DMatrix<C>) {
        let complex = |m: &DMatrix<f64>| m.map(|x| C::new(x, 0.0));
        let [first, second] = [0, 4].map(|row| state.rows(row, 4).into_owned());
        let (coupling, readout) = (complex(&self.coupling), complex(&self.readout));
        let logits = &readout * &second + self.readout_bias.map(|x| C::new(x, 0.0));
        let exponentials = logits.map(C::exp);
        let share = &exponentials / exponentials.sum();
        let error = &share - self.target.map(|x| C::new(x, 0.0));
        let drive = self.drive.each_ref().map(|d| d.map(|x| C::new(x, 0.0)));
        let potentials = [
            coupling.transpose() * &second + &drive[0],
            &coupling * &first + &drive[1] - readout.transpose() * error * beta,
        ];
        let rates = potentials.map(|u| u.map(|u| 1.0 / (1.0 + (2.0 - 4.0 * u).exp())));
        let slopes = rates.each_ref().map(|a| DMatrix::from_diagonal(&a.map(|a| 4.0 * a * (1.0 - a))));
        let softmax = DMatrix::from_diagonal(&share) - &share * share.transpose();
        let mut derivative = DMatrix::zeros(8, 8);
        derivative.view_mut((0, 4), (4, 4)).copy_from(&(&slopes[0] * coupling.transpose()));
        derivative.view_mut((4, 0), (4, 4)).copy_from(&(&slopes[1] * &coupling));
        let taught = &slopes[1] * readout.transpose() * softmax * &readout * (-beta);
        derivative.view_mut((4, 4), (4, 4)).copy_from(&taught);
        (State::from_iterator(8, rates.iter().flatten().copied()), derivative)
    }

    /// The equilibrium at β near a state, if Newton's method stays near it.
    fn near(&self, state: &State, beta: C) -> Option<State> {
        let mut next = state.clone();
        for _ in 0..10 {
            let (image, derivative) = self.map(&next, beta);
            let step = (DMatrix::identity(8, 8) - derivative).lu().solve(&(image - &next))?;
            next += &step;
            let size = |v: &State| v.iter().map(|x| x.norm()).fold(0.0, f64::max);
            if size(&(&next - state)).is_nan() || size(&(&next - state)) > 0.03 {
                return None;
            }
            if size(&step) < 1e-12 {
                return Some(next);
            }
        }
        None
    }

    /// Follows an equilibrium along a path β(t), t from 0 to 1; none where it ends.
    fn follow(&self, mut state: State, path: impl Fn(f64) -> C) -> Option<State> {
        let (mut t, mut step) = (0.0, 0.02_f64);
        while t < 1.0 {
            step = step.min(1.0 - t);
            match self.near(&state, path(t + step)) {
                Some(next) => {
                    (state, t) = (next, t + step);
                    step = (1.5 * step).min(0.02);
                }
                None if step < 1e-7 => return None,
                None => step /= 2.0,
            }
        }
        Some(state)
    }

    /// Largest |β| round which the free equilibrium returns, to 1 %.
    fn radius(&self, free: &State) -> f64 {
        let returns = |radius: f64| {
            let begun = self.follow(free.clone(), |t| C::new(radius * t, 0.0))?;
            let ended = self.follow(begun.clone(), |t| C::from_polar(radius, std::f64::consts::TAU * t))?;
            ((ended - begun).norm() < 1e-6).then_some(())
        };
        let mut below = 0.02;
        while returns(1.1 * below).is_some() {
            below *= 1.1;
            assert!(below < 50.0, "no branch point found");
        }
        let mut above = 1.1 * below;
        while above / below > 1.01 {
            let middle = f64::sqrt(below * above);
            *if returns(middle).is_some() { &mut below } else { &mut above } = middle;
        }
        below
    }
}

#[test]
fn the_estimate_is_the_circle_beyond_which_an_equilibrium_does_not_return() {
    let model = json!({ "name": "random", "input": 6, "initialisation": { "normal": { "scale": 0.5 } },
        "activation": { "logistic": { "slope": 4.0, "offset": -2.0 } },
        "layers": [{ "name": "h1", "size": 4 }, { "name": "h2", "size": 4 }],
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 4 } });
    let drawn = (1..=8).map(|seed| (format!("seed {seed}"), random(model.clone(), 1, seed)));
    for (name, problem) in std::iter::once(("toy".to_owned(), toy())).chain(drawn) {
        let free = problem.free();
        let state = State::from_iterator(8, free.rates.iter().map(|a| C::new(*a, 0.0)));
        let plain = Plain::new(&problem);
        let (image, _) = plain.map(&state, C::new(0.0, 0.0));
        assert!((image - &state).norm() < 1e-12, "{name}: the two networks are not the same");
        let radius = plain.radius(&state);
        for share in [0.2, 0.5, 0.8] {
            let amplitude = share * radius;
            let of =
                |estimator| problem.estimate(Form::Potential, estimator).diagnostics.radius_of_convergence;
            let frozen = of(json!({ "cauchy": { "amplitude": amplitude, "points": 30 } })).unwrap();
            let driven = of(json!({ "oscillation": { "amplitude": amplitude, "period": 300.0 } })).unwrap();
            println!(
                "{name}: {radius:.3}; at {share} of it cauchy {:.2}, oscillation {:.2}",
                frozen / radius,
                driven / radius
            );
            assert!((frozen / radius - 1.0).abs() < 0.1, "{name}, {amplitude}: {frozen}, not {radius}");
            assert!((driven / radius - 1.0).abs() < 0.2, "{name}, {amplitude}: {driven}, not {radius}");
        }
    }
}
