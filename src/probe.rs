//! Why the kernel said no. Each function looks at the machine after a refusal and gives the one line that
//! helps, or nothing: never a guess.

use std::ffi::OsStr;
use std::fs;

use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::error::Error;
use crate::namespace::flag_names;
use crate::sys::caps;

/// The bit of `CAP_SYS_ADMIN` (linux/capability.h).
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whether this process has `CAP_SYS_ADMIN` in its user namespace.
pub fn is_admin() -> bool {
    caps::get().is_ok_and(|sets| sets.effective & CAP_SYS_ADMIN != 0)
}

/// A sysctl as a number; `None` where this kernel does not have it.
fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The error of an unshare(2) with these flags.
pub fn unshare_failed(flags: CloneFlags, errno: Errno) -> Error {
    Error::new("unshare failed")
        .errno_is(errno)
        .hint_maybe(namespace_refused(flags, errno))
}

/// The error of a clone3(2) with these flags.
pub fn clone_failed(flags: CloneFlags, errno: Errno) -> Error {
    let doing = if flags.is_empty() {
        "fork failed".into()
    } else {
        format!("clone3({}) failed", flag_names(flags))
    };
    Error::new(doing)
        .errno_is(errno)
        .hint_maybe(namespace_refused(flags, errno))
}

/// Why namespaces of these kinds were refused.
fn namespace_refused(flags: CloneFlags, errno: Errno) -> Option<String> {
    let user = flags.contains(CloneFlags::CLONE_NEWUSER);
    match errno {
        Errno::EPERM if !user && !flags.is_empty() && !is_admin() => {
            Some("this needs CAP_SYS_ADMIN: be root, or add -r (--map-root-user) to do it in a user namespace".into())
        }
        Errno::EPERM | Errno::ENOSPC | Errno::EACCES if user => userns_refused(),
        _ => None,
    }
}

/// Which switch keeps this process from making user namespaces.
fn userns_refused() -> Option<String> {
    if sysctl("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) && !is_admin() {
        return Some(
            "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1"
                .into(),
        );
    }
    if sysctl("/proc/sys/user/max_user_namespaces") == Some(0) {
        return Some(
            "user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=15000".into(),
        );
    }
    None
}

/// Why a program could not be executed.
pub fn exec_failed(_program: &OsStr, _errno: Errno) -> Option<String> {
    None
}
