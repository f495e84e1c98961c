//! What evolves while something learns, by name, so that it can be put away and taken up again.

use crate::error::{Error, Result};
use crate::files::Tensors;

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
