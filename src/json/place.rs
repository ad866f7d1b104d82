//! Where in a document something is wrong: people want the line and the field.

/// The line and the column of a byte, both counted from 1.
pub(super) fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let lines = before.iter().filter(|b| **b == b'\n').count();
    (lines + 1, before.len() - start + 1)
}

/// An object or an array that a place of a text is in.
enum Inside {
    /// With the key whose value the place is in, and whether a key comes next.
    Object(Vec<u8>, bool),
    Array(usize),
}

/// The path of the field that ends at, or holds, the byte before `end`: `process.rlimits[1].type`.
pub(super) fn path_at(text: &[u8], end: usize) -> String {
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
            (b',', Some(Inside::Object(key, next))) => (*key, *next) = (Vec::new(), true),
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
