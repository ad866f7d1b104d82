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
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
