//! Netlink attributes as bytes (netlink(7), `struct nlattr`): a length, a kind, a value, and padding to four bytes.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NLA_TYPE_MASK`: the kind without the two bits that say how the value is ordered.
const KIND: u16 = 0x3fff;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `struct nlattr`.
const HEADER: usize = 4;

/// Attributes one after the other, read where they lie.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Those in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The value of the first of this kind.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }

    /// The attributes within one.
    pub fn nested(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    /// One byte.
    pub fn u8(self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    /// A number of two bytes.
    pub fn u16(self, kind: u16) -> Option<u16> {
        self.get(kind)?
            .first_chunk()
            .copied()
            .map(u16::from_ne_bytes)
    }

    /// A number of four bytes.
    pub fn u32(self, kind: u16) -> Option<u32> {
        self.get(kind)?
            .first_chunk()
            .copied()
            .map(u32::from_ne_bytes)
    }

    /// A number of four bytes that may be negative.
    pub fn i32(self, kind: u16) -> Option<i32> {
        self.get(kind)?
            .first_chunk()
            .copied()
            .map(i32::from_ne_bytes)
    }

    /// A number of eight bytes.
    pub fn u64(self, kind: u16) -> Option<u64> {
        self.get(kind)?
            .first_chunk()
            .copied()
            .map(u64::from_ne_bytes)
    }

    /// A text, without the NUL at its end. Names of links may hold any byte; what is no UTF-8 is shown as such.
    pub fn text(self, kind: u16) -> Option<Cow<'a, str>> {
        self.get(kind).map(text)
    }

    /// An IPv4 or IPv6 address, by its length.
    pub fn ip(self, kind: u16) -> Option<IpAddr> {
        self.get(kind).and_then(ip)
    }
}

/// Each attribute, as kind and value. What is cut short ends them.
impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & KIND;
        let value = self.0.get(HEADER..length)?;
        // The last one's padding may be left out.
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A text of the kernel, up to its NUL.
pub fn text(value: &[u8]) -> Cow<'_, str> {
    let end = value.iter().position(|byte| *byte == 0);
    let text = value.get(..end.unwrap_or(value.len())).unwrap_or(value);
    String::from_utf8_lossy(text)
}

/// An IPv4 or IPv6 address, by its length.
pub fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Attributes being written, behind a structure of the message's kind.
#[derive(Debug, Clone, Default)]
pub struct Written(Vec<u8>);

impl Written {
    /// Behind this structure, which is padded.
    pub fn behind(structure: &[u8]) -> Self {
        let mut bytes = structure.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self(bytes)
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        // A length that does not fit its two bytes would make the kernel read the value as attributes. No value of
        // ours is near that; one that were is cut, and refused by the kernel for its length.
        let room = usize::from(u16::MAX) - HEADER;
        let value = value.get(..room).unwrap_or(value);
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a text and its NUL.
    #[must_use]
    pub fn with_text(self, kind: u16, value: &str) -> Self {
        let value = [value.as_bytes(), &[0]].concat();
        self.with(kind, &value)
    }

    /// Adds a number of four bytes.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds an IPv4 or IPv6 address.
    #[must_use]
    pub fn with_ip(self, kind: u16, value: IpAddr) -> Self {
        match value {
            IpAddr::V4(value) => self.with(kind, &value.octets()),
            IpAddr::V6(value) => self.with(kind, &value.octets()),
        }
    }

    /// Adds attributes within one.
    #[must_use]
    pub fn with_nested(self, kind: u16, within: &Self) -> Self {
        self.with(kind | NESTED, &within.0)
    }

    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Written::default().with_text(1, "tbf");
        let bytes = Written::behind(&[9; 3])
            .with_text(3, "veth0")
            .with_u32(4, 1500)
            .with(5, &[10, 0, 0, 1])
            .with_nested(6, &inner)
            .bytes();
        let all = Attributes::new(&bytes[4..]);
        assert_eq!(all.text(3).as_deref(), Some("veth0"));
        assert_eq!(all.u32(4), Some(1500));
        assert_eq!(all.ip(5), Some(IpAddr::from([10, 0, 0, 1])));
        let within = all.nested(6).and_then(|within| within.text(1));
        assert_eq!(within.as_deref(), Some("tbf"));
        assert_eq!(all.count(), 4);
        assert_eq!(all.get(7), None);
        assert_eq!(all.u64(4), None);
    }

    #[test]
    fn what_is_cut_short_ends_them() {
        let good = Written::default().with_u32(1, 7).bytes();
        let cases: [&[u8]; 5] = [&[], &[8], &[8, 0, 1, 0, 1], &[0, 0, 1, 0], &[3, 0, 1, 0]];
        for bad in cases {
            assert_eq!(Attributes::new(bad).count(), 0, "{bad:?}");
            let both = [&good, bad].concat();
            assert_eq!(Attributes::new(&both).count(), 1, "{bad:?}");
        }
    }
}
