//! What kinds of link have of their own: how `type KIND ...` is read, and how `-d` shows it.
//!
//! Bridges, their ports and macvlan are tables of options; the others have a file of their own, `kinds_more.rs`.

use isobox::error::{Error, Result};
use isobox::net::attributes::Attributes;
use isobox::net::number::ifla;
use isobox::net::request::Request;

use super::words::{USAGE, Words, begins, hardware};
use super::{Show, names};

/// How an option is written and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    U8,
    U16,
    U32,
    U64,
    /// A byte that is on or off.
    Switch,
    /// A hardware address.
    Mac,
    /// `802.1Q`: a number of two bytes in network order.
    Protocol,
    /// Without a value.
    Flag,
    /// A mask in hexadecimal.
    Mask,
    /// What only the kernel sets: a number in hexadecimal, a bridge's id, a timer, the state of a port.
    Hex,
    Id,
    Timer,
    State,
    /// One bit of the two words of `IFLA_BR_MULTI_BOOLOPT`.
    Bit(u8),
}

/// An option of a kind: its word, its key in JSON, its attribute, how it is written, and whether it can be set.
struct Row(&'static str, &'static str, u16, How, bool);

const SET: bool = true;
const TOLD: bool = false;

#[rustfmt::skip]
const BRIDGE: &[Row] = &[
    Row("forward_delay", "forward_delay", 1, How::U32, SET),
    Row("hello_time", "hello_time", 2, How::U32, SET),
    Row("max_age", "max_age", 3, How::U32, SET),
    Row("ageing_time", "ageing_time", 4, How::U32, SET),
    Row("stp_state", "stp_state", 5, How::U32, SET),
    Row("priority", "priority", 6, How::U16, SET),
    Row("vlan_filtering", "vlan_filtering", 7, How::U8, SET),
    Row("vlan_protocol", "vlan_protocol", 8, How::Protocol, SET),
    Row("bridge_id", "bridge_id", 11, How::Id, TOLD),
    Row("designated_root", "root_id", 10, How::Id, TOLD),
    Row("root_port", "root_port", 12, How::U16, TOLD),
    Row("root_path_cost", "root_path_cost", 13, How::U32, TOLD),
    Row("topology_change", "topology_change", 14, How::U8, TOLD),
    Row("topology_change_detected", "topology_change_detected", 15, How::U8, TOLD),
    Row("hello_timer", "hello_timer", 16, How::Timer, TOLD),
    Row("tcn_timer", "tcn_timer", 17, How::Timer, TOLD),
    Row("topology_change_timer", "topology_change_timer", 18, How::Timer, TOLD),
    Row("gc_timer", "gc_timer", 19, How::Timer, TOLD),
    Row("fdb_flush", "", 21, How::Flag, SET),
    Row("vlan_default_pvid", "vlan_default_pvid", 39, How::U16, SET),
    Row("vlan_stats_enabled", "vlan_stats_enabled", 41, How::U8, SET),
    Row("vlan_stats_per_port", "vlan_stats_per_port", 45, How::U8, SET),
    Row("group_fwd_mask", "group_fwd_mask", 9, How::Mask, SET),
    Row("group_address", "group_addr", 20, How::Mac, SET),
    Row("mcast_snooping", "mcast_snooping", 23, How::U8, SET),
    Row("no_linklocal_learn", "no_linklocal_learn", 46, How::Bit(0), SET),
    Row("mcast_vlan_snooping", "mcast_vlan_snooping", 46, How::Bit(1), SET),
    Row("mcast_router", "mcast_router", 22, How::U8, SET),
    Row("mcast_query_use_ifaddr", "mcast_query_use_ifaddr", 24, How::U8, SET),
    Row("mcast_querier", "mcast_querier", 25, How::U8, SET),
    Row("mcast_hash_elasticity", "mcast_hash_elasticity", 26, How::U32, SET),
    Row("mcast_hash_max", "mcast_hash_max", 27, How::U32, SET),
    Row("mcast_last_member_count", "mcast_last_member_cnt", 28, How::U32, SET),
    Row("mcast_startup_query_count", "mcast_startup_query_cnt", 29, How::U32, SET),
    Row("mcast_last_member_interval", "mcast_last_member_intvl", 30, How::U64, SET),
    Row("mcast_membership_interval", "mcast_membership_intvl", 31, How::U64, SET),
    Row("mcast_querier_interval", "mcast_querier_intvl", 32, How::U64, SET),
    Row("mcast_query_interval", "mcast_query_intvl", 33, How::U64, SET),
    Row("mcast_query_response_interval", "mcast_query_response_intvl", 34, How::U64, SET),
    Row("mcast_startup_query_interval", "mcast_startup_query_intvl", 35, How::U64, SET),
    Row("mcast_stats_enabled", "mcast_stats_enabled", 42, How::U8, SET),
    Row("mcast_igmp_version", "mcast_igmp_version", 43, How::U8, SET),
    Row("mcast_mld_version", "mcast_mld_version", 44, How::U8, SET),
    Row("nf_call_iptables", "nf_call_iptables", 36, How::U8, SET),
    Row("nf_call_ip6tables", "nf_call_ip6tables", 37, How::U8, SET),
    Row("nf_call_arptables", "nf_call_arptables", 38, How::U8, SET),
];

#[rustfmt::skip]
const PORT: &[Row] = &[
    Row("state", "state", 1, How::State, SET),
    Row("priority", "priority", 2, How::U16, SET),
    Row("cost", "cost", 3, How::U32, SET),
    Row("hairpin", "hairpin", 4, How::Switch, SET),
    Row("guard", "guard", 5, How::Switch, SET),
    Row("root_block", "root_block", 6, How::Switch, SET),
    Row("fastleave", "fastleave", 7, How::Switch, SET),
    Row("learning", "learning", 8, How::Switch, SET),
    Row("flood", "flood", 9, How::Switch, SET),
    Row("port_id", "id", 17, How::Hex, TOLD),
    Row("port_no", "no", 18, How::Hex, TOLD),
    Row("designated_port", "designated_port", 15, How::U16, TOLD),
    Row("designated_cost", "designated_cost", 16, How::U16, TOLD),
    Row("designated_bridge", "bridge_id", 14, How::Id, TOLD),
    Row("designated_root", "root_id", 13, How::Id, TOLD),
    Row("hold_timer", "hold_timer", 23, How::Timer, TOLD),
    Row("message_age_timer", "message_age_timer", 21, How::Timer, TOLD),
    Row("forward_delay_timer", "forward_delay_timer", 22, How::Timer, TOLD),
    Row("topology_change_ack", "topology_change_ack", 19, How::U8, TOLD),
    Row("config_pending", "config_pending", 20, How::U8, TOLD),
    Row("proxy_arp", "proxy_arp", 10, How::Switch, SET),
    Row("proxy_arp_wifi", "proxy_arp_wifi", 12, How::Switch, SET),
    Row("mcast_router", "multicast_router", 25, How::U8, SET),
    // Told a second time, and not in JSON.
    Row("mcast_fast_leave", "", 7, How::Switch, SET),
    Row("mcast_flood", "mcast_flood", 27, How::Switch, SET),
    Row("bcast_flood", "bcast_flood", 30, How::Switch, SET),
    Row("mcast_to_unicast", "mcast_to_unicast", 28, How::Switch, SET),
    Row("neigh_suppress", "neigh_suppress", 32, How::Switch, SET),
    Row("group_fwd_mask", "group_fwd_mask", 31, How::Mask, SET),
    Row("group_fwd_mask_str", "group_fwd_mask_str", 31, How::Hex, TOLD),
    Row("vlan_tunnel", "vlan_tunnel", 29, How::Switch, SET),
    Row("isolated", "isolated", 33, How::Switch, SET),
    Row("locked", "locked", 39, How::Switch, SET),
];

/// The states of a bridge's port.
const STATES: [&str; 5] = [
    "disabled",
    "listening",
    "learning",
    "forwarding",
    "blocking",
];

/// The names of Ethernet's VLAN protocols.
pub(super) const PROTOCOLS: [(u16, &str); 2] = [(0x8100, "802.1Q"), (0x88a8, "802.1ad")];

/// Reads the words behind `type KIND` into `INFO_DATA`.
pub(super) fn read(
    kind: &str,
    words: &mut Words<'_>,
    into: &mut super::changes::Making,
) -> Result<()> {
    match kind {
        "bridge" => read_rows(kind, BRIDGE, words, &mut into.request),
        "bridge_slave" => read_rows(kind, PORT, words, &mut into.request),
        "vlan" | "vxlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" => {
            super::kinds_more::read(kind, words, into)
        }
        _ => match words.next()? {
            None => Ok(()),
            Some(word) => Err(unknown(kind, word)),
        },
    }
}

/// An option that a kind does not have.
pub(super) fn unknown(kind: &str, word: &str) -> Error {
    Error::new(format!("{kind}: unknown command \"{word}\"?")).status(1)
}

fn read_rows(kind: &str, rows: &[Row], words: &mut Words<'_>, request: &mut Request) -> Result<()> {
    let mut bits = (0u32, 0u32);
    while let Some(word) = words.next()? {
        let settable = || rows.iter().filter(|row| row.4);
        let found = settable()
            .find(|row| row.0 == word)
            .or_else(|| settable().find(|row| begins(word, row.0)));
        let Some(Row(name, _, attribute, how, _)) = found else {
            return Err(unknown(kind, word));
        };
        let why = format!("invalid {name}");
        let why = why.as_str();
        match how {
            How::U8 => request.attribute(*attribute, &[words.number(why)?]),
            How::U16 | How::Mask => {
                request.attribute(*attribute, &words.number::<u16>(why)?.to_ne_bytes())
            }
            How::U32 => request.attribute(*attribute, &words.number::<u32>(why)?.to_ne_bytes()),
            How::U64 => request.attribute(*attribute, &words.number::<u64>(why)?.to_ne_bytes()),
            How::Switch => request.attribute(*attribute, &[switch(words, name)?.into()]),
            How::Mac => request.attribute(*attribute, &hardware(words.value()?)?),
            How::Protocol => request.attribute(*attribute, &vlan_protocol(words)?),
            How::Flag => request.attribute(*attribute, &[]),
            How::State => request.attribute(*attribute, &[port_state(words)?]),
            How::Bit(bit) => {
                let on: u8 = words.number(why)?;
                bits.0 |= u32::from(on != 0) << bit;
                bits.1 |= 1 << bit;
                continue;
            }
            How::Hex | How::Id | How::Timer => return Err(unknown(kind, word)),
        };
    }
    if bits.1 != 0 {
        let value = [bits.0.to_ne_bytes(), bits.1.to_ne_bytes()].concat();
        request.attribute(46, &value);
    }
    Ok(())
}

fn switch(words: &mut Words<'_>, name: &str) -> Result<bool> {
    match words.value()? {
        "on" => Ok(true),
        "off" => Ok(false),
        word => Err(one_of(name, "\"off\", \"on\"", word)),
    }
}

/// A word that is none of those there are.
pub(super) fn one_of(name: &str, choices: &str, word: &str) -> Error {
    let text = format!("Error: argument of \"{name}\" must be one of {choices}, not \"{word}\"");
    Error::new(text).status(1)
}

/// `802.1Q` or `802.1ad`.
pub(super) fn vlan_protocol(words: &mut Words<'_>) -> Result<[u8; 2]> {
    let word = words.value()?;
    let known = PROTOCOLS
        .iter()
        .find(|row| row.1.eq_ignore_ascii_case(word));
    known
        .map(|row| row.0.to_be_bytes())
        .ok_or_else(|| words.wrong("invalid vlan_protocol"))
}

fn port_state(words: &mut Words<'_>) -> Result<u8> {
    let word = words.value()?;
    let named = STATES.iter().position(|state| *state == word);
    let number = named.map_or_else(|| super::words::number(word), |at| u64::try_from(at).ok());
    number
        .and_then(|state| u8::try_from(state).ok())
        .ok_or_else(|| words.wrong("invalid state").status(USAGE))
}

impl Show<'_> {
    /// The kind of a link, with what that kind has, and what the link is a port of.
    pub(super) fn link_info(&mut self, info: Attributes<'_>) {
        self.out.open_object("linkinfo");
        for (kind, data, keys) in [
            (
                ifla::INFO_KIND,
                ifla::INFO_DATA,
                ["info_kind", "info_data", ""],
            ),
            (
                ifla::INFO_SLAVE_KIND,
                ifla::INFO_SLAVE_DATA,
                ["info_slave_kind", "info_slave_data", "_slave"],
            ),
        ] {
            let Some(name) = info.text(kind) else {
                continue;
            };
            self.out.line();
            let [key, data_key, more] = keys;
            self.out.string(key, &format!("    {{}}{more} "), &name);
            let data = info.nested(data).filter(|_| has_details(&name, more));
            if let Some(data) = data {
                self.out.open_object(data_key);
                self.kind_details(&name, more, data);
                self.out.close_object();
            }
        }
        self.out.close_object();
    }

    fn kind_details(&mut self, kind: &str, more: &str, data: Attributes<'_>) {
        match (kind, more) {
            ("bridge", "") => self.rows(BRIDGE, data),
            ("bridge", _) => self.rows(PORT, data),
            _ => self.other_kind(kind, data),
        }
    }

    fn rows(&mut self, rows: &[Row], data: Attributes<'_>) {
        for Row(word, key, attribute, how, _) in rows {
            let Some(value) = data.get(*attribute) else {
                continue;
            };
            if key.is_empty() && self.out.is_json() {
                continue;
            }
            let frame = format!("{word} {{}} ");
            let number = little(value);
            match how {
                How::U8 | How::U16 | How::U32 | How::U64 => self.out.number(key, &frame, number),
                How::Switch => self.out.on_off(key, &frame, number != 0),
                How::Mac => self.out.string(key, &frame, &names::colons(value)),
                How::Protocol => self.out.string(key, &frame, &protocol_name(value)),
                How::Mask => {
                    let text = if number == 0 {
                        "0".into()
                    } else {
                        format!("{number:#x}")
                    };
                    self.out.string(key, &frame, &text);
                }
                How::Hex => self.out.string(key, &frame, &format!("{number:#x}")),
                How::Id => self.out.string(key, &frame, &bridge_id(value)),
                How::Timer => {
                    let text = format!("{}.{:02}", number / 100, number % 100);
                    if self.out.is_json() {
                        self.out.json_bare(key, &text);
                    } else {
                        self.out.text(&format!("{word} {text:>7} "));
                    }
                }
                How::State => {
                    let name = usize::try_from(number).ok().and_then(|at| STATES.get(at));
                    match name {
                        Some(name) => self.out.string(key, &frame, name),
                        None => self.out.number(key, "state ({}) ", number),
                    }
                }
                How::Bit(bit) => {
                    let bits = value.first_chunk().map_or(0, |v| u32::from_ne_bytes(*v));
                    self.out.number(key, &frame, ((bits >> bit) & 1).into());
                }
                How::Flag => {}
            }
        }
    }
}

/// Whether we show what a kind has: ip(8) opens an object for these even where it is empty.
fn has_details(kind: &str, more: &str) -> bool {
    match more {
        "" => matches!(
            kind,
            "bridge" | "vlan" | "vxlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" | "tun"
        ),
        _ => kind == "bridge",
    }
}

/// A number of one, two, four or eight bytes in the machine's order.
pub(super) fn little(value: &[u8]) -> u64 {
    match value.len() {
        1 => value.first().copied().unwrap_or(0).into(),
        2 => value
            .first_chunk()
            .map_or(0, |v| u16::from_ne_bytes(*v).into()),
        8 => value.first_chunk().map_or(0, |v| u64::from_ne_bytes(*v)),
        _ => value
            .first_chunk()
            .map_or(0, |v| u32::from_ne_bytes(*v).into()),
    }
}

/// The name of a VLAN protocol in network order.
pub(super) fn protocol_name(value: &[u8]) -> String {
    let number = value.first_chunk().map_or(0, |v| u16::from_be_bytes(*v));
    let known = PROTOCOLS.iter().find(|row| row.0 == number);
    known.map_or_else(|| format!("[{number}]"), |row| row.1.into())
}

/// `8000.2:0:0:0:0:1`: a priority and a hardware address, whose bytes ip(8) writes without zeros in front.
fn bridge_id(value: &[u8]) -> String {
    match value {
        [high, low, address @ ..] => {
            let address: Vec<String> = address.iter().map(|byte| format!("{byte:x}")).collect();
            format!("{high:02x}{low:02x}.{}", address.join(":"))
        }
        _ => String::new(),
    }
}
