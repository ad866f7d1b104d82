//! A document is read into a field.

use std::borrow::Cow;

use super::place::{line_and_column, path_at};
use super::{Field, Fit, Given, text};
use crate::error::{Error, Result};

/// How many objects and lists may stand in each other: what reads them needs the stack for it.
const DEEPEST: usize = 127;
/// More keys than anybody wants in an object.
const MOST_KEYS: usize = 10_000;

/// What is wrong with a document.
pub(crate) struct Fault {
    /// What it is.
    why: String,
    /// The path of the field: `process.rlimits[1].type`; empty outside of all.
    path: String,
    /// Counted from 1.
    line: usize,
    /// Counted from 1, in bytes.
    column: usize,
    /// Whether it could be a comment, which JSON has not.
    comment: bool,
}

/// Reads a document; `file` is what to call it in an error.
///
/// # Errors
/// Says the field, what is wrong with it, the line and the column.
pub(crate) fn read<T: Field + Default>(document: &[u8], file: &str) -> Result<T> {
    let mut value = T::default();
    match fill(&mut value, document) {
        Ok(()) => Ok(value),
        Err(fault) => Err(fault.into_error(file)),
    }
}

/// Reads a list of texts, as people type it.
///
/// # Errors
/// For anything else.
pub fn texts(document: &str) -> Result<Vec<String>> {
    read(document.as_bytes(), "list")
}

impl Fault {
    /// What is wrong, and in which line.
    fn place(&self) -> String {
        format!("{} (line {}, column {})", self.why, self.line, self.column)
    }

    /// What is wrong, and where.
    pub(crate) fn said(&self) -> String {
        match self.path.as_str() {
            "" => self.place(),
            path => format!("{path}: {}", self.place()),
        }
    }

    fn into_error(self, file: &str) -> Error {
        let at = match self.path.as_str() {
            "" => file.to_owned(),
            path => format!("{file}: {path}"),
        };
        Error::new("cannot read")
            .on(at)
            .because(self.place())
            .hint_maybe(self.comment.then_some("JSON has no comments"))
    }
}

/// Reads a document into a fresh field.
pub(crate) fn fill(field: &mut dyn Field, document: &[u8]) -> std::result::Result<(), Fault> {
    let (text, valid) = match std::str::from_utf8(document) {
        Ok(text) => (text, document.len()),
        Err(error) => ("", error.valid_up_to()),
    };
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    let read = match valid == document.len() {
        true => reader.document(field),
        false => Err(At(valid, "not UTF-8".into())),
    };
    read.map_err(|At(at, why)| {
        let (line, column) = line_and_column(document, at);
        Fault {
            why,
            path: path_at(document, at),
            line,
            column,
            comment: document.get(at) == Some(&b'/'),
        }
    })
}

/// Where something is wrong, and what.
struct At(usize, String);

type Read<T> = std::result::Result<T, At>;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn document(&mut self, field: &mut dyn Field) -> Read<()> {
        self.value(Some(field))?;
        match self.next() {
            None => Ok(()),
            Some(_) => self.wrong("trailing characters"),
        }
    }

    /// The next byte that is no blank, which stays the next.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let blanks = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += blanks.count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, why: &str) -> Read<T> {
        let end = self.at >= self.text.len();
        Err(At(
            self.at,
            if end {
                format!("{why}, and it ends here")
            } else {
                why.into()
            },
        ))
    }

    /// Takes the byte that is expected.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.next() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Reads a value into a field, or nowhere. Says whether there was one: `null` is none.
    fn value(&mut self, mut field: Option<&mut dyn Field>) -> Read<bool> {
        let first = self.next();
        let start = self.at;
        let text;
        let given = match first {
            Some(b'{') => Given::Object,
            Some(b'[') => Given::List,
            Some(b'"') => {
                text = self.string()?;
                Given::Text(&text)
            }
            Some(b'-' | b'0'..=b'9') => Given::Number(self.number()?),
            Some(b't') => self.word("true", Given::Truth(true))?,
            Some(b'f') => self.word("false", Given::Truth(false))?,
            Some(b'n') => self.word("null", Given::Null)?,
            _ => return self.wrong("a value is expected"),
        };
        if let Some(field) = &mut field {
            give(start, *field, &given)?;
        }
        match given {
            Given::Object => self.within(field, Self::object)?,
            Given::List => self.within(field, Self::list)?,
            _ => {}
        }
        Ok(!matches!(given, Given::Null))
    }

    fn word<'g>(&mut self, word: &str, given: Given<'g>) -> Read<Given<'g>> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return self.wrong("a value is expected");
        }
        self.at += word.len();
        Ok(given)
    }

    /// A number as it is written: `-1.5e3`.
    fn number(&mut self) -> Read<&'t str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match number_length(rest.as_bytes()) {
            Some(length) => {
                self.at += length;
                Ok(rest.get(..length).unwrap_or_default())
            }
            None => self.wrong("not a number"),
        }
    }

    fn string(&mut self) -> Read<Cow<'t, str>> {
        let inside = self.text.get(self.at + 1..).unwrap_or_default();
        match text::read(inside) {
            Ok((text, length)) => {
                self.at += 1 + length;
                Ok(text)
            }
            Err((at, why)) => Err(At(self.at + 1 + at, why.into())),
        }
    }

    /// An object or a list, if it does not stand in too many.
    fn within(
        &mut self,
        field: Option<&mut dyn Field>,
        read: fn(&mut Self, Option<&mut dyn Field>) -> Read<()>,
    ) -> Read<()> {
        if self.depth == DEEPEST {
            return self.wrong("nested deeper than 127 levels");
        }
        self.depth += 1;
        self.at += 1;
        read(self, field)?;
        self.depth -= 1;
        Ok(())
    }

    fn list(&mut self, mut field: Option<&mut dyn Field>) -> Read<()> {
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(match &mut field {
                Some(field) => field.item(),
                None => None,
            })?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.wrong("a comma or the end of the list is expected");
            }
        }
    }

    fn object(&mut self, mut field: Option<&mut dyn Field>) -> Read<()> {
        let start = self.at - 1;
        let mut keys: Vec<(Cow<'t, str>, bool)> = Vec::new();
        let mut ends = self.take(b'}');
        while !ends {
            if self.next() != Some(b'"') {
                return self.wrong("a key in quotes is expected");
            }
            let at = self.at;
            let key = self.string()?;
            // In order, so that many are soon compared.
            let place = match keys.binary_search_by(|(known, _)| known.cmp(&key)) {
                Err(place) if keys.len() < MOST_KEYS => place,
                Err(_) => return Err(At(at, "more than 10000 keys".into())),
                Ok(_) => {
                    let why = format!("the key '{key}' stands twice in one object");
                    return Err(At(self.at, why));
                }
            };
            if !self.take(b':') {
                return self.wrong("a colon is expected");
            }
            let member = match &mut field {
                Some(field) => {
                    no_nul(at, &key)?;
                    field.member(&key)
                }
                None => None,
            };
            let there = self.value(member)?;
            keys.insert(place, (key, there));
            ends = self.take(b'}');
            if !ends && !self.take(b',') {
                return self.wrong("a comma or the end of the object is expected");
            }
        }
        match field.and_then(|field| field.lacks(&keys)) {
            Some(name) => Err(At(start, format!("'{}' is missing", name.written()))),
            None => Ok(()),
        }
    }
}

/// Gives a value to a field.
fn give(start: usize, field: &mut dyn Field, given: &Given<'_>) -> Read<()> {
    if let Given::Text(text) = given {
        no_nul(start, text)?;
    }
    let what = match (field.take(given), given) {
        (Fit::Yes, _) => return Ok(()),
        (Fit::Bad(why), _) => return Err(At(start, why)),
        (Fit::No, Given::Null) => "null".into(),
        (Fit::No, Given::Truth(truth)) => truth.to_string(),
        (Fit::No, Given::Number(written)) => format!("the number {written}"),
        (Fit::No, Given::Text(text)) => format!("the text {text:?}"),
        (Fit::No, Given::List) => "a list".into(),
        (Fit::No, Given::Object) => "an object".into(),
    };
    let why = format!("{} is expected, and not {what}", field.takes());
    Err(At(start, why))
}

/// No name and no path of the kernel's can hold a NUL, and what stands behind it would be cut off.
fn no_nul(start: usize, text: &str) -> Read<()> {
    match text.contains('\0') {
        true => Err(At(start, "a NUL character".into())),
        false => Ok(()),
    }
}

/// How long the number is that a text starts with (RFC 8259, section 6).
fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || whole > 1 && text.get(at) == Some(&b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let behind = digits(at + 1);
        if behind == 0 {
            return None;
        }
        at += 1 + behind;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let power = digits(at + 1 + sign);
        if power == 0 {
            return None;
        }
        at += 1 + sign + power;
    }
    Some(at)
}
