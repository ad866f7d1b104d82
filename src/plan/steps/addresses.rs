//! What makes a link carry packets (ip-address(8), ip-route(8)): an address, being up, a way out.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use nix::errno::Errno;

use super::links::{Where, explained};
use crate::error::{Doing, Error, Result};
use crate::net::address::{self, Cidr};
use crate::net::forwarding;
use crate::net::link::{self, Draft};
use crate::net::route::{self, Route, Way};
use crate::net::{Connection, Refusal};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::proc_write;

/// The link of this name.
fn found(connection: &mut Connection, name: &str) -> Result<link::Link> {
    link::named(connection, name).doing_to("cannot find the link", name)
}

/// The address that the kernel gives lo.
const LOOPBACK: Cidr = Cidr {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    prefix: 8,
};

/// `AF_INET` or `AF_INET6`.
fn family(address: IpAddr) -> u8 {
    let family = match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    u8::try_from(family).unwrap_or(0)
}

/// Whether a link has an IPv4 address.
fn has_ipv4(connection: &mut Connection, link: u32) -> Result<bool> {
    let mut has = false;
    address::each(connection, family(LOOPBACK.address), &mut |other, _| {
        has |= other == link;
    })
    .doing("cannot list addresses")?;
    Ok(has)
}

/// Gives a link an address.
#[derive(Debug)]
pub struct GiveAddress {
    /// On which side.
    pub side: Where,
    /// The name of the link.
    pub link: String,
    /// The address and the length of its prefix.
    pub cidr: Cidr,
    given: Cell<bool>,
}

impl GiveAddress {
    /// Gives `link` the address `cidr`.
    pub fn new(side: Where, link: String, cidr: Cidr) -> Self {
        Self {
            side,
            link,
            cidr,
            given: Cell::new(false),
        }
    }
}

/// Refuses an address that another link than these of `own` has, and a network that another link is in: packets for it would leave
/// by the one that was first. A single address within another's network is what point-to-point links have.
pub(super) fn check_free(
    side: &Where,
    connection: &mut Connection,
    cidr: Cidr,
    own: &[Option<u32>],
) -> Result<()> {
    let mut in_the_way = None;
    if cidr.is_single() {
        let holder = address::holder(connection, cidr.address);
        in_the_way = holder
            .filter(|link| !own.contains(&Some(*link)))
            .map(|link| (link, cidr, true));
    } else {
        address::each(connection, family(cidr.address), &mut |link, other| {
            let same = other.address == cidr.address;
            let clash = same || (!other.is_single() && other.overlaps(cidr));
            if clash && !own.contains(&Some(link)) && in_the_way.is_none() {
                in_the_way = Some((link, other, same));
            }
        })
        .doing("cannot list addresses")?;
    }
    if let Some((link, other, same)) = in_the_way {
        let name = link::numbered(connection, link);
        let name = name.map_or_else(|_| "another link".into(), |link| link.name().into_owned());
        let place = side.shown();
        return Err(if same {
            Error::new(format!("the address {} is taken", cidr.address))
                .because(format!("{name}{place} has it"))
        } else {
            let (ours, theirs) = (cidr.network(), other.network());
            Error::new(format!("the network {ours} overlaps that of {name}{place}"))
                .because(format!("it is in {theirs}"))
        });
    }
    Ok(())
}

/// Refuses a way out beside one that there is by another link than `own`.
pub(super) fn check_no_default(
    side: &Where,
    connection: &mut Connection,
    gateways: &[IpAddr],
    own: Option<u32>,
) -> Result<()> {
    for gateway in gateways {
        let all = route::all(connection, family(*gateway)).doing("cannot list routes")?;
        let is_one = |route: &Route| {
            route.prefix == 0
                && route.kind == libc::RTN_UNICAST
                && route.table() == u32::from(libc::RT_TABLE_MAIN)
                && route
                    .metric()
                    .is_none_or(|metric| gateway.is_ipv6() && metric == IPV6_METRIC)
        };
        if all.iter().any(|route| is_one(route) && route.link() != own) {
            return Err(a_way_out_already(side));
        }
    }
    Ok(())
}

/// The metric that IPv6 gives a route of a person (`IP6_RT_PRIO_USER`).
const IPV6_METRIC: u32 = 1024;

fn a_way_out_already(side: &Where) -> Error {
    Error::new(format!("there is a default route already{}", side.shown()))
        .hint("one wire can be the way out; leave --gw out for the others")
}

impl Step for GiveAddress {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        let index = found(&mut connection, &self.link)?.index;
        check_free(&self.side, &mut connection, self.cidr, &[Some(index)])?;
        match address::add(&mut connection, address::message(index, self.cidr)) {
            Err(refusal) if refusal.is(Errno::EEXIST) => return Ok(()),
            other => other.map_err(|refusal| {
                let doing = format!("cannot give {} the address {}", self.link, self.cidr);
                explained(refusal, doing, None)
            })?,
        }
        self.given.set(true);
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if !self.given.take() {
            return;
        }
        let taken = self.side.connect(cx).and_then(|mut connection| {
            let link = found(&mut connection, &self.link)?;
            let message = address::message(link.index, self.cidr);
            match address::delete(&mut connection, message) {
                // One of IPv6 goes as its link goes down.
                Err(refusal) if refusal.is(Errno::EADDRNOTAVAIL) => Ok(()),
                other => other.doing("cannot take it away"),
            }
        });
        if let Err(error) = taken {
            cx.note(format!("{} keeps {}: {error}", self.link, self.cidr));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "RTM_NEWADDR(dev={:?}, address={}){}",
                self.link,
                self.cidr,
                self.side.shown()
            ),
            "the link answers to the address, and the network behind it gets a route",
            "nobody could name it: Network is unreachable",
            "ip-address(8)",
        )
    }

    fn shell(&self) -> Shell {
        let cidr = self.cidr.to_string();
        let words = ["addr", "add", &cidr, "dev", &self.link];
        let nodad = self.cidr.address.is_ipv6().then_some("nodad");
        self.side.ip(words.into_iter().chain(nodad))
    }
}

/// Brings a link up.
#[derive(Debug)]
pub struct BringUp {
    /// On which side.
    pub side: Where,
    /// The name of the link.
    pub link: String,
    brought: Cell<bool>,
    /// Whether the link had an IPv4 address before: lo is given one as it comes up, and keeps it.
    addressed: Cell<bool>,
}

impl BringUp {
    /// Brings `link` up.
    pub fn new(side: Where, link: impl Into<String>) -> Self {
        Self {
            side,
            link: link.into(),
            brought: Cell::new(false),
            addressed: Cell::new(true),
        }
    }
}

impl Step for BringUp {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        let link = found(&mut connection, &self.link)?;
        if !link.is_up() {
            if self.link == "lo" {
                self.addressed.set(has_ipv4(&mut connection, link.index)?);
            }
            let message = Draft::numbered(link.index).up(true);
            link::set(&mut connection, message).map_err(|refusal| {
                explained(refusal, format!("cannot bring {} up", self.link), None)
            })?;
            self.brought.set(true);
        }
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if !self.brought.take() {
            return;
        }
        let taken = self.side.connect(cx).and_then(|mut connection| {
            let link = found(&mut connection, &self.link)?;
            let message = Draft::numbered(link.index).up(false);
            link::set(&mut connection, message).doing("cannot bring it down")?;
            if self.addressed.get() {
                return Ok(());
            }
            let own = address::message(link.index, LOOPBACK);
            address::delete(&mut connection, own).doing("cannot take its address away")
        });
        if let Err(error) = taken {
            cx.note(format!("{} is not as it was: {error}", self.link));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let (why, without) = match &*self.link {
            "lo" => (
                "lo is down in a new network namespace",
                "not even 127.0.0.1 and the namespace's own addresses would answer",
            ),
            _ => (
                "a link is made down; a wire carries something when both of its ends are up",
                "packets would be dropped without a word",
            ),
        };
        Explanation::new(
            format!(
                "RTM_NEWLINK(name={:?}, flags=IFF_UP){}",
                self.link,
                self.side.shown()
            ),
            why,
            without,
            "netdevice(7)",
        )
    }

    fn shell(&self) -> Shell {
        self.side.ip(["link", "set", &self.link, "up"])
    }
}

/// Gives a network namespace its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRoute {
    /// On which side.
    pub side: Where,
    /// The link that it leaves by.
    pub link: String,
    /// Who passes packets on.
    pub gateway: IpAddr,
}

impl DefaultRoute {
    fn refused(&self, refusal: Refusal) -> Error {
        if refusal.is(Errno::EEXIST) {
            return a_way_out_already(&self.side);
        }
        explained(refusal, format!("cannot route over {}", self.gateway), None)
    }
}

/// It goes with its link.
impl Step for DefaultRoute {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        let link = found(&mut connection, &self.link)?;
        let way = Way {
            to: None,
            gateway: self.gateway,
            link: link.index,
        };
        route::add(&mut connection, way).map_err(|refusal| self.refused(refusal))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "RTM_NEWROUTE(default, gateway={}, dev={:?}){}",
                self.gateway,
                self.link,
                self.side.shown()
            ),
            "what is on no network of its own goes to the gateway, which passes it on",
            "only the neighbours on the same network could be reached",
            "ip-route(8)",
        )
    }

    fn shell(&self) -> Shell {
        let gateway = self.gateway.to_string();
        let words = [
            "route", "add", "default", "via", &gateway, "dev", &self.link,
        ];
        self.side.ip(words)
    }
}

/// Has nothing be sent to the address at which clouds tell a machine its secrets: a container is not the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMetadata {
    /// On which side.
    pub side: Where,
}

/// Where the service is, in all clouds.
const METADATA: Cidr = Cidr {
    address: IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    prefix: 32,
};

/// It goes with its namespace.
impl Step for NoMetadata {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        route::prohibit(&mut connection, METADATA)
            .map_err(|refusal| explained(refusal, format!("cannot prohibit {METADATA}"), None))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("RTM_NEWROUTE(prohibit, {METADATA}){}", self.side.shown()),
            "there a cloud tells who asks what its machine may do, with the keys for it",
            "the program could act as the machine",
            "ip-route(8)",
        )
    }

    fn shell(&self) -> Shell {
        let to = METADATA.to_string();
        self.side.ip(["route", "add", "prohibit", &to])
    }
}

/// Keeps IPv6 off a link of ours that nobody gave an IPv6 address: by itself a link has one that everybody on the wire
/// can reach, and believes whoever announces itself as its router (CVE-2020-13401). A link that is up already is
/// somebody's, and left as it is. Or lets it on one that gets such an address.
#[derive(Debug)]
pub struct SwitchIpv6 {
    /// The name of the link.
    pub link: String,
    /// Whether there is to be IPv6.
    pub on: bool,
    switched: Cell<bool>,
}

impl SwitchIpv6 {
    /// Turns it on or off.
    pub fn new(link: String, on: bool) -> Self {
        Self {
            link,
            on,
            switched: Cell::new(false),
        }
    }

    fn file(&self) -> String {
        format!("net/ipv6/conf/{}/disable_ipv6", self.link)
    }

    fn write(&self, cx: &mut Context, on: bool) {
        let value = if on { b"0" } else { b"1" };
        match proc_write::write(&format!("sys/{}", self.file()), value) {
            // No IPv6 in this kernel, or no /proc to say it by.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => {
                let reason = crate::error::reason(errno);
                let stays = if on { "off" } else { "on" };
                cx.note(format!("IPv6 stays {stays} for {}: {reason}", self.link));
            }
        }
    }
}

impl Step for SwitchIpv6 {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let wanted = match self.on {
            true => forwarding::read(&self.file()).is_ok_and(|off| off == "1"),
            false => !found(&mut Connection::open()?, &self.link)?.is_up(),
        };
        if wanted {
            self.write(cx, self.on);
            self.switched.set(true);
        }
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        // Where it was turned off, the link goes.
        if self.on && self.switched.take() {
            self.write(cx, false);
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let file = self.file();
        match self.on {
            true => Explanation::new(
                format!("write(\"/proc/sys/{file}\", \"0\"), if it is 1"),
                "the link gets an IPv6 address",
                "the kernel would refuse the address: Permission denied",
                "proc_sys_net(5)",
            ),
            false => Explanation::new(
                format!("write(\"/proc/sys/{file}\", \"1\"), if it is down"),
                "no IPv6 address was asked for here; by itself a link takes one, and a router's word",
                "whoever is at the other end could reach us over IPv6, and announce itself as our router",
                "proc_sys_net(5)",
            ),
        }
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}
