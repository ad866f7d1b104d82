//! What there is of wires that veth made: `ls`, `del`, `rate`.

use std::os::fd::AsFd;

use isobox::error::{Doing, Error, Result};
use isobox::net::link::{self, Link};
use isobox::net::veth::Mark;
use isobox::net::{Connection, address};
use isobox::order;
use isobox::plan::Plan;
use isobox::plan::steps::bridges::RemoveBridge;
use isobox::plan::steps::links::{OpenNetwork, Place, Where};
use isobox::plan::steps::pairs::RemovePair;
use isobox::plan::steps::shaping::LimitRate;

use super::{directories, usage};
use crate::cli::plan::{Explain, perform};
use crate::cli::table::{Column, Fit, Format, Table};
use crate::cli::{Exit, say};

/// The links of this network namespace.
fn links(connection: &mut Connection) -> Result<Vec<Link>> {
    link::all(connection).doing("cannot list links")
}

/// Lists the wires, each with what its other end has now, where that can be looked at.
pub(super) fn list(json: bool) -> Result<Exit> {
    let column = |name, help| Column {
        name,
        help,
        width: 0,
        number: false,
        fit: Fit::Lines,
    };
    let mut table = Table::new(
        "wires",
        vec![
            column("HOST", "the end here"),
            column("ADDRESS", "its addresses, or those of its bridge"),
            column("BRIDGE", "the bridge that it is in"),
            column("GUEST", "the end there"),
            column("GUEST-ADDRESS", "its addresses"),
            column(
                "NETNS",
                "the network namespace of that end, as it was named",
            ),
        ],
    );
    if json {
        table.format = Format::Json;
    }
    let mut connection = Connection::open()?;
    let all = links(&mut connection)?;
    for link in &all {
        let Some(Mark::Near { guest, namespace }) = Mark::of(link) else {
            continue;
        };
        let bridge = all.iter().find(|other| Some(other.index) == link.master());
        let near = bridge.unwrap_or(link).index;
        let far = far_addresses(&namespace, &guest);
        let cells = [
            link.name().into_owned(),
            addresses(&mut connection, near)?.join("\n"),
            bridge.map_or_else(String::new, |bridge| bridge.name().into_owned()),
            guest,
            far.unwrap_or_default().join("\n"),
            namespace,
        ];
        table.add(None, cells.map(String::into_bytes).into());
    }
    table.print()
}

/// The addresses of a link, but for the one that IPv6 gives every link.
fn addresses(connection: &mut Connection, link: u32) -> Result<Vec<String>> {
    let all = address::all(connection, 0).doing("cannot list addresses")?;
    let own = all
        .into_iter()
        .filter(|address| address.link == link && address.scope == 0);
    let cidrs = own.filter_map(|address| address.cidr());
    Ok(cidrs.map(|cidr| cidr.to_string()).collect())
}

/// Those of the far end; nothing where its namespace is gone, or not ours to look at.
fn far_addresses(namespace: &str, guest: &str) -> Option<Vec<String>> {
    let ns = directories().open(namespace.as_ref()).ok()?;
    let mut there = Connection::open_in(ns.as_fd()).ok()?;
    let link = link::named(&mut there, guest).ok()?;
    addresses(&mut there, link.index).ok()
}

/// Removes wires by the name of their end here, bridges of ours by theirs, and bridges of ours that are left empty.
pub(super) fn delete(names: &[&str], all: bool, explain: Option<Explain>) -> Result<Exit> {
    if names.is_empty() != all {
        return Err(usage("del takes names of links, or --all"));
    }
    let mut connection = Connection::open()?;
    let links = links(&mut connection)?;
    let mut plan = Plan::effects();
    let mut bridges: Vec<String> = Vec::new();
    if all {
        for link in links.iter().filter(|link| Mark::of(link).is_some()) {
            let name = link.name().into_owned();
            match link.kind().as_deref() {
                Some("bridge") => bridges.push(name),
                _ => drop(plan.then(RemovePair::new(name, false))),
            }
        }
    }
    for name in names {
        let link = link::named(&mut connection, name);
        let link = link.map_err(|refusal| {
            let error = refusal.doing("cannot find the link").on(name);
            error.hint_maybe(known(&links))
        })?;
        let name = link.name().into_owned();
        if is_our_bridge(&link) {
            plan.then(RemoveBridge { name, must: true });
            continue;
        }
        plan.then(RemovePair::new(name, true));
        let master = links
            .iter()
            .find(|other| Some(other.index) == link.master());
        let ours = master.filter(|master| is_our_bridge(master));
        bridges.extend(ours.map(|master| master.name().into_owned()));
    }
    order::sort(&mut bridges);
    bridges.dedup();
    for name in bridges {
        plan.then(RemoveBridge { name, must: false });
    }
    perform(&plan, explain)
}

fn is_our_bridge(link: &Link) -> bool {
    link.kind().as_deref() == Some("bridge") && Mark::of(link).is_some()
}

/// The wires there are, as advice.
fn known(links: &[Link]) -> Option<String> {
    let ours = |link: &&Link| matches!(Mark::of(link), Some(Mark::Near { .. }));
    let names: Vec<_> = links.iter().filter(ours).map(Link::name).collect();
    (!names.is_empty()).then(|| format!("there are: {}", names.join(", ")))
}

/// Changes how fast the two ends of a wire may send.
pub(super) fn rate(name: &str, rate: &str, explain: Option<Explain>) -> Result<Exit> {
    let rate = match rate {
        "none" => None,
        rate => Some(rate.parse()?),
    };
    let mut connection = Connection::open()?;
    let found = link::named(&mut connection, name).doing_to("cannot find the link", name)?;
    let Some(Mark::Near { guest, namespace }) = Mark::of(&found) else {
        return Err(Error::new(format!(
            "{name} is no end of a wire that veth made"
        )));
    };
    let mut plan = Plan::effects();
    plan.then(LimitRate {
        side: Where::Here,
        link: name.into(),
        rate,
    });
    let directories = directories();
    match directories.open(namespace.as_ref()) {
        Ok(_) => {
            let slot = plan.slot();
            let text = namespace.into();
            let place = Place::Named { text, directories };
            plan.then(OpenNetwork {
                place: place.clone(),
                slot,
            });
            plan.then(LimitRate {
                side: Where::There(slot, place),
                link: guest,
                rate,
            });
        }
        Err(error) => say(&format!("note: only {name} is limited: {error}\n")),
    }
    perform(&plan, explain)
}
