//! The words of a link, which `ip link add` and `set` share with the other end of a veth pair.

use std::os::fd::AsRawFd;

use isobox::error::{Error, Result};
use isobox::net::netns::{Named, open_file};
use isobox::net::number::ifla;
use isobox::net::request::Request;
use isobox::plan::steps::rtnetlink::cannot_find;

use super::changes::Making;
use super::link::{CHANGE, FLAGS};
use super::show_link::UP;
use super::words::{Words, begins, full, garbage, hardware, twice, wrong};
use super::{Options, absent, kinds};

/// What the words in front of `type` said.
#[derive(Default)]
pub(super) struct Said {
    pub(super) device: Option<String>,
    pub(super) name: Option<String>,
    pub(super) group: Option<u32>,
    pub(super) index: Option<u32>,
    pub(super) flags: u32,
    pub(super) change: u32,
    pub(super) kind: Option<String>,
    /// The numbers that were given.
    pub(super) seen: Vec<u16>,
}

/// What iproute2 knows by its beginning, in its order, once the link is named.
const KEYS: [&str; 9] = [
    "address",
    "broadcast",
    "brd",
    "txqueuelen",
    "master",
    "nomaster",
    "dynamic",
    "type",
    "alias",
];

/// A master that is not there.
pub(super) fn no_device(name: &str) -> Error {
    wrong(name, "Device does not exist")
}

/// Reads the words of a link up to the end, the type and what that kind has included.
pub(super) fn parse(
    words: &mut Words<'_>,
    making: &mut Making,
    options: &Options,
    creates: bool,
) -> Result<Said> {
    let mut said = Said::default();
    while let Some(word) = words.next()? {
        let word = match said.device {
            Some(_) => full(word, &KEYS),
            None => word,
        };
        if switch(word, words, &mut said)? || attribute(word, words, making, options, &mut said)? {
            continue;
        }
        match word {
            "name" => once("name", &mut said.name, words.value()?.to_owned())?,
            "index" => {
                let index: u32 = words.number("Invalid \"index\" value")?;
                once("index", &mut said.index, index)?;
            }
            "group" => {
                let group = group(words)?;
                once("group", &mut said.group, group)?;
            }
            "type" => {
                read_kind(words, making, options, creates, &mut said)?;
                break;
            }
            word if word.len() > 1 && begins(word, "type") && creates => {
                read_kind(words, making, options, creates, &mut said)?;
                break;
            }
            "vf" | "mode" | "state" | "xdp" | "xdpgeneric" | "xdpdrv" | "xdpoffload" | "vrf"
            | "parentdev" | "link-netns" | "link-netnsid" | "protodown_reason" => {
                return Err(absent(&format!("\"{word}\"")));
            }
            word => {
                let word = if word == "dev" { words.value()? } else { word };
                if said.device.is_some() {
                    return Err(garbage("dev", word));
                }
                said.device = Some(word.to_owned());
            }
        }
    }
    Ok(said)
}

fn once<T: ToString>(key: &str, place: &mut Option<T>, value: T) -> Result<()> {
    if place.is_some() {
        return Err(twice(key, &value.to_string()));
    }
    *place = Some(value);
    Ok(())
}

/// `default`, or the number of a group.
pub(super) fn group(words: &mut Words<'_>) -> Result<u32> {
    let word = words.value()?;
    let number = super::words::number(word).and_then(|group| u32::try_from(group).ok());
    match word {
        "default" => Ok(0),
        _ => number.ok_or_else(|| words.wrong("Invalid \"group\" value")),
    }
}

/// The words that set or clear a flag of the link.
fn switch(word: &str, words: &mut Words<'_>, said: &mut Said) -> Result<bool> {
    let (bit, on) = match word {
        "up" => (UP, true),
        "down" => (UP, false),
        "multicast" => (0x1000, on_off(words, "multicast")?),
        "allmulticast" => (0x200, on_off(words, "allmulticast")?),
        "promisc" => (0x100, on_off(words, "promisc")?),
        "trailers" => (0x20, !on_off(words, "trailers")?),
        "arp" => (0x80, !on_off(words, "arp")?),
        "dynamic" => (0x8000, on_off(words, "dynamic")?),
        _ => return Ok(false),
    };
    said.change |= bit;
    said.flags = if on {
        said.flags | bit
    } else {
        said.flags & !bit
    };
    Ok(true)
}

fn on_off(words: &mut Words<'_>, name: &str) -> Result<bool> {
    match words.value()? {
        "on" => Ok(true),
        "off" => Ok(false),
        word => {
            let text =
                format!("Error: argument of \"{name}\" must be \"on\" or \"off\", not \"{word}\"");
            Err(Error::new(text))
        }
    }
}

/// The words that are one attribute each.
fn attribute(
    word: &str,
    words: &mut Words<'_>,
    making: &mut Making,
    options: &Options,
    said: &mut Said,
) -> Result<bool> {
    let mut number = |words: &mut Words<'_>, making: &mut Making, kind: u16, name: &str| {
        let value: u32 = words.number(&format!("Invalid \"{name}\" value"))?;
        if said.seen.contains(&kind) {
            return Err(twice(name, &value.to_string()));
        }
        said.seen.push(kind);
        making.request.number(kind, value);
        Ok::<(), Error>(())
    };
    match word {
        "mtu" => number(words, making, ifla::MTU, "mtu")?,
        "link" => {
            let name = words.value()?;
            making.link(ifla::LINK, name, cannot_find);
        }
        "master" => {
            let name = words.value()?;
            making.link(ifla::MASTER, name, no_device);
        }
        "nomaster" => {
            making.request.number(ifla::MASTER, 0);
        }
        "netns" => namespace(words, making, options)?,
        "alias" => {
            let alias = words.value()?;
            making.request.attribute(ifla::IFALIAS, alias.as_bytes());
        }
        "carrier" => {
            let on = on_off(words, "carrier")?;
            making.request.attribute(ifla::CARRIER, &[on.into()]);
        }
        "protodown" => {
            let on = on_off(words, "protodown")?;
            making.request.attribute(ifla::PROTO_DOWN, &[on.into()]);
        }
        "gso_max_size" => number(words, making, ifla::GSO_MAX_SIZE, "gso_max_size")?,
        "gso_max_segs" => number(words, making, ifla::GSO_MAX_SEGS, "gso_max_segs")?,
        "gro_max_size" => number(words, making, ifla::GRO_MAX_SIZE, "gro_max_size")?,
        "brd" => link_address(words, making, ifla::BROADCAST)?,
        "qlen" => number(words, making, ifla::TXQLEN, "txqueuelen")?,
        // A link may be called by one letter: ip(8) takes `a` for the beginning of `address`.
        word if word.len() < 2 => return Ok(false),
        word if begins(word, "address") => link_address(words, making, ifla::ADDRESS)?,
        word if begins(word, "broadcast") => link_address(words, making, ifla::BROADCAST)?,
        word if begins(word, "txqueuelen") || begins(word, "txqlen") => {
            number(words, making, ifla::TXQLEN, "txqueuelen")?;
        }
        word if begins(word, "numtxqueues") => {
            number(words, making, ifla::NUM_TX_QUEUES, "numtxqueues")?;
        }
        word if begins(word, "numrxqueues") => {
            number(words, making, ifla::NUM_RX_QUEUES, "numrxqueues")?;
        }
        word if begins(word, "addrgenmode") => address_generation(words, making)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn link_address(words: &mut Words<'_>, making: &mut Making, kind: u16) -> Result<()> {
    let address = hardware(words.value()?)?;
    making.request.attribute(kind, &address);
    Ok(())
}

/// How IPv6 makes addresses of the link.
fn address_generation(words: &mut Words<'_>, making: &mut Making) -> Result<()> {
    let mode = match words.value()? {
        "eui64" => 0,
        "none" => 1,
        "stable_secret" => 2,
        "random" => 3,
        _ => return Err(words.wrong("Invalid address generation mode")),
    };
    let spec = making.request.begin(ifla::AF_SPEC);
    let inet6 = making.request.begin(10);
    making.request.attribute(8, &[mode]);
    making.request.end(inet6);
    making.request.end(spec);
    Ok(())
}

/// The network namespace a link goes to: a name, a file, or the number of a process in it.
fn namespace(words: &mut Words<'_>, making: &mut Making, options: &Options) -> Result<()> {
    let word = words.value()?;
    match options.names.find(word.as_ref()) {
        Some(Named::Process(pid)) => {
            making
                .request
                .number(ifla::NET_NS_PID, pid.as_raw().cast_unsigned());
        }
        Some(Named::File(file)) => {
            let fd = open_file(&file).map_err(|_| words.wrong("Invalid \"netns\" value"))?;
            making
                .request
                .number(ifla::NET_NS_FD, fd.as_raw_fd().cast_unsigned());
            making.held.push(fd);
        }
        None => return Err(words.wrong("Invalid \"netns\" value")),
    }
    Ok(())
}

/// `type KIND` and what follows it.
fn read_kind(
    words: &mut Words<'_>,
    making: &mut Making,
    options: &Options,
    creates: bool,
    said: &mut Said,
) -> Result<()> {
    let kind = words.value()?;
    said.kind = Some(kind.to_owned());
    let port_of = kind.strip_suffix("_slave");
    let (named, data) = match port_of {
        Some(_) => (ifla::INFO_SLAVE_KIND, ifla::INFO_SLAVE_DATA),
        None => (ifla::INFO_KIND, ifla::INFO_DATA),
    };
    let info = making.request.begin(ifla::LINKINFO);
    making
        .request
        .attribute(named, port_of.unwrap_or(kind).as_bytes());
    let data = making.request.begin(data);
    if kind == "veth" || kind == "vxcan" {
        read_peer(kind, words, making, options, creates)?;
    } else {
        kinds::read(kind, words, making)?;
    }
    making.request.end_if_any(data);
    making.request.end(info);
    Ok(())
}

/// `peer ...`: the other end of a veth pair, with the words of a link again.
fn read_peer(
    kind: &str,
    words: &mut Words<'_>,
    making: &mut Making,
    options: &Options,
    creates: bool,
) -> Result<()> {
    const PEER: u16 = 1;
    match words.next()? {
        None => return Ok(()),
        Some("peer") => {}
        Some(word) => return Err(kinds::unknown(kind, word)),
    }
    let peer = making.request.begin(PEER);
    let body = making.request.raw(&[0; 16]);
    let theirs = parse(words, making, options, creates)?;
    if theirs.kind.is_some() {
        return Err(garbage("type", theirs.kind.as_deref().unwrap_or_default()));
    }
    if let Some(name) = theirs.name.or(theirs.device) {
        making.request.text(ifla::IFNAME, &name);
    }
    if let Some(group) = theirs.group {
        making.request.number(ifla::GROUP, group);
    }
    let numbers = [
        (4, theirs.index.unwrap_or(0)),
        (FLAGS, theirs.flags),
        (CHANGE, theirs.change),
    ];
    for (at, number) in numbers {
        making.request.set(Request::behind(body, at), number);
    }
    making.request.end(peer);
    Ok(())
}
