//! How JSON is read: choices by name, objects written in part, and messages in plain words.

pub(crate) mod choice;
pub(crate) mod partial;
pub(crate) mod wording;
