//! Holomorphic EP with separate phases: Cauchy's integral over N frozen roots of unity (paper 1, eq. 8).

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convergence::{largest, negative_share, radius};
use super::description::{Demands, Description};
use super::equilibrium::{self, Observation, Phase, Settle, complexified, imaginary_part, real_part};
use super::work::{self, Foreseen, Work};
use super::{Diagnostics, Estimate, Estimator, Setting, Stop, columns, matrices};
use crate::error::{Invalid, Result, positive};
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::lockin::add_product;
use crate::simulation::teaching::{Teaching, root_of_unity};
use crate::substrate::local::Local;
use crate::substrate::samples::Samples;

/// δ = Σ_k (a(|β|e^{2πik/N}) − a*) e^{−2πik/N} / (N|β|).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cauchy {
    /// Amplitude |β|.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// N, the number of points; 1 is the one-sided difference, 2 the centred one.
    #[schemars(range(min = 1, max = 4096))]
    pub points: u64,
    /// Whether each synapse multiplies its two signals at every point, as in the papers; for tied networks. What a phase
    /// averages are the products, or the rates.
    #[serde(default)]
    pub per_synapse: bool,
    /// Whether the nudged field is corrected for connections that are not reciprocal: it gains (Wᵀ − W)(a − a*).
    #[serde(default)]
    pub correct_asymmetry: bool,
    /// How equilibria are waited for.
    #[serde(default)]
    pub settle: Settle,
    /// How the nudged ones are; null: as `settle`. What an object leaves out is not taken from `settle`.
    #[serde(default)]
    pub nudged: Option<Settle>,
}

impl Description for Cauchy {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        if !(1..=4096).contains(&self.points) {
            return Err(Invalid::new("points", format!("found {}", self.points), "1 to 4096 points"));
        }
        self.settle.validate().map_err(|e| e.under("settle"))?;
        self.nudged.map_or(Ok(()), |nudged| nudged.validate().map_err(|e| e.under("nudged")))
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            complex: true,
            tied: self.per_synapse,
            phases: [Some(("settle", self.settle)), self.nudged.map(|nudged| ("nudged", nudged))],
            frozen: true,
            ..Demands::default()
        }
    }

    fn work(&self, of: Foreseen) -> Work {
        let nudged = self.nudged.as_ref().unwrap_or(&self.settle);
        // The real points have one rail, and each complex one stands for its conjugate too.
        let real = if self.points.is_multiple_of(2) { 2.0 } else { 1.0 };
        let complex = (self.points as f64 - real) / 2.0;
        let (first, each) = (of.free(&self.settle), of.settled(nudged));
        let evaluations = first + (real + complex) * each;
        Work {
            evaluations,
            rails: (first + (real + 2.0 * complex) * each) / evaluations,
            states: self.points as f64 + nudged.average / nudged.step,
            parameters: work::lock_ins(self.per_synapse),
            ..Work::default()
        }
    }
}

impl<T: Scalar> Estimator<T> for Cauchy {
    fn amplitude(&self) -> f64 {
        self.amplitude
    }

    fn with_amplitude(&self, amplitude: f64) -> Option<Box<dyn Estimator<T>>> {
        Some(Box::new(Self { amplitude, ..*self }))
    }

    fn estimate(
        &self,
        setting: &Setting<'_, T>,
        samples: &Samples<T>,
        _state: &mut Vec<T>,
    ) -> Result<Estimate<T>> {
        let (substrate, mut scratch) = (setting.substrate, Vec::new());
        let real = substrate.shape(samples.count, 1);
        let complex = real.with_rails(2);
        let free = equilibrium::free(setting, samples, &self.settle)?;
        let start = complexified(&real, &free.state);
        let (points, amplitude) = (self.points, self.amplitude);
        let nudged = self.nudged.as_ref().unwrap_or(&self.settle);
        let (mut evaluations, mut residual) = (free.evaluations, free.residual);
        let mut unsettled = free.stop == Stop::TimeLimit;
        // The phases follow each other in time: noise goes on, and cancels between them as far as it stands still.
        let mut tick = free.tick;
        let mut phases: Vec<Vec<Observation<T>>> = Vec::with_capacity(points as usize);
        let outputs = StateShape::block(substrate.outputs(), samples.count, 2);
        for k in 0..points {
            // a(β̄) is the conjugate of a(β) around a real free state; noise breaks the symmetry.
            if !setting.is_noisy() && 2 * k > points {
                let mirror = &phases[(points - k) as usize];
                let conjugate = |instant: &Observation<T>| Observation {
                    rates: conjugate(&complex, &instant.rates),
                    output_error: conjugate(&outputs, &instant.output_error),
                };
                phases.push(mirror.iter().map(conjugate).collect());
                continue;
            }
            let teaching = Teaching::constant(root_of_unity(k, points) * amplitude);
            // Under a real nudge (1 and −1) a real state stays real: half the arithmetic.
            let stays_real = (2 * k).is_multiple_of(points) && !setting.disturbs_imaginary_rail();
            let (rails, start) = if stays_real { (1, &free.state) } else { (2, &start) };
            let start = Some((&start[..], tick));
            let correction = self.correct_asymmetry.then_some(&free.rates[..]);
            let phase = Phase { teaching, rails, correction, drive: Some(&free.drive) };
            let point = equilibrium::equilibrium(setting, samples, phase, nudged, start)?;
            tick = point.tick;
            evaluations += point.evaluations;
            residual = residual.max(point.residual);
            unsettled |= point.stop == Stop::TimeLimit;
            let complexify = |instant: &Observation<T>| Observation {
                rates: complexified(&real, &instant.rates),
                output_error: complexified(&outputs, &instant.output_error),
            };
            let instants = point.instants;
            phases.push(if stays_real { instants.iter().map(complexify).collect() } else { instants });
        }
        let coefficient = |harmonic: u64| {
            let mut sum = vec![T::zero(); complex.len()];
            for (k, phase) in (0..).zip(&phases) {
                let w = root_of_unity(k * harmonic, points).conj() / (points as f64 * phase.len() as f64);
                phase.iter().for_each(|instant| add_product(&complex, w, &instant.rates, &mut sum));
            }
            sum
        };
        let mut first = coefficient(1);
        if points == 1 {
            // One point cannot tell the response from the rest value.
            add_product(&complex, Complex::new(-1.0, 0.0), &complexified(&real, &free.rates), &mut first);
        }
        first.iter_mut().for_each(|x| *x *= T::of(1.0 / amplitude));
        let (error_vector, imaginary) = (real_part(&real, &first), imaginary_part(&real, &first));
        let local =
            Local { error_vector: &error_vector, free: &free.rates, output_error: &free.output_error };
        let mut gradient = substrate.gradient(&real, samples, &local);
        if self.per_synapse {
            substrate.measured().into_iter().for_each(|index| gradient.at_mut(index).fill(T::zero()));
            for (k, phase) in (0..).zip(&phases) {
                let share = 1.0 / (points as f64 * phase.len() as f64);
                let weight = root_of_unity(k, points).conj() * (share / amplitude);
                for Observation { rates, output_error } in phase {
                    substrate.add_products(&complex, rates, weight, &mut gradient, &mut scratch);
                    substrate.add_readout(
                        &complex,
                        (rates, output_error),
                        share,
                        &mut gradient,
                        &mut scratch,
                    );
                }
            }
            if points == 1 {
                let weight = Complex::new(-1.0 / (amplitude * free.instants.len() as f64), 0.0);
                for instant in &free.instants {
                    substrate.add_products(&real, &instant.rates, weight, &mut gradient, &mut scratch);
                }
            }
        }
        let stop = Stop::of_phases(unsettled, setting.is_noisy() && (self.settle.noise || nudged.noise));
        let mut diagnostics = Diagnostics::frozen(evaluations, residual, stop);
        if setting.diagnose {
            diagnostics.slowest_rate = setting.probe_rate(samples, &free.rates);
            if points >= 8 {
                let size = |k: u64| largest(&coefficient(k));
                diagnostics.negative_harmonics = Some(size(points - 1));
                diagnostics.negative_share = negative_share(size(1), size(points - 1), size(points - 2));
                let floor = residual.max(T::epsilon().double() * largest(&free.rates));
                let sizes: Vec<f64> = (1..=points / 2).map(size).collect();
                diagnostics.radius_of_convergence = radius(amplitude, &sizes, T::epsilon().double(), floor);
            }
        }
        let quadrature = Local {
            error_vector: &imaginary,
            free: &free.rates,
            output_error: &vec![T::zero(); free.output_error.len()],
        };
        Ok(Estimate {
            gradient,
            quadrature: setting.diagnose.then(|| substrate.gradient(&real, samples, &quadrature)),
            free: matrices(&real, &free.rates),
            error_vector: matrices(&real, &error_vector),
            output_error: columns(samples.count, &free.output_error),
            nudged: phases.iter().filter_map(|p| p.last()).map(|i| matrices(&complex, &i.rates)).collect(),
            diagnostics,
        })
    }
}

fn conjugate<T: Scalar>(shape: &StateShape, state: &[T]) -> Vec<T> {
    let mut out = state.to_vec();
    for layer in 0..shape.layers() {
        let imaginary = shape.real(layer).end..shape.layer(layer).end;
        out[imaginary].iter_mut().for_each(|x| *x = -*x);
    }
    out
}
