//! How well a network answers: mean cost and accuracy.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gradient::equilibrium::{self, Settle};
use crate::gradient::{CHUNK, Setting, Surroundings};
use crate::host::crew::spread;
use crate::host::watcher;
use crate::numerics::scalar::{Layout, Scalar};
use crate::numerics::state::StateShape;
use crate::substrate::neurons::effective::Effective;
use crate::substrate::neurons::network::Network;
use crate::substrate::samples::Samples;
use crate::team;

/// Mean cost and share of correct answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cost.
    pub loss: f64,
    /// Share of samples whose largest output is the label's.
    pub accuracy: f64,
}

/// Samples with their labels, as the network takes them.
pub(crate) fn labelled<T: Scalar>(network: &Network, data: &Dataset) -> Samples<T> {
    Samples::labelled(&data.inputs(), &data.labels, network.output.size())
}

/// Mean cost and accuracy of a network at the free equilibrium.
///
/// With noise (and its seed) it is the state at the end of `inference.max_time`, or its mean over `inference.average`.
///
/// # Errors
/// [`Error::Diverged`].
pub fn free_score<T: Scalar>(
    effective: &Effective<T>,
    data: &Dataset,
    inference: &Settle,
    noise: Option<Surroundings<'_, T>>,
) -> Result<Score> {
    let network = effective.network();
    // No update of the weights has this number: the noise is none that learning has met.
    let setting = Setting { substrate: effective, noise, update: u64::MAX, diagnose: false };
    let tolerance = if noise.is_some() { Some(0.0) } else { inference.tolerance };
    let inference = &Settle { tolerance, ..*inference };
    // Inference has one rail: twice the samples of a chunk make as wide a product.
    let places: Vec<u32> = (0..data.samples() as u32).collect();
    let together = if network.gpu.is_some() { setting.substrate.chunk(places.len()) } else { 2 * CHUNK };
    let chunks: Vec<&[u32]> = places.chunks(together).collect();
    let watcher = watcher::current();
    let own = &chunks[team::share(chunks.len())];
    let told = |chunk: &&[u32]| {
        let samples = Samples { first: chunk[0] as usize, ..labelled(network, &data.select(chunk)) };
        let free = || equilibrium::free(&setting, &samples, inference);
        let free = watcher::within(watcher.clone(), free)?;
        let shape = StateShape::new(network, samples.count, 1);
        let output = &free.rates[shape.layer(network.output.layer())];
        tally(effective, &samples, output, &free.output_error)
    };
    let tallies: Vec<Result<(f64, usize)>> = spread(|| own.par_iter().map(told).collect());
    let (mut loss, mut correct) = (0.0, 0);
    for (l, c) in team::gather(tallies)? {
        loss += l;
        correct += c;
    }
    Ok(score(loss, correct, data.samples()))
}

/// What is said of a result that is not finite.
pub(crate) fn not_finite(what: &str, place: String) -> Error {
    Error::Diverged {
        moment: "when it was read out".into(),
        place,
        what: format!("{what} is not finite"),
        advice: "lower `amplitude` or the learning rate".into(),
    }
}

/// From summed cost and number of correct answers.
pub(crate) fn score(loss: f64, correct: usize, samples: usize) -> Score {
    Score { loss: loss / samples as f64, accuracy: correct as f64 / samples as f64 }
}

/// Summed cost and number of correct answers, from the rates of the output layer, [n × samples], and the output error.
///
/// # Errors
/// [`Error::Diverged`] for a cost that is not finite.
pub(crate) fn tally<T: Scalar>(
    effective: &Effective<T>,
    samples: &Samples<T>,
    rates: &[T],
    output_error: &[T],
) -> Result<(f64, usize)> {
    let output = effective.network().output;
    let outputs = output.size();
    let logits = effective.readout().map(|(_, bias)| {
        let mut logits = bias.repeat(samples.count);
        effective.multiply_readout(Layout::Plain, rates, &mut logits);
        logits
    });
    let (mut loss, mut correct) = (0.0, 0);
    let columns = output_error.chunks_exact(outputs).zip(samples.targets.chunks_exact(outputs));
    for (sample, (error, target)) in columns.enumerate() {
        let value = |i: usize| error[i].double() + target[i].double();
        let largest =
            |f: &dyn Fn(usize) -> f64| (0..outputs).max_by(|&i, &j| f(i).total_cmp(&f(j))).unwrap_or(0);
        let label = largest(&|i| target[i].double());
        correct += usize::from(largest(&value) == label);
        let cost = match &logits {
            Some(logits) => cross_entropy(&logits[sample * outputs..][..outputs], label),
            None => 0.5 * error.iter().map(|e| e.double().powi(2)).sum::<f64>(),
        };
        if !cost.is_finite() {
            let place = format!("the output, sample {}", samples.first + sample);
            return Err(not_finite("the cost", place));
        }
        loss += cost;
    }
    Ok((loss, correct))
}

/// −ln p of a label. The probability itself may be too small for a number, or too close to one.
fn cross_entropy<T: Scalar>(logits: &[T], label: usize) -> f64 {
    let logit = |i: usize| logits[i].double();
    let most = (0..logits.len()).max_by(|&i, &j| logit(i).total_cmp(&logit(j))).unwrap_or(label);
    let others = (0..logits.len()).filter(|i| *i != most);
    let rest: f64 = others.map(|i| (logit(i) - logit(most)).exp()).sum();
    logit(most) - logit(label) + rest.ln_1p()
}
