//! Resource limits by name (getrlimit(2)).

use std::fmt;

use nix::sys::resource::{RLIM_INFINITY, Resource};

use crate::decimal::decimal;
use crate::error::{Error, Result};

/// The limits by their kernel names, without `RLIMIT_`.
const NAMES: [(&str, Resource); 16] = [
    ("AS", Resource::RLIMIT_AS),
    ("CORE", Resource::RLIMIT_CORE),
    ("CPU", Resource::RLIMIT_CPU),
    ("DATA", Resource::RLIMIT_DATA),
    ("FSIZE", Resource::RLIMIT_FSIZE),
    ("LOCKS", Resource::RLIMIT_LOCKS),
    ("MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("NICE", Resource::RLIMIT_NICE),
    ("NOFILE", Resource::RLIMIT_NOFILE),
    ("NPROC", Resource::RLIMIT_NPROC),
    ("RSS", Resource::RLIMIT_RSS),
    ("RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RTTIME", Resource::RLIMIT_RTTIME),
    ("SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("STACK", Resource::RLIMIT_STACK),
];

/// One limit: what it is on, and how high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The resource.
    pub resource: Resource,
    /// What the kernel enforces.
    pub soft: u64,
    /// How far the process may raise the soft limit.
    pub hard: u64,
}

impl Limit {
    /// A limit from `NAME=SOFT[:HARD]`; one number stands for both, `unlimited` for none. The name may be in
    /// any case and start with `RLIMIT_`.
    ///
    /// ```
    /// use isobox::rlimit::Limit;
    /// assert_eq!(Limit::parse("nofile=1024").unwrap().to_string(), "NOFILE=1024:1024");
    /// assert_eq!(Limit::parse("RLIMIT_CORE=0:unlimited").unwrap().to_string(), "CORE=0:unlimited");
    /// ```
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: &'static str| {
            Error::new("invalid resource limit")
                .on(text)
                .because(reason)
        };
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| bad("not NAME=SOFT[:HARD]"))?;
        let resource = named(name).ok_or_else(|| bad("no such limit; see getrlimit(2)"))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let number = |text| number(text).ok_or_else(|| bad("not a number or unlimited"));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft > hard {
            return Err(bad("the soft limit is above the hard limit"));
        }
        Ok(Self {
            resource,
            soft,
            hard,
        })
    }

    /// The resource's name, without `RLIMIT_`.
    pub fn name(&self) -> &'static str {
        let known = NAMES
            .iter()
            .find(|(_, resource)| *resource == self.resource);
        known.map_or("?", |(name, _)| name)
    }
}

impl fmt::Display for Limit {
    /// As [`Limit::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name())?;
        for (before, value) in [("", self.soft), (":", self.hard)] {
            match value {
                RLIM_INFINITY => write!(f, "{before}unlimited")?,
                value => write!(f, "{before}{value}")?,
            }
        }
        Ok(())
    }
}

/// The resource of this name.
pub fn named(name: &str) -> Option<Resource> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == bare);
    known.map(|(_, resource)| *resource)
}

fn number(text: &str) -> Option<u64> {
    if matches!(text, "unlimited" | "-1") {
        return Some(RLIM_INFINITY);
    }
    decimal(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written() {
        let cases = [
            ("NPROC=5:10", Ok("NPROC=5:10")),
            ("rlimit_as=unlimited", Ok("AS=unlimited:unlimited")),
            ("core=0", Ok("CORE=0:0")),
            ("core", Err("not NAME=SOFT[:HARD]")),
            ("cores=0", Err("no such limit; see getrlimit(2)")),
            ("core=-1", Ok("CORE=unlimited:unlimited")),
            ("core=-2", Err("not a number or unlimited")),
            ("core=", Err("not a number or unlimited")),
            ("core=1:", Err("not a number or unlimited")),
            (
                "core=18446744073709551616",
                Err("not a number or unlimited"),
            ),
            ("core=2:1", Err("the soft limit is above the hard limit")),
        ];
        for (text, want) in cases {
            let got = Limit::parse(text).map(|limit| limit.to_string());
            let want = want
                .map(str::to_owned)
                .map_err(|reason| format!("invalid resource limit {text}: {reason}"));
            assert_eq!(got.map_err(|e| e.to_string()), want);
        }
    }
}
