//! What can stand in a field besides an object of known fields: truth values, numbers, texts, lists, maps.

use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Field, Fit, Name, Shown, pretty, read};
use crate::error::Result;

macro_rules! numbers {
    ($($type:ident $shown:ident),*) => {$(
        impl Field for $type {
            fn takes(&self) -> &'static str {
                stringify!($type)
            }
            fn number(&mut self, written: &str) -> Fit {
                match written.parse() {
                    Ok(number) => {
                        *self = number;
                        Fit::Yes
                    }
                    Err(_) => Fit::No,
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
    fn number(&mut self, written: &str) -> Fit {
        self.get_or_insert_default().number(written)
    }
    fn text(&mut self, text: &str) -> Fit {
        self.get_or_insert_default().text(text)
    }
    fn object(&mut self) -> bool {
        self.get_or_insert_default().object()
    }
    fn member(&mut self, name: &str) -> Option<&mut dyn Field> {
        self.get_or_insert_default().member(name)
    }
    fn lacks(&self, keys: &[(Cow<'_, str>, bool)]) -> Option<Name> {
        self.as_ref()?.lacks(keys)
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
        "a list"
    }
    fn list(&mut self) -> bool {
        true
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

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// The value of a key, to be changed; an empty one is made where there is none.
    pub fn entry(&mut self, key: &str) -> Option<&mut T>
    where
        T: Default,
    {
        if self.value(key).is_none() {
            self.0.push((key.to_owned(), T::default()));
        }
        self.0
            .iter_mut()
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
        pretty(self, 4)
    }
}

impl<T: Field + Default> Field for Map<T> {
    fn takes(&self) -> &'static str {
        "an object"
    }
    fn object(&mut self) -> bool {
        true
    }
    fn member(&mut self, name: &str) -> Option<&mut dyn Field> {
        self.0.push((name.into(), T::default()));
        self.0.last_mut().map(|(_, value)| value as &mut dyn Field)
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn shown(&self) -> Shown<'_> {
        let members = self.iter();
        Shown::Object(
            members
                .map(|(key, value)| (key.into(), value.shown()))
                .collect(),
        )
    }
}

/// The keys of an object whose values mean nothing, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(pub Vec<String>);

impl Deref for Keys {
    type Target = [String];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Field for Keys {
    fn takes(&self) -> &'static str {
        "an object"
    }
    fn object(&mut self) -> bool {
        true
    }
    fn member(&mut self, name: &str) -> Option<&mut dyn Field> {
        self.0.push(name.into());
        None
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn shown(&self) -> Shown<'_> {
        let member = |key: &'_ String| (Cow::Owned(key.clone()), Shown::Object(Vec::new()));
        Shown::Object(self.iter().map(member).collect())
    }
}

/// Whether there is anything, whatever it is. It is not written.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct There(pub(crate) bool);

impl There {
    fn yes(&mut self) -> Fit {
        self.0 = true;
        Fit::Yes
    }
}

impl Field for There {
    fn takes(&self) -> &'static str {
        "anything"
    }
    fn truth(&mut self, _: bool) -> Fit {
        self.yes()
    }
    fn number(&mut self, _: &str) -> Fit {
        self.yes()
    }
    fn text(&mut self, _: &str) -> Fit {
        self.yes()
    }
    fn list(&mut self) -> bool {
        self.0 = true;
        true
    }
    fn object(&mut self) -> bool {
        self.0 = true;
        true
    }
    fn absent(&self) -> bool {
        true
    }
    fn shown(&self) -> Shown<'_> {
        Shown::Null
    }
}
