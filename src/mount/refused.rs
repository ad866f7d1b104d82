//! Why a mount was refused.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::printable;
use crate::mountinfo::{self, Mount};
use crate::namespace::Kind;
use crate::probe::is_admin;
use crate::sys::nsfs;

/// Why a mount of this type was refused, looked up after the fact.
pub fn why_refused(fstype: &OsStr, errno: Errno) -> Option<String> {
    match (errno, fstype.to_str()?) {
        (Errno::ENODEV, name) => Some(format!(
            "this kernel has no file system {name} (it may be a module: see /proc/filesystems)"
        )),
        (Errno::ENOSPC, _) => {
            Some("the mount namespace is full: see /proc/sys/fs/mount-max".into())
        }
        (Errno::EPERM, fstype) => why_not_permitted(fstype),
        _ => None,
    }
}

/// In a user namespace: a file system that shows a namespace can be mounted only by who owns that namespace, and
/// a procfs or sysfs may show no more than the one that is seen already (mount_namespaces(7)).
fn why_not_permitted(fstype: &str) -> Option<String> {
    if !is_admin() {
        return Some("this needs CAP_SYS_ADMIN: be root, or start with unshare -r -m".into());
    }
    let shown = match fstype {
        "proc" => Some((Kind::Pid, "-p -f")),
        "sysfs" => Some((Kind::Net, "-n")),
        "mqueue" => Some((Kind::Ipc, "-i")),
        "cgroup" | "cgroup2" => Some((Kind::Cgroup, "-C")),
        _ => None,
    };
    for (kind, options) in [Some((Kind::Mount, "-m")), shown].into_iter().flatten() {
        if is_owned_outside(kind) {
            return Some(format!(
                "the {} namespace belongs to an outer user namespace: unshare one with it ({options})",
                kind.option()
            ));
        }
    }
    match fstype {
        "proc" => covered("/proc"),
        "sysfs" => covered("/sys"),
        _ => None,
    }
}

/// Whether the namespace we are in belongs to a user namespace outside ours.
fn is_owned_outside(kind: Kind) -> bool {
    let path = format!("/proc/self/ns/{}", kind.proc_name());
    let ns = open(
        path.as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    ns.is_ok_and(|ns| nsfs::owner(ns.as_fd()).is_err_and(|errno| errno == Errno::EPERM))
}

fn covered(by: &str) -> Option<String> {
    let mounts = mountinfo::read("self").ok()?;
    let below = |mount: &&Mount| mount.point.starts_with(by) && mount.point != Path::new(by);
    let cover: Vec<String> = mounts
        .iter()
        .filter(below)
        .map(|mount| printable(mount.point.as_os_str()))
        .collect();
    (!cover.is_empty()).then(|| {
        format!(
            "a new one would show what is covered in the {by} we see: {}",
            cover.join(", ")
        )
    })
}
