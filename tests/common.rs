//! What several test files share: the toy network of paper 1, random networks, and closed forms from dense linear algebra.

use std::sync::Arc;

use holograd::files::read_tensors;
use holograd::gradient::equilibrium::{self, Settle};
use holograd::gradient::{Estimate, EstimatorSpec, Setting, estimate_batch};
use holograd::numerics::state::StateShape;
use holograd::substrate::Linear;
use holograd::substrate::neurons::effective::Effective;
use holograd::substrate::neurons::form::Form;
use holograd::substrate::neurons::linear::Linearised;
use holograd::substrate::neurons::model::ModelSpec;
use holograd::substrate::neurons::network::Network;
use holograd::substrate::parameters::Parameters;
use holograd::substrate::samples::Samples;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex;

/// A network with parameters and samples.
pub struct Problem {
    pub network: Arc<Network>,
    pub parameters: Parameters<f64>,
    pub samples: Samples<f64>,
}

pub fn path(relative: &str) -> String {
    format!("{}/{relative}", env!("CARGO_MANIFEST_DIR"))
}

pub fn json(relative: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path(relative)).unwrap()).unwrap()
}

/// The toy network of paper 1's Fig. 2, with its parameters and its one sample.
pub fn toy() -> Problem {
    let model: ModelSpec = serde_json::from_value(json("models/toy.json")).unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let mut tensors = read_tensors(path("experiments/toy.safetensors")).unwrap();
    let parameters = Parameters::from_tensors(network.shapes(), &mut tensors).unwrap();
    let mut batch = read_tensors(path("experiments/toy_batch.safetensors")).unwrap();
    let inputs = batch.matrix::<f64>("x", [1, 6]).unwrap().transpose();
    let labels = batch.labels("y", 1, 4).unwrap();
    Problem { network, parameters, samples: Samples::labelled(&inputs, &labels, 4) }
}

/// A random problem for a model given as JSON: initial weights, biases and samples that vary with the seed.
pub fn random(model: serde_json::Value, samples: usize, seed: u64) -> Problem {
    let model: ModelSpec = serde_json::from_value(model).unwrap();
    let network = Arc::new(Network::new(&model).unwrap());
    let mut parameters = Parameters::initial(network.shapes(), seed);
    let wave = |i: usize| (1.7 * (i as f64 + 1.0) * (seed as f64 + 1.0).sqrt()).sin();
    for index in 0..parameters.len() {
        if network.shapes()[index].name.ends_with(".bias") {
            (0..).zip(parameters.at_mut(index).iter_mut()).for_each(|(i, b)| *b = 0.2 * wave(i + 57 * index));
        }
    }
    let inputs = DMatrix::from_fn(network.inputs, samples, |i, j| wave(i + 31 * j));
    let outputs = network.output.size();
    let labels: Vec<u32> = (0..samples).map(|j| ((j * 7 + seed as usize) % outputs) as u32).collect();
    let samples = Samples::labelled(&inputs, &labels, outputs);
    Problem { network, parameters, samples }
}

impl Problem {
    pub fn effective(&self, form: Form) -> Effective<f64> {
        Effective::new(&self.network, form, &self.parameters)
    }

    /// An estimate from rest, with all diagnostics.
    pub fn estimate(&self, form: Form, estimator: serde_json::Value) -> Estimate<f64> {
        let spec: EstimatorSpec = serde_json::from_value(estimator).unwrap();
        spec.validate(&self.network, form, None).unwrap();
        let effective = self.effective(form);
        let setting = Setting::quiet(&effective);
        estimate_batch(&*spec.build(), &setting, &self.samples, &mut Vec::new()).unwrap()
    }

    /// Free equilibrium and linearisation of the one sample of the problem.
    pub fn free(&self) -> Free {
        assert_eq!(self.samples.count, 1);
        let effective = self.effective(Form::Potential);
        let setting = Setting { substrate: &effective, noise: None, update: 0, diagnose: false };
        let settle = Settle { tolerance: Some(1e-14), max_time: 4000.0, ..Settle::default() };
        let free = equilibrium::free(&setting, &self.samples, &settle).unwrap();
        let shape = StateShape::new(&self.network, 1, 1);
        let linearised = Linearised::new(&effective, &shape, &free.state, &free.state);
        Free {
            jacobian: linearised.jacobian(0),
            slope: DVector::from_column_slice(linearised.slope()),
            cost_slope: DVector::from_vec(linearised.cost_slope(&free.output_error)),
            potentials: free.state,
            rates: free.rates,
            taus: self.network.layers.iter().flat_map(|l| l.tau.iter().copied()).collect(),
        }
    }

    /// The problem with another choice of its samples.
    pub fn only(&self, samples: std::ops::Range<usize>) -> Self {
        let (inputs, outputs) = (self.network.inputs, self.network.output.size());
        let cut = |values: &[f64], n: usize| values[samples.start * n..samples.end * n].to_vec();
        Self {
            network: Arc::clone(&self.network),
            parameters: self.parameters.clone(),
            samples: Samples {
                inputs: cut(&self.samples.inputs, inputs),
                targets: cut(&self.samples.targets, outputs),
                count: samples.len(),
                first: samples.start,
            },
        }
    }
}

/// Slope of the least-squares line through (x, y).
pub fn slope(points: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let points: Vec<(f64, f64)> = points.into_iter().collect();
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// Order of convergence: the slope of ln error against ln step.
pub fn order(points: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    slope(points.into_iter().map(|(step, error)| (step.ln(), error.ln())))
}

/// The linearised substrate at its free equilibrium.
pub struct Free {
    pub jacobian: DMatrix<f64>,
    pub slope: DVector<f64>,
    pub cost_slope: DVector<f64>,
    pub potentials: Vec<f64>,
    pub rates: Vec<f64>,
    /// Time constant of each neuron, in units of the nominal τ.
    pub taus: Vec<f64>,
}

impl Free {
    /// c₁[u]/|β| = (iωτ − J)⁻¹ F_β with F_β = −∂C/∂a, by dense LU; `omega_tau` is ω in units of the nominal τ.
    pub fn response(&self, omega_tau: f64) -> DVector<Complex<f64>> {
        let n = self.jacobian.nrows();
        let complex = |x: f64| Complex::new(x, 0.0);
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            complex(-self.jacobian[(i, j)])
                + if i == j { Complex::new(0.0, omega_tau * self.taus[i]) } else { complex(0.0) }
        });
        matrix.lu().solve(&(-&self.cost_slope).map(complex)).unwrap()
    }

    /// The same for the rates: ρ′ c₁[u].
    pub fn rate_response(&self, omega_tau: f64) -> DVector<Complex<f64>> {
        self.response(omega_tau).zip_map(&self.slope, |u, d| u * d)
    }
}
