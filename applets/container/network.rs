//! The network of a container: what `--network` and its companions mean, and what has to happen for it.
//!
//! ```text
//! private (the default)     a namespace of its own, with lo
//! none                      the same, with lo down
//! host                      the machine's
//! ns:PATH, container:ID     somebody else's
//! bridge[=NAME]             a wire into a bridge of this machine, an address, translation, published ports, names:
//!                           for an ordinary user pasta(1) or slirp4netns(1) does all of that
//! ```

#[path = "network_values.rs"]
mod values;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use isobox::error::{Error, Result};
use isobox::namespace::Kind;
use isobox::net::address::Cidr;
use isobox::net::lease::{Held, Ipv6, Lease, Request};
use isobox::net::nat::Port;
use isobox::net::netns;
use isobox::net::resolv::{self, From};
use isobox::net::user;
use isobox::oci::spec::Map;
use isobox::oci::{Additions, Spec};
use isobox::plan::steps::addresses::NoMetadata;
use isobox::plan::steps::lease::HoldLease;
use isobox::plan::steps::links::{Place, Where};
use isobox::plan::steps::nat::AddNat;
use isobox::plan::steps::texts::MountText;
use isobox::plan::steps::user_network::CarryNetwork;
use isobox::plan::wire::{End, When, Wire};
use isobox::plan::{Around, Plan};
use nix::unistd::geteuid;

use super::kept::Shelf;
use super::more::join;
use crate::cli::carrier::carrier;
use crate::cli::say;
pub(super) use crate::table::veth::Publish;
pub(super) use values::{HostLine, Ip6, Network};

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) network: Option<Network>,
    pub(super) publish: Vec<Publish>,
    pub(super) dns: Vec<IpAddr>,
    pub(super) hosts: Vec<HostLine>,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) ip6: Option<Ip6>,
    /// At a bridge it may ask the cloud what its machine is told.
    pub(super) metadata: bool,
    /// The container's name, by which its lease goes; its host name without.
    pub(super) name: Option<String>,
    /// The plan is only written down.
    pub(super) script: bool,
    /// Nothing is taken for a plan that is only told.
    pub(super) told_only: bool,
}

impl Asked {
    /// What was asked for, as it was typed; `name` is what the lease goes by.
    pub(super) fn of_words(facts: &Map<String>, name: &str) -> Result<Self> {
        Ok(Self {
            network: said(facts, "network")?.pop(),
            publish: said(facts, "publish")?,
            dns: said(facts, "dns")?,
            hosts: said(facts, "add-host")?,
            ip: said(facts, "ip")?.pop(),
            ip6: said(facts, "ip6")?.pop(),
            metadata: facts.value("metadata").is_some(),
            name: Some(name.into()),
            script: false,
            told_only: false,
        })
    }

    /// Makes the spec what it has to be for this network, and gives what the plan needs besides.
    pub(super) fn apply(self, spec: &mut Spec) -> Result<Additions> {
        let chosen = self.chosen();
        self.check(&chosen)?;
        match chosen {
            Network::Private => {}
            Network::None => {
                return Ok(Additions {
                    loopback_stays_down: true,
                    ..self.files(spec, None)
                });
            }
            Network::Host => spec.share(Kind::Net),
            Network::Path(path) => join(spec, Kind::Net, &path),
            Network::Container(id) => {
                join(
                    spec,
                    Kind::Net,
                    &Shelf::ours().namespace_of(&id, Kind::Net)?,
                );
            }
            Network::Bridge(name) if geteuid().is_root() => return self.bridge(name, spec),
            Network::Bridge(_) => {
                return self.carrier(&user::Kind::ALL, spec);
            }
            Network::Carrier(kind) => return self.carrier(&[kind], spec),
        }
        Ok(self.files(spec, None))
    }

    /// A port that is to lead in needs something to lead in by.
    fn chosen(&self) -> Network {
        match &self.network {
            Some(network) => network.clone(),
            None if !self.publish.is_empty() || self.has_address() => Network::Bridge(None),
            None => Network::Private,
        }
    }

    fn has_address(&self) -> bool {
        self.ip.is_some() || self.ip6.is_some()
    }

    fn ports(&self) -> Vec<Port> {
        self.publish.iter().flat_map(|one| one.0.clone()).collect()
    }

    fn check(&self, chosen: &Network) -> Result<()> {
        let by_bridge = matches!(chosen, Network::Bridge(_));
        let connected = by_bridge || matches!(chosen, Network::Carrier(_));
        if !self.publish.is_empty() && !connected {
            return Err(Error::new("-p leads into a network of the container's own")
                .because("--network bridge, pasta or slirp4netns is needed"));
        }
        let by_bridge = by_bridge && geteuid().is_root();
        if self.has_address() && !by_bridge {
            let option = if self.ip.is_some() { "--ip" } else { "--ip6" };
            return Err(
                Error::new(format!("{option} is an address in the network of a bridge"))
                    .because("--network bridge is needed, as root"),
            );
        }
        if by_bridge && self.ip6.is_none() {
            let is_v6 = |port: &Port| port.at.is_some_and(|at| at.is_ipv6());
            if let Some(port) = self.ports().into_iter().find(is_v6) {
                return Err(Error::new(format!("port {} of an IPv6 address", port.here))
                    .because("the container has none: --ip6 auto gives it one"));
            }
        }
        match chosen {
            Network::Carrier(kind) if geteuid().is_root() => Err(Error::new(format!(
                "--network {} is for ordinary users",
                kind.name()
            ))
            .hint("--network bridge is what root has")),
            _ => Ok(()),
        }
    }

    /// Root's: a wire into a bridge of this machine.
    fn bridge(self, name: Option<String>, spec: &mut Spec) -> Result<Additions> {
        let request = Request {
            name: self
                .name
                .clone()
                .unwrap_or_else(|| spec.hostname.to_string_lossy().into_owned()),
            bridge: name,
            address: self.ip,
            ipv6: self.ip6.map_or(Ipv6::Without, |ip6| ip6.0),
        };
        let ports = self.ports();
        let publish = |guest: IpAddr| ports.iter().filter_map(|port| port.to(guest)).collect();
        let directory = PathBuf::from(LEASES);
        let (lease, held) = if self.told_only || self.script {
            (Held::preview(&directory, &request, &publish)?, None)
        } else {
            let (held, cleared) = Held::take(&directory, &request, &publish)?;
            cleared
                .iter()
                .for_each(|note| say(&format!("note: {note}\n")));
            (held.lease.clone(), Some(held))
        };
        if self.script {
            return self.script_of_bridge(spec, &lease);
        }
        spec.open_network(lease.networks.len() > 1);
        let metadata = self.metadata;
        let mut additions = self.files(spec, Some(&lease));
        let wire = wire(&lease);
        let entries = lease.entries();
        let hold = RefCell::new(Some(HoldLease {
            lease,
            directory,
            held,
        }));
        additions.before = Some(Rc::new(move |plan: &mut Plan| {
            if let Some(step) = hold.borrow_mut().take() {
                plan.during(step);
            }
            Ok(())
        }));
        additions.networked = Some(Rc::new(move |plan: &mut Plan| {
            let slot = wire.plan(plan, When::Outside)?;
            if !metadata {
                let side = Where::There(slot, Place::Program);
                plan.outside(NoMetadata { side });
            }
            plan.outside(AddNat::new(entries.clone()));
            Ok(())
        }));
        Ok(additions)
    }

    /// The same as lines of a script: a namespace with a name, and a wire that is held while the container runs.
    fn script_of_bridge(&self, spec: &mut Spec, lease: &Lease) -> Result<Additions> {
        let name = &lease.name;
        let file = Path::new(netns::DIRECTORY).join(name);
        join(spec, Kind::Net, &file);
        let mut additions = self.files(spec, Some(lease));
        let list = |all: Vec<Cidr>| {
            all.iter()
                .map(Cidr::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        let mut words = vec![
            "veth".to_owned(),
            format!(
                "--bridge={}@{}",
                lease.bridge,
                list(lease.gateways().collect())
            ),
            format!("--ns={}", file.display()),
            "--nat".to_owned(),
        ];
        words.extend(lease.gateways().map(|one| format!("--gw={}", one.address)));
        words.extend(
            self.publish
                .iter()
                .map(|one| format!("--publish={}", one.1)),
        );
        words.push(lease.link.clone());
        words.push(format!("eth0@{}", list(lease.addresses().collect())));
        words.push("--hold".to_owned());
        let line = |words: &[&str]| words.iter().map(OsString::from).collect();
        let enter = format!("--net={}", file.display());
        let ping = "cd /proc/sys/net/ipv4; echo 0 2147483647 >ping_group_range; echo 0 >ip_unprivileged_port_start";
        let mut before = vec![
            line(&["ip", "netns", "add", name]),
            line(&["nsenter", &enter, "sh", "-c", ping]),
        ];
        if !self.metadata {
            let to = "169.254.169.254";
            before.push(line(&["ip", "-n", name, "route", "add", "prohibit", to]));
        }
        let around = Around {
            before,
            row: words.into_iter().map(OsString::from).collect(),
            after: line(&["ip", "netns", "delete", name]),
        };
        additions.before = Some(Rc::new(move |plan: &mut Plan| {
            plan.around(around.clone());
            Ok(())
        }));
        Ok(additions)
    }

    /// An ordinary user's: a program carries the packets.
    fn carrier(self, kinds: &[user::Kind], spec: &mut Spec) -> Result<Additions> {
        let carrier = carrier(kinds, self.ports())?;
        let published: Vec<String> = self.publish.iter().map(|one| one.1.clone()).collect();
        let mut additions = self.files(spec, None);
        additions.networked = Some(Rc::new(move |plan: &mut Plan| {
            plan.outside_during(CarryNetwork::new(carrier.clone(), published.clone()));
            Ok(())
        }));
        Ok(additions)
    }

    /// The files that say names. Of a container that is alone and asked for nothing they stay as they are.
    fn files(&self, spec: &Spec, lease: Option<&Lease>) -> Additions {
        let chosen = self.chosen();
        let connected = matches!(chosen, Network::Bridge(_) | Network::Carrier(_));
        let mut files: Vec<(&'static str, String)> = Vec::new();
        if connected || !self.hosts.is_empty() {
            files.push(("/etc/hosts", self.hosts_text(&spec.hostname, lease)));
        }
        if connected {
            files.push(("/etc/hostname", format!("{}\n", spec.hostname.display())));
        }
        if connected || !self.dns.is_empty() {
            files.push(("/etc/resolv.conf", self.resolv_text()));
        }
        let mut additions = Additions::default();
        if !files.is_empty() {
            additions.rooted = Some(Rc::new(move |plan: &mut Plan, root| {
                for (target, text) in &files {
                    plan.then(MountText {
                        root,
                        target: (*target).into(),
                        text: text.clone(),
                    });
                }
            }));
        }
        additions
    }

    fn hosts_text(&self, hostname: &OsStr, lease: Option<&Lease>) -> String {
        let mut text =
            String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        let networks = lease.map_or(&[][..], |lease| &lease.networks);
        if networks.is_empty() {
            text.push_str(&format!("127.0.1.1\t{}\n", hostname.display()));
        }
        for one in networks {
            text.push_str(&format!(
                "{}\t{}\n",
                one.address.address,
                hostname.display()
            ));
        }
        for one in networks {
            text.push_str(&format!(
                "{}\thost.containers.internal host.docker.internal\n",
                one.gateway.address
            ));
        }
        let gateway = networks.first().map(|one| one.gateway.address);
        for HostLine { name, address } in &self.hosts {
            if let Some(address) = address.or(gateway) {
                text.push_str(&format!("{address}\t{name}\n"));
            }
        }
        text
    }

    fn resolv_text(&self) -> String {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let machine = read("/etc/resolv.conf").unwrap_or_default();
        let upstream = read(resolv::UPSTREAM);
        let (found, from) = resolv::for_guest(&self.dns, &machine, upstream.as_deref());
        if from == From::Public {
            let servers: Vec<String> = found.servers.iter().map(IpAddr::to_string).collect();
            say(&format!(
                "note: /etc/resolv.conf of this machine names no server that a container could ask: it gets {} (--dns chooses others)\n",
                servers.join(" and ")
            ));
        }
        found.text()
    }
}

/// What was asked for by an option, as it was kept.
pub(super) fn said<T: argh::FromArgValue>(facts: &Map<String>, key: &str) -> Result<Vec<T>> {
    let text = facts.value(key).map_or("", String::as_str);
    let bad = |why| Error::new("cannot understand").on(key).because(why);
    text.lines()
        .map(|line| T::from_arg_value(line).map_err(bad))
        .collect()
}

/// Takes back what containers left whose monitors are gone.
pub(super) fn clear_leases() -> Result<()> {
    match geteuid().is_root() && Path::new(LEASES).exists() {
        true => isobox::net::lease::clear(Path::new(LEASES)).map(drop),
        false => Ok(()),
    }
}

/// What a container has of the machine's network.
pub(super) fn lease(name: &str) -> Option<Lease> {
    isobox::net::lease::find(Path::new(LEASES), name)
}

/// Where leases are kept: below /run, so that none outlives the boot.
const LEASES: &str = "/run/isobox/network";

fn wire(lease: &Lease) -> Wire {
    Wire {
        host: End {
            link: lease.link.clone(),
            addresses: Vec::new(),
        },
        guest: End {
            link: "eth0".into(),
            addresses: lease.addresses().collect(),
        },
        place: Place::Program,
        bridge: Some(End {
            link: lease.bridge.clone(),
            addresses: lease.gateways().collect(),
        }),
        gateways: lease.gateways().map(|one| one.address).collect(),
        mtu: None,
        mac: None,
        dns: Vec::new(),
        rate: None,
        replace: false,
        nat: false,
        published: Vec::new(),
    }
}
