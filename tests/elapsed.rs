//! The error of always-on estimates against time, beside the linear response written out with a matrix exponential.

use std::fs;

use crate::program::{json, metrics, succeed};
use holograd::data::{DataSpec, Dataset};
use holograd::files::read_tensors;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex;
use serde_json::json;

const HIDDEN: [usize; 2] = [5, 4];
const INPUTS: usize = 6;
const PERIOD: f64 = 20.0;
/// Samples of the lock-in in a period.
const LOCK_IN: f64 = 64.0;

/// A tied tanh network 6-5-4 with four classes, in plain linear algebra.
struct Plain {
    into: DMatrix<f64>,
    between: DMatrix<f64>,
    readout: DMatrix<f64>,
}

/// One sample at its free equilibrium.
struct Sample {
    input: DVector<f64>,
    rates: DVector<f64>,
    jacobian: DMatrix<f64>,
    slope: DVector<f64>,
    drive: DVector<f64>,
}

impl Plain {
    fn read(path: &std::path::Path) -> Self {
        let mut tensors = read_tensors(path).unwrap();
        let mut matrix = |name: &str, shape| tensors.matrix::<f64>(name, shape).unwrap();
        Self {
            into: matrix("input-h1.weight", [HIDDEN[0], INPUTS]),
            between: matrix("h1-h2.weight", [HIDDEN[1], HIDDEN[0]]),
            readout: matrix("readout.weight", [4, HIDDEN[1]]),
        }
    }

    /// Biases are zero in a new network.
    fn equilibrium(&self, x: &DVector<f64>, label: usize) -> Sample {
        let n = HIDDEN[0] + HIDDEN[1];
        let mut coupling = DMatrix::zeros(n, n);
        coupling.view_mut((HIDDEN[0], 0), (HIDDEN[1], HIDDEN[0])).copy_from(&self.between);
        coupling.view_mut((0, HIDDEN[0]), (HIDDEN[0], HIDDEN[1])).copy_from(&self.between.transpose());
        let mut bias = DVector::zeros(n);
        bias.rows_mut(0, HIDDEN[0]).copy_from(&(&self.into * x));
        let mut rates: DVector<f64> = DVector::zeros(n);
        for _ in 0..20_000 {
            let next = (&coupling * &rates + &bias).map(f64::tanh);
            rates = 0.5 * (&rates + next);
        }
        let slope = rates.map(|a| 1.0 - a * a);
        let jacobian = &coupling * DMatrix::from_diagonal(&slope) - DMatrix::identity(n, n);
        let logits = &self.readout * rates.rows(HIDDEN[0], HIDDEN[1]);
        let weights = logits.map(f64::exp);
        let mut error = &weights / weights.sum();
        error[label] -= 1.0;
        let mut drive = DVector::zeros(n);
        drive.rows_mut(HIDDEN[0], HIDDEN[1]).copy_from(&-(self.readout.transpose() * error));
        Sample { input: x.clone(), rates, jacobian, slope, drive }
    }
}

impl Sample {
    /// Re of the first Fourier coefficient of the rates' response, per unit of β, over the first `count` periods of a drive e^{iωt} that
    /// begins at the free equilibrium: the response itself is (iω − J)⁻¹ (e^{iωt} − e^{Jt}) F_β.
    fn error_vector(&self, period: f64, count: f64) -> DVector<f64> {
        let (n, step) = (self.drive.len(), period / LOCK_IN);
        let omega = std::f64::consts::TAU / period;
        let complex = |x: f64| Complex::new(x, 0.0);
        let shifted = |matrix: &DMatrix<f64>, factor: Complex<f64>, shift: Complex<f64>| {
            matrix.map(|x| x * factor) + DMatrix::from_diagonal_element(n, n, shift)
        };
        let resolvent = shifted(&self.jacobian, complex(-1.0), Complex::new(0.0, omega)).lu();
        let settled = resolvent.solve(&self.drive.map(complex)).unwrap();
        // The mean of M^k over the samples, M = e^{(J − iω)h}: a geometric series, with e^{−iωnT} = 1 at its end.
        let turn = Complex::cis(-omega * step);
        let series = shifted(&(&self.jacobian * step).exp(), turn, complex(-1.0)).lu();
        let decayed = (&self.jacobian * (count * period)).exp() - DMatrix::identity(n, n);
        let transient = series.solve(&(decayed.map(complex) * &settled)).unwrap();
        (settled - transient / complex(count * LOCK_IN)).map(|z| z.re).component_mul(&self.slope)
    }

    fn exact(&self) -> DVector<f64> {
        (-&self.jacobian).lu().solve(&self.drive).unwrap().component_mul(&self.slope)
    }

    /// ∂C/∂W of the input's weights, [5 × 6], and of the tied pair, [4 × 5], in one column.
    fn gradient(&self, error_vector: &DVector<f64>) -> DVector<f64> {
        let (delta, rates) = (error_vector, &self.rates);
        let [first, second] = [(0, HIDDEN[0]), (HIDDEN[0], HIDDEN[1])];
        let into = -delta.rows(first.0, first.1) * self.input.transpose();
        let between = -(delta.rows(second.0, second.1) * rates.rows(first.0, first.1).transpose()
            + rates.rows(second.0, second.1) * delta.rows(first.0, first.1).transpose());
        DVector::from_iterator(into.len() + between.len(), into.iter().chain(between.iter()).copied())
    }
}

#[test]
fn errors_follow_the_linear_response_from_the_onset_on() {
    let folder = tempfile::tempdir().unwrap();
    let model = json!({ "name": "plain", "input": INPUTS, "activation": "tanh",
        "initialisation": { "truncated_normal": { "scale": 1.2 } },
        "layers": [{ "name": "h1", "size": HIDDEN[0] }, { "name": "h2", "size": HIDDEN[1] }],
        "connections": [{ "from": "input", "to": "h1" }, { "from": "h1", "to": "h2", "feedback": "tied" }],
        "readout": { "from": "h2", "classes": 4 } });
    let data = json!({ "toy_gaussian": { "inputs": INPUTS, "classes": 4, "samples": 15 } });
    let sine = |richardson: u64| {
        json!({ "oscillation": { "amplitude": 1e-4, "period": PERIOD, "richardson": richardson,
            "integrator": { "dopri5": { "rtol": 1e-11, "atol": 1e-15, "samples": LOCK_IN as u64 } } } })
    };
    let experiment = json!({ "kind": "elapsed", "model": model, "data": data, "seed": 3, "periods": 12,
        "estimators": { "sine": sine(1), "two": sine(2) } });
    // A training run that does not move leaves the initial parameters of the same seed.
    let still = json!({ "kind": "train", "model": model, "data": data, "seed": 3, "precision": "f64", "epochs": 1,
        "batch_size": 12, "compare": 0, "estimator": "adjoint", "optimiser": { "sgd": { "learning_rate": 0.0 } } });
    for (name, content) in [("elapsed", &experiment), ("still", &still)] {
        fs::write(folder.path().join(format!("{name}.json")), content.to_string()).unwrap();
        succeed(folder.path(), &["run", &format!("{name}.json"), "--out", name]);
    }
    let plain = Plain::read(&folder.path().join("still/parameters.safetensors"));
    let spec: DataSpec = serde_json::from_value(data).unwrap();
    let train: Dataset = spec.load(3, &holograd::data::Lookup::default()).unwrap().train;
    let samples: Vec<Sample> = (0..train.samples())
        .map(|i| plain.equilibrium(&train.inputs().column(i).map(f64::from), train.labels[i] as usize))
        .collect();
    let mean = |error_vector: &dyn Fn(&Sample) -> DVector<f64>| {
        samples.iter().map(|s| s.gradient(&error_vector(s))).sum::<DVector<f64>>()
    };
    let truth = mean(&|s| s.exact());
    let over = |period: f64, count: f64| mean(&|s| s.error_vector(period, count));

    let points = metrics(&folder.path().join("elapsed"));
    assert_eq!(points.len(), 12 + 3, "12 periods; 3 times two periods of T and one of 2 T");
    let mut errors = Vec::new();
    for point in &points {
        let count = point["period"].as_f64().unwrap();
        let expected = if point["estimator"] == "sine" {
            over(PERIOD, count)
        } else {
            (4.0 * over(2.0 * PERIOD, count) - over(PERIOD, 2.0 * count)) / 3.0
        };
        let elapsed = if point["estimator"] == "sine" { count * PERIOD } else { count * 4.0 * PERIOD };
        assert_eq!(point["elapsed"].as_f64(), Some(elapsed));
        let expected = (expected - &truth).norm() / truth.norm();
        let found = point["relative_error"].as_f64().unwrap();
        // The response is linear up to the amplitude.
        assert!((found - expected).abs() < 1e-4, "{point}: not {expected}");
        errors.push(found);
    }
    // What is compared is neither all bias nor all transient.
    let settled = (mean(&|s| s.error_vector(PERIOD, 1e6)) - &truth).norm() / truth.norm();
    assert!(errors[0] > settled + 0.01 && errors[11] < errors[0], "{errors:?}, settled {settled}");
    let summary = json(folder.path().join("elapsed/summary.json"));
    let slowest = (samples.iter())
        .flat_map(|s| s.jacobian.complex_eigenvalues().iter().map(|z| -z.re).collect::<Vec<_>>())
        .fold(f64::INFINITY, f64::min);
    assert!((summary["slowest_rate"].as_f64().unwrap() - slowest).abs() < 1e-9);
}
