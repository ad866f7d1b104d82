//! A packet as far as it is known.

use std::net::IpAddr;

/// States of a connection, as the packet filter numbers them (`NF_CT_STATE_BIT`, and what nft(8) calls them).
pub mod state {
    /// Answers belong to it.
    pub const ESTABLISHED: u32 = 2;
    /// Its first packet.
    pub const NEW: u32 = 8;
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// `IPPROTO_*`, where it matters.
    pub protocol: Option<u8>,
    /// The port it goes to, where it matters.
    pub port: Option<u16>,
    /// The interface that it came in by, where that is known.
    pub comes_by: Option<String>,
    /// The interface that it leaves by, where that is known.
    pub leaves_by: Option<String>,
    /// The state of its connection.
    pub state: u32,
    /// Whether its destination has been changed on the way.
    pub led: bool,
}

/// Bytes of which some are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known(pub(super) Vec<Option<u8>>);

impl Known {
    /// All known.
    pub(super) fn all(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().map(Some).collect())
    }

    /// So many that are not.
    pub(super) fn nothing(length: usize) -> Self {
        Self(vec![None; length])
    }
}

impl Packet {
    /// A first packet from one address to another, of nothing in particular.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source,
            destination,
            protocol: None,
            port: None,
            comes_by: None,
            leaves_by: None,
            state: state::NEW,
            led: false,
        }
    }

    /// The answer to it.
    #[must_use]
    pub fn answer(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            port: None,
            comes_by: self.leaves_by.clone(),
            leaves_by: self.comes_by.clone(),
            state: state::ESTABLISHED,
            led: self.led,
        }
    }

    /// Its network header.
    pub(super) fn network_header(&self) -> Known {
        let (length, protocol, source, destination) = match self.source {
            IpAddr::V4(_) => (20, 9, 12, 16),
            IpAddr::V6(_) => (40, 6, 8, 24),
        };
        let mut header = Known::nothing(length);
        put(
            &mut header,
            protocol,
            &self.protocol.map_or_else(Vec::new, |one| vec![one]),
        );
        put(&mut header, source, &octets(self.source));
        put(&mut header, destination, &octets(self.destination));
        header
    }

    /// Its transport header.
    pub(super) fn transport_header(&self) -> Known {
        let mut header = Known::nothing(8);
        if let Some(port) = self.port {
            put(&mut header, 2, &port.to_be_bytes());
        }
        header
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn put(header: &mut Known, at: usize, bytes: &[u8]) {
    for (to, from) in header.0.iter_mut().skip(at).zip(bytes) {
        *to = Some(*from);
    }
}
