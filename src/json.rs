//! JSON (RFC 8259): how the documents of the OCI specifications, of docker and of ourselves are read and written.
//!
//! What is read is a `Field` behind a pointer, and so is what is written: there is one reader and one writer, and not
//! one for each type (150 KB). `objects!` declares structs that are such fields.
//!
//! Documents come from strangers, and everybody has to read them the same way. So a key that stands twice in an object
//! is refused, also where nobody looks: two readers could take different ones. Unknown fields are ignored, as the
//! specifications want, and `null` stands for absent, as in the Go programs that write these files. An error says
//! where: the path of the field, line and column.
//!
//! Lists and plans are printed by hand: no more than quoting is needed.
//!
//! | file | part |
//! |---|---|
//! | `json/field.rs` | what is read and written |
//! | `json/read.rs` | reading |
//! | `json/text.rs` | reading a string |
//! | `json/place.rs` | where in a document something is wrong |
//! | `json/values.rs` | what is no object: truth values, numbers, texts, lists, maps |
//! | `json/value.rs` | any JSON, to be changed and written again |
//! | `json/write.rs` | writing |

#[cfg(feature = "json")]
mod field;
#[cfg(feature = "json")]
mod place;
#[cfg(feature = "json")]
mod read;
#[cfg(all(test, feature = "json"))]
mod tests;
#[cfg(feature = "json")]
mod text;
#[cfg(feature = "json")]
mod value;
#[cfg(feature = "json")]
mod values;
#[cfg(feature = "json")]
mod write;

#[cfg(feature = "json")]
pub(crate) use field::{Case, Field, Fit, Given, Name, Shown, objects};
#[cfg(feature = "json")]
pub use read::texts;
#[cfg(feature = "json")]
pub(crate) use read::{fill, read};
#[cfg(feature = "json")]
pub use value::Value;
#[cfg(feature = "json")]
pub(crate) use values::There;
#[cfg(feature = "json")]
pub use values::{Keys, Map, Required};
#[cfg(feature = "json")]
pub(crate) use write::{compact, pretty};

/// A string as a JSON string, quotes included. Control characters are escaped.
///
/// ```
/// assert_eq!(isobox::json::quote("a\"b\n"), "\"a\\\"b\\n\"");
/// ```
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_onto(&mut out, text);
    out
}

/// The same behind what is there already.
pub(crate) fn quote_onto(out: &mut String, text: &str) {
    let is_special = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\' | 0x7f);
    let mut rest = text;
    out.push('"');
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut behind = special.chars();
        match behind.next() {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(mark @ ('"' | '\\')) => out.extend(['\\', mark]),
            other => out.push_str(&format!("\\u{:04x}", other.map_or(0, u32::from))),
        }
        rest = behind.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
