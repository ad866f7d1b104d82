//! `ip address`.

use std::ffi::OsString;
use std::net::IpAddr;

use isobox::error::{Error, Result};
use isobox::net::number::{ifa, rtm};
use isobox::net::request::{INDEX, Request};
use isobox::plan::steps::rtnetlink::cannot_find;

use super::address_list::{flush, show};
use super::changes::{Making, changing};
use super::words::{Family, Prefix, Words, full, garbage, octets, prefix};
use super::{Options, absent, names, unknown, usage, verb, words};
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
        Some("show" | "lst" | "list") => show(words, options),
        Some("flush") => flush(words, options),
        Some("help") => Ok(usage(Some("address"))),
        Some(other) => match changing(other, rtm::NEWADDR, rtm::DELADDR) {
            Some(request) => modify(words, all, options, request),
            None => Err(absent(&format!("ip address {other}"))),
        },
        None => Err(unknown(word, "address")),
    }
}

/// `struct ifaddrmsg`: family, length of the prefix, flags, scope, link.
pub(super) const BODY: usize = 8;
const FOREVER: u32 = u32::MAX;

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

/// What iproute2 knows by its beginning, in its order.
const KEYS: [&str; 7] = [
    "broadcast",
    "brd",
    "metric",
    "priority",
    "preference",
    "valid_lft",
    "preferred_lft",
];

/// Reads the words of an address.
fn parse(words: &mut Words<'_>, options: &Options) -> Result<Said> {
    let mut said = Said::default();
    while let Some(word) = words.next()? {
        let flag = ["home", "nodad", "mngtmpaddr", "noprefixroute", "autojoin"].contains(&word);
        match full(word, &KEYS) {
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
    (kind, flags): (u16, u16),
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
    let mut making = Making::new(request(&said, kind, flags)?);
    making.fill(INDEX, device, cannot_find);
    let purpose = match removes {
        true => (
            "takes the address away, and the route to its network with it",
            "the kernel would go on answering for it",
        ),
        false => (
            "gives the link an address; its network becomes reachable over the link",
            "there would be no address to send from, and no route",
        ),
    };
    options.change(making.change("address", all, purpose))
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
