//! Requests whose attributes are put together one after the other, as the words of `ip` come.
//!
//! rtnetlink's builders serve where a link, an address or a route is made by us. `ip` passes on whatever a person types,
//! also what these have no word for, and fills in the numbers of links when the request is made.

use super::attributes::Attributes;
use super::message::Message;

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its kind (`RTM_NEWLINK` ...).
    pub kind: u16,
    /// Flags beside those that every request has (`NLM_F_CREATE` ...).
    pub flags: u16,
    bytes: Vec<u8>,
}

/// Where a number of four bytes stands that is filled in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// The place of the link's number in `struct ifinfomsg`, `ifaddrmsg` and `ndmsg`.
pub const INDEX: Place = Place(4);

impl Request {
    /// One with this body (`struct ifinfomsg` ...), which is padded to four bytes.
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut request = Self {
            kind,
            flags,
            bytes: body.to_vec(),
        };
        request.pad();
        request
    }

    /// What is sent.
    pub fn message(&self) -> Message {
        Message::Raw(self.kind, self.bytes.clone())
    }

    /// A byte of the body.
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Writes over a part of the body.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes over four bytes.
    pub fn set(&mut self, at: Place, value: u32) {
        self.put(at.0, &value.to_ne_bytes());
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend(value);
        self.end(start);
        self
    }

    /// Adds a text, which ends in a NUL byte on the wire.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
        self.end(start);
        self
    }

    /// Adds a number of four bytes, and gives its place.
    pub fn number(&mut self, kind: u16, value: u32) -> Place {
        self.attribute(kind, &value.to_ne_bytes());
        Place(self.bytes.len() - 4)
    }

    /// Adds bytes that are no attribute: the body of a veth's other end, a next hop.
    pub fn raw(&mut self, bytes: &[u8]) -> Place {
        let at = self.bytes.len();
        self.bytes.extend(bytes);
        self.pad();
        Place(at)
    }

    /// The attributes behind a body of so many bytes.
    pub fn attributes(&self, body: usize) -> Attributes<'_> {
        Attributes::new(self.bytes.get(body..).unwrap_or_default())
    }

    /// The place of a number that stands `more` bytes behind another.
    pub fn behind(at: Place, more: usize) -> Place {
        Place(at.0 + more)
    }

    /// Starts an attribute that holds attributes; [`Request::end`] takes what this gives.
    pub fn begin(&mut self, kind: u16) -> usize {
        self.open(kind | NESTED)
    }

    /// The same without the bit that says so: older attributes must not have it.
    pub fn begin_plain(&mut self, kind: u16) -> usize {
        self.open(kind)
    }

    /// Ends the attribute that [`Request::begin`] started.
    pub fn end(&mut self, start: usize) {
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.put(start, &length.to_ne_bytes());
        self.pad();
    }

    /// Ends it, or takes it back where nothing was put into it.
    pub fn end_if_any(&mut self, start: usize) {
        if self.bytes.len() == start + 4 {
            self.bytes.truncate(start);
        } else {
            self.end(start);
        }
    }

    /// Writes over bytes that stand behind a place.
    pub fn put_behind(&mut self, at: Place, more: usize, bytes: &[u8]) {
        self.put(at.0 + more, bytes);
    }

    /// Writes the two bytes of a length (of a next hop) over those at its start.
    pub fn close_raw(&mut self, start: Place) {
        let length = u16::try_from(self.bytes.len() - start.0).unwrap_or(u16::MAX);
        self.put(start.0, &length.to_ne_bytes());
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        start
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut request = Request::new(16, 0x400, &[0; 16]);
        request.text(3, "lo");
        let place = request.number(4, 1);
        let nest = request.begin(18);
        request.attribute(2, &[7]);
        request.end(nest);
        let empty = request.begin(19);
        request.end_if_any(empty);
        request.set(place, 1500);
        request.set(INDEX, 9);
        let Message::Raw(kind, bytes) = request.message() else {
            panic!("not raw");
        };
        assert_eq!((kind, bytes[4]), (16, 9));
        let read = Attributes::new(&bytes[16..]);
        assert_eq!(read.text(3).as_deref(), Some("lo"));
        assert_eq!(read.u32(4), Some(1500));
        assert_eq!(read.nested(18).and_then(|nest| nest.u8(2)), Some(7));
        assert_eq!(read.get(19), None);
    }
}
