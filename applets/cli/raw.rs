//! Arguments that are bytes. argh takes `&str`, a Linux argument is any bytes but NUL, so bytes that are no
//! UTF-8 travel through argh as private characters: byte `b` as U+10FF00 + b. A genuine character of that
//! block is taken apart into its bytes likewise, so that nothing is lost and nothing can be forged.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

const BASE: u32 = 0x10_FF00;

/// The text by which `arg` travels.
pub(crate) fn encode(arg: &OsStr) -> String {
    let mut out = String::with_capacity(arg.len());
    let escape = |out: &mut String, bytes: &[u8]| {
        out.extend(
            bytes
                .iter()
                .filter_map(|b| char::from_u32(BASE + u32::from(*b))),
        );
    };
    for chunk in arg.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if u32::from(c) >= BASE {
                escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out
}

/// The argument that travelled as `text`.
pub(crate) fn decode(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c)
            .checked_sub(BASE)
            .and_then(|b| u8::try_from(b).ok())
        {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    OsString::from_vec(bytes)
}

/// An argument kept byte for byte: a path, a word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) OsString);

impl argh::FromArgValue for Raw {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        Ok(Self(decode(value)))
    }
}

impl Raw {
    /// As a text: bytes that are no UTF-8 are replaced.
    #[cfg(feature = "net")]
    pub(crate) fn to_text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// As a path.
    pub(crate) fn into_path(self) -> PathBuf {
        self.0.into()
    }
}

/// The words of a command, byte for byte.
pub(crate) fn words(raw: Vec<Raw>) -> Vec<OsString> {
    raw.into_iter().map(|word| word.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_comes_back() {
        for bytes in [
            &b"plain"[..],
            b"\xff\xfe",
            b"a\xc3",
            "\u{10FF41}x\u{10FFFF}".as_bytes(),
            "\u{10FEFF}é".as_bytes(),
        ] {
            let arg = OsStr::from_bytes(bytes);
            assert_eq!(decode(&encode(arg)), arg, "{arg:?}");
        }
    }
}
