//! Why a network namespace does not reach an address: looked up layer by layer, from its own interfaces to the router
//! that this machine is for it, and asked of those who should answer. Nothing is changed.
//!
//! ```text
//! guest (the namespace)            router (the namespace of the caller)
//!   lo, a link, up, a carrier        the gateway's address, up
//!   an address, a route              forwarding on, a route on and one back
//!   a gateway that answers           nobody who drops, somebody who translates
//!   nobody who drops                 a next hop that answers
//! ```
//!
//! `ip why` prints what is found. `guest.rs` looks at the one side, `router.rs` at the other, `below.rs` at what a link
//! hangs on, `probe.rs` asks.

mod below;
mod guest;
mod probe;
mod router;

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};

use super::Connection;
use super::address::{self, Address};
use super::link::{self, Link};
use super::netns::Directories;
use super::nftables::Socket;
use super::route::{self, Route};
use super::ruleset::{Place, Ruleset};
use crate::error::{Doing, Result};

pub use probe::{Question, addresses};

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in one word, for programs: `link`, `route`, `gateway`, `nat` ...
    pub about: &'static str,
    /// What was found.
    pub says: String,
    /// Whether nothing can come through because of it.
    pub fault: bool,
    /// The line that would help.
    pub fix: Option<String>,
}

impl Finding {
    fn good(about: &'static str, says: impl Into<String>) -> Self {
        Self {
            about,
            says: says.into(),
            fault: false,
            fix: None,
        }
    }

    fn bad(about: &'static str, says: impl Into<String>) -> Self {
        Self {
            fault: true,
            ..Self::good(about, says)
        }
    }

    fn fixed_by(mut self, line: impl Into<String>) -> Self {
        self.fix = Some(line.into());
        self
    }
}

/// Who asks about whom.
#[derive(Debug)]
pub struct Case {
    /// The namespace that does not reach the address.
    pub ns: OwnedFd,
    /// The words that come before a command that is to run in there: `ip netns exec web`, `nsenter -t 7 -n`.
    pub enter: String,
    /// What `veth --ns` takes for it.
    pub name: String,
    /// What it wants to reach.
    pub address: IpAddr,
    /// Where names of other namespaces are looked for.
    pub names: Directories,
}

/// Looks, until something is found that explains it. The last finding is a fault, or says that there is an answer.
///
/// # Errors
/// Where the namespace cannot be looked into: `EPERM` without privilege over it.
pub fn why(case: &Case) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut guest = Side::inside(case.ns.as_fd())?;
    let Some(exit) = guest::to_the_door(case, &mut guest, &mut findings)? else {
        return Ok(findings);
    };
    match probe::echo(case.ns.as_fd(), case.address)? {
        probe::Echo::Answered => {
            let says = format!("{} answers", case.address);
            findings.push(Finding::good("answer", says));
            return Ok(findings);
        }
        probe::Echo::Refused(by, why) => {
            findings.push(Finding::good("refusal", format!("{by} says: {why}")));
        }
        probe::Echo::Silent => {}
    }
    let gateway = exit.gateway.unwrap_or(case.address);
    if guest::dropped(case, &mut guest, &exit, &mut findings) {
        return Ok(findings);
    }
    let mut own = Side::here()?;
    if case.address.is_loopback() || exit.is_own {
        findings.push(Finding::bad(
            "answer",
            "it is an address of the namespace itself, and does not answer",
        ));
    } else if !guest.neighbour_answers(exit.link, gateway)? {
        router::silent_gateway(case, &mut own, &exit, gateway, &mut findings)?;
    } else {
        router::beyond_the_door(case, &mut own, &exit, gateway, &mut findings)?;
    }
    Ok(findings)
}

/// Does something in another network namespace, and comes back.
fn inside<T>(ns: BorrowedFd<'_>, does: impl FnOnce() -> Result<T>) -> Result<T> {
    let own = own_namespace()?;
    setns(ns, CloneFlags::CLONE_NEWNET).doing("cannot enter the network namespace")?;
    let done = does();
    setns(own, CloneFlags::CLONE_NEWNET).doing("cannot come back from a network namespace")?;
    done
}

fn own_namespace() -> Result<File> {
    let path = "/proc/thread-self/ns/net";
    File::open(path).doing_to("cannot open", path)
}

/// One namespace, looked at.
struct Side {
    ns: OwnedFd,
    connection: Connection,
    /// Without the privilege to read them there are none.
    ruleset: Option<Ruleset>,
    links: Vec<Link>,
    addresses: Vec<Address>,
}

impl Side {
    fn inside(ns: BorrowedFd<'_>) -> Result<Self> {
        let connection = Connection::open_in(ns)?;
        let ruleset = inside(ns, || Ok(read_rules()))?;
        let ns = ns.try_clone_to_owned().doing("cannot copy a descriptor")?;
        Self::look(ns, connection, ruleset)
    }

    fn here() -> Result<Self> {
        Self::look(own_namespace()?.into(), Connection::open()?, read_rules())
    }

    fn look(ns: OwnedFd, mut connection: Connection, ruleset: Option<Ruleset>) -> Result<Self> {
        let links = link::all(&mut connection).doing("cannot list links")?;
        let addresses = address::all(&mut connection, 0).doing("cannot list addresses")?;
        Ok(Self {
            ns,
            connection,
            ruleset,
            links,
            addresses,
        })
    }

    fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    fn name(&self, index: u32) -> String {
        self.link(index)
            .map_or_else(|| format!("link {index}"), |link| link.name().into_owned())
    }

    /// The link that has this address.
    fn holder(&self, address: IpAddr) -> Option<&Link> {
        let has = |one: &&Address| one.local() == Some(address);
        self.link(self.addresses.iter().find(has)?.link)
    }

    /// The way that the kernel would take.
    fn route(&mut self, to: IpAddr) -> Option<Route> {
        route::to(&mut self.connection, to, 0)
    }

    /// Whether a neighbour answers.
    fn neighbour_answers(&mut self, link: u32, neighbour: IpAddr) -> Result<bool> {
        probe::neighbour_answers(self.ns.as_fd(), &mut self.connection, link, neighbour)
    }

    /// Whether the ruleset has, beside the chain that drops, the one that Docker leaves to its users.
    fn has_docker(&self, place: &Place) -> bool {
        let ruleset = self.ruleset.as_ref();
        ruleset.is_some_and(|ruleset| ruleset.has_chain(place, "DOCKER-USER"))
    }
}

fn read_rules() -> Option<Ruleset> {
    Ruleset::read(&Socket::open().ok()?).ok()
}

/// How packets leave the guest.
struct Exit {
    /// The link.
    link: u32,
    /// Its name.
    name: String,
    /// The address that they leave with.
    source: IpAddr,
    /// How many bits of it are the network's.
    prefix: u8,
    /// Over whom; nobody where the address is on the link's own network.
    gateway: Option<IpAddr>,
    /// Whether the address is one of the namespace itself.
    is_own: bool,
}
