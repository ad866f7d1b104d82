//! Values of the options of container: what may be typed, and what it means.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use isobox::capability::{Capability, Set};
use isobox::cgroup::group_path;
use isobox::credentials::Identity;
use isobox::error::{Doing, Error, Result};
use isobox::idmap::Range;
use isobox::oci::{self, Mount};
use nix::unistd::{getegid, geteuid};

use crate::cli::gnu;
use crate::cli::raw::Raw;

/// A value, and how it was typed: whoever starts the container later reads it again.
pub(super) struct Said<T> {
    text: String,
    value: T,
}

impl<T: argh::FromArgValue> argh::FromArgValue for Said<T> {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        Ok(Self {
            text: value.into(),
            value: T::from_arg_value(value)?,
        })
    }
}

impl<T> Said<T> {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn get(&self) -> &T {
        &self.value
    }

    pub(super) fn value(self) -> T {
        self.value
    }
}

/// The values alone, taken out.
pub(super) fn values<T>(said: &mut Vec<Said<T>>) -> Vec<T> {
    std::mem::take(said).into_iter().map(Said::value).collect()
}

/// As they were typed, one a line.
pub(super) fn lines<T>(said: &[Said<T>]) -> String {
    let words: Vec<&str> = said.iter().map(|one| &*one.text).collect();
    words.join("\n")
}

/// `--OPTION=true`, `--OPTION=false`, and the option alone for true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truth(pub(super) bool);

impl argh::FromArgValue for Truth {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "" | "true" | "1" => Ok(Self(true)),
            "false" | "0" => Ok(Self(false)),
            _ => Err(gnu::bad(format!("neither true nor false: '{value}'"))),
        }
    }
}

/// `NAME=VALUE`; a name alone has an empty value.
pub(super) fn pair(Raw(text): &Raw) -> Result<(String, String)> {
    let bad = |why: &'static str| Error::new("invalid label").on(text).because(why);
    let text = text.to_str().ok_or_else(|| bad("it is no UTF-8"))?;
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match name {
        "" => Err(bad("it has no name")),
        name => Ok((name.into(), value.into())),
    }
}

/// `64k`, `16m`, `1g`: bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 10),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 20),
        b'g' | b'G' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    isobox::decimal::decimal::<u64>(digits)?.checked_mul(1 << shift)
}

/// No program starts with less: what the kernel itself needs for a process counts too (`tests/bench/oci`).
const LEAST_MEMORY: u64 = 128 << 10;

/// A memory limit that a program can start with. 0 is none, as docker has it.
pub(super) fn enough_memory(text: String) -> Result<String> {
    if !bytes(&text).is_some_and(|bytes| (1..LEAST_MEMORY).contains(&bytes)) {
        return Ok(text);
    }
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let error = Error::new("memory limit too small:")
        .on(&text)
        .because("no program starts with less than 128K");
    let unit = format!("without a unit it counts bytes: {text}M");
    Err(error.hint_maybe(bare.then_some(unit)))
}

/// A control group's path as typed.
pub(super) struct CgroupPath(pub(super) PathBuf);

impl argh::FromArgValue for CgroupPath {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        group_path(value.as_ref()).map(Self).map_err(gnu::bad)
    }
}

/// What the container sees of control groups.
pub(super) enum CgroupView {
    Private,
    Host,
}

impl argh::FromArgValue for CgroupView {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(gnu::bad(format!("neither private nor host: '{value}'"))),
        }
    }
}

/// Which ids exist in a user namespace.
pub(super) enum Ids {
    /// A range of its own.
    Auto,
    Single,
    Subids,
    /// Those of the machine.
    Host,
}

impl argh::FromArgValue for Ids {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "auto" => Ok(Self::Auto),
            "single" => Ok(Self::Single),
            "subids" => Ok(Self::Subids),
            "host" => Ok(Self::Host),
            _ => Err(gnu::bad(format!(
                "neither auto, host, single nor subids: '{value}'"
            ))),
        }
    }
}

/// A name that can stand in a path and a line: what docker takes.
pub(super) fn check_name(name: &OsStr) -> Result<()> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    let ok = match name.as_bytes() {
        [first, rest @ ..] => {
            first.is_ascii_alphanumeric()
                && !rest.is_empty()
                && rest.len() < 128
                && rest.iter().all(plain)
        }
        [] => false,
    };
    if ok {
        return Ok(());
    }
    Err(Error::new("invalid container name")
        .on(name)
        .because("[a-zA-Z0-9][a-zA-Z0-9_.-]+ is expected"))
}

/// The caller's own ids, under the numbers that the program is to have.
pub(super) fn single_maps(who: &Identity) -> [Vec<Range>; 2] {
    let one = |inside, outside| {
        vec![Range {
            inside,
            outside,
            count: 1,
        }]
    };
    [
        one(who.uid, geteuid().as_raw()),
        one(who.gid, getegid().as_raw()),
    ]
}

pub(super) fn capabilities(add: &[Raw], drop: &[Raw]) -> Result<oci::Capabilities> {
    let bits = |names: &[Raw]| {
        names.iter().try_fold(Set::EMPTY, |all, Raw(name)| {
            let text = name.to_str().unwrap_or_default();
            let bits = match Capability::named(text) {
                _ if text.eq_ignore_ascii_case("all") => Set::all().0,
                Some(cap) if Set::all().has(cap) => cap.bit(),
                _ => return Err(Error::new("unknown capability").on(name)),
            };
            Ok(Set(all.0 | bits))
        })
    };
    let (add, drop) = (bits(add)?, bits(drop)?);
    let everything = Set::all();
    // As docker: what is named is stronger than ALL, and of two names the addition.
    let kept = match (add == everything, drop == everything) {
        (true, _) => Set(everything.0 & !drop.0),
        (false, true) => add,
        (false, false) => Set(oci::default_capabilities().0 & !drop.0 | add.0),
    };
    Ok(oci::Capabilities::of_root(kept))
}

/// `NAME=VALUE`, or `NAME` for our own value, which only whoever typed this may ask for.
pub(super) fn set_variable(env: &mut Vec<OsString>, entry: &OsStr) -> Result<()> {
    let bytes = entry.as_bytes();
    let end = bytes.iter().position(|b| *b == b'=').unwrap_or(bytes.len());
    if end == 0 {
        return Err(Error::new("invalid environment variable")
            .on(entry)
            .because("it has no name"));
    }
    let value = match bytes.get(end) {
        Some(_) => Some(entry.to_owned()),
        None => std::env::var_os(entry)
            .map(|value| [entry, OsStr::new("="), &value].into_iter().collect()),
    };
    let name = &bytes[..end];
    env.retain(|known| known.as_bytes().split(|b| *b == b'=').next() != Some(name));
    env.extend(value);
    Ok(())
}

/// The lines of a file, each `NAME=VALUE` or `NAME`; `#` starts a remark.
pub(super) fn env_file(env: &mut Vec<OsString>, file: &OsStr) -> Result<()> {
    let text = std::fs::read(file).doing_to("cannot read", file)?;
    for line in text.split(|b| *b == b'\n') {
        let line = line.trim_ascii_start();
        if !line.is_empty() && !line.starts_with(b"#") {
            set_variable(env, OsStr::from_bytes(line))?;
        }
    }
    Ok(())
}

pub(super) fn absolute_inside(what: &str, path: &OsStr) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Error::new(format!("the {what} must be an absolute path:")).on(path))
}

/// `SRC:DST[:OPTIONS]`. Devices do not work there, and the mounts below the source come along.
pub(super) fn bind(volume: &OsStr) -> Result<Mount> {
    let bad = |why: &'static str| Error::new("invalid volume").on(volume).because(why);
    let fields: Vec<&OsStr> = volume
        .as_bytes()
        .split(|b| *b == b':')
        .map(OsStr::from_bytes)
        .collect();
    let (source, target, options) = match fields[..] {
        [source, target] => (source, target, OsStr::new("rw")),
        [source, target, options] => (source, target, options),
        _ => return Err(bad("SRC:DST[:ro] is expected")),
    };
    if source.is_empty() || !Path::new(target).is_absolute() {
        return Err(bad("SRC:DST is expected, DST an absolute path"));
    }
    if !source.as_bytes().contains(&b'/') && source != "." && source != ".." {
        return Err(bad("there are no named volumes").hint("a directory here is meant by ./NAME"));
    }
    if isobox::root::inside(Path::new(target))
        .as_os_str()
        .is_empty()
    {
        return Err(bad("the root itself cannot be a volume").hint("--rootfs names the root"));
    }
    let mut words: Vec<OsString> = ["rbind", "nodev", "nosuid"].map(OsString::from).into();
    for option in options.as_bytes().split(|b| *b == b',') {
        match option {
            b"ro" => words.push("rro".into()),
            b"rw" => {}
            b"idmap" => words.push("idmap".into()),
            _ => return Err(bad("ro, rw and idmap are the options there are")),
        }
    }
    let source = std::path::absolute(source).doing_to("cannot find", source)?;
    Ok(Mount {
        destination: target.into(),
        kind: "none".into(),
        source: source.into(),
        options: words,
        ..Mount::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(names: &[&str]) -> Vec<Raw> {
        names.iter().map(|name| Raw(name.into())).collect()
    }

    #[test]
    fn capabilities_are_counted_as_docker_does() {
        let all = Set::all().0;
        let chown = 1;
        let default = oci::default_capabilities().0;
        let cases: [(&[&str], &[&str], u64); 7] = [
            (&[], &[], default),
            (&["NET_ADMIN"], &[], default | 1 << 12),
            (&["cap_net_admin"], &["chown"], default & !chown | 1 << 12),
            (&[], &["ALL"], 0),
            (&["chown"], &["all"], chown),
            (&["ALL"], &[], all),
            (&["ALL"], &["CHOWN"], all & !chown),
        ];
        for (add, drop, want) in cases {
            let got = capabilities(&raw(add), &raw(drop)).unwrap();
            assert_eq!(
                (got.permitted.set.0, got.bounding.set.0),
                (want, want),
                "+{add:?} -{drop:?}"
            );
        }
        assert!(capabilities(&raw(&["nonsense"]), &[]).is_err());
    }

    #[test]
    fn variables_replace_each_other_and_nothing_leaks() {
        let mut env = vec!["PATH=/bin".into(), "HOME=/".into()];
        for entry in ["A=1", "PATH=/x", "A=2=3", "NOT_SET_ANYWHERE_1"] {
            set_variable(&mut env, OsStr::new(entry)).unwrap();
        }
        assert_eq!(env, ["HOME=/", "PATH=/x", "A=2=3"]);
        assert!(set_variable(&mut env, OsStr::new("=x")).is_err());
    }

    #[test]
    fn volumes_are_read() {
        for bad in [
            "/a",
            "a:/b",
            ":/b",
            "/a:b",
            "/a:/b:wo",
            "/a:/",
            "/a:/b/..",
            "/a:/b:ro:x",
            "",
        ] {
            assert!(bind(OsStr::new(bad)).is_err(), "{bad}");
        }
        let mount = bind(OsStr::new("/a:/b:ro")).unwrap();
        assert_eq!(
            (mount.source.to_str(), mount.destination.to_str()),
            (Some("/a"), Some("/b"))
        );
        assert_eq!(mount.options, ["rbind", "nodev", "nosuid", "rro"]);
    }

    #[test]
    fn names_are_plain() {
        for (name, ok) in [
            ("web-1", true),
            ("a", false),
            ("", false),
            ("../x", false),
            ("-x", false),
            ("a b", false),
        ] {
            assert_eq!(check_name(OsStr::new(name)).is_ok(), ok, "{name}");
        }
    }
}
