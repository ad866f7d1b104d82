//! The kind of link vxlan: a tunnel that carries Ethernet in UDP.

use std::net::IpAddr;

use isobox::error::{Error, Result};
use isobox::net::attributes::Attributes;
use isobox::plan::steps::rtnetlink::cannot_find;

use super::changes::Making;
use super::kinds::unknown;
use super::words::{Family, Words, address, full, octets};
use super::{Show, names};

/// Switches of vxlan: the attribute, the word, and the key in JSON where it is shown.
const VXLAN: [(u16, &str); 11] = [
    (7, "learning"),
    (11, "proxy"),
    (12, "rsc"),
    (13, "l2miss"),
    (14, "l3miss"),
    (18, "udpcsum"),
    (19, "udp6zerocsumtx"),
    (20, "udp6zerocsumrx"),
    (21, "remcsumtx"),
    (22, "remcsumrx"),
    (25, "external"),
];

/// `IFLA_VXLAN_LEARNING`.
const LEARNING: u16 = 7;

/// What may be said, in the order in which iproute2 takes beginnings for it.
const KEYS: [&str; 21] = [
    "id",
    "group",
    "remote",
    "local",
    "dev",
    "ttl",
    "hoplimit",
    "tos",
    "dsfield",
    "ageing",
    "maxaddress",
    "port",
    "srcport",
    "dstport",
    "nolearning",
    "learning",
    "noproxy",
    "proxy",
    "norsc",
    "rsc",
    "external",
];

/// Reads the words behind `type vxlan`.
pub(super) fn read(words: &mut Words<'_>, into: &mut Making) -> Result<()> {
    while let Some(word) = words.next()? {
        let word = full(word, &KEYS);
        if vxlan_switch(word, into) {
            continue;
        }
        match word {
            "id" | "vni" => {
                let id: u32 = words.number("invalid id")?;
                if id >= 1 << 24 {
                    return Err(words.wrong("invalid id"));
                }
                into.request.number(1, id);
            }
            "group" | "remote" => vxlan_address(words, into, [2, 16], word)?,
            "local" => vxlan_address(words, into, [4, 17], word)?,
            "dev" => {
                let name = words.value()?;
                into.link(3, name, cannot_find);
            }
            "ttl" | "hoplimit" => {
                let ttl = match words.value()? {
                    "auto" => 0,
                    "inherit" => {
                        into.request.attribute(28, &[]);
                        continue;
                    }
                    word => super::words::number(word)
                        .and_then(|ttl| u8::try_from(ttl).ok())
                        .ok_or_else(|| words.wrong("TTL must be <= 255"))?,
                };
                into.request.attribute(5, &[ttl]);
            }
            "tos" | "dsfield" => {
                let tos = match words.value()? {
                    "inherit" => 1,
                    word => u8::from_str_radix(word.trim_start_matches("0x"), 16)
                        .map_err(|_| words.wrong("bad TOS value"))?,
                };
                into.request.attribute(6, &[tos]);
            }
            "ageing" => {
                let age = match words.value()? {
                    "none" => 0,
                    _ => {
                        words.back();
                        words.number("ageing timer")?
                    }
                };
                into.request.number(8, age);
            }
            "maxaddress" => {
                let most: u32 = words.number("max addresses")?;
                into.request.number(9, most);
            }
            "srcport" | "port" => {
                let low: u16 = words.number("min port")?;
                let high: u16 = words.number("max port")?;
                into.request
                    .attribute(10, &[low.to_be_bytes(), high.to_be_bytes()].concat());
            }
            "dstport" => {
                let port: u16 = words.number("dst port")?;
                into.request.attribute(15, &port.to_be_bytes());
            }
            "gbp" => {
                into.request.attribute(23, &[]);
            }
            "gpe" => {
                into.request.attribute(27, &[]);
            }
            word => return Err(unknown("vxlan", word)),
        }
    }
    Ok(())
}

/// `learning`, `nolearning` ...
fn vxlan_switch(word: &str, into: &mut Making) -> bool {
    let (name, on) = match word.strip_prefix("no") {
        Some(name) => (name, 0),
        None => (word, 1),
    };
    let found = VXLAN.iter().find(|row| row.1 == name);
    if let Some((attribute, _)) = found {
        into.request.attribute(*attribute, &[on]);
    }
    // Where another tells which tunnel a packet takes there is nothing to learn.
    if word == "external" {
        into.request.attribute(LEARNING, &[0]);
    }
    found.is_some()
}

fn vxlan_address(
    words: &mut Words<'_>,
    into: &mut Making,
    kinds: [u16; 2],
    name: &str,
) -> Result<()> {
    let word = words.value()?;
    let address = address(word, Family::Any).ok_or_else(|| {
        let text = format!("Error: any valid address is expected rather than \"{word}\".");
        Error::new(text).status(1)
    })?;
    if name == "group" && !address.is_multicast() {
        return Err(words.wrong("invalid group address"));
    }
    if name == "remote" && address.is_multicast() {
        return Err(words.wrong("invalid remote address"));
    }
    let [v4, v6] = kinds;
    let kind = if address.is_ipv4() { v4 } else { v6 };
    into.request.attribute(kind, &octets(address));
    Ok(())
}

impl Show<'_> {
    /// What a vxlan has.
    pub(super) fn vxlan(&mut self, data: Attributes<'_>) {
        if data.u8(25).is_some_and(|on| on != 0) {
            self.out.truth("external", "external ", true);
        }
        let Some(id) = data.u32(1) else {
            return;
        };
        self.out.number("id", "id {} ", id.into());
        self.vxlan_ends(data);
        if let Some([l0, l1, h0, h1]) = data.get(10) {
            let (low, high) = (
                u16::from_be_bytes([*l0, *l1]),
                u16::from_be_bytes([*h0, *h1]),
            );
            self.out.open_object("port_range");
            self.out.number("low", "srcport {} ", low.into());
            self.out.number("high", "{} ", high.into());
            self.out.close_object();
        }
        if let Some(port) = data.u16(15) {
            self.out
                .number("port", "dstport {} ", u16::from_be(port).into());
        }
        self.vxlan_told(data, 7, "learning", "", "nolearning ");
        for (kind, name) in [(11, "proxy"), (12, "rsc"), (13, "l2miss"), (14, "l3miss")] {
            if data.u8(kind).is_some_and(|on| on != 0) {
                self.out.truth(name, &format!("{name} "), true);
            }
        }
        match data.u8(6) {
            None | Some(0) => {}
            Some(1) if !self.out.is_json() => self.out.text("tos inherit "),
            Some(tos) => self.out.string("tos", "tos {} ", &format!("{tos:#x}")),
        }
        self.vxlan_lifetimes(data);
        self.vxlan_told(data, 18, "udp_csum", "udpcsum ", "noudpcsum ");
        self.vxlan_told(
            data,
            19,
            "udp_zero_csum6_tx",
            "udp6zerocsumtx ",
            "noudp6zerocsumtx ",
        );
        self.vxlan_told(
            data,
            20,
            "udp_zero_csum6_rx",
            "udp6zerocsumrx ",
            "noudp6zerocsumrx ",
        );
        for (kind, key) in [(21, "remcsum_tx"), (22, "remcsum_rx")] {
            if data.u8(kind).is_some_and(|on| on != 0) {
                self.out
                    .truth(key, &format!("{} ", key.replace('_', "")), true);
            }
        }
        for (kind, name) in [(23, "gbp"), (27, "gpe")] {
            if data.get(kind).is_some() {
                self.out.truth(name, &format!("{name} "), true);
            }
        }
    }

    /// Where packets go, where from, and on which link.
    fn vxlan_ends(&mut self, data: Attributes<'_>) {
        let found = |v4: u16, v6: u16| {
            let four = data.get(v4).map(|value| (value, ""));
            let (value, six) = four.or_else(|| data.get(v6).map(|value| (value, "6")))?;
            value
                .iter()
                .any(|byte| *byte != 0)
                .then(|| (names::ip(value), six))
        };
        if let Some((text, six)) = found(2, 16) {
            let multicast = text
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_multicast());
            let word = if multicast { "group" } else { "remote" };
            self.out
                .string(&format!("{word}{six}"), &format!("{word} {{}} "), &text);
        }
        if let Some((text, six)) = found(4, 17) {
            self.out.string(&format!("local{six}"), "local {} ", &text);
        }
        if let Some(link) = data.u32(3).filter(|link| *link != 0) {
            let name = self.links.name(link);
            self.out.string("link", "dev {} ", &name);
        }
    }

    fn vxlan_lifetimes(&mut self, data: Attributes<'_>) {
        if data.u8(28).is_some_and(|on| on != 0) {
            self.out.string("ttl", "ttl {} ", "inherit");
        } else if let Some(ttl) = data.u8(5) {
            match ttl {
                0 if !self.out.is_json() => self.out.text("ttl auto "),
                ttl => self.out.number("ttl", "ttl {} ", ttl.into()),
            }
        }
        match data.u8(29) {
            Some(0) => self.out.json_string("df", "unset"),
            Some(1) => self.out.string("df", "df {} ", "set"),
            Some(2) => self.out.string("df", "df {} ", "inherit"),
            _ => {}
        }
        if let Some(label) = data.u32(26).map(u32::from_be).filter(|label| *label != 0) {
            self.out
                .string("label", "flowlabel {} ", &format!("{label:#x}"));
        }
        match data.u32(8) {
            Some(0) => self.out.string("ageing", "ageing {} ", "none"),
            Some(age) => self.out.number("ageing", "ageing {} ", age.into()),
            None => {}
        }
        if let Some(most) = data.u32(9).filter(|most| *most != 0) {
            self.out.number("limit", "maxaddr {} ", most.into());
        }
    }

    /// A switch that is told either way.
    fn vxlan_told(&mut self, data: Attributes<'_>, kind: u16, key: &str, on: &str, off: &str) {
        if let Some(value) = data.u8(kind) {
            self.out
                .truth(key, if value != 0 { on } else { off }, value != 0);
        }
    }
}
