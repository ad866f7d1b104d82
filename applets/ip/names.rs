//! The kernel's numbers by the names that ip(8) gives them, both ways.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A number and its name.
type Row = (u32, &'static str);

/// Scopes of addresses and routes (`RT_SCOPE_*`).
const SCOPES: &[Row] = &[
    (0, "global"),
    (200, "site"),
    (253, "link"),
    (254, "host"),
    (255, "nowhere"),
];

/// Who made a route (`RTPROT_*`).
const PROTOCOLS: &[Row] = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// Routing tables (`RT_TABLE_*`).
const TABLES: &[Row] = &[
    (0, "unspec"),
    (253, "default"),
    (254, "main"),
    (255, "local"),
];

/// Types of routes (`RTN_*`).
const TYPES: &[Row] = &[
    (0, "none"),
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
    (9, "throw"),
    (10, "nat"),
    (11, "xresolve"),
];

/// States of neighbours (`NUD_*`).
pub(super) const NEIGHBOUR: &[Row] = &[
    (0x01, "INCOMPLETE"),
    (0x02, "REACHABLE"),
    (0x04, "STALE"),
    (0x08, "DELAY"),
    (0x10, "PROBE"),
    (0x20, "FAILED"),
    (0x40, "NOARP"),
    (0x80, "PERMANENT"),
];

/// Flags of links (`IFF_*`) in the order in which they are shown; `IFF_RUNNING` shows as its absence.
const LINK_FLAGS: &[Row] = &[
    (0x8, "LOOPBACK"),
    (0x2, "BROADCAST"),
    (0x10, "POINTOPOINT"),
    (0x1000, "MULTICAST"),
    (0x80, "NOARP"),
    (0x200, "ALLMULTI"),
    (0x100, "PROMISC"),
    (0x400, "MASTER"),
    (0x800, "SLAVE"),
    (0x4, "DEBUG"),
    (0x8000, "DYNAMIC"),
    (0x4000, "AUTOMEDIA"),
    (0x2000, "PORTSEL"),
    (0x20, "NOTRAILERS"),
    (0x1, "UP"),
    (0x1_0000, "LOWER_UP"),
    (0x2_0000, "DORMANT"),
    (0x4_0000, "ECHO"),
];

/// Flags of addresses (`IFA_F_*`).
pub(super) const ADDRESS_FLAGS: &[Row] = &[
    (0x01, "secondary"),
    (0x02, "nodad"),
    (0x04, "optimistic"),
    (0x08, "dadfailed"),
    (0x10, "home"),
    (0x20, "deprecated"),
    (0x40, "tentative"),
    (0x80, "permanent"),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];

/// Flags of routes and of their next hops (`RTNH_F_*`, `RTM_F_*`) in the order in which they are shown.
const ROUTE_FLAGS: &[Row] = &[
    (0x1, "dead"),
    (0x4, "onlink"),
    (0x2, "pervasive"),
    (0x8, "offload"),
    (0x40, "trap"),
    (0x100, "notify"),
    (0x10, "linkdown"),
    (0x20, "unresolved"),
    (0x4000, "rt_offload"),
    (0x8000, "rt_trap"),
    (0x2000_0000, "rt_offload_failed"),
];

/// Flags of a route that was looked up (`RTCF_*`).
const CACHE_FLAGS: &[Row] = &[
    (0x8000_0000, "local"),
    (0x4000_0000, "reject"),
    (0x2000_0000, "mc"),
    (0x1000_0000, "brd"),
    (0x0800_0000, "dst-nat"),
    (0x0080_0000, "src-nat"),
    (0x0040_0000, "masq"),
    (0x0002_0000, "dst-direct"),
    (0x0400_0000, "src-direct"),
    (0x0004_0000, "redirected"),
    (0x0100_0000, "redirect"),
    (0x0020_0000, "fastroute"),
    (0x0001_0000, "notify"),
];

/// Metrics of routes (`RTAX_*`); the first is number 2.
pub(super) const METRICS: [&str; 16] = [
    "mtu",
    "window",
    "rtt",
    "rttvar",
    "ssthresh",
    "cwnd",
    "advmss",
    "reordering",
    "hoplimit",
    "initcwnd",
    "features",
    "rto_min",
    "initrwnd",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
];

fn name(rows: &[Row], number: u32) -> String {
    let row = rows.iter().find(|row| row.0 == number);
    row.map_or_else(|| number.to_string(), |row| row.1.into())
}

fn number(rows: &[Row], word: &str) -> Option<u32> {
    let row = rows.iter().find(|row| row.1 == word);
    row.map(|row| row.0)
        .or_else(|| super::words::number(word)?.try_into().ok())
}

/// The names of the flags that are set, and the bits that have no name.
fn flags(rows: &[Row], bits: u32) -> (Vec<&'static str>, u32) {
    let mut left = bits;
    let mut names = Vec::new();
    for (bit, name) in rows {
        if left & bit != 0 {
            names.push(*name);
            left &= !bit;
        }
    }
    (names, left)
}

/// Of a scope.
pub(super) fn scope(number: u8) -> String {
    name(SCOPES, number.into())
}

/// The scope of this name or number.
pub(super) fn scope_number(word: &str) -> Option<u8> {
    number(SCOPES, word)?.try_into().ok()
}

/// Of who made a route.
pub(super) fn protocol(number: u8) -> String {
    name(PROTOCOLS, number.into())
}

/// The maker of this name or number.
pub(super) fn protocol_number(word: &str) -> Option<u8> {
    number(PROTOCOLS, word)?.try_into().ok()
}

/// Of a routing table.
pub(super) fn table(number: u32) -> String {
    name(TABLES, number)
}

/// The table of this name or number.
pub(super) fn table_number(word: &str) -> Option<u32> {
    number(TABLES, word)
}

/// Of a type of route.
pub(super) fn route_type(number: u8) -> String {
    name(TYPES, number.into())
}

/// The type of route of this name or number.
pub(super) fn type_number(word: &str) -> Option<u8> {
    number(TYPES, word)?.try_into().ok()
}

/// The type of route whose name begins with this word; `local` and `nat` are not cut short.
pub(super) fn type_word(word: &str) -> Option<u8> {
    let whole = |name: &str| matches!(name, "local" | "nat" | "none");
    let row = TYPES
        .iter()
        .find(|row| row.1 == word || !whole(row.1) && super::words::begins(word, row.1));
    let row = row.filter(|row| row.1 != "none");
    row.map(|row| row.0)
        .or((word == "brd").then_some(3))?
        .try_into()
        .ok()
}

/// The flags of a link: what is shown in angle brackets.
pub(super) fn link_flags(bits: u32, lower_is_down: bool) -> Vec<String> {
    const UP: u32 = 0x1;
    const RUNNING: u32 = 0x40;
    let mut shown = Vec::new();
    if bits & UP != 0 && bits & RUNNING == 0 {
        shown.push("NO-CARRIER".into());
    }
    let (names, left) = flags(LINK_FLAGS, bits & !RUNNING);
    shown.extend(names.into_iter().map(str::to_owned));
    if left != 0 {
        shown.push(format!("{left:x}"));
    }
    if lower_is_down {
        shown.push("M-DOWN".into());
    }
    shown
}

/// The flags of a route or a next hop.
pub(super) fn route_flags(bits: u32) -> Vec<&'static str> {
    flags(ROUTE_FLAGS, bits).0
}

/// The flags of a route that was looked up.
pub(super) fn cache_flags(bits: u32) -> Vec<&'static str> {
    flags(CACHE_FLAGS, bits & !0xffff).0
}

/// The operational state of a link (`IF_OPER_*`).
pub(super) fn state(number: u8) -> String {
    const STATES: [&str; 7] = [
        "UNKNOWN",
        "NOTPRESENT",
        "DOWN",
        "LOWERLAYERDOWN",
        "TESTING",
        "DORMANT",
        "UP",
    ];
    let known = STATES.get(usize::from(number));
    known.map_or_else(|| format!("{number:#x}"), |name| (*name).into())
}

/// Of a kind of hardware (`ARPHRD_*`).
pub(super) fn hardware(number: u16) -> String {
    const KINDS: &[Row] = &[
        (0, "generic"),
        (1, "ether"),
        (32, "infiniband"),
        (256, "slip"),
        (280, "can"),
        (512, "ppp"),
        (768, "ipip"),
        (769, "tunnel6"),
        (772, "loopback"),
        (776, "sit"),
        (778, "gre"),
        (779, "[NULL]"),
        (801, "ieee802.11"),
        (823, "gre6"),
        (824, "netlink"),
        (0xFFFE, "none"),
        (0xFFFF, "void"),
    ];
    let known = KINDS.iter().find(|row| row.0 == u32::from(number));
    known.map_or_else(|| format!("[{number}]"), |row| row.1.into())
}

/// An address of a link as text: by its kind of hardware, those of tunnels are IP addresses.
pub(super) fn link_address(value: &[u8], hardware: u16) -> String {
    if let (768 | 776 | 778, Ok(octets)) = (hardware, <[u8; 4]>::try_from(value)) {
        return Ipv4Addr::from(octets).to_string();
    }
    if let (769 | 823, Ok(octets)) = (hardware, <[u8; 16]>::try_from(value)) {
        return Ipv6Addr::from(octets).to_string();
    }
    colons(value)
}

/// Bytes in hexadecimal with colons between them.
pub(super) fn colons(value: &[u8]) -> String {
    let bytes: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// An IP address by the length of its bytes.
pub(super) fn ip(value: &[u8]) -> String {
    match value.len() {
        4 => <[u8; 4]>::try_from(value)
            .map_or_else(|_| String::new(), |o| Ipv4Addr::from(o).to_string()),
        16 => <[u8; 16]>::try_from(value)
            .map_or_else(|_| String::new(), |o| Ipv6Addr::from(o).to_string()),
        _ => colons(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_in_their_order() {
        let cases = [
            (0x1043, false, "BROADCAST,MULTICAST,UP"),
            (0x1_1043, true, "BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN"),
            (0x1003, false, "NO-CARRIER,BROADCAST,MULTICAST,UP"),
            (0x8, false, "LOOPBACK"),
            (0x8000_0000, false, "80000000"),
        ];
        for (bits, down, want) in cases {
            assert_eq!(link_flags(bits, down).join(","), want);
        }
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!((table(254), table(7)), ("main".into(), "7".into()));
        assert_eq!(
            (table_number("local"), table_number("7")),
            (Some(255), Some(7))
        );
        assert_eq!(table_number("nope"), None);
        assert_eq!(scope_number("300"), None);
        assert_eq!(link_address(&[10, 0, 0, 1], 768), "10.0.0.1");
        assert_eq!(link_address(&[2, 0, 0, 0, 0, 1], 1), "02:00:00:00:00:01");
        assert_eq!((state(6), state(9)), ("UP".into(), "0x9".into()));
    }
}
