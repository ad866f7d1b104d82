//! Routes (rtnetlink(7), `RTM_NEWROUTE`; linux/rtnetlink.h).

use std::net::IpAddr;

use libc::{
    RT_TABLE_MAIN, RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_OIF, RTA_PREFSRC, RTA_PRIORITY,
    RTA_TABLE, RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE, RTN_PROHIBIT, RTN_UNICAST, RTPROT_BOOT,
};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::address::Cidr;
use super::attributes::{Attributes, Written};
use super::{Answer, Connection, Message, Refusal};

/// `struct rtmsg`.
const STRUCTURE: usize = 12;

/// What the kernel tells about a route.
#[derive(Clone)]
pub struct Route {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// How many bits of the destination are the network's; 0 for the default route.
    pub prefix: u8,
    /// `RTPROT_*`: who made it.
    pub protocol: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// `RTN_*`.
    pub kind: u8,
    /// `RTNH_F_*` and `RTM_F_*`.
    pub flags: u32,
    body: Vec<u8>,
}

impl Route {
    /// Reads an `RTM_NEWROUTE`.
    pub fn of(answer: Answer) -> Option<Self> {
        let body = answer.body;
        let [family, prefix, _, _, _, protocol, scope, kind] = *body.first_chunk()?;
        Some(Self {
            family,
            prefix,
            protocol,
            scope,
            kind,
            flags: u32::from_ne_bytes(*body.get(8..)?.first_chunk()?),
            body,
        })
    }

    /// All its attributes (`RTA_*`).
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(self.body.get(STRUCTURE..).unwrap_or_default())
    }

    /// Where it leads; `None` for the default route.
    pub fn destination(&self) -> Option<IpAddr> {
        self.attributes().ip(RTA_DST)
    }

    /// Over whom, where it is not the neighbour's own network.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.attributes().ip(RTA_GATEWAY)
    }

    /// The number of the link that it leaves by.
    pub fn link(&self) -> Option<u32> {
        self.attributes().u32(RTA_OIF)
    }

    /// The address that packets leave with.
    pub fn source(&self) -> Option<IpAddr> {
        self.attributes().ip(RTA_PREFSRC)
    }

    /// Its metric: the lower wins.
    pub fn metric(&self) -> Option<u32> {
        self.attributes().u32(RTA_PRIORITY)
    }

    /// Attributes of the way itself (`RTAX_*`).
    pub fn metrics(&self) -> Option<Attributes<'_>> {
        self.attributes().nested(RTA_METRICS)
    }

    /// The number of its table.
    pub fn table(&self) -> u32 {
        let low = || self.body.get(4).copied().map_or(0, u32::from);
        self.attributes().u32(RTA_TABLE).unwrap_or_else(low)
    }
}

/// All routes of a family (`AF_UNSPEC`: of all families), of all tables.
///
/// # Errors
/// The kernel's answer.
pub fn all(connection: &mut Connection, family: u8) -> Result<Vec<Route>, Refusal> {
    let mut structure = [0; STRUCTURE];
    structure[0] = family;
    let answers = connection.dump(Message::Raw(RTM_GETROUTE, structure.to_vec()))?;
    Ok(answers.into_iter().filter_map(Route::of).collect())
}

/// `RTM_F_FIB_MATCH` (Linux 4.13): a route as it stands in its table, with its own link, where that is one to ourselves.
pub const AS_IT_STANDS: u32 = 0x2000;

/// The way that the kernel would take to an address; `None` where it has none. `flags` are `RTM_F_*`.
pub fn to(connection: &mut Connection, address: IpAddr, flags: u32) -> Option<Route> {
    let (family, length) = match address {
        IpAddr::V4(_) => (libc::AF_INET, 32),
        IpAddr::V6(_) => (libc::AF_INET6, 128),
    };
    let mut structure = [0; STRUCTURE];
    structure[0] = u8::try_from(family).unwrap_or(0);
    structure[1] = length;
    structure[8..].copy_from_slice(&flags.to_ne_bytes());
    let request = Written::behind(&structure).with_ip(RTA_DST, address);
    let answer = connection.get(Message::Raw(RTM_GETROUTE, request.bytes()));
    Route::of(answer.ok()?)
}

/// A route to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where it leads; the default route where there is none.
    pub to: Option<Cidr>,
    /// Who passes packets on.
    pub gateway: IpAddr,
    /// The number of the link that they leave by.
    pub link: u32,
}

impl Way {
    /// An ordinary route of the main table, made by a command line (`RTPROT_BOOT`), as iproute2 makes it.
    fn message(self, kind: u16) -> Message {
        let family = match self.gateway {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        let prefix = self.to.map_or(0, |to| to.prefix);
        let mut structure = [0; STRUCTURE];
        structure[0] = u8::try_from(family).unwrap_or(0);
        structure[1] = prefix;
        structure[4] = RT_TABLE_MAIN;
        structure[5] = RTPROT_BOOT;
        structure[7] = RTN_UNICAST;
        let mut message = Written::behind(&structure);
        if let Some(to) = self.to {
            message = message.with_ip(RTA_DST, to.network().address);
        }
        let message = message
            .with_ip(RTA_GATEWAY, self.gateway)
            .with_u32(RTA_OIF, self.link);
        Message::Raw(kind, message.bytes())
    }
}

/// Adds a route.
///
/// # Errors
/// `EEXIST` where there is one like it, `ENETUNREACH` where the gateway is on no network of ours.
pub fn add(connection: &mut Connection, way: Way) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    connection.change(way.message(RTM_NEWROUTE), flags)
}

/// Has nothing be sent to these addresses of IPv4: who tries is told that it is prohibited.
///
/// # Errors
/// `EEXIST` where there is one like it.
pub fn prohibit(connection: &mut Connection, to: Cidr) -> Result<(), Refusal> {
    let mut structure = [0; STRUCTURE];
    structure[0] = u8::try_from(libc::AF_INET).unwrap_or(0);
    structure[1] = to.prefix;
    structure[4] = RT_TABLE_MAIN;
    structure[5] = RTPROT_BOOT;
    structure[7] = RTN_PROHIBIT;
    let message = Written::behind(&structure).with_ip(RTA_DST, to.network().address);
    let message = Message::Raw(RTM_NEWROUTE, message.bytes());
    connection.change(message, NLM_F_CREATE | NLM_F_EXCL)
}

/// Adds a route, or puts it in the place of one to the same network.
///
/// # Errors
/// The kernel's answer.
pub fn replace(connection: &mut Connection, way: Way) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    connection.change(way.message(RTM_NEWROUTE), flags)
}

/// Removes a route.
///
/// # Errors
/// `ESRCH` where there is none.
pub fn delete(connection: &mut Connection, way: Way) -> Result<(), Refusal> {
    connection.change(way.message(RTM_DELROUTE), 0)
}
