//! A field is written down.

use super::{Field, Shown, quote_onto};
use crate::error::{Error, Result};

/// As many spaces as most lines are indented by.
const SPACES: &str = "                                ";

/// Writes it in one line.
///
/// # Errors
/// For a path or a word that is no UTF-8, which JSON cannot hold.
pub(crate) fn compact(field: &dyn Field) -> Result<String> {
    written(field, None)
}

/// Writes it in lines, indented by so many spaces: runc does by four.
///
/// # Errors
/// As [`compact`].
pub(crate) fn pretty(field: &dyn Field, indent: usize) -> Result<String> {
    written(field, Some(indent))
}

fn written(field: &dyn Field, indent: Option<usize>) -> Result<String> {
    let mut writer = Writer {
        text: String::new(),
        indent,
        depth: 0,
    };
    writer.value(&field.shown())?;
    Ok(writer.text)
}

struct Writer {
    text: String,
    indent: Option<usize>,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Shown<'_>) -> Result<()> {
        match value {
            Shown::Null => self.text.push_str("null"),
            Shown::Truth(true) => self.text.push_str("true"),
            Shown::Truth(false) => self.text.push_str("false"),
            Shown::Signed(number) => self.text.push_str(&number.to_string()),
            Shown::Unsigned(number) => self.text.push_str(&number.to_string()),
            Shown::Raw(text) => self.text.push_str(text),
            Shown::Made(text) => quote_onto(&mut self.text, text),
            Shown::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| {
                    Error::new("cannot write as JSON")
                        .because(format!("not UTF-8: {}", bytes.escape_ascii()))
                })?;
                quote_onto(&mut self.text, text);
            }
            Shown::List(items) => {
                self.text.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.next(at == 0);
                    self.value(item)?;
                }
                self.end(']', items.is_empty());
            }
            Shown::Object(members) => {
                self.text.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    self.next(at == 0);
                    quote_onto(&mut self.text, name);
                    let colon = if self.indent.is_some() { ": " } else { ":" };
                    self.text.push_str(colon);
                    self.value(value)?;
                }
                self.end('}', members.is_empty());
            }
        }
        Ok(())
    }

    /// What stands before an item or a member.
    fn next(&mut self, first: bool) {
        if first {
            self.depth += 1;
        } else {
            self.text.push(',');
        }
        self.line();
    }

    /// What stands behind all of them.
    fn end(&mut self, bracket: char, empty: bool) {
        if !empty {
            self.depth -= 1;
            self.line();
        }
        self.text.push(bracket);
    }

    fn line(&mut self) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            let mut missing = indent * self.depth;
            while missing > 0 {
                let some = SPACES.get(..missing).unwrap_or(SPACES);
                self.text.push_str(some);
                missing -= some.len();
            }
        }
    }
}
