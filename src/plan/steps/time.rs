//! The clocks of a new time namespace (time_namespaces(7)).

use crate::error::{Error, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::proc_write;

/// A clock that a time namespace shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC` and its kin.
    Monotonic,
    /// `CLOCK_BOOTTIME`, which is also the time since boot of `/proc/uptime`.
    Boottime,
}

impl Clock {
    fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            Self::Boottime => "boottime",
        }
    }
}

/// Shifts a clock of the time namespace that this process's children will be in. Only possible before the first
/// of them is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Which clock.
    pub clock: Clock,
    /// By how many seconds.
    pub seconds: i64,
    /// And by how many nanoseconds besides.
    pub nanoseconds: u32,
}

const OFFSETS: &str = "self/timens_offsets";

impl Step for ClockOffset {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let text = format!(
            "{} {} {}",
            self.clock.name(),
            self.seconds,
            self.nanoseconds
        );
        proc_write::write(OFFSETS, text.as_bytes()).map_err(|errno| {
            let error = Error::new("failed to write to /proc/self/timens_offsets").errno_is(errno);
            match errno {
                nix::errno::Errno::ERANGE => error.hint(format!(
                    "with {} seconds the {} clock would be negative, or past 146 years",
                    self.seconds,
                    self.clock.name()
                )),
                _ => error,
            }
        })
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "write(\"/proc/{OFFSETS}\", \"{} {} {}\")",
                self.clock.name(),
                self.seconds,
                self.nanoseconds
            ),
            "the clock of a new time namespace starts as that of the old one; its offset is fixed once a process is inside",
            "clock_gettime(2) and /proc/uptime would show the time of the host",
            "time_namespaces(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::option(
            "unshare",
            format!("--{}={}", self.clock.name(), self.seconds),
        )
    }
}
