//! `ip address`.

use std::ffi::OsString;
use std::net::IpAddr;

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::number::{ifa, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::plan::steps::rtnetlink::{Change, LinkNumber, cannot_find};
use isobox::plan::{Plan, Quiet};

use super::link::{self, CREATE, EXCL, REPLACE, said_words, told};
use super::show::Show;
use super::show_address::{Address, Selection};
use super::show_link::Link;
use super::words::{Family, Prefix, Words, begins, garbage, octets, prefix, wrong};
use super::{Options, absent, names, unknown, usage, verb, words};
use crate::cli::plan::perform;
use crate::cli::{Exit, say};

const VERBS: [&str; 12] = [
    "add", "change", "chg", "replace", "delete", "show", "lst", "list", "flush", "save", "restore",
    "help",
];

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let all = words.rest();
    let Some(word) = words.next()? else {
        return show(words, options);
    };
    match verb(word, &VERBS) {
        Some("add") => modify(words, all, options, rtm::NEWADDR, CREATE | EXCL),
        Some("change" | "chg") => modify(words, all, options, rtm::NEWADDR, REPLACE),
        Some("replace") => modify(words, all, options, rtm::NEWADDR, CREATE | REPLACE),
        Some("delete") => modify(words, all, options, rtm::DELADDR, 0),
        Some("show" | "lst" | "list") => show(words, options),
        Some("flush") => flush(words, options),
        Some("help") => Ok(usage(Some("address"))),
        Some(other) => Err(absent(&format!("ip address {other}"))),
        None => Err(unknown(word, "address")),
    }
}

/// `struct ifaddrmsg`: family, length of the prefix, flags, scope, link.
const BODY: usize = 8;
const FOREVER: u32 = u32::MAX;
/// `IFA_F_SECONDARY` and `IFA_F_PERMANENT`.
const SECONDARY: u32 = 0x01;
const PERMANENT: u32 = 0x80;

/// What the words said.
#[derive(Default)]
struct Said {
    local: Option<(Prefix, String)>,
    peer: Option<Prefix>,
    device: Option<String>,
    label: Option<String>,
    broadcast: Option<Broadcast>,
    anycast: Option<IpAddr>,
    scope: Option<u8>,
    metric: Option<u32>,
    flags: u32,
    valid: Option<u32>,
    preferred: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Broadcast {
    /// `+`: all bits of the host set; `-`: cleared.
    Ones,
    Zeros,
    Is(IpAddr),
}

/// Reads the words of an address.
fn parse(words: &mut Words<'_>, options: &Options) -> Result<Said> {
    let mut said = Said::default();
    while let Some(word) = words.next()? {
        let flag = ["home", "nodad", "mngtmpaddr", "noprefixroute", "autojoin"].contains(&word);
        match word {
            "peer" | "remote" => said.peer = Some(prefix(words.value()?, options.family)?),
            "broadcast" | "brd" => {
                said.broadcast = Some(match words.value()? {
                    "+" => Broadcast::Ones,
                    "-" => Broadcast::Zeros,
                    word => Broadcast::Is(address(word, options.family)?),
                });
            }
            "anycast" => said.anycast = Some(address(words.value()?, options.family)?),
            "scope" => {
                let scope = names::scope_number(words.value()?);
                said.scope = Some(scope.ok_or_else(|| words.wrong("invalid scope value."))?);
            }
            "dev" => said.device = Some(words.value()?.to_owned()),
            "label" => said.label = Some(words.value()?.to_owned()),
            "metric" | "priority" | "preference" => {
                said.metric = Some(words.number("\"metric\" value is invalid")?);
            }
            "valid_lft" => said.valid = Some(lifetime(words, "valid_lft value")?),
            "preferred_lft" => said.preferred = Some(lifetime(words, "preferred_lft value")?),
            word if flag => {
                let row = names::ADDRESS_FLAGS.iter().find(|row| row.1 == word);
                said.flags |= row.map_or(0, |row| row.0);
            }
            word => {
                let word = if word == "local" {
                    words.value()?
                } else {
                    word
                };
                if said.local.is_some() {
                    return Err(garbage("local", word));
                }
                said.local = Some((prefix(word, options.family)?, word.to_owned()));
            }
        }
    }
    Ok(said)
}

fn lifetime(words: &mut Words<'_>, why: &str) -> Result<u32> {
    match words.value()? {
        "forever" => Ok(FOREVER),
        word => {
            let seconds =
                super::words::number(word).and_then(|seconds| u32::try_from(seconds).ok());
            seconds.ok_or_else(|| words.wrong(why))
        }
    }
}

/// A plain address of the family wanted.
pub(super) fn address(word: &str, family: Family) -> Result<IpAddr> {
    words::address(word, family).ok_or_else(|| {
        let name = match family {
            Family::Any => "any valid",
            family => Family::name(family.number()),
        };
        Error::new(format!(
            "Error: {name} address is expected rather than \"{word}\"."
        ))
    })
}

fn modify(
    words: &mut Words<'_>,
    all: &[OsString],
    options: &Options,
    kind: u16,
    flags: u16,
) -> Result<Exit> {
    let said = parse(words, options)?;
    let removes = kind == rtm::DELADDR;
    let device = said.device.as_deref();
    let device = device
        .ok_or_else(|| Error::new("Not enough information: \"dev\" argument is required."))?;
    if let Some(label) = said
        .label
        .as_deref()
        .filter(|label| !label.starts_with(device))
    {
        let text = format!(
            "\"label\" ({label}) must match \"dev\" ({device}) or be prefixed by \"dev\" with a colon."
        );
        return Err(Error::new(text));
    }
    let request = request(&said, kind, flags)?;
    options.change(Change {
        told: told(kind, flags, all),
        purpose: if removes {
            (
                "takes the address away, and the route to its network with it".into(),
                "the kernel would go on answering for it".into(),
            )
        } else {
            (
                "gives the link an address; its network becomes reachable over the link".into(),
                "there would be no address to send from, and no route".into(),
            )
        },
        kind: None,
        names: Vec::new(),
        words: said_words("address", all),
        request,
        links: vec![LinkNumber {
            place: INDEX,
            name: device.to_owned(),
            missing: cannot_find,
        }],
        held: Vec::new(),
    })
}

/// The request that the words mean.
fn request(said: &Said, kind: u16, flags: u16) -> Result<Request> {
    let removes = kind == rtm::DELADDR;
    let family = said.local.as_ref().map_or(0, |(local, _)| local.family());
    let mut request = Request::new(kind, flags, &[0; BODY]);
    request.put(0, &[family]);
    request.put(2, &[u8::try_from(said.flags).unwrap_or(0)]);
    if said.flags > 0xff {
        request.number(ifa::FLAGS, said.flags);
    }
    let local = said.local.as_ref().and_then(|(local, _)| local.address);
    let bits = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.bits);
    let own = said.local.as_ref().map(|(local, _)| *local);
    request.put(1, &[bits(said.peer.or(own))]);
    if let Some(address) = local {
        request.attribute(ifa::LOCAL, &octets(address));
    }
    match (said.peer.and_then(|peer| peer.address), own) {
        (Some(peer), _) => {
            request.attribute(ifa::ADDRESS, &octets(peer));
        }
        (None, Some(own)) if removes && own.family() == Family::V4.number() && !own.said => {
            wildcard(own);
        }
        (None, _) => {
            if let Some(address) = local {
                request.attribute(ifa::ADDRESS, &octets(address));
            }
        }
    }
    if let Some(broadcast) = said.broadcast.filter(|_| !removes) {
        set_broadcast(&mut request, broadcast, said.peer.or(own))?;
    }
    if let Some(anycast) = said.anycast {
        request.attribute(ifa::ANYCAST, &octets(anycast));
    }
    if let Some(label) = &said.label {
        request.text(ifa::LABEL, label);
    }
    if let Some(metric) = said.metric {
        request.number(ifa::RT_PRIORITY, metric);
    }
    if !removes {
        let loopback = matches!(local, Some(IpAddr::V4(address)) if address.is_loopback());
        let scope = said.scope.unwrap_or(if loopback { 254 } else { 0 });
        request.put(3, &[scope]);
        lifetimes(&mut request, said)?;
    }
    Ok(request)
}

fn lifetimes(request: &mut Request, said: &Said) -> Result<()> {
    if said.valid.is_none() && said.preferred.is_none() {
        return Ok(());
    }
    let (valid, preferred) = (
        said.valid.unwrap_or(FOREVER),
        said.preferred.unwrap_or(FOREVER),
    );
    if valid == 0 {
        return Err(Error::new("valid_lft is zero"));
    }
    if valid < preferred {
        return Err(Error::new("preferred_lft is greater than valid_lft"));
    }
    let mut info = [preferred.to_ne_bytes(), valid.to_ne_bytes()].concat();
    info.extend([0; 8]);
    request.attribute(ifa::CACHEINFO, &info);
    Ok(())
}

/// The address to which everybody in the network listens.
fn set_broadcast(
    request: &mut Request,
    broadcast: Broadcast,
    network: Option<Prefix>,
) -> Result<()> {
    let address = match broadcast {
        Broadcast::Is(address) => octets(address),
        how => {
            let Some((IpAddr::V4(address), bits)) =
                network.and_then(|net| Some((net.address?, net.bits)))
            else {
                return Err(Error::new("Broadcast can be set only for IPv4 addresses"));
            };
            if bits > 30 {
                return Ok(());
            }
            let host = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = u32::from(address);
            let number = if how == Broadcast::Ones {
                address | host
            } else {
                address & !host
            };
            number.to_be_bytes().to_vec()
        }
    };
    request.attribute(ifa::BROADCAST, &address);
    Ok(())
}

/// `ip addr del 10.0.0.1` takes every prefix of that address.
fn wildcard(own: Prefix) {
    let address = own
        .address
        .map(|address| address.to_string())
        .unwrap_or_default();
    say(&format!(
        "Warning: Executing wildcard deletion to stay compatible with old scripts.\n         \
         Explicitly specify the prefix length ({address}/{}) to avoid this warning.\n         \
         This special behaviour is likely to disappear in further releases,\n         \
         fix your scripts!\n",
        own.bits
    ));
}

/// Reads which addresses a listing is about.
fn select(
    words: &mut Words<'_>,
    options: &Options,
) -> Result<Option<(link::Selection, Selection)>> {
    let mut links = link::Selection::default();
    let mut addresses = Selection {
        family: options.family,
        ..Selection::default()
    };
    while let Some(word) = words.next()? {
        if links.takes_word(word, words)? {
            continue;
        }
        let (negated, flag) = word
            .strip_prefix('-')
            .map_or((false, word), |flag| (true, flag));
        let row = names::ADDRESS_FLAGS.iter().find(|row| row.1 == flag);
        match (word, row, flag) {
            ("to", ..) => {
                let to = prefix(words.value()?, options.family)?;
                if addresses.family == Family::Any {
                    addresses.family = if to.family() == Family::V6.number() {
                        Family::V6
                    } else {
                        Family::V4
                    };
                }
                addresses.to = Some(to);
            }
            ("scope", ..) => {
                let word = words.value()?;
                addresses.scope = match word {
                    "all" => None,
                    word => Some(
                        names::scope_number(word)
                            .ok_or_else(|| wrong(word, "invalid \"scope\""))?,
                    ),
                };
            }
            ("label", ..) => addresses.label = Some(words.value()?.to_owned()),
            // These are the absence of a flag.
            (_, _, "dynamic") => flagged(&mut addresses, PERMANENT, negated),
            (_, _, "primary") => flagged(&mut addresses, SECONDARY, negated),
            (_, _, "temporary") => flagged(&mut addresses, SECONDARY, !negated),
            (_, Some(row), _) => flagged(&mut addresses, row.0, !negated),
            (word, ..) if begins(word, "help") => return Ok(None),
            (word, ..) => {
                let word = if word == "dev" { words.value()? } else { word };
                links.device(word)?;
            }
        }
    }
    Ok(Some((links, addresses)))
}

/// Wants a flag set, or cleared.
fn flagged(addresses: &mut Selection, bit: u32, set: bool) {
    let (which, how) = addresses.flags;
    addresses.flags = (which | bit, if set { how | bit } else { how & !bit });
}

/// The addresses that are meant of these links.
fn chosen(show: &mut Show<'_>, addresses: &Selection) -> Result<Vec<Answer>> {
    let mut request = Request::new(rtm::GETADDR, 0, &[0; BODY]);
    request.put(0, &[addresses.family.number()]);
    let mut all = show.links.dump(&request)?;
    all.retain(|answer| {
        Address::of(answer).is_some_and(|address| {
            let link = show.links.name(address.index);
            addresses.takes(&address, &link)
        })
    });
    Ok(all)
}

fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some((links, addresses)) = select(words, options)? else {
        return Ok(usage(Some("address")));
    };
    options.show(|show| {
        show.family = addresses.family;
        let found = links.links(show)?;
        if addresses.family == Family::Link {
            return list_links(show, &found);
        }
        let every = Selection {
            family: Family::Any,
            ..Selection::default()
        };
        // A link that has addresses, but none of those meant, is left out.
        let with_any: Vec<u32> = indexes(&chosen(show, &every)?);
        let meant = chosen(show, &addresses)?;
        let with_meant = indexes(&meant);
        for answer in &found {
            let Some(link) = Link::of(answer) else {
                continue;
            };
            let bare = addresses.family == Family::Any && !with_any.contains(&link.index);
            if !with_meant.contains(&link.index) && !bare {
                continue;
            }
            show.out.open_object("");
            one_link(show, &link, &meant, addresses.label.is_some());
            show.out.close_object();
        }
        Ok(())
    })
}

fn list_links(show: &mut Show<'_>, found: &[Answer]) -> Result<()> {
    for link in found.iter().filter_map(Link::of) {
        show.out.open_object("");
        if show.options.brief {
            show.brief_link(&link);
        } else {
            show.link(&link);
        }
        show.out.close_object();
    }
    Ok(())
}

fn indexes(answers: &[Answer]) -> Vec<u32> {
    let addresses = answers.iter().filter_map(Address::of);
    addresses.map(|address| address.index).collect()
}

/// A link and its addresses.
fn one_link(show: &mut Show<'_>, link: &Link<'_>, meant: &[Answer], labelled: bool) {
    let options = show.options;
    if options.brief {
        show.brief_link(link);
    } else if !options.oneline && !labelled {
        show.link(link);
    }
    show.out.open_array("addr_info");
    for address in meant.iter().filter_map(Address::of) {
        if address.index == link.index {
            show.out.open_object("");
            show.address(&address);
            show.out.close_object();
        }
    }
    show.out.close_array();
    if options.brief {
        show.out.text("\n");
    } else if options.statistics > 0 && !options.oneline {
        show.statistics(link.attributes);
        show.out.text(if show.out.is_json() { "" } else { "\n" });
    }
}

fn flush(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    if words.is_empty() {
        return Err(Error::new("Flush requires arguments."));
    }
    let Some((links, addresses)) = select(words, options)? else {
        return Ok(usage(Some("address")));
    };
    let mut plan: Plan = options.plan();
    if options.explain.is_some() {
        // What there is to flush can only be seen from inside.
        plan.run(&Quiet)?;
    }
    let mut show = Show::new(options)?;
    let found = links.links(&mut show)?;
    let found: Vec<u32> = found
        .iter()
        .filter_map(Link::of)
        .map(|link| link.index)
        .collect();
    let mut count = 0;
    for answer in chosen(&mut show, &addresses)? {
        let Some(address) = Address::of(&answer).filter(|address| found.contains(&address.index))
        else {
            continue;
        };
        count += 1;
        let mut request =
            Request::new(rtm::DELADDR, 0, answer.body.get(..BODY).unwrap_or_default());
        for (kind, value) in address.attributes {
            if matches!(kind, ifa::LOCAL | ifa::ADDRESS) {
                request.attribute(kind, value);
            }
        }
        plan.then(removal(request, &show.links.name(address.index), &address));
    }
    let done = perform(&plan, options.explain)?;
    if options.statistics > 0 {
        flushed(count, "addresses")?;
    }
    Ok(done)
}

/// What a flush says with `-s`.
pub(super) fn flushed(count: usize, what: &str) -> Result<Exit> {
    crate::cli::help::print_all(&match count {
        0 => "Nothing to flush.\n".into(),
        count => format!(
            "\n*** Round 1, deleting {count} {what} ***\n*** Flush is complete after 1 round ***\n"
        ),
    })
}

fn removal(request: Request, link: &str, address: &Address<'_>) -> Change {
    let local = address
        .attributes
        .get(ifa::LOCAL)
        .or_else(|| address.attributes.get(ifa::ADDRESS));
    let shown = format!("{}/{}", names::ip(local.unwrap_or_default()), address.bits);
    let words: Vec<OsString> = ["del", &shown, "dev", link].map(OsString::from).to_vec();
    Change {
        told: told(rtm::DELADDR, 0, &words),
        purpose: (
            "one of the addresses that are meant".into(),
            "it would stay".into(),
        ),
        kind: None,
        names: Vec::new(),
        words: said_words("address", &words),
        request,
        links: Vec::new(),
        held: Vec::new(),
    }
}
