//! What a container has of this machine's network, written down before it is made: its address in the network of a
//! bridge, its link, its published ports. Whoever finds a lease whose holder is gone can take all of it back, also
//! after a kill -9.
//!
//! ```text
//! DIR/lock       held by whoever looks at the leases or changes them
//! DIR/NAME       one lease, locked by its holder for as long as that lives
//! ```
//!
//! `container run --network bridge` takes one; the next run, and `container gc`, clear away what was left.

mod choose;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::address::Cidr;
use super::link;
use super::nat::{self, Entry, Publication};
use super::{Connection, veth};
use crate::error::{Doing, Error, Result};
use crate::lock::Locked;
use crate::order;

/// A lease as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The container's name.
    pub name: String,
    /// The bridge.
    pub bridge: String,
    /// Its networks: one of IPv4 first, and one of IPv6 where that was asked for.
    pub networks: Vec<Network>,
    /// The end of its wire in the bridge.
    pub link: String,
    /// The ports that lead to it.
    pub published: Vec<Publication>,
}

/// What a lease has of one family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The bridge's address, which is the gateway.
    pub gateway: Cidr,
    /// The container's address.
    pub address: Cidr,
    /// Whether the translation of the network is ours to take back.
    pub translates: bool,
}

impl Network {
    fn is_of(&self, gateway: Cidr) -> bool {
        self.gateway.network() == gateway.network()
    }
}

/// Whether there is to be an IPv6 address too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ipv6 {
    /// No.
    #[default]
    Without,
    /// The first that is free.
    Any,
    /// This one.
    Is(Ipv6Addr),
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The container's name.
    pub name: String,
    /// The bridge; ours without.
    pub bridge: Option<String>,
    /// The address; the first that is free without.
    pub address: Option<Ipv4Addr>,
    /// The address of IPv6.
    pub ipv6: Ipv6,
}

/// Our bridge.
pub const BRIDGE: &str = "isobox0";

/// A lease that this process holds.
#[derive(Debug)]
pub struct Held {
    /// What it says.
    pub lease: Lease,
    directory: PathBuf,
    released: Cell<bool>,
    /// Locked until this is dropped, or the last process that has it has ended.
    _file: Locked,
}

impl Held {
    /// Takes a lease: clears away those whose holders are gone, chooses, and writes down, in that order.
    ///
    /// # Errors
    /// Where the bridge is none, or has no address, or none is free; where the one asked for is taken.
    pub fn take(
        directory: &Path,
        request: &Request,
        publish: &dyn Fn(IpAddr) -> Vec<Publication>,
    ) -> Result<(Self, Vec<String>)> {
        let leases = Leases::open(directory)?;
        let notes = leases.clear()?;
        let lease = leases.choose(request, publish)?;
        let path = directory.join(&lease.name);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .doing_to("cannot make", &path)?;
        file.write_all(lease.text().as_bytes())
            .and_then(|()| file.sync_all())
            .doing_to("cannot write", &path)?;
        let taken = || Error::new("another process has locked").on(&path);
        let file = Locked::exclusive_now(file).doing_to("cannot lock", &path)?;
        let file = file.ok_or_else(taken)?;
        let directory = directory.to_owned();
        let held = Self {
            lease,
            directory,
            released: Cell::new(false),
            _file: file,
        };
        Ok((held, notes))
    }

    /// What [`Held::take`] would choose, without taking it.
    ///
    /// # Errors
    /// As those of [`Held::take`].
    pub fn preview(
        directory: &Path,
        request: &Request,
        publish: &dyn Fn(IpAddr) -> Vec<Publication>,
    ) -> Result<Lease> {
        let unused = Leases {
            directory: directory.to_owned(),
            _lock: None,
        };
        unused.choose(request, publish)
    }

    /// Takes everything back, and the lease with it.
    ///
    /// # Errors
    /// Of the first thing that could not be taken back; the lease stays then, for the next to try.
    pub fn release(&self) -> Result<Vec<String>> {
        self.released.set(true);
        let leases = Leases::open(&self.directory)?;
        leases.end(&self.lease)
    }
}

/// A lease that came to nothing is none.
impl Drop for Held {
    fn drop(&mut self) {
        if !self.released.get() {
            // Whoever takes the next one finds what could not be taken back.
            let _ = self.release();
        }
    }
}

/// The lease of this name, if there is one.
pub fn find(directory: &Path, name: &str) -> Option<Lease> {
    let text = fs::read_to_string(directory.join(name)).ok()?;
    Lease::parse(name, &text)
}

/// Takes back what holders left that are gone.
///
/// # Errors
/// Where the directory cannot be read, or something cannot be taken back.
pub fn clear(directory: &Path) -> Result<Vec<String>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    Leases::open(directory)?.clear()
}

/// The directory of leases, locked.
struct Leases {
    directory: PathBuf,
    _lock: Option<Locked>,
}

/// The name of the lock, which no container can have.
const LOCK: &str = ".lock";

impl Leases {
    fn open(directory: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.doing_to("cannot make", directory)?;
        let path = directory.join(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = file.doing_to("cannot open", &path)?;
        let lock = Locked::exclusive(file).doing_to("cannot lock", &path)?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: Some(lock),
        })
    }

    /// All leases; what is no lease is none.
    fn all(&self) -> Vec<Lease> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut all: Vec<Lease> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                let text = fs::read_to_string(self.directory.join(&name)).ok()?;
                Lease::parse(&name, &text)
            })
            .collect();
        order::sort_by(&mut all, |one, other| one.name.cmp(&other.name));
        all
    }

    /// Ends the leases whose holders are gone: nobody has them locked.
    fn clear(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for lease in self.all() {
            let path = self.directory.join(&lease.name);
            let file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other.doing_to("cannot open", &path)?,
            };
            let unused = Locked::exclusive_now(file).doing_to("cannot lock", &path)?;
            if unused.is_some() {
                notes.push(format!(
                    "cleared away what was left of the network of {}",
                    lease.name
                ));
                notes.extend(self.end(&lease)?);
            }
        }
        Ok(notes)
    }

    /// Takes back what a lease stands for: its link, its ports, and with the last of a bridge the translation and the
    /// bridge, where they are ours.
    fn end(&self, lease: &Lease) -> Result<Vec<String>> {
        let others: Vec<Lease> = self
            .all()
            .into_iter()
            .filter(|one| one.name != lease.name)
            .collect();
        let last = !others.iter().any(|one| one.bridge == lease.bridge);
        let mut connection = Connection::open()?;
        let ours = |connection: &mut Connection, name: &str, kind: &str| {
            let found = link::named(connection, name).ok()?;
            let is_ours = found.kind().as_deref() == Some(kind) && veth::Mark::of(&found).is_some();
            is_ours.then_some(found.index)
        };
        let wire = ours(&mut connection, &lease.link, "veth");
        let mut leaving: Vec<u32> = wire.into_iter().collect();
        if last && let Some(bridge) = ours(&mut connection, &lease.bridge, "bridge") {
            let stays =
                veth::has_ports(&mut connection, bridge, wire).doing("cannot list links")?;
            leaving.extend((!stays).then_some(bridge));
        }
        if !leaving.is_empty() {
            let removed = link::delete_all(&mut connection, &leaving);
            removed.doing_to("cannot remove", &lease.link)?;
        }
        let theirs = || others.iter().flat_map(|one| &one.networks);
        let unused =
            |one: &Network| one.translates && !theirs().any(|other| other.is_of(one.gateway));
        let ended = |entry: &Entry| match entry {
            Entry::Masquerade(subnet) => {
                let own = |one: &&Network| one.gateway.network() == *subnet;
                lease.networks.iter().find(own).is_some_and(unused)
            }
            Entry::Publish(publication) => lease.published.contains(publication),
        };
        let changed = nat::remove(&ended)?;
        let path = self.directory.join(&lease.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).doing_to("cannot remove", &path)?
            }
            _ => Ok(changed.notes),
        }
    }

    /// What a request comes to.
    fn choose(
        &self,
        request: &Request,
        publish: &dyn Fn(IpAddr) -> Vec<Publication>,
    ) -> Result<Lease> {
        let others = self.all();
        if others.iter().any(|one| one.name == request.name) {
            return Err(
                Error::new("a container of this name has a network already:").on(&request.name),
            );
        }
        let bridge = request.bridge.clone().unwrap_or_else(|| BRIDGE.into());
        super::name::check(&bridge)?;
        let networks = choose::networks(request, &bridge, &others)?;
        let own = networks.iter().map(|one| one.address.address);
        Ok(Lease {
            link: veth::near_name("eth0", &request.name),
            name: request.name.clone(),
            published: own.flat_map(publish).collect(),
            bridge,
            networks,
        })
    }
}

impl Lease {
    fn text(&self) -> String {
        let Self {
            name: _,
            bridge,
            networks,
            link,
            published,
        } = self;
        let mut text = format!("bridge {bridge}\nlink {link}\n");
        for one in networks {
            let Network {
                gateway,
                address,
                translates,
            } = one;
            text.push_str(&format!("network {gateway} {address} {translates}\n"));
        }
        for one in published {
            text.push_str(&format!("publish {one}\n"));
        }
        text
    }

    fn parse(name: &str, text: &str) -> Option<Self> {
        let fields: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let field = |wanted| {
            fields
                .iter()
                .find(|(key, _)| *key == wanted)
                .map(|(_, value)| *value)
        };
        let all = |wanted| fields.iter().filter(move |(key, _)| *key == wanted);
        let networks = all("network").filter_map(|(_, value)| Network::parse(value));
        let networks: Vec<Network> = networks.collect();
        (!networks.is_empty()).then_some(Self {
            name: name.into(),
            bridge: field("bridge")?.into(),
            networks,
            link: field("link")?.into(),
            published: all("publish")
                .filter_map(|(_, value)| value.parse().ok())
                .collect(),
        })
    }

    /// What has to be translated for it.
    pub fn entries(&self) -> Vec<Entry> {
        let networks = self.networks.iter();
        let networks = networks.map(|one| Entry::Masquerade(one.gateway.network()));
        let published = self.published.iter().copied().map(Entry::Publish);
        networks.chain(published).collect()
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = Cidr> {
        self.networks.iter().map(|one| one.address)
    }

    /// The bridge's addresses, IPv4 first.
    pub fn gateways(&self) -> impl Iterator<Item = Cidr> {
        self.networks.iter().map(|one| one.gateway)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [gateway, address, translates] = fields[..] else {
            return None;
        };
        Some(Self {
            gateway: gateway.parse().ok()?,
            address: address.parse().ok()?,
            translates: translates == "true",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_back() {
        let lease = Lease {
            name: "web".into(),
            bridge: "isobox0".into(),
            networks: [
                ("10.87.0.1/24", "10.87.0.2/24"),
                ("fd87::1/64", "fd87::2/64"),
            ]
            .map(|(gateway, address)| Network {
                gateway: gateway.parse().unwrap(),
                address: address.parse().unwrap(),
                translates: gateway.contains("10."),
            })
            .into(),
            link: "v123".into(),
            published: vec!["8080:10.87.0.2:80".parse().unwrap()],
        };
        assert_eq!(Lease::parse("web", &lease.text()), Some(lease));
        for broken in ["", "bridge b\n", "nonsense"] {
            assert_eq!(Lease::parse("x", broken), None);
        }
    }
}
