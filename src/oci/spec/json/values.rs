//! What can stand in a field besides an object: numbers, texts, lists, maps, capabilities.

use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Field, Fit, Member, Shown, read, write};
use crate::capability::{Capability, Set};
use crate::error::Result;

macro_rules! numbers {
    ($($type:ident $shown:ident),*) => {$(
        impl Field for $type {
            fn takes(&self) -> &'static str {
                stringify!($type)
            }
            fn number(&mut self, number: i128) -> Fit {
                match Self::try_from(number) {
                    Ok(number) => {
                        *self = number;
                        Fit::Yes
                    }
                    Err(_) => Fit::OutOfRange,
                }
            }
            fn shown(&self) -> Shown<'_> {
                Shown::$shown((*self).into())
            }
        }
    )*};
}
numbers!(i32 Signed, i64 Signed, u16 Unsigned, u32 Unsigned, u64 Unsigned);

impl Field for bool {
    fn takes(&self) -> &'static str {
        "a boolean"
    }
    fn truth(&mut self, truth: bool) -> Fit {
        *self = truth;
        Fit::Yes
    }
    fn absent(&self) -> bool {
        !self
    }
    fn shown(&self) -> Shown<'_> {
        Shown::Truth(*self)
    }
}

/// A truth value that the schema requires: written where it is false, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Required(pub bool);

impl Field for Required {
    fn takes(&self) -> &'static str {
        self.0.takes()
    }
    fn truth(&mut self, truth: bool) -> Fit {
        self.0.truth(truth)
    }
    fn shown(&self) -> Shown<'_> {
        self.0.shown()
    }
}

macro_rules! texts {
    ($($type:ident $bytes:ident),*) => {$(
        impl Field for $type {
            fn takes(&self) -> &'static str {
                "a string"
            }
            fn text(&mut self, text: &str) -> Fit {
                *self = text.into();
                Fit::Yes
            }
            fn absent(&self) -> bool {
                self.$bytes().is_empty()
            }
            fn shown(&self) -> Shown<'_> {
                Shown::Text(self.$bytes().as_bytes())
            }
        }
    )*};
}
texts!(String as_str, OsString as_os_str, PathBuf as_os_str);

impl<T: Field + Default> Field for Option<T> {
    fn takes(&self) -> &'static str {
        T::default().takes()
    }
    fn truth(&mut self, truth: bool) -> Fit {
        self.get_or_insert_default().truth(truth)
    }
    fn number(&mut self, number: i128) -> Fit {
        self.get_or_insert_default().number(number)
    }
    fn text(&mut self, text: &str) -> Fit {
        self.get_or_insert_default().text(text)
    }
    fn member(&mut self, name: &str) -> Member<'_> {
        self.get_or_insert_default().member(name)
    }
    fn absent(&self) -> bool {
        self.is_none()
    }
    fn shown(&self) -> Shown<'_> {
        self.as_ref().map_or(Shown::Null, Field::shown)
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn takes(&self) -> &'static str {
        "an array"
    }
    fn item(&mut self) -> Option<&mut dyn Field> {
        self.push(T::default());
        self.last_mut().map(|item| item as &mut dyn Field)
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn shown(&self) -> Shown<'_> {
        Shown::List(self.iter().map(Field::shown).collect())
    }
}

/// An object whose keys are data (`annotations`, `sysctl`), in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<T>(pub Vec<(String, T)>);

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Map<T> {
    type Target = [(String, T)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Map<T> {
    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&T> {
        self.iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// Gives a key a value.
    pub fn put(&mut self, key: &str, value: T) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.into(), value)),
        }
    }
}

impl Map<String> {
    /// Reads an object of texts; `file` is what to call it in an error.
    ///
    /// # Errors
    /// As [`super::Spec::parse`].
    pub fn parse(text: &[u8], file: &str) -> Result<Self> {
        read(text, file)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// None that a text has.
    pub fn to_json(&self) -> Result<String> {
        write(self)
    }
}

impl<T: Field + Default> Field for Map<T> {
    fn takes(&self) -> &'static str {
        "an object"
    }
    fn member(&mut self, name: &str) -> Member<'_> {
        self.0.push((name.into(), T::default()));
        match self.0.last_mut() {
            Some((_, value)) => Member::Of(value),
            None => Member::Unknown,
        }
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn shown(&self) -> Shown<'_> {
        let members = self.iter().map(|(key, value)| (key.clone(), value.shown()));
        Shown::Object(members.collect())
    }
}

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

/// A list of names.
impl Field for Capable {
    fn takes(&self) -> &'static str {
        "an array of strings"
    }
    fn item(&mut self) -> Option<&mut dyn Field> {
        Some(self)
    }
    fn text(&mut self, name: &str) -> Fit {
        match name.strip_prefix("CAP_").and_then(Capability::named) {
            Some(cap) => self.set.0 |= cap.bit(),
            None => self.unknown.push(name.into()),
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
