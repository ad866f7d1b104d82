//! Settings in one vocabulary: v2's names, which stand for v1's where a v1 hierarchy holds the controller.
//!
//! | v2 | v1 | difference |
//! |---|---|---|
//! | `memory.max` | `memory.limit_in_bytes` | `max` is `-1` |
//! | `memory.low` | `memory.soft_limit_in_bytes` | `max` is `-1` |
//! | `memory.swap.max` | `memory.memsw.limit_in_bytes` | v1 limits memory and swap together |
//! | `cpu.max` | `cpu.cfs_quota_us`, `cpu.cfs_period_us` | one line is two files |
//! | `cpu.weight` | `cpu.shares` | 100 is 1024 (and on a log scale between, as runtimes have it) |
//! | `io.max` | `blkio.throttle.*_device` | one line is up to four files |
//! | `cgroup.freeze` | `freezer.state` | `1` is `FROZEN` |
//!
//! `cpuset.*` and `pids.*` are the same in both. See cgroups(7), cgroup-v2.rst and cgroup-v1/*.rst.

use super::v1::weight_of_shares;
use super::value::{Limit, bytes, count, cpu_quota};
use crate::error::{Error, Result};

/// One value of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The file's name: `memory.max`.
    pub name: String,
    /// What to write.
    pub value: String,
    /// Nobody asked for it by name: a kernel that has no such file is no reason to fail.
    pub implied: bool,
}

impl Setting {
    /// A setting of a file.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            implied: false,
        }
    }

    /// The same, that nobody asked for by name.
    #[must_use]
    pub fn implied(mut self) -> Self {
        self.implied = true;
        self
    }

    /// From `NAME=VALUE`.
    ///
    /// # Errors
    /// For a text without `=`, and for a name that is no plain file name of a controller.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::new("no NAME=VALUE").on(text))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !name.contains('.') || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(Error::new("not the name of a setting")
                .on(name)
                .because("names look like memory.max"));
        }
        Ok(Self::new(name, value))
    }

    /// Says that it is what was meant by another.
    pub fn is_here(&self, meant: &Self) -> String {
        format!("{} is {}={} here", meant.name, self.name, self.value)
    }

    /// The controller it belongs to, in v2's words: `memory`, `io`; `cgroup` for the core files.
    pub fn controller(&self) -> &str {
        controller_of(&self.name)
    }
}

/// The controller that a file belongs to, in v2's words.
pub fn controller_of(name: &str) -> &str {
    match name.split('.').next().unwrap_or_default() {
        "blkio" => "io",
        "cpuacct" => "cpu",
        other => other,
    }
}

/// The files that are the same but for their name, and whose value is a size.
pub(super) const SIZES: [(&str, &str); 2] = [
    ("memory.max", "memory.limit_in_bytes"),
    ("memory.low", "memory.soft_limit_in_bytes"),
];

/// The v1 files of `io.max`, by the key of v2.
pub(super) const THROTTLES: [(&str, &str); 4] = [
    ("rbps", "blkio.throttle.read_bps_device"),
    ("wbps", "blkio.throttle.write_bps_device"),
    ("riops", "blkio.throttle.read_iops_device"),
    ("wiops", "blkio.throttle.write_iops_device"),
];

/// A setting in v2's words: what was given in v1's, translated, and values with units made plain.
///
/// # Errors
/// For a value out of the file's form, and for a v1 name that v2 has nothing for.
pub fn to_v2(given: &Setting) -> Result<Setting> {
    let Setting { name, value, .. } = given;
    if let Some((v2, _)) = SIZES.iter().find(|(_, v1)| v1 == name) {
        return Ok(Setting::new(*v2, bytes(value)?.to_string()));
    }
    if let Some((key, _)) = THROTTLES.iter().find(|(_, v1)| v1 == name) {
        let (device, limit) = value
            .split_once(' ')
            .ok_or_else(|| Error::new("no DEVICE VALUE").on(value))?;
        let limit = if limit == "0" {
            Limit::Max
        } else {
            bytes(limit)?
        };
        return Ok(Setting::new("io.max", format!("{device} {key}={limit}")));
    }
    match name.as_str() {
        "memory.max" | "memory.high" | "memory.low" | "memory.min" | "memory.swap.max"
        | "memory.swap.high" => Ok(Setting::new(name, bytes(value)?.to_string())),
        "pids.max" => Ok(Setting::new(name, count(value)?.to_string())),
        "io.max" => {
            let (device, limits) = value
                .split_once(' ')
                .ok_or_else(|| Error::new("no DEVICE LIMIT").on(value))?;
            super::io::limit(&format!("{device}:{}", limits.trim().replace(' ', ",")))
        }
        "cpu.max" => {
            let (quota, period) = cpu_quota(value)?;
            Ok(Setting::new(name, format!("{quota} {period}")))
        }
        "cpu.shares" => Ok(Setting::new(
            "cpu.weight",
            weight_of_shares(number(value)?).to_string(),
        )),
        "cpu.weight" => {
            let weight = number(value)?;
            if !(1..=10_000).contains(&weight) {
                return Err(Error::new("not a weight")
                    .on(value)
                    .because("a weight is 1 to 10000"));
            }
            Ok(given.clone())
        }
        "freezer.state" => match value.as_str() {
            "FROZEN" => Ok(Setting::new("cgroup.freeze", "1")),
            "THAWED" => Ok(Setting::new("cgroup.freeze", "0")),
            _ => Err(Error::new("not a state of the freezer")
                .on(value)
                .because("FROZEN or THAWED")),
        },
        // A quota alone keeps the period.
        "cpu.cfs_quota_us" => Ok(Setting::new("cpu.max", count(value)?.to_string())),
        "cpu.cfs_period_us" => Err(Error::new("v2 has no")
            .on(name)
            .because("quota and period are one setting: cpu.max='QUOTA PERIOD'")),
        _ => Ok(given.clone()),
    }
}

pub(super) fn number(text: &str) -> Result<u64> {
    match count(text)? {
        Limit::At(n) => Ok(n),
        Limit::Max => Err(Error::new("not a number").on(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(name: &str, value: &str) -> Option<(String, String)> {
        to_v2(&Setting::new(name, value))
            .ok()
            .map(|s| (s.name, s.value))
    }

    #[test]
    fn v1_words_are_understood() {
        let cases = [
            (
                "memory.limit_in_bytes",
                "512M",
                Some(("memory.max", "536870912")),
            ),
            ("memory.limit_in_bytes", "-1", Some(("memory.max", "max"))),
            ("memory.max", "100M", Some(("memory.max", "104857600"))),
            ("cpu.max", "20%", Some(("cpu.max", "20000 100000"))),
            ("freezer.state", "FROZEN", Some(("cgroup.freeze", "1"))),
            (
                "blkio.throttle.read_bps_device",
                "8:0 1M",
                Some(("io.max", "8:0 rbps=1048576")),
            ),
            ("pids.max", "10", Some(("pids.max", "10"))),
            ("pids.max", "ten", None),
            (
                "io.max",
                "8:0 rbps=1K wiops=max",
                Some(("io.max", "8:0 rbps=1024 wiops=max")),
            ),
            ("io.max", "8:0", None),
            ("cpu.weight", "0", None),
            ("cpu.cfs_quota_us", "1000", Some(("cpu.max", "1000"))),
            ("cpu.cfs_quota_us", "-1", Some(("cpu.max", "max"))),
            ("cpu.cfs_period_us", "1000", None),
        ];
        for (name, value, want) in cases {
            assert_eq!(
                v2(name, value),
                want.map(|(n, v)| (n.into(), v.into())),
                "{name}={value}"
            );
        }
    }
}
