//! Limits in systemd's words (systemd.resource-control(5)), so that it writes the same to the group that we do whenever it
//! looks after its units.

use super::message::{Property, Value};
use crate::cgroup::Setting;
use crate::cgroup::v1::weight_of_shares;
use crate::cgroup::value::{Limit, bytes, count, cpu_quota};
use crate::error::{Error, Result};

/// "infinity"
const WITHOUT: u64 = u64::MAX;
/// systemd counts the quota of a second in steps of this many microseconds (a hundredth of it).
const STEP: u64 = 10_000;
const SECOND: u64 = 1_000_000;

/// The properties that say what these settings say. What systemd has no word for is left to the file.
///
/// # Errors
/// For a value that cannot be meant.
pub fn of_settings(settings: &[Setting]) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for setting in settings {
        of_setting(setting, &mut all)?;
    }
    Ok(all)
}

fn of_setting(setting: &Setting, all: &mut Vec<Property>) -> Result<()> {
    let value = &*setting.value;
    let amount = |limit: Limit| match limit {
        Limit::At(amount) => Value::Number(amount),
        Limit::Max => Value::Number(WITHOUT),
    };
    let number = || value.parse().map_err(|_| bad(setting));
    let property = match &*setting.name {
        "memory.max" => ("MemoryMax", amount(bytes(value)?)),
        "memory.high" => ("MemoryHigh", amount(bytes(value)?)),
        "memory.low" => ("MemoryLow", amount(bytes(value)?)),
        "memory.swap.max" => ("MemorySwapMax", amount(bytes(value)?)),
        "pids.max" => ("TasksMax", amount(count(value)?)),
        "cpu.weight" => ("CPUWeight", Value::Number(number()?)),
        "cpu.shares" => ("CPUWeight", Value::Number(weight_of_shares(number()?))),
        "cpu.max" => {
            let (quota, period) = cpu_quota(value)?;
            all.push(("CPUQuotaPeriodUSec".into(), Value::Number(period)));
            (
                "CPUQuotaPerSecUSec",
                Value::Number(per_second(quota, period)),
            )
        }
        "cpuset.cpus" => ("AllowedCPUs", Value::Bytes(bits(setting)?)),
        "cpuset.mems" => ("AllowedMemoryNodes", Value::Bytes(bits(setting)?)),
        _ => return Ok(()),
    };
    let (name, value) = property;
    all.push((name.into(), value));
    Ok(())
}

/// Microseconds in each second, rounded up: systemd may not give less than was asked for.
fn per_second(quota: Limit, period: u64) -> u64 {
    match quota {
        Limit::Max => WITHOUT,
        Limit::At(quota) => quota
            .saturating_mul(SECOND)
            .div_ceil(period.max(1))
            .next_multiple_of(STEP),
    }
}

/// A list like `0-3,8` as bits, the first eight in the first byte.
fn bits(setting: &Setting) -> Result<Vec<u8>> {
    /// More than any kernel is built for.
    const MOST: usize = 1 << 16;
    let mut all = Vec::new();
    for part in setting
        .value
        .trim()
        .split(',')
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|one| *one < MOST);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(bad(setting));
        };
        for bit in first..=last {
            if all.len() <= bit / 8 {
                all.resize(bit / 8 + 1, 0);
            }
            if let Some(byte) = all.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    Ok(all)
}

/// What an annotation `org.systemd.property.NAME` asks for: a value as GVariant writes it (runc's and CRI-O's way).
///
/// # Errors
/// For what is no property's name, or no truth, number, text or list of texts.
pub fn of_annotation(name: &str, value: &str) -> Result<Property> {
    let bad = || {
        Error::new("cannot understand the annotation")
            .on(format!("{ANNOTATION}{name}={value}"))
            .because("true, false, a number, 'a text' or ['a text'] are understood")
    };
    if ["Delegate", "PIDs", "Slice"].contains(&name) {
        return Err(bad().because("that is not for an annotation to say"));
    }
    let plain = name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphabetic());
    if !plain || !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Err(bad());
    }
    let number = value
        .trim_start_matches("uint64 ")
        .trim_start_matches("uint32 ");
    let known = match (value, number.parse::<u64>()) {
        ("true" | "false", _) => Value::Truth(value == "true"),
        // systemd knows the times of units by their microseconds alone.
        (_, Ok(seconds)) if name.ends_with("Sec") && !name.ends_with("USec") => {
            let name = format!("{}USec", name.trim_end_matches("Sec"));
            return Ok((name.into(), Value::Number(seconds.saturating_mul(SECOND))));
        }
        (_, Ok(number)) => Value::Number(number),
        (text, _) => match text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
        {
            None => Value::Text(unquoted(text).ok_or_else(bad)?),
            Some(list) => {
                let texts = list.split(',').map(|text| unquoted(text.trim()));
                Value::Texts(texts.collect::<Option<_>>().ok_or_else(bad)?)
            }
        },
    };
    Ok((name.to_owned().into(), known))
}

/// The beginning of the annotations that mean properties.
pub const ANNOTATION: &str = "org.systemd.property.";

fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let plain = !inside.contains([quote, '\\']);
    plain.then(|| inside.to_owned())
}

fn bad(setting: &Setting) -> Error {
    Error::new("no such value").on(format!("{}={}", setting.name, setting.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_in_systemds_words() {
        use Value::{Bytes, Number};
        for (name, value, want) in [
            (
                "memory.max",
                "104857600",
                vec![("MemoryMax", Number(100 << 20))],
            ),
            ("memory.max", "max", vec![("MemoryMax", Number(u64::MAX))]),
            ("pids.max", "max", vec![("TasksMax", Number(u64::MAX))]),
            ("cpu.shares", "1024", vec![("CPUWeight", Number(100))]),
            (
                "cpu.max",
                "33333 100000",
                vec![
                    ("CPUQuotaPeriodUSec", Number(100_000)),
                    ("CPUQuotaPerSecUSec", Number(340_000)),
                ],
            ),
            (
                "cpu.max",
                "max 50000",
                vec![
                    ("CPUQuotaPeriodUSec", Number(50_000)),
                    ("CPUQuotaPerSecUSec", Number(u64::MAX)),
                ],
            ),
            (
                "cpuset.cpus",
                "0-2,9",
                vec![("AllowedCPUs", Bytes(vec![7, 2]))],
            ),
            (
                "cpuset.mems",
                "0",
                vec![("AllowedMemoryNodes", Bytes(vec![1]))],
            ),
            ("hugetlb.2MB.max", "0", vec![]),
        ] {
            let found = of_settings(&[Setting::new(name, value)]).unwrap();
            let want: Vec<Property> = want
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect();
            assert_eq!(found, want, "{name}={value}");
        }
        for (name, value) in [
            ("cpuset.cpus", "0-x"),
            ("cpuset.cpus", "99999999"),
            ("cpu.shares", "-1"),
        ] {
            assert!(
                of_settings(&[Setting::new(name, value)]).is_err(),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn annotations_are_properties() {
        use Value::{Number, Text, Texts, Truth};
        for (name, value, want) in [
            (
                "CollectMode",
                "'inactive-or-failed'",
                ("CollectMode", Text("inactive-or-failed".into())),
            ),
            (
                "TimeoutStopUSec",
                "uint64 5",
                ("TimeoutStopUSec", Number(5)),
            ),
            (
                "TimeoutStopSec",
                "5",
                ("TimeoutStopUSec", Number(5_000_000)),
            ),
            (
                "DefaultDependencies",
                "true",
                ("DefaultDependencies", Truth(true)),
            ),
            (
                "After",
                "['a.service', \"b.service\"]",
                ("After", Texts(vec!["a.service".into(), "b.service".into()])),
            ),
        ] {
            let (name, value) = of_annotation(name, value).unwrap();
            assert_eq!((&*name, value), want);
        }
        for (name, value) in [
            ("", "1"),
            ("a", "1"),
            ("A b", "1"),
            ("Type", "maybe"),
            ("PIDs", "1"),
            ("Slice", "'a.slice'"),
            ("After", "[1]"),
            ("After", "'a'b'"),
            ("After", "'"),
        ] {
            assert!(of_annotation(name, value).is_err(), "{name}={value}");
        }
    }
}
