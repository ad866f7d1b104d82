//! Writing JSON text (RFC 8259). Lists and plans are printed by hand: no more than quoting is needed.

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
