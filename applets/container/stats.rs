//! container stats: what containers use, look after look.

use std::env;
use std::io::{IsTerminal as _, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use isobox::cgroup::Group;
use isobox::cgroup::usage::Usage;
use isobox::cgroup::value::human;
use isobox::decimal::decimal;
use isobox::error::{Error, Result};
use isobox::oci::home::Home;

use super::inspect::print;
use super::kept::{Shelf, short, shown};
use crate::cli::raw::Raw;
use crate::cli::{Exit, help};

/// show what containers use, again and again
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "stats", example = "container stats --no-stream")]
pub(super) struct Stats {
    /// once, and end
    #[argh(switch)]
    no_stream: bool,
    /// json, or a text with fields in it: {.MemUsage}
    #[argh(option, arg_name = "format")]
    format: Option<String>,
    /// the containers; all that run without
    #[argh(positional)]
    container: Vec<Raw>,
}

/// A container, its groups and what it has used so far.
struct Seen {
    home: Home,
    groups: Vec<Group>,
    usage: Usage,
    at: Instant,
}

const HEADINGS: [&str; 6] = [
    "CONTAINER ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "PIDS",
];

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

impl Stats {
    pub(super) fn run(self) -> Result<Exit> {
        let clear = match stdout().is_terminal() && env::var_os("TERM").is_some() {
            true if !self.no_stream && self.format.is_none() => "\x1b[H\x1b[2J",
            _ => "",
        };
        loop {
            let before = self.look()?;
            sleep(PAUSE);
            let rows = before.iter().map(fields).collect();
            help::print_all(clear)?;
            print("stats", &HEADINGS, rows, self.format.as_deref())?;
            if self.no_stream || (before.is_empty() && !self.container.is_empty()) {
                return Ok(Exit::OK);
            }
        }
    }

    fn look(&self) -> Result<Vec<Seen>> {
        let shelf = Shelf::ours();
        let homes = match self.container.is_empty() {
            true => shelf.homes.all()?,
            false => {
                let found = self.container.iter().map(|word| shelf.find(word));
                found.collect::<Result<_>>()?
            }
        };
        let mut all = Vec::new();
        for home in homes {
            match shelf.running(&home) {
                Ok(live) => {
                    let groups = live.groups();
                    all.push(Seen {
                        usage: Usage::of_groups(&groups),
                        at: Instant::now(),
                        home,
                        groups,
                    });
                }
                Err(error) if !self.container.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        if let Some(one) = all.iter().find(|one| one.groups.is_empty())
            && !self.container.is_empty()
        {
            return Err(Error::new("the container has no control group:").on(shown(&one.home)));
        }
        Ok(all)
    }
}

/// One line, with what was used since the look before.
fn fields(before: &Seen) -> Vec<(&'static str, String)> {
    let now = Usage::of_groups(&before.groups);
    let passed = u64::try_from(before.at.elapsed().as_micros()).unwrap_or(u64::MAX);
    let percent = |part: u64, whole: u64| {
        let hundredths = part.saturating_mul(10_000) / whole.max(1);
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    };
    let used = now.cpu_usec.zip(before.usage.cpu_usec);
    let none = || String::from("--");
    let cpu = used.map_or_else(none, |(now, then)| {
        percent(now.saturating_sub(then), passed)
    });
    let limit = limit(&before.groups);
    let memory = now.memory.map_or_else(none, |memory| {
        let limit = limit.map_or_else(none, human);
        format!("{} / {limit}", human(memory))
    });
    let share = now.memory.zip(limit);
    let home = &before.home;
    vec![
        ("ID", short(home).into()),
        ("Name", shown(home).into()),
        ("CPUPerc", cpu),
        ("MemUsage", memory),
        (
            "MemPerc",
            share.map_or_else(none, |(memory, limit)| percent(memory, limit)),
        ),
        ("PIDs", now.pids.map_or_else(none, |pids| pids.to_string())),
    ]
}

/// How much memory there is for it: its own limit, or all that the machine has.
fn limit(groups: &[Group]) -> Option<u64> {
    let group = groups.iter().find(|group| group.hierarchy.holds("memory"));
    let own = group.and_then(|group| group.get("memory.max").ok());
    let own: Option<u64> = own.and_then(|text| decimal(text.trim()));
    own.or_else(|| {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().next()?;
        let kilobytes: u64 = decimal(line.split_whitespace().nth(1)?)?;
        Some(kilobytes * 1024)
    })
}
