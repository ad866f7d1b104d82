//! Proxies, as curl and Go read `http_proxy`, `https_proxy` and `no_proxy`.

use std::net::IpAddr;

use crate::image::address::{Nearness, Origin};

/// Which proxy is asked for what.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    except: Vec<String>,
}

impl Proxies {
    /// Reads the values of the three variables. A program that a web server started does not get its `HTTP_PROXY` from the
    /// administrator but from the request (CVE-2016-5385), so whoever calls leaves it out where `REQUEST_METHOD` is set.
    pub fn new(http: Option<String>, https: Option<String>, no_proxy: Option<&str>) -> Self {
        let full = |proxy: String| match proxy.contains("://") {
            true => proxy,
            false => format!("http://{proxy}"),
        };
        let given = |proxy: Option<String>| proxy.filter(|proxy| !proxy.is_empty()).map(full);
        let except = no_proxy
            .unwrap_or_default()
            .split(',')
            .map(|one| one.trim().to_ascii_lowercase());
        Self {
            http: given(http),
            https: given(https),
            except: except.filter(|one| !one.is_empty()).collect(),
        }
    }

    /// The proxy for http, if any.
    pub fn http(&self) -> Option<&str> {
        self.http.as_deref()
    }

    /// The proxy for https, if any.
    pub fn https(&self) -> Option<&str> {
        self.https.as_deref()
    }

    /// The proxy to reach this origin by, if it is not reached directly. This machine always is.
    pub fn for_origin(&self, origin: &Origin) -> Option<&str> {
        let proxy = if origin.tls {
            self.https()
        } else {
            self.http()
        };
        let direct = origin.nearness() == Nearness::Loopback
            || self.except.iter().any(|one| excepts(one, origin));
        proxy.filter(|_| !direct)
    }
}

/// Whether one entry of `no_proxy` names the origin: `*`, a domain with or without a dot before it, an address, a
/// network, each with a port or without.
fn excepts(entry: &str, origin: &Origin) -> bool {
    if entry == "*" {
        return true;
    }
    let host = origin.host.trim_matches(['[', ']']);
    if let (Some((network, bits)), Ok(ip)) = (entry.split_once('/'), host.parse::<IpAddr>()) {
        return in_network(ip, network, bits);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, port.parse::<u16>().ok())
        }
        _ => (entry, None),
    };
    if port.is_some_and(|port| port != origin.port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches("*.");
    let domain = name.trim_start_matches('.');
    let below = host
        .strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'));
    below || (host == domain && !name.starts_with('.'))
}

fn in_network(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_curl_and_go_do() {
        let cases = [
            ("", "a.b", false),
            ("*", "a.b", true),
            ("a.b", "a.b", true),
            ("a.b", "x.a.b", true),
            ("a.b", "xa.b", false),
            (".a.b", "a.b", false),
            (".a.b", "x.a.b", true),
            ("*.a.b", "x.a.b", true),
            ("c, A.B", "a.b", true),
            ("a.b:443", "a.b", true),
            ("a.b:5000", "a.b", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("fd00::/8", "[fd12::1]", true),
            ("fd12::1", "[fd12::1]", true),
            ("10.0.0.0/99", "10.0.0.1", false),
            ("", "localhost", true),
            ("", "127.0.0.1", true),
        ];
        for (except, host, direct) in cases {
            let proxies = Proxies::new(None, Some("proxy:3128".into()), Some(except));
            let origin = Origin::new(true, host).unwrap();
            let want = (!direct).then_some("http://proxy:3128");
            assert_eq!(proxies.for_origin(&origin), want, "{except} {host}");
        }
        let none = Proxies::new(Some(String::new()), None, None);
        assert_eq!(none.for_origin(&Origin::new(false, "a.b").unwrap()), None);
    }
}
