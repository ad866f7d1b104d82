//! The words of an `ip` command, read one after the other, with the sentences of ip(8) for what is wrong with them.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use isobox::error::{Error, Result};

/// What is left of a command.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    all: &'a [OsString],
    at: usize,
    /// The word read last.
    last: &'a str,
}

/// The status of a command that makes no sense.
pub(super) const USAGE: u8 = 255;

impl<'a> Words<'a> {
    /// All words.
    pub(super) fn new(all: &'a [OsString]) -> Self {
        Self {
            all,
            at: 0,
            last: "",
        }
    }

    /// The next word, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<&'a str>> {
        let Some(word) = self.all.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        self.last = text(word)?;
        Ok(Some(self.last))
    }

    /// The next word, which must be there.
    pub(super) fn value(&mut self) -> Result<&'a str> {
        match self.next()? {
            Some(word) => Ok(word),
            None => {
                Err(Error::new("Command line is not complete. Try option \"help\"").status(USAGE))
            }
        }
    }

    /// The word after the last, not yet read.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.all.get(self.at)?.to_str()
    }

    /// Whether all have been read.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [OsString] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Goes back by one word.
    pub(super) fn back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    /// The word read last is wrong.
    pub(super) fn wrong(&self, why: &str) -> Error {
        wrong(self.last, why)
    }

    /// The next word as a number.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, why: &str) -> Result<T> {
        let word = self.value()?;
        let number = number(word).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.wrong(why))
    }
}

/// A word as text. Names of links and addresses are; a file need not be.
fn text(word: &OsStr) -> Result<&str> {
    word.to_str()
        .ok_or_else(|| wrong(&word.to_string_lossy(), "it is no UTF-8"))
}

/// `word` is wrong, and why.
pub(super) fn wrong(word: &str, why: &str) -> Error {
    Error::new(format!("Error: argument \"{word}\" is wrong: {why}")).status(USAGE)
}

/// `key` was given twice; `word` is the second.
pub(super) fn twice(key: &str, word: &str) -> Error {
    Error::new(format!(
        "Error: duplicate \"{key}\": \"{word}\" is the second value."
    ))
    .status(USAGE)
}

/// `word` is taken for a name, and there is one already.
pub(super) fn garbage(key: &str, word: &str) -> Error {
    Error::new(format!(
        "Error: either \"{key}\" is duplicate, or \"{word}\" is a garbage."
    ))
    .status(USAGE)
}

/// The first of `names` that `word` is a beginning of, or `word` itself: iproute2 knows some keys by their beginnings.
pub(super) fn full<'a>(word: &'a str, names: &[&'static str]) -> &'a str {
    names
        .iter()
        .find(|name| begins(word, name))
        .copied()
        .unwrap_or(word)
}

/// Whether `word` is a beginning of `name`.
pub(super) fn begins(word: &str, name: &str) -> bool {
    !word.is_empty() && name.starts_with(word)
}

/// A number as strtoul(3) reads it with base 0.
pub(super) fn number(word: &str) -> Option<u64> {
    let digits = |text: &str, base| {
        (!text.starts_with('+')).then(|| u64::from_str_radix(text, base).ok())?
    };
    match word.as_bytes() {
        [b'0', b'x' | b'X', ..] => digits(word.get(2..)?, 16),
        [b'0', _, ..] => digits(word.get(1..)?, 8),
        _ => digits(word, 10),
    }
}

/// The families of addresses that are given by word (linux/socket.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Family {
    /// Not said.
    #[default]
    Any,
    V4,
    V6,
    /// Links only (`-0`).
    Link,
}

impl Family {
    /// `AF_*`.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::V4 => 2,
            Self::V6 => 10,
            Self::Link => 17,
        }
    }

    /// Whether an address of the family with this number is meant.
    pub(super) fn takes(self, number: u8) -> bool {
        self == Self::Any || self.number() == number
    }

    /// Its name in messages and in JSON.
    pub(super) fn name(number: u8) -> &'static str {
        match number {
            2 => "inet",
            10 => "inet6",
            7 => "bridge",
            17 => "link",
            28 => "mpls",
            _ => "???",
        }
    }
}

/// An address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The address; `None` is `default`, of no family.
    pub(super) address: Option<IpAddr>,
    /// How many bits count.
    pub(super) bits: u8,
    /// Whether the length was given.
    pub(super) said: bool,
}

/// `AF_*` of an address.
pub(super) fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => Family::V4.number(),
        IpAddr::V6(_) => Family::V6.number(),
    }
}

/// The bytes of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An address of the family wanted. `any` and `default` are the zero one; IPv4 may leave out its last numbers, which ip(8)
/// takes for zeros.
pub(super) fn address(word: &str, family: Family) -> Option<IpAddr> {
    if matches!(word, "any" | "all" | "default") {
        return Some(match family {
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        });
    }
    let found = if word.contains(':') {
        word.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    } else {
        short_v4(word).map(IpAddr::from)
    };
    found.filter(|address| family.takes(family_of(*address)))
}

/// `10.1` is 10.1.0.0.
fn short_v4(word: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = word.split('.');
    for octet in &mut octets {
        match parts.next() {
            Some(part) => *octet = isobox::decimal::decimal(part)?,
            None => break,
        }
    }
    parts.next().is_none().then(|| octets.into())
}

/// `ADDRESS[/BITS]`, `default`; of IPv4 the bits may be a netmask.
pub(super) fn prefix(word: &str, family: Family) -> Result<Prefix> {
    let bad = || {
        let name = if family == Family::Any {
            "inet"
        } else {
            Family::name(family.number())
        };
        let what = if family == Family::Any {
            "any valid"
        } else {
            name
        };
        Error::new(format!(
            "Error: {what} prefix is expected rather than \"{word}\"."
        ))
        .status(1)
    };
    if matches!(word, "default" | "any" | "all") {
        return Ok(Prefix {
            address: None,
            bits: 0,
            said: false,
        });
    }
    let (name, length) = match word.split_once('/') {
        Some((name, length)) => (name, Some(length)),
        None => (word, None),
    };
    let address = address(name, family).ok_or_else(bad)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match length {
        None => most,
        Some(length) => match number(length).and_then(|bits| u8::try_from(bits).ok()) {
            Some(bits) if bits <= most => bits,
            _ => netmask(length).filter(|_| most == 32).ok_or_else(bad)?,
        },
    };
    Ok(Prefix {
        address: Some(address),
        bits,
        said: length.is_some(),
    })
}

/// The length that a netmask means.
fn netmask(word: &str) -> Option<u8> {
    let mask = u32::from(word.parse::<Ipv4Addr>().ok()?);
    let bits = mask.leading_ones();
    (mask.count_ones() == bits).then(|| u8::try_from(bits).ok())?
}

/// `02:00:00:00:00:01`: bytes in hexadecimal.
pub(super) fn hardware(word: &str) -> Result<Vec<u8>> {
    word.split(':')
        .map(|byte| {
            let read = (byte.len() <= 2)
                .then(|| u8::from_str_radix(byte, 16).ok())
                .flatten();
            read.ok_or_else(|| Error::new(format!("\"{word}\" is invalid lladdr.")))
        })
        .collect()
}

/// Whether a link may be called so.
pub(super) fn is_link_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 16
        && name != "."
        && name != ".."
        && !name.bytes().any(|b| b == b'/' || b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_has_them() {
        for (word, want) in [
            ("10", Some(10)),
            ("0x1f", Some(31)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("0x", None),
            ("9x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(number(word), want, "{word}");
        }
    }

    #[test]
    fn prefixes() {
        let read =
            |word, family| prefix(word, family).map(|p| (p.address.map(|a| a.to_string()), p.bits));
        let some = |address: &str, bits| Some((Some(address.to_owned()), bits));
        for (word, family, want) in [
            ("10.0.0.1/24", Family::Any, some("10.0.0.1", 24)),
            ("10.1", Family::Any, some("10.1.0.0", 32)),
            ("10.0.0.0/255.255.0.0", Family::V4, some("10.0.0.0", 16)),
            ("fd00::1/64", Family::Any, some("fd00::1", 64)),
            ("default", Family::V6, Some((None, 0))),
            ("10.0.0.1/33", Family::Any, None),
            ("10.0.0.1/255.0.255.0", Family::Any, None),
            ("fd00::1/129", Family::Any, None),
            ("fd00::1", Family::V4, None),
            ("10.0.0.1.2", Family::Any, None),
            ("", Family::Any, None),
            ("x", Family::Any, None),
        ] {
            assert_eq!(read(word, family).ok(), want, "{word}");
        }
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(
            hardware("02:0:ff:00:00:01").ok(),
            Some(vec![2, 0, 255, 0, 0, 1])
        );
        for bad in ["", "x", "100:0", "1::2", "1:"] {
            assert!(hardware(bad).is_err(), "{bad}");
        }
    }
}
