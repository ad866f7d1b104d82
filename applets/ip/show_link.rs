//! Showing links.

use isobox::net::attributes::Attributes;
use isobox::net::message::Answer;
use isobox::net::number::ifla;

use super::out::Color;
use super::words::Family;
use super::{Show, names};

/// `struct ifinfomsg`.
pub(super) const HEADER: usize = 16;

/// A link as the kernel tells it.
pub(super) struct Link<'a> {
    pub(super) hardware: u16,
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Link<'a> {
    /// Reads it.
    pub(super) fn of(answer: &'a Answer) -> Option<Self> {
        let head: &[u8; HEADER] = answer.body.first_chunk()?;
        let [_, _, h0, h1, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *head;
        Some(Self {
            hardware: u16::from_ne_bytes([h0, h1]),
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            attributes: Attributes::new(answer.body.get(HEADER..)?),
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        let name = self.attributes.text(ifla::IFNAME);
        name.map_or_else(|| format!("if{}", self.index), std::borrow::Cow::into_owned)
    }

    /// What kind it is (`veth`), or with [`ifla::INFO_SLAVE_KIND`] what it is a port of.
    pub(super) fn kind(&self, which: u16) -> Option<String> {
        let info = self.attributes.nested(ifla::LINKINFO)?;
        Some(info.text(which)?.into_owned())
    }
}

/// `IFF_UP`.
pub(super) const UP: u32 = 1;
/// `IFF_POINTOPOINT`.
const POINT_TO_POINT: u32 = 0x10;

impl Show<'_> {
    /// A link with all that is asked for.
    pub(super) fn link(&mut self, link: &Link<'_>) {
        let all = link.attributes;
        self.out.number("ifindex", "{}: ", link.index.into());
        let lower_is_down = self.name_and_link(link, false);
        self.flags(link.flags, lower_is_down);
        if let Some(mtu) = all.u32(ifla::MTU) {
            self.out.number("mtu", "mtu {} ", mtu.into());
        }
        if let Some(qdisc) = all.text(ifla::QDISC) {
            self.out.string("qdisc", "qdisc {} ", &qdisc);
        }
        if let Some(master) = all.u32(ifla::MASTER) {
            let master = self.links.name(master);
            self.out.string("master", "master {} ", &master);
        }
        self.state(link, "state ", "{} ");
        self.mode_group_and_queue(link);
        let family = self.family;
        if matches!(family, Family::Any | Family::Link) || self.options.details > 0 {
            self.hardware(link);
        }
        self.peer_namespace(all);
        if all.u8(ifla::PROTO_DOWN).is_some_and(|down| down != 0) {
            self.out.truth("proto_down", " protodown on ", true);
        }
        if self.options.details > 0 {
            self.link_details(link);
        }
        if let Some(alias) = all
            .text(ifla::IFALIAS)
            .filter(|_| self.of_links || self.options.details > 0)
        {
            self.out.line();
            self.out.string("ifalias", "    alias {}", &alias);
        }
        if self.of_links && self.options.statistics > 0 {
            self.out.line();
            self.statistics(all);
        }
        self.other_names(all);
        self.out.text("\n");
    }

    /// A link on one line.
    pub(super) fn brief_link(&mut self, link: &Link<'_>) {
        let lower_is_down = self.name_and_link(link, true);
        self.state(link, "", "");
        if self.family == Family::Link {
            if let Some(address) = link.attributes.get(ifla::ADDRESS).filter(|a| !a.is_empty()) {
                let address = names::link_address(address, link.hardware);
                self.out.colored(Color::Mac, "address", "{} ", &address);
            }
            self.flags(link.flags, lower_is_down);
            self.out.text("\n");
        }
    }

    /// `veth0@if3`: the name, and what it is connected to or lies on. Gives whether that is down.
    fn name_and_link(&mut self, link: &Link<'_>, brief: bool) -> bool {
        let name = link.name();
        let mut shown = name.clone();
        let mut down = false;
        match link.attributes.u32(ifla::LINK) {
            None => {}
            Some(0) => {
                shown.push_str("@NONE");
                self.out.json_bare("link", "null");
            }
            Some(index) if link.attributes.get(ifla::LINK_NETNSID).is_some() => {
                shown.push_str(&format!("@if{index}"));
                self.out.json_bare("link_index", &index.to_string());
            }
            Some(index) => {
                let other = self.links.name(index);
                shown.push_str(&format!("@{other}"));
                self.out.json_string("link", &other);
                down = self.links.flags(index) & UP == 0;
            }
        }
        if self.out.is_json() {
            self.out.json_string("ifname", &name);
        } else if brief {
            self.out
                .colored(Color::Name, "", "{} ", &format!("{shown:<16}"));
        } else {
            self.out.colored(Color::Name, "", "{}: ", &shown);
        }
        down
    }

    fn flags(&mut self, bits: u32, lower_is_down: bool) {
        self.out.text("<");
        self.out.open_array("flags");
        for (at, flag) in names::link_flags(bits, lower_is_down).iter().enumerate() {
            self.out
                .string("", if at == 0 { "{}" } else { ",{}" }, flag);
        }
        self.out.close_array();
        self.out.text("> ");
    }

    fn state(&mut self, link: &Link<'_>, before: &str, frame: &str) {
        let Some(number) = link.attributes.u8(ifla::OPERSTATE) else {
            return;
        };
        let name = names::state(number);
        let color = match number {
            6 => Color::Up,
            2 => Color::Down,
            _ => Color::None,
        };
        self.out.text(before);
        if frame.is_empty() && !self.out.is_json() {
            self.out.colored(color, "", "{} ", &format!("{name:<14}"));
        } else {
            self.out.colored(color, "operstate", frame, &name);
        }
    }

    fn mode_group_and_queue(&mut self, link: &Link<'_>) {
        let all = link.attributes;
        if let Some(mode) = all.u8(ifla::LINKMODE).filter(|_| self.of_links) {
            let mode = if mode == 0 { "DEFAULT" } else { "DORMANT" };
            self.out.string("linkmode", "mode {} ", mode);
        }
        if let Some(group) = all.u32(ifla::GROUP) {
            let group = match group {
                0 => "default".into(),
                group => group.to_string(),
            };
            self.out.string("group", "group {} ", &group);
        }
        let length = all
            .u32(ifla::TXQLEN)
            .or_else(|| self.links.queue(link.index));
        if let Some(length) = length.filter(|length| *length != 0) {
            self.out.number("txqlen", "qlen {}", length.into());
        }
    }

    fn hardware(&mut self, link: &Link<'_>) {
        let all = link.attributes;
        self.out.line();
        let kind = names::hardware(link.hardware);
        self.out.string("link_type", "    link/{} ", &kind);
        if let Some(address) = all.get(ifla::ADDRESS) {
            let address = names::link_address(address, link.hardware);
            self.out.colored(Color::Mac, "address", "{}", &address);
        }
        if let Some(broadcast) = all.get(ifla::BROADCAST) {
            if link.flags & POINT_TO_POINT != 0 {
                self.out.text(" peer ");
                self.out.json_bare("link_pointtopoint", "true");
            } else {
                self.out.text(" brd ");
            }
            let broadcast = names::link_address(broadcast, link.hardware);
            self.out.colored(Color::Mac, "broadcast", "{}", &broadcast);
        }
        let permanent = all.get(ifla::PERM_ADDRESS);
        if let Some(permanent) = permanent.filter(|address| all.get(ifla::ADDRESS) != Some(address))
        {
            self.out.text(" permaddr ");
            let permanent = names::link_address(permanent, link.hardware);
            self.out.colored(Color::Mac, "permaddr", "{}", &permanent);
        }
    }

    /// The namespace of the other end.
    fn peer_namespace(&mut self, all: Attributes<'_>) {
        let Some(id) = all.i32(ifla::LINK_NETNSID) else {
            return;
        };
        if self.out.is_json() {
            self.out.json_bare("link_netnsid", &id.to_string());
            return;
        }
        let named = u32::try_from(id)
            .ok()
            .and_then(|id| self.names_by_id().get(&id).cloned());
        match named {
            Some(name) => self
                .out
                .text(&format!(" link-netns {}", name.to_string_lossy())),
            None if id >= 0 => self.out.text(&format!(" link-netnsid {id}")),
            None => self.out.text(" link-netnsid unknown"),
        }
    }

    fn other_names(&mut self, all: Attributes<'_>) {
        let Some(list) = all.nested(ifla::PROP_LIST) else {
            return;
        };
        self.out.open_array("altnames");
        for (kind, value) in list {
            if kind == ifla::ALT_IFNAME {
                self.out.line();
                let name = isobox::net::attributes::text(value);
                self.out.string("", "    altname {}", &name);
            }
        }
        self.out.close_array();
    }

    fn link_details(&mut self, link: &Link<'_>) {
        let all = link.attributes;
        let told = [
            (ifla::PROMISCUITY, "promiscuity", " promiscuity {} "),
            (ifla::ALLMULTI, "allmulti", " allmulti {} "),
            (ifla::MIN_MTU, "min_mtu", "minmtu {} "),
            (ifla::MAX_MTU, "max_mtu", "maxmtu {} "),
        ];
        self.numbers(all, &told);
        if let Some(info) = all.nested(ifla::LINKINFO) {
            self.link_info(info);
        }
        if self.of_links {
            self.address_generation(all);
        }
        self.numbers(
            all,
            &[
                (ifla::NUM_TX_QUEUES, "num_tx_queues", "numtxqueues {} "),
                (ifla::NUM_RX_QUEUES, "num_rx_queues", "numrxqueues {} "),
                (ifla::GSO_MAX_SIZE, "gso_max_size", "gso_max_size {} "),
                (ifla::GSO_MAX_SEGS, "gso_max_segs", "gso_max_segs {} "),
                (ifla::TSO_MAX_SIZE, "tso_max_size", "tso_max_size {} "),
                (ifla::TSO_MAX_SEGS, "tso_max_segs", "tso_max_segs {} "),
                (ifla::GRO_MAX_SIZE, "gro_max_size", "gro_max_size {} "),
            ],
        );
        let texts = [
            (ifla::PHYS_PORT_NAME, "phys_port_name", "portname {} "),
            (ifla::PARENT_DEV_BUS_NAME, "parentbus", "parentbus {} "),
            (ifla::PARENT_DEV_NAME, "parentdev", "parentdev {} "),
        ];
        for (kind, key, frame) in texts {
            if let Some(value) = all.text(kind) {
                self.out.string(key, frame, &value);
            }
        }
    }

    /// Those of the numbers that are there.
    pub(super) fn numbers(&mut self, all: Attributes<'_>, told: &[(u16, &str, &str)]) {
        for (kind, key, frame) in told {
            if let Some(value) = all.u32(*kind) {
                self.out.number(key, frame, value.into());
            }
        }
    }

    /// How IPv6 makes addresses of the link (`IFLA_INET6_ADDR_GEN_MODE`).
    fn address_generation(&mut self, all: Attributes<'_>) {
        const INET6: u16 = 10;
        const MODE: u16 = 8;
        let inet6 = all
            .nested(ifla::AF_SPEC)
            .and_then(|spec| spec.nested(INET6));
        let Some(mode) = inet6.and_then(|inet6| inet6.u8(MODE)) else {
            return;
        };
        let name = match mode {
            0 => "eui64".into(),
            1 => "none".into(),
            2 => "stable_secret".into(),
            3 => "random".into(),
            other => format!("{other:#x}"),
        };
        self.out
            .string("inet6_addr_gen_mode", "addrgenmode {} ", &name);
    }
}
