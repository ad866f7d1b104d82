//! The values of setpriv's options: what was typed, as what is meant.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use isobox::accounts::{Accounts, User};
use isobox::capability::Change;
use isobox::credentials::{Typed, login_environment, typed};
use isobox::error::{Doing, Error, Result};
use isobox::plan::steps::attributes::{OomScoreAdjust, Tracer};
use isobox::process::signal_number;
use isobox::securebits::{self, KEEP_CAPS};
use isobox::sys::task;
use nix::libc;

use super::CANNOT_SET;
use crate::cli::raw::Raw;

/// The value of an option that was given at most once.
pub(super) fn first(values: &[Raw]) -> Option<&OsStr> {
    values.first().map(|Raw(value)| value.as_os_str())
}

/// Text that holds what a list of words may hold.
fn text(value: &OsStr) -> &str {
    value.to_str().unwrap_or("\u{fffd}")
}

/// An error of setpriv(1)'s shape: `failed to parse ruid: 'abc'`.
fn unparsed(what: &str, value: &OsStr, reason: &str) -> Error {
    Error::new(format!("{what}: '{}'{reason}", value.display()))
}

/// A user by number or name, and their line where it was read: by number it is only read when `entry` is
/// wanted.
pub(super) fn user(
    value: &OsStr,
    what: &str,
    entry: bool,
    accounts: &mut Accounts,
) -> Result<(u32, Option<User>)> {
    match typed(value) {
        Typed::Id(uid) if entry => Ok((uid, accounts.user_of(uid)?)),
        Typed::Id(uid) => Ok((uid, None)),
        Typed::NoId => Err(no_id(what, value)),
        Typed::Name => {
            let user = accounts.user(value)?;
            let user = user.ok_or_else(|| unparsed(what, value, ""))?;
            Ok((user.uid, Some(user)))
        }
    }
}

/// A group by number or name.
pub(super) fn group(value: &OsStr, what: &str, accounts: &mut Accounts) -> Result<u32> {
    match typed(value) {
        Typed::Id(gid) => Ok(gid),
        Typed::NoId => Err(no_id(what, value)),
        Typed::Name => accounts
            .group(value)?
            .ok_or_else(|| unparsed(what, value, "")),
    }
}

fn no_id(what: &str, value: &OsStr) -> Error {
    unparsed(what, value, ": Numerical result out of range")
        .hint("ids are numbers from 0 to 4294967294")
}

/// Groups, separated by commas.
pub(super) fn groups(list: &OsStr, accounts: &mut Accounts) -> Result<Vec<u32>> {
    list.as_bytes()
        .split(|b| *b == b',')
        .map(|word| {
            let word = OsStr::from_bytes(word);
            group(word, "Invalid supplementary group id", accounts)
        })
        .collect()
}

/// A change of a capability set.
pub(super) fn change(value: Option<&OsStr>) -> Result<Option<Change>> {
    value.map(|list| Change::parse(text(list))).transpose()
}

/// The bits for prctl(2): `keep_caps` is held on to, because the steps that follow need it, until the exec
/// clears it.
pub(super) fn securebits(list: &OsStr) -> Result<u32> {
    let now = task::prctl(libc::PR_GET_SECUREBITS, [0; 4]);
    let now = now
        .doing("getting process secure bits failed")
        .map_err(|e| e.status(CANNOT_SET))?;
    let bits = securebits::parse(text(list), u32::try_from(now).unwrap_or(0))?;
    Ok(bits | KEEP_CAPS)
}

/// A signal; 0 for none. `keep` is the one asked for now, which a change of credentials clears.
pub(super) fn death_signal(value: &OsStr) -> Result<Option<i32>> {
    match text(value) {
        "keep" => {
            let now = task::parent_death_signal();
            let now = now.doing("failed to get parent death signal");
            now.map(|signal| Some(signal).filter(|signal| *signal != 0))
                .map_err(|e| e.status(CANNOT_SET))
        }
        "clear" => Ok(Some(0)),
        // By name only: setpriv(1) takes no numbers.
        name => signal_number(name)
            .filter(|_| !name.starts_with(|c: char| c.is_ascii_digit()))
            .map(Some)
            .ok_or_else(|| Error::new("unknown signal:").on(value)),
    }
}

/// Who may trace.
pub(super) fn tracer(value: &OsStr) -> Result<Tracer> {
    match text(value) {
        "any" => Ok(Tracer::Any),
        "none" => Ok(Tracer::None),
        number => match number.parse() {
            Ok(pid @ 1..=0x7fff_ffff) => Ok(Tracer::Process(pid)),
            _ => Err(unparsed("failed to parse ptracer pid", value, "")),
        },
    }
}

/// An octal mask of permission bits.
pub(super) fn mask(value: &OsStr) -> Result<u32> {
    let digits = text(value);
    let octal = !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mask = u32::from_str_radix(digits, 8).ok().filter(|_| octal);
    mask.filter(|mask| *mask <= 0o777)
        .ok_or_else(|| unparsed("failed to parse umask", value, ": not octal up to 0777"))
}

/// How readily the process is killed when memory runs out.
pub(super) fn oom_score(value: &OsStr) -> Result<OomScoreAdjust> {
    let bare = text(value).strip_suffix('+');
    let at_least = bare.is_some();
    let number = bare.unwrap_or(text(value)).parse().ok();
    let value = number
        .filter(|number| (-1000..=1000).contains(number))
        .ok_or_else(|| {
            unparsed(
                "failed to parse oom score",
                value,
                ": not a number from -1000 to 1000",
            )
        })?;
    Ok(OomScoreAdjust { value, at_least })
}

/// The environment of the program: the caller's, a fresh one of `login`, or an empty one, with variables set.
pub(super) fn environment(
    inherited: Vec<OsString>,
    login: Option<&User>,
    clear: bool,
    set: &[Raw],
) -> Result<Vec<OsString>> {
    let mut values = inherited
        .iter()
        .filter_map(|entry| entry.as_bytes().strip_prefix(b"TERM="));
    let term = values
        .next()
        .map(|value| OsStr::from_bytes(value).to_owned());
    let mut env = match login {
        Some(user) => login_environment(user, term.filter(|_| !clear)),
        None if clear => Vec::new(),
        None => inherited,
    };
    for Raw(variable) in set {
        let name_of_it = name(variable);
        if name_of_it.is_empty() || name_of_it.len() == variable.len() {
            return Err(unparsed("invalid variable", variable, ": not NAME=VALUE"));
        }
        env.retain(|entry| name(entry) != name_of_it);
        env.push(variable.clone());
    }
    Ok(env)
}

/// The name of a variable: what stands before the first `=`.
fn name(entry: &OsStr) -> &[u8] {
    let bytes = entry.as_bytes();
    bytes.split(|b| *b == b'=').next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(env: &[OsString]) -> Vec<&str> {
        env.iter().filter_map(|entry| entry.to_str()).collect()
    }

    #[test]
    fn environments() {
        let inherited = || vec!["A=1".into(), "TERM=vt".into(), "AB=2".into()];
        let set = [Raw("A=3".into()), Raw("E=x=y".into()), Raw("F=".into())];
        let root = User {
            name: "root".into(),
            uid: 0,
            gid: 0,
            home: "/root".into(),
            shell: "".into(),
        };
        let env = environment(inherited(), None, false, &set).unwrap();
        assert_eq!(strings(&env), ["TERM=vt", "AB=2", "A=3", "E=x=y", "F="]);
        let env = environment(inherited(), None, true, &set[..1]).unwrap();
        assert_eq!(strings(&env), ["A=3"]);
        let env = environment(inherited(), Some(&root), false, &[]).unwrap();
        assert_eq!(
            strings(&env),
            [
                "TERM=vt",
                "SHELL=/bin/sh",
                "HOME=/root",
                "USER=root",
                "LOGNAME=root",
                "PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"
            ]
        );
        for bad in ["A", "=x", ""] {
            assert!(environment(vec![], None, false, &[Raw(bad.into())]).is_err());
        }
    }

    #[test]
    fn small_numbers() {
        let masks = [
            ("022", Some(0o22)),
            ("0", Some(0)),
            ("0777", Some(0o777)),
            ("1777", None),
            ("8", None),
            ("", None),
            ("+2", None),
        ];
        for (typed, want) in masks {
            assert_eq!(mask(typed.as_ref()).ok(), want, "{typed}");
        }
        let scores = [
            ("-1000", Some((-1000, false))),
            ("1000", Some((1000, false))),
            ("100+", Some((100, true))),
            ("1001", None),
            ("+", None),
            ("x", None),
        ];
        for (typed, want) in scores {
            let got = oom_score(typed.as_ref())
                .ok()
                .map(|step| (step.value, step.at_least));
            assert_eq!(got, want, "{typed}");
        }
        let tracers = [
            ("any", Some(Tracer::Any)),
            ("none", Some(Tracer::None)),
            ("7", Some(Tracer::Process(7))),
            ("0", None),
            ("-1", None),
            ("2147483648", None),
        ];
        for (typed, want) in tracers {
            assert_eq!(tracer(typed.as_ref()).ok(), want, "{typed}");
        }
    }

    #[test]
    fn signals_have_names() {
        let cases = [
            ("clear", Some(Some(0))),
            ("TERM", Some(Some(15))),
            ("sigkill", Some(Some(9))),
            ("RTMIN+3", Some(Some(37))),
            ("15", None),
            ("0", None),
            ("NOSUCH", None),
        ];
        for (typed, want) in cases {
            assert_eq!(death_signal(typed.as_ref()).ok(), want, "{typed}");
        }
    }
}
