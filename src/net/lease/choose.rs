//! Which addresses a container gets: those of the bridge that is there, or of a network that nobody uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::{Ipv6, Lease, Network, Request};
use crate::error::{Doing, Error, Result};
use crate::net::address::{self, Cidr};
use crate::net::link::{self, Link};
use crate::net::nat::{self, Entry};
use crate::net::{Connection, resolv, route, veth};

/// The families of addresses.
const V4: u8 = 2;
const V6: u8 = 10;

/// The networks of a request: one of IPv4, and one of IPv6 where that is asked for.
pub(super) fn networks(request: &Request, bridge: &str, others: &[Lease]) -> Result<Vec<Network>> {
    let mut wanted = vec![(V4, request.address.map(IpAddr::V4))];
    match request.ipv6 {
        Ipv6::Without => {}
        Ipv6::Any => wanted.push((V6, None)),
        Ipv6::Is(address) => wanted.push((V6, Some(address.into()))),
    }
    let known = nat::entries()?;
    let network = |(family, asked): (u8, Option<IpAddr>)| -> Result<Network> {
        let gateway = gateway(bridge, others, family)?;
        let theirs = || others.iter().flat_map(|one| &one.networks);
        let taken: Vec<IpAddr> = theirs().map(|one| one.address.address).collect();
        let address = free_address(gateway, asked, &taken)?;
        let entry = Entry::Masquerade(gateway.network());
        let known = known.iter().any(|line| line.entry == entry);
        let ours = theirs().any(|one| one.translates && one.is_of(gateway));
        Ok(Network {
            gateway,
            address,
            translates: !known || ours,
        })
    };
    wanted.into_iter().map(network).collect()
}

/// Where networks of our own bridges are taken from, by a number. That of IPv6 is local (RFC 4193), and leaves this
/// machine translated only.
fn pool(family: u8, number: u8) -> Cidr {
    match family {
        V4 => Cidr {
            address: Ipv4Addr::new(10, 87, number, 1).into(),
            prefix: 24,
        },
        _ => Cidr {
            address: Ipv6Addr::new(0xfd87, 0x6973, 0x6f62, number.into(), 0, 0, 0, 1).into(),
            prefix: 64,
        },
    }
}

/// The address of the bridge: what it has, what another lease says it will have, or a network that is free.
fn gateway(bridge: &str, others: &[Lease], family: u8) -> Result<Cidr> {
    let mut connection = Connection::open()?;
    match link::named(&mut connection, bridge) {
        Ok(found) => {
            if let Some(known) = of_bridge(&mut connection, &found, family)? {
                return Ok(known);
            }
        }
        Err(refusal) if refusal.is(Errno::ENODEV) => {}
        Err(refusal) => return Err(refusal.doing("cannot find the bridge").on(bridge)),
    }
    let leased = |one: &Lease| {
        one.networks
            .iter()
            .map(|one| one.gateway)
            .collect::<Vec<_>>()
    };
    let same = others.iter().filter(|one| one.bridge == bridge);
    let mut of_others = same.flat_map(leased);
    if let Some(known) = of_others.find(|known| known.address.is_ipv4() == (family == V4)) {
        return Ok(known);
    }
    let addresses = address::all(&mut connection, family).doing("cannot list addresses")?;
    let routes = route::all(&mut connection, family).doing("cannot list routes")?;
    let routes = routes.iter().filter_map(|route| {
        let (address, prefix) = (route.destination()?, route.prefix);
        Some(Cidr { address, prefix })
    });
    let used: Vec<Cidr> = addresses
        .iter()
        .filter_map(address::Address::cidr)
        .chain(routes)
        .chain(others.iter().flat_map(leased))
        .collect();
    let mut free = (0..=u8::MAX).map(|number| pool(family, number));
    let found = free.find(|one| !used.iter().any(|used| used.overlaps(*one)));
    found.ok_or_else(|| {
        Error::new("no network is free for a bridge").hint(format!(
            "give one an address: ip addr add {} dev {bridge}",
            example(family)
        ))
    })
}

/// An address of no network of ours, to show what one looks like.
fn example(family: u8) -> &'static str {
    match family {
        V4 => "10.9.0.1/24",
        _ => "fd00:9::1/64",
    }
}

/// The address of a bridge that is there, of this family; a bridge of ours may have none yet.
fn of_bridge(connection: &mut Connection, found: &Link, family: u8) -> Result<Option<Cidr>> {
    if found.kind().as_deref() != Some("bridge") {
        return Err(Error::new(format!("{} is no bridge", found.name())));
    }
    let addresses = address::all(connection, family).doing("cannot list addresses")?;
    let of_this = addresses.iter().filter(|one| one.link == found.index);
    let mut own = of_this.filter_map(address::Address::cidr);
    match own.find(|cidr| !resolv::is_of_one_namespace(cidr.address)) {
        None if veth::Mark::of(found).is_none() => {
            let (name, kind) = (found.name(), if family == V4 { "IPv4" } else { "IPv6" });
            Err(
                Error::new(format!("the bridge {name} has no {kind} address"))
                    .hint(format!("ip addr add {} dev {name}", example(family))),
            )
        }
        own => Ok(own),
    }
}

/// An address as a number, and back.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address that is asked for, or the first that nobody has.
fn free_address(gateway: Cidr, asked: Option<IpAddr>, taken: &[IpAddr]) -> Result<Cidr> {
    let first = number(gateway.network().address);
    let last = number(gateway.last());
    let free = |one: &IpAddr| *one != gateway.address && !taken.contains(one);
    let cidr = |address| Cidr {
        address,
        prefix: gateway.prefix,
    };
    let network = gateway.network();
    if let Some(asked) = asked {
        let inside = network.holds(asked) && ![first, last].contains(&number(asked));
        return match (inside, free(&asked)) {
            (true, true) => Ok(cidr(asked)),
            (false, _) => Err(Error::new(format!(
                "{asked} is no address of the network {network}"
            ))),
            (true, false) => Err(Error::new(format!("the address {asked} is taken"))),
        };
    }
    let address = |number: u128| match u32::try_from(number) {
        Ok(number) if gateway.address.is_ipv4() => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    };
    (first.saturating_add(1)..last)
        .map(address)
        .find(free)
        .map(cidr)
        .ok_or_else(|| Error::new(format!("no address of {network} is free")))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let gateway = pool(V6, 7);
        let of = |asked: Option<&str>, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|one| one.parse().unwrap()).collect();
            let asked = asked.map(|one| one.parse().unwrap());
            free_address(gateway, asked, &taken)
                .map(|cidr| cidr.to_string())
                .ok()
        };
        let second = "fd87:6973:6f62:7::2";
        assert_eq!(of(None, &[]), Some(format!("{second}/64")));
        assert_eq!(
            of(None, &[second]).as_deref(),
            Some("fd87:6973:6f62:7::3/64")
        );
        assert_eq!(of(Some(second), &[]), Some(format!("{second}/64")));
        for bad in ["fd87:6973:6f62:7::", "fd87:6973:6f62:8::2", "10.87.0.2"] {
            assert_eq!(of(Some(bad), &[]), None, "{bad}");
        }
    }
}
