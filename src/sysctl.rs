//! Settings of the kernel that belong to a namespace (sysctl(8), proc(5)).

use crate::error::{Error, Result};
use crate::namespace::Kind;

/// Names that end in `.*` stand for all below. No other setting is a container's to change: it would be the
/// machine's.
const NAMESPACED: [(&str, Kind); 16] = [
    ("fs.mqueue.*", Kind::Ipc),
    ("kernel.auto_msgmni", Kind::Ipc),
    ("kernel.domainname", Kind::Uts),
    ("kernel.msg_next_id", Kind::Ipc),
    ("kernel.msgmax", Kind::Ipc),
    ("kernel.msgmnb", Kind::Ipc),
    ("kernel.msgmni", Kind::Ipc),
    ("kernel.sem", Kind::Ipc),
    ("kernel.sem_next_id", Kind::Ipc),
    ("kernel.shm_next_id", Kind::Ipc),
    ("kernel.shm_rmid_forced", Kind::Ipc),
    ("kernel.shmall", Kind::Ipc),
    ("kernel.shmmax", Kind::Ipc),
    ("kernel.shmmni", Kind::Ipc),
    ("net.*", Kind::Net),
    ("user.*", Kind::User),
];

/// The file of a setting below `/proc/sys`, and the kind of namespace it belongs to. A name has its parts between
/// dots, or between slashes where a part has a dot in it: `net/ipv4/conf/eth0.1/forwarding`.
///
/// ```
/// use isobox::{namespace::Kind, sysctl::file};
/// assert_eq!(file("net.ipv4.ip_forward").unwrap(), ("net/ipv4/ip_forward".into(), Kind::Net));
/// assert!(file("kernel.core_pattern").is_err() && file("net/../kernel/core_pattern").is_err());
/// ```
///
/// # Errors
/// For a name of another form, and for a setting of the whole machine.
pub fn file(name: &str) -> Result<(String, Kind)> {
    let separator = match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'/') => '/',
        _ => '.',
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@');
    let parts: Vec<&str> = name.split(separator).collect();
    let bad = |part: &&str| matches!(*part, "" | "." | "..") || !part.chars().all(plain);
    if parts.len() < 2 || parts.iter().any(bad) {
        return Err(Error::new("not the name of a sysctl").on(name));
    }
    let path = parts.join("/");
    let is_it = |known: &str| match known.strip_suffix(".*") {
        Some(above) => {
            let rest = path.strip_prefix(&above.replace('.', "/"));
            rest.is_some_and(|rest| rest.starts_with('/'))
        }
        None => path == known.replace('.', "/"),
    };
    let kind = NAMESPACED.iter().find(|(known, _)| is_it(known));
    match kind {
        Some((_, kind)) => Ok((path, *kind)),
        None => Err(Error::new("sysctl")
            .on(name)
            .because("it belongs to no namespace, and would be changed for the whole machine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_a_namespace() {
        let good = [
            ("net.core.somaxconn", "net/core/somaxconn", Kind::Net),
            (
                "net/ipv4/conf/eth0.1/forwarding",
                "net/ipv4/conf/eth0.1/forwarding",
                Kind::Net,
            ),
            ("kernel/shmmax", "kernel/shmmax", Kind::Ipc),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max", Kind::Ipc),
            ("kernel.domainname", "kernel/domainname", Kind::Uts),
            (
                "user.max_user_namespaces",
                "user/max_user_namespaces",
                Kind::User,
            ),
        ];
        for (name, path, kind) in good {
            assert_eq!(file(name).unwrap(), (path.into(), kind));
        }
        let refused = [
            "kernel.core_pattern",
            "kernel/core_pattern",
            "kernel.hostname",
            "vm.swappiness",
            "net",
            "net.",
            "net..x",
            "net/../kernel/core_pattern",
            "net.ipv4.conf.eth0/1.x",
            "fs.mqueue",
            "fs.mqueuex.y",
            "kernel.shm_rmid_forced=1+kernel.core_pattern",
            "kernel.shmmax.x",
            "netx.y",
            "",
            ".",
            "/net/x",
            "net.x\n",
        ];
        for name in refused {
            assert!(file(name).is_err(), "{name}");
        }
    }
}
