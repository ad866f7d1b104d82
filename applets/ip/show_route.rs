//! Showing routes.

use isobox::net::attributes::{Attributes, text};
use isobox::net::message::Answer;
use isobox::net::number::rta;

use super::out::Color;
use super::show_address::color_of;
use super::words::Family;
use super::{Show, names};

/// `struct rtmsg`, and `struct rtnexthop`.
pub(super) const HEADER: usize = 12;
const NEXT_HOP: usize = 8;
/// `RTM_F_CLONED`: it was looked up.
pub(super) const CLONED: u32 = 0x200;
/// `RT_TABLE_MAIN`, `RTN_UNICAST` and `RTPROT_BOOT`: what goes without saying.
pub(super) const MAIN: u32 = 254;
const UNICAST: u8 = 1;
const BOOT: u8 = 3;
/// The parts of a second in which the kernel tells user space times (`USER_HZ`).
const USER_HZ: u32 = 100;

/// A route as the kernel tells it.
pub(super) struct Route<'a> {
    pub(super) family: u8,
    /// The lengths of the destination and of the source.
    pub(super) bits: (u8, u8),
    pub(super) tos: u8,
    table: u8,
    pub(super) protocol: u8,
    pub(super) scope: u8,
    pub(super) kind: u8,
    pub(super) flags: u32,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Route<'a> {
    /// Reads it.
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        let head: &[u8; HEADER] = answer.body.first_chunk()?;
        let [
            family,
            dst,
            src,
            tos,
            table,
            protocol,
            scope,
            kind,
            f0,
            f1,
            f2,
            f3,
        ] = *head;
        Some(Self {
            family,
            bits: (dst, src),
            tos,
            table,
            protocol,
            scope,
            kind,
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            attributes: Attributes::new(answer.body.get(HEADER..)?),
        })
    }

    /// The number of its table, which may not fit a byte.
    pub(super) fn table(&self) -> u32 {
        self.attributes.u32(rta::TABLE).unwrap_or(self.table.into())
    }

    /// The length of an address of its family.
    pub(super) fn all_bits(&self) -> u8 {
        if self.family == Family::V6.number() {
            128
        } else {
            32
        }
    }
}

/// What the listing says of itself, so that each line need not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) table: bool,
    pub(super) gateway: bool,
    pub(super) link: bool,
    pub(super) protocol: bool,
    pub(super) scope: bool,
    pub(super) source: bool,
    pub(super) kind: bool,
    pub(super) metric: bool,
}

impl Show<'_> {
    /// A route.
    pub(super) fn route(&mut self, route: &Route<'_>, said: Said) {
        let detailed = self.options.details > 0;
        let all = route.attributes;
        if (route.kind != UNICAST || detailed) && !said.kind {
            self.out
                .string("type", "{} ", &names::route_type(route.kind));
        }
        self.destination(route);
        if route.tos != 0 {
            let tos = format!("{:#x}", route.tos);
            self.out.string("tos", "tos {} ", &tos);
        }
        if let Some(id) = all.u32(rta::NH_ID) {
            self.out.number("nhid", "nhid {} ", id.into());
        }
        if !said.gateway {
            self.gateway(route.family, all);
        }
        if let Some(link) = all.u32(rta::OIF).filter(|_| !said.link) {
            let name = self.links.name(link);
            self.out.text("dev ");
            self.out.colored(Color::Name, "dev", "{} ", &name);
        }
        if (route.table() != MAIN || detailed) && route.table() != 0 && !said.table {
            self.out
                .string("table", "table {} ", &names::table(route.table()));
        }
        if route.flags & CLONED == 0 {
            if (route.protocol != BOOT || detailed) && !said.protocol {
                self.out
                    .string("protocol", "proto {} ", &names::protocol(route.protocol));
            }
            if (route.scope != 0 || detailed) && !said.scope {
                self.out
                    .string("scope", "scope {} ", &names::scope(route.scope));
            }
        }
        if let Some(source) = all.get(rta::PREFSRC).filter(|_| !said.source) {
            self.out.text("src ");
            self.out
                .colored(color_of(route.family), "prefsrc", "{} ", &names::ip(source));
        }
        if let Some(metric) = all.u32(rta::PRIORITY).filter(|_| !said.metric) {
            self.out.number("metric", "metric {} ", metric.into());
        }
        self.route_flags(route.flags);
        self.mark_and_user(all);
        self.cache(route);
        self.metrics(all);
        if let Some(link) = all.u32(rta::IIF) {
            let name = self.links.name(link);
            self.out.string("iif", "iif {} ", &name);
        }
        if let Some(preference) = all.u8(rta::PREF) {
            let name = match preference {
                0 => "medium".into(),
                1 => "high".into(),
                3 => "low".into(),
                other => other.to_string(),
            };
            self.out.string("pref", "pref {}", &name);
        }
        self.next_hops(route);
        self.out.text("\n");
    }

    fn destination(&mut self, route: &Route<'_>) {
        let color = color_of(route.family);
        let whole = route.all_bits();
        let shown = |value: Option<&[u8]>, bits: u8| match value {
            Some(value) if bits == whole => Some(names::ip(value)),
            Some(value) => Some(format!("{}/{bits}", names::ip(value))),
            None if bits != 0 => Some(format!("0/{bits}")),
            None => None,
        };
        let all = route.attributes;
        match shown(all.get(rta::DST), route.bits.0) {
            Some(to) => self.out.colored(color, "dst", "{} ", &to),
            None => self.out.string("dst", "{} ", "default"),
        }
        if let Some(from) = shown(all.get(rta::SRC), route.bits.1) {
            self.out.colored(color, "from", "from {} ", &from);
        }
    }

    fn gateway(&mut self, family: u8, all: Attributes<'_>) {
        if let Some(gateway) = all.get(rta::GATEWAY) {
            self.out.text("via ");
            self.out
                .colored(color_of(family), "gateway", "{} ", &names::ip(gateway));
        }
        if let Some([f0, f1, address @ ..]) = all.get(rta::VIA) {
            let family = u8::try_from(u16::from_ne_bytes([*f0, *f1])).unwrap_or(0);
            self.out.open_object("via");
            self.out.string("family", "via {} ", Family::name(family));
            self.out
                .colored(color_of(family), "host", "{} ", &names::ip(address));
            self.out.close_object();
        }
    }

    fn route_flags(&mut self, bits: u32) {
        self.out.open_array("flags");
        for flag in names::route_flags(bits) {
            self.out.string("", "{} ", flag);
        }
        self.out.close_array();
    }

    fn mark_and_user(&mut self, all: Attributes<'_>) {
        if let Some(mark) = all.u32(rta::MARK).filter(|mark| *mark != 0) {
            if mark >= 16 && !self.out.is_json() {
                self.out.text(&format!("mark {mark:#x} "));
            } else {
                self.out.number("mark", "mark {} ", mark.into());
            }
        }
        if let Some(uid) = all.u32(rta::UID) {
            self.out.number("uid", "uid {} ", uid.into());
        }
    }

    /// What the kernel knows of a route that was looked up, or that will end.
    fn cache(&mut self, route: &Route<'_>) {
        if route.family == Family::V4.number() && route.flags & CLONED != 0 {
            self.out.line();
            self.out.text("    cache ");
            self.out.open_array("cache");
            let flags = names::cache_flags(route.flags);
            for (at, flag) in flags.iter().enumerate() {
                self.out
                    .string("", if at == 0 { "<{}" } else { ",{}" }, flag);
            }
            if !flags.is_empty() {
                self.out.text("> ");
            }
            self.out.close_array();
        }
        let Some(info) = route.attributes.get(rta::CACHEINFO) else {
            return;
        };
        let at = |place: usize| {
            let part = info.get(place * 4..).and_then(|rest| rest.first_chunk());
            part.map_or(0, |part| i32::from_ne_bytes(*part))
        };
        let ticks = i32::try_from(USER_HZ).unwrap_or(1);
        let mut told = vec![
            ("expires", "expires {}sec ", at(2) / ticks, at(2)),
            ("error", "error {} ", at(3), at(3)),
        ];
        if self.options.statistics > 0 {
            told.extend([
                ("users", "users {} ", at(0), at(0)),
                ("used", "used {} ", at(4), at(4)),
                ("age", "age {}sec ", at(1) / ticks, at(1)),
            ]);
        }
        for (key, frame, value, raw) in told {
            if raw != 0 {
                self.out.signed(key, frame, value.into());
            }
        }
    }

    fn metrics(&mut self, all: Attributes<'_>) {
        const LOCK: u16 = 1;
        const HOP_LIMIT: u16 = 10;
        const CONGESTION: u16 = 16;
        let Some(metrics) = all.nested(rta::METRICS) else {
            return;
        };
        let locked = metrics.u32(LOCK).unwrap_or(0);
        self.out.open_array("metrics");
        self.out.open_object("");
        for (place, name) in (2u16..).zip(names::METRICS) {
            let Some(value) = metrics.get(place) else {
                continue;
            };
            let number = value
                .first_chunk()
                .map_or(0, |value| u32::from_ne_bytes(*value));
            if place == HOP_LIMIT && number == u32::MAX {
                continue;
            }
            self.out.text(&format!("{name} "));
            if locked & (1 << place) != 0 {
                self.out.text("lock ");
            }
            match (place, self.out.is_json()) {
                (CONGESTION, _) => self.out.string("congestion", "{} ", &text(value)),
                (4, false) if number / 8 >= 1000 => self.out.text(&seconds(number, 8000)),
                (5, false) if number / 4 >= 1000 => self.out.text(&seconds(number, 4000)),
                (4, _) => self.out.number(name, "{}ms ", (number / 8).into()),
                (5, _) => self.out.number(name, "{}ms ", (number / 4).into()),
                (13, false) if number >= 1000 => self.out.text(&seconds(number, 1000)),
                (13, _) => self.out.number(name, "{}ms ", number.into()),
                (12, false) if number & 1 != 0 => self.out.text("ecn "),
                _ => self.out.number(name, "{} ", number.into()),
            }
        }
        self.out.close_object();
        self.out.close_array();
    }

    fn next_hops(&mut self, route: &Route<'_>) {
        let Some(mut rest) = route.attributes.get(rta::MULTIPATH) else {
            return;
        };
        self.out.open_array("nexthops");
        while let Some(head) = rest.first_chunk::<NEXT_HOP>() {
            let [l0, l1, flags, hops, i0, i1, i2, i3] = *head;
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let Some(own) = rest.get(NEXT_HOP..length) else {
                break;
            };
            self.out.open_object("");
            self.out.line();
            self.out.text("\tnexthop ");
            self.gateway(route.family, Attributes::new(own));
            let link = self.links.name(u32::from_ne_bytes([i0, i1, i2, i3]));
            self.out.string("dev", "dev {} ", &link);
            self.out.number("weight", "weight {} ", u64::from(hops) + 1);
            self.route_flags(flags.into());
            self.out.close_object();
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.out.close_array();
    }
}

/// A time in seconds, as printf's `%g` has it.
fn seconds(number: u32, part: u32) -> String {
    let thousandths = u64::from(number) * 1000 / u64::from(part);
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    format!("{}s ", text.trim_end_matches('0').trim_end_matches('.'))
}
