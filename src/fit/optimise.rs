//! Maximum likelihood: an optimum by Nelder and Mead's simplex, its intervals from the curvature there.

use argmin::core::{CostFunction, Executor, State};
use argmin::solver::neldermead::NelderMead;
use nalgebra::DMatrix;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use super::Parameter;

/// How a parameter is moved: on a line, or by factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Any number.
    Linear,
    /// A positive number.
    Log,
}

/// What is to be found: where it starts, how far a first step goes (on its scale).
#[derive(Debug, Clone, Copy)]
pub struct Unknown {
    /// Its name, as in experiments.
    pub name: &'static str,
    /// Where it starts.
    pub start: f64,
    /// First step, on its scale.
    pub step: f64,
    /// How it is moved.
    pub scale: Scale,
}

impl Unknown {
    fn coordinate(&self, value: f64) -> f64 {
        if self.scale == Scale::Log { value.ln() } else { value }
    }

    fn value(&self, coordinate: f64) -> f64 {
        if self.scale == Scale::Log { coordinate.exp() } else { coordinate }
    }
}

/// An optimum: on the parameters' own scales, with standard errors.
#[derive(Debug, Clone)]
pub struct Optimum {
    /// The parameters.
    pub values: Vec<f64>,
    /// The same as coordinates on their scales.
    coordinates: Vec<f64>,
    /// Standard errors of the coordinates; infinite where the data do not tell.
    errors: Vec<f64>,
    /// −ln of the likelihood.
    pub cost: f64,
}

struct Problem<'a> {
    unknowns: &'a [Unknown],
    cost: &'a dyn Fn(&[f64]) -> f64,
}

impl Problem<'_> {
    fn at(&self, coordinates: &[f64]) -> f64 {
        let values: Vec<f64> = self.unknowns.iter().zip(coordinates).map(|(u, x)| u.value(*x)).collect();
        let cost = (self.cost)(&values);
        // A simplex walks away from what is no number.
        if cost.is_finite() { cost } else { f64::MAX }
    }
}

impl CostFunction for &Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, coordinates: &Vec<f64>) -> std::result::Result<f64, argmin::core::Error> {
        Ok(self.at(coordinates))
    }
}

/// The parameters with the lowest cost, which is −ln of the likelihood.
#[must_use]
pub fn minimise(unknowns: &[Unknown], cost: &dyn Fn(&[f64]) -> f64) -> Optimum {
    let problem = Problem { unknowns, cost };
    let mut best: Vec<f64> = unknowns.iter().map(|u| u.coordinate(u.start)).collect();
    let mut lowest = problem.at(&best);
    // A simplex that has collapsed beside the optimum is opened again, smaller each time.
    for round in 0..6 {
        let size = 0.5_f64.powi(round);
        let mut simplex = vec![best.clone()];
        for (k, unknown) in unknowns.iter().enumerate() {
            let mut corner = best.clone();
            corner[k] += unknown.step * size;
            simplex.push(corner);
        }
        let Ok(solver) = NelderMead::new(simplex).with_sd_tolerance(1e-11) else { break };
        let run = Executor::new(&problem, solver).configure(|state| state.max_iters(4000)).run();
        let Ok(found) = run else { break };
        let before = lowest;
        if let Some(at) = found.state().get_best_param().filter(|_| found.state().get_best_cost() < lowest) {
            (best, lowest) = (at.clone(), found.state().get_best_cost());
        }
        if round > 1 && before - lowest < 1e-9 {
            break;
        }
    }
    let errors = errors(&problem, &best);
    let values = unknowns.iter().zip(&best).map(|(u, x)| u.value(*x)).collect();
    Optimum { values, coordinates: best, errors, cost: lowest }
}

/// Standard errors from the inverse of the observed information, by central differences.
fn errors(problem: &Problem<'_>, at: &[f64]) -> Vec<f64> {
    let n = at.len();
    let cost = |moves: &[(usize, f64)]| {
        let mut x = at.to_vec();
        moves.iter().for_each(|(k, by)| x[*k] += by);
        problem.at(&x)
    };
    let centre = cost(&[]);
    // A step at which the cost rises by about one half: well above rounding, well within the parabola.
    let step = |k: usize| {
        let mut h = 1e-3 * problem.unknowns[k].step.abs().max(1e-12);
        for _ in 0..60 {
            let rise = 0.5 * (cost(&[(k, h)]) + cost(&[(k, -h)])) - centre;
            if rise > 0.02 {
                break;
            }
            h *= 1.6;
        }
        h
    };
    let steps: Vec<f64> = (0..n).map(step).collect();
    let mut information = DMatrix::zeros(n, n);
    for i in 0..n {
        let h = steps[i];
        information[(i, i)] = (cost(&[(i, h)]) - 2.0 * centre + cost(&[(i, -h)])) / (h * h);
        for j in 0..i {
            let k = steps[j];
            let mixed = cost(&[(i, h), (j, k)]) - cost(&[(i, h), (j, -k)]) - cost(&[(i, -h), (j, k)])
                + cost(&[(i, -h), (j, -k)]);
            information[(i, j)] = mixed / (4.0 * h * k);
            information[(j, i)] = information[(i, j)];
        }
    }
    let covariance = information.try_inverse();
    let error = |k: usize| match &covariance {
        Some(covariance) if covariance[(k, k)] > 0.0 => covariance[(k, k)].sqrt(),
        _ => f64::INFINITY,
    };
    (0..n).map(error).collect()
}

/// The parameters with their intervals: of one device by its curvature, of several by how they differ.
#[must_use]
pub fn parameters(unknowns: &[Unknown], devices: &[Optimum]) -> Vec<Parameter> {
    let count = devices.len() as f64;
    let parameter = |(k, unknown): (usize, &Unknown)| {
        let own: Vec<f64> = devices.iter().map(|device| device.coordinates[k]).collect();
        let centre = own.iter().sum::<f64>() / count;
        let half = if devices.len() == 1 {
            1.959_963_984_540_054 * devices[0].errors[k]
        } else {
            let variance = own.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / (count - 1.0);
            student(count - 1.0) * (variance / count).sqrt()
        };
        let [value, low, high] = [centre, centre - half, centre + half].map(|x| unknown.value(x));
        Parameter { name: unknown.name, value, low, high }
    };
    unknowns.iter().enumerate().map(parameter).collect()
}

/// The 97.5 % quantile of Student's t.
#[must_use]
pub fn student(dof: f64) -> f64 {
    StudentsT::new(0.0, 1.0, dof).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975))
}

/// The relative spread of a positive quantity from device to device, less what their own errors make of it; `k` is its place.
#[must_use]
pub fn spread(name: &'static str, devices: &[Optimum], k: usize) -> Option<Parameter> {
    let count = devices.len() as f64;
    if devices.len() < 2 {
        return None;
    }
    let own: Vec<f64> = devices.iter().map(|device| device.values[k]).collect();
    let errors = devices.iter().map(|device| device.errors[k].powi(2)).sum::<f64>() / count;
    let mean = own.iter().sum::<f64>() / count;
    let variance = own.iter().map(|x| (x / mean - 1.0).powi(2)).sum::<f64>() / (count - 1.0);
    Some(spread_of(name, variance, errors, count - 1.0))
}

/// A standard deviation from a variance of so many degrees of freedom, less what `errors` have added to it.
#[must_use]
pub fn spread_of(name: &'static str, variance: f64, errors: f64, dof: f64) -> Parameter {
    let quantile = |p: f64| ChiSquared::new(dof).map_or(f64::NAN, |chi| chi.inverse_cdf(p));
    let without = |variance: f64| (variance - errors).max(0.0).sqrt();
    let (low, high) = (variance * dof / quantile(0.975), variance * dof / quantile(0.025));
    Parameter { name, value: without(variance), low: without(low), high: without(high) }
}
