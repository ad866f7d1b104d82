//! The default profile: what a program may call that nobody said anything about.
//!
//! It is Docker's list without what a container's program has no business with: mounts, new namespaces, tracing, keys,
//! io_uring, BPF, the machine's settings ([`super::table`] has the list). What a capability is for is allowed to whoever
//! has the capability. Beyond the list:
//!
//! | call | allowed |
//! |---|---|
//! | `socket` | local, IPv4, IPv6, routing netlink (packets to whoever has `net_raw`, netlink to whoever has `net_admin`) |
//! | `clone` | without a new namespace; `clone3`, whose flags no filter can see, is not there, so that the C library takes `clone` |
//! | `personality` | to ask, and `PER_LINUX` and `PER_LINUX32`, both also with `UNAME26` |
//! | `ioctl` | all but `TIOCSTI` and `TIOCLINUX`, which type into a terminal |
//!
//! A call that the table does not know is said not to exist (`ENOSYS`), one that it knows is not permitted (`EPERM`).

use nix::libc;

use super::table::Call;
use super::{Arch, Condition, Operator, Policy, Rule, Rules, action};
use crate::capability::{Capability, Set};

/// `CLONE_NEW*` but for time, whose bit means something else here.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

const EPERM: u32 = action::ERRNO | libc::EPERM.cast_unsigned();

/// What is allowed whatever its arguments are.
static ALWAYS: [Rule; 1] = [Rule {
    conditions: Vec::new(),
    action: action::ALLOW,
}];

/// The default profile for a program with these capabilities in its bounding set.
pub fn default_policy(capabilities: Set) -> Policy {
    let has = |name| Capability::named(name).is_some_and(|cap| capabilities.has(cap));
    let mut calls = Vec::with_capacity(400);
    for call in Call::all() {
        let rules: Vec<Rule> = match call.name() {
            "clone" if !has("sys_admin") => {
                vec![rule(&[masked(0, NEW_NAMESPACES, 0)], action::ALLOW)]
            }
            "clone3" if !has("sys_admin") => {
                vec![rule(&[], action::ERRNO | libc::ENOSYS.cast_unsigned())]
            }
            "socket" => sockets(has("net_raw"), has("net_admin")),
            "socketpair" => vec![rule(&[equal(0, libc::AF_UNIX)], action::ALLOW)],
            "personality" => [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff]
                .map(|domain| rule(&[condition(0, Operator::Equal, domain)], action::ALLOW))
                .into(),
            "ioctl" => {
                let mut rules = ALWAYS.to_vec();
                rules.extend([TIOCSTI, TIOCLINUX].map(|what| rule(&[equal(1, what)], EPERM)));
                rules
            }
            _ if call.is_allowed(capabilities) => {
                calls.push((call, Rules::Borrowed(&ALWAYS)));
                continue;
            }
            _ => continue,
        };
        calls.push((call, rules.into()));
    }
    Policy {
        arches: Arch::native().into_iter().collect(),
        default: EPERM,
        unknown: Some(action::ERRNO | libc::ENOSYS.cast_unsigned()),
        knows_table: true,
        calls,
    }
}

/// ioctl_tty(2).
const TIOCSTI: i32 = 0x5412;
const TIOCLINUX: i32 = 0x541c;

fn sockets(packets: bool, all_of_netlink: bool) -> Vec<Rule> {
    let family = |family| rule(&[equal(0, family)], action::ALLOW);
    let mut rules: Vec<Rule> = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]
        .map(family)
        .into();
    if packets {
        rules.push(family(libc::AF_PACKET));
    }
    if all_of_netlink {
        rules.push(family(libc::AF_NETLINK));
    } else {
        let netlink = equal(0, libc::AF_NETLINK);
        rules.push(rule(
            &[netlink, equal(2, libc::NETLINK_ROUTE)],
            action::ALLOW,
        ));
        // Programs that would like to write to the audit log go on without, where the kernel has none.
        let absent = action::ERRNO | libc::EAFNOSUPPORT.cast_unsigned();
        rules.push(rule(&[netlink], absent));
    }
    rules
}

fn rule(conditions: &[Condition], action: u32) -> Rule {
    Rule {
        conditions: conditions.to_vec(),
        action,
    }
}

fn equal(argument: u32, value: i32) -> Condition {
    condition(argument, Operator::Equal, value.cast_unsigned().into())
}

fn masked(argument: u32, mask: u64, value: u64) -> Condition {
    Condition {
        mask,
        ..condition(argument, Operator::MaskedEqual, value)
    }
}

fn condition(argument: u32, operator: Operator, value: u64) -> Condition {
    Condition {
        argument,
        operator,
        value,
        mask: 0,
    }
}

#[cfg(test)]
mod tests;
