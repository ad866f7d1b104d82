//! The kinds of link whose options are no plain table: vlan, vxlan, macvlan, ipvlan, and what tun shows.

use isobox::error::{Error, Result};
use isobox::net::attributes::Attributes;

use super::Show;
use super::changes::Making;
use super::kinds::{little, one_of, protocol_name, unknown, vlan_protocol};
use super::words::{Words, begins};

/// `MACVLAN_MODE_*`.
const MACVLAN: [(u32, &str); 5] = [
    (1, "private"),
    (2, "vepa"),
    (4, "bridge"),
    (8, "passthru"),
    (16, "source"),
];
/// `IPVLAN_MODE_*`.
const IPVLAN: [&str; 3] = ["l2", "l3", "l3s"];
/// `VLAN_FLAG_*`: the bit, its word, and how it is shown.
const VLAN: [(u32, &str, &str); 5] = [
    (0x1, "reorder_hdr", "REORDER_HDR"),
    (0x2, "gvrp", "GVRP"),
    (0x8, "mvrp", "MVRP"),
    (0x4, "loose_binding", "LOOSE_BINDING"),
    (0x10, "bridge_binding", "BRIDGE_BINDING"),
];
/// Reads the words behind `type KIND`.
pub(super) fn read(kind: &str, words: &mut Words<'_>, into: &mut Making) -> Result<()> {
    match kind {
        "vlan" => vlan(words, into),
        "vxlan" => super::kinds_vxlan::read(words, into),
        "ipvlan" | "ipvtap" => ipvlan(kind, words, into),
        _ => macvlan(kind, words, into),
    }
}

fn vlan(words: &mut Words<'_>, into: &mut Making) -> Result<()> {
    let (mut flags, mut mask) = (0u32, 0u32);
    while let Some(word) = words.next()? {
        if begins(word, "protocol") {
            let protocol = vlan_protocol(words).map_err(|_| words.wrong("protocol is invalid"))?;
            into.request.attribute(5, &protocol);
        } else if begins(word, "id") {
            let id: u16 = words.number("id is invalid")?;
            into.request.attribute(1, &id.to_ne_bytes());
        } else if let Some((bit, name, _)) = VLAN.iter().find(|row| begins(word, row.1)) {
            mask |= bit;
            match words.value()? {
                "on" => flags |= bit,
                "off" => flags &= !bit,
                other => {
                    return Err(words
                        .wrong(&format!("{name} is invalid"))
                        .hint_maybe((other == "yes").then_some("say on")));
                }
            }
        } else {
            return Err(unknown("vlan", word));
        }
    }
    if mask != 0 {
        into.request
            .attribute(2, &[flags.to_ne_bytes(), mask.to_ne_bytes()].concat());
    }
    Ok(())
}

fn macvlan(kind: &str, words: &mut Words<'_>, into: &mut Making) -> Result<()> {
    const MODES: &str = "\"private\", \"vepa\", \"bridge\", \"passthru\" or \"source\"";
    while let Some(word) = words.next()? {
        if begins(word, "mode") {
            let word = words.value()?;
            let mode = MACVLAN.iter().find(|mode| mode.1 == word).ok_or_else(|| {
                let text = format!("Error: argument of \"mode\" must be {MODES}, not \"{word}\"");
                Error::new(text).status(1)
            })?;
            into.request.number(1, mode.0);
        } else if begins(word, "flag") {
            let flag: u16 = match words.value()? {
                "null" => 0,
                "nopromisc" => 1,
                "nodst" => 2,
                word => return Err(one_of("flag", "\"nopromisc\", \"nodst\" or \"null\"", word)),
            };
            into.request.attribute(2, &flag.to_ne_bytes());
        } else if begins(word, "bcqueuelen") {
            let length: u32 = words.number("bcqueuelen")?;
            into.request.number(7, length);
        } else {
            return Err(Error::new(format!("{kind}: unknown option \"{word}\"?")).status(1));
        }
    }
    Ok(())
}

fn ipvlan(kind: &str, words: &mut Words<'_>, into: &mut Making) -> Result<()> {
    let mut flag = None;
    while let Some(word) = words.next()? {
        if begins(word, "mode") {
            let word = words.value()?;
            let mode = IPVLAN
                .iter()
                .position(|mode| *mode == word)
                .and_then(|mode| u16::try_from(mode).ok());
            let mode = mode.ok_or_else(|| {
                let text = "Error: argument of \"mode\" must be either \"l2\", \"l3\" or \"l3s\"";
                Error::new(text).status(1)
            })?;
            into.request.attribute(1, &mode.to_ne_bytes());
            continue;
        }
        let meant: u16 = match word {
            word if begins(word, "private") => 1,
            word if begins(word, "vepa") => 2,
            word if begins(word, "bridge") => 0,
            word => return Err(Error::new(format!("{kind}: unknown option \"{word}\"?")).status(1)),
        };
        flag = Some(meant);
    }
    if let Some(flag) = flag {
        into.request.attribute(2, &flag.to_ne_bytes());
    }
    Ok(())
}

impl Show<'_> {
    /// What a link of these kinds has.
    pub(super) fn other_kind(&mut self, kind: &str, data: Attributes<'_>) {
        match kind {
            "vlan" => self.vlan(data),
            "vxlan" => self.vxlan(data),
            "macvlan" | "macvtap" => self.macvlan(data),
            "tun" => self.tun(data),
            _ => self.ipvlan(data),
        }
    }

    fn vlan(&mut self, data: Attributes<'_>) {
        if let Some(protocol) = data.get(5) {
            self.out
                .string("protocol", "protocol {} ", &protocol_name(protocol));
        }
        if let Some(id) = data.u16(1) {
            self.out.number("id", "id {} ", id.into());
        }
        let flags = data.u32(2).unwrap_or(0);
        self.out.open_array("flags");
        let set: Vec<&str> = VLAN
            .iter()
            .filter(|row| flags & row.0 != 0)
            .map(|row| row.2)
            .collect();
        for (at, name) in set.iter().enumerate() {
            let last = if at + 1 == set.len() { "> " } else { "," };
            self.out.string(
                "",
                &format!("{}{{}}{last}", if at == 0 { "<" } else { "" }),
                name,
            );
        }
        self.out.close_array();
    }

    fn macvlan(&mut self, data: Attributes<'_>) {
        if let Some(mode) = data.u32(1) {
            let name = MACVLAN
                .iter()
                .find(|row| row.0 == mode)
                .map_or("unknown", |row| row.1);
            self.out.string("mode", "mode {} ", name);
        }
        let flags = data.u16(2).unwrap_or(0);
        for (bit, name) in [(1, "nopromisc"), (2, "nodst")] {
            if flags & bit != 0 {
                self.out.truth(name, &format!("{name} "), true);
            }
        }
        self.numbers(
            data,
            &[
                (7, "bcqueuelen", "bcqueuelen {} "),
                (8, "usedbcqueuelen", "usedbcqueuelen {} "),
            ],
        );
    }

    fn ipvlan(&mut self, data: Attributes<'_>) {
        if let Some(mode) = data.u16(1) {
            let name = IPVLAN.get(usize::from(mode)).unwrap_or(&"unknown");
            self.out.string("mode", " mode {} ", name);
        }
        if let Some(flags) = data.u16(2) {
            let name = match flags {
                flags if flags & 1 != 0 => "private",
                flags if flags & 2 != 0 => "vepa",
                _ => "bridge",
            };
            self.out.truth(name, &format!("{name} "), true);
        }
    }

    fn tun(&mut self, data: Attributes<'_>) {
        let of = |kind: u16| data.get(kind).map(little);
        match of(3) {
            Some(1) => self.out.string("type", "type {} ", "tun"),
            Some(2) => self.out.string("type", "type {} ", "tap"),
            _ => {}
        }
        for (kind, name) in [(4, "pi"), (5, "vnet_hdr")] {
            if let Some(on) = of(kind) {
                self.out.on_off(name, &format!("{name} {{}} "), on != 0);
            }
        }
        if let Some(many) = of(7) {
            if self.out.is_json() {
                self.out.truth("multi_queue", "", many != 0);
            } else if many != 0 {
                self.out.text("multi_queue ");
            }
            if many != 0 {
                self.numbers(
                    data,
                    &[
                        (8, "numqueues", "numqueues {} "),
                        (9, "numdisabled", "numdisabled {} "),
                    ],
                );
            }
        }
        if let Some(on) = of(6) {
            self.out.on_off("persist", "persist {} ", on != 0);
        }
        for (kind, name) in [(1, "user"), (2, "group")] {
            if let Some(id) = data.u32(kind) {
                let named = super::tuntap::name_of(name, id).unwrap_or_else(|| id.to_string());
                self.out.string(name, &format!("{name} {{}} "), &named);
            }
        }
    }
}
