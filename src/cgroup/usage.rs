//! What a group uses, and which limits count for it, whichever hierarchies hold its controllers.

use std::path::Path;

use super::group::Group;
use super::hierarchy::{Hierarchies, Version};
use super::setting::controller_of;

/// What a group uses. A figure whose controller is off, or held by no hierarchy, is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in microseconds.
    pub cpu_usec: Option<u64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Swap in bytes.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes read and written.
    pub io_bytes: Option<u64>,
}

/// The limits that a group above can make tighter.
const LIMITS: [&str; 5] = [
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "pids.max",
];

impl Usage {
    /// Of the group at `path`.
    pub fn of(all: &Hierarchies, path: &Path) -> Self {
        let groups = all.all().iter().map(|one| Group::new(one, path));
        Self::of_groups(&groups.collect::<Vec<_>>())
    }

    /// Of a group that has a place of its own in each hierarchy.
    pub fn of_groups(groups: &[Group]) -> Self {
        let read = |controller: &str, v2: &str, v1: &str| {
            let group = groups
                .iter()
                .find(|group| group.hierarchy.holds(controller))?;
            group
                .read(if group.hierarchy.version == Version::V2 {
                    v2
                } else {
                    v1
                })
                .ok()
        };
        let number = |text: Option<String>| text?.trim().parse().ok();
        Self {
            cpu_usec: cpu_usec(groups),
            memory: number(read("memory", "memory.current", "memory.usage_in_bytes")),
            swap: swap(groups),
            pids: number(read("pids", "pids.current", "pids.current")),
            io_bytes: read("io", "io.stat", "blkio.throttle.io_service_bytes")
                .map(|text| io_bytes(&text)),
        }
    }
}

/// v2 counts CPU time in every group (`cpu.stat`); v1 in the hierarchy that holds `cpuacct`, in nanoseconds.
fn cpu_usec(groups: &[Group]) -> Option<u64> {
    let mut all = groups.iter();
    if let Some(nanoseconds) = all.find_map(|group| group.read("cpuacct.usage").ok()) {
        return nanoseconds.trim().parse::<u64>().ok().map(|n| n / 1000);
    }
    let mut all = groups.iter();
    let unified = all.find(|group| group.hierarchy.version == Version::V2)?;
    keyed(&unified.read("cpu.stat").ok()?, "usage_usec")
}

/// v1 counts memory and swap together.
fn swap(groups: &[Group]) -> Option<u64> {
    let mut all = groups.iter();
    let group = all.find(|group| group.hierarchy.holds("memory"))?;
    match group.hierarchy.version {
        Version::V2 => group.read("memory.swap.current").ok()?.trim().parse().ok(),
        Version::V1 => keyed(&group.read("memory.stat").ok()?, "total_swap"),
    }
}

/// The value of a key in a file of `KEY VALUE` lines.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// The bytes of `io.stat` (`8:0 rbytes=1 wbytes=2 ...`) or of v1's `io_service_bytes` (`8:0 Read 1`).
fn io_bytes(text: &str) -> u64 {
    let words = text.split_whitespace();
    let v2: u64 = words
        .filter_map(|word| {
            word.strip_prefix("rbytes=")
                .or(word.strip_prefix("wbytes="))
        })
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    let v1 = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let kind = words.next()?;
        matches!(kind, "Read" | "Write")
            .then(|| words.next()?.parse::<u64>().ok())
            .flatten()
    });
    v2 + v1.sum::<u64>()
}

/// A limit that counts for a group, and the group that sets it.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The setting, in v2's words.
    pub name: &'static str,
    /// What counts, as the group that sets it has it.
    pub limit: String,
    /// The group that sets it: this one or one above.
    pub set_by: Option<Group>,
}

/// The limits that count for the group at `path`: the tightest from the root down, and who sets it.
pub fn effective(all: &Hierarchies, path: &Path) -> Vec<Effective> {
    LIMITS
        .into_iter()
        .filter_map(|name| tightest(all, path, name))
        .collect()
}

fn tightest(all: &Hierarchies, path: &Path, name: &'static str) -> Option<Effective> {
    let hierarchy = all.of(controller_of(name)).ok()?;
    let mut found = None;
    let mut least = u64::MAX;
    for level in Group::new(hierarchy, path).levels() {
        // The root has no such file, and a group whose controller is off has none either.
        let Ok(text) = level.get(name) else { continue };
        let here = how_much(text.trim());
        if here < least || found.is_none() {
            least = here;
            found = Some(Effective {
                name,
                limit: text.trim().into(),
                set_by: (here < u64::MAX).then_some(level),
            });
        }
    }
    found
}

/// A limit as a number to compare: `max` is the most; a quota with its period is millionths of a CPU.
fn how_much(text: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().ok();
    match text.split_once(' ') {
        Some((quota, period)) => match (number(quota), number(period)) {
            (Some(quota), Some(period @ 1..)) => quota.saturating_mul(1_000_000) / period,
            _ => u64::MAX,
        },
        None => number(text).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_both_designs() {
        assert_eq!(
            io_bytes("8:0 rbytes=10 wbytes=5 rios=1 wios=1 dbytes=0 dios=0\n"),
            15
        );
        assert_eq!(
            io_bytes("8:0 Read 10\n8:0 Write 5\n8:0 Total 15\nTotal 15\n"),
            15
        );
    }

    #[test]
    fn limits_are_compared() {
        assert!(how_much("20000 100000") < how_much("15000 50000"));
        assert!(how_much("max 100000") == how_much("max") && how_much("max") > how_much("5"));
    }

    #[test]
    fn keys_are_whole_words() {
        assert_eq!(keyed("usage_usec 12\nuser_usec 3\n", "user_usec"), Some(3));
        assert_eq!(
            keyed("total_swapped 1\ntotal_swap 2\n", "total_swap"),
            Some(2)
        );
    }
}
