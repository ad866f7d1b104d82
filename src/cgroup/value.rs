//! Values as people write them: sizes, parts of a CPU, lists of CPUs.

use std::time::Duration;

use crate::error::{Error, Result};

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No limit: `max`, as v2 writes it (v1: `-1`).
    Max,
    /// This many.
    At(u64),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::At(n) => write!(f, "{n}"),
        }
    }
}

/// The period of a CPU quota that was not given, in microseconds: the kernel's own default.
pub const CPU_PERIOD_USEC: u64 = 100_000;

/// A size in bytes: `104857600`, `100M`, `1.5G`, `512k`; `max` and `-1` mean none. Units are powers of 1024, with
/// `B` or `iB` behind them or not.
///
/// ```
/// use isobox::cgroup::value::{Limit, bytes};
/// assert_eq!(bytes("100M").unwrap(), Limit::At(104_857_600));
/// assert_eq!(bytes("max").unwrap(), Limit::Max);
/// assert!(bytes("100X").is_err());
/// ```
///
/// # Errors
/// For anything else, and for what is over 2^63.
pub fn bytes(text: &str) -> Result<Limit> {
    if matches!(text, "max" | "-1") {
        return Ok(Limit::Max);
    }
    let wrong = || {
        Error::new("not a size")
            .on(text)
            .because("write bytes, or a number with K, M, G, T, or max")
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit
        .to_ascii_uppercase()
        .trim_end_matches('B')
        .trim_end_matches('I')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return Err(wrong()),
    };
    scaled(number, 1 << shift).map(Limit::At).ok_or_else(wrong)
}

/// A plain count: `64`, or `max` and `-1` for none.
///
/// # Errors
/// For anything else.
pub fn count(text: &str) -> Result<Limit> {
    match text {
        "max" | "-1" => Ok(Limit::Max),
        _ => scaled(text, 1)
            .filter(|_| !text.contains('.'))
            .map(Limit::At)
            .ok_or_else(|| Error::new("not a number").on(text)),
    }
}

/// A share of CPU time as microseconds of each period: `1.5` CPUs, `20%` of one, `max`; also the kernel's own
/// form, `QUOTA PERIOD`.
///
/// # Errors
/// For anything else, and for less than the kernel's least quota, a thousand microseconds.
pub fn cpu_quota(text: &str) -> Result<(Limit, u64)> {
    let wrong = || {
        Error::new("not a share of CPU time")
            .on(text)
            .because("write CPUs (1.5), a percentage (20%) or max")
    };
    let quota = match text.split_once(' ') {
        Some((quota, period)) => {
            let period = scaled(period, 1)
                .filter(|n| (1_000..=1_000_000).contains(n))
                .ok_or_else(wrong)?;
            return Ok((count(quota)?, period));
        }
        None if matches!(text, "max" | "-1") => return Ok((Limit::Max, CPU_PERIOD_USEC)),
        None => match text.strip_suffix('%') {
            Some(percent) => scaled(percent, CPU_PERIOD_USEC / 100),
            None => scaled(text, CPU_PERIOD_USEC),
        },
    };
    match quota {
        Some(usec) if usec >= 1_000 => Ok((Limit::At(usec), CPU_PERIOD_USEC)),
        Some(_) => Err(wrong().hint("the kernel's least quota is 1% of a CPU")),
        None => Err(wrong()),
    }
}

/// A time: `1.5` seconds, `150ms`, `20us`, `2s`, `1m`.
///
/// # Errors
/// For anything else, and for over a year.
pub fn duration(text: &str) -> Result<Duration> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let nanoseconds = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => 0,
    };
    let time = scaled(number, nanoseconds).filter(|_| nanoseconds > 0);
    time.map(Duration::from_nanos)
        .filter(|time| time.as_secs() < 366 * 86_400)
        .ok_or_else(|| {
            Error::new("not a time")
                .on(text)
                .because("write seconds, or a number with us, ms, s, m")
        })
}

/// A decimal number times a unit, rounded down; `None` for no number and for what is over 2^63.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || part.len() > 9 || !digits(whole) || !digits(part) {
        return None;
    }
    let mut total = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    if !part.is_empty() {
        total += u128::from(part.parse::<u64>().ok()?) * u128::from(unit)
            / 10_u128.pow(u32::try_from(part.len()).ok()?);
    }
    u64::try_from(total).ok().filter(|n| *n <= 1 << 63)
}

/// A number of bytes for people: `99.0M`, `512K`, `17`.
pub fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 5] = [
        (1 << 50, 'P'),
        (1 << 40, 'T'),
        (1 << 30, 'G'),
        (1 << 20, 'M'),
        (1 << 10, 'K'),
    ];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => bytes.to_string(),
        Some((unit, letter)) if bytes.is_multiple_of(unit) => format!("{}{letter}", bytes / unit),
        Some((unit, letter)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{}{letter}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Some(0)),
            ("1000000", Some(1_000_000)),
            ("1.5G", Some(1_610_612_736)),
            ("512k", Some(524_288)),
            ("64KiB", Some(65_536)),
            ("2MB", Some(2_097_152)),
            ("0.1K", Some(102)),
            ("", None),
            ("M", None),
            ("-5", None),
            ("1e3", None),
            ("1.M", Some(1_048_576)),
            (".5M", None),
            ("9999999999999999999999", None),
            ("9999999P", None),
        ];
        for (text, want) in cases {
            assert_eq!(bytes(text).ok(), want.map(Limit::At), "{text}");
        }
        assert_eq!(bytes("-1").ok(), Some(Limit::Max));
    }

    #[test]
    fn shares_of_cpu_time() {
        let cases = [
            ("1.5", Some((Limit::At(150_000), 100_000))),
            ("20%", Some((Limit::At(20_000), 100_000))),
            ("0.5%", None),
            ("max", Some((Limit::Max, 100_000))),
            ("20000 50000", Some((Limit::At(20_000), 50_000))),
            ("max 50000", Some((Limit::Max, 50_000))),
            ("1 1", None),
            ("fast", None),
        ];
        for (text, want) in cases {
            assert_eq!(cpu_quota(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn times() {
        let cases = [
            ("1.5", 1_500_000),
            ("150ms", 150_000),
            ("20us", 20),
            ("2m", 120_000_000),
            ("0", 0),
        ];
        for (text, want) in cases {
            assert_eq!(
                duration(text).unwrap(),
                Duration::from_micros(want),
                "{text}"
            );
        }
        for text in ["", "s", "-1", "1h", "1e9", "nan", "99999999"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_for_people() {
        let cases = [
            (17, "17"),
            (1024, "1K"),
            (1_536, "1.5K"),
            (104_857_600, "100M"),
            (103_809_024, "99M"),
        ];
        for (bytes, want) in cases {
            assert_eq!(human(bytes), want);
        }
    }
}
