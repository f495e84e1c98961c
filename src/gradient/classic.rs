//! Classic equilibrium propagation: finite differences of real equilibria.

use num_complex::Complex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Demands, Description};
use super::equilibrium::{self, Observation, Phase, Settle};
use super::work::{self, Foreseen, Work};
use super::{Diagnostics, Estimate, Estimator, Setting, Stop, columns, matrices};
use crate::error::{Invalid, Result, positive};
use crate::numerics::scalar::Scalar;
use crate::simulation::teaching::Teaching;
use crate::substrate::local::Local;
use crate::substrate::samples::Samples;

/// (a(β) − a(0))/β, or (a(β) − a(−β))/2β when centred (Scellier & Bengio 2017; Laborieux et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classic {
    /// Amplitude β of the nudge.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub amplitude: f64,
    /// Whether to take β and −β instead of β and 0.
    #[serde(default)]
    pub centred: bool,
    /// Whether the products a_i a_j of each phase are subtracted, synapse by synapse, as in the papers; for tied networks.
    /// Otherwise the difference of the rates meets the free rates. What a phase averages are the products, or the rates.
    #[serde(default)]
    pub per_synapse: bool,
    /// Whether the nudged field is corrected for connections that are not reciprocal: it gains (Wᵀ − W)(a − a*)
    /// (asymmetric EP, arXiv 2602.03670).
    #[serde(default)]
    pub correct_asymmetry: bool,
    /// How equilibria are waited for.
    #[serde(default)]
    pub settle: Settle,
    /// How the nudged ones are; null: as `settle`. What an object leaves out is not taken from `settle`.
    #[serde(default)]
    pub nudged: Option<Settle>,
}

impl Description for Classic {
    fn validate(&self) -> std::result::Result<(), Invalid> {
        positive("amplitude", self.amplitude)?;
        self.settle.validate().map_err(|e| e.under("settle"))?;
        self.nudged.map_or(Ok(()), |nudged| nudged.validate().map_err(|e| e.under("nudged")))
    }

    fn demands(&self) -> Demands {
        Demands {
            amplitude: self.amplitude,
            tied: self.per_synapse,
            phases: [Some(("settle", self.settle)), self.nudged.map(|nudged| ("nudged", nudged))],
            frozen: true,
            ..Demands::default()
        }
    }

    fn work(&self, of: Foreseen) -> Work {
        let phases = if self.centred { 2.0 } else { 1.0 };
        let nudged = self.nudged.as_ref().unwrap_or(&self.settle);
        Work {
            evaluations: of.free(&self.settle) + phases * of.settled(nudged),
            rails: 1.0,
            states: nudged.average / nudged.step,
            parameters: work::lock_ins(self.per_synapse),
            ..Work::default()
        }
    }
}

impl<T: Scalar> Estimator<T> for Classic {
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
        let shape = substrate.shape(samples.count, 1);
        let free = equilibrium::free(setting, samples, &self.settle)?;
        let nudged = self.nudged.as_ref().unwrap_or(&self.settle);
        // The phases follow each other in time: noise goes on, and cancels between them as far as it stands still.
        let nudge = |beta: f64, tick: u64| {
            let teaching = Teaching::constant(Complex::new(beta, 0.0));
            let start = Some((&free.state[..], tick));
            let correction = self.correct_asymmetry.then_some(&free.rates[..]);
            let phase = Phase { teaching, rails: 1, correction, drive: Some(&free.drive) };
            equilibrium::equilibrium(setting, samples, phase, nudged, start)
        };
        let plus = nudge(self.amplitude, free.tick)?;
        let minus = if self.centred { Some(nudge(-self.amplitude, plus.tick)?) } else { None };
        let (reference, span) = match &minus {
            Some(minus) => (minus, 2.0 * self.amplitude),
            None => (&free, self.amplitude),
        };
        let scale = T::of(1.0 / span);
        let error_vector: Vec<T> =
            plus.rates.iter().zip(&reference.rates).map(|(a, b)| (*a - *b) * scale).collect();
        let local =
            Local { error_vector: &error_vector, free: &free.rates, output_error: &free.output_error };
        let mut gradient = substrate.gradient(&shape, samples, &local);
        if self.per_synapse {
            substrate.measured().into_iter().for_each(|index| gradient.at_mut(index).fill(T::zero()));
            for (phase, weight) in [(&plus, 1.0 / span), (reference, -1.0 / span)] {
                let weight = Complex::new(weight / phase.instants.len() as f64, 0.0);
                for instant in &phase.instants {
                    substrate.add_products(&shape, &instant.rates, weight, &mut gradient, &mut scratch);
                }
            }
            let nudged = [Some(&plus), minus.as_ref()];
            let share = if minus.is_some() { 0.5 } else { 1.0 };
            for phase in nudged.into_iter().flatten() {
                let share = share / phase.instants.len() as f64;
                for Observation { rates, output_error } in &phase.instants {
                    substrate.add_readout(&shape, (rates, output_error), share, &mut gradient, &mut scratch);
                }
            }
        }
        let stages = [Some(&free), Some(&plus), minus.as_ref()];
        let stages = || stages.iter().flatten();
        let unsettled = stages().any(|s| s.stop == Stop::TimeLimit);
        let mut diagnostics = Diagnostics::frozen(
            stages().map(|s| s.evaluations).sum(),
            stages().map(|s| s.residual).fold(0.0, f64::max),
            Stop::of_phases(unsettled, setting.is_noisy() && (self.settle.noise || nudged.noise)),
        );
        diagnostics.slowest_rate = setting.probe_rate(samples, &free.rates);
        Ok(Estimate {
            gradient,
            quadrature: None,
            free: matrices(&shape, &free.rates),
            error_vector: matrices(&shape, &error_vector),
            output_error: columns(samples.count, &free.output_error),
            nudged: Vec::new(),
            diagnostics,
        })
    }
}
