//! JSON from strangers: bounded in size, and read the same way by everybody.
//!
//! Parsers differ on what they make of a key that stands twice, and whoever signed or scanned a document may have read
//! the other one. So such a document is refused, at whatever depth, also where we would not have looked.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Result};

/// Reads a document; `what` names it in the error.
///
/// # Errors
/// Where it is longer than `limit` bytes, is no JSON or is followed by something, has a key twice in an object, is nested
/// deeper than 128 levels, or is not of the form wanted.
pub fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8], what: &str, limit: u64) -> Result<T> {
    if bytes.len() as u64 > limit {
        return Err(refused(what, format!("it is longer than {limit} bytes")));
    }
    let read = || -> serde_json::Result<T> {
        serde_json::from_slice::<Unambiguous>(bytes)?;
        serde_json::from_slice(bytes)
    };
    read().map_err(|e| refused(what, e.to_string()))
}

fn refused(what: &str, why: String) -> Error {
    Error::new(format!("not a valid {what}")).because(why)
}

/// Reads a list, or `null` or nothing, which programs in Go write for an empty one.
pub(super) fn null_is_empty<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Any JSON value in which no object has a key twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
    fn visit_i64<E>(self, _: i64) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
    fn visit_u64<E>(self, _: u64) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
    fn visit_f64<E>(self, _: f64) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
    fn visit_str<E>(self, _: &str) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
    fn visit_unit<E>(self) -> std::result::Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(
        self,
        mut list: A,
    ) -> std::result::Result<Unambiguous, A::Error> {
        while list.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Unambiguous, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Unambiguous>()?;
            if let Some(key) = keys.replace(key) {
                return Err(A::Error::custom(format_args!(
                    "the key '{key}' stands twice in one object"
                )));
            }
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Map = BTreeMap<String, Option<u8>>;

    #[test]
    fn one_document_has_one_meaning() {
        assert_eq!(
            parse::<Map>(br#"{"a":1,"b":null}"#, "map", 100)
                .unwrap()
                .len(),
            2
        );
        let bad = [
            (r#"{"a":1,"a":1}"#, "stands twice"),
            (r#"{"a":1} x"#, "trailing"),
            (r#"{"a":1}{}"#, "trailing"),
            ("\u{feff}{}", "expected value"),
            (r#"{"a":1e999}"#, "out of range"),
            (r#"{"a":NaN}"#, "expected"),
            (r#"{"a":-1}"#, "invalid value"),
            ("", "EOF"),
            (
                &format!("{}{}", r#"{"x":"#.repeat(200), "}".repeat(200)),
                "recursion limit",
            ),
            (&"[".repeat(1_000_000), "longer than"),
        ];
        for (text, want) in bad {
            let got = parse::<Map>(text.as_bytes(), "map", 10_000)
                .unwrap_err()
                .to_string();
            assert!(
                got.contains("not a valid map") && got.contains(want),
                "{got}"
            );
        }
        let deep = parse::<serde_json::Value>(br#"{"a":[{"x":{"y":1,"z":2,"y":3}}]}"#, "map", 100);
        assert!(deep.unwrap_err().to_string().contains("'y' stands twice"));
        assert!(parse::<Map>(b"{\"\xff\":1}", "map", 100).is_err());
    }
}
