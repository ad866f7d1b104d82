//! Pressure stall information: how long processes waited for CPU, memory or io (psi.rst).

use crate::error::{Error, Result};

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Percentage of the last ten seconds.
    pub avg10: f64,
    /// Percentage of the last minute.
    pub avg60: f64,
    /// Percentage of the last five minutes.
    pub avg300: f64,
    /// Microseconds since the group was made.
    pub total: u64,
}

/// A pressure file: time in which some processes waited, and in which all did.
#[derive(Debug, Clone, Copy, PartialEq)]
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
        let number = |key: &str| value(key)?.parse().ok();
        Some(Self {
            avg10: number("avg10")?,
            avg60: number("avg60")?,
            avg300: number("avg300")?,
            total: value("total")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pressure_file_is_read() {
        let text = "some avg10=22.50 avg60=5.00 avg300=1.00 total=4200\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = Pressure::parse(text).unwrap();
        assert!((pressure.some.avg10 - 22.5).abs() < 1e-9 && pressure.some.total == 4200);
        assert_eq!(pressure.full.map(|full| full.total), Some(7));
        assert!(Pressure::parse("").is_err());
    }
}
