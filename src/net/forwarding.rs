//! The settings that let packets pass through this machine, below `/proc/sys/net` (ip-sysctl.rst).
//!
//! Turning one on changes others with it: the kernel takes the machine for a router from then on. What they were is
//! written down before (`nat/table.rs` keeps it in the ruleset), so that all of it can be put back.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::{Doing, Error, Result};
use crate::order;
use crate::proc_write;

/// A setting and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Was {
    /// Below `/proc/sys`: `net/ipv4/ip_forward`.
    pub path: String,
    /// What it said.
    pub value: String,
}

impl Was {
    /// As text, and back.
    pub fn record(&self) -> String {
        format!("was {}={}", self.path, self.value)
    }

    /// Reads what [`Was::record`] wrote.
    pub fn of_record(record: &str) -> Option<Self> {
        let (path, value) = record.strip_prefix("was net/")?.rsplit_once('=')?;
        Some(Self {
            path: format!("net/{path}"),
            value: value.into(),
        })
    }

    /// As sysctl(8) names it.
    pub fn name(&self) -> String {
        self.path.replace('/', ".")
    }

    /// Whether it is what was turned on, and not something that changed with it.
    pub fn is_switch(&self) -> bool {
        self.path == IPV4 || self.path == IPV6 || self.path.ends_with("/route_localnet")
    }

    /// Whether it is about this family of addresses.
    pub fn is_about(&self, ipv4: bool) -> bool {
        self.path.starts_with("net/ipv4/") == ipv4
    }

    /// Puts it back. One of an interface that is gone has gone with it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn restore(&self) -> Result<()> {
        match write(&self.path, &self.value) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }
}

/// A setting to be turned on, and all that will change with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The setting itself, first, and what the kernel changes with it.
    pub was: Vec<Was>,
    /// Why.
    pub why: &'static str,
}

impl Switch {
    /// Turns it on.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn turn_on(&self) -> Result<()> {
        match self.was.first() {
            Some(first) => write(&first.path, "1"),
            None => Ok(()),
        }
    }

    /// What to tell about it.
    pub fn note(&self) -> String {
        let name = self.was.first().map(Was::name).unwrap_or_default();
        format!("{name} was 0 and is 1 now, {}", self.why)
    }
}

/// What has to be turned on so that packets of a family pass; nothing where they do.
///
/// # Errors
/// Where the setting cannot be read: a kernel without the family.
pub fn for_family(ipv4: bool) -> Result<Option<Switch>> {
    let (path, conf, why) = if ipv4 {
        (IPV4, "net/ipv4/conf", "so that packets pass through")
    } else {
        (
            IPV6,
            "net/ipv6/conf",
            "so that packets pass through (and router advertisements are not heard where accept_ra is 1)",
        )
    };
    let value = read(path)?;
    if value != "0" {
        return Ok(None);
    }
    let mut was = vec![of(path, value)];
    // Turning it on and off sets `forwarding` of every interface, and IPv4's `accept_redirects` of all.
    if ipv4 {
        let path = "net/ipv4/conf/all/accept_redirects";
        was.push(of(path, read(path)?));
    }
    for interface in interfaces(conf) {
        let path = format!("{conf}/{interface}/forwarding");
        if interface != "all" && read(&path).is_ok_and(|value| value == "1") {
            was.push(of(&path, "1".into()));
        }
    }
    Ok(Some(Switch { was, why }))
}

/// What has to be turned on so that 127.0.0.1 of this machine leads to `guest`: `route_localnet` of the interface
/// behind which it is. Nothing where it is on, or where the guest is on no network of ours.
pub fn for_loopback(guest: IpAddr) -> Option<Switch> {
    let IpAddr::V4(guest) = guest else {
        return None;
    };
    let path = format!("net/ipv4/conf/{}/route_localnet", interface_to(guest)?);
    let value = read(&path).ok().filter(|value| value == "0")?;
    Some(Switch {
        was: vec![of(&path, value)],
        why: "so that 127.0.0.1 leads there too (from outside it stays out of reach)",
    })
}

const IPV4: &str = "net/ipv4/ip_forward";
const IPV6: &str = "net/ipv6/conf/all/forwarding";

/// Whether packets of a family pass through this network namespace.
pub fn is_on(ipv4: bool) -> bool {
    read(if ipv4 { IPV4 } else { IPV6 }).is_ok_and(|value| value != "0")
}

/// What sysctl(8) calls the setting.
pub fn name(ipv4: bool) -> String {
    if ipv4 { IPV4 } else { IPV6 }.replace('/', ".")
}

fn of(path: &str, value: String) -> Was {
    Was {
        path: path.into(),
        value,
    }
}

fn interfaces(conf: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/sys/{conf}")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    order::sort(&mut names);
    names
}

/// The value of a setting, without its newline.
///
/// # Errors
/// The kernel's answer.
pub fn read(path: &str) -> Result<String> {
    let shown = || format!("/proc/sys/{path}");
    let file = proc_write::open(&format!("sys/{path}"), OFlag::O_RDONLY);
    let file = file.doing_to("cannot open", shown())?;
    let mut buffer = [0; 128];
    let length = nix::unistd::read(&file, &mut buffer).doing_to("cannot read", shown())?;
    let text = buffer.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).trim_end().to_owned())
}

fn write(path: &str, value: &str) -> Result<()> {
    let name = format!("sys/{path}");
    proc_write::write(&name, value.as_bytes()).map_err(|errno| {
        let error = Error::new("cannot write")
            .on(format!("/proc/{name}"))
            .errno_is(errno);
        match errno {
            Errno::EROFS | Errno::EXDEV => error.hint(
                "/proc/sys is read-only here, or something is mounted over it: whoever runs the outer container has to set it",
            ),
            _ => error,
        }
    })
}

/// The interface behind which an address is directly reachable, by the kernel's own table (`/proc/net/route`).
pub fn interface_to(address: Ipv4Addr) -> Option<String> {
    let file = proc_write::open("self/net/route", OFlag::O_RDONLY).ok()?;
    let text = std::io::read_to_string(fs::File::from(file)).ok()?;
    nearest(&text, address)
}

fn nearest(table: &str, address: Ipv4Addr) -> Option<String> {
    let address = u32::from(address);
    // The table has the addresses as the kernel keeps them: in network order, read as a number of the machine.
    let number = |field: &str| Some(u32::from_be(u32::from_str_radix(field, 16).ok()?));
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [interface, destination, gateway, .., mask, _, _, _] = fields[..] else {
                return None;
            };
            let (destination, mask) = (number(destination)?, number(mask)?);
            let direct = number(gateway)? == 0 && mask != 0;
            (direct && address & mask == destination).then_some((mask, interface))
        })
        .max_by_key(|(mask, _)| *mask)
        .map(|(_, interface)| interface.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back() {
        for (path, value) in [
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv4/conf/a=b/route_localnet", "0"),
        ] {
            let was = of(path, value.into());
            assert_eq!(Was::of_record(&was.record()), Some(was));
        }
        for bad in [
            "",
            "was",
            "was kernel/core_pattern=x",
            "net/a=1",
            "was net/a",
        ] {
            assert_eq!(Was::of_record(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_nearest_network_counts() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            br0\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            br1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        let of = |address: [u8; 4]| nearest(table, address.into());
        assert_eq!(of([10, 9, 0, 2]).as_deref(), Some("br0"));
        assert_eq!(of([10, 8, 0, 2]).as_deref(), Some("br1"));
        assert_eq!(of([8, 8, 8, 8]), None);
        assert_eq!(nearest("", Ipv4Addr::LOCALHOST), None);
    }
}
