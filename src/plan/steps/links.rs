//! The two sides of a wire (network_namespaces(7)): this network namespace, and the one at the other end, as a person
//! names it. What is on them is made in `pairs.rs`, `bridges.rs` and `addresses.rs`.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::namespace::Kind;
use crate::net::link::Link;
use crate::net::netns::{Directories, Named};
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
pub(super) fn own_network(pid: Pid) -> Result<OwnedFd> {
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

/// Refuses a link of another kind.
pub(super) fn of_kind(found: &Link, wanted: &str) -> Result<()> {
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
