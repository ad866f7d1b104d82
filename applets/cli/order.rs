//! Options of which the last one wins, though each has a name of its own (`-r`, `-c`, `--map-user` of unshare(1)).
//!
//! argh reads the words from left to right into fields, where their order is lost. These two field types keep it:
//! each word that is read takes the next number.

use std::sync::atomic::{AtomicUsize, Ordering};

use argh::FromArgValue;

fn next() -> usize {
    static WORDS: AtomicUsize = AtomicUsize::new(1);
    WORDS.fetch_add(1, Ordering::Relaxed)
}

/// The place of a switch among the ordered words: an option whose `arg_name` is `[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) usize);

impl FromArgValue for Place {
    fn from_arg_value(_: &str) -> Result<Self, String> {
        Ok(Self(next()))
    }
}

/// A value, and its place among the ordered words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    /// The place.
    pub(crate) place: usize,
    /// What was given.
    pub(crate) value: T,
}

impl<T: FromArgValue> FromArgValue for At<T> {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let value = T::from_arg_value(value)?;
        Ok(Self {
            place: next(),
            value,
        })
    }
}
