//! The ids by which a network namespace knows others (rtnetlink(7), `RTM_GETNSID`): what `ip netns list-id`
//! shows, and veth's `link-netnsid` means. They exist once something made them; lsns(8) asks for them.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// `RTM_NEWNSID` and `RTM_GETNSID` (linux/rtnetlink.h).
const NEWNSID: u16 = 88;
const GETNSID: u16 = 90;
/// `NETNSA_NSID` and `NETNSA_FD` (linux/net_namespace.h).
const ATTRIBUTE_NSID: u16 = 1;
const ATTRIBUTE_FD: u16 = 3;
/// `struct nlmsghdr`, and with the `struct rtgenmsg` behind it (padded to four bytes).
const HEADER: usize = 16;
const HEADERS: usize = HEADER + 4;
/// The request: the headers and one attribute with a four-byte value.
const REQUEST: usize = HEADERS + 8;

/// A line to the network namespace this process is in.
#[derive(Debug)]
pub struct Asker(OwnedFd);

impl Asker {
    /// Opens a route socket.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn new() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let route = SockProtocol::NetlinkRoute;
        socket(AddressFamily::Netlink, SockType::Raw, flags, route).map(Self)
    }

    /// The id of the network namespace `ns`; `Some(None)` where it has none here, `None` where that cannot be
    /// known.
    pub fn id_of(&self, ns: BorrowedFd<'_>) -> Option<Option<u32>> {
        let request = request(ns.as_raw_fd());
        send(self.0.as_raw_fd(), &request, MsgFlags::empty()).ok()?;
        let mut answer = [0; 1024];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let id = id_in(answer.get(..length)?)?;
        Some(u32::try_from(id).ok())
    }
}

/// `RTM_GETNSID` for the namespace behind a descriptor of ours.
fn request(fd: i32) -> [u8; REQUEST] {
    let mut message = [0; REQUEST];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &28u32.to_ne_bytes());
    put(4, &GETNSID.to_ne_bytes());
    put(6, &1u16.to_ne_bytes()); // NLM_F_REQUEST
    put(HEADERS, &8u16.to_ne_bytes());
    put(HEADERS + 2, &ATTRIBUTE_FD.to_ne_bytes());
    put(HEADERS + 4, &fd.to_ne_bytes());
    message
}

/// The id in an `RTM_NEWNSID`; -1 is "none".
fn id_in(message: &[u8]) -> Option<i32> {
    let two = |at: usize| {
        Some(u16::from_ne_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let four = |at: usize| {
        Some(i32::from_ne_bytes(
            message.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    if two(4)? != NEWNSID {
        return None;
    }
    let mut at = HEADERS;
    loop {
        let length = usize::from(two(at)?);
        if two(at + 2)? == ATTRIBUTE_NSID {
            return four(at + 4);
        }
        // Attributes start at multiples of four; a length below its own header would never end.
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_kernel_answers() {
        let own = File::open("/proc/self/ns/net").unwrap();
        assert!(Asker::new().unwrap().id_of(own.as_fd()).is_some());
        let other = File::open("/proc/self/ns/uts").unwrap();
        assert_eq!(Asker::new().unwrap().id_of(other.as_fd()), None);
    }

    #[test]
    fn answers_are_read() {
        let answer = |kind: u16, attributes: &[u8]| {
            let mut message = vec![0; HEADERS];
            message[4..6].copy_from_slice(&kind.to_ne_bytes());
            message.extend(attributes);
            message
        };
        let attribute = |kind: u16, value: i32| {
            let head = [8u16.to_ne_bytes(), kind.to_ne_bytes()].concat();
            [head, value.to_ne_bytes().to_vec()].concat()
        };
        let both = [attribute(5, 9), attribute(1, 7)].concat();
        let cases = [
            (answer(NEWNSID, &attribute(1, 3)), Some(3)),
            (answer(NEWNSID, &attribute(1, -1)), Some(-1)),
            (answer(NEWNSID, &both), Some(7)),
            (answer(2, &attribute(1, 3)), None),
            (answer(NEWNSID, &[0; 64]), None),
            (answer(NEWNSID, &[]), None),
            (Vec::new(), None),
        ];
        for (message, want) in cases {
            assert_eq!(id_in(&message), want);
        }
    }
}
