//! Messages of D-Bus, as bytes (D-Bus specification, "Message Protocol"): as much of them as systemd's manager takes part in.
//!
//! A message is a header of fields and a body. Every value stands where its offset is a multiple of its alignment; the
//! header is padded to a multiple of eight, so that the body can be put together by itself. We write little-endian, and
//! read what is little-endian: both ends are on one machine.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// More than any message that we ask for.
const LONGEST: usize = 1 << 20;
/// The part of a header that says how long the rest is.
pub(super) const FIXED: usize = 16;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Failure,
    Signal,
}

/// A value that goes into a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Truth(bool),
    /// `t`
    Number(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
}

/// A property of a unit.
pub type Property = (Cow<'static, str>, Value);

/// Bytes that are put together, with the types of what is in them.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
    signature: String,
}

impl Body {
    pub(super) fn text(mut self, text: &str) -> Self {
        self.signature.push('s');
        put_text(&mut self.bytes, text);
        self
    }

    pub(super) fn truth(mut self, truth: bool) -> Self {
        self.signature.push('b');
        put_u32(&mut self.bytes, truth.into());
        self
    }

    /// `au`
    pub(super) fn numbers(mut self, all: &[u32]) -> Self {
        self.signature.push_str("au");
        put_numbers(&mut self.bytes, all);
        self
    }

    /// `a(sv)`: the properties of a unit.
    pub(super) fn properties(mut self, all: &[Property]) -> Self {
        self.signature.push_str("a(sv)");
        put_array(&mut self.bytes, 8, |bytes| {
            for (name, value) in all {
                pad(bytes, 8);
                put_text(bytes, name);
                put_variant(bytes, value);
            }
        });
        self
    }

    /// `a(sa(sv))`: the units besides, of which there are none.
    pub(super) fn no_more_units(mut self) -> Self {
        self.signature.push_str("a(sa(sv))");
        put_array(&mut self.bytes, 8, |_| {});
        self
    }
}

/// Whom a call is for.
pub(super) struct Target {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// A call as bytes.
pub(super) fn call(serial: u32, target: &Target, member: &str, body: &Body) -> Vec<u8> {
    let mut out = vec![b'l', 1, 0, 1];
    put_u32(
        &mut out,
        u32::try_from(body.bytes.len()).unwrap_or(u32::MAX),
    );
    put_u32(&mut out, serial);
    put_array(&mut out, 8, |out| {
        put_field(out, 1, "o", target.path);
        put_field(out, 2, "s", target.interface);
        put_field(out, 3, "s", member);
        put_field(out, 6, "s", target.destination);
        if !body.signature.is_empty() {
            put_field(out, 8, "g", &body.signature);
        }
    });
    pad(&mut out, 8);
    out.extend_from_slice(&body.bytes);
    out
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_u32(bytes: &mut Vec<u8>, number: u32) {
    pad(bytes, 4);
    bytes.extend(number.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_u32(bytes, u32::try_from(text.len()).unwrap_or(u32::MAX));
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &str) {
    bytes.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
    bytes.extend(signature.as_bytes());
    bytes.push(0);
}

/// An array: its length in bytes, without the padding in front of its first item.
fn put_array(bytes: &mut Vec<u8>, alignment: usize, items: impl FnOnce(&mut Vec<u8>)) {
    put_u32(bytes, 0);
    let length_at = bytes.len() - 4;
    pad(bytes, alignment);
    let start = bytes.len();
    items(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = bytes.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn put_numbers(bytes: &mut Vec<u8>, all: &[u32]) {
    put_array(bytes, 4, |bytes| {
        for number in all {
            put_u32(bytes, *number);
        }
    });
}

fn put_field(bytes: &mut Vec<u8>, code: u8, signature: &str, text: &str) {
    pad(bytes, 8);
    bytes.push(code);
    put_signature(bytes, signature);
    match signature {
        "g" => put_signature(bytes, text),
        _ => put_text(bytes, text),
    }
}

fn put_variant(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Truth(truth) => {
            put_signature(bytes, "b");
            put_u32(bytes, (*truth).into());
        }
        Value::Number(number) => {
            put_signature(bytes, "t");
            pad(bytes, 8);
            bytes.extend(number.to_le_bytes());
        }
        Value::Text(text) => {
            put_signature(bytes, "s");
            put_text(bytes, text);
        }
        Value::Texts(all) => {
            put_signature(bytes, "as");
            put_array(bytes, 4, |bytes| {
                all.iter().for_each(|text| put_text(bytes, text));
            });
        }
        Value::Numbers(all) => {
            put_signature(bytes, "au");
            put_numbers(bytes, all);
        }
        Value::Bytes(all) => {
            put_signature(bytes, "ay");
            put_array(bytes, 1, |bytes| bytes.extend(all));
        }
    }
}

/// A message that has come.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The call that it answers.
    pub(super) answers: u32,
    /// What a signal is called.
    pub(super) member: String,
    /// What a failure is called.
    pub(super) failure: String,
    body: Vec<u8>,
}

/// How many bytes follow the fixed part of a header.
///
/// # Errors
/// For what is no message, or none that we could read.
pub(super) fn rest_of(fixed: &[u8; FIXED]) -> Result<usize> {
    if fixed[0] != b'l' || fixed[3] != 1 {
        return Err(Error::new(
            "no message of D-Bus, or one in another order of bytes",
        ));
    }
    let number = |at: usize| Reader { bytes: fixed, at }.u32();
    let body = number(4).unwrap_or(u32::MAX) as usize;
    let fields = number(12).unwrap_or(u32::MAX) as usize;
    match (fields <= LONGEST, body <= LONGEST) {
        (true, true) => Ok(fields.next_multiple_of(8) + body),
        _ => Err(Error::new("a message of D-Bus is longer than 1 MiB")),
    }
}

impl Message {
    /// Reads a message: the fixed part of its header and what follows.
    ///
    /// # Errors
    /// For what is cut off or is no such message.
    pub(super) fn parse(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Self> {
        let bad = || Error::new("a message of D-Bus cannot be read");
        let mut message = Self {
            kind: match fixed[1] {
                1 => Kind::Call,
                2 => Kind::Reply,
                3 => Kind::Failure,
                4 => Kind::Signal,
                _ => return Err(bad()),
            },
            answers: 0,
            member: String::new(),
            failure: String::new(),
            body: Vec::new(),
        };
        let fields = Reader {
            bytes: fixed,
            at: 12,
        }
        .u32()
        .ok_or_else(bad)? as usize;
        let mut reader = Reader { bytes: rest, at: 0 };
        while reader.at < fields {
            message.field(&mut reader).ok_or_else(bad)?;
        }
        let body = rest.get(fields.next_multiple_of(8)..);
        message.body = body.ok_or_else(bad)?.to_vec();
        Ok(message)
    }

    fn field(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.align(8);
        let code = reader.byte()?;
        match (code, &*reader.signature()?) {
            (3, "s") => self.member = reader.text()?,
            (4, "s") => self.failure = reader.text()?,
            (5, "u") => self.answers = reader.u32()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "u") => drop(reader.u32()?),
            (_, "g") => drop(reader.signature()?),
            _ => return None,
        }
        Some(())
    }

    /// What is in it, to be read in order.
    pub(super) fn body(&self) -> Reader<'_> {
        Reader {
            bytes: &self.body,
            at: 0,
        }
    }
}

/// Reads values one after the other; `None` where there is none of that kind.
#[derive(Debug)]
pub(super) struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// `u`
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// `s` or `o`
    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// `g`
    pub(super) fn signature(&mut self) -> Option<String> {
        let length = self.byte()?.into();
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target {
        destination: "d.e",
        path: "/p",
        interface: "i.f",
    };

    /// A call is read again as what it is, and cut at every byte it is an error, and no panic.
    #[test]
    fn messages_are_read_or_refused() {
        let body = Body::default().text("x.scope").truth(true).properties(&[
            ("Delegate".into(), Value::Truth(true)),
            ("PIDs".into(), Value::Numbers(vec![7, 8])),
            ("MemoryMax".into(), Value::Number(1 << 40)),
            ("AllowedCPUs".into(), Value::Bytes(vec![5])),
        ]);
        let bytes = call(9, &TARGET, "Start", &body);
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>().unwrap();
        assert_eq!(rest_of(fixed).unwrap(), rest.len());
        let message = Message::parse(fixed, rest).unwrap();
        assert_eq!((message.kind, &*message.member), (Kind::Call, "Start"));
        let mut reader = message.body();
        assert_eq!(reader.text().as_deref(), Some("x.scope"));
        assert_eq!(reader.u32(), Some(1));
        let fields = Reader {
            bytes: fixed,
            at: 12,
        }
        .u32()
        .unwrap() as usize;
        for length in 0..fields {
            assert!(Message::parse(fixed, &rest[..length]).is_err(), "{length}");
        }
        let mut long = *fixed;
        long[4..8].copy_from_slice(&[255; 4]);
        assert!(rest_of(&long).is_err());
    }

    /// Alignment and lengths as the D-Bus specification lays them out ("Marshaling").
    #[test]
    fn values_stand_where_the_specification_says() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "ab");
        put_variant(&mut bytes, &Value::Number(1));
        let want = [
            2, 0, 0, 0, b'a', b'b', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes, want);
        let mut bytes = vec![0];
        put_array(&mut bytes, 8, |bytes| bytes.push(3));
        assert_eq!(bytes, [0, 0, 0, 0, 1, 0, 0, 0, 3]);
    }
}
