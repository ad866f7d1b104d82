//! Links (network interfaces): made, changed, removed, listed (rtnetlink(7), `RTM_NEWLINK`; linux/if_link.h).
//!
//! What the kernel is told about a link is a [`Draft`]; what it tells about one is a [`Link`], which reads the kernel's bytes
//! where it is asked. rtnetlink's own message of a link can say everything of every kind of link, and takes 120 KB of
//! binary for it; what `ip` passes on goes beyond that anyway (`request.rs`).

use std::borrow::Cow;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{
    IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_BROADCAST, IFLA_EXT_MASK, IFLA_GROUP, IFLA_IFALIAS,
    IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD, IFLA_OPERSTATE, IFLA_PROP_LIST, RTM_DELLINK,
    RTM_GETLINK, RTM_NEWLINK,
};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;

use super::attributes::{Attributes, Written, text};
use super::{Answer, Connection, Message, Refusal};

/// `struct ifinfomsg`.
const STRUCTURE: usize = 16;
/// `IFF_UP`.
const UP: u32 = 1;
/// `VETH_INFO_PEER` (linux/veth.h).
const PEER: u16 = 1;
/// `RTEXT_FILTER_SKIP_STATS`: without the counters an answer is half as long.
const SKIP_STATS: u32 = 1 << 3;

/// A link to be made, or what is to change of one.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    structure: [u8; STRUCTURE],
    attributes: Written,
}

impl Draft {
    /// Of the link of this name.
    pub fn named(name: &str) -> Self {
        let mut draft = Self::default();
        draft.attributes = draft.attributes.with_text(IFLA_IFNAME, name);
        draft
    }

    /// Of the link of this number.
    pub fn numbered(index: u32) -> Self {
        Self {
            structure: structure(index),
            attributes: Written::default(),
        }
    }

    fn with(self, add: impl FnOnce(Written) -> Written) -> Self {
        Self {
            attributes: add(self.attributes),
            ..self
        }
    }

    /// Brings it up, or down.
    #[must_use]
    pub fn up(mut self, up: bool) -> Self {
        let flags = if up { UP } else { 0 };
        self.structure[8..12].copy_from_slice(&flags.to_ne_bytes());
        self.structure[12..].copy_from_slice(&UP.to_ne_bytes());
        self
    }

    /// Its largest packet.
    #[must_use]
    pub fn mtu(self, bytes: u32) -> Self {
        self.with(|all| all.with_u32(IFLA_MTU, bytes))
    }

    /// Its hardware address.
    #[must_use]
    pub fn address(self, address: &[u8]) -> Self {
        self.with(|all| all.with(IFLA_ADDRESS, address))
    }

    /// Another name than the one it has.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.with(|all| all.with_text(IFLA_IFNAME, name))
    }

    /// What is written about it.
    #[must_use]
    pub fn alias(self, alias: &str) -> Self {
        self.with(|all| all.with(IFLA_IFALIAS, alias.as_bytes()))
    }

    /// Its group.
    #[must_use]
    pub fn group(self, group: u32) -> Self {
        self.with(|all| all.with_u32(IFLA_GROUP, group))
    }

    /// The bridge that it goes into.
    #[must_use]
    pub fn master(self, index: u32) -> Self {
        self.with(|all| all.with_u32(IFLA_MASTER, index))
    }

    /// Puts it into the network namespace `ns`, which must be open until this is sent.
    #[must_use]
    pub fn inside(self, ns: BorrowedFd<'_>) -> Self {
        let fd = ns.as_raw_fd().to_ne_bytes();
        self.with(|all| all.with(IFLA_NET_NS_FD, &fd))
    }

    /// Of this kind.
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        let info = Written::default().with_text(IFLA_INFO_KIND, kind);
        self.with(|all| all.with_nested(IFLA_LINKINFO, &info))
    }

    /// A veth whose other end is this.
    #[must_use]
    pub fn paired_with(self, peer: Self) -> Self {
        let data = Written::default().with(PEER, &peer.bytes());
        let info = Written::default()
            .with_text(IFLA_INFO_KIND, "veth")
            .with_nested(IFLA_INFO_DATA, &data);
        self.with(|all| all.with_nested(IFLA_LINKINFO, &info))
    }

    fn bytes(self) -> Vec<u8> {
        [self.structure.to_vec(), self.attributes.bytes()].concat()
    }
}

/// What the kernel tells about a link.
#[derive(Clone)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// `IFF_*`.
    pub flags: u32,
    /// `ARPHRD_*`: what kind of hardware it behaves as.
    pub hardware: u16,
    body: Vec<u8>,
}

impl Link {
    /// Reads an `RTM_NEWLINK`.
    pub fn of(answer: Answer) -> Option<Self> {
        let body = answer.body;
        Some(Self {
            hardware: u16::from_ne_bytes(*body.get(2..)?.first_chunk()?),
            index: u32::from_ne_bytes(*body.get(4..)?.first_chunk()?),
            flags: u32::from_ne_bytes(*body.get(8..)?.first_chunk()?),
            body,
        })
    }

    /// All its attributes (`IFLA_*`).
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(self.body.get(STRUCTURE..).unwrap_or_default())
    }

    /// Its name.
    pub fn name(&self) -> Cow<'_, str> {
        self.attributes().text(IFLA_IFNAME).unwrap_or_default()
    }

    /// Its other names (`altname`).
    pub fn other_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let list = self.attributes().nested(IFLA_PROP_LIST);
        let list = list.into_iter().flatten();
        list.filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
            .map(|(_, value)| text(value))
    }

    /// What somebody wrote about it.
    pub fn alias(&self) -> Option<Cow<'_, str>> {
        self.attributes().text(IFLA_IFALIAS)
    }

    /// `veth`, `bridge` and so on; none for hardware and lo.
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        self.attributes()
            .nested(IFLA_LINKINFO)?
            .text(IFLA_INFO_KIND)
    }

    /// What only its kind has (`IFLA_INFO_DATA`).
    pub fn data(&self) -> Option<Attributes<'_>> {
        self.attributes()
            .nested(IFLA_LINKINFO)?
            .nested(IFLA_INFO_DATA)
    }

    /// The bytes of its hardware address.
    pub fn address(&self) -> Option<&[u8]> {
        self.attributes().get(IFLA_ADDRESS)
    }

    /// The bytes of the hardware address that reaches everybody.
    pub fn broadcast(&self) -> Option<&[u8]> {
        self.attributes().get(IFLA_BROADCAST)
    }

    /// The largest packet.
    pub fn mtu(&self) -> Option<u32> {
        self.attributes().u32(IFLA_MTU)
    }

    /// The bridge or bond that it is in.
    pub fn master(&self) -> Option<u32> {
        self.attributes().u32(IFLA_MASTER)
    }

    /// The link that it is on top of, or the other end of it.
    pub fn link(&self) -> Option<u32> {
        self.attributes().u32(IFLA_LINK)
    }

    /// The id by which this namespace knows the one that [`Link::link`] is in, where that is another.
    pub fn link_namespace(&self) -> Option<i32> {
        self.attributes().i32(IFLA_LINK_NETNSID)
    }

    /// `IF_OPER_*` (RFC 2863).
    pub fn state(&self) -> Option<u8> {
        self.attributes().u8(IFLA_OPERSTATE)
    }

    /// The group number.
    pub fn group(&self) -> Option<u32> {
        self.attributes().u32(IFLA_GROUP)
    }

    /// Whether it was brought up (`IFF_UP`).
    pub fn is_up(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// All links, without their counters.
///
/// # Errors
/// The kernel's answer.
pub fn all(connection: &mut Connection) -> Result<Vec<Link>, Refusal> {
    dump(connection, SKIP_STATS)
}

/// All links; `filter` is made of `RTEXT_FILTER_*`.
///
/// # Errors
/// The kernel's answer.
pub fn dump(connection: &mut Connection, filter: u32) -> Result<Vec<Link>, Refusal> {
    let message = Written::behind(&[0; STRUCTURE]).with_u32(IFLA_EXT_MASK, filter);
    let answers = connection.dump(Message::Raw(RTM_GETLINK, message.bytes()))?;
    Ok(answers.into_iter().filter_map(Link::of).collect())
}

/// The link of this name, which may be one of its other names.
///
/// # Errors
/// `ENODEV` where there is none.
pub fn named(connection: &mut Connection, name: &str) -> Result<Link, Refusal> {
    let by = if name.len() > super::name::LONGEST {
        IFLA_ALT_IFNAME
    } else {
        IFLA_IFNAME
    };
    match asked(
        connection,
        Written::behind(&[0; STRUCTURE]).with_text(by, name),
    ) {
        Err(refusal) if refusal.is(Errno::ENODEV) && by == IFLA_IFNAME => {
            let message = Written::behind(&[0; STRUCTURE]).with_text(IFLA_ALT_IFNAME, name);
            // The first answer stands: kernels before 5.5 have no other names, and say so differently.
            asked(connection, message).map_err(|_| refusal)
        }
        other => other,
    }
}

/// The link of this number.
///
/// # Errors
/// `ENODEV` where there is none.
pub fn numbered(connection: &mut Connection, index: u32) -> Result<Link, Refusal> {
    asked(connection, Written::behind(&structure(index)))
}

fn asked(connection: &mut Connection, message: Written) -> Result<Link, Refusal> {
    let message = message.with_u32(IFLA_EXT_MASK, SKIP_STATS);
    let answer = connection.get(Message::Raw(RTM_GETLINK, message.bytes()))?;
    Link::of(answer).ok_or(Refusal::from(Errno::EBADMSG))
}

/// Makes a link of any kind.
///
/// # Errors
/// `EEXIST` where its name is taken, `EOPNOTSUPP` where the kernel has no such kind.
pub fn add(connection: &mut Connection, link: Draft) -> Result<(), Refusal> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    connection.change(Message::Raw(RTM_NEWLINK, link.bytes()), flags)
}

/// Changes the link that `link` names or numbers.
///
/// # Errors
/// The kernel's answer.
pub fn set(connection: &mut Connection, link: Draft) -> Result<(), Refusal> {
    connection.change(Message::Raw(RTM_NEWLINK, link.bytes()), 0)
}

/// Removes the link of this number, where it still has this name: a number may be another link's by now.
///
/// # Errors
/// `ENODEV` where there is none; `EOPNOTSUPP` for hardware and lo.
pub fn delete(connection: &mut Connection, index: u32, name: &str) -> Result<(), Refusal> {
    let found = numbered(connection, index)?;
    if found.name() != name {
        return Err(Refusal::from(Errno::ENODEV));
    }
    connection.change(Message::Raw(RTM_DELLINK, structure(index).to_vec()), 0)
}

/// The group of links on their way out. Who is killed between putting them there and removing them leaves them to the next.
const LEAVING: u32 = 0x6973_6f63;

/// Removes the links of these numbers, all at once: the kernel waits once for those who still use them, which for a bridge is
/// some thirty milliseconds and for another link ten. One that is gone already, with the namespace of its other end, is gone.
///
/// # Errors
/// The kernel's answer.
pub fn delete_all(connection: &mut Connection, numbers: &[u32]) -> Result<(), Refusal> {
    let gone = |refusal: Refusal| match refusal.errno {
        Errno::ENODEV => Ok(()),
        _ => Err(refusal),
    };
    for number in numbers {
        set(connection, Draft::numbered(*number).group(LEAVING)).or_else(gone)?;
    }
    let all = Written::behind(&[0; STRUCTURE]).with_u32(IFLA_GROUP, LEAVING);
    let all = Message::Raw(RTM_DELLINK, all.bytes());
    connection.change(all, 0).or_else(gone)
}

/// Removes the link of this name, whichever it is.
///
/// # Errors
/// As [`delete`].
pub fn delete_named(connection: &mut Connection, name: &str) -> Result<(), Refusal> {
    let message = Written::behind(&[0; STRUCTURE]).with_text(IFLA_IFNAME, name);
    connection.change(Message::Raw(RTM_DELLINK, message.bytes()), 0)
}

/// `struct ifinfomsg` with only a number.
fn structure(index: u32) -> [u8; STRUCTURE] {
    let mut structure = [0; STRUCTURE];
    structure[4..8].copy_from_slice(&index.to_ne_bytes());
    structure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_its_links() {
        let mut connection = Connection::open().unwrap();
        let links = all(&mut connection).unwrap();
        let lo = links.iter().find(|link| link.name() == "lo").unwrap();
        assert_eq!(lo.index, 1);
        assert_eq!(lo.kind(), None);
        assert_eq!(lo.address(), Some([0; 6].as_slice()));
        assert_eq!(named(&mut connection, "lo").unwrap().index, 1);
        assert_eq!(numbered(&mut connection, 1).unwrap().name(), "lo");
        let long = "a-name-that-is-longer-than-a-name-may-be";
        for missing in ["no-such-link", long] {
            let refusal = named(&mut connection, missing).err().unwrap();
            assert!(refusal.is(Errno::ENODEV), "{refusal}");
        }
        // Another link has that number by now: nothing is removed.
        let refusal = delete(&mut connection, 1, "eth0").unwrap_err();
        assert!(refusal.is(Errno::ENODEV));
    }
}
