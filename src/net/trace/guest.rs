//! The namespace itself: from its interfaces to the door.

use std::net::IpAddr;

use libc::{RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNREACHABLE};

use super::below::{LOWER_UP, Place, no_carrier};
use super::{Case, Exit, Finding, Side};
use crate::error::{Doing, Result};
use crate::net::address::{Address, Cidr};
use crate::net::link::Link;
use crate::net::nat::{Entry, allowing};
use crate::net::route;
use crate::net::ruleset::{Hook, Packet};

/// `IFF_LOOPBACK`.
const LOOPBACK: u32 = 1 << 3;

/// Looks at everything up to the first packet; `None` where a fault was found.
pub(super) fn to_the_door(
    case: &Case,
    side: &mut Side,
    findings: &mut Vec<Finding>,
) -> Result<Option<Exit>> {
    let enter = &case.enter;
    let lo = side.links.iter().find(|link| link.flags & LOOPBACK != 0);
    let lo_up = lo.is_some_and(Link::is_up);
    let local = case.address.is_loopback() || side.holder(case.address).is_some();
    if !lo_up {
        let fix = format!("{enter} ip link set lo up");
        if local {
            let says = "lo is down: nothing in there reaches the namespace itself";
            findings.push(Finding::bad("lo", says).fixed_by(fix));
            return Ok(None);
        }
        let says =
            "lo is down: what talks to 127.0.0.1 in there fails, which is not the fault looked for";
        findings.push(Finding::good("lo", says).fixed_by(fix));
    }
    let Some(route) = side.route(case.address) else {
        let found = forbidding(case, side).unwrap_or_else(|| no_route(case, side));
        findings.push(found);
        return Ok(None);
    };
    let index = route.link().unwrap_or_default();
    let Some(link) = side.link(index) else {
        findings.push(
            Finding::bad("route", "a route forbids it").fixed_by(format!("{enter} ip route")),
        );
        return Ok(None);
    };
    let name = link.name().into_owned();
    let gateway = route.gateway();
    let over = gateway.map_or_else(String::new, |gateway| format!(" over {gateway}"));
    if let Some(source) = route.source() {
        let says = format!("{source} leaves by {name}{over}");
        findings.push(Finding::good("route", says));
    }
    let carrier = link.flags & LOWER_UP != 0;
    if !link.is_up() || !carrier {
        let ns = case.ns.try_clone().doing("cannot copy a descriptor")?;
        let enter = enter.clone();
        findings.push(no_carrier(case, &Place { ns, enter }, link)?);
        return Ok(None);
    }
    let Some(source) = route.source() else {
        let waiting = side
            .addresses
            .iter()
            .find_map(|one| in_doubt(case, one, link));
        findings.push(waiting.unwrap_or_else(|| no_address(case, link)));
        return Ok(None);
    };
    let own = side
        .addresses
        .iter()
        .find(|one| one.local() == Some(source));
    Ok(Some(Exit {
        link: index,
        name,
        source,
        prefix: own.map_or(32, |own| own.prefix),
        gateway,
        is_own: local,
    }))
}

/// The route that forbids an address, where that is why there is no way: `blackhole` and its kin.
fn forbidding(case: &Case, side: &mut Side) -> Option<Finding> {
    let family = if case.address.is_ipv4() { 2 } else { 10 };
    let all = route::all(&mut side.connection, family).ok()?;
    let networks = all.iter().filter_map(|route| {
        let address = route.destination()?;
        let prefix = route.prefix;
        Some((route, Cidr { address, prefix }))
    });
    let covering = networks.filter(|(_, network)| network.holds(case.address));
    let (nearest, network) = covering.max_by_key(|(route, _)| route.prefix)?;
    let kind = match nearest.kind {
        RTN_BLACKHOLE => "blackhole",
        RTN_UNREACHABLE => "unreachable",
        RTN_PROHIBIT => "prohibit",
        _ => return None,
    };
    let fix = format!("{} ip route del {kind} {network}", case.enter);
    let says = format!("the route '{kind} {network}' forbids it");
    Some(Finding::bad("route", says).fixed_by(fix))
}

/// There is no way: no interface, none that is up, no address, or no route.
fn no_route(case: &Case, side: &Side) -> Finding {
    let enter = &case.enter;
    let ipv4 = case.address.is_ipv4();
    let links: Vec<&Link> = side
        .links
        .iter()
        .filter(|link| link.flags & LOOPBACK == 0)
        .collect();
    let Some(first) = links.first() else {
        let says = "there is no interface but lo";
        let (net, length) = if ipv4 {
            ("10.9.0.", 24)
        } else {
            ("fd00:9::", 64)
        };
        return Finding::bad("link", says).fixed_by(format!(
            "veth vh@{net}1/{length} vg@{net}2/{length} --gw {net}1 --nat --ns {}",
            case.name
        ));
    };
    if let Some(down) = links.iter().find(|link| !link.is_up()) {
        let name = down.name();
        return Finding::bad(
            "link",
            format!("{name} is down: its addresses and routes do not count"),
        )
        .fixed_by(format!("{enter} ip link set {name} up"));
    }
    let usable = |one: &&Address| {
        let local = one.local();
        local.is_some_and(|local| {
            local.is_ipv4() == ipv4 && !local.is_loopback() && !is_link_local(local)
        })
    };
    let Some(own) = side.addresses.iter().find(usable) else {
        return no_address(case, first);
    };
    let network = own.cidr().map(Cidr::network);
    let network = network.map_or_else(String::new, |network| format!(" but to {network}"));
    let guess = own
        .cidr()
        .map_or_else(|| "GATEWAY".into(), |cidr| first_of(cidr.network().address));
    let six = if ipv4 { "" } else { "-6 " };
    Finding::bad(
        "route",
        format!("there is no route to {}, nor any{network}", case.address),
    )
    .fixed_by(format!("{enter} ip {six}route add default via {guess}"))
}

/// The address that a gateway usually has: the first of the network.
fn first_of(network: IpAddr) -> String {
    match network {
        IpAddr::V4(address) => std::net::Ipv4Addr::from(u32::from(address) | 1).to_string(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from(u128::from(address) | 1).to_string(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn no_address(case: &Case, link: &Link) -> Finding {
    let (family, example) = match case.address {
        IpAddr::V4(_) => ("IPv4", "10.9.0.2/24"),
        IpAddr::V6(_) => ("IPv6", "fd00:9::2/64"),
    };
    let near = beside(link, case.address.is_ipv4()).map(|cidr| cidr.to_string());
    let address = near.as_deref().unwrap_or(example);
    let name = link.name();
    Finding::bad("address", format!("{name} has no {family} address"))
        .fixed_by(format!("{} ip addr add {address} dev {name}", case.enter))
}

/// An address of a link that it may not use, because others are or were asked whether they have it (RFC 4862).
fn in_doubt(case: &Case, address: &Address, link: &Link) -> Option<Finding> {
    /// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE`.
    const FAILED: u32 = 0x08;
    const TENTATIVE: u32 = 0x40;
    let cidr = address.cidr().filter(|cidr| !is_link_local(cidr.address))?;
    if address.link != link.index || cidr.address.is_ipv4() != case.address.is_ipv4() {
        return None;
    }
    let name = link.name();
    if address.flags & FAILED != 0 {
        let says = format!("{cidr} of {name} is somebody else's too, and not used for that");
        let line = format!("{} ip addr del {cidr} dev {name}", case.enter);
        return Some(Finding::bad("address", says).fixed_by(line));
    }
    let says = format!("whether {cidr} of {name} is nobody else's is still being asked");
    let line = format!("sleep 2; ip why {} {}", case.name, case.address);
    (address.flags & TENTATIVE != 0).then(|| Finding::bad("address", says).fixed_by(line))
}

/// The address next to that of the other end of a wire, or of the bridge that this is in, where it is out here.
fn beside(link: &Link, ipv4: bool) -> Option<Cidr> {
    let here = Side::here().ok()?;
    let near = here.link(link.link()?)?;
    if near.link() != Some(link.index) || near.kind() != link.kind() {
        return None;
    }
    let holder = near.master().unwrap_or(near.index);
    let all = here.addresses.iter().filter(|one| one.link == holder);
    let own = all.filter_map(Address::cidr).find(|cidr| {
        cidr.address.is_ipv4() == ipv4 && !is_link_local(cidr.address) && !cidr.is_single()
    })?;
    let next = match own.address {
        IpAddr::V4(address) => IpAddr::V4(u32::from(address).wrapping_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(u128::from(address).wrapping_add(1).into()),
    };
    (own.holds(next) && next != own.last()).then_some(Cidr {
        address: next,
        prefix: own.prefix,
    })
}

/// Whether a table of the namespace itself drops what leaves, or what is answered.
pub(super) fn dropped(
    case: &Case,
    side: &mut Side,
    exit: &Exit,
    findings: &mut Vec<Finding>,
) -> bool {
    let Some(ruleset) = &side.ruleset else {
        return false;
    };
    let mut out = Packet::new(exit.source, case.address);
    out.protocol = Some(if case.address.is_ipv4() { 1 } else { 58 });
    out.leaves_by = Some(exit.name.clone());
    for (hook, packet) in [
        (Hook::Output, out.clone()),
        (Hook::Postrouting, out.clone()),
        (Hook::Prerouting, out.answer()),
        (Hook::Input, out.answer()),
    ] {
        let judgement = ruleset.judge(hook, &packet);
        if let (Some(place), true) = (judgement.dropped, judgement.sure) {
            let says = format!("in the namespace itself, {place} drops it");
            let entry = crate::net::address::Cidr {
                address: case.address,
                prefix: if case.address.is_ipv4() { 32 } else { 128 },
            };
            let fix = allowing(&place, &Entry::Masquerade(entry), false);
            findings.push(
                Finding::bad("filter", says).fixed_by(format!("{} sh -c '{fix}'", case.enter)),
            );
            return true;
        }
    }
    false
}
