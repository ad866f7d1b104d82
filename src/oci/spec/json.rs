//! How a config.json is read and written: what every object of it has in common.
//!
//! Unknown fields are ignored, as the specification wants. `null` stands for absent, as in the Go programs that write
//! these files. A field that is there twice is refused: two readers could take different ones. An error says where:
//! line, column and the path of the field.

use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::capability::{Capability, Set};
use crate::error::{Error, Result};

/// Declares objects: structs whose fields are named in camelCase and may all be absent.
macro_rules! objects {
    ($($(#[$about:meta])* pub struct $name:ident { $($(#[$on:meta])* pub $field:ident: $type:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {$(
            $(#[$on])*
            #[serde(deserialize_with = "Field::read", serialize_with = "Field::write", skip_serializing_if = "Field::absent")]
            pub $field: $type,
        )*}

        impl Field for $name {
            fn read<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <Option<Self> as serde::Deserialize>::deserialize(from).map(Option::unwrap_or_default)
            }
            fn write<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, to)
            }
            fn absent(&self) -> bool {
                false
            }
        }
    )*};
}
pub(super) use objects;

/// What can stand in a field.
pub(super) trait Field: Default {
    /// Reads it; `null` is its default.
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
    /// Writes it.
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;
    /// Whether it need not be written.
    fn absent(&self) -> bool;
}

macro_rules! plain_fields {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Option::<Self>::deserialize(from).map(Option::unwrap_or_default)
            }
            fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.serialize(to)
            }
            fn absent(&self) -> bool {
                false
            }
        }
    )*};
}
plain_fields!(i32, i64, u16, u32, u64);

impl Field for bool {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::<Self>::deserialize(from).map(Option::unwrap_or_default)
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.serialize(to)
    }
    fn absent(&self) -> bool {
        !self
    }
}

impl Field for String {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Option::<Plain>::deserialize(from)?;
        Ok(text.map(|plain| plain.0).unwrap_or_default())
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.serialize(to)
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

/// A text without NUL characters: no name and no path of the kernel's can hold one, and what stands behind it would be
/// cut off.
struct Plain(String);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(PlainText)
    }
}

struct PlainText;

impl Visitor<'_> for PlainText {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Plain, E> {
        match text.contains('\0') {
            true => Err(E::custom("a NUL character")),
            false => Ok(Plain(text.into())),
        }
    }
}

impl Field for OsString {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::read(from).map(Into::into)
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = self.as_bytes();
        let text = std::str::from_utf8(bytes)
            .map_err(|_| S::Error::custom(format_args!("not UTF-8: {}", bytes.escape_ascii())))?;
        to.serialize_str(text)
    }
    fn absent(&self) -> bool {
        self.is_empty()
    }
}

impl Field for PathBuf {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::read(from).map(Into::into)
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_os_str().to_owned().write(to)
    }
    fn absent(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

/// A field's value as the value of something else.
struct Item<T>(T);

impl<'de, T: Field> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::read(from).map(Self)
    }
}

/// The same to be written.
struct Shown<'a, T>(&'a T);

impl<T: Field> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.write(to)
    }
}

impl<T: Field> Field for Option<T> {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let item = Option::<Item<T>>::deserialize(from)?;
        Ok(item.map(|item| item.0))
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Shown).serialize(to)
    }
    fn absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let items = Option::<Vec<Item<T>>>::deserialize(from)?;
        Ok(items
            .unwrap_or_default()
            .into_iter()
            .map(|item| item.0)
            .collect())
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Shown))
    }
    fn absent(&self) -> bool {
        self.is_empty()
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
}

/// More keys than anybody wants: comparing each with all the others must end soon.
const MOST_KEYS: usize = 10_000;

struct Keys<T>(PhantomData<T>);

impl<'de, T: Field> Visitor<'de> for Keys<T> {
    type Value = Map<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Map<T>, A::Error> {
        let mut map: Map<T> = Map::default();
        while let Some(Plain(key)) = from.next_key()? {
            if map.value(&key).is_some() {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            if map.len() == MOST_KEYS {
                return Err(A::Error::custom("more than 10000 keys"));
            }
            map.0.push((key, from.next_value::<Item<T>>()?.0));
        }
        Ok(map)
    }

    fn visit_unit<E>(self) -> Result<Map<T>, E> {
        Ok(Map::default())
    }
}

impl<T: Field> Field for Map<T> {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Keys(PhantomData))
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(key, value)| (key, Shown(value))))
    }
    fn absent(&self) -> bool {
        self.is_empty()
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

impl Field for Capable {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        for name in Vec::<String>::read(from)? {
            match name.strip_prefix("CAP_").and_then(Capability::named) {
                Some(cap) => all.set.0 |= cap.bit(),
                None => all.unknown.push(name),
            }
        }
        Ok(all)
    }
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let known = self
            .set
            .iter()
            .map(|cap| format!("CAP_{cap}").to_ascii_uppercase());
        to.collect_seq(known.chain(self.unknown.iter().cloned()))
    }
    fn absent(&self) -> bool {
        self.set == Set::EMPTY && self.unknown.is_empty()
    }
}

/// Reads an object; `file` is what to call it in an error.
///
/// # Errors
/// Says the field, what is wrong with it, the line and the column.
pub(super) fn read<T: DeserializeOwned>(text: &[u8], file: &str) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
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
        Error::new("cannot read")
            .on(at)
            .because(format!("{what} (line {line}, column {column})"))
    })
}

/// Writes an object, indented by four spaces as runc does.
///
/// # Errors
/// For a path or a word that is no UTF-8, which JSON cannot hold.
pub(super) fn write<T: Serialize>(object: &T) -> Result<String> {
    let mut text = Vec::new();
    let how = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut to = serde_json::Serializer::with_formatter(&mut text, how);
    let cannot = |why: String| Error::new("cannot write as JSON").because(why);
    object
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
