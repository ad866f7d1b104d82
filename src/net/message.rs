//! What goes over a [`super::Connection`]: requests as types or bytes, answers as bytes.

use std::convert::Infallible;
use std::fmt;

use netlink_packet_core::{
    Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::address::AddressMessage;

/// A message: its kind (`RTM_NEWLINK` and so on) and what it says.
pub enum Message {
    /// On an address.
    Address(u16, AddressMessage),
    /// The bytes behind the header, as the kernel has them: what is asked for, and every answer.
    Raw(u16, Vec<u8>),
}

/// One answer: its kind and the bytes behind its header.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// `RTM_NEWLINK` and so on.
    pub kind: u16,
    /// A structure of that kind and attributes.
    pub body: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        match self {
            Self::Address(kind, _) | Self::Raw(kind, _) => *kind,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Address(_, message) => message.buffer_len(),
            Self::Raw(_, bytes) => bytes.len(),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match self {
            Self::Address(_, message) => message.emit(buffer),
            Self::Raw(_, bytes) => buffer.copy_from_slice(bytes),
        }
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self::Raw(header.message_type, payload.to_vec()))
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

/// Only its kind: netlink-proto asks for this, and telling more would take the text of every attribute along.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.message_type())
    }
}
