//! runc events, runc update: what a container uses, and what it may.

use std::fs;
use std::io::{Read as _, stdin};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::value::{Limit, bytes};
use isobox::decimal::decimal;
use isobox::oci::events::{follow, stats};
use isobox::oci::lifecycle::Refusal;
use isobox::oci::spec::Resources;
use nix::unistd::write;

use super::words::{Answer, Failure, NOT_RUNNING, not_opened, refused};
use super::{Caller, done, exactly};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// tell what a container uses, again and again, and when its memory has run out
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "events")]
pub(super) struct Events {
    /// how often (5s)
    #[argh(option, arg_name = "time")]
    interval: Option<String>,
    /// once, and no more
    #[argh(switch)]
    stats: bool,
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

impl Events {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        let container = caller.one("events", &self.container_id)?;
        let interval = match self.interval.as_deref() {
            None => Duration::from_secs(5),
            Some(text) => {
                duration(text).ok_or_else(|| Failure::new(format!("invalid duration {text:?}")))?
            }
        };
        if interval.is_zero() {
            return Err(Failure::new("duration interval must be greater than 0"));
        }
        let id = container.kept().id().clone();
        let gone = |refusal: Refusal| {
            refused(refusal, |_| {
                format!("container with id {id} is not running")
            })
        };
        if self.stats {
            return Ok(help::print_all(&stats(&container).map_err(gone)?)?);
        }
        // A reader that has gone away has heard enough.
        let mut tell = |line: &str| write(std::io::stdout(), line.as_bytes()).is_ok();
        follow(&container, interval, &mut tell).map_err(gone)?;
        Ok(Exit::OK)
    }
}

/// A time as Go writes it: `1h30m`, `1.5s`, `300ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut nanoseconds, mut rest) = (0_u128, text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let unit: u128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "\u{b5}s" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: u128 = decimal(format!("{whole}{fraction}"))?;
        let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        nanoseconds = nanoseconds.checked_add(digits.checked_mul(unit)? / parts)?;
        rest = after;
    }
    let nanoseconds = u64::try_from(nanoseconds).ok()?;
    (!text.is_empty()).then(|| Duration::from_nanos(nanoseconds))
}

/// change the limits of a container
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "update")]
pub(super) struct Update {
    /// read them from a file (- for standard input), and nothing else
    #[argh(option, short = 'r', arg_name = "file")]
    resources: Option<Raw>,
    /// its share of the disks: 10 to 1000
    #[argh(option, arg_name = "weight")]
    blkio_weight: Option<u16>,
    /// the period of its CPU quota, in microseconds
    #[argh(option, arg_name = "usec")]
    cpu_period: Option<u64>,
    /// its CPU time in each period, in microseconds
    #[argh(option, arg_name = "usec")]
    cpu_quota: Option<i64>,
    /// CPU time left over that it may use besides
    #[argh(option, arg_name = "usec")]
    cpu_burst: Option<u64>,
    /// its share of CPU time against others
    #[argh(option, arg_name = "shares")]
    cpu_share: Option<u64>,
    /// the period of its realtime quota
    #[argh(option, arg_name = "usec")]
    cpu_rt_period: Option<u64>,
    /// its realtime quota
    #[argh(option, arg_name = "usec")]
    cpu_rt_runtime: Option<i64>,
    /// the CPUs that it may run on
    #[argh(option, arg_name = "list")]
    cpuset_cpus: Option<String>,
    /// the memory nodes that it may use
    #[argh(option, arg_name = "list")]
    cpuset_mems: Option<String>,
    /// whether it runs only when nobody else wants to (1)
    #[argh(option, arg_name = "0|1")]
    cpu_idle: Option<i64>,
    /// its memory
    #[argh(option, arg_name = "size")]
    memory: Option<Size>,
    /// memory that is left to it while others have enough
    #[argh(option, arg_name = "size")]
    memory_reservation: Option<Size>,
    /// its memory and swap together
    #[argh(option, arg_name = "size")]
    memory_swap: Option<Size>,
    /// how many processes it may have
    #[argh(option, arg_name = "count")]
    pids_limit: Option<i64>,
    /// not supported
    #[argh(option, arg_name = "schema")]
    l3_cache_schema: Option<String>,
    /// not supported
    #[argh(option, arg_name = "schema")]
    mem_bw_schema: Option<String>,
    /// the container
    #[argh(positional)]
    container_id: Vec<Raw>,
}

/// A size in bytes; -1 for none.
#[derive(Clone, Copy)]
struct Size(i64);

impl argh::FromArgValue for Size {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match bytes(value).map_err(crate::cli::gnu::bad)? {
            Limit::Max => Ok(Self(-1)),
            Limit::At(n) => i64::try_from(n).map(Self).map_err(crate::cli::gnu::bad),
        }
    }
}

impl Update {
    pub(super) fn run(self, caller: &Caller) -> Answer<Exit> {
        exactly("update", &self.container_id, 1)?;
        let container = caller.find(&self.container_id)?;
        if self.l3_cache_schema.is_some() || self.mem_bw_schema.is_some() {
            return Err(Failure::new("Intel RDT: not supported"));
        }
        let resources = match &self.resources {
            Some(Raw(path)) => {
                let mut text = Vec::new();
                let read = match path.to_str() {
                    Some("-") => stdin().take(4 << 20).read_to_end(&mut text).map(drop),
                    _ => fs::read(path).map(|all| text = all),
                };
                read.map_err(|error| not_opened(path, &error))?;
                Resources::parse(&text)?
            }
            None => self.chosen(),
        };
        done(container.update(resources), |_| NOT_RUNNING.into())
    }

    fn chosen(self) -> Resources {
        let mut all = Resources::default();
        all.block_io.weight = self.blkio_weight.filter(|weight| *weight > 0);
        all.cpu.period = self.cpu_period;
        all.cpu.quota = self.cpu_quota;
        all.cpu.burst = self.cpu_burst;
        all.cpu.shares = self.cpu_share;
        all.cpu.realtime_period = self.cpu_rt_period;
        all.cpu.realtime_runtime = self.cpu_rt_runtime;
        all.cpu.cpus = self.cpuset_cpus.unwrap_or_default();
        all.cpu.mems = self.cpuset_mems.unwrap_or_default();
        all.cpu.idle = self.cpu_idle;
        all.memory.limit = self.memory.map(|size| size.0);
        all.memory.reservation = self.memory_reservation.map(|size| size.0);
        all.memory.swap = self.memory_swap.map(|size| size.0);
        all.pids.limit = self.pids_limit;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_does() {
        for (text, want) in [
            ("5s", Some(5000)),
            ("300ms", Some(300)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            (".5s", Some(500)),
            ("1.s", Some(1000)),
            ("1h30.25m", Some(5_415_000)),
            ("0", Some(0)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1x", None),
            (".s", None),
            ("1.2.3s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).map(|time| time.as_millis()), want, "{text}");
        }
    }
}
