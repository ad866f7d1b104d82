//! Pressure stall information: how long processes waited for CPU, memory or io (psi.rst).

use std::fmt;

use super::value::duration;
use crate::error::{Error, Result};

/// A part of time in hundredths of a percent, as the kernel writes it: `22.50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(pub u32);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Of the last ten seconds.
    pub avg10: Share,
    /// Of the last minute.
    pub avg60: Share,
    /// Of the last five minutes.
    pub avg300: Share,
    /// Microseconds since the group was made.
    pub total: u64,
}

/// A pressure file: time in which some processes waited, and in which all did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// At least one process waited.
    pub some: Line,
    /// All waited: nothing was done.
    pub full: Option<Line>,
}

impl Pressure {
    /// Reads the text of a pressure file.
    ///
    /// # Errors
    /// For a text of another form.
    pub fn parse(text: &str) -> Result<Self> {
        let line = |kind: &str| {
            text.lines()
                .find_map(|line| Line::parse(line.strip_prefix(kind)?))
        };
        let some = line("some ").ok_or_else(|| Error::new("not a pressure file"))?;
        Ok(Self {
            some,
            full: line("full "),
        })
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.split(' ')
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let share = |key: &str| {
            let (whole, part) = value(key)?.split_once('.')?;
            let part = part.parse::<u32>().ok().filter(|_| part.len() == 2)?;
            Some(Share(whole.parse::<u32>().ok()? * 100 + part))
        };
        Some(Self {
            avg10: share("avg10")?,
            avg60: share("avg60")?,
            avg300: share("avg300")?,
            total: value("total")?.parse().ok()?,
        })
    }
}

/// What the kernel is asked to tell of: `some` or `full`, and how much waiting in which window, as `150ms/1s`. Gives
/// its own words for it.
///
/// # Errors
/// For another form, and for a window that it does not take.
pub fn trigger(kind: &str, amount: &str) -> Result<String> {
    let wrong = |why: &'static str| Error::new("not a trigger").on(amount).because(why);
    if !matches!(kind, "some" | "full") {
        return Err(Error::new("neither some nor full").on(kind));
    }
    let (stall, window) = amount
        .split_once('/')
        .ok_or_else(|| wrong("write WAITED/WINDOW: 150ms/1s"))?;
    let (stall, window) = (duration(stall)?.as_micros(), duration(window)?.as_micros());
    if !(500_000..=10_000_000).contains(&window) {
        return Err(wrong("a window is 500ms to 10s"));
    }
    if stall == 0 || stall > window {
        return Err(wrong(
            "what is waited for is more than nothing and fits in the window",
        ));
    }
    Ok(format!("{kind} {stall} {window}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pressure_file_is_read() {
        let text = "some avg10=22.50 avg60=5.00 avg300=1.00 total=4200\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = Pressure::parse(text).unwrap();
        assert_eq!(
            (pressure.some.avg10, pressure.some.total),
            (Share(2250), 4200)
        );
        assert_eq!(pressure.some.avg60.to_string(), "5.00");
        assert_eq!(pressure.full.map(|full| full.total), Some(7));
        assert!(Pressure::parse("").is_err());
    }

    #[test]
    fn triggers_are_read() {
        let ok = [
            ("some", "150ms/1s", "some 150000 1000000"),
            ("full", "1/10", "full 1000000 10000000"),
            ("some", "1us/500ms", "some 1 500000"),
        ];
        for (kind, amount, want) in ok {
            assert_eq!(trigger(kind, amount).unwrap(), want);
        }
        for (kind, amount) in [
            ("any", "1/1"),
            ("some", "1"),
            ("some", "0/1"),
            ("some", "2/1"),
            ("some", "1ms/100ms"),
            ("some", "1/60"),
            ("some", "x/1"),
        ] {
            assert!(trigger(kind, amount).is_err(), "{kind} {amount}");
        }
    }
}
