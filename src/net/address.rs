//! Addresses of links (rtnetlink(7), `RTM_NEWADDR`; linux/if_addr.h).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use libc::{
    IFA_ADDRESS, IFA_BROADCAST, IFA_FLAGS, IFA_LABEL, IFA_LOCAL, RTM_DELADDR, RTM_GETADDR,
    RTM_NEWADDR, RTN_LOCAL, RTPROT_KERNEL,
};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::AddressMessageBuilder;

use super::attributes::{Attributes, Written};
use super::{Answer, Connection, Message, Refusal, route};
use crate::decimal::decimal;
use crate::error::{Error, Result as Outcome};

pub use netlink_packet_route::address::AddressMessage;

/// `struct ifaddrmsg`.
const STRUCTURE: usize = 8;

/// An address with the length of its network's prefix: `10.0.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address, with the bits of the host.
    pub address: IpAddr,
    /// How many bits are the network's.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = Error;

    /// Without a length it is that of a single host.
    fn from_str(text: &str) -> Outcome<Self> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let wrong = || Error::new(format!("'{text}' is no address with a prefix length"));
        let address: IpAddr = address
            .parse()
            .map_err(|_| wrong().hint("an address looks like 10.0.0.1/24 or fd00::1/64"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let Some(prefix) = prefix else {
            return Ok(Self {
                address,
                prefix: longest,
            });
        };
        match decimal::<u8>(prefix) {
            Some(prefix) if prefix <= longest => Ok(Self { address, prefix }),
            _ => Err(wrong().because(format!("the length is a number from 0 to {longest}"))),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Cidr {
    /// The network: the address without the bits of the host.
    ///
    /// ```
    /// use isobox::net::address::Cidr;
    /// let cidr: Cidr = "10.1.2.3/20".parse()?;
    /// assert_eq!(cidr.network().to_string(), "10.1.0.0/20");
    /// # Ok::<(), isobox::error::Error>(())
    /// ```
    #[must_use]
    pub fn network(self) -> Self {
        let prefix = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                Ipv4Addr::from(u32::from(address) & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                Ipv6Addr::from(u128::from(address) & mask).into()
            }
        };
        Self { address, ..self }
    }

    /// Whether it is an address without a network.
    pub fn is_single(self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The last address of the network; of an IPv4 network the one that reaches everybody.
    pub fn last(self) -> IpAddr {
        let prefix = u32::from(self.prefix);
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv4Addr::from(u32::from(address) | host).into()
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv6Addr::from(u128::from(address) | host).into()
            }
        }
    }

    /// Whether `address` is in the network.
    pub fn holds(self, address: IpAddr) -> bool {
        let prefix = self.prefix;
        address.is_ipv4() == self.address.is_ipv4()
            && Self { address, prefix }.network() == self.network()
    }

    /// Whether the two networks have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.holds(other.address) || other.holds(self.address)
    }
}

/// What the kernel tells about an address.
#[derive(Clone)]
pub struct Address {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// How many bits of it are the network's.
    pub prefix: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// The number of its link.
    pub link: u32,
    /// `IFA_F_*`.
    pub flags: u32,
    body: Vec<u8>,
}

impl Address {
    /// Reads an `RTM_NEWADDR`.
    pub fn of(answer: Answer) -> Option<Self> {
        let body = answer.body;
        let [family, prefix, flags, scope] = *body.first_chunk()?;
        let mut address = Self {
            family,
            prefix,
            scope,
            link: u32::from_ne_bytes(*body.get(4..)?.first_chunk()?),
            flags: u32::from(flags),
            body,
        };
        address.flags = address.attributes().u32(IFA_FLAGS).unwrap_or(address.flags);
        Some(address)
    }

    /// All its attributes (`IFA_*`).
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(self.body.get(STRUCTURE..).unwrap_or_default())
    }

    /// The address itself.
    pub fn local(&self) -> Option<IpAddr> {
        let all = self.attributes();
        all.ip(IFA_LOCAL).or_else(|| all.ip(IFA_ADDRESS))
    }

    /// The other end of a point-to-point link, where it is another than [`Address::local`].
    pub fn peer(&self) -> Option<IpAddr> {
        let peer = self.attributes().ip(IFA_ADDRESS)?;
        (Some(peer) != self.local()).then_some(peer)
    }

    /// The address with the length of its prefix.
    pub fn cidr(&self) -> Option<Cidr> {
        let prefix = self.prefix;
        self.local().map(|address| Cidr { address, prefix })
    }

    /// The address that reaches everybody (IPv4).
    pub fn broadcast(&self) -> Option<IpAddr> {
        self.attributes().ip(IFA_BROADCAST)
    }

    /// Its label (IPv4): the name of the link, unless somebody gave it another.
    pub fn label(&self) -> Option<Cow<'_, str>> {
        self.attributes().text(IFA_LABEL)
    }
}

/// All addresses of a family (`AF_UNSPEC`: of all families).
///
/// # Errors
/// The kernel's answer.
pub fn all(connection: &mut Connection, family: u8) -> Result<Vec<Address>, Refusal> {
    let answers = connection.dump(every(family))?;
    Ok(answers.into_iter().filter_map(Address::of).collect())
}

/// The number of the link and the address of each of a family. A machine with many wires has many.
///
/// # Errors
/// The kernel's answer.
pub fn each(
    connection: &mut Connection,
    family: u8,
    visit: &mut dyn FnMut(u32, Cidr),
) -> Result<(), Refusal> {
    connection.each(every(family), &mut |_, body| {
        let read = || {
            let (structure, attributes) = body.split_at_checked(STRUCTURE)?;
            let attributes = Attributes::new(attributes);
            let address = attributes.ip(IFA_LOCAL);
            let cidr = Cidr {
                address: address.or_else(|| attributes.ip(IFA_ADDRESS))?,
                prefix: *structure.get(1)?,
            };
            let link = u32::from_ne_bytes(*structure.last_chunk()?);
            Some((link, cidr))
        };
        if let Some((link, cidr)) = read() {
            visit(link, cidr);
        }
    })
}

fn every(family: u8) -> Message {
    let mut structure = [0; STRUCTURE];
    structure[0] = family;
    Message::Raw(RTM_GETADDR, structure.to_vec())
}

/// The number of the link that has this address, where it is one of this namespace: the kernel looks it up, which takes it
/// as long among many as among few. Of IPv4 it does not say that of an address, but of the route that it made for it: the
/// local one that is for it alone.
pub fn holder(connection: &mut Connection, address: IpAddr) -> Option<u32> {
    if address.is_ipv6() {
        let structure = [10, 128, 0, 0, 0, 0, 0, 0];
        let request = Written::behind(&structure).with_ip(IFA_ADDRESS, address);
        let answer = connection.get(Message::Raw(RTM_GETADDR, request.bytes()));
        return Address::of(answer.ok()?).map(|found| found.link);
    }
    let route = route::to(connection, address, route::AS_IT_STANDS)?;
    let own = route.kind == RTN_LOCAL && route.protocol == RTPROT_KERNEL && route.prefix == 32;
    route.link().filter(|_| own)
}

/// The message that gives a link an address. An IPv4 network of more than two has an address for everybody; an IPv6
/// address is used at once: on a link whose other end we make too nobody can have it already, and looking for one
/// takes a second or two in which nothing works.
pub fn message(link: u32, cidr: Cidr) -> AddressMessage {
    match cidr.address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link)
            .address(address, cidr.prefix)
            .build(),
        IpAddr::V6(address) => {
            let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                .index(link)
                .address(address, cidr.prefix)
                .build();
            let flags = AddressAttribute::Flags(AddressFlags::Nodad);
            message.attributes.push(flags);
            message
        }
    }
}

/// Gives a link an address.
///
/// # Errors
/// `EEXIST` where the link has it.
pub fn add(connection: &mut Connection, message: AddressMessage) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    connection.change(Message::Address(RTM_NEWADDR, message), flags)
}

/// Gives a link an address, or changes the one it has.
///
/// # Errors
/// The kernel's answer.
pub fn replace(connection: &mut Connection, message: AddressMessage) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    connection.change(Message::Address(RTM_NEWADDR, message), flags)
}

/// Takes an address from a link.
///
/// # Errors
/// `EADDRNOTAVAIL` where it has not got it.
pub fn delete(connection: &mut Connection, message: AddressMessage) -> Result<(), Refusal> {
    connection.change(Message::Address(RTM_DELADDR, message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read() {
        let cases = [
            ("10.0.0.1/24", "10.0.0.1/24", "10.0.0.0/24"),
            ("10.0.0.1", "10.0.0.1/32", "10.0.0.1/32"),
            ("1.2.3.4/0", "1.2.3.4/0", "0.0.0.0/0"),
            ("fd00::1:2/112", "fd00::1:2/112", "fd00::1:0/112"),
            ("::1", "::1/128", "::1/128"),
            ("fd00::1/0", "fd00::1/0", "::/0"),
        ];
        for (text, want, network) in cases {
            assert_eq!(cidr(text).to_string(), want);
            assert_eq!(cidr(text).network().to_string(), network);
        }
        for bad in [
            "",
            "/",
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0/24",
            "fd00::1/129",
            "10.0.0.1/+1",
            "a/8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_overlap_or_do_not() {
        let cases = [
            ("10.0.0.1/24", "10.0.0.200/25", true),
            ("10.0.0.1/24", "10.0.1.1/24", false),
            ("10.0.0.1/8", "10.9.1.1/24", true),
            ("10.0.0.1/24", "fd00::1/8", false),
            ("fd00::1/64", "fd00::2/48", true),
        ];
        for (one, other, want) in cases {
            assert_eq!(cidr(one).overlaps(cidr(other)), want, "{one} {other}");
            assert_eq!(cidr(other).overlaps(cidr(one)), want, "{other} {one}");
        }
    }
}
