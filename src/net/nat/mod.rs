//! Address translation: what a subnet without addresses of its own needs to reach the world, and to be reached.
//!
//! ```text
//! nat add 10.9.0.0/24                   forward      from and back to the subnet: accept
//!                                       postrouting  leaving the subnet: masquerade
//! nat add --dnat 8080:10.9.0.2:80       prerouting   to a local address, tcp port 8080: lead to 10.9.0.2:80
//!                                       output       the same, for what the machine itself sends
//!                                       postrouting  from a local address to it: masquerade, or the answer
//!                                                    would go to 127.0.0.1 in there
//!                                       guard        from outside to 127.0.0.0/8: drop (route_localnet)
//! ```
//!
//! All of it stands in one table of ours, `inet isobox`, in the network namespace of the caller. The comment of a rule says
//! which entry it belongs to: the ruleset itself is the record of what we did, made with it in one batch, so that
//! nothing has to be kept elsewhere and nothing is lost with a process. The applet `nat`, `veth --nat` and
//! `container run --network bridge` come here.

mod obstacles;
mod publication;
mod table;

use std::fmt;
use std::net::IpAddr;

use crate::error::{Error, Result};

use super::address::Cidr;
use super::nftables::{Expressions, Hook, Side};

pub use obstacles::{allowing, obstacles};
pub use publication::{Port, Protocol, Publication, fields, port, ports};
pub use table::{Changed, Hooked, Line, add, entries, family_name, hooked, remove};

/// The name of our table.
pub const TABLE: &str = "isobox";

/// Longest prefix of an address.
fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// A subnet as an entry has it: the network, with at least one bit that says which.
///
/// # Errors
/// For a prefix of no bits, which would be the whole world.
pub fn subnet(cidr: Cidr) -> Result<Cidr> {
    if cidr.prefix == 0 {
        return Err(Error::new("invalid subnet")
            .on(cidr.to_string())
            .because("a prefix of 0 is the whole world"));
    }
    Ok(cidr.network())
}

/// One thing that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// What leaves this subnet gets an address of the machine.
    Masquerade(Cidr),
    /// A port leads somewhere.
    Publish(Publication),
}

impl Entry {
    /// What the comments of its rules say.
    fn comment(&self) -> String {
        match self {
            Self::Masquerade(subnet) => format!("nat {subnet}"),
            Self::Publish(publication) => format!("dnat {publication}"),
        }
    }

    /// The entry whose rules have this comment.
    fn of_comment(comment: &str) -> Option<Self> {
        match comment.split_once(' ')? {
            ("nat", network) => network.parse().ok().map(Self::Masquerade),
            ("dnat", publication) => publication.parse().ok().map(Self::Publish),
            _ => None,
        }
    }

    /// An address that says which family it is about.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Masquerade(subnet) => subnet.address,
            Self::Publish(publication) => publication.guest,
        }
    }

    /// Whether it leads into a subnet: it makes no sense without.
    pub fn belongs_to(&self, subnet: Cidr) -> bool {
        match self {
            Self::Masquerade(own) => *own == subnet,
            Self::Publish(publication) => subnet.holds(publication.guest),
        }
    }

    /// Its rules, by the chain they stand in.
    fn rules(&self) -> Vec<(Chain, Expressions)> {
        match self {
            Self::Masquerade(subnet) => subnet_rules(*subnet),
            Self::Publish(publication) => publication_rules(publication),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.comment())
    }
}

/// The chains of our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    Forward,
    Postrouting,
    Prerouting,
    Output,
    Guard,
    /// Hangs on no hook: each rule of it is a note of what a setting was before we changed it.
    Before,
}

impl Chain {
    const ALL: [Self; 6] = [
        Self::Forward,
        Self::Postrouting,
        Self::Prerouting,
        Self::Output,
        Self::Guard,
        Self::Before,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Postrouting => "postrouting",
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Guard => "guard",
            Self::Before => "before",
        }
    }

    /// The hook's number and the priorities by which nft(8) knows these places: dstnat, srcnat, filter, raw.
    fn hook(self) -> Option<Hook> {
        let (kind, number, priority) = match self {
            Self::Forward => ("filter", 2, 0),
            Self::Postrouting => ("nat", 4, 100),
            Self::Prerouting => ("nat", 0, -100),
            Self::Output => ("nat", 3, -100),
            Self::Guard => ("filter", 0, -300),
            Self::Before => return None,
        };
        Some(Hook {
            kind,
            number,
            priority,
        })
    }
}

fn subnet_rules(subnet: Cidr) -> Vec<(Chain, Expressions)> {
    let Cidr { address, prefix } = subnet;
    let is = |rule: Expressions, side, yes| rule.address(side, address, prefix, yes);
    let about = || Expressions::new().family_of(address);
    let from = || is(about(), Side::Source, true);
    let to = || is(about(), Side::Destination, true);
    vec![
        (Chain::Forward, from().counter().accept()),
        (Chain::Forward, to().is_answer().counter().accept()),
        (Chain::Forward, to().was_published().counter().accept()),
        (
            Chain::Postrouting,
            is(from(), Side::Destination, false).counter().masquerade(),
        ),
        // One of the subnet that asks for another's published port: the answer must come back through us.
        (
            Chain::Postrouting,
            is(from(), Side::Destination, true)
                .was_published()
                .counter()
                .masquerade(),
        ),
    ]
}

fn publication_rules(publication: &Publication) -> Vec<(Chain, Expressions)> {
    let Publication {
        at,
        port,
        guest,
        guest_port,
        protocol,
    } = *publication;
    let here = || {
        let about = Expressions::new().family_of(guest);
        let about = match at {
            Some(at) => about.address(Side::Destination, at, longest(at), true),
            None => about.is_local(Side::Destination),
        };
        let about = about.protocol(protocol.number()).destination_port(port);
        about.counter().lead_to(guest, guest_port)
    };
    let back = Expressions::new()
        .family_of(guest)
        .is_local(Side::Source)
        .address(Side::Destination, guest, longest(guest), true)
        .protocol(protocol.number())
        .destination_port(guest_port)
        .was_published()
        .counter()
        .masquerade();
    let mut rules = vec![
        (Chain::Prerouting, here()),
        (Chain::Output, here()),
        (Chain::Postrouting, back),
    ];
    if guest.is_ipv4() {
        let loopback = IpAddr::from([127, 0, 0, 0]);
        let guard = Expressions::new()
            .not_from_loopback()
            .family_of(guest)
            .address(Side::Destination, loopback, 8, true);
        rules.push((Chain::Guard, guard.counter().drop()));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_networks() {
        let of = |text: &str| subnet(text.parse().unwrap()).map(|cidr| cidr.to_string());
        assert_eq!(of("10.9.0.7/24").as_deref(), Ok("10.9.0.0/24"));
        assert_eq!(of("fd00:9::7/64").as_deref(), Ok("fd00:9::/64"));
        assert!(of("0.0.0.0/0").is_err());
        let entry = Entry::Masquerade("10.9.0.0/24".parse().unwrap());
        assert_eq!(Entry::of_comment(&entry.comment()), Some(entry));
        let published = Entry::Publish("8080:10.9.0.2:80".parse().unwrap());
        assert!(published.belongs_to("10.9.0.0/24".parse().unwrap()));
        assert!(!published.belongs_to("10.9.1.0/24".parse().unwrap()));
    }
}
