//! What evolves while something learns, by name, so that it can be put away and taken up again.

use super::optimiser::Optimiser;
use crate::error::{Error, Result};
use crate::files::Tensors;
use crate::numerics::scalar::Scalar;
use crate::substrate::parameters::Parameters;

/// Arrays and counters from which learning goes on to the same bits.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The arrays.
    pub arrays: Tensors,
}

impl Snapshot {
    /// Notes a counter.
    pub fn count(&mut self, name: &str, value: u64) {
        self.arrays.metadata.insert(name.into(), value.to_string());
    }

    /// A counter.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none of that name.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let text = self.arrays.metadata.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|_| {
            let found = format!("found {text:?} for `{name}`");
            Error::input(self.arrays.file(), "metadata", found, "a checkpoint written by holograd")
        })
    }

    /// Puts away what every substrate has that learns: parameters, the optimiser's memory, carried states.
    pub fn put<T: Scalar>(
        &mut self,
        parameters: &Parameters<T>,
        optimiser: &Optimiser<T>,
        states: &[Vec<T>],
    ) {
        let arrays = &mut self.arrays;
        parameters.insert_into(arrays, "parameter/");
        optimiser.first.insert_into(arrays, "first/");
        optimiser.second.insert_into(arrays, "second/");
        for (index, state) in states.iter().enumerate() {
            arrays.insert_reals(format!("state/{index}"), &[state.len()], state);
        }
        self.count("updates", optimiser.updates);
        self.count("states", states.len() as u64);
    }

    /// Takes up what [`Self::put`] has put away.
    ///
    /// # Errors
    /// [`Error::Input`] for a snapshot that is damaged or of another network.
    pub fn take<T: Scalar>(
        &mut self,
        parameters: &mut Parameters<T>,
        optimiser: &mut Optimiser<T>,
        states: &mut Vec<Vec<T>>,
    ) -> Result<()> {
        let (count, updates) = (self.counter("states")?, self.counter("updates")?);
        let arrays = &mut self.arrays;
        let shapes = parameters.shapes().clone();
        *parameters = Parameters::read(&shapes, arrays, "parameter/")?;
        optimiser.first = Parameters::read(&shapes, arrays, "first/")?;
        optimiser.second = Parameters::read(&shapes, arrays, "second/")?;
        if let Some((name, _)) =
            optimiser.second.iter().find(|(_, squares)| squares.iter().any(|x| *x < T::zero()))
        {
            let found = format!("found a mean of squares below zero in `second/{name}`");
            return Err(Error::input(arrays.file(), "", found, "a checkpoint written by holograd"));
        }
        optimiser.updates = updates;
        let state = |index| {
            let name = format!("state/{index}");
            let length = arrays.get(&name).map_or(0, |array| array.shape.iter().product());
            arrays.reals(&name, &[length])
        };
        *states = (0..count).map(state).collect::<Result<_>>()?;
        Ok(())
    }
}

/// What learns in epochs, and can be put away after each.
pub trait Learner {
    /// Epochs completed.
    fn epochs(&self) -> u64;

    /// All that evolves.
    fn snapshot(&self) -> Snapshot;

    /// Takes up what another has put away that learns the same.
    ///
    /// # Errors
    /// [`Error::Input`] for a snapshot that is damaged or of another network.
    fn restore(&mut self, snapshot: &mut Snapshot) -> Result<()>;
}
