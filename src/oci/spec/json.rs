//! How a config.json is read and written: what every object of it has in common.
//!
//! Unknown fields are ignored, as the specification wants. `null` stands for absent, as in the Go programs that write
//! these files. A field that is there twice is refused: two readers could take different ones. An error says where:
//! line, column and the path of the field.
//!
//! serde_json reads and writes; what it fills and shows is a [`Field`] behind a pointer, so that there is one reader and
//! one writer and not one for each type (150 KB).

use std::ffi::OsString;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::de::{
    DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserializer, Serialize, Serializer};

use crate::capability::{Capability, Set};
use crate::error::{Error, Result};

/// Declares objects: structs whose fields may all be absent. In the file a field has its own name in camelCase, or the
/// one that stands behind `as`; one whose name there is empty is not of the file.
macro_rules! objects {
    ($($(#[$about:meta])* pub struct $name:ident {
        $($(#[$on:meta])* pub $field:ident $(as $json:literal)?: $type:ty,)*
    })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {$($(#[$on])* pub $field: $type,)*}

        impl $crate::oci::spec::json::Field for $name {
            fn takes(&self) -> &'static str {
                "an object"
            }
            fn member(&mut self, name: &str) -> $crate::oci::spec::json::Member<'_> {
                $(if $crate::oci::spec::json::is_named(objects!(@name $field $($json)?), name) {
                    return $crate::oci::spec::json::Member::Of(&mut self.$field);
                })*
                $crate::oci::spec::json::Member::Unknown
            }
            fn shown(&self) -> $crate::oci::spec::json::Shown<'_> {
                $crate::oci::spec::json::Shown::object(&[$((objects!(@name $field $($json)?), &self.$field as &dyn $crate::oci::spec::json::Field)),*])
            }
        }
    )*};
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };
}
pub(super) use objects;

/// What can stand in a field. A fresh one has the value of a field that is absent.
pub(super) trait Field {
    /// What that is, for an error.
    fn takes(&self) -> &'static str;
    /// Takes a truth value, if such can stand here.
    fn truth(&mut self, _: bool) -> Fit {
        Fit::NotOfThisType
    }
    /// Takes a number.
    fn number(&mut self, _: i128) -> Fit {
        Fit::NotOfThisType
    }
    /// Takes a text.
    fn text(&mut self, _: &str) -> Fit {
        Fit::NotOfThisType
    }
    /// Makes room for one more item, of a list.
    fn item(&mut self) -> Option<&mut dyn Field> {
        None
    }
    /// The member of this name, of an object.
    fn member(&mut self, _: &str) -> Member<'_> {
        Member::NoObject
    }
    /// Whether it need not be written.
    fn absent(&self) -> bool {
        false
    }
    /// What is written.
    fn shown(&self) -> Shown<'_>;
}

/// Whether a value can stand in a field.
pub(super) enum Fit {
    Yes,
    NotOfThisType,
    OutOfRange,
}

/// A member of an object that has a name.
pub(super) enum Member<'a> {
    Of(&'a mut dyn Field),
    Unknown,
    NoObject,
}

/// A value on its way into a file.
pub(super) enum Shown<'a> {
    Null,
    Truth(bool),
    Signed(i64),
    Unsigned(u64),
    Text(&'a [u8]),
    /// A text made for the file.
    Made(String),
    List(Vec<Shown<'a>>),
    Object(Vec<(String, Shown<'a>)>),
}

impl<'a> Shown<'a> {
    /// An object of the members that are there, by the names of the struct.
    pub(super) fn object(members: &[(&str, &'a dyn Field)]) -> Self {
        let there = members
            .iter()
            .filter(|(name, value)| !name.is_empty() && !value.absent());
        Self::Object(
            there
                .map(|(name, value)| (camel(name).collect(), value.shown()))
                .collect(),
        )
    }
}

/// A name of a struct's field as the file has it: `oomScoreAdj` for `oom_score_adj`.
fn camel(name: &str) -> impl Iterator<Item = char> {
    let mut upper = false;
    name.chars().filter_map(move |c| {
        let was = std::mem::replace(&mut upper, c == '_');
        (c != '_').then_some(if was { c.to_ascii_uppercase() } else { c })
    })
}

/// Whether a name of the file is that of a struct's field.
pub(super) fn is_named(field: &str, name: &str) -> bool {
    !field.is_empty() && camel(field).eq(name.chars())
}

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

/// Fills a field.
struct Fill<'a>(&'a mut dyn Field);

impl Fill<'_> {
    fn took<E: serde::de::Error>(&self, fit: &Fit, value: Unexpected<'_>) -> Result<(), E> {
        match fit {
            Fit::Yes => Ok(()),
            Fit::NotOfThisType => Err(E::invalid_type(value, self)),
            Fit::OutOfRange => Err(E::invalid_value(value, self)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// More keys than anybody wants: comparing each with all the others must end soon.
const MOST_KEYS: usize = 10_000;

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.takes())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        let fit = self.0.truth(truth);
        self.took(&fit, Unexpected::Bool(truth))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        let fit = self.0.number(number.into());
        self.took(&fit, Unexpected::Unsigned(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        let fit = self.0.number(number.into());
        self.took(&fit, Unexpected::Signed(number))
    }

    /// No name and no path of the kernel's can hold a NUL, and what stands behind it would be cut off.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(E::custom("a NUL character"));
        }
        let fit = self.0.text(text);
        self.took(&fit, Unexpected::Str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while from.next_element_seed(Item(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let mut keys: Vec<String> = Vec::new();
        while let Some(key) = from.next_key::<String>()? {
            if key.contains('\0') {
                return Err(A::Error::custom("a NUL character"));
            }
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            if keys.len() == MOST_KEYS {
                return Err(A::Error::custom("more than 10000 keys"));
            }
            match self.0.member(&key) {
                Member::Of(member) => from.next_value_seed(Fill(member))?,
                Member::Unknown => drop(from.next_value::<IgnoredAny>()?),
                Member::NoObject => return Err(A::Error::invalid_type(Unexpected::Map, &self)),
            }
            keys.push(key);
        }
        Ok(())
    }
}

/// Fills one more item of a list, once it is known that there is one.
struct Item<'a>(&'a mut dyn Field);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.0.item() {
            Some(item) => from.deserialize_any(Fill(item)),
            None => Err(D::Error::invalid_type(Unexpected::Seq, &Fill(self.0))),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Truth(truth) => to.serialize_bool(*truth),
            Self::Signed(number) => to.serialize_i64(*number),
            Self::Unsigned(number) => to.serialize_u64(*number),
            Self::Made(text) => to.serialize_str(text),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => to.serialize_str(text),
                Err(_) => Err(S::Error::custom(format_args!(
                    "not UTF-8: {}",
                    bytes.escape_ascii()
                ))),
            },
            Self::List(items) => to.collect_seq(items),
            Self::Object(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Reads an object; `file` is what to call it in an error.
///
/// # Errors
/// Says the field, what is wrong with it, the line and the column.
pub(super) fn read<T: Field + Default>(text: &[u8], file: &str) -> Result<T> {
    let mut object = T::default();
    fill(&mut object, text, file)?;
    Ok(object)
}

fn fill(object: &mut dyn Field, text: &[u8], file: &str) -> Result<()> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let read = Fill(object)
        .deserialize(&mut from)
        .and_then(|()| from.end());
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let path = path_at(text, offset(text, line, column));
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        let what = what
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(what);
        let at = if path.is_empty() {
            file.to_owned()
        } else {
            format!("{file}: {path}")
        };
        // The place is that of the character or behind it.
        let near = offset(text, line, column);
        let near = text.get(near.saturating_sub(2)..near).unwrap_or_default();
        let comment = (error.is_syntax() && near.contains(&b'/')).then_some("JSON has no comments");
        Error::new("cannot read")
            .on(at)
            .because(format!("{what} (line {line}, column {column})"))
            .hint_maybe(comment)
    })
}

/// Writes an object, indented by four spaces as runc does.
///
/// # Errors
/// For a path or a word that is no UTF-8, which JSON cannot hold.
pub(super) fn write(object: &dyn Field) -> Result<String> {
    let mut text = Vec::new();
    let how = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut to = serde_json::Serializer::with_formatter(&mut text, how);
    let cannot = |why: String| Error::new("cannot write as JSON").because(why);
    object
        .shown()
        .serialize(&mut to)
        .map_err(|error| cannot(error.to_string()))?;
    String::from_utf8(text).map_err(|error| cannot(error.to_string()))
}

/// Where a line and a column are in a text, both counted from 1.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let newlines = text
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .map(|(at, _)| at + 1);
    let start = std::iter::once(0)
        .chain(newlines)
        .nth(line.saturating_sub(1));
    start.unwrap_or(0) + column
}

/// An object or an array that a place of a text is in.
enum Inside {
    /// With the key whose value the place is in, and whether a key comes next.
    Object(Vec<u8>, bool),
    Array(usize),
}

/// The path of the field that ends at, or holds, the byte before `end`: `process.rlimits[1].type`.
fn path_at(text: &[u8], end: usize) -> String {
    let mut stack = Vec::new();
    let mut rest = text.get(..end).unwrap_or(text);
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, stack.last_mut()) {
            (b'"', top) => {
                let length = string_length(rest);
                if let Some(Inside::Object(key, next @ true)) = top {
                    (*key, *next) = (rest.get(..length).unwrap_or_default().into(), false);
                }
                rest = rest.get(length + 1..).unwrap_or_default();
            }
            (b',', Some(Inside::Object(_, next))) => *next = true,
            (b',', Some(Inside::Array(index))) => *index += 1,
            (b'{', _) => stack.push(Inside::Object(Vec::new(), true)),
            (b'[', _) => stack.push(Inside::Array(0)),
            (b'}' | b']', _) => drop(stack.pop()),
            _ => {}
        }
    }
    let mut path = String::new();
    for inside in stack {
        match inside {
            Inside::Array(index) => path.push_str(&format!("[{index}]")),
            Inside::Object(key, _) if key.is_empty() => {}
            Inside::Object(key, _) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&String::from_utf8_lossy(&key));
            }
        }
    }
    path
}

/// How long a string is, up to its closing quote, or to the end of the text.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let quote = text.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    });
    quote.unwrap_or(text.len())
}
