//! How an image wants to be run, as a [`Spec`] (image-spec, conversion.md). Only what is named here has an effect:
//! labels, annotations and whatever else an image says of itself have none (CVE-2026-94603, CVE-2026-53488).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::profile::limits;
use super::spec::{Root, Spec, User};
use crate::accounts::Accounts;
use crate::decimal::decimal;
use crate::error::{Error, Result};
use crate::idmap::Range;
use crate::image::config::Execution;

/// Where programs are looked for, if the image does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The default profile around the program of an image. `accounts` are those of its root; `maps` give it a user namespace
/// of its own.
///
/// # Errors
/// Where it wants to run as a user or group that its root does not know, or that is no number of one.
pub fn spec(
    image: &Execution,
    root: Root,
    accounts: &mut Accounts,
    maps: Option<[Vec<Range>; 2]>,
) -> Result<Spec> {
    let words = image.entrypoint.iter().chain(&image.cmd);
    let mut args: Vec<OsString> = words.map(OsString::from).collect();
    if args.is_empty() {
        args.push("sh".into());
    }
    let mut spec = Spec::new(args, root, maps);
    let who = user(&image.user, accounts)?;
    spec.process.env = environment(&image.env, &who, accounts)?;
    spec.process.rlimits = limits();
    spec.process.cwd = Path::new("/").join(&image.working_dir);
    spec.run_as(who);
    Ok(spec)
}

/// `NAME=VALUE` entries, each name once; anything else would be a question to the caller's environment, and is left out
/// (CVE-2026-57231).
pub fn variables(said: &[String]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for entry in said {
        let Some((name, _)) = entry.split_once('=') else {
            continue;
        };
        if name.is_empty() || entry.contains('\0') {
            continue;
        }
        all.retain(|other| other.split('=').next() != Some(name));
        all.push(entry);
    }
    all
}

/// The environment that the image asks for, and what it needs besides.
fn environment(said: &[String], who: &User, accounts: &mut Accounts) -> Result<Vec<OsString>> {
    let all = variables(said);
    let has = |all: &[&str], name: &str| all.iter().any(|entry| entry.starts_with(name));
    let mut env = Vec::new();
    if !has(&all, "PATH=") {
        env.push(PATH.into());
    }
    if !has(&all, "HOME=") {
        let home = accounts.user_of(who.uid)?.map(|user| user.home.into_vec());
        // A line more in some file that is made of this is not for the image to write (CVE-2026-15809).
        let home = home.filter(|home| !home.is_empty() && !home.iter().any(u8::is_ascii_control));
        let home = home.unwrap_or_else(|| b"/".to_vec());
        env.push(OsString::from_vec([b"HOME=", home.as_slice()].concat()));
    }
    env.extend(all.into_iter().map(OsString::from));
    Ok(env)
}

/// `user`, `uid`, `user:group` ...; nothing is root. A name brings its group and its other groups; a number brings none.
fn user(said: &str, accounts: &mut Accounts) -> Result<User> {
    let (name, group) = match said.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (said, None),
    };
    let mut who = User::default();
    match id(name)? {
        _ if name.is_empty() => {}
        Some(uid) => {
            who.uid = uid;
            who.gid = accounts.user_of(uid)?.map_or(0, |user| user.gid);
        }
        None => {
            let found = accounts.user(OsStr::new(name))?;
            let found = found.ok_or_else(|| unknown("user", name, "passwd"))?;
            (who.uid, who.gid) = (found.uid, found.gid);
            if group.is_none() {
                who.additional_gids = accounts.groups_of(&found.name, found.gid)?;
            }
        }
    }
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        who.gid = match id(group)? {
            Some(gid) => gid,
            None => accounts
                .group(OsStr::new(group))?
                .ok_or_else(|| unknown("group", group, "group"))?,
        };
    }
    Ok(who)
}

/// A number; what begins like one and is none is no name either (CVE-2024-40635, CVE-2026-46680).
fn id(word: &str) -> Result<Option<u32>> {
    let starts_as_number = word.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c));
    if !starts_as_number {
        return Ok(None);
    }
    match decimal::<u32>(word) {
        Some(id) if id != u32::MAX => Ok(Some(id)),
        _ => {
            Err(Error::new(format!("the image wants to run as '{word}'")).because("which is no id"))
        }
    }
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    Error::new(format!("the image wants to run as {what} '{name}'"))
        .because(format!("its /etc/{file} has no such name"))
}

/// The root of a bundle.
pub fn bundle_root() -> Root {
    Root::directory(PathBuf::from("rootfs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn accounts(name: &str) -> (PathBuf, Accounts) {
        let root = std::env::temp_dir().join(format!("isobox-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        let passwd =
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(
            root.join("etc/group"),
            "root:x:0:\nweb:x:34:\nlog:x:4:web\n",
        )
        .unwrap();
        let fd = crate::root::open(&root).unwrap();
        (root, Accounts::of_root(fd))
    }

    #[test]
    fn users_are_those_of_the_image() {
        let (root, mut accounts) = accounts("of-image");
        type Who<'a> = Option<(u32, u32, &'a [u32])>;
        let cases: [(&str, Who<'_>); 13] = [
            ("", Some((0, 0, &[]))),
            ("web", Some((33, 34, &[34, 4]))),
            ("web:log", Some((33, 4, &[]))),
            ("33", Some((33, 34, &[]))),
            ("7", Some((7, 0, &[]))),
            ("7:8", Some((7, 8, &[]))),
            (":8", Some((0, 8, &[]))),
            ("nobody", None),
            ("web:nobody", None),
            ("4294967296", None),
            ("-1", None),
            ("4294967295", None),
            ("0x0", None),
        ];
        for (said, want) in cases {
            let got = user(said, &mut accounts).ok();
            let want = want.map(|(uid, gid, groups)| (uid, gid, groups.to_vec()));
            assert_eq!(
                got.map(|who| (who.uid, who.gid, who.additional_gids)),
                want,
                "{said}"
            );
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_environment_is_the_image_s_and_no_other() {
        let (root, mut accounts) = accounts("of-image-env");
        let said = ["SECRET", "*", "SECRET_*", "=x", "A=b=c", "", "A=d", "HOME="].map(String::from);
        let env = environment(&said, &User::default(), &mut accounts).unwrap();
        assert_eq!(env, [PATH, "A=d", "HOME="].map(OsString::from));
        let env = environment(&[], &User::default(), &mut accounts).unwrap();
        assert_eq!(env, [PATH, "HOME=/root"].map(OsString::from));
        fs::remove_dir_all(root).unwrap();
    }
}
