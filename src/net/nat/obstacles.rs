//! Who else drops what an entry of ours lets pass: an accept of ours ends our chain only, and every other table of the
//! hook sees the packet too. Docker sets the policy of its FORWARD chain to drop, and so do many firewalls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Result;
use crate::net::forwarding::interface_to;
use crate::net::nftables::Socket;
use crate::net::ruleset::{Hook, Packet, Place, Ruleset};

use super::Entry;

/// What will be dropped all the same, by whom, and what would help, a sentence each.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn obstacles(entries: &[Entry]) -> Result<Vec<String>> {
    let ruleset = Ruleset::read(&Socket::open()?)?;
    let mut all = Vec::new();
    for entry in entries {
        for packet in packets(entry) {
            let judgement = ruleset.judge(Hook::Forward, &packet);
            let Some(place) = judgement.dropped else {
                continue;
            };
            let will = if judgement.sure { "will be" } else { "may be" };
            all.push(format!(
                "packets of {} {will} dropped by {place}, which is not ours to change: {}",
                subject(entry),
                allowing(&place, entry, ruleset.has_chain(&place, DOCKERS))
            ));
            break;
        }
    }
    Ok(all)
}

/// The chain that Docker leaves to its users.
const DOCKERS: &str = "DOCKER-USER";

fn subject(entry: &Entry) -> String {
    match entry {
        Entry::Masquerade(subnet) => subnet.to_string(),
        Entry::Publish(publication) => publication.guest.to_string(),
    }
}

/// The command that makes an exception in the chain that drops.
pub fn allowing(place: &Place, entry: &Entry, docker: bool) -> String {
    let subject = subject(entry);
    let ipv4 = entry.address().is_ipv4();
    if place.family != "inet" && place.table == "filter" && place.chain == "FORWARD" {
        let iptables = if ipv4 { "iptables" } else { "ip6tables" };
        let chain = if docker { DOCKERS } else { "FORWARD" };
        return format!(
            "{iptables} -I {chain} -s {subject} -j ACCEPT; {iptables} -I {chain} -d {subject} -j ACCEPT"
        );
    }
    let Place {
        family,
        table,
        chain,
        ..
    } = place;
    let ip = if ipv4 { "ip" } else { "ip6" };
    let rule =
        |side| format!("nft insert rule {family} {table} {chain} {ip} {side} {subject} accept");
    format!("{}; {}", rule("saddr"), rule("daddr"))
}

/// Packets that show it: to the world and back for a subnet, from the world for a publication. The world is an
/// address that stands for nobody (RFC 5737, RFC 3849).
fn packets(entry: &Entry) -> Vec<Packet> {
    let world = match entry.address() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    };
    let guest = match entry {
        Entry::Masquerade(subnet) => second(subnet.address),
        Entry::Publish(publication) => publication.guest,
    };
    let interface = match guest {
        IpAddr::V4(guest) => interface_to(guest),
        IpAddr::V6(_) => None,
    };
    let mut out = Packet::new(guest, world);
    out.comes_by = interface;
    match entry {
        Entry::Masquerade(_) => vec![out.clone(), out.answer()],
        Entry::Publish(publication) => {
            let mut inward = Packet::new(world, guest);
            inward.leaves_by = out.comes_by;
            inward.protocol = Some(publication.protocol.number());
            inward.port = Some(publication.guest_port);
            inward.led = true;
            vec![inward]
        }
    }
}

/// An address that a guest of the network could have.
fn second(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) | 2).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) | 2).into(),
    }
}
