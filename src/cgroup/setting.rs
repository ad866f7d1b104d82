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
const SIZES: [(&str, &str); 2] = [
    ("memory.max", "memory.limit_in_bytes"),
    ("memory.low", "memory.soft_limit_in_bytes"),
];

/// The v1 files of `io.max`, by the key of v2.
const THROTTLES: [(&str, &str); 4] = [
    ("rbps", "blkio.throttle.read_bps_device"),
    ("wbps", "blkio.throttle.write_bps_device"),
    ("riops", "blkio.throttle.read_iops_device"),
    ("wiops", "blkio.throttle.write_iops_device"),
];

/// v1's limit of memory and swap together.
pub(super) const MEMSW: &str = "memory.memsw.limit_in_bytes";

/// Whether a name of v1 has no single counterpart in v2: in a v1 hierarchy it is written as it is.
pub(super) fn is_v1_only(name: &str) -> bool {
    matches!(name, MEMSW | "cpu.cfs_quota_us" | "cpu.cfs_period_us")
}

/// Whether a name is v1's and not v2's.
pub(crate) fn is_v1_name(name: &str) -> bool {
    is_v1_only(name)
        || matches!(name, "cpu.shares" | "freezer.state")
        || SIZES.iter().any(|(_, v1)| *v1 == name)
        || THROTTLES.iter().any(|(_, v1)| *v1 == name)
}

/// v2's limit of swap, from v1's of memory and swap together.
///
/// # Errors
/// For no size, and for less than memory alone.
pub(super) fn swap_alone(both: &Setting, memory: Limit) -> Result<Setting> {
    let swap = match (bytes(&both.value)?, memory) {
        (Limit::Max, _) => Limit::Max,
        (Limit::At(both), Limit::At(memory)) if both >= memory => Limit::At(both - memory),
        _ => {
            return Err(Error::new(
                "memory and swap together are limited to less than memory alone:",
            )
            .on(&both.value)
            .because(format!("memory.max is {memory}")));
        }
    };
    Ok(Setting::new("memory.swap.max", swap.to_string()))
}

/// v1 refuses a memory limit over that of memory and swap together, so both move, in the order that keeps them right,
/// and the room for swap stays as it is. `now` is what both are.
pub(super) fn v1_limits(memory: Limit, now: Option<(Limit, Limit)>) -> Vec<Setting> {
    let alone = Setting::new("memory.limit_in_bytes", v1_limit(memory));
    let Some((Limit::At(limit), Limit::At(both))) = now.filter(|(_, both)| is_limited(*both))
    else {
        return vec![alone];
    };
    let room = Limit::At(both.saturating_sub(limit));
    let both = Setting::new(MEMSW, v1_limit(sum(memory, room)));
    match memory {
        Limit::At(n) if n <= limit => vec![alone, both],
        _ => vec![both, alone],
    }
}

/// v1 writes "no limit" as the largest multiple of a page.
fn is_limited(limit: Limit) -> bool {
    matches!(limit, Limit::At(n) if n < 0x7fff_ffff_ffff_f000)
}

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

/// The v1 files that a setting in v2's words means, in the order in which they must be written.
///
/// `memory_limit` is the group's memory limit when this is written, because v1 limits memory and swap together.
///
/// # Errors
/// For what v1 has nothing for.
pub fn to_v1(setting: &Setting, memory_limit: Limit) -> Result<Vec<Setting>> {
    let Setting { name, value, .. } = setting;
    if let Some((_, v1)) = SIZES.iter().find(|(v2, _)| v2 == name) {
        return Ok(vec![Setting::new(*v1, v1_limit(bytes(value)?))]);
    }
    let one = |file: &str, value: String| Ok(vec![Setting::new(file, value)]);
    match name.as_str() {
        "memory.swap.max" => one(MEMSW, v1_limit(sum(memory_limit, bytes(value)?))),
        "cpu.max" => {
            let (quota, period) = cpu_quota(value)?;
            // The period first: a quota is checked against it.
            Ok(vec![
                Setting::new("cpu.cfs_period_us", period.to_string()),
                Setting::new("cpu.cfs_quota_us", v1_limit(quota)),
            ])
        }
        "cpu.weight" => one("cpu.shares", shares_of_weight(number(value)?).to_string()),
        "io.max" => throttles(value),
        "cgroup.freeze" => one(
            "freezer.state",
            if value == "1" { "FROZEN" } else { "THAWED" }.into(),
        ),
        "memory.high" | "memory.min" | "memory.oom.group" | "cpu.max.burst" | "cpu.idle"
        | "io.weight" | "io.latency" | "memory.reclaim" => {
            Err(Error::new("cgroup v1 has no").on(name))
        }
        _ if name.starts_with("cgroup.") => Err(Error::new("cgroup v1 has no").on(name)),
        _ => Ok(vec![setting.clone()]),
    }
}

/// The text of a file of v2, made of those that v1 has for it. `read` reads a v1 file.
///
/// # Errors
/// Those of `read`.
pub fn from_v1(name: &str, read: impl Fn(&str) -> Result<String>) -> Result<String> {
    let limit = |text: &str| match bytes(text.trim()) {
        Ok(limit) if is_limited(limit) => limit.to_string(),
        _ => "max".into(),
    };
    if let Some((_, v1)) = SIZES.iter().find(|(v2, _)| *v2 == name) {
        return Ok(format!("{}\n", limit(&read(v1)?)));
    }
    match name {
        "memory.current" => read("memory.usage_in_bytes"),
        "memory.peak" => read("memory.max_usage_in_bytes"),
        "memory.swap.max" => {
            let both = limit(&read(MEMSW)?);
            let memory = read("memory.limit_in_bytes")?
                .trim()
                .parse::<u64>()
                .unwrap_or(0);
            Ok(match both.parse::<u64>() {
                Ok(both) => format!("{}\n", both.saturating_sub(memory)),
                Err(_) => "max\n".into(),
            })
        }
        "cpu.max" => {
            let quota = limit(&read("cpu.cfs_quota_us")?);
            Ok(format!("{quota} {}\n", read("cpu.cfs_period_us")?.trim()))
        }
        "cpu.weight" => {
            let shares = read("cpu.shares")?.trim().parse().unwrap_or(1024);
            Ok(format!("{}\n", weight_of_shares(shares)))
        }
        "io.max" => unthrottled(read),
        "cgroup.freeze" => Ok(if read("freezer.state")?.trim() == "THAWED" {
            "0\n"
        } else {
            "1\n"
        }
        .into()),
        _ => read(name),
    }
}

/// `io.max`, a line for each device, of what v1 keeps in four files with a line for each device.
fn unthrottled(read: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut devices: Vec<(String, String)> = Vec::new();
    for (key, file) in THROTTLES {
        for line in read(file)?.lines() {
            let Some((device, limit)) = line.split_once(' ') else {
                continue;
            };
            let word = format!(" {key}={limit}");
            match devices.iter_mut().find(|(known, _)| known == device) {
                Some((_, words)) => words.push_str(&word),
                None => devices.push((device.into(), word)),
            }
        }
    }
    let lines = devices
        .iter()
        .map(|(device, words)| format!("{device}{words}\n"));
    Ok(lines.collect())
}

fn throttles(value: &str) -> Result<Vec<Setting>> {
    let mut words = value.split_whitespace();
    let device = words
        .next()
        .ok_or_else(|| Error::new("io.max names no device"))?;
    words
        .map(|word| {
            let (key, limit) = word.split_once('=').unwrap_or((word, ""));
            let file = THROTTLES.iter().find(|(v2, _)| *v2 == key);
            let (_, file) = file.ok_or_else(|| Error::new("not a limit of io.max").on(word))?;
            // In v1 zero lifts the limit.
            let limit = match bytes(limit)? {
                Limit::Max => 0,
                Limit::At(n) => n,
            };
            Ok(Setting::new(*file, format!("{device} {limit}")))
        })
        .collect()
}

fn number(text: &str) -> Result<u64> {
    match count(text)? {
        Limit::At(n) => Ok(n),
        Limit::Max => Err(Error::new("not a number").on(text)),
    }
}

fn v1_limit(limit: Limit) -> String {
    match limit {
        Limit::Max => "-1".into(),
        Limit::At(n) => n.to_string(),
    }
}

fn sum(a: Limit, b: Limit) -> Limit {
    match (a, b) {
        (Limit::At(a), Limit::At(b)) => Limit::At(a.saturating_add(b)),
        _ => Limit::Max,
    }
}

/// v1's `cpu.shares` (2 to 262144, 1024 by default) as a weight (1 to 10000, 100 by default), on the curve that
/// runtimes agreed on in 2025: it meets both ends and both defaults.
/// `weight = ceil(10 ^ ((l^2 + 125 l) / 612 - 7/34))`, with `l = log2(shares)`.
pub fn weight_of_shares(shares: u64) -> u64 {
    // The ends exactly: rounding errors would be rounded up to a whole weight.
    match shares {
        0..=2 => return 1,
        262_144.. => return 10_000,
        _ => {}
    }
    #[allow(clippy::cast_precision_loss, reason = "below 2^18")]
    let l = (shares as f64).log2();
    let weight = 10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10000"
    )]
    let weight = weight as u64;
    weight.clamp(1, 10_000)
}

/// A weight as v1's `cpu.shares`: the most shares whose weight it is.
pub fn shares_of_weight(weight: u64) -> u64 {
    let (mut low, mut high) = (2, 262_144);
    while low < high {
        let middle = u64::midpoint(low, high + 1);
        if weight_of_shares(middle) > weight {
            high = middle - 1;
        } else {
            low = middle;
        }
    }
    low
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

    #[test]
    fn v2_words_reach_v1() {
        let v1 = |name: &str, value: &str| {
            to_v1(&Setting::new(name, value), Limit::At(100))
                .ok()
                .map(|all| {
                    all.iter()
                        .map(|s| format!("{}={}", s.name, s.value))
                        .collect::<Vec<_>>()
                        .join(" ")
                })
        };
        let cases = [
            ("memory.max", "max", Some("memory.limit_in_bytes=-1")),
            (
                "memory.swap.max",
                "0",
                Some("memory.memsw.limit_in_bytes=100"),
            ),
            (
                "memory.swap.max",
                "max",
                Some("memory.memsw.limit_in_bytes=-1"),
            ),
            (
                "cpu.max",
                "max 100000",
                Some("cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1"),
            ),
            ("cpu.weight", "100", Some("cpu.shares=1024")),
            ("cpuset.cpus", "0-1", Some("cpuset.cpus=0-1")),
            ("memory.high", "1M", None),
            (
                "io.max",
                "8:0 rbps=1M wiops=max",
                Some(
                    "blkio.throttle.read_bps_device=8:0 1048576 blkio.throttle.write_iops_device=8:0 0",
                ),
            ),
        ];
        for (name, value, want) in cases {
            assert_eq!(v1(name, value).as_deref(), want, "{name}={value}");
        }
    }

    #[test]
    fn memory_and_swap_move_together_on_v1() {
        use Limit::{At, Max};
        let words = |memory, now| {
            let all = v1_limits(memory, now);
            let word = |s: &Setting| {
                format!(
                    "{}={}",
                    if s.name == MEMSW { "both" } else { "memory" },
                    s.value
                )
            };
            all.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        let unlimited = At(0x7fff_ffff_ffff_f000);
        let cases = [
            (At(100), None, "memory=100"),
            (At(100), Some((unlimited, unlimited)), "memory=100"),
            (At(100), Some((At(50), unlimited)), "memory=100"),
            (At(100), Some((At(50), At(50))), "both=100 memory=100"),
            (At(100), Some((At(50), At(70))), "both=120 memory=100"),
            (At(20), Some((At(50), At(50))), "memory=20 both=20"),
            (Max, Some((At(50), At(60))), "both=-1 memory=-1"),
        ];
        for (memory, now, want) in cases {
            assert_eq!(words(memory, now), want, "{memory} {now:?}");
        }
        let both = |value| {
            swap_alone(&Setting::new(MEMSW, value), At(100))
                .map(|s| s.value)
                .ok()
        };
        assert_eq!(both("150").as_deref(), Some("50"));
        assert_eq!(both("-1").as_deref(), Some("max"));
        assert_eq!(both("99"), None);
    }

    #[test]
    fn v1_throttles_read_as_one_file() {
        let read = |file: &str| {
            Ok(match file {
                "blkio.throttle.read_bps_device" => "8:0 1024\n8:16 5\n",
                "blkio.throttle.write_iops_device" => "8:0 7\n",
                _ => "",
            }
            .to_owned())
        };
        assert_eq!(
            from_v1("io.max", read).unwrap(),
            "8:0 rbps=1024 wiops=7\n8:16 rbps=5\n"
        );
    }

    #[test]
    fn weights_and_shares_meet_at_the_ends_and_the_defaults() {
        assert_eq!([2, 1024, 262_144].map(weight_of_shares), [1, 100, 10_000]);
        assert_eq!([1, 100, 10_000].map(shares_of_weight), [2, 1024, 262_144]);
    }
}
