//! What can stand in a field besides an object of known fields: truth values, numbers, texts, lists, maps.

use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Field, Fit, Given, Name, Shown, pretty, read};
use crate::error::Result;

macro_rules! numbers {
    ($($type:ident $shown:ident),*) => {$(
        impl Field for $type {
            fn takes(&self) -> &'static str {
                stringify!($type)
            }
            fn take(&mut self, given: &Given<'_>) -> Fit {
                match given {
                    Given::Null => Fit::Yes,
                    Given::Number(written) => written.parse().map(|number| *self = number).is_ok().into(),
                    _ => Fit::No,
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        if let Given::Truth(truth) = given {
            *self = *truth;
        }
        matches!(given, Given::Truth(_) | Given::Null).into()
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        self.0.take(given)
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
            fn take(&mut self, given: &Given<'_>) -> Fit {
                if let Given::Text(text) = given {
                    *self = (*text).into();
                }
                matches!(given, Given::Text(_) | Given::Null).into()
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        match given {
            Given::Null => Fit::Yes,
            _ => self.get_or_insert_default().take(given),
        }
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        matches!(given, Given::List | Given::Null).into()
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
    /// Says the field, what is wrong with it, the line and the column.
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        matches!(given, Given::Object | Given::Null).into()
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
    fn take(&mut self, given: &Given<'_>) -> Fit {
        matches!(given, Given::Object | Given::Null).into()
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

impl Field for There {
    fn takes(&self) -> &'static str {
        "anything"
    }
    fn take(&mut self, given: &Given<'_>) -> Fit {
        self.0 = !matches!(given, Given::Null);
        Fit::Yes
    }
    fn absent(&self) -> bool {
        true
    }
    fn shown(&self) -> Shown<'_> {
        Shown::Null
    }
}
