//! Links (veth(4), ip-link(8)): a wire between two network namespaces, the bridge that it may end in, and the
//! namespace at its other end.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::net::link::{self, Link};
use crate::net::netns::{Directories, Named};
use crate::net::veth::{Mark, Pair, make_bridge, remove_empty_bridge};
use crate::net::{Connection, Refusal};
use crate::plan::{Context, Explanation, Shell, Slot, Step};
use crate::probe;
use crate::procfs::Process;

/// The network namespace at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// As a person names it: a name, the number of a process in it, or a file.
    Named {
        /// What was typed.
        text: OsString,
        /// Where names are looked for.
        directories: Directories,
    },
    /// That of the program of this plan.
    Program,
}

impl Place {
    /// For people, and for the mark.
    pub fn shown(&self) -> String {
        match self {
            Self::Named { text, .. } => text.to_string_lossy().into_owned(),
            Self::Program => "the program's".into(),
        }
    }

    /// Whether it is named by a name, and not by a process or a file.
    pub fn name(&self) -> Option<&OsStr> {
        match self {
            Self::Named { text, directories } => {
                let named = directories.names().iter().any(|name| name == text);
                named.then_some(text.as_os_str())
            }
            Self::Program => None,
        }
    }

    fn open(&self, cx: &Context) -> Result<OwnedFd> {
        match self {
            Self::Named { text, directories } => directories.open(text),
            Self::Program => own_network(cx.program()),
        }
    }

    /// The line of ours that runs `ip` with these words in it.
    fn shell(&self, words: Vec<OsString>) -> Shell {
        let Self::Named { text, .. } = self else {
            return Shell::Implied;
        };
        let mut all: Vec<OsString> = if self.name().is_some() {
            vec!["-n".into(), text.clone()]
        } else if text.to_string_lossy().contains('/') {
            let mut file = OsString::from("--net=");
            file.push(text);
            vec![file, "ip".into()]
        } else {
            vec!["-t".into(), text.clone(), "-n".into(), "ip".into()]
        };
        let applet = if self.name().is_some() {
            "ip"
        } else {
            "nsenter"
        };
        all.extend(words);
        Shell::Option { applet, words: all }
    }
}

/// The network namespace of a process.
fn own_network(pid: Pid) -> Result<OwnedFd> {
    let opened = Process::open(pid).and_then(|process| process.open_namespace(Kind::Net));
    opened.doing_to("cannot open", format!("/proc/{pid}/ns/net"))
}

/// On which side of the wire something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// In the network namespace of the process that performs the step.
    Here,
    /// In the one that an earlier step left in the slot.
    There(Slot, Place),
}

impl Where {
    /// A line to the kernel's part there.
    pub(super) fn connect(&self, cx: &Context) -> Result<Connection> {
        match self {
            Self::Here => Connection::open(),
            Self::There(slot, _) => enter(cx.get(*slot)?),
        }
    }

    /// ` in blue`, for the other side.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Here => String::new(),
            Self::There(_, Place::Program) => " in the program's network namespace".into(),
            Self::There(_, place) => format!(" in the network namespace {}", place.shown()),
        }
    }

    /// The line of ours that does it: `ip` with these words.
    pub(super) fn ip<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Shell {
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        match self {
            Self::Here => Shell::Option {
                applet: "ip",
                words,
            },
            Self::There(_, place) => place.shell(words),
        }
    }
}

/// A line to the kernel's part in another network namespace.
fn enter(ns: std::os::fd::BorrowedFd<'_>) -> Result<Connection> {
    Connection::open_in(ns).map_err(|error| {
        let why = error.errno().and_then(probe::network_refused);
        error.hint_maybe(why)
    })
}

/// What a refused request means to people: which module or capability is missing.
pub(super) fn explained(refusal: Refusal, doing: String, module: Option<&str>) -> Error {
    let hint = match (refusal.errno, module) {
        (Errno::EOPNOTSUPP | Errno::ENOENT, Some(module)) => Some(format!(
            "this kernel has no {module}: load the module with 'modprobe {module}', or build it in"
        )),
        (errno, _) => probe::network_refused(errno),
    };
    refusal.doing(doing).hint_maybe(hint)
}

/// Takes hold of the network namespace at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNetwork {
    /// Which one.
    pub place: Place,
    /// Where later steps find it.
    pub slot: Slot,
}

impl Step for OpenNetwork {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let opened = self.place.open(cx)?;
        cx.put(self.slot, opened);
        Ok(())
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let file = match &self.place {
            Place::Named { text, directories } => match directories.find(text) {
                Some(Named::File(file)) => file,
                Some(Named::Process(pid)) => format!("/proc/{pid}/ns/net").into(),
                None => text.into(),
            },
            Place::Program => "/proc/PID/ns/net".into(),
        };
        Explanation::new(
            format!("open({file:?}, O_RDONLY)"),
            "a descriptor keeps the network namespace alive, and means the same one to the end",
            "the process could end, or the name be given to another namespace, between one step and the next",
            "network_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Implied
    }
}

/// Makes a bridge, if it is not there.
#[derive(Debug)]
pub struct MakeBridge {
    /// Its name.
    pub name: String,
    made: Cell<bool>,
}

impl MakeBridge {
    /// Makes the bridge `name`.
    pub fn new(name: String) -> Self {
        Self {
            name,
            made: Cell::new(false),
        }
    }
}

impl Step for MakeBridge {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) => {}
            found => {
                let found = found.doing_to("cannot find the bridge", &self.name)?;
                return of_kind(&found, "bridge");
            }
        }
        let doing = || format!("cannot make the bridge {}", self.name);
        make_bridge(&mut connection, &self.name)
            .map_err(|refusal| explained(refusal, doing(), Some("bridge")))?;
        self.made.set(true);
        Ok(())
    }

    fn undo(&self, cx: &mut Context) {
        if !self.made.get() {
            return;
        }
        let removed = Connection::open().and_then(|mut connection| {
            let bridge = link::named(&mut connection, &self.name);
            let removed = bridge.and_then(|bridge| remove_empty_bridge(&mut connection, &bridge));
            removed.doing("cannot remove the bridge")
        });
        match removed {
            Ok(true) => {}
            Ok(false) => cx.note(format!("the bridge {} stays: links are in it", self.name)),
            Err(error) => cx.note(format!("the bridge {} stays: {error}", self.name)),
        }
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("RTM_NEWLINK(type=bridge, name={:?})", self.name),
            "a bridge is a switch: what is plugged into it can reach each other",
            "each namespace would reach only us, over a wire of its own",
            "ip-link(8)",
        )
    }

    fn shell(&self) -> Shell {
        Where::Here.ip(["link", "add", &self.name, "type", "bridge"])
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
            Ok(_) => {
                let shown = Where::There(*slot, place.clone()).shown();
                Error::new(format!("there is a link {guest} already{shown}"))
            }
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
        let mark = Mark::Near {
            guest: self.pair.guest.clone(),
            namespace: self.there.1.shown(),
        };
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

/// Removes one end of a wire, and the other with it.
#[derive(Debug)]
pub struct RemovePair {
    /// The name of the end here.
    pub name: String,
    /// Whether it has to be there.
    pub must: bool,
    removed: Cell<bool>,
}

impl RemovePair {
    /// Removes the pair whose end here is called `name`.
    pub fn new(name: String, must: bool) -> Self {
        Self {
            name,
            must,
            removed: Cell::new(false),
        }
    }
}

impl Step for RemovePair {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        let found = match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) && !self.must => return Ok(()),
            other => other.doing_to("cannot find the link", &self.name)?,
        };
        of_kind(&found, "veth")?;
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

/// Refuses a link of another kind.
fn of_kind(found: &Link, wanted: &str) -> Result<()> {
    let kind = found.kind();
    if kind.as_deref() == Some(wanted) {
        return Ok(());
    }
    let kind = kind.map_or_else(
        || "it is hardware, or lo".into(),
        |kind| format!("it is a link of the kind {kind}"),
    );
    let what = match wanted {
        "veth" => "no end of a veth pair",
        _ => "no bridge",
    };
    Err(Error::new(format!("{} is {what}", found.name())).hint(kind))
}

/// Removes a bridge that no link is in any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveBridge {
    /// Its name.
    pub name: String,
    /// Whether it has to be there, and to be empty.
    pub must: bool,
}

impl Step for RemoveBridge {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut connection = Connection::open()?;
        let found = match link::named(&mut connection, &self.name) {
            Err(refusal) if refusal.is(Errno::ENODEV) && !self.must => return Ok(()),
            other => other.doing_to("cannot find the bridge", &self.name)?,
        };
        of_kind(&found, "bridge")?;
        let doing = || format!("cannot remove the bridge {}", self.name);
        let gone = remove_empty_bridge(&mut connection, &found)
            .map_err(|refusal| explained(refusal, doing(), None))?;
        if gone || !self.must {
            return Ok(());
        }
        Err(Error::new(doing()).because("links are in it"))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("RTM_DELLINK(name={:?}), if no link is in it", self.name),
            "a bridge of ours goes with the last wire that ends in it",
            "it would stay, with its address and its route",
            "ip-link(8)",
        )
    }

    fn shell(&self) -> Shell {
        Where::Here.ip(["link", "del", &self.name])
    }
}
