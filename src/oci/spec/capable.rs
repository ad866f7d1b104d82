//! A set of capabilities as a list of their names.

use crate::capability::{Capability, Set};
use crate::json::{Field, Fit, Given, Shown};

/// A set of capabilities, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capable {
    /// Those that this program knows.
    pub set: Set,
    /// Names that it does not know, which the specification wants to be warned of and left out.
    pub unknown: Vec<String>,
}

impl From<Set> for Capable {
    fn from(set: Set) -> Self {
        Self {
            set,
            unknown: Vec::new(),
        }
    }
}

impl Field for Capable {
    fn takes(&self) -> &'static str {
        "a list of names"
    }
    fn item(&mut self) -> Option<&mut dyn Field> {
        Some(self)
    }
    fn take(&mut self, given: &Given<'_>) -> Fit {
        match given {
            // The list, or one of its names.
            Given::Null | Given::List => {}
            Given::Text(name) => match name.strip_prefix("CAP_").and_then(Capability::named) {
                Some(cap) => self.set.0 |= cap.bit(),
                None => self.unknown.push((*name).into()),
            },
            _ => return Fit::No,
        }
        Fit::Yes
    }
    fn absent(&self) -> bool {
        self.set == Set::EMPTY && self.unknown.is_empty()
    }
    fn shown(&self) -> Shown<'_> {
        let name = |cap: Capability| format!("CAP_{cap}").to_ascii_uppercase();
        let known = self.set.iter().map(name);
        Shown::List(
            known
                .chain(self.unknown.iter().cloned())
                .map(Shown::Made)
                .collect(),
        )
    }
}
