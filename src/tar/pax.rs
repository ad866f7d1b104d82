//! The records of an extended header: `LENGTH KEY=VALUE\n` each (POSIX.1-2017, pax, "pax Extended Header").

use super::{Piece, Time, header, refuse};
use crate::decimal::decimal;
use crate::error::Result;

/// The largest extended header, and the largest long name of GNU, that is read.
pub(super) const LARGEST: u64 = 1 << 20;
/// The most attributes of one member.
const ATTRIBUTES: usize = 64;
/// The longest value of an attribute (`XATTR_SIZE_MAX`).
const ATTRIBUTE: usize = 65536;

/// What an extended header says of the member that follows. What it does not say is left as it was.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// GNU's records about a sparse file, in its formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// `realsize` of 1.0, `size` of the others.
    pub(super) size: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) map: Vec<Piece>,
    /// An offset whose length has not come yet (0.0).
    pub(super) offset: Option<u64>,
    pub(super) is_said: bool,
}

/// Splits off the first record: key, value, rest.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|b| *b == b' ')?;
    let length: usize = decimal(bytes.get(..space)?)?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let (record, end) = record
        .get(space + 1..)?
        .split_at_checked(length.checked_sub(space + 2)?)?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    (end == b"\n" && !key.is_empty()).then_some((key, value.get(1..)?, rest))
}

/// Every record: its key and its value.
fn each(bytes: &[u8], mut take: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (key, value, next) =
            record(rest).ok_or_else(|| refuse("an extended header is malformed"))?;
        take(key, value)?;
        rest = next;
    }
    Ok(())
}

/// A global header is a comment (git archive writes one): Go's reader ignores all of it, GNU's applies it to every
/// member that follows, so what would make a difference is refused.
pub(super) fn check_global(bytes: &[u8]) -> Result<()> {
    each(bytes, |key, _| match key {
        b"comment" | b"hdrcharset" | b"charset" => Ok(()),
        _ => Err(refuse("a global extended header that changes members")),
    })
}

impl Records {
    /// Reads an extended header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut records = Self::default();
        each(bytes, |key, value| records.take(key, value))?;
        if records.sparse.offset.is_some() {
            return Err(refuse("a sparse map is malformed"));
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.link, name(value)?),
            b"size" => once(&mut self.size, unsigned(value)?),
            b"uid" => once(&mut self.uid, header::id(signed(value)?)?),
            b"gid" => once(&mut self.gid, header::id(signed(value)?)?),
            b"mtime" => once(&mut self.mtime, time(value)?),
            b"atime" => once(&mut self.atime, time(value)?),
            _ => match (
                key.strip_prefix(b"SCHILY.xattr."),
                key.strip_prefix(b"GNU.sparse."),
            ) {
                (Some(attribute), _) => self.attribute(attribute, value),
                (_, Some(key)) => self.sparse.take(key, value),
                // POSIX: what is not known is ignored. So do all others.
                _ => Ok(()),
            },
        }
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        let fits = (1..=255).contains(&name.len()) && !name.contains(&0);
        if !fits || value.len() > ATTRIBUTE || self.xattrs.len() == ATTRIBUTES {
            return Err(refuse(
                "an extended attribute is malformed, or there are too many",
            ));
        }
        if self.xattrs.iter().any(|(known, _)| known == name) {
            return Err(refuse("an extended header says the same twice"));
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.is_said = true;
        match key {
            b"major" => once(&mut self.major, unsigned(value)?),
            b"minor" => once(&mut self.minor, unsigned(value)?),
            b"name" => once(&mut self.name, name(value)?),
            b"size" | b"realsize" => once(&mut self.size, unsigned(value)?),
            b"numblocks" => once(&mut self.count, unsigned(value)?),
            b"offset" => once(&mut self.offset, unsigned(value)?),
            b"numbytes" => {
                let offset = self.offset.take();
                let offset = offset.ok_or_else(|| refuse("a sparse map is malformed"))?;
                let length = unsigned(value)?;
                super::sparse::push(&mut self.map, Piece { offset, length })
            }
            b"map" => {
                let mut numbers = value.split(|b| *b == b',').map(unsigned);
                while let Some(offset) = numbers.next() {
                    let length = numbers
                        .next()
                        .ok_or_else(|| refuse("a sparse map is malformed"))?;
                    let (offset, length) = (offset?, length?);
                    super::sparse::push(&mut self.map, Piece { offset, length })?;
                }
                Ok(())
            }
            _ => Err(refuse("a sparse file in a format that is not known")),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(refuse("an extended header says the same twice")),
    }
}

fn name(value: &[u8]) -> Result<Vec<u8>> {
    if value.is_empty() || value.contains(&0) {
        return Err(refuse("a name that is empty or holds a NUL"));
    }
    Ok(value.to_vec())
}

fn unsigned(value: &[u8]) -> Result<u64> {
    decimal(value)
        .filter(|number| *number <= i64::MAX.cast_unsigned())
        .ok_or_else(|| refuse("a number in an extended header is none, or too large"))
}

fn signed(value: &[u8]) -> Result<i64> {
    unsigned(value).map(u64::cast_signed)
}

/// Seconds with a fraction, of which nanoseconds are kept.
fn time(value: &[u8]) -> Result<Time> {
    let parse = || {
        let (negative, value) = match value.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let mut parts = value.splitn(2, |b| *b == b'.');
        let whole: i64 = decimal(parts.next()?)?;
        let fraction = parts.next().unwrap_or(b"");
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        Some(match (negative, nanos) {
            (false, nanos) => Time {
                seconds: whole,
                nanos,
            },
            (true, 0) => header::seconds(-whole),
            (true, nanos) => Time {
                seconds: -whole - 1,
                nanos: 1_000_000_000 - nanos,
            },
        })
    };
    parse().ok_or_else(|| refuse("a time in an extended header is none, or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        type Parts = Option<(i64, u32)>;
        let cases: [(&[u8], Parts); 9] = [
            (b"1700000000", Some((1_700_000_000, 0))),
            (b"1.5", Some((1, 500_000_000))),
            (b"1.1234567899", Some((1, 123_456_789))),
            (b"-1", Some((-1, 0))),
            (b"-1.25", Some((-2, 750_000_000))),
            (b"1e5", None),
            (b"nan", None),
            (b"9223372036854775808", None),
            (b"", None),
        ];
        for (text, want) in cases {
            let got = time(text).ok().map(|time| (time.seconds, time.nanos));
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        let good = b"12 path=a/b\n20 SCHILY.xattr.a=b\n";
        let records = Records::parse(good).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.xattrs, [(b"a".to_vec(), b"b".to_vec())]);
        for bad in [
            &b"12 path=a/b"[..],
            b"11 path=a/b\n",
            b"13 path=a/b\n",
            b"012path=a/b\n",
            b"7 path\n",
            b"5 =b\n",
            b"0 \n",
            b"99999999999 path=x\n",
            b"12 path=a/b\n12 path=a/c\n",
            b"12 path=a\0b\n",
            b"8 path=\n",
            b"10 size=-1\n",
        ] {
            assert!(
                Records::parse(bad).is_err(),
                "{:?}",
                bad.escape_ascii().to_string()
            );
        }
    }
}
