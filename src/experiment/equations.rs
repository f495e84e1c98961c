//! What equilibrium propagation makes of neurons by equation: checked at random states, and told in words.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use rand::RngExt;

use crate::error::Result;
use crate::gradient::compare::compare;
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{Adjoint, Estimator, Setting, Stop};
use crate::names::number;
use crate::numerics::rng::{self, Purpose};
use crate::substrate::local::Local;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::form::Form;
use crate::substrate::neurons::network::{Network, Output};
use crate::substrate::parameters::Parameters;
use crate::substrate::samples::Samples;

/// Seeds of initial parameters, and samples of each.
const SEEDS: u64 = 3;
const SAMPLES: usize = 4;
/// Variables of a network beyond which its Jacobian is not looked at.
const MOST: usize = 600;
/// A relative error of what is the same but for rounding.
const EXACT: f64 = 1e-7;

/// What was seen at the random states.
#[derive(Debug, Default)]
struct Seen {
    rests: usize,
    unstable: usize,
    cosine: f64,
    error: f64,
    /// The slowest rate of relaxation.
    slowest: f64,
}

/// Says whether the gradient of equilibrium propagation is exact for this network; nothing where its neurons are the usual ones.
///
/// # Errors
/// Never for what a random state does: a network without a rest is told of.
pub(super) fn verdict(network: &Arc<Network>) -> Result<Option<String>> {
    if !network.has_equations() {
        return Ok(None);
    }
    let real = if network.is_holomorphic() {
        ""
    } else {
        "; an equation is not holomorphic, so that states stay real: `classic`, `adjoint` and one harmonic of a real drive"
    };
    if network.neurons() > MOST {
        let told = format!("equilibrium propagation: not checked beyond {MOST} variables");
        return Ok(Some(told + real));
    }
    let mut seen = Seen { cosine: 1.0, slowest: f64::INFINITY, ..Seen::default() };
    (0..SEEDS).for_each(|seed| look(network, seed, &mut seen));
    let all = SEEDS as usize * SAMPLES;
    let found = all - seen.rests;
    let rests = match (found, seen.unstable) {
        (0, 0) => String::new(),
        (lost, unstable) => format!(
            "; of {all} random states {lost} found no rest, and {unstable} rests are unstable: there nothing is measured"
        ),
    };
    let numbers = format!(
        "relative error {}, cosine {} at {} random states",
        number(seen.error),
        number(seen.cosine),
        seen.rests - seen.unstable
    );
    let told = if seen.rests == seen.unstable {
        "equilibrium propagation fails: these neurons have no stable rest to propagate from".to_owned()
    } else if seen.error < EXACT {
        format!(
            "equilibrium propagation is exact for frozen teaching: with a neuron's own variables eliminated, what it sends is a function of \
             what it receives, and the connections are symmetric ({numbers}); under an oscillation it is exact only quasi-statically, to \
             about (2π/(T·{}))² at a period of T τ",
            number(seen.slowest)
        )
    } else {
        let why = if network.is_tied() {
            "the response at zero frequency is not that of a symmetric system"
        } else {
            "connections are not tied to their transposes"
        };
        format!("equilibrium propagation is biased at any period: {why} ({numbers})")
    };
    Ok(Some(told + &rests + real))
}

/// Compares the response at zero frequency with the adjoint, sample by sample.
fn look(network: &Arc<Network>, seed: u64, seen: &mut Seen) {
    let parameters = Parameters::<f64>::initial(network.shapes(), seed);
    let effective = Effective::new(network, Form::Potential, &parameters);
    let setting = Setting::quiet(&effective);
    let mut random = rng::stream(seed, Purpose::Data, 0);
    for _ in 0..SAMPLES {
        let inputs = DMatrix::from_fn(network.inputs, 1, |_, _| random.random_range(-1.0..1.0));
        let samples = match network.output {
            Output::Readout { classes, .. } => {
                Samples::labelled(&inputs, &[random.random_range(0..classes as u32)], classes)
            }
            Output::SquaredError { size, .. } => {
                let targets = DMatrix::from_fn(size, 1, |_, _| random.random_range(-1.0..1.0));
                Samples::valued(&inputs, &targets)
            }
        };
        let settle = Settle { max_time: 2000.0, ..Settle::default() };
        let Ok(free) = equilibrium::free(&setting, &samples, &settle) else { continue };
        if free.stop != Stop::Settled {
            continue;
        }
        seen.rests += 1;
        let linear = setting.substrate.linearise(&samples, Some(&free.drive), &free.rates);
        let jacobian = linear.jacobian(0);
        let tau = linear.tau();
        let rates = DMatrix::from_fn(tau.len(), tau.len(), |i, j| jacobian[(i, j)] / tau[i]);
        let slowest = rates.complex_eigenvalues().iter().map(|l| -l.re).fold(f64::INFINITY, f64::min);
        // A network that cannot be looked at is as good as one that has no rest.
        let teaching = DVector::from_vec(linear.teaching(&free.output_error));
        let response = jacobian.lu().solve(&-teaching);
        let truth = Adjoint::default().estimate(&setting, &samples, &mut Vec::new());
        let (true, Some(response), Ok(truth)) = (slowest > 0.0, response, truth) else {
            seen.unstable += 1;
            continue;
        };
        seen.slowest = seen.slowest.min(slowest);
        let mut observed = vec![0.0; tau.len()];
        linear.observe(response.as_slice(), &mut observed);
        let local = Local { error_vector: &observed, free: &free.rates, output_error: &free.output_error };
        let shape = setting.substrate.shape(1, 1);
        let own = setting.substrate.gradient(&shape, &samples, &local);
        let agreement = compare(&own, &truth.gradient).synapses;
        seen.error = seen.error.max(agreement.relative_error.unwrap_or(0.0));
        seen.cosine = seen.cosine.min(agreement.cosine.unwrap_or(1.0));
    }
}
