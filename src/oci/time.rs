//! Points in time as text (RFC 3339, in UTC).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// To the second: `2026-11-22T06:59:02Z`.
pub fn seconds(at: SystemTime) -> String {
    format!("{}Z", to_the_second(since_epoch(at).as_secs()))
}

/// To the nanosecond, without zeros at the end: `2026-11-22T06:59:02.878996981Z`.
pub fn nanoseconds(at: SystemTime) -> String {
    let since = since_epoch(at);
    let fraction = format!(".{:09}", since.subsec_nanos());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{}{fraction}Z", to_the_second(since.as_secs()))
}

/// To the nanosecond with all its digits: texts of one order with the points in time.
pub fn fixed(at: SystemTime) -> String {
    let since = since_epoch(at);
    format!(
        "{}.{:09}Z",
        to_the_second(since.as_secs()),
        since.subsec_nanos()
    )
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn to_the_second(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The date so many days after 1970-01-01. Years are counted from March, so that the leap day is the last of one.
fn date(days: u64) -> (u64, u64, u64) {
    /// From 0000-03-01 to 1970-01-01.
    const BEFORE: u64 = 719_468;
    const IN_400_YEARS: u64 = 146_097;
    let days = days + BEFORE;
    let (cycle, day) = (days / IN_400_YEARS, days % IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_date_would() {
        for (seconds, nanos, want) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 5, "2000-02-29T00:00:00.000000005Z"),
            (951_868_799, 120_000_000, "2000-02-29T23:59:59.12Z"),
            (1_709_251_200, 0, "2024-03-01T00:00:00Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (1_795_330_742, 878_996_981, "2026-11-22T06:59:02.878996981Z"),
        ] {
            let at = UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(nanoseconds(at), want);
            assert_eq!(super::seconds(at).get(..19), want.get(..19));
        }
    }
}
