//! Users, groups, capabilities: who a process is (credentials(7), capabilities(7)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::unistd::Uid;

/// The shell for a command that was not given: `$SHELL` (handed in), else that of the user in `/etc/passwd`,
/// else `/bin/sh`.
pub fn login_shell(from_environment: Option<OsString>) -> OsString {
    if let Some(shell) = from_environment.filter(|shell| !shell.is_empty()) {
        return shell;
    }
    // A static binary cannot load the C library's name services, so the file itself is read.
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let uid = Uid::current().to_string();
    let shell = passwd.split(|b| *b == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        (fields.len() == 7 && fields[2] == uid.as_bytes() && !fields[6].is_empty())
            .then(|| fields[6].to_vec())
    });
    shell.map_or_else(|| "/bin/sh".into(), OsString::from_vec)
}

/// Why setgroups(2) was refused: looked up in this user namespace.
pub fn setgroups_refused(groups: &[u32], errno: Errno) -> Option<String> {
    match errno {
        Errno::EPERM if fs::read("/proc/self/setgroups").is_ok_and(|now| now.starts_with(b"deny")) => {
            Some("setgroups is denied in this user namespace: see /proc/self/setgroups, user_namespaces(7)".into())
        }
        Errno::EPERM => Some("this needs CAP_SETGID".into()),
        Errno::EINVAL => {
            let missing = groups.iter().find(|gid| !is_mapped("gid", **gid))?;
            Some(format!("gid {missing} is not mapped in this user namespace: see /proc/self/gid_map"))
        }
        _ => None,
    }
}

/// Whether this user namespace has the id (`kind` is `uid` or `gid`); yes where that cannot be known.
pub fn is_mapped(kind: &str, id: u32) -> bool {
    let Ok(map) = fs::read_to_string(format!("/proc/self/{kind}_map")) else {
        return true;
    };
    map.lines().any(|line| {
        let mut fields = line
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0u64));
        let (inside, _, count) = (fields.next(), fields.next(), fields.next());
        let (inside, count) = (inside.unwrap_or(0), count.unwrap_or(0));
        (inside..inside + count).contains(&id.into())
    })
}
