//! What v2's words mean in a v1 hierarchy, and what v1's files say in v2's words (cgroup-v1/*.rst).

use super::setting::{SIZES, Setting, THROTTLES, number};
use super::value::{Limit, bytes, cpu_quota};
use crate::error::{Error, Result};

/// v1's limit of memory and swap together.
pub(crate) const MEMSW: &str = "memory.memsw.limit_in_bytes";

/// Whether a name of v1 has no single counterpart in v2: in a v1 hierarchy it is written as it is.
pub(super) fn is_v1_only(name: &str) -> bool {
    matches!(
        name,
        MEMSW | "cpu.cfs_quota_us" | "cpu.cfs_period_us" | "blkio.weight" | "blkio.weight_device"
    )
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
        "cpu.max.burst" => one("cpu.cfs_burst_us", value.clone()),
        _ if name.starts_with("hugetlb.") && name.ends_with(".max") => {
            one(&name.replace(".max", ".limit_in_bytes"), value.clone())
        }
        "memory.high" | "memory.min" | "memory.oom.group" | "io.weight" | "io.latency"
        | "memory.reclaim" => Err(Error::new("cgroup v1 has no").on(name)),
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
/// `weight = ceil(10 ^ ((l^2 + 125 l) / 612 - 7/34))`, with `l = log2(shares)`: the least weight whose logarithm is not
/// below that exponent. Whole numbers do; for floating point, a C library's powers would come along (12 kB).
pub fn weight_of_shares(shares: u64) -> u64 {
    let l = log2(shares.clamp(2, 262_144));
    let exponent = (((l * l) >> FRACTION) + 125 * l - (126 << FRACTION)) / 612;
    let (mut low, mut high) = (1, 10_000);
    while low < high {
        let middle = u64::midpoint(low, high);
        if ((log2(middle) * LOG10_OF_2) >> FRACTION) + ROUNDING < exponent {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Logarithms have so many bits behind the point.
const FRACTION: u32 = 40;
/// log10(2), with as many.
const LOG10_OF_2: u128 = 330_985_980_542;
/// More than what was cut off can amount to, so that a whole weight is met, and less than any two weights differ by.
const ROUNDING: u128 = 64;

/// The logarithm of a number from 1 up, bit by bit: squaring doubles it, and doubled past 2 the next bit is set.
fn log2(number: u64) -> u128 {
    let whole = number.ilog2();
    let mut rest = u128::from(number) << (63 - whole);
    let mut log = u128::from(whole);
    for _ in 0..FRACTION {
        rest = (rest * rest) >> 63;
        log <<= 1;
        if rest >> 64 != 0 {
            rest >>= 1;
            log |= 1;
        }
    }
    log
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
        for shares in (3_u32..262_144).step_by(97) {
            let l = f64::from(shares).log2();
            let weight = 10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0);
            let ours = weight_of_shares(shares.into());
            assert_eq!(
                f64::from(u16::try_from(ours).unwrap()),
                weight.ceil(),
                "{shares}"
            );
        }
    }
}
