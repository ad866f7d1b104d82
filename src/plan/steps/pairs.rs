//! Wires (veth(4), ip-link(8)): a pair of links in two network namespaces.

use std::cell::Cell;
use std::ffi::OsString;
use std::net::IpAddr;

use nix::errno::Errno;

use super::addresses::{check_free, check_no_default};
use super::links::{Place, Where, explained, of_kind};
use crate::error::{Doing, Error, Result};
use crate::net::address::Cidr;
use crate::net::link::{self, Draft, Link};
use crate::net::veth::{Mark, Pair};
use crate::net::{Connection, Refusal};
use crate::netnsid::Asker;
use crate::plan::{Context, Explanation, Shell, Slot, Step};

/// What the near end says of the far one.
pub fn mark(guest: &str, place: &Place) -> Mark {
    Mark::Near {
        guest: guest.into(),
        namespace: place.shown(),
    }
}

/// Makes a pair of links: one here, one straight in the other network namespace.
#[derive(Debug)]
pub struct MakePair {
    /// The pair.
    pub pair: Pair,
    /// Where the far end goes.
    pub there: (Slot, Place),
    /// The bridge that the near end goes into.
    pub bridge: Option<String>,
    /// The number of the near end, once it is made.
    made: Cell<Option<u32>>,
}

impl MakePair {
    /// Makes `pair`.
    pub fn new(pair: Pair, there: (Slot, Place), bridge: Option<String>) -> Self {
        Self {
            pair,
            there,
            bridge,
            made: Cell::new(None),
        }
    }

    /// Which of the two names is taken, and by what.
    fn refused(&self, cx: &Context, here: &mut Connection, refusal: Refusal) -> Error {
        let Pair { host, guest, .. } = &self.pair;
        let doing = format!("cannot make the links {host} and {guest}");
        if !refusal.is(Errno::EEXIST) {
            return explained(refusal, doing, Some("veth"));
        }
        if let Ok(found) = link::named(here, host) {
            let ours = found.kind().as_deref() == Some("veth");
            let hint = ours.then(|| {
                format!("'veth del {host}' removes it, and --replace puts the new one in its place")
            });
            return Error::new(format!("there is a link {host} already")).hint_maybe(hint);
        }
        let (slot, place) = &self.there;
        let mut there = match cx.get(*slot).and_then(Connection::open_in) {
            Ok(there) => there,
            Err(error) => return error,
        };
        match link::named(&mut there, guest) {
            Ok(_) => is_taken(guest, &Where::There(*slot, place.clone())),
            Err(_) => refusal.doing(doing),
        }
    }
}

impl Step for MakePair {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut here = Connection::open()?;
        let ns = cx.get(self.there.0)?;
        let master = match &self.bridge {
            Some(name) => Some(
                link::named(&mut here, name)
                    .doing_to("cannot find", name)?
                    .index,
            ),
            None => None,
        };
        let mark = mark(&self.pair.guest, &self.there.1);
        match self.pair.make(&mut here, ns, master, &mark) {
            Ok(made) => {
                self.made.set(Some(made.index));
                Ok(())
            }
            Err(refusal) => Err(self.refused(cx, &mut here, refusal)),
        }
    }

    fn undo(&self, cx: &mut Context) {
        let Some(index) = self.made.take() else {
            return;
        };
        let host = &self.pair.host;
        let removed = Connection::open().and_then(|mut here| {
            match link::delete(&mut here, index, host) {
                // It went with the namespace that its other end was in.
                Err(refusal) if refusal.is(Errno::ENODEV) => Ok(()),
                other => other.doing("cannot remove it"),
            }
        });
        if let Err(error) = removed {
            cx.note(format!("the link {host} stays: {error}"));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let Pair {
            host,
            guest,
            mtu,
            mac,
        } = &self.pair;
        let mut call = format!("RTM_NEWLINK(type=veth, name={host:?}");
        if let Some(mtu) = mtu {
            call.push_str(&format!(", mtu={mtu}"));
        }
        if let Some(bridge) = &self.bridge {
            call.push_str(&format!(", master={bridge:?}"));
        }
        call.push_str(&format!(
            ", peer={{name={guest:?}, netns={:?}",
            self.there.1.shown()
        ));
        if let Some(mac) = mac {
            call.push_str(&format!(", address={mac}"));
        }
        call.push_str("})");
        Explanation::new(
            call,
            "a wire between the two namespaces; its far end is made where it belongs, and goes with that namespace",
            "the namespace would have no link but lo",
            "veth(4)",
        )
    }

    fn shell(&self) -> Shell {
        let Place::Named { text, .. } = &self.there.1 else {
            return Shell::Implied;
        };
        let Pair {
            host,
            guest,
            mtu,
            mac,
        } = &self.pair;
        let (mtu, mac) = (
            mtu.map(|mtu| mtu.to_string()),
            mac.map(|mac| mac.to_string()),
        );
        let mut words = vec!["link", "add", host];
        words.extend(mtu.iter().flat_map(|mtu| ["mtu", mtu]));
        words.extend(self.bridge.iter().flat_map(|bridge| ["master", bridge]));
        words.extend(["type", "veth", "peer", "name", guest]);
        words.extend(mtu.iter().flat_map(|mtu| ["mtu", mtu]));
        words.extend(mac.iter().flat_map(|mac| ["address", mac]));
        words.push("netns");
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        words.push(text.clone());
        Shell::Option {
            applet: "ip",
            words,
        }
    }
}

/// The wire that takes the place of another.
#[derive(Debug)]
pub struct Successor {
    /// The network namespace at its other end.
    pub there: (Slot, Place),
    /// The name that its far end is to get.
    pub guest: String,
    /// The bridge that its near end is in.
    pub bridge: Option<String>,
    /// The addresses of its near end, or of that bridge.
    pub host_addresses: Vec<Cidr>,
    /// Those of its far end.
    pub guest_addresses: Vec<Cidr>,
    /// Its ways out.
    pub gateways: Vec<IpAddr>,
}

impl Successor {
    /// Refuses what would not be free once `old` is gone, with its other end, their addresses and routes.
    fn check(&self, cx: &Context, here: &mut Connection, old: Option<&Link>) -> Result<()> {
        let (slot, place) = &self.there;
        let side = Where::There(*slot, place.clone());
        let mut there = side.connect(cx)?;
        let far = old.and_then(|old| {
            let ns = cx.get(*slot).ok()?;
            let id = Asker::new().ok()?.id_of(ns).flatten();
            let is_in = old.link_namespace().map(i32::cast_unsigned) == id;
            let far = link::numbered(&mut there, old.link()?).ok()?;
            let is_far = is_in && far.link() == Some(old.index) && far.kind() == old.kind();
            is_far.then_some(far.index)
        });
        match link::named(&mut there, &self.guest) {
            Ok(found) if Some(found.index) != far => {
                return Err(is_taken(&self.guest, &side));
            }
            _ => {}
        }
        let bridge = self.bridge.as_ref().map(|name| link::named(here, name));
        let bridge = bridge.and_then(|found| Some(found.ok()?.index));
        for cidr in &self.host_addresses {
            let ours = [old.map(|old| old.index), bridge];
            check_free(&Where::Here, here, *cidr, &ours)?;
        }
        for cidr in &self.guest_addresses {
            check_free(&side, &mut there, *cidr, &[far])?;
        }
        check_no_default(&side, &mut there, &self.gateways, far)
    }
}

/// The name is another link's.
fn is_taken(name: &str, side: &Where) -> Error {
    Error::new(format!("there is a link {name} already{}", side.shown()))
}

/// Gives one end of a new wire its name. It is down still.
#[derive(Debug)]
pub struct RenameLink {
    /// On which side.
    pub side: Where,
    /// What it is called.
    pub from: String,
    /// What it is to be called.
    pub to: String,
    /// What the near end is to say of the far one, by its new name.
    pub mark: Option<Mark>,
}

impl RenameLink {
    fn rename(&self, cx: &Context, from: &str, to: &str) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        let doing = || format!("cannot call the link {from} {to}");
        let index = link::named(&mut connection, from).doing(doing())?.index;
        let mut change = Draft::numbered(index).name(to);
        if let Some(mark) = &self.mark {
            change = change.alias(&mark.to_string());
        }
        link::set(&mut connection, change).map_err(|refusal| explained(refusal, doing(), None))
    }
}

impl Step for RenameLink {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        self.rename(cx, &self.from, &self.to)
    }

    fn undo(&self, cx: &mut Context) {
        if let Err(error) = self.rename(cx, &self.to, &self.from) {
            cx.note(error.to_string());
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "RTM_NEWLINK(name={:?}, IFLA_IFNAME={:?}){}",
                self.from,
                self.to,
                self.side.shown()
            ),
            "the new wire was made beside the old one, which is gone only now that nothing is in the way",
            "the new wire would keep the name it was made by",
            "ip-link(8)",
        )
    }

    fn shell(&self) -> Shell {
        self.side.ip(["link", "set", &self.from, "name", &self.to])
    }
}

/// Removes one end of a wire, and the other with it.
#[derive(Debug)]
pub struct RemovePair {
    /// The name of the end here.
    pub name: String,
    /// Whether it has to be there.
    pub must: bool,
    /// Who takes its place, which has to be free then: nothing is removed for one that could not have it.
    pub successor: Option<Successor>,
    removed: Cell<bool>,
}

impl RemovePair {
    /// Removes the pair whose end here is called `name`.
    pub fn new(name: String, must: bool) -> Self {
        Self {
            name,
            must,
            successor: None,
            removed: Cell::new(false),
        }
    }
}

impl Step for RemovePair {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        let found = match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) && !self.must => None,
            other => Some(other.doing_to("cannot find the link", &self.name)?),
        };
        if let Some(found) = &found {
            of_kind(found, "veth")?;
        }
        if let Some(successor) = &self.successor {
            successor.check(cx, &mut connection, found.as_ref())?;
        }
        let Some(found) = found else {
            return Ok(());
        };
        let removed = link::delete(&mut connection, found.index, &found.name());
        removed
            .map_err(|refusal| explained(refusal, format!("cannot remove {}", self.name), None))?;
        self.removed.set(true);
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if self.removed.get() {
            cx.note(format!("the old link {} is gone", self.name));
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let (condition, without) = if self.must {
            ("", "the wire would stay until one of its namespaces ends")
        } else {
            (
                ", if it is there",
                "making the new one would fail with EEXIST",
            )
        };
        Explanation::new(
            format!("RTM_DELLINK(name={:?}){condition}", self.name),
            "one end takes the other with it, and the addresses and routes of both",
            without,
            "veth(4)",
        )
    }

    fn shell(&self) -> Shell {
        Where::Here.ip(["link", "del", &self.name])
    }
}
