//! Pairs of links that are the two ends of one wire (veth(4)), and bridges that join wires.
//!
//! The far end is made straight in the network namespace it belongs to: one message makes both, and the end of that
//! namespace takes both away. What is ours carries a mark in its alias, so that it can be listed and cleared away by
//! whoever comes later.

use std::fmt;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::link::{self, Draft, Link};
use super::name::hash;
use super::{Connection, Refusal};
use crate::error::{Error, Result};

/// What the alias of everything of ours starts with.
const OURS: &str = "isobox ";
/// The group of what is being made: an alias can only be given to a link that is there, a group also to one that is
/// being made. Whoever is killed in between leaves this, and it goes as the alias comes.
const UNFINISHED: u32 = 0x6973_6f62;
/// The longest alias (`IFALIASZ`, with its NUL).
const LONGEST_ALIAS: usize = 255;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl std::str::FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!("'{text}' is no hardware address"))
                .hint("it is six numbers of two digits, as 02:00:00:00:00:01")
        };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2));
            let part = part.filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        }
        match (parts.next(), bytes) {
            (Some(_), _) => Err(wrong()),
            (None, [first, ..]) if first & 1 != 0 => {
                Err(wrong().because("it stands for several links: its first byte is odd"))
            }
            (None, [0, 0, 0, 0, 0, 0]) => Err(wrong().because("it stands for none")),
            (None, bytes) => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A pair to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name of the end here.
    pub host: String,
    /// The name of the end there.
    pub guest: String,
    /// The largest packet, of both.
    pub mtu: Option<u32>,
    /// The hardware address of the end there.
    pub mac: Option<Mac>,
}

impl Pair {
    /// Makes it, with the far end in `ns` and the near end in the bridge `master`, and gives the near end. Both are down.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn make(
        &self,
        connection: &mut Connection,
        ns: BorrowedFd<'_>,
        master: Option<u32>,
        mark: &Mark,
    ) -> Result<Link, Refusal> {
        link::add(connection, self.draft(ns, master))?;
        finish(connection, &self.host, mark)
    }

    fn draft(&self, ns: BorrowedFd<'_>, master: Option<u32>) -> Draft {
        let mut far = Draft::named(&self.guest).inside(ns);
        let mut near = Draft::named(&self.host).group(UNFINISHED);
        if let Some(mtu) = self.mtu {
            far = far.mtu(mtu);
            near = near.mtu(mtu);
        }
        if let Some(Mac(bytes)) = self.mac {
            far = far.address(&bytes);
        }
        if let Some(master) = master {
            near = near.master(master);
        }
        near.paired_with(far)
    }
}

/// Makes a bridge, which is down, and gives it. Its hardware address is fixed: left to itself a bridge takes that of
/// one of its ports, and when that port goes its neighbours have to find it anew.
///
/// # Errors
/// The kernel's answer.
pub fn make_bridge(connection: &mut Connection, name: &str) -> Result<Link, Refusal> {
    let bridge = Draft::named(name).group(UNFINISHED).kind("bridge");
    link::add(connection, bridge)?;
    finish(connection, name, &Mark::Bridge)
}

/// Gives a link that has just been made its mark, or removes it; fixes the hardware address of a bridge.
fn finish(connection: &mut Connection, name: &str, mark: &Mark) -> Result<Link, Refusal> {
    let finished = link::named(connection, name).and_then(|made| {
        let mut change = Draft::numbered(made.index)
            .alias(&mark.to_string())
            .group(0);
        if let (Mark::Bridge, Some(address)) = (mark, made.address()) {
            change = change.address(address);
        }
        link::set(connection, change)?;
        Ok(made)
    });
    finished.inspect_err(|_| {
        // Over a line of its own: the other may be what failed. Nobody is left to tell where this fails too.
        if let Ok(mut connection) = Connection::open() {
            let _ = link::delete_named(&mut connection, name);
        }
    })
}

/// Removes a bridge that no link is in; gives whether it is gone.
///
/// # Errors
/// The kernel's answer.
pub fn remove_empty_bridge(connection: &mut Connection, bridge: &Link) -> Result<bool, Refusal> {
    if has_ports(connection, bridge.index, None)? {
        return Ok(false);
    }
    match link::delete(connection, bridge.index, &bridge.name()) {
        Err(refusal) if !refusal.is(Errno::ENODEV) => Err(refusal),
        _ => Ok(true),
    }
}

/// Whether links are in a bridge, other than the one of the number `but`.
///
/// # Errors
/// The kernel's answer.
pub fn has_ports(
    connection: &mut Connection,
    bridge: u32,
    but: Option<u32>,
) -> Result<bool, Refusal> {
    let all = link::all(connection)?;
    let mut ports = all.iter().filter(|link| link.master() == Some(bridge));
    Ok(ports.any(|port| Some(port.index) != but))
}

/// What the alias of a link says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The near end of a pair.
    Near {
        /// The name of the far end.
        guest: String,
        /// The namespace of the far end, as it was named.
        namespace: String,
    },
    /// A bridge.
    Bridge,
    /// One of these that was not finished.
    Unfinished,
}

impl Mark {
    /// That of a link, if it is ours.
    pub fn of(link: &Link) -> Option<Self> {
        if link.group() == Some(UNFINISHED) {
            return Some(Self::Unfinished);
        }
        Self::read(&link.alias()?)
    }

    fn read(alias: &str) -> Option<Self> {
        match alias.strip_prefix(OURS)?.split_once(' ') {
            None if alias.ends_with(" bridge") => Some(Self::Bridge),
            Some(("veth", rest)) => {
                let (guest, namespace) = rest.split_once(' ')?;
                Some(Self::Near {
                    guest: guest.into(),
                    namespace: namespace.into(),
                })
            }
            _ => None,
        }
    }
}

/// The alias.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => write!(f, "{OURS}bridge"),
            Self::Unfinished => f.write_str("isobox"),
            Self::Near { guest, namespace } => {
                let start = format!("{OURS}veth {guest} ");
                // Of a path that is too long the end tells most.
                let room = LONGEST_ALIAS.saturating_sub(start.len());
                let mut from = namespace.len().saturating_sub(room);
                while !namespace.is_char_boundary(from) {
                    from += 1;
                }
                write!(f, "{start}{}", namespace.get(from..).unwrap_or_default())
            }
        }
    }
}

/// A name for the near end where nobody gave one: the same for the same far end.
///
/// ```
/// use isobox::net::veth::near_name;
/// assert_eq!(near_name("eth0", "blue").len(), 12);
/// assert_ne!(near_name("eth0", "blue"), near_name("eth0", "red"));
/// ```
pub fn near_name(guest: &str, namespace: &str) -> String {
    format!(
        "veth{:08x}",
        hash(format!("{guest}\0{namespace}").as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read() {
        let mac = |text: &str| text.parse::<Mac>().map(|mac| mac.to_string()).ok();
        let want = Some("02:00:00:00:00:0a".to_owned());
        assert_eq!(mac("02:00:00:00:00:0a"), want);
        assert_eq!(mac("2-0-0-0-0-A"), want);
        let bad = [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
            "01:00:00:00:00:01",
            "00:00:00:00:00:00",
            "020000000001",
        ];
        for bad in bad {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn marks_are_read() {
        let near = |namespace: &str| Mark::Near {
            guest: "eth0".into(),
            namespace: namespace.into(),
        };
        for mark in [Mark::Bridge, near("blue"), near("/run/a file"), near("77")] {
            assert_eq!(Mark::read(&mark.to_string()), Some(mark));
        }
        for foreign in [
            "",
            "isobox",
            "isobox veth",
            "isobox veth eth0",
            "uplink",
            "isobox x y",
        ] {
            assert_eq!(Mark::read(foreign), None, "{foreign}");
        }
        let long = near(&"ä".repeat(300)).to_string();
        assert!((254..=255).contains(&long.len()), "{}", long.len());
        assert!(Mark::read(&long).is_some());
    }
}
