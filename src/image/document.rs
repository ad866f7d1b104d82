//! JSON from strangers: bounded in size, and read the same way by everybody.
//!
//! Parsers differ on what they make of a key that stands twice, and whoever signed or scanned a document may have read
//! the other one. So such a document is refused, at whatever depth, also where we would not have looked.

use crate::error::{Error, Result};
use crate::json::{Field, fill};

/// Reads a document; `what` names it in the error.
///
/// # Errors
/// Where it is longer than `limit` bytes, is no JSON or is followed by something, has a key twice in an object, is nested
/// deeper than 127 levels, or is not of the form wanted.
pub(super) fn parse<T: Field + Default>(bytes: &[u8], what: &str, limit: u64) -> Result<T> {
    let mut document = T::default();
    read(&mut document, bytes, what, limit)?;
    Ok(document)
}

fn read(document: &mut dyn Field, bytes: &[u8], what: &str, limit: u64) -> Result<()> {
    let refused = |why: String| Error::new(format!("not a valid {what}")).because(why);
    if bytes.len() as u64 > limit {
        return Err(refused(format!("it is longer than {limit} bytes")));
    }
    fill(document, bytes).map_err(|fault| refused(fault.said()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    type Map = crate::json::Map<u16>;

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
            ("\u{feff}{}", "a value is expected"),
            (r#"{"a":1e999}"#, "u16 is expected"),
            (r#"{"a":NaN}"#, "a value is expected"),
            (r#"{"a":-1}"#, "and not the number -1"),
            ("", "it ends here"),
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
        let deep = format!("{}0{}", r#"{"x":"#.repeat(200), "}".repeat(200));
        let deep = parse::<Value>(deep.as_bytes(), "map", 10_000);
        assert!(deep.unwrap_err().to_string().contains("127 levels"));
        let deep = parse::<Value>(br#"{"a":[{"x":{"y":1,"z":2,"y":3}}]}"#, "map", 100);
        assert!(deep.unwrap_err().to_string().contains("'y' stands twice"));
        assert!(parse::<Map>(b"{\"\xff\":1}", "map", 100).is_err());
    }
}
