//! What of the default profile depends on the process that asks: limits never above its own, a name.

use std::ffi::{OsStr, OsString};

use nix::sys::resource::{Resource, getrlimit};

use crate::error::{Doing, Result};
use crate::rlimit::Limit;

/// The environment every program gets, before what is asked for. With a terminal it is told which kind.
pub fn environment(hostname: &OsStr, home: &OsStr, terminal: bool) -> Vec<OsString> {
    let entry = |name: &str, value: &OsStr| [OsStr::new(name), value].into_iter().collect();
    let mut env = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        entry("HOSTNAME=", hostname),
        entry("HOME=", home),
    ];
    if terminal {
        env.push("TERM=xterm".into());
    }
    env
}

/// Resource limits: descriptors as a program of today may expect them, no core files, a little locked memory.
/// Never above our own hard limits, which only `CAP_SYS_RESOURCE` could raise.
pub fn limits() -> Vec<Limit> {
    [
        (Resource::RLIMIT_CORE, 0, 0),
        (Resource::RLIMIT_MEMLOCK, 8 << 20, 8 << 20),
        (Resource::RLIMIT_NOFILE, 1024, 1 << 20),
    ]
    .into_iter()
    .filter_map(|(resource, soft, hard)| {
        let (_, ours) = getrlimit(resource).ok()?;
        Some(Limit {
            resource,
            soft: ours.min(soft),
            hard: ours.min(hard),
        })
    })
    .collect()
}

/// A host name for a container that was given none: twelve random hexadecimal digits.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_name() -> Result<OsString> {
    let bytes = crate::sys::task::random().doing("cannot get random bytes")?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(hex.into())
}
