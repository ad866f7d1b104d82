//! `ip link`.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use isobox::error::{Error, Result};
use isobox::net::number::{ifla, rtm};
use isobox::net::request::{INDEX, Place, Request};
use isobox::plan::steps::rtnetlink::{Change, LinkNumber, cannot_find};

use super::link_list::show;
use super::link_words::parse;
use super::words::{USAGE, Words, begins, garbage};
use super::{Options, absent, unknown, usage, verb};
use crate::cli::Exit;

/// Flags of a request: `NLM_F_CREATE` and its companions.
pub(super) const CREATE: u16 = 0x400;
pub(super) const EXCL: u16 = 0x200;
pub(super) const REPLACE: u16 = 0x100;

/// Places in `struct ifinfomsg`, counted from its start.
pub(super) const FLAGS: usize = 8;
pub(super) const CHANGE: usize = 12;

const VERBS: [&str; 11] = [
    "add", "set", "change", "replace", "delete", "show", "lst", "list", "xstats", "property",
    "help",
];

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let all = words.rest();
    let Some(word) = words.next()? else {
        return show(words, options);
    };
    match verb(word, &VERBS) {
        Some("add") => modify(words, all, options, rtm::NEWLINK, CREATE | EXCL),
        Some("set" | "change") => modify(words, all, options, rtm::NEWLINK, 0),
        Some("replace") => modify(words, all, options, rtm::NEWLINK, CREATE | REPLACE),
        Some("delete") => modify(words, all, options, rtm::DELLINK, 0),
        Some("show" | "lst" | "list") => show(words, options),
        Some("property") => property(words, all, options),
        Some("help") => Ok(usage(Some("link"))),
        Some(other) => Err(absent(&format!("ip link {other}"))),
        None => Err(unknown(word, "link")),
    }
}

/// A request on a link, as far as it has been read.
pub(super) struct Making {
    pub(super) request: Request,
    pub(super) links: Vec<LinkNumber>,
    pub(super) held: Vec<OwnedFd>,
}

impl Making {
    /// Nothing read yet.
    pub(super) fn new(request: Request) -> Self {
        Self {
            request,
            links: Vec::new(),
            held: Vec::new(),
        }
    }

    /// A place for the number of the link called `name`.
    pub(super) fn link(&mut self, kind: u16, name: &str, missing: fn(&str) -> Error) {
        let place = self.request.number(kind, 0);
        self.fill(place, name, missing);
    }

    /// The number of the link called `name`, at a place that is there.
    pub(super) fn fill(&mut self, place: Place, name: &str, missing: fn(&str) -> Error) {
        self.links.push(LinkNumber {
            place,
            name: name.to_owned(),
            missing,
        });
    }
}

fn modify(
    words: &mut Words<'_>,
    all: &[OsString],
    options: &Options,
    kind: u16,
    flags: u16,
) -> Result<Exit> {
    let mut making = Making::new(Request::new(kind, flags, &[0; 16]));
    let creates = flags & CREATE != 0;
    let said = parse(words, &mut making, options, creates)?;
    if creates && said.kind.is_none() {
        return Err(Error::new(
            "Not enough information: \"type\" argument is required",
        ));
    }
    if said.device.is_none() && said.name.is_none() && said.group.is_none() && !creates {
        return Err(
            Error::new("Not enough information: \"dev\" argument is required.").status(USAGE),
        );
    }
    making.request.put(FLAGS, &said.flags.to_ne_bytes());
    making.request.put(CHANGE, &said.change.to_ne_bytes());
    match (creates, &said.device, said.group) {
        (true, device, group) => {
            if let Some(index) = said.index {
                making.request.set(INDEX, index);
            }
            if let Some(name) = said.name.as_ref().or(device.as_ref()) {
                making.request.text(ifla::IFNAME, name);
            }
            if let Some(group) = group {
                making.request.number(ifla::GROUP, group);
            }
        }
        (false, Some(device), group) => {
            making.fill(INDEX, device, cannot_find);
            if let Some(name) = &said.name {
                making.request.text(ifla::IFNAME, name);
            }
            if let Some(group) = group {
                making.request.number(ifla::GROUP, group);
            }
        }
        (false, None, Some(group)) => {
            making.request.number(ifla::GROUP, group);
        }
        // `ip link set name NAME ...` means that link.
        (false, None, None) => {
            if let Some(name) = &said.name {
                making.fill(INDEX, name, cannot_find);
            }
        }
    }
    let names = [said.name.clone(), said.device.clone()];
    let making_kind = said.kind.filter(|_| creates);
    options.change(Change {
        told: told(kind, flags, all),
        purpose: purpose(kind, creates),
        kind: making_kind,
        names: names.into_iter().flatten().filter(|_| creates).collect(),
        words: said_words("link", all),
        request: making.request,
        links: making.links,
        held: making.held,
    })
}

/// The request as `--explain` tells it.
pub(super) fn told(kind: u16, flags: u16, words: &[OsString]) -> String {
    let name = match kind {
        rtm::NEWLINK => "RTM_NEWLINK",
        rtm::DELLINK => "RTM_DELLINK",
        rtm::NEWADDR => "RTM_NEWADDR",
        rtm::DELADDR => "RTM_DELADDR",
        rtm::NEWROUTE => "RTM_NEWROUTE",
        rtm::DELROUTE => "RTM_DELROUTE",
        rtm::NEWNEIGH => "RTM_NEWNEIGH",
        rtm::DELNEIGH => "RTM_DELNEIGH",
        rtm::NEWLINKPROP => "RTM_NEWLINKPROP",
        _ => "RTM_DELLINKPROP",
    };
    let mut set = vec!["NLM_F_REQUEST", "NLM_F_ACK"];
    for (bit, name) in [
        (CREATE, "NLM_F_CREATE"),
        (EXCL, "NLM_F_EXCL"),
        (REPLACE, "NLM_F_REPLACE"),
        (0x800, "NLM_F_APPEND"),
    ] {
        if flags & bit != 0 {
            set.push(name);
        }
    }
    let words: Vec<_> = words
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy())
        .collect();
    format!(
        "send(NETLINK_ROUTE, {name}, {}, \"{}\")",
        set.join("|"),
        words.join(" ")
    )
}

/// The words of `ip` that say a request.
pub(super) fn said_words(object: &str, all: &[OsString]) -> Vec<OsString> {
    std::iter::once(object.into())
        .chain(all.iter().cloned())
        .collect()
}

fn purpose(
    kind: u16,
    creates: bool,
) -> (
    std::borrow::Cow<'static, str>,
    std::borrow::Cow<'static, str>,
) {
    match (kind, creates) {
        (rtm::DELLINK, _) => (
            "takes the link out of the kernel, with its addresses and routes; of a veth pair both ends".into(),
            "it would stay until its network namespace goes".into(),
        ),
        (_, true) => (
            "makes a link: a network device that is software only".into(),
            "there would be no such link to give an address to".into(),
        ),
        _ => (
            "changes what is named, and nothing else of the link".into(),
            "the link would stay as it is: a new one is down".into(),
        ),
    }
}

fn property(words: &mut Words<'_>, all: &[OsString], options: &Options) -> Result<Exit> {
    let kind = match words.next()? {
        Some(word) if begins(word, "add") => rtm::NEWLINKPROP,
        Some(word) if begins(word, "delete") => rtm::DELLINKPROP,
        Some(word) if begins(word, "help") => return Ok(usage(Some("link"))),
        Some(word) => {
            let text = format!("Operator \"{word}\" is unknown");
            return Err(Error::new(text).status(USAGE));
        }
        None => return Err(Error::new("Operation not specified").status(USAGE)),
    };
    let flags = match kind {
        rtm::NEWLINKPROP => CREATE | EXCL | 0x800,
        _ => 0,
    };
    let mut request = Request::new(kind, flags, &[0; 16]);
    let list = request.begin(ifla::PROP_LIST);
    let mut device = None;
    while let Some(word) = words.next()? {
        match word {
            "dev" => device = Some(words.value()?),
            "altname" => {
                let name = words.value()?;
                request.text(ifla::ALT_IFNAME, name);
            }
            word => return Err(garbage("dev", word)),
        }
    }
    request.end(list);
    let device = device.ok_or_else(|| {
        Error::new("Not enough of information: \"dev\" argument is required.").status(USAGE)
    })?;
    options.change(Change {
        told: told(kind, flags, all),
        purpose: (
            "gives the link one more name, which may be longer than fifteen bytes".into(),
            "it could be named by its short name only".into(),
        ),
        kind: None,
        names: Vec::new(),
        words: said_words("link", all),
        request,
        links: vec![LinkNumber {
            place: INDEX,
            name: device.into(),
            missing: cannot_find,
        }],
        held: Vec::new(),
    })
}
