//! `ip link`.

use std::ffi::OsString;

use isobox::error::{Error, Result};
use isobox::net::number::{ifla, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::plan::steps::rtnetlink::cannot_find;

use super::changes::{APPEND, CREATE, EXCL, Making, changing};
use super::link_list::show;
use super::link_words::parse;
use super::words::{USAGE, Words, begins, garbage, is_link_name, wrong};
use super::{Options, absent, unknown, usage, verb};
use crate::cli::Exit;

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
        Some("set" | "change") => modify(words, all, options, (rtm::NEWLINK, 0)),
        Some("show" | "lst" | "list") => show(words, options),
        Some("property") => property(words, all, options),
        Some("help") => Ok(usage(Some("link"))),
        Some(other) => match changing(other, rtm::NEWLINK, rtm::DELLINK) {
            Some(request) => modify(words, all, options, request),
            None => Err(absent(&format!("ip link {other}"))),
        },
        None => Err(unknown(word, "link")),
    }
}

fn modify(
    words: &mut Words<'_>,
    all: &[OsString],
    options: &Options,
    (kind, flags): (u16, u16),
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
    if let Some(name) = said.name.as_ref().filter(|name| !is_link_name(name)) {
        return Err(wrong(name, "\"name\" not a valid ifname"));
    }
    if said.index.is_some() && !creates {
        return Err(Error::new(
            "index can be used only when creating devices or when moving device to another netns.",
        )
        .status(USAGE));
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
    let mut change = making.change("link", all, purpose(kind, creates));
    change.kind = making_kind;
    let names = names.into_iter().flatten();
    change.names = names.filter(|_| creates).collect();
    options.change(change)
}

fn purpose(kind: u16, creates: bool) -> (&'static str, &'static str) {
    match (kind, creates) {
        (rtm::DELLINK, _) => (
            "takes the link out of the kernel, with its addresses and routes; of a veth pair both ends",
            "it would stay until its network namespace goes",
        ),
        (_, true) => (
            "makes a link: a network device that is software only",
            "there would be no such link to give an address to",
        ),
        _ => (
            "changes what is named, and nothing else of the link",
            "the link would stay as it is: a new one is down",
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
        rtm::NEWLINKPROP => CREATE | EXCL | APPEND,
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
    let mut making = Making::new(request);
    making.fill(INDEX, device, cannot_find);
    let purpose = (
        "gives the link one more name, which may be longer than fifteen bytes",
        "it could be named by its short name only",
    );
    options.change(making.change("link", all, purpose))
}
