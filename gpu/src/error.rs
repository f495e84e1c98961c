//! What can go wrong on a device.

/// Why a device could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no device of that number.
    #[error("found no GPU {index}: {known}")]
    Absent {
        /// The number asked for.
        index: usize,
        /// Those that there are, in words.
        known: String,
    },
    /// A device that is listed does not open.
    #[error("GPU {index} ({name}) does not open: {reason}")]
    Closed {
        /// Its number.
        index: usize,
        /// Its name.
        name: String,
        /// What the driver says.
        reason: String,
    },
    /// The network and its samples do not fit.
    #[error("GPU {name} would need {what} of {needed} MiB, and allows {allowed} MiB")]
    Size {
        /// The device.
        name: String,
        /// What is too large.
        what: &'static str,
        /// MiB that it takes.
        needed: u64,
        /// MiB that the device allows.
        allowed: u64,
    },
    /// Memory that was asked for was not to be had.
    #[error("GPU {0} has run out of memory")]
    Memory(String),
    /// The device has gone, or its driver has given up.
    #[error("GPU {name} was lost: {reason}")]
    Lost {
        /// The device.
        name: String,
        /// What the driver says.
        reason: String,
    },
}

/// A result of work on a device.
pub type Result<T> = std::result::Result<T, Error>;
