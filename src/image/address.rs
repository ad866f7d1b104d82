//! Addresses on the network, read strictly: what a stranger wrote into a `Location` or a `realm` must mean the same to us
//! and to whoever connects.
//!
//! The [`Origin`] of an address (scheme, host, port) is what secrets are bound to.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::reference::{is_host, split_port};
use crate::error::{Error, Result};

/// Scheme, host and port: what may see a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The host in lower case; an IPv6 address in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An address: an origin, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub origin: Origin,
    /// Path and query, beginning with a slash.
    pub target: String,
}

impl Origin {
    /// The origin of `host[:port]`, with the scheme's own port where none is named.
    ///
    /// # Errors
    /// Where that is no host and port.
    pub fn new(tls: bool, authority: &str) -> Result<Self> {
        let lower = authority.to_ascii_lowercase();
        let (host, port) = split_port(&lower);
        let port = match port {
            None if tls => Some(443),
            None => Some(80),
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0)
            }
            Some(_) => None,
        };
        match port {
            Some(port) if is_host(host) && !is_odd_number(host) => Ok(Self {
                tls,
                host: host.to_owned(),
                port,
            }),
            _ => Err(bad(authority, "it names no host that is spelled as usual")),
        }
    }

    /// The address of `target` here.
    pub fn at(&self, target: impl Into<String>) -> Address {
        Address {
            origin: self.clone(),
            target: target.into(),
        }
    }

    /// `host:port`, without the port where it is the scheme's own.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// What network the host lies in, as far as its spelling tells.
    pub fn nearness(&self) -> Nearness {
        if let Ok(ip) = self.host.parse::<Ipv4Addr>() {
            return of_v4(ip);
        }
        let inner = self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Some(Ok(ip)) = inner.map(str::parse::<Ipv6Addr>) {
            return of_v6(ip);
        }
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            return Nearness::Loopback;
        }
        Nearness::Elsewhere
    }
}

/// How near a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearness {
    /// This machine.
    Loopback,
    /// An address of a private network or of one link.
    Private,
    /// Anything else, names among it.
    Elsewhere,
}

fn of_v4(ip: Ipv4Addr) -> Nearness {
    // 100.64.0.0/10 is shared between a provider and its customers (RFC 6598).
    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    match ip {
        _ if ip.is_loopback() => Nearness::Loopback,
        _ if ip.is_private() || ip.is_link_local() || ip.is_unspecified() || shared => {
            Nearness::Private
        }
        _ => Nearness::Elsewhere,
    }
}

fn of_v6(ip: Ipv6Addr) -> Nearness {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return of_v4(v4);
    }
    match ip {
        _ if ip.is_loopback() => Nearness::Loopback,
        _ if ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified() => {
            Nearness::Private
        }
        _ => Nearness::Elsewhere,
    }
}

/// A host whose last label is a number is an IPv4 address to somebody; only the usual spelling of one passes.
fn is_odd_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    (numeric || last.starts_with("0x")) && host.parse::<Ipv4Addr>().is_err()
}

impl Address {
    /// Reads an absolute address: `http` or `https`, a host, no user, visible ASCII only.
    ///
    /// # Errors
    /// For every other.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let (tls, rest) = if lower.starts_with("https://") {
            (true, text.get(8..))
        } else if lower.starts_with("http://") {
            (false, text.get(7..))
        } else {
            return Err(bad(text, "it is neither http nor https"));
        };
        let rest = rest.unwrap_or_default();
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("of a server", "it has a user in it"));
        }
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        Ok(Self {
            origin: Origin::new(tls, authority)?,
            target: checked(&target)?,
        })
    }

    /// Where a `Location` leads that was found here.
    ///
    /// # Errors
    /// Where it is no address of this kind.
    pub fn join(&self, location: &str) -> Result<Self> {
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.origin.tls { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        if location.starts_with('/') {
            return Ok(self.origin.at(checked(location)?));
        }
        if has_scheme(location) {
            return Self::parse(location);
        }
        let path = self.target.split(['?', '#']).next().unwrap_or_default();
        let target = match location.starts_with('?') {
            true => format!("{path}{location}"),
            false => format!(
                "{}{location}",
                path.get(..=path.rfind('/').unwrap_or(0)).unwrap_or("/")
            ),
        };
        Ok(self.origin.at(checked(&target)?))
    }

    /// The address without its query, which may hold somebody's signature: for people.
    pub fn without_query(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{}{path}", self.origin)
    }
}

/// Whether it begins with `letters:`, before any slash or query.
fn has_scheme(text: &str) -> bool {
    let colon = text.find(':');
    colon.is_some_and(|at| text.find(['/', '?', '#']).is_none_or(|other| at < other))
}

/// Path and query, without the fragment.
fn checked(target: &str) -> Result<String> {
    let target = target.split('#').next().unwrap_or_default();
    if target.len() > 16 * 1024
        || !target.bytes().all(|b| b.is_ascii_graphic())
        || target.contains('\\')
    {
        return Err(bad(
            "of a server",
            "it is too long, or has characters that addresses have not",
        ));
    }
    Ok(target.to_owned())
}

fn bad(text: &str, why: &'static str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(format!("cannot use the address {shown}")).because(why)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let good = [
            ("https://a.b/c?d=e#f", "https://a.b/c?d=e"),
            ("HTTPS://A.B:443", "https://a.b/"),
            ("http://[::1]:5000/v2/", "http://[::1]:5000/v2/"),
            ("https://a?x", "https://a/?x"),
            ("http://a:80/", "http://a/"),
            ("http://192.168.0.1:443/", "http://192.168.0.1:443/"),
        ];
        for (text, want) in good {
            assert_eq!(
                Address::parse(text).map(|a| a.to_string()).as_deref(),
                Ok(want),
                "{text}"
            );
        }
        let bad = [
            "",
            "a.b",
            "ftp://a/",
            "file:///etc",
            "javascript:x",
            "//evil/",
            "https://",
            "https:///x",
            "https://user@a/",
            "https://u:p@a/",
            "https://a:0/",
            "https://a:70000/",
            "https://a:/x",
            "https://a b/",
            "https://a/b c",
            "https://a/\r\nX: y",
            "https://a\\@b/",
            "https://xn--..a/",
            "https://1.2.3/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://127.1/",
            "https://0177.0.0.1/",
            "https://a。b/",
            "https://[::ffff/",
            "https://a./",
            "https://[fe80::1%25eth0]/",
            "https://a/é",
        ];
        for text in bad {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let base = Address::parse("https://a.b:8443/v2/x/blobs/y?z=1").unwrap();
        let cases = [
            ("/p?q", Some("https://a.b:8443/p?q")),
            ("//c.d/p", Some("https://c.d/p")),
            ("http://c.d", Some("http://c.d/")),
            ("sibling", Some("https://a.b:8443/v2/x/blobs/sibling")),
            (
                "?only=query",
                Some("https://a.b:8443/v2/x/blobs/y?only=query"),
            ),
            ("sha256:abc", None),
            ("javascript:alert(1)", None),
            ("file:///etc/passwd", None),
            ("/a\r\nHost: x", None),
            ("//u@evil/", None),
        ];
        for (location, want) in cases {
            let got = base.join(location).ok().map(|a| a.to_string());
            assert_eq!(got.as_deref(), want, "{location}");
        }
    }

    #[test]
    fn near_hosts_are_recognised() {
        let cases = [
            ("localhost", Nearness::Loopback),
            ("x.localhost", Nearness::Loopback),
            ("127.9.9.9", Nearness::Loopback),
            ("[::1]", Nearness::Loopback),
            ("[::ffff:127.0.0.1]", Nearness::Loopback),
            ("[::ffff:169.254.169.254]", Nearness::Private),
            ("169.254.169.254", Nearness::Private),
            ("10.0.0.1", Nearness::Private),
            ("100.64.0.1", Nearness::Private),
            ("0.0.0.0", Nearness::Private),
            ("[fd00::1]", Nearness::Private),
            ("8.8.8.8", Nearness::Elsewhere),
            ("localhost.evil.com", Nearness::Elsewhere),
            ("127.0.0.1.evil.com", Nearness::Elsewhere),
        ];
        for (host, want) in cases {
            assert_eq!(Origin::new(true, host).unwrap().nearness(), want, "{host}");
        }
    }
}
