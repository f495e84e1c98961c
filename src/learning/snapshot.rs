//! What evolves while something learns, by name, so that it can be put away and taken up again.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::optimiser::Optimiser;
use super::score::{Score, score};
use crate::error::{Error, Result};
use crate::files::Tensors;
use crate::numerics::scalar::Scalar;
use crate::substrate::parameters::Parameters;

/// What metadata call an epoch that has begun.
const PART: &str = "part";

/// What an epoch that has begun has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Batches that were learnt from.
    pub batches: usize,
    /// Summed cost of their samples.
    pub loss: f64,
    /// How many samples were answered correctly.
    pub correct: usize,
    /// How many were learnt from.
    pub samples: usize,
    /// How often an amplitude was halved.
    pub halvings: u64,
    /// Samples that were dropped.
    pub dropped: u64,
    /// Samples that were estimated from two points.
    pub two_points: u64,
    /// How long it has taken, in s.
    pub seconds: f64,
}

impl Part {
    /// Counts a batch: summed cost, correct answers, samples.
    pub fn add(&mut self, (loss, correct, samples): (f64, usize, usize)) {
        self.batches += 1;
        self.loss += loss;
        self.correct += correct;
        self.samples += samples;
    }

    /// Mean cost and accuracy so far.
    #[must_use]
    pub fn score(&self) -> Score {
        score(self.loss, self.correct, self.samples)
    }

    /// Checks that an epoch of so many batches can have come to this.
    ///
    /// # Errors
    /// [`Error::Input`] if it cannot: the checkpoint, from which alone it can be, is damaged.
    pub fn check(&self, batches: usize) -> Result<()> {
        if self.batches <= batches {
            return Ok(());
        }
        let found = format!("found {} batches", self.batches);
        let legal = format!("at most {batches}, as many as an epoch has");
        Err(Error::input("the checkpoint", "metadata.part.batches", found, legal))
    }
}

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

    /// Notes what the present epoch has come to, if it has begun.
    pub fn put_part(&mut self, part: &Part) {
        if part.batches > 0 {
            self.arrays.metadata.insert(PART.into(), json!(part).to_string());
        }
    }

    /// What [`Self::put_part`] has noted.
    ///
    /// # Errors
    /// [`Error::Input`] for what no epoch can have come to.
    pub fn part(&self) -> Result<Part> {
        let Some(text) = self.arrays.metadata.get(PART) else { return Ok(Part::default()) };
        let part = serde_json::from_str::<Part>(text);
        let sound = |part: &Part| {
            let positive = [part.loss, part.seconds].iter().all(|x| x.is_finite() && *x >= 0.0);
            // A batch has a sample at least, and none is counted beyond what a number holds.
            let counted = [part.samples as u64, part.halvings, part.dropped, part.two_points];
            let few = counted.iter().all(|count| *count < 1 << 53);
            positive && few && (1..=part.samples).contains(&part.batches) && part.correct <= part.samples
        };
        part.ok().filter(sound).ok_or_else(|| {
            let found = format!("found {text:?} for `{PART}`");
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

/// What learns in epochs, and can be put away and taken up again, within an epoch too where [`Part`] is a part of it.
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
