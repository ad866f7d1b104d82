//! An object is filled from a text (serde_json).

use std::fmt;

use serde::Deserializer;
use serde::de::{
    DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::place::{offset, path_at};
use super::{Field, Fit, Member};
use crate::error::{Error, Result};

/// Reads an object; `file` is what to call it in an error.
///
/// # Errors
/// Says the field, what is wrong with it, the line and the column.
pub(in crate::oci::spec) fn read<T: Field + Default>(text: &[u8], file: &str) -> Result<T> {
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
