//! Users, groups, capabilities: who a process is (credentials(7), capabilities(7)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

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
