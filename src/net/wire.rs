//! Netlink messages as bytes (netlink(7)): a builder and a reader of attributes.
//!
//! rtnetlink's types serve where a link, an address or a route is made by us. `ip` passes on whatever a person types and
//! shows whatever the kernel says, attribute by attribute, also those that no crate has a type for: it writes and reads
//! them here.

/// `struct nlmsghdr`: length, kind, flags, sequence, port.
pub const HEADER: usize = 16;

/// Flags of a request (linux/netlink.h).
pub mod flags {
    /// It is a request.
    pub const REQUEST: u16 = 1;
    /// Answer, if only with success.
    pub const ACK: u16 = 4;
    /// Answer with the object made.
    pub const ECHO: u16 = 8;
    /// Replace what exists.
    pub const REPLACE: u16 = 0x100;
    /// Do not touch what exists.
    pub const EXCL: u16 = 0x200;
    /// Make it.
    pub const CREATE: u16 = 0x400;
    /// Add to the end of what exists.
    pub const APPEND: u16 = 0x800;
    /// Give all of the table (`NLM_F_ROOT|NLM_F_MATCH`).
    pub const DUMP: u16 = 0x300;
}

/// The bits of an attribute's kind that are not its number: nested, network byte order.
const KIND: u16 = 0x3fff;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty request of this kind (`RTM_NEWLINK` ...); flags beside `NLM_F_REQUEST`.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | flags::REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        Self(bytes)
    }

    /// Its kind.
    pub fn kind(&self) -> u16 {
        two(&self.0, 4).unwrap_or(0)
    }

    /// Adds flags.
    pub fn flag(&mut self, flags: u16) {
        let all = two(&self.0, 6).unwrap_or(0) | flags;
        self.put(6, &all.to_ne_bytes());
    }

    /// Adds what follows the header of its kind (`struct ifinfomsg` ...), padded to four bytes.
    pub fn body(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self.pad();
        self
    }

    /// Writes over a part of the body; `at` counts from its start.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.put(HEADER + at, bytes);
    }

    /// A byte of the body.
    pub fn byte(&self, at: usize) -> u8 {
        self.0.get(HEADER + at).copied().unwrap_or(0)
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.open(kind);
        self.0.extend(value);
        self.close(start);
        self
    }

    /// Adds a text, which ends in a NUL byte on the wire.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.open(kind);
        self.0.extend(value.as_bytes());
        self.0.push(0);
        self.close(start);
        self
    }

    /// Adds a number of four bytes in the machine's order.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Starts an attribute that holds attributes; [`Message::end`] takes what this gives.
    pub fn begin(&mut self, kind: u16) -> usize {
        self.open(kind | NESTED)
    }

    /// The same, as the kernel's older subsystems have it: without the bit that says so.
    pub fn begin_plain(&mut self, kind: u16) -> usize {
        self.open(kind)
    }

    /// Ends the attribute that [`Message::begin`] started.
    pub fn end(&mut self, start: usize) {
        self.close(start);
    }

    /// Takes back everything behind an attribute's start: nothing was put into it.
    pub fn drop_empty(&mut self, start: usize) {
        if self.0.len() == start + 4 {
            self.0.truncate(start);
        } else {
            self.close(start);
        }
    }

    /// The attributes behind a body of so many bytes.
    pub fn attributes(&self, body: usize) -> Attributes<'_> {
        Attributes(self.0.get(HEADER + body..).unwrap_or_default())
    }

    /// The bytes to send, with their length and this sequence number filled in.
    pub fn sealed(&self, sequence: u32) -> Vec<u8> {
        let mut sealed = self.clone();
        let length = u32::try_from(sealed.0.len()).unwrap_or(u32::MAX);
        sealed.put(0, &length.to_ne_bytes());
        sealed.put(8, &sequence.to_ne_bytes());
        sealed.0
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.put(start, &length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Attributes in a row. Reading one never fails: what is cut short is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(two(self.0, 0)?);
        let kind = two(self.0, 2)? & KIND;
        let value = self.0.get(4..length)?;
        // The last one may lack its padding.
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The first of this kind.
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }

    /// Whether there is one of this kind.
    pub fn has(self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    /// Those inside the first of this kind.
    pub fn nest(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    /// A text, up to its NUL; bytes that are no UTF-8 are replaced.
    pub fn text(self, kind: u16) -> Option<std::borrow::Cow<'a, str>> {
        let value = self.get(kind)?;
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(value.get(..end)?))
    }

    /// A number of one byte.
    pub fn u8(self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    /// A number of two bytes.
    pub fn u16(self, kind: u16) -> Option<u16> {
        two(self.get(kind)?, 0)
    }

    /// A number of two bytes in network order.
    pub fn be16(self, kind: u16) -> Option<u16> {
        self.u16(kind).map(u16::from_be)
    }

    /// A number of four bytes.
    pub fn u32(self, kind: u16) -> Option<u32> {
        four(self.get(kind)?, 0)
    }

    /// A signed number of four bytes.
    pub fn i32(self, kind: u16) -> Option<i32> {
        self.u32(kind).map(u32::cast_signed)
    }

    /// A number of eight bytes.
    pub fn u64(self, kind: u16) -> Option<u64> {
        eight(self.get(kind)?, 0)
    }
}

/// Two bytes of `bytes` at `at`, in the machine's order.
pub fn two(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(part.try_into().ok()?))
}

/// Four bytes of `bytes` at `at`, in the machine's order.
pub fn four(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(part.try_into().ok()?))
}

/// Eight bytes of `bytes` at `at`, in the machine's order.
pub fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(part.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::new(16, flags::CREATE);
        message.body(&[0; 16]).text(3, "lo").number(4, 1500);
        let nest = message.begin(18);
        message.attribute(2, &[7]);
        message.end(nest);
        let empty = message.begin(19);
        message.drop_empty(empty);
        let read = message.attributes(16);
        assert_eq!(read.text(3).as_deref(), Some("lo"));
        assert_eq!(read.u32(4), Some(1500));
        assert_eq!(read.nest(18).and_then(|nest| nest.u8(2)), Some(7));
        assert!(!read.has(19));
        let sealed = message.sealed(9);
        assert_eq!(four(&sealed, 0), Some(u32::try_from(sealed.len()).unwrap()));
        assert_eq!((two(&sealed, 4), two(&sealed, 6)), (Some(16), Some(0x401)));
        assert_eq!(four(&sealed, 8), Some(9));
    }

    #[test]
    fn broken_attributes_end_the_row() {
        for bytes in [
            &[][..],
            &[1, 0],
            &[0, 0, 1, 0],
            &[3, 0, 1, 0],
            &[255, 255, 1, 0, 9],
        ] {
            assert_eq!(Attributes(bytes).next(), None, "{bytes:?}");
        }
        let unpadded = [5, 0, 1, 0, 9];
        let read: Vec<_> = Attributes(&unpadded).collect();
        assert_eq!(read, [(1, &[9][..])]);
    }
}
