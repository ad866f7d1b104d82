//! Landlock by name: accesses a process gives up, and rules that give some of them back (landlock(7)).
//!
//! The words are setpriv(1)'s: an access is `fs`, `net` or `scope`, alone or with rights
//! (`fs:write-file,make-reg`); a rule is `path-beneath:RIGHTS:PATH` or `net-port:RIGHTS:PORT`, where no rights
//! mean all that were given up.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::decimal::decimal;
use crate::error::{Doing, Error, Result};
use crate::sys::landlock::{About, Handled, ask};

/// One area of accesses. The names of its rights stand at their bits (linux/landlock.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Files and directories.
    Fs,
    /// Ports.
    Net,
    /// What lies outside the domain.
    Scope,
}

/// The rights of files, at their bits.
const FS: [&str; 17] = [
    "execute",
    "write-file",
    "read-file",
    "read-dir",
    "remove-dir",
    "remove-file",
    "make-char",
    "make-dir",
    "make-reg",
    "make-sock",
    "make-fifo",
    "make-block",
    "make-sym",
    "refer",
    "truncate",
    "ioctl-dev",
    "resolve-unix",
];
const NET: [&str; 4] = ["bind-tcp", "connect-tcp", "bind-udp", "connect-send-udp"];
const SCOPE: [&str; 2] = ["abstract-unix-socket", "signal"];

impl Area {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fs, Self::Net, Self::Scope];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fs => "fs",
            Self::Net => "net",
            Self::Scope => "scope",
        }
    }

    fn rights(self) -> &'static [&'static str] {
        match self {
            Self::Fs => &FS,
            Self::Net => &NET,
            Self::Scope => &SCOPE,
        }
    }

    /// How many rights of this area each version of the interface has, from version 1.
    fn counts(self) -> &'static [u32] {
        match self {
            Self::Fs => &[13, 14, 15, 15, 16, 16, 16, 16, 17],
            Self::Net => &[0, 0, 0, 2, 2, 2, 2, 2, 2, 4],
            Self::Scope => &[0, 0, 0, 0, 0, 2],
        }
    }

    /// The rights that version `abi` of the interface has.
    fn known(self, abi: u32) -> u64 {
        let counts = self.counts();
        let at = usize::try_from(abi.saturating_sub(1)).unwrap_or(usize::MAX);
        let count = counts.get(at).or(counts.last()).filter(|_| abi > 0);
        (1 << count.copied().unwrap_or(0)) - 1
    }

    /// The names of these rights.
    pub fn names(self, rights: u64) -> Vec<&'static str> {
        let all = self.rights().iter().enumerate();
        all.filter(|(bit, _)| rights & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect()
    }

    /// Reads `right,right`.
    fn parse(self, list: &str, abi: u32) -> Result<u64> {
        let mut rights = 0;
        for word in list.split(',') {
            let Some(bit) = self.rights().iter().position(|name| *name == word) else {
                return Err(match self {
                    Self::Scope => Error::new(format!(
                        "could not parse Landlock scope restriction: {list}"
                    )),
                    _ => Error::new(format!(
                        "could not parse Landlock {} access: {list}",
                        self.name()
                    )),
                });
            };
            rights |= 1 << bit;
        }
        match self.names(rights & !self.known(abi)).first() {
            None => Ok(rights),
            Some(name) => {
                let what = if self == Self::Scope {
                    "restriction"
                } else {
                    "access right"
                };
                Err(Error::new(format!(
                    "Landlock {} {what} is not supported by the running kernel: {name}",
                    self.name()
                )))
            }
        }
    }
}

/// The version of this kernel's interface.
///
/// # Errors
/// `Landlock is not supported`, or that it is disabled.
pub fn version() -> Result<u32> {
    ask(About::Version).map_err(|errno| {
        Error::new(match errno {
            Errno::ENOSYS => "Landlock is not supported",
            Errno::EOPNOTSUPP => "Landlock is supported but currently disabled",
            _ => "failed to obtain Landlock ABI version",
        })
        .errno_is(errno)
    })
}

/// The rights of an area that this kernel has.
///
/// # Errors
/// Those of [`version`].
pub fn supported(area: Area) -> Result<u64> {
    version().map(|abi| area.known(abi))
}

/// Something that is allowed although its access was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rights; 0 means all that were given up.
    pub rights: u64,
    /// On what.
    pub on: Object,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A file, or a directory and all below it.
    Beneath(PathBuf),
    /// A port.
    Port(u16),
}

impl Rule {
    fn area(&self) -> Area {
        match self.on {
            Object::Beneath(_) => Area::Fs,
            Object::Port(_) => Area::Net,
        }
    }

    /// As setpriv(1) reads it.
    pub fn word(&self) -> OsString {
        let rights = self.area().names(self.rights).join(",");
        match &self.on {
            Object::Beneath(path) => {
                let mut word = OsString::from(format!("path-beneath:{rights}:"));
                word.push(path);
                word
            }
            Object::Port(port) => format!("net-port:{rights}:{port}").into(),
        }
    }
}

/// What a process gives up, and what it keeps of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    /// What is given up.
    pub handled: Handled,
    /// What is allowed all the same.
    pub rules: Vec<Rule>,
}

impl Domain {
    /// Reads accesses and rules in setpriv(1)'s words.
    ///
    /// # Errors
    /// setpriv's sentences.
    pub fn parse<'a>(
        accesses: impl IntoIterator<Item = &'a OsStr>,
        rules: impl IntoIterator<Item = &'a OsStr>,
        abi: u32,
    ) -> Result<Self> {
        let mut domain = Self::default();
        for access in accesses {
            domain.give_up(access, abi)?;
        }
        for rule in rules {
            domain.rules.push(parse_rule(rule, abi)?);
        }
        for rule in &domain.rules {
            if domain.rights_in(rule.area()) == 0 {
                return Err(Error::new(match rule.area() {
                    Area::Net => {
                        "Landlock net-port rule requires a network access restriction (--landlock-access net)"
                    }
                    _ => {
                        "Landlock path-beneath rule requires a filesystem access restriction (--landlock-access fs)"
                    }
                }));
            }
        }
        Ok(domain)
    }

    fn give_up(&mut self, access: &OsStr, abi: u32) -> Result<()> {
        let bad = || Error::new("invalid Landlock access:").on(access);
        let text = access.to_str().ok_or_else(bad)?;
        let (name, list) = text.split_once(':').unwrap_or((text, ""));
        let area = Area::ALL.into_iter().find(|area| area.name() == name);
        let area = area.ok_or_else(bad)?;
        let rights = match list {
            "" if area.known(abi) == 0 => {
                return Err(Error::new(format!("Landlock {name} is not supported")));
            }
            "" => area.known(abi),
            list => area.parse(list, abi)?,
        };
        *self.handled_in(area) |= rights;
        Ok(())
    }

    fn handled_in(&mut self, area: Area) -> &mut u64 {
        match area {
            Area::Fs => &mut self.handled.fs,
            Area::Net => &mut self.handled.net,
            Area::Scope => &mut self.handled.scoped,
        }
    }

    fn rights_in(&self, area: Area) -> u64 {
        match area {
            Area::Fs => self.handled.fs,
            Area::Net => self.handled.net,
            Area::Scope => self.handled.scoped,
        }
    }

    /// Whether nothing is given up.
    pub fn is_empty(&self) -> bool {
        self.handled == Handled::default()
    }

    /// The rights that a rule allows.
    pub fn rights_of(&self, rule: &Rule) -> u64 {
        match rule.rights {
            0 => self.rights_in(rule.area()),
            rights => rights,
        }
    }

    /// What is given up, as setpriv(1) reads it, one word an area.
    pub fn accesses(&self) -> Vec<String> {
        Area::ALL
            .into_iter()
            .map(|area| (area, self.rights_in(area)))
            .filter(|(_, rights)| *rights != 0)
            .map(|(area, rights)| format!("{}:{}", area.name(), area.names(rights).join(",")))
            .collect()
    }
}

fn parse_rule(rule: &OsStr, abi: u32) -> Result<Rule> {
    let bad = || Error::new("invalid Landlock rule:").on(rule);
    // A path may hold colons, and any bytes.
    let mut parts = rule.as_bytes().splitn(3, |b| *b == b':');
    let (Some(kind), Some(rights), Some(object)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let (area, on) = match kind {
        b"path-beneath" => (Area::Fs, Object::Beneath(OsStr::from_bytes(object).into())),
        b"net-port" => (
            Area::Net,
            Object::Port(parse_port(OsStr::from_bytes(object))?),
        ),
        _ => return Err(bad()),
    };
    let rights = match std::str::from_utf8(rights).map_err(|_| bad())? {
        "" => 0,
        list => area.parse(list, abi)?,
    };
    Ok(Rule { rights, on })
}

fn parse_port(text: &OsStr) -> Result<u16> {
    decimal(text.as_bytes())
        .ok_or(Errno::EINVAL)
        .doing_to("could not parse port number:", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(accesses: &[&str], rules: &[&str], abi: u32) -> Result<Domain> {
        let accesses = accesses.iter().map(OsStr::new);
        Domain::parse(accesses, rules.iter().map(OsStr::new), abi)
    }

    #[test]
    fn accesses_are_read_by_the_version_of_the_kernel() {
        type Accesses<'a> = &'a [&'a str];
        let cases: [(Accesses, u32, (u64, u64, u64)); 7] = [
            (&["fs"], 1, (0x1fff, 0, 0)),
            (&["fs:"], 2, (0x3fff, 0, 0)),
            (&["fs", "net", "scope"], 7, (0xffff, 3, 3)),
            (&["fs"], 99, (0x1_ffff, 0, 0)),
            (&["fs:execute", "fs:read-dir,execute"], 1, (0b1001, 0, 0)),
            (&["net:connect-tcp"], 4, (0, 2, 0)),
            (&["scope:signal"], 6, (0, 0, 2)),
        ];
        for (accesses, abi, (fs, net, scoped)) in cases {
            let got = domain(accesses, &[], abi).unwrap();
            assert_eq!(got.handled, Handled { fs, net, scoped }, "{accesses:?}");
            let words = got.accesses();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(domain(&words, &[], abi).unwrap(), got, "{words:?}");
        }
    }

    #[test]
    fn rules_are_read() {
        let cases = [
            (
                "path-beneath:read-file,execute:/a:b",
                0b101,
                Object::Beneath("/a:b".into()),
            ),
            ("path-beneath::/", 0, Object::Beneath("/".into())),
            ("net-port:bind-tcp:80", 1, Object::Port(80)),
            ("net-port::0", 0, Object::Port(0)),
        ];
        for (word, rights, on) in cases {
            let got = domain(&["fs", "net"], &[word], 7).unwrap();
            assert_eq!(got.rules, [Rule { rights, on }], "{word}");
        }
        let got = domain(&["fs:execute"], &["path-beneath::/"], 7).unwrap();
        assert_eq!(got.rights_of(&got.rules[0]), 1);
    }

    #[test]
    fn what_is_wrong_is_said_in_setpriv_words() {
        let cases: [(&[&str], &[&str], u32, &str); 12] = [
            (&["fsx"], &[], 7, "invalid Landlock access: fsx"),
            (
                &["fs:bogus"],
                &[],
                7,
                "could not parse Landlock fs access: bogus",
            ),
            (
                &["fs:read"],
                &[],
                7,
                "could not parse Landlock fs access: read",
            ),
            (
                &["fs:execute,"],
                &[],
                7,
                "could not parse Landlock fs access: execute,",
            ),
            (
                &["scope:x"],
                &[],
                7,
                "could not parse Landlock scope restriction: x",
            ),
            (&["net"], &[], 3, "Landlock net is not supported"),
            (
                &["fs:truncate"],
                &[],
                2,
                "Landlock fs access right is not supported by the running kernel: truncate",
            ),
            (
                &["fs"],
                &["path-beneath:/"],
                7,
                "invalid Landlock rule: path-beneath:/",
            ),
            (
                &["fs"],
                &["path:execute:/"],
                7,
                "invalid Landlock rule: path:execute:/",
            ),
            (
                &["net"],
                &["net-port::65536"],
                7,
                "could not parse port number: 65536: Invalid argument",
            ),
            (
                &["net"],
                &["path-beneath::/"],
                7,
                "Landlock path-beneath rule requires a filesystem access restriction (--landlock-access fs)",
            ),
            (
                &["fs"],
                &["net-port::1"],
                7,
                "Landlock net-port rule requires a network access restriction (--landlock-access net)",
            ),
        ];
        for (accesses, rules, abi, want) in cases {
            let error = domain(accesses, rules, abi).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
