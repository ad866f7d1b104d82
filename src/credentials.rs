//! Who a process is to become: ids and names as people type them (credentials(7)).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::Uid;

use crate::accounts::{Accounts, User};
use crate::error::{Error, Result};

/// The shell for a command that was not given: `$SHELL` (handed in), else that of the user in `/etc/passwd`,
/// else `/bin/sh`.
pub fn login_shell(from_environment: Option<OsString>) -> OsString {
    if let Some(shell) = from_environment.filter(|shell| !shell.is_empty()) {
        return shell;
    }
    let user = Accounts::here().user_of(Uid::current().as_raw());
    let shell = user.ok().flatten().map(|user| user.shell);
    shell
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| "/bin/sh".into())
}

/// What a user or a group was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// By this number.
    Id(u32),
    /// By a number that no id can have: too large, negative. Never looked up as a name, or an image could
    /// define a user `4294967296` and so become whoever it likes.
    NoId,
    /// By a name.
    Name,
}

/// Whether `text` is a number, as strtol(3) would read it: blanks and a sign may stand before the digits.
///
/// ```
/// use isobox::credentials::{Typed, typed};
/// assert_eq!(typed("1000".as_ref()), Typed::Id(1000));
/// assert_eq!(typed("4294967295".as_ref()), Typed::NoId);
/// assert_eq!(typed("nobody".as_ref()), Typed::Name);
/// ```
pub fn typed(text: &OsStr) -> Typed {
    let bare = text.as_bytes().trim_ascii();
    let (sign, digits) = match bare {
        [sign @ (b'+' | b'-'), digits @ ..] => (Some(*sign), digits),
        digits => (None, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Typed::Name;
    }
    let trailing = text.as_bytes().last().is_some_and(u8::is_ascii_whitespace);
    let value = std::str::from_utf8(digits).ok();
    let value = value.and_then(|digits| digits.parse().ok());
    match value {
        Some(id) if sign != Some(b'-') && !trailing && id != u32::MAX => Typed::Id(id),
        _ => Typed::NoId,
    }
}

/// Whom a container's process is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The supplementary groups, the group id not among them.
    pub groups: Vec<u32>,
    /// The user's line, where there is one.
    pub user: Option<User>,
}

/// Reads `USER[:GROUP]` of an image or of `--user` by the accounts of the container's root. Nothing given is user
/// and group 0; a user alone brings the login group and the supplementary groups; a group that is named
/// takes the place of all of them.
///
/// Numbers are written plainly: `0`, or digits without a leading zero.
///
/// # Errors
/// A name that is not there, a number that is no id.
pub fn identity(spec: &OsStr, accounts: &mut Accounts) -> Result<Identity> {
    let mut parts = spec.as_bytes().splitn(2, |b| *b == b':');
    let user = OsStr::from_bytes(parts.next().unwrap_or_default());
    let group = parts.next().map(OsStr::from_bytes).unwrap_or_default();
    let (uid, entry) = match plainly(user, "user")? {
        _ if user.is_empty() => (0, accounts.user_of(0)?),
        Typed::Id(uid) => (uid, accounts.user_of(uid)?),
        _ => {
            let entry = accounts.user(user)?.ok_or_else(|| unknown("user", user))?;
            (entry.uid, Some(entry))
        }
    };
    let (gid, groups) = match (plainly(group, "group")?, &entry) {
        (_, Some(entry)) if group.is_empty() => {
            let mut groups = accounts.groups_of(&entry.name, entry.gid)?;
            groups.remove(0);
            (entry.gid, groups)
        }
        (_, None) if group.is_empty() => (0, Vec::new()),
        (Typed::Id(gid), _) => (gid, Vec::new()),
        _ => {
            let found = accounts.group(group)?;
            (found.ok_or_else(|| unknown("group", group))?, Vec::new())
        }
    };
    Ok(Identity {
        uid,
        gid,
        groups,
        user: entry,
    })
}

fn unknown(kind: &str, name: &OsStr) -> Error {
    Error::new(format!("unable to find {kind}"))
        .on(name)
        .because(format!(
            "no such name in the root's /etc/{}",
            if kind == "user" { "passwd" } else { "group" }
        ))
}

/// What was typed, where a number must be written as it would be printed.
fn plainly(text: &OsStr, kind: &str) -> Result<Typed> {
    let typed = typed(text);
    let plain = match typed {
        Typed::Name => true,
        Typed::NoId => false,
        Typed::Id(id) => text == OsStr::new(&id.to_string()),
    };
    plain.then_some(typed).ok_or_else(|| {
        Error::new(format!("invalid {kind} id"))
            .on(text)
            .because("not a number from 0 to 4294967294")
    })
}

/// The environment of a fresh login, as `setpriv --reset-env` makes it: `TERM` is kept, the rest is the
/// user's.
pub fn login_environment(user: &User, term: Option<OsString>) -> Vec<OsString> {
    let shell = Some(user.shell.clone()).filter(|shell| !shell.is_empty());
    let path = match user.uid {
        0 => "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin",
        _ => "/usr/local/bin:/bin:/usr/bin",
    };
    let variables = [
        ("TERM=", term),
        ("SHELL=", Some(shell.unwrap_or_else(|| "/bin/sh".into()))),
        ("HOME=", Some(user.home.clone())),
        ("USER=", Some(user.name.clone())),
        ("LOGNAME=", Some(user.name.clone())),
        ("PATH=", Some(path.into())),
    ];
    let joined = |(name, value): (&str, OsString)| {
        let mut entry = OsString::from(name);
        entry.push(value);
        entry
    };
    variables
        .into_iter()
        .filter_map(|(name, value)| Some(joined((name, value?))))
        .collect()
}

/// Why setgroups(2) was refused: looked up in this user namespace.
pub fn setgroups_refused(groups: &[u32], errno: Errno) -> Option<String> {
    match errno {
        Errno::EPERM if groups_are_fixed() => {
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

/// Whether setgroups(2) is denied in this user namespace.
pub fn groups_are_fixed() -> bool {
    let now = fs::read("/proc/self/setgroups");
    now.is_ok_and(|now| now.starts_with(b"deny"))
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
        (inside..inside.saturating_add(count)).contains(&id.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::tests::accounts;

    #[test]
    fn numbers_are_never_names() {
        let cases = [
            ("0", Typed::Id(0)),
            ("00", Typed::Id(0)),
            ("010", Typed::Id(10)),
            ("+1", Typed::Id(1)),
            (" 5", Typed::Id(5)),
            ("4294967294", Typed::Id(4_294_967_294)),
            ("4294967295", Typed::NoId),
            ("4294967296", Typed::NoId),
            ("99999999999999999999999", Typed::NoId),
            ("-1", Typed::NoId),
            ("-0", Typed::NoId),
            ("1 ", Typed::NoId),
            ("", Typed::Name),
            ("+", Typed::Name),
            ("1e3", Typed::Name),
            ("0x0", Typed::Name),
            ("1x", Typed::Name),
            ("root", Typed::Name),
        ];
        for (text, want) in cases {
            assert_eq!(typed(text.as_ref()), want, "{text:?}");
        }
    }

    #[test]
    fn identities_follow_the_rules_of_images() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:\n4294967296:x:0:0:::\n00:x:0:0:::\n";
        let group = "root:x:0:\nweb:x:34:\nlog:x:4:web\n";
        let mut accounts = accounts("identity", passwd, group);
        type Wanted<'a> = Result<(u32, u32, &'a [u32]), &'a str>;
        let cases: [(&str, Wanted); 17] = [
            ("", Ok((0, 0, &[]))),
            ("web", Ok((33, 34, &[4]))),
            ("33", Ok((33, 34, &[4]))),
            ("web:log", Ok((33, 4, &[]))),
            ("web:", Ok((33, 34, &[4]))),
            ("7", Ok((7, 0, &[]))),
            ("7:8", Ok((7, 8, &[]))),
            ("1:2", Ok((1, 2, &[]))),
            (":2", Ok((0, 2, &[]))),
            ("4294967296", Err("invalid user id")),
            ("-1", Err("invalid user id")),
            ("+1", Err("invalid user id")),
            ("00", Err("invalid user id")),
            ("0x0", Err("unable to find user")),
            ("1e3", Err("unable to find user")),
            ("0:4294967296", Err("invalid group id")),
            ("web:nosuch", Err("unable to find group")),
        ];
        for (spec, want) in cases {
            let got = identity(spec.as_ref(), &mut accounts);
            match (want, got) {
                (Ok(want), Ok(got)) => {
                    assert_eq!(want, (got.uid, got.gid, got.groups.as_slice()), "{spec}");
                }
                (Err(want), Err(got)) => assert!(got.to_string().starts_with(want), "{got}"),
                (want, got) => panic!("{spec}: {want:?} {got:?}"),
            }
        }
    }
}
