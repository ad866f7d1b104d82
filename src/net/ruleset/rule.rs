//! One rule, run over a packet by hand (linux/netfilter/nf_tables.h, net/netfilter/nft_*.c).

use super::packet::{Known, Packet};
use crate::net::attributes::Attributes;
use crate::net::nftables::number;

/// What a rule does with a packet that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Does {
    /// It only counts, logs, marks; or it is not about this packet.
    Nothing,
    Accept,
    Drop,
    Translate,
    Return,
    Jump(String),
    Goto(String),
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Maybe,
}

/// What a rule does, and whether that is sure.
pub(super) fn run(expressions: Attributes<'_>, packet: &Packet) -> (Does, bool) {
    let mut registers = Registers([None; 64]);
    let mut sure = true;
    for (_, element) in expressions {
        let element = Attributes::new(element);
        let Some(name) = element.text(1) else {
            continue;
        };
        let data = element.nested(2).unwrap_or(Attributes::new(&[]));
        if let Some(does) = decision(&name, data) {
            return (does, sure);
        }
        match condition(&name, data, packet, &mut registers) {
            Holds::Yes => {}
            Holds::No => return (Does::Nothing, true),
            Holds::Maybe => sure = false,
        }
    }
    (Does::Nothing, true)
}

/// What an expression decides, if it is one that decides.
fn decision(name: &str, data: Attributes<'_>) -> Option<Does> {
    match name {
        "immediate" => verdict(data),
        "reject" => Some(Does::Drop),
        "masq" => Some(Does::Translate),
        // 0 is the source address; a change of destination lets it pass.
        "nat" if data.get(1).and_then(number) == Some(0) => Some(Does::Translate),
        "nat" | "redir" | "tproxy" => Some(Does::Accept),
        // A target of the old iptables.
        "target" => match data.text(1)?.as_ref() {
            "REJECT" | "DROP" => Some(Does::Drop),
            "MASQUERADE" | "SNAT" => Some(Does::Translate),
            "DNAT" | "REDIRECT" => Some(Does::Accept),
            _ => None,
        },
        _ => None,
    }
}

/// `NF_DROP`, `NF_ACCEPT`, and the negative ones of nf_tables.
fn verdict(data: Attributes<'_>) -> Option<Does> {
    const JUMP: i32 = -3;
    const GOTO: i32 = -4;
    const RETURN: i32 = -5;
    let verdict = data.nested(2)?.nested(2)?;
    let chain = || verdict.text(2).map(std::borrow::Cow::into_owned);
    match verdict.get(1).and_then(number)?.cast_signed() {
        0 => Some(Does::Drop),
        1 => Some(Does::Accept),
        JUMP => chain().map(Does::Jump),
        GOTO => chain().map(Does::Goto),
        RETURN => Some(Does::Return),
        _ => None,
    }
}

/// Registers: four of sixteen bytes, which are also sixteen of four.
struct Registers([Option<u8>; 64]);

impl Registers {
    /// The bytes of a register, and of those behind it.
    fn bytes(&mut self, register: Option<u32>) -> impl Iterator<Item = &mut Option<u8>> {
        let start = match register {
            Some(number @ 1..=4) => (number - 1) * 16,
            Some(number @ 8..=23) => (number - 8) * 4,
            _ => 0,
        };
        let start = usize::try_from(start).unwrap_or_default();
        self.0.iter_mut().skip(start)
    }

    fn set(&mut self, register: Option<u32>, value: &Known) {
        for (to, from) in self.bytes(register).zip(&value.0) {
            *to = *from;
        }
    }

    fn get(&mut self, register: Option<u32>, length: usize) -> Known {
        Known(
            self.bytes(register)
                .take(length)
                .map(|byte| *byte)
                .collect(),
        )
    }
}

/// Runs an expression that loads, changes or compares.
fn condition(
    name: &str,
    data: Attributes<'_>,
    packet: &Packet,
    registers: &mut Registers,
) -> Holds {
    let field = |kind| data.get(kind).and_then(number);
    match name {
        "meta" => registers.set(field(1), &meta(field(2), packet)),
        "payload" => registers.set(field(1), &payload(data, packet)),
        "ct" => registers.set(field(1), &connection(field(2), packet)),
        "fib" | "rt" | "socket" | "osf" | "numgen" | "hash" | "exthdr" => {
            registers.set(field(1), &Known::nothing(16));
        }
        "bitwise" => mask(registers, data),
        "cmp" => return compare(registers, data),
        "immediate" => {
            let value = data.nested(2).and_then(|value| value.get(1));
            registers.set(field(1), &Known::all(value.unwrap_or_default()));
        }
        // These only watch.
        "counter" | "log" | "notrack" | "quota" | "target" | "dup" | "last" => {}
        "match" => return old_match(data, packet),
        // A set, a limit, what came after this was written: it may hold.
        _ => return Holds::Maybe,
    }
    Holds::Yes
}

/// `NFT_META_*`.
fn meta(key: Option<u32>, packet: &Packet) -> Known {
    let interface = |name: &Option<String>| match name {
        Some(name) => {
            let mut bytes = name.clone().into_bytes();
            bytes.resize(16, 0);
            Known::all(&bytes)
        }
        None => Known::nothing(16),
    };
    let ipv4 = packet.destination.is_ipv4();
    match key {
        Some(1) => Known::all(if ipv4 { &[0x08, 0] } else { &[0x86, 0xdd] }),
        Some(6) => interface(&packet.comes_by),
        Some(7) => interface(&packet.leaves_by),
        Some(15) => Known::all(if ipv4 { &[2] } else { &[10] }),
        Some(16) => Known(vec![packet.protocol]),
        _ => Known::nothing(16),
    }
}

fn payload(data: Attributes<'_>, packet: &Packet) -> Known {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let field = |kind| {
        let value = data.get(kind).and_then(number).unwrap_or_default();
        usize::try_from(value).unwrap_or_default()
    };
    let header = match data.get(2).and_then(number) {
        Some(NETWORK) => packet.network_header(),
        Some(TRANSPORT) => packet.transport_header(),
        _ => Known::nothing(0),
    };
    let byte = |at| header.0.get(at).copied().flatten();
    Known((field(3)..).take(field(4).min(16)).map(byte).collect())
}

/// `NFT_CT_STATE`, `NFT_CT_STATUS`.
fn connection(key: Option<u32>, packet: &Packet) -> Known {
    const CHANGED_DESTINATION: u32 = 1 << 5;
    match key {
        Some(0) => Known::all(&packet.state.to_ne_bytes()),
        Some(2) => {
            // Of the other bits nobody knows; of this one we do.
            let bits = if packet.led { CHANGED_DESTINATION } else { 0 };
            Known::all(&bits.to_ne_bytes())
        }
        _ => Known::nothing(16),
    }
}

/// `register = (register & mask) ^ xor`
fn mask(registers: &mut Registers, data: Attributes<'_>) {
    let field = |kind| data.get(kind).and_then(number);
    let bytes = |kind| data.nested(kind).and_then(|value| value.get(1));
    let length = usize::try_from(field(3).unwrap_or_default()).unwrap_or_default();
    let from = registers.get(field(1), length.min(16));
    let (Some(mask), Some(xor), 0) = (bytes(4), bytes(5), field(6).unwrap_or(0)) else {
        // A shift.
        return registers.set(field(2), &Known::nothing(16));
    };
    let byte = |((value, mask), xor): ((&Option<u8>, &u8), &u8)| match (value, mask) {
        (_, 0) => Some(*xor),
        (value, mask) => value.map(|value| value & mask ^ xor),
    };
    let masked = from.0.iter().zip(mask).zip(xor).map(byte).collect();
    registers.set(field(2), &Known(masked));
}

/// `NFTA_CMP_*`: equal, different, and by order, byte by byte.
fn compare(registers: &mut Registers, data: Attributes<'_>) -> Holds {
    let value = data.nested(3).and_then(|value| value.get(1));
    let value = value.unwrap_or_default();
    let register = data.get(1).and_then(number);
    let known = registers.get(register, value.len()).0;
    let operation = data.get(2).and_then(number);
    let differs = |(known, value): (&Option<u8>, &u8)| known.is_some_and(|known| known != *value);
    let Some(whole) = known.iter().copied().collect::<Option<Vec<u8>>>() else {
        // One byte that differs decides.
        let different = known.iter().zip(value).any(differs);
        return match (operation, different) {
            (Some(0), true) => Holds::No,
            (Some(1), true) => Holds::Yes,
            _ => Holds::Maybe,
        };
    };
    let order = whole.as_slice().cmp(value);
    let holds = match operation {
        Some(0) => order.is_eq(),
        Some(1) => order.is_ne(),
        Some(2) => order.is_lt(),
        Some(3) => order.is_le(),
        Some(4) => order.is_gt(),
        Some(5) => order.is_ge(),
        _ => return Holds::Maybe,
    };
    if holds { Holds::Yes } else { Holds::No }
}

/// A match of the old iptables. Comments always hold; the state of a connection is understood, because Docker's and
/// most others' first rule asks for it.
fn old_match(data: Attributes<'_>, packet: &Packet) -> Holds {
    /// `struct xt_conntrack_mtinfo3`: what it asks for, what it turns around, and the states.
    const FLAGS: usize = 146;
    const INVERTED: usize = 148;
    const STATES: usize = 150;
    const ASKS_STATE: u16 = 1;
    let info = data.get(3).unwrap_or_default();
    let two = |at: usize| {
        let bytes = info.get(at..)?.first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    };
    match data.text(1).as_deref() {
        Some("comment") => Holds::Yes,
        Some("conntrack") => match (two(FLAGS), two(INVERTED), two(STATES)) {
            (Some(ASKS_STATE), Some(inverted), Some(states)) => {
                let holds = u32::from(states) & packet.state != 0;
                match holds != (inverted & ASKS_STATE != 0) {
                    true => Holds::Yes,
                    false => Holds::No,
                }
            }
            _ => Holds::Maybe,
        },
        _ => Holds::Maybe,
    }
}
