//! Which routes a listing is about, the listing, and `ip route flush`.

use isobox::error::{Error, Result};
use isobox::net::Answer;
use isobox::net::number::{rta, rtm};
use isobox::net::request::Request;
use isobox::plan::steps::rtnetlink::cannot_find;

use super::changes::Flush;
use super::link_list::number_of;
use super::show::Show;
use super::show_address::is_within;
use super::show_route::{CLONED, HEADER, MAIN, Route, Said};
use super::words::{Family, Prefix, Words, begins, full, prefix};
use super::{Options, absent, names, usage};
use crate::cli::Exit;

/// What was chosen.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    family: Family,
    /// 0 is every table.
    table: u32,
    cache: bool,
    to: Option<(Which, Prefix)>,
    link: Option<String>,
    via: Option<Prefix>,
    source: Option<Prefix>,
    protocol: Option<u8>,
    scope: Option<u8>,
    kind: Option<u8>,
    metric: Option<u32>,
}

/// How a route's destination has to lie to a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Within it.
    Root,
    /// Around it.
    Match,
    Exact,
}

/// What iproute2 knows by its beginning, in its order.
const KEYS: [&str; 15] = [
    "table",
    "cached",
    "cloned",
    "dsfield",
    "protocol",
    "scope",
    "type",
    "metric",
    "priority",
    "preference",
    "realms",
    "from",
    "root",
    "match",
    "exact",
];

impl Choice {
    /// Reads the words; `None` where help is asked for.
    pub(super) fn read(words: &mut Words<'_>, options: &Options) -> Result<Option<Self>> {
        let mut choice = Self {
            family: options.family,
            table: MAIN,
            ..Self::default()
        };
        while let Some(word) = words.next()? {
            match full(word, &KEYS) {
                "table" => choice.table(words)?,
                "cached" | "cloned" => choice.cache = true,
                "dev" | "oif" => choice.link = Some(words.value()?.to_owned()),
                "via" => choice.via = Some(prefix(words.value()?, choice.family)?),
                "src" => choice.source = Some(prefix(words.value()?, choice.family)?),
                "protocol" => {
                    let number = names::protocol_number(words.value()?);
                    choice.protocol =
                        Some(number.ok_or_else(|| words.wrong("invalid \"protocol\""))?);
                }
                "scope" => {
                    let number = names::scope_number(words.value()?);
                    choice.scope = Some(number.ok_or_else(|| words.wrong("invalid \"scope\""))?);
                }
                "type" => {
                    let word = words.value()?;
                    let number = names::type_word(word).or_else(|| names::type_number(word));
                    choice.kind =
                        Some(number.ok_or_else(|| words.wrong("node type value is invalid"))?);
                }
                "metric" | "priority" | "preference" => {
                    choice.metric = Some(words.number("invalid \"metric\"")?);
                }
                "root" => choice.destination(Which::Root, words.value()?)?,
                "match" => choice.destination(Which::Match, words.value()?)?,
                "exact" => choice.destination(Which::Exact, words.value()?)?,
                "to" => {
                    let word = words.value()?;
                    match word {
                        "root" => choice.destination(Which::Root, words.value()?)?,
                        "match" => choice.destination(Which::Match, words.value()?)?,
                        "exact" => choice.destination(Which::Exact, words.value()?)?,
                        word => choice.destination(Which::Exact, word)?,
                    }
                }
                word @ ("vrf" | "iif" | "mark" | "tos" | "dsfield" | "realms" | "from") => {
                    return Err(absent(&format!("\"{word}\" of ip route show")));
                }
                word if begins(word, "help") => return Ok(None),
                word => choice.destination(Which::Exact, word)?,
            }
        }
        if choice.family == Family::Any && choice.table != 0 {
            choice.family = Family::V4;
        }
        Ok(Some(choice))
    }

    fn table(&mut self, words: &mut Words<'_>) -> Result<()> {
        match words.value()? {
            "all" => self.table = 0,
            "cache" => self.cache = true,
            word => {
                let number = names::table_number(word);
                self.table = number.ok_or_else(|| words.wrong("table id value is invalid"))?;
            }
        }
        Ok(())
    }

    fn destination(&mut self, which: Which, word: &str) -> Result<()> {
        let to = prefix(word, self.family)?;
        if self.family == Family::Any && to.family() == Family::V6.number() {
            self.family = Family::V6;
        }
        self.to = Some((which, to));
        Ok(())
    }

    /// What need not be told on each line.
    pub(super) fn known(&self) -> Said {
        Said {
            table: self.table != 0,
            gateway: self.via.is_some(),
            link: self.link.is_some(),
            protocol: self.protocol.is_some(),
            scope: self.scope.is_some(),
            source: self.source.is_some(),
            kind: false,
            metric: self.metric.is_some(),
        }
    }

    fn takes(&self, route: &Route<'_>, link: Option<u32>) -> bool {
        let all = route.attributes;
        let is = |kind: u16, wanted: Option<Prefix>| {
            wanted.is_none_or(|wanted| {
                all.get(kind)
                    .is_some_and(|value| is_within(Some(value), wanted))
            })
        };
        self.family.takes(route.family)
            && (route.flags & CLONED != 0) == self.cache
            && (self.table == 0 || self.table == route.table())
            && self
                .protocol
                .is_none_or(|protocol| protocol == route.protocol)
            && self.scope.is_none_or(|scope| scope == route.scope)
            && self.kind.is_none_or(|kind| kind == route.kind)
            && self
                .metric
                .is_none_or(|metric| all.u32(rta::PRIORITY).unwrap_or(0) == metric)
            && link.is_none_or(|link| all.u32(rta::OIF) == Some(link))
            && is(rta::GATEWAY, self.via)
            && is(rta::PREFSRC, self.source)
            && self.to.is_none_or(|(which, to)| lies(route, which, to))
    }
}

/// Whether the destination of a route lies to a prefix as wanted.
fn lies(route: &Route<'_>, which: Which, to: Prefix) -> bool {
    let bits = route.bits.0;
    let zero = [0; 16];
    let length = if route.all_bits() == 128 { 16 } else { 4 };
    let own = route
        .attributes
        .get(rta::DST)
        .or_else(|| zero.get(..length));
    // A route's own prefix, to look from it at the other.
    let around = |address: Option<std::net::IpAddr>| match address {
        None => bits == 0,
        Some(address) => {
            let wanted = super::words::octets(address);
            let whole = Prefix {
                address: own.and_then(address_of),
                bits,
                said: true,
            };
            is_within(Some(&wanted), whole)
        }
    };
    match which {
        Which::Root => bits >= to.bits && is_within(own, to),
        Which::Match => bits <= to.bits && around(to.address),
        Which::Exact => bits == to.bits && is_within(own, to),
    }
}

fn address_of(value: &[u8]) -> Option<std::net::IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).ok().map(std::net::IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(value).ok().map(std::net::IpAddr::from))
}

/// The routes that are meant, as the kernel tells them.
pub(super) fn chosen(show: &mut Show<'_>, choice: &Choice) -> Result<Vec<Answer>> {
    let link = match &choice.link {
        None => None,
        Some(name) => {
            let number = number_of(show, name);
            Some(number.map_err(|_: Error| cannot_find(name))?)
        }
    };
    let mut request = Request::new(rtm::GETROUTE, 0, &[0; HEADER]);
    request.put(0, &[choice.family.number()]);
    let mut routes = show.links.dump(&request)?;
    routes.retain(|answer| Route::of(answer).is_some_and(|route| choice.takes(&route, link)));
    Ok(routes)
}

/// `ip route show`.
pub(super) fn show(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    let Some(choice) = Choice::read(words, options)? else {
        return Ok(usage(Some("route")));
    };
    options.show(|show| {
        let known = choice.known();
        for answer in chosen(show, &choice)? {
            if let Some(route) = Route::of(&answer) {
                show.out.open_object("");
                show.route(&route, known);
                show.out.close_object();
            }
        }
        Ok(())
    })
}

/// `ip route flush`.
pub(super) fn flush(words: &mut Words<'_>, options: &Options) -> Result<Exit> {
    if words.is_empty() {
        return Err(Error::new("\"ip route flush\" requires arguments."));
    }
    let Some(choice) = Choice::read(words, options)? else {
        return Ok(usage(Some("route")));
    };
    let mut flush = Flush::new("route", options)?;
    for answer in chosen(&mut flush.show, &choice)? {
        let mut request = Request::new(
            rtm::DELROUTE,
            0,
            answer.body.get(..HEADER).unwrap_or_default(),
        );
        let Some(route) = Route::of(&answer) else {
            continue;
        };
        for (kind, value) in route.attributes {
            if kind != rta::CACHEINFO {
                request.attribute(kind, value);
            }
        }
        let to = route.attributes.get(rta::DST);
        let to = to.map_or("default".into(), names::ip);
        flush.remove(request, &[&format!("{to}/{}", route.bits.0)]);
    }
    flush.finish("entries")
}
