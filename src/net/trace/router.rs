//! The router: the namespace of the caller, where it is the guest's gateway.

use std::net::IpAddr;

use super::below::{LOWER_UP, Place, no_carrier};
use super::{Case, Exit, Finding, Side, own_namespace};
use crate::error::Result;
use crate::net::address::Cidr;
use crate::net::forwarding;
use crate::net::nat::{Entry, allowing};
use crate::net::ruleset::{Hook, Packet};

/// Nobody at the other end of the link answers for the gateway, or for the address itself.
pub(super) fn silent_gateway(
    case: &Case,
    own: &mut Side,
    exit: &Exit,
    gateway: IpAddr,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let cidr = Cidr {
        address: gateway,
        prefix: exit.prefix,
    };
    let who = match exit.gateway {
        Some(_) => format!("the gateway {gateway} is silent"),
        None => format!(
            "{gateway} should be on the network of {}, and is silent",
            exit.name
        ),
    };
    let finding = match own.holder(gateway) {
        None if exit.gateway.is_some() => {
            let end = other_end(case, own, exit)?.unwrap_or_else(|| "LINK".into());
            Finding::bad("gateway", format!("{who}: nobody here has that address"))
                .fixed_by(format!("ip addr add {cidr} dev {end}"))
        }
        None => Finding::bad("gateway", who),
        Some(link) if !link.is_up() => {
            let name = link.name();
            Finding::bad(
                "gateway",
                format!("{who}: {name}, which has that address, is down"),
            )
            .fixed_by(format!("ip link set {name} up"))
        }
        Some(link) => {
            let name = link.name().into_owned();
            unplugged(case, own, exit, gateway)?.unwrap_or_else(|| {
                Finding::bad(
                    "gateway",
                    format!("{who}, though {name} here has that address"),
                )
                .fixed_by("nat list --all")
            })
        }
    };
    findings.push(finding);
    Ok(())
}

/// The gateway's address is here: is the guest's other end that link, or a port of that bridge?
fn unplugged(case: &Case, own: &Side, exit: &Exit, gateway: IpAddr) -> Result<Option<Finding>> {
    let end = other_end(case, own, exit)?;
    let end = end.and_then(|end| own.links.iter().find(|link| link.name() == end));
    let (Some(end), Some(holder)) = (end, own.holder(gateway)) else {
        return Ok(None);
    };
    if end.index == holder.index || end.master() == Some(holder.index) {
        return Ok(None);
    }
    let (end, holder) = (end.name(), holder.name());
    let says = format!(
        "{holder} has the gateway's address, and {end}, the other end of {}, is no port of it",
        exit.name
    );
    Ok(Some(
        Finding::bad("bridge", says).fixed_by(format!("ip link set {end} master {holder}")),
    ))
}

/// The name of the other end of the guest's link, where that is here.
fn other_end(case: &Case, own: &Side, exit: &Exit) -> Result<Option<String>> {
    use std::os::fd::AsFd;
    let mut guest = crate::net::Connection::open_in(case.ns.as_fd())?;
    let Ok(link) = crate::net::link::numbered(&mut guest, exit.link) else {
        return Ok(None);
    };
    let peer = link.link().and_then(|peer| own.link(peer));
    let is_pair = |peer: &&crate::net::link::Link| peer.link() == Some(exit.link);
    Ok(peer.filter(is_pair).map(|peer| peer.name().into_owned()))
}

/// The gateway answers, and the address does not.
pub(super) fn beyond_the_door(
    case: &Case,
    own: &mut Side,
    exit: &Exit,
    gateway: IpAddr,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let address = case.address;
    let Some(entry) = own.holder(gateway).map(|link| link.name().into_owned()) else {
        let says = match exit.gateway {
            Some(_) => format!(
                "the gateway {gateway} answers; it is not of this namespace: ask further there"
            ),
            None => format!(
                "{address} is there and does not answer: it drops pings, or its own way back is broken"
            ),
        };
        findings.push(Finding::bad("beyond", says));
        return Ok(());
    };
    findings.push(Finding::good(
        "gateway",
        format!("the gateway {gateway}, {entry} here, answers"),
    ));
    // Linux answers for its addresses on every link: that the gateway answered does not mean that it is plugged in.
    if let Some(finding) = unplugged(case, own, exit, gateway)? {
        findings.push(finding);
        return Ok(());
    }
    let mut packet = Packet::new(exit.source, address);
    packet.protocol = Some(if address.is_ipv4() { 1 } else { 58 });
    packet.comes_by = Some(entry.clone());
    if let Some(holder) = own.holder(address) {
        let says = format!("{address} is {} of this namespace", holder.name());
        findings.push(Finding::good("route", says));
        let finding = dropped(
            own,
            case,
            exit,
            &[(Hook::Prerouting, packet.clone()), (Hook::Input, packet)],
        );
        findings.push(
            finding.unwrap_or_else(|| Finding::bad("beyond", format!("{address} does not answer"))),
        );
        return Ok(());
    }
    let found = routed(case, own, exit, &entry, packet)?;
    findings.extend(found);
    Ok(())
}

/// What this namespace does as the router.
fn routed(
    case: &Case,
    own: &mut Side,
    exit: &Exit,
    entry: &str,
    mut packet: Packet,
) -> Result<Vec<Finding>> {
    let address = case.address;
    let subnet = network(exit);
    if !forwarding::is_on(address.is_ipv4()) {
        let name = forwarding::name(address.is_ipv4());
        let says = format!("{name} is 0: this namespace passes nothing on");
        return Ok(vec![
            Finding::bad("forwarding", says).fixed_by(format!("nat add {subnet}")),
        ]);
    }
    let Some(route) = own.route(address) else {
        let says = format!("this namespace, the router, has no route to {address} itself");
        return Ok(vec![
            Finding::bad("route", says).fixed_by("ip route add default via GATEWAY"),
        ]);
    };
    let back = own.route(exit.source).and_then(|route| route.link());
    let back = back.map(|index| own.name(index)).unwrap_or_default();
    if back != entry {
        let says = format!(
            "the router does not know the way back: {} leads to {back}",
            exit.source
        );
        return Ok(vec![
            Finding::bad("return", says).fixed_by(format!("ip route add {subnet} dev {entry}")),
        ]);
    }
    let out = own.name(route.link().unwrap_or_default());
    if let Some(link) = own.link(route.link().unwrap_or_default())
        && link.flags & LOWER_UP == 0
    {
        let says = format!("the router sends it on by {out}, which has no carrier");
        let place = Place {
            ns: own_namespace()?.into(),
            enter: String::new(),
        };
        let why = no_carrier(case, &place, link)?;
        return Ok(vec![Finding::good("carrier", says), why]);
    }
    packet.leaves_by = Some(out.clone());
    let over = route
        .gateway()
        .map_or_else(String::new, |next| format!(" over {next}"));
    let mut findings = vec![Finding::good(
        "route",
        format!("the router sends it on by {out}{over}"),
    )];
    let answer = packet.answer();
    let path = [
        (Hook::Prerouting, packet.clone()),
        (Hook::Forward, packet.clone()),
        (Hook::Forward, answer),
        (Hook::Postrouting, packet.clone()),
    ];
    if let Some(finding) = dropped(own, case, exit, &path) {
        findings.push(finding);
        return Ok(findings);
    }
    let next = route.gateway().unwrap_or(address);
    let asked = route.link().unwrap_or_default();
    if !own.neighbour_answers(asked, next)? {
        let says = format!("{next}, the next on the way, is silent");
        findings.push(Finding::bad("next", says).fixed_by(format!("ip neigh show dev {out}")));
        return Ok(findings);
    }
    findings.push(last(own, exit, &packet, address, &out));
    Ok(findings)
}

/// All lets it pass: what remains is that nobody out there can answer.
fn last(own: &Side, exit: &Exit, packet: &Packet, address: IpAddr, out: &str) -> Finding {
    let judgement = own
        .ruleset
        .as_ref()
        .map(|ruleset| ruleset.judge(Hook::Postrouting, packet));
    match judgement {
        Some(judgement) => match judgement.translated {
            None if judgement.sure => Finding::bad(
                "nat",
                format!("it leaves {out} as {}, and nobody out there knows the way back to that: there is no address translation", exit.source),
            )
            .fixed_by(format!("nat add {}", network(exit))),
            None => Finding::bad("beyond", format!("{address} does not answer; not all rules of address translation are understood")),
            Some(place) => Finding::bad(
                "beyond",
                format!("all lets it pass, and {place} translates it: {address} itself does not answer"),
            ),
        },
        None => Finding::bad("beyond", "the tables cannot be read without CAP_NET_ADMIN over this namespace"),
    }
}

/// Who drops it on the way, if anybody surely does.
fn dropped(own: &Side, case: &Case, exit: &Exit, path: &[(Hook, Packet)]) -> Option<Finding> {
    let ruleset = own.ruleset.as_ref()?;
    path.iter().find_map(|(hook, packet)| {
        let judgement = ruleset.judge(*hook, packet);
        let place = judgement.dropped?;
        let answer = packet.source == case.address;
        let what = if answer { "the answer is" } else { "it is" };
        let may = if judgement.sure { "" } else { "probably " };
        let says = format!("{what} {may}dropped by {place}");
        let fix = allowing(
            &place,
            &Entry::Masquerade(network(exit)),
            own.has_docker(&place),
        );
        Some(Finding::bad("filter", says).fixed_by(fix))
    })
}

fn network(exit: &Exit) -> Cidr {
    Cidr {
        address: exit.source,
        prefix: exit.prefix,
    }
    .network()
}
