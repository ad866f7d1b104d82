//! The names of groups that are made for one program and go with it: by `cgexec` and `container run`, whose killing leaves
//! them for `container gc`.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Pid;

use crate::decimal::decimal;

/// `isobox-`, the number of this process, and that of the PID namespace in which it is that (pid_namespaces(7)).
pub fn fresh_name() -> String {
    format!("isobox-{}-{}", Pid::this(), pid_namespace())
}

/// Whether a group has the name that a process of this PID namespace gave it which is gone. What a process of another has
/// made is not ours to judge: its number is somebody else's here.
pub fn is_orphan(name: &str) -> bool {
    let namespace = pid_namespace().to_string();
    let of_pid = || {
        let pid = name.strip_prefix("isobox-")?.strip_suffix(&namespace)?;
        decimal::<u32>(pid.strip_suffix('-')?)
    };
    of_pid().is_some_and(|pid| namespace != "0" && !Path::new(&format!("/proc/{pid}")).exists())
}

/// The number of the PID namespace that we are in; 0 where /proc does not tell.
fn pid_namespace() -> u64 {
    metadata("/proc/self/ns/pid").map_or(0, |of| of.ino())
}
