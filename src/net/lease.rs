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

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::address::{self, Cidr};
use super::link::{self, Link};
use super::nat::{self, Entry, Publication};
use super::{Connection, route, veth};
use crate::error::{Doing, Error, Result};
use crate::order;

/// A lease as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The container's name.
    pub name: String,
    /// The bridge.
    pub bridge: String,
    /// The bridge's address, which is the gateway.
    pub gateway: Cidr,
    /// The container's address.
    pub address: Cidr,
    /// The end of its wire in the bridge.
    pub link: String,
    /// Whether the translation of the network is ours to take back.
    pub translates: bool,
    /// The ports that lead to it.
    pub published: Vec<Publication>,
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
}

/// Our bridge.
pub const BRIDGE: &str = "isobox0";

/// Where networks of our own bridges are taken from: the second byte, and the first of the third.
const POOL: [u8; 2] = [10, 87];

/// A lease that this process holds.
#[derive(Debug)]
pub struct Held {
    /// What it says.
    pub lease: Lease,
    directory: PathBuf,
    released: Cell<bool>,
    /// Locked until this process and its children have closed it.
    _file: Flock<File>,
}

impl Held {
    /// Takes a lease: clears away those whose holders are gone, chooses, and writes down, in that order.
    ///
    /// # Errors
    /// Where the bridge is none, or has no address, or none is free; where the one asked for is taken.
    pub fn take(
        directory: &Path,
        request: &Request,
        publish: &dyn Fn(Cidr) -> Vec<Publication>,
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
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let file =
            file.map_err(|(_, errno)| Error::new("cannot lock").on(&path).errno_is(errno))?;
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
        publish: &dyn Fn(Cidr) -> Vec<Publication>,
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
    _lock: Option<Flock<File>>,
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
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        let lock =
            lock.map_err(|(_, errno)| Error::new("cannot lock").on(&path).errno_is(errno))?;
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
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, errno)) => return Err(Error::new("cannot lock").on(&path).errno_is(errno)),
                Ok(_) => {
                    notes.push(format!(
                        "cleared away what was left of the network of {}",
                        lease.name
                    ));
                    notes.extend(self.end(&lease)?);
                }
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
        if let Ok(found) = link::named(&mut connection, &lease.link)
            && found.kind().as_deref() == Some("veth")
            && veth::Mark::of(&found).is_some()
        {
            let removed = link::delete(&mut connection, found.index, &lease.link);
            removed.doing_to("cannot remove", &lease.link)?;
        }
        let network = lease.gateway.network();
        let translates = others.iter().any(|one| one.translates) || lease.translates;
        let ours = |entry: &Entry| match entry {
            Entry::Masquerade(subnet) => last && translates && *subnet == network,
            Entry::Publish(publication) => lease.published.contains(publication),
        };
        let changed = nat::remove(&ours)?;
        if last
            && let Ok(bridge) = link::named(&mut connection, &lease.bridge)
            && veth::Mark::of(&bridge).is_some()
        {
            let removed = veth::remove_empty_bridge(&mut connection, &bridge);
            removed.doing_to("cannot remove", &lease.bridge)?;
        }
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
        publish: &dyn Fn(Cidr) -> Vec<Publication>,
    ) -> Result<Lease> {
        let others = self.all();
        if others.iter().any(|one| one.name == request.name) {
            return Err(
                Error::new("a container of this name has a network already:").on(&request.name),
            );
        }
        let bridge = request.bridge.clone().unwrap_or_else(|| BRIDGE.into());
        super::name::check(&bridge)?;
        let gateway = gateway(&bridge, &others)?;
        let taken: Vec<IpAddr> = others.iter().map(|one| one.address.address).collect();
        let address = free_address(gateway, request.address, &taken)?;
        let network = gateway.network();
        let known = nat::entries()?
            .iter()
            .any(|line| line.entry == Entry::Masquerade(network));
        let ours = others
            .iter()
            .any(|one| one.translates && one.gateway.network() == network);
        Ok(Lease {
            link: veth::near_name("eth0", &request.name),
            name: request.name.clone(),
            published: publish(address),
            translates: !known || ours,
            bridge,
            gateway,
            address,
        })
    }
}

/// The address of the bridge: what it has, what another lease says it will have, or a network that is free.
fn gateway(bridge: &str, others: &[Lease]) -> Result<Cidr> {
    let mut connection = Connection::open()?;
    match link::named(&mut connection, bridge) {
        Ok(found) => {
            if let Some(known) = of_bridge(&mut connection, &found)? {
                return Ok(known);
            }
        }
        Err(refusal) if refusal.is(Errno::ENODEV) => {}
        Err(refusal) => return Err(refusal.doing("cannot find the bridge").on(bridge)),
    }
    if let Some(other) = others.iter().find(|one| one.bridge == bridge) {
        return Ok(other.gateway);
    }
    let addresses = address::all(&mut connection, 2).doing("cannot list addresses")?;
    let routes = route::all(&mut connection, 2).doing("cannot list routes")?;
    let routes = routes.iter().filter_map(|route| {
        let (address, prefix) = (route.destination()?, route.prefix);
        Some(Cidr { address, prefix })
    });
    let leased = others.iter().map(|one| one.gateway);
    let used: Vec<Cidr> = addresses
        .iter()
        .filter_map(address::Address::cidr)
        .chain(routes)
        .chain(leased)
        .collect();
    let free = (0..=u8::MAX).map(|third| Cidr {
        address: IpAddr::from([POOL[0], POOL[1], third, 1]),
        prefix: 24,
    });
    let found = free
        .into_iter()
        .find(|one| !used.iter().any(|used| used.overlaps(*one)));
    found.ok_or_else(|| {
        Error::new("no network is free for a bridge").hint(format!(
            "give one an address: ip addr add 10.9.0.1/24 dev {bridge}"
        ))
    })
}

/// The IPv4 address of a bridge that is there; a bridge of ours that is being made may have none yet.
fn of_bridge(connection: &mut Connection, found: &Link) -> Result<Option<Cidr>> {
    if found.kind().as_deref() != Some("bridge") {
        return Err(Error::new(format!("{} is no bridge", found.name())));
    }
    let addresses = address::all(connection, 2).doing("cannot list addresses")?;
    let own = addresses.iter().find(|one| one.link == found.index);
    match own.and_then(address::Address::cidr) {
        None if veth::Mark::of(found).is_none() => {
            let name = found.name();
            Err(Error::new(format!("the bridge {name} has no IPv4 address"))
                .hint(format!("ip addr add 10.9.0.1/24 dev {name}")))
        }
        own => Ok(own),
    }
}

/// The address that is asked for, or the first that nobody has.
fn free_address(gateway: Cidr, asked: Option<Ipv4Addr>, taken: &[IpAddr]) -> Result<Cidr> {
    let IpAddr::V4(first) = gateway.network().address else {
        return Err(Error::new("the bridge has no IPv4 address"));
    };
    let (first, prefix) = (u32::from(first), gateway.prefix);
    let last = first | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let cidr = |address: u32| Cidr {
        address: IpAddr::V4(address.into()),
        prefix,
    };
    let free = |one: &Cidr| one.address != gateway.address && !taken.contains(&one.address);
    if let Some(asked) = asked {
        let one = cidr(asked.into());
        let inside = (first + 1..last).contains(&u32::from(asked));
        return match (inside, free(&one)) {
            (true, true) => Ok(one),
            (false, _) => Err(Error::new(format!(
                "{asked} is no address of the network {}",
                gateway.network()
            ))),
            (true, false) => Err(Error::new(format!("the address {asked} is taken"))),
        };
    }
    (first.saturating_add(1)..last)
        .map(cidr)
        .find(free)
        .ok_or_else(|| Error::new(format!("no address of {} is free", gateway.network())))
}

impl Lease {
    fn text(&self) -> String {
        let Self {
            name: _,
            bridge,
            gateway,
            address,
            link,
            translates,
            published,
        } = self;
        let lines = format!(
            "bridge {bridge}\ngateway {gateway}\naddress {address}\nlink {link}\ntranslates {translates}\n"
        );
        let published = published.iter().map(|one| format!("publish {one}\n"));
        std::iter::once(lines).chain(published).collect()
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
        let published = fields.iter().filter(|(key, _)| *key == "publish");
        Some(Self {
            name: name.into(),
            bridge: field("bridge")?.into(),
            gateway: field("gateway")?.parse().ok()?,
            address: field("address")?.parse().ok()?,
            link: field("link")?.into(),
            translates: field("translates")? == "true",
            published: published
                .filter_map(|(_, value)| value.parse().ok())
                .collect(),
        })
    }

    /// What has to be translated for it.
    pub fn entries(&self) -> Vec<Entry> {
        let network = Entry::Masquerade(self.gateway.network());
        let published = self.published.iter().copied().map(Entry::Publish);
        std::iter::once(network).chain(published).collect()
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
            gateway: "10.87.0.1/24".parse().unwrap(),
            address: "10.87.0.2/24".parse().unwrap(),
            link: "v123".into(),
            translates: true,
            published: vec!["8080:10.87.0.2:80".parse().unwrap()],
        };
        assert_eq!(Lease::parse("web", &lease.text()), Some(lease));
        for broken in ["", "bridge b\n", "nonsense"] {
            assert_eq!(Lease::parse("x", broken), None);
        }
    }

    #[test]
    fn addresses_are_given_in_order() {
        let gateway: Cidr = "10.87.0.1/29".parse().unwrap();
        let of = |asked: Option<&str>, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|one| one.parse().unwrap()).collect();
            let asked = asked.map(|one| one.parse().unwrap());
            free_address(gateway, asked, &taken)
                .map(|cidr| cidr.to_string())
                .ok()
        };
        assert_eq!(of(None, &[]).as_deref(), Some("10.87.0.2/29"));
        assert_eq!(
            of(None, &["10.87.0.2", "10.87.0.3"]).as_deref(),
            Some("10.87.0.4/29")
        );
        let all = [
            "10.87.0.2",
            "10.87.0.3",
            "10.87.0.4",
            "10.87.0.5",
            "10.87.0.6",
        ];
        assert_eq!(of(None, &all), None);
        assert_eq!(of(Some("10.87.0.5"), &[]).as_deref(), Some("10.87.0.5/29"));
        for bad in [
            "10.87.0.0",
            "10.87.0.1",
            "10.87.0.7",
            "10.87.0.8",
            "1.2.3.4",
        ] {
            assert_eq!(of(Some(bad), &[]), None, "{bad}");
        }
        assert_eq!(of(Some("10.87.0.5"), &["10.87.0.5"]), None);
    }
}
