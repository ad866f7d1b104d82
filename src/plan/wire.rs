//! From a wire as asked for to steps: a pair of links, what its ends are given, and what leads on from there.
//!
//! ```text
//! open the namespace                    it means the same one from here on
//! bridge: made, address, up             where the near end goes into one
//! the pair                              the far end straight in its namespace
//! both: rate                            each limits what it sends
//! translation, names                    where asked for
//! the old wire goes, the new one gets its names            where it replaces one
//! near end: no IPv6 unasked, address, up
//! far end: address, up; lo up; way out
//! ```
//!
//! `veth` asks for it, and `container run --network bridge`.

use std::ffi::OsString;
use std::net::IpAddr;

use super::steps::addresses::{BringUp, DefaultRoute, GiveAddress, SwitchIpv6};
use super::steps::bridges::MakeBridge;
use super::steps::links::{OpenNetwork, Place, Where};
use super::steps::nat::AddNat;
use super::steps::pairs::{MakePair, RemovePair, RenameLink, Successor, mark};
use super::steps::resolver::NameServers;
use super::steps::shaping::LimitRate;
use super::{Plan, Slot, Step};
use crate::error::{Error, Result};
use crate::net::address::Cidr;
use crate::net::name;
use crate::net::nat::{Entry, Port, subnet};
use crate::net::shaping::Rate;
use crate::net::veth::{Mac, Pair, near_name};

/// One end: a link and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The name of the link.
    pub link: String,
    /// Its addresses.
    pub addresses: Vec<Cidr>,
}

impl std::str::FromStr for End {
    type Err = Error;

    /// `NAME`, `NAME@CIDR`, `NAME@CIDR,CIDR`.
    fn from_str(text: &str) -> Result<Self> {
        let (link, addresses) = text
            .split_once('@')
            .map_or((text, None), |(link, list)| (link, Some(list)));
        name::check(link)?;
        let mut all = Vec::new();
        for one in addresses.into_iter().flat_map(|list| list.split(',')) {
            all.push(usable(one)?);
        }
        Ok(Self {
            link: link.into(),
            addresses: all,
        })
    }
}

/// An address that a link may have.
fn usable(text: &str) -> Result<Cidr> {
    let cidr: Cidr = text.parse()?;
    let wrong =
        |why: &'static str| Err(Error::new(format!("{cidr} is no address of a link")).because(why));
    if !text.contains('/') {
        let hint = format!("write {text}/24 for the network of the addresses around it");
        return Err(Error::new(format!("'{text}' has no prefix length")).hint(hint));
    }
    match cidr.address {
        address if address.is_unspecified() => wrong("it stands for none"),
        address if address.is_multicast() => wrong("it stands for several"),
        address if address.is_loopback() => wrong("it never leaves a namespace"),
        IpAddr::V4(address) if !cidr.is_single() && cidr.prefix < 31 => {
            if cidr.network().address == address {
                return wrong("it is the network itself: the bits of the host are all 0");
            }
            if cidr.last() == address {
                return wrong(
                    "it reaches everybody in its network: the bits of the host are all 1",
                );
            }
            Ok(cidr)
        }
        _ => Ok(cidr),
    }
}

/// A wire between this network namespace and another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The end here. In a bridge it has no address.
    pub host: End,
    /// The end there.
    pub guest: End,
    /// Which namespace the far end is in.
    pub place: Place,
    /// The bridge that the near end goes into.
    pub bridge: Option<End>,
    /// The way out of the other namespace, of each family.
    pub gateways: Vec<IpAddr>,
    /// The largest packet.
    pub mtu: Option<u32>,
    /// The hardware address of the far end.
    pub mac: Option<Mac>,
    /// The name servers of the other namespace.
    pub dns: Vec<IpAddr>,
    /// How fast each end may send.
    pub rate: Option<Rate>,
    /// Whether what comes from the far end's networks gets an address of ours on its way out.
    pub nat: bool,
    /// Ports of ours that lead to the far end.
    pub published: Vec<Port>,
    /// Whether a pair whose near end has this name is removed first.
    pub replace: bool,
}

/// When the steps of a wire happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// For good, by the process on its way to the program.
    Then,
    /// As long as the program lives.
    During,
    /// For good, by the process that stays outside.
    Outside,
}

impl Wire {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Says what, and mostly what would.
    pub fn check(&self) -> Result<()> {
        if self.bridge.is_some() && !self.host.addresses.is_empty() {
            let host = &self.host.link;
            return Err(
                Error::new(format!("{host} is in a bridge and can have no address"))
                    .hint("the bridge has it for all of its links: -b NAME@ADDRESS"),
            );
        }
        if self.mtu.is_some_and(|mtu| !(68..=65_535).contains(&mtu)) {
            return Err(Error::new("a packet has from 68 to 65535 bytes"));
        }
        for gateway in &self.gateways {
            self.check_gateway(*gateway)?;
        }
        let hint = "give the far end an address: NAME@ADDRESS/LENGTH";
        if self.nat && self.guest.addresses.is_empty() {
            let text = "there is no network whose addresses could be translated";
            return Err(Error::new(text).hint(hint));
        }
        for port in &self.published {
            let guests = &self.guest.addresses;
            if !guests.iter().any(|cidr| port.to(cidr.address).is_some()) {
                let text = format!("the far end has no address for port {}", port.here);
                return Err(Error::new(text).hint(hint));
            }
        }
        for cidr in &self.guest.addresses {
            let near = self.bridge.as_ref().unwrap_or(&self.host);
            if near.addresses.iter().any(|own| own.address == cidr.address) {
                let text = format!("both ends would have the address {}", cidr.address);
                return Err(Error::new(text));
            }
        }
        Ok(())
    }

    fn check_gateway(&self, gateway: IpAddr) -> Result<()> {
        let all = &self.guest.addresses;
        if all.iter().any(|cidr| cidr.address == gateway) {
            let text = format!("the gateway {gateway} is the namespace's own address");
            return Err(Error::new(text).hint("it is the address of who passes packets on"));
        }
        if all.iter().any(|cidr| cidr.holds(gateway)) {
            return Ok(());
        }
        let networks: Vec<String> = all.iter().map(|cidr| cidr.network().to_string()).collect();
        let networks = match &networks[..] {
            [] => "the far end has no address".into(),
            networks => format!("the far end is in {}", networks.join(" and ")),
        };
        Err(Error::new(format!("the gateway {gateway} cannot be reached")).because(networks))
    }

    /// What the packet filter has to do: for the networks of the far end, whose addresses need translation to get out,
    /// and for the ports that lead to it.
    fn entries(&self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for cidr in &self.guest.addresses {
            let entry = Entry::Masquerade(subnet(*cidr)?);
            if self.nat && !all.contains(&entry) {
                all.push(entry);
            }
        }
        // Of each family it is reached at its first address.
        for ipv4 in [true, false] {
            let mut all_of = self.guest.addresses.iter();
            if let Some(cidr) = all_of.find(|cidr| cidr.address.is_ipv4() == ipv4) {
                let ports = self.published.iter();
                all.extend(ports.filter_map(|port| port.to(cidr.address).map(Entry::Publish)));
            }
        }
        Ok(all)
    }

    /// Adds the steps to a plan, and gives the slot in which they leave the other namespace.
    ///
    /// # Errors
    /// As [`Wire::check`]; and where name servers are given for a namespace without a name.
    pub fn plan(&self, plan: &mut Plan, when: When) -> Result<Slot> {
        self.check()?;
        let slot = plan.slot();
        let there = || Where::There(slot, self.place.clone());
        let place = self.place.clone();
        add(plan, when, OpenNetwork { place, slot });
        if let Some(bridge) = &self.bridge {
            add(plan, when, MakeBridge::new(bridge.link.clone()));
            if !self.replace {
                equip(plan, when, &Where::Here, bridge);
            }
        }
        // A wire that replaces another is made beside it: what can be refused is refused before the old one goes.
        let beside = |name: &str| match self.replace {
            true => near_name("beside", name),
            false => name.into(),
        };
        let pair = Pair {
            host: beside(&self.host.link),
            guest: beside(&self.guest.link),
            mtu: self.mtu,
            mac: self.mac,
        };
        let names = [pair.host.clone(), pair.guest.clone()];
        if self.replace {
            // What one that was killed meanwhile left.
            add(plan, when, RemovePair::new(pair.host.clone(), false));
        }
        let master = self.bridge.as_ref().map(|bridge| bridge.link.clone());
        let far = (slot, self.place.clone());
        add(plan, when, MakePair::new(pair, far, master));
        if let Some(rate) = self.rate {
            for (side, link) in [Where::Here, there()].into_iter().zip(names.clone()) {
                let rate = Some(rate);
                add(plan, when, LimitRate { side, link, rate });
            }
        }
        let entries = self.entries()?;
        if !entries.is_empty() {
            add(plan, when, AddNat::new(entries));
        }
        if !self.dns.is_empty() {
            let name = self.name_for_dns()?;
            add(plan, when, NameServers::new(name, self.dns.clone()));
        }
        if self.replace {
            self.take_place(plan, when, slot, names);
        }
        equip(plan, when, &Where::Here, &self.host);
        equip(plan, when, &there(), &self.guest);
        add(plan, when, BringUp::new(there(), "lo"));
        for gateway in &self.gateways {
            let route = DefaultRoute {
                side: there(),
                link: self.guest.link.clone(),
                gateway: *gateway,
            };
            add(plan, when, route);
        }
        Ok(slot)
    }

    /// The old wire goes, and the new one gets its names.
    fn take_place(&self, plan: &mut Plan, when: When, slot: Slot, names: [String; 2]) {
        let near = self.bridge.as_ref().unwrap_or(&self.host);
        let mut remove = RemovePair::new(self.host.link.clone(), false);
        remove.successor = Some(Successor {
            there: (slot, self.place.clone()),
            guest: self.guest.link.clone(),
            bridge: self.bridge.as_ref().map(|bridge| bridge.link.clone()),
            host_addresses: near.addresses.clone(),
            guest_addresses: self.guest.addresses.clone(),
            gateways: self.gateways.clone(),
        });
        add(plan, when, remove);
        if let Some(bridge) = &self.bridge {
            equip(plan, when, &Where::Here, bridge);
        }
        let [host, guest] = names;
        let near = RenameLink {
            side: Where::Here,
            from: host,
            to: self.host.link.clone(),
            mark: Some(mark(&self.guest.link, &self.place)),
        };
        add(plan, when, near);
        let far = RenameLink {
            side: Where::There(slot, self.place.clone()),
            from: guest,
            to: self.guest.link.clone(),
            mark: None,
        };
        add(plan, when, far);
    }

    fn name_for_dns(&self) -> Result<OsString> {
        let named = self.place.name().map(OsString::from);
        named.ok_or_else(|| {
            let text = format!("{} has no place for name servers", self.place.shown());
            Error::new(text)
                .because("/etc/netns/NAME/resolv.conf is for a network namespace with a name")
                .hint("a process's own /etc/resolv.conf is in its mount namespace: nsenter -t PID -m; 'ip netns attach NAME PID' gives the namespace a name")
        })
    }
}

/// An end's addresses, and up.
fn equip(plan: &mut Plan, when: When, side: &Where, end: &End) {
    let has_v6 = end.addresses.iter().any(|cidr| cidr.address.is_ipv6());
    // What the other namespace believes is its own affair.
    if *side == Where::Here {
        add(plan, when, SwitchIpv6::new(end.link.clone(), has_v6));
    }
    for cidr in &end.addresses {
        let step = GiveAddress::new(side.clone(), end.link.clone(), *cidr);
        add(plan, when, step);
    }
    add(plan, when, BringUp::new(side.clone(), end.link.clone()));
}

fn add(plan: &mut Plan, when: When, step: impl Step + 'static) {
    match when {
        When::Then => plan.then(step),
        When::During => plan.during(step),
        When::Outside => plan.outside(step),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::netns::Directories;

    fn wire(host: &str, guest: &str, bridge: Option<&str>, gateways: &[&str]) -> Result<Wire> {
        Ok(Wire {
            host: host.parse()?,
            guest: guest.parse()?,
            place: Place::Named {
                text: "77".into(),
                directories: Directories::new(None),
            },
            bridge: bridge.map(str::parse).transpose()?,
            gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
            mtu: None,
            mac: None,
            dns: Vec::new(),
            rate: None,
            nat: false,
            published: Vec::new(),
            replace: false,
        })
    }

    #[test]
    fn ends_are_read() {
        for good in [
            "a",
            "a@10.0.0.1/24",
            "a@10.0.0.1/24,fd00::1/64",
            "a@10.0.0.0/31",
            "a@10.0.0.1/32",
        ] {
            assert!(good.parse::<End>().is_ok(), "{good}");
        }
        let bad = [
            "",
            "@10.0.0.1/24",
            "a@",
            "a@10.0.0.1",
            "a@10.0.0.0/24",
            "a@10.0.0.255/24",
            "a@127.0.0.1/8",
            "a@224.0.0.1/24",
            "a@0.0.0.0/0",
            "a@10.0.0.1/24,",
            "sixteen-bytes-ab@10.0.0.1/24",
        ];
        for bad in bad {
            assert!(bad.parse::<End>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_done() {
        let cases = [
            (
                wire("h@10.0.0.1/24", "g@10.0.0.2/24", None, &["10.0.0.1"]),
                true,
            ),
            (
                wire("h", "g@10.0.0.2/24", Some("br@10.0.0.1/24"), &["10.0.0.1"]),
                true,
            ),
            (
                wire("h@10.0.0.1/24", "g@10.0.0.2/24", Some("br"), &[]),
                false,
            ),
            (wire("h@10.0.0.1/24", "g@10.0.0.1/24", None, &[]), false),
            (
                wire("h@10.0.0.1/24", "g@10.0.0.2/24", None, &["10.0.1.1"]),
                false,
            ),
            (
                wire("h@10.0.0.1/24", "g@10.0.0.2/24", None, &["10.0.0.2"]),
                false,
            ),
            (wire("h@10.0.0.1/24", "g", None, &["10.0.0.1"]), false),
            (
                wire("h@10.0.0.1/24", "g@10.0.0.2/24", None, &["fd00::1"]),
                false,
            ),
        ];
        for (at, (wire, good)) in cases.into_iter().enumerate() {
            assert_eq!(wire.unwrap().check().is_ok(), good, "case {at}");
        }
    }

    #[test]
    fn steps_come_in_order() {
        let mut wire = wire(
            "h",
            "g@10.0.0.2/24,fd00::2/64",
            Some("br@10.0.0.1/24"),
            &["10.0.0.1"],
        )
        .unwrap();
        wire.rate = "1mbit".parse().ok();
        wire.nat = true;
        let mut plan = Plan::effects();
        wire.plan(&mut plan, When::Then).unwrap();
        let told = plan.tell();
        let calls: Vec<&str> = told
            .iter()
            .map(|told| told.what.call.split('(').next().unwrap())
            .collect();
        assert_eq!(
            calls.join(" "),
            "open RTM_NEWLINK write RTM_NEWADDR RTM_NEWLINK RTM_NEWLINK RTM_NEWQDISC RTM_NEWQDISC sendto write \
             RTM_NEWLINK RTM_NEWADDR RTM_NEWADDR RTM_NEWLINK RTM_NEWLINK RTM_NEWROUTE"
        );
        let pair = "ip link add h master br type veth peer name g netns 77";
        let script = plan.script();
        assert!(script.lines().any(|line| line == pair), "{script}");
        wire.dns = vec!["10.0.0.1".parse().unwrap()];
        assert!(wire.plan(&mut Plan::effects(), When::Then).is_err());
    }
}
