//! An object is written down (serde_json).

use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use super::{Field, Shown};
use crate::error::{Error, Result};

/// Writes an object, indented by four spaces as runc does.
///
/// # Errors
/// For a path or a word that is no UTF-8, which JSON cannot hold.
pub(in crate::oci::spec) fn write(object: &dyn Field) -> Result<String> {
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
