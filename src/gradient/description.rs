//! What every estimator says of itself, in its own file: what it asks of a network, and what it takes.

use super::equilibrium::Settle;
use super::work::{Foreseen, Work};
use super::{Estimator, EstimatorSpec};
use crate::error::Invalid;
use crate::imperfections::{Imperfections, device};
use crate::numerics::scalar::Scalar;
use crate::simulation::integrators::IntegratorSpec;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::Network;

/// The description of an estimator.
pub(super) trait Description {
    /// Checks the numbers.
    fn validate(&self) -> Result<(), Invalid>;

    /// What it asks of the network, its form and its imperfections.
    fn demands(&self) -> Demands;

    /// What a chunk of samples takes.
    fn work(&self, of: Foreseen) -> Work;

    /// One period of its drive, at 2^`doublings` times the length, with a multiplier in each synapse where that is asked for. Estimates
    /// of one such period after the other have the mean that an estimate of all of them has. None where there is no such thing.
    fn repeated(&self, _doublings: u32, _per_synapse: bool) -> Option<Repeated> {
        None
    }
}

/// A description that is an estimator of one precision.
pub(super) trait Described<T: Scalar>: Description {
    /// The estimator.
    fn boxed(&self) -> Box<dyn Estimator<T>>;
}

impl<T: Scalar, E: Description + Estimator<T> + Copy + 'static> Described<T> for E {
    fn boxed(&self) -> Box<dyn Estimator<T>> {
        Box::new(*self)
    }
}

/// What an estimator asks of a network. The default asks for nothing.
#[derive(Default)]
pub(super) struct Demands {
    /// |β|; zero for none.
    pub amplitude: f64,
    /// A state that is complex: rates have to be holomorphic.
    pub complex: bool,
    /// Harmonics beyond the first, which decay only where rates are holomorphic.
    pub harmonics: bool,
    /// Products of two rates, which do not tell the directions of a connection apart: it has to be tied.
    pub tied: bool,
    /// The coupling's asymmetry is corrected.
    pub corrected: bool,
    /// What integrates a drive.
    pub integrator: Option<IntegratorSpec>,
    /// Phases that are waited for, by field.
    pub phases: [Option<(&'static str, Settle)>; 2],
    /// All of the estimate is made of equilibria: white noise never lets them settle.
    pub frozen: bool,
    /// The steady state is solved for: there is nothing to sample.
    pub solved: bool,
}

/// Steps of the longest delay: each keeps the rates of a whole batch.
const MOST_STEPS_LATE: f64 = 1e5;

/// One period of an always-on drive, over and over.
pub(crate) struct Repeated {
    /// What is measured in one period.
    pub estimator: EstimatorSpec,
    /// Its length, in τ.
    pub period: f64,
    /// Its steps.
    pub ticks: f64,
    /// How it is integrated.
    pub integrator: IntegratorSpec,
    /// How many periods T, 2T, 4T … are extrapolated to zero frequency.
    pub richardson: u32,
    /// Whether the field is corrected for its asymmetry, which takes a free phase.
    pub corrected: bool,
}

impl Demands {
    /// Refuses what the network, its form or its imperfections cannot carry.
    pub fn check(
        &self,
        network: &Network,
        form: Form,
        imperfections: Option<&Imperfections>,
    ) -> Result<(), Invalid> {
        if self.harmonics && !network.is_holomorphic() {
            return Err(Invalid::new(
                "harmonics",
                "found more than the first with an activation or a pooling that is not holomorphic (hard_tanh, hard_dsilu, relu or max)",
                "its harmonics do not decay geometrically: use 1, the plain lock-in",
            ));
        }
        if self.complex && !network.is_holomorphic() {
            return Err(Invalid::new(
                "",
                "found an activation or a pooling that is not holomorphic (hard_tanh, hard_dsilu, relu or max)",
                "a complex state needs logistic, tanh, dsilu, softplus or identity, and no max pooling; `classic`, `adjoint`, and `chebyshev` and `harmonic_balance` of one harmonic stay real",
            ));
        }
        if self.tied && !network.is_tied() {
            return Err(Invalid::new(
                "per_synapse",
                "found true for a network with untied connections",
                "the product of two rates does not tell the two directions apart: use false",
            ));
        }
        if network.has_equations() && form == Form::Rate {
            let legal = "their equations say what is integrated: use the potential form";
            return Err(Invalid::new("", "found neurons by equation in the rate form", legal));
        }
        if self.corrected && !network.delays().is_empty() {
            let legal =
                "the correction is known for what arrives at once: use false, or leave out every `delay`";
            return Err(Invalid::new("correct_asymmetry", "found true with a delay of a connection", legal));
        }
        let instant = imperfections.and_then(Imperfections::instant);
        if let Some(integrator) = self.integrator {
            check_time_constants(integrator, network, imperfections)?;
            if let Some(instant) = instant {
                instant.check(integrator, form).map_err(|e| e.under("integrator"))?;
            }
        }
        let Some(instant) = instant else { return Ok(()) };
        if self.solved {
            return Err(Invalid::new(
                "",
                "found noise, or an imperfect read-out, with an estimator that solves for the steady state",
                "nothing is sampled there: use `oscillation` or `chebyshev`, or switch it off",
            ));
        }
        for (name, settle) in self.phases.iter().flatten() {
            instant.check_step(settle.step).map_err(|e| e.under(&format!("{name}.step")))?;
        }
        if self.frozen && instant.is_white() {
            return Err(Invalid::new(
                "",
                "found white noise with an estimator that waits for equilibria",
                "use `held` noise with a fixed waiting time (`settle.tolerance` 0), or an always-on estimator",
            ));
        }
        Ok(())
    }
}

/// Refuses an integrator that cannot carry the network's delays and time constants, those included that imperfections draw.
///
/// # Errors
/// The finding, at `integrator`.
pub(crate) fn check_time_constants(
    integrator: IntegratorSpec,
    network: &Network,
    imperfections: Option<&Imperfections>,
) -> Result<(), Invalid> {
    if integrator.is_implicit() {
        let legal =
            "an implicit method solves for the stages of a circuit; layers of neurons take the others";
        return Err(Invalid::new("integrator", "found an implicit method for a network of neurons", legal));
    }
    check_delays(integrator, network)?;
    let spread = imperfections.filter(|imperfections| imperfections.spreads_tau());
    let taus = || network.layers.iter().flat_map(|l| l.tau.iter().copied());
    if integrator == IntegratorSpec::Map && (spread.is_some() || taus().any(|tau| tau != 1.0)) {
        let legal = "the discrete map knows one time constant: use euler, or set every `tau` to 1";
        return Err(Invalid::new("integrator", "found map with other time constants than 1", legal));
    }
    let fastest = taus().fold(f64::INFINITY, f64::min);
    if let Some(step) = integrator.unstable_beyond(2.0 * fastest) {
        let found = format!("found a step of {step} with a shortest time constant of {fastest}");
        let legal =
            "an explicit step must stay below twice the shortest `tau`: lower it, or use exponential_euler";
        return Err(Invalid::new("integrator", found, legal));
    }
    // No draw is shorter than 0: an integrator without a limit needs none.
    let Some(imperfections) = spread.filter(|_| integrator.unstable_beyond(0.0).is_some()) else {
        return Ok(());
    };
    let drawn = device::taus(network, imperfections).unwrap_or_default();
    let neurons =
        drawn.iter().enumerate().flat_map(|(layer, taus)| taus.iter().enumerate().map(move |t| (layer, t)));
    let Some((layer, (neuron, tau))) = neurons.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b)) else {
        return Ok(());
    };
    if let Some(step) = integrator.unstable_beyond(2.0 * tau) {
        let found = format!(
            "found a step of {step} with a time constant of {tau:.3} of neuron {neuron} of layer `{}`, which `fabrication.tau` \
             draws with `device_seed` {}",
            network.layers[layer].name, imperfections.device_seed
        );
        let legal = format!(
            "an explicit step must stay below twice the shortest time constant, {:.3}: lower it or `fabrication.tau`, or use \
             exponential_euler",
            2.0 * tau
        );
        return Err(Invalid::new("integrator", found, legal));
    }
    Ok(())
}

/// Refuses an integrator whose clock does not hold the delays of the network's connections.
fn check_delays(integrator: IntegratorSpec, network: &Network) -> Result<(), Invalid> {
    for edge in network.edges.iter().filter(|edge| edge.delay > 0.0) {
        let (delay, name) = (edge.delay, &network.shapes()[edge.weight].name);
        let Some((method, step)) = integrator.fixed_step() else {
            let found = format!("found an adaptive integrator with the delay of {delay} of `{name}`");
            let legal = "what is on its way is kept at the ticks of a fixed step: use euler, heun, rk4 or exponential_euler";
            return Err(Invalid::new("integrator", found, legal));
        };
        let steps = (delay / step).round();
        if steps > MOST_STEPS_LATE {
            let found = format!("found the delay of {delay} of `{name}`, {steps} steps of {method}");
            let legal = format!("at most {MOST_STEPS_LATE} steps: a longer step, or a shorter `delay`");
            return Err(Invalid::new("integrator", found, legal));
        }
        if steps < 1.0 || (delay / step - steps).abs() > 1e-9 * steps {
            let below = (delay / step).floor().max(1.0);
            let found = format!(
                "found a step of {step} of {method} with the delay of {delay} of `{name}`, which is not a whole number of steps"
            );
            let legal = format!("the nearest delays are {} and {}", below * step, (below + 1.0) * step);
            return Err(Invalid::new("integrator", found, legal));
        }
    }
    Ok(())
}
