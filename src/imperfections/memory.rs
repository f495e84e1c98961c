//! What noise remembers from phase to phase, and from update to update.

use std::sync::{Mutex, PoisonError};

use super::instant::{Disturbances, Instant};
use crate::error::{Error, Result};
use crate::files::Tensors;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::substrate::neurons::network::Network;

/// The number of the one update that a run without updates is to its noise: it never starts anew.
pub const WHOLE: u64 = u64::MAX;

/// Where a phase leaves the noise of its samples for the next: an estimate is one stretch of time, and so is its noise.
#[derive(Debug)]
pub struct NoiseMemory<T: Scalar>(Mutex<Option<Remembered<T>>>);

#[derive(Debug, Clone)]
struct Remembered<T: Scalar> {
    /// The update of the weights in which it was left.
    update: u64,
    noise: Disturbances<T>,
}

impl<T: Scalar> Default for NoiseMemory<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Scalar> Clone for NoiseMemory<T> {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.with(|memory| memory.clone())))
    }
}

impl<T: Scalar> NoiseMemory<T> {
    fn with<R>(&self, f: impl FnOnce(&mut Option<Remembered<T>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands over to `noise`, freshly bound in `update`: all processes of the same update, and those that are continuous.
    #[must_use]
    pub fn resumed(&self, update: u64, mut noise: Disturbances<T>) -> Disturbances<T> {
        if let Some(before) = self.with(Option::take) {
            noise.resume(before.noise, before.update == update);
        }
        noise
    }

    /// Goes back to what another remembers.
    pub fn restore(&self, before: &Self) {
        let before = before.with(|memory| memory.clone());
        self.with(|memory| *memory = before);
    }

    /// Keeps the noise of a phase that has ended.
    pub fn keep(&self, update: u64, noise: Disturbances<T>) {
        self.with(|memory| *memory = Some(Remembered { update, noise }));
    }

    /// Lets time pass, in nominal τ, in which nothing is seen of the noise.
    pub fn pass(&self, time: f64) {
        self.with(|memory| {
            if let Some(memory) = memory {
                memory.noise.pass(time);
            }
        });
    }

    /// Adds it to a checkpoint, as the noise of place `slot`.
    pub fn save(&self, slot: usize, tensors: &mut Tensors) {
        self.with(|memory| {
            let Some(Remembered { update, noise }) = memory else { return };
            let all = *update == WHOLE;
            let (samples, rails) = noise.extent(all);
            noise.save(&format!("noise/{slot}"), all, tensors);
            tensors.metadata.insert(format!("noise/{slot}"), format!("{update} {samples} {rails}"));
        });
    }

    /// What [`Self::save`] has written of place `slot`, if anything; `instant` is the noise of the experiment.
    ///
    /// # Errors
    /// [`Error::Input`] if it is damaged, or of another network or noise.
    pub fn load(
        slot: usize,
        instant: &Instant,
        network: &Network,
        tensors: &mut Tensors,
    ) -> Result<Option<Self>> {
        let name = format!("noise/{slot}");
        let Some(text) = tensors.metadata.get(&name) else { return Ok(None) };
        let numbers: Option<Vec<u64>> = text.split(' ').map(|number| number.parse().ok()).collect();
        let Some([update, samples, rails @ (1 | 2)]) =
            numbers.as_deref().and_then(|n| <[u64; 3]>::try_from(n).ok())
        else {
            let found = format!("found {text:?} for `{name}`");
            return Err(Error::input(tensors.file(), "metadata", found, "a checkpoint written by holograd"));
        };
        // Samples beyond what the file holds are refused before there is room for them.
        let held = tensors.names().filter(|n| n.starts_with(&name)).filter_map(|n| tensors.get(n));
        let most = held.map(|array| array.values.len()).max().unwrap_or(0);
        let shape = StateShape::new(network, (samples as usize).min(most), rails as usize);
        let mut noise = Disturbances::new(instant, 0, update, &shape, network.inputs, 0);
        noise.load(&name, update == WHOLE, tensors)?;
        Ok(Some(Self(Mutex::new(Some(Remembered { update, noise })))))
    }
}
