//! Routes (rtnetlink(7), `RTM_NEWROUTE`; linux/rtnetlink.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{
    RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_OIF, RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTM_DELROUTE,
    RTM_GETROUTE, RTM_NEWROUTE,
};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::address::Cidr;
use super::attributes::Attributes;
use super::{Answer, Connection, Message, Refusal};

pub use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
pub use rtnetlink::RouteMessageBuilder;

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

/// The message for a route to `to` (the default route where there is none) over `gateway` and out of a link.
pub fn message(to: Option<Cidr>, gateway: IpAddr, link: Option<u32>) -> RouteMessage {
    match gateway {
        IpAddr::V4(gateway) => {
            let mut builder = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway);
            if let Some(Cidr {
                address: IpAddr::V4(address),
                prefix,
            }) = to
            {
                builder = builder.destination_prefix(address, prefix);
            }
            finished(builder, link)
        }
        IpAddr::V6(gateway) => {
            let mut builder = RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway);
            if let Some(Cidr {
                address: IpAddr::V6(address),
                prefix,
            }) = to
            {
                builder = builder.destination_prefix(address, prefix);
            }
            finished(builder, link)
        }
    }
}

/// Routes made on a command line have the protocol `boot`, as iproute2 gives it.
fn finished<T>(builder: RouteMessageBuilder<T>, link: Option<u32>) -> RouteMessage {
    let builder = builder.protocol(RouteProtocol::Boot);
    match link {
        Some(link) => builder.output_interface(link).build(),
        None => builder.build(),
    }
}

/// Adds a route.
///
/// # Errors
/// `EEXIST` where there is one like it, `ENETUNREACH` where the gateway is on no network of ours.
pub fn add(connection: &mut Connection, message: RouteMessage) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    connection.change(Message::Route(RTM_NEWROUTE, message), flags)
}

/// Adds a route, or puts it in the place of one to the same network.
///
/// # Errors
/// The kernel's answer.
pub fn replace(connection: &mut Connection, message: RouteMessage) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    connection.change(Message::Route(RTM_NEWROUTE, message), flags)
}

/// Removes a route.
///
/// # Errors
/// `ESRCH` where there is none.
pub fn delete(connection: &mut Connection, message: RouteMessage) -> Result<(), Refusal> {
    connection.change(Message::Route(RTM_DELROUTE, message), 0)
}
