//! What a container uses, as runc's `events` tells it: figures in the words of v1, whichever design holds them, and the
//! times when memory ran out.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;

use super::lifecycle::{Answer, Container, Refusal};
use super::status::{Status, wait_for_end};
use crate::cgroup::usage::keyed;
use crate::cgroup::{Group, Version};
use crate::decimal::decimal;
use crate::json::quote;
use crate::order;

/// v1's word for no limit: the most pages that fit.
const NO_LIMIT: u64 = 0x7FFF_FFFF_FFFF_F000;

/// One line for what a container uses now, a JSON object.
///
/// # Errors
/// Where it has ended.
pub fn stats(container: &Container) -> Answer<String> {
    match container.status()? {
        Status::Stopped => Err(Refusal::In(Status::Stopped)),
        _ => Ok(usage(container)),
    }
}

fn usage(container: &Container) -> String {
    let groups = container.groups();
    let of = |controller: &str| {
        groups
            .iter()
            .find(|group| group.hierarchy.holds(controller))
    };
    let unified = groups
        .iter()
        .find(|group| group.hierarchy.version == Version::V2);
    let mut data = String::new();
    let _ = write!(
        data,
        "\"cpu\":{}",
        cpu(of("cpuacct"), of("cpu").or(unified))
    );
    let _ = write!(
        data,
        ",\"cpuset\":{}",
        of("cpuset").map_or_else(|| "{}".into(), cpuset)
    );
    let _ = write!(
        data,
        ",\"memory\":{}",
        of("memory").map_or_else(|| "{}".into(), memory)
    );
    let _ = write!(
        data,
        ",\"pids\":{}",
        of("pids").map_or_else(|| "{}".into(), pids)
    );
    let _ = write!(
        data,
        ",\"blkio\":{}",
        of("io").map_or_else(|| "{}".into(), io)
    );
    let id = quote(container.kept().id().as_str());
    format!(
        "{{\"type\":\"stats\",\"id\":{id},\"data\":{{{data},\"hugetlb\":{{}},\"intel_rdt\":{{}},\"network_interfaces\":null}}}}\n"
    )
}

/// Tells what a container uses at every interval, and at once when it has run out of memory, until it has ended or
/// `tell` has enough.
///
/// # Errors
/// Where it has ended already.
pub fn follow(
    container: &Container,
    interval: Duration,
    tell: &mut dyn FnMut(&str) -> bool,
) -> Answer<()> {
    /// Nobody waits longer to hear of a lack of memory.
    const GLANCE: Duration = Duration::from_millis(250);
    let (_, first) = container
        .record()
        .first()
        .ok_or(Refusal::In(Status::Stopped))?;
    let groups = container.groups();
    let kills = || {
        groups
            .iter()
            .filter_map(Group::oom_kills)
            .max()
            .unwrap_or(0)
    };
    let (mut known, mut next) = (kills(), Instant::now() + interval);
    loop {
        let pause = next.saturating_duration_since(Instant::now()).min(GLANCE);
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::from(250_u16));
        let ended = wait_for_end(&first, pause);
        let now = kills();
        if now > known {
            known = now;
            let id = quote(container.kept().id().as_str());
            if !tell(&format!("{{\"type\":\"oom\",\"id\":{id}}}\n")) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            next += interval;
            if !tell(&usage(container)) {
                return Ok(());
            }
        }
    }
}

fn number(group: &Group, file: &str) -> Option<u64> {
    decimal(group.read(file).ok()?.trim())
}

/// A file of `KEY VALUE` lines as an object.
fn raw(text: &str) -> String {
    let mut pairs: Vec<(&str, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key, decimal(value.trim())?)))
        .collect();
    order::sort(&mut pairs);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}:{value}", quote(key)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Nanoseconds; v1 counts user and system time in hundredths of seconds.
fn cpu(accounting: Option<&Group>, group: Option<&Group>) -> String {
    let stat = group
        .and_then(|group| group.read("cpu.stat").ok())
        .unwrap_or_default();
    let usage = match accounting {
        Some(group) => cpu_v1(group),
        None => {
            let nanoseconds = |key| keyed(&stat, key).unwrap_or(0) * 1000;
            format!(
                "\"total\":{},\"kernel\":{},\"user\":{}",
                nanoseconds("usage_usec"),
                nanoseconds("system_usec"),
                nanoseconds("user_usec")
            )
        }
    };
    let throttled =
        keyed(&stat, "throttled_time").or_else(|| keyed(&stat, "throttled_usec").map(|n| n * 1000));
    let told = [
        ("periods", keyed(&stat, "nr_periods")),
        ("throttledPeriods", keyed(&stat, "nr_throttled")),
        ("throttledTime", throttled),
    ];
    let told: Vec<String> = told
        .iter()
        .filter_map(|(name, value)| value.filter(|n| *n > 0).map(|n| format!("\"{name}\":{n}")))
        .collect();
    format!(
        "{{\"usage\":{{{usage}}},\"throttling\":{{{}}}}}",
        told.join(",")
    )
}

fn cpu_v1(group: &Group) -> String {
    const TICK: u64 = 10_000_000;
    let total = number(group, "cpuacct.usage").unwrap_or(0);
    let stat = group.read("cpuacct.stat").unwrap_or_default();
    let list = |file: &str| -> Vec<String> {
        let text = group.read(file).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let all = group.read("cpuacct.usage_all").unwrap_or_default();
    // A line for each CPU: its number, user time, system time.
    let column = |at: usize| -> Vec<&str> {
        let lines = all.lines().skip(1);
        lines.filter_map(|line| line.split(' ').nth(at)).collect()
    };
    format!(
        "\"total\":{total},\"percpu\":[{}],\"percpu_kernel\":[{}],\"percpu_user\":[{}],\"kernel\":{},\"user\":{}",
        list("cpuacct.usage_percpu").join(","),
        column(2).join(","),
        column(1).join(","),
        keyed(&stat, "system").unwrap_or(0) * TICK,
        keyed(&stat, "user").unwrap_or(0) * TICK
    )
}

/// A list of CPUs or nodes, one by one.
fn each(list: &str) -> String {
    let mut all = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Some(first), Some(last)) = (decimal::<u16>(first), decimal::<u16>(last)) {
            all.extend((first..=last).map(|n| n.to_string()));
        }
    }
    format!("[{}]", all.join(","))
}

fn cpuset(group: &Group) -> String {
    let v2 = group.hierarchy.version == Version::V2;
    let read = |name: &str| {
        let effective = if v2 { ".effective" } else { "" };
        group
            .read(&format!("cpuset.{name}{effective}"))
            .unwrap_or_default()
    };
    let flag = |name: &str| {
        let value = group.read(&format!("cpuset.{name}")).unwrap_or_default();
        value.trim().parse::<i64>().unwrap_or(0)
    };
    let flags = [
        ("cpu_exclusive", ""),
        ("mems", &*each(&read("mems"))),
        ("mem_hardwall", ""),
        ("mem_exclusive", ""),
        ("memory_migrate", ""),
        ("memory_spread_page", ""),
        ("memory_spread_slab", ""),
        ("memory_pressure", ""),
        ("sched_load_balance", ""),
        ("sched_relax_domain_level", ""),
    ]
    .map(|(name, value)| match value {
        "" => format!("\"{name}\":{}", flag(name)),
        value => format!("\"{name}\":{value}"),
    });
    format!("{{\"cpus\":{},{}}}", each(&read("cpus")), flags.join(","))
}

fn memory(group: &Group) -> String {
    let stat = group.read("memory.stat").unwrap_or_default();
    let parts = match group.hierarchy.version {
        Version::V1 => ["memory", "memory.memsw", "memory.kmem"].map(|kind| memory_v1(group, kind)),
        Version::V2 => memory_v2(group),
    };
    let [usage, swap, kernel] = parts;
    let tcp = match group.hierarchy.version {
        Version::V1 => memory_v1(group, "memory.kmem.tcp"),
        Version::V2 => "{\"limit\":0,\"failcnt\":0}".into(),
    };
    format!(
        "{{\"usage\":{usage},\"swap\":{swap},\"kernel\":{kernel},\"kernelTCP\":{tcp},\"raw\":{}}}",
        raw(&stat)
    )
}

fn memory_v1(group: &Group, kind: &str) -> String {
    let read = |what: &str| number(group, &format!("{kind}.{what}"));
    figures(
        read("limit_in_bytes"),
        read("usage_in_bytes"),
        read("max_usage_in_bytes"),
        read("failcnt"),
    )
}

fn figures(
    limit: Option<u64>,
    usage: Option<u64>,
    max: Option<u64>,
    failures: Option<u64>,
) -> String {
    let mut out = format!("{{\"limit\":{}", limit.unwrap_or(0));
    for (name, value) in [("usage", usage), ("max", max)] {
        // What is nothing is not told.
        if let Some(value) = value.filter(|n| *n > 0) {
            let _ = write!(out, ",\"{name}\":{value}");
        }
    }
    let _ = write!(out, ",\"failcnt\":{}}}", failures.unwrap_or(0));
    out
}

/// Memory, memory and swap together, and nothing for the kernel's own, which v2 counts with the rest.
fn memory_v2(group: &Group) -> [String; 3] {
    let limit = |file: &str| number(group, file).or(Some(NO_LIMIT));
    let (usage, swap) = (
        number(group, "memory.current"),
        number(group, "memory.swap.current"),
    );
    let together =
        |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b.unwrap_or(0)).min(NO_LIMIT));
    [
        figures(
            limit("memory.max"),
            usage,
            number(group, "memory.peak"),
            None,
        ),
        figures(
            together(limit("memory.max"), limit("memory.swap.max")),
            together(usage, swap),
            None,
            None,
        ),
        figures(None, None, None, None),
    ]
}

fn pids(group: &Group) -> String {
    let mut out = String::from("{");
    let told = [
        ("current", number(group, "pids.current")),
        ("limit", number(group, "pids.max")),
    ];
    let told = told
        .iter()
        .filter_map(|(name, value)| value.map(|n| format!("\"{name}\":{n}")));
    out.push_str(&told.collect::<Vec<_>>().join(","));
    out.push('}');
    out
}

/// Bytes and operations by device.
fn io(group: &Group) -> String {
    let entry = |device: &str, op: &str, value: &str| {
        let (major, minor) = device.split_once(':')?;
        let (major, minor) = (decimal::<u64>(major)?, decimal::<u64>(minor)?);
        let value: u64 = decimal(value)?;
        Some(format!(
            "{{\"major\":{major},\"minor\":{minor},\"op\":\"{op}\",\"value\":{value}}}"
        ))
    };
    let v1 = |file: &str| -> Vec<String> {
        let text = group.read(file).unwrap_or_default();
        let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        words
            .filter_map(|words| match words[..] {
                [device, op, value] => entry(device, op, value),
                _ => None,
            })
            .collect()
    };
    let v2 = |read: &str, write: &str| -> Vec<String> {
        let text = group.read("io.stat").unwrap_or_default();
        let mut all = Vec::new();
        for line in text.lines() {
            let device = line.split(' ').next().unwrap_or_default();
            for word in line.split(' ').skip(1) {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                let op = [(read, "Read"), (write, "Write")]
                    .into_iter()
                    .find(|(name, _)| *name == key);
                all.extend(op.and_then(|(_, op)| entry(device, op, value)));
            }
        }
        all
    };
    let (bytes, operations) = match group.hierarchy.version {
        Version::V1 => (
            v1("blkio.throttle.io_service_bytes_recursive"),
            v1("blkio.throttle.io_serviced_recursive"),
        ),
        Version::V2 => (v2("rbytes", "wbytes"), v2("rios", "wios")),
    };
    let lists = [
        ("ioServiceBytesRecursive", bytes),
        ("ioServicedRecursive", operations),
    ];
    let lists: Vec<String> = lists
        .iter()
        .filter(|(_, all)| !all.is_empty())
        .map(|(name, all)| format!("\"{name}\":[{}]", all.join(",")))
        .collect();
    format!("{{{}}}", lists.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_figures_are_json() {
        assert_eq!(each("0-2,5\n"), "[0,1,2,5]");
        assert_eq!(each("\n"), "[]");
        assert_eq!(raw("b 2\na 1\nx y\n"), "{\"a\":1,\"b\":2}");
        assert_eq!(
            figures(Some(5), Some(0), Some(2), None),
            "{\"limit\":5,\"max\":2,\"failcnt\":0}"
        );
    }
}
