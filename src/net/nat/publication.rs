//! Published ports: what leads from a port of this machine to one of a guest.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As in a publication.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// `IPPROTO_*`.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// A port of this machine that leads to a port behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// Only at this address of the machine; at all of them without.
    pub at: Option<IpAddr>,
    /// The port here.
    pub port: u16,
    /// Where it leads.
    pub guest: IpAddr,
    /// The port there.
    pub guest_port: u16,
    /// Of what.
    pub protocol: Protocol,
}

impl FromStr for Publication {
    type Err = Error;

    /// `[ADDRESS:]PORT:GUEST:PORT[/udp]`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &'static str| {
            Error::new("invalid publication")
                .on(text)
                .because(why)
                .hint("as in 8080:10.9.0.2:80, 53:10.9.0.2:53/udp, 127.0.0.1:8080:10.9.0.2:80 or 8080:[fd00::2]:80")
        };
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(bad("the protocol is tcp or udp")),
        };
        let parts = fields(ports).ok_or_else(|| bad("a bracket is not closed"))?;
        let (at, here, guest, there) = match parts[..] {
            [here, guest, there] => (None, here, guest, there),
            [at, here, guest, there] => (Some(at), here, guest, there),
            _ => return Err(bad("[ADDRESS:]PORT:GUEST:PORT is expected")),
        };
        let address = |text: &str| text.parse().map_err(|_| bad("no address"));
        let this = Self {
            at: at.map(address).transpose()?,
            port: port(here).ok_or_else(|| bad("a port is a number from 1 to 65535"))?,
            guest: address(guest)?,
            guest_port: port(there).ok_or_else(|| bad("a port is a number from 1 to 65535"))?,
            protocol,
        };
        match this.at {
            Some(at) if at.is_ipv4() != this.guest.is_ipv4() => {
                Err(bad("the two addresses are of different families"))
            }
            _ if this.guest.is_loopback()
                || this.guest.is_unspecified()
                || this.guest.is_multicast() =>
            {
                Err(bad("no packet can be led to this address"))
            }
            _ => Ok(this),
        }
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |address: IpAddr| match address {
            IpAddr::V4(a) => a.to_string(),
            IpAddr::V6(a) => format!("[{a}]"),
        };
        if let Some(at) = self.at {
            write!(f, "{}:", shown(at))?;
        }
        write!(f, "{}:{}:{}", self.port, shown(self.guest), self.guest_port)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

/// The parts between colons that stand in no bracket, without the brackets.
pub fn fields(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        parts.push(part);
        match after.strip_prefix(':') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// A port: a number from 1 to 65535 in digits.
pub fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|port| *port != 0);
    number.filter(|_| digits)
}

/// A port of this machine that is to lead to one of a guest whose address is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Only at this address of the machine.
    pub at: Option<IpAddr>,
    /// The port here.
    pub here: u16,
    /// The port there.
    pub there: u16,
    /// Of what.
    pub protocol: Protocol,
}

impl Port {
    /// The same with the address; `None` where it is of another family than the machine's.
    pub fn to(self, guest: IpAddr) -> Option<Publication> {
        let fits = self.at.is_none_or(|at| at.is_ipv4() == guest.is_ipv4());
        fits.then_some(Publication {
            at: self.at,
            port: self.here,
            guest,
            guest_port: self.there,
            protocol: self.protocol,
        })
    }
}

/// How many ports one word may publish: each is half a dozen rules.
const MOST: usize = 1000;

/// Reads `[ADDRESS:]HOST:GUEST[/udp]`, where both may be ranges of the same length: `8000-8010:80-90`.
///
/// # Errors
/// Says what is wrong with it.
pub fn ports(text: &str) -> Result<Vec<Port>> {
    let bad = |why: &'static str| Error::new(format!("invalid port '{text}'")).because(why);
    let (numbers, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
        Some((numbers, "udp")) => (numbers, Protocol::Udp),
        Some(_) => return Err(bad("the protocol is tcp or udp")),
    };
    let parts = fields(numbers).unwrap_or_default();
    let (at, here, there) = match parts[..] {
        [here, there] => (None, here, there),
        [at, here, there] => (Some(at), here, there),
        _ => return Err(bad("[ADDRESS:]PORT:PORT is expected, this machine's first")),
    };
    let at = at.map(str::parse::<IpAddr>).transpose();
    let at = at.map_err(|_| bad("no address"))?;
    let range = |text| range(text).ok_or_else(|| bad("a port is a number from 1 to 65535"));
    let (here, there) = (range(here)?, range(there)?);
    if here.len() != there.len() || here.is_empty() {
        return Err(bad(
            "a range leads to one of the same length, as 8000-8010:80-90",
        ));
    }
    if here.len() > MOST {
        return Err(bad("these are more than 1000 ports"));
    }
    let all = here.zip(there).map(|(here, there)| Port {
        at,
        here,
        there,
        protocol,
    });
    Ok(all.collect())
}

/// `80`, or `80-90`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(port(first)?..=port(last)?)
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    #[test]
    fn publications_are_read_and_written() {
        for text in [
            "8080:10.9.0.2:80",
            "53:10.9.0.2:53/udp",
            "127.0.0.1:8080:10.9.0.2:80",
            "8080:[fd00::2]:80",
            "[::1]:8080:[fd00::2]:80/udp",
        ] {
            let got: Publication = text.parse().unwrap();
            assert_eq!(got.to_string(), text);
            let entry = Entry::Publish(got);
            assert_eq!(Entry::of_comment(&entry.comment()), Some(entry));
        }
        assert_eq!(
            "80:1.2.3.4:80/tcp".parse::<Publication>().unwrap().protocol,
            Protocol::Tcp
        );
        for bad in [
            "",
            "80",
            "80:80",
            "0:10.9.0.2:80",
            "80:10.9.0.2:65536",
            "80:10.9.0.2:80/sctp",
            "80:fd00::2:80",
            "80:[fd00::2:80",
            "80:[fd00::2]80",
            "127.0.0.1:80:[fd00::2]:80",
            "80:127.0.0.1:80",
            "80:0.0.0.0:80",
            "+80:10.9.0.2:80",
            ":80:10.9.0.2:80",
            "80:10.9.0.2:80:",
            "80:10.9.0.2:80/tcp/udp",
        ] {
            assert!(bad.parse::<Publication>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_are_read() {
        let read = |text: &str| {
            let all = ports(text).ok()?;
            let shown: Vec<String> = all
                .iter()
                .map(|port| format!("{:?} {}:{}", port.at, port.here, port.there))
                .collect();
            Some(shown.join(", "))
        };
        let cases = [
            ("80:8080", Some("None 80:8080")),
            ("80:8080/tcp", Some("None 80:8080")),
            ("[::1]:80:8080/udp", Some("Some(::1) 80:8080")),
            ("80-81:90-91", Some("None 80:90, None 81:91")),
            (
                "127.0.0.1:80-81:90-91",
                Some("Some(127.0.0.1) 80:90, Some(127.0.0.1) 81:91"),
            ),
            ("", None),
            ("80", None),
            ("0:80", None),
            ("80:65536", None),
            ("80-82:90-91", None),
            ("82-80:92-90", None),
            ("80-:90-", None),
            ("1-2000:1-2000", None),
            ("80:80/sctp", None),
            ("x:80:80", None),
        ];
        for (text, want) in cases {
            assert_eq!(read(text).as_deref(), want, "{text}");
        }
        let port = ports("127.0.0.1:80:80").unwrap()[0];
        assert!(port.to("10.0.0.2".parse().unwrap()).is_some());
        assert_eq!(port.to("fd00::2".parse().unwrap()), None);
    }
}
