//! `ip link`.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::netns::{Named, open_file};
use isobox::net::number::{ifla, rtm};
use isobox::net::request::{INDEX, Place, Request};
use isobox::plan::steps::rtnetlink::{Change, LinkNumber, cannot_find, refused};

use super::show::Show;
use super::show_link::{Link, UP};
use super::words::{Family, USAGE, Words, begins, garbage, hardware, twice, wrong};
use super::{Options, absent, kinds, unknown, usage, verb};
use crate::cli::Exit;

/// Flags of a request: `NLM_F_CREATE` and its companions.
pub(super) const CREATE: u16 = 0x400;
pub(super) const EXCL: u16 = 0x200;
pub(super) const REPLACE: u16 = 0x100;

/// Places in `struct ifinfomsg`, counted from its start.
const FLAGS: usize = 8;
const CHANGE: usize = 12;

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
    held: Vec<OwnedFd>,
}

/// What the words in front of `type` said.
#[derive(Default)]
struct Said {
    device: Option<String>,
    name: Option<String>,
    group: Option<u32>,
    index: Option<u32>,
    flags: u32,
    change: u32,
    kind: Option<String>,
    /// The numbers that were given.
    seen: Vec<u16>,
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

/// A master that is not there.
fn no_device(name: &str) -> Error {
    wrong(name, "Device does not exist")
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

/// Reads the words of a link up to the end, the type and what that kind has included.
fn parse(
    words: &mut Words<'_>,
    making: &mut Making,
    options: &Options,
    creates: bool,
) -> Result<Said> {
    let mut said = Said::default();
    while let Some(word) = words.next()? {
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
fn group(words: &mut Words<'_>) -> Result<u32> {
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

/// Which links are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) device: Option<String>,
    pub(super) up: bool,
    pub(super) group: Option<u32>,
    pub(super) master: Option<String>,
    pub(super) no_master: bool,
    pub(super) kind: Option<String>,
}

impl Selection {
    /// Takes a word of a listing that is about links.
    pub(super) fn takes_word(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool> {
        match word {
            "up" => self.up = true,
            "group" => self.group = Some(group(words)?),
            "master" => self.master = Some(words.value()?.to_owned()),
            "nomaster" => self.no_master = true,
            "type" => self.kind = Some(words.value()?.to_owned()),
            "vrf" => return Err(absent("\"vrf\"")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes the name of a link.
    pub(super) fn device(&mut self, word: &str) -> Result<()> {
        match self.device {
            Some(_) => Err(garbage("dev", word)),
            None => {
                self.device = Some(word.to_owned());
                Ok(())
            }
        }
    }

    /// The links that are meant, as the kernel tells them.
    pub(super) fn links(&self, show: &mut Show<'_>) -> Result<Vec<Answer>> {
        let master = match &self.master {
            None => None,
            Some(name) => Some(number_of(show, name).map_err(|_| no_device(name))?),
        };
        let mut links = match &self.device {
            Some(name) => {
                let link = one(show, name)?;
                show.links.remember(std::slice::from_ref(&link));
                vec![link]
            }
            None => {
                let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
                filter(&mut request, show.options.statistics > 0);
                let links = show.links.dump(&request)?;
                show.links.remember(&links);
                // What IPv6 knows of a link is told by itself, and is less.
                if show.family == Family::V6 {
                    request.put(0, &[Family::V6.number()]);
                    show.links.dump(&request)?
                } else {
                    links
                }
            }
        };
        links.retain(|answer| {
            Link::of(answer).is_some_and(|link| {
                let all = link.attributes;
                let own_master = all.u32(ifla::MASTER);
                let kind = |kind: &String| match kind.strip_suffix("_slave") {
                    Some(port_of) => link.kind(ifla::INFO_SLAVE_KIND).as_deref() == Some(port_of),
                    None => link.kind(ifla::INFO_KIND).as_ref() == Some(kind),
                };
                (!self.up || link.flags & UP != 0)
                    && self
                        .group
                        .is_none_or(|group| all.u32(ifla::GROUP) == Some(group))
                    && master.is_none_or(|master| own_master == Some(master))
                    && (!self.no_master || own_master.is_none())
                    && self.kind.as_ref().is_none_or(kind)
            })
        });
        Ok(links)
    }
}

/// Asks for the virtual functions of a card, and against counters that nobody wants.
fn filter(request: &mut Request, with_statistics: bool) {
    const VIRTUAL_FUNCTIONS: u32 = 1;
    const SKIP_STATISTICS: u32 = 8;
    let skip = if with_statistics { 0 } else { SKIP_STATISTICS };
    request.number(ifla::EXT_MASK, VIRTUAL_FUNCTIONS | skip);
}

/// The link called so.
fn one(show: &mut Show<'_>, name: &str) -> Result<Answer> {
    let mut request = Request::new(rtm::GETLINK, 0, &[0; 16]);
    filter(&mut request, show.options.statistics > 0);
    let kind = if name.len() < 16 {
        ifla::IFNAME
    } else {
        ifla::ALT_IFNAME
    };
    request.text(kind, name);
    let found = show.links.connection.get(request.message());
    found.map_err(|refusal| match refusal.errno {
        nix::errno::Errno::EPERM | nix::errno::Errno::EACCES => refused(refusal),
        _ => Error::new(format!("Device \"{name}\" does not exist.")),
    })
}

/// The number of the link called so.
pub(super) fn number_of(show: &mut Show<'_>, name: &str) -> Result<u32> {
    let answer = one(show, name)?;
    show.links.remember(std::slice::from_ref(&answer));
    Link::of(&answer)
        .map(|link| link.index)
        .ok_or_else(|| cannot_find(name))
}

fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let mut selection = Selection::default();
    while let Some(word) = words.next()? {
        if selection.takes_word(word, words)? {
            continue;
        }
        if begins(word, "help") {
            return Ok(usage(Some("link")));
        }
        let word = if word == "dev" { words.value()? } else { word };
        selection.device(word)?;
    }
    options.show(|show| {
        show.of_links = true;
        show.family = Family::Link;
        for answer in selection.links(show)? {
            let Some(link) = Link::of(&answer) else {
                continue;
            };
            show.out.open_object("");
            if options.brief {
                show.brief_link(&link);
            } else {
                show.link(&link);
            }
            show.out.close_object();
        }
        Ok(())
    })
}
