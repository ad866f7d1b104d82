//! Who is asked for names (resolv.conf(5)), and what of it is of use in another network namespace.
//!
//! A name server at a loopback address, as systemd-resolved and dnsmasq put it there, answers only where it runs: in
//! a namespace of its own a guest would ask itself.

use std::net::{IpAddr, Ipv4Addr};

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolv {
    /// The name servers, in order.
    pub servers: Vec<IpAddr>,
    /// The lines about search domains and options, as they stand.
    pub others: Vec<String>,
}

/// Where systemd-resolved writes down whom it asks itself.
pub const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Name servers for those who have none: of two companies, so that one may fail.
pub const PUBLIC: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
];

impl Resolv {
    /// Reads one; what is not understood says nothing.
    pub fn parse(text: &str) -> Self {
        let mut this = Self::default();
        for line in text.lines().map(str::trim) {
            let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            match word {
                // The zone of a link-local address is of use nowhere else.
                "nameserver" => this.servers.extend(rest.trim().parse::<IpAddr>().ok()),
                "search" | "domain" | "options" | "sortlist" => this.others.push(line.into()),
                _ => {}
            }
        }
        this
    }

    /// The same without those that answer only in the namespace that the file is of.
    #[must_use]
    pub fn reachable(mut self) -> Self {
        self.servers.retain(|server| !is_of_one_namespace(*server));
        self
    }

    /// As a file.
    pub fn text(&self) -> String {
        let servers = self
            .servers
            .iter()
            .map(|server| format!("nameserver {server}\n"));
        let others = self.others.iter().map(|line| format!("{line}\n"));
        servers.chain(others).collect()
    }
}

/// Whether an address means something else in every namespace.
pub fn is_of_one_namespace(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_unspecified(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.segments()[0] & 0xffc0 == 0xfe80
        }
    }
}

/// Where the lines of a guest's resolv.conf come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// They were asked for.
    Asked,
    /// The file of the machine.
    Machine,
    /// The file that systemd-resolved keeps of those it asks.
    Upstream,
    /// There was nothing of use.
    Public,
}

/// What a guest's resolv.conf is to say. `machine` is the text of /etc/resolv.conf, `upstream` that of [`UPSTREAM`]
/// where there is one.
pub fn for_guest(asked: &[IpAddr], machine: &str, upstream: Option<&str>) -> (Resolv, From) {
    let machine = Resolv::parse(machine);
    let others = machine.others.clone();
    let with = |servers: Vec<IpAddr>| Resolv {
        servers,
        others: others.clone(),
    };
    if !asked.is_empty() {
        return (with(asked.to_vec()), From::Asked);
    }
    let reachable = machine.reachable();
    if !reachable.servers.is_empty() {
        return (reachable, From::Machine);
    }
    let upstream = upstream.map(Resolv::parse).unwrap_or_default().reachable();
    if !upstream.servers.is_empty() {
        return (upstream, From::Upstream);
    }
    (with(PUBLIC.to_vec()), From::Public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let text = "# comment\nnameserver 127.0.0.53\n nameserver\t10.0.0.1 \nnameserver fe80::1%eth0\nnameserver ::1\n\
            nameserver 2001:db8::1\nsearch a b\noptions ndots:2\nnonsense\nnameserver\n";
        let all = Resolv::parse(text);
        assert_eq!(all.servers.len(), 4);
        assert_eq!(all.others, ["search a b", "options ndots:2"]);
        assert_eq!(
            all.reachable().text(),
            "nameserver 10.0.0.1\nnameserver 2001:db8::1\nsearch a b\noptions ndots:2\n"
        );
    }

    #[test]
    fn a_guest_gets_what_works() {
        let stub = "nameserver 127.0.0.53\noptions edns0\nsearch lan\n";
        let upstream = "nameserver 192.168.1.1\nsearch lan\n";
        let real = "nameserver 10.1.1.1\nnameserver 127.0.0.1\n";
        let asked: Vec<IpAddr> = vec!["9.9.9.9".parse().unwrap()];
        type Case<'a> = (&'a [IpAddr], &'a str, Option<&'a str>, &'a str, From);
        let cases: [Case<'_>; 6] = [
            (
                &asked,
                stub,
                Some(upstream),
                "nameserver 9.9.9.9\noptions edns0\nsearch lan\n",
                From::Asked,
            ),
            (
                &[],
                real,
                Some(upstream),
                "nameserver 10.1.1.1\n",
                From::Machine,
            ),
            (
                &[],
                stub,
                Some(upstream),
                "nameserver 192.168.1.1\nsearch lan\n",
                From::Upstream,
            ),
            (
                &[],
                stub,
                None,
                "nameserver 1.1.1.1\nnameserver 8.8.8.8\noptions edns0\nsearch lan\n",
                From::Public,
            ),
            (
                &[],
                stub,
                Some(stub),
                "nameserver 1.1.1.1\nnameserver 8.8.8.8\noptions edns0\nsearch lan\n",
                From::Public,
            ),
            (
                &[],
                "",
                None,
                "nameserver 1.1.1.1\nnameserver 8.8.8.8\n",
                From::Public,
            ),
        ];
        for (asked, machine, upstream, want, from) in cases {
            let (resolv, source) = for_guest(asked, machine, upstream);
            assert_eq!((resolv.text().as_str(), source), (want, from));
        }
    }
}
