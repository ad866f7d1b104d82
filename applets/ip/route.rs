//! `ip route`.

use std::ffi::OsString;
use std::net::IpAddr;

use isobox::error::{Error, Result};
use isobox::net::number::{rta, rtm};
use isobox::net::request::Request;
use isobox::plan::steps::rtnetlink::{cannot_find, refused};

use super::address::address;
use super::changes::{Making, changing};
use super::link_list;
use super::route_list::{flush, show};
use super::show_route::{HEADER, MAIN, Route, Said as Known};
use super::words::{Family, Prefix, Words, family_of, full, garbage, octets, prefix};
use super::{Options, absent, names, unknown, usage, verb};
use crate::cli::Exit;

/// `RTM_F_LOOKUP_TABLE` and `RTM_F_FIB_MATCH`.
const LOOKUP_TABLE: u32 = 0x1000;
const FIB_MATCH: u32 = 0x2000;
/// `RTNH_F_ONLINK`.
const ONLINK: u8 = 4;

const VERBS: [&str; 16] = [
    "list", "show", "lst", "get", "add", "change", "chg", "replace", "prepend", "append", "test",
    "delete", "flush", "save", "restore", "help",
];

/// Runs the command.
pub(super) fn run(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let all = words.rest();
    let Some(word) = words.next()? else {
        return show(words, options);
    };
    match verb(word, &VERBS) {
        Some("list" | "show" | "lst") => show(words, options),
        Some("get") => get(words, options),
        Some("flush") => flush(words, options),
        Some("help") => Ok(usage(Some("route"))),
        Some(other) => match changing(other, rtm::NEWROUTE, rtm::DELROUTE) {
            Some(request) => modify(words, all, options, request),
            None => Err(absent(&format!("ip route {other}"))),
        },
        None => Err(unknown(word, "route")),
    }
}

/// What the words of a route said, beside the attributes that have been written.
#[derive(Default)]
struct Said {
    to: Option<Prefix>,
    family: u8,
    kind: Option<u8>,
    scope: Option<u8>,
    protocol: Option<u8>,
    table: Option<u32>,
    tos: u8,
    flags: u8,
    gateway: bool,
    hops: bool,
    /// `lock` and the metrics.
    metrics: Vec<(u16, u32)>,
    locked: u32,
    source: Option<IpAddr>,
}

fn modify(
    words: &mut Words<'_>,
    all: &[OsString],
    options: &Options,
    (kind, flags): (u16, u16),
) -> Result<Exit> {
    if words.is_empty() {
        return Ok(usage(Some("route")));
    }
    let mut making = Making::new(Request::new(kind, flags, &[0; HEADER]));
    let mut said = Said {
        family: options.family.number(),
        ..Said::default()
    };
    while let Some(word) = words.next()? {
        read(word, words, &mut making, &mut said)?;
    }
    let removes = kind == rtm::DELROUTE;
    finish(&mut making.request, &said, removes);
    let purpose = match removes {
        true => (
            "what went that way finds another way, or none",
            "packets would go on that way",
        ),
        false => (
            "says where packets for these addresses go",
            "to send there would fail: Network is unreachable",
        ),
    };
    options.change(making.change("route", all, purpose))
}

/// Fills in the body, and what follows from what was not said.
fn finish(request: &mut Request, said: &Said, removes: bool) {
    const HOST: u8 = 254;
    const LINK: u8 = 253;
    const NOWHERE: u8 = 255;
    const BOOT: u8 = 3;
    let family = if said.family == 0 {
        Family::V4.number()
    } else {
        said.family
    };
    let kind = said.kind.unwrap_or(if removes { 0 } else { 1 });
    // Routes to addresses of our own have a table of their own.
    let own = matches!(kind, 2..=4 | 10);
    let table = said.table.unwrap_or(if own { 255 } else { MAIN });
    let scope = said.scope.unwrap_or(match kind {
        _ if family != Family::V4.number() => 0,
        2 | 10 => HOST,
        3..=5 => LINK,
        0 | 1 if removes => NOWHERE,
        0 | 1 if !said.gateway && !said.hops => LINK,
        _ if removes => NOWHERE,
        _ => 0,
    });
    let protocol = said.protocol.unwrap_or(if removes { 0 } else { BOOT });
    let bits = said.to.map_or(0, |to| to.bits);
    let small = u8::try_from(table).unwrap_or(0);
    request.put(
        0,
        &[
            family, bits, 0, said.tos, small, protocol, scope, kind, said.flags,
        ],
    );
    if table > 255 {
        request.number(rta::TABLE, table);
    }
    if let Some(to) = said.to.and_then(|to| to.address) {
        request.attribute(rta::DST, &octets(to));
    }
    if let Some(source) = said.source {
        request.attribute(rta::PREFSRC, &octets(source));
    }
    if !said.metrics.is_empty() {
        let metrics = request.begin(rta::METRICS);
        if said.locked != 0 {
            request.number(1, said.locked);
        }
        for (number, value) in &said.metrics {
            request.number(*number, *value);
        }
        request.end(metrics);
    }
}

/// Reads one word of a route, with what follows it.
fn read(word: &str, words: &mut Words<'_>, making: &mut Making, said: &mut Said) -> Result<()> {
    let word = full(
        word,
        &[
            "pref",
            "dsfield",
            "metric",
            "priority",
            "preference",
            "protocol",
            "table",
            "window",
            "initcwnd",
        ],
    );
    match word {
        "src" => {
            let source = address(words.value()?, wanted(said))?;
            said.source = Some(source);
            family(said, family_of(source));
        }
        "via" => {
            via(words, making, said)?;
            said.gateway = true;
        }
        "dev" | "oif" => {
            let name = words.value()?;
            making.link(rta::OIF, name, cannot_find);
        }
        "tos" | "dsfield" => {
            let word = words.value()?;
            let tos = u8::from_str_radix(word.trim_start_matches("0x"), 16);
            said.tos = tos.map_err(|_| words.wrong("\"tos\" value is invalid"))?;
        }
        "metric" | "priority" | "preference" => {
            let metric: u32 = words.number("\"metric\" value is invalid")?;
            making.request.number(rta::PRIORITY, metric);
        }
        "scope" => {
            let scope = names::scope_number(words.value()?);
            said.scope = Some(scope.ok_or_else(|| words.wrong("invalid \"scope\" value"))?);
        }
        "protocol" => {
            let protocol = names::protocol_number(words.value()?);
            said.protocol =
                Some(protocol.ok_or_else(|| words.wrong("\"protocol\" value is invalid"))?);
        }
        "table" => {
            let table = names::table_number(words.value()?);
            said.table = Some(table.ok_or_else(|| words.wrong("\"table\" value is invalid"))?);
        }
        "onlink" => said.flags |= ONLINK,
        "pref" => {
            let preference = match words.value()? {
                "low" => 3,
                "medium" => 0,
                "high" => 1,
                _ => return Err(words.wrong("\"pref\" value is invalid")),
            };
            making.request.attribute(rta::PREF, &[preference]);
        }
        "nexthop" => {
            next_hops(words, making, said)?;
            said.hops = true;
        }
        "nhid" => {
            let id: u32 = words.number("\"id\" value is invalid")?;
            making.request.number(rta::NH_ID, id);
            said.hops = true;
        }
        "from" | "as" | "encap" | "realms" | "expires" | "vrf" | "ttl-propagate" | "rtt"
        | "rttvar" | "rto_min" | "features" | "congctl" => {
            return Err(absent(&format!("\"{word}\" of a route")));
        }
        word => {
            if !metric(word, words, said)? {
                destination(word, words, said)?;
            }
        }
    }
    Ok(())
}

/// The family that an address has to have.
fn wanted(said: &Said) -> Family {
    match said.family {
        2 => Family::V4,
        10 => Family::V6,
        _ => Family::Any,
    }
}

fn family(said: &mut Said, number: u8) {
    if said.family == 0 {
        said.family = number;
    }
}

/// `via ADDRESS`, or `via inet6 ADDRESS` for a gateway of another family.
fn via(words: &mut Words<'_>, making: &mut Making, said: &mut Said) -> Result<()> {
    let gateway = match words.value()? {
        "inet" => address(words.value()?, Family::V4)?,
        "inet6" => address(words.value()?, Family::V6)?,
        word => address(word, wanted(said))?,
    };
    let own = family_of(gateway);
    family(said, own);
    if said.family == own {
        making.request.attribute(rta::GATEWAY, &octets(gateway));
    } else {
        let value = [&u16::from(own).to_ne_bytes()[..], &octets(gateway)].concat();
        making.request.attribute(rta::VIA, &value);
    }
    Ok(())
}

/// `mtu [lock] 1400` and its like.
fn metric(word: &str, words: &mut Words<'_>, said: &mut Said) -> Result<bool> {
    let Some(place) = names::METRICS.iter().position(|name| *name == word) else {
        return Ok(false);
    };
    let number = u16::try_from(place + 2).unwrap_or(0);
    if words.peek() == Some("lock") {
        words.next()?;
        said.locked |= 1 << number;
    }
    let value: u32 = words.number(&format!("\"{word}\" value is invalid"))?;
    said.metrics.push((number, value));
    Ok(true)
}

/// `[to] [TYPE] PREFIX`.
fn destination(word: &str, words: &mut Words<'_>, said: &mut Said) -> Result<()> {
    let mut word = if word == "to" { words.value()? } else { word };
    let kind = match word.starts_with(|c: char| c.is_ascii_digit()) {
        true => None,
        false => names::type_word(word),
    };
    if kind.is_some() {
        said.kind = kind;
        word = words.value()?;
    }
    if said.to.is_some() {
        return Err(garbage("to", word));
    }
    let to = prefix(word, wanted(said))?;
    family(said, to.family());
    said.to = Some(to);
    Ok(())
}

/// `nexthop via ADDRESS dev DEV weight N nexthop ...`: to the end.
fn next_hops(words: &mut Words<'_>, making: &mut Making, said: &mut Said) -> Result<()> {
    let list = making.request.begin_plain(rta::MULTIPATH);
    let mut more = true;
    while more {
        more = false;
        let hop = making.request.raw(&[0; 8]);
        let (mut weight, mut flags, mut device) = (1u16, 0, None);
        while let Some(word) = words.next()? {
            match word {
                "nexthop" => {
                    more = true;
                    break;
                }
                "via" => via(words, making, said)?,
                "dev" => device = Some(words.value()?),
                "weight" => {
                    weight = words.number("\"weight\" is invalid")?;
                    if !(1..=256).contains(&weight) {
                        return Err(words.wrong("\"weight\" is invalid"));
                    }
                }
                "onlink" => flags |= ONLINK,
                // Back to the words of the route.
                _ => {
                    words.back();
                    break;
                }
            }
        }
        let hops = u8::try_from(weight - 1).unwrap_or(u8::MAX);
        making.request.close_raw(hop);
        making.request.put_behind(hop, 2, &[flags, hops]);
        if let Some(device) = device {
            making.fill(Request::behind(hop, 4), device, cannot_find);
        }
    }
    making.request.end(list);
    Ok(())
}

fn get(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let mut making = Making::new(Request::new(rtm::GETROUTE, 0, &[0; HEADER]));
    let mut said = Said {
        family: options.family.number(),
        ..Said::default()
    };
    let mut flags = LOOKUP_TABLE;
    let mut from = None;
    while let Some(word) = words.next()? {
        match full(word, &["from", "fibmatch", "oif", "mark", "uid"]) {
            "from" => from = Some(prefix(words.value()?, wanted(&said))?),
            "iif" => making.link(rta::IIF, words.value()?, cannot_find),
            "oif" | "dev" => making.link(rta::OIF, words.value()?, cannot_find),
            "fibmatch" => flags |= FIB_MATCH,
            "mark" => {
                let mark: u32 = words.number("invalid mark")?;
                making.request.number(rta::MARK, mark);
            }
            "uid" => {
                let uid: u32 = words.number("invalid UID")?;
                making.request.number(rta::UID, uid);
            }
            word @ ("tos" | "dsfield" | "vrf" | "notify" | "connected" | "ipproto" | "sport"
            | "dport") => {
                return Err(absent(&format!("\"{word}\" of ip route get")));
            }
            word => {
                let word = if word == "to" { words.value()? } else { word };
                let to = prefix(word, wanted(&said))?;
                family(&mut said, to.family());
                said.to = Some(to);
            }
        }
    }
    let Some((to, bits)) = said.to.and_then(|to| Some((to.address?, to.bits))) else {
        return Err(Error::new("need at least a destination address"));
    };
    making
        .request
        .put(0, &[family_of(to), bits, from.map_or(0, |from| from.bits)]);
    making.request.put(8, &flags.to_ne_bytes());
    making.request.attribute(rta::DST, &octets(to));
    if let Some(from) = from.and_then(|from| from.address) {
        making.request.attribute(rta::SRC, &octets(from));
    }
    options.show(|show| {
        for wanted in &making.links {
            let number = link_list::number_of(show, &wanted.name);
            let number = number.map_err(|_| (wanted.missing)(&wanted.name))?;
            making.request.set(wanted.place, number);
        }
        let answer = show
            .links
            .connection
            .get(making.request.message())
            .map_err(refused)?;
        if let Some(route) = Route::of(&answer) {
            show.out.open_object("");
            show.route(&route, Known::default());
            show.out.close_object();
        }
        Ok(())
    })
}
