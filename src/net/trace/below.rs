//! What a link hangs on, which may be in another namespace than it: the other end of a wire (veth(4)), the link that a
//! vlan or a macvlan was made upon. A link is up by itself, and carries something when that is up too.

use std::os::fd::{AsFd, OwnedFd};

use super::{Case, Finding, inside, own_namespace};
use crate::error::{Doing, Result};
use crate::namespace::Kind;
use crate::net::Connection;
use crate::net::link::{self, Link};
use crate::netnsid::Asker;
use crate::procfs::Procfs;

/// `IFF_LOWER_UP`: there is a carrier.
pub(super) const LOWER_UP: u32 = 1 << 16;

/// A namespace, and the words that come before a command that is to run in there: none before one that is to run here.
pub(super) struct Place {
    pub(super) ns: OwnedFd,
    pub(super) enter: String,
}

impl Place {
    fn copy(&self) -> Result<Self> {
        Ok(Self {
            ns: self.ns.try_clone().doing("cannot copy a descriptor")?,
            enter: self.enter.clone(),
        })
    }

    fn line(&self, command: &str) -> String {
        format!("{} {command}", self.enter).trim_start().to_owned()
    }
}

/// Why a link carries nothing: it is down, or what it hangs on is.
pub(super) fn no_carrier(case: &Case, place: &Place, link: &Link) -> Result<Finding> {
    let (mut place, mut link) = (place.copy()?, link.clone());
    let mut says = format!("{} is down", link.name());
    let mut about = "link";
    // A vlan on a vlan on a wire: there is no round about, but a limit costs nothing.
    for _ in 0..8 {
        if !link.is_up() {
            let line = format!("ip link set {} up", link.name());
            return Ok(Finding::bad(about, says).fixed_by(place.line(&line)));
        }
        let name = link.name().into_owned();
        let is_wire = link.kind().as_deref() == Some("veth");
        let Some(index) = link.link() else {
            return Ok(unplugged(&place, &link));
        };
        let what = if is_wire {
            "the other end of"
        } else {
            "the link below"
        };
        let Some((there, below)) = find(case, &place, link.link_namespace(), index)? else {
            let says = format!("{what} {name}, in a namespace that cannot be found, is down");
            return Ok(Finding::bad("peer", says));
        };
        if is_wire && below.is_up() {
            // It came up meanwhile.
            break;
        }
        says = format!("{}, {what} {name}, is down", below.name());
        about = "peer";
        (place, link) = (there, below);
    }
    let says = format!("{} is up and has no carrier", link.name());
    Ok(Finding::bad("carrier", says))
}

/// A link that is up, has no carrier, and hangs on no other.
fn unplugged(place: &Place, link: &Link) -> Finding {
    let name = link.name();
    let (about, says, line) = match link.kind().as_deref() {
        Some("veth") => (
            "peer",
            format!("the other end of {name} is gone"),
            format!("ip link del {name}"),
        ),
        Some("bridge") => (
            "carrier",
            format!("{name} is up and has no carrier: no port of it is up"),
            format!("ip link set LINK up master {name}"),
        ),
        _ => {
            let says = format!("{name} is up and has no carrier: nothing is plugged in");
            return Finding::bad("carrier", says);
        }
    };
    Finding::bad(about, says).fixed_by(place.line(&line))
}

/// The link of this number in the namespace that is known by this id in `from`, or in `from` itself: looked for here, in the
/// namespace in question, in those that have names, and in those of processes.
fn find(case: &Case, from: &Place, id: Option<i32>, index: u32) -> Result<Option<(Place, Link)>> {
    let place = match id {
        None => Some(from.copy()?),
        Some(id) => namespace(case, from, id.cast_unsigned())?,
    };
    let Some(place) = place else {
        return Ok(None);
    };
    let mut connection = Connection::open_in(place.ns.as_fd())?;
    let found = link::numbered(&mut connection, index);
    Ok(found.ok().map(|link| (place, link)))
}

fn namespace(case: &Case, from: &Place, id: u32) -> Result<Option<Place>> {
    let Some(asker) = inside(from.ns.as_fd(), || Ok(Asker::new().ok()))? else {
        return Ok(None);
    };
    let is_it = |ns: &OwnedFd| asker.id_of(ns.as_fd()).flatten() == Some(id);
    let known = |ns: OwnedFd, enter: &str| {
        let enter = enter.to_owned();
        is_it(&ns).then_some(Place { ns, enter })
    };
    let guest = case.ns.try_clone().doing("cannot copy a descriptor")?;
    let near = known(own_namespace()?.into(), "").or_else(|| known(guest, &case.enter));
    let named = || {
        let mut names = case.names.names().into_iter();
        names.find_map(|name| {
            let enter = format!("ip netns exec {}", name.display());
            known(case.names.open(&name).ok()?, &enter)
        })
    };
    let procfs = Procfs::open()?;
    let of_process = || {
        let mut pids = procfs.pids().ok()?.into_iter();
        pids.find_map(|pid| {
            let process = procfs.process(pid).ok()?;
            let ns = process.open_namespace(Kind::Net).ok()?;
            known(ns, &format!("nsenter -t {pid} -n"))
        })
    };
    Ok(near.or_else(named).or_else(of_process))
}
