//! Links and address translation in a network namespace of one's own, and what the machine's settings mean for guests.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};

use super::{Places, Report, State};
use crate::apart::{enter, perform};
use crate::error::{Doing, Result};
use crate::net::link::{self, Draft};
use crate::net::resolv::{From, UPSTREAM, for_guest};
use crate::net::user::{self, Kind};
use crate::net::veth::make_bridge;
use crate::net::{Connection, nat};
use crate::plan::steps::net::LoopbackUp;
use crate::probe;
use crate::sys::tun::set_link;

pub(super) fn look(report: &mut Report, places: &Places) {
    let made = report.apart(&mut |inner| {
        enter(CloneFlags::CLONE_NEWNET)?;
        links(inner)
    });
    if made.is_err() {
        report.tried(State::Fail, "links", "", made.err());
    }
    if !probe::is_admin() {
        let carrier = user::find(&[Kind::Pasta, Kind::Slirp], &places.path);
        let found = carrier
            .as_ref()
            .map_or("", |(kind, _)| kind.name())
            .to_owned();
        report.tried(
            State::Warn,
            "way out for ordinary users",
            &found,
            carrier.err(),
        );
    }
    settings(report);
    resolver(report);
}

/// Makes one of each kind, in a namespace of our own.
fn links(report: &mut Report) -> Result<()> {
    let lo = perform(LoopbackUp);
    report.tried(State::Fail, "lo", "can be brought up", lo.err());
    let mut connection = Connection::open()?;
    let pair = Draft::named("near").paired_with(Draft::named("far"));
    let veth = link::add(&mut connection, pair);
    let veth = veth.doing("cannot make a pair of veth links");
    report.tried(
        State::Fail,
        "veth",
        "can be made",
        missing(veth, "modprobe veth").err(),
    );
    let bridge = make_bridge(&mut connection, "bridge0").map(drop);
    let bridge = bridge.doing("cannot make a bridge");
    report.tried(
        State::Fail,
        "bridge",
        "can be made",
        missing(bridge, "modprobe bridge").err(),
    );
    let tables = nat::entries();
    report.tried(State::Warn, "nf_tables", "answers", tables.err());
    let device = "/dev/net/tun";
    let tun = open(device, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(|tun| {
            set_link(
                tun.as_fd(),
                b"",
                (libc::IFF_TUN | libc::IFF_NO_PI).try_into().unwrap_or(1),
            )
        })
        .doing_to("cannot make a tun link with", device);
    report.tried(
        State::Warn,
        "tun",
        "can be made",
        missing(tun, "modprobe tun; in a container: --device /dev/net/tun").err(),
    );
    Ok(())
}

/// With the way to what the kernel does not have.
fn missing(tried: Result<()>, advice: &'static str) -> Result<()> {
    tried.map_err(|error| match error.errno() {
        Some(Errno::EOPNOTSUPP | Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => {
            error.hint(advice)
        }
        _ => error,
    })
}

/// Settings of this network namespace, with their consequences.
fn settings(report: &mut Report) {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
    if let Some(range) = read("ping_group_range") {
        let ends: Vec<u32> = range
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let gid = getegid().as_raw();
        let found = range.split_whitespace().collect::<Vec<_>>().join(" ");
        let within = matches!(ends[..], [low, high] if low <= gid && gid <= high);
        let root = geteuid().is_root();
        if within || root {
            report.ok(
                "net.ipv4.ping_group_range",
                &format!(
                    "{found}: ping works for {}",
                    if within { "this group" } else { "root" }
                ),
            );
        } else {
            let found = format!("{found}: ping without CAP_NET_RAW is refused to group {gid}");
            let advice = "sysctl -w net.ipv4.ping_group_range='0 2147483647'";
            report.add(State::Warn, "net.ipv4.ping_group_range", &found, advice);
        }
    }
    if let Some(first) = read("ip_unprivileged_port_start") {
        let first = first.trim();
        match first {
            "0" => report.ok(
                "net.ipv4.ip_unprivileged_port_start",
                "0: everybody may serve any port",
            ),
            _ if geteuid().is_root() => report.ok(
                "net.ipv4.ip_unprivileged_port_start",
                &format!("{first}: lower ports are root's"),
            ),
            _ => {
                let found = format!("{first}: lower ports cannot be published");
                let advice = "-p 8080:80 publishes a higher one; as root: sysctl -w net.ipv4.ip_unprivileged_port_start=80";
                report.add(
                    State::Warn,
                    "net.ipv4.ip_unprivileged_port_start",
                    &found,
                    advice,
                );
            }
        }
    }
    if let Some(on) = read("ip_forward") {
        let found = match on.trim() {
            "0" => {
                "0: nat, veth --nat and container --network bridge turn it on while they need it"
            }
            _ => "1: packets of guests are passed on",
        };
        report.ok("net.ipv4.ip_forward", found);
    }
}

/// Whether there is a name server that a guest could ask.
fn resolver(report: &mut Report) {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/etc/resolv.conf");
    let upstream = read(UPSTREAM);
    let (found, from) = for_guest(
        &[],
        machine.as_deref().unwrap_or_default(),
        upstream.as_deref(),
    );
    let servers: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
    let servers = servers.join(" ");
    match from {
        From::Machine => report.ok("name servers", &servers),
        From::Upstream => report.ok(
            "name servers",
            &format!("{servers}, whom systemd-resolved asks"),
        ),
        _ => {
            let reason = match Path::new("/etc/resolv.conf").exists() {
                true => "/etc/resolv.conf names none that a guest could reach",
                false => "there is no /etc/resolv.conf",
            };
            let advice = format!("guests are told {servers}; --dns ADDRESS names others");
            report.add(State::Warn, "name servers", reason, &advice);
        }
    }
}
