//! Asking: the kernel for its way, a neighbour whether it is there, an address for an echo, a name server for a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use libc::NDA_DST;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::inside;
use crate::error::{Doing, Result};
use crate::net::attributes::Attributes;
use crate::net::{Connection, Message};

/// How long an answer is waited for: longer than the three questions of neighbour discovery at their usual pace would
/// be polite, but a person waits for this.
const PATIENCE: Duration = Duration::from_millis(1200);

/// Whether a neighbour answers, as the kernel has just found; of one that it only remembers, it is asked.
pub(super) fn neighbour_answers(
    ns: BorrowedFd<'_>,
    connection: &mut Connection,
    link: u32,
    neighbour: IpAddr,
) -> Result<bool> {
    /// `NUD_INCOMPLETE | NUD_FAILED`, and `NUD_STALE | NUD_DELAY | NUD_PROBE`.
    const SILENT: u16 = 0x01 | 0x20;
    const REMEMBERED: u16 = 0x04 | 0x08 | 0x10;
    Ok(match neighbour_state(connection, link, neighbour)? {
        // A link without neighbour discovery has no entry, and nobody to ask.
        None => true,
        Some(state) if state & SILENT != 0 => false,
        Some(state) if state & REMEMBERED != 0 => {
            matches!(echo(ns, neighbour)?, Echo::Answered)
                || neighbour_state(connection, link, neighbour)?
                    .is_some_and(|state| state & (SILENT | REMEMBERED) == 0)
        }
        Some(_) => true,
    })
}

/// `NUD_*` of a neighbour.
fn neighbour_state(
    connection: &mut Connection,
    link: u32,
    neighbour: IpAddr,
) -> Result<Option<u16>> {
    const GET_NEIGHBOUR: u16 = 30;
    /// `struct ndmsg`: family, padding, link, state, flags, type.
    const HEAD: usize = 12;
    let family = if neighbour.is_ipv4() { 2 } else { 10 };
    let mut head = [0; HEAD];
    head[0] = family;
    let all = connection
        .dump(Message::Raw(GET_NEIGHBOUR, head.to_vec()))
        .doing("cannot list neighbours")?;
    Ok(all.iter().find_map(|answer| {
        let body = &answer.body;
        let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
        let state = u16::from_ne_bytes(*body.get(8..)?.first_chunk()?);
        let attributes = Attributes::new(body.get(HEAD..)?);
        (index == link && attributes.ip(NDA_DST) == Some(neighbour)).then_some(state)
    }))
}

/// What came of asking an address.
pub(super) enum Echo {
    /// It answered.
    Answered,
    /// Somebody on the way said why not.
    Refused(IpAddr, &'static str),
    /// Nothing came.
    Silent,
}

/// Sends an echo request (RFC 792, RFC 4443) from inside a namespace, twice, and waits.
pub(super) fn echo(ns: BorrowedFd<'_>, to: IpAddr) -> Result<Echo> {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128),
    };
    let open = |kind| socket(family, kind, SockFlag::SOCK_CLOEXEC, Some(protocol));
    let (socket, raw) = inside(ns, || match open(SockType::Raw) {
        Ok(socket) => Ok((socket, true)),
        // Without CAP_NET_RAW: what ping_group_range may allow.
        Err(Errno::EPERM) => open(SockType::Datagram)
            .map(|socket| (socket, false))
            .doing("cannot make a socket to ask with"),
        Err(errno) => Err(errno).doing("cannot make a socket to ask with"),
    })?;
    // Of the standard library's sockets it is the one that sends and receives with an address, of whatever kind.
    let socket = UdpSocket::from(socket);
    let request = request(kind, to.is_ipv4());
    let mut refused = None;
    let begun = Instant::now();
    for turn in 1..=2 {
        // ENETUNREACH, EPERM of a filter: told by what is looked at next.
        let _ = socket.send_to(&request, SocketAddr::new(to, 0));
        while let Some(left) = (PATIENCE * turn / 2).checked_sub(begun.elapsed()) {
            match hear(&socket, left, raw && to.is_ipv4()) {
                Some((from, 0 | 129)) if from == to => return Ok(Echo::Answered),
                Some((from, kind)) => refused = refused.or(refusal(kind).map(|why| (from, why))),
                None => break,
            }
        }
    }
    Ok(match refused {
        Some((by, why)) => Echo::Refused(by, why),
        None => Echo::Silent,
    })
}

/// An echo request: the kernel fills in the checksum of ICMPv6, and the number of a datagram socket's.
fn request(kind: u8, ipv4: bool) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x69, 0x73, 0, 1];
    message.extend(b"isobox: why?");
    if ipv4 {
        let checksum = checksum(&message).to_be_bytes();
        if let Some(place) = message.get_mut(2..4) {
            place.copy_from_slice(&checksum);
        }
    }
    message
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            [high] => u32::from(*high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// Who sent what kind of message, within the time.
fn hear(socket: &UdpSocket, left: Duration, with_header: bool) -> Option<(IpAddr, u8)> {
    // No time at all would mean for ever.
    socket
        .set_read_timeout(Some(left.max(Duration::from_millis(1))))
        .ok()?;
    let mut buffer = [0; 512];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    let bytes = buffer.get(..length)?;
    // A raw IPv4 socket gives the header of the packet too; its length is in words.
    let start = match with_header {
        true => usize::from(bytes.first()? & 0x0f) * 4,
        false => 0,
    };
    Some((from.ip(), *bytes.get(start)?))
}

fn refusal(kind: u8) -> Option<&'static str> {
    match kind {
        // Type 1 of ICMPv6, 3 of ICMP; each is unassigned in the other's.
        1 | 3 => Some("destination unreachable"),
        11 => Some("time exceeded"),
        _ => None,
    }
}

/// A question to a name server (RFC 1035).
#[derive(Debug)]
pub struct Question<'a> {
    /// The namespace it is asked from.
    pub ns: BorrowedFd<'a>,
    /// Who is asked.
    pub server: IpAddr,
    /// The name.
    pub name: &'a str,
    /// For IPv6 addresses.
    pub ipv6: bool,
}

/// The addresses of a name, as a name server says; `None` where it is silent.
///
/// # Errors
/// Where the namespace cannot be entered.
pub fn addresses(question: &Question<'_>) -> Result<Option<Vec<IpAddr>>> {
    let any: IpAddr = match question.server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = inside(question.ns, || {
        UdpSocket::bind((any, 0)).doing("cannot make a socket to ask with")
    })?;
    let message = query(question.name, question.ipv6);
    let mut buffer = [0; 1500];
    let patience = socket.set_read_timeout(Some(PATIENCE));
    let asked = patience
        .and_then(|()| socket.connect((question.server, 53)))
        .and_then(|()| socket.send(&message))
        .and_then(|_| socket.recv(&mut buffer));
    Ok(match asked {
        Ok(length) => Some(answers(buffer.get(..length).unwrap_or_default())),
        Err(_) => None,
    })
}

fn query(name: &str, ipv6: bool) -> Vec<u8> {
    // Number, "recursion desired", one question.
    let mut message = vec![0x69, 0x73, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(63).min(63));
        message.extend(label.bytes().take(63));
    }
    let kind = if ipv6 { 28 } else { 1 };
    message.extend([0, 0, kind, 0, 1]);
    message
}

/// The addresses in an answer; names in it are skipped, and lead nowhere.
fn answers(message: &[u8]) -> Vec<IpAddr> {
    let two = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let skip_name = |mut at: usize| loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    };
    let read = || {
        let mut at = skip_name(12)? + 4;
        let mut found = Vec::new();
        for _ in 0..two(6)? {
            at = skip_name(at)?;
            let length = usize::from(two(at + 8)?);
            let value = message.get(at + 10..at + 10 + length)?;
            found.extend(
                crate::net::attributes::ip(value).filter(|_| matches!(two(at), Some(1 | 28))),
            );
            at += 10 + length;
        }
        Some(found)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let request = request(8, true);
        assert_eq!(checksum(&request), 0);
    }

    #[test]
    fn names_are_asked_for_and_answered() {
        let asked = query("a.bc.", false);
        assert_eq!(&asked[12..], b"\x01a\x02bc\0\0\x01\0\x01");
        let mut answer = asked.clone();
        answer[7] = 2;
        // An alias first, then an address; both by a pointer to the name.
        answer.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x01\0\x02\xc0\x0c");
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04\x0a\x09\0\x02");
        assert_eq!(answers(&answer), [IpAddr::from([10, 9, 0, 2])]);
        for end in 0..answer.len() {
            assert!(answers(&answer[..end]).len() <= 1);
        }
        assert!(answers(&[0xff; 600]).is_empty());
    }
}
