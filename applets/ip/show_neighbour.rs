//! Showing neighbours: which hardware address an IP address has.

use isobox::net::attributes::Attributes;
use isobox::net::message::Answer;
use isobox::net::number::nda;

use super::out::Color;
use super::show_address::color_of;
use super::{Show, names};

/// `struct ndmsg`.
pub(super) const HEADER: usize = 12;
/// `NTF_*`: what is flagged, in the order in which it is shown.
const FLAGS: [(u8, &str); 4] = [
    (0x80, "router"),
    (0x08, "proxy"),
    (0x10, "extern_learn"),
    (0x20, "offload"),
];
/// `NTF_PROXY`.
pub(super) const PROXY: u8 = 0x08;
/// `NTF_EXT_MANAGED`.
const MANAGED: u32 = 1;

/// A neighbour as the kernel tells it.
pub(super) struct Neighbour<'a> {
    pub(super) family: u8,
    pub(super) index: u32,
    pub(super) state: u16,
    pub(super) flags: u8,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Neighbour<'a> {
    /// Reads it.
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        let head: &[u8; HEADER] = answer.body.first_chunk()?;
        let [family, _, _, _, i0, i1, i2, i3, s0, s1, flags, _] = *head;
        Some(Self {
            family,
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            state: u16::from_ne_bytes([s0, s1]),
            flags,
            attributes: Attributes::new(answer.body.get(HEADER..)?),
        })
    }
}

impl Show<'_> {
    /// A neighbour; its link where the listing is not of one link.
    pub(super) fn neighbour(&mut self, neighbour: &Neighbour<'_>, with_link: bool) {
        let all = neighbour.attributes;
        if self.options.brief {
            return self.brief_neighbour(neighbour, with_link);
        }
        if let Some(address) = all.get(nda::DST) {
            let color = color_of(neighbour.family);
            self.out.colored(color, "dst", "{} ", &names::ip(address));
        }
        if with_link && neighbour.index != 0 {
            let name = self.links.name(neighbour.index);
            self.out.text("dev ");
            self.out.colored(Color::Name, "dev", "{} ", &name);
        }
        if let Some(address) = all.get(nda::LLADDR) {
            self.out.text("lladdr ");
            let address = names::link_address(address, 1);
            self.out.colored(Color::Mac, "lladdr", "{} ", &address);
        }
        for (bit, name) in FLAGS {
            if neighbour.flags & bit != 0 {
                self.out.set(name, &format!("{name} "));
            }
        }
        if all
            .u32(nda::FLAGS_EXT)
            .is_some_and(|flags| flags & MANAGED != 0)
        {
            self.out.set("managed", "managed ");
        }
        if self.options.statistics > 0 {
            self.ages(all);
        }
        if neighbour.state != 0 {
            self.out.open_array("state");
            for (bit, name) in names::NEIGHBOUR {
                if u32::from(neighbour.state) & bit != 0 {
                    self.out.string("", "{} ", name);
                }
            }
            self.out.close_array();
        }
        if let Some(protocol) = all.u8(nda::PROTOCOL) {
            self.out
                .string("protocol", "proto {} ", &names::protocol(protocol));
        }
        self.out.text("\n");
    }

    /// A neighbour as three columns.
    fn brief_neighbour(&mut self, neighbour: &Neighbour<'_>, with_link: bool) {
        let all = neighbour.attributes;
        let name = match with_link {
            true => self.links.name(neighbour.index),
            false => String::new(),
        };
        let address = names::ip(all.get(nda::DST).unwrap_or_default());
        let hardware = all
            .get(nda::LLADDR)
            .map(|value| names::link_address(value, 1));
        let columns = [
            (color_of(neighbour.family), "dst", "{} ", address, 39),
            (
                Color::Name,
                "dev",
                "{} ",
                name,
                if with_link { 16 } else { 0 },
            ),
            (Color::Mac, "lladdr", "{}", hardware.unwrap_or_default(), 0),
        ];
        for (color, key, frame, value, width) in columns {
            if self.out.is_json() && !value.is_empty() {
                self.out.json_string(key, &value);
            } else if !value.is_empty() {
                self.out
                    .colored(color, key, frame, &format!("{value:<width$}"));
            }
        }
        self.out.text("\n");
    }

    /// When it was used, confirmed and updated last.
    fn ages(&mut self, all: Attributes<'_>) {
        if let Some(info) = all.get(nda::CACHEINFO) {
            let at = |place: usize| {
                let part = info.get(place * 4..).and_then(|rest| rest.first_chunk());
                part.map_or(0, |part| u32::from_ne_bytes(*part))
            };
            if at(3) != 0 {
                self.out.number("refcnt", " ref {}", at(3).into());
            }
            self.out.number("used", " used {}", (at(1) / 100).into());
            self.out.number("confirmed", "/{}", (at(0) / 100).into());
            self.out.number("updated", "/{}", (at(2) / 100).into());
        }
        if let Some(probes) = all.u32(nda::PROBES) {
            self.out.number("probes", "probes {} ", probes.into());
        }
    }
}
