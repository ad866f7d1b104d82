//! Values of the options of a container's network, as typed.

use std::net::IpAddr;
use std::path::PathBuf;

use isobox::net::lease::Ipv6;
use isobox::net::user;

use crate::cli::gnu;

/// `--network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Network {
    Private,
    None,
    Host,
    Bridge(Option<String>),
    Carrier(user::Kind),
    Path(PathBuf),
    Container(String),
}

impl argh::FromArgValue for Network {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let (word, rest) = match value.find([':', '=']) {
            Some(at) => (value.get(..at).unwrap_or(value), value.get(at + 1..)),
            None => (value, None),
        };
        Ok(match (word, rest) {
            ("private", None) => Self::Private,
            ("none", None) => Self::None,
            ("host", None) => Self::Host,
            ("bridge", None) => Self::Bridge(None),
            ("bridge", Some(name)) => {
                isobox::net::name::check(name).map_err(|error| gnu::bad(error.to_string()))?;
                Self::Bridge(Some(name.into()))
            }
            ("ns", Some(path)) if path.starts_with('/') => {
                Self::Path(crate::cli::raw::decode(path).into())
            }
            ("ns", Some(_)) => return Err(gnu::bad("ns: an absolute path is expected")),
            ("container", Some(id)) if !id.is_empty() => Self::Container(id.into()),
            _ => match user::Kind::named(value) {
                Some(kind) => Self::Carrier(kind),
                None => {
                    return Err(gnu::bad(format!(
                        "unknown network '{value}': private, none, host, bridge[=NAME], pasta, slirp4netns, ns:PATH or container:ID"
                    )));
                }
            },
        })
    }
}

/// `--ip6`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Ip6(pub(in super::super) Ipv6);

impl argh::FromArgValue for Ip6 {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match (value, value.parse()) {
            ("auto", _) => Ok(Self(Ipv6::Any)),
            (_, Ok(address)) => Ok(Self(Ipv6::Is(address))),
            _ => Err(gnu::bad(format!(
                "'{value}' is no IPv6 address; auto takes one that is free"
            ))),
        }
    }
}

/// `--add-host NAME:ADDRESS`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct HostLine {
    pub(in super::super) name: String,
    /// The gateway, where none is given.
    pub(in super::super) address: Option<IpAddr>,
}

impl argh::FromArgValue for HostLine {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        let bad = |why: &str| gnu::bad(format!("invalid host '{value}': {why}"));
        let at = value
            .find([':', '='])
            .ok_or_else(|| bad("NAME:ADDRESS is expected"))?;
        let (name, address) = (
            value.get(..at).unwrap_or(""),
            value.get(at + 1..).unwrap_or(""),
        );
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(bad("a name has letters, digits, - and dots"));
        }
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address = match address {
            "host-gateway" => None,
            address => Some(address.parse().map_err(|_| bad("no address"))?),
        };
        Ok(Self {
            name: name.into(),
            address,
        })
    }
}
