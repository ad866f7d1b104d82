//! What a rule consists of: small instructions with one register of sixteen bytes to pass values on
//! (`nft --debug=netlink` shows them). Each function here is one phrase of nft(8).

use std::net::IpAddr;

use crate::net::attributes::{Written, text};

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;

/// `NFT_REG_1` and `NFT_REG_2`; `NFT_REG_VERDICT` is 0.
const REGISTER: u32 = 1;
const SECOND: u32 = 2;
const VERDICT: u32 = 0;

/// `NF_ACCEPT`, `NF_DROP`.
const ACCEPT: u32 = 1;
const DROP: u32 = 0;

/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;

/// Which address of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// The instructions of one rule, in order.
#[derive(Debug, Clone, Default)]
pub struct Expressions(Written);

impl Expressions {
    /// A rule that says nothing yet, and so is about every packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// As they are sent.
    pub(super) fn written(&self) -> &Written {
        &self.0
    }

    /// `ip saddr ADDRESS/PREFIX`, or `!=` it.
    #[must_use]
    pub fn address(self, side: Side, address: IpAddr, prefix: u8, is: bool) -> Self {
        let (offset, bytes) = match (address, side) {
            (IpAddr::V4(a), Side::Source) => (12, a.octets().to_vec()),
            (IpAddr::V4(a), Side::Destination) => (16, a.octets().to_vec()),
            (IpAddr::V6(a), Side::Source) => (8, a.octets().to_vec()),
            (IpAddr::V6(a), Side::Destination) => (24, a.octets().to_vec()),
        };
        const NETWORK_HEADER: u32 = 1;
        let mask = mask(bytes.len(), prefix);
        let value: Vec<u8> = bytes.iter().zip(&mask).map(|(a, m)| a & m).collect();
        let op = if is { EQUAL } else { DIFFERENT };
        // nft(8) loads whole bytes only, and then needs no mask.
        let whole = usize::from(prefix / 8);
        if prefix.is_multiple_of(8) && whole > 0 {
            let value = value.get(..whole).unwrap_or_default().to_vec();
            return self.load(NETWORK_HEADER, offset, whole).compare(op, &value);
        }
        let length = value.len();
        self.load(NETWORK_HEADER, offset, length)
            .and_mask(&mask)
            .compare(op, &value)
    }

    /// `meta nfproto ipv4` or `ipv6`, which a rule about an address of a table for both needs first.
    #[must_use]
    pub fn family_of(self, address: IpAddr) -> Self {
        const META_NFPROTO: u32 = 15;
        self.meta(META_NFPROTO)
            .compare(EQUAL, &[family_of(address)])
    }

    /// `meta l4proto 6`
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        const META_L4PROTO: u32 = 16;
        self.meta(META_L4PROTO).compare(EQUAL, &[number])
    }

    /// `th dport PORT`
    #[must_use]
    pub fn destination_port(self, port: u16) -> Self {
        const TRANSPORT_HEADER: u32 = 2;
        self.load(TRANSPORT_HEADER, 2, 2)
            .compare(EQUAL, &port.to_be_bytes())
    }

    /// `iifname != "lo"`
    #[must_use]
    pub fn not_from_loopback(self) -> Self {
        const META_IIFNAME: u32 = 6;
        let mut name = [0; 16];
        name[..2].copy_from_slice(b"lo");
        self.meta(META_IIFNAME).compare(DIFFERENT, &name)
    }

    /// `fib daddr type local`: an address of this machine.
    #[must_use]
    pub fn is_local(mut self, side: Side) -> Self {
        const RESULT_ADDRESS_TYPE: u32 = 3;
        const TYPE_LOCAL: u32 = 2;
        let flag = match side {
            Side::Source => 1,
            Side::Destination => 2,
        };
        self.add("fib", &[(1, REGISTER), (2, RESULT_ADDRESS_TYPE), (3, flag)]);
        // The one value here that the kernel keeps as a number of its own.
        self.compare(EQUAL, &TYPE_LOCAL.to_ne_bytes())
    }

    /// `ct state established,related`
    #[must_use]
    pub fn is_answer(self) -> Self {
        const STATE: u32 = 0;
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        self.connection(STATE, ESTABLISHED_OR_RELATED)
    }

    /// `ct status dnat`
    #[must_use]
    pub fn was_published(self) -> Self {
        const STATUS: u32 = 2;
        const DESTINATION_CHANGED: u32 = 1 << 5;
        self.connection(STATUS, DESTINATION_CHANGED)
    }

    fn connection(mut self, key: u32, any_of: u32) -> Self {
        self.add("ct", &[(1, REGISTER), (2, key)]);
        self.and_mask(&any_of.to_ne_bytes())
            .compare(DIFFERENT, &[0; 4])
    }

    /// `counter`
    #[must_use]
    pub fn counter(mut self) -> Self {
        self.add("counter", &[]);
        self
    }

    /// `accept`, for this chain: another table may still drop it.
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(ACCEPT)
    }

    /// `drop`
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(DROP)
    }

    fn verdict(mut self, code: u32) -> Self {
        let code = Written::default().with(1, &code.to_be_bytes());
        self.immediate(VERDICT, &Written::default().with_nested(2, &code));
        self
    }

    /// `masquerade`
    #[must_use]
    pub fn masquerade(mut self) -> Self {
        self.add("masq", &[]);
        self
    }

    /// `dnat ip to ADDRESS:PORT`
    #[must_use]
    pub fn lead_to(mut self, address: IpAddr, port: u16) -> Self {
        const DESTINATION: u32 = 1;
        let octets = match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        self.immediate(REGISTER, &value(&octets));
        self.immediate(SECOND, &value(&port.to_be_bytes()));
        let family = u32::from(family_of(address));
        self.add(
            "nat",
            &[(1, DESTINATION), (2, family), (3, REGISTER), (5, SECOND)],
        );
        self
    }

    fn meta(mut self, key: u32) -> Self {
        self.add("meta", &[(1, REGISTER), (2, key)]);
        self
    }

    fn load(mut self, header: u32, offset: u32, length: usize) -> Self {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.add(
            "payload",
            &[(1, REGISTER), (2, header), (3, offset), (4, length)],
        );
        self
    }

    fn and_mask(mut self, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
        let zero = vec![0; mask.len()];
        let inner = numbers(&[(1, REGISTER), (2, REGISTER), (3, length)])
            .with_nested(4, &value(mask))
            .with_nested(5, &value(&zero));
        self.push("bitwise", &inner);
        self
    }

    fn compare(mut self, op: u32, with: &[u8]) -> Self {
        let inner = numbers(&[(1, REGISTER), (2, op)]).with_nested(3, &value(with));
        self.push("cmp", &inner);
        self
    }

    fn immediate(&mut self, register: u32, data: &Written) {
        self.push("immediate", &numbers(&[(1, register)]).with_nested(2, data));
    }

    fn add(&mut self, name: &str, fields: &[(u16, u32)]) {
        self.push(name, &numbers(fields));
    }

    fn push(&mut self, name: &str, inner: &Written) {
        let element = Written::default()
            .with_text(NAME, name)
            .with_nested(DATA, inner);
        self.0 = std::mem::take(&mut self.0).with_nested(ELEMENT, &element);
    }
}

/// `NFTA_DATA_VALUE`.
fn value(bytes: &[u8]) -> Written {
    Written::default().with(1, bytes)
}

fn numbers(fields: &[(u16, u32)]) -> Written {
    fields
        .iter()
        .fold(Written::default(), |all, (kind, value)| {
            all.with(*kind, &value.to_be_bytes())
        })
}

fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => super::family::IPV4,
        IpAddr::V6(_) => super::family::IPV6,
    }
}

/// A mask of so many ones at the left.
fn mask(length: usize, prefix: u8) -> Vec<u8> {
    (0..length)
        .map(|at| {
            let ones = usize::from(prefix).saturating_sub(at * 8).min(8);
            u8::try_from(0xff00u16 >> ones & 0xff).unwrap_or(0)
        })
        .collect()
}

/// The user data that nft(8) shows as a comment: type 0, its length, the text with its end.
pub fn with_comment(comment: &str) -> Vec<u8> {
    let text = comment.as_bytes();
    let text = text.get(..COMMENT).unwrap_or(text);
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], text, &[0]].concat()
}

/// Longest comment that nft(8) takes.
const COMMENT: usize = 127;

/// The comment in user data, where there is one.
pub fn comment_of(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let [kind, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(text(value).into_owned());
        }
        rest = more.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        for (prefix, want) in [
            (0, [0, 0, 0, 0]),
            (1, [0x80, 0, 0, 0]),
            (12, [255, 0xf0, 0, 0]),
            (24, [255, 255, 255, 0]),
            (32, [255; 4]),
            (200, [255; 4]),
        ] {
            assert_eq!(mask(4, prefix), want, "{prefix}");
        }
    }

    #[test]
    fn comments_are_what_nft_writes() {
        assert_eq!(with_comment("x"), b"\x00\x02x\x00");
        assert_eq!(comment_of(b"\x00\x02x\x00").as_deref(), Some("x"));
        assert_eq!(
            comment_of(b"\x05\x01a\x00\x03bc\x00").as_deref(),
            Some("bc")
        );
        for broken in [&b""[..], b"\x00", b"\x00\x09x", b"\x01\x00\x01"] {
            assert_eq!(comment_of(broken), None);
        }
        let long = "y".repeat(300);
        assert_eq!(comment_of(&with_comment(&long)).map(|c| c.len()), Some(127));
    }
}
